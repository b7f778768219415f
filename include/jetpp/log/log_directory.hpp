// jetpp/log/log_directory.hpp - which log segments a directory holds, and what their headers say.
//
// Names are listed at once, headers are read when asked for: an archive may hold thousands of
// segments of which a reader needs the last two. A header that cannot be believed is not an error
// here, only a segment that is not sound: a file whose name outran its header in a crash, or a
// spare under its last name, is legal wherever the chain does not lead.
// The chain (who follows whom) is replay's to walk: it depends on records.
// Threads  one owner.
// Owns     the list; the directory must outlive the calls it is passed to.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/log/segment.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace jetpp::inline v1 {

struct log_segment {
    std::uint64_t generation{}; // as the file name spells it
    std::uint64_t file_bytes{}; // of a segment that is read
    segment_header header{};    // of a sound segment
    errc header_error{};        // why it is not sound
    bool is_read = false;

    // Does the header stand as it was written, under its own name?
    [[nodiscard]] bool is_sound() const noexcept { return is_read && header_error == errc::none; }
};

template <any_environment Env>
class log_directory {
public:
    // Lists the segments, oldest first, and the spares. Reads no header.
    // Errors: those of storage, out_of_memory.
    [[nodiscard]] static result<log_directory> list(
        Env, typename Env::directory& directory
    ) noexcept {
        auto made = log_directory{};
        BOOST_OUTCOME_TRY(made.block_, aligned_buffer::create(segment_header_bytes));
        auto entries = array_list<directory_entry>{};
        if (auto done = directory.list(entries); !done)
            return done.error().with_file(file_kind::directory);
        for (auto const& one : entries) {
            if (one.kind != entry_kind::file) continue;
            auto stored = true;
            if (auto const generation = parse_segment_name(one.name.view()); generation)
                stored = made.segments_.push_back({.generation = *generation});
            else if (auto const number = parse_spare_name(one.name.view()); number)
                stored = made.spares_.push_back(*number);
            if (!stored) return error{.code = errc::out_of_memory};
        }
        std::sort(
            made.segments_.begin(),
            made.segments_.end(),
            [](log_segment const& a, log_segment const& b) { return a.generation < b.generation; }
        );
        return made;
    }

    // Reads the headers of all segments of `generation` and above.
    // Errors: those of storage. A header that is damaged, cut short or of another generation than
    // its name is not one.
    // Complexity: one read of 4096 bytes a segment, once.
    [[nodiscard]] result<void> read_from(
        typename Env::directory& directory, std::uint64_t generation
    ) noexcept {
        for (auto& one : segments_) {
            if (one.generation < generation) continue;
            BOOST_OUTCOME_TRY(read(directory, one));
        }
        return ok();
    }
    [[nodiscard]] result<void> read(
        typename Env::directory& directory, log_segment& segment
    ) noexcept {
        if (segment.is_read) return ok();
        auto opened =
            directory.open(segment_file_name(segment.generation), {.mode = open_mode::read_only});
        if (!opened && opened.error().code == errc::not_found) { // recycled since it was listed
            segment.is_read = true;
            segment.header_error = errc::not_found;
            return ok();
        }
        if (!opened) return opened.error().with_file(file_kind::log_segment);
        auto& file = opened.value();
        auto const size = file.size();
        if (!size) return size.error().with_file(file_kind::log_segment);
        auto const got = read_up_to(file, block_.all(), 0);
        if (!got) return got.error().with_file(file_kind::log_segment);
        segment.file_bytes = size.value();
        segment.is_read = true;
        segment.header_error = errc::none;
        if (got.value() < segment_header_bytes) {
            segment.header_error = errc::bad_header;
            return ok();
        }
        auto const decoded = segment_header::decode(block_.all());
        if (!decoded)
            segment.header_error = decoded.error().code;
        else if (decoded.value().generation != segment.generation)
            segment.header_error = errc::bad_header;
        else
            segment.header = decoded.value();
        return ok();
    }

    [[nodiscard]] std::span<log_segment const> segments() const noexcept {
        return {segments_.data(), segments_.size()};
    }
    [[nodiscard]] std::span<std::uint32_t const> spares() const noexcept {
        return {spares_.data(), spares_.size()};
    }
    // Null if there is none.
    [[nodiscard]] log_segment* find(std::uint64_t generation) noexcept {
        auto* const at = lower_bound(generation);
        return at != segments_.end() && at->generation == generation ? at : nullptr;
    }
    // The next older one. Null if there is none.
    [[nodiscard]] log_segment* below(std::uint64_t generation) noexcept {
        auto* const at = lower_bound(generation);
        return at != segments_.begin() ? at - 1 : nullptr;
    }
    // The sound segment, of those read, that cuts this one; the highest if there are several.
    [[nodiscard]] log_segment const* cutter_of(segment_header const& previous) const noexcept {
        for (auto i = segments_.size(); i-- > 0;) {
            auto const& one = segments_[i];
            if (one.generation <= previous.generation) break;
            if (one.is_sound() && one.header.cut &&
                one.header.previous_generation == previous.generation &&
                one.header.previous_nonce == previous.nonce)
                return &one;
        }
        return nullptr;
    }

private:
    log_directory() noexcept = default;

    [[nodiscard]] log_segment* lower_bound(std::uint64_t generation) noexcept {
        return std::lower_bound(
            segments_.begin(),
            segments_.end(),
            generation,
            [](log_segment const& one, std::uint64_t g) { return one.generation < g; }
        );
    }

    array_list<log_segment> segments_;
    array_list<std::uint32_t> spares_;
    aligned_buffer block_;
};

} // namespace jetpp::inline v1
