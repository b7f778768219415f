#include <jetpp/env/double_mapping.hpp>

#include <cstring>
#include <type_traits>
#include <utility>

#include "world.hpp"

namespace jetpp_test::double_mapping_cases {

using namespace jetpp;

static_assert(!std::is_copy_constructible_v<double_mapping>);

TEST_CASE("both halves of the ring and all mappings are the same bytes", "[env]") {
    constexpr auto ring_bytes = std::uint64_t{16 * 4096};
    auto backing = good(ring_backing::create(2 * 4096, ring_bytes));
    auto a = good(backing.map());
    auto b = good(backing.map());
    REQUIRE(a.ring_bytes() == ring_bytes);
    REQUIRE(a.header() + 2 * 4096 == a.ring());
    CHECK(all_zero({a.header(), static_cast<std::size_t>(2 * 4096 + 2 * ring_bytes)}));
    for (std::uint64_t at = 0; at < ring_bytes; at += 511) {
        a.ring()[ring_bytes + at] = static_cast<std::byte>(at);
        CHECK(a.ring()[at] == static_cast<std::byte>(at));
        CHECK(b.ring()[at] == static_cast<std::byte>(at));
    }
    CHECK(all_zero({a.header(), 2 * 4096}));
    std::memcpy(b.header() + 4090, "header", 6);
    CHECK(std::memcmp(a.header() + 4090, "header", 6) == 0);
}

TEST_CASE("mappings outlive the backing, and move", "[env]") {
    auto kept = double_mapping{};
    CHECK(!kept.is_mapped());
    {
        auto backing = good(ring_backing::create(0, 4096));
        auto first = good(backing.map());
        first.ring()[17] = std::byte{9};
        kept = std::move(first);
        CHECK(!first.is_mapped());
    }
    CHECK(kept.ring()[17] == std::byte{9});
    CHECK(kept.ring()[4096 + 17] == std::byte{9});
}

TEST_CASE("sizes that cannot be mapped are refused", "[env]") {
    CHECK(code_of(ring_backing::create(100, 4096)) == errc::invalid_argument);
    CHECK(code_of(ring_backing::create(4096, 100)) == errc::invalid_argument);
    CHECK(code_of(ring_backing::create(4096, 3 * 4096)) == errc::invalid_argument);
    CHECK(code_of(ring_backing::create(4096, 0)) == errc::invalid_argument);
    CHECK(code_of(ring_backing::create(4096, std::uint64_t{1} << 63)) == errc::invalid_argument);
}

} // namespace jetpp_test::double_mapping_cases
