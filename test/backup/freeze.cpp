// test/backup/freeze.cpp - an instance held still for a snapshot by the storage below.
#include <jetpp/backup/external_backup.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <thread>
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
struct circular_task_policies : task_policies {
    using logging = circular_logging;
};

struct acknowledged {
    lsn at{};
    std::string key;
    std::string value;
};
// Keys of its own: what it was told is the whole truth about them.
template <class Engine>
struct writer {
    Engine* db;
    tree into;
    unsigned number;
    std::mt19937 random;
    std::vector<acknowledged> told{}; // device-durable commits, in order
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

template <class Policies>
void freeze_under_writers(std::uint64_t seed) {
    using engine_type = engine<Policies>;
    auto tape = choice_tape{seed};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto image = disk_state{};
    auto before = std::vector<std::vector<acknowledged>>{}; // told before freeze() was called
    auto all = std::vector<std::vector<acknowledged>>{};
    world.run([&] {
        auto db = good(engine_type::open("/db", crowded, env));
        good(db.attach("main"));
        db.core().store.databases()[0].file->set_growth_bytes_min(64 << 10);
        auto const rows = good(db.open_tree("main", "rows"));
        auto writers = std::vector<writer<engine_type>>{};
        for (auto i = 0U; i < 3; ++i)
            writers.push_back({&db, rows, i, std::mt19937{static_cast<unsigned>(seed) * 3 + i}});
        auto tasks = std::vector<simulated_task>{};
        for (auto& one : writers)
            tasks.push_back(
                good(simulated_runtime{}.spawn("writer", &writer<engine_type>::run, &one))
            );
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
            auto db = good(engine_type::open("/db", crowded, env));
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
    for (std::uint64_t seed = 1; seed <= rounds(12); ++seed)
        freeze_under_writers<task_policies>(seed);
}
// The log's files are used again all the time: a freeze comes between two of their lives, and ends no
// segment of its own.
TEST_CASE(
    "with circular logging too nothing is written while frozen, and the image recovers",
    "[backup][freeze]"
) {
    for (std::uint64_t seed = 1; seed <= rounds(12); ++seed)
        freeze_under_writers<circular_task_policies>(seed);
}

template <class Policies>
void freeze_beyond_limit() {
    using engine_type = engine<Policies>;
    auto tape = choice_tape{7};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto seen = seen_events{};
        auto options = crowded;
        options.events = {&seen_events::note, &seen};
        auto db = good(engine_type::open("/db", options, env));
        good(db.attach("main"));
        auto const rows = good(db.open_tree("main", "rows"));
        auto one = writer<engine_type>{&db, rows, 0, std::mt19937{7}};
        auto task = good(simulated_runtime{}.spawn("writer", &writer<engine_type>::run, &one));
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

TEST_CASE("a freeze beyond its limit ends by itself, and thaw says so", "[backup][freeze]") {
    freeze_beyond_limit<task_policies>();
    freeze_beyond_limit<circular_task_policies>();
}

// A sink is called outside the locks: it may answer the event itself.
TEST_CASE("who hears that a freeze is over may thaw and write", "[backup][freeze]") {
    struct listener {
        task_engine* db = nullptr;
        tree rows{};
        errc thawed = errc::none;
        bool wrote = false;
        static void note(void* raw, event const& what) noexcept {
            auto& self = *static_cast<listener*>(raw);
            if (what.kind != event_kind::freeze_expired) return;
            self.thawed = code_of(self.db->thaw());
            self.wrote = self.db->put(self.rows, "late", "row", durability::memory).has_value();
        }
    };
    auto tape = choice_tape{8};
    auto world = simulated_world{tape};
    world.run([&] {
        auto seen = listener{};
        auto options = crowded;
        options.events = {&listener::note, &seen};
        auto db = good(task_engine::open("/db", options, world.environment()));
        good(db.attach("main"));
        seen.rows = good(db.open_tree("main", "rows"));
        seen.db = &db;
        good(db.freeze({.limit = 2s}));
        let_pass(3s);
        CHECK(seen.thawed == errc::freeze_timeout);
        CHECK(seen.wrote);
        CHECK(code_of(db.thaw()) == errc::freeze_sequence);
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

using file_images = std::map<std::string, std::vector<std::byte>>;

template <class Env>
file_images images_of(Env env, path_view where) {
    auto directory = good(env.storage.open_dir(where, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(directory.list(entries));
    auto all = file_images{};
    for (auto const& one : entries) {
        if (one.name.view() == "jet.ring" || one.name.view() == "jet.lock") continue;
        auto file = good(directory.open(one.name, {.mode = open_mode::read_only}));
        auto& image = all[std::string{one.name.view()}];
        image.resize(good(file.size()));
        good(read_full(file, image, 0));
    }
    return all;
}

// Threads of the system, for sanitizers, and because the simulator switches tasks at calls only.
template <class Policies>
void freeze_under_threads(unsigned seed) {
    using engine_type = engine<Policies>;
    auto const env = typename engine_type::environment_type{};
    auto db = good(engine_type::open("/db", crowded, env));
    good(db.attach("main"));
    db.core().store.databases()[0].file->set_growth_bytes_min(64 << 10);
    auto const rows = good(db.open_tree("main", "rows"));
    auto stop = std::atomic<bool>{false};
    struct thread_writer {
        std::deque<acknowledged> told; // by its thread alone, but for what `count` says is there
        std::atomic<std::size_t> count{0};
    };
    auto writers = std::deque<thread_writer>(3);
    auto threads = std::vector<std::jthread>{};
    for (auto i = 0U; i < writers.size(); ++i)
        threads.emplace_back([&, i] {
            auto drawn = std::mt19937{seed * 3 + i};
            while (!stop.load()) {
                auto const key = "w" + std::to_string(i) + "-" + std::to_string(drawn() % 300);
                auto const value =
                    std::string(drawn() % 400, static_cast<char>('a' + drawn() % 26));
                auto const done = db.put(rows, key, value, durability::device);
                if (!done) return;
                writers[i].told.push_back({done.assume_value().at, key, value});
                writers[i].count.fetch_add(1);
            }
        });
    auto const all_told = [&] {
        auto sum = std::size_t{0};
        for (auto const& one : writers) sum += one.count.load();
        return sum;
    };
    auto const await = [&](std::size_t more) {
        for (auto const until = all_told() + more; all_told() < until;) std::this_thread::yield();
    };
    auto random = std::mt19937{seed};
    auto kept = file_images{};
    auto before = std::vector<std::size_t>{};
    for (auto turn = 0; turn < 4; ++turn) {
        await(100);
        before.clear();
        for (auto const& one : writers) before.push_back(one.count.load());
        good(db.freeze());
        kept = images_of(env, "/db");
        CHECK(db.core().store.is_frozen());
        if (images_of(env, "/db") != kept) FAIL("frozen, and a file changed");
        good(db.thaw());
        // The limit opens it: whoever writes, whoever asks, or thaw, and one of them says so.
        good(db.freeze({.limit = std::chrono::microseconds{random() % 300}}));
        for (auto spin = random() % 20; spin != 0; --spin) std::this_thread::yield();
        auto const thawed = code_of(db.thaw());
        CHECK((thawed == errc::none || thawed == errc::freeze_timeout));
    }
    await(30); // they go on
    stop.store(true);
    threads.clear();
    good(std::move(db).close());

    auto image = good(env.storage.open_dir("/image", directory_how::create_if_missing));
    for (auto const& [name, content] : kept) {
        auto file = good(image.open(good(file_name::make(name)), {.mode = open_mode::create_new}));
        good(write_full(file, content, 0));
    }
    auto copy = good(engine_type::open("/image", crowded, env));
    auto const end = copy.core().store.report().end;
    auto expected = model{};
    for (std::size_t i = 0; i < writers.size(); ++i) {
        if (before[i] != 0) CHECK(writers[i].told[before[i] - 1].at < end);
        for (auto const& one : writers[i].told)
            if (one.at < end) expected[one.key] = one.value;
    }
    if (rows_of(copy, "main", "rows") != expected)
        FAIL("the image holds other rows than the log says");
    good(std::move(copy).close());
}

TEST_CASE("a freeze holds threads of the system too", "[backup][freeze][threads]") {
    for (auto seed = 1U; seed <= rounds(3); ++seed) {
        CAPTURE(seed);
        freeze_under_threads<thread_policies>(seed);
    }
}

} // namespace jetpp_test::freeze_cases
