// test/backup/kinds_crash.cpp - machines that stop inside a chain of backups, and planted mistakes.
#include <jetpp/backup/run_backup.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"
#include "coverage.hpp"

namespace jetpp_test::kinds_crash_cases {

using namespace jetpp;

using sim_engine = engine<sim_policies>;
using sim_bed = bed<sim_policies>;
using sim_env = sim_engine::environment_type;

std::string text_of_error(error const& why) {
    return describe(why).c_str();
}

// Rows over several segments.
bool put_rows(sim_engine& db, tree const& rows, char name, model* expected) {
    for (auto i = 0; i < 300; ++i) {
        auto const key = std::string(1, name) + std::to_string(i);
        auto const value = std::string(900, name);
        if (!db.put(rows, key, value, durability::memory)) return false;
        if (expected != nullptr) (*expected)[key] = value;
        if (i % 32 == 0 && !db.poll()) return false;
    }
    return true;
}

// An instance at /db with a full at /repo, and log since.
model make_instance(sim_env env) {
    auto db = good(sim_engine::open("/db", small_engine, env));
    good(db.attach("main"));
    db.core().store.databases()[0].file->set_growth_bytes_min(64 << 10);
    auto const rows = good(db.open_tree("main", "rows"));
    auto expected = model{};
    REQUIRE(put_rows(db, rows, 'a', &expected));
    (void)good(run_backup_to(db, "/repo"));
    REQUIRE(put_rows(db, rows, 'b', &expected));
    good(std::move(db).close());
    return expected;
}

// The life that is cut: an incremental, then a full, each with truncation.
void chain(sim_env env, bool& told_inc, bool& told_full) {
    auto db = sim_engine::open("/db", small_engine, env);
    if (!db) return;
    told_inc =
        run_backup_to(db.value(), "/repo", {.kind = backup_kind::incremental, .truncate = true})
            .has_value();
    if (told_inc) told_full = run_backup_to(db.value(), "/repo", {.truncate = true}).has_value();
}

// Every mark of a header is of a set that stands.
std::string marks_without_set(sim_engine& db, sim_env env) {
    auto sets = good(repository<sim_env>::open(env, "/repo"));
    auto const header = db.core().store.databases()[0].file->header();
    for (auto const& mark : header.marks)
        if (mark.exists() && !sets.find_set(mark.set, mark.manifest_hash))
            return "a mark names a set that does not stand";
    return "";
}

TEST_CASE("a crash inside a chain of backups loses no moment", "[backup][kinds][crash]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto expected = model{};
    world.run([&] { expected = make_instance(env); });
    auto const before = world.machine().save();
    auto inc = false;
    auto full = false;
    world.run([&] { chain(env, inc, full); });
    REQUIRE(full);
    auto const calls = world.machine().calls();
    world.machine().restore(before);
    auto const first = world.machine().calls();
    REQUIRE(calls > first + 100);

    auto const stride = std::max<std::uint64_t>(1, 17 / rounds(1)); // a budget of 17: every call
    auto shift = std::uint64_t{0};
    auto tried = 0;
    auto cut_short = 0;
    auto truncated = 0;
    for (auto const policy :
         {crash_policy::none,
          crash_policy::all,
          crash_policy::random,
          crash_policy::names_first,
          crash_policy::newest_first,
          crash_policy::kill}) {
        for (auto n = 1 + shift++; n <= calls - first; n += stride) {
            world.machine().restore(before);
            world.machine().crash_at(n);
            inc = full = false;
            world.run([&] { chain(env, inc, full); });
            world.machine().thaw(policy);
            auto problem = std::string{};
            auto sets = std::size_t{0};
            auto rows = model{};
            world.run([&] {
                problem = damage_in_sets(env, "/repo", sets);
                auto db = sim_engine::open("/db", small_engine, env);
                if (!db) {
                    problem += text_of_error(db.error());
                    return;
                }
                auto& store = db.value().core().store;
                problem += hole_behind_sets(env, "/db", "/repo", store.segment_bytes());
                problem += marks_without_set(db.value(), env);
                rows = rows_of(db.value(), "main", "rows");
                if (store.log().oldest_kept() > lsn{4 * store.segment_bytes()}) ++truncated;
                // The chain goes on.
                auto const next = run_backup_to(
                    db.value(), "/repo", {.kind = backup_kind::incremental, .truncate = true}
                );
                if (!next) problem += text_of_error(next.error());
                problem += hole_behind_sets(env, "/db", "/repo", store.segment_bytes());
            });
            CAPTURE(n, name_of(policy), inc, full);
            if (!problem.empty()) FAIL(problem);
            if (sets < 1U + (inc ? 1 : 0) + (full ? 1 : 0)) FAIL("a set that was told is gone");
            if (rows != expected) FAIL("the instance lost rows");
            ++tried;
            if (!full) ++cut_short;
        }
    }
    CHECK(tried > 100);
    CHECK(cut_short > tried / 4);
    CHECK(truncated > 10);
}

TEST_CASE("a stamp before the set stands is found out", "[backup][kinds][crash]") {
    auto const names_nothing = [](sabotage bug) {
        auto tape = choice_tape{2};
        auto world = simulated_world{tape};
        auto const env = world.environment();
        auto problem = std::string{};
        world.run([&] {
            (void)make_instance(env);
            auto db = good(sim_engine::open("/db", small_engine, env));
            auto options = backup_options{.kind = backup_kind::incremental};
            auto sets = good(repository<sim_env>::open(env, "/repo"));
            options.find_base = [&](uuid const& set, std::uint64_t hash) {
                return sets.find_set(set, hash);
            };
            auto const planted = simulation::planting{bug}; // the full is a good one
            // A sink that fails as late as one can.
            struct last_moment : memory_sink {
                backup_receipt receipt() const noexcept { return backup_receipt::durable; }
                result<backup_receipt> finish(const_bytes) {
                    return error{.code = errc::disk_full};
                }
            } sink;
            auto const done = run_in_place(db.core().store, sink, options);
            if (code_of(done) != errc::disk_full) FAIL(text_of_error(done.error()));
            problem = marks_without_set(db, env);
            good(std::move(db).close());
        });
        return problem;
    };
    CHECK(names_nothing(sabotage::none) == "");
    CHECK(names_nothing(sabotage::stamp_before_publish) != "");
}

TEST_CASE(
    "a log set cancelled at any chunk leaves marks, pins and sets as they were", "[backup][kinds]"
) {
    auto tape = choice_tape{3};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        (void)make_instance(env);
        auto db = good(sim_engine::open("/db", small_engine, env));
        auto& store = db.core().store;
        auto const before = store.databases()[0].file->header().marks;
        auto sets = good(repository<sim_env>::open(env, "/repo"));
        for (auto const kind : {backup_kind::incremental, backup_kind::differential}) {
            // Every try seals a segment, and so adds a chunk: the whole one comes last.
            for (auto stop_at = 1; stop_at <= 7; ++stop_at) {
                auto chunks = 0;
                auto options = backup_options{.kind = kind};
                options.on_progress = [&](backup_progress const&) -> result<void> {
                    if (++chunks == stop_at && stop_at < 7) return error{.code = errc::cancelled};
                    return ok();
                };
                auto const done = run_backup_to(db, "/repo", options);
                if (stop_at == 7) {
                    CHECK(code_of(done) == errc::none);
                    CHECK(chunks > 6);
                    break;
                }
                CHECK(code_of(done) == errc::cancelled);
                CHECK(store.databases()[0].file->header().marks == before);
                CHECK_FALSE(store.is_pinned());
                CHECK(good(sets.list()).size() == 1);
            }
            // Take the finished one away again.
            good(store.databases()[0].file->change_header([&](database_header& h) noexcept {
                h.marks = before;
            }));
            for (auto const& entry : good(sets.list())) {
                if (entry.name.view().find("-full-") != std::string_view::npos) continue;
                auto set = good(sets.open_set(entry.name));
                auto files = array_list<directory_entry>{};
                good(set.list(files));
                for (auto const& file : files) good(set.remove(file.name));
                sets.remove_set(entry.name);
            }
        }
        good(std::move(db).close());
    });
}

// Pages of the one database of a set.
struct page_collector : no_visitor {
    std::map<std::uint64_t, std::vector<std::byte>> pages;
    result<void> database_bytes(std::uint64_t at, const_bytes image) {
        for (; !image.empty(); image = image.subspan(4096), at += 4096)
            pages[at / 4096] = {image.begin(), image.begin() + 4096};
        return ok();
    }
};
struct read_set {
    read_manifest manifest;
    std::map<std::uint64_t, std::vector<std::byte>> pages;
};
read_set read_back(sim_env env, std::string const& name) {
    auto sets = good(repository<sim_env>::open(env, "/repo"));
    auto called = file_name{};
    called.add(name);
    auto set = good(sets.open_set(called));
    auto read = good(manifest_of<sim_env>(set));
    auto visitor = page_collector{};
    (void)good(set_walker<sim_env, 4096, crc32c, page_collector>{set, read.manifest, visitor}.run()
    );
    return {std::move(read), std::move(visitor.pages)};
}

// Is base and delta together the database as the quiet copy has it?
bool delta_lacks_pages(sim_bed& b, backup_report const& full) {
    auto const base = read_back(b.env, full.name);
    good(b.db.checkpoint());
    auto options = backup_options{.kind = backup_kind::pages};
    options.base = backup_base{base.manifest.manifest, base.manifest.hash};
    auto const delta = read_back(b.env, good(run_backup_to(b.db, "/repo", options)).name);
    auto const quiet =
        read_back(b.env, good(run_backup_to(b.db, "/repo", {.kind = backup_kind::copy})).name);
    for (auto const& [number, image] : quiet.pages) {
        if (delta.pages.contains(number)) continue;
        auto const old = base.pages.find(number);
        if (old == base.pages.end() || old->second != image) return true;
    }
    return false;
}

TEST_CASE("a delta of pages from too late a position is found out", "[backup][kinds]") {
    // Pages changed after the durable checkpoint and before the base began, which go home only when
    // the base has copied them: older than its begin, and newer in the file.
    auto const lacks = [](sabotage bug) {
        auto const planted = simulation::planting{bug};
        auto tape = choice_tape{4};
        auto world = simulated_world{tape};
        auto lost = false;
        world.run([&] {
            auto b = sim_bed{world.environment()};
            b.work(300, 1);
            good(b.db.checkpoint());
            b.work(40, 2);
            auto const full = good(run_backup_to(b.db, "/repo", {.checkpoint_first = false}));
            lost = delta_lacks_pages(b, full);
            good(std::move(b.db).close());
        });
        return lost;
    };
    CHECK_FALSE(lacks(sabotage::none));
    CHECK(lacks(sabotage::delta_from_begin));
}

TEST_CASE("a delta of a file that was put back is found out", "[backup][kinds]") {
    // Detach, put yesterday's copy in its place, attach: its pages are older than the base's.
    auto const lacks = [](sabotage bug) {
        auto const planted = simulation::planting{bug};
        auto tape = choice_tape{5};
        auto world = simulated_world{tape};
        auto env = world.environment();
        auto lost = false;
        world.run([&] {
            auto b = sim_bed{env};
            b.work(300, 1);
            good(b.db.detach("main"));
            auto dir = good(env.storage.open_dir("/db", directory_how::must_exist));
            auto const yesterday = good(read_file<sim_env>(dir, file_name{"main"}, 64 << 20));
            good(b.db.attach("main"));
            b.rows = good(b.db.open_tree("main", "rows"));
            b.work(300, 2);
            good(b.db.checkpoint());
            auto const full = good(run_backup_to(b.db, "/repo"));
            good(b.db.detach("main"));
            {
                auto file = good(dir.open(file_name{"main"}, {.mode = open_mode::read_write}));
                good(file.truncate(yesterday.size()));
                good(write_full(file, yesterday.all(), 0));
                good(file.sync(sync_how::full));
            }
            good(b.db.attach("main"));
            // A set whose own log had the exchange in it would not restore, and is not made.
            good(b.db.attach("other"));
            auto const others = good(b.db.open_tree("other", "rows"));
            for (auto i = 0; i < 400; ++i)
                (void)good(b.db.put(
                    others, "key" + std::to_string(i), std::string(600, 'o'), durability::memory
                ));
            good(b.db.detach("other"));
            lost = delta_lacks_pages(b, full);
            good(std::move(b.db).close());
        });
        return lost;
    };
    CHECK_FALSE(lacks(sabotage::none));
    CHECK(lacks(sabotage::reattached_as_delta));
}

} // namespace jetpp_test::kinds_crash_cases
