// jetpp/log/log_source.hpp - a log to read record by record, wherever it lies.
//
// A closed directory (replay_source), a directory in which an engine writes (log_follower), the log
// of a backup set (set_log): what reads changes does not care. How a log can end, or not go on, is a
// value; damage is an error.
//     for (;;) {
//         BOOST_OUTCOME_TRY(auto const step, source.next());
//         switch (step) { case log_step::record: use(source.record()); ... }
//     }
// Threads  one owner.
// Owns     replay_source: the replay, on the heap, so that it may be moved while it runs.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/log/replay.hpp>
#include <jetpp/log/segment.hpp>

#include <concepts>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

enum class log_step : std::uint8_t {
    record,    // record() is the next one
    waiting,   // nothing more is there yet: only of a log that is followed
    end,       // the log ends here, whole
    torn_tail, // the log ends here, in something that is no record: legal after a crash
    gap,       // gap() is missing: recycled, truncated, or not in this set
};

// Records from `from` on are not to be had; the next that are begin at `to` (0: there are none, or
// nobody knows).
struct log_gap_range {
    lsn from{};
    lsn to{};
    friend constexpr bool operator==(log_gap_range, log_gap_range) noexcept = default;
};

template <class S>
concept log_source = std::movable<S> && requires(S& source) {
    { source.next() } noexcept -> std::same_as<result<log_step>>;
    // Both: of the last step `record`; until the next step.
    { source.record() } noexcept -> std::same_as<log_record const&>;
    { source.segment() } noexcept -> std::same_as<segment_header const&>;
    { source.gap() } noexcept -> std::same_as<log_gap_range>;
};

template <any_environment Env>
class replay_source {
public:
    // Errors: those of replay::open. Lifetime: the directory outlives the source.
    [[nodiscard]] static result<replay_source> open(
        Env env, typename Env::directory& directory, replay_options const& options
    ) noexcept {
        BOOST_OUTCOME_TRY(auto opened, replay<Env>::open(env, directory, options));
        auto made = replay_source{};
        made.log_.reset(new (std::nothrow) replay<Env>{std::move(opened)});
        if (made.log_ == nullptr) return error{.code = errc::out_of_memory};
        return made;
    }

    // Errors: those of storage; log_corrupt, log_tail_lost, log_foreign, unsupported_record,
    // unlogged_changes: damage, nothing follows. A hole in the chain is a gap, and the last step.
    [[nodiscard]] result<log_step> next() noexcept {
        if (!at_)
            at_.emplace(log_->begin());
        else if (!done_)
            ++*at_;
        if (*at_ != log_->end() && !done_) {
            auto const& element = **at_;
            if (element) return log_step::record;
            done_ = true;
            if (element.error().code != errc::log_missing) return element.error();
            gap_ = {.from = element.error().at};
        }
        done_ = true;
        if (gap_.from) return log_step::gap;
        switch (log_->end_state().kind) {
        case end_kind::clean: return log_step::end;
        case end_kind::torn_tail: return log_step::torn_tail;
        case end_kind::damage:
        case end_kind::unfinished: break;
        }
        return log_->end_state().problem;
    }
    [[nodiscard]] log_record const& record() noexcept { return (**at_).assume_value(); }
    [[nodiscard]] segment_header const& segment() noexcept { return log_->current_segment(); }
    [[nodiscard]] log_gap_range gap() noexcept { return gap_; }
    [[nodiscard]] log_end const& end_state() const noexcept { return log_->end_state(); }

private:
    replay_source() noexcept = default;

    std::unique_ptr<replay<Env>> log_;
    std::optional<typename replay<Env>::iterator> at_;
    bool done_ = false;
    log_gap_range gap_{};
};

} // namespace jetpp::inline v1
