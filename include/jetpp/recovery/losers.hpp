// jetpp/recovery/losers.hpp - the undo entries of transactions that the log does not end.
//
// One entry per record of a loser, newest last, as at run time; a compensation takes out the entries
// of its key at or above undo_lsn (run time may have merged several updates into one entry, the log
// has not). What is left is rolled back by the same code that rolls back at run time.
// Invariants
//   * memory is bounded by what losers wrote; the version budget is not enforced here
// Threads  one. Owns: the transactions, until they are rolled back.
// Source   ARIES undo of losers.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/recovery/analysis.hpp>
#include <jetpp/txn/transaction_system.hpp>
#include <jetpp/txn/undo.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <new>
#include <span>

namespace jetpp::inline v1 {

template <class Traits>
class loser_transactions {
    using runtime = typename Traits::env::runtime_type;

public:
    explicit loser_transactions(transaction_system<Traits>& system) noexcept : system_{&system} {}
    loser_transactions(loser_transactions const&) = delete;
    loser_transactions& operator=(loser_transactions const&) = delete;
    ~loser_transactions() {
        for (auto* state : states_) system_->forget(state);
    }

    // Errors: out_of_memory.
    [[nodiscard]] result<void> begin(std::span<lsn const> ids) noexcept {
        for (auto const id : ids) {
            if (!states_.reserve(states_.size() + 1)) return error{.code = errc::out_of_memory};
            BOOST_OUTCOME_TRY(auto* const state, system_->begin());
            state->first_record = id;
            (void)states_.push_back(state);
        }
        return ok();
    }

    // Every record of the range, in log order. Errors: out_of_memory, log_corrupt.
    [[nodiscard]] result<void> see(log_record const& record) noexcept {
        auto* const state = find(record.header.transaction);
        if (state == nullptr) return ok();
        if (has(record.header.flags, record_flags::compensation)) return compensate(*state, record);
        return record.visit(overload{
            [&](record::insert const& r) noexcept {
                return add(*state, record, version_kind::insert, r.key, {});
            },
            [&](record::update const& r) noexcept {
                auto const head = patch_image_head(r);
                return add(
                    *state,
                    record,
                    version_kind::patch,
                    r.key,
                    {const_bytes{head}, r.table, r.content}
                );
            },
            [&](record::ghost const& r) noexcept {
                return add(*state, record, version_kind::erase, r.key, {r.value});
            },
            [&](record::revive const& r) noexcept {
                return add(*state, record, version_kind::revive, r.key, {r.old_value});
            },
            [&](record::insert_run const& r) noexcept -> result<void> {
                auto outcome = result<void>{ok()};
                r.for_each([&](key_value const& one) noexcept {
                    if (outcome) outcome = add(*state, record, version_kind::insert, one.key, {});
                });
                return outcome;
            },
            [&](record::tree_create const& r) noexcept -> result<void> {
                return add_create(*state, record, r.root);
            },
            [](auto const&) noexcept -> result<void> { return ok(); },
        });
    }

    [[nodiscard]] std::span<transaction_state* const> states() const noexcept {
        return {states_.data(), states_.size()};
    }
    // Hands one over to the code that rolls it back.
    [[nodiscard]] transaction_state* take() noexcept {
        if (states_.empty()) return nullptr;
        auto* const state = states_.back();
        states_.pop_back();
        return state;
    }

private:
    [[nodiscard]] transaction_state* find(lsn id) const noexcept {
        if (!id) return nullptr;
        for (auto* state : states_)
            if (state->first_record == id) return state;
        return nullptr;
    }

    void push(transaction_state& state, version_entry& entry) noexcept {
        entry.position = ++state.position;
        entry.older_own = state.newest;
        state.newest = &entry;
    }

    [[nodiscard]] result<void> add(
        transaction_state& state,
        log_record const& record,
        version_kind kind,
        const_bytes key,
        std::initializer_list<const_bytes> image
    ) noexcept {
        auto image_size = std::size_t{0};
        for (auto const part : image) image_size += part.size();
        auto const size = sizeof(version_entry) + key.size() + image_size;
        auto* const memory = state.arena.allocate(system_->chunks(), size);
        if (memory == nullptr) return error{.code = errc::out_of_memory};
        auto* const entry = ::new (static_cast<void*>(memory)) version_entry{
            .owner = &state,
            .at = record.at,
            .hash = version_hash(record.header.database, record.header.tree, key),
            .tree = record.header.tree,
            .root = no_page, // found in the catalogue before it is undone
            .image_length = static_cast<std::uint32_t>(image_size),
            .database = record.header.database,
            .key_length = static_cast<std::uint16_t>(key.size()),
            .kind = kind,
        };
        auto* at = entry->tail();
        auto const copy = [&](const_bytes part) {
            if (!part.empty()) std::memcpy(at, part.data(), part.size());
            at += part.size();
        };
        copy(key);
        for (auto const part : image) copy(part);
        push(state, *entry);
        auto bucket = system_->versions().lock(entry->hash);
        bucket.push(*entry);
        return ok();
    }
    [[nodiscard]] result<void> add_create(
        transaction_state& state, log_record const& record, page_number root
    ) noexcept {
        auto* const memory = state.arena.allocate(system_->chunks(), sizeof(version_entry));
        if (memory == nullptr) return error{.code = errc::out_of_memory};
        auto* const entry = ::new (static_cast<void*>(memory)) version_entry{
            .owner = &state,
            .at = record.at,
            .tree = record.header.tree,
            .root = root,
            .database = record.header.database,
            .kind = version_kind::create,
            .unlinked = true,
        };
        push(state, *entry);
        return ok();
    }

    [[nodiscard]] result<void> compensate(
        transaction_state& state, log_record const& record
    ) noexcept {
        auto const undo = [&](const_bytes key, lsn undo_lsn) noexcept -> result<void> {
            auto const hash = version_hash(record.header.database, record.header.tree, key);
            auto found = false;
            for (auto* e = state.newest; e != nullptr && e->at >= undo_lsn; e = e->older_own) {
                if (e->unlinked ||
                    !e->is_for(record.header.database, record.header.tree, hash, key))
                    continue;
                auto bucket = system_->versions().lock(hash);
                bucket.unlink(*e);
                found = true;
                if (runtime::sabotaged(sabotage::undo_removes_one_entry)) break;
            }
            if (!found) return bad_record().with_lsn(record.at);
            return ok();
        };
        return record.visit(overload{
            [&](record::update const& r) noexcept { return undo(r.key, r.part.undo_lsn); },
            [&](record::ghost const& r) noexcept { return undo(r.key, r.part.undo_lsn); },
            [&](record::revive const& r) noexcept { return undo(r.key, r.part.undo_lsn); },
            [&](record::insert const& r) noexcept { return undo(r.key, r.part.undo_lsn); },
            [](auto const&) noexcept -> result<void> { return ok(); },
        });
    }

    transaction_system<Traits>* system_;
    array_list<transaction_state*> states_;
};

} // namespace jetpp::inline v1
