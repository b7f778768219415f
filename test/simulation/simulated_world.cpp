#include <jetpp/core/bytes.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <vector>

#include "../budget.hpp"
#include "tasks.hpp"

namespace jetpp_test::simulated_world_cases {

// A log of 64-bit numbers, each with a checksum; append() returns when its number is durable. It is
// the smallest thing that has a promise to break, written against Env as all of jetpp is.
template <any_environment Env>
class number_log {
public:
    static constexpr std::size_t record_bytes = 16;

    static result<number_log> open(Env env) {
        BOOST_OUTCOME_TRY(auto dir, env.storage.open_dir("/db", directory_how::create_if_missing));
        constexpr auto how = open_how{.mode = open_mode::open_or_create, .io = io_mode::buffered};
        BOOST_OUTCOME_TRY(auto file, dir.open("numbers", how));
        if (!Env::runtime_type::sabotaged(sabotage::skip_dir_sync)) {
            BOOST_OUTCOME_TRY(dir.sync());
        }
        auto log = number_log{};
        log.file_ = std::move(file);
        BOOST_OUTCOME_TRY(log.recover());
        return log;
    }

    result<void> append(std::uint64_t number) {
        auto record = std::array<std::byte, record_bytes>{};
        store_le<std::uint64_t>(record.data(), number);
        store_le<std::uint64_t>(record.data() + 8, sum_of(number, end_));
        BOOST_OUTCOME_TRY(write_full(file_, record, end_));
        end_ += record_bytes;
        if (Env::runtime_type::sabotaged(sabotage::ack_before_sync)) return ok();
        return file_.sync(sync_how::data);
    }
    [[nodiscard]] std::vector<std::uint64_t> const& recovered() const { return recovered_; }
    result<void> close() { return file_.close(); }

private:
    static std::uint64_t sum_of(std::uint64_t number, std::uint64_t at) {
        return (number ^ at ^ 0x5DEECE66Du) * 0x9E3779B97F4A7C15u;
    }
    // Everything up to the first record that does not prove itself; the rest is cut off, durably,
    // so that it can not be taken for a later record.
    result<void> recover() {
        auto record = std::array<std::byte, record_bytes>{};
        for (;;) {
            BOOST_OUTCOME_TRY(auto const n, read_up_to(file_, record, end_));
            auto const number = load_le<std::uint64_t>(record.data());
            auto const sum = load_le<std::uint64_t>(record.data() + 8);
            if (n != record_bytes || sum != sum_of(number, end_)) break;
            recovered_.push_back(number);
            end_ += record_bytes;
        }
        BOOST_OUTCOME_TRY(file_.truncate(end_));
        return file_.sync(sync_how::full);
    }

    typename Env::file file_{};
    std::uint64_t end_ = 0;
    std::vector<std::uint64_t> recovered_;
};

// Several lives of one log. Returns: the life in which an acknowledged number was missing.
std::optional<int> first_broken_promise(std::uint64_t seed) {
    auto tape = choice_tape{seed};
    auto world = simulated_world{tape};
    auto acknowledged = std::vector<std::uint64_t>{};
    auto next = std::uint64_t{1};
    auto broken = std::optional<int>{};
    for (int life = 0; life < 4 && !broken; ++life) {
        if (!world.machine().frozen()) world.machine().crash_at(1 + tape.pick(40));
        world.run([&] {
            auto opened = number_log<simulated_environment>::open(world.environment());
            if (opened.has_error()) return;
            auto& log = opened.value();
            auto const& found = log.recovered();
            for (auto const number : acknowledged)
                if (std::find(found.begin(), found.end(), number) == found.end()) broken = life;
            for (int i = 0; i < 20 && log.append(next).has_value(); ++i)
                acknowledged.push_back(next++);
            ++next; // it may be there, but nobody was told so
            static_cast<void>(log.close());
        });
        world.machine().thaw(draw_crash_policy(tape, torn_sectors::possible));
    }
    return broken;
}

// Rounds until the planted bug shows; nothing if it never does.
std::optional<std::uint64_t> rounds_to_find(sabotage bug, std::uint64_t rounds_max) {
    auto const planting = simulation::planting{bug};
    auto found = std::optional<std::uint64_t>{};
    for (std::uint64_t seed = 0; seed < rounds_max && !found; ++seed)
        if (first_broken_promise(seed)) found = seed + 1;
    return found;
}

// Writers that share a log under a mutex, a clock to wait on, crashes and short counts.
std::uint64_t busy_run(choice_tape& tape) {
    auto world = simulated_world{tape, {.machine = {.short_num = 1, .traces_contents = true}}};
    for (int life = 0; life < 2; ++life) {
        world.machine().crash_at(5 + tape.pick(60));
        world.run([&] {
            auto opened = number_log<simulated_environment>::open(world.environment());
            if (opened.has_error()) return;
            auto guard = basic_mutex<simulated_runtime>{};
            auto number = std::uint64_t{0};
            run_together(3, [&](int) {
                auto runtime = simulated_runtime{};
                for (int i = 0; i < 5; ++i) {
                    auto held = holding{guard};
                    simulated_runtime::point(point_id::before_log_write);
                    if (opened.value().append(++number + runtime.random() % 2).has_error()) return;
                    held.unlock();
                    auto const word = std::uint32_t{0};
                    runtime.park(&word, 0, runtime.now() + std::chrono::milliseconds{1});
                }
            });
            static_cast<void>(opened.value().close());
        });
        world.machine().thaw(draw_crash_policy(tape, torn_sectors::possible));
    }
    return world.trace_hash();
}

TEST_CASE("a run is a function of its tape", "[simulation][world]") {
    auto hashes = std::vector<std::uint64_t>{};
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        auto first = choice_tape{seed};
        auto second = choice_tape{seed};
        auto const hash = busy_run(first);
        REQUIRE(busy_run(second) == hash);
        REQUIRE(second.recorded() == first.recorded());
        auto replay = first.rewound();
        REQUIRE(busy_run(replay) == hash);
        REQUIRE(replay.recorded() == first.recorded());
        hashes.push_back(hash);
    }
    std::sort(hashes.begin(), hashes.end());
    CHECK(std::unique(hashes.begin(), hashes.end()) == hashes.end());
}

TEST_CASE("any bytes are a tape", "[simulation][world]") {
    auto noise = choice_tape{99};
    for (int i = 0; i < 50; ++i) {
        auto recorded = std::vector<std::uint8_t>(static_cast<std::size_t>(noise.pick(400)));
        for (auto& byte : recorded) byte = static_cast<std::uint8_t>(noise.pick(256));
        auto tape = choice_tape{1, recorded};
        CHECK(busy_run(tape) != 0);
    }
}

TEST_CASE(
    "a log that syncs before it acknowledges keeps its promise in every crash",
    "[simulation][world]"
) {
    auto const rounds = jetpp_test::rounds(20'000);
    auto const begin = std::chrono::steady_clock::now();
    CHECK_FALSE(rounds_to_find(sabotage::none, rounds));
    auto const elapsed =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    std::printf(
        "simulation: %llu worlds of 4 crashes each, %.0f crashes a second\n",
        static_cast<unsigned long long>(rounds),
        4.0 * static_cast<double>(rounds) / elapsed
    );
}

TEST_CASE("a log that acknowledges before it syncs is found out", "[simulation][world]") {
    auto const found = rounds_to_find(sabotage::ack_before_sync, 200);
    REQUIRE(found);
    CHECK(*found <= 20);
}

TEST_CASE("a log that does not sync its directory is found out", "[simulation][world]") {
    auto const found = rounds_to_find(sabotage::skip_dir_sync, 1000);
    REQUIRE(found);
    CHECK(*found <= 200);
}

TEST_CASE("every call of a scripted run can be the last one", "[simulation][world]") {
    auto last_call = std::uint64_t{0};
    for (std::uint64_t call = 1; last_call == 0; ++call) {
        for (auto const policy : every_crash_policy) {
            auto tape = choice_tape{call};
            auto world = simulated_world{tape};
            auto acknowledged = std::uint64_t{0};
            world.machine().crash_at(call);
            world.run([&] {
                auto opened = number_log<simulated_environment>::open(world.environment());
                if (opened.has_error()) return;
                for (std::uint64_t n = 1; n <= 5 && opened.value().append(n).has_value(); ++n)
                    acknowledged = n;
            });
            if (!world.machine().frozen()) last_call = call;
            world.machine().thaw(policy);
            world.machine().crash_at(0);
            world.run([&] {
                auto opened = number_log<simulated_environment>::open(world.environment());
                REQUIRE(opened.has_value());
                auto const& found = opened.value().recovered();
                REQUIRE(found.size() >= acknowledged);
                REQUIRE(found.size() <= acknowledged + 1);
                for (std::size_t i = 0; i < found.size(); ++i) REQUIRE(found[i] == i + 1);
            });
        }
    }
    CHECK(last_call > 12);
}

TEST_CASE(
    "every call of a scripted run can fail, and only what was promised is kept",
    "[simulation][world]"
) {
    auto harmed = true;
    for (std::uint64_t call = 1; harmed; ++call) {
        auto tape = choice_tape{call};
        auto world = simulated_world{tape};
        auto acknowledged = std::uint64_t{0};
        world.machine().fail_call(call);
        world.run([&] {
            auto opened = number_log<simulated_environment>::open(world.environment());
            if (opened.has_error()) return;
            for (std::uint64_t n = 1; n <= 5 && opened.value().append(n).has_value(); ++n)
                acknowledged = n;
        });
        harmed = world.machine().faults_injected_count() != 0;
        world.machine().clear_faults();
        world.machine().thaw(draw_crash_policy(tape));
        world.machine().crash_at(0);
        world.run([&] {
            auto opened = number_log<simulated_environment>::open(world.environment());
            REQUIRE(opened.has_value());
            CHECK(opened.value().recovered().size() >= acknowledged);
        });
    }
}

TEST_CASE("a world stops at the n-th hit of a point", "[simulation][world]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    world.crash_at_point(point_id::acknowledged, 3);
    world.run([&] {
        auto dir = world.storage().open_dir("/db", directory_how::create_if_missing).value();
        for (int i = 1; i <= 5; ++i) {
            simulated_runtime::point(point_id::acknowledged);
            CHECK(dir.sync().has_value() == (i < 3));
        }
    });
    CHECK(world.machine().frozen());
    CHECK(world.threads().hits(point_id::acknowledged) == 5);
}

TEST_CASE(
    "writes of many tasks are in flight together when the machine stops", "[simulation][world]"
) {
    auto most = std::size_t{0};
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        world.machine().put("db/f", std::vector<std::byte>(8 * 512));
        world.machine().crash_at(7);
        world.run([&] {
            auto env = world.environment();
            auto dir = env.storage.open_dir("/db", directory_how::must_exist).value();
            auto file = dir.open("f", {.io = io_mode::buffered}).value();
            run_together(8, [&](int number) {
                auto const content = std::vector<std::byte>(512, std::byte{1});
                auto const at = static_cast<std::uint64_t>(number) * 512;
                static_cast<void>(file.write_some(content, at, write_how::durable));
            });
        });
        REQUIRE(world.machine().frozen());
        auto const units = world.machine().crash_units();
        most = std::max(most, units.size());
        for (auto const& unit : units) CHECK(unit.in_flight);
    }
    CHECK(most >= 3);
}

TEST_CASE("the newest world that lives is the current one", "[simulation][world]") {
    auto tape = choice_tape{1};
    CHECK(simulation::current_threads == nullptr);
    auto first = simulated_world{tape};
    CHECK(simulation::current_machine == &first.machine());
    {
        auto second = simulated_world{tape};
        CHECK(simulation::current_machine == &second.machine());
        CHECK(simulation::current_threads == &second.threads());
    }
    CHECK(simulation::current_machine == &first.machine());
    CHECK(simulation::current_threads == &first.threads());
    auto storage = simulated_storage{};
    CHECK(storage.open_dir("/x", directory_how::create_if_missing).has_value());
    CHECK(first.machine().exists("x"));
}

} // namespace jetpp_test::simulated_world_cases
