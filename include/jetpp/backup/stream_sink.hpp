// jetpp/backup/stream_sink.hpp - a whole set as one stream of frames: pipes, sockets, standard output.
//
//     frames of part 0 ... | frames of part 1 ... | ... | manifest frame | end of stream
//
// The frames are those of the parts, byte for byte; the manifest, which a directory holds as a file
// of its own, comes last as one frame: type `manifest`, part number one past the last, its unit the
// sealed text in a skippable frame. So `zstd -t` accepts a plain stream, and one that was cut has no
// manifest and is no set.
// A stream is handed over: nobody here knows what became of it. Such a set is a `copy`, which no
// header relies on, unless the caller vouches for the receiver (backup_options::trust_receiver).
// Reading one back: stream_source.hpp.
// Threads  as every sink: one caller at a time.
// Owns     nothing; the output outlives it.
// Source   backup rules R26, R45, R53 to R56.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/backup/stored_unit.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace jetpp::inline v1 {

// Takes all bytes it is given, in order, or fails: descriptor, asio_output, your own. May block;
// may throw.
template <class O>
concept stream_output = requires(O& out, const_bytes content) {
    { out.write(content) } -> std::same_as<result<void>>;
};

template <stream_output Output>
class stream_sink {
public:
    // Lifetime: the output outlives the sink.
    explicit stream_sink(Output& to) noexcept : to_{&to} {}

    [[nodiscard]] backup_receipt receipt() const noexcept { return backup_receipt::handed_over; }
    [[nodiscard]] result<void> begin(set_name const& name) noexcept {
        set_ = name.set;
        parts_ = 0;
        return ok();
    }
    [[nodiscard]] result<void> open_part(std::string_view) noexcept {
        ++parts_;
        return ok();
    }
    [[nodiscard]] result<void> write(const_bytes content) { return to_->write(content); }
    [[nodiscard]] result<void> close_part() noexcept { return ok(); }

    [[nodiscard]] result<backup_receipt> finish(const_bytes manifest) {
        if (manifest.size() > manifest_bytes_max)
            return error{.code = errc::limit_exceeded, .file = file_kind::manifest};
        auto frame =
            std::vector<std::byte>(frame_header_bytes + wrapped_head_bytes + manifest.size());
        auto const head = bytes{frame}.first(frame_header_bytes);
        auto const unit = bytes{frame}.subspan(frame_header_bytes);
        (void)encode_wrapped_unit(manifest, unit);
        frame_header{
            .type = frame_type::manifest,
            .flags = frame_flag::critical | frame_flag::last_of_part,
            .set = set_,
            .part = parts_,
            .codec = frame_codec::wrapped,
            .raw_bytes = static_cast<std::uint32_t>(manifest.size()),
            .stored_bytes = static_cast<std::uint32_t>(unit.size()),
            .hash = unit_hash(unit),
        }
            .encode(head);
        BOOST_OUTCOME_TRY(to_->write(frame));
        return receipt();
    }
    // What was sent cannot be called back; it lacks its manifest, and no reader takes it for a set.
    void abandon() noexcept {}

private:
    Output* to_;
    uuid set_{};
    std::uint32_t parts_ = 0;
};

} // namespace jetpp::inline v1
