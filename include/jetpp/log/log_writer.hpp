// jetpp/log/log_writer.hpp - the one stream that every change goes through.
//
//        acquire            append             lead a round            recycle
//   disk -------> [credit] -------> [ring] -----------------> segment -------> spare
//        space               reserve, fill,   one write, one file,
//        for it              publish          durable
//
// Invariants
//   * a credit is ring space *and* prepared file space: between reserve and publish nothing can
//     wait or fail
//   * a record's length word is stored last; whoever walks lengths from `published` sees only whole
//     records; free ring space is zero before it can be reserved again
//   * nothing of segment G+1 reaches the disk before G's segment_end is durable
//   * durable_lsn stands on a record end; a record at l is durable iff l < durable_lsn
//   * the first failed write or sync is the last: what was durable stays durable, everybody else
//     hears log_failed
// Locks    preparing -> flushing -> walking -> ring; the ring lock is a leaf of the whole engine,
//          held for tens of nanoseconds.
// Threads  any number of appenders and waiters. No thread inside: leaders flush, and the engine's
//          ticker or poll() calls housekeeping().
// Owns     its segment files and the ring; the directory is the caller's and outlives it.
// Source   Aether (Johnson et al., VLDB 2010) for reserve and fill; ESE for generations; group
//          commit by leader and follower as in LevelDB's write queue.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/env/write_gate.hpp>
#include <jetpp/log/detail/log_flusher.hpp>
#include <jetpp/log/detail/log_ring.hpp>
#include <jetpp/log/detail/log_tail.hpp>
#include <jetpp/log/detail/segment_preparer.hpp>
#include <jetpp/log/detail/segment_store.hpp>
#include <jetpp/log/log_options.hpp>
#include <jetpp/log/records_marks.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace jetpp::inline v1 {

template <any_environment Env>
class log_writer {
public:
    using directory = typename Env::directory;

    // Makes the segment of `start` durable, appends attach_list to it (not yet durable) and
    // prepares one more. Older segments in the directory are kept; files of later generations,
    // and spares, are reused.
    //   new log       generation 1, or above every LSN seen in a database; previous_* and cut 0
    //   clean start   generation and nonce that the final segment_end names; cut 0
    //   after a crash log_end::next_generation, nonce 0 (a fresh one: bytes of a former life may
    //                 stand there), cut = raw_end, and previous_* of log_end::last. If that is
    //                 replaceable and hangs on a cut itself: its generation, previous_* and cut.
    // Requires: all below is durable already, jet.ring included; it is emptied here.
    // Errors: bad_option, invalid_argument, those of storage.
    [[nodiscard]] static result<std::unique_ptr<log_writer>> create(
        Env env, directory& where, log_options const& options, log_start const& start
    ) noexcept;

    // Writes pass it from now on, so that a freeze can hold them. Requires: nobody else is here
    // yet; it outlives the writer.
    void obey(write_gate<typename Env::runtime_type>& writes) noexcept { store_.obey(writes); }

    // Adds ring and file space to a credit; waits for it by leading flushes and preparing segments.
    // Requires: no latch, no lock is held. Errors: disk_full, log_failed, busy (credits did not
    // come back in time), invalid_argument (more than credit_bytes_max()).
    // While half of the ring is out it adds no more than `least`, if that is given: whoever takes
    // ahead of need must not be in the way of those who need.
    [[nodiscard]] result<void> acquire(
        log_credit& credit,
        std::uint32_t wanted,
        credit_use use = credit_use::ordinary,
        std::uint32_t least = 0
    ) noexcept;
    [[nodiscard]] bool is_credit_scarce() const noexcept { return tail_.is_scarce(); }
    void give_back(log_credit& credit) noexcept {
        if (credit.left == 0) return;
        tail_.give_back(credit);
        flusher_.space_came();
    }
    [[nodiscard]] std::uint32_t credit_bytes_max() const noexcept { return tail_.credit_max(); }

    // Returns: the record's LSN. Runs hook(lsn) under the ring lock, then encodes and publishes.
    // With first_of_transaction the transaction id becomes the record's own LSN. body.wall and
    // body.durable_hint, where a body has them, are set here.
    // Requires: body.size() <= credit.left. Latches may be held. Cannot fail, wait or allocate.
    template <class Body, class Hook>
    lsn append(log_credit& credit, record_header header, Body& body, Hook&& hook) noexcept;
    template <class Body>
    lsn append(log_credit& credit, record_header header, Body& body) noexcept {
        return append(credit, header, body, [](lsn) noexcept {});
    }

    // A lower bound of the next record's LSN.
    [[nodiscard]] lsn tail() const noexcept { return tail_.tail(); }
    // As far as the walker came: appending does not raise it, waiting and flushing do.
    [[nodiscard]] lsn published() const noexcept { return flusher_.published(); }
    [[nodiscard]] lsn durable_lsn() const noexcept { return flusher_.durable(); }
    [[nodiscard]] std::uint32_t timeline_low() const noexcept { return timeline_.low(); }
    // The segment that is written now: what a checkpoint slot names.
    [[nodiscard]] segment_id durable_segment() const noexcept {
        auto const header = tail_.writing();
        return {header.generation, header.nonce};
    }
    // Runs f(lsn tail) under the ring lock: orders it before or after every reservation.
    // Requires: f is a few loads and stores.
    template <class F>
    decltype(auto) under_tail_lock(F&& f) noexcept {
        return tail_.under_lock(std::forward<F>(f));
    }

    // Waits until the record that starts at `at` is durable, leading rounds where nobody does.
    // Errors: log_failed (the outcome of that record is unknown).
    [[nodiscard]] result<void> wait_durable(lsn at) noexcept { return flusher_.wait_durable(at); }
    // Waits until the record at `at` and all before it are published: they survive the process.
    // Without jet.ring this is wait_durable.
    [[nodiscard]] result<void> wait_published(lsn at) noexcept {
        return flusher_.wait_published(at);
    }
    // Makes everything reserved before the call durable.
    [[nodiscard]] result<void> flush_all() noexcept { return flusher_.wait_durable(tail() - 1); }
    // One round if nobody leads one. Returns: whether anything became durable.
    // Errors: log_failed.
    [[nodiscard]] result<bool> try_flush() noexcept {
        auto const moved = flusher_.try_round();
        if (!moved && failed()) return flusher_.log_failed_at(durable_lsn());
        return moved;
    }
    // Completes at once, or when a later round passes waiter.at; the waiter lives until then.
    void watch(lsn_waiter& waiter) noexcept { flusher_.watch(waiter); }

    // Ends the current segment. With a generation larger than the next one the log jumps there, or
    // some generations further.
    // Returns: the first LSN of the new segment. Does not wait for durability.
    // Requires, errors: as acquire.
    [[nodiscard]] result<lsn> force_switch(std::uint64_t generation_min = 0) noexcept;

    // The record that begins every further segment: whole, as encoded (bytes 0..7 are ignored).
    void set_attach_list(const_bytes record) noexcept { tail_.set_attach_list(record); }
    template <class Body>
    void set_attach_list(Body const& body) noexcept;
    // From inside a hook of append() only, where the ring lock is held.
    void set_attach_list_in_hook(const_bytes record) noexcept {
        tail_.set_attach_list_locked(record);
    }

    // Frees segments wholly below floor, which comes from *durable* values only. Circular: all of
    // them; archival: none. Returns: how many. release_below frees in both modes.
    [[nodiscard]] result<std::uint32_t> recycle_below(lsn floor) noexcept;
    [[nodiscard]] result<std::uint32_t> release_below(lsn floor) noexcept;
    // Of those, files that were not there, since the last call. Requires: one caller.
    [[nodiscard]] std::uint32_t take_missing() noexcept { return store_.take_missing(); }
    [[nodiscard]] lsn oldest_kept() const noexcept; // first LSN of the oldest segment present
    // What release_below(floor) would free, and where the log would begin then.
    struct kept_segments {
        std::uint32_t segments{};
        lsn oldest_left{};
    };
    [[nodiscard]] kept_segments kept_below(lsn floor) const noexcept;
    // Of all segment files, spares included.
    [[nodiscard]] std::uint64_t kept_bytes() const noexcept {
        return store_.file_count() * options_.segment_bytes;
    }

    // Space that undo of running transactions may need.
    void owe(std::uint64_t debt) noexcept { debt_.fetch_add(debt, std::memory_order_relaxed); }
    void settle(std::uint64_t debt) noexcept {
        auto const before = debt_.fetch_sub(debt, std::memory_order_relaxed);
        ensure(before >= debt, "only what is owed is settled");
    }
    // What new work may still take of the prepared files.
    [[nodiscard]] std::uint64_t prepared_bytes_free() const noexcept {
        auto const room = tail_.file_bytes_free();
        auto const debt = debt_.load(std::memory_order_relaxed);
        return room > debt ? room - debt : 0;
    }

    // Prepares segments, flushes what is older than lazy_interval, writes the time_mark of an idle
    // log. Called every few milliseconds by whoever keeps time.
    [[nodiscard]] result<void> housekeeping() noexcept;

    [[nodiscard]] bool failed() const noexcept { return flusher_.failed(); }
    // Sticky; the first reason is kept. Requires: no lock is held.
    void fail(error why) noexcept { flusher_.fail(why); }
    [[nodiscard]] error failure() const noexcept { return flusher_.failure(); }

    // Ends the log with a segment_end that names the next segment, durable. Nothing may be appended
    // afterwards. Errors: log_failed.
    [[nodiscard]] result<closed_log> close_clean() noexcept;

    log_writer(log_writer const&) = delete;
    log_writer& operator=(log_writer const&) = delete;

private:
    using runtime = typename Env::runtime_type;
    using taken = detail::taken;

    log_writer(
        Env env, directory& where, log_options const& options, log_start const& start
    ) noexcept
        : env_{env}, options_{options}, timeline_{start.timeline}, store_{env, where, options},
          tail_{env, ring_, options}, flusher_{env, ring_, tail_, store_},
          preparer_{env, store_, tail_, flusher_, options_}, tending_{env.runtime},
          wall_{start.wall_floor} {}

    [[nodiscard]] result<void> begin(directory& where, log_start const& start) noexcept;
    template <class Attempt>
    [[nodiscard]] result<void> until_taken(Attempt&& attempt) noexcept;
    [[nodiscard]] result<void> prepare_ahead() noexcept;
    [[nodiscard]] bool is_bare() const noexcept;
    [[nodiscard]] result<void> mark_time() noexcept;
    [[nodiscard]] std::uint64_t debt_of(credit_use use) const noexcept;
    template <class Body>
    void stamp(Body& body, wall_time now) noexcept;

    [[no_unique_address]] Env env_;
    log_options const options_;
    timeline_id const timeline_;
    mutable detail::segment_store<Env> store_;
    detail::log_ring<Env> ring_;
    mutable detail::log_tail<Env> tail_;
    mutable detail::log_flusher<Env> flusher_;
    detail::segment_preparer<Env> preparer_;
    typename Env::template atomic<std::uint64_t> debt_{0};

    basic_mutex<runtime> tending_; // one housekeeper; guards the next four
    mono_time unwritten_since_ = never;
    mono_time idle_since_{};
    lsn seen_tail_{};
    lsn marked_tail_{}; // where the last time_mark ended

    wall_time wall_{}; // of the last stamped record; guarded by the ring lock
};

} // namespace jetpp::inline v1

#include <jetpp/log/detail/log_writer_bodies.hpp>
