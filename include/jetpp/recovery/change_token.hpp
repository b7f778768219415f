// jetpp/recovery/change_token.hpp - where a reader of changes stopped, as text it can keep.
//
// Keep the token of the last transaction that was dealt with, together with what was made of it: a
// stream opened from it goes on with the next one, none missed, none twice.
//     instance-timeline-last-scan-sum      32, 16, 16, 16 and 8 hex digits
//   last   the commit record that was handed out last; 0: none yet
//   scan   where reading must begin to have all of what was unfinished then
// The sum keeps a token that was cut or mistyped from being believed.
// Threads  a value.
#pragma once

#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace jetpp::inline v1 {

struct change_token {
    static constexpr std::size_t text_size = 32 + 3 * 17 + 9;

    uuid instance{};
    timeline_id timeline{}; // of the segment in which `last` stands
    lsn last{};
    lsn scan{}; // 0: from the oldest record on

    friend constexpr bool operator==(change_token const&, change_token const&) noexcept = default;

    [[nodiscard]] std::array<char, text_size> text() const noexcept;
    // Errors: invalid_argument.
    [[nodiscard]] static result<change_token> parse(std::string_view text) noexcept;
};

namespace detail {

inline void put_hex(char* at, std::uint64_t number, std::size_t digits) noexcept {
    for (std::size_t i = 0; i < digits; ++i)
        at[i] = "0123456789abcdef"[number >> (4 * (digits - 1 - i)) & 15];
}
[[nodiscard]] inline bool take_hex(std::string_view text, std::uint64_t& into) noexcept {
    into = 0;
    for (auto const c : text) {
        auto const digit = c >= '0' && c <= '9'   ? c - '0'
                           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                  : -1;
        if (digit < 0) return false;
        into = into << 4 | static_cast<std::uint64_t>(digit);
    }
    return true;
}

} // namespace detail

inline std::array<char, change_token::text_size> change_token::text() const noexcept {
    auto all = std::array<char, text_size>{};
    auto const id = hex_of(instance);
    for (std::size_t i = 0; i < id.size(); ++i) all[i] = id[i];
    auto at = id.size();
    for (auto const number : {timeline.value, last.value, scan.value}) {
        all[at] = '-';
        detail::put_hex(all.data() + at + 1, number, 16);
        at += 17;
    }
    auto const sum = crc32c_of(as_bytes(std::string_view{all.data(), at}));
    all[at] = '-';
    detail::put_hex(all.data() + at + 1, sum, 8);
    return all;
}

inline result<change_token> change_token::parse(std::string_view text) noexcept {
    auto const refused = error{.code = errc::invalid_argument};
    if (text.size() != text_size) return refused;
    auto sum = std::uint64_t{0};
    auto const body = text.substr(0, text_size - 9);
    if (text[text_size - 9] != '-' || !detail::take_hex(text.substr(text_size - 8), sum) ||
        sum != crc32c_of(as_bytes(body)))
        return refused;
    auto token = change_token{};
    for (std::size_t i = 0; i < 16; ++i) {
        auto byte = std::uint64_t{0};
        if (!detail::take_hex(body.substr(2 * i, 2), byte)) return refused;
        token.instance.raw[i] = static_cast<std::byte>(byte);
    }
    auto at = std::size_t{32};
    for (auto* const number : {&token.timeline.value, &token.last.value, &token.scan.value}) {
        if (body[at] != '-' || !detail::take_hex(body.substr(at + 1, 16), *number)) return refused;
        at += 17;
    }
    if (token.scan > token.last && token.last) return refused;
    return token;
}

} // namespace jetpp::inline v1
