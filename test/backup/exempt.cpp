// test/backup/exempt.cpp - databases that backups leave out.
#include <jetpp/backup.hpp>
#include <jetpp/backup/bring_in.hpp>
#include <jetpp/backup/drill.hpp>
#include <jetpp/backup/external_backup.hpp>
#include <jetpp/backup/prune_sets.hpp>
#include <jetpp/restore.hpp>

#include <string>

#include "bed.hpp"

namespace jetpp_test::exempt_cases {

using namespace jetpp;

using env_type = bed<>::environment_type;
using traits = bed<>::traits;
using engine_type = bed<>::engine_type;

// A database that matters, and one for scratch; rows in both, and segments of log that neither is
// made from.
struct scratch_bed : bed<> {
    tree notes{};

    scratch_bed() : bed<>{} {
        good(db.attach("scratch"));
        notes = good(db.open_tree("scratch", "rows"));
        note("first");
        advance(1);
    }
    void note(std::string const& key) { (void)good(db.put(notes, key, "1", durability::memory)); }
    void advance(unsigned seed) {
        work(2000, seed);
        good(store().checkpoint(checkpoint_how::flush_all));
    }
    [[nodiscard]] database_header header_of(std::string_view name) {
        return good(store().find_database(name))->file->header();
    }
    [[nodiscard]] bool is_exempt() { return header_of("scratch").is_backup_exempt(); }
    [[nodiscard]] backup_report take(backup_options const& options = {}) {
        return good(run_backup_to(db, "/repo", options));
    }
    [[nodiscard]] backup_manifest manifest_of(backup_report const& report) {
        auto sets = good(repository<env_type>::open(env, "/repo"));
        for (auto const& one : good(list_sets(sets)))
            if (one.manifest.set == report.set) return one.manifest;
        FAIL("the set is not there");
        return {};
    }
};

// Rows of the scratch database as it was restored; -1: it was not.
[[nodiscard]] int notes_in(env_type env, path_view where) {
    auto db = good(engine_type::open(where, small_engine, env));
    auto const there = good(db.read()).at() && db.core().store.find_database("scratch").has_value();
    auto const count = there ? static_cast<int>(rows_of(db, "scratch", "rows").size()) : -1;
    good(std::move(db).close());
    return count;
}

[[nodiscard]] restore_report restored(
    env_type env, path_view where, restore_options const& how = {}
) {
    return good(run_restore<traits>(env, {"/repo"}, where, how));
}

TEST_CASE(
    "an exempt database holds no log and stands in no incremental's way", "[backup][exempt]"
) {
    auto b = scratch_bed{};
    CHECK_FALSE(b.is_exempt());
    (void)b.take({.databases = {"main"}});
    b.advance(2);
    auto const incremental = backup_options{.kind = backup_kind::incremental};
    CHECK(code_of(run_backup_to(b.db, "/repo", incremental)) == errc::full_backup_required);
    auto held = good(b.db.truncate_log());
    CHECK(held.segments == 0);
    CHECK(held.holder().who == log_holder::no_backup);
    CHECK(held.exempt().empty());

    good(b.db.set_backup_exempt("scratch", true));
    CHECK(b.is_exempt());
    auto const later = b.take(incremental);
    CHECK(later.databases == 1);
    CHECK(b.header_of("scratch").mark(mark_kind::incremental).set.is_nil());
    held = good(b.db.truncate_log());
    CHECK(held.segments != 0);
    REQUIRE(held.exempt().size() == 1);
    CHECK(held.exempt()[0].view() == "scratch");
    for (auto const& hold : held.all())
        CHECK((hold.who == log_holder::header || hold.name.view() != "scratch"));

    auto const made = b.manifest_of(later);
    REQUIRE(made.exempt.size() == 1);
    CHECK(made.exempt[0] == manifest_exempt{"scratch", b.header_of("scratch").database});

    // And back: all of the log is its own again, and a full makes peace.
    good(b.db.set_backup_exempt("scratch", false));
    CHECK(good(b.db.truncate_log()).holder().who == log_holder::no_backup);
    CHECK(code_of(run_backup_to(b.db, "/repo", incremental)) == errc::full_backup_required);
    CHECK(b.take().databases == 2);
    CHECK(b.take(incremental).databases == 2);
    good(std::move(b.db).close());
}

TEST_CASE("exemption outlives closes and crashes, and no attach elsewhere", "[backup][exempt]") {
    auto b = scratch_bed{};
    good(b.db.set_backup_exempt("scratch", true));
    good(std::move(b.db).close());
    {
        auto db = good(engine_type::open("/db", small_engine, b.env));
        auto& store = db.core().store;
        CHECK(good(store.find_database("scratch"))->file->header().is_backup_exempt());
        CHECK_FALSE(good(store.find_database("main"))->file->header().is_backup_exempt());
        good(db.detach("scratch"));
        good(db.attach("scratch"));
        CHECK(good(store.find_database("scratch"))->file->header().is_backup_exempt());
        good(db.detach("scratch"));
        good(std::move(db).close());
    }
    auto other = good(engine_type::open("/other", small_engine, b.env));
    auto from = good(b.env.storage.open_dir("/db", directory_how::must_exist));
    auto to = good(b.env.storage.open_dir("/other", directory_how::must_exist));
    auto const name = good(file_name::make("scratch"));
    CHECK(good(bring_in(b.env, from, name, to, name)));
    good(other.attach("scratch"));
    auto& store = other.core().store;
    CHECK_FALSE(good(store.find_database("scratch"))->file->header().is_backup_exempt());
    good(std::move(other).close());
}

TEST_CASE("a running backup knows which databases it takes", "[backup][exempt]") {
    auto b = scratch_bed{};
    auto asked = errc::none;
    auto options = backup_options{};
    options.on_progress = [&](backup_progress const&) -> result<void> {
        asked = code_of(b.db.set_backup_exempt("scratch", true));
        return ok();
    };
    CHECK(b.take(options).databases == 2);
    CHECK(asked == errc::backup_in_progress);
    CHECK_FALSE(b.is_exempt());
    CHECK(code_of(b.db.set_backup_exempt("none", true)) == errc::not_found);
    good(b.db.set_backup_exempt("scratch", true));
    good(b.db.set_backup_exempt("scratch", true));
    good(b.db.set_backup_exempt("main", true));
    CHECK(code_of(run_backup_to(b.db, "/repo")) == errc::not_found);
    good(std::move(b.db).close());
}

TEST_CASE("an external session of log passes over what is exempt", "[backup][exempt]") {
    auto b = scratch_bed{};
    auto session = external_backup<traits>{b.db};
    good(b.db.set_backup_exempt("scratch", true));
    good(session.begin(backup_kind::full)); // the caller may take both
    CHECK(good(session.list_databases()).size() == 2);
    CHECK(code_of(b.db.set_backup_exempt("scratch", false)) == errc::backup_in_progress);
    (void)good(session.end(external_end::abort));
    (void)b.take();
    good(session.begin(backup_kind::incremental));
    (void)good(session.end(external_end::abort));
    good(b.db.set_backup_exempt("scratch", false));
    CHECK(code_of(session.begin(backup_kind::incremental)) == errc::full_backup_required);
}

TEST_CASE("a set without an exempt database restores and says so", "[backup][exempt]") {
    auto b = scratch_bed{};
    good(b.db.set_backup_exempt("scratch", true));
    auto const drill = drill_options{.scratch = "/drill", .buffer_bytes = 1 << 20};
    auto const full = good(run_drilled_backup_to(b.db, "/repo", drill));
    CHECK(full.databases == 1);
    b.note("second");
    b.advance(2);
    (void)b.take({.kind = backup_kind::incremental});
    auto const expected = b.expected;
    good(std::move(b.db).close());

    auto const done = restored(b.env, "/new");
    CHECK(done.databases == 1);
    CHECK(done.left_out == std::vector<std::string>{"scratch"});
    expect_rows(b.env, "/new", expected);
    CHECK(notes_in(b.env, "/new") == -1);
    // Asked for by name it is missed.
    auto const by_name = restore_options{.databases = {"scratch"}};
    CHECK(
        code_of(run_restore<traits>(b.env, {"/repo"}, "/none", by_name)) ==
        errc::database_not_in_sets
    );
    auto const verified = good(
        verify_repository(b.env, "/repo", {}, replay_prover<traits>{b.env, std::string{"/scratch"}})
    );
    if (!verified.is_good()) FAIL(describe(verified.findings[0].why).c_str());
    CHECK(verified.replayed == 2);
    CHECK_FALSE(verified.partial);
}

TEST_CASE("a named exempt database is taken, and no other set loses it", "[backup][exempt]") {
    auto b = scratch_bed{};
    good(b.db.set_backup_exempt("scratch", true));
    (void)b.take();
    auto const own = b.take({.databases = {"scratch"}});
    CHECK(own.databases == 1);
    CHECK(b.manifest_of(own).exempt.empty());
    CHECK(b.header_of("scratch").mark(mark_kind::full).set == own.set);
    b.note("second");
    b.advance(2);
    auto const all = b.take();
    CHECK(all.databases == 1);
    good(std::move(b.db).close());

    // From its own set it comes by the log of the newer one, and main from the older one.
    CHECK(restored(b.env, "/own", {.databases = {"scratch"}}).reached == all.end_lsn);
    CHECK(notes_in(b.env, "/own") == 2);
    CHECK(restored(b.env, "/all").left_out.size() == 1);
    CHECK(
        code_of(run_restore<traits>(b.env, {"/repo"}, "/both", {.set = text_of(own.set)})) ==
        errc::database_not_in_sets
    );
}

TEST_CASE("sets from before an exemption grow old as others do", "[backup][exempt]") {
    auto b = scratch_bed{};
    auto const before = b.take();
    good(b.db.set_backup_exempt("scratch", true));
    b.advance(2);
    auto const without = b.take();
    good(std::move(b.db).close());
    auto sets = good(repository<env_type>::open(b.env, "/repo"));
    auto const pruned = good(prune_sets(sets, {.keep = 1}));
    REQUIRE(pruned.gone.size() == 1);
    CHECK(pruned.gone[0].set == before.set);
    CHECK(restored(b.env, "/new").reached == without.end_lsn);
}

TEST_CASE("a restore reaches every moment around an exemption", "[backup][exempt]") {
    auto b = scratch_bed{};
    auto const before = b.take();
    b.note("second");
    auto const first_point = good(b.db.mark_restore_point("covered"));
    good(b.db.set_backup_exempt("scratch", true));
    b.note("third");
    b.advance(2);
    auto const while_exempt = good(b.db.mark_restore_point("exempt"));
    b.note("fourth");
    auto const without = b.take();
    CHECK(without.databases == 1);
    b.note("fifth");
    b.advance(3);
    auto const log_alone = b.take({.kind = backup_kind::incremental, .truncate = true});
    CHECK(log_alone.databases == 1);
    good(b.db.set_backup_exempt("scratch", false));
    b.note("sixth");
    // Its log went meanwhile: its own full is missed, and not the log of everybody.
    auto const log = backup_options{.kind = backup_kind::incremental};
    CHECK(code_of(run_backup_to(b.db, "/repo", log)) == errc::full_backup_required);
    auto const after = b.take();
    CHECK(after.databases == 2);
    auto const expected = b.expected;
    good(std::move(b.db).close());

    auto where = 0;
    auto const at = [&](restore_options const& how) {
        auto const place = "/at-" + std::to_string(++where);
        auto const report = restored(b.env, place, how);
        auto const notes = notes_in(b.env, place);
        CHECK(report.left_out.empty() == (notes != -1));
        return notes;
    };
    CHECK(at({.set = text_of(before.set)}) == 1);
    // From the set that has it, by the log of one that has not.
    CHECK(at({.to_lsn = first_point}) == 2);
    CHECK(at({.to_lsn = while_exempt}) == 3);
    CHECK(at({.to_point = "exempt"}) == 3);
    CHECK(at({.set = text_of(without.set)}) == -1);
    CHECK(at({.set = text_of(log_alone.set)}) == -1);
    // By name: older pages, and all the log since.
    CHECK(at({.set = text_of(without.set), .databases = {"scratch"}}) == 4);
    CHECK(at({.set = text_of(log_alone.set), .databases = {"scratch"}}) == 5);
    CHECK(at({.set = text_of(after.set)}) == 6);
    CHECK(at({}) == 6);
    expect_rows(b.env, "/at-" + std::to_string(where), expected);
}

TEST_CASE("log of a database that is exempt no longer asks for its pages", "[backup][exempt]") {
    auto b = scratch_bed{};
    auto const before = b.take();
    good(b.db.set_backup_exempt("scratch", true));
    b.advance(2);
    auto const without = b.take();
    good(b.db.set_backup_exempt("scratch", false));
    b.note("second");
    // No log went meanwhile: its chain goes on.
    auto const log = b.take({.kind = backup_kind::incremental});
    CHECK(log.databases == 2);
    good(std::move(b.db).close());
    CHECK(log.log_start == before.end_lsn);

    auto const done = restored(b.env, "/new");
    CHECK(done.left_out.empty());
    CHECK(done.passed_over.size() == 1);
    CHECK(notes_in(b.env, "/new") == 2);
    // Without the set that has its pages nothing is passed over in silence.
    auto gone =
        good(b.env.storage.open_dir("/repo/sets/" + before.name, directory_how::must_exist));
    good(gone.remove(manifest_file_name));
    CHECK(code_of(run_restore<traits>(b.env, {"/repo"}, "/none")) == errc::database_not_in_sets);
    (void)restored(b.env, "/main", {.databases = {"main"}});
}

// The oldest segment that is kept is the one at which a truncating full ends.
TEST_CASE("an exemption that ends in time costs no mark", "[backup][exempt]") {
    auto b = scratch_bed{};
    auto const full = b.take({.truncate = true});
    good(b.db.set_backup_exempt("scratch", true));
    good(b.db.set_backup_exempt("scratch", false));
    CHECK(b.header_of("scratch").mark(mark_kind::full).set == full.set);
    CHECK(b.take({.kind = backup_kind::incremental}).databases == 2);
    good(std::move(b.db).close());
}

TEST_CASE("what a restore brings back is exempt no longer", "[backup][exempt]") {
    auto b = scratch_bed{};
    good(b.db.set_backup_exempt("scratch", true));
    (void)b.take({.databases = {"scratch"}});
    good(std::move(b.db).close());
    (void)restored(b.env, "/new", {.databases = {"scratch"}});
    auto options = small_engine;
    options.create = create_how::must_exist;
    auto db = good(engine_type::open("/new", options, b.env));
    CHECK_FALSE(db.core().store.databases()[0].file->header().is_backup_exempt());
    CHECK(good(run_backup_to(db, "/other")).databases == 1);
    good(std::move(db).close());
}

TEST_CASE("a damaged set does not make an exempt database of a covered one", "[backup][exempt]") {
    auto b = scratch_bed{};
    good(b.db.set_backup_exempt("scratch", true));
    auto const without = b.take();
    good(b.db.set_backup_exempt("scratch", false));
    auto const between = good(b.db.mark_restore_point("between"));
    b.advance(2);
    auto const covered = b.take();
    CHECK(covered.databases == 2);
    good(std::move(b.db).close());
    // The log of the newer set from before its pages: what the older one left out.
    CHECK(restored(b.env, "/between", {.to_lsn = between}).left_out.size() == 1);

    auto set =
        good(b.env.storage.open_dir("/repo/sets/" + covered.name, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(set.list(entries));
    for (auto const& one : entries) {
        if (one.name.view().find("scratch") == std::string_view::npos) continue;
        auto part = good(set.open(one.name, {.mode = open_mode::read_write}));
        auto byte = std::array{std::byte{0xA5}};
        good(write_full(part, byte, 5000));
        good(part.close());
    }
    auto const got = run_restore<traits>(b.env, {"/repo"}, "/none");
    CHECK(code_of(got) == errc::set_damaged);
    CHECK(restored(b.env, "/main", {.databases = {"main"}}).reached == covered.end_lsn);
}

} // namespace jetpp_test::exempt_cases
