// jetpp/core/utf8.hpp - is a text that others will read UTF-8?
//
// Threads  pure functions.
// Source   RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string_view>

namespace jetpp::inline v1 {

[[nodiscard]] constexpr bool is_utf8(std::string_view text) noexcept {
    auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    for (std::size_t i = 0; i < text.size();) {
        auto const first = byte(i);
        auto more = std::size_t{0};
        auto low = 0x80U; // of the second byte: what keeps overlong forms and surrogates out
        auto high = 0xBFU;
        if (first >= 0xF0) {
            if (first > 0xF4) return false;
            more = 3;
            if (first == 0xF0) low = 0x90;
            if (first == 0xF4) high = 0x8F;
        } else if (first >= 0xE0) {
            more = 2;
            if (first == 0xE0) low = 0xA0;
            if (first == 0xED) high = 0x9F;
        } else if (first >= 0xC2) {
            more = 1;
        } else if (first >= 0x80) {
            return false;
        }
        if (text.size() - i <= more) return false;
        for (std::size_t k = 1; k <= more; ++k) {
            if (byte(i + k) < low || byte(i + k) > high) return false;
            low = 0x80;
            high = 0xBF;
        }
        i += more + 1;
    }
    return true;
}

} // namespace jetpp::inline v1
