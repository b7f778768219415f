// test/backup/restored_databases.cpp - which databases a restore brings back, and when it must not.
#include <jetpp/backup.hpp>
#include <jetpp/backup/restored_databases.hpp>
#include <jetpp/restore.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "bed.hpp"

namespace jetpp_test::restored_databases_cases {

using namespace jetpp;

using traits = bed<>::traits;
using env_type = bed<>::environment_type;
using mem_engine = engine<bed_policies>;

constexpr auto existing = [] {
    auto options = small_engine;
    options.create = create_how::must_exist;
    return options;
}();

void copy_file(env_type env, path_view from, path_view to, std::string_view text) {
    auto const name = good(file_name::make(text));
    auto source = good(env.storage.open_dir(from, directory_how::must_exist));
    auto target = good(env.storage.open_dir(to, directory_how::create_if_missing));
    auto const content = good(read_file<env_type>(source, name, std::uint64_t{1} << 30));
    (void)target.remove(name);
    auto file = good(target.open(name, {.mode = open_mode::create_new}));
    good(write_full(file, content.all(), 0));
    good(file.close());
}
void expect_nothing(env_type env, path_view path) {
    auto where = env.storage.open_dir(path, directory_how::must_exist);
    if (!where) return;
    auto entries = array_list<directory_entry>{};
    good(where.value().list(entries));
    for (auto const& entry : entries) CHECK(entry.name == lock_file_name);
}

TEST_CASE("a file exchanged between detach and attach breaks the history", "[backup][history]") {
    auto b = bed{};
    b.work(300, 1);
    (void)good(run_backup_to(b.db, "/repo"));
    b.work(200, 2);
    good(b.db.detach("main"));
    copy_file(b.env, "/db", "/yesterday", "main");
    good(b.db.attach("main"));
    b.rows = good(b.db.open_tree("main", "rows"));
    b.work(200, 3);
    auto const last = good(b.db.put(b.rows, "the last", "row"));
    b.expected["the last"] = "row";
    good(b.db.detach("main"));
    auto const expected = b.expected;
    copy_file(b.env, "/yesterday", "/db", "main");
    good(b.db.attach("main"));
    b.rows = good(b.db.open_tree("main", "rows"));
    (void)good(b.db.put(b.rows, "of yesterday", "row"));
    auto const id = good(b.store().find_database("main"))->file->header().id;
    auto const log = run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental});
    // It is of this instance and bears a mark: whoever reads the log sees what happened.
    good(std::move(b.db).close());
    for (auto const with_live : {false, true}) {
        CAPTURE(with_live);
        if (!with_live && !log) continue; // the backup refused it
        auto const attempt = [&](restore_options const& how, path_view where) {
            return with_live ? run_restore<traits>(b.env, {"/repo", "/db"}, where, how)
                             : run_restore<traits>(b.env, {"/repo"}, where, how);
        };
        auto const done = attempt({}, "/refused");
        REQUIRE_FALSE(done);
        CHECK(done.error().code == errc::history_break);
        CHECK(done.error().database == id.value);
        CHECK(done.error().at > last.at);
        expect_nothing(b.env, "/refused");
        // Up to the break there is one history.
        auto how = restore_options{};
        how.to_lsn = lsn{done.error().at.value - 1};
        auto const where = with_live ? "/before-by-log" : "/before";
        auto const restored = attempt(how, where);
        // At that moment it was detached, and nothing is attached there.
        if (!restored) FAIL(describe(restored.error()).c_str());
        CHECK(restored.value().databases == 0);
        how.to_lsn = last.at;
        (void)good(attempt(how, with_live ? "/whole-by-log" : "/whole"));
        expect_rows(b.env, with_live ? "/whole-by-log" : "/whole", expected, existing);
    }
}

TEST_CASE(
    "a database that came from elsewhere is in no set, and is not passed over", "[backup][history]"
) {
    auto b = bed{};
    b.work(200, 1);
    (void)good(run_backup_to(b.db, "/repo"));
    {
        auto other = good(mem_engine::open("/other", small_engine, b.env));
        good(other.attach("guest"));
        (void)good(other.put(good(other.open_tree("guest", "rows")), "a", "1"));
        good(other.detach("guest"));
        good(std::move(other).close());
    }
    copy_file(b.env, "/other", "/db", "guest");
    auto const before = good(b.db.put(b.rows, "before", "1"));
    b.expected["before"] = "1";
    auto const expected_before = b.expected;
    good(b.db.attach("guest"));
    b.work(100, 2);
    auto const attached = good(b.store().find_database("guest"))->file->header();
    // The log alone does not make it: whoever backs it up has to take its pages.
    CHECK(
        code_of(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental})) ==
        errc::full_backup_required
    );
    good(std::move(b.db).close());
    auto const done = run_restore<traits>(b.env, {"/repo", "/db"}, "/all");
    REQUIRE_FALSE(done);
    CHECK(done.error().code == errc::database_not_in_sets);
    CHECK(done.error().database == attached.id.value);
    CHECK(done.error().at == attached.attach_lsn);
    expect_nothing(b.env, "/all");
    // It may be left out by name, or not have come yet.
    auto how = restore_options{};
    how.databases = {"main"};
    (void)good(run_restore<traits>(b.env, {"/repo", "/db"}, "/one", how));
    expect_rows(b.env, "/one", b.expected, existing);
    how.databases = {"main", "guest"};
    CHECK(
        code_of(run_restore<traits>(b.env, {"/repo", "/db"}, "/two", how)) ==
        errc::database_not_in_sets
    );
    how = {};
    how.to_lsn = before.at;
    (void)good(run_restore<traits>(b.env, {"/repo", "/db"}, "/before", how));
    expect_rows(b.env, "/before", expected_before, existing);
}

TEST_CASE(
    "some databases of several come back together, and the others do not", "[backup][history]"
) {
    auto b = bed{};
    for (auto const& name : std::vector<std::string>{"a", "b", "c"}) {
        good(b.db.attach(name));
        (void)good(b.db.put(good(b.db.open_tree(name, "rows")), "first", name));
    }
    b.work(3000, 1); // segments of log, so that what is not in the set is not made of it
    good(b.store().checkpoint(checkpoint_how::flush_all));
    (void)good(run_backup_to(b.db, "/repo", {.databases = {"a", "b", "main"}}));
    b.work(100, 2);
    for (auto const& name : std::vector<std::string>{"a", "b", "c"})
        (void)good(b.db.put(good(b.db.open_tree(name, "rows")), "second", name));
    good(b.db.attach("young"));
    (void)good(b.db.put(good(b.db.open_tree("young", "rows")), "only", "row"));
    good(std::move(b.db).close());

    auto how = restore_options{};
    auto const restored = [&](std::vector<std::string> names, path_view where) {
        how.databases = std::move(names);
        return run_restore<traits>(b.env, {"/repo", "/db"}, where, how);
    };
    CHECK(
        code_of(run_restore<traits>(b.env, {"/repo", "/db"}, "/all")) == errc::database_not_in_sets
    );
    CHECK(good(restored({"b", "a"}, "/two")).databases == 2);
    {
        auto db = good(mem_engine::open("/two", existing, b.env));
        for (auto const& name : std::vector<std::string>{"a", "b"})
            CHECK(rows_of(db, name, "rows") == model{{"first", name}, {"second", name}});
        for (auto const* const name : {"c", "main", "young"})
            CHECK_FALSE(db.open_tree(name, "rows", open_how_tree::must_exist));
        good(std::move(db).close());
    }
    // One of pages and one that the log makes.
    CHECK(good(restored({"young", "main"}, "/mixed")).databases == 2);
    {
        auto db = good(mem_engine::open("/mixed", existing, b.env));
        CHECK(rows_of(db, "young", "rows") == model{{"only", "row"}});
        CHECK(rows_of(db, "main", "rows") == b.expected);
        good(std::move(db).close());
    }
    // One of them is not there: none comes.
    CHECK(code_of(restored({"a", "nobody"}, "/none")) == errc::not_found);
    expect_nothing(b.env, "/none");
    CHECK(code_of(restored({"a", "c"}, "/none")) == errc::database_not_in_sets);
    expect_nothing(b.env, "/none");
}

TEST_CASE("two databases of one name have no room in one directory", "[backup][history]") {
    auto analysis = log_analysis{lsn{4096}};
    auto lives = database_lives{};
    auto const name = std::string{"main"};
    for (auto i = std::uint16_t{1}; i <= 2; ++i) {
        auto record = log_record{};
        record.at = lsn{std::uint64_t{8192} * i};
        record.header.type = record_type::db_create;
        record.header.database = database_id{i};
        auto& made = record.body.emplace<record::db_create>();
        made.id = make_uuid(7, i);
        made.nonce = i;
        made.name = as_bytes(name);
        good(analysis.see(record));
        good(lives.see(record));
    }
    auto manifest = backup_manifest{};
    auto const sets = std::vector<planned_set>{{&manifest, {}, true}};
    auto plan = restore_plan{};
    plan.pages = {0};
    CHECK(code_of(choose_databases(analysis, lives, sets, plan, {})) == errc::unsafe_name);
}

} // namespace jetpp_test::restored_databases_cases
