// jetpp/backup/log_search.hpp - where in the log a time or a label stands.
//
// What they mean is target_search.hpp; this walks the log of the sets until it is known.
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

    [[nodiscard]] result<void> begin_segment(segment_header const&) noexcept { return ok(); }
    [[nodiscard]] result<void> segment_bytes(std::uint64_t, const_bytes) noexcept { return ok(); }
    [[nodiscard]] result<void> end_segment(segment_header const&, lsn) noexcept { return ok(); }
    [[nodiscard]] result<void> see_record(log_record const& record) {
        if (!found(record)) return ok();
        is_found = true;
        return error{.code = errc::cancelled};
    }
    [[nodiscard]] result<void> read(std::uint64_t count) {
        return *on_read ? (*on_read)(count) : result<void>{ok()};
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
    // Errors: target_not_reached (at: the end of the log), those of log_walker.
    [[nodiscard]] result<lsn> limit_of(wall_time time) {
        BOOST_OUTCOME_TRY(auto slices, log_of_lineage(pool_->planned(), head_));
        // Whole slices below a commit that is early enough need not be read.
        auto known = no_lsn;
        for (auto const& one : pool_->planned())
            if (one.usable && leads_to(*one.manifest, pool_->manifest(head_)) &&
                one.manifest->last_commit_time <= time)
                known = later(known, one.manifest->last_commit);
        auto const first =
            std::find_if(slices.begin(), slices.end(), [&](planned_log const& slice) {
                return slice.to > known;
            });
        slices.erase(slices.begin(), first);
        auto search = time_search{time};
        BOOST_OUTCOME_TRY(auto const found, walk(slices, [&](log_record const& record) {
                              return search.is_later(record);
                          }));
        if (!found) return not_reached();
        return search.limit;
    }

    // Errors: not_found (nothing bears the label), ambiguous_label (at: the first that does;
    // labelled() has them all), those of log_walker.
    [[nodiscard]] result<lsn> limit_of(restore_label const& label) {
        auto search = label_search{label};
        BOOST_OUTCOME_TRY(auto const slices, log_of_lineage(pool_->planned(), head_));
        BOOST_OUTCOME_TRY(walk(slices, [&](log_record const& record) {
            search.see(record);
            return false;
        }));
        labelled_ = search.labelled();
        return search.limit();
    }
    [[nodiscard]] std::vector<lsn> const& labelled() const noexcept { return labelled_; }
    // Of the set whose log could not be read.
    [[nodiscard]] std::optional<std::size_t> const& culprit() const noexcept { return culprit_; }

private:
    [[nodiscard]] error not_reached() const noexcept {
        return {
            .code = errc::target_not_reached,
            .file = file_kind::log_segment,
            .at = pool_->manifest(head_).end_lsn
        };
    }

    // Returns: did f say yes? Then the walk ended there.
    [[nodiscard]] result<bool> walk(
        std::vector<planned_log> const& slices, std::function<bool(log_record const&)> f
    ) {
        auto visitor = detail::searching_visitor{std::move(f), on_read_};
        auto tally = set_tally{};
        auto const& head = pool_->manifest(head_);
        auto const line = lineage::of(head);
        BOOST_OUTCOME_TRY(
            auto walker,
            (log_walker<Env, detail::searching_visitor>::create(head.page_size, visitor, tally))
        );
        for (auto const& slice : slices) {
            culprit_.reset();
            auto const done =
                pool_->walk_log(walker, slice, access_, detail::cut_of(line, slice), noted_);
            if (visitor.is_found) return true;
            if (!done) {
                culprit_ = slice.set;
                return done.error();
            }
        }
        return false;
    }

    set_pool<Env>* pool_;
    std::size_t head_;
    std::function<result<void>(std::uint64_t)> const* on_read_;
    set_access access_;
    std::vector<bad_frames>* noted_;
    std::vector<lsn> labelled_;
    std::optional<std::size_t> culprit_;
};

} // namespace jetpp::inline v1
