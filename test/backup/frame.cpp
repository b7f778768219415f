// test/backup/frame.cpp - the 160 bytes, golden and hostile.
#include <jetpp/backup/frame.hpp>
#include <jetpp/core/describe.hpp>

#include <array>
#include <string>

#include "../catch.hpp"

namespace jetpp_test::frame_cases {

using namespace jetpp;

frame_header sample() {
    auto h = frame_header{};
    h.type = frame_type::pages;
    h.set = make_uuid(0x0102030405060708, 0x090A0B0C0D0E0F10);
    h.part = 3;
    h.file = 1;
    h.codec = frame_codec::none;
    h.sequence = 17;
    h.first = 64;
    h.end = 128;
    h.raw_bytes = 524288;
    h.stored_bytes = 524313;
    h.presence[0] = std::byte{0xFF};
    for (std::size_t i = 0; i < 16; ++i) h.hash[i] = static_cast<std::byte>(i + 1);
    return h;
}

std::string hex(const_bytes raw) {
    constexpr char digits[] = "0123456789abcdef";
    auto text = std::string{};
    for (auto const b : raw) {
        text += digits[std::to_integer<unsigned>(b >> 4)];
        text += digits[std::to_integer<unsigned>(b & std::byte{15})];
    }
    return text;
}

std::array<std::byte, 160> encoded(frame_header const& h) {
    auto block = std::array<std::byte, 160>{};
    h.encode(block);
    return block;
}

// With a crc that fits, so that what stands behind it is judged.
std::array<std::byte, 160> resealed(std::array<std::byte, 160> block) {
    store_le<std::uint32_t>(block.data() + 20, detail::frame_crc(block.data()));
    return block;
}

errc code_of(std::array<std::byte, 160> const& block) {
    auto const decoded = frame_header::decode(block);
    return decoded ? errc::none : decoded.error().code;
}

TEST_CASE("a frame header has the bytes of its table", "[backup][frame]") {
    auto const block = encoded(sample());
    CHECK(
        hex(const_bytes{block}.first(20)) == "5a2a4d18"         // skippable frame
                                             "98000000"         // of 152 bytes
                                             "4a42534652414d45" // JBSFRAME
                                             "02"               // pages
                                             "01"               // critical
                                             "0100"             // version 1
    );
    CHECK(
        hex(const_bytes{block}.subspan(24, 136)) ==
        "010203040506470889" // the uuid's version and variant bits are set
        "0a0b0c0d0e0f10"
        "03000000"
        "0100"
        "0000"
        "1100000000000000"
        "4000000000000000"
        "8000000000000000"
        "00000800"
        "19000800"
        "ff000000000000000000000000000000"
        "0102030405060708090a0b0c0d0e0f10"
        "00000000000000000000000000000000"
        "0100"
        "0000"
        "00000000000000000000000000000000000000000000000000000000"
    );
    CHECK(load_le<std::uint32_t>(block.data() + 20) == 0x4c991a2b);
    auto const decoded = frame_header::decode(block);
    REQUIRE(decoded);
    CHECK(decoded.value() == sample());
}

TEST_CASE("every flipped bit of a frame header is found", "[backup][frame]") {
    auto const good = encoded(sample());
    for (std::size_t i = 0; i < good.size(); ++i)
        for (auto bit = 0; bit < 8; ++bit) {
            auto bad = good;
            bad[i] ^= static_cast<std::byte>(1 << bit);
            CAPTURE(i, bit);
            CHECK(code_of(bad) == errc::set_damaged);
        }
}

TEST_CASE("a sound header of a later format is unsupported, not damage", "[backup][frame]") {
    auto const with = [](std::size_t at, unsigned value) {
        auto block = encoded(sample());
        block[at] = static_cast<std::byte>(value);
        return resealed(block);
    };
    CHECK(code_of(with(16, 10)) == errc::unsupported); // critical type
    CHECK(code_of(with(17, 9)) == errc::unsupported);  // flag
    CHECK(code_of(with(18, 2)) == errc::unsupported);  // version
    CHECK(code_of(with(46, 4)) == errc::unsupported);  // codec
    CHECK(code_of(with(128, 3)) == errc::unsupported); // hash
    auto ignorable = with(16, 10);
    ignorable[17] = std::byte{0};
    CHECK(code_of(resealed(ignorable)) == errc::none);
}

TEST_CASE("lengths beyond the caps are refused before anybody allocates", "[backup][frame]") {
    auto const with = [](std::size_t at, std::uint32_t value) {
        auto block = encoded(sample());
        store_le<std::uint32_t>(block.data() + at, value);
        return resealed(block);
    };
    CHECK(code_of(with(72, frame_raw_max)) == errc::none);
    CHECK(code_of(with(72, frame_raw_max + 1)) == errc::limit_exceeded);
    CHECK(code_of(with(76, frame_stored_max + 1)) == errc::limit_exceeded);
    CHECK(code_of(with(76, ~std::uint32_t{0})) == errc::limit_exceeded);
}

TEST_CASE("bytes that must be zero are checked", "[backup][frame]") {
    for (auto const at : {112, 127, 132, 159}) { // unused hash bytes, reserve
        auto block = encoded(sample());
        block[static_cast<std::size_t>(at)] = std::byte{1};
        CHECK(code_of(resealed(block)) == errc::set_damaged);
    }
}

TEST_CASE("an error of a frame says part and frame", "[backup][frame]") {
    auto const text = std::string{describe(frame_error(errc::set_damaged, 2, 0)).view()};
    CHECK(text.find("(backup part, part 2, frame 0)") != std::string::npos);
}

} // namespace jetpp_test::frame_cases
