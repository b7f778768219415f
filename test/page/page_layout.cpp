#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_memory.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "../catch.hpp"
#include "model.hpp"

namespace jetpp_test::page_layout_cases {

using namespace jetpp;
using namespace page_test;

// The table of the format, once more.
static_assert(page_offset::checksum == 0 && page_offset::page_lsn == 8);
static_assert(page_offset::number == 16 && page_offset::tree == 20);
static_assert(page_offset::kind == 24 && page_offset::level == 25 && page_offset::flags == 26);
static_assert(page_offset::row_count == 28 && page_offset::prefix_bytes == 30);
static_assert(page_offset::heap_begin == 32);
static_assert(page_offset::dead_bytes == 36 && page_offset::ghost_count == 38);
static_assert(page_offset::lower_offset == 40 && page_offset::lower_bytes == 42);
static_assert(page_offset::upper_offset == 44 && page_offset::upper_bytes == 46);
static_assert(page_offset::upper_child == 48 && page_offset::key_epoch == 52);
static_assert(page_offset::row_format == 54 && page_offset::timeline_low == 56);
static_assert(page_offset::hints == 64 && page_offset::content == 128);
static_assert(page_limits<4096>::key_bytes_max == 448);
static_assert(page_limits<8192>::key_bytes_max == 960);
static_assert(page_limits<65536>::key_bytes_max == 8128);
static_assert(page_limits<8192>::inline_value_bytes_max == 2016);

TEST_CASE("a small leaf is these bytes", "[page]") {
    auto const page = page_memory_block<4096>{};
    REQUIRE(page.edit().format(
        {.number = {0x01020304},
         .tree = {0x0A0B0C0D},
         .flags = page_flag::root,
         .lower = as_bytes("row/a"),
         .upper = as_bytes("row/z")}
    ));
    REQUIRE(page.edit().insert(0, as_bytes("row/key"), as_bytes("v1"), row_flags::ghost));
    page.edit().set_page_lsn({0x1122334455667788}, 0x99AABBCC);
    using namespace std::string_literals;
    auto const header = "\0\0\0\0\0\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11"s         // 0
                        "\x04\x03\x02\x01\x0D\x0C\x0B\x0A\x01\0\x0C\0\x01\0\x04\0"s // 16
                        "\xEC\x0F\0\0\0\0\x01\0\xFA\x0F\x05\0\xF4\x0F\x05\0"s       // 32
                        "\0\0\0\0\0\0\0\0\xCC\xBB\xAA\x99\0\0\0\0"s;                // 48
    CHECK(text(page.view().all().first(64)) == header);
    CHECK(
        text(page.view().all().subspan(128, 8)) == "\xEC\x0F\x03\x20yek\0"s.replace(4, 4, "\0yek"s)
    );
    CHECK(text(page.view().all().subspan(0xFEC)) == "\x02\0keyv1\0row/z\0row/a\0"s);
}

TEST_CASE("an inner cell is its child and a separator, in fours", "[page]") {
    auto const page = page_memory_block<4096>{};
    REQUIRE(page.edit().format(
        {.number = {40}, .tree = {16}, .kind = page_kind::inner, .level = 1, .upper_child = {0x55}}
    ));
    REQUIRE(page.edit().add_child(0, {0x01020304}, as_bytes("sep")));
    using namespace std::string_literals;
    CHECK(text(page.view().all().subspan(4088)) == "\x04\x03\x02\x01sep\0"s);
    CHECK(page.data()[page_offset::upper_child] == std::byte{0x55});
}

TEST_CASE("bytes moved within a page may overlap", "[page]") {
    alignas(8) std::byte raw[16];
    for (auto i = 0; i < 16; ++i) raw[i] = static_cast<std::byte>(i);
    page_memory::move_bytes(raw + 2, raw, 8);
    CHECK(raw[2] == std::byte{0});
    CHECK(raw[9] == std::byte{7});
    page_memory::move_bytes(raw, raw + 2, 8);
    CHECK(raw[7] == std::byte{7});
    page_memory::store<std::uint32_t>(raw + 4, 0x01020304);
    CHECK(raw[4] == std::byte{4});
    CHECK(page_memory::load<std::uint32_t>(raw + 4) == 0x01020304);
    page_memory::fill_zero(raw, 16);
    CHECK(page_memory::compare_bytes(raw, raw + 8, 8) == 0);
}

} // namespace jetpp_test::page_layout_cases
