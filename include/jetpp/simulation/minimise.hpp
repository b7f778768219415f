// jetpp/simulation/minimise.hpp - the shortest and dullest tape that still fails.
//
// Cuts spans out of the recording and lowers bytes, as long as the failure stays. What remains is
// readable: fewer choices, most of them zero. Thousands of runs a second make this a matter of
// seconds; the result is what a regression test keeps.
// Complexity  O(n log n) runs for n recorded bytes in each round, a few rounds.
// Source      delta debugging (Zeller); Hypothesis.
#pragma once

#include <jetpp/simulation/choice_tape.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// fails(choice_tape&) runs once and says whether the failure showed. The returned tape fails, and
// is dull beyond its end. Let such runs report being stuck (when_stuck::report).
// Requires: the given tape fails.
template <class Fails>
[[nodiscard]] choice_tape minimise(
    choice_tape const& failing, Fails&& fails, std::uint64_t runs_max = 20'000
) {
    auto best = failing.recorded();
    auto runs = std::uint64_t{0};
    auto const try_it = [&](std::vector<std::uint8_t> candidate) {
        if (++runs > runs_max) return false;
        auto tape = choice_tape{failing.seed(), std::move(candidate), tape_end::dull};
        if (!fails(tape)) return false;
        // What was not read had no influence, and zeros at the end stand there anyway.
        auto read = tape.recorded();
        read.resize(std::min(read.size(), tape.position()));
        while (!read.empty() && read.back() == 0) read.pop_back();
        if (read.size() > best.size() || (read.size() == best.size() && read >= best)) return false;
        best = std::move(read);
        return true;
    };
    for (auto improved = true; improved && runs < runs_max;) {
        improved = false;
        for (auto span = std::max<std::size_t>(best.size() / 2, 1); span != 0; span /= 2) {
            for (std::size_t at = 0; at < best.size() && runs < runs_max;) {
                auto const end = std::min(at + span, best.size());
                auto shorter = best;
                shorter.erase(
                    shorter.begin() + static_cast<std::ptrdiff_t>(at),
                    shorter.begin() + static_cast<std::ptrdiff_t>(end)
                );
                if (try_it(std::move(shorter))) {
                    improved = true;
                    continue;
                }
                auto duller = best;
                std::fill(
                    duller.begin() + static_cast<std::ptrdiff_t>(at),
                    duller.begin() + static_cast<std::ptrdiff_t>(end),
                    std::uint8_t{0}
                );
                if (duller != best && try_it(std::move(duller))) improved = true;
                at += span;
            }
        }
        for (std::size_t at = 0; at < best.size() && runs < runs_max; ++at) {
            for (auto by = static_cast<unsigned>(best[at]) / 2; by != 0; by /= 2) {
                auto lower = best;
                lower[at] = static_cast<std::uint8_t>(lower[at] - by);
                if (try_it(std::move(lower))) improved = true;
                if (at >= best.size() || best[at] <= by) break;
            }
        }
    }
    return choice_tape{failing.seed(), std::move(best), tape_end::dull};
}

} // namespace jetpp::inline v1
