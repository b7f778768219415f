// jetpp/core/errc.hpp - every way a jetpp call can fail, one code a situation.
//
// The numbers are stable: new codes are appended at the end of their group's gap or the list, none
// is ever reused. name_of() gives the word that logs and tools print, meaning_of() one line for a
// person. Codes of backup and restore map to ESE's JET_err numbers in esent.hpp.
// Source  ESE's error list; the fault model of the project (one name per situation).
#pragma once

#include <cstdint>
#include <string_view>

namespace jetpp::inline v1 {

enum class errc : std::uint16_t {
    // success and the expected
    none = 0,
    misuse = 1,
    bad_option = 2,
    invalid_argument = 3,
    unsafe_name = 4,
    not_found = 5,
    already_exists = 6,
    key_exists = 7,
    key_too_large = 8,
    value_too_large = 9,
    write_conflict = 10,
    busy = 11,
    would_block = 12,
    timeout = 13,
    cancelled = 14,
    snapshot_too_old = 15,
    transaction_too_large = 16,
    transaction_too_long = 17,
    transaction_cancelled = 18,
    tree_dropped = 19,
    too_many_databases = 20,
    unsupported = 21,
    must_roll_back = 22,
    // the environment
    io = 100,
    disk_full = 101,
    out_of_memory = 102,
    resource = 103,
    permission_denied = 104,
    in_use = 105,
    device_gone = 106,
    // life of the instance
    instance_failed = 200,
    log_failed = 201,
    lost = 202,
    closed = 203,
    needs_recovery = 204,
    needs_restore = 205,
    not_initialised = 206,
    terminating = 207,
    restoring = 208,
    // files that do not fit
    bad_magic = 300,
    bad_kind = 301,
    unsupported_format = 302,
    unsupported_feature = 303,
    page_size_mismatch = 304,
    checksum_mismatch = 305,
    alignment_mismatch = 306,
    segment_size_mismatch = 307,
    foreign_database = 308,
    foreign_file = 309,
    // damage
    bad_header = 400,
    page_damaged = 401,
    lost_write = 402,
    chain_fork = 403,
    structure_damaged = 404,
    log_damaged = 405,
    log_corrupt = 406,
    log_missing = 407,
    log_gap = 408,
    log_foreign = 409,
    log_tail_lost = 410,
    unsupported_record = 411,
    unlogged_changes = 412,
    history_break = 413,
    database_missing = 414,
    checkpoint_damaged = 415,
    // backup and restore
    backup_in_progress = 500,
    no_backup = 501,
    invalid_backup_sequence = 502,
    circular_logging = 503,
    full_backup_required = 504,
    base_not_here = 505,
    log_not_found = 506,
    logs_unread = 507,
    database_incomplete = 508,
    backup_aborted = 509,
    backup_stopped = 510,
    file_not_listed = 511,
    service_stopped = 512,
    incomplete_copy = 513,
    set_mixed = 514,
    set_damaged = 515,
    page_chain_broken = 516,
    would_overwrite = 517,
    ambiguous_source = 518,
    ambiguous_label = 519,
    pool_conflict = 520,
    target_before_set_end = 521,
    target_not_reached = 522,
    database_not_in_sets = 523,
    pin_broken = 524,
    cannot_resume = 525,
    wrong_key = 526,
    authentication_failed = 527,
    limit_exceeded = 528,
    freeze_timeout = 529,
    freeze_sequence = 530,
    freeze_refused = 531,
    backup_not_allowed = 532,
};

[[nodiscard]] constexpr std::string_view name_of(errc code) noexcept {
    switch (code) {
    case errc::none: return "none";
    case errc::misuse: return "misuse";
    case errc::bad_option: return "bad_option";
    case errc::invalid_argument: return "invalid_argument";
    case errc::unsafe_name: return "unsafe_name";
    case errc::not_found: return "not_found";
    case errc::already_exists: return "already_exists";
    case errc::key_exists: return "key_exists";
    case errc::key_too_large: return "key_too_large";
    case errc::value_too_large: return "value_too_large";
    case errc::write_conflict: return "write_conflict";
    case errc::busy: return "busy";
    case errc::would_block: return "would_block";
    case errc::timeout: return "timeout";
    case errc::cancelled: return "cancelled";
    case errc::snapshot_too_old: return "snapshot_too_old";
    case errc::transaction_too_large: return "transaction_too_large";
    case errc::transaction_too_long: return "transaction_too_long";
    case errc::transaction_cancelled: return "transaction_cancelled";
    case errc::tree_dropped: return "tree_dropped";
    case errc::too_many_databases: return "too_many_databases";
    case errc::unsupported: return "unsupported";
    case errc::must_roll_back: return "must_roll_back";
    case errc::io: return "io";
    case errc::disk_full: return "disk_full";
    case errc::out_of_memory: return "out_of_memory";
    case errc::resource: return "resource";
    case errc::permission_denied: return "permission_denied";
    case errc::in_use: return "in_use";
    case errc::device_gone: return "device_gone";
    case errc::instance_failed: return "instance_failed";
    case errc::log_failed: return "log_failed";
    case errc::lost: return "lost";
    case errc::closed: return "closed";
    case errc::needs_recovery: return "needs_recovery";
    case errc::needs_restore: return "needs_restore";
    case errc::not_initialised: return "not_initialised";
    case errc::terminating: return "terminating";
    case errc::restoring: return "restoring";
    case errc::bad_magic: return "bad_magic";
    case errc::bad_kind: return "bad_kind";
    case errc::unsupported_format: return "unsupported_format";
    case errc::unsupported_feature: return "unsupported_feature";
    case errc::page_size_mismatch: return "page_size_mismatch";
    case errc::checksum_mismatch: return "checksum_mismatch";
    case errc::alignment_mismatch: return "alignment_mismatch";
    case errc::segment_size_mismatch: return "segment_size_mismatch";
    case errc::foreign_database: return "foreign_database";
    case errc::foreign_file: return "foreign_file";
    case errc::bad_header: return "bad_header";
    case errc::page_damaged: return "page_damaged";
    case errc::lost_write: return "lost_write";
    case errc::chain_fork: return "chain_fork";
    case errc::structure_damaged: return "structure_damaged";
    case errc::log_damaged: return "log_damaged";
    case errc::log_corrupt: return "log_corrupt";
    case errc::log_missing: return "log_missing";
    case errc::log_gap: return "log_gap";
    case errc::log_foreign: return "log_foreign";
    case errc::log_tail_lost: return "log_tail_lost";
    case errc::unsupported_record: return "unsupported_record";
    case errc::unlogged_changes: return "unlogged_changes";
    case errc::history_break: return "history_break";
    case errc::database_missing: return "database_missing";
    case errc::checkpoint_damaged: return "checkpoint_damaged";
    case errc::backup_in_progress: return "backup_in_progress";
    case errc::no_backup: return "no_backup";
    case errc::invalid_backup_sequence: return "invalid_backup_sequence";
    case errc::circular_logging: return "circular_logging";
    case errc::full_backup_required: return "full_backup_required";
    case errc::base_not_here: return "base_not_here";
    case errc::log_not_found: return "log_not_found";
    case errc::logs_unread: return "logs_unread";
    case errc::database_incomplete: return "database_incomplete";
    case errc::backup_aborted: return "backup_aborted";
    case errc::backup_stopped: return "backup_stopped";
    case errc::file_not_listed: return "file_not_listed";
    case errc::service_stopped: return "service_stopped";
    case errc::incomplete_copy: return "incomplete_copy";
    case errc::set_mixed: return "set_mixed";
    case errc::set_damaged: return "set_damaged";
    case errc::page_chain_broken: return "page_chain_broken";
    case errc::would_overwrite: return "would_overwrite";
    case errc::ambiguous_source: return "ambiguous_source";
    case errc::ambiguous_label: return "ambiguous_label";
    case errc::pool_conflict: return "pool_conflict";
    case errc::target_before_set_end: return "target_before_set_end";
    case errc::target_not_reached: return "target_not_reached";
    case errc::database_not_in_sets: return "database_not_in_sets";
    case errc::pin_broken: return "pin_broken";
    case errc::cannot_resume: return "cannot_resume";
    case errc::wrong_key: return "wrong_key";
    case errc::authentication_failed: return "authentication_failed";
    case errc::limit_exceeded: return "limit_exceeded";
    case errc::freeze_timeout: return "freeze_timeout";
    case errc::freeze_sequence: return "freeze_sequence";
    case errc::freeze_refused: return "freeze_refused";
    case errc::backup_not_allowed: return "backup_not_allowed";
    }
    return "unknown";
}

[[nodiscard]] constexpr std::string_view meaning_of(errc code) noexcept {
    switch (code) {
    case errc::none: return "no error";
    case errc::misuse: return "a handle was used after it ended, or a call came where it cannot be";
    case errc::bad_option:
        return "an option breaks a rule of sizes or combinations; the text of open_options names "
               "the rule";
    case errc::invalid_argument: return "an argument is outside what the call accepts";
    case errc::unsafe_name: return "a name is not one plain path component";
    case errc::not_found: return "the named database, tree or file does not exist";
    case errc::already_exists: return "the name is taken";
    case errc::key_exists: return "insert met a row with this key that the transaction sees";
    case errc::key_too_large: return "the key is longer than page_size / 8 - 64 bytes";
    case errc::value_too_large: return "the value is longer than (page_size - 128) / 4 bytes";
    case errc::write_conflict:
        return "another transaction changed this key since this one began; roll back and run again";
    case errc::busy:
        return "somebody uses what this call needs for itself: a tree, database or savepoint, a "
               "snapshot "
               "or transaction that is still open at close";
    case errc::would_block: return "the call would have to wait";
    case errc::timeout: return "the wait ended before the event came";
    case errc::cancelled: return "the caller asked for the work to stop";
    case errc::snapshot_too_old:
        return "the versions this snapshot needs were given up; begin a new one";
    case errc::transaction_too_large:
        return "the undo images of this transaction exceed transaction_bytes; commit smaller parts";
    case errc::transaction_too_long:
        return "the log since this transaction's first record exceeds its share; roll back";
    case errc::transaction_cancelled:
        return "the engine rolled this idle transaction back to free the log";
    case errc::tree_dropped: return "the tree behind this handle was dropped";
    case errc::too_many_databases: return "one instance holds at most 16 attached databases";
    case errc::unsupported:
        return "this build or version cannot do what was asked; nothing was changed";
    case errc::must_roll_back:
        return "an undo inside this transaction failed: it can only be rolled back";
    case errc::io: return "the operating system refused a read, write or sync; os_errno says why";
    case errc::disk_full: return "no space for the pages or log that the operation needs";
    case errc::out_of_memory: return "an allocation failed; the operation changed nothing";
    case errc::resource: return "the system gave no thread, descriptor or mapping";
    case errc::permission_denied: return "the operating system denied access";
    case errc::in_use: return "another process or engine holds the instance's lock";
    case errc::device_gone: return "the simulated machine has lost power";
    case errc::instance_failed:
        return "an earlier write or sync failed; reopen, recovery decides what survived";
    case errc::log_failed:
        return "a log write or sync failed while this commit waited: its outcome is unknown until "
               "reopened";
    case errc::lost:
        return "the commit of this ticket did not survive the crash of its incarnation";
    case errc::closed: return "the engine is closed";
    case errc::needs_recovery: return "the files are not clean and this open may not recover them";
    case errc::needs_restore:
        return "the file is part of a restore or a backup copy; only restore opens it";
    case errc::not_initialised: return "the instance is not open, or is still recovering";
    case errc::terminating: return "the instance is shutting down";
    case errc::restoring: return "the instance is being restored";
    case errc::bad_magic: return "the file does not begin as a file of this kind";
    case errc::bad_kind: return "the file is a jetpp file of another kind";
    case errc::unsupported_format: return "the file's format major version is another one";
    case errc::unsupported_feature:
        return "the file uses an incompatible feature this version does not know";
    case errc::page_size_mismatch:
        return "the files have another page size than the engine's policies";
    case errc::checksum_mismatch:
        return "the files have another page checksum than the engine's policies";
    case errc::alignment_mismatch: return "the device cannot write in units this file needs";
    case errc::segment_size_mismatch:
        return "the log has another segment size than its checkpoint says";
    case errc::foreign_database: return "the database belongs to another instance";
    case errc::foreign_file: return "the file belongs to another instance";
    case errc::bad_header: return "both copies of a file's header are damaged or impossible";
    case errc::page_damaged: return "a page fails its verification; reason says how";
    case errc::lost_write:
        return "a page is older than the log proves: a write the device acknowledged never arrived";
    case errc::chain_fork: return "a page's LSN lies between two records of its chain";
    case errc::structure_damaged:
        return "a page is sound by itself but breaks the order, fences or links of its tree";
    case errc::log_damaged: return "a record that must be there is damaged";
    case errc::log_corrupt: return "the log is damaged before its durable end";
    case errc::log_missing: return "a segment that recovery needs is absent";
    case errc::log_gap: return "the chain of log segments has a hole";
    case errc::log_foreign:
        return "a log segment of another instance or timeline stands in the chain";
    case errc::log_tail_lost:
        return "the log ends before a position that a database or backup proves durable; a restore "
               "from sets takes what is left of it";
    case errc::unsupported_record:
        return "the log holds a record of a type this version does not know";
    case errc::unlogged_changes: return "the log says that changes were made without it";
    case errc::history_break:
        return "a file was exchanged for another copy of itself, or histories do not join";
    case errc::database_missing: return "a database named by the log is not where it should be";
    case errc::checkpoint_damaged: return "neither slot of the checkpoint file is valid";
    case errc::backup_in_progress: return "a backup runs; the call must wait for its end";
    case errc::no_backup: return "no backup session is open";
    case errc::invalid_backup_sequence: return "the backup call comes out of order";
    case errc::circular_logging: return "incremental backups need archival logging";
    case errc::full_backup_required:
        return "the database has no full backup on this timeline; take a full first";
    case errc::base_not_here:
        return "the base set is not in this repository, or is another than the stamp says";
    case errc::log_not_found: return "the named log segment does not exist";
    case errc::logs_unread: return "a listed log segment was not read to its end";
    case errc::database_incomplete: return "a database of the session was not read to its end";
    case errc::backup_aborted: return "the backup session was aborted";
    case errc::backup_stopped: return "the backup session was stopped";
    case errc::file_not_listed: return "the file is not part of this backup session";
    case errc::service_stopped: return "the backup service was stopped";
    case errc::incomplete_copy: return "the copied database lacks its trailer page";
    case errc::set_mixed: return "parts of different sets or databases stand together";
    case errc::set_damaged: return "a byte of the set is not what its manifest says";
    case errc::page_chain_broken:
        return "replay met a page that the set's pages and log cannot explain";
    case errc::would_overwrite: return "the target holds a database; say force to move it aside";
    case errc::ambiguous_source: return "several lineages reach the target; name one";
    case errc::ambiguous_label: return "several restore points bear this label";
    case errc::pool_conflict: return "two sources disagree about the same log segment";
    case errc::target_before_set_end:
        return "the target lies before the earliest position the pages can reach";
    case errc::target_not_reached: return "the sources end before the target";
    case errc::database_not_in_sets: return "a database named by the log is in none of the sets";
    case errc::pin_broken: return "the log this pin held was given up at its byte cap";
    case errc::cannot_resume: return "the interrupted backup cannot be resumed; begin a new one";
    case errc::wrong_key: return "no key slot opens with this key";
    case errc::authentication_failed: return "the data was changed after it was encrypted";
    case errc::limit_exceeded: return "a size in the input exceeds the hard cap";
    case errc::freeze_timeout: return "the freeze ended by its time limit";
    case errc::freeze_sequence: return "freeze calls come out of order";
    case errc::freeze_refused: return "the instance cannot freeze now";
    case errc::backup_not_allowed: return "the instance does not allow backups yet";
    }
    return "an error of a later version";
}

} // namespace jetpp::inline v1
