// jetpp/log/records_rows.hpp - the records of rows: insert, update, ghost, revive, runs of them.
//
// Shape of the structs: see records_marks.hpp. "P" is the page part at 24..47.
// Redo is physical to the page (the slot of P), undo is logical (the whole key, and the value as
// it was before, are always in the record). Some records have a second struct, `*_draft`, which
// writes the same bytes from a writer's own memory instead of from a view of a record.
// Owns     nothing: fields of type const_bytes are views of the caller's memory.
// Threads  pure functions.
// Source   ARIES: physiological redo, logical undo.
#pragma once

#include <jetpp/log/detail/record_bytes.hpp>
#include <jetpp/log/record.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace jetpp::inline v1 {

// A stretch of a value that an update changes; `offset` counts in the old value.
struct changed_range {
    std::uint32_t offset{};
    const_bytes old_bytes{};
    const_bytes new_bytes{};
};

struct key_value {
    const_bytes key{};
    const_bytes value{};
};

struct removed_ghost {
    std::uint16_t slot{};
    const_bytes key{};
};

namespace record {

// P, 48 klen u16, 50 vlen u16, 52 key, value
struct insert {
    static constexpr record_type type = record_type::insert;
    page_part part{};
    const_bytes key{};
    const_bytes value{};

    [[nodiscard]] static constexpr std::size_t size_for(
        std::size_t key, std::size_t value
    ) noexcept {
        return padded(52 + key + value);
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_for(key.size(), value.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .part(part)
            .u16(key.size())
            .u16(value.size())
            .raw(key)
            .raw(value)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, insert& r) noexcept {
        auto in = detail::record_reader{record};
        r.part = in.part();
        auto const key_size = in.u16();
        auto const value_size = in.u16();
        r.key = in.raw(key_size);
        r.value = in.raw(value_size);
        return in.complete();
    }
    static constexpr detail::record_parse<insert> parse{};
};

// P, 48 klen u16, 50 vlen u16, 52 key, value left under the ghost: the value before, except in
// the compensation of a revive
struct ghost {
    static constexpr record_type type = record_type::ghost;
    page_part part{};
    const_bytes key{};
    const_bytes value{};

    [[nodiscard]] static constexpr std::size_t size_for(
        std::size_t key, std::size_t value
    ) noexcept {
        return padded(52 + key + value);
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_for(key.size(), value.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .part(part)
            .u16(key.size())
            .u16(value.size())
            .raw(key)
            .raw(value)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, ghost& r) noexcept {
        auto in = detail::record_reader{record};
        r.part = in.part();
        auto const key_size = in.u16();
        auto const value_size = in.u16();
        r.key = in.raw(key_size);
        r.value = in.raw(value_size);
        return in.complete();
    }
    static constexpr detail::record_parse<ghost> parse{};
};

// P, 48 klen u16, 50 old vlen u16, 52 new vlen u16, 54 zero 2, 56 key, value under the ghost,
// new value
struct revive {
    static constexpr record_type type = record_type::revive;
    page_part part{};
    const_bytes key{};
    const_bytes old_value{};
    const_bytes new_value{};

    [[nodiscard]] static constexpr std::size_t size_for(
        std::size_t key, std::size_t old_value, std::size_t new_value
    ) noexcept {
        return padded(56 + key + old_value + new_value);
    }
    [[nodiscard]] std::size_t size() const noexcept {
        return size_for(key.size(), old_value.size(), new_value.size());
    }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .part(part)
            .u16(key.size())
            .u16(old_value.size())
            .u16(new_value.size())
            .zero(2)
            .raw(key)
            .raw(old_value)
            .raw(new_value)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, revive& r) noexcept {
        auto in = detail::record_reader{record};
        r.part = in.part();
        auto const key_size = in.u16();
        auto const old_size = in.u16();
        auto const new_size = in.u16();
        in.skip(2);
        r.key = in.raw(key_size);
        r.old_value = in.raw(old_size);
        r.new_value = in.raw(new_size);
        return in.complete();
    }
    static constexpr detail::record_parse<revive> parse{};
};

// P, 48 klen u16, 50 n ranges u16, 52 old value length u32, 56 new value length u32, 60 zero 4,
// 64 n x {offset u32, old length u32, new length u32}, key, then per range old bytes, new bytes.
// Offsets count in the old value and ascend; bytes between ranges are the same in both values.
struct update {
    static constexpr record_type type = record_type::update;
    page_part part{};
    const_bytes key{};
    std::uint32_t old_size{};
    std::uint32_t new_size{};
    std::uint16_t range_count{};
    const_bytes table{};   // range_count x 12
    const_bytes content{}; // old and new bytes of the ranges in turn

    [[nodiscard]] std::size_t size() const noexcept {
        return padded(64 + table.size() + key.size() + content.size());
    }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .part(part)
            .u16(key.size())
            .u16(range_count)
            .u32(old_size)
            .u32(new_size)
            .zero(4)
            .raw(table)
            .raw(key)
            .raw(content)
            .pad();
    }
    // Refuses ranges that overlap, descend, leave the old value or do not add up to the new size.
    [[nodiscard]] static bool read(const_bytes record, update& r) noexcept {
        auto in = detail::record_reader{record};
        r.part = in.part();
        auto const key_size = in.u16();
        r.range_count = in.u16();
        r.old_size = in.u32();
        r.new_size = in.u32();
        in.skip(4);
        r.table = in.raw(std::uint64_t{12} * r.range_count);
        r.key = in.raw(key_size);
        auto content_size = std::uint64_t{0};
        auto old_end = std::uint64_t{0};
        auto new_total = std::uint64_t{r.old_size};
        for (std::size_t i = 0; i < r.table.size(); i += 12) {
            auto const offset = load_le<std::uint32_t>(r.table.data() + i);
            auto const old_length = load_le<std::uint32_t>(r.table.data() + i + 4);
            auto const new_length = load_le<std::uint32_t>(r.table.data() + i + 8);
            in.refuse_unless(offset >= old_end);
            old_end = std::uint64_t{offset} + old_length;
            in.refuse_unless(old_end <= r.old_size);
            if (in.bad()) break;
            content_size += std::uint64_t{old_length} + new_length;
            new_total = new_total - old_length + new_length;
        }
        in.refuse_unless(new_total == r.new_size);
        r.content = in.raw(content_size);
        return in.complete();
    }
    static constexpr detail::record_parse<update> parse{};

    // f(changed_range const&) for each range in order. Requires: parsed, or built as parse demands.
    template <class F>
    void for_each_range(F&& f) const noexcept {
        auto const* next = content.data();
        for (std::size_t i = 0; i < table.size(); i += 12) {
            auto const offset = load_le<std::uint32_t>(table.data() + i);
            auto const old_length = load_le<std::uint32_t>(table.data() + i + 4);
            auto const new_length = load_le<std::uint32_t>(table.data() + i + 8);
            f(changed_range{
                .offset = offset,
                .old_bytes = {next, old_length},
                .new_bytes = {next + old_length, new_length}
            });
            next += std::size_t{old_length} + new_length;
        }
    }
    // Makes the new value of the old one (redo).
    // Requires: into.size() == new_size, no overlap with `from`.
    // Returns: false iff `from` is not the old value as far as the record knows it.
    [[nodiscard]] bool apply(const_bytes from, bytes into) const noexcept {
        return rebuild<false>(from, into);
    }
    // Makes the old value of the new one (undo). Requires: into.size() == old_size, no overlap.
    [[nodiscard]] bool revert(const_bytes from, bytes into) const noexcept {
        return rebuild<true>(from, into);
    }

private:
    template <bool Backwards>
    [[nodiscard]] bool rebuild(const_bytes from, bytes into) const noexcept {
        if (from.size() != (Backwards ? new_size : old_size)) return false;
        if (into.size() != (Backwards ? old_size : new_size)) return false;
        auto read = std::size_t{0};
        auto written = std::size_t{0};
        auto same = true;
        auto const copy = [&](const_bytes source) {
            if (!source.empty()) std::memcpy(into.data() + written, source.data(), source.size());
            written += source.size();
        };
        for_each_range([&](changed_range const& range) {
            auto const place = Backwards ? written : read; // both count in the old value
            auto const kept = range.offset - place;
            copy(from.subspan(read, kept));
            read += kept;
            auto const gone = Backwards ? range.new_bytes : range.old_bytes;
            same = same && compare_bytes(from.subspan(read, gone.size()), gone) == 0;
            read += gone.size();
            copy(Backwards ? range.old_bytes : range.new_bytes);
        });
        copy(from.subspan(read));
        return same;
    }
};

// The same bytes from the ranges themselves.
struct update_draft {
    static constexpr record_type type = record_type::update;
    page_part part{};
    const_bytes key{};
    std::uint32_t old_size{};
    std::uint32_t new_size{};
    std::span<changed_range const> ranges{};

    // An upper bound for one range; more ranges are only chosen where that is shorter.
    [[nodiscard]] static constexpr std::size_t size_for(
        std::size_t key, std::size_t old_value, std::size_t new_value
    ) noexcept {
        return padded(64 + 12 + key + old_value + new_value);
    }
    [[nodiscard]] std::size_t size() const noexcept {
        auto used = 64 + key.size();
        for (auto const& range : ranges)
            used += 12 + range.old_bytes.size() + range.new_bytes.size();
        return padded(used);
    }
    void encode(std::byte* record) const noexcept {
        auto out = detail::record_writer{record};
        out.part(part).u16(key.size()).u16(ranges.size()).u32(old_size).u32(new_size).zero(4);
        for (auto const& range : ranges)
            out.u32(range.offset).u32(range.old_bytes.size()).u32(range.new_bytes.size());
        out.raw(key);
        for (auto const& range : ranges) out.raw(range.old_bytes).raw(range.new_bytes);
        out.pad();
    }
};

// P (slot none), 48 n u16, 50 zero 2, 52 n x {slot u16, klen u16}, keys. System. Slots are those
// before the record, ascending.
struct ghost_remove {
    static constexpr record_type type = record_type::ghost_remove;
    page_part part{};
    std::uint16_t count{};
    const_bytes table{}; // count x 4
    const_bytes keys{};

    [[nodiscard]] std::size_t size() const noexcept {
        return padded(52 + table.size() + keys.size());
    }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.part(part).u16(count).zero(2).raw(table).raw(keys).pad();
    }
    [[nodiscard]] static bool read(const_bytes record, ghost_remove& r) noexcept {
        auto in = detail::record_reader{record};
        r.part = in.part();
        r.count = in.u16();
        in.skip(2);
        r.table = in.raw(std::uint64_t{4} * r.count);
        auto keys_size = std::uint64_t{0};
        auto slot_min = std::uint32_t{0};
        for (std::size_t i = 0; i < r.table.size(); i += 4) {
            auto const slot = load_le<std::uint16_t>(r.table.data() + i);
            in.refuse_unless(slot >= slot_min);
            slot_min = std::uint32_t{slot} + 1;
            keys_size += load_le<std::uint16_t>(r.table.data() + i + 2);
        }
        r.keys = in.raw(keys_size);
        return in.complete();
    }
    static constexpr detail::record_parse<ghost_remove> parse{};
    // f(removed_ghost const&) in ascending order of slots.
    template <class F>
    void for_each(F&& f) const noexcept {
        auto const* next = keys.data();
        for (std::size_t i = 0; i < table.size(); i += 4) {
            auto const key_size = load_le<std::uint16_t>(table.data() + i + 2);
            f(removed_ghost{load_le<std::uint16_t>(table.data() + i), {next, key_size}});
            next += key_size;
        }
    }
};

struct ghost_remove_draft {
    static constexpr record_type type = record_type::ghost_remove;
    page_part part{};
    std::span<removed_ghost const> ghosts{};

    [[nodiscard]] std::size_t size() const noexcept {
        auto used = std::size_t{52};
        for (auto const& one : ghosts) used += 4 + one.key.size();
        return padded(used);
    }
    void encode(std::byte* record) const noexcept {
        auto out = detail::record_writer{record};
        out.part(part).u16(ghosts.size()).zero(2);
        for (auto const& one : ghosts) out.u16(one.slot).u16(one.key.size());
        for (auto const& one : ghosts) out.raw(one.key);
        out.pad();
    }
};

// P (slot = first), 48 n u16, 50 zero 2, 52 bytes of the rest u32, 56 n x {klen u16, vlen u16, key,
// value}. Adjacent keys of one leaf, none indirect; n undo entries with this LSN.
struct insert_run {
    static constexpr record_type type = record_type::insert_run;
    page_part part{};
    std::uint16_t count{};
    const_bytes rows{};

    [[nodiscard]] std::size_t size() const noexcept { return padded(56 + rows.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .part(part)
            .u16(count)
            .zero(2)
            .u32(rows.size())
            .raw(rows)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, insert_run& r) noexcept {
        auto in = detail::record_reader{record};
        r.part = in.part();
        r.count = in.u16();
        in.skip(2);
        auto const rows_size = in.u32();
        r.rows = in.raw(rows_size);
        if (!in.complete()) return false;
        auto row = detail::record_reader{r.rows, 0};
        for (std::size_t i = 0; i < r.count && !row.bad(); ++i) {
            auto const key_size = row.u16();
            auto const value_size = row.u16();
            row.skip(std::uint64_t{key_size} + value_size);
        }
        if (row.bad() || !row.rest().empty()) return false;
        return true;
    }
    static constexpr detail::record_parse<insert_run> parse{};
    // f(key_value const&) in ascending order of keys.
    template <class F>
    void for_each(F&& f) const noexcept {
        auto row = detail::record_reader{rows, 0};
        for (std::size_t i = 0; i < count; ++i) {
            auto const key_size = row.u16();
            auto const value_size = row.u16();
            auto const key = row.raw(key_size);
            f(key_value{key, row.raw(value_size)});
        }
    }
};

struct insert_run_draft {
    static constexpr record_type type = record_type::insert_run;
    page_part part{};
    std::span<key_value const> rows{};

    [[nodiscard]] std::size_t rows_size() const noexcept {
        auto used = std::size_t{0};
        for (auto const& row : rows) used += 4 + row.key.size() + row.value.size();
        return used;
    }
    [[nodiscard]] std::size_t size() const noexcept { return padded(56 + rows_size()); }
    void encode(std::byte* record) const noexcept {
        auto out = detail::record_writer{record};
        out.part(part).u16(rows.size()).zero(2).u32(rows_size());
        for (auto const& row : rows)
            out.u16(row.key.size()).u16(row.value.size()).raw(row.key).raw(row.value);
        out.pad();
    }
};

} // namespace record
} // namespace jetpp::inline v1
