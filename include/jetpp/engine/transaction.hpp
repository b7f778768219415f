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

#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include <jetpp/core/durability.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/engine/ddl.hpp>
#include <jetpp/engine/reads.hpp>
#include <jetpp/txn/commit.hpp>
#include <jetpp/txn/row_writer.hpp>

namespace jetpp::inline v1 {

// A place to return to. Destroyed: the transaction is rolled back to it; keep(): it is forgotten.
// Savepoints end in the reverse order of their making.
template <class Traits>
class [[nodiscard]] basic_savepoint {
public:
    basic_savepoint(basic_savepoint&& other) noexcept
        : body_{std::exchange(other.body_, nullptr)}, position_{other.position_} {}
    basic_savepoint& operator=(basic_savepoint&&) = delete;
    ~basic_savepoint() {
        if (body_ != nullptr) (void)undo();
    }

    void keep() && noexcept { body_ = nullptr; }
    // Errors: page_damaged, io, log_failed: the transaction can then only be rolled back.
    [[nodiscard]] result<void> roll_back() && noexcept { return undo(); }

private:
    template <class>
    friend class basic_transaction;
    basic_savepoint(transaction_body<Traits>& body, std::uint32_t position) noexcept
        : body_{&body}, position_{position} {}

    [[nodiscard]] result<void> undo() noexcept {
        auto* const body = std::exchange(body_, nullptr);
        if (body == nullptr) return error{.code = errc::misuse};
        return undo_to(body->core->transactions(), *body->state, position_, body->credit);
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
        auto* const made = new (std::nothrow) transaction_body<Traits>{};
        if (made == nullptr) return error{.code = errc::out_of_memory};
        made->core = &core;
        auto state = core.transactions().begin();
        if (!state) {
            delete made;
            return state.error();
        }
        made->state = state.assume_value();
        auto& people = core.transactions().people();
        people.begin_snapshot(made->place);
        made->view = {
            .at = made->place.at, .settled = made->place.settled, .self = made->state
        };
        core.open_transactions.fetch_add(1, std::memory_order_relaxed);
        return basic_transaction{*made};
    }

    // Inserts or replaces. Errors: write_conflict, key_too_large, value_too_large,
    // transaction_too_large, tree_dropped, busy (the tree is being dropped), snapshot_too_old,
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
        state.merge_barrier = state.position;
        return basic_savepoint<Traits>{body(), state.position};
    }

    // Takes a new snapshot; own changes stay. Errors: busy while a cursor is open, misuse.
    [[nodiscard]] result<void> refresh() noexcept {
        if (this->looking() == nullptr) return error{.code = errc::misuse};
        auto& b = body();
        if (b.open_cursors != 0) return error{.code = errc::busy};
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
    // Errors: disk_full (rolled back), log_failed (unknown until reopened), misuse, busy (a cursor
    // is open).
    [[nodiscard]] result<ticket> commit(durability how = durability::device) && noexcept {
        if (this->looking() == nullptr) return error{.code = errc::misuse};
        auto& b = body();
        auto& core = *b.core;
        if (auto current = b.check_current(); !current && b.state->wrote()) {
            auto const why = current.error();
            end_by_rollback();
            return why;
        }
        auto done = jetpp::commit(
            core.transactions(), b.state, b.place.at, core.store.incarnation(), how, b.credit
        );
        finish_drops(b, done ? done.assume_value().at : no_lsn);
        end();
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
        BOOST_OUTCOME_TRY(auto* const entry, b.core->trees.find(into));
        BOOST_OUTCOME_TRY(hold_shared(b, *entry));
        return write_row(
            b.core->transactions(), *b.state, b.view, entry->place, key, request, value, b.credit
        );
    }

    void end_by_rollback() noexcept {
        auto& b = body();
        (void)roll_back(b.core->transactions(), b.state, b.credit);
        finish_drops(b, no_lsn);
        end();
    }
    void end() noexcept {
        auto* const b = &body();
        auto& core = *b->core;
        release_trees(*b);
        core.transactions().people().end_snapshot(b->place);
        core.open_transactions.fetch_sub(1, std::memory_order_relaxed);
        this->let_go();
        delete b;
    }
};

} // namespace jetpp::inline v1
