// jetpp/core/error.hpp - what happened, and where it hurt: the E of every result<T>.
//
// Trivially copyable, 24 bytes. An error gathers context on its way up (file, database, page, LSN)
// and never loses its first code: fields are filled only while they are empty. Damage always names
// its page or LSN. For the *_mismatch codes `found` and `expected` read the two values out of `at`
// and `page`.
#pragma once

#include <jetpp/core/errc.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>

#include <cstdint>
#include <type_traits>

namespace jetpp::inline v1 {

// The kind numbers of files on disk (byte 16 of each), plus those that carry no header.
enum class file_kind : std::uint8_t {
    none = 0,
    database = 1,
    log_segment = 2,
    checkpoint = 3,
    double_write = 4,
    restore_journal = 5,
    backup_resume = 6,
    ring = 7,
    directory = 100,
    lock = 101,
    backup_part = 102,
    manifest = 103,
    repository = 104,
};

// Why a page (or a structure of pages) was refused.
enum class damage : std::uint8_t {
    none = 0,
    checksum,   // the stored checksum is another one
    number,     // a page of another number stands here
    tree,       // a page of another tree stands here
    future,     // page_lsn is not below the durable end of the log
    zero,       // an allocated page is all zero
    kind,       // impossible kind or level
    layout,     // offsets, counts or lengths leave the page
    order,      // keys or fences out of order
    fences,     // fences of parent, child or neighbours disagree
    space_map,  // reachable but free, or allocated but unreachable
    short_file, // the file ends before this page
};

struct error {
    errc code{};
    std::uint16_t database{}; // database_id, 0 = none
    std::uint32_t os_errno{}; // what the system said, where it spoke
    page_number page{no_page};
    file_kind file{};
    damage reason{};
    std::uint16_t reserved{};
    lsn at{};

    friend constexpr bool operator==(error const&, error const&) noexcept = default;

    [[nodiscard]] constexpr error with_page(page_number where) const noexcept {
        auto e = *this;
        if (e.page == no_page) e.page = where;
        return e;
    }
    [[nodiscard]] constexpr error with_database(database_id where) const noexcept {
        auto e = *this;
        if (e.database == 0) e.database = where.value;
        return e;
    }
    [[nodiscard]] constexpr error with_lsn(lsn where) const noexcept {
        auto e = *this;
        if (!e.at) e.at = where;
        return e;
    }
    [[nodiscard]] constexpr error with_file(file_kind where) const noexcept {
        auto e = *this;
        if (e.file == file_kind::none) e.file = where;
        return e;
    }
    [[nodiscard]] constexpr std::uint64_t found() const noexcept { return at.value; }
    [[nodiscard]] constexpr std::uint64_t expected() const noexcept { return page.value; }
};
static_assert(sizeof(error) == 24 && std::is_trivially_copyable_v<error>);

[[nodiscard]] constexpr error mismatch(
    errc code, file_kind file, std::uint64_t found, std::uint32_t expected
) noexcept {
    return {.code = code, .page = page_number{expected}, .file = file, .at = lsn{found}};
}

// May the instance go on after this error? After a fatal one only reopening helps.
[[nodiscard]] constexpr bool is_fatal(error const& e) noexcept {
    switch (e.code) {
    case errc::instance_failed:
    case errc::log_failed:
    case errc::device_gone:
    case errc::log_corrupt: return true;
    default: return false;
    }
}

[[nodiscard]] constexpr std::string_view name_of(file_kind kind) noexcept {
    switch (kind) {
    case file_kind::none: return "";
    case file_kind::database: return "database";
    case file_kind::log_segment: return "log";
    case file_kind::checkpoint: return "jet.ckp";
    case file_kind::double_write: return "jet.dw";
    case file_kind::restore_journal: return "jet.restore";
    case file_kind::backup_resume: return "jet.resume";
    case file_kind::ring: return "jet.ring";
    case file_kind::directory: return "directory";
    case file_kind::lock: return "jet.lock";
    case file_kind::backup_part: return "backup part";
    case file_kind::manifest: return "manifest.json";
    case file_kind::repository: return "jetpp.repo";
    }
    return "file";
}

[[nodiscard]] constexpr std::string_view name_of(damage reason) noexcept {
    switch (reason) {
    case damage::none: return "";
    case damage::checksum: return "checksum";
    case damage::number: return "page number";
    case damage::tree: return "tree id";
    case damage::future: return "LSN from the future";
    case damage::zero: return "all zero";
    case damage::kind: return "page kind";
    case damage::layout: return "layout";
    case damage::order: return "key order";
    case damage::fences: return "fences";
    case damage::space_map: return "space map";
    case damage::short_file: return "file too short";
    }
    return "damage";
}

} // namespace jetpp::inline v1
