// jetpp/backup/segment_checker.hpp - every record of a segment, proved while its bytes stream by.
//
// A segment comes as its image, piece by piece from byte 0. Each record is parsed and its CRC
// compared, across the pieces; segment_end's sum over the content too. The logical end is behind
// segment_end, or where the successor's header cuts; what stands behind it is nobody's.
// Invariants
//   * an invalid record below the logical end is log_damaged: there are no torn tails in sets
// Threads  one owner.
// Owns     room for the longest record.
// Source   backup rules R17, R19, R22.
#pragma once

#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/log/record_crc.hpp>
#include <jetpp/log/segment.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

class segment_checker {
public:
    // Errors: out_of_memory.
    [[nodiscard]] static result<segment_checker> create(std::size_t page_size) noexcept {
        auto made = segment_checker{};
        made.record_max_ = std::max(record_size_max(page_size), pad_size_max);
        BOOST_OUTCOME_TRY(made.carry_, aligned_buffer::create(made.record_max_));
        return made;
    }

    // The next bytes fed are those of a new segment, from its header on.
    // `cut`: where its successor says that it ends; 0: its successor names no cut, or nobody has
    // read it yet: then the first record that has no length may be the end (see finish()).
    void begin(lsn cut = no_lsn) noexcept {
        cut_ = cut;
        header_.reset();
        closing_.reset();
        ended_ = false;
        carried_ = 0;
        records_ = 0;
        crc_ = crc32c_accumulator{};
    }

    // f(log_record const&) noexcept -> result<void> for every record.
    // Requires: the first piece holds the header (4096 bytes).
    // Returns: how many bytes of the piece lie below the logical end, as far as it is known.
    // Errors: log_damaged, unsupported_record, unlogged_changes, those of f; with the LSN.
    template <class F>
    [[nodiscard]] result<std::size_t> feed(const_bytes piece, F&& f) noexcept {
        auto at = std::size_t{0};
        if (!header_) {
            ensure(piece.size() >= segment_header_bytes, "the first piece holds the header");
            auto const decoded = segment_header::decode(piece);
            if (!decoded) return refused(decoded.error().code, no_lsn);
            header_ = decoded.assume_value();
            next_ = header_->first();
            at = segment_header_bytes;
            if (cut_ && next_ == cut_) ended_ = true;
        }
        while (!ended_ && at < piece.size()) {
            BOOST_OUTCOME_TRY(auto const raw, whole_record(piece, at));
            if (raw.empty()) break;
            BOOST_OUTCOME_TRY(take(raw, f));
        }
        return at;
    }

    // The segment was fed to its end. Errors: log_damaged (it has no logical end).
    [[nodiscard]] result<void> finish() const noexcept {
        if (!ended_ || carried_ != 0 || !header_) return refused(errc::log_damaged, next_);
        return ok();
    }

    // Requires: a piece was fed.
    [[nodiscard]] segment_header const& header() const noexcept { return *header_; }
    // The segment_end, if that is how it ends.
    [[nodiscard]] std::optional<record::segment_end> const& closing() const noexcept {
        return closing_;
    }
    // Behind the last record: the logical end, once has_ended().
    [[nodiscard]] lsn end() const noexcept { return next_; }
    [[nodiscard]] bool has_ended() const noexcept { return ended_; }
    [[nodiscard]] std::uint64_t records() const noexcept { return records_; }

private:
    segment_checker() noexcept = default;

    [[nodiscard]] static error refused(errc code, lsn at) noexcept {
        switch (code) {
        case errc::unsupported_record:
        case errc::unsupported_format:
        case errc::unsupported_feature:
        case errc::unlogged_changes: break;
        default: code = errc::log_damaged;
        }
        return {.code = code, .file = file_kind::log_segment, .at = at};
    }

    // The record at next_, whole: in the piece from `at` on, or in carry_ if it began in an
    // earlier one. Moves `at` behind it. Returns: nothing if the piece ends before the record
    // (kept in carry_), or if the content ends here.
    [[nodiscard]] result<const_bytes> whole_record(const_bytes piece, std::size_t& at) noexcept {
        auto const rest = piece.subspan(at);
        auto const fetch = [&](std::size_t wanted) {
            auto const n = std::min(wanted - carried_, piece.size() - at);
            std::memcpy(carry_.data() + carried_, piece.data() + at, n);
            carried_ += n;
            at += n;
            return carried_ == wanted;
        };
        auto const* head = rest.data();
        if (carried_ != 0 || rest.size() < record_header_size) {
            if (carried_ < record_header_size && !fetch(record_header_size)) return const_bytes{};
            head = carry_.data();
        }
        auto const length = std::size_t{decode_length(head)};
        if (length == 0 && !cut_) {
            // The end of a segment that was never closed: its successor must say so.
            at -= carried_ < at ? carried_ : at;
            carried_ = 0;
            ended_ = true;
            return const_bytes{};
        }
        auto const left = header_->segment_bytes - offset_of(next_, header_->segment_bytes);
        if (length < record_header_size || length % 8 != 0 || length > record_max_ ||
            length > left || (cut_ && next_ + length > cut_))
            return refused(errc::log_damaged, next_);
        if (carried_ == 0) {
            if (rest.size() >= length) {
                at += length;
                return rest.first(length);
            }
        }
        if (!fetch(length)) return const_bytes{};
        carried_ = 0;
        return carry_.all().first(length);
    }

    template <class F>
    [[nodiscard]] result<void> take(const_bytes raw, F& f) noexcept {
        auto const& h = *header_;
        if (record_crc(h.nonce, next_, raw) != decode_crc(raw.data()))
            return refused(errc::log_damaged, next_);
        auto parsed = parse_record(next_, raw);
        if (!parsed) return refused(parsed.error().code, next_);
        auto const& record = parsed.assume_value();
        auto const* const closes = record.template as<record::segment_end>();
        auto const must_be_list = next_ == h.first();
        auto const room = h.segment_bytes - segment_end_size;
        if (must_be_list != (record.template as<record::attach_list>() != nullptr) ||
            (closes == nullptr && offset_of(next_, h.segment_bytes) + raw.size() > room) ||
            (closes != nullptr && closes->content_crc != crc_.value()))
            return refused(errc::log_damaged, next_);
        BOOST_OUTCOME_TRY(f(record));
        crc_.add(raw);
        ++records_;
        next_ += raw.size();
        if (closes != nullptr) closing_ = *closes;
        ended_ = closes != nullptr || (cut_ && next_ == cut_);
        return ok();
    }

    std::size_t record_max_ = 0;
    lsn cut_{};
    std::optional<segment_header> header_;
    std::optional<record::segment_end> closing_;
    lsn next_{};
    bool ended_ = false;
    aligned_buffer carry_;
    std::size_t carried_ = 0;
    std::uint64_t records_ = 0;
    crc32c_accumulator crc_;
};

} // namespace jetpp::inline v1
