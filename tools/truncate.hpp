// tools/truncate.hpp - what a truncation did, for those who read it.
#pragma once

#include <jetpp/recovery/truncation.hpp>

#include <nlohmann/json.hpp>

namespace jetpp_tool {

// One line, one for each database that is exempt from backups, and one for each holder if `all`.
void print_truncation(jetpp::truncation_report const& report, bool all);
[[nodiscard]] nlohmann::ordered_json json_of(jetpp::truncation_report const& report);

} // namespace jetpp_tool
