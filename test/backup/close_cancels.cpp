// test/backup/close_cancels.cpp - an engine that is closed cancels the backups it feeds, if told so.
#include <jetpp/backup.hpp>

#include <boost/asio/io_context.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::close_cancels_cases {

using namespace jetpp;
namespace asio = boost::asio;

template <class Policies>
std::pair<std::size_t, std::size_t> sets_in(typename engine<Policies>::environment_type env) {
    auto sets =
        good(repository<typename engine<Policies>::environment_type>::open_or_create(env, "/repo"));
    auto found = std::pair<std::size_t, std::size_t>{};
    for (auto const& one : good(sets.list())) ++(one.has_manifest ? found.first : found.second);
    return found;
}

// Backs up, with or without an event loop, until it is told to stop.
template <class Policies>
struct backing_up {
    using env_type = typename engine<Policies>::environment_type;
    bed<Policies>* b;
    bool in_place;
    std::uint64_t bytes_per_second;
    errc heard = errc::none;
    std::atomic<bool> begun{false}; // whoever has an engine closed by then calls into nothing

    static void run(void* raw) {
        auto& self = *static_cast<backing_up*>(raw);
        self.heard = self.back_up();
    }
    [[nodiscard]] errc back_up() {
        auto options = backup_options{.kind = backup_kind::copy};
        options.bytes_per_second = bytes_per_second;
        options.on_progress = [this](backup_progress const&) -> result<void> {
            begun.store(true);
            return ok();
        };
        auto& store = b->store();
        if (in_place) return code_of(run_backup_to(b->db, "/repo", options));
        return code_of(detail::back_up_to(
            store,
            "/repo",
            options,
            [&](auto& sink, backup_options const& all) { return run_backup(store, sink, all); }
        ));
    }
};

TEST_CASE("an engine that closes ends its backups wherever they are", "[backup][async]") {
    auto cancelled = 0;
    auto finished = 0;
    for (std::uint64_t seed = 1; seed <= rounds(40); ++seed) {
        CAPTURE(seed);
        auto tape = choice_tape{seed};
        auto world = simulated_world{tape};
        world.run([&] {
            auto const env = world.environment();
            auto b = std::make_unique<bed<task_policies>>(env);
            b->work(200, static_cast<unsigned>(seed));
            auto const expected = b->expected;
            // A slow one would take minutes.
            auto const speed = seed % 3 == 0 ? 0U : 10'000U;
            auto first = backing_up<task_policies>{b.get(), seed % 2 == 0, speed};
            auto task =
                good(simulated_runtime{}.spawn("backup", &backing_up<task_policies>::run, &first));
            while (!b->store().is_pinned() && first.heard == errc::none)
                simulated_runtime{}.relax(40);
            auto const wait = tape.pick(400);
            for (std::uint32_t turn = 0; turn < wait; ++turn) simulated_runtime{}.relax(turn);
            auto const from = simulated_runtime{}.now();
            good(std::move(b->db).close(close_how::stop_all));
            auto const took = simulated_runtime{}.now() - from;
            task.join();
            auto const [whole, others] = sets_in<task_policies>(env);
            CHECK(others == 0);
            CHECK(whole == (first.heard == errc::none ? 1U : 0U));
            CHECK(took < std::chrono::seconds{20});
            if (first.heard == errc::cancelled)
                ++cancelled;
            else if (first.heard == errc::none)
                ++finished;
            else
                FAIL(name_of(first.heard));
            expect_rows<task_policies>(env, "/db", expected);
        });
    }
    CAPTURE(cancelled, finished);
    CHECK(cancelled > 5);
    CHECK(finished > 0);
}

TEST_CASE("whoever drives a backup himself is not made to wait for it", "[backup][async]") {
    auto const with_threads = GENERATE(false, true);
    auto const drive = [&](auto policies) {
        using P = decltype(policies);
        auto b = bed<P>{};
        b.work(200, 3);
        auto sets =
            good(repository<typename bed<P>::environment_type>::open_or_create(b.env, "/repo"));
        auto sink = good(directory_sink<typename bed<P>::environment_type>::create(b.env, sets));
        auto context = asio::io_context{};
        auto outcome = std::optional<result<backup_report>>{};
        async_backup(
            context.get_executor(),
            context.get_executor(),
            b.store(),
            sink,
            backup_options{.kind = backup_kind::copy},
            [&](result<backup_report> got) { outcome.emplace(std::move(got)); }
        );
        for (auto step = 0; step < 4; ++step) (void)context.run_one();
        REQUIRE(b.store().is_pinned());
        auto const patience = std::chrono::milliseconds{5};
        auto const closed = std::move(b.db).close(close_how::stop_all, patience);
        CHECK(code_of(closed) == errc::backup_in_progress);
        context.run();
        REQUIRE(outcome);
        CHECK(code_of(*outcome) == errc::cancelled);
        CHECK_FALSE(b.store().is_pinned());
        // The engine is open, and takes the next one.
        (void)good(run_backup_to(b.db, "/repo"));
        good(std::move(b.db).close(close_how::stop_all));
        CHECK(sets_in<P>(b.env) == std::pair<std::size_t, std::size_t>{1, 0});
    };
    if (with_threads)
        drive(thread_policies{});
    else
        drive(bed_policies{});
}

TEST_CASE("threads back up while another closes the engine", "[backup][async][threads]") {
    auto cancelled = 0;
    for (auto turn = 0U; turn < rounds(12); ++turn) {
        CAPTURE(turn);
        auto b = std::make_unique<bed<thread_policies>>();
        b->work(200, turn);
        auto const expected = b->expected;
        auto const env = b->env;
        // Of the slow ones none ends by itself.
        auto slow = backing_up<thread_policies>{b.get(), false, 10'000};
        auto other = backing_up<thread_policies>{b.get(), true, turn % 2 == 0 ? 10'000U : 0U};
        auto all = std::vector<std::jthread>{};
        for (auto* const one : {&slow, &other})
            all.emplace_back([one] { backing_up<thread_policies>::run(one); });
        for (auto* const one : {&slow, &other})
            while (!one->begun.load()) std::this_thread::yield();
        good(std::move(b->db).close(close_how::stop_all));
        all.clear();
        for (auto const* const one : {&slow, &other}) {
            auto const known = one->heard == errc::cancelled ||
                               (one->heard == errc::none && one->bytes_per_second == 0);
            if (!known) FAIL(name_of(one->heard));
            cancelled += one->heard == errc::cancelled ? 1 : 0;
        }
        CHECK(sets_in<thread_policies>(env).second == 0);
        expect_rows<thread_policies>(env, "/db", expected);
    }
    CHECK(cancelled > 0);
}

} // namespace jetpp_test::close_cancels_cases
