// jetpp/log/detail/file_preamble.hpp - the first 32 bytes that every file of the log room shares.
//
// Layout: 0 checksum u64 (CRC-32C of bytes 8..end, upper half zero), 8 magic, 16 file kind u32,
// 20 major u16, 22 minor u16, 24 incompatible feature bits u64.
//
// The order of the checks is part of the format: magic, kind and major say whether the rest may be
// understood at all, so they come before the checksum, whose extent a later major may change.
// Threads  pure functions.
#pragma once

#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/error.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace jetpp::inline v1::detail {

inline constexpr std::uint16_t log_format_major = 1;
inline constexpr std::uint16_t log_format_minor = 0;
inline constexpr std::uint64_t known_incompatible_bits = 0; // v1 defines none

struct file_preamble {
    std::string_view magic; // 8 bytes
    file_kind kind{};
};

inline void store_text(std::byte* at, std::string_view text) noexcept {
    std::memcpy(at, text.data(), text.size());
}

inline void store_uuid(std::byte* at, uuid const& id) noexcept {
    std::memcpy(at, id.raw.data(), id.raw.size());
}

[[nodiscard]] inline uuid load_uuid(std::byte const* at) noexcept {
    auto id = uuid{};
    std::memcpy(id.raw.data(), at, id.raw.size());
    return id;
}

// Writes bytes 8..31 of a zeroed block.
inline void store_preamble(std::byte* block, file_preamble const& what) noexcept {
    store_text(block + 8, what.magic);
    store_le<std::uint32_t>(block + 16, static_cast<std::uint32_t>(what.kind));
    store_le<std::uint16_t>(block + 20, log_format_major);
    store_le<std::uint16_t>(block + 22, log_format_minor);
}

// Last step of an encoder: everything behind the field is final.
inline void seal_block(bytes block) noexcept {
    store_le<std::uint64_t>(block.data(), crc32c_of(block.subspan(8)));
}

// Errors: bad_magic, bad_kind, unsupported_format, bad_header (checksum), unsupported_feature
// (at = the unknown bits); file is filled.
[[nodiscard]] inline result<void> check_preamble(
    const_bytes block, file_preamble const& expected
) noexcept {
    auto const refuse = [&](errc code) { return error{.code = code, .file = expected.kind}; };
    auto const* p = block.data();
    if (as_text(block.subspan(8, 8)) != expected.magic) return refuse(errc::bad_magic);
    if (load_le<std::uint32_t>(p + 16) != static_cast<std::uint32_t>(expected.kind))
        return refuse(errc::bad_kind);
    if (load_le<std::uint16_t>(p + 20) != log_format_major) return refuse(errc::unsupported_format);
    if (load_le<std::uint64_t>(p) != crc32c_of(block.subspan(8))) return refuse(errc::bad_header);
    if (auto const unknown = load_le<std::uint64_t>(p + 24) & ~known_incompatible_bits;
        unknown != 0) {
        auto e = refuse(errc::unsupported_feature);
        e.at = lsn{unknown};
        return e;
    }
    return ok();
}

} // namespace jetpp::inline v1::detail
