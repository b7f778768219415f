// jetpp/backup/run_backup.hpp - a backup for programs without an event loop: call it, get a report.
//
// Brings the loop and two workers of its own, all on the environment of the instance, and takes the
// same coroutine pipeline through them: reading and writing overlap.
// Threads  any; blocks until the backup has ended.
// Errors   see async_backup; resource (no worker could be started).
#pragma once

#include <jetpp/backup/async_backup.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/work_queue.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/recovery/instance.hpp>

#include <optional>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits, backup_sink Sink>
[[nodiscard]] result<backup_report> run_backup(
    instance<Traits>& source, Sink& sink, backup_options const& options = {}
) noexcept {
    using env = typename Traits::env;
    return guarded([&]() -> result<backup_report> {
        auto outcome = std::optional<result<backup_report>>{};
        auto loop = work_loop<env>{source.environment()};
        auto pool = worker_pool<env>{source.environment()};
        BOOST_OUTCOME_TRY(pool.start(2));
        async_backup(
            loop.get_executor(),
            pool.get_executor(),
            source,
            sink,
            options,
            [&](result<backup_report> done) { outcome.emplace(std::move(done)); }
        );
        loop.run_until([&] { return outcome.has_value(); });
        return std::move(*outcome);
    });
}

// Of an open engine.
template <class Engine, backup_sink Sink>
    requires requires(Engine& db) { db.core().store; }
[[nodiscard]] result<backup_report> run_backup(
    Engine& db, Sink& sink, backup_options const& options = {}
) noexcept {
    return guarded([&] { return run_backup(db.core().store, sink, with_events_of(db, options)); });
}

namespace detail {

// Opens the repository and hands `work` a sink into it, and options that find their bases there.
template <class Traits, class Work>
[[nodiscard]] result<backup_report> back_up_to(
    instance<Traits>& store, path_view repository_path, backup_options const& options, Work&& work
) {
    using env = typename Traits::env;
    BOOST_OUTCOME_TRY(
        auto sets, repository<env>::open_or_create(store.environment(), repository_path)
    );
    BOOST_OUTCOME_TRY(auto sink, directory_sink<env>::create(store.environment(), sets));
    if (options.base && !options.base->lies_elsewhere) {
        auto const& base = *options.base;
        BOOST_OUTCOME_TRY(sets.find_set(base.manifest.set, short_of(base.hash)));
    }
    auto all = options;
    all.find_base = [&](uuid const& set, std::uint64_t hash) -> result<sha256_digest> {
        auto here = sets.find_set(set, hash);
        auto const elsewhere = !here && here.error().code == errc::base_not_here;
        return elsewhere && options.find_base ? options.find_base(set, hash) : here;
    };
    return work(sink, all);
}

} // namespace detail

// Into a repository, which is made if it is missing: one more set. The sink writes behind by itself,
// so the calling thread reads, and hands nothing to a pool. With a drill: drill.hpp.
template <class Engine>
    requires requires(Engine& db) { db.core().store; }
[[nodiscard]] result<backup_report> run_backup_to(
    Engine& db, path_view repository_path, backup_options const& options = {}
) noexcept {
    auto& store = db.core().store;
    return guarded([&] {
        return detail::back_up_to(
            store,
            repository_path,
            with_events_of(db, options),
            [&](auto& sink, backup_options const& all) { return run_in_place(store, sink, all); }
        );
    });
}

} // namespace jetpp::inline v1
