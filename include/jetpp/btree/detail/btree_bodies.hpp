// jetpp/btree/detail/btree_bodies.hpp - the bodies of btree.
#pragma once

#include <jetpp/btree/btree.hpp>
#include <jetpp/btree/detail/changed_ranges.hpp>
#include <jetpp/btree/detail/drop.hpp>
#include <jetpp/btree/detail/make_tree.hpp>
#include <jetpp/btree/detail/merge.hpp>
#include <jetpp/btree/detail/split.hpp>

#include <algorithm>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
template <class F>
result<bool> btree<Traits>::read(place const& tree, const_bytes key, F&& on_row) noexcept {
    auto leaf = shared_page<Traits>{};
    auto walk = descent{*pool_, tree};
    BOOST_OUTCOME_TRY(walk.share_leaf(leaf_position::covering(key), leaf));
    auto const here = view{leaf.data()};
    if (!here.covers(key)) return walk.broken(leaf.number());
    auto const found = here.search(key);
    on_row(here, static_cast<std::uint16_t>(found.slot), found.found);
    return found.found;
}

template <class Traits>
template <class F>
result<void> btree<Traits>::read_leaf(
    place const& tree, leaf_position position, F&& on_leaf
) noexcept {
    auto leaf = shared_page<Traits>{};
    BOOST_OUTCOME_TRY((descent{*pool_, tree}.share_leaf(position, leaf)));
    on_leaf(view{leaf.data()});
    return ok();
}

template <class Traits>
leaf_row btree<Traits>::row_at(view leaf, search_result found) noexcept {
    auto row = leaf_row{.present = found.found, .page_lsn = leaf.page_lsn()};
    if (!found.found) return row;
    auto const flags = leaf.row_flags_of(found.slot);
    row.ghost = has(flags, row_flags::ghost);
    row.versioned = has(flags, row_flags::versioned);
    row.indirect = has(flags, row_flags::indirect);
    row.value = leaf.value(found.slot);
    return row;
}

template <class Traits>
bool btree<Traits>::fits(
    view leaf, search_result found, const_bytes key, row_change const& wanted
) noexcept {
    if (wanted.kind == change_kind::erase) return true; // its value stays where it is
    return found.found ? leaf.fits_replace(found.slot, wanted.value.size())
                       : leaf.fits_row(key, wanted.value.size());
}

template <class Traits>
template <change_guard G>
result<void> btree<Traits>::change(place const& tree, const_bytes key, G& guard) noexcept {
    if (key.size() > limits::key_bytes_max)
        return error{.code = errc::key_too_large, .database = tree.file->id().value};
    auto const use = has(guard.header().flags, record_flags::compensation) ? credit_use::owed
                                                                           : credit_use::ordinary;
    auto walk = descent{*pool_, tree};
    auto may_shed = ghost_judge<G>;
    for (;;) {
        auto leaf = exclusive{};
        BOOST_OUTCOME_TRY(walk.exclude_leaf(key, leaf));
        auto const here = descent::view_of(leaf);
        auto const found = here.search(key);
        BOOST_OUTCOME_TRY(auto const wanted, guard.decide(row_at(here, found)));
        if (wanted.kind == change_kind::none) return ok();
        if (wanted.value.size() > limits::inline_value_bytes_max)
            return error{.code = errc::value_too_large, .database = tree.file->id().value};
        if (fits(here, found, key, wanted)) {
            auto missing = std::uint32_t{0};
            if (write(leaf, found, key, wanted, guard, missing)) return ok();
            leaf.release();
            BOOST_OUTCOME_TRY(detail::require_credit(*log_, guard.credit(), missing, use));
            continue;
        }
        auto const has_ghosts = here.ghost_count() != 0;
        leaf.release();
        if constexpr (ghost_judge<G>) {
            if (may_shed && has_ghosts) {
                may_shed = false;
                auto const spares_own = [&](const_bytes one, bool versioned, lsn at) noexcept {
                    return compare_bytes(one, key) != 0 && guard.removable(one, versioned, at);
                };
                BOOST_OUTCOME_TRY(sweep(tree, key, spares_own, guard.credit()));
                continue;
            }
        }
        auto splitter =
            detail::tree_splitter<Traits>{*pool_, *log_, space_, tree, guard.credit(), use};
        BOOST_OUTCOME_TRY(splitter.make_room(key, [&](view now) noexcept {
            return fits(now, now.search(key), key, wanted);
        }));
    }
}

template <class Traits>
template <class G>
bool btree<Traits>::write(
    exclusive& leaf,
    search_result found,
    const_bytes key,
    row_change const& wanted,
    G& guard,
    std::uint32_t& missing
) noexcept {
    auto const here = descent::view_of(leaf);
    auto const row = row_at(here, found);
    auto part = page_part{
        .page = leaf.number(),
        .slot = static_cast<std::uint16_t>(found.slot),
        .prev_page_lsn = row.page_lsn,
        .undo_lsn = guard.undo_lsn(),
    };
    auto const keeps_value = wanted.kind == change_kind::erase;
    if (row.indirect) part.flags = part.flags | part_flags::old_indirect;
    if (keeps_value ? row.indirect : wanted.indirect)
        part.flags = part.flags | part_flags::new_indirect;

    auto const log_and_apply = [&](auto&& body, auto&& apply) noexcept {
        auto const needed = static_cast<std::uint32_t>(body.size());
        if (guard.credit().left < needed) {
            missing = 2 * needed;
            return false;
        }
        auto const header = guard.header();
        auto const at = detail::append_marked<Traits>(
            *log_,
            guard.credit(),
            header,
            body,
            {&leaf},
            [&](lsn tail) noexcept { guard.before_reserve(tail); }
        );
        guard.logged(at);
        auto to = detail::row_applier<page_size>{
            leaf.data(), part, {at, log_->timeline_low()}, header.flags
        };
        auto const applied = apply(to);
        ensure(applied.has_value(), "a row change applies to the page it was made for");
        return true;
    };
    auto const is_row = row.present && !row.ghost;
    switch (wanted.kind) {
    case change_kind::none: break;
    case change_kind::insert:
        ensure(!row.present, "only an absent row is inserted");
        return log_and_apply(record::insert{part, key, wanted.value}, [&](auto& to) noexcept {
            return to.insert(key, wanted.value);
        });
    case change_kind::replace: {
        ensure(is_row, "only a row is replaced");
        auto const ranges = detail::changed_ranges{row.value, wanted.value};
        return log_and_apply(
            record::update_draft{
                part,
                key,
                static_cast<std::uint32_t>(row.value.size()),
                static_cast<std::uint32_t>(wanted.value.size()),
                ranges.all()
            },
            [&](auto& to) noexcept { return to.replace(key, wanted.value); }
        );
    }
    case change_kind::erase:
    case change_kind::erase_to: {
        ensure(is_row, "only a row is erased");
        auto const left = keeps_value ? row.value : wanted.value;
        return log_and_apply(record::ghost{part, key, left}, [&](auto& to) noexcept {
            return to.ghost(key, left);
        });
    }
    case change_kind::revive:
        ensure(row.present && row.ghost, "only a ghost is revived");
        return log_and_apply(
            record::revive{part, key, row.value, wanted.value},
            [&](auto& to) noexcept { return to.revive(key, wanted.value); }
        );
    }
    return true;
}

template <class Traits>
template <class Removable>
result<typename btree<Traits>::swept> btree<Traits>::sweep(
    place const& tree, const_bytes key, Removable& removable, log_credit& credit
) noexcept {
    {
        auto leaf = shared_page<Traits>{};
        BOOST_OUTCOME_TRY((descent{*pool_, tree}.share_leaf(leaf_position::covering(key), leaf)));
        if (view{leaf.data()}.ghost_count() == 0) return swept{};
    }
    // With long common prefixes the whole keys of a page are longer than a page.
    constexpr auto key_bytes_max = std::uint32_t{page_size} + limits::key_bytes_max;
    constexpr auto credit_bytes =
        static_cast<std::uint32_t>(padded(52 + 4 * limits::rows_max + key_bytes_max));
    static_assert(credit_bytes <= record_size_max(page_size), "a sweep is one record");
    BOOST_OUTCOME_TRY(detail::require_credit(*log_, credit, credit_bytes, credit_use::ordinary));
    auto ghosts = array_list<removed_ghost>{};
    if (!ghosts.reserve(limits::rows_max)) return error{.code = errc::out_of_memory};
    BOOST_OUTCOME_TRY(auto keys, aligned_buffer::create(key_bytes_max));

    auto leaf = exclusive{};
    BOOST_OUTCOME_TRY((descent{*pool_, tree}.exclude_leaf(key, leaf)));
    auto const here = descent::view_of(leaf);
    auto used = std::size_t{0};
    auto done = swept{};
    for (auto slot = std::uint32_t{0}; slot < here.row_count() && !done.more; ++slot) {
        if (!here.is_ghost(slot)) continue;
        auto const whole = here.copy_key(slot, keys.part(used, keys.size() - used));
        if (!removable(whole, here.is_versioned(slot), here.page_lsn())) continue;
        auto const listed =
            ghosts.push_back({.slot = static_cast<std::uint16_t>(slot), .key = whole});
        ensure(listed, "a list with room for every row takes another");
        used += whole.size();
        done.more = keys.size() - used < limits::key_bytes_max;
    }
    if (ghosts.empty()) return done;
    auto body = record::ghost_remove_draft{
        .part = {.page = leaf.number(), .prev_page_lsn = here.page_lsn()},
        .ghosts = {ghosts.data(), ghosts.size()},
    };
    auto const header =
        record_header{.flags = record_flags::system, .database = tree.file->id(), .tree = tree.id};
    auto const at =
        detail::append_marked<Traits>(*log_, credit, header, body, {&leaf}, [](lsn) noexcept {});
    auto to = detail::row_applier<page_size>{
        leaf.data(), body.part, {at, log_->timeline_low()}, header.flags
    };
    auto const applied = to.remove_ghosts([&](auto&& f) {
        for (auto const& one : ghosts) f(one);
    });
    ensure(applied.has_value(), "ghosts are removed from the page they were found on");
    done.removed = static_cast<std::uint32_t>(ghosts.size());
    done.thin = !here.is_root() && detail::tree_merger<Traits>::is_thin(here);
    return done;
}

template <class Traits>
template <class Removable>
result<ghost_sweep> btree<Traits>::remove_ghosts(
    place const& tree, const_bytes key, Removable&& removable, log_credit& credit
) noexcept {
    auto done = ghost_sweep{};
    auto once = swept{.more = true};
    while (once.more) {
        BOOST_OUTCOME_TRY(once, sweep(tree, key, removable, credit));
        done.removed += once.removed;
    }
    if (!once.thin) return done;
    BOOST_OUTCOME_TRY(auto const merges, merge(tree, key, credit));
    done.merged = merges != 0;
    return done;
}

template <class Traits>
result<std::uint32_t> btree<Traits>::merge(
    place const& tree, const_bytes key, log_credit& credit
) noexcept {
    return detail::tree_merger<Traits>{*pool_, *log_, space_, tree, credit}.tidy(key);
}

template <class Traits>
template <change_guard G>
result<tree_place<Traits>> btree<Traits>::create_tree(
    paged_file<Traits>& file, tree_id id, const_bytes name, G& guard
) noexcept {
    return detail::tree_maker<Traits>{*pool_, *log_, space_, file, id}.make(name, guard);
}

template <class Traits>
template <class F>
result<bool> btree<Traits>::free_tree_step(
    place const& tree, log_credit& credit, F&& on_leaf
) noexcept {
    return detail::tree_dropper<Traits>{*pool_, *log_, space_, tree, credit}.step(on_leaf);
}

} // namespace jetpp::inline v1
