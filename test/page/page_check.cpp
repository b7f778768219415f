#include <jetpp/page/page_check.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../catch.hpp"
#include "model.hpp"

namespace jetpp_test::page_check_cases {

using namespace jetpp;
using namespace page_test;

// Three rows, one of them a ghost, between two fences.
page_memory_block<4096> sound_leaf() {
    auto page = page_memory_block<4096>{};
    REQUIRE(page.edit().format(
        {.number = {40},
         .tree = {16},
         .lower = as_bytes(std::string_view{"row/b"}),
         .upper = as_bytes(std::string_view{"row/x"})}
    ));
    REQUIRE(page.edit().insert(0, as_bytes("row/c"), as_bytes("one")));
    REQUIRE(page.edit().insert(1, as_bytes("row/m"), as_bytes("two"), row_flags::ghost));
    REQUIRE(page.edit().insert(2, as_bytes("row/t"), as_bytes("three")));
    REQUIRE(check_page(page.view()) == damage::none);
    return page;
}

page_memory_block<4096> sound_inner() {
    auto page = page_memory_block<4096>{};
    REQUIRE(page.edit().format(
        {.number = {40}, .tree = {16}, .kind = page_kind::inner, .level = 1, .upper_child = {90}}
    ));
    REQUIRE(page.edit().add_child(0, {91}, as_bytes("m")));
    REQUIRE(check_page(page.view()) == damage::none);
    return page;
}

void put16(std::byte* page, std::size_t at, unsigned value) {
    store_le<std::uint16_t>(page + at, static_cast<std::uint16_t>(value));
}

TEST_CASE("the layout check finds what would lead an editor astray", "[page]") {
    auto const page = sound_leaf();
    auto* raw = page.data();
    auto const slot = [&](std::uint32_t i) { return raw + page_offset::content + i * slot_bytes; };
    auto const first = page.view().slot(0);
    auto const second = page.view().slot(1);

    SECTION("a kind that does not exist") {
        raw[page_offset::kind] = std::byte{0};
        CHECK(check_layout(page.view()) == damage::kind);
    }
    SECTION("a reserved kind") {
        raw[page_offset::kind] = std::byte{7};
        CHECK(check_layout(page.view()) == damage::kind);
    }
    SECTION("a leaf above the leaves") {
        raw[page_offset::level] = std::byte{1};
        CHECK(check_layout(page.view()) == damage::kind);
    }
    SECTION("more rows than fit") {
        put16(raw, page_offset::row_count, 500);
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("slots that run into the heap") {
        put16(raw, page_offset::row_count, 390);
        store_le<std::uint32_t>(raw + page_offset::heap_begin, 200);
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("a heap that begins behind the page") {
        store_le<std::uint32_t>(raw + page_offset::heap_begin, 4098);
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("a cell in the gap") {
        store_le<std::uint64_t>(slot(0), first.with_offset(2000).word);
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("a cell at an odd place") {
        store_le<std::uint64_t>(slot(0), first.with_offset(first.offset() + 1).word);
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("two rows in one cell") {
        store_le<std::uint64_t>(slot(0), first.with_offset(second.offset()).word);
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("a value that runs over its neighbour") {
        put16(raw, first.offset(), 9);
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("a value longer than any") {
        put16(raw, first.offset(), 4000);
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("a suffix longer than any key") {
        store_le<std::uint64_t>(
            slot(0), page_slot::of(first.offset(), 8000, first.flags(), first.head()).word
        );
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("dead bytes that are not there") {
        put16(raw, page_offset::dead_bytes, 2);
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("a fence outside the heap") {
        put16(raw, page_offset::lower_offset, 130);
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("a fence in a row's cell") {
        put16(raw, page_offset::lower_offset, first.offset());
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("an infinite fence with a length") {
        put16(raw, page_offset::lower_offset, 0);
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("a prefix longer than a fence") {
        put16(raw, page_offset::prefix_bytes, 6);
        CHECK(check_layout(page.view()) == damage::layout);
    }
    SECTION("more ghosts than rows") {
        put16(raw, page_offset::ghost_count, 4);
        CHECK(check_layout(page.view()) == damage::layout);
    }
}

TEST_CASE("the page check finds what would mislead a search", "[page]") {
    auto const page = sound_leaf();
    auto* raw = page.data();
    auto const slot = [&](std::uint32_t i) { return raw + page_offset::content + i * slot_bytes; };
    auto const word = [&](std::uint32_t i) { return load_le<std::uint64_t>(slot(i)); };

    SECTION("rows out of order") {
        auto const swapped = word(0);
        store_le<std::uint64_t>(slot(0), word(1));
        store_le<std::uint64_t>(slot(1), swapped);
        CHECK(check_page(page.view()) == damage::order);
    }
    SECTION("a head of another key") {
        store_le<std::uint64_t>(slot(1), word(1) + (std::uint64_t{1} << 32));
        CHECK(check_page(page.view()) == damage::order);
    }
    SECTION("a row below the lower fence") {
        raw[page.view().slot(0).offset() + 2] = std::byte{'a'};
        store_le<std::uint64_t>(slot(0), (word(0) & 0xFFFFFFFF) | std::uint64_t{0x61000000} << 32);
        CHECK(check_page(page.view()) == damage::fences);
    }
    SECTION("a row at the upper fence") {
        raw[page.view().slot(2).offset() + 2] = std::byte{'x'};
        store_le<std::uint64_t>(slot(2), (word(2) & 0xFFFFFFFF) | std::uint64_t{0x78000000} << 32);
        CHECK(check_page(page.view()) == damage::fences);
    }
    SECTION("fences that descend") {
        raw[page.view().upper_fence()->data() - raw] = std::byte{'a'};
        CHECK(check_page(page.view()) == damage::fences);
    }
    SECTION("a prefix that is not the common one") {
        put16(raw, page_offset::prefix_bytes, 3);
        CHECK(check_page(page.view()) == damage::fences);
    }
    SECTION("a ghost nobody counted") {
        put16(raw, page_offset::ghost_count, 0);
        CHECK(check_page(page.view()) == damage::layout);
    }
    SECTION("a flag that denies the ghosts") {
        put16(raw, page_offset::flags, 0);
        CHECK(check_page(page.view()) == damage::layout);
    }
    SECTION("a leaf with a child") {
        raw[page_offset::upper_child] = std::byte{1};
        CHECK(check_page(page.view()) == damage::layout);
    }
    SECTION("a reserved byte in use") {
        raw[page_offset::reserved] = std::byte{1};
        CHECK(check_page(page.view()) == damage::layout);
    }
}

TEST_CASE("the page check finds children that cannot be", "[page]") {
    auto const page = sound_inner();
    SECTION("in the header area") {
        CHECK(page.edit().set_child(0, {31}));
        CHECK(check_page(page.view()) == damage::layout);
    }
    SECTION("the page itself") {
        CHECK(page.edit().set_child(1, {40}));
        CHECK(check_page(page.view()) == damage::layout);
    }
    SECTION("none, beside a separator") {
        CHECK(page.edit().set_child(1, {0}));
        CHECK(check_page(page.view()) == damage::layout);
    }
    SECTION("a ghost") {
        CHECK(page.edit().set_ghost(0, true));
        CHECK(check_page(page.view()) == damage::layout);
    }
    SECTION("an inner page on the level of leaves") {
        page.data()[page_offset::level] = std::byte{0};
        CHECK(check_page(page.view()) == damage::kind);
    }
}

} // namespace jetpp_test::page_check_cases
