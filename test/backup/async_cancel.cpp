// test/backup/async_cancel.cpp - a backup that is cancelled wherever it can be.
#include <jetpp/backup.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bed.hpp"

namespace jetpp_test::async_cancel_cases {

using namespace jetpp;
namespace asio = boost::asio;

using bed_env = bed<>::environment_type;
using into_repository = directory_sink<bed_env>;

// Calls back before each call that goes on to a repository.
struct watched_sink {
    into_repository* to;
    std::function<void()> before;

    [[nodiscard]] backup_receipt receipt() { return to->receipt(); }
    [[nodiscard]] result<void> begin(set_name const& name) {
        before();
        return to->begin(name);
    }
    [[nodiscard]] result<void> open_part(std::string_view name) {
        before();
        return to->open_part(name);
    }
    [[nodiscard]] result<void> write(const_bytes content) {
        before();
        return to->write(content);
    }
    [[nodiscard]] result<void> close_part() {
        before();
        return to->close_part();
    }
    [[nodiscard]] result<backup_receipt> finish(const_bytes manifest) {
        before();
        return to->finish(manifest);
    }
    void abandon() { to->abandon(); }
};
static_assert(backup_sink<watched_sink>);

// What the instance and the repository are like, but for the log that grew.
struct trace {
    std::size_t whole = 0; // sets
    std::size_t others = 0;
    uuid mark{};
    friend bool operator==(trace const&, trace const&) = default;
};
trace trace_of(bed<>& b) {
    auto sets = good(repository<bed_env>::open_or_create(b.env, "/repo"));
    auto found = trace{};
    for (auto const& entry : good(sets.list())) ++(entry.has_manifest ? found.whole : found.others);
    found.mark = b.store().databases()[0].file->header().mark(mark_kind::copy).set;
    return found;
}
// All pins are to be had again.
void expect_no_pin(bed<>& b) {
    auto pins = std::vector<instance<bed<>::traits>::log_pin>{};
    for (auto i = 0; i < 16; ++i) pins.push_back(good(b.store().pin_log()));
    for (auto const& pin : pins) b.store().unpin_log(pin);
}

struct cancelled_run {
    errc code{};
    std::size_t steps{};      // handlers that ran
    std::size_t sink_calls{}; // into the sink
};
// Cancels after `at_step` handlers, or inside the sink's `at_call`-th call.
cancelled_run run_cancelled(
    bed<>& b,
    asio::cancellation_type type,
    std::optional<std::size_t> at_step,
    std::optional<std::size_t> at_call = {}
) {
    // So that a copy carries a few segments, and not the log of all that were cancelled.
    good(b.store().checkpoint(checkpoint_how::flush_all));
    auto sets = good(repository<bed_env>::open_or_create(b.env, "/repo"));
    auto to = good(into_repository::create(b.env, sets));
    auto done = cancelled_run{};
    auto cancel = asio::cancellation_signal{};
    auto sink = watched_sink{&to, [&] {
                                 if (at_call && done.sink_calls == *at_call) cancel.emit(type);
                                 ++done.sink_calls;
                             }};
    auto context = asio::io_context{};
    auto outcome = std::optional<result<backup_report>>{};
    async_backup(
        context.get_executor(),
        context.get_executor(), // blocking calls are steps as well
        b.store(),
        sink,
        backup_options{.kind = backup_kind::copy, .queue_buffers = 2},
        asio::bind_cancellation_slot(
            cancel.slot(), [&](result<backup_report> got) { outcome.emplace(std::move(got)); }
        )
    );
    for (;;) {
        if (at_step && done.steps == *at_step) cancel.emit(type);
        if (context.run_one() == 0) break;
        ++done.steps;
    }
    REQUIRE(outcome);
    done.code = code_of(*outcome);
    return done;
}

// Returns: was it cancelled? If not, the set stands.
bool expect_all_or_nothing(bed<>& b, trace const& before, cancelled_run const& run) {
    auto const after = trace_of(b);
    expect_no_pin(b);
    CHECK(after.others == 0);
    if (run.code == errc::cancelled) {
        CHECK(after == before);
        return true;
    }
    CHECK(run.code == errc::none);
    CHECK(after.whole == before.whole + 1);
    CHECK(after.mark != before.mark);
    return false;
}

TEST_CASE(
    "a backup cancelled at any resumption leaves a whole set or no trace", "[backup][async]"
) {
    auto b = bed{};
    b.work(200, 1);
    for (auto const type :
         {asio::cancellation_type::total,
          asio::cancellation_type::partial,
          asio::cancellation_type::terminal}) {
        auto cancelled = 0;
        auto finished = 0;
        // Until the backup has ended before its turn comes.
        for (auto n = std::size_t{0};; ++n) {
            CAPTURE(n, static_cast<unsigned>(type));
            REQUIRE(n < 200);
            auto const before = trace_of(b);
            auto const run = run_cancelled(b, type, n);
            auto const ended = expect_all_or_nothing(b, before, run);
            CHECK_FALSE((ended && finished != 0)); // once it is too late, it stays too late
            ++(ended ? cancelled : finished);
            if (run.steps < n) break;
        }
        CHECK(cancelled > 10);
        CHECK(finished > 1); // also while it was published
    }
}

TEST_CASE("a backup cancelled inside any call of its sink leaves no trace", "[backup][async]") {
    auto b = bed{};
    b.work(200, 2);
    for (auto n = std::size_t{0};; ++n) {
        CAPTURE(n);
        REQUIRE(n < 200);
        auto const before = trace_of(b);
        auto const run = run_cancelled(b, asio::cancellation_type::total, {}, n);
        if (expect_all_or_nothing(b, before, run)) continue;
        // Only the last call publishes: then the set is there, and that is what is said.
        CHECK(run.sink_calls == n + 1);
        CHECK(n > 8);
        break;
    }
}

TEST_CASE("a cancellation of no type is none", "[backup][async]") {
    auto b = bed{};
    b.work(100, 3);
    for (auto n = std::size_t{0}; n < 10; ++n)
        CHECK(run_cancelled(b, asio::cancellation_type::none, n).code == errc::none);
}

} // namespace jetpp_test::async_cancel_cases
