// jetpp/backup/external_backup.hpp - a backup whose bytes the caller reads and keeps.
//
//     begin -> list_databases -> open, read ..., close -> list_logs -> open, read ..., close
//           -> (truncate) -> end(normal)                  at any time: end(abort), stop()
//
// The engine pins the log, proves what it hands out, seals the log, and at the end tells the truth:
// only databases that were read whole, with every listed segment, are stamped. The files are the
// caller's: under the names listed, byte for byte, they restore (external_restore.hpp).
// Which call may come when, and what each end means, is external_state.hpp; this carries it out.
// Invariants
//   * nothing is deleted before the end record is durable, nothing is stamped unless all was read
//   * page I/O happens outside the lock; a stop never harms a read in progress, it fails the next
//   * however a session ends, its pin is released: the destructor aborts one that is active
//   * the event sink is called when no lock is held, before the call that caused it returns
// Threads  any; reads of different handles run at once. A call may meet the instance's close: it ends
//          before, or finds the instance closed.
// Owns     the session: pin, open files. Once the instance is closed every call is invalid_argument.
// Source   backup rules R63 to R67, part 2; ESE's JetBeginExternalBackup family.
#pragma once

#include <jetpp/backup/backup_marks.hpp>
#include <jetpp/backup/copy_front.hpp>
#include <jetpp/backup/external_file.hpp>
#include <jetpp/backup/external_state.hpp>
#include <jetpp/backup/external_types.hpp>
#include <jetpp/backup/log_range.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/log/log_directory.hpp>
#include <jetpp/recovery/copy_sessions.hpp>
#include <jetpp/recovery/instance.hpp>
#include <jetpp/recovery/truncation.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

template <class Traits>
class external_backup : private copy_session<typename Traits::env>, private copy_front<Traits> {
    using front = copy_front<Traits>;
    using front::bounds_;
    using front::count_;
    using front::files_;
    using front::frozen_;
    using front::pin_;
    using front::wanted_start_;
    using env = typename Traits::env;
    using runtime = typename env::runtime_type;
    using session = copy_session<env>;
    using file_type = external_file<Traits>;
    using locked = holding<basic_mutex<runtime>>;
    static constexpr std::size_t page_size = Traits::page_size;

public:
    explicit external_backup(instance<Traits>& of) noexcept
        : runtime_{of.environment().runtime}, lock_{runtime_}, idle_{runtime_} {
        this->on_stop = [](session& s) noexcept { self(s).stop(); };
        this->on_end = [](session& s, bool goes) noexcept { return self(s).end_by_instance(goes); };
        this->on_look = [](session& s, mono_time now) noexcept { return self(s).look(now); };
        this->on_tell = [](session& s) noexcept { self(s).tell_late(); };
        if (of.sessions().join(*this)) in_ = &of;
    }
    // Of an open engine.
    template <class Engine>
        requires requires(Engine& db) { db.core().store; }
    explicit external_backup(Engine& db) noexcept : external_backup{db.core().store} {}
    external_backup(external_backup const&) = delete;
    external_backup& operator=(external_backup const&) = delete;
    // Waits for a sink that is being called. Not to be called by one.
    ~external_backup();

    // What every call may answer before anything else: invalid_argument (the instance is closed),
    // service_stopped, instance_failed, terminating, not_initialised; then, but for close and end,
    // backup_stopped; then no_backup.

    // full and copy begin with the databases; incremental and differential with the log.
    // Errors: backup_in_progress (this or another session), not_found (no database is attached),
    // resource (too many pins), unsupported (pages), those of a checkpoint and of the log; of the
    // last two kinds circular_logging, full_backup_required (database), log_gap (the first LSN that
    // is missing). No session is open then.
    [[nodiscard]] result<void> begin(
        backup_kind kind = backup_kind::full, external_options const& options = {}
    ) noexcept;

    // Errors: invalid_backup_sequence (incremental).
    [[nodiscard]] result<std::vector<external_database>> list_databases() noexcept;

    // Opens what was listed, by name. The first open of a database freezes its header and size.
    // Sections may be read in any order, at once, and twice. The last page of the image, the trailer,
    // says above which LSN the copy is whole: it is made when it is read, and counts if no page was
    // read behind it that is younger. Who reads sections at once reads it last, by itself.
    // `offset`: where to begin, a multiple of the page size; of a segment 0.
    // Errors: file_not_listed; invalid_argument (offset); invalid_backup_sequence: a segment before
    // they were listed, or a database after it, which ends the session.
    [[nodiscard]] result<external_handle> open(
        std::string_view name, std::uint64_t offset = 0
    ) noexcept;

    // The next bytes of the file's image. Returns: how many; 0 at its end, any number of times.
    // Requires: memory of any alignment; aligned to 4096 it is read into without a copy.
    // Errors: invalid_argument (handle; a size that is no multiple of the page size), busy (another
    // thread reads here); page_damaged, io: the database leaves the session, its handles close;
    // log_damaged, log_gap, io of a segment: the session is over.
    [[nodiscard]] result<std::size_t> read(external_handle const& from, bytes into) noexcept;

    // What was read counts from now on. Errors: invalid_argument (handle), busy.
    [[nodiscard]] result<void> close(external_handle const& which) noexcept;

    // Rolls the log, once, and fixes which segments are to be read. The copy of databases is over.
    // Errors: invalid_backup_sequence (a file is open); log_gap, those of storage and of the log:
    // the session is over.
    [[nodiscard]] result<std::vector<external_segment>> list_logs() noexcept;
    // Segments that a truncation at the end of this session may delete; else as list_logs().
    [[nodiscard]] result<std::vector<external_segment>> list_truncatable() noexcept;

    // Asks for a truncation, which end(normal) does behind the stamp.
    // Errors: invalid_backup_sequence, logs_unread.
    [[nodiscard]] result<void> truncate() noexcept;

    // Ends the session, whatever the outcome, but for invalid_argument and busy (another thread
    // ends it). Files still open do not count. `as`: the kind that is stamped, if it shall be
    // decided now.
    // Errors: backup_stopped, backup_aborted (no logs were listed), invalid_backup_sequence,
    // logs_unread (at: the segment), database_incomplete (database; none: no one is complete), those
    // of the log: nothing is stamped.
    [[nodiscard]] result<external_report> end(
        external_end how, std::optional<backup_kind> as = std::nullopt
    ) noexcept;

    // The next call hears backup_stopped; only end leaves. Never waits.
    void stop() noexcept { stop_asked_.store(true, std::memory_order_release); }

    // A copy of what the session knows of itself.
    struct condition {
        external_phase phase{};
        bool incremental{};
        bool rolled{};
        bool stopped{};
        bool truncating{};
        std::size_t handles{};
    };
    [[nodiscard]] condition now() noexcept;

private:
    [[nodiscard]] static external_backup& self(session& s) noexcept {
        return static_cast<external_backup&>(s);
    }
    // A call from outside: the lock, and behind it the sink, which hears what the call brought about.
    class [[nodiscard]] visit {
    public:
        explicit visit(external_backup& of) noexcept : held{of.lock_}, of_{&of} {}
        visit(visit const&) = delete;
        visit& operator=(visit const&) = delete;
        ~visit() { of_->deliver(held); }
        locked held;

    private:
        external_backup* of_;
    };
    [[nodiscard]] result<void> enter(locked& held, external_call call) noexcept;
    [[nodiscard]] result<void> begin_alone(
        backup_kind kind, external_options const& options, session*& telling
    ) noexcept;
    [[nodiscard]] result<void> begin_locked() noexcept;
    [[nodiscard]] external_call named(std::string_view name, std::size_t& index) const noexcept;
    [[nodiscard]] result<external_handle> open_locked(
        locked& held, std::string_view name, std::uint64_t offset
    );
    [[nodiscard]] result<file_type> database_at(std::size_t i, std::uint64_t offset) noexcept;
    [[nodiscard]] result<void> roll(locked& held) noexcept;
    [[nodiscard]] result<external_report> end_well(backup_kind kind);
    void fill_report(external_report& report);

    void read_failed(
        locked& held, std::shared_ptr<file_type> const& file, error const& why
    ) noexcept;
    void drop_handles() noexcept;
    // Returns: whether the session is still the one that it was.
    [[nodiscard]] bool wait_for_readers(locked& held) noexcept;
    void leave() noexcept;
    void tear_down(locked& held, error const& why) noexcept;
    [[nodiscard]] bool end_by_instance(bool instance_goes) noexcept;
    [[nodiscard]] bool look(mono_time now) noexcept;
    void expire_if_idle(mono_time now) noexcept;
    void abandon(error const& why) noexcept;
    // Under lock_: what deliver() says when it is free.
    void tell(event_kind kind, error const& why = {}, std::uint64_t count = 0) noexcept {
        ensure(pending_count_ < pending_.size(), "a call brings about a few events");
        pending_[pending_count_++] = {
            .sink = options_.events,
            .what = {.kind = kind, .why = why, .to = bounds_.end_lsn, .count = count},
        };
    }
    void deliver(locked& held) noexcept;
    // Returns: whether tell_late() has to be called.
    [[nodiscard]] bool promise_to_tell() noexcept;
    void tell_late() noexcept;
    [[nodiscard]] source_files<Traits> files() const noexcept { return {files_.data(), count_}; }
    [[nodiscard]] result<void> fix_truncatable();
    [[nodiscard]] bool will_stamp(database_id id) const noexcept;

    struct slot {
        std::shared_ptr<file_type> file;
        bool reading = false;
    };
    struct untold {
        event_sink sink;
        event what;
    };

    [[no_unique_address]] runtime runtime_;
    instance<Traits>* in_ = nullptr; // null: it was closed
    basic_mutex<runtime> lock_;      // held over the I/O of begin, roll and end, never of a page
    basic_event<runtime> idle_;
    std::atomic<bool> stop_asked_{false};
    external_state state_;
    external_options options_{};
    uuid set_{};
    backup_kind kind_{};
    mono_time last_call_{};
    array_list<chained_segment> chain_;
    std::vector<external_segment> truncatable_;
    lsn truncate_below_{};
    std::map<std::uint64_t, slot> handles_;
    std::uint64_t last_handle_ = 0;
    std::size_t readers_ = 0;
    std::size_t ending_ = 0;     // threads that wait for the readers to leave
    std::uint64_t sessions_ = 0; // that were left: a call belongs to the one it began in
    std::array<untold, 8> pending_{};
    std::size_t pending_count_ = 0;
    std::size_t telling_ = 0; // threads that call the sink, or have promised to
};

} // namespace jetpp::inline v1

#include <jetpp/backup/detail/external_backup_bodies.hpp>
#include <jetpp/backup/detail/external_backup_life.hpp>
