// jetpp/buffer/page_table.hpp - from a page number to its word.
//
//     directory ----> [ chunk | chunk |   -   | chunk | ... ]     chunk: 512 words, 4 KiB
//
// Two loads find a word. Chunks appear when one of their pages is first touched and stay until the
// file is detached, so a word's address never changes while anybody may look at it; a directory
// that was outgrown stays too, for a reader that still holds it.
// Threads  find() and touch() any; reserve() any (serialised inside).
// Owns     the words.
#pragma once

#include <jetpp/buffer/page_word.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/sync.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

namespace jetpp::inline v1 {

template <class Traits>
class page_table {
    template <class T>
    using atomic = typename Traits::template atomic<T>;

public:
    static constexpr std::uint32_t chunk_pages = 512;
    using word = page_word<Traits>;
    struct chunk {
        word words[chunk_pages];
    };

    explicit page_table(typename Traits::runtime runtime = {}) noexcept : growing_{runtime} {}
    page_table(page_table const&) = delete;
    page_table& operator=(page_table const&) = delete;
    ~page_table() {
        auto* all = newest_.load(std::memory_order_relaxed);
        if (all != nullptr)
            for (std::uint32_t i = 0; i < all->capacity; ++i)
                delete all->at(i).load(std::memory_order_relaxed);
        while (all != nullptr) {
            auto* const older = all->older;
            directory::destroy(all);
            all = older;
        }
    }

    // Room for the words of all pages below `pages` (8 bytes for every 512 of them).
    // Errors: out_of_memory.
    [[nodiscard]] result<void> reserve(std::uint32_t pages) noexcept {
        auto const chunks = pages / chunk_pages + 1;
        auto const lock = holding{growing_};
        auto* const current = newest_.load(std::memory_order_relaxed);
        auto const had = current == nullptr ? 0 : current->capacity;
        if (chunks <= had) return ok();
        auto* const grown = directory::create(chunks < 2 * had ? 2 * had : chunks, current);
        if (grown == nullptr) return error{.code = errc::out_of_memory};
        newest_.store(grown, std::memory_order_release);
        return ok();
    }

    // Returns: null if no page of the chunk was ever touched: the page is absent.
    [[nodiscard]] word* find(page_number page) const noexcept {
        auto* const all = newest_.load(std::memory_order_acquire);
        auto const i = page.value / chunk_pages;
        if (all == nullptr || i >= all->capacity) return nullptr;
        auto* const part = all->at(i).load(std::memory_order_acquire);
        return part == nullptr ? nullptr : &part->words[page.value % chunk_pages];
    }

    // The word of a page that is about to come in; `spare`, if not null, is used (and set to null)
    // where a chunk is missing. Returns: null if memory is out.
    // Requires: reserve() covered the page.
    [[nodiscard]] word* touch(page_number page, chunk*& spare) noexcept {
        if (auto* const known = find(page)) return known;
        auto const lock = holding{growing_};
        if (auto* const known = find(page)) return known;
        auto* const all = newest_.load(std::memory_order_relaxed);
        auto const i = page.value / chunk_pages;
        ensure(all != nullptr && i < all->capacity, "the page table covers every page in use");
        auto* made = spare;
        spare = nullptr;
        if (made == nullptr) made = new (std::nothrow) chunk;
        if (made == nullptr) return nullptr;
        all->at(i).store(made, std::memory_order_release);
        return &made->words[page.value % chunk_pages];
    }

private:
    using chunk_pointer = atomic<chunk*>;

    struct directory {
        std::uint32_t capacity;
        directory* older;

        [[nodiscard]] chunk_pointer& at(std::uint32_t i) noexcept {
            return reinterpret_cast<chunk_pointer*>(this + 1)[i];
        }
        [[nodiscard]] static directory* create(std::uint32_t capacity, directory* from) noexcept {
            static_assert(alignof(chunk_pointer) <= alignof(directory));
            auto const size = sizeof(directory) + capacity * sizeof(chunk_pointer);
            void* const memory = ::operator new(size, std::nothrow);
            if (memory == nullptr) return nullptr;
            auto* const made = ::new (memory) directory{capacity, from};
            for (std::uint32_t i = 0; i < capacity; ++i) {
                auto* const part = from != nullptr && i < from->capacity
                                       ? from->at(i).load(std::memory_order_relaxed)
                                       : nullptr;
                ::new (static_cast<void*>(&made->at(i))) chunk_pointer{part};
            }
            return made;
        }
        static void destroy(directory* all) noexcept {
            for (std::uint32_t i = 0; i < all->capacity; ++i) all->at(i).~chunk_pointer();
            ::operator delete(static_cast<void*>(all));
        }
    };

    atomic<directory*> newest_{nullptr};
    typename Traits::mutex growing_;
};

} // namespace jetpp::inline v1
