#include <jetpp/simulation/choice_tape.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::choice_tape_cases {

using namespace jetpp;

std::vector<std::uint64_t> some_choices(choice_tape& tape) {
    auto made = std::vector<std::uint64_t>{};
    for (auto const n : {2u, 7u, 1u, 256u, 257u, 65536u, 65537u, 4000000000u})
        made.push_back(tape.pick(n));
    made.push_back(tape.pick(std::uint64_t{1} << 40));
    return made;
}

TEST_CASE("a recorded tape gives the same choices again", "[simulation]") {
    auto tape = choice_tape{42};
    auto const first = some_choices(tape);
    auto again = tape.rewound();
    CHECK(some_choices(again) == first);
    CHECK(again.position() == again.recorded().size());

    // What lies beyond the end comes from the seed, and is the same for the same seed.
    auto other = choice_tape{42, tape.recorded()};
    CHECK(some_choices(other) == first);
    CHECK(other.pick(1000) == again.pick(1000));
}

TEST_CASE("a tape survives its printed form", "[simulation]") {
    auto tape = choice_tape{0xFEDCBA9876543210u};
    auto const first = some_choices(tape);
    auto const text = tape.hex();
    INFO(text);
    auto read = choice_tape::from_hex(text);
    REQUIRE(read);
    CHECK(read->seed() == tape.seed());
    CHECK(read->recorded() == tape.recorded());
    CHECK(some_choices(*read) == first);

    CHECK_FALSE(choice_tape::from_hex(""));
    CHECK_FALSE(choice_tape::from_hex("0123456789abcdef"));
    CHECK_FALSE(choice_tape::from_hex("0123456789abcdef:0"));
    CHECK_FALSE(choice_tape::from_hex("0123456789abcdef:0g"));
    CHECK_FALSE(choice_tape::from_hex("0123456789abcdeX:00"));
    CHECK(choice_tape::from_hex("0123456789abcdef:"));
}

TEST_CASE("a tape of zeros is the dullest run", "[simulation]") {
    auto tape = choice_tape{7, std::vector<std::uint8_t>(64)};
    CHECK(tape.pick(10) == 0);
    CHECK(tape.pick(1000) == 0);
    CHECK_FALSE(tape.chance(1, 2));
    CHECK_FALSE(tape.chance(99, 100));
    CHECK(tape.chance(1, 1));
    CHECK_FALSE(tape.chance(0, 1));
}

TEST_CASE("a tape that ends inside a choice still answers within bounds", "[simulation]") {
    for (std::size_t length = 0; length < 9; ++length) {
        auto tape = choice_tape{7, std::vector<std::uint8_t>(length, 0xFF)};
        CHECK(tape.pick(std::uint64_t{1} << 60) < std::uint64_t{1} << 60);
        CHECK(tape.pick(3) < 3);
    }
}

TEST_CASE("beyond a dull end stand zeros, and they are not recorded", "[simulation]") {
    auto tape = choice_tape{7, {5}, tape_end::dull};
    CHECK(tape.pick(10) == 5);
    for (int i = 0; i < 100; ++i) CHECK(tape.pick(10) == 0);
    CHECK(tape.recorded().size() == 1);
    CHECK(tape.hex() == "0000000000000007:05.");
    auto again = choice_tape::from_hex(tape.hex());
    REQUIRE(again);
    CHECK(again->pick(10) == 5);
    CHECK(again->pick(10) == 0);
}

TEST_CASE("choices are even and chances keep their rate", "[simulation]") {
    auto tape = choice_tape{1};
    auto counts = std::array<int, 6>{};
    auto hits = 0;
    for (int i = 0; i < 60000; ++i) {
        ++counts[static_cast<std::size_t>(tape.pick(6))];
        hits += tape.chance(1, 4) ? 1 : 0;
    }
    for (auto const count : counts) CHECK((count > 9500 && count < 10500));
    CHECK((hits > 14500 && hits < 15500));
}

TEST_CASE("the seed alone fixes the choices on every platform", "[simulation]") {
    auto tape = choice_tape{1};
    CHECK(tape.entropy() != tape.entropy());
    auto first = std::vector<std::uint64_t>{};
    for (int i = 0; i < 8; ++i) first.push_back(tape.pick(100));
    CHECK(first == std::vector<std::uint64_t>{57, 22, 0, 83, 71, 62, 86, 29});
}

} // namespace jetpp_test::choice_tape_cases
