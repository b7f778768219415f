// jetpp/btree/detail/apply_parts.hpp - the parts of structure records, images and maps on one page.
//
// A part is applied alone, whatever became of the other pages of its record: it says all that its
// page must become. Everything a record says is checked against the page; a mismatch is damage.
// Threads  one writer, under the exclusive latch or in recovery.
#pragma once

#include <jetpp/btree/detail/apply_rows.hpp>
#include <jetpp/log/records_space.hpp>
#include <jetpp/page/page_check.hpp>
#include <jetpp/page/page_editor.hpp>
#include <jetpp/page/space_map.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1::detail {

template <std::size_t PageSize>
class part_applier {
public:
    using limits = page_limits<PageSize>;

    part_applier(std::byte* page, page_part const& part, page_stamp stamp) noexcept
        : page_{page}, editor_{page}, part_{part}, stamp_{stamp} {}

    // All actions of one part. An empty part only stamps the page.
    [[nodiscard]] result<void> actions(std::size_t count, const_bytes raw) noexcept {
        BOOST_OUTCOME_TRY(for_each_action(
            raw,
            count,
            [&](action_kind kind, std::uint16_t argument, const_bytes content) -> result<void> {
                BOOST_OUTCOME_TRY(auto const sound, action(kind, argument, content));
                if (!sound) return cannot_apply(part_.page, stamp_);
                return ok();
            }
        ));
        return stamped();
    }

    [[nodiscard]] result<void> runs(map_runs const& all) noexcept {
        if (!set_bits(all)) return cannot_apply(part_.page, stamp_, damage::space_map);
        return stamped();
    }

    // The hole between head and tail is zero. The flush counter is the frame's own business.
    [[nodiscard]] result<void> image(record::page_image const& whole) noexcept {
        constexpr auto begin = record::page_image::page_header_begin;
        auto const* header = whole.page_header.data();
        if (whole.page_header.size() != record::page_image::page_header_bytes ||
            whole.head.size() + whole.tail.size() > limits::content_bytes ||
            load_le<std::uint32_t>(header + (page_offset::number - begin)) != part_.page.value ||
            std::to_integer<std::uint8_t>(header[page_offset::kind - begin]) != whole.kind ||
            std::to_integer<std::uint8_t>(header[page_offset::level - begin]) != whole.level)
            return cannot_apply(part_.page, stamp_);
        auto const counter =
            static_cast<std::uint16_t>(editor_.view().flags() & page_flag::flush_counter);
        page_memory::fill_zero(page_, PageSize);
        page_memory::store_bytes(page_ + begin, header, whole.page_header.size());
        page_memory::store_bytes(
            page_ + page_offset::content, whole.head.data(), whole.head.size()
        );
        page_memory::store_bytes(
            page_ + PageSize - whole.tail.size(), whole.tail.data(), whole.tail.size()
        );
        auto const flags = editor_.view().flags() & ~unsigned{page_flag::flush_counter};
        page_memory::store<std::uint16_t>(
            page_ + page_offset::flags, static_cast<std::uint16_t>(flags | counter)
        );
        // The one way into a page that no editor has checked.
        if (auto const wrong = check_page(editor_.view()); wrong != damage::none)
            return cannot_apply(part_.page, stamp_, wrong);
        return stamped();
    }

    // The space map of a region that begins inside a growing file.
    [[nodiscard]] result<void> fresh_map() noexcept {
        space_map_editor<PageSize>{page_}.format(part_.page);
        return stamped();
    }

private:
    [[nodiscard]] result<bool> action(
        action_kind kind, std::uint16_t argument, const_bytes content
    ) noexcept {
        switch (kind) {
        case action_kind::format: return format(argument, content);
        case action_kind::cut_right: {
            auto a = cut_right_action{};
            if (!cut_right_action::read(argument, content, a)) return bad_record();
            return is_tree_page() && a.upper_fence.has_value() &&
                   editor_.cut_right(a.first_slot, *a.upper_fence, a.upper_child);
        }
        case action_kind::add_child: {
            auto a = add_child_action{};
            if (!add_child_action::read(argument, content, a)) return bad_record();
            return add_child(a);
        }
        case action_kind::set_child: {
            auto a = set_child_action{};
            if (!set_child_action::read(argument, content, a)) return bad_record();
            return is_inner() && editor_.set_child(slot_of(a.slot), a.child);
        }
        case action_kind::drop_children: {
            auto a = drop_children_action{};
            if (!drop_children_action::read(argument, content, a)) return bad_record();
            return drop_children(a);
        }
        case action_kind::append: return append(argument, content);
        case action_kind::map_bits: {
            auto all = map_runs{};
            if (!map_runs::read(argument, content, all)) return bad_record();
            return set_bits(all);
        }
        case action_kind::empty_inner: return is_inner() && editor_.empty_inner();
        }
        return bad_record().with_lsn(stamp_.at);
    }

    [[nodiscard]] result<bool> format(std::uint16_t argument, const_bytes content) noexcept {
        auto a = format_action{};
        if (!format_action::read(argument, content, a)) return bad_record();
        auto const kind = static_cast<page_kind>(a.kind);
        if (kind != page_kind::leaf && kind != page_kind::inner) return false;
        if ((kind == page_kind::leaf) != (a.level == 0)) return false;
        return editor_.format(
            {
                .number = part_.page,
                .tree = a.tree,
                .kind = kind,
                .level = a.level,
                .flags = a.page_flags,
                .upper_child = a.upper_child,
                .lower = a.lower_fence,
                .upper = a.upper_fence,
            },
            a.rows.count,
            a.rows.raw
        );
    }
    [[nodiscard]] result<bool> append(std::uint16_t argument, const_bytes content) noexcept {
        auto a = append_action{};
        if (!append_action::read(argument, content, a)) return bad_record();
        return is_tree_page() &&
               editor_.append(a.upper_fence, a.upper_child, a.rows.count, a.rows.raw);
    }
    [[nodiscard]] bool add_child(add_child_action const& a) noexcept {
        auto separator = key_buffer<PageSize>{};
        auto const front = editor_.view().prefix();
        auto const size = front.size() + a.separator_suffix.size();
        if (!is_inner() || size > sizeof separator.raw) return false;
        page_memory::load_bytes(separator.raw, front.data(), front.size());
        page_memory::load_bytes(
            separator.raw + front.size(), a.separator_suffix.data(), a.separator_suffix.size()
        );
        return editor_.add_child(slot_of(a.slot), a.child, {separator.raw, size});
    }
    // Slots count before the record, ascending, the upper child last.
    [[nodiscard]] bool drop_children(drop_children_action const& a) noexcept {
        if (!is_inner()) return false;
        for (auto i = std::size_t{a.count}; i-- > 0;) {
            auto const one = a[i];
            auto const slot = slot_of(one.slot);
            if (slot > editor_.view().row_count() || editor_.view().child(slot) != one.child ||
                !editor_.drop_child(slot))
                return false;
        }
        return true;
    }
    // A bit never changes to what it is: that would be a page allocated or freed twice.
    [[nodiscard]] bool set_bits(map_runs const& all) noexcept {
        if (editor_.view().kind() != page_kind::space_map) return false;
        auto map = space_map_editor<PageSize>{page_};
        for (std::size_t i = 0; i < all.count; ++i) {
            auto const run = all[i];
            if (!map.set(run.first, run.count, run.set)) return false;
        }
        return true;
    }

    [[nodiscard]] bool is_inner() const noexcept { return editor_.view().is_inner(); }
    [[nodiscard]] bool is_tree_page() const noexcept {
        return is_inner() || editor_.view().is_leaf();
    }
    [[nodiscard]] std::uint32_t slot_of(std::uint16_t slot) const noexcept {
        return slot == no_slot ? editor_.view().row_count() : slot;
    }
    [[nodiscard]] result<void> stamped() noexcept {
        editor_.set_page_lsn(stamp_.at, stamp_.timeline_low);
        return ok();
    }

    std::byte* page_;
    page_editor<PageSize> editor_;
    page_part part_;
    page_stamp stamp_;
};

} // namespace jetpp::inline v1::detail
