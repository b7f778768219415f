// jetpp/txn/commit.hpp - the two ends of a transaction.
//
// Commit: credit first, then one record. Under the log's reservation lock its LSN becomes the
// commit timestamp and the newest commit: from that moment the effects are visible, before they are
// durable; whoever depends on them lies behind them in the same log. Only when the record is
// published does the writer leave the census (a checkpoint in between must still see it).
// Durability is what commit then waits for.
// Threads  the transaction's thread.
// Source   early visibility with one log: DeWitt et al., "Implementation Techniques for Main Memory
//          Database Systems" (SIGMOD 1984), group commit.
#pragma once

#include <jetpp/core/durability.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/records_marks.hpp>
#include <jetpp/txn/collector.hpp>
#include <jetpp/txn/credit.hpp>
#include <jetpp/txn/transaction_system.hpp>
#include <jetpp/txn/undo.hpp>

#include <cstdint>

namespace jetpp::inline v1 {

// Waits until what lies at `at` has reached the level.
// Errors: log_failed.
template <class Env>
[[nodiscard]] result<void> wait_for(log_writer<Env>& log, lsn at, durability how) noexcept {
    switch (how) {
    case durability::device: return log.wait_durable(at);
    case durability::process: return log.wait_published(at);
    case durability::memory: break;
    }
    return ok();
}

// Undoes everything, logs the end, forgets the transaction. `state` is gone afterwards.
// Errors: a page that cannot be read or a log that failed. The transaction then stays: its rows
// remain owned (write_conflict), nobody sees a half undone state, recovery finishes the work.
template <class Traits>
[[nodiscard]] result<void> roll_back(
    transaction_system<Traits>& system, transaction_state* state, log_credit& credit
) noexcept {
    auto* const newest = state->newest;
    auto undone = undo_to(system, *state, 0, credit);
    if (undone && state->wrote()) {
        auto body = record::rollback{};
        undone = hold_credit(
            system.log(), credit, static_cast<std::uint32_t>(body.size()), credit_use::owed
        );
        if (undone) {
            body.wall = system.environment().runtime.wall();
            (void)system.log().append(
                credit,
                {.type = record_type::rollback, .transaction = state->first_record},
                body,
                [](lsn) noexcept {}
            );
        }
    }
    system.log().give_back(credit);
    if (!undone) {
        system.keep_stuck(state);
        return std::move(undone).as_failure();
    }
    system.people().leave_writer(*state, system.log());
    if (!system.log().failed()) sweep_ghosts(system, newest, version_kind::insert);
    system.forget(state);
    return ok();
}

// `state` belongs to the system afterwards, whatever is returned.
// Returns: the receipt. Of a transaction that wrote nothing: its snapshot's LSN.
// Errors: disk_full (the transaction was rolled back instead), log_failed (its outcome is unknown
// until recovery).
// `on_reserved(lsn)` runs with the commit LSN before anybody can see the commit; a few stores.
template <class Traits, class OnReserved>
[[nodiscard]] result<ticket> commit(
    transaction_system<Traits>& system,
    transaction_state* state,
    lsn snapshot,
    std::uint32_t incarnation,
    durability how,
    log_credit& credit,
    OnReserved&& on_reserved
) noexcept {
    auto& log = system.log();
    if (!state->wrote()) {
        // Locks alone: nothing changed, so nobody later can miss it.
        for (auto* entry = state->newest; entry != nullptr; entry = entry->older_own)
            if (!entry->unlinked) unlink_entry(system, *entry);
        log.give_back(credit);
        system.forget(state);
        if (snapshot) {
            BOOST_OUTCOME_TRY(wait_for(log, snapshot, how));
        }
        return ticket{.at = snapshot, .incarnation = incarnation, .reached = how};
    }
    auto body = record::commit{};
    if (auto got =
            hold_credit(log, credit, static_cast<std::uint32_t>(body.size()), credit_use::owed);
        !got) {
        auto const why = got.error();
        (void)roll_back(system, state, credit);
        return why;
    }
    using runtime = typename Traits::env::runtime_type;
    if (runtime::sabotaged(sabotage::leave_before_publish))
        system.people().leave_writer(*state, log);
    auto const at = log.append(
        credit,
        {.type = record_type::commit, .transaction = state->first_record},
        body,
        [&](lsn reserved) noexcept {
            on_reserved(reserved);
            state->commit_lsn.store(reserved.value, std::memory_order_release);
            system.people().set_last_commit(reserved);
        }
    );
    log.give_back(credit);
    runtime::point(point_id::commit_reserved);
    system.people().leave_writer(*state, log);
    runtime::point(point_id::left_active_list);
    system.add_history(state->arena.bytes_total);
    system.finished().push(*state);

    auto waited = result<void>{ok()};
    if (!runtime::sabotaged(sabotage::ack_before_sync)) waited = wait_for(log, at, how);
    if (system.is_collection_due()) (void)collect(system);
    if (!waited) return waited.error();
    runtime::point(point_id::acknowledged);
    return ticket{.at = at, .incarnation = incarnation, .reached = how};
}

} // namespace jetpp::inline v1
