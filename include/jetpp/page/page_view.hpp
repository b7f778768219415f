// jetpp/page/page_view.hpp - reading one page: search, rows, children, fences, room.
//
// Safe on arbitrary bytes: every offset and length is clamped and every loop bounded by the
// compile-time row count, so a page that is garbage (damaged, or caught in the middle of a change)
// gives garbage answers and never leads outside its PageSize bytes. Whether the page is sound is
// said by page_codec::verify and check_page.
// Complexity  search: one fence prefix compare, then O(log rows) heads; few suffix compares.
// Threads     any number of readers; spans into the page are stable only under a latch.
// Owns        nothing: a view over PageSize bytes, aligned to at least 8.
// Longer than most: search, room and rows read the same few fields, and are read together.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_memory.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

struct search_result {
    std::uint32_t slot{}; // the first row whose key is not below the wanted one
    bool found{};         // and whether it is the wanted one
};

// Room for one key of the largest size.
template <std::size_t PageSize>
struct key_buffer {
    std::byte raw[page_limits<PageSize>::key_bytes_max];
    [[nodiscard]] bytes all() noexcept { return {raw, sizeof raw}; }
};

template <std::size_t PageSize>
class page_view {
public:
    using limits = page_limits<PageSize>;

    explicit page_view(std::byte const* page) noexcept : page_{page} {}

    [[nodiscard]] std::byte const* data() const noexcept { return page_; }
    [[nodiscard]] const_bytes all() const noexcept { return {page_, PageSize}; }

    // The header.
    [[nodiscard]] lsn page_lsn() const noexcept {
        return {field<std::uint64_t>(page_offset::page_lsn)};
    }
    [[nodiscard]] page_number number() const noexcept {
        return {field<std::uint32_t>(page_offset::number)};
    }
    [[nodiscard]] tree_id tree() const noexcept {
        return {field<std::uint32_t>(page_offset::tree)};
    }
    [[nodiscard]] page_kind kind() const noexcept {
        return static_cast<page_kind>(field<std::uint8_t>(page_offset::kind));
    }
    [[nodiscard]] bool is_leaf() const noexcept { return kind() == page_kind::leaf; }
    [[nodiscard]] bool is_inner() const noexcept { return kind() == page_kind::inner; }
    [[nodiscard]] std::uint32_t level() const noexcept {
        return field<std::uint8_t>(page_offset::level);
    }
    [[nodiscard]] std::uint16_t flags() const noexcept {
        return field<std::uint16_t>(page_offset::flags);
    }
    [[nodiscard]] bool is_root() const noexcept { return (flags() & page_flag::root) != 0; }
    [[nodiscard]] std::uint32_t timeline_low() const noexcept {
        return field<std::uint32_t>(page_offset::timeline_low);
    }
    [[nodiscard]] std::uint32_t row_count() const noexcept {
        return std::min<std::uint32_t>(
            field<std::uint16_t>(page_offset::row_count), limits::rows_max
        );
    }
    [[nodiscard]] bool empty() const noexcept { return row_count() == 0; }
    [[nodiscard]] std::uint32_t ghost_count() const noexcept {
        return field<std::uint16_t>(page_offset::ghost_count);
    }
    [[nodiscard]] page_number upper_child() const noexcept {
        return {field<std::uint32_t>(page_offset::upper_child)};
    }

    // Fences, stored in full. Lower inclusive, upper exclusive; nullopt = infinite.
    [[nodiscard]] fence lower_fence() const noexcept {
        return fence_at(page_offset::lower_offset, page_offset::lower_bytes);
    }
    [[nodiscard]] fence upper_fence() const noexcept {
        return fence_at(page_offset::upper_offset, page_offset::upper_bytes);
    }
    [[nodiscard]] const_bytes prefix() const noexcept {
        auto const length = std::size_t{field<std::uint16_t>(page_offset::prefix_bytes)};
        if (length == 0) return {};
        auto const lower = lower_fence();
        return lower ? lower->first(std::min(length, lower->size())) : const_bytes{};
    }
    // May rows with this key live here?
    [[nodiscard]] bool covers(const_bytes key) const noexcept {
        auto const lower = lower_fence();
        if (lower && page_memory::compare_keys(key, *lower) < 0) return false;
        auto const upper = upper_fence();
        return !upper || page_memory::compare_keys(key, *upper) < 0;
    }

    // Rows. Requires of every slot: slot < row_count() (else the last possible slot answers).
    [[nodiscard]] page_slot slot(std::uint32_t i) const noexcept {
        i = std::min(i, limits::rows_max - 1);
        return {page_memory::load<std::uint64_t>(
            page_ + page_offset::content + std::size_t{i} * slot_bytes
        )};
    }
    [[nodiscard]] row_flags row_flags_of(std::uint32_t i) const noexcept { return slot(i).flags(); }
    [[nodiscard]] bool is_ghost(std::uint32_t i) const noexcept {
        return has(slot(i).flags(), row_flags::ghost);
    }
    [[nodiscard]] bool is_versioned(std::uint32_t i) const noexcept {
        return has(slot(i).flags(), row_flags::versioned);
    }
    [[nodiscard]] bool is_indirect(std::uint32_t i) const noexcept {
        return has(slot(i).flags(), row_flags::indirect);
    }
    // The key without the page's prefix.
    [[nodiscard]] const_bytes suffix(std::uint32_t i) const noexcept {
        auto const c = locate(slot(i));
        return {page_ + c.suffix, c.suffix_bytes};
    }
    // Leaf: the value. Inner: the four bytes of the child's number.
    [[nodiscard]] const_bytes value(std::uint32_t i) const noexcept {
        auto const c = locate(slot(i));
        return {page_ + c.value, c.value_bytes};
    }
    [[nodiscard]] std::uint32_t key_bytes(std::uint32_t i) const noexcept {
        auto const length = prefix().size() + suffix(i).size();
        return static_cast<std::uint32_t>(length);
    }
    // The whole key, copied. Requires: out.size() >= key_bytes(i); limits::key_bytes_max is
    // always enough on a sound page. A shorter `out` cuts the key.
    [[nodiscard]] const_bytes copy_key(std::uint32_t i, bytes out) const noexcept {
        auto const front = prefix();
        auto const back = suffix(i);
        auto const n = std::min(front.size(), out.size());
        page_memory::load_bytes(out.data(), front.data(), n);
        auto const m = std::min(back.size(), out.size() - n);
        page_memory::load_bytes(out.data() + n, back.data(), m);
        return out.first(n + m);
    }
    // Sign of (key of row i) - key.
    [[nodiscard]] int compare_key(std::uint32_t i, const_bytes key) const noexcept {
        auto const front = prefix();
        auto const shared = std::min(front.size(), key.size());
        if (auto const order = page_memory::compare_bytes(front.data(), key.data(), shared);
            order != 0)
            return order;
        if (key.size() < front.size()) return 1;
        return page_memory::compare_keys(suffix(i), key.subspan(shared));
    }

    // The first row not below `key`.
    [[nodiscard]] search_result search(const_bytes key) const noexcept { return bound<false>(key); }

    // Children of an inner page: child(i) for i in 0..row_count(), the last one being the upper
    // child. child(i) holds keys < separator(i) and >= separator(i - 1).
    [[nodiscard]] page_number child(std::uint32_t i) const noexcept {
        if (i >= row_count()) return upper_child();
        auto const at = slot(i).offset() & (limits::page_bytes - 4);
        return {page_memory::load<std::uint32_t>(page_ + at)};
    }
    [[nodiscard]] std::uint32_t child_index(const_bytes key) const noexcept {
        return bound<true>(key).slot;
    }
    // The child that holds the keys strictly below `key`.
    [[nodiscard]] std::uint32_t child_index_before(const_bytes key) const noexcept {
        return bound<false>(key).slot;
    }
    [[nodiscard]] page_number child_for(const_bytes key) const noexcept {
        return child(child_index(key));
    }
    // The index of the child with this number; row_count() + 1 if there is none. Linear.
    [[nodiscard]] std::uint32_t index_of_child(page_number wanted) const noexcept {
        auto const count = row_count();
        for (auto i = std::uint32_t{0}; i <= count; ++i)
            if (child(i) == wanted) return i;
        return count + 1;
    }
    // The separator right of child(i), whole. Requires: i < row_count().
    [[nodiscard]] const_bytes copy_separator(std::uint32_t i, bytes out) const noexcept {
        return copy_key(i, out);
    }

    // Room. All of it is a function of the canonical content, so redo finds what run time found.
    [[nodiscard]] std::uint32_t heap_begin() const noexcept {
        return std::clamp(
            field<std::uint32_t>(page_offset::heap_begin), page_header_bytes, limits::page_bytes
        );
    }
    [[nodiscard]] std::uint32_t slots_end() const noexcept {
        return page_header_bytes + row_count() * slot_bytes;
    }
    [[nodiscard]] std::uint32_t dead_bytes() const noexcept {
        return field<std::uint16_t>(page_offset::dead_bytes);
    }
    [[nodiscard]] std::uint32_t contiguous_free() const noexcept {
        auto const heap = heap_begin();
        auto const end = slots_end();
        return heap > end ? heap - end : 0;
    }
    [[nodiscard]] std::uint32_t total_free() const noexcept {
        return std::min(contiguous_free() + dead_bytes(), limits::content_bytes);
    }
    [[nodiscard]] std::uint32_t bytes_used() const noexcept {
        return limits::content_bytes - total_free();
    }
    // Slot and cell of one row whose key begins with the page's prefix.
    [[nodiscard]] std::uint32_t bytes_needed(std::size_t key_size, std::size_t value_size)
        const noexcept {
        auto const front = prefix().size();
        auto const back = key_size > front ? key_size - front : 0;
        return slot_bytes +
               cell_bytes(
                   kind(), static_cast<std::uint32_t>(back), static_cast<std::uint32_t>(value_size)
               );
    }
    // Does one more row fit (after compaction if need be)?
    [[nodiscard]] bool fits(std::size_t suffix_size, std::size_t value_size) const noexcept {
        return row_count() < limits::rows_max &&
               slot_bytes + cell_bytes(
                                kind(),
                                static_cast<std::uint32_t>(suffix_size),
                                static_cast<std::uint32_t>(value_size)
                            ) <=
                   total_free();
    }
    [[nodiscard]] bool fits_row(const_bytes key, std::size_t value_size) const noexcept {
        return row_count() < limits::rows_max &&
               bytes_needed(key.size(), value_size) <= total_free();
    }
    // Can row i take a value of this size? Its old cell is given up only as far as the value goes:
    // the suffix must survive until it is copied.
    [[nodiscard]] bool fits_replace(std::uint32_t i, std::size_t value_size) const noexcept {
        auto const old_value = value(i).size();
        auto const back = static_cast<std::uint32_t>(suffix(i).size());
        auto const wanted = cell_bytes(kind(), back, static_cast<std::uint32_t>(value_size));
        auto const held = cell_bytes(kind(), back, static_cast<std::uint32_t>(old_value));
        return wanted <= held || wanted <= total_free() + held - cell_bytes(kind(), back, 0);
    }
    // Bytes of slots and cells of the rows [first, last) under another prefix length.
    [[nodiscard]] std::uint32_t row_bytes(
        std::uint32_t first, std::uint32_t last, std::uint32_t new_prefix
    ) const noexcept {
        auto const front = static_cast<std::uint32_t>(prefix().size());
        auto const what = kind();
        auto sum = std::uint32_t{0};
        last = std::min(last, row_count());
        for (auto i = first; i < last; ++i) {
            auto const c = locate(slot(i));
            auto const key = front + c.suffix_bytes;
            sum += slot_bytes +
                   cell_bytes(what, key > new_prefix ? key - new_prefix : 0, c.value_bytes);
        }
        return sum;
    }
    // The same and the fences, if the rows stood between these fences.
    [[nodiscard]] std::uint32_t bytes_between(
        std::uint32_t first, std::uint32_t last, fence const& lower, fence const& upper
    ) const noexcept {
        auto sum = row_bytes(first, last, prefix_of(lower, upper));
        for (auto const* f : {&lower, &upper})
            if (*f) sum += fence_bytes(kind(), static_cast<std::uint32_t>((*f)->size()));
        return sum;
    }
    // Can the page end before row `first` with this upper fence? (An append split adds a fence to
    // a full page.)
    [[nodiscard]] bool fits_cut(std::uint32_t first, const_bytes upper) const noexcept {
        return bytes_between(0, first, lower_fence(), upper) <= limits::content_bytes;
    }

private:
    struct cell {
        std::uint32_t suffix;
        std::uint32_t suffix_bytes;
        std::uint32_t value;
        std::uint32_t value_bytes;
    };

    template <class T>
    [[nodiscard]] T field(std::size_t offset) const noexcept {
        return page_memory::load<T>(page_ + offset);
    }
    [[nodiscard]] fence fence_at(std::size_t offset, std::size_t length) const noexcept {
        auto const at = field<std::uint16_t>(offset) & (limits::page_bytes - 1);
        if (at == 0) return std::nullopt;
        auto const size =
            std::min<std::uint32_t>(field<std::uint16_t>(length), limits::page_bytes - at);
        return const_bytes{page_ + at, size};
    }
    [[nodiscard]] cell locate(page_slot s) const noexcept {
        constexpr auto end = limits::page_bytes;
        auto c = cell{};
        if (kind() == page_kind::inner) {
            auto const at = s.offset() & (end - 4);
            c.suffix = at + inner_header_bytes;
            c.suffix_bytes = std::min(s.suffix_bytes(), end - c.suffix);
            c.value = at;
            c.value_bytes = inner_header_bytes;
        } else {
            auto const at = s.offset() & (end - 2);
            c.suffix = at + leaf_header_bytes;
            c.suffix_bytes = std::min(s.suffix_bytes(), end - c.suffix);
            c.value = c.suffix + c.suffix_bytes;
            c.value_bytes = std::min<std::uint32_t>(
                page_memory::load<std::uint16_t>(page_ + at), end - c.value
            );
        }
        return c;
    }

    // after_equal: the first row above `key`; else the first row not below it.
    template <bool after_equal>
    [[nodiscard]] search_result bound(const_bytes key) const noexcept {
        auto const count = row_count();
        auto const front = prefix();
        auto const shared = std::min(front.size(), key.size());
        auto const order = page_memory::compare_bytes(key.data(), front.data(), shared);
        if (order < 0 || (order == 0 && key.size() < front.size())) return {0, false};
        if (order > 0) return {count, false};
        auto const wanted = key.subspan(shared);
        auto const head = head_of(wanted);
        auto low = std::uint32_t{0};
        auto high = count;
        if (count >= hint_rows_min) narrow(head, count, low, high);
        low = first_head_not_below(head, low, high);
        // That is the place, unless some heads are equal.
        for (auto middle = low; low < high; middle = (low + high) / 2) {
            auto const s = slot(middle);
            auto const sign = s.head() != head ? 1 : compare_tail(s, wanted);
            if (sign == 0) return {after_equal ? middle + 1 : middle, true};
            if (sign < 0)
                low = middle + 1;
            else if (middle == low)
                break;
            else
                high = middle;
        }
        return {low, false};
    }
    // Without branches on the heads: a wrong guess costs more than a probe.
    [[nodiscard]] std::uint32_t first_head_not_below(
        std::uint32_t head, std::uint32_t low, std::uint32_t high
    ) const noexcept {
        auto left = high - low;
        while (left > 1) {
            auto const half = left / 2;
            low += slot(low + half - 1).head() < head ? half : 0;
            left -= half;
        }
        return low + (left == 1 && slot(low).head() < head ? 1u : 0u);
    }
    // Requires: the heads are equal, so the first four bytes are.
    [[nodiscard]] int compare_tail(page_slot s, const_bytes wanted) const noexcept {
        auto const c = locate(s);
        auto const shared = std::min<std::size_t>(c.suffix_bytes, wanted.size());
        if (shared > 4) {
            auto const order =
                page_memory::compare_bytes(page_ + c.suffix + 4, wanted.data() + 4, shared - 4);
            if (order != 0) return order;
        }
        return c.suffix_bytes < wanted.size() ? -1 : c.suffix_bytes > wanted.size() ? 1 : 0;
    }
    // Hints may be stale (they are rebuilt only now and then), so each end they propose is proven
    // by one look at its slot.
    void narrow(std::uint32_t head, std::uint32_t count, std::uint32_t& low, std::uint32_t& high)
        const noexcept {
        std::uint32_t hints[hint_count];
        page_memory::load_bytes(
            reinterpret_cast<std::byte*>(hints), page_ + page_offset::hints, sizeof hints
        );
        auto below = std::uint32_t{0};
        auto not_above = std::uint32_t{0};
        for (auto const raw : hints) {
            auto const hint = std::endian::native == std::endian::big ? swap_bytes(raw) : raw;
            below += hint < head ? 1u : 0u;
            not_above += hint <= head ? 1u : 0u;
        }
        if (below != 0) {
            auto const proposed = below * count / (hint_count + 1);
            if (slot(proposed).head() < head) low = proposed + 1;
        }
        if (not_above < hint_count) {
            auto const proposed = (not_above + 1) * count / (hint_count + 1);
            if (proposed >= low && slot(proposed).head() > head) high = proposed;
        }
    }

    std::byte const* page_;
};

} // namespace jetpp::inline v1
