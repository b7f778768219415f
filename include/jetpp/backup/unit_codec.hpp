// jetpp/backup/unit_codec.hpp - how the units of a set are compressed, as a choice of the program.
//
// This header needs no library. Each codec has a header of its own, which a program includes on
// purpose and links: zstd_codec.hpp (libzstd), lz4_codec.hpp (liblz4). What it includes it may name,
// to write sets with (backup_options::codec) and to read them with (set_access::codecs). A set of
// a codec that was not named is refused with `unsupported`; nothing falls back to another form.
// Invariants
//   * every unit stands alone: a frame can be read without the frames before it
//   * decode() writes raw.size() bytes at most, whatever the unit says
// Threads  codec_kind is a constant; a unit_codec has one user at a time.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace jetpp::inline v1 {

// One worker, with the memory it needs.
class unit_codec {
public:
    unit_codec() = default;
    unit_codec(unit_codec const&) = delete;
    unit_codec& operator=(unit_codec const&) = delete;
    virtual ~unit_codec() = default;

    // The stored form of raw, which is not empty. Returns: the bytes used.
    // Errors: limit_exceeded (it does not fit), unsupported (the library refused).
    [[nodiscard]] virtual result<std::size_t> encode(const_bytes raw, bytes into) noexcept = 0;
    // Returns: false if the unit is not the stored form of some content of exactly this size.
    [[nodiscard]] virtual bool decode(const_bytes unit, bytes raw) noexcept = 0;
};

struct codec_kind {
    frame_codec id{};
    std::string_view name{}; // as manifests spell it
    int level_min{};         // all three zero: it knows no levels
    int level_default{};
    int level_max{};
    // Errors: out_of_memory, unsupported (the library refuses the level).
    result<std::unique_ptr<unit_codec>> (*create)(int level) noexcept = nullptr;
};

// What a backup compresses with. Nothing named: raw blocks (stored_unit.hpp).
struct codec_choice {
    codec_kind const* kind = nullptr;
    std::optional<int> level{}; // the default of the kind

    [[nodiscard]] int wanted_level() const noexcept {
        return level ? *level : kind != nullptr ? kind->level_default : 0;
    }
    // "none", "lz4", "zstd:3". Throws: std::bad_alloc.
    [[nodiscard]] std::string text() const {
        if (kind == nullptr) return "none";
        auto made = std::string{kind->name};
        if (kind->level_max != 0) made += ':' + std::to_string(wanted_level());
        return made;
    }
    // A worker; null for raw blocks. Errors: unsupported (level), out_of_memory.
    [[nodiscard]] result<std::unique_ptr<unit_codec>> create() const noexcept {
        if (kind == nullptr) return std::unique_ptr<unit_codec>{};
        auto const wanted = wanted_level();
        if (wanted < kind->level_min || wanted > kind->level_max)
            return error{.code = errc::unsupported};
        return kind->create(wanted);
    }
};

// The codecs that a program has.
struct codec_list {
    std::array<codec_kind const*, 4> kinds{};

    [[nodiscard]] constexpr codec_kind const* find(frame_codec id) const noexcept {
        for (auto const* one : kinds)
            if (one != nullptr && one->id == id) return one;
        return nullptr;
    }
    [[nodiscard]] constexpr codec_kind const* find(std::string_view name) const noexcept {
        for (auto const* one : kinds)
            if (one != nullptr && one->name == name) return one;
        return nullptr;
    }
};

// The name in front of the level in what a manifest says; empty if it is no such text. Which
// names there are is the business of who reads the frames.
[[nodiscard]] constexpr std::string_view codec_name(std::string_view text) noexcept {
    auto const colon = text.find(':');
    auto const name = text.substr(0, colon);
    if (name.empty()) return {};
    for (auto const c : name)
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9')) return {};
    if (colon == std::string_view::npos) return name;
    auto level = text.substr(colon + 1);
    if (level.starts_with('-')) level.remove_prefix(1);
    if (level.empty() || level.size() > 9) return {};
    for (auto const c : level)
        if (c < '0' || c > '9') return {};
    return name;
}
static_assert(codec_name("none") == "none" && codec_name("zstd:-5") == "zstd");
static_assert(codec_name("zstd:") == "" && codec_name(":3") == "" && codec_name("ZSTD") == "");

} // namespace jetpp::inline v1
