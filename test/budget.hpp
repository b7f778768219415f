// test/budget.hpp - how long the deep suites may run.
//
// JETPP_BUDGET is a factor on the number of rounds: `./dev test --budget=10` runs ten times as many
// seeds as a plain run, --budget=0.1 a tenth.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace jetpp_test {

// At least one round, however small the budget.
[[nodiscard]] inline std::uint64_t rounds(std::uint64_t in_a_plain_run) {
    auto const* text = std::getenv("JETPP_BUDGET");
    auto const factor = text == nullptr || *text == '\0' ? 1.0 : std::strtod(text, nullptr);
    auto const scaled = static_cast<double>(in_a_plain_run) * factor;
    return scaled < 1.0 ? 1 : static_cast<std::uint64_t>(scaled);
}

} // namespace jetpp_test
