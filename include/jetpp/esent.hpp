// jetpp/esent.hpp - the documented names of ESE's backup and restore, over registered engines.
//
//     auto db = engine<>::open(...);   auto known = jetpp::esent_instance{db.value()};
//     JetBeginExternalBackup(0); JetGetAttachInfo(...); JetOpenFile(...); ...; JetEndExternalBackup();
//
// Maps only: flags, sizes and numbers of that interface to the calls of external_backup, run_backup
// and restore. docs/ese.md says, page by page, what is promised and which test shows it. Functions
// without an instance mean the only one that is registered.
// Optional: nothing else includes it, and its names are in namespace jetpp::esent alone.
// Threads  as the documented functions: one backup sequence an instance, stop from any thread.
// Source   backup rules R64, R70, R71; the pages of JetBackup, JetRestore, JetEndExternalBackup.
#pragma once

#include <jetpp/backup/esent_errors.hpp>
#include <jetpp/backup/esent_place.hpp>
#include <jetpp/backup/esent_port.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1::esent {

using JET_ERR = jet_error;
using JET_GRBIT = std::uint32_t;
using JET_INSTANCE = std::uintptr_t;
using JET_HANDLE = std::uint64_t;
using JET_SESID = std::uintptr_t;
using JET_SNP = std::uint32_t;
using JET_SNT = std::uint32_t;
using JET_PFNSTATUS = JET_ERR (*)(JET_SESID, JET_SNP, JET_SNT, void*);

struct JET_SNPROG {
    std::uint32_t cbStruct;
    std::uint32_t cunitDone; // per cent
    std::uint32_t cunitTotal;
};
struct JET_RSTMAP {
    char const* szDatabaseName;
    char const* szNewDatabaseName;
};

inline constexpr JET_ERR JET_errSuccess = 0;
inline constexpr JET_ERR JET_wrnBufferTruncated = 1006;
inline constexpr JET_ERR JET_errInvalidGrbit = -900;
inline constexpr JET_ERR JET_errFeatureNotAvailable = -1001;
inline constexpr JET_ERR JET_errInvalidParameter = -1003;
inline constexpr JET_ERR JET_errOutOfMemory = -1011;
inline constexpr JET_ERR JET_errInvalidPath = -1023;
inline constexpr JET_ERR JET_errNotInitialized = -1029;
inline constexpr JET_ERR JET_errAlreadyInitialized = -1030;
inline constexpr JET_ERR JET_errRunningInMultiInstanceMode = -1081;
inline constexpr JET_ERR JET_errDatabaseInvalidName = -1204;
inline constexpr JET_ERR JET_errCallbackFailed = -2101;

inline constexpr JET_GRBIT JET_bitBackupIncremental = 1;
inline constexpr JET_GRBIT JET_bitBackupAtomic = 4;
inline constexpr JET_GRBIT JET_bitBackupEndNormal = 1;
inline constexpr JET_GRBIT JET_bitBackupEndAbort = 2;
inline constexpr JET_GRBIT JET_bitBackupTruncateDone = 0x100;
inline constexpr JET_GRBIT JET_bitStopServiceAll = 0;
inline constexpr JET_GRBIT JET_bitStopServiceResume = 0x80000000;

inline constexpr JET_SNP JET_snpRestore = 8;
inline constexpr JET_SNP JET_snpBackup = 9;
inline constexpr JET_SNT JET_sntProgress = 0;
inline constexpr JET_SNT JET_sntFail = 3;
inline constexpr JET_SNT JET_sntBegin = 5;
inline constexpr JET_SNT JET_sntComplete = 6;

namespace detail {

template <class T>
[[nodiscard]] JET_ERR number_of(
    result<T> const& done, jet_activity during = jet_activity::backup
) noexcept {
    return done ? JET_errSuccess : jet_error_of(done.error().code, during);
}

// Runs f(port) on the instance, past its gate.
template <class F>
[[nodiscard]] JET_ERR at(JET_INSTANCE instance, F&& f, bool begins = false) noexcept {
    auto* const port = esent_registry::get().find(instance);
    if (port == nullptr) return JET_errInvalidParameter;
    if (auto const passed = port->pass_gate(begins); !passed) return number_of(passed);
    try {
        return f(*port);
    } catch (...) { // memory for a list of names
        return JET_errOutOfMemory;
    }
}
// The same on the only one there is.
[[nodiscard]] inline JET_ERR only(JET_INSTANCE& instance) noexcept {
    auto& all = esent_registry::get();
    auto const [port, count] = all.only();
    if (count == 0) return JET_errNotInitialized;
    if (port == nullptr) return JET_errRunningInMultiInstanceMode;
    for (std::uintptr_t i = 1; i <= esent_registry::instances_max; ++i)
        if (all.find(i) == port) instance = i;
    return JET_errSuccess;
}
template <class F>
[[nodiscard]] JET_ERR at_only(F&& f) noexcept {
    auto instance = JET_INSTANCE{0};
    auto const found = only(instance);
    if (found != JET_errSuccess) return found;
    try {
        return f(instance);
    } catch (...) {
        return JET_errOutOfMemory;
    }
}

// Names, each with its NUL, and one more. A buffer that is too short is filled as far as it goes.
template <class List>
[[nodiscard]] JET_ERR give_names(
    List const& all, void* pv, std::uint32_t cbMax, std::uint32_t* pcbActual
) {
    auto text = std::string{};
    for (auto const& one : all) text.append(one.name).push_back('\0');
    text.push_back('\0');
    auto const fits = std::min<std::size_t>(text.size(), cbMax);
    if (pv != nullptr) std::memcpy(pv, text.data(), fits);
    if (pcbActual != nullptr)
        *pcbActual = static_cast<std::uint32_t>(pv == nullptr ? text.size() : fits);
    return pv != nullptr && fits < text.size() ? JET_wrnBufferTruncated : JET_errSuccess;
}

// Tells a status function how far the work is: begin, progress that never goes back, complete or
// fail. What it returns ends the work; what it throws is JET_errCallbackFailed.
class status_teller {
public:
    status_teller(JET_PFNSTATUS status, JET_SNP what) noexcept : status_{status}, what_{what} {}

    [[nodiscard]] JET_ERR begin() noexcept { return call(JET_sntBegin); }
    [[nodiscard]] esent_port::progress progress() {
        return [this](std::uint64_t done, std::uint64_t total) -> result<void> {
            // Where nobody knows the whole, the bar comes ever nearer to its end.
            auto const percent = total != 0 ? done * 100 / total : 99 - 99 * scale / (scale + done);
            now_ = std::max(now_, static_cast<std::uint32_t>(std::min<std::uint64_t>(percent, 99)));
            answer_ = call(JET_sntProgress);
            return answer_ == JET_errSuccess ? result<void>{ok()} : error{.code = errc::cancelled};
        };
    }
    // Returns: what the function that was called returns.
    [[nodiscard]] JET_ERR end(JET_ERR outcome) noexcept {
        if (answer_ != JET_errSuccess) outcome = answer_;
        if (outcome == JET_errSuccess) now_ = 100;
        auto const heard = call(outcome == JET_errSuccess ? JET_sntComplete : JET_sntFail);
        return outcome != JET_errSuccess ? outcome : heard;
    }

private:
    static constexpr std::uint64_t scale = std::uint64_t{64} << 20;

    [[nodiscard]] JET_ERR call(JET_SNT happened) noexcept {
        if (status_ == nullptr) return JET_errSuccess;
        auto now = JET_SNPROG{sizeof(JET_SNPROG), now_, 100};
        try {
            return status_(0, what_, happened, &now);
        } catch (...) {
            return JET_errCallbackFailed;
        }
    }

    JET_PFNSTATUS status_;
    JET_SNP what_;
    std::uint32_t now_ = 0;
    JET_ERR answer_ = JET_errSuccess;
};

} // namespace detail

// ---- external backup

[[nodiscard]] inline JET_ERR JetBeginExternalBackupInstance(
    JET_INSTANCE instance, JET_GRBIT grbit
) noexcept {
    return detail::at(
        instance,
        [&](esent_port& port) {
            if ((grbit & ~JET_bitBackupIncremental) != 0) return JET_errInvalidGrbit;
            auto const kind = grbit != 0 ? backup_kind::incremental : backup_kind::full;
            auto const done = port.begin(kind);
            if (done) port.handle.reset();
            return detail::number_of(done);
        },
        true
    );
}
[[nodiscard]] inline JET_ERR JetBeginExternalBackup(JET_GRBIT grbit) noexcept {
    return detail::at_only([&](JET_INSTANCE only) {
        return JetBeginExternalBackupInstance(only, grbit);
    });
}

[[nodiscard]] inline JET_ERR JetGetAttachInfoInstance(
    JET_INSTANCE instance, void* pv, std::uint32_t cbMax, std::uint32_t* pcbActual
) noexcept {
    return detail::at(instance, [&](esent_port& port) {
        auto const all = port.databases();
        if (!all) return detail::number_of(all);
        return detail::give_names(all.assume_value(), pv, cbMax, pcbActual);
    });
}
[[nodiscard]] inline JET_ERR JetGetAttachInfo(
    void* pv, std::uint32_t cbMax, std::uint32_t* pcbActual
) noexcept {
    return detail::at_only([&](JET_INSTANCE only) {
        return JetGetAttachInfoInstance(only, pv, cbMax, pcbActual);
    });
}

[[nodiscard]] inline JET_ERR JetOpenFileInstance(
    JET_INSTANCE instance,
    char const* szFileName,
    JET_HANDLE* phfFile,
    std::uint32_t* pulFileSizeLow,
    std::uint32_t* pulFileSizeHigh
) noexcept {
    return detail::at(instance, [&](esent_port& port) {
        auto const fits = szFileName != nullptr && *szFileName != '\0' && phfFile != nullptr &&
                          pulFileSizeLow != nullptr && pulFileSizeHigh != nullptr;
        if (!fits) return JET_errInvalidParameter;
        if (port.handle) return JET_errOutOfMemory; // one file at a time
        auto const opened = port.open(szFileName);
        if (!opened) return detail::number_of(opened);
        port.handle = opened.assume_value();
        port.handle_is_fresh = true;
        port.handle_is_log = parse_segment_name(szFileName).has_value();
        *phfFile = port.handle->number;
        *pulFileSizeLow = static_cast<std::uint32_t>(port.handle->bytes);
        *pulFileSizeHigh = static_cast<std::uint32_t>(port.handle->bytes >> 32);
        return JET_errSuccess;
    });
}
[[nodiscard]] inline JET_ERR JetOpenFile(
    char const* szFileName,
    JET_HANDLE* phfFile,
    std::uint32_t* pulFileSizeLow,
    std::uint32_t* pulFileSizeHigh
) noexcept {
    return detail::at_only([&](JET_INSTANCE only) {
        return JetOpenFileInstance(only, szFileName, phfFile, pulFileSizeLow, pulFileSizeHigh);
    });
}

[[nodiscard]] inline JET_ERR JetReadFileInstance(
    JET_INSTANCE instance, JET_HANDLE hfFile, void* pv, std::uint32_t cb, std::uint32_t* pcbActual
) noexcept {
    return detail::at(instance, [&](esent_port& port) {
        auto const aligned = reinterpret_cast<std::uintptr_t>(pv) % 4096 == 0;
        // The first read of a file has room for its headers and a page more.
        auto const least = port.page_size() * (!port.handle_is_fresh ? 1U
                                               : port.handle_is_log  ? 2U
                                                                     : 3U);
        auto const known = port.handle && port.handle->number == hfFile;
        if (pv == nullptr || !aligned || (known && cb < least)) return JET_errInvalidParameter;
        auto const got =
            port.read({.number = hfFile}, {static_cast<std::byte*>(pv), std::size_t{cb}});
        if (got) {
            port.handle_is_fresh = false;
            if (pcbActual != nullptr) *pcbActual = static_cast<std::uint32_t>(got.assume_value());
        } else if (got.error().code != errc::invalid_argument &&
                   got.error().code != errc::backup_stopped) {
            port.handle.reset(); // the session closed it
        }
        return detail::number_of(got);
    });
}
[[nodiscard]] inline JET_ERR JetReadFile(
    JET_HANDLE hfFile, void* pv, std::uint32_t cb, std::uint32_t* pcbActual
) noexcept {
    return detail::at_only([&](JET_INSTANCE only) {
        return JetReadFileInstance(only, hfFile, pv, cb, pcbActual);
    });
}

[[nodiscard]] inline JET_ERR JetCloseFileInstance(
    JET_INSTANCE instance, JET_HANDLE hfFile
) noexcept {
    return detail::at(instance, [&](esent_port& port) {
        auto const done = port.close({.number = hfFile});
        if (done) port.handle.reset();
        return detail::number_of(done);
    });
}
[[nodiscard]] inline JET_ERR JetCloseFile(JET_HANDLE hfFile) noexcept {
    return detail::at_only([&](JET_INSTANCE only) { return JetCloseFileInstance(only, hfFile); });
}

[[nodiscard]] inline JET_ERR JetGetLogInfoInstance(
    JET_INSTANCE instance, void* pv, std::uint32_t cbMax, std::uint32_t* pcbActual
) noexcept {
    return detail::at(instance, [&](esent_port& port) {
        auto const all = port.logs();
        if (!all) return detail::number_of(all);
        return detail::give_names(all.assume_value(), pv, cbMax, pcbActual);
    });
}
[[nodiscard]] inline JET_ERR JetGetLogInfo(
    void* pv, std::uint32_t cbMax, std::uint32_t* pcbActual
) noexcept {
    return detail::at_only([&](JET_INSTANCE only) {
        return JetGetLogInfoInstance(only, pv, cbMax, pcbActual);
    });
}
[[nodiscard]] inline JET_ERR JetGetTruncateLogInfoInstance(
    JET_INSTANCE instance, void* pv, std::uint32_t cbMax, std::uint32_t* pcbActual
) noexcept {
    return detail::at(instance, [&](esent_port& port) {
        auto const all = port.truncatable();
        if (!all) return detail::number_of(all);
        return detail::give_names(all.assume_value(), pv, cbMax, pcbActual);
    });
}

[[nodiscard]] inline JET_ERR JetTruncateLogInstance(JET_INSTANCE instance) noexcept {
    return detail::at(instance, [](esent_port& port) {
        return detail::number_of(port.truncate());
    });
}
[[nodiscard]] inline JET_ERR JetTruncateLog() noexcept {
    return detail::at_only([](JET_INSTANCE only) { return JetTruncateLogInstance(only); });
}

[[nodiscard]] inline JET_ERR JetEndExternalBackupInstance2(
    JET_INSTANCE instance, JET_GRBIT grbit
) noexcept {
    return detail::at(instance, [&](esent_port& port) {
        auto const how = static_cast<external_end>(grbit & ~JET_bitBackupTruncateDone);
        auto const done = port.end(how, (grbit & JET_bitBackupTruncateDone) != 0);
        if (done || done.error().code != errc::invalid_argument) port.handle.reset();
        return detail::number_of(done);
    });
}
[[nodiscard]] inline JET_ERR JetEndExternalBackupInstance(JET_INSTANCE instance) noexcept {
    return JetEndExternalBackupInstance2(instance, JET_bitBackupEndNormal);
}
[[nodiscard]] inline JET_ERR JetEndExternalBackup() noexcept {
    return detail::at_only([](JET_INSTANCE only) { return JetEndExternalBackupInstance(only); });
}

[[nodiscard]] inline JET_ERR JetStopBackupInstance(JET_INSTANCE instance) noexcept {
    auto* const port = esent_registry::get().find(instance);
    if (port == nullptr) return JET_errInvalidParameter;
    port->stop_backup();
    return JET_errSuccess;
}
[[nodiscard]] inline JET_ERR JetStopBackup() noexcept {
    return detail::at_only([](JET_INSTANCE only) { return JetStopBackupInstance(only); });
}

[[nodiscard]] inline JET_ERR JetStopServiceInstance2(
    JET_INSTANCE instance, JET_GRBIT grbit
) noexcept {
    auto* const port = esent_registry::get().find(instance);
    if (port == nullptr) return JET_errInvalidParameter;
    if (grbit != JET_bitStopServiceAll && grbit != JET_bitStopServiceResume)
        return JET_errInvalidGrbit;
    port->stop_service(grbit == JET_bitStopServiceResume);
    return JET_errSuccess;
}
[[nodiscard]] inline JET_ERR JetStopServiceInstance(JET_INSTANCE instance) noexcept {
    return JetStopServiceInstance2(instance, JET_bitStopServiceAll);
}
[[nodiscard]] inline JET_ERR JetStopService() noexcept {
    return detail::at_only([](JET_INSTANCE only) { return JetStopServiceInstance(only); });
}

// ---- whole backups, and restore

[[nodiscard]] inline JET_ERR JetBackupInstance(
    JET_INSTANCE instance, char const* szBackupPath, JET_GRBIT grbit, JET_PFNSTATUS pfnStatus
) noexcept {
    return detail::at(
        instance,
        [&](esent_port& port) {
            if ((grbit & ~(JET_bitBackupIncremental | JET_bitBackupAtomic)) != 0)
                return JET_errInvalidGrbit;
            if (szBackupPath == nullptr) return detail::number_of(port.truncate_only());
            if (*szBackupPath == '\0' || !port.has_directory(szBackupPath))
                return JET_errInvalidPath;
            auto teller = detail::status_teller{pfnStatus, JET_snpBackup};
            if (auto const heard = teller.begin(); heard != JET_errSuccess) return heard;
            auto const incremental = (grbit & JET_bitBackupIncremental) != 0;
            auto const keeps = (grbit & JET_bitBackupAtomic) != 0;
            auto const done = port.back_up(szBackupPath, incremental, keeps, teller.progress());
            return teller.end(detail::number_of(done));
        },
        true
    );
}
[[nodiscard]] inline JET_ERR JetBackup(
    char const* szBackupPath, JET_GRBIT grbit, JET_PFNSTATUS pfnStatus
) noexcept {
    return detail::at_only([&](JET_INSTANCE only) {
        return JetBackupInstance(only, szBackupPath, grbit, pfnStatus);
    });
}

// Of an instance that is registered, and not initialised (esent_place). szDestPath null: there.
[[nodiscard]] inline JET_ERR JetRestoreInstance(
    JET_INSTANCE instance, char const* sz, char const* szDestPath, JET_PFNSTATUS pfn
) noexcept {
    auto* const port = esent_registry::get().find(instance);
    if (port == nullptr || sz == nullptr) return JET_errInvalidParameter;
    if (port->is_initialised()) return JET_errAlreadyInitialized;
    if (*sz == '\0' || !port->has_directory(sz)) return JET_errInvalidPath;
    auto teller = detail::status_teller{pfn, JET_snpRestore};
    if (auto const heard = teller.begin(); heard != JET_errSuccess) return heard;
    auto const to = szDestPath != nullptr ? std::optional<path_view>{szDestPath} : std::nullopt;
    auto const done = port->restore(sz, to, teller.progress());
    return teller.end(detail::number_of(done, jet_activity::restore));
}
[[nodiscard]] inline JET_ERR JetRestore(char const* sz, JET_PFNSTATUS pfn) noexcept {
    return detail::at_only([&](JET_INSTANCE only) {
        return JetRestoreInstance(only, sz, nullptr, pfn);
    });
}

namespace detail {

[[nodiscard]] inline JET_ERR map_entry(
    JET_RSTMAP const& one, std::string_view where, std::vector<mapped_database>& into
) {
    if (one.szDatabaseName == nullptr || *one.szDatabaseName == '\0')
        return JET_errInvalidParameter;
    if (one.szNewDatabaseName == nullptr || *one.szNewDatabaseName == '\0')
        return JET_errDatabaseInvalidName;
    auto const last = [](std::string_view path) { return path.substr(path.find_last_of('/') + 1); };
    auto const to = std::string_view{one.szNewDatabaseName};
    auto place = to.substr(0, to.size() - last(to).size());
    while (place.size() > 1 && place.back() == '/') place.remove_suffix(1);
    while (where.size() > 1 && where.back() == '/') where.remove_suffix(1);
    auto const elsewhere = !place.empty() && place != where;
    into.push_back(
        {.from = std::string{last(one.szDatabaseName)},
         .to = std::string{last(to)},
         .lies_in = elsewhere ? std::string{place} : std::string{}}
    );
    return JET_errSuccess;
}

} // namespace detail

// szLogPath and szCheckpointFilePath name the directory of the instance. Databases and log may have
// been put back there, the log into szBackupLogPath, a database where the map says: what lies elsewhere
// is copied in. Without a map all that lie there are brought back under their names; with one, those
// it names, by the last part of the old path, under the last part of the new one. genLow must be there;
// log behind genHigh does not count; 0: as much as is there.
[[nodiscard]] inline JET_ERR JetExternalRestore(
    char const* szCheckpointFilePath,
    char const* szLogPath,
    JET_RSTMAP const* rgrstmap,
    std::int32_t crstfilemap,
    char const* szBackupLogPath,
    std::int32_t genLow,
    std::int32_t genHigh,
    JET_PFNSTATUS pfn
) noexcept {
    return detail::at_only([&](JET_INSTANCE only) {
        auto* const port = esent_registry::get().find(only);
        auto const same = szLogPath != nullptr && szBackupLogPath != nullptr &&
                          szCheckpointFilePath != nullptr &&
                          std::string_view{szLogPath} == szCheckpointFilePath;
        if (!same || crstfilemap < 0 || genLow < 0 || genHigh < genLow ||
            (crstfilemap != 0 && rgrstmap == nullptr))
            return JET_errInvalidParameter;
        auto which = esent_port::external_files{
            .databases = {},
            .generation_low = static_cast<std::uint64_t>(genLow),
            .generation_high = static_cast<std::uint64_t>(genHigh),
        };
        if (std::string_view{szLogPath} != szBackupLogPath) which.log_lies_in = szBackupLogPath;
        for (std::int32_t i = 0; i < crstfilemap; ++i) {
            auto const mapped = detail::map_entry(rgrstmap[i], szLogPath, which.databases);
            if (mapped != JET_errSuccess) return mapped;
        }
        if (port->is_initialised()) return JET_errAlreadyInitialized;
        auto teller = detail::status_teller{pfn, JET_snpRestore};
        if (auto const heard = teller.begin(); heard != JET_errSuccess) return heard;
        auto const done = port->restore_external(szLogPath, which, teller.progress());
        return teller.end(detail::number_of(done, jet_activity::restore));
    });
}

} // namespace jetpp::inline v1::esent
