// jetpp/backup/utc_text.hpp - wall times as people write them, in UTC: 2025-03-01T12:00:00Z.
//
// For manifests and names, to be read by people: no rule of backup or restore compares them.
// Threads  pure functions.
// Source   Howard Hinnant, "chrono-compatible low-level date algorithms" (civil_from_days).
#pragma once

#include <jetpp/env/runtime.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace jetpp::inline v1 {

struct civil_time {
    std::int64_t year{};
    unsigned month{}; // 1..12
    unsigned day{};   // 1..31
    unsigned hour{};
    unsigned minute{};
    unsigned second{};
    unsigned microsecond{};
    friend constexpr bool operator==(civil_time const&, civil_time const&) noexcept = default;
};

[[nodiscard]] constexpr civil_time civil_of(wall_time time) noexcept {
    constexpr auto day_ns = std::int64_t{86'400'000'000'000};
    auto days = time.ns / day_ns;
    auto rest = time.ns % day_ns;
    if (rest < 0) rest += day_ns, --days;
    days += 719'468; // since 0000-03-01
    auto const era = (days >= 0 ? days : days - 146'096) / 146'097;
    auto const of_era = static_cast<unsigned>(days - era * 146'097);
    auto const year = (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
    auto const of_year = of_era - (365 * year + year / 4 - year / 100);
    auto const march = (5 * of_year + 2) / 153;
    auto const micro = rest / 1000;
    auto const month = march < 10 ? march + 3 : march - 9;
    return {
        .year = static_cast<std::int64_t>(year) + era * 400 + (month <= 2 ? 1 : 0),
        .month = month,
        .day = of_year - (153 * march + 2) / 5 + 1,
        .hour = static_cast<unsigned>(micro / 3'600'000'000),
        .minute = static_cast<unsigned>(micro / 60'000'000 % 60),
        .second = static_cast<unsigned>(micro / 1'000'000 % 60),
        .microsecond = static_cast<unsigned>(micro % 1'000'000),
    };
}

[[nodiscard]] constexpr wall_time wall_of(civil_time const& t) noexcept {
    auto const year = t.month <= 2 ? t.year - 1 : t.year;
    auto const era = (year >= 0 ? year : year - 399) / 400;
    auto const of_era = static_cast<unsigned>(year - era * 400);
    auto const march = t.month > 2 ? t.month - 3 : t.month + 9;
    auto const of_year = (153 * march + 2) / 5 + t.day - 1;
    auto const day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    auto const days = era * 146'097 + static_cast<std::int64_t>(day_of_era) - 719'468;
    auto const seconds = (days * 24 + t.hour) * 3600 + t.minute * 60 + t.second;
    return {(seconds * 1'000'000 + t.microsecond) * 1000};
}

// Text that lives in itself.
class utc_text {
public:
    [[nodiscard]] constexpr std::string_view view() const noexcept { return {text_.data(), size_}; }

    // 2025-03-01T12:00:00Z
    [[nodiscard]] static constexpr utc_text seconds(wall_time time) noexcept {
        return written(civil_of(time), false, true);
    }
    // 2025-03-01T12:00:00.123456Z
    [[nodiscard]] static constexpr utc_text microseconds(wall_time time) noexcept {
        return written(civil_of(time), true, true);
    }
    // 20250301T120000Z, as names of sets begin
    [[nodiscard]] static constexpr utc_text compact(wall_time time) noexcept {
        return written(civil_of(time), false, false);
    }

private:
    [[nodiscard]] static constexpr utc_text written(
        civil_time const& t, bool fraction, bool separators
    ) noexcept {
        auto made = utc_text{};
        auto const separate = [&](char c) {
            if (separators) made.add(c);
        };
        made.number(t.year < 0 || t.year > 9999 ? 0 : static_cast<unsigned>(t.year), 4);
        separate('-');
        made.number(t.month, 2);
        separate('-');
        made.number(t.day, 2);
        made.add('T');
        made.number(t.hour, 2);
        separate(':');
        made.number(t.minute, 2);
        separate(':');
        made.number(t.second, 2);
        if (fraction) {
            made.add('.');
            made.number(t.microsecond, 6);
        }
        made.add('Z');
        return made;
    }
    constexpr void add(char c) noexcept { text_[size_++] = c; }
    constexpr void number(unsigned value, std::size_t digits) noexcept {
        for (auto i = digits; i-- > 0; value /= 10)
            text_[size_ + i] = static_cast<char>('0' + value % 10);
        size_ += digits;
    }

    std::array<char, 32> text_{};
    std::size_t size_ = 0;
};

// Reads both forms with separators. Returns: nothing for any other text, nor for a year that
// nanoseconds in 64 bits do not hold whole.
[[nodiscard]] constexpr std::optional<wall_time> parse_utc(std::string_view text) noexcept {
    if (text.size() != 20 && text.size() != 27) return std::nullopt;
    auto at = std::size_t{0};
    auto good = true;
    auto const number = [&](std::size_t digits) {
        auto value = 0U;
        for (std::size_t i = 0; i < digits; ++i, ++at) {
            good = good && text[at] >= '0' && text[at] <= '9';
            value = value * 10 + static_cast<unsigned>(text[at] - '0');
        }
        return value;
    };
    auto const expect = [&](char c) { good = good && text[at++] == c; };
    auto t = civil_time{};
    t.year = number(4);
    expect('-');
    t.month = number(2);
    expect('-');
    t.day = number(2);
    expect('T');
    t.hour = number(2);
    expect(':');
    t.minute = number(2);
    expect(':');
    t.second = number(2);
    if (text.size() == 27) {
        expect('.');
        t.microsecond = number(6);
    }
    expect('Z');
    if (!good || t.year < 1678 || t.year > 2261 || t.month < 1 || t.month > 12 || t.day < 1 ||
        t.day > 31 || t.hour > 23 || t.minute > 59 || t.second > 60)
        return std::nullopt;
    return wall_of(t);
}

static_assert(utc_text::seconds({1'740'830'400'000'000'000}).view() == "2025-03-01T12:00:00Z");
static_assert(utc_text::compact({0}).view() == "19700101T000000Z");
static_assert(parse_utc("2024-02-29T23:59:59.123456Z")->ns == 1'709'251'199'123'456'000);
static_assert(!parse_utc("2999-01-01T00:00:00Z") && parse_utc("2261-12-31T23:59:59Z")->ns > 0);
static_assert(
    utc_text::microseconds({1'709'251'199'123'456'000}).view() == "2024-02-29T23:59:59.123456Z"
);

} // namespace jetpp::inline v1
