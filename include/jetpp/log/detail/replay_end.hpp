// jetpp/log/detail/replay_end.hpp - how replay ends: torn tail or damage (see end_of_log.hpp).
//
// Included by replay.hpp, which holds the class.
#pragma once

#include <jetpp/log/replay.hpp>

namespace jetpp::inline v1 {

template <any_environment Env>
result<typename replay<Env>::step> replay<Env>::stop_at_bound(lsn at) noexcept {
    end_.kind = end_kind::clean;
    end_.end = at;
    return step::stop;
}

// No record follows at `end`. Decides what that means.
template <any_environment Env>
result<typename replay<Env>::step> replay<Env>::end_here(lsn end) noexcept {
    end_.end = end;
    auto const has_records = end_.last && end_.last->generation == segment_.generation;
    if (!has_records) {
        end_.unused = segment_;
        end_.next_generation = segment_.generation;
        end_.next_nonce = segment_.cut ? 0 : segment_.nonce;
    } else if (!end_.sealed) {
        end_.next_generation = segment_.generation + 1;
        end_.next_nonce = 0;
    }
    if (options_.up_to) // the caller knows that more was durable
        return end_.sealed && has_records ? missing(end_.next_generation)
                                          : problem(errc::log_corrupt, end);
    auto const judged = judge(end);
    if (!judged) {
        auto const code = judged.assume_error().code;
        auto const lost_tail =
            code == errc::log_corrupt || code == errc::log_tail_lost || code == errc::log_missing;
        if (!options_.accept_lost_tail || !lost_tail) return judged.assume_error();
        end_.problem = judged.assume_error();
        end_.overruled = true;
    }
    end_.kind = end_kind::clean;
    if (end_.overruled) end_.kind = end_kind::torn_tail;
    // Where the slot says that the log ended, a recycled segment may stand prepared, full of its
    // former life: its bytes tell nothing.
    auto const as_left = end_.sealed && end == options_.proofs.slot_end;
    if (!(end_.sealed && has_records) && !as_left) {
        BOOST_OUTCOME_TRY(auto const head, file_.bytes_at(offset_, record_header_size));
        if (!all_zero(head)) end_.kind = end_kind::torn_tail;
    }
    return step::stop;
}

template <any_environment Env>
result<void> replay<Env>::judge(lsn end) noexcept {
    BOOST_OUTCOME_TRY(judge_slot(end));
    BOOST_OUTCOME_TRY(judge_segment(end));
    BOOST_OUTCOME_TRY(judge_later_segments());
    return check_end(end, segment_bytes_, options_.proofs);
}

// Test 4: the slot was written while this segment took records.
template <any_environment Env>
result<void> replay<Env>::judge_slot(lsn end) noexcept {
    auto const& proofs = options_.proofs;
    if (proofs.slot_generation < first_generation_) return ok(); // none, or not of our stretch
    auto const* const named = listing_.find(proofs.slot_generation);
    if (named != nullptr && named->is_sound() &&
        (named->header.nonce == proofs.slot_nonce || named->header.cut))
        return ok();
    if (proofs.slot_generation == end_.next_generation && end >= proofs.slot_end) return ok();
    return missing(proofs.slot_generation);
}

// Tests 1 and 3, in the segment where the log ends.
template <any_environment Env>
result<void> replay<Env>::judge_segment(lsn end) noexcept {
    auto const* const here_listed = listing_.find(segment_.generation);
    if (end_.sealed && end_.last && end_.last->generation == segment_.generation) return ok();
    // The slot stops saying clean before the next life writes its first byte of log: there is
    // nothing to search a whole segment for.
    auto const& proofs = options_.proofs;
    if (proofs.slot_clean && end_.sealed && end == proofs.slot_end) return ok();
    if (here_listed == nullptr || here_listed->file_bytes < segment_bytes_)
        return problem(errc::log_corrupt, end);
    if (Env::runtime_type::sabotaged(sabotage::no_hint_probe)) return ok();
    BOOST_OUTCOME_TRY(
        auto const witness, detail::find_witness(file_, segment_, offset_, end, record_max_)
    );
    if (witness) return problem(errc::log_corrupt, end);
    return ok();
}

// Tests 3 and 5: nothing is written to a segment before all before it is durable.
template <any_environment Env>
result<void> replay<Env>::judge_later_segments() noexcept {
    auto const sealed_here =
        end_.sealed && end_.last && end_.last->generation == segment_.generation;
    for (auto const& one : listing_.segments()) {
        if (one.generation <= segment_.generation || !one.is_sound()) continue;
        BOOST_OUTCOME_TRY(auto const written, holds_record(one, one.header.nonce));
        if (!written) continue;
        if (sealed_here) return missing(end_.next_generation);
        return problem(errc::log_corrupt, end_.end);
    }
    return ok();
}

// Does a record of that nonce stand at the beginning of the segment? Moves the file window.
template <any_environment Env>
result<bool> replay<Env>::holds_record(log_segment const& one, std::uint64_t nonce) noexcept {
    auto as_named = segment_header{
        .generation = one.generation, .segment_bytes = segment_bytes_, .nonce = nonce
    };
    auto const reading = segment_.generation;
    BOOST_OUTCOME_TRY(file_.open(*directory_, one.generation, one.file_bytes));
    BOOST_OUTCOME_TRY(
        auto const raw,
        detail::valid_record_at(file_, segment_header_bytes, as_named, nonce, record_max_)
    );
    auto const found = !raw.empty();
    if (auto const* const back = listing_.find(reading); back != nullptr) {
        BOOST_OUTCOME_TRY(file_.open(*directory_, reading, back->file_bytes));
    }
    return found;
}

} // namespace jetpp::inline v1
