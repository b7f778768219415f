// jetpp/backup/lz4_codec.hpp - units compressed with LZ4. Needs liblz4, and to be linked to it.
//
// A unit is a wrapped one (stored_unit.hpp) around one LZ4 block; raw size and hash stand in the
// frame header. For processors on which zstd is what a backup waits for.
// Threads  one user at a time.
// Source   LZ4 block format; backup rule R54.
#pragma once

#include <jetpp/backup/stored_unit.hpp>
#include <jetpp/backup/unit_codec.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

#include <lz4.h>

namespace jetpp::inline v1 {

namespace detail {

class lz4_unit_codec final : public unit_codec {
public:
    [[nodiscard]] static result<std::unique_ptr<unit_codec>> create(int) noexcept {
        auto made = std::unique_ptr<unit_codec>{new (std::nothrow) lz4_unit_codec};
        if (made == nullptr) return error{.code = errc::out_of_memory};
        return made;
    }

    [[nodiscard]] result<std::size_t> encode(const_bytes raw, bytes into) noexcept override {
        if (raw.size() > frame_raw_max || into.size() <= wrapped_head_bytes)
            return error{.code = errc::limit_exceeded};
        auto const room = into.subspan(wrapped_head_bytes);
        auto const n = LZ4_compress_default(
            reinterpret_cast<char const*>(raw.data()),
            reinterpret_cast<char*>(room.data()),
            static_cast<int>(raw.size()),
            static_cast<int>(std::min(room.size(), std::size_t{frame_stored_max}))
        );
        if (n <= 0) return error{.code = errc::limit_exceeded};
        return encode_wrapped_unit(room.first(static_cast<std::size_t>(n)), into);
    }

    [[nodiscard]] bool decode(const_bytes unit, bytes raw) noexcept override {
        auto const block = decode_wrapped_unit(unit);
        if (block.empty() || block.size() > frame_stored_max || raw.size() > frame_raw_max)
            return false;
        auto const n = LZ4_decompress_safe(
            reinterpret_cast<char const*>(block.data()),
            reinterpret_cast<char*>(raw.data()),
            static_cast<int>(block.size()),
            static_cast<int>(raw.size())
        );
        return n >= 0 && static_cast<std::size_t>(n) == raw.size();
    }
};

} // namespace detail

inline constexpr codec_kind lz4_codec{
    .id = frame_codec::lz4, .name = "lz4", .create = &detail::lz4_unit_codec::create
};

} // namespace jetpp::inline v1
