// jetpp/btree/check.hpp - is a tree sound, and does the space map know exactly its pages?
//
//     auto reached = page_set{};                            // one for all trees of a file
//     check_tree(pool, tree, reached, report)               for each tree
//     check_space(pool, file, reached, report)              then: reached + free == all
//
// A report is called with every finding, page number first; the walk goes on where it can. An error
// is returned only where nothing can be said (I/O, memory).
// Invariants proven for a tree
//   * every page verifies by itself (order, prefix, cells, counts)
//   * the fences of a child are the separators around it, so neighbours' fences are equal
//   * levels fall by one to leaves at 0; every page bears the tree's id; none is met twice
// Requires  nobody changes what is checked.
// Threads   reads through the pool, one page latched at a time, and only to copy it.
// Owns      one page copy a level: no recursion, depth is bounded.
#pragma once

#include <jetpp/btree/detail/descent.hpp>
#include <jetpp/btree/tree_place.hpp>
#include <jetpp/buffer/buffer_pool.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/page_check.hpp>
#include <jetpp/page/space_map.hpp>

#include <cstdint>

namespace jetpp::inline v1 {

struct tree_finding {
    page_number page{no_page};
    damage reason{};
    page_number other{no_page}; // the parent that names the page, where one does
    tree_id tree{};
};

struct tree_shape {
    std::uint32_t levels{};
    std::uint64_t inner_pages{};
    std::uint64_t leaf_pages{};
    std::uint64_t rows{}; // without ghosts
    std::uint64_t ghosts{};
    std::uint64_t bytes_used{};
};

// A bit for each page of a file.
class page_set {
public:
    // Errors: out_of_memory.
    [[nodiscard]] result<void> cover(std::uint32_t pages) noexcept {
        if (!words_.resize((std::size_t{pages} + 63) / 64))
            return error{.code = errc::out_of_memory};
        return ok();
    }
    // Returns: false if it was there, or lies outside.
    [[nodiscard]] bool add(page_number page) noexcept {
        auto const i = std::size_t{page.value / 64};
        auto const bit = std::uint64_t{1} << (page.value % 64);
        if (i >= words_.size() || (words_[i] & bit) != 0) return false;
        words_[i] |= bit;
        return true;
    }
    [[nodiscard]] bool has(page_number page) const noexcept {
        auto const i = std::size_t{page.value / 64};
        return i < words_.size() && (words_[i] >> (page.value % 64) & 1) != 0;
    }

private:
    array_list<std::uint64_t> words_{};
};

namespace detail {

// Copies a page out of the pool. Returns: none, or why it cannot be read.
template <class Traits>
[[nodiscard]] result<damage> copy_page(
    buffer_pool<Traits>& pool, paged_file<Traits>& file, page_number page, std::byte* into
) noexcept {
    auto held = shared_page<Traits>{};
    while (pool.try_share(file, page, held) == fix::absent) {
        auto const loaded = pool.load(file, page);
        if (loaded.has_value()) continue;
        if (loaded.error().code != errc::page_damaged)
            return loaded.error().with_database(file.id()).with_page(page);
        return loaded.error().reason == damage::none ? damage::layout : loaded.error().reason;
    }
    page_memory::load_bytes(into, held.data(), Traits::page_size);
    return damage::none;
}

template <class Traits, class Report>
class tree_checker {
public:
    static constexpr std::size_t page_size = Traits::page_size;
    using limits = page_limits<page_size>;
    using view = page_view<page_size>;

    tree_checker(
        buffer_pool<Traits>& pool, tree_place<Traits> const& tree, page_set& reached, Report& report
    ) noexcept
        : pool_{&pool}, tree_{tree}, reached_{&reached}, report_{&report} {}

    [[nodiscard]] result<tree_shape> run() noexcept {
        BOOST_OUTCOME_TRY(auto const entered, enter(tree_.root, no_page, {}, {}));
        if (!entered) return shape_;
        shape_.levels = view_at(0).level() + 1;
        while (depth_ != 0) {
            auto& here = levels_[depth_ - 1];
            auto const page = view_at(depth_ - 1);
            if (page.is_leaf() || here.next_child > page.row_count()) {
                --depth_;
                continue;
            }
            auto const i = here.next_child++;
            auto const lower =
                i == 0 ? page.lower_fence() : fence{page.copy_separator(i - 1, lower_.all())};
            auto const upper = i == page.row_count() ? page.upper_fence()
                                                     : fence{page.copy_separator(i, upper_.all())};
            BOOST_OUTCOME_TRY(enter(page.child(i), page.number(), lower, upper));
        }
        return shape_;
    }

private:
    struct level {
        aligned_buffer copy{};
        std::uint32_t next_child{};
    };

    [[nodiscard]] view view_at(std::uint32_t depth) const noexcept {
        return view{levels_[depth].copy.data()};
    }

    // Returns: whether the page is sound enough to look below it.
    [[nodiscard]] result<bool> enter(
        page_number number, page_number parent, fence const& lower, fence const& upper
    ) noexcept {
        auto const find = [&](damage reason) {
            (*report_)(tree_finding{number, reason, parent, tree_.id});
            return false;
        };
        if (depth_ == tree_levels_max) return find(damage::kind);
        if (number < limits::first_page || number.value >= tree_.file->page_count())
            return find(damage::layout);
        if (!reached_->add(number)) return find(damage::space_map);
        auto& here = levels_[depth_];
        if (here.copy.size() == 0) {
            BOOST_OUTCOME_TRY(here.copy, aligned_buffer::create(page_size));
        }
        BOOST_OUTCOME_TRY(
            auto const unreadable, copy_page(*pool_, *tree_.file, number, here.copy.data())
        );
        if (unreadable != damage::none) return find(unreadable);
        auto const page = view_at(depth_);
        if (page.number() != number) return find(damage::number);
        if (page.tree() != tree_.id) return find(damage::tree);
        if (page.is_root() != (depth_ == 0)) return find(damage::kind);
        if (!page.is_leaf() && !page.is_inner()) return find(damage::kind);
        if (depth_ != 0 && page.level() + 1 != view_at(depth_ - 1).level())
            return find(damage::kind);
        if (auto const wrong = check_page(page); wrong != damage::none) return find(wrong);
        if (!same(page.lower_fence(), lower) || !same(page.upper_fence(), upper))
            return find(damage::fences);
        count(page);
        here.next_child = 0;
        ++depth_;
        return true;
    }

    [[nodiscard]] static bool same(fence const& a, fence const& b) noexcept {
        if (a.has_value() != b.has_value()) return false;
        return !a || compare_bytes(*a, *b) == 0;
    }

    void count(view page) noexcept {
        shape_.bytes_used += page.bytes_used();
        if (page.is_inner()) {
            ++shape_.inner_pages;
            return;
        }
        ++shape_.leaf_pages;
        shape_.ghosts += page.ghost_count();
        shape_.rows += page.row_count() - page.ghost_count();
    }

    buffer_pool<Traits>* pool_;
    tree_place<Traits> tree_;
    page_set* reached_;
    Report* report_;
    level levels_[tree_levels_max]{};
    std::uint32_t depth_ = 0;
    tree_shape shape_{};
    key_buffer<page_size> lower_{};
    key_buffer<page_size> upper_{};
};

} // namespace detail

// Walks a whole tree; report(tree_finding const&) hears what is wrong. `reached` must cover the
// file and collects the pages met: one that two trees name is found.
// Returns: what was counted, as far as the walk came.
// Errors: io, out_of_memory, log_failed.  Complexity: every page once.
template <class Traits, class Report>
[[nodiscard]] result<tree_shape> check_tree(
    buffer_pool<Traits>& pool, tree_place<Traits> const& tree, page_set& reached, Report&& report
) noexcept {
    return detail::tree_checker<Traits, std::remove_reference_t<Report>>{
        pool, tree, reached, report
    }
        .run();
}

// Compares all maps with `reached`, to which every page of every tree and blob was added: each
// page of the file is either reached or free, and nothing beyond the file is allocated.
// Returns: free pages.
template <class Traits, class Report>
[[nodiscard]] result<std::uint64_t> check_space(
    buffer_pool<Traits>& pool, paged_file<Traits>& file, page_set const& reached, Report&& report
) noexcept {
    constexpr auto page_size = Traits::page_size;
    using regions = space_regions<page_size>;
    BOOST_OUTCOME_TRY(auto copy, aligned_buffer::create(page_size));
    auto free = std::uint64_t{0};
    auto const pages = file.page_count();
    for (auto r = std::uint32_t{0}; r < regions::region_count(pages); ++r) {
        auto const map = regions::map_of_region(r);
        BOOST_OUTCOME_TRY(auto wrong, detail::copy_page(pool, file, map, copy.data()));
        auto const page = page_view<page_size>{copy.data()};
        if (wrong == damage::none && page.number() != map) wrong = damage::number;
        if (wrong == damage::none && page.kind() != page_kind::space_map) wrong = damage::kind;
        if (wrong == damage::none) wrong = check_page(page);
        if (wrong != damage::none) {
            report(tree_finding{.page = map, .reason = wrong});
            continue;
        }
        auto const bits = space_map_view<page_size>{copy.data()};
        auto const end = regions::bits_in_file(map, pages);
        if (!bits.clear_from(end)) report(tree_finding{.page = map, .reason = damage::space_map});
        for (auto bit = std::uint32_t{0}; bit < end; ++bit) {
            auto const one = regions::page_of(map, bit);
            auto const used = bit == 0 || reached.has(one);
            if (used != bits.test(bit))
                report(tree_finding{.page = one, .reason = damage::space_map, .other = map});
        }
        free += bits.count_free(end);
    }
    return free;
}

} // namespace jetpp::inline v1
