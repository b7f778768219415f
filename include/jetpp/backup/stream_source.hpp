// jetpp/backup/stream_source.hpp - a stream of frames taken apart into parts again, and checked.
//
//     descriptor, socket, file --> read_stream --> part 0, part 1, ...  then the manifest
//
// Frames of several parts may come mixed; each says where it belongs. Everything is checked that
// can be without reading what the data frames hold: header crc, unit hash, set, order within the
// part, index and trailer, and at the end each part against all that the manifest, which comes last,
// says of it. What a store was given is no set before read_stream() has returned the manifest.
// Errors   set_damaged (a byte is wrong; the stream ends before its manifest, or goes on behind it),
//          set_mixed (frames of another set, or out of order), log_gap (the manifest names log that
//          is not there), unsafe_name, unsupported, limit_exceeded, those of the manifest
//          (manifest_text.hpp), of the source and of the store.
// Threads  one owner.
// Owns     one frame of at most 1 MiB, the manifest (at most 16 MiB), one hash and an index of at most
//          128 KiB for each part that is open.
// Source   backup rules R45, R53, R56.
#pragma once

#include <jetpp/backup/detail/passing_part.hpp>
#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/backup/part_reader.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/backup/stored_unit.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/large_buffer.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// Parts of one stream that may be open at the same time, and parts in all.
inline constexpr std::size_t stream_parts_open_max = 8;
inline constexpr std::uint32_t stream_parts_max = 65536;
// How files are called that parts are written to before anybody knows their names.
inline constexpr std::string_view staged_part_prefix{"incoming-"};

// Where the frames of a stream go.
template <class S>
concept part_store = requires(S& store, uuid const& set, std::uint32_t part, const_bytes frame) {
    { store.begin(set) } -> std::same_as<result<void>>;
    { store.open_part(part) } -> std::same_as<result<void>>;
    { store.write(part, frame) } -> std::same_as<result<void>>;
    { store.close_part(part) } -> std::same_as<result<void>>; // its last frame was written
};

// Only checks.
struct no_store {
    [[nodiscard]] result<void> begin(uuid const&) noexcept { return ok(); }
    [[nodiscard]] result<void> open_part(std::uint32_t) noexcept { return ok(); }
    [[nodiscard]] result<void> write(std::uint32_t, const_bytes) noexcept { return ok(); }
    [[nodiscard]] result<void> close_part(std::uint32_t) noexcept { return ok(); }
};
static_assert(part_store<no_store>);

struct received_stream {
    std::string sealed; // the manifest as its file holds it
    read_manifest manifest;
    std::uint64_t frames{};
    std::uint64_t bytes{};
};

namespace detail {

template <byte_source Source, part_store Store>
class stream_splitter {
public:
    stream_splitter(Source& from, Store& into) noexcept : from_{&from}, into_{&into} {}

    [[nodiscard]] result<received_stream> run() {
        BOOST_OUTCOME_TRY(
            frame_, create_large_buffer(frame_header_bytes + std::size_t{frame_stored_max})
        );
        for (;;) {
            BOOST_OUTCOME_TRY(auto const head, read_header());
            if (!set_) {
                set_ = head.set;
                hash_ = head.hash_id; // whether it is the set's, its manifest will say
                BOOST_OUTCOME_TRY(into_->begin(head.set));
            }
            if (head.set != *set_) return refuse(errc::set_mixed, head);
            if (head.type == frame_type::manifest) {
                BOOST_OUTCOME_TRY(take_manifest(head));
                return std::move(got_);
            }
            BOOST_OUTCOME_TRY(take_frame(head));
        }
    }

private:
    [[nodiscard]] static error refuse(errc code, frame_header const& head) noexcept {
        return frame_error(code, head.part, head.sequence);
    }
    // Where a stream ends is never clean: only the manifest ends one.
    [[nodiscard]] error cut_short() const noexcept {
        return frame_error(errc::set_damaged, part_count(), 0);
    }
    [[nodiscard]] std::uint32_t part_count() const noexcept {
        return static_cast<std::uint32_t>(closed_.size());
    }
    [[nodiscard]] result<void> fill(bytes into) noexcept {
        while (!into.empty()) {
            BOOST_OUTCOME_TRY(auto const n, from_->read(into));
            if (n == 0) return cut_short();
            into = into.subspan(n);
            got_.bytes += n;
        }
        return ok();
    }
    [[nodiscard]] result<frame_header> read_header() noexcept {
        auto const raw = frame_.part(0, frame_header_bytes);
        BOOST_OUTCOME_TRY(fill(raw));
        ++got_.frames;
        return frame_header::decode(raw);
    }

    [[nodiscard]] result<void> take_frame(frame_header const& head) {
        auto part = std::find_if(open_.begin(), open_.end(), [&](passing_part const& one) {
            return one.number() == head.part;
        });
        if (part == open_.end()) {
            // Parts begin in the order of their numbers, and never again.
            if (head.part != part_count() || head.sequence != 0)
                return refuse(errc::set_mixed, head);
            if (head.type != frame_type::stream_header) return refuse(errc::set_damaged, head);
            if (part_count() == stream_parts_max || open_.size() == stream_parts_open_max)
                return refuse(errc::limit_exceeded, head);
            BOOST_OUTCOME_TRY(auto begun, passing_part::create(head));
            part = open_.insert(open_.end(), std::move(begun));
            closed_.emplace_back();
            BOOST_OUTCOME_TRY(into_->open_part(head.part));
        }
        auto const unit = frame_.part(frame_header_bytes, head.stored_bytes);
        BOOST_OUTCOME_TRY(fill(unit));
        BOOST_OUTCOME_TRY(check_unit_hash(head, hash_, unit));
        auto const whole = frame_header_bytes + head.stored_bytes;
        BOOST_OUTCOME_TRY(part->take(head, frame_.part(0, frame_header_bytes), unit));
        BOOST_OUTCOME_TRY(into_->write(head.part, frame_.all().first(whole)));
        if (!head.is_last()) return ok();
        BOOST_OUTCOME_TRY(closed_[head.part], part->finish());
        open_.erase(part);
        return into_->close_part(head.part);
    }

    [[nodiscard]] result<void> take_manifest(frame_header const& head) {
        auto const in_place = open_.empty() && head.part == part_count() && head.sequence == 0 &&
                              head.is_last() && head.file == 0;
        if (!in_place) return refuse(errc::set_mixed, head);
        if (head.codec != frame_codec::wrapped || head.stored_bytes < wrapped_head_bytes)
            return refuse(errc::set_damaged, head);
        auto unit = std::vector<std::byte>(head.stored_bytes);
        BOOST_OUTCOME_TRY(fill(unit));
        BOOST_OUTCOME_TRY(check_unit_hash(head, hash_id::xxh3_128, unit));
        auto const content = decode_wrapped_unit(unit);
        if (content.size() != head.raw_bytes) return refuse(errc::set_damaged, head);
        got_.sealed = std::string{as_text(content)};
        BOOST_OUTCOME_TRY(got_.manifest, parse_manifest(got_.sealed));
        BOOST_OUTCOME_TRY(agree(got_.manifest.manifest));
        auto behind = std::array<std::byte, 1>{};
        BOOST_OUTCOME_TRY(auto const more, from_->read(behind));
        if (more != 0) return refuse(errc::set_damaged, head);
        return ok();
    }
    [[nodiscard]] result<void> agree(backup_manifest const& manifest) const {
        if (manifest.set != *set_ || manifest.parts.size() != closed_.size() ||
            (manifest.hash != hash_ && !closed_.empty()))
            return error{.code = errc::set_mixed, .file = file_kind::manifest};
        // Whoever makes files of them has room for one of a name.
        auto names = std::vector<std::string_view>{};
        for (auto const& part : manifest.parts) names.emplace_back(part.name);
        std::sort(names.begin(), names.end());
        if (std::adjacent_find(names.begin(), names.end()) != names.end())
            return error{.code = errc::set_damaged, .file = file_kind::manifest};
        for (auto const name : names)
            if (name == manifest_file_name.view() || name.starts_with(staged_part_prefix))
                return error{.code = errc::unsafe_name, .file = file_kind::manifest};
        for (auto const& part : manifest.parts) {
            BOOST_OUTCOME_TRY(compare_part(manifest, part, closed_[part.number]));
        }
        return compare_ranges(manifest);
    }

    Source* from_;
    Store* into_;
    aligned_buffer frame_;
    std::optional<uuid> set_;
    hash_id hash_ = hash_id::xxh3_128; // of all parts
    std::vector<passing_part> open_;
    std::vector<passed_part> closed_; // one for each part that began
    received_stream got_{};
};

} // namespace detail

// To the end of the source.
template <byte_source Source, part_store Store>
[[nodiscard]] result<received_stream> read_stream(Source& from, Store& into) noexcept {
    return guarded([&] { return detail::stream_splitter<Source, Store>{from, into}.run(); });
}

} // namespace jetpp::inline v1
