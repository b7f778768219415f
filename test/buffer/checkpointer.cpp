#include <jetpp/buffer/checkpointer.hpp>

#include "../budget.hpp"
#include "crash_bed.hpp"

namespace jetpp_test::checkpointer_cases {

struct work_done {
    std::uint64_t repaired = 0;
    std::uint64_t checkpoints = 0;
    std::uint64_t recoveries = 0;
};

// Four lives on one disk. Returns: what was wrong.
template <class Env>
std::string lives_of(
    std::uint64_t seed, std::uint32_t rounds_of_a_writer = 60, work_done* sum = nullptr
) {
    auto bed = crash_bed<Env>{seed, rounds_of_a_writer};
    for (int life = 0; life < 4; ++life)
        if (!bed.live()) return bed.problem;
    if (sum != nullptr) {
        sum->repaired += bed.repaired;
        sum->checkpoints += bed.checkpoints;
        sum->recoveries += bed.recoveries;
    }
    return {};
}

TEST_CASE("after any crash, redo from the checkpoint finds every page", "[buffer][crash]") {
    auto sum = work_done{};
    for (std::uint64_t seed = 1; seed <= rounds(300); ++seed) {
        CAPTURE(seed);
        REQUIRE(lives_of<simulated_environment>(seed, 60, &sum) == "");
    }
    // The test would also pass if nothing ever happened.
    CHECK(sum.recoveries > rounds(300) / 2);
    CHECK(sum.checkpoints > 5 * rounds(300));
    if (rounds(300) >= 300) CHECK(sum.repaired > 0);
}

TEST_CASE("so it does when every atomic access may be interleaved", "[buffer][crash]") {
    for (std::uint64_t seed = 1; seed <= rounds(60); ++seed) {
        CAPTURE(seed);
        REQUIRE(lives_of<interleaved_environment>(seed, 25) == "");
    }
}

TEST_CASE("planted bugs on the way home are found", "[buffer][crash][sabotage]") {
    auto const bug = GENERATE(
        sabotage::checkpoint_before_sync,
        sabotage::checkpoint_ahead_of_data,
        sabotage::clear_before_hand_over,
        sabotage::evict_without_wal,
        sabotage::evict_during_writeback,
        sabotage::skip_dw_sync,
        sabotage::dw_area_reused_early,
        sabotage::dw_lower_image_first,
        sabotage::dw_stale_image,
        sabotage::checkpoint_without_log_flush
    );
    CAPTURE(static_cast<int>(bug));
    simulation::planted = bug;
    auto found = std::string{};
    auto seed = std::uint64_t{0};
    while (found.empty() && seed < 4000) found = lives_of<simulated_environment>(++seed);
    simulation::planted = sabotage::none;
    CHECK(found != "");
}

} // namespace jetpp_test::checkpointer_cases
