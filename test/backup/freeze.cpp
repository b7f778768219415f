// test/backup/freeze.cpp - an instance held still for a snapshot by the storage below.
#include <jetpp/backup/external_backup.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <chrono>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::freeze_cases {

using namespace jetpp;
using namespace std::chrono_literals;

// Small, so that pages leave memory and segments end all the time.
constexpr open_options crowded{
    .buffer_bytes = 64 * 4096,
    .segment_bytes = 128 << 10,
    .log_ring_bytes = 128 << 10,
    .checkpoint_depth_bytes = 64 << 10,
    .checkpoint_every_bytes = 64 << 10,
};

using task_engine = engine<task_policies>;

struct acknowledged {
    lsn at{};
    std::string key;
    std::string value;
};
// Keys of its own: what it was told is the whole truth about them.
struct writer {
    task_engine* db;
    tree into;
    unsigned number;
    std::mt19937 random;
    std::vector<acknowledged> told; // device-durable commits, in order
    bool stop = false;

    static void run(void* raw) {
        auto& self = *static_cast<writer*>(raw);
        while (!self.stop) {
            auto const key =
                "w" + std::to_string(self.number) + "-" + std::to_string(self.random() % 300);
            auto const value =
                std::string(self.random() % 400, static_cast<char>('a' + self.random() % 26));
            auto const done = good(self.db->put(self.into, key, value, durability::device));
            self.told.push_back({done.at, key, value});
        }
    }
};

// Other tasks run meanwhile.
void let_pass(std::chrono::nanoseconds time) {
    auto const still = std::uint32_t{0};
    auto runtime = simulated_runtime{};
    auto const until = runtime.now() + time;
    while (runtime.now() < until) runtime.park(&still, 0, until);
}

struct seen_events {
    int expired = 0;
    static void note(void* raw, event const& what) noexcept {
        if (what.kind == event_kind::freeze_expired) ++static_cast<seen_events*>(raw)->expired;
    }
};

void freeze_under_writers(std::uint64_t seed) {
    auto tape = choice_tape{seed};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto image = disk_state{};
    auto before = std::vector<std::vector<acknowledged>>{}; // told before freeze() was called
    auto all = std::vector<std::vector<acknowledged>>{};
    world.run([&] {
        auto db = good(task_engine::open("/db", crowded, env));
        good(db.attach("main"));
        db.core().store.databases()[0].file->set_growth_bytes_min(64 << 10);
        auto const rows = good(db.open_tree("main", "rows"));
        auto writers = std::vector<writer>{};
        for (auto i = 0U; i < 3; ++i)
            writers.push_back({&db, rows, i, std::mt19937{static_cast<unsigned>(seed) * 3 + i}, {}}
            );
        auto tasks = std::vector<simulated_task>{};
        for (auto& one : writers)
            tasks.push_back(good(simulated_runtime{}.spawn("writer", &writer::run, &one)));
        let_pass(std::chrono::milliseconds{20 + tape.pick(200)});

        for (auto const& one : writers) before.push_back(one.told);
        good(db.freeze());
        auto const changes = world.machine().changes();
        let_pass(std::chrono::milliseconds{1 + tape.pick(5000)});
        image = world.machine().save();
        CHECK(code_of(db.freeze()) == errc::freeze_sequence);
        let_pass(30s);
        auto const then = world.machine().changes();
        auto counts = std::vector<std::size_t>{};
        for (auto const& one : writers) counts.push_back(one.told.size());
        good(db.thaw());
        if (then != changes) FAIL("frozen, and " << then - changes << " calls changed the storage");

        let_pass(500ms);
        for (std::size_t i = 0; i < writers.size(); ++i) {
            CHECK(writers[i].told.size() > counts[i]); // they go on, and nobody was refused
            writers[i].stop = true;
        }
        for (auto& one : tasks) one.join();
        for (auto const& one : writers) all.push_back(one.told);
        good(std::move(db).close());
    });
    CAPTURE(seed);
    auto told = std::size_t{0};
    for (auto const& one : before) told += one.size();
    CHECK(told > 10);
    // What the snapshot took of caches below the device is the storage's affair: nothing, or all.
    for (auto const policy : {crash_policy::none, crash_policy::all, crash_policy::random}) {
        world.machine().restore(image);
        world.machine().thaw(policy);
        world.run([&] {
            auto db = good(task_engine::open("/db", crowded, env));
            auto const end = db.core().store.report().end;
            auto expected = model{};
            for (std::size_t i = 0; i < all.size(); ++i) {
                if (!before[i].empty() && before[i].back().at >= end)
                    FAIL("a commit acknowledged before the freeze is not in the image");
                for (auto const& one : all[i])
                    if (one.at < end) expected[one.key] = one.value;
            }
            if (rows_of(db, "main", "rows") != expected)
                FAIL("the image holds other rows than the log says");
            good(std::move(db).close());
        });
    }
}

TEST_CASE(
    "between freeze and thaw nothing is written, and the image recovers", "[backup][freeze]"
) {
    for (std::uint64_t seed = 1; seed <= rounds(12); ++seed) freeze_under_writers(seed);
}

TEST_CASE("a freeze beyond its limit ends by itself, and thaw says so", "[backup][freeze]") {
    auto tape = choice_tape{7};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto seen = seen_events{};
        auto options = crowded;
        options.events = {&seen_events::note, &seen};
        auto db = good(task_engine::open("/db", options, env));
        good(db.attach("main"));
        auto const rows = good(db.open_tree("main", "rows"));
        auto one = writer{&db, rows, 0, std::mt19937{7}, {}};
        auto task = good(simulated_runtime{}.spawn("writer", &writer::run, &one));
        let_pass(50ms);
        good(db.freeze({.limit = 2s}));
        auto const changes = world.machine().changes();
        let_pass(1s);
        CHECK(world.machine().changes() == changes);
        auto const told = one.told.size();
        let_pass(3s);
        CHECK(world.machine().changes() > changes);
        CHECK(one.told.size() > told);
        CHECK(seen.expired == 1);
        CHECK(code_of(db.freeze()) == errc::freeze_sequence); // the first one wants its answer
        CHECK(code_of(db.thaw()) == errc::freeze_timeout);
        CHECK(code_of(db.thaw()) == errc::freeze_sequence);
        good(db.freeze());
        good(db.thaw());
        one.stop = true;
        task.join();
        CHECK(seen.expired == 1);
        good(std::move(db).close());
    });
}

TEST_CASE("attach, checkpoint and truncation wait for the thaw", "[backup][freeze]") {
    auto tape = choice_tape{11};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto db = good(task_engine::open("/db", crowded, env));
        good(db.attach("main"));
        struct caller {
            task_engine* db;
            int what;
            bool ended = false;
            bool went_well = false;
            static void run(void* raw) {
                auto& self = *static_cast<caller*>(raw);
                auto done = result<void>{ok()};
                if (self.what == 0) done = self.db->attach("other");
                if (self.what == 1) done = self.db->checkpoint();
                if (self.what == 2) {
                    auto const given_up = self.db->truncate_log();
                    if (!given_up) done = given_up.error();
                }
                if (self.what == 3) {
                    auto const made = self.db->open_tree("main", "new");
                    if (!made) done = made.error();
                }
                self.went_well = done.has_value();
                self.ended = true;
            }
        };
        good(db.freeze());
        auto const changes = world.machine().changes();
        caller callers[]{{&db, 0}, {&db, 1}, {&db, 2}, {&db, 3}};
        auto tasks = std::vector<simulated_task>{};
        for (auto& one : callers)
            tasks.push_back(good(simulated_runtime{}.spawn("caller", &caller::run, &one)));
        let_pass(10s);
        for (auto const& one : callers) CHECK_FALSE(one.ended);
        CHECK(world.machine().changes() == changes);
        good(db.thaw());
        for (auto& one : tasks) one.join();
        for (auto const& one : callers) CHECK(one.went_well);
        good(std::move(db).close());
    });
}

TEST_CASE("freeze and thaw have an order, and exclude backups", "[backup][freeze]") {
    auto tape = choice_tape{3};
    auto world = simulated_world{tape};
    world.run([&] {
        auto one = bed<sim_policies>{world.environment()};
        one.work(300, 3);
        CHECK(code_of(one.db.thaw()) == errc::freeze_sequence);
        {
            auto session = external_backup<bed<sim_policies>::traits>{one.store()};
            good(session.begin());
            CHECK(code_of(one.db.freeze()) == errc::freeze_refused);
            (void)good(session.end(external_end::abort));
            good(one.db.freeze());
            CHECK(code_of(session.begin()) == errc::backup_in_progress);
        }
        CHECK(rows_of(one.db, "main", "rows") == one.expected); // reads go on
        CHECK_FALSE(good(one.db.poll()));
        CHECK(code_of(std::move(one.db).close()) == errc::freeze_sequence);
        good(one.db.thaw());

        // Nobody else is there to thaw: the one who writes waits for the limit, and goes on.
        good(one.db.freeze({.limit = 5s}));
        auto const begun = simulated_runtime{}.now();
        (void)good(one.db.put(one.rows, "late", "row", durability::device));
        CHECK(simulated_runtime{}.now() - begun >= 4s);
        CHECK(code_of(one.db.thaw()) == errc::freeze_timeout);

        // A program that ends without a thaw does not hang.
        good(one.db.freeze());
    });
    world.run([&] {
        auto db = good(engine<sim_policies>::open("/db", small_engine, world.environment()));
        CHECK_FALSE(db.core().store.report().recovered); // and its files are clean
        good(std::move(db).close());
    });
}

} // namespace jetpp_test::freeze_cases
