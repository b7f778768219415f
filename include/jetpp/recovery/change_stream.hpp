// jetpp/recovery/change_stream.hpp - the committed changes of a log, transaction by transaction.
//
//     BOOST_OUTCOME_TRY(auto changes, follow_changes(env, directory, {.after = token}));
//     for (;;) {
//         BOOST_OUTCOME_TRY(auto const step, changes.next());
//         if (step == change_step::waiting) { changes.source().pause(); continue; }
//         for (logged_change const& one : changes.transaction().changes) ...
//         keep(changes.token()); // with what was made of it
//     }
//
// Invariants
//   * transactions come whole, in the order of their commits, each once; what was rolled back, to
//     a savepoint or by a recovery, does not come
//   * opened from a token the stream goes on as if it had never stopped
//   * a hole in the log ends the stream (log_gap): nobody is told of half the changes
// Threads  one owner.
// Owns     the source, and the changes of transactions not yet ended (change_collector.hpp).
// Source   change data capture over a replication slot. The slot is a named pin, if one is made: it
//          moves to the `scan` of the last token that was dealt with.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/log/log_follower.hpp>
#include <jetpp/log/log_source.hpp>
#include <jetpp/recovery/change_collector.hpp>

#include <cstdint>
#include <utility>

namespace jetpp::inline v1 {

enum class change_step : std::uint8_t {
    transaction, // transaction() is the next one
    waiting,     // none is there yet: only of a log that is followed
    end,         // the log ends here, whole
    torn_tail,   // the log ends here, in something that is no record: legal after a crash
};

template <log_source Source>
class change_stream {
public:
    change_stream(Source source, change_options const& options) noexcept
        : source_{std::move(source)}, collector_{options} {}

    // Errors: those of the source and of change_collector::see; log_gap where the source has a gap
    // (at: the first LSN that is missing). After an error the same error again.
    [[nodiscard]] result<change_step> next() noexcept {
        if (failed_.code != errc::none) return failed_;
        auto step = advance();
        if (!step) failed_ = step.error();
        return step;
    }

    // Lives until the next step.
    [[nodiscard]] committed_transaction const& transaction() const noexcept {
        return collector_.transaction();
    }
    [[nodiscard]] change_token const& token() const noexcept { return collector_.token(); }
    // See change_collector.
    [[nodiscard]] std::uint64_t skipped() const noexcept { return collector_.skipped(); }
    [[nodiscard]] change_collector& collector() noexcept { return collector_; }
    [[nodiscard]] Source& source() noexcept { return source_; }

private:
    [[nodiscard]] result<change_step> advance() noexcept {
        for (;;) {
            BOOST_OUTCOME_TRY(auto const step, source_.next());
            switch (step) {
            case log_step::record: {
                BOOST_OUTCOME_TRY(
                    auto const whole, collector_.see(source_.segment(), source_.record())
                );
                if (whole) return change_step::transaction;
                continue;
            }
            case log_step::waiting: return change_step::waiting;
            case log_step::end: return change_step::end;
            case log_step::torn_tail: return change_step::torn_tail;
            case log_step::gap:
                return error{
                    .code = errc::log_gap, .file = file_kind::log_segment, .at = source_.gap().from
                };
            }
        }
    }

    Source source_;
    change_collector collector_;
    error failed_{};
};

// The changes of a directory beside a running engine, or with no engine yet.
// Errors: those of log_follower::open; log_gap: the log the token needs is gone.
template <any_environment Env>
[[nodiscard]] result<change_stream<log_follower<Env>>> follow_changes(
    Env env,
    typename Env::directory& directory,
    change_options const& options = {},
    follow_options how = {}
) noexcept {
    if (options.after) {
        how.from = options.after->scan;
        how.instance = options.after->instance;
    }
    how.databases_below = true;
    how.filter = {};
    BOOST_OUTCOME_TRY(auto tail, log_follower<Env>::open(env, directory, how));
    return change_stream<log_follower<Env>>{std::move(tail), options};
}

// The changes of a directory that no engine holds, up to the end of its log.
// Errors: those of replay::open; log_gap: the log the token needs is gone.
template <any_environment Env>
[[nodiscard]] result<change_stream<replay_source<Env>>> read_changes(
    Env env,
    typename Env::directory& directory,
    change_options const& options = {},
    replay_options how = {}
) noexcept {
    using source = replay_source<Env>;
    how.filter = {};
    if (options.after && options.after->scan) {
        how.instance = options.after->instance;
        how.from = options.after->scan;
        auto probe = replay<Env>::open(env, directory, how);
        if (!probe && probe.error().code == errc::log_missing)
            return error{
                .code = errc::log_gap, .file = file_kind::log_segment, .at = options.after->scan
            };
        BOOST_OUTCOME_TRY(auto const found, std::move(probe));
        // From the first record of that segment on: it names the databases.
        auto const segment_bytes = found.segment_bytes();
        how.from = first_lsn(generation_of(how.from, segment_bytes), segment_bytes);
    }
    BOOST_OUTCOME_TRY(auto log, source::open(env, directory, how));
    return change_stream<source>{std::move(log), options};
}

} // namespace jetpp::inline v1
