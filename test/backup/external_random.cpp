// test/backup/external_random.cpp - sessions under writers, and sessions of callers who lost their
// way: a good one restores to the prefix that it names, a bad one leaves no trace.
#include <jetpp/backup/external_restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <optional>
#include <random>
#include <utility>

#include "../budget.hpp"
#include "external_bed.hpp"

namespace jetpp_test::external_random_cases {

using namespace jetpp;

using task_engine = engine<task_policies>;
using task_traits = task_engine::traits;

constexpr open_options crowded{
    .buffer_bytes = 64 * 4096,
    .segment_bytes = 128 << 10,
    .log_ring_bytes = 128 << 10,
    .checkpoint_depth_bytes = 64 << 10,
    .checkpoint_every_bytes = 64 << 10,
    .process_durability = false,
};

// Writes keys of its own, one a commit, and remembers where each stands in the log.
struct writer {
    task_engine* db;
    tree into;
    unsigned number;
    std::uint64_t seed;
    bool* stop;
    std::vector<std::pair<lsn, std::pair<std::string, std::optional<std::string>>>> log{};

    static void run(void* raw) { static_cast<writer*>(raw)->work(); }
    void work() {
        auto random = std::mt19937{static_cast<unsigned>(seed)};
        while (!*stop && log.size() < 600) {
            auto const key = "w" + std::to_string(number) + "-" + std::to_string(random() % 300);
            if (random() % 4 == 0) {
                auto const done = db->erase(into, key, durability::memory);
                if (done) log.push_back({done.value().at, {key, std::nullopt}});
            } else {
                auto value = std::string(random() % 300, static_cast<char>('a' + random() % 26));
                auto const done = db->put(into, key, value, durability::memory);
                if (done) log.push_back({done.value().at, {key, std::move(value)}});
            }
        }
    }
};

model rows_below(std::vector<writer> const& writers, lsn end) {
    auto rows = model{};
    for (auto const& one : writers)
        for (auto const& [at, change] : one.log) {
            // Nothing was logged where nothing was there to erase: no moment, and no change.
            if (!at || at >= end) continue;
            if (change.second)
                rows[change.first] = *change.second;
            else
                rows.erase(change.first);
        }
    return rows;
}

// A full session, perhaps log sessions behind it, all while tasks write.
// Returns: how many commits a restore could aim at.
std::size_t simulate(std::uint64_t seed) {
    auto tape = choice_tape{seed};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto expected = model{};
    auto reached = lsn{};
    auto writers = std::vector<writer>{};
    auto moments = std::vector<lsn>{}; // commits behind the copy of the pages
    auto files = copied_files{};
    auto random = std::mt19937{static_cast<unsigned>(seed)};
    world.run([&] {
        auto db = good(task_engine::open("/db", crowded, env));
        good(db.attach("main"));
        db.core().store.databases()[0].file->set_growth_bytes_min(64 << 10);
        auto const rows = good(db.open_tree("main", "rows"));
        auto stop = false;
        for (auto i = 0U; i < 2; ++i) writers.push_back({&db, rows, i, seed * 2 + i, &stop});
        auto running = std::vector<simulated_task>{};
        for (auto& one : writers)
            running.push_back(good(simulated_runtime{}.spawn("writer", &writer::run, &one)));
        auto session = external_backup<task_traits>{db};
        good(session.begin());
        for (auto const& one : good(session.list_databases()))
            files[one.name] = good(read_whole(session, one.name, 4096U << random() % 6));
        copy_logs(session, files);
        auto report = good(session.end(external_end::normal));
        auto const copy_end = report.bounds.copy_end_lsn;
        for (auto i = random() % 3; i-- > 0;) {
            good(session.begin(backup_kind::incremental));
            copy_logs(session, files);
            report = good(session.end(external_end::normal));
        }
        reached = report.bounds.end_lsn;
        stop = true;
        for (auto& one : running) one.join();
        expected = rows_below(writers, reached);
        for (auto const& one : writers)
            for (auto const& [at, change] : one.log)
                if (at >= copy_end && at < reached) moments.push_back(at);
        good(std::move(db).close());
        lay_down(env, "/new", files);
    });
    CAPTURE(seed);
    world.run([&] {
        auto const report = external_restore<task_traits>(env, "/new");
        if (!report) FAIL(describe(report.error()).c_str());
        CHECK(report.value().reached == reached);
        auto db = good(task_engine::open("/new", crowded, env));
        if (rows_of(db, "main", "rows") != expected) FAIL("not the prefix below the end");
        good(std::move(db).close());
        // And to any commit on the way, at which others were unfinished.
        for (auto i = 0; i < 3 && !moments.empty(); ++i) {
            auto const at = moments[random() % moments.size()];
            CAPTURE(at.value);
            auto const where = "/to" + std::to_string(i);
            lay_down(env, path_view{where.c_str()}, files);
            auto const done =
                external_restore<task_traits>(env, path_view{where.c_str()}, {.to_lsn = at});
            if (!done) FAIL(describe(done.error()).c_str());
            auto then = good(task_engine::open(path_view{where.c_str()}, crowded, env));
            if (rows_of(then, "main", "rows") != rows_below(writers, at + 1))
                FAIL("not the prefix through the commit");
            good(std::move(then).close());
        }
    });
    return moments.size();
}

TEST_CASE(
    "a session under writers restores to the prefix below its end", "[backup][external][simulation]"
) {
    auto aims = std::size_t{0};
    for (std::uint64_t seed = 1; seed <= rounds(12); ++seed) aims += simulate(seed);
    CHECK(aims > 30);
}

TEST_CASE(
    "calls in any order never stamp half a copy, nor delete, nor leave a pin", "[backup][external]"
) {
    auto b = bed{};
    b.work(200, 1);
    auto session = external_backup<bed<>::traits>{b.db};
    auto other = external_backup<bed<>::traits>{b.db};
    auto const marks = [&] { return b.store().databases()[0].file->header().marks; };
    auto stamped = 0;
    for (auto seed = 1U; seed <= rounds(150); ++seed) {
        auto random = std::mt19937{seed};
        auto handles = std::vector<std::pair<external_handle, std::string>>{};
        auto whole = std::map<std::string, bool>{}; // read to the end and closed
        auto names = std::vector<std::string>{"main", "nobody", "jet.0000000000000001.log"};
        auto buffer = std::vector<std::byte>(1 << 20);
        auto oldest = segments_in(b.env, "/db").front();
        auto const read_one = [&](std::string const& name) {
            auto const opened = session.open(name);
            if (!opened) return;
            for (;;) {
                auto const n = session.read(opened.value(), buffer);
                if (!n) return;
                if (n.value() == 0) break;
            }
            if (session.close(opened.value())) whole[name] = true;
        };
        for (auto step = 0; step < 40; ++step) {
            CAPTURE(seed, step);
            auto const before = marks();
            auto ended_well = false;
            auto was_whole = true;
            switch (random() % 14) {
            case 12: read_one("main"); break;
            case 13: {
                auto const logs = session.list_logs();
                if (!logs) break;
                for (auto const& one : logs.value()) whole.emplace(one.name, false);
                for (auto const& one : logs.value()) read_one(one.name);
                break;
            }
            case 0:
                if (session.begin()) whole.clear();
                break;
            case 1: (void)session.list_databases(); break;
            case 2:
            case 3: {
                auto const name = names[random() % names.size()];
                auto const opened = session.open(name);
                if (opened) handles.emplace_back(opened.value(), name);
                break;
            }
            case 4:
            case 5:
                if (!handles.empty())
                    while (true) {
                        auto const n = session.read(handles.back().first, buffer);
                        if (!n) break;
                        if (n.value() != 0) continue;
                        if (session.close(handles.back().first)) {
                            whole[handles.back().second] = true;
                            handles.pop_back();
                        }
                        break;
                    }
                break;
            case 6:
                if (!handles.empty() && session.close(handles.back().first)) handles.pop_back();
                break;
            case 7:
            case 8: {
                auto const logs = session.list_logs();
                if (logs)
                    for (auto const& one : logs.value()) {
                        names.push_back(one.name);
                        whole.emplace(one.name, false);
                    }
                break;
            }
            case 9: {
                for (auto const& [name, read] : whole) was_whole = was_whole && read;
                was_whole = was_whole && whole["main"];
                auto const ended =
                    session.end(random() % 8 == 0 ? external_end::abort : external_end::normal);
                ended_well = ended && ended.value().stamped;
                if (session.now().phase == external_phase::none) handles.clear();
                break;
            }
            case 10:
                if (random() % 4 == 0) session.stop();
                break;
            case 11:
                if (random() % 4 == 0) {
                    auto const mine = session.now().phase;
                    auto const began = other.begin();
                    CHECK(began.has_value() == (mine == external_phase::none));
                    if (began) (void)good(other.end(external_end::abort));
                    CHECK(session.now().phase == mine);
                }
                break;
            }
            REQUIRE((marks() != before) == ended_well);
            if (ended_well) {
                REQUIRE(was_whole);
                ++stamped;
            }
            REQUIRE(segments_in(b.env, "/db").front() == oldest); // nobody asked to truncate
            REQUIRE(b.store().is_pinned() == (session.now().phase != external_phase::none));
        }
        (void)session.end(external_end::abort);
        CHECK_FALSE(b.store().is_pinned());
        b.work(3, seed);
    }
    CHECK(stamped > 3);
}

TEST_CASE(
    "a crash at any storage call of a session leaves the instance, and a mark or none",
    "[backup][external][crash]"
) {
    using sim_engine = engine<sim_policies>;
    auto tape = choice_tape{9};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto expected = model{};
    world.run([&] {
        auto b = bed<sim_policies>{env};
        b.work(60, 1);
        expected = b.expected;
        good(std::move(b.db).close());
    });
    auto const before = world.machine().save();
    // Returns: was it told that the session is good?
    auto const live = [&](bool truncates) -> bool {
        auto db = sim_engine::open("/db", small_engine, env);
        if (!db) return false;
        auto session = external_backup<sim_engine::traits>{db.value()};
        auto buffer = std::vector<std::byte>(1 << 20);
        auto const copy = [&](std::string const& name) -> result<void> {
            BOOST_OUTCOME_TRY(auto const handle, session.open(name));
            for (;;) {
                BOOST_OUTCOME_TRY(auto const n, session.read(handle, buffer));
                if (n == 0) return session.close(handle);
            }
        };
        auto const done = [&]() -> result<external_report> {
            BOOST_OUTCOME_TRY(session.begin());
            BOOST_OUTCOME_TRY(auto const databases, session.list_databases());
            for (auto const& one : databases) {
                BOOST_OUTCOME_TRY(copy(one.name));
            }
            BOOST_OUTCOME_TRY(auto const logs, session.list_logs());
            for (auto const& one : logs) {
                BOOST_OUTCOME_TRY(copy(one.name));
            }
            if (truncates) {
                BOOST_OUTCOME_TRY(session.truncate());
            }
            return session.end(external_end::normal);
        }();
        return done && done.value().stamped;
    };
    world.run([&] { REQUIRE(live(true)); });
    auto const calls = world.machine().calls();
    world.machine().restore(before);
    auto const first = world.machine().calls();
    auto told = 0;
    auto marked = 0;
    for (auto const policy :
         {crash_policy::none, crash_policy::all, crash_policy::random, crash_policy::kill}) {
        for (auto n = std::uint64_t{1}; n <= calls - first; ++n) {
            if (n + 60 < calls - first && n % 7 != static_cast<std::uint64_t>(policy) % 7) continue;
            world.machine().restore(before);
            world.machine().crash_at(n);
            auto was_told = false;
            world.run([&] { was_told = live(n % 2 == 0); });
            world.machine().thaw(policy);
            auto problem = std::string{};
            auto rows = model{};
            auto has_mark = false;
            world.run([&] {
                auto db = sim_engine::open("/db", small_engine, env);
                if (!db) {
                    problem = describe(db.error()).c_str();
                    return;
                }
                rows = rows_of(db.value(), "main", "rows");
                auto& store = db.value().core().store;
                auto const mark = store.databases()[0].file->header().mark(mark_kind::full);
                has_mark = mark.exists();
                // No hole: the log that is left begins below what the marks and the headers need.
                if (store.is_pinned()) problem = "a pin outlived its process";
                if (!has_mark && store.log().oldest_kept() > first_lsn(1, store.segment_bytes()))
                    problem = "log was deleted without a stamp";
                auto again = external_backup<sim_engine::traits>{store};
                if (auto const begun = again.begin(); !begun)
                    problem = describe(begun.error()).c_str();
            });
            CAPTURE(n, name_of(policy));
            if (!problem.empty()) FAIL(problem);
            if (rows != expected) FAIL("the instance lost rows");
            if (was_told && !has_mark) FAIL("a session that ended well is forgotten");
            told += was_told ? 1 : 0;
            marked += has_mark ? 1 : 0;
        }
    }
    CHECK(marked >= told);
    CHECK(marked > 0);
}

} // namespace jetpp_test::external_random_cases
