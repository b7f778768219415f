// jetpp/backup/restore_report.hpp - what a caller asks of a restore, and what it is told.
#pragma once

#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/set_copies.hpp>
#include <jetpp/backup/set_part.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/runtime.hpp>
#include <jetpp/recovery/instance.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace jetpp::inline v1 {

// What a restore is at. All but `recover` read sets.
enum class restore_stage : std::uint8_t {
    search,  // for a moment or a label, through the log
    log,     // is laid down, or proved
    pages,   // of one database
    recover, // redo and undo
};

[[nodiscard]] constexpr std::string_view name_of(restore_stage stage) noexcept {
    switch (stage) {
    case restore_stage::search: return "search";
    case restore_stage::log: return "log";
    case restore_stage::pages: return "pages";
    case restore_stage::recover: return "recover";
    }
    return "";
}

struct restore_options {
    // The set whose end is restored to, or, with a target, whose lineage: the beginning of its uuid
    // in hex or of its name. Empty: the newest set, if all are of one lineage.
    std::string set{};
    // Only sets of that timeline are chosen from: the one history of several that is meant, or what
    // was given up when a restore undid it. Empty (0): any.
    timeline_id timeline{};
    // At most one of the three. Without any: the end of the set.
    std::optional<lsn> to_lsn{};          // all records that begin at or below it
    std::optional<wall_time> to_time{};   // up to just before the first commit that is later
    std::string to_point{};               // through the record of that label: L, or L@LSN
    std::vector<std::string> databases{}; // only these, each of which must be there; empty: all
    // The target is a closed instance whose log survived: what it lost of its databases comes back
    // in place, up to its last commit (roll_forward.hpp). Not with `set` or a target above.
    bool live = false;
    // A target that holds something: its files go aside, into jet.abandoned-<timeline>/.
    bool force = false;
    // As force, but databases that the target holds are laid over: only pages that differ are
    // written, and nothing of them goes aside. From then on no engine opens them, until a restore
    // has ended. Sources are read twice: everything is proved before anything is touched.
    bool delta = false;
    std::size_t buffer_bytes = std::size_t{64} << 20; // of the recovery
    set_access access{};                              // codecs and keys the sets may want
    // Bytes of sets that were read since the last call; manifests say how many there are. An error
    // ends the restore with that error, and the target is empty again.
    std::function<result<void>(std::uint64_t)> on_read{};
    // What begins now, and of which file: the name of a database, `log`, or none. The name lives as
    // long as the call. An error: as of on_read.
    std::function<result<void>(restore_stage, std::string_view)> on_stage{};
};

enum class restore_ending : std::uint8_t {
    publish,
    discard, // trees are walked, then everything is removed: a verification
};

// A set that proved damaged where another way led to the same moment.
struct passed_over_set {
    std::string where;
    error why{};
};

struct restore_report {
    uuid set{};    // whose end was reached, or whose lineage was followed
    lsn reached{}; // every commit below it is there
    lsn last_commit{};
    timeline_id timeline{}; // the new one
    lsn fork_lsn{};
    std::uint64_t page_sets{};     // a base, and deltas over it
    std::uint64_t sets{};          // that were read: those, and others for their log
    std::uint64_t authenticated{}; // of them: an HMAC says who wrote them; of others nothing does
    std::uint64_t databases{};
    // Attached at that moment, and not brought back: the sets have no pages of them, for they were
    // exempt from backups. Who names one in restore_options::databases has older sets looked at.
    std::vector<std::string> left_out;
    std::uint64_t trees{}; // walked, where the end is discarded
    std::uint64_t rows{};
    set_tally read{};
    recovery_report recovery{};
    std::vector<passed_over_set> passed_over;
    std::vector<bad_frames> replaced; // where a set was damaged, and another copy of it was read
    std::uint64_t written_pages{};    // of databases that were laid over,
    std::uint64_t equal_pages{};      // and those that were as they should be
    // An earlier try was interrupted behind its laying down, and this one repeated the recovery: it
    // read nothing of the sets, and what that one told (passed_over, replaced) is not told again.
    // last_commit may be 0 then: not known. Never with force or delta, which begin anew.
    bool gone_on{};
    std::string moved_aside{};         // where the files are that the target held; empty: none
    std::chrono::nanoseconds laying{}; // until recovery began
    std::chrono::nanoseconds took{};
};

// What stands beside an error.
struct restore_trouble {
    std::optional<std::size_t> set{}; // in the pool: the one it is about
    timeline_id timeline{};           // of a log_gap
    std::vector<lsn> labelled{};      // where an ambiguous label stands
    std::vector<bad_frames> bad{};    // all that was met of several copies of a set
};

} // namespace jetpp::inline v1
