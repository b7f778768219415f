// jetpp/btree/tree_place.hpp - where a tree lives, and which leaf of it a reader wants.
//
// A tree is named by its file, its id and its root page, whose number never changes. Every descent
// compares the id with the root's: a dropped tree answers errc::tree_dropped.
// Lifetime  a view: the file must stay attached.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>

#include <cstdint>

namespace jetpp::inline v1 {

template <class Traits>
class paged_file;

template <class Traits>
struct tree_place {
    paged_file<Traits>* file{};
    tree_id id{};
    page_number root{no_page};
};

// Forward neighbour of a leaf: covering(its upper fence). Backward: before(its lower fence).
struct leaf_position {
    enum class where : std::uint8_t {
        covering, // the leaf whose fences hold `key`
        before,   // the leaf that holds the largest keys strictly below `key`
        first,
        last,
    };
    where kind{where::first};
    const_bytes key{};

    [[nodiscard]] static leaf_position covering(const_bytes key) noexcept {
        return {where::covering, key};
    }
    [[nodiscard]] static leaf_position before(const_bytes key) noexcept {
        return {where::before, key};
    }
    [[nodiscard]] static leaf_position first() noexcept { return {where::first, {}}; }
    [[nodiscard]] static leaf_position last() noexcept { return {where::last, {}}; }
};

} // namespace jetpp::inline v1
