// tools/escape.hpp - keys and values as words of a line, both ways.
//
// Bytes that would break a line are written \t \n \r \\ and, all other control bytes, \xNN; every
// other byte stays as it is, so that text in any encoding can be read. What write() gives, read()
// takes back: every byte string survives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace jetpp_tool {

// What of the bytes outside ASCII? A terminal shows them; JSON wants none that are not UTF-8.
enum class high_bytes : std::uint8_t { as_they_are, escaped };

inline void add_escaped(
    std::string& line, std::string_view raw, high_bytes high = high_bytes::as_they_are
) {
    constexpr auto digits = std::string_view{"0123456789abcdef"};
    for (auto const c : raw) {
        auto const byte = static_cast<unsigned char>(c);
        switch (c) {
        case '\t': line += "\\t"; continue;
        case '\n': line += "\\n"; continue;
        case '\r': line += "\\r"; continue;
        case '\\': line += "\\\\"; continue;
        default: break;
        }
        if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && high == high_bytes::escaped)) {
            line += "\\x";
            line += digits[byte >> 4];
            line += digits[byte & 15];
        } else {
            line += c;
        }
    }
}

[[nodiscard]] inline std::string escaped(
    std::string_view raw, high_bytes high = high_bytes::as_they_are
) {
    auto line = std::string{};
    add_escaped(line, raw, high);
    return line;
}

// Replaces what is in `into`. Returns: false if a backslash begins none of the five escapes.
[[nodiscard]] inline bool read_escaped(std::string_view word, std::string& into) {
    into.clear();
    auto const digit = [](char c) {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        return -1;
    };
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (word[i] != '\\') {
            into += word[i];
            continue;
        }
        if (++i == word.size()) return false;
        switch (word[i]) {
        case 't': into += '\t'; break;
        case 'n': into += '\n'; break;
        case 'r': into += '\r'; break;
        case '\\': into += '\\'; break;
        case 'x': {
            if (i + 2 >= word.size()) return false;
            auto const high = digit(word[i + 1]);
            auto const low = digit(word[i + 2]);
            if (high < 0 || low < 0) return false;
            into += static_cast<char>(high * 16 + low);
            i += 2;
            break;
        }
        default: return false;
        }
    }
    return true;
}

[[nodiscard]] inline std::optional<std::string> unescaped(std::string_view word) {
    auto raw = std::string{};
    if (!read_escaped(word, raw)) return std::nullopt;
    return raw;
}

} // namespace jetpp_tool
