#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>

#include <string_view>
#include <type_traits>

#include "../catch.hpp"

namespace jetpp_test::ids_cases {

using namespace jetpp;

static_assert(!std::is_convertible_v<std::uint32_t, page_number>);
static_assert(!std::is_convertible_v<page_number, tree_id>);
static_assert(!std::is_convertible_v<std::uint64_t, lsn>);
static_assert(!std::is_convertible_v<lsn, timeline_id>);
static_assert(page_number{3} + 4 == page_number{7});
static_assert(lsn{10} + 5 == lsn{15});
static_assert(lsn{15} - lsn{10} == 5);
static_assert(!no_lsn);
static_assert(earlier(lsn{1}, lsn{2}) == lsn{1});
static_assert(later(lsn{1}, lsn{2}) == lsn{2});
static_assert(timeline_id{0x0102030405060708}.low() == 0x05060708);

TEST_CASE(
    "a random uuid says that it is of version 4 and prints in the order of its bytes", "[core]"
) {
    auto const id = make_uuid(0x00112233445566FFu, 0xFFEEDDCCBBAA9988u);
    auto const text = hex_of(id);
    CHECK(std::string_view{text.data(), text.size()} == "00112233445546ffbfeeddccbbaa9988");
    CHECK_FALSE(id.is_nil());
    CHECK(uuid{}.is_nil());
    CHECK(make_uuid(1, 2) == make_uuid(1, 2));
    CHECK_FALSE(make_uuid(1, 2) == make_uuid(1, 3));
}

} // namespace jetpp_test::ids_cases
