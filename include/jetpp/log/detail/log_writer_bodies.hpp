// jetpp/log/detail/log_writer_bodies.hpp - the members of log_writer; included by its header.
#pragma once

#include <jetpp/log/log_writer.hpp>

namespace jetpp::inline v1 {

template <any_environment Env>
result<std::unique_ptr<log_writer<Env>>> log_writer<Env>::create(
    Env env, directory& where, log_options const& options, log_start const& start
) noexcept {
    if (!options.are_valid()) return error{.code = errc::bad_option};
    auto writer =
        std::unique_ptr<log_writer>{new (std::nothrow) log_writer{env, where, options, start}};
    if (writer == nullptr) return error{.code = errc::out_of_memory};
    BOOST_OUTCOME_TRY(writer->begin(where, start));
    return writer;
}

template <any_environment Env>
result<void> log_writer<Env>::begin(directory& where, log_start const& start) noexcept {
    auto const header = segment_header{
        .generation = start.generation,
        .segment_bytes = options_.segment_bytes,
        .instance = start.instance,
        .nonce = start.nonce != 0 ? start.nonce : preparer_.draw_nonce(),
        .previous_nonce = start.previous_nonce,
        .cut = start.cut,
        .incarnation = start.incarnation,
        .created_at = env_.runtime.wall(),
        .previous_created_at = start.previous_created_at,
        .mode = options_.archival ? logging_mode::archival : logging_mode::circular,
        .timeline = start.timeline,
        .parent_timeline = start.parent_timeline,
        .fork_lsn = start.fork_lsn,
        .previous_generation = start.previous_generation,
    };
    if (!header.is_plausible())
        return error{.code = errc::invalid_argument, .file = file_kind::log_segment};
    BOOST_OUTCOME_TRY(store_.open(start.generation));
    BOOST_OUTCOME_TRY(ring_.open(where, options_.process_level, options_.ring_bytes));
    ring_.write_header({start.instance, start.timeline, options_.ring_bytes, start.incarnation});
    if (!start.attach_list.empty()) tail_.set_attach_list(start.attach_list);
    BOOST_OUTCOME_TRY(preparer_.start(header));
    BOOST_OUTCOME_TRY(flusher_.start(options_.staging_bytes));
    seen_tail_ = marked_tail_ = tail();
    if (!options_.prepared_at_start) return ok();
    auto ahead = preparer_.prepare_unless([] { return false; });
    if (!ahead && preparer_.is_fatal_here(ahead.error())) return ahead.error();
    return ok();
}

// ---- append

template <any_environment Env>
template <class Body>
void log_writer<Env>::stamp(Body& body, wall_time now) noexcept {
    if constexpr (requires { body.wall = now; }) body.wall = wall_ = now > wall_ ? now : wall_;
    if constexpr (requires { body.durable_hint = lsn{}; }) body.durable_hint = durable_lsn();
}

template <any_environment Env>
template <class Body, class Hook>
lsn log_writer<Env>::append(
    log_credit& credit, record_header header, Body& body, Hook&& hook
) noexcept {
    static_assert(
        !std::is_const_v<Body> || !requires { body.wall; },
        "jetpp: append sets the time of this record, pass it as a variable"
    );
    auto now = wall_time{};
    if constexpr (requires { body.wall; }) now = env_.runtime.wall();
    auto const n = body.size();
    auto const r = tail_.reserve(credit, static_cast<std::uint32_t>(n), [&](lsn at) noexcept {
        if (has(header.flags, record_flags::first_of_transaction)) header.transaction = at;
        stamp(body, now);
        hook(at);
    });
    auto* const record = ring_.at(r.v);
    header.type = std::remove_const_t<Body>::type;
    encode_header(record, header);
    body.encode(record);
    runtime::point(point_id::reserved_not_published);
    store_le<std::uint32_t>(record + 4, record_crc(r.nonce, r.at, {record, n}));
    detail::publish_length(record, static_cast<std::uint32_t>(n));
    runtime::point(point_id::published);
    return r.at;
}

template <any_environment Env>
template <class Body>
void log_writer<Env>::set_attach_list(Body const& body) noexcept {
    auto record = std::array<std::byte, attach_list_size_max>{};
    encode_header(record.data(), {.type = Body::type, .flags = record_flags::system});
    body.encode(record.data());
    tail_.set_attach_list({record.data(), body.size()});
}

// ---- space

template <any_environment Env>
std::uint64_t log_writer<Env>::debt_of(credit_use use) const noexcept {
    if (use == credit_use::owed || runtime::sabotaged(sabotage::debt_not_counted)) return 0;
    return debt_.load(std::memory_order_relaxed);
}

template <any_environment Env>
result<void> log_writer<Env>::acquire(
    log_credit& credit, std::uint32_t wanted, credit_use use, std::uint32_t least
) noexcept {
    if (wanted > credit_bytes_max()) return error{.code = errc::invalid_argument};
    return until_taken([&]() noexcept -> result<taken> {
        return tail_.try_take(credit, wanted, least != 0 ? least : wanted, debt_of(use));
    });
}

template <any_environment Env>
result<lsn> log_writer<Env>::force_switch(std::uint64_t generation_min) noexcept {
    BOOST_OUTCOME_TRY(until_taken([&]() noexcept -> result<taken> {
        if (generation_min > tail_.growing().generation + 1) return preparer_.jump(generation_min);
        return tail_.try_switch();
    }));
    return first_lsn(generation_of(tail(), options_.segment_bytes), options_.segment_bytes);
}

// Makes room of the kind that is lacking until the attempt succeeds.
template <any_environment Env>
template <class Attempt>
result<void> log_writer<Env>::until_taken(Attempt&& attempt) noexcept {
    auto give_up = never;
    for (;;) {
        if (failed()) return flusher_.log_failed_at(tail());
        auto const ticket = flusher_.space_ticket();
        auto got = attempt();
        if (got && got.value() == taken::no_files) {
            // Somebody may have prepared while this thread waited for its turn.
            auto made = preparer_.prepare_unless([&]() noexcept {
                got = attempt();
                return !got || got.value() != taken::no_files;
            });
            auto const prepared = made && got && got.value() == taken::no_files;
            if (!made && made.error().code != errc::would_block) got = made.error();
            if (prepared) {
                flusher_.space_leave();
                continue;
            }
        }
        if (!got || got.value() == taken::yes) {
            flusher_.space_leave();
            return got ? result<void>{ok()} : got.error();
        }
        auto const now = env_.runtime.now();
        if (give_up == never) give_up = now + options_.credit_wait_max;
        // A freeze is no lack of room: whoever waits through it begins to count behind it.
        if (store_.is_held()) {
            give_up = never;
            flusher_.space_wait(ticket);
        } else if (flusher_.try_round()) {
            give_up = never;
        } else {
            if (now >= give_up) {
                flusher_.space_leave();
                return error{.code = got.value() == taken::no_ring ? errc::busy : errc::disk_full};
            }
            flusher_.space_wait(ticket);
        }
        flusher_.space_leave();
    }
}

template <any_environment Env>
result<std::uint32_t> log_writer<Env>::recycle_below(lsn floor) noexcept {
    if (options_.archival) return std::uint32_t{0};
    return release_below(floor);
}

template <any_environment Env>
result<std::uint32_t> log_writer<Env>::release_below(lsn floor) noexcept {
    if (failed()) return flusher_.log_failed_at(floor);
    auto const limit = earlier(floor, durable_lsn()); // before it is asked whether that is bare
    auto freed = store_.release_below(limit, is_bare());
    if (!freed) fail(freed.error());
    return freed;
}

// While the newest segment has no durable record, the one before it says where the log ends.
template <any_environment Env>
bool log_writer<Env>::is_bare() const noexcept {
    return offset_of(durable_lsn(), options_.segment_bytes) == segment_header_bytes;
}

template <any_environment Env>
auto log_writer<Env>::kept_below(lsn floor) const noexcept -> kept_segments {
    auto const kept = store_.kept_below(earlier(floor, durable_lsn()), is_bare());
    return {
        kept.segments,
        kept.next ? first_lsn(*kept.next, options_.segment_bytes) : tail_.writing().first()
    };
}

template <any_environment Env>
lsn log_writer<Env>::oldest_kept() const noexcept {
    if (auto const oldest = store_.oldest_kept()) return first_lsn(*oldest, options_.segment_bytes);
    return tail_.writing().first();
}

// ---- upkeep

template <any_environment Env>
result<void> log_writer<Env>::prepare_ahead() noexcept {
    auto const debt = debt_.load(std::memory_order_relaxed);
    auto const wanted =
        options_.prepared_segments + (debt + options_.segment_bytes - 1) / options_.segment_bytes;
    auto more = true;
    while (more) {
        auto made = preparer_.prepare_unless([&]() noexcept {
            more = tail_.prepared_count() < wanted;
            return !more;
        });
        // A full disk only shrinks credits: whoever needs one will hear of it.
        if (!made) return preparer_.is_fatal_here(made.error()) ? made : result<void>{ok()};
    }
    return ok();
}

template <any_environment Env>
result<void> log_writer<Env>::housekeeping() noexcept {
    if (!tending_.try_lock()) return ok();
    auto tend = [&]() noexcept -> result<void> {
        if (failed()) return flusher_.log_failed_at(tail());
        BOOST_OUTCOME_TRY(prepare_ahead());
        auto const now = env_.runtime.now();
        auto const end = tail();
        if (durable_lsn() < end) {
            if (unwritten_since_ == never) unwritten_since_ = now;
            if (flusher_.has_waiters() || now - unwritten_since_ >= options_.lazy_interval) {
                BOOST_OUTCOME_TRY(flusher_.wait_durable(end - 1));
                unwritten_since_ = never;
            }
        } else {
            unwritten_since_ = never;
        }
        if (end != seen_tail_) {
            seen_tail_ = end;
            idle_since_ = now;
        } else if (end != marked_tail_ && now - idle_since_ >= options_.time_mark_interval) {
            return mark_time();
        }
        return ok();
    };
    auto const done = tend();
    tending_.unlock();
    return done;
}

// The last commits of an idle log have nothing behind them that proves them durable: rot there
// would look like a torn tail. A mark with a later hint closes that window.
template <any_environment Env>
result<void> log_writer<Env>::mark_time() noexcept {
    BOOST_OUTCOME_TRY(flush_all());
    auto credit = log_credit{};
    auto mark = record::time_mark{};
    auto const size = static_cast<std::uint32_t>(mark.size());
    if (tail_.try_take(credit, size, size, 0) != taken::yes)
        return ok(); // space is short: somebody else is about to write
    constexpr auto step = std::int64_t{1'000'000'000};
    auto const last = tail_.under_lock([&](lsn) noexcept { return wall_; });
    if (env_.runtime.wall().ns < last.ns - step) mark.flags = record::time_mark::clock_stepped_back;
    append(credit, {.type = mark.type, .flags = record_flags::system}, mark);
    seen_tail_ = marked_tail_ = tail();
    return flush_all();
}

template <any_environment Env>
result<closed_log> log_writer<Env>::close_clean() noexcept {
    if (failed() && !runtime::sabotaged(sabotage::failed_writes_clean))
        return flusher_.log_failed_at(tail());
    BOOST_OUTCOME_TRY(flush_all());
    auto const end_record = tail();
    auto const next = preparer_.end_log();
    auto const end = tail();
    BOOST_OUTCOME_TRY(flusher_.wait_durable(end - 1));
    if (options_.archival) {
        auto const used = offset_of(end_record, options_.segment_bytes) + segment_end_size;
        auto cut = store_.cut_to(
            generation_of(end_record, options_.segment_bytes), round_up(used, std::uint64_t{4096})
        );
        if (!cut) return cut.error().with_file(file_kind::log_segment);
    }
    return closed_log{next, end};
}

} // namespace jetpp::inline v1
