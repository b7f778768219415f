// jetpp/backup/stored_unit.hpp - the bytes behind a frame header: how a unit is stored and hashed.
//
// Pages and log without compression are one zstd frame of raw blocks, written by hand:
//     0xFD2FB528 | descriptor 0xA4 | content size u32 | blocks ... | XXH64 of the content, low u32
// single segment, content size and checksum present. Blocks of at most 128 KiB, each behind 3 bytes
// {last:1, type:2, size:21}; a run of zeros is stored as one byte (type RLE), and most pages have
// one: what is free in them. So `zstd -t` (1.4.4 or newer) accepts every part and `zstd -dc` gives
// the file image, without a library on our side. 512 KiB take at most 25 bytes more, and 29 bytes in
// all if they are zero.
// Everything else (headers, indexes, trailer) is a skippable frame: 0x184D2A5B, size u32, bytes.
// Where a run begins is the encoder's choice: a decoder takes raw blocks and runs of zeros as they
// come, none of them empty, and the unit's hash says whether they are what was written.
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

// Shorter runs of zeros are left in their raw block: finding them would cost more looks.
inline constexpr std::size_t zero_run_min = 256;

struct zero_run {
    std::size_t begin;
    std::size_t end;
};

// The first run of at least zero_run_min zeros behind `from`; at the end, and empty, if there is
// none. One word in 128 bytes is looked at: a run of that length has one of them.
[[nodiscard]] inline zero_run find_zero_run(const_bytes in, std::size_t from) noexcept {
    constexpr std::size_t step = zero_run_min / 2;
    constexpr auto word = sizeof(std::uint64_t);
    for (auto at = round_up(from, step); at + word <= in.size(); at += step) {
        if (load_le<std::uint64_t>(in.data() + at) != 0) continue;
        auto found = zero_run{at, at + word};
        while (found.begin > from && in[found.begin - 1] == std::byte{0}) --found.begin;
        while (found.end + word <= in.size() && load_le<std::uint64_t>(in.data() + found.end) == 0)
            found.end += word;
        while (found.end < in.size() && in[found.end] == std::byte{0}) ++found.end;
        if (found.end - found.begin >= zero_run_min) return found;
        at = found.end / step * step;
    }
    return {in.size(), in.size()};
}

inline void store_block_head(std::byte* at, bool last, zstd_block type, std::size_t size) noexcept {
    auto const word = static_cast<std::uint32_t>(size) << 3 |
                      static_cast<std::uint32_t>(type) << 1 | (last ? 1U : 0U);
    at[0] = static_cast<std::byte>(word & 0xFF);
    at[1] = static_cast<std::byte>(word >> 8 & 0xFF);
    at[2] = static_cast<std::byte>(word >> 16 & 0xFF);
}

// One block of raw[at, at + size). Returns: the place behind it.
[[nodiscard]] inline std::byte* put_block(
    std::byte* to, const_bytes raw, std::size_t at, std::size_t size, zstd_block type
) noexcept {
    store_block_head(to, at + size == raw.size(), type, size);
    to += zstd_block_head;
    if (type == zstd_block::run) {
        *to = std::byte{0};
        return to + 1;
    }
    std::memcpy(to, raw.data() + at, size);
    return to + size;
}

} // namespace detail

// Room for the stored form of any content of that size: a run saves more than its blocks' heads.
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
    for (std::size_t at = 0; at < raw.size();) {
        auto const zeros = detail::find_zero_run(raw, at);
        for (; at < zeros.begin;) {
            auto const size = std::min(zeros.begin - at, detail::zstd_block_max);
            p = detail::put_block(p, raw, at, size, detail::zstd_block::raw);
            at += size;
        }
        for (; at < zeros.end;) {
            auto const size = std::min(zeros.end - at, detail::zstd_block_max);
            p = detail::put_block(p, raw, at, size, detail::zstd_block::run);
            at += size;
        }
    }
    auto const sum = XXH64(raw.data(), raw.size(), 0);
    store_le<std::uint32_t>(p, static_cast<std::uint32_t>(sum));
    return static_cast<std::size_t>(p + detail::zstd_sum_bytes - into.data());
}

// Requires: raw.size() is the content's size as the frame header says.
// Returns: false if the unit is no frame of raw blocks and zeros with that content, whole.
[[nodiscard]] inline bool decode_raw_unit(const_bytes unit, bytes raw) noexcept {
    using namespace detail;
    if (raw.empty() || unit.size() < zstd_head_bytes + zstd_sum_bytes) return false;
    auto const* p = unit.data();
    if (load_le<std::uint32_t>(p) != zstd_magic || p[4] != zstd_descriptor ||
        load_le<std::uint32_t>(p + 5) != raw.size())
        return false;
    unit = unit.subspan(zstd_head_bytes);
    for (auto left = raw; !left.empty();) {
        if (unit.size() < zstd_block_head + 1) return false;
        auto const head = std::to_integer<std::uint32_t>(unit[0]) |
                          std::to_integer<std::uint32_t>(unit[1]) << 8 |
                          std::to_integer<std::uint32_t>(unit[2]) << 16;
        auto const size = std::size_t{head >> 3};
        auto const type = static_cast<zstd_block>(head >> 1 & 3);
        if (size == 0 || size > zstd_block_max || size > left.size()) return false;
        if ((head & 1) != (size == left.size() ? 1U : 0U)) return false;
        unit = unit.subspan(zstd_block_head);
        if (type == zstd_block::run) {
            if (unit[0] != std::byte{0}) return false;
            std::memset(left.data(), 0, size);
            unit = unit.subspan(1);
        } else {
            if (type != zstd_block::raw || unit.size() < size) return false;
            std::memcpy(left.data(), unit.data(), size);
            unit = unit.subspan(size);
        }
        left = left.subspan(size);
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
