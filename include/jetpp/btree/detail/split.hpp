// jetpp/btree/detail/split.hpp - making room: one page becomes two, or the root moves down.
//
//     parent [ .. P .. ]              parent [ .. P | s | N .. ]      the root R keeps its number:
//               |           ---->              |       |              R [ .. ]  ->  R [ L | s | N ]
//               P                              P       N
//
// P keeps its number and the lower keys, N is new. Each split is one record; a parent without room
// for the largest possible separator is split first, and everything starts again.
// Latches  parent, page, new page, space map; new pages are reachable by nobody yet.
// Threads  any number of splits at once.
#pragma once

#include <jetpp/btree/detail/split_plan.hpp>
#include <jetpp/btree/detail/structure_change.hpp>
#include <jetpp/btree/space.hpp>

#include <cstdint>
#include <utility>

namespace jetpp::inline v1::detail {

template <class Traits>
class tree_splitter {
public:
    static constexpr std::size_t page_size = Traits::page_size;
    using change = structure_change<Traits>;
    using env = typename Traits::env;
    using view = page_view<page_size>;
    using limits = page_limits<page_size>;
    using exclusive = exclusive_page<Traits>;
    using place = tree_place<Traits>;

    tree_splitter(
        buffer_pool<Traits>& pool,
        log_writer<env>& log,
        page_space<Traits>& space,
        place const& tree,
        log_credit& credit,
        credit_use use
    ) noexcept
        : pool_{&pool}, space_{&space}, change_{pool, log, tree, credit, use} {}

    // Splits what stands in the way of `key` until enough(view of its leaf) noexcept holds, at most
    // one leaf. The caller looks again: the room may be gone by then.
    // Requires: no latch held.
    template <class Enough>
    [[nodiscard]] result<void> make_room(const_bytes key, Enough&& enough) noexcept {
        auto level = std::uint32_t{0};
        for (;;) {
            BOOST_OUTCOME_TRY(auto const end, split_level(key, level, enough));
            if (end == outcome::parent_full) {
                if (++level >= tree_levels_max) return change_.walk().broken(change_.tree().root);
            } else {
                if (level == 0) return ok();
                --level;
            }
        }
    }

private:
    enum class outcome : std::uint8_t { split, enough, parent_full, missing, no_space };

    // One page of one level, however many attempts that takes.
    template <class Enough>
    [[nodiscard]] result<outcome> split_level(
        const_bytes key, std::uint32_t level, Enough&& enough
    ) noexcept {
        change_.give_frames_back(); // of the level below: a growth takes one of its own
        BOOST_OUTCOME_TRY(space_->admit(change_.file(), change_.credit(), change_.use()));
        auto regions = typename page_space<Traits>::walk{*space_, change_.file()};
        for (;;) {
            BOOST_OUTCOME_TRY(change_.prepare(2));
            auto const seen_pages = change_.file().page_count();
            missing_ = no_page;
            BOOST_OUTCOME_TRY(auto const end, attempt_split(key, level, enough, regions));
            switch (end) {
            case outcome::split:
            case outcome::enough:
            case outcome::parent_full: return end;
            case outcome::missing: {
                BOOST_OUTCOME_TRY(change_.walk().load(missing_));
                break;
            }
            case outcome::no_space: {
                change_.give_frames_back();
                auto const grown =
                    space_->grow(change_.file(), seen_pages, change_.credit(), change_.use());
                if (grown.has_value()) {
                    regions.restart();
                } else if (grown.error().code == errc::disk_full && !regions.is_thorough()) {
                    regions.restart_thoroughly();
                } else {
                    return grown.error();
                }
                break;
            }
            }
        }
    }

    template <class Enough>
    [[nodiscard]] result<outcome> attempt_split(
        const_bytes key,
        std::uint32_t level,
        Enough&& enough,
        typename page_space<Traits>::walk& regions
    ) noexcept {
        auto parent = exclusive{};
        auto page = exclusive{};
        BOOST_OUTCOME_TRY(auto const met, latch_pair(key, level, parent, page));
        if (!met.done()) return absent(met.missing);
        auto const here = change::view_of(page);
        if (here.level() < level) return outcome::enough; // the root has become lower
        if (level == 0) {
            if (!here.covers(key)) return change_.walk().broken(page.number());
            if (enough(here)) return outcome::enough;
        } else if (takes_separator(here)) {
            return outcome::enough;
        }
        if (parent && !takes_separator(change::view_of(parent))) return outcome::parent_full;

        split_planner<page_size>{here, key}.choose(plan_);
        auto const wanted = parent ? 1u : 2u;
        page_number fresh[2] = {no_page, no_page};
        auto map = exclusive{};
        regions.start(page.number());
        for (;;) {
            auto const region = regions.region();
            if (!region) return outcome::no_space;
            auto const number = space_regions<page_size>::map_of_region(*region);
            if (pool_->try_exclude(change_.file(), number, map) == fix::absent)
                return absent(number);
            if (space_->find(change_.file(), map, page.number(), wanted, fresh)) break;
            map.release();
            regions.advance();
        }
        if (parent)
            split(parent, page, map, fresh[0], key);
        else
            grow_root(page, map, fresh);
        space_->taken(change_.file(), wanted);
        return outcome::split;
    }

    // The page of `level` on the way to `key` and its parent; no parent if it is the root.
    [[nodiscard]] result<attempt> latch_pair(
        const_bytes key, std::uint32_t level, exclusive& parent, exclusive& page
    ) noexcept {
        BOOST_OUTCOME_TRY(auto const above, change_.walk().exclude_at(key, level + 1, parent));
        if (!above.done()) return above;
        auto const up = change::view_of(parent);
        if (up.level() <= level) {
            page = std::move(parent);
            return attempt{};
        }
        return change_.walk().exclude_child(up, up.child_for(key), page);
    }

    [[nodiscard]] static bool takes_separator(view inner) noexcept {
        return inner.fits(limits::key_bytes_max, 0);
    }

    void split(
        exclusive& parent, exclusive& page, exclusive& map, page_number number, const_bytes key
    ) noexcept {
        auto right = change_.create_page(number);
        auto const here = change::view_of(page);
        auto const up = change::view_of(parent);
        auto const at = up.child_index(key);
        auto const last = at == up.row_count();
        auto const slot = static_cast<std::uint16_t>(at);
        auto const separator = plan_.separator();
        ensure(
            separator.size() >= up.prefix().size(), "separators lie between the parent's fences"
        );

        auto build = change_.builder();
        build.begin_part(change::part_of(parent))
            .set_child(last ? no_slot : slot, number)
            .add_child(slot, page.number(), separator.subspan(up.prefix().size()));
        build.begin_part(change::part_of(page))
            .cut_right(
                static_cast<std::uint16_t>(plan_.first_right), separator, left_upper_child(here)
            );
        build.begin_part(change::format_of(right));
        format_right(build, here);
        auto const run = map_run{space_regions<page_size>::bit_of(number), 1, true};
        build.begin_part(change::part_of(map)).map_bits({&run, 1});
        change_.commit(structure_op::split, build, {&parent, &page, &right, &map});
    }

    void grow_root(exclusive& root, exclusive& map, page_number const (&fresh)[2]) noexcept {
        auto left = change_.create_page(fresh[0]);
        auto right = change_.create_page(fresh[1]);
        auto const here = change::view_of(root);
        auto const separator = plan_.separator();

        auto build = change_.builder();
        std::byte child[inner_header_bytes];
        store_le<std::uint32_t>(child, fresh[0].value);
        auto const row = moved_row{.suffix = separator, .value = child};
        build.begin_part(change::format_of(root))
            .format(
                {
                    .kind = static_cast<std::uint8_t>(page_kind::inner),
                    .level = static_cast<std::uint8_t>(here.level() + 1),
                    .page_flags = page_flag::root,
                    .tree = here.tree(),
                    .upper_child = fresh[1],
                },
                1,
                [&](std::uint16_t) noexcept { return row; }
            );
        build.begin_part(change::format_of(left));
        auto shape = shape_of(here);
        shape.upper_fence = separator;
        shape.upper_child = left_upper_child(here);
        build.format(
            shape, static_cast<std::uint16_t>(plan_.first_right), change::rows_of(here, 0, 0)
        );
        build.begin_part(change::format_of(right));
        format_right(build, here);
        using regions = space_regions<page_size>;
        map_run const runs[2] = {
            {regions::bit_of(fresh[0]), 1, true}, {regions::bit_of(fresh[1]), 1, true}
        };
        build.begin_part(change::part_of(map)).map_bits(runs);
        change_.commit(structure_op::root_grow, build, {&root, &left, &right, &map});
    }

    // An inner page gives the separator at the cut away; the child on its left becomes the last.
    [[nodiscard]] page_number left_upper_child(view here) const noexcept {
        return here.is_inner() ? here.child(plan_.first_right) : page_number{0};
    }
    [[nodiscard]] static format_action shape_of(view here) noexcept {
        return {
            .kind = static_cast<std::uint8_t>(here.kind()),
            .level = static_cast<std::uint8_t>(here.level()),
            .tree = here.tree(),
            .upper_child = here.is_inner() ? here.upper_child() : page_number{0},
            .lower_fence = here.lower_fence(),
            .upper_fence = here.upper_fence(),
        };
    }
    void format_right(structure_builder& build, view here) noexcept {
        auto shape = shape_of(here);
        shape.lower_fence = plan_.separator();
        auto const first = plan_.first_right + (here.is_inner() ? 1 : 0);
        auto const prefix = prefix_of(shape.lower_fence, shape.upper_fence);
        build.format(
            shape,
            static_cast<std::uint16_t>(here.row_count() - first),
            change::rows_of(here, first, prefix)
        );
    }

    [[nodiscard]] outcome absent(page_number page) noexcept {
        missing_ = page;
        return outcome::missing;
    }

    buffer_pool<Traits>* pool_;
    page_space<Traits>* space_;
    change change_;
    split_plan<page_size> plan_{};
    page_number missing_{no_page};
};

} // namespace jetpp::inline v1::detail
