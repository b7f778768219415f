// bench/peers_rows.hpp - the rows of the comparison: 16-byte keys, 100-byte values nobody can pack.
//
// Row n has the n-th key in order; the keys spread over the whole space, as hashes or UUIDs do.
// Values are windows into random bytes, so that making rows costs nothing while time is taken.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <string_view>
#include <vector>

#include "peers.hpp"

namespace peers {

inline constexpr std::size_t key_bytes = 16;
inline constexpr std::size_t value_bytes = 100;

class test_rows {
public:
    explicit test_rows(std::size_t count) : keys_(count), order_(count), pool_(pool_bytes) {
        auto random = std::mt19937_64{20240229};
        auto const stride = ~std::uint64_t{0} / count;
        for (std::size_t n = 0; n < count; ++n) {
            auto const parts = std::array{n * stride + random() % stride, random()};
            for (std::size_t i = 0; i < key_bytes; ++i)
                keys_[n][i] = static_cast<char>(parts[i / 8] >> (56 - 8 * (i % 8)));
        }
        for (std::size_t i = 0; i < pool_bytes; i += sizeof(std::uint64_t)) {
            auto const word = std::uint64_t{random()};
            std::memcpy(pool_.data() + i, &word, sizeof word);
        }
        std::iota(order_.begin(), order_.end(), std::size_t{0});
        std::shuffle(order_.begin(), order_.end(), random);
    }

    [[nodiscard]] std::size_t count() const { return keys_.size(); }
    [[nodiscard]] std::string_view key(std::size_t n) const { return {keys_[n].data(), key_bytes}; }
    // `version` changes the value, and nothing else.
    [[nodiscard]] row_view row(std::size_t n, std::size_t version = 0) const {
        auto const at = (n * 131 + version * 7919) % (pool_bytes - value_bytes);
        return {key(n), {pool_.data() + at, value_bytes}};
    }
    // The i-th row of a fixed shuffle.
    [[nodiscard]] std::size_t shuffled(std::size_t i) const { return order_[i % order_.size()]; }

private:
    static constexpr std::size_t pool_bytes = std::size_t{1} << 20;

    std::vector<std::array<char, key_bytes>> keys_;
    std::vector<std::size_t> order_;
    std::vector<char> pool_;
};

} // namespace peers
