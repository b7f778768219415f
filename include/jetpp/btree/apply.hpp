// jetpp/btree/apply.hpp - what a log record makes of a page: run time, redo and undo in one place.
//
//     for_each_page<PageSize>(record, [&](page_part const& part) { ... })    which pages
//     apply<PageSize>(page, part, record, timeline_low)                      one of them
//
// Whether a record must be applied (page_lsn, prev_page_lsn, timelines) is the business of
// recovery; here it is applied, or refused as damage. The page is half changed after an error and
// must be given up.
// Invariants
//   * the canonical content after apply() depends on the canonical content before it and on the
//     record, on nothing else
//   * page_lsn and the timeline are stamped last
// Threads  one writer a page.
// Source   ARIES: physiological redo, "repeating history".
#pragma once

#include <jetpp/btree/detail/apply_parts.hpp>
#include <jetpp/btree/detail/apply_rows.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/log_record.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace jetpp::inline v1 {

namespace detail {

template <class Body>
concept one_page_body = requires(Body const& body) {
    { body.part } -> std::convertible_to<page_part>;
};
template <class Body>
concept structure_body = requires(Body const& body) {
    body.part_count;
    body.parts;
} && (Body::type == record_type::structure || Body::type == record_type::tree_create);
template <class Body>
concept map_body = Body::type == record_type::page_free || Body::type == record_type::page_alloc;

// The map pages that `extend` makes: those of all regions that begin in [old, new).
template <std::size_t PageSize, class F>
[[nodiscard]] result<void> for_each_new_map(record::extend const& body, F& f) noexcept {
    using limits = page_limits<PageSize>;
    auto const first = std::uint64_t{limits::first_page.value};
    auto const step = std::uint64_t{limits::region_pages};
    auto const old_pages = std::max<std::uint64_t>(body.old_pages, first);
    for (auto map = first + (old_pages - first + step - 1) / step * step; map < body.new_pages;
         map += step) {
        auto const part =
            page_part{.page = {static_cast<std::uint32_t>(map)}, .flags = part_flags::format};
        BOOST_OUTCOME_TRY(detail::call(f, part));
    }
    return ok();
}

} // namespace detail

// Calls f(page_part const&), returning void or result<void>, for each page that the record changes.
// Errors: log_corrupt; whatever f returns.
template <std::size_t PageSize, class F>
[[nodiscard]] result<void> for_each_page(log_record const& record, F&& f) noexcept {
    return record.visit([&]<class Body>(Body const& body) noexcept -> result<void> {
        if constexpr (detail::one_page_body<Body>) {
            return detail::call(f, body.part);
        } else if constexpr (detail::structure_body<Body>) {
            return for_each_part(
                body.parts,
                body.part_count,
                [&](page_part const& part, std::uint16_t, const_bytes) -> result<void> {
                    return detail::call(f, part);
                }
            );
        } else if constexpr (detail::map_body<Body>) {
            return for_each_map_part(
                body.parts,
                body.part_count,
                [&](page_part const& part, map_runs const&) -> result<void> {
                    return detail::call(f, part);
                }
            );
        } else if constexpr (std::is_same_v<Body, record::extend>) {
            return detail::for_each_new_map<PageSize>(body, f);
        } else {
            return ok();
        }
    });
}

// Applies the part of `record` that for_each_page named, to the bytes of that page.
// Requires: PageSize bytes at `page`, aligned to 8; they verified, or the part says `format`.
// Errors: page_damaged (page, LSN) if the page is not one the record could have been made for;
//         log_corrupt if the part does not hold together.
template <std::size_t PageSize>
[[nodiscard]] result<void> apply(
    std::byte* page, page_part const& part, log_record const& record, std::uint32_t timeline_low
) noexcept {
    auto const stamp = page_stamp{record.at, timeline_low};
    auto rows = detail::row_applier<PageSize>{page, part, stamp, record.header.flags};
    auto parts = detail::part_applier<PageSize>{page, part, stamp};
    auto const applied = record.visit([&]<class Body>(Body const& body) noexcept -> result<void> {
        if constexpr (std::is_same_v<Body, record::insert>) {
            return rows.insert(body.key, body.value);
        } else if constexpr (std::is_same_v<Body, record::update>) {
            return rows.update(body);
        } else if constexpr (std::is_same_v<Body, record::ghost>) {
            return rows.ghost(body.key, body.value);
        } else if constexpr (std::is_same_v<Body, record::revive>) {
            return rows.revive(body);
        } else if constexpr (std::is_same_v<Body, record::ghost_remove>) {
            return rows.remove_ghosts([&](auto&& f) { body.for_each(f); });
        } else if constexpr (std::is_same_v<Body, record::insert_run>) {
            return rows.insert_run([&](auto&& f) { body.for_each(f); });
        } else if constexpr (std::is_same_v<Body, record::page_image>) {
            return parts.image(body);
        } else if constexpr (detail::structure_body<Body>) {
            return for_each_part(
                body.parts,
                body.part_count,
                [&](page_part const& one, std::uint16_t count, const_bytes raw) -> result<void> {
                    if (one.page != part.page) return ok();
                    return parts.actions(count, raw);
                }
            );
        } else if constexpr (detail::map_body<Body>) {
            return for_each_map_part(
                body.parts,
                body.part_count,
                [&](page_part const& one, map_runs const& runs) -> result<void> {
                    if (one.page != part.page) return ok();
                    return parts.runs(runs);
                }
            );
        } else if constexpr (std::is_same_v<Body, record::extend>) {
            return parts.fresh_map();
        } else {
            return bad_record();
        }
    });
    if (applied.has_error())
        return applied.error().with_lsn(record.at).with_page(part.page).with_database(
            record.header.database
        );
    return ok();
}

} // namespace jetpp::inline v1
