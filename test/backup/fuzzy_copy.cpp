// test/backup/fuzzy_copy.cpp - copies of databases that change meanwhile: log that goes before it is
// pinned, pages of a future that a crash erases, pages that are zero and should not be.
#include <jetpp/backup.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "bed.hpp"

namespace jetpp_test::fuzzy_copy_cases {

using namespace jetpp;

struct circular_policies : task_policies {
    using logging = circular_logging;
};
using sim_bed = bed<sim_policies>;
using sim_engine = sim_bed::engine_type;
using sim_env = sim_bed::environment_type;

constexpr auto existing = [] {
    auto options = small_engine;
    options.create = create_how::must_exist;
    return options;
}();
std::string text_of_error(error const& why) {
    return describe(why).c_str();
}
// Rows that need a page of their own for each four of them.
template <class Engine>
void put_wide(Engine& db, tree const& rows, std::string const& name, int count, model& into) {
    for (auto i = 0; i < count; ++i) {
        auto const key = name + std::to_string(i);
        auto const value = std::string(900, static_cast<char>('a' + i % 26));
        (void)good(db.put(rows, key, value, durability::memory));
        into[key] = value;
    }
}
// Returns: what is wrong with the sets of /repo, or with what the newest is restored to.
template <class Policies>
std::string judge(typename bed<Policies>::environment_type env, model const& expected) {
    auto const report = verify_repository(env, "/repo");
    if (!report) return "verify: " + text_of_error(report.error());
    for (auto const& one : report.value().findings)
        return "verify: " + one.file + ": " + text_of_error(one.why);
    auto const done = run_restore<typename bed<Policies>::traits>(env, "/repo", "/new");
    if (!done) return "restore: " + text_of_error(done.error());
    auto db = engine<Policies>::open("/new", existing, env);
    if (!db) return "open: " + text_of_error(db.error());
    auto const found = rows_of(db.value(), "main", "rows");
    good(std::move(db).value().close());
    return found == expected ? "" : "other rows";
}

// ---- the beginning

TEST_CASE("no log goes between the numbers of a copy and its pin", "[backup][fuzzy]") {
    // While the one reads where its log must begin, another checkpoints until all of that is gone.
    using tasks_bed = bed<circular_policies>;
    struct other {
        tasks_bed* b;
        bool go = false;
        bool ended = false;

        void run() {
            while (!go) simulated_runtime{}.relax(0);
            for (auto i = 0; i < 4; ++i) {
                // The same row each time: the copy may have any of it.
                for (auto n = 0; n < 20; ++n)
                    (void)good(b->db.put(b->rows, "same", std::string(900, 's')));
                good(b->db.checkpoint());
            }
            ended = true;
        }
        // As long as the other one gets on, it runs; held up by a lock, it does not.
        void let_run() {
            go = true;
            for (auto i = 0; i < 20'000 && !ended; ++i) simulated_runtime{}.relax(0);
        }
    };
    auto const problem_of = [](sabotage bug) {
        auto tape = choice_tape{8};
        auto world = simulated_world{tape};
        auto const env = world.environment();
        auto expected = model{};
        auto problem = std::string{};
        world.run([&] {
            auto b = tasks_bed{env};
            b.work(300, 1);
            (void)good(b.db.put(b.rows, "same", std::string(900, 's')));
            b.expected["same"] = std::string(900, 's');
            good(b.db.checkpoint());
            b.work(600, 2);
            auto second = other{&b};
            auto task = good(simulated_runtime{}.spawn(
                "other", [](void* raw) { static_cast<other*>(raw)->run(); }, &second
            ));
            auto const planted = simulation::planting{bug};
            world.threads().at_point(
                point_id::pin_numbers_read,
                1,
                [](void* raw) { static_cast<other*>(raw)->let_run(); },
                &second
            );
            auto options = backup_options{};
            options.checkpoint_first = false;
            auto const got = run_backup_to(b.db, "/repo", options);
            if (!got) problem = "backup: " + text_of_error(got.error());
            CHECK(second.go);
            task.join();
            expected = b.expected;
            good(std::move(b.db).close());
        });
        if (problem.empty()) world.run([&] { problem = judge<circular_policies>(env, expected); });
        return problem;
    };
    CHECK(problem_of(sabotage::none) == "");
    auto const found = problem_of(sabotage::pin_after_read);
    INFO(found);
    CHECK(found != "");
}

// ---- pages that are in memory only

TEST_CASE(
    "no page of a future that a crash erased stays in a set that goes on", "[backup][fuzzy]"
) {
    // Pages are written first while they are copied, by commits that are in memory only. The power
    // goes when the set has these pages and the disk has no log of them; what then gets their place
    // in the log is something else.
    auto const problem_of = [](sabotage bug) {
        auto tape = choice_tape{9};
        auto world = simulated_world{tape};
        auto const env = world.environment();
        auto expected = model{};
        world.run([&] {
            auto b = sim_bed{env};
            b.store().databases()[0].file->set_growth_bytes_min(2 << 20);
            put_wide(b.db, b.rows, "bulk", 2400, b.expected);
            expected = b.expected;
            good(std::move(b.db).close());
        });
        auto const before = world.machine().save();
        auto const options =
            backup_options{.kind = backup_kind::copy, .checkpoint_first = false, .resumable = true};
        // The life that is cut, at the n-th chunk of pages. Returns: how many there were.
        auto const first_life = [&](int n) {
            auto chunks = 0;
            world.run([&] {
                auto db = good(sim_engine::open("/db", existing, env));
                auto const rows = good(db.open_tree("main", "rows"));
                auto how = options;
                how.on_progress = [&](backup_progress const& now) -> result<void> {
                    if (now.stage != backup_stage::pages) return ok();
                    auto lost = model{};
                    if (++chunks == 1) put_wide(db, rows, "lost", 60, lost);
                    if (chunks == n) world.machine().freeze();
                    return ok();
                };
                (void)run_backup_to(db, "/repo", how);
                (void)std::move(db).close();
            });
            return chunks;
        };
        auto const chunks = first_life(0);
        REQUIRE(chunks >= 4);
        world.machine().restore(before);
        auto const planted = simulation::planting{bug};
        (void)first_life(chunks);
        world.machine().thaw(crash_policy::all);
        auto problem = std::string{};
        world.run([&] {
            auto db = good(sim_engine::open("/db", existing, env));
            auto const pins = db.named_pins();
            REQUIRE(pins.count == 1);
            auto how = options;
            how.resume.emplace();
            std::copy_n(pins.all()[0].owner.begin(), 16, how.resume->raw.begin());
            auto const rows = good(db.open_tree("main", "rows"));
            expected = rows_of(db, "main", "rows");
            put_wide(db, rows, "other", 90, expected);
            good(db.checkpoint());
            auto const got = run_backup_to(db, "/repo", how);
            if (!got) problem = "resume: " + text_of_error(got.error());
            good(std::move(db).close());
        });
        if (problem.empty()) world.run([&] { problem = judge<sim_policies>(env, expected); });
        return problem;
    };
    CHECK(problem_of(sabotage::none) == "");
    auto const found = problem_of(sabotage::pool_copy_before_durable);
    INFO(found);
    CHECK(found != "");
}

// ---- zeros

TEST_CASE(
    "a page that the disk gives back as zeros is damage, whichever it is", "[backup][fuzzy]"
) {
    auto tape = choice_tape{10};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto b = sim_bed{env};
        put_wide(b.db, b.rows, "bulk", 200, b.expected);
        good(std::move(b.db).close());
    });
    auto const before = world.machine().save();
    auto const file = world.machine().contents("db/main");
    auto found = 0;
    auto needed = 0;
    for (auto at = std::size_t{database_header_area_bytes}; at < file.size(); at += 4096) {
        auto const page = const_bytes{file}.subspan(at, 4096);
        if (all_zero(page)) continue;
        world.machine().restore(before);
        for (auto i = std::size_t{0}; i < page.size(); ++i)
            if (page[i] != std::byte{0}) world.machine().corrupt("db/main", at + i, page[i]);
        auto why = error{};
        auto opened = false;
        auto sets = std::uint64_t{0};
        world.run([&] {
            auto db = sim_engine::open("/db", existing, env);
            opened = db.has_value();
            if (!db) {
                why = db.error();
            } else {
                auto const set = run_backup_to(db.value(), "/repo");
                if (!set) why = set.error();
                (void)std::move(db).value().close();
            }
            if (auto const report = verify_repository(env, "/repo")) sets = report.value().sets;
        });
        auto const number = at / 4096;
        CAPTURE(number, opened);
        CHECK(why.code == errc::page_damaged);
        CHECK(why.page.value == number);
        CHECK(why.reason == damage::zero);
        CHECK(sets == 0);
        opened ? ++found : ++needed;
    }
    CHECK(found > 40);
    CHECK(needed < 4);
}

TEST_CASE("a new page comes through that is in memory only, its map at home", "[backup][fuzzy]") {
    using regions = space_regions<4096>;
    auto tape = choice_tape{11};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto expected = model{};
    // Pages that are zero in the file, and not free by the map that lies there.
    auto const pages_missing = [&] {
        auto const file = world.machine().contents("db/main");
        auto missing = 0;
        for (auto n = std::uint32_t{database_header_area_bytes / 4096}; n < file.size() / 4096;
             ++n) {
            auto const at = [&](page_number page) {
                return const_bytes{file}.subspan(std::size_t{page.value} * 4096, 4096);
            };
            auto const page = page_number{n};
            auto const map = regions::map_page_of(page);
            if (map == page || !all_zero(at(page)) || all_zero(at(map))) continue;
            if (space_map_view<4096>{at(map).data()}.test(regions::bit_of(page))) ++missing;
        }
        return missing;
    };
    auto missing = 0;
    world.run([&] {
        auto b = sim_bed{env};
        put_wide(b.db, b.rows, "bulk", 100, b.expected);
        good(b.db.checkpoint());
        CHECK(pages_missing() == 0);
        put_wide(b.db, b.rows, "more", 60, b.expected);
        // The oldest changes go home first, and the map is among them.
        for (auto depth = std::uint64_t{128} << 10; missing == 0 && depth > 1024; depth -= 1024) {
            (void)good(b.store().pool().housekeeping(depth));
            missing = pages_missing();
        }
        auto const set = good(run_backup_to(b.db, "/repo", {.checkpoint_first = false}));
        CHECK(set.masked_pages == 0);
        expected = b.expected;
        good(std::move(b.db).close());
    });
    REQUIRE(missing > 4);
    world.run([&] {
        auto const problem = judge<sim_policies>(env, expected);
        CHECK(problem == "");
    });
}

} // namespace jetpp_test::fuzzy_copy_cases
