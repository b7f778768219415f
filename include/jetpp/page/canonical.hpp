// jetpp/page/canonical.hpp - what a page says, without how it happens to say it.
//
// Two copies of a database that applied the same records have pages of equal canonical content,
// although one compacted and the other did not. Digests, drills and replica checks hash only this.
// Layout of the stream (little-endian), leaf and inner:
//     {number u32, kind u8, level u8, zero u16, tree u32, upper child u32, page_lsn u64,
//      lower length u32, upper length u32 (0xFFFFFFFF = infinite), rows u32, zero u32} = 40 bytes,
//     lower fence, upper fence, then per row
//     {flags u16 (ghost, indirect), key length u16, value length u16, zero u16}, key, value.
// Other kinds: the same 40 bytes with both lengths and rows zero, then bytes 64.. of the page.
// A freed page has no content.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_view.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

// Calls sink(const_bytes) with one piece after the other. Safe on arbitrary bytes.
template <std::size_t PageSize, class Sink>
void feed_canonical(page_view<PageSize> page, Sink&& sink) {
    constexpr auto infinite = ~std::uint32_t{0};
    auto const rows = page.is_leaf() || page.is_inner();
    auto const lower = rows ? page.lower_fence() : fence{const_bytes{}};
    auto const upper = rows ? page.upper_fence() : fence{const_bytes{}};
    auto const length = [](fence const& f) {
        return f ? static_cast<std::uint32_t>(f->size()) : infinite;
    };
    auto const count = rows ? page.row_count() : 0;

    std::byte head[40];
    store_le<std::uint32_t>(head, page.number().value);
    store_le<std::uint8_t>(head + 4, static_cast<std::uint8_t>(page.kind()));
    store_le<std::uint8_t>(head + 5, static_cast<std::uint8_t>(page.level()));
    store_le<std::uint16_t>(head + 6, 0);
    store_le<std::uint32_t>(head + 8, page.tree().value);
    store_le<std::uint32_t>(head + 12, rows ? page.upper_child().value : 0);
    store_le<std::uint64_t>(head + 16, page.page_lsn().value);
    store_le<std::uint32_t>(head + 24, length(lower));
    store_le<std::uint32_t>(head + 28, length(upper));
    store_le<std::uint32_t>(head + 32, count);
    store_le<std::uint32_t>(head + 36, 0);
    sink(const_bytes{head});

    if (!rows) {
        if (page.kind() != page_kind::freed) sink(page.all().subspan(page_offset::hints));
        return;
    }
    if (lower) sink(*lower);
    if (upper) sink(*upper);
    auto const prefix = page.prefix();
    for (auto i = std::uint32_t{0}; i < count; ++i) {
        auto const suffix = page.suffix(i);
        auto const value = page.value(i);
        auto const flags = without(page.row_flags_of(i), row_flags::versioned);
        std::byte row[8];
        store_le<std::uint16_t>(row, static_cast<std::uint16_t>(flags));
        store_le<std::uint16_t>(row + 2, static_cast<std::uint16_t>(prefix.size() + suffix.size()));
        store_le<std::uint16_t>(row + 4, static_cast<std::uint16_t>(value.size()));
        store_le<std::uint16_t>(row + 6, 0);
        sink(const_bytes{row});
        sink(prefix);
        sink(suffix);
        sink(value);
    }
}

// Do both pages say the same? `with_page_lsn` false compares what a rebuilt page must say.
template <std::size_t PageSize>
[[nodiscard]] bool same_content(
    page_view<PageSize> a, page_view<PageSize> b, bool with_page_lsn = true
) noexcept {
    if (a.number() != b.number() || a.kind() != b.kind() || a.level() != b.level() ||
        a.tree() != b.tree() || (with_page_lsn && a.page_lsn() != b.page_lsn()))
        return false;
    auto const equal = [](const_bytes x, const_bytes y) { return compare_bytes(x, y) == 0; };
    if (!a.is_leaf() && !a.is_inner()) {
        return a.kind() == page_kind::freed ||
               equal(a.all().subspan(page_offset::hints), b.all().subspan(page_offset::hints));
    }
    auto const same_fence = [&](fence const& x, fence const& y) {
        return x.has_value() == y.has_value() && (!x || equal(*x, *y));
    };
    if (a.upper_child() != b.upper_child() || a.row_count() != b.row_count() ||
        !same_fence(a.lower_fence(), b.lower_fence()) ||
        !same_fence(a.upper_fence(), b.upper_fence()))
        return false;
    // Equal fences make equal prefixes, so suffixes compare for keys.
    for (auto i = std::uint32_t{0}; i < a.row_count(); ++i) {
        if (without(a.row_flags_of(i), row_flags::versioned) !=
                without(b.row_flags_of(i), row_flags::versioned) ||
            !equal(a.suffix(i), b.suffix(i)) || !equal(a.value(i), b.value(i)))
            return false;
    }
    return true;
}

} // namespace jetpp::inline v1
