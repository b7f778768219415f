// jetpp/backup/restore_run.hpp - from sets to an instance as it stood at one moment, or to nothing.
//
//     target -> plan -> log laid down and proved -> databases, base and deltas, proved -> new
//     timeline -> recovery (redo, undo) -> settled -> published | thrown away
//
// Nothing of it is published before all of it was proved and replayed; until then a journal keeps
// every engine out of the directory. Verify is the same run, with its end thrown away.
// A frame that is damaged is read from another copy of its set, if a source has one; a set that
// proves damaged all the same is passed over, if the same moment can be had without it.
// Threads  one owner; blocks.
// Source   backup rules R30 to R43, R46, R61.
#pragma once

#include <jetpp/backup/log_search.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/restore_fork.hpp>
#include <jetpp/backup/restore_plan.hpp>
#include <jetpp/backup/restore_report.hpp>
#include <jetpp/backup/restore_settle.hpp>
#include <jetpp/backup/restore_target.hpp>
#include <jetpp/backup/restored_databases.hpp>
#include <jetpp/backup/restored_log.hpp>
#include <jetpp/backup/set_pool.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/recovery/check_trees.hpp>
#include <jetpp/recovery/instance.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

template <class Traits>
class restore_run {
    using env = typename Traits::env;
    using directory = typename env::directory;

public:
    // Lifetime: pool and options outlive the run.
    restore_run(env environment, set_pool<env>& pool, restore_options const& options) noexcept
        : env_{environment}, pool_{&pool}, options_{&options} {}

    // What shall be restored, and from what. Once, before anything else.
    // Errors: not_found, ambiguous_source, ambiguous_label, target_not_reached; those of plan();
    // unsupported (sets of another page size or checksum than Traits).
    [[nodiscard]] result<void> resolve() noexcept {
        return guarded([&]() -> result<void> {
            BOOST_OUTCOME_TRY(pool_->believe(options_->access));
            BOOST_OUTCOME_TRY(auto const head, pool_->choose(options_->set, options_->timeline));
            return resolve(head);
        });
    }
    // The same of the pool's member `head`.
    [[nodiscard]] result<void> resolve(std::size_t head_set) noexcept {
        return guarded([&]() -> result<void> {
            head_ = head_set;
            auto const& head = pool_->manifest(head_);
            if ((*pool_)[head_].live && head.page_size == 0) // no set of that instance is here
                return error{.code = errc::base_not_here, .file = file_kind::manifest};
            if (head.page_size != Traits::page_size || head.checksum != Traits::checksum::name)
                return error{.code = errc::unsupported, .file = file_kind::manifest};
            for (std::size_t i = 0; i < pool_->size(); ++i) {
                auto& one = (*pool_)[i];
                if (one.live && one.live->newest().instance != head.instance) {
                    trouble_.set = i;
                    return error{.code = errc::log_foreign, .file = file_kind::log_segment};
                }
                // It may be the newest: whoever takes what is left must hear of it.
                if (!one.read && one.problem) pass_over(i, *one.problem);
                if (one.read && !one.problem &&
                    !options_->access.can_decode(one.read->manifest.codec))
                    one.problem = error{.code = errc::unsupported, .file = file_kind::manifest};
            }
            if ((*pool_)[head_].problem) return *(*pool_)[head_].problem;
            BOOST_OUTCOME_TRY(limit_, find_limit());
            return plan();
        });
    }
    [[nodiscard]] restore_plan const& planned() const noexcept { return plan_; }
    [[nodiscard]] std::size_t head() const noexcept { return head_; }
    [[nodiscard]] restore_trouble const& trouble() const noexcept { return trouble_; }
    [[nodiscard]] backup_manifest const& head_manifest() const { return pool_->manifest(head_); }
    // The set that the result is said to be from: the log of an instance is none.
    [[nodiscard]] uuid source_set() const {
        return pool_->manifest((*pool_)[head_].live ? plan_.last_pages() : head_).set;
    }

    // The target has seen segments up to that one: the new timeline begins above it.
    void begin_above(std::uint64_t generation) noexcept { seen_generation_ = generation; }

    // Equal for restores of the same sets to the same moment. Errors: unsupported, out_of_memory.
    [[nodiscard]] result<sha256_digest> plan_digest() const noexcept {
        BOOST_OUTCOME_TRY(auto hasher, sha256::create());
        auto numbers = std::array<std::byte, 16>{};
        store_le<std::uint64_t>(numbers.data(), limit_.value);
        store_le<std::uint64_t>(numbers.data() + 8, options_->databases.size());
        BOOST_OUTCOME_TRY(hasher.add(numbers));
        for (auto const& name : options_->databases) {
            store_le<std::uint64_t>(numbers.data(), name.size());
            BOOST_OUTCOME_TRY(hasher.add(const_bytes{numbers}.first(8)));
            BOOST_OUTCOME_TRY(hasher.add(as_bytes(name)));
        }
        BOOST_OUTCOME_TRY(hasher.add((*pool_)[head_].read->hash));
        for (auto const set : plan_.pages) {
            BOOST_OUTCOME_TRY(hasher.add((*pool_)[set].read->hash));
        }
        return hasher.finish();
    }
    [[nodiscard]] restore_report begin_report() const {
        auto report = restore_report{};
        report.set = source_set();
        report.reached = limit_;
        report.page_sets = plan_.pages.size();
        report.passed_over = passed_over_;
        report.replaced = bad_;
        return report;
    }

    // Called with what was restored, before it is discarded; an error is that of the restore.
    void examine_with(std::function<result<void>(instance<Traits>&)> examine) {
        examine_ = std::move(examine);
    }

    // Databases that exist and may be laid over. take: is there one? then it has a name in the
    // directory that is restored into; begun: called when its pages stand, before its header says so.
    struct existing_files {
        std::function<result<bool>(logged_database const&, directory&)> take;
        std::function<result<void>(uuid const& set)> begun;
    };
    void lay_over(existing_files existing) { existing_ = std::move(existing); }

    // Reads and proves all that the plan names; writes nothing.
    // Errors: those of the walkers, of choose_databases and of planning without what was passed over.
    [[nodiscard]] result<restore_report> prove() noexcept {
        return with_what_is_sound([&]() -> result<restore_report> {
            auto report = begin_report();
            BOOST_OUTCOME_TRY(lay_down(nullptr, report));
            return report;
        });
    }

    // Requires: resolve(). The target exists and holds nothing, or does not exist.
    // Errors: as prove(); would_overwrite; those of recovery: the target is then as empty as it was.
    // in_use: somebody has it, or had its lock for a moment; what was laid down may stay for the next
    // call. `ending`: publish leaves an instance, discard nothing.
    [[nodiscard]] result<restore_report> restore(path_view target, restore_ending ending) noexcept {
        // Whoever verifies a set wants to hear of this one.
        is_proof_ = ending == restore_ending::discard;
        return with_what_is_sound([&]() -> result<restore_report> {
            auto const may_go_on = ending == restore_ending::publish && !options_->force &&
                                   !options_->delta && !may_leave_out();
            auto gone_on = false;
            auto done = restore_once(target, ending, may_go_on, gone_on);
            if (done || !gone_on || is_stopped_ || !is_of_a_set(done.error())) return done;
            // Something came over what had been laid down: no set is to blame, for none was read.
            trouble_.set.reset();
            return restore_once(target, ending, false, gone_on);
        });
    }

private:
    // `gone_on`: was there something to go on with?
    [[nodiscard]] result<restore_report> restore_once(
        path_view target, restore_ending ending, bool may_go_on, bool& gone_on
    ) {
        auto const began = env_.runtime.now();
        auto report = begin_report();
        auto const& head = pool_->manifest(head_);
        auto journal = restore_journal{
            .instance = head.instance,
            .parent = head.timeline,
            .staging = source_set(),
        };
        // With what is only proved nobody goes on.
        if (ending == restore_ending::publish) {
            BOOST_OUTCOME_TRY(journal.plan, plan_digest());
        }
        BOOST_OUTCOME_TRY(auto place, restore_target<env>::open(env_, target, journal, may_go_on));
        gone_on = report.gone_on = place.goes_on();
        auto begun = false; // the recovery: the lock is free for moments
        auto const done = guarded([&]() -> result<void> {
            if (gone_on) {
                journal = place.plan();
                report.timeline = journal.timeline;
                report.fork_lsn = journal.fork_lsn;
                for (auto const set : sets_of(plan_)) // not read, but it is known who wrote them
                    if (!(*pool_)[set].live) (void)pool_->access_of(set, options_->access);
                pool_->count_authors(plan_, report.sets, report.authenticated);
                BOOST_OUTCOME_TRY(begin_stage(restore_stage::recover)); // while the lock is held
                BOOST_OUTCOME_TRY(place.repeat_recovery());
            } else {
                BOOST_OUTCOME_TRY(auto const fork, lay_down(&place.where(), report));
                journal.timeline = fork.timeline;
                journal.parent = fork.parent;
                journal.fork_lsn = fork.fork_lsn;
                journal.first_generation = fork.first_generation;
                BOOST_OUTCOME_TRY(begin_stage(restore_stage::recover));
                BOOST_OUTCOME_TRY(place.begin_recovery(journal));
                report.laying = env_.runtime.now() - began;
            }
            begun = true;
            BOOST_OUTCOME_TRY(recover(target, journal.first_generation, report, ending));
            return ending == restore_ending::publish ? place.publish() : result<void>{ok()};
        });
        // Whoever else goes on with it has it now; or somebody only looked, and the next call does. Of
        // what nobody may go on with nothing is left.
        auto const is_taken = !done && begun && may_go_on && ending == restore_ending::publish &&
                              done.error().code == errc::in_use;
        if (!is_taken && (!done || ending == restore_ending::discard)) place.give_up();
        if (!done) return done.error();
        report.took = env_.runtime.now() - began;
        return report;
    }

    [[nodiscard]] result<lsn> find_limit() {
        auto const& head = pool_->manifest(head_);
        auto search = log_search<env>{*pool_, head_, on_read_, options_->access, &bad_};
        auto limit = result<lsn>{head.end_lsn};
        if (options_->to_time || !options_->to_point.empty()) {
            BOOST_OUTCOME_TRY(begin_stage(restore_stage::search));
        }
        if (options_->to_lsn)
            limit = *options_->to_lsn + 1;
        else if (options_->to_time)
            limit = search.limit_of(*options_->to_time);
        else if (!options_->to_point.empty())
            limit = search.limit_of(restore_label::parse(options_->to_point));
        else if (auto const& live = (*pool_)[head_].live; live && live->lost()) {
            trouble_.set = head_; // there was more, and all of it is what is asked for
            return *live->lost();
        }
        trouble_.labelled = search.labelled();
        if (!limit) {
            trouble_.set = search.culprit();
            trouble_.timeline = search.gap_timeline();
        }
        trouble_.bad = bad_;
        for (auto const& one : search.all_passed_over()) pass_over(one.set, one.why);
        return limit;
    }
    [[nodiscard]] result<void> plan() {
        auto noted = plan_trouble{};
        auto made = plan_restore(pool_->planned(), head_, limit_, noted);
        if (!made) {
            trouble_.timeline = noted.timeline;
            if (!noted.sets.empty()) trouble_.set = noted.sets.front();
            return made.error();
        }
        plan_ = std::move(made).assume_value();
        if (auto const& live = (*pool_)[plan_.log.back().set].live;
            live && plan_.log.back().to == live->to() && live->end() < limit_)
            return error{
                .code = errc::target_not_reached, .file = file_kind::log_segment, .at = live->end()
            };
        for (auto const set : plan_.pages) {
            BOOST_OUTCOME_TRY(refuse_contradiction(set));
        }
        for (auto const& slice : plan_.log) {
            BOOST_OUTCOME_TRY(refuse_contradiction(slice.set));
        }
        return ok();
    }
    [[nodiscard]] result<void> refuse_contradiction(std::size_t set) {
        auto const other = pool_->contradicts(set);
        if (other == pool_->size()) return ok();
        trouble_.set = other;
        return error{.code = errc::pool_conflict, .file = file_kind::manifest};
    }

    // What the log alone tells of is not told by files that were laid down: which databases it left
    // out. Their names are in the sets that have pages.
    [[nodiscard]] bool may_leave_out() const {
        for (auto const set : plan_.pages)
            if (!pool_->manifest(set).exempt.empty()) return true;
        return false;
    }

    // Once, whether the search or the restore met it.
    void pass_over(std::size_t set, error const& why) {
        auto const& where = (*pool_)[set].where;
        for (auto const& known : passed_over_)
            if (known.where == where) return;
        passed_over_.push_back({where, why});
    }

    // Runs `work`. If a set is to blame and the moment can be had without it, again.
    template <class Work>
    [[nodiscard]] result<restore_report> with_what_is_sound(Work&& work) noexcept {
        return guarded([&]() -> result<restore_report> {
            for (;;) {
                trouble_.set.reset();
                missing_.reset();
                auto done = guarded([&] { return work(); });
                trouble_.bad = bad_;
                if (done) done.assume_value().replaced = bad_;
                if (done) return done;
                if (is_stopped_ || !is_of_a_set(done.error())) trouble_.set.reset();
                if (!trouble_.set) return done;
                auto const culprit = *trouble_.set;
                if (is_proof_ && culprit == head_) return done;
                // Older pages would end with an error of their own, and hide that none have it.
                if (missing_ && !has_pages_of(*missing_)) return done;
                auto const first = trouble_;
                pool_->give_up(culprit, done.error(), bad_);
                // Of other copies that says nothing: they are asked again, without this one's salt.
                if (done.error().code == errc::authentication_failed)
                    std::erase_if(bad_, [&](bad_frames const& one) {
                        return one.why.code == errc::authentication_failed &&
                               one.where != (*pool_)[culprit].where;
                    });
                if (!plan()) {
                    trouble_ = first; // what was damaged is what there is to tell
                    return done;
                }
                pass_over(culprit, done.error());
            }
        });
    }
    // Could other pages than those of this plan have the database?
    [[nodiscard]] bool has_pages_of(uuid const& database) const {
        auto const line = lineage::of(pool_->manifest(head_));
        auto const sets = pool_->planned();
        for (std::size_t i = 0; i < sets.size(); ++i)
            if (sets[i].usable && sets[i].pages_wanted && i != plan_.last_pages() &&
                line.holds_pages_of(*sets[i].manifest) && sets[i].manifest->has_database(database))
                return true;
        return false;
    }
    [[nodiscard]] static bool is_of_a_set(error const& why) noexcept {
        if (why.file == file_kind::directory) return false; // the target's
        // Of a name that was asked for, or of two in one target.
        if (why.file == file_kind::database &&
            (why.code == errc::not_found || why.code == errc::unsafe_name))
            return false;
        switch (why.code) {
        case errc::cancelled:
        case errc::out_of_memory:
        case errc::disk_full:
        case errc::in_use:
        // Of two histories neither is damaged: nobody but the caller chooses.
        case errc::pool_conflict:
        case errc::would_overwrite: return false;
        default: return true;
        }
    }

    [[nodiscard]] result<void> begin_stage(restore_stage stage, std::string_view file = {}) {
        auto told = options_->on_stage ? options_->on_stage(stage, file) : result<void>{ok()};
        is_stopped_ = is_stopped_ || !told;
        return told;
    }

    // Who proves a set wants to hear of every frame of its own: no other copy is read.
    [[nodiscard]] std::vector<bad_frames>* noted() noexcept { return is_proof_ ? nullptr : &bad_; }

    // Into null: proves only. Returns: the timeline that recovery will go on with.
    [[nodiscard]] result<restore_fork> lay_down(directory* into, restore_report& report) {
        auto const sets = pool_->planned();
        auto const& pages = pool_->manifest(plan_.last_pages());
        BOOST_OUTCOME_TRY(
            auto log,
            restored_log<env>::create(env_, into, pages.log_start, limit_, awaited(sets), on_read_)
        );
        for (std::size_t i = 0; i < pool_->size(); ++i)
            if (auto const& one = (*pool_)[i]; one.live && !one.problem)
                log.compare_with(one.live->headers());
        BOOST_OUTCOME_TRY(lay_log(log, report));
        trouble_.set = plan_.last_pages();
        BOOST_OUTCOME_TRY(log.finish());
        report.last_commit = log.analysis().last_commit();
        auto chosen = choose_databases(
            log.analysis(),
            log.lives(),
            sets,
            plan_,
            options_->databases,
            &report.left_out,
            is_proof_ ? &pool_->manifest(head_) : nullptr
        );
        if (!chosen) {
            if (chosen.error().code == errc::database_not_in_sets)
                for (auto const& logged : log.analysis().databases())
                    if (logged.id.value == chosen.error().database) missing_ = logged.database;
            return chosen.error();
        }
        auto const databases = std::move(chosen).assume_value();
        report.databases = databases.size();
        auto highest = limit_;
        // What no log could have reached is a number and no more, of a set or in a name.
        for (auto const& one : sets)
            if (one.manifest->instance == pages.instance &&
                one.manifest->end_lsn.value < lsn_limit.value / 2)
                highest = later(highest, one.manifest->end_lsn);
        if (seen_generation_ < lsn_limit.value / 2 / pages.segment_bytes)
            highest = later(highest, first_lsn(seen_generation_, pages.segment_bytes));
        auto const fork = restore_fork::draw(env_, log, highest);
        report.timeline = fork.timeline;
        report.fork_lsn = fork.fork_lsn;
        BOOST_OUTCOME_TRY(lay_databases(into, databases, fork, report));
        trouble_.set.reset();
        pool_->count_authors(plan_, report.sets, report.authenticated);
        if (into != nullptr) {
            auto logged = std::vector<logged_database>{};
            for (auto const& one : databases) logged.push_back(one.logged);
            BOOST_OUTCOME_TRY(begin_timeline<Traits>(
                env_, *into, fork, log, {pages.redo_lsn, pages.undo_low_lsn}, logged
            ));
        }
        return fork;
    }

    // Sets whose backup began in the log that is replayed.
    [[nodiscard]] std::vector<awaited_begin> awaited(std::span<planned_set const> sets) const {
        auto found = std::vector<awaited_begin>{};
        auto const& head = pool_->manifest(head_);
        // Of log from elsewhere it is not the set that is to blame.
        auto from_sets = true;
        for (auto const& slice : plan_.log) from_sets = from_sets && !(*pool_)[slice.set].live;
        for (std::size_t i = 0; i < sets.size(); ++i) {
            auto const& m = *sets[i].manifest;
            if (!sets[i].usable || m.instance != head.instance || m.begin_lsn >= limit_) continue;
            for (auto const& slice : plan_.log) {
                auto const here = slice.timeline == m.timeline && slice.from <= m.begin_lsn &&
                                  m.begin_lsn < slice.to;
                // What a fork left behind is not replayed.
                auto const bound = lineage::of(head);
                auto const place = bound.find(m.timeline);
                if (!here || !place || m.begin_lsn >= bound.stretches[*place].bound) continue;
                auto known = false;
                for (auto const& one : found) known = known || one.set == m.set;
                if (!known)
                    found.push_back({m.begin_lsn, m.set, from_sets && i == plan_.last_pages()});
            }
        }
        return found;
    }

    [[nodiscard]] result<void> lay_log(restored_log<env>& log, restore_report& report) {
        auto const line = lineage::of(pool_->manifest(head_));
        BOOST_OUTCOME_TRY(begin_stage(restore_stage::log, "log"));
        BOOST_OUTCOME_TRY(
            auto walker,
            (log_walker<env, restored_log<env>>::create(Traits::page_size, log, report.read))
        );
        for (auto const& slice : plan_.log) {
            trouble_.set = slice.set;
            BOOST_OUTCOME_TRY(pool_->walk_log(
                walker, slice, options_->access, detail::cut_of(line, slice), noted()
            ));
        }
        return ok();
    }

    [[nodiscard]] result<void> lay_databases(
        directory* into,
        std::vector<restored_database> const& databases,
        restore_fork const& fork,
        restore_report& report
    ) {
        auto const& pages = pool_->manifest(plan_.last_pages());
        auto line = timeline_ancestry::of_log(fork.timeline, {fork.parent, fork.fork_lsn});
        auto const before = ancestry_of(fork.parent, pool_->manifest(head_));
        line.learn(before.timeline(), before.forks());
        auto const how = typename restored_file<Traits>::fork_of_file{
            .line = line,
            .log_start = pages.log_start,
            .set = source_set(),
            .limit = limit_,
        };
        BOOST_OUTCOME_TRY(auto file, restored_file<Traits>::create(env_, into, on_read_));
        for (auto const& database : databases) {
            auto over = false;
            if (into != nullptr && existing_.take && !database.layers.empty()) {
                BOOST_OUTCOME_TRY(over, existing_.take(database.logged, *into));
            }
            auto const count = database.layers.size();
            BOOST_OUTCOME_TRY(begin_stage(restore_stage::pages, database.logged.name.view()));
            for (std::size_t i = 0; i < count; ++i) {
                auto const& layer = database.layers[over ? count - 1 - i : i];
                auto const length = pool_->manifest(layer.set).databases[layer.place].pages;
                if (over)
                    file.begin_over(database, length, i == 0);
                else
                    file.begin(database, length, i == 0);
                BOOST_OUTCOME_TRY(walk_layer(layer, file, report));
            }
            trouble_.set.reset();
            if (over) {
                BOOST_OUTCOME_TRY(file.end_over());
                BOOST_OUTCOME_TRY(existing_.begun(source_set()));
            }
            if (database.layers.empty()) {
                BOOST_OUTCOME_TRY(file.make(database, pages.instance, how));
            } else {
                BOOST_OUTCOME_TRY(file.adopt(database, how));
            }
        }
        report.written_pages = file.written_pages();
        report.equal_pages = file.equal_pages();
        return ok();
    }

    [[nodiscard]] result<void> walk_layer(
        restored_database::layer const& layer, restored_file<Traits>& file, restore_report& report
    ) {
        trouble_.set = layer.set;
        BOOST_OUTCOME_TRY(auto const access, pool_->access_of(layer.set, options_->access));
        auto walker = database_walker<
            env,
            Traits::page_size,
            typename Traits::checksum,
            restored_file<Traits>>{
            pool_->copies_of(layer.set, noted()),
            pool_->manifest(layer.set),
            layer.place,
            file,
            report.read,
            access
        };
        return walker.run();
    }

    [[nodiscard]] result<void> recover(
        path_view target,
        std::uint64_t first_generation,
        restore_report& report,
        restore_ending ending
    ) {
        auto const sizes = instance_options{
            .create = false,
            .archival_from_files = true,
            .buffer_bytes = options_->buffer_bytes,
            .process_durability = false,
            .restoring = true,
            .brief = true,
        };
        auto revived = std::make_unique<instance<Traits>>(env_);
        // A page that no record fits is a matter of the pages, whichever set they came from.
        trouble_.set = plan_.last_pages();
        auto const opened = revived->open(target, sizes);
        if (!opened && opened.error().code == errc::io) trouble_.set.reset(); // the target's
        if (!opened) return opened.error();
        report.recovery = revived->report();
        if (report.gone_on) {
            // A checkpoint of the earlier try may stand behind it.
            auto const& head = pool_->manifest(head_);
            report.last_commit = report.recovery.last_commit;
            if (!report.last_commit && limit_ == head.end_lsn)
                report.last_commit = head.last_commit;
            for (auto const& known : revived->databases())
                report.databases += known.file != nullptr ? 1U : 0U;
        }
        if (ending == restore_ending::discard) {
            BOOST_OUTCOME_TRY(auto const checked, check_trees(*revived));
            report.trees = checked.trees;
            report.rows = checked.rows;
            if (!checked.is_good()) return checked.problem;
            if (examine_) {
                BOOST_OUTCOME_TRY(examine_(*revived));
            }
        }
        trouble_.set.reset();
        return settle_and_close(*revived, first_generation);
    }

    [[no_unique_address]] env env_;
    set_pool<env>* pool_;
    restore_options const* options_;
    std::size_t head_ = 0;
    lsn limit_{};
    restore_plan plan_{};
    restore_trouble trouble_{};
    std::vector<passed_over_set> passed_over_;
    std::vector<bad_frames> bad_; // wherever another copy was asked
    std::uint64_t seen_generation_ = 0;
    std::optional<uuid> missing_; // the database that is in none of the plan's page sets
    bool is_proof_ = false;
    // The caller's, who may end the restore by it: that is no set's fault.
    bool is_stopped_ = false;
    std::function<result<void>(std::uint64_t)> const on_read_{[this](std::uint64_t count) {
        auto told = options_->on_read ? options_->on_read(count) : result<void>{ok()};
        is_stopped_ = is_stopped_ || !told;
        return told;
    }};
    existing_files existing_;
    std::function<result<void>(instance<Traits>&)> examine_;
};

} // namespace jetpp::inline v1
