// jetpp/simulation/choice_tape.hpp - the one source of chance in a simulated run.
//
// Every choice of the simulator (which task runs, which sector a crash keeps, where a fault falls)
// is read from a tape of bytes. Beyond its end a generator seeded with the tape's seed extends and
// records it. So one harness serves random runs (an empty tape and a seed), replay (the recorded
// tape), a fuzzer (its bytes are the tape) and a minimiser (which shortens and lowers the bytes).
//
// Layout of the recording: a choice among n takes 1, 2, 4 or 8 bytes, little-endian, as n asks;
// a choice among one takes none. The bytes are the choice itself, so that smaller bytes mean
// earlier alternatives, and a tape of zeros is the dullest run: chance() is false, pick() is 0.
// Invariants
//   * the same tape and seed answer the same questions in the same way, on every compiler
//   * entropy() depends on the seed and on how often it was asked, not on the recorded bytes
// Threads  one owner at a time.
// Source   Hypothesis (MacIver) for choices as bytes; xoshiro256** and splitmix64 (Blackman and
//          Vigna).
#pragma once

#include <jetpp/core/ensure.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {
namespace detail {

class xoshiro256 {
public:
    explicit constexpr xoshiro256(std::uint64_t seed) noexcept {
        for (auto& word : state_) {
            seed += 0x9E3779B97F4A7C15u; // splitmix64
            auto z = seed;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
            word = z ^ (z >> 31);
        }
    }
    constexpr std::uint64_t operator()() noexcept {
        auto const drawn = std::rotl(state_[1] * 5, 7) * 9;
        auto const shifted = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = std::rotl(state_[3], 45);
        return drawn;
    }

private:
    std::array<std::uint64_t, 4> state_{};
};

} // namespace detail

// What answers beyond the end of a tape: the seed, recording what it says, or zeros for ever.
enum class tape_end : std::uint8_t { seeded, dull };

class choice_tape {
public:
    // An empty tape: every choice comes from the seed.
    explicit choice_tape(std::uint64_t seed) : choice_tape{seed, {}} {}
    // A recorded tape.
    choice_tape(
        std::uint64_t seed, std::vector<std::uint8_t> recorded, tape_end end = tape_end::seeded
    )
        : seed_{seed}, generator_{seed}, entropy_{seed ^ 0x6A09E667F3BCC908u},
          bytes_{std::move(recorded)}, end_{end} {}

    // Returns: a number in 0 .. n-1. Requires: n > 0.
    [[nodiscard]] std::uint64_t pick(std::uint64_t n) {
        ensure(n != 0, "a choice has at least one alternative");
        if (n == 1) return 0;
        auto const width = width_of(n - 1);
        if (at_ < bytes_.size()) return read(width) % n;
        if (end_ == tape_end::dull) return 0;
        auto const chosen = below(n);
        for (unsigned i = 0; i < width; ++i)
            bytes_.push_back(static_cast<std::uint8_t>(chosen >> (8 * i)));
        at_ = bytes_.size();
        return chosen;
    }
    // Returns: true num times out of den. On a tape of zeros: false, unless num >= den.
    [[nodiscard]] bool chance(std::uint64_t num, std::uint64_t den) {
        if (num == 0) return false;
        if (num >= den) return true;
        return pick(den) >= den - num;
    }
    // 64 bits for nonces, ids and garbage: not recorded, since no value of them is interesting.
    [[nodiscard]] std::uint64_t entropy() noexcept { return entropy_(); }

    [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
    [[nodiscard]] std::vector<std::uint8_t> const& recorded() const noexcept { return bytes_; }
    [[nodiscard]] std::size_t position() const noexcept { return at_; }

    // The same run once more: the recording so far, read from its beginning.
    [[nodiscard]] choice_tape rewound() const { return choice_tape{seed_, bytes_, end_}; }

    // "<16 digits of seed>:<recorded bytes>", what a failure prints; a dull end adds a full stop.
    [[nodiscard]] std::string hex() const {
        auto text = std::string{};
        text.reserve(17 + 2 * bytes_.size());
        for (int shift = 60; shift >= 0; shift -= 4) text += digits[(seed_ >> shift) & 15];
        text += ':';
        for (auto const byte : bytes_) {
            text += digits[byte >> 4];
            text += digits[byte & 15];
        }
        if (end_ == tape_end::dull) text += '.';
        return text;
    }
    // Returns: nothing unless the text is what hex() spells.
    [[nodiscard]] static std::optional<choice_tape> from_hex(std::string_view text) {
        auto const end = text.ends_with('.') ? tape_end::dull : tape_end::seeded;
        if (end == tape_end::dull) text.remove_suffix(1);
        if (text.size() < 17 || text[16] != ':' || text.size() % 2 == 0) return std::nullopt;
        auto seed = std::uint64_t{0};
        for (auto const c : text.substr(0, 16)) {
            auto const digit = digits.find(c);
            if (digit == digits.npos) return std::nullopt;
            seed = seed << 4 | digit;
        }
        auto recorded = std::vector<std::uint8_t>{};
        for (std::size_t i = 17; i < text.size(); i += 2) {
            auto const high = digits.find(text[i]);
            auto const low = digits.find(text[i + 1]);
            if (high == digits.npos || low == digits.npos) return std::nullopt;
            recorded.push_back(static_cast<std::uint8_t>(high << 4 | low));
        }
        return choice_tape{seed, std::move(recorded), end};
    }

private:
    static constexpr std::string_view digits = "0123456789abcdef";

    static constexpr unsigned width_of(std::uint64_t largest) noexcept {
        return largest < 0x100 ? 1 : largest < 0x10000 ? 2 : largest < 0x100000000u ? 4 : 8;
    }
    // A tape that ends inside a choice reads as zeros there: fuzzers cut anywhere.
    std::uint64_t read(unsigned width) noexcept {
        auto value = std::uint64_t{0};
        for (unsigned i = 0; i < width && at_ < bytes_.size(); ++i)
            value |= std::uint64_t{bytes_[at_++]} << (8 * i);
        return value;
    }
    // Rejects the uneven rest, so that every alternative is equally likely.
    std::uint64_t below(std::uint64_t n) noexcept {
        auto const rest = (~n + 1) % n; // 2^64 mod n
        auto drawn = generator_();
        while (drawn < rest) drawn = generator_();
        return drawn % n;
    }

    std::uint64_t seed_;
    detail::xoshiro256 generator_;
    detail::xoshiro256 entropy_;
    std::vector<std::uint8_t> bytes_;
    std::size_t at_ = 0;
    tape_end end_ = tape_end::seeded;
};

} // namespace jetpp::inline v1
