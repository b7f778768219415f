// jetpp/txn/transaction_state.hpp - what the engine knows of one transaction, live or finished.
//
// Lives from begin until its last version entry has left its bucket: entries point here, and one
// store of `commit_lsn` makes every row of the transaction visible at once.
// Invariants
//   * commit_lsn is 0 while unfinished, then the LSN of the commit record, for ever
//   * low is a lower bound of the transaction's first record, set before that record is reserved
// Threads  one thread at a time works for a transaction; other threads read commit_lsn only.
#pragma once

#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/txn/version_arena.hpp>
#include <jetpp/txn/version_entry.hpp>

#include <atomic>
#include <cstdint>

namespace jetpp::inline v1 {

struct transaction_state {
    std::atomic<std::uint64_t> commit_lsn{0};

    lsn first_record{}; // = the transaction id; none while nothing was written
    lsn low{};          // while in the list of writers
    transaction_state* writer_previous{};
    transaction_state* writer_next{};
    bool is_writer{};
    bool must_roll_back{}; // an undo to a savepoint failed half way

    version_entry* newest{};  // its entries, newest first, through older_own
    std::uint32_t position{}; // of its newest change; the next one gets position + 1
    // Changes at or below it may not be merged away: a cursor or savepoint stands on them.
    std::uint32_t merge_barrier{};
    version_arena arena{};

    transaction_state* queue_next{}; // finished, waiting for the collector

    [[nodiscard]] bool wrote() const noexcept { return first_record != no_lsn; }
    [[nodiscard]] lsn committed_at() const noexcept {
        return {commit_lsn.load(std::memory_order_acquire)};
    }
};

} // namespace jetpp::inline v1
