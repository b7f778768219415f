// jetpp/backup/external_types.hpp - what an external session is asked for and what it answers.
#pragma once

#include <jetpp/backup/backup_kind.hpp>
#include <jetpp/backup/frozen_database.hpp>
#include <jetpp/core/error.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/engine/options.hpp>
#include <jetpp/env/runtime.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace jetpp::inline v1 {

struct external_options {
    bool checkpoint_first = true; // a shorter log to read, for the price of one sync
    // A session that is not called for so long is over, for its caller may be dead: the abort is
    // logged, the log may go, another session may begin. A late caller hears backup_stopped.
    mono_time session_timeout = std::chrono::hours{1};
    event_sink events{};
};

// Sizes are those of the image: N pages and the trailer, once the database was opened; before that
// what it would be now.
struct external_database {
    std::string name;
    uuid id{};
    std::uint64_t bytes{};
    friend bool operator==(external_database const&, external_database const&) = default;
};

struct external_segment {
    std::string name; // of the file, which restore expects again
    std::uint64_t generation{};
    timeline_id timeline{};
    lsn from{};
    lsn to{};
    std::uint64_t bytes{};
    friend bool operator==(external_segment const&, external_segment const&) = default;
};

// Names an open file of a session. A value: it may be copied, and is stale once closed.
struct external_handle {
    std::uint64_t number{};
    std::uint64_t bytes{}; // of the whole image
};

enum class external_end : std::uint32_t { normal = 1, abort = 2 };

struct external_report {
    uuid set{};
    backup_kind kind{};
    backup_bounds bounds{};
    bool stamped = false;            // false: ended by abort
    std::vector<std::string> copied; // databases whose headers name the session now
    std::vector<std::string> failed; // they left it: a page could not be read
    std::uint32_t segments_deleted = 0;
    std::uint32_t segments_missing = 0;      // somebody had deleted them already
    std::optional<error> stamp_problem{};    // the copies stand, but no header names them
    std::optional<error> truncate_problem{}; // segments below it are gone, the copies stand
};

} // namespace jetpp::inline v1
