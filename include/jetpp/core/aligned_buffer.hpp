// jetpp/core/aligned_buffer.hpp - memory that direct I/O accepts.
//
// Zero-filled at creation, unless asked not to: no uninitialised byte may ever reach a disk.
// Move-only; a failed allocation leaves it empty, which create() reports as errc::out_of_memory.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>

#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

namespace jetpp::inline v1 {

class aligned_buffer {
public:
    static constexpr std::size_t alignment = 4096;

    aligned_buffer() noexcept = default;
    aligned_buffer(aligned_buffer&& other) noexcept
        : first_{std::exchange(other.first_, nullptr)}, size_{std::exchange(other.size_, 0)},
          alignment_{other.alignment_} {}
    aligned_buffer& operator=(aligned_buffer&& other) noexcept {
        std::swap(first_, other.first_);
        std::swap(size_, other.size_);
        std::swap(alignment_, other.alignment_);
        return *this;
    }
    ~aligned_buffer() { ::operator delete(first_, std::align_val_t{alignment_}); }

    // Errors: out_of_memory.
    [[nodiscard]] static result<aligned_buffer> create(std::size_t size) noexcept {
        BOOST_OUTCOME_TRY(auto made, create_unfilled(size));
        std::memset(made.first_, 0, size);
        return made;
    }
    // For who writes every byte before it reads one, often enough that zeros would be felt.
    // Errors: out_of_memory.
    [[nodiscard]] static result<aligned_buffer> create_unfilled(std::size_t size) noexcept {
        auto made = aligned_buffer{};
        void* memory = ::operator new(size, std::align_val_t{alignment}, std::nothrow);
        if (memory == nullptr) return error{.code = errc::out_of_memory};
        made.first_ = static_cast<std::byte*>(memory);
        made.size_ = size;
        return made;
    }
    // In a room of its own, of `room` bytes and coarser alignment; prepare(memory) comes before
    // the first byte is touched (large_buffer.hpp). Errors: out_of_memory.
    template <class Prepare>
    [[nodiscard]] static result<aligned_buffer> create(
        std::size_t size, std::size_t alignment_wanted, std::size_t room, Prepare&& prepare
    ) noexcept {
        auto made = aligned_buffer{};
        void* memory = ::operator new(room, std::align_val_t{alignment_wanted}, std::nothrow);
        if (memory == nullptr) return error{.code = errc::out_of_memory};
        prepare(memory);
        std::memset(memory, 0, size);
        made.first_ = static_cast<std::byte*>(memory);
        made.size_ = size;
        made.alignment_ = alignment_wanted;
        return made;
    }

    [[nodiscard]] std::byte* data() noexcept { return first_; }
    [[nodiscard]] std::byte const* data() const noexcept { return first_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bytes all() noexcept { return {first_, size_}; }
    [[nodiscard]] const_bytes all() const noexcept { return {first_, size_}; }
    // Requires: offset + length <= size().
    [[nodiscard]] bytes part(std::size_t offset, std::size_t length) noexcept {
        return all().subspan(offset, length);
    }

private:
    std::byte* first_ = nullptr;
    std::size_t size_ = 0;
    std::size_t alignment_ = alignment;
};

} // namespace jetpp::inline v1
