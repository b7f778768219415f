// jetpp/backup/log_range.hpp - which log a backup of a running instance carries.
//
// The log is sealed behind the copy: a forced switch, durable with the header of the next segment.
// Two ends never share a segment, and every commit below the end is in, lazy ones too.
// Threads  any; blocks until the log is durable.
// Source   backup rules R18, R21, part 3.
#pragma once

#include <jetpp/backup/backup_bases.hpp>
#include <jetpp/backup/backup_kind.hpp>
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
    if (auto const end = chain_end_of(databases)) return earlier(end, log_start);
    auto copied = !in.ancestry().forks().empty(); // by whoever left the timeline before
    for (auto const& one : databases) copied = copied || one.header.mark(mark_kind::copy).exists();
    return copied ? earlier(in.log().oldest_kept(), log_start) : log_start;
}

// The segments from the one that holds `from` to `end`.
// Errors: log_gap (the first LSN that is missing, as far as that can be told), of storage,
// out_of_memory.
template <class Traits>
[[nodiscard]] result<array_list<chained_segment>> segments_from(
    instance<Traits>& in, lsn from, lsn end
) noexcept {
    auto const segment_bytes = in.segment_bytes();
    auto chain = chain_below(in.environment(), in.where(), from, end, segment_bytes);
    if (chain || chain.error().code != errc::log_gap) return chain;
    // The chain is walked from its end: what it met is the last hole.
    auto const generation = generation_of(from, segment_bytes);
    auto const first =
        in.where().open(segment_file_name(generation), {.mode = open_mode::read_only});
    auto why = chain.error();
    if (!first) why.at = first_lsn(generation, segment_bytes);
    return why;
}

// The same to bounds.end_lsn. Where log from before the copy is gone, those from log_start on, and
// bounds tells what is lost. Errors: log_gap, of storage, out_of_memory.
template <class Traits>
[[nodiscard]] result<array_list<chained_segment>> segments_of_copy(
    instance<Traits>& in, lsn wanted, backup_bounds& bounds
) noexcept {
    auto chain = segments_from(in, wanted, bounds.end_lsn);
    if (!chain && chain.error().code == errc::log_gap && wanted < bounds.log_start) {
        bounds.lost_log_from = wanted;
        bounds.lost_log_to = bounds.log_start;
        chain = segments_from(in, bounds.log_start, bounds.end_lsn);
    }
    return chain;
}

// Keeps the log from `from` on, by a pin that is out, and sees that it is there: a gap is found
// before anything is copied, not at the end.
// Errors: log_gap, of storage, out_of_memory.
template <class Traits>
[[nodiscard]] result<void> keep_log_from(
    instance<Traits>& in, typename instance<Traits>::log_pin const& pin, lsn from
) noexcept {
    in.keep_log(pin, from);
    auto const writing = lsn{in.log().durable_segment().generation * in.segment_bytes()};
    if (from >= writing) return ok();
    BOOST_OUTCOME_TRY(segments_from(in, from, writing));
    return ok();
}

} // namespace jetpp::inline v1
