// test/backup/roll_forward.cpp - an instance whose log survived gets its databases back, in place and up
// to the last commit.
#include <jetpp/backup.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::roll_forward_cases {

using namespace jetpp;

using traits = bed<>::traits;
using env_type = bed<>::environment_type;
using mem_engine = engine<bed_policies>;
using sim_engine = engine<sim_policies>;
using sim_env = sim_engine::environment_type;

template <class Traits>
result<restore_report> roll_forward(
    typename Traits::env environment, path_view repo, path_view where, restore_options how = {}
) {
    how.live = true;
    return run_restore<Traits>(environment, {repo}, where, how);
}
open_options existing() {
    auto options = small_engine;
    options.create = create_how::must_exist;
    return options;
}
void lose(env_type env, file_name const& name) {
    auto where = good(env.storage.open_dir("/db", directory_how::must_exist));
    good(where.remove(name));
}
std::vector<std::string> names_in(env_type env, path_view path, entry_kind kind) {
    auto where = good(env.storage.open_dir(path, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(where.list(entries));
    auto names = std::vector<std::string>{};
    for (auto const& entry : entries)
        if (entry.kind == kind && entry.name != lock_file_name)
            names.emplace_back(entry.name.view());
    std::sort(names.begin(), names.end());
    return names;
}

TEST_CASE("lost databases come back to the last commit, and history goes on", "[backup][live]") {
    auto const lives = rounds(6);
    auto rolled = 0U;
    for (auto seed = 1U; seed <= lives; ++seed) {
        CAPTURE(seed);
        auto random = std::mt19937{seed};
        auto b = bed{};
        auto young = model{};
        b.work(400, seed);
        auto const full = good(run_backup_to(b.db, "/repo", {.truncate = random() % 2 == 0}));
        b.work(300, seed + 50);
        if (random() % 2 == 0) good(b.db.checkpoint());
        if (random() % 2 == 0) {
            auto sets = good(repository<env_type>::open(b.env, "/repo"));
            auto name = file_name{};
            name.add(full.name);
            auto set = good(sets.open_set(name));
            auto const base = good(manifest_of<env_type>(set));
            (void)good(run_backup_to(
                b.db,
                "/repo",
                {.kind = backup_kind::pages, .base = backup_base{base.manifest, base.hash}}
            ));
        }
        (void
        )good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental, .truncate = true}));
        b.work(300, seed + 100);
        if (random() % 2 == 0) { // leaves and comes back, under another id
            good(b.db.detach("main"));
            good(b.db.attach("main"));
            b.rows = good(b.db.open_tree("main", "rows"));
            b.work(100, seed + 120);
        }
        // One that no set knows: the log makes it.
        good(b.db.attach("young"));
        auto const others = good(b.db.open_tree("young", "rows"));
        for (auto i = 0; i < 50; ++i) {
            (void)good(b.db.put(others, std::to_string(i), "young", durability::memory));
            young[std::to_string(i)] = "young";
        }
        b.work(200, seed + 150);
        auto const timeline = b.store().timeline();
        good(std::move(b.db).close());

        auto const which = random() % 3;
        if (which != 1) lose(b.env, file_name{"main"});
        if (which != 0) lose(b.env, file_name{"young"});
        if (auto alone = mem_engine::open("/db", existing(), b.env); alone) {
            CHECK(which == 1); // born in the newest segment: recovery makes it by itself
            good(std::move(alone).value().close());
        } else {
            CHECK(alone.error().code == errc::database_missing);
            auto const done = roll_forward<traits>(b.env, "/repo", "/db");
            if (!done) FAIL(describe(done.error()).c_str());
            CHECK(done.value().databases == (which == 2 ? 2 : 1));
            CHECK(done.value().timeline == timeline);
            CHECK(done.value().moved_aside.empty());
            ++rolled;
        }
        CHECK(names_in(b.env, "/db", entry_kind::directory).empty());

        // No fork: the marks are there, and the next log set goes on.
        auto db = good(mem_engine::open("/db", existing(), b.env));
        CHECK(db.core().store.timeline() == timeline);
        CHECK(rows_of(db, "main", "rows") == b.expected);
        CHECK(rows_of(db, "young", "rows") == young);
        auto const checked = good(check_trees(db.core().store));
        CHECK(checked.is_good());
        good(db.detach("young"));
        auto const rows = good(db.open_tree("main", "rows"));
        (void)good(db.put(rows, "after", "wards", durability::memory));
        b.expected["after"] = "wards";
        auto const next = good(run_backup_to(db, "/repo", {.kind = backup_kind::incremental}));
        good(std::move(db).close());
        auto const restored = good(run_restore<traits>(b.env, "/repo", "/new"));
        CHECK(restored.set == next.set);
        expect_rows(b.env, "/new", b.expected, existing());
    }
    CHECK(rolled > lives / 3);
}

TEST_CASE("rolling forward takes what is missing, by force what is there", "[backup][live]") {
    auto b = bed{};
    b.work(300, 1);
    (void)good(run_backup_to(b.db, "/repo"));
    b.work(300, 2);
    CHECK(code_of(roll_forward<traits>(b.env, "/repo", "/db")) == errc::in_use);
    good(std::move(b.db).close());
    CHECK(code_of(roll_forward<traits>(b.env, "/repo", "/nowhere")) == errc::not_found);
    CHECK(code_of(roll_forward<traits>(b.env, "/repo", "/db")) == errc::would_overwrite);
    auto how = restore_options{};
    how.databases = {"other"};
    CHECK(code_of(roll_forward<traits>(b.env, "/repo", "/db", how)) == errc::not_found);
    how.databases = {"main"};
    CHECK(code_of(roll_forward<traits>(b.env, "/repo", "/db", how)) == errc::would_overwrite);
    expect_rows(b.env, "/db", b.expected, existing());
    // Damage in the middle of the file.
    {
        auto where = good(b.env.storage.open_dir("/db", directory_how::must_exist));
        auto file = good(where.open(file_name{"main"}, {.mode = open_mode::read_write}));
        auto const noise = std::vector<std::byte>(40'000, std::byte{0xA5});
        good(write_full(file, noise, 131072 + 4096));
    }
    how.force = true;
    auto const done = good(roll_forward<traits>(b.env, "/repo", "/db", how));
    CHECK(
        names_in(b.env, "/db/" + done.moved_aside, entry_kind::file) ==
        std::vector<std::string>{"main"}
    );
    expect_rows(b.env, "/db", b.expected, existing());
}

// What an engine would refuse at open a roll-forward refuses before it moves anything.
TEST_CASE("nothing is rolled forward beside a file that was exchanged", "[backup][live]") {
    auto b = bed{};
    good(b.db.attach("other"));
    auto const others = good(b.db.open_tree("other", "rows"));
    (void)good(b.db.put(others, "early", "row"));
    b.work(300, 1);
    good(std::move(b.db).close());
    auto where = good(b.env.storage.open_dir("/db", directory_how::must_exist));
    auto const name = file_name{"other"};
    auto const older = good(read_file<env_type>(where, name, 64 << 20));
    {
        auto db = good(mem_engine::open("/db", existing(), b.env));
        (void)good(run_backup_to(db, "/repo"));
        (void)good(db.put(good(db.open_tree("other", "rows")), "late", "row"));
        good(std::move(db).close());
    }
    auto const right = good(read_file<env_type>(where, name, 64 << 20));
    auto const put_there = [&](aligned_buffer const& content) {
        good(where.remove(name));
        auto file = good(where.open(name, {.mode = open_mode::create_new}));
        good(write_full(file, content.all(), 0));
    };
    put_there(older);
    lose(b.env, file_name{"main"});
    auto const before = names_in(b.env, "/db", entry_kind::file);
    auto const refused = roll_forward<traits>(b.env, "/repo", "/db");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::history_break);
    CHECK(refused.error().file == file_kind::database);
    CHECK(names_in(b.env, "/db", entry_kind::file) == before);
    put_there(right);
    (void)good(roll_forward<traits>(b.env, "/repo", "/db"));
    auto db = good(mem_engine::open("/db", existing(), b.env));
    CHECK(rows_of(db, "main", "rows") == b.expected);
    CHECK(rows_of(db, "other", "rows").size() == 2);
    good(std::move(db).close());
}

TEST_CASE("pins that were lost with the checkpoint file are told of", "[backup][live]") {
    auto b = bed{};
    b.work(300, 1);
    (void)good(run_backup_to(b.db, "/repo"));
    b.work(300, 2);
    auto const pin = good(pin_id::of_reader("a reader"));
    (void)good(b.db.create_pin(pin, {.byte_cap = std::uint64_t{1} << 30}));
    good(std::move(b.db).close());
    lose(b.env, file_name{"main"});
    auto again = b.env;
    CHECK_FALSE(good(roll_forward<traits>(again, "/repo", "/db")).recovery.pins_lost);
    lose(b.env, file_name{"main"});
    lose(b.env, file_name{"jet.ckp"});
    CHECK(good(roll_forward<traits>(again, "/repo", "/db")).recovery.pins_lost);
    auto db = good(mem_engine::open("/db", existing(), b.env));
    CHECK_FALSE(db.find_pin(pin));
    CHECK(rows_of(db, "main", "rows") == b.expected);
    good(std::move(db).close());
    // Another history never had them.
    CHECK_FALSE(good(run_restore<traits>(b.env, "/repo", "/new")).recovery.pins_lost);
}

// The newest set of one database has no pages of the other, and log that leads on.
TEST_CASE("a set of some databases does not stand in the way of the others", "[backup][live]") {
    auto b = bed{};
    good(b.db.attach("other"));
    auto const others = good(b.db.open_tree("other", "rows"));
    (void)good(b.db.put(others, "first", "1", durability::memory));
    b.work(3000, 1);
    good(b.store().checkpoint(checkpoint_how::flush_all));
    (void)good(run_backup_to(b.db, "/repo"));
    (void)good(b.db.put(others, "second", "1", durability::memory));
    b.work(300, 2);
    (void)good(run_backup_to(b.db, "/repo", {.databases = {"main"}, .truncate = true}));
    b.work(300, 3);
    good(std::move(b.db).close());
    lose(b.env, file_name{"other"});
    auto const done = good(roll_forward<traits>(b.env, "/repo", "/db"));
    CHECK(done.passed_over.size() == 1);
    auto db = good(mem_engine::open("/db", existing(), b.env));
    CHECK(rows_of(db, "other", "rows").size() == 2);
    CHECK(rows_of(db, "main", "rows") == b.expected);
    good(std::move(db).close());
}

TEST_CASE("a log that does not lead to the live one is refused by name", "[backup][live]") {
    auto b = bed{};
    b.work(300, 1);
    (void)good(run_backup_to(b.db, "/repo", {.truncate = true}));
    b.work(900, 2);
    auto const set = good(run_backup_to(b.db, "/other", {.kind = backup_kind::copy}));
    good(b.db.checkpoint());
    b.work(900, 3);
    good(std::move(b.db).close());
    lose(b.env, file_name{"main"});
    // A segment between the set and the tail is gone.
    auto const segment = segment_file_name(generation_of(set.end_lsn, small_engine.segment_bytes));
    auto where = good(b.env.storage.open_dir("/db", directory_how::must_exist));
    auto const kept = file_name{"kept"};
    good(where.rename(segment, kept, rename_how::no_replace));
    auto const before = names_in(b.env, "/db", entry_kind::file);
    auto const refused = roll_forward<traits>(b.env, "/other", "/db");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::log_gap);
    CHECK(
        generation_of(refused.error().at, small_engine.segment_bytes) ==
        generation_of(set.end_lsn, small_engine.segment_bytes)
    );
    CHECK(names_in(b.env, "/db", entry_kind::file) == before);
    CHECK(names_in(b.env, "/db", entry_kind::directory).empty());
    // Nor is a checkpoint made up where that is lost as well.
    auto const aside = file_name{"aside"};
    good(where.rename(checkpoint_file_name, aside, rename_how::no_replace));
    REQUIRE_FALSE(roll_forward<traits>(b.env, "/other", "/db"));
    CHECK(
        code_of(where.open(checkpoint_file_name, {.mode = open_mode::read_only})) == errc::not_found
    );
    good(where.rename(aside, checkpoint_file_name, rename_how::no_replace));
    good(where.rename(kept, segment, rename_how::no_replace));
    (void)good(roll_forward<traits>(b.env, "/other", "/db"));
    expect_rows(b.env, "/db", b.expected, existing());
}

// An instance that crashed with somebody unfinished in two databases, of which one is lost.
struct crashed_world {
    model main{};
    model other{};
    uuid newest_full{};
    explicit crashed_world(simulated_world& world, sim_env env) {
        world.run([&] {
            auto db = good(sim_engine::open("/db", small_engine, env));
            for (auto const* const name : {"main", "other"}) {
                good(db.attach(name));
                for (auto& known : db.core().store.databases())
                    if (known.file != nullptr) known.file->set_growth_bytes_min(64 << 10);
            }
            auto const rows = good(db.open_tree("main", "rows"));
            auto const others = good(db.open_tree("other", "rows"));
            auto const put = [&](int from, int to) {
                for (auto i = from; i < to; ++i) {
                    auto const key = "key" + std::to_string(i);
                    auto const value = std::string(static_cast<std::size_t>(i * 9), 'v');
                    (void)good(db.put(rows, key, value));
                    (void)good(db.put(others, key, value));
                    main[key] = other[key] = value;
                }
            };
            put(0, 40);
            (void)good(run_backup_to(db, "/repo"));
            put(30, 60);
            (void
            )good(run_backup_to(db, "/repo", {.kind = backup_kind::incremental, .truncate = true}));
            put(45, 65);
            // Of elsewhere: its mark stands in the log that is replayed, behind the incremental's.
            newest_full = good(run_backup_to(db, "/elsewhere")).set;
            good(db.checkpoint());
            put(50, 70);
            auto open = good(db.begin());
            for (auto i = 0; i < 20; ++i) {
                good(open.put(rows, "open" + std::to_string(i), "half"));
                good(open.put(others, "open" + std::to_string(i), "half"));
            }
            (void)good(db.put(rows, "last", "one"));
            main["last"] = "one";
            world.machine().freeze();
        });
        world.machine().thaw(crash_policy::random);
        world.machine().remove("db/main");
    }
    [[nodiscard]] std::string look(sim_env env) const {
        auto db = sim_engine::open("/db", existing(), env);
        if (!db) return describe(db.error()).c_str();
        auto said = std::string{};
        if (rows_of(db.value(), "main", "rows") != main) said += "main has other rows; ";
        if (rows_of(db.value(), "other", "rows") != other) said += "other has other rows; ";
        db.value().core().store.each_database([&](auto& one) {
            auto const header = one.file->header();
            if (header.mark(mark_kind::full).set != newest_full) said += "another full is noted; ";
            if (header.mark(mark_kind::incremental).exists())
                said += "an older increment is noted; ";
        });
        auto const checked = check_trees(db.value().core().store);
        if (!checked || !checked.value().is_good()) said += "a tree is damaged; ";
        if (auto closed = std::move(db).value().close(); !closed) said += "cannot be closed";
        return said.empty() ? "whole" : said;
    }
};

TEST_CASE("losers of a live log are undone in all its databases", "[backup][live]") {
    auto tape = choice_tape{41};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto const crashed = crashed_world{world, env};
    world.run([&] {
        auto const done = roll_forward<sim_engine::traits>(env, "/repo", "/db");
        if (!done) FAIL(describe(done.error()).c_str());
        CHECK(done.value().recovery.losers == 1);
        CHECK(crashed.look(env) == "whole");
    });
}

TEST_CASE(
    "a crash at any call of rolling forward leaves what it was, or what goes on",
    "[backup][live][crash]"
) {
    auto tape = choice_tape{42};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto const crashed = crashed_world{world, env};
    auto const before = world.machine().save();
    auto const roll = [&] { return roll_forward<sim_engine::traits>(env, "/repo", "/db"); };
    auto first = std::uint64_t{0};
    auto last = std::uint64_t{0};
    world.run([&] {
        first = world.machine().calls();
        (void)good(roll());
        last = world.machine().calls();
    });
    auto const calls = last - first;
    auto tried = 0U;
    auto missing = 0;
    auto between = 0;
    auto whole = 0;
    auto const step = std::max<std::uint64_t>(1, calls * crash_policies.size() / rounds(400));
    for (std::size_t p = 0; p < crash_policies.size(); ++p)
        for (auto n = 1 + p * step / crash_policies.size(); n <= calls; n += step) {
            world.machine().restore(before);
            world.machine().crash_at(n);
            auto was_told = false;
            world.run([&] { was_told = roll().has_value(); });
            world.machine().thaw(crash_policies[p]);
            auto second = std::string{"-"};
            if (!was_told && ++tried % 3 == 0) {
                auto const at = 1 + tried * 37 % calls;
                auto const how = crash_policies[tried / 3 % crash_policies.size()];
                world.machine().crash_at(at);
                world.run([&] { was_told = roll().has_value(); });
                world.machine().thaw(how);
                second = std::to_string(at) + " " + std::string{name_of(how)};
            }
            CAPTURE(n, calls, name_of(crash_policies[p]), was_told, second);
            auto problem = std::string{};
            world.run([&] {
                auto const seen = crashed.look(env);
                if (seen.starts_with("database_missing"))
                    ++missing;
                else if (seen.starts_with("needs_restore"))
                    ++between;
                else if (seen == "whole")
                    ++whole;
                else
                    problem = seen;
                if (was_told && seen != "whole") problem = "told, and it is " + seen;
                if (seen == "whole" || !problem.empty()) return;
                auto const again = roll();
                if (!again)
                    problem = seen + ", and again: " + describe(again.error()).c_str();
                else if (auto const now = crashed.look(env); now != "whole")
                    problem = seen + ", and after another try: " + now;
            });
            if (!problem.empty()) {
                for (auto const& name : world.machine().file_names("db")) problem += "; " + name;
                FAIL(problem);
            }
        }
    CHECK(missing > 20);
    CHECK(between > 20);
    CHECK(whole > 0);
}

} // namespace jetpp_test::roll_forward_cases
