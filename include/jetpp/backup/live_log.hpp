// jetpp/backup/live_log.hpp - what the directory of a closed instance says of its log.
//
//     ... |  oldest segment that leads without a hole to the newest   |tail
//         from                                                      end   to
// Its sealed segments hold the same bytes as those of sets, so a planner takes them as one set more
// that has log and no pages.
// Threads  one owner, who holds the directory's lock.
// Source   backup rules R18, R30, R40.
#pragma once

#include <jetpp/backup/manifest.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/checkpoint_slot.hpp>
#include <jetpp/log/log_directory.hpp>
#include <jetpp/log/replay.hpp>
#include <jetpp/recovery/analysis.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

struct live_log {
    segment_header oldest{};
    lsn from{}; // address of its file
    lsn end{};  // behind the last record
    lsn to{};   // behind the file that holds it
    segment_header newest{};
    std::vector<logged_database> attached;
    std::optional<checkpoint_slot> slot; // the newest, if one is there

    // As a set, for planners. `checksum`: of the pages.
    [[nodiscard]] backup_manifest as_set(std::uint32_t page_size, std::string checksum) const {
        auto made = backup_manifest{};
        made.kind = backup_kind::incremental;
        made.instance = newest.instance;
        made.timeline = newest.timeline;
        made.log_start = from;
        made.end_lsn = to;
        made.page_size = page_size;
        made.segment_bytes = newest.segment_bytes;
        made.checksum = std::move(checksum);
        made.log = {{newest.timeline, from, to}};
        return made;
    }
};

// Reads the log as the recovery of a crash does, and changes nothing.
// Errors: log_missing (no log is there), those of replay and of storage.
template <any_environment Env>
[[nodiscard]] result<live_log> read_live_log(
    Env env, typename Env::directory& directory, std::size_t page_size
) noexcept {
    return guarded([&]() -> result<live_log> {
        BOOST_OUTCOME_TRY(auto listing, log_directory<Env>::list(env, directory));
        if (listing.segments().empty())
            return error{.code = errc::log_missing, .file = file_kind::log_segment};
        BOOST_OUTCOME_TRY(auto const slot, checkpoint_file<Env>::look(directory));
        auto options = replay_options{.page_size = page_size, .use_ring = true};
        auto scan_start = no_lsn;
        if (slot) {
            if (slot->page_bytes != page_size)
                return error{.code = errc::page_size_mismatch, .file = file_kind::checkpoint};
            scan_start = earlier(slot->redo_lsn, slot->undo_low_lsn);
            options.from = earlier(scan_start, first_lsn(slot->generation, slot->segment_bytes));
            options.segment_bytes = slot->segment_bytes;
            options.instance = slot->instance;
            options.proofs = {
                .slot_end = slot->end_lsn,
                .slot_generation = slot->generation,
                .slot_nonce = slot->nonce,
                .slot_clean = slot->clean,
            };
        }
        BOOST_OUTCOME_TRY(auto log, replay<Env>::open(env, directory, options));
        auto analysis = log_analysis{scan_start};
        for (auto const& r : log) {
            if (!r) return r.error();
            BOOST_OUTCOME_TRY(analysis.see(r.assume_value()));
        }
        BOOST_OUTCOME_TRY(analysis.finish());
        auto const& end = log.end_state();
        if (!end.last) return error{.code = errc::log_missing, .file = file_kind::log_segment};
        auto made = live_log{};
        made.newest = *end.last;
        made.end = end.end;
        made.slot = slot;
        made.to = {(made.newest.generation + 1) * made.newest.segment_bytes};
        made.attached.assign(analysis.databases().begin(), analysis.databases().end());
        // Down the chain, as far as it goes on this timeline.
        made.oldest = made.newest;
        while (made.oldest.previous_generation != 0) {
            auto* const before = listing.find(made.oldest.previous_generation);
            if (before == nullptr) break;
            BOOST_OUTCOME_TRY(listing.read(directory, *before));
            auto const& h = before->header;
            if (!before->is_sound() || h.nonce != made.oldest.previous_nonce ||
                h.instance != made.newest.instance || h.timeline != made.newest.timeline ||
                h.segment_bytes != made.newest.segment_bytes)
                break;
            made.oldest = h;
        }
        made.from = {made.oldest.generation * made.oldest.segment_bytes};
        return made;
    });
}

} // namespace jetpp::inline v1
