// jetpp/btree/detail/make_tree.hpp - a new tree: one page, allocated and formatted in one record.
//
// The record belongs to the transaction that creates the tree; its undo hands the root to pending
// work, which drops the tree again.
// Latches  root, space map.
#pragma once

#include <jetpp/btree/change.hpp>
#include <jetpp/btree/detail/structure_change.hpp>
#include <jetpp/btree/space.hpp>

#include <cstdint>

namespace jetpp::inline v1::detail {

template <class Traits>
class tree_maker {
public:
    static constexpr std::size_t page_size = Traits::page_size;
    using change = structure_change<Traits>;
    using env = typename Traits::env;
    using limits = page_limits<page_size>;
    using regions = space_regions<page_size>;
    using exclusive = exclusive_page<Traits>;
    using place = tree_place<Traits>;

    tree_maker(
        buffer_pool<Traits>& pool,
        log_writer<env>& log,
        page_space<Traits>& space,
        paged_file<Traits>& file,
        tree_id id
    ) noexcept
        : pool_{&pool}, log_{&log}, space_{&space}, tree_{.file = &file, .id = id} {}

    template <change_guard G>
    [[nodiscard]] result<place> make(const_bytes name, G& guard) noexcept {
        if (name.size() > limits::key_bytes_max)
            return error{.code = errc::invalid_argument, .database = tree_.file->id().value};
        auto doing = change{*pool_, *log_, tree_, guard.credit(), credit_use::ordinary};
        BOOST_OUTCOME_TRY(space_->admit(*tree_.file, guard.credit(), doing.use()));
        auto walk = typename page_space<Traits>::walk{*space_, *tree_.file};
        for (;;) {
            BOOST_OUTCOME_TRY(doing.prepare(1));
            auto const seen_pages = tree_.file->page_count();
            walk.start(limits::first_page);
            auto const region = walk.region();
            if (!region) {
                doing.give_frames_back();
                auto const grown =
                    space_->grow(*tree_.file, seen_pages, guard.credit(), doing.use());
                if (grown.has_error()) {
                    if (grown.error().code != errc::disk_full || walk.is_thorough())
                        return grown.error();
                    walk.restart_thoroughly();
                    continue;
                }
                walk.restart();
                continue;
            }
            auto map = exclusive{};
            auto const number = regions::map_of_region(*region);
            if (pool_->try_exclude(*tree_.file, number, map) == fix::absent) {
                BOOST_OUTCOME_TRY(doing.walk().load(number));
                continue;
            }
            auto fresh = no_page;
            if (!space_->find(*tree_.file, map, limits::first_page, 1, &fresh)) {
                map.release();
                walk.advance();
                continue;
            }
            write(doing, map, fresh, name, guard);
            space_->taken(*tree_.file, 1);
            tree_.root = fresh;
            return tree_;
        }
    }

private:
    template <class G>
    void write(
        change& doing, exclusive& map, page_number fresh, const_bytes name, G& guard
    ) noexcept {
        auto root = doing.create_page(fresh);
        auto build = doing.builder();
        auto const run = map_run{regions::bit_of(fresh), 1, true};
        build.begin_part(change::part_of(map)).map_bits({&run, 1});
        build.begin_part(change::format_of(root))
            .format({
                .kind = static_cast<std::uint8_t>(page_kind::leaf),
                .page_flags = page_flag::root,
                .tree = tree_.id,
            });
        ensure(build.fits(), "a new tree is a short record");
        auto body = record::tree_create{
            .part_count = build.part_count(), .root = fresh, .parts = build.parts(), .name = name
        };
        auto const at = append_marked<Traits>(
            *log_,
            guard.credit(),
            guard.header(),
            body,
            {&root, &map},
            [&](lsn tail) noexcept { guard.before_reserve(tail); }
        );
        guard.logged(at);
        change::apply_all(body.parts, body.part_count, {at, log_->timeline_low()}, {&root, &map});
    }

    buffer_pool<Traits>* pool_;
    log_writer<env>* log_;
    page_space<Traits>* space_;
    place tree_;
};

} // namespace jetpp::inline v1::detail
