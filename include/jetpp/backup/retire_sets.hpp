// jetpp/backup/retire_sets.hpp - older sets go once a newer full one is published.
//
// For callers that keep one backup and mean the newest (JetBackup with its atomic flag). What goes
// bears the tag, lies on the way to the newest set in its history, has no database that it lacks, and
// is no base of a set that stays. A set goes manifest first, so that at each moment it is whole or is none; the youngest
// goes first, so that nothing ever stands without its base. The repository is held alone meanwhile:
// a set that somebody is making may stand on one that would go, and nothing says so before it is
// published.
// Threads  one owner. Whoever reads an old set meanwhile finds it gone.
// Source   backup rules R49, R50, R70.
#pragma once

#include <jetpp/backup/lineage.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// Returns: the sets that may go, in the order in which they shall. May throw.
[[nodiscard]] inline std::vector<catalogued_set const*> retirable_sets(
    std::span<catalogued_set const> all, uuid const& newest, std::string_view tag
) {
    auto const found = std::find_if(all.begin(), all.end(), [&](catalogued_set const& one) {
        return !one.problem && one.manifest.set == newest;
    });
    auto going = std::vector<catalogued_set const*>{};
    if (found == all.end() || found->manifest.kind != backup_kind::full) return going;
    auto const& head = found->manifest;
    for (auto const& one : all)
        if (&one != &*found && !one.problem && one.manifest.tag == tag &&
            one.manifest.instance == head.instance && one.manifest.end_lsn < head.end_lsn &&
            leads_to(one.manifest, head) && has_databases_of(head, one.manifest))
            going.push_back(&one);
    // Who stays keeps what it stands on, and that what it stands on.
    auto const is_needed = [&](catalogued_set const* base) {
        return std::any_of(all.begin(), all.end(), [&](catalogued_set const& one) {
            if (one.problem || std::find(going.begin(), going.end(), &one) != going.end())
                return false;
            return std::any_of(
                one.manifest.bases.begin(),
                one.manifest.bases.end(),
                [&](auto const& named) { return named.set == base->manifest.set; }
            );
        });
    };
    for (auto before = going.size() + 1; going.size() != before;) {
        before = going.size();
        auto left = std::vector<catalogued_set const*>{};
        for (auto const* const one : going)
            if (!is_needed(one)) left.push_back(one);
        going = std::move(left);
    }
    std::sort(going.begin(), going.end(), [](auto const* a, auto const* b) {
        return b->manifest.end_lsn < a->manifest.end_lsn;
    });
    return going;
}

// Returns: how many went. Errors: in_use (a set is being made: nothing went; a later call does it); of
// storage: the rest stays, and the newest set stands.
template <any_environment Env>
[[nodiscard]] result<std::size_t> retire_sets(
    repository<Env>& in, uuid const& newest, std::string_view tag
) noexcept {
    return guarded([&]() -> result<std::size_t> {
        BOOST_OUTCOME_TRY(auto const alone, in.hold_alone());
        BOOST_OUTCOME_TRY(auto const all, list_sets(in));
        auto const going = retirable_sets(all, newest, tag);
        for (auto const* const one : going) {
            BOOST_OUTCOME_TRY(in.withdraw_set(one->name));
        }
        return going.size();
    });
}

} // namespace jetpp::inline v1
