// jetpp/backup/part_writer.hpp - makes the frames of a part, one after the other.
//
// Hands each frame whole to an output: anything with `result<void> write(const_bytes) noexcept`.
// Keeps the index of what it wrote and the hash over all frame headers, which the manifest names.
// Invariants
//   * ranges ascend; a part ends with its trailer, which alone has the flag last_of_part
// Threads  one owner.
// Owns     a buffer for one stored frame (encrypted: two), and at most 4096 index entries. Codec and
//          cipher outlive it.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/part.hpp>
#include <jetpp/backup/set_key.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/backup/stored_unit.hpp>
#include <jetpp/backup/unit_codec.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/large_buffer.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace jetpp::inline v1 {

template <class O>
concept frame_output = requires(O& out, const_bytes frame) {
    { out.write(frame) } noexcept -> std::same_as<result<void>>;
};

// What a manifest says of a part.
struct part_summary {
    std::uint64_t first{};
    std::uint64_t end{};
    std::uint64_t bytes{};
    std::uint64_t frames{};
    std::uint64_t raw_bytes{};
    std::uint64_t last_index{}; // offset; 0 = none
    sha256_digest headers{};
    friend bool operator==(part_summary const&, part_summary const&) noexcept = default;
};

// What the field key_slot says of frames under the set's data key: which is the only one.
inline constexpr std::uint16_t data_key_slot = 1;

class part_writer {
public:
    // Errors: out_of_memory.
    [[nodiscard]] static result<part_writer> create() noexcept {
        auto made = part_writer{};
        BOOST_OUTCOME_TRY(made.frame_, create_large_buffer(frame_header_bytes + frame_stored_max));
        if (!made.index_.reserve(8 + index_frames_max * index_entry::size))
            return error{.code = errc::out_of_memory};
        return made;
    }

    // What data frames are compressed with from the next part on; null: raw blocks.
    void use(frame_codec id, unit_codec* worker) noexcept {
        codec_ = worker == nullptr ? frame_codec::none : id;
        worker_ = worker;
    }

    // How units are hashed, from the next part on.
    void use(hash_id id) noexcept { hash_id_ = id; }
    [[nodiscard]] jetpp::hash_id hash() const noexcept { return hash_id_; }

    // `cipher`: of this part; all its frames but the first are sealed with it. Null: plain.
    // Errors (all three): those of the output and the codec; out_of_memory, unsupported (the hash).
    template <frame_output Output>
    [[nodiscard]] result<void> begin(
        Output& out,
        part_place const& place,
        stream_about const& about,
        part_cipher* cipher = nullptr
    ) noexcept {
        BOOST_OUTCOME_TRY(use_cipher(cipher));
        BOOST_OUTCOME_TRY(recall(place, about));
        return emit_about(out);
    }

    // Begins with a part that somebody else has written so far: seen() for each of its frames, then
    // go_on(), or, with its trailer, summary().
    // Errors: out_of_memory, unsupported (the hash).
    [[nodiscard]] result<void> recall(part_place const& place, stream_about const& about) noexcept {
        place_ = place;
        about_ = about;
        done_ = {};
        sequence_ = 0;
        raw_bytes_ = 0;
        BOOST_OUTCOME_TRY(headers_, sha256::create());
        reset_index();
        return ok();
    }
    // `raw`: the header as it is stored. Errors: out_of_memory, unsupported (the hash).
    [[nodiscard]] result<void> seen(frame_header const& head, const_bytes raw) noexcept {
        ensure(head.sequence == sequence_, "frames are recalled in their order");
        auto const offset = done_.bytes;
        ++sequence_;
        done_.bytes += frame_header_bytes + head.stored_bytes;
        BOOST_OUTCOME_TRY(headers_.add(raw));
        if (head.type == index_type_of(about_.content)) {
            done_.last_index = offset;
            reset_index();
        }
        if (head.type != data_type_of(about_.content)) return ok();
        if (raw_bytes_ == 0) done_.first = head.first;
        done_.end = head.end;
        raw_bytes_ += head.raw_bytes;
        return note_in_index(head, offset);
    }
    // A part under a salt of its own, from here on: another key, so that no nonce comes twice.
    // Errors: as begin().
    template <frame_output Output>
    [[nodiscard]] result<void> go_on(
        Output& out, part_salt const& salt, part_cipher* cipher = nullptr
    ) noexcept {
        BOOST_OUTCOME_TRY(use_cipher(cipher));
        about_.salt = salt;
        BOOST_OUTCOME_TRY(emit_about(out));
        return is_index_due() ? flush_index(out) : result<void>{ok()};
    }
    // Of a part that was recalled to its trailer. Errors: unsupported (the hash).
    [[nodiscard]] result<part_summary> summary() noexcept {
        done_.frames = sequence_;
        done_.raw_bytes = raw_bytes_;
        BOOST_OUTCOME_TRY(done_.headers, headers_.finish());
        return done_;
    }
    [[nodiscard]] std::uint64_t raw_bytes() const noexcept { return raw_bytes_; }

    // Requires: first is not below the end of what was added; raw is the image of [first, end).
    template <frame_output Output>
    [[nodiscard]] result<void> add(
        Output& out,
        std::uint64_t first,
        std::uint64_t end,
        presence_bits const& presence,
        const_bytes raw
    ) noexcept {
        auto stored = std::size_t{0};
        if (worker_ == nullptr) {
            stored = encode_raw_unit(raw, unit());
        } else {
            BOOST_OUTCOME_TRY(stored, worker_->encode(raw, unit()));
        }
        return put(out, first, end, presence, raw.size(), stored);
    }
    // The same of a unit that another worker of the same codec has made of the image.
    template <frame_output Output>
    [[nodiscard]] result<void> add_encoded(
        Output& out,
        std::uint64_t first,
        std::uint64_t end,
        presence_bits const& presence,
        std::size_t raw_bytes,
        const_bytes made
    ) noexcept {
        ensure(made.size() <= unit().size(), "a stored unit fits into a frame");
        std::memcpy(unit().data(), made.data(), made.size());
        return put(out, first, end, presence, raw_bytes, made.size());
    }

    // Writes index and trailer.
    template <frame_output Output>
    [[nodiscard]] result<part_summary> finish(Output& out) noexcept {
        if (index_.size() > 8) {
            BOOST_OUTCOME_TRY(flush_index(out));
        }
        part_trailer{sequence_ + 1, raw_bytes_, done_.last_index}.encode(
            unit().data() + wrapped_head_bytes
        );
        BOOST_OUTCOME_TRY(emit_wrapped(
            out,
            frame_type::trailer,
            part_trailer::size,
            done_.first,
            done_.end,
            frame_flag::critical | frame_flag::last_of_part
        ));
        return summary();
    }

private:
    part_writer() noexcept = default;

    // A data frame of the unit that was made.
    template <frame_output Output>
    [[nodiscard]] result<void> put(
        Output& out,
        std::uint64_t first,
        std::uint64_t end,
        presence_bits const& presence,
        std::size_t raw_bytes,
        std::size_t stored
    ) noexcept {
        ensure(first >= done_.end && end > first, "the ranges of a part ascend");
        ensure(raw_bytes == (end - first) * about_.unit_bytes(), "an image has the size it says");
        if (raw_bytes_ == 0) done_.first = first;
        done_.end = end;
        raw_bytes_ += raw_bytes;
        auto const offset = done_.bytes;
        auto const header = frame_header{
            .type = data_type_of(about_.content),
            .codec = codec_,
            .first = first,
            .end = end,
            .raw_bytes = static_cast<std::uint32_t>(raw_bytes),
            .stored_bytes = static_cast<std::uint32_t>(stored),
            .presence = presence,
        };
        BOOST_OUTCOME_TRY(emit(out, header));
        auto noted = header;
        noted.stored_bytes = static_cast<std::uint32_t>(done_.bytes - offset - frame_header_bytes);
        BOOST_OUTCOME_TRY(note_in_index(noted, offset));
        return is_index_due() ? flush_index(out) : result<void>{ok()};
    }

    // Where a unit is made: in the frame, or, to be sealed into it, beside.
    [[nodiscard]] bytes unit() noexcept { return cipher_ == nullptr ? stored() : plain_.all(); }
    [[nodiscard]] bytes stored() noexcept {
        return frame_.part(frame_header_bytes, frame_.size() - frame_header_bytes);
    }
    void reset_index() noexcept {
        index_.clear();
        auto previous = std::array<std::byte, 8>{};
        store_le<std::uint64_t>(previous.data(), done_.last_index);
        ensure(index_.append(previous), "the index was given its room at creation");
    }

    [[nodiscard]] bool is_index_due() const noexcept {
        return index_.size() == 8 + index_frames_max * index_entry::size;
    }
    [[nodiscard]] result<void> note_in_index(
        frame_header const& head, std::uint64_t offset
    ) noexcept {
        auto entry = std::array<std::byte, index_entry::size>{};
        index_entry{head.first, head.end, offset, head.stored_bytes, head.codec}.encode(entry.data()
        );
        if (!index_.append(entry)) return error{.code = errc::out_of_memory};
        return ok();
    }
    // Of the frames to come, but for stream headers. Null: they are plain.
    [[nodiscard]] result<void> use_cipher(part_cipher* cipher) noexcept {
        cipher_ = cipher;
        if (cipher != nullptr && plain_.size() == 0) {
            BOOST_OUTCOME_TRY(plain_, create_large_buffer(frame_stored_max));
        }
        return ok();
    }
    template <frame_output Output>
    [[nodiscard]] result<void> emit_about(Output& out) noexcept {
        about_.encode(unit().data() + wrapped_head_bytes);
        return emit_wrapped(out, frame_type::stream_header, stream_about::size, 0, 0);
    }

    template <frame_output Output>
    [[nodiscard]] result<void> flush_index(Output& out) noexcept {
        auto const offset = done_.bytes;
        std::memcpy(unit().data() + wrapped_head_bytes, index_.data(), index_.size());
        BOOST_OUTCOME_TRY(
            emit_wrapped(out, index_type_of(about_.content), index_.size(), done_.first, done_.end)
        );
        done_.last_index = offset;
        reset_index();
        return ok();
    }

    // The content already stands behind the wrapping's head.
    template <frame_output Output>
    [[nodiscard]] result<void> emit_wrapped(
        Output& out,
        frame_type type,
        std::size_t size,
        std::uint64_t first,
        std::uint64_t end,
        std::uint8_t flags = frame_flag::critical
    ) noexcept {
        auto const stored = encode_wrapped_unit({unit().data() + wrapped_head_bytes, size}, unit());
        return emit(
            out,
            {.type = type,
             .flags = flags,
             .codec = frame_codec::wrapped,
             .first = first,
             .end = end,
             .raw_bytes = static_cast<std::uint32_t>(size),
             .stored_bytes = static_cast<std::uint32_t>(stored)}
        );
    }

    template <frame_output Output>
    [[nodiscard]] result<void> emit(Output& out, frame_header header) noexcept {
        header.set = place_.set;
        header.part = place_.part;
        header.file = place_.file;
        header.sequence = sequence_++;
        header.hash_id = hash_id_;
        auto const plain = unit().first(header.stored_bytes);
        if (cipher_ != nullptr && header.type == frame_type::stream_header) {
            std::memcpy(stored().data(), plain.data(), plain.size()); // it holds the salt
        } else if (cipher_ != nullptr) {
            auto const size = plain.size() + sealed_unit_overhead;
            if (size > frame_stored_max) return error{.code = errc::limit_exceeded};
            header.flags |= frame_flag::encrypted;
            header.key_slot = data_key_slot;
            header.stored_bytes = static_cast<std::uint32_t>(size);
            BOOST_OUTCOME_TRY(cipher_->seal(header, plain, stored().first(size)));
        }
        BOOST_OUTCOME_TRY(header.hash, unit_hash(hash_id_, stored().first(header.stored_bytes)));
        auto const head = frame_.part(0, frame_header_bytes);
        header.encode(head);
        BOOST_OUTCOME_TRY(headers_.add(head));
        auto const whole = frame_header_bytes + header.stored_bytes;
        done_.bytes += whole;
        return out.write(frame_.all().first(whole));
    }

    aligned_buffer frame_;
    frame_codec codec_ = frame_codec::none;
    unit_codec* worker_ = nullptr;
    jetpp::hash_id hash_id_ = jetpp::hash_id::xxh3_128;
    part_cipher* cipher_ = nullptr;
    aligned_buffer plain_;
    array_list<std::byte> index_;
    sha256 headers_;
    part_place place_{};
    stream_about about_{};
    part_summary done_{};
    std::uint64_t sequence_ = 0;
    std::uint64_t raw_bytes_ = 0;
};

} // namespace jetpp::inline v1
