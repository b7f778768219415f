// test/backup/lost_tail.cpp - a log that ends below what a backup has of it goes on in no instance.
#include <jetpp/backup.hpp>
#include <jetpp/restore.hpp>

#include <string>
#include <utility>

#include "bed.hpp"

namespace jetpp_test::lost_tail_cases {

using namespace jetpp;

using tail_bed = bed<>;
using env_type = tail_bed::environment_type;
using traits = tail_bed::traits;

// After a set was published and stamped, the machine stops and loses the segment that was begun when
// the log was sealed for it.
struct cut_bed : tail_bed {
    backup_report set{};
    timeline_id timeline{};

    cut_bed() {
        work(1200, 1);
        set = good(run_backup_to(db, "/repo"));
        timeline = store().timeline();
        good(store().log().flush_all());
        auto from = good(env.storage.open_dir("/db", directory_how::must_exist));
        auto to = good(env.storage.open_dir("/cut", directory_how::create_if_missing));
        auto entries = array_list<directory_entry>{};
        good(from.list(entries));
        for (auto const& one : entries) {
            auto const generation = parse_segment_name(one.name.view());
            if (one.name == lock_file_name ||
                (generation && *generation * small_engine.segment_bytes >= set.end_lsn.value))
                continue;
            auto const content = good(read_file<env_type>(from, one.name, 64 << 20));
            auto file = good(to.open(one.name, {.mode = open_mode::create_new}));
            good(write_full(file, content.all(), 0));
        }
        good(std::move(db).close());
    }
};

TEST_CASE("an instance whose log ends below a stamped backup is refused", "[backup][tail]") {
    auto b = cut_bed{};
    auto options = small_engine;
    options.create = create_how::must_exist;
    auto const refused = tail_bed::engine_type::open("/cut", options, b.env);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::log_tail_lost);
    auto const size = small_engine.segment_bytes;
    CHECK(refused.error().at == first_lsn(generation_of(b.set.end_lsn, size), size));
    // What is left, and the set: a history of its own.
    auto const done = good(run_restore<traits>(b.env, {"/repo", "/cut"}, "/new"));
    CHECK(done.timeline != b.timeline);
    expect_rows(b.env, "/new", b.expected, options);
}

TEST_CASE("nothing is rolled forward in a log that ends below a set", "[backup][tail]") {
    auto b = cut_bed{};
    auto where = good(b.env.storage.open_dir("/cut", directory_how::must_exist));
    auto how = restore_options{};
    how.live = true;
    SECTION("as the header of another copy says") {
        how.force = true;
    }
    SECTION("as the set itself says") {
        good(where.remove(file_name{"main"}));
        good(where.remove(checkpoint_file_name));
        auto const last = generation_of(b.set.end_lsn - 1, small_engine.segment_bytes);
        REQUIRE(last > 2);
        good(where.remove(segment_file_name(last)));
    }
    auto const refused = run_restore<traits>(b.env, {"/repo"}, "/cut", how);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::log_tail_lost);
    auto entries = array_list<directory_entry>{};
    good(where.list(entries));
    for (auto const& one : entries) CHECK(one.kind == entry_kind::file);
}

} // namespace jetpp_test::lost_tail_cases
