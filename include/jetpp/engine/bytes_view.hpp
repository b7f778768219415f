// jetpp/engine/bytes_view.hpp - keys and values as parameters.
//
// Made from text or bytes, never stored, never returned: it only carries a view through a call.
// A literal is its characters without the NUL; a char array that is not a literal is refused, since
// nobody can say where its text ends.
#pragma once

#include <jetpp/core/bytes.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace jetpp::inline v1 {

class bytes_view {
public:
    constexpr bytes_view(std::string_view text) noexcept : data_{text.data()}, size_{text.size()} {}
    bytes_view(std::string const& text) noexcept : data_{text.data()}, size_{text.size()} {}
    bytes_view(const_bytes raw) noexcept
        : data_{reinterpret_cast<char const*>(raw.data())}, size_{raw.size()} {}
    bytes_view(bytes raw) noexcept : bytes_view{const_bytes{raw}} {}
    template <std::size_t N>
    consteval bytes_view(char const (&literal)[N]) noexcept : data_{literal}, size_{N - 1} {}
    bytes_view(std::nullptr_t) = delete;

    [[nodiscard]] const_bytes raw() const noexcept {
        return std::as_bytes(std::span{data_, size_});
    }

private:
    char const* data_;
    std::size_t size_;
};

} // namespace jetpp::inline v1
