// jetpp/backup/sha256.hpp - SHA-256, the hash that names manifests and the parts of a set.
//
// Include this header only where sets are written or read: it is what needs OpenSSL's libcrypto.
// Threads  a hasher belongs to one caller.
// Owns     its context.
// Source   FIPS 180-4; OpenSSL EVP.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <openssl/evp.h>

namespace jetpp::inline v1 {

using sha256_digest = std::array<std::byte, 32>;

class sha256 {
public:
    // Hashes nothing yet: create() makes one that does.
    sha256() noexcept = default;
    // Errors: out_of_memory; unsupported (the library was built or configured without SHA-256).
    [[nodiscard]] static result<sha256> create() noexcept {
        auto made = sha256{};
        made.context_.reset(EVP_MD_CTX_new());
        if (made.context_ == nullptr) return error{.code = errc::out_of_memory};
        if (EVP_DigestInit_ex(made.context_.get(), EVP_sha256(), nullptr) != 1)
            return error{.code = errc::unsupported};
        return made;
    }

    // Errors: unsupported (the library refused).
    [[nodiscard]] result<void> add(const_bytes next) noexcept {
        if (EVP_DigestUpdate(context_.get(), next.data(), next.size()) != 1)
            return error{.code = errc::unsupported};
        return ok();
    }
    // Once, at the end. Errors: as add.
    [[nodiscard]] result<sha256_digest> finish() noexcept {
        auto digest = sha256_digest{};
        auto* const out = reinterpret_cast<unsigned char*>(digest.data());
        if (EVP_DigestFinal_ex(context_.get(), out, nullptr) != 1)
            return error{.code = errc::unsupported};
        return digest;
    }

    [[nodiscard]] static result<sha256_digest> of(const_bytes all) noexcept {
        BOOST_OUTCOME_TRY(auto hasher, create());
        BOOST_OUTCOME_TRY(hasher.add(all));
        return hasher.finish();
    }

private:
    struct release {
        void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD_CTX, release> context_;
};

// Lowercase, as manifests spell it.
[[nodiscard]] inline std::array<char, 64> hex_of(sha256_digest const& digest) noexcept {
    constexpr char digits[] = "0123456789abcdef";
    auto text = std::array<char, 64>{};
    for (std::size_t i = 0; i < digest.size(); ++i) {
        text[2 * i] = digits[std::to_integer<unsigned>(digest[i] >> 4)];
        text[2 * i + 1] = digits[std::to_integer<unsigned>(digest[i] & std::byte{15})];
    }
    return text;
}

// As marks in database headers and backup_end records carry it: the first 8 bytes, in stream order.
[[nodiscard]] inline std::uint64_t short_of(sha256_digest const& digest) noexcept {
    return load_le<std::uint64_t>(digest.data());
}

} // namespace jetpp::inline v1
