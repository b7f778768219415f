// tools/set_paths.hpp - where sets lie, and how large they are: for all commands about sets.
#pragma once

#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/repository.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tool_build.hpp"

namespace jetpp_tool {

using repository = jetpp::repository<environment>;

// For printf.
[[nodiscard]] inline unsigned long long number(std::uint64_t n) {
    return n;
}

[[nodiscard]] inline std::string below(std::string const& path, std::string_view name) {
    if (name.empty()) return path;
    auto all = path;
    if (all.empty() || all.back() != '/') all += '/';
    return all + std::string{name};
}
// Of a set in a repository, or the path of a set itself.
[[nodiscard]] inline std::string path_of_set(std::string const& path, std::string_view name) {
    if (name.empty() || name == path) return path;
    return below(below(path, jetpp::sets_directory_name.view()), name);
}

[[nodiscard]] inline std::uint64_t bytes_of(jetpp::backup_manifest const& manifest) {
    auto sum = std::uint64_t{0};
    for (auto const& part : manifest.parts) sum += part.summary.bytes;
    return sum;
}

// Of sets that were read: an HMAC says who wrote them, or nothing does.
inline void print_authenticity(std::uint64_t authenticated, std::uint64_t sets) {
    if (authenticated == 0)
        std::printf("authenticity: none\n");
    else
        std::printf(
            "authenticity: hmac of %llu, none of %llu\n",
            number(authenticated),
            number(sets - authenticated)
        );
}

// Not /tmp, which may be memory: restored databases are as large as they were.
[[nodiscard]] inline std::string scratch_place(std::string const& asked) {
    if (!asked.empty()) return asked;
    auto const* const named = std::getenv("TMPDIR");
    return named != nullptr && *named != 0 ? named : "/var/tmp";
}

} // namespace jetpp_tool
