// jetpp/log/records_space.hpp - the records of pages, space and trees.
//
// Shape of the structs: see records_marks.hpp. Parts: see structure_parts.hpp, and
// structure_builder.hpp to write them. "P" is the page part at 24..47.
// Owns     nothing: fields of type const_bytes are views of the caller's memory.
// Threads  pure functions.
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/log/detail/record_bytes.hpp>
#include <jetpp/log/record.hpp>
#include <jetpp/log/structure_parts.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace jetpp::inline v1::record {

// 24 op u16, 26 n parts u16, 28 zero 4, 32 parts. System, transaction 0, never undone.
struct structure {
    static constexpr record_type type = record_type::structure;
    structure_op op{};
    std::uint16_t part_count{};
    const_bytes parts{};

    [[nodiscard]] std::size_t size() const noexcept { return padded(32 + parts.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .u16(static_cast<std::uint16_t>(op))
            .u16(part_count)
            .zero(4)
            .raw(parts)
            .pad();
    }
    // Refuses two parts of one page, and frames of parts or actions that leave the record.
    [[nodiscard]] static bool read(const_bytes record, structure& r) noexcept {
        auto in = detail::record_reader{record};
        r.op = static_cast<structure_op>(in.u16());
        r.part_count = in.u16();
        in.skip(4);
        r.parts = in.rest();
        if (!in.complete()) return false;
        return detail::check_parts(r.parts, r.part_count).has_value();
    }
    static constexpr detail::record_parse<structure> parse{};
};

// P (flag 1), 48 kind u8, level u8, zero 2, 52 head length u32, 56 tail length u32, 60 zero 4,
// 64 page bytes 16..127, then head = bytes from 128, then tail = bytes up to the page's end; the
// hole between is zero.
struct page_image {
    static constexpr record_type type = record_type::page_image;
    static constexpr std::size_t page_header_begin = 16;
    static constexpr std::size_t page_header_bytes = 112;
    page_part part{};
    std::uint8_t kind{};
    std::uint8_t level{};
    const_bytes page_header{}; // page bytes 16..127
    const_bytes head{};
    const_bytes tail{};

    // Requires: `page` is a whole page; head + tail <= page size - 128.
    [[nodiscard]] static page_image of(
        page_part const& part, const_bytes page, std::size_t head_size, std::size_t tail_size
    ) noexcept {
        return {
            .part = part,
            .kind = std::to_integer<std::uint8_t>(page[24]),
            .level = std::to_integer<std::uint8_t>(page[25]),
            .page_header = page.subspan(page_header_begin, page_header_bytes),
            .head = page.subspan(128, head_size),
            .tail = page.last(tail_size),
        };
    }

    [[nodiscard]] std::size_t size() const noexcept {
        return padded(64 + page_header_bytes + head.size() + tail.size());
    }
    void encode(std::byte* record) const noexcept {
        ensure(page_header.size() == page_header_bytes, "a page image carries page bytes 16..127");
        detail::record_writer{record}
            .part(part)
            .u8(kind)
            .u8(level)
            .zero(2)
            .u32(head.size())
            .u32(tail.size())
            .zero(4)
            .raw(page_header)
            .raw(head)
            .raw(tail)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, page_image& r) noexcept {
        auto in = detail::record_reader{record};
        r.part = in.part();
        r.kind = in.u8();
        r.level = in.u8();
        in.skip(2);
        auto const head_size = in.u32();
        auto const tail_size = in.u32();
        in.skip(4);
        r.page_header = in.raw(page_header_bytes);
        r.head = in.raw(head_size);
        r.tail = in.raw(tail_size);
        return in.complete();
    }
    static constexpr detail::record_parse<page_image> parse{};
};

// 24 n u16, 26 zero 6, 32 n map parts. System, or compensation of page_alloc.
struct page_free {
    static constexpr record_type type = record_type::page_free;
    std::uint16_t part_count{};
    const_bytes parts{};

    [[nodiscard]] std::size_t size() const noexcept { return padded(32 + parts.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.u16(part_count).zero(6).raw(parts).pad();
    }
    [[nodiscard]] static bool read(const_bytes record, page_free& r) noexcept {
        auto in = detail::record_reader{record};
        r.part_count = in.u16();
        in.skip(6);
        r.parts = in.rest();
        if (!in.complete()) return false;
        return detail::check_map_parts(r.parts, r.part_count).has_value();
    }
    static constexpr detail::record_parse<page_free> parse{};
};

// As page_free, bits set; with a transaction it is undoable (blobs).
struct page_alloc {
    static constexpr record_type type = record_type::page_alloc;
    std::uint16_t part_count{};
    const_bytes parts{};

    [[nodiscard]] std::size_t size() const noexcept { return padded(32 + parts.size()); }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.u16(part_count).zero(6).raw(parts).pad();
    }
    [[nodiscard]] static bool read(const_bytes record, page_alloc& r) noexcept {
        auto same = page_free{};
        if (!page_free::read(record, same)) return false;
        r = {same.part_count, same.parts};
        return true;
    }
    static constexpr detail::record_parse<page_alloc> parse{};
};

// 24 old pages u32, 28 new pages u32. Redo formats the map page of every region that begins in
// [old, new) with this LSN.
struct extend {
    static constexpr record_type type = record_type::extend;
    std::uint32_t old_pages{};
    std::uint32_t new_pages{};

    [[nodiscard]] std::size_t size() const noexcept { return 32; }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}.u32(old_pages).u32(new_pages).pad();
    }
    [[nodiscard]] static bool read(const_bytes record, extend& r) noexcept {
        auto in = detail::record_reader{record};
        r.old_pages = in.u32();
        r.new_pages = in.u32();
        in.refuse_unless(r.old_pages <= r.new_pages);
        return in.complete();
    }
    static constexpr detail::record_parse<extend> parse{};
};

// 24 n parts u16, 26 name length u16, 28 root page u32, 32 parts (map part, root format), name.
// Of a transaction, undoable. The catalogue rows are ordinary records beside it.
struct tree_create {
    static constexpr record_type type = record_type::tree_create;
    std::uint16_t part_count{};
    page_number root{};
    const_bytes parts{};
    const_bytes name{};

    [[nodiscard]] std::size_t size() const noexcept {
        return padded(32 + parts.size() + name.size());
    }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .u16(part_count)
            .u16(name.size())
            .u32(root.value)
            .raw(parts)
            .raw(name)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, tree_create& r) noexcept {
        auto in = detail::record_reader{record};
        r.part_count = in.u16();
        auto const name_size = in.u16();
        r.root = {in.u32()};
        if (in.bad() || r.part_count > structure_parts_max) return false;
        // Nothing states the size of all parts: they are walked, and the name follows.
        auto walk = in;
        auto parts_size = std::uint64_t{0};
        for (std::size_t i = 0; i < r.part_count && !walk.bad(); ++i) {
            walk.skip(page_part_size + 4);
            auto const actions_size = walk.u32();
            walk.skip(actions_size);
            parts_size += std::uint64_t{structure_part_size} + actions_size;
        }
        if (walk.bad()) return false;
        r.parts = in.raw(parts_size);
        r.name = in.raw(name_size);
        if (!in.complete()) return false;
        return detail::check_parts(r.parts, r.part_count).has_value();
    }
    static constexpr detail::record_parse<tree_create> parse{};
};

// 24 root page u32, 28 name length u16, 30 new name length u16, 32 names. A marker.
struct tree_drop {
    static constexpr record_type type = record_type::tree_drop;
    page_number root{};
    const_bytes name{};
    const_bytes new_name{}; // empty

    [[nodiscard]] std::size_t size() const noexcept {
        return padded(32 + name.size() + new_name.size());
    }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .u32(root.value)
            .u16(name.size())
            .u16(new_name.size())
            .raw(name)
            .raw(new_name)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, tree_drop& r) noexcept {
        auto in = detail::record_reader{record};
        r.root = {in.u32()};
        auto const name_size = in.u16();
        auto const new_name_size = in.u16();
        r.name = in.raw(name_size);
        r.new_name = in.raw(new_name_size);
        return in.complete();
    }
    static constexpr detail::record_parse<tree_drop> parse{};
};

struct tree_rename {
    static constexpr record_type type = record_type::tree_rename;
    page_number root{};
    const_bytes name{};
    const_bytes new_name{};

    [[nodiscard]] std::size_t size() const noexcept {
        return padded(32 + name.size() + new_name.size());
    }
    void encode(std::byte* record) const noexcept {
        detail::record_writer{record}
            .u32(root.value)
            .u16(name.size())
            .u16(new_name.size())
            .raw(name)
            .raw(new_name)
            .pad();
    }
    [[nodiscard]] static bool read(const_bytes record, tree_rename& r) noexcept {
        auto same = tree_drop{};
        if (!tree_drop::read(record, same)) return false;
        r = {same.root, same.name, same.new_name};
        return true;
    }
    static constexpr detail::record_parse<tree_rename> parse{};
};

} // namespace jetpp::inline v1::record
