// A power failure at every moment of a program's life, and what must be there afterwards.
//
// The machine is a parameter of the engine. On the simulated one the disk forgets, tears and
// reorders what was not synced; it can be stopped at any storage call, and everything is repeated
// exactly by its seed. The simulator is shipped: test your own program with it as this one does.
#include <jetpp/jetpp.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <cstdint>
#include <string>

#include "example.hpp"

struct crash_policies : jetpp::default_policies {
    static constexpr std::size_t page_size = 4096;
    using threading = jetpp::single_thread;
    using storage = jetpp::simulated_storage;
    using runtime = jetpp::simulated_runtime;
};
using engine = jetpp::engine<crash_policies>;

constexpr auto small = jetpp::open_options{
    .buffer_bytes = 64 * 4096, .segment_bytes = 128 << 10, .log_ring_bytes = 128 << 10
};
constexpr auto days_max = 20;

static std::string key(int day) {
    return "day" + std::to_string(100 + day);
}

// The program: it writes two rows a day, together. `acknowledged` is the last day whose commit
// returned. When the machine stops, the next call fails, and the program ends by its error path.
static jetpp::result<void> live(jetpp::simulated_world& world, int& acknowledged) {
    BOOST_OUTCOME_TRY(auto db, engine::open("diary", small, world.environment()));
    BOOST_OUTCOME_TRY(db.attach("main"));
    BOOST_OUTCOME_TRY(auto const diary, db.open_tree("main", "diary"));
    for (auto day = 1; day <= days_max; ++day) {
        BOOST_OUTCOME_TRY(db.transact([&](engine::transaction& tx) -> jetpp::result<void> {
            BOOST_OUTCOME_TRY(tx.put(diary, key(day) + " morning", "tea"));
            return tx.put(diary, key(day) + " evening", "wine");
        }));
        acknowledged = day;
        BOOST_OUTCOME_TRY(db.poll());
    }
    return std::move(db).close();
}

// The next life: open() recovers. Returns: how many days are there.
static jetpp::result<int> look(jetpp::simulated_world& world) {
    BOOST_OUTCOME_TRY(auto db, engine::open("diary", small, world.environment()));
    BOOST_OUTCOME_TRY(db.attach("main"));
    BOOST_OUTCOME_TRY(auto const diary, db.open_tree("main", "diary"));
    BOOST_OUTCOME_TRY(auto const now, db.read());
    auto days = 0;
    for (;; ++days) {
        BOOST_OUTCOME_TRY(auto const morning, now.get(diary, key(days + 1) + " morning"));
        BOOST_OUTCOME_TRY(auto const evening, now.get(diary, key(days + 1) + " evening"));
        if (morning.has_value() != evening.has_value()) claim(false, "no day is there by half");
        if (!morning) return days;
    }
}

int main() {
    auto lives = 0;
    auto lost_work = 0; // days that were written and not acknowledged
    for (auto call = std::uint64_t{1};; ++call) {
        auto tape = jetpp::choice_tape{call}; // the seed of this run
        auto world = jetpp::simulated_world{tape};
        auto acknowledged = 0;
        world.machine().crash_at(call); // in the call-th storage call from now on
        world.run([&] { (void)live(world, acknowledged); });
        auto const was_stopped = world.machine().frozen();

        // The power is back. What the disk kept of all that was never synced is drawn at random;
        // the draw may be that power fails once more, while the next life recovers.
        auto found = jetpp::result<int>{0};
        do {
            world.machine().thaw(jetpp::draw_crash_policy(tape));
            world.run([&] { found = look(world); });
        } while (world.machine().frozen());
        if (!found) return status_of(found.error());
        if (found.assume_value() < acknowledged) claim(false, "no acknowledged day is lost");
        lost_work += found.assume_value() == acknowledged ? 0 : 1;
        ++lives;
        if (!was_stopped) break;
    }
    std::printf("%d lives, each ended at another storage call of the program\n", lives);
    claim(lives > 50, "the program makes many storage calls");
    claim(true, "after each crash every acknowledged day was there, and none by half");
    std::printf("%d times a day was there that had not been acknowledged yet\n", lost_work);
}
