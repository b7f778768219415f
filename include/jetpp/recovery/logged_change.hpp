// jetpp/recovery/logged_change.hpp - what a committed transaction changed, as readers of changes
// see it.
//
// Values are told as far as the log tells them: an insert has the whole new value, an erase the
// whole old one, an update the ranges that differ, in both states. Whoever keeps the rows applies
// an update to the value it has (apply()), which also proves that it has the right one.
// Owns     nothing: views live until the stream goes on.
// Threads  values.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/env/runtime.hpp>
#include <jetpp/log/records_rows.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace jetpp::inline v1 {

enum class change_type : std::uint8_t {
    insert,
    update,
    erase,
    tree_create,
    tree_drop, // with all its rows: no erase is logged for them
};
[[nodiscard]] constexpr std::string_view name_of(change_type type) noexcept {
    switch (type) {
    case change_type::insert: return "insert";
    case change_type::update: return "update";
    case change_type::erase: return "erase";
    case change_type::tree_create: return "tree_create";
    case change_type::tree_drop: return "tree_drop";
    }
    return "unknown";
}

struct logged_change {
    change_type type{};
    lsn at{}; // of its record
    database_id database{};
    tree_id tree{};
    std::string_view database_name{};
    // Empty if neither the log that was read nor name_tree() tells: a tree older than that log.
    std::string_view tree_name{};
    const_bytes key{};       // of a row
    const_bytes old_value{}; // of an erase: all of it
    const_bytes new_value{}; // of an insert: all of it
    record::update patch{};  // of an update: sizes and ranges

    [[nodiscard]] bool is_row() const noexcept {
        return type == change_type::insert || type == change_type::update ||
               type == change_type::erase;
    }
    // Of the value after the change; 0 of what leaves none.
    [[nodiscard]] std::size_t new_size() const noexcept {
        return type == change_type::update ? patch.new_size : new_value.size();
    }
    // Writes the value after the change, given the one before.
    // Requires: into.size() == new_size(), no overlap; of a row.
    // Returns: false iff `from` is not the value before, as far as the log knows it.
    [[nodiscard]] bool apply(const_bytes from, bytes into) const noexcept {
        if (type == change_type::update) return patch.apply(from, into);
        if (into.size() != new_value.size()) return false;
        if (!into.empty()) std::memcpy(into.data(), new_value.data(), into.size());
        return type == change_type::insert ||
               (from.size() == old_value.size() && compare_bytes(from, old_value) == 0);
    }
};

struct committed_transaction {
    lsn first{}; // its name: the LSN of its first record
    lsn at{};    // of its commit record: its place in the order of commits
    wall_time wall{};
    timeline_id timeline{};
    const_bytes tag{};
    std::span<logged_change const> changes{}; // in the order in which they were made
};

} // namespace jetpp::inline v1
