// jetpp/btree/detail/drop.hpp - taking a dropped tree apart, one record a step, children first.
//
// Follow the last child down to a page whose last child is a leaf (or was emptied before). One
// record frees as many of its last children as lie in one region and takes them out of the page;
// a page without children becomes an empty leaf and goes with its own parent's batch; the root goes
// last. Nothing is remembered between steps, so a crash costs nothing.
// Invariants
//   * a page is freed only if its map bit is set and its header names this tree: what a number
//     leads to may have been reused since
// Requires  nobody reads or changes the tree any more.
// Threads   one per tree.
#pragma once

#include <jetpp/btree/detail/structure_change.hpp>
#include <jetpp/btree/space.hpp>
#include <jetpp/core/array_list.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

namespace jetpp::inline v1::detail {

template <class Traits>
class tree_dropper {
public:
    static constexpr std::size_t page_size = Traits::page_size;
    using change = structure_change<Traits>;
    using env = typename Traits::env;
    using view = page_view<page_size>;
    using limits = page_limits<page_size>;
    using regions = space_regions<page_size>;
    using shared = shared_page<Traits>;
    using exclusive = exclusive_page<Traits>;
    using place = tree_place<Traits>;

    static constexpr std::uint32_t batch_max = std::min<std::uint32_t>(
        1000, (change::record_bytes_max - 256) / (8 + 8) // a dropped child and a map run each
    );

    tree_dropper(
        buffer_pool<Traits>& pool,
        log_writer<env>& log,
        page_space<Traits>& space,
        place const& tree,
        log_credit& credit
    ) noexcept
        : pool_{&pool}, space_{&space}, change_{pool, log, tree, credit, credit_use::owed} {}

    // Returns: true when nothing is left.
    template <class F>
    [[nodiscard]] result<bool> step(F&& on_leaf) noexcept {
        BOOST_OUTCOME_TRY(change_.prepare());
        BOOST_OUTCOME_TRY(copies_, aligned_buffer::create(2 * page_size));
        auto const root = change_.tree().root;
        BOOST_OUTCOME_TRY(auto const mine, look(root, upper_copy()));
        if (mine != found::mine) return true;
        BOOST_OUTCOME_TRY(auto const allocated, is_allocated(root));
        if (!allocated) return true;
        auto parent = root;
        for (auto depth = std::uint32_t{0}; depth < tree_levels_max; ++depth) {
            auto const here = view{upper_copy()};
            if (!here.is_inner() || !has_children(here)) break;
            auto const last = here.child(here.row_count());
            BOOST_OUTCOME_TRY(auto const what, look(last, lower_copy()));
            if (what != found::mine || !view{lower_copy()}.is_inner() ||
                view{lower_copy()}.level() >= here.level()) {
                BOOST_OUTCOME_TRY(collect(here, on_leaf));
                BOOST_OUTCOME_TRY(drop_batch(parent, here.page_lsn()));
                return false;
            }
            parent = last;
            std::memcpy(upper_copy(), lower_copy(), page_size);
        }
        if (parent != root) {
            // An inner page without children: left so by nothing we write.
            return change_.walk().broken(parent, damage::kind);
        }
        if (view{upper_copy()}.is_leaf()) {
            BOOST_OUTCOME_TRY(on_leaf(view{upper_copy()}));
        }
        BOOST_OUTCOME_TRY(drop_root());
        return true;
    }

private:
    enum class found : std::uint8_t { mine, foreign };
    struct victim {
        page_number page{};
        bool mine{};
    };

    [[nodiscard]] std::byte* upper_copy() noexcept { return copies_.data(); }
    [[nodiscard]] std::byte* lower_copy() noexcept { return copies_.data() + page_size; }
    [[nodiscard]] static bool has_children(view page) noexcept {
        return page.row_count() != 0 || page.upper_child() != page_number{0};
    }

    // A copy of a page, and whether it is one of this tree. An unreadable page is not.
    [[nodiscard]] result<found> look(page_number page, std::byte* into) noexcept {
        if (page < limits::first_page || page.value >= change_.file().page_count())
            return found::foreign;
        auto held = shared{};
        while (pool_->try_share(change_.file(), page, held) == fix::absent) {
            auto const loaded = change_.walk().load(page);
            if (loaded.has_value()) continue;
            if (loaded.error().code == errc::page_damaged) return found::foreign;
            return loaded.error();
        }
        page_memory::load_bytes(into, held.data(), page_size);
        auto const here = view{into};
        if (here.tree() != change_.tree().id || (!here.is_leaf() && !here.is_inner()))
            return found::foreign;
        return found::mine;
    }

    [[nodiscard]] result<bool> is_allocated(page_number page) noexcept {
        auto map = shared{};
        auto const number = regions::map_page_of(page);
        while (pool_->try_share(change_.file(), number, map) == fix::absent) {
            BOOST_OUTCOME_TRY(change_.walk().load(number));
        }
        return space_map_view<page_size>{map.data()}.test(regions::bit_of(page));
    }

    // The last children of a page, last first, that one record can free.
    template <class F>
    [[nodiscard]] result<void> collect(view parent, F&& on_leaf) noexcept {
        victims_.clear();
        auto any_region = false;
        region_ = 0;
        for (auto i = parent.row_count() + 1; i-- > 0 && victims_.size() < batch_max;) {
            auto const child = parent.child(i);
            if (child >= limits::first_page) {
                auto const region = regions::region_of(child);
                if (any_region && region != region_) break;
                any_region = true;
                region_ = region;
            }
            BOOST_OUTCOME_TRY(auto const what, look(child, lower_copy()));
            auto const page = view{lower_copy()};
            auto const mine = what == found::mine;
            if (mine && page.is_inner() && page.level() < parent.level()) break;
            if (mine && page.is_leaf()) {
                BOOST_OUTCOME_TRY(on_leaf(page));
            }
            if (!victims_.push_back({child, mine && page.is_leaf()}))
                return error{.code = errc::out_of_memory};
        }
        if (regions::map_of_region(region_).value >= change_.file().page_count()) region_ = 0;
        return ok();
    }

    [[nodiscard]] result<void> drop_batch(page_number number, lsn seen) noexcept {
        auto parent = exclusive{};
        auto map = exclusive{};
        BOOST_OUTCOME_TRY(latch(number, regions::map_of_region(region_), parent, map));
        auto const here = change::view_of(parent);
        if (here.page_lsn() != seen) return ok(); // somebody is at work: look again
        auto const count = here.row_count();
        auto const n = static_cast<std::uint32_t>(victims_.size());
        auto build = change_.builder();
        build.begin_part(change::part_of(parent));
        if (n == count + 1) {
            build.empty_inner();
        } else {
            if (!dropped_.resize(n)) return error{.code = errc::out_of_memory};
            for (auto i = std::uint32_t{0}; i < n; ++i) {
                auto const slot = count - (n - 1 - i);
                dropped_[i] = {
                    slot == count ? no_slot : static_cast<std::uint16_t>(slot),
                    victims_[n - 1 - i].page
                };
            }
            build.drop_children({dropped_.data(), dropped_.size()});
        }
        BOOST_OUTCOME_TRY(clear_bits(build, map));
        if (runs_.empty())
            change_.commit(structure_op::drop_batch, build, {&parent});
        else
            change_.commit(structure_op::drop_batch, build, {&parent, &map});
        forget_victims();
        return ok();
    }

    [[nodiscard]] result<void> drop_root() noexcept {
        auto root = exclusive{};
        auto map = exclusive{};
        auto const number = change_.tree().root;
        region_ = regions::region_of(number);
        BOOST_OUTCOME_TRY(latch(number, regions::map_page_of(number), root, map));
        victims_.clear();
        if (!victims_.push_back({number, true})) return error{.code = errc::out_of_memory};
        auto build = change_.builder();
        BOOST_OUTCOME_TRY(clear_bits(build, map));
        if (runs_.empty()) return ok(); // freed before
        change_.commit(structure_op::drop_batch, build, {&map});
        space_->freed(change_.file(), number);
        change_.discard(std::move(root));
        return ok();
    }

    [[nodiscard]] result<void> latch(
        page_number number, page_number map_number, exclusive& page, exclusive& map
    ) noexcept {
        for (;;) {
            auto absent = number;
            if (pool_->try_exclude(change_.file(), number, page) == fix::ok) {
                if (pool_->try_exclude(change_.file(), map_number, map) == fix::ok) return ok();
                absent = map_number;
                page.release();
            }
            BOOST_OUTCOME_TRY(change_.walk().load(absent));
        }
    }

    // The map part, if any page is to be freed: runs of the victims whose bits are set.
    [[nodiscard]] result<void> clear_bits(structure_builder& build, exclusive const& map) noexcept {
        auto const bits = space_map_view<page_size>{map.data()};
        runs_.clear();
        std::sort(victims_.begin(), victims_.end(), [](victim const& a, victim const& b) {
            return a.page < b.page;
        });
        for (auto& one : victims_) {
            auto const bit = regions::bit_of(one.page);
            one.mine = one.mine && bit != 0 && bits.test(bit);
            if (!one.mine) continue;
            if (!runs_.empty() && runs_.back().first + runs_.back().count == bit) {
                ++runs_.back().count;
            } else if (!runs_.push_back({bit, 1, false})) {
                return error{.code = errc::out_of_memory};
            }
        }
        if (runs_.empty()) return ok();
        build.begin_part(change::part_of(map)).map_bits({runs_.data(), runs_.size()});
        return ok();
    }

    // Frames of freed pages go while the map is still held: nobody has the numbers yet.
    void forget_victims() noexcept {
        for (auto const& one : victims_) {
            if (!one.mine) continue;
            space_->freed(change_.file(), one.page);
            auto page = exclusive{};
            if (pool_->try_exclude(change_.file(), one.page, page) == fix::ok)
                change_.discard(std::move(page));
        }
    }

    buffer_pool<Traits>* pool_;
    page_space<Traits>* space_;
    change change_;
    aligned_buffer copies_{};
    array_list<victim> victims_{};
    array_list<dropped_child> dropped_{};
    array_list<map_run> runs_{};
    std::uint32_t region_{};
};

} // namespace jetpp::inline v1::detail
