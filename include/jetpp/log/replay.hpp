// jetpp/log/replay.hpp - the log as a range of typed records.
//
//     BOOST_OUTCOME_TRY(auto log, replay<Env>::open(env, directory, {.from = start}));
//     for (result<log_record> const& r : log) {
//         if (!r) return r.error();
//         r.assume_value().visit(overload{...});
//     }
//     log.end_state() // clean, torn tail at E, or damage
//
// Invariants
//   * a record is handed out only after its CRC was right for nonce and LSN, filtered or not
//   * a failure is always the last element; a torn tail is not a failure
//   * segments follow the chain of headers and segment_ends, never "generation + 1"
//   * nothing is read past up_to, nor past the cut of a segment
//   * reading begins at the first record of the segment that holds `from`: the way there is proven
// Elements live until the next ++. ++ and begin() may do I/O, * never does.
// Threads  one owner. A live log may be read up to a durable LSN that was asked for before open(),
//          while a pin keeps its segments.
// Owns     two windows of memory and one open file; the directory must outlive the replay.
// Source   ESE log generations; the end of the log: see end_of_log.hpp.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/log/detail/record_source.hpp>
#include <jetpp/log/end_of_log.hpp>
#include <jetpp/log/log_directory.hpp>
#include <jetpp/log/log_record.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

struct replay_options {
    lsn from{};  // first LSN wanted; 0 = from the oldest segment on
    lsn up_to{}; // records below it, all of which must be there; 0 = to the end, which is judged
    record_filter filter{};
    std::size_t page_size = 65536; // bounds the length of a record
    std::size_t buffer_bytes = std::size_t{1} << 20;
    uuid instance{};               // nil: that of the first segment read
    std::uint64_t segment_bytes{}; // 0: that of the newest segment
    bool use_ring = false;         // go on in jet.ring where the last segment ends
    bool accept_lost_tail = false; // report proofs of a lost tail, but end there in peace
    log_proofs proofs{};
};

template <any_environment Env>
class replay {
public:
    class iterator;

    // Errors: those of storage; log_missing (no segment, or none that holds `from`), log_foreign,
    // segment_size_mismatch, log_corrupt (the first segment's header), unsupported_format,
    // unsupported_feature, out_of_memory.
    // Complexity: one header a segment from `from` on.
    [[nodiscard]] static result<replay> open(
        Env env, typename Env::directory& directory, replay_options options
    ) noexcept;

    // Reads on to the first record wanted. Single pass: call it once, and do not move the replay
    // while iterating.
    [[nodiscard]] iterator begin() noexcept {
        advance();
        return iterator{*this};
    }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

    // How and where reading ended; kind is `unfinished` until the range is at its end.
    [[nodiscard]] log_end const& end_state() const noexcept { return end_; }
    [[nodiscard]] log_directory<Env> const& segments() const noexcept { return listing_; }
    [[nodiscard]] std::uint64_t segment_bytes() const noexcept { return segment_bytes_; }
    // Of the segment that holds the current element (its timeline stands in pages).
    [[nodiscard]] segment_header const& current_segment() const noexcept { return segment_; }

private:
    enum class step : std::uint8_t { again, yield, stop };
    using file_source = detail::segment_source<Env>;
    using ring_source = detail::ring_source<Env>;

    replay(
        Env env,
        typename Env::directory& directory,
        replay_options const& options,
        log_directory<Env> listing,
        file_source file
    ) noexcept
        : env_{env}, directory_{&directory}, options_{options}, listing_{std::move(listing)},
          file_{std::move(file)}, record_max_{record_size_max(options.page_size)} {}

    // opening
    [[nodiscard]] result<void> learn_segment_size() noexcept;
    [[nodiscard]] result<log_segment*> choose_first() noexcept;
    [[nodiscard]] result<log_segment*> start_before(log_segment* wanted) noexcept;
    [[nodiscard]] result<void> check_family() noexcept;

    // walking
    void advance() noexcept;
    [[nodiscard]] result<step> next_step() noexcept;
    [[nodiscard]] result<step> take(lsn at, const_bytes raw) noexcept;
    [[nodiscard]] result<step> leave_by_segment_end() noexcept;
    [[nodiscard]] result<step> leave_by_cut() noexcept;
    [[nodiscard]] result<step> at_invalid(lsn at) noexcept;
    [[nodiscard]] result<void> enter(log_segment const& next) noexcept;
    [[nodiscard]] result<const_bytes> record_here() noexcept;

    // ending
    [[nodiscard]] result<step> stop_at_bound(lsn at) noexcept;
    [[nodiscard]] result<step> end_here(lsn end) noexcept;
    [[nodiscard]] result<void> judge(lsn end) noexcept;
    [[nodiscard]] result<void> judge_slot(lsn end) noexcept;
    [[nodiscard]] result<void> judge_segment(lsn end) noexcept;
    [[nodiscard]] result<void> judge_later_segments() noexcept;
    [[nodiscard]] result<bool> holds_record(log_segment const& one, std::uint64_t nonce) noexcept;

    [[nodiscard]] lsn here() const noexcept {
        return {segment_.generation * segment_.segment_bytes + offset_};
    }
    [[nodiscard]] static error problem(errc code, lsn at) noexcept {
        return {.code = code, .file = file_kind::log_segment, .at = at};
    }
    [[nodiscard]] error missing(std::uint64_t generation) const noexcept {
        return problem(errc::log_missing, first_lsn(generation, segment_bytes_));
    }
    [[nodiscard]] static error unsound(log_segment const& one, lsn at) noexcept {
        auto const legible = one.header_error == errc::unsupported_format ||
                             one.header_error == errc::unsupported_feature;
        return problem(legible ? one.header_error : errc::log_corrupt, at);
    }

    [[no_unique_address]] Env env_;
    typename Env::directory* directory_;
    replay_options options_;
    log_directory<Env> listing_;
    file_source file_;
    std::optional<ring_source> ring_;
    std::size_t record_max_;
    std::uint64_t segment_bytes_ = 0;
    std::uint64_t first_generation_ = 0;

    segment_header segment_{}; // the one being read
    std::uint64_t offset_ = 0; // of the next record in it
    log_segment const* cutter_ = nullptr;
    std::optional<record::segment_end> closing_; // the segment_end just handed out
    bool ring_asked_ = false;
    bool in_ring_ = false;

    result<log_record> current_ = log_record{};
    bool done_ = false;
    log_end end_;
};

// Move-only: there is one place in a log that is read once.
template <any_environment Env>
class replay<Env>::iterator {
public:
    using value_type = result<log_record>;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    explicit iterator(replay& of) noexcept : replay_{&of} {}
    iterator(iterator&&) noexcept = default;
    iterator& operator=(iterator&&) noexcept = default;

    [[nodiscard]] value_type const& operator*() const noexcept { return replay_->current_; }
    [[nodiscard]] value_type const* operator->() const noexcept { return &replay_->current_; }
    // May do I/O.
    iterator& operator++() noexcept {
        replay_->advance();
        return *this;
    }
    void operator++(int) noexcept { ++*this; }
    friend bool operator==(iterator const& at, std::default_sentinel_t) noexcept {
        return at.is_at_end();
    }

private:
    [[nodiscard]] bool is_at_end() const noexcept { return replay_->done_; }

    replay* replay_;
};

} // namespace jetpp::inline v1

#include <jetpp/log/detail/replay_end.hpp>
#include <jetpp/log/detail/replay_walk.hpp>
