// jetpp/txn/version_store.hpp - the hash table of before-images, keyed (database, tree, key).
//
// A fixed number of buckets, never resized; each a list of entries of any keys, newest first. The
// low bit of a bucket is its lock. Readers take the lock too: a lookup is a walk of one short list,
// and with the lock held nothing it sees can be unlinked or freed. (Lock-free readers with epochs
// come with optimistic page reads; nothing else depends on it.)
// Threads  any. Order: page latch, then bucket lock; nothing is taken below a bucket lock.
// Owns     the bucket array; entries belong to their transactions.
#pragma once

#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/large_pages.hpp>
#include <jetpp/txn/version_entry.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace jetpp::inline v1 {

// Spread over all 64 bits; the database is part of it, since two databases may use one tree id.
[[nodiscard]] inline std::uint64_t version_hash(
    database_id database, tree_id tree, const_bytes key
) noexcept {
    auto x = (std::uint64_t{crc32c_of(key)} << 32) ^ (std::uint64_t{tree.value} << 16) ^
             database.value ^ (std::uint64_t{key.size()} << 52);
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9U;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

template <any_environment Env>
class version_store {
    using cell = typename Env::template atomic<std::uintptr_t>;

public:
    explicit version_store(Env env) noexcept : env_{env}, live_locks_{0} {}
    version_store(version_store const&) = delete;
    version_store& operator=(version_store const&) = delete;
    ~version_store() {
        if (buckets_ != nullptr) std::destroy_n(buckets_, mask_ + 1);
        ::operator delete(buckets_, std::align_val_t{alignment_});
    }

    // Requires: bucket_count is a power of two. Errors: out_of_memory.
    [[nodiscard]] result<void> create(std::size_t bucket_count) noexcept {
        auto const size = bucket_count * sizeof(cell);
        alignment_ = large_alignment(size, alignof(cell));
        void* const raw = ::operator new(size, std::align_val_t{alignment_}, std::nothrow);
        if (raw == nullptr) return error{.code = errc::out_of_memory};
        prefer_large_pages(raw, size);
        buckets_ = static_cast<cell*>(raw);
        std::uninitialized_value_construct_n(buckets_, bucket_count);
        mask_ = bucket_count - 1;
        return ok();
    }

    // A bucket under its lock.
    class [[nodiscard]] locked_bucket {
    public:
        locked_bucket(cell& bucket, Env& env) noexcept : bucket_{&bucket} {
            for (std::uint32_t turn = 0;; ++turn) {
                auto word = bucket.load(std::memory_order_relaxed);
                if ((word & 1) == 0 &&
                    bucket.compare_exchange_weak(word, word | 1, std::memory_order_acquire)) {
                    head_ = reinterpret_cast<version_entry*>(word);
                    return;
                }
                env.runtime.relax(turn);
            }
        }
        locked_bucket(locked_bucket const&) = delete;
        locked_bucket& operator=(locked_bucket const&) = delete;
        ~locked_bucket() {
            bucket_->store(reinterpret_cast<std::uintptr_t>(head_), std::memory_order_release);
        }

        [[nodiscard]] version_entry* head() const noexcept { return head_; }
        void push(version_entry& entry) noexcept {
            entry.next = head_;
            head_ = &entry;
        }
        void unlink(version_entry& entry) noexcept {
            auto** link = &head_;
            while (*link != nullptr && *link != &entry) link = &(*link)->next;
            ensure(*link == &entry, "a linked version entry is in its bucket");
            *link = entry.next;
            entry.unlinked = true;
        }

    private:
        cell* bucket_;
        version_entry* head_ = nullptr;
    };

    [[nodiscard]] locked_bucket lock(std::uint64_t hash) noexcept {
        return locked_bucket{buckets_[hash & mask_], env_};
    }

    // The bucket will be wanted soon; it is nowhere near the last one.
    void prefetch(std::uint64_t hash) const noexcept {
        __builtin_prefetch(&buckets_[hash & mask_], 1);
    }

    // Lock entries exist for keys without a row: while any does, every write must look.
    [[nodiscard]] std::uint64_t live_locks() const noexcept {
        return live_locks_.load(std::memory_order_acquire);
    }
    void add_live_lock() noexcept { live_locks_.fetch_add(1, std::memory_order_acq_rel); }
    void drop_live_lock() noexcept { live_locks_.fetch_sub(1, std::memory_order_acq_rel); }

private:
    [[no_unique_address]] Env env_;
    cell* buckets_ = nullptr;
    std::size_t mask_ = 0;
    std::size_t alignment_ = alignof(cell);
    typename Env::template atomic<std::uint64_t> live_locks_;
};

// The first entry of one key at or after `from` in a locked bucket's list; null if none.
[[nodiscard]] inline version_entry* find_version(
    version_entry* from, database_id database, tree_id tree, std::uint64_t hash, const_bytes key
) noexcept {
    while (from != nullptr && !from->is_for(database, tree, hash, key)) from = from->next;
    return from;
}

} // namespace jetpp::inline v1
