// test/backup/memory_part.hpp - parts in memory, to write to and to read from.
#pragma once

#include <jetpp/backup/part_reader.hpp>
#include <jetpp/backup/part_writer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test {

using namespace jetpp;
using buffer = std::vector<std::byte>;

struct memory_output {
    buffer content;
    [[nodiscard]] result<void> write(const_bytes frame) noexcept {
        content.insert(content.end(), frame.begin(), frame.end());
        return ok();
    }
};

// Gives short counts, as files may.
struct memory_input {
    const_bytes left;
    std::size_t at_most = 70'000;
    [[nodiscard]] result<std::size_t> read(bytes into) noexcept {
        auto const n = std::min({into.size(), left.size(), at_most});
        std::copy_n(left.begin(), n, into.begin());
        left = left.subspan(n);
        return n;
    }
};

inline buffer noise(std::size_t size, unsigned seed) {
    auto random = std::mt19937{seed};
    auto made = buffer(size);
    for (auto& b : made) b = static_cast<std::byte>(random());
    return made;
}

inline uuid const some_set = make_uuid(1, 2);
inline part_place const some_place{.set = some_set, .part = 1, .file = 0};
inline stream_about const some_database{
    .content = part_content::database,
    .page_size = 4096,
    .database = make_uuid(3, 4),
    .timeline = {5},
};

struct made_part {
    buffer content;
    part_summary summary;
};

// Pages 0 .. pages - 1 of 4096 bytes of noise, eight to a frame.
inline made_part make_part(
    std::uint64_t pages,
    part_place const& place = some_place,
    stream_about const& about = some_database,
    std::uint64_t pages_a_frame = 8
) {
    auto writer = part_writer::create();
    REQUIRE(writer);
    auto out = memory_output{};
    REQUIRE(writer.value().begin(out, place, about));
    for (std::uint64_t first = 0; first < pages; first += pages_a_frame) {
        auto const end = std::min(pages, first + pages_a_frame);
        auto const raw =
            noise(static_cast<std::size_t>(end - first) * 4096, static_cast<unsigned>(first));
        REQUIRE(writer.value().add(out, first, end, {}, raw));
    }
    auto summary = writer.value().finish(out);
    REQUIRE(summary);
    CHECK(summary.value().bytes == out.content.size());
    return {std::move(out.content), summary.value()};
}

struct read_outcome {
    errc code = errc::none;
    std::uint64_t bytes = 0;
    part_summary summary{};
};

inline read_outcome read_all(
    const_bytes content, part_place const& place = some_place, std::size_t at_most = 70'000
) {
    auto in = memory_input{content, at_most};
    auto outcome = read_outcome{};
    auto reader = part_reader<memory_input>::open(in, place);
    if (!reader) {
        outcome.code = reader.error().code;
        return outcome;
    }
    for (;;) {
        auto const run = reader.value().next();
        if (!run) {
            outcome.code = run.error().code;
            return outcome;
        }
        if (!run.value()) break;
        outcome.bytes += run.value()->raw.size();
    }
    outcome.summary = reader.value().summary();
    return outcome;
}

} // namespace jetpp_test
