// test/backup/truncation.cpp - which log may go, who holds the rest; points in the log with names.
#include <jetpp/backup/backup_job.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/run_backup.hpp>
#include <jetpp/log/replay.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <optional>
#include <string>
#include <string_view>

#include "bed.hpp"
#include "coverage.hpp"

namespace jetpp_test::truncation_cases {

using namespace jetpp;

struct log_policies : sim_policies {
    using logging = recorded_logging;
};
using log_bed = bed<log_policies>;

open_options in_mode(bool archival) {
    auto options = small_engine;
    options.archival = archival;
    return options;
}

// In a machine of its own, which the tests never stop.
struct machine {
    choice_tape tape{1};
    simulated_world world{tape};
    template <class F>
    void run(F&& f, bool archival = true) {
        world.run([&] {
            auto b = log_bed{world.environment(), in_mode(archival)};
            f(b);
            good(std::move(b.db).close());
        });
    }
};

backup_report make(log_bed& b, backup_options const& options = {}) {
    auto const report = good(run_backup_to(b.db, "/repo", options));
    CHECK_FALSE(report.stamp_problem);
    CHECK_FALSE(report.truncate_problem);
    return report;
}
// A few segments of log, and nothing of them needed by the checkpoint.
void fill(log_bed& b, unsigned seed) {
    for (auto i = 0U; i < 3; ++i) {
        b.work(1500, seed * 10 + i);
        good(b.db.checkpoint());
    }
}
std::string hole(log_bed& b) {
    return hole_behind_sets(b.env, "/db", "/repo", b.store().segment_bytes());
}
bool holds(truncation_report const& report, log_holder who, std::string_view name = {}) {
    for (auto const& one : report.all())
        if (one.who == who && one.name.view() == name) return true;
    return false;
}

TEST_CASE("a database that was never backed up holds the log", "[backup][truncation]") {
    machine{}.run([](log_bed& b) {
        fill(b, 1);
        auto const first = b.store().log().oldest_kept();
        auto const report = good(b.db.truncate_log({.write_home = true}));
        CHECK(report.segments == 0);
        CHECK(report.bytes == 0);
        CHECK_FALSE(report.limit);
        CHECK(report.holder().who == log_holder::no_backup);
        CHECK(report.holder().name.view() == "main");
        CHECK(report.oldest == first);
        // A copy is nothing to rely on: log behind it may be wanted for it.
        (void)make(b, {.kind = backup_kind::copy});
        fill(b, 2);
        CHECK(good(b.db.truncate_log()).segments == 0);
        CHECK(b.store().log().oldest_kept() == first);
        CHECK(hole(b) == "");
    });
}

TEST_CASE(
    "log below the chain's end goes, whole segments, the oldest first", "[backup][truncation]"
) {
    machine{}.run([](log_bed& b) {
        fill(b, 1);
        auto const full = make(b);
        fill(b, 2);
        auto const dry = good(b.db.truncate_log({.dry_run = true, .write_home = true}));
        CHECK(dry.segments > 2);
        CHECK(dry.limit == full.end_lsn);
        CHECK(dry.holder().who == log_holder::backup);
        CHECK(b.store().log().oldest_kept() == dry.oldest_before);
        auto const done = good(b.db.truncate_log({.write_home = true}));
        CHECK(done.segments == dry.segments);
        CHECK(done.bytes == done.segments * b.store().segment_bytes());
        CHECK(done.oldest == dry.oldest);
        CHECK(
            done.oldest ==
            first_lsn(
                generation_of(full.end_lsn, b.store().segment_bytes()), b.store().segment_bytes()
            )
        );
        CHECK(b.store().log().oldest_kept() == done.oldest);
        CHECK(hole(b) == "");
        CHECK(good(b.db.truncate_log()).segments == 0); // once is enough
        // The chain goes on, and what it takes up may go.
        auto const inc = make(b, {.kind = backup_kind::incremental});
        fill(b, 3);
        CHECK(good(b.db.truncate_log({.write_home = true})).limit == inc.end_lsn);
        CHECK(hole(b) == "");
        // But not what a differential would need.
        auto const refused = run_backup_to(b.db, "/repo", {.kind = backup_kind::differential});
        REQUIRE(code_of(refused) == errc::log_gap);
        CHECK(
            refused.error().at ==
            first_lsn(
                generation_of(full.end_lsn, b.store().segment_bytes()), b.store().segment_bytes()
            )
        );
    });
}

TEST_CASE("every database has its say", "[backup][truncation]") {
    machine{}.run([](log_bed& b) {
        fill(b, 1);
        (void)make(b);
        good(b.db.attach("late"));
        fill(b, 2);
        auto const report = good(b.db.truncate_log({.write_home = true}));
        CHECK(report.segments == 0);
        CHECK(report.holder().name.view() == "late");
        CHECK(holds(report, log_holder::no_backup, "late"));
        CHECK(holds(report, log_holder::backup, "main"));
        CHECK(holds(report, log_holder::header, "main"));
        CHECK(holds(report, log_holder::redo));
        CHECK(holds(report, log_holder::undo));
    });
}

TEST_CASE("a running backup and an open transaction hold their log", "[backup][truncation]") {
    machine{}.run([](log_bed& b) {
        fill(b, 1);
        (void)make(b);
        auto const pin = good(b.store().pin_log());
        fill(b, 2);
        (void)make(b);
        auto const pinned = good(b.db.truncate_log({.write_home = true}));
        CHECK(pinned.holder().who == log_holder::running);
        CHECK(pinned.limit == pin.log_start);
        b.store().unpin_log(pin);
        auto tx = good(b.db.begin());
        good(tx.put(b.rows, "held", "1"));
        fill(b, 3);
        (void)make(b);
        auto const held = good(b.db.truncate_log({.write_home = true}));
        CHECK(held.holder().who == log_holder::undo);
        CHECK(held.limit < b.store().durable_slot().redo_lsn);
        std::move(tx).rollback();
        fill(b, 4);
        (void)make(b);
        CHECK(good(b.db.truncate_log({.write_home = true})).segments > 0);
        CHECK(hole(b) == "");
    });
}

TEST_CASE("an upper bound of the caller holds too", "[backup][truncation]") {
    machine{}.run([](log_bed& b) {
        fill(b, 1);
        (void)make(b);
        fill(b, 2);
        auto const size = b.store().segment_bytes();
        auto const below =
            lsn{generation_of(b.store().log().oldest_kept(), size) * size + 2 * size};
        CHECK(good(b.db.truncate_log({.write_home = true, .below = below})).segments == 2);
    });
}

TEST_CASE("a named pin holds the log until its cap breaks it", "[backup][truncation][pins]") {
    machine{}.run([](log_bed& b) {
        fill(b, 1);
        (void)make(b);
        auto const id = good(pin_id::of_reader("index"));
        auto const size = b.store().segment_bytes();
        auto const pin = good(b.db.create_pin(id, {.byte_cap = 24 * size}));
        fill(b, 2);
        (void)make(b);
        auto const held = good(b.db.truncate_log({.write_home = true}));
        CHECK(held.limit == pin.at);
        CHECK(held.holder().who == log_holder::pin);
        CHECK(holds(held, log_holder::pin, "index"));
        CHECK(generation_of(held.oldest, size) == generation_of(pin.at, size));
        while (b.store().log().tail() - pin.at <= 24 * size) fill(b, 3);
        (void)make(b);
        auto const freed = good(b.db.truncate_log({.write_home = true}));
        CHECK_FALSE(holds(freed, log_holder::pin, "index"));
        CHECK(freed.limit > pin.at);
        CHECK(good(b.db.find_pin(id)).is_broken());
        CHECK(hole(b) == "");
    });
}

TEST_CASE("circular logging leaves nothing to truncate", "[backup][truncation]") {
    machine{}.run(
        [](log_bed& b) {
            fill(b, 1);
            (void)make(b);
            auto const report = good(b.db.truncate_log());
            CHECK(report.circular);
            CHECK(report.segments == 0);
            CHECK_FALSE(holds(report, log_holder::backup, "main"));
        },
        false
    );
}

TEST_CASE("a backup truncates behind its stamp, if it is asked and may", "[backup][truncation]") {
    machine{}.run([](log_bed& b) {
        fill(b, 1);
        CHECK_FALSE(make(b).truncated);
        fill(b, 2);
        auto const full = make(b, {.truncate = true});
        REQUIRE(full.truncated);
        CHECK(full.truncated->segments > 2);
        CHECK(hole(b) == "");
        fill(b, 3);
        auto const inc = make(b, {.kind = backup_kind::incremental, .truncate = true});
        REQUIRE(inc.truncated);
        CHECK(inc.truncated->segments > 2);
        CHECK(hole(b) == "");
        auto const kept = b.store().log().oldest_kept();
        for (auto const kind : {backup_kind::copy, backup_kind::differential, backup_kind::pages})
            CHECK(
                code_of(run_backup_to(b.db, "/repo", {.kind = kind, .truncate = true})) ==
                errc::invalid_argument
            );
        auto forgetful = memory_sink{};
        CHECK(
            code_of(run_in_place(b.store(), forgetful, {.truncate = true})) ==
            errc::invalid_argument
        );
        CHECK(b.store().log().oldest_kept() == kept);
        auto sets = good(repository<log_bed::environment_type>::open(b.env, "/repo"));
        CHECK(good(sets.list()).size() == 3);
    });
}

TEST_CASE("truncating what no set holds is found out", "[backup][truncation]") {
    auto const loses = [](sabotage bug, auto&& life) {
        auto const planted = simulation::planting{bug};
        auto found = std::string{};
        machine{}.run([&](log_bed& b) {
            life(b);
            found = hole(b);
        });
        return !found.empty();
    };
    auto const after_copy = [](log_bed& b) {
        (void)make(b, {.kind = backup_kind::copy});
        fill(b, 1);
        (void)good(b.db.truncate_log({.write_home = true}));
    };
    CHECK_FALSE(loses(sabotage::none, after_copy));
    CHECK(loses(sabotage::truncate_unstamped, after_copy));
    // A full that leaves out the log since the chain's end, and makes it truncatable.
    auto const two_fulls = [](log_bed& b) {
        (void)make(b);
        fill(b, 1);
        (void)make(b, {.truncate = true});
        fill(b, 2);
        (void)good(b.db.truncate_log({.write_home = true}));
    };
    CHECK_FALSE(loses(sabotage::none, two_fulls));
    CHECK(loses(sabotage::full_without_chain, two_fulls));
}

TEST_CASE("a chain over two repositories is refused", "[backup][truncation]") {
    // F -> A, F -> B, I -> A with truncation: what lies between the two fulls is not in A.
    auto const outcome = [](sabotage bug) {
        auto const planted = simulation::planting{bug};
        auto code = errc::none;
        machine{}.run([&](log_bed& b) {
            (void)make(b);
            fill(b, 1);
            (void)good(run_backup_to(b.db, "/b"));
            code = code_of(
                run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental, .truncate = true})
            );
        });
        return code;
    };
    CHECK(outcome(sabotage::none) == errc::base_not_here);
    CHECK(outcome(sabotage::base_from_elsewhere) == errc::none);
}

TEST_CASE("a restore point is durable when it is told", "[backup][truncation]") {
    machine{}.run([](log_bed& b) {
        b.work(100, 1);
        auto const at = good(b.db.mark_restore_point("before the upgrade"));
        CHECK(at < b.store().log().durable_lsn());
        auto const again = good(b.db.mark_restore_point("before the upgrade")); // a label is no key
        CHECK(again > at);
        CHECK(code_of(b.db.mark_restore_point("")) == errc::invalid_argument);
        CHECK(code_of(b.db.mark_restore_point(std::string(256, 'x'))) == errc::invalid_argument);
        CHECK(code_of(b.db.mark_restore_point("\xFF")) == errc::invalid_argument);
        (void)good(b.db.mark_restore_point(std::string(255, 'x')));
        auto log = good(replay<log_bed::environment_type>::open(
            b.env,
            b.store().where(),
            {.up_to = b.store().log().durable_lsn(), .page_size = log_policies::page_size}
        ));
        auto found = 0;
        for (auto const& r : log) {
            REQUIRE(r);
            auto const* const point = r.assume_value().as<record::restore_point>();
            if (point == nullptr) continue;
            if (found == 0) {
                CHECK(r.assume_value().at == at);
                CHECK(as_text(point->label) == "before the upgrade");
                CHECK(point->wall.ns != 0);
            }
            ++found;
        }
        CHECK(found == 3);
    });
}

} // namespace jetpp_test::truncation_cases
