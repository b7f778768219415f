// test/backup/under_writers.cpp - the restored state is the committed prefix that end_lsn names.
//
// Writers keep inserting, updating, erasing and rolling back while the backup copies. Each commit's
// ticket says where it stands in the log: those below end_lsn must be in the restored instance,
// those at or above must not, and no transaction in part.
#include <jetpp/backup.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::under_writers_cases {

using namespace jetpp;

struct thread_policies : bed_policies {
    using threading = multi_thread;
};
struct circular_task_policies : task_policies {
    using logging = circular_logging;
};

// Small enough that pages leave memory and come back all the time.
constexpr open_options crowded{
    .buffer_bytes = 64 * 4096,
    .segment_bytes = 128 << 10,
    .log_ring_bytes = 128 << 10,
    .checkpoint_depth_bytes = 64 << 10,
    .checkpoint_every_bytes = 64 << 10,
    .process_durability = false,
};

struct committed {
    lsn at{};
    std::vector<std::pair<std::string, std::optional<std::string>>> changes;
};

// One writer: keys of its own, so that what it was told is the whole truth about them.
template <class Engine>
struct writer {
    Engine* db;
    tree into;
    unsigned number;
    unsigned seed;
    std::vector<committed> log;

    template <class GoOn>
    void run(GoOn&& goes_on) {
        auto random = std::mt19937{seed};
        while (goes_on()) {
            auto tx = good(db->begin());
            auto made = committed{};
            auto done = result<void>{ok()};
            auto const count = 1 + random() % 6;
            for (auto i = 0U; i < count && done; ++i) {
                auto const key =
                    "w" + std::to_string(number) + "-" + std::to_string(random() % 400);
                if (random() % 4 == 0) {
                    if (auto const erased = tx.erase(into, key); !erased) done = erased.error();
                    made.changes.emplace_back(key, std::nullopt);
                } else {
                    auto value =
                        std::string(random() % 400, static_cast<char>('a' + random() % 26));
                    done = tx.put(into, key, value);
                    made.changes.emplace_back(key, std::move(value));
                }
            }
            if (!done) { // the version store is small: begin again
                if (done.error().code != errc::snapshot_too_old) good(std::move(done));
                continue;
            }
            if (random() % 5 == 0) continue; // rolled back
            auto const level = random() % 3 == 0 ? durability::device : durability::memory;
            auto const kept = std::move(tx).commit(level);
            if (!kept && kept.error().code == errc::snapshot_too_old) continue; // rolled back
            if (!kept) FAIL(describe(kept.error()).c_str());
            made.at = kept.assume_value().at;
            log.push_back(std::move(made));
        }
    }
};

template <class Writers>
[[nodiscard]] model rows_below(Writers const& writers, model rows, lsn end) {
    for (auto const& one : writers)
        for (auto const& commit : one.log) {
            if (commit.at >= end) break;
            for (auto const& [key, value] : commit.changes) {
                if (value)
                    rows[key] = *value;
                else
                    rows.erase(key);
            }
        }
    return rows;
}

template <class Engine>
[[nodiscard]] model fill(Engine& db, tree rows) {
    auto expected = model{};
    for (auto i = 0; i < 600; ++i) {
        auto const key = "base" + std::to_string(i * 7919 % 600);
        auto const value = std::string(200, static_cast<char>('a' + i % 26));
        (void)good(db.put(rows, key, value, durability::memory));
        expected[key] = value;
    }
    return expected;
}

// In the simulator: writers, the engine's own tasks and the backup as tasks of one tape.
template <class Policies>
void simulate(std::uint64_t seed) {
    auto tape = choice_tape{seed};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto expected = model{};
    auto report = backup_report{};
    world.run([&] {
        using engine_type = engine<Policies>;
        auto db = good(engine_type::open("/db", crowded, env));
        good(db.attach("main"));
        db.core().store.databases()[0].file->set_growth_bytes_min(64 << 10);
        auto const rows = good(db.open_tree("main", "rows"));
        auto const base = fill(db, rows);
        struct task_of {
            writer<engine_type> work;
            bool* stop;
        };
        auto stop = false;
        auto tasks = std::vector<task_of>{};
        for (auto i = 0U; i < 2; ++i)
            tasks.push_back({{&db, rows, i, static_cast<unsigned>(seed * 2 + i), {}}, &stop});
        auto running = std::vector<simulated_task>{};
        for (auto& task : tasks)
            running.push_back(good(simulated_runtime{}.spawn(
                "writer",
                [](void* raw) {
                    auto& mine = *static_cast<task_of*>(raw);
                    mine.work.run([&] { return !*mine.stop && mine.work.log.size() < 400; });
                },
                &task
            )));
        report = good(run_backup_to(db, "/repo"));
        stop = true;
        for (auto& task : running) task.join();
        auto all = std::vector<writer<engine_type>>{};
        for (auto& task : tasks) all.push_back(std::move(task.work));
        expected = rows_below(all, base, report.end_lsn);
        good(std::move(db).close());
    });
    CAPTURE(seed);
    world.run([&] {
        auto const verified = good(verify_repository(env, "/repo"));
        for (auto const& found : verified.findings)
            FAIL(found.file << ": " << describe(found.why).c_str());
        auto const restored = run_restore<typename engine<Policies>::traits>(env, "/repo", "/new");
        if (!restored) FAIL(describe(restored.error()).c_str());
        auto db = good(engine<Policies>::open("/new", crowded, env));
        auto const found = rows_of(db, "main", "rows");
        if (found != expected) FAIL("the restored rows are not the prefix below end_lsn");
        good(std::move(db).close());
    });
}

TEST_CASE(
    "threads write while a backup runs: the set is the prefix below its end", "[backup][threads]"
) {
    using engine_type = engine<thread_policies>;
    auto const env = engine_type::environment_type{};
    auto report = backup_report{};
    auto expected = model{};
    auto during = std::size_t{0};
    {
        auto db = good(engine_type::open("/db", crowded, env));
        good(db.attach("main"));
        db.core().store.databases()[0].file->set_growth_bytes_min(256 << 10);
        auto const rows = good(db.open_tree("main", "rows"));
        auto const base = fill(db, rows);
        auto stop = std::atomic<bool>{false};
        auto writers = std::vector<writer<engine_type>>{};
        for (auto i = 0U; i < 3; ++i) writers.push_back({&db, rows, i, 77 + i, {}});
        auto turns = std::atomic<int>{0};
        struct started {
            writer<engine_type>* work;
            std::atomic<bool>* stop;
            std::atomic<int>* turns;
        };
        auto arguments = std::vector<started>{};
        for (auto& one : writers) arguments.push_back({&one, &stop, &turns});
        auto tasks = std::vector<native_runtime::task>{};
        for (auto& argument : arguments)
            tasks.push_back(good(native_runtime{}.spawn(
                "writer",
                [](void* raw) {
                    auto& mine = *static_cast<started*>(raw);
                    mine.work->run([&] {
                        mine.turns->fetch_add(1);
                        return !mine.stop->load();
                    });
                },
                &argument
            )));
        auto options = backup_options{};
        options.bytes_per_second = 4 << 20; // slow enough that they get at every page
        // However busy the machine is: between any two chunks they come to something.
        options.on_progress = [&, seen = 0](backup_progress const&) mutable -> result<void> {
            while (turns.load() < seen + 20) std::this_thread::yield();
            seen = turns.load();
            return ok();
        };
        report = good(run_backup_to(db, "/repo", options));
        stop.store(true);
        for (auto& task : tasks) task.join();
        expected = rows_below(writers, base, report.end_lsn);
        for (auto const& one : writers)
            for (auto const& commit : one.log)
                during += commit.at > report.begin_lsn && commit.at < report.end_lsn ? 1U : 0U;
        good(std::move(db).close());
    }
    CHECK(during > 10);
    CHECK(good(verify_repository(env, "/repo")).is_good());
    (void)good(run_restore<engine_type::traits>(env, "/repo", "/new"));
    auto db = good(engine_type::open("/new", crowded, env));
    auto const found = rows_of(db, "main", "rows");
    CHECK(found.size() == expected.size());
    CHECK(found == expected);
    good(std::move(db).close());
}

TEST_CASE("tasks of a tape write while a backup runs: archival log", "[backup][simulation]") {
    for (std::uint64_t seed = 1; seed <= rounds(15); ++seed) simulate<task_policies>(seed);
}

TEST_CASE("tasks of a tape write while a backup runs: circular log", "[backup][simulation]") {
    for (std::uint64_t seed = 1; seed <= rounds(15); ++seed)
        simulate<circular_task_policies>(seed + 1000);
}

} // namespace jetpp_test::under_writers_cases
