// test/backup/external_calls.cpp - calls of an external session that meet the engine's close, and
// event sinks that call the session back; threads that read one at once.
#include <jetpp/backup/external_restore.hpp>
#include <jetpp/backup/run_backup.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "external_bed.hpp"

namespace jetpp_test::external_calls_cases {

using namespace jetpp;
using namespace std::chrono_literals;

using task_engine = engine<task_policies>;
using task_session = external_backup<task_engine::traits>;
using thread_engine = engine<thread_policies>;
using thread_session = external_backup<thread_engine::traits>;

void let_pass(std::chrono::nanoseconds time) {
    auto const still = std::uint32_t{0};
    auto runtime = simulated_runtime{};
    auto const until = runtime.now() + time;
    while (runtime.now() < until) runtime.park(&still, 0, until);
}

template <class Engine>
struct closer {
    Engine* db;
    close_how how;
    std::uint32_t wait;
    errc heard = errc::none;
    static void run(void* raw) {
        auto& self = *static_cast<closer*>(raw);
        for (std::uint32_t turn = 0; turn < self.wait; ++turn) simulated_runtime{}.relax(turn);
        self.heard = code_of(std::move(*self.db).close(self.how));
    }
};

// An engine that ended while a session began: either the session was first, and keeps it open, or is
// torn down if it shall be; or the engine was, and the session has none.
void expect_one_order(errc begun, errc closed, close_how how, errc next) {
    if (how == close_how::unless_backed_up) {
        if ((begun == errc::none) != (closed == errc::backup_in_progress))
            FAIL("begin: " << name_of(begun) << ", close: " << name_of(closed));
        CHECK((begun == errc::none || begun == errc::invalid_argument));
        CHECK((closed == errc::none || closed == errc::backup_in_progress));
    } else {
        CHECK((begun == errc::none || begun == errc::invalid_argument));
        CHECK(closed == errc::none);
    }
    CHECK(next == (closed == errc::none ? errc::invalid_argument : errc::none));
}

// A session that was claimed before is known to the instance: it finds the way back, or nothing.
TEST_CASE(
    "a session that begins again while its engine closes is first, or has no engine",
    "[backup][external]"
) {
    auto kept_open = 0;
    auto came_late = 0;
    for (std::uint64_t seed = 1; seed <= rounds(60); ++seed) {
        CAPTURE(seed);
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        world.run([&] {
            auto b = std::make_unique<bed<task_policies>>(world.environment());
            b->work(50, static_cast<unsigned>(seed));
            auto session = task_session{b->db};
            if (seed % 3 != 0) {
                good(session.begin());
                (void)good(session.end(external_end::abort));
            }
            auto const how = seed % 4 == 0 ? close_how::stop_sessions : close_how::unless_backed_up;
            auto other =
                closer<task_engine>{&b->db, how, static_cast<std::uint32_t>(tape.pick(40))};
            auto task =
                good(simulated_runtime{}.spawn("closer", &closer<task_engine>::run, &other));
            auto const wait = tape.pick(40);
            for (std::uint32_t turn = 0; turn < wait; ++turn) simulated_runtime{}.relax(turn);
            auto const begun = code_of(session.begin());
            task.join();
            expect_one_order(begun, other.heard, how, code_of(session.end(external_end::abort)));
            (begun == errc::none ? kept_open : came_late) += 1;
        });
    }
    CHECK(kept_open > 3);
    CHECK(came_late > 3);
}

// Whatever copies or freezes an instance is first, or is refused: an engine that goes takes nobody
// along who was let in.
TEST_CASE("an instance that began to close takes no backup and no freeze", "[backup][external]") {
    auto b = bed<>{};
    b.work(50, 1);
    auto& store = b.store();
    auto idle = external_backup<bed<>::traits>{b.db};
    good(idle.begin());
    (void)good(idle.end(external_end::abort));
    auto const pin = good(store.pin_log());
    CHECK(code_of(store.begin_close()) == errc::backup_in_progress);
    CHECK(code_of(std::move(b.db).close()) == errc::backup_in_progress);
    store.unpin_log(pin);
    good(b.db.freeze());
    CHECK(code_of(store.begin_close()) == errc::freeze_sequence);
    CHECK(code_of(std::move(b.db).close()) == errc::freeze_sequence);
    good(b.db.thaw());
    // Nobody lost the instance by these.
    good(idle.begin());
    (void)good(idle.end(external_end::abort));
    (void)good(run_backup_to(b.db, "/repo"));

    good(store.begin_close());
    CHECK(code_of(store.pin_log()) == errc::terminating);
    CHECK(code_of(run_backup_to(b.db, "/repo")) == errc::terminating);
    CHECK(code_of(idle.begin()) == errc::terminating);
    CHECK(code_of(b.db.freeze()) == errc::terminating);
    CHECK_FALSE(store.is_pinned());
    good(std::move(b.db).close());
    CHECK(code_of(idle.begin()) == errc::invalid_argument);
}

// The same with threads of the system, for sanitizers: nothing of the engine is touched once it went.
TEST_CASE(
    "threads begin, end and drop sessions while another closes the engine",
    "[backup][external][threads]"
) {
    for (auto turn = 0U; turn < rounds(40); ++turn) {
        CAPTURE(turn);
        auto b = std::make_unique<bed<thread_policies>>();
        auto const how = turn % 3 == 0 ? close_how::stop_sessions : close_how::unless_backed_up;
        auto again = std::make_unique<thread_session>(b->db);
        auto unused = std::make_unique<thread_session>(b->db);
        good(again->begin());
        (void)good(again->end(external_end::abort));
        auto ready = std::atomic<unsigned>{0};
        auto const meet = [&] {
            ready.fetch_add(1);
            while (ready.load() != 3) std::this_thread::yield();
        };
        auto closed = errc::none;
        auto all = std::vector<std::jthread>{};
        all.emplace_back([&] {
            meet();
            for (auto spin = turn; spin != 0; --spin) std::this_thread::yield();
            closed = code_of(std::move(b->db).close(how));
        });
        all.emplace_back([&] {
            meet();
            for (auto n = 0; n < 4; ++n) {
                (void)again->begin();
                (void)again->now();
                (void)again->end(external_end::abort);
            }
        });
        all.emplace_back([&] {
            meet();
            (void)unused->begin();
            unused.reset();
        });
        all.clear();
        CHECK((closed == errc::none || closed == errc::backup_in_progress));
        CHECK(
            code_of(again->begin()) == (closed == errc::none ? errc::invalid_argument : errc::none)
        );
    }
}

// Two halves of a database, each by a thread with a handle of its own, while others write and take
// checkpoints: together they are a copy, once the trailer is read behind both.
TEST_CASE(
    "sections are read by several threads at once, under writers", "[backup][external][threads]"
) {
    for (auto seed = 1U; seed <= rounds(4); ++seed) {
        CAPTURE(seed);
        auto b = bed<thread_policies>{};
        auto random = std::mt19937{seed};
        for (auto n = 0; n < 1500; ++n) { // no poll(): that is the cleaner's here
            auto const key = "key" + std::to_string(random() % 1000);
            b.expected[key] = std::string(random() % 300, 'v');
            (void)good(b.db.put(b.rows, key, b.expected[key], durability::memory));
        }
        auto session = thread_session{b.db};
        good(session.begin());
        auto const whole = good(session.open("main"));
        auto const half = static_cast<std::size_t>(whole.bytes / 2 / 4096 * 4096);
        auto const upper = good(session.open("main", half));
        struct written {
            std::vector<std::pair<lsn, std::string>> log;
            bool failed = false;
        };
        auto stop = std::atomic<bool>{false};
        auto writers = std::array<written, 2>{};
        auto sections = std::array<std::string, 2>{};
        auto codes = std::array<errc, 2>{};
        {
            auto writing = std::vector<std::jthread>{};
            for (auto i = 0U; i < 2; ++i)
                writing.emplace_back([&, i] {
                    for (auto n = 0U; !stop.load() && n < 4000; ++n) {
                        auto const key = "w" + std::to_string(i) + "-" + std::to_string(n);
                        auto const done = b.db.put(b.rows, key, key, durability::memory);
                        if (done)
                            writers[i].log.emplace_back(done.assume_value().at, key);
                        else
                            writers[i].failed = true;
                        if (n % 500 == 499 && !b.db.checkpoint()) writers[i].failed = true;
                    }
                });
            auto reading = std::vector<std::jthread>{};
            for (auto i = 0U; i < 2; ++i)
                reading.emplace_back([&, i] {
                    auto room = std::vector<std::byte>(16 * 4096);
                    auto& section = sections[i];
                    while (i == 1 || section.size() < half) {
                        auto const left = i == 1 ? room.size() : half - section.size();
                        auto const wanted = std::min(room.size(), left);
                        auto const got =
                            session.read(i == 0 ? whole : upper, {room.data(), wanted});
                        codes[i] = code_of(got);
                        if (!got || got.assume_value() == 0) break;
                        section.append(
                            reinterpret_cast<char const*>(room.data()), got.assume_value()
                        );
                    }
                });
            reading.clear();
            stop.store(true);
        }
        CHECK(codes == std::array{errc::none, errc::none});
        good(session.close(whole));
        good(session.close(upper));
        auto const trailer = good(session.open("main", whole.bytes - 4096));
        auto page = std::array<std::byte, 4096>{};
        CHECK(good(session.read(trailer, page)) == page.size());
        good(session.close(trailer));
        auto files = copied_files{{"main", sections[0] + sections[1]}};
        files["main"].replace(
            files["main"].size() - page.size(),
            page.size(),
            reinterpret_cast<char const*>(page.data()),
            page.size()
        );
        copy_logs(session, files);
        auto const report = good(session.end(external_end::normal));
        auto expected = b.expected;
        for (auto const& one : writers) {
            CHECK_FALSE(one.failed);
            for (auto const& [at, key] : one.log) {
                if (at >= report.bounds.end_lsn) FAIL("a commit before the logs is not in them");
                expected[key] = key;
            }
        }
        lay_down(b.env, "/new", files);
        (void)good(external_restore<thread_engine::traits>(b.env, "/new"));
        expect_rows<thread_policies>(b.env, "/new", expected);
        good(std::move(b.db).close());
    }
}

// A sink that asks the session whose event it hears for all that a caller could ask.
template <class Session>
struct curious {
    Session* session = nullptr;
    std::vector<event_kind> heard;
    std::vector<errc> answers;
    bool begins = false;
    [[nodiscard]] event_sink sink() {
        return {
            .on_event =
                [](void* raw, event const& what) noexcept {
                    auto& self = *static_cast<curious*>(raw);
                    self.heard.push_back(what.kind);
                    (void)self.session->now();
                    self.answers.push_back(code_of(self.session->list_databases()));
                    (void)self.session->close({.number = 99});
                    self.session->stop();
                    if (self.begins && what.kind == event_kind::backup_failed) {
                        self.begins = false;
                        (void)self.session->end(external_end::abort);
                        good(self.session->begin());
                    }
                },
            .context = this,
        };
    }
};

TEST_CASE("a sink may call the session that tells it", "[backup][external]") {
    auto tape = choice_tape{21};
    auto world = simulated_world{tape};
    world.run([&] {
        auto b = bed<task_policies>{world.environment()};
        b.work(60, 1);
        auto session = task_session{b.db};
        auto seen = curious<task_session>{&session, {}, {}};
        auto const options = external_options{.session_timeout = 1min, .events = seen.sink()};

        good(session.begin(backup_kind::full, options));
        CHECK(code_of(session.open("unknown")) == errc::file_not_listed);
        CHECK(seen.heard == std::vector{event_kind::backup_file_refused});
        CHECK(seen.answers == std::vector{errc::none}); // inside of the session that goes on
        CHECK(code_of(session.open("main")) == errc::backup_stopped); // as the sink wanted

        // The end is told when it has come: the sink may begin the next one.
        seen.begins = true;
        (void)good(session.end(external_end::abort));
        CHECK(seen.heard.back() == event_kind::backup_failed);
        CHECK(seen.answers.back() == errc::no_backup);
        CHECK(session.now().phase == external_phase::databases);
        (void)good(session.end(external_end::abort));

        // By the engine, which finds it idle: told by a thread of the engine, before it is forgotten.
        seen.heard.clear();
        good(session.begin(backup_kind::full, options));
        let_pass(2min);
        CHECK(seen.heard == std::vector{event_kind::backup_failed});
        CHECK(seen.answers.back() == errc::backup_stopped);
        CHECK(code_of(session.end(external_end::normal)) == errc::backup_stopped);

        // By a close, which tears it down.
        seen.heard.clear();
        good(session.begin(backup_kind::full, options));
        good(std::move(b.db).close(close_how::stop_sessions));
        CHECK(seen.heard == std::vector{event_kind::backup_failed});
    });
}

// Without background tasks the next session finds the dead one, and its sink may ask the next one.
TEST_CASE(
    "a sink that hears of a dead session may call the one that replaced it", "[backup][external]"
) {
    using session_type = external_backup<bed<sim_policies>::traits>;
    auto tape = choice_tape{23};
    auto world = simulated_world{tape};
    world.run([&] {
        auto b = bed<sim_policies>{world.environment()};
        auto dead = session_type{b.db};
        auto next = session_type{b.db};
        auto seen = curious<session_type>{&next, {}, {}};
        good(dead.begin(backup_kind::full, {.session_timeout = 10s, .events = seen.sink()}));
        let_pass(11s);
        good(next.begin());
        CHECK(seen.heard == std::vector{event_kind::backup_failed});
        CHECK(seen.answers == std::vector{errc::none});
        (void)good(next.end(external_end::abort));
        good(std::move(b.db).close());
    });
}

TEST_CASE("a session is not gone while its sink is called", "[backup][external]") {
    struct slow {
        bool inside = false;
        bool through = false;
        static void note(void* raw, event const&) noexcept {
            auto& self = *static_cast<slow*>(raw);
            self.inside = true;
            let_pass(5s);
            self.through = true;
        }
    };
    auto tape = choice_tape{22};
    auto world = simulated_world{tape};
    world.run([&] {
        auto b = bed<task_policies>{world.environment()};
        auto sink = slow{};
        auto dead = std::make_unique<task_session>(b.db);
        good(
            dead->begin(backup_kind::full, {.session_timeout = 10s, .events = {&slow::note, &sink}})
        );
        while (!sink.inside) let_pass(1s); // in the engine's cleaner
        CHECK_FALSE(sink.through);
        dead.reset();
        CHECK(sink.through);
        good(std::move(b.db).close());
    });
}

} // namespace jetpp_test::external_calls_cases
