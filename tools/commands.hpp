// tools/commands.hpp - what `jetpp` can do, one function a subcommand.
//
// Each returns when its work is done and throws a failure otherwise. Rows and facts go to standard
// output, everything else to standard error.
#pragma once

#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/durability.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "progress.hpp"
#include "tool_build.hpp"

namespace jetpp_tool {

// What only a new directory is asked about.
struct creation {
    std::uint32_t page_size = default_page_size;
    std::uint16_t checksum_id = jetpp::crc32c::id;
    bool archival = true;
};

struct load_request {
    std::string directory{};
    std::string file = "-"; // "-": standard input
    tree_name into{};
    std::uint64_t batch = 1000; // lines a commit
    jetpp::durability how = jetpp::durability::device;
    bool acknowledge = false;
    creation when_new{};
};
void load(load_request const& request);

struct row_request {
    std::string directory{};
    tree_name from{};
    std::string key{}; // escaped, as are the bounds of a scan
};
void get(row_request const& request);
void erase(row_request const& request);

struct scan_request {
    std::string directory{};
    tree_name tree{};
    std::optional<std::string> from{};
    std::optional<std::string> to{};
    bool backward = false;
    std::optional<std::uint64_t> limit{};
};
void scan(scan_request const& request);

struct log_request {
    std::string path{}; // of an instance, or of a set
    bool json = false;
    bool follow = false;
    bool committed = false;                // transactions instead of records
    jetpp::lsn from{};                     // of records
    std::string after{};                   // a token: of transactions
    std::optional<std::string> database{}; // by name, of changes
    std::optional<std::string> tree{};
    jetpp::lsn transaction{}; // by the LSN of its first record
};
void print_log(log_request const& request);

// Of a command line. Of backup: --encrypt-to; of commands that read: --key.
struct key_request {
    std::vector<std::string> key_files{};
    std::string passphrase_file{};
    std::string cipher{"aes-256-gcm"};

    [[nodiscard]] bool any() const { return !key_files.empty() || !passphrase_file.empty(); }
};

struct set_request {
    std::string directory{}; // of the instance
    std::string repository{};
    std::string compress{};   // codec[:level]
    std::uint32_t jobs = 0;   // that compress; 0: one a processor
    bool sha256 = false;      // of what the parts hold, instead of XXH3
    bool incremental = false; // at most one of these four; none: a full
    bool differential = false;
    bool copy = false;
    std::string pages_since{}; // the beginning of a set's id or name; with a slash: a path of one
    std::vector<std::string> databases{}; // only these; none: all
    std::vector<std::string> bases{};     // manifests or sets that lie elsewhere
    std::uint64_t bytes_per_second = 0;
    std::string tag{};
    bool trust_receiver = false; // who reads standard output keeps the set
    bool truncate = false;
    bool resumable = false;
    std::string resume{};      // the beginning of the id of a set that was interrupted
    std::string abandon{};     // the same, to give it up
    std::uint64_t log_cap = 0; // of bytes of log that the backup may keep; 0: the default
    bool drill = false;        // restore the set before it is published
    std::string scratch{};     // where the drill does it; empty: a temporary place
    progress_how progress{};
    bool json = false;
    key_request keys{};
};
void back_up(set_request const& request);

struct truncate_request {
    std::string directory{};
    bool dry_run = false;
    bool json = false;
};
void truncate_log(truncate_request const& request);

struct unpin_request {
    std::string directory{};
    std::string owner{}; // as info prints it
};
void release_pin(unpin_request const& request);

struct exempt_request {
    std::string directory{};
    std::string database{};
    bool no_longer = false;
};
void exempt_database(exempt_request const& request);

struct point_request {
    std::string directory{};
    std::string label{};
};
void mark_point(point_request const& request);

struct restore_request {
    std::vector<std::string> places{}; // repositories and sets; last, of the instance to be
    std::string scratch{};             // where a set from standard input is kept meanwhile
    std::string set{};                 // the beginning of its id or name; empty: the newest
    std::string timeline{};            // in hex: of the sets that are chosen from; empty: any
    std::optional<std::uint64_t> to_lsn{};
    std::string to_time{};
    std::string to_point{};
    std::vector<std::string> databases{}; // only these; none: all
    std::string roll_forward{"none"};     // or live: DIR lost databases, and not its log
    bool delta = false;                   // databases of DIR are laid over, page by page
    bool force = false;                   // what the directory holds goes aside
    bool dry_run = false; // say what would be restored, and that it is all there; write nothing
    progress_how progress{};
    bool json = false;
};
void restore(restore_request const& request);

struct list_request {
    std::string repository{};
    bool json = false;
};
void list_repository(list_request const& request);

struct prune_request {
    std::string repository{};
    std::size_t keep = 0;
    bool orphans = false;
    bool dry_run = false;
    bool despite_damage = false;
    bool json = false;
};
void prune(prune_request const& request);

// Both: of an instance, a repository or a set.
struct info_request {
    std::string path{};
    bool json = false;
};
void print_info(info_request const& request);
struct verify_request {
    std::string path{};
    bool proof = false;    // of each set that restores, to be kept in its repository
    std::string scratch{}; // where sets are restored to be thrown away; empty: a temporary place
    progress_how progress{};
    bool json = false;
};
void verify(verify_request const& request);

} // namespace jetpp_tool
