// jetpp/backup/external_state.hpp - what each call of an external session may do, decided without
// doing anything.
//
//     none --begin(full)--> databases --list logs--> logs, rolled --end--> none
//     none --begin(incremental)--> logs --list logs--> logs, rolled --end--> none
//
// Whoever carries a session out asks ask(), does what the answer allows, and says what happened.
// What was delivered is accounted here as well, so that the end of a session, truthful by the rules,
// is a pure function of what went before. The table is that of the backup rules, part 2; the test
// generates each (state, call) pair from it.
// Invariants
//   * only a session that ends good() stamps and truncates
//   * a refused call changes nothing, unless its answer says that it tears the session down
// Threads  one caller at a time.
// Owns     the lists of databases and segments, and what was read of them.
// Source   backup rules R63 to R67, part 2; ESE's JetBeginExternalBackup family.
#pragma once

#include <jetpp/backup/page_ranges.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/errc.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

enum class external_phase : std::uint8_t { none, databases, logs };

enum class external_call : std::uint8_t {
    begin,
    list_databases,
    open_database, // a database of the session
    open_log,      // by its name a log segment; listed, once segments are
    open_other,    // anything else: unknown, or failed before
    read,
    read_wrongly, // not a multiple of the page size, or nothing
    close,
    close_unknown,
    list_logs,
    list_truncatable,
    truncate,
    end_normal,
    end_abort,
    end_wrongly, // both, neither, unknown bits
    stop,
};

struct external_answer {
    errc refused = errc::none;
    bool tears_down = false; // the session is over: the abort is logged, nothing stamped
    friend bool operator==(external_answer const&, external_answer const&) = default;
};

// How a session that is ended normally ends.
struct external_ending {
    errc why = errc::none;    // none: what is complete is stamped
    std::size_t database = 0; // database_incomplete: which one; all of them: the count
    std::size_t segment = 0;  // logs_unread: the first one
};

class external_state {
public:
    struct database {
        std::uint64_t pages{}; // N; 0: never opened
        page_ranges delivered; // of closed handles, trailer left out
        lsn trailer_end{};     // copy_end_lsn of the newest trailer delivered
        lsn highest{};         // of all page_lsn delivered: a trailer counts if it is above
        bool failed = false;   // it left the session
    };

    [[nodiscard]] external_phase phase() const noexcept { return phase_; }
    [[nodiscard]] bool is_active() const noexcept { return phase_ != external_phase::none; }
    [[nodiscard]] bool is_incremental() const noexcept { return incremental_; }
    [[nodiscard]] bool is_rolled() const noexcept { return rolled_; }
    [[nodiscard]] bool is_stopped() const noexcept { return stopped_; }
    [[nodiscard]] bool is_truncating() const noexcept { return truncating_; }
    [[nodiscard]] std::size_t handles() const noexcept { return handles_; }
    [[nodiscard]] std::size_t database_count() const noexcept { return database_count_; }
    [[nodiscard]] std::size_t segment_count() const noexcept { return segments_.size(); }

    [[nodiscard]] external_answer ask(external_call call) const noexcept;

    // ---- what happened

    void begun(bool incremental, std::size_t databases) noexcept {
        ensure(databases <= databases_max, "an instance has at most 16 databases");
        *this = {};
        phase_ = incremental ? external_phase::logs : external_phase::databases;
        incremental_ = incremental;
        database_count_ = databases;
    }
    // The log was rolled, so many segments are to be read. Returns: false iff memory is out.
    [[nodiscard]] bool rolled(std::size_t segments) noexcept {
        if (!segments_.resize(segments)) return false;
        phase_ = external_phase::logs;
        rolled_ = true;
        return true;
    }
    void frozen(std::size_t i, std::uint64_t pages) noexcept { of(i).pages = pages; }
    void opened() noexcept { ++handles_; }
    void closed() noexcept {
        ensure(handles_ != 0, "only what is open is closed");
        --handles_;
    }
    // Pages of a handle that was closed. Returns: false iff memory is out.
    [[nodiscard]] bool delivered(std::size_t i, page_ranges const& pages) noexcept {
        return of(i).delivered.add(pages);
    }
    void trailer_delivered(std::size_t i, lsn copy_end) noexcept {
        of(i).trailer_end = later(of(i).trailer_end, copy_end);
    }
    void page_seen(std::size_t i, lsn page_lsn) noexcept {
        of(i).highest = later(of(i).highest, page_lsn);
    }
    void failed(std::size_t i) noexcept { of(i).failed = true; }
    void segment_read(std::size_t i) noexcept { segments_[i] = 1; }
    void truncation_asked() noexcept { truncating_ = true; }
    void stop() noexcept {
        if (is_active()) stopped_ = true;
    }
    void ended() noexcept { *this = {}; }

    // ---- what follows from it

    [[nodiscard]] lsn trailer_end(std::size_t i) const noexcept {
        return databases_[i].trailer_end;
    }
    [[nodiscard]] bool is_failed(std::size_t i) const noexcept { return databases_[i].failed; }
    [[nodiscard]] bool is_complete(std::size_t i) const noexcept {
        auto const& one = databases_[i];
        return !one.failed && one.pages != 0 && one.trailer_end > one.highest &&
               one.delivered.covers(0, one.pages);
    }
    // Is that database's copy a partial one: opened, not complete, not failed?
    [[nodiscard]] bool is_partial(std::size_t i) const noexcept {
        return databases_[i].pages != 0 && !databases_[i].failed && !is_complete(i);
    }
    [[nodiscard]] std::size_t first_unread() const noexcept {
        auto i = std::size_t{0};
        while (i < segments_.size() && segments_[i] != 0) ++i;
        return i;
    }
    [[nodiscard]] bool has_unread() const noexcept { return first_unread() != segments_.size(); }
    // Of a session that is ended normally, once its handles are closed.
    [[nodiscard]] external_ending ending() const noexcept;

private:
    [[nodiscard]] database& of(std::size_t i) noexcept {
        ensure(i < database_count_, "a database of the session");
        return databases_[i];
    }
    [[nodiscard]] external_answer ask_open(external_call call) const noexcept;

    external_phase phase_ = external_phase::none;
    bool incremental_ = false;
    bool rolled_ = false;
    bool stopped_ = false;
    bool truncating_ = false;
    std::size_t handles_ = 0;
    std::size_t database_count_ = 0;
    std::array<database, databases_max> databases_{};
    array_list<std::uint8_t> segments_; // 1: read to its end
};

inline external_answer external_state::ask(external_call call) const noexcept {
    using enum external_call;
    constexpr auto yes = external_answer{};
    auto const no = [](errc why) { return external_answer{.refused = why}; };
    constexpr auto out_of_order = external_answer{.refused = errc::invalid_backup_sequence};
    if (!is_active()) {
        switch (call) {
        case begin:
        case stop: return yes;
        case close:
        case close_unknown: return no(errc::invalid_argument);
        default: return no(errc::no_backup);
        }
    }
    switch (call) {
    case begin: return no(errc::backup_in_progress);
    case end_wrongly:
    case close_unknown: return no(errc::invalid_argument);
    case stop:
    case close:
    case end_normal:
    case end_abort: return yes;
    default: break;
    }
    if (stopped_) return no(errc::backup_stopped);
    switch (call) {
    case list_databases: return incremental_ ? out_of_order : yes;
    case open_database:
    case open_log:
    case open_other: return ask_open(call);
    case read_wrongly: return no(errc::invalid_argument);
    case list_logs:
    case list_truncatable: return handles_ != 0 ? out_of_order : yes;
    case truncate:
        if (handles_ != 0 || !rolled_) return out_of_order;
        return has_unread() ? no(errc::logs_unread) : yes;
    default: return yes; // read
    }
}

// The copy of databases is over once logs were asked for: who opens one then has lost his way, and
// a backup that went on would not be what he thinks.
inline external_answer external_state::ask_open(external_call call) const noexcept {
    if (phase_ == external_phase::databases)
        return {
            .refused = call == external_call::open_database ? errc::none : errc::file_not_listed
        };
    if (call == external_call::open_database)
        return {.refused = errc::invalid_backup_sequence, .tears_down = true};
    if (call == external_call::open_other) return {.refused = errc::file_not_listed};
    return {.refused = rolled_ ? errc::none : errc::invalid_backup_sequence};
}

inline external_ending external_state::ending() const noexcept {
    if (stopped_) return {.why = errc::backup_stopped};
    if (phase_ == external_phase::databases) return {.why = errc::backup_aborted};
    if (!rolled_) return {.why = errc::invalid_backup_sequence};
    if (has_unread()) return {.why = errc::logs_unread, .segment = first_unread()};
    if (incremental_) return {};
    auto complete = std::size_t{0};
    for (std::size_t i = 0; i < database_count_; ++i) {
        if (is_partial(i)) return {.why = errc::database_incomplete, .database = i};
        complete += is_complete(i) ? 1U : 0U;
    }
    if (complete == 0) return {.why = errc::database_incomplete, .database = database_count_};
    return {};
}

} // namespace jetpp::inline v1
