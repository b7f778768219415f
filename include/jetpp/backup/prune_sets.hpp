// jetpp/backup/prune_sets.hpp - old sets go, and nothing that what stays needs.
//
//     full  incr  incr  full  incr  copy  pages  full  incr       keep 2: everything from the copy
//     ----------- go -----------  |---------- stay ---------      on; a set before it stays only if
//                                                                 a plan of those that stay needs it
// Of each history stay: the newest `keep` sets with all pages, whatever ends later than the oldest
// of them, what the next incremental and differential must find (rule R23), what these name as their
// bases, and all that their plans need. Histories are as many as timelines: pages from before a fork
// are of both, those behind it are no pages of the younger one, but the log of that set may lead to
// the fork. So every moment from the oldest of those pages on can be had afterwards as before. A set
// counts only against sets whose databases it has, all of them; and only if its parts lie there, each
// in its length. What is damaged stays, and as long as a manifest cannot be read nothing goes: nobody
// knows what it stands on. Nor does anybody where no plan can be made of a set that stays: then all
// of its history stays.
// A set goes manifest first, so that at each moment it is whole or is none; the youngest goes
// first, so that nothing ever stands without its base. The repository is held alone meanwhile.
// Threads  one owner. Whoever reads a set that goes finds it gone.
// Source   backup rules R30, R49, R50.
#pragma once

#include <jetpp/backup/lineage.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/restore_plan.hpp>
#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/backup/set_proof.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

struct prune_options {
    std::size_t keep = 0; // sets with all pages, of each history; at least 1
    // Directories without a manifest too. None of them is being made, for the repository is held
    // alone; but a backup that was interrupted can no longer be gone on with.
    bool orphans = false;
    bool dry_run = false;        // say what would go
    bool despite_damage = false; // though a manifest cannot be read
};

struct pruned_set {
    std::string name{}; // of its directory
    uuid set{};
    backup_kind kind{};
    std::uint64_t bytes{}; // of its parts
};

struct prune_report {
    std::vector<pruned_set> gone{};       // in the order in which they went
    std::vector<std::string> orphans{};   // directories without a manifest that went
    std::vector<std::string> damaged{};   // manifest or parts: they stay
    std::vector<std::string> unplanned{}; // no plan can be made: all of their histories stay
    bool blocked = false;                 // a manifest cannot be read: nothing went
    std::uint64_t bytes{};                // of what went, orphans left out
    std::size_t kept{};                   // sets that stay, damaged ones left out
};

namespace detail {

class pruning {
public:
    // May throw.
    pruning(std::span<planned_set const> sets, std::size_t keep)
        : sets_{sets}, stays_(sets.size(), false) {
        find_histories();
        for (std::size_t i = 0; i < sets.size(); ++i)
            stays_[i] = !sets[i].usable || is_recent(i, keep) || continues_a_chain(i);
        for (std::size_t i = 0; i < sets.size(); ++i)
            if (stays_[i]) keep_what_it_needs(i);
    }
    [[nodiscard]] bool stays(std::size_t i) const { return stays_[i]; }
    [[nodiscard]] std::vector<std::size_t> const& unplanned() const { return unplanned_; }

private:
    [[nodiscard]] backup_manifest const& at(std::size_t i) const { return *sets_[i].manifest; }
    // Does the other stand for it, where it is younger?
    [[nodiscard]] bool is_succeeded_by(std::size_t i, std::size_t other) const {
        return i != other && sets_[other].usable && at(i).instance == at(other).instance &&
               at(i).timeline == at(other).timeline && at(i).end_lsn < at(other).end_lsn &&
               has_databases_of(at(other), at(i));
    }
    [[nodiscard]] static bool is_base(backup_manifest const& m) noexcept {
        return m.has_pages() && m.kind != backup_kind::pages;
    }
    // One for each timeline that usable sets are of.
    void find_histories() {
        for (std::size_t i = 0; i < sets_.size(); ++i) {
            auto const& m = at(i);
            auto known = !sets_[i].usable;
            for (auto const& line : histories_)
                known = known || (line.instance == m.instance &&
                                  line.stretches.front().timeline == m.timeline);
            if (!known) histories_.push_back(lineage::of(m));
        }
    }
    // Bases that stand for the set in that history.
    [[nodiscard]] std::size_t younger_bases(std::size_t i, lineage const& line) const {
        auto count = std::size_t{0};
        for (std::size_t j = 0; j < sets_.size(); ++j)
            if (is_base(at(j)) && sets_[j].usable && line.holds_pages_of(at(j)) &&
                at(i).end_lsn < at(j).end_lsn && has_databases_of(at(j), at(i)))
                ++count;
        return count;
    }
    // Is it one of few in any history that it is part of?
    [[nodiscard]] bool is_recent(std::size_t i, std::size_t keep) const {
        for (auto const& line : histories_) {
            auto const place = line.find(at(i).timeline);
            auto is_part = line.instance == at(i).instance && place &&
                           at(i).log_start < line.stretches[*place].bound;
            // With its log, if not with its pages: those may be from behind the fork.
            for (auto const& range : at(i).log) {
                auto const of = line.find(range.timeline);
                is_part = is_part || (line.instance == at(i).instance && of &&
                                      range.from < line.stretches[*of].bound);
            }
            if (is_part && younger_bases(i, line) < keep) return true;
        }
        return false;
    }
    // A backup that is still to come looks for the set that its databases' marks name.
    [[nodiscard]] bool continues_a_chain(std::size_t i) const {
        auto const kind = at(i).kind;
        if (kind != backup_kind::full && kind != backup_kind::incremental) return false;
        for (std::size_t j = 0; j < sets_.size(); ++j)
            if (at(j).kind == kind && is_succeeded_by(i, j)) return false;
        return true;
    }

    void keep_what_it_needs(std::size_t i) {
        for (auto const& named : at(i).bases)
            for (std::size_t j = 0; j < sets_.size(); ++j)
                if (at(j).set == named.set && sets_[j].hash == named.hash) add(j);
        if (!sets_[i].usable) return;
        auto trouble = plan_trouble{};
        auto left = std::vector<planned_set>{sets_.begin(), sets_.end()};
        for (std::size_t j = 0; j < left.size(); ++j) left[j].usable = left[j].usable && stays_[j];
        if (plan_restore(left, i, at(i).end_lsn, trouble)) return;
        auto const plan = plan_restore(sets_, i, at(i).end_lsn, trouble);
        if (!plan) { // it restores together with sets that lie elsewhere, or somebody lies
            for (auto const known : unplanned_)
                if (known == i) return;
            unplanned_.push_back(i);
            keep_all_of(lineage::of(at(i)));
            return;
        }
        for (auto const j : plan.assume_value().pages) add(j);
        for (auto const& slice : plan.assume_value().log) add(slice.set);
    }
    void keep_all_of(lineage const& line) {
        auto added = std::vector<std::size_t>{};
        for (std::size_t j = 0; j < sets_.size(); ++j) {
            if (stays_[j] || at(j).instance != line.instance || !line.find(at(j).timeline))
                continue;
            stays_[j] = true;
            added.push_back(j);
        }
        for (auto const j : added) keep_what_it_needs(j);
    }
    void add(std::size_t i) {
        if (stays_[i]) return;
        stays_[i] = true;
        keep_what_it_needs(i);
    }

    std::span<planned_set const> sets_;
    std::vector<bool> stays_;
    std::vector<std::size_t> unplanned_;
    std::vector<lineage> histories_;
};

} // namespace detail

// Which of them may go: their places, in the order in which they shall. `unplanned`: takes those of
// which no plan can be made. May throw.
// Requires: keep != 0.
[[nodiscard]] inline std::vector<std::size_t> prunable_sets(
    std::span<planned_set const> sets,
    std::size_t keep,
    std::vector<std::size_t>* unplanned = nullptr
) {
    auto const found = detail::pruning{sets, keep};
    if (unplanned != nullptr) *unplanned = found.unplanned();
    auto going = std::vector<std::size_t>{};
    for (std::size_t i = 0; i < sets.size(); ++i)
        if (!found.stays(i)) going.push_back(i);
    std::sort(going.begin(), going.end(), [&](std::size_t a, std::size_t b) {
        return sets[b].manifest->end_lsn < sets[a].manifest->end_lsn;
    });
    return going;
}

// Are the parts of a set there, each as long as its manifest says? Errors: of storage.
template <any_environment Env>
[[nodiscard]] result<bool> has_its_parts(repository<Env>& in, catalogued_set const& set) noexcept {
    return guarded([&]() -> result<bool> {
        BOOST_OUTCOME_TRY(auto where, in.open_set(set.name));
        for (auto const& part : set.manifest.parts) {
            BOOST_OUTCOME_TRY(auto const name, file_name::make(part.name));
            auto file = where.open(name, {.mode = open_mode::read_only, .io = io_mode::buffered});
            if (!file && file.error().code == errc::not_found) return false;
            if (!file) return file.error().with_file(file_kind::backup_part);
            BOOST_OUTCOME_TRY(auto const size, file.assume_value().size());
            if (size != part.summary.bytes) return false;
        }
        return true;
    });
}

namespace detail {

// Best effort: a proof of a set that is not there proves nothing, and is no damage.
template <any_environment Env>
void remove_proofs(repository<Env>& in, std::vector<pruned_set> const& of) {
    auto const known = list_proofs(in);
    auto where = in.open_proofs(directory_how::must_exist);
    if (!known || !where) return;
    for (auto const& file : known.assume_value())
        for (auto const& set : of)
            if (file.proof && file.proof->set == set.set)
                (void)where.assume_value().remove(file.name);
}

} // namespace detail

// Their proofs go as well.
// Errors: invalid_argument (keep is 0); in_use (a set is being made: nothing went); of storage: what
// went before stays gone, and each set that is left is whole.
template <any_environment Env>
[[nodiscard]] result<prune_report> prune_sets(
    repository<Env>& in, prune_options const& options
) noexcept {
    return guarded([&]() -> result<prune_report> {
        if (options.keep == 0) return error{.code = errc::invalid_argument};
        auto alone = std::optional<typename repository<Env>::lock>{};
        if (!options.dry_run) {
            BOOST_OUTCOME_TRY(auto held, in.hold_alone());
            alone.emplace(std::move(held));
        }
        BOOST_OUTCOME_TRY(auto all, list_sets(in));
        auto planned = std::vector<planned_set>{};
        auto readable = std::vector<history_teller>{};
        auto report = prune_report{};
        for (auto& one : all) {
            auto is_whole = !one.problem.has_value();
            if (is_whole) {
                BOOST_OUTCOME_TRY(is_whole, has_its_parts(in, one));
            } else {
                report.blocked = !options.despite_damage;
            }
            planned.push_back({&one.manifest, one.hash, is_whole});
            // Without keys nobody can tell whether it was the author that spoke.
            if (!one.problem) readable.push_back({&one.manifest, one.manifest.has_author()});
            if (!is_whole) report.damaged.emplace_back(one.name.view());
        }
        report.kept = all.size() - report.damaged.size();
        if (report.blocked) return report;
        share_ancestry(readable); // a restore does so, too
        auto unplanned = std::vector<std::size_t>{};
        auto const going = prunable_sets(planned, options.keep, &unplanned);
        for (auto const i : unplanned) report.unplanned.emplace_back(all[i].name.view());
        report.kept -= going.size();
        for (auto const i : going) {
            auto const& one = all[i];
            if (!options.dry_run) {
                BOOST_OUTCOME_TRY(in.withdraw_set(one.name));
            }
            auto gone = pruned_set{
                .name = std::string{one.name.view()},
                .set = one.manifest.set,
                .kind = one.manifest.kind,
            };
            for (auto const& part : one.manifest.parts) gone.bytes += part.summary.bytes;
            report.bytes += gone.bytes;
            report.gone.push_back(std::move(gone));
        }
        if (!options.dry_run) detail::remove_proofs(in, report.gone);
        if (!options.orphans) return report;
        BOOST_OUTCOME_TRY(auto const entries, in.list());
        for (auto const& one : entries) {
            if (one.has_manifest) continue;
            if (!options.dry_run) {
                BOOST_OUTCOME_TRY(in.withdraw_set(one.name));
            }
            report.orphans.emplace_back(one.name.view());
        }
        return report;
    });
}

} // namespace jetpp::inline v1
