// tools/codecs.hpp - the codecs of the command: what it compresses with, and what it can read.
#pragma once

#include <jetpp/backup/lz4_codec.hpp>
#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/zstd_codec.hpp>

#include <charconv>
#include <string_view>
#include <system_error>

#include "failure.hpp"

namespace jetpp_tool {

inline constexpr auto known_codecs = jetpp::codec_list{{&jetpp::zstd_codec, &jetpp::lz4_codec}};

// "", "none", "lz4", "zstd" or "zstd:LEVEL".
[[nodiscard]] inline jetpp::codec_choice codec_of(std::string_view text) {
    if (text.empty() || text == "none") return {};
    auto const name = jetpp::codec_name(text);
    auto chosen = jetpp::codec_choice{.kind = known_codecs.find(name)};
    if (chosen.kind == nullptr) wrong_usage("--compress is none, lz4, zstd or zstd:LEVEL");
    if (name.size() == text.size()) return chosen;
    auto const digits = text.substr(name.size() + 1);
    auto level = 0;
    auto const end = digits.data() + digits.size();
    auto const [at, problem] = std::from_chars(digits.data(), end, level);
    if (at != end || problem != std::errc{} || level < chosen.kind->level_min ||
        level > chosen.kind->level_max)
        wrong_usage("--compress: the codec knows no such level");
    chosen.level = level;
    return chosen;
}

// What this run of the command reads sets with: set once, from the command line, before it begins.
[[nodiscard]] inline jetpp::set_access& brought_access() {
    static auto access = jetpp::set_access{.codecs = known_codecs};
    return access;
}

} // namespace jetpp_tool
