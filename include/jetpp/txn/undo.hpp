// jetpp/txn/undo.hpp - rollback: the same code at run time and in recovery.
//
// The entries of a transaction are undone newest first, each by one compensation record through
// btree::change(): logical undo, found by key, since the row may have moved. insert -> ghost,
// erase -> revive, revive -> ghost with the value that stood under it, replace -> the image.
// Under the leaf's latch page and chain change together, so no reader sees one without the other.
// Invariants
//   * a compensation names undo_lsn, the oldest record it undoes: redo never undoes twice
//   * an entry leaves its bucket only after its compensation has an LSN
// Threads  the transaction's thread.
// Source   ARIES compensation records (Mohan et al., TODS 1992).
#pragma once

#include <jetpp/btree/change.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/records_rows.hpp>
#include <jetpp/txn/catalogue_rows.hpp>
#include <jetpp/txn/credit.hpp>
#include <jetpp/txn/transaction_system.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

// Image of a patch: {old size u32, new size u32, range count u32}, the record's table of ranges,
// their content.
[[nodiscard]] inline std::array<std::byte, 12> patch_image_head(record::update const& update
) noexcept {
    auto head = std::array<std::byte, 12>{};
    store_le<std::uint32_t>(head.data(), update.old_size);
    store_le<std::uint32_t>(head.data() + 4, update.new_size);
    store_le<std::uint32_t>(head.data() + 8, update.range_count);
    return head;
}
[[nodiscard]] inline record::update patch_of(const_bytes image) noexcept {
    auto update = record::update{};
    update.old_size = load_le<std::uint32_t>(image.data());
    update.new_size = load_le<std::uint32_t>(image.data() + 4);
    update.range_count = static_cast<std::uint16_t>(load_le<std::uint32_t>(image.data() + 8));
    update.table = image.subspan(12, std::size_t{12} * update.range_count);
    update.content = image.subspan(12 + update.table.size());
    return update;
}

template <class Traits>
class row_undoer {
public:
    row_undoer(
        transaction_system<Traits>& system,
        transaction_state& state,
        version_entry& entry,
        log_credit& credit
    ) noexcept
        : system_{&system}, state_{&state}, entry_{&entry}, credit_{&credit} {}

    [[nodiscard]] result<row_change> decide(leaf_row const& row) noexcept {
        // Chain implies row or ghost: anything else on the page is damage.
        auto const expects_row =
            entry_->kind == version_kind::insert || entry_->kind == version_kind::replace ||
            entry_->kind == version_kind::revive || entry_->kind == version_kind::patch;
        if (!row.present || row.ghost == expects_row)
            return error{.code = errc::structure_damaged, .reason = damage::order}.with_database(
                entry_->database
            );
        auto change = row_change{
            .indirect = entry_->image_indirect,
            .value = entry_->image(),
        };
        switch (entry_->kind) {
        case version_kind::insert: change = {.kind = change_kind::erase}; break;
        case version_kind::replace: change.kind = change_kind::replace; break;
        case version_kind::erase: change.kind = change_kind::revive; break;
        case version_kind::revive: change.kind = change_kind::erase_to; break;
        case version_kind::patch: {
            change.kind = change_kind::replace;
            BOOST_OUTCOME_TRY(change.value, unpatch(row.value));
            break;
        }
        case version_kind::lock:
        case version_kind::create: ensure(false, "the entry stands for no row"); break;
        }
        return change;
    }
    [[nodiscard]] record_header header() noexcept {
        return {
            .flags = record_flags::compensation,
            .database = entry_->database,
            .tree = entry_->tree,
            .transaction = state_->first_record,
        };
    }
    [[nodiscard]] lsn undo_lsn() noexcept { return entry_->at; }
    void before_reserve(lsn) noexcept {}
    void logged(lsn) noexcept {
        auto bucket = system_->versions().lock(entry_->hash);
        bucket.unlink(*entry_);
    }
    [[nodiscard]] log_credit& credit() noexcept { return *credit_; }

private:
    // The value before an update, from the value after it and the record's ranges.
    [[nodiscard]] result<const_bytes> unpatch(const_bytes current) noexcept {
        auto const update = patch_of(entry_->image());
        auto const damaged = error{
            .code = errc::structure_damaged, .database = entry_->database.value, .at = entry_->at
        };
        if (current.size() != update.new_size) return damaged;
        if (!scratch_.resize(update.old_size)) return error{.code = errc::out_of_memory};
        if (!update.revert(current, {scratch_.data(), update.old_size})) return damaged;
        return const_bytes{scratch_.data(), update.old_size};
    }

    transaction_system<Traits>* system_;
    transaction_state* state_;
    version_entry* entry_;
    log_credit* credit_;
    array_list<std::byte> scratch_;
};

template <class Traits>
void unlink_entry(transaction_system<Traits>& system, version_entry& entry) noexcept {
    if (entry.kind == version_kind::lock) system.versions().drop_live_lock();
    auto bucket = system.versions().lock(entry.hash);
    bucket.unlink(entry);
}

// The tree of an undone create is freed later, like a dropped one: a system row of the pending tree
// says so. Idempotent by its key, so recovery may do it again.
template <class Traits>
[[nodiscard]] result<void> doom_tree(
    transaction_system<Traits>& system, version_entry const& entry, log_credit& credit
) noexcept {
    using limits = page_limits<Traits::page_size>;
    auto place = system.place_of(entry);
    place.id = pending_tree;
    place.root = page_number{limits::first_page.value + 2};
    auto const key = pending_drop_key(entry.tree);
    auto const value = encode(pending_drop{.root = entry.root, .dropped_by = entry.at});
    BOOST_OUTCOME_TRY(hold_credit(
        system.log(),
        credit,
        system.trees().credit_bound(place, key.view().size(), limits::inline_value_bytes_max),
        credit_use::owed
    ));
    auto const decide = [&](leaf_row const& row) noexcept -> result<row_change> {
        return row_change{
            .kind = !row.present ? change_kind::insert
                    : row.ghost  ? change_kind::revive
                                 : change_kind::replace,
            .value = value.view(),
        };
    };
    auto guard = system_change{entry.database, pending_tree, credit, decide};
    return system.trees().change(place, key.view(), guard);
}

// Undoes every change with a position above `position`.
// Errors: those of btree::change(); what was undone until then stays undone.
template <class Traits>
[[nodiscard]] result<void> undo_to(
    transaction_system<Traits>& system,
    transaction_state& state,
    std::uint32_t position,
    log_credit& credit
) noexcept {
    using limits = page_limits<Traits::page_size>;
    while (state.newest != nullptr && state.newest->position > position) {
        auto& entry = *state.newest;
        if (entry.unlinked && entry.kind != version_kind::create) {
            // compensated before a crash
        } else if (entry.kind == version_kind::lock) {
            unlink_entry(system, entry);
        } else if (entry.kind == version_kind::create) {
            BOOST_OUTCOME_TRY(doom_tree(system, entry, credit));
        } else if (Traits::env::runtime_type::sabotaged(sabotage::undo_skips_last) &&
                   entry.older_own == nullptr) {
            unlink_entry(system, entry);
        } else {
            auto const place = system.place_of(entry);
            BOOST_OUTCOME_TRY(hold_credit(
                system.log(),
                credit,
                system.trees().credit_bound(
                    place, entry.key_length, limits::inline_value_bytes_max
                ),
                credit_use::owed
            ));
            auto undoer = row_undoer<Traits>{system, state, entry, credit};
            BOOST_OUTCOME_TRY(system.trees().change(place, entry.key(), undoer));
        }
        state.newest = entry.older_own;
    }
    return ok();
}

} // namespace jetpp::inline v1
