// tools/sets.hpp - info and verify where backup sets are.
#pragma once

#include <string>

namespace jetpp_tool {

// Return: false if the path is neither a repository nor a set.
[[nodiscard]] bool print_sets(std::string const& path);
// `scratch`: where sets are restored and thrown away; empty: a place for temporary files.
[[nodiscard]] bool verify_sets(std::string const& path, std::string const& scratch);

} // namespace jetpp_tool
