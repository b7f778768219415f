// jetpp/backup/abandon_backup.hpp - gives up a resumable backup that nobody will go on with.
//
// Its unpublished files, its record and its named pin go, in this order: whatever a crash leaves of
// them is still listed by the pin, and may be abandoned again. A set that was published stays.
// Threads  any; blocks.
// Source   backup rules R29, R51.
#pragma once

#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/resume_record.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/recovery/instance.hpp>

namespace jetpp::inline v1 {

// A repository that is gone has no files to remove.
// Errors: not_found (no such backup was interrupted), backup_in_progress (it is at work), in_use
// (somebody removes sets there), those of storage and of the instance.
template <class Traits>
[[nodiscard]] result<void> abandon_backup(
    instance<Traits>& source, path_view repository_path, uuid const& set
) noexcept {
    using env = typename Traits::env;
    return guarded([&]() -> result<void> {
        auto const id = pin_id::of_backup(set);
        auto const claimed = source.claim_pin(id);
        if (!claimed && claimed.error().code != errc::not_found &&
            claimed.error().code != errc::pin_broken)
            return claimed.error();
        auto const done = [&]() -> result<void> {
            auto const record = read_resume_record<env>(source.where(), set);
            auto const is_lost = !record && record.error().code == errc::cannot_resume;
            if (!record && !is_lost) return record.error();
            if (is_lost && !claimed && claimed.error().code == errc::not_found)
                return error{.code = errc::not_found, .file = file_kind::backup_resume};
            if (record) {
                auto sets = repository<env>::open(source.environment(), repository_path);
                if (!sets && sets.error().code != errc::not_found) return sets.error();
                if (sets) {
                    BOOST_OUTCOME_TRY(
                        auto const held, sets.assume_value().hold_sets(source.environment())
                    );
                    auto const gone = sets.assume_value().remove_unpublished(
                        set_directory_name(record.assume_value().name)
                    );
                    if (!gone && gone.error().code != errc::already_exists) return gone.error();
                }
            }
            BOOST_OUTCOME_TRY(remove_resume_record<env>(source.where(), set));
            auto const released = source.release_pin(id);
            if (!released && released.error().code != errc::not_found) return released.error();
            return ok();
        }();
        if (claimed && !done) source.unclaim_pin(id);
        return done;
    });
}

// Of an open engine.
template <class Engine>
    requires requires(Engine& db) { db.core().store; }
[[nodiscard]] result<void> abandon_backup(
    Engine& db, path_view repository_path, uuid const& set
) noexcept {
    return abandon_backup(db.core().store, repository_path, set);
}

} // namespace jetpp::inline v1
