// jetpp/engine/engine.hpp - the front door: one directory with its log, its databases, its cache.
//
//     BOOST_OUTCOME_TRY(auto db, jetpp::engine<>::open("books"));
//     BOOST_OUTCOME_TRY(db.attach("main"));
//     BOOST_OUTCOME_TRY(auto books, db.open_tree("main", "books"));
//     BOOST_OUTCOME_TRY(auto done, db.transact([&](auto& tx) { return tx.put(books, "dune", "1965"); }));
//
// What commit acknowledged survives. What is in doubt is an error. No unverified byte is served.
// After a failed write or sync of the log the engine refuses every write (instance_failed): reopen
// it, recovery decides what survived.
// Threads   all calls of an engine, any thread, at once; close, attach and detach exclude each
//           other. Handles (snapshot, transaction, cursor): one thread at a time.
// Lifetime  handles must end before close(); close() says busy otherwise.
// Source    ESE's instance.
#pragma once

#include <jetpp/core/durability.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/engine/background.hpp>
#include <jetpp/engine/engine_core.hpp>
#include <jetpp/engine/event_watch.hpp>
#include <jetpp/engine/options.hpp>
#include <jetpp/engine/policies.hpp>
#include <jetpp/engine/transaction.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

enum class attach_how : std::uint8_t { create_if_missing, must_exist };
enum class open_how_tree : std::uint8_t { create_if_missing, must_exist };
enum class close_how : std::uint8_t {
    unless_backed_up, // a backup that runs keeps the engine open
    stop_sessions,    // an external session is torn down; other backups still refuse
    stop_all,         // backups are cancelled as well, and waited for
};

template <class Policies = default_policies>
class [[nodiscard]] engine {
    static_assert(validate<Policies>());

public:
    using policies = Policies;
    using traits = traits_of<Policies>;
    using environment_type = environment_of<Policies>;
    using cursor = basic_cursor<traits>;
    using snapshot = basic_snapshot<traits>;
    using transaction = basic_transaction<traits>;
    using savepoint = basic_savepoint<traits>;

    // Opens the instance in `directory`, creating or recovering it.
    // Errors: in_use (another engine or process has it), bad_option, needs_restore, not_found
    // (create_how::must_exist), page_size_mismatch, checksum_mismatch, every error of recovery
    // (log_corrupt, log_missing, database_missing, lost_write ...), io, disk_full, out_of_memory.
    [[nodiscard]] static result<engine> open(
        path_view directory, open_options options = {}, environment_type env = {}
    ) noexcept {
        auto core = std::unique_ptr<engine_core<traits>>{new (std::nothrow)
                                                             engine_core<traits>{env, options}};
        if (core == nullptr) return error{.code = errc::out_of_memory};
        BOOST_OUTCOME_TRY(core->store.open(directory, store_options(options)));
        auto made = engine{std::move(core)};
        BOOST_OUTCOME_TRY(load_doomed_trees(*made.core_));
        made.background_ = std::unique_ptr<background_tasks<traits>>{new (std::nothrow
        ) background_tasks<traits>{*made.core_}};
        if (made.background_ == nullptr) return error{.code = errc::out_of_memory};
        event_watch<traits>{*made.core_}.tell_recovery();
        if constexpr (Policies::threading::background) {
            BOOST_OUTCOME_TRY(made.background_->start());
        }
        return made;
    }

    engine(engine&&) noexcept = default;
    engine& operator=(engine&&) = delete;
    // Closes as close() does; what close() would refuse, recovery does at the next open.
    ~engine() {
        if (core_ == nullptr) return;
        (void)core_->store.thaw();
        (void)std::move(*this).close();
        if (core_ != nullptr) core_->store.sessions().close(); // or they would ask what is gone
    }

    // Makes a database usable: creates its file, or attaches a clean one. Attached databases stay
    // attached over close and open; attaching one again does nothing.
    // Errors: unsafe_name, not_found, too_many_databases, page_size_mismatch, checksum_mismatch,
    // needs_restore, needs_recovery (the file is not clean), disk_full, io, out_of_memory.
    [[nodiscard]] result<void> attach(
        std::string_view database, attach_how how = attach_how::create_if_missing
    ) noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        auto const held = holding{core_->gathering};
        if (core_->store.find_database(database)) return ok();
        BOOST_OUTCOME_TRY(core_->store.attach(database, how == attach_how::create_if_missing));
        BOOST_OUTCOME_TRY(auto* const joined, core_->store.find_database(database));
        return load_doomed_trees_of(*core_, *joined);
    }
    // The database leaves the instance, clean, and may be attached elsewhere.
    // Errors: busy (transactions or snapshots live), not_found, io, log_failed.
    [[nodiscard]] result<void> detach(std::string_view database) noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        auto const held = holding{core_->gathering};
        core_->detaching.store(true, std::memory_order_seq_cst);
        auto done = result<void>{error{.code = errc::busy}};
        if (core_->open_snapshots.load() == 0 && core_->open_transactions.load() == 0) {
            core_->await_lone_reads();
            background_->stop();
            done = detach_quiet(database);
            auto again = result<void>{ok()};
            if constexpr (Policies::threading::background) again = background_->start();
            if (done) done = again;
        }
        core_->detaching.store(false, std::memory_order_seq_cst);
        return done;
    }

    // An exempt database, for data that can be made anew, is left out of backups of all databases
    // (one that names it takes it), holds no log, and stands in the way of no incremental, unless it
    // is exchanged for another copy of itself. A restore to a set without it says that it left it out;
    // what was backed up before stays restorable until it is pruned.
    // Exempt no longer, it holds the log from its last backup on, or, if that went meanwhile, all of
    // it; incrementals of all databases then want a full first. Durable when this returns, and kept
    // over restarts and detach(); attach() to another instance ends it.
    // Errors: not_found (it is not attached), backup_in_progress (a backup or an external session
    // runs: nothing changed), instance_failed, io and its kin: final.
    // Complexity: two writes of 4096 bytes, two syncs.
    [[nodiscard]] result<void> set_backup_exempt(std::string_view database, bool exempt) noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        return core_->store.set_backup_exempt(database, exempt);
    }

    // Errors: not_found (with must_exist), and those of create_tree.
    [[nodiscard]] result<tree> open_tree(
        std::string_view database,
        std::string_view name,
        open_how_tree how = open_how_tree::create_if_missing
    ) noexcept {
        for (auto tries = 0;; ++tries) {
            {
                BOOST_OUTCOME_TRY(auto view, read());
                BOOST_OUTCOME_TRY(auto const found, find_tree(*core_, view, database, name));
                if (found) return *found;
            }
            if (how == open_how_tree::must_exist) return error{.code = errc::not_found};
            BOOST_OUTCOME_TRY(auto tx, begin());
            auto made = tx.create_tree(database, name);
            if (made) {
                auto done = std::move(tx).commit(durability::device);
                if (done) return made;
                if (done.error().code != errc::write_conflict) return done.error();
            } else {
                auto const code = made.error().code; // somebody else may be creating it
                std::move(tx).rollback();
                if ((code != errc::already_exists && code != errc::write_conflict) || tries > 1000)
                    return made.error();
            }
            core_->store.environment().runtime.relax(static_cast<std::uint32_t>(tries));
        }
    }

    // The newest committed moment. Errors: instance_failed, out_of_memory.
    [[nodiscard]] result<snapshot> read() noexcept { return snapshot::begin(*core_); }
    [[nodiscard]] result<transaction> begin() noexcept { return transaction::begin(*core_); }

    // The newest committed row, without a snapshot: one row alone is always consistent.
    // Errors: busy (a database is being detached), tree_dropped, misuse, page_damaged, io,
    // instance_failed, out_of_memory.
    [[nodiscard]] result<bool> get(tree from, bytes_view key, value_buffer& into) noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        into.clear();
        auto& running = core_->lone_read_count();
        BOOST_OUTCOME_TRY(core_->enter(running));
        auto found = get_counted(from, key, into);
        running.fetch_sub(1, std::memory_order_release);
        return found;
    }
    // Every record below it, commits too, survives a loss of power: what a reader of the log in
    // this process may believe (log_follower.hpp).
    [[nodiscard]] lsn durable_lsn() const noexcept { return core_->store.log().durable_lsn(); }
    // One row, one transaction, no snapshot: it waits for an unfinished owner of the row instead of
    // conflicting with what others have committed meanwhile.
    // Errors: as transaction::put and commit; write_conflict if the owner does not end.
    [[nodiscard]] result<ticket> put(
        tree into, bytes_view key, bytes_view value, durability how = durability::device
    ) noexcept {
        return write_alone(into, key.raw(), write_request::put, value.raw(), how);
    }
    [[nodiscard]] result<ticket> erase(
        tree from, bytes_view key, durability how = durability::device
    ) noexcept {
        return write_alone(from, key.raw(), write_request::erase, {}, how);
    }

    // Runs work(transaction&) and commits; after a write_conflict again, on a new snapshot, at most
    // 16 times. work returns result<void> or any result; its error rolls back.
    template <class Work>
    [[nodiscard]] result<ticket> transact(Work&& work, durability how = durability::device) {
        for (auto tries = 1;; ++tries) {
            BOOST_OUTCOME_TRY(auto tx, begin());
            auto const done = work(tx); // a throw destroys tx, which rolls back
            if (done) return std::move(tx).commit(how);
            std::move(tx).rollback();
            if (done.error().code != errc::write_conflict || tries == 16) return done.error();
            core_->store.environment().runtime.relax(static_cast<std::uint32_t>(tries));
        }
    }

    // Waits until what the ticket stands for has reached `how`. A ticket of a former life is
    // answered from the recovered log: errc::lost if it did not survive. Errors: lost, log_failed.
    [[nodiscard]] result<void> wait(ticket const& receipt, durability how) noexcept {
        if (receipt.incarnation != core_->store.incarnation() &&
            !environment_type::runtime_type::sabotaged(sabotage::ticket_without_incarnation))
            return core_->store.answer_old_ticket(receipt);
        return wait_for(core_->store.log(), receipt.at, how);
    }
    // For a snapshot's at(), before its results leave the process.
    [[nodiscard]] result<void> wait(lsn at, durability how) noexcept {
        return wait_for(core_->store.log(), at, how);
    }

    // With single_thread: does one quantum of flushing, checkpointing, collecting.
    // Returns: false when there is nothing to do.
    [[nodiscard]] result<bool> poll() noexcept { return background_->step(); }

    // Writes home what was changed before this call and takes a checkpoint: recovery would have
    // nothing of it to redo. Others may go on writing.
    [[nodiscard]] result<void> checkpoint() noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        auto done = core_->store.checkpoint(checkpoint_how::flush_all);
        core_->tell_broken_pins();
        return done;
    }

    // Gives up log that no recovery, reader or backup needs, and says who holds the rest.
    // Circular logging gives it up by itself: 0 segments.
    // Errors: instance_failed, io and its kin: final.
    [[nodiscard]] result<truncation_report> truncate_log(
        truncation_options const& options = {}
    ) noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        auto given_up = core_->store.truncate_log(options);
        core_->tell_broken_pins();
        if (given_up && given_up.assume_value().missing != 0)
            core_->options.events(
                {.kind = event_kind::log_segment_missing, .count = given_up.assume_value().missing}
            );
        return given_up;
    }
    // A named place in the log, which a restore may aim at. Durable when this returns its LSN.
    // Errors: invalid_argument (label: 1 to 255 bytes of UTF-8), those of the log.
    [[nodiscard]] result<lsn> mark_restore_point(std::string_view label) noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        return core_->store.log_restore_point(label);
    }

    // Keeps the log from options.from on for an owner that outlives this process: a reader of
    // changes that meets no gap, in either logging mode. Durable when this returns.
    //     BOOST_OUTCOME_TRY(auto const mine, jetpp::pin_id::of_reader("search index"));
    //     BOOST_OUTCOME_TRY(db.create_pin(mine, {.byte_cap = std::uint64_t{4} << 30}));
    // Log longer than the cap breaks the pin (event pin_broken, looked at by checkpoints): it holds
    // nothing then, and advance_pin() says so. Without the checkpoint file there are no pins (event
    // pins_lost). All four calls write 4096 bytes durably, and wait through a freeze.
    // Errors: invalid_argument (no cap, or a place above durable_lsn()), already_exists (also if it
    // is broken: release it first), resource (there are 16), log_missing (at: where the log
    // begins), instance_failed, io and its kin: final.
    [[nodiscard]] result<named_pin> create_pin(
        pin_id const& id, pin_options const& options
    ) noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        return core_->store.create_pin(id, options);
    }
    // As it stands, broken or not. Errors: not_found.
    [[nodiscard]] result<named_pin> find_pin(pin_id const& id) noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        return core_->store.find_pin(id);
    }
    // The owner needs no log below `to` any more.
    // Errors: not_found, pin_broken, invalid_argument (back, or above durable_lsn()),
    // instance_failed, io and its kin: final.
    [[nodiscard]] result<void> advance_pin(pin_id const& id, lsn to) noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        return core_->store.advance_pin(id, to);
    }
    // Errors: not_found, instance_failed, io and its kin: final.
    [[nodiscard]] result<void> release_pin(pin_id const& id) noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        return core_->store.release_pin(id);
    }
    [[nodiscard]] pin_list named_pins() noexcept { return core_->store.named_pins(); }

    // Every further call but close is refused with service_stopped until resume_service(); calls
    // that run go on, and so does what the engine does by itself.
    void stop_service() noexcept { core_->store.service().stop(); }
    void resume_service() noexcept { core_->store.service().resume(); }

    // For a snapshot by the storage below: no write to any file of the instance from its return
    // until thaw(), or until the limit is over. What lies on the device then opens by ordinary
    // recovery, with every commit acknowledged before. Take all files but jet.ring and jet.lock.
    // Meanwhile durable commits wait, and so does whoever needs room that only a write makes;
    // reads go on. With single_thread a commit waits for the limit: thaw first.
    // Errors: freeze_refused (a backup or a session runs), freeze_sequence (no thaw() since the
    // last freeze), instance_failed, io and its kin: nothing is frozen then.
    [[nodiscard]] result<void> freeze(freeze_options const& options = {}) noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        return core_->store.freeze(options.limit);
    }
    // Errors: freeze_sequence (nothing was frozen); freeze_timeout: the limit was over before, so
    // the snapshot is worth nothing.
    [[nodiscard]] result<void> thaw() noexcept { return core_->store.thaw(); }

    // Ends the engine: everything home, files marked clean, log sealed.
    // With stop_all, backups end with errc::cancelled, or succeed if they were being published: their
    // threads must go on meanwhile. Whoever runs the event loop of one himself waits for himself:
    // after `patience` (with single_thread at once) it is backup_in_progress, and he calls again when
    // his loop has told him how the backup ended.
    // Errors: busy (transactions or snapshots still live), backup_in_progress and freeze_sequence
    // (it is frozen): the engine stays open; whatever else kept the files from being clean: they
    // are then as after a crash, and the engine is closed.
    [[nodiscard]] result<void> close(
        close_how how = close_how::unless_backed_up,
        std::chrono::nanoseconds patience = std::chrono::seconds{30}
    ) && noexcept {
        if (core_ == nullptr) return error{.code = errc::closed};
        if (core_->open_snapshots.load() != 0 || core_->open_transactions.load() != 0)
            return error{.code = errc::busy};
        core_->store.look_at_sessions(); // a dead caller keeps nothing open
        auto& backups = core_->store.backups();
        if (how == close_how::stop_all) {
            auto const now = core_->store.environment().runtime.now();
            if (!backups.stop(policies::threading::background ? now + patience : now)) {
                backups.allow();
                return error{.code = errc::backup_in_progress};
            }
        }
        // From here on neither backup nor session nor freeze can begin; who was faster keeps the
        // engine open.
        auto const begun =
            core_->store.sessions().close(how == close_how::unless_backed_up, [this]() noexcept {
                return core_->store.begin_close();
            });
        if (!begun) {
            backups.allow();
            return begun;
        }
        if (background_ != nullptr) background_->stop();
        background_.reset();
        while (!core_->store.log().failed() && collect(core_->transactions(), ~std::size_t{0}) != 0
        ) {
        }
        auto done = core_->store.close();
        core_.reset();
        return done;
    }

    [[nodiscard]] engine_core<traits>& core() noexcept { return *core_; }

private:
    explicit engine(std::unique_ptr<engine_core<traits>> core) noexcept : core_{std::move(core)} {}

    [[nodiscard]] result<bool> get_counted(tree from, bytes_view key, value_buffer& into) noexcept {
        BOOST_OUTCOME_TRY(auto const place, core_->place_of(from, max_lsn));
        auto& system = core_->transactions();
        auto const view = read_view{.at = max_lsn, .settled = system.people().settled()};
        return read_row(system, view, place, key.raw(), [&](const_bytes value, bool) noexcept {
            return into.assign(value);
        });
    }

    [[nodiscard]] static instance_options store_options(open_options const& o) noexcept {
        return {
            .create = o.create == create_how::if_missing,
            .archival = Policies::logging::from_files ? o.archival : Policies::logging::archival,
            .archival_from_files = Policies::logging::from_files,
            .buffer_bytes = o.buffer_bytes,
            .segment_bytes = o.segment_bytes,
            .log_ring_bytes = o.log_ring_bytes,
            .version_bytes = o.version_bytes,
            .transaction_bytes = o.transaction_bytes,
            .transaction_log_bytes = o.transaction_log_bytes,
            .checkpoint_depth_bytes = o.checkpoint_depth_bytes,
            .checkpoint_every_bytes = o.checkpoint_every_bytes,
            .checkpoint_every = o.checkpoint_every,
            .lazy_interval = o.lazy_interval,
            .process_durability = o.process_durability,
        };
    }

    [[nodiscard]] result<ticket> write_alone(
        tree into, const_bytes key, write_request request, const_bytes value, durability how
    ) noexcept {
        for (std::uint32_t tries = 0;; ++tries) {
            auto done = try_write_alone(into, key, request, value, how);
            if (done || done.error().code != errc::write_conflict || tries == 10'000) return done;
            core_->store.environment().runtime.relax(tries);
        }
    }
    [[nodiscard]] result<ticket> try_write_alone(
        tree into, const_bytes key, write_request request, const_bytes value, durability how
    ) noexcept {
        BOOST_OUTCOME_TRY(core_->check_alive());
        BOOST_OUTCOME_TRY(core_->enter(core_->open_transactions));
        auto done = write_counted(into, key, request, value, how);
        core_->open_transactions.fetch_sub(1, std::memory_order_seq_cst);
        return done;
    }
    [[nodiscard]] result<ticket> write_counted(
        tree into, const_bytes key, write_request request, const_bytes value, durability how
    ) noexcept {
        auto& system = core_->transactions();
        auto body = transaction_body<traits>{};
        body.core = core_.get();
        BOOST_OUTCOME_TRY(body.state, system.begin());
        body.view = {.at = max_lsn, .settled = system.people().settled(), .self = body.state};
        auto const written = [&]() noexcept -> result<void> {
            BOOST_OUTCOME_TRY(auto* const entry, core_->trees.find(into));
            BOOST_OUTCOME_TRY(hold_shared(body, *entry));
            BOOST_OUTCOME_TRY(write_row(
                system, *body.state, body.view, entry->place, key, request, value, body.credit
            ));
            return ok();
        }();
        if (!written) {
            if (roll_back(system, body.state, body.credit)) release_trees(body);
            return written.error();
        }
        auto done = jetpp::commit(
            system,
            body.state,
            no_lsn,
            core_->store.incarnation(),
            how,
            body.credit,
            [](lsn) noexcept {}
        );
        release_trees(body);
        return done;
    }

    // No handle is open, none can begin, no task runs.
    [[nodiscard]] result<void> detach_quiet(std::string_view database) noexcept {
        BOOST_OUTCOME_TRY(auto* const where, core_->store.find_database(database));
        auto const id = where->file->id();
        auto* const file = where->file.get();
        while (collect(core_->transactions(), ~std::size_t{0}) != 0) {
        }
        BOOST_OUTCOME_TRY(core_->store.detach(database));
        core_->trees.forget_database(id);
        auto const held = holding{core_->doomed_lock};
        for (auto i = core_->doomed.size(); i-- > 0;) // their rows are found again at attach
            if (core_->doomed[i].place.file == file) core_->doomed.erase_at(i);
        return ok();
    }

    std::unique_ptr<engine_core<traits>> core_;
    std::unique_ptr<background_tasks<traits>> background_;
};

} // namespace jetpp::inline v1
