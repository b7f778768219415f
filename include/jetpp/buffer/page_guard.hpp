// jetpp/buffer/page_guard.hpp - a latched page: shared_page to read, exclusive_page to change.
//
// Move-only scopes of a latch on a page in memory. Nobody does I/O, waits for the log or for a
// frame, or calls user code while one is held.
// Threads   a guard belongs to one thread at a time; any thread may release it.
// Lifetime  shorter than the pool's and than the attachment of the file.
#pragma once

#include <jetpp/buffer/page_word.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
class buffer_pool;

template <class Traits>
class [[nodiscard]] shared_page {
public:
    shared_page() noexcept = default;
    shared_page(shared_page&& other) noexcept
        : word_{std::exchange(other.word_, nullptr)}, data_{other.data_}, number_{other.number_} {}
    shared_page& operator=(shared_page&& other) noexcept {
        if (this == &other) return *this;
        release();
        word_ = std::exchange(other.word_, nullptr);
        data_ = other.data_;
        number_ = other.number_;
        return *this;
    }
    ~shared_page() { release(); }

    [[nodiscard]] explicit operator bool() const noexcept { return word_ != nullptr; }
    [[nodiscard]] std::byte const* data() const noexcept { return data_; }
    [[nodiscard]] page_number number() const noexcept { return number_; }
    // Nothing happens if nothing is held.
    void release() noexcept {
        if (auto* const word = std::exchange(word_, nullptr)) word->unshare();
    }

private:
    friend class buffer_pool<Traits>;

    page_word<Traits>* word_ = nullptr;
    std::byte const* data_ = nullptr;
    page_number number_{no_page};
};

template <class Traits>
class [[nodiscard]] exclusive_page {
public:
    exclusive_page() noexcept = default;
    exclusive_page(exclusive_page&& other) noexcept
        : pool_{std::exchange(other.pool_, nullptr)}, word_{other.word_}, data_{other.data_},
          number_{other.number_}, frame_{other.frame_}, changed_{other.changed_},
          fresh_{other.fresh_} {}
    exclusive_page& operator=(exclusive_page&& other) noexcept {
        if (this == &other) return *this;
        release();
        pool_ = std::exchange(other.pool_, nullptr);
        word_ = other.word_;
        data_ = other.data_;
        number_ = other.number_;
        frame_ = other.frame_;
        changed_ = other.changed_;
        fresh_ = other.fresh_;
        return *this;
    }
    ~exclusive_page() { release(); }

    [[nodiscard]] explicit operator bool() const noexcept { return pool_ != nullptr; }
    [[nodiscard]] std::byte const* data() const noexcept { return data_; }
    // Whoever asks for this is taken to change the page: its version grows at release.
    [[nodiscard]] std::byte* data() noexcept {
        changed_ = true;
        return data_;
    }
    [[nodiscard]] page_number number() const noexcept { return number_; }
    [[nodiscard]] bool is_dirty() const noexcept;

    // Clean becomes dirty, with `low` as a lower bound of the LSN of the change to come. Called
    // *before* the log reservation, for all pages of a record: a checkpoint that takes its T0 in
    // between would else skip a durable change.
    void mark_dirty(lsn low) noexcept;

    // A page of create_page() that was never marked dirty leaves memory again.
    void release() noexcept;

private:
    friend class buffer_pool<Traits>;

    buffer_pool<Traits>* pool_ = nullptr;
    page_word<Traits>* word_ = nullptr;
    std::byte* data_ = nullptr;
    page_number number_{no_page};
    std::uint32_t frame_ = 0;
    bool changed_ = false;
    bool fresh_ = false;
};

// Free frames in hand, so that new pages can be made under latches without waiting: the product of
// buffer_pool::reserve_frames(). What is not used goes back at destruction.
template <class Traits>
class [[nodiscard]] frame_purse {
public:
    static constexpr std::uint32_t frames_max = 4;

    frame_purse() noexcept = default;
    frame_purse(frame_purse&& other) noexcept { swap(other); }
    frame_purse& operator=(frame_purse&& other) noexcept {
        swap(other);
        return *this;
    }
    ~frame_purse() { give_back(); }

    [[nodiscard]] std::uint32_t left() const noexcept { return count_; }
    void give_back() noexcept;

private:
    friend class buffer_pool<Traits>;

    void swap(frame_purse& other) noexcept {
        std::swap(pool_, other.pool_);
        std::swap(count_, other.count_);
        for (std::uint32_t i = 0; i < frames_max; ++i) {
            std::swap(frames_[i], other.frames_[i]);
            std::swap(chunks_[i], other.chunks_[i]);
        }
    }

    buffer_pool<Traits>* pool_ = nullptr;
    std::uint32_t count_ = 0;
    std::uint32_t frames_[frames_max]{};
    void* chunks_[frames_max]{}; // of the page table: a new page may need a new part of it
};

} // namespace jetpp::inline v1
