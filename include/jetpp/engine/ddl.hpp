// jetpp/engine/ddl.hpp - making and dropping trees inside a transaction.
//
// The catalogue is a tree like others, its rows are versioned and undone like others. A new tree is
// a root page (logged under the transaction, undone by freeing it) and two rows. A drop removes the
// rows and leaves a row of pending work; the pages go later, when no snapshot can see them.
// Threads  the transaction's thread.
#pragma once

#include <jetpp/btree/change.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/engine/engine_core.hpp>
#include <jetpp/log/records.hpp>
#include <jetpp/txn/catalogue_rows.hpp>
#include <jetpp/txn/credit.hpp>
#include <jetpp/txn/row_reader.hpp>
#include <jetpp/txn/row_writer.hpp>
#include <jetpp/txn/undo.hpp>

#include <cstdint>
#include <string_view>

namespace jetpp::inline v1 {

// Shared until the transaction ends. Errors: busy (a drop owns the tree), tree_dropped,
// out_of_memory.
template <class Traits>
[[nodiscard]] result<void> hold_shared(
    transaction_body<Traits>& body, typename tree_table<Traits>::entry& entry
) noexcept {
    if (!body.written.empty() && body.written.back() == &entry) return ok();
    for (auto* held : body.written)
        if (held == &entry) return ok();
    if (!body.written.reserve(body.written.size() + 1)) return error{.code = errc::out_of_memory};
    auto count = entry.writers.load(std::memory_order_relaxed);
    do {
        if (count == tree_table<Traits>::owned_by_drop)
            return error{
                .code = entry.dropped_at.load(std::memory_order_acquire) != 0 ? errc::tree_dropped
                                                                              : errc::busy
            };
    } while (!entry.writers.compare_exchange_weak(count, count + 1, std::memory_order_acq_rel));
    (void)body.written.push_back(&entry); // the room is there
    return ok();
}

template <class Traits>
void release_trees(transaction_body<Traits>& body) noexcept {
    for (auto* held : body.written) held->writers.fetch_sub(1, std::memory_order_acq_rel);
    body.written.clear();
}

// Undoes what the transaction did after `position`, DDL included. An undo that fails half way leaves
// a transaction that can only be rolled back.
template <class Traits>
[[nodiscard]] result<void> undo_in(
    transaction_body<Traits>& body, std::uint32_t position
) noexcept {
    auto done = undo_to(body.core->transactions(), *body.state, position, body.credit);
    if (!done) {
        body.state->must_roll_back = true;
        return done;
    }
    while (!body.dropped.empty() && body.dropped.back().position > position) {
        body.dropped.back().tree->writers.store(0, std::memory_order_release);
        body.dropped.pop_back();
    }
    while (!body.created.empty() && body.created.back().position > position) {
        body.created.back().tree->gone.store(true, std::memory_order_release);
        body.created.pop_back();
    }
    return ok();
}

// After commit (its LSN) or rollback (none): drops take effect or are taken back, and trees made by
// a transaction that rolled back are gone.
template <class Traits>
void finish_drops(transaction_body<Traits>& body, lsn committed) noexcept {
    auto& core = *body.core;
    for (auto const& step : body.dropped) {
        if (committed) {
            auto const held = holding{core.doomed_lock};
            // Without memory the row in the pending tree waits for the next open.
            (void)core.doomed.push_back({.place = step.tree->place, .dropped_at = committed});
        } else {
            step.tree->writers.store(0, std::memory_order_release);
        }
    }
    body.dropped.clear();
    if (!committed)
        for (auto const& step : body.created)
            step.tree->gone.store(true, std::memory_order_release);
    body.created.clear();
}

// The guard of a tree_create record: the transaction's header, an undo entry of kind create.
template <class Traits>
class tree_creation {
public:
    tree_creation(
        transaction_body<Traits>& body, database_id database, tree_id tree, version_entry& entry
    ) noexcept
        : body_{&body}, entry_{&entry}, database_{database}, tree_{tree} {}

    [[nodiscard]] result<row_change> decide(leaf_row const&) noexcept { return row_change{}; }
    [[nodiscard]] record_header header() noexcept {
        auto const& state = *body_->state;
        return {
            .flags = state.wrote() ? record_flags::none : record_flags::first_of_transaction,
            .database = database_,
            .tree = tree_,
            .transaction = state.first_record,
        };
    }
    [[nodiscard]] lsn undo_lsn() noexcept { return no_lsn; }
    void before_reserve(lsn) noexcept {
        auto& system = body_->core->transactions();
        if (!body_->state->is_writer) system.people().enter_writer(*body_->state, system.log());
    }
    void logged(lsn at) noexcept {
        auto& state = *body_->state;
        if (!state.wrote()) state.first_record = at;
        entry_->at = at;
        entry_->position = ++state.position;
        entry_->older_own = state.newest;
        state.newest = entry_;
    }
    [[nodiscard]] log_credit& credit() noexcept { return body_->credit; }

private:
    transaction_body<Traits>* body_;
    version_entry* entry_;
    database_id database_;
    tree_id tree_;
};

template <class Traits>
[[nodiscard]] result<bool> write_system_row(
    transaction_body<Traits>& body,
    tree_place<Traits> const& place,
    const_bytes key,
    write_request request,
    const_bytes value
) noexcept {
    return write_row(
        body.core->transactions(), *body.state, body.view, place, key, request, value, body.credit
    );
}

template <class Traits>
[[nodiscard]] result<tree> create_tree_in(
    transaction_body<Traits>& body, std::string_view database, std::string_view name
) noexcept {
    if (name.empty() || name.size() > tree_name_bytes_max) return error{.code = errc::unsafe_name};
    auto& core = *body.core;
    auto& system = core.transactions();
    BOOST_OUTCOME_TRY(core.check_alive());
    if (body.state->must_roll_back) return error{.code = errc::must_roll_back};
    BOOST_OUTCOME_TRY(auto* const where, core.store.find_database(database));
    auto const catalogue = where->catalogue();
    auto const name_key = tree_name_key(name);
    BOOST_OUTCOME_TRY(
        auto const taken,
        read_row(
            system,
            body.view,
            catalogue,
            name_key.view(),
            [](const_bytes, bool) noexcept -> result<void> { return ok(); }
        )
    );
    if (taken) return error{.code = errc::already_exists};
    BOOST_OUTCOME_TRY(auto const id, core.store.next_tree_id(*where));

    auto* const memory = body.state->arena.allocate(system.chunks(), sizeof(version_entry));
    if (memory == nullptr) return error{.code = errc::out_of_memory};
    auto* const entry = ::new (static_cast<void*>(memory)) version_entry{
        .owner = body.state,
        .tree = id,
        .database = where->file->id(),
        .kind = version_kind::create,
        .unlinked = true,
    };
    if (!body.created.reserve(body.created.size() + 1)) return error{.code = errc::out_of_memory};

    auto const before = body.state->position;
    auto guard = tree_creation<Traits>{body, where->file->id(), id, *entry};
    BOOST_OUTCOME_TRY(
        auto const place, system.trees().create_tree(*where->file, id, as_bytes(name), guard)
    );
    entry->root = place.root;
    auto const rows = [&]() noexcept -> result<tree> {
        auto const row = encode(tree_row{.root = place.root, .name = name});
        BOOST_OUTCOME_TRY(write_system_row(
            body, catalogue, tree_row_key(id).view(), write_request::insert, row.view()
        ));
        auto const named = encode_tree_id(id);
        auto inserted =
            write_system_row(body, catalogue, name_key.view(), write_request::insert, named.view());
        if (!inserted) {
            auto why = inserted.error();
            if (why.code == errc::key_exists) why.code = errc::already_exists;
            return why;
        }
        return core.trees.add(place);
    }();
    if (!rows) {
        BOOST_OUTCOME_TRY(undo_in(body, before));
        return rows.error();
    }
    BOOST_OUTCOME_TRY(auto* const known, core.trees.find(rows.assume_value()));
    // The room is there.
    (void)body.created.push_back({.tree = known, .position = body.state->position});
    return rows;
}

template <class Traits>
[[nodiscard]] result<void> drop_tree_in(transaction_body<Traits>& body, tree which) noexcept {
    auto& core = *body.core;
    auto& system = core.transactions();
    BOOST_OUTCOME_TRY(core.check_alive());
    if (body.state->must_roll_back) return error{.code = errc::must_roll_back};
    BOOST_OUTCOME_TRY(auto* const entry, core.trees.find(which));
    BOOST_OUTCOME_TRY(auto* const where, core.store.database_of(which.database()));
    if (!body.dropped.reserve(body.dropped.size() + 1)) return error{.code = errc::out_of_memory};
    auto nobody = std::uint32_t{0};
    if (!entry->writers.compare_exchange_strong(
            nobody, tree_table<Traits>::owned_by_drop, std::memory_order_acq_rel
        ))
        return error{
            .code = entry->dropped_at.load(std::memory_order_acquire) != 0 ? errc::tree_dropped
                                                                           : errc::busy
        };
    auto const before = body.state->position;
    auto const done = [&]() noexcept -> result<void> {
        auto name = system_value{};
        auto const row_key = tree_row_key(which.id());
        BOOST_OUTCOME_TRY(
            auto const seen,
            read_row(
                system,
                body.view,
                where->catalogue(),
                row_key.view(),
                [&](const_bytes value, bool) noexcept -> result<void> {
                    BOOST_OUTCOME_TRY(auto const row, decode_tree_row(value));
                    name.add(as_bytes(row.name));
                    return ok();
                }
            )
        );
        if (!seen) return error{.code = errc::not_found};
        auto const name_key = tree_name_key(as_text(name.view()));
        BOOST_OUTCOME_TRY(
            write_system_row(body, where->catalogue(), row_key.view(), write_request::erase, {})
        );
        BOOST_OUTCOME_TRY(
            write_system_row(body, where->catalogue(), name_key.view(), write_request::erase, {})
        );
        auto const pending =
            encode(pending_drop{.root = entry->place.root, .dropped_by = body.state->first_record});
        BOOST_OUTCOME_TRY(write_system_row(
            body,
            where->pending(),
            pending_drop_key(which.id()).view(),
            write_request::put,
            pending.view()
        ));
        auto mark = record::tree_drop{};
        mark.root = entry->place.root;
        mark.name = name.view();
        BOOST_OUTCOME_TRY(
            hold_credit(system.log(), body.credit, static_cast<std::uint32_t>(mark.size()))
        );
        (void)system.log().append(
            body.credit,
            {.type = record_type::tree_drop,
             .database = which.database(),
             .tree = which.id(),
             .transaction = body.state->first_record},
            mark
        );
        return ok();
    }();
    if (!done) {
        // If that fails the tree stays owned: its rows are half gone until the rollback.
        BOOST_OUTCOME_TRY(undo_in(body, before));
        entry->writers.store(0, std::memory_order_release);
        return done.error();
    }
    // The room is there.
    (void)body.dropped.push_back({.tree = entry, .position = body.state->position});
    return ok();
}

} // namespace jetpp::inline v1
