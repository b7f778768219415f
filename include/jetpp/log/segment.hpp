// jetpp/log/segment.hpp - the on-disk shape of one log segment: its header, its name, its LSNs.
//
// Layout (little-endian):
//     0        4 KiB                                             segment_bytes
//     +--------+-------------+--------+--- ... ---+-----------------------+
//     | header | attach_list | record | records   | zeros, or a torn tail |
//     +--------+-------------+--------+--- ... ---+-----------------------+
// Invariants
//   * one use of a file, one generation and one nonce; the header is written once, when the file
//     is prepared, and never rewritten
//   * lsn = generation x segment_bytes + offset; the last 56 bytes are kept for segment_end
//   * a record's checksum is seeded with nonce and LSN: no former life of the file reads as one
//   * the chain: previous generation, previous nonce, and a cut when the previous segment has no
//     segment_end that counts
// Threads  pure functions.
// Owns     nothing.
// Source   ESE log generations; ARIES (Mohan et al., TODS 1992).
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/error.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/file_name.hpp>
#include <jetpp/env/runtime.hpp>
#include <jetpp/log/detail/file_preamble.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace jetpp::inline v1 {

inline constexpr std::uint64_t segment_bytes_min = 128 * 1024;
inline constexpr std::uint64_t segment_bytes_max = std::uint64_t{1} << 30;
inline constexpr std::uint64_t segment_bytes_default = 16 * 1024 * 1024;
inline constexpr std::uint64_t segment_header_bytes = 4096;
inline constexpr std::size_t attach_list_size_max = 1696;

static_assert(segment_header_bytes % 4096 == 0, "v and LSN agree mod 4096 at each segment start");

[[nodiscard]] constexpr bool is_segment_size(std::uint64_t segment_bytes) noexcept {
    return std::has_single_bit(segment_bytes) && segment_bytes >= segment_bytes_min &&
           segment_bytes <= segment_bytes_max;
}

// Requires (all four): is_segment_size(segment_bytes).
[[nodiscard]] constexpr std::uint64_t generation_of(lsn at, std::uint64_t segment_bytes) noexcept {
    return at.value >> std::countr_zero(segment_bytes);
}
[[nodiscard]] constexpr std::uint64_t offset_of(lsn at, std::uint64_t segment_bytes) noexcept {
    return at.value & (segment_bytes - 1);
}
// Where the first record of a generation stands.
[[nodiscard]] constexpr lsn first_lsn(
    std::uint64_t generation, std::uint64_t segment_bytes
) noexcept {
    return lsn{generation * segment_bytes + segment_header_bytes};
}
// One past the last byte of the file, as a position on the LSN axis.
[[nodiscard]] constexpr lsn segment_limit(
    std::uint64_t generation, std::uint64_t segment_bytes
) noexcept {
    return lsn{(generation + 1) * segment_bytes};
}
// The generation a new log (or an attach of a younger file) needs to stay above `seen`.
[[nodiscard]] constexpr std::uint64_t generation_above(
    lsn seen, std::uint64_t segment_bytes
) noexcept {
    return seen ? generation_of(seen, segment_bytes) + 1 : 1;
}

enum class logging_mode : std::uint16_t { circular = 1, archival = 2 };

struct segment_header {
    static constexpr std::size_t size = segment_header_bytes;

    std::uint64_t generation{};
    std::uint64_t segment_bytes{};
    uuid instance{};
    std::uint64_t nonce{}; // random, non-zero, never used twice
    std::uint64_t previous_nonce{};
    lsn cut{};                   // 0, or the logical end of the previous generation
    std::uint32_t incarnation{}; // open counter of the instance that prepared the file
    wall_time created_at{};
    wall_time previous_created_at{};
    logging_mode mode = logging_mode::circular; // informative
    timeline_id timeline{};
    timeline_id parent_timeline{}; // zero on a root timeline, as is fork_lsn
    lsn fork_lsn{};
    std::uint64_t previous_generation{}; // 0 for the first
    std::uint64_t compatible_bits{};

    friend bool operator==(segment_header const&, segment_header const&) noexcept = default;

    [[nodiscard]] lsn first() const noexcept { return first_lsn(generation, segment_bytes); }

    // Requires: block.size() == size.
    void encode(bytes block) const noexcept;

    // Requires: block.size() >= size.
    // Errors: bad_magic, bad_kind, unsupported_format, bad_header (checksum or impossible values),
    // unsupported_feature. Instance, timeline and chain are the caller's to compare: only it knows
    // which neighbour it came from.
    [[nodiscard]] static result<segment_header> decode(const_bytes block) noexcept;

    [[nodiscard]] bool is_plausible() const noexcept;
};

namespace detail {

inline constexpr file_preamble segment_preamble{
    .magic = std::string_view{"JETPPLOG", 8}, .kind = file_kind::log_segment
};

struct segment_at {
    static constexpr std::size_t compatible_bits = 32, generation = 40, segment_bytes = 48,
                                 first = 56, instance = 64, nonce = 80, previous_nonce = 88,
                                 cut = 96, incarnation = 108, created_at = 112,
                                 previous_created_at = 120, mode = 144, timeline = 152,
                                 parent_timeline = 160, fork_lsn = 168, previous_generation = 176;
};
static_assert(segment_at::previous_generation + 8 == 184);

inline void store_time(std::byte* at, wall_time time) noexcept {
    store_le<std::uint64_t>(at, static_cast<std::uint64_t>(time.ns));
}
[[nodiscard]] inline wall_time load_time(std::byte const* at) noexcept {
    return {static_cast<std::int64_t>(load_le<std::uint64_t>(at))};
}

} // namespace detail

inline void segment_header::encode(bytes block) const noexcept {
    using at = detail::segment_at;
    ensure(block.size() == size, "a segment header is 4096 bytes");
    ensure(is_plausible(), "a segment header that is written must be one that is read");
    std::memset(block.data(), 0, block.size());
    auto* p = block.data();
    detail::store_preamble(p, detail::segment_preamble);
    store_le<std::uint64_t>(p + at::compatible_bits, compatible_bits);
    store_le<std::uint64_t>(p + at::generation, generation);
    store_le<std::uint64_t>(p + at::segment_bytes, segment_bytes);
    store_le<std::uint64_t>(p + at::first, first().value);
    detail::store_uuid(p + at::instance, instance);
    store_le<std::uint64_t>(p + at::nonce, nonce);
    store_le<std::uint64_t>(p + at::previous_nonce, previous_nonce);
    store_le<std::uint64_t>(p + at::cut, cut.value);
    store_le<std::uint32_t>(p + at::incarnation, incarnation);
    detail::store_time(p + at::created_at, created_at);
    detail::store_time(p + at::previous_created_at, previous_created_at);
    store_le<std::uint16_t>(p + at::mode, static_cast<std::uint16_t>(mode));
    store_le<std::uint64_t>(p + at::timeline, timeline.value);
    store_le<std::uint64_t>(p + at::parent_timeline, parent_timeline.value);
    store_le<std::uint64_t>(p + at::fork_lsn, fork_lsn.value);
    store_le<std::uint64_t>(p + at::previous_generation, previous_generation);
    detail::seal_block(block);
}

inline bool segment_header::is_plausible() const noexcept {
    if (!is_segment_size(segment_bytes) || generation == 0 || nonce == 0) return false;
    if (generation >= lsn_limit.value / segment_bytes) return false;
    if (previous_generation >= generation) return false;
    if (!cut) return true;
    return previous_generation != 0 && cut >= first_lsn(previous_generation, segment_bytes) &&
           cut <= segment_limit(previous_generation, segment_bytes);
}

inline result<segment_header> segment_header::decode(const_bytes block) noexcept {
    using at = detail::segment_at;
    ensure(block.size() >= size, "a segment header is 4096 bytes");
    block = block.first(size);
    BOOST_OUTCOME_TRY(detail::check_preamble(block, detail::segment_preamble));
    auto const* p = block.data();
    auto h = segment_header{};
    h.compatible_bits = load_le<std::uint64_t>(p + at::compatible_bits);
    h.generation = load_le<std::uint64_t>(p + at::generation);
    h.segment_bytes = load_le<std::uint64_t>(p + at::segment_bytes);
    h.instance = detail::load_uuid(p + at::instance);
    h.nonce = load_le<std::uint64_t>(p + at::nonce);
    h.previous_nonce = load_le<std::uint64_t>(p + at::previous_nonce);
    h.cut = lsn{load_le<std::uint64_t>(p + at::cut)};
    h.incarnation = load_le<std::uint32_t>(p + at::incarnation);
    h.created_at = detail::load_time(p + at::created_at);
    h.previous_created_at = detail::load_time(p + at::previous_created_at);
    h.mode = static_cast<logging_mode>(load_le<std::uint16_t>(p + at::mode));
    h.timeline = timeline_id{load_le<std::uint64_t>(p + at::timeline)};
    h.parent_timeline = timeline_id{load_le<std::uint64_t>(p + at::parent_timeline)};
    h.fork_lsn = lsn{load_le<std::uint64_t>(p + at::fork_lsn)};
    h.previous_generation = load_le<std::uint64_t>(p + at::previous_generation);
    if (!h.is_plausible() || load_le<std::uint64_t>(p + at::first) != h.first().value)
        return error{.code = errc::bad_header, .file = file_kind::log_segment};
    return h;
}

// jet.<generation, 16 hex digits>.log
[[nodiscard]] constexpr file_name segment_file_name(std::uint64_t generation) noexcept {
    auto name = file_name{"jet."};
    return name.add_hex16(generation).add(".log");
}

// jet.spare-<number>.log: a file to recycle, its content means nothing.
[[nodiscard]] constexpr file_name spare_file_name(std::uint32_t number) noexcept {
    auto name = file_name{"jet.spare-"};
    char digits[10];
    auto first = std::size_t{10};
    do {
        digits[--first] = static_cast<char>('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return name.add({digits + first, 10 - first}).add(".log");
}

// Returns: the generation a name spells, or nothing if it is not the name of a segment.
[[nodiscard]] constexpr std::optional<std::uint64_t> parse_segment_name(std::string_view name
) noexcept {
    if (name.size() != 24 || !name.starts_with("jet.") || !name.ends_with(".log")) return {};
    auto generation = std::uint64_t{0};
    for (auto const c : name.substr(4, 16)) {
        auto const digit = c >= '0' && c <= '9'   ? c - '0'
                           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                  : -1;
        if (digit < 0) return {};
        generation = generation << 4 | static_cast<std::uint64_t>(digit);
    }
    return generation;
}

// Returns: the number of a spare file, or nothing if it is not one.
[[nodiscard]] constexpr std::optional<std::uint32_t> parse_spare_name(std::string_view name
) noexcept {
    if (!name.starts_with("jet.spare-") || !name.ends_with(".log")) return {};
    name = name.substr(10, name.size() - 14);
    if (name.empty() || name.size() > 9) return {};
    auto number = std::uint32_t{0};
    for (auto const c : name) {
        if (c < '0' || c > '9') return {};
        number = number * 10 + static_cast<std::uint32_t>(c - '0');
    }
    return number;
}

} // namespace jetpp::inline v1
