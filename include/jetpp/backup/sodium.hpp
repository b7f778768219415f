// jetpp/backup/sodium.hpp - what libsodium adds: passphrases, public keys, XChaCha20-Poly1305.
//
//     auto keys = key_ring{sodium_keys};
//     keys.add_passphrase(asked_for);
//     options.encryption = {.cipher = &xchacha20_poly1305, .keys = &keys};
//
// Needs libsodium, and to be linked to it. Key slots of passphrases (Argon2id) and of public keys
// (X25519 sealed boxes) need this header whatever the cipher.
// Threads  as key_ring and aead.
// Source   backup rule R59; libsodium 1.0.18.
#pragma once

#include <jetpp/backup/aead.hpp>
#include <jetpp/backup/key_ring.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include <sodium.h>

namespace jetpp::inline v1 {

namespace detail {

[[nodiscard]] inline unsigned char const* sodium_in(const_bytes raw) noexcept {
    return reinterpret_cast<unsigned char const*>(raw.data());
}
[[nodiscard]] inline unsigned char* sodium_out(bytes raw) noexcept {
    return reinterpret_cast<unsigned char*>(raw.data());
}
[[nodiscard]] inline bool sodium_is_there() noexcept {
    return sodium_init() >= 0; // 1: it was there already
}

[[nodiscard]] inline result<void> sodium_argon2id(
    const_bytes passphrase, const_bytes salt, kdf_cost cost, bytes out
) noexcept {
    if (!sodium_is_there() || salt.size() != crypto_pwhash_argon2id_SALTBYTES)
        return error{.code = errc::unsupported};
    if (cost.memory_bytes < crypto_pwhash_argon2id_MEMLIMIT_MIN ||
        cost.passes < crypto_pwhash_argon2id_OPSLIMIT_MIN)
        return error{.code = errc::invalid_argument};
    auto const done = crypto_pwhash_argon2id(
        sodium_out(out),
        out.size(),
        reinterpret_cast<char const*>(passphrase.data()),
        passphrase.size(),
        sodium_in(salt),
        cost.passes,
        static_cast<std::size_t>(cost.memory_bytes),
        crypto_pwhash_argon2id_ALG_ARGON2ID13
    );
    if (done != 0) return error{.code = errc::out_of_memory};
    return ok();
}
[[nodiscard]] inline result<void> sodium_public_of(secret_key const& secret, bytes out) noexcept {
    if (!sodium_is_there()) return error{.code = errc::unsupported};
    if (crypto_scalarmult_base(sodium_out(out), secret.raw()) != 0)
        return error{.code = errc::invalid_argument};
    return ok();
}
[[nodiscard]] inline result<void> sodium_seal_box(
    const_bytes recipient, const_bytes plain, bytes out
) noexcept {
    if (!sodium_is_there()) return error{.code = errc::unsupported};
    ensure(out.size() == plain.size() + crypto_box_SEALBYTES, "a sealed box has its size");
    if (crypto_box_seal(sodium_out(out), sodium_in(plain), plain.size(), sodium_in(recipient)) != 0)
        return error{.code = errc::invalid_argument};
    return ok();
}
[[nodiscard]] inline bool sodium_open_box(
    const_bytes recipient, secret_key const& secret, const_bytes sealed, bytes out
) noexcept {
    if (!sodium_is_there() || sealed.size() != out.size() + crypto_box_SEALBYTES) return false;
    return crypto_box_seal_open(
               sodium_out(out), sodium_in(sealed), sealed.size(), sodium_in(recipient), secret.raw()
           ) == 0;
}

class xchacha final : public aead {
public:
    static constexpr std::size_t nonce_bytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;

    [[nodiscard]] static result<std::unique_ptr<aead>> create(secret_key const& key) noexcept {
        if (!sodium_is_there()) return error{.code = errc::unsupported};
        auto made = std::unique_ptr<xchacha>{new (std::nothrow) xchacha};
        if (made == nullptr) return error{.code = errc::out_of_memory};
        made->key_ = key;
        return std::unique_ptr<aead>{std::move(made)};
    }
    [[nodiscard]] result<void> seal(
        const_bytes nonce, const_bytes associated, const_bytes plain, bytes into
    ) noexcept override {
        ensure(nonce.size() == nonce_bytes, "the nonce of XChaCha20 has 24 bytes");
        auto written = 0ULL;
        (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
            sodium_out(into),
            &written,
            sodium_in(plain),
            plain.size(),
            sodium_in(associated),
            associated.size(),
            nullptr,
            sodium_in(nonce),
            key_.raw()
        );
        if (written != into.size()) return error{.code = errc::unsupported};
        return ok();
    }
    [[nodiscard]] bool open(
        const_bytes nonce, const_bytes associated, const_bytes sealed, bytes into
    ) noexcept override {
        ensure(nonce.size() == nonce_bytes, "the nonce of XChaCha20 has 24 bytes");
        ensure(sealed.size() == into.size() + aead_tag_bytes, "a sealed message holds its tag");
        auto written = 0ULL;
        auto const done = crypto_aead_xchacha20poly1305_ietf_decrypt(
            sodium_out(into),
            &written,
            nullptr,
            sodium_in(sealed),
            sealed.size(),
            sodium_in(associated),
            associated.size(),
            sodium_in(nonce),
            key_.raw()
        );
        if (done == 0 && written == into.size()) return true;
        if (!into.empty()) std::memset(into.data(), 0, into.size());
        return false;
    }

private:
    xchacha() noexcept = default;
    secret_key key_{};
};
static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == aead_tag_bytes);
static_assert(crypto_box_SEALBYTES + secret_key::size == sealed_box_bytes);

} // namespace detail

inline constexpr aead_kind xchacha20_poly1305{
    .name = "xchacha20-poly1305",
    .nonce_bytes = detail::xchacha::nonce_bytes,
    .create = &detail::xchacha::create,
};

inline constexpr key_library sodium_keys{
    .argon2id = &detail::sodium_argon2id,
    .public_of = &detail::sodium_public_of,
    .seal_box = &detail::sodium_seal_box,
    .open_box = &detail::sodium_open_box,
};

} // namespace jetpp::inline v1
