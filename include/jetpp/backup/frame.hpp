// jetpp/backup/frame.hpp - the 160 bytes in front of everything a backup set holds.
//
// A part is a sequence of frames and nothing else: header, unit, header, unit ... The header is a
// zstd skippable frame, so that stock zstd passes over it; the unit behind it is one too, or a
// zstd frame of its own.
// Layout (little-endian):
//     0  0x184D2A5A u32, 152 u32   a skippable frame of 152 bytes
//     8  "JBSFRAME"                16 type u8   17 flags u8   18 version u16   20 crc32c u32
//    24  set uuid                  40 part u32  44 file u16   46 codec u16
//    48  sequence u64              56 first u64 64 end u64    72 raw u32       76 stored u32
//    80  presence 16               96 hash 32  128 hash id u16 130 key slot + 1 u16
//   132  zero 28
// The crc is over all 160 bytes with its own field as zero; the hash over the stored unit.
// Invariants
//   * lengths are capped before anybody allocates: at most 1 MiB raw, at most 1 MiB stored; a
//     manifest, which only streams hold as a frame, 16 MiB
//   * a frame names its set, part and place in the part: none can be moved, left out or repeated
// Threads  pure functions.
// Owns     nothing.
#pragma once

#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace jetpp::inline v1 {

enum class frame_type : std::uint8_t {
    stream_header = 1, // the first of a part: what the part is about
    pages = 2,
    log = 3,
    page_index = 4,
    log_index = 5,
    app_meta = 6,
    manifest = 7, // on streams, which have no other place for it
    trailer = 8,  // the last of a part
    parity = 9,   // reserved
};

struct frame_flag {
    static constexpr std::uint8_t critical = 1; // who does not know the type must refuse the set
    static constexpr std::uint8_t last_of_part = 2;
    static constexpr std::uint8_t encrypted = 4;
    static constexpr std::uint8_t known = 7;
};

// How a unit is stored. `none` is still one zstd frame, of raw and run-length blocks; `wrapped` are
// plain bytes in a skippable frame.
enum class frame_codec : std::uint16_t { none = 0, zstd = 1, lz4 = 2, wrapped = 3 };
// Of the stored unit. One for all parts of a set; a manifest on a stream is under XXH3-128 in any
// case, for its text carries a SHA-256 of its own.
//   xxh3_128  finds accidents
//   sha_256   and the part digests, which are over the headers, then cover what the parts hold: who
//             keeps the manifest's hash elsewhere has proof of the whole set, without any key
enum class hash_id : std::uint16_t { xxh3_128 = 1, sha_256 = 2 };
// As manifests spell it.
[[nodiscard]] constexpr std::string_view name_of(hash_id id) noexcept {
    return id == hash_id::sha_256 ? "sha-256" : "xxh3-128";
}

inline constexpr std::size_t frame_header_bytes = 160;
inline constexpr std::uint32_t frame_raw_max = std::uint32_t{1} << 20;
inline constexpr std::uint32_t frame_stored_max = std::uint32_t{1} << 20;
inline constexpr std::uint32_t manifest_bytes_max = std::uint32_t{16} << 20;
// What a manifest may take as the unit of a frame.
inline constexpr std::uint32_t manifest_stored_max = manifest_bytes_max + 8;
// One run of a file image, and what it may grow by when it is stored.
inline constexpr std::uint32_t run_bytes = std::uint32_t{512} << 10;
static_assert(run_bytes / 4096 == 128, "one presence bit a page at the smallest page size");

// Names part and frame instead of page and LSN; describe() knows.
[[nodiscard]] constexpr error frame_error(
    errc code, std::uint32_t part, std::uint64_t sequence
) noexcept {
    return {
        .code = code, .page = page_number{part}, .file = file_kind::backup_part, .at = lsn{sequence}
    };
}

using presence_bits = std::array<std::byte, 16>;
constexpr void set_present(presence_bits& bits, std::size_t i) noexcept {
    bits[i / 8] |= static_cast<std::byte>(1U << (i % 8));
}
constexpr void set_absent(presence_bits& bits, std::size_t i) noexcept {
    bits[i / 8] &= ~static_cast<std::byte>(1U << (i % 8));
}
[[nodiscard]] constexpr bool is_present(presence_bits const& bits, std::size_t i) noexcept {
    return (bits[i / 8] & static_cast<std::byte>(1U << (i % 8))) != std::byte{0};
}

struct frame_header {
    static constexpr std::size_t size = frame_header_bytes;

    frame_type type{};
    std::uint8_t flags = frame_flag::critical;
    uuid set{};
    std::uint32_t part{};
    std::uint16_t file{}; // ordinal in the manifest: databases, then the log
    frame_codec codec{};
    std::uint64_t sequence{};
    std::uint64_t first{}; // page number or LSN
    std::uint64_t end{};   // one past the last
    std::uint32_t raw_bytes{};
    std::uint32_t stored_bytes{};
    presence_bits presence{};
    std::array<std::byte, 32> hash{}; // of the stored unit; unused bytes zero
    jetpp::hash_id hash_id = jetpp::hash_id::xxh3_128;
    std::uint16_t key_slot{}; // + 1; 0 = plain

    friend bool operator==(frame_header const&, frame_header const&) noexcept = default;

    [[nodiscard]] bool is_last() const noexcept { return (flags & frame_flag::last_of_part) != 0; }
    [[nodiscard]] bool is_critical() const noexcept { return (flags & frame_flag::critical) != 0; }

    // Requires: block.size() == size.
    void encode(bytes block) const noexcept;
    // Judges the header by itself; whether it is the one that must stand here is the reader's.
    // Requires: block.size() >= size.
    // Errors: set_damaged (magic, crc, a byte that must be zero), unsupported (version, flag,
    // codec, hash or critical type of a later format), limit_exceeded.
    [[nodiscard]] static result<frame_header> decode(const_bytes block) noexcept;
};

// A type this version gives a meaning.
[[nodiscard]] constexpr bool is_known(frame_type type) noexcept {
    return type >= frame_type::stream_header && type <= frame_type::trailer;
}

[[nodiscard]] constexpr std::uint32_t raw_max_of(frame_type type) noexcept {
    return type == frame_type::manifest ? manifest_bytes_max : frame_raw_max;
}
[[nodiscard]] constexpr std::uint32_t stored_max_of(frame_type type) noexcept {
    return type == frame_type::manifest ? manifest_stored_max : frame_stored_max;
}

namespace detail {

inline constexpr std::uint32_t skippable_magic = 0x184D2A5A;
inline constexpr std::string_view frame_magic{"JBSFRAME", 8};

struct frame_at {
    static constexpr std::size_t size = 4, magic = 8, type = 16, flags = 17, version = 18, crc = 20,
                                 set = 24, part = 40, file = 44, codec = 46, sequence = 48,
                                 first = 56, end = 64, raw_bytes = 72, stored_bytes = 76,
                                 presence = 80, hash = 96, hash_id = 128, key_slot = 130,
                                 zero = 132;
};
static_assert(frame_at::set + sizeof(uuid) == frame_at::part);
static_assert(frame_at::presence + sizeof(presence_bits) == frame_at::hash);
static_assert(frame_at::zero + 28 == frame_header_bytes);

[[nodiscard]] inline std::uint32_t frame_crc(std::byte const* header) noexcept {
    return crc32c_accumulator{}
        .add({header, frame_at::crc})
        .add_u32(0)
        .add({header + frame_at::set, frame_header_bytes - frame_at::set})
        .value();
}

} // namespace detail

inline void frame_header::encode(bytes block) const noexcept {
    using at = detail::frame_at;
    ensure(block.size() == size, "a frame header is 160 bytes");
    ensure(
        raw_bytes <= raw_max_of(type) && stored_bytes <= stored_max_of(type),
        "a frame obeys its caps"
    );
    auto* p = block.data();
    std::memset(p, 0, size);
    store_le<std::uint32_t>(p, detail::skippable_magic);
    store_le<std::uint32_t>(p + at::size, frame_header_bytes - 8);
    std::memcpy(p + at::magic, detail::frame_magic.data(), detail::frame_magic.size());
    p[at::type] = static_cast<std::byte>(type);
    p[at::flags] = static_cast<std::byte>(flags);
    store_le<std::uint16_t>(p + at::version, 1);
    std::memcpy(p + at::set, set.raw.data(), set.raw.size());
    store_le<std::uint32_t>(p + at::part, part);
    store_le<std::uint16_t>(p + at::file, file);
    store_le<std::uint16_t>(p + at::codec, static_cast<std::uint16_t>(codec));
    store_le<std::uint64_t>(p + at::sequence, sequence);
    store_le<std::uint64_t>(p + at::first, first);
    store_le<std::uint64_t>(p + at::end, end);
    store_le<std::uint32_t>(p + at::raw_bytes, raw_bytes);
    store_le<std::uint32_t>(p + at::stored_bytes, stored_bytes);
    std::memcpy(p + at::presence, presence.data(), presence.size());
    std::memcpy(p + at::hash, hash.data(), hash.size());
    store_le<std::uint16_t>(p + at::hash_id, static_cast<std::uint16_t>(hash_id));
    store_le<std::uint16_t>(p + at::key_slot, key_slot);
    store_le<std::uint32_t>(p + at::crc, detail::frame_crc(p));
}

inline result<frame_header> frame_header::decode(const_bytes block) noexcept {
    using at = detail::frame_at;
    ensure(block.size() >= size, "a frame header is 160 bytes");
    auto const* p = block.data();
    auto h = frame_header{};
    h.part = load_le<std::uint32_t>(p + at::part);
    h.sequence = load_le<std::uint64_t>(p + at::sequence);
    auto const refuse = [&](errc code) { return frame_error(code, h.part, h.sequence); };
    if (load_le<std::uint32_t>(p) != detail::skippable_magic ||
        load_le<std::uint32_t>(p + at::size) != frame_header_bytes - 8 ||
        as_text(block.subspan(at::magic, 8)) != detail::frame_magic ||
        load_le<std::uint32_t>(p + at::crc) != detail::frame_crc(p))
        return refuse(errc::set_damaged);

    // From here on the header says what its author meant.
    h.type = static_cast<frame_type>(p[at::type]);
    h.flags = std::to_integer<std::uint8_t>(p[at::flags]);
    std::memcpy(h.set.raw.data(), p + at::set, h.set.raw.size());
    h.file = load_le<std::uint16_t>(p + at::file);
    h.codec = static_cast<frame_codec>(load_le<std::uint16_t>(p + at::codec));
    h.first = load_le<std::uint64_t>(p + at::first);
    h.end = load_le<std::uint64_t>(p + at::end);
    h.raw_bytes = load_le<std::uint32_t>(p + at::raw_bytes);
    h.stored_bytes = load_le<std::uint32_t>(p + at::stored_bytes);
    std::memcpy(h.presence.data(), p + at::presence, h.presence.size());
    std::memcpy(h.hash.data(), p + at::hash, h.hash.size());
    h.hash_id = static_cast<jetpp::hash_id>(load_le<std::uint16_t>(p + at::hash_id));
    h.key_slot = load_le<std::uint16_t>(p + at::key_slot);
    if (load_le<std::uint16_t>(p + at::version) != 1 || (h.flags & ~frame_flag::known) != 0 ||
        h.codec > frame_codec::wrapped || (h.is_critical() && !is_known(h.type)))
        return refuse(errc::unsupported);
    auto hash_bytes = std::size_t{};
    switch (h.hash_id) {
    case hash_id::xxh3_128: hash_bytes = 16; break;
    case hash_id::sha_256: hash_bytes = 32; break;
    default: return refuse(errc::unsupported);
    }
    if (h.raw_bytes > raw_max_of(h.type) || h.stored_bytes > stored_max_of(h.type))
        return refuse(errc::limit_exceeded);
    if (!all_zero(block.subspan(at::zero, 28)) || h.end < h.first || h.set.is_nil() ||
        !all_zero(const_bytes{h.hash}.subspan(hash_bytes)))
        return refuse(errc::set_damaged);
    return h;
}

} // namespace jetpp::inline v1
