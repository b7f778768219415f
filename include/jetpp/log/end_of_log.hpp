// jetpp/log/end_of_log.hpp - where the log ends, and whether a torn tail or damage ends it.
//
// The first invalid record of the last segment stands at E. A crash may leave exactly that, so it
// is an end like any other, unless something proves that more had been durable:
//   1. a later valid record of the segment whose durable_hint lies beyond E
//   2. the checkpoint slot's end_lsn, a database's max_required_lsn, a stamped end_lsn
//   3. a segment without segment_end that is too short, or a record in a later segment
//   4. a segment that the slot names and the directory lacks
//   5. a hole in the chain
// What remains is stated to users: rot in the last durable group before any later hint (at most a
// second's worth when idle) looks like a torn tail.
// Threads  one owner.
// Source   ARIES finds the end by reading; the proofs are ours.
#pragma once

#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/detail/record_source.hpp>
#include <jetpp/log/record.hpp>
#include <jetpp/log/segment.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace jetpp::inline v1 {

// What the caller knows of the log's end from elsewhere; zero says nothing.
struct log_proofs {
    lsn slot_end{};                  // end_lsn of the checkpoint slot in use
    std::uint64_t slot_generation{}; // its generation and nonce
    std::uint64_t slot_nonce{};
    bool slot_clean = false; // it is of a clean close: nothing was written behind slot_end
    lsn max_required{};      // the largest max_required_lsn of attached databases
    lsn stamped_end{};       // the largest end_lsn of a backup mark, which was logged behind it
};

enum class end_kind : std::uint8_t {
    unfinished, // replay still runs
    // At up_to, behind a segment_end that nothing follows (or what a recycled segment held in a
    // former life, where the slot says that the log ended), or before zeroes.
    clean,
    torn_tail, // something stands at `end`, and it is no record: legal after a crash
    damage,    // `problem` says what; the log must not be believed beyond `end`
};

// The end of a replay, with all that recovery needs to go on from it.
struct log_end {
    end_kind kind = end_kind::unfinished;
    lsn end{};       // E: where the next record would have stood; never a header address
    error problem{}; // of kind damage, or what accept_lost_tail overruled
    bool overruled = false;

    lsn last_record{};  // 0 = none was read
    lsn highest_hint{}; // the highest durable_hint of any record: all below it had been durable
    // The first record that only jet.ring held, 0 = none. Whoever hardens the tail must rewrite
    // from the smaller of this and the proven durable end.
    lsn ring_from{};

    std::optional<segment_header> last;   // the last segment that holds a record which counts
    lsn raw_end{};                        // behind that record: what a next segment has as cut
    bool sealed = false;                  // the record is a segment_end
    std::optional<segment_header> unused; // the sound segment behind `last`, without any record
    // Nothing but attach_list and recovery_begin stands in `last`: it may be replaced.
    bool replaceable = false;
    // What the next segment must be called: named by segment_end, or the unused one, or last + 1.
    std::uint64_t next_generation{};
    std::uint64_t next_nonce{}; // 0 unless segment_end names it
};

// Test 2. To be asked again when databases were opened: only then their max_required_lsn is known.
// Errors: log_corrupt (below the slot's end), log_tail_lost (below what a database or set proves).
[[nodiscard]] inline result<void> check_end(
    lsn end, std::uint64_t segment_bytes, log_proofs const& proofs
) noexcept {
    auto const refuse = [&](errc code) {
        return error{.code = code, .file = file_kind::log_segment, .at = end};
    };
    if (end < proofs.slot_end) return refuse(errc::log_corrupt);
    // A mark comes after its record, and that stands in the segment that begins at its end_lsn.
    auto const stamped = proofs.stamped_end;
    if (stamped &&
        (end < stamped || end <= first_lsn(generation_of(stamped, segment_bytes), segment_bytes)))
        return refuse(errc::log_tail_lost);
    if (proofs.max_required) {
        auto const needed = generation_of(proofs.max_required - 1, segment_bytes);
        if (end.value <= needed * segment_bytes) return refuse(errc::log_tail_lost);
    }
    return ok();
}

namespace detail {

inline constexpr std::uint64_t hint_crc_budget = std::uint64_t{64} << 20;
inline constexpr std::size_t hint_head_size = 48;

// The durable_hint of a record, 0 if its type carries none. Requires: hint_head_size bytes.
[[nodiscard]] inline lsn hint_of(std::byte const* record) noexcept {
    switch (static_cast<record_type>(record[8])) {
    case record_type::commit:
    case record_type::time_mark: return {load_le<std::uint64_t>(record + 32)};
    case record_type::segment_end: return {load_le<std::uint64_t>(record + 40)};
    default: return no_lsn;
    }
}

// Could these bytes be a record at `at` that proves more than `end` durable? Cheap: the sum comes
// only after it. Requires: hint_head_size bytes.
[[nodiscard]] inline bool is_witness(std::byte const* record, lsn at, lsn end) noexcept {
    auto const length = decode_length(record);
    if (length % 8 != 0 || length < hint_head_size || length > 304) return false;
    auto const hint = hint_of(record);
    return hint > end && hint <= at && decode_header(record).transaction < at;
}

// Test 1: looks at every 8-aligned offset behind `offset`, where the log ends at `end`.
// Returns: the LSN of a record that proves damage; 0 if none was found within the budget.
template <class Source>
[[nodiscard]] result<lsn> find_witness(
    Source& source,
    segment_header const& segment,
    std::uint64_t offset,
    lsn end,
    std::size_t record_max
) noexcept {
    constexpr auto stride = std::size_t{32} * 1024;
    auto budget = hint_crc_budget;
    auto const base = lsn{segment.generation * segment.segment_bytes};
    auto at = offset + 8;
    while (at + hint_head_size <= segment.segment_bytes) {
        BOOST_OUTCOME_TRY(auto const chunk, source.bytes_at(at, stride));
        if (chunk.size() < hint_head_size) break;
        auto i = std::size_t{0};
        for (; i + hint_head_size <= chunk.size(); i += 8)
            if (is_witness(chunk.data() + i, base + (at + i), end)) break;
        at += i;
        if (i + hint_head_size > chunk.size()) continue;
        auto const length = decode_length(chunk.data() + i);
        if (length > budget) break;
        budget -= length;
        BOOST_OUTCOME_TRY(
            auto const raw, valid_record_at(source, at, segment, segment.nonce, record_max)
        );
        if (!raw.empty()) return base + at;
        at += 8;
    }
    return no_lsn;
}

} // namespace detail
} // namespace jetpp::inline v1
