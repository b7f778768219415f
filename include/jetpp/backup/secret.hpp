// jetpp/backup/secret.hpp - bytes that must not stay in memory, and how keys come out of keys.
//
// secret_bytes wipes itself, whatever way it goes. hmac_sha256 and hkdf_sha256 are what every key of
// an encrypted set is derived with. No secret has a printer: none reaches an error or a manifest.
// Threads  pure functions; a value.
// Source   RFC 2104, RFC 5869; OpenSSL.
#pragma once

#include <jetpp/backup/sha256.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

namespace jetpp::inline v1 {

template <std::size_t N>
class secret_bytes {
public:
    static constexpr std::size_t size = N;

    secret_bytes() noexcept = default;
    secret_bytes(secret_bytes const& other) noexcept : raw_{other.raw_} {}
    secret_bytes& operator=(secret_bytes const& other) noexcept {
        raw_ = other.raw_;
        return *this;
    }
    ~secret_bytes() { OPENSSL_cleanse(raw_.data(), raw_.size()); }

    [[nodiscard]] bytes all() noexcept { return raw_; }
    [[nodiscard]] const_bytes all() const noexcept { return raw_; }
    [[nodiscard]] unsigned char* raw() noexcept {
        return reinterpret_cast<unsigned char*>(raw_.data());
    }
    [[nodiscard]] unsigned char const* raw() const noexcept {
        return reinterpret_cast<unsigned char const*>(raw_.data());
    }

private:
    std::array<std::byte, N> raw_{};
};
using secret_key = secret_bytes<32>;

// From the system's generator of OpenSSL. Errors: resource.
[[nodiscard]] inline result<void> fill_random(bytes into) noexcept {
    auto* const p = reinterpret_cast<unsigned char*>(into.data());
    if (RAND_bytes(p, static_cast<int>(into.size())) != 1) return error{.code = errc::resource};
    return ok();
}

// Takes the same time wherever the first difference is.
[[nodiscard]] inline bool same_secret(const_bytes a, const_bytes b) noexcept {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

// Errors: unsupported (the library refused).
[[nodiscard]] inline result<sha256_digest> hmac_sha256(
    const_bytes key, const_bytes message
) noexcept {
    auto mac = sha256_digest{};
    auto size = unsigned{0};
    auto const* const done = HMAC(
        EVP_sha256(),
        key.data(),
        static_cast<int>(key.size()),
        reinterpret_cast<unsigned char const*>(message.data()),
        message.size(),
        reinterpret_cast<unsigned char*>(mac.data()),
        &size
    );
    if (done == nullptr || size != mac.size()) return error{.code = errc::unsupported};
    return mac;
}

inline constexpr std::size_t hkdf_info_max = 128;

// Requires: at most 64 bytes out, at most 128 of info. Errors: unsupported.
[[nodiscard]] inline result<void> hkdf_sha256(
    const_bytes secret, const_bytes salt, const_bytes info, bytes out
) noexcept {
    ensure(out.size() <= 64 && info.size() <= hkdf_info_max, "a key derivation is a small one");
    BOOST_OUTCOME_TRY(auto extracted, hmac_sha256(salt, secret));
    auto block = std::array<std::byte, 32 + hkdf_info_max + 1>{}; // the one before, info, counter
    auto before = std::size_t{0};
    for (std::size_t done = 0; done < out.size(); done += 32) {
        if (!info.empty()) std::memcpy(block.data() + before, info.data(), info.size());
        block[before + info.size()] = static_cast<std::byte>(done / 32 + 1);
        auto const made =
            hmac_sha256(extracted, const_bytes{block}.first(before + info.size() + 1));
        if (!made) return made.error();
        auto const n = out.size() - done < 32 ? out.size() - done : std::size_t{32};
        std::memcpy(out.data() + done, made.assume_value().data(), n);
        std::memcpy(block.data(), made.assume_value().data(), 32);
        before = 32;
    }
    OPENSSL_cleanse(extracted.data(), extracted.size());
    OPENSSL_cleanse(block.data(), block.size());
    return ok();
}

} // namespace jetpp::inline v1
