// jetpp/core/lsn.hpp - the log sequence number, one axis for everything that happens.
//
// lsn = generation x segment size + offset in the segment: a position in one totally ordered log.
// It never goes backwards over any file an instance has seen. A record's LSN is where it *starts*;
// a record at l is durable iff l < durable_lsn. Zero means "none".
// Source  ARIES (Mohan et al., TODS 1992); ESE lgpos.
#pragma once

#include <compare>
#include <cstdint>

namespace jetpp::inline v1 {

struct lsn {
    std::uint64_t value{};

    friend constexpr auto operator<=>(lsn, lsn) noexcept = default;
    [[nodiscard]] constexpr explicit operator bool() const noexcept { return value != 0; }

    friend constexpr lsn operator+(lsn at, std::uint64_t distance) noexcept {
        return {at.value + distance};
    }
    friend constexpr lsn operator-(lsn at, std::uint64_t distance) noexcept {
        return {at.value - distance};
    }
    // Requires: later >= earlier.
    friend constexpr std::uint64_t operator-(lsn later, lsn earlier) noexcept {
        return later.value - earlier.value;
    }
    constexpr lsn& operator+=(std::uint64_t distance) noexcept {
        value += distance;
        return *this;
    }
};

inline constexpr lsn no_lsn{};
inline constexpr lsn max_lsn{~std::uint64_t{0}};

// The larger half of the LSN axis is never used: a file that claims to have seen it is hostile.
inline constexpr lsn lsn_limit{std::uint64_t{1} << 62};

[[nodiscard]] constexpr lsn earlier(lsn a, lsn b) noexcept {
    return a < b ? a : b;
}
[[nodiscard]] constexpr lsn later(lsn a, lsn b) noexcept {
    return a < b ? b : a;
}

} // namespace jetpp::inline v1
