// jetpp/log/structure_parts.hpp - what one structure change does to each of its pages.
//
// Layout (little-endian) of the parts of a structure or tree_create record:
//     part    {page part 24, n actions u16, zero 2, byte length of the actions u32}, then actions
//     action  {kind u16, argument u16, length u32, bytes padded to 8}
//     map part (page_free, page_alloc)  {page part 24, n u16, zero 6}, n x map run
//     map run (also the bytes of map_bits)  {first bit u32, count u16, set 1 or clear 0 u16}
//     moved row  {flags u16, suffix length u16, value length u16, zero 2, suffix, value}, unpadded
// Invariants
//   * at most one part a page: redo may apply each part alone, in any order of pages
//   * a suffix is the key without the prefix of the page *as the action leaves it*
// Owns     nothing: all views point into the record (reading) or the caller's buffer (building).
// Threads  pure functions; a builder has one owner.
// Source   one record a structure change, so that no crash can leave half of one.
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/log/detail/record_bytes.hpp>
#include <jetpp/log/record.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace jetpp::inline v1 {

enum class structure_op : std::uint16_t {
    split = 1,
    merge = 2,
    root_grow = 3,
    root_shrink = 4,
    rebalance = 5, // reserved
    move = 6,      // reserved
    drop_batch = 7,
    blob_free = 8,
};

enum class action_kind : std::uint16_t {
    format = 1,        // argument: row count
    cut_right = 2,     // argument: first slot removed
    add_child = 3,     // argument: slot
    set_child = 4,     // argument: slot, no_slot = upper child
    drop_children = 5, // argument: n
    append = 6,        // argument: row count
    map_bits = 7,      // argument: n
    empty_inner = 8,   // argument: 0
};

// A drop batch frees up to 1000 children: their parent, their map pages, and room to spare.
inline constexpr std::size_t structure_parts_max = 1024;
inline constexpr std::size_t structure_part_size = 32;
inline constexpr std::size_t structure_action_size = 8;
inline constexpr std::size_t moved_row_size = 8;
inline constexpr std::uint16_t infinite_fence = 0xFFFF;

// A row that travels with its page. When building, the key suffix may come in two pieces: a merge
// shortens the prefix, so what is cut from it comes before the old suffix. Parsed: one piece.
struct moved_row {
    std::uint16_t flags{}; // ghost 1, versioned 2, indirect 4
    const_bytes suffix_head{};
    const_bytes suffix{};
    const_bytes value{}; // of an inner page: the child, 4 bytes
};

struct dropped_child {
    std::uint16_t slot = no_slot; // no_slot = upper child
    page_number child{};
};

struct map_run {
    std::uint32_t first{};
    std::uint16_t count{};
    bool set{};
    friend constexpr bool operator==(map_run const&, map_run const&) noexcept = default;
};

inline void encode_map_run(std::byte* at, map_run const& run) noexcept {
    store_le<std::uint32_t>(at, run.first);
    store_le<std::uint16_t>(at + 4, run.count);
    store_le<std::uint16_t>(at + 6, run.set ? 1 : 0);
}

// Runs of bits of one map page.
struct map_runs {
    std::uint16_t count{};
    const_bytes raw{}; // count x 8

    [[nodiscard]] map_run operator[](std::size_t i) const noexcept {
        ensure(i < count, "map_runs index within bounds");
        auto const* p = raw.data() + 8 * i;
        return {
            load_le<std::uint32_t>(p),
            load_le<std::uint16_t>(p + 4),
            load_le<std::uint16_t>(p + 6) == 1
        };
    }
    [[nodiscard]] static bool read(std::uint16_t count, const_bytes raw, map_runs& runs) noexcept {
        if (raw.size() != std::size_t{8} * count) return false;
        for (std::size_t i = 0; i < count; ++i)
            if (load_le<std::uint16_t>(raw.data() + 8 * i + 6) > 1) return false;
        runs = {count, raw};
        return true;
    }
    static constexpr detail::record_parse<map_runs> parse{};
};

// Rows of format and append: bounds are checked by parse().
struct moved_rows {
    std::uint16_t count{};
    const_bytes raw{};

    [[nodiscard]] static bool read(
        std::uint16_t count, const_bytes raw, moved_rows& rows
    ) noexcept {
        auto in = detail::record_reader{raw, 0};
        for (std::size_t i = 0; i < count && !in.bad(); ++i) static_cast<void>(next(in));
        if (in.bad() || !in.rest().empty()) return false;
        rows = {count, raw};
        return true;
    }
    static constexpr detail::record_parse<moved_rows> parse{};
    // f(moved_row const&) in slot order.
    template <class F>
    void for_each(F&& f) const noexcept {
        auto in = detail::record_reader{raw, 0};
        for (std::size_t i = 0; i < count; ++i) f(next(in));
    }

private:
    [[nodiscard]] static moved_row next(detail::record_reader& in) noexcept {
        auto row = moved_row{};
        row.flags = in.u16();
        auto const suffix_size = in.u16();
        auto const value_size = in.u16();
        in.skip(2);
        row.suffix = in.raw(suffix_size);
        row.value = in.raw(value_size);
        return row;
    }
};

// kind u8, level u8, page flags u16, tree id u32, upper child u32, lower fence length u16, upper
// fence length u16 (0xFFFF = infinite), zero 4, fences, rows. (20 bytes, then the rest.)
struct format_action {
    std::uint8_t kind{};
    std::uint8_t level{};
    std::uint16_t page_flags{};
    tree_id tree{};
    page_number upper_child{};
    std::optional<const_bytes> lower_fence{}; // empty = infinite
    std::optional<const_bytes> upper_fence{};
    moved_rows rows{};

    [[nodiscard]] static bool read(
        std::uint16_t argument, const_bytes action, format_action& a
    ) noexcept {
        auto in = detail::record_reader{action, 0};
        a.kind = in.u8();
        a.level = in.u8();
        a.page_flags = in.u16();
        a.tree = {in.u32()};
        a.upper_child = {in.u32()};
        auto const lower_size = in.u16();
        auto const upper_size = in.u16();
        in.skip(4);
        if (lower_size != infinite_fence) a.lower_fence = in.raw(lower_size);
        if (upper_size != infinite_fence) a.upper_fence = in.raw(upper_size);
        auto const rows = in.rest();
        if (in.bad()) return false;
        return moved_rows::read(argument, rows, a.rows);
    }
    static constexpr detail::record_parse<format_action> parse{};
};

// new upper fence length u16 (0xFFFF = infinite), zero 2, new upper child u32, fence. Rows from
// first_slot on leave.
struct cut_right_action {
    std::uint16_t first_slot{};
    page_number upper_child{};
    std::optional<const_bytes> upper_fence{};

    [[nodiscard]] static bool read(
        std::uint16_t argument, const_bytes action, cut_right_action& a
    ) noexcept {
        auto in = detail::record_reader{action, 0};
        a.first_slot = argument;
        auto const fence_size = in.u16();
        in.skip(2);
        a.upper_child = {in.u32()};
        if (fence_size != infinite_fence) a.upper_fence = in.raw(fence_size);
        return in.rest().empty() && !in.bad();
    }
    static constexpr detail::record_parse<cut_right_action> parse{};
};

// child u32, suffix length u32, separator suffix. The child that was in the slot (or the upper
// child) keeps the keys at or above the separator; the new cell names the left one.
struct add_child_action {
    std::uint16_t slot{};
    page_number child{};
    const_bytes separator_suffix{};

    [[nodiscard]] static bool read(
        std::uint16_t argument, const_bytes action, add_child_action& a
    ) noexcept {
        auto in = detail::record_reader{action, 0};
        a.slot = argument;
        a.child = {in.u32()};
        auto const suffix_size = in.u32();
        a.separator_suffix = in.raw(suffix_size);
        return in.rest().empty() && !in.bad();
    }
    static constexpr detail::record_parse<add_child_action> parse{};
};

// child u32, zero 4
struct set_child_action {
    std::uint16_t slot = no_slot;
    page_number child{};

    [[nodiscard]] static bool read(
        std::uint16_t argument, const_bytes action, set_child_action& a
    ) noexcept {
        if (action.size() != 8) return false;
        a = {argument, {load_le<std::uint32_t>(action.data())}};
        return true;
    }
    static constexpr detail::record_parse<set_child_action> parse{};
};

// n x {slot u16 (0xFFFF = upper child), zero 2, child u32}
struct drop_children_action {
    std::uint16_t count{};
    const_bytes raw{};

    [[nodiscard]] dropped_child operator[](std::size_t i) const noexcept {
        ensure(i < count, "drop_children_action index within bounds");
        auto const* p = raw.data() + 8 * i;
        return {load_le<std::uint16_t>(p), {load_le<std::uint32_t>(p + 4)}};
    }
    [[nodiscard]] static bool read(
        std::uint16_t argument, const_bytes action, drop_children_action& a
    ) noexcept {
        if (action.size() != std::size_t{8} * argument) return false;
        a = {argument, action};
        return true;
    }
    static constexpr detail::record_parse<drop_children_action> parse{};
};

// new upper fence length u16 (0xFFFF = infinite), zero 2, new upper child u32, fence, rows
struct append_action {
    page_number upper_child{};
    std::optional<const_bytes> upper_fence{};
    moved_rows rows{};

    [[nodiscard]] static bool read(
        std::uint16_t argument, const_bytes action, append_action& a
    ) noexcept {
        auto in = detail::record_reader{action, 0};
        auto const fence_size = in.u16();
        in.skip(2);
        a.upper_child = {in.u32()};
        if (fence_size != infinite_fence) a.upper_fence = in.raw(fence_size);
        auto const rows = in.rest();
        if (in.bad()) return false;
        return moved_rows::read(argument, rows, a.rows);
    }
    static constexpr detail::record_parse<append_action> parse{};
};

namespace detail {

// A callback of a walk may return void or result<void>; an error ends the walk.
template <class F, class... Args>
[[nodiscard]] result<void> call(F& f, Args const&... args) noexcept {
    if constexpr (std::is_void_v<decltype(f(args...))>) {
        f(args...);
        return ok();
    } else {
        return f(args...);
    }
}

} // namespace detail

// Walks `n` parts: f(page_part const&, std::uint16_t n_actions, const_bytes actions), returning
// void or result<void>.
// Errors: log_corrupt if the bytes are not exactly n parts; whatever f returns.
template <class F>
[[nodiscard]] result<void> for_each_part(const_bytes parts, std::size_t n, F&& f) noexcept {
    auto in = detail::record_reader{parts, 0};
    for (std::size_t i = 0; i < n; ++i) {
        auto const part = in.part();
        auto const action_count = in.u16();
        in.skip(2);
        auto const actions_size = in.u32();
        in.refuse_unless(actions_size % 8 == 0);
        auto const actions = in.raw(actions_size);
        if (in.bad()) return bad_record();
        BOOST_OUTCOME_TRY(detail::call(f, part, action_count, actions));
    }
    if (!in.rest().empty()) return bad_record();
    return ok();
}

// Walks the actions of one part: f(action_kind, std::uint16_t argument, const_bytes bytes).
// Errors: log_corrupt if the bytes are not exactly n actions; whatever f returns.
template <class F>
[[nodiscard]] result<void> for_each_action(const_bytes actions, std::size_t n, F&& f) noexcept {
    auto in = detail::record_reader{actions, 0};
    for (std::size_t i = 0; i < n; ++i) {
        auto const kind = static_cast<action_kind>(in.u16());
        auto const argument = in.u16();
        auto const size = std::uint64_t{in.u32()};
        auto const content = in.raw(size);
        in.skip(round_up(size, 8) - size);
        if (in.bad()) return bad_record();
        BOOST_OUTCOME_TRY(detail::call(f, kind, argument, content));
    }
    if (!in.rest().empty()) return bad_record();
    return ok();
}

// Walks the parts of page_free and page_alloc: f(page_part const&, map_runs const&).
template <class F>
[[nodiscard]] result<void> for_each_map_part(const_bytes parts, std::size_t n, F&& f) noexcept {
    auto in = detail::record_reader{parts, 0};
    for (std::size_t i = 0; i < n; ++i) {
        auto const part = in.part();
        auto const run_count = in.u16();
        in.skip(6);
        auto const raw = in.raw(std::uint64_t{8} * run_count);
        auto runs = map_runs{};
        if (in.bad() || !map_runs::read(run_count, raw, runs)) return bad_record();
        BOOST_OUTCOME_TRY(detail::call(f, part, runs));
    }
    if (!in.rest().empty()) return bad_record();
    return ok();
}

namespace detail {

// Frames of parts and actions in bounds, and no page twice. O(n^2) in parts, which are few.
[[nodiscard]] inline result<void> check_parts(const_bytes parts, std::size_t n) noexcept {
    if (n > structure_parts_max) return bad_record();
    auto index = std::size_t{0};
    return for_each_part(
        parts,
        n,
        [&](page_part const& part, std::uint16_t count, const_bytes actions) -> result<void> {
            auto in = record_reader{parts, 0};
            for (std::size_t before = 0; before < index; ++before) {
                if (in.part().page == part.page) return bad_record();
                in.skip(4);
                auto const size = in.u32();
                in.skip(size);
            }
            ++index;
            return for_each_action(actions, count, [](action_kind, std::uint16_t, const_bytes) {});
        }
    );
}

[[nodiscard]] inline result<void> check_map_parts(const_bytes parts, std::size_t n) noexcept {
    if (n > structure_parts_max) return bad_record();
    auto index = std::size_t{0};
    return for_each_map_part(parts, n, [&](page_part const& part, map_runs const&) -> result<void> {
        auto in = record_reader{parts, 0};
        for (std::size_t before = 0; before < index; ++before) {
            if (in.part().page == part.page) return bad_record();
            auto const runs = in.u16();
            in.skip(6 + std::uint64_t{8} * runs);
        }
        ++index;
        return ok();
    });
}

} // namespace detail
} // namespace jetpp::inline v1
