#include <jetpp/env/sync.hpp>
#include <jetpp/simulation/minimise.hpp>

#include <cstdint>
#include <vector>

#include "tasks.hpp"

namespace jetpp_test::minimise_cases {

TEST_CASE("a minimal tape holds the choices that matter and no other", "[simulation]") {
    // Fails once it has drawn a number of at least 40 and later one of at least 7.
    auto const fails = [](choice_tape& tape) {
        auto first = false;
        for (int i = 0; i < 200; ++i) {
            auto const drawn = tape.pick(100);
            if (first && drawn >= 7) return true;
            first = first || drawn >= 40;
        }
        return false;
    };
    auto tape = choice_tape{5};
    REQUIRE(fails(tape));
    auto shortest = minimise(tape, fails);
    CHECK(shortest.recorded() == std::vector<std::uint8_t>{40, 7});
    CHECK(fails(shortest));
}

TEST_CASE("a minimal schedule of a lost update is a handful of choices", "[simulation]") {
    auto const fails = [](choice_tape& tape) {
        auto world = simulated_world{tape, {.threads = {.stuck = when_stuck::report}}};
        auto counter = 0;
        auto const outcome = world.run([&] {
            run_together(3, [&](int) {
                for (int i = 0; i < 5; ++i) {
                    auto const before = counter;
                    simulated_runtime::point(point_id::published);
                    counter = before + 1;
                }
            });
        });
        return outcome == run_outcome::finished && counter < 15;
    };
    auto tape = choice_tape{1};
    REQUIRE(fails(tape));
    REQUIRE(tape.recorded().size() > 20);
    auto shortest = minimise(tape, fails);
    INFO(shortest.hex());
    CHECK(shortest.recorded().size() <= 8);
    auto again = shortest.rewound();
    CHECK(fails(again));
}

} // namespace jetpp_test::minimise_cases
