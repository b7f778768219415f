#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/checksum/xxh3.hpp>
#include <jetpp/page/page_codec.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "../catch.hpp"
#include "model.hpp"

namespace jetpp_test::page_codec_cases {

using namespace jetpp;
using namespace page_test;

constexpr auto nonce = std::uint64_t{0x1122334455667788};
constexpr auto number = page_number{40};

page_memory_block<4096> leaf() {
    auto page = page_memory_block<4096>{};
    REQUIRE(page.edit().format({.number = number, .tree = {16}}));
    REQUIRE(page.edit().insert(0, as_bytes("key"), as_bytes("value")));
    return page;
}

TEMPLATE_TEST_CASE("a sealed page verifies as itself only", "[page]", crc32c, xxh3_64) {
    using codec = page_codec<4096, TestType>;
    auto const page = leaf();
    codec::seal(page.data(), nonce);
    CHECK(codec::verify(page.data(), nonce, number) == damage::none);
    CHECK(codec::verify(page.data(), nonce + 1, number) == damage::checksum);
    CHECK(codec::verify(page.data(), nonce, {41}) == damage::number);
    auto zero = page_memory_block<4096>{};
    CHECK(codec::verify(zero.data(), nonce, number) == damage::zero);
}

TEMPLATE_TEST_CASE("no bit of a sealed page may change", "[page]", crc32c, xxh3_64) {
    using codec = page_codec<4096, TestType>;
    auto const page = leaf();
    codec::seal(page.data(), nonce);
    auto missed = 0;
    for (std::size_t bit = 0; bit < 4096 * 8; bit += bit < 1024 ? 1 : 7) {
        auto const flip = static_cast<std::byte>(1u << (bit % 8));
        page.data()[bit / 8] ^= flip;
        if (codec::verify(page.data(), nonce, number) == damage::none) ++missed;
        page.data()[bit / 8] ^= flip;
    }
    CHECK(missed == 0);
}

TEST_CASE("the flush counter tells a page's last write from the one before", "[page]") {
    using codec = page_codec<4096, crc32c>;
    auto const page = leaf();
    auto const counter = [&] { return page.view().flags() & page_flag::flush_counter; };
    CHECK(counter() == 0);
    for (auto const wanted : {1, 2, 3, 1, 2}) {
        codec::seal(page.data(), nonce);
        CHECK(counter() == wanted);
        CHECK(codec::verify(page.data(), nonce, number) == damage::none);
    }
    codec::stamp(page.data(), nonce);
    CHECK(counter() == 2);
}

TEST_CASE("nothing of a deleted row is left in the room it gave back", "[page]") {
    using codec = page_codec<4096, crc32c>;
    for (auto const sealed : {true, false}) {
        auto const page = leaf();
        auto const secret = std::string(200, 's');
        REQUIRE(page.edit().insert(1, as_bytes("later"), as_bytes(secret)));
        REQUIRE(page.edit().remove(1));
        auto const text = [&] { return as_text({page.data(), 4096}); };
        REQUIRE(text().find("ssss") != std::string_view::npos);
        sealed ? codec::seal(page.data(), nonce) : codec::stamp(page.data(), nonce);
        CHECK(text().find("ssss") == std::string_view::npos);
        CHECK(text().find("value") != std::string_view::npos);
        CHECK(codec::verify(page.data(), nonce, number) == damage::none);
    }
}

TEST_CASE("what cannot be a page's free room is left as it is", "[page]") {
    using codec = page_codec<4096, crc32c>;
    for (auto const heap : {std::uint32_t{0xFFFFFFFF}, std::uint32_t{4097}, std::uint32_t{67336}}) {
        auto const page = leaf();
        store_le<std::uint32_t>(page.data() + page_offset::heap_begin, heap);
        codec::seal(page.data(), nonce);
        CHECK(as_text({page.data(), 4096}).find("value") != std::string_view::npos);
        CHECK(codec::verify(page.data(), nonce, number) == damage::layout);
    }
}

TEST_CASE("a page with a right sum and an impossible layout does not verify", "[page]") {
    using codec = page_codec<4096, crc32c>;
    auto const page = leaf();
    store_le<std::uint16_t>(page.data() + page_offset::dead_bytes, 2);
    codec::stamp(page.data(), nonce);
    CHECK(codec::verify_sum(page.data(), nonce, number) == damage::none);
    CHECK(codec::verify(page.data(), nonce, number) == damage::layout);
}

TEST_CASE("without a checksum the page number still must fit", "[page]") {
    using codec = page_codec<4096, no_checksum>;
    auto const page = leaf();
    codec::seal(page.data(), nonce);
    CHECK(codec::verify(page.data(), nonce, number) == damage::none);
    CHECK(codec::verify(page.data(), nonce, {41}) == damage::number);
    auto zero = page_memory_block<4096>{};
    CHECK(codec::verify(zero.data(), nonce, number) == damage::zero);
}

} // namespace jetpp_test::page_codec_cases
