// jetpp/recovery/redo.hpp - bringing pages up to the end of the log, and proving it.
//
// Each page part of a record is applied iff the page stands exactly where the record found it:
//     page_lsn >= record              has it already: skip
//     page_lsn == prev_page_lsn       apply
//     page_lsn <  prev_page_lsn       a write the device acknowledged is missing: lost_write
//     between                         the page is of another history: chain_fork
// The last two and unreadable pages go into a set; a later record that makes the page anew takes
// them out, as does a space map that says free in the end. What is left is an error with names:
// recovery goes no further than the truth.
// Redo never logs, never splits, never allocates pages.
// Threads  one. Owns: the set of mismatches.
// Source   ARIES "repeating history"; strict redo by prev_page_lsn is ours.
#pragma once

#include <jetpp/btree/apply.hpp>
#include <jetpp/buffer/buffer_pool.hpp>
#include <jetpp/buffer/paged_file.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/page/page_view.hpp>
#include <jetpp/page/space_map.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
class redoer {
    using runtime = typename Traits::env::runtime_type;
    static constexpr std::size_t page_size = Traits::page_size;
    using limits = page_limits<page_size>;

public:
    explicit redoer(buffer_pool<Traits>& pool) noexcept : pool_{&pool} {}

    // Redoes what `record` did to `file`. `timeline_low` is that of the record's segment.
    // Errors: io, out_of_memory, log_corrupt, page_damaged (a record that cannot be applied).
    [[nodiscard]] result<void> redo(
        paged_file<Traits>& file, log_record const& record, std::uint32_t timeline_low
    ) noexcept {
        runtime::point(point_id::redo_record);
        if (auto const* growth = record.as<record::extend>()) {
            BOOST_OUTCOME_TRY(grow(file, *growth));
        }
        return for_each_page<page_size>(
            record,
            [&](page_part const& part) noexcept -> result<void> {
                return redo_part(file, record, part, timeline_low);
            }
        );
    }

    // After the last record: mismatches of pages that are free in the end are forgiven.
    // Errors: the first one left: lost_write, chain_fork, page_damaged, io, with database, page, LSN.
    [[nodiscard]] result<void> finish(paged_file<Traits>& file) noexcept {
        for (std::size_t i = 0; i < mismatches_.size(); ++i) {
            auto const& one = mismatches_[i];
            if (one.database != file.id().value) continue;
            BOOST_OUTCOME_TRY(auto const free, is_free(file, one.page));
            if (!free) return one;
        }
        return ok();
    }

    [[nodiscard]] std::uint64_t applied() const noexcept { return applied_; }

private:
    [[nodiscard]] result<void> grow(
        paged_file<Traits>& file, record::extend const& growth
    ) noexcept {
        if (growth.new_pages <= file.page_count()) return ok();
        BOOST_OUTCOME_TRY(file.allocate_pages(growth.new_pages));
        file.use_pages(growth.new_pages);
        return ok();
    }

    [[nodiscard]] result<void> redo_part(
        paged_file<Traits>& file,
        log_record const& record,
        page_part const& part,
        std::uint32_t timeline_low
    ) noexcept {
        if (part.page.value >= file.page_count() || part.page < limits::first_page)
            return bad_record().with_lsn(record.at).with_page(part.page).with_database(file.id());
        auto const formats = has(part.flags, part_flags::format);
        for (;;) {
            auto held = exclusive_page<Traits>{};
            if (pool_->try_exclude(file, part.page, held) == fix::ok) {
                auto const view = page_view<page_size>{std::as_const(held).data()};
                auto const found = view.page_lsn();
                auto const has_it = runtime::sabotaged(sabotage::redo_off_by_one)
                                        ? found > record.at
                                        : found >= record.at;
                if (has_it) return ok();
                if (!formats && found != part.prev_page_lsn &&
                    !runtime::sabotaged(sabotage::no_prev_check)) {
                    auto const code =
                        found < part.prev_page_lsn ? errc::lost_write : errc::chain_fork;
                    return note(file, {.code = code, .page = part.page, .at = record.at});
                }
                return change(file, held, part, record, timeline_low);
            }
            auto const loaded = pool_->load(file, part.page);
            if (loaded) continue;
            auto const why = loaded.error();
            if (why.code != errc::page_damaged && why.code != errc::io) return why;
            if (!formats) return note(file, why.with_page(part.page).with_lsn(record.at));
            BOOST_OUTCOME_TRY(auto purse, pool_->reserve_frames(1));
            held = pool_->create_page(file, part.page, purse);
            return change(file, held, part, record, timeline_low);
        }
    }

    [[nodiscard]] result<void> change(
        paged_file<Traits>& file,
        exclusive_page<Traits>& held,
        page_part const& part,
        log_record const& record,
        std::uint32_t timeline_low
    ) noexcept {
        held.mark_dirty(record.at);
        BOOST_OUTCOME_TRY(apply<page_size>(held.data(), part, record, timeline_low));
        ++applied_;
        if (has(part.flags, part_flags::format)) forgive(file, part.page);
        return ok();
    }

    // The first trouble of a page is the one to tell.
    [[nodiscard]] result<void> note(paged_file<Traits>& file, error why) noexcept {
        why.database = file.id().value;
        for (auto const& known : mismatches_)
            if (known.database == why.database && known.page == why.page) return ok();
        if (!mismatches_.push_back(why)) return error{.code = errc::out_of_memory};
        return ok();
    }
    void forgive(paged_file<Traits>& file, page_number page) noexcept {
        for (std::size_t i = 0; i < mismatches_.size(); ++i)
            if (mismatches_[i].database == file.id().value && mismatches_[i].page == page) {
                mismatches_.erase_at(i);
                return;
            }
    }

    [[nodiscard]] result<bool> is_free(paged_file<Traits>& file, page_number page) noexcept {
        using regions = space_regions<page_size>;
        auto const map = regions::map_page_of(page);
        if (map == page) return false;
        for (;;) {
            auto held = shared_page<Traits>{};
            if (pool_->try_share(file, map, held) == fix::ok)
                return !space_map_view<page_size>{held.data()}.test(regions::bit_of(page));
            auto const loaded = pool_->load(file, map);
            if (!loaded) return false; // its own trouble is on the list
        }
    }

    buffer_pool<Traits>* pool_;
    array_list<error> mismatches_;
    std::uint64_t applied_ = 0;
};

} // namespace jetpp::inline v1
