// jetpp/page/database_header.hpp - the two header copies of a database file.
//
// Layout: copies of 4096 bytes at file offsets 0 (A) and 65536 (B), whatever the page size; the
// rest of the first 131072 bytes is zero. Offsets of every field: detail/database_header_codec.hpp.
// Write order
//   * a change that recovery or identity depends on writes first the copy that is not the newest
//     valid one, syncs, then the other and syncs: needs_both_copies()
//   * a change of min_required_lsn, scrub, counters or hints writes only the older copy
// Invariants
//   * of two valid copies the larger sequence holds; one torn write never loses both
//   * a copy that verifies but speaks a later format refuses the file: its author knew more
// Threads  pure functions over values.
// Source   ESE database header and shadow header (DBFILEHDR, bkinfo marks).
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/runtime.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace jetpp::inline v1 {

enum class database_state : std::uint32_t {
    creating = 1, // recovery accepts it only for a db_create in the log
    dirty = 2,
    clean = 3,     // the only state that attach accepts
    restoring = 4, // never opened by engine or recovery, like 7, 8 and 9
    recovering = 5,
    failed = 6,      // recovery accepts it when the caller asks for repair
    standby = 7,     // reserved
    branch = 8,      // reserved
    backup_copy = 9, // the frozen header of a delivered copy
};

// What the last backup of one kind covered. A nil set means there was none.
struct backup_mark {
    uuid set{};
    lsn redo_lsn{}; // threshold of an incremental by pages
    lsn log_start{};
    lsn end_lsn{};
    wall_time time{};
    timeline_id timeline{};
    std::uint64_t manifest_hash{}; // its first 8 bytes, in stream order

    friend bool operator==(backup_mark const&, backup_mark const&) = default;
    [[nodiscard]] bool exists() const noexcept { return !set.is_nil(); }
};

enum class mark_kind : std::uint8_t { full = 0, incremental = 1, copy = 2, differential = 3 };

// Where a timeline left its parent.
struct timeline_fork {
    timeline_id parent{};
    lsn fork_lsn{};
    friend bool operator==(timeline_fork const&, timeline_fork const&) = default;
};

inline constexpr std::size_t ancestors_max = 31;

// How a reader treats reserved bytes: a normal open ignores them, a strict one does not.
enum class reserved_bytes : std::uint8_t { ignored, checked };

struct database_header {
    static constexpr std::size_t size = 4096;
    static constexpr std::uint64_t copy_a_offset = 0;
    static constexpr std::uint64_t copy_b_offset = 65536;
    static constexpr std::uint32_t exempt_flag = 1; // backups leave this database out

    std::uint64_t incompatible_bits{};
    std::uint64_t read_only_bits{}; // unknown ones allow a read-only open
    std::uint64_t sequence{};       // of this copy
    std::uint32_t page_size{};
    std::uint16_t checksum_id{};
    database_state state = database_state::creating;
    uuid database{};
    uuid instance{};
    std::uint64_t nonce{}; // random non-zero, seed of page checksums, fixed for life
    database_id id{};
    lsn attach_lsn{};
    lsn consistent_lsn{};  // valid when clean
    lsn last_resize_lsn{}; // of the extend or shrink last applied
    lsn min_required_lsn{};
    lsn max_required_lsn{};
    wall_time created_at{};
    wall_time attached_at{};
    // The truth is the last extend record or the file size; but the log has known of so many.
    std::uint32_t pages_hint{};
    std::uint32_t flags{};
    std::array<backup_mark, 4> marks{}; // by mark_kind
    uuid restored_from{};
    lsn restore_point{};
    wall_time scrubbed_at{};
    std::uint64_t scrub_next_page{};
    std::uint32_t bad_checksums{};
    std::uint32_t repaired{};
    std::uint32_t lost_flushes{};
    std::uint32_t repair_runs{};
    std::uint32_t masked_damage{}; // rotten home, good copy in the pool
    uuid source_set{};             // states 4, 7, 8, 9
    timeline_id timeline{};
    std::array<char, 64> writer{}; // program and version, zero padded
    lsn max_lsn{};                 // bound of every page_lsn in the file, exact when clean
    std::uint32_t ancestor_count{};
    std::array<timeline_fork, ancestors_max> ancestors{}; // newest first

    friend bool operator==(database_header const&, database_header const&) = default;

    [[nodiscard]] std::span<timeline_fork const> ancestry() const noexcept {
        return {ancestors.data(), ancestor_count};
    }
    [[nodiscard]] backup_mark const& mark(mark_kind kind) const noexcept {
        return marks[static_cast<std::size_t>(kind)];
    }
    [[nodiscard]] bool is_backup_exempt() const noexcept { return (flags & exempt_flag) != 0; }
    void set_backup_exempt(bool exempt) noexcept {
        flags = exempt ? flags | exempt_flag : flags & ~exempt_flag;
    }
    [[nodiscard]] std::string_view writer_text() const noexcept;
    void set_writer(std::string_view text) noexcept; // cut at 63 bytes

    // An older end never replaces a newer one. Returns: was the mark taken?
    bool stamp(mark_kind kind, backup_mark const& mark) noexcept;
    void clear_marks() noexcept { marks = {}; }
    // Backups that are stamped here sealed the log of that timeline up to there: it cannot end below.
    [[nodiscard]] lsn stamped_end(timeline_id of) const noexcept {
        auto end = no_lsn;
        for (auto const& mark : marks)
            if (mark.exists() && mark.timeline == of) end = later(end, mark.end_lsn);
        return end;
    }
    // History forks here: the present timeline becomes the newest ancestor, marks are cleared.
    // The oldest ancestor drops out of a full list (bases on it are refused later).
    void fork(timeline_id next, lsn fork_lsn) noexcept;

    // Are all fields what a header may say? (Not: what this engine wants, see check_policies.)
    [[nodiscard]] bool is_plausible() const noexcept;
    // Errors: page_size_mismatch, checksum_mismatch (found() and expected() name both values).
    [[nodiscard]] result<void> check_policies(
        std::uint32_t page_size_wanted, std::uint16_t checksum_wanted
    ) const noexcept;

    // Requires: block.size() == size, is_plausible().
    void encode(bytes block) const noexcept;
    // Errors: bad_magic, bad_kind, unsupported_format, bad_header (checksum), unsupported_feature
    //         (at.value holds the unknown bits), bad_header (an impossible field); in this order.
    [[nodiscard]] static result<database_header> decode(
        const_bytes block, reserved_bytes reserved = reserved_bytes::ignored
    ) noexcept;
};

// Bits this version knows. v1 defines none.
inline constexpr std::uint64_t known_incompatible_bits = 0;
inline constexpr std::uint64_t known_read_only_bits = 0;

[[nodiscard]] inline bool is_read_only_format(database_header const& header) noexcept {
    return (header.read_only_bits & ~known_read_only_bits) != 0;
}

// Must a change from `before` to `after` reach both copies before anything relies on it?
// False for sequence, min_required_lsn, scrub, counters and the page hint alone: falling back to
// the other copy's values is safe for those.
[[nodiscard]] bool needs_both_copies(
    database_header const& before, database_header const& after
) noexcept;

enum class header_copy : std::uint8_t { a, b };
[[nodiscard]] constexpr std::uint64_t offset_of(header_copy copy) noexcept {
    return copy == header_copy::a ? database_header::copy_a_offset : database_header::copy_b_offset;
}
[[nodiscard]] constexpr header_copy other(header_copy copy) noexcept {
    return copy == header_copy::a ? header_copy::b : header_copy::a;
}

struct newest_header {
    database_header header{};
    header_copy from{};
    // The other copy is bad or stale: open rewrites it before anything else.
    bool other_needs_rewrite{};
};

// Errors: those of decode(), of the copy that is less broken. A copy whose checksum is right but
//         whose format or features are unknown decides, whatever the other one says.
[[nodiscard]] result<newest_header> newest_of(
    const_bytes copy_a, const_bytes copy_b, reserved_bytes reserved = reserved_bytes::ignored
) noexcept;

} // namespace jetpp::inline v1

#include <jetpp/page/detail/database_header_codec.hpp>
