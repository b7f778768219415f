// jetpp/recovery/tree_names.hpp - names of trees from the catalogue in a database file, without an
// engine.
//
// For readers of changes that go on from a token: the log they read may be younger than the trees it
// speaks of. The file is read as it lies there, also beside a running engine: a page that does not
// verify is passed over, and what was not written home yet is not told. A name that is told is right:
// ids of trees are never used again, and names do not change.
// Threads  one owner.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/page/page_codec.hpp>
#include <jetpp/page/page_view.hpp>
#include <jetpp/txn/catalogue_rows.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace jetpp::inline v1 {

// Calls named(tree_id, std::string_view) for each tree of the catalogue, those dropped lately too.
// Requires: the header is the file's, of this page size and checksum.
// Errors: those of storage and of named(), which returns result<void>; out_of_memory.
template <std::size_t PageSize, class Checksum, class File, class F>
[[nodiscard]] result<void> read_tree_names(
    File& file, database_header const& header, F&& named
) noexcept {
    using limits = page_limits<PageSize>;
    BOOST_OUTCOME_TRY(auto memory, aligned_buffer::create(PageSize));
    auto wanted = array_list<page_number>{};
    if (!wanted.push_back(limits::catalogue_root)) return error{.code = errc::out_of_memory};
    // Bounded by what one catalogue may hold, whatever the pages say.
    for (std::size_t i = 0; i < wanted.size() && i < 100'000; ++i) {
        auto const number = wanted[i];
        BOOST_OUTCOME_TRY(
            auto const got, read_up_to(file, memory.all(), std::uint64_t{number.value} * PageSize)
        );
        auto const view = page_view<PageSize>{memory.data()};
        if (got != PageSize ||
            page_codec<PageSize, Checksum>::verify(memory.data(), header.nonce, number) !=
                damage::none ||
            view.tree() != catalogue_tree)
            continue;
        if (view.is_inner()) {
            for (std::uint32_t child = 0; child <= view.row_count(); ++child)
                if (!wanted.push_back(view.child(child))) return error{.code = errc::out_of_memory};
            continue;
        }
        if (!view.is_leaf()) continue;
        for (std::uint32_t row = 0; row < view.row_count(); ++row) {
            auto buffer = key_buffer<PageSize>{};
            auto const key = view.copy_key(row, buffer.all());
            if (key.size() != 5 || key[0] != std::byte{1}) continue;
            auto const known = decode_tree_row(view.value(row));
            if (!known) continue;
            BOOST_OUTCOME_TRY(
                named(tree_id{load_be<std::uint32_t>(key.data() + 1)}, known.assume_value().name)
            );
        }
    }
    return ok();
}

} // namespace jetpp::inline v1
