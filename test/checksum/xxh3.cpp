#include <jetpp/checksum/xxh3.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::xxh3_cases {

using namespace jetpp;

TEST_CASE("XXH3-64 without seed is the published function", "[checksum]") {
    // An empty page of nonce 0 and page 0 has seed 0.
    CHECK(xxh3_64::page_sum({}, 0, page_number{0}) == 0x2D06800538D394C2u);
}

TEST_CASE("an XXH3 page sum is seeded with nonce and page number", "[checksum]") {
    auto const page = std::vector<std::byte>(8184, std::byte{0x5A});
    auto const sum = xxh3_64::page_sum(page, 100, page_number{7});
    CHECK(sum == xxh3_64::page_sum(page, 100, page_number{7}));
    CHECK(sum != xxh3_64::page_sum(page, 101, page_number{7}));
    CHECK(sum != xxh3_64::page_sum(page, 100, page_number{8}));
    auto const seed = std::uint64_t{100} ^ (7u * 0x9E3779B97F4A7C15u);
    CHECK(sum == XXH3_64bits_withSeed(page.data(), page.size(), seed));
}

TEST_CASE("any flipped byte of a page changes its XXH3 sum", "[checksum]") {
    auto page = std::vector<std::byte>(4088);
    auto const sound = xxh3_64::page_sum(page, 1, page_number{2});
    for (auto& b : page) {
        b ^= std::byte{1};
        if (xxh3_64::page_sum(page, 1, page_number{2}) == sound)
            FAIL("byte " << (&b - page.data()) << " is not covered");
        b ^= std::byte{1};
    }
    CHECK(xxh3_64::page_sum(page, 1, page_number{2}) == sound);
}

} // namespace jetpp_test::xxh3_cases
