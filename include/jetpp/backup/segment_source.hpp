// jetpp/backup/segment_source.hpp - a sealed segment of a running instance as its image, in pieces.
//
// From byte 0 to the segment's full size; every record is proved on the way, and what lies behind
// the logical end is zero: recycled bytes never leave.
// Threads  one owner.
// Owns     the open file, room for the longest record.
// Source   backup rules R19, R22, R57.
#pragma once

#include <jetpp/backup/log_chain.hpp>
#include <jetpp/backup/segment_checker.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

template <any_environment Env>
class segment_source {
public:
    // Errors: out_of_memory.
    [[nodiscard]] static result<segment_source> create(std::size_t page_size) noexcept {
        BOOST_OUTCOME_TRY(auto checker, segment_checker::create(page_size));
        return segment_source{std::move(checker)};
    }

    // Errors: of storage.
    [[nodiscard]] result<void> open(
        typename Env::directory& where, chained_segment const& segment
    ) noexcept {
        segment_ = segment;
        auto opened = where.open(
            segment_file_name(segment.header.generation), {.mode = open_mode::read_only}
        );
        if (!opened) return opened.error().with_file(file_kind::log_segment);
        file_.emplace(std::move(opened).assume_value());
        checker_.begin(segment.cut);
        at_ = 0;
        return ok();
    }
    [[nodiscard]] std::uint64_t position() const noexcept { return at_; }
    [[nodiscard]] bool is_at_end() const noexcept { return at_ == segment_.header.segment_bytes; }

    // The next bytes of the image. f(log_record const&) noexcept -> result<void> for every record.
    // Requires: open, and room for image up to the end; the first piece holds the header.
    // Errors: log_damaged (LSN), log_gap, unsupported_record, unlogged_changes, of storage, of f.
    template <class F>
    [[nodiscard]] result<void> read(bytes image, F&& f) noexcept {
        auto const damaged = error{
            .code = errc::log_damaged, .file = file_kind::log_segment, .at = segment_.header.first()
        };
        // Behind the logical end nothing is of interest.
        auto const ended = at_ != 0 && checker_.has_ended();
        auto const got =
            ended ? result<std::size_t>{std::size_t{0}} : read_up_to(*file_, image, at_);
        if (!got) return got.error().with_file(file_kind::log_segment);
        if (got.assume_value() < segment_header_bytes && at_ == 0) return damaged;
        // A closed segment may be cut to what it holds: the rest of its image is zero.
        std::memset(image.data() + got.assume_value(), 0, image.size() - got.assume_value());
        BOOST_OUTCOME_TRY(auto const logical, checker_.feed(image, std::forward<F>(f)));
        std::memset(image.data() + logical, 0, image.size() - logical);
        at_ += image.size();
        if (!is_at_end()) return ok();
        BOOST_OUTCOME_TRY(check_end(damaged));
        file_.reset();
        return ok();
    }

private:
    explicit segment_source(segment_checker&& checker) noexcept : checker_{std::move(checker)} {}

    [[nodiscard]] result<void> check_end(error const& damaged) const noexcept {
        BOOST_OUTCOME_TRY(checker_.finish());
        if (checker_.header() != segment_.header) return damaged;
        if (segment_.cut) return ok();
        auto const& closing = checker_.closing();
        if (!closing || closing->next_generation != segment_.next.generation ||
            closing->next_nonce != segment_.next.nonce)
            return error{
                .code = errc::log_gap,
                .file = file_kind::log_segment,
                .at = first_lsn(segment_.next.generation, segment_.header.segment_bytes)
            };
        return ok();
    }

    segment_checker checker_;
    chained_segment segment_{};
    std::optional<typename Env::file> file_;
    std::uint64_t at_ = 0;
};

} // namespace jetpp::inline v1
