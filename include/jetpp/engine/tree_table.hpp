// jetpp/engine/tree_table.hpp - the trees an engine knows, and the handle a program holds.
//
// A tree handle is an index into this table: small, copyable, checked at every use. Entries are
// never freed before close, so a stale handle meets its own tombstone (tree_dropped), never a
// stranger. A tree id is never used twice.
// DDL locking: the first write of a transaction takes its tree shared until the end, drop takes it
// exclusive or says busy. Readers take nothing.
// Threads  any.
#pragma once

#include <jetpp/btree/tree_place.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/sync.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace jetpp::inline v1 {

// Names an open tree of one engine. Any number of copies, any thread, until the engine closes.
class tree {
public:
    constexpr tree() noexcept = default;
    friend constexpr bool operator==(tree, tree) noexcept = default;

    [[nodiscard]] constexpr tree_id id() const noexcept { return id_; }
    [[nodiscard]] constexpr database_id database() const noexcept { return database_; }

private:
    template <class Traits>
    friend class tree_table;
    constexpr tree(std::uint32_t index, tree_id id, database_id database) noexcept
        : index_{index}, id_{id}, database_{database} {}

    std::uint32_t index_ = ~std::uint32_t{0};
    tree_id id_{};
    database_id database_{};
};
static_assert(sizeof(tree) <= 16);

template <class Traits>
class tree_table {
public:
    struct entry {
        tree_place<Traits> place{};
        database_id database{};
        std::atomic<bool> gone{false};
        // Transactions that wrote to the tree and have not ended; ~0: a drop owns it.
        std::atomic<std::uint32_t> writers{0};
        // LSN of the commit that dropped it; 0 while it stands.
        std::atomic<std::uint64_t> dropped_at{0};
    };
    static constexpr std::uint32_t owned_by_drop = ~std::uint32_t{0};

    explicit tree_table(typename Traits::env env) noexcept : lock_{env.runtime} {}
    ~tree_table() {
        for (auto& chunk : chunks_) delete[] chunk.load(std::memory_order_relaxed);
    }
    tree_table(tree_table const&) = delete;
    tree_table& operator=(tree_table const&) = delete;

    // The handle of a tree; the same one for the same tree. Errors: out_of_memory, resource.
    [[nodiscard]] result<tree> add(tree_place<Traits> const& place) noexcept {
        auto const held = holding{lock_};
        auto const database = place.file->id();
        auto const count = count_.load(std::memory_order_relaxed);
        for (std::uint32_t i = 0; i < count; ++i) {
            auto& known = at(i);
            if (known.database == database && known.place.id == place.id &&
                known.place.file == place.file && !known.gone.load(std::memory_order_relaxed))
                return tree{i, place.id, database};
        }
        if (count == chunks_.size() * chunk_size) return error{.code = errc::resource};
        auto& chunk = chunks_[count / chunk_size];
        if (chunk.load(std::memory_order_relaxed) == nullptr) {
            auto* fresh = new (std::nothrow) entry[chunk_size];
            if (fresh == nullptr) return error{.code = errc::out_of_memory};
            chunk.store(fresh, std::memory_order_release);
        }
        auto& fresh = at(count);
        fresh.place = place;
        fresh.database = database;
        count_.store(count + 1, std::memory_order_release);
        return tree{count, place.id, database};
    }

    // Errors: misuse (a handle of another engine), tree_dropped.
    [[nodiscard]] result<entry*> find(tree handle) noexcept {
        if (handle.index_ >= count_.load(std::memory_order_acquire))
            return error{.code = errc::misuse};
        auto& known = at(handle.index_);
        if (known.place.id != handle.id_ || known.database != handle.database_)
            return error{.code = errc::misuse};
        if (known.gone.load(std::memory_order_acquire)) return error{.code = errc::tree_dropped};
        return &known;
    }

    // Every handle into that database says tree_dropped from now on.
    void forget_database(database_id database) noexcept {
        auto const held = holding{lock_};
        auto const count = count_.load(std::memory_order_relaxed);
        for (std::uint32_t i = 0; i < count; ++i)
            if (at(i).database == database) at(i).gone.store(true, std::memory_order_release);
    }

private:
    static constexpr std::uint32_t chunk_size = 256;

    [[nodiscard]] entry& at(std::uint32_t i) noexcept {
        return chunks_[i / chunk_size].load(std::memory_order_acquire)[i % chunk_size];
    }

    basic_mutex<typename Traits::env::runtime_type> lock_;
    std::array<std::atomic<entry*>, 256> chunks_{};
    std::atomic<std::uint32_t> count_{0};
};

} // namespace jetpp::inline v1
