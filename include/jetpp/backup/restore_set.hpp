// jetpp/backup/restore_set.hpp - brings a set back to life in an empty directory.
//
//     walk the set, proving and laying down -> fork the timeline -> publish -> recovery -> close
//
// The result is the instance as it stood at the set's end_lsn: every transaction whose commit lies
// below it, none else, closed and clean, on a timeline of its own.
// Threads  one owner; blocks.
// Source   backup rules R30 to R43, as far as one full set needs them.
#pragma once

#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/restore_layout.hpp>
#include <jetpp/backup/restore_target.hpp>
#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/backup/set_walker.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/recovery/instance.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

struct restore_options {
    std::size_t buffer_bytes = std::size_t{64} << 20; // of the recovery
    set_access access{};                              // codecs the set may have
    // Bytes of the set that were read since the last call; manifests say how many there are. An
    // error ends the restore with that error, and the target is empty again.
    std::function<result<void>(std::uint64_t)> on_read{};
};

struct restore_report {
    uuid set{};
    lsn reached{}; // the set's end_lsn: every commit below it is there
    lsn last_commit{};
    timeline_id timeline{}; // the new one
    lsn fork_lsn{};
    set_tally read{};
    recovery_report recovery{};
    std::chrono::nanoseconds laying{}; // until recovery began
    std::chrono::nanoseconds took{};
};

namespace detail {

// What recovery leaves is complete in itself: the set's log is of no more use to it.
template <class Traits>
[[nodiscard]] result<void> settle_restored(instance<Traits>& in) noexcept {
    BOOST_OUTCOME_TRY(in.checkpoint(checkpoint_how::flush_all));
    auto const redo = in.durable_slot().redo_lsn;
    for (auto& known : in.databases()) {
        if (known.file == nullptr) continue;
        BOOST_OUTCOME_TRY(known.file->change_header([&](database_header& h) noexcept {
            h.min_required_lsn = redo;
        }));
    }
    BOOST_OUTCOME_TRY(in.log().release_below(redo));
    return in.close();
}

} // namespace detail

// Requires: Traits has the page size and the checksum of the manifest.
// Errors: would_overwrite (the target holds something), in_use; unsupported (a set without pages of
// its own; other policies); every error of set_walker: the target is as empty then as it was; those
// of recovery: the same.
template <class Traits>
[[nodiscard]] result<restore_report> restore_set(
    typename Traits::env environment,
    typename Traits::env::directory& set,
    read_manifest const& from,
    path_view target,
    restore_options const& options = {}
) noexcept {
    using env = typename Traits::env;
    return guarded([&]() -> result<restore_report> {
        auto const& manifest = from.manifest;
        if (manifest.page_size != Traits::page_size || manifest.checksum != Traits::checksum::name)
            return error{.code = errc::unsupported, .file = file_kind::manifest};
        if (manifest.kind != backup_kind::full && manifest.kind != backup_kind::copy)
            return error{.code = errc::unsupported, .file = file_kind::manifest};
        auto& clock = environment.runtime;
        auto const began = clock.now();
        auto report = restore_report{
            .set = manifest.set, .reached = manifest.end_lsn, .last_commit = manifest.last_commit
        };
        auto const journal = restore_journal{
            .instance = manifest.instance,
            .parent = manifest.timeline,
            .staging = manifest.set,
            .plan = from.hash,
        };
        BOOST_OUTCOME_TRY(auto place, restore_target<env>::open(environment, target, journal));
        auto const laid = guarded([&]() -> result<void> {
            BOOST_OUTCOME_TRY(
                auto layout,
                restore_layout<Traits>::create(
                    environment, place.where(), manifest, options.on_read
                )
            );
            auto walker = set_walker<
                env,
                Traits::page_size,
                typename Traits::checksum,
                restore_layout<Traits>>{set, manifest, layout, options.access};
            BOOST_OUTCOME_TRY(report.read, walker.run());
            layout.draw_fork(report.read.incarnation);
            report.timeline = layout.timeline();
            report.fork_lsn = layout.fork_lsn();
            BOOST_OUTCOME_TRY(layout.fork());
            return place.publish();
        });
        if (!laid) {
            place.give_up();
            return laid.error();
        }
        report.laying = clock.now() - began;
        auto const done = guarded([&]() -> result<void> {
            auto const sizes = instance_options{
                .create = false,
                .archival_from_files = true,
                .buffer_bytes = options.buffer_bytes,
                .process_durability = false,
                .brief = true,
            };
            auto revived = std::make_unique<instance<Traits>>(environment);
            BOOST_OUTCOME_TRY(revived->open(target, sizes));
            report.recovery = revived->report();
            return detail::settle_restored(*revived);
        });
        if (!done) {
            // Recovery refused what the walk had let pass: nothing half made is left behind.
            auto again = restore_target<env>::reopen(environment, target);
            if (again) again.assume_value().give_up();
            return done.error();
        }
        report.took = clock.now() - began;
        return report;
    });
}

// The newest set of a repository, or the one named (see choose_set).
// Errors: those of repository::open, choose_set and restore_set.
template <class Traits>
[[nodiscard]] result<restore_report> run_restore(
    typename Traits::env environment,
    path_view repository_path,
    path_view target,
    std::string_view set = {},
    restore_options const& options = {}
) noexcept {
    using env = typename Traits::env;
    return guarded([&]() -> result<restore_report> {
        BOOST_OUTCOME_TRY(auto sets, repository<env>::open(environment, repository_path));
        BOOST_OUTCOME_TRY(auto const known, list_sets(sets));
        BOOST_OUTCOME_TRY(auto const* const chosen, choose_set(known, set));
        BOOST_OUTCOME_TRY(auto directory, sets.open_set(chosen->name));
        return restore_set<Traits>(
            environment, directory, {chosen->manifest, chosen->hash}, target, options
        );
    });
}

} // namespace jetpp::inline v1
