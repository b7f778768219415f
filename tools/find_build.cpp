// The list of builds of the command: keep it in step with meson.build.
#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/checksum/xxh3.hpp>

#include "tool_build.hpp"

namespace jetpp_tool {

template <class Checksum>
static tool_build const* of_page_size(std::uint32_t page_size) noexcept {
    switch (page_size) {
    case 4096: return &build_of<4096, Checksum>();
    case 8192: return &build_of<8192, Checksum>();
    case 16384: return &build_of<16384, Checksum>();
    case 32768: return &build_of<32768, Checksum>();
    case 65536: return &build_of<65536, Checksum>();
    default: return nullptr;
    }
}

tool_build const* find_build(std::uint32_t page_size, std::uint16_t checksum_id) noexcept {
    switch (checksum_id) {
    case jetpp::crc32c::id: return of_page_size<jetpp::crc32c>(page_size);
    case jetpp::xxh3_64::id: return of_page_size<jetpp::xxh3_64>(page_size);
    default: return nullptr;
    }
}

tool_build const* find_build(std::uint32_t page_size, std::string_view checksum) noexcept {
    if (checksum == jetpp::crc32c::name) return of_page_size<jetpp::crc32c>(page_size);
    if (checksum == jetpp::xxh3_64::name) return of_page_size<jetpp::xxh3_64>(page_size);
    return nullptr;
}

} // namespace jetpp_tool
