// jetpp/btree/detail/apply_rows.hpp - row changes on one page.
//
// Each function does what one kind of record says, checks first that the page is the one the record
// speaks of, and stamps page_lsn last. A mismatch is damage, never an assertion: in redo it comes
// from the disk. `versioned` is set for rows of transactions, at run time as in redo.
// Threads  one writer, under the exclusive latch or in recovery.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/log/records_rows.hpp>
#include <jetpp/page/page_editor.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

// What every applied record leaves on its pages.
struct page_stamp {
    lsn at{};
    std::uint32_t timeline_low{}; // of the segment the record lies in
};

namespace detail {

[[nodiscard]] inline error cannot_apply(
    page_number page, page_stamp stamp, damage reason = damage::layout
) noexcept {
    return {
        .code = errc::page_damaged,
        .page = page,
        .file = file_kind::database,
        .reason = reason,
        .at = stamp.at,
    };
}

template <std::size_t PageSize>
class row_applier {
public:
    row_applier(
        std::byte* page, page_part const& part, page_stamp stamp, record_flags flags
    ) noexcept
        : editor_{page}, part_{part}, stamp_{stamp},
          new_flags_{has(flags, record_flags::system) ? row_flags::none : row_flags::versioned} {
        if (has(part.flags, part_flags::new_indirect))
            new_flags_ = new_flags_ | row_flags::indirect;
    }

    [[nodiscard]] result<void> insert(const_bytes key, const_bytes value) noexcept {
        if (!is_leaf() || !editor_.insert(part_.slot, key, value, new_flags_)) return refuse();
        return stamped();
    }

    // An update, or what is left of one: the new value.
    [[nodiscard]] result<void> replace(const_bytes key, const_bytes value) noexcept {
        if (!is_row(key) || is_ghost()) return refuse();
        return put(value, kept_flags() | new_flags_);
    }

    [[nodiscard]] result<void> ghost(const_bytes key, const_bytes value) noexcept {
        if (!is_row(key) || is_ghost()) return refuse();
        auto const flags = kept_flags() | new_flags_ | row_flags::ghost;
        auto const now = view().value(part_.slot);
        if (value.data() == now.data() || compare_bytes(now, value) == 0) {
            if (!editor_.set_flags(part_.slot, flags)) return refuse();
            return stamped();
        }
        return put(value, flags);
    }

    [[nodiscard]] result<void> revive(const_bytes key, const_bytes value) noexcept {
        if (!is_row(key) || !is_ghost()) return refuse();
        return put(value, without(kept_flags(), row_flags::ghost) | new_flags_);
    }

    // The new value is made of the old one on the page.
    [[nodiscard, gnu::noinline]] result<void> update(record::update const& change) noexcept {
        std::byte made[page_limits<PageSize>::inline_value_bytes_max];
        if (!is_row(change.key) || change.new_size > sizeof made) return refuse();
        auto const value = bytes{made, change.new_size};
        if (!change.apply(view().value(part_.slot), value)) return refuse();
        return replace(change.key, value);
    }

    [[nodiscard]] result<void> revive(record::revive const& change) noexcept {
        if (!is_row(change.key) || compare_bytes(view().value(part_.slot), change.old_value) != 0)
            return refuse();
        return revive(change.key, change.new_value);
    }

    // Ghosts: any record::ghost_remove or its draft. Slots count before the record.
    template <class Ghosts>
    [[nodiscard]] result<void> remove_ghosts(Ghosts const& ghosts) noexcept {
        auto removed = std::uint32_t{0};
        auto sound = is_leaf();
        ghosts([&](removed_ghost const& one) {
            auto const slot = static_cast<std::uint32_t>(one.slot) - removed;
            sound = sound && one.slot >= removed && slot < view().row_count() &&
                    view().is_ghost(slot) && view().compare_key(slot, one.key) == 0 &&
                    editor_.remove(slot);
            ++removed;
        });
        if (!sound) return refuse();
        return stamped();
    }

    template <class Rows>
    [[nodiscard]] result<void> insert_run(Rows const& rows) noexcept {
        auto slot = std::uint32_t{part_.slot};
        auto sound = is_leaf();
        rows([&](key_value const& row) {
            sound = sound && editor_.insert(slot, row.key, row.value, new_flags_);
            ++slot;
        });
        if (!sound) return refuse();
        return stamped();
    }

private:
    [[nodiscard]] page_view<PageSize> view() const noexcept { return editor_.view(); }
    [[nodiscard]] bool is_leaf() const noexcept { return view().is_leaf(); }
    [[nodiscard]] bool is_row(const_bytes key) const noexcept {
        return is_leaf() && part_.slot < view().row_count() &&
               view().compare_key(part_.slot, key) == 0;
    }
    [[nodiscard]] bool is_ghost() const noexcept { return view().is_ghost(part_.slot); }
    [[nodiscard]] row_flags kept_flags() const noexcept {
        return without(view().row_flags_of(part_.slot), row_flags::indirect);
    }
    [[nodiscard]] result<void> put(const_bytes value, row_flags flags) noexcept {
        if (!editor_.replace_value(part_.slot, value, flags)) return refuse();
        return stamped();
    }
    [[nodiscard]] result<void> stamped() noexcept {
        editor_.set_page_lsn(stamp_.at, stamp_.timeline_low);
        return ok();
    }
    [[nodiscard]] error refuse() const noexcept { return cannot_apply(part_.page, stamp_); }

    page_editor<PageSize> editor_;
    page_part part_;
    page_stamp stamp_;
    row_flags new_flags_;
};

} // namespace detail
} // namespace jetpp::inline v1
