// jetpp/core/ids.hpp - the small numbers that name things: page, tree, database, timeline, uuid.
//
// Each is a type of its own, so that a page number is never passed where a tree id belongs.
// An id of zero means "none", except page numbers, whose "none" is no_page.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

// Page p of a database begins at byte p x page_size of its file.
struct page_number {
    std::uint32_t value{};
    friend constexpr auto operator<=>(page_number, page_number) noexcept = default;
    friend constexpr page_number operator+(page_number p, std::uint32_t n) noexcept {
        return {p.value + n};
    }
};
inline constexpr page_number no_page{~std::uint32_t{0}};

// Unique in its database for ever; never reused. 1 catalogue, 2 pending work, users from 16.
struct tree_id {
    std::uint32_t value{};
    friend constexpr auto operator<=>(tree_id, tree_id) noexcept = default;
};
inline constexpr tree_id no_tree{0};
inline constexpr tree_id catalogue_tree{1};
inline constexpr tree_id pending_tree{2};
inline constexpr tree_id first_user_tree{16};

// Names a database inside one instance's log; 0 is "none".
struct database_id {
    std::uint16_t value{};
    friend constexpr auto operator<=>(database_id, database_id) noexcept = default;
};
inline constexpr database_id no_database{0};
inline constexpr std::size_t databases_max = 16;

// A random non-zero number that names one lineage of history; a restore that undoes starts another.
struct timeline_id {
    std::uint64_t value{};
    friend constexpr auto operator<=>(timeline_id, timeline_id) noexcept = default;
    [[nodiscard]] constexpr std::uint32_t low() const noexcept {
        return static_cast<std::uint32_t>(value);
    }
};

struct uuid {
    std::array<std::byte, 16> raw{}; // in the order of its text form
    friend constexpr bool operator==(uuid const&, uuid const&) noexcept = default;
    [[nodiscard]] constexpr bool is_nil() const noexcept { return *this == uuid{}; }
};

// Random uuid (RFC 4122, version 4) from 128 random bits.
[[nodiscard]] constexpr uuid make_uuid(std::uint64_t high, std::uint64_t low) noexcept {
    auto id = uuid{};
    for (std::size_t i = 0; i < 8; ++i) {
        id.raw[i] = static_cast<std::byte>(high >> (56 - 8 * i));
        id.raw[8 + i] = static_cast<std::byte>(low >> (56 - 8 * i));
    }
    id.raw[6] = (id.raw[6] & std::byte{0x0F}) | std::byte{0x40};
    id.raw[8] = (id.raw[8] & std::byte{0x3F}) | std::byte{0x80};
    return id;
}

// The 32 lowercase hex digits of a uuid, no dashes: as manifests and file names write it.
[[nodiscard]] constexpr std::array<char, 32> hex_of(uuid const& id) noexcept {
    auto text = std::array<char, 32>{};
    constexpr char digits[] = "0123456789abcdef";
    for (std::size_t i = 0; i < 16; ++i) {
        text[2 * i] = digits[std::to_integer<unsigned>(id.raw[i] >> 4)];
        text[2 * i + 1] = digits[std::to_integer<unsigned>(id.raw[i] & std::byte{15})];
    }
    return text;
}

} // namespace jetpp::inline v1
