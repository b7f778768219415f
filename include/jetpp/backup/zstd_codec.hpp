// jetpp/backup/zstd_codec.hpp - units compressed with Zstandard. Needs libzstd, and to be linked to it.
//
// A unit is exactly one zstd frame: single segment, with its content size and a checksum of the
// content, without a dictionary. So stock zstd tests and unpacks every plain part.
// Measured: level 1 to 3 compress faster than most disks write; level 3 is the default.
// Threads  one user at a time.
// Owns     its contexts.
// Source   RFC 8878, 3.1.1; backup rule R54.
#pragma once

#include <jetpp/backup/unit_codec.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include <zstd.h>

namespace jetpp::inline v1 {

namespace detail {

// Bits of the frame header descriptor: no other may be set but the two of the size's width.
inline constexpr std::byte zstd_single_segment{0x20};
inline constexpr std::byte zstd_has_checksum{0x04};
inline constexpr std::byte zstd_size_width{0xC0};

// Exactly one frame of the one form, whose content has this size?
[[nodiscard]] inline bool is_one_zstd_frame(const_bytes unit, std::size_t raw_bytes) noexcept {
    if (unit.size() < 9 || load_le<std::uint32_t>(unit.data()) != ZSTD_MAGICNUMBER) return false;
    if ((unit[4] & ~zstd_size_width) != (zstd_single_segment | zstd_has_checksum)) return false;
    return ZSTD_findFrameCompressedSize(unit.data(), unit.size()) == unit.size() &&
           ZSTD_getFrameContentSize(unit.data(), unit.size()) == raw_bytes;
}

class zstd_unit_codec final : public unit_codec {
public:
    [[nodiscard]] static result<std::unique_ptr<unit_codec>> create(int level) noexcept {
        auto made = std::unique_ptr<zstd_unit_codec>{new (std::nothrow) zstd_unit_codec};
        if (made == nullptr) return error{.code = errc::out_of_memory};
        made->level_ = level;
        return std::unique_ptr<unit_codec>{std::move(made)};
    }

    [[nodiscard]] result<std::size_t> encode(const_bytes raw, bytes into) noexcept override {
        if (writing_ == nullptr) {
            BOOST_OUTCOME_TRY(prepare());
        }
        auto const n =
            ZSTD_compress2(writing_.get(), into.data(), into.size(), raw.data(), raw.size());
        if (ZSTD_isError(n)) return error{.code = errc::limit_exceeded};
        // Another version of the library might choose another form: better no set than that.
        if (!is_one_zstd_frame(into.first(n), raw.size())) return error{.code = errc::unsupported};
        return n;
    }

    [[nodiscard]] bool decode(const_bytes unit, bytes raw) noexcept override {
        if (!is_one_zstd_frame(unit, raw.size())) return false;
        if (reading_ == nullptr) reading_.reset(ZSTD_createDCtx());
        if (reading_ == nullptr) return false;
        auto const n =
            ZSTD_decompressDCtx(reading_.get(), raw.data(), raw.size(), unit.data(), unit.size());
        return !ZSTD_isError(n) && n == raw.size();
    }

private:
    zstd_unit_codec() noexcept = default;

    [[nodiscard]] result<void> prepare() noexcept {
        writing_.reset(ZSTD_createCCtx());
        if (writing_ == nullptr) return error{.code = errc::out_of_memory};
        auto const set = [&](ZSTD_cParameter what, int value) {
            return !ZSTD_isError(ZSTD_CCtx_setParameter(writing_.get(), what, value));
        };
        // The window holds a whole unit, or the frame would not be a single segment.
        auto const taken = set(ZSTD_c_compressionLevel, level_) && set(ZSTD_c_windowLog, 20) &&
                           set(ZSTD_c_contentSizeFlag, 1) && set(ZSTD_c_checksumFlag, 1) &&
                           set(ZSTD_c_dictIDFlag, 0);
        if (!taken) return error{.code = errc::unsupported};
        return ok();
    }

    struct release {
        void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
        void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
    };
    int level_ = 0;
    std::unique_ptr<ZSTD_CCtx, release> writing_;
    std::unique_ptr<ZSTD_DCtx, release> reading_;
};

} // namespace detail

inline constexpr codec_kind zstd_codec{
    .id = frame_codec::zstd,
    .name = "zstd",
    .level_min = -50,
    .level_default = 3,
    .level_max = 19,
    .create = &detail::zstd_unit_codec::create,
};

} // namespace jetpp::inline v1
