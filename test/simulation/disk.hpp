// test/simulation/disk.hpp - few words for tests of the simulated disk.
#pragma once

#include <jetpp/env/io.hpp>
#include <jetpp/simulation/simulated_machine.hpp>
#include <jetpp/simulation/simulated_storage.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test {

using namespace jetpp;

inline constexpr auto make_new = open_how{.mode = open_mode::create_new, .io = io_mode::buffered};
inline constexpr auto make_or_open =
    open_how{.mode = open_mode::open_or_create, .io = io_mode::buffered};
inline constexpr auto use_old = open_how{.mode = open_mode::read_write, .io = io_mode::buffered};

[[nodiscard]] inline simulated_directory open_db(simulated_machine& machine) {
    auto opened = simulated_storage{machine}.open_dir("/db", directory_how::create_if_missing);
    REQUIRE(opened.has_value());
    return std::move(opened).value();
}

// n bytes of one letter.
[[nodiscard]] inline std::vector<std::byte> filled(std::size_t n, char with) {
    return std::vector<std::byte>(n, static_cast<std::byte>(with));
}

inline void write(
    simulated_file& file,
    std::uint64_t offset,
    std::vector<std::byte> const& content,
    write_how how = write_how::cached
) {
    REQUIRE(write_full(file, content, offset, how).has_value());
}

// One character for each run of `unit` equal bytes: "aab." is two units of a, one of b, one of
// zeros; '?' stands for bytes that differ inside a unit.
[[nodiscard]] inline std::string picture(std::vector<std::byte> const& content, std::size_t unit) {
    auto drawn = std::string{};
    for (std::size_t at = 0; at < content.size(); at += unit) {
        auto shown = content[at] == std::byte{0} ? '.' : static_cast<char>(content[at]);
        for (auto i = at; i < at + unit && i < content.size(); ++i)
            if (content[i] != content[at]) shown = '?';
        drawn += shown;
    }
    return drawn;
}

} // namespace jetpp_test
