// jetpp/backup/async_backup.hpp - an online backup as an asynchronous operation.
//
//      free chunks <----------------------------------+
//          |                                          |
//        read: pages and log, proved   ----->   write: frames, hashes, sink      then: publish
//          in the blocking executor     at most N     in the blocking executor         stamp
//                                     chunks between
//
// Two coroutines on one strand, bounded by the buffers there are (queue_buffers x 1 MiB): half of
// them travel as chunks, into the others pages are read ahead by tasks of the environment. They hold
// no latch, lock or pinned page while they wait; every call that blocks runs on the blocking
// executor. Decisions are the planner's; this only carries them out.
// Completes with void(result<backup_report>) on the handler's executor (by default `executor`).
// Cancellation  total, partial and terminal, all the same: the operation ends with errc::cancelled
//               after the chunk in work, and nothing of the set stays. Once everything is written
//               and the set is being published, cancellation comes too late: it succeeds.
// Lifetime      instance, sink and both executors outlive the operation. It may not be abandoned
//               while the blocking executor works for it.
// Errors        page_damaged (database, page): a page is bad, there is no set; log_damaged,
//               log_gap (LSN); cancelled; what on_progress returned; those of the sink, the log
//               and storage; out_of_memory.
// Template on the executor: it names no any_io_executor, no timer, no thread pool of its own.
#pragma once

#include <jetpp/backup/backup_chunk.hpp>
#include <jetpp/backup/backup_job.hpp>
#include <jetpp/backup/backup_options.hpp>
#include <jetpp/backup/detail/strand_tools.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/recovery/instance.hpp>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

namespace detail {

// The state of one operation, alive as long as a coroutine or a blocking call knows of it.
template <class Traits, class Sink, class Executor, class Blocking>
class backup_operation
    : public std::enable_shared_from_this<backup_operation<Traits, Sink, Executor, Blocking>> {
    using strand_type = boost::asio::strand<Executor>;
    template <class T>
    using task = boost::asio::awaitable<T, strand_type>;
    using pointer = std::shared_ptr<backup_operation>;

public:
    backup_operation(
        Executor executor,
        Blocking blocking,
        instance<Traits>& source,
        Sink& sink,
        backup_options const& options
    )
        : strand_{executor}, blocking_{std::move(blocking)},
          job_{source, sink, options, options.queue_buffers - between(options)}, free_{strand_},
          filled_{strand_} {
        auto const count = std::max<std::size_t>(between(options), 2);
        chunks_.reserve(count);
        for (auto i = 0U; i < count; ++i) {
            auto made = backup_chunk::create();
            if (!made) throw std::bad_alloc{};
            chunks_.push_back(std::move(made).assume_value());
        }
        for (auto& chunk : chunks_) free_.push(&chunk);
    }

    [[nodiscard]] strand_type const& strand() const noexcept { return strand_; }
    // From any thread.
    void interrupt() noexcept { job_.interrupt(); }
    // On the strand.
    void ask_to_stop() noexcept { stopping_ = true; }

    // The operation from its beginning to its end; `self` keeps its state.
    static task<void> run(pointer self, result<backup_report>& outcome) {
        auto& me = *self;
        auto opened = result<void>{ok()};
        auto const open = [&] { opened = me.job_.open(); };
        co_await run_blocking<strand_type>(me.blocking_, self, open);
        if (!opened) {
            outcome = opened.error();
            co_return;
        }
        boost::asio::co_spawn(me.strand_, read_all(self), [self](std::exception_ptr thrown) {
            if (thrown && !self->problem_) self->problem_ = error_of(thrown);
            self->filled_.close();
        });
        auto written = write_all(self);
        co_await std::move(written);
        auto const end = [&] { me.finish(outcome); };
        co_await run_blocking<strand_type>(me.blocking_, self, end);
    }

private:
    // Of the buffers, those that travel from reader to writer; the others are read ahead.
    [[nodiscard]] static std::size_t between(backup_options const& options) noexcept {
        auto const all = std::size_t{options.queue_buffers};
        return std::min(std::max<std::size_t>(all / 2, 2), all);
    }
    // What ends both loops: the first problem, or a wish.
    [[nodiscard]] bool is_over() const noexcept { return stopping_ || problem_.has_value(); }

    static task<void> read_all(pointer self) {
        auto& me = *self;
        for (;;) {
            auto* const chunk = co_await me.free_.pop();
            if (chunk == nullptr || me.is_over()) co_return;
            auto more = result<bool>{false};
            auto const read = [&] { more = me.job_.read(*chunk); };
            co_await run_blocking<strand_type>(me.blocking_, self, read);
            if (!more && !me.problem_) me.problem_ = more.error();
            if (!more || !more.assume_value()) {
                me.read_to_end_ = more.has_value();
                co_return;
            }
            me.filled_.push(chunk);
        }
    }

    // Goes on taking chunks until the reader has ended, whatever happened.
    static task<void> write_all(pointer self) {
        auto& me = *self;
        for (;;) {
            auto* const chunk = co_await me.filled_.pop();
            if (chunk == nullptr) co_return;
            if (!me.is_over()) {
                auto done = result<void>{ok()};
                auto const write = [&] {
                    done = me.job_.write(*chunk);
                    if (done) done = me.job_.report_progress(*chunk);
                };
                co_await run_blocking<strand_type>(me.blocking_, self, write);
                if (!done && !me.problem_) me.problem_ = done.error();
            }
            if (me.is_over())
                me.free_.close();
            else
                me.free_.push(chunk);
        }
    }

    // In the blocking executor, while nothing else of the operation runs.
    void finish(result<backup_report>& outcome) {
        if (problem_) {
            outcome = job_.fail(*problem_);
        } else if (stopping_ || !read_to_end_) {
            outcome = job_.fail({.code = errc::cancelled});
        } else {
            outcome = job_.finish();
        }
    }

    strand_type strand_;
    Blocking blocking_;
    backup_job<Traits, Sink> job_;
    std::vector<backup_chunk> chunks_;
    strand_queue<backup_chunk, strand_type> free_;
    strand_queue<backup_chunk, strand_type> filled_;
    std::optional<error> problem_;
    bool stopping_ = false;
    bool read_to_end_ = false;
};

// Hands the outcome to the handler, on the handler's executor, with nothing left behind.
template <class Handler, class Executor>
void complete_backup(Handler handler, Executor const& fallback, result<backup_report> outcome) {
    auto const executor = boost::asio::get_associated_executor(handler, fallback);
    boost::asio::post(
        executor,
        [handler = std::move(handler), outcome = std::move(outcome)]() mutable {
            auto slot = boost::asio::get_associated_cancellation_slot(handler);
            if (slot.is_connected()) slot.clear();
            std::move(handler)(std::move(outcome));
        }
    );
}

// g++ 12 inlines the frame's own operator new, and takes its operator delete for another's.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

struct start_backup {
    template <class Handler, class Traits, class Sink, class Executor, class Blocking>
    void operator()(
        Handler&& handler,
        Executor executor,
        Blocking blocking,
        instance<Traits>* source,
        Sink* sink,
        backup_options const& options
    ) const {
        using operation = backup_operation<Traits, Sink, Executor, Blocking>;
        auto made = std::shared_ptr<operation>{};
        try {
            made = std::make_shared<operation>(executor, blocking, *source, *sink, options);
        } catch (std::bad_alloc const&) {
            return complete_backup(
                std::forward<Handler>(handler), executor, error{.code = errc::out_of_memory}
            );
        }
        auto slot = boost::asio::get_associated_cancellation_slot(handler);
        if (slot.is_connected())
            slot.assign([weak = std::weak_ptr{made}](boost::asio::cancellation_type type) {
                auto const running = weak.lock();
                if (running == nullptr || type == boost::asio::cancellation_type::none) return;
                running->interrupt();
                boost::asio::post(running->strand(), [weak] {
                    if (auto const same = weak.lock()) same->ask_to_stop();
                });
            });
        auto const strand = made->strand();
        boost::asio::co_spawn(
            strand,
            shell<operation>(std::move(made), executor, std::forward<Handler>(handler)),
            [](std::exception_ptr) {} // the shell lets none out
        );
    }

private:
    template <class Operation, class Executor, class Handler>
    static boost::asio::awaitable<void, boost::asio::strand<Executor>> shell(
        std::shared_ptr<Operation> self, Executor executor, Handler handler
    ) {
        auto outcome = result<backup_report>{error{.code = errc::cancelled}};
        try {
            auto all = Operation::run(self, outcome);
            co_await std::move(all);
        } catch (...) {
            outcome = error_of(std::current_exception());
        }
        self.reset(); // pin and unpublished files are gone before anybody hears of it
        complete_backup(std::move(handler), executor, std::move(outcome));
    }
};

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

} // namespace detail

template <class Executor, class Blocking, class Traits, backup_sink Sink, class Token>
auto async_backup(
    Executor executor,
    Blocking blocking,
    instance<Traits>& source,
    Sink& sink,
    backup_options options,
    Token&& token
) {
    return boost::asio::async_initiate<Token, void(result<backup_report>)>(
        detail::start_backup{},
        token,
        std::move(executor),
        std::move(blocking),
        &source,
        &sink,
        std::move(options)
    );
}

// Of an open engine.
template <class Executor, class Blocking, class Engine, backup_sink Sink, class Token>
    requires requires(Engine& db) { db.core().store; }
auto async_backup(
    Executor executor,
    Blocking blocking,
    Engine& db,
    Sink& sink,
    backup_options options,
    Token&& token
) {
    return async_backup(
        std::move(executor),
        std::move(blocking),
        db.core().store,
        sink,
        with_events_of(db, std::move(options)),
        std::forward<Token>(token)
    );
}

} // namespace jetpp::inline v1
