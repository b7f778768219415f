// jetpp/page/page_layout.hpp - where everything lies in a page.
//
// Layout (little-endian):
//     0         64       128                                                   page_size
//     +---------+--------+-------+-----  -----+--------------------------------+
//     | header  | hints  | slots ->           <- cells and fences (the heap)    |
//     +---------+--------+-------+-----  -----+--------------------------------+
// Slots grow up, 8 bytes each, in key order; cells grow down, in any order. A slot is read by one
// atomic load: {cell offset 16, key suffix length 13, flags 3, head 32}.
// Invariants
//   * leaf cell {value length u16, suffix, value}, 2-aligned; inner cell {child u32, suffix},
//     4-aligned; a fence is a bare run of heap bytes in the alignment of its page's cells
//   * offset sums are u32: offset + length and a heap beginning at 65536 overflow u16 at 64K
//   * prefix length = common prefix of the two fences, 0 if one is infinite
// Source  prefix truncation and heads: Bayer & Unterauer, "Prefix B-trees", TODS 1977;
//         Graefe, "Modern B-tree techniques", 2011; hints: Leis et al., LeanStore.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace jetpp::inline v1 {

enum class page_kind : std::uint8_t {
    none = 0,
    leaf = 1,
    inner = 2,
    space_map = 3,
    blob_data = 4,
    blob_list = 5,
    freed = 6,
    dense_leaf = 7, // reserved
    compressed = 8, // reserved
    copy_trailer = 9,
};

// Flags of one row. `versioned` is not part of the canonical content: it only says that the
// version store may know older versions.
enum class row_flags : std::uint8_t { none = 0, ghost = 1, versioned = 2, indirect = 4 };

[[nodiscard]] constexpr row_flags operator|(row_flags a, row_flags b) noexcept {
    return static_cast<row_flags>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
[[nodiscard]] constexpr row_flags operator&(row_flags a, row_flags b) noexcept {
    return static_cast<row_flags>(static_cast<unsigned>(a) & static_cast<unsigned>(b));
}
[[nodiscard]] constexpr row_flags without(row_flags flags, row_flags removed) noexcept {
    return static_cast<row_flags>(static_cast<unsigned>(flags) & ~static_cast<unsigned>(removed));
}
[[nodiscard]] constexpr bool has(row_flags flags, row_flags wanted) noexcept {
    return (flags & wanted) != row_flags::none;
}
inline constexpr unsigned row_flags_mask = 7;

namespace page_offset {

inline constexpr std::size_t checksum = 0;
inline constexpr std::size_t page_lsn = 8;
inline constexpr std::size_t number = 16;
inline constexpr std::size_t tree = 20;
inline constexpr std::size_t kind = 24;
inline constexpr std::size_t level = 25;
inline constexpr std::size_t flags = 26;
inline constexpr std::size_t row_count = 28;
inline constexpr std::size_t prefix_bytes = 30;
inline constexpr std::size_t heap_begin = 32;
inline constexpr std::size_t dead_bytes = 36;
inline constexpr std::size_t ghost_count = 38;
inline constexpr std::size_t lower_offset = 40;
inline constexpr std::size_t lower_bytes = 42;
inline constexpr std::size_t upper_offset = 44;
inline constexpr std::size_t upper_bytes = 46;
inline constexpr std::size_t upper_child = 48;
inline constexpr std::size_t key_epoch = 52;
inline constexpr std::size_t row_format = 54;
inline constexpr std::size_t timeline_low = 56;
inline constexpr std::size_t reserved = 60;
inline constexpr std::size_t hints = 64;
inline constexpr std::size_t content = 128; // slots, bitmap, payload
static_assert(hints == reserved + 4 && content == hints + 16 * 4);

} // namespace page_offset

namespace page_flag {

inline constexpr std::uint16_t flush_counter = 3; // two bits: 0 never written, then 1, 2, 3, 1, ..
inline constexpr std::uint16_t has_ghosts = 4;
inline constexpr std::uint16_t root = 8;

} // namespace page_flag

inline constexpr std::uint32_t page_header_bytes = 128;
inline constexpr std::uint32_t slot_bytes = 8;
inline constexpr std::uint32_t hint_count = 16;
inline constexpr std::uint32_t hint_rows_min = 32; // below, a search does not look at hints
inline constexpr std::uint32_t inner_header_bytes = 4;
inline constexpr std::uint32_t leaf_header_bytes = 2;
inline constexpr std::uint32_t upper_child_slot = 0xFFFF; // "the upper child" in records
inline constexpr std::uint32_t database_header_area_bytes = 131072;

[[nodiscard]] constexpr bool is_page_size(std::uint64_t size) noexcept {
    return size >= 4096 && size <= 65536 && (size & (size - 1)) == 0;
}

template <std::size_t PageSize>
struct page_limits {
    static_assert(
        is_page_size(PageSize),
        "jetpp: page_size of the policies must be a power of two from 4 KiB "
        "to 64 KiB"
    );
    static constexpr std::uint32_t page_bytes = PageSize;
    static constexpr std::uint32_t key_bytes_max = page_bytes / 8 - 64;
    static constexpr std::uint32_t inline_value_bytes_max = (page_bytes - page_header_bytes) / 4;
    static constexpr std::uint32_t rows_max = (page_bytes - page_header_bytes) / 10;
    static constexpr std::uint32_t content_bytes = page_bytes - page_header_bytes;
    // The first page of a file that exists: its first space map. Pages below are the header area.
    static constexpr page_number first_page{database_header_area_bytes / page_bytes};
    static constexpr page_number catalogue_root{first_page.value + 1};
    static constexpr page_number pending_root{first_page.value + 2};
    static constexpr std::uint32_t new_database_pages = first_page.value + 3;
    static constexpr std::uint32_t region_pages = 8 * content_bytes;

    static_assert(key_bytes_max < 1u << 13, "a suffix length has 13 bits in a slot");
    static_assert(inline_value_bytes_max <= 0xFFFF && rows_max < 0xFFFE);
    static_assert(
        2 * (slot_bytes + round_up(leaf_header_bytes + key_bytes_max + inline_value_bytes_max, 4)) +
                2 * round_up(key_bytes_max, 4) <=
            content_bytes,
        "a page always holds two rows of the largest size beside two fences of the largest size"
    );
};

// One slot as it lies in the page.
struct page_slot {
    std::uint64_t word{};

    [[nodiscard]] constexpr std::uint32_t offset() const noexcept {
        return static_cast<std::uint32_t>(word & 0xFFFF);
    }
    [[nodiscard]] constexpr std::uint32_t suffix_bytes() const noexcept {
        return static_cast<std::uint32_t>(word >> 16) & 0x1FFF;
    }
    [[nodiscard]] constexpr row_flags flags() const noexcept {
        return static_cast<row_flags>((word >> 29) & row_flags_mask);
    }
    [[nodiscard]] constexpr std::uint32_t head() const noexcept {
        return static_cast<std::uint32_t>(word >> 32);
    }
    [[nodiscard]] static constexpr page_slot of(
        std::uint32_t offset, std::uint32_t suffix_bytes, row_flags flags, std::uint32_t head
    ) noexcept {
        return {
            std::uint64_t{offset & 0xFFFF} | std::uint64_t{suffix_bytes & 0x1FFF} << 16 |
            std::uint64_t{static_cast<unsigned>(flags) & row_flags_mask} << 29 |
            std::uint64_t{head} << 32
        };
    }
    [[nodiscard]] constexpr page_slot with_offset(std::uint32_t offset) const noexcept {
        return {(word & ~std::uint64_t{0xFFFF}) | std::uint64_t{offset & 0xFFFF}};
    }
    [[nodiscard]] constexpr page_slot with_flags(row_flags flags) const noexcept {
        return {
            (word & ~(std::uint64_t{row_flags_mask} << 29)) |
            std::uint64_t{static_cast<unsigned>(flags) & row_flags_mask} << 29
        };
    }
};
static_assert(sizeof(page_slot) == slot_bytes);

// The head of a key suffix: its first four bytes as a big-endian number, missing bytes zero.
// Heads order as suffixes do, except that equal heads decide nothing.
[[nodiscard]] inline std::uint32_t head_of(const_bytes suffix) noexcept {
    if (suffix.size() >= 4) return load_be<std::uint32_t>(suffix.data());
    auto head = std::uint32_t{0};
    for (std::size_t i = 0; i < suffix.size(); ++i)
        head |= std::to_integer<std::uint32_t>(suffix[i]) << (24 - 8 * i);
    return head;
}

[[nodiscard]] constexpr std::uint32_t cell_alignment(page_kind kind) noexcept {
    return kind == page_kind::inner ? 4 : 2;
}
[[nodiscard]] constexpr std::uint32_t cell_header_bytes(page_kind kind) noexcept {
    return kind == page_kind::inner ? inner_header_bytes : leaf_header_bytes;
}
// Heap bytes of a row. For an inner page the child is the header: value_bytes does not count.
[[nodiscard]] constexpr std::uint32_t cell_bytes(
    page_kind kind, std::uint32_t suffix_bytes, std::uint32_t value_bytes
) noexcept {
    return kind == page_kind::inner ? round_up(inner_header_bytes + suffix_bytes, 4)
                                    : round_up(leaf_header_bytes + suffix_bytes + value_bytes, 2);
}
// Heap bytes of a finite fence; an empty one still takes a place, because offset 0 is infinity.
[[nodiscard]] constexpr std::uint32_t fence_bytes(page_kind kind, std::uint32_t length) noexcept {
    return round_up(length == 0 ? 1u : length, cell_alignment(kind));
}

[[nodiscard]] inline std::uint32_t common_prefix(const_bytes a, const_bytes b) noexcept {
    auto const shared = a.size() < b.size() ? a.size() : b.size();
    auto n = std::size_t{0};
    while (n < shared && a[n] == b[n]) ++n;
    return static_cast<std::uint32_t>(n);
}

using fence = std::optional<const_bytes>; // empty = infinite

[[nodiscard]] inline std::uint32_t prefix_of(fence const& lower, fence const& upper) noexcept {
    return lower && upper ? common_prefix(*lower, *upper) : 0;
}

// What a fresh page is told about itself.
struct page_format {
    page_number number{};
    tree_id tree{};
    page_kind kind{page_kind::leaf};
    std::uint8_t level{};
    std::uint16_t flags{}; // of page_flag only `root` is taken
    page_number upper_child{0};
    fence lower{};
    fence upper{};
};

} // namespace jetpp::inline v1
