// jetpp/backup/detail/live_backup_bodies.hpp - bodies of live_backup.
//
// Included by live_backup.hpp.
#pragma once

#include <jetpp/backup/live_backup.hpp>
#include <jetpp/core/aligned_buffer.hpp>

namespace jetpp::inline v1 {

// ---- begin

template <class Traits>
result<void> live_backup<Traits>::begin(backup_order const& order, backup_planner& plan) noexcept {
    set_ = order.set;
    kind_ = order.kind;
    BOOST_OUTCOME_TRY(this->pin_databases(
        *in_,
        kind_,
        order.checkpoint_first,
        [&](std::string_view name, bool is_exempt) noexcept { return order.wants(name, is_exempt); }
    ));
    if (count_ < order.only.size())
        return error{.code = errc::not_found, .file = file_kind::database};
    BOOST_OUTCOME_TRY(guarded([&] { return check_order(order); }));
    BOOST_OUTCOME_TRY(this->keep_wanted_log(*in_, kind_));
    if (order.named_pin_cap != 0) {
        BOOST_OUTCOME_TRY(pin_by_name(order.named_pin_cap));
    }
    BOOST_OUTCOME_TRY(bounds_.begin_lsn, log_backup_begin(*in_, set_, kind_, bounds_, files()));
    BOOST_OUTCOME_TRY(freeze());
    for (auto const& one : databases()) {
        if (has_pages(kind_))
            plan.add_database(one.pages);
        else
            plan.add_database_without_pages();
    }
    return ok();
}

// May this kind be made here and now, and what does it stand on?
template <class Traits>
result<void> live_backup<Traits>::check_order(backup_order const& order) {
    if (kind_ == backup_kind::pages) {
        if (order.base == nullptr)
            return error{.code = errc::base_not_here, .file = file_kind::manifest};
        auto since = order.base->manifest;
        BOOST_OUTCOME_TRY(check_page_base(since, in_->id(), page_size, databases()));
        bases_.push_back({since.set, order.base->hash, std::string{name_of(since.kind)}});
        if (runtime::sabotaged(sabotage::delta_from_begin)) since.redo_lsn = since.begin_lsn;
        for (std::size_t i = 0; i < count_; ++i) {
            taken_[i] = pages_since(frozen_[i].header, since);
            if (runtime::sabotaged(sabotage::reattached_as_delta))
                taken_[i] = page_selection{since};
        }
        return ok();
    }
    if (has_pages(kind_)) return ok();
    BOOST_OUTCOME_TRY(bounds_.log_start, log_base_end(kind_, in_->timeline(), databases()));
    if (runtime::sabotaged(sabotage::base_from_elsewhere)) return ok();
    auto const nowhere = base_finder{};
    auto const& find = order.find_base != nullptr ? *order.find_base : nowhere;
    BOOST_OUTCOME_TRY(bases_, find_log_bases(kind_, databases(), find));
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
    auto const is_ahead = ahead_ != nullptr;
    auto const here = [&](error const& e) {
        return e.with_database(files_[step.file]->id()).with_file(file_kind::database);
    };
    if (is_ahead) {
        if (auto taken = take_ahead(step, into); !taken) return here(taken.error());
    }
    constexpr auto pages_a_run = std::uint64_t{run_bytes / page_size};
    for (auto first = step.first; first < step.end;) {
        auto& run = into.runs[into.run_count];
        auto const end = std::min(step.end, (first / pages_a_run + 1) * pages_a_run);
        run = {
            .first = first,
            .end = end,
            .offset = static_cast<std::size_t>((first - step.first) * page_size),
            .bytes = static_cast<std::size_t>((end - first) * page_size),
        };
        auto const image = into.memory.part(run.offset, run.bytes);
        auto const taken = read_run(step.file, run, image, is_ahead);
        if (!taken) return here(taken.error());
        if (taken.assume_value()) ++into.run_count;
        first = end;
    }
    return ok();
}

template <class Traits>
void live_backup<Traits>::read_ahead(
    backup_planner const& plan, std::size_t blocks, std::size_t readers
) noexcept {
    ahead_plan_ = plan;
    if (blocks == 0 || readers == 0 || plan.step().stage != backup_stage::pages) return;
    ahead_.reset(new (std::nothrow) ahead_type{fetch_pages{this}, in_->environment().runtime});
    if (ahead_ == nullptr) return;
    auto const room = static_cast<std::size_t>(chunk_bytes_max);
    if (!ahead_->create(std::min(blocks, ahead_type::blocks_max), room, readers)) ahead_.reset();
}

template <class Traits>
result<void> live_backup<Traits>::take_ahead(backup_step const& step, backup_chunk& into) noexcept {
    auto const order = [&]() noexcept {
        while (ahead_->has_room() && ahead_plan_.step().stage == backup_stage::pages) {
            ahead_->order(ahead_plan_.step());
            ahead_plan_.done();
        }
    };
    order();
    ensure(!ahead_->is_empty() && ahead_->next() == step, "steps are asked for in their order");
    auto const got = ahead_->take(into.memory);
    if (!got) return got.error();
    order(); // read while this one is looked at
    return ok();
}

// `is_read`: the image holds what the file does.
// Returns: does the run belong in the set? Header area and trailer do, and with them the first and
// the last run of every database.
template <class Traits>
result<bool> live_backup<Traits>::read_run(
    std::size_t file, chunk_run& run, bytes image, bool is_read
) noexcept {
    auto& known = frozen_[file];
    auto taken = !is_delta(file) || run.first == 0 || run.end > known.pages;
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
        auto const number = page_number{static_cast<std::uint32_t>(first)};
        auto const pages =
            bytes{page_at(first), static_cast<std::size_t>((last - first) * page_size)};
        auto const bit = static_cast<std::size_t>(first - run.first);
        BOOST_OUTCOME_TRY(
            is_read ? copier.prove(number, pages, run.presence, bit)
                    : copier.copy(number, pages, run.presence, bit)
        );
        known.masked += copier.masked();
        if (is_delta(file) && leave_out<page_size>(taken_[file], run, image, first)) taken = true;
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
    return taken;
}

// ---- log

template <class Traits>
result<void> live_backup<Traits>::switch_log(backup_planner& plan) noexcept {
    ahead_.reset(); // there are no pages left
    BOOST_OUTCOME_TRY(bounds_.end_lsn, seal_log(*in_));
    BOOST_OUTCOME_TRY(chain_, segments_of_copy(*in_, wanted_start_, bounds_));
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
    BOOST_OUTCOME_TRY(segment_->read(image, [&](log_record const& record) noexcept {
        return see(record);
    }));
    for (auto at = std::size_t{0}; at < image.size();) {
        auto const n = std::min<std::size_t>(image.size() - at, run_bytes);
        auto const first = one.from().value + step.first + at;
        into.runs[into.run_count++] = {.first = first, .end = first + n, .offset = at, .bytes = n};
        at += n;
    }
    return ok();
}

template <class Traits>
result<void> live_backup<Traits>::see(log_record const& record) noexcept {
    ++bounds_.records;
    if (auto const* commit = record.template as<record::commit>()) {
        bounds_.last_commit = record.at;
        bounds_.last_commit_time = commit->wall;
    }
    // A restore of the set's own pages looks at the log from the segment of log_start on.
    auto const size = in_->segment_bytes();
    auto const needed =
        has_pages(kind_) ? bounds_.log_start - offset_of(bounds_.log_start, size) : no_lsn;
    if (record.at >= needed) {
        BOOST_OUTCOME_TRY(lives_.see(record));
    }
    if (!needed) return ok();
    // Pages of older sets would come through all of it.
    auto seen = older_lives_.see(record);
    if (seen || seen.error().code != errc::history_break) return seen;
    broken_below_ = seen.error();
    older_lives_ = {};
    return older_lives_.see(record);
}

// ---- end

template <class Traits>
result<void> live_backup<Traits>::complete(std::uint64_t manifest_hash) noexcept {
    BOOST_OUTCOME_TRY(
        log_backup_end(*in_, set_, kind_, backup_status::published, bounds_, manifest_hash, files())
    );
    return stamp_headers(*in_, set_, kind_, bounds_, manifest_hash, files());
}

} // namespace jetpp::inline v1
