// jetpp/backup/set_key.hpp - the data key of one encrypted set, and what is derived from it.
//
//     data key (random, one a set; only key slots hold it, wrapped)
//       +-- HKDF(salt of the part, "jetpp part 1" | set | part) --> part_cipher: its frames
//       +-- HKDF(-, "jetpp manifest 1" | set)                  --> the manifest's HMAC
//
// A frame's nonce is its sequence, and whether it is the last of its part; its associated data the
// frame header with hash and crc as zero. So no frame can be moved, left out at the end, or taken
// for one of another part, and a part that is written anew has a new salt and shares no key with
// what it replaces.
// Threads  a set_key is a constant once made; a part_cipher has one user at a time.
// Owns     secrets, which it wipes.
// Source   backup rules R59, R60.
#pragma once

#include <jetpp/backup/aead.hpp>
#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/secret.hpp>
#include <jetpp/backup/stored_unit.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

using part_salt = std::array<std::byte, 16>;

// What encryption adds to a stored unit.
inline constexpr std::size_t sealed_unit_overhead = wrapped_head_bytes + aead_tag_bytes;

// The frames of one part, under the key of that part.
class part_cipher {
public:
    part_cipher(aead_kind const& kind, std::unique_ptr<aead> worker) noexcept
        : kind_{&kind}, worker_{std::move(worker)} {}

    // `plain` sealed and wrapped, as the frame stores it. `head` is complete but for hash and crc.
    // Requires: into.size() == plain.size() + sealed_unit_overhead == head.stored_bytes.
    [[nodiscard]] result<void> seal(
        frame_header const& head, const_bytes plain, bytes into
    ) noexcept {
        ensure(into.size() == plain.size() + sealed_unit_overhead, "a sealed unit has its size");
        store_le<std::uint32_t>(into.data(), detail::wrapped_magic);
        store_le<std::uint32_t>(
            into.data() + 4, static_cast<std::uint32_t>(into.size() - wrapped_head_bytes)
        );
        auto const bound = bound_to(head);
        return worker_->seal(nonce(head), bound, plain, into.subspan(wrapped_head_bytes));
    }
    // Returns: the plain unit, in `into`. Errors: authentication_failed, set_damaged (no sealed
    // unit). Requires: into holds head.stored_bytes.
    [[nodiscard]] result<const_bytes> open(
        frame_header const& head, const_bytes stored, bytes into
    ) noexcept {
        auto const sealed = decode_wrapped_unit(stored);
        if (sealed.size() < aead_tag_bytes)
            return frame_error(errc::set_damaged, head.part, head.sequence);
        auto const plain = into.first(sealed.size() - aead_tag_bytes);
        auto const bound = bound_to(head);
        if (!worker_->open(nonce(head), bound, sealed, plain))
            return frame_error(errc::authentication_failed, head.part, head.sequence);
        return const_bytes{plain};
    }

private:
    [[nodiscard]] static std::array<std::byte, frame_header_bytes> bound_to(frame_header head
    ) noexcept {
        auto block = std::array<std::byte, frame_header_bytes>{};
        head.hash = {};
        head.encode(block);
        store_le<std::uint32_t>(block.data() + detail::frame_at::crc, 0);
        return block;
    }
    [[nodiscard]] const_bytes nonce(frame_header const& head) noexcept {
        nonce_.fill(std::byte{0});
        store_le<std::uint64_t>(nonce_.data(), head.sequence);
        nonce_[8] = static_cast<std::byte>(head.is_last() ? 1 : 0);
        return const_bytes{nonce_}.first(kind_->nonce_bytes);
    }

    aead_kind const* kind_;
    std::unique_ptr<aead> worker_;
    std::array<std::byte, aead_nonce_max> nonce_{};
};

class set_key {
public:
    set_key(uuid const& set, aead_kind const& kind, secret_key const& data, bool symmetric) noexcept
        : set_{set}, kind_{&kind}, data_{data}, symmetric_{symmetric} {}

    [[nodiscard]] aead_kind const& kind() const noexcept { return *kind_; }
    [[nodiscard]] uuid const& set() const noexcept { return set_; }
    // Came from a key that only who may write such sets has: then the HMAC says who wrote this one.
    [[nodiscard]] bool proves_author() const noexcept { return symmetric_; }

    // Errors: unsupported, out_of_memory.
    [[nodiscard]] result<std::unique_ptr<part_cipher>> part(
        std::uint32_t number, part_salt const& salt
    ) const noexcept {
        auto key = secret_key{};
        auto info = labelled("jetpp part 1");
        store_le<std::uint32_t>(info.data() + label_bytes + 16, number);
        BOOST_OUTCOME_TRY(hkdf_sha256(data_.all(), salt, info, key.all()));
        BOOST_OUTCOME_TRY(auto worker, kind_->create(key));
        auto made =
            std::unique_ptr<part_cipher>{new (std::nothrow) part_cipher{*kind_, std::move(worker)}};
        if (made == nullptr) return error{.code = errc::out_of_memory};
        return made;
    }

    // Over the digest of the manifest's text, its field `hmac` being null.
    [[nodiscard]] result<sha256_digest> manifest_mac(sha256_digest const& text) const noexcept {
        auto key = secret_key{};
        BOOST_OUTCOME_TRY(
            hkdf_sha256(data_.all(), part_salt{}, labelled("jetpp manifest 1"), key.all())
        );
        return hmac_sha256(key.all(), text);
    }

private:
    static constexpr std::size_t label_bytes = 16;
    [[nodiscard]] std::array<std::byte, label_bytes + 20> labelled(std::string_view label
    ) const noexcept {
        auto info = std::array<std::byte, label_bytes + 20>{};
        std::memcpy(info.data(), label.data(), label.size());
        std::memcpy(info.data() + label_bytes, set_.raw.data(), set_.raw.size());
        return info;
    }

    uuid set_;
    aead_kind const* kind_;
    secret_key data_;
    bool symmetric_;
};

} // namespace jetpp::inline v1
