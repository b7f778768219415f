#include <jetpp/checksum/crc32c.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::crc32c_cases {

using namespace jetpp;

template <std::size_t N, class F>
consteval auto filled(F byte_at) {
    auto made = std::array<std::byte, N>{};
    for (std::size_t i = 0; i < N; ++i) made[i] = static_cast<std::byte>(byte_at(i));
    return made;
}

// RFC 3720, B.4.
constexpr auto zeros = filled<32>([](std::size_t) { return 0; });
constexpr auto ones = filled<32>([](std::size_t) { return 0xFF; });
constexpr auto rising = filled<32>([](std::size_t i) { return i; });
constexpr auto falling = filled<32>([](std::size_t i) { return 31 - i; });
constexpr auto check_string = filled<9>([](std::size_t i) { return '1' + static_cast<int>(i); });
constexpr auto iscsi_read =
    std::array{0x01, 0xC0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
               0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
               0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
               0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
constexpr auto iscsi = filled<48>([](std::size_t i) { return iscsi_read[i]; });

static_assert(crc32c_of({}) == 0);
static_assert(crc32c_of(check_string) == 0xE3069283);
static_assert(crc32c_of(zeros) == 0x8A9136AA);
static_assert(crc32c_of(ones) == 0x62A8AB43);
static_assert(crc32c_of(rising) == 0x46DD794E);
static_assert(crc32c_of(falling) == 0x113FDB5C);
static_assert(crc32c_of(iscsi) == 0xD9963A56);
static_assert(structure_sum(check_string) == 0xE3069283u);

// One bit at a time: the definition.
std::uint32_t by_definition(const_bytes all) {
    auto state = ~std::uint32_t{0};
    for (auto const b : all) {
        state ^= std::to_integer<std::uint32_t>(b);
        for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1) * 0x82F63B78u);
    }
    return ~state;
}

std::vector<std::byte> random_bytes(std::mt19937& random, std::size_t size) {
    auto made = std::vector<std::byte>(size);
    for (auto& b : made) b = static_cast<std::byte>(random() & 0xFF);
    return made;
}

TEST_CASE("the published vectors of CRC-32C come out at run time", "[checksum]") {
    CHECK(crc32c_of(as_bytes("123456789")) == 0xE3069283);
    CHECK(crc32c_of(zeros) == 0x8A9136AA);
    CHECK(crc32c_of(ones) == 0x62A8AB43);
    CHECK(crc32c_of(rising) == 0x46DD794E);
    CHECK(crc32c_of(falling) == 0x113FDB5C);
    CHECK(crc32c_of(iscsi) == 0xD9963A56);
}

TEST_CASE("tables compute what the definition says", "[checksum]") {
    auto const seed = GENERATE(1u, 2u, 3u);
    CAPTURE(seed);
    auto random = std::mt19937{seed};
    for (std::size_t size = 0; size < 300; ++size) {
        auto const all = random_bytes(random, size);
        REQUIRE(~detail::crc32c_portable(~0u, all.data(), size) == by_definition(all));
    }
}

#if defined(__x86_64__)
TEST_CASE(
    "the processor computes what the tables do, at every length and alignment", "[checksum]"
) {
    if (!detail::crc32c_has_hardware()) {
        WARN("this processor has no crc32 and pclmul instructions: nothing to compare");
        return;
    }
    auto const seed = GENERATE(11u, 12u);
    CAPTURE(seed);
    auto random = std::mt19937{seed};
    auto const all = random_bytes(random, 70000);
    for (std::size_t size = 0; size < 2000; ++size) {
        auto const start = random() % 64;
        auto const state = static_cast<std::uint32_t>(random());
        CAPTURE(size, start, state);
        REQUIRE(
            detail::crc32c_hardware(state, all.data() + start, size) ==
            detail::crc32c_portable(state, all.data() + start, size)
        );
    }
    for (int round = 0; round < 300; ++round) {
        auto const size = random() % 69000;
        auto const start = random() % 64;
        CAPTURE(size, start);
        REQUIRE(
            detail::crc32c_hardware(~0u, all.data() + start, size) ==
            detail::crc32c_portable(~0u, all.data() + start, size)
        );
    }
}
#endif

TEST_CASE("a sum may be taken in pieces", "[checksum]") {
    auto const seed = GENERATE(21u, 22u);
    CAPTURE(seed);
    auto random = std::mt19937{seed};
    auto const all = random_bytes(random, 3000);
    auto const whole = crc32c_of(all);
    for (int round = 0; round < 200; ++round) {
        auto const cut = random() % all.size();
        auto const head = const_bytes{all}.first(cut);
        auto const tail = const_bytes{all}.subspan(cut);
        REQUIRE(crc32c_of(tail, crc32c_of(head)) == whole);
        REQUIRE(crc32c_accumulator{}.add(head).add(tail).value() == whole);
    }
}

TEST_CASE("numbers are added in little endian order", "[checksum]") {
    auto raw = std::array<std::byte, 12>{};
    store_le<std::uint64_t>(raw.data(), 0x0123456789ABCDEFu);
    store_le<std::uint32_t>(raw.data() + 8, 0xDEADBEEFu);
    CHECK(
        crc32c_accumulator{}.add_u64(0x0123456789ABCDEFu).add_u32(0xDEADBEEFu).value() ==
        crc32c_of(raw)
    );
    static_assert(
        crc32c_accumulator{}.add_u64(0).add_u32(0).add_u32(0).value() ==
        crc32c_of(const_bytes{zeros}.first(16))
    );
}

TEST_CASE("a page sum covers nonce, page number, four zero bytes and the page", "[checksum]") {
    auto random = std::mt19937{31};
    auto const page = random_bytes(random, 8192);
    auto const rest = const_bytes{page}.subspan(8);
    auto seeded = std::vector<std::byte>(16);
    store_le<std::uint64_t>(seeded.data(), 0xFEEDFACECAFEBEEFu);
    store_le<std::uint32_t>(seeded.data() + 8, 77);
    seeded.insert(seeded.end(), rest.begin(), rest.end());
    auto const sum = crc32c::page_sum(rest, 0xFEEDFACECAFEBEEFu, page_number{77});
    CHECK(sum == by_definition(seeded));
    CHECK(sum >> 32 == 0);
    CHECK(sum != crc32c::page_sum(rest, 0xFEEDFACECAFEBEEFu, page_number{78}));
    CHECK(sum != crc32c::page_sum(rest, 0xFEEDFACECAFEBEEEu, page_number{77}));
}

TEST_CASE("any flipped bit of a page changes its sum", "[checksum]") {
    auto random = std::mt19937{41};
    auto page = random_bytes(random, 4096);
    auto const sum_of = [&] {
        return crc32c::page_sum(const_bytes{page}.subspan(8), 5, page_number{9});
    };
    auto const sound = sum_of();
    for (std::size_t bit = 64; bit < 8 * page.size(); ++bit) {
        page[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
        if (sum_of() == sound) FAIL("bit " << bit << " is not covered");
        page[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    }
    CHECK(sum_of() == sound);
}

} // namespace jetpp_test::crc32c_cases
