// jetpp/core/describe.hpp - one line of text for an error, without allocation.
//
// "page_damaged: a page fails its verification; ... (database 1, page 77, checksum)". In the parts
// of a backup set the place is a part and a frame. Tools and examples print it; the engine itself
// never formats text.
#pragma once

#include <jetpp/core/error.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace jetpp::inline v1 {

class error_text {
public:
    [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }
    [[nodiscard]] char const* c_str() const noexcept { return text_.data(); }

    void add(std::string_view part) noexcept {
        for (auto const c : part)
            if (size_ + 1 < text_.size()) text_[size_++] = c;
        text_[size_] = '\0';
    }
    void add_number(std::uint64_t number) noexcept {
        auto digits = std::array<char, 20>{};
        auto count = std::size_t{0};
        do {
            digits[count++] = static_cast<char>('0' + number % 10);
            number /= 10;
        } while (number != 0);
        while (count != 0) add({&digits[--count], 1});
    }

private:
    std::array<char, 320> text_{};
    std::size_t size_ = 0;
};

[[nodiscard]] inline error_text describe(error const& e) noexcept {
    auto text = error_text{};
    text.add(name_of(e.code));
    text.add(": ");
    text.add(meaning_of(e.code));
    char const* separator = " (";
    auto next = [&](std::string_view label) {
        text.add(separator);
        text.add(label);
        separator = ", ";
    };
    auto const two_values = e.code == errc::page_size_mismatch ||
                            e.code == errc::checksum_mismatch ||
                            e.code == errc::segment_size_mismatch;
    if (e.file != file_kind::none) next(name_of(e.file));
    if (e.database != 0) next("database "), text.add_number(e.database);
    if (two_values) {
        next("the files have "), text.add_number(e.found());
        next("the engine "), text.add_number(e.expected());
    } else if (e.file == file_kind::backup_part && e.page != no_page) {
        next("part "), text.add_number(e.page.value);
        next("frame "), text.add_number(e.at.value);
        if (e.reason != damage::none) next(name_of(e.reason));
    } else {
        if (e.page != no_page) next("page "), text.add_number(e.page.value);
        if (e.reason != damage::none) next(name_of(e.reason));
        if (e.at) next("LSN "), text.add_number(e.at.value);
    }
    if (e.os_errno != 0) next("errno "), text.add_number(e.os_errno);
    if (separator[0] == ',') text.add(")");
    return text;
}

} // namespace jetpp::inline v1
