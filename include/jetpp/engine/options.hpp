// jetpp/engine/options.hpp - what is chosen at open, with the defaults of a small server.
//
// A zero size means: derived from buffer_bytes. open() refuses what breaks a rule with
// errc::bad_option.
#pragma once

#include <jetpp/core/error.hpp>
#include <jetpp/core/lsn.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

enum class event_kind : std::uint8_t {
    recovered,           // a crash was recovered, from the log from .. to: count of its records
    page_repaired,       // torn pages came home from the double-write file: count
    checkpoint,          // recovery would begin at `from` now; it was taken at `to`
    background_failed,   // a background step met an error; `why` tells
    transaction_dropped, // a transaction that had written was destroyed without commit
    snapshots_given_up,  // their versions outgrew the budget: count, since this was last told
    log_held,            // log from .. to fills `count` percent (50, 75, 90) of the room there is
                         // for it; `why`: full_backup_required if a database without one holds it
    backup_finished,     // from: log_start, to: end of the set, count: bytes of pages and log
    backup_failed,       // `why` tells
    backup_aborted_by_crash, // found at open: it had begun at `from`, and no record ends it
    backup_log_held,         // the log a backup keeps, from .. to: `count` percent of its cap
    pin_broken, // past its cap: its owner, a backup or a named pin's, fails, and the log may go:
                // from, to: the log it held, count: how much that was
    pins_lost,  // at open, the checkpoint file could not be read: named pins are gone
    backup_file_refused,    // an external session asked for a file that it was not offered
    backup_database_failed, // it left an external session: a page or a read failed
    log_segment_missing,    // a truncation found files gone already: count
    freeze_expired,         // nobody thawed the instance within the limit: it writes again
};

struct event {
    event_kind kind{};
    error why{};
    lsn from{};
    lsn to{};
    std::uint64_t count{};
};

// Called from any thread of the engine, outside its locks: it may call the engine and its sessions
// back, but for what waits for that very thread: close, attach, detach, the end of a session's object.
struct event_sink {
    void (*on_event)(void* context, event const& what) noexcept = nullptr;
    void* context = nullptr;

    void operator()(event const& what) const noexcept {
        if (on_event != nullptr) on_event(context, what);
    }
};

struct freeze_options {
    std::chrono::nanoseconds limit = std::chrono::seconds{70}; // then the engine thaws by itself
};

enum class create_how : std::uint8_t { if_missing, must_exist };

struct open_options {
    create_how create = create_how::if_missing;
    std::size_t buffer_bytes = std::size_t{64} << 20;

    // At creation only; later the files say it. Power of two, 128 KiB .. 1 GiB.
    std::uint64_t segment_bytes = std::uint64_t{16} << 20;
    bool archival = true; // read under the policy recorded_logging only

    std::size_t log_ring_bytes = 0;    // power of two; derived: B/16 within [4 x max_record, 4 MiB]
    std::size_t version_bytes = 0;     // derived: B/8
    std::size_t transaction_bytes = 0; // derived: B/4
    // Log from a writer's first record on, others' included: past it he may only end. He keeps all
    // of it from being used again.
    std::uint64_t transaction_log_bytes = std::uint64_t{1} << 30;

    std::uint64_t checkpoint_depth_bytes = std::uint64_t{64} << 20; // of log a recovery must redo
    std::uint64_t checkpoint_every_bytes = std::uint64_t{8} << 20;  // of log between checkpoints
    std::chrono::nanoseconds checkpoint_every = std::chrono::seconds{30};
    std::chrono::nanoseconds lazy_interval = std::chrono::milliseconds{10};

    // Commits of durability::process need the ring in a shared mapped file.
    bool process_durability = true;

    event_sink events{};
};

} // namespace jetpp::inline v1
