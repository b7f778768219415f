// tools/log_text.hpp - one log record as a line of text or of JSON.
//
// Both come from one description, so that neither knows more than the other. LSNs, generations and
// sizes of 64 bits are decimal strings (no reader rounds them), uuids, timelines and nonces
// hexadecimal ones; keys and values are escaped as load and scan do, with every byte that is not
// ASCII written \xNN.
#pragma once

#include <jetpp/log/log_record.hpp>

#include <string>

#include <nlohmann/json.hpp>

namespace jetpp_tool {

[[nodiscard]] nlohmann::ordered_json describe_record(jetpp::log_record const& record);

// "LSN type name=value ...", long bytes cut.
[[nodiscard]] std::string line_of(nlohmann::ordered_json const& described);

[[nodiscard]] std::string text_of(jetpp::uuid const& id);
[[nodiscard]] std::string text_of(jetpp::wall_time when); // UTC
[[nodiscard]] std::string hex_of(std::uint64_t number);

} // namespace jetpp_tool
