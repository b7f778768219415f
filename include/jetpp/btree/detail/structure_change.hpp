// jetpp/btree/detail/structure_change.hpp - what every multi-page record has in common.
//
// prepare(): log credit, scratch memory and frames, while no latch is held. log_and_apply(): all
// pages dirty first, one record, then its parts on their pages. Between the reservation and the
// last byte nothing can fail.
// Threads  one operation.
#pragma once

#include <jetpp/btree/detail/apply_parts.hpp>
#include <jetpp/btree/detail/descent.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/log/log_writer.hpp>
#include <jetpp/log/structure_builder.hpp>
#include <jetpp/page/page_rows.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace jetpp::inline v1::detail {

// Brings a credit up to `bytes`. What there was goes back first: nobody waits for log space while
// holding some.
// Requires: no latch held.
template <any_environment Env>
[[nodiscard]] result<void> require_credit(
    log_writer<Env>& log, log_credit& credit, std::uint32_t bytes, credit_use use
) noexcept {
    if (credit.left >= bytes) return ok();
    log.give_back(credit);
    return log.acquire(credit, bytes, use);
}

// A lower bound for the LSN of the next record, then the record itself, with `pages` marked dirty
// in between: the order that a checkpoint relies on.
template <class Traits, class Body, class Before>
[[nodiscard]] lsn append_marked(
    log_writer<typename Traits::env>& log,
    log_credit& credit,
    record_header header,
    Body& body,
    std::initializer_list<exclusive_page<Traits>*> pages,
    Before&& before_reserve
) noexcept {
    using runtime = typename Traits::runtime;
    auto const tail = log.tail();
    auto const late = runtime::sabotaged(sabotage::mark_after_reserve);
    auto const mark = [&]() noexcept {
        for (auto* page : pages)
            if (*page) page->mark_dirty(tail);
    };
    if (!late) mark();
    before_reserve(tail);
    header.type = Body::type;
    auto const at = log.append(credit, header, body);
    if (late) {
        runtime::point(point_id::reserved_not_marked);
        for (auto* page : pages)
            if (*page) page->mark_dirty(log.tail());
    }
    return at;
}

template <class Traits>
class structure_change {
public:
    static constexpr std::size_t page_size = Traits::page_size;
    using env = typename Traits::env;
    using view = page_view<page_size>;
    using limits = page_limits<page_size>;
    using shared = shared_page<Traits>;
    using exclusive = exclusive_page<Traits>;
    using place = tree_place<Traits>;

    // One page of rows, four keys, the frames of parts and actions.
    static constexpr std::uint32_t record_bytes_max =
        static_cast<std::uint32_t>(page_size) + 4 * limits::key_bytes_max + 1024;
    static_assert(record_bytes_max <= record_size_max(page_size), "structure records are records");

    structure_change(
        buffer_pool<Traits>& pool,
        log_writer<env>& log,
        place const& tree,
        log_credit& credit,
        credit_use use
    ) noexcept
        : pool_{&pool}, log_{&log}, tree_{tree}, credit_{&credit}, use_{use}, walk_{pool, tree} {}

    // Errors: disk_full, log_failed, busy, out_of_memory; with frames those of the pool.
    [[nodiscard]] result<void> prepare(std::uint32_t frames = 0) noexcept {
        BOOST_OUTCOME_TRY(require_credit(*log_, *credit_, record_bytes_max, use_));
        if (scratch_.size() == 0) {
            BOOST_OUTCOME_TRY(scratch_, aligned_buffer::create_unfilled(record_bytes_max));
        }
        if (purse_.left() < frames) {
            purse_.give_back();
            BOOST_OUTCOME_TRY(purse_, pool_->reserve_frames(frames));
        }
        return ok();
    }
    void give_frames_back() noexcept { purse_.give_back(); }

    [[nodiscard]] structure_builder builder() noexcept { return structure_builder{scratch_.all()}; }
    [[nodiscard]] exclusive create_page(page_number number) noexcept {
        return pool_->create_page(*tree_.file, number, purse_);
    }
    void discard(exclusive&& page) noexcept { pool_->discard(std::move(page)); }

    [[nodiscard]] descent<Traits>& walk() noexcept { return walk_; }
    [[nodiscard]] paged_file<Traits>& file() const noexcept { return *tree_.file; }
    [[nodiscard]] place const& tree() const noexcept { return tree_; }
    [[nodiscard]] log_credit& credit() noexcept { return *credit_; }
    [[nodiscard]] credit_use use() const noexcept { return use_; }
    [[nodiscard]] static view view_of(exclusive const& page) noexcept { return view{page.data()}; }

    [[nodiscard]] static page_part part_of(exclusive const& page) noexcept {
        return {.page = page.number(), .prev_page_lsn = view_of(page).page_lsn()};
    }
    [[nodiscard]] static page_part format_of(exclusive const& page) noexcept {
        return {.page = page.number(), .flags = part_flags::format};
    }

    // Rows of `from`, beginning at `first`, as a page whose prefix has `prefix_bytes` takes them.
    [[nodiscard]] static auto rows_of(
        view from, std::uint32_t first, std::size_t prefix_bytes
    ) noexcept {
        return [=](std::uint16_t i) noexcept {
            auto const slot = first + i;
            auto const suffix = resuffixed<page_size>{from, slot, prefix_bytes};
            return moved_row{
                .flags = static_cast<std::uint16_t>(from.row_flags_of(slot)),
                .suffix_head = suffix.front,
                .suffix = suffix.back,
                .value = from.value(slot),
            };
        };
    }

    // Logs the record as a system action and applies every part to the page it names.
    // Requires: all pages of the record are among `pages`; empty guards are passed over.
    void commit(
        structure_op op, structure_builder const& built, std::initializer_list<exclusive*> pages
    ) noexcept {
        auto body = built.structure(op);
        auto const header = record_header{
            .flags = record_flags::system, .database = tree_.file->id(), .tree = tree_.id
        };
        auto const at =
            append_marked<Traits>(*log_, *credit_, header, body, pages, [](lsn) noexcept {});
        apply_all(body.parts, body.part_count, {at, log_->timeline_low()}, pages);
    }

    static void apply_all(
        const_bytes parts,
        std::size_t count,
        page_stamp stamp,
        std::initializer_list<exclusive*> pages
    ) noexcept {
        auto const applied = for_each_part(
            parts,
            count,
            [&](page_part const& part, std::uint16_t actions, const_bytes raw) -> result<void> {
                for (auto* page : pages)
                    if (*page && page->number() == part.page)
                        return part_applier<page_size>{page->data(), part, stamp}.actions(
                            actions, raw
                        );
                return bad_record();
            }
        );
        ensure(applied.has_value(), "a structure change applies to the pages it was made from");
    }

private:
    buffer_pool<Traits>* pool_;
    log_writer<env>* log_;
    place tree_;
    log_credit* credit_;
    credit_use use_;
    descent<Traits> walk_;
    frame_purse<Traits> purse_{};
    aligned_buffer scratch_{};
};

} // namespace jetpp::inline v1::detail
