// jetpp/txn/census.hpp - who is here: unfinished writers and registered snapshots.
//
// Three numbers come from it:
//   settled    every change with an LSN below it was finished before the number was taken, and is
//              visible to every snapshot begun after. A leaf whose page_lsn is below a reader's
//              settled LSN needs no look at its versions: a database at rest has no MVCC cost.
//   lowest     lower bound of the first record of every unfinished writer: how far back undo may
//              have to read (checkpoint's undo_low_lsn).
//   watermark  every registered snapshot sees all commits at or below it: older before-images are
//              needed by nobody.
// Why it is right: `low` is read from the log's tail inside the lock, so the writers' list is in
// order of low; a writer that enters later gets a low at or above any tail read before. A snapshot
// takes settled before last_commit; a commit stores last_commit before its writer leaves.
// Threads  any; one short lock, a leaf in the order (below page latches, beside bucket locks).
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/txn/transaction_state.hpp>

#include <atomic>
#include <cstdint>

namespace jetpp::inline v1 {

// One reader's place in the census. Must not move while registered.
struct snapshot_registration {
    lsn at{};
    lsn settled{};
    std::atomic<bool> cancelled{false};
    snapshot_registration* previous{};
    snapshot_registration* next{};
    bool registered{};
};

template <any_environment Env>
class census {
public:
    struct horizon {
        lsn watermark{};
        lsn settled_min{}; // the smallest settled LSN any reader uses
    };

    explicit census(Env env) noexcept : lock_{env.runtime} {}

    // Before users: the newest commit of the recovered log, and its end.
    void start(lsn last_commit, lsn end_of_log) noexcept {
        last_commit_.store(last_commit.value, std::memory_order_release);
        settled_.store(end_of_log.value, std::memory_order_release);
    }

    // Called under the log's reservation lock, in commit order.
    void set_last_commit(lsn at) noexcept {
        last_commit_.store(at.value, std::memory_order_release);
    }
    [[nodiscard]] lsn last_commit() const noexcept {
        return {last_commit_.load(std::memory_order_acquire)};
    }
    [[nodiscard]] lsn settled() const noexcept {
        return {settled_.load(std::memory_order_acquire)};
    }

    // Before the first reservation of the transaction.
    template <class Log>
    void enter_writer(transaction_state& writer, Log const& log) noexcept {
        auto const held = holding{lock_};
        ensure(!writer.is_writer, "a writer enters the census once");
        writer.low = log.tail();
        writer.writer_previous = last_writer_;
        writer.writer_next = nullptr;
        (last_writer_ != nullptr ? last_writer_->writer_next : first_writer_) = &writer;
        last_writer_ = &writer;
        writer.is_writer = true;
        ++writer_count_;
    }
    // After its last record is published.
    template <class Log>
    void leave_writer(transaction_state& writer, Log const& log) noexcept {
        auto const held = holding{lock_};
        if (!writer.is_writer) return;
        (writer.writer_previous != nullptr ? writer.writer_previous->writer_next : first_writer_) =
            writer.writer_next;
        (writer.writer_next != nullptr ? writer.writer_next->writer_previous : last_writer_) =
            writer.writer_previous;
        writer.is_writer = false;
        --writer_count_;
        raise_settled(log);
    }

    void begin_snapshot(snapshot_registration& reader) noexcept {
        auto const held = holding{lock_};
        reader.settled = settled();
        reader.at = last_commit();
        reader.cancelled.store(false, std::memory_order_relaxed);
        reader.previous = last_reader_;
        reader.next = nullptr;
        (last_reader_ != nullptr ? last_reader_->next : first_reader_) = &reader;
        last_reader_ = &reader;
        reader.registered = true;
        ++reader_count_;
    }
    void end_snapshot(snapshot_registration& reader) noexcept {
        auto const held = holding{lock_};
        if (!reader.registered) return;
        (reader.previous != nullptr ? reader.previous->next : first_reader_) = reader.next;
        (reader.next != nullptr ? reader.next->previous : last_reader_) = reader.previous;
        reader.registered = false;
        --reader_count_;
    }

    // What the collector may drop. O(registered snapshots).
    [[nodiscard]] horizon scan() noexcept {
        auto const held = holding{lock_};
        auto found = horizon{.watermark = last_commit(), .settled_min = settled()};
        for (auto* r = first_reader_; r != nullptr; r = r->next) {
            if (r->cancelled.load(std::memory_order_seq_cst)) continue;
            found.watermark = earlier(found.watermark, r->at);
            found.settled_min = earlier(found.settled_min, r->settled);
        }
        return found;
    }

    // Gives up the oldest snapshot, if it is older than the newest commit: its next call says
    // snapshot_too_old. Returns: whether one was given up.
    bool cancel_oldest() noexcept {
        auto const held = holding{lock_};
        snapshot_registration* oldest = nullptr;
        for (auto* r = first_reader_; r != nullptr; r = r->next)
            if (!r->cancelled.load(std::memory_order_relaxed) &&
                (oldest == nullptr || r->at < oldest->at))
                oldest = r;
        if (oldest == nullptr || oldest->at >= last_commit()) return false;
        oldest->cancelled.store(true, std::memory_order_seq_cst);
        cancelled_.fetch_add(1, std::memory_order_relaxed);
        return true;
    }
    // How many snapshots were given up, ever.
    [[nodiscard]] std::uint64_t cancelled() const noexcept {
        return cancelled_.load(std::memory_order_relaxed);
    }

    // Lower bound of the first record of every unfinished writer, at most `tail`, which the caller
    // read from the log before this call. A T0 that goes with it is read *after* this call: who has
    // left by now has his end record below it.
    [[nodiscard]] lsn lowest_writer(lsn tail) noexcept {
        auto const held = holding{lock_};
        return first_writer_ != nullptr ? earlier(tail, first_writer_->low) : tail;
    }

    [[nodiscard]] std::size_t writers() noexcept {
        auto const held = holding{lock_};
        return writer_count_;
    }
    [[nodiscard]] std::size_t readers() noexcept {
        auto const held = holding{lock_};
        return reader_count_;
    }

private:
    template <class Log>
    void raise_settled(Log const& log) noexcept {
        auto const low = first_writer_ != nullptr ? first_writer_->low : log.tail();
        if (low.value > settled_.load(std::memory_order_relaxed))
            settled_.store(low.value, std::memory_order_release);
    }

    basic_mutex<typename Env::runtime_type> lock_;
    typename Env::template atomic<std::uint64_t> last_commit_{0};
    typename Env::template atomic<std::uint64_t> settled_{0};
    typename Env::template atomic<std::uint64_t> cancelled_{0};
    transaction_state* first_writer_ = nullptr;
    transaction_state* last_writer_ = nullptr;
    snapshot_registration* first_reader_ = nullptr;
    snapshot_registration* last_reader_ = nullptr;
    std::size_t writer_count_ = 0;
    std::size_t reader_count_ = 0;
};

} // namespace jetpp::inline v1
