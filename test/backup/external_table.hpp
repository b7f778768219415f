// test/backup/external_table.hpp - the table of external sessions, as the backup rules print it.
//
// Columns are states, rows are calls. A cell: what the call answers, and the state afterwards.
//     ok              done, the state is kept        ok>log+R    done, that state then
//     !code           refused with it, kept          !code>none  refused, the session is over
// States: db, log as in the rules; +H a handle is open, +R rolled, +S stopped, +T truncation asked;
// "read" is log+R with every segment read, "inc" an incremental session before it is rolled.
// Both the state machine and a session over a running instance are held against it.
#pragma once

#include <jetpp/backup/external_state.hpp>

#include <array>
#include <string>
#include <string_view>

namespace jetpp_test {

inline constexpr std::size_t state_count = 11;
inline constexpr std::array<std::string_view, state_count> external_states{
    "none",
    "db",
    "db+H",
    "db+S",
    "inc",
    "log+R",
    "log+R+H",
    "read",
    "log+R+T",
    "log+R+S",
    "db+H+S",
};

struct external_row {
    std::string_view call;
    std::array<std::string_view, state_count> cells;
};

// clang-format off
inline constexpr std::array external_rows{
    external_row{"begin", {
        "ok>db", "!backup_in_progress", "!backup_in_progress", "!backup_in_progress",
        "!backup_in_progress", "!backup_in_progress", "!backup_in_progress", "!backup_in_progress",
        "!backup_in_progress", "!backup_in_progress", "!backup_in_progress"}},
    external_row{"list databases", {
        "!no_backup", "ok", "ok", "!backup_stopped",
        "!invalid_backup_sequence", "ok", "ok", "ok",
        "ok", "!backup_stopped", "!backup_stopped"}},
    external_row{"open database", {
        "!no_backup", "ok>db+H", "ok>db+H2", "!backup_stopped",
        "!invalid_backup_sequence>none", "!invalid_backup_sequence>none",
        "!invalid_backup_sequence>none", "!invalid_backup_sequence>none",
        "!invalid_backup_sequence>none", "!backup_stopped", "!backup_stopped"}},
    external_row{"open log", {
        "!no_backup", "!file_not_listed", "!file_not_listed", "!backup_stopped",
        "!invalid_backup_sequence", "ok>log+R+H", "ok>log+R+H2", "ok>log+R+H",
        "ok>log+R+H+T", "!backup_stopped", "!backup_stopped"}},
    external_row{"open unknown", {
        "!no_backup", "!file_not_listed", "!file_not_listed", "!backup_stopped",
        "!file_not_listed", "!file_not_listed", "!file_not_listed", "!file_not_listed",
        "!file_not_listed", "!backup_stopped", "!backup_stopped"}},
    external_row{"read", {
        "!no_backup", "!invalid_argument", "ok", "!backup_stopped",
        "!invalid_argument", "!invalid_argument", "ok", "!invalid_argument",
        "!invalid_argument", "!backup_stopped", "!backup_stopped"}},
    external_row{"read an odd size", {
        "!no_backup", "!invalid_argument", "!invalid_argument", "!backup_stopped",
        "!invalid_argument", "!invalid_argument", "!invalid_argument", "!invalid_argument",
        "!invalid_argument", "!backup_stopped", "!backup_stopped"}},
    external_row{"close", {
        "!invalid_argument", "!invalid_argument", "ok>db", "!invalid_argument",
        "!invalid_argument", "!invalid_argument", "ok>log+R", "!invalid_argument",
        "!invalid_argument", "!invalid_argument", "ok>db+S"}},
    external_row{"close unknown", {
        "!invalid_argument", "!invalid_argument", "!invalid_argument", "!invalid_argument",
        "!invalid_argument", "!invalid_argument", "!invalid_argument", "!invalid_argument",
        "!invalid_argument", "!invalid_argument", "!invalid_argument"}},
    external_row{"list logs", {
        "!no_backup", "ok>log+R", "!invalid_backup_sequence", "!backup_stopped",
        "ok>log+R", "ok", "!invalid_backup_sequence", "ok",
        "ok", "!backup_stopped", "!backup_stopped"}},
    external_row{"list truncatable", {
        "!no_backup", "ok>log+R", "!invalid_backup_sequence", "!backup_stopped",
        "ok>log+R", "ok", "!invalid_backup_sequence", "ok",
        "ok", "!backup_stopped", "!backup_stopped"}},
    external_row{"truncate", {
        "!no_backup", "!invalid_backup_sequence", "!invalid_backup_sequence", "!backup_stopped",
        "!invalid_backup_sequence", "!logs_unread", "!invalid_backup_sequence", "ok>log+R+T",
        "ok", "!backup_stopped", "!backup_stopped"}},
    external_row{"end normal", {
        "!no_backup", "!backup_aborted>none", "!backup_aborted>none", "!backup_stopped>none",
        "!invalid_backup_sequence>none", "!logs_unread>none", "!logs_unread>none", "ok>none",
        "ok>none", "!backup_stopped>none", "!backup_stopped>none"}},
    external_row{"end abort", {
        "!no_backup", "ok>none", "ok>none", "ok>none",
        "ok>none", "ok>none", "ok>none", "ok>none",
        "ok>none", "ok>none", "ok>none"}},
    external_row{"end both", {
        "!no_backup", "!invalid_argument", "!invalid_argument", "!invalid_argument",
        "!invalid_argument", "!invalid_argument", "!invalid_argument", "!invalid_argument",
        "!invalid_argument", "!invalid_argument", "!invalid_argument"}},
    external_row{"end neither", {
        "!no_backup", "!invalid_argument", "!invalid_argument", "!invalid_argument",
        "!invalid_argument", "!invalid_argument", "!invalid_argument", "!invalid_argument",
        "!invalid_argument", "!invalid_argument", "!invalid_argument"}},
    external_row{"stop", {
        "ok", "ok>db+S", "ok>db+H+S", "ok",
        "ok>log+S", "ok>log+R+S", "ok>log+R+H+S", "ok>log+R+S",
        "ok>log+R+S+T", "ok", "ok"}},
};
// clang-format on

// The state in the words of the table.
[[nodiscard]] inline std::string state_text(
    jetpp::external_phase phase, std::size_t handles, bool rolled, bool stopped, bool truncating
) {
    using jetpp::external_phase;
    if (phase == external_phase::none) return "none";
    auto text = std::string{phase == external_phase::databases ? "db" : "log"};
    if (rolled) text += "+R";
    if (handles != 0) text += "+H";
    if (handles > 1) text += std::to_string(handles);
    if (stopped) text += "+S";
    if (truncating) text += "+T";
    return text;
}

struct expected_cell {
    std::string_view code; // "none" if it succeeds
    std::string state;     // afterwards
};
[[nodiscard]] inline expected_cell parse_cell(std::string_view cell, std::string_view state) {
    auto const arrow = cell.find('>');
    auto const outcome = cell.substr(0, arrow);
    if (state == "read") state = "log+R";
    if (state == "inc") state = "log";
    return {
        .code = outcome == "ok" ? "none" : outcome.substr(1),
        .state = std::string{arrow == std::string_view::npos ? state : cell.substr(arrow + 1)},
    };
}

} // namespace jetpp_test
