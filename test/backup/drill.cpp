// test/backup/drill.cpp - a set that would not restore is never published.
#include <jetpp/backup.hpp>
#include <jetpp/backup/drill.hpp>
#include <jetpp/backup/zstd_codec.hpp>
#include <jetpp/restore.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::drill_cases {

using namespace jetpp;
namespace asio = boost::asio;

using env_type = bed<>::environment_type;
using traits = bed<>::traits;
using into_repository = directory_sink<env_type>;

drill_options const below_scratch{.scratch = "/scratch", .buffer_bytes = 1 << 20};

std::size_t entries_in(env_type env, path_view path) {
    auto opened = env.storage.open_dir(path, directory_how::create_if_missing);
    auto where = good(std::move(opened));
    auto entries = array_list<directory_entry>{};
    good(where.list(entries));
    return entries.size();
}
// Directories in sets/, whole or not.
std::size_t sets_in(env_type env, path_view path = "/repo") {
    auto sets = good(repository<env_type>::open_or_create(env, path));
    return good(sets.list()).size();
}
read_manifest manifest_in(env_type env, std::string const& name) {
    auto sets = good(repository<env_type>::open(env, "/repo"));
    auto made = file_name{};
    made.add(name);
    auto set = good(sets.open_set(made));
    return good(manifest_of<env_type>(set));
}

// A backup that failed left neither set nor pin nor mark, and nothing below scratch.
void expect_no_trace(bed<>& b, std::size_t sets_before = 0) {
    CHECK(sets_in(b.env) == sets_before);
    CHECK(entries_in(b.env, "/scratch") == 0);
    auto pins = std::vector<instance<traits>::log_pin>{};
    for (auto i = 0; i < 16; ++i) pins.push_back(good(b.store().pin_log()));
    for (auto const& pin : pins) b.store().unpin_log(pin);
}

// Changes one byte of what passes, and hands a question on.
template <class Sink>
struct bent_sink {
    Sink* to;
    std::uint64_t at;    // of all bytes written
    std::byte change{1}; // zero: none
    std::uint64_t seen = 0;
    std::function<void()> before_proof = [] {};

    [[nodiscard]] backup_receipt receipt() { return to->receipt(); }
    [[nodiscard]] result<void> begin(set_name const& name) { return to->begin(name); }
    [[nodiscard]] result<void> open_part(std::string_view name) { return to->open_part(name); }
    [[nodiscard]] result<void> write(const_bytes content) {
        auto copy = std::vector<std::byte>(content.begin(), content.end());
        if (at >= seen && at - seen < copy.size())
            copy[static_cast<std::size_t>(at - seen)] ^= change;
        seen += copy.size();
        return to->write(copy);
    }
    [[nodiscard]] result<void> close_part() { return to->close_part(); }
    [[nodiscard]] result<backup_receipt> finish(const_bytes text) { return to->finish(text); }
    void abandon() { to->abandon(); }
    [[nodiscard]] result<drill_proof> prove(
        backup_manifest const& manifest, set_access const& access, drill_watch const& on_read
    ) {
        before_proof();
        return to->prove(manifest, access, on_read);
    }
};
static_assert(proving_sink<bent_sink<drill_sink<traits, memory_sink>>>);
static_assert(!proving_sink<into_repository>);

TEST_CASE("a drilled set carries the proof that it restores", "[backup][drill]") {
    auto b = bed{};
    b.work(1500, 1);
    auto const report = good(run_drilled_backup_to(b.db, "/repo", below_scratch));
    REQUIRE(report.drill);
    CHECK(report.drill->reached == report.end_lsn);
    CHECK(report.drill->pages > 10); // absent ones are not read
    CHECK(report.drill->records == report.records);
    CHECK(report.drill->rows >= b.expected.size());
    CHECK(report.drill->compared > report.drill->pages / 2); // quiet as it is, nearly all
    auto const read = manifest_in(b.env, report.name);
    CHECK(read.manifest.drill == report.drill);
    CHECK(read.hash == report.manifest_hash);
    CHECK(entries_in(b.env, "/scratch") == 0);
    CHECK(b.store().databases()[0].file->header().mark(mark_kind::full).set == report.set);
    CHECK_FALSE(good(run_backup_to(b.db, "/repo")).drill);
    auto const expected = b.expected;
    good(std::move(b.db).close());
    (void)good(run_restore<traits>(b.env, "/repo", "/restored"));
    expect_rows(b.env, "/restored", expected);
}

TEST_CASE("a drill and the publishing have stages of their own", "[backup][drill]") {
    auto b = bed{};
    b.work(1500, 31);
    for (auto const kind : {backup_kind::full, backup_kind::incremental}) {
        b.work(500, 32);
        auto all = std::vector<backup_progress>{};
        auto options = backup_options{.kind = kind};
        options.on_progress = [&](backup_progress const& now) -> result<void> {
            all.push_back(now);
            return ok();
        };
        auto const report = good(run_drilled_backup_to(b.db, "/repo", below_scratch, options));
        auto copied = std::uint64_t{0};
        auto drilled = std::size_t{0};
        for (std::size_t i = 0; i < all.size(); ++i) {
            CHECK(all[i].bytes_done <= all[i].bytes_total);
            if (i != 0) {
                CHECK(all[i - 1].bytes_done <= all[i].bytes_done);
                CHECK(all[i - 1].stage <= all[i].stage);
            }
            if (all[i].stage < backup_stage::drill) copied = all[i].bytes_done;
            if (all[i].stage != backup_stage::drill) continue;
            // Known from the first call on.
            CHECK(all[i].bytes_total == all.end()[-2].bytes_total);
            ++drilled;
        }
        REQUIRE(drilled > 2);
        auto const& last = all.end()[-2];
        // Frames that a restore has no use for are read once.
        CHECK(last.bytes_total - last.bytes_done < 4096);
        CHECK(last.bytes_total - copied >= 2 * report.stored_bytes);
        CHECK(all.back().stage == backup_stage::publish);
    }
    // An error then ends the backup as any other, and there is no set.
    for (auto const stage : {backup_stage::drill, backup_stage::publish}) {
        auto options = backup_options{};
        options.on_progress = [&](backup_progress const& now) -> result<void> {
            if (now.stage == stage) return error{.code = errc::timeout};
            return ok();
        };
        CHECK(
            code_of(run_drilled_backup_to(b.db, "/repo", below_scratch, options)) == errc::timeout
        );
        expect_no_trace(b, 2);
    }
}

TEST_CASE("every kind is drilled with its base", "[backup][drill]") {
    auto b = bed{};
    b.work(1000, 2);
    auto const full = good(run_drilled_backup_to(b.db, "/repo", below_scratch));
    auto const base = manifest_in(b.env, full.name);
    auto seed = 3U;
    for (auto const kind :
         {backup_kind::incremental,
          backup_kind::differential,
          backup_kind::pages,
          backup_kind::copy,
          backup_kind::incremental}) {
        b.work(300, seed++);
        auto options = backup_options{.kind = kind, .codec = {&zstd_codec}};
        if (kind == backup_kind::pages) options.base = backup_base{base.manifest, base.hash};
        // Writers go on: what they change meanwhile is no difference.
        options.on_progress = [&](backup_progress const&) -> result<void> {
            b.work(10, seed++);
            return ok();
        };
        auto const report = good(run_drilled_backup_to(b.db, "/repo", below_scratch, options));
        REQUIRE(report.drill);
        CHECK(report.drill->reached == report.end_lsn);
        CHECK(report.drill->rows > b.expected.size() / 2);
        CHECK(report.drill->compared > 0);
    }
    CHECK(sets_in(b.env) == 6);
    CHECK(entries_in(b.env, "/scratch") == 0);
}

TEST_CASE("an encrypted set is drilled without asking for a key", "[backup][drill]") {
    auto b = bed{};
    b.work(500, 4);
    auto keys = key_ring{};
    auto secret = secret_key{};
    std::fill(secret.all().begin(), secret.all().end(), std::byte{7});
    keys.add_key(secret);
    auto options = backup_options{.codec = {&zstd_codec}};
    options.encryption = {.cipher = &aes_256_gcm, .keys = &keys};
    auto const report = good(run_drilled_backup_to(b.db, "/repo", below_scratch, options));
    CHECK(report.drill);
    // The HMAC is over the manifest with its proof.
    auto how = restore_options{};
    how.access = {.codecs = {{&zstd_codec}}, .keys = &keys};
    auto const expected = b.expected;
    good(std::move(b.db).close());
    (void)good(run_restore<traits>(b.env, {"/repo"}, "/restored", how));
    expect_rows(b.env, "/restored", expected);
}

TEST_CASE("a byte that changes in flight fails the drill, and there is no set", "[backup][drill]") {
    auto const seed = std::random_device{}();
    CAPTURE(seed);
    auto random = std::mt19937{seed};
    auto b = bed{};
    b.work(400, 5);
    auto const full = good(run_drilled_backup_to(b.db, "/repo", below_scratch));
    b.work(100, 6);
    auto const mark = b.store().databases()[0].file->header().mark(mark_kind::full);
    for (auto turn = std::uint64_t{0}; turn < rounds(40); ++turn) {
        auto sets = good(repository<env_type>::open(b.env, "/repo"));
        auto options = backup_options{};
        options.kind = turn % 4 == 0 ? backup_kind::incremental : backup_kind::full;
        if (turn % 2 != 0) options.codec = {&zstd_codec};
        options.find_base = [&](uuid const& set, std::uint64_t hash) {
            return sets.find_set(set, hash);
        };
        auto sink = good(into_repository::create(b.env, sets));
        auto drilled = drill_sink<traits, into_repository>{b.env, sink, below_scratch};
        // How long the stream will be is not known before; it is surely so long.
        auto const length = turn % 4 == 0 ? std::uint64_t{30'000} : full.stored_bytes;
        auto const limit = turn % 2 != 0 ? std::uint64_t{25'000} : length;
        auto bent = bent_sink<drill_sink<traits, into_repository>>{&drilled, random() % limit};
        bent.change = static_cast<std::byte>(1U << random() % 8);
        auto const got = run_in_place(b.store(), bent, options);
        CAPTURE(turn, bent.at, bent.seen);
        REQUIRE(bent.at < bent.seen);
        REQUIRE_FALSE(got);
        auto const code = got.error().code;
        CHECK(
            (code == errc::set_damaged || code == errc::set_mixed || code == errc::unsupported ||
             code == errc::limit_exceeded)
        );
        expect_no_trace(b, 1);
    }
    auto const after = b.store().databases()[0].file->header().mark(mark_kind::full);
    CHECK(after.set == mark.set);
    CHECK(run_drilled_backup_to(b.db, "/repo", below_scratch, {.kind = backup_kind::incremental}));
}

TEST_CASE("what a disk changes before the set is published is found", "[backup][drill]") {
    auto b = bed{};
    b.work(400, 7);
    auto sets = good(repository<env_type>::open_or_create(b.env, "/repo"));
    auto sink = good(into_repository::create(b.env, sets));
    auto drilled = drill_sink<traits, into_repository>{b.env, sink, below_scratch};
    auto bent = bent_sink<drill_sink<traits, into_repository>>{&drilled, 0, std::byte{0}};
    bent.before_proof = [&] {
        auto where = good(sink.reopen());
        auto const name = file_name{"part-0000-main.jbs"};
        auto file = good(where.open(name, {.mode = open_mode::read_write}));
        auto const at = good(file.size()) / 2;
        auto byte = std::vector<std::byte>(1);
        good(read_full(file, byte, at));
        byte[0] ^= std::byte{16};
        good(write_full(file, byte, at));
        good(file.close());
    };
    auto const got = run_in_place(b.store(), bent);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == errc::set_damaged);
    CHECK(got.error().file == file_kind::backup_part);
    expect_no_trace(b);
}

TEST_CASE("a copy that says something else at the same LSN fails the drill", "[backup][drill]") {
    auto b = bed{};
    b.work(600, 12);
    good(std::move(b.db).close());
    // Nothing is in memory: what the file says is what the instance says.
    auto db = good(bed<>::engine_type::open("/db", small_engine, b.env));
    auto& store = db.core().store;
    auto sets = good(repository<env_type>::open_or_create(b.env, "/repo"));
    auto sink = good(into_repository::create(b.env, sets));
    auto drilled = drill_sink<traits, into_repository>{b.env, sink, below_scratch, &store};
    auto bent = bent_sink<drill_sink<traits, into_repository>>{&drilled, 0, std::byte{0}};
    auto changed = page_number{};
    bent.before_proof = [&] {
        using codec = page_codec<4096, traits::checksum>;
        auto& file = *store.databases()[0].file;
        auto where = good(b.env.storage.open_dir("/db", directory_how::must_exist));
        auto raw = good(where.open(file_name{"main"}, {.mode = open_mode::read_write}));
        auto image = good(aligned_buffer::create(4096));
        auto const live = live_pages<traits>{file, store.pool(), store.log()};
        for (auto n = page_limits<4096>::first_page.value; n < file.page_count(); ++n) {
            auto const page = page_number{n};
            good(read_full(raw, image.all(), std::uint64_t{n} * 4096));
            auto const view = page_view<4096>{image.data()};
            auto const sound = codec::verify(image.data(), live.nonce(), page) == damage::none;
            if (!sound || !live.residence(page).absent || !view.is_leaf()) continue;
            for (auto i = std::uint32_t{0}; i < view.row_count() && changed.value == 0; ++i) {
                if (view.value(i).size() < 20) continue;
                auto const at = view.value(i).data() + 10 - image.data();
                image.data()[at] ^= std::byte{1};
                changed = page;
            }
            if (changed.value == 0) continue;
            codec::seal(image.data(), live.nonce());
            good(write_full(raw, image.all(), std::uint64_t{n} * 4096));
            break;
        }
        good(raw.close());
    };
    auto const got = run_in_place(store, bent);
    REQUIRE(changed.value != 0);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == errc::structure_damaged);
    CHECK(got.error().page == changed);
    CHECK(got.error().at);
    CHECK(sets_in(b.env) == 0);
    CHECK(entries_in(b.env, "/scratch") == 0);
    good(std::move(db).close());
}

TEST_CASE("a set that cannot be read back is drilled on a shadow of it", "[backup][drill]") {
    auto b = bed{};
    b.work(600, 8);
    auto memory = memory_sink{};
    auto drilled = drill_sink<traits, memory_sink>{b.env, memory, below_scratch};
    auto const report = good(run_backup(b.store(), drilled));
    CHECK(report.drill);
    CHECK(memory.files().back().name == "manifest.json");
    expect_no_trace(b);

    auto again = memory_sink{};
    auto second = drill_sink<traits, memory_sink>{b.env, again, below_scratch};
    auto bent = bent_sink<drill_sink<traits, memory_sink>>{&second, 70'000};
    auto const got = run_in_place(b.store(), bent);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == errc::set_damaged);
    CHECK(again.files().empty());
    expect_no_trace(b);

    // Where no base can be looked for, a drill would prove nothing.
    (void)good(run_backup_to(b.db, "/repo"));
    auto sets = good(repository<env_type>::open(b.env, "/repo"));
    auto options = backup_options{.kind = backup_kind::incremental};
    options.find_base = [&](uuid const& set, std::uint64_t hash) {
        return sets.find_set(set, hash);
    };
    auto third = drill_sink<traits, memory_sink>{b.env, again, below_scratch};
    CHECK(code_of(run_in_place(b.store(), third, options)) == errc::unsupported);
    expect_no_trace(b, 1);

    // Told where it lies, it is proved over it; over another it is not.
    b.work(200, 81);
    auto with = below_scratch;
    with.bases = {"/repo"};
    auto fourth = drill_sink<traits, memory_sink>{b.env, again, with, &b.store()};
    auto const whole = good(run_in_place(b.store(), fourth, options));
    REQUIRE(whole.drill);
    CHECK(whole.drill->reached == whole.end_lsn);
    CHECK(whole.drill->compared > 0);
    CHECK(again.files().back().name == "manifest.json");
    expect_no_trace(b, 1);
    auto nothing = memory_sink{};
    (void)good(repository<env_type>::open_or_create(b.env, "/empty"));
    auto elsewhere = drill_sink<traits, memory_sink>{
        b.env, nothing, {.scratch = with.scratch, .bases = {"/empty"}}, &b.store()
    };
    CHECK_FALSE(run_in_place(b.store(), elsewhere, options));
    CHECK(nothing.files().empty());
    expect_no_trace(b, 1);
}

TEST_CASE("a drill that is cancelled leaves no set", "[backup][drill][async]") {
    auto b = bed{};
    b.work(600, 9);
    auto sets = good(repository<env_type>::open_or_create(b.env, "/repo"));
    auto sink = good(into_repository::create(b.env, sets));
    auto drilled = drill_sink<traits, into_repository>{b.env, sink, below_scratch};
    auto cancel = asio::cancellation_signal{};
    auto bent = bent_sink<drill_sink<traits, into_repository>>{&drilled, 0, std::byte{0}};
    auto outcome = std::optional<result<backup_report>>{};
    auto context = asio::io_context{};
    // One thread carries everything, so the signal is not emitted while the loop uses it.
    bent.before_proof = [&] { cancel.emit(asio::cancellation_type::total); };
    async_backup(
        context.get_executor(),
        context.get_executor(),
        b.store(),
        bent,
        backup_options{},
        asio::bind_cancellation_slot(
            cancel.slot(), [&](result<backup_report> done) { outcome.emplace(std::move(done)); }
        )
    );
    context.run();
    REQUIRE(outcome);
    CHECK(code_of(*outcome) == errc::cancelled);
    expect_no_trace(b);
}

using sim_engine = engine<sim_policies>;
using sim_env = sim_engine::environment_type;

TEST_CASE("a crash inside a drill leaves no set that claims to be one", "[backup][drill][crash]") {
    auto tape = choice_tape{11};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto b = bed<sim_policies>{env};
        b.work(60, 10);
        good(std::move(b.db).close());
    });
    auto const before = world.machine().save();
    auto const back_up = [&]() -> bool {
        auto db = sim_engine::open("/db", small_engine, env);
        return db && run_drilled_backup_to(db.value(), "/repo", below_scratch).has_value();
    };
    world.run([&] { REQUIRE(back_up()); });
    auto const calls = world.machine().calls();
    world.machine().restore(before);
    auto const first = world.machine().calls();
    auto const step = std::max<std::uint64_t>(1, (calls - first) / rounds(60));
    auto told = 0;
    auto none = 0;
    for (auto n = std::uint64_t{1}; n <= calls - first; n += step) {
        auto const policy = n % 2 == 0 ? crash_policy::random : crash_policy::none;
        world.machine().restore(before);
        world.machine().crash_at(n);
        auto was_told = false;
        world.run([&] { was_told = back_up(); });
        world.machine().thaw(policy);
        auto problem = std::string{};
        auto sets = std::uint64_t{0};
        world.run([&] {
            auto report = verify_repository(env, "/repo");
            if (report) {
                sets = report.value().sets;
                if (!report.value().is_good())
                    problem = describe(report.value().findings.front().why).c_str();
            } else if (report.error().code != errc::not_found) {
                problem = describe(report.error()).c_str();
            }
        });
        CAPTURE(n, name_of(policy));
        if (!problem.empty()) FAIL(problem);
        if (was_told && sets != 1) FAIL("a set that was reported is gone");
        told += was_told ? 1 : 0;
        none += sets == 0 ? 1 : 0;
    }
    CHECK(none > 20);
    CHECK(told < 20);
}

} // namespace jetpp_test::drill_cases
