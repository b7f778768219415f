#include <jetpp/env/sync.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "tasks.hpp"

namespace jetpp_test::simulated_threads_cases {

using namespace std::chrono_literals;

using mutex = basic_mutex<simulated_runtime>;
using event = basic_event<simulated_runtime>;

TEST_CASE("a mutex excludes tasks in every schedule", "[simulation][threads]") {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        auto counter = 0;
        auto inside = 0;
        auto guard = mutex{};
        world.run([&] {
            run_together(4, [&](int) {
                for (int i = 0; i < 5; ++i) {
                    auto held = holding{guard};
                    if (++inside != 1) FAIL("two tasks hold the mutex");
                    auto const before = counter;
                    simulated_runtime::point(point_id::latch_acquired);
                    counter = before + 1;
                    --inside;
                }
            });
        });
        REQUIRE(counter == 20);
        CHECK(world.threads().hits(point_id::latch_acquired) == 20);
    }
}

TEST_CASE("without a mutex an update is lost in some schedule", "[simulation][threads]") {
    auto found = std::set<int>{};
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        auto counter = 0;
        world.run([&] {
            run_together(2, [&](int) {
                auto const before = counter;
                simulated_runtime::point(point_id::published);
                counter = before + 1;
            });
        });
        found.insert(counter);
    }
    CHECK(found == std::set<int>{1, 2});
}

TEST_CASE("yielding atomics show what happens between two accesses", "[simulation][threads]") {
    auto found = std::set<std::uint32_t>{};
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        auto counter = interleaved_runtime::atomic<std::uint32_t>{0};
        world.run([&] { run_together(2, [&](int) { counter.store(counter.load() + 1); }); });
        found.insert(counter.load());
    }
    CHECK(found == std::set<std::uint32_t>{1, 2});
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        auto counter = interleaved_runtime::atomic<std::uint32_t>{0};
        world.run([&] {
            run_together(3, [&](int) {
                auto seen = counter.load();
                while (!counter.compare_exchange_weak(seen, seen + 1)) {
                }
            });
        });
        REQUIRE(counter.load() == 3);
    }
}

TEST_CASE("an event wakes whoever read its ticket before the condition", "[simulation][threads]") {
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        auto moved = event{};
        auto ready = false;
        auto seen = 0;
        auto const outcome = world.run([&] {
            run_together(4, [&](int number) {
                if (number == 0) {
                    ready = true;
                    moved.set_all();
                    return;
                }
                for (;;) {
                    auto const ticket = moved.ticket();
                    if (ready) break;
                    moved.wait(ticket);
                }
                ++seen;
            });
        });
        REQUIRE(outcome == run_outcome::finished);
        REQUIRE(seen == 3);
    }
}

// The waiter tests the condition and then takes the ticket: a set_all() in between is missed.
TEST_CASE("a lost wake-up is found as a deadlock", "[simulation][threads]") {
    auto deadlocks = 0;
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        auto tape = choice_tape{seed};
        auto world =
            simulated_world{tape, {.threads = {.spurious_num = 0, .stuck = when_stuck::report}}};
        auto moved = event{};
        auto ready = false;
        auto const outcome = world.run([&] {
            run_together(2, [&](int number) {
                if (number == 0) {
                    ready = true;
                    moved.set_all();
                    return;
                }
                while (!ready) {
                    simulated_runtime::point(point_id::left_active_list);
                    moved.wait(moved.ticket());
                }
            });
        });
        deadlocks += outcome == run_outcome::deadlock ? 1 : 0;
    }
    CHECK(deadlocks > 10);
    CHECK(deadlocks < 290);
}

TEST_CASE("tasks that never end are stopped at the bound of steps", "[simulation][threads]") {
    auto tape = choice_tape{1};
    auto world =
        simulated_world{tape, {.threads = {.steps_max = 10'000, .stuck = when_stuck::report}}};
    auto const outcome = world.run([&] {
        for (std::uint32_t turn = 0;; ++turn) simulated_runtime{}.relax(turn);
    });
    CHECK(outcome == run_outcome::step_limit);
    // The world can run again.
    auto ran = false;
    CHECK(world.run([&] { ran = true; }) == run_outcome::finished);
    CHECK(ran);
}

TEST_CASE("time jumps to the next deadline when all tasks wait", "[simulation][threads]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape, {.threads = {.spurious_num = 0}}};
    auto order = std::vector<int>{};
    world.run([&] {
        auto const begin = simulated_runtime{}.now();
        run_together(3, [&](int number) {
            auto runtime = simulated_runtime{};
            auto const word = std::uint32_t{0};
            auto const deadline = begin + (3 - number) * 1h;
            runtime.park(&word, 0, deadline);
            CHECK(runtime.now() >= deadline);
            CHECK(runtime.now() < deadline + 1min);
            order.push_back(number);
        });
    });
    CHECK(order == std::vector<int>{2, 1, 0});
}

TEST_CASE(
    "park returns at once when the word has moved or the deadline has passed",
    "[simulation][threads]"
) {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    world.run([&] {
        auto runtime = simulated_runtime{};
        auto const word = std::uint32_t{1};
        runtime.park(&word, 0, never);
        runtime.park(&word, 1, mono_time{0});
        runtime.park(&word, 1, runtime.now());
        CHECK(runtime.now() < mono_time{2s});
    });
}

TEST_CASE("unpark wakes no more than it is told, and any of them", "[simulation][threads]") {
    auto first = std::set<int>{};
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape, {.threads = {.spurious_num = 0}}};
        auto word = std::uint32_t{0};
        auto woken = std::vector<int>{};
        world.run([&] {
            auto runtime = simulated_runtime{};
            run_together(4, [&](int number) {
                if (number != 3) {
                    runtime.park(&word, 0, never);
                    woken.push_back(number);
                    return;
                }
                auto const clock = std::uint32_t{0};
                auto const nap = [&] { runtime.park(&clock, 0, runtime.now() + 1s); };
                nap(); // all others are parked now
                runtime.unpark(&word, 1);
                nap();
                CHECK(woken.size() == 1);
                runtime.unpark(&word, 2);
                nap();
                CHECK(woken.size() == 3);
            });
        });
        REQUIRE(woken.size() == 3);
        first.insert(woken.front());
    }
    CHECK(first == std::set<int>{0, 1, 2});
}

TEST_CASE("a spinning task lets the others run", "[simulation][threads]") {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        auto flag = std::atomic<bool>{false};
        world.run([&] {
            run_together(2, [&](int number) {
                auto runtime = simulated_runtime{};
                auto const word = std::uint32_t{0};
                if (number == 0) {
                    runtime.park(&word, 0, runtime.now() + 10s);
                    flag = true;
                } else {
                    for (std::uint32_t turn = 0; !flag; ++turn) runtime.relax(turn);
                }
            });
        });
        REQUIRE(flag);
        REQUIRE(world.threads().steps() < 10'000);
    }
}

TEST_CASE("a spawn fails when told", "[simulation][threads]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    world.threads().fail_spawn(2);
    world.run([&] {
        auto runtime = simulated_runtime{};
        auto const nothing = [](void*) {};
        for (int i = 1; i <= 3; ++i) {
            auto task = runtime.spawn("task", nothing, nullptr);
            CHECK(task.has_value() == (i != 2));
            if (task.has_value())
                task.value().join();
            else
                CHECK(task.error().code == errc::resource);
        }
    });
}

TEST_CASE("a slow device lets timers run out inside a call", "[simulation][threads]") {
    auto expired = 0;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape, {.threads = {.slow_num = 1, .slow_den = 4}}};
        world.run([&] {
            auto dir = world.storage().open_dir("/db", directory_how::create_if_missing).value();
            auto done = false;
            run_together(2, [&](int number) {
                auto runtime = simulated_runtime{};
                auto const word = std::uint32_t{0};
                if (number == 0) {
                    runtime.park(&word, 0, runtime.now() + 1ms);
                    expired += done ? 0 : 1;
                } else {
                    for (int i = 0; i < 4; ++i) static_cast<void>(dir.sync());
                    done = true;
                }
            });
        });
    }
    CHECK(expired > 3);
    CHECK(expired < 47);
}

TEST_CASE("what any task throws leaves run()", "[simulation][threads]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    CHECK_THROWS_AS(
        world.run([] { throw std::runtime_error{"from a fiber"}; }), std::runtime_error
    );
    CHECK_THROWS_AS(
        world.run([] {
            run_together(2, [](int number) {
                if (number == 1) throw std::runtime_error{"from another fiber"};
            });
        }),
        std::runtime_error
    );
    auto ran = false;
    world.run([&] { ran = true; });
    CHECK(ran);
}

TEST_CASE("exceptions in tasks do not meet", "[simulation][threads]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape, {.threads = {.switch_num = 1, .switch_den = 1}}};
    auto sum = 0;
    world.run([&] {
        run_together(5, [&](int number) {
            for (int i = 0; i < 20; ++i) {
                try {
                    simulated_runtime::point(point_id::published);
                    throw number;
                } catch (int caught) {
                    simulated_runtime::point(point_id::published);
                    try {
                        throw std::to_string(number);
                    } catch (std::string const& inner) {
                        simulated_runtime::point(point_id::published);
                        sum += inner == std::to_string(caught) ? 1 : 0;
                    }
                    CHECK(caught == number);
                }
            }
        });
    });
    CHECK(sum == 100);
    CHECK(world.threads().switches() > 100);
}

TEST_CASE("wall time follows simulated time and may jump", "[simulation][threads]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    world.run([&] {
        auto runtime = simulated_runtime{};
        auto const before = runtime.wall();
        CHECK(runtime.wall() >= before);
        world.threads().jump_wall(-3'600'000'000'000);
        CHECK(runtime.wall() < before);
    });
    world.threads().options.wall_jump_num = 1;
    auto back = 0;
    world.run([&] {
        auto runtime = simulated_runtime{};
        auto last = runtime.wall();
        for (int i = 0; i < 500; ++i) {
            auto const now = runtime.wall();
            back += now < last ? 1 : 0;
            last = now;
        }
    });
    CHECK(back > 0);
}

TEST_CASE("a planted bug is seen by its name alone", "[simulation][threads]") {
    CHECK_FALSE(simulated_runtime::sabotaged(sabotage::none));
    CHECK_FALSE(simulated_runtime::sabotaged(sabotage::ack_before_sync));
    simulation::planted = sabotage::ack_before_sync;
    CHECK(simulated_runtime::sabotaged(sabotage::ack_before_sync));
    CHECK_FALSE(simulated_runtime::sabotaged(sabotage::retry_fsync));
    simulation::planted = sabotage::none;
}

} // namespace jetpp_test::simulated_threads_cases
