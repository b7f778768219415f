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

TEST_CASE(
    "a crash at any call of a forced restore loses neither the old nor the new",
    "[backup][restore][crash]"
) {
    using sim_traits = sim_engine::traits;
    auto tape = choice_tape{31};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto both = std::optional<replaced_world>{};
    world.run([&] { both.emplace(env); });
    auto const before = world.machine().save();
    auto const restore = [&] {
        return run_restore<sim_traits>(env, "/repo", "/db", {}, by_force());
    };
    auto first = std::uint64_t{0};
    auto last = std::uint64_t{0};
    world.run([&] {
        first = world.machine().calls();
        (void)good(restore());
        last = world.machine().calls();
    });
    auto const calls = last - first;
    REQUIRE(calls > 200);
    // The exchange is the last part: there every call, before it a sample.
    auto const exchange = std::uint64_t{90};
    auto tried = 0U;
    auto saw_old = 0;
    auto saw_between = 0;
    auto saw_new = 0;
    auto finished = 0;
    auto const one = [&](std::uint64_t n, crash_policy policy) {
        world.machine().restore(before);
        world.machine().crash_at(n);
        auto was_told = false;
        world.run([&] { was_told = restore().has_value(); });
        world.machine().thaw(policy);
        auto second = std::string{"-"};
        if (!was_told && ++tried % 3 == 0) { // and once more, near the end
            world.machine().crash_at(1 + tried * 7 % 120);
            world.run([&] { was_told = restore().has_value(); });
            auto const again = crash_policies[tried / 3 % crash_policies.size()];
            second = std::to_string(1 + tried * 7 % 120) + " " + std::string{name_of(again)};
            world.machine().thaw(again);
        }
        CAPTURE(n, calls, name_of(policy), was_told, second);
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
            // The old instance lies aside, once, and whole.
            auto const aside = names_in(env, "/db", entry_kind::directory);
            auto olds = 0;
            for (auto const& name : aside)
                if (both->look(env, "/db/" + name) == "old") ++olds;
            if (olds != 1 && problem.empty())
                problem = std::to_string(olds) + " old instances aside";
        });
        if (!problem.empty()) {
            for (auto const& name : world.machine().file_names("db")) problem += "; " + name;
            FAIL(problem);
        }
    };
    auto const step = std::max<std::uint64_t>(1, calls / rounds(12));
    for (std::size_t p = 0; p < crash_policies.size(); ++p) {
        for (auto n = 1 + p * step / crash_policies.size(); n + exchange < calls; n += step)
            one(n, crash_policies[p]);
        for (auto n = calls - exchange + p % 2; n <= calls; n += 2) one(n, crash_policies[p]);
    }
    CHECK(saw_old > 20);
    CHECK(saw_between > 20);
    CHECK(saw_new > 0);
    CHECK(finished > saw_between / 2);
}

} // namespace jetpp_test::restore_over_cases
