// jetpp/backup/database_walker.hpp - reads one database out of one set, and proves every byte of it.
//
// Proved: each part against the manifest (frames, hashes, sizes), the frozen header, every page by
// its checksum, number and kind, its LSN below the copy's end, the trailer. A full, copy or whole
// database has every page; a delta has those that its presence bits name, in runs of which the
// empty ones are left out, but never the first (header area) and the last (trailer).
// Errors   set_damaged, set_mixed, unsupported, limit_exceeded with part and frame; page_damaged and
//          incomplete_copy with database and page; not_found (a part is missing); those of storage
//          and of the visitor.
// Threads  one owner.
// Source   backup rules R54, R57, R58, R68.
#pragma once

#include <jetpp/backup/file_output.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/part_reader.hpp>
#include <jetpp/backup/set_copies.hpp>
#include <jetpp/backup/set_part.hpp>
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
#include <utility>

namespace jetpp::inline v1 {

// Who is handed a database. Everything was proved before it is handed out; but a later page may
// still refuse the set.
template <class V>
concept database_visitor = requires(
    V& visitor,
    database_header const& header,
    std::uint64_t at,
    const_bytes image,
    copy_trailer const& trailer
) {
    { visitor.begin_database(header) } -> std::same_as<result<void>>;
    // The image from byte `at` of the file on; header area, trailer and absent pages of a delta are
    // left out.
    { visitor.database_bytes(at, image) } -> std::same_as<result<void>>;
    { visitor.end_database(trailer) } -> std::same_as<result<void>>;
    { visitor.read(at) } -> std::same_as<result<void>>; // progress: bytes of the set
};

template <
    any_environment Env,
    std::size_t PageSize,
    checksum_algorithm Checksum,
    database_visitor Visitor>
class database_walker {
    using limits = page_limits<PageSize>;

public:
    // Lifetime: all of them outlive the walker. `database`: its place in the manifest.
    database_walker(
        set_copies<Env> set,
        backup_manifest const& manifest,
        std::size_t database,
        Visitor& visitor,
        set_tally& tally,
        set_access const& access
    ) noexcept
        : set_{std::move(set)}, manifest_{&manifest}, database_{database}, visitor_{&visitor},
          tally_{&tally}, access_{access} {}

    [[nodiscard]] result<void> run() noexcept {
        return guarded([&]() -> result<void> {
            for (auto const& part : manifest_->parts)
                if (part.content == part_content::database && part.database == known().id) {
                    BOOST_OUTCOME_TRY(walk_part(part));
                }
            if (!complete_) return refused(page_, errc::incomplete_copy);
            return ok();
        });
    }

private:
    [[nodiscard]] manifest_database const& known() const noexcept {
        return manifest_->databases[database_];
    }
    [[nodiscard]] bool is_delta() const noexcept {
        return manifest_->kind == backup_kind::pages && known().delta;
    }
    [[nodiscard]] error refused(
        std::uint64_t page, errc code = errc::page_damaged, damage reason = damage::none
    ) const noexcept {
        return {
            .code = code,
            .database = known().place.value,
            .page = page_number{static_cast<std::uint32_t>(page)},
            .file = file_kind::database,
            .reason = reason,
        };
    }

    [[nodiscard]] result<void> walk_part(manifest_part const& part) {
        auto const mixed = frame_error(errc::set_mixed, part.number, 0);
        if (complete_) return mixed;
        BOOST_OUTCOME_TRY(
            auto opened, set_part<Env>::open(set_, *manifest_, part, database_, access_)
        );
        auto const& about = opened.reader().about();
        if (about.page_size != PageSize || about.database != known().id ||
            about.timeline != manifest_->timeline)
            return mixed;
        for (;;) {
            BOOST_OUTCOME_TRY(auto const run, opened.next(*visitor_, *tally_));
            if (!run) break;
            BOOST_OUTCOME_TRY(take_run(*run));
        }
        return ok();
    }

    [[nodiscard]] result<void> take_run(part_run const& run) {
        auto const pages = known().pages;
        // A run left out of a delta holds nothing new; the first and the last are always there.
        auto const follows = run.first == page_ || (is_delta() && page_ != 0 && run.first > page_);
        if (!follows || run.end > pages + 1) return refused(page_, errc::incomplete_copy);
        auto first = run.first;
        auto const page_at = [&](std::uint64_t page) {
            return run.raw.data() + (page - run.first) * PageSize;
        };
        if (first == 0) {
            BOOST_OUTCOME_TRY(take_header_area(run.raw));
            first = limits::first_page.value;
        }
        auto const last = std::min(run.end, pages);
        auto const is_there = [&](std::uint64_t page) {
            return is_present(run.presence, static_cast<std::size_t>(page - run.first));
        };
        for (auto page = first; page < last; ++page) {
            BOOST_OUTCOME_TRY(check_page(page_at(page), page, is_there(page)));
        }
        auto const hand_out = [&](std::uint64_t from, std::uint64_t to) -> result<void> {
            if (from >= to) return ok();
            return visitor_->database_bytes(
                from * PageSize, {page_at(from), static_cast<std::size_t>((to - from) * PageSize)}
            );
        };
        if (!is_delta()) {
            BOOST_OUTCOME_TRY(hand_out(first, last));
        } else {
            for (auto page = first; page < last;) {
                auto from = page;
                while (page < last && is_there(page)) ++page;
                BOOST_OUTCOME_TRY(hand_out(from, page));
                while (page < last && !is_there(page)) ++page;
            }
        }
        page_ = run.end;
        if (run.end != pages + 1) return ok();
        complete_ = true;
        return take_trailer(page_at(pages));
    }

    [[nodiscard]] result<void> check_page(std::byte const* page, std::uint64_t number, bool there) {
        auto const raw = const_bytes{page, PageSize};
        if (!there) {
            if (!all_zero(raw)) return refused(number, errc::page_damaged, damage::zero);
            return ok();
        }
        auto const found = page_codec<PageSize, Checksum>::verify(
            page, header_.nonce, page_number{static_cast<std::uint32_t>(number)}
        );
        if (found != damage::none) return refused(number, errc::page_damaged, found);
        auto const view = page_view<PageSize>{page};
        if (view.kind() == page_kind::copy_trailer)
            return refused(number, errc::page_damaged, damage::kind);
        highest_ = later(highest_, view.page_lsn());
        ++tally_->pages;
        return ok();
    }

    // Two copies of the frozen header, of this set and database; zeros around them.
    [[nodiscard]] result<void> take_header_area(const_bytes raw) {
        if (raw.size() < database_header_area_bytes) return refused(0, errc::incomplete_copy);
        auto second = database_header{};
        for (auto const copy : {header_copy::a, header_copy::b}) {
            auto const at = static_cast<std::size_t>(offset_of(copy));
            auto const half =
                copy == header_copy::a ? offset_of(header_copy::b) : database_header_area_bytes;
            auto const decoded = database_header::decode(
                raw.subspan(at, database_header::size), reserved_bytes::checked
            );
            if (!decoded) return refused(0, errc::set_damaged);
            (copy == header_copy::a ? header_ : second) = decoded.assume_value();
            auto const behind = at + database_header::size;
            if (!all_zero(raw.subspan(behind, static_cast<std::size_t>(half) - behind)))
                return refused(0, errc::set_damaged);
        }
        auto const& h = header_;
        auto same = second;
        same.sequence = h.sequence;
        if (same != h || h.state != database_state::backup_copy)
            return refused(0, errc::set_damaged);
        if (h.source_set != manifest_->set || h.database != known().id ||
            h.instance != manifest_->instance || h.timeline != manifest_->timeline ||
            h.min_required_lsn != manifest_->log_start || h.id != known().place ||
            h.page_size != PageSize || h.checksum_id != Checksum::id)
            return refused(0, errc::set_mixed);
        return visitor_->begin_database(header_);
    }

    [[nodiscard]] result<void> take_trailer(std::byte const* page) {
        auto const pages = known().pages;
        auto const found = page_codec<PageSize, Checksum>::verify_sum(
            page, header_.nonce, page_number{static_cast<std::uint32_t>(pages)}
        );
        if (found != damage::none) return refused(pages, errc::incomplete_copy, found);
        auto const decoded = copy_trailer::decode<PageSize>(page);
        if (!decoded) return refused(pages, decoded.error().code);
        auto const& t = decoded.assume_value();
        if (t.set != manifest_->set || t.database != known().id ||
            t.instance != manifest_->instance || t.timeline != manifest_->timeline ||
            t.redo_lsn != manifest_->redo_lsn || t.undo_low_lsn != manifest_->undo_low_lsn ||
            t.log_start != manifest_->log_start || t.begin_lsn != manifest_->begin_lsn ||
            t.copy_end_lsn > manifest_->copy_end_lsn)
            return refused(pages, errc::set_mixed);
        if (highest_ >= t.copy_end_lsn) return refused(pages, errc::page_damaged, damage::future);
        return visitor_->end_database(t);
    }

    set_copies<Env> set_;
    backup_manifest const* manifest_;
    std::size_t database_;
    Visitor* visitor_;
    set_tally* tally_;
    set_access access_;
    std::uint64_t page_ = 0; // behind the last one read
    bool complete_ = false;
    database_header header_{};
    lsn highest_{};
};

} // namespace jetpp::inline v1
