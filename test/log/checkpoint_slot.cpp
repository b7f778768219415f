#include <jetpp/env/native_environment.hpp>
#include <jetpp/log/checkpoint_slot.hpp>

#include <array>

#include "../catch.hpp"

namespace jetpp_test::checkpoint_slot_cases {

using namespace jetpp;

using env_type = memory_environment;

checkpoint_slot sample() {
    auto s = checkpoint_slot{
        .sequence = 5,
        .instance = make_uuid(3, 4),
        .timeline = timeline_id{11},
        .redo_lsn = lsn{100'000},
        .undo_low_lsn = lsn{90'000},
        .end_lsn = lsn{120'000},
        .generation = 2,
        .nonce = 0xBEEF,
        .written_at = {42},
        .clean = true,
        .incarnation = 9,
        .recoveries = 1,
        .database_count = 2,
        .segment_bytes = 256 * 1024,
        .page_bytes = 8192,
        .highest_seen = lsn{130'000},
    };
    s.databases[0] = {database_id{1}, 0, make_uuid(5, 6), lsn{77}};
    s.databases[1] = {database_id{65535}, 1, make_uuid(7, 8), lsn{78}};
    s.pins[15] = {
        .at = lsn{50'000},
        .byte_cap = 1 << 20,
        .created_at = {1},
        .kind = pin_kind::standby,
        .flags = named_pin::broken
    };
    return s;
}

using block = std::array<std::byte, checkpoint_slot::size>;

struct bed {
    env_type env{};
    env_type::directory where =
        env.storage.open_dir("db", directory_how::create_if_missing).value();
    auto open() { return checkpoint_file<env_type>::open_or_create(env, where); }
    void overwrite(std::uint64_t offset, const_bytes with) {
        auto file = where.open(checkpoint_file_name, open_how{}).value();
        REQUIRE(write_full(file, with, offset));
    }
};

TEST_CASE("a checkpoint slot reads as it was written", "[log][checkpoint]") {
    auto raw = block{};
    sample().encode(raw);
    auto const decoded = checkpoint_slot::decode(raw);
    REQUIRE(decoded);
    CHECK(decoded.value() == sample());
    CHECK(decoded.value().attached().size() == 2);
}

TEST_CASE("a checkpoint slot has its fields where the format says", "[log][checkpoint]") {
    auto raw = block{};
    sample().encode(raw);
    auto const* p = raw.data();
    CHECK(as_text({p + 8, 8}) == "JETPPCKP");
    CHECK(load_le<std::uint32_t>(p + 16) == 3);
    CHECK(load_le<std::uint64_t>(p + 32) == 5);
    CHECK(load_le<std::uint64_t>(p + 56) == 11);
    CHECK(load_le<std::uint64_t>(p + 64) == 100'000);
    CHECK(load_le<std::uint64_t>(p + 72) == 90'000);
    CHECK(load_le<std::uint64_t>(p + 80) == 120'000);
    CHECK(load_le<std::uint64_t>(p + 88) == 2);
    CHECK(load_le<std::uint64_t>(p + 96) == 0xBEEF);
    CHECK(load_le<std::uint64_t>(p + 104) == 42);
    CHECK(load_le<std::uint32_t>(p + 112) == 1);
    CHECK(load_le<std::uint32_t>(p + 116) == 9);
    CHECK(load_le<std::uint32_t>(p + 120) == 1);
    CHECK(load_le<std::uint32_t>(p + 124) == 2);
    CHECK(load_le<std::uint16_t>(p + 160) == 65535);
    CHECK(load_le<std::uint64_t>(p + 160 + 24) == 78);
    CHECK(load_le<std::uint64_t>(p + 640 + 15 * 48 + 16) == 50'000);
    CHECK(load_le<std::uint32_t>(p + 640 + 15 * 48 + 40) == 1);
    CHECK(load_le<std::uint32_t>(p + 1408) == 18);
    CHECK(load_le<std::uint32_t>(p + 1412) == 8192);
    CHECK(load_le<std::uint64_t>(p + 1416) == 130'000);
    CHECK(all_zero({p + 1424, 2672}));
}

TEST_CASE("every flipped byte of a checkpoint slot is noticed", "[log][checkpoint]") {
    auto whole = block{};
    sample().encode(whole);
    for (std::size_t i = 0; i < whole.size(); ++i) {
        auto raw = whole;
        raw[i] ^= std::byte{0x40};
        CAPTURE(i);
        REQUIRE_FALSE(checkpoint_slot::decode(raw));
    }
}

TEST_CASE(
    "a count of databases beyond the table is refused under a right checksum", "[log][checkpoint]"
) {
    auto raw = block{};
    sample().encode(raw);
    store_le<std::uint32_t>(raw.data() + 124, 17);
    detail::seal_block(raw);
    CHECK(checkpoint_slot::decode(raw).error().code == errc::bad_header);
    store_le<std::uint32_t>(raw.data() + 124, 2);
    store_le<std::uint32_t>(raw.data() + 1408, 200); // no shift by a number from the disk
    detail::seal_block(raw);
    CHECK(checkpoint_slot::decode(raw).error().code == errc::bad_header);
}

TEST_CASE("a new checkpoint file is empty under its final name", "[log][checkpoint]") {
    auto b = bed{};
    auto file = b.open();
    REQUIRE(file);
    CHECK(file.value().newest() == nullptr);
    CHECK(file.value().older() == nullptr);
    CHECK_FALSE(file.value().saw_damage());
    CHECK(b.where.open(file_name{"jet.ckp.tmp"}, open_how{}).error().code == errc::not_found);
    CHECK(b.where.open(checkpoint_file_name, open_how{}).value().size().value() == 8192);
}

TEST_CASE("slots are written alternately and the newest is found again", "[log][checkpoint]") {
    auto b = bed{};
    {
        auto file = b.open().value();
        for (std::uint32_t i = 1; i <= 5; ++i) {
            auto s = sample();
            s.incarnation = i;
            REQUIRE(file.write(s));
            CHECK(file.newest()->incarnation == i);
            CHECK(file.newest()->sequence == i);
            if (i > 1) CHECK(file.older()->incarnation == i - 1);
        }
    }
    auto again = b.open().value();
    CHECK(again.newest()->incarnation == 5);
    CHECK(again.older()->incarnation == 4);
}

TEST_CASE("a torn newest slot leaves the older one", "[log][checkpoint]") {
    auto b = bed{};
    {
        auto file = b.open().value();
        for (std::uint32_t i = 1; i <= 2; ++i) {
            auto s = sample();
            s.incarnation = i;
            REQUIRE(file.write(s));
        }
    }
    b.overwrite(4096 + 512, std::array<std::byte, 8>{std::byte{1}});
    {
        auto file = b.open().value();
        CHECK(file.saw_damage());
        CHECK(file.newest()->incarnation == 1);
        CHECK(file.older() == nullptr);
        auto s = sample();
        s.incarnation = 3;
        REQUIRE(file.write(s)); // over the damage, never over the last good slot
    }
    auto file = b.open().value();
    CHECK(file.newest()->incarnation == 3);
    CHECK(file.older()->incarnation == 1);
}

TEST_CASE("a slot of a later format stops the open", "[log][checkpoint]") {
    auto b = bed{};
    {
        auto file = b.open().value();
        REQUIRE(file.write(sample()));
    }
    auto raw = block{};
    sample().encode(raw);
    store_le<std::uint64_t>(raw.data() + 24, 4);
    detail::seal_block(raw);
    b.overwrite(4096, raw);
    CHECK(b.open().error().code == errc::unsupported_feature);
}

} // namespace jetpp_test::checkpoint_slot_cases
