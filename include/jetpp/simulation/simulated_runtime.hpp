// jetpp/simulation/simulated_runtime.hpp - the runtime seam over simulated_threads.
//
// An empty type, as the production runtime is: it speaks to simulation::current_threads, which the
// simulated_world that runs sets. It must be so because point() and sabotaged() are static. Hence
// one world runs at a time in a process.
// Threads  one operating system thread.
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/runtime.hpp>
#include <jetpp/simulation/simulated_threads.hpp>
#include <jetpp/simulation/yielding_atomic.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <type_traits>
#include <utility>

namespace jetpp::inline v1 {

// Requires: join() before destruction, unless an exception passes through.
class simulated_task {
public:
    simulated_task() noexcept = default;
    simulated_task(simulated_task&& other) noexcept
        : threads_{std::exchange(other.threads_, nullptr)}, number_{other.number_} {}
    simulated_task& operator=(simulated_task&& other) noexcept {
        ensure(threads_ == nullptr, "a task is joined before its handle is used again");
        threads_ = std::exchange(other.threads_, nullptr);
        number_ = other.number_;
        return *this;
    }
    ~simulated_task() {
        ensure(
            threads_ == nullptr || std::uncaught_exceptions() != 0,
            "a task is joined before its handle is destroyed"
        );
    }
    void join() noexcept {
        if (threads_ != nullptr) std::exchange(threads_, nullptr)->join(number_);
    }

private:
    template <template <class> class Atomic>
    friend class basic_simulated_runtime;
    simulated_task(simulated_threads& threads, std::size_t number) noexcept
        : threads_{&threads}, number_{number} {}

    simulated_threads* threads_ = nullptr;
    std::size_t number_ = 0;
};

template <template <class> class Atomic>
class basic_simulated_runtime {
public:
    using task = simulated_task;
    template <class T>
    using atomic = Atomic<T>;

    [[nodiscard]] mono_time now() const noexcept { return threads().now(); }
    [[nodiscard]] wall_time wall() const noexcept { return threads().wall(); }
    [[nodiscard]] std::uint64_t random() const noexcept { return threads().entropy(); }

    // Errors: resource (injected by simulated_threads::fail_spawn).
    [[nodiscard]] result<task> spawn(char const* name, void (*body)(void*), void* argument)
        const noexcept {
        auto const number = threads().spawn(name, body, argument);
        if (!number) return error{.code = errc::resource, .os_errno = 11};
        return task{threads(), *number};
    }
    void park(std::uint32_t const* word, std::uint32_t expected, mono_time deadline)
        const noexcept {
        threads().park(word, expected, deadline);
    }
    void unpark(std::uint32_t const* word, std::uint32_t count) const noexcept {
        threads().unpark(word, count);
    }
    void relax(std::uint32_t) const noexcept { threads().relax(); }

    static void point(point_id id) noexcept {
        if (simulation::current_threads != nullptr) simulation::current_threads->point(id);
    }
    [[nodiscard]] static bool sabotaged(sabotage id) noexcept {
        return id == simulation::planted && id != sabotage::none;
    }

private:
    [[nodiscard]] static simulated_threads& threads() noexcept {
        ensure(simulation::current_threads != nullptr, "a simulated_world exists");
        return *simulation::current_threads;
    }
};

using simulated_runtime = basic_simulated_runtime<std::atomic>;
// Every atomic access is a step: for small scenarios of lock-free code.
using interleaved_runtime = basic_simulated_runtime<yielding_atomic>;
static_assert(std::is_empty_v<simulated_runtime>);
static_assert(runtime<simulated_runtime> && runtime<interleaved_runtime>);

} // namespace jetpp::inline v1
