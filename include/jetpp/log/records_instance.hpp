// jetpp/log/records_instance.hpp - the records of databases, checkpoints, backups and recoveries.
//
// Shape of the structs: see records_marks.hpp. Offsets from the start of the record.
// Owns     nothing: fields of type const_bytes are views of the caller's memory.
// Threads  pure functions.
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/log/detail/record_bytes.hpp>
#include <jetpp/log/record.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace jetpp::inline v1 {

inline constexpr std::size_t database_name_max = 64;

// One attached database as attach_list names it:
// db_id u16, flags u16, name length u16, zero 2, uuid 16, nonce u64, attach_lsn u64, name padded
struct attach_entry {
    database_id database{};
    std::uint16_t flags{}; // 1: came from another instance or timeline
    uuid id{};
    std::uint64_t nonce{};
    lsn attach_lsn{};
    const_bytes name{};

    [[nodiscard]] std::size_t size() const noexcept { return 40 + padded(name.size()); }
};
inline constexpr std::size_t attach_entries_size_max =
    databases_max * (40 + padded(database_name_max));

// Writes the entries as attach_list carries them.
// Requires: at most databases_max, names of at most database_name_max; they fit (`fits`).
// Returns: the bytes used.
[[nodiscard]] inline std::size_t encode_attach_entries(
    std::span<attach_entry const> entries, bytes into
) noexcept {
    auto used = std::size_t{0};
    for (auto const& one : entries) {
        ensure(one.name.size() <= database_name_max, "a database name has at most 64 bytes");
        ensure(one.size() <= into.size() - used, "the attach list fits its buffer");
        auto* at = into.data() + used;
        std::memset(at, 0, one.size());
        store_le<std::uint16_t>(at, one.database.value);
        store_le<std::uint16_t>(at + 2, one.flags);
        store_le<std::uint16_t>(at + 4, static_cast<std::uint16_t>(one.name.size()));
        std::memcpy(at + 8, one.id.raw.data(), 16);
        store_le<std::uint64_t>(at + 24, one.nonce);
        store_le<std::uint64_t>(at + 32, one.attach_lsn.value);
        if (!one.name.empty()) std::memcpy(at + 40, one.name.data(), one.name.size());
        used += one.size();
    }
    return used;
}

struct backup_member {
    database_id database{};
    uuid id{};
};

enum class detach_reason : std::uint32_t { asked = 1, abandoned = 2, failed = 3 };
enum class recovery_reason : std::uint32_t { crash = 1, restore = 2, forced = 3 };
enum class backup_status : std::uint32_t { published = 0, aborted = 1 };

namespace record {

// 24 uuid, 40 nonce u64, 48 page_size u32, 52 checksum id u16, 54 name length u16, 56 name
struct db_create {
    static constexpr record_type type = record_type::db_create;
    uuid id{};
    std::uint64_t nonce{};
    std::uint32_t page_size{};
    std::uint16_t checksum_id{};
    const_bytes name{};

    [[nodiscard]] std::size_t size() const noexcept { return padded(56 + name.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .id(id)
            .u64(nonce)
            .u32(page_size)
            .u16(checksum_id)
            .u16(name.size())
            .raw(name)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, db_create& r) noexcept {
        auto in = detail::record_reader{record};
        r.id = in.id();
        r.nonce = in.u64();
        r.page_size = in.u32();
        r.checksum_id = in.u16();
        auto const name_size = in.u16();
        in.refuse_unless(name_size <= database_name_max);
        r.name = in.raw(name_size);
        return in.complete();
    }
    static constexpr detail::record_parse<db_create> parse{};
};

// 24 uuid, 40 nonce, 48 consistent_lsn of the file, 56 max_lsn of the file, 64 its timeline,
// 72 flags u16 (1 foreign), 74 name length u16, 76 zero 4, 80 name. attach_lsn = its own LSN.
struct attach {
    static constexpr record_type type = record_type::attach;
    static constexpr std::uint16_t foreign = 1;
    uuid id{};
    std::uint64_t nonce{};
    lsn consistent_lsn{};
    lsn highest_lsn{};
    timeline_id timeline{};
    std::uint16_t flags{};
    const_bytes name{};

    [[nodiscard]] std::size_t size() const noexcept { return padded(80 + name.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .id(id)
            .u64(nonce)
            .at(consistent_lsn)
            .at(highest_lsn)
            .u64(timeline.value)
            .u16(flags)
            .u16(name.size())
            .zero(4)
            .raw(name)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, attach& r) noexcept {
        auto in = detail::record_reader{record};
        r.id = in.id();
        r.nonce = in.u64();
        r.consistent_lsn = in.at();
        r.highest_lsn = in.at();
        r.timeline = {in.u64()};
        r.flags = in.u16();
        auto const name_size = in.u16();
        in.refuse_unless(name_size <= database_name_max);
        in.skip(4);
        r.name = in.raw(name_size);
        return in.complete();
    }
    static constexpr detail::record_parse<attach> parse{};
};

// 24 uuid, 40 consistent_lsn, 48 max_lsn, 56 reason u32, 60 zero 4
struct detach {
    static constexpr record_type type = record_type::detach;
    uuid id{};
    lsn consistent_lsn{};
    lsn highest_lsn{};
    detach_reason reason{};

    [[nodiscard]] std::size_t size() const noexcept { return 64; }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .id(id)
            .at(consistent_lsn)
            .at(highest_lsn)
            .u32(static_cast<std::uint32_t>(reason))
            .zero(4)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, detach& r) noexcept {
        auto in = detail::record_reader{record};
        r.id = in.id();
        r.consistent_lsn = in.at();
        r.highest_lsn = in.at();
        r.reason = static_cast<detach_reason>(in.u32());
        in.skip(4);
        return in.complete();
    }
    static constexpr detail::record_parse<detach> parse{};
};

// 24 n u16, 26 zero 6, 32 n entries. The first record of every segment.
struct attach_list {
    static constexpr record_type type = record_type::attach_list;
    static constexpr std::size_t size_max = 32 + attach_entries_size_max;
    std::uint16_t count{};
    const_bytes entries{}; // as encode_attach_entries writes them

    [[nodiscard]] std::size_t size() const noexcept { return padded(32 + entries.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.u16(count).zero(6).raw(entries).pad();
    }
    [[nodiscard]] static bool read(const_bytes record, attach_list& r) noexcept {
        auto in = detail::record_reader{record};
        r.count = in.u16();
        in.refuse_unless(r.count <= databases_max);
        in.skip(6);
        r.entries = in.rest();
        if (!in.complete()) return false;
        auto walk = detail::record_reader{r.entries, 0};
        for (std::size_t i = 0; i < r.count && !walk.bad(); ++i) {
            auto const one = next(walk);
            walk.refuse_unless(one.name.size() <= database_name_max);
        }
        if (walk.bad() || !walk.rest().empty()) return false;
        return true;
    }
    static constexpr detail::record_parse<attach_list> parse{};
    // f(attach_entry const&) in the order of the record.
    template <class F>
    void for_each(F&& f) const noexcept {
        auto walk = detail::record_reader{entries, 0};
        for (std::size_t i = 0; i < count; ++i) f(next(walk));
    }

private:
    [[nodiscard]] static attach_entry next(detail::record_reader& in) noexcept {
        auto one = attach_entry{};
        one.database = {in.u16()};
        one.flags = in.u16();
        auto const name_size = std::size_t{in.u16()};
        in.skip(2);
        one.id = in.id();
        one.nonce = in.u64();
        one.attach_lsn = in.at();
        one.name = in.raw(name_size);
        in.skip(padded(name_size) - name_size);
        return one;
    }
};
static_assert(attach_list::size_max == 1696);

// 24 redo_lsn, 32 undo_low_lsn, 40 oldest snapshot. Information only.
struct checkpoint_mark {
    static constexpr record_type type = record_type::checkpoint_mark;
    lsn redo_lsn{};
    lsn undo_low_lsn{};
    lsn oldest_snapshot{};

    [[nodiscard]] std::size_t size() const noexcept { return 48; }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.at(redo_lsn).at(undo_low_lsn).at(oldest_snapshot).pad();
    }
    [[nodiscard]] static bool read(const_bytes record, checkpoint_mark& r) noexcept {
        auto in = detail::record_reader{record};
        r.redo_lsn = in.at();
        r.undo_low_lsn = in.at();
        r.oldest_snapshot = in.at();
        return in.complete();
    }
    static constexpr detail::record_parse<checkpoint_mark> parse{};
};

// 24 set uuid, 40 kind u32, 44 n u32, 48 redo_lsn, 56 undo_low_lsn, 64 log_start,
// 72 n x {db_id u16, zero 6, uuid 16}
struct backup_begin {
    static constexpr record_type type = record_type::backup_begin;
    static constexpr std::size_t member_size = 24;
    uuid set{};
    std::uint32_t kind{};
    std::uint32_t count{};
    lsn redo_lsn{};
    lsn undo_low_lsn{};
    lsn log_start{};
    const_bytes members{}; // count x member_size

    static void encode_member(std::byte* at, backup_member const& one) noexcept {
        store_le<std::uint64_t>(at, one.database.value); // db_id u16, zero 6
        std::memcpy(at + 8, one.id.raw.data(), 16);
    }
    [[nodiscard]] backup_member member(std::size_t i) const noexcept {
        ensure(i < count, "backup_begin::member within bounds");
        auto const* at = members.data() + member_size * i;
        auto one = backup_member{.database = {load_le<std::uint16_t>(at)}};
        std::memcpy(one.id.raw.data(), at + 8, 16);
        return one;
    }

    [[nodiscard]] std::size_t size() const noexcept { return padded(72 + members.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .id(set)
            .u32(kind)
            .u32(count)
            .at(redo_lsn)
            .at(undo_low_lsn)
            .at(log_start)
            .raw(members)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, backup_begin& r) noexcept {
        auto in = detail::record_reader{record};
        r.set = in.id();
        r.kind = in.u32();
        r.count = in.u32();
        in.refuse_unless(r.count <= databases_max);
        r.redo_lsn = in.at();
        r.undo_low_lsn = in.at();
        r.log_start = in.at();
        r.members = in.raw(std::uint64_t{member_size} * r.count);
        return in.complete();
    }
    static constexpr detail::record_parse<backup_begin> parse{};
};

// 24 set uuid, 40 status u32, 44 kind u32, 48 redo_lsn, 56 log_start, 64 end_lsn, 72 time,
// 80 timeline, 88 manifest hash u64, 96 n u32, 100 zero 4, 104 n x uuid 16.
// Redo stamps the headers from it again.
struct backup_end {
    static constexpr record_type type = record_type::backup_end;
    static constexpr std::size_t member_size = 16;
    uuid set{};
    backup_status status{};
    std::uint32_t kind{};
    lsn redo_lsn{};
    lsn log_start{};
    lsn end_lsn{};
    wall_time time{};
    timeline_id timeline{};
    std::uint64_t manifest_hash{};
    std::uint32_t count{};
    const_bytes members{}; // count x uuid

    [[nodiscard]] uuid member(std::size_t i) const noexcept {
        ensure(i < count, "backup_end::member within bounds");
        auto one = uuid{};
        std::memcpy(one.raw.data(), members.data() + member_size * i, 16);
        return one;
    }

    [[nodiscard]] std::size_t size() const noexcept { return padded(104 + members.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .id(set)
            .u32(static_cast<std::uint32_t>(status))
            .u32(kind)
            .at(redo_lsn)
            .at(log_start)
            .at(end_lsn)
            .time(time)
            .u64(timeline.value)
            .u64(manifest_hash)
            .u32(count)
            .zero(4)
            .raw(members)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, backup_end& r) noexcept {
        auto in = detail::record_reader{record};
        r.set = in.id();
        r.status = static_cast<backup_status>(in.u32());
        r.kind = in.u32();
        r.redo_lsn = in.at();
        r.log_start = in.at();
        r.end_lsn = in.at();
        r.time = in.time();
        r.timeline = {in.u64()};
        r.manifest_hash = in.u64();
        r.count = in.u32();
        in.refuse_unless(r.count <= databases_max);
        in.skip(4);
        r.members = in.raw(std::uint64_t{member_size} * r.count);
        return in.complete();
    }
    static constexpr detail::record_parse<backup_end> parse{};
};

// 24 scan start, 32 E, 40 losers u32, 44 reason u32
struct recovery_begin {
    static constexpr record_type type = record_type::recovery_begin;
    lsn scan_start{};
    lsn end{};
    std::uint32_t losers{};
    recovery_reason reason{};

    [[nodiscard]] std::size_t size() const noexcept { return 48; }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .at(scan_start)
            .at(end)
            .u32(losers)
            .u32(static_cast<std::uint32_t>(reason))
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, recovery_begin& r) noexcept {
        auto in = detail::record_reader{record};
        r.scan_start = in.at();
        r.end = in.at();
        r.losers = in.u32();
        r.reason = static_cast<recovery_reason>(in.u32());
        return in.complete();
    }
    static constexpr detail::record_parse<recovery_begin> parse{};
};

// 24 cut E, 32 incarnation u32, 36 losers u32, 40 records redone u64, 48 wall i64
struct recovery_end {
    static constexpr record_type type = record_type::recovery_end;
    lsn cut{};
    std::uint32_t incarnation{};
    std::uint32_t losers{};
    std::uint64_t records_redone{};
    wall_time wall{};

    [[nodiscard]] std::size_t size() const noexcept { return 56; }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .at(cut)
            .u32(incarnation)
            .u32(losers)
            .u64(records_redone)
            .time(wall)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, recovery_end& r) noexcept {
        auto in = detail::record_reader{record};
        r.cut = in.at();
        r.incarnation = in.u32();
        r.losers = in.u32();
        r.records_redone = in.u64();
        r.wall = in.time();
        return in.complete();
    }
    static constexpr detail::record_parse<recovery_end> parse{};
};

} // namespace record
} // namespace jetpp::inline v1
