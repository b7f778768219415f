// jetpp/env/file_name.hpp - one path component, checked once, held without allocation.
//
// Storage opens names relative to an opened directory and never sees a '/'. What a manifest, a log
// record or a command line says becomes a file_name only through make(), which refuses everything
// that could leave the directory or confuse a person.
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace jetpp::inline v1 {

class file_name {
public:
    static constexpr std::size_t size_max = 127;

    constexpr file_name() noexcept = default;

    // For names the engine itself spells. Too long or unsafe text does not compile.
    template <std::size_t N>
    consteval file_name(char const (&literal)[N]) {
        static_assert(N - 1 <= size_max && N > 1);
        for (std::size_t i = 0; i + 1 < N; ++i) text_[i] = literal[i];
        size_ = static_cast<std::uint8_t>(N - 1);
        ensure(is_safe(view()), "a literal file name is one safe path component");
    }

    // Errors: unsafe_name (empty, ".", "..", leading '-', '/', '\\', control bytes, too long).
    [[nodiscard]] static constexpr result<file_name> make(std::string_view text) noexcept {
        if (text.size() > size_max || !is_safe(text)) return error{.code = errc::unsafe_name};
        auto made = file_name{};
        for (auto const c : text) made.text_[made.size_++] = c;
        return made;
    }

    [[nodiscard]] constexpr std::string_view view() const noexcept { return {text_.data(), size_}; }
    [[nodiscard]] constexpr char const* c_str() const noexcept { return text_.data(); }
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    friend constexpr bool operator==(file_name const& a, file_name const& b) noexcept {
        return a.view() == b.view();
    }
    friend constexpr auto operator<=>(file_name const& a, file_name const& b) noexcept {
        return a.view() <=> b.view();
    }

    // Appends what is known to be safe and short: hex digits, a suffix. Requires: it fits.
    constexpr file_name& add(std::string_view part) noexcept {
        ensure(size_ + part.size() <= size_max, "file_name::add fits");
        for (auto const c : part) text_[size_++] = c;
        return *this;
    }
    constexpr file_name& add_hex16(std::uint64_t number) noexcept {
        for (int shift = 60; shift >= 0; shift -= 4) {
            char const digit = "0123456789abcdef"[(number >> shift) & 15];
            add({&digit, 1});
        }
        return *this;
    }

    [[nodiscard]] static constexpr bool is_safe(std::string_view text) noexcept {
        if (text.empty() || text == "." || text == ".." || text.front() == '-') return false;
        for (auto const c : text) {
            auto const byte = static_cast<unsigned char>(c);
            if (byte < 0x20 || byte == 0x7F || c == '/' || c == '\\') return false;
        }
        return true;
    }

private:
    std::array<char, size_max + 1> text_{}; // always NUL terminated
    std::uint8_t size_ = 0;
};

} // namespace jetpp::inline v1
