// test/backup/kinds.cpp - what each kind of set carries, stands on, stamps, and when it is refused.
#include <jetpp/backup.hpp>
#include <jetpp/restore.hpp>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bed.hpp"
#include "coverage.hpp"

namespace jetpp_test::kinds_cases {

using namespace jetpp;

// One engine for both modes of logging.
using kind_bed = bed<recorded_policies>;
using env_type = kind_bed::environment_type;

open_options in_mode(bool archival) {
    auto options = small_engine;
    options.archival = archival;
    return options;
}
struct archival_bed : kind_bed {
    explicit archival_bed(env_type where = {}) : kind_bed{where, in_mode(true)} {}
};

result<backup_report> back_up(
    kind_bed& b, backup_options const& options, path_view where = "/repo"
) {
    return run_backup_to(b.db, where, options);
}
backup_report make(kind_bed& b, backup_kind kind, path_view where = "/repo") {
    auto const report = good(back_up(b, {.kind = kind}, where));
    CHECK(report.kind == kind);
    CHECK_FALSE(report.stamp_problem);
    return report;
}

read_manifest manifest_in(env_type env, std::string const& name, path_view where = "/repo") {
    auto sets = good(repository<env_type>::open(env, where));
    auto made = file_name{};
    made.add(name);
    auto set = good(sets.open_set(made));
    return good(manifest_of<env_type>(set));
}
backup_base base_of(kind_bed& b, backup_report const& set) {
    auto const read = manifest_in(b.env, set.name);
    return {read.manifest, read.hash};
}
backup_report make_pages(kind_bed& b, backup_report const& base) {
    return good(back_up(b, {.kind = backup_kind::pages, .base = base_of(b, base)}));
}

database_header header_of(kind_bed& b, std::size_t database = 0) {
    return b.store().databases()[database].file->header();
}
uuid marked(kind_bed& b, mark_kind kind, std::size_t database = 0) {
    return header_of(b, database).mark(kind).set;
}

void expect_sound(env_type env, path_view where = "/repo") {
    auto count = std::size_t{0};
    CHECK(damage_in_sets(env, where, count) == "");
    CHECK(count > 0);
}

// Pages of a set by number, of one database.
struct page_collector {
    std::map<std::uint64_t, std::vector<std::byte>>* pages;
    std::size_t wanted;
    std::size_t now = 0;

    [[nodiscard]] result<void> begin_database(std::size_t i, database_header const&) {
        now = i;
        return ok();
    }
    [[nodiscard]] result<void> database_bytes(std::uint64_t at, const_bytes image) {
        if (now != wanted) return ok();
        for (; !image.empty(); image = image.subspan(4096), at += 4096)
            (*pages)[at / 4096] = {image.begin(), image.begin() + 4096};
        return ok();
    }
    [[nodiscard]] result<void> end_database(copy_trailer const&) { return ok(); }
    [[nodiscard]] result<void> begin_segment(segment_header const&) { return ok(); }
    [[nodiscard]] result<void> see_record(log_record const&) { return ok(); }
    [[nodiscard]] result<void> segment_bytes(std::uint64_t, const_bytes) { return ok(); }
    [[nodiscard]] result<void> end_segment(segment_header const&, lsn) { return ok(); }
    [[nodiscard]] result<void> read(std::uint64_t) { return ok(); }
};
using page_map = std::map<std::uint64_t, std::vector<std::byte>>;
page_map pages_of(env_type env, std::string const& name, std::size_t database = 0) {
    auto const manifest = manifest_in(env, name).manifest;
    auto sets = good(repository<env_type>::open(env, "/repo"));
    auto made = file_name{};
    made.add(name);
    auto set = good(sets.open_set(made));
    auto pages = page_map{};
    auto collector = page_collector{&pages, database};
    (void)good(set_walker<env_type, 4096, crc32c, page_collector>{set, manifest, collector}.run());
    return pages;
}

TEST_CASE("an incremental carries the log since the chain's end and no page", "[backup][kinds]") {
    auto b = archival_bed{};
    b.work(1500, 1);
    auto const full = make(b, backup_kind::full);
    b.work(700, 2);
    auto const first = make(b, backup_kind::incremental);
    b.work(300, 3);
    auto const second = make(b, backup_kind::incremental);

    CHECK(first.log_start == full.end_lsn);
    CHECK(second.log_start == first.end_lsn);
    CHECK(second.end_lsn > second.log_start);
    CHECK(first.pages == 0);
    CHECK(first.records > 500);
    CHECK(first.last_commit > full.last_commit);
    auto const m = manifest_in(b.env, first.name);
    CHECK_FALSE(m.manifest.redo_lsn);
    CHECK_FALSE(m.manifest.undo_low_lsn);
    CHECK_FALSE(m.manifest.copy_end_lsn);
    REQUIRE(m.manifest.log.size() == 1);
    CHECK(m.manifest.log[0].from == full.end_lsn);
    CHECK(m.manifest.log[0].to == first.end_lsn);
    REQUIRE(m.manifest.databases.size() == 1);
    CHECK_FALSE(m.manifest.databases[0].trailer);
    for (auto const& part : m.manifest.parts) CHECK(part.content == part_content::log);
    CHECK(m.manifest.bases == std::vector<manifest_base>{{full.set, full.manifest_hash, "full"}});
    auto const of_second = manifest_in(b.env, second.name).manifest.bases;
    CHECK(
        of_second ==
        std::vector<manifest_base>{
            {first.set, first.manifest_hash, "incremental"}, {full.set, full.manifest_hash, "full"}
        }
    );
    expect_sound(b.env);
}

TEST_CASE("a differential carries the log since the full", "[backup][kinds]") {
    auto b = archival_bed{};
    b.work(500, 1);
    auto const full = make(b, backup_kind::full);
    b.work(200, 2);
    auto const first = make(b, backup_kind::differential);
    b.work(200, 3);
    auto const inc = make(b, backup_kind::incremental);
    b.work(200, 4);
    auto const second = make(b, backup_kind::differential);
    CHECK(first.log_start == full.end_lsn);
    CHECK(inc.log_start == full.end_lsn); // a differential is no link of the chain
    CHECK(second.log_start == full.end_lsn);
    CHECK(second.end_lsn > inc.end_lsn);
    auto const m = manifest_in(b.env, second.name).manifest;
    CHECK(m.bases == std::vector<manifest_base>{{full.set, full.manifest_hash, "full"}});
    expect_sound(b.env);
}

TEST_CASE("each kind stamps its own mark, a full clears those on top of it", "[backup][kinds]") {
    auto b = archival_bed{};
    b.work(100, 1);
    auto const copy = make(b, backup_kind::copy);
    CHECK(marked(b, mark_kind::copy) == copy.set);
    CHECK(marked(b, mark_kind::full).is_nil());
    auto const full = make(b, backup_kind::full);
    auto const inc = make(b, backup_kind::incremental);
    auto const diff = make(b, backup_kind::differential);
    (void)make_pages(b, full);
    CHECK(marked(b, mark_kind::copy) == copy.set);
    CHECK(marked(b, mark_kind::full) == full.set);
    CHECK(marked(b, mark_kind::incremental) == inc.set);
    CHECK(marked(b, mark_kind::differential) == diff.set);
    CHECK(header_of(b).mark(mark_kind::incremental).manifest_hash == short_of(inc.manifest_hash));
    auto const again = make(b, backup_kind::full);
    CHECK(marked(b, mark_kind::full) == again.set);
    CHECK(marked(b, mark_kind::incremental).is_nil());
    CHECK(marked(b, mark_kind::differential).is_nil());
    CHECK(marked(b, mark_kind::copy) == copy.set);
}

TEST_CASE("a full carries the log since the chain's end, a copy its own only", "[backup][kinds]") {
    auto b = archival_bed{};
    b.work(500, 1);
    auto const first = make(b, backup_kind::full);
    CHECK(manifest_in(b.env, first.name).manifest.log.front().from <= first.log_start);
    b.work(500, 2);
    good(b.db.checkpoint());
    b.work(500, 3);
    good(b.db.checkpoint());
    auto const copy = make(b, backup_kind::copy);
    auto const of_copy = manifest_in(b.env, copy.name).manifest;
    CHECK(of_copy.log.front().from > first.end_lsn);
    CHECK(of_copy.log.front().from + b.store().segment_bytes() > copy.log_start);
    auto const second = make(b, backup_kind::full);
    CHECK(manifest_in(b.env, second.name).manifest.log.front().from == first.end_lsn);
    expect_sound(b.env);
}

TEST_CASE("the first full after copies goes back to the oldest segment", "[backup][kinds]") {
    auto b = archival_bed{};
    b.work(500, 1);
    (void)make(b, backup_kind::copy);
    b.work(500, 2);
    good(b.db.checkpoint());
    auto const full = make(b, backup_kind::full);
    auto const m = manifest_in(b.env, full.name).manifest;
    CHECK(m.log.front().from == lsn{b.store().segment_bytes()}); // generation 1
    CHECK(m.warnings.empty());
}

TEST_CASE("log sets need archival mode", "[backup][kinds]") {
    auto b = kind_bed{{}, in_mode(false)};
    b.work(200, 1);
    (void)make(b, backup_kind::full); // stands by itself in any mode
    for (auto const kind : {backup_kind::incremental, backup_kind::differential})
        CHECK(code_of(back_up(b, {.kind = kind})) == errc::circular_logging);
    CHECK(marked(b, mark_kind::incremental).is_nil());
}

TEST_CASE("log sets need a full of every database", "[backup][kinds]") {
    auto b = archival_bed{};
    b.work(200, 1);
    for (auto const kind : {backup_kind::incremental, backup_kind::differential}) {
        auto const refused = back_up(b, {.kind = kind});
        REQUIRE(code_of(refused) == errc::full_backup_required);
        CHECK(refused.error().database == header_of(b).id.value);
    }
    (void)make(b, backup_kind::copy); // nothing relies on a copy
    CHECK(code_of(back_up(b, {.kind = backup_kind::incremental})) == errc::full_backup_required);
    (void)make(b, backup_kind::full);
    good(b.db.attach("second"));
    auto const refused = back_up(b, {.kind = backup_kind::incremental});
    REQUIRE(code_of(refused) == errc::full_backup_required);
    CHECK(refused.error().database == header_of(b, 1).id.value);
    // A refusal leaves nothing, not even a directory.
    auto sets = good(repository<env_type>::open(b.env, "/repo"));
    CHECK(good(sets.list()).size() == 2);
    (void)make(b, backup_kind::full);
    (void)make(b, backup_kind::incremental);
    expect_sound(b.env);
}

TEST_CASE("log sets need their base in the same repository", "[backup][kinds]") {
    auto b = archival_bed{};
    b.work(200, 1);
    (void)make(b, backup_kind::full, "/a");
    auto const full = make(b, backup_kind::full, "/b");
    CHECK(code_of(back_up(b, {.kind = backup_kind::incremental}, "/a")) == errc::base_not_here);
    CHECK(code_of(back_up(b, {.kind = backup_kind::differential}, "/a")) == errc::base_not_here);
    // Vouched for: by the hash of its manifest, which must be that of the stamp.
    auto vouch = backup_options{.kind = backup_kind::incremental};
    auto answer = sha256_digest{};
    vouch.find_base = [&](uuid const& set, std::uint64_t) -> result<sha256_digest> {
        CHECK(set == full.set);
        return answer;
    };
    CHECK(code_of(back_up(b, vouch, "/a")) == errc::base_not_here);
    answer = full.manifest_hash;
    auto const inc = good(back_up(b, vouch, "/a"));
    // The chain now ends in /a: a link in /b would leave a hole there.
    CHECK(code_of(back_up(b, {.kind = backup_kind::incremental}, "/b")) == errc::base_not_here);
    CHECK(marked(b, mark_kind::incremental) == inc.set);
    auto const diff = good(back_up(b, {.kind = backup_kind::differential}, "/b"));
    CHECK(diff.log_start == full.end_lsn);
    expect_sound(b.env, "/a");
    expect_sound(b.env, "/b");
}

TEST_CASE("a renamed set is still found, a changed manifest is not", "[backup][kinds]") {
    auto b = archival_bed{};
    b.work(100, 1);
    auto const full = make(b, backup_kind::full);
    auto sets = good(b.env.storage.open_dir("/repo/sets", directory_how::must_exist));
    auto name = file_name{};
    name.add(full.name);
    auto const other = file_name{"mine"};
    {
        auto repo = good(repository<env_type>::open(b.env, "/repo"));
        CHECK(good(repo.find_set(full.set, short_of(full.manifest_hash))) == full.manifest_hash);
        CHECK(code_of(repo.find_set(full.set, 77)) == errc::base_not_here);
    }
    good(sets.rename(name, other, rename_how::no_replace));
    (void)make(b, backup_kind::incremental);
}

TEST_CASE("log that is gone is a gap, with its first LSN", "[backup][kinds]") {
    auto env = env_type{};
    auto end = lsn{};
    auto segment_bytes = std::uint64_t{0};
    {
        auto b = archival_bed{env};
        b.work(400, 1);
        end = make(b, backup_kind::full).end_lsn;
        b.work(3000, 2);
        good(b.db.checkpoint());
        b.work(3000, 3);
        good(b.db.checkpoint());
        segment_bytes = b.store().segment_bytes();
        // A spell of circular mode: what no checkpoint needs is given up.
        CHECK(good(b.store().log().release_below(b.store().durable_slot().redo_lsn)) > 2);
        for (auto const kind : {backup_kind::incremental, backup_kind::differential}) {
            auto const refused = back_up(b, {.kind = kind});
            REQUIRE(code_of(refused) == errc::log_gap);
            CHECK(
                refused.error().at == first_lsn(generation_of(end, segment_bytes), segment_bytes)
            );
        }
        // A full starts anew, and says what no set holds.
        auto const full = make(b, backup_kind::full);
        auto const m = manifest_in(env, full.name).manifest;
        REQUIRE(m.warnings.size() == 1);
        CHECK(m.warnings[0].what == "pitr_gap");
        CHECK(m.log.front().from > end);
        b.work(100, 4);
        (void)make(b, backup_kind::incremental);
    }
    expect_sound(env);
}

TEST_CASE("a pages set holds what changed since its base", "[backup][kinds]") {
    auto b = archival_bed{};
    b.work(1000, 1);
    for (auto i = 0; i < 6000; ++i) { // files of many runs
        auto const key = "wide" + std::to_string(i);
        (void)good(b.db.put(b.rows, key, std::string(300, 'w'), durability::memory));
        if (i % 64 == 0) (void)good(b.db.poll());
    }
    good(b.db.checkpoint());
    auto const full = make(b, backup_kind::full);
    b.work(20, 2);
    good(b.db.checkpoint());
    auto const delta = make_pages(b, full);
    auto const quiet = make(b, backup_kind::copy);
    CHECK(delta.kind == backup_kind::pages);
    CHECK(delta.pages == quiet.pages); // all are read and proved
    auto const base = pages_of(b.env, full.name);
    auto const changed = pages_of(b.env, delta.name);
    auto const now = pages_of(b.env, quiet.name);
    CHECK(changed.size() < now.size() / 2);
    CHECK_FALSE(changed.empty());
    for (auto const& [number, image] : now) {
        CAPTURE(number);
        auto const found = changed.find(number);
        if (found != changed.end())
            REQUIRE(found->second == image);
        else
            REQUIRE(base.at(number) == image);
    }
    auto const m = manifest_in(b.env, delta.name).manifest;
    CHECK(m.databases[0].delta);
    auto const frames = [&](backup_report const& set) {
        return manifest_in(b.env, set.name).manifest.parts.front().summary.frames;
    };
    CHECK(frames(full) >= 4 + 3);        // runs, and stream header, index, trailer
    CHECK(frames(delta) < frames(full)); // runs without a changed page are left out
    CHECK(m.databases[0].trailer);
    CHECK(m.bases == std::vector<manifest_base>{{full.set, full.manifest_hash, "full"}});
    // On top of it another one.
    b.work(40, 3);
    good(b.db.checkpoint());
    auto const next = make_pages(b, delta);
    CHECK(manifest_in(b.env, next.name).manifest.bases.front().role == "pages");
    expect_sound(b.env);
}

TEST_CASE("what the base does not know comes whole", "[backup][kinds]") {
    auto b = archival_bed{};
    b.work(1000, 1);
    good(b.db.attach("moved"));
    {
        auto const tree = good(b.db.open_tree("moved", "rows"));
        for (auto i = 0; i < 200; ++i)
            (void)good(b.db.put(tree, "key" + std::to_string(i), "value", durability::memory));
    }
    auto const full = make(b, backup_kind::full);
    good(b.db.detach("moved"));
    good(b.db.attach("moved"));
    good(b.db.attach("new"));
    good(b.db.checkpoint());
    auto const delta = make_pages(b, full);
    auto const m = manifest_in(b.env, delta.name).manifest;
    REQUIRE(m.databases.size() == 3);
    for (auto const& one : m.databases) {
        CAPTURE(one.name);
        CHECK(one.delta == (one.name == "main"));
    }
    auto const quiet = make(b, backup_kind::copy);
    for (std::size_t i = 1; i < 3; ++i)
        CHECK(pages_of(b.env, delta.name, i) == pages_of(b.env, quiet.name, i));
    expect_sound(b.env);
}

TEST_CASE("a pages set needs a base of this history", "[backup][kinds]") {
    auto b = archival_bed{};
    b.work(300, 1);
    CHECK(code_of(back_up(b, {.kind = backup_kind::pages})) == errc::base_not_here);
    auto const full = make(b, backup_kind::full);
    auto const inc = make(b, backup_kind::incremental);
    auto const with = [&](auto&& change) {
        auto base = base_of(b, full);
        change(base.manifest);
        return code_of(back_up(b, {.kind = backup_kind::pages, .base = base}));
    };
    CHECK(with([](auto&) {}) == errc::none);
    CHECK(with([](auto& m) { m.instance = make_uuid(1, 2); }) == errc::base_not_here);
    CHECK(with([](auto& m) { m.timeline = {77}; }) == errc::base_not_here);
    CHECK(with([](auto& m) { m.page_size = 8192; }) == errc::base_not_here);
    CHECK(
        code_of(back_up(b, {.kind = backup_kind::pages, .base = base_of(b, inc)})) ==
        errc::base_not_here
    );
    good(std::move(b.db).close());
    // Another timeline: its base is this full, which ended before the fork; log sets have none.
    (void)good(run_restore<kind_bed::traits>(b.env, "/repo", "/other", text_of(full.set)));
    auto db = good(kind_bed::engine_type::open("/other", in_mode(true), b.env));
    auto const tree = good(db.open_tree("main", "rows"));
    for (auto i = 0; i < 50; ++i)
        (void)good(db.put(tree, "fork" + std::to_string(i), "value", durability::memory));
    CHECK(
        code_of(run_backup_to(db, "/repo", {.kind = backup_kind::incremental})) ==
        errc::full_backup_required
    );
    auto const forked =
        good(run_backup_to(db, "/repo", {.kind = backup_kind::pages, .base = base_of(b, full)}));
    CHECK(manifest_in(b.env, forked.name).manifest.databases[0].delta);
    // What the other branch did later is no base here.
    auto later_base = base_of(b, full);
    later_base.manifest.copy_end_lsn = later_base.manifest.end_lsn;
    CHECK(
        code_of(run_backup_to(db, "/repo", {.kind = backup_kind::pages, .base = later_base})) ==
        errc::base_not_here
    );
    good(std::move(db).close());
    expect_sound(b.env);
}

TEST_CASE(
    "a crash between the end record and the headers stamps at the next open", "[backup][kinds]"
) {
    auto env = env_type{};
    auto b = archival_bed{env};
    b.work(100, 1);
    auto const full = make(b, backup_kind::full);
    auto const inc = make(b, backup_kind::incremental);
    // Headers as they were before; the log says what they should be. A copy of the directory is
    // what a crash leaves.
    good(b.store().databases()[0].file->change_header([](database_header& h) noexcept {
        h.clear_marks();
    }));
    good(b.store().log().flush_all());
    auto from = good(env.storage.open_dir("/db", directory_how::must_exist));
    auto to = good(env.storage.open_dir("/crashed", directory_how::create_if_missing));
    auto entries = array_list<directory_entry>{};
    good(from.list(entries));
    for (auto const& one : entries) {
        if (one.name.view() == "jet.lock") continue;
        auto const content = good(read_file<env_type>(from, one.name, 64 << 20));
        auto file = good(to.open(one.name, {.mode = open_mode::create_new}));
        good(write_full(file, content.all(), 0));
    }
    auto db = good(kind_bed::engine_type::open("/crashed", in_mode(true), env));
    auto const header = db.core().store.databases()[0].file->header();
    CHECK(header.mark(mark_kind::full).set == full.set);
    CHECK(header.mark(mark_kind::incremental).set == inc.set);
    CHECK(header.mark(mark_kind::incremental).end_lsn == inc.end_lsn);
    CHECK(header.mark(mark_kind::full).manifest_hash == short_of(full.manifest_hash));
    good(std::move(db).close());
}

// As the last, but the log that the set's own pages need begins between the two.
TEST_CASE("a full taken at once behind such an attach restores", "[backup][kinds]") {
    auto b = archival_bed{};
    good(b.db.attach("other"));
    b.work(200, 1);
    (void)make(b, backup_kind::full);
    auto where = good(b.env.storage.open_dir("/db", directory_how::must_exist));
    auto const name = file_name{"main"};
    good(b.db.detach("main"));
    auto const older = good(read_file<env_type>(where, name, 64 << 20));
    auto const older_rows = b.expected;
    good(b.db.attach("main"));
    b.rows = good(b.db.open_tree("main", "rows"));
    b.work(200, 2);
    good(b.db.detach("main"));
    auto const others = good(b.db.open_tree("other", "rows"));
    for (auto i = 0; i < 400; ++i) // more than a segment
        (void
        )good(b.db.put(others, "key" + std::to_string(i), std::string(600, 'o'), durability::memory)
        );
    good(where.remove(name));
    {
        auto file = good(where.open(name, {.mode = open_mode::create_new}));
        good(write_full(file, older.all(), 0));
        good(file.sync(sync_how::full));
    }
    good(b.db.checkpoint());
    auto const redo = b.store().durable_slot().redo_lsn;
    auto const attached = b.store().log().tail();
    REQUIRE(
        generation_of(redo, small_engine.segment_bytes) ==
        generation_of(attached, small_engine.segment_bytes)
    );
    good(b.db.attach("main"));
    b.expected = older_rows;
    b.rows = good(b.db.open_tree("main", "rows"));
    b.work(50, 3);
    auto const full = make(b, backup_kind::full);
    CHECK(manifest_in(b.env, full.name).manifest.warnings.size() == 1);
    auto const expected = b.expected;
    good(std::move(b.db).close());
    (void)good(run_restore<kind_bed::traits>(b.env, "/repo", "/to", text_of(full.set)));
    expect_rows<recorded_policies>(b.env, "/to", expected, in_mode(true));
}

TEST_CASE("a backup that would fill the disk of the log does not begin", "[backup][kinds]") {
    auto b = archival_bed{env_type{.storage = recorded_policies::storage{64 << 20}}};
    b.work(200, 1);
    auto where = good(b.env.storage.open_dir("/junk", directory_how::create_if_missing));
    auto const name = file_name{"junk"};
    {
        auto const left = good(where.space()).free_bytes;
        auto file = good(where.open(name, {.mode = open_mode::create_new}));
        good(file.allocate(0, left - small_engine.segment_bytes + 4096));
    }
    auto const refused = back_up(b, {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::disk_full);
    CHECK(refused.error().file == file_kind::log_segment);
    // And holds nothing.
    CHECK_FALSE(b.store().is_pinned());
    good(where.remove(name));
    (void)make(b, backup_kind::full);
}

// An older copy of a database may be put back and attached: the log before that does not lead to it.
TEST_CASE("log over which no base can be rolled forward is no part of a chain", "[backup][kinds]") {
    auto b = archival_bed{};
    b.work(200, 1);
    (void)make(b, backup_kind::full);
    auto where = good(b.env.storage.open_dir("/db", directory_how::must_exist));
    auto name = file_name{};
    name.add("main");
    good(b.db.detach("main"));
    auto const older = good(read_file<env_type>(where, name, 64 << 20));
    auto const older_rows = b.expected;
    good(b.db.attach("main"));
    b.rows = good(b.db.open_tree("main", "rows"));
    b.work(200, 2);
    // Left and came back as it was: that is a history.
    (void)make(b, backup_kind::incremental);
    b.work(50, 3);
    good(b.db.detach("main"));
    {
        auto file = good(where.open(name, {.mode = open_mode::read_write}));
        good(file.truncate(0));
        good(write_full(file, older.all(), 0));
        good(file.sync(sync_how::full));
    }
    auto const exchanged = b.store().log().tail();
    good(b.db.attach("main"));
    b.expected = older_rows;
    b.rows = good(b.db.open_tree("main", "rows"));
    b.work(200, 4);

    for (auto const kind : {backup_kind::incremental, backup_kind::differential}) {
        auto const refused = back_up(b, {.kind = kind});
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::history_break);
        CHECK(refused.error().database == header_of(b).id.value);
        CHECK(refused.error().at >= exchanged);
    }
    // Pages of it all are a new beginning, once they need no log from before.
    good(b.db.checkpoint());
    REQUIRE(b.store().durable_slot().redo_lsn > exchanged);
    auto const full = make(b, backup_kind::full);
    auto const m = manifest_in(b.env, full.name).manifest;
    REQUIRE(m.warnings.size() == 1);
    CHECK(m.warnings[0].what == "history_break");
    CHECK(m.warnings[0].file == "main");
    CHECK(m.warnings[0].count >= exchanged.value);
    b.work(100, 5);
    (void)make(b, backup_kind::incremental);
    expect_sound(b.env);
    auto const expected = b.expected;
    good(std::move(b.db).close());
    (void)good(run_restore<kind_bed::traits>(b.env, "/repo", "/to", ""));
    expect_rows<recorded_policies>(b.env, "/to", expected, in_mode(true));
}

} // namespace jetpp_test::kinds_cases
