// jetpp/page/page_codec.hpp - sealing a page for the disk and verifying one that came from it.
//
// The checksum covers everything behind its own 8 bytes and is seeded with the database's nonce
// and the page's number: a page of a former life of the file, of another database or written to
// the wrong place does not verify. seal() also moves the flush counter, by which a later reader
// can tell the last write from the one before it, and leaves nothing of former rows in the room that
// is free: it costs a set next to nothing then. That is no erasure: dead cells between living ones
// stay until the page is compacted, ghosts until they are collected, and a page that was freed as it
// was last written.
// Threads  seal: one owner of the bytes (a copy, or the frame under a latch). verify: any.
#pragma once

#include <jetpp/checksum/concepts.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/error.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/page/page_check.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_memory.hpp>
#include <jetpp/page/page_view.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

template <std::size_t PageSize, checksum_algorithm Checksum>
struct page_codec {
    // Empties the free room, stamps the next flush counter and the checksum.
    static void seal(std::byte* page, std::uint64_t nonce) noexcept {
        auto const flags = page_memory::load<std::uint16_t>(page + page_offset::flags);
        auto const last = static_cast<unsigned>(flags & page_flag::flush_counter);
        auto const next = last == 3 ? 1u : last + 1;
        auto const others = static_cast<unsigned>(flags) & ~unsigned{page_flag::flush_counter};
        page_memory::store<std::uint16_t>(
            page + page_offset::flags, static_cast<std::uint16_t>(others | next)
        );
        stamp(page, nonce);
    }
    // The same for bytes whose flush counter must not move.
    static void stamp(std::byte* page, std::uint64_t nonce) noexcept {
        empty_free_room(page);
        auto const number = page_view<PageSize>{page}.number();
        page_memory::store<std::uint64_t>(
            page + page_offset::checksum, sum_of(page, nonce, number)
        );
    }

    // Is this the page that `number` asks for, as it was sealed?
    // Returns: none, checksum, number (a sound page of another number) or zero.
    [[nodiscard]] static damage verify_sum(
        std::byte const* page, std::uint64_t nonce, page_number number
    ) noexcept {
        auto const view = page_view<PageSize>{page};
        auto const stored = page_memory::load<std::uint64_t>(page + page_offset::checksum);
        auto const own = view.number();
        if (stored == sum_of(page, nonce, number) && own == number) return damage::none;
        if (all_zero(view.all())) return damage::zero;
        // A sound page in the wrong place was misdirected; anything else is rot.
        if (own != number && stored == sum_of(page, nonce, own)) return damage::number;
        return damage::checksum;
    }
    // And may a page_editor work on it? Returns also kind or layout.
    [[nodiscard]] static damage verify(
        std::byte const* page, std::uint64_t nonce, page_number number
    ) noexcept {
        auto const found = verify_sum(page, nonce, number);
        return found == damage::none ? check_layout(page_view<PageSize>{page}) : found;
    }

private:
    // A page whose numbers are impossible is left as it is: verify() shall say so.
    static void empty_free_room(std::byte* page) noexcept {
        auto const view = page_view<PageSize>{page};
        if (!view.is_leaf() && !view.is_inner()) return;
        // As they stand there: the view clamps them.
        auto const rows = page_memory::load<std::uint16_t>(page + page_offset::row_count);
        auto const heap = page_memory::load<std::uint32_t>(page + page_offset::heap_begin);
        auto const begin = page_header_bytes + std::uint32_t{rows} * slot_bytes;
        if (heap > PageSize || begin >= heap) return;
        page_memory::fill_zero(page + begin, heap - begin);
    }
    [[nodiscard]] static std::uint64_t sum_of(
        std::byte const* page, std::uint64_t nonce, page_number number
    ) noexcept {
        return Checksum::page_sum(
            const_bytes{page + page_offset::page_lsn, PageSize - page_offset::page_lsn},
            nonce,
            number
        );
    }
};

} // namespace jetpp::inline v1
