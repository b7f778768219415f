// jetpp/backup/detail/strand_tools.hpp - what the coroutines of this room share.
//
// run_blocking   hops to the blocking executor, calls, and comes back to the strand
// strand_queue   pointers from one coroutine of a strand to another
// With Boost 1.81 an awaited value must be named before its members are used, and a value that is
// awaited must be default constructible: so nothing but void and pointers travels.
#pragma once

#include <jetpp/core/result.hpp>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace jetpp::inline v1::detail {

[[nodiscard]] inline error error_of(std::exception_ptr thrown) noexcept {
    try {
        std::rethrow_exception(std::move(thrown));
    } catch (std::bad_alloc const&) {
        return {.code = errc::out_of_memory};
    } catch (...) {
        return {.code = errc::io};
    }
}

struct start_blocking {
    template <class Handler, class Blocking, class Work>
    void operator()(Handler&& handler, Blocking blocking, std::shared_ptr<void> keep, Work* work)
        const {
        auto const home = boost::asio::get_associated_executor(handler);
        boost::asio::post(
            blocking,
            [handler = std::move(handler), home, keep = std::move(keep), work]() mutable {
                (*work)();
                boost::asio::post(home, std::move(handler));
            }
        );
    }
};

// Calls work() in the blocking executor. `keep` stays alive until it has returned.
// Requires: work lives in the coroutine that awaits, and does not throw.
template <class Strand, class Blocking, class Work>
boost::asio::awaitable<void, Strand> run_blocking(
    Blocking const& blocking, std::shared_ptr<void> keep, Work const& work
) {
    return boost::asio::async_initiate<boost::asio::use_awaitable_t<Strand> const, void()>(
        start_blocking{}, boost::asio::use_awaitable_t<Strand>{}, blocking, std::move(keep), &work
    );
}

// One coroutine pushes, one pops; both on the strand. It is as long as there are values: who makes
// them bounds it. After close() what is left is popped, then null.
template <class Value, class Strand>
class strand_queue {
    using token = boost::asio::use_awaitable_t<Strand>;
    using waiter = typename boost::asio::async_result<token, void()>::handler_type;

public:
    explicit strand_queue(Strand strand) : strand_{std::move(strand)} {}

    void push(Value* value) {
        values_.push_back(value);
        wake();
    }
    void close() {
        closed_ = true;
        wake();
    }
    boost::asio::awaitable<Value*, Strand> pop() {
        while (values_.empty() && !closed_) {
            auto turn = wait();
            co_await std::move(turn);
        }
        if (values_.empty()) co_return nullptr;
        auto* const first = values_.front();
        values_.pop_front();
        co_return first;
    }

private:
    struct keep_waiter {
        template <class Handler>
        void operator()(Handler&& handler, std::optional<waiter>* into) const {
            into->emplace(std::forward<Handler>(handler));
        }
    };
    boost::asio::awaitable<void, Strand> wait() {
        return boost::asio::async_initiate<token const, void()>(keep_waiter{}, token{}, &waiter_);
    }
    void wake() {
        if (!waiter_) return;
        auto first = std::move(*waiter_);
        waiter_.reset();
        boost::asio::post(strand_, std::move(first));
    }

    Strand strand_;
    std::deque<Value*> values_;
    std::optional<waiter> waiter_;
    bool closed_ = false;
};

} // namespace jetpp::inline v1::detail
