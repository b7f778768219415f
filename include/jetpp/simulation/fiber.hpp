// jetpp/simulation/fiber.hpp - one stack with a function on it, and the switch to another.
//
// A switch is boost.context's jump_fcontext plus what must move with the stack: the exceptions that
// are being handled, and what the address and thread sanitizers believe about the current stack.
// Stacks come from a pool. They have no guard page (this room does not call the system); a pattern
// at their low end is checked at every switch away instead.
// Invariants
//   * a fiber that ended is never switched to; its stack is given back by somebody else
// Threads  all fibers on one operating system thread.
// Source   the sanitizers' fiber interfaces; Itanium C++ ABI for __cxa_get_globals.
#pragma once

#include <jetpp/core/ensure.hpp>

#include <boost/context/detail/fcontext.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <cxxabi.h>

// Weak, and so null unless a sanitizer is linked in: one source for all builds, without a macro.
extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** saved, void const* bottom, size_t size);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(
    void* saved, void const** bottom_left, size_t* size_left
);
[[gnu::weak]] void __asan_unpoison_memory_region(void const volatile* first, size_t size);
[[gnu::weak]] void* __tsan_get_current_fiber();
[[gnu::weak]] void* __tsan_create_fiber(unsigned flags);
[[gnu::weak]] void __tsan_destroy_fiber(void* fiber);
[[gnu::weak]] void __tsan_switch_to_fiber(void* fiber, unsigned flags);
}

namespace jetpp::inline v1::detail {

class fiber_stack {
public:
    explicit fiber_stack(std::size_t size)
        : memory_{new std::byte[size]}, size_{size} { // untouched pages cost nothing
        std::memset(memory_.get(), 0xA5, pattern_bytes);
    }
    [[nodiscard]] std::byte* low() const noexcept { return memory_.get(); }
    [[nodiscard]] std::byte* top() const noexcept { return memory_.get() + size_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool is_whole() const noexcept {
        auto last = std::uint64_t{};
        std::memcpy(&last, memory_.get() + pattern_bytes - sizeof last, sizeof last);
        return last == 0xA5A5A5A5A5A5A5A5u;
    }

    [[nodiscard]] static fiber_stack take(std::size_t size) {
        auto& kept = pool();
        for (auto& each : kept) {
            if (each.size() != size) continue;
            std::swap(each, kept.back());
            auto found = std::move(kept.back());
            kept.pop_back();
            return found;
        }
        return fiber_stack{size};
    }
    static void give_back(fiber_stack stack) {
        // Frames that were left for ever have poisoned what lies around their variables.
        if (__asan_unpoison_memory_region != nullptr)
            __asan_unpoison_memory_region(stack.low(), stack.size());
        pool().push_back(std::move(stack));
    }

private:
    static constexpr std::size_t pattern_bytes = 256;
    static std::vector<fiber_stack>& pool() {
        static auto kept = std::vector<fiber_stack>{};
        return kept;
    }

    std::unique_ptr<std::byte[]> memory_;
    std::size_t size_;
};

class fiber {
public:
    // Stands for the operating system's thread, on whose stack it is made.
    fiber() noexcept : started_{true} {
        if (__tsan_get_current_fiber != nullptr) tsan_ = __tsan_get_current_fiber();
    }
    // body(argument) must end with leave_for_ever.
    fiber(std::size_t stack_bytes, void (*body)(void*), void* argument)
        : body_{body}, argument_{argument} {
        stack_.push_back(fiber_stack::take(stack_bytes));
        bottom_ = stack_.front().low();
        size_ = stack_.front().size();
        context_ = boost::context::detail::make_fcontext(stack_.front().top(), size_, &fiber::main);
        if (__tsan_create_fiber != nullptr) tsan_ = __tsan_create_fiber(0);
    }
    fiber(fiber const&) = delete;
    fiber& operator=(fiber const&) = delete;
    ~fiber() {
        if (stack_.empty()) return;
        if (__tsan_destroy_fiber != nullptr) __tsan_destroy_fiber(tsan_);
        fiber_stack::give_back(std::move(stack_.front()));
    }

    // Goes on with `next`; returns when somebody switches back. Requires: called on this fiber.
    void switch_to(fiber& next) { leave(next, &fake_stack_); }
    // The sanitizer's shadow of this stack is freed.
    [[noreturn]] void leave_for_ever(fiber& next) {
        leave(next, nullptr);
        ensure(false, "nobody returns to a fiber that ended");
        __builtin_unreachable();
    }

private:
    void leave(fiber& next, void** fake_stack) {
        ensure(stack_.empty() || stack_.front().is_whole(), "a fiber stays on its stack");
        auto* const handled = reinterpret_cast<char*>(abi::__cxa_get_globals());
        std::memcpy(exceptions_, handled, sizeof exceptions_);
        std::memcpy(handled, next.exceptions_, sizeof exceptions_);
        if (!std::exchange(next.started_, true)) starting() = &next;
        if (__tsan_switch_to_fiber != nullptr) __tsan_switch_to_fiber(next.tsan_, 0);
        if (__sanitizer_start_switch_fiber != nullptr)
            __sanitizer_start_switch_fiber(fake_stack, next.bottom_, next.size_);
        arrive(boost::context::detail::jump_fcontext(next.context_, this));
    }
    // The first step on this stack, whoever left the other one.
    void arrive(boost::context::detail::transfer_t from) {
        auto* const left = static_cast<fiber*>(from.data);
        left->context_ = from.fctx;
        // The extent of the thread's own stack is learned when it is left for the first time.
        if (__sanitizer_finish_switch_fiber != nullptr)
            __sanitizer_finish_switch_fiber(fake_stack_, &left->bottom_, &left->size_);
    }
    static void main(boost::context::detail::transfer_t from) {
        auto* const self = starting();
        self->arrive(from);
        self->body_(self->argument_);
        ensure(false, "the body of a fiber ends with leave_for_ever");
    }
    static fiber*& starting() noexcept {
        static fiber* next = nullptr;
        return next;
    }

    void (*body_)(void*) = nullptr;
    void* argument_ = nullptr;
    boost::context::detail::fcontext_t context_ = nullptr;
    std::vector<fiber_stack> stack_{}; // one, or none
    void const* bottom_ = nullptr;
    std::size_t size_ = 0;
    void* fake_stack_ = nullptr; // of the address sanitizer
    void* tsan_ = nullptr;
    bool started_ = false;
    // __cxa_eh_globals: the handled exceptions and the count of uncaught ones.
    alignas(void*) char exceptions_[2 * sizeof(void*)]{};
};

} // namespace jetpp::inline v1::detail
