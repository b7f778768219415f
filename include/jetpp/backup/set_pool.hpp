// jetpp/backup/set_pool.hpp - all sets of all sources of a restore, found, read and numbered.
//
// A source is a repository, the directory of one set, or, for restores, that of a closed instance,
// whose log is of use like that of a set (live_source.hpp). The same set may lie in several: each is
// a place of its own in the pool, and what of one is damaged is read from the next (set_copies.hpp).
// Threads  one owner.
// Owns     the open directories.
// Source   backup rules R30, R46, R49.
#pragma once

#include <jetpp/backup/lineage.hpp>
#include <jetpp/backup/live_source.hpp>
#include <jetpp/backup/log_walker.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/restore_plan.hpp>
#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/backup/set_copies.hpp>
#include <jetpp/core/insertion_sort.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

template <any_environment Env>
class set_pool {
public:
    struct member {
        std::string where; // path of the set's directory
        std::string name;  // of it, without the path
        typename Env::directory directory;
        std::unique_ptr<read_manifest> read;    // a stable address; null: see `problem`
        std::optional<error> problem;           // why it is not used
        std::optional<set_access> access;       // once its key was looked for
        std::optional<live_source<Env>> live{}; // of a closed instance: `read` is as its log
        bool pages_wanted = true;               // false: as of planned_set
        std::vector<timeline_fork> told{};      // its ancestry, as it says itself
    };

    // Errors: not_found (neither repository nor set is there), those of repository::open and of
    // storage. A set with a bad manifest is in the pool, with its problem.
    [[nodiscard]] result<void> add(Env env, path_view path) noexcept {
        return guarded([&]() -> result<void> {
            auto opened = env.storage.open_dir(path, directory_how::must_exist);
            if (!opened) return opened.error().with_file(file_kind::directory);
            auto entries = array_list<directory_entry>{};
            BOOST_OUTCOME_TRY(opened.assume_value().list(entries));
            auto is_set = false;
            for (auto const& entry : entries) is_set = is_set || entry.name == manifest_file_name;
            if (is_set) {
                auto const text = std::string{path.view()};
                return add_set(text, text, std::move(opened).assume_value());
            }
            BOOST_OUTCOME_TRY(auto sets, repository<Env>::open(env, path));
            return add_all(sets, path.view());
        });
    }
    // The same, or a directory of an instance: members of that kind come behind all sets, so that a
    // set goes before them where both have what is wanted. Errors: also those of live_source::open.
    [[nodiscard]] result<void> add_source(Env env, path_view path) noexcept {
        return guarded([&]() -> result<void> {
            auto opened = env.storage.open_dir(path, directory_how::must_exist);
            if (!opened) return opened.error().with_file(file_kind::directory);
            auto entries = array_list<directory_entry>{};
            BOOST_OUTCOME_TRY(opened.assume_value().list(entries));
            auto is_backup = false;
            auto has_log = false;
            for (auto const& entry : entries) {
                is_backup = is_backup || entry.name == manifest_file_name ||
                            entry.name == repository_file_name;
                has_log = has_log || parse_segment_name(entry.name.view());
            }
            if (is_backup || !has_log) {
                BOOST_OUTCOME_TRY(add(env, path));
            } else {
                BOOST_OUTCOME_TRY(
                    add_live(env, std::string{path.view()}, std::move(opened).assume_value())
                );
            }
            proven_.reset(); // by place
            insertion_sort(std::span{members_}, [](member const& a, member const& b) {
                return !a.live && b.live;
            });
            relate();
            return ok();
        });
    }
    // Every set of a repository. `path`: what it is called in reports.
    [[nodiscard]] result<void> add_all(repository<Env>& sets, std::string_view path) {
        BOOST_OUTCOME_TRY(auto const found, sets.list());
        for (auto const& one : found) {
            if (!one.has_manifest) continue;
            BOOST_OUTCOME_TRY(auto directory, sets.open_set(one.name));
            auto where = std::string{path};
            where.append("/").append(sets_directory_name.view());
            where.append("/").append(one.name.view());
            BOOST_OUTCOME_TRY(
                add_set(std::move(where), std::string{one.name.view()}, std::move(directory))
            );
        }
        return ok();
    }
    // A set that has no manifest in its directory yet.
    void add_unpublished(
        std::string name, typename Env::directory directory, read_manifest manifest
    ) {
        auto& one = members_.emplace_back();
        one.where = name;
        one.name = std::move(name);
        one.directory = std::move(directory);
        one.told = manifest.manifest.ancestry;
        one.read = std::make_unique<read_manifest>(std::move(manifest));
    }
    [[nodiscard]] result<void> add_set(
        std::string where, std::string name, typename Env::directory directory
    ) {
        auto& one = members_.emplace_back(
            member{std::move(where), std::move(name), std::move(directory), nullptr, {}, {}, {}}
        );
        auto read = manifest_of<Env>(one.directory);
        if (!read) {
            one.problem = read.error();
            return ok();
        }
        one.read = std::make_unique<read_manifest>(std::move(read).assume_value());
        one.told = one.read->manifest.ancestry;
        return ok();
    }

    // From now on only those sets have an author whose HMAC these keys prove: until then each that
    // says so. Of sources that were added as such. Errors: out_of_memory.
    [[nodiscard]] result<void> believe(set_access const& access) noexcept {
        if (!related_ || access.keys == nullptr || proven_) return ok();
        return guarded([&]() -> result<void> {
            proven_.emplace(members_.size(), false);
            for (std::size_t i = 0; i < members_.size(); ++i) {
                BOOST_OUTCOME_TRY((*proven_)[i], proves_author(i, access));
            }
            relate();
            return ok();
        });
    }

    [[nodiscard]] std::size_t size() const noexcept { return members_.size(); }
    [[nodiscard]] member& operator[](std::size_t i) noexcept { return members_[i]; }
    [[nodiscard]] member const& operator[](std::size_t i) const noexcept { return members_[i]; }
    [[nodiscard]] backup_manifest const& manifest(std::size_t i) const noexcept {
        return members_[i].read->manifest;
    }

    // What its parts are read with; a key is derived once, which is dear.
    // Errors: those of set_access::for_set.
    [[nodiscard]] result<set_access> access_of(std::size_t i, set_access const& all) {
        auto& one = members_[i];
        if (!one.access) {
            BOOST_OUTCOME_TRY(auto made, all.for_set(one.read->manifest));
            one.access.emplace(std::move(made));
        }
        return *one.access;
    }

    // How many sets of the plan were read, and of how many the key that opened them says who wrote
    // them (set_key.hpp). Throws: bad_alloc.
    void count_authors(restore_plan const& plan, std::uint64_t& sets, std::uint64_t& authenticated)
        const {
        sets = authenticated = 0;
        for (auto const i : sets_of(plan)) {
            if (i >= members_.size() || members_[i].live || !members_[i].access) continue;
            ++sets;
            auto const& key = members_[i].access->key;
            if (key != nullptr && key->proves_author()) ++authenticated;
        }
    }

    // Has the walker take the log that `slice` names, from wherever it lies. `cut`: see log_walker;
    // `noted`: see copies_of. Errors: those of access_of and of log_walker and live_source.
    template <class Visitor>
    [[nodiscard]] result<void> walk_log(
        log_walker<Env, Visitor>& walker,
        planned_log const& slice,
        set_access const& all,
        lsn cut,
        std::vector<bad_frames>* noted
    ) {
        auto& one = members_[slice.set];
        auto const& manifest = one.read->manifest;
        if (one.live) return one.live->walk(one.directory, walker, manifest, slice, cut);
        BOOST_OUTCOME_TRY(auto const access, access_of(slice.set, all));
        return walker.take(copies_of(slice.set, noted), manifest, slice, access, cut);
    }

    // That member and all others that hold the same set, in the order of the sources: to be read
    // frame by frame. `noted`: takes what was wrong where; null: that member alone is read. Valid
    // until something is added. Throws: bad_alloc.
    [[nodiscard]] set_copies<Env> copies_of(std::size_t i, std::vector<bad_frames>* noted) {
        auto& one = members_[i];
        auto made = set_copies<Env>{one.directory, one.where, noted};
        for (std::size_t k = 0; k < members_.size(); ++k)
            if (noted != nullptr && k != i && is_usable(k) &&
                members_[k].read->hash == one.read->hash)
                made.add(members_[k].directory, members_[k].where);
        return made;
    }
    // That member is of no use, and so are the others that hold the same set, if all of them were
    // asked for the frame that it is about.
    void give_up(std::size_t i, error const& why, std::vector<bad_frames> const& bad) {
        auto& one = members_[i];
        // A set of some databases lacks pages of the others, and its log is that of all.
        if (why.code == errc::database_not_in_sets) {
            one.pages_wanted = false;
            return;
        }
        one.problem = why;
        // One that cannot be opened says nothing of the others: whoever rewrote the salt before it,
        // which is not sealed, made the same frame fail wherever it was read.
        if (why.code == errc::authentication_failed) return;
        auto const& parts = one.read->manifest.parts;
        if (why.file != file_kind::backup_part || why.page.value >= parts.size()) return;
        for (auto& other : members_) {
            if (!other.read || other.problem || other.read->hash != one.read->hash) continue;
            for (auto const& known : bad)
                if (known.where == other.where && known.part == parts[why.page.value].name &&
                    known.first <= why.at.value && why.at.value - known.first < known.count)
                    other.problem = why;
        }
    }
    // One that is said to be the same set as that member, and is another; size(): none. Of the two
    // one is not what was backed up, and nobody can say which.
    [[nodiscard]] std::size_t contradicts(std::size_t i) const noexcept {
        auto const& one = members_[i];
        for (std::size_t k = 0; k < members_.size(); ++k)
            if (is_usable(k) && !members_[k].live && members_[k].read->hash != one.read->hash &&
                manifest(k).set == one.read->manifest.set)
                return k;
        return members_.size();
    }

    // The same places. Members without a manifest stand there as unusable. Throws: bad_alloc.
    [[nodiscard]] std::vector<planned_set> planned() const {
        static backup_manifest const nothing{};
        auto made = std::vector<planned_set>{};
        for (std::size_t i = 0; i < members_.size(); ++i) {
            auto const& one = members_[i];
            made.push_back(
                one.read != nullptr
                    ? planned_set{&one.read->manifest, one.read->hash, is_usable(i), one.pages_wanted}
                    : planned_set{&nothing, {}, false}
            );
        }
        return made;
    }

    // The set whose uuid in hex, or whose name, begins so; empty: the newest of the one lineage.
    // With a timeline: of the sets that were made on it, and no others.
    // Errors: not_found; ambiguous_source (more than one lineage, or sets that begin so); the
    // set's own problem, if it was named. Throws: bad_alloc.
    [[nodiscard]] result<std::size_t> choose(std::string_view set, timeline_id timeline = {})
        const {
        if (set.empty()) {
            auto sets = planned();
            for (auto& one : sets) one.usable = one.usable && is_of(timeline, *one.manifest);
            return newest_set(sets);
        }
        auto chosen = members_.size();
        for (std::size_t i = 0; i < members_.size(); ++i) {
            auto const& one = members_[i];
            if (timeline.value != 0 && !(one.read && is_of(timeline, one.read->manifest))) continue;
            auto const hex = one.read ? hex_of(one.read->manifest.set) : hex_of(uuid{});
            auto const by_name = one.name.starts_with(set);
            if (!by_name && !(one.read && !one.live &&
                              std::string_view{hex.data(), hex.size()}.starts_with(set)))
                continue;
            auto const again = chosen != members_.size() && one.read && members_[chosen].read &&
                               members_[chosen].read->hash == one.read->hash;
            if (chosen == members_.size() || (again && members_[chosen].problem))
                chosen = i;
            else if (!again)
                return error{.code = errc::ambiguous_source};
        }
        if (chosen == members_.size())
            return error{.code = errc::not_found, .file = file_kind::manifest};
        if (members_[chosen].problem) return *members_[chosen].problem;
        return chosen;
    }

private:
    [[nodiscard]] result<void> add_live(
        Env env, std::string path, typename Env::directory directory
    ) {
        BOOST_OUTCOME_TRY(auto live, live_source<Env>::open(env, directory));
        auto read = read_manifest{live.as_set(), {}};
        BOOST_OUTCOME_TRY(read.hash, sha256::of(as_bytes(read.manifest.to_json())));
        members_.push_back(
            {path,
             path,
             std::move(directory),
             std::make_unique<read_manifest>(std::move(read)),
             {},
             {},
             std::move(live)}
        );
        return ok();
    }
    // Keys are dear to derive: of sets that tell the same history one is asked, and none where no
    // other history is told.
    [[nodiscard]] result<bool> proves_author(std::size_t i, set_access const& access) {
        auto const claims = [&](std::size_t k) {
            return is_usable(k) && !members_[k].live && manifest(k).has_author();
        };
        if (!claims(i)) return false;
        auto is_alone = true;
        for (std::size_t k = 0; k < members_.size(); ++k) {
            if (!members_[k].read || members_[k].live ||
                manifest(k).instance != manifest(i).instance)
                continue;
            auto const same = manifest(k).timeline == manifest(i).timeline &&
                              members_[k].told == members_[i].told;
            if (same && k < i && (*proven_)[k]) return true;
            is_alone = is_alone && same;
        }
        if (is_alone) return true;
        auto const opened = access_of(i, access);
        if (!opened && opened.error().code == errc::out_of_memory) return opened.error();
        return opened && opened.assume_value().key->proves_author();
    }
    // What the log of an instance does not tell of it, the sets of the same instance do; and what
    // one set does not tell of the forks before it, others do.
    void relate() {
        related_ = true;
        auto sets = std::vector<history_teller>{};
        for (std::size_t i = 0; i < members_.size(); ++i) {
            auto& one = members_[i];
            if (one.live || !one.read) continue;
            auto& m = one.read->manifest;
            m.ancestry = one.told;
            sets.push_back({&m, proven_ ? (*proven_)[i] : m.has_author()});
        }
        share_ancestry(sets);
        for (auto& one : members_) {
            if (!one.live) continue;
            auto& m = one.read->manifest;
            for (auto const& [set, has_author] : sets) {
                if (set->instance != m.instance) continue;
                m.page_size = set->page_size;
                m.checksum = set->checksum;
            }
            auto line = one.live->ancestry(); // a segment names one fork
            learn_from(sets, m.instance, line);
            m.ancestry.assign(line.forks().begin(), line.forks().end());
            if (auto const& below = one.live->unknown_below()) find_commit_below(*below, m);
        }
    }
    // The newest commit of that log, if sets hold it without a hole from there down to one.
    void find_commit_below(lsn below, backup_manifest& log) const noexcept {
        for (auto at = below;;) {
            auto newest = static_cast<backup_manifest const*>(nullptr);
            auto lowest = at;
            for (auto const& set : members_) {
                if (set.live || !set.read || set.read->manifest.instance != log.instance) continue;
                auto const& m = set.read->manifest;
                for (auto const& range : m.log) {
                    if (range.timeline != log.timeline || range.from >= at || range.to < at)
                        continue;
                    lowest = earlier(lowest, range.from);
                    if (m.last_commit && (newest == nullptr || newest->last_commit < m.last_commit))
                        newest = &m;
                }
            }
            if (newest != nullptr) {
                log.last_commit = newest->last_commit;
                log.last_commit_time = newest->last_commit_time;
                return;
            }
            if (lowest == at) return;
            at = lowest;
        }
    }
    [[nodiscard]] static bool is_of(timeline_id timeline, backup_manifest const& m) noexcept {
        return timeline.value == 0 || m.timeline == timeline;
    }
    [[nodiscard]] bool is_usable(std::size_t i) const noexcept {
        return members_[i].read != nullptr && !members_[i].problem;
    }

    std::vector<member> members_;
    std::optional<std::vector<bool>> proven_; // of each: its author; none: nobody was asked
    bool related_ = false;
};

} // namespace jetpp::inline v1
