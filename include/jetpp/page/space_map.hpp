// jetpp/page/space_map.hpp - which pages of a region are in use: one bit a page.
//
// Layout: page header (kind 3, tree 0; bytes 64..127 zero), then the bitmap from byte 128.
// Bit i of region r (byte 128 + i/8, bit i mod 8, least significant first) is page H + r x R + i;
// 1 = allocated. Bit 0, the map itself, is always 1. Bits at or beyond the end of the file are 0
// and never allocated: the caller passes that end, because the map does not know it.
// Invariants
//   * set() changes every bit it names, so that a page freed or allocated twice is noticed
// Threads   views: any number under a latch. Editor: one writer.
// Owns      nothing.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/page/page_editor.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_memory.hpp>
#include <jetpp/page/page_view.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace jetpp::inline v1 {

// Where the bit of a page lies. Requires of the pages: not in the header area.
template <std::size_t PageSize>
struct space_regions {
    using limits = page_limits<PageSize>;

    [[nodiscard]] static constexpr std::uint32_t region_of(page_number page) noexcept {
        return (page.value - limits::first_page.value) / limits::region_pages;
    }
    [[nodiscard]] static constexpr page_number map_of_region(std::uint32_t region) noexcept {
        return {limits::first_page.value + region * limits::region_pages};
    }
    [[nodiscard]] static constexpr page_number map_page_of(page_number page) noexcept {
        return map_of_region(region_of(page));
    }
    [[nodiscard]] static constexpr std::uint32_t bit_of(page_number page) noexcept {
        return (page.value - limits::first_page.value) % limits::region_pages;
    }
    [[nodiscard]] static constexpr page_number page_of(
        page_number map_page, std::uint32_t bit
    ) noexcept {
        return {map_page.value + bit};
    }
    [[nodiscard]] static constexpr bool is_map_page(page_number page) noexcept {
        return page >= limits::first_page && bit_of(page) == 0;
    }
    // Regions of a file with so many pages (header area included).
    [[nodiscard]] static constexpr std::uint32_t region_count(std::uint32_t pages) noexcept {
        return pages <= limits::first_page.value ? 0 : region_of({pages - 1}) + 1;
    }
    // Bits of this map that name pages inside a file of `pages` pages.
    [[nodiscard]] static constexpr std::uint32_t bits_in_file(
        page_number map_page, std::uint32_t pages
    ) noexcept {
        return pages <= map_page.value ? 0 : std::min(pages - map_page.value, limits::region_pages);
    }
};

template <std::size_t PageSize>
class space_map_view {
public:
    using limits = page_limits<PageSize>;
    static constexpr std::uint32_t bit_count = limits::region_pages;

    explicit space_map_view(std::byte const* page) noexcept : page_{page} {}

    // Beyond the map everything reads as allocated.
    [[nodiscard]] bool test(std::uint32_t bit) const noexcept {
        return bit >= bit_count || (word(bit / 64) >> (bit % 64) & 1) != 0;
    }
    // Are bits [first, first + count) all `value`?
    [[nodiscard]] bool all_are(std::uint32_t first, std::uint32_t count, bool value)
        const noexcept {
        if (first > bit_count || count > bit_count - first) return false;
        auto const wanted = value ? ~std::uint64_t{0} : 0;
        for (auto bit = first; bit < first + count;) {
            auto const n = std::min(first + count - bit, 64 - bit % 64);
            if (((word(bit / 64) ^ wanted) & mask(bit % 64, n)) != 0) return false;
            bit += n;
        }
        return true;
    }
    // The first run of `count` free bits in [from, end). Requires: count > 0.
    // Complexity: O(end - from) bits, 64 at a time over full and empty words.
    [[nodiscard]] std::optional<std::uint32_t> find_free(
        std::uint32_t from, std::uint32_t count, std::uint32_t end
    ) const noexcept {
        end = std::min(end, bit_count);
        auto run = std::uint32_t{0};
        for (auto bit = from; bit < end;) {
            auto const here = bit % 64;
            auto const rest = word(bit / 64) >> here;
            auto const in_word = std::min(64 - here, end - bit);
            if (run == 0) {
                // Skip the allocated bits.
                auto const taken =
                    std::min(static_cast<std::uint32_t>(std::countr_one(rest)), in_word);
                if (taken != 0) {
                    bit += taken;
                    continue;
                }
            }
            auto const free = std::min(static_cast<std::uint32_t>(std::countr_zero(rest)), in_word);
            if (free == 0) {
                run = 0;
                continue;
            }
            run += free;
            bit += free;
            if (run >= count) return bit - run;
            if (free != in_word) run = 0;
        }
        return std::nullopt;
    }
    [[nodiscard]] std::uint32_t count_free(std::uint32_t end) const noexcept {
        end = std::min(end, bit_count);
        auto taken = std::uint32_t{0};
        for (auto bit = std::uint32_t{0}; bit < end; bit += 64) {
            auto const n = std::min(end - bit, 64u);
            taken += static_cast<std::uint32_t>(std::popcount(word(bit / 64) & mask(0, n)));
        }
        return end - taken;
    }
    // Is every bit at or beyond `end` zero, as it must be?
    [[nodiscard]] bool clear_from(std::uint32_t end) const noexcept {
        return end >= bit_count || all_are(end, bit_count - end, false);
    }

private:
    [[nodiscard]] std::uint64_t word(std::uint32_t i) const noexcept {
        return page_memory::load<std::uint64_t>(page_ + page_offset::content + std::size_t{i} * 8);
    }
    [[nodiscard]] static constexpr std::uint64_t mask(
        std::uint32_t from, std::uint32_t n
    ) noexcept {
        return (n == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1) << from;
    }
    std::byte const* page_;
};

template <std::size_t PageSize>
class space_map_editor {
public:
    using limits = page_limits<PageSize>;

    explicit space_map_editor(std::byte* page) noexcept : page_{page} {}
    [[nodiscard]] space_map_view<PageSize> view() const noexcept {
        return space_map_view<PageSize>{page_};
    }

    // A fresh map: only its own bit is set. page_lsn is 0 then.
    void format(page_number number) noexcept {
        auto const formatted = page_editor<PageSize>{page_}.format(
            {.number = number, .tree = no_tree, .kind = page_kind::space_map}
        );
        ensure(formatted, "a space map has no fences");
        page_memory::store<std::uint64_t>(page_ + page_offset::content, 1);
    }
    // Returns: false iff a bit is outside the map or already is `value`, or bit 0 would be
    // cleared; nothing is changed then.
    [[nodiscard]] bool set(std::uint32_t first, std::uint32_t count, bool value) noexcept {
        if (count == 0 || !view().all_are(first, count, !value) || (first == 0 && !value))
            return false;
        for (auto bit = first; bit < first + count; ++bit) {
            auto* word = page_ + page_offset::content + std::size_t{bit / 64} * 8;
            auto const flipped =
                page_memory::load<std::uint64_t>(word) ^ (std::uint64_t{1} << (bit % 64));
            page_memory::store<std::uint64_t>(word, flipped);
        }
        return true;
    }

private:
    std::byte* page_;
};

} // namespace jetpp::inline v1
