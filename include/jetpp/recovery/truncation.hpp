// jetpp/recovery/truncation.hpp - giving up log that nothing needs any more, and saying what does.
//
// In archival mode every segment stays until this takes it away. The limit is the smallest of
//     redo_lsn, undo_low_lsn   recovery begins there
//     min_required_lsn         of every header copy: an old file put back is rolled forward from it
//     pins                     of backups that run, and named ones, whose owners may be away
//     backups                  of each database, the end of the log that lies in sets; one that was
//                              never backed up holds all of it, one that is exempt from backups
//                              holds none
// So a segment goes only if a published set has it, or no set of pages can use it. Segments go
// whole, the oldest first, each gone for good before the next: a crash leaves no hole.
// Threads  values.
// Source   backup rule R28.
#pragma once

#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/env/file_name.hpp>
#include <jetpp/log/checkpoint_slot.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace jetpp::inline v1 {

enum class log_holder : std::uint8_t {
    redo,      // the durable checkpoint
    undo,      // an unfinished transaction
    header,    // what a copy of the database's header asks for
    running,   // a backup, or whoever else pinned the log in this process
    pin,       // a named pin
    backup,    // log above it lies in no set of the database
    no_backup, // the database has no set at all
};

[[nodiscard]] constexpr std::string_view name_of(log_holder who) noexcept {
    switch (who) {
    case log_holder::redo: return "redo";
    case log_holder::undo: return "undo";
    case log_holder::header: return "header";
    case log_holder::running: return "running backup";
    case log_holder::pin: return "pin";
    case log_holder::backup: return "last backup";
    case log_holder::no_backup: return "never backed up";
    }
    return "unknown";
}

struct log_hold {
    log_holder who{};
    lsn from{};             // needs the log from here on; zero: all of it
    database_id database{}; // of header, backup and no_backup
    file_name name{};       // its name; of a pin: its owner, "backup" before that of a set
};

struct truncation_options {
    bool dry_run = false;    // change nothing but the checkpoint
    bool write_home = false; // dirty pages first, so that recovery needs as little log as it can
    lsn below = max_lsn;     // whatever else may go: no segment that ends above this
};

struct truncation_report {
    static constexpr std::size_t holds_max = 2 + 2 * databases_max + named_pins_max + 16;

    lsn limit{};              // segments wholly below it go
    lsn oldest_before{};      // first LSN of the oldest segment
    lsn oldest{};             // the same afterwards; of a dry run: as it would be
    std::uint32_t segments{}; // given up
    std::uint32_t missing{};  // somebody had deleted their files
    std::uint64_t bytes{};
    bool circular = false; // the log gives itself up, as far as the holders let it
    std::array<log_hold, holds_max> holds{};
    std::size_t hold_count = 0; // the lowest first
    // Databases that are exempt from backups: their changes lie in no set, and go all the same.
    std::array<file_name, databases_max> exempts{};
    std::size_t exempt_count = 0;

    // Who would have to move before more could go.
    [[nodiscard]] log_hold const& holder() const noexcept { return holds[0]; }
    [[nodiscard]] std::span<log_hold const> all() const noexcept {
        return {holds.data(), hold_count};
    }
    [[nodiscard]] std::span<file_name const> exempt() const noexcept {
        return {exempts.data(), exempt_count};
    }
};

// How much of the room for log is taken, in archival mode, where it does not come back by itself.
struct log_room {
    lsn oldest{}; // first LSN of the oldest segment
    lsn tail{};
    std::uint64_t kept{}; // bytes from the one to the other
    std::uint64_t free{}; // bytes that the volume has left
    log_hold holder{};    // who keeps the oldest

    // Of what the log has and what it could still get.
    [[nodiscard]] constexpr std::uint64_t percent() const noexcept {
        auto const room = kept / 100 + free / 100;
        return room == 0 ? 0 : kept / room;
    }
};

} // namespace jetpp::inline v1
