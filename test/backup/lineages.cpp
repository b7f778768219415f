// test/backup/lineages.cpp - sets say which history they are of, whichever database comes first in
// them: one made after a restore, one that was away, one from elsewhere.
#include <jetpp/backup.hpp>
#include <jetpp/backup/prune_sets.hpp>
#include <jetpp/backup/set_walker.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::lineages_cases {

using namespace jetpp;

using engine_type = engine<recorded_sim_policies>;
using traits = engine_type::traits;
using env_type = engine_type::environment_type;
using fork_list = std::vector<timeline_fork>;

file_name name_of_file(std::string_view text) {
    auto made = file_name{};
    made.add(text);
    return made;
}
void copy_file(env_type env, path_view from, path_view to, std::string_view file, file_name as) {
    auto source = good(env.storage.open_dir(from, directory_how::must_exist));
    auto target = good(env.storage.open_dir(to, directory_how::create_if_missing));
    auto const content =
        good(read_file<env_type>(source, name_of_file(file), std::uint64_t{1} << 30));
    auto copy = good(target.open(as, {.mode = open_mode::create_new}));
    good(write_full(copy, content.all(), 0));
    good(copy.sync(sync_how::full));
    good(target.sync());
}
// Both copies.
template <class Change>
void change_header(env_type env, path_view path, std::string_view database, Change&& change) {
    auto where = good(env.storage.open_dir(path, directory_how::must_exist));
    auto file = good(where.open(name_of_file(database), {.mode = open_mode::read_write}));
    auto area = good(aligned_buffer::create(database_header_area_bytes));
    good(read_full(file, area.all(), 0));
    auto const copy_at = [&](header_copy copy) {
        return area.part(static_cast<std::size_t>(offset_of(copy)), database_header::size);
    };
    auto h = good(newest_of(copy_at(header_copy::a), copy_at(header_copy::b))).header;
    change(h);
    for (auto const copy : {header_copy::a, header_copy::b}) {
        ++h.sequence;
        h.encode(copy_at(copy));
    }
    good(write_full(file, area.all(), 0));
    good(file.sync(sync_how::full));
}

struct page_counter {
    std::size_t wanted;
    std::size_t now = 0;
    std::size_t count = 0;

    [[nodiscard]] result<void> begin_database(std::size_t i, database_header const&) {
        now = i;
        return ok();
    }
    [[nodiscard]] result<void> database_bytes(std::uint64_t, const_bytes image) {
        for (; now == wanted && !image.empty(); image = image.subspan(4096))
            if (!all_zero(image.first(4096))) ++count;
        return ok();
    }
    [[nodiscard]] result<void> end_database(copy_trailer const&) { return ok(); }
    [[nodiscard]] result<void> begin_segment(segment_header const&) { return ok(); }
    [[nodiscard]] result<void> see_record(log_record const&) { return ok(); }
    [[nodiscard]] result<void> segment_bytes(std::uint64_t, const_bytes) { return ok(); }
    [[nodiscard]] result<void> end_segment(segment_header const&, lsn) { return ok(); }
    [[nodiscard]] result<void> read(std::uint64_t) { return ok(); }
};

// An instance at /db whose sets go to /repo, and the forks that it went through.
struct life {
    env_type env;
    bool archival = true;
    std::optional<engine_type> db{};
    fork_list forks{}; // newest first
    int restores = 0;

    explicit life(env_type environment, bool keeps_log = true)
        : env{environment}, archival{keeps_log} {
        open();
        attach("main");
    }
    ~life() {
        if (db) close();
    }
    life(life const&) = delete;
    life& operator=(life const&) = delete;

    [[nodiscard]] open_options options(create_how how) const {
        auto made = small_engine;
        made.archival = archival;
        made.create = how;
        return made;
    }
    void open() {
        db.emplace(good(engine_type::open("/db", options(create_how::if_missing), env)));
    }
    void close() {
        good(std::move(*db).close());
        db.reset();
    }
    void open_again() {
        close();
        open();
    }
    void attach(std::string const& name) {
        good(db->attach(name));
        good(store().find_database(name))->file->set_growth_bytes_min(64 << 10);
    }
    void detach(std::string const& name) { good(db->detach(name)); }
    [[nodiscard]] instance<traits>& store() { return db->core().store; }
    [[nodiscard]] database_header header(std::string const& name) {
        return good(store().find_database(name))->file->header();
    }
    [[nodiscard]] static fork_list ancestry(database_header const& h) {
        return {h.ancestry().begin(), h.ancestry().end()};
    }

    // Returns: where the last commit stands.
    lsn work(std::string const& name, std::string const& value) {
        auto const rows = good(db->open_tree(name, "rows"));
        auto at = no_lsn;
        for (auto i = 0; i < 40; ++i)
            at = good(db->put(rows, "key" + std::to_string(i), value + std::string(100, '.'))).at;
        return at;
    }
    [[nodiscard]] model rows(std::string const& name) { return rows_of(*db, name, "rows"); }

    backup_manifest back_up(backup_options const& how = {}) {
        return manifest_in(good(run_backup_to(*db, "/repo", how)).name);
    }
    [[nodiscard]] backup_manifest manifest_in(std::string_view set_name) {
        auto sets = good(repository<env_type>::open(env, "/repo"));
        auto set = good(sets.open_set(name_of_file(set_name)));
        return good(manifest_of<env_type>(set)).manifest;
    }
    // How many of a database lie in a set.
    [[nodiscard]] std::size_t pages_in(backup_manifest const& m, std::string_view name) {
        auto sets = good(repository<env_type>::open(env, "/repo"));
        auto set = good(sets.open_set(set_directory_name({m.set, m.kind, m.created})));
        auto counter = page_counter{.wanted = 0};
        while (m.databases[counter.wanted].name != name) ++counter.wanted;
        (void)good(set_walker<env_type, 4096, crc32c, page_counter>{set, m, counter}.run());
        return counter.count;
    }
    // The instance is brought back to a moment, and goes on from there.
    restore_report fork(restore_options how = {}) {
        auto const before = store().timeline();
        close();
        how.force = true;
        auto const done = good(run_restore<traits>(env, {"/repo"}, "/db", how));
        forks.insert(forks.begin(), {before, done.fork_lsn});
        open();
        return done;
    }

    // The rows that a restore of one database elsewhere leads to.
    [[nodiscard]] model restored(std::string const& name, restore_options how = {}) {
        auto const where = "/at-" + std::to_string(++restores);
        how.databases = {name};
        (void)good(run_restore<traits>(env, {"/repo"}, where, how));
        auto there = good(engine_type::open(where, options(create_how::must_exist), env));
        auto found = rows_of(there, name, "rows");
        CHECK(good(check_trees(there.core().store)).is_good());
        good(std::move(there).close());
        return found;
    }
    [[nodiscard]] errc restore_error(restore_options const& how = {}) {
        auto const where = "/at-" + std::to_string(++restores);
        return code_of(run_restore<traits>(env, {"/repo"}, where, how));
    }
};

template <class Work>
void in_world(std::uint64_t seed, Work&& work) {
    auto tape = choice_tape{seed};
    auto world = simulated_world{tape};
    world.run([&] { work(world.environment()); });
}

restore_options to(lsn at, std::string set = {}) {
    auto how = restore_options{};
    how.to_lsn = at;
    how.set = std::move(set);
    return how;
}
restore_options of_set(backup_manifest const& m) {
    auto how = restore_options{};
    how.set = text_of(m.set);
    return how;
}

TEST_CASE("a database made after a restore names the forks before it", "[backup][lineage]") {
    in_world(1, [](env_type env) {
        auto b = life{env};
        b.work("main", "base");
        auto const base = b.back_up();
        auto const early = b.work("main", "early");
        auto const early_rows = b.rows("main");
        (void)b.back_up({.kind = backup_kind::incremental});
        (void)b.fork();
        CHECK(b.rows("main") == early_rows);

        b.attach("young");
        b.work("young", "first");
        auto const between = b.work("main", "between");
        auto const between_rows = b.rows("main");
        b.work("main", "late");
        auto const set = b.back_up({.databases = {"young"}});
        CHECK(set.ancestry == b.forks);
        CHECK(life::ancestry(b.header("young")) == b.forks);
        CHECK(set.log_start < between); // nobody else has that log

        // One history, and its newest log is of use for the pages from before the fork.
        CHECK(b.restored("young") == b.rows("young"));
        CHECK(b.restored("main") == b.rows("main"));
        CHECK(b.restored("main", to(between)) == between_rows);
        CHECK(b.restored("main", to(early)) == early_rows);
        CHECK(b.restored("main", of_set(base)) != early_rows);
        // Those that stand on the young one are of that history, too.
        b.work("young", "second");
        CHECK(
            b.back_up({.kind = backup_kind::incremental, .databases = {"young"}}).ancestry ==
            b.forks
        );
        CHECK(b.restored("young") == b.rows("young"));
        CHECK(b.restored("main") == b.rows("main"));
    });
}

TEST_CASE("the forks are not forgotten with those who knew them", "[backup][lineage]") {
    auto const archival = GENERATE(true, false);
    CAPTURE(archival);
    in_world(2, [&](env_type env) {
        auto b = life{env, archival};
        for (auto const* const value : {"one", "two"}) {
            b.work("main", value);
            (void)b.back_up();
            (void)b.fork();
        }
        REQUIRE(b.forks.size() == 2);
        b.attach("young");
        b.work("young", "first");
        b.detach("main");
        CHECK(b.back_up().ancestry == b.forks);
        b.open_again();
        CHECK(b.back_up({.kind = backup_kind::copy}).ancestry == b.forks);
        b.attach("younger");
        b.detach("young");
        b.open_again();
        b.work("younger", "first");
        CHECK(b.back_up().ancestry == b.forks);
        CHECK(life::ancestry(b.header("younger")) == b.forks);
        CHECK(b.restored("younger") == b.rows("younger"));

        // With none of them attached the log alone speaks, of the newest fork.
        b.detach("younger");
        b.open_again();
        b.attach("youngest");
        b.work("youngest", "first");
        auto const least = b.back_up().ancestry;
        CHECK(least == fork_list{b.forks[0]});
        // Other sets know the rest.
        CHECK(b.restored("youngest") == b.rows("youngest"));
        // So does whoever comes back.
        b.attach("main");
        CHECK(b.back_up().ancestry == b.forks);
        CHECK(life::ancestry(b.header("main")) == b.forks);
        b.open_again();
        CHECK(life::ancestry(b.header("youngest")) == b.forks);
        CHECK(b.restored("main") == b.rows("main"));
        auto sets = good(repository<env_type>::open(env, "/repo"));
        (void)good(prune_sets(sets, {.keep = 1}));
        CHECK(b.restored("main") == b.rows("main"));
    });
}

TEST_CASE("a file from another instance brings no history into the sets", "[backup][lineage]") {
    in_world(3, [](env_type env) {
        auto guest_timeline = timeline_id{};
        {
            auto other = good(engine_type::open("/other", small_engine, env));
            good(other.attach("guest"));
            auto const rows = good(other.open_tree("guest", "rows"));
            for (auto i = 0; i < 3000; ++i)
                (void)good(other.put(
                    rows, "key" + std::to_string(i), std::string(100, 'g'), durability::memory
                ));
            guest_timeline = other.core().store.timeline();
            good(std::move(other).close());
        }
        auto const with_forks = GENERATE(false, true);
        CAPTURE(with_forks);
        auto b = life{env};
        b.work("main", "base");
        if (with_forks) {
            (void)b.back_up();
            (void)b.fork();
        }
        copy_file(env, "/other", "/db", "guest", file_name{"guest"});
        b.detach("main");
        b.attach("guest");
        b.attach("main");
        b.work("guest", "here");
        auto const set = b.back_up();
        REQUIRE(set.databases.front().name == "guest");
        CHECK(set.ancestry == b.forks);
        // Its header knows where it was.
        auto known = b.forks;
        known.push_back({guest_timeline, b.header("guest").attach_lsn});
        CHECK(life::ancestry(b.header("guest")) == known);
        CHECK(b.restored("main") == b.rows("main"));
        CHECK(b.restored("guest") == b.rows("guest"));

        // What it brought along need not be copied again and again.
        b.work("main", "delta");
        auto sets = good(repository<env_type>::open(env, "/repo"));
        auto base = backup_base{};
        for (auto const& one : good(list_sets(sets)))
            if (one.manifest.set == set.set) base = {one.manifest, one.hash};
        auto const delta =
            good(run_backup_to(*b.db, "/repo", {.kind = backup_kind::pages, .base = base}));
        CHECK(b.pages_in(base.manifest, "guest") > 90);
        CHECK(b.pages_in(b.manifest_in(delta.name), "guest") < 20);
        CHECK(b.restored("guest") == b.rows("guest"));

        // Nor does it with the next fork, or when it leaves and comes back.
        b.work("guest", "more");
        (void)b.back_up({.kind = backup_kind::incremental});
        (void)b.fork();
        CHECK(b.back_up().ancestry == b.forks);
        b.detach("main");
        b.open_again();
        b.detach("guest");
        b.attach("guest");
        b.open_again();
        CHECK(b.back_up().ancestry == b.forks);
        (void)b.fork();
        CHECK(b.back_up().ancestry == b.forks);
        CHECK(b.restored("guest") == b.rows("guest"));
    });
}

TEST_CASE(
    "a file from before the fork does not make what was given up history", "[backup][lineage]"
) {
    in_world(4, [](env_type env) {
        auto b = life{env};
        b.work("main", "base");
        auto const base = b.back_up();
        auto const fork_rows = b.rows("main");
        b.attach("stray");
        b.work("stray", "old");
        auto const given_up = b.work("main", "given up");
        auto const behind = b.back_up({.kind = backup_kind::incremental, .databases = {"main"}});
        REQUIRE(given_up < behind.end_lsn);
        b.detach("stray");

        auto const report = b.fork(of_set(base));
        REQUIRE(report.fork_lsn < given_up);
        CHECK(b.rows("main") == fork_rows);
        copy_file(env, "/db/" + report.moved_aside, "/db", "stray", file_name{"stray"});
        b.detach("main");
        b.attach("stray");
        b.attach("main");
        auto const now = b.work("main", "new");
        auto const set = b.back_up();
        REQUIRE(set.databases.front().name == "stray");
        CHECK(set.ancestry == b.forks);
        CHECK(life::ancestry(b.header("stray")) == b.forks);

        // Two lineages, and each leads where it led.
        CHECK(b.restore_error() == errc::ambiguous_source);
        CHECK(b.restored("main", of_set(set)) == b.rows("main"));
        CHECK(b.restored("stray", of_set(set)) == b.rows("stray"));
        CHECK(b.restored("main", to(now, text_of(set.set))) == b.rows("main"));
        CHECK(b.restored("main", to(given_up, text_of(set.set))) == fork_rows);
        CHECK(b.restored("main", to(given_up, text_of(behind.set))) != fork_rows);
        // The same when that history forks again.
        (void)b.fork(of_set(set));
        CHECK(b.back_up().ancestry == b.forks);
        CHECK(life::ancestry(b.header("stray")) == b.forks);

        auto sets = good(repository<env_type>::open(env, "/repo"));
        (void)good(prune_sets(sets, {.keep = 1}));
        CHECK(b.restored("main", of_set(set)) == b.rows("main"));
    });
}

TEST_CASE("what a restore undid is had again by its timeline", "[backup][lineage]") {
    in_world(11, [](env_type env) {
        auto b = life{env};
        b.work("main", "base");
        auto const base = b.back_up();
        auto const fork_rows = b.rows("main");
        b.work("main", "given up");
        auto const middle = b.back_up({.kind = backup_kind::incremental}).end_lsn;
        auto const middle_rows = b.rows("main");
        b.work("main", "given up at last");
        auto const old = b.back_up({.kind = backup_kind::incremental});
        auto const old_rows = b.rows("main");
        (void)b.fork(of_set(base));
        b.work("main", "new");
        auto const set = b.back_up();
        REQUIRE(set.timeline != old.timeline);
        REQUIRE(b.restore_error() == errc::ambiguous_source);

        auto on = [](timeline_id timeline, restore_options how = {}) {
            how.timeline = timeline;
            return how;
        };
        CHECK(b.restored("main", on(old.timeline)) == old_rows);
        CHECK(b.restored("main", on(set.timeline)) == b.rows("main"));
        CHECK(b.restored("main", on(old.timeline, to(middle - 1))) == middle_rows);
        // Behind the fork the moment is that of the history that was named, and not another's.
        CHECK(b.restored("main", on(set.timeline, to(middle - 1))) == fork_rows);
        CHECK(b.restored("main", on(old.timeline, of_set(base))) == fork_rows);

        CHECK(b.restore_error(on(timeline_id{old.timeline.value ^ 1})) == errc::not_found);
        CHECK(b.restore_error(on(set.timeline, of_set(base))) == errc::not_found);
        auto past = on(old.timeline, to(set.end_lsn));
        CHECK(b.restore_error(past) == errc::target_not_reached);
        past.live = true;
        past.to_lsn.reset();
        CHECK(b.restore_error(past) == errc::bad_option);
    });
}

TEST_CASE("a restore says what it begins, and ends if it is told to", "[backup][restore]") {
    in_world(12, [](env_type env) {
        auto b = life{env};
        b.attach("second");
        b.work("main", "one");
        (void)b.back_up();
        auto const at = b.work("second", "two");
        (void)good(b.db->mark_restore_point("here"));
        (void)b.back_up({.kind = backup_kind::incremental});

        auto said = std::vector<std::string>{};
        auto how = restore_options{};
        how.to_point = "here";
        how.on_stage = [&](restore_stage stage, std::string_view file) -> result<void> {
            said.push_back(std::string{name_of(stage)}.append(" ").append(file));
            return ok();
        };
        auto const done = good(run_restore<traits>(env, {"/repo"}, "/new", how));
        CHECK(done.last_commit >= at);
        auto const all = std::vector<std::string>{
            "search ", "log log", "pages main", "pages second", "recover "
        };
        CHECK(said == all);
        for (auto const& last : all) {
            how.on_stage = [&](restore_stage stage, std::string_view file) -> result<void> {
                if (std::string{name_of(stage)}.append(" ").append(file) != last) return ok();
                return error{.code = errc::disk_full};
            };
            CHECK(code_of(run_restore<traits>(env, {"/repo"}, "/ended", how)) == errc::disk_full);
        }
        (void)good(run_restore<traits>(env, {"/repo"}, "/ended")); // it held nothing
    });
}

TEST_CASE("a file from a branch of the instance joins without its branch", "[backup][lineage]") {
    in_world(5, [](env_type env) {
        auto b = life{env};
        b.attach("stray");
        b.work("main", "base");
        b.work("stray", "base");
        auto const base = b.back_up();
        // The branch: restored elsewhere, gone on with, and backed up here.
        auto how = of_set(base);
        auto const branched = good(run_restore<traits>(env, {"/repo"}, "/branch", how));
        {
            auto branch =
                good(engine_type::open("/branch", b.options(create_how::must_exist), env));
            auto const rows = good(branch.open_tree("stray", "rows"));
            (void)good(branch.put(rows, "key", "of the branch"));
            (void)good(run_backup_to(branch, "/repo"));
            good(std::move(branch).close());
        }
        how.databases = {"main"};
        (void)b.fork(how);
        copy_file(env, "/branch", "/db", "stray", file_name{"moved"});
        b.detach("main");
        b.attach("moved");
        b.attach("main");
        auto const set = b.back_up();
        CHECK(set.ancestry == b.forks);
        for (auto const& fork : b.header("moved").ancestry())
            CHECK(fork.parent != branched.timeline);
        CHECK(b.restore_error() == errc::ambiguous_source);
        CHECK(b.restored("moved", of_set(set)) == b.rows("moved"));
    });
}

TEST_CASE("pages from before several forks come back with all of them", "[backup][lineage]") {
    in_world(6, [](env_type env) {
        auto b = life{env};
        b.work("main", "base");
        (void)b.back_up();
        auto const first = b.work("main", "first");
        auto const first_rows = b.rows("main");
        (void)b.back_up({.kind = backup_kind::incremental});
        (void)b.fork();
        b.attach("made");
        b.work("made", "first");
        b.work("main", "second");
        auto const rows = b.rows("main");
        auto const parent = b.store().timeline();
        b.close();
        // No set has been made since: the pages are of one timeline, the log of two.
        auto const done = good(run_restore<traits>(env, {"/repo", "/db"}, "/new"));
        auto expected = b.forks;
        expected.insert(expected.begin(), {parent, done.fork_lsn});
        {
            auto there = good(engine_type::open("/new", b.options(create_how::must_exist), env));
            CHECK(rows_of(there, "main", "rows") == rows);
            for (auto& known : there.core().store.databases())
                if (known.file != nullptr) CHECK(life::ancestry(known.file->header()) == expected);
            (void)good(run_backup_to(there, "/repo"));
            good(std::move(there).close());
        }
        b.open();
        CHECK(b.restored("main") == rows);
        CHECK(b.restored("main", to(first)) == first_rows);
    });
}

TEST_CASE(
    "log that is missing behind a fork is missed, whatever lies above it", "[backup][lineage]"
) {
    in_world(9, [](env_type env) {
        auto b = life{env};
        b.attach("second");
        b.work("main", "base");
        b.work("second", "base");
        (void)b.back_up({.kind = backup_kind::copy});
        auto const base_rows = b.rows("main");
        auto const report = b.fork();
        // Copies carry no more log than they need: nobody has the first of the new timeline.
        b.work("main", "lost");
        auto const lost = b.work("second", "lost");
        auto sets = std::vector<backup_manifest>{};
        for (auto i = 0; i < 3; ++i) {
            good(b.db->checkpoint());
            sets.push_back(b.back_up({.kind = backup_kind::copy, .databases = {"second"}}));
            b.work("main", "more");
        }
        REQUIRE(sets[0].log_start > lost);
        // None of these ends may come without its rows, although there are sets that begin later.
        for (auto const& set : sets) {
            CHECK(b.restored("second", of_set(set)) == b.rows("second"));
            auto how = of_set(set);
            how.databases = {"main"};
            CHECK(b.restore_error(how) == errc::log_gap);
            how.to_lsn = lost;
            CHECK(b.restore_error(how) == errc::log_gap);
        }
        // With the log of the instance there is all of it.
        b.close();
        auto how = restore_options{};
        how.databases = {"main"};
        for (auto const at : {report.fork_lsn, lost}) {
            how.to_lsn = at;
            auto const where = "/with-log-" + std::to_string(at.value);
            (void)good(run_restore<traits>(env, {"/repo", "/db"}, where, how));
            auto there = good(engine_type::open(where, b.options(create_how::must_exist), env));
            CHECK((rows_of(there, "main", "rows") == base_rows) == (at == report.fork_lsn));
            good(std::move(there).close());
        }
    });
}

TEST_CASE("headers of older versions learn what the others know", "[backup][lineage]") {
    in_world(7, [](env_type env) {
        auto b = life{env};
        b.work("main", "base");
        (void)b.back_up();
        (void)b.fork();
        b.work("main", "more");
        (void)b.back_up();
        (void)b.fork();
        b.attach("young");
        b.attach("stray");
        b.work("young", "first");
        b.close();
        change_header(env, "/db", "young", [](database_header& h) { h.ancestor_count = 0; });
        change_header(env, "/db", "stray", [](database_header& h) {
            h.ancestors = {timeline_fork{h.ancestors[0].parent, h.attach_lsn}};
            h.ancestor_count = 1;
        });
        // None of those that are wrong is believed.
        b.open();
        b.detach("main");
        for (auto const* const name : {"young", "stray"})
            CHECK(life::ancestry(b.header(name)) == b.forks);
        b.open_again();
        CHECK(b.back_up().ancestry == b.forks);
        CHECK(b.restored("young") == b.rows("young"));

        // Where nobody knows more, what the log says is true.
        b.detach("stray");
        b.close();
        change_header(env, "/db", "young", [](database_header& h) { h.ancestor_count = 0; });
        b.open();
        CHECK(life::ancestry(b.header("young")) == fork_list{b.forks[0]});
        CHECK(b.back_up().ancestry == fork_list{b.forks[0]});
        CHECK(b.restored("young") == b.rows("young"));
    });
}

TEST_CASE(
    "a crash while files join leaves each with the forks before it", "[backup][lineage][crash]"
) {
    auto tape = choice_tape{8};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto forks = fork_list{};
    world.run([&] {
        {
            auto other = good(engine_type::open("/other", small_engine, env));
            good(other.attach("guest"));
            good(std::move(other).close());
        }
        auto b = life{env};
        b.work("main", "base");
        auto const base = b.back_up();
        b.attach("stray");
        b.detach("stray");
        auto const report = b.fork(of_set(base));
        (void)b.back_up();
        (void)b.fork();
        copy_file(env, "/db/" + report.moved_aside, "/db", "stray", file_name{"stray"});
        copy_file(env, "/other", "/db", "guest", file_name{"guest"});
        b.detach("main");
        forks = b.forks;
    });
    auto const before = world.machine().save();
    auto const join = [&]() -> bool {
        auto db = engine_type::open("/db", small_engine, env);
        if (!db) return false;
        for (auto const* const name : {"young", "guest", "stray", "main", "younger"})
            if (!db.value().attach(name)) return false;
        return std::move(db).value().close().has_value();
    };
    auto calls = std::uint64_t{0};
    world.run([&] {
        auto const first = world.machine().calls();
        REQUIRE(join());
        calls = world.machine().calls() - first;
    });
    auto const step = std::max<std::uint64_t>(1, calls / rounds(60));
    auto tried = std::size_t{0};
    for (auto n = std::uint64_t{1}; n <= calls; n += step) {
        auto const policy = crash_policies[tried++ % crash_policies.size()];
        CAPTURE(n, calls, name_of(policy));
        world.machine().restore(before);
        world.machine().crash_at(n);
        world.run([&] { (void)join(); });
        world.machine().thaw(policy);
        world.run([&] {
            auto db = good(engine_type::open("/db", small_engine, env));
            // Who was there before `main`, which knows both forks, knows at least the newest.
            auto& store = db.core().store;
            for (auto& known : store.databases()) {
                if (known.file == nullptr) continue;
                auto const h = known.file->header();
                REQUIRE(h.ancestor_count > 0);
                CHECK(h.ancestry()[0] == forks[0]);
            }
            good(db.attach("main"));
            good(std::move(db).close());
            auto again = good(engine_type::open("/db", small_engine, env));
            auto count = std::size_t{0};
            for (auto& known : again.core().store.databases()) {
                if (known.file == nullptr) continue;
                ++count;
                auto const h = known.file->header();
                auto found = fork_list{h.ancestry().begin(), h.ancestry().end()};
                if (known.name == file_name{"guest"}) {
                    REQUIRE(found.size() == forks.size() + 1);
                    CHECK(found.back().fork_lsn == h.attach_lsn);
                    found.pop_back();
                }
                CHECK(found == forks);
            }
            CHECK(count > 0);
            good(std::move(again).close());
        });
    }
}

} // namespace jetpp_test::lineages_cases
