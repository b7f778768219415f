// jetpp/engine/transaction.hpp - reading and writing at one snapshot, all or nothing.
//
// Snapshot isolation, first updater wins: a write to a row that another transaction changed since
// this one began says write_conflict at once; nobody ever waits for a row. After an error of a write
// the transaction is as before the call and may go on, or be rolled back.
// commit() and rollback() consume the handle: std::move(tx).commit(). A handle that is destroyed
// rolls back.
// Threads   one thread at a time, any thread. Lifetime: must end before its engine closes.
// Source    Berenson et al., "A Critique of ANSI SQL Isolation Levels" (SIGMOD 1995).
#pragma once

#include <jetpp/core/durability.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/engine/ddl.hpp>
#include <jetpp/engine/reads.hpp>
#include <jetpp/txn/commit.hpp>
#include <jetpp/txn/row_writer.hpp>

#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

// A place to return to. Destroyed: the transaction is rolled back to it; keep(): it is forgotten.
// Savepoints end in the reverse order of their making.
template <class Traits>
class [[nodiscard]] basic_savepoint {
public:
    basic_savepoint(basic_savepoint&& other) noexcept
        : body_{std::exchange(other.body_, nullptr)}, position_{other.position_} {}
    basic_savepoint& operator=(basic_savepoint&&) = delete;
    // An undo that fails leaves a transaction that can only be rolled back.
    ~basic_savepoint() {
        if (body_ != nullptr) (void)undo();
    }

    void keep() && noexcept {
        if (auto* const body = std::exchange(body_, nullptr)) drop_dependent<Traits>(body);
    }
    // Errors: page_damaged, io, log_failed: the transaction can then only be rolled back; misuse
    // (it has ended).
    [[nodiscard]] result<void> roll_back() && noexcept { return undo(); }

private:
    template <class>
    friend class basic_transaction;
    basic_savepoint(transaction_body<Traits>& body, std::uint32_t position) noexcept
        : body_{&body}, position_{position} {
        ++body.dependents;
    }

    [[nodiscard]] result<void> undo() noexcept {
        auto* const body = std::exchange(body_, nullptr);
        if (body == nullptr) return error{.code = errc::misuse};
        auto done = result<void>{error{.code = errc::misuse}};
        if (!body->ended) done = undo_in(*body, position_);
        drop_dependent<Traits>(body);
        return done;
    }

    transaction_body<Traits>* body_;
    std::uint32_t position_;
};

template <class Traits>
class [[nodiscard]] basic_transaction : public basic_reads<Traits> {
public:
    basic_transaction(basic_transaction&&) noexcept = default;
    basic_transaction& operator=(basic_transaction&&) noexcept = default;
    ~basic_transaction() {
        if (this->looking() != nullptr) {
            if (body().state->wrote())
                body().core->options.events(
                    {.kind = event_kind::transaction_dropped, .from = body().state->first_record}
                );
            end_by_rollback();
        }
    }

    // Errors: out_of_memory, instance_failed.
    [[nodiscard]] static result<basic_transaction> begin(engine_core<Traits>& core) noexcept {
        BOOST_OUTCOME_TRY(core.check_alive());
        BOOST_OUTCOME_TRY(core.enter(core.open_transactions));
        auto* const made = new (std::nothrow) transaction_body<Traits>{};
        auto state = result<transaction_state*>{error{.code = errc::out_of_memory}};
        if (made != nullptr) state = core.transactions().begin();
        if (!state) {
            delete made;
            core.open_transactions.fetch_sub(1, std::memory_order_seq_cst);
            return state.error();
        }
        made->core = &core;
        made->state = state.assume_value();
        auto& people = core.transactions().people();
        people.begin_snapshot(made->place);
        made->view = {.at = made->place.at, .settled = made->place.settled, .self = made->state};
        return basic_transaction{*made};
    }

    // Inserts or replaces. Errors: write_conflict, key_too_large, value_too_large,
    // transaction_too_large, transaction_too_long (both: it may only end), tree_dropped, busy (the tree is being dropped), snapshot_too_old,
    // disk_full, log_failed, page_damaged, io, out_of_memory, misuse.
    [[nodiscard]] result<void> put(tree into, bytes_view key, bytes_view value) noexcept {
        BOOST_OUTCOME_TRY(write(into, key.raw(), write_request::put, value.raw()));
        return ok();
    }
    // As put; key_exists if this transaction sees a row with the key.
    [[nodiscard]] result<void> insert(tree into, bytes_view key, bytes_view value) noexcept {
        BOOST_OUTCOME_TRY(write(into, key.raw(), write_request::insert, value.raw()));
        return ok();
    }
    // Returns: whether there was a row. Errors: as put.
    [[nodiscard]] result<bool> erase(tree from, bytes_view key) noexcept {
        return write(from, key.raw(), write_request::erase, {});
    }
    // Reads the row, calls change(std::string_view old) for a new value (anything that converts to
    // bytes_view), writes it. No latch is held while `change` runs.
    // Returns: false if there is no such row. Errors: as put.
    template <class Change>
    [[nodiscard]] result<bool> update(tree in, bytes_view key, Change&& change) {
        auto old = value_buffer{};
        BOOST_OUTCOME_TRY(auto const seen, this->get(in, key, old));
        if (!seen) return false;
        auto&& fresh = change(old.text());
        BOOST_OUTCOME_TRY(put(in, key, bytes_view{fresh}));
        return true;
    }
    // Claims the key as a write would, without changing anything; also for a key without a row.
    // Who needs serializability locks what it reads. Errors: as put.
    [[nodiscard]] result<void> lock(tree in, bytes_view key) noexcept {
        BOOST_OUTCOME_TRY(write(in, key.raw(), write_request::lock, {}));
        return ok();
    }

    [[nodiscard]] result<basic_savepoint<Traits>> save() noexcept {
        if (this->looking() == nullptr) return error{.code = errc::misuse};
        auto& state = *body().state;
        if (state.must_roll_back) return error{.code = errc::must_roll_back};
        state.merge_barrier = state.position;
        return basic_savepoint<Traits>{body(), state.position};
    }

    // Takes a new snapshot; own changes stay. Errors: busy while a cursor or savepoint is open,
    // snapshot_too_old after writes, misuse.
    [[nodiscard]] result<void> refresh() noexcept {
        if (this->looking() == nullptr) return error{.code = errc::misuse};
        auto& b = body();
        if (b.dependents != 0) return error{.code = errc::busy};
        if (b.state->wrote()) {
            BOOST_OUTCOME_TRY(b.check_current()); // newer commits may have been missed
        }
        auto& people = b.core->transactions().people();
        people.end_snapshot(b.place);
        people.begin_snapshot(b.place);
        b.view.at = b.place.at;
        b.view.settled = b.place.settled;
        return ok();
    }

    // A new tree, visible to others when this transaction commits.
    // Errors: already_exists, not_found (no such database), unsafe_name, and those of put.
    [[nodiscard]] result<tree> create_tree(
        std::string_view database, std::string_view name
    ) noexcept {
        if (this->looking() == nullptr) return error{.code = errc::misuse};
        return create_tree_in(body(), database, name);
    }
    // Its rows go with the commit; its pages when no older snapshot can see them.
    // Errors: busy (others, or this transaction, have unfinished changes in it), not_found.
    [[nodiscard]] result<void> drop_tree(tree which) noexcept {
        if (this->looking() == nullptr) return error{.code = errc::misuse};
        return drop_tree_in(body(), which);
    }

    // Returns: the receipt, once the changes have reached `how`.
    // Errors: disk_full, snapshot_too_old, must_roll_back (rolled back, all three); log_failed
    // (unknown until reopened); misuse.
    [[nodiscard]] result<ticket> commit(durability how = durability::device) && noexcept {
        if (this->looking() == nullptr) return error{.code = errc::misuse};
        auto& b = body();
        auto& core = *b.core;
        auto may = result<void>{ok()};
        if (b.state->must_roll_back)
            may = error{.code = errc::must_roll_back};
        else if (b.state->wrote())
            may = b.check_current();
        if (!may) {
            auto const why = may.error();
            end_by_rollback();
            return why;
        }
        auto committed = no_lsn;
        auto done = jetpp::commit(
            core.transactions(),
            b.state,
            b.place.at,
            core.store.incarnation(),
            how,
            b.credit,
            [&](lsn at) noexcept {
                committed = at;
                // Whoever sees the commit must see that the tree is gone.
                for (auto const& step : b.dropped)
                    step.tree->dropped_at.store(at.value, std::memory_order_release);
            }
        );
        finish_drops(b, committed);
        end(true);
        return done;
    }
    void rollback() && noexcept {
        if (this->looking() != nullptr) end_by_rollback();
    }

private:
    explicit basic_transaction(transaction_body<Traits>& made) noexcept
        : basic_reads<Traits>{&made, made.state} {}

    [[nodiscard]] transaction_body<Traits>& body() const noexcept {
        return static_cast<transaction_body<Traits>&>(*this->looking());
    }

    [[nodiscard]] result<bool> write(
        tree into, const_bytes key, write_request request, const_bytes value
    ) noexcept {
        if (this->looking() == nullptr) return error{.code = errc::misuse};
        auto& b = body();
        BOOST_OUTCOME_TRY(b.core->check_alive());
        BOOST_OUTCOME_TRY(b.check_current());
        if (b.state->must_roll_back) return error{.code = errc::must_roll_back};
        BOOST_OUTCOME_TRY(auto* const entry, b.core->trees.find(into));
        BOOST_OUTCOME_TRY(hold_shared(b, *entry));
        return write_row(
            b.core->transactions(), *b.state, b.view, entry->place, key, request, value, b.credit
        );
    }

    void end_by_rollback() noexcept {
        auto& b = body();
        auto const undone = roll_back(b.core->transactions(), b.state, b.credit);
        if (undone) finish_drops(b, no_lsn);
        end(undone.has_value());
    }
    // A transaction whose rollback got stuck keeps its trees: nobody may drop them before recovery.
    void end(bool settled) noexcept {
        auto* const b = &body();
        auto& core = *b->core;
        if (settled) release_trees(*b);
        core.transactions().people().end_snapshot(b->place);
        core.open_transactions.fetch_sub(1, std::memory_order_seq_cst);
        this->let_go();
        end_body<Traits>(b);
    }
};

} // namespace jetpp::inline v1
