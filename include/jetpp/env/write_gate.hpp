// jetpp/env/write_gate.hpp - every write to a file of an instance passes it; a freeze closes it.
//
//     open --close()--> wanted: first passages wait, what is inside ends --> closed --open()--> open
//                                                                            |--limit--> open, late
//
// Invariants
//   * closed only while nobody is inside: no write is in flight, none begins
//   * who is inside may enter again: a nested passage waits for a closed gate only, which cannot be
//   * the limit needs no clockwork of its own: whoever waits at the gate, or asks, opens it then
// Threads  any; close() one at a time. May be waited for with locks held: nothing that opens the
//          gate takes a lock of the storage.
// Owns     nothing.
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/env/runtime.hpp>
#include <jetpp/env/sync.hpp>

#include <atomic>
#include <cstdint>

namespace jetpp::inline v1 {

template <runtime Runtime>
class write_gate {
public:
    explicit write_gate(Runtime runtime = {}) noexcept : runtime_{runtime}, moved_{runtime} {}
    write_gate(write_gate const&) = delete;
    write_gate& operator=(write_gate const&) = delete;

    enum class passage_kind : std::uint8_t {
        first,  // nothing is held that somebody inside could need: waits for a close under way too
        nested, // waits only for a gate that is closed
    };
    // The scope of one write, or of several that belong together.
    class [[nodiscard]] passage {
    public:
        // Null: a file without a gate, of an instance that is not yet open.
        passage(write_gate* gate, passage_kind kind) noexcept : gate_{gate} {
            if (gate_ != nullptr) gate_->enter(kind);
        }
        passage(passage const&) = delete;
        passage& operator=(passage const&) = delete;
        ~passage() {
            if (gate_ != nullptr) gate_->leave();
        }

    private:
        write_gate* gate_;
    };

    // Nobody is inside when this returns, and nobody enters before open() or the limit.
    // Requires: open, and one caller at a time.
    void close(mono_time limit) noexcept {
        ++closings_;
        state_.fetch_add(wanted, std::memory_order_acq_rel);
        for (;;) {
            auto const ticket = moved_.ticket();
            auto alone = wanted;
            auto const now = runtime_.now();
            auto const until = limit > never - now ? never : now + limit;
            until_.store(until.count(), std::memory_order_release);
            if (state_.compare_exchange_strong(
                    alone,
                    closed | (closings_ & count_mask),
                    std::memory_order_acq_rel,
                    std::memory_order_acquire
                ))
                return;
            moved_.wait(ticket);
        }
    }
    // Returns: false if the limit was over before.
    [[nodiscard]] bool open() noexcept {
        auto const seen = state_.load(std::memory_order_acquire);
        if ((seen & closed) == 0) return false;
        auto const late = has_passed();
        return try_open(seen) && !late;
    }
    // Opens it if the limit is over.
    [[nodiscard]] bool is_closed() noexcept {
        auto const seen = state_.load(std::memory_order_acquire);
        if ((seen & closed) == 0) return false;
        if (!has_passed()) return true;
        expire(seen);
        return false;
    }
    // Returns when the gate is not closed, which may change at once.
    void await_open() noexcept {
        for (;;) {
            auto const ticket = moved_.ticket();
            if (!is_closed()) return;
            wait(ticket);
        }
    }
    // Whether the limit opened it: said once.
    [[nodiscard]] bool take_expiry() noexcept {
        return expired_.load(std::memory_order_relaxed) != 0 &&
               expired_.exchange(0, std::memory_order_acq_rel) != 0;
    }

private:
    // The low bits count who is inside; while closed, they say the which-th closing it is, so that
    // nobody opens a later one for the limit of an earlier.
    static constexpr std::uint32_t closed = std::uint32_t{1} << 31;
    static constexpr std::uint32_t wanted = std::uint32_t{1} << 30;
    static constexpr std::uint32_t count_mask = wanted - 1;

    void enter(passage_kind kind) noexcept {
        for (;;) {
            auto const ticket = moved_.ticket();
            auto now = state_.load(std::memory_order_acquire);
            if ((now & closed) != 0) {
                if (has_passed())
                    expire(now);
                else
                    wait(ticket);
                continue;
            }
            if ((now & wanted) != 0 && kind == passage_kind::first) {
                moved_.wait(ticket);
                continue;
            }
            if (state_.compare_exchange_strong(
                    now, now + 1, std::memory_order_acq_rel, std::memory_order_acquire
                ))
                return;
        }
    }
    void leave() noexcept {
        auto const before = state_.fetch_sub(1u, std::memory_order_acq_rel);
        ensure((before & count_mask) != 0, "who leaves the write gate has entered it");
        if (before == (wanted | 1u)) moved_.set_all();
    }
    void wait(std::uint32_t ticket) noexcept {
        moved_.wait(ticket, mono_time{until_.load(std::memory_order_acquire)});
    }
    [[nodiscard]] bool has_passed() noexcept {
        return runtime_.now().count() >= until_.load(std::memory_order_acquire);
    }
    [[nodiscard]] bool try_open(std::uint32_t seen) noexcept {
        if (!state_.compare_exchange_strong(
                seen, 0, std::memory_order_acq_rel, std::memory_order_acquire
            ))
            return false;
        moved_.set_all();
        return true;
    }
    void expire(std::uint32_t seen) noexcept {
        if (try_open(seen)) expired_.store(1, std::memory_order_release);
    }

    [[no_unique_address]] Runtime runtime_;
    basic_event<Runtime> moved_;
    std::uint32_t closings_ = 0; // of close() alone
    typename Runtime::template atomic<std::uint32_t> state_{0};
    typename Runtime::template atomic<std::int64_t> until_{0};
    typename Runtime::template atomic<std::uint32_t> expired_{0};
};

} // namespace jetpp::inline v1
