// test/backup/stored_unit.cpp - zstd frames written by hand.
#include <jetpp/backup/stored_unit.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
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

TEST_CASE("one content has one stored form", "[backup][unit]") {
    // Zeros as a raw block, with the right sum: a decoder of zstd would take it.
    auto const raw = buffer(64);
    auto unit = buffer(9 + 3 + 64 + 4);
    store_le<std::uint32_t>(unit.data(), 0xFD2FB528);
    unit[4] = std::byte{0xA4};
    store_le<std::uint32_t>(unit.data() + 5, 64);
    store_le<std::uint16_t>(unit.data() + 9, 64 << 3 | 1);
    auto const sum = XXH64(raw.data(), raw.size(), 0);
    store_le<std::uint32_t>(unit.data() + 76, static_cast<std::uint32_t>(sum));
    auto back = buffer(64);
    CHECK_FALSE(decode_raw_unit(unit, back));
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
