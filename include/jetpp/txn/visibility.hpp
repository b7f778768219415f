// jetpp/txn/visibility.hpp - which version of a row a reader sees: one fold, used by all.
//
// Newest to oldest over the page's row: an entry the reader may see ends the fold; one he may not
// see replaces the row by its before-image. The caller holds the leaf's latch, so a rollback cannot
// change page and chain between the two looks.
// Threads  any; takes one bucket lock, copies the image out before it is given back.
// Source   design of the version store in version_entry.hpp; Halloween protection by positions.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/txn/transaction_state.hpp>
#include <jetpp/txn/version_store.hpp>

#include <cstdint>
#include <utility>

namespace jetpp::inline v1 {

// Where a reader stands.
struct read_view {
    lsn at{};      // sees commits at or below; max_lsn: the newest committed state
    lsn settled{}; // changes below it need no look
    transaction_state const* self{};
    // Own changes at or above this position are not seen: those made after a cursor opened.
    std::uint32_t own_end = ~std::uint32_t{0};

    [[nodiscard]] bool sees(version_entry const& entry) const noexcept {
        if (entry.owner == self && self != nullptr) return entry.position < own_end;
        auto const committed = entry.owner->committed_at();
        return committed && committed <= at;
    }
};

enum class row_source : std::uint8_t {
    page,  // what stands on the page (a ghost there means: no row)
    none,  // no row
    image, // an older value, handed to the sink
};

// Requires: the latch of the leaf that covers the key.
// `take_image(const_bytes value, bool indirect) -> result<void>` runs under the bucket lock.
template <class Env, class TakeImage>
[[nodiscard]] result<row_source> resolve_row(
    version_store<Env>& versions,
    read_view const& view,
    database_id database,
    tree_id tree,
    const_bytes key,
    TakeImage&& take_image
) noexcept {
    auto const hash = version_hash(database, tree, key);
    auto const bucket = versions.lock(hash);
    auto source = row_source::page;
    version_entry const* image = nullptr;
    for (auto* e = find_version(bucket.head(), database, tree, hash, key); e != nullptr;
         e = find_version(e->next, database, tree, hash, key)) {
        if (e->kind == version_kind::lock) continue;
        if (view.sees(*e)) break;
        switch (e->kind) {
        case version_kind::insert:
        case version_kind::revive: source = row_source::none; break;
        case version_kind::replace:
        case version_kind::erase:
            source = row_source::image;
            image = e;
            break;
        case version_kind::lock:
        case version_kind::create:
        case version_kind::patch: break; // recovery ends before there are readers
        }
    }
    if (source == row_source::image) {
        BOOST_OUTCOME_TRY(take_image(image->image(), image->image_indirect));
    }
    return source;
}

// Would a write by `view.self` at this key meet somebody else's change? An unfinished transaction's
// always conflicts; a committed one's if the writer's snapshot does not see it. Without a snapshot
// (view.at == max_lsn) only the unfinished ones do.
template <class Env>
[[nodiscard]] bool write_conflicts(
    version_store<Env>& versions,
    read_view const& view,
    database_id database,
    tree_id tree,
    const_bytes key
) noexcept {
    auto const hash = version_hash(database, tree, key);
    auto const bucket = versions.lock(hash);
    auto const* newest = find_version(bucket.head(), database, tree, hash, key);
    if (newest == nullptr || newest->owner == view.self) return false;
    auto const committed = newest->owner->committed_at();
    return !committed || committed > view.at;
}

} // namespace jetpp::inline v1
