// jetpp/txn/row_writer.hpp - one change of one row by a transaction: the guard of btree::change().
//
// Under the leaf's latch: is it somebody else's row (then write_conflict, at once: first updater
// wins, nobody waits, so rows know no deadlock)? What does the request mean for what stands there?
// The before-image is built while failing is still allowed; it is linked once the record has its
// LSN. A replace over an own replace or insert needs no second image, unless a cursor or savepoint
// stands between them.
// Threads  one transaction's thread.
// Source   design of snapshot isolation with first updater wins; ARIES for the order of steps.
#pragma once

#include <jetpp/btree/change.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/txn/credit.hpp>
#include <jetpp/txn/transaction_system.hpp>
#include <jetpp/txn/visibility.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>

namespace jetpp::inline v1 {

enum class write_request : std::uint8_t {
    put,    // insert or replace
    insert, // key_exists if the writer sees a row
    erase,  // nothing if there is no row
    lock,   // claims the key, changes nothing
};

template <class Traits>
class row_writer {
    using env = typename Traits::env;

public:
    row_writer(
        transaction_system<Traits>& system,
        transaction_state& state,
        read_view const& view,
        tree_place<Traits> const& tree,
        const_bytes key,
        write_request request,
        const_bytes value,
        log_credit& credit
    ) noexcept
        : system_{&system}, state_{&state}, view_{&view}, tree_{tree}, key_{key}, value_{value},
          credit_{&credit}, hash_{version_hash(tree.file->id(), tree.id, key)}, request_{request} {
        system.versions().prefetch(hash_);
    }
    row_writer(row_writer const&) = delete;
    row_writer& operator=(row_writer const&) = delete;

    // Whether a visible row stood under the key.
    [[nodiscard]] bool found() const noexcept { return found_; }

    [[nodiscard]] result<row_change> decide(leaf_row const& row) noexcept {
        drop_unused_entry();
        found_ = row.present && !row.ghost;
        auto const unsettled = row.present && row.versioned && !(row.page_lsn < view_->settled);
        if (unsettled || system_->versions().live_locks() != 0) {
            if (write_conflicts(system_->versions(), *view_, tree_.file->id(), tree_.id, key_))
                return error{.code = errc::write_conflict};
        }
        auto change = row_change{};
        switch (request_) {
        case write_request::insert:
            if (found_) return error{.code = errc::key_exists};
            [[fallthrough]];
        case write_request::put:
            change.kind = !row.present ? change_kind::insert
                          : row.ghost  ? change_kind::revive
                                       : change_kind::replace;
            change.value = value_;
            break;
        case write_request::erase:
            if (!found_) return row_change{};
            change.kind = change_kind::erase;
            break;
        case write_request::lock: {
            BOOST_OUTCOME_TRY(build_entry(version_kind::lock, {}, false));
            link(no_lsn);
            return row_change{};
        }
        }
        BOOST_OUTCOME_TRY(keep_before_image(change.kind, row));
        return change;
    }

    [[nodiscard]] record_header header() noexcept {
        return {
            .flags = state_->wrote() ? record_flags::none : record_flags::first_of_transaction,
            .database = tree_.file->id(),
            .tree = tree_.id,
            .transaction = state_->first_record,
        };
    }
    [[nodiscard]] lsn undo_lsn() noexcept { return no_lsn; }
    void before_reserve(lsn) noexcept {
        if (!state_->is_writer) system_->people().enter_writer(*state_, system_->log());
    }
    void logged(lsn at) noexcept {
        if (!state_->wrote()) state_->first_record = at;
        if (entry_ != nullptr) link(at);
    }
    [[nodiscard]] log_credit& credit() noexcept { return *credit_; }

    // A ghost without entries, or settled for every reader, is needed by nobody.
    [[nodiscard]] bool removable(const_bytes key, bool versioned, lsn page_lsn) noexcept {
        if (!versioned || page_lsn < system_->people().scan().settled_min) return true;
        auto const hash = version_hash(tree_.file->id(), tree_.id, key);
        auto const bucket = system_->versions().lock(hash);
        return find_version(bucket.head(), tree_.file->id(), tree_.id, hash, key) == nullptr;
    }

private:
    [[nodiscard]] static version_kind kind_of(change_kind kind) noexcept {
        switch (kind) {
        case change_kind::insert: return version_kind::insert;
        case change_kind::revive: return version_kind::revive;
        case change_kind::erase: return version_kind::erase;
        default: return version_kind::replace;
        }
    }

    [[nodiscard]] result<void> keep_before_image(change_kind kind, leaf_row const& row) noexcept {
        if (kind == change_kind::replace && has_own_image()) return ok();
        auto const image = kind == change_kind::insert ? const_bytes{} : row.value;
        return build_entry(kind_of(kind), image, row.indirect);
    }

    // The newest entry of this key is ours, unmerged by no barrier, and remembers what stood here
    // before the transaction.
    [[nodiscard]] bool has_own_image() noexcept {
        auto const bucket = system_->versions().lock(hash_);
        auto const* newest = find_version(bucket.head(), tree_.file->id(), tree_.id, hash_, key_);
        return newest != nullptr && newest->owner == state_ &&
               newest->position > state_->merge_barrier &&
               (newest->kind == version_kind::insert || newest->kind == version_kind::replace);
    }

    [[nodiscard]] result<void> build_entry(
        version_kind kind, const_bytes image, bool indirect
    ) noexcept {
        auto const size = sizeof(version_entry) + key_.size() + image.size();
        if (state_->arena.bytes_used + size > system_->limits().transaction_bytes)
            return error{.code = errc::transaction_too_large};
        auto* memory = state_->arena.allocate(system_->chunks(), size);
        if (memory == nullptr) return error{.code = errc::out_of_memory};
        entry_size_ = size;
        entry_ = ::new (static_cast<void*>(memory)) version_entry{
            .owner = state_,
            .hash = hash_,
            .tree = tree_.id,
            .root = tree_.root,
            .image_length = static_cast<std::uint32_t>(image.size()),
            .database = tree_.file->id(),
            .key_length = static_cast<std::uint16_t>(key_.size()),
            .kind = kind,
            .image_indirect = indirect,
        };
        if (!key_.empty()) std::memcpy(entry_->tail(), key_.data(), key_.size());
        if (!image.empty()) std::memcpy(entry_->tail() + key_.size(), image.data(), image.size());
        return ok();
    }

    void link(lsn at) noexcept {
        entry_->at = at;
        entry_->position = ++state_->position;
        entry_->older_own = state_->newest;
        state_->newest = entry_;
        if (entry_->kind == version_kind::lock) system_->versions().add_live_lock();
        {
            auto bucket = system_->versions().lock(hash_);
            bucket.push(*entry_);
        }
        entry_ = nullptr;
    }

    // decide() may run again after a split: the entry of the last turn was never linked.
    void drop_unused_entry() noexcept {
        if (entry_ == nullptr) return;
        state_->arena.undo_allocate(entry_size_);
        entry_ = nullptr;
    }

    transaction_system<Traits>* system_;
    transaction_state* state_;
    read_view const* view_;
    tree_place<Traits> tree_;
    const_bytes key_;
    const_bytes value_;
    log_credit* credit_;
    version_entry* entry_ = nullptr;
    std::size_t entry_size_ = 0;
    std::uint64_t hash_;
    write_request request_;
    bool found_ = false;
};

// One change, from credit to page. The caller holds no latch.
// Returns: whether a visible row stood under the key before.
// Errors: key_too_large, value_too_large, write_conflict, key_exists, transaction_too_large,
//     transaction_too_long, tree_dropped, disk_full, log_failed, page_damaged, io, out_of_memory.
template <class Traits>
[[nodiscard]] result<bool> write_row(
    transaction_system<Traits>& system,
    transaction_state& state,
    read_view const& view,
    tree_place<Traits> const& tree,
    const_bytes key,
    write_request request,
    const_bytes value,
    log_credit& credit
) noexcept {
    using limits = page_limits<Traits::page_size>;
    if (key.size() > limits::key_bytes_max) return error{.code = errc::key_too_large};
    if (value.size() > limits::inline_value_bytes_max) return error{.code = errc::value_too_large};
    if (request != write_request::lock && state.wrote() &&
        system.log().tail() - state.first_record > system.limits().transaction_log_bytes)
        return error{.code = errc::transaction_too_long, .at = state.first_record};
    BOOST_OUTCOME_TRY(hold_credit(
        system.log(),
        credit,
        system.trees().credit_bound(tree, key.size(), limits::inline_value_bytes_max)
    ));
    auto writer = row_writer<Traits>{system, state, view, tree, key, request, value, credit};
    auto const changed = system.trees().change(tree, key, writer);
    trim_credit(system.log(), credit);
    BOOST_OUTCOME_TRY(changed);
    return writer.found();
}

} // namespace jetpp::inline v1
