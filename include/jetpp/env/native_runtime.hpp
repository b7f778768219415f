// jetpp/env/native_runtime.hpp - threads, parking, clocks and randomness of a Linux process.
//
// An empty type: a mutex built on it is one 32-bit word, a scheduling point is no code at all.
// Parking is a private futex with an absolute deadline on CLOCK_MONOTONIC, the same clock that
// now() reads, so that a deadline never passes early.
// Threads  all calls from any thread. park and unpark order nothing: the word's own accesses do.
// Source   futex(2); Drepper, "Futexes Are Tricky".
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/env/detail/posix.hpp>
#include <jetpp/env/runtime.hpp>

#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace jetpp::inline v1 {

namespace detail {

inline void spin_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    asm volatile("yield" ::: "memory");
#else
    asm volatile("" ::: "memory");
#endif
}

[[nodiscard]] inline std::int64_t clock_ns(clockid_t clock) noexcept {
    auto at = timespec{};
    ensure(::clock_gettime(clock, &at) == 0, "the system's clocks can be read");
    return std::int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

// What a new thread is told; it frees this before it runs the body.
struct thread_start {
    void (*body)(void*);
    void* argument;
    char name[16]; // as the kernel keeps it, with its NUL
};

extern "C" inline void* jetpp_thread_main(void* raw) {
    auto* const told = static_cast<thread_start*>(raw);
    auto const start = *told;
    delete told;
    ::pthread_setname_np(::pthread_self(), start.name);
    start.body(start.argument);
    return nullptr;
}

} // namespace detail

// A running thread. Requires: join() before destruction.
class native_task {
public:
    native_task() noexcept = default;
    native_task(native_task&& other) noexcept
        : thread_{other.thread_}, running_{std::exchange(other.running_, false)} {}
    native_task& operator=(native_task&& other) noexcept {
        ensure(!running_, "a running task is joined before it is assigned to");
        thread_ = other.thread_;
        running_ = std::exchange(other.running_, false);
        return *this;
    }
    ~native_task() { ensure(!running_, "a task is joined before it is destroyed"); }

    // A task that was moved from, or joined already, has nothing to wait for.
    void join() noexcept {
        if (!std::exchange(running_, false)) return;
        ensure(::pthread_join(thread_, nullptr) == 0, "a running task can be joined");
    }

private:
    friend class native_runtime;
    explicit native_task(pthread_t thread) noexcept : thread_{thread}, running_{true} {}

    pthread_t thread_{};
    bool running_ = false;
};

class native_runtime {
public:
    using task = native_task;
    template <class T>
    using atomic = std::atomic<T>;

    [[nodiscard]] mono_time now() const noexcept {
        return mono_time{detail::clock_ns(CLOCK_MONOTONIC)};
    }
    [[nodiscard]] wall_time wall() const noexcept { return {detail::clock_ns(CLOCK_REALTIME)}; }

    // Asked of the kernel each time (200-300 ns): a buffered batch would be shared after a fork,
    // and two processes would draw the same nonces.
    [[nodiscard]] std::uint64_t random() const noexcept {
        auto number = std::uint64_t{};
        auto const got =
            detail::uninterrupted([&] { return ::getrandom(&number, sizeof number, 0); });
        ensure(got == sizeof number, "the kernel gives random bytes");
        return number;
    }

    // The thread takes no asynchronous signals: those belong to the threads of the program.
    // Errors: resource, out_of_memory.
    [[nodiscard]] result<task> spawn(char const* name, void (*body)(void*), void* argument)
        const noexcept {
        auto* const start = new (std::nothrow) detail::thread_start{body, argument, {}};
        if (start == nullptr) return error{.code = errc::out_of_memory};
        // Cut to what the kernel keeps; strncpy would do it too, but compilers warn of it.
        ::memcpy(start->name, name, ::strnlen(name, sizeof start->name - 1));

        auto blocked = sigset_t{};
        auto before = sigset_t{};
        ::sigfillset(&blocked);
        for (auto const fault :
             {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGPROF})
            ::sigdelset(&blocked, fault);
        ::pthread_sigmask(SIG_SETMASK, &blocked, &before);
        auto thread = pthread_t{};
        auto const failed = ::pthread_create(&thread, nullptr, &detail::jetpp_thread_main, start);
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        if (failed != 0) {
            delete start;
            return error{.code = errc::resource, .os_errno = static_cast<std::uint32_t>(failed)};
        }
        return task{thread};
    }

    // Returns for every reason the futex has; the caller looks at the word again.
    void park(std::uint32_t const* word, std::uint32_t expected, mono_time deadline)
        const noexcept {
        auto until = timespec{};
        auto* limit = static_cast<timespec*>(nullptr);
        if (deadline != never) {
            auto const ns = deadline.count() < 0 ? 0 : deadline.count();
            until.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
            until.tv_nsec = static_cast<long>(ns % 1'000'000'000);
            limit = &until;
        }
        // WAIT_BITSET, not WAIT: its timeout is absolute.
        ::syscall(
            SYS_futex,
            word,
            FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
            expected,
            limit,
            nullptr,
            FUTEX_BITSET_MATCH_ANY
        );
    }
    void unpark(std::uint32_t const* word, std::uint32_t count) const noexcept {
        auto const woken = count > std::uint32_t{INT_MAX} ? INT_MAX : static_cast<int>(count);
        ::syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, woken, nullptr, nullptr, 0);
    }

    // A spin that outlives a few dozen pauses waits for a thread that does not run: let it. One
    // that outlives thousands of yields waits for a device, and must not burn a processor.
    void relax(std::uint32_t turn) const noexcept {
        if (turn < 32) {
            detail::spin_pause();
        } else if (turn < 4096) {
            ::sched_yield();
        } else {
            auto const nap = timespec{.tv_sec = 0, .tv_nsec = 50'000};
            ::nanosleep(&nap, nullptr);
        }
    }

    static constexpr void point(point_id) noexcept {}
    [[nodiscard]] static constexpr bool sabotaged(sabotage) noexcept { return false; }
};
static_assert(std::is_empty_v<native_runtime>);
static_assert(sizeof(std::atomic<std::uint32_t>) == 4, "jetpp: a futex word is 4 bytes");
static_assert(runtime<native_runtime>);

} // namespace jetpp::inline v1
