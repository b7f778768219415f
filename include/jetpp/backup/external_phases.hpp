// jetpp/backup/external_phases.hpp - an external session whose order of calls the compiler checks.
//
//     begin_external(db) -> external_databases --to_logs()--> external_logs --finish()--> report
//     begin_external_logs(db, kind) ----------------------------^
//
// The same session as external_backup, cut where its phases change: each phase is a move-only object
// with the calls that it allows and no others, and a call that leads on takes the phase away (&&).
// What the compiler cannot know (is everything read? did a page fail?) stays a result.
// A phase that is dropped aborts the session.
// Threads  as external_backup; a phase is moved by one thread while no other one uses it.
// Owns     the session.
// Source   backup rules R63 to R67.
#pragma once

#include <jetpp/backup/external_backup.hpp>
#include <jetpp/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

namespace detail {

// What every phase may do: open what was listed, read it, close it; give up.
template <class Traits>
class external_phase_base {
public:
    external_phase_base(external_phase_base&&) noexcept = default;
    external_phase_base& operator=(external_phase_base&&) noexcept = default;

    // Errors: see external_backup.
    [[nodiscard]] result<external_handle> open(
        std::string_view name, std::uint64_t offset = 0
    ) noexcept {
        return session_->open(name, offset);
    }
    [[nodiscard]] result<std::size_t> read(external_handle const& from, bytes into) noexcept {
        return session_->read(from, into);
    }
    [[nodiscard]] result<void> close(external_handle const& which) noexcept {
        return session_->close(which);
    }
    void stop() noexcept { session_->stop(); }
    // Nothing is stamped.
    [[nodiscard]] result<external_report> abort() && noexcept {
        auto const mine = std::move(session_);
        return mine->end(external_end::abort);
    }

protected:
    using session = std::unique_ptr<external_backup<Traits>>;
    explicit external_phase_base(session&& taken) noexcept : session_{std::move(taken)} {}
    session session_;
};

} // namespace detail

// The logs phase: databases are over.
template <class Traits>
class [[nodiscard]] external_logs : public detail::external_phase_base<Traits> {
    using base = detail::external_phase_base<Traits>;

public:
    explicit external_logs(typename base::session&& taken) noexcept : base{std::move(taken)} {}

    // Errors: invalid_backup_sequence (a file is open); log_gap, those of storage.
    [[nodiscard]] result<std::vector<external_segment>> list() noexcept {
        return this->session_->list_logs();
    }
    [[nodiscard]] result<std::vector<external_segment>> list_truncatable() noexcept {
        return this->session_->list_truncatable();
    }
    // Errors: logs_unread, invalid_backup_sequence.
    [[nodiscard]] result<void> truncate() noexcept { return this->session_->truncate(); }

    template <class Never = void>
    void to_logs() && noexcept {
        static_assert(!std::is_void_v<Never>, "jetpp: the session is in its logs phase already");
    }
    // Errors: see external_backup::end.
    [[nodiscard]] result<external_report> finish() && noexcept {
        auto const mine = std::move(this->session_);
        return mine->end(external_end::normal);
    }
};

// The databases phase.
template <class Traits>
class [[nodiscard]] external_databases : public detail::external_phase_base<Traits> {
    using base = detail::external_phase_base<Traits>;

public:
    explicit external_databases(typename base::session&& taken) noexcept : base{std::move(taken)} {}

    [[nodiscard]] result<std::vector<external_database>> list() noexcept {
        return this->session_->list_databases();
    }
    // The copy of databases is over: seals the log behind it.
    // Errors: those of external_backup::list_logs (a file still open is invalid_backup_sequence);
    // the session is over then.
    [[nodiscard]] result<external_logs<Traits>> to_logs() && noexcept {
        auto logs = external_logs<Traits>{std::move(this->session_)};
        BOOST_OUTCOME_TRY(logs.list());
        return logs;
    }
    template <class Never = void>
    void finish() && noexcept {
        static_assert(
            !std::is_void_v<Never>,
            "jetpp: a session finishes from its logs phase: to_logs() comes first"
        );
    }
};

// kind: full or copy. Errors: see external_backup::begin; invalid_argument (another kind).
template <class Engine>
[[nodiscard]] auto begin_external(
    Engine& db, backup_kind kind = backup_kind::full, external_options const& options = {}
) noexcept -> result<external_databases<typename Engine::traits>> {
    using traits = typename Engine::traits;
    if (kind != backup_kind::full && kind != backup_kind::copy)
        return error{.code = errc::invalid_argument};
    auto session = std::unique_ptr<external_backup<traits>>{new (std::nothrow
    ) external_backup<traits>{db.core().store}};
    if (session == nullptr) return error{.code = errc::out_of_memory};
    BOOST_OUTCOME_TRY(session->begin(kind, options));
    return external_databases<traits>{std::move(session)};
}

// kind: incremental or differential. Errors: the same.
template <class Engine>
[[nodiscard]] auto begin_external_logs(
    Engine& db, backup_kind kind = backup_kind::incremental, external_options const& options = {}
) noexcept -> result<external_logs<typename Engine::traits>> {
    using traits = typename Engine::traits;
    if (kind != backup_kind::incremental && kind != backup_kind::differential)
        return error{.code = errc::invalid_argument};
    auto session = std::unique_ptr<external_backup<traits>>{new (std::nothrow
    ) external_backup<traits>{db.core().store}};
    if (session == nullptr) return error{.code = errc::out_of_memory};
    BOOST_OUTCOME_TRY(session->begin(kind, options));
    return external_logs<traits>{std::move(session)};
}

} // namespace jetpp::inline v1
