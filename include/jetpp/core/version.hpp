// jetpp/core/version.hpp - which release of jetpp these headers are.
//
// For people and for conditions on what the headers offer. What a build can read is not told by it:
// files carry the version of their format.
#pragma once

#include <string_view>

namespace jetpp::inline v1 {

inline constexpr auto version_number = 0 * 10'000 + 1 * 100 + 0; // major, minor, patch
inline constexpr std::string_view version_text{"0.1.0"};

} // namespace jetpp::inline v1
