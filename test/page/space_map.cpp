#include <jetpp/page/page_check.hpp>
#include <jetpp/page/space_map.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "../catch.hpp"
#include "model.hpp"

namespace jetpp_test::space_map_cases {

using namespace jetpp;
using namespace page_test;

static_assert(page_limits<4096>::first_page.value == 32);
static_assert(page_limits<8192>::first_page.value == 16);
static_assert(page_limits<65536>::first_page.value == 2);
static_assert(page_limits<4096>::region_pages == 31744);
static_assert(page_limits<8192>::region_pages == 64512);
static_assert(page_limits<65536>::region_pages == 523264);

using regions = space_regions<4096>;
static_assert(regions::map_page_of({32}).value == 32 && regions::bit_of({32}) == 0);
static_assert(regions::map_page_of({32 + 31743}).value == 32);
static_assert(regions::map_page_of({32 + 31744}).value == 32 + 31744);
static_assert(regions::bit_of({32 + 31745}) == 1);
static_assert(regions::page_of({32 + 31744}, 5).value == 32 + 31749);
static_assert(regions::is_map_page({32}) && !regions::is_map_page({33}));
static_assert(!regions::is_map_page({0}));
static_assert(regions::region_count(32) == 0 && regions::region_count(33) == 1);
static_assert(regions::region_count(32 + 31744) == 1 && regions::region_count(33 + 31744) == 2);
static_assert(regions::bits_in_file({32}, 35) == 3);
static_assert(regions::bits_in_file({32}, 100'000) == 31744);

TEST_CASE("a fresh space map owns itself only", "[page]") {
    auto const page = page_memory_block<4096>{};
    auto map = space_map_editor<4096>{page.data()};
    map.format({32});
    CHECK(check_page(page.view()) == damage::none);
    CHECK(map.view().test(0));
    CHECK_FALSE(map.view().test(1));
    CHECK(map.view().test(31744)); // beyond the map nothing is free
    CHECK(map.view().count_free(31744) == 31743);
    CHECK(map.view().find_free(0, 1, 3) == 1u);
    CHECK(map.view().find_free(0, 2, 3) == 1u);
    CHECK_FALSE(map.view().find_free(0, 3, 3));
    CHECK(map.view().clear_from(1));
    CHECK_FALSE(map.view().clear_from(0));
}

TEST_CASE("a bit never changes to what it is", "[page]") {
    auto const page = page_memory_block<4096>{};
    auto map = space_map_editor<4096>{page.data()};
    map.format({32});
    CHECK(map.set(1, 100, true));
    CHECK_FALSE(map.set(100, 2, true));
    CHECK_FALSE(map.view().test(101));
    CHECK_FALSE(map.set(100, 2, false));
    CHECK(map.view().test(100));
    CHECK_FALSE(map.set(0, 1, false));
    CHECK_FALSE(map.set(5, 0, true));
    CHECK_FALSE(map.set(31743, 2, true));
    CHECK_FALSE(map.set(~std::uint32_t{0}, 2, true));
    CHECK(map.set(31743, 1, true));
    CHECK(map.set(1, 100, false));
    CHECK(map.view().count_free(31744) == 31742);
    CHECK(map.view().find_free(31000, 800, 31744) == std::nullopt);
    CHECK(page.data()[page_offset::content] == std::byte{1});
    CHECK(page.data()[4095] == std::byte{0x80});
}

TEST_CASE("a space map and a vector of bits agree", "[page]") {
    auto const seed = GENERATE(take(3, random(0u, ~0u)));
    CAPTURE(seed);
    auto random = std::mt19937_64{seed};
    auto const below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
    auto const page = page_memory_block<4096>{};
    auto map = space_map_editor<4096>{page.data()};
    map.format({32});
    constexpr auto bits = std::uint32_t{31744};
    auto model = std::vector<bool>(bits, false);
    model[0] = true;
    auto const window = 50 + below(2000);
    for (auto i = 0; i < 3000; ++i) {
        auto const first = below(window);
        auto const count = 1 + below(below(8) == 0 ? 200 : 4);
        auto const value = below(2) == 0;
        auto room = first + count <= bits && !(first == 0 && !value);
        for (auto b = first; room && b < first + count; ++b) room = model[b] != value;
        REQUIRE(map.set(first, count, value) == room);
        for (auto b = first; room && b < first + count; ++b) model[b] = value;
        auto const from = below(window);
        auto const wanted = 1 + below(below(4) == 0 ? 130 : 3);
        auto const end = below(window + 100);
        auto expected = std::optional<std::uint32_t>{};
        auto run = std::uint32_t{0};
        auto free = std::uint32_t{0};
        for (auto b = std::uint32_t{0}; b < end; ++b) free += model[b] ? 0u : 1u;
        for (auto b = from; b < end && !expected; ++b) {
            run = model[b] ? 0 : run + 1;
            if (run == wanted) expected = b + 1 - wanted;
        }
        REQUIRE(map.view().find_free(from, wanted, end) == expected);
        REQUIRE(map.view().count_free(end) == free);
    }
}

} // namespace jetpp_test::space_map_cases
