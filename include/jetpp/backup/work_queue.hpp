// jetpp/backup/work_queue.hpp - two executors on the runtime seam: a loop and a small pool.
//
// work_loop    runs what is posted to it in the thread that calls run_until().
// worker_pool  runs it in a few tasks of the runtime: for calls that block.
// Both are executors as Asio knows them, and use nothing of the operating system but what env/
// gives: so a coroutine pipeline runs in the simulator, task by task, as it runs in production.
// Programs that have an io_context use that instead.
// Threads  execute() any; run_until(): one; create and destruction: the owner.
// Owns     what was posted and not run. Destroyed unrun if the owner goes first.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>

#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution/executor.hpp>
#include <boost/asio/execution_context.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace jetpp::inline v1 {

// Functions in the order in which they were posted.
template <any_environment Env>
class work_queue : public boost::asio::execution_context {
    using runtime = typename Env::runtime_type;

public:
    explicit work_queue(Env env) : lock_{env.runtime}, came_{env.runtime} {}
    ~work_queue() {
        // Services may hold functions that post: they go first.
        shutdown();
        while (auto* const left = take()) delete left;
        destroy();
    }

    class executor_type {
    public:
        explicit executor_type(work_queue& to) noexcept : to_{&to} {}

        // Throws: std::bad_alloc.
        template <class F>
        void execute(F&& work) const {
            to_->post(new item_of<std::decay_t<F>>{std::forward<F>(work)});
        }
        [[nodiscard]] static constexpr auto query(boost::asio::execution::blocking_t) noexcept {
            return boost::asio::execution::blocking.never;
        }
        [[nodiscard]] boost::asio::execution_context& query(boost::asio::execution::context_t
        ) const noexcept {
            return *to_;
        }
        friend bool operator==(executor_type a, executor_type b) noexcept { return a.to_ == b.to_; }
        friend bool operator!=(executor_type a, executor_type b) noexcept { return a.to_ != b.to_; }

    private:
        work_queue* to_;
    };
    [[nodiscard]] executor_type get_executor() noexcept { return executor_type{*this}; }

protected:
    struct item {
        virtual ~item() = default;
        virtual void run() = 0;
        item* next = nullptr;
    };

    [[nodiscard]] item* take() noexcept {
        auto const held = holding{lock_};
        auto* const first = first_;
        if (first == nullptr) return nullptr;
        first_ = first->next;
        if (first_ == nullptr) last_ = nullptr;
        return first;
    }
    // Runs one function, if there is one. Returns: whether there was.
    bool run_one() {
        auto const next = std::unique_ptr<item>{take()};
        if (next == nullptr) return false;
        next->run();
        return true;
    }
    [[nodiscard]] std::uint32_t ticket() const noexcept { return came_.ticket(); }
    void wait(std::uint32_t ticket) noexcept { came_.wait(ticket); }
    void wake() noexcept { came_.set_all(); }

private:
    template <class F>
    struct item_of final : item {
        template <class G>
        explicit item_of(G&& given) : work(std::forward<G>(given)) {}
        void run() override { std::move(work)(); }
        F work;
    };

    void post(item* made) noexcept {
        {
            auto const held = holding{lock_};
            (last_ == nullptr ? first_ : last_->next) = made;
            last_ = made;
        }
        wake();
    }

    basic_mutex<runtime> lock_;
    basic_event<runtime> came_;
    item* first_ = nullptr;
    item* last_ = nullptr;
};

template <any_environment Env>
class work_loop : public work_queue<Env> {
public:
    explicit work_loop(Env env) : work_queue<Env>{env} {}

    // Runs functions until done() says so, which it is asked after each.
    template <class Done>
    void run_until(Done&& done) {
        while (!done()) {
            auto const ticket = this->ticket();
            if (!this->run_one()) this->wait(ticket);
        }
    }
};

template <any_environment Env>
class worker_pool : public work_queue<Env> {
    using runtime = typename Env::runtime_type;

public:
    static constexpr std::size_t workers_max = 8;

    explicit worker_pool(Env env) : work_queue<Env>{env}, runtime_{env.runtime} {}
    ~worker_pool() {
        ending_.store(true, std::memory_order_release);
        this->wake();
        for (std::size_t i = 0; i < count_; ++i) workers_[i].join();
    }

    // Errors: resource, if not even one task could be had.
    [[nodiscard]] result<void> start(std::size_t workers) noexcept {
        while (count_ < workers && count_ < workers_max) {
            auto made = runtime_.spawn("jetpp-worker", &work, this);
            if (!made) return count_ == 0 ? result<void>{made.error()} : result<void>{ok()};
            workers_[count_++] = std::move(made).assume_value();
        }
        return ok();
    }

private:
    static void work(void* self) noexcept {
        auto& pool = *static_cast<worker_pool*>(self);
        while (!pool.ending_.load(std::memory_order_acquire)) {
            auto const ticket = pool.ticket();
            if (pool.ending_.load(std::memory_order_acquire)) return;
            if (!pool.run_one()) pool.wait(ticket);
        }
    }

    [[no_unique_address]] runtime runtime_;
    typename Env::template atomic<bool> ending_{false};
    std::array<typename runtime::task, workers_max> workers_{};
    std::size_t count_ = 0;
};

} // namespace jetpp::inline v1
