// jetpp/log/detail/record_source.hpp - bytes of a segment from its file, or from jet.ring.
//
// Both sources hold one window of memory and slide it: a view lives until the next call. Reads are
// aligned to 4096 bytes, so that direct files take them.
// Threads  one owner.
// Owns     its window and its open file.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/log/record.hpp>
#include <jetpp/log/record_crc.hpp>
#include <jetpp/log/ring_file.hpp>
#include <jetpp/log/segment.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace jetpp::inline v1::detail {

inline constexpr std::size_t io_unit = 4096;

// A window must hold the longest record wherever it begins in an io_unit.
[[nodiscard]] constexpr std::size_t window_bytes(
    std::size_t wanted, std::size_t record_max
) noexcept {
    auto const least = round_up(record_max + io_unit, std::size_t{64} * 1024);
    return round_up(wanted > least ? wanted : least, io_unit);
}

// The file of one segment. Offsets are offsets in the file.
template <any_environment Env>
class segment_source {
public:
    [[nodiscard]] static result<segment_source> create(std::size_t window) noexcept {
        BOOST_OUTCOME_TRY(auto memory, aligned_buffer::create(window));
        return segment_source{std::move(memory)};
    }

    [[nodiscard]] result<void> open(
        typename Env::directory& directory, std::uint64_t generation, std::uint64_t file_bytes
    ) noexcept {
        auto opened = directory.open(segment_file_name(generation), {.mode = open_mode::read_only});
        if (!opened) return opened.error().with_file(file_kind::log_segment);
        file_.emplace(std::move(opened).value());
        generation_ = generation;
        file_bytes_ = file_bytes;
        begin_ = 0;
        held_ = 0;
        return ok();
    }
    [[nodiscard]] bool is_open(std::uint64_t generation) const noexcept {
        return file_.has_value() && generation_ == generation;
    }
    [[nodiscard]] std::uint64_t end() const noexcept { return file_bytes_; }
    // The next call reads again: somebody may have written meanwhile.
    void forget() noexcept {
        begin_ = 0;
        held_ = 0;
    }

    // Up to `count` bytes from `offset` on; fewer only where the file ends.
    // Requires: count + io_unit <= window.
    [[nodiscard]] result<const_bytes> bytes_at(std::uint64_t offset, std::size_t count) noexcept {
        if (offset >= file_bytes_) return const_bytes{};
        if (file_bytes_ - offset < count) count = static_cast<std::size_t>(file_bytes_ - offset);
        if (offset < begin_ || offset + count > begin_ + held_) {
            BOOST_OUTCOME_TRY(slide(offset));
        }
        auto const from = static_cast<std::size_t>(offset - begin_);
        if (from >= held_) return const_bytes{};
        return window_.all().subspan(from, count < held_ - from ? count : held_ - from);
    }

private:
    explicit segment_source(aligned_buffer window) noexcept : window_{std::move(window)} {}

    [[nodiscard]] result<void> slide(std::uint64_t offset) noexcept {
        begin_ = round_down(offset, io_unit);
        held_ = 0;
        auto const left = round_up(file_bytes_ - begin_, io_unit);
        auto const size = left < window_.size() ? static_cast<std::size_t>(left) : window_.size();
        auto const got = read_up_to(*file_, window_.all().first(size), begin_);
        if (!got) return got.error().with_file(file_kind::log_segment);
        held_ = got.value();
        return ok();
    }

    aligned_buffer window_;
    std::optional<typename Env::file> file_;
    std::uint64_t generation_ = 0;
    std::uint64_t file_bytes_ = 0;
    std::uint64_t begin_ = 0; // offset of the window
    std::size_t held_ = 0;    // bytes in it
};

// jet.ring as a file. Offsets are offsets in the segment that open_segment() chose.
template <any_environment Env>
class ring_source {
public:
    // Returns: nothing if there is no ring of this instance: it is a help, never a need.
    // Errors: those of storage but not_found, out_of_memory.
    [[nodiscard]] static result<std::optional<ring_source>> open(
        typename Env::directory& directory, uuid const& instance, std::size_t window
    ) noexcept {
        auto opened =
            directory.open(ring_file_name, {.mode = open_mode::read_only, .io = io_mode::buffered});
        if (!opened && opened.error().code == errc::not_found) return std::optional<ring_source>{};
        if (!opened) return opened.error().with_file(file_kind::ring);
        BOOST_OUTCOME_TRY(auto header, aligned_buffer::create(ring_header_bytes));
        auto const got = read_up_to(opened.value(), header.all(), 0);
        if (!got) return got.error().with_file(file_kind::ring);
        if (got.value() != ring_header_bytes) return std::optional<ring_source>{};
        auto const decoded = ring_file_header::decode(header.data());
        if (!decoded || decoded.value().instance != instance) return std::optional<ring_source>{};
        BOOST_OUTCOME_TRY(auto memory, aligned_buffer::create(window));
        return std::optional<ring_source>{ring_source{
            std::move(opened).value(),
            std::move(header),
            std::move(memory),
            decoded.value().ring_bytes
        }};
    }

    // Returns: false if the ring has no entry for this use of the segment.
    [[nodiscard]] bool open_segment(segment_header const& segment) noexcept {
        auto const entry = ring_entry::find(header_.data(), segment.generation);
        if (!entry || entry->nonce != segment.nonce) return false;
        position_ = entry->position;
        segment_bytes_ = segment.segment_bytes;
        held_ = 0;
        return true;
    }
    [[nodiscard]] std::uint64_t end() const noexcept { return segment_bytes_; }

    [[nodiscard]] result<const_bytes> bytes_at(std::uint64_t offset, std::size_t count) noexcept {
        if (offset < segment_header_bytes || offset >= segment_bytes_) return const_bytes{};
        if (segment_bytes_ - offset < count)
            count = static_cast<std::size_t>(segment_bytes_ - offset);
        auto const v = position_ + (offset - segment_header_bytes);
        if (held_ == 0 || v < begin_ || v + count > begin_ + held_) {
            BOOST_OUTCOME_TRY(slide(v));
        }
        auto const from = static_cast<std::size_t>(v - begin_);
        if (from >= held_) return const_bytes{};
        return window_.all().subspan(from, count < held_ - from ? count : held_ - from);
    }

private:
    ring_source(
        typename Env::file file,
        aligned_buffer header,
        aligned_buffer window,
        std::uint64_t ring_bytes
    ) noexcept
        : file_{std::move(file)}, header_{std::move(header)}, window_{std::move(window)},
          ring_bytes_{ring_bytes} {}

    // Fills the window from position v on, in two reads where the ring wraps.
    [[nodiscard]] result<void> slide(std::uint64_t v) noexcept {
        begin_ = round_down(v, io_unit);
        held_ = 0;
        auto const size =
            ring_bytes_ < window_.size() ? static_cast<std::size_t>(ring_bytes_) : window_.size();
        while (held_ < size) {
            auto const place = (begin_ + held_) & (ring_bytes_ - 1);
            auto const run = ring_bytes_ - place < size - held_
                                 ? static_cast<std::size_t>(ring_bytes_ - place)
                                 : size - held_;
            auto const got = read_up_to(file_, window_.part(held_, run), ring_header_bytes + place);
            if (!got) return got.error().with_file(file_kind::ring);
            held_ += got.value();
            if (got.value() != run) break; // a ring file cut short
        }
        return ok();
    }

    typename Env::file file_;
    aligned_buffer header_;
    aligned_buffer window_;
    std::uint64_t ring_bytes_ = 0;
    std::uint64_t position_ = 0;
    std::uint64_t segment_bytes_ = 0;
    std::uint64_t begin_ = 0;
    std::size_t held_ = 0;
};

// The record that stands at `offset`, or an empty view if no valid one does: length in bounds,
// inside the segment, and the CRC right for this nonce and LSN.
template <class Source>
[[nodiscard]] result<const_bytes> valid_record_at(
    Source& source,
    std::uint64_t offset,
    segment_header const& segment,
    std::uint64_t nonce,
    std::size_t record_max
) noexcept {
    if (offset % 8 != 0 || offset + record_header_size > segment.segment_bytes)
        return const_bytes{};
    BOOST_OUTCOME_TRY(auto const head, source.bytes_at(offset, record_header_size));
    if (head.size() < record_header_size) return const_bytes{};
    auto const length = std::size_t{decode_length(head.data())};
    if (length < record_header_size || length > record_max || length % 8 != 0 ||
        length > segment.segment_bytes - offset)
        return const_bytes{};
    BOOST_OUTCOME_TRY(auto const raw, source.bytes_at(offset, length));
    if (raw.size() < length) return const_bytes{};
    auto const at = lsn{segment.generation * segment.segment_bytes + offset};
    if (record_crc(nonce, at, raw) != decode_crc(raw.data())) return const_bytes{};
    return raw;
}

} // namespace jetpp::inline v1::detail
