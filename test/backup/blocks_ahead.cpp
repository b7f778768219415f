// test/backup/blocks_ahead.cpp - what is read ahead comes in its order, and ends when it is told to.
#include <jetpp/backup/blocks_ahead.hpp>
#include <jetpp/env/native_environment.hpp>
#include <jetpp/simulation/choice_tape.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <atomic>
#include <cstdint>
#include <memory>

#include "../catch.hpp"

namespace jetpp_test::blocks_ahead_cases {

using namespace jetpp;
using namespace std::chrono_literals;

constexpr std::size_t block_bytes = 4096;
constexpr std::uint64_t bad = 7; // a request that is refused

// Fills a block with the number of its request; tells how many are read at once.
template <class Env>
struct numbering {
    std::atomic<int>* now;
    std::atomic<int>* most;
    std::atomic<int>* calls;

    [[nodiscard]] result<std::size_t> operator()(std::uint64_t what, bytes into) const noexcept {
        auto runtime = typename Env::runtime_type{};
        auto const here = now->fetch_add(1) + 1;
        for (auto seen = most->load(); seen < here && !most->compare_exchange_weak(seen, here);) {
        }
        calls->fetch_add(1);
        auto const word = std::uint32_t{0};
        runtime.park(&word, 0, runtime.now() + 1ms * static_cast<int>(what % 3)); // a device's time
        std::memset(into.data(), static_cast<int>(what), into.size());
        now->fetch_sub(1);
        if (what % 10 == bad) return error{.code = errc::io, .page = page_number{1}};
        return into.size();
    }
};

struct tallies {
    std::atomic<int> now = 0;
    std::atomic<int> most = 0;
    std::atomic<int> calls = 0;
};

// Takes [from, to) in order, as a reader does that keeps as many ordered as there is room for.
template <class Env, class Ahead>
void read_through(Ahead& ahead, std::uint64_t from, std::uint64_t to) {
    auto mine = create_large_buffer(block_bytes).value();
    auto next = from;
    for (auto at = from; at < to; ++at) {
        for (; ahead.has_room() && next < to; ++next) ahead.order(next);
        REQUIRE(ahead.next() == at);
        auto const got = ahead.take(mine);
        REQUIRE(got.has_value() == (at % 10 != bad));
        if (!got) continue;
        REQUIRE(got.value() == block_bytes);
        REQUIRE(mine.all().front() == static_cast<std::byte>(at));
        REQUIRE(mine.all().back() == static_cast<std::byte>(at));
    }
    REQUIRE(ahead.is_empty());
}

using sim_env = interleaved_environment; // every atomic access is a choice
template <class Env>
using ahead_of = blocks_ahead<Env, std::uint64_t, numbering<Env>>;

TEST_CASE(
    "blocks come in the order of their requests, each with its own error", "[backup][ahead]"
) {
    auto together = 0;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        INFO("seed " << seed);
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        auto seen = tallies{};
        world.run([&] {
            auto ahead = ahead_of<sim_env>{{&seen.now, &seen.most, &seen.calls}};
            REQUIRE(ahead.create(1 + seed % 4, block_bytes));
            read_through<sim_env>(ahead, 0, 40);
            read_through<sim_env>(ahead, 80, 83);
        });
        CHECK(seen.calls == 43);
        together += seen.most > 1 ? 1 : 0;
    }
    CHECK(together > 50); // else nothing was read ahead
}

TEST_CASE("what is forgotten is not handed out, nor read once end() returned", "[backup][ahead]") {
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        INFO("seed " << seed);
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        auto seen = tallies{};
        world.run([&] {
            auto ahead = ahead_of<sim_env>{{&seen.now, &seen.most, &seen.calls}};
            REQUIRE(ahead.create(3, block_bytes));
            for (std::uint64_t i = 20; ahead.has_room(); ++i) ahead.order(i);
            ahead.forget();
            CHECK(ahead.is_empty());
            CHECK(seen.now == 0);
            read_through<sim_env>(ahead, 50, 60);
            for (std::uint64_t i = 20; ahead.has_room(); ++i) ahead.order(i);
            ahead.end();
            CHECK(seen.now == 0);
            auto const then = seen.calls.load();
            auto runtime = sim_env::runtime_type{};
            auto const word = std::uint32_t{0};
            runtime.park(&word, 0, runtime.now() + 1s);
            CHECK(seen.calls == then);
        });
    }
}

TEST_CASE("without a task the owner reads", "[backup][ahead]") {
    for (std::uint64_t nth = 1; nth <= 3; ++nth) { // the first that fails is the last that is tried
        auto tape = choice_tape{nth};
        auto world = simulated_world{tape};
        world.threads().fail_spawn(nth);
        auto seen = tallies{};
        world.run([&] {
            auto ahead = ahead_of<sim_env>{{&seen.now, &seen.most, &seen.calls}};
            REQUIRE(ahead.create(3, block_bytes));
            read_through<sim_env>(ahead, 0, 40);
        });
        CHECK(seen.most <= static_cast<int>(nth)); // the tasks there are, and the owner
    }
}

TEST_CASE("threads of the system read ahead", "[backup][ahead]") {
    auto seen = tallies{};
    {
        auto ahead = ahead_of<native_environment>{{&seen.now, &seen.most, &seen.calls}};
        REQUIRE(ahead.create(3, block_bytes));
        read_through<native_environment>(ahead, 0, 200);
        for (std::uint64_t i = 0; ahead.has_room(); ++i) ahead.order(i);
    }
    CHECK(seen.now == 0);
    CHECK(seen.most <= 4);
}

} // namespace jetpp_test::blocks_ahead_cases
