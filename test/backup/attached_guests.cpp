// test/backup/attached_guests.cpp - databases that join and leave: one of a far longer log makes the
// log jump, and one that gets the number of another is not taken for it.
#include <jetpp/backup.hpp>
#include <jetpp/backup/external_restore.hpp>
#include <jetpp/backup/receive_set.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <optional>
#include <string>
#include <utility>

#include "bed.hpp"
#include "external_bed.hpp"
#include "memory_part.hpp"

namespace jetpp_test::attached_guests_cases {

using namespace jetpp;

using sim_bed = bed<sim_policies>;
using sim_engine = sim_bed::engine_type;
using sim_env = sim_bed::environment_type;
using traits = sim_bed::traits;

constexpr auto existing = [] {
    auto options = small_engine;
    options.create = create_how::must_exist;
    return options;
}();
constexpr auto far_generation = std::uint64_t{5'000'000};

std::string text_of_error(error const& why) {
    return describe(why).c_str();
}
void put_rows(sim_engine& db, tree const& rows, std::string const& name, int count, model& into) {
    for (auto i = 0; i < count; ++i) {
        auto const key = name + std::to_string(i);
        auto const value = std::string(300, static_cast<char>('a' + i % 26));
        (void)good(db.put(rows, key, value, durability::memory));
        into[key] = value;
    }
}
// A clean database of an instance whose log came far, put beside those of /db.
model bring_guest(sim_env env) {
    auto rows = model{};
    {
        auto db = good(sim_engine::open("/far", small_engine, env));
        good(db.attach("guest"));
        (void)good(db.core().store.log().force_switch(far_generation));
        put_rows(db, good(db.open_tree("guest", "rows")), "far", 60, rows);
        good(std::move(db).close());
    }
    auto const name = file_name{"guest"};
    auto from = good(env.storage.open_dir("/far", directory_how::must_exist));
    auto to = good(env.storage.open_dir("/db", directory_how::must_exist));
    auto const content = good(read_file<sim_env>(from, name, std::uint64_t{1} << 30));
    auto file = good(to.open(name, {.mode = open_mode::create_new}));
    good(write_full(file, content.all(), 0));
    good(file.sync(sync_how::full));
    return rows;
}
std::uint64_t generation_in_use(sim_bed& b) {
    return generation_of(b.store().log().tail(), small_engine.segment_bytes);
}
// Rows of the guest, and changes over those it came with. Returns: them all.
model work_on_guest(sim_bed& b, model rows) {
    auto const guest = good(b.db.open_tree("guest", "rows"));
    put_rows(b.db, guest, "far", 30, rows);
    put_rows(b.db, guest, "near", 60, rows);
    return rows;
}
// Is what lies at `where` an instance with these rows?
std::string look(
    sim_env env, path_view where, model const& rows, std::optional<model> const& guest = {}
) {
    auto db = sim_engine::open(where, existing, env);
    if (!db) return "open: " + text_of_error(db.error());
    auto said = std::string{};
    if (rows_of(db.value(), "main", "rows") != rows) said += "other rows; ";
    if (guest) {
        if (!db.value().open_tree("guest", "rows", open_how_tree::must_exist))
            said += "no guest; ";
        else if (rows_of(db.value(), "guest", "rows") != *guest)
            said += "a guest of other rows; ";
    }
    auto const checked = check_trees(db.value().core().store);
    if (!checked || !checked.value().is_good()) said += "a tree is damaged; ";
    good(std::move(db).value().close());
    return said;
}

// ---- a log that jumps

TEST_CASE("sets and a live log lead over generations that were jumped", "[backup][attach]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto b = sim_bed{env};
        b.work(300, 1);
        (void)good(run_backup_to(b.db, "/repo"));
        b.work(200, 2);
        auto const last_below = good(b.db.put(b.rows, "last", "below")).at;
        b.expected["last"] = "below";
        auto const below = b.expected;
        auto guest = bring_guest(env);
        auto const before = generation_in_use(b);
        good(b.db.attach("guest"));
        REQUIRE(generation_in_use(b) >= far_generation);
        REQUIRE(before < 100);
        guest = work_on_guest(b, guest);
        b.work(300, 3);
        good(b.db.detach("guest"));
        b.work(100, 4);
        auto const last_middle = good(b.db.put(b.rows, "key1", "middle")).at;
        b.expected["key1"] = "middle";
        auto const in_middle = b.expected;
        b.work(100, 5);

        // The full alone, and the log of the directory.
        good(std::move(b.db).close());
        (void)good(run_restore<traits>(env, {"/repo", "/db"}, "/live"));
        CHECK(look(env, "/live", b.expected) == "");
        auto how = restore_options{};
        how.to_lsn = last_middle;
        (void)good(run_restore<traits>(env, {"/repo", "/db"}, "/live-middle", how));
        CHECK(look(env, "/live-middle", in_middle) == "");

        // An incremental, which begins below the jump and ends above it.
        std::destroy_at(&b.db);
        std::construct_at(&b.db, good(sim_engine::open("/db", existing, env)));
        b.rows = good(b.db.open_tree("main", "rows"));
        auto const log = good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
        REQUIRE(generation_of(log.log_start, small_engine.segment_bytes) <= before);
        REQUIRE(generation_of(log.end_lsn, small_engine.segment_bytes) > far_generation);
        CHECK(good(verify_repository(env, "/repo")).findings.empty());
        (void)good(run_restore<traits>(env, "/repo", "/new"));
        CHECK(look(env, "/new", b.expected) == "");
        how.to_lsn = last_below;
        (void)good(run_restore<traits>(env, {"/repo"}, "/below", how));
        CHECK(look(env, "/below", below) == "");
        how.to_lsn = last_middle;
        (void)good(run_restore<traits>(env, {"/repo"}, "/middle", how));
        CHECK(look(env, "/middle", in_middle) == "");
        // A target between: nothing was there.
        how.to_lsn = lsn{far_generation / 2 * small_engine.segment_bytes};
        (void)good(run_restore<traits>(env, {"/repo"}, "/between", how));
        CHECK(look(env, "/between", below) == "");
        good(std::move(b.db).close());
    });
}

// Returns: what is wrong with copies of an instance whose guest joined, and whose log jumps once more
// while they are made.
std::string copies_with_a_guest(sabotage bug) {
    auto tape = choice_tape{2};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto problem = std::string{};
    world.run([&] {
        auto b = sim_bed{env};
        b.work(300, 1);
        auto guest = bring_guest(env);
        auto const planted = simulation::planting{bug};
        good(b.db.attach("guest"));
        auto const opened = b.db.open_tree("guest", "rows", open_how_tree::must_exist);
        if (opened)
            guest = work_on_guest(b, guest);
        else
            problem += "tree: " + text_of_error(opened.error()) + "; ";
        auto jump = std::uint64_t{0};
        auto how = backup_options{.kind = backup_kind::copy};
        how.on_progress = [&](backup_progress const& now) -> result<void> {
            if (jump != 0 || now.stage != backup_stage::pages) return ok();
            b.work(30, 3);
            jump = generation_in_use(b) + far_generation;
            (void)good(b.store().log().force_switch(jump));
            b.work(30, 4);
            return ok();
        };
        auto const set = run_backup_to(b.db, "/repo", how);
        if (!set) {
            problem += "set: " + text_of_error(set.error()) + "; ";
            return;
        }
        CHECK(generation_of(set.value().log_start, small_engine.segment_bytes) < jump);
        CHECK(generation_of(set.value().end_lsn, small_engine.segment_bytes) > jump);
        jump = 0;
        auto out = memory_output{};
        auto sink = stream_sink{out};
        auto const of_set = b.expected;
        (void)good(run_backup(b.db, sink, how));
        good(std::move(b.db).close());
        CHECK(good(verify_repository(env, "/repo")).findings.empty());
        (void)good(run_restore<traits>(env, "/repo", "/new"));
        problem += look(env, "/new", of_set, guest);
        auto repo = good(repository<sim_env>::open_or_create(env, "/received"));
        auto in = memory_input{out.content};
        (void)good(receive_set(env, in, repo));
        (void)good(run_restore<traits>(env, "/received", "/streamed"));
        problem += look(env, "/streamed", b.expected, guest);
    });
    return problem;
}

TEST_CASE("a copy has a guest and all of a log that jumps meanwhile", "[backup][attach]") {
    CHECK(copies_with_a_guest(sabotage::none) == "");
}

TEST_CASE("a guest whose pages are younger than the log is found out", "[backup][attach]") {
    auto const found = copies_with_a_guest(sabotage::attach_younger_log);
    CHECK(found.find("tree: page_damaged") != found.npos);
    CHECK(found.find("set: page_damaged") != found.npos);
}

TEST_CASE("an external session follows the log over a jump", "[backup][attach]") {
    auto tape = choice_tape{3};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto b = sim_bed{env};
        b.work(300, 1);
        auto session = external_backup<traits>{b.db};
        auto files = copied_files{};
        good(session.begin());
        copy_databases(session, files);
        copy_logs(session, files);
        (void)good(session.end(external_end::normal));
        b.work(100, 2);
        auto guest = bring_guest(env);
        good(b.db.attach("guest"));
        guest = work_on_guest(b, guest);
        b.work(100, 3);
        good(b.db.detach("guest"));
        good(session.begin(backup_kind::incremental));
        copy_logs(session, files);
        (void)good(session.end(external_end::normal));
        lay_down(env, "/new", files);
        (void)good(external_restore<traits>(env, "/new"));
        CHECK(look(env, "/new", b.expected) == "");

        // One that begins below the next jump and ends above it.
        auto more = copied_files{};
        good(session.begin());
        copy_databases(session, more);
        b.work(50, 4);
        (void)good(b.store().log().force_switch(2 * far_generation));
        b.work(50, 5);
        copy_logs(session, more);
        (void)good(session.end(external_end::normal));
        lay_down(env, "/more", more);
        (void)good(external_restore<traits>(env, "/more"));
        CHECK(look(env, "/more", b.expected) == "");
        good(std::move(b.db).close());
    });
}

// ---- a number that is used again

TEST_CASE("a database that gets another's number is not taken for it", "[backup][attach]") {
    auto tape = choice_tape{4};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto b = sim_bed{env};
        b.work(100, 1);
        good(b.db.attach("x"));
        good(b.db.attach("y"));
        auto x = model{};
        auto y = model{};
        put_rows(b.db, good(b.db.open_tree("x", "rows")), "x", 40, x);
        put_rows(b.db, good(b.db.open_tree("y", "rows")), "y", 40, y);
        auto const number_of = [&](std::string_view name) {
            for (auto const& one : b.store().databases())
                if (one.file != nullptr && one.name.view() == name) return one.file->id().value;
            return std::uint16_t{0};
        };
        auto const number_of_x = number_of("x");
        (void)good(run_backup_to(b.db, "/repo"));
        good(b.db.detach("y"));
        put_rows(b.db, good(b.db.open_tree("x", "rows")), "x", 60, x);
        auto const last_of_x = good(b.db.put(b.rows, "key1", "x")).at;
        b.expected["key1"] = "x";
        auto const main_with_x = b.expected;
        good(b.db.detach("x"));
        // The log of x stays; the number is free once nothing that is replayed names it.
        for (auto life = 0; life < 2; ++life) {
            good(std::move(b.db).close());
            std::destroy_at(&b.db);
            std::construct_at(&b.db, good(sim_engine::open("/db", existing, env)));
        }
        b.rows = good(b.db.open_tree("main", "rows"));
        good(b.db.attach("y"));
        REQUIRE(number_of("y") == number_of_x);
        put_rows(b.db, good(b.db.open_tree("y", "rows")), "z", 60, y);
        b.work(50, 2);

        auto const check = [&](path_view where) {
            auto db = good(sim_engine::open(where, existing, env));
            CHECK(rows_of(db, "main", "rows") == b.expected);
            CHECK(rows_of(db, "y", "rows") == y);
            CHECK(good(check_trees(db.core().store)).is_good());
            good(std::move(db).close());
        };
        (void)good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
        good(std::move(b.db).close());
        CHECK(good(verify_repository(env, "/repo")).findings.empty());
        (void)good(run_restore<traits>(env, "/repo", "/new"));
        check("/new");
        (void)good(run_restore<traits>(env, {"/repo", "/db"}, "/live"));
        check("/live");
        auto how = restore_options{};
        how.to_lsn = last_of_x;
        (void)good(run_restore<traits>(env, {"/repo"}, "/with-x", how));
        auto db = good(sim_engine::open("/with-x", existing, env));
        CHECK(rows_of(db, "main", "rows") == main_with_x);
        CHECK(rows_of(db, "x", "rows") == x);
        CHECK(good(check_trees(db.core().store)).is_good());
        good(std::move(db).close());
    });
}

} // namespace jetpp_test::attached_guests_cases
