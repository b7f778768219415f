// jetpp/backup/detail/live_resume_bodies.hpp - bodies of live_backup: a run that is gone on with.
//
// The set is the one that was begun: its log begins where it did then, and covers what the pages of
// both runs lack. Pages of the first run are older, which a fuzzy copy allows. What a backup under
// way forbids (attach, detach) was not forbidden between the runs, so it is looked for in the log.
// Included by live_backup.hpp.
#pragma once

#include <jetpp/backup/live_backup.hpp>
#include <jetpp/core/aligned_buffer.hpp>

namespace jetpp::inline v1 {

// Under the pin that is out, which keeps the same log.
template <class Traits>
result<void> live_backup<Traits>::pin_by_name(std::uint64_t cap) noexcept {
    auto const id = pin_id::of_backup(set_);
    auto const from = earlier(wanted_start_, bounds_.log_start);
    BOOST_OUTCOME_TRY(
        in_->create_pin(id, {.from = later(from, in_->log().oldest_kept()), .byte_cap = cap})
    );
    BOOST_OUTCOME_TRY(in_->claim_pin(id));
    claimed_ = true;
    return ok();
}

template <class Traits>
resume_record live_backup<Traits>::record_of_begin() const {
    auto made = resume_record{
        .instance = in_->id(),
        .timeline = in_->timeline(),
        .name = {.set = set_, .kind = kind_},
        .redo_lsn = bounds_.redo_lsn,
        .undo_low_lsn = bounds_.undo_low_lsn,
        .log_start = bounds_.log_start,
        .begin_lsn = bounds_.begin_lsn,
        .wanted_start = wanted_start_,
        .database_count = static_cast<std::uint32_t>(count_),
    };
    for (std::size_t i = 0; i < count_; ++i)
        made.databases[i] = {
            .id = frozen_[i].header.database,
            .attach_lsn = frozen_[i].header.attach_lsn,
            .pages = frozen_[i].pages,
        };
    return made;
}

template <class Traits>
result<void> live_backup<Traits>::resume(
    backup_order const& order, resume_record const& was
) noexcept {
    auto const lost = error{.code = errc::cannot_resume, .file = file_kind::backup_resume};
    set_ = was.name.set;
    kind_ = was.name.kind;
    if (was.instance != in_->id() || was.timeline != in_->timeline()) return lost;
    auto const pin = in_->claim_pin(pin_id::of_backup(set_));
    if (!pin && pin.error().code == errc::not_found) return lost;
    if (!pin) return pin.error();
    claimed_ = true;
    BOOST_OUTCOME_TRY(this->pin_databases(*in_, kind_, false, [](std::string_view, bool) noexcept {
        return true;
    }));
    BOOST_OUTCOME_TRY(put_in_order(was));
    bounds_.redo_lsn = was.redo_lsn;
    bounds_.undo_low_lsn = was.undo_low_lsn;
    bounds_.log_start = was.log_start;
    wanted_start_ = was.wanted_start;
    BOOST_OUTCOME_TRY(guarded([&] { return check_order(order); }));
    in_->keep_log(*pin_, earlier(wanted_start_, bounds_.log_start));
    BOOST_OUTCOME_TRY(check_log_since(was.begin_lsn));
    // For a crash of this run to be told of; the set's begin stays the first one.
    BOOST_OUTCOME_TRY(log_backup_begin(*in_, set_, kind_, bounds_, files()));
    bounds_.begin_lsn = was.begin_lsn;
    return ok();
}

// The databases of the set, as it counts them. Others may have been created since.
template <class Traits>
result<void> live_backup<Traits>::put_in_order(resume_record const& was) noexcept {
    auto const lost = error{.code = errc::cannot_resume, .file = file_kind::database};
    for (std::size_t i = 0; i < was.database_count; ++i) {
        auto const& wanted = was.databases[i];
        auto at = i;
        while (at < count_ && frozen_[at].header.database != wanted.id) ++at;
        if (at == count_ || frozen_[at].header.attach_lsn != wanted.attach_lsn) return lost;
        std::swap(frozen_[i], frozen_[at]);
        std::swap(files_[i], files_[at]);
    }
    count_ = was.database_count;
    return ok();
}

// Errors: cannot_resume (at: of the record that forbids it), log_gap, log_damaged, of storage.
template <class Traits>
result<void> live_backup<Traits>::check_log_since(lsn begin) noexcept {
    BOOST_OUTCOME_TRY(auto const end, seal_log(*in_));
    BOOST_OUTCOME_TRY(auto const chain, segments_from(*in_, begin, end));
    BOOST_OUTCOME_TRY(auto source, segment_source<env>::create(page_size));
    BOOST_OUTCOME_TRY(auto memory, aligned_buffer::create(run_bytes));
    auto const look = [&](log_record const& record) noexcept -> result<void> {
        auto const moved = record.template as<record::attach>() != nullptr ||
                           record.template as<record::detach>() != nullptr;
        if (moved && record.at >= begin)
            return error{
                .code = errc::cannot_resume, .file = file_kind::log_segment, .at = record.at
            };
        return ok();
    };
    for (auto const& one : chain) {
        BOOST_OUTCOME_TRY(source.open(in_->where(), one));
        while (!source.is_at_end()) {
            auto const left = one.header.segment_bytes - source.position();
            auto const n = std::min<std::uint64_t>(left, run_bytes);
            BOOST_OUTCOME_TRY(source.read(memory.part(0, static_cast<std::size_t>(n)), look));
        }
    }
    return ok();
}

template <class Traits>
result<void> live_backup<Traits>::freeze_rest(
    resume_record const& was, std::size_t whole, bool is_begun, backup_planner& plan
) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
        BOOST_OUTCOME_TRY(freeze_database(*files_[i], frozen_[i]));
        if (i < whole + (is_begun ? 1 : 0)) {
            if (frozen_[i].pages < was.databases[i].pages)
                return error{.code = errc::cannot_resume, .file = file_kind::database};
            frozen_[i].pages = was.databases[i].pages;
        }
        plan.add_database(frozen_[i].pages);
    }
    // Above every page that the runs before have copied.
    bounds_.copy_end_lsn = in_->log().durable_lsn();
    return ok();
}

} // namespace jetpp::inline v1
