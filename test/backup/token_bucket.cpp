// test/backup/token_bucket.cpp - a rate is kept, a pause is not made up for.
#include <jetpp/backup/token_bucket.hpp>

#include <chrono>

#include "../catch.hpp"

namespace jetpp_test::token_bucket_cases {

using namespace jetpp;
using namespace std::chrono_literals;

constexpr auto start = mono_time{10s};

// When the last of `count` requests of `bytes` may go on, if nothing else takes time.
constexpr mono_time last_of(token_bucket& bucket, int count, std::uint64_t bytes, mono_time now) {
    for (auto i = 0; i < count; ++i) now = std::max(now, bucket.take(bytes, now));
    return now;
}

TEST_CASE("a token bucket lets as many bytes through as its rate says", "[backup][throttle]") {
    constexpr auto took = [] {
        auto bucket = token_bucket{1 << 20};
        return last_of(bucket, 101, 1 << 20, start) - start;
    }();
    static_assert(took == 100s);
    constexpr auto unlimited = [] {
        auto bucket = token_bucket{0};
        return last_of(bucket, 1000, 1 << 20, start) - start;
    }();
    static_assert(unlimited == 0s);
}

TEST_CASE("a pause fills a token bucket by its burst at most", "[backup][throttle]") {
    auto bucket = token_bucket{1000};
    (void)bucket.take(100, start);
    auto const after = start + 1h;
    // A quarter of a second is worth 250 bytes: then the rate holds again.
    CHECK(last_of(bucket, 11, 100, after) - after == 750ms);
    CHECK(last_of(bucket, 10, 100, after + 750ms) - after == 1750ms);
}

TEST_CASE("a request beyond the bucket is paid for by the next", "[backup][throttle]") {
    auto bucket = token_bucket{1000};
    CHECK(bucket.take(60'000, start) == start); // a minute's worth, at once
    CHECK(bucket.take(1, start) == start + 60s);
}

} // namespace jetpp_test::token_bucket_cases
