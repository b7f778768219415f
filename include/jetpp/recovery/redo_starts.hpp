// jetpp/recovery/redo_starts.hpp - where redo begins, and what each file has already.
//
//     log  ----|------------|--------------|-----------> end
//              redo from    file A lacks   file B, which was closed, lacks
//
// Invariant: found once, before redo. A header that changes on the way (a mark of a backup, a file
//            that becomes dirty) changes what it asks for, but not what its file lacks.
// Threads    one: recovery, before anything else touches the files.
#pragma once

#include <jetpp/core/ids.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/recovery/attached_database.hpp>

#include <span>

namespace jetpp::inline v1 {

// Fills redo_from of each database with a file. `slot_redo`: the newest checkpoint's word.
// `restoring`: the files are copies, which lack what was logged before a detach, too.
// Returns: where redo of all of them begins.
template <class Traits>
[[nodiscard]] lsn find_redo_starts(
    std::span<attached_database<Traits>> databases, lsn slot_redo, bool restoring
) noexcept {
    auto first = slot_redo;
    for (auto& known : databases) {
        if (known.file == nullptr) continue;
        auto const header = known.file->header();
        // Its older header copy's word, if that is earlier.
        known.redo_from = earlier(slot_redo, known.file->min_required_floor());
        if (header.state == database_state::clean)
            known.redo_from = later(known.redo_from, header.consistent_lsn);
        else
            first = earlier(first, known.redo_from);
        if (!restoring) known.redo_from = later(known.redo_from, known.attach_lsn);
    }
    return first;
}

} // namespace jetpp::inline v1
