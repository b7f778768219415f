// jetpp/recovery/check_trees.hpp - every tree of every attached database, and the space between.
//
// The trees are those that the catalogue names, and those that wait in it to be dropped. A report
// is called with every finding; where a system tree is unsound, the trees it names are unknown and
// the walk of that database ends.
// Requires  nobody changes what is checked.
// Threads   one owner.
#pragma once

#include <jetpp/btree/check.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/recovery/instance.hpp>
#include <jetpp/txn/catalogue_rows.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

struct checked_trees {
    std::uint64_t trees{}; // without those of the system
    std::uint64_t rows{};
    error problem{}; // the first finding; code none: all is sound

    [[nodiscard]] bool is_good() const noexcept { return problem.code == errc::none; }
};

namespace detail {

template <class Traits>
class tree_inspection {
    static constexpr std::size_t page_size = Traits::page_size;
    using limits = page_limits<page_size>;
    using place = tree_place<Traits>;

public:
    tree_inspection(
        buffer_pool<Traits>& pool, paged_file<Traits>& file, checked_trees& into
    ) noexcept
        : pool_{&pool}, file_{&file}, into_{&into} {}

    [[nodiscard]] result<void> run() noexcept {
        BOOST_OUTCOME_TRY(reached_.cover(file_->page_count()));
        auto const report = [&](tree_finding const& f) noexcept { find(f.page, f.reason); };
        for (auto const& system :
             {place{file_, catalogue_tree, limits::catalogue_root},
              place{file_, pending_tree, limits::pending_root}}) {
            BOOST_OUTCOME_TRY(check_tree(*pool_, system, reached_, report));
            if (!sound_) return ok();
            BOOST_OUTCOME_TRY(list_trees(system, system.root, 0));
        }
        for (auto const& tree : listed_) {
            BOOST_OUTCOME_TRY(
                auto const shape,
                check_tree(*pool_, place{file_, tree.id, tree.root}, reached_, report)
            );
            ++into_->trees;
            into_->rows += shape.rows;
        }
        if (!sound_) return ok();
        BOOST_OUTCOME_TRY(check_space(*pool_, *file_, reached_, report));
        return ok();
    }

private:
    struct named_tree {
        tree_id id{};
        page_number root{};
    };

    void find(page_number page, damage reason) noexcept {
        sound_ = false;
        if (into_->problem.code != errc::none) return;
        into_->problem = {
            .code = errc::structure_damaged,
            .database = file_->id().value,
            .page = page,
            .file = file_kind::database,
            .reason = reason,
        };
    }

    // The trees that the rows of a system tree name. Requires: the tree was found sound.
    [[nodiscard]] result<void> list_trees(place const& tree, page_number page, int depth) noexcept {
        BOOST_OUTCOME_TRY(auto raw, aligned_buffer::create(page_size));
        BOOST_OUTCOME_TRY(auto const wrong, copy_page(*pool_, *file_, page, raw.data()));
        if (wrong != damage::none) {
            find(page, wrong);
            return ok();
        }
        auto const here = page_view<page_size>{raw.data()};
        if (here.is_inner()) {
            for (auto i = std::uint32_t{0}; i <= here.row_count() && depth < 16; ++i) {
                BOOST_OUTCOME_TRY(list_trees(tree, here.child(i), depth + 1));
            }
            return ok();
        }
        for (auto i = std::uint32_t{0}; i < here.row_count(); ++i) {
            if (here.is_ghost(i)) continue;
            std::byte key_memory[limits::key_bytes_max];
            auto const key = here.copy_key(i, bytes{key_memory});
            auto const is_tree =
                tree.id == catalogue_tree && key.size() == 5 && key[0] == std::byte{1};
            auto const is_dropped =
                tree.id == pending_tree && key.size() == 5 && key[0] == std::byte{2};
            if (!is_tree && !is_dropped) continue;
            auto named = named_tree{.id = {load_be<std::uint32_t>(key.data() + 1)}};
            if (is_tree) {
                auto const row = decode_tree_row(here.value(i));
                if (!row) find(page, damage::layout);
                if (!row) continue;
                named.root = row.assume_value().root;
            } else {
                auto const row = decode_pending_drop(here.value(i));
                if (!row) find(page, damage::layout);
                if (!row) continue;
                named.root = row.assume_value().root;
            }
            if (!listed_.push_back(named)) return error{.code = errc::out_of_memory};
        }
        return ok();
    }

    buffer_pool<Traits>* pool_;
    paged_file<Traits>* file_;
    checked_trees* into_;
    page_set reached_{};
    array_list<named_tree> listed_;
    bool sound_ = true;
};

} // namespace detail

// Errors: I/O, out_of_memory. Damage is in what is returned.
template <class Traits>
[[nodiscard]] result<checked_trees> check_trees(instance<Traits>& in) noexcept {
    auto found = checked_trees{};
    for (auto& known : in.databases()) {
        if (known.file == nullptr) continue;
        BOOST_OUTCOME_TRY((detail::tree_inspection<Traits>{in.pool(), *known.file, found}.run()));
    }
    return found;
}

} // namespace jetpp::inline v1
