// test/backup/restore_set.cpp - what a restore does to its target, and what it refuses.
#include <jetpp/backup.hpp>
#include <jetpp/restore.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "bed.hpp"

namespace jetpp_test::restore_set_cases {

using namespace jetpp;

using traits = bed<>::traits;
using env_type = bed<>::environment_type;

std::vector<std::string> names_in(env_type env, path_view path) {
    auto where = good(env.storage.open_dir(path, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(where.list(entries));
    auto names = std::vector<std::string>{};
    for (auto const& entry : entries)
        if (entry.name.view() != "jet.lock") names.emplace_back(entry.name.view());
    std::sort(names.begin(), names.end());
    return names;
}

// The only set of /repo, and its files.
struct one_set {
    typename env_type::directory where;
    read_manifest manifest;
    std::vector<file_name> files;
};
one_set set_in(env_type env) {
    auto sets = good(repository<env_type>::open(env, "/repo"));
    auto const known = good(list_sets(sets));
    REQUIRE(known.size() == 1);
    auto const* const chosen = good(choose_set(known));
    auto made = one_set{good(sets.open_set(chosen->name)), {chosen->manifest, chosen->hash}, {}};
    auto entries = array_list<directory_entry>{};
    good(made.where.list(entries));
    for (auto const& entry : entries) made.files.push_back(entry.name);
    return made;
}

void flip(env_type::directory& where, file_name const& name, std::uint64_t at, std::byte mask) {
    auto file = good(where.open(name, {.mode = open_mode::read_write}));
    auto one = std::array<std::byte, 1>{};
    good(read_full(file, one, at));
    one[0] ^= mask;
    good(write_full(file, one, at));
}

TEST_CASE(
    "a restore refuses a directory that holds anything, and leaves it alone", "[backup][restore]"
) {
    auto b = bed{};
    b.work(200, 1);
    (void)good(run_backup_to(b.db, "/repo"));
    CHECK(code_of(run_restore<traits>(b.env, "/repo", "/db")) == errc::would_overwrite);
    auto others = good(b.env.storage.open_dir("/others", directory_how::create_if_missing));
    {
        auto file = good(others.open(file_name{"thesis.tex"}, {.mode = open_mode::create_new}));
        good(write_full(file, as_bytes("\\chapter"), 0));
    }
    CHECK(code_of(run_restore<traits>(b.env, "/repo", "/others")) == errc::would_overwrite);
    CHECK(names_in(b.env, "/others") == std::vector<std::string>{"thesis.tex"});
    auto entries = array_list<directory_entry>{};
    good(others.list(entries));
    CHECK(entries.size() == 1); // no lock file either
}

TEST_CASE(
    "a restored instance is closed, clean, and of a timeline of its own", "[backup][restore]"
) {
    auto b = bed{};
    b.work(1500, 2);
    auto const report = good(run_backup_to(b.db, "/repo"));
    auto const restored = good(run_restore<traits>(b.env, "/repo", "/restored"));
    auto where = good(b.env.storage.open_dir("/restored", directory_how::must_exist));
    auto const file = good(paged_file<traits>::open(b.env, where, file_name{"main"}));
    auto const h = file->header();
    CHECK(h.state == database_state::clean);
    CHECK(h.timeline == restored.timeline);
    CHECK(h.timeline != b.store().timeline());
    REQUIRE(h.ancestor_count == 1);
    CHECK(h.ancestors[0] == timeline_fork{b.store().timeline(), restored.fork_lsn});
    CHECK(h.restored_from == report.set);
    CHECK(h.restore_point == report.end_lsn);
    CHECK_FALSE(h.mark(mark_kind::full).exists());
    CHECK(h.instance == b.store().id());

    // No file of the set's log is needed, and the directory holds none but the new timeline's.
    auto log = good(log_directory<env_type>::list(b.env, where));
    good(log.read_from(where, 0));
    REQUIRE(!log.segments().empty());
    for (auto const& segment : log.segments())
        if (segment.is_sound()) {
            CHECK(segment.header.timeline == restored.timeline);
            CHECK(segment.header.parent_timeline == b.store().timeline());
            CHECK(segment.header.fork_lsn == restored.fork_lsn);
        }
}

TEST_CASE("transactions open at the end of the set are rolled back", "[backup][restore]") {
    auto b = bed{};
    b.work(800, 3);
    auto open = good(b.db.begin());
    for (auto i = 0; i < 300; ++i)
        good(open.put(b.rows, "open" + std::to_string(i), std::string(100, 'x')));
    for (auto i = 0; i < 100; ++i) good(open.put(b.rows, "key" + std::to_string(i), "half"));
    (void)good(run_backup_to(b.db, "/repo"));
    auto const expected = b.expected;
    (void)good(std::move(open).commit()); // after the set: it must not be in there
    auto const restored = good(run_restore<traits>(b.env, "/repo", "/restored"));
    CHECK(restored.recovery.losers == 1);
    expect_rows(b.env, "/restored", expected);
}

TEST_CASE(
    "a restored instance works, is backed up again, and the newest set is known",
    "[backup][restore]"
) {
    auto b = bed{};
    b.work(600, 4);
    auto const first = good(run_backup_to(b.db, "/repo"));
    b.work(600, 5);
    auto const second = good(run_backup_to(b.db, "/repo"));
    good(std::move(b.db).close());

    auto const restored = good(run_restore<traits>(b.env, "/repo", "/again"));
    CHECK(restored.set == second.set);
    {
        auto db = good(engine<bed_policies>::open("/again", small_engine, b.env));
        auto const rows = good(db.open_tree("main", "rows"));
        (void)good(db.put(rows, "after", "the restore"));
        b.expected["after"] = "the restore";
        auto const third = good(run_backup_to(db, "/repo"));
        CHECK(third.end_lsn > second.end_lsn);
        good(std::move(db).close());
        auto const newest = good(run_restore<traits>(b.env, "/repo", "/newest"));
        CHECK(newest.set == third.set);
        expect_rows(b.env, "/newest", b.expected);
    }
    // By name any set can be had.
    auto const hex = text_of(first.set);
    auto const old = good(run_restore<traits>(b.env, "/repo", "/old", hex.substr(0, 12)));
    CHECK(old.set == first.set);
    CHECK(
        code_of(run_restore<traits>(b.env, "/repo", "/none", "0000000000000000")) == errc::not_found
    );
}

TEST_CASE("of two histories the caller must choose", "[backup][restore]") {
    auto b = bed{};
    b.work(300, 6);
    auto const root = text_of(good(run_backup_to(b.db, "/repo")).set);
    auto sets = std::vector<uuid>{};
    for (auto const* path : {"/one", "/two"}) {
        (void)good(run_restore<traits>(b.env, "/repo", path, root));
        auto db = good(engine<bed_policies>::open(path, small_engine, b.env));
        sets.push_back(good(run_backup_to(db, "/repo")).set);
        good(std::move(db).close());
    }
    CHECK(code_of(run_restore<traits>(b.env, "/repo", "/x")) == errc::ambiguous_source);
    CHECK(good(run_restore<traits>(b.env, "/repo", "/x", text_of(sets[0]))).set == sets[0]);
}

TEST_CASE("a database created during the copy is made again from the log", "[backup][restore]") {
    auto b = bed{};
    b.work(300, 7);
    auto made = false;
    auto options = backup_options{};
    options.on_progress = [&](backup_progress const& now) -> result<void> {
        if (made || now.stage != backup_stage::pages) return ok();
        made = true;
        good(b.db.attach("young"));
        auto const rows = good(b.db.open_tree("young", "rows"));
        (void)good(b.db.put(rows, "born", "during the copy"));
        CHECK(code_of(b.db.detach("young")) == errc::backup_in_progress);
        return ok();
    };
    // Reading and writing in turn: the callback comes before the log is switched.
    auto sets = good(repository<env_type>::open_or_create(b.env, "/repo"));
    auto sink = good(directory_sink<env_type>::create(b.env, sets));
    (void)good(run_in_place(b.store(), sink, options));
    REQUIRE(made);
    (void)good(run_restore<traits>(b.env, "/repo", "/restored"));
    auto db = good(engine<bed_policies>::open("/restored", small_engine, b.env));
    CHECK(rows_of(db, "young", "rows") == model{{"born", "during the copy"}});
    CHECK(rows_of(db, "main", "rows") == b.expected);
}

TEST_CASE(
    "a flip of any byte of a set is found by verify, and by restore before it writes",
    "[backup][restore]"
) {
    auto b = bed{};
    b.work(60, 8);
    good(b.db.checkpoint());
    (void)good(run_backup_to(b.db, "/repo"));
    good(std::move(b.db).close());
    auto set = set_in(b.env);
    auto flips = std::uint64_t{0};
    for (auto const& name : set.files) {
        auto file = good(set.where.open(name, {.mode = open_mode::read_only}));
        auto const size = good(file.size());
        // All bytes of the small files; of the large ones those of headers, ends and a sample.
        for (std::uint64_t at = 0; at < size; at += at < 2000 || at + 2000 > size ? 1U : 997U) {
            if (size > 20'000 && at > 400 && at % 7 != 0 && at + 400 < size) continue;
            flip(set.where, name, at, std::byte{0x20});
            auto report = verify_report{};
            (void)good(verify_files<env_type>(set.where, "set", report));
            if (report.is_good()) FAIL("a flip of byte " << at << " of " << name.view());
            flip(set.where, name, at, std::byte{0x20});
            ++flips;
        }
    }
    CHECK(flips > 1000);
    auto report = verify_report{};
    (void)good(verify_files<env_type>(set.where, "set", report));
    CHECK(report.is_good());

    // Restore makes the same walk.
    for (auto const& name : set.files) {
        if (name == manifest_file_name) continue;
        flip(set.where, name, 5000, std::byte{1});
        auto const done = run_restore<traits>(b.env, "/repo", "/restored");
        CHECK(code_of(done) != errc::none);
        CHECK(names_in(b.env, "/restored").empty());
        flip(set.where, name, 5000, std::byte{1});
    }
    (void)good(run_restore<traits>(b.env, "/repo", "/restored"));
    expect_rows(b.env, "/restored", b.expected);
}

TEST_CASE("missing, foreign and exchanged files of a set are found", "[backup][restore]") {
    auto b = bed{};
    b.work(60, 9);
    (void)good(run_backup_to(b.db, "/repo"));
    auto set = set_in(b.env);
    auto const check = [&] {
        auto report = verify_report{};
        (void)good(verify_files<env_type>(set.where, "set", report));
        return report;
    };
    {
        auto file = good(set.where.open(file_name{"notes.txt"}, {.mode = open_mode::create_new}));
        auto const report = check();
        REQUIRE(report.findings.size() == 1);
        CHECK(report.findings[0].file == "notes.txt");
        CHECK(report.findings[0].why.code == errc::set_mixed);
        good(set.where.remove(file_name{"notes.txt"}));
    }
    auto const part = file_name{"part-0000-main.jbs"};
    auto const log = file_name{"part-0001-log.jbs"};
    auto const away = file_name{"away"};
    good(set.where.rename(part, away, rename_how::replace));
    CHECK(code_of(run_restore<traits>(b.env, "/repo", "/r")) == errc::not_found);
    CHECK(check().findings.size() == 2);
    // The log as the pages, and the other way round.
    good(set.where.rename(log, part, rename_how::replace));
    good(set.where.rename(away, log, rename_how::replace));
    CHECK(code_of(run_restore<traits>(b.env, "/repo", "/r")) == errc::set_mixed);
    CHECK(names_in(b.env, "/r").empty());
}

TEST_CASE("a repository lists sets with manifests, and no others", "[backup][restore]") {
    auto b = bed{};
    b.work(60, 10);
    (void)good(run_backup_to(b.db, "/repo"));
    auto set = set_in(b.env);
    good(set.where.rename(manifest_file_name, file_name{"gone"}, rename_how::replace));
    CHECK(code_of(run_restore<traits>(b.env, "/repo", "/r")) == errc::not_found);
    CHECK(good(verify_repository(b.env, "/repo")).sets == 0);
    CHECK(code_of(verify_repository(b.env, "/nowhere")) == errc::not_found);
    CHECK(good(backup_place_at(b.env, "/repo")) == backup_place::repository);
    CHECK(good(backup_place_at(b.env, "/db")) == backup_place::neither);
}

TEST_CASE("a flip of the repository's own file is found", "[backup][restore]") {
    auto b = bed{};
    (void)good(run_backup_to(b.db, "/repo"));
    auto root = good(b.env.storage.open_dir("/repo", directory_how::must_exist));
    auto file = good(root.open(repository_file_name, {.mode = open_mode::read_only}));
    auto const size = good(file.size());
    for (std::uint64_t at = 0; at < size; ++at) {
        flip(root, repository_file_name, at, std::byte{4});
        auto const report = good(verify_repository(b.env, "/repo"));
        if (report.is_good()) FAIL("a flip of byte " << at << " of jetpp.repo");
        CHECK(code_of(run_backup_to(b.db, "/repo")) == errc::set_damaged);
        flip(root, repository_file_name, at, std::byte{4});
    }
}

} // namespace jetpp_test::restore_set_cases
