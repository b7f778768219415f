// Power goes at any moment, again and again, also in the middle of recovery.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "../budget.hpp"
#include "../catch.hpp"
#include "crash_lab.hpp"
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace jetpp_test::power_loss_cases {

using crash::lab;
using crash::lab_options;

using circular = crash::policies<4096, jetpp::circular_logging>;

struct outcome {
    std::uint64_t cycles{};
    std::string problem{};
};

outcome run(std::uint64_t seed, std::uint64_t lives, lab_options how = {}) {
    auto tape = jetpp::choice_tape{seed};
    auto subject = lab<circular>{tape, how};
    for (std::uint64_t i = 0; i < lives; ++i)
        if (auto problem = subject.life(); !problem.empty())
            return {subject.crashes(), "life " + std::to_string(i) + ": " + problem};
    return {subject.crashes(), {}};
}

[[nodiscard]] std::uint64_t first_seed() {
    auto const* chosen = std::getenv("JETPP_SEED");
    return chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
}

// The planted bugs that this harness must find, each within its budget of seeds.
constexpr jetpp::sabotage planted_bugs[] = {
    jetpp::sabotage::ack_before_sync,          jetpp::sabotage::skip_dir_sync,
    jetpp::sabotage::checkpoint_ahead_of_data, jetpp::sabotage::checkpoint_before_sync,
    jetpp::sabotage::durable_off_by_one,       jetpp::sabotage::next_segment_before_segment_end,
    jetpp::sabotage::no_tail_rewrite,          jetpp::sabotage::mark_after_reserve,
    jetpp::sabotage::leave_before_publish,     jetpp::sabotage::checkpoint_without_log_flush,
    jetpp::sabotage::evict_without_wal,        jetpp::sabotage::skip_dw_sync,
    jetpp::sabotage::recycle_by_memory_values, jetpp::sabotage::undo_skips_last,
    jetpp::sabotage::redo_off_by_one,          jetpp::sabotage::prepared_without_dir_sync,
    jetpp::sabotage::recycle_without_dir_sync, jetpp::sabotage::undo_removes_one_entry,
    jetpp::sabotage::version_dropped_early,    jetpp::sabotage::header_a_always_first,
    jetpp::sabotage::clean_flag_late,          jetpp::sabotage::no_bounce_block,
};
// These three the suite must find in every run; the others are reported.
constexpr jetpp::sabotage found_always[] = {
    jetpp::sabotage::ack_before_sync,
    jetpp::sabotage::skip_dir_sync,
    jetpp::sabotage::checkpoint_ahead_of_data,
};

TEST_CASE("after every power loss the database is a prefix of its commits", "[crash]") {
    auto cycles = std::uint64_t{0};
    auto const wanted = jetpp_test::rounds(8000);
    for (auto seed = first_seed(); cycles < wanted; ++seed) {
        auto const done = run(seed, 6);
        INFO("JETPP_SEED=" << seed);
        REQUIRE(done.problem == "");
        cycles += done.cycles;
    }
    std::printf(
        "%llu crash-and-recover cycles: no lost commit, no half transaction\n",
        static_cast<unsigned long long>(cycles)
    );
}

// In a process of its own: a planted bug may well end in an ensure, which also finds it.
[[nodiscard]] std::string seeds_to_find(jetpp::sabotage bug, std::uint64_t budget) {
    auto* const seed = static_cast<std::uint64_t*>(::mmap(
        nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0
    ));
    REQUIRE(seed != MAP_FAILED);
    std::fflush(nullptr);
    auto const child = ::fork();
    if (child == 0) {
        std::freopen("/dev/null", "w", stderr);
        std::signal(SIGABRT, SIG_DFL);
        jetpp::simulation::planted = bug;
        for (*seed = 1; *seed <= budget; ++*seed)
            if (!run(*seed, 4).problem.empty()) ::_exit(1);
        ::_exit(0);
    }
    auto status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    auto const at = std::to_string(*seed);
    ::munmap(seed, sizeof(std::uint64_t));
    if (WIFSIGNALED(status)) return at + " (stopped by ensure)";
    return WEXITSTATUS(status) == 1 ? at : "";
}

TEST_CASE("bugs planted in the order of durable steps are found", "[crash][sabotage]") {
    auto const seeds_max = jetpp_test::rounds(100);
    std::printf("%-34s %s\n", "planted bug", "seeds to find it");
    for (auto const bug : planted_bugs) {
        auto const must = std::find(std::begin(found_always), std::end(found_always), bug) !=
                          std::end(found_always);
        auto const budget = must ? std::max<std::uint64_t>(seeds_max, 2000) : seeds_max;
        auto const found = seeds_to_find(bug, budget);
        std::printf(
            "%-34s %s\n",
            std::string{name_of(bug)}.c_str(),
            found.empty() ? "not within the budget" : found.c_str()
        );
        INFO(name_of(bug));
        if (must) CHECK(found != "");
    }
}

} // namespace jetpp_test::power_loss_cases
