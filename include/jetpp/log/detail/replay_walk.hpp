// jetpp/log/detail/replay_walk.hpp - how replay opens a log and goes from record to record.
//
// Included by replay.hpp, which holds the class; the end of the log is judged in replay_end.hpp.
#pragma once

#include <jetpp/log/replay.hpp>

namespace jetpp::inline v1 {

template <any_environment Env>
result<replay<Env>> replay<Env>::open(
    Env env, typename Env::directory& directory, replay_options options
) noexcept {
    static_assert(std::input_iterator<iterator>);
    static_assert(std::sentinel_for<decltype(std::declval<replay&>().end()), iterator>);
    BOOST_OUTCOME_TRY(auto listing, log_directory<Env>::list(env, directory));
    if (listing.segments().empty()) return problem(errc::log_missing, options.from);
    auto const window =
        detail::window_bytes(options.buffer_bytes, record_size_max(options.page_size));
    BOOST_OUTCOME_TRY(auto file, file_source::create(window));
    auto made = replay{env, directory, options, std::move(listing), std::move(file)};
    BOOST_OUTCOME_TRY(made.learn_segment_size());
    BOOST_OUTCOME_TRY(auto* const first, made.choose_first());
    if (made.options_.instance.is_nil()) made.options_.instance = first->header.instance;
    made.segment_ = first->header;
    made.first_generation_ = first->generation;
    BOOST_OUTCOME_TRY(made.check_family());
    BOOST_OUTCOME_TRY(made.enter(*first));
    return made;
}

// The newest sound header tells: LSNs mean nothing without the segment size.
template <any_environment Env>
result<void> replay<Env>::learn_segment_size() noexcept {
    if (options_.segment_bytes != 0) {
        if (!is_segment_size(options_.segment_bytes))
            return error{.code = errc::invalid_argument, .file = file_kind::log_segment};
        segment_bytes_ = options_.segment_bytes;
        return ok();
    }
    auto refusal = problem(errc::log_corrupt, options_.from);
    auto newest = true;
    for (auto* one = listing_.below(~std::uint64_t{0}); one != nullptr;
         one = listing_.below(one->generation)) {
        BOOST_OUTCOME_TRY(listing_.read(*directory_, *one));
        if (one->is_sound()) {
            segment_bytes_ = one->header.segment_bytes;
            return ok();
        }
        if (newest) refusal = unsound(*one, options_.from);
        newest = false;
    }
    return refusal;
}

// The segment to begin with: the one that holds `from`, or the oldest.
template <any_environment Env>
result<log_segment*> replay<Env>::choose_first() noexcept {
    auto const wanted = options_.from ? generation_of(options_.from, segment_bytes_) : 0;
    BOOST_OUTCOME_TRY(listing_.read_from(*directory_, wanted));
    if (!options_.from) {
        auto const& oldest = listing_.segments().front();
        if (oldest.is_sound()) return listing_.find(oldest.generation);
        return unsound(oldest, first_lsn(oldest.generation, segment_bytes_));
    }
    auto* const found = listing_.find(wanted);
    // An end of the log may be named as the first LSN of a segment that never came to be.
    auto const at_begin = options_.from == first_lsn(wanted, segment_bytes_);
    if (at_begin) {
        auto used = false;
        if (found != nullptr && found->is_sound()) {
            BOOST_OUTCOME_TRY(used, holds_record(*found, found->header.nonce));
        }
        if (!used) return start_before(found);
    }
    if (found == nullptr) return problem(errc::log_missing, options_.from);
    if (!found->is_sound()) return unsound(*found, options_.from);
    return found;
}

// `from` is the first LSN of a segment without records: its predecessor tells why.
template <any_environment Env>
result<log_segment*> replay<Env>::start_before(log_segment* wanted) noexcept {
    auto const sound = wanted != nullptr && wanted->is_sound();
    auto const generation = generation_of(options_.from, segment_bytes_);
    auto* const previous =
        sound ? listing_.find(wanted->header.previous_generation) : listing_.below(generation);
    if (previous != nullptr) {
        BOOST_OUTCOME_TRY(listing_.read(*directory_, *previous));
        if (previous->is_sound() &&
            (!sound || previous->header.nonce == wanted->header.previous_nonce))
            return previous;
    }
    if (sound) return wanted;
    if (wanted != nullptr) return unsound(*wanted, options_.from);
    return problem(errc::log_missing, options_.from);
}

template <any_environment Env>
result<void> replay<Env>::check_family() noexcept {
    for (auto const& one : listing_.segments()) {
        if (one.generation < segment_.generation || !one.is_sound()) continue;
        auto const at = lsn{one.header.first()};
        if (one.header.instance != options_.instance) return problem(errc::log_foreign, at);
        if (one.header.segment_bytes != segment_bytes_)
            return problem(errc::segment_size_mismatch, at);
    }
    return ok();
}

template <any_environment Env>
void replay<Env>::advance() noexcept {
    if (done_) return;
    if (end_.kind != end_kind::unfinished) { // the failure was the last element
        done_ = true;
        return;
    }
    for (;;) {
        auto const went = next_step();
        if (!went) {
            end_.kind = end_kind::damage;
            end_.problem = went.assume_error();
            if (!end_.end) end_.end = here();
            current_ = end_.problem;
            return;
        }
        if (went.assume_value() == step::yield) return;
        if (went.assume_value() == step::stop) {
            done_ = true;
            return;
        }
    }
}

template <any_environment Env>
result<typename replay<Env>::step> replay<Env>::next_step() noexcept {
    if (closing_) return leave_by_segment_end();
    auto const at = here();
    if (cutter_ != nullptr && at >= cutter_->header.cut) {
        if (at > cutter_->header.cut) return problem(errc::log_corrupt, end_.last_record);
        return leave_by_cut();
    }
    if (options_.up_to && at >= options_.up_to) return stop_at_bound(at);
    BOOST_OUTCOME_TRY(auto const raw, record_here());
    if (raw.empty()) return at_invalid(at);
    return take(at, raw);
}

template <any_environment Env>
result<const_bytes> replay<Env>::record_here() noexcept {
    if (in_ring_)
        return detail::valid_record_at(*ring_, offset_, segment_, segment_.nonce, record_max_);
    return detail::valid_record_at(file_, offset_, segment_, segment_.nonce, record_max_);
}

// A valid record: notes what the end of the log needs to know, and hands it out if wanted.
template <any_environment Env>
result<typename replay<Env>::step> replay<Env>::take(lsn at, const_bytes raw) noexcept {
    auto const header = decode_header(raw.data());
    auto const is_first = offset_ == segment_header_bytes;
    auto const is_end = header.type == record_type::segment_end;
    if (is_first && header.type != record_type::attach_list) return problem(errc::log_corrupt, at);
    if (!is_end && offset_ + raw.size() > segment_bytes_ - segment_end_size)
        return problem(errc::log_corrupt, at);
    BOOST_OUTCOME_TRY(check_header(at, header));
    if (raw.size() >= detail::hint_head_size)
        end_.highest_hint = later(end_.highest_hint, detail::hint_of(raw.data()));
    if (is_first)
        end_.replaceable = true;
    else if (header.type != record_type::recovery_begin)
        end_.replaceable = false;
    if (is_end) {
        auto closing = record::segment_end{};
        if (!record::segment_end::read(raw, closing)) return bad_record().with_lsn(at);
        closing_ = closing;
    }
    end_.last = segment_;
    end_.last_record = at;
    end_.sealed = is_end;
    offset_ += raw.size();
    end_.raw_end = here();
    if (at < options_.from || !options_.filter.wants(header)) return step::again;
    BOOST_OUTCOME_TRY(parse_record(at, raw, current_.assume_value())); // an error comes last
    return step::yield;
}

// Whatever stands behind the cut in this segment never happened.
template <any_environment Env>
result<typename replay<Env>::step> replay<Env>::leave_by_cut() noexcept {
    auto const& next = *cutter_;
    auto const of_family = next.header.timeline == segment_.timeline ||
                           next.header.parent_timeline == segment_.timeline;
    if (!of_family) return problem(errc::log_foreign, next.header.first());
    end_.raw_end = next.header.cut;
    if (options_.up_to && next.header.first() >= options_.up_to)
        return stop_at_bound(next.header.first());
    BOOST_OUTCOME_TRY(enter(next));
    return step::again;
}

template <any_environment Env>
result<typename replay<Env>::step> replay<Env>::leave_by_segment_end() noexcept {
    auto const named = *std::exchange(closing_, std::nullopt);
    if (cutter_ != nullptr) return leave_by_cut(); // overruled
    if (named.next_generation <= segment_.generation || named.next_nonce == 0 ||
        named.next_generation >= lsn_limit.value / segment_bytes_)
        return problem(errc::log_corrupt, end_.last_record);
    auto const next_first = first_lsn(named.next_generation, segment_bytes_);
    end_.next_generation = named.next_generation;
    end_.next_nonce = named.next_nonce;
    if (options_.up_to && next_first >= options_.up_to) return stop_at_bound(next_first);
    auto const* const next = listing_.find(named.next_generation);
    if (next == nullptr) return end_here(next_first);
    auto const& h = next->header;
    if (next->is_sound() && h.nonce == named.next_nonce && !h.cut &&
        h.previous_generation == segment_.generation && h.previous_nonce == segment_.nonce &&
        h.timeline == segment_.timeline) {
        if (in_ring_) {
            BOOST_OUTCOME_TRY(auto const written, holds_record(*next, h.nonce));
            if (written) return problem(errc::log_corrupt, end_.ring_from);
        }
        BOOST_OUTCOME_TRY(enter(*next));
        return step::again;
    }
    // A file of that name is there, but its header is not the one that was named.
    BOOST_OUTCOME_TRY(auto const written, holds_record(*next, named.next_nonce));
    if (written) return unsound(*next, next_first);
    return end_here(next_first);
}

template <any_environment Env>
result<void> replay<Env>::enter(log_segment const& next) noexcept {
    auto const opened = file_.open(*directory_, next.generation, next.file_bytes);
    if (!opened && opened.assume_error().code == errc::not_found) return missing(next.generation);
    if (!opened) return opened.assume_error();
    segment_ = next.header;
    offset_ = segment_header_bytes;
    cutter_ = listing_.cutter_of(segment_);
    // Bytes behind a segment_end of the ring are nowhere else.
    if (in_ring_) in_ring_ = ring_->open_segment(segment_);
    return ok();
}

// No valid record stands here: is there one in jet.ring, or is this the end?
template <any_environment Env>
result<typename replay<Env>::step> replay<Env>::at_invalid(lsn at) noexcept {
    if (cutter_ != nullptr) return problem(errc::log_corrupt, at); // a cut log is whole to its cut
    if (in_ring_ || !options_.use_ring) return end_here(at);
    if (!ring_asked_) {
        ring_asked_ = true;
        auto const window = detail::window_bytes(options_.buffer_bytes, record_max_);
        BOOST_OUTCOME_TRY(ring_, ring_source::open(*directory_, options_.instance, window));
    }
    if (!ring_ || !ring_->open_segment(segment_)) return end_here(at);
    in_ring_ = true;
    BOOST_OUTCOME_TRY(auto const raw, record_here());
    if (raw.empty()) {
        in_ring_ = false;
        return end_here(at);
    }
    if (!end_.ring_from) end_.ring_from = at;
    return take(at, raw);
}

} // namespace jetpp::inline v1
