// jetpp/page/detail/page_editor_bodies.hpp - the bodies of page_editor.
#pragma once

#include <jetpp/page/page_editor.hpp>

namespace jetpp::inline v1 {

template <std::size_t PageSize>
bool page_editor<PageSize>::format(page_format const& what) noexcept {
    auto const too_long = [](fence const& f) { return f && f->size() > limits::key_bytes_max; };
    if (too_long(what.lower) || too_long(what.upper)) return false;
    if (what.lower && what.upper && page_memory::compare_keys(*what.lower, *what.upper) >= 0)
        return false;
    auto const flush_counter =
        static_cast<std::uint16_t>(view().flags() & page_flag::flush_counter);
    page_memory::fill_zero(page_, PageSize);
    put<std::uint32_t>(page_offset::number, what.number.value);
    put<std::uint32_t>(page_offset::tree, what.tree.value);
    put<std::uint8_t>(page_offset::kind, static_cast<std::uint8_t>(what.kind));
    put<std::uint8_t>(page_offset::level, what.level);
    put<std::uint16_t>(
        page_offset::flags,
        static_cast<std::uint16_t>(flush_counter | (what.flags & page_flag::root))
    );
    if (what.kind != page_kind::leaf && what.kind != page_kind::inner) return true;
    put<std::uint32_t>(page_offset::heap_begin, limits::page_bytes);
    put<std::uint32_t>(page_offset::upper_child, what.upper_child.value);
    put_fence(page_offset::lower_offset, what.lower);
    put_fence(page_offset::upper_offset, what.upper);
    put<std::uint16_t>(
        page_offset::prefix_bytes, static_cast<std::uint16_t>(prefix_of(what.lower, what.upper))
    );
    return true;
}

template <std::size_t PageSize>
bool page_editor<PageSize>::format(
    page_format const& what, std::uint32_t count, const_bytes rows
) noexcept {
    if (!format(what)) return false;
    auto reader = row_reader{rows};
    auto row = page_row{};
    auto seen = std::uint32_t{0};
    while (reader.next(row)) {
        if (!append_row(row.suffix, row.value, row.flags)) return false;
        ++seen;
    }
    rebuild_hints();
    return !reader.bad() && seen == count;
}

template <std::size_t PageSize>
bool page_editor<PageSize>::append_row(
    const_bytes suffix, const_bytes value, row_flags flags
) noexcept {
    auto const v = view();
    auto const front = v.prefix().size();
    auto const inner = v.is_inner();
    if (!inner && !v.is_leaf()) return false;
    if (front + suffix.size() > limits::key_bytes_max) return false;
    if (inner ? value.size() != inner_header_bytes : value.size() > limits::inline_value_bytes_max)
        return false;
    auto const count = v.row_count();
    if (count != 0) {
        if (page_memory::compare_keys(v.suffix(count - 1), suffix) >= 0) return false;
    } else if (auto const lower = v.lower_fence()) {
        // A separator at the lower fence would name a child without keys.
        auto const order = page_memory::compare_keys(suffix, lower->subspan(front));
        if (order < (inner ? 1 : 0)) return false;
    }
    if (auto const upper = v.upper_fence()) {
        if (page_memory::compare_keys(suffix, upper->subspan(front)) >= 0) return false;
    }
    if (!v.fits(suffix.size(), value.size())) return false;
    insert_cell(count, suffix, value, flags);
    return true;
}

template <std::size_t PageSize>
bool page_editor<PageSize>::insert(
    std::uint32_t slot, const_bytes key, const_bytes value, row_flags flags
) noexcept {
    auto const v = view();
    if (!v.is_leaf() || value.size() > limits::inline_value_bytes_max || !admits(slot, key))
        return false;
    auto const suffix = key.subspan(v.prefix().size());
    if (!v.fits(suffix.size(), value.size())) return false;
    insert_cell(slot, suffix, value, flags);
    row_count_moved();
    return true;
}

template <std::size_t PageSize>
void page_editor<PageSize>::insert_cell(
    std::uint32_t slot, const_bytes suffix, const_bytes value, row_flags flags
) noexcept {
    auto const size = cell_bytes(
        view().kind(),
        static_cast<std::uint32_t>(suffix.size()),
        static_cast<std::uint32_t>(value.size())
    );
    if (view().contiguous_free() < size + slot_bytes) compact();
    auto const at = allocate(size);
    write_cell(at, suffix, value);
    auto const count = view().row_count();
    page_memory::move_bytes(
        slot_at(slot + 1), slot_at(slot), std::size_t{count - slot} * slot_bytes
    );
    put_slot(
        slot, page_slot::of(at, static_cast<std::uint32_t>(suffix.size()), flags, head_of(suffix))
    );
    put_count(count + 1);
    count_ghost(row_flags::none, flags);
}

template <std::size_t PageSize>
void page_editor<PageSize>::write_cell(
    std::uint32_t at, const_bytes suffix, const_bytes value
) noexcept {
    auto* end = page_ + at;
    if (view().is_inner()) {
        page_memory::store<std::uint32_t>(end, load_le<std::uint32_t>(value.data()));
        end += inner_header_bytes;
        page_memory::store_bytes(end, suffix.data(), suffix.size());
        end += suffix.size();
        page_memory::fill_zero(end, (4 - suffix.size() % 4) % 4);
    } else {
        page_memory::store<std::uint16_t>(end, static_cast<std::uint16_t>(value.size()));
        end += leaf_header_bytes;
        page_memory::store_bytes(end, suffix.data(), suffix.size());
        end += suffix.size();
        page_memory::store_bytes(end, value.data(), value.size());
        end += value.size();
        page_memory::fill_zero(end, (suffix.size() + value.size()) % 2);
    }
}

template <std::size_t PageSize>
bool page_editor<PageSize>::replace_value(
    std::uint32_t slot, const_bytes value, row_flags flags
) noexcept {
    auto v = view();
    if (!v.is_leaf() || slot >= v.row_count() || value.size() > limits::inline_value_bytes_max ||
        !v.fits_replace(slot, value.size()))
        return false;
    auto const back = static_cast<std::uint32_t>(v.suffix(slot).size());
    auto const wanted = cell_bytes(page_kind::leaf, back, static_cast<std::uint32_t>(value.size()));
    auto const held = cell_size(slot);
    auto const at = v.slot(slot).offset();
    if (wanted <= held) {
        auto* cell = page_ + at;
        page_memory::store<std::uint16_t>(cell, static_cast<std::uint16_t>(value.size()));
        auto* end = cell + leaf_header_bytes + back;
        page_memory::store_bytes(end, value.data(), value.size());
        page_memory::fill_zero(end + value.size(), (back + value.size()) % 2);
        if (wanted != held) release(at + wanted, held - wanted);
        return set_flags(slot, flags);
    }
    if (v.contiguous_free() < wanted) {
        // The old value gives way first; the suffix stays until it is copied.
        auto const bare = cell_bytes(page_kind::leaf, back, 0);
        page_memory::store<std::uint16_t>(page_ + at, 0);
        release(at + bare, held - bare);
        compact();
    }
    auto const from = v.slot(slot).offset();
    auto const old_size = cell_size(slot);
    auto const to = allocate(wanted);
    page_memory::store<std::uint16_t>(page_ + to, static_cast<std::uint16_t>(value.size()));
    auto* end = page_ + to + leaf_header_bytes;
    page_memory::move_bytes(end, page_ + from + leaf_header_bytes, back);
    end += back;
    page_memory::store_bytes(end, value.data(), value.size());
    page_memory::fill_zero(end + value.size(), (back + value.size()) % 2);
    put_slot(slot, v.slot(slot).with_offset(to));
    release(from, old_size);
    return set_flags(slot, flags);
}

template <std::size_t PageSize>
bool page_editor<PageSize>::set_flags(std::uint32_t slot, row_flags flags) noexcept {
    if (slot >= view().row_count()) return false;
    auto const s = view().slot(slot);
    if (s.flags() == flags) return true;
    put_slot(slot, s.with_flags(flags));
    count_ghost(s.flags(), flags);
    return true;
}

template <std::size_t PageSize>
void page_editor<PageSize>::clear_versioned_all() noexcept {
    auto const count = view().row_count();
    for (auto i = std::uint32_t{0}; i < count; ++i) {
        auto const s = view().slot(i);
        if (has(s.flags(), row_flags::versioned))
            put_slot(i, s.with_flags(without(s.flags(), row_flags::versioned)));
    }
}

template <std::size_t PageSize>
bool page_editor<PageSize>::remove(std::uint32_t slot) noexcept {
    auto const count = view().row_count();
    if (slot >= count) return false;
    auto const s = view().slot(slot);
    release(s.offset(), cell_size(slot));
    page_memory::move_bytes(
        slot_at(slot), slot_at(slot + 1), std::size_t{count - slot - 1} * slot_bytes
    );
    put_count(count - 1);
    count_ghost(s.flags(), row_flags::none);
    row_count_moved();
    return true;
}

template <std::size_t PageSize>
bool page_editor<PageSize>::add_child(
    std::uint32_t slot, page_number child, const_bytes separator
) noexcept {
    auto const v = view();
    if (!v.is_inner() || !admits(slot, separator)) return false;
    // A separator at the lower fence would name a child without keys.
    if (auto const least = v.lower_fence(); least && compare_bytes(*least, separator) == 0)
        return false;
    auto const suffix = separator.subspan(v.prefix().size());
    if (!v.fits(suffix.size(), 0)) return false;
    std::byte number[inner_header_bytes];
    store_le<std::uint32_t>(number, child.value);
    insert_cell(slot, suffix, number, row_flags::none);
    row_count_moved();
    return true;
}

template <std::size_t PageSize>
bool page_editor<PageSize>::set_child(std::uint32_t slot, page_number child) noexcept {
    auto const count = view().row_count();
    if (!view().is_inner()) return false;
    if (slot == count || slot == upper_child_slot) {
        put<std::uint32_t>(page_offset::upper_child, child.value);
        return true;
    }
    if (slot > count) return false;
    page_memory::store<std::uint32_t>(page_ + view().slot(slot).offset(), child.value);
    return true;
}

template <std::size_t PageSize>
bool page_editor<PageSize>::drop_child(std::uint32_t slot) noexcept {
    auto const count = view().row_count();
    if (!view().is_inner()) return false;
    if (slot != count && slot != upper_child_slot) return remove(slot);
    auto const last = count == 0 ? page_number{0} : view().child(count - 1);
    if (count == 0 && view().upper_child() == page_number{0}) return false;
    put<std::uint32_t>(page_offset::upper_child, last.value);
    return count == 0 || remove(count - 1);
}

template <std::size_t PageSize>
bool page_editor<PageSize>::empty_inner() noexcept {
    if (!view().is_inner()) return false;
    put_count(0);
    put_ghosts(0);
    compact(); // only the fences are left, in the alignment of inner cells
    put<std::uint8_t>(page_offset::kind, static_cast<std::uint8_t>(page_kind::leaf));
    put<std::uint8_t>(page_offset::level, 0);
    put<std::uint32_t>(page_offset::upper_child, 0);
    compact(); // and now in that of a leaf
    return true;
}

template <std::size_t PageSize>
bool page_editor<PageSize>::cut_right(
    std::uint32_t first, const_bytes upper, page_number upper_child
) noexcept {
    auto const v = view();
    if ((!v.is_leaf() && !v.is_inner()) || first > v.row_count() ||
        upper.size() > limits::key_bytes_max)
        return false;
    auto const lower = v.lower_fence();
    if (lower && page_memory::compare_keys(*lower, upper) >= 0) return false;
    if (auto const old = v.upper_fence(); old && page_memory::compare_keys(upper, *old) > 0)
        return false;
    if (first != 0 && v.compare_key(first - 1, upper) >= 0) return false;
    if (!v.fits_cut(first, upper)) return false;
    put_count(first);
    recount_ghosts();
    if (v.is_inner()) put<std::uint32_t>(page_offset::upper_child, upper_child.value);
    change_upper(upper);
    rebuild_hints();
    return true;
}

template <std::size_t PageSize>
bool page_editor<PageSize>::append(
    fence const& upper, page_number upper_child, std::uint32_t count, const_bytes rows
) noexcept {
    auto const v = view();
    if (!v.is_leaf() && !v.is_inner()) return false;
    if (upper && upper->size() > limits::key_bytes_max) return false;
    auto const old = v.upper_fence();
    if (!old || (upper && page_memory::compare_keys(*old, *upper) >= 0)) return false;
    if (!fits_append(v, upper, count, rows)) return false;
    auto const before = v.row_count();
    change_upper(upper);
    if (v.is_inner()) put<std::uint32_t>(page_offset::upper_child, upper_child.value);
    auto reader = row_reader{rows};
    auto row = page_row{};
    while (reader.next(row))
        if (!append_row(row.suffix, row.value, row.flags)) return false;
    rebuild_hints();
    return v.row_count() == before + count;
}

template <std::size_t PageSize>
void page_editor<PageSize>::change_upper(fence const& upper) noexcept {
    auto const old_prefix = static_cast<std::uint32_t>(view().prefix().size());
    auto const new_prefix = prefix_of(view().lower_fence(), upper);
    put<std::uint16_t>(page_offset::upper_offset, 0);
    put<std::uint16_t>(page_offset::upper_bytes, 0);
    detail::page_repack<PageSize>{page_}.shrink(
        new_prefix > old_prefix ? new_prefix - old_prefix : 0
    );
    if (new_prefix < old_prefix) detail::page_repack<PageSize>{page_}.grow(new_prefix, old_prefix);
    put<std::uint16_t>(page_offset::prefix_bytes, static_cast<std::uint16_t>(new_prefix));
    put_fence(page_offset::upper_offset, upper);
}

template <std::size_t PageSize>
void page_editor<PageSize>::put_fence(std::size_t offset, fence const& what) noexcept {
    auto const length = what ? static_cast<std::uint32_t>(what->size()) : 0;
    auto at = std::uint32_t{0};
    if (what) {
        auto const held = fence_bytes(view().kind(), length);
        at = allocate(held);
        page_memory::store_bytes(page_ + at, what->data(), length);
        page_memory::fill_zero(page_ + at + length, held - length);
    }
    put<std::uint16_t>(offset, static_cast<std::uint16_t>(at));
    put<std::uint16_t>(offset + 2, static_cast<std::uint16_t>(length));
}

template <std::size_t PageSize>
void page_editor<PageSize>::count_ghost(row_flags before, row_flags after) noexcept {
    auto const was = has(before, row_flags::ghost);
    auto const is = has(after, row_flags::ghost);
    if (was == is) return;
    auto const count = view().ghost_count();
    put_ghosts(is ? count + 1 : count - 1);
}

template <std::size_t PageSize>
void page_editor<PageSize>::recount_ghosts() noexcept {
    auto ghosts = std::uint32_t{0};
    auto const count = view().row_count();
    for (auto i = std::uint32_t{0}; i < count; ++i) ghosts += view().is_ghost(i) ? 1u : 0u;
    put_ghosts(ghosts);
}

template <std::size_t PageSize>
void page_editor<PageSize>::put_ghosts(std::uint32_t count) noexcept {
    put<std::uint16_t>(page_offset::ghost_count, static_cast<std::uint16_t>(count));
    auto const others = static_cast<unsigned>(view().flags() & ~page_flag::has_ghosts);
    put<std::uint16_t>(
        page_offset::flags,
        static_cast<std::uint16_t>(others | (count != 0 ? page_flag::has_ghosts : 0u))
    );
}

template <std::size_t PageSize>
void page_editor<PageSize>::row_count_moved() noexcept {
    auto const count = view().row_count();
    if (count >= hint_rows_min && count % (count / 16) == 0) rebuild_hints();
}

template <std::size_t PageSize>
void page_editor<PageSize>::rebuild_hints() noexcept {
    auto const v = view();
    auto const count = v.row_count();
    for (auto i = std::uint32_t{0}; i < hint_count; ++i) {
        auto const head = count == 0 ? 0 : v.slot((i + 1) * count / (hint_count + 1)).head();
        put<std::uint32_t>(page_offset::hints + std::size_t{i} * 4, head);
    }
}

} // namespace jetpp::inline v1
