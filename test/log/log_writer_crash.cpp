// The log over many lives: tasks append, wait and switch; the machine stops anywhere, its disk
// keeps what a policy draws; the next life reads the log and goes on behind it.
#include <jetpp/log/replay.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <set>

#include "../budget.hpp"
#include "../simulation/tasks.hpp"
#include "writer_bed.hpp"

namespace jetpp_test::log_writer_crash_cases {

using namespace jetpp;

using env_type = simulated_environment;
using writer = log_writer<env_type>;

// What the world outside remembers.
struct memory {
    std::map<std::uint64_t, written_record> appended{};
    std::set<std::uint64_t> durable{};   // acknowledged by wait_durable
    std::set<std::uint64_t> published{}; // acknowledged by wait_published
    lsn recycled{};                      // floor of the last recycling
    std::string trouble{};

    void note(std::string what) {
        if (trouble.empty()) trouble = std::move(what);
    }
    void lose_from(lsn end) {
        appended.erase(appended.lower_bound(end.value), appended.end());
        published.erase(published.lower_bound(end.value), published.end());
    }
};

struct life {
    simulated_world& world;
    memory& outside;
    choice_tape& tape;
    log_options options = tiny_log();
    std::uint32_t incarnation = 1;
    bool ring_counts = false; // the crash before was a kill: jet.ring must hold what it held
    bool is_over = false;

    template <class T>
    bool good(result<T> const& r) {
        if (r) return true;
        is_over = true;
        auto const code = r.error().code;
        auto const excused =
            (world.machine().frozen() || world.machine().faults_injected_count() != 0) &&
            (code == errc::device_gone || code == errc::log_failed || code == errc::io);
        if (!excused) outside.note(said(r));
        return false;
    }

    void live() {
        auto env = world.environment();
        auto opened = env.storage.open_dir("log", directory_how::must_exist);
        if (!good(opened)) return;
        auto& where = opened.value();
        auto start = new_log();
        if (!recover(env, where, start)) return;
        start.incarnation = incarnation;
        auto made = writer::create(env, where, options, start);
        if (!good(made)) return;
        auto& log = *made.value();
        run_together(3, [&](int i) {
            if (i == 2) return keep_house(log);
            append_and_wait(log, i);
        });
    }

    // Reads the log, compares it, makes its tail durable, and says where the next segment begins.
    bool recover(env_type& env, env_type::directory& where, log_start& start) {
        auto options_of_reader = replay_options{.page_size = 4096};
        options_of_reader.use_ring =
            options.process_level; // recovery cannot know what crash it was
        auto reader = replay<env_type>::open(env, where, options_of_reader);
        if (!reader && reader.error().code == errc::log_missing) {
            if (!outside.durable.empty()) outside.note("the whole log is gone");
            outside.lose_from(no_lsn);
            return true;
        }
        if (!good(reader)) return false;
        auto& log = reader.value();
        auto oldest = no_lsn;
        auto found = std::map<std::uint64_t, written_record>{};
        for (auto const& r : log) {
            if (!good(r)) return false;
            auto const& one = r.value();
            if (!oldest) oldest = one.at;
            if (auto const* u = one.as<record::user>())
                found[one.at.value] = {u->kind, {u->payload.begin(), u->payload.end()}};
        }
        auto const& end = log.end_state();
        if (end.kind != end_kind::clean && end.kind != end_kind::torn_tail)
            outside.note("the end of the log reads as damage");
        compare(found, oldest, end.end);
        if (!harden(env, where, end)) return false;
        outside.lose_from(end.end);
        continue_from(end, start);
        return true;
    }

    void compare(std::map<std::uint64_t, written_record> const& found, lsn oldest, lsn end) {
        if (outside.recycled < oldest && oldest != first_lsn(1, options.segment_bytes))
            outside.note("a segment above the floor is gone");
        for (auto const& [at, what] : found) {
            auto const known = outside.appended.find(at);
            if (known == outside.appended.end() || known->second != what)
                outside.note("a record that nobody wrote");
        }
        for (auto const& [at, what] : outside.appended)
            if (lsn{at} >= oldest && lsn{at} < end && !found.contains(at))
                outside.note("a hole in the log");
        for (auto const at : outside.durable)
            if (lsn{at} >= end) outside.note("a durable record is lost");
        if (ring_counts)
            for (auto const at : outside.published)
                if (lsn{at} >= end) outside.note("a published record is lost to a kill");
    }

    // The tail may stand in caches, or in the ring only. A clean reader's bytes are written again.
    bool harden(env_type& env, env_type::directory& where, log_end const& end) {
        if (!end.last) return true;
        auto options_of_reader = replay_options{.page_size = 4096};
        options_of_reader.use_ring =
            options.process_level; // recovery cannot know what crash it was
        auto reader = replay<env_type>::open(env, where, options_of_reader);
        if (!good(reader)) return false;
        auto last = std::uint64_t{0};
        auto file = std::optional<env_type::file>{};
        for (auto const& r : reader.value()) {
            if (!good(r)) return false;
            auto const& one = r.value();
            auto const generation = generation_of(one.at, options.segment_bytes);
            if (generation != last) {
                if (file && !good(file->sync(sync_how::full))) return false;
                auto next = where.open(
                    segment_file_name(generation),
                    {.mode = open_mode::read_write, .io = io_mode::buffered}
                );
                if (!good(next)) return false;
                file.emplace(std::move(next).value());
                last = generation;
            }
            auto const offset = offset_of(one.at, options.segment_bytes);
            if (!good(write_full(*file, one.raw, offset))) return false;
        }
        if (file && !good(file->sync(sync_how::full))) return false;
        return good(where.sync());
    }

    void continue_from(log_end const& end, log_start& start) {
        if (!end.last) return;
        auto const& last = *end.last;
        auto const replaced = end.replaceable && last.cut;
        start.generation = replaced ? last.generation : end.next_generation;
        start.previous_generation = replaced ? last.previous_generation : last.generation;
        start.previous_nonce = replaced ? last.previous_nonce : last.nonce;
        start.cut = replaced ? last.cut : end.raw_end;
    }

    void append_and_wait(writer& log, int number) {
        auto credit = log_credit{};
        for (std::uint32_t i = 0; i < 30 && !is_over; ++i) {
            auto const size = tape.chance(1, 6) ? tape.pick(12'000) : tape.pick(200);
            auto const what = written_record{
                incarnation * 1000 + static_cast<std::uint32_t>(number) * 100 + i,
                some_bytes(tape.entropy(), static_cast<std::size_t>(size))
            };
            if (!good(log.acquire(credit, user_size(what.payload.size())))) return;
            // Noted under the ring lock: a crash may come before append returns.
            auto const body = record::user{.kind = what.kind, .payload = what.payload};
            auto const at =
                log.append(credit, {.flags = record_flags::system}, body, [&](lsn own) noexcept {
                    outside.appended[own.value] = what;
                });
            log.give_back(credit);
            if (tape.chance(1, 2)) {
                auto const waited = log.wait_durable(at);
                if (waited) outside.durable.insert(at.value);
                if (!good(waited)) return;
            } else if (options.process_level && tape.chance(1, 2)) {
                if (!good(log.wait_published(at))) return;
                // Between the answer and here the machine may have stopped.
                if (!world.machine().frozen()) outside.published.insert(at.value);
            }
        }
    }

    void keep_house(writer& log) {
        for (int i = 0; i < 12 && !is_over; ++i) {
            switch (tape.pick(6)) {
            case 0:
            case 1: (void)good(log.force_switch()); break;
            case 2: {
                auto const next = generation_of(log.tail(), options.segment_bytes) + 1;
                (void)good(log.force_switch(next + tape.pick(5)));
                break;
            }
            case 3: {
                auto const floor = log.durable_lsn();
                outside.recycled = floor;
                (void)good(log.recycle_below(floor));
                break;
            }
            default: (void)good(log.housekeeping());
            }
        }
        if (!is_over && tape.chance(1, 4)) (void)good(log.flush_all());
    }
};

// Returns: what went wrong first.
std::string many_lives(std::uint64_t seed, bool process_level) {
    auto tape = choice_tape{seed};
    auto how = world_options{};
    how.machine.atomic_unit = tape.chance(1, 2) ? 512 : 4096;
    how.machine.short_num = tape.chance(1, 4) ? 1 : 0;
    how.machine.after_failed_sync = static_cast<sync_failure>(tape.pick(3));
    how.machine.after_failed_write = static_cast<write_failure>(tape.pick(2));
    auto world = simulated_world{tape, how};
    world.machine().put("log/keep", {}); // the directory is the caller's, and durable
    auto outside = memory{};
    auto policy = crash_policy::none;
    for (std::uint32_t n = 1; n <= 5 && outside.trouble.empty(); ++n) {
        auto one = life{.world = world, .outside = outside, .tape = tape, .incarnation = n};
        one.options.process_level = process_level;
        one.options.lazy_interval = std::chrono::microseconds{tape.pick(100)};
        one.ring_counts = process_level && !is_power_loss(policy) && n > 1;
        one.options.staging_bytes = tape.chance(1, 2) ? 4096 : 128 * 1024;
        if (tape.chance(1, 4))
            world.machine().inject(
                {.calls = storage_call::write | storage_call::sync, .nth = 1 + tape.pick(100)}
            );
        if (policy != crash_policy::kill_then_power) world.machine().crash_at(1 + tape.pick(400));
        world.run([&] { one.live(); });
        if (!outside.trouble.empty()) return outside.trouble + " in life " + std::to_string(n);
        world.machine().clear_faults();
        policy = draw_crash_policy(tape);
        world.machine().thaw(policy);
        if (is_power_loss(policy)) outside.published.clear();
    }
    return outside.trouble;
}

TEST_CASE(
    "no crash loses what was acknowledged, or shows what was not written", "[log][writer][crash]"
) {
    auto const process_level = GENERATE(false, true);
    auto const seeds = rounds(200);
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        auto const trouble = many_lives(seed, process_level);
        CAPTURE(process_level, seed);
        REQUIRE(trouble == "");
    }
}

// Those that end the process (an ensure, a deadlock) are not in the list: they find themselves.
TEST_CASE("each bug that can be planted in the writer is found", "[log][writer][crash][sabotage]") {
    auto const planted = GENERATE(
        sabotage::ack_before_sync,
        sabotage::durable_off_by_one,
        sabotage::prepared_without_dir_sync,
        sabotage::recycle_without_dir_sync,
        sabotage::skip_dir_sync,
        sabotage::next_segment_before_segment_end,
        sabotage::retry_fsync,
        sabotage::early_write_no_sync,
        sabotage::process_skips_hole
    );
    auto const process_level = planted == sabotage::process_skips_hole;
    auto trouble = std::string{};
    auto seed = std::uint64_t{0};
    simulation::planted = planted;
    while (trouble.empty() && seed < 20'000) trouble = many_lives(++seed, process_level);
    simulation::planted = sabotage::none;
    CAPTURE(static_cast<int>(planted), seed, trouble);
    CHECK(trouble != "");
}

// One task builds records, another writes what is published: what reaches the disk behind the last
// whole record is zero, whatever stood in the ring at that moment.
bool only_whole_records_reach_the_disk(std::uint64_t seed) {
    auto tape = choice_tape{seed};
    auto world = simulated_world{tape};
    auto clean = true;
    world.run([&] {
        auto env = world.environment();
        auto where = env.storage.open_dir("log", directory_how::create_if_missing).value();
        auto log = writer::create(env, where, tiny_log(), new_log()).value();
        auto file = where.open(segment_file_name(1), {.io = io_mode::buffered}).value();
        run_together(2, [&](int i) {
            auto credit = log_credit{};
            for (std::uint32_t k = 0; k < 50 && i == 0; ++k) {
                if (!log->acquire(credit, user_size(100))) return;
                (void)write_user(*log, credit, {k, some_bytes(k + 1, 100)});
            }
            for (int k = 0; k < 20 && i == 1; ++k) {
                if (!log->try_flush()) return;
                auto const end = offset_of(log->durable_lsn(), 128 * 1024);
                auto behind = std::vector<std::byte>(round_up(end, std::uint64_t{512}) - end);
                if (!read_full(file, behind, end) || !all_zero(behind)) clean = false;
            }
        });
    });
    return clean;
}

TEST_CASE("live memory of the ring never reaches the disk", "[log][writer][sabotage]") {
    auto dirty = 0;
    for (std::uint64_t seed = 1; seed <= rounds(50); ++seed) {
        CAPTURE(seed);
        REQUIRE(only_whole_records_reach_the_disk(seed));
        simulation::planted = sabotage::no_bounce_block;
        dirty += only_whole_records_reach_the_disk(seed) ? 0 : 1;
        simulation::planted = sabotage::none;
    }
    CHECK(dirty > 0);
}

} // namespace jetpp_test::log_writer_crash_cases
