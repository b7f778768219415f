// jetpp/backup/detail/passing_part.hpp - one part of a stream, held to what part_reader holds a part of
// a file to, frame by frame; what is in its data frames is not looked at.
//
// What it ends with can be compared with all that a manifest says of the part. Of an encrypted part
// the units of index and trailer are sealed: of these only the sizes are known.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/part.hpp>
#include <jetpp/backup/part_reader.hpp>
#include <jetpp/backup/part_writer.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/backup/stored_unit.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace jetpp::inline v1::detail {

// A part that has ended.
struct passed_part {
    part_summary summary{};
    stream_about about{};
    std::uint16_t file{};
    bool sealed = false;
};

class passing_part {
public:
    // Errors: unsupported (the hash), out_of_memory.
    [[nodiscard]] static result<passing_part> create(frame_header const& first) noexcept {
        auto made = passing_part{};
        made.number_ = first.part;
        made.seen_.file = first.file;
        BOOST_OUTCOME_TRY(made.headers_, sha256::create());
        BOOST_OUTCOME_TRY(made.reset_index());
        return made;
    }
    [[nodiscard]] std::uint32_t number() const noexcept { return number_; }

    // The next frame; its unit has the hash that its header names. `raw`: the header as it came.
    // Errors: set_mixed (another place), set_damaged, unsupported (the key slot), out_of_memory.
    [[nodiscard]] result<void> take(
        frame_header const& head, const_bytes raw, const_bytes unit
    ) noexcept {
        auto& s = seen_.summary;
        if (head.sequence != s.frames || head.file != seen_.file)
            return refuse(errc::set_mixed, head);
        auto const opens = head.type == frame_type::stream_header;
        if ((s.frames == 0 && !opens) || head.is_last() != (head.type == frame_type::trailer))
            return refuse(errc::set_damaged, head);
        auto const is_sealed = (head.flags & frame_flag::encrypted) != 0;
        // All or none is sealed, but for what names the salt.
        if (is_sealed && opens) return refuse(errc::set_damaged, head);
        if (!opens && !seen_.sealed) seen_.sealed = is_sealed && is_all_about_;
        if (!opens && is_sealed != seen_.sealed) return refuse(errc::set_damaged, head);
        is_all_about_ = is_all_about_ && opens;
        if (head.key_slot != (is_sealed ? data_key_slot : 0))
            return refuse(errc::unsupported, head);
        auto good = result<bool>{true};
        if (opens)
            good = take_about(head, unit);
        else if (head.type == data_type_of(seen_.about.content))
            good = take_run(head);
        else if (head.type == index_type_of(seen_.about.content))
            good = take_index(head, unit);
        else if (head.type == frame_type::trailer)
            good = take_trailer(head, unit);
        else
            good = !head.is_critical(); // it has no place here
        BOOST_OUTCOME_TRY(auto const fits, good);
        if (!fits) return refuse(errc::set_damaged, head);
        ++s.frames;
        s.bytes += frame_header_bytes + head.stored_bytes;
        return headers_.add(raw);
    }
    // Requires: the trailer was taken. Errors: unsupported (the hash).
    [[nodiscard]] result<passed_part> finish() noexcept {
        BOOST_OUTCOME_TRY(seen_.summary.headers, headers_.finish());
        return seen_;
    }

private:
    passing_part() noexcept = default;

    [[nodiscard]] static error refuse(errc code, frame_header const& head) noexcept {
        return frame_error(code, head.part, head.sequence);
    }
    // Again where the writer was interrupted and went on: the same, but for the salt.
    [[nodiscard]] result<bool> take_about(frame_header const& head, const_bytes unit) noexcept {
        auto const content = decode_wrapped_unit(unit);
        auto said = stream_about{};
        if (head.raw_bytes != content.size() || !said.decode(content)) return false;
        auto same = said;
        same.salt = seen_.about.salt;
        auto const again = seen_.summary.frames != 0;
        if (again && (same != seen_.about || (seen_.sealed && said.salt == same.salt)))
            return false;
        seen_.about = said;
        return true;
    }
    [[nodiscard]] result<bool> take_run(frame_header const& head) noexcept {
        auto& s = seen_.summary;
        auto const ascends = s.raw_bytes == 0 || head.first >= s.end;
        if (!ascends || head.end <= head.first ||
            head.raw_bytes != (head.end - head.first) * seen_.about.unit_bytes() ||
            index_.size() >= 8 + index_frames_max * index_entry::size)
            return false;
        if (s.raw_bytes == 0) s.first = head.first;
        s.end = head.end;
        s.raw_bytes += head.raw_bytes;
        auto entry = std::array<std::byte, index_entry::size>{};
        index_entry{head.first, head.end, s.bytes, head.stored_bytes, head.codec}.encode(entry.data(
        ));
        if (!index_.append(entry)) return error{.code = errc::out_of_memory};
        return true;
    }
    [[nodiscard]] result<bool> take_index(frame_header const& head, const_bytes unit) noexcept {
        auto& s = seen_.summary;
        if (index_.size() == 8 || !covers_all(head, {index_.data(), index_.size()}, unit))
            return false;
        s.last_index = s.bytes;
        BOOST_OUTCOME_TRY(reset_index());
        return true;
    }
    [[nodiscard]] result<bool> take_trailer(frame_header const& head, const_bytes unit) noexcept {
        auto const& s = seen_.summary;
        auto expected = std::array<std::byte, part_trailer::size>{};
        part_trailer{s.frames + 1, s.raw_bytes, s.last_index}.encode(expected.data());
        return index_.size() == 8 && covers_all(head, expected, unit);
    }
    // A frame about all data frames so far, with that content.
    [[nodiscard]] bool covers_all(frame_header const& head, const_bytes expected, const_bytes unit)
        const noexcept {
        auto const& s = seen_.summary;
        if (head.codec != frame_codec::wrapped || head.raw_bytes != expected.size() ||
            head.first != s.first || head.end != s.end)
            return false;
        return seen_.sealed || std::ranges::equal(decode_wrapped_unit(unit), expected);
    }
    [[nodiscard]] result<void> reset_index() noexcept {
        index_.clear();
        auto previous = std::array<std::byte, 8>{};
        store_le<std::uint64_t>(previous.data(), seen_.summary.last_index);
        if (!index_.append(previous)) return error{.code = errc::out_of_memory};
        return ok();
    }

    std::uint32_t number_ = 0;
    passed_part seen_{};
    bool is_all_about_ = true; // nothing but stream headers yet
    array_list<std::byte> index_;
    sha256 headers_;
};

// Is that the part that the manifest names? The errors are those that a restore would end with.
[[nodiscard]] inline result<void> compare_part(
    backup_manifest const& m, manifest_part const& part, passed_part const& seen
) noexcept {
    if (part.summary != seen.summary)
        return frame_error(errc::set_damaged, part.number, seen.summary.frames);
    auto const mixed = frame_error(errc::set_mixed, part.number, 0);
    auto const& about = seen.about;
    if (part.content != about.content || seen.sealed != m.is_encrypted()) return mixed;
    if (part.content == part_content::log) {
        // Who reads a range reads the parts of its timeline that it touches.
        auto const readers = std::count_if(m.log.begin(), m.log.end(), [&](auto const& range) {
            return range.timeline == part.timeline && part.summary.end > range.from.value &&
                   part.summary.first < range.to.value;
        });
        if (readers != 1 || about.timeline != part.timeline || seen.file != m.databases.size() ||
            about.segment_bytes != m.segment_bytes)
            return mixed;
        return ok();
    }
    auto const known =
        std::find_if(m.databases.begin(), m.databases.end(), [&](auto const& database) {
            return database.id == part.database;
        });
    if (!m.has_pages() || known == m.databases.end() ||
        seen.file != static_cast<std::size_t>(known - m.databases.begin()) ||
        about.database != part.database || about.timeline != m.timeline ||
        about.page_size != m.page_size)
        return mixed;
    return ok();
}

// Does each range of log begin and end as its parts do? Where generations were jumped over only what
// is in the segments tells. Errors: log_gap.
[[nodiscard]] inline result<void> compare_ranges(backup_manifest const& m) noexcept {
    for (auto const& range : m.log) {
        auto from = lsn_limit;
        auto to = no_lsn;
        for (auto const& part : m.parts) {
            if (part.content != part_content::log || part.timeline != range.timeline) continue;
            from = earlier(from, lsn{part.summary.first});
            to = later(to, lsn{part.summary.end});
        }
        if (from != range.from || to > range.to)
            return error{.code = errc::log_gap, .file = file_kind::log_segment, .at = range.from};
    }
    return ok();
}

} // namespace jetpp::inline v1::detail
