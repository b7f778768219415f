// test/backup/made_set.hpp - a whole small set without an engine: for what reads frames and manifests.
#pragma once

#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/sealed_text.hpp>
#include <jetpp/backup/set_writer.hpp>
#include <jetpp/backup/stream_sink.hpp>

#include <string>
#include <utility>
#include <vector>

#include "memory_part.hpp"

namespace jetpp_test {

inline constexpr std::uint64_t made_segment_bytes = std::uint64_t{128} << 10;

struct made_set {
    backup_manifest manifest;
    std::vector<buffer> parts;
    std::string sealed; // the manifest
};

[[nodiscard]] inline stream_about about_part(std::uint32_t number, std::uint32_t databases) {
    if (number < databases)
        return {
            .content = part_content::database,
            .page_size = 4096,
            .database = make_uuid(3, number + 1),
            .timeline = {5},
        };
    return {
        .content = part_content::log,
        .page_size = 4096,
        .timeline = {5},
        .segment_bytes = made_segment_bytes,
    };
}

// `databases` parts of a few pages of noise, and one of log.
[[nodiscard]] inline made_set make_set(unsigned seed, std::uint32_t databases = 2) {
    auto made = made_set{};
    auto& m = made.manifest;
    m.set = make_uuid(77, seed + 1);
    m.created = {1'740'000'000'000'000'000};
    m.kind = backup_kind::copy;
    m.instance = make_uuid(8, 9);
    m.timeline = {5};
    m.log_start = m.redo_lsn = m.undo_low_lsn = lsn{made_segment_bytes + 4096};
    m.begin_lsn = lsn{made_segment_bytes + 5000};
    m.copy_end_lsn = lsn{made_segment_bytes + 6000};
    m.end_lsn = lsn{2 * made_segment_bytes};
    m.page_size = 4096;
    m.segment_bytes = made_segment_bytes;
    m.checksum = "crc32c";
    m.log = {{m.timeline, lsn{made_segment_bytes}, lsn{2 * made_segment_bytes}}};
    m.receipt = backup_receipt::handed_over;
    for (std::uint32_t i = 0; i <= databases; ++i) {
        auto const is_log = i == databases;
        auto const about = about_part(i, databases);
        auto const place =
            part_place{.set = m.set, .part = i, .file = static_cast<std::uint16_t>(i)};
        auto writer = part_writer::create();
        REQUIRE(writer);
        auto out = memory_output{};
        REQUIRE(writer.value().begin(out, place, about));
        auto at = is_log ? made_segment_bytes : 0;
        for (auto k = 0U; k < 3; ++k) {
            auto const units = is_log ? std::uint64_t{4096} : std::uint64_t{1 + (seed + k) % 2};
            auto const raw = noise(
                static_cast<std::size_t>(units * about.unit_bytes()), seed * 100 + i * 10 + k
            );
            REQUIRE(writer.value().add(out, at, at + units, {}, raw));
            at += units;
        }
        auto summary = writer.value().finish(out);
        REQUIRE(summary);
        auto const name = is_log ? std::string{"log"} : "db" + std::to_string(i);
        auto part = manifest_part{.number = i, .name = part_file_name(i, name)};
        part.content = about.content;
        part.database = about.database;
        if (is_log) part.timeline = about.timeline;
        part.summary = summary.value();
        m.parts.push_back(std::move(part));
        made.parts.push_back(std::move(out.content));
        if (!is_log)
            m.databases.push_back(
                {.name = name,
                 .id = about.database,
                 .place = {static_cast<std::uint16_t>(i + 1)},
                 .pages = 40}
            );
    }
    auto sealed = seal_text(m.to_json());
    REQUIRE(sealed);
    made.sealed = sealed.value();
    return made;
}

// As a stream_sink sends it.
[[nodiscard]] inline buffer stream_of(made_set const& set) {
    auto out = memory_output{};
    auto sink = stream_sink{out};
    REQUIRE(sink.begin({.set = set.manifest.set}));
    for (std::size_t i = 0; i < set.parts.size(); ++i) {
        REQUIRE(sink.open_part(set.manifest.parts[i].name));
        REQUIRE(sink.write(set.parts[i]));
        REQUIRE(sink.close_part());
    }
    auto const done = sink.finish(as_bytes(set.sealed));
    REQUIRE(done);
    CHECK(done.value() == backup_receipt::handed_over);
    return std::move(out.content);
}

// The frames of a part or of a stream, one by one.
[[nodiscard]] inline std::vector<buffer> frames_of(const_bytes content) {
    auto frames = std::vector<buffer>{};
    while (content.size() >= frame_header_bytes) {
        auto const size = frame_header_bytes + load_le<std::uint32_t>(content.data() + 76);
        REQUIRE(size <= content.size());
        frames.emplace_back(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(size));
        content = content.subspan(size);
    }
    REQUIRE(content.empty());
    return frames;
}
[[nodiscard]] inline buffer join(std::vector<buffer> const& frames) {
    auto all = buffer{};
    for (auto const& one : frames) all.insert(all.end(), one.begin(), one.end());
    return all;
}

} // namespace jetpp_test
