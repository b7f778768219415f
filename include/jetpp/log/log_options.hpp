// jetpp/log/log_options.hpp - how a log is run, where it starts, and the small things callers hold.
//
// Threads  values; a log_credit belongs to one operation at a time.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/error.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/env/runtime.hpp>
#include <jetpp/log/record.hpp>
#include <jetpp/log/segment.hpp>

#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace jetpp::inline v1 {

struct log_options {
    std::uint64_t segment_bytes = segment_bytes_default;
    std::uint64_t ring_bytes = 4 * 1024 * 1024;
    std::size_t record_bytes_max = record_size_max(8192); // of the page size in use
    bool archival = false;      // recycle_below() keeps everything; only release_below() frees
    bool process_level = false; // the ring lives in jet.ring and survives the end of the process
    mono_time lazy_interval = std::chrono::milliseconds{10}; // until housekeeping() flushes
    mono_time time_mark_interval = std::chrono::seconds{1};  // idle time before one is written
    mono_time credit_wait_max = std::chrono::seconds{10};    // then acquire() answers `busy`
    std::size_t staging_bytes = 128 * 1024; // larger rounds go out in two writes and a sync
    std::uint32_t prepared_segments = 2;    // kept ready beyond the debts
    bool prepared_at_start = true;          // one of them by create(); else housekeeping() begins
    // How much of a new segment is written with zeros. The rest is allocated: a later write to it
    // costs a change of metadata more, so this is for lives of a few records.
    std::uint64_t prewritten_bytes = ~std::uint64_t{0};
    std::uint32_t spare_segments_max = 4; // recycled files above it are removed
    std::uint64_t log_bytes_limit = 0;    // of all segments; 0 = none

    // Ring: a power of two, at least four records, at most eight segments (format, section 11).
    [[nodiscard]] bool are_valid() const noexcept {
        return is_segment_size(segment_bytes) && std::has_single_bit(ring_bytes) &&
               record_bytes_max % 8 == 0 && record_bytes_max >= record_size_max(4096) &&
               record_bytes_max <= record_size_limit && ring_bytes >= 4 * record_bytes_max &&
               ring_bytes <= 8 * segment_bytes && staging_bytes >= 4096 &&
               segment_bytes >= 4 * record_bytes_max;
    }
};

// What stands in the header of the first segment a writer makes: see log_writer::create.
struct log_start {
    uuid instance{};
    std::uint32_t incarnation{};
    timeline_id timeline{};
    timeline_id parent_timeline{};
    lsn fork_lsn{};
    std::uint64_t generation = 1;
    std::uint64_t nonce{}; // 0: draw one
    std::uint64_t previous_generation{};
    std::uint64_t previous_nonce{};
    wall_time previous_created_at{};
    lsn cut{};
    wall_time wall_floor{};    // highest time recovery saw: times in the log never go back
    const_bytes attach_list{}; // a whole encoded record; empty: no database is attached
};

// Ring space and prepared file space of one operation, in bytes. Taken before the first latch,
// returned when the operation ends; destroyed empty.
struct log_credit {
    std::uint32_t left{};
};

enum class credit_use : std::uint8_t {
    ordinary, // must leave the rollback debts payable
    owed,     // rollback, commit, checkpoint: may use what ordinary work must leave
};

// Somebody who must not block: `done` runs once, outside every lock, on the thread that led the
// flush (or failed it). error.code is errc::none when the record is durable.
struct lsn_waiter {
    lsn at{};
    void (*done)(lsn_waiter*, error) noexcept = nullptr;
    lsn_waiter* next = nullptr;
};

// Names a segment that exists or will.
struct segment_id {
    std::uint64_t generation{};
    std::uint64_t nonce{};
    friend constexpr bool operator==(segment_id const&, segment_id const&) noexcept = default;
};

// What a clean close leaves: the segment a next life must begin, and the end of the log, which is
// that segment's first LSN.
struct closed_log {
    segment_id next{};
    lsn end{};
};

} // namespace jetpp::inline v1
