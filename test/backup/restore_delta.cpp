// test/backup/restore_delta.cpp - damaged files become whole where they lie, by the pages that differ.
#include <jetpp/backup.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::restore_delta_cases {

using namespace jetpp;

using traits = bed<>::traits;
using env_type = bed<>::environment_type;
using mem_engine = engine<bed_policies>;
using sim_engine = engine<sim_policies>;
using sim_env = sim_engine::environment_type;

constexpr auto existing = [] {
    auto options = small_engine;
    options.create = create_how::must_exist;
    return options;
}();
constexpr auto page = std::uint64_t{4096};

template <class Env>
std::vector<std::byte> content_of(Env env, path_view where, file_name const& name) {
    auto directory = good(env.storage.open_dir(where, directory_how::must_exist));
    auto const content = good(read_file<Env>(directory, name, std::uint64_t{1} << 30));
    return {content.all().begin(), content.all().end()};
}
// Noise over `count` bytes.
template <class Env>
void harm(Env env, path_view where, file_name const& name, std::uint64_t at, std::size_t count) {
    auto directory = good(env.storage.open_dir(where, directory_how::must_exist));
    auto file =
        good(directory.open(name, {.mode = open_mode::read_write, .io = io_mode::buffered}));
    auto const noise = std::vector<std::byte>(count, std::byte{0xA5});
    good(write_full(file, noise, at));
    good(file.sync(sync_how::full));
    good(file.close());
}
template <class Traits>
result<restore_report> lay_over(
    typename Traits::env env, path_view where, restore_options how = {}
) {
    how.delta = true;
    return run_restore<Traits>(env, {"/repo"}, where, how);
}
std::vector<std::string> names_in(env_type env, path_view path) {
    auto where = good(env.storage.open_dir(path, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(where.list(entries));
    auto names = std::vector<std::string>{};
    for (auto const& entry : entries) names.emplace_back(entry.name.view());
    std::sort(names.begin(), names.end());
    return names;
}

TEST_CASE(
    "a delta restore writes the pages that differ, and cuts those too many", "[backup][delta]"
) {
    auto b = bed{};
    for (auto i = 0U; i < 6000; ++i) { // ascending: what comes later touches few of these pages
        auto const key = "large" + std::to_string(100'000 + i);
        auto const value = std::string(700, static_cast<char>('a' + i % 26));
        (void)good(b.db.put(b.rows, key, value, durability::memory));
        b.expected[key] = value;
        if (i % 64 == 0) (void)good(b.db.poll());
    }
    good(b.db.checkpoint());
    (void)good(run_backup_to(b.db, "/repo"));
    b.work(100, 2);
    {
        auto sets = good(repository<env_type>::open(b.env, "/repo"));
        auto const entries = good(sets.list());
        auto set = good(sets.open_set(entries[0].name));
        auto const base = good(manifest_of<env_type>(set));
        (void)good(run_backup_to(
            b.db,
            "/repo",
            {.kind = backup_kind::pages, .base = backup_base{base.manifest, base.hash}}
        ));
    }
    good(std::move(b.db).close());
    auto const name = file_name{"main"};
    auto const whole = content_of(b.env, "/db", name);
    auto const pages = whole.size() / page;
    REQUIRE(pages > 1000);

    // What a restore from nothing makes is what one over damage makes.
    (void)good(run_restore<traits>(b.env, {"/repo"}, "/fresh"));
    harm(b.env, "/db", name, 40 * page, 2 * page);
    harm(b.env, "/db", name, 60 * page + 100, 7);
    harm(b.env, "/db", name, whole.size(), 5 * page);
    auto const done = good(lay_over<traits>(b.env, "/db"));
    CHECK(done.page_sets == 2);
    CHECK(done.written_pages >= 3);
    // Whatever was flushed behind the copy may differ as well; the rest does not.
    CHECK(done.written_pages < pages / 4);
    CHECK(done.equal_pages > pages / 2);
    CHECK(done.equal_pages + done.written_pages <= pages);
    CHECK(content_of(b.env, "/db", name).size() <= whole.size());
    expect_rows(b.env, "/db", b.expected, existing);
    auto const names = names_in(b.env, "/db");
    CHECK(std::count(names.begin(), names.end(), done.moved_aside) == 1);
    for (auto const& one : names) {
        CHECK_FALSE(one.starts_with(restore_staging_prefix));
        CHECK(one != restore_journal_name.view());
    }
    // The old log lies aside; the database does not, for it is the one that is used.
    auto const aside = names_in(b.env, "/db/" + done.moved_aside);
    CHECK(std::count(aside.begin(), aside.end(), "main") == 0);
    CHECK(std::any_of(aside.begin(), aside.end(), [](std::string const& one) {
        return parse_segment_name(one).has_value();
    }));
}

TEST_CASE("only the database itself is laid over", "[backup][delta]") {
    auto b = bed{};
    b.work(300, 1);
    (void)good(run_backup_to(b.db, "/repo"));
    CHECK(code_of(lay_over<traits>(b.env, "/db")) == errc::in_use);
    good(std::move(b.db).close());
    // Where nothing is, it is a restore like any other.
    auto done = good(lay_over<traits>(b.env, "/new"));
    CHECK(done.written_pages + done.equal_pages == 0);
    expect_rows(b.env, "/new", b.expected, existing);
    // Another database of that name goes aside, whole.
    {
        auto other = good(mem_engine::open("/other", small_engine, b.env));
        good(other.attach("main"));
        (void)good(other.put(good(other.open_tree("main", "mine")), "a", "1"));
        good(std::move(other).close());
    }
    auto const mine = content_of(b.env, "/other", file_name{"main"});
    done = good(lay_over<traits>(b.env, "/other"));
    CHECK(done.written_pages + done.equal_pages == 0);
    CHECK(content_of(b.env, "/other/" + done.moved_aside, file_name{"main"}) == mine);
    expect_rows(b.env, "/other", b.expected, existing);
    // So does one whose header nobody can read.
    harm(b.env, "/db", file_name{"main"}, 0, 131072);
    done = good(lay_over<traits>(b.env, "/db"));
    CHECK(done.written_pages + done.equal_pages == 0);
    CHECK(names_in(b.env, "/db/" + done.moved_aside).size() > 1);
    expect_rows(b.env, "/db", b.expected, existing);
}

TEST_CASE("nothing is touched before the sources are proved", "[backup][delta]") {
    auto b = bed{};
    b.work(1500, 1);
    auto const set = good(run_backup_to(b.db, "/repo"));
    good(std::move(b.db).close());
    auto const path = "/repo/sets/" + set.name;
    auto names = names_in(b.env, path);
    auto const part = *std::find_if(names.begin(), names.end(), [](std::string const& one) {
        return one.ends_with("-main.jbs");
    });
    harm(b.env, path, good(file_name::make(part)), 300'000, 1);
    auto const before = content_of(b.env, "/db", file_name{"main"});
    auto const there = names_in(b.env, "/db");
    CHECK(code_of(lay_over<traits>(b.env, "/db")) == errc::set_damaged);
    CHECK(content_of(b.env, "/db", file_name{"main"}) == before);
    CHECK(names_in(b.env, "/db") == there);
    expect_rows(b.env, "/db", b.expected, existing);
}

// A closed instance with damage in the middle of its file, and more log than the set knows.
struct damaged_world {
    model expected{};
    std::vector<std::byte> file{};

    damaged_world(simulated_world& world, sim_env env) {
        world.run([&] {
            auto db = good(sim_engine::open("/db", small_engine, env));
            good(db.attach("main"));
            for (auto& known : db.core().store.databases())
                if (known.file != nullptr) known.file->set_growth_bytes_min(64 << 10);
            auto const rows = good(db.open_tree("main", "rows"));
            for (auto i = 0; i < 90; ++i) {
                auto const key = "key" + std::to_string(i);
                auto const value = std::string(static_cast<std::size_t>(i * 9), 'v');
                (void)good(db.put(rows, key, value));
                expected[key] = value;
            }
            (void)good(run_backup_to(db, "/repo"));
            for (auto i = 0; i < 20; ++i)
                (void)good(db.put(rows, "later" + std::to_string(i), std::string(500, 'l')));
            good(std::move(db).close());
            auto const size = content_of(env, "/db", file_name{"main"}).size();
            harm(env, "/db", file_name{"main"}, 131072 + page, 2 * page);
            harm(env, "/db", file_name{"main"}, size, 3 * page);
            file = content_of(env, "/db", file_name{"main"});
        });
    }
    // What a visitor finds: the old damaged file, one that no engine takes, or the restored instance.
    [[nodiscard]] std::string look(sim_env env) const {
        auto where = good(env.storage.open_dir("/db", directory_how::must_exist));
        auto const main = read_file<sim_env>(where, file_name{"main"}, std::uint64_t{1} << 30);
        auto const journal = where.open(restore_journal_name, {.mode = open_mode::read_only});
        if (main && !journal && main.value().size() == file.size()) {
            // One copy of the header may be torn: the other one counts then, and says what it said.
            auto const all = main.value().all();
            auto const header = newest_of(
                all.first(database_header::size),
                all.subspan(database_header::copy_b_offset, database_header::size)
            );
            auto const at = database_header_area_bytes;
            if (header && header.value().header.state == database_state::clean &&
                std::memcmp(all.data() + at, file.data() + at, file.size() - at) == 0)
                return "untouched";
        }
        auto db = sim_engine::open("/db", existing, env);
        if (!db) return describe(db.error()).c_str();
        auto said = std::string{};
        if (rows_of(db.value(), "main", "rows") != expected) said += "other rows; ";
        auto const checked = check_trees(db.value().core().store);
        if (!checked || !checked.value().is_good()) said += "a tree is damaged; ";
        if (auto closed = std::move(db).value().close(); !closed) said += "cannot be closed";
        return said.empty() ? "whole" : said;
    }
};

TEST_CASE(
    "a crash at any call of a delta restore leaves the old, or what needs a restore, or the new",
    "[backup][delta][crash]"
) {
    auto tape = choice_tape{77};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto const damaged = damaged_world{world, env};
    auto const before = world.machine().save();
    auto const lay = [&] { return lay_over<sim_engine::traits>(env, "/db"); };
    auto first = std::uint64_t{0};
    auto last = std::uint64_t{0};
    world.run([&] {
        first = world.machine().calls();
        auto const done = lay();
        if (!done) FAIL(describe(done.error()).c_str());
        CHECK(done.value().written_pages != 0);
        last = world.machine().calls();
        CHECK(damaged.look(env) == "whole");
    });
    auto const calls = last - first;
    auto tried = 0U;
    auto untouched = 0;
    auto between = 0;
    auto whole = 0;
    auto const step = std::max<std::uint64_t>(1, calls * crash_policies.size() / rounds(400));
    for (std::size_t p = 0; p < crash_policies.size(); ++p)
        for (auto n = 1 + p * step / crash_policies.size(); n <= calls; n += step) {
            world.machine().restore(before);
            world.machine().crash_at(n);
            auto was_told = false;
            world.run([&] { was_told = lay().has_value(); });
            world.machine().thaw(crash_policies[p]);
            auto second = std::string{"-"};
            if (!was_told && ++tried % 3 == 0) {
                auto const at = 1 + tried * 37 % calls;
                auto const how = crash_policies[tried / 3 % crash_policies.size()];
                world.machine().crash_at(at);
                world.run([&] { was_told = lay().has_value(); });
                world.machine().thaw(how);
                second = std::to_string(at) + " " + std::string{name_of(how)};
            }
            CAPTURE(n, calls, name_of(crash_policies[p]), was_told, second);
            auto problem = std::string{};
            world.run([&] {
                auto const seen = damaged.look(env);
                if (seen == "untouched")
                    ++untouched;
                else if (seen.starts_with("needs_restore"))
                    ++between;
                else if (seen == "whole")
                    ++whole;
                else
                    problem = seen;
                if (was_told && seen != "whole") problem = "told, and it is " + seen;
                if (seen == "whole" || !problem.empty()) return;
                auto const again = lay();
                if (!again)
                    problem = seen + ", and again: " + describe(again.error()).c_str();
                else if (auto const now = damaged.look(env); now != "whole")
                    problem = seen + ", and after another try: " + now;
            });
            if (!problem.empty()) {
                for (auto const& name : world.machine().file_names("db")) problem += "; " + name;
                FAIL(problem);
            }
        }
    CHECK(untouched > 20);
    CHECK(between > 20);
    CHECK(whole > 0);
}

} // namespace jetpp_test::restore_delta_cases
