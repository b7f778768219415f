// jetpp/page/page_memory.hpp - the only functions that touch the bytes of a page in memory.
//
// A reader without a latch may look at a page while a writer changes it, and validates afterwards.
// For the language that is a race unless both sides use atomics: aligned scalars are relaxed
// atomics, runs of bytes are memcpy, memmove and memcmp between compiler barriers, and bytewise
// relaxed atomics under the thread sanitizer (which then proves the protocol). Writers use these
// functions too: a plain memmove under an exclusive latch still races with a reader's load.
// Whatever is read so is garbage until validated: callers clamp offsets and lengths first.
// Source  P1478 (byte-wise atomic memcpy); Boehm, "Can seqlocks get along with programming
//         language memory models?", MSPC 2012.
#pragma once

#include <jetpp/core/bytes.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace jetpp::inline v1::page_memory {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool bytewise = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool bytewise = true;
#else
inline constexpr bool bytewise = false;
#endif
#else
inline constexpr bool bytewise = false;
#endif

// Keeps the compiler from moving or fusing byte runs across it; costs no instruction.
inline void compiler_barrier() noexcept {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

// Requires: p aligned to sizeof(T). The number on disk is little endian.
template <std::unsigned_integral T>
[[nodiscard]] inline T load(std::byte const* p) noexcept {
    auto const value = __atomic_load_n(reinterpret_cast<T const*>(p), __ATOMIC_RELAXED);
    if constexpr (std::endian::native == std::endian::big) return swap_bytes(value);
    return value;
}

template <std::unsigned_integral T>
inline void store(std::byte* p, std::type_identity_t<T> value) noexcept {
    if constexpr (std::endian::native == std::endian::big) value = swap_bytes(value);
    __atomic_store_n(reinterpret_cast<T*>(p), value, __ATOMIC_RELAXED);
}

namespace detail {

[[nodiscard]] inline unsigned char byte_at(std::byte const* p) noexcept {
    return __atomic_load_n(reinterpret_cast<unsigned char const*>(p), __ATOMIC_RELAXED);
}
inline void put_byte(std::byte* p, unsigned char value) noexcept {
    __atomic_store_n(reinterpret_cast<unsigned char*>(p), value, __ATOMIC_RELAXED);
}

} // namespace detail

// From a page into private memory.
inline void load_bytes(std::byte* to, std::byte const* from, std::size_t n) noexcept {
    if constexpr (bytewise) {
        for (std::size_t i = 0; i < n; ++i)
            to[i] = static_cast<std::byte>(detail::byte_at(from + i));
    } else {
        compiler_barrier();
        if (n != 0) std::memcpy(to, from, n);
        compiler_barrier();
    }
}

// From private memory into a page.
inline void store_bytes(std::byte* to, std::byte const* from, std::size_t n) noexcept {
    if constexpr (bytewise) {
        for (std::size_t i = 0; i < n; ++i) {
            detail::put_byte(to + i, std::to_integer<unsigned char>(from[i]));
        }
    } else {
        compiler_barrier();
        if (n != 0) std::memcpy(to, from, n);
        compiler_barrier();
    }
}

inline void fill_zero(std::byte* to, std::size_t n) noexcept {
    if constexpr (bytewise) {
        for (std::size_t i = 0; i < n; ++i) detail::put_byte(to + i, 0);
    } else {
        compiler_barrier();
        if (n != 0) std::memset(to, 0, n);
        compiler_barrier();
    }
}

// Within one page; the ranges may overlap.
inline void move_bytes(std::byte* to, std::byte const* from, std::size_t n) noexcept {
    if constexpr (bytewise) {
        if (to <= from) {
            for (std::size_t i = 0; i < n; ++i) detail::put_byte(to + i, detail::byte_at(from + i));
        } else {
            for (std::size_t i = n; i-- > 0;) detail::put_byte(to + i, detail::byte_at(from + i));
        }
    } else {
        compiler_barrier();
        if (n != 0) std::memmove(to, from, n);
        compiler_barrier();
    }
}

// The sign of memcmp; either side may lie in a page.
[[nodiscard]] inline int compare_bytes(
    std::byte const* a, std::byte const* b, std::size_t n
) noexcept {
    if constexpr (bytewise) {
        for (std::size_t i = 0; i < n; ++i) {
            auto const x = detail::byte_at(a + i);
            auto const y = detail::byte_at(b + i);
            if (x != y) return x < y ? -1 : 1;
        }
        return 0;
    } else {
        compiler_barrier();
        auto const order = n == 0 ? 0 : std::memcmp(a, b, n);
        compiler_barrier();
        return order;
    }
}

// Lexicographic, shorter first on a tie.
[[nodiscard]] inline int compare_keys(const_bytes a, const_bytes b) noexcept {
    auto const shared = a.size() < b.size() ? a.size() : b.size();
    if (auto const order = compare_bytes(a.data(), b.data(), shared); order != 0) return order;
    return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

} // namespace jetpp::inline v1::page_memory
