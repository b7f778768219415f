// jetpp/checksum/detail/crc32c_portable.hpp - CRC-32C by tables, in constant expressions too.
//
// A state is the register of the bitwise algorithm (reflected, already inverted by the caller).
// Slicing-by-8 folds eight bytes by eight independent lookups: one load latency for eight bytes.
// Threads  pure functions.
// Source   Kounavis and Berry, A Systematic Approach to Building High Performance Software-based
//          CRC Generators (ISCC 2005).
#pragma once

#include <jetpp/core/bytes.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace jetpp::inline v1::detail {

inline constexpr std::uint32_t crc32c_polynomial = 0x82F63B78; // Castagnoli, reflected

using crc32c_slices = std::array<std::array<std::uint32_t, 256>, 8>;

// slice[k][b] is the state after byte b and k zero bytes.
[[nodiscard]] consteval crc32c_slices make_crc32c_slices() noexcept {
    auto slices = crc32c_slices{};
    for (std::uint32_t b = 0; b < 256; ++b) {
        auto state = b;
        for (int bit = 0; bit < 8; ++bit)
            state = (state >> 1) ^ ((state & 1) != 0 ? crc32c_polynomial : 0);
        slices[0][b] = state;
    }
    for (std::size_t k = 1; k < 8; ++k)
        for (std::size_t b = 0; b < 256; ++b)
            slices[k][b] = (slices[k - 1][b] >> 8) ^ slices[0][slices[k - 1][b] & 0xFF];
    return slices;
}

inline constexpr crc32c_slices crc32c_slice = make_crc32c_slices();

[[nodiscard]] constexpr std::uint32_t crc32c_byte(std::uint32_t state, std::byte next) noexcept {
    return (state >> 8) ^ crc32c_slice[0][(state ^ std::to_integer<std::uint32_t>(next)) & 0xFF];
}

// Eight bytes at once, given as the number they are in little endian order.
[[nodiscard]] constexpr std::uint32_t crc32c_word(
    std::uint32_t state, std::uint64_t next
) noexcept {
    auto const x = next ^ state;
    return crc32c_slice[7][x & 0xFF] ^ crc32c_slice[6][(x >> 8) & 0xFF] ^
           crc32c_slice[5][(x >> 16) & 0xFF] ^ crc32c_slice[4][(x >> 24) & 0xFF] ^
           crc32c_slice[3][(x >> 32) & 0xFF] ^ crc32c_slice[2][(x >> 40) & 0xFF] ^
           crc32c_slice[1][(x >> 48) & 0xFF] ^ crc32c_slice[0][x >> 56];
}

[[nodiscard]] constexpr std::uint32_t crc32c_portable(
    std::uint32_t state, std::byte const* first, std::size_t size
) noexcept {
    for (; size >= 8; size -= 8, first += 8) {
        auto word = std::uint64_t{0};
        if (std::is_constant_evaluated()) { // memcpy is no constant expression
            for (std::size_t i = 0; i < 8; ++i)
                word |= std::to_integer<std::uint64_t>(first[i]) << (8 * i);
        } else {
            word = load_le<std::uint64_t>(first);
        }
        state = crc32c_word(state, word);
    }
    for (; size != 0; --size, ++first) state = crc32c_byte(state, *first);
    return state;
}

} // namespace jetpp::inline v1::detail
