// test/backup/live_source.cpp - what survived of an instance's log leads a restore beyond the last set.
#include <jetpp/backup.hpp>
#include <jetpp/backup/live_source.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::live_source_cases {

using namespace jetpp;

using traits = bed<>::traits;
using env_type = bed<>::environment_type;
using sim_engine = engine<sim_policies>;
using sim_env = sim_engine::environment_type;

constexpr auto existing = [] {
    auto options = small_engine;
    options.create = create_how::must_exist;
    return options;
}();

std::vector<std::string> files_in(env_type env, path_view path) {
    auto where = good(env.storage.open_dir(path, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(where.list(entries));
    auto names = std::vector<std::string>{};
    for (auto const& entry : entries)
        if (entry.kind == entry_kind::file) names.emplace_back(entry.name.view());
    std::sort(names.begin(), names.end());
    return names;
}
void lose(env_type env, path_view path, std::string_view name) {
    auto where = good(env.storage.open_dir(path, directory_how::must_exist));
    good(where.remove(good(file_name::make(name))));
}
void copy_files(env_type env, path_view from, path_view to) {
    auto source = good(env.storage.open_dir(from, directory_how::must_exist));
    auto target = good(env.storage.open_dir(to, directory_how::create_if_missing));
    for (auto const& text : files_in(env, from)) {
        auto const name = good(file_name::make(text));
        auto const content = good(read_file<env_type>(source, name, std::uint64_t{1} << 30));
        auto file = good(target.open(name, {.mode = open_mode::create_new}));
        if (content.size() != 0) good(write_full(file, content.all(), 0));
    }
}

// A full, an incremental, and more log than they hold; every commit of that is known.
struct surviving_bed : bed<> {
    struct moment {
        lsn at{};
        std::string key{};
        std::string value{};
    };
    std::vector<moment> moments{};
    model before{};
    backup_report last{};
    int restores = 0;

    explicit surviving_bed(backup_options const& how = {}) {
        work(400, 1);
        (void)good(run_backup_to(db, "/repo", how));
        work(600, 2);
        auto log = how;
        log.kind = backup_kind::incremental;
        last = good(run_backup_to(db, "/repo", log));
        before = expected;
        tell(900, 3);
    }
    void tell(unsigned commits, unsigned seed) {
        auto random = std::mt19937{seed};
        for (auto i = 0U; i < commits; ++i) {
            auto const key = "key" + std::to_string(random() % 500);
            auto const value = std::string(1 + random() % 400, static_cast<char>('a' + i % 26));
            auto const told = good(db.put(rows, key, value, durability::memory));
            moments.push_back({told.at, key, value});
            expected[key] = value;
            if (i % 64 == 0) (void)good(db.poll());
        }
    }
    [[nodiscard]] model rows_after(std::size_t n) const {
        auto made = before;
        for (std::size_t i = 0; i < n; ++i) made[moments[i].key] = moments[i].value;
        return made;
    }
    [[nodiscard]] result<restore_report> restore(
        restore_options const& how = {}, std::initializer_list<path_view> sources = {"/repo", "/db"}
    ) {
        where = "/at-" + std::to_string(++restores);
        return run_restore<traits>(env, sources, where, how);
    }
    std::string where{};
};

TEST_CASE("the log of a lost instance leads beyond the last set, to any moment", "[backup][live]") {
    auto b = surviving_bed{{.truncate = true}};
    // Somebody is unfinished at the end.
    auto open = good(b.db.begin());
    good(open.put(b.rows, "unfinished", "row"));
    (void)good(b.db.put(b.rows, "key1", "last"));
    b.expected["key1"] = "last";
    auto const last_commit = b.db.core().store.log().durable_lsn();
    std::move(open).rollback();
    auto const timeline = b.store().timeline();
    good(std::move(b.db).close());
    lose(b.env, "/db", "main");
    auto const files = files_in(b.env, "/db");

    auto const done = good(b.restore());
    CHECK(done.set == good(b.restore()).set);
    CHECK(done.last_commit > b.moments.back().at);
    CHECK(done.reached >= last_commit);
    CHECK(done.reached > b.last.end_lsn);
    CHECK(done.fork_lsn <= done.reached);
    CHECK(done.passed_over.empty());
    expect_rows(b.env, b.where, b.expected, existing);
    CHECK(files_in(b.env, "/db") == files); // nothing was changed

    auto const restores = std::min<std::size_t>(b.moments.size(), rounds(20));
    for (std::size_t i = 0; i < b.moments.size(); i += b.moments.size() / restores) {
        CAPTURE(i);
        auto how = restore_options{};
        how.to_lsn = b.moments[i].at;
        (void)good(b.restore(how));
        expect_rows(b.env, b.where, b.rows_after(i + 1), existing);
        how.to_lsn = lsn{b.moments[i].at.value - 1};
        (void)good(b.restore(how));
        expect_rows(b.env, b.where, b.rows_after(i), existing);
    }
    // Nobody promises what was never logged.
    auto how = restore_options{};
    how.to_lsn = done.reached + 64;
    auto const beyond = b.restore(how);
    REQUIRE_FALSE(beyond);
    CHECK(beyond.error().code == errc::target_not_reached);
    CHECK(beyond.error().at == done.reached);
    // A set that is named is its own end, whatever else is there.
    how = {};
    how.set = text_of(b.last.set);
    CHECK(good(b.restore(how)).reached == b.last.end_lsn);
    expect_rows(b.env, b.where, b.before, existing);

    // The result is an instance like any other: what it logs is another history.
    (void)good(b.restore());
    auto db = good(engine<bed_policies>::open(b.where, existing, b.env));
    CHECK(db.core().store.timeline() != timeline);
    (void)good(db.put(good(db.open_tree("main", "rows")), "after", "wards"));
    (void)good(run_backup_to(db, "/repo"));
    good(std::move(db).close());
    b.expected["after"] = "wards";
    (void)good(b.restore({}, {"/repo"}));
    expect_rows(b.env, b.where, b.expected, existing);
}

TEST_CASE("a time and a label are found in the log that survived", "[backup][live]") {
    auto b = surviving_bed{};
    (void)good(b.db.mark_restore_point("here"));
    auto const at_label = b.expected;
    b.tell(50, 4);
    good(std::move(b.db).close());
    auto how = restore_options{};
    how.to_point = "here";
    CHECK(code_of(b.restore(how, {"/repo"})) == errc::not_found);
    (void)good(b.restore(how));
    expect_rows(b.env, b.where, at_label, existing);
    how = {};
    how.to_time = wall_time{b.env.runtime.wall().ns + 3'600'000'000'000};
    CHECK(code_of(b.restore(how)) == errc::target_not_reached);
}

TEST_CASE("an instance that was restored once has older sets behind its log", "[backup][live]") {
    auto b = surviving_bed{};
    good(std::move(b.db).close());
    auto how = restore_options{};
    how.to_lsn = b.moments[300].at;
    (void)good(run_restore<traits>(b.env, {"/repo", "/db"}, "/second", how));
    auto expected = b.rows_after(301);
    {
        auto db = good(engine<bed_policies>::open("/second", existing, b.env));
        auto const rows = good(db.open_tree("main", "rows"));
        auto const put = [&](int from, int to) {
            for (auto i = from; i < to; ++i) {
                auto const key = "second" + std::to_string(i);
                (void)good(db.put(rows, key, std::string(500, 's'), durability::memory));
                expected[key] = std::string(500, 's');
            }
        };
        put(0, 100);
        (void)good(run_backup_to(db, "/repo", {.kind = backup_kind::copy}));
        put(50, 400);
        good(std::move(db).close());
    }
    // Both went on behind the fork: which of them is meant must be said.
    CHECK(code_of(b.restore({}, {"/repo", "/db", "/second"})) == errc::ambiguous_source);
    // However little its newest segments say of it.
    for (auto i = 0; i < 3; ++i)
        good(engine<bed_policies>::open("/db", existing, b.env).value().close());
    CHECK(code_of(b.restore({}, {"/repo", "/db"})) == errc::ambiguous_source);
    copy_files(b.env, "/db", "/short");
    auto const size = small_engine.segment_bytes;
    auto const committed = generation_of(b.moments.back().at, size);
    for (auto const& name : files_in(b.env, "/short"))
        if (auto const g = parse_segment_name(name); g && *g <= committed)
            lose(b.env, "/short", name);
    CHECK(code_of(b.restore({}, {"/repo", "/short"})) == errc::ambiguous_source);
    how = {};
    how.set = "/second"; // by the beginning of its name
    auto const named = b.restore(how, {"/repo", "/db", "/second"});
    if (!named) FAIL(describe(named.error()).c_str());
    expect_rows(b.env, b.where, expected, existing);
    (void)good(b.restore({}, {"/repo", "/second"}));
    expect_rows(b.env, b.where, expected, existing);
}

TEST_CASE("an instance that was left at its end is no second history", "[backup][live]") {
    auto b = surviving_bed{};
    (void)good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental, .truncate = true}));
    good(std::move(b.db).close());
    // Its log holds no commit any more, but sets hold the log below it.
    (void)good(run_restore<traits>(b.env, {"/repo", "/db"}, "/second", {}));
    auto db = good(engine<bed_policies>::open("/second", existing, b.env));
    (void)good(db.put(good(db.open_tree("main", "rows")), "second", "life"));
    (void)good(run_backup_to(db, "/repo", {.kind = backup_kind::copy}));
    good(std::move(db).close());
    b.expected["second"] = "life";
    (void)good(b.restore());
    expect_rows(b.env, b.where, b.expected, existing);
}

TEST_CASE("log that is no continuation is refused by name", "[backup][live]") {
    auto b = surviving_bed{{.truncate = true}};
    CHECK(code_of(b.restore()) == errc::in_use);
    good(b.db.checkpoint());
    b.tell(900, 5);
    good(std::move(b.db).close());

    // A segment between the sets and the end is gone: named, and what lies before it can be had.
    copy_files(b.env, "/db", "/holed");
    auto const size = small_engine.segment_bytes;
    auto const gone = generation_of(b.last.end_lsn, size) + 1;
    lose(b.env, "/holed", segment_file_name(gone).view());
    auto const refused = b.restore({}, {"/repo", "/holed"});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::log_gap);
    CHECK(generation_of(refused.error().at, size) == gone);
    CHECK_FALSE(b.env.storage.open_dir(b.where, directory_how::must_exist));
    auto how = restore_options{};
    auto const i = static_cast<std::size_t>(
        std::find_if(
            b.moments.begin(),
            b.moments.end(),
            [&](auto const& one) { return generation_of(one.at, size) == gone; }
        ) -
        b.moments.begin()
    );
    REQUIRE(i > 0);
    REQUIRE(i < b.moments.size());
    how.to_lsn = b.moments[i - 1].at;
    (void)good(b.restore(how, {"/repo", "/holed"}));
    expect_rows(b.env, b.where, b.rows_after(i), existing);

    // The newest segment is gone, and the checkpoint knows: the end is not taken for the end.
    copy_files(b.env, "/db", "/cut");
    auto names = files_in(b.env, "/cut");
    auto const last = generation_of(b.moments.back().at, size);
    for (auto const& name : names)
        if (auto const g = parse_segment_name(name); g && *g >= last) lose(b.env, "/cut", name);
    auto const lost = b.restore({}, {"/repo", "/cut"});
    REQUIRE_FALSE(lost);
    CHECK(lost.error().code == errc::log_missing);
    how.to_lsn = b.moments[i].at;
    (void)good(b.restore(how, {"/repo", "/cut"}));
    expect_rows(b.env, b.where, b.rows_after(i + 1), existing);

    // Damage below the end is none of an end.
    copy_files(b.env, "/db", "/bad");
    {
        auto where = good(b.env.storage.open_dir("/bad", directory_how::must_exist));
        auto file = good(where.open(
            segment_file_name(generation_of(b.moments[i].at, size)), {.mode = open_mode::read_write}
        ));
        auto noise = std::vector<std::byte>(8192, std::byte{0xA5});
        good(write_full(file, noise, 16384));
    }
    auto const damaged = b.restore({}, {"/repo", "/bad"});
    REQUIRE_FALSE(damaged);
    CHECK(damaged.error().file == file_kind::log_segment);
    CHECK(generation_of(damaged.error().at, size) == generation_of(b.moments[i].at, size));

    // Of another instance.
    {
        auto other = good(engine<bed_policies>::open("/other", small_engine, b.env));
        good(other.attach("main"));
        good(std::move(other).close());
    }
    CHECK_FALSE(b.restore({}, {"/repo", "/other"}));
    how = {};
    how.set = text_of(b.last.set);
    CHECK(code_of(b.restore(how, {"/repo", "/other"})) == errc::log_foreign);
    // Without pages there is nothing to lay log over.
    CHECK(code_of(b.restore({}, {"/db"})) == errc::base_not_here);
}

TEST_CASE("two copies that both went on do not mix", "[backup][live]") {
    auto b = surviving_bed{};
    good(std::move(b.db).close());
    copy_files(b.env, "/db", "/clone");
    auto sets = std::vector<backup_report>{};
    for (auto const* const path : {"/db", "/clone"}) {
        auto db = good(engine<bed_policies>::open(path, existing, b.env));
        auto const rows = good(db.open_tree("main", "rows"));
        for (auto i = 0; i < 400; ++i)
            (void)good(db.put(rows, path + std::to_string(i), std::string(300, 'x')));
        if (path == std::string{"/db"}) (void)good(run_backup_to(db, "/repo"));
        for (auto i = 0; i < 600; ++i)
            (void)good(db.put(rows, path + std::to_string(i), std::string(300, 'y')));
        good(std::move(db).close());
    }
    // Pages of one, log of the other: nothing says which history is meant.
    auto const mixed = b.restore({}, {"/repo", "/clone"});
    REQUIRE_FALSE(mixed);
    CHECK(mixed.error().code == errc::pool_conflict);
    (void)good(b.restore());
}

// Whatever a crash tore of the newest segment, and whatever jet.ring alone still holds: what recovery
// in place would have brought back comes back elsewhere.
TEST_CASE("the tail of a crashed instance ends where its recovery would end", "[backup][live]") {
    auto const lives = rounds(12);
    auto beyond = 0U;
    for (auto seed = 1U; seed <= lives; ++seed) {
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        auto const env = world.environment();
        auto const how = crash_policies[seed % crash_policies.size()];
        CAPTURE(seed, name_of(how));
        auto set_end = lsn{};
        world.run([&] {
            auto options = small_engine;
            options.process_durability = seed % 2 == 0;
            auto db = good(sim_engine::open("/db", options, env));
            good(db.attach("main"));
            for (auto& known : db.core().store.databases())
                if (known.file != nullptr) known.file->set_growth_bytes_min(64 << 10);
            auto const rows = good(db.open_tree("main", "rows"));
            auto random = std::mt19937{seed};
            auto const put = [&](int from, int to, durability level) {
                for (auto i = from; i < to; ++i)
                    (void)good(db.put(
                        rows, "key" + std::to_string(i), std::string(random() % 900, 'v'), level
                    ));
            };
            put(0, 60, durability::memory);
            set_end = good(run_backup_to(db, "/repo")).end_lsn;
            put(40, 160, durability::memory);
            put(100, 200, durability::device);
            auto open = good(db.begin());
            good(open.put(rows, "open", "half"));
            put(200, 230, seed % 2 == 0 ? durability::process : durability::memory);
            if (seed % 3 == 0) put(210, 240, durability::device);
            world.machine().freeze();
        });
        world.machine().thaw(how);
        world.run([&] {
            auto const done = run_restore<sim_engine::traits>(env, {"/repo", "/db"}, "/new", {});
            if (!done) FAIL(describe(done.error()).c_str());
            auto restored = model{};
            {
                auto db = good(sim_engine::open("/new", existing, env));
                restored = rows_of(db, "main", "rows");
                CHECK(good(check_trees(db.core().store)).is_good());
                good(std::move(db).close());
            }
            auto db = good(sim_engine::open("/db", existing, env));
            CHECK(rows_of(db, "main", "rows") == restored);
            CHECK(restored.contains("key199"));
            if (done.value().reached > set_end) ++beyond;
            good(std::move(db).close());
        });
    }
    CHECK(beyond == lives);
}

// A snapshot, or a copy of a lost disk, that ends in the middle of a segment which a later set has whole.
TEST_CASE("an older image of the directory takes nothing from the sets", "[backup][live-source]") {
    auto b = bed<>{};
    b.work(400, 1);
    (void)good(run_backup_to(b.db, "/repo"));
    b.work(600, 2);
    (void)good(b.db.put(b.rows, "a", "b"));
    copy_files(b.env, "/db", "/image");
    auto const behind = good(b.db.put(b.rows, "a", "c")).at;
    b.expected["a"] = "c";
    b.work(600, 3);
    auto const newest = good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
    good(std::move(b.db).close());
    auto const done = good(run_restore<traits>(b.env, {"/repo", "/image"}, "/newest"));
    CHECK(done.reached == newest.end_lsn);
    expect_rows(b.env, "/newest", b.expected, existing);
    auto how = restore_options{};
    how.to_lsn = behind;
    CHECK(
        good(run_restore<traits>(b.env, {"/repo", "/image"}, "/moment", how)).reached == behind + 1
    );
}

// An attach of a file from a longer log jumps; the segment that was prepared before may outlive a crash.
TEST_CASE("a segment of a future that did not come is no hole", "[backup][live-source]") {
    auto b = bed<>{};
    b.work(300, 1);
    (void)good(run_backup_to(b.db, "/repo"));
    b.work(100, 2);
    {
        auto other = good(bed<>::engine_type::open("/other", small_engine, b.env));
        good(other.attach("far"));
        auto const rows = good(other.open_tree("far", "rows"));
        for (auto i = 0; i < 1500; ++i)
            (void)good(
                other.put(rows, "k" + std::to_string(i), std::string(600, 'x'), durability::memory)
            );
        good(other.detach("far"));
        good(std::move(other).close());
        auto from = good(b.env.storage.open_dir("/other", directory_how::must_exist));
        auto to = good(b.env.storage.open_dir("/db", directory_how::must_exist));
        auto const content = good(read_file<env_type>(from, file_name{"far"}, 64 << 20));
        auto file = good(to.open(file_name{"far"}, {.mode = open_mode::create_new}));
        good(write_full(file, content.all(), 0));
    }
    good(b.db.attach("far"));
    good(b.db.detach("far"));
    b.work(100, 3);
    good(std::move(b.db).close());
    auto where = good(b.env.storage.open_dir("/db", directory_how::must_exist));
    auto listing = good(log_directory<env_type>::list(b.env, where));
    good(listing.read_from(where, 0));
    auto before = segment_header{};
    auto jumped = false;
    for (auto const& one : listing.segments()) {
        if (!one.is_sound()) continue;
        jumped = before.generation != 0 && one.header.generation > before.generation + 1;
        if (jumped) break;
        before = one.header;
    }
    REQUIRE(jumped);
    auto dead = before;
    ++dead.generation;
    dead.nonce = 0x1234567;
    dead.previous_generation = before.generation;
    dead.previous_nonce = before.nonce;
    dead.cut = no_lsn;
    {
        auto block = good(aligned_buffer::create(before.segment_bytes));
        std::memset(block.data(), 0, block.size());
        dead.encode(block.part(0, segment_header_bytes));
        auto file =
            good(where.open(segment_file_name(dead.generation), {.mode = open_mode::create_new}));
        good(write_full(file, block.all(), 0));
    }
    (void)good(run_restore<traits>(b.env, {"/repo", "/db"}, "/new"));
    expect_rows(b.env, "/new", b.expected, existing);
}

} // namespace jetpp_test::live_source_cases
