// jetpp/engine/engine_core.hpp - the state behind an engine and all handles it gave out.
//
// On the heap, so that an engine may be moved while transactions live. Handles are counted: close()
// names what is still open instead of hanging.
// Threads  any.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/engine/options.hpp>
#include <jetpp/engine/tree_table.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/recovery/instance.hpp>
#include <jetpp/txn/census.hpp>
#include <jetpp/txn/transaction_system.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

template <class Traits>
struct engine_core {
    using env = typename Traits::env;

    engine_core(env environment, open_options const& chosen) noexcept
        : store{environment}, trees{environment}, options{chosen}, doomed_lock{environment.runtime},
          gathering{environment.runtime} {}

    instance<Traits> store;
    tree_table<Traits> trees;
    open_options options;
    std::atomic<std::uint32_t> open_snapshots{0};
    std::atomic<std::uint32_t> open_transactions{0};
    // While set, nothing new begins: detach has looked at the counts.
    std::atomic<bool> detaching{false};
    // Reads without a handle, counted in many places so that threads do not meet in one.
    struct alignas(64) read_count {
        std::atomic<std::uint32_t> running{0};
    };
    std::array<read_count, 16> lone_reads{};

    // Trees whose drop is committed and whose pages wait until no older snapshot lives.
    struct doomed_tree {
        tree_place<Traits> place{};
        lsn dropped_at{};
    };
    basic_mutex<typename env::runtime_type> doomed_lock;
    array_list<doomed_tree> doomed{};
    // Who attaches or detaches; held over all that takes, the background tasks' end included.
    basic_mutex<typename env::runtime_type> gathering;

    [[nodiscard]] transaction_system<Traits>& transactions() noexcept {
        return store.transactions();
    }

    // Errors: misuse; tree_dropped for a reader whose snapshot sees the drop.
    [[nodiscard]] result<tree_place<Traits>> place_of(tree handle, lsn snapshot) noexcept {
        BOOST_OUTCOME_TRY(auto* const entry, trees.find(handle));
        auto const dropped = entry->dropped_at.load(std::memory_order_acquire);
        if (dropped != 0 && snapshot.value >= dropped) return error{.code = errc::tree_dropped};
        return entry->place;
    }
    // What every call of a handle asks first.
    [[nodiscard]] result<void> check_alive() noexcept {
        if (store.service().is_stopped()) return error{.code = errc::service_stopped};
        if (store.log().failed()) return error{.code = errc::instance_failed};
        return ok();
    }
    // Requires: no lock is held.
    void tell_broken_pins() noexcept {
        auto const broken = store.take_broken_pins();
        for (auto const& pin : broken.all()) {
            auto const to = store.log().tail();
            options.events(
                {.kind = event_kind::pin_broken,
                 .why = {.code = errc::pin_broken, .file = file_kind::checkpoint, .at = pin.at},
                 .from = pin.at,
                 .to = to,
                 .count = pin.held_bytes(to)}
            );
        }
    }
    // Counts a handle in, unless a detach runs. Errors: busy.
    [[nodiscard]] result<void> enter(std::atomic<std::uint32_t>& count) noexcept {
        count.fetch_add(1, std::memory_order_seq_cst);
        if (!detaching.load(std::memory_order_seq_cst)) return ok();
        count.fetch_sub(1, std::memory_order_seq_cst);
        return error{.code = errc::busy};
    }
    // The place for a read of this thread: stacks lie apart.
    [[nodiscard]] std::atomic<std::uint32_t>& lone_read_count() noexcept {
        auto const here = std::uint32_t{0};
        auto const stack = reinterpret_cast<std::uintptr_t>(&here) >> 16;
        return lone_reads[(stack * 0x9E3779B97F4A7C15u >> 32) % lone_reads.size()].running;
    }
    // Requires: detaching is set. A read without a handle is short: it is waited for.
    void await_lone_reads() noexcept {
        auto& runtime = store.environment().runtime;
        for (auto& one : lone_reads)
            for (std::uint32_t turn = 0; one.running.load(std::memory_order_seq_cst) != 0; ++turn)
                runtime.relax(turn);
    }
};

// A registered reader: what a snapshot handle owns.
template <class Traits>
struct snapshot_body {
    engine_core<Traits>* core{};
    snapshot_registration place{};
    read_view view{};
    // Cursors and savepoints that point here. They may outlive the handle: what is left of it then
    // says misuse, and the last of them frees it.
    std::uint32_t dependents{};
    bool ended{};
    void (*free)(snapshot_body*) noexcept = [](snapshot_body* body) noexcept { delete body; };

    // Errors: snapshot_too_old, once the versions it needs were given up; instance_failed, once
    // the log has failed and recovery may drop what this snapshot shows. Asked after a read.
    [[nodiscard]] result<void> check_current() const noexcept {
        if (place.cancelled.load(std::memory_order_seq_cst))
            return error{.code = errc::snapshot_too_old, .at = place.at};
        auto& log = core->store.log();
        if (log.failed() && !(place.at < log.durable_lsn()))
            return error{.code = errc::instance_failed, .at = place.at};
        return ok();
    }
};

template <class Traits>
void drop_dependent(snapshot_body<Traits>* body) noexcept {
    if (--body->dependents == 0 && body->ended) body->free(body);
}
template <class Traits>
void end_body(snapshot_body<Traits>* body) noexcept {
    body->ended = true;
    if (body->dependents == 0) body->free(body);
}

template <class Traits>
struct transaction_body : snapshot_body<Traits> {
    using entry = typename tree_table<Traits>::entry;
    // What DDL did, and at which position of the transaction: a savepoint may take it back.
    struct ddl_step {
        entry* tree{};
        std::uint32_t position{};
    };

    transaction_body() noexcept {
        this->free = [](snapshot_body<Traits>* body) noexcept {
            delete static_cast<transaction_body*>(body);
        };
    }

    transaction_state* state{};
    log_credit credit{};
    array_list<entry*> written{};   // trees held shared
    array_list<ddl_step> dropped{}; // trees held exclusively
    array_list<ddl_step> created{}; // gone if it rolls back
};

} // namespace jetpp::inline v1
