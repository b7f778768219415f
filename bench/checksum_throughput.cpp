// bench/checksum_throughput.cpp - how many bytes a nanosecond does each page checksum take?
//
// In memory, in cache, one thread; each sum depends on the one before, so nothing overlaps. Prints
// the median and the spread of 21 runs.
#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/checksum/xxh3.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

using namespace jetpp;

template <checksum_algorithm C>
std::uint64_t next_sum(const_bytes all, std::uint64_t previous) {
    return C::page_sum(all, previous, page_number{1});
}

std::uint64_t next_by_tables(const_bytes all, std::uint64_t previous) {
    return detail::crc32c_portable(static_cast<std::uint32_t>(previous), all.data(), all.size());
}

void measure(char const* name, const_bytes all, std::uint64_t (*next)(const_bytes, std::uint64_t)) {
    constexpr std::size_t runs = 21;
    auto const calls = 4'000'000 / (all.size() + 100) + 1;
    auto times = std::array<double, runs>{};
    auto sum = std::uint64_t{0};
    for (auto& time : times) {
        auto const begin = std::chrono::steady_clock::now();
        for (std::size_t i = 0; i < calls; ++i) sum = next(all, sum);
        auto const took = std::chrono::steady_clock::now() - begin;
        time = std::chrono::duration<double, std::nano>(took).count() / static_cast<double>(calls);
    }
    std::sort(times.begin(), times.end());
    auto const median = times[runs / 2];
    std::printf(
        "%-14s %6zu bytes %9.1f ns (%.1f to %.1f) %6.2f bytes/ns  [%02x]\n",
        name,
        all.size(),
        median,
        times.front(),
        times.back(),
        static_cast<double>(all.size()) / median,
        static_cast<unsigned>(sum & 0xFF)
    );
}

} // namespace

int main() {
    auto const memory = std::vector<std::byte>(65536, std::byte{0x5A});
    for (auto const size : {40u, 200u, 1000u, 4088u, 8184u, 32760u, 65528u}) {
        auto const all = const_bytes{memory}.first(size);
        measure("crc32c", all, next_sum<crc32c>);
        measure("crc32c tables", all, next_by_tables);
        measure("xxh3_64", all, next_sum<xxh3_64>);
    }
}
