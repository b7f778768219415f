// jetpp/backup/esent_errors.hpp - one table between errc and ESE's numbers, total both ways.
//
// jet_error_of() knows every errc: a code without a documented number has the nearest one, so that a
// caller who knows ESE does the right thing. errc_of_jet() knows every number that jet_error_of()
// gives and returns the errc that it means first.
// Threads  pure functions.
// Source   backup rules, behind R62; ESE's error codes.
#pragma once

#include <jetpp/core/errc.hpp>

#include <cstdint>

namespace jetpp::inline v1 {

using jet_error = std::int32_t; // negative: error, 0: success

// A gap or damage in the log is told apart by what was going on.
enum class jet_activity : std::uint8_t { backup, restore };

// ESE's number, and whether it means this and nothing else.
struct jet_meaning {
    jet_error number{};
    bool nearest = false; // no documented number says it: this one is the closest
};

[[nodiscard]] constexpr jet_meaning jet_meaning_of(
    errc code, jet_activity during = jet_activity::backup
) noexcept {
    auto const restoring = during == jet_activity::restore;
    constexpr auto nearest = [](jet_error number) { return jet_meaning{number, true}; };
    switch (code) {
    case errc::none: return {0};
    case errc::misuse: return {-1906};           // InvalidOperation
    case errc::bad_option: return {-1328};       // InvalidSettings
    case errc::invalid_argument: return {-1003}; // InvalidParameter
    case errc::unsafe_name: return {-1002};      // InvalidName
    case errc::not_found: return nearest(-1811);
    case errc::already_exists: return {-1814};  // FileAlreadyExists
    case errc::key_exists: return {-1605};      // KeyDuplicate
    case errc::key_too_large: return {-408};    // KeyTooBig
    case errc::value_too_large: return {-1026}; // RecordTooBig
    case errc::write_conflict: return {-1102};  // WriteConflict
    case errc::busy: return {-1202};            // DatabaseInUse
    case errc::would_block: return nearest(-1202);
    case errc::timeout: return nearest(-106);
    case errc::cancelled: return nearest(-800);
    case errc::snapshot_too_old: return {-1069};      // VersionStoreOutOfMemory
    case errc::transaction_too_large: return {-1065}; // VersionStoreEntryTooBig
    case errc::transaction_too_long: return {-618};   // TransactionTooLong
    case errc::transaction_cancelled: return {-1109}; // RollbackRequired
    case errc::tree_dropped: return nearest(-1906);
    case errc::too_many_databases: return {-1027}; // TooManyOpenDatabases
    case errc::unsupported: return {-1001};        // FeatureNotAvailable
    case errc::must_roll_back: return {-1057};     // MustRollback
    case errc::io: return {-1022};                 // DiskIO
    case errc::disk_full: return {-1808};          // DiskFull
    case errc::out_of_memory: return {-1011};      // OutOfMemory
    case errc::resource: return {-103};            // OutOfThreads
    case errc::permission_denied: return {-1809};  // PermissionDenied
    case errc::in_use: return nearest(-1084);
    case errc::device_gone: return nearest(-1022);
    case errc::instance_failed: return {-1090}; // InstanceUnavailable
    case errc::log_failed: return {-510};       // LogWriteFail
    case errc::lost: return {-582};             // CommittedLogFilesMissing
    case errc::closed: return nearest(-1029);
    case errc::needs_recovery: return {-550};      // DatabaseDirtyShutdown
    case errc::needs_restore: return {-544};       // SoftRecoveryOnBackupDatabase
    case errc::not_initialised: return {-1029};    // NotInitialized
    case errc::terminating: return {-1000};        // TermInProgress
    case errc::restoring: return {-506};           // RestoreInProgress
    case errc::bad_magic: return {-1028};          // InvalidDatabase
    case errc::bad_kind: return {-1812};           // FileInvalidType
    case errc::unsupported_format: return {-1209}; // InvalidDatabaseVersion
    case errc::unsupported_feature: return {-620}; // EngineFormatVersionNotYetImplemented
    case errc::page_size_mismatch: return {-1213}; // PageSizeMismatch
    case errc::checksum_mismatch: return nearest(-1209);
    case errc::alignment_mismatch: return {-546};    // LogSectorSizeMismatch
    case errc::segment_size_mismatch: return {-541}; // LogFileSizeMismatch
    case errc::foreign_database: return {-531};      // BadDbSignature
    case errc::foreign_file: return {-530};          // BadLogSignature
    case errc::bad_header: return {-1206};           // DatabaseCorrupted
    case errc::page_damaged: return {-1018};         // ReadVerifyFailure
    case errc::lost_write: return {-1119};           // ReadLostFlushVerifyFailure
    case errc::chain_fork: return {-567};            // DbTimeTooNew
    case errc::structure_damaged: return {-327};     // BadPageLink
    case errc::log_damaged: return restoring ? nearest(-501) : jet_meaning{-612};
    case errc::log_corrupt: return {-501}; // LogFileCorrupt
    case errc::log_missing: return {-528}; // MissingLogFile
    case errc::log_gap: return restoring ? jet_meaning{-611} : jet_meaning{-569};
    case errc::log_foreign: return {-555};             // GivenLogFileHasBadSignature
    case errc::log_tail_lost: return {-543};           // RequiredLogFilesMissing
    case errc::unsupported_record: return {-514};      // BadLogVersion
    case errc::unlogged_changes: return {-516};        // LoggingDisabled
    case errc::history_break: return {-551};           // ConsistentTimeMismatch
    case errc::database_missing: return {-1216};       // AttachedDatabaseMismatch
    case errc::checkpoint_damaged: return {-533};      // CheckpointCorrupt
    case errc::backup_in_progress: return {-505};      // BackupInProgress
    case errc::no_backup: return {-520};               // NoBackup
    case errc::invalid_backup_sequence: return {-521}; // InvalidBackupSequence
    case errc::circular_logging: return {-526};        // InvalidBackup
    case errc::full_backup_required: return {-560};    // MissingFullBackup
    case errc::base_not_here: return nearest(-560);
    case errc::log_not_found: return {-1811}; // FileNotFound
    case errc::logs_unread: return {-616};    // LogFileNotCopied
    case errc::database_incomplete: return nearest(-800);
    case errc::backup_aborted: return {-800};   // BackupAbortByCaller
    case errc::backup_stopped: return {-801};   // BackupAbortByServer
    case errc::file_not_listed: return {-1203}; // DatabaseNotFound
    case errc::service_stopped: return {-1329}; // ClientRequestToStopJetService
    case errc::incomplete_copy: return {-535};  // BadPatchPage
    case errc::set_mixed: return {-552};        // DatabasePatchFileMismatch
    case errc::set_damaged: return nearest(-1206);
    case errc::page_chain_broken: return {-566}; // DbTimeTooOld
    case errc::would_overwrite: return {-504};   // BackupDirectoryNotEmpty
    case errc::ambiguous_source: return {-539};  // DatabaseLogSetMismatch
    case errc::ambiguous_label: return nearest(-1003);
    case errc::pool_conflict: return {-556};         // GivenLogFileIsNotContiguous
    case errc::target_before_set_end: return {-553}; // EndingRestoreLogTooLow
    case errc::target_not_reached: return {-557};    // MissingRestoreLogFiles
    case errc::database_not_in_sets: return nearest(-1216);
    case errc::pin_broken: return nearest(-528);
    case errc::cannot_resume: return nearest(-521);
    case errc::wrong_key: return {-1907}; // AccessDenied
    case errc::authentication_failed: return nearest(-1018);
    case errc::limit_exceeded: return nearest(-1003);
    case errc::freeze_timeout: return {-2402};    // OSSnapshotTimeOut
    case errc::freeze_sequence: return {-2401};   // OSSnapshotInvalidSequence
    case errc::freeze_refused: return {-2403};    // OSSnapshotNotAllowed
    case errc::backup_not_allowed: return {-523}; // BackupNotAllowedYet
    }
    return nearest(-107); // InternalError
}

[[nodiscard]] constexpr jet_error jet_error_of(
    errc code, jet_activity during = jet_activity::backup
) noexcept {
    return jet_meaning_of(code, during).number;
}

// The largest number an errc has; above it there are none.
inline constexpr std::uint16_t errc_bound = 1000;

// Returns: invalid_argument for a number that jet_error_of() never gives.
[[nodiscard]] constexpr errc errc_of_jet(jet_error number) noexcept {
    if (number >= 0) return errc::none; // warnings are successes
    for (auto const during : {jet_activity::backup, jet_activity::restore})
        for (std::uint16_t i = 0; i < errc_bound; ++i) {
            auto const code = static_cast<errc>(i);
            if (name_of(code) == "unknown") continue;
            auto const meaning = jet_meaning_of(code, during);
            if (meaning.number == number && !meaning.nearest) return code;
        }
    return errc::invalid_argument;
}

} // namespace jetpp::inline v1
