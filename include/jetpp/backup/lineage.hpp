// jetpp/backup/lineage.hpp - which sets are of one history, and which of them is its newest.
//
//     t1 ----------o-------------x          bound(t1) = o: what was logged behind the fork is
//                   \                       another history, although the timeline is the same
//     t2             ----------------->     bound(t2) = none
// A lineage is an instance and the timelines that lead to one, each with the LSN at which it was
// left. Two restores that both went on are two lineages, and nobody but the caller can choose:
// clocks decide nothing.
// Threads  values; pure functions.
// Source   backup rules R30, R36, R37.
#pragma once

#include <jetpp/backup/manifest.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/timeline_ancestry.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// A set as a planner sees it. Lifetime: the manifest outlives the plan.
struct planned_set {
    backup_manifest const* manifest{};
    sha256_digest hash{};
    bool usable = true;       // false: it was found damaged, or its manifest was
    bool pages_wanted = true; // false: its pages are not all that is asked for, but its log is good
};

struct lineage {
    struct stretch {
        timeline_id timeline{};
        lsn bound{}; // records below it count
    };
    uuid instance{};
    std::vector<stretch> stretches; // newest first

    // Throws: std::bad_alloc.
    [[nodiscard]] static lineage of(backup_manifest const& manifest) {
        auto made = lineage{.instance = manifest.instance, .stretches = {}};
        made.stretches.push_back({manifest.timeline, lsn_limit});
        for (auto const& fork : manifest.ancestry)
            made.stretches.push_back(
                {fork.parent, earlier(fork.fork_lsn, made.stretches.back().bound)}
            );
        return made;
    }
    [[nodiscard]] std::optional<std::size_t> find(timeline_id timeline) const noexcept {
        for (std::size_t i = 0; i < stretches.size(); ++i)
            if (stretches[i].timeline == timeline) return i;
        return std::nullopt;
    }
    // May pages of that set be the base of this history? They hold nothing from beyond the fork.
    [[nodiscard]] bool holds_pages_of(backup_manifest const& m) const noexcept {
        if (m.instance != instance || !m.has_pages()) return false;
        auto const at = find(m.timeline);
        return at && m.copy_end_lsn <= stretches[*at].bound;
    }
};

// The forks that led to a timeline of that set's lineage.
[[nodiscard]] inline timeline_ancestry ancestry_of(
    timeline_id timeline, backup_manifest const& manifest
) noexcept {
    auto forks = std::span{manifest.ancestry};
    if (timeline == manifest.timeline) return timeline_ancestry::of(timeline, forks);
    while (!forks.empty()) {
        auto const parent = forks[0].parent;
        forks = forks.subspan(1);
        if (parent == timeline) break;
    }
    return timeline_ancestry::of(timeline, forks);
}

// A set, and whether somebody answers for what it says: its HMAC, under a key that only who may write
// such sets has.
struct history_teller {
    backup_manifest* manifest{};
    bool has_author = false;
};

// What those sets tell of the forks that led to that timeline of theirs. Once one with an author has
// spoken, others may add to it, and change nothing: else whoever lays down a manifest could cut the
// history of all sets. `by_author`: `line` is itself what one with an author says.
inline void learn_from(
    std::span<history_teller const> sets,
    uuid const& instance,
    timeline_ancestry& line,
    bool by_author = false
) noexcept {
    auto fixed = std::size_t{0};
    for (auto const with_author : {true, false}) {
        for (auto more = true; more;) {
            more = false;
            for (auto const& [one, has_author] : sets)
                if (one->instance == instance && has_author == with_author)
                    more = line.learn(one->timeline, one->ancestry, fixed) || more;
        }
        if (by_author) fixed = line.forks().size();
        for (auto const& [one, has_author] : sets)
            if (one->instance == instance && has_author)
                fixed = std::max(fixed, line.borne_out(one->timeline, one->ancestry));
    }
}
// One set may have been made where less of its history was known than where another was: then it is
// told what that one knows. Throws: std::bad_alloc.
inline void share_ancestry(std::span<history_teller const> sets) {
    // Of thousands that say the same one is enough. They tell what they said at first.
    auto told = std::vector<backup_manifest>{};
    auto of_authors = std::vector<bool>{};
    for (auto const& [one, has_author] : sets) {
        auto known = false;
        for (std::size_t i = 0; i < told.size(); ++i)
            known =
                known || (told[i].instance == one->instance && told[i].timeline == one->timeline &&
                          told[i].ancestry == one->ancestry && of_authors[i] == has_author);
        if (known) continue;
        auto copy = backup_manifest{};
        copy.instance = one->instance;
        copy.timeline = one->timeline;
        copy.ancestry = one->ancestry;
        told.push_back(std::move(copy));
        of_authors.push_back(has_author);
    }
    auto tellers = std::vector<history_teller>{};
    for (std::size_t i = 0; i < told.size(); ++i) tellers.push_back({&told[i], of_authors[i]});
    for (auto const& [one, has_author] : sets) {
        auto line = timeline_ancestry::of(one->timeline, one->ancestry);
        learn_from(tellers, one->instance, line, has_author);
        one->ancestry.assign(line.forks().begin(), line.forks().end());
    }
}

// Is everything that was committed in `earlier` part of the history of `later`?
[[nodiscard]] inline bool leads_to(
    backup_manifest const& earlier, backup_manifest const& later
) noexcept {
    if (earlier.instance != later.instance) return false;
    if (earlier.timeline == later.timeline) return true;
    for (auto const& fork : later.ancestry)
        if (fork.parent == earlier.timeline) return earlier.last_commit < fork.fork_lsn;
    return false;
}

// Does `newer` tell of every database that `older` tells of? A backup may be of some only; one that
// it left out because it is exempt by now is told of.
[[nodiscard]] inline bool has_databases_of(
    backup_manifest const& newer, backup_manifest const& older
) noexcept {
    for (auto const& one : older.databases) {
        auto found = newer.has_exempt(one.id);
        for (auto const& other : newer.databases) found = found || other.id == one.id;
        if (!found) return false;
    }
    return true;
}

// The set whose end is the end of the one history that all sets are of.
// Errors: not_found (no set); ambiguous_source (more than one lineage).
[[nodiscard]] inline result<std::size_t> newest_set(std::span<planned_set const> sets) noexcept {
    auto const* head = static_cast<planned_set const*>(nullptr);
    for (auto const& one : sets) {
        if (!one.usable) continue;
        auto const same = head != nullptr && head->manifest->timeline == one.manifest->timeline;
        auto const is_later =
            head == nullptr || (same ? head->manifest->end_lsn < one.manifest->end_lsn
                                     : leads_to(*head->manifest, *one.manifest));
        if (is_later) head = &one;
    }
    if (head == nullptr) return error{.code = errc::not_found, .file = file_kind::manifest};
    for (auto const& one : sets)
        if (one.usable && !leads_to(*one.manifest, *head->manifest))
            return error{.code = errc::ambiguous_source};
    return static_cast<std::size_t>(head - sets.data());
}

} // namespace jetpp::inline v1
