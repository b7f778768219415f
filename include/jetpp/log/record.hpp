// jetpp/log/record.hpp - what every log record begins with, and what every page change carries.
//
// Layout (little-endian), offsets from the start of the record:
//     0  length u32   with header and padding, multiple of 8; stored last: it publishes the record
//     4  crc u32      see record_crc.hpp
//     8  type u8      number in bits 0-6; bit 7: a reader that does not know it may skip it
//     9  flags u8     1 system, 2 compensation, 8 encrypted (reserved), 16 first of transaction
//    10  database u16, 12 tree u32
//    16  transaction u64 = LSN of its first record; 0 = none
//    24  payload; a page part (24 bytes) first where exactly one page is changed
// Invariants
//   * a record holds at most one part a page
//   * there is no begin record: the first record of a transaction bears its own LSN and flag 16
// Threads  pure functions.
// Source   ARIES (Mohan et al., TODS 1992) for page_lsn and compensation; prev_page_lsn is ours, so
//          that redo proves that the page it finds is the one the change was made on.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace jetpp::inline v1 {

// The byte as it stands on disk. Missing numbers are reserved and never written by this version.
enum class record_type : std::uint8_t {
    none = 0,
    commit = 0x02,
    rollback = 0x03,
    insert = 0x08,
    update = 0x09,
    ghost = 0x0A,
    revive = 0x0B,
    ghost_remove = 0x0C,
    insert_run = 0x0E,
    structure = 0x10,
    page_image = 0x11,
    page_free = 0x12,
    page_alloc = 0x13,
    extend = 0x14,
    tree_create = 0x18,
    tree_drop = 0x19,
    tree_rename = 0x1A,
    db_create = 0x20,
    attach = 0x21,
    detach = 0x22,
    attach_list = 0x23,
    checkpoint_mark = 0xA8,
    backup_begin = 0xA9,
    backup_end = 0xAA,
    recovery_begin = 0xAB,
    recovery_end = 0xAC,
    time_mark = 0xAD,
    verify = 0xAE,
    restore_point = 0xB0,
    unlogged_range = 0x34, // a reader stops with errc::unlogged_changes
    user = 0xBC,
    pad = 0xBD,
    segment_end = 0x3E,
};

// Bits 0-6 name the type; the same number with another bit 7 is no known record.
[[nodiscard]] constexpr std::uint8_t number_of(record_type type) noexcept {
    return static_cast<std::uint8_t>(static_cast<std::uint8_t>(type) & 0x7F);
}
[[nodiscard]] constexpr bool may_be_skipped(record_type type) noexcept {
    return (static_cast<std::uint8_t>(type) & 0x80) != 0;
}

enum class record_flags : std::uint8_t {
    none = 0,
    system = 1,       // never undone: structure changes and housekeeping
    compensation = 2, // undoes; its page part names undo_lsn
    encrypted = 8,    // reserved
    first_of_transaction = 16,
};
[[nodiscard]] constexpr record_flags operator|(record_flags a, record_flags b) noexcept {
    return static_cast<record_flags>(static_cast<std::uint8_t>(a) | static_cast<std::uint8_t>(b));
}
[[nodiscard]] constexpr bool has(record_flags all, record_flags one) noexcept {
    return (static_cast<std::uint8_t>(all) & static_cast<std::uint8_t>(one)) != 0;
}
inline constexpr std::uint8_t record_flags_known = 1 | 2 | 8 | 16;

inline constexpr std::size_t record_header_size = 24;
inline constexpr std::size_t page_part_size = 24;
inline constexpr std::size_t pad_size_max = 8192;
inline constexpr std::size_t segment_end_size = 56; // kept free at the end of every segment

// No record but a pad is longer.
[[nodiscard]] constexpr std::size_t record_size_max(std::size_t page_size) noexcept {
    return 4 * page_size + 4096;
}
inline constexpr std::size_t record_size_limit = record_size_max(65536); // at the largest page size

[[nodiscard]] constexpr std::size_t padded(std::size_t bytes_used) noexcept {
    return round_up(bytes_used, 8);
}

// A transaction is named by the LSN of its first record.
struct record_header {
    record_type type{};
    record_flags flags{};
    database_id database{};
    tree_id tree{};
    lsn transaction{};
    friend constexpr bool operator==(record_header const&, record_header const&) noexcept = default;
};

// Writes bytes 8..23. Length and CRC are the writer's: they come last.
// Requires: 24 writable bytes at `record`.
inline void encode_header(std::byte* record, record_header const& header) noexcept {
    record[8] = static_cast<std::byte>(header.type);
    record[9] = static_cast<std::byte>(header.flags);
    store_le<std::uint16_t>(record + 10, header.database.value);
    store_le<std::uint32_t>(record + 12, header.tree.value);
    store_le<std::uint64_t>(record + 16, header.transaction.value);
}

// Requires: 24 readable bytes at `record`. Judges nothing.
[[nodiscard]] inline record_header decode_header(std::byte const* record) noexcept {
    return {
        .type = static_cast<record_type>(record[8]),
        .flags = static_cast<record_flags>(record[9]),
        .database = {load_le<std::uint16_t>(record + 10)},
        .tree = {load_le<std::uint32_t>(record + 12)},
        .transaction = {load_le<std::uint64_t>(record + 16)},
    };
}

[[nodiscard]] inline std::uint32_t decode_length(std::byte const* record) noexcept {
    return load_le<std::uint32_t>(record);
}
[[nodiscard]] inline std::uint32_t decode_crc(std::byte const* record) noexcept {
    return load_le<std::uint32_t>(record + 4);
}

enum class part_flags : std::uint16_t {
    none = 0,
    format = 1, // blind: makes the page from nothing, prev_page_lsn is 0
    new_indirect = 2,
    old_indirect = 4,
};
[[nodiscard]] constexpr part_flags operator|(part_flags a, part_flags b) noexcept {
    return static_cast<part_flags>(static_cast<std::uint16_t>(a) | static_cast<std::uint16_t>(b));
}
[[nodiscard]] constexpr bool has(part_flags all, part_flags one) noexcept {
    return (static_cast<std::uint16_t>(all) & static_cast<std::uint16_t>(one)) != 0;
}

inline constexpr std::uint16_t no_slot = 0xFFFF;

//  0 page u32, 4 slot u16, 6 flags u16, 8 prev_page_lsn u64, 16 undo_lsn u64
struct page_part {
    page_number page{no_page};
    std::uint16_t slot = no_slot;
    part_flags flags{};
    lsn prev_page_lsn{}; // page_lsn before this record; 0 with `format`
    lsn undo_lsn{};      // compensation only: LSN of the oldest record undone
    friend constexpr bool operator==(page_part const&, page_part const&) noexcept = default;
};

inline void encode_part(std::byte* at, page_part const& part) noexcept {
    store_le<std::uint32_t>(at, part.page.value);
    store_le<std::uint16_t>(at + 4, part.slot);
    store_le<std::uint16_t>(at + 6, static_cast<std::uint16_t>(part.flags));
    store_le<std::uint64_t>(at + 8, part.prev_page_lsn.value);
    store_le<std::uint64_t>(at + 16, part.undo_lsn.value);
}

[[nodiscard]] inline page_part decode_part(std::byte const* at) noexcept {
    return {
        .page = {load_le<std::uint32_t>(at)},
        .slot = load_le<std::uint16_t>(at + 4),
        .flags = static_cast<part_flags>(load_le<std::uint16_t>(at + 6)),
        .prev_page_lsn = {load_le<std::uint64_t>(at + 8)},
        .undo_lsn = {load_le<std::uint64_t>(at + 16)},
    };
}

// A record whose bytes break the table of its type. The reader adds the LSN.
[[nodiscard]] constexpr error bad_record() noexcept {
    return {.code = errc::log_corrupt, .file = file_kind::log_segment};
}

[[nodiscard]] constexpr std::string_view name_of(record_type type) noexcept {
    switch (type) {
    case record_type::none: return "none";
    case record_type::commit: return "commit";
    case record_type::rollback: return "rollback";
    case record_type::insert: return "insert";
    case record_type::update: return "update";
    case record_type::ghost: return "ghost";
    case record_type::revive: return "revive";
    case record_type::ghost_remove: return "ghost_remove";
    case record_type::insert_run: return "insert_run";
    case record_type::structure: return "structure";
    case record_type::page_image: return "page_image";
    case record_type::page_free: return "page_free";
    case record_type::page_alloc: return "page_alloc";
    case record_type::extend: return "extend";
    case record_type::tree_create: return "tree_create";
    case record_type::tree_drop: return "tree_drop";
    case record_type::tree_rename: return "tree_rename";
    case record_type::db_create: return "db_create";
    case record_type::attach: return "attach";
    case record_type::detach: return "detach";
    case record_type::attach_list: return "attach_list";
    case record_type::checkpoint_mark: return "checkpoint_mark";
    case record_type::backup_begin: return "backup_begin";
    case record_type::backup_end: return "backup_end";
    case record_type::recovery_begin: return "recovery_begin";
    case record_type::recovery_end: return "recovery_end";
    case record_type::time_mark: return "time_mark";
    case record_type::verify: return "verify";
    case record_type::restore_point: return "restore_point";
    case record_type::unlogged_range: return "unlogged_range";
    case record_type::user: return "user";
    case record_type::pad: return "pad";
    case record_type::segment_end: return "segment_end";
    }
    return "unknown";
}

} // namespace jetpp::inline v1
