// jetpp/btree/detail/split_plan.hpp - where a page is cut in two, and by which separator.
//
// Leaf: rows from `first_right` on move right; the separator is the shortest byte string above the
// last row that stays and not above the first that goes. Inner: the separator of `first_right`
// moves up, its child becomes the upper child of the left page.
// The cut is the one with the shortest separator within a tenth of the middle. Keys that come in
// ascending order are cut behind the last row, so that pages fill up instead of staying half empty.
// Threads  pure functions over a latched page.
// Source   Bayer & Unterauer, "Prefix B-trees", 1977 (shortest separators).
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/page/page_view.hpp>

#include <cstdint>

namespace jetpp::inline v1::detail {

template <std::size_t PageSize>
struct split_plan {
    std::uint32_t first_right{};
    std::uint32_t separator_bytes{};
    key_buffer<PageSize> separator_raw{};

    [[nodiscard]] const_bytes separator() const noexcept {
        return {separator_raw.raw, separator_bytes};
    }
};

template <std::size_t PageSize>
class split_planner {
public:
    using view = page_view<PageSize>;
    using plan = split_plan<PageSize>;

    // `key` is what wants in.
    // Requires: a leaf has two rows, or one and `key` behind it; an inner page has three.
    explicit split_planner(view page, const_bytes key) noexcept : page_{page}, key_{key} {}

    void choose(plan& out) const noexcept {
        if (goes_last() && choose_append(out)) return;
        choose_middle(out);
    }

private:
    // Without an upper fence nothing will ever come between the last row and the key but more of
    // the same ascending run.
    [[nodiscard]] bool goes_last() const noexcept {
        if (page_.upper_fence()) return false;
        return page_.is_leaf() ? page_.search(key_).slot == page_.row_count()
                               : page_.child_index(key_) == page_.row_count();
    }

    // The left page keeps all it can: a full page may have no room for its new upper fence.
    [[nodiscard]] bool choose_append(plan& out) const noexcept {
        auto const count = page_.row_count();
        if (page_.is_inner()) {
            set_separator(out, count - 1, page_.key_bytes(count - 1));
            out.first_right = count - 1;
            return page_.fits_cut(count - 1, out.separator());
        }
        auto const longest = count < 4 ? count - 1 : count / 4;
        for (auto moved = std::uint32_t{0}; moved <= longest; ++moved) {
            out.first_right = count - moved;
            if (moved == 0)
                separate_from_key(out);
            else
                separate(out, out.first_right);
            if (page_.fits_cut(out.first_right, out.separator())) return true;
        }
        return false;
    }

    void choose_middle(plan& out) const noexcept {
        auto const count = page_.row_count();
        auto const inner = page_.is_inner();
        ensure(count >= (inner ? 3u : 2u), "a page without room has rows to split");
        auto total = std::uint32_t{0};
        for (auto i = std::uint32_t{0}; i < count; ++i) total += weight(i);
        auto const low = total / 2 - total / 10;
        auto const high = total / 2 + total / 10;
        // A leaf may be cut before any row but the first; of an inner page the ends must stay.
        auto const last = inner ? count - 2 : count - 1;
        auto best = std::uint32_t{0};
        auto best_bytes = ~std::uint32_t{0};
        auto before = std::uint32_t{0};
        auto nearest = std::uint32_t{1};
        auto nearest_distance = ~std::uint32_t{0};
        for (auto i = std::uint32_t{1}; i <= last; ++i) {
            before += weight(i - 1);
            auto const distance = before > total / 2 ? before - total / 2 : total / 2 - before;
            if (distance < nearest_distance) {
                nearest = i;
                nearest_distance = distance;
            }
            if (before < low || before > high) continue;
            auto const bytes = separator_bytes(i);
            if (bytes < best_bytes) {
                best = i;
                best_bytes = bytes;
            }
        }
        out.first_right = best != 0 ? best : nearest;
        if (inner)
            set_separator(out, out.first_right, page_.key_bytes(out.first_right));
        else
            separate(out, out.first_right);
    }

    [[nodiscard]] std::uint32_t weight(std::uint32_t i) const noexcept {
        return slot_bytes + cell_bytes(
                                page_.kind(),
                                static_cast<std::uint32_t>(page_.suffix(i).size()),
                                static_cast<std::uint32_t>(page_.value(i).size())
                            );
    }
    // Requires: i >= 1.
    [[nodiscard]] std::uint32_t separator_bytes(std::uint32_t i) const noexcept {
        if (page_.is_inner()) return page_.key_bytes(i);
        return static_cast<std::uint32_t>(page_.prefix().size()) +
               common_prefix(page_.suffix(i - 1), page_.suffix(i)) + 1;
    }
    void separate(plan& out, std::uint32_t i) const noexcept {
        set_separator(out, i, separator_bytes(i));
    }
    void set_separator(plan& out, std::uint32_t i, std::uint32_t length) const noexcept {
        auto const whole = page_.copy_key(i, out.separator_raw.all());
        ensure(length <= whole.size(), "keys of one page ascend strictly");
        out.separator_bytes = length;
    }
    void separate_from_key(plan& out) const noexcept {
        auto const last = page_.copy_key(page_.row_count() - 1, out.separator_raw.all());
        auto const length = common_prefix(last, key_) + 1;
        ensure(length <= key_.size(), "a key behind the last row is larger");
        page_memory::load_bytes(out.separator_raw.raw, key_.data(), length);
        out.separator_bytes = length;
    }

    view page_;
    const_bytes key_;
};

} // namespace jetpp::inline v1::detail
