// jetpp/simulation/file_content.hpp - the bytes of a simulated file, shared until written.
//
// A file is a list of 4 KiB chunks; a null chunk reads as zeros. Copying content copies pointers,
// so that a durable image, a volatile view and every write between them share what they have in
// common: a crash costs what was written since the last one, not what the files weigh.
// Invariants
//   * a chunk with more than one reference is never written to
//   * bytes of the last chunk beyond size() are zero, but while a crash image is being made
// Threads  none: references are counted without atomics, for the simulator has one thread.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace jetpp::inline v1::detail {

inline constexpr std::size_t chunk_bytes = 4096;

class content_chunk {
public:
    content_chunk() noexcept = default; // zeros
    content_chunk(content_chunk const& other) noexcept : memory_{other.memory_} {
        if (memory_ != nullptr) ++memory_->references;
    }
    content_chunk(content_chunk&& other) noexcept : memory_{std::exchange(other.memory_, {})} {}
    content_chunk& operator=(content_chunk other) noexcept {
        std::swap(memory_, other.memory_);
        return *this;
    }
    ~content_chunk() {
        if (memory_ != nullptr && --memory_->references == 0) delete memory_;
    }

    // The same memory: a cheap, sufficient reason to have the same bytes.
    friend bool operator==(content_chunk const& a, content_chunk const& b) noexcept {
        return a.memory_ == b.memory_;
    }

    void read(bytes into, std::size_t from) const noexcept {
        if (memory_ == nullptr)
            std::memset(into.data(), 0, into.size());
        else
            std::memcpy(into.data(), memory_->raw.data() + from, into.size());
    }
    void write(const_bytes data, std::size_t from) {
        if (data.empty()) return;
        if (data.size() == chunk_bytes && is_zero(data.data())) {
            *this = content_chunk{};
            return;
        }
        std::memcpy(own(data.size() == chunk_bytes) + from, data.data(), data.size());
    }
    void copy(content_chunk const& other, std::size_t from, std::size_t to) {
        if (from == 0 && to == chunk_bytes) {
            *this = other;
        } else if (other.memory_ != nullptr) {
            write({other.memory_->raw.data() + from, to - from}, from);
        } else if (memory_ != nullptr) {
            std::memset(own(false) + from, 0, to - from);
        }
    }
    [[nodiscard]] bool equals(const_bytes first) const noexcept {
        if (memory_ == nullptr) return all_zero(first);
        return std::memcmp(memory_->raw.data(), first.data(), first.size()) == 0;
    }
    // Leaves a chunk shared that has zeros there already.
    void clear_from(std::size_t from) {
        if (memory_ == nullptr || all_zero(const_bytes{memory_->raw}.subspan(from))) return;
        std::memset(own(false) + from, 0, chunk_bytes - from);
    }
    void flip(std::size_t at, std::byte mask) { own(false)[at] ^= mask; }

private:
    struct memory {
        std::uint32_t references = 1;
        std::array<std::byte, chunk_bytes> raw;
    };

    static bool is_zero(std::byte const* raw) noexcept {
        static constexpr std::array<std::byte, chunk_bytes> zeros{};
        return std::memcmp(raw, zeros.data(), chunk_bytes) == 0;
    }
    std::byte* own(bool overwrites_all) {
        if (memory_ == nullptr) {
            memory_ = new memory;
            if (!overwrites_all) memory_->raw.fill({});
        } else if (memory_->references > 1) {
            auto* const mine = new memory;
            if (!overwrites_all) mine->raw = memory_->raw;
            --memory_->references;
            memory_ = mine;
        }
        return memory_->raw.data();
    }

    memory* memory_ = nullptr;
};

class file_content {
public:
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] content_chunk const& chunk(std::size_t index) const noexcept {
        static content_chunk const zeros{};
        return index < chunks_.size() ? chunks_[index] : zeros;
    }
    [[nodiscard]] content_chunk& own_chunk(std::size_t index) {
        if (index >= chunks_.size()) chunks_.resize(index + 1);
        return chunks_[index];
    }
    // What grows reads as zeros, what shrinks is forgotten.
    void resize(std::uint64_t size) {
        auto const shrinks = size < size_;
        size_ = size;
        if (shrinks) clip();
    }
    // Without forgetting what lies beyond; clip() does so, once the image is made.
    void set_size(std::uint64_t size) noexcept { size_ = size; }
    void clip() {
        auto const count = static_cast<std::size_t>((size_ + chunk_bytes - 1) / chunk_bytes);
        if (chunks_.size() > count) chunks_.resize(count);
        auto const rest = static_cast<std::size_t>(size_ % chunk_bytes);
        if (rest != 0 && chunks_.size() == count) chunks_.back().clear_from(rest);
    }
    // Requires: offset + into.size() <= size().
    void read(bytes into, std::uint64_t offset) const noexcept {
        for_each_part(offset, into.size(), [&](std::size_t index, std::size_t from, std::size_t n) {
            chunk(index).read(into.first(n), from);
            into = into.subspan(n);
        });
    }
    // Leaves size() as it is.
    void write(const_bytes data, std::uint64_t offset) {
        for_each_part(offset, data.size(), [&](std::size_t index, std::size_t from, std::size_t n) {
            own_chunk(index).write(data.first(n), from);
            data = data.subspan(n);
        });
    }

    // Calls f(chunk index, first byte in the chunk, bytes) for each chunk a range touches.
    template <class F>
    static void for_each_part(std::uint64_t offset, std::uint64_t length, F&& f) {
        while (length != 0) {
            auto const from = static_cast<std::size_t>(offset % chunk_bytes);
            auto const room = std::uint64_t{chunk_bytes - from};
            auto const n = static_cast<std::size_t>(std::min(room, length));
            f(static_cast<std::size_t>(offset / chunk_bytes), from, n);
            offset += n;
            length -= n;
        }
    }

private:
    std::vector<content_chunk> chunks_;
    std::uint64_t size_ = 0;
};

} // namespace jetpp::inline v1::detail
