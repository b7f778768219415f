// jetpp/backup/asio_stream.hpp - any asynchronous stream of Asio as output or input of a set.
//
//     auto out  = asio_output{socket, environment};
//     auto sink = stream_sink{out};
//
// A sink may block, and runs in the blocking executor of the backup: each call here starts one
// asynchronous operation and waits until the stream has completed it. So a slow receiver slows the
// backup, and no more than the chunks of its queue are ever in memory.
// Requires the executor of the stream runs in another thread than the one that waits: with
// async_backup() give its io_context to `executor`, not to `blocking`. Cancel or close the stream to
// end a wait.
// Threads  one caller at a time.
// Owns     nothing; the stream outlives it.
// Errors   io with the value of the stream's error_code as os_errno; cancelled (operation_aborted).
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/error_code.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace jetpp::inline v1 {

namespace detail {

// What an operation leaves, and who waits for it. Shared: the handler may end after the waiter.
template <any_environment Env>
struct asio_outcome {
    explicit asio_outcome(Env env) : came{env.runtime} {}
    basic_event<typename Env::runtime_type> came;
    typename Env::template atomic<bool> done{false};
    boost::system::error_code why;
    std::size_t count = 0;

    void complete(boost::system::error_code code, std::size_t n) noexcept {
        why = code;
        count = n;
        done.store(true, std::memory_order_release);
        came.set_all();
    }
    void wait() noexcept {
        for (;;) {
            auto const ticket = came.ticket();
            if (done.load(std::memory_order_acquire)) return;
            came.wait(ticket);
        }
    }
};

[[nodiscard]] inline error error_of(boost::system::error_code const& code) noexcept {
    if (code == boost::asio::error::operation_aborted) return {.code = errc::cancelled};
    return {.code = errc::io, .os_errno = static_cast<std::uint32_t>(code.value())};
}

} // namespace detail

template <class AsyncWriteStream, any_environment Env>
class asio_output {
public:
    asio_output(AsyncWriteStream& to, Env env) noexcept : to_{&to}, env_{env} {}

    [[nodiscard]] result<void> write(const_bytes content) {
        auto const outcome = std::make_shared<detail::asio_outcome<Env>>(env_);
        boost::asio::async_write(
            *to_,
            boost::asio::buffer(content.data(), content.size()),
            [outcome](boost::system::error_code code, std::size_t n) { outcome->complete(code, n); }
        );
        outcome->wait();
        if (outcome->why) return detail::error_of(outcome->why);
        return ok();
    }

private:
    AsyncWriteStream* to_;
    [[no_unique_address]] Env env_;
};

template <class AsyncReadStream, any_environment Env>
class asio_input {
public:
    asio_input(AsyncReadStream& from, Env env) noexcept : from_{&from}, env_{env} {}

    // Returns: bytes read; 0 only at the end.
    [[nodiscard]] result<std::size_t> read(bytes into) noexcept {
        try {
            auto const outcome = std::make_shared<detail::asio_outcome<Env>>(env_);
            from_->async_read_some(
                boost::asio::buffer(into.data(), into.size()),
                [outcome](boost::system::error_code code, std::size_t n) {
                    outcome->complete(code, n);
                }
            );
            outcome->wait();
            if (outcome->why == boost::asio::error::eof) return std::size_t{0};
            if (outcome->why) return detail::error_of(outcome->why);
            return outcome->count;
        } catch (...) {
            return error{.code = errc::io};
        }
    }

private:
    AsyncReadStream* from_;
    [[no_unique_address]] Env env_;
};

} // namespace jetpp::inline v1
