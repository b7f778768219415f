// test/backup/backup_planner.cpp - every order of events that a backup can have.
#include <jetpp/backup/backup_planner.hpp>

#include <vector>

#include "../catch.hpp"

namespace jetpp_test::backup_planner_cases {

using namespace jetpp;

constexpr auto segment = std::uint64_t{4} << 20;

// Two databases of 300 and 1 pages of 8 KiB, three segments.
struct plan_bed {
    backup_planner plan{8192, segment};
    std::vector<backup_step> seen;

    // Does the step that is due, and says so.
    void go() {
        auto const step = plan.step();
        seen.push_back(step);
        if (step.stage == backup_stage::begin) {
            plan.add_database(300);
            plan.add_database(1);
        }
        if (step.stage == backup_stage::switch_log) plan.add_segments(3);
        plan.done();
    }
    void go(std::size_t steps) {
        for (std::size_t i = 0; i < steps; ++i) go();
    }
    bool is_finished() const { return plan.step().stage == backup_stage::finished; }
};

std::size_t steps_of_a_whole_backup() {
    auto b = plan_bed{};
    while (!b.is_finished()) b.go();
    return b.seen.size();
}

TEST_CASE("a backup goes through its stages in order", "[backup][planner]") {
    auto b = plan_bed{};
    while (!b.is_finished()) b.go();
    using enum backup_stage;
    auto expected = std::vector<backup_step>{
        {.stage = begin},
        {.stage = pages, .file = 0, .first = 0, .end = 128, .opens_part = true},
        {.stage = pages, .file = 0, .first = 128, .end = 256},
        {.stage = pages, .file = 0, .first = 256, .end = 301, .closes_part = true},
        {.stage = pages, .file = 1, .first = 0, .end = 2, .opens_part = true, .closes_part = true},
        {.stage = switch_log},
    };
    for (std::size_t s = 0; s < 3; ++s)
        for (std::uint64_t at = 0; at < segment; at += chunk_bytes_max)
            expected.push_back(
                {.stage = log,
                 .file = 2,
                 .segment = s,
                 .first = at,
                 .end = at + chunk_bytes_max,
                 .opens_part = s == 0 && at == 0,
                 .closes_part = s == 2 && at + chunk_bytes_max == segment}
            );
    expected.push_back({.stage = publish});
    expected.push_back({.stage = stamp});
    expected.push_back({.stage = release});
    CHECK(b.seen == expected);
    CHECK_FALSE(b.plan.problem());
    CHECK(b.plan.total_bytes() == 303 * 8192 + 3 * segment);
}

TEST_CASE(
    "a failure at any step leads to release, by abandon unless it stands", "[backup][planner]"
) {
    auto const steps = steps_of_a_whole_backup();
    for (std::size_t at = 0; at < steps; ++at) {
        auto b = plan_bed{};
        b.go(at);
        auto const failed_at = b.plan.step().stage;
        b.plan.failed({.code = errc::io});
        CAPTURE(at);
        auto rest = std::vector<backup_stage>{};
        for (auto i = 0; i < 5 && !b.is_finished(); ++i) {
            rest.push_back(b.plan.step().stage);
            b.plan.failed({.code = errc::disk_full}); // the worst case: nothing works any more
        }
        using enum backup_stage;
        if (failed_at <= publish)
            CHECK(rest == std::vector{abandon, release});
        else if (failed_at == stamp)
            CHECK(rest == std::vector{release});
        else
            CHECK(rest.empty());
        CHECK(b.is_finished());
        REQUIRE(b.plan.problem());
        CHECK(b.plan.problem()->code == errc::io); // the first one
    }
}

TEST_CASE("a cancellation counts until the set is published", "[backup][planner]") {
    auto const steps = steps_of_a_whole_backup();
    for (std::size_t at = 0; at < steps; ++at) {
        auto b = plan_bed{};
        b.go(at);
        auto const stage = b.plan.step().stage;
        CAPTURE(at);
        if (stage < backup_stage::publish) {
            CHECK(b.plan.cancel());
            CHECK(b.plan.step().stage == backup_stage::abandon);
            CHECK(b.plan.problem()->code == errc::cancelled);
            CHECK_FALSE(b.plan.cancel());
        } else {
            CHECK_FALSE(b.plan.cancel());
            CHECK(b.plan.step().stage == stage);
        }
    }
}

TEST_CASE("a part of the log holds whole segments, at most 1 GiB of them", "[backup][planner]") {
    constexpr auto large = std::uint64_t{512} << 20;
    auto plan = backup_planner{4096, large};
    plan.add_database(40);
    plan.done();
    while (plan.step().stage == backup_stage::pages) plan.done();
    plan.add_segments(5);
    plan.done();
    auto opened = std::vector<std::size_t>{};
    auto closed = std::vector<std::size_t>{};
    while (plan.step().stage == backup_stage::log) {
        auto const step = plan.step();
        if (step.opens_part) opened.push_back(step.segment);
        if (step.closes_part) closed.push_back(step.segment);
        plan.done();
    }
    CHECK(opened == std::vector<std::size_t>{0, 2, 4});
    CHECK(closed == std::vector<std::size_t>{1, 3, 4});
}

} // namespace jetpp_test::backup_planner_cases
