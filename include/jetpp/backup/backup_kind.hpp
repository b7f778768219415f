// jetpp/backup/backup_kind.hpp - what a set carries, and what became of it: two small vocabularies.
//
// Kinds are conveniences for what to carry, not links that must be followed: restore plans over
// pages and log wherever they lie.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace jetpp::inline v1 {

// The numbers stand in backup_begin and backup_end records.
enum class backup_kind : std::uint32_t {
    full = 1,         // all pages, the log of the copy; clears the marks of the two log kinds
    copy = 2,         // as full, but nothing relies on it: stamps only its own mark
    incremental = 3,  // the log since the last full or incremental
    differential = 4, // the log since the last full
    pages = 5,        // the pages changed since a base, and the log of the copy
};

[[nodiscard]] constexpr std::string_view name_of(backup_kind kind) noexcept {
    switch (kind) {
    case backup_kind::full: return "full";
    case backup_kind::copy: return "copy";
    case backup_kind::incremental: return "incremental";
    case backup_kind::differential: return "differential";
    case backup_kind::pages: return "pages";
    }
    return "unknown";
}
// Are there pages in it, all or some?
[[nodiscard]] constexpr bool has_pages(backup_kind kind) noexcept {
    return kind == backup_kind::full || kind == backup_kind::copy || kind == backup_kind::pages;
}
// May log below its end be given up once it stands? Then everything relies on it.
[[nodiscard]] constexpr bool permits_truncation(backup_kind kind) noexcept {
    return kind == backup_kind::full || kind == backup_kind::incremental;
}
[[nodiscard]] constexpr std::optional<backup_kind> parse_backup_kind(std::string_view name
) noexcept {
    for (auto const kind :
         {backup_kind::full,
          backup_kind::copy,
          backup_kind::incremental,
          backup_kind::differential,
          backup_kind::pages})
        if (name == name_of(kind)) return kind;
    return std::nullopt;
}

// What a sink can say about the bytes it was given, when it has all of them.
enum class backup_receipt : std::uint8_t {
    durable,     // they are a set, and survive a power loss: the source may rely on it
    handed_over, // somebody else has them: a pipe, a socket
    discarded,   // they are gone, or will be with this process
};

[[nodiscard]] constexpr std::string_view name_of(backup_receipt receipt) noexcept {
    switch (receipt) {
    case backup_receipt::durable: return "durable";
    case backup_receipt::handed_over: return "handed_over";
    case backup_receipt::discarded: return "discarded";
    }
    return "unknown";
}

} // namespace jetpp::inline v1
