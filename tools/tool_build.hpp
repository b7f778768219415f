// tools/tool_build.hpp - one command for all page sizes and checksums.
//
// An engine is compiled for one page size and one checksum. The command reads both from the files
// (jetpp/engine/probe.hpp) and takes the build that fits. Each build is a translation unit of its
// own (build.cpp.in), so that they compile in parallel and a change of the command compiles none.
// Threads  a tool_engine has one owner.
#pragma once

#include <jetpp/backup/backup_options.hpp>
#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/verify_replay.hpp>
#include <jetpp/core/durability.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/engine/options.hpp>
#include <jetpp/env/native_environment.hpp>
#include <jetpp/page/database_header.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

// Complete where they are used: a change of them compiles no more than it must.
namespace jetpp::inline v1 {
template <any_environment Env>
class set_pool;
struct restore_options;
struct restore_report;
struct restore_trouble;
struct replayed_set;
} // namespace jetpp::inline v1

namespace jetpp_tool {

using environment = jetpp::native_environment;

struct tree_name {
    std::string database = "main";
    std::string tree = "main";
};

struct row_range {
    std::optional<std::string> from{}; // inclusive
    std::optional<std::string> to{};   // exclusive
    bool backward = false;
};

// An open engine and one of its trees, behind virtual calls.
class tool_engine {
public:
    tool_engine() = default;
    tool_engine(tool_engine const&) = delete;
    tool_engine& operator=(tool_engine const&) = delete;
    virtual ~tool_engine() = default;

    using visitor = std::function<bool(std::string_view key, std::string_view value)>;

    // The one tree all calls below are about. `create`: database and tree, if they are missing.
    virtual jetpp::result<void> use(tree_name const& name, bool create) = 0;
    // Begins a transaction unless one is open.
    virtual jetpp::result<void> put(std::string_view key, std::string_view value) = 0;
    virtual jetpp::result<bool> erase(std::string_view key) = 0;
    virtual jetpp::result<void> commit(jetpp::durability how) = 0;
    virtual void roll_back() noexcept = 0;
    virtual jetpp::result<std::optional<std::string>> get(std::string_view key) = 0;
    // Until visit returns false.
    virtual jetpp::result<void> scan(row_range const& wanted, visitor const& visit) = 0;
    // Adds a set to a repository, which is made if it is missing; "-": to standard output, as one
    // stream. `drill_below`: restores the set there before it is published; empty: does not. What it
    // stands on may lie in `drill_bases` as well.
    virtual jetpp::result<jetpp::backup_report> back_up(
        std::string const& repository,
        jetpp::backup_options const& options,
        std::string const& drill_below,
        std::vector<std::string> const& drill_bases
    ) = 0;
    virtual jetpp::result<jetpp::truncation_report> truncate_log(
        jetpp::truncation_options const& options
    ) = 0;
    virtual jetpp::result<void> abandon_backup(
        std::string const& repository, jetpp::uuid const& set
    ) = 0;
    virtual jetpp::result<void> set_backup_exempt(std::string_view database, bool exempt) = 0;
    virtual jetpp::pin_list named_pins() = 0;
    virtual jetpp::result<void> release_pin(jetpp::pin_id const& id) = 0;
    virtual jetpp::result<jetpp::lsn> mark_restore_point(std::string_view label) = 0;
    virtual jetpp::result<void> close() = 0;
};

// What verify found wrong, or noticed.
struct finding {
    jetpp::page_number page{jetpp::no_page};
    jetpp::damage reason{};
    std::string text{}; // more than the reason says
};

// A database file as verify sees it, beside what the rest of the directory tells of it.
struct database_to_check {
    jetpp::file_name name{};
    jetpp::database_header header{};
    bool is_clean = false; // then trees and space are checked too
    jetpp::lsn log_end{};  // no page may be from its future
    std::uint64_t segment_bytes{};
    std::uint32_t pages_logged{}; // the file has at least so many
    // Would recovery make this page anew, from jet.dw or from the log? Then damage is none.
    std::function<bool(jetpp::page_number)> is_made_again = [](jetpp::page_number) {
        return false;
    };
    std::function<void(std::uint64_t bytes)> on_read = [](std::uint64_t) {}; // of the file
};

struct database_counts {
    std::uint64_t pages{}; // of the file
    std::uint64_t pages_sound{};
    std::uint64_t pages_free{};
    std::uint64_t pages_made_again{};
    std::uint64_t trees{};
    std::uint64_t rows{};
    bool trees_checked = false;
};

class tool_build {
public:
    virtual ~tool_build() = default;

    virtual std::size_t page_size() const noexcept = 0;
    virtual std::uint16_t checksum_id() const noexcept = 0;

    virtual jetpp::result<std::unique_ptr<tool_engine>> open(
        std::string const& directory, jetpp::open_options const& options
    ) const = 0;
    // Reads every page of a database file; writes nothing.
    // Errors: of storage, out_of_memory. Damage goes to `found`.
    virtual jetpp::result<database_counts> check_database(
        environment::directory& where,
        database_to_check const& database,
        std::function<void(finding const&)> const& found
    ) const = 0;
    // Errors: those of restore_run; `trouble` says more. An empty target: proves, and writes nothing.
    virtual jetpp::result<jetpp::restore_report> restore(
        jetpp::set_pool<environment>& pool,
        jetpp::restore_options const& options,
        std::string const& target,
        jetpp::restore_trouble& trouble
    ) const = 0;
    // Restores one set of the pool below `scratch`, walks its trees, and removes all of it.
    virtual jetpp::result<jetpp::replayed_set> replay(
        jetpp::set_pool<environment>& pool,
        std::size_t set,
        std::string const& scratch,
        jetpp::set_access const& access,
        jetpp::prover_options const& options
    ) const = 0;
    // Is this page image sound, with that nonce and number?
    virtual bool is_sound(std::byte const* page, std::uint64_t nonce, jetpp::page_number number)
        const = 0;
};

// Instantiated in the build units, and only there.
template <std::size_t PageSize, class Checksum>
tool_build const& build_of();

// Null if there is none: a page size or checksum of another version.
tool_build const* find_build(std::uint32_t page_size, std::uint16_t checksum_id) noexcept;
tool_build const* find_build(std::uint32_t page_size, std::string_view checksum) noexcept;

inline constexpr std::uint32_t default_page_size = 8192;

} // namespace jetpp_tool
