// jetpp/checksum/concepts.hpp - what a page checksum promises, and the one that promises nothing.
//
// The sum is seeded with the database's nonce and the page's own number: a page of another
// database, of a former life of the file, or written to the wrong place does not verify.
// Threads  pure functions.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>

namespace jetpp::inline v1 {

// `id` is the number in database headers, `name` the word in options and messages.
// page_sum takes a page without its first 8 bytes, which are the field that holds the sum.
template <class C>
concept checksum_algorithm = requires(const_bytes rest, std::uint64_t nonce, page_number page) {
    requires std::same_as<decltype(C::id), std::uint16_t const>;
    requires std::same_as<decltype(C::name), std::string_view const>;
    { C::page_sum(rest, nonce, page) } noexcept -> std::same_as<std::uint64_t>;
};

// For memory storage only, where no byte outlives the process: a disk needs a real sum.
struct no_checksum {
    static constexpr std::uint16_t id = 0;
    static constexpr std::string_view name = "none";

    [[nodiscard]] static constexpr std::uint64_t page_sum(
        const_bytes, std::uint64_t, page_number
    ) noexcept {
        return 0;
    }
};
static_assert(checksum_algorithm<no_checksum>);

} // namespace jetpp::inline v1
