// jetpp/log/records_marks.hpp - the records that change no page: ends of transactions, marks.
//
// Every record struct of records*.hpp has the same shape:
//   static constexpr record_type type
//   size()          bytes of the whole record, header and padding included
//   encode(record)  writes the payload and its zero padding: bytes 24..size(); nothing before 24
//   parse(record)   result of a whole record; believes nothing, views point into `record`
//   read(record, r) the same in place: is the record whole? `r` comes empty, and means nothing if not
// The byte tables stand over each struct, offsets from the start of the record.
// Owns     nothing: fields of type const_bytes are views of the caller's memory.
// Threads  pure functions.
#pragma once

#include <jetpp/log/detail/record_bytes.hpp>
#include <jetpp/log/record.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1::record {

// 24 wall i64, 32 durable_hint u64, 40 tag length u16, 42 zero 6, 48 tag
struct commit {
    static constexpr record_type type = record_type::commit;
    static constexpr std::size_t tag_size_max = 256;
    wall_time wall{};
    lsn durable_hint{};
    const_bytes tag{};

    [[nodiscard]] std::size_t size() const noexcept { return padded(48 + tag.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .time(wall)
            .at(durable_hint)
            .u16(tag.size())
            .zero(6)
            .raw(tag)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, commit& r) noexcept {
        auto in = detail::record_reader{record};
        r.wall = in.time();
        r.durable_hint = in.at();
        auto const tag_size = in.u16();
        in.refuse_unless(tag_size <= tag_size_max);
        in.skip(6);
        r.tag = in.raw(tag_size);
        return in.complete();
    }
    static constexpr detail::record_parse<commit> parse{};
};

// 24 wall i64
struct rollback {
    static constexpr record_type type = record_type::rollback;
    wall_time wall{};

    [[nodiscard]] std::size_t size() const noexcept { return 32; }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.time(wall).pad();
    }
    [[nodiscard]] static bool read(const_bytes record, rollback& r) noexcept {
        auto in = detail::record_reader{record};
        r.wall = in.time();
        return in.complete();
    }
    static constexpr detail::record_parse<rollback> parse{};
};

// 24 wall i64, 32 durable_hint u64, 40 flags u32, 44 zero 4
struct time_mark {
    static constexpr record_type type = record_type::time_mark;
    static constexpr std::uint32_t clock_stepped_back = 1; // by more than a second
    wall_time wall{};
    lsn durable_hint{};
    std::uint32_t flags{};

    [[nodiscard]] std::size_t size() const noexcept { return 48; }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.time(wall).at(durable_hint).u32(flags).zero(4).pad();
    }
    [[nodiscard]] static bool read(const_bytes record, time_mark& r) noexcept {
        auto in = detail::record_reader{record};
        r.wall = in.time();
        r.durable_hint = in.at();
        r.flags = in.u32();
        in.skip(4);
        return in.complete();
    }
    static constexpr detail::record_parse<time_mark> parse{};
};

// 24 page u32, 28 zero 4, 32 page_lsn u64, 40 hash of the canonical content 16
struct verify {
    static constexpr record_type type = record_type::verify;
    page_number page{};
    lsn page_lsn{};
    std::array<std::byte, 16> hash{};

    [[nodiscard]] std::size_t size() const noexcept { return 56; }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.u32(page.value).zero(4).at(page_lsn).raw(hash).pad();
    }
    [[nodiscard]] static bool read(const_bytes record, verify& r) noexcept {
        auto in = detail::record_reader{record};
        r.page = {in.u32()};
        in.skip(4);
        r.page_lsn = in.at();
        r.hash = in.id().raw;
        return in.complete();
    }
    static constexpr detail::record_parse<verify> parse{};
};

// 24 wall i64, 32 label length u16, 34 zero 6, 40 label (1..255 bytes of UTF-8)
struct restore_point {
    static constexpr record_type type = record_type::restore_point;
    static constexpr std::size_t label_size_max = 255;
    wall_time wall{};
    const_bytes label{};

    [[nodiscard]] std::size_t size() const noexcept { return padded(40 + label.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.time(wall).u16(label.size()).zero(6).raw(label).pad();
    }
    [[nodiscard]] static bool read(const_bytes record, restore_point& r) noexcept {
        auto in = detail::record_reader{record};
        r.wall = in.time();
        auto const label_size = in.u16();
        in.refuse_unless(label_size >= 1 && label_size <= label_size_max);
        in.skip(6);
        r.label = in.raw(label_size);
        return in.complete();
    }
    static constexpr detail::record_parse<restore_point> parse{};
};

// 24 application kind u32, 28 length u32, 32 bytes
struct user {
    static constexpr record_type type = record_type::user;
    std::uint32_t kind{};
    const_bytes payload{};

    [[nodiscard]] std::size_t size() const noexcept { return padded(32 + payload.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.u32(kind).u32(payload.size()).raw(payload).pad();
    }
    [[nodiscard]] static bool read(const_bytes record, user& r) noexcept {
        auto in = detail::record_reader{record};
        r.kind = in.u32();
        auto const payload_size = in.u32();
        r.payload = in.raw(payload_size);
        return in.complete();
    }
    static constexpr detail::record_parse<user> parse{};
};

// No payload: zeroes that fill a block of the device, 24..8192 bytes in all.
struct pad {
    static constexpr record_type type = record_type::pad;
    std::uint32_t length = record_header_size;

    [[nodiscard]] std::size_t size() const noexcept { return length; }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.zero(length - record_header_size);
    }
    [[nodiscard]] static bool read(const_bytes record, pad& r) noexcept {
        if (record.size() < record_header_size || record.size() > pad_size_max ||
            record.size() % 8 != 0)
            return false;
        r = {static_cast<std::uint32_t>(record.size())};
        return true;
    }
    static constexpr detail::record_parse<pad> parse{};
};

// 24 next_generation u64, 32 next_nonce u64, 40 durable_hint u64,
// 48 CRC-32C of the segment from offset 4096 to this record u32, 52 zero 4
struct segment_end {
    static constexpr record_type type = record_type::segment_end;
    std::uint64_t next_generation{};
    std::uint64_t next_nonce{};
    lsn durable_hint{};
    std::uint32_t content_crc{};

    [[nodiscard]] std::size_t size() const noexcept { return segment_end_size; }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .u64(next_generation)
            .u64(next_nonce)
            .at(durable_hint)
            .u32(content_crc)
            .zero(4)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, segment_end& r) noexcept {
        auto in = detail::record_reader{record};
        r.next_generation = in.u64();
        r.next_nonce = in.u64();
        r.durable_hint = in.at();
        r.content_crc = in.u32();
        in.skip(4);
        return in.complete();
    }
    static constexpr detail::record_parse<segment_end> parse{};
};

// A type this version does not know, which its writer declared ignorable by bit 7.
struct unknown {
    static constexpr record_type type = record_type::none;
    record_type actual{};
    const_bytes payload{};

    [[nodiscard]] std::size_t size() const noexcept {
        return padded(record_header_size + payload.size());
    }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.raw(payload).pad();
    }
    [[nodiscard]] static bool read(const_bytes record, unknown& r) noexcept {
        if (record.size() < record_header_size) return false;
        r.actual = static_cast<record_type>(record[8]);
        r.payload = record.subspan(record_header_size);
        return true;
    }
    static constexpr detail::record_parse<unknown> parse{};
};

} // namespace jetpp::inline v1::record
