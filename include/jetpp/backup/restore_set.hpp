// jetpp/backup/restore_set.hpp - brings sets back to life, by one call.
//
//     run_restore<Engine>({"/repo"}, "/new")                       to the end of the newest set
//     run_restore<Engine>({"/a", "/b"}, "/new", {.to_lsn = n})     any moment, several sources
//     run_restore<Engine>({"/repo", "/db"}, "/new")                to the last record of /db's log
//     run_restore<Engine>({"/repo"}, "/db", {.force = true})       what /db holds goes aside
//
//     run_restore<Engine>({"/repo"}, "/db", {.live = true})        /db lost files, not its log
// The result, but for the last, is the instance as it stood at that moment: every transaction whose
// commit lies below it, none else, closed and clean, on a timeline of its own. Who has no engine type
// names its traits, and an environment before the sources.
// Threads  one owner; blocks.
// Source   backup rules R30 to R43.
#pragma once

#include <jetpp/backup/restore_over.hpp>
#include <jetpp/backup/restore_report.hpp>
#include <jetpp/backup/restore_run.hpp>
#include <jetpp/backup/roll_forward.hpp>
#include <jetpp/backup/set_pool.hpp>
#include <jetpp/core/result.hpp>

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

// Sources are repositories, directories of single sets, and of closed instances for their log.
// Errors: those of set_pool::add_source and of restore_run.
template <class Traits>
[[nodiscard]] result<restore_report> run_restore(
    typename Traits::env environment,
    std::span<path_view const> sources,
    path_view target,
    restore_options const& options = {}
) noexcept {
    using env = typename Traits::env;
    return guarded([&]() -> result<restore_report> {
        auto pool = set_pool<env>{};
        for (auto const source : sources) {
            BOOST_OUTCOME_TRY(pool.add_source(environment, source));
        }
        if (options.live) {
            auto forward = roll_forward_run<Traits>{environment, pool, options};
            return forward.run(target);
        }
        auto run = restore_run<Traits>{environment, pool, options};
        BOOST_OUTCOME_TRY(run.resolve());
        return restore_into(environment, run, target, options);
    });
}
template <class Traits>
[[nodiscard]] result<restore_report> run_restore(
    typename Traits::env environment,
    std::initializer_list<path_view> sources,
    path_view target,
    restore_options const& options = {}
) noexcept {
    auto const all = std::span<path_view const>{sources.begin(), sources.size()};
    return run_restore<Traits>(environment, all, target, options);
}
// Of one source. `set`: as restore_options::set, which it goes before.
template <class Traits>
[[nodiscard]] result<restore_report> run_restore(
    typename Traits::env environment,
    path_view source,
    path_view target,
    std::string_view set = {},
    restore_options const& options = {}
) noexcept {
    return guarded([&]() -> result<restore_report> {
        auto wanted = options;
        if (!set.empty()) wanted.set = set;
        return run_restore<Traits>(environment, {source}, target, wanted);
    });
}

// Of the sets of an engine: the same for its page size and checksum.
template <class Engine>
    requires requires { typename Engine::traits; }
[[nodiscard]] result<restore_report> run_restore(
    std::span<path_view const> sources,
    path_view target,
    restore_options const& options = {},
    typename Engine::environment_type environment = {}
) noexcept {
    return run_restore<typename Engine::traits>(environment, sources, target, options);
}
template <class Engine>
    requires requires { typename Engine::traits; }
[[nodiscard]] result<restore_report> run_restore(
    std::initializer_list<path_view> sources,
    path_view target,
    restore_options const& options = {},
    typename Engine::environment_type environment = {}
) noexcept {
    return run_restore<typename Engine::traits>(environment, sources, target, options);
}

} // namespace jetpp::inline v1
