// Every storage call of a scripted run fails once: after the first write or sync that fails nothing
// is written any more, what was durable stays durable, and nobody is told otherwise.
#include <jetpp/simulation/simulated_world.hpp>

#include "writer_bed.hpp"

namespace jetpp_test::log_writer_failure_cases {

using namespace jetpp;

using env_type = simulated_environment;
using writer = log_writer<env_type>;

struct script {
    std::map<std::uint64_t, written_record> model{};
    std::map<std::uint64_t, written_record> acknowledged{};
    error first{};
    bool came_to_end = false;

    // Notes the first error; true if there was none.
    template <class T>
    bool good(result<T> const& r) {
        if (!r && first.code == errc::none) first = r.error();
        return r.has_value();
    }

    void run(simulated_world& world) {
        auto env = world.environment();
        auto opened = env.storage.open_dir("log", directory_how::create_if_missing);
        if (!good(opened)) return;
        auto& where = opened.value();
        auto made = writer::create(env, where, tiny_log(), new_log());
        if (!good(made)) return;
        auto& log = *made.value();
        auto credit = log_credit{};
        for (std::uint32_t i = 0; i < 40 && first.code == errc::none; ++i) {
            if (!good(log.acquire(credit, user_size(9000)))) break;
            auto const what = written_record{i, some_bytes(i, i % 3 == 0 ? 9000 : 40 * i)};
            auto const at = write_user(log, credit, what);
            log.give_back(credit);
            model[at.value] = what;
            if (i % 2 == 0 && good(log.wait_durable(at))) acknowledged[at.value] = what;
            if (i % 7 == 3) (void)good(log.force_switch(i == 31 ? 40 : 0));
            if (i % 5 == 4) (void)good(log.housekeeping());
            if (i % 11 == 10) (void)good(log.recycle_below(first_lsn(2, 128 * 1024)));
        }
        if (first.code == errc::none) {
            came_to_end = good(log.close_clean());
            return;
        }
        aftermath(world, log, env);
    }

    void aftermath(simulated_world& world, writer& log, env_type&) {
        if (!log.failed()) {
            // Only want of space leaves the log whole.
            CHECK((first.code == errc::disk_full || first.code == errc::out_of_memory));
            return;
        }
        auto const written = world.machine().changes();
        auto const durable = log.durable_lsn();
        CHECK(log.failure().code != errc::none);
        for (auto const& [at, what] : model) {
            auto const waited = log.wait_durable(lsn{at});
            CHECK(waited.has_value() == (lsn{at} < durable));
            if (!waited) CHECK(waited.error().code == errc::log_failed);
        }
        auto credit = log_credit{};
        CHECK(log.acquire(credit, 64).error().code == errc::log_failed);
        CHECK(log.force_switch().error().code == errc::log_failed);
        CHECK(log.housekeeping().error().code == errc::log_failed);
        CHECK(log.recycle_below(durable).error().code == errc::log_failed);
        CHECK(log.close_clean().error().code == errc::log_failed);
        auto waiter = lsn_waiter{.at = durable};
        waiter.done = [](lsn_waiter* w, error e) noexcept {
            w->at = lsn{static_cast<std::uint64_t>(e.code)};
        };
        log.watch(waiter);
        CHECK(waiter.at.value == static_cast<std::uint64_t>(errc::log_failed));
        CHECK(world.machine().changes() == written); // not one call that could change the disk
    }
};

void check_disk(simulated_world& world, script const& told) {
    world.machine().clear_faults();
    world.machine().crash_at(0); // reading needs a life that lasts
    world.machine().crash_at_change(0);
    world.run([&] {
        auto env = world.environment();
        auto where = env.storage.open_dir("log", directory_how::create_if_missing);
        INFO(said(where));
        REQUIRE(where);
        auto oldest = std::uint64_t{0};
        for (auto const& name : names_in(where.value()))
            if (auto const g = parse_segment_name(name); g && (oldest == 0 || *g < oldest))
                oldest = *g;
        if (oldest == 0) {
            CHECK(told.acknowledged.empty());
            return;
        }
        auto const found = users_of(read_raw(where.value(), oldest));
        auto const floor = first_lsn(oldest, 128 * 1024);
        for (auto const& [at, what] : found) CHECK(told.model.at(at) == what);
        for (auto const& [at, what] : told.acknowledged)
            if (lsn{at} >= floor) CHECK(found.contains(at));
    });
}

TEST_CASE(
    "after the n-th storage call failed the log fails for good and keeps its promises",
    "[log][writer][failure]"
) {
    auto n = std::uint64_t{1};
    for (auto finished = false; !finished; ++n) {
        CAPTURE(n);
        auto tape = choice_tape{n};
        auto world = simulated_world{tape};
        world.machine().fail_call(n);
        auto told = script{};
        world.run([&] { told.run(world); });
        finished = world.machine().faults_injected_count() == 0;
        if (finished) CHECK(told.came_to_end);
        world.machine().thaw(draw_crash_policy(tape));
        check_disk(world, told);
    }
    CHECK(n > 100);
}

TEST_CASE("a disk that is full at the n-th call only shrinks credits", "[log][writer][failure]") {
    auto n = std::uint64_t{1};
    for (auto finished = false; !finished; ++n) {
        CAPTURE(n);
        auto tape = choice_tape{n};
        auto world = simulated_world{tape};
        // Preparation writes under a spare's name; the writer itself never needs new space.
        world.machine().inject({
            .calls = storage_call::write | storage_call::create,
            .name = "spare",
            .nth = n,
            .answer = {.code = errc::disk_full, .os_errno = 28},
        });
        auto told = script{};
        world.run([&] { told.run(world); });
        finished = world.machine().faults_injected_count() == 0;
        if (finished) CHECK(told.came_to_end);
        if (!told.came_to_end) CHECK(told.first.code == errc::disk_full);
        world.machine().thaw(crash_policy::none);
        check_disk(world, told);
    }
    CHECK(n > 4);
}

} // namespace jetpp_test::log_writer_failure_cases
