// jetpp/backup/sealed_text.hpp - the one form of manifest, repository file and proof.
//
//     one JSON object, LF, 64 lowercase hex digits of its SHA-256, LF, end of file
//
// There is no other byte in such a file, and none that is not under the hash or spelled one way.
// Threads  pure functions.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace jetpp::inline v1 {

inline constexpr std::size_t seal_bytes = 66; // LF, digits, LF

// Throws: std::bad_alloc. Errors: limit_exceeded, those of sha256.
[[nodiscard]] inline result<std::string> seal_text(std::string_view json) {
    if (json.size() + seal_bytes > manifest_bytes_max) return error{.code = errc::limit_exceeded};
    BOOST_OUTCOME_TRY(auto const digest, sha256::of(as_bytes(json)));
    auto const hex = hex_of(digest);
    auto sealed = std::string{};
    sealed.reserve(json.size() + seal_bytes);
    sealed.append(json).append(1, '\n').append(hex.data(), hex.size()).append(1, '\n');
    return sealed;
}

// Returns: the JSON text inside. Errors: set_damaged, limit_exceeded, those of sha256.
[[nodiscard]] inline result<std::string_view> unseal_text(std::string_view sealed) noexcept {
    if (sealed.size() > manifest_bytes_max) return error{.code = errc::limit_exceeded};
    if (sealed.size() <= seal_bytes) return error{.code = errc::set_damaged};
    auto const json = sealed.substr(0, sealed.size() - seal_bytes);
    auto const seal = sealed.substr(json.size());
    BOOST_OUTCOME_TRY(auto const digest, sha256::of(as_bytes(json)));
    auto const hex = hex_of(digest);
    if (seal.front() != '\n' || seal.back() != '\n' ||
        seal.substr(1, hex.size()) != std::string_view{hex.data(), hex.size()})
        return error{.code = errc::set_damaged};
    return json;
}

} // namespace jetpp::inline v1
