// jetpp/core/array_list.hpp - a growing array whose failed allocation is a value.
//
// Below the public surface no std container grows: with -fno-exceptions a failed allocation inside
// one would end the process. Elements are trivially copyable, so growth is a memcpy.
// Complexity  amortised O(1) push; capacity is kept by clear().
// Threads     one owner at a time.
#pragma once

#include <jetpp/core/ensure.hpp>

#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace jetpp::inline v1 {

template <class T>
class array_list {
    static_assert(std::is_trivially_copyable_v<T>, "jetpp: array_list grows by memcpy");

public:
    array_list() noexcept = default;
    array_list(array_list&& other) noexcept
        : first_{std::exchange(other.first_, nullptr)}, size_{std::exchange(other.size_, 0)},
          capacity_{std::exchange(other.capacity_, 0)} {}
    array_list& operator=(array_list&& other) noexcept {
        std::swap(first_, other.first_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
        return *this;
    }
    ~array_list() { ::operator delete(first_, std::align_val_t{alignment}); }

    // Returns: false iff memory is out; the list is unchanged then.
    [[nodiscard]] bool reserve(std::size_t capacity) noexcept {
        if (capacity <= capacity_) return true;
        if (capacity > ~std::size_t{0} / (2 * sizeof(T))) return false;
        void* grown =
            ::operator new(capacity * sizeof(T), std::align_val_t{alignment}, std::nothrow);
        if (grown == nullptr) return false;
        if (size_ != 0) std::memcpy(grown, static_cast<void const*>(first_), size_ * sizeof(T));
        ::operator delete(first_, std::align_val_t{alignment});
        first_ = static_cast<T*>(grown);
        capacity_ = capacity;
        return true;
    }
    [[nodiscard]] bool push_back(T const& value) noexcept {
        T const copy = value; // value may lie inside this list
        if (size_ == capacity_ && !reserve(capacity_ == 0 ? 16 : 2 * capacity_)) return false;
        ::new (static_cast<void*>(first_ + size_)) T(copy);
        ++size_;
        return true;
    }
    [[nodiscard]] bool append(std::span<T const> values) noexcept {
        if (values.empty()) return true;
        auto const wanted = size_ + values.size();
        if (wanted > capacity_ && !reserve(wanted < 2 * capacity_ ? 2 * capacity_ : wanted))
            return false;
        std::memcpy(static_cast<void*>(first_ + size_), values.data(), values.size_bytes());
        size_ = wanted;
        return true;
    }
    // New elements are value-initialised.
    [[nodiscard]] bool resize(std::size_t size) noexcept {
        if (!reserve(size)) return false;
        for (auto i = size_; i < size; ++i) ::new (static_cast<void*>(first_ + i)) T{};
        size_ = size;
        return true;
    }
    void truncate(std::size_t size) noexcept {
        ensure(size <= size_, "array_list::truncate only shortens");
        size_ = size;
    }
    void pop_back() noexcept {
        ensure(size_ != 0, "pop_back of an empty list");
        --size_;
    }
    void clear() noexcept { size_ = 0; }
    // O(n), keeps order.
    void erase_at(std::size_t i) noexcept {
        ensure(i < size_, "array_list::erase_at within bounds");
        if (i + 1 < size_)
            std::memmove(
                static_cast<void*>(first_ + i),
                static_cast<void const*>(first_ + i + 1),
                (size_ - i - 1) * sizeof(T)
            );
        --size_;
    }

    [[nodiscard]] T& operator[](std::size_t i) noexcept {
        ensure(i < size_, "array_list index within bounds");
        return first_[i];
    }
    [[nodiscard]] T const& operator[](std::size_t i) const noexcept {
        ensure(i < size_, "array_list index within bounds");
        return first_[i];
    }
    [[nodiscard]] T& back() noexcept { return (*this)[size_ - 1]; }
    [[nodiscard]] T const& back() const noexcept { return (*this)[size_ - 1]; }
    [[nodiscard]] T* data() noexcept { return first_; }
    [[nodiscard]] T const* data() const noexcept { return first_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] T* begin() noexcept { return first_; }
    [[nodiscard]] T* end() noexcept { return first_ + size_; }
    [[nodiscard]] T const* begin() const noexcept { return first_; }
    [[nodiscard]] T const* end() const noexcept { return first_ + size_; }

private:
    static constexpr std::size_t alignment = alignof(T) > alignof(std::max_align_t)
                                                 ? alignof(T)
                                                 : alignof(std::max_align_t);

    T* first_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

} // namespace jetpp::inline v1
