// jetpp/backup/restore_plan.hpp - what of which sets a restore to one moment needs. Nothing is read.
//
//     lineage -> newest pages below the target (a delta: down its bases to a full or copy)
//             -> log [log_start of those pages, target), from whatever set holds it
//
// Kinds of sets are conveniences for what to carry, not links that must be followed: pages come
// from one base and its deltas, log from all sealed segments of all sets, known by timeline and
// generation. That a segment really follows the one before is proved where it is read
// (log_walker.hpp): manifests speak of ranges only.
// Threads  pure functions.
// Source   backup rules R30 and R31.
#pragma once

#include <jetpp/backup/lineage.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/core/insertion_sort.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/segment.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// Whole segments of one timeline out of one set: their files' addresses, [from, to).
struct planned_log {
    std::size_t set{};
    timeline_id timeline{};
    lsn from{};
    lsn to{};
    friend bool operator==(planned_log const&, planned_log const&) = default;
};

struct restore_plan {
    std::size_t head{};             // the set whose lineage it is
    std::vector<std::size_t> pages; // the base, then each delta over the one before
    std::vector<planned_log> log;   // in the order of replay
    lsn limit{};                    // records that begin below it are applied

    [[nodiscard]] std::size_t last_pages() const noexcept { return pages.back(); }
};

// Which sets it reads, each once. Throws: std::bad_alloc.
[[nodiscard]] inline std::vector<std::size_t> sets_of(restore_plan const& plan) {
    auto all = plan.pages;
    for (auto const& slice : plan.log)
        if (std::find(all.begin(), all.end(), slice.set) == all.end()) all.push_back(slice.set);
    return all;
}

// What stands beside the error of a plan that cannot be.
struct plan_trouble {
    timeline_id timeline{};        // of a log_gap
    std::vector<std::size_t> sets; // that could not be used, or that are in conflict
};

namespace detail {

// Behind the last segment that holds a record which begins below `limit`.
[[nodiscard]] constexpr lsn segments_end(lsn limit, std::uint64_t segment_bytes) noexcept {
    auto const offset = offset_of(limit, segment_bytes);
    auto const floor = limit.value - offset;
    return {offset <= segment_header_bytes ? floor : floor + segment_bytes};
}

[[nodiscard]] inline error gap_at(lsn at, std::uint64_t segment_bytes) noexcept {
    return {
        .code = errc::log_gap,
        .file = file_kind::log_segment,
        .at = first_lsn(generation_of(at, segment_bytes), segment_bytes)
    };
}

class restore_planner {
public:
    restore_planner(std::span<planned_set const> sets, std::size_t head)
        : sets_{sets}, head_{head}, line_{lineage::of(*sets[head].manifest)} {}

    [[nodiscard]] result<restore_plan> plan(lsn limit, plan_trouble& trouble) const {
        auto const& head = *sets_[head_].manifest;
        auto candidates = page_sets();
        if (candidates.empty())
            return error{.code = errc::base_not_here, .file = file_kind::manifest};
        auto why = error{.code = errc::target_before_set_end};
        auto earliest = no_lsn;
        for (auto const i : candidates) {
            auto const copy_end = sets_[i].manifest->copy_end_lsn;
            auto noted = plan_trouble{};
            auto made = plan_from(i, later(limit, copy_end), noted);
            if (limit < copy_end) {
                if (made) earliest = earliest ? earlier(earliest, copy_end) : copy_end;
                continue;
            }
            if (made) return made;
            if (why.code != errc::target_before_set_end) continue;
            why = made.error(); // why the newest pages will not do is what a user can mend
            trouble = noted;
        }
        if (why.code == errc::target_before_set_end) why.at = {earliest ? earliest.value - 1 : 0};
        // Behind the newest end there is no hole, but nothing.
        if (why.code == errc::log_gap && why.at > end_of(head.timeline)) {
            why.code = errc::target_not_reached;
            why.at = end_of(head.timeline);
        }
        return why;
    }

    // All log of the lineage that any set holds up to the end of the head, in order; there may be
    // holes.
    [[nodiscard]] std::vector<planned_log> log_to_head() const {
        auto const end = sets_[head_].manifest->end_lsn;
        auto found = std::vector<planned_log>{};
        for (auto place = line_.stretches.size(); place-- != 0;) {
            auto const& stretch = line_.stretches[place];
            auto const stop = segments_end(earlier(end, stretch.bound), size());
            add_held({.timeline = stretch.timeline, .to = stop}, head_, found);
        }
        return found;
    }

    // What of a slice is held at all, in order.
    [[nodiscard]] std::vector<planned_log> held_of(planned_log const& whole) const {
        auto found = std::vector<planned_log>{};
        add_held(whole, sets_.size(), found);
        return found;
    }

private:
    [[nodiscard]] std::uint64_t size() const noexcept {
        return sets_[head_].manifest->segment_bytes;
    }
    [[nodiscard]] bool is_of_family(planned_set const& one) const noexcept {
        auto const& head = *sets_[head_].manifest;
        auto const& m = *one.manifest;
        return one.usable && m.instance == head.instance && m.segment_bytes == head.segment_bytes &&
               m.page_size == head.page_size && m.checksum == head.checksum;
    }
    [[nodiscard]] lsn end_of(timeline_id timeline) const noexcept {
        auto end = no_lsn;
        for (auto const& one : sets_)
            if (is_of_family(one))
                for (auto const& range : one.manifest->log)
                    if (range.timeline == timeline) end = later(end, range.to);
        return end;
    }
    // Where the first range begins that does so at or above `at`; 0: none.
    [[nodiscard]] lsn next_log(timeline_id timeline, lsn at) const noexcept {
        auto next = no_lsn;
        for (auto const& one : sets_)
            if (is_of_family(one))
                for (auto const& range : one.manifest->log)
                    if (range.timeline == timeline && range.from >= at &&
                        (!next || range.from < next))
                        next = range.from;
        return next;
    }
    void add_held(planned_log const& whole, std::size_t preferred, std::vector<planned_log>& found)
        const {
        for (auto at = whole.from; at < whole.to;) {
            auto const slice = best_at(whole.timeline, at, whole.to, preferred);
            if (slice.to != no_lsn) found.push_back(slice);
            at = slice.to != no_lsn ? slice.to : next_log(whole.timeline, at + 1);
            if (!at) break;
        }
    }

    // Those whose pages this history may begin with, newest first; of two that end alike the one
    // that needs no base.
    [[nodiscard]] std::vector<std::size_t> page_sets() const {
        auto found = std::vector<std::size_t>{};
        for (std::size_t i = 0; i < sets_.size(); ++i)
            if (is_of_family(sets_[i]) && sets_[i].pages_wanted &&
                line_.holds_pages_of(*sets_[i].manifest))
                found.push_back(i);
        insertion_sort(std::span{found}, [&](std::size_t a, std::size_t b) {
            auto const& x = *sets_[a].manifest;
            auto const& y = *sets_[b].manifest;
            if (x.copy_end_lsn != y.copy_end_lsn) return x.copy_end_lsn > y.copy_end_lsn;
            return x.kind != backup_kind::pages && y.kind == backup_kind::pages;
        });
        return found;
    }

    [[nodiscard]] result<restore_plan> plan_from(std::size_t last, lsn limit, plan_trouble& trouble)
        const {
        auto made = restore_plan{.head = head_, .pages = {}, .log = {}, .limit = limit};
        for (auto at = last;;) {
            made.pages.push_back(at);
            auto const& m = *sets_[at].manifest;
            if (m.kind != backup_kind::pages) break;
            auto const base = base_of(m);
            if (base == sets_.size()) {
                trouble.sets.push_back(at);
                return error{.code = errc::base_not_here, .file = file_kind::manifest};
            }
            at = base;
        }
        std::reverse(made.pages.begin(), made.pages.end());
        auto const& m = *sets_[last].manifest;
        BOOST_OUTCOME_TRY(made.log, cover(m.timeline, m.log_start, limit, last, trouble));
        return made;
    }

    // sets_.size() if it is not here: by uuid and by the hash of its manifest, and it ends before
    // the delta, so that nothing can go round in a circle.
    [[nodiscard]] std::size_t base_of(backup_manifest const& delta) const noexcept {
        for (auto const& named : delta.bases)
            for (std::size_t i = 0; i < sets_.size(); ++i) {
                auto const& m = *sets_[i].manifest;
                if (is_of_family(sets_[i]) && m.set == named.set && sets_[i].hash == named.hash &&
                    m.has_pages() && m.end_lsn < delta.end_lsn)
                    return i;
            }
        return sets_.size();
    }

    // Segments that hold [from, limit) of the lineage, beginning on that timeline. Of each timeline
    // that is gone over to there is one at least, whether or not a record of it counts: that it
    // follows the segment that was left shows that none between the two is missing.
    [[nodiscard]] result<std::vector<planned_log>> cover(
        timeline_id timeline, lsn from, lsn limit, std::size_t preferred, plan_trouble& trouble
    ) const {
        auto slices = std::vector<planned_log>{};
        auto place = *line_.find(timeline);
        auto at = lsn{from.value - offset_of(from, size())};
        auto least = at;
        for (;;) {
            auto const& stretch = line_.stretches[place];
            auto const stop = later(segments_end(earlier(limit, stretch.bound), size()), least);
            while (at < stop) {
                auto const slice = best_at(stretch.timeline, at, stop, preferred);
                if (slice.to == no_lsn) {
                    trouble.timeline = stretch.timeline;
                    return gap_at(at, size());
                }
                slices.push_back(slice);
                at = slice.to;
            }
            if (limit <= stretch.bound || place == 0) return slices;
            // The first segment of the younger timeline bears any generation above the fork.
            --place;
            auto const next = next_log(line_.stretches[place].timeline, at);
            if (!next) {
                trouble.timeline = line_.stretches[place].timeline;
                return gap_at(at, size());
            }
            at = next;
            least = at + size();
        }
    }
    [[nodiscard]] planned_log best_at(timeline_id timeline, lsn at, lsn stop, std::size_t preferred)
        const noexcept {
        auto best = planned_log{.timeline = timeline, .from = at};
        // Of sets that go on in two copies of the instance the head's own is of its history.
        auto const rank = [&](std::size_t i) { return i == preferred ? 2 : i == head_ ? 1 : 0; };
        for (std::size_t i = 0; i < sets_.size(); ++i) {
            if (!is_of_family(sets_[i])) continue;
            for (auto const& range : sets_[i].manifest->log) {
                if (range.timeline != timeline || range.from > at || range.to <= at) continue;
                auto const to = earlier(range.to, stop);
                if (to < best.to || (to == best.to && rank(i) <= rank(best.set))) continue;
                best.set = i;
                best.to = to;
            }
        }
        return best;
    }

    std::span<planned_set const> sets_;
    std::size_t head_;
    lineage line_;
};

} // namespace detail

// The plan that brings the lineage of the set `head` to the moment before `limit`.
// Errors: target_before_set_end (at: the earliest LSN that can be had, 0: none), target_not_reached
// (at: where the newest set ends), log_gap (at: the first record of the generation that is missing;
// trouble.timeline), base_not_here (trouble.sets: the delta whose base is missing), out_of_memory.
[[nodiscard]] inline result<restore_plan> plan_restore(
    std::span<planned_set const> sets, std::size_t head, lsn limit, plan_trouble& trouble
) noexcept {
    return guarded([&]() -> result<restore_plan> {
        return detail::restore_planner{sets, head}.plan(limit, trouble);
    });
}

// The log that can be searched for a time or a label: all of the lineage that the sets hold up to
// the end of the head. There may be holes. Errors: out_of_memory.
[[nodiscard]] inline result<std::vector<planned_log>> log_of_lineage(
    std::span<planned_set const> sets, std::size_t head
) noexcept {
    return guarded([&]() -> result<std::vector<planned_log>> {
        return detail::restore_planner{sets, head}.log_to_head();
    });
}

// What the sets hold of a slice of that log; there may be holes. Errors: out_of_memory.
[[nodiscard]] inline result<std::vector<planned_log>> log_held_of(
    std::span<planned_set const> sets, std::size_t head, planned_log const& slice
) noexcept {
    return guarded([&]() -> result<std::vector<planned_log>> {
        return detail::restore_planner{sets, head}.held_of(slice);
    });
}

} // namespace jetpp::inline v1
