// jetpp/btree/btree.hpp - ordered byte strings on pages: search, change, split, merge, free.
//
// One object serves all trees of all attached databases; it has no state but hints. A tree is named
// by its tree_place.
//
// Latching: a descent holds the parent shared while it takes the child, so what a child number
// names cannot be freed under it. A row change holds its leaf exclusively, nothing else. A
// structure change holds parent, page, right page and, last, a space-map page: top-down.
// Invariants
//   * nothing waits for I/O, for log space or for a frame while it holds a latch: what is missing
//     is fetched with no latch held, and the operation starts again from the root
//   * every change is one log record; all its pages are marked dirty before it is reserved
//   * one function, apply(), changes pages, at run time as in redo
//   * structure changes belong to nobody and are never undone
// Threads  any.
// Owns     nothing: pool and log must outlive it.
// Source   Graefe, "Modern B-Tree Techniques" (fences, separators, ghosts); Bayer and Schkolnick
//          1977 (coupling); ARIES/IM (Mohan, Levine 1992) for structure changes as system actions.
#pragma once

#include <jetpp/btree/change.hpp>
#include <jetpp/btree/detail/descent.hpp>
#include <jetpp/btree/space.hpp>
#include <jetpp/btree/tree_place.hpp>
#include <jetpp/buffer/buffer_pool.hpp>
#include <jetpp/log/log_writer.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_view.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

// What remove_ghosts() did on one leaf.
struct ghost_sweep {
    std::uint32_t removed{};
    bool merged{}; // the leaf has taken in its right neighbour
};

template <class Traits>
class btree {
public:
    using env = typename Traits::env;
    static constexpr std::size_t page_size = Traits::page_size;
    using view = page_view<page_size>;
    using limits = page_limits<page_size>;
    using place = tree_place<Traits>;

    btree(env environment, buffer_pool<Traits>& pool, log_writer<env>& log) noexcept
        : pool_{&pool}, log_{&log}, space_{environment, pool, log} {}
    btree(btree const&) = delete;
    btree& operator=(btree const&) = delete;

    // Calls on_row(view const& leaf, std::uint16_t slot, bool found) noexcept under the shared
    // latch of the leaf that covers `key`; `slot` is the first at or above it. on_row copies out
    // what it wants and neither blocks nor calls user code.
    // Returns: found (a ghost is found too).
    // Errors: tree_dropped, page_damaged, structure_damaged, io, out_of_memory, resource.
    template <class F>
    [[nodiscard]] result<bool> read(place const& tree, const_bytes key, F&& on_row) noexcept;

    // Calls on_leaf(view const& leaf) noexcept under its shared latch. Scans copy the page there.
    // `before` with no smaller key in the tree: the first leaf.
    template <class F>
    [[nodiscard]] result<void> read_leaf(
        place const& tree, leaf_position position, F&& on_leaf
    ) noexcept;

    // One row, one record; see change.hpp for the order of the guard's calls.
    // Requires: no latch held; key and value within page_limits. The guard's credit may hold less
    //     than is needed: it is then given back and acquired anew, without a latch.
    // Errors: what decide() returned; key_too_large, value_too_large; disk_full, log_failed; those
    //     of read(). After an error nothing was logged for the row.
    template <change_guard G>
    [[nodiscard]] result<void> change(place const& tree, const_bytes key, G& guard) noexcept;

    // A new tree: one root page, an empty leaf, logged as tree_create under the guard's header
    // (before_reserve and logged are called, decide is not).
    // Returns: its place.
    template <change_guard G>
    [[nodiscard]] result<place> create_tree(
        paged_file<Traits>& file, tree_id id, const_bytes name, G& guard
    ) noexcept;

    // Removes those ghosts of the leaf covering `key` for which
    // removable(const_bytes key, bool versioned, lsn page_lsn) noexcept -> bool, called under the
    // exclusive latch, says yes: one record. Then merges the leaf with its right neighbour if it is
    // thin, and lowers the root if it has one child.
    template <class Removable>
    [[nodiscard]] result<ghost_sweep> remove_ghosts(
        place const& tree, const_bytes key, Removable&& removable, log_credit& credit
    ) noexcept;

    // Merges thin pages on the way to `key`, from the leaf upwards, and lowers a root with one
    // child. Returns: how many records that took.
    [[nodiscard]] result<std::uint32_t> merge(
        place const& tree, const_bytes key, log_credit& credit
    ) noexcept;

    // Frees pages of a tree that nobody can reach any more: one record, at most 1000 pages.
    // Returns: true once nothing is left (also if it had been finished before).
    // on_leaf(view const&) noexcept -> result<void> sees each leaf before it is freed, without a
    // latch (a copy): a tree that may hold large values frees them there.
    template <class F>
    [[nodiscard]] result<bool> free_tree_step(
        place const& tree, log_credit& credit, F&& on_leaf
    ) noexcept;
    [[nodiscard]] result<bool> free_tree_step(place const& tree, log_credit& credit) noexcept {
        return free_tree_step(tree, credit, [](view const&) noexcept -> result<void> {
            return ok();
        });
    }

    // Log bytes that one change of such a row takes, with its compensation. Splits are not in it:
    // change() asks for them when one is due, and for more where the old value is longer.
    [[nodiscard]] static constexpr std::uint32_t credit_bound(
        place const&, std::size_t key_bytes, std::size_t value_bytes
    ) noexcept {
        return static_cast<std::uint32_t>(
            2 * record::update_draft::size_for(key_bytes, value_bytes, value_bytes)
        );
    }

    [[nodiscard]] page_space<Traits>& space() noexcept { return space_; }

private:
    using descent = detail::descent<Traits>;
    using exclusive = exclusive_page<Traits>;

    [[nodiscard]] static leaf_row row_at(view leaf, search_result found) noexcept;
    [[nodiscard]] static bool fits(
        view leaf, search_result found, const_bytes key, row_change const& wanted
    ) noexcept;
    // Logs and applies one change to its latched leaf. Returns: false, and nothing happened, if the
    // guard's credit is too small; `missing` is then what it should hold.
    template <class G>
    [[nodiscard]] bool write(
        exclusive& leaf,
        search_result found,
        const_bytes key,
        row_change const& wanted,
        G& guard,
        std::uint32_t& missing
    ) noexcept;
    struct swept {
        std::uint32_t removed{};
        bool more{}; // one record was not enough
        bool thin{}; // the leaf should be merged
    };
    // One record of the leaf that covers `key`.
    template <class Removable>
    [[nodiscard]] result<swept> sweep(
        place const& tree, const_bytes key, Removable& removable, log_credit& credit
    ) noexcept;

    buffer_pool<Traits>* pool_;
    log_writer<env>* log_;
    page_space<Traits> space_;
};

} // namespace jetpp::inline v1

#include <jetpp/btree/detail/btree_bodies.hpp>
