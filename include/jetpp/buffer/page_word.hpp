// jetpp/buffer/page_word.hpp - one 64-bit word a page: where it is, who holds it, which version.
//
//     63            32 31          7 6      0
//     +---------------+-------------+--------+     state  0         resident, nobody holds it
//     |    version    |    frame    | state  |            1..100    that many shared holders
//     +---------------+-------------+--------+            124, 125  exclusive with / without waiters
//                      '-- parked upon -----'             126       cool: may be evicted
//                                                         127       absent, frame is 0
// Invariants
//   * version + 1 on: exclusive release after a change, eviction, load, free
//   * only the holder of 124/125 takes the page out of memory or puts it in
//   * releasing 124 wakes all who wait; shared holders wake nobody (they hold for one page copy),
//     so who waits for them parks for a millisecond at most
// Threads  any; the word is the latch. Not fair, not recursive.
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/env/runtime.hpp>

#include <atomic>
#include <bit>
#include <cstdint>

namespace jetpp::inline v1 {

namespace detail {

// Between taking a page and the first byte stored into it: a reader that validates must not see
// the bytes before the state. (gcc rejects the fence under its thread sanitizer, where every byte
// is an atomic anyway.)
inline void fence_release() noexcept {
#if defined(__SANITIZE_THREAD__)
    std::atomic_signal_fence(std::memory_order_release);
#else
    std::atomic_thread_fence(std::memory_order_release);
#endif
}

} // namespace detail

enum class fix : std::uint8_t {
    ok,
    absent, // not in memory: load() it, with no latch held
};

namespace detail {

// The three fields as a value.
struct word_bits {
    static constexpr std::uint32_t shared_max = 100;
    static constexpr std::uint32_t exclusive_waited = 124;
    static constexpr std::uint32_t exclusive = 125;
    static constexpr std::uint32_t cool = 126;
    static constexpr std::uint32_t absent = 127;
    static constexpr std::uint32_t frames_max = 1u << 25;

    std::uint64_t raw{absent};

    [[nodiscard]] static constexpr word_bits make(
        std::uint32_t version, std::uint32_t frame, std::uint32_t state
    ) noexcept {
        return {std::uint64_t{version} << 32 | std::uint64_t{frame} << 7 | state};
    }
    [[nodiscard]] constexpr std::uint32_t version() const noexcept {
        return static_cast<std::uint32_t>(raw >> 32);
    }
    [[nodiscard]] constexpr std::uint32_t frame() const noexcept {
        return static_cast<std::uint32_t>(raw >> 7) & (frames_max - 1);
    }
    [[nodiscard]] constexpr std::uint32_t state() const noexcept {
        return static_cast<std::uint32_t>(raw & 127);
    }
    [[nodiscard]] constexpr std::uint32_t low() const noexcept {
        return static_cast<std::uint32_t>(raw);
    }
    [[nodiscard]] constexpr word_bits with_state(std::uint32_t s) const noexcept {
        return {(raw & ~std::uint64_t{127}) | s};
    }
    [[nodiscard]] constexpr bool is_exclusive() const noexcept {
        return state() == exclusive || state() == exclusive_waited;
    }
    [[nodiscard]] constexpr bool is_shareable() const noexcept {
        return state() < shared_max || state() == cool;
    }
    [[nodiscard]] constexpr bool is_unheld() const noexcept {
        return state() == 0 || state() == cool;
    }
    // What the word becomes when one more shared holder comes. A cool page is warm again.
    [[nodiscard]] constexpr word_bits shared_once_more() const noexcept {
        return state() == cool ? with_state(1) : word_bits{raw + 1};
    }
};
static_assert(word_bits::make(7, 5, 125).frame() == 5 && word_bits::make(7, 5, 125).version() == 7);
static_assert(
    word_bits::make(0, word_bits::frames_max - 1, 0).frame() == word_bits::frames_max - 1
);

} // namespace detail

template <class Traits>
class page_word {
    using bits = detail::word_bits;
    using runtime = typename Traits::runtime;

public:
    page_word() noexcept = default;
    page_word(page_word const&) = delete;
    page_word& operator=(page_word const&) = delete;

    [[nodiscard]] bits peek() const noexcept { return {raw_.load(std::memory_order_acquire)}; }

    // Waits for an exclusive holder. Returns: absent, or ok and the frame.
    [[nodiscard]] fix share(runtime& rt, std::uint32_t& frame) noexcept {
        for (std::uint32_t turn = 0;; ++turn) {
            auto const now = peek();
            if (now.state() == bits::absent) return fix::absent;
            if (now.is_shareable()) {
                if (!swap(now, now.shared_once_more())) continue;
                frame = now.frame();
                runtime::point(point_id::latch_acquired);
                return fix::ok;
            }
            if (now.is_exclusive())
                wait_for_exclusive(rt, now, turn);
            else
                wait_for_shared(rt, now, turn);
        }
    }
    // Returns: false if the page is absent, held exclusively, or in another frame.
    [[nodiscard]] bool share_if_free(std::uint32_t frame) noexcept {
        for (;;) {
            auto const now = peek();
            if (!now.is_shareable() || now.frame() != frame) return false;
            // A write-out is no access: a cool page is made cool again by unshare_quietly().
            if (swap(now, now.shared_once_more())) return true;
        }
    }
    void unshare() noexcept {
        runtime::point(point_id::latch_released);
        auto const before = bits{raw_.fetch_sub(1u, std::memory_order_release)};
        ensure(
            before.state() >= 1 && before.state() <= bits::shared_max,
            "a shared latch is released by who holds it"
        );
    }
    // Ends share_if_free() of a page that was cool: the last holder leaves it cool.
    void unshare_as_cool() noexcept {
        for (;;) {
            auto const now = peek();
            ensure(
                now.state() >= 1 && now.state() <= bits::shared_max,
                "a shared latch is released by who holds it"
            );
            auto const left = now.state() == 1 ? now.with_state(bits::cool) : bits{now.raw - 1};
            auto expected = now.raw;
            if (raw_.compare_exchange_strong(
                    expected, left.raw, std::memory_order_release, std::memory_order_relaxed
                ))
                return;
        }
    }

    // Waits for all holders. Returns: absent, or ok and the frame.
    [[nodiscard]] fix exclude(runtime& rt, std::uint32_t& frame) noexcept {
        for (std::uint32_t turn = 0;; ++turn) {
            auto const now = peek();
            if (now.state() == bits::absent) return fix::absent;
            if (now.is_unheld()) {
                if (!swap(now, now.with_state(bits::exclusive))) continue;
                detail::fence_release();
                frame = now.frame();
                runtime::point(point_id::latch_acquired);
                return fix::ok;
            }
            if (now.is_exclusive())
                wait_for_exclusive(rt, now, turn);
            else
                wait_for_shared(rt, now, turn);
        }
    }
    // Eviction: takes the page iff it is cool (or, with `warm_too`, unheld) and in that frame.
    [[nodiscard]] bool exclude_if_idle(std::uint32_t frame, bool warm_too) noexcept {
        auto const now = peek();
        if (now.frame() != frame) return false;
        if (now.state() != bits::cool && !(warm_too && now.state() == 0)) return false;
        return swap(now, now.with_state(bits::exclusive));
    }
    // The clock's first chance: 0 becomes cool.
    void cool_down(std::uint32_t frame) noexcept {
        auto const now = peek();
        if (now.state() == 0 && now.frame() == frame) (void)swap(now, now.with_state(bits::cool));
    }
    // A miss: the caller's frame goes in, held exclusively until the bytes are there.
    [[nodiscard]] bool claim_absent(std::uint32_t frame) noexcept {
        auto const now = peek();
        if (now.state() != bits::absent) return false;
        return swap(now, bits::make(now.version(), frame, bits::exclusive));
    }

    // Requires, for these three: the caller holds the page exclusively.
    void release(runtime& rt, bool changed, bool as_cool = false) noexcept {
        auto const now = peek();
        leave(
            rt, bits::make(now.version() + (changed ? 1 : 0), now.frame(), as_cool ? bits::cool : 0)
        );
    }
    void release_absent(runtime& rt) noexcept {
        leave(rt, bits::make(peek().version() + 1, 0, bits::absent));
    }

private:
    static_assert(std::endian::native == std::endian::little, "the low half comes first");

    [[nodiscard]] bool swap(bits expected, bits wanted) noexcept {
        return raw_.compare_exchange_strong(
            expected.raw, wanted.raw, std::memory_order_acq_rel, std::memory_order_relaxed
        );
    }
    // An exchange, not a store: "is anybody waiting" and the release are one step, or a waiter that
    // comes between them sleeps for ever.
    void leave(runtime& rt, bits next) noexcept {
        runtime::point(point_id::latch_released);
        auto const before = bits{raw_.exchange(next.raw, std::memory_order_acq_rel)};
        ensure(before.is_exclusive(), "an exclusive latch is released by who holds it");
        if (before.state() == bits::exclusive_waited) rt.unpark(address(), ~std::uint32_t{0});
    }
    void wait_for_exclusive(runtime& rt, bits now, std::uint32_t turn) noexcept {
        if (turn < 33) return rt.relax(turn);
        auto const waited = now.with_state(bits::exclusive_waited);
        if (now.state() == bits::exclusive && !swap(now, waited)) return;
        rt.park(address(), waited.low(), never);
    }
    void wait_for_shared(runtime& rt, bits now, std::uint32_t turn) noexcept {
        if (turn < 33) return rt.relax(turn);
        rt.park(address(), now.low(), rt.now() + std::chrono::milliseconds{1});
    }
    [[nodiscard]] std::uint32_t const* address() const noexcept {
        return reinterpret_cast<std::uint32_t const*>(&raw_);
    }

    typename Traits::template atomic<std::uint64_t> raw_{bits::absent};
};

} // namespace jetpp::inline v1
