// test/backup/stored_unit.cpp - zstd frames written by hand.
#include <jetpp/backup/stored_unit.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::stored_unit_cases {

using namespace jetpp;

using buffer = std::vector<std::byte>;

buffer noise(std::size_t size, unsigned seed = 1) {
    auto random = std::mt19937{seed};
    auto made = buffer(size);
    for (auto& b : made) b = static_cast<std::byte>(random());
    return made;
}
buffer stored(buffer const& raw) {
    auto unit = buffer(stored_bytes_max(raw.size()));
    unit.resize(encode_raw_unit(raw, unit));
    return unit;
}

TEST_CASE("a unit of noise takes 25 bytes more, one of zeros 29 bytes in all", "[backup][unit]") {
    CHECK(stored(noise(run_bytes)).size() == run_bytes + 25);
    CHECK(stored(buffer(run_bytes)).size() == 29);
}

TEST_CASE("a unit gives its content back", "[backup][unit]") {
    for (auto const size :
         {std::size_t{1},
          std::size_t{4096},
          std::size_t{131071},
          std::size_t{131072},
          std::size_t{131073},
          std::size_t{524288}}) {
        for (auto const zeros : {false, true}) {
            auto raw = zeros ? buffer(size) : noise(size);
            if (size > 300000) std::fill_n(raw.begin() + 131072, 131072, std::byte{0});
            auto const unit = stored(raw);
            auto back = buffer(size, std::byte{0xEE});
            CAPTURE(size, zeros);
            REQUIRE(decode_raw_unit(unit, back));
            CHECK(back == raw);
        }
    }
}

TEST_CASE("every flipped byte and every prefix of a unit is refused", "[backup][unit]") {
    auto raw = noise(5000);
    raw.resize(131072 + 300); // a raw block, then a short run of zeros
    auto const unit = stored(raw);
    auto back = buffer(raw.size());
    for (std::size_t i = 0; i < unit.size(); i += i < 40 || i + 40 > unit.size() ? 1U : 97U) {
        auto bad = unit;
        bad[i] ^= std::byte{0x10};
        CAPTURE(i);
        CHECK_FALSE(decode_raw_unit(bad, back));
        CHECK_FALSE(decode_raw_unit(const_bytes{unit}.first(i), back));
    }
    auto longer = unit;
    longer.push_back(std::byte{0});
    CHECK_FALSE(decode_raw_unit(longer, back));
    CHECK_FALSE(decode_raw_unit(unit, bytes{back}.first(back.size() - 1)));
}

TEST_CASE("what is zero in the middle of a page takes a few bytes", "[backup][unit]") {
    auto random = std::mt19937{7};
    for (auto turn = 0u; turn < 300; ++turn) {
        auto raw = noise(1 + random() % 300'000, turn + 1);
        auto zeros = std::size_t{0};
        auto runs = std::size_t{0};
        for (auto at = std::size_t{0};;) {
            at += 1 + random() % 20'000;
            auto const run = random() % 9000;
            if (at + run >= raw.size()) break;
            std::fill_n(raw.begin() + static_cast<std::ptrdiff_t>(at), run, std::byte{0});
            raw[at + run] = std::byte{1};
            if (run >= 256) zeros += run, ++runs;
            at += run;
        }
        auto const unit = stored(raw);
        CAPTURE(turn, raw.size(), zeros, runs);
        CHECK(unit.size() <= raw.size() - zeros + 13 + 3 * (raw.size() / 131072 + 1) + 7 * runs);
        auto back = buffer(raw.size(), std::byte{0xEE});
        REQUIRE(decode_raw_unit(unit, back));
        CHECK(back == raw);
    }
}

TEST_CASE("a unit is never longer than its room, whatever is zero in it", "[backup][unit]") {
    for (auto const run : {std::size_t{255}, std::size_t{256}, std::size_t{257}})
        for (auto between : {std::size_t{1}, std::size_t{2}, std::size_t{127}}) {
            auto raw = buffer(run_bytes);
            for (auto at = std::size_t{0}; at + between < raw.size(); at += run + between)
                std::fill_n(raw.begin() + static_cast<std::ptrdiff_t>(at), between, std::byte{9});
            CAPTURE(run, between);
            auto const unit = stored(raw);
            CHECK(unit.size() <= stored_bytes_max(raw.size()));
            auto back = buffer(raw.size());
            REQUIRE(decode_raw_unit(unit, back));
            CHECK(back == raw);
        }
}

// A frame of blocks {last and type, size, content} and the sum of `raw`.
buffer frame_of(buffer const& raw, std::vector<std::pair<std::uint32_t, buffer>> const& blocks) {
    auto unit = buffer(9);
    store_le<std::uint32_t>(unit.data(), 0xFD2FB528);
    unit[4] = std::byte{0xA4};
    store_le<std::uint32_t>(unit.data() + 5, static_cast<std::uint32_t>(raw.size()));
    for (auto const& [head, content] : blocks) {
        for (auto shift : {0, 8, 16}) unit.push_back(static_cast<std::byte>(head >> shift & 0xFF));
        unit.insert(unit.end(), content.begin(), content.end());
    }
    auto const sum = static_cast<std::uint32_t>(XXH64(raw.data(), raw.size(), 0));
    for (auto shift : {0, 8, 16, 24}) unit.push_back(static_cast<std::byte>(sum >> shift & 0xFF));
    return unit;
}

TEST_CASE("blocks of zstd that are not ours are refused", "[backup][unit]") {
    auto const raw = buffer(64);
    auto const zero = buffer(1);
    auto back = buffer(64, std::byte{0xEE});
    auto const takes = [&](std::vector<std::pair<std::uint32_t, buffer>> const& blocks) {
        return decode_raw_unit(frame_of(raw, blocks), back);
    };
    auto const raw_block = [](std::uint32_t size, bool last) {
        return size << 3 | (last ? 1u : 0u);
    };
    auto const run = [](std::uint32_t size, bool last) {
        return size << 3 | 2u | (last ? 1u : 0u);
    };
    CHECK(takes({{run(64, true), zero}}));
    CHECK(takes({{raw_block(64, true), raw}})); // as an encoder may that does not look for zeros
    CHECK(takes({{run(60, false), zero}, {raw_block(4, true), buffer(4)}}));
    CHECK_FALSE(takes({{run(64, false), zero}}));                           // no last
    CHECK_FALSE(takes({{run(32, true), zero}, {run(32, true), zero}}));     // two
    CHECK_FALSE(takes({{run(0, false), zero}, {run(64, true), zero}}));     // empty
    CHECK_FALSE(takes({{run(64, false), zero}, {raw_block(0, true), {}}})); // behind it
    CHECK_FALSE(takes({{run(65, true), zero}}));                            // too much
    CHECK_FALSE(takes({{run(63, true), zero}}));                            // too little
    CHECK_FALSE(takes({{run(64, true), buffer(1, std::byte{7})}}));         // no zeros
    CHECK_FALSE(takes({{64u << 3 | 4u | 1u, raw}}));                        // compressed
    CHECK_FALSE(takes({{64u << 3 | 6u | 1u, raw}}));                        // reserved
    auto const large = buffer(131073);
    auto room = buffer(large.size());
    CHECK_FALSE(decode_raw_unit(frame_of(large, {{run(131073, true), zero}}), room));
}

TEST_CASE("wrapped bytes come back, others do not", "[backup][unit]") {
    auto const content = noise(100);
    auto unit = buffer(108);
    REQUIRE(encode_wrapped_unit(content, unit) == 108);
    auto const back = decode_wrapped_unit(unit);
    CHECK(buffer(back.begin(), back.end()) == content);
    CHECK(decode_wrapped_unit(const_bytes{unit}.first(107)).data() == nullptr);
    CHECK(decode_wrapped_unit(const_bytes{unit}.first(3)).data() == nullptr);
    unit[0] ^= std::byte{1};
    CHECK(decode_wrapped_unit(unit).data() == nullptr);
}

TEST_CASE("stock zstd takes a unit and gives its content", "[backup][unit]") {
    if (std::system("zstd -V > /dev/null 2>&1") != 0) {
        WARN("zstd is not installed: the check against it was left out");
        return;
    }
    namespace fs = std::filesystem;
    auto raw = noise(300000);
    std::fill_n(raw.begin() + 131072, 131072, std::byte{0});
    auto const unit = stored(raw);
    auto const path = (fs::temp_directory_path() / "jetpp-unit-test.zst").string();
    std::ofstream{path, std::ios::binary}.write(
        reinterpret_cast<char const*>(unit.data()), static_cast<std::streamsize>(unit.size())
    );
    CHECK(std::system(("zstd -tq " + path).c_str()) == 0);
    CHECK(std::system(("zstd -dqf " + path + " -o " + path + ".raw").c_str()) == 0);
    auto in = std::ifstream{path + ".raw", std::ios::binary};
    auto const text = std::string{std::istreambuf_iterator<char>{in}, {}};
    CHECK(text == as_text(raw));
    fs::remove(path);
    fs::remove(path + ".raw");
}

} // namespace jetpp_test::stored_unit_cases
