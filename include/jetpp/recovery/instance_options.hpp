// jetpp/recovery/instance_options.hpp - how an instance is sized, and the rules sizes obey.
//
// Everything follows from buffer_bytes unless it is given. What breaks a rule is refused with
// errc::bad_option before a byte of log or data is written.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/env/runtime.hpp>
#include <jetpp/log/log_options.hpp>
#include <jetpp/log/record.hpp>
#include <jetpp/txn/transaction_system.hpp>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

struct instance_options {
    bool create = true;
    bool archival = false;
    bool archival_from_files = false; // as the newest segment says; `archival` for a new log
    std::size_t buffer_bytes = std::size_t{64} << 20;
    std::uint64_t segment_bytes = segment_bytes_default; // of a new log
    std::size_t log_ring_bytes = 0;
    std::size_t version_bytes = 0;
    std::size_t transaction_bytes = 0;
    std::uint64_t transaction_log_bytes = std::uint64_t{1} << 30;
    std::uint64_t checkpoint_depth_bytes = std::uint64_t{64} << 20;
    std::uint64_t checkpoint_every_bytes = std::uint64_t{8} << 20;
    mono_time checkpoint_every = std::chrono::seconds{30};
    mono_time lazy_interval = std::chrono::milliseconds{10};
    bool process_durability = true;
    // Opened by a restore, whose journal keeps all others out: files may leave and come back in the
    // log that is replayed, and databases that were not asked for are not there.
    bool restoring = false;
    // Of a restore: what is replayed becomes another history, which bears no mark of its parent's
    // backups. False: the instance goes on in its own log.
    bool forks = true;
    bool brief = false; // a life of a few records: its log is allocated only, and leaves no spares
};

inline constexpr std::uint32_t pool_frames_min = 8;

[[nodiscard]] constexpr std::uint32_t pool_frames(
    instance_options const& o, std::size_t page_size
) noexcept {
    return static_cast<std::uint32_t>(o.buffer_bytes / page_size);
}

// Pages one area of jet.dw holds: a sixteenth of the pool within 8 .. 120.
[[nodiscard]] constexpr std::uint32_t double_write_pages(std::uint32_t frames) noexcept {
    auto const pages = frames / 16;
    return pages < 8 ? 8 : pages > 120 ? 120 : pages;
}

[[nodiscard]] constexpr std::uint64_t ring_bytes_of(
    instance_options const& o, std::size_t page_size, std::uint64_t segment_bytes
) noexcept {
    if (o.log_ring_bytes != 0) return o.log_ring_bytes;
    auto const least = std::bit_ceil(std::uint64_t{4} * record_size_max(page_size));
    auto ring = std::bit_floor(std::uint64_t{o.buffer_bytes} / 16 | 1);
    if (ring > (std::uint64_t{4} << 20)) ring = std::uint64_t{4} << 20;
    if (ring < least) ring = least;
    return ring > 8 * segment_bytes ? 8 * segment_bytes : ring;
}

[[nodiscard]] constexpr transaction_limits limits_of(instance_options const& o) noexcept {
    return {
        .version_bytes = o.version_bytes != 0 ? o.version_bytes : o.buffer_bytes / 8,
        .transaction_bytes = o.transaction_bytes != 0 ? o.transaction_bytes : o.buffer_bytes / 4,
        .transaction_log_bytes = o.transaction_log_bytes,
    };
}

[[nodiscard]] inline log_options log_options_of(
    instance_options const& o, std::size_t page_size, std::uint64_t segment_bytes, bool archival
) noexcept {
    auto options = log_options{
        .segment_bytes = segment_bytes,
        .ring_bytes = ring_bytes_of(o, page_size, segment_bytes),
        .record_bytes_max = record_size_max(page_size),
        .archival = archival,
        .process_level = o.process_durability,
        .lazy_interval = o.lazy_interval,
        // An open waits for the one segment that the first commits need. Housekeeping has the next
        // one ready long before they have used it up.
        .prepared_at_start = false,
    };
    if (o.brief) {
        auto const least = std::bit_ceil(std::uint64_t{4} * record_size_max(page_size));
        options.ring_bytes =
            std::min(options.ring_bytes, std::max(least, std::uint64_t{512} << 10));
        options.prewritten_bytes = 0;
        options.spare_segments_max = 0; // whoever recycles one counts on written blocks
    }
    return options;
}

// Errors: bad_option: fewer than 8 frames; a ring or segment that is no power of two, too small for
// four records, or a ring larger than eight segments.
[[nodiscard]] inline result<void> check_options(
    instance_options const& o, std::size_t page_size, std::uint64_t segment_bytes
) noexcept {
    if (o.buffer_bytes / page_size < pool_frames_min) return error{.code = errc::bad_option};
    if (!log_options_of(o, page_size, segment_bytes, o.archival).are_valid())
        return error{.code = errc::bad_option};
    return ok();
}

} // namespace jetpp::inline v1
