// jetpp/backup/restored_log.hpp - lays the log of a plan down as segments, up to the target.
//
// A visitor of log_walker. Records that begin at or above the limit, and the bytes that hold them,
// are as if they had never been: the fork's first segment will cut the log there. What is needed of
// the records later is learnt on the way: who is unfinished at the limit, which databases are
// attached and which uuid every id meant, whether the sets are of the history that their log tells.
// Threads  one owner.
// Owns     the segment that is being written.
// Source   backup rules R30 to R32, R34, R37.
#pragma once

#include <jetpp/backup/file_output.hpp>
#include <jetpp/backup/log_walker.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/log/segment.hpp>
#include <jetpp/recovery/analysis.hpp>
#include <jetpp/recovery/database_lives.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// A set of this history began here: its begin record must stand in the log that is replayed.
struct awaited_begin {
    lsn at{};
    uuid set{};
    bool is_base = false; // the set whose pages this log is laid over
};

template <any_environment Env>
class restored_log {
public:
    using progress = std::function<result<void>(std::uint64_t)>;

    // `into`: null lays nothing down. `begins`: of sets of this lineage, within the log planned.
    // Lifetime: directory and callback outlive it. Errors: out_of_memory.
    [[nodiscard]] static result<restored_log> create(
        Env env,
        typename Env::directory* into,
        lsn log_start,
        lsn limit,
        std::vector<awaited_begin> begins,
        progress const& on_read
    ) noexcept {
        BOOST_OUTCOME_TRY(auto out, appended_file<Env>::create(env));
        BOOST_OUTCOME_TRY(auto zeros, aligned_buffer::create(zero_bytes));
        auto made = restored_log{into, log_start, limit, on_read, std::move(out)};
        made.begins_ = std::move(begins);
        made.zeros_ = std::move(zeros);
        return made;
    }

    // Headers that segments of this history have elsewhere: the same ones must be the same.
    // Lifetime: they outlive it. Throws: bad_alloc.
    void compare_with(std::span<segment_header const> known) { known_.push_back(known); }

    // ---- as visitor

    // Errors: pool_conflict (at: the segment's first LSN).
    [[nodiscard]] result<void> begin_segment(segment_header const& segment) {
        skipping_ = segment.first() >= limit_;
        if (skipping_) return ok();
        for (auto const& known : known_)
            for (auto const& one : known)
                if (one.generation == segment.generation && one.timeline == segment.timeline &&
                    one.instance == segment.instance && one != segment)
                    return error{
                        .code = errc::pool_conflict,
                        .file = file_kind::log_segment,
                        .at = segment.first()
                    };
        last_ = segment;
        base_ = {segment.generation * segment.segment_bytes};
        if (end_ < segment.first()) end_ = segment.first();
        incarnation_ = std::max(incarnation_, segment.incarnation);
        written_ = 0;
        if (into_ == nullptr) return ok();
        return of_target(
            out_.open(*into_, segment_file_name(segment.generation), segment.segment_bytes)
        );
    }
    [[nodiscard]] result<void> see_record(log_record const& logged) {
        if (logged.at >= limit_) return ok();
        end_ = logged.at + logged.length;
        BOOST_OUTCOME_TRY(check_begins(logged));
        BOOST_OUTCOME_TRY(lives_.see(logged));
        return analysis_.see(logged);
    }
    [[nodiscard]] result<void> segment_bytes(std::uint64_t at, const_bytes image) {
        if (skipping_ || into_ == nullptr) return ok();
        // The next record begins at end_: does it count, and the bytes from there on with it?
        auto const whole = end_ < limit_ ? at + image.size() : end_ - base_;
        auto const kept = whole <= at ? 0 : std::min<std::uint64_t>(whole - at, image.size());
        written_ += kept;
        return of_target(out_.append(image.first(static_cast<std::size_t>(kept))));
    }
    [[nodiscard]] result<void> end_segment(segment_header const& segment, lsn) {
        if (skipping_ || into_ == nullptr) return ok();
        while (written_ < segment.segment_bytes) {
            auto const n = std::min<std::uint64_t>(segment.segment_bytes - written_, zero_bytes);
            BOOST_OUTCOME_TRY(of_target(out_.append(zeros_.part(0, static_cast<std::size_t>(n)))));
            written_ += n;
        }
        return of_target(out_.close());
    }
    [[nodiscard]] result<void> read(std::uint64_t count) {
        return *on_read_ ? (*on_read_)(count) : result<void>{ok()};
    }

    // ---- after the walk

    // Errors: set_mixed, pool_conflict (at: where the begin record of a set ought to stand), those
    // of replay.
    [[nodiscard]] result<void> finish() noexcept {
        for (auto const& one : begins_) {
            BOOST_OUTCOME_TRY(refuse(one));
        }
        return analysis_.finish();
    }

    [[nodiscard]] log_analysis const& analysis() const noexcept { return analysis_; }
    [[nodiscard]] database_lives const& lives() const noexcept { return lives_; }
    // The segment that holds the last record that counts, and where that record ends.
    [[nodiscard]] segment_header const& last_segment() const noexcept { return last_; }
    [[nodiscard]] lsn end() const noexcept { return end_; }
    // The highest in the segments laid down.
    [[nodiscard]] std::uint32_t incarnation() const noexcept { return incarnation_; }

private:
    static constexpr std::size_t zero_bytes = std::size_t{64} << 10;

    restored_log(
        typename Env::directory* into,
        lsn log_start,
        lsn limit,
        progress const& on_read,
        appended_file<Env> out
    ) noexcept
        : into_{into}, limit_{limit}, on_read_{&on_read}, analysis_{log_start},
          out_{std::move(out)} {}

    [[nodiscard]] static result<void> refuse(awaited_begin const& one) noexcept {
        return error{
            .code = one.is_base ? errc::set_mixed : errc::pool_conflict,
            .file = file_kind::log_segment,
            .at = one.at
        };
    }
    // Two copies of one instance that both went on have one timeline and two logs: the begin record
    // of a set of the other one is not in this.
    [[nodiscard]] result<void> check_begins(log_record const& logged) {
        for (std::size_t i = 0; i < begins_.size(); ++i) {
            if (begins_[i].at != logged.at) continue;
            auto const* const begun = logged.template as<record::backup_begin>();
            if (begun == nullptr || begun->set != begins_[i].set) return refuse(begins_[i]);
            begins_.erase(begins_.begin() + static_cast<std::ptrdiff_t>(i));
            return ok();
        }
        return ok();
    }

    typename Env::directory* into_;
    lsn limit_;
    std::vector<awaited_begin> begins_; // those not met yet
    std::vector<std::span<segment_header const>> known_;
    progress const* on_read_;
    log_analysis analysis_;
    database_lives lives_;
    appended_file<Env> out_;
    aligned_buffer zeros_;
    segment_header last_{};
    lsn base_{};
    lsn end_{};
    std::uint64_t written_ = 0;
    std::uint32_t incarnation_ = 0;
    bool skipping_ = false;
};

} // namespace jetpp::inline v1
