// jetpp/recovery/detail/change_names.hpp - names of databases and trees, as the log told them so far.
//
// Threads  one owner. Owns: the names; views of them live until the next change of the list.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/file_name.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/txn/catalogue_rows.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace jetpp::inline v1::detail {

class change_names {
public:
    // Attach, detach, and lists of what is attached. Errors: log_corrupt, out_of_memory.
    [[nodiscard]] result<void> see(log_record const& record) noexcept {
        auto const id = record.header.database;
        if (auto const* made = record.as<record::db_create>())
            return join(record.at, id, made->id, made->name);
        if (auto const* joined = record.as<record::attach>())
            return join(record.at, id, joined->id, joined->name);
        if (record.as<record::detach>() != nullptr) {
            forget(id);
            return ok();
        }
        auto const* const list = record.as<record::attach_list>();
        if (list == nullptr) return ok();
        auto outcome = result<void>{ok()};
        list->for_each([&](attach_entry const& one) noexcept {
            if (outcome) outcome = join(record.at, one.database, one.id, one.name);
        });
        return outcome;
    }

    // Both: empty if nothing told.
    [[nodiscard]] std::string_view of(database_id id) const noexcept {
        for (auto const& one : databases_)
            if (one.id == id) return one.name.view();
        return {};
    }
    [[nodiscard]] std::string_view of(database_id database, tree_id tree) const noexcept {
        auto const at = place_of(database, tree);
        return is_at(at, database, tree) ? trees_[at].view() : std::string_view{};
    }

    // Errors: out_of_memory.
    [[nodiscard]] result<void> name_tree(
        database_id database, tree_id tree, std::string_view name
    ) noexcept {
        auto made = known_tree{.database = database, .tree = tree};
        made.size = static_cast<std::uint8_t>(std::min(name.size(), made.text.size()));
        if (made.size != 0) std::memcpy(made.text.data(), name.data(), made.size);
        auto const at = place_of(database, tree);
        if (is_at(at, database, tree)) {
            trees_[at] = made;
            return ok();
        }
        if (!trees_.push_back(made)) return error{.code = errc::out_of_memory};
        std::rotate(trees_.begin() + at, trees_.end() - 1, trees_.end());
        return ok();
    }
    void forget_tree(database_id database, tree_id tree) noexcept {
        auto const at = place_of(database, tree);
        if (is_at(at, database, tree)) trees_.erase_at(at);
    }

private:
    struct known_database {
        database_id id{};
        uuid database{};
        file_name name{};
    };
    struct known_tree {
        database_id database{};
        tree_id tree{};
        std::uint8_t size{};
        std::array<char, tree_name_bytes_max> text{};
        [[nodiscard]] std::string_view view() const noexcept { return {text.data(), size}; }
    };

    [[nodiscard]] std::size_t place_of(database_id database, tree_id tree) const noexcept {
        auto const* const at = std::lower_bound(
            trees_.begin(),
            trees_.end(),
            tree,
            [&](known_tree const& one, tree_id wanted) {
                return one.database != database ? one.database < database : one.tree < wanted;
            }
        );
        return static_cast<std::size_t>(at - trees_.begin());
    }
    [[nodiscard]] bool is_at(std::size_t at, database_id database, tree_id tree) const noexcept {
        return at < trees_.size() && trees_[at].database == database && trees_[at].tree == tree;
    }
    [[nodiscard]] result<void> join(
        lsn at, database_id id, uuid const& database, const_bytes name
    ) noexcept {
        auto is_other = false;
        for (auto const& one : databases_) {
            if (one.id != id) continue;
            if (one.database == database) return ok();
            is_other = true;
        }
        auto const made = file_name::make(as_text(name));
        if (!made || id == no_database) return bad_record().with_lsn(at);
        if (is_other) forget(id); // but names of trees may be known before the database's
        if (!databases_.push_back({id, database, made.assume_value()}))
            return error{.code = errc::out_of_memory};
        return ok();
    }
    void forget(database_id id) noexcept {
        for (auto i = databases_.size(); i-- > 0;)
            if (databases_[i].id == id) databases_.erase_at(i);
        for (auto i = trees_.size(); i-- > 0;)
            if (trees_[i].database == id) trees_.erase_at(i);
    }

    array_list<known_database> databases_;
    array_list<known_tree> trees_; // ascending
};

} // namespace jetpp::inline v1::detail
