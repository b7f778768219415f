// jetpp/backup/external_file.hpp - one open file of an external session: a position in an image.
//
// A database is read from any page on, to its trailer; a segment from its first byte to its last.
// What is handed out is what a set would carry, byte for byte, each page and record proved.
// Threads  one reader at a time; the session sees to it.
// Owns     a MiB at most: the header area, and room for readers whose memory is not aligned.
// Source   backup rules R6, R11, R57, R58, R65.
#pragma once

#include <jetpp/backup/frozen_database.hpp>
#include <jetpp/backup/live_pages.hpp>
#include <jetpp/backup/page_copier.hpp>
#include <jetpp/backup/page_ranges.hpp>
#include <jetpp/backup/segment_source.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/page_view.hpp>
#include <jetpp/recovery/instance.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
class external_file {
    using env = typename Traits::env;
    using runtime = typename env::runtime_type;
    using checksum = typename Traits::checksum;
    static constexpr std::size_t page_size = Traits::page_size;
    static constexpr std::uint64_t header_pages = page_limits<page_size>::first_page.value;
    using source_type = live_pages<Traits>;
    using copier_type = page_copier<page_size, checksum, source_type, runtime>;

public:
    // A database's image from page `first` on.
    external_file(
        std::size_t database,
        paged_file<Traits>& file,
        frozen_database const& known,
        uuid const& set,
        std::uint64_t first
    ) noexcept
        : index_{database}, pages_{&file}, known_{known}, set_{set}, at_{first} {}
    // A segment's.
    external_file(std::size_t segment, segment_source<env>&& source, std::uint64_t size) noexcept
        : index_{segment}, segment_{std::move(source)}, segment_bytes_{size} {}

    [[nodiscard]] bool is_log() const noexcept { return segment_.has_value(); }
    [[nodiscard]] std::size_t index() const noexcept { return index_; }
    [[nodiscard]] std::uint64_t image_bytes() const noexcept {
        return is_log() ? segment_bytes_ : (std::uint64_t{known_.pages} + 1) * page_size;
    }
    [[nodiscard]] bool is_at_end() const noexcept {
        return is_log() ? segment_->is_at_end() : at_ == std::uint64_t{known_.pages} + 1;
    }
    [[nodiscard]] page_ranges const& delivered() const noexcept { return delivered_; }
    [[nodiscard]] lsn trailer_end() const noexcept { return trailer_end_; }
    // Of all pages handed out.
    [[nodiscard]] lsn highest() const noexcept { return highest_; }
    // Pages rotten in the file whose copy in memory was good.
    [[nodiscard]] std::uint64_t masked() const noexcept { return masked_; }

    // The next bytes of the image. Returns: how many; 0 at the end.
    // Requires: into.size() is a multiple of the page size.
    // Errors: page_damaged (page, reason), log_damaged (LSN), log_gap, of storage, of the log.
    [[nodiscard]] result<std::size_t> read(
        instance<Traits>& in, backup_bounds const& bounds, bytes into
    ) noexcept {
        auto done = std::size_t{0};
        while (done < into.size() && !is_at_end()) {
            auto const rest = into.subspan(done);
            auto got = is_log() ? read_log(rest) : read_database(in, bounds, rest);
            if (!got) return got.error();
            done += got.assume_value();
        }
        return done;
    }

private:
    static constexpr std::size_t piece_bytes = run_bytes;

    // The caller's memory, or ours if a direct file could not read into it.
    [[nodiscard]] result<bytes> room_for(bytes into) noexcept {
        auto const address = reinterpret_cast<std::uintptr_t>(into.data());
        if (address % aligned_buffer::alignment == 0) return into;
        if (room_.size() == 0) {
            BOOST_OUTCOME_TRY(room_, aligned_buffer::create(piece_bytes));
        }
        return room_.all().first(into.size());
    }

    [[nodiscard]] result<std::size_t> read_log(bytes into) noexcept {
        auto const left = segment_bytes_ - segment_->position();
        auto const n =
            static_cast<std::size_t>(std::min<std::uint64_t>({left, into.size(), piece_bytes}));
        BOOST_OUTCOME_TRY(auto const room, room_for(into.first(n)));
        BOOST_OUTCOME_TRY(segment_->read(room, [](log_record const&) noexcept -> result<void> {
            return ok();
        }));
        if (room.data() != into.data()) std::memcpy(into.data(), room.data(), n);
        return n;
    }

    [[nodiscard]] result<std::size_t> read_database(
        instance<Traits>& in, backup_bounds const& bounds, bytes into
    ) noexcept {
        if (at_ < header_pages) return read_header(bounds, into);
        if (at_ == known_.pages) return read_trailer(in, bounds, into);
        auto const count = std::min<std::uint64_t>(
            {known_.pages - at_, into.size() / page_size, piece_bytes / page_size}
        );
        auto const size = static_cast<std::size_t>(count * page_size);
        BOOST_OUTCOME_TRY(auto const room, room_for(into.first(size)));
        auto source = source_type{*pages_, in.pool(), in.log()};
        auto copier = copier_type{source};
        auto presence = presence_bits{};
        BOOST_OUTCOME_TRY(copier.copy(page_number{static_cast<std::uint32_t>(at_)}, room, presence)
        );
        masked_ += copier.masked();
        for (std::size_t i = 0; i < count; ++i)
            if (is_present(presence, i))
                highest_ =
                    later(highest_, page_view<page_size>{room.data() + i * page_size}.page_lsn());
        runtime::point(point_id::backup_page_copied);
        if (room.data() != into.data()) std::memcpy(into.data(), room.data(), size);
        BOOST_OUTCOME_TRY(note(at_ + count));
        return size;
    }
    [[nodiscard]] result<std::size_t> read_header(
        backup_bounds const& bounds, bytes into
    ) noexcept {
        BOOST_OUTCOME_TRY(auto area, aligned_buffer::create(database_header_area_bytes));
        encode_header_area(known_, set_, bounds.log_start, area.all());
        auto const count = std::min<std::uint64_t>(header_pages - at_, into.size() / page_size);
        auto const size = static_cast<std::size_t>(count * page_size);
        std::memcpy(into.data(), area.data() + at_ * page_size, size);
        BOOST_OUTCOME_TRY(note(at_ + count));
        return size;
    }
    // Made when it is read: it counts if it is above every page that was handed out.
    [[nodiscard]] result<std::size_t> read_trailer(
        instance<Traits>& in, backup_bounds const& bounds, bytes into
    ) noexcept {
        known_.copy_end = in.log().durable_lsn();
        encode_trailer_page<page_size, checksum>(
            known_, set_, in.id(), in.timeline(), bounds, into.data()
        );
        trailer_end_ = known_.copy_end;
        ++at_;
        return page_size;
    }
    [[nodiscard]] result<void> note(std::uint64_t end) noexcept {
        if (!delivered_.add(at_, end)) return error{.code = errc::out_of_memory};
        at_ = end;
        return ok();
    }

    std::size_t index_{};
    paged_file<Traits>* pages_ = nullptr;
    frozen_database known_{};
    uuid set_{};
    std::uint64_t at_ = 0; // page
    page_ranges delivered_;
    lsn trailer_end_{};
    lsn highest_{};
    std::uint64_t masked_ = 0;
    std::optional<segment_source<env>> segment_;
    std::uint64_t segment_bytes_ = 0;
    aligned_buffer room_;
};

} // namespace jetpp::inline v1
