// jetpp/backup/copied_history.hpp - what the log of a copy says on the way: which databases there are
// at its end, who is unfinished, and where it ends. The end may be set: what begins there does not count.
//
// Threads  one owner.
// Source   backup rules R32, R68.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/log/segment.hpp>
#include <jetpp/recovery/analysis.hpp>

#include <algorithm>
#include <cstdint>

namespace jetpp::inline v1 {

// A visitor of copied_log.
class copied_history {
public:
    // `begin_lsn`: where the session must have begun; 0: not to be looked for.
    // `limit`: nothing counts that begins there; 0: all of it does.
    copied_history(lsn log_start, lsn begin_lsn, uuid const& set, lsn limit) noexcept
        : analysis_{log_start}, begin_lsn_{begin_lsn}, limit_{limit ? limit : max_lsn}, set_{set} {}

    // Errors: set_mixed (at: where the begin record ought to be), those of log_analysis.
    [[nodiscard]] result<void> see_record(log_record const& logged) noexcept {
        if (logged.at >= limit_) return ok();
        end_ = logged.at + logged.length;
        if (logged.at == begin_lsn_) {
            auto const* const begun = logged.template as<record::backup_begin>();
            if (begun == nullptr || begun->set != set_) return mixed();
            begun_ = true;
        }
        return analysis_.see(logged);
    }
    void see_segment(segment_header const& header) noexcept {
        last_ = header;
        end_ = later(end_, header.first());
        incarnation_ = std::max(incarnation_, header.incarnation);
    }
    [[nodiscard]] result<void> finish() noexcept {
        if (begin_lsn_ && !begun_) return mixed();
        return analysis_.finish();
    }

    [[nodiscard]] log_analysis const& analysis() const noexcept { return analysis_; }
    [[nodiscard]] segment_header const& last_segment() const noexcept { return last_; }
    // Behind the last record.
    [[nodiscard]] lsn end() const noexcept { return end_; }
    [[nodiscard]] std::uint32_t incarnation() const noexcept { return incarnation_; }

private:
    [[nodiscard]] error mixed() const noexcept {
        return {.code = errc::set_mixed, .file = file_kind::log_segment, .at = begin_lsn_};
    }

    log_analysis analysis_;
    lsn begin_lsn_{};
    lsn limit_{};
    uuid set_{};
    bool begun_ = false;
    segment_header last_{};
    lsn end_{};
    std::uint32_t incarnation_ = 0;
};

} // namespace jetpp::inline v1
