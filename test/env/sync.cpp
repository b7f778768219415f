// The locks over real futexes: a lost wake-up shows as a test that never ends.

#include <jetpp/env/native_runtime.hpp>
#include <jetpp/env/sync.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "world.hpp"

namespace jetpp_test::sync_cases {

using namespace jetpp;
using namespace std::chrono_literals;

// Runs body(i) on `Count` threads at once.
template <std::size_t Count, class Body>
void on_threads(Body& body) {
    struct start {
        Body* body;
        std::size_t i;
    };
    auto starts = std::array<start, Count>{};
    auto tasks = std::array<native_task, Count>{};
    for (std::size_t i = 0; i < Count; ++i) {
        starts[i] = {&body, i};
        tasks[i] = good(native_runtime{}.spawn(
            "test",
            [](void* raw) {
                auto const& mine = *static_cast<start*>(raw);
                (*mine.body)(mine.i);
            },
            &starts[i]
        ));
    }
    for (auto& task : tasks) task.join();
}

TEST_CASE("a mutex lets one of four threads in at a time", "[env][sync]") {
    constexpr auto turns = 50'000;
    auto mutex = basic_mutex<native_runtime>{};
    auto total = std::uint64_t{0}; // no atomic: the mutex guards it
    auto inside = std::atomic<int>{0};
    auto crowded = std::atomic<int>{0};
    auto body = [&](std::size_t id) {
        for (auto turn = 0; turn < turns; ++turn) {
            auto const hold = holding{mutex};
            if (inside.fetch_add(1) != 0) ++crowded;
            ++total;
            if ((static_cast<std::size_t>(turn) + id) % 512 == 0)
                for (std::uint32_t n = 0; n < 200; ++n) native_runtime{}.relax(n); // others park
            inside.fetch_sub(1);
        }
    };
    on_threads<4>(body);
    CHECK(total == 4 * turns);
    CHECK(crowded == 0);
    CHECK(mutex.try_lock());
    CHECK(!mutex.try_lock());
    mutex.unlock();
}

TEST_CASE("everybody who waits for a mutex gets it when it is released once", "[env][sync]") {
    auto rt = native_runtime{};
    for (auto round = 0; round < 30; ++round) {
        auto mutex = basic_mutex<native_runtime>{};
        auto coming = std::atomic<std::uint32_t>{0};
        auto total = 0; // no atomic: the mutex guards it
        auto body = [&](std::size_t id) {
            if (id != 0) {
                for (std::uint32_t n = 0; coming.load() == 0; ++n) rt.relax(n);
                ++coming;
                auto const hold = holding{mutex};
                ++total;
                return;
            }
            auto const hold = holding{mutex};
            coming = 1;
            for (std::uint32_t n = 0; coming.load() != 4; ++n) rt.relax(n);
            for (std::uint32_t n = 4090; n < 4110; ++n) rt.relax(n); // most of them park now
            ++total;
        };
        on_threads<4>(body);
        CHECK(total == 4);
    }
}

TEST_CASE("an event loses no wake-up between two threads that take turns", "[env][sync]") {
    constexpr auto turns = std::uint32_t{20'000};
    auto event = basic_event<native_runtime>{};
    auto ball = std::atomic<std::uint32_t>{0};
    auto body = [&](std::size_t id) {
        for (auto turn = static_cast<std::uint32_t>(id); turn < 2 * turns; turn += 2) {
            for (;;) {
                auto const ticket = event.ticket();
                if (ball.load() == turn) break;
                event.wait(ticket);
            }
            ball.store(turn + 1);
            event.set_all();
        }
    };
    on_threads<2>(body);
    CHECK(ball == 2 * turns);
}

TEST_CASE("set_all wakes everybody who waits", "[env][sync]") {
    auto event = basic_event<native_runtime>{};
    auto round = std::atomic<std::uint32_t>{0};
    auto arrived = std::atomic<std::uint32_t>{0};
    auto body = [&](std::size_t id) {
        for (std::uint32_t turn = 1; turn <= 500; ++turn) {
            if (id == 0) {
                for (std::uint32_t n = 0; arrived.load() != 3 * (turn - 1); ++n)
                    native_runtime{}.relax(n);
                round.store(turn);
                event.set_all();
                continue;
            }
            for (;;) {
                auto const ticket = event.ticket();
                if (round.load() >= turn) break;
                event.wait(ticket);
            }
            ++arrived;
        }
    };
    on_threads<4>(body);
    CHECK(arrived == 1500);
}

TEST_CASE("waiting for an event that never comes ends at the deadline", "[env][sync]") {
    auto rt = native_runtime{};
    auto event = basic_event<native_runtime>{};
    auto const ticket = event.ticket();
    auto const deadline = rt.now() + 1ms;
    while (rt.now() < deadline) event.wait(ticket, deadline);
    CHECK(event.ticket() == ticket);
    event.set_all();
    event.wait(ticket); // moved on already
    CHECK(event.ticket() != ticket);
}

TEST_CASE("holding releases once, also when it was released early", "[env][sync]") {
    auto mutex = basic_mutex<native_runtime>{};
    {
        auto hold = holding{mutex};
        hold.unlock();
        CHECK(mutex.try_lock());
        mutex.unlock();
        hold.lock();
        CHECK(!mutex.try_lock());
        hold.unlock();
    }
    CHECK(mutex.try_lock());
    mutex.unlock();
}

} // namespace jetpp_test::sync_cases
