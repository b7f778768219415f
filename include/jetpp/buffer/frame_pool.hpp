// jetpp/buffer/frame_pool.hpp - the memory of the pages: frames, what is known of each, free ones.
//
// One aligned allocation for all frames, one for their frame_info. A frame is faulted in when it is
// first used: every use writes it whole.
//
// How a change stays visible to the checkpoint while it travels home:
//     rec_lsn  -->  inflight_rec_lsn  -->  unsynced low of the file  -->  (synced)
// The next one is set before the previous one is cleared, and readers look from left to right.
// Threads  any; frame_info says for each field who may write it.
// Owns     the memory.
#pragma once

#include <jetpp/buffer/page_word.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/large_pages.hpp>
#include <jetpp/env/sync.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace jetpp::inline v1 {

template <class Traits>
class paged_file;

template <class Traits>
struct alignas(64) frame_info {
    template <class T>
    using atomic = typename Traits::template atomic<T>;

    // Null: the frame is free, or its page is not there yet. Written by who holds the page
    // exclusively; read by everybody, who then asks the word whether it still means this frame.
    atomic<page_word<Traits>*> word{nullptr};
    // Of the page in the frame; as `word`. place: its file's id and its number, for sorting.
    atomic<paged_file<Traits>*> file{nullptr};
    atomic<std::uint64_t> place{0};
    // Last stamp of the page (0 never written). Written by the loader and by who owns `inflight`.
    std::uint32_t flush_counter = 0;
    // Not zero: dirty; a lower bound of the first change that is not copied for home. Set under the
    // exclusive latch, cleared by write_out under a shared one, after it owns `inflight`.
    atomic<std::uint64_t> rec_lsn{0};
    // Not zero: a copy is on its way home, and rec_lsn of that copy. Whoever moves it from zero
    // owns the write.
    atomic<std::uint64_t> inflight_rec_lsn{0};
    // Not zero: the page was freed by a record below this. Its content never goes home, but its
    // rec_lsn holds the checkpoint back until that record is durable: were the record lost, redo
    // would need the changes before it.
    atomic<std::uint64_t> dead_lsn{0};

    [[nodiscard]] page_number page() const noexcept {
        return {static_cast<std::uint32_t>(place.load(std::memory_order_relaxed))};
    }
    [[nodiscard]] bool is_dirty() const noexcept {
        return rec_lsn.load(std::memory_order_acquire) != 0;
    }
    [[nodiscard]] bool is_in_flight() const noexcept {
        return inflight_rec_lsn.load(std::memory_order_acquire) != 0;
    }
    [[nodiscard]] bool is_dead() const noexcept {
        return dead_lsn.load(std::memory_order_acquire) != 0;
    }
};

template <class Traits>
class frame_pool {
public:
    using info_type = frame_info<Traits>;
    static constexpr std::size_t page_size = Traits::page_size;
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    explicit frame_pool(typename Traits::runtime runtime) noexcept : lock_{runtime} {}
    frame_pool(frame_pool const&) = delete;
    frame_pool& operator=(frame_pool const&) = delete;
    ~frame_pool() {
        if (infos_ != nullptr)
            for (std::uint32_t i = 0; i < count_; ++i) infos_[i].~info_type();
        ::operator delete(infos_, std::align_val_t{alignof(info_type)});
        ::operator delete(memory_, std::align_val_t{alignment_});
        ::operator delete(free_);
    }

    // Once. Errors: out_of_memory.
    [[nodiscard]] result<void> create(std::uint32_t count) noexcept {
        auto const size = count * page_size;
        alignment_ = large_alignment(size, small_alignment);
        memory_ =
            static_cast<std::byte*>(::operator new(size, std::align_val_t{alignment_}, std::nothrow)
            );
        free_ =
            static_cast<std::uint32_t*>(::operator new(count * sizeof(std::uint32_t), std::nothrow)
            );
        auto* const raw = ::operator new(
            count * sizeof(info_type), std::align_val_t{alignof(info_type)}, std::nothrow
        );
        if (memory_ == nullptr || free_ == nullptr || raw == nullptr) {
            ::operator delete(raw, std::align_val_t{alignof(info_type)});
            return error{.code = errc::out_of_memory};
        }
        prefer_large_pages(memory_, size);
        infos_ = static_cast<info_type*>(raw);
        for (std::uint32_t i = 0; i < count; ++i) {
            ::new (static_cast<void*>(infos_ + i)) info_type{};
            free_[i] = count - 1 - i;
        }
        count_ = count;
        free_count_.store(count, std::memory_order_release);
        return ok();
    }

    [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
    [[nodiscard]] std::uint32_t free_count() const noexcept {
        return free_count_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::byte* data(std::uint32_t frame) noexcept {
        return memory_ + std::size_t{frame} * page_size;
    }
    [[nodiscard]] info_type& info(std::uint32_t frame) noexcept { return infos_[frame]; }

    // Returns: none if no frame is free.
    [[nodiscard]] std::uint32_t take() noexcept {
        if (free_count() == 0) return none;
        auto const lock = holding{lock_};
        auto const n = free_count_.load(std::memory_order_relaxed);
        if (n == 0) return none;
        free_count_.store(n - 1, std::memory_order_relaxed);
        return free_[n - 1];
    }
    void give(std::uint32_t frame) noexcept {
        ensure(
            infos_[frame].word.load(std::memory_order_relaxed) == nullptr,
            "a free frame has no page"
        );
        auto const lock = holding{lock_};
        auto const n = free_count_.load(std::memory_order_relaxed);
        ensure(n < count_, "a frame is given back once");
        free_[n] = frame;
        free_count_.store(n + 1, std::memory_order_relaxed);
    }

private:
    static constexpr std::size_t small_alignment = page_size > 4096 ? page_size : 4096;

    std::size_t alignment_ = small_alignment;
    std::byte* memory_ = nullptr;
    info_type* infos_ = nullptr;
    std::uint32_t* free_ = nullptr; // a stack: the frame freed last is the warmest
    std::uint32_t count_ = 0;
    typename Traits::template atomic<std::uint32_t> free_count_{0};
    typename Traits::mutex lock_;
};

} // namespace jetpp::inline v1
