// jetpp/engine/pending_work.hpp - freeing what nobody can reach any more.
//
// A dropped tree leaves a row in the pending tree. Once no snapshot is older than the drop, its
// pages are freed in batches, leaves first, the root last, then the row goes. A crash in between
// resumes from the row and trusts nothing but the space map and the tree id in each page.
// Threads  one at a time (the background task, or poll()).
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/engine/engine_core.hpp>
#include <jetpp/txn/catalogue_rows.hpp>
#include <jetpp/txn/collector.hpp>
#include <jetpp/txn/leaf_scan.hpp>

#include <cstddef>

namespace jetpp::inline v1 {

// At open and attach: all rows of a pending tree, which no snapshot can hold back any more.
template <class Traits>
[[nodiscard]] result<void> load_doomed_trees_of(
    engine_core<Traits>& core, attached_database<Traits>& database
) noexcept {
    auto& system = core.transactions();
    {
        auto const view = read_view{.at = max_lsn, .settled = system.people().settled()};
        BOOST_OUTCOME_TRY(
            auto rows, leaf_scan<Traits>::create(system, database.pending(), view, {})
        );
        for (;;) {
            BOOST_OUTCOME_TRY(auto const more, rows.next());
            if (!more) break;
            if (rows.key().size() != 5 || rows.key()[0] != std::byte{2}) continue;
            BOOST_OUTCOME_TRY(auto const row, decode_pending_drop(rows.value()));
            auto const place = tree_place<Traits>{
                .file = database.file.get(),
                .id = {load_be<std::uint32_t>(rows.key().data() + 1)},
                .root = row.root,
            };
            auto const held = holding{core.doomed_lock};
            if (!core.doomed.push_back({.place = place, .dropped_at = no_lsn}))
                return error{.code = errc::out_of_memory};
        }
    }
    return ok();
}

template <class Traits>
[[nodiscard]] result<void> load_doomed_trees(engine_core<Traits>& core) noexcept {
    for (auto& database : core.store.databases())
        if (database.file != nullptr) {
            BOOST_OUTCOME_TRY(load_doomed_trees_of(core, database));
        }
    return ok();
}

// One batch of one doomed tree. Returns: whether anything was done.
// Errors: those of btree::free_tree_step; the tree stays on the list.
template <class Traits>
[[nodiscard]] result<bool> free_doomed_step(engine_core<Traits>& core) noexcept {
    auto& system = core.transactions();
    auto chosen = typename engine_core<Traits>::doomed_tree{};
    {
        auto const watermark = system.people().scan().watermark;
        auto const held = holding{core.doomed_lock};
        auto i = std::size_t{0};
        while (i < core.doomed.size() && core.doomed[i].dropped_at > watermark) ++i;
        if (i == core.doomed.size()) return false;
        chosen = core.doomed[i];
        core.doomed.erase_at(i);
        // Back at the end until it is done: one room is free for sure.
        (void)core.doomed.push_back(chosen);
    }
    while (collect(system) != 0) {
    } // its versions first: they name its rows
    auto credit = log_credit{};
    auto const finish = [&](result<bool> outcome) noexcept {
        system.log().give_back(credit);
        return outcome;
    };
    auto freed = system.trees().free_tree_step(chosen.place, credit);
    if (!freed && freed.error().code != errc::tree_dropped) return finish(freed.error());
    if (freed && !freed.assume_value()) return finish(true);

    auto const pending = core.store.pending_of(*chosen.place.file);
    auto const key = pending_drop_key(chosen.place.id);
    auto const decide = [](leaf_row const& row) noexcept -> result<row_change> {
        return row_change{
            .kind = row.present && !row.ghost ? change_kind::erase : change_kind::none
        };
    };
    auto guard = system_change{chosen.place.file->id(), pending_tree, credit, decide};
    if (auto gone = system.trees().change(pending, key.view(), guard); !gone)
        return finish(gone.error());
    (void)system.trees().remove_ghosts(
        pending, key.view(), ghost_judgement<Traits>{system, pending}, credit
    );
    {
        auto const held = holding{core.doomed_lock};
        for (std::size_t i = 0; i < core.doomed.size(); ++i)
            if (core.doomed[i].place.id == chosen.place.id &&
                core.doomed[i].place.file == chosen.place.file) {
                core.doomed.erase_at(i);
                break;
            }
    }
    return finish(true);
}

} // namespace jetpp::inline v1
