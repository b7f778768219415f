// test/backup/external_restore.cpp - what a session handed out, put back and brought to life.
#include <jetpp/backup/external_restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "external_bed.hpp"

namespace jetpp_test::external_restore_cases {

using namespace jetpp;

using traits = engine<bed_policies>::traits;
using session_type = external_backup<traits>;
using sim_traits = engine<sim_policies>::traits;

copied_files take_full(session_type& session) {
    auto files = copied_files{};
    good(session.begin());
    copy_databases(session, files);
    copy_logs(session, files);
    (void)good(session.end(external_end::normal));
    return files;
}

// Every file of a directory but its lock.
template <class Env>
copied_files files_in(Env env, path_view where) {
    auto directory = good(env.storage.open_dir(where, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(directory.list(entries));
    auto all = copied_files{};
    for (auto const& one : entries) {
        if (one.name == lock_file_name || one.kind != entry_kind::file) continue;
        auto file =
            good(directory.open(one.name, {.mode = open_mode::read_only, .io = io_mode::buffered}));
        auto content = std::string(good(file.size()), '\0');
        good(read_full(file, {reinterpret_cast<std::byte*>(content.data()), content.size()}, 0));
        all[std::string{one.name.view()}] = std::move(content);
    }
    return all;
}

void flip(std::string& content, std::size_t at) {
    content.at(at) = static_cast<char>(content[at] ^ 1);
}

TEST_CASE("files of a session come back to life as they stood at its end", "[backup][external]") {
    auto b = bed{};
    b.work(500, 1);
    auto session = session_type{b.db};
    auto files = copied_files{};
    good(session.begin());
    b.work(200, 2);
    copy_databases(session, files);
    b.work(200, 3); // while the log is not yet sealed: in
    copy_logs(session, files);
    auto const expected = b.expected;
    b.work(100, 4); // after it: out
    auto const told = good(session.end(external_end::normal));
    lay_down(b.env, "/new", files);
    // No engine opens the copies as they are.
    CHECK(code_of(engine<bed_policies>::open("/new", small_engine, b.env)) == errc::needs_restore);
    auto const report = good(external_restore<traits>(b.env, "/new"));
    CHECK(report.set == told.set);
    CHECK(report.reached == told.bounds.end_lsn);
    CHECK(report.databases == 1);
    CHECK(report.timeline != b.store().timeline());
    CHECK(report.pages > 10);
    expect_rows(b.env, "/new", expected);
    // It is an instance like any other, and lives on a timeline of its own: no marks are left.
    auto again = good(engine<bed_policies>::open("/new", small_engine, b.env));
    auto const header = again.core().store.databases()[0].file->header();
    CHECK(header.timeline == report.timeline);
    CHECK(header.restored_from == told.set);
    CHECK_FALSE(header.mark(mark_kind::full).exists());
    CHECK(code_of(external_restore<traits>(b.env, "/new")) == errc::would_overwrite);
}

TEST_CASE("incremental sessions roll a full one forward", "[backup][external]") {
    auto b = bed{};
    b.work(400, 11);
    auto session = session_type{b.db};
    auto files = take_full(session);
    for (auto i = 0; i < 3; ++i) {
        b.work(200, 20U + static_cast<unsigned>(i));
        good(b.db.checkpoint());
        good(session.begin(backup_kind::incremental));
        copy_logs(session, files);
        (void)good(session.end(external_end::normal));
    }
    lay_down(b.env, "/new", files);
    auto const report = good(external_restore<traits>(b.env, "/new"));
    CHECK(report.reached > lsn{});
    expect_rows(b.env, "/new", b.expected);

    // One of the segments between is missing: which one is told.
    auto names = std::vector<std::string>{};
    for (auto const& [name, content] : files)
        if (parse_segment_name(name)) names.push_back(name);
    REQUIRE(names.size() > 3);
    auto holed = files;
    holed.erase(names[names.size() - 2]);
    lay_down(b.env, "/holed", holed);
    auto const refused = external_restore<traits>(b.env, "/holed");
    CHECK(code_of(refused) == errc::log_gap);
    CHECK(
        generation_of(refused.error().at, small_engine.segment_bytes) ==
        *parse_segment_name(names[names.size() - 2])
    );
}

TEST_CASE(
    "a database made while the session ran is made again from the log", "[backup][external]"
) {
    auto b = bed{};
    b.work(100, 5);
    auto session = session_type{b.db};
    good(session.begin());
    good(b.db.attach("late"));
    auto const rows = good(b.db.open_tree("late", "rows"));
    (void)good(b.db.put(rows, "a", "b"));
    auto files = copied_files{};
    copy_databases(session, files);
    copy_logs(session, files);
    (void)good(session.end(external_end::normal));
    CHECK(files.find("late") == files.end());
    lay_down(b.env, "/new", files);
    CHECK(good(external_restore<traits>(b.env, "/new")).databases == 2);
    expect_rows(b.env, "/new", b.expected);
    auto db = good(engine<bed_policies>::open("/new", small_engine, b.env));
    CHECK(rows_of(db, "late", "rows") == model{{"a", "b"}});
}

TEST_CASE("a map brings back some databases, under other names", "[backup][external]") {
    auto b = bed{};
    good(b.db.attach("other"));
    good(b.db.attach("third"));
    auto const others = good(b.db.open_tree("other", "rows"));
    auto const thirds = good(b.db.open_tree("third", "rows"));
    b.work(400, 31);
    auto expected = model{};
    for (auto i = 0; i < 300; ++i) {
        auto const key = "o" + std::to_string(i * 7919 % 300);
        (void)good(b.db.put(others, key, std::string(150, 'o'), durability::memory));
        (void)good(b.db.put(thirds, key, std::string(50, 't'), durability::memory));
        expected[key] = std::string(150, 'o');
    }
    auto session = session_type{b.db};
    auto files = copied_files{};
    good(session.begin());
    // Unfinished when the session ends, in a database that comes back and in one that does not.
    auto tx = good(b.db.begin());
    good(tx.put(b.rows, "loser", "main"));
    good(tx.put(others, "loser", "other"));
    good(tx.put(others, "o7", "loser"));
    copy_databases(session, files);
    (void)good(b.db.put(others, "while", "copied"));
    expected["while"] = "copied";
    copy_logs(session, files);
    (void)good(session.end(external_end::normal));
    std::move(tx).rollback();

    auto const id = b.store().databases()[2].id;
    auto moved = files;
    auto renamed = moved.extract("other");
    renamed.key() = "books";
    moved.insert(std::move(renamed));
    auto third = moved.extract("third");
    third.key() = "main2";
    moved.insert(std::move(third));
    auto const map =
        std::vector<mapped_database>{{.from = "other", .to = "books"}, {.id = id, .to = "main2"}};
    lay_down(b.env, "/mapped", moved);
    // Nothing is changed by a map that does not hold.
    auto const before = files_in(b.env, "/mapped");
    auto const refusal = [&](std::vector<mapped_database> const& wrong) {
        auto const code = code_of(external_restore<traits>(b.env, "/mapped", {.databases = wrong}));
        CHECK(files_in(b.env, "/mapped") == before);
        return code;
    };
    CHECK(refusal({{.to = "books"}}) == errc::invalid_argument);
    CHECK(refusal({{.from = "other", .to = "../books"}}) == errc::unsafe_name);
    CHECK(
        refusal({{.from = "other", .to = "books"}, {.from = "third", .to = "books"}}) ==
        errc::invalid_argument
    );
    CHECK(
        refusal({{.from = "other", .to = "books"}, {.from = "nobody", .to = "main2"}}) ==
        errc::not_found
    );
    CHECK(refusal({{.from = "other", .to = "main2"}}) == errc::database_missing); // another one's
    CHECK(
        refusal({{.from = "other", .to = "books"}, {.from = "main", .to = "main2"}}) ==
        errc::database_missing
    );
    CHECK(refusal({{.from = "third", .to = "jet.books"}}) == errc::unsafe_name);

    auto const report = good(external_restore<traits>(b.env, "/mapped", {.databases = map}));
    CHECK(report.databases == 2);
    CHECK(report.recovery.losers == 1);
    {
        auto db = good(engine<bed_policies>::open("/mapped", small_engine, b.env));
        CHECK(rows_of(db, "books", "rows") == expected);
        CHECK(rows_of(db, "main2", "rows").size() == 300);
        CHECK(code_of(db.open_tree("main", "rows", open_how_tree::must_exist)) == errc::not_found);
        CHECK(code_of(db.attach("main", attach_how::must_exist)) == errc::needs_restore);
        (void)good(db.put(good(db.open_tree("books", "rows")), "new", "life"));
        good(std::move(db).close());
    }
    CHECK(files_in(b.env, "/mapped").at("main") == files.at("main")); // as it was put there
    auto again = good(engine<bed_policies>::open("/mapped", small_engine, b.env));
    expected["new"] = "life";
    CHECK(rows_of(again, "books", "rows") == expected);
}

TEST_CASE("generations that were asked for are those that are there", "[backup][external]") {
    auto b = bed{};
    b.work(1500, 41);
    auto session = session_type{b.db};
    auto files = take_full(session);
    lay_down(b.env, "/new", files);
    auto names = std::vector<std::string>{};
    for (auto const& [name, content] : files)
        if (parse_segment_name(name)) names.push_back(name);
    REQUIRE(names.size() >= 2);
    auto const low = *parse_segment_name(names.front());
    auto const high = *parse_segment_name(names.back());
    auto const code = [&](std::uint64_t from, std::uint64_t to) {
        return code_of(
            external_restore<traits>(b.env, "/new", {.generation_low = from, .generation_high = to})
        );
    };
    CHECK(code(high + 1, high + 1) == errc::log_gap);
    CHECK(code(low, high + 1) == errc::log_gap);
    CHECK(code(low, low) == errc::target_before_set_end); // pages are younger than that
    CHECK(files_in(b.env, "/new") == files);
    CHECK(code(low, high) == errc::none);
    expect_rows(b.env, "/new", b.expected);
}

TEST_CASE("a database that was not copied is told by its name's number", "[backup][external]") {
    auto b = bed{};
    good(b.db.attach("other"));
    b.work(1500, 6); // several segments: its creation is not in the log of the copy
    good(b.db.checkpoint());
    auto session = session_type{b.db};
    auto files = take_full(session);
    files.erase("other");
    lay_down(b.env, "/new", files);
    auto const refused = external_restore<traits>(b.env, "/new");
    CHECK(code_of(refused) == errc::database_not_in_sets);
    CHECK(refused.error().database == good(b.store().find_database("other"))->file->id().value);
    CHECK(files_in(b.env, "/new") == files);
}

TEST_CASE(
    "what is not as it was delivered is refused, and nothing is changed", "[backup][external]"
) {
    auto b = bed{};
    b.work(400, 7);
    auto session = session_type{b.db};
    auto const first = take_full(session);
    b.work(50, 8);
    auto const second = take_full(session);
    auto const size = first.at("main").size();
    auto const log_of = [](copied_files const& files) {
        for (auto const& [name, content] : files)
            if (parse_segment_name(name)) return name;
        return std::string{};
    };
    struct harm {
        char const* what;
        errc expected;
        std::function<void(copied_files&)> how;
    };
    auto const harms = std::vector<harm>{
        {"no trailer", errc::incomplete_copy, [&](auto& f) { f["main"].resize(size - 4096); }},
        {"a page short", errc::incomplete_copy, [&](auto& f) { f["main"].resize(size - 8192); }},
        {"half a page", errc::incomplete_copy, [&](auto& f) { f["main"].resize(size - 100); }},
        {"a page too long", errc::incomplete_copy, [&](auto& f) { f["main"].resize(size + 4096); }},
        {"trailer flipped", errc::incomplete_copy, [&](auto& f) { flip(f["main"], size - 3900); }},
        {"header flipped", errc::set_damaged, [&](auto& f) { flip(f["main"], 300); }},
        {"other header flipped", errc::set_damaged, [&](auto& f) { flip(f["main"], 65536 + 300); }},
        {"header of another session",
         errc::set_mixed,
         [&](auto& f) { f["main"].replace(0, 131072, second.at("main"), 0, 131072); }},
        {"page flipped",
         errc::page_damaged,
         [&](auto& f) { flip(f["main"], database_header_area_bytes + 3 * 4096 + 77); }},
        {"segment flipped", errc::log_damaged, [&](auto& f) { flip(f[log_of(f)], 4096 + 60); }},
        {"no log", errc::log_gap, [&](auto& f) { f.erase(log_of(f)); }},
        {"a stranger", errc::would_overwrite, [&](auto& f) { f["notes.txt"] = "mine"; }},
        {"another name",
         errc::database_missing,
         [&](auto& f) {
             f["renamed"] = f["main"];
             f.erase("main");
         }},
        {"an instance at home", errc::would_overwrite, [&](auto& f) { f["jet.ckp"] = "x"; }},
        {"no database", errc::not_found, [&](auto& f) { f.erase("main"); }},
    };
    auto number = 0;
    for (auto const& one : harms) {
        CAPTURE(one.what);
        auto files = first;
        one.how(files);
        auto const where = "/harm" + std::to_string(number++);
        lay_down(b.env, path_view{where.c_str()}, files);
        auto const refused = external_restore<traits>(b.env, path_view{where.c_str()});
        CHECK(name_of(code_of(refused)) == name_of(one.expected));
        CHECK(files_in(b.env, path_view{where.c_str()}) == files);
    }
    // Log of a later session goes on where that of the first one ended: that rolls forward.
    auto rolled = second;
    rolled["main"] = first.at("main");
    for (auto const& [name, content] : first) rolled.emplace(name, content);
    lay_down(b.env, "/rolled", rolled);
    CHECK(code_of(external_restore<traits>(b.env, "/rolled")) == errc::none);
    expect_rows(b.env, "/rolled", b.expected);
    // The same files unharmed are accepted.
    lay_down(b.env, "/whole", first);
    CHECK(code_of(external_restore<traits>(b.env, "/whole")) == errc::none);
}

TEST_CASE("log of a twin that went its own way is refused", "[backup][external]") {
    auto b = bed{};
    b.work(300, 21);
    good(std::move(b.db).close());
    auto home = files_in(b.env, "/db");
    home.erase("jet.ring");
    lay_down(b.env, "/twin", home);
    auto taken = std::vector<copied_files>{};
    for (auto const* where : {"/db", "/twin"}) {
        auto db = good(engine<bed_policies>::open(path_view{where}, small_engine, b.env));
        auto const rows = good(db.open_tree("main", "rows"));
        for (auto i = 0; i < 30; ++i)
            (void)good(db.put(
                rows, "twin" + std::to_string(i), std::string_view{where}, durability::memory
            ));
        auto session = session_type{db};
        taken.push_back(take_full(session));
    }
    auto mixed = taken[1]; // one instance and timeline by name
    mixed["main"] = taken[0].at("main");
    lay_down(b.env, "/mixed", mixed);
    CHECK(code_of(external_restore<traits>(b.env, "/mixed")) == errc::set_mixed);
}

// A full session and three of log, and every commit between: where it stands, and the rows behind it.
struct told_history {
    struct moment {
        lsn at{};
        wall_time before{}; // the clock then
        model rows;
    };
    copied_files files;
    std::vector<moment> moments; // commits behind the copy of the pages
    lsn copy_end{};
    lsn end{}; // of the last session
    std::vector<std::string> segments;
    lsn point{};
    model at_point;
};

void let_pass(std::chrono::nanoseconds time) {
    auto const still = std::uint32_t{0};
    auto runtime = simulated_runtime{};
    auto const until = runtime.now() + time;
    while (runtime.now() < until) runtime.park(&still, 0, until);
}

told_history tell_history(simulated_environment const& env, unsigned rows_a_session) {
    auto told = told_history{};
    auto b = bed<sim_policies>{env};
    b.work(60, 1);
    auto session = external_backup<sim_traits>{b.db};
    good(session.begin());
    copy_databases(session, told.files);
    copy_logs(session, told.files);
    told.copy_end = good(session.end(external_end::normal)).bounds.copy_end_lsn;
    for (auto turn = 0U; turn < 3; ++turn) {
        for (auto i = 0U; i < rows_a_session; ++i) {
            let_pass(std::chrono::seconds{1});
            auto const key = "k" + std::to_string(i % 5);
            auto const value = std::to_string(turn) + "-" + std::to_string(i);
            auto moment = told_history::moment{};
            moment.before = simulated_runtime{}.wall();
            let_pass(std::chrono::seconds{1});
            b.expected[key] = value;
            moment.at = good(b.db.put(b.rows, key, value, durability::device)).at;
            moment.rows = b.expected;
            told.moments.push_back(std::move(moment));
            if (turn == 1 && i == 0) {
                told.point = good(b.db.mark_restore_point("half way"));
                told.at_point = b.expected;
            }
            if (turn != 1) (void)good(b.db.mark_restore_point("often"));
        }
        if (turn == 1) { // somebody is unfinished over the end of a session
            auto tx = good(b.db.begin());
            good(tx.put(b.rows, "loser", "never"));
            good(session.begin(backup_kind::incremental));
            copy_logs(session, told.files);
            (void)good(session.end(external_end::normal));
            std::move(tx).rollback();
            continue;
        }
        good(session.begin(backup_kind::incremental));
        copy_logs(session, told.files);
        told.end = good(session.end(external_end::normal)).bounds.end_lsn;
    }
    good(std::move(b.db).close());
    for (auto const& [name, content] : told.files)
        if (parse_segment_name(name)) told.segments.push_back(name);
    return told;
}

TEST_CASE("a session's files come back as they stood at a target", "[backup][external]") {
    auto tape = choice_tape{31};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto const told = tell_history(env, 4);
        REQUIRE(told.segments.size() >= 4);
        auto number = 0;
        // Restores to a directory of its own. Returns: how that ended, and the rows.
        auto const restore = [&](external_restore_options const& options, model const* expected) {
            auto const where = "/to" + std::to_string(number++);
            lay_down(env, path_view{where.c_str()}, told.files);
            auto done = external_restore<sim_traits>(env, path_view{where.c_str()}, options);
            if (expected == nullptr) {
                CHECK(files_in(env, path_view{where.c_str()}) == told.files);
                return done;
            }
            auto const report = good(std::move(done));
            // What stood behind is there, whole, and nowhere else.
            auto const kept = segments_in(env, path_view{where.c_str()});
            auto aside = copied_files{};
            if (!report.moved_aside.empty()) {
                auto const there = where + "/" + report.moved_aside;
                aside = files_in(env, path_view{there.c_str()});
            }
            auto const last =
                generation_of({report.fork_lsn.value - 1}, small_engine.segment_bytes);
            for (auto const& name : told.segments) {
                auto const behind = *parse_segment_name(name) > last;
                if (behind != (aside.count(name) != 0)) FAIL(name << " is not where it belongs");
                if (!behind) continue; // it was taken up, and is not needed any more
                CHECK(std::find(kept.begin(), kept.end(), name) == kept.end());
                CHECK(aside.at(name) == told.files.at(name));
            }
            auto rows = *expected;
            for (auto life = 0; life < 2; ++life) { // and it lives on
                auto db =
                    good(engine<sim_policies>::open(path_view{where.c_str()}, small_engine, env));
                CHECK(db.core().store.timeline() == report.timeline);
                if (rows_of(db, "main", "rows") != rows)
                    FAIL("the rows are not those of the target");
                auto const value = std::to_string(life);
                (void)good(db.put(good(db.open_tree("main", "rows")), "new", value));
                rows["new"] = value;
                good(std::move(db).close());
            }
            return result<external_restore_report>{report};
        };
        auto const& all = told.moments;
        for (std::size_t i = 0; i < all.size(); ++i) {
            CAPTURE(i);
            (void)restore({.to_lsn = all[i].at}, &all[i].rows);
            if (i == 0) continue;
            (void)restore({.to_lsn = lsn{all[i].at.value - 1}}, &all[i - 1].rows);
            (void)restore({.to_time = all[i].before}, &all[i - 1].rows);
        }
        // A label; the end of a generation; the end of all.
        CHECK(restore({.to_point = "half way"}, &told.at_point).value().fork_lsn > told.point);
        auto const at_label = "half way@" + std::to_string(told.point.value);
        (void)restore({.to_point = at_label}, &told.at_point);
        for (std::size_t i = 1; i < told.segments.size(); ++i) {
            auto const generation = *parse_segment_name(told.segments[i]);
            auto const end = lsn{(generation + 1) * small_engine.segment_bytes};
            if (end < told.copy_end) continue;
            auto const* rows = static_cast<model const*>(nullptr);
            for (auto const& one : all)
                if (one.at < end) rows = &one.rows;
            if (rows == nullptr) continue;
            auto const report = restore({.generation_high = generation}, rows).value();
            CHECK(report.moved_aside.empty() == (i + 1 == told.segments.size()));
        }
        CHECK(restore({}, &all.back().rows).value().reached == told.end);
        CHECK(
            restore({.to_lsn = lsn{told.end.value - 1}}, &all.back().rows).value().reached ==
            told.end
        );

        auto const refused = [&](external_restore_options const& options) {
            return restore(options, nullptr).error();
        };
        CHECK(
            refused({.to_lsn = lsn{told.copy_end.value - 2}}).code == errc::target_before_set_end
        );
        CHECK(refused({.to_lsn = lsn{1}}).at == lsn{told.copy_end.value - 1});
        CHECK(refused({.to_lsn = told.end}).code == errc::target_not_reached);
        CHECK(refused({.to_lsn = told.end}).at == told.end);
        auto const late = wall_time{all.back().before.ns + 3'600'000'000'000};
        CHECK(refused({.to_time = late}).code == errc::target_not_reached); // nobody witnesses it
        CHECK(refused({.to_time = wall_time{}}).code == errc::target_before_set_end);
        CHECK(refused({.to_point = "nowhere"}).code == errc::not_found);
        CHECK(refused({.to_point = "often"}).code == errc::ambiguous_label);
        CHECK(
            refused({.to_lsn = all[1].at, .to_point = "half way"}).code == errc::invalid_argument
        );
        // A segment that is missing behind the target is nobody's loss.
        auto holed = told.files;
        holed.erase(told.segments[told.segments.size() - 2]);
        lay_down(env, "/holed", holed);
        CHECK(code_of(external_restore<sim_traits>(env, "/holed")) == errc::log_gap);
        CHECK(
            code_of(external_restore<sim_traits>(env, "/holed", {.to_lsn = all[0].at})) ==
            errc::none
        );
        expect_rows<sim_policies>(env, "/holed", all[0].rows);
    });
}

// Calls it again after a crash at every third storage call, another third for each policy.
void cut_at_any_call(
    simulated_world& world, external_restore_options const& options, model const& expected
) {
    auto const env = world.environment();
    auto const before = world.machine().save();
    world.run([&] { (void)good(external_restore<sim_traits>(env, "/new", options)); });
    auto const calls = world.machine().calls();
    world.machine().restore(before);
    auto const first = world.machine().calls();
    REQUIRE(calls > first + 60);
    auto again = 0;
    auto done = 0;
    for (auto const policy : crash_policies) {
        for (auto n = std::uint64_t{1}; n <= calls - first; ++n) {
            if (n % 3 != static_cast<std::uint64_t>(policy) % 3) continue;
            world.machine().restore(before);
            world.machine().crash_at(n);
            world.run([&] { (void)external_restore<sim_traits>(env, "/new", options); });
            world.machine().thaw(policy);
            auto problem = std::string{};
            auto rows = model{};
            world.run([&] {
                auto const repeated = external_restore<sim_traits>(env, "/new", options);
                if (repeated)
                    ++again;
                else if (repeated.error().code == errc::would_overwrite)
                    ++done; // the journal is gone: it was finished
                else
                    problem = describe(repeated.error()).c_str();
                auto how = small_engine;
                how.create = create_how::must_exist;
                auto db = engine<sim_policies>::open("/new", how, env);
                if (db)
                    rows = rows_of(db.value(), "main", "rows");
                else
                    problem += describe(db.error()).c_str();
            });
            CAPTURE(n, name_of(policy));
            if (!problem.empty()) FAIL(problem);
            if (rows != expected) FAIL("the restored rows are others");
        }
    }
    CHECK(again > 100);
    CHECK(done > 3);
}

TEST_CASE(
    "a restore cut at any storage call goes on when it is called again", "[backup][external][crash]"
) {
    auto tape = choice_tape{4};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto expected = model{};
    world.run([&] {
        auto files = copied_files{};
        auto b = bed<sim_policies>{env};
        b.work(60, 1);
        auto session = external_backup<sim_traits>{b.db};
        good(session.begin());
        b.work(20, 2);
        copy_databases(session, files);
        copy_logs(session, files);
        (void)good(session.end(external_end::normal));
        expected = b.expected;
        good(std::move(b.db).close());
        lay_down(env, "/new", files);
    });
    cut_at_any_call(world, {}, expected);
}

// Of several segments behind the target some may be aside, and some not: who goes on must not take
// that for a hole in the log.
TEST_CASE(
    "a restore to a time, cut at any storage call, goes on to it", "[backup][external][crash]"
) {
    auto tape = choice_tape{5};
    auto world = simulated_world{tape};
    auto told = told_history{};
    world.run([&] {
        told = tell_history(world.environment(), 2);
        lay_down(world.environment(), "/new", told.files);
    });
    cut_at_any_call(world, {.to_time = told.moments[1].before}, told.moments[0].rows);
}

// Databases in one directory, log in another: the instance comes to be in a third.
TEST_CASE("files that lie elsewhere are copied in, and stay as they are", "[backup][external]") {
    auto b = bed{};
    b.work(700, 51);
    auto session = session_type{b.db};
    auto const files = take_full(session);
    auto log = files;
    auto pages = copied_files{};
    pages.insert(log.extract("main"));
    lay_down(b.env, "/log", log);
    lay_down(b.env, "/pages", pages);
    auto const options = external_restore_options{
        .databases = {{.from = "main", .to = "main", .lies_in = "/pages"}}, .log_lies_in = "/log"
    };
    auto const report = good(external_restore<traits>(b.env, "/home", options));
    CHECK(report.databases == 1);
    expect_rows(b.env, "/home", b.expected);
    CHECK(files_in(b.env, "/log") == log);
    CHECK(files_in(b.env, "/pages") == pages);
    CHECK(code_of(external_restore<traits>(b.env, "/home", options)) == errc::would_overwrite);
    // The log alone elsewhere, and less of it than there is.
    lay_down(b.env, "/half", pages);
    CHECK(code_of(external_restore<traits>(b.env, "/half", {.log_lies_in = "/log"})) == errc::none);
    expect_rows(b.env, "/half", b.expected);

    // What does not come to anything leaves nothing.
    auto harmed = pages;
    flip(harmed["main"], database_header_area_bytes + 3 * 4096 + 77);
    lay_down(b.env, "/harmed", harmed);
    auto wrong = options;
    wrong.databases[0].lies_in = "/harmed";
    CHECK(code_of(external_restore<traits>(b.env, "/none", wrong)) == errc::page_damaged);
    CHECK(files_in(b.env, "/none").empty());
    wrong.databases[0].lies_in = "/nowhere";
    CHECK(code_of(external_restore<traits>(b.env, "/none", wrong)) == errc::not_found);
    CHECK(files_in(b.env, "/none").empty());
    // Nothing that is there is replaced; what is the same already is taken.
    lay_down(b.env, "/taken", {{"main", "a file of somebody"}});
    CHECK(code_of(external_restore<traits>(b.env, "/taken", options)) == errc::would_overwrite);
    CHECK(files_in(b.env, "/taken") == copied_files{{"main", "a file of somebody"}});
    lay_down(b.env, "/same", files);
    CHECK(code_of(external_restore<traits>(b.env, "/same", options)) == errc::none);
    expect_rows(b.env, "/same", b.expected);
}

TEST_CASE(
    "a restore of files that lie elsewhere, cut at any storage call, goes on",
    "[backup][external][crash]"
) {
    auto tape = choice_tape{6};
    auto world = simulated_world{tape};
    auto told = told_history{};
    world.run([&] {
        told = tell_history(world.environment(), 2);
        auto log = told.files;
        auto pages = copied_files{};
        pages.insert(log.extract("main"));
        lay_down(world.environment(), "/log", log);
        lay_down(world.environment(), "/pages", pages);
    });
    cut_at_any_call(
        world,
        {.databases = {{.from = "main", .to = "main", .lies_in = "/pages"}},
         .log_lies_in = "/log",
         .to_lsn = told.moments[2].at},
        told.moments[2].rows
    );
    world.run([&] {
        auto log = told.files;
        auto pages = copied_files{};
        pages.insert(log.extract("main"));
        CHECK(files_in(world.environment(), "/log") == log);
        CHECK(files_in(world.environment(), "/pages") == pages);
    });
}

} // namespace jetpp_test::external_restore_cases
