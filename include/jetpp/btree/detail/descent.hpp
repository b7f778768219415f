// jetpp/btree/detail/descent.hpp - from the root to a page, latch after latch.
//
// The parent is held shared while the child is taken, so the child a number names cannot be freed
// or reused under the descent. No step waits for anything but a latch. A page that is not in memory
// ends the attempt: its number is returned, everything is released, and the caller loads it and
// starts again from the root.
// Threads  one descent is one thread's; latches are taken top-down, left to right.
// Owns     nothing.
// Source   Bayer & Schkolnick, "Concurrency of operations on B-trees", 1977.
#pragma once

#include <jetpp/btree/tree_place.hpp>
#include <jetpp/buffer/buffer_pool.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/page_view.hpp>

#include <cstdint>
#include <utility>

namespace jetpp::inline v1::detail {

inline constexpr std::uint32_t tree_levels_max = 16;

// What an attempt came to: done, or the page that must be loaded first.
struct [[nodiscard]] attempt {
    page_number missing{no_page};
    [[nodiscard]] bool done() const noexcept { return missing == no_page; }
};

template <class Traits>
class descent {
public:
    static constexpr std::size_t page_size = Traits::page_size;
    using view = page_view<page_size>;
    using shared = shared_page<Traits>;
    using exclusive = exclusive_page<Traits>;
    using place = tree_place<Traits>;

    descent(buffer_pool<Traits>& pool, place const& tree) noexcept : pool_{&pool}, tree_{tree} {}

    [[nodiscard]] static view view_of(shared const& page) noexcept { return view{page.data()}; }
    // Const access: looking at a page does not count as changing it.
    [[nodiscard]] static view view_of(exclusive const& page) noexcept { return view{page.data()}; }

    // Repeats `once() -> result<attempt>` until every page it wants is in memory.
    template <class Once>
    [[nodiscard]] result<void> until_done(Once&& once) noexcept {
        for (;;) {
            BOOST_OUTCOME_TRY(auto const tried, once());
            if (tried.done()) return ok();
            BOOST_OUTCOME_TRY(load(tried.missing));
        }
    }
    [[nodiscard]] result<void> load(page_number page) noexcept {
        auto loaded = pool_->load(*tree_.file, page);
        if (loaded.has_error()) return loaded.error().with_database(tree_.file->id());
        return ok();
    }

    // The leaf at a position, shared.
    [[nodiscard]] result<void> share_leaf(leaf_position position, shared& leaf) noexcept {
        return until_done([&]() noexcept { return share_down(position, 0, leaf); });
    }

    // The leaf that covers `key`, exclusive.
    [[nodiscard]] result<void> exclude_leaf(const_bytes key, exclusive& leaf) noexcept {
        return until_done([&]() noexcept -> result<attempt> {
            BOOST_OUTCOME_TRY(auto const tried, exclude_at(key, 0, leaf));
            if (tried.done() && !view_of(leaf).covers(key)) return broken(leaf.number());
            return tried;
        });
    }

    // One attempt at the page of `level` on the way to `key`, exclusive. If the root is lower than
    // that level, or stands there, `page` is the root.
    [[nodiscard]] result<attempt> exclude_at(
        const_bytes key, std::uint32_t level, exclusive& page
    ) noexcept {
        auto const position = leaf_position::covering(key);
        for (;;) {
            auto above = shared{};
            BOOST_OUTCOME_TRY(auto const tried, share_down(position, level + 1, above));
            if (!tried.done()) return tried;
            auto const here = view_of(above);
            if (here.level() == level + 1) {
                return exclude_child(here, here.child_for(key), page);
            }
            // The root itself: let go, latch, look again; it may have grown meanwhile.
            above.release();
            BOOST_OUTCOME_TRY(auto const root, exclude_root(page));
            if (!root.done() || view_of(page).level() <= level) return root;
            page.release();
        }
    }

    // Requires: the parent that `here` views is held.
    [[nodiscard]] result<attempt> exclude_child(
        view here, page_number child, exclusive& page
    ) noexcept {
        if (!exists(child)) return broken(here.number());
        if (pool_->try_exclude(*tree_.file, child, page) == fix::absent) return attempt{child};
        if (auto const bad = check_child(here, child, view_of(page))) return *bad;
        return attempt{};
    }

    [[nodiscard]] result<attempt> exclude_root(exclusive& page) noexcept {
        if (!exists(tree_.root)) return dropped();
        if (pool_->try_exclude(*tree_.file, tree_.root, page) == fix::absent)
            return attempt{tree_.root};
        if (auto const bad = check_root(view_of(page))) return *bad;
        return attempt{};
    }

    // One attempt at the page of `level` on the way to `position`, shared; the root if it is lower.
    [[nodiscard]] result<attempt> share_down(
        leaf_position position, std::uint32_t level, shared& out
    ) noexcept {
        if (!exists(tree_.root)) return dropped();
        auto page = shared{};
        if (pool_->try_share(*tree_.file, tree_.root, page) == fix::absent)
            return attempt{tree_.root};
        if (auto const bad = check_root(view_of(page))) return *bad;
        while (view_of(page).level() > level) {
            auto const here = view_of(page);
            auto const child = here.child(choose(here, position));
            if (!exists(child)) return broken(here.number());
            auto next = shared{};
            if (pool_->try_share(*tree_.file, child, next) == fix::absent) return attempt{child};
            if (auto const bad = check_child(here, child, view_of(next))) return *bad;
            page = std::move(next);
        }
        out = std::move(page);
        return attempt{};
    }

    [[nodiscard]] error broken(page_number page, damage reason = damage::fences) const noexcept {
        return {
            .code = errc::structure_damaged,
            .database = tree_.file->id().value,
            .page = page,
            .file = file_kind::database,
            .reason = reason,
        };
    }
    [[nodiscard]] error dropped() const noexcept {
        return {.code = errc::tree_dropped, .database = tree_.file->id().value, .page = tree_.root};
    }

private:
    [[nodiscard]] static std::uint32_t choose(view here, leaf_position position) noexcept {
        switch (position.kind) {
        case leaf_position::where::covering: return here.child_index(position.key);
        case leaf_position::where::before: return here.child_index_before(position.key);
        case leaf_position::where::first: return 0;
        case leaf_position::where::last: break;
        }
        return here.row_count();
    }
    [[nodiscard]] bool exists(page_number page) const noexcept {
        return page >= page_limits<page_size>::first_page && page.value < tree_.file->page_count();
    }
    [[nodiscard]] std::optional<error> check_root(view root) const noexcept {
        if (root.tree() != tree_.id) return dropped();
        if (!root.is_root()) return dropped();
        if (root.is_leaf() != (root.level() == 0) || root.is_inner() == root.is_leaf() ||
            root.level() >= tree_levels_max)
            return broken(tree_.root, damage::kind);
        return std::nullopt;
    }
    [[nodiscard]] std::optional<error> check_child(view parent, page_number child, view page)
        const noexcept {
        if (page.tree() != tree_.id) return broken(child, damage::tree);
        if (page.level() + 1 != parent.level()) return broken(child, damage::kind);
        if (page.is_leaf() != (page.level() == 0) || page.is_inner() == page.is_leaf())
            return broken(child, damage::kind);
        return std::nullopt;
    }

    buffer_pool<Traits>* pool_;
    place tree_;
};

} // namespace jetpp::inline v1::detail
