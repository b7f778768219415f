#include <jetpp/env/native_environment.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <set>
#include <type_traits>

#include "world.hpp"
#include <signal.h>

namespace jetpp_test::native_runtime_cases {

using namespace jetpp;
using namespace std::chrono_literals;

static_assert(std::is_empty_v<native_runtime>);
static_assert(sizeof(basic_mutex<native_runtime>) == 4);
static_assert(sizeof(basic_event<native_runtime>) == 4);
static_assert(!native_runtime::sabotaged(sabotage::ack_before_sync));

TEST_CASE("the monotonic clock does not go back, the wall clock is near the system's", "[env]") {
    auto rt = native_runtime{};
    auto last = rt.now();
    for (int i = 0; i < 1000; ++i) {
        auto const next = rt.now();
        CHECK(next >= last);
        last = next;
    }
    auto const difference = rt.wall().ns / 1'000'000'000 - std::int64_t{::time(nullptr)};
    CHECK(difference >= -5);
    CHECK(difference <= 5);
}

TEST_CASE("random numbers do not repeat", "[env]") {
    auto seen = std::set<std::uint64_t>{};
    for (int i = 0; i < 1000; ++i) seen.insert(native_runtime{}.random());
    CHECK(seen.size() == 1000);
}

TEST_CASE("a spawned task runs its body with its argument, and takes no signals", "[env]") {
    struct told {
        int in = 20;
        int out = 0;
        bool blocked = false;
    } argument;
    auto rt = native_runtime{};
    auto task = good(rt.spawn(
        "a name that is longer than the kernel keeps",
        [](void* raw) {
            auto& mine = *static_cast<told*>(raw);
            auto mask = sigset_t{};
            ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
            mine.blocked = ::sigismember(&mask, SIGTERM) == 1 && ::sigismember(&mask, SIGSEGV) == 0;
            mine.out = mine.in + 1;
        },
        &argument
    ));
    auto moved = std::move(task);
    moved.join();
    moved.join(); // nothing is left to wait for
    CHECK(argument.out == 21);
    CHECK(argument.blocked);
    auto mask = sigset_t{};
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    CHECK(::sigismember(&mask, SIGTERM) == 0);
}

TEST_CASE("park returns at once when the word has changed, and not before its deadline", "[env]") {
    auto rt = native_runtime{};
    auto const word = std::uint32_t{7};
    rt.park(&word, 8, never);
    rt.park(&word, 7, mono_time{0});
    rt.park(&word, 7, mono_time{-5});
    auto const deadline = rt.now() + 2ms;
    while (rt.now() < deadline) rt.park(&word, 7, deadline); // it may wake for no reason
    CHECK(rt.now() >= deadline);
    CHECK(rt.now() < deadline + 10s);
    rt.unpark(&word, 0);
    rt.unpark(&word, ~std::uint32_t{0}); // nobody is there
}

TEST_CASE("every stage of relax comes back", "[env]") {
    for (auto const turn : {0u, 31u, 32u, 33u, 4095u, 4096u, ~0u}) native_runtime{}.relax(turn);
    CHECK(true);
}

} // namespace jetpp_test::native_runtime_cases
