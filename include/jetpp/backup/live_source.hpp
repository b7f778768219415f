// jetpp/backup/live_source.hpp - the log that survived in the directory of a closed instance, as a
// source of restores elsewhere.
//
//     3 4 5 . 8 9 10|tail      .: segments that are gone, and that sets may hold
// Its segments hold the same bytes as those of sets, so a planner takes them as one set more, that
// has log and no pages. They are read as recovery reads them: over cuts, into jet.ring where a
// process was killed, and to where the last record that counts ends: only behind that, in the last
// segment, may anything be torn. If something proves that there was more, `lost` says so, and who
// asks for the newest moment must be told.
// Nothing in the directory is changed. Its lock is held, so that no engine runs there meanwhile.
// Threads  one owner.
// Owns     the lock, and the headers.
// Source   backup rules R17 to R19, R30, R37.
#pragma once

#include <jetpp/backup/log_walker.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/engine/probe.hpp>
#include <jetpp/log/replay.hpp>
#include <jetpp/log/segment.hpp>
#include <jetpp/page/timeline_ancestry.hpp>
#include <jetpp/recovery/instance_life.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

template <any_environment Env>
class live_source {
    using directory = typename Env::directory;
    static constexpr std::size_t piece_bytes = std::size_t{512} << 10;

public:
    // Errors: in_use; needs_restore (a restore began there and did not end); log_missing (no log),
    // those of replay (the log is damaged elsewhere than at its end) and of storage.
    [[nodiscard]] static result<live_source> open(Env env, directory& where) noexcept {
        return guarded([&]() -> result<live_source> {
            auto made = live_source{env};
            BOOST_OUTCOME_TRY(auto facts, probe(env, where));
            if (facts.has_lock_file) {
                auto locked = where.acquire_lock(lock_file_name);
                if (!locked) return locked.error().with_file(file_kind::lock);
                made.lock_.emplace(std::move(locked).assume_value());
                BOOST_OUTCOME_TRY(facts, probe(env, where));
            }
            if (facts.is_restoring)
                return error{.code = errc::needs_restore, .file = file_kind::directory};
            BOOST_OUTCOME_TRY(made.find_end(where, facts));
            made.find_runs(facts);
            return made;
        });
    }

    [[nodiscard]] segment_header const& newest() const noexcept { return newest_; }
    [[nodiscard]] lsn end() const noexcept { return end_; }           // behind the last record
    [[nodiscard]] lsn to() const noexcept { return runs_.back().to; } // behind its segment
    // Why the end is not the end of what there was.
    [[nodiscard]] std::optional<error> const& lost() const noexcept { return lost_; }
    // No commit lies in the log from there on, and whether one lies below it the log does not tell.
    [[nodiscard]] std::optional<lsn> const& unknown_below() const noexcept {
        return unknown_below_;
    }
    // As far as its segments name it.
    [[nodiscard]] timeline_ancestry ancestry() const noexcept {
        return timeline_ancestry::of_log(
            newest_.timeline, {newest_.parent_timeline, newest_.fork_lsn}
        );
    }
    // Of all segments, oldest first.
    [[nodiscard]] std::span<segment_header const> headers() const noexcept { return headers_; }

    // As a set, for planners. What its pages are like only sets can tell.
    [[nodiscard]] backup_manifest as_set() const {
        auto made = backup_manifest{};
        made.kind = backup_kind::incremental;
        made.instance = newest_.instance;
        made.timeline = newest_.timeline;
        auto const line = ancestry();
        made.ancestry.assign(line.forks().begin(), line.forks().end());
        made.log_start = runs_.front().from;
        made.end_lsn = end_;
        made.last_commit = last_commit_;
        made.last_commit_time = last_commit_time_;
        if (unknown_below_) { // the worst that may be: none is earlier, none is later
            made.last_commit = *unknown_below_ - 1;
            made.last_commit_time = {std::numeric_limits<std::int64_t>::max()};
        }
        made.segment_bytes = newest_.segment_bytes;
        made.log = runs_;
        return made;
    }

    // Has the walker take what `slice` names, as if it lay in a set. `cut`: see log_walker::take.
    // Errors: those of replay, log_walker and storage.
    template <class Visitor>
    [[nodiscard]] result<void> walk(
        directory& where,
        log_walker<Env, Visitor>& walker,
        backup_manifest const& as_set,
        planned_log const& slice,
        lsn cut
    ) const noexcept {
        return guarded([&]() -> result<void> {
            auto const holds_tail = slice.to > at_of(newest_);
            if (holds_tail && (!cut || end_ < cut)) cut = end_;
            walker.begin_slice(as_set, slice, cut);
            BOOST_OUTCOME_TRY(
                auto log,
                replay<Env>::open(
                    env_,
                    where,
                    {.from = slice.from + segment_header_bytes,
                     .up_to = holds_tail ? no_lsn : slice.to,
                     .instance = newest_.instance,
                     .segment_bytes = newest_.segment_bytes,
                     .use_ring = holds_tail,
                     .accept_lost_tail = lost_.has_value(),
                     .proofs = proofs_}
                )
            );
            auto image = segment_image<Visitor>{walker};
            BOOST_OUTCOME_TRY(image.piece_, aligned_buffer::create(piece_bytes));
            for (auto const& r : log) {
                if (!r) return r.error();
                auto const& record = r.assume_value();
                if (record.at >= slice.to) break;
                if (image.header_ != log.current_segment()) {
                    BOOST_OUTCOME_TRY(image.finish());
                    BOOST_OUTCOME_TRY(image.begin(log.current_segment()));
                }
                BOOST_OUTCOME_TRY(image.add(record.raw));
            }
            BOOST_OUTCOME_TRY(image.finish());
            return walker.end_slice();
        });
    }

private:
    // The bytes of one segment, in pieces, zero behind its last record.
    template <class Visitor>
    struct segment_image {
        log_walker<Env, Visitor>* to_;
        segment_header header_{};
        aligned_buffer piece_{};
        std::uint64_t begin_ = 0; // of the piece, in the segment
        std::size_t held_ = 0;

        explicit segment_image(log_walker<Env, Visitor>& to) noexcept : to_{&to} {}

        [[nodiscard]] result<void> begin(segment_header const& header) {
            header_ = header;
            begin_ = held_ = 0;
            header.encode(piece_.part(0, segment_header_bytes));
            held_ = segment_header_bytes;
            return ok();
        }
        [[nodiscard]] result<void> add(const_bytes record) {
            while (!record.empty()) {
                auto const n = std::min(record.size(), room());
                std::memcpy(piece_.data() + held_, record.data(), n);
                held_ += n;
                record = record.subspan(n);
                if (room() != 0) continue;
                BOOST_OUTCOME_TRY(give());
            }
            return ok();
        }
        // The rest of it is zero.
        [[nodiscard]] result<void> finish() {
            while (header_.generation != 0 && begin_ < header_.segment_bytes) {
                std::memset(piece_.data() + held_, 0, room());
                held_ += room();
                BOOST_OUTCOME_TRY(give());
            }
            return ok();
        }
        [[nodiscard]] std::size_t room() const noexcept {
            auto const left = header_.segment_bytes - begin_;
            return static_cast<std::size_t>(std::min<std::uint64_t>(left, piece_.size())) - held_;
        }
        [[nodiscard]] result<void> give() {
            auto const at = at_of(header_) + begin_;
            auto const run = part_run{
                .first = at.value,
                .end = at.value + held_,
                .presence = {},
                .raw = piece_.part(0, held_),
            };
            begin_ += held_;
            held_ = 0;
            return to_->take_image(run);
        }
    };

    explicit live_source(Env env) noexcept : env_{env} {}

    [[nodiscard]] static lsn at_of(segment_header const& h) noexcept {
        return {h.generation * h.segment_bytes};
    }
    [[nodiscard]] static bool follows(segment_header const& a, segment_header const& b) noexcept {
        return b.previous_generation == a.generation && b.previous_nonce == a.nonce;
    }
    [[nodiscard]] static bool is_kin(segment_header const& a, segment_header const& b) noexcept {
        return a.instance == b.instance && a.timeline == b.timeline &&
               a.segment_bytes == b.segment_bytes;
    }

    // The oldest segment from which one leads to the next up to the newest.
    [[nodiscard]] static segment_header oldest_of(
        array_list<log_segment> const& all, segment_header newest
    ) noexcept {
        for (auto i = all.size(); i-- > 0;)
            if (all[i].is_sound() && is_kin(all[i].header, newest) &&
                follows(all[i].header, newest))
                newest = all[i].header;
        return newest;
    }

    [[nodiscard]] result<void> find_end(directory& where, probed_directory const& facts) {
        auto const* const last = facts.newest_segment();
        if (last == nullptr)
            return error{.code = errc::log_missing, .file = file_kind::log_segment};
        auto const oldest = oldest_of(facts.segments, *last);
        auto options = replay_options{
            .from = oldest.first(),
            .instance = last->instance,
            .segment_bytes = last->segment_bytes,
            .use_ring = true,
            .accept_lost_tail = true,
        };
        if (auto const* const slot = facts.newest_slot();
            slot != nullptr && slot->instance == last->instance) {
            // What lies below the checkpoint need not be read to find the end.
            options.from = later(
                options.from,
                earlier(
                    earlier(slot->redo_lsn, slot->undo_low_lsn),
                    first_lsn(slot->generation, slot->segment_bytes)
                )
            );
            options.proofs = {
                .slot_end = slot->end_lsn,
                .slot_generation = slot->generation,
                .slot_nonce = slot->nonce,
                .slot_clean = slot->clean,
            };
        }
        for (auto const& one : facts.databases)
            if (one.newest && one.newest->header.instance == last->instance &&
                one.newest->header.timeline == last->timeline)
                options.proofs.max_required =
                    later(options.proofs.max_required, one.newest->header.max_required_lsn);
        proofs_ = options.proofs;
        BOOST_OUTCOME_TRY(auto log, replay<Env>::open(env_, where, options));
        for (auto const& r : log) {
            if (!r) return r.error();
            see_commit(r.assume_value());
        }
        auto const& end = log.end_state();
        if (!end.last) return error{.code = errc::log_missing, .file = file_kind::log_segment};
        newest_ = *end.last;
        end_ = end.raw_end;
        if (end.overruled) lost_ = end.problem;
        if (!last_commit_) find_older_commit(where, oldest, options.from);
        return ok();
    }
    void see_commit(log_record const& record) noexcept {
        auto const* const commit = record.template as<record::commit>();
        if (commit == nullptr) return;
        last_commit_ = record.at;
        last_commit_time_ = commit->wall;
    }
    // After a clean close nothing behind the checkpoint commits; what was committed before it tells
    // all the same whether this history was left before its end. Damage there is the matter of
    // whoever needs that log.
    void find_older_commit(directory& where, segment_header const& oldest, lsn from) noexcept {
        auto const is_first = oldest.previous_generation == 0 ||
                              (oldest.parent_timeline.value != 0 && oldest.cut == oldest.fork_lsn);
        if (!is_first) unknown_below_ = oldest.first();
        if (from > oldest.first()) {
            auto log = replay<Env>::open(
                env_,
                where,
                {.from = oldest.first(),
                 .up_to = from,
                 .instance = oldest.instance,
                 .segment_bytes = oldest.segment_bytes}
            );
            if (!log) {
                unknown_below_ = from;
                return;
            }
            for (auto const& r : log.assume_value()) {
                if (!r) {
                    unknown_below_ = from;
                    return;
                }
                see_commit(r.assume_value());
            }
        }
        if (last_commit_) unknown_below_.reset();
    }

    // Is the segment here that this one names as the one before?
    [[nodiscard]] static bool has_before(
        probed_directory const& facts, segment_header const& next
    ) noexcept {
        for (auto const& one : facts.segments)
            if (one.is_sound() && is_kin(one.header, next) && follows(one.header, next))
                return true;
        return false;
    }
    void find_runs(probed_directory const& facts) {
        auto const size = newest_.segment_bytes;
        auto chain = std::vector<segment_header>{}; // newest first
        for (auto i = facts.segments.size(); i-- > 0;) {
            auto const& one = facts.segments[i];
            auto const& h = one.header;
            if (!one.is_sound() || !is_kin(h, newest_) || h.generation > newest_.generation)
                continue;
            // Prepared for a future that did not come: what is behind it follows another.
            if (!chain.empty() && !follows(h, chain.back()) && has_before(facts, chain.back()))
                continue;
            chain.push_back(h);
        }
        for (auto i = chain.size(); i-- > 0;) {
            auto const& h = chain[i];
            // The last one is a run of its own: a set that holds all of it goes before half of it.
            auto const goes_on = !headers_.empty() && follows(headers_.back(), h);
            if (goes_on && i == 0) runs_.back().to = at_of(h); // over a jump, too
            if (!goes_on || i == 0) runs_.push_back({h.timeline, at_of(h), at_of(h)});
            headers_.push_back(h);
            runs_.back().to = at_of(h) + size;
        }
    }

    [[no_unique_address]] Env env_;
    std::optional<typename Env::lock> lock_;
    segment_header newest_{};
    lsn end_{};
    lsn last_commit_{};
    wall_time last_commit_time_{};
    std::optional<lsn> unknown_below_;
    std::optional<error> lost_;
    log_proofs proofs_{};
    std::vector<segment_header> headers_;
    std::vector<manifest_log> runs_;
};

} // namespace jetpp::inline v1
