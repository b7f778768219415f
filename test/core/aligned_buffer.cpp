#include <jetpp/core/aligned_buffer.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "../catch.hpp"

namespace jetpp_test::aligned_buffer_cases {

using namespace jetpp;

TEST_CASE("an aligned_buffer is zero and lies on a 4096 byte boundary", "[core]") {
    auto const size = GENERATE(std::size_t{1}, std::size_t{4096}, std::size_t{65536 + 8});
    auto made = aligned_buffer::create(size);
    REQUIRE(made.has_value());
    auto& buffer = made.value();
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096 == 0);
    CHECK(buffer.size() == size);
    CHECK(all_zero(buffer.all()));
    buffer.part(0, 1)[0] = std::byte{9};
    CHECK(buffer.data()[0] == std::byte{9});
}

TEST_CASE("a buffer larger than memory is out_of_memory", "[core]") {
    auto const made = aligned_buffer::create(std::size_t{1} << 60);
    REQUIRE(made.has_error());
    CHECK(made.error().code == errc::out_of_memory);
}

TEST_CASE("an aligned_buffer moves its memory along", "[core]") {
    auto first = aligned_buffer::create(4096).value();
    auto* const memory = first.data();
    auto second = std::move(first);
    CHECK(second.data() == memory);
    auto third = aligned_buffer{};
    third = std::move(second);
    CHECK(third.data() == memory);
    CHECK(third.size() == 4096);
}

} // namespace jetpp_test::aligned_buffer_cases
