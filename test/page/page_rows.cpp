#include <jetpp/page/page_rows.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../catch.hpp"
#include "model.hpp"

namespace jetpp_test::page_rows_cases {

using namespace jetpp;
using namespace page_test;

TEST_CASE("a row list reads back as it was written", "[page]") {
    std::byte raw[64];
    auto used = encode_row(raw, row_flags::ghost, as_bytes("ke"), as_bytes("y"), as_bytes("value"));
    used += encode_row(raw + used, row_flags::none, {}, {}, {});
    CHECK(used == 16 + 8);
    auto reader = row_reader{const_bytes{raw}.first(used)};
    auto row = page_row{};
    REQUIRE(reader.next(row));
    CHECK(row.flags == row_flags::ghost);
    CHECK(as_text(row.suffix) == "key");
    CHECK(as_text(row.value) == "value");
    REQUIRE(reader.next(row));
    CHECK(row.suffix.empty());
    CHECK_FALSE(reader.next(row));
    CHECK_FALSE(reader.bad());
}

TEST_CASE("a row list that ends too early or says too much is bad", "[page]") {
    std::byte raw[64];
    auto const used = encode_row(raw, row_flags::none, {}, as_bytes("key"), as_bytes("value"));
    auto row = page_row{};
    for (std::size_t n = 1; n < used; ++n) {
        auto reader = row_reader{const_bytes{raw}.first(n)};
        CHECK_FALSE(reader.next(row));
        CHECK(reader.bad());
    }
    for (auto const at : {0, 1, 3, 5, 6, 7}) {
        auto const kept = raw[at];
        raw[at] = std::byte{0xFF};
        auto reader = row_reader{const_bytes{raw}.first(used)};
        CHECK_FALSE(reader.next(row));
        CHECK(reader.bad());
        raw[at] = kept;
    }
}

} // namespace jetpp_test::page_rows_cases
