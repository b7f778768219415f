// test/tools/escape.cpp - words of lines, both ways.
#include "../../tools/escape.hpp"

#include <cstdint>
#include <random>
#include <string>

#include "../catch.hpp"

using namespace jetpp_tool;

TEST_CASE("bytes that would break a line are escaped, all others stay", "[tools]") {
    CHECK(escaped("plain text") == "plain text");
    CHECK(escaped("a\tb\nc\rd\\e") == "a\\tb\\nc\\rd\\\\e");
    CHECK(escaped(std::string{"\0\x1f\x7f", 3}) == "\\x00\\x1f\\x7f");
    CHECK(escaped("\xc3\xa4\xff") == "\xc3\xa4\xff");
    CHECK(escaped("\xc3\xa4\xff", high_bytes::escaped) == "\\xc3\\xa4\\xff");
}

TEST_CASE("every byte string comes back as it was", "[tools]") {
    auto const seed = GENERATE(take(50, random(0u, ~0u)));
    CAPTURE(seed);
    auto chance = std::mt19937{seed};
    auto raw = std::string(chance() % 300, '\0');
    for (auto& c : raw) c = static_cast<char>(chance() % 256);
    for (auto const high : {high_bytes::as_they_are, high_bytes::escaped}) {
        auto const word = escaped(raw, high);
        CHECK(word.find_first_of("\t\n\r") == word.npos);
        CHECK(unescaped(word) == raw);
    }
}

TEST_CASE("a backslash that begins no escape is refused", "[tools]") {
    for (auto const* word : {"\\", "\\q", "\\x", "\\x1", "\\xg0", "\\x0g", "a\\"})
        CHECK_FALSE(unescaped(word));
    CHECK(unescaped("\\xfF") == "\xff");
    CHECK(unescaped("\\x41B") == "AB");
}
