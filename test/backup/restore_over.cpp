// test/backup/restore_over.cpp - restores where a directory holds something: by force, and nothing is
// lost by it, whenever the machine stops.
#include <jetpp/backup.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::restore_over_cases {

using namespace jetpp;

using traits = bed<>::traits;
using env_type = bed<>::environment_type;
using sim_engine = engine<sim_policies>;
using sim_env = sim_engine::environment_type;

restore_options by_force() {
    auto how = restore_options{};
    how.force = true;
    return how;
}
open_options existing() {
    auto options = small_engine;
    options.create = create_how::must_exist;
    return options;
}

template <class Env>
std::vector<std::string> names_in(Env env, path_view path, entry_kind kind) {
    auto where = env.storage.open_dir(path, directory_how::must_exist);
    auto names = std::vector<std::string>{};
    if (!where) return names;
    auto entries = array_list<directory_entry>{};
    good(where.value().list(entries));
    for (auto const& entry : entries)
        if (entry.kind == kind && entry.name != lock_file_name)
            names.emplace_back(entry.name.view());
    std::sort(names.begin(), names.end());
    return names;
}

// An instance with a set of its past at /repo.
struct moved_on : bed<> {
    model past{};
    moved_on() : bed<>{} {
        work(300, 1);
        (void)good(run_backup_to(db, "/repo"));
        past = expected;
        work(300, 2);
    }
};

TEST_CASE("by force the old instance goes aside, whole", "[backup][restore]") {
    auto b = moved_on{};
    CHECK(code_of(run_restore<traits>(b.env, "/repo", "/db", {}, by_force())) == errc::in_use);
    good(std::move(b.db).close());
    auto const before = names_in(b.env, "/db", entry_kind::file);
    CHECK(code_of(run_restore<traits>(b.env, "/repo", "/db")) == errc::would_overwrite);
    auto const done = good(run_restore<traits>(b.env, "/repo", "/db", {}, by_force()));
    auto const name = done.moved_aside;
    auto spelt = file_name{"jet.abandoned-"};
    CHECK(name == spelt.add_hex16(done.timeline.value).view());
    CHECK(names_in(b.env, "/db", entry_kind::directory) == std::vector<std::string>{name});
    CHECK(names_in(b.env, "/db/" + name, entry_kind::file) == before);
    expect_rows(b.env, "/db", b.past, existing());
    expect_rows(b.env, "/db/" + name, b.expected, existing());
    // Again: what was restored goes aside, and what lay there stays.
    auto const again = good(run_restore<traits>(b.env, "/repo", "/db", {}, by_force()));
    CHECK(names_in(b.env, "/db", entry_kind::directory).size() == 2);
    expect_rows(b.env, "/db", b.past, existing());
    expect_rows(b.env, "/db/" + again.moved_aside, b.past, existing());
    expect_rows(b.env, "/db/" + name, b.expected, existing());
}

TEST_CASE("force is not needed where nothing is, and does no harm there", "[backup][restore]") {
    auto b = moved_on{};
    auto const done = good(run_restore<traits>(b.env, "/repo", "/new", {}, by_force()));
    CHECK(done.moved_aside.empty());
    CHECK(names_in(b.env, "/new", entry_kind::directory).empty());
    expect_rows(b.env, "/new", b.past, existing());
}

TEST_CASE("the new timeline begins above every segment that lay there", "[backup][restore]") {
    auto b = moved_on{};
    auto where = good(b.env.storage.open_dir("/others", directory_how::create_if_missing));
    auto const high = file_name{"jet.0000000010000000.log"};
    // One that no log can have reached counts for nothing.
    for (auto const& name : {high, file_name{"jet.ffffffffffffffff.log"}})
        good(good(where.open(name, {.mode = open_mode::create_new})).close());
    (void)good(run_restore<traits>(b.env, "/repo", "/others", {}, by_force()));
    auto segments = std::vector<std::uint64_t>{};
    for (auto const& name : names_in(b.env, "/others", entry_kind::file))
        if (auto const generation = parse_segment_name(name)) segments.push_back(*generation);
    REQUIRE_FALSE(segments.empty());
    auto const newest = *std::max_element(segments.begin(), segments.end());
    CHECK(newest > 0x10000000);
    CHECK(newest < 0x10000000 + 2 * 65536);
    expect_rows(b.env, "/others", b.past, existing());
}

TEST_CASE("a forced restore that fails leaves the old instance as it was", "[backup][restore]") {
    auto b = moved_on{};
    good(std::move(b.db).close());
    auto sets = good(repository<env_type>::open(b.env, "/repo"));
    auto const listed = good(sets.list());
    REQUIRE(listed.size() == 1);
    auto set = good(sets.open_set(listed[0].name));
    {
        auto part =
            good(set.open(file_name{"part-0000-main.jbs"}, {.mode = open_mode::read_write}));
        auto one = std::array<std::byte, 1>{};
        good(read_full(part, one, 5000));
        one[0] ^= std::byte{1};
        good(write_full(part, one, 5000));
    }
    CHECK_FALSE(run_restore<traits>(b.env, "/repo", "/db", {}, by_force()));
    CHECK(names_in(b.env, "/db", entry_kind::directory).empty());
    expect_rows(b.env, "/db", b.expected, existing());
}

TEST_CASE("files of anybody go aside; a directory in the way is an error", "[backup][restore]") {
    auto b = moved_on{};
    auto others = good(b.env.storage.open_dir("/others", directory_how::create_if_missing));
    {
        auto file = good(others.open(file_name{"main"}, {.mode = open_mode::create_new}));
        good(write_full(file, as_bytes("no database"), 0));
    }
    auto const done = good(run_restore<traits>(b.env, "/repo", "/others", {}, by_force()));
    CHECK(
        names_in(b.env, "/others/" + done.moved_aside, entry_kind::file) ==
        std::vector<std::string>{"main"}
    );
    expect_rows(b.env, "/others", b.past, existing());

    auto way = good(b.env.storage.open_dir("/way", directory_how::create_if_missing));
    (void)good(way.open_dir(file_name{"main"}, directory_how::create_if_missing));
    CHECK(
        code_of(run_restore<traits>(b.env, "/repo", "/way", {}, by_force())) ==
        errc::would_overwrite
    );
    CHECK(names_in(b.env, "/way", entry_kind::directory) == std::vector<std::string>{"main"});
    CHECK(names_in(b.env, "/way", entry_kind::file).empty());
}

// What lies in a jet.dw: images of pages, each with the newest change it holds.
struct images {
    std::size_t count = 0;
    lsn lowest = lsn_limit;
    std::size_t of_others = 0; // areas of another timeline

    images(std::vector<std::byte> const& file, timeline_id timeline) {
        using areas = double_write_file<sim_engine::traits>;
        auto const first = double_write_index::read(const_bytes{file}.first(8192));
        auto const capacity = good(result<double_write_index>{first}).capacity;
        for (auto const at : {std::size_t{0}, areas::area_bytes(capacity)}) {
            auto const block = const_bytes{file}.subspan(at, double_write_index::size);
            auto const index = good(double_write_index::read(block));
            count += index.count;
            if (index.timeline != timeline) ++of_others;
            for (std::size_t i = 0; i < index.count; ++i)
                lowest = earlier(
                    lowest,
                    double_write_entry::decode(
                        block.data() + double_write_index::entries_at + i * double_write_entry::size
                    )
                        .page_lsn
                );
        }
    }
};

TEST_CASE("no image of the future that was given up comes into the new one", "[backup][restore]") {
    // The instance that is restored over stopped while pages went home: its jet.dw is full of images
    // of the same database, all of them behind the target.
    auto const by_delta = GENERATE(false, true);
    auto const stop = GENERATE(point_id::before_home_write, point_id::after_home_write);
    CAPTURE(by_delta, stop);
    auto tape = choice_tape{by_delta ? 41U : 42U};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto past = model{};
    auto target = lsn{};
    auto old_end = lsn{};
    auto old_timeline = timeline_id{};
    world.run([&] {
        auto b = bed<sim_policies>{env};
        b.work(400, 1);
        target = good(run_backup_to(b.db, "/repo")).end_lsn;
        past = b.expected;
        old_timeline = b.store().timeline();
        good(b.db.checkpoint());
        b.work(1200, 2);
        old_end = b.store().log().tail();
        world.crash_at_point(stop);
        (void)b.db.checkpoint();
        (void)std::move(b.db).close();
    });
    REQUIRE(world.machine().frozen());
    world.machine().thaw(crash_policy::none);
    auto const old = world.machine().contents("db/jet.dw");
    auto const abandoned = images{old, old_timeline};
    REQUIRE(abandoned.count >= 8);
    REQUIRE(abandoned.of_others == 0);
    REQUIRE(abandoned.lowest >= target);

    auto report = restore_report{};
    world.run([&] {
        auto how = restore_options{};
        (by_delta ? how.delta : how.force) = true;
        report = good(run_restore<sim_engine::traits>(env, {"/repo"}, "/db", how));
    });
    REQUIRE(report.timeline != old_timeline);
    world.machine().thaw(crash_policy::none);
    // The old file went aside as it was. The new one is of the new timeline, and empty.
    CHECK(world.machine().contents("db/" + report.moved_aside + "/jet.dw") == old);
    auto const made = images{world.machine().contents("db/jet.dw"), report.timeline};
    CHECK(made.count == 0);
    CHECK(made.of_others == 0);
    // An engine that took whatever image it finds, good home or not, would find none.
    world.run([&] {
        auto db = good(sim_engine::open("/db", existing(), env));
        auto const rows = good(db.open_tree("main", "rows"));
        (void)good(db.put(rows, "new", "life"));
        past["new"] = "life";
        world.machine().freeze();
        (void)std::move(db).close();
    });
    world.machine().thaw(crash_policy::none);
    world.run([&] {
        auto const planted = simulation::planting{sabotage::dw_stale_image};
        expect_rows<sim_policies>(env, "/db", past, existing());
    });
    auto const file = world.machine().contents("db/main");
    auto pages = 0;
    for (auto at = std::size_t{131072}; at + 4096 <= file.size(); at += 4096) {
        auto const page_lsn = load_le<std::uint64_t>(file.data() + at + page_offset::page_lsn);
        if (page_lsn == 0) continue;
        ++pages;
        if (target.value <= page_lsn && page_lsn < old_end.value)
            FAIL("a page of the abandoned future at " << at);
    }
    CHECK(pages > 20);
}

// Two instances, as rows: the one that is there, and the one that is to come.
struct replaced_world {
    model old{};
    model past{};
    explicit replaced_world(sim_env env) {
        auto db = good(sim_engine::open("/db", small_engine, env));
        good(db.attach("main"));
        db.core().store.databases()[0].file->set_growth_bytes_min(64 << 10);
        auto const rows = good(db.open_tree("main", "rows"));
        auto const put = [&](int from, int to) {
            for (auto i = from; i < to; ++i) {
                auto const key = "key" + std::to_string(i);
                (void)good(db.put(rows, key, std::to_string(from), durability::memory));
                old[key] = std::to_string(from);
            }
        };
        put(0, 40);
        (void)good(run_backup_to(db, "/repo"));
        past = old;
        put(20, 70);
        good(std::move(db).close());
    }
    // Which of the two lies there? Neither: why not.
    [[nodiscard]] std::string look(sim_env env, std::string const& path) const {
        auto db = sim_engine::open(path, existing(), env);
        if (!db) return describe(db.error()).c_str();
        auto const found = rows_of(db.value(), "main", "rows");
        good(std::move(db).value().close());
        return found == old ? "old" : found == past ? "past" : "other rows";
    }
};

// Forced restores in a machine that stops at one of their calls.
struct forced_lives {
    using sim_traits = sim_engine::traits;
    // The exchange is the last part of a restore.
    static constexpr auto exchange = std::uint64_t{90};

    choice_tape tape{31};
    simulated_world world{tape};
    sim_env env = world.environment();
    std::optional<replaced_world> both{};
    std::optional<disk_state> before{};
    std::uint64_t calls = 0;
    unsigned tried = 0;
    int saw_old = 0;
    int saw_between = 0;
    int saw_new = 0;
    int finished = 0;

    forced_lives() {
        world.run([&] { both.emplace(env); });
        before = world.machine().save();
        world.run([&] {
            auto const first = world.machine().calls();
            (void)good(restore());
            calls = world.machine().calls() - first;
        });
        REQUIRE(calls > 200);
    }
    [[nodiscard]] result<restore_report> restore() {
        return run_restore<sim_traits>(env, "/repo", "/db", {}, by_force());
    }
    // Returns: what is wrong after a stop at call n.
    [[nodiscard]] std::string stop_at(std::uint64_t n, crash_policy policy) {
        world.machine().restore(*before);
        world.machine().crash_at(n);
        auto was_told = false;
        world.run([&] { was_told = restore().has_value(); });
        world.machine().thaw(policy);
        auto second = std::string{};
        if (!was_told && ++tried % 3 == 0) { // and once more, near the end
            world.machine().crash_at(1 + tried * 7 % 120);
            world.run([&] { was_told = restore().has_value(); });
            auto const again = crash_policies[tried / 3 % crash_policies.size()];
            second = std::to_string(1 + tried * 7 % 120) + " " + std::string{name_of(again)};
            world.machine().thaw(again);
        }
        auto problem = std::string{};
        world.run([&] {
            auto const seen = both->look(env, "/db");
            if (seen == "old")
                ++saw_old;
            else if (seen == "past")
                ++saw_new;
            else if (seen.starts_with("needs_restore"))
                ++saw_between;
            else
                problem = seen;
            if (was_told && seen != "past") problem = "told, and it is " + seen;
            if (!problem.empty()) return;
            if (seen != "past") {
                auto const again = restore();
                if (!again)
                    problem = seen + ", and again: " + describe(again.error()).c_str();
                else if (auto const now = both->look(env, "/db"); now != "past")
                    problem = seen + ", and after another try: " + now;
                if (seen != "old" && again && again.value().read.pages == 0) ++finished;
            }
            for (auto const& name : names_in(env, "/db", entry_kind::file))
                if (name.find(".tmp") != name.npos) problem = "left behind: " + name;
            // The old instance lies aside, once, and whole.
            auto const aside = names_in(env, "/db", entry_kind::directory);
            auto olds = 0;
            for (auto const& name : aside)
                if (both->look(env, "/db/" + name) == "old") ++olds;
            if (olds != 1 && problem.empty())
                problem = std::to_string(olds) + " old instances aside";
        });
        if (problem.empty()) return problem;
        if (!second.empty()) problem += "; again at " + second;
        for (auto const& name : world.machine().file_names("db")) problem += "; " + name;
        return problem;
    }
};

TEST_CASE(
    "a crash at any call of a forced restore loses neither the old nor the new",
    "[backup][restore][crash]"
) {
    auto lives = forced_lives{};
    auto const calls = lives.calls;
    auto const one = [&](std::uint64_t n, crash_policy policy) {
        CAPTURE(n, calls, name_of(policy));
        if (auto const problem = lives.stop_at(n, policy); !problem.empty()) FAIL(problem);
    };
    // In the exchange every call, before it a sample.
    auto const exchange = forced_lives::exchange;
    auto const step = std::max<std::uint64_t>(1, calls / rounds(12));
    for (std::size_t p = 0; p < crash_policies.size(); ++p) {
        for (auto n = 1 + p * step / crash_policies.size(); n + exchange < calls; n += step)
            one(n, crash_policies[p]);
        for (auto n = calls - exchange + p % 2; n <= calls; n += 2) one(n, crash_policies[p]);
    }
    CHECK(lives.saw_old > 20);
    CHECK(lives.saw_between > 20);
    CHECK(lives.saw_new > 0);
    CHECK(lives.finished > lives.saw_between / 2);
}

TEST_CASE(
    "files that go away before their new names are durable are found out", "[backup][restore]"
) {
    auto lives = forced_lives{};
    auto const planted = simulation::planting{sabotage::restore_without_sync};
    auto found = std::string{};
    for (auto n = lives.calls - forced_lives::exchange; n <= lives.calls && found.empty(); ++n)
        for (auto const policy : {crash_policy::names_last, crash_policy::newest_first})
            if (found.empty()) found = lives.stop_at(n, policy);
    INFO(found);
    CHECK_FALSE(found.empty());
}

} // namespace jetpp_test::restore_over_cases
