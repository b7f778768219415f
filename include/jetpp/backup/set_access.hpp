// jetpp/backup/set_access.hpp - what a reader of sets brings along: codecs it was built with, and keys.
//
// A value that travels from the options of restore and verify down to the reader of each part. Each
// encrypted set has a data key of its own: for_set() takes it out of the set's manifest, once, and
// whoever reads parts of that set hands on what for_set() returned.
// Threads  a value. The ring outlives it.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/key_ring.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/set_key.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/backup/unit_codec.hpp>
#include <jetpp/core/result.hpp>

#include <memory>
#include <string_view>

namespace jetpp::inline v1 {

struct set_access {
    codec_list codecs{};
    key_ring const* keys = nullptr;
    hash_id hash = hash_id::xxh3_128;     // of the one set that is read, as its key
    std::shared_ptr<set_key const> key{}; // null: it is plain

    // Could frames of this codec be read? `codec`: as a manifest says it.
    [[nodiscard]] bool can_decode(std::string_view codec) const noexcept {
        auto const name = codec_name(codec);
        return name == "none" || (!name.empty() && codecs.find(name) != nullptr);
    }

    // Errors: unsupported (codec or cipher), wrong_key (also: no keys were brought),
    // authentication_failed, limit_exceeded, out_of_memory.
    [[nodiscard]] result<set_access> for_set(backup_manifest const& manifest) const noexcept {
        auto const here = [](errc code) {
            return error{.code = code, .file = file_kind::manifest};
        };
        if (!can_decode(manifest.codec)) return here(errc::unsupported);
        auto made = *this;
        made.hash = manifest.hash;
        if (manifest.is_encrypted() && key != nullptr && key->set() == manifest.set) return made;
        made.key.reset();
        if (!manifest.is_encrypted()) return made;
        if (keys == nullptr) return here(errc::wrong_key);
        auto unlocked = guarded([&] { return keys->unlock(manifest); });
        if (!unlocked) return unlocked.error().with_file(file_kind::manifest);
        made.key = std::move(unlocked).assume_value();
        return made;
    }
};

} // namespace jetpp::inline v1
