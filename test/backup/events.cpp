// test/backup/events.cpp - what an engine tells of its backups.
#include <jetpp/backup.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::events_cases {

using namespace jetpp;

struct heard {
    std::vector<event> all;
    [[nodiscard]] event_sink sink() noexcept {
        return {
            .on_event = [](void* context, event const& what
                        ) noexcept { static_cast<heard*>(context)->all.push_back(what); },
            .context = this,
        };
    }
    [[nodiscard]] std::vector<event> of(event_kind kind) const {
        auto found = std::vector<event>{};
        for (auto const& one : all)
            if (one.kind == kind) found.push_back(one);
        return found;
    }
};
open_options telling(heard& to) {
    auto options = small_engine;
    options.events = to.sink();
    return options;
}

TEST_CASE("a backup that ended well or badly is told by the engine", "[backup][events]") {
    auto told = heard{};
    auto b = bed<>{{}, telling(told)};
    b.work(200, 1);
    auto const report = good(run_backup_to(b.db, "/repo"));
    auto const finished = told.of(event_kind::backup_finished);
    REQUIRE(finished.size() == 1);
    CHECK(finished[0].from == report.log_start);
    CHECK(finished[0].to == report.end_lsn);
    CHECK(finished[0].count == report.image_bytes);

    auto options = backup_options{};
    options.on_progress = [](backup_progress const&) -> result<void> {
        return error{.code = errc::disk_full};
    };
    CHECK(code_of(run_backup_to(b.db, "/repo", options)) == errc::disk_full);
    auto const failed = told.of(event_kind::backup_failed);
    REQUIRE(failed.size() == 1);
    CHECK(failed[0].why.code == errc::disk_full);

    // Whoever brings ears of his own is told instead.
    auto own = heard{};
    options.events = own.sink();
    auto sink = null_sink{};
    auto context = boost::asio::io_context{};
    auto outcome = std::optional<result<backup_report>>{};
    async_backup(
        context.get_executor(),
        context.get_executor(),
        b.db,
        sink,
        options,
        [&](result<backup_report> done) { outcome.emplace(std::move(done)); }
    );
    context.run();
    REQUIRE(outcome);
    CHECK_FALSE(*outcome);
    CHECK(own.of(event_kind::backup_failed).size() == 1);
    CHECK(told.all.size() == 2);
}

TEST_CASE("a backup that keeps too much log says so before it fails", "[backup][events]") {
    constexpr auto cap = std::uint64_t{1} << 20;
    auto told = heard{};
    auto b = bed<>{{}, telling(told)};
    b.work(400, 2);
    auto seed = 3U;
    for (auto const percent : {std::uint64_t{80}, std::uint64_t{101}}) {
        CAPTURE(percent);
        told.all.clear();
        good(b.store().checkpoint(checkpoint_how::flush_all));
        auto const before = b.store().databases()[0].file->header().mark(mark_kind::copy).set;
        auto options = backup_options{.kind = backup_kind::copy, .log_cap_bytes = cap};
        auto const start = b.store().log().tail();
        // Writers get so far while the first chunk is copied.
        options.on_progress = [&](backup_progress const&) -> result<void> {
            while (b.store().log().tail() - start < cap * percent / 100) b.work(20, seed++);
            return ok();
        };
        auto const got = run_backup_to(b.db, "/repo", options);
        auto percents = std::vector<std::uint64_t>{};
        for (auto const& one : told.of(event_kind::backup_log_held)) percents.push_back(one.count);
        auto const broken = told.of(event_kind::pin_broken);
        auto const after = b.store().databases()[0].file->header().mark(mark_kind::copy).set;
        if (percent < 100) {
            CHECK(got);
            CHECK(percents == std::vector<std::uint64_t>{50, 75});
            CHECK(broken.empty());
            CHECK(after != before);
        } else {
            CHECK(code_of(got) == errc::pin_broken);
            CHECK(percents == std::vector<std::uint64_t>{50, 75, 90});
            REQUIRE(broken.size() == 1);
            CHECK(broken[0].to - broken[0].from == broken[0].count);
            CHECK(broken[0].count > cap);
            CHECK(told.of(event_kind::backup_failed).size() == 1);
            CHECK(after == before);
        }
        CHECK_FALSE(b.store().is_pinned());
    }
}

TEST_CASE("the next open tells of a backup that a crash ended", "[backup][events][crash]") {
    using sim_engine = engine<sim_policies>;
    auto tape = choice_tape{12};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto b = bed<sim_policies>{env};
        b.work(60, 4);
        good(std::move(b.db).close());
    });
    auto const before = world.machine().save();
    auto const back_up = [&]() -> bool {
        auto db = sim_engine::open("/db", small_engine, env);
        if (!db) return false;
        auto const got = run_backup_to(db.value(), "/repo");
        return got && !got.value().stamp_problem; // the set stands, but the log has no end of it
    };
    auto whole = false;
    world.run([&] { whole = back_up(); });
    REQUIRE(whole);
    auto const calls = world.machine().calls();
    world.machine().restore(before);
    auto const first = world.machine().calls();
    auto const step = std::max<std::uint64_t>(1, (calls - first) / rounds(60));
    auto aborted = 0;
    auto silent = 0;
    for (auto n = std::uint64_t{1}; n <= calls - first; n += step) {
        world.machine().restore(before);
        world.machine().crash_at(n);
        auto was_told = false;
        world.run([&] { was_told = back_up(); });
        world.machine().thaw(crash_policy::none);
        auto told = heard{};
        auto again = heard{};
        auto problem = std::string{};
        world.run([&] {
            for (auto* to : {&told, &again}) {
                auto db = sim_engine::open("/db", telling(*to), env);
                if (!db) {
                    problem = describe(db.error()).c_str();
                    return;
                }
                good(std::move(db).value().close());
            }
        });
        CAPTURE(n);
        if (!problem.empty()) FAIL(problem);
        auto const found = told.of(event_kind::backup_aborted_by_crash);
        CHECK(found.size() <= 1);
        for (auto const& one : found) CHECK(one.from);
        CHECK((found.empty() || !was_told)); // one that was stamped has its end in the log
        CHECK(again.of(event_kind::backup_aborted_by_crash).empty()); // it is told once
        ++(found.empty() ? silent : aborted);
    }
    CHECK(aborted > 5);
    CHECK(silent > 5);
}

TEST_CASE("an engine tells of its recovery and of its checkpoints", "[backup][events]") {
    auto tape = choice_tape{3};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto told = heard{};
    world.run([&] {
        auto b = bed<sim_policies>{env, telling(told)};
        b.work(200, 1);
        good(b.db.checkpoint());
        (void)good(b.db.poll());
        b.work(300, 2);
        world.machine().crash_at(1);
        (void)b.db.put(b.rows, "k", "v");
    });
    CHECK(told.of(event_kind::recovered).empty());
    auto const taken = told.of(event_kind::checkpoint);
    REQUIRE(!taken.empty());
    for (auto const& one : taken) {
        CHECK(one.from);
        CHECK(one.from <= one.to);
    }
    world.machine().thaw(crash_policy::random);
    auto next = heard{};
    auto report = recovery_report{};
    world.run([&] {
        auto db = good(engine<sim_policies>::open("/db", telling(next), env));
        report = db.core().store.report();
        good(std::move(db).close());
    });
    REQUIRE(report.recovered);
    auto const found = next.of(event_kind::recovered);
    REQUIRE(found.size() == 1);
    CHECK(found[0].from == report.scan_start);
    CHECK(found[0].to == report.end);
    CHECK(found[0].count == report.records);
    auto const repaired = next.of(event_kind::page_repaired);
    CHECK(repaired.size() == (report.pages_repaired != 0 ? 1 : 0));
}

TEST_CASE("an engine tells of snapshots it gave up", "[backup][events]") {
    auto told = heard{};
    auto options = telling(told);
    options.version_bytes = 32 << 10;
    auto b = bed<>{{}, options};
    {
        auto const old = good(b.db.read());
        for (auto i = 0U; i < 2000; ++i)
            (void)good(b.db.put(b.rows, "k", std::to_string(i), durability::memory));
        (void)good(b.db.poll());
        auto value = value_buffer{};
        CHECK(code_of(old.get(b.rows, "k", value)) == errc::snapshot_too_old);
    }
    auto const found = told.of(event_kind::snapshots_given_up);
    REQUIRE(found.size() == 1);
    CHECK(found[0].count == 1);
}

TEST_CASE("log that nobody backs up is told before the volume is full", "[backup][events]") {
    auto told = heard{};
    auto b = bed<>{{memory_storage{std::uint64_t{8} << 20}, {}}, telling(told)};
    auto const fill = [&](std::uint64_t percent) {
        auto const value = std::string(900, 'v'); // one row, again and again: the log alone grows
        while (good(b.store().room_for_log()).percent() < percent)
            (void)good(b.db.put(b.rows, "k", value, durability::memory));
        good(b.db.checkpoint());
        (void)good(b.db.poll());
    };
    fill(20);
    CHECK(told.of(event_kind::log_held).empty());
    fill(55);
    fill(60);
    fill(80);
    auto const found = told.of(event_kind::log_held);
    REQUIRE(found.size() == 2);
    CHECK(found[0].count == 50);
    CHECK(found[1].count == 75);
    for (auto const& one : found) {
        CHECK(one.why.code == errc::full_backup_required);
        CHECK(one.why.database == b.store().databases()[0].file->id().value);
        CHECK(one.from < one.to);
    }

    // What lies in a set may go, and then it is told anew.
    auto const elsewhere = environment_of<bed_policies>{};
    using environment = environment_of<bed_policies>;
    auto sets = good(repository<environment>::open_or_create(elsewhere, "/repo"));
    auto sink = good(directory_sink<environment>::create(elsewhere, sets));
    (void)good(run_backup(b.db, sink));
    CHECK(good(b.db.truncate_log()).segments > 0);
    good(b.db.checkpoint());
    (void)good(b.db.poll());
    CHECK(told.of(event_kind::log_held).size() == 2);
    fill(55);
    auto const again = told.of(event_kind::log_held);
    REQUIRE(again.size() == 3);
    CHECK(again[2].count == 50);
    CHECK(again[2].why.code == errc::none); // its last backup, not the lack of one
}

} // namespace jetpp_test::events_cases
