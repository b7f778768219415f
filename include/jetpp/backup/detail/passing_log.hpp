// jetpp/backup/detail/passing_log.hpp - the log of a set, proved in its order before the manifest is
// known; what the manifest says of it is compared at the end.
#pragma once

#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/part.hpp>
#include <jetpp/backup/part_reader.hpp>
#include <jetpp/backup/segment_checker.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/segment.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace jetpp::inline v1::detail {

class passing_log {
public:
    void begin(uuid const& set) noexcept { set_ = set; }
    [[nodiscard]] std::uint64_t records() const noexcept { return records_; }

    [[nodiscard]] result<void> take(stream_about const& about, part_run const& run) {
        if (!checker_) {
            BOOST_OUTCOME_TRY(auto made, segment_checker::create(about.page_size));
            checker_.emplace(std::move(made));
            segment_bytes_ = about.segment_bytes;
            page_size_ = about.page_size;
        }
        auto const at = lsn{run.first};
        if (about.segment_bytes != segment_bytes_ || about.page_size != page_size_ ||
            !is_segment_size(segment_bytes_) || run.end > lsn_limit.value)
            return damaged(at, errc::set_mixed);
        auto const offset = offset_of(at, segment_bytes_);
        if (in_segment_ ? run.first != next_run_ : offset != 0) return damaged(at);
        if (offset + run.raw.size() > segment_bytes_ || run.raw.size() < segment_header_bytes)
            return damaged(at);
        if (offset == 0) checker_->begin();
        in_segment_ = true;
        auto const fed =
            checker_->feed(run.raw, [&](log_record const& record) noexcept { return see(record); });
        if (!fed) return fed.error().with_lsn(at);
        if (offset == 0) {
            BOOST_OUTCOME_TRY(join(at, about));
        }
        if (!all_zero(run.raw.subspan(fed.assume_value()))) return damaged(checker_->end());
        next_run_ = run.end;
        if (offset + run.raw.size() < segment_bytes_) return ok();
        in_segment_ = false;
        BOOST_OUTCOME_TRY(checker_->finish());
        records_ += checker_->records();
        previous_ = checker_->header();
        previous_end_ = checker_->end();
        closing_ = checker_->closing();
        stretches_.back().to = closing_ ? lsn{closing_->next_generation * segment_bytes_} : no_lsn;
        return ok();
    }

    [[nodiscard]] result<void> finish(backup_manifest const& m) const {
        if (!previous_ || in_segment_ || segment_bytes_ != m.segment_bytes ||
            page_size_ != m.page_size || previous_->instance != m.instance ||
            previous_->timeline != m.timeline)
            return damaged(m.end_lsn, errc::set_mixed);
        if (stretches_.back().to != m.end_lsn) return damaged(m.end_lsn, errc::log_gap);
        if (stretches_ != m.log)
            return damaged(m.log.front().from, errc::log_gap); // plans trust it
        if (m.begin_lsn >= stretches_.front().from && begun_at_ != m.begin_lsn)
            return damaged(m.begin_lsn, errc::set_mixed);
        if (last_commit_ != m.last_commit) return damaged(m.last_commit, errc::set_mixed);
        return ok();
    }

private:
    [[nodiscard]] static error damaged(lsn at, errc code = errc::log_damaged) noexcept {
        return {.code = code, .file = file_kind::log_segment, .at = at};
    }

    [[nodiscard]] result<void> see(log_record const& record) noexcept {
        if (record.template as<record::commit>() != nullptr) last_commit_ = record.at;
        if (auto const* const begun = record.template as<record::backup_begin>())
            if (begun->set == set_) begun_at_ = record.at;
        return ok();
    }

    // Does the segment that began at `at` follow the one before?
    [[nodiscard]] result<void> join(lsn at, stream_about const& about) {
        auto const& h = checker_->header();
        if (h.segment_bytes != segment_bytes_ || h.timeline != about.timeline ||
            lsn{h.generation * h.segment_bytes} != at)
            return damaged(at, errc::set_mixed);
        if (!previous_) {
            stretches_.push_back({h.timeline, at, no_lsn});
            return ok();
        }
        auto const& p = *previous_;
        auto const bound = h.instance == p.instance && h.previous_generation == p.generation &&
                           h.previous_nonce == p.nonce;
        auto const closed = closing_ && closing_->next_generation == h.generation &&
                            closing_->next_nonce == h.nonce && h.timeline == p.timeline;
        auto const of_family = h.timeline == p.timeline || h.parent_timeline == p.timeline;
        if (!bound || !of_family || (h.cut ? h.cut != previous_end_ : !closed))
            return damaged(at, errc::log_gap);
        if (h.timeline != p.timeline) {
            stretches_.back().to = at; // whatever its last segment named as the next
            stretches_.push_back({h.timeline, at, no_lsn});
        }
        return ok();
    }

    uuid set_{};
    std::optional<segment_checker> checker_;
    std::uint64_t segment_bytes_ = 0;
    std::uint32_t page_size_ = 0;
    bool in_segment_ = false;
    std::uint64_t next_run_ = 0;
    std::vector<manifest_log> stretches_; // one for each timeline that was gone over to
    std::optional<segment_header> previous_;
    lsn previous_end_{};
    std::optional<record::segment_end> closing_;
    lsn last_commit_{};
    lsn begun_at_{};
    std::uint64_t records_ = 0;
};

} // namespace jetpp::inline v1::detail
