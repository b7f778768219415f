// jetpp/recovery/backup_stamp.hpp - what a published backup leaves in the headers of its databases.
//
//     kind          writes         clears
//     full          full           incremental, differential
//     copy          copy
//     incremental   incremental
//     differential  differential
//     pages         nothing
// The record backup_end is durable before a header says so; who finds the record after a crash
// stamps again. Both go through here.
// Invariants
//   * an older end_lsn never replaces a newer one, so stamping twice changes nothing
//   * a mark never crosses a fork: the headers of another timeline stay as they are
// Threads  pure functions.
// Source   backup rules R25, R27.
#pragma once

#include <jetpp/log/records_instance.hpp>
#include <jetpp/page/database_header.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace jetpp::inline v1 {

// By the number of the kind in backup_begin and backup_end records (backup/backup_kind.hpp).
[[nodiscard]] constexpr std::optional<mark_kind> mark_of_backup(std::uint32_t kind) noexcept {
    switch (kind) {
    case 1: return mark_kind::full;
    case 2: return mark_kind::copy;
    case 3: return mark_kind::incremental;
    case 4: return mark_kind::differential;
    default: return std::nullopt;
    }
}

// Does the record speak of that database?
[[nodiscard]] inline bool is_member(record::backup_end const& end, uuid const& database) noexcept {
    for (std::size_t i = 0; i < end.count; ++i)
        if (end.member(i) == database) return true;
    return false;
}

// Returns: was anything changed?
inline bool stamp_backup(database_header& h, record::backup_end const& end) noexcept {
    auto const kind = mark_of_backup(end.kind);
    if (end.status != backup_status::published || !kind || end.timeline != h.timeline ||
        !is_member(end, h.database) || h.mark(*kind).set == end.set)
        return false;
    // A newer full took these marks away: replay does not bring them back.
    auto const& full = h.mark(mark_kind::full);
    auto const builds_on_full = *kind == mark_kind::incremental || *kind == mark_kind::differential;
    if (builds_on_full && full.exists() && end.end_lsn < full.end_lsn) return false;
    auto const taken = h.stamp(
        *kind,
        {.set = end.set,
         .redo_lsn = end.redo_lsn,
         .log_start = end.log_start,
         .end_lsn = end.end_lsn,
         .time = end.time,
         .timeline = end.timeline,
         .manifest_hash = end.manifest_hash}
    );
    if (taken && *kind == mark_kind::full)
        for (auto const older : {mark_kind::incremental, mark_kind::differential})
            h.marks[static_cast<std::size_t>(older)] = {};
    return taken;
}

} // namespace jetpp::inline v1
