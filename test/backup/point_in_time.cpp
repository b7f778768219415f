// test/backup/point_in_time.cpp - restores to any moment that the log of the sets reaches.
#include <jetpp/backup.hpp>
#include <jetpp/log/replay.hpp>
#include <jetpp/restore.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::point_in_time_cases {

using namespace jetpp;

using traits = bed<sim_policies>::traits;
using env_type = bed<sim_policies>::environment_type;

template <class Body>
void on_simulated_machine(Body&& body) {
    auto tape = choice_tape{20};
    auto world = simulated_world{tape};
    world.run([&] { body(world.environment()); });
}

// Leaves nothing at the path, so that the next restore finds it new.
void wipe(env_type env, path_view path) {
    auto where = good(env.storage.open_dir(path, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(where.list(entries));
    for (auto const& entry : entries)
        if (entry.kind == entry_kind::file) good(where.remove(entry.name));
}

model restored_rows(env_type env, restore_options const& how) {
    auto const done = run_restore<traits>(env, {"/repo"}, "/at", how);
    if (!done) FAIL(describe(done.error()).c_str());
    auto options = small_engine;
    options.create = create_how::must_exist;
    auto rows = model{};
    {
        auto db = good(engine<sim_policies>::open("/at", options, env));
        rows = rows_of(db, "main", "rows");
        good(std::move(db).close());
    }
    wipe(env, "/at");
    return rows;
}

// A bed whose every commit is known: where its record stands, and the rows as they were then.
struct told_bed : bed<sim_policies> {
    explicit told_bed(env_type of) : bed<sim_policies>{of} {}
    struct moment {
        lsn at{};
        std::string key{};
        std::string value{}; // empty: erased
    };
    std::vector<moment> moments{};
    model before{}; // the first of them
    model rows_now{};

    void begin_telling() { before = rows_now = expected; }

    void one(std::mt19937& random) {
        auto const key = "key" + std::to_string(random() % 500);
        // What is not there is not erased: that commits nothing.
        auto const erases = random() % 4 == 0 && rows_now.contains(key);
        auto const value = std::string(1 + random() % 200, static_cast<char>('a' + random() % 26));
        auto const told = erases ? good(db.erase(rows, key, durability::memory))
                                 : good(db.put(rows, key, value, durability::memory));
        moments.push_back({told.at, key, erases ? std::string{} : value});
        if (erases)
            rows_now.erase(key);
        else
            rows_now[key] = value;
    }
    // When each of them was, as the log says.
    [[nodiscard]] std::vector<wall_time> times_below(lsn end) {
        auto walls = std::vector<wall_time>{};
        auto where = good(env.storage.open_dir("/db", directory_how::must_exist));
        auto log = good(replay<env_type>::open(
            env, where, {.from = moments[0].at, .up_to = end - 4096, .page_size = 4096}
        ));
        for (auto const& r : log) {
            if (!r) break;
            auto const* const commit = r.value().as<record::commit>();
            if (commit != nullptr && walls.size() < moments.size() &&
                r.value().at == moments[walls.size()].at)
                walls.push_back(commit->wall);
        }
        REQUIRE(walls.size() == moments.size());
        return walls;
    }
    // After the first n.
    [[nodiscard]] model rows_after(std::size_t n) const {
        auto made = before;
        for (std::size_t i = 0; i < n; ++i)
            if (moments[i].value.empty())
                made.erase(moments[i].key);
            else
                made[moments[i].key] = moments[i].value;
        return made;
    }
};

TEST_CASE("a restore reaches every commit of a long log, and just before it", "[backup][pitr]") {
    on_simulated_machine([](env_type env) {
        auto b = told_bed{env};
        b.work(800, 1);
        b.begin_telling();
        auto const full = good(run_backup_to(b.db, "/repo"));
        auto random = std::mt19937{7};
        auto const commits = std::size_t{2000};
        for (std::size_t i = 0; i < commits; ++i) {
            b.one(random);
            if (i % 500 == 250)
                (void)good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
            if (i % 64 == 0) (void)good(b.db.poll());
        }
        // Somebody is unfinished all the time.
        auto open = good(b.db.begin());
        good(open.put(b.rows, "unfinished", "row"));
        (void)good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
        std::move(open).rollback();

        auto const restores = std::min<std::size_t>(commits, rounds(40));
        auto const step = commits / restores;
        for (std::size_t i = 0; i < commits; i += step) {
            CAPTURE(i);
            auto how = restore_options{};
            how.to_lsn = b.moments[i].at;
            if (restored_rows(b.env, how) != b.rows_after(i + 1))
                FAIL("not the rows of that commit");
            if (b.moments[i].at - 1 < full.end_lsn) continue;
            how.to_lsn = lsn{b.moments[i].at.value - 1};
            if (restored_rows(b.env, how) != b.rows_after(i))
                FAIL("not the rows before that commit");
        }
    });
}

TEST_CASE("moments that the sets do not reach are refused by name", "[backup][pitr]") {
    on_simulated_machine([](env_type env) {
        auto b = told_bed{env};
        b.work(300, 2);
        auto const full = good(run_backup_to(b.db, "/repo"));
        auto const attempt = [&](lsn at) {
            auto how = restore_options{};
            how.to_lsn = at;
            return run_restore<traits>(b.env, {"/repo"}, "/at", how);
        };
        auto const early = attempt(full.begin_lsn);
        REQUIRE_FALSE(early);
        CHECK(early.error().code == errc::target_before_set_end);
        auto const earliest = early.error().at;
        CHECK(earliest == full.copy_end_lsn - 1);
        CHECK(attempt(earliest));
        wipe(b.env, "/at");
        auto const late = attempt(full.end_lsn + 8000);
        REQUIRE_FALSE(late);
        CHECK(late.error().code == errc::target_not_reached);
        CHECK(late.error().at == full.end_lsn);
    });
}

TEST_CASE(
    "a restore to a time has what was committed by then, if a later one tells", "[backup][pitr]"
) {
    on_simulated_machine([](env_type env) {
        auto b = told_bed{env};
        b.work(100, 3);
        b.begin_telling();
        (void)good(run_backup_to(b.db, "/repo"));
        auto random = std::mt19937{8};
        for (auto i = 0; i < 300; ++i) {
            b.one(random);
            if (i == 150)
                (void)good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
        }
        auto const last = good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
        auto const walls = b.times_below(last.end_lsn);
        auto const restores = rounds(12);
        for (std::uint64_t i = 0; i < restores; ++i) {
            auto const k = static_cast<std::size_t>(i * (walls.size() - 20) / restores);
            CAPTURE(k);
            auto how = restore_options{};
            how.to_time = walls[k];
            // Times may be equal: all that bear it are in.
            auto const count = static_cast<std::size_t>(
                std::upper_bound(walls.begin(), walls.end(), walls[k]) - walls.begin()
            );
            if (count == walls.size()) continue;
            if (restored_rows(b.env, how) != b.rows_after(count)) FAIL("not the rows of that time");
        }
        auto how = restore_options{};
        how.to_time = wall_time{walls.back().ns + 3'600'000'000'000};
        auto const unknown = run_restore<traits>(b.env, {"/repo"}, "/at", how);
        REQUIRE_FALSE(unknown);
        CHECK(unknown.error().code == errc::target_not_reached);
    });
}

TEST_CASE("a restore point is found by its label, or by label and LSN", "[backup][pitr]") {
    on_simulated_machine([](env_type env) {
        auto b = told_bed{env};
        b.begin_telling();
        (void)good(run_backup_to(b.db, "/repo"));
        auto random = std::mt19937{9};
        auto points = std::vector<std::pair<lsn, std::size_t>>{};
        for (auto i = 0; i < 90; ++i) {
            b.one(random);
            if (i % 30 == 10)
                points.emplace_back(
                    good(b.db.mark_restore_point(i == 10 ? "release" : "nightly")), b.moments.size()
                );
        }
        (void)good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
        auto how = restore_options{};
        how.to_point = "release";
        CHECK(restored_rows(b.env, how) == b.rows_after(points[0].second));
        how.to_point = "nightly";
        CHECK(code_of(run_restore<traits>(b.env, {"/repo"}, "/at", how)) == errc::ambiguous_label);
        for (auto i : {1U, 2U}) {
            how.to_point = "nightly@" + std::to_string(points[i].first.value);
            CHECK(restored_rows(b.env, how) == b.rows_after(points[i].second));
        }
        how.to_point = "nightly@4711";
        CHECK(code_of(run_restore<traits>(b.env, {"/repo"}, "/at", how)) == errc::not_found);
        // An @ may be part of a label, too.
        auto const at_home = good(b.db.mark_restore_point("me@1"));
        (void)good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
        how.to_point = "me@1";
        CHECK(restored_rows(b.env, how) == b.rows_after(b.moments.size()));
        how.to_point += "@" + std::to_string(at_home.value);
        CHECK(restored_rows(b.env, how) == b.rows_after(b.moments.size()));
        how.to_point = "never";
        CHECK(code_of(run_restore<traits>(b.env, {"/repo"}, "/at", how)) == errc::not_found);
    });
}

// A copy needs no log of the chain before it and brings none: what was logged between the two is in
// no set.
TEST_CASE("moments below a hole in the log are found, those in it refused", "[backup][pitr]") {
    on_simulated_machine([](env_type env) {
        auto b = told_bed{env};
        b.begin_telling();
        (void)good(run_backup_to(b.db, "/repo"));
        auto random = std::mt19937{10};
        auto const some = [&](int n) {
            for (auto i = 0; i < n; ++i) b.one(random);
        };
        some(60);
        auto const early = good(b.db.mark_restore_point("early"));
        auto const early_count = b.moments.size();
        some(60);
        auto const chain = good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
        auto const chain_count = b.moments.size();
        some(600);
        (void)good(b.db.mark_restore_point("lost"));
        some(600);
        good(b.db.checkpoint());
        some(20);
        auto const late = good(b.db.mark_restore_point("late"));
        some(20);
        auto const copy = good(run_backup_to(b.db, "/repo", {.kind = backup_kind::copy}));
        REQUIRE(chain.end_lsn < copy.begin_lsn);

        auto const walls = b.times_below(copy.end_lsn);
        auto const by_time = [&](std::size_t k) {
            auto how = restore_options{};
            how.to_time = walls[k];
            return how;
        };
        auto const by_label = [](std::string const& label) {
            auto how = restore_options{};
            how.to_point = label;
            return how;
        };
        auto const refused = [&](restore_options const& how) {
            auto const done = run_restore<traits>(b.env, {"/repo"}, "/at", how);
            REQUIRE_FALSE(done);
            return done.error();
        };
        auto const bears = [&](std::size_t k) {
            return static_cast<std::size_t>(
                std::upper_bound(walls.begin(), walls.end(), walls[k]) - walls.begin()
            );
        };
        REQUIRE(bears(30) < chain_count);
        CHECK(restored_rows(b.env, by_time(30)) == b.rows_after(bears(30)));
        auto const segment = small_engine.segment_bytes;
        auto const in_hole = refused(by_time(chain_count + 300));
        CHECK(in_hole.code == errc::log_gap);
        CHECK(in_hole.at == first_lsn(generation_of(chain.end_lsn, segment), segment));
        // All that the chain holds is earlier, and what follows is not here.
        CHECK(refused(by_time(chain_count - 1)).code == errc::log_gap);
        auto beyond = by_time(0);
        beyond.to_time = wall_time{walls.back().ns + 3'600'000'000'000};
        CHECK(refused(beyond).code == errc::target_not_reached);

        // One is as good as several: who knows what stands in the hole.
        CHECK(refused(by_label("early")).code == errc::ambiguous_label);
        auto const told = by_label("early@" + std::to_string(early.value));
        CHECK(restored_rows(b.env, told) == b.rows_after(early_count));
        CHECK(refused(by_label("late")).at == late);
        CHECK(refused(by_label("lost")).code == errc::log_gap);
        CHECK(refused(by_label("lost")).at == in_hole.at);
    });
}

} // namespace jetpp_test::point_in_time_cases
