// test/backup/retire_sets.cpp - which sets go behind a newer full one, and a machine that stops meanwhile.
#include <jetpp/backup.hpp>
#include <jetpp/backup/retire_sets.hpp>
#include <jetpp/restore.hpp>

#include <algorithm>
#include <string_view>
#include <vector>

#include "bed.hpp"

namespace jetpp_test::retire_sets_cases {

using namespace jetpp;

using sim_engine = engine<sim_policies>;
using sim_env = sim_engine::environment_type;

backup_report take(
    bed<sim_policies>& b, backup_kind kind, std::string_view tag, uuid const& base = {}
) {
    auto options = backup_options{};
    options.kind = kind;
    options.tag = tag;
    if (!base.is_nil()) {
        auto sets = good(repository<sim_env>::open(b.env, "/repo"));
        for (auto const& one : good(list_sets(sets)))
            if (one.manifest.set == base) options.base = backup_base{one.manifest, one.hash};
    }
    return good(run_backup_to(b.db, "/repo", options));
}
std::vector<uuid> sets_in(sim_env env) {
    auto sets = good(repository<sim_env>::open(env, "/repo"));
    auto ids = std::vector<uuid>{};
    for (auto const& one : good(list_sets(sets))) ids.push_back(one.manifest.set);
    return ids;
}
bool has(std::vector<uuid> const& all, uuid const& id) {
    return std::find(all.begin(), all.end(), id) != all.end();
}

TEST_CASE("what a set that stays stands on stays, and so does another's", "[backup]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto b = bed<sim_policies>{env};
        b.work(200, 1);
        auto const first = take(b, backup_kind::full, "jet").set;
        b.work(100, 2);
        auto const log = take(b, backup_kind::incremental, "jet").set;
        auto const mine = take(b, backup_kind::copy, "mine").set; // of another who keeps sets here
        auto const second = take(b, backup_kind::full, "jet").set;
        b.work(100, 3);
        auto const delta = take(b, backup_kind::pages, "mine", second).set;
        b.work(100, 4);
        auto const third = take(b, backup_kind::full, "jet").set;
        auto sets = good(repository<sim_env>::open(env, "/repo"));
        CHECK(good(retire_sets(sets, log, "jet")) == 0); // no full one
        CHECK(good(retire_sets(sets, uuid{}, "jet")) == 0);
        CHECK(good(retire_sets(sets, second, "jet")) == 2);
        CHECK(sets_in(env).size() == 4);
        CHECK(good(retire_sets(sets, third, "jet")) == 0); // `second` carries a set that stays
        auto const left = sets_in(env);
        CHECK_FALSE((has(left, first) || has(left, log)));
        for (auto const& one : {mine, second, delta, third}) CHECK(has(left, one));
        CHECK(good(verify_repository(env, "/repo")).is_good());
        good(std::move(b.db).close());
    });
}

TEST_CASE(
    "a crash while sets retire leaves each whole or none, and the newest", "[backup][crash]"
) {
    auto tape = choice_tape{2};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto newest = uuid{};
    auto expected = model{};
    world.run([&] {
        auto b = bed<sim_policies>{env};
        b.work(60, 1);
        (void)take(b, backup_kind::full, "jet");
        b.work(30, 2);
        (void)take(b, backup_kind::incremental, "jet");
        newest = take(b, backup_kind::full, "jet").set;
        expected = b.expected;
        good(std::move(b.db).close());
    });
    auto const retire = [&] {
        auto sets = repository<sim_env>::open(env, "/repo");
        return sets.has_value() && retire_sets(sets.value(), newest, "jet").has_value();
    };
    auto const before = world.machine().save();
    world.run([&] { REQUIRE(retire()); });
    auto const changes = world.machine().changes();
    world.machine().restore(before);
    auto const first = world.machine().changes();
    REQUIRE(changes > first + 10);
    for (auto const policy :
         {crash_policy::none,
          crash_policy::all,
          crash_policy::names_first,
          crash_policy::names_last,
          crash_policy::newest_first}) {
        for (auto n = std::uint64_t{1}; n <= changes - first; ++n) {
            // All of two policies; of the others a sample.
            if (policy != crash_policy::none && policy != crash_policy::names_last && n % 3 != 0)
                continue;
            CAPTURE(n, name_of(policy));
            world.machine().restore(before);
            world.machine().crash_at_change(n);
            world.run([&] { (void)retire(); });
            world.machine().thaw(policy);
            world.run([&] {
                auto const report = good(verify_repository(env, "/repo"));
                for (auto const& found : report.findings)
                    FAIL(found.set << "/" << found.file << ": " << describe(found.why).c_str());
                auto const left = sets_in(env);
                CHECK(left.size() >= 1);
                if (!has(left, newest)) FAIL("the newest set is gone");
                CHECK(retire()); // and what was begun can be ended
                CHECK(sets_in(env) == std::vector{newest});
            });
        }
    }
    world.run([&] {
        (void)good(run_restore<sim_engine::traits>(env, "/repo", "/new"));
        expect_rows<sim_policies>(env, "/new", expected);
    });
}

} // namespace jetpp_test::retire_sets_cases
