// jetpp/backup/restore_settle.hpp - the last step of a restore: an instance that needs nothing else.
//
// What recovery leaves is complete in itself: the old log is of no more use to it. That of the new
// timeline stays where log is kept: with it pages from before the fork come to moments behind it.
// Threads  the owner of the instance; closes it.
// Source   backup rules R41.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/log/segment.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/recovery/instance.hpp>

#include <cstdint>

namespace jetpp::inline v1 {

// `first_generation`: of the new timeline. Errors: of storage and of the log.
template <class Traits>
[[nodiscard]] result<void> settle_and_close(
    instance<Traits>& in, std::uint64_t first_generation
) noexcept {
    BOOST_OUTCOME_TRY(in.checkpoint(checkpoint_how::flush_all));
    auto const redo = in.durable_slot().redo_lsn;
    for (auto& known : in.databases()) {
        if (known.file == nullptr) continue;
        BOOST_OUTCOME_TRY(known.file->change_header([&](database_header& h) noexcept {
            h.min_required_lsn = redo;
        }));
    }
    auto const first = first_lsn(first_generation, in.segment_bytes());
    BOOST_OUTCOME_TRY(in.log().release_below(in.is_archival() ? earlier(redo, first) : redo));
    return in.close();
}

} // namespace jetpp::inline v1
