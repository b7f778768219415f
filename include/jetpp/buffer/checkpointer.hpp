// jetpp/buffer/checkpointer.hpp - how far back recovery must read, made durable.
//
//   T0 under the ring lock -> log durable to T0 -> new epoch in each file, scan of the frames ->
//   min_required_lsn in a header copy -> data synced -> slot
//
// Fuzzy: nobody waits and nothing is flushed; cleaning (buffer_pool::housekeeping) is what lets
// redo_lsn advance.
// Invariants
//   * every change below redo_lsn is home and synced before the slot is written
//   * T0 is taken before the frames are looked at, and pages are marked dirty before their record
//     is reserved: the ring lock orders the two, so what the scan misses lies at or behind T0
//   * the slot is written after the sync, from values that were read before it: what became clean
//     in between is not covered by that sync
//   * an error is final for the instance: both slots stay, nothing may be recycled
// Threads  one checkpoint at a time, serialised inside; any thread.
// Owns     nothing: pool and checkpoint file outlive it.
// Source   ARIES fuzzy checkpoints; ESE checkpoint file.
#pragma once

#include <jetpp/buffer/buffer_pool.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/checkpoint_slot.hpp>

#include <concepts>
#include <cstdint>
#include <utility>

namespace jetpp::inline v1 {

// undo_low is taken first, t0 after it, under the log's ring lock: see instance::checkpoint.
struct checkpoint_lows {
    lsn t0{};       // the tail
    lsn undo_low{}; // the smallest `low` of an unfinished transaction; t0 if there is none
};

struct checkpoint_report {
    lsn redo_lsn{};
    lsn undo_low_lsn{};
    // Below this no log is needed by the durable slot or by any header copy.
    lsn floor{};
};

template <class Traits>
class checkpointer {
    using runtime = typename Traits::runtime;
    using env = typename Traits::env;

public:
    checkpointer(env environment, buffer_pool<Traits>& pool, checkpoint_file<env>& slots) noexcept
        : pool_{&pool}, slots_{&slots}, lock_{environment.runtime} {}

    // take_lows() noexcept -> checkpoint_lows runs under the ring lock.
    // complete(checkpoint_slot&) noexcept fills in what the pool does not know: generation and
    // nonce, incarnation, pins, attached databases, time. The slot comes as a copy of the newest
    // one, with redo_lsn, undo_low_lsn, end_lsn set and clean = false.
    // Requires: no latch held. Errors: log_failed, io and its kin: final; instance_failed.
    template <class TakeLows, class Complete>
    [[nodiscard]] result<checkpoint_report> run(
        TakeLows&& take_lows, Complete&& complete
    ) noexcept {
        auto const lock = holding{lock_};
        BOOST_OUTCOME_TRY(pool_->check_failure());
        auto done = run_locked(take_lows, complete);
        if (!done) pool_->fail(done.error());
        return done;
    }

    // The slot again, with the redo_lsn it has and what complete() changes (after create, attach,
    // detach; incarnation and clean flag at open and close). complete() may set every field.
    // Errors: as run().
    template <class Complete>
    [[nodiscard]] result<void> write_slot(Complete&& complete) noexcept {
        auto const lock = holding{lock_};
        BOOST_OUTCOME_TRY(pool_->check_failure());
        auto slot = newest();
        slot.end_lsn = later(slot.end_lsn, pool_->log().durable_lsn());
        slot.clean = false;
        complete(slot);
        auto done = slots_->write(slot);
        if (!done) pool_->fail(done.error());
        return done;
    }

    // As in checkpoint_report, of the durable slot as it is now.
    [[nodiscard]] lsn floor() noexcept {
        auto const lock = holding{lock_};
        return floor_locked();
    }

private:
    template <class TakeLows, class Complete>
    [[nodiscard]] result<checkpoint_report> run_locked(
        TakeLows& take_lows, Complete& complete
    ) noexcept {
        static_assert(std::same_as<decltype(take_lows()), checkpoint_lows>);
        auto const& log = pool_->log();
        auto const before = newest();

        pool_->for_each_file([](paged_file<Traits>& file) noexcept { file.count_pages(); });
        auto const lows = take_lows();
        runtime::point(point_id::checkpoint_t0);
        // A commit below T0 that nobody waited for has left the active list: it must not leave the
        // log as well.
        if (!runtime::sabotaged(sabotage::checkpoint_without_log_flush) && lows.t0) {
            BOOST_OUTCOME_TRY(log.wait_durable(lows.t0 - 1));
        }

        // The new epochs first, then the frames, then what the new epochs have gathered: a change
        // travels in this direction.
        pool_->for_each_file([](paged_file<Traits>& file) noexcept { file.begin_epoch(); });
        auto redo = earlier(lows.t0, pool_->dirty_low());
        pool_->for_each_file([&](paged_file<Traits>& file) noexcept {
            redo = earlier(redo, file.unsynced_low());
        });
        if (runtime::sabotaged(sabotage::checkpoint_ahead_of_data)) redo = lows.t0;
        // A write that failed has put its page back, against that direction: ask afterwards.
        BOOST_OUTCOME_TRY(pool_->check_failure());
        // rec_lsn is a bound from before its T0 at times; what the last slot says holds anyway.
        redo = later(redo, before.redo_lsn);

        BOOST_OUTCOME_TRY(each_file([&](paged_file<Traits>& file) noexcept {
            return file.note_min_required(before.redo_lsn);
        }));
        auto const early = runtime::sabotaged(sabotage::checkpoint_before_sync);
        if (!early) {
            BOOST_OUTCOME_TRY(sync_files());
        }

        auto slot = before;
        slot.redo_lsn = redo;
        slot.undo_low_lsn = earlier(lows.t0, lows.undo_low);
        slot.end_lsn = log.durable_lsn();
        slot.clean = false;
        complete(slot);
        // It may tell of a header that is dirty in memory, and whose write has failed since.
        BOOST_OUTCOME_TRY(pool_->check_failure());
        BOOST_OUTCOME_TRY(slots_->write(slot));
        if (early) {
            BOOST_OUTCOME_TRY(sync_files());
        }
        pool_->note_redo_lsn(redo);
        return checkpoint_report{
            .redo_lsn = redo, .undo_low_lsn = slot.undo_low_lsn, .floor = floor_locked()
        };
    }
    [[nodiscard]] result<void> sync_files() noexcept {
        return each_file([](paged_file<Traits>& file) noexcept { return file.sync_writes(); });
    }
    // Stops at the first error.
    template <class F>
    [[nodiscard]] result<void> each_file(F&& f) noexcept {
        auto done = result<void>{ok()};
        pool_->for_each_file([&](paged_file<Traits>& file) noexcept {
            if (done) done = f(file);
        });
        return done;
    }
    [[nodiscard]] checkpoint_slot newest() const noexcept {
        auto const* const slot = slots_->newest();
        return slot == nullptr ? checkpoint_slot{} : *slot;
    }
    [[nodiscard]] lsn floor_locked() noexcept {
        auto const slot = newest();
        auto floor = earlier(slot.redo_lsn, slot.undo_low_lsn);
        pool_->for_each_file([&](paged_file<Traits>& file) noexcept {
            floor = earlier(floor, file.min_required_floor());
        });
        return floor;
    }

    buffer_pool<Traits>* pool_;
    checkpoint_file<env>* slots_;
    typename Traits::mutex lock_; // held over the I/O of a checkpoint
};

} // namespace jetpp::inline v1
