// jetpp/backup/detail/live_backup_bodies.hpp - bodies of live_backup.
//
// Included by live_backup.hpp.
#pragma once

#include <jetpp/backup/live_backup.hpp>

namespace jetpp::inline v1 {

// ---- begin

template <class Traits>
result<void> live_backup<Traits>::begin(
    uuid const& set, backup_kind kind, bool checkpoint_first, backup_planner& plan
) noexcept {
    set_ = set;
    kind_ = kind;
    if (checkpoint_first) {
        BOOST_OUTCOME_TRY(in_->checkpoint(checkpoint_how::ordinary));
    }
    auto const pin = in_->pin_log([&](auto& known) noexcept {
        files_[count_] = known.file.get();
        frozen_[count_++].name = known.name;
    });
    if (!pin) return pin.error();
    pin_ = pin.assume_value();
    bounds_.redo_lsn = pin_->redo_lsn;
    bounds_.undo_low_lsn = pin_->undo_low_lsn;
    bounds_.log_start = pin_->log_start;
    if (count_ == 0) return error{.code = errc::not_found, .file = file_kind::database};
    BOOST_OUTCOME_TRY(bounds_.begin_lsn, log_backup_begin(*in_, set_, kind_, bounds_, files()));
    BOOST_OUTCOME_TRY(freeze());
    for (auto const& one : databases()) plan.add_database(one.pages);
    return ok();
}

// After the begin record is durable.
template <class Traits>
result<void> live_backup<Traits>::freeze() noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
        BOOST_OUTCOME_TRY(freeze_database(*files_[i], frozen_[i]));
    }
    return ok();
}

// ---- pages

template <class Traits>
result<void> live_backup<Traits>::read(backup_step const& step, backup_chunk& into) noexcept {
    into.step = step;
    into.run_count = 0;
    return step.stage == backup_stage::pages ? read_pages(step, into) : read_log(step, into);
}

template <class Traits>
result<void> live_backup<Traits>::read_pages(backup_step const& step, backup_chunk& into) noexcept {
    auto const& known = frozen_[step.file];
    into.about = {
        .content = part_content::database,
        .page_size = static_cast<std::uint32_t>(page_size),
        .database = known.header.database,
        .timeline = in_->timeline(),
    };
    constexpr auto pages_a_run = std::uint64_t{run_bytes / page_size};
    for (auto first = step.first; first < step.end;) {
        auto& run = into.runs[into.run_count++];
        auto const end = std::min(step.end, (first / pages_a_run + 1) * pages_a_run);
        run = {
            .first = first,
            .end = end,
            .offset = static_cast<std::size_t>((first - step.first) * page_size),
            .bytes = static_cast<std::size_t>((end - first) * page_size),
        };
        auto done = read_run(step.file, run, into.memory.part(run.offset, run.bytes));
        if (!done)
            return done.error()
                .with_database(files_[step.file]->id())
                .with_file(file_kind::database);
        first = end;
    }
    return ok();
}

template <class Traits>
result<void> live_backup<Traits>::read_run(std::size_t file, chunk_run& run, bytes image) noexcept {
    auto& known = frozen_[file];
    auto first = run.first;
    auto const page_at = [&](std::uint64_t page) {
        return image.data() + (page - run.first) * page_size;
    };
    if (first == 0) {
        auto const area = std::min<std::uint64_t>(run.end, limits::first_page.value);
        encode_header_area(
            known, set_, bounds_.log_start, image.first(static_cast<std::size_t>(area * page_size))
        );
        for (; first < area; ++first) set_present(run.presence, static_cast<std::size_t>(first));
    }
    auto const last = std::min<std::uint64_t>(run.end, known.pages);
    if (first < last) {
        auto source = source_type{*files_[file], in_->pool(), in_->log()};
        auto copier = copier_type{source};
        BOOST_OUTCOME_TRY(copier.copy(
            page_number{static_cast<std::uint32_t>(first)},
            {page_at(first), static_cast<std::size_t>((last - first) * page_size)},
            run.presence,
            static_cast<std::size_t>(first - run.first)
        ));
        known.masked += copier.masked();
        runtime::point(point_id::backup_page_copied);
    }
    if (run.end > known.pages) { // the last run: all pages are there
        known.copy_end = in_->log().durable_lsn();
        bounds_.copy_end_lsn = later(bounds_.copy_end_lsn, known.copy_end);
        encode_trailer_page<page_size, checksum>(
            known, set_, in_->id(), in_->timeline(), bounds_, page_at(known.pages)
        );
        set_present(run.presence, static_cast<std::size_t>(known.pages - run.first));
    }
    return ok();
}

// ---- log

template <class Traits>
result<void> live_backup<Traits>::switch_log(backup_planner& plan) noexcept {
    BOOST_OUTCOME_TRY(bounds_.end_lsn, seal_log(*in_));
    auto const wanted = wanted_log_start(*in_, bounds_.log_start, databases());
    BOOST_OUTCOME_TRY(chain_, segments_of_copy(*in_, wanted, bounds_));
    BOOST_OUTCOME_TRY(auto source, segment_source<env>::create(page_size));
    segment_.emplace(std::move(source));
    plan.add_segments(chain_.size());
    return ok();
}

template <class Traits>
result<void> live_backup<Traits>::read_log(backup_step const& step, backup_chunk& into) noexcept {
    auto const& one = chain_[step.segment];
    into.about = {
        .content = part_content::log,
        .page_size = static_cast<std::uint32_t>(page_size),
        .timeline = one.header.timeline,
        .segment_bytes = one.header.segment_bytes,
    };
    if (step.first == 0) {
        BOOST_OUTCOME_TRY(segment_->open(in_->where(), one));
    }
    auto const image = into.memory.part(0, static_cast<std::size_t>(step.end - step.first));
    BOOST_OUTCOME_TRY(segment_->read(image, [&](log_record const& record) noexcept -> result<void> {
        ++bounds_.records;
        if (auto const* commit = record.template as<record::commit>()) {
            bounds_.last_commit = record.at;
            bounds_.last_commit_time = commit->wall;
        }
        return ok();
    }));
    for (auto at = std::size_t{0}; at < image.size();) {
        auto const n = std::min<std::size_t>(image.size() - at, run_bytes);
        auto const first = one.from().value + step.first + at;
        into.runs[into.run_count++] = {.first = first, .end = first + n, .offset = at, .bytes = n};
        at += n;
    }
    return ok();
}

// ---- end

template <class Traits>
result<void> live_backup<Traits>::complete(std::uint64_t manifest_hash) noexcept {
    BOOST_OUTCOME_TRY(log_backup_end(
        *in_, set_, kind_, backup_status::published, bounds_, manifest_hash, files()
    ));
    return stamp_headers(*in_, set_, kind_, bounds_, manifest_hash, files());
}

} // namespace jetpp::inline v1
