// test/fuzz/mutations.hpp - sound inputs made unsound, and handed to a fuzz target.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/core/bytes.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <random>
#include <vector>

#include "../backup/memory_part.hpp"
#include "../catch.hpp"

namespace jetpp_test {

using namespace jetpp;

inline buffer with_first(unsigned char first, const_bytes rest) {
    auto made = buffer{std::byte{first}};
    made.insert(made.end(), rest.begin(), rest.end());
    return made;
}

inline void mutate(buffer& input, std::mt19937& random) {
    auto const any = [&](std::size_t below) { return below == 0 ? 0 : random() % below; };
    auto const turns = 1 + any(4);
    for (std::size_t turn = 0; turn < turns && input.size() > 2; ++turn) {
        auto const at = 1 + any(input.size() - 1); // the first byte chooses the kind
        auto const left = input.size() - at;
        auto const length = 1 + any(std::min<std::size_t>(left, 4096));
        auto const from = input.begin() + static_cast<std::ptrdiff_t>(at);
        switch (random() % 7) {
        case 0: input[at] ^= static_cast<std::byte>(1U << random() % 8); break;
        case 1: input[at] = static_cast<std::byte>(random()); break;
        case 2: { // a number somebody will take for a length
            constexpr std::uint64_t wild[] = {
                0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, ~std::uint64_t{0}, 1 << 20, (1 << 20) + 1
            };
            auto word = buffer(8);
            store_le<std::uint64_t>(word.data(), wild[random() % std::size(wild)]);
            for (std::size_t i = 0; i < std::min<std::size_t>(left, 1U << random() % 4); ++i)
                input[at + i] = word[i];
            break;
        }
        case 3: input.erase(from, from + static_cast<std::ptrdiff_t>(length)); break;
        case 4: {
            auto const piece = buffer(from, from + static_cast<std::ptrdiff_t>(length));
            auto const where = static_cast<std::ptrdiff_t>(1 + any(input.size() - 1));
            input.insert(input.begin() + where, piece.begin(), piece.end());
            break;
        }
        case 5: input.resize(at); break;
        default: {
            auto const other = 1 + any(input.size() - 1);
            auto const n = std::min({length, input.size() - other, left});
            for (std::size_t i = 0; i < n; ++i) std::swap(input[at + i], input[other + i]);
        }
        }
    }
}

// Frames in header fields rather than anywhere: most mutations would only spoil payloads.
inline void mutate_headers(buffer& input, std::mt19937& random) {
    auto starts = std::vector<std::size_t>{};
    for (std::size_t at = 1; at + frame_header_bytes <= input.size();) {
        starts.push_back(at);
        at += frame_header_bytes + load_le<std::uint32_t>(input.data() + at + 76);
    }
    for (auto turn = random() % 3 + 1; turn != 0 && !starts.empty(); --turn) {
        auto const at = starts[random() % starts.size()] + random() % frame_header_bytes;
        if (at < input.size()) input[at] = static_cast<std::byte>(random());
    }
}

inline void run(
    char const* what,
    void (*target)(const_bytes),
    std::vector<buffer> const& corpus,
    std::uint64_t count,
    bool of_frames
) {
    auto const seed = std::random_device{}();
    UNSCOPED_INFO(what << ", seed " << seed);
    std::fprintf(stderr, "fuzz %s: seed %u\n", what, seed); // ensure() ends the process
    auto random = std::mt19937{seed};
    for (auto const& sound : corpus) target(sound);
    for (std::uint64_t i = 0; i < count; ++i) {
        auto input = corpus[random() % corpus.size()];
        if (of_frames && random() % 2 == 0)
            mutate_headers(input, random);
        else
            mutate(input, random);
        target(input);
    }
    SUCCEED("every input came to an end");
}

} // namespace jetpp_test
