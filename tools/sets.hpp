// tools/sets.hpp - info and verify where backup sets are.
#pragma once

#include <string>

#include "commands.hpp"

namespace jetpp_tool {

// Return: false if the path is neither a repository nor a set.
[[nodiscard]] bool print_sets(info_request const& request);
[[nodiscard]] bool verify_sets(verify_request const& request);

} // namespace jetpp_tool
