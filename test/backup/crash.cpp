// test/backup/crash.cpp - a machine that stops at any call of a backup or a restore.
#include <jetpp/backup.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::crash_cases {

using namespace jetpp;

using sim_engine = engine<sim_policies>;
using sim_env = sim_engine::environment_type;
using traits = sim_engine::traits;

constexpr open_options options{
    .buffer_bytes = 1 << 20,
    .segment_bytes = 128 << 10,
    .log_ring_bytes = 128 << 10,
    .process_durability = false,
};

std::string describe_failure(error const& why) {
    return describe(why).c_str();
}

// An instance of a few rows at /db. Quiet, so that few calls are to be tried.
model make_instance(sim_env env) {
    auto db = good(sim_engine::open("/db", options, env));
    good(db.attach("main"));
    db.core().store.databases()[0].file->set_growth_bytes_min(64 << 10);
    auto const rows = good(db.open_tree("main", "rows"));
    auto expected = model{};
    for (auto i = 0; i < 40; ++i) {
        auto const key = "key" + std::to_string(i);
        auto const value = std::string(static_cast<std::size_t>(i) * 7, 'v');
        (void)good(db.put(rows, key, value, durability::memory));
        expected[key] = value;
    }
    good(std::move(db).close());
    return expected;
}

// The life that is cut: opens, backs up. Returns: whether it was told that there is a set.
bool back_up(sim_env env) {
    auto db = sim_engine::open("/db", options, env);
    if (!db) return false;
    return run_backup_to(db.value(), "/repo").has_value();
}

// The sets of the repository: all of them must be whole. Returns: how many, or what is wrong.
std::string check_repository(sim_env env, std::size_t& sets) {
    sets = 0;
    auto report = verify_repository(env, "/repo");
    if (!report) {
        // The crash came before there was a repository.
        return report.error().code == errc::not_found ? "" : describe_failure(report.error());
    }
    for (auto const& found : report.value().findings)
        return found.set + "/" + found.file + ": " + describe_failure(found.why);
    sets = static_cast<std::size_t>(report.value().sets);
    return "";
}

TEST_CASE("a crash at any storage call of a backup leaves whole sets or none", "[backup][crash]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto expected = model{};
    world.run([&] { expected = make_instance(env); });
    auto const before = world.machine().save();
    world.run([&] { REQUIRE(back_up(env)); });
    auto const calls = world.machine().calls();
    world.machine().restore(before);
    auto const first = world.machine().calls();
    REQUIRE(calls > first + 50);

    auto published = 0;
    auto told = 0;
    auto tried = 0;
    // Every call of the second half, where the parts end and the set is published; of the first,
    // a sample that the budget makes denser: with 9, every call.
    auto const stride = std::max<std::uint64_t>(1, 9 / rounds(1));
    for (auto const policy : crash_policies) {
        for (auto n = std::uint64_t{1}; n <= calls - first; ++n) {
            if (n + 100 < calls - first && n % stride != 0) continue;
            world.machine().restore(before);
            world.machine().crash_at(n);
            auto was_told = false;
            world.run([&] { was_told = back_up(env); });
            world.machine().thaw(policy);
            auto problem = std::string{};
            auto sets = std::size_t{0};
            auto rows = model{};
            world.run([&] {
                problem = check_repository(env, sets);
                // The instance itself recovers, and another backup works.
                auto db = sim_engine::open("/db", options, env);
                if (!db) {
                    problem += describe_failure(db.error());
                    return;
                }
                rows = rows_of(db.value(), "main", "rows");
            });
            CAPTURE(n, name_of(policy));
            if (!problem.empty()) FAIL(problem);
            if (was_told && sets == 0) FAIL("a set that was reported is gone");
            if (rows != expected) FAIL("the instance lost rows");
            ++tried;
            published += sets == 1 ? 1 : 0;
            told += was_told ? 1 : 0;
        }
    }
    CHECK(tried > 400);
    CHECK(published >= told);
    CHECK(published > told); // somewhere the crash came between publishing and telling
}

// An error is not the end of the process: what the backup clears away then must not be what a manifest
// names that stands after all.
TEST_CASE("a call that fails inside a backup leaves whole sets or none", "[backup][crash]") {
    auto tape = choice_tape{2};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] { (void)make_instance(env); });
    auto const before = world.machine().save();
    auto failed = 0;
    for (auto const times : {std::uint64_t{1}, storage_fault::for_ever})
        for (auto const calls :
             {storage_calls{storage_call::sync_dir},
              storage_call::rename | storage_call::remove,
              storage_call::write | storage_call::sync | storage_call::create}) {
            auto finished = false;
            for (auto n = std::uint64_t{1}; !finished; ++n) {
                CAPTURE(times, n);
                world.machine().restore(before);
                auto const injected = world.machine().faults_injected_count();
                world.machine().inject({.calls = calls, .nth = n, .times = times});
                auto was_told = false;
                world.run([&] { was_told = back_up(env); });
                finished = world.machine().faults_injected_count() == injected;
                world.machine().clear_faults();
                failed += was_told ? 0 : 1;
                for (auto const loses_power : {false, true}) {
                    if (loses_power) world.machine().thaw(crash_policy::random);
                    auto problem = std::string{};
                    auto sets = std::size_t{0};
                    world.run([&] { problem = check_repository(env, sets); });
                    if (!problem.empty()) FAIL(problem);
                    if (was_told && sets == 0) FAIL("a set that was reported is gone");
                }
            }
        }
    CHECK(failed > 50);
}

TEST_CASE("a manifest published before it is synced is found out", "[backup][crash]") {
    auto found = 0;
    for (auto const bug : {sabotage::publish_before_sync, sabotage::skip_dir_sync}) {
        auto const planted = simulation::planting{bug};
        auto tape = choice_tape{2};
        auto world = simulated_world{tape};
        auto const env = world.environment();
        world.run([&] { (void)make_instance(env); });
        auto was_told = false;
        world.run([&] { was_told = back_up(env); });
        REQUIRE(was_told);
        world.machine().thaw(crash_policy::none);
        auto problem = std::string{};
        auto sets = std::size_t{0};
        world.run([&] { problem = check_repository(env, sets); });
        if (!problem.empty() || sets == 0) ++found;
    }
    CHECK(found == 2);
}

TEST_CASE(
    "a crash at any storage call of a restore can be restored over, or recovers", "[backup][crash]"
) {
    auto tape = choice_tape{3};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto expected = model{};
    world.run([&] {
        expected = make_instance(env);
        REQUIRE(back_up(env));
    });
    auto const before = world.machine().save();
    auto restore = [&] { return run_restore<traits>(env, "/repo", "/new"); };
    world.run([&] { (void)good(restore()); });
    auto const calls = world.machine().calls();
    world.machine().restore(before);
    auto const first = world.machine().calls();
    REQUIRE(calls > first + 100);

    auto over = 0;
    auto recovered = 0;
    auto const stride = std::max<std::uint64_t>(1, 4 / rounds(1)); // a budget of 4: every call
    for (auto const policy : crash_policies) {
        for (auto n = std::uint64_t{1}; n <= calls - first; ++n) {
            if (n % stride != static_cast<std::uint64_t>(policy) % stride) continue;
            world.machine().restore(before);
            world.machine().crash_at(n);
            world.run([&] { (void)restore(); });
            world.machine().thaw(policy);
            auto problem = std::string{};
            auto rows = model{};
            world.run([&] {
                auto const again = restore();
                if (again)
                    ++over;
                else if (again.error().code == errc::would_overwrite)
                    ++recovered; // published
                else
                    problem = describe_failure(again.error());
                auto how = options;
                how.create = create_how::must_exist;
                auto db = sim_engine::open("/new", how, env);
                if (db)
                    rows = rows_of(db.value(), "main", "rows");
                else
                    problem += describe_failure(db.error());
            });
            CAPTURE(n, name_of(policy));
            if (!problem.empty()) FAIL(problem);
            if (rows != expected) FAIL("the restored rows are others");
        }
    }
    CHECK(over > 200);
    CHECK(recovered > 0); // the journal goes last: few calls are left then
}

} // namespace jetpp_test::crash_cases
