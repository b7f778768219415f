#include <jetpp/log/segment.hpp>

#include <array>
#include <string>

#include "../catch.hpp"

namespace jetpp_test::segment_cases {

using namespace jetpp;

constexpr auto size = segment_bytes_default;

static_assert(first_lsn(1, size) == lsn{size + 4096});
static_assert(generation_of(first_lsn(7, size), size) == 7);
static_assert(offset_of(first_lsn(7, size), size) == 4096);
static_assert(generation_of(segment_limit(7, size) - 1, size) == 7);
static_assert(generation_above(no_lsn, size) == 1);
static_assert(generation_above(first_lsn(7, size), size) == 8);

static_assert(segment_file_name(0x1A2B).view() == "jet.0000000000001a2b.log");
static_assert(spare_file_name(0).view() == "jet.spare-0.log");
static_assert(spare_file_name(4294967295u).view() == "jet.spare-4294967295.log");
static_assert(parse_segment_name("jet.0000000000001a2b.log") == 0x1A2B);
static_assert(!parse_segment_name("jet.0000000000001A2B.log"));
static_assert(!parse_segment_name("jet.1a2b.log"));
static_assert(!parse_segment_name("jet.spare-0.log"));
static_assert(parse_spare_name("jet.spare-12.log") == 12u);
static_assert(!parse_spare_name("jet.spare-.log"));
static_assert(!parse_spare_name("jet.spare-1x.log"));

segment_header sample() {
    return {
        .generation = 9,
        .segment_bytes = size,
        .instance = make_uuid(1, 2),
        .nonce = 0x1122334455667788,
        .previous_nonce = 0x99,
        .cut = first_lsn(8, size) + 160,
        .incarnation = 3,
        .created_at = {1234567890123456789},
        .previous_created_at = {-5},
        .mode = logging_mode::archival,
        .timeline = timeline_id{77},
        .parent_timeline = timeline_id{76},
        .fork_lsn = lsn{12345},
        .previous_generation = 8,
        .compatible_bits = 0,
    };
}

using block = std::array<std::byte, segment_header::size>;

block encoded(segment_header const& h) {
    auto raw = block{};
    h.encode(raw);
    return raw;
}

errc refusal_of(block const& raw) {
    auto const decoded = segment_header::decode(raw);
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().file == file_kind::log_segment);
    return decoded.error().code;
}

void reseal(block& raw) {
    detail::seal_block(raw);
}

TEST_CASE("a segment header reads as it was written", "[log][segment]") {
    auto const decoded = segment_header::decode(encoded(sample()));
    REQUIRE(decoded);
    CHECK(decoded.value() == sample());
}

TEST_CASE("a segment header has its fields where the format says", "[log][segment]") {
    auto const raw = encoded(sample());
    auto const* p = raw.data();
    CHECK(as_text({p + 8, 8}) == "JETPPLOG");
    CHECK(load_le<std::uint32_t>(p + 16) == 2);
    CHECK(load_le<std::uint16_t>(p + 20) == 1);
    CHECK(load_le<std::uint64_t>(p + 40) == 9);
    CHECK(load_le<std::uint64_t>(p + 48) == size);
    CHECK(load_le<std::uint64_t>(p + 56) == 9 * size + 4096);
    CHECK(p[64] == sample().instance.raw[0]);
    CHECK(load_le<std::uint64_t>(p + 80) == 0x1122334455667788);
    CHECK(load_le<std::uint64_t>(p + 88) == 0x99);
    CHECK(load_le<std::uint64_t>(p + 96) == 8 * size + 4096 + 160);
    CHECK(load_le<std::uint32_t>(p + 104) == 0);
    CHECK(load_le<std::uint32_t>(p + 108) == 3);
    CHECK(load_le<std::uint64_t>(p + 112) == 1234567890123456789);
    CHECK(load_le<std::uint16_t>(p + 144) == 2);
    CHECK(load_le<std::uint64_t>(p + 152) == 77);
    CHECK(load_le<std::uint64_t>(p + 160) == 76);
    CHECK(load_le<std::uint64_t>(p + 168) == 12345);
    CHECK(load_le<std::uint64_t>(p + 176) == 8);
    CHECK(all_zero({p + 184, 3912}));
}

TEST_CASE("every flipped byte of a segment header is noticed", "[log][segment]") {
    auto const whole = encoded(sample());
    for (std::size_t i = 0; i < whole.size(); ++i) {
        auto raw = whole;
        raw[i] ^= std::byte{0x10};
        CAPTURE(i);
        REQUIRE_FALSE(segment_header::decode(raw));
    }
}

TEST_CASE("refusals of a segment header come in the order of the format", "[log][segment]") {
    auto raw = encoded(sample());
    store_le<std::uint64_t>(raw.data() + 24, 1); // a feature of the future, under a right checksum
    reseal(raw);
    auto const decoded = segment_header::decode(raw);
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().code == errc::unsupported_feature);
    CHECK(decoded.error().at == lsn{1});

    raw[100] ^= std::byte{1}; // damage is said before features
    CHECK(refusal_of(raw) == errc::bad_header);
    store_le<std::uint16_t>(raw.data() + 20, 2); // another major may sum differently
    CHECK(refusal_of(raw) == errc::unsupported_format);
    store_le<std::uint32_t>(raw.data() + 16, 3);
    CHECK(refusal_of(raw) == errc::bad_kind);
    raw[8] = std::byte{'j'};
    CHECK(refusal_of(raw) == errc::bad_magic);
    CHECK(refusal_of(block{}) == errc::bad_magic);
}

TEST_CASE("impossible values under a right checksum are a bad header", "[log][segment]") {
    auto const spoilt = [](std::size_t offset, std::uint64_t value) {
        auto raw = encoded(sample());
        store_le<std::uint64_t>(raw.data() + offset, value);
        reseal(raw);
        return refusal_of(raw);
    };
    CHECK(spoilt(40, 0) == errc::bad_header);                      // generation
    CHECK(spoilt(40, ~std::uint64_t{0}) == errc::bad_header);      // LSNs would wrap
    CHECK(spoilt(40, lsn_limit.value / size) == errc::bad_header); // beyond the limit
    CHECK(spoilt(48, size + 1) == errc::bad_header);               // segment size
    CHECK(spoilt(48, 64 * 1024) == errc::bad_header);
    CHECK(spoilt(48, 0) == errc::bad_header);
    CHECK(spoilt(56, 9 * size) == errc::bad_header);     // first LSN
    CHECK(spoilt(80, 0) == errc::bad_header);            // nonce
    CHECK(spoilt(96, 8 * size) == errc::bad_header);     // cut inside a header
    CHECK(spoilt(96, 9 * size + 8) == errc::bad_header); // cut in another segment
    CHECK(spoilt(176, 9) == errc::bad_header);           // its own predecessor
}

TEST_CASE("a cut may stand at the very end of the previous segment", "[log][segment]") {
    auto h = sample();
    h.cut = segment_limit(8, size);
    CHECK(segment_header::decode(encoded(h)).value().cut == h.cut);
}

} // namespace jetpp_test::segment_cases
