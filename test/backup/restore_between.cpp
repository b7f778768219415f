// test/backup/restore_between.cpp - restores where somebody comes between, the file system can do less,
// or it is the target or the caller that ends them.
#include <jetpp/backup.hpp>
#include <jetpp/restore.hpp>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "bed.hpp"

namespace jetpp_test::restore_between_cases {

using namespace jetpp;

// Storage that does something of ours before a lock is asked for, and may know no second names.
struct hooks {
    std::function<void()> before_lock;
    bool links = true;
};
inline hooks now;

struct hooked_directory : memory_storage::directory {
    using base = memory_storage::directory;
    using file = base::file;
    using lock = base::lock;
    using ring = base::ring;
    hooked_directory() noexcept = default;
    explicit hooked_directory(base&& of) noexcept : base{std::move(of)} {}

    [[nodiscard]] result<void> link(
        file_name const& from, hooked_directory& into, file_name const& to
    ) noexcept {
        if (!now.links) return error{.code = errc::io};
        return base::link(from, into, to);
    }
    [[nodiscard]] result<lock> acquire_lock(
        file_name const& name, lock_how how = lock_how::exclusive
    ) noexcept {
        if (auto const f = std::exchange(now.before_lock, nullptr)) f();
        return base::acquire_lock(name, how);
    }
    [[nodiscard]] result<hooked_directory> open_dir(
        file_name const& name, directory_how how
    ) noexcept {
        BOOST_OUTCOME_TRY(auto made, base::open_dir(name, how));
        return hooked_directory{std::move(made)};
    }
};
struct hooked_storage {
    using directory = hooked_directory;
    memory_storage inner{};
    [[nodiscard]] result<directory> open_dir(path_view path, directory_how how) const noexcept {
        BOOST_OUTCOME_TRY(auto made, inner.open_dir(path, how));
        return hooked_directory{std::move(made)};
    }
};
struct hooked_policies : bed_policies {
    using storage = hooked_storage;
};
using hooked_engine = engine<hooked_policies>;
using hooked_env = hooked_engine::environment_type;
using traits = bed<hooked_policies>::traits;

open_options existing() {
    auto options = small_engine;
    options.create = create_how::must_exist;
    return options;
}

// A repository with a full; the instance is closed.
struct hooked_bed : bed<hooked_policies> {
    hooked_bed() {
        now = {};
        work(200, 1);
        (void)good(run_backup_to(db, "/repo"));
    }
    ~hooked_bed() { now = {}; }

    result<restore_report> restore(path_view to, restore_options const& how = {}) {
        return run_restore<traits>(env, {"/repo"}, to, how);
    }
    void put_into(path_view where, std::string const& database, open_options const& how) {
        auto opened = good(hooked_engine::open(where, how, env));
        good(opened.attach(database));
        (void)good(opened.put(good(opened.open_tree(database, "rows")), "mine", "after"));
        good(std::move(opened).close());
    }
    void expect_mine(path_view where, std::string const& database) {
        auto opened = good(hooked_engine::open(where, existing(), env));
        CHECK(rows_of(opened, database, "rows").contains("mine"));
        good(std::move(opened).close());
    }
    std::vector<std::string> names_in(path_view path) {
        auto where = good(env.storage.open_dir(path, directory_how::must_exist));
        auto entries = array_list<directory_entry>{};
        good(where.list(entries));
        auto names = std::vector<std::string>{};
        for (auto const& one : entries) names.emplace_back(one.name.view());
        return names;
    }
};

TEST_CASE(
    "what came into the directory before its lock is not the restore's", "[backup][between]"
) {
    auto b = hooked_bed{};
    SECTION("another restore, and work since") {
        now.before_lock = [&] {
            (void)good(b.restore("/new"));
            auto opened = good(hooked_engine::open("/new", existing(), b.env));
            (void)good(opened.put(good(opened.open_tree("main", "rows")), "mine", "after"));
            good(std::move(opened).close());
        };
        CHECK(code_of(b.restore("/new")) == errc::would_overwrite);
        b.expect_mine("/new", "main");
    }
    SECTION("a new instance") {
        now.before_lock = [&] { b.put_into("/new", "other", small_engine); };
        CHECK(code_of(b.restore("/new")) == errc::would_overwrite);
        b.expect_mine("/new", "other");
    }
    SECTION("another restore, while this one is about to recover") {
        now.before_lock = [&] {
            now.before_lock = [&] {
                (void)good(b.restore("/new"));
                auto opened = good(hooked_engine::open("/new", existing(), b.env));
                (void)good(opened.put(good(opened.open_tree("main", "rows")), "mine", "after"));
                good(std::move(opened).close());
            };
        };
        CHECK(code_of(b.restore("/new")) == errc::in_use);
        b.expect_mine("/new", "main");
    }
}

TEST_CASE("where files have one name each nothing is exchanged", "[backup][between]") {
    auto b = hooked_bed{};
    b.work(100, 2);
    auto const rows = b.expected;
    good(std::move(b.db).close());
    auto const before = b.names_in("/db");
    now.links = false;
    for (auto const kind : {0, 1, 2}) {
        CAPTURE(kind);
        auto how = restore_options{};
        how.force = true;
        how.delta = kind == 1;
        how.live = kind == 2;
        auto const refused = b.restore("/db", how);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == errc::io);
        CHECK(refused.error().file == file_kind::directory);
        CHECK(b.names_in("/db") == before);
    }
    expect_rows<hooked_policies>(b.env, "/db", rows, existing());
}

using plain_env = bed<>::environment_type;
using plain_traits = bed<>::traits;

TEST_CASE("a full target is no set's fault", "[backup][between]") {
    auto b = bed<>{plain_env{.storage = memory_storage{64 << 20}}};
    b.work(1500, 1);
    (void)good(run_backup_to(b.db, "/repo"));
    good(std::move(b.db).close());
    auto where = good(b.env.storage.open_dir("/junk", directory_how::create_if_missing));
    auto const left = good(where.space()).free_bytes;
    auto file = good(where.open(file_name{"junk"}, {.mode = open_mode::create_new}));
    good(file.allocate(0, left - (640 << 10)));
    auto pool = set_pool<plain_env>{};
    good(pool.add_source(b.env, "/repo"));
    auto const how = restore_options{};
    auto run = restore_run<plain_traits>{b.env, pool, how};
    good(run.resolve());
    auto const done = run.restore("/new", restore_ending::publish);
    REQUIRE_FALSE(done);
    CHECK(done.error().code == errc::disk_full);
    CHECK(done.error().file == file_kind::directory);
    CHECK_FALSE(run.trouble().set);
}

TEST_CASE("who is told of progress ends a restore, whatever he says", "[backup][between]") {
    for (auto const code : {errc::io, errc::cancelled}) {
        auto b = bed<>{};
        b.work(300, 1);
        (void)good(run_backup_to(b.db, "/repo"));
        b.work(300, 2);
        (void)good(run_backup_to(b.db, "/repo"));
        good(std::move(b.db).close());
        auto calls = 0;
        auto how = restore_options{};
        how.on_read = [&](std::uint64_t) -> result<void> {
            if (++calls == 2) return error{.code = code};
            return ok();
        };
        CHECK(code_of(run_restore<plain_traits>(b.env, {"/repo"}, "/new", how)) == code);
        CHECK(calls == 2);
    }
}

// A restore by delta was stopped, and one of the databases it lay over is of no use.
TEST_CASE("nothing is rolled forward beside a file that is half laid", "[backup][between]") {
    auto b = bed<>{};
    b.work(300, 1);
    good(b.db.attach("young"));
    (void)good(b.db.put(good(b.db.open_tree("young", "rows")), "y", "1"));
    (void)good(run_backup_to(b.db, "/repo"));
    good(std::move(b.db).close());
    auto where = good(b.env.storage.open_dir("/db", directory_how::must_exist));
    {
        auto file = good(where.open(file_name{"main"}, {.mode = open_mode::read_write}));
        auto area = good(aligned_buffer::create(database_header_area_bytes));
        good(read_full(file, area.all(), 0));
        for (auto const copy : {header_copy::a, header_copy::b}) {
            auto const block =
                area.part(static_cast<std::size_t>(offset_of(copy)), database_header::size);
            auto header = good(database_header::decode(block));
            header.state = database_state::restoring;
            header.encode(block);
        }
        good(write_full(file, area.all(), 0));
    }
    good(where.remove(file_name{"young"}));
    auto live = restore_options{};
    live.live = true;
    auto const refused = run_restore<plain_traits>(b.env, {"/repo"}, "/db", live);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::needs_restore);
    CHECK(refused.error().file == file_kind::database);
    // Every other way is open.
    auto force = restore_options{};
    force.force = true;
    (void)good(run_restore<plain_traits>(b.env, {"/repo"}, "/db", force));
}

TEST_CASE(
    "of two that go on with one restore neither takes away what the other has", "[backup][restore]"
) {
    auto b = bed{};
    using target = restore_target<bed<>::environment_type>;
    auto plan = restore_journal{.timeline = {77}};
    plan.plan[0] = std::byte{1};
    auto const laid = file_name{"jet.dw"};
    {
        auto first = good(target::open(b.env, "/new", plan, true));
        REQUIRE_FALSE(first.goes_on());
        (void)good(first.where().open(laid, {.mode = open_mode::create_new}));
        good(first.begin_recovery(plan)); // and no further
    }
    auto one = good(target::open(b.env, "/new", plan, true));
    REQUIRE(one.goes_on());
    good(one.repeat_recovery());
    auto other = good(target::open(b.env, "/new", plan, true));
    REQUIRE(other.goes_on());
    good(other.repeat_recovery());
    one.give_up();
    CHECK(other.where().open(laid, {.mode = open_mode::read_only}));
    CHECK(code_of(one.publish()) == errc::in_use);
    good(other.publish());
    CHECK(other.where().open(laid, {.mode = open_mode::read_only}));
    CHECK_FALSE(good(read_restore_journal<bed<>::environment_type>(other.where())));
}

} // namespace jetpp_test::restore_between_cases
