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
    BOOST_OUTCOME_TRY(log_begin());
    BOOST_OUTCOME_TRY(freeze());
    for (auto const& one : databases()) plan.add_database(one.pages);
    return ok();
}

// Size and header of all databases after the begin record is durable: what the log says from then
// on is in the set. The size is the file's: a growth that is logged but not yet given out counts.
template <class Traits>
result<void> live_backup<Traits>::freeze() noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
        frozen_[i].header = files_[i]->header();
        auto const size = files_[i]->device().size();
        if (!size)
            return size.error().with_file(file_kind::database).with_database(files_[i]->id());
        auto const pages = size.assume_value() / page_size;
        if (pages >= no_page.value) return error{.code = errc::limit_exceeded};
        frozen_[i].pages = static_cast<std::uint32_t>(pages);
    }
    return ok();
}

// One record of the backup's own, durable. Returns: its LSN.
template <class Traits>
template <class Body>
result<lsn> live_backup<Traits>::log_alone(Body& body) noexcept {
    auto& log = in_->log();
    auto credit = log_credit{};
    BOOST_OUTCOME_TRY(log.acquire(credit, static_cast<std::uint32_t>(body.size())));
    auto const at = log.append(credit, {.type = Body::type, .flags = record_flags::system}, body);
    log.give_back(credit);
    BOOST_OUTCOME_TRY(log.wait_durable(at));
    return at;
}

template <class Traits>
result<void> live_backup<Traits>::log_begin() noexcept {
    auto members = std::array<std::byte, databases_max * record::backup_begin::member_size>{};
    for (std::size_t i = 0; i < count_; ++i)
        record::backup_begin::encode_member(
            members.data() + i * record::backup_begin::member_size,
            {.database = files_[i]->id(), .id = files_[i]->header().database}
        );
    auto body = record::backup_begin{
        .set = set_,
        .kind = static_cast<std::uint32_t>(kind_),
        .count = static_cast<std::uint32_t>(count_),
        .redo_lsn = bounds_.redo_lsn,
        .undo_low_lsn = bounds_.undo_low_lsn,
        .log_start = bounds_.log_start,
        .members = {members.data(), count_ * record::backup_begin::member_size},
    };
    BOOST_OUTCOME_TRY(bounds_.begin_lsn, log_alone(body));
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
        write_header_area(file, image.first(static_cast<std::size_t>(area * page_size)));
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
        write_trailer(file, page_at(known.pages));
        set_present(run.presence, static_cast<std::size_t>(known.pages - run.first));
    }
    return ok();
}

// The frozen header, as that of a copy that only restore opens, at both places; zeros around it.
template <class Traits>
void live_backup<Traits>::write_header_area(std::size_t file, bytes area) const noexcept {
    ensure(area.size() == database_header_area_bytes, "the header area lies in the first run");
    auto header = frozen_[file].header;
    header.state = database_state::backup_copy;
    header.source_set = set_;
    header.min_required_lsn = bounds_.log_start;
    header.pages_hint = frozen_[file].pages;
    std::memset(area.data(), 0, area.size());
    for (auto const copy : {header_copy::a, header_copy::b}) {
        ++header.sequence;
        header.encode(area.subspan(static_cast<std::size_t>(offset_of(copy)), header.size));
    }
}

template <class Traits>
void live_backup<Traits>::write_trailer(std::size_t file, std::byte* page) const noexcept {
    auto const& known = frozen_[file];
    auto const trailer = copy_trailer{
        .set = set_,
        .database = known.header.database,
        .instance = in_->id(),
        .timeline = in_->timeline(),
        .redo_lsn = bounds_.redo_lsn,
        .undo_low_lsn = bounds_.undo_low_lsn,
        .log_start = bounds_.log_start,
        .begin_lsn = bounds_.begin_lsn,
        .copy_end_lsn = known.copy_end,
        .pages = known.pages,
    };
    trailer.template encode<page_size>(page);
    page_codec<page_size, checksum>::seal(page, known.header.nonce);
}

// ---- log

// Where the log of the set begins: with the copy, or, in archival mode, where the last chain of
// backups ended. What is truncated later must lie in a set, or "any moment" would have a hole.
template <class Traits>
lsn live_backup<Traits>::wanted_log_start() noexcept {
    if (!in_->is_archival()) return bounds_.log_start;
    auto chain_end = no_lsn;
    auto copied = false;
    for (auto const& one : databases()) {
        auto const& h = one.header;
        copied = copied || h.mark(mark_kind::copy).exists() || h.ancestor_count != 0;
        auto const end =
            later(h.mark(mark_kind::full).end_lsn, h.mark(mark_kind::incremental).end_lsn);
        if (end) chain_end = chain_end ? earlier(chain_end, end) : end;
    }
    if (chain_end) return earlier(chain_end, bounds_.log_start);
    return copied ? earlier(in_->log().oldest_kept(), bounds_.log_start) : bounds_.log_start;
}

template <class Traits>
result<void> live_backup<Traits>::switch_log(backup_planner& plan) noexcept {
    auto& log = in_->log();
    BOOST_OUTCOME_TRY(auto const next, log.force_switch());
    BOOST_OUTCOME_TRY(log.wait_durable(next)); // the attach_list behind the seal
    auto const segment_bytes = in_->segment_bytes();
    bounds_.end_lsn = {generation_of(next, segment_bytes) * segment_bytes};
    auto const wanted = wanted_log_start();
    auto chain =
        chain_below(in_->environment(), in_->where(), wanted, bounds_.end_lsn, segment_bytes);
    if (!chain && chain.error().code == errc::log_gap && wanted < bounds_.log_start) {
        bounds_.lost_log_from = wanted;
        bounds_.lost_log_to = bounds_.log_start;
        chain = chain_below(
            in_->environment(), in_->where(), bounds_.log_start, bounds_.end_lsn, segment_bytes
        );
    }
    if (!chain) return chain.error();
    chain_ = std::move(chain).assume_value();
    BOOST_OUTCOME_TRY(auto checker, segment_checker::create(page_size));
    checker_.emplace(std::move(checker));
    plan.add_segments(chain_.size());
    return ok();
}

template <class Traits>
result<void> live_backup<Traits>::open_segment(std::size_t i) noexcept {
    auto opened = in_->where().open(
        segment_file_name(chain_[i].header.generation), {.mode = open_mode::read_only}
    );
    if (!opened) return opened.error().with_file(file_kind::log_segment);
    segment_.emplace(std::move(opened).assume_value());
    checker_->begin(chain_[i].cut);
    return ok();
}

template <class Traits>
result<void> live_backup<Traits>::close_segment(std::size_t i) const noexcept {
    BOOST_OUTCOME_TRY(checker_->finish());
    auto const& one = chain_[i];
    if (checker_->header() != one.header)
        return error{
            .code = errc::log_damaged, .file = file_kind::log_segment, .at = one.header.first()
        };
    if (one.cut) return ok();
    auto const& closing = checker_->closing();
    if (!closing || closing->next_generation != one.next.generation ||
        closing->next_nonce != one.next.nonce)
        return error{
            .code = errc::log_gap,
            .file = file_kind::log_segment,
            .at = first_lsn(one.next.generation, one.header.segment_bytes)
        };
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
        BOOST_OUTCOME_TRY(open_segment(step.segment));
    }
    auto const image = into.memory.part(0, static_cast<std::size_t>(step.end - step.first));
    // Behind the logical end nothing is of interest.
    auto const ended = step.first != 0 && checker_->has_ended();
    auto const got = ended ? result<std::size_t>{std::size_t{0}}
                           : read_up_to(*segment_, image, step.first);
    if (!got) return got.error().with_file(file_kind::log_segment);
    if (got.assume_value() < segment_header_bytes && step.first == 0)
        return error{
            .code = errc::log_damaged, .file = file_kind::log_segment, .at = one.header.first()
        };
    // A closed segment may be cut to what it holds: the rest of its image is zero.
    std::memset(image.data() + got.assume_value(), 0, image.size() - got.assume_value());
    BOOST_OUTCOME_TRY(
        auto const logical,
        checker_->feed(
            image,
            [&](log_record const& record) noexcept -> result<void> {
                ++bounds_.records;
                if (auto const* commit = record.template as<record::commit>()) {
                    bounds_.last_commit = record.at;
                    bounds_.last_commit_time = commit->wall;
                }
                return ok();
            }
        )
    );
    // Bytes behind the end are of a former life of the file: they never leave.
    std::memset(image.data() + logical, 0, image.size() - logical);
    if (step.end == one.header.segment_bytes) {
        BOOST_OUTCOME_TRY(close_segment(step.segment));
        segment_.reset();
    }
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
result<void> live_backup<Traits>::log_end(backup_status status, std::uint64_t hash) noexcept {
    auto members = std::array<std::byte, databases_max * record::backup_end::member_size>{};
    for (std::size_t i = 0; i < count_; ++i)
        std::memcpy(
            members.data() + i * record::backup_end::member_size,
            files_[i]->header().database.raw.data(),
            record::backup_end::member_size
        );
    auto body = record::backup_end{
        .set = set_,
        .status = status,
        .kind = static_cast<std::uint32_t>(kind_),
        .redo_lsn = bounds_.redo_lsn,
        .log_start = bounds_.log_start,
        .end_lsn = bounds_.end_lsn,
        .time = in_->environment().runtime.wall(),
        .timeline = in_->timeline(),
        .manifest_hash = hash,
        .count = static_cast<std::uint32_t>(count_),
        .members = {members.data(), count_ * record::backup_end::member_size},
    };
    BOOST_OUTCOME_TRY(log_alone(body));
    return ok();
}

template <class Traits>
result<void> live_backup<Traits>::complete(std::uint64_t manifest_hash) noexcept {
    BOOST_OUTCOME_TRY(log_end(backup_status::published, manifest_hash));
    auto const mark = backup_mark{
        .set = set_,
        .redo_lsn = bounds_.redo_lsn,
        .log_start = bounds_.log_start,
        .end_lsn = bounds_.end_lsn,
        .time = in_->environment().runtime.wall(),
        .timeline = in_->timeline(),
        .manifest_hash = manifest_hash,
    };
    for (std::size_t i = 0; i < count_; ++i) {
        BOOST_OUTCOME_TRY(files_[i]->change_header([&](database_header& h) noexcept {
            if (kind_ == backup_kind::copy) {
                (void)h.stamp(mark_kind::copy, mark);
            } else if (h.stamp(mark_kind::full, mark)) {
                h.marks[static_cast<std::size_t>(mark_kind::incremental)] = {};
                h.marks[static_cast<std::size_t>(mark_kind::differential)] = {};
            }
        }));
    }
    return ok();
}

} // namespace jetpp::inline v1
