// tools/log_text.hpp - one log record, or one committed change, as a line of text or of JSON.
//
// Both come from one description, so that neither knows more than the other. LSNs, generations and
// sizes of 64 bits are decimal strings (no reader rounds them), uuids, timelines and nonces
// hexadecimal ones; keys and values are escaped as load and scan do, with every byte that is not
// ASCII written \xNN.
#pragma once

#include <jetpp/log/log_record.hpp>
#include <jetpp/recovery/change_token.hpp>
#include <jetpp/recovery/logged_change.hpp>

#include <string>

#include <nlohmann/json.hpp>

namespace jetpp_tool {

[[nodiscard]] nlohmann::ordered_json describe_record(jetpp::log_record const& record);

// A transaction without its changes; `token` goes on behind it.
[[nodiscard]] nlohmann::ordered_json describe_transaction(
    jetpp::committed_transaction const& done, jetpp::change_token const& token
);
[[nodiscard]] nlohmann::ordered_json describe_change(jetpp::logged_change const& change);

// "LSN type name=value ...", long bytes cut.
[[nodiscard]] std::string line_of(nlohmann::ordered_json const& described);

[[nodiscard]] std::string text_of(jetpp::uuid const& id);
[[nodiscard]] std::string text_of(jetpp::wall_time when); // UTC
[[nodiscard]] std::string hex_of(std::uint64_t number);

} // namespace jetpp_tool
