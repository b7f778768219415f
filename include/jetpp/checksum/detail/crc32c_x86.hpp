// jetpp/checksum/detail/crc32c_x86.hpp - CRC-32C by the crc32 instruction, three lanes at a time.
//
// The instruction takes eight bytes a cycle but answers after three, so one chain uses a third of
// it. Three chains run over three neighbouring stretches of equal length; then the first two states
// are moved past the bytes that follow them, which is a multiplication by x^n, and all are added.
//
//     |<-- words -->|<-- words -->|<-- words -->|< 23 bytes at most >|
//     | lane a      | lane b      | lane c      | one chain          |
//     state = a * x^(128 words) + b * x^(64 words) + c
//
// A product of two 32-bit reflected polynomials, read as 64 bits by crc32 of a zero state, comes
// out multiplied by x^33: the table holds x^(64 words - 33). Any length up to 12 KiB is one pass,
// so a page or a record pays for one combination.
// Threads  pure functions; run only where crc32c_has_hardware() is true.
// Source   Gopal et al., Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction (2011).
#pragma once

#if defined(__x86_64__)

#include <jetpp/checksum/detail/crc32c_portable.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace jetpp::inline v1::detail {

inline constexpr std::size_t crc32c_lane_words_max = 512;

// The builtins are named directly: <immintrin.h> costs more to parse than all of this room.
using crc32c_vector = long long __attribute__((vector_size(16)));

[[nodiscard]] consteval auto make_crc32c_shifts() noexcept {
    auto shifts = std::array<std::uint32_t, 2 * crc32c_lane_words_max + 1>{};
    shifts[1] = 1; // x^31, reflected
    for (std::size_t words = 2; words < shifts.size(); ++words)
        shifts[words] = crc32c_word(shifts[words - 1], 0);
    return shifts;
}

inline constexpr auto crc32c_shift = make_crc32c_shifts();

[[nodiscard]] inline bool crc32c_has_hardware() noexcept {
#if defined(__SSE4_2__) && defined(__PCLMUL__)
    return true;
#else
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
#endif
}

[[nodiscard, gnu::target("sse4.2")]] inline std::uint32_t crc32c_hardware_word(
    std::uint32_t state, std::uint64_t next
) noexcept {
    return static_cast<std::uint32_t>(__builtin_ia32_crc32di(state, next));
}

[[nodiscard, gnu::target("sse4.2,pclmul")]] inline std::uint32_t crc32c_hardware(
    std::uint32_t state, std::byte const* first, std::size_t size
) noexcept {
    auto const word_at = [](std::byte const* p) noexcept {
        std::uint64_t word; // x86 is little endian
        std::memcpy(&word, p, sizeof(word));
        return word;
    };
    while (size >= 96) { // below, one chain is as fast as three and their combination
        auto const words = size / 24 < crc32c_lane_words_max ? size / 24 : crc32c_lane_words_max;
        auto a = std::uint64_t{state};
        auto b = std::uint64_t{0};
        auto c = std::uint64_t{0};
        auto const* const end = first + 8 * words;
        for (; first != end; first += 8) {
            a = __builtin_ia32_crc32di(a, word_at(first));
            b = __builtin_ia32_crc32di(b, word_at(first + 8 * words));
            c = __builtin_ia32_crc32di(c, word_at(first + 16 * words));
        }
        auto const past_two = crc32c_vector{static_cast<long long>(crc32c_shift[2 * words]), 0};
        auto const past_one = crc32c_vector{static_cast<long long>(crc32c_shift[words]), 0};
        auto const moved_a =
            __builtin_ia32_pclmulqdq128(crc32c_vector{static_cast<long long>(a), 0}, past_two, 0);
        auto const moved_b =
            __builtin_ia32_pclmulqdq128(crc32c_vector{static_cast<long long>(b), 0}, past_one, 0);
        auto const moved = static_cast<std::uint64_t>(moved_a[0] ^ moved_b[0]);
        state = static_cast<std::uint32_t>(__builtin_ia32_crc32di(0, moved) ^ c);
        first += 16 * words;
        size -= 24 * words;
    }
    for (; size >= 8; size -= 8, first += 8)
        state = static_cast<std::uint32_t>(__builtin_ia32_crc32di(state, word_at(first)));
    for (; size != 0; --size, ++first)
        state = __builtin_ia32_crc32qi(state, std::to_integer<std::uint8_t>(*first));
    return state;
}

} // namespace jetpp::inline v1::detail

#endif
