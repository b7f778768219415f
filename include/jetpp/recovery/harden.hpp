// jetpp/recovery/harden.hpp - making sure that the tail recovery has read is on the device.
//
// After a killed process the last records may sit in caches only (or in jet.ring alone). Nothing
// may be shown or written home because of them before they are durable: every byte from the last
// proven durable position to the end is written again, with DSYNC, into its segment.
// Only whole 4096-byte blocks are written, in order: what stood before in the first one is read,
// what follows the last record in its block becomes zero.
// Threads  one. Owns: one block.
// Source   "Can Applications Recover from fsync Failures?" (ATC 2020): a page cache proves nothing.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/error.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/log/segment.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

template <any_environment Env>
class tail_hardener {
    static constexpr std::size_t block_bytes = 4096;
    static constexpr std::size_t buffer_bytes = 256 * 1024;

public:
    tail_hardener(typename Env::directory& where, std::uint64_t segment_bytes) noexcept
        : where_{&where}, segment_bytes_{segment_bytes} {}

    // Records in log order, from the first to be hardened on. Errors: of storage, out_of_memory.
    [[nodiscard]] result<void> add(log_record const& record) noexcept {
        auto const generation = generation_of(record.at, segment_bytes_);
        if (!file_ || generation != generation_) {
            BOOST_OUTCOME_TRY(flush());
            BOOST_OUTCOME_TRY(enter(generation, offset_of(record.at, segment_bytes_)));
        }
        auto rest = record.raw;
        while (!rest.empty()) {
            auto const n = rest.size() < buffer_bytes - used_ ? rest.size() : buffer_bytes - used_;
            std::memcpy(buffer_.data() + used_, rest.data(), n);
            used_ += n;
            rest = rest.subspan(n);
            if (used_ == buffer_bytes) {
                BOOST_OUTCOME_TRY(write_out());
            }
        }
        return ok();
    }
    // After the last record: everything added is durable.
    [[nodiscard]] result<void> flush() noexcept {
        if (!file_) return ok();
        if (used_ != 0) {
            auto const whole = round_up(used_, block_bytes);
            std::memset(buffer_.data() + used_, 0, whole - used_);
            used_ = whole;
            BOOST_OUTCOME_TRY(write_out());
        }
        auto done = file_->sync(sync_how::full);
        if (!done) return done.error().with_file(file_kind::log_segment);
        auto closed = file_->close();
        file_.reset();
        return closed;
    }

private:
    [[nodiscard]] result<void> enter(std::uint64_t generation, std::uint64_t offset) noexcept {
        if (buffer_.size() == 0) {
            BOOST_OUTCOME_TRY(buffer_, aligned_buffer::create(buffer_bytes));
        }
        auto opened = where_->open(segment_file_name(generation), {.mode = open_mode::read_write});
        if (!opened) return opened.error().with_file(file_kind::log_segment);
        file_.emplace(std::move(opened).assume_value());
        generation_ = generation;
        offset_ = round_down(offset, block_bytes);
        used_ = static_cast<std::size_t>(offset - offset_);
        if (used_ == 0) return ok();
        // The file may end inside the block, behind the records: it was cut there.
        BOOST_OUTCOME_TRY(
            auto const there, read_up_to(*file_, buffer_.part(0, block_bytes), offset_)
        );
        if (there < used_)
            return error{
                .code = errc::log_corrupt,
                .file = file_kind::log_segment,
                .at = lsn{generation * segment_bytes_ + offset_ + there},
            };
        return ok();
    }
    [[nodiscard]] result<void> write_out() noexcept {
        auto done =
            write_full(*file_, const_bytes{buffer_.data(), used_}, offset_, write_how::durable);
        if (!done) return done.error().with_file(file_kind::log_segment);
        offset_ += used_;
        used_ = 0;
        return ok();
    }

    typename Env::directory* where_;
    std::uint64_t segment_bytes_;
    aligned_buffer buffer_;
    std::optional<typename Env::file> file_;
    std::uint64_t generation_ = 0;
    std::uint64_t offset_ = 0; // of the buffer's first byte in the file
    std::size_t used_ = 0;
};

} // namespace jetpp::inline v1
