// tools/keys.hpp - keys and codecs that the command reads and writes sets with.
//
// A key file holds either 64 hex digits (a symmetric key: `openssl rand -hex 32`) or a PEM key of
// X25519, as OpenSSL makes it:
//     openssl genpkey -algorithm X25519 -out restore.pem       for --key
//     openssl pkey -in restore.pem -pubout -out backup.pem     for --encrypt-to
// A passphrase file holds the passphrase as its first line. None of it is ever printed.
#pragma once

#include <jetpp/backup/key_ring.hpp>
#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/backup/sodium.hpp>

#include <fstream>
#include <memory>
#include <string>
#include <string_view>

#include "codecs.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

namespace jetpp_tool {

namespace detail {

// The content of a small file, wiped when it is not needed any more.
class secret_file {
public:
    explicit secret_file(std::string const& path) {
        auto in = std::ifstream{path, std::ios::binary};
        if (!in) fail(path, "cannot be read");
        text_.resize(size_max + 1);
        in.read(text_.data(), static_cast<std::streamsize>(text_.size()));
        size_ = static_cast<std::size_t>(in.gcount());
        if (size_ > size_max) fail(path, "is too long for a key");
    }
    secret_file(secret_file const&) = delete;
    secret_file& operator=(secret_file const&) = delete;
    ~secret_file() { OPENSSL_cleanse(text_.data(), text_.size()); }

    [[nodiscard]] std::string_view text() const { return {text_.data(), size_}; }
    [[nodiscard]] std::string_view first_line() const {
        auto line = text().substr(0, text().find('\n'));
        if (line.ends_with('\r')) line.remove_suffix(1);
        return line;
    }

private:
    static constexpr std::size_t size_max = 16384;
    std::string text_;
    std::size_t size_ = 0;
};

struct free_key {
    void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
    void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};
// For a PEM file that is encrypted itself: nobody is asked.
inline int no_password(char*, int, int, void*) {
    return -1;
}

// Adds what the file holds. `writing`: public keys are for that, secret ones are not needed.
inline void add_key_file(jetpp::key_ring& ring, std::string const& path, bool writing) {
    auto const file = secret_file{path};
    auto const line = file.first_line();
    auto key = jetpp::secret_key{};
    if (jetpp::detail::parse_hex(line, key.all())) return ring.add_key(key);
    auto const memory = std::unique_ptr<BIO, free_key>{
        BIO_new_mem_buf(file.text().data(), static_cast<int>(file.text().size()))
    };
    auto size = std::size_t{32};
    if (file.text().find("PRIVATE KEY-----") != std::string_view::npos) {
        auto const pem = std::unique_ptr<EVP_PKEY, free_key>{
            PEM_read_bio_PrivateKey(memory.get(), nullptr, no_password, nullptr)
        };
        if (pem == nullptr || EVP_PKEY_id(pem.get()) != EVP_PKEY_X25519 ||
            EVP_PKEY_get_raw_private_key(pem.get(), key.raw(), &size) != 1 || size != 32)
            fail(path, "holds no secret key of X25519");
        if (!writing) return ring.add_secret_key(key);
        auto recipient = jetpp::public_key{};
        value_of(jetpp::sodium_keys.public_of(key, recipient), path);
        return ring.add_recipient(recipient);
    }
    auto const pem = std::unique_ptr<EVP_PKEY, free_key>{
        PEM_read_bio_PUBKEY(memory.get(), nullptr, no_password, nullptr)
    };
    auto recipient = jetpp::public_key{};
    auto* const out = reinterpret_cast<unsigned char*>(recipient.data());
    if (pem == nullptr || EVP_PKEY_id(pem.get()) != EVP_PKEY_X25519 ||
        EVP_PKEY_get_raw_public_key(pem.get(), out, &size) != 1 || size != 32)
        fail(path, "holds neither 64 hex digits nor a PEM key of X25519");
    if (!writing) fail(path, "is a public key: sets are read with the secret one");
    ring.add_recipient(recipient);
}

} // namespace detail

// Null if no key was asked for.
[[nodiscard]] inline std::unique_ptr<jetpp::key_ring> key_ring_of(
    key_request const& request, bool writing
) {
    if (!request.any()) return nullptr;
    auto ring = std::make_unique<jetpp::key_ring>(jetpp::sodium_keys);
    ring->know(jetpp::xchacha20_poly1305);
    for (auto const& path : request.key_files) detail::add_key_file(*ring, path, writing);
    if (!request.passphrase_file.empty()) {
        auto const file = detail::secret_file{request.passphrase_file};
        value_of(ring->add_passphrase(file.first_line()), request.passphrase_file);
    }
    return ring;
}

[[nodiscard]] inline jetpp::aead_kind const* cipher_of(key_request const& request) {
    auto const chacha = request.cipher == jetpp::xchacha20_poly1305.name;
    return chacha ? &jetpp::xchacha20_poly1305 : &jetpp::aes_256_gcm;
}

// For what this command reads from now on.
inline void bring_keys(key_request const& request) {
    static auto ring = std::unique_ptr<jetpp::key_ring>{};
    ring = key_ring_of(request, false);
    brought_access().keys = ring.get();
}

} // namespace jetpp_tool
