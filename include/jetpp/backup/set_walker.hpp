// jetpp/backup/set_walker.hpp - reads a whole set, proves every byte of it, and hands out its images.
//
// Verify and restore are the same walk: verify drops what it is handed, restore lays it down. So a
// set that verifies is a set that restores.
// Proved: each part against the manifest (frames, hashes, sizes); each database: the frozen header,
// every page by its checksum, number and layout, its LSN below the copy's end, the trailer; the log:
// every record, the chain of segments from the first to end_lsn, the begin record of this set.
// Not proved here: that replay accepts the pages (recovery does that).
// Errors   set_damaged, set_mixed, unsupported (a codec that set_access does not bring), wrong_key, limit_exceeded with part and frame; page_damaged and
//          incomplete_copy with database and page; log_damaged and log_gap with LSN; not_found (a
//          part is missing); those of storage and of the visitor.
// Threads  one owner.
// Source   backup rules R19, R33, R56 to R58, R61, R68.
#pragma once

#include <jetpp/backup/file_output.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/part_reader.hpp>
#include <jetpp/backup/segment_checker.hpp>
#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/copy_trailer.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/page/page_codec.hpp>
#include <jetpp/page/page_layout.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

// Who is handed a set. Everything was proved before it is handed out; but a later page or record of
// the set may still refuse it.
template <class V>
concept set_visitor = requires(
    V& visitor,
    std::size_t database,
    database_header const& header,
    std::uint64_t at,
    const_bytes image,
    copy_trailer const& trailer,
    segment_header const& segment,
    log_record const& logged
) {
    // The frozen header of a database whose pages follow.
    { visitor.begin_database(database, header) } -> std::same_as<result<void>>;
    // The image from byte `at` of the file on; the header area and the trailer are left out, and of
    // a delta every page that it has not.
    { visitor.database_bytes(at, image) } -> std::same_as<result<void>>;
    { visitor.end_database(trailer) } -> std::same_as<result<void>>;
    { visitor.begin_segment(segment) } -> std::same_as<result<void>>;
    // Each record, before the bytes that hold it; those of a segment's first bytes before it begins.
    { visitor.see_record(logged) } -> std::same_as<result<void>>;
    { visitor.segment_bytes(at, image) } -> std::same_as<result<void>>;
    // `end`: behind the last record of the segment.
    { visitor.end_segment(segment, lsn{}) } -> std::same_as<result<void>>;
    { visitor.read(std::uint64_t{}) } -> std::same_as<result<void>>; // progress: bytes of the set
};

struct set_tally {
    std::uint64_t parts{};
    std::uint64_t frames{};
    std::uint64_t pages{}; // verified; free pages that are zero are not counted
    std::uint64_t records{};
    std::uint64_t bytes{};       // of the parts
    lsn last_record_end{};       // where a fork leaves this history
    std::uint32_t incarnation{}; // the highest in its segments
};

template <
    any_environment Env,
    std::size_t PageSize,
    checksum_algorithm Checksum,
    set_visitor Visitor>
class set_walker {
    using limits = page_limits<PageSize>;
    using reader_type = part_reader<file_input<Env>>;

public:
    // Lifetime: all of them outlive the walker.
    set_walker(
        typename Env::directory& set,
        backup_manifest const& manifest,
        Visitor& visitor,
        set_access const& access = {}
    ) noexcept
        : set_{&set}, manifest_{&manifest}, visitor_{&visitor}, access_{access} {}

    [[nodiscard]] result<set_tally> run() noexcept {
        return guarded([&]() -> result<set_tally> {
            BOOST_OUTCOME_TRY(access_, access_.for_set(*manifest_));
            BOOST_OUTCOME_TRY(auto checker, segment_checker::create(PageSize));
            checker_.emplace(std::move(checker));
            // The database whose parts come, or past all: the log.
            auto file = manifest_->has_pages() ? std::size_t{0} : manifest_->databases.size();
            for (auto const& part : manifest_->parts) {
                BOOST_OUTCOME_TRY(walk_part(part, file));
            }
            if (file < manifest_->databases.size() || page_ != 0)
                return error{.code = errc::incomplete_copy, .file = file_kind::backup_part};
            BOOST_OUTCOME_TRY(end_log());
            return tally_;
        });
    }

private:
    [[nodiscard]] static error mixed(manifest_part const& part, std::uint64_t frame) noexcept {
        return frame_error(errc::set_mixed, part.number, frame);
    }
    [[nodiscard]] error damaged_page(
        std::uint64_t page, damage reason, errc code = errc::page_damaged
    ) const noexcept {
        return {
            .code = code,
            .database = manifest_->databases[database_].place.value,
            .page = page_number{static_cast<std::uint32_t>(page)},
            .file = file_kind::database,
            .reason = reason,
        };
    }
    [[nodiscard]] static error damaged_log(lsn at, errc code = errc::log_damaged) noexcept {
        return {.code = code, .file = file_kind::log_segment, .at = at};
    }

    [[nodiscard]] result<void> walk_part(manifest_part const& part, std::size_t& file) {
        BOOST_OUTCOME_TRY(auto const name, file_name::make(part.name));
        auto opened = file_input<Env>::open(*set_, name);
        if (!opened)
            return error{
                .code = opened.error().code,
                .os_errno = opened.error().os_errno,
                .page = page_number{part.number},
                .file = file_kind::backup_part
            };
        auto const is_log = part.content == part_content::log;
        auto const ordinal = is_log ? manifest_->databases.size() : file;
        if (is_log != (file == manifest_->databases.size())) return mixed(part, 0);
        BOOST_OUTCOME_TRY(
            auto reader,
            reader_type::open(
                opened.assume_value(),
                {.set = manifest_->set,
                 .part = part.number,
                 .file = static_cast<std::uint16_t>(ordinal)},
                access_
            )
        );
        auto const& about = reader.about();
        if (about.content != part.content || about.page_size != PageSize ||
            (is_log ? about.segment_bytes != manifest_->segment_bytes ||
                          about.timeline != part.timeline
                    : about.database != manifest_->databases[file].id ||
                          part.database != about.database || about.timeline != manifest_->timeline))
            return mixed(part, 0);
        database_ = file;
        for (;;) {
            auto const before = reader.read_bytes();
            BOOST_OUTCOME_TRY(auto const run, reader.next());
            BOOST_OUTCOME_TRY(visitor_->read(reader.read_bytes() - before));
            if (!run) break;
            if (is_log) {
                BOOST_OUTCOME_TRY(take_log(*run));
            } else {
                BOOST_OUTCOME_TRY(take_pages(*run));
            }
        }
        if (reader.summary() != part.summary)
            return frame_error(errc::set_damaged, part.number, reader.sequence());
        ++tally_.parts;
        tally_.frames += part.summary.frames;
        tally_.bytes += part.summary.bytes;
        if (!is_log && page_ == manifest_->databases[file].pages + 1) {
            page_ = 0;
            ++file;
        }
        return ok();
    }

    // ---- databases

    [[nodiscard]] result<void> take_pages(part_run const& run) {
        auto const pages = manifest_->databases[database_].pages;
        // A delta leaves out runs that are as in its base.
        auto const may_skip = manifest_->databases[database_].delta && page_ != 0;
        if (may_skip ? run.first < page_ : run.first != page_)
            return damaged_page(page_, damage::none, errc::incomplete_copy);
        if (run.end > pages + 1) return damaged_page(page_, damage::none, errc::incomplete_copy);
        auto first = run.first;
        auto const page_at = [&](std::uint64_t page) {
            return run.raw.data() + (page - run.first) * PageSize;
        };
        if (first == 0) {
            BOOST_OUTCOME_TRY(take_header_area(run.raw));
            first = limits::first_page.value;
        }
        auto const last = std::min(run.end, pages);
        for (auto page = first; page < last; ++page) {
            BOOST_OUTCOME_TRY(check_page(
                page_at(page),
                page,
                is_present(run.presence, static_cast<std::size_t>(page - run.first))
            ));
        }
        BOOST_OUTCOME_TRY(hand_out(run, first, last));
        page_ = run.end;
        if (run.end != pages + 1) return ok();
        return take_trailer(page_at(pages));
    }

    // Pages [first, last) of the run; of a delta those that it has, stretch by stretch.
    [[nodiscard]] result<void> hand_out(
        part_run const& run, std::uint64_t first, std::uint64_t last
    ) {
        auto const delta = manifest_->databases[database_].delta;
        auto const is_wanted = [&](std::uint64_t page) {
            return !delta || is_present(run.presence, static_cast<std::size_t>(page - run.first));
        };
        while (first < last) {
            auto end = first;
            while (end < last && is_wanted(end)) ++end;
            if (end != first) {
                auto const* const from = run.raw.data() + (first - run.first) * PageSize;
                BOOST_OUTCOME_TRY(visitor_->database_bytes(
                    first * PageSize, {from, static_cast<std::size_t>((end - first) * PageSize)}
                ));
            }
            first = end + 1;
        }
        return ok();
    }

    [[nodiscard]] result<void> check_page(std::byte const* page, std::uint64_t number, bool there) {
        auto const raw = const_bytes{page, PageSize};
        if (!there) {
            if (!all_zero(raw)) return damaged_page(number, damage::zero);
            return ok();
        }
        auto const found = page_codec<PageSize, Checksum>::verify(
            page, header_.nonce, page_number{static_cast<std::uint32_t>(number)}
        );
        if (found != damage::none) return damaged_page(number, found);
        auto const view = page_view<PageSize>{page};
        if (view.kind() == page_kind::copy_trailer) return damaged_page(number, damage::kind);
        highest_ = later(highest_, view.page_lsn());
        ++tally_.pages;
        return ok();
    }

    // Two copies of the frozen header, of this set and database; zeros around them.
    [[nodiscard]] result<void> take_header_area(const_bytes raw) {
        auto const& known = manifest_->databases[database_];
        auto const refused = [&](errc code) { return damaged_page(0, damage::none, code); };
        if (raw.size() < database_header_area_bytes) return refused(errc::incomplete_copy);
        auto second = database_header{};
        for (auto const copy : {header_copy::a, header_copy::b}) {
            auto const at = static_cast<std::size_t>(offset_of(copy));
            auto const half =
                copy == header_copy::a ? offset_of(header_copy::b) : database_header_area_bytes;
            auto const decoded = database_header::decode(
                raw.subspan(at, database_header::size), reserved_bytes::checked
            );
            if (!decoded) return refused(errc::set_damaged);
            (copy == header_copy::a ? header_ : second) = decoded.assume_value();
            auto const behind = at + database_header::size;
            if (!all_zero(raw.subspan(behind, static_cast<std::size_t>(half) - behind)))
                return refused(errc::set_damaged);
        }
        auto const& h = header_;
        auto same = second;
        same.sequence = h.sequence;
        if (same != h || h.state != database_state::backup_copy) return refused(errc::set_damaged);
        if (h.source_set != manifest_->set || h.database != known.id ||
            h.instance != manifest_->instance || h.timeline != manifest_->timeline ||
            h.min_required_lsn != manifest_->log_start || h.id != known.place ||
            h.page_size != PageSize || h.checksum_id != Checksum::id)
            return refused(errc::set_mixed);
        highest_ = no_lsn;
        return visitor_->begin_database(database_, header_);
    }

    [[nodiscard]] result<void> take_trailer(std::byte const* page) {
        auto const& known = manifest_->databases[database_];
        auto const found = page_codec<PageSize, Checksum>::verify_sum(
            page, header_.nonce, page_number{static_cast<std::uint32_t>(known.pages)}
        );
        if (found != damage::none) return damaged_page(known.pages, found, errc::incomplete_copy);
        auto const decoded = copy_trailer::decode<PageSize>(page);
        if (!decoded) return damaged_page(known.pages, damage::none, decoded.error().code);
        auto const& t = decoded.assume_value();
        if (t.set != manifest_->set || t.database != known.id ||
            t.instance != manifest_->instance || t.timeline != manifest_->timeline ||
            t.redo_lsn != manifest_->redo_lsn || t.undo_low_lsn != manifest_->undo_low_lsn ||
            t.log_start != manifest_->log_start || t.begin_lsn != manifest_->begin_lsn ||
            t.copy_end_lsn > manifest_->copy_end_lsn)
            return damaged_page(known.pages, damage::none, errc::set_mixed);
        if (highest_ >= t.copy_end_lsn) return damaged_page(known.pages, damage::future);
        return visitor_->end_database(t);
    }

    // ---- log

    [[nodiscard]] result<void> take_log(part_run const& run) {
        auto const segment_bytes = manifest_->segment_bytes;
        auto const at = lsn{run.first};
        auto const offset = offset_of(at, segment_bytes);
        if (in_segment_ ? run.first != next_run_ : offset != 0) return damaged_log(at);
        if (offset + run.raw.size() > segment_bytes) return damaged_log(at);
        if (offset == 0) {
            checker_->begin();
            in_segment_ = true;
        }
        auto const fed =
            checker_->feed(run.raw, [&](log_record const& record) noexcept { return see(record); });
        if (!fed) return fed.error().with_lsn(at);
        if (offset == 0) {
            BOOST_OUTCOME_TRY(join(at));
            BOOST_OUTCOME_TRY(visitor_->begin_segment(checker_->header()));
        }
        if (!all_zero(run.raw.subspan(fed.assume_value()))) return damaged_log(checker_->end());
        BOOST_OUTCOME_TRY(visitor_->segment_bytes(offset, run.raw));
        next_run_ = run.end;
        if (offset + run.raw.size() < segment_bytes) return ok();
        in_segment_ = false;
        BOOST_OUTCOME_TRY(checker_->finish());
        tally_.records += checker_->records();
        tally_.last_record_end = checker_->end();
        previous_ = checker_->header();
        closing_ = checker_->closing();
        tally_.incarnation = std::max(tally_.incarnation, previous_->incarnation);
        return visitor_->end_segment(*previous_, checker_->end());
    }

    [[nodiscard]] result<void> see(log_record const& record) noexcept {
        if (record.at == manifest_->begin_lsn) {
            auto const* const begun = record.template as<record::backup_begin>();
            if (begun == nullptr || begun->set != manifest_->set)
                return damaged_log(record.at, errc::set_mixed);
            begun_ = true;
        }
        if (record.template as<record::commit>() != nullptr) last_commit_ = record.at;
        return guarded([&] { return visitor_->see_record(record); });
    }

    // The header of the segment at `at`: does it follow the one before?
    [[nodiscard]] result<void> join(lsn at) {
        auto const& h = checker_->header();
        auto const of_set = h.instance == manifest_->instance &&
                            h.segment_bytes == manifest_->segment_bytes &&
                            lsn{h.generation * h.segment_bytes} == at;
        if (!of_set) return damaged_log(at, errc::set_mixed);
        if (!previous_) {
            if (at != manifest_->log.front().from) return damaged_log(at, errc::log_gap);
        } else {
            auto const& p = *previous_;
            auto const bound = h.previous_generation == p.generation && h.previous_nonce == p.nonce;
            auto const closed = closing_ && closing_->next_generation == h.generation &&
                                closing_->next_nonce == h.nonce;
            if (!bound || (h.cut ? h.cut != tally_.last_record_end : !closed))
                return damaged_log(at, errc::log_gap);
        }
        for (auto const& range : manifest_->log)
            if (range.from <= at && at < range.to && range.timeline == h.timeline) return ok();
        return damaged_log(at, errc::set_mixed);
    }

    [[nodiscard]] result<void> end_log() {
        auto const segment_bytes = manifest_->segment_bytes;
        auto const end = manifest_->end_lsn;
        if (in_segment_ || !closing_ || lsn{closing_->next_generation * segment_bytes} != end)
            return damaged_log(end, errc::log_gap);
        if (!begun_) return damaged_log(manifest_->begin_lsn, errc::set_mixed);
        if (last_commit_ != manifest_->last_commit)
            return damaged_log(manifest_->last_commit, errc::set_mixed);
        return ok();
    }

    typename Env::directory* set_;
    backup_manifest const* manifest_;
    Visitor* visitor_;
    set_access access_;
    set_tally tally_{};
    std::optional<segment_checker> checker_;

    std::size_t database_ = 0;
    std::uint64_t page_ = 0; // the next one of the database
    database_header header_{};
    lsn highest_{};

    bool in_segment_ = false;
    std::uint64_t next_run_ = 0;
    std::optional<segment_header> previous_;
    std::optional<record::segment_end> closing_;
    lsn last_commit_{};
    bool begun_ = false;
};

} // namespace jetpp::inline v1
