// test/backup/external_session.cpp - external sessions over a running instance, against the table.
#include <jetpp/backup.hpp>
#include <jetpp/backup/external_phases.hpp>
#include <jetpp/backup/run_backup.hpp>

#include <optional>
#include <random>

#include "../budget.hpp"
#include "external_bed.hpp"
#include "external_table.hpp"

namespace jetpp_test::external_session_cases {

using namespace jetpp;

using traits = engine<bed_policies>::traits;
using session_type = external_backup<traits>;

// A session that was brought into one of the table's states.
struct session_bed {
    bed<> b{};
    heard events{};
    session_type session{b.db};
    std::optional<external_handle> handle{};
    std::vector<external_segment> logs{};

    external_options options() { return {.events = events.sink()}; }

    explicit session_bed(std::string_view state) {
        b.work(40, 1);
        if (state == "none") return;
        if (state == "inc") {
            full();
            b.work(40, 2);
            good(session.begin(backup_kind::incremental, options()));
            return;
        }
        good(session.begin(backup_kind::full, options()));
        if (!state.starts_with("db")) {
            auto files = copied_files{};
            copy_databases(session, files);
            logs = good(session.list_logs());
        }
        if (state == "read" || state == "log+R+T")
            for (auto const& one : logs) (void)good(read_whole(session, one.name));
        if (state == "log+R+T") good(session.truncate());
        if (state.find("+H") != state.npos) {
            handle = good(session.open(logs.empty() ? "main" : logs.front().name));
        }
        if (state.find("+S") != state.npos) session.stop();
        events.all.clear();
    }
    void full() {
        good(session.begin(backup_kind::full));
        auto files = copied_files{};
        copy_databases(session, files);
        copy_logs(session, files);
        (void)good(session.end(external_end::normal));
    }
    errc call(std::string_view name) {
        auto page = std::vector<std::byte>(bed_policies::page_size);
        auto const which = handle.value_or(external_handle{.number = 4711});
        auto const log_name =
            logs.empty() ? std::string{segment_file_name(1).view()} : logs.back().name;
        if (name == "begin") return code_of(session.begin(backup_kind::full, options()));
        if (name == "list databases") return code_of(session.list_databases());
        if (name == "open database") return code_of(session.open("main"));
        if (name == "open log") return code_of(session.open(log_name));
        if (name == "open unknown") return code_of(session.open("../main"));
        if (name == "read") return code_of(session.read(which, page));
        if (name == "read an odd size")
            return code_of(session.read(which, bytes{page}.first(page.size() - 8)));
        if (name == "close") return code_of(session.close(which));
        if (name == "close unknown") return code_of(session.close({.number = 815}));
        if (name == "list logs") return code_of(session.list_logs());
        if (name == "list truncatable") return code_of(session.list_truncatable());
        if (name == "truncate") return code_of(session.truncate());
        if (name == "end normal") return code_of(session.end(external_end::normal));
        if (name == "end abort") return code_of(session.end(external_end::abort));
        if (name == "end both") return code_of(session.end(static_cast<external_end>(3)));
        if (name == "end neither") return code_of(session.end(static_cast<external_end>(0)));
        session.stop();
        return errc::none;
    }
    std::string state() {
        auto const now = session.now();
        return state_text(now.phase, now.handles, now.rolled, now.stopped, now.truncating);
    }
    bool is_stamped() {
        return b.store().databases()[0].file->header().mark(mark_kind::full).exists();
    }
};

using env_type = bed<>::environment_type;

// What a set carries, put together again.
struct set_images {
    std::string pages;
    std::map<std::string, std::string> segments;
    std::string* segment = nullptr;

    static std::string_view text(const_bytes image) { return as_text(image); }
    result<void> begin_database(std::size_t, database_header const&) { return ok(); }
    result<void> database_bytes(std::uint64_t, const_bytes image) {
        pages.append(text(image));
        return ok();
    }
    result<void> end_database(copy_trailer const&) { return ok(); }
    result<void> begin_segment(segment_header const& h) {
        segment = &segments[std::string{segment_file_name(h.generation).view()}];
        return ok();
    }
    result<void> see_record(log_record const&) { return ok(); }
    result<void> segment_bytes(std::uint64_t, const_bytes image) {
        segment->append(text(image));
        return ok();
    }
    result<void> end_segment(segment_header const&, lsn) { return ok(); }
    result<void> read(std::uint64_t) { return ok(); }
};

TEST_CASE("a session over an instance answers as the table, pair by pair", "[backup][external]") {
    for (std::size_t i = 0; i < state_count; ++i) {
        for (auto const& row : external_rows) {
            auto const state = external_states[i];
            CAPTURE(row.call, state);
            auto t = session_bed{state};
            auto const expected = parse_cell(row.cells[i], state);
            auto const marks = t.b.store().databases()[0].file->header().marks;
            auto const segments = segments_in(t.b.env, "/db");
            auto const was_active = t.state() != "none";
            auto const code = t.call(row.call);
            auto const after = t.state();
            CHECK(name_of(code) == expected.code);
            CHECK(after == expected.state);
            // Nothing but a whole session that ends well stamps, and it alone deletes.
            auto const ended_well = row.call == "end normal" && code == errc::none;
            auto const stamped = t.b.store().databases()[0].file->header().marks != marks;
            CHECK(stamped == ended_well);
            auto const now = segments_in(t.b.env, "/db");
            if (!ended_well)
                CHECK(std::includes(now.begin(), now.end(), segments.begin(), segments.end()));
            // The log is held as long as the session lives, and no longer.
            CHECK(t.b.store().is_pinned() == (after != "none"));
            auto const gone = was_active && after == "none" && !ended_well;
            CHECK(t.events.count(event_kind::backup_failed) == (gone ? 1U : 0U));
            CHECK(t.events.count(event_kind::backup_finished) == (ended_well ? 1U : 0U));
            CHECK(
                t.events.count(event_kind::backup_file_refused) ==
                (code == errc::file_not_listed ? 1U : 0U)
            );
            if (after == "none") { // and nothing is left in the way of another one
                good(t.session.begin());
                (void)good(t.session.end(external_end::abort));
            }
            good(std::move(t.b.db).close(close_how::stop_sessions));
        }
    }
}

TEST_CASE("a second session of an instance finds the first one", "[backup][external]") {
    auto b = bed{};
    auto one = session_type{b.db};
    auto two = session_type{b.db};
    good(one.begin());
    CHECK(code_of(two.begin()) == errc::backup_in_progress);
    CHECK(code_of(two.end(external_end::abort)) == errc::no_backup);
    CHECK(code_of(two.list_databases()) == errc::no_backup);
    CHECK(good(one.list_databases()).size() == 1);
    (void)good(one.end(external_end::abort));
    good(two.begin());
    CHECK(code_of(one.begin()) == errc::backup_in_progress);
    CHECK(good(run_in_place(b.store(), *std::make_unique<null_sink>())).databases == 1);
}

TEST_CASE("a session that is forgotten leaves no pin", "[backup][external]") {
    auto b = bed{};
    {
        auto session = session_type{b.db};
        good(session.begin());
        (void)good(session.open("main"));
        CHECK(b.store().is_pinned());
    }
    CHECK_FALSE(b.store().is_pinned());
    good(std::move(b.db).close());
}

TEST_CASE("an engine closes over a session only if it is told to", "[backup][external]") {
    auto b = bed{};
    auto session = session_type{b.db};
    good(session.begin());
    auto const handle = good(session.open("main"));
    CHECK(code_of(std::move(b.db).close()) == errc::backup_in_progress);
    CHECK(
        code_of(b.db.attach("other")) == errc::none
    ); // made anew: allowed, and not in the session
    CHECK(good(session.list_databases()).size() == 1);
    CHECK(code_of(session.open("other")) == errc::file_not_listed);
    CHECK(code_of(b.db.detach("main")) == errc::backup_in_progress);
    auto page = std::vector<std::byte>(4096);
    CHECK(good(session.read(handle, page)) == 4096);
    good(std::move(b.db).close(close_how::stop_sessions));
    CHECK(code_of(session.read(handle, page)) == errc::invalid_argument);
    CHECK(code_of(session.end(external_end::normal)) == errc::invalid_argument);
    CHECK(code_of(session.begin()) == errc::invalid_argument);
}

TEST_CASE(
    "a stopped service refuses every call until it is resumed", "[backup][external][engine]"
) {
    auto b = bed{};
    auto session = session_type{b.db};
    b.db.stop_service();
    CHECK(code_of(session.begin()) == errc::service_stopped);
    CHECK(code_of(b.db.put(b.rows, "a", "b")) == errc::service_stopped);
    CHECK(code_of(b.db.read()) == errc::service_stopped);
    b.db.resume_service();
    good(session.begin());
    b.db.stop_service();
    CHECK(code_of(session.list_databases()) == errc::service_stopped);
    CHECK(code_of(session.end(external_end::abort)) == errc::service_stopped);
    b.db.resume_service();
    CHECK(good(session.list_databases()).size() == 1);
    (void)good(session.end(external_end::abort));
    (void)good(b.db.put(b.rows, "a", "b"));
}

TEST_CASE("a database created meanwhile is not in the session", "[backup][external]") {
    auto b = bed{};
    b.work(50, 3);
    auto session = session_type{b.db};
    good(session.begin());
    good(b.db.attach("late"));
    auto files = copied_files{};
    copy_databases(session, files);
    copy_logs(session, files);
    auto const report = good(session.end(external_end::normal));
    CHECK(report.copied == std::vector<std::string>{"main"});
    CHECK_FALSE(good(b.store().find_database("late"))->file->header().mark(mark_kind::full).exists()
    );
}

TEST_CASE("a session delivers the bytes of a set", "[backup][external]") {
    auto b = bed{};
    b.work(300, 5);
    good(b.db.checkpoint());
    auto copied = backup_options{};
    copied.kind = backup_kind::copy;
    (void)good(run_backup_to(b.db, "/repo", copied));
    auto session = session_type{b.db};
    good(session.begin());
    auto files = copied_files{};
    copy_databases(session, files);
    copy_logs(session, files);
    auto const report = good(session.end(external_end::normal));
    CHECK(report.stamped);
    auto const& main = files.at("main");
    auto const pages = main.size() / 4096 - 1;
    auto const image = as_bytes(std::string_view{main});
    auto const header = good(database_header::decode(image.first(4096), reserved_bytes::checked));
    CHECK(header.state == database_state::backup_copy);
    CHECK(header.source_set == report.set);
    CHECK_FALSE(header.mark(mark_kind::full).exists()); // never its own stamp
    auto const* last = image.data() + pages * 4096;
    CHECK(
        page_codec<4096, crc32c>::verify_sum(
            last, header.nonce, page_number{static_cast<std::uint32_t>(pages)}
        ) == damage::none
    );
    auto const trailer = good(copy_trailer::decode<4096>(last));
    good(trailer.check_header(header));
    CHECK(trailer.redo_lsn == report.bounds.redo_lsn);
    CHECK(trailer.copy_end_lsn == report.bounds.copy_end_lsn);
    CHECK(report.bounds.copy_end_lsn <= report.bounds.end_lsn);

    // Nobody wrote in between: the pages of the set are the same, byte for byte, and so is the log
    // that both carry.
    auto sets = good(repository<env_type>::open(b.env, "/repo"));
    auto const known = good(list_sets(sets));
    auto directory = good(sets.open_set(known.front().name));
    auto images = set_images{};
    auto walker =
        set_walker<env_type, 4096, crc32c, set_images>{directory, known.front().manifest, images};
    (void)good(walker.run());
    CHECK(images.pages.size() == pages * 4096 - database_header_area_bytes);
    CHECK(main.compare(database_header_area_bytes, images.pages.size(), images.pages) == 0);
    auto shared = 0;
    for (auto const& [name, content] : images.segments) {
        if (files.find(name) == files.end()) continue;
        CHECK(files.at(name) == content);
        ++shared;
    }
    CHECK(shared > 0);
}

TEST_CASE("sections of a database may be read in any order, and twice", "[backup][external]") {
    auto b = bed{};
    b.work(400, 7);
    auto session = session_type{b.db};
    good(session.begin());
    auto const whole = good(read_whole(session, "main"));
    (void)good(session.end(external_end::abort));

    for (auto seed = 1U; seed <= rounds(10); ++seed) {
        auto random = std::mt19937{seed};
        good(session.begin());
        auto const size = good(session.list_databases()).front().bytes;
        auto const pages = size / 4096;
        auto read = std::vector<bool>(pages);
        auto const section = [&](std::uint64_t first, std::uint64_t count) {
            auto const handle = good(session.open("main", first * 4096));
            auto buffer = std::vector<std::byte>(count * 4096);
            auto const n = good(session.read(handle, buffer));
            CHECK(n == std::min(count, pages - first) * 4096);
            for (auto i = first; i < first + n / 4096; ++i) read[i] = true;
            auto const from = first * 4096;
            if (first * 4096 >= database_header_area_bytes && first + count < pages)
                CHECK(std::memcmp(buffer.data(), whole.data() + from, n) == 0);
            good(session.close(handle));
        };
        while (std::find(read.begin(), read.end() - 1, false) != read.end() - 1)
            section(random() % pages, 1 + random() % 200);
        auto const leave_trailer = seed % 3 == 0 && !read[pages - 1];
        if (!leave_trailer) section(pages - 1, 1);
        auto files = copied_files{};
        copy_logs(session, files);
        auto const ended = session.end(external_end::normal);
        CAPTURE(seed);
        CHECK(code_of(ended) == (leave_trailer ? errc::database_incomplete : errc::none));
    }
    CHECK(code_of(session.begin()) == errc::none);
    CHECK(code_of(session.open("main", 100)) == errc::invalid_argument);
    CHECK(code_of(session.open("main", whole.size() + 4096)) == errc::invalid_argument);
    CHECK(
        good(session.read(
            good(session.open("main", whole.size())),
            *std::make_unique<std::array<std::byte, 4096>>()
        )) == 0
    );
}

TEST_CASE("an idle session is stopped by the clock, and only end leaves it", "[backup][external]") {
    auto b = bed{};
    auto session = session_type{b.db};
    good(session.begin(backup_kind::full, {.session_timeout = mono_time{1}}));
    for (auto until = b.env.runtime.now() + mono_time{1000}; b.env.runtime.now() < until;) {
    }
    CHECK(code_of(session.list_databases()) == errc::backup_stopped);
    CHECK(session.now().stopped);
    CHECK_FALSE(b.store().is_pinned());
    CHECK(code_of(session.begin()) == errc::backup_in_progress); // its own, as before
    CHECK(code_of(session.end(external_end::normal)) == errc::backup_stopped);
    b.store().sessions().stop(); // of no session: without effect
    good(session.begin());
    CHECK(code_of(session.list_databases()) == errc::none);
    b.store().sessions().stop();
    CHECK(code_of(session.list_databases()) == errc::backup_stopped);
}

TEST_CASE("an incremental session needs archival logging and a full mark", "[backup][external]") {
    struct circular : bed_policies {
        using logging = circular_logging;
    };
    {
        auto b = bed<circular>{};
        auto session = external_backup<bed<circular>::traits>{b.db};
        CHECK(code_of(session.begin(backup_kind::incremental)) == errc::circular_logging);
        CHECK_FALSE(b.store().is_pinned());
        good(session.begin()); // a full is alone, and allowed
        (void)good(session.end(external_end::abort));
    }
    auto t = session_bed{"none"};
    CHECK(code_of(t.session.begin(backup_kind::incremental)) == errc::full_backup_required);
    CHECK(t.state() == "none");
    CHECK(code_of(t.session.begin(backup_kind::pages)) == errc::unsupported);
    CHECK_FALSE(t.b.store().is_pinned());
    t.full();
    auto const mark = [&](mark_kind kind) {
        return t.b.store().databases()[0].file->header().mark(kind);
    };
    auto const full_end = mark(mark_kind::full).end_lsn;
    auto end = full_end;
    for (auto const kind :
         {backup_kind::incremental, backup_kind::differential, backup_kind::incremental}) {
        t.b.work(300, 9);
        good(t.session.begin(kind));
        auto files = copied_files{};
        copy_logs(t.session, files);
        auto const report = good(t.session.end(external_end::normal));
        // What it lists begins where its base ended.
        CHECK(report.bounds.log_start == (kind == backup_kind::differential ? full_end : end));
        auto const slot =
            kind == backup_kind::differential ? mark_kind::differential : mark_kind::incremental;
        CHECK(mark(slot).set == report.set);
        CHECK(mark(mark_kind::full).end_lsn == full_end);
        if (kind == backup_kind::incremental) end = report.bounds.end_lsn;
    }
    good(t.b.db.attach("late"));
    CHECK(code_of(t.session.begin(backup_kind::incremental)) == errc::full_backup_required);
    t.full();
    CHECK_FALSE(mark(mark_kind::incremental).exists());
    CHECK_FALSE(mark(mark_kind::differential).exists());
}

TEST_CASE("a damaged page costs a session that database and no other", "[backup][external]") {
    auto t = session_bed{"none"};
    auto& b = t.b;
    good(b.db.attach("other"));
    auto const rows = good(b.db.open_tree("other", "rows"));
    (void)good(b.db.put(rows, "a", "b"));
    good(b.db.checkpoint());
    // A bit of a page that is not in memory: the engine is opened anew for that.
    good(std::move(b.db).close());
    {
        auto directory = good(b.env.storage.open_dir("/db", directory_how::must_exist));
        auto file = good(directory.open(file_name{"main"}, {.mode = open_mode::read_write}));
        auto byte = std::array<std::byte, 1>{};
        auto const at = database_header_area_bytes + 4 * 4096 + 200;
        good(read_full(file, byte, at));
        byte[0] ^= std::byte{1};
        good(write_full(file, byte, at));
    }
    auto db = good(engine<bed_policies>::open("/db", small_engine, b.env));
    auto session = session_type{db};
    good(session.begin(backup_kind::full, t.options()));
    auto const other = good(session.open("main", 0)); // a second handle of the same file
    auto const failed = read_whole(session, "main");
    REQUIRE(code_of(failed) == errc::page_damaged);
    CHECK(failed.error().page == page_number{database_header_area_bytes / 4096 + 4});
    CHECK(t.events.count(event_kind::backup_database_failed) == 1);
    auto page = std::vector<std::byte>(4096);
    CHECK(code_of(session.read(other, page)) == errc::invalid_argument); // closed with it
    CHECK(code_of(session.open("main")) == errc::file_not_listed);
    auto const left = good(session.list_databases());
    REQUIRE(left.size() == 1);
    CHECK(left.front().name == "other");
    auto files = copied_files{};
    copy_databases(session, files);
    copy_logs(session, files);
    auto const report = good(session.end(external_end::normal));
    CHECK(report.copied == std::vector<std::string>{"other"});
    CHECK(report.failed == std::vector<std::string>{"main"});
    auto& store = db.core().store;
    CHECK(good(store.find_database("other"))->file->header().mark(mark_kind::full).exists());
    CHECK_FALSE(good(store.find_database("main"))->file->header().mark(mark_kind::full).exists());

    // Alone it could not be stamped.
    good(session.begin());
    CHECK(code_of(read_whole(session, "main")) == errc::page_damaged);
    copy_logs(session, files);
    CHECK(code_of(session.end(external_end::normal)) == errc::database_incomplete);
}

TEST_CASE("a damaged segment ends the session, and nothing is stamped", "[backup][external]") {
    auto t = session_bed{"log+R"};
    auto& b = t.b;
    {
        auto directory = good(b.env.storage.open_dir("/db", directory_how::must_exist));
        auto file = good(directory.open(
            good(file_name::make(t.logs.front().name)), {.mode = open_mode::read_write}
        ));
        auto byte = std::array<std::byte, 1>{};
        good(read_full(file, byte, segment_header_bytes + 40));
        byte[0] ^= std::byte{1};
        good(write_full(file, byte, segment_header_bytes + 40));
    }
    auto const read = read_whole(t.session, t.logs.front().name);
    CHECK(code_of(read) == errc::log_damaged);
    CHECK(t.state() == "none");
    CHECK_FALSE(t.is_stamped());
    CHECK_FALSE(b.store().is_pinned());
    CHECK(t.events.count(event_kind::backup_failed) == 1);
    CHECK(code_of(t.session.end(external_end::normal)) == errc::no_backup);
}

TEST_CASE("a session in phases stamps as the other shape does", "[backup][external]") {
    auto b = bed{};
    b.work(100, 1);
    auto const copy = [](auto& phase, std::string const& name) {
        auto const handle = good(phase.open(name));
        auto buffer = std::vector<std::byte>(256 << 10);
        while (good(phase.read(handle, buffer)) != 0) {
        }
        good(phase.close(handle));
    };
    auto const marks = [&] { return b.store().databases()[0].file->header().marks; };
    {
        auto databases = good(begin_external(b.db));
        CHECK(code_of(begin_external(b.db)) == errc::backup_in_progress);
        for (auto const& one : good(databases.list())) copy(databases, one.name);
        auto logs = good(std::move(databases).to_logs());
        for (auto const& one : good(logs.list())) copy(logs, one.name);
        auto const report = good(std::move(logs).finish());
        CHECK(report.stamped);
        CHECK(marks()[0].set == report.set);
    }
    auto const before = marks();
    { // phases that are dropped, at any place
        auto dropped = good(begin_external(b.db));
        auto const handle = good(dropped.open("main"));
        CHECK(handle.bytes != 0);
    }
    {
        auto databases = good(begin_external(b.db));
        auto const left = good(std::move(databases).to_logs());
    }
    {
        auto logs = good(begin_external_logs(b.db));
        CHECK(code_of(std::move(logs).finish()) == errc::invalid_backup_sequence);
    }
    {
        auto logs = good(begin_external_logs(b.db));
        CHECK_FALSE(good(std::move(logs).abort()).stamped);
    }
    CHECK(code_of(begin_external(b.db, backup_kind::incremental)) == errc::invalid_argument);
    CHECK(code_of(begin_external_logs(b.db, backup_kind::full)) == errc::invalid_argument);
    CHECK(marks() == before);
    CHECK_FALSE(b.store().is_pinned());
}

TEST_CASE(
    "a truncation that was asked for comes behind the stamp, and no further", "[backup][external]"
) {
    auto b = bed{};
    b.work(2500, 1);
    good(b.db.checkpoint());
    auto session = session_type{b.db};
    auto const take = [&](backup_kind kind) {
        good(session.begin(kind));
        auto files = copied_files{};
        if (has_pages(kind)) copy_databases(session, files);
        copy_logs(session, files);
        auto names = std::vector<std::string>{};
        for (auto const& one : good(session.list_truncatable())) names.push_back(one.name);
        return names;
    };
    auto const before = segments_in(b.env, "/db");
    REQUIRE(before.size() > 4);
    // An abort deletes nothing, and so does an end that nobody asked to.
    auto listed = take(backup_kind::full);
    CHECK(listed.size() > 2);
    good(session.truncate());
    CHECK(good(session.list_truncatable()).size() == listed.size());
    CHECK(segments_in(b.env, "/db").front() == before.front());
    (void)good(session.end(external_end::abort));
    CHECK(segments_in(b.env, "/db").front() == before.front());
    // A copy is nothing that anybody relies on: it permits nothing.
    CHECK(take(backup_kind::copy).empty());
    good(session.truncate());
    CHECK(good(session.end(external_end::normal)).segments_deleted == 0);
    CHECK(segments_in(b.env, "/db").front() == before.front());
    for (auto const kind : {backup_kind::full, backup_kind::incremental}) {
        listed = take(kind);
        REQUIRE_FALSE(listed.empty());
        auto const now = segments_in(b.env, "/db");
        CHECK(std::equal(listed.begin(), listed.end(), now.begin()));
        good(session.truncate());
        auto const report = good(session.end(external_end::normal));
        CHECK_FALSE(report.truncate_problem);
        CHECK(report.segments_deleted == listed.size());
        auto const left = segments_in(b.env, "/db");
        for (auto const& name : listed)
            CHECK(std::find(left.begin(), left.end(), name) == left.end());
        CHECK(left.size() + listed.size() >= now.size());
        b.work(1500, 7);
        good(b.db.checkpoint());
    }
    // Another database without any backup holds all of it.
    good(b.db.attach("other"));
    auto const rest = segments_in(b.env, "/db").front();
    good(session.begin());
    auto files = copied_files{};
    files["main"] = good(read_whole(session, "main"));
    copy_logs(session, files);
    CHECK(good(session.list_truncatable()).empty());
    good(session.truncate());
    CHECK(good(session.end(external_end::normal)).segments_deleted == 0);
    CHECK(segments_in(b.env, "/db").front() == rest);
}

TEST_CASE("a segment that was taken away is counted when it should go", "[backup][external]") {
    auto b = bed{};
    b.work(2500, 1);
    good(b.db.checkpoint());
    auto events = heard{};
    auto session = session_type{b.db};
    good(session.begin(backup_kind::full, {.events = events.sink()}));
    auto files = copied_files{};
    copy_databases(session, files);
    copy_logs(session, files);
    auto const listed = good(session.list_truncatable());
    REQUIRE(listed.size() > 3);
    good(session.truncate());
    for (std::size_t i : {0U, 2U})
        good(b.store().where().remove(good(file_name::make(listed[i].name))));
    auto const report = good(session.end(external_end::normal));
    CHECK_FALSE(report.truncate_problem);
    CHECK(report.segments_missing == 2);
    CHECK(report.segments_deleted == listed.size() - 2);
    CHECK(events.count(event_kind::log_segment_missing) == 1);
    CHECK(events.all.back().kind == event_kind::backup_finished);
    for (auto const& one : events.all)
        if (one.kind == event_kind::log_segment_missing) CHECK(one.count == 2);
    for (auto const& name : segments_in(b.env, "/db"))
        for (auto const& one : listed) CHECK(name != one.name);
    b.work(500, 2);
    good(b.db.checkpoint());
    CHECK(good(b.db.truncate_log()).missing == 0);
    good(std::move(b.db).close());
    auto db = good(engine<bed_policies>::open("/db", small_engine, b.env));
    CHECK(rows_of(db, "main", "rows") == b.expected);
}

// The stamp of a session names no manifest: there is none, in no repository.
TEST_CASE("a set over an external full finds no base", "[backup][external]") {
    auto b = session_bed{"none"};
    b.full();
    b.b.work(50, 3);
    auto const incremental = run_backup_to(b.b.db, "/repo", {.kind = backup_kind::incremental});
    CHECK(code_of(incremental) == errc::base_not_here);
    CHECK_FALSE(b.b.store().is_pinned());
    auto const before = b.b.store().databases()[0].file->header().marks;
    CHECK(
        code_of(run_backup_to(b.b.db, "/repo", {.kind = backup_kind::differential})) ==
        errc::base_not_here
    );
    CHECK(b.b.store().databases()[0].file->header().marks == before);
    // With a full of its own it goes on; so does the session's chain.
    CHECK(run_backup_to(b.b.db, "/repo").has_value());
    CHECK(run_backup_to(b.b.db, "/repo", {.kind = backup_kind::incremental}).has_value());
}

} // namespace jetpp_test::external_session_cases
