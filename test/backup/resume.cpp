// test/backup/resume.cpp - backups that were interrupted, and what is made of them afterwards.
#include <jetpp/backup.hpp>
#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/backup/zstd_codec.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"
#include "memory_part.hpp"

namespace jetpp_test::resume_cases {

using namespace jetpp;

using traits = bed<>::traits;
using env_type = bed<>::environment_type;

// Some frames of pages: rows that fill them.
template <class Bed>
void fill(Bed& b, unsigned rows = 2600) {
    for (auto i = 0U; i < rows; ++i) {
        auto const key = "bulk" + std::to_string(i);
        auto const value = std::string(900, static_cast<char>('a' + i % 26));
        (void)good(b.db.put(b.rows, key, value, durability::memory));
        b.expected[key] = value;
        if (i % 64 == 0) (void)good(b.db.poll());
    }
    good(b.db.checkpoint());
}

// A sink that fails at one of its calls, and remembers what keys were used for which frames.
class failing_sink {
public:
    using sink_type = directory_sink<env_type>;
    struct nonces {
        std::map<std::tuple<std::uint32_t, part_salt, std::uint64_t, bool>, std::uint32_t> used;
        std::size_t salts = 0;
        bool repeated = false;
    };

    failing_sink(sink_type& to, std::uint64_t at, nonces* seen = nullptr)
        : to_{&to}, at_{at}, seen_{seen} {}

    [[nodiscard]] backup_receipt receipt() const noexcept { return to_->receipt(); }
    [[nodiscard]] result<void> begin(set_name const& name) {
        return call([&] { return to_->begin(name); });
    }
    [[nodiscard]] result<void> open_part(std::string_view part) {
        return call([&] { return to_->open_part(part); });
    }
    [[nodiscard]] result<void> write(const_bytes content) {
        note(content);
        return call([&] { return to_->write(content); });
    }
    [[nodiscard]] result<void> close_part() {
        return call([&] { return to_->close_part(); });
    }
    [[nodiscard]] result<backup_receipt> finish(const_bytes manifest) {
        if (++calls_ == at_) return error{.code = errc::disk_full};
        return to_->finish(manifest);
    }
    void abandon() { to_->abandon(); }
    void interrupt() { to_->interrupt(); }
    [[nodiscard]] result<void> resume(set_name const& name) {
        return call([&] { return to_->resume(name); });
    }
    [[nodiscard]] auto read_part(std::string_view part) { return to_->read_part(part); }
    [[nodiscard]] result<void> keep_part(std::string_view part, std::uint64_t size) {
        return call([&] { return to_->keep_part(part, size); });
    }
    [[nodiscard]] result<void> reopen_part(std::string_view part, std::uint64_t size) {
        return call([&] { return to_->reopen_part(part, size); });
    }
    [[nodiscard]] result<void> remove_others() {
        return call([&] { return to_->remove_others(); });
    }
    [[nodiscard]] std::uint64_t calls() const { return calls_; }

private:
    template <class F>
    result<void> call(F&& f) {
        if (++calls_ == at_) return error{.code = errc::disk_full};
        return f();
    }
    void note(const_bytes frame) {
        if (seen_ == nullptr) return;
        auto const head = good(frame_header::decode(frame.first(frame_header_bytes)));
        auto const unit = frame.subspan(frame_header_bytes);
        if (head.type == frame_type::stream_header) {
            auto about = stream_about{};
            REQUIRE(about.decode(decode_wrapped_unit(unit)));
            salt_ = about.salt;
            ++seen_->salts;
            return;
        }
        CHECK((head.flags & frame_flag::encrypted) != 0);
        auto const key = std::tuple{head.part, salt_, head.sequence, head.is_last()};
        if (!seen_->used.emplace(key, 1U).second) seen_->repeated = true;
    }

    sink_type* to_;
    std::uint64_t at_;
    std::uint64_t calls_ = 0;
    nonces* seen_;
    part_salt salt_{};
};
static_assert(resumable_sink<failing_sink>);
static_assert(resumable_sink<directory_sink<env_type>>);
static_assert(!resumable_sink<memory_sink>);

// A backup into /repo that fails at the n-th call of its sink. Returns: how many calls there were.
template <class Bed>
std::pair<result<backup_report>, std::uint64_t> fail_at(
    Bed& b, std::uint64_t n, backup_options const& options, failing_sink::nonces* seen = nullptr
) {
    auto sets = good(repository<env_type>::open_or_create(b.env, "/repo"));
    auto inner = good(directory_sink<env_type>::create(b.env, sets));
    auto sink = failing_sink{inner, n, seen};
    auto done = run_in_place(b.store(), sink, options);
    return {std::move(done), sink.calls()};
}
// The set that can be gone on with.
template <class Bed>
std::optional<uuid> left_over(Bed& b) {
    auto found = std::optional<uuid>{};
    auto const pins = b.db.named_pins();
    for (auto const& pin : pins.all()) {
        REQUIRE(pin.kind == pin_kind::resumable_backup);
        REQUIRE_FALSE(found);
        found.emplace();
        std::copy(pin.owner.begin(), pin.owner.end(), found->raw.begin());
    }
    return found;
}
std::size_t files_of_resumption(env_type& env) {
    auto where = good(env.storage.open_dir("/db", directory_how::must_exist));
    auto names = array_list<directory_entry>{};
    good(where.list(names));
    auto count = std::size_t{0};
    for (auto const& one : names)
        if (one.name.view().starts_with("jet.resume")) ++count;
    return count;
}
// Directories in the repository that hold no set.
std::size_t unpublished(env_type& env) {
    auto sets = good(repository<env_type>::open_or_create(env, "/repo"));
    auto count = std::size_t{0};
    for (auto const& one : good(sets.list()))
        if (!one.has_manifest) ++count;
    return count;
}
void expect_whole(env_type& env, set_access const& access = {}) {
    auto const report = good(verify_repository(env, "/repo", {.access = access}));
    for (auto const& one : report.findings)
        FAIL(one.set + "/" + one.file + ": " + describe(one.why).c_str());
}
void expect_restored(
    env_type& env, backup_report const& set, model const& expected, set_access const& access = {}
) {
    auto how = restore_options{.access = access};
    how.set = text_of(set.set);
    auto const where = "/restored-" + how.set + std::to_string(set.end_lsn.value);
    (void)good(run_restore<traits>(env, {"/repo"}, where, how));
    expect_rows(env, where, expected);
}

inline backup_options const copy{.kind = backup_kind::copy, .resumable = true};
backup_options going_on(backup_options options, uuid const& set) {
    options.resume = set;
    return options;
}

TEST_CASE("a backup goes on after any call of its sink that failed", "[backup][resume]") {
    auto b = bed<>{};
    fill(b);
    auto const whole = fail_at(b, 0, copy);
    REQUIRE(whole.first);
    auto const calls = whole.second;
    REQUIRE(calls > 12);
    CHECK_FALSE(left_over(b));
    auto resumed = 0;
    for (auto n = std::uint64_t{1}; n <= calls; ++n) {
        CAPTURE(n);
        auto options = copy;
        if (n % 2 == 0) options.hash = hash_id::sha_256;
        auto const failed = fail_at(b, n, options);
        if (failed.first) break; // less log than the first time
        REQUIRE(code_of(failed.first) == errc::disk_full);
        CHECK_FALSE(b.store().is_pinned());
        b.work(60, static_cast<unsigned>(n));
        auto const set = left_over(b);
        if (!set) { // it had not begun
            CHECK(n == 1);
            CHECK(unpublished(b.env) == 0);
            continue;
        }
        CHECK(unpublished(b.env) == 1);
        CHECK(files_of_resumption(b.env) == 1);
        auto const report = good(run_backup_to(b.db, "/repo", going_on(options, *set)));
        CHECK(report.set == *set);
        CHECK_FALSE(report.pin_problem);
        CHECK_FALSE(left_over(b));
        CHECK(files_of_resumption(b.env) == 0);
        CHECK(unpublished(b.env) == 0);
        if (n % 3 == 0) expect_restored(b.env, report, b.expected);
        ++resumed;
    }
    CHECK(resumed > 10);
    expect_whole(b.env);
}

TEST_CASE("it goes on again and again, over several databases and lives", "[backup][resume]") {
    auto b = bed<recorded_policies>{{}, [] {
                                        auto options = small_engine;
                                        options.archival = false; // the pin holds what would go
                                        return options;
                                    }()};
    good(b.db.attach("other"));
    auto more = good(b.db.open_tree("other", "rows"));
    auto others = model{};
    auto const grows_often = [&] {
        for (auto& one : b.store().databases())
            if (one.file != nullptr) one.file->set_growth_bytes_min(64 << 10);
    };
    grows_often();
    fill(b);
    for (auto i = 0U; i < 1500; ++i) {
        auto const key = "bulk" + std::to_string(i);
        (void)good(b.db.put(more, key, std::string(800, 'b'), durability::memory));
        others[key] = std::string(800, 'b');
        if (i % 64 == 0) (void)good(b.db.poll());
    }
    auto options = backup_options{.codec = {&zstd_codec}, .resumable = true};
    auto set = std::optional<uuid>{};
    auto done = std::optional<backup_report>{};
    for (auto run = 0U; !done; ++run) {
        REQUIRE(run < 20);
        // Both databases grow between the runs, the one that is not yet begun, too.
        b.work(300, run);
        for (auto i = 0U; i < 300; ++i) {
            auto const key = "key" + std::to_string(run * 300 + i);
            (void)good(b.db.put(more, key, std::string(800, 'o'), durability::memory));
            others[key] = std::string(800, 'o');
        }
        good(b.db.checkpoint());
        auto got = fail_at(b, run < 12 ? 6 + run % 3 : 0, set ? going_on(options, *set) : options);
        if (got.first)
            done = got.first.value();
        else
            REQUIRE(code_of(got.first) == errc::disk_full);
        set = left_over(b);
        if (run % 3 == 2 && !done) {
            good(std::move(b.db).close());
            auto how = small_engine;
            how.archival = false;
            std::destroy_at(&b.db);
            std::construct_at(
                &b.db, good(bed<recorded_policies>::engine_type::open("/db", how, b.env))
            );
            b.rows = good(b.db.open_tree("main", "rows"));
            more = good(b.db.open_tree("other", "rows"));
            grows_often();
        }
        if (done) break;
    }
    CHECK_FALSE(left_over(b));
    expect_whole(b.env, {.codecs = {{&zstd_codec}}});
    using its_traits = bed<recorded_policies>::traits;
    (void
    )good(run_restore<its_traits>(b.env, {"/repo"}, "/new", {.access = {.codecs = {{&zstd_codec}}}})
    );
    auto db = good(bed<recorded_policies>::engine_type::open("/new", small_engine, b.env));
    CHECK(rows_of(db, "main", "rows") == b.expected);
    auto const found = rows_of(db, "other", "rows");
    CHECK(found == others);
    good(std::move(db).close());
}

TEST_CASE("pages since another set, and a full, go on as well", "[backup][resume]") {
    auto b = bed<>{};
    fill(b);
    auto full = backup_options{.resumable = true};
    REQUIRE(code_of(fail_at(b, 6, full).first) == errc::disk_full);
    b.work(200, 1);
    auto const base = good(run_backup_to(b.db, "/repo", going_on(full, *left_over(b))));
    CHECK(b.store().databases()[0].file->header().mark(mark_kind::full).set == base.set);
    expect_restored(b.env, base, b.expected);

    auto since = backup_options{.kind = backup_kind::pages, .resumable = true};
    auto sets = good(repository<env_type>::open(b.env, "/repo"));
    auto const known = good(list_sets(sets));
    REQUIRE(known.size() == 1);
    since.base = backup_base{known[0].manifest, known[0].hash};
    b.work(200, 2);
    for (auto n = std::uint64_t{3}; n < 9; ++n) {
        CAPTURE(n);
        auto const got = fail_at(b, n, since);
        REQUIRE(code_of(got.first) == errc::disk_full);
        b.work(100, static_cast<unsigned>(n));
        auto const report = good(run_backup_to(b.db, "/repo", going_on(since, *left_over(b))));
        expect_restored(b.env, report, b.expected);
    }
}

TEST_CASE("an unresumed set is no set, and an abandoned one is nothing", "[backup][resume]") {
    auto b = bed<>{};
    fill(b);
    auto const first = good(run_backup_to(b.db, "/repo", {}));
    REQUIRE(code_of(fail_at(b, 5, copy).first) == errc::disk_full);
    auto const set = left_over(b);
    REQUIRE(set);
    CHECK(good(verify_repository(b.env, "/repo")).sets == 1);
    expect_whole(b.env);
    auto const from = good(b.db.find_pin(pin_id::of_backup(*set))).at;
    b.work(400, 1);
    (void)good(run_backup_to(b.db, "/repo", {})); // others go on, and may truncate
    auto const held = good(b.db.truncate_log({.write_home = true}));
    CHECK(held.limit <= from);
    CHECK(held.holder().name.view() == "backup " + text_of(*set));
    good(abandon_backup(b.db, "/repo", *set));
    CHECK_FALSE(left_over(b));
    CHECK(files_of_resumption(b.env) == 0);
    CHECK(unpublished(b.env) == 0);
    CHECK(code_of(abandon_backup(b.db, "/repo", *set)) == errc::not_found);
    CHECK(code_of(run_backup_to(b.db, "/repo", going_on(copy, *set))) == errc::cannot_resume);
    // A set that stands is not abandoned.
    CHECK(code_of(abandon_backup(b.db, "/repo", first.set)) == errc::not_found);
    CHECK(good(verify_repository(b.env, "/repo")).sets == 2);
}

TEST_CASE("who wishes an end gets one: nothing stays to be resumed", "[backup][resume]") {
    auto b = bed<>{};
    fill(b);
    auto stopped = copy;
    stopped.on_progress = [](backup_progress const&) -> result<void> {
        return error{.code = errc::busy};
    };
    CHECK(code_of(run_backup_to(b.db, "/repo", stopped)) == errc::busy);
    CHECK_FALSE(left_over(b));
    CHECK(unpublished(b.env) == 0);
    auto capped = copy;
    capped.log_cap_bytes = 1; // broken at the first look
    CHECK(code_of(run_backup_to(b.db, "/repo", capped)) == errc::pin_broken);
    CHECK_FALSE(left_over(b));
    {
        auto sets = good(repository<env_type>::open_or_create(b.env, "/repo"));
        auto sink = good(directory_sink<env_type>::create(b.env, sets));
        auto job = backup_job<traits, directory_sink<env_type>>{b.store(), sink, copy};
        good(job.open());
        auto chunk = good(backup_chunk::create());
        CHECK(good(job.read(chunk)));
        good(job.write(chunk));
        job.cancel();
    }
    CHECK_FALSE(left_over(b));
    CHECK(files_of_resumption(b.env) == 0);
    CHECK(unpublished(b.env) == 0);
    // What cannot be resumed is not begun as if it could.
    auto nowhere = memory_sink{};
    CHECK(code_of(run_in_place(b.store(), nowhere, copy)) == errc::unsupported);
    auto log = copy;
    (void)good(run_backup_to(b.db, "/repo", {}));
    log.kind = backup_kind::incremental;
    CHECK(code_of(run_backup_to(b.db, "/repo", log)) == errc::invalid_argument);
    CHECK_FALSE(left_over(b));
}

TEST_CASE("what has changed too much is not gone on with, and stays", "[backup][resume]") {
    auto b = bed<>{};
    good(b.db.attach("other"));
    good(b.db.attach("late"));
    good(b.db.detach("late"));
    fill(b);
    REQUIRE(code_of(fail_at(b, 5, copy).first) == errc::disk_full);
    auto const set = *left_over(b);
    auto const refused = [&](backup_options options) {
        auto const code = code_of(run_backup_to(b.db, "/repo", going_on(std::move(options), set)));
        CHECK(left_over(b) == set);
        CHECK(files_of_resumption(b.env) == 1);
        CHECK(unpublished(b.env) == 1);
        CHECK_FALSE(b.store().is_pinned());
        return code;
    };
    auto other = copy;
    other.kind = backup_kind::full;
    CHECK(refused(other) == errc::cannot_resume);
    other = copy;
    other.codec = {&zstd_codec};
    CHECK(refused(other) == errc::cannot_resume);
    other = copy;
    other.hash = hash_id::sha_256;
    CHECK(refused(other) == errc::cannot_resume);
    other = copy;
    other.tag = "x";
    CHECK(refused(other) == errc::cannot_resume);
    other = copy;
    other.databases = {"main"};
    CHECK(refused(other) == errc::cannot_resume);
    CHECK(code_of(run_backup_to(b.db, "/elsewhere", going_on(copy, set))) == errc::cannot_resume);
    // A database may be made meanwhile, none may come or go.
    good(b.db.attach("new"));
    auto more = copy;
    SECTION("a database went and came back") {
        good(b.db.detach("other"));
        CHECK(refused(copy) == errc::cannot_resume);
        good(b.db.attach("other"));
        CHECK(refused(copy) == errc::cannot_resume);
    }
    SECTION("one that was there before the set joined") {
        good(b.db.attach("late"));
        CHECK(refused(copy) == errc::cannot_resume);
    }
    SECTION("the pin was released") {
        good(b.db.release_pin(pin_id::of_backup(set)));
        CHECK(code_of(run_backup_to(b.db, "/repo", going_on(copy, set))) == errc::cannot_resume);
        good(abandon_backup(b.db, "/repo", set));
        CHECK(unpublished(b.env) == 0);
    }
    SECTION("somebody else goes on with it") {
        auto sets = good(repository<env_type>::open_or_create(b.env, "/repo"));
        auto sink = good(directory_sink<env_type>::create(b.env, sets));
        auto job =
            backup_job<traits, directory_sink<env_type>>{b.store(), sink, going_on(copy, set)};
        good(job.open());
        CHECK(
            code_of(run_backup_to(b.db, "/repo", going_on(copy, set))) == errc::backup_in_progress
        );
        CHECK(code_of(abandon_backup(b.db, "/repo", set)) == errc::backup_in_progress);
        CHECK(left_over(b) == set);
        job.cancel();
        CHECK_FALSE(left_over(b));
    }
    SECTION("only a new one was made") {
        b.work(100, 3);
        auto const report = good(run_backup_to(b.db, "/repo", going_on(copy, set)));
        CHECK(report.databases == 2);
        expect_restored(b.env, report, b.expected);
    }
}

TEST_CASE("a cap that was passed between the runs breaks the backup", "[backup][resume]") {
    auto b = bed<>{};
    fill(b);
    auto options = copy;
    options.log_cap_bytes = 4 * b.store().segment_bytes();
    REQUIRE(code_of(fail_at(b, 5, options).first) == errc::disk_full);
    auto const set = *left_over(b);
    auto const pin = good(b.db.find_pin(pin_id::of_backup(set)));
    while (pin.held_bytes(b.store().log().tail()) <= options.log_cap_bytes) b.work(500, 1);
    good(b.db.checkpoint());
    CHECK(good(b.db.find_pin(pin_id::of_backup(set))).is_broken());
    CHECK(code_of(run_backup_to(b.db, "/repo", going_on(options, set))) == errc::pin_broken);
    good(abandon_backup(b.db, "/repo", set));
    CHECK_FALSE(left_over(b));
    CHECK(unpublished(b.env) == 0);
}

TEST_CASE("no frame of an encrypted set shares key and nonce with another", "[backup][resume]") {
    auto b = bed<>{};
    fill(b);
    auto ring = key_ring{};
    auto key = secret_key{};
    std::fill(key.all().begin(), key.all().end(), std::byte{7});
    ring.add_key(key);
    auto options = copy;
    options.encryption = {.cipher = &aes_256_gcm, .keys = &ring};
    auto seen = failing_sink::nonces{};
    auto set = std::optional<uuid>{};
    auto done = std::optional<backup_report>{};
    for (auto run = 0U; !done; ++run) {
        b.work(50, run);
        auto got =
            fail_at(b, run < 5 ? 5 + run % 3 : 0, set ? going_on(options, *set) : options, &seen);
        if (got.first)
            done = got.first.value();
        else
            set = left_over(b);
    }
    CHECK_FALSE(seen.repeated);
    CHECK(seen.salts >= 6);
    expect_restored(b.env, *done, b.expected, {.keys = &ring});
    // Another ring is no ring.
    REQUIRE(code_of(fail_at(b, 5, options).first) == errc::disk_full);
    auto stranger = key_ring{};
    key.all()[0] = std::byte{8};
    stranger.add_key(key);
    options.encryption.keys = &stranger;
    CHECK(
        code_of(run_backup_to(b.db, "/repo", going_on(options, *left_over(b)))) == errc::wrong_key
    );
    CHECK(left_over(b));
}

// ---- torn tails, and machines that stop

using sim_bed = bed<sim_policies>;
using sim_traits = sim_bed::traits;
using sim_env = sim_bed::environment_type;

std::optional<uuid> left_over(sim_bed::engine_type& db) {
    auto const pins = db.named_pins();
    for (auto const& pin : pins.all()) {
        auto set = uuid{};
        std::copy(pin.owner.begin(), pin.owner.end(), set.raw.begin());
        return set;
    }
    return {};
}

TEST_CASE("a part that ends anywhere is gone on with from its last frame", "[backup][resume]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    auto env = world.environment();
    auto expected = model{};
    auto part = std::string{};
    world.run([&] {
        auto b = sim_bed{env};
        fill(b, 1300);
        auto sets = good(repository<sim_env>::open_or_create(env, "/repo"));
        auto sink = good(directory_sink<sim_env>::create(env, sets));
        auto job = backup_job<sim_traits, directory_sink<sim_env>>{b.store(), sink, copy};
        good(job.open());
        auto chunk = good(backup_chunk::create());
        while (good(job.read(chunk)) && chunk.step.stage == backup_stage::pages)
            good(job.write(chunk));
        (void)job.fail({.code = errc::io});
        b.work(100, 1);
        expected = b.expected;
        part = "/repo/sets/" + std::string{sink.name().view()};
        good(std::move(b.db).close());
    });
    auto const interrupted = world.machine().save();
    auto size = std::uint64_t{0};
    world.run([&] {
        auto where = good(env.storage.open_dir(part, directory_how::must_exist));
        auto file = good(where.open("part-0000-main.jbs", {.mode = open_mode::read_only}));
        size = good(file.size());
    });
    REQUIRE(size > 1'000'000);
    auto cuts = std::vector<std::uint64_t>{0, 1, 159, 160, 161, 300, size - 1, size};
    for (auto i = 1U; i < 12; ++i) cuts.push_back(size / 12 * i + i * 7);
    // The file ends there; or its size came to the disk, and those bytes did not.
    for (auto i = std::size_t{0}; i < 2 * cuts.size(); ++i) {
        auto const cut = cuts[i / 2];
        auto const lost = i % 2 != 0;
        CAPTURE(cut, size, lost);
        world.machine().restore(interrupted);
        world.run([&] {
            {
                auto where = good(env.storage.open_dir(part, directory_how::must_exist));
                auto file = good(where.open(
                    "part-0000-main.jbs", {.mode = open_mode::read_write, .io = io_mode::buffered}
                ));
                auto const zeros = buffer(std::min<std::uint64_t>(2000, size - cut));
                if (lost)
                    good(write_full(file, zeros, cut));
                else
                    good(file.truncate(cut));
                good(file.sync(sync_how::full));
            }
            auto db = good(sim_bed::engine_type::open("/db", small_engine, env));
            auto const report = good(run_backup_to(db, "/repo", going_on(copy, *left_over(db))));
            good(std::move(db).close());
            CHECK(good(verify_repository(env, "/repo")).findings.empty());
            (void)good(run_restore<sim_traits>(env, "/repo", "/new"));
            expect_rows<sim_policies>(env, "/new", expected);
        });
    }
}

TEST_CASE("what a killed process wrote is on the disk once the set is", "[backup][resume]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    auto env = world.environment();
    world.run([&] {
        auto b = sim_bed{env};
        fill(b, 200);
        good(std::move(b.db).close());
    });
    auto const before = world.machine().save();
    auto calls = std::uint64_t{0};
    for (auto n = std::uint64_t{0}; n <= calls; ++n) {
        CAPTURE(n);
        world.machine().restore(before);
        auto const first = world.machine().calls();
        world.machine().crash_at(n);
        world.run([&] {
            auto db = sim_bed::engine_type::open("/db", small_engine, env);
            if (db) (void)run_backup_to(db.value(), "/repo", copy);
        });
        if (n == 0) {
            calls = world.machine().calls() - first;
            continue;
        }
        world.machine().thaw(crash_policy::kill); // the page cache lives on
        world.machine().crash_at(0);
        auto published = false;
        world.run([&] {
            auto db = good(sim_bed::engine_type::open("/db", small_engine, env));
            if (auto const set = left_over(db))
                published = run_backup_to(db, "/repo", going_on(copy, *set)).has_value();
        });
        if (!published) continue;
        world.machine().thaw(crash_policy::none);
        world.run([&] {
            auto const report = good(verify_repository(env, "/repo"));
            for (auto const& one : report.findings)
                FAIL(one.set + "/" + one.file + ": " + describe(one.why).c_str());
            CHECK(report.sets == 1);
        });
    }
}

TEST_CASE("a machine stops anywhere in a backup, and another life goes on", "[backup][resume]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    auto env = world.environment();
    world.run([&] {
        auto b = sim_bed{env};
        fill(b, 700);
        good(std::move(b.db).close());
    });
    auto const before = world.machine().save();
    // The life that is cut: begins a backup, or goes on with one.
    auto const back_up = [&] {
        auto db = sim_bed::engine_type::open("/db", small_engine, env);
        if (!db) return false;
        auto options = copy;
        options.resume = left_over(db.value());
        return run_backup_to(db.value(), "/repo", options).has_value();
    };
    world.machine().restore(before);
    auto const first = world.machine().calls();
    auto told = false;
    world.run([&] { told = back_up(); });
    REQUIRE(told);
    auto const calls = world.machine().calls() - first;
    REQUIRE(calls > 60);

    auto resumed = 0;
    auto stood = 0;
    auto begun_anew = 0;
    auto const stride = std::max<std::uint64_t>(1, 5 / rounds(1));
    auto which = std::size_t{0};
    for (auto n = std::uint64_t{1}; n <= calls; n += stride) {
        auto const policy = crash_policies[which++ % crash_policies.size()];
        world.machine().restore(before);
        world.machine().crash_at(n);
        told = false;
        world.run([&] { told = back_up(); });
        world.machine().thaw(policy);
        // And once more, inside of what goes on.
        world.machine().crash_at(1 + n * 7 % calls);
        world.run([&] { told = told || back_up(); });
        world.machine().thaw(policy);
        world.machine().crash_at(0);
        CAPTURE(name_of(policy), n);
        auto expected = model{};
        world.run([&] {
            auto b = sim_bed{env};
            b.expected = rows_of(b.db, "main", "rows");
            b.work(40, static_cast<unsigned>(n));
            if (auto const set = left_over(b.db)) {
                auto const got = run_backup_to(b.db, "/repo", going_on(copy, *set));
                if (got) {
                    ++resumed;
                    CHECK(got.value().set == *set);
                } else {
                    // The crash came before its record, or behind its publishing.
                    auto const code = code_of(got);
                    if (code != errc::cannot_resume && code != errc::already_exists)
                        FAIL(describe(got.error()).c_str());
                    code == errc::already_exists ? ++stood : ++begun_anew;
                    good(abandon_backup(b.db, "/repo", *set));
                    (void)good(run_backup_to(b.db, "/repo", copy));
                }
            } else {
                (void)good(run_backup_to(b.db, "/repo", copy));
            }
            CHECK(b.db.named_pins().count == 0);
            expected = b.expected;
            good(std::move(b.db).close());
        });
        // What was told is on the disk, whoever wrote it.
        world.machine().thaw(crash_policy::none);
        world.run([&] {
            auto const report = good(verify_repository(env, "/repo"));
            for (auto const& one : report.findings)
                FAIL(one.set + "/" + one.file + ": " + describe(one.why).c_str());
            (void)good(run_restore<sim_traits>(env, "/repo", "/new"));
            expect_rows<sim_policies>(env, "/new", expected);
        });
    }
    CHECK(resumed > 5);
    CHECK(stood + begun_anew > 0);
}

// ---- parts

TEST_CASE("an index that was due when the writing ended comes first", "[backup][resume]") {
    auto const page = buffer(4096);
    auto writer = good(part_writer::create());
    auto out = memory_output{};
    good(writer.begin(out, some_place, some_database));
    auto const add = [&](part_writer& to, std::uint64_t number) {
        auto presence = presence_bits{};
        set_present(presence, 0);
        good(to.add(out, number, number + 1, presence, page));
    };
    for (auto i = std::uint64_t{0}; i < index_frames_max; ++i) add(writer, i);
    // Without the index frame, which the last page brought.
    auto const open = [&]() -> result<memory_input> { return memory_input{out.content}; };
    auto const index_bytes =
        frame_header_bytes + wrapped_head_bytes + 8 + index_frames_max * index_entry::size;
    for (auto const cut : {index_bytes, std::size_t{0}}) {
        auto const kept = out.content;
        out.content.resize(kept.size() - cut);
        auto again = good(part_writer::create());
        auto const found =
            good(recall_part(open, some_place, some_database, false, ~std::uint64_t{0}, again));
        CHECK(found.end == index_frames_max);
        CHECK(found.bytes == out.content.size());
        good(again.go_on(out, {}));
        add(again, index_frames_max);
        auto const summary = good(again.finish(out));
        auto input = memory_input{out.content};
        auto reader = good(part_reader<memory_input>::open(input, some_place));
        auto runs = std::uint64_t{0};
        while (good(reader.next())) ++runs;
        CHECK(runs == index_frames_max + 1);
        CHECK(reader.summary() == summary);
        out.content = kept;
    }
}

} // namespace jetpp_test::resume_cases
