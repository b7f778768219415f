// jetpp/page/page_editor.hpp - changing one page: rows, children, fences, the header.
//
// Run time, redo and undo call the same functions with the same arguments: what is physical here
// (offsets, heap, compaction) may differ from copy to copy, what is canonical never does. Every
// mutator that needs room or trusts a number says with its result whether the page could take it.
// Run time asks first (page_view::fits...), so a false is a damage error of redo. On false the
// page is unchanged, except where said.
// Invariants
//   * row count, ghost count, dead bytes, prefix and has-ghosts flag are right after every call
//   * rows are in strictly ascending key order and inside the fences
//   * no mutator touches page_lsn: the caller sets it once per log record
// Requires  a page that verified, or format() first; keys and values do not lie in this page.
// Threads   one writer, under the exclusive latch.
// Owns      nothing.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/page/detail/page_repack.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_memory.hpp>
#include <jetpp/page/page_rows.hpp>
#include <jetpp/page/page_view.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

template <std::size_t PageSize>
class page_editor {
public:
    using limits = page_limits<PageSize>;
    using view_type = page_view<PageSize>;

    explicit page_editor(std::byte* page) noexcept : page_{page} {}

    [[nodiscard]] std::byte* data() const noexcept { return page_; }
    [[nodiscard]] view_type view() const noexcept { return view_type{page_}; }
    operator view_type() const noexcept { return view(); }

    // Makes an empty page of any former bytes (only the flush counter stays). page_lsn is 0 then.
    // Returns: false iff the fences are too long or not ascending; the page is untouched then.
    [[nodiscard]] bool format(page_format const& what) noexcept;
    // format(), then the rows in order. Returns false also for rows that do not fit, are not in
    // order or leave the fences: the page is half built then and must be given up.
    [[nodiscard]] bool format(
        page_format const& what, std::uint32_t count, const_bytes rows
    ) noexcept;
    // The row behind the last one; `suffix` is the key without prefix(). Checks room and order.
    [[nodiscard]] bool append_row(const_bytes suffix, const_bytes value, row_flags flags) noexcept;

    // Leaf rows. `slot` is search(key).slot; the key must be absent.
    [[nodiscard]] bool insert(
        std::uint32_t slot, const_bytes key, const_bytes value, row_flags flags = row_flags::none
    ) noexcept;
    // In place when the new value is not longer than the cell, else in a new cell.
    [[nodiscard]] bool replace_value(
        std::uint32_t slot, const_bytes value, row_flags flags
    ) noexcept;
    [[nodiscard]] bool set_flags(std::uint32_t slot, row_flags flags) noexcept;
    [[nodiscard]] bool set_ghost(std::uint32_t slot, bool on) noexcept {
        return set_flag(slot, row_flags::ghost, on);
    }
    [[nodiscard]] bool set_versioned(std::uint32_t slot, bool on) noexcept {
        return set_flag(slot, row_flags::versioned, on);
    }
    // Not logged: bits say only that the version store should be asked.
    void clear_versioned_all() noexcept;
    // Leaf or inner: takes the cell away. (Inner: see drop_child for what that means.)
    [[nodiscard]] bool remove(std::uint32_t slot) noexcept;

    // Inner rows. add_child puts {child, separator} at `slot`: the new child takes the keys below
    // the separator, the child that was there keeps those at or above it.
    [[nodiscard]] bool add_child(
        std::uint32_t slot, page_number child, const_bytes separator
    ) noexcept;
    // slot == row_count() or upper_child_slot: the upper child.
    [[nodiscard]] bool set_child(std::uint32_t slot, page_number child) noexcept;
    // Takes child(slot) away with the separator on its right, so that the next child also covers
    // its keys; of the upper child, with the separator on its left: the last child becomes the
    // upper one (0 when none is left).
    [[nodiscard]] bool drop_child(std::uint32_t slot) noexcept;
    // An inner page becomes a leaf without rows, between the same fences.
    [[nodiscard]] bool empty_inner() noexcept;

    // The page ends before row `first` now, with this upper fence (and upper child, if inner).
    // Requires: fits_cut(first, upper).
    [[nodiscard]] bool cut_right(
        std::uint32_t first, const_bytes upper, page_number upper_child = {0}
    ) noexcept;
    // The right neighbour's rows join this page, which then reaches to `upper`. The suffixes in
    // `rows` are relative to the new prefix. Returns false for rows that do not fit or are out of
    // order: the page is half built then and must be given up. Run time asks fits_append first.
    [[nodiscard]] bool append(
        fence const& upper, page_number upper_child, std::uint32_t count, const_bytes rows
    ) noexcept;

    // Gives dead bytes back. Not logged. Never needed before another mutator.
    void compact() noexcept { detail::page_repack<PageSize>{page_}.shrink(0); }
    void rebuild_hints() noexcept;

    void set_page_lsn(lsn at, std::uint32_t timeline_low) noexcept {
        put<std::uint64_t>(page_offset::page_lsn, at.value);
        put<std::uint32_t>(page_offset::timeline_low, timeline_low);
    }
    // A freed page in memory: a hint that still leads here is refused. Never written so.
    void set_kind(page_kind kind) noexcept {
        put<std::uint8_t>(page_offset::kind, static_cast<std::uint8_t>(kind));
    }

private:
    template <class T>
    void put(std::size_t offset, std::type_identity_t<T> value) noexcept {
        page_memory::store<T>(page_ + offset, value);
    }
    [[nodiscard]] std::byte* slot_at(std::uint32_t i) const noexcept {
        return page_ + page_offset::content + std::size_t{i} * slot_bytes;
    }
    void put_slot(std::uint32_t i, page_slot s) noexcept {
        page_memory::store<std::uint64_t>(slot_at(i), s.word);
    }
    // Would the key stand in order at this slot, inside the fences?
    [[nodiscard]] bool admits(std::uint32_t slot, const_bytes key) const noexcept {
        auto const v = view();
        auto const count = v.row_count();
        if (slot > count || key.size() > limits::key_bytes_max || !v.covers(key)) return false;
        if (slot != 0 && v.compare_key(slot - 1, key) >= 0) return false;
        return slot == count || v.compare_key(slot, key) > 0;
    }
    // Heap bytes for a cell, from the gap. Requires: room.
    [[nodiscard]] std::uint32_t allocate(std::uint32_t size) noexcept {
        auto const heap = view().heap_begin();
        ensure(
            heap >= view().slots_end() + size, "a cell is allocated only where the gap has room"
        );
        put<std::uint32_t>(page_offset::heap_begin, heap - size);
        return heap - size;
    }
    // The opposite: the lowest cell returns to the gap, any other becomes dead bytes.
    void release(std::uint32_t at, std::uint32_t size) noexcept {
        auto const heap = view().heap_begin();
        if (at == heap) {
            put<std::uint32_t>(page_offset::heap_begin, heap + size);
        } else {
            put<std::uint16_t>(
                page_offset::dead_bytes, static_cast<std::uint16_t>(view().dead_bytes() + size)
            );
        }
    }
    [[nodiscard]] std::uint32_t cell_size(std::uint32_t slot) const noexcept {
        auto const v = view();
        return cell_bytes(
            v.kind(),
            static_cast<std::uint32_t>(v.suffix(slot).size()),
            static_cast<std::uint32_t>(v.value(slot).size())
        );
    }
    // Requires: fits. `front` is the cell header's value for an inner page: the child.
    void insert_cell(
        std::uint32_t slot, const_bytes suffix, const_bytes value, row_flags flags
    ) noexcept;
    void write_cell(std::uint32_t at, const_bytes suffix, const_bytes value) noexcept;
    void put_count(std::uint32_t count) noexcept {
        put<std::uint16_t>(page_offset::row_count, static_cast<std::uint16_t>(count));
    }
    void count_ghost(row_flags before, row_flags after) noexcept;
    void recount_ghosts() noexcept;
    void put_ghosts(std::uint32_t count) noexcept;
    void row_count_moved() noexcept;
    [[nodiscard]] bool set_flag(std::uint32_t slot, row_flags flag, bool on) noexcept {
        if (slot >= view().row_count()) return false;
        auto const now = view().row_flags_of(slot);
        return set_flags(slot, on ? now | flag : without(now, flag));
    }
    void put_fence(std::size_t offset, fence const& what) noexcept;
    // Exchanges the upper fence; suffixes follow the prefix. Requires: room.
    void change_upper(fence const& upper) noexcept;

    std::byte* page_;
};

// Would `count` rows of a row list fit behind the rows of this page, up to this upper fence?
template <std::size_t PageSize>
[[nodiscard]] bool fits_append(
    page_view<PageSize> page, fence const& upper, std::uint32_t count, const_bytes rows
) noexcept {
    auto used = page.bytes_between(0, page.row_count(), page.lower_fence(), upper);
    auto reader = row_reader{rows};
    auto row = page_row{};
    auto seen = std::uint32_t{0};
    while (used <= page_limits<PageSize>::content_bytes && reader.next(row)) {
        ++seen;
        used += slot_bytes + cell_bytes(
                                 page.kind(),
                                 static_cast<std::uint32_t>(row.suffix.size()),
                                 static_cast<std::uint32_t>(row.value.size())
                             );
    }
    return used <= page_limits<PageSize>::content_bytes && seen == count && !reader.bad() &&
           page.row_count() + count <= page_limits<PageSize>::rows_max;
}

// Bytes used by the merge of two neighbours (inner pages also take the left one's upper fence down
// as the separator between them); more than content_bytes = they do not fit.
template <std::size_t PageSize>
[[nodiscard]] std::uint32_t merged_bytes(
    page_view<PageSize> left, page_view<PageSize> right
) noexcept {
    auto const lower = left.lower_fence();
    auto const upper = right.upper_fence();
    auto const common = prefix_of(lower, upper);
    auto sum = left.bytes_between(0, left.row_count(), lower, upper) +
               right.row_bytes(0, right.row_count(), common);
    if (left.is_inner() && left.upper_fence()) {
        auto const key = static_cast<std::uint32_t>(left.upper_fence()->size());
        sum += slot_bytes + cell_bytes(page_kind::inner, key > common ? key - common : 0, 0);
    }
    if (left.row_count() + right.row_count() + 1 > page_limits<PageSize>::rows_max)
        return page_limits<PageSize>::content_bytes + 1;
    return sum;
}

} // namespace jetpp::inline v1

#include <jetpp/page/detail/page_editor_bodies.hpp>
