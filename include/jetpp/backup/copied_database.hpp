// jetpp/backup/copied_database.hpp - the copy of a database that a caller of an external session
// wrote, as it lies in a directory: is it whole, and what does it need?
//
//     state 9  as it was delivered: N pages and a trailer; header and trailer must agree
//     state 4  accepted before: max_required_lsn has the trailer's place, which may still be there
//     state 2  made an instance's before the restore was interrupted; only where its journal lies
// Every page is proved: checksum, number, layout, and an LSN below the end of the copy.
// Threads  one owner.
// Owns     the open file while it is looked at.
// Source   backup rules R11, R57, R58, R68.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/page/copy_trailer.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/page/page_codec.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

struct copied_database {
    file_name name{};
    database_header header{};
    std::uint64_t file_pages{}; // N, or N + 1 with a trailer
    std::uint64_t pages{};      // N
    lsn copy_end{};
    lsn log_start{};
    std::optional<copy_trailer> trailer{}; // state 9
    uuid set{};

    [[nodiscard]] bool is_adopted() const noexcept { return header.state == database_state::dirty; }
};

template <any_environment Env, std::size_t PageSize, class Checksum>
class copied_database_file {
    using codec = page_codec<PageSize, Checksum>;
    static constexpr std::uint64_t header_pages = page_limits<PageSize>::first_page.value;
    static constexpr std::size_t piece_bytes = std::size_t{512} << 10;

public:
    // `interrupted`: the set of a restore whose journal lies there; nil: there is none.
    // Errors: would_overwrite (no copy of a database), set_damaged (header), page_size_mismatch,
    // checksum_mismatch, incomplete_copy, set_mixed, page_damaged, of storage, out_of_memory.
    [[nodiscard]] static result<copied_database> look(
        typename Env::directory& where, file_name const& name, uuid const& interrupted
    ) noexcept {
        auto looked = copied_database_file{};
        auto opened = where.open(name, {.mode = open_mode::read_only});
        if (!opened) return opened.error().with_file(file_kind::database);
        looked.file_.emplace(std::move(opened).assume_value());
        BOOST_OUTCOME_TRY(looked.room_, aligned_buffer::create(piece_bytes));
        looked.known_.name = name;
        BOOST_OUTCOME_TRY(looked.read_header(interrupted));
        BOOST_OUTCOME_TRY(looked.read_end());
        return looked.known_;
    }

    // Every page of it. progress(bytes) -> result<void>. Errors: page_damaged, those of progress.
    template <class Progress>
    [[nodiscard]] static result<std::uint64_t> prove(
        typename Env::directory& where, copied_database const& known, Progress&& progress
    ) noexcept {
        auto looked = copied_database_file{};
        auto opened = where.open(known.name, {.mode = open_mode::read_only});
        if (!opened) return opened.error().with_file(file_kind::database);
        looked.file_.emplace(std::move(opened).assume_value());
        BOOST_OUTCOME_TRY(looked.room_, aligned_buffer::create(piece_bytes));
        looked.known_ = known;
        auto proved = std::uint64_t{0};
        for (auto at = header_pages; at < known.pages;) {
            auto const count = std::min<std::uint64_t>(piece_bytes / PageSize, known.pages - at);
            auto const image = looked.room_.part(0, static_cast<std::size_t>(count * PageSize));
            auto done = read_full(*looked.file_, image, at * PageSize);
            if (!done) return looked.here(done.error());
            for (std::uint64_t i = 0; i < count; ++i) {
                BOOST_OUTCOME_TRY(
                    auto const there, looked.check(image.data() + i * PageSize, at + i)
                );
                proved += there ? 1U : 0U;
            }
            at += count;
            BOOST_OUTCOME_TRY(progress(image.size()));
        }
        return proved;
    }

    // The copy is accepted: the header says so, in both copies, before the trailer goes.
    // Idempotent. Errors: of storage, out_of_memory.
    [[nodiscard]] static result<void> accept(
        typename Env::directory& where, copied_database& known
    ) noexcept {
        auto& h = known.header;
        h.state = database_state::restoring;
        h.source_set = known.set;
        h.min_required_lsn = known.log_start;
        h.max_required_lsn = known.copy_end;
        h.max_lsn = later(h.max_lsn, known.copy_end);
        return write(where, known, true);
    }
    // Both copies of known.header, each synced before the other; the file ends at its last page.
    [[nodiscard]] static result<void> write(
        typename Env::directory& where, copied_database& known, bool cuts
    ) noexcept {
        auto const here = [&](error const& e) {
            return e.with_file(file_kind::database).with_database(known.header.id);
        };
        BOOST_OUTCOME_TRY(auto block, aligned_buffer::create(database_header::size));
        auto opened = where.open(known.name, {.mode = open_mode::read_write});
        if (!opened) return here(opened.error());
        auto file = std::move(opened).assume_value();
        for (auto const copy : {header_copy::a, header_copy::b}) {
            ++known.header.sequence;
            known.header.encode(block.all());
            if (auto done = write_full(file, block.all(), offset_of(copy)); !done)
                return here(done.error());
            if (auto done = file.sync(sync_how::data); !done) return here(done.error());
        }
        if (cuts && known.file_pages != known.pages) {
            if (auto done = file.truncate(known.pages * PageSize); !done) return here(done.error());
            if (auto done = file.sync(sync_how::full); !done) return here(done.error());
            known.file_pages = known.pages;
        }
        return file.close();
    }

private:
    copied_database_file() noexcept = default;

    [[nodiscard]] error here(error const& e) const noexcept {
        return e.with_file(file_kind::database).with_database(known_.header.id);
    }
    [[nodiscard]] error refused(errc code, std::uint64_t page = 0, damage reason = damage::none)
        const noexcept {
        return here(
            {.code = code, .page = page_number{static_cast<std::uint32_t>(page)}, .reason = reason}
        );
    }

    [[nodiscard]] result<void> read_header(uuid const& interrupted) noexcept {
        auto const size = file_->size();
        if (!size) return here(size.error());
        auto const area = room_.part(0, database_header_area_bytes);
        auto const got = read_up_to(*file_, area, 0);
        if (!got) return here(got.error());
        std::memset(area.data() + got.assume_value(), 0, area.size() - got.assume_value());
        auto const copy_at = [&](header_copy copy) {
            return area.subspan(static_cast<std::size_t>(offset_of(copy)), database_header::size);
        };
        auto const newest = newest_of(copy_at(header_copy::a), copy_at(header_copy::b));
        if (!newest)
            return refused(
                newest.error().code == errc::bad_magic ? errc::would_overwrite : errc::set_damaged
            );
        auto& h = known_.header;
        h = newest.assume_value().header;
        known_.file_pages = size.assume_value() / PageSize;
        known_.set = h.state == database_state::dirty ? h.restored_from : h.source_set;
        switch (h.state) {
        case database_state::backup_copy: {
            // Delivered, both copies say the same: one that does not was harmed on the way.
            auto const a = database_header::decode(copy_at(header_copy::a));
            auto const b = database_header::decode(copy_at(header_copy::b));
            if (interrupted.is_nil() && (!a || !b)) return refused(errc::set_damaged);
            break;
        }
        case database_state::restoring: break;
        case database_state::dirty:
            if (!interrupted.is_nil() && known_.set == interrupted) break;
            [[fallthrough]];
        default: return refused(errc::would_overwrite); // of an instance that is at home here
        }
        if (auto fits = h.check_policies(PageSize, Checksum::id); !fits) return here(fits.error());
        if (size.assume_value() % PageSize != 0) return refused(errc::incomplete_copy);
        known_.log_start = h.min_required_lsn;
        return ok();
    }

    // What stands behind the last page, or stood there. How many pages there are, the trailer says.
    [[nodiscard]] result<void> read_end() noexcept {
        auto const& h = known_.header;
        if (known_.file_pages <= header_pages) return refused(errc::incomplete_copy);
        auto const n = known_.file_pages - 1;
        auto const page = room_.part(0, PageSize);
        if (auto done = read_full(*file_, page, n * PageSize); !done) return here(done.error());
        auto const found =
            codec::verify_sum(page.data(), h.nonce, page_number{static_cast<std::uint32_t>(n)});
        auto const is_trailer = found == damage::none &&
                                page_view<PageSize>{page.data()}.kind() == page_kind::copy_trailer;
        known_.pages = is_trailer ? n : known_.file_pages;
        if (h.state != database_state::backup_copy) {
            known_.copy_end = h.max_required_lsn;
            return ok();
        }
        if (found != damage::none) return refused(errc::incomplete_copy, n, found);
        auto const decoded = copy_trailer::decode<PageSize>(page.data());
        if (!decoded) return here(decoded.error());
        auto const& t = decoded.assume_value();
        if (auto agrees = t.check_header(h); !agrees) return here(agrees.error());
        known_.trailer = t;
        known_.copy_end = t.copy_end_lsn;
        known_.log_start = t.log_start;
        return ok();
    }

    // Returns: is there a page, or a free place?
    [[nodiscard]] result<bool> check(std::byte const* page, std::uint64_t number) const noexcept {
        if (all_zero({page, PageSize})) return false;
        auto found = codec::verify(
            page, known_.header.nonce, page_number{static_cast<std::uint32_t>(number)}
        );
        auto const view = page_view<PageSize>{page};
        if (found == damage::none && view.kind() == page_kind::copy_trailer) found = damage::kind;
        if (found == damage::none && view.page_lsn() >= known_.copy_end) found = damage::future;
        if (found != damage::none) return refused(errc::page_damaged, number, found);
        return true;
    }

    std::optional<typename Env::file> file_;
    aligned_buffer room_;
    copied_database known_{};
};

} // namespace jetpp::inline v1
