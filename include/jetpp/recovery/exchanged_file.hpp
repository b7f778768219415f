// jetpp/recovery/exchanged_file.hpp - is a database's file the one that was there before?
//
// While the engine was down somebody may have put an older copy in its place. Recovery would not
// notice: a clean file is taken to hold all that was logged up to its close, and what was logged
// between that and the newest checkpoint is in neither. So each checkpoint notes of every file that
// is clean when it was closed, and a file's header says dirty before anything else in it changes:
//
//     header clean since C, slot says C       nothing was written to it since C
//     header clean since C >= slot's redo     closed behind the slot: the log from C on is replayed
//     header clean since C, slot says 0 or D  another copy
// A copy that was made of a dirty file is found by its pages: each record names the page's former LSN.
// Threads  pure functions.
// Source   ESE compares the header's consistency with the log's at attach; backup rules R14 and R16.
#pragma once

#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/checkpoint_slot.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/recovery/analysis.hpp>
#include <jetpp/recovery/attached_database.hpp>

namespace jetpp::inline v1 {

// `slot`: the newest checkpoint; null: none is there, and nobody can tell.
[[nodiscard]] inline bool is_exchanged(
    database_header const& header, logged_database const& logged, checkpoint_slot const* slot
) noexcept {
    // From before it was attached anew. A new file gets its id when it is complete.
    if (header.state != database_state::creating && header.id != logged.id) return true;
    if (slot == nullptr || header.state != database_state::clean ||
        header.consistent_lsn >= slot->redo_lsn)
        return false;
    for (auto const& listed : slot->attached())
        if (listed.database == header.database)
            return listed.consistent_lsn != header.consistent_lsn;
    return true;
}

// Did a crash come between a durable attach and the header that was to follow it?
[[nodiscard]] inline bool is_half_attached(
    database_header const& header, logged_database const& logged
) noexcept {
    return logged.joined && header.state == database_state::clean &&
           header.attach_lsn != logged.attach_lsn && header.consistent_lsn == logged.consistent_lsn;
}

// Is it the file that this log speaks of, in a state that recovery can go on from?
// Errors: history_break (another database, another timeline, another copy), needs_restore,
// needs_recovery, foreign_database.
[[nodiscard]] inline result<void> check_file_of_log(
    database_header const& header,
    logged_database const& logged,
    uuid const& instance,
    timeline_id timeline,
    checkpoint_slot const* slot
) noexcept {
    if (header.database != logged.database) return error{.code = errc::history_break};
    BOOST_OUTCOME_TRY(check_usable(header.state));
    if (is_half_attached(header, logged)) return ok();
    if (header.instance != instance) return error{.code = errc::foreign_database};
    if (header.timeline != timeline) return error{.code = errc::history_break};
    if (is_exchanged(header, logged, slot))
        return error{.code = errc::history_break, .at = header.consistent_lsn};
    return ok();
}

} // namespace jetpp::inline v1
