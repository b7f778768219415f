// test/backup/hostile_sets.cpp - manifests that are sealed and say what cannot be, and sets beside the way.
#include <jetpp/backup.hpp>
#include <jetpp/backup/key_ring.hpp>
#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/backup/sealed_text.hpp>
#include <jetpp/restore.hpp>

#include <string>
#include <utility>

#include "bed.hpp"

namespace jetpp_test::hostile_sets_cases {

using namespace jetpp;

using env_type = bed<>::environment_type;
using traits = bed<>::traits;

struct hostile_bed : bed<> {
    backup_report full{};

    hostile_bed() {
        work(300, 1);
        full = good(run_backup_to(db, "/repo"));
    }
    [[nodiscard]] static std::string path_of(std::string const& set) { return "/repo/sets/" + set; }
    template <class F>
    void rewrite(std::string const& set, F&& change) {
        auto where = good(env.storage.open_dir(path_of(set), directory_how::must_exist));
        auto m = good(manifest_of<env_type>(where)).manifest;
        change(m);
        auto const sealed = good(seal_text(m.to_json()));
        good(where.remove(manifest_file_name));
        auto file = good(where.open(manifest_file_name, {.mode = open_mode::create_new}));
        good(write_full(file, as_bytes(sealed), 0));
    }
    void copy_set(std::string const& from, std::string const& to) {
        auto source = good(env.storage.open_dir(path_of(from), directory_how::must_exist));
        auto target = good(env.storage.open_dir(path_of(to), directory_how::create_if_missing));
        auto entries = array_list<directory_entry>{};
        good(source.list(entries));
        for (auto const& one : entries) {
            auto const content = good(read_file<env_type>(source, one.name, 64 << 20));
            auto file = good(target.open(one.name, {.mode = open_mode::create_new}));
            good(write_full(file, content.all(), 0));
        }
    }
    result<restore_report> restore(restore_options const& how = {}) {
        return run_restore<traits>(env, {"/repo"}, "/new", how);
    }
};

TEST_CASE("a set whose manifest cannot be read is told of", "[backup][hostile]") {
    auto b = hostile_bed{};
    auto const rows = b.expected;
    b.work(300, 2);
    auto const newest = good(run_backup_to(b.db, "/repo"));
    good(std::move(b.db).close());
    auto where = good(b.env.storage.open_dir(b.path_of(newest.name), directory_how::must_exist));
    {
        auto file = good(where.open(manifest_file_name, {.mode = open_mode::read_write}));
        auto one = std::array<std::byte, 1>{};
        good(read_full(file, one, 100));
        one[0] ^= std::byte{1};
        good(write_full(file, one, 100));
    }
    auto const done = good(b.restore());
    REQUIRE(done.passed_over.size() == 1);
    CHECK(done.passed_over[0].where == b.path_of(newest.name));
    CHECK(done.passed_over[0].why.code == errc::set_damaged);
    expect_rows(b.env, "/new", rows);
}

TEST_CASE("pages that were whole before the backup began are damage", "[backup][hostile]") {
    auto b = hostile_bed{};
    good(std::move(b.db).close());
    b.rewrite(b.full.name, [](backup_manifest& m) { m.copy_end_lsn = lsn{1}; });
    auto how = restore_options{};
    how.to_lsn = lsn{5};
    CHECK_FALSE(b.restore(how));
    how.set = text_of(b.full.set);
    CHECK(code_of(b.restore(how)) != errc::none);
}

TEST_CASE("a set that ends beyond every log stops no other", "[backup][hostile]") {
    auto b = hostile_bed{};
    good(std::move(b.db).close());
    auto const other = std::string{"20990101T000000Z-full-ff"};
    b.copy_set(b.full.name, other);
    b.rewrite(other, [](backup_manifest& m) {
        m.set = make_uuid(0xdead, 0xbeef);
        m.begin_lsn = m.end_lsn + 8192;
        m.copy_end_lsn = m.end_lsn + 8200;
        m.end_lsn = lsn_limit;
        m.log.back().to = m.end_lsn;
    });
    auto how = restore_options{};
    how.set = text_of(b.full.set);
    (void)good(b.restore(how));
    expect_rows(b.env, "/new", b.expected);
}

TEST_CASE("a name that nobody bears is sought once", "[backup][hostile]") {
    auto b = hostile_bed{};
    for (auto i = 2U; i < 7; ++i) {
        b.work(200, i);
        (void)good(run_backup_to(b.db, "/repo"));
    }
    good(std::move(b.db).close());
    auto read = std::uint64_t{0};
    auto how = restore_options{};
    how.on_read = [&](std::uint64_t bytes) -> result<void> {
        read += bytes;
        return ok();
    };
    how.databases = {"mian"};
    CHECK(code_of(b.restore(how)) == errc::not_found);
    auto const sought = std::exchange(read, 0);
    how.databases = {};
    (void)good(b.restore(how));
    CHECK(sought <= read);
}

// Sets with an author, of two timelines; and a manifest that anybody could have written, which says
// that the younger one left earlier.
struct forked_bed {
    env_type env{};
    key_ring keys{};
    model expected{};
    std::string base{}; // the set of the older timeline
    std::string first{};

    explicit forked_bed(bool encrypted = true) {
        keys.add_key(secret_key{});
        auto how = backup_options{};
        if (encrypted) how.encryption = {.cipher = &aes_256_gcm, .keys = &keys};
        auto b = bed<>{env};
        b.work(300, 1);
        base = good(run_backup_to(b.db, "/repo", how)).name;
        good(std::move(b.db).close());
        (void)good(restore("/forked"));
        auto db = good(bed<>::engine_type::open("/forked", small_engine, env));
        auto const rows = good(db.open_tree("main", "rows"));
        first = good(run_backup_to(db, "/repo", how)).name;
        (void)good(db.put(rows, "new", "row"));
        expected = rows_of(db, "main", "rows");
        (void)good(run_backup_to(db, "/repo", how));
        good(std::move(db).close());
    }
    [[nodiscard]] result<restore_report> restore(path_view where) {
        auto options = restore_options{};
        options.access.keys = &keys;
        return run_restore<traits>(env, {"/repo"}, where, options);
    }
    template <class Change>
    void add_manifest(Change&& change) {
        auto sets = good(repository<env_type>::open(env, "/repo"));
        auto name = file_name{};
        name.add(first);
        auto from = good(sets.open_set(name));
        auto m = good(manifest_of<env_type>(from)).manifest;
        m.set = make_uuid(0xdead, 0xbeef);
        change(m);
        auto into = good(sets.make_set(file_name{"20200101T000000Z-full-ff"}));
        auto file = good(into.open(manifest_file_name, {.mode = open_mode::create_new}));
        good(write_full(file, as_bytes(good(seal_text(m.to_json()))), 0));
    }
};

TEST_CASE("nobody without an author moves a fork of those who have one", "[backup][hostile]") {
    auto const forges = GENERATE(false, true);
    CAPTURE(forges);
    auto w = forked_bed{};
    w.add_manifest([&](backup_manifest& m) {
        m.ancestry.at(0).fork_lsn = lsn{m.segment_bytes + segment_header_bytes};
        if (forges) return; // cipher, slots and HMAC of another set
        m.cipher.clear();
        m.key_slots.clear();
        m.hmac.reset();
    });
    (void)good(w.restore("/new"));
    expect_rows(w.env, "/new", w.expected);
}

TEST_CASE("where nobody has an author the earlier fork counts", "[backup][hostile]") {
    auto w = forked_bed{false};
    w.add_manifest([&](backup_manifest& m) {
        m.ancestry.at(0).fork_lsn = lsn{m.segment_bytes + segment_header_bytes};
    });
    CHECK(code_of(w.restore("/new")) == errc::ambiguous_source);
}

TEST_CASE("what one without an author tells besides is believed", "[backup][hostile]") {
    auto w = forked_bed{};
    auto const oldest = timeline_id{7};
    w.add_manifest([&](backup_manifest& m) {
        m.ancestry.push_back({oldest, lsn{m.segment_bytes + segment_header_bytes}});
        m.cipher.clear();
        m.key_slots.clear();
        m.hmac.reset();
    });
    auto pool = set_pool<env_type>{};
    good(pool.add_source(w.env, "/repo"));
    auto access = set_access{};
    access.keys = &w.keys;
    good(pool.believe(access));
    for (std::size_t i = 0; i < pool.size(); ++i) {
        auto const& m = pool.manifest(i);
        auto const younger = m.timeline == pool.manifest(good(pool.choose(""))).timeline;
        CHECK(m.ancestry.size() == (younger ? 2U : 0U));
    }
}

} // namespace jetpp_test::hostile_sets_cases
