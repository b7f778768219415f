// Many appenders at once, on real threads; run under the thread sanitizer as well.
#include <jetpp/env/native_environment.hpp>

#include <atomic>
#include <random>
#include <thread>

#include "writer_bed.hpp"
#include <stdlib.h>
#include <unistd.h>

namespace jetpp_test::log_writer_threads_cases {

using namespace jetpp;

using env_type = memory_environment;
using writer = log_writer<env_type>;

struct crew {
    struct hand {
        std::map<std::uint64_t, written_record> model{};
        std::string trouble{};
    };

    void note(hand& h, std::string what) {
        if (h.trouble.empty()) h.trouble = std::move(what);
    }

    // One appender: credits of an operation at a time, some records waited for, some not.
    void append(hand& h, std::uint32_t seed, int rounds, bool process_level) {
        auto random = std::mt19937_64{seed};
        auto credit = log_credit{};
        for (int i = 0; i < rounds; ++i) {
            auto const size = random() % 16 == 0 ? random() % 20'000 : random() % 200;
            auto const what = written_record{seed, some_bytes(random(), size)};
            if (auto got = log->acquire(credit, user_size(size)); !got) return note(h, said(got));
            auto const at = write_user(*log, credit, what);
            log->give_back(credit);
            h.model[at.value] = what;
            auto const how = random() % 4;
            if (how == 0) {
                auto const done = log->wait_durable(at);
                if (!done) return note(h, said(done));
                if (log->durable_lsn() <= at) note(h, "acknowledged below the record");
            } else if (how == 1 && process_level) {
                auto const done = log->wait_published(at);
                if (!done) return note(h, said(done));
                if (log->published() <= at) note(h, "published below the record");
            }
        }
    }

    std::unique_ptr<writer> log;
};

TEST_CASE("what many threads append is read back byte for byte", "[log][writer][threads]") {
    auto const process_level = GENERATE(false, true);
    auto const seed = GENERATE(range(1u, 4u));
    CAPTURE(process_level, seed);
    auto env = env_type{};
    auto where = env.storage.open_dir("log", directory_how::create_if_missing).value();
    auto o = tiny_log();
    o.process_level = process_level;
    o.lazy_interval = mono_time{0};
    o.time_mark_interval = std::chrono::milliseconds{1};
    auto made = writer::create(env, where, o, new_log());
    REQUIRE(made);
    auto team = crew{std::move(made).value()};

    auto hands = std::vector<crew::hand>(4);
    auto running = std::atomic<int>{4};
    auto threads = std::vector<std::thread>{};
    for (std::uint32_t i = 0; i < 4; ++i)
        threads.emplace_back([&, i] {
            team.append(hands[i], 100 * seed + i, 600, process_level);
            --running;
        });
    // The one who keeps the house: ticks, forced switches, jumps, and an eye on the order.
    auto keeper = crew::hand{};
    auto random = std::mt19937_64{seed};
    while (running != 0) {
        if (auto done = team.log->housekeeping(); !done) team.note(keeper, said(done));
        auto const next = generation_of(team.log->tail(), o.segment_bytes) + 1;
        auto switched = team.log->force_switch(random() % 4 == 0 ? next + random() % 10 : 0);
        if (!switched) team.note(keeper, said(switched));
        auto const durable = team.log->durable_lsn();
        if (durable > team.log->tail()) team.note(keeper, "durable beyond the tail");
        if (team.log->durable_lsn() < durable) team.note(keeper, "durable went back");
        std::this_thread::yield();
    }
    for (auto& t : threads) t.join();
    REQUIRE(team.log->flush_all());

    CHECK(keeper.trouble == "");
    auto model = std::map<std::uint64_t, written_record>{};
    for (auto& h : hands) {
        CHECK(h.trouble == "");
        model.merge(h.model);
    }
    auto const raw = read_raw(where, 1);
    CHECK(model.size() == 4 * 600);
    CHECK((users_of(raw) == model));
    CHECK(raw.end == team.log->tail());
}

TEST_CASE("committers on real files share their rounds", "[log][writer][threads]") {
    auto env = native_environment{};
    auto scratch = std::string{"/tmp/jetpp-log-XXXXXX"};
    REQUIRE(::mkdtemp(scratch.data()) != nullptr);
    auto where = env.storage.open_dir(scratch, directory_how::must_exist).value();
    auto o = tiny_log();
    o.segment_bytes = 1024 * 1024;
    auto made = log_writer<native_environment>::create(env, where, o, new_log());
    INFO(said(made));
    REQUIRE(made);
    auto& log = *made.value();
    auto troubles = std::atomic<int>{0};
    auto threads = std::vector<std::thread>{};
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            auto credit = log_credit{};
            for (std::uint32_t k = 0; k < 100; ++k) {
                auto body = record::commit{};
                if (!log.acquire(credit, 48)) ++troubles;
                auto const at = log.append(credit, {.transaction = lsn{1}}, body);
                if (!log.wait_durable(at)) ++troubles;
                if (log.durable_lsn() <= at) ++troubles;
            }
        });
    for (auto& t : threads) t.join();
    CHECK(troubles == 0);
    auto const raw = read_raw(where, 1);
    CHECK(raw.records.size() == 401);
    made.value().reset();
    for (auto const& name : names_in(where)) REQUIRE(where.remove(file_name::make(name).value()));
    CHECK(::rmdir(scratch.c_str()) == 0);
}

} // namespace jetpp_test::log_writer_threads_cases
