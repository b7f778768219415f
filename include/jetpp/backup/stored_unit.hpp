// jetpp/backup/stored_unit.hpp - the bytes behind a frame header: how a unit is stored and hashed.
//
// Pages and log without compression are one zstd frame of raw blocks, written by hand:
//     0xFD2FB528 | descriptor 0xA4 | content size u32 | blocks ... | XXH64 of the content, low u32
// single segment, content size and checksum present. Blocks of 128 KiB, the last may be shorter,
// each behind 3 bytes {last:1, type:2, size:21}; a block of zeros is stored as one byte (type RLE).
// So `zstd -t` accepts every part and `zstd -dc` gives the file image, without a library on our
// side. 512 KiB take 25 bytes more, or 29 bytes in all if they are zero.
// Everything else (headers, indexes, trailer) is a skippable frame: 0x184D2A5B, size u32, bytes.
// Invariants
//   * one content has one stored form: a decoder takes nothing but what encode() writes
// Threads  pure functions.
// Source   RFC 8878 (Zstandard), 3.1; xxHash.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if !defined(XXH_INLINE_ALL)
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

namespace jetpp::inline v1 {

namespace detail {

inline constexpr std::uint32_t zstd_magic = 0xFD2FB528;
inline constexpr std::uint32_t wrapped_magic = 0x184D2A5B;
inline constexpr std::byte zstd_descriptor{0xA4}; // size of 4 bytes, single segment, checksum
inline constexpr std::size_t zstd_head_bytes = 9;
inline constexpr std::size_t zstd_block_max = std::size_t{128} << 10;
inline constexpr std::size_t zstd_block_head = 3;
inline constexpr std::size_t zstd_sum_bytes = 4;

enum class zstd_block : std::uint32_t { raw = 0, run = 1 };

// Comparing with itself one byte further on is the fastest search for a byte that differs.
[[nodiscard]] inline bool is_zero_block(const_bytes block) noexcept {
    return block.front() == std::byte{0} &&
           std::memcmp(block.data(), block.data() + 1, block.size() - 1) == 0;
}

inline void store_block_head(std::byte* at, bool last, zstd_block type, std::size_t size) noexcept {
    auto const word = static_cast<std::uint32_t>(size) << 3 |
                      static_cast<std::uint32_t>(type) << 1 | (last ? 1U : 0U);
    at[0] = static_cast<std::byte>(word & 0xFF);
    at[1] = static_cast<std::byte>(word >> 8 & 0xFF);
    at[2] = static_cast<std::byte>(word >> 16 & 0xFF);
}

} // namespace detail

// Room for the stored form of any content of that size.
[[nodiscard]] constexpr std::size_t stored_bytes_max(std::size_t raw_bytes) noexcept {
    auto const blocks = raw_bytes / detail::zstd_block_max + 1;
    return detail::zstd_head_bytes + blocks * detail::zstd_block_head + raw_bytes +
           detail::zstd_sum_bytes;
}
static_assert(stored_bytes_max(run_bytes) <= frame_stored_max);
inline constexpr std::size_t wrapped_head_bytes = 8;

// As codec none. Requires: raw is not empty; into holds stored_bytes_max(raw.size()).
// Returns: the bytes used.
[[nodiscard]] inline std::size_t encode_raw_unit(const_bytes raw, bytes into) noexcept {
    ensure(!raw.empty() && raw.size() <= frame_raw_max, "a unit holds something, within its cap");
    ensure(into.size() >= stored_bytes_max(raw.size()), "a stored unit has room");
    auto* p = into.data();
    store_le<std::uint32_t>(p, detail::zstd_magic);
    p[4] = detail::zstd_descriptor;
    store_le<std::uint32_t>(p + 5, static_cast<std::uint32_t>(raw.size()));
    p += detail::zstd_head_bytes;
    for (auto left = raw; !left.empty();) {
        auto const block = left.first(std::min(left.size(), detail::zstd_block_max));
        left = left.subspan(block.size());
        auto const zero = detail::is_zero_block(block);
        detail::store_block_head(
            p, left.empty(), zero ? detail::zstd_block::run : detail::zstd_block::raw, block.size()
        );
        p += detail::zstd_block_head;
        if (zero) {
            *p++ = std::byte{0};
        } else {
            std::memcpy(p, block.data(), block.size());
            p += block.size();
        }
    }
    auto const sum = XXH64(raw.data(), raw.size(), 0);
    store_le<std::uint32_t>(p, static_cast<std::uint32_t>(sum));
    return static_cast<std::size_t>(p + detail::zstd_sum_bytes - into.data());
}

// Requires: raw.size() is the content's size as the frame header says.
// Returns: false if the unit is anything but what encode_raw_unit makes of some content.
[[nodiscard]] inline bool decode_raw_unit(const_bytes unit, bytes raw) noexcept {
    using namespace detail;
    if (raw.empty() || unit.size() < zstd_head_bytes + zstd_sum_bytes) return false;
    auto const* p = unit.data();
    if (load_le<std::uint32_t>(p) != zstd_magic || p[4] != zstd_descriptor ||
        load_le<std::uint32_t>(p + 5) != raw.size())
        return false;
    unit = unit.subspan(zstd_head_bytes);
    for (auto left = raw; !left.empty();) {
        auto const block = left.first(std::min(left.size(), zstd_block_max));
        left = left.subspan(block.size());
        if (unit.size() < zstd_block_head + 1) return false;
        auto const zero = (unit[0] & std::byte{6}) == std::byte{2};
        std::byte head[zstd_block_head];
        store_block_head(
            head, left.empty(), zero ? zstd_block::run : zstd_block::raw, block.size()
        );
        if (std::memcmp(head, unit.data(), zstd_block_head) != 0) return false;
        unit = unit.subspan(zstd_block_head);
        if (zero) {
            if (unit[0] != std::byte{0}) return false;
            std::memset(block.data(), 0, block.size());
            unit = unit.subspan(1);
        } else {
            if (unit.size() < block.size()) return false;
            std::memcpy(block.data(), unit.data(), block.size());
            if (is_zero_block(block)) return false; // it has a shorter form
            unit = unit.subspan(block.size());
        }
    }
    if (unit.size() != zstd_sum_bytes) return false;
    auto const sum = static_cast<std::uint32_t>(XXH64(raw.data(), raw.size(), 0));
    return load_le<std::uint32_t>(unit.data()) == sum;
}

// As codec wrapped. Requires: into holds content.size() + wrapped_head_bytes.
[[nodiscard]] inline std::size_t encode_wrapped_unit(const_bytes content, bytes into) noexcept {
    ensure(into.size() >= content.size() + wrapped_head_bytes, "a stored unit has room");
    store_le<std::uint32_t>(into.data(), detail::wrapped_magic);
    store_le<std::uint32_t>(into.data() + 4, static_cast<std::uint32_t>(content.size()));
    if (!content.empty())
        std::memmove(into.data() + wrapped_head_bytes, content.data(), content.size());
    return content.size() + wrapped_head_bytes;
}

// Returns: the content inside the unit; a view without data() if it is no such unit.
[[nodiscard]] inline const_bytes decode_wrapped_unit(const_bytes unit) noexcept {
    if (unit.size() < wrapped_head_bytes ||
        load_le<std::uint32_t>(unit.data()) != detail::wrapped_magic ||
        load_le<std::uint32_t>(unit.data() + 4) != unit.size() - wrapped_head_bytes)
        return {};
    return unit.subspan(wrapped_head_bytes);
}

// XXH3-128 in its canonical (big endian) byte order: finds accidents, proves no author.
[[nodiscard]] inline std::array<std::byte, 32> unit_hash(const_bytes unit) noexcept {
    auto hash = std::array<std::byte, 32>{};
    auto const sum = XXH3_128bits(unit.data(), unit.size());
    store_be<std::uint64_t>(hash.data(), sum.high64);
    store_be<std::uint64_t>(hash.data() + 8, sum.low64);
    return hash;
}

// Errors: unsupported (SHA-256, by the library), out_of_memory.
[[nodiscard]] inline result<std::array<std::byte, 32>> unit_hash(
    hash_id id, const_bytes unit
) noexcept {
    if (id == hash_id::sha_256) return sha256::of(unit);
    return unit_hash(unit);
}
// Is the unit what its header says, hashed as all of its set? Errors: set_damaged, as unit_hash().
[[nodiscard]] inline result<void> check_unit_hash(
    frame_header const& head, hash_id of_set, const_bytes unit
) noexcept {
    auto const refuse = [&](errc code) { return frame_error(code, head.part, head.sequence); };
    if (head.hash_id != of_set) return refuse(errc::set_damaged);
    auto const hash = unit_hash(of_set, unit);
    if (!hash) return refuse(hash.error().code);
    if (hash.assume_value() != head.hash) return refuse(errc::set_damaged);
    return ok();
}

} // namespace jetpp::inline v1
