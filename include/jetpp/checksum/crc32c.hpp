// jetpp/checksum/crc32c.hpp - CRC-32C, the sum of log records, headers and (by default) pages.
//
// The standard one: Castagnoli polynomial, reflected, initial and final xor 0xFFFFFFFF;
// "123456789" -> 0xE3069283. Finds every burst of up to 32 bits and, over a page, every change of
// up to three bits. The processor is asked at run time; what lanes compute the number never
// changes it, and in constant expressions tables do.
// Threads  pure functions; an accumulator belongs to one caller.
#pragma once

#include <jetpp/checksum/concepts.hpp>
#include <jetpp/checksum/detail/crc32c_portable.hpp>
#include <jetpp/checksum/detail/crc32c_x86.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace jetpp::inline v1 {

// The sum of all that was added, in order: crc32c_accumulator{}.add(a).add_u64(n).value().
class crc32c_accumulator {
public:
    constexpr crc32c_accumulator() noexcept = default;
    // Continues where another accumulator's value() stood.
    constexpr explicit crc32c_accumulator(std::uint32_t sum_so_far) noexcept
        : state_{~sum_so_far} {}

    constexpr crc32c_accumulator& add(const_bytes next) noexcept {
#if defined(__x86_64__)
        if (!std::is_constant_evaluated() && detail::crc32c_has_hardware()) {
            state_ = detail::crc32c_hardware(state_, next.data(), next.size());
            return *this;
        }
#endif
        state_ = detail::crc32c_portable(state_, next.data(), next.size());
        return *this;
    }
    // Adds the number's bytes in little endian order.
    constexpr crc32c_accumulator& add_u64(std::uint64_t next) noexcept {
#if defined(__x86_64__)
        if (!std::is_constant_evaluated() && detail::crc32c_has_hardware()) {
            state_ = detail::crc32c_hardware_word(state_, next);
            return *this;
        }
#endif
        state_ = detail::crc32c_word(state_, next);
        return *this;
    }
    constexpr crc32c_accumulator& add_u32(std::uint32_t next) noexcept {
        for (int i = 0; i < 4; ++i, next >>= 8)
            state_ = detail::crc32c_byte(state_, static_cast<std::byte>(next & 0xFF));
        return *this;
    }
    [[nodiscard]] constexpr std::uint32_t value() const noexcept { return ~state_; }

private:
    std::uint32_t state_ = ~std::uint32_t{0};
};

// crc32c_of(b, crc32c_of(a)) is the sum of a followed by b.
[[nodiscard]] constexpr std::uint32_t crc32c_of(
    const_bytes all, std::uint32_t sum_so_far = 0
) noexcept {
    return crc32c_accumulator{sum_so_far}.add(all).value();
}

// The checksum field of a header, slot, index or journal: the sum of the structure without its
// first 8 bytes (the field itself), unseeded, upper 32 bits zero.
[[nodiscard]] constexpr std::uint64_t structure_sum(const_bytes structure_from_byte_8) noexcept {
    return crc32c_of(structure_from_byte_8);
}

// The default page checksum.
struct crc32c {
    static constexpr std::uint16_t id = 1;
    static constexpr std::string_view name = "crc32c";

    // CRC-32C over nonce (8), page number (4), zero (4), then the page from byte 8.
    [[nodiscard]] static constexpr std::uint64_t page_sum(
        const_bytes page_from_byte_8, std::uint64_t nonce, page_number page
    ) noexcept {
        return crc32c_accumulator{}
            .add_u64(nonce)
            .add_u64(page.value)
            .add(page_from_byte_8)
            .value();
    }
};
static_assert(checksum_algorithm<crc32c>);

} // namespace jetpp::inline v1
