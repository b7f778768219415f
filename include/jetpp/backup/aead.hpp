// jetpp/backup/aead.hpp - authenticated encryption as a choice of the program; AES-256-GCM.
//
// What a set is encrypted with is named in its manifest. AES-256-GCM comes from OpenSSL, which sets
// need anyhow; XChaCha20-Poly1305 stands in sodium.hpp, which needs libsodium.
// Invariants
//   * a sealed message is 16 bytes longer than the plain one
//   * open() gives nothing out of a message that is not what seal() made with the same key, nonce
//     and associated data
// Threads  aead_kind is a constant; an aead has one user at a time.
#pragma once

#include <jetpp/backup/secret.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include <openssl/evp.h>

namespace jetpp::inline v1 {

inline constexpr std::size_t aead_tag_bytes = 16;
inline constexpr std::size_t aead_nonce_max = 24;

class aead {
public:
    aead() = default;
    aead(aead const&) = delete;
    aead& operator=(aead const&) = delete;
    virtual ~aead() = default;

    // Requires: no nonce is used twice with a key; into.size() == plain.size() + aead_tag_bytes,
    // elsewhere than plain. Errors: unsupported (the library refused).
    [[nodiscard]] virtual result<void> seal(
        const_bytes nonce, const_bytes associated, const_bytes plain, bytes into
    ) noexcept = 0;
    // Requires: into.size() + aead_tag_bytes == sealed.size(). Returns: false if it is not
    // authentic; `into` then holds zeros.
    [[nodiscard]] virtual bool open(
        const_bytes nonce, const_bytes associated, const_bytes sealed, bytes into
    ) noexcept = 0;
};

struct aead_kind {
    std::string_view name{}; // as manifests spell it
    std::size_t nonce_bytes{};
    // Errors: out_of_memory, unsupported.
    result<std::unique_ptr<aead>> (*create)(secret_key const& key) noexcept = nullptr;
};

namespace detail {

class aes_gcm final : public aead {
public:
    static constexpr std::size_t nonce_bytes = 12;

    [[nodiscard]] static result<std::unique_ptr<aead>> create(secret_key const& key) noexcept {
        auto made = std::unique_ptr<aes_gcm>{new (std::nothrow) aes_gcm};
        if (made == nullptr) return error{.code = errc::out_of_memory};
        made->sealing_.reset(EVP_CIPHER_CTX_new());
        made->opening_.reset(EVP_CIPHER_CTX_new());
        if (made->sealing_ == nullptr || made->opening_ == nullptr)
            return error{.code = errc::out_of_memory};
        auto const* const cipher = EVP_aes_256_gcm();
        if (EVP_EncryptInit_ex(made->sealing_.get(), cipher, nullptr, key.raw(), nullptr) != 1 ||
            EVP_DecryptInit_ex(made->opening_.get(), cipher, nullptr, key.raw(), nullptr) != 1)
            return error{.code = errc::unsupported};
        return std::unique_ptr<aead>{std::move(made)};
    }

    [[nodiscard]] result<void> seal(
        const_bytes nonce, const_bytes associated, const_bytes plain, bytes into
    ) noexcept override {
        ensure(nonce.size() == nonce_bytes, "the nonce of AES-GCM has 12 bytes");
        auto* const c = sealing_.get();
        auto n = 0;
        auto* const tag = into.data() + plain.size();
        if (EVP_EncryptInit_ex(c, nullptr, nullptr, nullptr, in(nonce)) != 1 ||
            EVP_EncryptUpdate(c, nullptr, &n, in(associated), length(associated)) != 1 ||
            EVP_EncryptUpdate(c, out(into.data()), &n, in(plain), length(plain)) != 1 ||
            EVP_EncryptFinal_ex(c, out(tag), &n) != 1 ||
            EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag) != 1)
            return error{.code = errc::unsupported};
        return ok();
    }

    [[nodiscard]] bool open(
        const_bytes nonce, const_bytes associated, const_bytes sealed, bytes into
    ) noexcept override {
        ensure(nonce.size() == nonce_bytes, "the nonce of AES-GCM has 12 bytes");
        ensure(sealed.size() == into.size() + aead_tag_bytes, "a sealed message holds its tag");
        auto* const c = opening_.get();
        auto tag = std::array<std::byte, aead_tag_bytes>{};
        std::memcpy(tag.data(), sealed.data() + into.size(), tag.size());
        auto const text = sealed.first(into.size());
        auto n = 0;
        auto last = std::array<unsigned char, 16>{};
        if (EVP_DecryptInit_ex(c, nullptr, nullptr, nullptr, in(nonce)) == 1 &&
            EVP_DecryptUpdate(c, nullptr, &n, in(associated), length(associated)) == 1 &&
            EVP_DecryptUpdate(c, out(into.data()), &n, in(text), length(text)) == 1 &&
            EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, tag.data()) == 1 &&
            EVP_DecryptFinal_ex(c, last.data(), &n) == 1)
            return true;
        if (!into.empty()) std::memset(into.data(), 0, into.size());
        return false;
    }

private:
    aes_gcm() noexcept = default;

    [[nodiscard]] static unsigned char const* in(const_bytes raw) noexcept {
        return reinterpret_cast<unsigned char const*>(raw.data());
    }
    [[nodiscard]] static unsigned char* out(std::byte* raw) noexcept {
        return reinterpret_cast<unsigned char*>(raw);
    }
    [[nodiscard]] static int length(const_bytes raw) noexcept {
        return static_cast<int>(raw.size());
    }
    struct release {
        void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
    };
    // OpenSSL wipes the key in them when they are freed.
    std::unique_ptr<EVP_CIPHER_CTX, release> sealing_;
    std::unique_ptr<EVP_CIPHER_CTX, release> opening_;
};

} // namespace detail

inline constexpr aead_kind aes_256_gcm{
    .name = "aes-256-gcm",
    .nonce_bytes = detail::aes_gcm::nonce_bytes,
    .create = &detail::aes_gcm::create,
};

} // namespace jetpp::inline v1
