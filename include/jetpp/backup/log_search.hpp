// jetpp/backup/log_search.hpp - where in the log a time or a label stands.
//
// What they mean is target_search.hpp; this walks the log of the sets until it is known. A set whose
// log cannot be read is passed over: other sets may hold the same segments. What none of them holds,
// because it is damaged or because no set ever had it (between a chain and a later copy, say), is of
// no matter if what was read tells all the same.
// Threads  one owner.
// Source   backup rule R31.
#pragma once

#include <jetpp/backup/log_walker.hpp>
#include <jetpp/backup/restore_plan.hpp>
#include <jetpp/backup/set_pool.hpp>
#include <jetpp/backup/target_search.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/runtime.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

namespace detail {

// Looks at records and keeps nothing else.
struct searching_visitor {
    std::function<bool(log_record const&)> found; // stops the walk
    std::function<result<void>(std::uint64_t)> const* on_read;
    bool is_found = false;
    bool is_stopped = false; // by whom on_read asks
    lsn next{};              // what lies below it was seen

    [[nodiscard]] result<void> begin_segment(segment_header const&) noexcept { return ok(); }
    [[nodiscard]] result<void> segment_bytes(std::uint64_t, const_bytes) noexcept { return ok(); }
    [[nodiscard]] result<void> end_segment(segment_header const&, lsn) noexcept { return ok(); }
    [[nodiscard]] result<void> see_record(log_record const& record) {
        if (record.at < next) return ok();
        next = record.at + 1;
        if (!found(record)) return ok();
        is_found = true;
        return error{.code = errc::cancelled};
    }
    [[nodiscard]] result<void> read(std::uint64_t count) {
        auto done = *on_read ? (*on_read)(count) : result<void>{ok()};
        is_stopped = !done;
        return done;
    }
};

// Where the timeline of a slice is left, if that is inside the slice's last segment.
[[nodiscard]] inline lsn cut_of(lineage const& line, planned_log const& slice) noexcept {
    auto const place = line.find(slice.timeline);
    if (!place) return no_lsn;
    auto const bound = line.stretches[*place].bound;
    return bound > slice.from && bound <= slice.to ? bound : no_lsn;
}

} // namespace detail

template <any_environment Env>
class log_search {
public:
    // `noted`: takes what was wrong with copies of sets. Lifetime: all of them outlive it.
    log_search(
        set_pool<Env>& pool,
        std::size_t head,
        std::function<result<void>(std::uint64_t)> const& on_read,
        set_access const& access,
        std::vector<bad_frames>* noted = nullptr
    ) noexcept
        : pool_{&pool}, head_{head}, on_read_{&on_read}, access_{access}, noted_{noted} {}

    // Returns: the LSN that nothing restored may reach.
    // Errors: target_not_reached (at: the end of the log); log_gap (at: the first record of a segment
    // that no set holds, and the moment may be there) and those of log_walker (what could not be read
    // may hold the moment).
    [[nodiscard]] result<lsn> limit_of(wall_time time) {
        BOOST_OUTCOME_TRY(auto slices, log_of_lineage(pool_->planned(), head_));
        // Whole slices below a commit that is early enough need not be read. Manifests tell its
        // time in whole microseconds.
        auto const line = lineage::of(pool_->manifest(head_));
        auto known = no_lsn;
        auto early = no_lsn; // no commit below it is later than the time
        auto seen = no_lsn;  // and nothing at all below that
        for (auto const& one : pool_->planned())
            if (one.usable && leads_to(*one.manifest, pool_->manifest(head_)) &&
                one.manifest->last_commit_time.ns / 1000 < time.ns / 1000) {
                known = later(known, one.manifest->last_commit);
                auto const place = line.find(one.manifest->timeline);
                if (one.manifest->last_commit && place)
                    early =
                        later(early, earlier(one.manifest->end_lsn, line.stretches[*place].bound));
            }
        auto const first =
            std::find_if(slices.begin(), slices.end(), [&](planned_log const& slice) {
                return slice.to > known;
            });
        note_gaps(slices);
        slices.erase(slices.begin(), first);
        auto search = time_search{time};
        BOOST_OUTCOME_TRY(auto const found, walk(std::move(slices), [&](log_record const& record) {
                              if (search.is_later(record)) return true;
                              if (search.tells(record)) seen = record.at;
                              return false;
                          }));
        for (auto const& one : holes_)
            if (found ? one.to > later(early, seen) && one.to <= search.limit : one.to > seen)
                return refuse(one);
        if (!found) return not_reached();
        return search.limit;
    }

    // Errors: not_found (nothing bears the label), ambiguous_label (at: the first that does;
    // labelled() has them all; if not all of the log is here and could be read, one is as good as
    // several), log_gap and those of log_walker (what is not here or could not be read may bear it).
    [[nodiscard]] result<lsn> limit_of(restore_label const& label) {
        auto search = label_search{label};
        BOOST_OUTCOME_TRY(auto slices, log_of_lineage(pool_->planned(), head_));
        note_gaps(slices);
        BOOST_OUTCOME_TRY(walk(std::move(slices), [&](log_record const& record) {
            search.see(record);
            return false;
        }));
        labelled_ = search.labelled();
        auto limit = search.limit();
        if (holes_.empty() || search.is_picked()) return limit;
        if (labelled_.empty() || (!limit && limit.error().code == errc::not_found))
            return refuse(holes_.front());
        return error{
            .code = errc::ambiguous_label, .file = file_kind::log_segment, .at = labelled_.front()
        };
    }
    [[nodiscard]] std::vector<lsn> const& labelled() const noexcept { return labelled_; }
    // Of the set whose log could not be read.
    [[nodiscard]] std::optional<std::size_t> const& culprit() const noexcept { return culprit_; }
    // Of a log_gap; 0: of no one.
    [[nodiscard]] timeline_id gap_timeline() const noexcept { return gap_timeline_; }

    // Sets of the pool whose log could not be read.
    struct passed_over {
        std::size_t set{};
        error why{};
    };
    [[nodiscard]] std::vector<passed_over> const& all_passed_over() const noexcept {
        return passed_over_;
    }

private:
    [[nodiscard]] error not_reached() const noexcept {
        return {
            .code = errc::target_not_reached,
            .file = file_kind::log_segment,
            .at = pool_->manifest(head_).end_lsn
        };
    }

    // Log that no set has, or none gave up.
    struct hole {
        lsn to{};
        error why{};
        std::optional<std::size_t> left_by{}; // that could not be read
        timeline_id timeline{};               // of one that nobody has
    };
    [[nodiscard]] error refuse(hole const& which) noexcept {
        culprit_ = which.left_by;
        gap_timeline_ = which.timeline;
        return which.why;
    }
    // Between two slices that should join: below the second.
    void note_gap(planned_log const& before, planned_log const& behind) {
        auto const size = pool_->manifest(head_).segment_bytes;
        holes_.push_back(
            {.to = behind.from,
             .why = detail::gap_at(before.to, size),
             .left_by = {},
             .timeline = before.timeline}
        );
    }
    void note_gaps(std::vector<planned_log> const& slices) {
        for (std::size_t i = 1; i < slices.size(); ++i)
            if (!joins(slices[i - 1], slices[i])) note_gap(slices[i - 1], slices[i]);
    }
    // As far as ranges tell: a younger timeline may begin at any generation above the fork.
    [[nodiscard]] bool joins(planned_log const& one, planned_log const& next) const {
        if (one.timeline == next.timeline) return one.to == next.from;
        auto const& head = pool_->manifest(head_);
        auto const line = lineage::of(head);
        auto const& left = line.stretches[*line.find(one.timeline)];
        return one.to >= detail::segments_end(left.bound, head.segment_bytes);
    }

    // Returns: did f say yes? Then the walk ended there.
    [[nodiscard]] result<bool> walk(
        std::vector<planned_log> slices, std::function<bool(log_record const&)> f
    ) {
        auto visitor = detail::searching_visitor{std::move(f), on_read_};
        auto sets = pool_->planned();
        auto todo = std::size_t{0};
        auto apart = slices.size(); // the slice of which it was seen that it does not join
        while (todo < slices.size()) {
            auto const done = walk_some(slices, todo, visitor);
            if (visitor.is_found) return true;
            if (done) break;
            auto const why = done.error();
            auto const failed = slices[todo];
            // Of a timeline's first segments none may be here: then the next one says so.
            auto const begins_late = why.code == errc::log_gap && why.at == failed.from &&
                                     todo != 0 && todo != apart &&
                                     slices[todo - 1].timeline != failed.timeline;
            if (begins_late) {
                note_gap(slices[todo - 1], failed);
                apart = todo;
                continue;
            }
            culprit_ = failed.set;
            // Of two histories neither is damaged.
            if (visitor.is_stopped || why.code == errc::cancelled ||
                why.code == errc::out_of_memory || why.code == errc::pool_conflict)
                return why;
            if (sets[failed.set].usable) passed_over_.push_back({failed.set, why});
            sets[failed.set].usable = false;
            BOOST_OUTCOME_TRY(auto const others, log_held_of(sets, head_, failed));
            auto at = failed.from;
            for (auto const& one : others) {
                if (one.from > at) holes_.push_back({one.from, why, failed.set});
                at = one.to;
            }
            if (at < failed.to) holes_.push_back({failed.to, why, failed.set});
            auto const place = slices.begin() + static_cast<std::ptrdiff_t>(todo);
            slices.insert(slices.erase(place), others.begin(), others.end());
        }
        culprit_.reset();
        return false;
    }
    // Slices from `todo` on, which is at the end that of the one that failed.
    [[nodiscard]] result<void> walk_some(
        std::vector<planned_log> const& slices,
        std::size_t& todo,
        detail::searching_visitor& visitor
    ) {
        auto tally = set_tally{};
        auto const& head = pool_->manifest(head_);
        auto const line = lineage::of(head);
        // One each: behind a hole nothing tells what must follow.
        using walker_type = log_walker<Env, detail::searching_visitor>;
        BOOST_OUTCOME_TRY(auto walker, walker_type::create(head.page_size, visitor, tally));
        for (; todo < slices.size(); ++todo) {
            auto const& slice = slices[todo];
            if (todo != 0 && !joins(slices[todo - 1], slice)) {
                BOOST_OUTCOME_TRY(walker, walker_type::create(head.page_size, visitor, tally));
            }
            BOOST_OUTCOME_TRY(
                pool_->walk_log(walker, slice, access_, detail::cut_of(line, slice), noted_)
            );
        }
        return ok();
    }

    set_pool<Env>* pool_;
    std::size_t head_;
    std::function<result<void>(std::uint64_t)> const* on_read_;
    set_access access_;
    std::vector<bad_frames>* noted_;
    std::vector<lsn> labelled_;
    std::vector<hole> holes_;
    std::vector<passed_over> passed_over_;
    std::optional<std::size_t> culprit_;
    timeline_id gap_timeline_{};
};

} // namespace jetpp::inline v1
