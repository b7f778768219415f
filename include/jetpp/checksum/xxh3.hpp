// jetpp/checksum/xxh3.hpp - XXH3-64, the second page checksum: 64 bits instead of 32.
//
// Include this header to choose it in the policies; nothing else of jetpp needs xxhash. The
// function is compiled into the including unit (XXH_INLINE_ALL), so there is nothing to link.
// Threads  pure functions.
// Source   Collet, xxHash (https://xxhash.com), Debian package libxxhash-dev.
#pragma once

#include <jetpp/checksum/concepts.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>

#include <cstdint>
#include <string_view>

#if !defined(XXH_INLINE_ALL)
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

namespace jetpp::inline v1 {

struct xxh3_64 {
    static constexpr std::uint16_t id = 2;
    static constexpr std::string_view name = "xxh3_64";

    // The page number is spread over the seed by an odd multiplier (2^64 / golden ratio), so that
    // neighbours with neighbouring nonces never share a seed.
    [[nodiscard]] static std::uint64_t page_sum(
        const_bytes page_from_byte_8, std::uint64_t nonce, page_number page
    ) noexcept {
        auto const seed = nonce ^ (std::uint64_t{page.value} * 0x9E3779B97F4A7C15u);
        return XXH3_64bits_withSeed(page_from_byte_8.data(), page_from_byte_8.size(), seed);
    }
};
static_assert(checksum_algorithm<xxh3_64>);

} // namespace jetpp::inline v1
