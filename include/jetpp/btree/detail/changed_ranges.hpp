// jetpp/btree/detail/changed_ranges.hpp - what an update changes, in few ranges.
//
// Values of one size are compared byte by byte; equal stretches shorter than what another range
// would cost stay inside one. Values of different size are one range, the whole value.
// Owns  nothing: the ranges view both values.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/log/records_rows.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace jetpp::inline v1::detail {

class changed_ranges {
public:
    static constexpr std::size_t ranges_max = 8;
    // A range costs 12 bytes; an equal byte inside one costs 2.
    static constexpr std::size_t gap_min = 7;

    changed_ranges(const_bytes before, const_bytes after) noexcept {
        if (before.size() != after.size()) {
            ranges_[count_++] = {0, before, after};
            return;
        }
        auto const size = before.size();
        for (auto at = next_difference(before, after, 0); at < size;) {
            auto end = at + 1;
            auto next = next_difference(before, after, end);
            while (next < size && (next - end < gap_min || count_ + 1 == ranges_max)) {
                end = next + 1;
                next = next_difference(before, after, end);
            }
            ranges_[count_++] = {
                static_cast<std::uint32_t>(at),
                before.subspan(at, end - at),
                after.subspan(at, end - at)
            };
            at = next;
        }
    }

    [[nodiscard]] std::span<changed_range const> all() const noexcept { return {ranges_, count_}; }

private:
    [[nodiscard]] static std::size_t next_difference(
        const_bytes a, const_bytes b, std::size_t from
    ) noexcept {
        auto at = from;
        while (at + 8 <= a.size() &&
               load_le<std::uint64_t>(a.data() + at) == load_le<std::uint64_t>(b.data() + at))
            at += 8;
        while (at < a.size() && a[at] == b[at]) ++at;
        return at;
    }

    changed_range ranges_[ranges_max]{};
    std::size_t count_ = 0;
};

} // namespace jetpp::inline v1::detail
