// jetpp/txn/version_arena.hpp - where a transaction's version entries live.
//
// A bump allocator over chunks: the first is small, so that a one-row transaction is cheap, the
// second of middle size, since a small profile allows a writer 64 KiB in all, later ones are large. All chunks go back at once, when the last entry has left its bucket. Nothing
// below a position is ever reused earlier, so a reader that holds a bucket lock never meets bytes
// that changed under it.
// Threads  one owner at a time; the shared chunk pool has its own lock.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>

#include <cstddef>
#include <cstdint>
#include <new>

namespace jetpp::inline v1 {

struct version_chunk {
    version_chunk* next{};
    std::uint32_t size{}; // of the bytes behind this header
    std::uint32_t used{};

    [[nodiscard]] std::byte* memory() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
};

// Keeps a bounded number of chunks for reuse and counts what is out.
template <any_environment Env>
class version_chunk_pool {
public:
    static constexpr std::uint32_t small_bytes = 2048 - sizeof(version_chunk);
    static constexpr std::uint32_t middle_bytes = 16 * 1024 - sizeof(version_chunk);
    static constexpr std::uint32_t large_bytes = 64 * 1024 - sizeof(version_chunk);
    static constexpr std::size_t kept_max = 64; // of each size

    explicit version_chunk_pool(Env env) noexcept : lock_{env.runtime} {}
    ~version_chunk_pool() {
        for (auto* kept : {small_.first, middle_.first, large_.first})
            while (kept != nullptr) {
                auto* next = kept->next;
                ::operator delete(kept);
                kept = next;
            }
    }

    // Returns: null if memory is out.
    [[nodiscard]] version_chunk* take(std::uint32_t bytes_wanted) noexcept {
        auto const size = bytes_wanted <= small_bytes    ? small_bytes
                          : bytes_wanted <= middle_bytes ? middle_bytes
                          : bytes_wanted <= large_bytes  ? large_bytes
                                                         : bytes_wanted;
        {
            auto const held = holding{lock_};
            if (auto* kept = list_of(size); kept != nullptr && kept->first != nullptr) {
                auto* chunk = kept->first;
                kept->first = chunk->next;
                --kept->count;
                *chunk = {.next = nullptr, .size = size, .used = 0};
                return chunk;
            }
        }
        void* memory = ::operator new(sizeof(version_chunk) + size, std::nothrow);
        if (memory == nullptr) return nullptr;
        return ::new (memory) version_chunk{.next = nullptr, .size = size, .used = 0};
    }
    void give_back(version_chunk* chunk) noexcept {
        {
            auto const held = holding{lock_};
            if (auto* kept = list_of(chunk->size); kept != nullptr && kept->count < kept_max) {
                chunk->next = kept->first;
                kept->first = chunk;
                ++kept->count;
                return;
            }
        }
        ::operator delete(chunk);
    }

private:
    struct kept_list {
        version_chunk* first{};
        std::size_t count{};
    };
    [[nodiscard]] kept_list* list_of(std::uint32_t size) noexcept {
        return size == small_bytes    ? &small_
               : size == middle_bytes ? &middle_
               : size == large_bytes  ? &large_
                                      : nullptr;
    }

    basic_mutex<typename Env::runtime_type> lock_;
    kept_list small_;
    kept_list middle_;
    kept_list large_;
};

// The chunks of one transaction, newest first.
struct version_arena {
    version_chunk* newest{};
    std::size_t bytes_total{}; // of the chunks
    std::size_t bytes_used{};  // of what was allocated: what a limit of the writer counts

    template <class Pool>
    [[nodiscard]] std::byte* allocate(Pool& pool, std::size_t size) noexcept {
        auto const wanted = round_up<std::size_t>(size, alignof(std::max_align_t));
        if (wanted > ~std::uint32_t{0} / 2) return nullptr;
        auto const need = static_cast<std::uint32_t>(wanted);
        if (newest == nullptr || newest->size - newest->used < need) {
            auto const least = newest == nullptr         ? std::uint32_t{0}
                               : newest->next == nullptr ? Pool::middle_bytes
                                                         : Pool::large_bytes;
            auto* chunk = pool.take(need > least ? need : least);
            if (chunk == nullptr) return nullptr;
            chunk->next = newest;
            newest = chunk;
            bytes_total += sizeof(version_chunk) + chunk->size;
        }
        auto* at = newest->memory() + newest->used;
        newest->used += need;
        bytes_used += need;
        return at;
    }
    // Takes back the newest allocation, which was never linked anywhere.
    void undo_allocate(std::size_t size) noexcept {
        auto const taken = round_up<std::size_t>(size, alignof(std::max_align_t));
        newest->used -= static_cast<std::uint32_t>(taken);
        bytes_used -= taken;
    }
    template <class Pool>
    void give_back(Pool& pool) noexcept {
        while (newest != nullptr) {
            auto* next = newest->next;
            pool.give_back(newest);
            newest = next;
        }
        bytes_total = 0;
        bytes_used = 0;
    }
};

} // namespace jetpp::inline v1
