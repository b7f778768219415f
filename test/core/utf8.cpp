// test/core/utf8.cpp - the edges of UTF-8.
#include <jetpp/core/utf8.hpp>

#include "../catch.hpp"

namespace jetpp_test::utf8_cases {

using jetpp::is_utf8;

TEST_CASE("UTF-8 is what RFC 3629 says, and nothing near it", "[core][utf8]") {
    static_assert(is_utf8(""));
    static_assert(is_utf8("plain"));
    static_assert(is_utf8("\xC2\x80 \xDF\xBF"));
    static_assert(is_utf8("\xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80 \xEF\xBF\xBF"));
    static_assert(is_utf8("\xF0\x90\x80\x80 \xF4\x8F\xBF\xBF"));
    for (auto const* const bad :
         {"\x80",
          "\xBF",
          "\xC0\x80",
          "\xC1\xBF",
          "\xC2",
          "\xC2 ",
          "\xE0\x9F\xBF",
          "\xED\xA0\x80",
          "\xE1\x80",
          "\xE1\x80 ",
          "\xF0\x8F\xBF\xBF",
          "\xF4\x90\x80\x80",
          "\xF1\x80\x80",
          "\xF5\x80\x80\x80",
          "\xFF"})
        CHECK_FALSE(is_utf8(bad));
}

} // namespace jetpp_test::utf8_cases
