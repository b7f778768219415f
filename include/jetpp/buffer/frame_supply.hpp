// jetpp/buffer/frame_supply.hpp - where free frames come from: the free list, the clock, the writer.
//
// Second chance: the hand makes an unheld page cool; any access makes it warm again; a page that is
// still cool when the hand returns leaves. A clean one leaves at once, a dirty one after a batch of
// its like went home: a batch of one is never written while others wait.
// Invariants
//   * a page is evicted only by who holds it exclusively, and only clean, with no write on its way
//   * a freed page leaves without being written, once the record that frees it is durable
//   * nothing here is called with a latch held: it may wait for frames, I/O and the log
// Threads  any. One hand: sweeps are serialised.
// Owns     the hand.
// Source   Corbato's CLOCK, with the cool state of LeanStore instead of a reference bit.
#pragma once

#include <jetpp/buffer/frame_pool.hpp>
#include <jetpp/buffer/log_gate.hpp>
#include <jetpp/buffer/write_out.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace jetpp::inline v1 {

template <class Traits>
class frame_supply {
    using runtime = typename Traits::runtime;
    using info_type = frame_info<Traits>;

public:
    static constexpr std::uint32_t none = frame_pool<Traits>::none;

    frame_supply(
        runtime rt,
        frame_pool<Traits>& frames,
        write_out<Traits>& out,
        log_gate const& log,
        detail::sticky_failure<Traits>& failure
    ) noexcept
        : runtime_{rt}, frames_{&frames}, out_{&out}, log_{&log}, failure_{&failure},
          sweeping_{rt} {}

    // A free frame. Errors: log_failed, io, disk_full, instance_failed (nothing clean is left).
    [[nodiscard]] result<std::uint32_t> take() noexcept {
        for (;;) {
            auto const seen = out_->landed().ticket();
            if (auto const frame = frames_->take(); frame != none) return frame;
            auto const met = sweep();
            if (met.frame != none) return met.frame;
            BOOST_OUTCOME_TRY(failure_->check());
            if (met.dirty != 0) {
                BOOST_OUTCOME_TRY(auto const written, write_some());
                if (written != 0) continue;
            } else if (met.dead_until) {
                BOOST_OUTCOME_TRY(log_->wait_durable(met.dead_until - 1));
                continue;
            }
            wait(seen);
        }
    }
    void give(std::uint32_t frame) noexcept {
        frames_->give(frame);
        wake();
    }
    // Until something may have changed, or a millisecond has passed.
    void wait(std::uint32_t ticket) noexcept {
        waiting_.fetch_add(1u, std::memory_order_seq_cst);
        out_->landed().wait(ticket, runtime_.now() + std::chrono::milliseconds{1});
        waiting_.fetch_sub(1u, std::memory_order_relaxed);
    }
    void wake() noexcept {
        if (waiting_.load(std::memory_order_seq_cst) != 0) out_->landed().set_all();
    }

    // Takes the page of `frame` out of memory. Requires: the caller holds it exclusively; nothing
    // of it is on its way.
    void drop(std::uint32_t frame) noexcept {
        auto& info = frames_->info(frame);
        auto* const word = info.word.load(std::memory_order_relaxed);
        info.word.store(nullptr, std::memory_order_release);
        info.file.store(nullptr, std::memory_order_relaxed);
        info.rec_lsn.store(0, std::memory_order_release);
        info.dead_lsn.store(0, std::memory_order_release);
        word->release_absent(runtime_);
        evictions_.fetch_add(1u, std::memory_order_relaxed);
        runtime::point(point_id::evicted);
    }

    // Keeps up to `wanted` frames free ahead of need, as far as that takes at most one batch.
    // Returns: whether anything was done. Errors: as take().
    [[nodiscard]] result<bool> refill(std::uint32_t wanted) noexcept {
        auto done = false;
        while (frames_->free_count() < wanted) {
            auto const met = sweep();
            if (met.frame != none) {
                give(met.frame);
                done = true;
                continue;
            }
            if (met.dirty == 0) break;
            BOOST_OUTCOME_TRY(auto const written, write_some());
            return done || written != 0;
        }
        return done;
    }

    // No sweep runs, and none begins: for detach.
    [[nodiscard]] typename Traits::mutex& sweeping() noexcept { return sweeping_; }
    [[nodiscard]] std::uint64_t evictions() const noexcept {
        return evictions_.load(std::memory_order_relaxed);
    }

private:
    struct sweep_result {
        std::uint32_t frame = none; // evicted
        std::uint32_t dirty = 0;    // cool ones met that must be written first
        lsn dead_until{};           // a freed page would leave once the log is durable to here
    };

    [[nodiscard]] sweep_result sweep() noexcept {
        auto met = sweep_result{};
        auto const enough = out_->pages_max();
        auto const durable = log_->durable_lsn();
        auto const lock = holding{sweeping_};
        // Twice around: the first round may only have made everything cool. Without a find the
        // hand stays, so that the batch written next is what it meets first.
        auto at = hand_;
        for (std::uint32_t n = 0; n < 2 * frames_->count() && met.dirty < enough; ++n) {
            auto const frame = at;
            at = at + 1 == frames_->count() ? 0 : at + 1;
            if (!visit(frame, durable, met)) continue;
            hand_ = at;
            met.frame = frame;
            return met;
        }
        return met;
    }
    // Returns: true if the frame was evicted.
    [[nodiscard]] bool visit(std::uint32_t frame, lsn durable, sweep_result& met) noexcept {
        auto& info = frames_->info(frame);
        auto* const word = info.word.load(std::memory_order_acquire);
        if (word == nullptr) return false;
        auto const now = word->peek();
        if (now.frame() != frame) return false;
        if (now.state() == 0) {
            word->cool_down(frame);
            return false;
        }
        if (now.state() != detail::word_bits::cool) return false;
        if (!may_leave(info, durable, met)) return false;
        if (!word->exclude_if_idle(frame, false)) return false;
        if (may_leave(info, durable, met)) {
            drop(frame);
            return true;
        }
        word->release(runtime_, false, true);
        return false;
    }
    [[nodiscard]] static bool may_leave(info_type& info, lsn durable, sweep_result& met) noexcept {
        if (info.is_in_flight() && !runtime::sabotaged(sabotage::evict_during_writeback))
            return false;
        if (!info.is_dirty()) return true;
        auto const dead = lsn{info.dead_lsn.load(std::memory_order_acquire)};
        if (!dead) {
            ++met.dirty;
            return false;
        }
        if (dead <= durable) return true;
        met.dead_until = later(met.dead_until, dead);
        return false;
    }

    // One batch of what is dirty and cool, from the hand on; a few warm pages join a small one.
    // Returns: pages written; 0 if both batches are busy or every page is latched.
    [[nodiscard]] result<std::uint32_t> write_some() noexcept {
        auto* const batch = out_->open(false);
        if (batch == nullptr) return std::uint32_t{0};
        write_candidate found[write_batch<Traits>::pages_max];
        auto const most = out_->pages_max();
        auto count = gather(found, 0, most, detail::word_bits::cool);
        count = gather(found, count, std::min(most, std::max(count, warm_max)), 0);
        std::sort(found, found + count, [](auto const& a, auto const& b) {
            return a.place < b.place;
        });
        auto done = out_->run(*batch, {found, count});
        auto const written = batch->count;
        out_->close(*batch);
        if (!done) return done.error();
        return written;
    }
    [[nodiscard]] std::uint32_t gather(
        write_candidate* into, std::uint32_t count, std::uint32_t most, std::uint32_t state
    ) noexcept {
        auto at = hand_hint();
        for (std::uint32_t n = 0; n < frames_->count() && count < most; ++n) {
            auto& info = frames_->info(at);
            auto* const word = info.word.load(std::memory_order_acquire);
            if (word != nullptr && info.is_dirty() && !info.is_in_flight() && !info.is_dead()) {
                auto const now = word->peek();
                if (now.frame() == at && now.state() == state)
                    into[count++] = {
                        .place = info.place.load(std::memory_order_relaxed), .frame = at
                    };
            }
            at = at + 1 == frames_->count() ? 0 : at + 1;
        }
        return count;
    }
    [[nodiscard]] std::uint32_t hand_hint() noexcept {
        auto const lock = holding{sweeping_};
        return hand_;
    }

    static constexpr std::uint32_t warm_max = 16;

    [[no_unique_address]] runtime runtime_;
    frame_pool<Traits>* frames_;
    write_out<Traits>* out_;
    log_gate const* log_;
    detail::sticky_failure<Traits>* failure_;
    typename Traits::mutex sweeping_;
    std::uint32_t hand_ = 0;
    typename Traits::template atomic<std::uint32_t> waiting_{0};
    typename Traits::template atomic<std::uint64_t> evictions_{0};
};

} // namespace jetpp::inline v1
