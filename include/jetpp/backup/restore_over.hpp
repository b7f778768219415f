// jetpp/backup/restore_over.hpp - a restore where a directory holds something already.
//
// By --force or --delta only: the new instance is restored below the directory and then put in the
// place of the old files, which go aside (restore_exchange.hpp). A restore that fails leaves the old
// ones as they were; by --delta, once it began to lay over databases, it leaves what no engine opens.
// Threads  one owner; blocks.
// Source   backup rules R35, R43, R44.
#pragma once

#include <jetpp/backup/restore_exchange.hpp>
#include <jetpp/backup/restore_report.hpp>
#include <jetpp/backup/restore_run.hpp>
#include <jetpp/core/result.hpp>

#include <string>
#include <utility>

namespace jetpp::inline v1 {

// Publishes what `run` has resolved; with options.force also over what the target holds.
// Errors: those of restore_run::restore and of restore_exchange.
template <class Traits>
[[nodiscard]] result<restore_report> restore_into(
    typename Traits::env environment,
    restore_run<Traits>& run,
    path_view target,
    restore_options const& options
) noexcept {
    using env = typename Traits::env;
    return guarded([&]() -> result<restore_report> {
        if (!options.force && !options.delta) return run.restore(target, restore_ending::publish);
        BOOST_OUTCOME_TRY(auto over, restore_exchange<env>::open(environment, target));
        if (!over) return run.restore(target, restore_ending::publish);
        BOOST_OUTCOME_TRY(auto const digest, run.plan_digest());
        auto const aside = [](timeline_id timeline) {
            return std::string{restore_exchange<env>::abandoned_name(timeline).view()};
        };
        // The same restore was interrupted as it was published: that is what was finished just now.
        if (over->finished() && over->finished()->plan == digest) {
            auto report = run.begin_report();
            report.timeline = over->finished()->timeline;
            report.fork_lsn = over->finished()->fork_lsn;
            report.moved_aside = aside(report.timeline);
            return report;
        }
        auto plan = restore_journal{.instance = run.head_manifest().instance, .plan = digest};
        plan.staging = make_uuid(environment.runtime.random(), environment.runtime.random());
        auto staging = std::string{target.view()};
        staging.append("/").append(restore_exchange<env>::staging_name(plan.staging).view());
        BOOST_OUTCOME_TRY(auto const seen, over->highest_generation());
        run.begin_above(seen);
        if (options.delta) {
            auto proved = run.prove(); // before anything is touched
            if (!proved) return proved.error();
            run.lay_over(
                {.take =
                     [&](logged_database const& wanted, typename env::directory& staged) {
                         return over->lay_over(
                             wanted, static_cast<std::uint32_t>(Traits::page_size), staged
                         );
                     },
                 .begun = [&](uuid const& set
                          ) { return over->begin_delta(run.head_manifest().instance, set); }}
            );
        }
        auto report = run.restore(staging, restore_ending::publish);
        if (!report) {
            over->give_up();
            return report;
        }
        auto& done = report.assume_value();
        plan.timeline = done.timeline;
        plan.fork_lsn = done.fork_lsn;
        plan.parent = run.head_manifest().timeline;
        BOOST_OUTCOME_TRY(over->publish(plan));
        done.moved_aside = aside(done.timeline);
        return report;
    });
}

} // namespace jetpp::inline v1
