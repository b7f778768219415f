// test/recovery/changes_bed.hpp - a model of trees that changes are applied to, and their comparison.
#pragma once

#include <jetpp/core/describe.hpp>
#include <jetpp/replay.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace jetpp_test {

using namespace jetpp;

using row_map = std::map<std::string, std::string>;
using forest = std::map<std::string, row_map>; // by "database/tree"

// What a reader of changes keeps: rows by tree id, built from nothing but the stream.
class replica {
public:
    // Returns: what did not fit; empty if all did.
    [[nodiscard]] std::string apply(committed_transaction const& done) {
        for (auto const& one : done.changes)
            if (auto problem = apply(one); !problem.empty())
                return problem + " at " + std::to_string(one.at.value);
        return {};
    }
    [[nodiscard]] forest rows() const {
        auto all = forest{};
        for (auto const& [id, known] : trees_) all[known.name] = known.rows;
        return all;
    }

private:
    struct known_tree {
        std::string name;
        row_map rows;
    };

    [[nodiscard]] std::string apply(logged_change const& one) {
        auto const id = std::pair{one.database.value, one.tree.value};
        auto const name = std::string{one.database_name} + "/" + std::string{one.tree_name};
        if (one.type == change_type::tree_create)
            return trees_.try_emplace(id, known_tree{name, {}}).second ? "" : "made twice: " + name;
        auto const found = trees_.find(id);
        if (found == trees_.end()) return "no such tree: " + name;
        // Who goes on from a token knows the trees that are older than what is read again.
        if (!one.tree_name.empty() && found->second.name != name)
            return found->second.name + " is called " + name;
        if (one.type == change_type::tree_drop) {
            trees_.erase(found);
            return {};
        }
        auto& rows = found->second.rows;
        auto const key = std::string{as_text(one.key)};
        auto const old = rows.find(key);
        if ((old == rows.end()) != (one.type == change_type::insert)) return "wrong row: " + key;
        auto const before = old == rows.end() ? std::string{} : old->second;
        auto after = std::string(one.new_size(), '\0');
        if (!one.apply(
                as_bytes(before), {reinterpret_cast<std::byte*>(after.data()), after.size()}
            ))
            return "wrong old value of " + key;
        if (one.type == change_type::erase)
            rows.erase(key);
        else
            rows[key] = after;
        return {};
    }

    std::map<std::pair<std::uint16_t, std::uint32_t>, known_tree> trees_;
};

// One transaction as text: for comparing streams.
[[nodiscard]] inline std::string text_of(committed_transaction const& done) {
    auto text = std::to_string(done.first.value) + ">" + std::to_string(done.at.value) + "@" +
                std::to_string(done.wall.ns) + ":";
    for (auto const& one : done.changes) {
        text += ' ';
        text += name_of(one.type);
        text += ' ' + std::string{one.database_name} + "/" + std::string{one.tree_name} + "/" +
                std::string{as_text(one.key)} + "=" + std::string{as_text(one.new_value)} + "<" +
                std::string{as_text(one.old_value)};
        one.patch.for_each_range([&](changed_range const& range) {
            text += "[" + std::to_string(range.offset) + std::string{as_text(range.old_bytes)} +
                    ">" + std::string{as_text(range.new_bytes)} + "]";
        });
    }
    return text;
}

struct read_stream {
    std::vector<std::string> texts{};
    std::vector<change_token> tokens{}; // behind each transaction
    std::vector<lsn> commits{};
    std::optional<change_step> last{};
    error why{}; // if it ended by one
};

// All that the stream has now.
template <class Stream>
[[nodiscard]] read_stream drain(Stream& changes) {
    auto all = read_stream{};
    for (;;) {
        auto const step = changes.next();
        if (!step) {
            all.why = step.error();
            return all;
        }
        all.last = step.assume_value();
        if (*all.last != change_step::transaction) return all;
        all.texts.push_back(text_of(changes.transaction()));
        all.tokens.push_back(changes.token());
        all.commits.push_back(changes.transaction().at);
    }
}

} // namespace jetpp_test
