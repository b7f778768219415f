#include <jetpp/page/canonical.hpp>
#include <jetpp/page/page_check.hpp>
#include <jetpp/page/page_editor.hpp>
#include <jetpp/page/page_rows.hpp>
#include <jetpp/page/page_view.hpp>
#include <jetpp/page/space_map.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>

#include "../budget.hpp"
#include "../catch.hpp"
#include "model.hpp"

namespace jetpp_test::page_view_cases {

using namespace jetpp;
using namespace page_test;

template <std::size_t N>
using size_of_page = std::integral_constant<std::size_t, N>;

// Looks at everything; the address sanitizer watches. The sum keeps the reads alive.
template <std::size_t PageSize>
std::uint64_t touch_all(page_view<PageSize> page, const_bytes key) {
    auto sum = std::uint64_t{0};
    auto const feed = [&](const_bytes raw) {
        if (raw.size() > PageSize) FAIL("longer than a page");
        if (raw.empty()) return;
        for (std::size_t i = 0; i < raw.size(); i += 61) sum += std::to_integer<unsigned>(raw[i]);
        sum += std::to_integer<unsigned>(raw.back());
    };
    auto const inside = [&](const_bytes raw) {
        REQUIRE(
            (raw.empty() ||
             (raw.data() >= page.data() && raw.data() + raw.size() <= page.data() + PageSize))
        );
        feed(raw);
    };
    sum += page.page_lsn().value + page.number().value + page.tree().value + page.level();
    sum += page.total_free() + page.contiguous_free() + page.bytes_used() + page.ghost_count();
    if (auto const f = page.lower_fence()) inside(*f);
    if (auto const f = page.upper_fence()) inside(*f);
    inside(page.prefix());
    auto const count = page.row_count();
    REQUIRE(count <= page_limits<PageSize>::rows_max);
    auto buffer = std::make_unique<key_buffer<PageSize>>();
    auto const step = count < 64 ? 1 : count / 64;
    for (auto i = std::uint32_t{0}; i < count; i += step) {
        inside(page.suffix(i));
        inside(page.value(i));
        feed(page.copy_key(i, buffer->all()));
        feed(page.copy_key(i, buffer->all().first(1)));
        sum += page.key_bytes(i) + page.child(i).value + (page.is_ghost(i) ? 1u : 0u);
        sum += page.compare_key(i, key) < 0 ? 1u : 0u;
        sum += page.fits_replace(i, key.size()) ? 1u : 0u;
    }
    sum += page.child(count).value + page.child(~std::uint32_t{0}).value;
    feed(page.suffix(~std::uint32_t{0}));
    auto const at = page.search(key);
    REQUIRE(at.slot <= count);
    REQUIRE(page.child_index(key) <= count);
    REQUIRE(page.child_index_before(key) <= count);
    sum += page.child_for(key).value + page.index_of_child({7}) + (page.covers(key) ? 1u : 0u);
    sum += page.fits(key.size(), 10) ? 1u : 0u;
    sum += page.fits_row(key, 10) ? 1u : 0u;
    sum += page.fits_cut(count / 2, key) ? 1u : 0u;
    sum += merged_bytes(page, page);
    auto rows = std::vector<std::byte>(encoded_rows_bytes(page, 0, count / 8, 3));
    REQUIRE(encode_rows(page, 0, count / 8, 3, rows) == rows.size());
    feed_canonical(page, feed);
    static_cast<void>(same_content(page, page));
    static_cast<void>(check_layout(page));
    static_cast<void>(check_page(page));
    auto const map = space_map_view<PageSize>{page.data()};
    sum += map.count_free(~std::uint32_t{0}) + map.find_free(0, 9, 5000).value_or(0);
    return sum;
}

TEMPLATE_TEST_CASE("a view of arbitrary bytes never leaves the page", "[page]", size_of_page<4096>, size_of_page<8192>, size_of_page<65536>) {
    constexpr auto page_size = std::size_t{TestType::value};
    auto const seed = GENERATE(take(1, random(0u, ~0u)));
    CAPTURE(seed);
    auto source = key_source{seed, "", 100};
    // Exactly one page, so that a byte too far is another object's.
    auto page = page_memory_block<page_size>{};
    auto sum = std::uint64_t{0};
    auto const rounds = jetpp_test::rounds(4'000'000 / page_size);
    for (auto round = std::uint64_t{0}; round < rounds; ++round) {
        auto const noise = source.bytes_of(page_size);
        std::memcpy(page.data(), noise.data(), page_size);
        // Mostly kinds that are looked into, and sometimes small counts.
        if (source.below(4) != 0)
            page.data()[page_offset::kind] = static_cast<std::byte>(1 + source.below(2));
        if (source.below(4) == 0)
            store_le<std::uint16_t>(
                page.data() + page_offset::row_count, static_cast<std::uint16_t>(source.below(40))
            );
        sum += touch_all(page.view(), as_bytes(source.key()));
    }
    CHECK(sum != 0);
}

TEST_CASE("a sound page with a few wrong bytes is still safe to look at", "[page]") {
    auto const seed = GENERATE(take(1, random(0u, ~0u)));
    CAPTURE(seed);
    auto source = key_source{seed, "", 100};
    auto sound = page_memory_block<4096>{};
    REQUIRE(sound.edit().format({.number = {40}, .tree = {16}}));
    for (auto i = 0; i < 200; ++i) {
        auto const key = source.key();
        auto const at = sound.view().search(as_bytes(key));
        if (!at.found)
            static_cast<void>(
                sound.edit().insert(at.slot, as_bytes(key), as_bytes(source.value(40)))
            );
    }
    auto page = page_memory_block<4096>{};
    auto refused = 0;
    for (auto round = std::uint64_t{0}; round < jetpp_test::rounds(2000); ++round) {
        std::memcpy(page.data(), sound.data(), 4096);
        for (auto n = source.below(4) + 1; n > 0; --n)
            page.data()[16 + source.below(240)] = static_cast<std::byte>(source.below(256));
        static_cast<void>(touch_all(page.view(), as_bytes(source.key())));
        if (check_layout(page.view()) != damage::none) {
            ++refused;
            continue;
        }
        // Whatever the layout check lets through, an editor survives.
        if (!page.view().is_leaf()) continue;
        for (auto i = 0; i < 20; ++i) {
            auto const key = source.key();
            auto const at = page.view().search(as_bytes(key));
            if (at.found)
                static_cast<void>(
                    page.edit().replace_value(at.slot, as_bytes(source.value(200)), source.flags())
                );
            else
                static_cast<void>(
                    page.edit().insert(at.slot, as_bytes(key), as_bytes(source.value(100)))
                );
        }
        page.edit().compact();
        static_cast<void>(page.edit().cut_right(page.view().row_count() / 2, as_bytes("number5")));
        CHECK(check_layout(page.view()) == damage::none);
    }
    CHECK(refused > 0);
}

TEST_CASE("stale, missing and lying hints change no answer", "[page]") {
    auto const seed = GENERATE(take(5, random(0u, ~0u)));
    CAPTURE(seed);
    auto source = key_source{seed, "", 40};
    auto page = page_memory_block<8192>{};
    REQUIRE(page.edit().format({.number = {40}, .tree = {16}}));
    auto keys = std::map<std::string, int>{};
    for (auto i = 0; i < 1000; ++i) {
        auto const key = source.key();
        auto const at = page.view().search(as_bytes(key));
        if (!at.found && page.edit().insert(at.slot, as_bytes(key), {})) keys[key] = i;
    }
    REQUIRE(page.view().row_count() >= hint_rows_min);
    for (auto round = 0; round < 50; ++round) {
        auto const noise = source.bytes_of(64);
        if (round == 1)
            std::memset(page.data() + page_offset::hints, 0, 64);
        else if (round == 2)
            std::memset(page.data() + page_offset::hints, 0xFF, 64);
        else if (round > 2)
            std::memcpy(page.data() + page_offset::hints, noise.data(), 64);
        if (round % 7 == 6) page.edit().rebuild_hints();
        for (auto i = 0; i < 200; ++i) {
            auto const key = source.key();
            auto const at = page.view().search(as_bytes(key));
            REQUIRE(at.found == keys.contains(key));
            REQUIRE(
                at.slot ==
                static_cast<std::uint32_t>(std::distance(keys.begin(), keys.lower_bound(key)))
            );
        }
    }
}

TEST_CASE("heads order as keys do", "[page]") {
    auto const head = [](std::string_view t) { return head_of(as_bytes(t)); };
    CHECK(head("") == 0);
    CHECK(head("a") == 0x61000000);
    CHECK(head("abcd") == 0x61626364);
    CHECK(head("abcdzzz") == 0x61626364);
    CHECK(head("\xFF") > head("a"));
}

TEST_CASE("a copied key is cut at the end of a short buffer", "[page]") {
    auto page = page_memory_block<4096>{};
    REQUIRE(page.edit().format(
        {.number = {40},
         .tree = {16},
         .lower = as_bytes(std::string_view{"prefix"}),
         .upper = as_bytes(std::string_view{"prefiy"})}
    ));
    REQUIRE(page.edit().insert(0, as_bytes("prefix-key"), as_bytes("v")));
    std::byte out[16];
    CHECK(as_text(page.view().prefix()) == "prefi");
    CHECK(as_text(page.view().suffix(0)) == "x-key");
    CHECK(as_text(page.view().copy_key(0, out)) == "prefix-key");
    CHECK(as_text(page.view().copy_key(0, bytes{out}.first(7))) == "prefix-");
    CHECK(as_text(page.view().copy_key(0, bytes{out}.first(3))) == "pre");
}

} // namespace jetpp_test::page_view_cases
