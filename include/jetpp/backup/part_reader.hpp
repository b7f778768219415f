// jetpp/backup/part_reader.hpp - reads the frames of a part and believes none of them.
//
// Every byte of a part is under a check: headers by their crc, units by the hash in their header
// and by the checksum inside, order by set, part and sequence, index and trailer by comparing with
// what was read. What next() returned was all of that.
// A source that has several copies of the part (set_copies.hpp) is asked again for each frame that
// is not: nothing is kept of a frame before all of it has passed.
// Errors name part and frame: set_damaged (a byte is wrong, or the part ends early), set_mixed
// (sound frames of another set, part or place), unsupported, limit_exceeded, wrong_key (encrypted,
// and no key was brought), authentication_failed, and the source's.
// Threads  one owner.
// Owns     two buffers of 1 MiB (encrypted: three); the source must outlive it.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/part.hpp>
#include <jetpp/backup/part_writer.hpp>
#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/backup/stored_unit.hpp>
#include <jetpp/backup/unit_decoder.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/large_buffer.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace jetpp::inline v1 {

// Bytes in order. Returns: how many were read; 0 only at the end.
template <class S>
concept byte_source = requires(S& source, bytes into) {
    { source.read(into) } noexcept -> std::same_as<result<std::size_t>>;
};

// One that has copies. turn(): the frame that begins at that byte was refused; true: read on, there
// is another. settle(): the frame before that byte has passed.
template <class S>
concept copied_source = byte_source<S> && requires(S& source, std::uint64_t n, error const& why) {
    { source.turn(n, n, why) } noexcept -> std::same_as<result<bool>>;
    { source.settle(n) } noexcept -> std::same_as<void>;
};

// A stretch of the image, as it was given to the writer. Views live until the next call.
struct part_run {
    std::uint64_t first{};
    std::uint64_t end{};
    presence_bits presence{};
    const_bytes raw{};
};

template <byte_source Source>
class part_reader {
public:
    // Reads the stream header. Errors: as above, out_of_memory.
    [[nodiscard]] static result<part_reader> open(
        Source& source, part_place const& expected, set_access const& access = {}
    ) noexcept {
        auto made = part_reader{source, expected};
        made.access_ = access;
        BOOST_OUTCOME_TRY(made.unit_, create_large_buffer(frame_stored_max));
        BOOST_OUTCOME_TRY(made.raw_, create_large_buffer(frame_raw_max));
        BOOST_OUTCOME_TRY(made.headers_, sha256::create());
        BOOST_OUTCOME_TRY(made.from_any_copy([&] { return made.take_stream_header(); }));
        made.reset_index();
        return made;
    }

    [[nodiscard]] stream_about const& about() const noexcept { return about_; }

    // The next run; nothing at the end of the part, which has then proved whole.
    [[nodiscard]] result<std::optional<part_run>> next() noexcept {
        auto run = std::optional<part_run>{};
        while (!run && !at_end_) {
            BOOST_OUTCOME_TRY(from_any_copy([&] { return take_frame(run); }));
        }
        return run;
    }

    // Requires: next() came to the end. For comparison with the manifest.
    [[nodiscard]] part_summary const& summary() const noexcept { return done_; }
    // Of the part, up to now.
    [[nodiscard]] std::uint64_t read_bytes() const noexcept { return done_.bytes; }
    // Frames read so far.
    [[nodiscard]] std::uint64_t sequence() const noexcept { return sequence_; }

private:
    part_reader(Source& source, part_place const& expected) noexcept
        : source_{&source}, place_{expected} {}

    // Of the frame that was read last.
    [[nodiscard]] error refuse(errc code) const noexcept {
        return frame_error(code, place_.part, sequence_ == 0 ? 0 : sequence_ - 1);
    }
    // Of the frame that was read last; decrypted, if it was sealed.
    [[nodiscard]] const_bytes unit() const noexcept { return current_; }
    // Fills all of `into`; a source that ends before is a part cut short.
    [[nodiscard]] result<void> fill(bytes into) noexcept {
        while (!into.empty()) {
            BOOST_OUTCOME_TRY(auto const n, source_->read(into));
            if (n == 0) return frame_error(errc::set_damaged, place_.part, frame_);
            into = into.subspan(n);
        }
        return ok();
    }

    // take() reads one frame and changes nothing before it has passed. Errors: of the first copy.
    template <class Take>
    [[nodiscard]] result<void> from_any_copy(Take&& take) noexcept {
        auto const begun = sequence_;
        auto first = std::optional<error>{};
        for (;;) {
            auto const taken = take();
            if (taken) {
                if constexpr (copied_source<Source>) source_->settle(done_.bytes);
                return ok();
            }
            if (!first) first = taken.error();
            BOOST_OUTCOME_TRY(auto const again, turn(begun, taken.error()));
            if (!again) return *first;
            sequence_ = begun;
        }
    }
    [[nodiscard]] result<bool> turn(std::uint64_t frame, error const& why) noexcept {
        if constexpr (copied_source<Source>) {
            // What is no fault of the bytes is none of one copy.
            if (why.code == errc::out_of_memory || why.code == errc::wrong_key) return false;
            return source_->turn(frame, done_.bytes, why);
        }
        return false;
    }

    [[nodiscard]] result<void> take_stream_header() noexcept {
        BOOST_OUTCOME_TRY(auto const head, read_frame());
        if (head.type != frame_type::stream_header) return refuse(errc::set_damaged);
        return take_about(head);
    }
    // The first stream header, or one where the writer was interrupted and went on: that says the
    // same but for the salt, and what follows is under the key of it.
    [[nodiscard]] result<void> take_about(frame_header const& head) noexcept {
        auto said = stream_about{};
        auto const content = decode_wrapped_unit(unit());
        if (head.raw_bytes != content.size() || !said.decode(content))
            return refuse(errc::set_damaged);
        auto same = said;
        same.salt = about_.salt;
        auto const salted_anew = access_.key == nullptr || said.salt != about_.salt;
        if (sequence_ > 1 && (same != about_ || !salted_anew)) return refuse(errc::set_damaged);
        auto cipher = std::unique_ptr<part_cipher>{};
        if (access_.key != nullptr) {
            BOOST_OUTCOME_TRY(cipher, access_.key->part(place_.part, said.salt));
        }
        BOOST_OUTCOME_TRY(accept(head));
        about_ = said;
        cipher_ = std::move(cipher);
        return ok();
    }
    [[nodiscard]] result<void> take_frame(std::optional<part_run>& run) noexcept {
        auto const offset = done_.bytes;
        BOOST_OUTCOME_TRY(auto const head, read_frame());
        if (head.is_last() != (head.type == frame_type::trailer)) return refuse(errc::set_damaged);
        if (head.type == data_type_of(about_.content)) return take_run(head, offset, run);
        if (head.type == index_type_of(about_.content)) return check_index(head, offset);
        if (head.type == frame_type::trailer) return check_trailer(head);
        if (head.type == frame_type::stream_header) return take_about(head);
        if (head.is_critical()) return refuse(errc::set_damaged); // it has no place here
        return accept(head);
    }
    // The frame that was read last has passed.
    [[nodiscard]] result<void> accept(frame_header const& head) noexcept {
        BOOST_OUTCOME_TRY(headers_.add(head_bytes_));
        done_.bytes += frame_header_bytes + head.stored_bytes;
        return ok();
    }

    // One frame, its unit in unit_, proved to be the one that must come here.
    [[nodiscard]] result<frame_header> read_frame() noexcept {
        frame_ = sequence_;
        BOOST_OUTCOME_TRY(fill(head_bytes_));
        auto const decoded = frame_header::decode(head_bytes_);
        if (!decoded) return frame_error(decoded.error().code, place_.part, sequence_);
        auto const& head = decoded.assume_value();
        ++sequence_;
        if (head.set != place_.set || head.part != place_.part || head.file != place_.file ||
            head.sequence != sequence_ - 1)
            return refuse(errc::set_mixed);
        auto const sealed = (head.flags & frame_flag::encrypted) != 0;
        if (sealed && access_.key == nullptr) return refuse(errc::wrong_key);
        // Of an encrypted set all is sealed but what names the salt: nothing else passes for it.
        auto const names_salt = sequence_ == 1 || head.type == frame_type::stream_header;
        if (sealed != (access_.key != nullptr && !names_salt))
            return refuse(sealed ? errc::set_damaged : errc::authentication_failed);
        if (head.key_slot != (sealed ? data_key_slot : 0)) return refuse(errc::unsupported);
        // The one type that may be longer than the buffer; parts hold none.
        if (head.type == frame_type::manifest) return refuse(errc::set_damaged);
        BOOST_OUTCOME_TRY(fill(unit_.all().first(head.stored_bytes)));
        current_ = unit_.all().first(head.stored_bytes);
        BOOST_OUTCOME_TRY(check_unit_hash(head, access_.hash, current_));
        if (sealed) {
            if (plain_.size() == 0) {
                BOOST_OUTCOME_TRY(plain_, create_large_buffer(frame_stored_max));
            }
            BOOST_OUTCOME_TRY(current_, cipher_->open(head, current_, plain_.all()));
        }
        return head;
    }

    [[nodiscard]] result<void> take_run(
        frame_header const& head, std::uint64_t offset, std::optional<part_run>& run
    ) noexcept {
        auto const ascends = raw_bytes_ == 0 || head.first >= done_.end;
        if (!ascends || head.raw_bytes != (head.end - head.first) * about_.unit_bytes())
            return refuse(errc::set_damaged);
        if (index_.size() >= 8 + index_frames_max * index_entry::size)
            return refuse(errc::set_damaged); // an index was due
        auto const raw = raw_.all().first(head.raw_bytes);
        BOOST_OUTCOME_TRY(decode(head, raw));
        BOOST_OUTCOME_TRY(accept(head));
        if (raw_bytes_ == 0) done_.first = head.first;
        done_.end = head.end;
        raw_bytes_ += raw.size();
        auto entry = std::array<std::byte, index_entry::size>{};
        index_entry{head.first, head.end, offset, head.stored_bytes, head.codec}.encode(entry.data()
        );
        if (!index_.append(entry)) return error{.code = errc::out_of_memory};
        run = part_run{head.first, head.end, head.presence, raw};
        return ok();
    }

    // The content of a data frame. Whatever the unit says, no more than raw.size() is written.
    [[nodiscard]] result<void> decode(frame_header const& head, bytes raw) noexcept {
        auto const good = decoder_.decode(head.codec, unit(), raw, access_.codecs);
        if (!good) return refuse(good.error().code);
        return good.assume_value() ? result<void>{ok()} : refuse(errc::set_damaged);
    }

    void reset_index() noexcept {
        index_.clear();
        auto previous = std::array<std::byte, 8>{};
        store_le<std::uint64_t>(previous.data(), done_.last_index);
        index_kept_ = index_.append(previous);
    }
    [[nodiscard]] result<void> check_index(
        frame_header const& head, std::uint64_t offset
    ) noexcept {
        if (!index_kept_) return error{.code = errc::out_of_memory};
        auto const content = decode_wrapped_unit(unit());
        if (head.codec != frame_codec::wrapped || index_.size() == 8 ||
            head.raw_bytes != index_.size() || head.first != done_.first || head.end != done_.end ||
            !std::ranges::equal(content, std::span{index_.data(), index_.size()}))
            return refuse(errc::set_damaged);
        BOOST_OUTCOME_TRY(accept(head));
        done_.last_index = offset;
        reset_index();
        return ok();
    }
    [[nodiscard]] result<void> check_trailer(frame_header const& head) noexcept {
        auto expected = std::array<std::byte, part_trailer::size>{};
        part_trailer{sequence_, raw_bytes_, done_.last_index}.encode(expected.data());
        auto const content = decode_wrapped_unit(unit());
        if (head.codec != frame_codec::wrapped || index_.size() != 8 ||
            head.raw_bytes != part_trailer::size || head.first != done_.first ||
            head.end != done_.end || !std::ranges::equal(content, expected))
            return refuse(errc::set_damaged);
        auto more = std::array<std::byte, 1>{};
        BOOST_OUTCOME_TRY(auto const behind, source_->read(more));
        if (behind != 0) return refuse(errc::set_damaged);
        BOOST_OUTCOME_TRY(accept(head));
        done_.frames = sequence_;
        done_.raw_bytes = raw_bytes_;
        BOOST_OUTCOME_TRY(done_.headers, headers_.finish());
        at_end_ = true;
        return ok();
    }

    Source* source_;
    part_place place_;
    set_access access_{};
    unit_decoder decoder_;
    stream_about about_{};
    std::array<std::byte, frame_header_bytes> head_bytes_{}; // of the frame that was read last
    aligned_buffer unit_;
    aligned_buffer raw_;
    aligned_buffer plain_; // of an encrypted set
    const_bytes current_{};
    std::unique_ptr<part_cipher> cipher_;
    array_list<std::byte> index_;
    bool index_kept_ = true;
    sha256 headers_;
    part_summary done_{};
    std::uint64_t sequence_ = 0;
    std::uint64_t frame_ = 0; // that is being read
    std::uint64_t raw_bytes_ = 0;
    bool at_end_ = false;
};

} // namespace jetpp::inline v1
