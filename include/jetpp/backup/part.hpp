// jetpp/backup/part.hpp - what stands in the frames of a part besides pages and log.
//
//     stream_header | pages or log ... | index | pages or log ... | index | trailer
//
// Where a backup was interrupted and gone on with, another stream_header stands, with a new salt.
// stream_header, 64 bytes:
//     0 "JBSTREAM"   8 version u16   10 content u16 (1 database, 2 log)   12 page size u32
//    16 salt 16 (zero: plain)   32 database uuid, or zero   48 timeline u64   56 segment size u64
// index: offset of the previous index frame u64 (0 = none), then 32 bytes for each data frame since
//     0 first u64   8 end u64   16 offset u64   24 stored u32   28 set ordinal u16   30 codec u16
// trailer, 24 bytes: 0 frames u64 (its own included)   8 raw bytes u64   16 offset of last index u64
// Threads  pure functions.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace jetpp::inline v1 {

enum class part_content : std::uint16_t { database = 1, log = 2 };

// Which part of which set a reader expects, or a writer makes.
struct part_place {
    uuid set{};
    std::uint32_t part{};
    std::uint16_t file{}; // ordinal in the manifest: databases, then the log
    friend bool operator==(part_place const&, part_place const&) noexcept = default;
};

struct stream_about {
    static constexpr std::size_t size = 64;
    part_content content{};
    std::uint32_t page_size{};
    std::array<std::byte, 16> salt{};
    uuid database{}; // of a log: nil
    timeline_id timeline{};
    std::uint64_t segment_bytes{};
    friend bool operator==(stream_about const&, stream_about const&) noexcept = default;

    // Bytes of the image that one step of first/end stands for.
    [[nodiscard]] constexpr std::uint64_t unit_bytes() const noexcept {
        return content == part_content::database ? page_size : 1;
    }

    // Requires: size bytes.
    void encode(std::byte* at) const noexcept;
    // Returns: false if a field is impossible.
    [[nodiscard]] bool decode(const_bytes from) noexcept;
};

struct index_entry {
    static constexpr std::size_t size = 32;
    std::uint64_t first{};
    std::uint64_t end{};
    std::uint64_t offset{};
    std::uint32_t stored_bytes{};
    frame_codec codec{};

    // Requires: size bytes.
    void encode(std::byte* at) const noexcept {
        store_le<std::uint64_t>(at, first);
        store_le<std::uint64_t>(at + 8, end);
        store_le<std::uint64_t>(at + 16, offset);
        store_le<std::uint32_t>(at + 24, stored_bytes);
        store_le<std::uint16_t>(at + 28, 0);
        store_le<std::uint16_t>(at + 30, static_cast<std::uint16_t>(codec));
    }
};
inline constexpr std::size_t index_frames_max = 4096; // data frames one index frame speaks of

struct part_trailer {
    static constexpr std::size_t size = 24;
    std::uint64_t frames{};
    std::uint64_t raw_bytes{};
    std::uint64_t last_index{};

    // Requires: size bytes.
    void encode(std::byte* at) const noexcept {
        store_le<std::uint64_t>(at, frames);
        store_le<std::uint64_t>(at + 8, raw_bytes);
        store_le<std::uint64_t>(at + 16, last_index);
    }
};

[[nodiscard]] constexpr frame_type data_type_of(part_content content) noexcept {
    return content == part_content::database ? frame_type::pages : frame_type::log;
}
[[nodiscard]] constexpr frame_type index_type_of(part_content content) noexcept {
    return content == part_content::database ? frame_type::page_index : frame_type::log_index;
}

namespace detail {

inline constexpr std::string_view stream_magic{"JBSTREAM", 8};

} // namespace detail

inline void stream_about::encode(std::byte* at) const noexcept {
    std::memcpy(at, detail::stream_magic.data(), detail::stream_magic.size());
    store_le<std::uint16_t>(at + 8, 1);
    store_le<std::uint16_t>(at + 10, static_cast<std::uint16_t>(content));
    store_le<std::uint32_t>(at + 12, page_size);
    std::memcpy(at + 16, salt.data(), salt.size());
    std::memcpy(at + 32, database.raw.data(), database.raw.size());
    store_le<std::uint64_t>(at + 48, timeline.value);
    store_le<std::uint64_t>(at + 56, segment_bytes);
}

inline bool stream_about::decode(const_bytes from) noexcept {
    if (from.size() != size || as_text(from.first(8)) != detail::stream_magic) return false;
    auto const* at = from.data();
    if (load_le<std::uint16_t>(at + 8) != 1) return false;
    content = static_cast<part_content>(load_le<std::uint16_t>(at + 10));
    page_size = load_le<std::uint32_t>(at + 12);
    std::memcpy(salt.data(), at + 16, salt.size());
    std::memcpy(database.raw.data(), at + 32, database.raw.size());
    timeline = {load_le<std::uint64_t>(at + 48)};
    segment_bytes = load_le<std::uint64_t>(at + 56);
    auto const is_database = content == part_content::database;
    if (!is_database && content != part_content::log) return false;
    return is_database != database.is_nil() && page_size >= 4096 && page_size <= 65536 &&
           (page_size & (page_size - 1)) == 0 && timeline.value != 0;
}

} // namespace jetpp::inline v1
