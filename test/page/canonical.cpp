#include <jetpp/page/canonical.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../catch.hpp"
#include "model.hpp"

namespace jetpp_test::canonical_cases {

using namespace jetpp;
using namespace page_test;

template <std::size_t PageSize>
std::string stream_of(page_view<PageSize> page) {
    auto made = std::string{};
    feed_canonical(page, [&](const_bytes raw) { made += as_text(raw); });
    return made;
}

TEST_CASE("equal history gives equal content, whoever compacted when", "[page]") {
    auto const seed = GENERATE(take(20, random(0u, ~0u)));
    CAPTURE(seed);
    auto source = key_source{seed, "", 100};
    auto other = std::mt19937_64{seed ^ 1u};
    page_memory_block<4096> pages[2];
    for (auto const& page : pages) REQUIRE(page.edit().format({.number = {40}, .tree = {16}}));
    for (auto i = std::uint32_t{0}; i < 500; ++i) {
        auto const key = source.key();
        auto const value = source.value(200);
        auto const what = source.below(4);
        bool taken[2];
        for (auto p = 0; p < 2; ++p) {
            auto const& page = pages[p];
            auto const at = page.view().search(as_bytes(key));
            if (!at.found)
                taken[p] = page.edit().insert(at.slot, as_bytes(key), as_bytes(value));
            else if (what == 0)
                taken[p] = page.edit().remove(at.slot);
            else if (what == 1)
                taken[p] = page.edit().set_ghost(at.slot, true);
            else
                taken[p] =
                    page.edit().replace_value(at.slot, as_bytes(value), row_flags::versioned);
            page.edit().set_page_lsn({i + 1}, other() % 2 == 0 ? 1 : 2);
            if (other() % 3 == 0) page.edit().compact();
            if (other() % 3 == 0) page.edit().clear_versioned_all();
            if (other() % 3 == 0) page.edit().rebuild_hints();
        }
        REQUIRE(taken[0] == taken[1]);
        REQUIRE(stream_of(pages[0].view()) == stream_of(pages[1].view()));
        REQUIRE(same_content(pages[0].view(), pages[1].view()));
    }
}

TEST_CASE("the canonical stream is these bytes", "[page]") {
    auto const page = page_memory_block<4096>{};
    REQUIRE(page.edit().format(
        {.number = {40}, .tree = {16}, .lower = as_bytes("ab"), .upper = as_bytes("ac")}
    ));
    REQUIRE(page.edit().insert(
        0, as_bytes("abc"), as_bytes("xyz"), row_flags::ghost | row_flags::versioned
    ));
    page.edit().set_page_lsn({0x0102}, 9);
    using namespace std::string_literals;
    CHECK(
        stream_of(page.view()) == "\x28\0\0\0\x01\0\0\0\x10\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0"s
                                  "\x02\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0"s
                                  "abac"s
                                  "\x01\0\x03\0\x03\0\0\0"s
                                  "abcxyz"s
    );
}

TEST_CASE("every part of the canonical content makes a difference", "[page]") {
    auto const make = [] {
        auto page = page_memory_block<4096>{};
        REQUIRE(page.edit().format({.number = {40}, .tree = {16}, .lower = as_bytes("a")}));
        REQUIRE(page.edit().insert(0, as_bytes("b"), as_bytes("v")));
        return page;
    };
    auto const a = make();
    auto const b = make();
    REQUIRE(same_content(a.view(), b.view()));
    auto differ = [&] {
        return !same_content(a.view(), b.view()) && stream_of(a.view()) != stream_of(b.view());
    };
    SECTION("page_lsn") {
        b.edit().set_page_lsn({8}, 0);
        CHECK(differ());
        CHECK(same_content(a.view(), b.view(), false));
    }
    SECTION("a flag") {
        CHECK(b.edit().set_ghost(0, true));
        CHECK(differ());
    }
    SECTION("a value") {
        CHECK(b.edit().replace_value(0, as_bytes("w"), row_flags::none));
        CHECK(differ());
    }
    SECTION("one more row") {
        CHECK(b.edit().insert(1, as_bytes("c"), {}));
        CHECK(differ());
    }
    SECTION("a fence") {
        CHECK(b.edit().cut_right(1, as_bytes("z")));
        CHECK(differ());
    }
    SECTION("the number") {
        b.data()[page_offset::number] = std::byte{41};
        CHECK(differ());
    }
}

} // namespace jetpp_test::canonical_cases
