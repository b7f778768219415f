// jetpp/env/sync.hpp - mutex and event on park/unpark, so that they run in the simulator.
//
// basic_mutex  one 32-bit word: 0 free, 1 held, 2 held with waiters (Drepper, "Futexes Are
//              Tricky", mutex 2). Spins briefly: most critical sections are tens of nanoseconds.
// basic_event  a counter to wait on: read it, test your condition, park if it has not moved.
// Threads      any. Not recursive, not fair. Held across I/O only where the holder's comment says.
#pragma once

#include <jetpp/env/runtime.hpp>

#include <atomic>
#include <cstdint>

namespace jetpp::inline v1 {

template <runtime Runtime>
class basic_mutex {
public:
    explicit basic_mutex(Runtime runtime = {}) noexcept : runtime_{runtime} {}
    basic_mutex(basic_mutex const&) = delete;
    basic_mutex& operator=(basic_mutex const&) = delete;

    [[nodiscard]] bool try_lock() noexcept {
        auto expected = std::uint32_t{0};
        return word_.compare_exchange_strong(expected, 1, std::memory_order_acquire);
    }
    void lock() noexcept {
        for (std::uint32_t turn = 0; turn < 33; ++turn) {
            if (try_lock()) return;
            runtime_.relax(turn);
        }
        while (word_.exchange(2, std::memory_order_acquire) != 0)
            runtime_.park(address(), 2, never);
    }
    void unlock() noexcept {
        if (word_.exchange(0, std::memory_order_release) == 2) runtime_.unpark(address(), 1);
    }

private:
    [[nodiscard]] std::uint32_t const* address() const noexcept {
        return reinterpret_cast<std::uint32_t const*>(&word_);
    }

    typename Runtime::template atomic<std::uint32_t> word_{0};
    [[no_unique_address]] Runtime runtime_;
};

struct adopt_held {}; // the mutex is held already

// Scope of a lock. unlock() early is allowed, and lock() again after it.
template <class Mutex>
class [[nodiscard]] holding {
public:
    explicit holding(Mutex& mutex) noexcept : mutex_{&mutex}, held_{true} { mutex.lock(); }
    holding(Mutex& mutex, adopt_held) noexcept : mutex_{&mutex}, held_{true} {}
    holding(holding const&) = delete;
    holding& operator=(holding const&) = delete;
    ~holding() {
        if (held_) mutex_->unlock();
    }
    void unlock() noexcept {
        mutex_->unlock();
        held_ = false;
    }
    void lock() noexcept {
        mutex_->lock();
        held_ = true;
    }

private:
    Mutex* mutex_;
    bool held_;
};

template <runtime Runtime>
class basic_event {
public:
    explicit basic_event(Runtime runtime = {}) noexcept : runtime_{runtime} {}
    basic_event(basic_event const&) = delete;
    basic_event& operator=(basic_event const&) = delete;

    // Read before testing the condition.
    [[nodiscard]] std::uint32_t ticket() const noexcept {
        return word_.load(std::memory_order_acquire);
    }
    // Returns when set_all() was called after ticket(), at the deadline, or spuriously.
    void wait(std::uint32_t ticket, mono_time deadline = never) noexcept {
        runtime_.park(reinterpret_cast<std::uint32_t const*>(&word_), ticket, deadline);
    }
    void set_all() noexcept {
        word_.fetch_add(1u, std::memory_order_acq_rel);
        runtime_.unpark(reinterpret_cast<std::uint32_t const*>(&word_), ~std::uint32_t{0});
    }

private:
    typename Runtime::template atomic<std::uint32_t> word_{0};
    [[no_unique_address]] Runtime runtime_;
};

} // namespace jetpp::inline v1
