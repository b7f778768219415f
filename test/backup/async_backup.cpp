// test/backup/async_backup.cpp - the pipeline: its ends, and what is left behind at each.
#include <jetpp/backup.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bed.hpp"

namespace jetpp_test::async_backup_cases {

using namespace jetpp;
namespace asio = boost::asio;

using bed_env = bed<>::environment_type;

// Sets in the repository, complete or not.
struct sets_found {
    std::size_t whole = 0;
    std::size_t others = 0;
};
sets_found sets_in(bed_env env, path_view path) {
    auto sets = good(repository<bed_env>::open(env, path));
    auto found = sets_found{};
    for (auto const& entry : good(sets.list())) ++(entry.has_manifest ? found.whole : found.others);
    return found;
}

// What a backup that did not come to its end must leave: nothing.
void expect_no_trace(bed<>& b, uuid const& set_before) {
    auto const found = sets_in(b.env, "/repo");
    CHECK(found.whole == 0);
    CHECK(found.others == 0);
    auto const& marks = b.store().databases()[0].file->header();
    CHECK(marks.mark(mark_kind::full).set == set_before);
    // All sixteen pins are to be had.
    auto pins = std::vector<instance<bed<>::traits>::log_pin>{};
    for (auto i = 0; i < 16; ++i) pins.push_back(good(b.store().pin_log()));
    for (auto const& pin : pins) b.store().unpin_log(pin);
}

// Fails or throws at the n-th call.
struct bad_sink {
    directory_sink<bed_env>* to;
    int fails_at;
    bool throws;
    int calls = 0;

    [[nodiscard]] result<void> turn() {
        if (++calls != fails_at) return ok();
        if (throws) throw std::runtime_error{"a sink of a user"};
        return error{.code = errc::disk_full};
    }
    [[nodiscard]] backup_receipt receipt() { return to->receipt(); }
    [[nodiscard]] result<void> begin(set_name const& name) {
        BOOST_OUTCOME_TRY(turn());
        return to->begin(name);
    }
    [[nodiscard]] result<void> open_part(std::string_view name) {
        BOOST_OUTCOME_TRY(turn());
        return to->open_part(name);
    }
    [[nodiscard]] result<void> write(const_bytes content) {
        BOOST_OUTCOME_TRY(turn());
        return to->write(content);
    }
    [[nodiscard]] result<void> close_part() {
        BOOST_OUTCOME_TRY(turn());
        return to->close_part();
    }
    [[nodiscard]] result<backup_receipt> finish(const_bytes manifest) {
        BOOST_OUTCOME_TRY(turn());
        return to->finish(manifest);
    }
    void abandon() { to->abandon(); }
};
static_assert(backup_sink<bad_sink>);

TEST_CASE("the pipeline makes the set that reading and writing in turn makes", "[backup][async]") {
    auto b = bed{};
    b.work(2000, 3);
    auto in_turn = memory_sink{};
    auto const first = good(run_in_place(b.store(), in_turn));
    auto together = memory_sink{};
    auto const second = good(run_backup(b.store(), together));
    CHECK(first.kind == backup_kind::copy); // what is in memory is nothing to rely on
    CHECK(first.pages == second.pages);
    REQUIRE(in_turn.files().size() == together.files().size());
    for (std::size_t i = 0; i < in_turn.files().size(); ++i)
        CHECK(in_turn.files()[i].name == together.files()[i].name);
}

TEST_CASE("an io_context and a thread pool carry a backup", "[backup][async]") {
    auto b = bed{};
    b.work(2000, 4);
    auto const expected = b.expected;
    auto sets = good(repository<bed_env>::open_or_create(b.env, "/repo"));
    auto sink = good(directory_sink<bed_env>::create(b.env, sets));
    auto context = asio::io_context{};
    auto pool = asio::thread_pool{2};
    auto outcome = std::optional<result<backup_report>>{};
    auto steps = std::vector<backup_progress>{};
    auto options = backup_options{};
    options.on_progress = [&](backup_progress const& now) -> result<void> {
        CHECK(
            (now.stage == backup_stage::publish ? now.file == "manifest.json"
                                                : now.file == "main" || now.file == "log")
        );
        steps.push_back(now);
        return ok();
    };
    async_backup(
        context.get_executor(),
        pool.get_executor(),
        b.store(),
        sink,
        options,
        [&](result<backup_report> done) { outcome.emplace(std::move(done)); }
    );
    CHECK_FALSE(outcome); // never from inside the call
    context.run();
    REQUIRE(outcome);
    auto const report = good(std::move(*outcome));
    REQUIRE(!steps.empty());
    for (std::size_t i = 1; i < steps.size(); ++i)
        CHECK(steps[i - 1].bytes_done <= steps[i].bytes_done);
    CHECK(steps.back().bytes_done == report.image_bytes);
    CHECK(steps.back().bytes_total == report.image_bytes);
    CHECK(sets_in(b.env, "/repo").whole == 1);
    CHECK(b.store().databases()[0].file->header().mark(mark_kind::full).set == report.set);
    good(std::move(b.db).close());
    (void)good(run_restore<bed<>::traits>(b.env, "/repo", "/restored"));
    expect_rows(b.env, "/restored", expected);
}

TEST_CASE("a cancelled backup leaves no set, no mark and no pin", "[backup][async]") {
    auto b = bed{};
    b.work(2000, 5);
    for (auto const type :
         {asio::cancellation_type::total,
          asio::cancellation_type::partial,
          asio::cancellation_type::terminal}) {
        auto sets = good(repository<bed_env>::open_or_create(b.env, "/repo"));
        auto sink = good(directory_sink<bed_env>::create(b.env, sets));
        auto context = asio::io_context{};
        auto signal = asio::cancellation_signal{};
        auto outcome = std::optional<result<backup_report>>{};
        auto options = backup_options{};
        options.on_progress = [&](backup_progress const&) -> result<void> {
            signal.emit(type); // in the middle of the work
            return ok();
        };
        // One executor for both: everything is in this thread.
        async_backup(
            context.get_executor(),
            context.get_executor(),
            b.store(),
            sink,
            options,
            asio::bind_cancellation_slot(
                signal.slot(), [&](result<backup_report> done) { outcome.emplace(std::move(done)); }
            )
        );
        context.run();
        REQUIRE(outcome);
        CHECK(code_of(*outcome) == errc::cancelled);
        expect_no_trace(b, {});
    }
}

TEST_CASE("a backup that waits for its rate is cancelled at once", "[backup][async]") {
    auto b = bed{};
    b.work(2000, 5);
    auto sets = good(repository<bed_env>::open_or_create(b.env, "/repo"));
    auto sink = good(directory_sink<bed_env>::create(b.env, sets));
    auto context = asio::io_context{};
    auto pool = asio::thread_pool{2};
    auto signal = asio::cancellation_signal{};
    auto outcome = std::optional<result<backup_report>>{};
    auto options = backup_options{};
    options.bytes_per_second = 10; // days, for what comes after the first chunk
    options.on_progress = [&](backup_progress const&) -> result<void> {
        asio::post(context, [&] { signal.emit(asio::cancellation_type::partial); });
        return ok();
    };
    async_backup(
        context.get_executor(),
        pool.get_executor(),
        b.store(),
        sink,
        options,
        asio::bind_cancellation_slot(
            signal.slot(), [&](result<backup_report> done) { outcome.emplace(std::move(done)); }
        )
    );
    context.run();
    pool.join();
    REQUIRE(outcome);
    CHECK(code_of(*outcome) == errc::cancelled);
    expect_no_trace(b, {});
}

TEST_CASE("an error of the callback is the backup's error", "[backup][async]") {
    auto b = bed{};
    b.work(500, 6);
    auto options = backup_options{};
    auto calls = 0;
    options.on_progress = [&](backup_progress const&) -> result<void> {
        if (++calls == 2) return error{.code = errc::timeout};
        return ok();
    };
    CHECK(code_of(run_backup_to(b.db, "/repo", options)) == errc::timeout);
    expect_no_trace(b, {});
    options.on_progress = [](backup_progress const&) -> result<void> { throw 7; };
    CHECK(code_of(run_backup_to(b.db, "/repo", options)) == errc::io);
    expect_no_trace(b, {});
}

TEST_CASE("a sink may fail or throw at every call", "[backup][async]") {
    auto b = bed{};
    b.work(500, 7);
    for (auto const throws : {false, true}) {
        for (auto n = 1;; ++n) {
            good(b.db.checkpoint()); // each try ends a segment: the next needs none of them
            auto sets = good(repository<bed_env>::open_or_create(b.env, "/repo"));
            auto to = good(directory_sink<bed_env>::create(b.env, sets));
            auto sink = bad_sink{&to, n, throws};
            auto const done = run_backup(b.store(), sink);
            if (sink.calls < n) { // one call more than there are
                REQUIRE(done);
                CHECK(n > 10);
                CHECK(sets_in(b.env, "/repo").whole == 1);
                break;
            }
            CAPTURE(throws, n);
            CHECK(code_of(done) == (throws ? errc::io : errc::disk_full));
            expect_no_trace(b, {});
        }
        auto sets = good(repository<bed_env>::open(b.env, "/repo"));
        for (auto const& entry : good(sets.list())) {
            auto set = good(sets.open_set(entry.name));
            auto files = array_list<directory_entry>{};
            good(set.list(files));
            for (auto const& file : files) good(set.remove(file.name));
            sets.remove_set(entry.name);
        }
        good(b.store().databases()[0].file->change_header([](database_header& h) noexcept {
            h.clear_marks();
        }));
    }
}

TEST_CASE("a backup of an engine without databases is refused", "[backup][async]") {
    auto env = bed_env{};
    auto db = good(engine<bed_policies>::open("/db", small_engine, env));
    CHECK(code_of(run_backup_to(db, "/repo")) == errc::not_found);
}

TEST_CASE("a repository is not made inside an instance", "[backup][async]") {
    auto b = bed{};
    CHECK(code_of(run_backup_to(b.db, "/db")) == errc::invalid_argument);
}

} // namespace jetpp_test::async_backup_cases
