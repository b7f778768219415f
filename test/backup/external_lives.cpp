// test/backup/external_lives.cpp - a session whose caller is gone, and an engine that goes while a
// session is read.
#include <jetpp/simulation/simulated_world.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "external_bed.hpp"

namespace jetpp_test::external_lives_cases {

using namespace jetpp;
using namespace std::chrono_literals;

using task_engine = engine<task_policies>;
using task_session = external_backup<task_engine::traits>;

void let_pass(std::chrono::nanoseconds time) {
    auto const still = std::uint32_t{0};
    auto runtime = simulated_runtime{};
    auto const until = runtime.now() + time;
    while (runtime.now() < until) runtime.park(&still, 0, until);
}

TEST_CASE("an engine ends the session of a dead caller by itself", "[backup][external]") {
    auto tape = choice_tape{5};
    auto world = simulated_world{tape};
    world.run([&] {
        auto b = bed<task_policies>{world.environment()};
        b.work(100, 1);
        auto events = heard{};
        auto dead = task_session{b.db};
        good(dead.begin(backup_kind::full, {.session_timeout = 1min, .events = events.sink()}));
        auto const handle = good(dead.open("main"));
        auto page = std::vector<std::byte>(4096);
        for (auto i = 0; i < 5; ++i) { // whoever calls now and then is not idle
            let_pass(50s);
            CHECK(good(dead.read(handle, page)) == 4096);
        }
        CHECK(events.all.empty());
        CHECK(b.store().is_pinned());
        let_pass(61s);
        CHECK_FALSE(b.store().is_pinned());
        REQUIRE(events.all.size() == 1);
        CHECK(events.all[0].kind == event_kind::backup_failed);
        CHECK(events.all[0].why.code == errc::backup_stopped);

        // Others may begin, and the engine may be closed or changed over it.
        auto next = task_session{b.db};
        good(next.begin());
        CHECK(code_of(dead.read(handle, page)) == errc::backup_stopped);
        CHECK(code_of(dead.list_logs()) == errc::backup_stopped);
        good(dead.close(handle));
        CHECK(code_of(dead.end(external_end::normal)) == errc::backup_stopped);
        CHECK(code_of(dead.end(external_end::normal)) == errc::no_backup);
        CHECK(good(next.list_databases()).size() == 1); // it is in nobody's way
        (void)good(next.end(external_end::abort));
        good(dead.begin());
        (void)good(dead.end(external_end::abort));
        CHECK(events.all.size() == 1);
        good(std::move(b.db).close());
    });
}

// Without background tasks: whoever wants what the session holds looks at it first.
TEST_CASE(
    "a dead caller's session holds neither log, close nor another session", "[backup][external]"
) {
    enum class wish { truncation, checkpoint, session, poll, close, freeze };
    for (auto const what :
         {wish::truncation, wish::checkpoint, wish::session, wish::poll, wish::close, wish::freeze
         }) {
        auto tape = choice_tape{6};
        auto world = simulated_world{tape};
        world.run([&] {
            auto b = std::make_unique<bed<sim_policies>>(world.environment());
            using session_type = external_backup<bed<sim_policies>::traits>;
            b->work(2500, 2);
            auto files = copied_files{};
            auto first = session_type{b->db};
            good(first.begin());
            copy_databases(first, files);
            copy_logs(first, files);
            (void)good(first.end(external_end::normal));
            auto events = heard{};
            auto dead = session_type{b->db};
            good(dead.begin(
                backup_kind::incremental, {.session_timeout = 10s, .events = events.sink()}
            ));
            b->work(2500, 3);
            good(b->db.checkpoint());
            CHECK(good(b->db.truncate_log()).holder().who == log_holder::running);
            let_pass(11s);
            CHECK(events.all.empty()); // there is nobody yet to see it
            switch (what) {
            case wish::truncation:
                CHECK(good(b->db.truncate_log()).holder().who != log_holder::running);
                break;
            case wish::checkpoint: good(b->db.checkpoint()); break;
            case wish::session: {
                auto next = session_type{b->db};
                good(next.begin());
                break;
            }
            case wish::poll: (void)good(b->db.poll()); break;
            case wish::close: good(std::move(b->db).close()); break;
            default: good(b->db.freeze()); good(b->db.thaw());
            }
            CHECK(events.count(event_kind::backup_failed) == 1);
            CHECK(
                code_of(dead.list_logs()) ==
                (what == wish::close ? errc::invalid_argument : errc::backup_stopped)
            );
        });
    }
}

// Reads one file again and again in a task of its own, and notes what it hears.
struct reader {
    task_session* session;
    external_handle handle;
    bool inside = false;
    std::uint64_t reads = 0;
    errc last = errc::none;

    static void run(void* raw) {
        auto& self = *static_cast<reader*>(raw);
        auto buffer = good(aligned_buffer::create(64 << 10));
        for (;;) {
            self.inside = true;
            auto const got = self.session->read(self.handle, buffer.all());
            self.inside = false;
            self.last = code_of(got);
            if (!got || got.assume_value() == 0) return;
            ++self.reads;
        }
    }
};

// `act` runs while another task is inside of read(). Returns: whether it met one there.
bool while_read(
    std::uint64_t seed,
    std::function<void(bed<task_policies>&, task_session&, reader&, simulated_task&)> const& act
) {
    auto tape = choice_tape{seed};
    auto world = simulated_world{tape};
    auto met = false;
    world.run([&] {
        auto b = std::make_unique<bed<task_policies>>(world.environment());
        b->work(1500, static_cast<unsigned>(seed));
        auto session = task_session{b->db};
        good(session.begin());
        auto one = reader{&session, good(session.open("main"))};
        auto task = good(simulated_runtime{}.spawn("reader", &reader::run, &one));
        auto const wanted = 1 + tape.pick(4);
        for (std::uint32_t turn = 0; one.reads < wanted && one.last == errc::none && turn < 100000;
             ++turn)
            simulated_runtime{}.relax(turn);
        for (std::uint32_t turn = 0; !one.inside && turn < 50; ++turn)
            simulated_runtime{}.relax(turn);
        met = one.inside;
        act(*b, session, one, task);
        task.join();
    });
    return met;
}

TEST_CASE("a service that stops lets a read end, and refuses the next", "[backup][external]") {
    auto met = 0;
    for (std::uint64_t seed = 1; seed <= rounds(12); ++seed) {
        CAPTURE(seed);
        met += while_read(seed, [](auto& b, auto& session, auto& one, auto& task) {
            b.db.stop_service();
            auto const before = one.reads;
            task.join();
            CHECK(one.reads <= before + 1);
            CHECK((one.last == errc::service_stopped || one.last == errc::none));
            CHECK(code_of(session.list_databases()) == errc::service_stopped);
            b.db.resume_service();
            CHECK(good(session.list_databases()).size() == 1); // it goes on where it stood
            (void)good(session.end(external_end::abort));
        });
    }
    CHECK(met > 5);
}

TEST_CASE(
    "a close waits for a read that is under way, and the reader learns of it", "[backup][external]"
) {
    auto met = 0;
    auto refused = 0;
    for (std::uint64_t seed = 1; seed <= rounds(12); ++seed) {
        CAPTURE(seed);
        met += while_read(seed + 100, [&](auto& b, auto& session, auto& one, auto& task) {
            CHECK(code_of(std::move(b.db).close()) == errc::backup_in_progress);
            good(std::move(b.db).close(close_how::stop_sessions));
            task.join();
            CHECK(
                (one.last == errc::invalid_argument || one.last == errc::backup_stopped ||
                 one.last == errc::busy || one.last == errc::none)
            );
            refused += one.last != errc::none ? 1 : 0;
            CHECK(code_of(session.end(external_end::normal)) == errc::invalid_argument);
        });
    }
    CHECK(met > 5);
    CHECK(refused > 3);
}

TEST_CASE("a session ended while it is read ends behind the read", "[backup][external]") {
    auto met = 0;
    for (std::uint64_t seed = 1; seed <= rounds(12); ++seed) {
        CAPTURE(seed);
        met += while_read(seed + 200, [&](auto& b, auto& session, auto& one, auto& task) {
            if (seed % 2 == 0) session.stop();
            (void)good(session.end(external_end::abort));
            CHECK_FALSE(b.store().is_pinned());
            task.join();
            CHECK(
                (one.last == errc::no_backup || one.last == errc::backup_stopped ||
                 one.last == errc::busy || one.last == errc::none)
            );
        });
    }
    CHECK(met > 5);
}

// A read that fails tears its session down, and waits for the other readers as an end does: whoever
// comes second finds another session, and lets it be.
TEST_CASE("a read that failed does not end the session that came after", "[backup][external]") {
    auto failed = 0;
    for (std::uint64_t seed = 1; seed <= rounds(40); ++seed) {
        CAPTURE(seed);
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        world.run([&] {
            auto b = bed<task_policies>{world.environment()};
            b.work(1500, static_cast<unsigned>(seed));
            auto session = task_session{b.db};
            good(session.begin());
            auto const logs = good(session.list_logs());
            REQUIRE(logs.size() > 1);
            {
                auto where = good(b.env.storage.open_dir("/db", directory_how::must_exist));
                auto file = good(
                    where.open(good(file_name::make(logs[0].name)), {.mode = open_mode::read_write})
                );
                auto noise = good(aligned_buffer::create(4096));
                noise.all()[7] = std::byte{0xA5};
                good(write_full(file, noise.all(), 8192));
            }
            auto bad = reader{&session, good(session.open(logs[0].name))};
            auto sound = reader{&session, good(session.open(logs[1].name))};
            auto first = good(simulated_runtime{}.spawn("bad", &reader::run, &bad));
            auto second = good(simulated_runtime{}.spawn("sound", &reader::run, &sound));
            auto const wait = tape.pick(30);
            for (std::uint32_t turn = 0; turn < wait; ++turn) simulated_runtime{}.relax(turn);
            (void)session.end(external_end::abort);
            for (std::uint32_t turn = 0; code_of(session.begin()) == errc::busy; ++turn)
                simulated_runtime{}.relax(turn);
            first.join();
            second.join();
            failed += bad.last == errc::log_damaged ? 1 : 0;
            CHECK(session.now().phase == external_phase::databases);
            CHECK(b.store().is_pinned());
            (void)good(session.end(external_end::abort));
        });
    }
    CHECK(failed > 3);
}

TEST_CASE(
    "an engine destroyed over a session leaves it without an instance", "[backup][external]"
) {
    auto tape = choice_tape{9};
    auto world = simulated_world{tape};
    world.run([&] {
        auto b = std::make_unique<bed<task_policies>>(world.environment());
        b->work(50, 9);
        auto session = task_session{b->db};
        good(session.begin());
        b.reset();
        CHECK(code_of(session.list_databases()) == errc::invalid_argument);
        CHECK(code_of(session.end(external_end::abort)) == errc::invalid_argument);
    });
}

} // namespace jetpp_test::external_lives_cases
