#include <jetpp/core/bytes.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>

#include "../catch.hpp"

namespace jetpp_test::bytes_cases {

using namespace jetpp;

static_assert(swap_bytes(std::uint8_t{0x12}) == 0x12);
static_assert(swap_bytes(std::uint16_t{0x1234}) == 0x3412);
static_assert(swap_bytes(std::uint32_t{0x12345678}) == 0x78563412);
static_assert(swap_bytes(std::uint64_t{0x0102030405060708}) == 0x0807060504030201);
static_assert(round_up(std::uint32_t{0}, 8) == 0);
static_assert(round_up(std::uint32_t{1}, 8) == 8);
static_assert(round_up(std::uint32_t{8}, 8) == 8);
static_assert(round_down(std::uint64_t{4097}, 4096) == 4096);

TEST_CASE("numbers on disk are little endian", "[core]") {
    auto raw = std::array<std::byte, 9>{};
    store_le<std::uint32_t>(raw.data() + 1, 0x04030201);
    CHECK(raw[1] == std::byte{1});
    CHECK(raw[4] == std::byte{4});
    CHECK(load_le<std::uint32_t>(raw.data() + 1) == 0x04030201);
    store_le<std::uint64_t>(raw.data() + 1, 0x0807060504030201);
    CHECK(raw[1] == std::byte{1});
    CHECK(raw[8] == std::byte{8});
    CHECK(load_le<std::uint64_t>(raw.data() + 1) == 0x0807060504030201);
    CHECK(load_le<std::uint16_t>(raw.data() + 1) == 0x0201);
}

TEST_CASE("numbers in keys are big endian, so that byte order is number order", "[core]") {
    auto const seed = GENERATE(1u, 2u);
    CAPTURE(seed);
    auto random = std::mt19937{seed};
    for (int round = 0; round < 1000; ++round) {
        auto const a = static_cast<std::uint32_t>(random()) >> (random() % 32);
        auto const b = static_cast<std::uint32_t>(random()) >> (random() % 32);
        auto first = std::array<std::byte, 4>{};
        auto second = std::array<std::byte, 4>{};
        store_be<std::uint32_t>(first.data(), a);
        store_be<std::uint32_t>(second.data(), b);
        REQUIRE(load_be<std::uint32_t>(first.data()) == a);
        REQUIRE((compare_bytes(first, second) < 0) == (a < b));
    }
}

TEST_CASE("keys are ordered as unsigned bytes, a prefix before its extensions", "[core]") {
    auto const sign = [](int order) { return order < 0 ? -1 : order > 0 ? 1 : 0; };
    CHECK(sign(compare_bytes({}, {})) == 0);
    CHECK(sign(compare_bytes({}, as_bytes("a"))) == -1);
    CHECK(sign(compare_bytes(as_bytes("a"), as_bytes("aa"))) == -1);
    CHECK(sign(compare_bytes(as_bytes("ab"), as_bytes("aa"))) == 1);
    CHECK(sign(compare_bytes(as_bytes("\x7f"), as_bytes("\x80"))) == -1);
    CHECK(sign(compare_bytes(as_bytes("same"), as_bytes("same"))) == 0);
}

TEST_CASE("text and bytes are two views of the same memory", "[core]") {
    auto const text = std::string_view{"page"};
    CHECK(as_text(as_bytes(text)) == text);
    CHECK(as_text(as_bytes(text)).data() == text.data());
    CHECK(as_text({}).empty());
}

TEST_CASE("all_zero finds a single set bit", "[core]") {
    auto raw = std::array<std::byte, 100>{};
    CHECK(all_zero(raw));
    CHECK(all_zero({}));
    for (auto& b : raw) {
        b = std::byte{0x10};
        CHECK_FALSE(all_zero(raw));
        b = std::byte{0};
    }
}

} // namespace jetpp_test::bytes_cases
