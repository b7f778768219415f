// jetpp/backup/detail/passing_database.hpp - the runs of one database, proved in their order before
// the manifest is known; what the manifest says of it is compared at the end.
#pragma once

#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/page_policies.hpp>
#include <jetpp/backup/part.hpp>
#include <jetpp/backup/part_reader.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/copy_trailer.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/page/page_codec.hpp>
#include <jetpp/page/page_layout.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace jetpp::inline v1::detail {

class passing_database {
public:
    explicit passing_database(stream_about const& about) noexcept : about_{about} {}

    [[nodiscard]] uuid const& id() const noexcept { return about_.database; }
    [[nodiscard]] std::uint64_t verified() const noexcept { return verified_; }

    // Another part of it begins. Errors: incomplete_copy (it was whole before).
    [[nodiscard]] result<void> open() const noexcept {
        return trailer_ ? refused(page_, errc::incomplete_copy) : result<void>{ok()};
    }
    [[nodiscard]] result<void> take(part_run const& run) {
        if (page_ == 0) {
            if (run.first != 0) return refused(0, errc::incomplete_copy);
            BOOST_OUTCOME_TRY(take_header_area(run.raw));
        }
        if (trailer_ || run.first < page_) return refused(run.first, errc::incomplete_copy);
        has_gaps_ = has_gaps_ || run.first != page_;
        page_ = run.end;
        auto const name = header_.checksum_id == crc32c::id ? crc32c::name : xxh3_64::name;
        return with_page_policies(
            header_.page_size,
            name,
            [&]<std::size_t PageSize, class Checksum>() -> result<void> {
                return take_pages<PageSize, Checksum>(run);
            }
        );
    }

    [[nodiscard]] result<void> finish(backup_manifest const& m, manifest_database const& known)
        const {
        if (!trailer_ || known.pages + 1 != page_ || (has_gaps_ && !known.delta))
            return refused(page_, errc::incomplete_copy);
        auto const& h = header_;
        auto const& t = *trailer_;
        auto const of_header =
            h.source_set == m.set && h.database == known.id && h.instance == m.instance &&
            h.timeline == m.timeline && h.min_required_lsn == m.log_start && h.id == known.place &&
            h.page_size == m.page_size && about_.timeline == m.timeline &&
            m.checksum == (h.checksum_id == crc32c::id ? crc32c::name : xxh3_64::name);
        auto const of_trailer = t.set == m.set && t.database == known.id &&
                                t.instance == m.instance && t.timeline == m.timeline &&
                                t.redo_lsn == m.redo_lsn && t.undo_low_lsn == m.undo_low_lsn &&
                                t.log_start == m.log_start && t.begin_lsn == m.begin_lsn &&
                                t.copy_end_lsn <= m.copy_end_lsn;
        if (!of_header || !of_trailer) return refused(0, errc::set_mixed);
        return ok();
    }

private:
    [[nodiscard]] error refused(std::uint64_t page, errc code, damage reason = damage::none)
        const noexcept {
        return {
            .code = code,
            .database = header_.id.value,
            .page = page_number{static_cast<std::uint32_t>(page)},
            .file = file_kind::database,
            .reason = reason,
        };
    }

    // Two copies of the frozen header, zeros around them.
    [[nodiscard]] result<void> take_header_area(const_bytes raw) {
        if (raw.size() < database_header_area_bytes) return refused(0, errc::incomplete_copy);
        auto second = database_header{};
        for (auto const copy : {header_copy::a, header_copy::b}) {
            auto const at = static_cast<std::size_t>(offset_of(copy));
            auto const half = static_cast<std::size_t>(
                copy == header_copy::a ? offset_of(header_copy::b) : database_header_area_bytes
            );
            auto const decoded = database_header::decode(
                raw.subspan(at, database_header::size), reserved_bytes::checked
            );
            if (!decoded) return refused(0, errc::set_damaged);
            (copy == header_copy::a ? header_ : second) = decoded.assume_value();
            auto const behind = at + database_header::size;
            if (!all_zero(raw.subspan(behind, half - behind))) return refused(0, errc::set_damaged);
        }
        second.sequence = header_.sequence;
        auto const known = header_.checksum_id == crc32c::id || header_.checksum_id == xxh3_64::id;
        if (!known) return refused(0, errc::unsupported);
        if (second != header_ || header_.state != database_state::backup_copy ||
            header_.database != about_.database || header_.page_size != about_.page_size)
            return refused(0, errc::set_damaged);
        return ok();
    }

    // How many pages the database has, only its trailer tells: it is the last page of the last run.
    template <std::size_t PageSize, class Checksum>
    [[nodiscard]] result<void> take_pages(part_run const& run) {
        auto const first =
            run.first == 0 ? std::uint64_t{page_limits<PageSize>::first_page.value} : run.first;
        for (auto number = first; number < run.end; ++number) {
            auto const place = static_cast<std::size_t>(number - run.first);
            auto const raw = run.raw.subspan(place * PageSize, PageSize);
            auto const last = number + 1 == run.end;
            if (last && !all_zero(raw) &&
                page_view<PageSize>{raw.data()}.kind() == page_kind::copy_trailer)
                return take_trailer<PageSize, Checksum>(raw.data(), number);
            if (!is_present(run.presence, place)) {
                if (!all_zero(raw)) return refused(number, errc::page_damaged, damage::zero);
                continue;
            }
            auto const found = page_codec<PageSize, Checksum>::verify(
                raw.data(), header_.nonce, page_number{static_cast<std::uint32_t>(number)}
            );
            if (found != damage::none) return refused(number, errc::page_damaged, found);
            auto const view = page_view<PageSize>{raw.data()};
            if (view.kind() == page_kind::copy_trailer)
                return refused(number, errc::page_damaged, damage::kind);
            highest_ = later(highest_, view.page_lsn());
            ++verified_;
        }
        return ok();
    }
    template <std::size_t PageSize, class Checksum>
    [[nodiscard]] result<void> take_trailer(std::byte const* page, std::uint64_t number) {
        auto const found = page_codec<PageSize, Checksum>::verify_sum(
            page, header_.nonce, page_number{static_cast<std::uint32_t>(number)}
        );
        if (found != damage::none) return refused(number, errc::incomplete_copy, found);
        auto const decoded = copy_trailer::decode<PageSize>(page);
        if (!decoded) return refused(number, decoded.error().code);
        trailer_ = decoded.assume_value();
        if (highest_ >= trailer_->copy_end_lsn)
            return refused(number, errc::page_damaged, damage::future);
        return ok();
    }

    stream_about about_;
    database_header header_{};
    std::uint64_t page_ = 0; // behind the last one that passed
    std::uint64_t verified_ = 0;
    lsn highest_{};
    bool has_gaps_ = false;
    std::optional<copy_trailer> trailer_;
};

} // namespace jetpp::inline v1::detail
