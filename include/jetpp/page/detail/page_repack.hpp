// jetpp/page/detail/page_repack.hpp - moving all cells of one page, in place.
//
// No scratch page: at 64K it would be too much for a small stack, and an allocation may not fail
// here. A bitmap marks where live cells begin (one bit for two bytes); the first two bytes of
// each live row cell are exchanged for its slot number, and the slot keeps them meanwhile. Walking
// the bitmap down, every cell moves up or stays, so nothing unmoved is overwritten; walking it up,
// the same holds for moving down.
// Requires  a sound page (page_codec::verify): cells inside the heap, no two overlapping.
// Complexity  O(rows + page_size / 128) and one move per cell.
// Source  Jonkers, "A fast garbage compaction algorithm", IPL 1979 (the threading).
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_memory.hpp>
#include <jetpp/page/page_view.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1::detail {

template <std::size_t PageSize>
class page_repack {
    using limits = page_limits<PageSize>;

public:
    explicit page_repack(std::byte* page) noexcept
        : page_{page}, kind_{page_view<PageSize>{page}.kind()},
          count_{page_view<PageSize>{page}.row_count()},
          lower_{fence_place(page_offset::lower_offset)},
          upper_{fence_place(page_offset::upper_offset)} {}

    // Gives dead bytes back and drops the first `cut` bytes of every suffix.
    // Leaves heap begin and dead bytes right; the caller sets the prefix length.
    void shrink(std::uint32_t cut) noexcept {
        thread();
        auto top = limits::page_bytes;
        for (auto w = words; w-- > 0;) {
            for (auto rest = starts_[w]; rest != 0;) {
                auto const bit = 63 - static_cast<std::uint32_t>(std::countl_zero(rest));
                rest &= ~(std::uint64_t{1} << bit);
                auto const from = static_cast<std::uint32_t>(w) * 128 + bit * 2;
                top = is_fence(from) ? move_fence(from, top, true) : lift(from, top, cut);
            }
        }
        finish(top);
    }

    // Gives every suffix the bytes [new_prefix, old_prefix) of the lower fence in front.
    // Requires: no dead bytes (shrink(0) came before), and room.
    void grow(std::uint32_t new_prefix, std::uint32_t old_prefix) noexcept {
        auto const more = old_prefix - new_prefix;
        auto const view = page_view<PageSize>{page_};
        auto total = (lower_.at != 0 ? lower_.held : 0) + (upper_.at != 0 ? upper_.held : 0);
        for (auto i = std::uint32_t{0}; i < count_; ++i) {
            total += cell_bytes(
                kind_,
                view.slot(i).suffix_bytes() + more,
                static_cast<std::uint32_t>(view.value(i).size())
            );
        }
        ensure(
            total + page_header_bytes + count_ * slot_bytes <= limits::page_bytes,
            "a shorter prefix was asked for only where its rows fit"
        );
        thread();
        auto bottom = limits::page_bytes - total;
        auto const heap = bottom;
        for (auto w = std::size_t{0}; w < words; ++w) {
            for (auto rest = starts_[w]; rest != 0; rest &= rest - 1) {
                auto const bit = static_cast<std::uint32_t>(std::countr_zero(rest));
                auto const from = static_cast<std::uint32_t>(w) * 128 + bit * 2;
                bottom = is_fence(from) ? move_fence(from, bottom, false)
                                        : lower(from, bottom, new_prefix, more);
            }
        }
        ensure(bottom == limits::page_bytes, "the cells of a page fill its heap");
        finish(heap);
    }

private:
    static constexpr std::size_t words = PageSize / 128;

    struct place {
        std::uint32_t at{};   // 0 = no such fence
        std::uint32_t held{}; // heap bytes
    };

    [[nodiscard]] place fence_place(std::size_t offset) const noexcept {
        auto const at = page_memory::load<std::uint16_t>(page_ + offset);
        if (at == 0) return {};
        return {at, fence_bytes(kind_, page_memory::load<std::uint16_t>(page_ + offset + 2))};
    }
    [[nodiscard]] bool is_fence(std::uint32_t at) const noexcept {
        return at == lower_.at || at == upper_.at;
    }
    void mark(std::uint32_t at) noexcept {
        starts_[at / 128] |= std::uint64_t{1} << (at % 128 / 2);
    }

    [[nodiscard]] std::byte* slot_at(std::uint32_t i) const noexcept {
        return page_ + page_offset::content + std::size_t{i} * slot_bytes;
    }
    void thread() noexcept {
        for (auto& word : starts_) word = 0;
        for (auto i = std::uint32_t{0}; i < count_; ++i) {
            auto const s = page_slot{page_memory::load<std::uint64_t>(slot_at(i))};
            auto* cell = page_ + s.offset();
            mark(s.offset());
            auto const first = page_memory::load<std::uint16_t>(cell);
            page_memory::store<std::uint16_t>(cell, static_cast<std::uint16_t>(i));
            page_memory::store<std::uint64_t>(slot_at(i), s.with_offset(first).word);
        }
        if (lower_.at != 0) mark(lower_.at);
        if (upper_.at != 0) mark(upper_.at);
    }

    // What a threaded cell looked like.
    struct unthreaded {
        std::uint32_t slot;
        page_slot was;             // its offset field holds the first two bytes of the cell
        std::uint32_t value_bytes; // 0 for inner: the child is the header
        std::uint16_t second;      // inner: the upper half of the child
    };
    [[nodiscard]] unthreaded read(std::uint32_t from) const noexcept {
        auto u = unthreaded{};
        u.slot = page_memory::load<std::uint16_t>(page_ + from);
        ensure(u.slot < count_, "a cell of the page is threaded to its slot");
        u.was = {page_memory::load<std::uint64_t>(slot_at(u.slot))};
        if (kind_ == page_kind::inner)
            u.second = page_memory::load<std::uint16_t>(page_ + from + 2);
        else
            u.value_bytes = u.was.offset();
        return u;
    }
    void write_header(unthreaded const& u, std::uint32_t at) noexcept {
        page_memory::store<std::uint16_t>(page_ + at, static_cast<std::uint16_t>(u.was.offset()));
        if (kind_ == page_kind::inner) page_memory::store<std::uint16_t>(page_ + at + 2, u.second);
    }
    // Zeroes the padding behind a cell, so that no former byte of another row stays there.
    void write_padding(std::uint32_t end, std::uint32_t cell_end) noexcept {
        page_memory::fill_zero(page_ + end, cell_end - end);
    }

    std::uint32_t lift(std::uint32_t from, std::uint32_t top, std::uint32_t cut) noexcept {
        auto const u = read(from);
        auto const header = cell_header_bytes(kind_);
        auto const suffix_old = u.was.suffix_bytes();
        ensure(cut <= suffix_old, "every key of a page begins with its new prefix");
        auto const suffix_new = suffix_old - cut;
        auto const size = cell_bytes(kind_, suffix_new, u.value_bytes);
        ensure(top >= from + size, "a cell of the page moves up or stays");
        auto const to = top - size;
        auto const body = suffix_new + u.value_bytes;
        page_memory::move_bytes(page_ + to + header, page_ + from + header + cut, body);
        write_header(u, to);
        write_padding(to + header + body, top);
        auto s = u.was.with_offset(to);
        if (cut != 0)
            s = page_slot::of(
                to, suffix_new, s.flags(), head_of({page_ + to + header, suffix_new})
            );
        page_memory::store<std::uint64_t>(slot_at(u.slot), s.word);
        return to;
    }
    std::uint32_t lower(
        std::uint32_t from, std::uint32_t to, std::uint32_t new_prefix, std::uint32_t more
    ) noexcept {
        auto const u = read(from);
        auto const header = cell_header_bytes(kind_);
        auto const suffix_new = u.was.suffix_bytes() + more;
        auto const size = cell_bytes(kind_, suffix_new, u.value_bytes);
        ensure(to <= from, "a cell of the page moves down or stays");
        auto const body = suffix_new - more + u.value_bytes;
        page_memory::move_bytes(page_ + to + header + more, page_ + from + header, body);
        page_memory::move_bytes(page_ + to + header, page_ + lower_.at + new_prefix, more);
        write_header(u, to);
        write_padding(to + header + more + body, to + size);
        auto const s = page_slot::of(
            to, suffix_new, u.was.flags(), head_of({page_ + to + header, suffix_new})
        );
        page_memory::store<std::uint64_t>(slot_at(u.slot), s.word);
        return to + size;
    }
    // Returns the new top (moving up) or the new bottom (moving down).
    std::uint32_t move_fence(std::uint32_t from, std::uint32_t edge, bool up) noexcept {
        auto& which = from == lower_.at ? lower_ : upper_;
        auto const to = up ? edge - which.held : edge;
        page_memory::move_bytes(page_ + to, page_ + from, which.held);
        which.at = to;
        auto const field =
            &which == &lower_ ? page_offset::lower_offset : page_offset::upper_offset;
        page_memory::store<std::uint16_t>(page_ + field, static_cast<std::uint16_t>(to));
        return up ? to : to + which.held;
    }
    void finish(std::uint32_t heap) noexcept {
        page_memory::store<std::uint32_t>(page_ + page_offset::heap_begin, heap);
        page_memory::store<std::uint16_t>(page_ + page_offset::dead_bytes, 0);
    }

    std::byte* page_;
    page_kind kind_;
    std::uint32_t count_;
    place lower_;
    place upper_;
    std::uint64_t starts_[words];
};

} // namespace jetpp::inline v1::detail
