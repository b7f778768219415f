// Named pins: what they hold, what breaks them, and what a crash leaves of them.
#include <jetpp/core/describe.hpp>
#include <jetpp/jetpp.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../budget.hpp"
#include "../catch.hpp"

namespace jetpp_test::instance_pins_cases {

using namespace jetpp;

// Circular: what nothing holds is used again.
struct policies : default_policies {
    static constexpr std::size_t page_size = 4096;
    using logging = circular_logging;
    using threading = single_thread;
    using storage = simulated_storage;
    using runtime = simulated_runtime;
};
using engine_type = engine<policies>;
using env_type = simulated_environment;

constexpr std::uint64_t segment = 128 << 10;
constexpr auto much = std::uint64_t{1} << 30;

template <class T>
T good(result<T>&& got) {
    if (!got) FAIL(describe(got.error()).c_str());
    return std::move(got).value();
}
void good(result<void>&& got) {
    if (!got) FAIL(describe(got.error()).c_str());
}
template <class T>
errc code_of(result<T> const& got) {
    return got ? errc::none : got.error().code;
}

struct told {
    std::vector<event> all;
    static void hear(void* context, event const& what) noexcept {
        static_cast<told*>(context)->all.push_back(what);
    }
    event_sink sink() { return {&hear, this}; }
    std::optional<event> of(event_kind kind) const {
        for (auto const& one : all)
            if (one.kind == kind) return one;
        return {};
    }
};

open_options options_with(event_sink events = {}) {
    return {
        .buffer_bytes = 256 << 10,
        .segment_bytes = segment,
        .log_ring_bytes = 128 << 10,
        .checkpoint_every_bytes = std::uint64_t{1} << 40, // only those that are asked for
        .process_durability = false,
        .events = events,
    };
}

// Log of some segments, and none of it needed by recovery.
result<void> write_log(engine_type& db, int segments) {
    BOOST_OUTCOME_TRY(auto const rows, db.open_tree("main", "rows"));
    for (auto i = 0; i < segments * 80; ++i) {
        auto const value = std::string(900, static_cast<char>('a' + i % 25));
        BOOST_OUTCOME_TRY(db.put(rows, std::to_string(i % 40), value, durability::memory));
        if (i % 40 == 39) {
            BOOST_OUTCOME_TRY(db.checkpoint());
        }
    }
    // A header copy follows the checkpoint by one, and one copy at a time.
    for (auto i = 0; i < 3; ++i) {
        BOOST_OUTCOME_TRY(db.checkpoint());
    }
    return ok();
}

struct machine {
    choice_tape tape{1};
    simulated_world world{tape};
    told events;

    engine_type open() {
        auto db = good(engine_type::open("/db", options_with(events.sink()), world.environment()));
        good(db.attach("main"));
        return db;
    }
    // In a life that closes.
    template <class F>
    void run(F&& f) {
        world.run([&] {
            auto db = open();
            f(db);
            good(std::move(db).close());
        });
    }
};

lsn oldest(engine_type& db) {
    return db.core().store.log().oldest_kept();
}
pin_id reader(std::string_view name) {
    return good(pin_id::of_reader(name));
}
// Is all log from that place on there?
bool keeps(engine_type& db, lsn from) {
    return generation_of(oldest(db), segment) <= generation_of(from, segment);
}

TEST_CASE("the log is kept from a named pin on, until it moves or goes", "[recovery][pins]") {
    auto m = machine{};
    m.run([&](engine_type& db) {
        good(write_log(db, 4));
        auto const pin = good(db.create_pin(reader("index"), {.byte_cap = much}));
        CHECK(pin.at >= oldest(db));
        CHECK(pin.byte_cap == much);
        good(write_log(db, 6));
        REQUIRE(keeps(db, pin.at));
        auto const held = good(db.truncate_log());
        CHECK(held.circular);
        CHECK(held.holder().who == log_holder::pin);
        CHECK(held.holder().name.view() == "index");
        CHECK(held.limit == pin.at);

        auto const next = pin.at + 3 * segment;
        good(db.advance_pin(reader("index"), next));
        CHECK(good(db.find_pin(reader("index"))).at == next);
        good(db.checkpoint());
        CHECK_FALSE(keeps(db, pin.at));
        CHECK(keeps(db, next));

        good(db.release_pin(reader("index")));
        good(db.checkpoint());
        CHECK_FALSE(keeps(db, next));
        CHECK(db.named_pins().count == 0);
    });
    CHECK_FALSE(m.events.of(event_kind::pin_broken));
}

TEST_CASE("named pins survive closing and crashes, and hold meanwhile", "[recovery][pins]") {
    auto m = machine{};
    auto pin = named_pin{};
    m.run([&](engine_type& db) {
        good(write_log(db, 2));
        pin = good(db.create_pin(reader("index"), {.byte_cap = much}));
        good(write_log(db, 3));
    });
    m.run([&](engine_type& db) {
        CHECK(good(db.find_pin(reader("index"))) == pin);
        good(write_log(db, 3));
        REQUIRE(keeps(db, pin.at));
    });
    m.world.run([&] {
        auto db = m.open();
        good(write_log(db, 3));
        m.world.machine().crash_at(1);
        (void)db.checkpoint();
    });
    m.world.machine().thaw(crash_policy::none);
    m.world.machine().crash_at(0);
    m.run([&](engine_type& db) {
        CHECK(db.core().store.report().recovered);
        CHECK(good(db.find_pin(reader("index"))) == pin);
        good(write_log(db, 3));
        CHECK(keeps(db, pin.at));
    });
    CHECK_FALSE(m.events.of(event_kind::pins_lost));
}

TEST_CASE("a pin beyond its cap is broken, tells so, and holds nothing", "[recovery][pins]") {
    auto m = machine{};
    auto at = lsn{};
    m.run([&](engine_type& db) {
        at = good(db.create_pin(reader("index"), {.byte_cap = 2 * segment})).at;
        good(db.create_pin(reader("other"), {.byte_cap = much}));
        good(write_log(db, 1));
        CHECK_FALSE(m.events.of(event_kind::pin_broken));
        good(write_log(db, 3));
        auto const told = m.events.of(event_kind::pin_broken);
        REQUIRE(told);
        CHECK(told->from == at);
        CHECK(told->count > 2 * segment);
        CHECK(told->why.code == errc::pin_broken);
        CHECK(good(db.find_pin(reader("index"))).is_broken());
        CHECK(code_of(db.advance_pin(reader("index"), at + segment)) == errc::pin_broken);
        CHECK(code_of(db.create_pin(reader("index"), {.byte_cap = much})) == errc::already_exists);
        CHECK(keeps(db, at)); // the other one holds it, and its cap is larger
        good(db.release_pin(reader("other")));
        good(db.checkpoint());
        CHECK_FALSE(keeps(db, at));
    });
    // Its owner may ask much later.
    m.run([&](engine_type& db) {
        CHECK(code_of(db.advance_pin(reader("index"), at + segment)) == errc::pin_broken);
        good(db.release_pin(reader("index")));
        CHECK(code_of(db.find_pin(reader("index"))) == errc::not_found);
        CHECK(code_of(db.release_pin(reader("index"))) == errc::not_found);
        CHECK(code_of(db.advance_pin(reader("index"), at)) == errc::not_found);
    });
    auto broken = 0;
    for (auto const& one : m.events.all) broken += one.kind == event_kind::pin_broken ? 1 : 0;
    CHECK(broken == 1);
}

TEST_CASE("what no pin can be is refused", "[recovery][pins]") {
    machine{}.run([](engine_type& db) {
        good(write_log(db, 4));
        CHECK(code_of(db.create_pin(reader("a"), {})) == errc::invalid_argument); // no cap
        CHECK(code_of(db.create_pin({}, {.byte_cap = much})) == errc::invalid_argument);
        auto const gone = db.create_pin(reader("a"), {.from = lsn{segment + 5000}, .byte_cap = 1});
        REQUIRE(code_of(gone) == errc::log_missing);
        CHECK(gone.error().at == oldest(db));
        CHECK(
            code_of(db.create_pin(
                reader("a"), {.from = db.core().store.log().tail() + 1, .byte_cap = much}
            )) == errc::invalid_argument
        );
        auto const pin = good(db.create_pin(reader("a"), {.byte_cap = much}));
        CHECK(code_of(db.advance_pin(reader("a"), pin.at - 1)) == errc::invalid_argument);
        CHECK(
            code_of(db.advance_pin(reader("a"), db.core().store.log().tail() + 1)) ==
            errc::invalid_argument
        );
        good(db.advance_pin(reader("a"), pin.at));
        for (auto i = 1; i < 16; ++i)
            good(db.create_pin(reader(std::to_string(i)), {.byte_cap = much}));
        CHECK(code_of(db.create_pin(reader("b"), {.byte_cap = much})) == errc::resource);
        // Another kind may bear the name of one.
        auto const standby = good(pin_id::of_reader("a", pin_kind::standby));
        CHECK(code_of(db.find_pin(standby)) == errc::not_found);
        good(db.release_pin(reader("7")));
        good(db.create_pin(standby, {.byte_cap = much}));
        CHECK(db.named_pins().count == 16);
    });
    for (auto const name : {"", "seventeen bytes..", "a/b", "\x01", "\xff"})
        CHECK(code_of(pin_id::of_reader(name)) == errc::invalid_argument);
    CHECK(code_of(pin_id::of_reader("a", pin_kind::resumable_backup)) == errc::invalid_argument);
    CHECK(reader("sixteen bytes...").text().view() == "sixteen bytes...");
    CHECK(
        pin_id::of_backup(make_uuid(1, 2)).text().view() ==
        std::string_view{hex_of(make_uuid(1, 2)).data(), 32}
    );
}

TEST_CASE("without its checkpoint file an instance has no pins, and says so", "[recovery][pins]") {
    auto m = machine{};
    auto at = lsn{};
    m.run([&](engine_type& db) {
        at = good(db.create_pin(reader("index"), {.byte_cap = much})).at;
        good(write_log(db, 3));
    });
    CHECK_FALSE(m.events.of(event_kind::pins_lost));
    m.world.run([&] {
        auto env = m.world.environment();
        auto where = good(env.storage.open_dir("/db", directory_how::must_exist));
        good(where.remove(checkpoint_file_name));
        good(where.sync());
    });
    m.run([&](engine_type& db) {
        CHECK(m.events.of(event_kind::pins_lost));
        CHECK(db.named_pins().count == 0);
        good(write_log(db, 3));
        CHECK_FALSE(keeps(db, at));
    });
}

TEST_CASE("a pin waits for a thaw", "[recovery][pins][freeze]") {
    auto m = machine{};
    m.run([&](engine_type& db) {
        good(db.freeze({.limit = std::chrono::milliseconds{5}}));
        auto const before = m.world.machine().calls();
        // Nobody thaws: the freeze ends by itself, and the pin is made behind it.
        good(db.create_pin(reader("index"), {.byte_cap = much}));
        CHECK(m.world.machine().calls() > before);
        CHECK(code_of(db.thaw()) == errc::freeze_timeout);
    });
}

// ---- crashes

// What the owner of a pin was told last.
struct owner {
    bool created = false;
    bool asked_release = false;
    bool released = false;
    lsn at{};                            // acknowledged
    lsn asked_at{};                      // the highest place asked for
    std::vector<std::uint64_t> at_calls; // of storage: before and after each step
};

// The life that is cut: log is recycled before, between and behind each step.
void own_a_pin(simulated_world& world, owner& mine) {
    auto const env = world.environment();
    auto const note = [&] { mine.at_calls.push_back(world.machine().calls()); };
    auto opened = engine_type::open("/db", options_with(), env);
    if (!opened) return;
    auto& db = opened.value();
    if (!write_log(db, 2)) return;
    note();
    auto const pin = db.create_pin(reader("index"), {.byte_cap = much});
    note();
    if (!pin) return;
    mine.created = true;
    mine.at = mine.asked_at = pin.value().at;
    if (!write_log(db, 2)) return;
    mine.asked_at = mine.at + segment;
    note();
    if (!db.advance_pin(reader("index"), mine.asked_at)) return;
    note();
    mine.at = mine.asked_at;
    if (!write_log(db, 2)) return;
    mine.asked_release = true;
    note();
    if (!db.release_pin(reader("index"))) return;
    note();
    mine.released = true;
    (void)write_log(db, 1);
}

TEST_CASE("a crash at any call leaves pins as they were told, with their log", "[recovery][pins]") {
    auto tape = choice_tape{1};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    world.run([&] {
        auto db = good(engine_type::open("/db", options_with(), env));
        good(db.attach("main"));
        good(write_log(db, 1));
        good(std::move(db).close());
    });
    auto const before = world.machine().save();
    world.machine().restore(before);
    auto const first = world.machine().calls();
    auto whole = owner{};
    world.run([&] { own_a_pin(world, whole); });
    REQUIRE(whole.released);
    REQUIRE(whole.at_calls.size() == 6);
    auto const calls = world.machine().calls() - first;
    REQUIRE(calls > 100);

    auto found = 0;
    auto gone = 0;
    // Every call of the steps and around them; of the log between them a sample that the budget
    // makes denser.
    auto const is_close = [&](std::uint64_t n) {
        return std::ranges::any_of(whole.at_calls, [&](std::uint64_t at) {
            return first + n + 4 > at && first + n < at + 4;
        });
    };
    auto const stride = std::max<std::uint64_t>(1, 7 / jetpp_test::rounds(1));
    // The last one tears sectors, which is outside the promise.
    for (auto const policy : std::span{every_crash_policy}.first(every_crash_policy.size() - 1)) {
        for (auto n = std::uint64_t{1}; n <= calls; ++n) {
            if (n % stride != 0 && !is_close(n)) continue;
            world.machine().restore(before);
            world.machine().crash_at(n);
            auto mine = owner{};
            world.run([&] { own_a_pin(world, mine); });
            world.machine().thaw(policy);
            world.machine().crash_at(0);
            auto problem = std::string{};
            world.run([&] {
                auto db = engine_type::open("/db", options_with(), env);
                if (!db) {
                    problem = describe(db.error()).c_str();
                    return;
                }
                auto const pin = db.value().find_pin(reader("index"));
                (pin ? found : gone) += 1;
                if (!pin && mine.created && !mine.asked_release) problem = "created, and gone";
                if (pin && mine.released) problem = "released, and there";
                if (!pin) return;
                auto const at = pin.value().at;
                if (mine.created && at != mine.at && at != mine.asked_at)
                    problem = "the pin is at " + std::to_string(at.value);
                if (!keeps(db.value(), at)) problem = "its log is gone";
                if (!write_log(db.value(), 2)) problem = "no more log";
                if (!keeps(db.value(), at)) problem = "its log went";
            });
            CAPTURE(name_of(policy), n, mine.created, mine.released);
            REQUIRE(problem == "");
        }
    }
    // Both ways a step may have gone were met.
    CHECK(found > 0);
    CHECK(gone > 0);
}

} // namespace jetpp_test::instance_pins_cases
