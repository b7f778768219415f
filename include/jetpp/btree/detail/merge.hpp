// jetpp/btree/detail/merge.hpp - giving room back: two pages become one, a lone child moves up.
//
//     parent [ .. L | s | R .. ]   ---->   parent [ .. L .. ]      root [ C ]  ---->  root = C
//                 |       |                            |                  |
//                 L       R                          L + R                C
//
// R is freed in the same record. Only garbage collection merges, never a user's erase: a page that
// is emptied is often filled again. A page is thin below a quarter, and neighbours merge only if
// the result is at most three quarters full, so that it does not split at once.
// Latches  parent, left, right, space map.
// Threads  any number at once.
#pragma once

#include <jetpp/btree/detail/structure_change.hpp>
#include <jetpp/btree/space.hpp>

#include <cstdint>
#include <utility>

namespace jetpp::inline v1::detail {

template <class Traits>
class tree_merger {
public:
    static constexpr std::size_t page_size = Traits::page_size;
    using change = structure_change<Traits>;
    using env = typename Traits::env;
    using view = page_view<page_size>;
    using limits = page_limits<page_size>;
    using regions = space_regions<page_size>;
    using exclusive = exclusive_page<Traits>;
    using place = tree_place<Traits>;

    tree_merger(
        buffer_pool<Traits>& pool,
        log_writer<env>& log,
        page_space<Traits>& space,
        place const& tree,
        log_credit& credit
    ) noexcept
        : pool_{&pool}, space_{&space}, change_{pool, log, tree, credit, credit_use::ordinary} {}

    // Merges on the way to `key`, from the leaf upwards, while something is thin; then lowers the
    // root. Returns: how many records that took.
    // Requires: no latch held.
    [[nodiscard]] result<std::uint32_t> tidy(const_bytes key) noexcept {
        auto done = std::uint32_t{0};
        for (auto level = std::uint32_t{0}; level < tree_levels_max; ++level) {
            BOOST_OUTCOME_TRY(auto const merged, run([&]() noexcept {
                                  return attempt_merge(key, level);
                              }));
            if (!merged) break;
            ++done;
        }
        for (;;) {
            BOOST_OUTCOME_TRY(auto const lowered, run([&]() noexcept { return attempt_lower(); }));
            if (!lowered) return done;
            ++done;
        }
    }

    [[nodiscard]] static bool is_thin(view page) noexcept {
        return page.bytes_used() < limits::content_bytes / 4;
    }

private:
    enum class outcome : std::uint8_t { changed, nothing, missing };

    template <class Attempt>
    [[nodiscard]] result<bool> run(Attempt&& once) noexcept {
        for (;;) {
            BOOST_OUTCOME_TRY(change_.prepare());
            BOOST_OUTCOME_TRY(auto const end, once());
            if (end != outcome::missing) return end == outcome::changed;
            BOOST_OUTCOME_TRY(change_.walk().load(missing_));
        }
    }

    [[nodiscard]] result<outcome> attempt_merge(const_bytes key, std::uint32_t level) noexcept {
        auto parent = exclusive{};
        BOOST_OUTCOME_TRY(auto const above, change_.walk().exclude_at(key, level + 1, parent));
        if (!above.done()) return absent(above.missing);
        auto const up = change::view_of(parent);
        if (up.level() <= level || up.row_count() == 0) return outcome::nothing;
        auto const mine = up.child_index(key);
        auto const at = mine == up.row_count() ? mine - 1 : mine;

        auto left = exclusive{};
        auto right = exclusive{};
        BOOST_OUTCOME_TRY(auto const first, change_.walk().exclude_child(up, up.child(at), left));
        if (!first.done()) return absent(first.missing);
        BOOST_OUTCOME_TRY(
            auto const second, change_.walk().exclude_child(up, up.child(at + 1), right)
        );
        if (!second.done()) return absent(second.missing);
        if (!worth_it(change::view_of(left), change::view_of(right))) return outcome::nothing;

        auto map = exclusive{};
        auto const number = regions::map_page_of(right.number());
        if (pool_->try_exclude(change_.file(), number, map) == fix::absent) return absent(number);
        merge(parent, left, right, map, at);
        return outcome::changed;
    }

    [[nodiscard]] static bool worth_it(view left, view right) noexcept {
        if (!is_thin(left) && !is_thin(right)) return false;
        return merged_bytes(left, right) <= limits::content_bytes / 4 * 3;
    }

    // The cell of the left page goes; the one of the right page, with the separator behind it, is
    // then the left page's.
    void merge(
        exclusive& parent, exclusive& left, exclusive& right, exclusive& map, std::uint32_t at
    ) noexcept {
        auto const up = change::view_of(parent);
        auto const lower = change::view_of(left);
        auto const upper = change::view_of(right);
        auto const slot = static_cast<std::uint16_t>(at);
        auto const is_last = at + 1 == up.row_count();

        auto build = change_.builder();
        auto const dropped = dropped_child{slot, left.number()};
        build.begin_part(change::part_of(parent))
            .set_child(is_last ? no_slot : static_cast<std::uint16_t>(slot + 1), left.number())
            .drop_children({&dropped, 1});
        auto const fence = upper.upper_fence();
        auto const prefix = prefix_of(lower.lower_fence(), fence);
        auto const extra = lower.is_inner() ? 1u : 0u;
        std::byte child[inner_header_bytes];
        store_le<std::uint32_t>(child, lower.is_inner() ? lower.upper_child().value : 0);
        auto const between = lower.upper_fence();
        ensure(between.has_value(), "only the last page of a level has no upper fence");
        auto const rows = change::rows_of(upper, 0, prefix);
        build.begin_part(change::part_of(left))
            .append(
                fence,
                upper.is_inner() ? upper.upper_child() : page_number{0},
                static_cast<std::uint16_t>(upper.row_count() + extra),
                [&](std::uint16_t i) noexcept {
                    if (i < extra)
                        return moved_row{.suffix = between->subspan(prefix), .value = child};
                    return rows(static_cast<std::uint16_t>(i - extra));
                }
            );
        auto const run = map_run{regions::bit_of(right.number()), 1, false};
        build.begin_part(change::part_of(map)).map_bits({&run, 1});
        change_.commit(structure_op::merge, build, {&parent, &left, &map});
        space_->freed(change_.file(), right.number());
        change_.discard(std::move(right));
    }

    // A root with one child takes over its content.
    [[nodiscard]] result<outcome> attempt_lower() noexcept {
        auto root = exclusive{};
        BOOST_OUTCOME_TRY(auto const top, change_.walk().exclude_root(root));
        if (!top.done()) return absent(top.missing);
        auto const here = change::view_of(root);
        if (!here.is_inner() || here.row_count() != 0) return outcome::nothing;
        auto child = exclusive{};
        BOOST_OUTCOME_TRY(
            auto const below, change_.walk().exclude_child(here, here.upper_child(), child)
        );
        if (!below.done()) return absent(below.missing);
        auto map = exclusive{};
        auto const number = regions::map_page_of(child.number());
        if (pool_->try_exclude(change_.file(), number, map) == fix::absent) return absent(number);

        auto const only = change::view_of(child);
        if (only.lower_fence() || only.upper_fence()) return change_.walk().broken(child.number());
        auto build = change_.builder();
        build.begin_part(change::format_of(root))
            .format(
                {
                    .kind = static_cast<std::uint8_t>(only.kind()),
                    .level = static_cast<std::uint8_t>(only.level()),
                    .page_flags = page_flag::root,
                    .tree = only.tree(),
                    .upper_child = only.is_inner() ? only.upper_child() : page_number{0},
                },
                static_cast<std::uint16_t>(only.row_count()),
                change::rows_of(only, 0, 0)
            );
        auto const run = map_run{regions::bit_of(child.number()), 1, false};
        build.begin_part(change::part_of(map)).map_bits({&run, 1});
        change_.commit(structure_op::root_shrink, build, {&root, &map});
        space_->freed(change_.file(), child.number());
        change_.discard(std::move(child));
        return outcome::changed;
    }

    [[nodiscard]] outcome absent(page_number page) noexcept {
        missing_ = page;
        return outcome::missing;
    }

    buffer_pool<Traits>* pool_;
    page_space<Traits>* space_;
    change change_;
    page_number missing_{no_page};
};

} // namespace jetpp::inline v1::detail
