// test/backup/retire_sets.cpp - which sets go behind a newer full one, and a machine that stops meanwhile.
#include <jetpp/backup.hpp>
#include <jetpp/backup/retire_sets.hpp>
#include <jetpp/restore.hpp>

#include <algorithm>
#include <array>
#include <random>
#include <string_view>
#include <vector>

#include "../budget.hpp"
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

TEST_CASE("no set retires while another is made, for it may be the base", "[backup]") {
    auto tape = choice_tape{4};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto b = bed<sim_policies>{env};
        b.work(200, 1);
        auto const first = take(b, backup_kind::full, "jet").set;
        b.work(100, 2);
        auto sets = good(repository<sim_env>::open(env, "/repo"));
        {
            auto options = backup_options{};
            options.kind = backup_kind::incremental;
            options.find_base = [&](uuid const& set, std::uint64_t hash) {
                return sets.find_set(set, hash);
            };
            auto sink = good(directory_sink<sim_env>::create(env, sets));
            auto job =
                backup_job<sim_engine::traits, directory_sink<sim_env>>{b.store(), sink, options};
            good(job.open());
            auto chunk = good(backup_chunk::create());
            auto more = good(job.read(chunk));
            b.work(100, 3);
            auto const second = take(b, backup_kind::full, "jet").set; // makes its set meanwhile
            CHECK(code_of(retire_sets(sets, second, "jet")) == errc::in_use);
            for (; more; more = good(job.read(chunk))) good(job.write(chunk));
            (void)good(job.finish());
            CHECK(good(retire_sets(sets, second, "jet")) == 0); // and now it is known
        }
        CHECK(has(sets_in(env), first));
        CHECK(good(verify_repository(env, "/repo")).is_good());
        {
            auto given_up = good(directory_sink<sim_env>::create(env, sets));
            given_up.abandon();
            CHECK(sets.hold_alone().has_value());
        }
        good(std::move(b.db).close());
    });
}

// Makes sets, and retires the older ones behind each full one, beside others who do the same.
struct keeper {
    engine<task_policies>* db;
    sim_env env;
    std::string_view tag;
    unsigned seed;
    unsigned retired = 0;
    unsigned refused = 0;
    static void run(void* raw) {
        auto& self = *static_cast<keeper*>(raw);
        auto random = std::mt19937{self.seed};
        for (auto i = 0; i < 6; ++i) {
            auto options = backup_options{};
            options.kind = random() % 2 == 0 ? backup_kind::full : backup_kind::incremental;
            options.tag = self.tag;
            auto const made = run_backup_to(*self.db, "/repo", options);
            if (!made) { // its base had gone, before it was held
                if (made.error().code != errc::base_not_here) FAIL(describe(made.error()).c_str());
                continue;
            }
            auto sets = good(repository<sim_env>::open(self.env, "/repo"));
            auto const gone = retire_sets(sets, made.assume_value().set, self.tag);
            if (gone)
                self.retired += static_cast<unsigned>(gone.assume_value());
            else if (gone.error().code == errc::in_use)
                ++self.refused;
            else
                FAIL(describe(gone.error()).c_str());
        }
    }
};

TEST_CASE("backups of several into one repository leave only sets that restore", "[backup]") {
    auto retired = 0U;
    auto refused = 0U;
    for (std::uint64_t seed = 1; seed <= rounds(6); ++seed) {
        CAPTURE(seed);
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        auto const env = world.environment();
        world.run([&] {
            auto b = bed<task_policies>{env};
            b.work(40, static_cast<unsigned>(seed));
            (void)good(run_backup_to(b.db, "/repo"));
            auto keepers = std::array{
                keeper{&b.db, env, "jet", static_cast<unsigned>(seed)},
                keeper{&b.db, env, "jet", static_cast<unsigned>(seed) + 1000},
                keeper{&b.db, env, "mine", static_cast<unsigned>(seed) + 2000},
            };
            auto tasks = std::vector<simulated_task>{};
            for (auto& one : keepers)
                tasks.push_back(good(simulated_runtime{}.spawn("keeper", &keeper::run, &one)));
            b.work(60, static_cast<unsigned>(seed) + 1);
            for (auto& one : tasks) one.join();
            for (auto const& one : keepers) {
                retired += one.retired;
                refused += one.refused;
            }
            good(std::move(b.db).close());
            auto const report = good(verify_repository(env, "/repo"));
            for (auto const& found : report.findings)
                FAIL(found.set << "/" << found.file << ": " << describe(found.why).c_str());
        });
    }
    CHECK(retired > 3);
    CHECK(refused > 3);
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
