// jetpp/backup/part_scan.hpp - how far a part was written before the writing was interrupted.
//
//     stream_header | pages | pages | pa            the file, after a crash
//     <--------- good ------------->|<- cut ->
// A frame is good if its header, its place and the hash of its unit are; behind the first that is
// not nothing counts. What the frames say is told to the writer, which then is where it was. No key
// is needed: hashes are over what is stored.
// A part whose pages are all there, but whose trailer is not, gives its last pages back: there must
// be something to go on with.
// Threads  one owner.
// Source   backup rule R52.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/part.hpp>
#include <jetpp/backup/part_writer.hpp>
#include <jetpp/backup/stored_unit.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/large_buffer.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace jetpp::inline v1 {

struct part_progress {
    std::uint64_t frames{}; // good ones, in their order
    std::uint64_t end{};    // of what they cover: the page to go on with
    std::uint64_t bytes{};  // of the file
    bool is_whole = false;  // the trailer is there
};

namespace detail {

// on_frame(header, header bytes) -> result<void> for each good frame, `frames_max` at most.
// `about`: what the first frame must say, but for its salt.
template <class Input, class OnFrame>
[[nodiscard]] result<part_progress> walk_frames(
    Input& from,
    part_place const& place,
    stream_about about,
    bool encrypted,
    hash_id hash,
    bytes memory,
    std::uint64_t frames_max,
    OnFrame&& on_frame
) noexcept {
    auto found = part_progress{};
    auto const fill = [&](bytes into) noexcept -> result<bool> {
        while (!into.empty()) {
            BOOST_OUTCOME_TRY(auto const n, from.read(into));
            if (n == 0) return false;
            into = into.subspan(n);
        }
        return true;
    };
    while (found.frames < frames_max && !found.is_whole) {
        auto const head_bytes = memory.first(frame_header_bytes);
        BOOST_OUTCOME_TRY(auto const has_head, fill(head_bytes));
        if (!has_head) break;
        auto const decoded = frame_header::decode(head_bytes);
        if (!decoded) break;
        auto const& head = decoded.assume_value();
        auto const opens = head.type == frame_type::stream_header;
        if (head.set != place.set || head.part != place.part || head.file != place.file ||
            head.sequence != found.frames || head.hash_id != hash ||
            ((head.flags & frame_flag::encrypted) != 0) != (encrypted && !opens) ||
            (found.frames == 0 && !opens) || head.stored_bytes > frame_stored_max)
            break;
        auto const unit = memory.subspan(frame_header_bytes, head.stored_bytes);
        BOOST_OUTCOME_TRY(auto const has_unit, fill(unit));
        if (!has_unit || !check_unit_hash(head, hash, unit)) break;
        if (opens) {
            auto said = stream_about{};
            if (!said.decode(decode_wrapped_unit(unit))) break;
            about.salt = said.salt;
            if (said != about) break;
        } else if (head.type == data_type_of(about.content)) {
            if (head.first < found.end) break;
            found.end = head.end;
        } else if (head.type == frame_type::trailer) {
            found.is_whole = true;
        } else if (head.type != index_type_of(about.content)) {
            break;
        }
        BOOST_OUTCOME_TRY(on_frame(head, const_bytes{head_bytes}));
        found.bytes += frame_header_bytes + head.stored_bytes;
        ++found.frames;
    }
    return found;
}

} // namespace detail

// Tells `writer` what a part already holds. open() -> result<Input>: reads it from its beginning.
// `image_end`: one behind the last page of the image.
// Returns: what there is; frames is 0 if the file is worth nothing, and then nothing was told.
// Errors: of open and of reading, out_of_memory, unsupported (the hash).
template <class Open>
[[nodiscard]] result<part_progress> recall_part(
    Open&& open,
    part_place const& place,
    stream_about const& about,
    bool encrypted,
    std::uint64_t image_end,
    part_writer& writer
) noexcept {
    BOOST_OUTCOME_TRY(
        auto memory, create_large_buffer(frame_header_bytes + std::size_t{frame_stored_max})
    );
    auto frames = std::uint64_t{0};
    auto last_pages = std::uint64_t{0}; // the frame with the newest pages, by its sequence
    auto found = part_progress{};
    {
        BOOST_OUTCOME_TRY(auto input, open());
        BOOST_OUTCOME_TRY(
            found,
            detail::walk_frames(
                input,
                place,
                about,
                encrypted,
                writer.hash(),
                memory.all(),
                std::numeric_limits<std::uint64_t>::max(),
                [&](frame_header const& head, const_bytes) noexcept -> result<void> {
                    if (head.type == data_type_of(about.content)) last_pages = head.sequence;
                    return ok();
                }
            )
        );
    }
    frames = found.frames;
    if (!found.is_whole && found.end == image_end) frames = last_pages;
    if (last_pages == 0 || frames < 2) return part_progress{};
    BOOST_OUTCOME_TRY(writer.recall(place, about));
    BOOST_OUTCOME_TRY(auto input, open());
    BOOST_OUTCOME_TRY(
        found,
        detail::walk_frames(
            input,
            place,
            about,
            encrypted,
            writer.hash(),
            memory.all(),
            frames,
            [&](frame_header const& head, const_bytes raw) noexcept {
                return writer.seen(head, raw);
            }
        )
    );
    if (found.frames != frames) // it read otherwise a moment ago
        return error{.code = errc::cannot_resume, .file = file_kind::backup_part};
    return found;
}

} // namespace jetpp::inline v1
