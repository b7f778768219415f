// jetpp/backup/token_bucket.hpp - so many bytes a second, and no more after a pause than a short burst.
//
// Tokens are time here: `paid_` is the moment up to which everything taken has been paid for. Who
// takes n bytes moves it by n / rate and may go on when the clock has reached where it stood before.
// A pause fills the bucket by `burst` at most: a sink that was slow for a minute is not made up for.
// A request larger than the bucket runs into debt, which the next one waits for.
// Threads  one owner. The clock is the caller's.
#pragma once

#include <jetpp/env/runtime.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace jetpp::inline v1 {

class token_bucket {
public:
    static constexpr mono_time burst = std::chrono::milliseconds{250};

    // bytes_per_second 0: as fast as it goes.
    constexpr explicit token_bucket(std::uint64_t bytes_per_second) noexcept
        : rate_{bytes_per_second} {}

    // Requires: below 2^34 bytes at once. Returns: when the taker may go on; in the past: at once.
    [[nodiscard]] constexpr mono_time take(std::uint64_t bytes_wanted, mono_time now) noexcept {
        if (rate_ == 0) return now;
        if (!begun_) paid_ = now; // the first request pays as it goes
        begun_ = true;
        auto const due = std::max(paid_, now - burst);
        paid_ = due + mono_time{static_cast<std::int64_t>(bytes_wanted * 1'000'000'000 / rate_)};
        return due;
    }

private:
    std::uint64_t rate_;
    mono_time paid_{};
    bool begun_ = false;
};

} // namespace jetpp::inline v1
