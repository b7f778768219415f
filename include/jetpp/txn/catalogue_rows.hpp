// jetpp/txn/catalogue_rows.hpp - the rows of the two system trees.
//
// Tree 1, the catalogue (versioned like user rows):
//   key 00                       value: next tree id u32
//   key 01, tree id (4, BE)      value: format u16 = 1, kind u16, root page u32, flags u32,
//                                       owner tree id u32, name length u16, name
//   key 02, name bytes           value: tree id u32
// Tree 2, pending work:
//   key 02, tree id (4, BE)      value: root page u32, flags u32, dropped by (transaction id) u64
// Recovery reads them to find a tree's root, the engine to open, create and drop trees.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace jetpp::inline v1 {

enum class tree_kind : std::uint16_t { key_value = 1, table = 2, index = 3 };

inline constexpr std::size_t tree_name_bytes_max = 200;

// Bytes of a key or value of the system trees, built in place.
template <std::size_t Capacity>
class short_bytes {
public:
    [[nodiscard]] const_bytes view() const noexcept { return {raw_.data(), size_}; }

    void add_byte(std::uint8_t b) noexcept { raw_[size_++] = std::byte{b}; }
    template <std::unsigned_integral T>
    void add_le(std::type_identity_t<T> number) noexcept {
        store_le<T>(raw_.data() + size_, number);
        size_ += sizeof(T);
    }
    template <std::unsigned_integral T>
    void add_be(std::type_identity_t<T> number) noexcept {
        store_be<T>(raw_.data() + size_, number);
        size_ += sizeof(T);
    }
    // Requires: it fits.
    void add(const_bytes part) noexcept {
        if (!part.empty()) std::memcpy(raw_.data() + size_, part.data(), part.size());
        size_ += part.size();
    }

private:
    std::array<std::byte, Capacity> raw_{};
    std::size_t size_ = 0;
};

using system_key = short_bytes<1 + tree_name_bytes_max>;
using system_value = short_bytes<32 + tree_name_bytes_max>;

[[nodiscard]] inline system_key next_tree_key() noexcept {
    auto key = system_key{};
    key.add_byte(0);
    return key;
}
[[nodiscard]] inline system_key tree_row_key(tree_id tree) noexcept {
    auto key = system_key{};
    key.add_byte(1);
    key.add_be<std::uint32_t>(tree.value);
    return key;
}
// Requires: name.size() <= tree_name_bytes_max.
[[nodiscard]] inline system_key tree_name_key(std::string_view name) noexcept {
    auto key = system_key{};
    key.add_byte(2);
    key.add(as_bytes(name));
    return key;
}
[[nodiscard]] inline system_key pending_drop_key(tree_id tree) noexcept {
    auto key = system_key{};
    key.add_byte(2);
    key.add_be<std::uint32_t>(tree.value);
    return key;
}

[[nodiscard]] inline system_value encode_tree_id(tree_id tree) noexcept {
    auto value = system_value{};
    value.add_le<std::uint32_t>(tree.value);
    return value;
}
// Errors: structure_damaged.
[[nodiscard]] inline result<tree_id> decode_tree_id(const_bytes value) noexcept {
    if (value.size() != 4) return error{.code = errc::structure_damaged, .reason = damage::layout};
    return tree_id{load_le<std::uint32_t>(value.data())};
}

struct tree_row {
    tree_kind kind = tree_kind::key_value;
    page_number root{};
    std::uint32_t flags{};
    tree_id owner{};
    std::string_view name{}; // view into the decoded value
};

[[nodiscard]] inline system_value encode(tree_row const& row) noexcept {
    auto value = system_value{};
    value.add_le<std::uint16_t>(1);
    value.add_le<std::uint16_t>(static_cast<std::uint16_t>(row.kind));
    value.add_le<std::uint32_t>(row.root.value);
    value.add_le<std::uint32_t>(row.flags);
    value.add_le<std::uint32_t>(row.owner.value);
    value.add_le<std::uint16_t>(static_cast<std::uint16_t>(row.name.size()));
    value.add(as_bytes(row.name));
    return value;
}
// Errors: unsupported_format (a later row format), structure_damaged.
[[nodiscard]] inline result<tree_row> decode_tree_row(const_bytes value) noexcept {
    auto const damaged = error{.code = errc::structure_damaged, .reason = damage::layout};
    if (value.size() < 18) return damaged;
    auto const* p = value.data();
    if (load_le<std::uint16_t>(p) != 1) return error{.code = errc::unsupported_format};
    auto const name_bytes = load_le<std::uint16_t>(p + 16);
    if (value.size() != 18U + name_bytes || name_bytes > tree_name_bytes_max) return damaged;
    return tree_row{
        .kind = static_cast<tree_kind>(load_le<std::uint16_t>(p + 2)),
        .root = {load_le<std::uint32_t>(p + 4)},
        .flags = load_le<std::uint32_t>(p + 8),
        .owner = {load_le<std::uint32_t>(p + 12)},
        .name = as_text(value.subspan(18)),
    };
}

struct pending_drop {
    page_number root{};
    std::uint32_t flags{};
    lsn dropped_by{};
};

[[nodiscard]] inline system_value encode(pending_drop const& row) noexcept {
    auto value = system_value{};
    value.add_le<std::uint32_t>(row.root.value);
    value.add_le<std::uint32_t>(row.flags);
    value.add_le<std::uint64_t>(row.dropped_by.value);
    return value;
}
[[nodiscard]] inline result<pending_drop> decode_pending_drop(const_bytes value) noexcept {
    if (value.size() != 16) return error{.code = errc::structure_damaged, .reason = damage::layout};
    auto const* p = value.data();
    return pending_drop{
        .root = {load_le<std::uint32_t>(p)},
        .flags = load_le<std::uint32_t>(p + 4),
        .dropped_by = {load_le<std::uint64_t>(p + 8)},
    };
}

} // namespace jetpp::inline v1
