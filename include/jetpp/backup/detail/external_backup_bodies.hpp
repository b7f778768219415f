// jetpp/backup/detail/external_backup_bodies.hpp - bodies of external_backup: what it is called for.
//
// Included by external_backup.hpp.
#pragma once

#include <jetpp/backup/external_backup.hpp>

namespace jetpp::inline v1 {

// ---- begin

template <class Traits>
result<void> external_backup<Traits>::begin(
    backup_kind kind, external_options const& options
) noexcept {
    auto* telling = static_cast<session*>(nullptr); // a dead caller's, which this one replaces
    auto done = begin_alone(kind, options, telling);
    if (telling != nullptr) telling->on_tell(*telling);
    return done;
}

// The lock is held from the look at the instance to the last use of it: a close comes before or after.
template <class Traits>
result<void> external_backup<Traits>::begin_alone(
    backup_kind kind, external_options const& options, session*& telling
) noexcept {
    for (std::uint32_t turn = 0;; ++turn) {
        {
            auto call = visit{*this};
            if (!state_.is_active()) stop_asked_.store(false, std::memory_order_release);
            BOOST_OUTCOME_TRY(enter(call.held, external_call::begin));
            if (kind == backup_kind::pages) return error{.code = errc::unsupported};
            auto const answer = in_->sessions().try_claim(*this, runtime_.now(), telling);
            if (answer == claim_answer::refused) return error{.code = errc::backup_in_progress};
            if (answer == claim_answer::claimed) {
                options_ = options;
                kind_ = kind;
                auto done = begin_locked();
                if (!done) {
                    if (bounds_.begin_lsn)
                        (void)log_backup_end<Traits>(
                            *in_, set_, kind_, backup_status::aborted, bounds_, 0, files()
                        );
                    leave();
                }
                return done;
            }
        }
        runtime_.relax(turn);
    }
}

template <class Traits>
result<void> external_backup<Traits>::begin_locked() noexcept {
    auto& random = in_->environment().runtime;
    set_ = make_uuid(random.random(), random.random());
    auto const incremental = !has_pages(kind_);
    // The caller of a full may take what is exempt, or leave it; log alone is of no use to that.
    auto const wants = [&](std::string_view, bool is_exempt) noexcept {
        return !(incremental && is_exempt);
    };
    BOOST_OUTCOME_TRY(this->pin_databases(*in_, kind_, options_.checkpoint_first, wants));
    if (incremental) {
        auto const known = std::span<frozen_database const>{frozen_.data(), count_};
        BOOST_OUTCOME_TRY(bounds_.log_start, log_base_end(kind_, in_->timeline(), known));
    }
    BOOST_OUTCOME_TRY(this->keep_wanted_log(*in_, kind_));
    BOOST_OUTCOME_TRY(
        bounds_.begin_lsn, log_backup_begin<Traits>(*in_, set_, kind_, bounds_, files())
    );
    state_.begun(incremental, count_);
    last_call_ = in_->environment().runtime.now();
    return ok();
}

// ---- files

template <class Traits>
result<std::vector<external_database>> external_backup<Traits>::list_databases() noexcept {
    return guarded([&]() -> result<std::vector<external_database>> {
        auto call = visit{*this};
        BOOST_OUTCOME_TRY(enter(call.held, external_call::list_databases));
        auto all = std::vector<external_database>{};
        for (std::size_t i = 0; i < count_; ++i) {
            if (state_.is_failed(i)) continue;
            auto known = frozen_[i];
            if (known.pages == 0) {
                BOOST_OUTCOME_TRY(freeze_database(*files_[i], known));
            }
            all.push_back(
                {.name = std::string{known.name.view()},
                 .id = known.header.database,
                 .bytes = (std::uint64_t{known.pages} + 1) * page_size}
            );
        }
        return all;
    });
}

// Which file is meant, and what the table calls it.
template <class Traits>
external_call external_backup<Traits>::named(std::string_view name, std::size_t& index)
    const noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
        if (frozen_[i].name.view() != name) continue;
        index = i;
        auto const gone = state_.is_failed(i) && state_.phase() == external_phase::databases;
        return gone ? external_call::open_other : external_call::open_database;
    }
    auto const generation = parse_segment_name(name);
    if (!generation) return external_call::open_other;
    if (!state_.is_rolled()) return external_call::open_log;
    for (std::size_t i = 0; i < chain_.size(); ++i) {
        if (chain_[i].header.generation != *generation) continue;
        index = i;
        return external_call::open_log;
    }
    return external_call::open_other;
}

template <class Traits>
result<external_handle> external_backup<Traits>::open(
    std::string_view name, std::uint64_t offset
) noexcept {
    return guarded([&]() -> result<external_handle> {
        auto call = visit{*this};
        return open_locked(call.held, name, offset);
    });
}

template <class Traits>
result<external_handle> external_backup<Traits>::open_locked(
    locked& held, std::string_view name, std::uint64_t offset
) {
    auto index = std::size_t{0};
    auto const call = named(name, index);
    if (auto entered = enter(held, call); !entered) {
        if (entered.error().code == errc::file_not_listed)
            tell(event_kind::backup_file_refused, entered.error());
        return entered.error();
    }
    auto file = std::shared_ptr<file_type>{};
    if (call == external_call::open_log) {
        if (offset != 0) return error{.code = errc::invalid_argument};
        BOOST_OUTCOME_TRY(auto source, segment_source<env>::create(page_size));
        auto opened = source.open(in_->where(), chain_[index]);
        if (!opened) {
            tear_down(held, opened.error());
            return opened.error();
        }
        file = std::make_shared<file_type>(index, std::move(source), in_->segment_bytes());
    } else {
        BOOST_OUTCOME_TRY(auto made, database_at(index, offset));
        file = std::make_shared<file_type>(std::move(made));
    }
    auto const number = last_handle_ + 1;
    handles_.emplace(number, slot{file});
    last_handle_ = number;
    state_.opened();
    return external_handle{.number = number, .bytes = file->image_bytes()};
}

// The first open freezes header and size. Errors: invalid_argument (offset), of storage.
template <class Traits>
auto external_backup<Traits>::database_at(std::size_t i, std::uint64_t offset) noexcept
    -> result<file_type> {
    auto& known = frozen_[i];
    if (offset % page_size != 0) return error{.code = errc::invalid_argument};
    if (known.pages == 0) {
        BOOST_OUTCOME_TRY(freeze_database(*files_[i], known));
        state_.frozen(i, known.pages);
    }
    if (offset / page_size > std::uint64_t{known.pages} + 1)
        return error{.code = errc::invalid_argument};
    return file_type{i, *files_[i], known, set_, offset / page_size};
}

template <class Traits>
result<std::size_t> external_backup<Traits>::read(
    external_handle const& from, bytes into
) noexcept {
    auto call = visit{*this};
    auto& held = call.held;
    auto const found = handles_.find(from.number);
    auto const fits = !into.empty() && into.size() % page_size == 0 && found != handles_.end();
    BOOST_OUTCOME_TRY(enter(held, fits ? external_call::read : external_call::read_wrongly));
    if (found->second.reading) return error{.code = errc::busy};
    found->second.reading = true;
    auto const file = found->second.file;
    ++readers_;
    held.unlock();
    auto got = file->read(*in_, bounds_, into);
    held.lock();
    --readers_;
    idle_.set_all();
    last_call_ = in_->environment().runtime.now();
    // While it read, the session may have ended, or its database may have failed elsewhere.
    auto const still = handles_.find(from.number);
    auto const is_open = still != handles_.end() && still->second.file == file;
    if (!is_open)
        return error{.code = state_.is_active() ? errc::file_not_listed : errc::backup_stopped};
    still->second.reading = false;
    if (!file->is_log()) state_.page_seen(file->index(), file->highest());
    if (!got) read_failed(held, file, got.error());
    return got;
}

// Of a database: it leaves the session, the others go on. Of a segment: nothing could be restored.
template <class Traits>
void external_backup<Traits>::read_failed(
    locked& held, std::shared_ptr<file_type> const& file, error const& why
) noexcept {
    if (file->is_log()) return tear_down(held, why);
    state_.failed(file->index());
    for (auto i = handles_.begin(); i != handles_.end();) {
        if (i->second.file->is_log() || i->second.file->index() != file->index()) {
            ++i;
            continue;
        }
        state_.closed();
        i = handles_.erase(i);
    }
    tell(event_kind::backup_database_failed, why);
}

template <class Traits>
result<void> external_backup<Traits>::close(external_handle const& which) noexcept {
    auto call = visit{*this};
    auto const found = handles_.find(which.number);
    auto const known = found != handles_.end();
    BOOST_OUTCOME_TRY(enter(call.held, known ? external_call::close : external_call::close_unknown)
    );
    if (found->second.reading) return error{.code = errc::busy};
    auto const& file = *found->second.file;
    auto stored = true;
    if (!file.is_log()) {
        stored = state_.delivered(file.index(), file.delivered());
        state_.trailer_delivered(file.index(), file.trailer_end());
        frozen_[file.index()].masked += file.masked();
    } else if (file.is_at_end()) {
        state_.segment_read(file.index());
    }
    state_.closed();
    handles_.erase(found);
    if (!stored) return error{.code = errc::out_of_memory};
    return ok();
}

// ---- log

template <class Traits>
result<std::vector<external_segment>> external_backup<Traits>::list_logs() noexcept {
    return guarded([&]() -> result<std::vector<external_segment>> {
        auto call = visit{*this};
        BOOST_OUTCOME_TRY(enter(call.held, external_call::list_logs));
        BOOST_OUTCOME_TRY(roll(call.held));
        auto all = std::vector<external_segment>{};
        for (auto const& one : chain_)
            all.push_back(
                {.name = std::string{segment_file_name(one.header.generation).view()},
                 .generation = one.header.generation,
                 .timeline = one.header.timeline,
                 .from = one.from(),
                 .to = one.to(),
                 .bytes = one.header.segment_bytes}
            );
        return all;
    });
}

template <class Traits>
result<std::vector<external_segment>> external_backup<Traits>::list_truncatable() noexcept {
    return guarded([&]() -> result<std::vector<external_segment>> {
        auto call = visit{*this};
        BOOST_OUTCOME_TRY(enter(call.held, external_call::list_truncatable));
        BOOST_OUTCOME_TRY(roll(call.held));
        return truncatable_;
    });
}

// Under lock_, no reader. Once.
template <class Traits>
result<void> external_backup<Traits>::roll(locked& held) noexcept {
    if (state_.is_rolled()) return ok();
    auto const done = guarded([&]() -> result<void> {
        BOOST_OUTCOME_TRY(bounds_.end_lsn, seal_log(*in_));
        if (state_.is_incremental()) {
            BOOST_OUTCOME_TRY(chain_, segments_from(*in_, wanted_start_, bounds_.end_lsn));
        } else {
            BOOST_OUTCOME_TRY(chain_, segments_of_copy(*in_, wanted_start_, bounds_));
        }
        BOOST_OUTCOME_TRY(fix_truncatable());
        if (!state_.rolled(chain_.size())) return error{.code = errc::out_of_memory};
        return ok();
    });
    if (!done) tear_down(held, done.error());
    return done;
}

// What may go if this session ends well: as truncate_log would find it then, with the ends of the
// databases that were copied, and without the pin of the session.
template <class Traits>
result<void> external_backup<Traits>::fix_truncatable() {
    truncatable_.clear();
    truncate_below_ = no_lsn;
    if (!in_->is_archival()) return ok();
    // Headers follow the checkpoint by one: what the copy itself held back may go now.
    for (auto turns = 0; turns < 2; ++turns) {
        BOOST_OUTCOME_TRY(in_->checkpoint(checkpoint_how::ordinary));
    }
    BOOST_OUTCOME_TRY(auto const now, in_->truncate_log({.dry_run = true}));
    auto const mine = earlier(pin_->log_start, wanted_start_);
    auto met_mine = false;
    auto limit = bounds_.end_lsn;
    for (auto const& hold : now.all()) {
        if (hold.who == log_holder::running && hold.from == mine && !std::exchange(met_mine, true))
            continue;
        auto const of_backup = hold.who == log_holder::backup || hold.who == log_holder::no_backup;
        auto const moves = of_backup && permits_truncation(kind_) && will_stamp(hold.database);
        limit = earlier(limit, moves ? bounds_.end_lsn : hold.from);
    }
    truncate_below_ = limit;
    BOOST_OUTCOME_TRY(auto listing, log_directory<env>::list(in_->environment(), in_->where()));
    auto const size = in_->segment_bytes();
    for (auto const& one : listing.segments()) {
        if (segment_limit(one.generation, size) > limit) continue;
        truncatable_.push_back(
            {.name = std::string{segment_file_name(one.generation).view()},
             .generation = one.generation,
             .timeline = in_->timeline(),
             .from = {one.generation * size},
             .to = segment_limit(one.generation, size),
             .bytes = size}
        );
    }
    return ok();
}
template <class Traits>
bool external_backup<Traits>::will_stamp(database_id id) const noexcept {
    for (std::size_t i = 0; i < count_; ++i)
        if (files_[i]->id() == id) return state_.is_incremental() || state_.is_complete(i);
    return false;
}

template <class Traits>
result<void> external_backup<Traits>::truncate() noexcept {
    auto call = visit{*this};
    auto entered = enter(call.held, external_call::truncate);
    if (!entered && entered.error().code == errc::logs_unread)
        return entered.error().with_lsn(chain_[state_.first_unread()].from());
    if (entered) state_.truncation_asked();
    return entered;
}

// ---- end

template <class Traits>
result<external_report> external_backup<Traits>::end(
    external_end how, std::optional<backup_kind> as
) noexcept {
    auto const asked = how == external_end::normal  ? external_call::end_normal
                       : how == external_end::abort ? external_call::end_abort
                                                    : external_call::end_wrongly;
    auto call = visit{*this};
    auto& held = call.held;
    BOOST_OUTCOME_TRY(enter(held, asked));
    // The instance closed, or another end came first.
    if (!wait_for_readers(held)) return error{.code = errc::backup_stopped};
    drop_handles();
    auto report = external_report{};
    auto const described = guarded([&]() -> result<void> {
        fill_report(report);
        return ok();
    });
    if (asked == external_call::end_abort) {
        tear_down(held, {.code = errc::backup_aborted});
        return report;
    }
    auto const ending = state_.ending();
    auto why = error{.code = ending.why};
    if (ending.why == errc::logs_unread) why.at = chain_[ending.segment].from();
    if (ending.why == errc::database_incomplete && ending.database < count_)
        why = why.with_database(files_[ending.database]->id());
    if (ending.why == errc::none && !described) why = described.error();
    if (why.code != errc::none) {
        tear_down(held, why);
        return why;
    }
    kind_ = as.value_or(kind_);
    report.kind = kind_;
    auto good = guarded([&] { return end_well(kind_); });
    if (!good) {
        tear_down(held, good.error());
        return good;
    }
    auto const done = std::move(good).assume_value();
    report.stamped = done.stamped;
    report.stamp_problem = done.stamp_problem;
    report.truncate_problem = done.truncate_problem;
    report.segments_deleted = done.segments_deleted;
    report.segments_missing = done.segments_missing;
    tell(event_kind::backup_finished);
    leave();
    return report;
}

// The end record, then the headers, then what was asked to be deleted. Past the record the session
// is good, whatever follows.
template <class Traits>
result<external_report> external_backup<Traits>::end_well(backup_kind kind) {
    auto report = external_report{};
    report.stamped = true;
    auto whole = std::array<paged_file<Traits>*, databases_max>{};
    auto count = std::size_t{0};
    for (std::size_t i = 0; i < count_; ++i)
        if (state_.is_incremental() || state_.is_complete(i)) whole[count++] = files_[i];
    auto const files = source_files<Traits>{whole.data(), count};
    BOOST_OUTCOME_TRY(
        log_backup_end<Traits>(*in_, set_, kind, backup_status::published, bounds_, 0, files)
    );
    if (auto stamped = stamp_headers<Traits>(*in_, set_, kind, bounds_, 0, files); !stamped)
        report.stamp_problem = stamped.error();
    this->release_log(*in_);
    if (!state_.is_truncating() || !in_->is_archival()) return report;
    // No more than was listed, and no more than may go now.
    auto const gone = in_->truncate_log({.below = truncate_below_});
    if (gone) {
        report.segments_deleted = gone.assume_value().segments;
        report.segments_missing = gone.assume_value().missing;
        if (report.segments_missing != 0)
            tell(event_kind::log_segment_missing, {}, report.segments_missing);
    } else {
        report.truncate_problem = gone.error();
    }
    return report;
}

template <class Traits>
void external_backup<Traits>::fill_report(external_report& report) {
    report.set = set_;
    report.kind = kind_;
    for (std::size_t i = 0; i < count_; ++i) {
        auto const name = std::string{frozen_[i].name.view()};
        if (state_.is_failed(i)) report.failed.push_back(name);
        if (!state_.is_complete(i)) continue;
        report.copied.push_back(name);
        bounds_.copy_end_lsn = later(bounds_.copy_end_lsn, state_.trailer_end(i));
    }
    report.bounds = bounds_;
}

} // namespace jetpp::inline v1
