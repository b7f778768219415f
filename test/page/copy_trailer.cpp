#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/page/copy_trailer.hpp>
#include <jetpp/page/page_codec.hpp>

#include <cstddef>
#include <cstdint>

#include "../catch.hpp"
#include "model.hpp"

namespace jetpp_test::copy_trailer_cases {

using namespace jetpp;
using namespace page_test;

copy_trailer full_trailer() {
    return {
        .set = make_uuid(1, 2),
        .database = make_uuid(3, 4),
        .instance = make_uuid(5, 6),
        .timeline = {7},
        .redo_lsn = {800},
        .undo_low_lsn = {700},
        .log_start = {600},
        .begin_lsn = {900},
        .copy_end_lsn = {1000},
        .pages = 1234,
    };
}

database_header header_of(copy_trailer const& t) {
    auto h = database_header{};
    h.state = database_state::backup_copy;
    h.source_set = t.set;
    h.database = t.database;
    h.instance = t.instance;
    h.timeline = t.timeline;
    h.min_required_lsn = t.log_start;
    return h;
}

TEST_CASE("a copy trailer is a page that verifies and reads back", "[page]") {
    using codec = page_codec<4096, crc32c>;
    auto const page = page_memory_block<4096>{};
    auto const t = full_trailer();
    t.encode<4096>(page.data());
    codec::seal(page.data(), 99);
    CHECK(codec::verify(page.data(), 99, {1234}) == damage::none);
    CHECK(check_page(page.view()) == damage::none);
    CHECK(page.view().page_lsn() == no_lsn);
    CHECK(copy_trailer::decode<4096>(page.data()).value() == t);
    CHECK(as_text(page.view().all().subspan(128, 8)) == "JBSTRAIL");
    CHECK(load_le<std::uint64_t>(page.data() + 184) == 7);
    CHECK(load_le<std::uint64_t>(page.data() + 192) == 800);
    CHECK(load_le<std::uint64_t>(page.data() + 200) == 700);
    CHECK(load_le<std::uint64_t>(page.data() + 208) == 600);
    CHECK(load_le<std::uint64_t>(page.data() + 216) == 900);
    CHECK(load_le<std::uint64_t>(page.data() + 224) == 1000);
    CHECK(load_le<std::uint32_t>(page.data() + 232) == 1234);
}

TEST_CASE(
    "a page that is no trailer is an incomplete copy, a strange trailer a damaged set", "[page]"
) {
    auto const page = page_memory_block<4096>{};
    auto const code = [&] { return copy_trailer::decode<4096>(page.data()).error().code; };
    full_trailer().encode<4096>(page.data());
    SECTION("another kind") {
        page.edit().set_kind(page_kind::blob_data);
        CHECK(code() == errc::incomplete_copy);
    }
    SECTION("another magic") {
        page.data()[128] = std::byte{'X'};
        CHECK(code() == errc::incomplete_copy);
    }
    SECTION("another number of pages") {
        page.data()[232] ^= std::byte{1};
        CHECK(code() == errc::set_damaged);
    }
    SECTION("a reserved byte") {
        page.data()[4095] = std::byte{1};
        CHECK(code() == errc::set_damaged);
    }
    SECTION("an LSN beyond all") {
        page.data()[231] = std::byte{0xFF};
        CHECK(code() == errc::set_damaged);
    }
}

TEST_CASE("header and trailer of different copies do not pass for one", "[page]") {
    auto const t = full_trailer();
    CHECK(t.check_header(header_of(t)));
    auto const mixed = [&](auto change) {
        auto h = header_of(t);
        change(h);
        auto const checked = t.check_header(h);
        return checked.has_error() && checked.error().code == errc::set_mixed;
    };
    CHECK(mixed([](auto& h) { h.source_set = make_uuid(9, 9); }));
    CHECK(mixed([](auto& h) { h.database = make_uuid(9, 9); }));
    CHECK(mixed([](auto& h) { h.instance = make_uuid(9, 9); }));
    CHECK(mixed([](auto& h) { h.timeline = {8}; }));
    CHECK(mixed([](auto& h) { h.min_required_lsn = {601}; }));
    CHECK(mixed([](auto& h) { h.state = database_state::clean; }));
}

} // namespace jetpp_test::copy_trailer_cases
