#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/page/database_header.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::database_header_cases {

using namespace jetpp;

using block = std::array<std::byte, database_header::size>;

uuid id_of(unsigned n) {
    auto made = uuid{};
    for (std::size_t i = 0; i < 16; ++i) made.raw[i] = static_cast<std::byte>(16 * n + i);
    return made;
}

// Every field another value, so that two exchanged ones are seen.
database_header full_header() {
    auto h = database_header{};
    h.sequence = 0x0102030405060708;
    h.page_size = 8192;
    h.checksum_id = 1;
    h.state = database_state::clean;
    h.database = id_of(1);
    h.instance = id_of(2);
    h.nonce = 0x1111;
    h.id = {3};
    h.attach_lsn = {0x2222};
    h.consistent_lsn = {0x3333};
    h.last_resize_lsn = {0x4444};
    h.min_required_lsn = {0x5555};
    h.max_required_lsn = {0x6666};
    h.created_at = {-7};
    h.attached_at = {0x7777};
    h.pages_hint = 0x8888;
    h.flags = database_header::exempt_flag;
    for (auto i = 0u; i < 4; ++i)
        h.marks[i] = {
            .set = id_of(3 + i),
            .redo_lsn = {100 + i},
            .log_start = {200 + i},
            .end_lsn = {300 + i},
            .time = {400 + i},
            .timeline = {500 + i},
            .manifest_hash = 600 + i
        };
    h.restored_from = id_of(8);
    h.restore_point = {0x9999};
    h.scrubbed_at = {0xAAAA};
    h.scrub_next_page = 0xBBBB;
    h.bad_checksums = 1;
    h.repaired = 2;
    h.lost_flushes = 3;
    h.repair_runs = 4;
    h.masked_damage = 5;
    h.source_set = id_of(9);
    h.timeline = {0xCCCC};
    h.set_writer("jetpp 1.0");
    h.max_lsn = {0xDDDD};
    h.ancestor_count = 2;
    h.ancestors[0] = {{0xEEEE}, {0xE0}};
    h.ancestors[1] = {{0xFFFF}, {0xF0}};
    return h;
}

block bytes_of(database_header const& h) {
    auto made = block{};
    h.encode(made);
    return made;
}

// After a change by hand.
void seal(block& b) {
    store_le<std::uint64_t>(b.data(), structure_sum(const_bytes{b}.subspan(8)));
}

errc code_of(const_bytes raw, reserved_bytes reserved = reserved_bytes::ignored) {
    auto const read = database_header::decode(raw, reserved);
    return read ? errc::none : read.error().code;
}

TEST_CASE("a database header reads back as it was written", "[page]") {
    auto const h = full_header();
    auto const raw = bytes_of(h);
    auto const read = database_header::decode(raw, reserved_bytes::checked);
    REQUIRE(read);
    CHECK(read.value() == h);
    CHECK(read.value().writer_text() == "jetpp 1.0");
    CHECK(read.value().ancestry().size() == 2);
    CHECK(read.value().is_backup_exempt());
}

TEST_CASE("every field of a database header lies where the format says", "[page]") {
    auto const raw = bytes_of(full_header());
    auto const u16 = [&](std::size_t at) { return load_le<std::uint16_t>(raw.data() + at); };
    auto const u32 = [&](std::size_t at) { return load_le<std::uint32_t>(raw.data() + at); };
    auto const u64 = [&](std::size_t at) { return load_le<std::uint64_t>(raw.data() + at); };
    auto const at = [&](std::size_t offset, unsigned n) {
        return std::memcmp(raw.data() + offset, id_of(n).raw.data(), 16) == 0;
    };
    CHECK(as_text(const_bytes{raw}.subspan(8, 8)) == std::string_view{"JETPPDB\x1A", 8});
    CHECK(u32(16) == 1);
    CHECK(u16(20) == 1);
    CHECK(u16(22) == 0);
    CHECK(u64(40) == 0x0102030405060708);
    CHECK(u32(48) == 8192);
    CHECK(u16(52) == 1);
    CHECK(u32(60) == 3);
    CHECK(at(64, 1));
    CHECK(at(80, 2));
    CHECK(u64(96) == 0x1111);
    CHECK(u16(104) == 3);
    CHECK(u64(112) == 0x2222);
    CHECK(u64(120) == 0x3333);
    CHECK(u64(128) == 0x4444);
    CHECK(u64(136) == 0x5555);
    CHECK(u64(144) == 0x6666);
    CHECK(u64(152) == ~std::uint64_t{6});
    CHECK(u64(160) == 0x7777);
    CHECK(u32(168) == 0x8888);
    CHECK(u32(172) == 1);
    for (auto i = 0u; i < 4; ++i) {
        auto const mark = 176 + i * 64;
        CHECK(at(mark, 3 + i));
        for (auto f = 0u; f < 6; ++f) CHECK(u64(mark + 16 + 8 * f) == (f + 1) * 100 + i);
    }
    CHECK(at(432, 8));
    CHECK(u64(448) == 0x9999);
    CHECK(u64(456) == 0xAAAA);
    CHECK(u64(464) == 0xBBBB);
    for (auto i = 0u; i < 5; ++i) CHECK(u32(472 + 4 * i) == i + 1);
    CHECK(all_zero(const_bytes{raw}.subspan(492, 44)));
    CHECK(at(536, 9));
    CHECK(u64(552) == 0xCCCC);
    CHECK(all_zero(const_bytes{raw}.subspan(560, 32)));
    CHECK(as_text(const_bytes{raw}.subspan(592, 10)) == std::string_view{"jetpp 1.0\0", 10});
    CHECK(u64(656) == 0xDDDD);
    CHECK(u32(664) == 2);
    CHECK(u64(672) == 0xEEEE);
    CHECK(u64(680) == 0xE0);
    CHECK(u64(688) == 0xFFFF);
    CHECK(all_zero(const_bytes{raw}.subspan(704)));
    CHECK(u64(0) == structure_sum(const_bytes{raw}.subspan(8)));
}

TEST_CASE("a header is refused for the first thing that is wrong", "[page]") {
    auto raw = bytes_of(full_header());
    SECTION("too short") {
        CHECK(code_of(const_bytes{raw}.first(4095)) == errc::bad_header);
    }
    SECTION("zero") {
        raw = {};
        CHECK(code_of(raw) == errc::bad_magic);
    }
    SECTION("a rotten bit") {
        raw[3000] ^= std::byte{1};
        CHECK(code_of(raw) == errc::bad_header);
    }
    SECTION("wrong in every way, one by one") {
        store_le<std::uint64_t>(raw.data() + 96, 0); // no nonce
        seal(raw);
        CHECK(code_of(raw) == errc::bad_header);
        store_le<std::uint64_t>(raw.data() + 24, 4);
        seal(raw);
        CHECK(code_of(raw) == errc::unsupported_feature);
        CHECK(database_header::decode(raw).error().at.value == 4);
        raw[3000] ^= std::byte{1};
        CHECK(code_of(raw) == errc::bad_header);
        store_le<std::uint16_t>(raw.data() + 20, 2);
        CHECK(code_of(raw) == errc::unsupported_format);
        store_le<std::uint32_t>(raw.data() + 16, 2);
        CHECK(code_of(raw) == errc::bad_kind);
        raw[8] = std::byte{'X'};
        CHECK(code_of(raw) == errc::bad_magic);
    }
    SECTION("impossible fields") {
        auto const with = [&](std::size_t offset, auto value) {
            auto changed = raw;
            store_le<decltype(value)>(changed.data() + offset, value);
            seal(changed);
            return code_of(changed);
        };
        CHECK(with(48, std::uint32_t{12288}) == errc::bad_header);
        CHECK(with(48, std::uint32_t{131072}) == errc::bad_header);
        CHECK(with(60, std::uint32_t{0}) == errc::bad_header);
        CHECK(with(60, std::uint32_t{10}) == errc::bad_header);
        CHECK(with(552, std::uint64_t{0}) == errc::bad_header);
        CHECK(with(656, (std::uint64_t{1} << 62) + 1) == errc::bad_header);
        CHECK(with(664, std::uint32_t{32}) == errc::bad_header);
        CHECK(with(54, std::uint16_t{1}) == errc::unsupported_feature);
        CHECK(with(56, std::uint16_t{1}) == errc::unsupported_feature);
        CHECK(with(656, std::uint64_t{1} << 62) == errc::none);
    }
    SECTION("reserved bytes count for a strict reader only") {
        for (auto const offset : {58, 106, 492, 504, 512, 528, 560, 591, 668, 704, 1168, 4095}) {
            auto changed = raw;
            changed[static_cast<std::size_t>(offset)] = std::byte{1};
            seal(changed);
            CAPTURE(offset);
            CHECK(code_of(changed) == errc::none);
            CHECK(code_of(changed, reserved_bytes::checked) == errc::bad_header);
        }
    }
    SECTION("a read-only bit does not refuse") {
        store_le<std::uint64_t>(raw.data() + 32, 1);
        seal(raw);
        auto const read = database_header::decode(raw);
        REQUIRE(read);
        CHECK(is_read_only_format(read.value()));
    }
}

TEST_CASE("headers of any bytes are refused or plausible", "[page]") {
    auto const seed = GENERATE(take(1, random(0u, ~0u)));
    CAPTURE(seed);
    auto random = std::mt19937_64{seed};
    auto const sound = bytes_of(full_header());
    for (auto i = 0; i < 3000; ++i) {
        auto raw = sound;
        for (auto n = 1 + random() % 6; n > 0; --n)
            raw[24 + random() % 1200] = static_cast<std::byte>(random());
        if (i % 8 != 0) seal(raw);
        auto const read = database_header::decode(raw);
        if (!read) continue;
        CHECK(read.value().is_plausible());
        auto again = block{};
        read.value().encode(again);
        CHECK(database_header::decode(again).value() == read.value());
    }
}

TEST_CASE("the policies of an engine must be those of its files", "[page]") {
    auto const h = full_header();
    CHECK(h.check_policies(8192, 1));
    auto const size = h.check_policies(4096, 1);
    REQUIRE(size.has_error());
    CHECK(size.error().code == errc::page_size_mismatch);
    CHECK(size.error().found() == 8192);
    CHECK(size.error().expected() == 4096);
    CHECK(h.check_policies(8192, 2).error().code == errc::checksum_mismatch);
}

TEST_CASE("of two header copies the newest valid one holds", "[page]") {
    auto older = full_header();
    older.sequence = 4;
    auto newer = full_header();
    newer.sequence = 5;
    newer.state = database_state::dirty;
    auto a = bytes_of(older);
    auto b = bytes_of(newer);
    SECTION("B is newer") {
        auto const got = newest_of(a, b).value();
        CHECK(got.header == newer);
        CHECK(got.from == header_copy::b);
        CHECK(got.other_needs_rewrite);
    }
    SECTION("A is newer") {
        auto const got = newest_of(b, a).value();
        CHECK(got.header == newer);
        CHECK(got.from == header_copy::a);
    }
    SECTION("the newer one is torn") {
        b[1000] ^= std::byte{1};
        auto const got = newest_of(a, b).value();
        CHECK(got.header == older);
        CHECK(got.other_needs_rewrite);
    }
    SECTION("the other one was never written") {
        auto const got = newest_of(block{}, b).value();
        CHECK(got.header == newer);
        CHECK(got.other_needs_rewrite);
    }
    SECTION("both are broken") {
        b[1000] ^= std::byte{1};
        CHECK(newest_of(block{}, b).error().code == errc::bad_header);
        CHECK(newest_of(b, block{}).error().code == errc::bad_header);
        CHECK(newest_of(block{}, block{}).error().code == errc::bad_magic);
    }
    SECTION("a later version's copy refuses the file, older or newer") {
        store_le<std::uint64_t>(a.data() + 24, 1);
        seal(a);
        CHECK(newest_of(a, b).error().code == errc::unsupported_feature);
        CHECK(newest_of(b, a).error().code == errc::unsupported_feature);
        store_le<std::uint16_t>(a.data() + 20, 2);
        seal(a);
        CHECK(newest_of(b, a).error().code == errc::unsupported_format);
    }
    SECTION("a rotten version number is only rot") {
        store_le<std::uint16_t>(a.data() + 20, 2);
        CHECK(newest_of(a, b).value().header == newer);
    }
    SECTION("a light difference is no reason to rewrite") {
        auto light = older;
        light.sequence = 6;
        light.min_required_lsn = {0x5556};
        light.repaired = 9;
        light.pages_hint = 1;
        CHECK_FALSE(newest_of(a, bytes_of(light)).value().other_needs_rewrite);
    }
}

TEST_CASE("what identity or recovery relies on goes to both copies", "[page]") {
    auto const h = full_header();
    auto const heavy = [&](auto change) {
        auto changed = h;
        change(changed);
        return needs_both_copies(h, changed);
    };
    CHECK_FALSE(heavy([](auto& x) { x.sequence++; }));
    CHECK_FALSE(heavy([](auto& x) { x.min_required_lsn += 8; }));
    CHECK_FALSE(heavy([](auto& x) { x.scrub_next_page++; }));
    CHECK_FALSE(heavy([](auto& x) { x.scrubbed_at.ns++; }));
    CHECK_FALSE(heavy([](auto& x) { x.bad_checksums++; }));
    CHECK_FALSE(heavy([](auto& x) { x.pages_hint++; }));
    CHECK(heavy([](auto& x) { x.state = database_state::dirty; }));
    CHECK(heavy([](auto& x) { x.timeline = {1}; }));
    CHECK(heavy([](auto& x) { x.max_required_lsn += 8; }));
    CHECK(heavy([](auto& x) { x.max_lsn += 8; }));
    CHECK(heavy([](auto& x) { x.marks[2].end_lsn += 8; }));
    CHECK(heavy([](auto& x) { x.ancestor_count--; }));
    CHECK(heavy([](auto& x) { x.incompatible_bits = 1; }));
}

TEST_CASE("an older backup never replaces a newer mark", "[page]") {
    auto h = full_header();
    h.clear_marks();
    CHECK_FALSE(h.mark(mark_kind::full).exists());
    CHECK(h.stamp(mark_kind::full, {.set = id_of(1), .end_lsn = {100}}));
    CHECK_FALSE(h.stamp(mark_kind::full, {.set = id_of(2), .end_lsn = {99}}));
    CHECK(h.mark(mark_kind::full).set == id_of(1));
    CHECK(h.stamp(mark_kind::full, {.set = id_of(2), .end_lsn = {101}}));
    CHECK(h.mark(mark_kind::full).set == id_of(2));
    CHECK_FALSE(h.mark(mark_kind::copy).exists());
}

TEST_CASE("a fork makes the present timeline the newest ancestor", "[page]") {
    auto h = full_header();
    h.ancestor_count = 0;
    for (auto i = std::uint64_t{1}; i <= 40; ++i) {
        auto const parent = h.timeline;
        h.fork({i}, {i * 8});
        CHECK(h.timeline.value == i);
        CHECK(h.ancestry().front() == timeline_fork{parent, {i * 8}});
        CHECK_FALSE(h.mark(mark_kind::full).exists());
    }
    CHECK(h.ancestor_count == 31);
    CHECK(h.ancestry().back().fork_lsn.value == 10 * 8);
    CHECK(h.is_plausible());
}

} // namespace jetpp_test::database_header_cases
