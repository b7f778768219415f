// jetpp/engine/find_tree.hpp - a tree by its name, at one snapshot.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/engine/engine_core.hpp>
#include <jetpp/engine/reads.hpp>
#include <jetpp/txn/catalogue_rows.hpp>
#include <jetpp/txn/row_reader.hpp>

#include <optional>
#include <string_view>

namespace jetpp::inline v1 {

// Errors: not_found (no such database), structure_damaged, those of a read.
template <class Traits>
[[nodiscard]] result<std::optional<tree>> find_tree(
    engine_core<Traits>& core,
    basic_reads<Traits> const& at,
    std::string_view database,
    std::string_view name
) noexcept {
    if (name.empty() || name.size() > tree_name_bytes_max) return error{.code = errc::unsafe_name};
    BOOST_OUTCOME_TRY(auto* const where, core.store.find_database(database));
    auto const view = read_view{.at = at.at(), .settled = no_lsn};
    auto& system = core.transactions();
    auto id = tree_id{};
    BOOST_OUTCOME_TRY(
        auto const named,
        read_row(
            system,
            view,
            where->catalogue(),
            tree_name_key(name).view(),
            [&](const_bytes value, bool) noexcept -> result<void> {
                BOOST_OUTCOME_TRY(id, decode_tree_id(value));
                return ok();
            }
        )
    );
    if (!named) return std::optional<tree>{};
    auto root = no_page;
    BOOST_OUTCOME_TRY(
        auto const described,
        read_row(
            system,
            view,
            where->catalogue(),
            tree_row_key(id).view(),
            [&](const_bytes value, bool) noexcept -> result<void> {
                BOOST_OUTCOME_TRY(auto const row, decode_tree_row(value));
                root = row.root;
                return ok();
            }
        )
    );
    if (!described)
        return error{.code = errc::structure_damaged, .reason = damage::order}.with_database(
            where->file->id()
        );
    BOOST_OUTCOME_TRY(
        auto const handle, core.trees.add({.file = where->file.get(), .id = id, .root = root})
    );
    return std::optional<tree>{handle};
}

} // namespace jetpp::inline v1
