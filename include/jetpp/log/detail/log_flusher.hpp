// jetpp/log/detail/log_flusher.hpp - from the ring to the device: rounds, leaders, waiters.
//
// One round
//   1. walk: follow length words from `published`; fill segment_end where a segment was left
//   2. write everything published of *one* segment from the sector that holds the written tail, the
//      last block from a copy that is zero behind the last whole record
//   3. when it is durable: zero the freed ring bytes, free them, raise durable_lsn, wake
// Invariants
//   * live ring memory never reaches the device: only whole blocks of published records, and copies
//   * bytes that are durable are rewritten identical, never with others
//   * a failed write is final: no retry, no later write of anything
// Locks    flushing -> walking -> ring. Waiters are completed outside all of them.
// Threads  any may lead; round() asks that `flushing` is held.
// Owns     the staging block.
// Source   the measured cost of one durable 4K write (150-210 us) against a copy (5 us): small
//          rounds go out as one write, large ones as writes and one sync.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/env/write_gate.hpp>
#include <jetpp/log/detail/log_ring.hpp>
#include <jetpp/log/detail/log_tail.hpp>
#include <jetpp/log/detail/log_walker.hpp>
#include <jetpp/log/detail/segment_store.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace jetpp::inline v1::detail {

template <any_environment Env>
class log_flusher {
public:
    using runtime = typename Env::runtime_type;
    using segment = queued_segment<Env>;

    log_flusher(
        Env env, log_ring<Env>& ring, log_tail<Env>& tail, segment_store<Env>& store
    ) noexcept
        : env_{env}, ring_{ring}, tail_{tail}, store_{store}, walker_{env, ring, tail},
          flushing_{env.runtime}, waiters_lock_{env.runtime}, failing_{env.runtime},
          durable_event_{env.runtime}, space_event_{env.runtime} {}

    // Requires: the tail was started; nobody else is here yet.
    [[nodiscard]] result<void> start(std::size_t staging_bytes) noexcept {
        auto& first = tail_.at(0);
        unit_ = std::max<std::uint64_t>(512, first.file->layout().alignment);
        BOOST_OUTCOME_TRY(staging_, aligned_buffer::create(staging_bytes));
        walker_.start(first.header.first());
        durable_.store(first.header.first().value, std::memory_order_release);
        return ok();
    }

    [[nodiscard]] lsn published() const noexcept { return walker_.published(); }
    [[nodiscard]] lsn durable() const noexcept {
        return {durable_.load(std::memory_order_acquire)};
    }

    // ---- waiting

    [[nodiscard]] result<void> wait_durable(lsn at) noexcept {
        if (is_durable(at)) return ok();
        waiting_.fetch_add(1, std::memory_order_seq_cst);
        auto done = result<void>{ok()};
        for (std::uint32_t turn = 0;; ++turn) {
            // Read before the tests: what changes after them changes the event, and park sees it.
            auto const ticket = durable_event_.ticket();
            if (is_durable(at)) break; // before the failure test: durable stays durable
            if (failed()) {
                done = log_failed_at(at);
                break;
            }
            if (flushing_.try_lock()) {
                auto const moved = lead();
                release_lead();
                // Our record, or one before it, is reserved and not yet filled: let its owner run.
                if (!moved) yield(turn);
                continue;
            }
            if (!runtime::sabotaged(sabotage::lost_unpark)) {
                durable_event_.wait(ticket);
            } else {
                durable_event_.wait(durable_event_.ticket());
            }
        }
        waiting_.fetch_sub(1, std::memory_order_seq_cst);
        if (done) runtime::point(point_id::acknowledged);
        return done;
    }

    [[nodiscard]] result<void> wait_published(lsn at) noexcept {
        if (!ring_.outlives_process()) return wait_durable(at);
        if (runtime::sabotaged(sabotage::process_skips_hole)) return ok();
        for (std::uint32_t turn = 0; published() <= at; ++turn) {
            walker_.try_walk(durable());
            if (published() > at) break;
            yield(turn);
        }
        return ok();
    }

    // One round if nobody leads. Returns: whether anything moved.
    [[nodiscard]] bool try_round() noexcept {
        if (failed() || !flushing_.try_lock()) return false;
        auto const moved = lead();
        release_lead();
        return moved;
    }

    void watch(lsn_waiter& waiter) noexcept {
        {
            auto const hold = holding{waiters_lock_};
            if (!is_durable(waiter.at) && !failed()) {
                waiter.next = waiters_;
                waiters_ = &waiter;
                return;
            }
        }
        waiter.done(&waiter, verdict(waiter.at));
    }
    [[nodiscard]] bool has_waiters() noexcept {
        auto const hold = holding{waiters_lock_};
        return waiters_ != nullptr;
    }

    // ---- space

    // For those who wait until credits come back or ring space is freed.
    [[nodiscard]] std::uint32_t space_ticket() noexcept {
        wanting_.fetch_add(1, std::memory_order_seq_cst);
        return space_event_.ticket();
    }
    void space_wait(std::uint32_t ticket) noexcept {
        space_event_.wait(ticket, env_.runtime.now() + std::chrono::milliseconds{1});
    }
    void space_leave() noexcept { wanting_.fetch_sub(1, std::memory_order_seq_cst); }
    void space_came() noexcept {
        if (wanting_.load(std::memory_order_seq_cst) != 0) space_event_.set_all();
    }

    // ---- failure

    [[nodiscard]] bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }
    // Sticky: the first reason is kept. Requires: no lock is held.
    void fail(error why) noexcept {
        note_failure(why);
        complete_waiters();
    }
    [[nodiscard]] error failure() noexcept {
        auto const hold = holding{failing_};
        return failed_.load(std::memory_order_relaxed) ? why_ : error{};
    }
    [[nodiscard]] error log_failed_at(lsn at) noexcept {
        return {
            .code = errc::log_failed,
            .os_errno = failure().os_errno,
            .file = file_kind::log_segment,
            .at = at
        };
    }

private:
    void note_failure(error why) noexcept {
        {
            auto const hold = holding{failing_};
            if (!failed_.load(std::memory_order_relaxed)) why_ = why;
            failed_.store(true, std::memory_order_seq_cst);
        }
        durable_event_.set_all();
        space_event_.set_all();
    }

    [[nodiscard]] bool is_durable(lsn at) const noexcept {
        auto const end = durable_.load(std::memory_order_seq_cst);
        if (runtime::sabotaged(sabotage::durable_off_by_one)) return end >= at.value;
        return end > at.value;
    }
    [[nodiscard]] error verdict(lsn at) noexcept {
        return is_durable(at) ? error{} : log_failed_at(at);
    }
    // Somebody else must run first: yield, then sleep for moments.
    void yield(std::uint32_t turn) noexcept {
        if (turn < 64) return env_.runtime.relax(32 + turn);
        auto const still = std::uint32_t{0};
        env_.runtime.park(&still, 0, env_.runtime.now() + std::chrono::milliseconds{1});
    }

    // ---- the leader. Requires: flushing_ is held.

    // Gathers, then one round. Returns: whether anything moved.
    [[nodiscard]] bool lead() noexcept {
        if (failed()) return false;
        // Others were here in the last round: they are about to log again, and one yield lets them
        // join. Never a fixed delay.
        if (company_) env_.runtime.relax(32);
        auto const moved = round();
        company_ = waiting_.load(std::memory_order_relaxed) > 1;
        return moved;
    }
    // Others may have parked because this thread led: each time it ends, they must look again.
    void release_lead() noexcept {
        flushing_.unlock();
        if (waiting_.load(std::memory_order_seq_cst) != 0) durable_event_.set_all();
        space_came();
        complete_waiters();
    }

    [[nodiscard]] bool round() noexcept {
        auto const walked = walker_.walk(durable());
        auto const sealed = written_ < walked.place;
        auto& s = tail_.at(written_);
        auto const end = sealed ? s.v_end + segment_end_size : walked.v_published;
        if (end == v_written_) return false;

        auto const inside = typename write_gate<runtime>::passage{
            store_.gate(), write_gate<runtime>::passage_kind::first
        };
        if (runtime::sabotaged(sabotage::next_segment_before_segment_end) && sealed &&
            walked.place == written_ + 1 && walked.v_published > tail_.at(walked.place).v_start) {
            auto& next = tail_.at(walked.place);
            if (auto done = write_out(next, next.v_start, walked.v_published); !done)
                return note_failure(done.error()), false;
        }
        if (runtime::sabotaged(sabotage::ack_before_sync)) raise_durable(s, end, sealed);
        runtime::point(point_id::before_log_write);
        auto written = write_out(s, v_written_, end);
        if (!written && runtime::sabotaged(sabotage::retry_fsync))
            written = s.file->sync(sync_how::data);
        if (!written) {
            note_failure(written.error().with_file(file_kind::log_segment).with_lsn(durable()));
            return false;
        }
        runtime::point(point_id::after_log_write);

        auto const used_from = v_freed_;
        v_written_ = end;
        auto used_to = round_down(end, unit_);
        if (sealed) {
            used_to = end;
            s.file.reset(); // what was written durably needs nothing from close
            store_.retire(s.header.generation);
            v_written_ = tail_.at(++written_).v_start;
        }
        v_freed_ = round_down(v_written_, unit_);
        if (!runtime::sabotaged(sabotage::free_before_zero)) {
            ring_.zero(used_from, used_to);
            tail_.freed_to(v_freed_, written_);
        } else {
            tail_.freed_to(v_freed_, written_);
            env_.runtime.relax(32);
            ring_.zero(used_from, used_to);
        }
        raise_durable(tail_.at(written_), v_written_, false);
        return true;
    }

    void raise_durable(segment const& s, std::uint64_t v, bool past_end) noexcept {
        auto const to = past_end ? tail_.at(written_ + 1).header.first() : s.lsn_of(v);
        durable_.store(to.value, std::memory_order_seq_cst);
    }

    // Writes [from, end) of a segment durably. `from` is what is written already; its sector goes
    // out again with the same bytes in front.
    [[nodiscard]] result<void> write_out(
        segment& s, std::uint64_t from, std::uint64_t end
    ) noexcept {
        auto const first = round_down(from, unit_);
        auto const whole = round_down(end, unit_);
        auto const last = round_up(end, unit_);
        auto const size = static_cast<std::size_t>(last - first);
        auto& file = *s.file;
        if (runtime::sabotaged(sabotage::no_bounce_block))
            return write_full(
                file, {ring_.at(first), size}, s.file_offset(first), write_how::durable
            );
        if (size <= staging_.size()) {
            copy_out(staging_.part(0, size), first, end);
            return write_full(
                file, staging_.part(0, size), s.file_offset(first), write_how::durable
            );
        }
        auto const whole_bytes =
            const_bytes{ring_.at(first), static_cast<std::size_t>(whole - first)};
        BOOST_OUTCOME_TRY(write_full(file, whole_bytes, s.file_offset(first)));
        if (last != whole) {
            auto const bounce = staging_.part(0, static_cast<std::size_t>(last - whole));
            copy_out(bounce, whole, end);
            BOOST_OUTCOME_TRY(write_full(file, bounce, s.file_offset(whole)));
        }
        // A durable last write would not cover the ones before it.
        if (runtime::sabotaged(sabotage::early_write_no_sync)) return ok();
        return file.sync(sync_how::data);
    }
    void copy_out(bytes block, std::uint64_t from, std::uint64_t end) noexcept {
        auto const n = static_cast<std::size_t>(end - from);
        std::memcpy(block.data(), ring_.at(from), n);
        std::memset(block.data() + n, 0, block.size() - n);
    }

    // ---- lsn_waiters

    void complete_waiters() noexcept {
        auto* ready = static_cast<lsn_waiter*>(nullptr);
        {
            auto const hold = holding{waiters_lock_};
            auto const all = failed();
            for (auto** place = &waiters_; *place != nullptr;) {
                auto* const w = *place;
                if (!all && !is_durable(w->at)) {
                    place = &w->next;
                    continue;
                }
                *place = w->next;
                w->next = ready;
                ready = w;
            }
        }
        while (ready != nullptr) {
            auto* const w = std::exchange(ready, ready->next);
            w->done(w, verdict(w->at));
        }
    }

    template <class T>
    using atomic = typename Env::template atomic<T>;

    [[no_unique_address]] Env env_;
    log_ring<Env>& ring_;
    log_tail<Env>& tail_;
    segment_store<Env>& store_;
    log_walker<Env> walker_;

    basic_mutex<runtime> flushing_;
    aligned_buffer staging_;    // guarded by flushing_, as are the next five
    std::uint64_t unit_ = 512;  // what the device wants, and at least a sector
    std::uint64_t written_ = 0; // place of the segment written now
    std::uint64_t v_written_ = 0;
    std::uint64_t v_freed_ = 0;
    bool company_ = false;

    atomic<std::uint64_t> durable_{0};
    atomic<bool> failed_{false};
    atomic<std::uint32_t> waiting_{0}; // threads inside wait_durable
    atomic<std::uint32_t> wanting_{0}; // threads waiting for space

    basic_mutex<runtime> waiters_lock_;
    lsn_waiter* waiters_ = nullptr;
    basic_mutex<runtime> failing_;
    error why_{};
    basic_event<runtime> durable_event_;
    basic_event<runtime> space_event_;
};

} // namespace jetpp::inline v1::detail
