// test/engine/detach.cpp - a database leaves while others read.
#include <jetpp/jetpp.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <cstdint>
#include <optional>
#include <string>

#include "../budget.hpp"
#include "../catch.hpp"

namespace jetpp_test::detach_cases {

using namespace jetpp;

struct policies : default_policies {
    static constexpr std::size_t page_size = 4096;
    using storage = simulated_storage;
    using runtime = simulated_runtime;
};
using engine_type = engine<policies>;

struct readers {
    engine_type* db{};
    std::optional<tree> rows{};
    bool stop = false;
    std::uint64_t found = 0;
    std::uint64_t refused = 0;
    std::string problem{};
};

void read_rows(void* raw) {
    auto& all = *static_cast<readers*>(raw);
    auto into = value_buffer{};
    for (auto i = 0U; !all.stop; ++i) {
        auto const key = "k" + std::to_string(i % 300);
        auto const got = all.db->get(*all.rows, key, into);
        if (got) {
            ++all.found;
            if (got.assume_value() &&
                into.text() != std::string(200, static_cast<char>('a' + i % 300 % 26)))
                all.problem = "a wrong value of " + key;
        } else if (got.error().code == errc::busy || got.error().code == errc::tree_dropped) {
            ++all.refused;
            simulated_runtime{}.relax(i);
        } else {
            all.problem = describe(got.error()).c_str();
            return;
        }
    }
}

// It once read from a file that had been closed beneath it.
TEST_CASE(
    "a read without a snapshot ends before its database is detached, or is refused",
    "[engine][detach]"
) {
    for (std::uint64_t seed = 1; seed <= jetpp_test::rounds(60); ++seed) {
        INFO("seed " << seed);
        auto tape = choice_tape{seed};
        auto how = world_options{};
        how.threads.switch_den = 2 + static_cast<std::uint32_t>(tape.pick(6));
        how.threads.steps_max = 50'000'000;
        auto world = simulated_world{tape, how};
        auto all = readers{};
        auto refused = error{};
        world.run([&] {
            auto opened = engine_type::open(
                "db",
                {.buffer_bytes = 16 * 4096, .segment_bytes = 128 << 10, .process_durability = false
                },
                world.environment<>()
            );
            if (!opened) return (void)(refused = opened.error());
            auto& db = opened.assume_value();
            all.db = &db;
            if (auto done = db.attach("main"); !done) return (void)(refused = done.error());
            for (auto i = 0; i < 4; ++i) {
                auto const made = db.open_tree("main", "rows");
                if (!made) return (void)(refused = made.error());
                all.rows = made.assume_value();
                for (auto k = 0; i == 0 && k < 300; ++k) {
                    auto const put = db.put(
                        *all.rows,
                        "k" + std::to_string(k),
                        std::string(200, static_cast<char>('a' + k % 26)),
                        durability::memory
                    );
                    if (!put) return (void)(refused = put.error());
                }
                all.stop = false;
                auto first = simulated_runtime{}.spawn("reader", &read_rows, &all);
                auto second = simulated_runtime{}.spawn("reader", &read_rows, &all);
                for (auto turn = 0U; turn < 200; ++turn) simulated_runtime{}.relax(turn);
                if (auto done = db.detach("main"); !done) refused = done.error();
                for (auto turn = 0U; turn < 20; ++turn) simulated_runtime{}.relax(turn);
                all.stop = true;
                if (first) first.assume_value().join();
                if (second) second.assume_value().join();
                if (auto done = db.attach("main"); !done) return (void)(refused = done.error());
            }
            if (auto done = std::move(db).close(); !done) refused = done.error();
        });
        REQUIRE(all.problem == "");
        REQUIRE(std::string{describe(refused).c_str()} == describe(error{}).c_str());
        CHECK(all.found > 0);
    }
}

} // namespace jetpp_test::detach_cases
