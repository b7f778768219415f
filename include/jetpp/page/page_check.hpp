// jetpp/page/page_check.hpp - is one page sound by itself?
//
// check_layout is what every page read from a disk passes before anything changes it: afterwards
// no byte in it can lead a page_editor outside the page or make two cells share bytes.
// check_page also proves what a search relies on: order, prefix, heads, fences, counts.
// Both read arbitrary bytes safely. Neither knows the checksum: that is page_codec's duty.
// Complexity  check_layout O(rows + page_size / 128); check_page compares every neighbouring pair.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/error.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_memory.hpp>
#include <jetpp/page/page_view.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

namespace detail {

// Which heap bytes are taken, two to a bit.
template <std::size_t PageSize>
class taken_map {
public:
    // Requires: even at and length, at + length <= PageSize. Returns false iff a byte was taken.
    [[nodiscard]] bool take(std::uint32_t at, std::uint32_t length) noexcept {
        auto bit = at / 2;
        auto const end = bit + length / 2;
        while (bit < end) {
            auto const in_word = bit % 64;
            auto const n = end - bit < 64 - in_word ? end - bit : 64 - in_word;
            auto const mask = (n == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1)
                              << in_word;
            if ((words_[bit / 64] & mask) != 0) return false;
            words_[bit / 64] |= mask;
            bit += n;
        }
        return true;
    }

private:
    std::uint64_t words_[PageSize / 128]{};
};

[[nodiscard]] constexpr bool is_known_kind(page_kind kind) noexcept {
    switch (kind) {
    case page_kind::leaf:
    case page_kind::inner:
    case page_kind::space_map:
    case page_kind::blob_data:
    case page_kind::blob_list:
    case page_kind::freed:
    case page_kind::copy_trailer: return true;
    case page_kind::none:
    case page_kind::dense_leaf:
    case page_kind::compressed: return false;
    }
    return false;
}

template <std::size_t PageSize>
class layout_walk {
    using limits = page_limits<PageSize>;

public:
    explicit layout_walk(std::byte const* page) noexcept
        : page_{page}, kind_{page_view<PageSize>{page}.kind()} {}

    [[nodiscard]] damage run() noexcept {
        auto const level = page_memory::load<std::uint8_t>(page_ + page_offset::level);
        if ((kind_ == page_kind::inner) != (level != 0)) return damage::kind;
        count_ = u16(page_offset::row_count);
        heap_ = page_memory::load<std::uint32_t>(page_ + page_offset::heap_begin);
        if (count_ > limits::rows_max || heap_ > limits::page_bytes ||
            page_header_bytes + count_ * slot_bytes > heap_ || heap_ % cell_alignment(kind_) != 0 ||
            u16(page_offset::ghost_count) > count_)
            return damage::layout;
        auto const prefix = std::uint32_t{u16(page_offset::prefix_bytes)};
        if (!take_fence(page_offset::lower_offset) || !take_fence(page_offset::upper_offset))
            return damage::layout;
        if (prefix > u16(page_offset::lower_bytes) || prefix > u16(page_offset::upper_bytes))
            return damage::layout;
        for (auto i = std::uint32_t{0}; i < count_; ++i)
            if (!take_row(page_view<PageSize>{page_}.slot(i), prefix)) return damage::layout;
        auto const dead = std::uint32_t{u16(page_offset::dead_bytes)};
        return live_ + dead == limits::page_bytes - heap_ ? damage::none : damage::layout;
    }

private:
    [[nodiscard]] std::uint16_t u16(std::size_t offset) const noexcept {
        return page_memory::load<std::uint16_t>(page_ + offset);
    }
    [[nodiscard]] bool take(std::uint32_t at, std::uint32_t size) noexcept {
        if (at < heap_ || at % cell_alignment(kind_) != 0 || at + size > limits::page_bytes)
            return false;
        live_ += size;
        return taken_.take(at, size);
    }
    [[nodiscard]] bool take_fence(std::size_t offset) noexcept {
        auto const at = u16(offset);
        auto const length = u16(offset + 2);
        if (at == 0) return length == 0;
        return length <= limits::key_bytes_max && take(at, fence_bytes(kind_, length));
    }
    [[nodiscard]] bool take_row(page_slot s, std::uint32_t prefix) noexcept {
        auto const at = s.offset();
        if (at < heap_ || at >= limits::page_bytes || at % cell_alignment(kind_) != 0) return false;
        if (prefix + s.suffix_bytes() > limits::key_bytes_max) return false;
        auto value = std::uint32_t{0};
        if (kind_ == page_kind::leaf) {
            value = u16(at);
            if (value > limits::inline_value_bytes_max) return false;
        }
        return take(at, cell_bytes(kind_, s.suffix_bytes(), value));
    }

    std::byte const* page_;
    page_kind kind_;
    std::uint32_t count_{};
    std::uint32_t heap_{};
    std::uint32_t live_{};
    taken_map<PageSize> taken_{};
};

} // namespace detail

// Returns: none, kind or layout.
template <std::size_t PageSize>
[[nodiscard]] damage check_layout(page_view<PageSize> page) noexcept {
    auto const kind = page.kind();
    if (!detail::is_known_kind(kind)) return damage::kind;
    if (kind == page_kind::leaf || kind == page_kind::inner)
        return detail::layout_walk<PageSize>{page.data()}.run();
    return damage::none;
}

namespace detail {

template <std::size_t PageSize>
[[nodiscard]] damage check_rows(page_view<PageSize> page) noexcept {
    auto const lower = page.lower_fence();
    auto const upper = page.upper_fence();
    if (lower && upper && page_memory::compare_keys(*lower, *upper) >= 0) return damage::fences;
    if (page.prefix().size() != prefix_of(lower, upper)) return damage::fences;
    auto const front = page.prefix().size();
    auto const count = page.row_count();
    auto ghosts = std::uint32_t{0};
    for (auto i = std::uint32_t{0}; i < count; ++i) {
        auto const suffix = page.suffix(i);
        if (page.slot(i).head() != head_of(suffix)) return damage::order;
        if (i != 0 && page_memory::compare_keys(page.suffix(i - 1), suffix) >= 0)
            return damage::order;
        ghosts += page.is_ghost(i) ? 1u : 0u;
    }
    if (count != 0) {
        // An inner page's separator at its lower fence would name a child without keys.
        auto const least = page.is_inner() ? 1 : 0;
        if (lower && page_memory::compare_keys(page.suffix(0), lower->subspan(front)) < least)
            return damage::fences;
        if (upper && page_memory::compare_keys(page.suffix(count - 1), upper->subspan(front)) >= 0)
            return damage::fences;
    }
    auto const flagged = (page.flags() & page_flag::has_ghosts) != 0;
    return ghosts == page.ghost_count() && flagged == (ghosts != 0) ? damage::none : damage::layout;
}

template <std::size_t PageSize>
[[nodiscard]] damage check_children(page_view<PageSize> page) noexcept {
    using limits = page_limits<PageSize>;
    auto const count = page.row_count();
    // A page that a drop batch has emptied names no child at all.
    if (count == 0 && page.upper_child() == page_number{0}) return damage::none;
    for (auto i = std::uint32_t{0}; i <= count; ++i) {
        auto const child = page.child(i);
        if (child < limits::first_page || child == no_page || child == page.number())
            return damage::layout;
        if (i < count && page.row_flags_of(i) != row_flags::none) return damage::layout;
    }
    return damage::none;
}

} // namespace detail

// Returns: what is wrong first: kind, layout, fences (also prefix), order (also heads).
template <std::size_t PageSize>
[[nodiscard]] damage check_page(page_view<PageSize> page) noexcept {
    if (auto const d = check_layout(page); d != damage::none) return d;
    auto const* raw = page.data();
    if (load_le<std::uint32_t>(raw + page_offset::key_epoch) != 0) return damage::layout;
    if (load_le<std::uint32_t>(raw + page_offset::reserved) != 0) return damage::layout;
    switch (page.kind()) {
    case page_kind::leaf:
        if (page.upper_child() != page_number{0}) return damage::layout;
        return detail::check_rows(page);
    case page_kind::inner:
        if (auto const d = detail::check_rows(page); d != damage::none) return d;
        return detail::check_children(page);
    default: {
        // No rows, fences or upper child; a space map has no hints either.
        if (page.level() != 0) return damage::kind;
        if (!all_zero(
                {raw + page_offset::row_count, page_offset::key_epoch - page_offset::row_count}
            ))
            return damage::layout;
        if (page.kind() == page_kind::space_map) {
            if (page.tree() != no_tree) return damage::tree;
            if (!all_zero({raw + page_offset::hints, page_offset::content - page_offset::hints}))
                return damage::layout;
            if ((raw[page_offset::content] & std::byte{1}) == std::byte{0})
                return damage::space_map;
        }
        return damage::none;
    }
    }
}

} // namespace jetpp::inline v1
