// jetpp/backup/page_ranges.hpp - which numbers of a file were delivered: a set, never a sum.
//
// Ranges are half-open, may come in any order, overlap and repeat. A sum would let a page read twice
// hide one that was never read.
// Invariants
//   * sorted, disjoint, not touching
// Complexity  O(ranges) an add; a file read from one end to the other is one range.
// Threads  one owner.
#pragma once

#include <jetpp/core/array_list.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace jetpp::inline v1 {

class page_ranges {
public:
    struct range {
        std::uint64_t first{};
        std::uint64_t end{};
        friend bool operator==(range const&, range const&) = default;
    };

    // Returns: false iff memory is out; the set is unchanged then.
    [[nodiscard]] bool add(std::uint64_t first, std::uint64_t end) noexcept {
        if (first >= end) return true;
        auto merged = range{first, end};
        auto kept = array_list<range>{};
        if (!kept.reserve(ranges_.size() + 1)) return false;
        auto placed = false;
        auto const place = [&] {
            if (!placed) (void)kept.push_back(merged);
            placed = true;
        };
        for (auto const& one : ranges_) {
            if (one.end < merged.first) {
                (void)kept.push_back(one);
            } else if (one.first > merged.end) {
                place();
                (void)kept.push_back(one);
            } else {
                merged = {std::min(one.first, merged.first), std::max(one.end, merged.end)};
            }
        }
        place();
        ranges_ = std::move(kept);
        return true;
    }
    [[nodiscard]] bool add(page_ranges const& others) noexcept {
        for (auto const& one : others.ranges_)
            if (!add(one.first, one.end)) return false;
        return true;
    }
    [[nodiscard]] bool covers(std::uint64_t first, std::uint64_t end) const noexcept {
        if (first >= end) return true;
        for (auto const& one : ranges_)
            if (one.first <= first && end <= one.end) return true;
        return false;
    }
    // How many numbers are in.
    [[nodiscard]] std::uint64_t count() const noexcept {
        auto sum = std::uint64_t{0};
        for (auto const& one : ranges_) sum += one.end - one.first;
        return sum;
    }
    [[nodiscard]] std::span<range const> all() const noexcept {
        return {ranges_.data(), ranges_.size()};
    }

private:
    array_list<range> ranges_;
};

} // namespace jetpp::inline v1
