#include <jetpp/env/file_name.hpp>

#include <string>
#include <string_view>

#include "world.hpp"

namespace jetpp_test::file_name_cases {

using namespace jetpp;

static_assert(file_name{"jet.log"}.view() == "jet.log");
static_assert(file_name{}.empty());
static_assert(file_name{"jet-"}.add_hex16(0x1F).view() == "jet-000000000000001f");
static_assert(file_name::make("a").value() < file_name::make("b").value());
static_assert(!file_name::make(".."));

TEST_CASE("whatever could leave a directory or confuse a person is no file name", "[env]") {
    for (auto const* text :
         {"",
          ".",
          "..",
          "-rf",
          "a/b",
          "/",
          "/etc",
          "a\\b",
          "a\nb",
          "a\x7F"
          "b",
          "\x01"})
        CHECK(code_of(file_name::make(text)) == errc::unsafe_name);
    CHECK(code_of(file_name::make(std::string_view{"a\0b", 3})) == errc::unsafe_name);
    CHECK(code_of(file_name::make(std::string(128, 'x'))) == errc::unsafe_name);
    for (auto const* text : {"a", "...", ".hidden", "jet.log", "a b", "a-b", "\xC3\xA9"})
        CHECK(good(file_name::make(text)).view() == text);
    auto const longest = std::string(127, 'x');
    CHECK(good(file_name::make(longest)).view() == longest);
    CHECK(std::string_view{good(file_name::make(longest)).c_str()} == longest);
}

} // namespace jetpp_test::file_name_cases
