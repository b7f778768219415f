// jetpp/txn/transaction_system.hpp - what all transactions of an instance share.
//
// The version store, the census of writers and readers, the chunks of before-images, the queue of
// finished transactions and the budgets. Operations on them live in headers of their own:
// row_writer.hpp (one change), undo.hpp (rollback), commit.hpp, collector.hpp (garbage), leaf_scan.hpp.
// Threads  any.
// Owns     everything named here but the tree service and the log, which must outlive it.
#pragma once

#include <jetpp/btree/btree.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/log/log_writer.hpp>
#include <jetpp/txn/census.hpp>
#include <jetpp/txn/transaction_state.hpp>
#include <jetpp/txn/version_arena.hpp>
#include <jetpp/txn/version_store.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace jetpp::inline v1 {

struct transaction_limits {
    std::size_t version_bytes = std::size_t{8} << 20;      // history of finished transactions
    std::size_t transaction_bytes = std::size_t{16} << 20; // undo images of one writer
    std::uint64_t transaction_log_bytes = std::uint64_t{1} << 30;
};

// Finished transactions in commit order, pushed under the log's reservation lock, taken by one
// collector at a time.
class finished_queue {
public:
    void push(transaction_state& state) noexcept {
        auto* head = pushed_.load(std::memory_order_relaxed);
        do {
            state.queue_next = head;
        } while (!pushed_.compare_exchange_weak(head, &state, std::memory_order_acq_rel));
    }
    // Collector only. The oldest, left in the queue; null if none.
    [[nodiscard]] transaction_state* front() noexcept {
        if (first_ == nullptr) {
            auto* newest = pushed_.exchange(nullptr, std::memory_order_acq_rel);
            while (newest != nullptr) { // newest first: turn the list round
                auto* older = newest->queue_next;
                newest->queue_next = first_;
                first_ = newest;
                newest = older;
            }
        }
        return first_;
    }
    void pop() noexcept { first_ = first_->queue_next; }

private:
    std::atomic<transaction_state*> pushed_{nullptr};
    transaction_state* first_ = nullptr;
};

template <class Traits>
class transaction_system {
public:
    using env = typename Traits::env;
    using place = tree_place<Traits>;

    transaction_system(
        env environment, btree<Traits>& trees, log_writer<env>& log, transaction_limits limits
    ) noexcept
        : env_{environment}, trees_{&trees}, log_{&log}, limits_{limits}, versions_{environment},
          census_{environment}, chunks_{environment}, collector_lock_{environment.runtime} {}
    transaction_system(transaction_system const&) = delete;
    transaction_system& operator=(transaction_system const&) = delete;
    // Requires: no transaction and no snapshot lives.
    ~transaction_system() {
        while (stuck_ != nullptr) forget(std::exchange(stuck_, stuck_->queue_next));
        while (auto* state = finished_.front()) {
            finished_.pop();
            state->arena.give_back(chunks_);
            delete state;
        }
    }

    // Errors: out_of_memory. The table has one bucket for every 128 bytes of budget.
    [[nodiscard]] result<void> create() noexcept {
        auto buckets = std::size_t{1024};
        while (buckets < (limits_.version_bytes + limits_.transaction_bytes) / 128) buckets *= 2;
        return versions_.create(buckets);
    }

    [[nodiscard]] env& environment() noexcept { return env_; }
    [[nodiscard]] btree<Traits>& trees() noexcept { return *trees_; }
    [[nodiscard]] log_writer<env>& log() noexcept { return *log_; }
    [[nodiscard]] version_store<env>& versions() noexcept { return versions_; }
    [[nodiscard]] census<env>& people() noexcept { return census_; }
    [[nodiscard]] version_chunk_pool<env>& chunks() noexcept { return chunks_; }
    [[nodiscard]] finished_queue& finished() noexcept { return finished_; }
    [[nodiscard]] transaction_limits const& limits() const noexcept { return limits_; }
    [[nodiscard]] basic_mutex<typename env::runtime_type>& collector_lock() noexcept {
        return collector_lock_;
    }

    // The files that undo and the collector may have to reach; kept by attach and detach, which run
    // while no transaction works on that database.
    void add_file(paged_file<Traits>& file) noexcept {
        for (auto& known : files_)
            if (known == nullptr) {
                known = &file;
                return;
            }
        ensure(false, "at most 16 databases are attached");
    }
    void drop_file(paged_file<Traits>& file) noexcept {
        for (auto& known : files_)
            if (known == &file) known = nullptr;
    }
    [[nodiscard]] paged_file<Traits>* file_of(database_id id) const noexcept {
        for (auto* known : files_)
            if (known != nullptr && known->id() == id) return known;
        return nullptr;
    }
    // Requires: the entry's database is attached.
    [[nodiscard]] place place_of(version_entry const& entry) const noexcept {
        return {.file = file_of(entry.database), .id = entry.tree, .root = entry.root};
    }

    // Bytes of before-images of finished transactions.
    [[nodiscard]] std::size_t history_bytes() const noexcept {
        return history_bytes_.load(std::memory_order_relaxed);
    }
    void add_history(std::size_t size) noexcept {
        history_bytes_.fetch_add(size, std::memory_order_relaxed);
    }
    void drop_history(std::size_t size) noexcept {
        history_bytes_.fetch_sub(size, std::memory_order_relaxed);
    }
    // Counts commits; every 16th caller is asked to collect.
    [[nodiscard]] bool is_collection_due() noexcept {
        return commits_.fetch_add(1, std::memory_order_relaxed) % 16 == 15;
    }

    // Errors: out_of_memory.
    [[nodiscard]] result<transaction_state*> begin() noexcept {
        auto* state = new (std::nothrow) transaction_state{};
        if (state == nullptr) return error{.code = errc::out_of_memory};
        return state;
    }
    // Frees a transaction none of whose entries is linked.
    void forget(transaction_state* state) noexcept {
        state->arena.give_back(chunks_);
        delete state;
    }

    // A transaction whose rollback met an unreadable page: its rows stay owned, so that nobody sees
    // or overwrites what could not be undone, and it keeps the log it needs until reopened.
    void keep_stuck(transaction_state* state) noexcept {
        auto const held = holding{collector_lock_};
        state->queue_next = stuck_;
        stuck_ = state;
    }

private:
    [[no_unique_address]] env env_;
    btree<Traits>* trees_;
    log_writer<env>* log_;
    transaction_limits limits_;
    std::array<paged_file<Traits>*, databases_max> files_{};
    version_store<env> versions_;
    census<env> census_;
    version_chunk_pool<env> chunks_;
    finished_queue finished_;
    basic_mutex<typename env::runtime_type> collector_lock_;
    transaction_state* stuck_ = nullptr;
    std::atomic<std::size_t> history_bytes_{0};
    std::atomic<std::uint64_t> commits_{0};
};

} // namespace jetpp::inline v1
