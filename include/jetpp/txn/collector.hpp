// jetpp/txn/collector.hpp - garbage: before-images nobody can need, ghosts nobody can see.
//
// A finished transaction whose commit every registered snapshot sees gives back all its entries at
// once; no page is visited, except to remove the ghosts of its erases. Committing threads call it
// every 16th commit, the engine's ticker when idle; whoever finds it running goes on.
// When the history exceeds its budget the oldest reader is cancelled: writers never fail because a
// reader is slow.
// Threads  any; one collector at a time.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/txn/transaction_system.hpp>
#include <jetpp/txn/undo.hpp>

#include <cstddef>

namespace jetpp::inline v1 {

// May this ghost go? Asked under the leaf's exclusive latch.
template <class Traits>
class ghost_judgement {
public:
    ghost_judgement(transaction_system<Traits>& system, tree_place<Traits> const& place) noexcept
        : system_{&system}, database_{place.file->id()}, tree_{place.id},
          settled_{system.people().scan().settled_min} {}

    [[nodiscard]] bool operator()(const_bytes key, bool versioned, lsn page_lsn) const noexcept {
        if (!versioned || page_lsn < settled_) return true;
        auto const hash = version_hash(database_, tree_, key);
        auto const bucket = system_->versions().lock(hash);
        return find_version(bucket.head(), database_, tree_, hash, key) == nullptr;
    }

private:
    transaction_system<Traits>* system_;
    database_id database_;
    tree_id tree_;
    lsn settled_;
};

// Removes the ghosts that entries of `kind` left; best effort: a ghost that stays is found by the
// next writer that needs the room.
template <class Traits>
void sweep_ghosts(
    transaction_system<Traits>& system, version_entry const* newest, version_kind kind
) noexcept {
    auto credit = log_credit{};
    for (auto const* entry = newest; entry != nullptr; entry = entry->older_own) {
        if (entry->kind != kind) continue;
        auto const place = system.place_of(*entry);
        if (place.file == nullptr) continue;
        auto const swept = system.trees().remove_ghosts(
            place, entry->key(), ghost_judgement<Traits>{system, place}, credit
        );
        if (!swept) break;
    }
    system.log().give_back(credit);
}

// Returns: how many transactions were let go.
template <class Traits>
std::size_t collect(transaction_system<Traits>& system, std::size_t at_most = 256) noexcept {
    auto& lock = system.collector_lock();
    if (!lock.try_lock()) return 0;
    auto done = std::size_t{0};
    for (auto rounds = 0; rounds < 2; ++rounds) {
        auto const horizon = system.people().scan();
        while (done < at_most) {
            auto* state = system.finished().front();
            if (state == nullptr) break;
            auto limit = horizon.watermark;
            if (Traits::env::runtime_type::sabotaged(sabotage::version_dropped_early))
                limit = system.people().last_commit();
            if (state->committed_at() > limit) break;
            system.finished().pop();
            for (auto* entry = state->newest; entry != nullptr; entry = entry->older_own)
                if (!entry->unlinked) unlink_entry(system, *entry);
            sweep_ghosts(system, state->newest, version_kind::erase);
            system.drop_history(state->arena.bytes_total);
            system.forget(state);
            ++done;
        }
        if (system.history_bytes() <= system.limits().version_bytes) break;
        if (!system.people().cancel_oldest()) break;
    }
    lock.unlock();
    return done;
}

} // namespace jetpp::inline v1
