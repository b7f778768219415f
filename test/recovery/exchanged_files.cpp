// test/recovery/exchanged_files.cpp - a file that was exchanged for another copy of itself while the
// engine was down.
#include <jetpp/core/describe.hpp>
#include <jetpp/engine/engine.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/env/memory_storage.hpp>

#include <string>
#include <utility>

#include "../catch.hpp"

namespace jetpp_test::exchanged_files_cases {

using namespace jetpp;

template <class Logging>
struct policies : default_policies {
    static constexpr std::size_t page_size = 4096;
    using logging = Logging;
    using threading = single_thread;
    using storage = memory_storage;
};

template <class T>
T good(result<T>&& got) {
    if (!got) FAIL(describe(got.error()).c_str());
    return std::move(got).value();
}
void good(result<void>&& got) {
    if (!got) FAIL(describe(got.error()).c_str());
}

template <class Logging>
struct bed {
    using engine_type = engine<policies<Logging>>;
    using env_type = typename engine_type::environment_type;
    using directory = typename env_type::directory;

    env_type env{};
    path_view path{"/db"};

    [[nodiscard]] result<engine_type> open() {
        return engine_type::open(
            path,
            {.buffer_bytes = 1 << 20, .segment_bytes = 128 << 10, .log_ring_bytes = 128 << 10},
            env
        );
    }
    void put(engine_type& db, std::string_view database, int from, int to) {
        auto const rows = good(db.open_tree(database, "rows"));
        for (auto i = from; i < to; ++i)
            (void)good(db.put(rows, "key" + std::to_string(i), std::string(200, 'v')));
    }
    std::size_t count(engine_type& db, std::string_view database) {
        auto const rows = good(db.open_tree(database, "rows"));
        auto found = std::size_t{0};
        auto const now = good(db.read());
        good(now.for_each(rows, {}, [&](row const&) { ++found; }));
        return found;
    }
    directory where(path_view of) {
        return good(env.storage.open_dir(of, directory_how::create_if_missing));
    }
    // What a crash leaves of a directory whose every write came through.
    void copy_all(path_view to) {
        auto from = where(path);
        auto into = where(to);
        auto entries = array_list<directory_entry>{};
        good(from.list(entries));
        for (auto const& one : entries)
            if (one.name.view() != "jet.lock") write(into, one.name, read(from, one.name));
    }
    aligned_buffer read(directory& from, file_name const& name) {
        auto file = good(from.open(name, {.mode = open_mode::read_only}));
        auto const size = good(file.size());
        auto content = good(aligned_buffer::create(static_cast<std::size_t>(size)));
        (void)good(read_up_to(file, content.all(), 0));
        return content;
    }
    void write(directory& into, file_name const& name, aligned_buffer const& content) {
        auto gone = into.remove(name);
        CHECK((gone || gone.error().code == errc::not_found));
        auto file = good(into.open(name, {.mode = open_mode::create_new}));
        good(write_full(file, content.all(), 0));
    }
    // Is the exchanged file refused by name, and is the right one taken?
    void expect_refused(file_name const& name, aligned_buffer const& older) {
        auto there = where(path);
        auto const right = read(there, name);
        write(there, name, older);
        auto const refused = open();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::history_break);
        CHECK(refused.error().file == file_kind::database);
        CHECK(refused.error().database != 0);
        write(there, name, right);
    }
};

TEMPLATE_TEST_CASE(
    "a clean file that was exchanged while the engine was down is refused",
    "[recovery][exchanged]",
    archival_logging,
    circular_logging
) {
    auto b = bed<TestType>{};
    auto const name = file_name{"main"};
    {
        auto db = good(b.open());
        good(db.attach("main"));
        good(db.attach("quiet"));
        b.put(db, "main", 0, 100);
        b.put(db, "quiet", 0, 100);
        good(std::move(db).close());
    }
    auto there = b.where(b.path);
    auto const older = b.read(there, name);
    {
        auto db = good(b.open());
        b.put(db, "main", 100, 200);
        good(db.checkpoint());
        b.put(db, "main", 200, 300);
        good(db.checkpoint());
        b.put(db, "main", 300, 310);
        b.copy_all("/crashed");
        good(std::move(db).close());
    }
    SECTION("after a close") {
        b.expect_refused(name, older);
        auto db = good(b.open());
        CHECK(b.count(db, "main") == 310);
        CHECK(b.count(db, "quiet") == 100);
    }
    SECTION("after a crash") {
        b.path = "/crashed";
        b.expect_refused(name, older);
        {
            // The other one was clean all the time, and is what it should be.
            auto db = good(b.open());
            CHECK(b.count(db, "main") == 310);
            CHECK(b.count(db, "quiet") == 100);
            good(db.checkpoint());
            b.copy_all("/again");
        }
        b.path = "/again";
        b.expect_refused(name, older);
        auto db = good(b.open());
        CHECK(b.count(db, "main") == 310);
        b.put(db, "quiet", 100, 110);
        CHECK(b.count(db, "quiet") == 110);
    }
    SECTION("for a younger one") {
        auto const younger = b.read(there, name);
        {
            auto db = good(b.open());
            b.put(db, "main", 310, 320);
            good(std::move(db).close());
        }
        b.expect_refused(name, younger);
        auto db = good(b.open());
        CHECK(b.count(db, "main") == 320);
    }
    SECTION("by one from before it was attached anew") {
        {
            auto db = good(b.open());
            good(db.detach("main"));
            good(db.attach("main"));
            good(std::move(db).close());
        }
        b.expect_refused(name, older);
        auto db = good(b.open());
        CHECK(b.count(db, "main") == 310);
    }
}

} // namespace jetpp_test::exchanged_files_cases
