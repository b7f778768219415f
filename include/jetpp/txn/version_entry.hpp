// jetpp/txn/version_entry.hpp - one before-image in memory: what a row was before one change.
//
// The page always holds the newest version of a row; whoever must not see it folds these entries,
// newest first, over the page's row until he meets one he may see. The same entries undo the
// transaction, at run time and in recovery.
//
// Layout  the struct, then key_length bytes of key, then image_length bytes of image.
// Invariants
//   * immutable once linked into a bucket, but for `next`
//   * lock entries aside, an entry implies a row or ghost with that key on a page
// Owns     nothing: entries live in the chunks of their transaction (version_arena.hpp).
// Source   Neumann, Muehlbauer, Kemper: "Fast Serializable Multi-Version Concurrency Control for
//          Main-Memory Database Systems" (SIGMOD 2015): in-place newest, before-images aside.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

// What an observer who must not see the entry takes instead.
enum class version_kind : std::uint8_t {
    insert,  // no row
    replace, // the image is the whole old value
    erase,   // the image is the old value
    revive,  // no row; the image is the value that stood under the ghost, for undo
    lock,    // nothing: skipped
    create,  // a tree was made; never in a bucket, known to undo alone
    patch,   // recovery only: the image is an update record's ranges (txn/undo.hpp)
};

struct transaction_state;

struct version_entry {
    version_entry* next{};      // older in the same bucket, any key
    version_entry* older_own{}; // the transaction's previous entry
    transaction_state* owner{};
    lsn at{}; // the record of the change; none for lock
    std::uint64_t hash{};
    tree_id tree{};
    page_number root{};
    std::uint32_t position{}; // of the change in its transaction, from 1
    std::uint32_t image_length{};
    database_id database{};
    std::uint16_t key_length{};
    version_kind kind{};
    bool image_indirect{}; // the image is a reference to a large value
    bool unlinked{};       // no longer in its bucket: undone, or pruned

    [[nodiscard]] const_bytes key() const noexcept { return {tail(), key_length}; }
    [[nodiscard]] const_bytes image() const noexcept { return {tail() + key_length, image_length}; }
    [[nodiscard]] bool is_for(database_id in, tree_id of, std::uint64_t hashed, const_bytes wanted)
        const noexcept {
        return hash == hashed && tree == of && database == in && compare_bytes(key(), wanted) == 0;
    }
    [[nodiscard]] std::byte* tail() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
    [[nodiscard]] std::byte const* tail() const noexcept {
        return reinterpret_cast<std::byte const*>(this + 1);
    }
};

} // namespace jetpp::inline v1
