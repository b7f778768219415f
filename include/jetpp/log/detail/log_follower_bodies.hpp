// jetpp/log/detail/log_follower_bodies.hpp - the members of log_follower; included by its header.
#pragma once

#include <jetpp/log/log_follower.hpp>

namespace jetpp::inline v1 {

template <any_environment Env>
result<log_follower<Env>> log_follower<Env>::open(
    Env env, typename Env::directory& directory, follow_options const& options
) noexcept {
    static_assert(log_source<log_follower>);
    auto const window =
        detail::window_bytes(options.buffer_bytes, record_size_max(options.page_size));
    BOOST_OUTCOME_TRY(auto file, detail::segment_source<Env>::create(window));
    BOOST_OUTCOME_TRY(
        auto aside,
        detail::segment_source<Env>::create(detail::window_bytes(0, attach_list_size_max))
    );
    auto made = log_follower{env, directory, options, std::move(file), std::move(aside)};
    // Segments may be recycled between the listing and the look at one of them.
    for (auto tries = 0;; ++tries) {
        auto const begun = made.begin();
        if (begun) return made;
        if (begun.error().code != errc::would_block || tries == 100) return begun.error();
        made.pause();
    }
}

// Errors: would_block: what was listed is gone, look again.
template <any_environment Env>
result<void> log_follower<Env>::begin() noexcept {
    BOOST_OUTCOME_TRY(auto listing, log_directory<Env>::list(env_, *directory_));
    BOOST_OUTCOME_TRY(listing.read_from(*directory_, 0));
    auto const segments = listing.segments();
    if (segments.empty()) return problem(errc::log_missing, options_.from);
    segment_bytes_ = 0;
    for (auto i = segments.size(); i-- > 0 && segment_bytes_ == 0;)
        if (segments[i].is_sound()) segment_bytes_ = segments[i].header.segment_bytes;
    if (segment_bytes_ == 0) return problem(errc::log_corrupt, options_.from);
    auto const* first = &segments.front();
    if (options_.from) {
        auto const generation = generation_of(options_.from, segment_bytes_);
        first = listing.find(generation);
        // The end of a closed log may be named as the first LSN of a segment not yet made.
        auto const at_begin = options_.from == first_lsn(generation, segment_bytes_);
        if (at_begin) {
            auto written = false;
            if (first != nullptr && first->is_sound()) {
                BOOST_OUTCOME_TRY(written, has_record(*first));
            }
            if (!written) first = listing.below(generation);
        }
        if (first == nullptr) return problem(errc::log_gap, options_.from);
    }
    if (!first->is_sound()) return error{.code = errc::would_block};
    BOOST_OUTCOME_TRY(auto const entered, enter(first->generation, first->header.nonce));
    if (!entered) return error{.code = errc::would_block};
    return ok();
}

// Returns: false if no sound segment of that generation and nonce is there.
template <any_environment Env>
result<bool> log_follower<Env>::enter(std::uint64_t generation, std::uint64_t nonce) noexcept {
    auto const opened = file_.open(*directory_, generation, segment_bytes_);
    if (!opened && opened.error().code == errc::not_found) return false;
    BOOST_OUTCOME_TRY(opened);
    // By the handle that all records will come from: a name may change owners in between.
    BOOST_OUTCOME_TRY(auto const block, file_.bytes_at(0, segment_header_bytes));
    if (block.size() < segment_header_bytes) return false;
    auto const decoded = segment_header::decode(block);
    if (!decoded || decoded.assume_value().generation != generation ||
        decoded.assume_value().nonce != nonce)
        return false;
    auto const& header = decoded.assume_value();
    if (options_.instance.is_nil()) options_.instance = header.instance;
    if (header.instance != options_.instance) return problem(errc::log_foreign, header.first());
    if (header.segment_bytes != segment_bytes_)
        return problem(errc::segment_size_mismatch, header.first());
    segment_ = header;
    offset_ = seen_ = segment_header_bytes;
    cut_ = no_lsn;
    closing_.reset();
    return true;
}

template <any_environment Env>
result<log_step> log_follower<Env>::next() noexcept {
    for (auto retried = false;;) {
        auto const at = position();
        auto const is_done = closing_.has_value() || (cut_ && at >= cut_);
        if (!is_done) {
            if (at >= bound()) {
                BOOST_OUTCOME_TRY(look_ahead());
            }
            if (at < bound()) {
                BOOST_OUTCOME_TRY(auto raw, record_at(offset_));
                if (raw.empty()) { // the window may be older than the proof
                    file_.forget();
                    BOOST_OUTCOME_TRY(raw, record_at(offset_));
                }
                if (!raw.empty()) {
                    BOOST_OUTCOME_TRY(auto const wanted, take(at, raw));
                    if (wanted) return log_step::record;
                    continue;
                }
            }
        }
        auto const before = bound();
        BOOST_OUTCOME_TRY(auto const went, look_around());
        if (went) {
            if (*went != log_step::record) return *went;
            retried = false; // in another segment
            continue;
        }
        if (closing_ || (at >= before && bound() <= at)) return log_step::waiting;
        // Proven durable, in its place, and not to be read: once more, then it is damage.
        if (retried) return problem(errc::log_damaged, at);
        retried = true;
    }
}

// Returns: whether it is wanted.
template <any_environment Env>
result<bool> log_follower<Env>::take(lsn at, const_bytes raw) noexcept {
    auto const header = decode_header(raw.data());
    auto const is_first = offset_ == segment_header_bytes;
    if (is_first != (header.type == record_type::attach_list))
        return problem(errc::log_corrupt, at);
    BOOST_OUTCOME_TRY(check_header(at, header));
    if (header.type == record_type::segment_end) {
        auto closing = record::segment_end{};
        if (!record::segment_end::read(raw, closing)) return bad_record().with_lsn(at);
        closing_ = closing;
    }
    offset_ += raw.size();
    if (seen_ < offset_) seen_ = offset_;
    auto const names = header.type == record_type::db_create ||
                       header.type == record_type::attach || header.type == record_type::detach ||
                       header.type == record_type::attach_list;
    if (at < options_.from && !(options_.databases_below && names)) return false;
    if (!options_.filter.wants(header)) return false;
    BOOST_OUTCOME_TRY(parse_record(at, raw, current_));
    return true;
}

// Reads on for the next proof that what comes next was durable. Stops at the first: the records up
// to it are then still in the window.
template <any_environment Env>
result<void> log_follower<Env>::look_ahead() noexcept {
    auto const at = position();
    auto fresh = false;
    while (proven_ <= at) {
        BOOST_OUTCOME_TRY(auto const raw, record_at(seen_));
        if (raw.empty()) {
            if (fresh) return ok();
            fresh = true;
            file_.forget();
            continue;
        }
        if (cut_ && at_offset(seen_) >= cut_) return ok();
        if (raw.size() >= detail::hint_head_size)
            proven_ = later(proven_, earlier(detail::hint_of(raw.data()), at_offset(seen_)));
        if (decode_header(raw.data()).type == record_type::segment_end) return ok();
        seen_ += raw.size();
    }
    return ok();
}

template <any_environment Env>
result<bool> log_follower<Env>::has_record(log_segment const& one) noexcept {
    auto const opened = aside_.open(*directory_, one.generation, segment_bytes_);
    if (!opened && opened.error().code == errc::not_found) return false;
    BOOST_OUTCOME_TRY(opened);
    BOOST_OUTCOME_TRY(
        auto const raw,
        detail::valid_record_at(
            aside_, segment_header_bytes, one.header, one.header.nonce, attach_list_size_max
        )
    );
    return !raw.empty();
}

template <any_environment Env>
result<std::optional<log_step>> log_follower<Env>::look_around() noexcept {
    auto const nothing = std::optional<log_step>{};
    auto const moved = std::optional{log_step::record};
    BOOST_OUTCOME_TRY(auto listing, log_directory<Env>::list(env_, *directory_));
    BOOST_OUTCOME_TRY(listing.read_from(*directory_, segment_.generation));
    auto const at = position();
    auto const* const here = listing.find(segment_.generation);
    auto const is_here =
        here != nullptr && here->is_sound() && here->header.nonce == segment_.nonce;

    // A recovery, or a restore that forked, may have cut this segment; only once a record stands in
    // the successor is that history: until then another recovery may replace it.
    if (auto const* const cutter = listing.cutter_of(segment_); cutter != nullptr) {
        BOOST_OUTCOME_TRY(auto const written, has_record(*cutter));
        if (written) {
            auto const& h = cutter->header;
            if (h.timeline != segment_.timeline && h.parent_timeline != segment_.timeline)
                return problem(errc::log_foreign, h.first());
            if (at > h.cut) return problem(errc::history_break, at);
            proven_ = later(proven_, h.cut);
            if (at < h.cut && cut_ == h.cut) return nothing;
            cut_ = h.cut;
            if (at < h.cut) return moved;
            BOOST_OUTCOME_TRY(auto const entered, enter(h.generation, h.nonce));
            if (entered) return moved;
            return nothing;
        }
    }
    // A segment_end, handed out or next to come, names the successor.
    auto named = closing_;
    if (!named) {
        BOOST_OUTCOME_TRY(auto const raw, record_at(seen_));
        auto closing = record::segment_end{};
        if (!raw.empty() && decode_header(raw.data()).type == record_type::segment_end &&
            record::segment_end::read(raw, closing))
            named = closing;
    }
    if (named) {
        auto const* const next = listing.find(named->next_generation);
        if (next != nullptr && next->is_sound() && next->header.nonce == named->next_nonce &&
            next->header.previous_nonce == segment_.nonce) {
            BOOST_OUTCOME_TRY(auto const written, has_record(*next));
            if (!written) return nothing;
            auto const proof = lsn{at_offset(seen_) + segment_end_size};
            if (!closing_) { // nothing of it was written before all of this one was durable
                if (proven_ >= proof) return nothing;
                proven_ = proof;
                return moved;
            }
            BOOST_OUTCOME_TRY(auto const entered, enter(next->generation, next->header.nonce));
            if (entered) return moved;
            return nothing;
        }
    }
    if (is_here && !closing_) return nothing;
    return lost(listing);
}

// This segment is no more, or it is done and the one it names is not there: a closed log has no
// later records, one that went on without us left a gap.
template <any_environment Env>
result<std::optional<log_step>> log_follower<Env>::lost(log_directory<Env>& listing) noexcept {
    auto const from = closing_ ? first_lsn(closing_->next_generation, segment_bytes_) : position();
    for (auto const& one : listing.segments()) {
        if (one.generation < segment_.generation || !one.is_sound()) continue;
        auto const same = one.header.nonce == segment_.nonce;
        if (same || one.header.instance != options_.instance) continue;
        // Entered and never read, then replaced by another recovery: no gap.
        auto const again = one.generation == segment_.generation &&
                           offset_ == segment_header_bytes &&
                           one.header.previous_nonce == segment_.previous_nonce;
        BOOST_OUTCOME_TRY(auto const written, has_record(one));
        if (!written) continue;
        auto const to = one.header.first();
        BOOST_OUTCOME_TRY(auto const entered, enter(one.generation, one.header.nonce));
        if (!entered) return std::optional<log_step>{};
        if (again) return std::optional{log_step::record};
        gap_ = {.from = from, .to = to};
        return std::optional{log_step::gap};
    }
    return std::optional<log_step>{};
}

} // namespace jetpp::inline v1
