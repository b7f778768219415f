// jetpp/backup/set_writer.hpp - the sink side of a backup: chunks become parts, parts become a set.
//
//     begin(name) -> write(chunk) ... -> publish(manifest)      or, at any time, abandon()
//
// Threads  one caller at a time; every call may block, as the sink does.
// Owns     the buffer of one frame; the sink outlives it.
#pragma once

#include <jetpp/backup/backup_chunk.hpp>
#include <jetpp/backup/key_ring.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/part_scan.hpp>
#include <jetpp/backup/part_writer.hpp>
#include <jetpp/backup/sealed_text.hpp>
#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/backup/unit_codec.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// part-0000-main.jbs
[[nodiscard]] inline std::string part_file_name(std::uint32_t number, std::string_view file) {
    auto digits = std::to_string(number);
    if (digits.size() < 4) digits.insert(0, 4 - digits.size(), '0');
    return "part-" + digits + "-" + std::string{file} + ".jbs";
}

template <backup_sink Sink>
class set_writer {
public:
    // Errors: out_of_memory, unsupported (the codec has no such level, the hash), invalid_argument (a
    // cipher without keys).
    [[nodiscard]] static result<set_writer> create(
        Sink& sink,
        codec_choice const& codec = {},
        encryption_choice const& encryption = {},
        hash_id hash = hash_id::xxh3_128
    ) noexcept {
        if (encryption.cipher != nullptr && encryption.keys == nullptr)
            return error{.code = errc::invalid_argument};
        BOOST_OUTCOME_TRY(auto frames, part_writer::create());
        auto made = set_writer{sink, std::move(frames)};
        made.frames_.use(hash);
        made.codec_ = codec;
        made.encryption_ = encryption;
        BOOST_OUTCOME_TRY(made.worker_, codec.create());
        if (codec.kind != nullptr) made.frames_.use(codec.kind->id, made.worker_.get());
        return made;
    }

    [[nodiscard]] backup_receipt promised() noexcept {
        auto const said = guarded([&]() -> result<backup_receipt> { return sink_->receipt(); });
        return said ? said.assume_value() : backup_receipt::discarded;
    }

    // Errors (all): those of the sink; what it throws: io, or out_of_memory; those of key_ring::make.
    [[nodiscard]] result<void> begin(set_name const& name) noexcept {
        set_ = name.set;
        return guarded([&]() -> result<void> {
            if (encryption_.cipher != nullptr) {
                BOOST_OUTCOME_TRY(key_, encryption_.keys->make(set_, *encryption_.cipher));
            }
            begun_ = true;
            return sink_->begin(name);
        });
    }

    // What an interrupted run wrote, database after database.
    struct resumed_at {
        std::size_t file = 0;    // the first that is not whole
        std::uint64_t page = 0;  // to go on with
        std::uint64_t bytes = 0; // of images that are there
    };
    // Instead of begin(). `of(i)`: name, part_place and stream_about of the i-th database, and one
    // behind the last page of its image. The tail of a torn part is cut, whatever lies behind it
    // goes, and the part goes on under a new salt.
    // Errors: cannot_resume, already_exists (published); wrong_key and others of the key ring.
    struct resumed_part {
        std::string_view name;
        stream_about about;
        std::uint64_t image_end{};
    };
    template <class Of>
        requires resumable_sink<Sink>
    [[nodiscard]] result<resumed_at> resume(
        set_name const& name,
        std::vector<manifest_key_slot> const& slots,
        std::size_t count,
        Of&& of
    ) noexcept {
        set_ = name.set;
        return guarded([&]() -> result<resumed_at> {
            if (encryption_.cipher != nullptr) {
                BOOST_OUTCOME_TRY(
                    key_, encryption_.keys->make_again(set_, *encryption_.cipher, slots)
                );
            }
            BOOST_OUTCOME_TRY(sink_->resume(name));
            begun_ = true;
            auto found = resumed_at{};
            auto progress = part_progress{.is_whole = true};
            for (; found.file < count; ++found.file) {
                auto const one = of(found.file);
                BOOST_OUTCOME_TRY(progress, recall(found.file, one));
                found.bytes += frames_.raw_bytes();
                if (!progress.is_whole) break;
                auto& part = add_part(one.name, one.about);
                BOOST_OUTCOME_TRY(part.summary, frames_.summary());
                stored_bytes_ += part.summary.bytes;
                BOOST_OUTCOME_TRY(sink_->keep_part(part.name, progress.bytes));
            }
            image_bytes_ = found.bytes;
            if (progress.is_whole || progress.frames == 0) {
                BOOST_OUTCOME_TRY(sink_->remove_others());
                return found;
            }
            found.page = progress.end;
            auto const one = of(found.file);
            auto& part = add_part(one.name, one.about);
            BOOST_OUTCOME_TRY(sink_->reopen_part(part.name, progress.bytes));
            BOOST_OUTCOME_TRY(sink_->remove_others());
            auto about = one.about;
            BOOST_OUTCOME_TRY(salt(part.number, about));
            auto out = output{sink_};
            BOOST_OUTCOME_TRY(frames_.go_on(out, about.salt, cipher_.get()));
            return found;
        });
    }
    // Instead of abandon(): what is there stays for another run.
    void interrupt() noexcept {
        if constexpr (resumable_sink<Sink>) {
            if (!std::exchange(begun_, false)) return;
            (void)guarded([&]() -> result<void> {
                sink_->interrupt();
                return ok();
            });
        }
    }
    [[nodiscard]] std::vector<manifest_key_slot> const& key_slots() const noexcept {
        return key_.slots;
    }

    // `file`: as the part's name shall call it.
    [[nodiscard]] result<void> write(backup_chunk const& chunk, std::string_view file) noexcept {
        return write_frames(chunk, file, [&](auto& out, chunk_run const& run) noexcept {
            return frames_.add(out, run.first, run.end, run.presence, chunk.raw(run));
        });
    }
    // The same of a chunk whose runs were encoded; unit() noexcept -> result<const_bytes>: what was
    // made of the next of them.
    template <class Unit>
    [[nodiscard]] result<void> write_encoded(
        backup_chunk const& chunk, std::string_view file, Unit&& unit
    ) noexcept {
        return write_frames(
            chunk,
            file,
            [&](auto& out, chunk_run const& run) noexcept -> result<void> {
                BOOST_OUTCOME_TRY(auto const made, unit());
                return frames_.add_encoded(out, run.first, run.end, run.presence, run.bytes, made);
            }
        );
    }

    // Of a sink that proves: every part is written and closed; the manifest gets the proof.
    // Errors: those of the proof: the set is not what was written, or does not restore.
    [[nodiscard]] result<void> prove(
        backup_manifest& manifest, drill_watch const& on_read
    ) noexcept {
        if constexpr (proving_sink<Sink>) {
            return guarded([&]() -> result<void> {
                BOOST_OUTCOME_TRY(complete(manifest));
                auto access = set_access{};
                access.codecs.kinds.front() = codec_.kind;
                access.key = key_.key;
                BOOST_OUTCOME_TRY(manifest.drill, sink_->prove(manifest, access, on_read));
                return ok();
            });
        }
        return ok();
    }

    struct published {
        backup_receipt receipt{};
        sha256_digest hash{}; // of the manifest
    };
    // `manifest` lacks its parts only, and how they are stored.
    [[nodiscard]] result<published> publish(backup_manifest& manifest) noexcept {
        return guarded([&]() -> result<published> {
            BOOST_OUTCOME_TRY(complete(manifest));
            auto const json = manifest.to_json();
            BOOST_OUTCOME_TRY(auto const hash, sha256::of(as_bytes(json)));
            BOOST_OUTCOME_TRY(auto const sealed, seal_text(json));
            BOOST_OUTCOME_TRY(auto const receipt, sink_->finish(as_bytes(sealed)));
            begun_ = false;
            return published{receipt, hash};
        });
    }

    // Nothing of an unpublished set stays.
    void abandon() noexcept {
        if (!std::exchange(begun_, false)) return;
        (void)guarded([&]() -> result<void> {
            sink_->abandon();
            return ok();
        });
    }

    [[nodiscard]] std::uint64_t image_bytes() const noexcept { return image_bytes_; }
    [[nodiscard]] std::uint64_t stored_bytes() const noexcept { return stored_bytes_; }

private:
    // add(output&, chunk_run const&): one frame of the chunk.
    template <class Add>
    [[nodiscard]] result<void> write_frames(
        backup_chunk const& chunk, std::string_view file, Add&& add
    ) noexcept {
        return guarded([&]() -> result<void> {
            auto out = output{sink_};
            if (chunk.step.opens_part) {
                auto& part = add_part(file, chunk.about);
                BOOST_OUTCOME_TRY(sink_->open_part(part.name));
                auto about = chunk.about;
                BOOST_OUTCOME_TRY(salt(part.number, about));
                BOOST_OUTCOME_TRY(frames_.begin(
                    out,
                    {.set = set_, .part = part.number, .file = chunk.step.file},
                    about,
                    cipher_.get()
                ));
            }
            for (auto const& run : chunk.all()) {
                BOOST_OUTCOME_TRY(add(out, run));
                image_bytes_ += run.bytes;
            }
            if (chunk.step.closes_part) {
                BOOST_OUTCOME_TRY(parts_.back().summary, frames_.finish(out));
                stored_bytes_ += parts_.back().summary.bytes;
                BOOST_OUTCOME_TRY(sink_->close_part());
            }
            return ok();
        });
    }

    manifest_part& add_part(std::string_view file, stream_about const& about) {
        auto& part = parts_.emplace_back();
        part.number = static_cast<std::uint32_t>(parts_.size() - 1);
        part.name = part_file_name(part.number, file);
        part.content = about.content;
        part.database = about.database;
        if (part.content == part_content::log) part.timeline = about.timeline;
        return part;
    }
    // Of an encrypted set: a new one, and the cipher that belongs to it.
    [[nodiscard]] result<void> salt(std::uint32_t part, stream_about& about) {
        if (key_.key == nullptr) return ok();
        BOOST_OUTCOME_TRY(fill_random(about.salt));
        BOOST_OUTCOME_TRY(cipher_, key_.key->part(part, about.salt));
        return ok();
    }
    // What the i-th database's part has; no frames if there is none.
    [[nodiscard]] result<part_progress> recall(std::size_t i, resumed_part const& one) {
        auto const number = static_cast<std::uint32_t>(i);
        auto const name = part_file_name(number, one.name);
        auto found = recall_part(
            [&] { return sink_->read_part(name); },
            {.set = set_, .part = number, .file = static_cast<std::uint16_t>(i)},
            one.about,
            key_.key != nullptr,
            one.image_end,
            frames_
        );
        if (!found && found.error().code == errc::not_found) found = part_progress{};
        if (found && found.assume_value().frames == 0) {
            BOOST_OUTCOME_TRY(frames_.recall({}, one.about)); // it has nothing
        }
        return found;
    }
    // What the writer alone knows of the set.
    [[nodiscard]] result<void> complete(backup_manifest& manifest) {
        manifest.parts = parts_;
        manifest.codec = codec_.text();
        manifest.hash = frames_.hash();
        if (key_.key == nullptr) return ok();
        manifest.cipher = key_.key->kind().name;
        manifest.key_slots = key_.slots;
        manifest.hmac.reset(); // it is over the text without it
        BOOST_OUTCOME_TRY(auto const text, sha256::of(as_bytes(manifest.to_json())));
        BOOST_OUTCOME_TRY(manifest.hmac, key_.key->manifest_mac(text));
        return ok();
    }

    // Frames go straight on; a throwing sink ends here, as part_writer knows no exceptions.
    struct output {
        Sink* sink;
        [[nodiscard]] result<void> write(const_bytes frame) noexcept {
            return guarded([&] { return sink->write(frame); });
        }
    };

    set_writer(Sink& sink, part_writer frames) noexcept
        : sink_{&sink}, frames_{std::move(frames)} {}

    Sink* sink_;
    codec_choice codec_{};
    std::unique_ptr<unit_codec> worker_;
    encryption_choice encryption_{};
    made_set_key key_{};
    std::unique_ptr<part_cipher> cipher_; // of the open part
    part_writer frames_;
    uuid set_{};
    std::vector<manifest_part> parts_;
    std::uint64_t image_bytes_ = 0;
    std::uint64_t stored_bytes_ = 0;
    bool begun_ = false;
};

} // namespace jetpp::inline v1
