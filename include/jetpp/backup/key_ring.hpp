// jetpp/backup/key_ring.hpp - the keys of a program, and the key slots that wrap a set's data key.
//
//     passphrase --Argon2id(salt, cost)--+
//     raw key ---------------------------+--HKDF(salt)--> wrapping key, key check value
//     X25519 public key ---------------------sealed box-> only its secret key opens the slot
//
// A ring holds any number of keys. To write, each becomes a slot of the set; to read, any one that
// opens a slot will do. Which key a slot wants is found by its check value, so that the wrong key
// (wrong_key) is told from data that was changed (authentication_failed).
// Argon2id and X25519 come from libsodium, through sodium.hpp; a program that does not include it
// has raw keys, and says `unsupported` of the others.
// Invariants
//   * what a manifest asks of a key derivation is capped before it is begun: 1 GiB, 10 passes
//   * neither keys nor passphrases are in errors, logs or manifests; they are wiped with the ring
// Threads  a ring that no longer changes: any.
// Owns     its secrets.
// Source   backup rules R59, R60.
#pragma once

#include <jetpp/backup/aead.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/secret.hpp>
#include <jetpp/backup/set_key.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

inline constexpr std::uint64_t kdf_memory_max = std::uint64_t{1} << 30;
inline constexpr std::uint32_t kdf_passes_max = 10;
inline constexpr std::size_t key_slots_max = 16;
inline constexpr std::size_t passphrase_bytes_max = 1024;

struct kdf_cost {
    std::uint64_t memory_bytes = std::uint64_t{64} << 20;
    std::uint32_t passes = 3;
};

// What libsodium does for keys. See sodium.hpp. Errors: unsupported, out_of_memory.
struct key_library {
    result<void> (*argon2id)(
        const_bytes passphrase, const_bytes salt, kdf_cost cost, bytes out
    ) noexcept = nullptr;
    result<void> (*public_of)(secret_key const& secret, bytes out) noexcept = nullptr;
    result<void> (*seal_box)(const_bytes recipient, const_bytes plain, bytes out) noexcept =
        nullptr;
    bool (*open_box)(
        const_bytes recipient, secret_key const& secret, const_bytes sealed, bytes out
    ) noexcept = nullptr;
};

using public_key = std::array<std::byte, 32>;

// A data key for a set to be written, with the slots that give it to readers.
struct made_set_key {
    std::shared_ptr<set_key const> key;
    std::vector<manifest_key_slot> slots;
};

class key_ring {
public:
    key_ring() noexcept = default;
    // Of a program that has libsodium: key_ring{sodium_keys}.
    explicit key_ring(key_library const& library) noexcept : library_{library} {}
    key_ring(key_ring const&) = delete;
    key_ring& operator=(key_ring const&) = delete;
    ~key_ring() {
        for (auto& one : passphrases_) OPENSSL_cleanse(one.text.data(), one.text.size());
    }

    // Ciphers that sets may be read with; AES-256-GCM always is.
    void know(aead_kind const& kind) { ciphers_.push_back(&kind); }

    // 32 bytes that were made by chance: a passphrase is none. Throws (all): std::bad_alloc.
    void add_key(secret_key const& key) { keys_.push_back(key); }
    // Errors: invalid_argument (empty, or longer than 1024 bytes).
    [[nodiscard]] result<void> add_passphrase(std::string_view text, kdf_cost cost = {}) {
        if (text.empty() || text.size() > passphrase_bytes_max)
            return error{.code = errc::invalid_argument};
        auto& one = passphrases_.emplace_back();
        one.text.assign(as_bytes(text).begin(), as_bytes(text).end());
        one.cost = cost;
        return ok();
    }
    // Whom a set is written for.
    void add_recipient(public_key const& key) { recipients_.push_back(key); }
    // Who reads what was written for its public key.
    void add_secret_key(secret_key const& key) { secrets_.push_back(key); }

    // Errors: invalid_argument (no key to write for, or too many), unsupported (a kind of key this
    // program has no library for), limit_exceeded (cost), resource (no random bytes).
    [[nodiscard]] result<made_set_key> make(uuid const& set, aead_kind const& cipher) const;

    // The data key of a set that was begun under `slots`, to go on with it. Of a set for public keys
    // alone that takes a secret one. Errors: as unlock().
    [[nodiscard]] result<made_set_key> make_again(
        uuid const& set, aead_kind const& cipher, std::vector<manifest_key_slot> const& slots
    ) const;

    // Errors: unsupported (cipher, or all fitting slots need a library), wrong_key (no key of the
    // ring opens a slot), authentication_failed (slot or manifest was changed), limit_exceeded.
    [[nodiscard]] result<std::shared_ptr<set_key const>> unlock(backup_manifest const& manifest
    ) const;

private:
    struct passphrase {
        std::vector<std::byte> text;
        kdf_cost cost{};
    };
    // The wrapping key, and the check value that says that it is the right one.
    struct derived {
        secret_key key;
        std::array<std::byte, 16> check{};
    };

    [[nodiscard]] static result<derived> derive(
        const_bytes secret, uuid const& set, manifest_key_slot const& slot
    ) noexcept {
        auto info = std::array<std::byte, 32>{};
        std::memcpy(info.data(), "jetpp key slot 1", 16);
        std::memcpy(info.data() + 16, set.raw.data(), set.raw.size());
        auto both = secret_bytes<48>{};
        BOOST_OUTCOME_TRY(hkdf_sha256(secret, slot.salt, info, both.all()));
        auto made = derived{};
        std::memcpy(made.key.all().data(), both.all().data(), 32);
        std::memcpy(made.check.data(), both.all().data() + 32, made.check.size());
        return made;
    }
    [[nodiscard]] result<derived> derive_from_passphrase(
        const_bytes text, uuid const& set, manifest_key_slot const& slot
    ) const noexcept {
        if (slot.kdf_memory > kdf_memory_max || slot.kdf_passes > kdf_passes_max)
            return error{.code = errc::limit_exceeded, .file = file_kind::manifest};
        if (library_.argon2id == nullptr) return error{.code = errc::unsupported};
        auto stretched = secret_key{};
        BOOST_OUTCOME_TRY(
            library_.argon2id(text, slot.salt, {slot.kdf_memory, slot.kdf_passes}, stretched.all())
        );
        return derive(stretched.all(), set, slot);
    }

    // The data key under the wrapping key of one slot, whose salt is used for nothing else.
    [[nodiscard]] static result<void> wrap(
        derived const& by, secret_key const& data, manifest_key_slot& slot
    ) {
        slot.check = by.check;
        slot.wrapped.assign(secret_key::size + aead_tag_bytes, std::byte{0});
        BOOST_OUTCOME_TRY(auto worker, aes_256_gcm.create(by.key));
        auto const nonce = std::array<std::byte, 12>{};
        return worker->seal(nonce, slot.check, data.all(), slot.wrapped);
    }
    [[nodiscard]] static result<secret_key> unwrap(
        derived const& by, manifest_key_slot const& slot
    ) noexcept {
        auto data = secret_key{};
        if (slot.wrapped.size() != secret_key::size + aead_tag_bytes)
            return error{.code = errc::set_damaged, .file = file_kind::manifest};
        BOOST_OUTCOME_TRY(auto worker, aes_256_gcm.create(by.key));
        auto const nonce = std::array<std::byte, 12>{};
        if (!worker->open(nonce, slot.check, slot.wrapped, data.all()))
            return error{.code = errc::authentication_failed, .file = file_kind::manifest};
        return data;
    }

    struct opened {
        secret_key data;
        bool symmetric{};
    };
    // Nothing if no key of the ring fits the slot.
    [[nodiscard]] result<std::unique_ptr<opened>> try_slot(
        uuid const& set, manifest_key_slot const& slot
    ) const {
        auto const found = [](secret_key const& data, bool symmetric) {
            return std::make_unique<opened>(opened{data, symmetric});
        };
        auto const unlocked_by = [&](derived const& by) -> result<std::unique_ptr<opened>> {
            if (!same_secret(by.check, slot.check)) return std::unique_ptr<opened>{};
            BOOST_OUTCOME_TRY(auto const data, unwrap(by, slot));
            return found(data, true);
        };
        switch (slot.kind) {
        case key_slot_kind::key:
            for (auto const& one : keys_) {
                BOOST_OUTCOME_TRY(auto const by, derive(one.all(), set, slot));
                BOOST_OUTCOME_TRY(auto got, unlocked_by(by));
                if (got != nullptr) return got;
            }
            break;
        case key_slot_kind::passphrase:
            for (auto const& one : passphrases_) {
                BOOST_OUTCOME_TRY(auto const by, derive_from_passphrase(one.text, set, slot));
                BOOST_OUTCOME_TRY(auto got, unlocked_by(by));
                if (got != nullptr) return got;
            }
            break;
        case key_slot_kind::x25519:
            for (auto const& one : secrets_) {
                if (library_.open_box == nullptr) return error{.code = errc::unsupported};
                auto own = public_key{};
                BOOST_OUTCOME_TRY(library_.public_of(one, own));
                if (own != slot.recipient) continue;
                auto data = secret_key{};
                if (!library_.open_box(own, one, slot.wrapped, data.all()))
                    return error{.code = errc::authentication_failed, .file = file_kind::manifest};
                return found(data, false);
            }
            break;
        }
        return std::unique_ptr<opened>{};
    }

    key_library library_{};
    std::vector<aead_kind const*> ciphers_{};
    std::vector<secret_key> keys_{};
    std::vector<passphrase> passphrases_{};
    std::vector<public_key> recipients_{};
    std::vector<secret_key> secrets_{};
};

// What a backup is encrypted with. Nothing named: plain.
struct encryption_choice {
    aead_kind const* cipher = nullptr;
    key_ring const* keys = nullptr; // outlives the backup
};

inline result<made_set_key> key_ring::make(uuid const& set, aead_kind const& cipher) const {
    auto const count = keys_.size() + passphrases_.size() + recipients_.size();
    if (count == 0 || count > key_slots_max) return error{.code = errc::invalid_argument};
    auto data = secret_key{};
    BOOST_OUTCOME_TRY(fill_random(data.all()));
    auto made = made_set_key{};
    auto const new_slot = [&](key_slot_kind kind) -> result<manifest_key_slot> {
        auto slot = manifest_key_slot{.kind = kind};
        if (kind != key_slot_kind::x25519) {
            BOOST_OUTCOME_TRY(fill_random(slot.salt));
        }
        return slot;
    };
    for (auto const& one : keys_) {
        BOOST_OUTCOME_TRY(auto slot, new_slot(key_slot_kind::key));
        BOOST_OUTCOME_TRY(auto const by, derive(one.all(), set, slot));
        BOOST_OUTCOME_TRY(wrap(by, data, slot));
        made.slots.push_back(std::move(slot));
    }
    for (auto const& one : passphrases_) {
        BOOST_OUTCOME_TRY(auto slot, new_slot(key_slot_kind::passphrase));
        slot.kdf_memory = one.cost.memory_bytes;
        slot.kdf_passes = one.cost.passes;
        BOOST_OUTCOME_TRY(auto const by, derive_from_passphrase(one.text, set, slot));
        BOOST_OUTCOME_TRY(wrap(by, data, slot));
        made.slots.push_back(std::move(slot));
    }
    for (auto const& one : recipients_) {
        if (library_.seal_box == nullptr) return error{.code = errc::unsupported};
        BOOST_OUTCOME_TRY(auto slot, new_slot(key_slot_kind::x25519));
        slot.recipient = one;
        slot.wrapped.assign(sealed_box_bytes, std::byte{0});
        BOOST_OUTCOME_TRY(library_.seal_box(one, data.all(), slot.wrapped));
        made.slots.push_back(std::move(slot));
    }
    made.key = std::make_shared<set_key const>(set, cipher, data, recipients_.empty());
    return made;
}

inline result<made_set_key> key_ring::make_again(
    uuid const& set, aead_kind const& cipher, std::vector<manifest_key_slot> const& slots
) const {
    auto symmetric = true;
    for (auto const& slot : slots) symmetric = symmetric && slot.kind != key_slot_kind::x25519;
    for (auto const& slot : slots) {
        auto tried = try_slot(set, slot);
        if (!tried && tried.error().code == errc::unsupported) continue;
        if (!tried) return tried.error();
        auto const& got = tried.assume_value();
        if (got == nullptr) continue;
        auto made = made_set_key{.key = {}, .slots = slots};
        made.key = std::make_shared<set_key const>(set, cipher, got->data, symmetric);
        return made;
    }
    return error{.code = errc::wrong_key, .file = file_kind::backup_resume};
}

inline result<std::shared_ptr<set_key const>> key_ring::unlock(backup_manifest const& manifest
) const {
    auto const here = [](errc code) { return error{.code = code, .file = file_kind::manifest}; };
    auto const* cipher = manifest.cipher == aes_256_gcm.name ? &aes_256_gcm : nullptr;
    for (auto const* one : ciphers_)
        if (one->name == manifest.cipher) cipher = one;
    if (cipher == nullptr) return here(errc::unsupported);
    auto lacking = false;
    for (auto const& slot : manifest.key_slots) {
        auto tried = try_slot(manifest.set, slot);
        if (!tried && tried.error().code == errc::unsupported) {
            lacking = true; // another slot may do without the library
            continue;
        }
        if (!tried) return tried.error();
        auto const& got = tried.assume_value();
        if (got == nullptr) continue;
        auto key =
            std::make_shared<set_key const>(manifest.set, *cipher, got->data, got->symmetric);
        BOOST_OUTCOME_TRY(auto const mac, key->manifest_mac(manifest.mac_input.value));
        if (!manifest.hmac || !same_secret(mac, *manifest.hmac))
            return here(errc::authentication_failed);
        return key;
    }
    return here(lacking ? errc::unsupported : errc::wrong_key);
}

} // namespace jetpp::inline v1
