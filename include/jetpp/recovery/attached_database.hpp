// jetpp/recovery/attached_database.hpp - one database of an instance.
//
// Owns     the open file. Threads: attach and detach exclude work on it.
#pragma once

#include <jetpp/btree/tree_place.hpp>
#include <jetpp/buffer/paged_file.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/file_name.hpp>
#include <jetpp/log/records_instance.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/page/timeline_ancestry.hpp>

#include <cstdint>
#include <memory>
#include <string_view>

namespace jetpp::inline v1 {

template <class Traits>
struct attached_database {
    file_name name{};
    uuid id{};
    std::uint64_t nonce{};
    lsn attach_lsn{};
    lsn redo_from{}; // recovery's: the file has all that was logged below
    std::uint16_t flags{};
    std::unique_ptr<paged_file<Traits>> file{}; // null: the place is free
    // Tree ids taken from the catalogue in steps and not yet given out.
    std::uint32_t next_tree = 0;
    std::uint32_t tree_limit = 0;

    using limits = page_limits<Traits::page_size>;

    [[nodiscard]] tree_place<Traits> catalogue() const noexcept {
        return {.file = file.get(), .id = catalogue_tree, .root = limits::catalogue_root};
    }
    [[nodiscard]] tree_place<Traits> pending() const noexcept {
        return {.file = file.get(), .id = pending_tree, .root = limits::pending_root};
    }
    [[nodiscard]] attach_entry entry() const noexcept {
        return {
            .database = file->id(),
            .flags = flags,
            .id = id,
            .nonce = nonce,
            .attach_lsn = attach_lsn,
            .name = as_bytes(name.view()),
        };
    }
};

// The size of a file that was just created, in pages: redo of a db_create makes the same.
template <class Traits>
inline constexpr std::uint32_t initial_database_pages =
    page_limits<Traits::page_size>::first_page.value + 16;

// What attach makes of a clean file's header; recovery finishes it after a crash in between. `line`:
// the instance's. A file of another instance brings its past along; one of the same instance, from
// before a fork or from a branch of it, has the forks of the timeline that it joins: its own would
// make what lies behind them part of this history.
inline void adopt_header(
    database_header& h,
    uuid const& instance,
    timeline_ancestry const& line,
    database_id id,
    lsn attach_lsn
) noexcept {
    auto const is_foreign = h.instance != instance;
    if (is_foreign || h.timeline != line.timeline()) {
        h.clear_marks();
        h.set_backup_exempt(false); // whoever said so spoke of another instance's backups
    }
    // Of sets that end where this log was not yet: of another copy of the instance, which went on.
    for (auto& mark : h.marks)
        if (mark.end_lsn > attach_lsn) mark = {};
    if (is_foreign) {
        h.fork(line.timeline(), attach_lsn);
        h.attach_lsn = attach_lsn;
    } else {
        note_attach(h, attach_lsn);
    }
    follow(h, line);
    h.instance = instance;
    h.id = id;
    h.state = database_state::dirty;
    h.min_required_lsn = attach_lsn;
    h.max_required_lsn = attach_lsn;
}

// May an engine have a file in that state at all?
// Errors: needs_restore (part of a copy), needs_recovery (it was given up).
[[nodiscard]] inline result<void> check_usable(database_state state) noexcept {
    switch (state) {
    case database_state::restoring:
    case database_state::standby:
    case database_state::branch:
    case database_state::backup_copy: return error{.code = errc::needs_restore};
    case database_state::failed: return error{.code = errc::needs_recovery};
    default: return ok();
    }
}

// What a checkpoint notes of a file: when it was closed, if nothing was written to it since; else 0.
[[nodiscard]] inline lsn clean_since(database_header const& h) noexcept {
    return h.state == database_state::clean ? h.consistent_lsn : no_lsn;
}

// Names of the instance's own files cannot be databases.
// Errors: unsafe_name.
[[nodiscard]] inline result<file_name> database_file_name(std::string_view name) noexcept {
    auto const refused = error{.code = errc::unsafe_name};
    if (name.size() > database_name_max || name.empty() || name.front() == '.') return refused;
    if (name.starts_with("jet.") || name.ends_with(".tmp") ||
        name.find(".new-") != std::string_view::npos)
        return refused;
    return file_name::make(name);
}

// Under which a new database file is made before its creation is in the log.
[[nodiscard]] inline file_name creation_name(file_name const& name, uuid const& id) noexcept {
    auto made = name;
    auto const hex = hex_of(id);
    made.add(".new-").add({hex.data(), hex.size()});
    return made;
}

} // namespace jetpp::inline v1
