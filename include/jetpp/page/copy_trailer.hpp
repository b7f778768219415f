// jetpp/page/copy_trailer.hpp - the last page of a delivered database copy.
//
// A copy of N pages has its trailer as page N: it says which backup set, database and stretch of
// log the pages belong to, so that parts of different sets can never be put together. It never
// exists in a live file. Header and trailer must agree before a copy is accepted.
// Layout (little-endian), behind an ordinary page header (kind 9, number N, page_lsn 0):
//     128 "JBSTRAIL"   136 set uuid   152 database uuid   168 instance uuid   184 timeline
//     192 redo_lsn     200 undo_low_lsn   208 log_start   216 begin_lsn   224 copy_end_lsn
//     232 N u32        236 reserved u32   240 reserved, zero to the page end
// Threads  pure functions.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/error.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/page/page_editor.hpp>
#include <jetpp/page/page_layout.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace jetpp::inline v1 {

struct copy_trailer {
    uuid set{};
    uuid database{};
    uuid instance{};
    timeline_id timeline{};
    lsn redo_lsn{};
    lsn undo_low_lsn{};
    lsn log_start{};
    lsn begin_lsn{};
    lsn copy_end_lsn{};    // above every page_lsn copied
    std::uint32_t pages{}; // N, also the page's own number

    friend bool operator==(copy_trailer const&, copy_trailer const&) = default;

    // Makes the whole page; the caller seals it.
    template <std::size_t PageSize>
    void encode(std::byte* page) const noexcept;
    // Requires: a page that verified as page `pages` of its database.
    // Errors: incomplete_copy (this page is no trailer), set_damaged (an impossible field).
    template <std::size_t PageSize>
    [[nodiscard]] static result<copy_trailer> decode(std::byte const* page) noexcept;

    // Do header and trailer belong to one copy? Errors: set_mixed.
    [[nodiscard]] result<void> check_header(database_header const& header) const noexcept {
        if (header.state != database_state::backup_copy || header.source_set != set ||
            header.database != database || header.instance != instance ||
            header.timeline != timeline || header.min_required_lsn != log_start)
            return error{.code = errc::set_mixed, .page = page_number{pages}};
        return ok();
    }
};

namespace detail {

struct copy_trailer_at {
    static constexpr std::size_t magic = 128, set = 136, database = 152, instance = 168,
                                 timeline = 184, redo_lsn = 192, undo_low_lsn = 200,
                                 log_start = 208, begin_lsn = 216, copy_end_lsn = 224, pages = 232,
                                 reserved = 236;
};
static_assert(copy_trailer_at::magic == page_offset::content);
inline constexpr std::string_view copy_trailer_magic{"JBSTRAIL", 8};

} // namespace detail

template <std::size_t PageSize>
void copy_trailer::encode(std::byte* page) const noexcept {
    using at = detail::copy_trailer_at;
    std::memset(page, 0, PageSize);
    auto const formatted = page_editor<PageSize>{page}.format(
        {.number = page_number{pages}, .tree = no_tree, .kind = page_kind::copy_trailer}
    );
    ensure(formatted, "a copy trailer has no fences");
    std::memcpy(
        page + at::magic, detail::copy_trailer_magic.data(), detail::copy_trailer_magic.size()
    );
    std::memcpy(page + at::set, set.raw.data(), set.raw.size());
    std::memcpy(page + at::database, database.raw.data(), database.raw.size());
    std::memcpy(page + at::instance, instance.raw.data(), instance.raw.size());
    store_le<std::uint64_t>(page + at::timeline, timeline.value);
    store_le<std::uint64_t>(page + at::redo_lsn, redo_lsn.value);
    store_le<std::uint64_t>(page + at::undo_low_lsn, undo_low_lsn.value);
    store_le<std::uint64_t>(page + at::log_start, log_start.value);
    store_le<std::uint64_t>(page + at::begin_lsn, begin_lsn.value);
    store_le<std::uint64_t>(page + at::copy_end_lsn, copy_end_lsn.value);
    store_le<std::uint32_t>(page + at::pages, pages);
}

template <std::size_t PageSize>
result<copy_trailer> copy_trailer::decode(std::byte const* page) noexcept {
    using at = detail::copy_trailer_at;
    auto const view = page_view<PageSize>{page};
    auto const refused = [&](errc code) {
        return error{.code = code, .page = view.number(), .file = file_kind::database};
    };
    if (view.kind() != page_kind::copy_trailer ||
        as_text(view.all().subspan(at::magic, 8)) != detail::copy_trailer_magic)
        return refused(errc::incomplete_copy);
    auto t = copy_trailer{};
    std::memcpy(t.set.raw.data(), page + at::set, t.set.raw.size());
    std::memcpy(t.database.raw.data(), page + at::database, t.database.raw.size());
    std::memcpy(t.instance.raw.data(), page + at::instance, t.instance.raw.size());
    t.timeline = {load_le<std::uint64_t>(page + at::timeline)};
    t.redo_lsn = {load_le<std::uint64_t>(page + at::redo_lsn)};
    t.undo_low_lsn = {load_le<std::uint64_t>(page + at::undo_low_lsn)};
    t.log_start = {load_le<std::uint64_t>(page + at::log_start)};
    t.begin_lsn = {load_le<std::uint64_t>(page + at::begin_lsn)};
    t.copy_end_lsn = {load_le<std::uint64_t>(page + at::copy_end_lsn)};
    t.pages = load_le<std::uint32_t>(page + at::pages);
    auto const lsns_fit = t.redo_lsn <= lsn_limit && t.undo_low_lsn <= lsn_limit &&
                          t.log_start <= lsn_limit && t.begin_lsn <= lsn_limit &&
                          t.copy_end_lsn <= lsn_limit;
    if (page_number{t.pages} != view.number() || !lsns_fit || t.set.is_nil() ||
        !all_zero(view.all().subspan(at::reserved)))
        return refused(errc::set_damaged);
    return t;
}

} // namespace jetpp::inline v1
