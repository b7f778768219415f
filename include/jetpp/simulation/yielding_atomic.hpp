// jetpp/simulation/yielding_atomic.hpp - an atomic whose every access is a step of the scheduler.
//
// With it the simulator explores what happens between two accesses of lock-free code: latch words,
// version chains, publication. Memory order is taken and not simulated: one thread sees its own
// stores in order. Weaker orders are the thread sanitizer's and the reviewer's subject.
// Layout   a std::atomic<T> and nothing else, so that parking on its address works.
// Threads  tasks of simulated_threads.
#pragma once

#include <jetpp/simulation/simulated_threads.hpp>

#include <atomic>
#include <cstdint>

namespace jetpp::inline v1 {

template <class T>
class yielding_atomic {
public:
    using value_type = T;
    static constexpr bool is_always_lock_free = std::atomic<T>::is_always_lock_free;

    constexpr yielding_atomic() noexcept = default;
    constexpr yielding_atomic(T value) noexcept : inner_{value} {}
    yielding_atomic(yielding_atomic const&) = delete;
    yielding_atomic& operator=(yielding_atomic const&) = delete;

    [[nodiscard]] T load(std::memory_order order = std::memory_order_seq_cst) const noexcept {
        step();
        return inner_.load(order);
    }
    void store(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
        step();
        inner_.store(value, order);
    }
    T exchange(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
        step();
        return inner_.exchange(value, order);
    }
    bool compare_exchange_strong(
        T& expected, T desired, std::memory_order order = std::memory_order_seq_cst
    ) noexcept {
        step();
        return inner_.compare_exchange_strong(expected, desired, order);
    }
    bool compare_exchange_strong(
        T& expected, T desired, std::memory_order success, std::memory_order failure
    ) noexcept {
        step();
        return inner_.compare_exchange_strong(expected, desired, success, failure);
    }
    // May fail for no reason: the tape draws one failure in 16.
    bool compare_exchange_weak(
        T& expected, T desired, std::memory_order order = std::memory_order_seq_cst
    ) noexcept {
        step();
        if (fails_for_no_reason(expected)) return false;
        return inner_.compare_exchange_strong(expected, desired, order);
    }
    bool compare_exchange_weak(
        T& expected, T desired, std::memory_order success, std::memory_order failure
    ) noexcept {
        step();
        if (fails_for_no_reason(expected)) return false;
        return inner_.compare_exchange_strong(expected, desired, success, failure);
    }
    template <class D>
    T fetch_add(D by, std::memory_order order = std::memory_order_seq_cst) noexcept {
        step();
        return inner_.fetch_add(by, order);
    }
    template <class D>
    T fetch_sub(D by, std::memory_order order = std::memory_order_seq_cst) noexcept {
        step();
        return inner_.fetch_sub(by, order);
    }
    T fetch_or(T bits, std::memory_order order = std::memory_order_seq_cst) noexcept {
        step();
        return inner_.fetch_or(bits, order);
    }
    T fetch_and(T bits, std::memory_order order = std::memory_order_seq_cst) noexcept {
        step();
        return inner_.fetch_and(bits, order);
    }
    T fetch_xor(T bits, std::memory_order order = std::memory_order_seq_cst) noexcept {
        step();
        return inner_.fetch_xor(bits, order);
    }
    operator T() const noexcept { return load(); }
    T operator=(T value) noexcept {
        store(value);
        return value;
    }
    T operator++() noexcept { return static_cast<T>(fetch_add(1) + 1); }
    T operator++(int) noexcept { return fetch_add(1); }
    T operator--() noexcept { return static_cast<T>(fetch_sub(1) - 1); }
    T operator--(int) noexcept { return fetch_sub(1); }

private:
    static void step() noexcept {
        if (simulation::current_threads != nullptr) simulation::current_threads->step();
    }
    bool fails_for_no_reason(T& expected) noexcept {
        auto* const threads = simulation::current_threads;
        if (threads == nullptr || !threads->draws_spurious_failure()) return false;
        expected = inner_.load(std::memory_order_relaxed);
        return true;
    }

    std::atomic<T> inner_{};
};
static_assert(sizeof(yielding_atomic<std::uint32_t>) == 4);

} // namespace jetpp::inline v1
