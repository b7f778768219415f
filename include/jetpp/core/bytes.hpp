// jetpp/core/bytes.hpp - bytes and byte order: how every number on disk is read and written.
//
// Numbers in structures are little endian, numbers inside tree keys big endian (so that memcmp
// orders them). Structures on disk are tables of offsets read with these functions; no struct is
// ever laid over disk bytes, so alignment, padding and aliasing never matter.
// Threads  pure functions.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace jetpp::inline v1 {

using bytes = std::span<std::byte>;
using const_bytes = std::span<std::byte const>;

// std::byteswap is C++23; the loop folds to one instruction.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T swap_bytes(T value) noexcept {
    if constexpr (sizeof(T) == 1) {
        return value;
    } else {
        auto swapped = T{0};
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            swapped = static_cast<T>((swapped << 8) | (value & T{0xFF}));
            value = static_cast<T>(value >> 8);
        }
        return swapped;
    }
}

// Requires: sizeof(T) readable bytes at p; no alignment is asked for.
template <std::unsigned_integral T>
[[nodiscard]] inline T load_le(std::byte const* p) noexcept {
    T value;
    std::memcpy(&value, p, sizeof(T));
    if constexpr (std::endian::native == std::endian::big) value = swap_bytes(value);
    return value;
}

template <std::unsigned_integral T>
inline void store_le(std::byte* p, std::type_identity_t<T> value) noexcept {
    if constexpr (std::endian::native == std::endian::big) value = swap_bytes(value);
    std::memcpy(p, &value, sizeof(T));
}

template <std::unsigned_integral T>
[[nodiscard]] inline T load_be(std::byte const* p) noexcept {
    T value;
    std::memcpy(&value, p, sizeof(T));
    if constexpr (std::endian::native == std::endian::little) value = swap_bytes(value);
    return value;
}

template <std::unsigned_integral T>
inline void store_be(std::byte* p, std::type_identity_t<T> value) noexcept {
    if constexpr (std::endian::native == std::endian::little) value = swap_bytes(value);
    std::memcpy(p, &value, sizeof(T));
}

[[nodiscard]] inline const_bytes as_bytes(std::string_view text) noexcept {
    return std::as_bytes(std::span{text.data(), text.size()});
}

[[nodiscard]] inline std::string_view as_text(const_bytes raw) noexcept {
    return {reinterpret_cast<char const*>(raw.data()), raw.size()};
}

[[nodiscard]] inline bool all_zero(const_bytes raw) noexcept {
    // Comparing with itself one byte further on goes as fast as memory is read.
    return raw.empty() || (raw.front() == std::byte{0} &&
                           std::memcmp(raw.data(), raw.data() + 1, raw.size() - 1) == 0);
}

// Lexicographic order of unsigned bytes, shorter first on a tie: the order of keys in every tree.
[[nodiscard]] inline int compare_bytes(const_bytes a, const_bytes b) noexcept {
    auto const shared = a.size() < b.size() ? a.size() : b.size();
    if (shared != 0) {
        if (auto const order = std::memcmp(a.data(), b.data(), shared); order != 0) return order;
    }
    return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

// Requires: alignment is a power of two.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T round_up(T value, std::type_identity_t<T> alignment) noexcept {
    return static_cast<T>((value + (alignment - 1)) & ~(alignment - 1));
}

template <std::unsigned_integral T>
[[nodiscard]] constexpr T round_down(T value, std::type_identity_t<T> alignment) noexcept {
    return static_cast<T>(value & ~(alignment - 1));
}

} // namespace jetpp::inline v1
