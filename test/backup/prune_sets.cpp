// test/backup/prune_sets.cpp - what goes when a repository keeps the newest, what stays, and a machine
// that stops meanwhile. That every moment kept can be had: chains.cpp.
#include <jetpp/backup.hpp>
#include <jetpp/backup/prune_sets.hpp>
#include <jetpp/restore.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::prune_sets_cases {

using namespace jetpp;

using sim_engine = engine<sim_policies>;
using sim_env = sim_engine::environment_type;
using traits = sim_engine::traits;

std::vector<uuid> sorted(std::vector<uuid> all) {
    std::sort(all.begin(), all.end(), [](uuid const& a, uuid const& b) {
        return text_of(a) < text_of(b);
    });
    return all;
}
std::vector<uuid> sets_in(sim_env env) {
    auto sets = good(repository<sim_env>::open(env, "/repo"));
    auto ids = std::vector<uuid>{};
    for (auto const& one : good(list_sets(sets))) ids.push_back(one.manifest.set);
    return sorted(std::move(ids));
}
prune_report pruned(sim_env env, prune_options const& how) {
    auto sets = good(repository<sim_env>::open(env, "/repo"));
    return good(prune_sets(sets, how));
}

// full, incremental, full, incremental, copy, delta over the second full
struct kept_world {
    uuid first{}, log{}, second{}, more{}, copy{}, delta{};
    model expected{};

    explicit kept_world(sim_env env) {
        auto b = bed<sim_policies>{env};
        auto seed = 1U;
        auto const take = [&](backup_kind kind, std::optional<backup_base> base = {}) {
            b.work(60, seed++);
            auto options = backup_options{};
            options.kind = kind;
            options.base = std::move(base);
            return good(run_backup_to(b.db, "/repo", options)).set;
        };
        first = take(backup_kind::full);
        log = take(backup_kind::incremental);
        second = take(backup_kind::full);
        more = take(backup_kind::incremental);
        copy = take(backup_kind::copy);
        auto sets = good(repository<sim_env>::open(env, "/repo"));
        for (auto const& one : good(list_sets(sets)))
            if (one.manifest.set == second)
                delta = take(backup_kind::pages, backup_base{one.manifest, one.hash});
        expected = b.expected;
        good(std::move(b.db).close());
    }
    [[nodiscard]] std::vector<uuid> all() const {
        return sorted({first, log, second, more, copy, delta});
    }
    // With one kept: the copy and what is younger, what that stands on, and the chain's newest.
    [[nodiscard]] std::vector<uuid> left_of_one() const {
        return sorted({second, more, copy, delta});
    }
};

TEST_CASE("what is older than the pages kept goes, unless something stands on it", "[backup]") {
    auto tape = choice_tape{31};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto const w = kept_world{env};
        auto sets = good(repository<sim_env>::open(env, "/repo"));
        auto oldest = backup_base{};
        for (auto const& one : good(list_sets(sets)))
            if (one.manifest.set == w.first) oldest = {one.manifest, one.hash};
        CHECK(code_of(prune_sets(sets, {})) == errc::invalid_argument);
        CHECK(pruned(env, {.keep = 9}).gone.empty());
        CHECK(pruned(env, {.keep = 3}).gone.empty());

        auto const asked = pruned(env, {.keep = 1, .dry_run = true});
        REQUIRE(asked.gone.size() == 2);
        CHECK(asked.gone[0].set == w.log); // the younger one first
        CHECK(asked.gone[1].set == w.first);
        CHECK(asked.kept == 4);
        CHECK(asked.bytes == asked.gone[0].bytes + asked.gone[1].bytes);
        CHECK(asked.gone[0].bytes > 0);
        CHECK(sets_in(env) == w.all());

        for (auto const& id : {w.first, w.second})
            good(add_proof(env, sets, {.set = id, .time = wall_time{1'000'000'000}}));
        CHECK(pruned(env, {.keep = 2}).gone.size() == 2); // the copy and the second full
        auto const proofs = good(list_proofs(sets));
        REQUIRE(proofs.size() == 1);
        CHECK(proofs[0].proof->set == w.second);
        CHECK(sets_in(env) == w.left_of_one());
        CHECK(pruned(env, {.keep = 1}).gone.empty());
        for (auto const& id : w.left_of_one()) {
            auto how = restore_options{};
            how.set = text_of(id);
            how.force = true;
            (void)good(run_restore<traits>(env, {"/repo"}, "/at", how));
        }
        // The next of the chain finds what it stands on.
        auto db = good(sim_engine::open("/db", small_engine, env));
        (void)good(run_backup_to(db, "/repo", {.kind = backup_kind::incremental}));
        (void)good(run_backup_to(db, "/repo", {.kind = backup_kind::differential}));
        // Who had read of a set before it went does not build on it.
        auto late = backup_options{.kind = backup_kind::pages, .base = oldest};
        CHECK(code_of(run_backup_to(db, "/repo", late)) == errc::base_not_here);
        late.base->lies_elsewhere = true;
        (void)good(run_backup_to(db, "/repo", late));
        good(std::move(db).close());
    });
}

TEST_CASE("nothing goes while a set is made, nor what cannot be read", "[backup]") {
    auto tape = choice_tape{32};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto const w = kept_world{env};
        auto sets = good(repository<sim_env>::open(env, "/repo"));
        {
            auto const sink = good(directory_sink<sim_env>::create(env, sets));
            CHECK(code_of(prune_sets(sets, {.keep = 1})) == errc::in_use);
        }
        CHECK(sets_in(env) == w.all());
        // A manifest with a byte too many, and a directory that never had one.
        for (auto const& one : good(list_sets(sets))) {
            if (one.manifest.set != w.first) continue;
            auto set = good(sets.open_set(one.name));
            auto file = good(set.open(manifest_file_name, {.mode = open_mode::read_write}));
            auto const size = good(file.size());
            good(file.truncate(size + 1));
            good(file.close());
        }
        auto unfinished = file_name{};
        unfinished.add("20250101T000000Z-full-unfinished");
        auto half = good(sets.make_set(unfinished));
        auto part = good(half.open(
            file_name{"part-0000-main.jbs"},
            {.mode = open_mode::create_new, .io = io_mode::buffered}
        ));
        good(part.close());

        auto const blocked = pruned(env, {.keep = 1, .orphans = true});
        CHECK(blocked.blocked);
        CHECK(blocked.gone.empty());
        CHECK(blocked.orphans.empty());
        CHECK(good(sets.list()).size() == 7);
        auto const report = pruned(env, {.keep = 1, .despite_damage = true});
        CHECK_FALSE(report.blocked);
        CHECK(report.gone.size() == 1);
        CHECK(report.damaged.size() == 1);
        CHECK(report.orphans.empty());
        CHECK(good(sets.list()).size() == 6); // five sets, one of them damaged, and the directory
        auto const again = pruned(env, {.keep = 1, .orphans = true, .despite_damage = true});
        CHECK(again.gone.empty());
        REQUIRE(again.orphans.size() == 1);
        CHECK(again.orphans[0] == unfinished.view());
        CHECK(good(sets.list()).size() == 5);
    });
}

TEST_CASE("a set whose parts are not there stands for no other", "[backup]") {
    auto tape = choice_tape{35};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto const w = kept_world{env};
        auto sets = good(repository<sim_env>::open(env, "/repo"));
        auto const lost = [&](uuid const& set, bool cut) {
            for (auto const& one : good(list_sets(sets))) {
                if (one.manifest.set != set) continue;
                auto where = good(sets.open_set(one.name));
                auto const name = good(file_name::make(one.manifest.parts.front().name));
                if (!cut) return good(where.remove(name));
                auto file = good(where.open(name, {.mode = open_mode::read_write}));
                good(file.truncate(good(file.size()) - 1));
                return good(file.close());
            }
        };
        lost(w.copy, false);
        // The newest with all pages is the second full, and what is older than that goes.
        auto const asked = pruned(env, {.keep = 1, .dry_run = true});
        CHECK(asked.gone.size() == 2);
        CHECK(asked.damaged.size() == 1);
        lost(w.second, true);
        CHECK(pruned(env, {.keep = 1}).gone.empty());
        CHECK(sets_in(env) == w.all());
    });
}

TEST_CASE("a set of some databases stands for no set of others", "[backup][subset]") {
    auto tape = choice_tape{36};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto b = bed<sim_policies>{env};
        good(b.db.attach("other"));
        auto const take = [&](backup_kind kind, std::vector<std::string> databases) {
            b.work(40, 7);
            auto options = backup_options{};
            options.kind = kind;
            options.databases = std::move(databases);
            return good(run_backup_to(b.db, "/repo", options)).set;
        };
        auto const old = take(backup_kind::full, {});
        auto const main = take(backup_kind::full, {"main"});
        auto const other = take(backup_kind::full, {"other"});
        auto const log = take(backup_kind::incremental, {});
        CHECK(pruned(env, {.keep = 1}).gone.size() == 0); // none has both but the old one
        auto const again = take(backup_kind::full, {"other"});
        CHECK(pruned(env, {.keep = 1}).gone.empty()); // the log names the one before
        auto const both = take(backup_kind::full, {});
        auto const next = take(backup_kind::incremental, {});
        auto const went = pruned(env, {.keep = 1});
        CHECK(went.gone.size() == 5);
        CHECK(sets_in(env) == sorted({both, next}));
        CHECK(old != main);
        CHECK(other != again);
        CHECK(log != next);
        good(std::move(b.db).close());
        auto how = restore_options{};
        how.databases = {"main"};
        (void)good(run_restore<traits>(env, {"/repo"}, "/at", how));
        expect_rows<sim_policies>(env, "/at", b.expected);
    });
}

// Of two bases before a fork and one behind it the younger history has the first and the last.
TEST_CASE("a base behind a fork stands for none in the history that left there", "[backup]") {
    auto tape = choice_tape{12};
    auto world = simulated_world{tape};
    world.run([&] {
        auto env = world.environment();
        auto first = uuid{};
        {
            auto b = bed<sim_policies>{env};
            b.work(60, 1);
            first = good(run_backup_to(b.db, "/repo")).set;
            b.work(60, 2);
            (void)good(run_backup_to(b.db, "/repo"));
            good(std::move(b.db).close());
        }
        auto how = restore_options{};
        how.set = text_of(first);
        (void)good(run_restore<traits>(env, {"/repo"}, "/new", how));
        auto at = lsn{};
        {
            auto db = good(sim_engine::open("/new", small_engine, env));
            at = good(db.put(good(db.open_tree("main", "rows")), "new", "row")).at;
            (void)good(run_backup_to(db, "/repo"));
            good(std::move(db).close());
        }
        how.to_lsn = at;
        auto const reach = [&](path_view where) {
            auto pool = set_pool<sim_env>{};
            good(pool.add_source(env, "/repo"));
            auto newest = uuid{};
            auto end = lsn{};
            for (std::size_t i = 0; i < pool.size(); ++i)
                if (end < pool.manifest(i).end_lsn) {
                    end = pool.manifest(i).end_lsn;
                    newest = pool.manifest(i).set;
                }
            how.set = text_of(newest);
            return run_restore<traits>(env, {"/repo"}, where, how).has_value();
        };
        REQUIRE(reach("/before"));
        CHECK(pruned(env, {.keep = 2}).gone.empty());
        CHECK(reach("/after"));
        CHECK(pruned(env, {.keep = 1}).gone.size() == 1);
    });
}

// Its pages are no pages of the younger history; its log is, up to the fork.
TEST_CASE("log that leads to a fork stays, though its set's pages are from behind it", "[backup]") {
    auto tape = choice_tape{13};
    auto world = simulated_world{tape};
    world.run([&] {
        auto env = world.environment();
        auto how = restore_options{};
        auto mid = lsn{};
        {
            auto b = bed<sim_policies>{env};
            b.work(60, 1);
            (void)good(run_backup_to(b.db, "/repo"));
            auto const rows = good(b.db.open_tree("main", "rows"));
            mid = good(b.db.put(rows, "mid", "row")).at;
            how.to_lsn = good(b.db.put(rows, "fork", "row")).at;
            b.work(60, 2);
            how.set = text_of(good(run_backup_to(b.db, "/repo")).set);
            for (auto const seed : {3U, 4U}) {
                b.work(60, seed);
                (void)good(run_backup_to(b.db, "/repo"));
            }
            good(std::move(b.db).close());
        }
        (void)good(run_restore<traits>(env, {"/repo"}, "/new", how));
        {
            auto db = good(sim_engine::open("/new", small_engine, env));
            how.set = text_of(good(run_backup_to(db, "/repo")).set);
            good(std::move(db).close());
        }
        how.to_lsn = mid;
        (void)good(run_restore<traits>(env, {"/repo"}, "/before", how));
        CHECK(pruned(env, {.keep = 2}).gone.empty());
        (void)good(run_restore<traits>(env, {"/repo"}, "/after", how));
        CHECK(pruned(env, {.keep = 1}).gone.size() == 3);
    });
}

TEST_CASE("histories that parted are kept apart", "[backup]") {
    auto tape = choice_tape{33};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto const w = kept_world{env};
        auto how = restore_options{};
        how.set = text_of(w.more);
        (void)good(run_restore<traits>(env, {"/repo"}, "/other", how));
        auto db = good(sim_engine::open("/other", small_engine, env));
        auto const young = good(run_backup_to(db, "/repo")).set;
        auto const younger = good(run_backup_to(db, "/repo")).set;
        good(std::move(db).close());
        CHECK(pruned(env, {.keep = 1}).gone.size() == 3);
        auto left = w.left_of_one();
        left.push_back(younger);
        CHECK(sets_in(env) == sorted(left));
        CHECK(young != younger);
    });
}

TEST_CASE("where a set that stays has no plan all of its history stays", "[backup]") {
    auto tape = choice_tape{35};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto const w = kept_world{env};
        auto sets = good(repository<sim_env>::open(env, "/repo"));
        auto newest = std::string{};
        for (auto const& one : good(list_sets(sets))) {
            if (one.manifest.set == w.more) newest = one.name.view();
            if (one.manifest.set == w.first || one.manifest.set == w.second)
                good(sets.withdraw_set(one.name)); // somebody took them elsewhere
        }
        auto const report = pruned(env, {.keep = 1});
        CHECK(report.gone.empty()); // who knows whether the older log is needed there
        REQUIRE_FALSE(report.unplanned.empty());
        CHECK(report.unplanned[0] == newest);
        CHECK(sets_in(env) == sorted({w.log, w.more, w.copy, w.delta}));
    });
}

TEST_CASE(
    "a crash at any call of a pruning leaves whole sets, and all that stay", "[backup][crash]"
) {
    auto tape = choice_tape{34};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto w = std::optional<kept_world>{};
    world.run([&] { w.emplace(env); });
    auto const before = world.machine().save();
    auto first = world.machine().calls();
    world.run([&] { (void)pruned(env, {.keep = 1}); });
    auto const calls = world.machine().calls() - first;
    REQUIRE(calls > 10);
    auto cut = 0;
    for (auto const policy : crash_policies)
        for (auto n = std::uint64_t{1}; n <= calls; ++n) {
            CAPTURE(n, static_cast<int>(policy));
            world.machine().restore(before);
            world.machine().crash_at(n);
            world.run([&] {
                auto sets = repository<sim_env>::open(env, "/repo");
                if (sets) (void)prune_sets(sets.value(), {.keep = 1});
            });
            world.machine().thaw(policy);
            world.run([&] {
                auto const left = sets_in(env);
                for (auto const& id : w->left_of_one())
                    CHECK(std::find(left.begin(), left.end(), id) != left.end());
                cut += left.size() == 5 ? 1 : 0;
                // Each that is still a set is whole, and the next call does the rest.
                auto how = restore_options{};
                for (auto const& id : {w->first, w->log}) {
                    if (std::find(left.begin(), left.end(), id) == left.end()) continue;
                    how.set = text_of(id);
                    CHECK(run_restore<traits>(env, {"/repo"}, "/at", how));
                    how.force = true; // the other goes over it
                }
                (void)pruned(env, {.keep = 1, .orphans = true});
                CHECK(sets_in(env) == w->left_of_one());
                auto sets = good(repository<sim_env>::open(env, "/repo"));
                CHECK(good(sets.list()).size() == 4);
            });
        }
    CHECK(cut > 5);
}

} // namespace jetpp_test::prune_sets_cases
