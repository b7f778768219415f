// jetpp/backup/page_policies.hpp - from what a manifest says of its pages to code compiled for them.
//
//     with_page_policies(4096, "crc32c", [&]<std::size_t PageSize, class Checksum>() { ... })
//
// For work that needs little of the engine: each of the ten combinations is compiled.
// Errors: unsupported (a page size or checksum this build does not know).
#pragma once

#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/checksum/xxh3.hpp>
#include <jetpp/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

template <class F>
[[nodiscard]] auto with_page_policies(std::uint32_t page_size, std::string_view checksum, F&& f)
    -> decltype(f.template operator()<8192, crc32c>()) {
    auto const sized = [&]<class Checksum>() -> decltype(f.template operator()<8192, crc32c>()) {
        switch (page_size) {
        case 4096: return f.template operator()<4096, Checksum>();
        case 8192: return f.template operator()<8192, Checksum>();
        case 16384: return f.template operator()<16384, Checksum>();
        case 32768: return f.template operator()<32768, Checksum>();
        case 65536: return f.template operator()<65536, Checksum>();
        default: return error{.code = errc::unsupported};
        }
    };
    if (checksum == crc32c::name) return sized.template operator()<crc32c>();
    if (checksum == xxh3_64::name) return sized.template operator()<xxh3_64>();
    return error{.code = errc::unsupported};
}

} // namespace jetpp::inline v1
