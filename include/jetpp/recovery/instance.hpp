// jetpp/recovery/instance.hpp - one directory and everything an engine keeps below its surface.
//
//   lock, checkpoint, log, pool, trees, transactions, up to 16 databases
//
// Life: open() makes a new instance or recovers the one it finds, then serves, then close() leaves
// clean files. What happens in between to the set of databases (attach, create, detach) is ordered
// so that a crash at any point leaves files that the log explains.
// Invariants
//   * a database's header names this instance before its first page is written
//   * the log names a database (attach_list) in every segment that may hold records of it
//   * after a failed write or sync of log, checkpoint or header nothing more is written
// Threads  open and close: the owner; attach and detach: any, one at a time; the rest: any.
// Source   ESE instance; ARIES checkpoint and recovery.
#pragma once

#include <jetpp/btree/btree.hpp>
#include <jetpp/buffer/buffer_pool.hpp>
#include <jetpp/buffer/checkpointer.hpp>
#include <jetpp/buffer/double_write.hpp>
#include <jetpp/buffer/log_gate.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/durability.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/env/write_gate.hpp>
#include <jetpp/log/checkpoint_slot.hpp>
#include <jetpp/log/log_writer.hpp>
#include <jetpp/log/records.hpp>
#include <jetpp/log/replay.hpp>
#include <jetpp/page/timeline_ancestry.hpp>
#include <jetpp/recovery/analysis.hpp>
#include <jetpp/recovery/attached_database.hpp>
#include <jetpp/recovery/copy_sessions.hpp>
#include <jetpp/recovery/entry_gate.hpp>
#include <jetpp/recovery/instance_options.hpp>
#include <jetpp/recovery/running_backups.hpp>
#include <jetpp/recovery/truncation.hpp>
#include <jetpp/txn/catalogue_rows.hpp>
#include <jetpp/txn/transaction_system.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
class recovery_run;

enum class checkpoint_how : std::uint8_t {
    ordinary,  // as far as pages have gone home by themselves
    flush_all, // after writing home every page that is dirty when it begins
};

// What the last open had to do.
struct recovery_report {
    bool recovered{}; // false: the files were clean
    lsn scan_start{};
    lsn end{}; // E: what lies at or above did not survive
    lsn last_commit{};
    std::uint64_t records{};
    std::uint64_t pages_changed{};
    std::uint32_t losers{};
    std::uint32_t pages_repaired{}; // from jet.dw
    std::uint32_t former_incarnation{};
    // Backups and external sessions that a crash ended: no header names them, and no pin is left; a
    // set stands only if the crash came just behind its publishing. Known as far as the log is
    // read, which is from scan_start on: a checkpoint since they began makes them unknown.
    unended_backups aborted{};
    // No slot of the checkpoint file could be read: named pins, if there were any, are gone, and
    // the log they held is given up in time.
    bool pins_lost{};
};

template <class Traits>
class instance {
public:
    using env = typename Traits::env;
    using runtime_type = typename env::runtime_type;
    using directory = typename env::directory;
    using database = attached_database<Traits>;
    static constexpr std::size_t page_size = Traits::page_size;
    using limits = page_limits<page_size>;

    explicit instance(env environment) noexcept
        : env_{environment}, writes_{environment.runtime}, databases_lock_{environment.runtime},
          sessions_{environment}, backups_{environment} {}
    instance(instance const&) = delete;
    instance& operator=(instance const&) = delete;

    // Errors: see engine::open.
    [[nodiscard]] result<void> open(path_view path, instance_options const& options) noexcept;
    // From here on nothing pins the log or freezes: close() follows.
    // Errors: backup_in_progress, freeze_sequence (it is frozen): nothing changed.
    [[nodiscard]] result<void> begin_close() noexcept;
    // Errors: as begin_close(), if that was not called: the instance stays open; whatever else kept
    // the files from being clean: they are then as after a crash.
    [[nodiscard]] result<void> close() noexcept;

    [[nodiscard]] env& environment() noexcept { return env_; }
    [[nodiscard]] directory& where() noexcept { return *dir_; }
    [[nodiscard]] log_writer<env>& log() noexcept { return *log_; }
    [[nodiscard]] buffer_pool<Traits>& pool() noexcept { return *pool_; }
    [[nodiscard]] btree<Traits>& trees() noexcept { return *trees_; }
    [[nodiscard]] transaction_system<Traits>& transactions() noexcept { return *transactions_; }
    [[nodiscard]] std::uint32_t incarnation() const noexcept { return incarnation_; }
    [[nodiscard]] uuid const& id() const noexcept { return id_; }
    [[nodiscard]] timeline_id timeline() const noexcept { return ancestry_.timeline(); }
    // The forks that led to its timeline. The newest stands in the log; those before it are known
    // as soon as a database is attached that knows them, and while a pin is out nothing changes.
    [[nodiscard]] timeline_ancestry ancestry() noexcept {
        auto const held = holding{databases_lock_};
        return ancestry_;
    }
    [[nodiscard]] recovery_report const& report() const noexcept { return report_; }
    [[nodiscard]] bool is_archival() const noexcept { return archival_; }
    [[nodiscard]] std::uint64_t segment_bytes() const noexcept { return segment_bytes_; }
    // Is the service stopped, and where in its life is the instance?
    [[nodiscard]] instance_service& service() noexcept { return service_; }
    // What a call from outside is asked before anything else. Errors: those of refusal_at_gate.
    [[nodiscard]] result<void> pass_gate(bool begins_backup) noexcept {
        auto const phase = service_.phase();
        auto const refused = refusal_at_gate(
            {.service_stopped = service_.is_stopped(),
             .failed = log_ != nullptr && log_->failed(),
             .phase = phase},
            begins_backup
        );
        if (refused != errc::none) return error{.code = refused};
        return ok();
    }
    [[nodiscard]] copy_sessions<env>& sessions() noexcept { return sessions_; }
    [[nodiscard]] running_backups<env>& backups() noexcept { return backups_; }
    // A session that is idle beyond its limit ends here. Requires: no lock is held.
    void look_at_sessions() noexcept { sessions_.look(env_.runtime.now()); }
    // The newest durable checkpoint.
    [[nodiscard]] checkpoint_slot durable_slot() noexcept {
        auto const held = holding{databases_lock_};
        return *checkpoint_->newest();
    }
    // How many checkpoints this life has taken.
    [[nodiscard]] std::uint64_t checkpoints() const noexcept {
        return checkpoints_.load(std::memory_order_relaxed);
    }
    // Log from the durable checkpoint's start on is kept until unpin_log(): the place to begin a
    // copy of the files from. One critical section, so nothing in between can be recycled.
    // Errors: resource (16 pins are out), backup_in_progress (the instance is frozen), terminating.
    struct log_pin {
        std::size_t place{};
        lsn redo_lsn{};
        lsn undo_low_lsn{};
        lsn log_start{}; // the smaller one
    };
    // attached(database&) noexcept: called for each attached database in that section. As long as
    // a pin is out, no database is attached or detached, and the instance does not close.
    template <class F>
    [[nodiscard]] result<log_pin> pin_log(F&& attached) noexcept;
    [[nodiscard]] result<log_pin> pin_log() noexcept {
        return pin_log([](database&) noexcept {});
    }
    // A pin that is out keeps log from `from` on too, as far as it is still there.
    void keep_log(log_pin const& pin, lsn from) noexcept;
    void unpin_log(log_pin const& pin) noexcept;
    [[nodiscard]] bool is_pinned() noexcept {
        auto const held = holding{databases_lock_};
        return is_pinned_locked();
    }

    // Named pins (named_pin.hpp): the log from their place on is kept, in both logging modes, also
    // by the instance's next lives. Each of these calls is durable when it returns.
    // Errors (all that write): instance_failed, io and its kin: final. Complexity: one durable
    // write of 4096 bytes.
    // Errors: invalid_argument (no cap, or a place above the durable log), already_exists (also if
    // that one is broken), resource (there are 16), log_missing (at: where the log begins).
    [[nodiscard]] result<named_pin> create_pin(
        pin_id const& id, pin_options const& options
    ) noexcept;
    // Also a broken one. Errors: not_found.
    [[nodiscard]] result<named_pin> find_pin(pin_id const& id) noexcept;
    // The owner needs no log below `to` any more.
    // Errors: not_found, pin_broken, invalid_argument (back, or above the durable log).
    [[nodiscard]] result<void> advance_pin(pin_id const& id, lsn to) noexcept;
    // Broken or not, it is no more. Errors: not_found.
    [[nodiscard]] result<void> release_pin(pin_id const& id) noexcept;
    [[nodiscard]] pin_list named_pins() noexcept;
    // Of one owner only one may be at work in this process. Claims are of this process alone, and
    // end with the pin.
    // Errors: not_found, pin_broken, backup_in_progress (claimed already).
    [[nodiscard]] result<named_pin> claim_pin(pin_id const& id) noexcept;
    void unclaim_pin(pin_id const& id) noexcept;
    // Those that a checkpoint or a truncation broke since the last call.
    [[nodiscard]] pin_list take_broken_pins() noexcept;

    // All places; those with a file are attached databases. While others attach or detach, only
    // each_database() may look.
    [[nodiscard]] std::span<database> databases() noexcept { return databases_; }
    // fn(database&) for each attached one, under their lock. Under a pin none of them goes.
    template <class F>
    void each_database(F&& fn) noexcept {
        auto const held = holding{databases_lock_};
        for (auto& one : databases_)
            if (one.file != nullptr) fn(one);
    }
    // Errors: not_found. Lifetime: until the database is detached.
    [[nodiscard]] result<database*> find_database(std::string_view name) noexcept;
    [[nodiscard]] result<database*> database_of(database_id id) noexcept;
    [[nodiscard]] tree_place<Traits> pending_of(paged_file<Traits>& file) noexcept {
        return {.file = &file, .id = pending_tree, .root = limits::pending_root};
    }
    // Errors: see engine::attach and engine::detach.
    [[nodiscard]] result<void> attach(std::string_view name, bool create) noexcept;
    [[nodiscard]] result<void> detach(std::string_view name) noexcept;

    // Errors: see engine::set_backup_exempt.
    [[nodiscard]] result<void> set_backup_exempt(std::string_view name, bool exempt) noexcept;

    // A tree id that no tree of the database ever had.
    [[nodiscard]] result<tree_id> next_tree_id(database& in) noexcept;

    [[nodiscard]] result<void> checkpoint(checkpoint_how how) noexcept;
    // One step of the cleaner: pages that hold back the checkpoint go home, a checkpoint if one is
    // due, segments below it are used again. Returns: whether there is more to do.
    [[nodiscard]] result<bool> clean_step() noexcept;

    // Gives up what truncation.hpp says that nothing needs. Takes checkpoints if they hold it.
    // Errors: instance_failed, io and its kin: final.
    [[nodiscard]] result<truncation_report> truncate_log(
        truncation_options const& options = {}
    ) noexcept;
    // Errors: those of storage. Circular mode: nothing is kept.
    [[nodiscard]] result<log_room> room_for_log() noexcept;
    // A named place in the log, which a restore may aim at. Durable when this returns its LSN.
    // Errors: invalid_argument (label: 1 to 255 bytes of UTF-8), those of the log.
    [[nodiscard]] result<lsn> log_restore_point(std::string_view label) noexcept;

    // No write of any kind to any file of the instance from its return until thaw(), or until
    // `limit` is over: for a snapshot by the storage below. The log is on the device then, a
    // segment ended (archival mode), and no batch of pages is between its copy and its home.
    // Commits, checkpoints and whoever needs a write wait meanwhile; so do attach and detach.
    // Errors: freeze_refused (a backup runs), freeze_sequence (no thaw() since the last freeze),
    //     those of the log and of storage: nothing is frozen then.
    [[nodiscard]] result<void> freeze(mono_time limit) noexcept;
    // Errors: freeze_sequence (nothing was frozen); freeze_timeout: the limit was over, so the
    //     snapshot may hold files of different moments.
    [[nodiscard]] result<void> thaw() noexcept;
    [[nodiscard]] bool is_frozen() noexcept { return writes_.is_closed(); }
    // Whether a limit has ended a freeze since the last call.
    [[nodiscard]] bool take_freeze_expiry() noexcept { return writes_.take_expiry(); }

    // Errors: lost, log_missing (the log no longer tells).
    [[nodiscard]] result<void> answer_old_ticket(ticket const& receipt) noexcept;

private:
    template <class>
    friend class recovery_run;

    // life
    [[nodiscard]] result<void> open_files(path_view path) noexcept;
    [[nodiscard]] result<void> close_files() noexcept;
    [[nodiscard]] result<void> open_directory(path_view path) noexcept;
    [[nodiscard]] result<bool> is_unborn() noexcept;
    [[nodiscard]] result<void> create_new() noexcept;
    [[nodiscard]] result<void> start_pool(log_gate gate, std::uint32_t frames) noexcept;
    [[nodiscard]] result<void> start_services() noexcept;
    void complete_slot(checkpoint_slot& slot) noexcept;
    [[nodiscard]] result<void> force_slot() noexcept;

    // databases
    [[nodiscard]] result<database*> free_place() noexcept;
    [[nodiscard]] result<void> create_database(database& place, file_name const& name) noexcept;
    [[nodiscard]] result<void> attach_file(database& place, file_name const& name) noexcept;
    [[nodiscard]] result<void> join(database& place) noexcept;
    void give_up_attach(database& place) noexcept;
    [[nodiscard]] database_id next_database_id() noexcept;
    // One record of the instance's own, durable. Returns: its LSN.
    template <class Body>
    [[nodiscard]] result<lsn> log_alone(record_header header, Body& body) noexcept;
    // A file of the instance may know of older forks. Returns: all that are known.
    timeline_ancestry const& learn_ancestry(database_header const& h) noexcept {
        if (h.instance == id_) ancestry_.learn(h.timeline, forks_of_instance(h));
        return ancestry_;
    }
    // Of attached databases one may know more than the others, which were made, or joined, while it
    // was away. Errors: of the headers.
    [[nodiscard]] result<void> tell_ancestry() noexcept;
    // The record that adds or takes away a database, and with it, in the same moment of the log,
    // the list that every further segment begins with. Durable. Returns: its LSN.
    template <class Body>
    [[nodiscard]] result<lsn> log_change_of_databases(
        database_id id, Body& body, attach_entry const* added, database const* without
    ) noexcept;
    // A file may be longer than its log knows: it grows before the log says so. A region of which
    // nothing but the space came to be is given up again, or nobody could allocate from it.
    // Requires: redone. Errors: io, out_of_memory, those of buffer_pool::load().
    [[nodiscard]] result<void> forget_unlogged_regions(paged_file<Traits>& file) noexcept;
    [[nodiscard]] record::attach_list attached_now(
        attach_entry const* added, database const* without, bytes room
    ) noexcept;
    [[nodiscard]] result<void> checkpoint_locked(checkpoint_how how) noexcept;
    void note_checkpoint() noexcept {
        last_checkpoint_tail_.store(log_->tail().value, std::memory_order_release);
        last_checkpoint_time_.store(env_.runtime.now().count(), std::memory_order_release);
    }
    void find_holds(truncation_report& report) noexcept;
    // Those beyond their cap, in a slot that is about to be written. Returns: was there one?
    bool break_pins(checkpoint_slot& slot) noexcept;
    // The databases' lock, outside a freeze: whoever holds it may write.
    [[nodiscard]] holding<basic_mutex<runtime_type>> hold_databases() noexcept {
        for (;;) {
            writes_.await_open();
            databases_lock_.lock();
            if (!writes_.is_closed()) return {databases_lock_, adopt_held{}};
            databases_lock_.unlock();
        }
    }
    [[nodiscard]] bool is_pinned_locked() const noexcept {
        for (auto const pin : pins_)
            if (pin) return true;
        return false;
    }

    [[no_unique_address]] env env_;
    instance_options options_{};
    std::optional<directory> dir_;
    std::optional<typename env::lock> lock_;
    std::optional<checkpoint_file<env>> checkpoint_;
    uuid id_{};
    timeline_ancestry ancestry_{}; // guarded by databases_lock_, but for the timeline
    std::uint32_t incarnation_ = 0;
    std::uint64_t segment_bytes_ = 0;
    bool archival_ = false;
    std::uint16_t last_database_id_ = 0;
    recovery_report report_{};
    write_gate<runtime_type> writes_;

    // Declared so that what is destroyed first depends on what is destroyed later.
    std::array<database, databases_max> databases_{};
    std::unique_ptr<log_writer<env>> log_;
    std::unique_ptr<double_write_file<Traits>> double_write_;
    std::unique_ptr<buffer_pool<Traits>> pool_;
    std::optional<btree<Traits>> trees_;
    std::optional<transaction_system<Traits>> transactions_;
    std::optional<checkpointer<Traits>> checkpointer_;

    // The checkpoint lock: who changes the set of databases or the durable slot. Held over I/O.
    basic_mutex<runtime_type> databases_lock_;
    std::array<lsn, 16> pins_{}; // of running backups; zero: free
    pin_list broken_pins_{};     // and nobody was told yet
    std::array<bool, named_pins_max> claimed_{};
    std::atomic<bool> pins_broke_{false};
    copy_sessions<env> sessions_;
    running_backups<env> backups_;
    instance_service service_;
    // The cleaner asks without a lock whether another one is due; anybody may take one meanwhile.
    typename env::template atomic<std::uint64_t> last_checkpoint_tail_{0};
    typename env::template atomic<std::int64_t> last_checkpoint_time_{0};
    typename env::template atomic<std::uint64_t> checkpoints_{0};
    bool awaits_thaw_ = false; // guarded by databases_lock_
    bool closing_ = false;     // the same
};

} // namespace jetpp::inline v1

#include <jetpp/recovery/instance_databases.hpp>
#include <jetpp/recovery/instance_freeze.hpp>
#include <jetpp/recovery/instance_life.hpp>
#include <jetpp/recovery/instance_pins.hpp>
#include <jetpp/recovery/instance_truncation.hpp>
