// test/backup/subset.cpp - sets that carry some databases of several.
#include <jetpp/backup.hpp>
#include <jetpp/backup/drill.hpp>
#include <jetpp/restore.hpp>

#include <array>
#include <string>

#include "bed.hpp"

namespace jetpp_test::subset_cases {

using namespace jetpp;

using env_type = bed<>::environment_type;
using traits = bed<>::traits;

// Two databases, rows in both.
struct pair_bed : bed<> {
    tree others{};

    pair_bed() : bed<>{} {
        good(db.attach("other"));
        others = good(db.open_tree("other", "rows"));
        put("first");
        // Segments of log, and none of them needed: or the databases would be made from it.
        work(3000, 1);
        good(store().checkpoint(checkpoint_how::flush_all));
    }
    void put(std::string const& key) { (void)good(db.put(others, key, "1", durability::memory)); }
    [[nodiscard]] uuid mark_of(std::string_view name, mark_kind kind = mark_kind::full) {
        return good(store().find_database(name))->file->header().mark(kind).set;
    }
};

TEST_CASE("a set of one database stamps that one, and brings it back", "[backup][subset]") {
    auto b = pair_bed{};
    auto const report = good(run_backup_to(b.db, "/repo", {.databases = {"main"}}));
    CHECK(report.databases == 1);
    CHECK(b.mark_of("main") == report.set);
    CHECK(b.mark_of("other").is_nil());
    // Log that the other one was never backed up with stays.
    CHECK(good(b.db.truncate_log()).segments == 0);

    b.work(200, 2);
    b.put("second");
    auto const log = backup_options{.kind = backup_kind::incremental, .databases = {"main"}};
    auto const later = good(run_backup_to(b.db, "/repo", log));
    CHECK(b.mark_of("main", mark_kind::incremental) == later.set);
    CHECK(
        code_of(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental})) ==
        errc::full_backup_required
    );

    auto const expected = b.expected;
    good(std::move(b.db).close());
    // All there is: one is not in the set, and that is not passed over in silence.
    CHECK(code_of(run_restore<traits>(b.env, "/repo", "/all")) == errc::database_not_in_sets);
    auto how = restore_options{};
    how.databases = {"main"};
    (void)good(run_restore<traits>(b.env, {"/repo"}, "/restored", how));
    expect_rows(b.env, "/restored", expected);

    // Verify proves what the sets carry.
    auto const verified = good(
        verify_repository(b.env, "/repo", {}, replay_prover<traits>{b.env, std::string{"/scratch"}})
    );
    if (!verified.is_good()) FAIL(describe(verified.findings[0].why).c_str());
    CHECK(verified.replayed == 2);
    CHECK_FALSE(verified.partial);
}

TEST_CASE("each database may have a chain of its own", "[backup][subset]") {
    auto b = pair_bed{};
    auto const drill = drill_options{.scratch = "/scratch", .buffer_bytes = 1 << 20};
    auto const one = good(run_drilled_backup_to(b.db, "/repo", drill, {.databases = {"main"}}));
    b.put("second");
    auto const two = good(run_drilled_backup_to(b.db, "/repo", drill, {.databases = {"other"}}));
    CHECK(one.drill);
    CHECK(two.drill);
    CHECK(b.mark_of("main") == one.set);
    CHECK(b.mark_of("other") == two.set);
    b.put("third");
    auto const both = good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
    CHECK(both.databases == 2);
    good(std::move(b.db).close());
    for (auto const* name : {"main", "other"}) {
        auto how = restore_options{};
        how.set = text_of(name == std::string{"main"} ? one.set : two.set);
        how.databases = {name};
        auto const where = std::string{"/new-"} + name;
        (void)good(run_restore<traits>(b.env, {"/repo"}, where, how));
    }
    auto db = good(bed<>::engine_type::open("/new-other", small_engine, b.env));
    CHECK(rows_of(db, "other", "rows").size() == 2);
    good(std::move(db).close());
}

TEST_CASE("a newer set of other databases gives its log to older pages", "[backup][subset]") {
    auto b = pair_bed{};
    auto const all = good(run_backup_to(b.db, "/repo"));
    b.work(200, 2);
    b.put("second");
    good(b.store().checkpoint(checkpoint_how::flush_all));
    (void)good(run_backup_to(b.db, "/repo", {.databases = {"main"}}));
    good(std::move(b.db).close());
    for (auto const* name : {"other", ""}) {
        CAPTURE(name);
        auto how = restore_options{};
        if (*name != 0) how.databases = {name};
        auto const where = std::string{"/new-"} + name;
        auto const done = good(run_restore<traits>(b.env, {"/repo"}, where, how));
        CHECK(done.reached > all.end_lsn);
        auto db = good(bed<>::engine_type::open(where, small_engine, b.env));
        CHECK(rows_of(db, "other", "rows").size() == 2);
        if (*name == 0) CHECK(rows_of(db, "main", "rows") == b.expected);
        good(std::move(db).close());
    }
}

// One database came from another instance after the newest set of all; the older log is damaged.
TEST_CASE("that no set has a database is told, and not what older pages lack", "[backup][subset]") {
    auto b = pair_bed{};
    auto const old = good(run_backup_to(b.db, "/repo"));
    b.work(200, 2);
    {
        auto away = good(bed<>::engine_type::open("/away", small_engine, b.env));
        good(away.attach("guest"));
        good(std::move(away).close());
        auto from = good(b.env.storage.open_dir("/away", directory_how::must_exist));
        auto to = good(b.env.storage.open_dir("/db", directory_how::must_exist));
        auto const file = file_name{"guest"};
        auto const content = good(read_file<env_type>(from, file, std::uint64_t{1} << 30));
        auto copy = good(to.open(file, {.mode = open_mode::create_new}));
        good(write_full(copy, content.all(), 0));
    }
    good(b.db.attach("guest"));
    good(b.store().checkpoint(checkpoint_how::flush_all));
    (void)good(run_backup_to(b.db, "/repo", {.databases = {"main"}}));
    good(std::move(b.db).close());
    auto where = good(b.env.storage.open_dir("/repo/sets/" + old.name, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(where.list(entries));
    for (auto const& one : entries) { // its log
        if (!one.name.view().ends_with("-log.jbs")) continue;
        auto file = good(where.open(one.name, {.mode = open_mode::read_write}));
        auto byte = std::array<std::byte, 1>{};
        good(read_full(file, byte, 5000));
        byte[0] ^= std::byte{1};
        good(write_full(file, byte, 5000));
    }
    auto how = restore_options{};
    how.databases = {"guest"};
    auto const none = run_restore<traits>(b.env, {"/repo"}, "/new", how);
    CHECK(code_of(none) == errc::database_not_in_sets);
    how.databases = {"other"}; // of that one there are pages: what keeps them back can be mended
    CHECK(code_of(run_restore<traits>(b.env, {"/repo"}, "/new", how)) == errc::set_damaged);
}

TEST_CASE("a database that is not attached is asked for in vain", "[backup][subset]") {
    auto b = pair_bed{};
    auto const wrong = backup_options{.databases = {"main", "none"}};
    auto const got = run_backup_to(b.db, "/repo", wrong);
    CHECK(code_of(got) == errc::not_found);
    CHECK_FALSE(b.store().is_pinned());
    CHECK(b.mark_of("main").is_nil());
}

} // namespace jetpp_test::subset_cases
