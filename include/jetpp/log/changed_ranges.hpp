// jetpp/log/changed_ranges.hpp - which bytes of a value an update really changes.
//
// Values of one size: the differing stretches; stretches a few bytes apart become one, since a
// range costs 12 bytes and an equal byte between two costs 2. Values of two sizes: what is left
// between their common beginning and their common end, as one range.
// Owns     nothing: the ranges view both values.
// Threads  pure functions.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/log/records_rows.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace jetpp::inline v1 {

// Returns: the first elements of `into`, filled; none if the values are equal. When `into` is full
// the last range takes all that is left.
// Requires: !into.empty(); values shorter than 4 GiB.
// Complexity: O(n).
[[nodiscard]] inline std::span<changed_range const> find_changed_ranges(
    const_bytes old_value, const_bytes new_value, std::span<changed_range> into
) noexcept {
    ensure(!into.empty(), "there is room for one changed range");
    auto const shorter = old_value.size() < new_value.size() ? old_value.size() : new_value.size();
    auto first = std::size_t{0};
    while (first < shorter && old_value[first] == new_value[first]) ++first;
    auto same_end = std::size_t{0};
    while (same_end < shorter - first &&
           old_value[old_value.size() - 1 - same_end] == new_value[new_value.size() - 1 - same_end])
        ++same_end;
    auto const old_end = old_value.size() - same_end;
    auto const new_end = new_value.size() - same_end;
    auto const range = [&](std::size_t begin, std::size_t in_old, std::size_t in_new) {
        return changed_range{
            .offset = static_cast<std::uint32_t>(begin),
            .old_bytes = old_value.subspan(begin, in_old - begin),
            .new_bytes = new_value.subspan(begin, in_new - begin)
        };
    };
    if (first == old_end && first == new_end) return {};
    if (old_value.size() != new_value.size()) {
        into[0] = range(first, old_end, new_end);
        return into.first(1);
    }
    constexpr auto gap_max = std::size_t{6};
    auto count = std::size_t{0};
    while (first < old_end) {
        auto end = first; // behind the last differing byte of this stretch
        for (auto i = first; i < old_end && i - end <= gap_max; ++i)
            if (old_value[i] != new_value[i]) end = i + 1;
        if (count + 1 == into.size()) end = old_end;
        into[count++] = range(first, end, end);
        first = end;
        while (first < old_end && old_value[first] == new_value[first]) ++first;
    }
    return into.first(count);
}

} // namespace jetpp::inline v1
