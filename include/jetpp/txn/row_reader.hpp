// jetpp/txn/row_reader.hpp - one row at one snapshot.
//
// The value is copied out under the leaf's latch, in the same moment in which its version was
// judged. Complexity: one descent.
// Threads  any.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/page/page_view.hpp>
#include <jetpp/txn/transaction_system.hpp>
#include <jetpp/txn/visibility.hpp>

#include <cstdint>
#include <utility>

namespace jetpp::inline v1 {

// `take(const_bytes value, bool indirect) noexcept -> result<void>` copies the value away.
// Returns: whether the reader sees a row.
// Errors: tree_dropped, page_damaged, io, out_of_memory, what `take` returned.
template <class Traits, class Take>
[[nodiscard]] result<bool> read_row(
    transaction_system<Traits>& system,
    read_view const& view,
    tree_place<Traits> const& place,
    const_bytes key,
    Take&& take
) noexcept {
    auto seen = result<bool>{false};
    auto const judge = [&](page_view<Traits::page_size> const& leaf, std::uint32_t slot, bool found
                       ) noexcept -> result<bool> {
        if (!found) return false;
        auto const flags = leaf.row_flags_of(slot);
        if (has(flags, row_flags::versioned) && !(leaf.page_lsn() < view.settled)) {
            BOOST_OUTCOME_TRY(
                auto const source,
                resolve_row(system.versions(), view, place.file->id(), place.id, key, take)
            );
            if (source != row_source::page) return source == row_source::image;
        }
        if (has(flags, row_flags::ghost)) return false;
        BOOST_OUTCOME_TRY(take(leaf.value(slot), has(flags, row_flags::indirect)));
        return true;
    };
    BOOST_OUTCOME_TRY(system.trees().read(
        place,
        key,
        [&](page_view<Traits::page_size> const& leaf, std::uint32_t slot, bool found) noexcept {
            seen = judge(leaf, slot, found);
        }
    ));
    return seen;
}

} // namespace jetpp::inline v1
