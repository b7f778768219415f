// jetpp/backup/frozen_database.hpp - a database as its copy shows it, from the moment it was frozen.
//
// Size and header are taken once. The header area and the trailer of the copy are made of them, and
// so a backup set and an external session deliver the same bytes.
// Threads  pure functions, but for freeze_database(): any thread.
// Source   backup rules R3, R11, R57, R58.
#pragma once

#include <jetpp/buffer/paged_file.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/copy_trailer.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/page/page_codec.hpp>
#include <jetpp/page/page_layout.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace jetpp::inline v1 {

// A database as it stands in the set.
struct frozen_database {
    file_name name{};
    database_header header{}; // as it was, not yet that of a copy
    std::uint32_t pages{};    // N
    lsn copy_end{};           // durable end after its last page
    std::uint64_t masked{};   // pages rotten in the file, good in memory
};

// The positions of a backup, and what was seen on the way.
struct backup_bounds {
    lsn redo_lsn{};
    lsn undo_low_lsn{};
    lsn log_start{};
    lsn begin_lsn{};
    lsn copy_end_lsn{};
    lsn end_lsn{};
    lsn last_commit{};
    wall_time last_commit_time{};
    lsn lost_log_from{}; // log since the chain's end that is gone: [from, to)
    lsn lost_log_to{};
    std::uint64_t records{};
};

// Size and header after the begin record is durable: what the log says from then on is in the set.
// The size is the file's: a growth that is logged but not yet given out counts.
// Errors: of storage, limit_exceeded.
template <class Traits>
[[nodiscard]] result<void> freeze_database(
    paged_file<Traits>& file, frozen_database& into
) noexcept {
    into.header = file.header();
    auto const size = file.device().size();
    if (!size) return size.error().with_file(file_kind::database).with_database(file.id());
    auto const pages = size.assume_value() / Traits::page_size;
    if (pages >= no_page.value) return error{.code = errc::limit_exceeded};
    into.pages = static_cast<std::uint32_t>(pages);
    return ok();
}

// The frozen header, as that of a copy that only restore opens, at both places; zeros around it.
// Requires: area.size() == database_header_area_bytes.
inline void encode_header_area(
    frozen_database const& known, uuid const& set, lsn log_start, bytes area
) noexcept {
    ensure(area.size() == database_header_area_bytes, "the header area lies in the first run");
    auto header = known.header;
    header.state = database_state::backup_copy;
    header.source_set = set;
    header.min_required_lsn = log_start;
    std::memset(area.data(), 0, area.size());
    for (auto const copy : {header_copy::a, header_copy::b}) {
        ++header.sequence;
        header.encode(area.subspan(static_cast<std::size_t>(offset_of(copy)), header.size));
    }
}

// The page behind the last one, sealed.
template <std::size_t PageSize, class Checksum>
void encode_trailer_page(
    frozen_database const& known,
    uuid const& set,
    uuid const& instance,
    timeline_id timeline,
    backup_bounds const& bounds,
    std::byte* page
) noexcept {
    auto const trailer = copy_trailer{
        .set = set,
        .database = known.header.database,
        .instance = instance,
        .timeline = timeline,
        .redo_lsn = bounds.redo_lsn,
        .undo_low_lsn = bounds.undo_low_lsn,
        .log_start = bounds.log_start,
        .begin_lsn = bounds.begin_lsn,
        .copy_end_lsn = known.copy_end,
        .pages = known.pages,
    };
    trailer.template encode<PageSize>(page);
    page_codec<PageSize, Checksum>::seal(page, known.header.nonce);
}

} // namespace jetpp::inline v1
