// jetpp/backup/backup_marks.hpp - what a backup writes into the log and the headers of its source.
//
// A begin record before anything is copied, one end record afterwards, whatever the end was; then,
// if the backup is good, the marks in the headers of what it copied.
// Threads  any; blocks until the log is durable.
// Source   backup rules R2, R25, R27.
#pragma once

#include <jetpp/backup/backup_kind.hpp>
#include <jetpp/backup/frozen_database.hpp>
#include <jetpp/buffer/paged_file.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/records_instance.hpp>
#include <jetpp/recovery/backup_stamp.hpp>
#include <jetpp/recovery/instance.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace jetpp::inline v1 {

template <class Traits>
using source_files = std::span<paged_file<Traits>* const>;

// One record of the backup's own, durable. Returns: its LSN.
template <class Traits, class Body>
[[nodiscard]] result<lsn> log_backup_record(instance<Traits>& in, Body& body) noexcept {
    auto& log = in.log();
    auto credit = log_credit{};
    BOOST_OUTCOME_TRY(log.acquire(credit, static_cast<std::uint32_t>(body.size())));
    auto const at = log.append(credit, {.type = Body::type, .flags = record_flags::system}, body);
    log.give_back(credit);
    BOOST_OUTCOME_TRY(log.wait_durable(at));
    return at;
}

// Returns: begin_lsn. Errors: of the log.
template <class Traits>
[[nodiscard]] result<lsn> log_backup_begin(
    instance<Traits>& in,
    uuid const& set,
    backup_kind kind,
    backup_bounds const& bounds,
    source_files<Traits> files
) noexcept {
    using body_type = record::backup_begin;
    auto members = std::array<std::byte, databases_max * body_type::member_size>{};
    for (std::size_t i = 0; i < files.size(); ++i)
        body_type::encode_member(
            members.data() + i * body_type::member_size,
            {.database = files[i]->id(), .id = files[i]->header().database}
        );
    auto body = body_type{
        .set = set,
        .kind = static_cast<std::uint32_t>(kind),
        .count = static_cast<std::uint32_t>(files.size()),
        .redo_lsn = bounds.redo_lsn,
        .undo_low_lsn = bounds.undo_low_lsn,
        .log_start = bounds.log_start,
        .members = {members.data(), files.size() * body_type::member_size},
    };
    return log_backup_record(in, body);
}

namespace detail {

using backup_end_members = std::array<std::byte, databases_max * record::backup_end::member_size>;

// The record lives as long as `room`.
template <class Traits>
[[nodiscard]] record::backup_end backup_end_of(
    instance<Traits>& in,
    uuid const& set,
    backup_kind kind,
    backup_status status,
    backup_bounds const& bounds,
    std::uint64_t manifest_hash,
    source_files<Traits> files,
    backup_end_members& room
) noexcept {
    using body_type = record::backup_end;
    for (std::size_t i = 0; i < files.size(); ++i)
        std::memcpy(
            room.data() + i * body_type::member_size,
            files[i]->header().database.raw.data(),
            body_type::member_size
        );
    return {
        .set = set,
        .status = status,
        .kind = static_cast<std::uint32_t>(kind),
        .redo_lsn = bounds.redo_lsn,
        .log_start = bounds.log_start,
        .end_lsn = bounds.end_lsn,
        .time = in.environment().runtime.wall(),
        .timeline = in.timeline(),
        .manifest_hash = manifest_hash,
        .count = static_cast<std::uint32_t>(files.size()),
        .members = {room.data(), files.size() * body_type::member_size},
    };
}

} // namespace detail

// `files`: those whose headers are to be stamped. Errors: of the log.
template <class Traits>
[[nodiscard]] result<void> log_backup_end(
    instance<Traits>& in,
    uuid const& set,
    backup_kind kind,
    backup_status status,
    backup_bounds const& bounds,
    std::uint64_t manifest_hash,
    source_files<Traits> files
) noexcept {
    auto room = detail::backup_end_members{};
    auto body = detail::backup_end_of(in, set, kind, status, bounds, manifest_hash, files, room);
    BOOST_OUTCOME_TRY(log_backup_record(in, body));
    return ok();
}

// After the end record is durable: as recovery would stamp from it. Errors: of the headers.
template <class Traits>
[[nodiscard]] result<void> stamp_headers(
    instance<Traits>& in,
    uuid const& set,
    backup_kind kind,
    backup_bounds const& bounds,
    std::uint64_t manifest_hash,
    source_files<Traits> files
) noexcept {
    static_assert(mark_of_backup(static_cast<std::uint32_t>(backup_kind::full)) == mark_kind::full);
    static_assert(mark_of_backup(static_cast<std::uint32_t>(backup_kind::copy)) == mark_kind::copy);
    static_assert(
        mark_of_backup(static_cast<std::uint32_t>(backup_kind::incremental)) ==
        mark_kind::incremental
    );
    static_assert(
        mark_of_backup(static_cast<std::uint32_t>(backup_kind::differential)) ==
        mark_kind::differential
    );
    if (!mark_of_backup(static_cast<std::uint32_t>(kind))) return ok();
    auto room = detail::backup_end_members{};
    auto const end = detail::backup_end_of(
        in, set, kind, backup_status::published, bounds, manifest_hash, files, room
    );
    for (auto* const file : files) {
        BOOST_OUTCOME_TRY(file->change_header([&](database_header& h) noexcept {
            (void)stamp_backup(h, end);
        }));
    }
    return ok();
}

} // namespace jetpp::inline v1
