// Power goes at any moment, again and again, also in the middle of recovery.
#include "crash_lab.hpp"

#include "../budget.hpp"
#include "../catch.hpp"

#include <cstdlib>

using crash::lab;
using crash::lab_options;

namespace {

// Returns: crash-and-recover cycles done.
template <class Policies>
std::uint64_t run(std::uint64_t seed, std::uint64_t lives, lab_options how = {}) {
    auto tape = jetpp::choice_tape{seed};
    auto subject = lab<Policies>{tape, how};
    for (std::uint64_t i = 0; i < lives; ++i) {
        auto const problem = subject.life();
        INFO("seed " << seed << ", life " << i);
        REQUIRE(problem == "");
    }
    return subject.crashes();
}

[[nodiscard]] std::uint64_t first_seed() {
    auto const* chosen = std::getenv("JETPP_SEED");
    return chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
}

} // namespace

TEST_CASE("after every power loss the database is a prefix of its commits", "[crash]") {
    auto cycles = std::uint64_t{0};
    auto const wanted = jetpp_test::rounds(2000);
    for (auto seed = first_seed(); cycles < wanted; ++seed)
        cycles += run<crash::policies<4096, jetpp::circular_logging>>(seed, 6);
    WARN(cycles << " crash-and-recover cycles, no lost commit, no half transaction");
}
