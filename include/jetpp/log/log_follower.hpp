// jetpp/log/log_follower.hpp - reads a log while an engine writes it, in this process or another.
//
//     BOOST_OUTCOME_TRY(auto tail, log_follower<Env>::open(env, directory, {.from = position}));
//     for (;;) {
//         BOOST_OUTCOME_TRY(auto const step, tail.next());
//         if (step == log_step::record) use(tail.record());
//         if (step == log_step::waiting) tail.pause();
//     }
//
// What a crash could still take back is not handed out. The follower takes no lock and asks no
// engine: it believes a record when the log itself proves that it was durable. Commits, time marks
// and segment_ends carry the durable LSN of their moment (durable_hint); a record in the next
// segment proves the whole segment before; the cut of a recovery proves what lies below it. So an
// idle log is behind by at most the second until its time mark. A follower in the engine's own
// process asks the engine (durable_bound) and is not behind.
// Invariants
//   * records come in the order of the log, each once, each proven by its CRC
//   * nothing at or above the durable bound, nor behind a cut, is handed out
//   * a segment that was recycled under the reader is a gap, never bytes of its next life
// Nothing is pinned by itself: who reads slower than the log is recycled meets a gap, unless a named
// pin of his (engine::create_pin) keeps the log. next() goes on behind it.
// Threads  one owner. Beside any number of writers.
// Owns     two windows of memory and two open files; the directory must outlive the follower.
// Source   the chain rules of backup rules R17 and R18; durable hints: see end_of_log.hpp.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/log/detail/record_source.hpp>
#include <jetpp/log/end_of_log.hpp>
#include <jetpp/log/log_directory.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/log/log_source.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

// Asks the engine that writes the log: every record below the answer is durable. It must live as
// long as it is asked.
struct durable_bound {
    lsn (*ask)(void* whom) noexcept = nullptr;
    void* whom = nullptr;
};

// Engine: an engine of this process, or its log_writer.
template <class Engine>
    requires requires(Engine& one) {
        { one.durable_lsn() } noexcept -> std::same_as<lsn>;
    }
[[nodiscard]] durable_bound bound_of(Engine& one) noexcept {
    return {
        .ask = [](void* whom) noexcept { return static_cast<Engine*>(whom)->durable_lsn(); },
        .whom = &one
    };
}

struct follow_options {
    lsn from{}; // first LSN wanted; 0: from the oldest segment on
    record_filter filter{};
    bool databases_below =
        false; // also what names databases between `from` and its segment's begin
    std::size_t page_size = 65536; // bounds the length of a record
    std::size_t buffer_bytes = std::size_t{512} << 10;
    mono_time poll_every = std::chrono::milliseconds{20};
    uuid instance{};       // nil: that of the first segment read
    durable_bound bound{}; // none: the log's own proofs
};

template <any_environment Env>
class log_follower {
public:
    // Errors: those of storage; log_missing (no segment), log_gap (none that holds `from`),
    // log_foreign, log_corrupt (no header can be believed), out_of_memory.
    [[nodiscard]] static result<log_follower> open(
        Env env, typename Env::directory& directory, follow_options const& options
    ) noexcept;

    // Returns: record, waiting or gap. After a gap the next step is at its `to`, if it has one.
    // Errors: those of storage; log_damaged (what must be durable cannot be read), log_corrupt,
    // log_foreign, unsupported_record, unlogged_changes; history_break (the log was cut below what
    // was handed out: another history was put in its place).
    [[nodiscard]] result<log_step> next() noexcept;

    [[nodiscard]] log_record const& record() noexcept { return current_; }
    [[nodiscard]] segment_header const& segment() noexcept { return segment_; }
    [[nodiscard]] log_gap_range gap() noexcept { return gap_; }
    // Where the next record begins: what `from` of a later follower needs to be.
    [[nodiscard]] lsn position() const noexcept {
        return {segment_.generation * segment_bytes_ + offset_};
    }
    [[nodiscard]] std::uint64_t segment_bytes() const noexcept { return segment_bytes_; }

    // Sleeps for poll_every.
    void pause() noexcept {
        auto const still = std::uint32_t{0};
        env_.runtime.park(&still, 0, env_.runtime.now() + options_.poll_every);
    }

private:
    log_follower(
        Env env,
        typename Env::directory& directory,
        follow_options const& options,
        detail::segment_source<Env> file,
        detail::segment_source<Env> aside
    ) noexcept
        : env_{env}, directory_{&directory}, options_{options}, file_{std::move(file)},
          aside_{std::move(aside)}, record_max_{record_size_max(options.page_size)} {}

    [[nodiscard]] result<void> begin() noexcept;
    [[nodiscard]] result<bool> enter(std::uint64_t generation, std::uint64_t nonce) noexcept;
    [[nodiscard]] result<bool> take(lsn at, const_bytes raw) noexcept;
    [[nodiscard]] result<void> look_ahead() noexcept;
    // What follows, or became of, the segment: nothing if there is no more to do than to wait.
    [[nodiscard]] result<std::optional<log_step>> look_around() noexcept;
    [[nodiscard]] result<bool> has_record(log_segment const& one) noexcept;
    [[nodiscard]] result<std::optional<log_step>> lost(log_directory<Env>& listing) noexcept;

    [[nodiscard]] result<const_bytes> record_at(std::uint64_t offset) noexcept {
        return detail::valid_record_at(file_, offset, segment_, segment_.nonce, record_max_);
    }
    [[nodiscard]] lsn at_offset(std::uint64_t offset) const noexcept {
        return {segment_.generation * segment_bytes_ + offset};
    }
    [[nodiscard]] lsn bound() const noexcept {
        return options_.bound.ask != nullptr
                   ? later(options_.bound.ask(options_.bound.whom), proven_)
                   : proven_;
    }
    [[nodiscard]] static error problem(errc code, lsn at) noexcept {
        return {.code = code, .file = file_kind::log_segment, .at = at};
    }

    [[no_unique_address]] Env env_;
    typename Env::directory* directory_;
    follow_options options_;
    detail::segment_source<Env> file_;
    detail::segment_source<Env> aside_; // for a look at another segment
    std::size_t record_max_;
    std::uint64_t segment_bytes_ = 0;

    segment_header segment_{};
    std::uint64_t offset_ = 0;                   // of the next record
    std::uint64_t seen_ = 0;                     // read ahead to here, for hints
    lsn proven_{};                               // below it the log proves itself durable
    lsn cut_{};                                  // where a successor cuts the segment; 0: nowhere
    std::optional<record::segment_end> closing_; // was handed out: the segment is done
    log_record current_{};
    log_gap_range gap_{};
};

} // namespace jetpp::inline v1

#include <jetpp/log/detail/log_follower_bodies.hpp>
