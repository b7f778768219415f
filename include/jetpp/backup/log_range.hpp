// jetpp/backup/log_range.hpp - which log a backup of a running instance carries.
//
// The log is sealed behind the copy: a forced switch, durable with the header of the next segment.
// Two ends never share a segment, and every commit below the end is in, lazy ones too.
// Threads  any; blocks until the log is durable.
// Source   backup rules R18, R21, part 3.
#pragma once

#include <jetpp/backup/frozen_database.hpp>
#include <jetpp/backup/log_chain.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/recovery/instance.hpp>

#include <cstdint>
#include <span>

namespace jetpp::inline v1 {

// Returns: end_lsn, the first address of the segment behind the seal. Errors: of the log.
template <class Traits>
[[nodiscard]] result<lsn> seal_log(instance<Traits>& in) noexcept {
    auto& log = in.log();
    BOOST_OUTCOME_TRY(auto const next, log.force_switch());
    BOOST_OUTCOME_TRY(log.wait_durable(next)); // the attach_list behind the seal
    auto const segment_bytes = in.segment_bytes();
    return lsn{generation_of(next, segment_bytes) * segment_bytes};
}

// Where the log of a copy of pages begins: with the copy, or, in archival mode, where the last
// chain of backups ended. What is truncated later must lie in a set, or "any moment" would have a
// hole.
template <class Traits>
[[nodiscard]] lsn wanted_log_start(
    instance<Traits>& in, lsn log_start, std::span<frozen_database const> databases
) noexcept {
    if (!in.is_archival()) return log_start;
    auto chain_end = no_lsn;
    auto copied = false;
    for (auto const& one : databases) {
        auto const& h = one.header;
        copied = copied || h.mark(mark_kind::copy).exists() || h.ancestor_count != 0;
        auto const end =
            later(h.mark(mark_kind::full).end_lsn, h.mark(mark_kind::incremental).end_lsn);
        if (end) chain_end = chain_end ? earlier(chain_end, end) : end;
    }
    if (chain_end) return earlier(chain_end, log_start);
    return copied ? earlier(in.log().oldest_kept(), log_start) : log_start;
}

// The segments from the one that holds `wanted` to bounds.end_lsn. Where log from before the copy
// is gone, those from log_start on, and bounds tells what is lost.
// Errors: log_gap, of storage, out_of_memory.
template <class Traits>
[[nodiscard]] result<array_list<chained_segment>> segments_of_copy(
    instance<Traits>& in, lsn wanted, backup_bounds& bounds
) noexcept {
    auto const below_end = [&](lsn from) noexcept {
        return chain_below(
            in.environment(), in.where(), from, bounds.end_lsn, in.segment_bytes()
        );
    };
    auto chain = below_end(wanted);
    if (!chain && chain.error().code == errc::log_gap && wanted < bounds.log_start) {
        bounds.lost_log_from = wanted;
        bounds.lost_log_to = bounds.log_start;
        chain = below_end(bounds.log_start);
    }
    return chain;
}

} // namespace jetpp::inline v1
