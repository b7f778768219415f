// test/backup/external_restore.cpp - what a session handed out, put back and brought to life.
#include <jetpp/backup/external_restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <random>

#include "../budget.hpp"
#include "external_bed.hpp"

namespace jetpp_test::external_restore_cases {

using namespace jetpp;

using traits = engine<bed_policies>::traits;
using session_type = external_backup<traits>;
using env_type = bed<>::environment_type;

copied_files take_full(session_type& session) {
    auto files = copied_files{};
    good(session.begin());
    copy_databases(session, files);
    copy_logs(session, files);
    (void)good(session.end(external_end::normal));
    return files;
}

// Every file of a directory but its lock.
copied_files files_in(env_type env, path_view where) {
    auto directory = good(env.storage.open_dir(where, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(directory.list(entries));
    auto all = copied_files{};
    for (auto const& one : entries) {
        if (one.name == lock_file_name) continue;
        auto file = good(directory.open(one.name, {.mode = open_mode::read_only}));
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
    CHECK(code(low, high - 1) == errc::unsupported); // more would come back than was asked for
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

using sim_traits = engine<sim_policies>::traits;

TEST_CASE(
    "a restore cut at any storage call goes on when it is called again", "[backup][external][crash]"
) {
    auto tape = choice_tape{4};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto expected = model{};
    auto files = copied_files{};
    world.run([&] {
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
    auto const before = world.machine().save();
    world.run([&] { (void)good(external_restore<sim_traits>(env, "/new")); });
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
            world.run([&] { (void)external_restore<sim_traits>(env, "/new"); });
            world.machine().thaw(policy);
            auto problem = std::string{};
            auto rows = model{};
            world.run([&] {
                auto const repeated = external_restore<sim_traits>(env, "/new");
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

} // namespace jetpp_test::external_restore_cases
