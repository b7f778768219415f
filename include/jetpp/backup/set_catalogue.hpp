// jetpp/backup/set_catalogue.hpp - the sets of a repository, and which of them a restore means.
//
// Which set is the newest is decided by the log: of one lineage the set whose end_lsn lies highest,
// never the one with the younger clock. A lineage is an instance and the timelines that lead to
// one: two restores that both went on are two lineages, and nobody but the caller can choose.
// Threads  one owner.
// Source   backup rules R30, R36, R49.
#pragma once

#include <jetpp/backup/lineage.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <cstddef>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

struct catalogued_set {
    file_name name{}; // of its directory
    backup_manifest manifest;
    sha256_digest hash{};
    std::optional<error> problem; // why its manifest cannot be believed
};

// The manifest of an open set directory. Errors: not_found (no set), those of parse_manifest and of
// storage.
template <any_environment Env>
[[nodiscard]] result<read_manifest> manifest_of(typename Env::directory& set) noexcept {
    auto const content = read_file<Env>(set, manifest_file_name, manifest_bytes_max);
    if (!content) return content.error().with_file(file_kind::manifest);
    return parse_manifest(as_text(content.assume_value().all()));
}

// All sets, in the order of their names. A directory without manifest is none. A set with a bad
// manifest is among them, with its problem.
// Errors: of storage, out_of_memory.
template <any_environment Env>
[[nodiscard]] result<std::vector<catalogued_set>> list_sets(repository<Env>& in) noexcept {
    return guarded([&]() -> result<std::vector<catalogued_set>> {
        auto sets = std::vector<catalogued_set>{};
        BOOST_OUTCOME_TRY(auto const entries, in.list());
        for (auto const& entry : entries) {
            if (!entry.has_manifest) continue;
            auto& one = sets.emplace_back();
            one.name = entry.name;
            BOOST_OUTCOME_TRY(auto directory, in.open_set(entry.name));
            auto read = manifest_of<Env>(directory);
            if (!read) {
                one.problem = read.error();
                continue;
            }
            one.manifest = std::move(read.assume_value().manifest);
            one.hash = read.assume_value().hash;
        }
        return sets;
    });
}

// The set with pages that a restore without further words means.
// `set`: the beginning of a set's uuid in hex, or of its name; empty: the newest.
// Errors: not_found; ambiguous_source (more than one lineage, or more than one set begins so);
// the set's own problem, if it was named.
[[nodiscard]] inline result<catalogued_set const*> choose_set(
    std::span<catalogued_set const> sets, std::string_view set = {}
) noexcept {
    auto const missing = error{.code = errc::not_found, .file = file_kind::manifest};
    auto const* chosen = static_cast<catalogued_set const*>(nullptr);
    if (!set.empty()) {
        for (auto const& one : sets) {
            auto const hex = hex_of(one.manifest.set);
            auto const by_name = one.name.view().starts_with(set);
            if (!by_name && !std::string_view{hex.data(), hex.size()}.starts_with(set)) continue;
            if (chosen != nullptr) return error{.code = errc::ambiguous_source};
            chosen = &one;
        }
        if (chosen == nullptr) return missing;
        if (chosen->problem) return *chosen->problem;
        return chosen;
    }
    for (auto const& one : sets) {
        if (one.problem || !one.manifest.has_pages()) continue;
        auto const is_later = chosen == nullptr ||
                              (chosen->manifest.end_lsn < one.manifest.end_lsn &&
                               leads_to(chosen->manifest, one.manifest)) ||
                              (chosen->manifest.timeline != one.manifest.timeline &&
                               leads_to(chosen->manifest, one.manifest));
        if (is_later) chosen = &one;
    }
    if (chosen == nullptr) return missing;
    for (auto const& one : sets)
        if (!one.problem && one.manifest.has_pages() && !leads_to(one.manifest, chosen->manifest))
            return error{.code = errc::ambiguous_source};
    return chosen;
}

} // namespace jetpp::inline v1
