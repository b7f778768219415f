// jetpp/backup/roll_forward.hpp - brings databases of an instance back in place, up to its true tail.
//
//     pages of sets + log of sets .. log of the directory  ->  recovery of the instance
// The log survived, files of databases did not. What sets hold of them is laid into the directory as
// files that crashed when the set was copied; the one recovery of the instance then redoes each
// database from where it stands, and undoes in the live stream what was unfinished at the tail:
// losers span databases, so no file could be rolled back alone. No commit is lost and no timeline
// begins: marks, sets and log go on as if nothing had been.
//
//     staged and proved -> journal: publish -> files in the way go aside -> journal: redo
//     -> staged files come in -> recovery, close -> journal removed
// Until the journal is there nothing is touched; from then on no engine opens the directory, and
// whoever calls again goes on where it was.
// Requires  the engine is closed. Threads  one owner; blocks.
// Source    backup rules R34, R35, R40, R43.
#pragma once

#include <jetpp/backup/lineage.hpp>
#include <jetpp/backup/live_log.hpp>
#include <jetpp/backup/log_walker.hpp>
#include <jetpp/backup/restore_exchange.hpp>
#include <jetpp/backup/restore_plan.hpp>
#include <jetpp/backup/restore_report.hpp>
#include <jetpp/backup/restored_databases.hpp>
#include <jetpp/backup/restored_log.hpp>
#include <jetpp/backup/set_pool.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/engine/probe.hpp>
#include <jetpp/log/end_of_log.hpp>
#include <jetpp/recovery/exchanged_file.hpp>
#include <jetpp/recovery/instance.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

template <class Traits>
class roll_forward_run {
    using env = typename Traits::env;
    using directory = typename env::directory;
    using exchange = restore_exchange<env>;

public:
    // Lifetime: pool and options outlive the run.
    roll_forward_run(env environment, set_pool<env>& pool, restore_options const& options) noexcept
        : env_{environment}, pool_{&pool}, options_{&options} {}

    // Which databases: options.databases, or all whose files are missing; with force also those
    // whose files are there, which go aside.
    // Errors: bad_option (a set, a timeline, a target or delta is asked for: it is the tail that is gone to), not_found
    // (no such directory or database), in_use, would_overwrite (nothing is missing),
    // log_missing, log_gap, base_not_here, target_before_set_end (no set has the pages, or its log
    // does not lead to the directory's), database_not_in_sets, pool_conflict, those of the walkers
    // and of recovery.
    [[nodiscard]] result<restore_report> run(path_view target) noexcept {
        return guarded([&]() -> result<restore_report> {
            if (!options_->set.empty() || options_->timeline.value != 0 || options_->to_lsn ||
                options_->to_time || !options_->to_point.empty() || options_->delta)
                return error{.code = errc::bad_option};
            auto const began = env_.runtime.now();
            auto report = restore_report{};
            BOOST_OUTCOME_TRY(pool_->believe(options_->access));
            BOOST_OUTCOME_TRY(auto place, exchange::open_live(env_, target));
            if (place.interrupted() && options_->force) {
                BOOST_OUTCOME_TRY(place.start_over());
            }
            if (!place.interrupted()) {
                BOOST_OUTCOME_TRY(auto const plan, stage(place, report));
                BOOST_OUTCOME_TRY(place.begin_live(plan));
            }
            report.timeline = place.plan().timeline;
            report.set = place.plan().set;
            BOOST_OUTCOME_TRY(report.moved_aside, place.finish_live());
            report.laying = env_.runtime.now() - began;
            BOOST_OUTCOME_TRY(recover(target, report));
            BOOST_OUTCOME_TRY(place.end_live());
            report.took = env_.runtime.now() - began;
            return report;
        });
    }
    [[nodiscard]] restore_trouble const& trouble() const noexcept { return trouble_; }

private:
    // Lays everything down below the directory; a set that proves damaged is passed over.
    [[nodiscard]] result<live_plan> stage(exchange& place, restore_report& report) {
        BOOST_OUTCOME_TRY(live_, read_live_log<env>(env_, place.where(), Traits::page_size));
        BOOST_OUTCOME_TRY(find_wanted(place.where()));
        auto const as_set = live_.as_set(
            static_cast<std::uint32_t>(Traits::page_size), std::string{Traits::checksum::name}
        );
        BOOST_OUTCOME_TRY(check_what_stays(place.where()));
        for (;;) {
            auto sets = pool_->planned();
            auto const live = sets.size();
            sets.push_back({&as_set, {}, true});
            auto noted = plan_trouble{};
            auto planned = plan_restore(sets, live, live_.end, noted);
            if (!planned) {
                trouble_.timeline = noted.timeline;
                if (!noted.sets.empty()) trouble_.set = noted.sets.front();
                return first_ ? *first_ : planned.error();
            }
            auto const& plan = planned.assume_value();
            trouble_.set.reset();
            auto staged = place.make_staging();
            if (!staged) return staged.error();
            auto done =
                guarded([&] { return lay_down(place, staged.assume_value(), sets, plan, report); });
            trouble_.bad = report.replaced;
            if (done) {
                auto const& pages = *sets[plan.last_pages()].manifest;
                return live_plan{pages.instance, pages.timeline, pages.set};
            }
            place.give_up();
            auto const culprit = trouble_.set;
            if (!culprit || *culprit == live || done.error().code == errc::cancelled ||
                done.error().code == errc::out_of_memory || done.error().code == errc::disk_full)
                return done.error();
            pool_->give_up(*culprit, done.error(), report.replaced);
            report.passed_over.push_back({(*pool_)[*culprit].where, done.error()});
            if (!first_) first_ = done.error();
        }
    }

    // What a set or a header has of this timeline was in the log once: one that ends below would go
    // on with other records of the same positions. And what recovery will refuse of the files that
    // stay, it must be now.
    [[nodiscard]] result<void> check_what_stays(directory& where) {
        auto const refused =
            error{.code = errc::log_tail_lost, .file = file_kind::log_segment, .at = live_.end};
        auto const sets = pool_->planned();
        for (std::size_t i = 0; i < sets.size(); ++i) {
            auto const& m = *sets[i].manifest;
            if (m.instance != live_.newest.instance || m.timeline != live_.newest.timeline ||
                m.end_lsn <= live_.end)
                continue;
            trouble_.set = i;
            return refused;
        }
        BOOST_OUTCOME_TRY(auto const facts, probe(env_, where));
        for (auto const& logged : live_.attached) {
            auto there = logged.created || logged_if_it_stays(logged.name) == nullptr;
            for (auto const& one : facts.databases) there = there || one.name == logged.name;
            if (!there)
                return error{.code = errc::database_missing}.with_database(logged.id).with_file(
                    file_kind::database
                );
        }
        for (auto const& one : facts.databases) {
            auto const* const staying = logged_if_it_stays(one.name);
            if (staying != nullptr) {
                auto const sound = one.newest ? check_staying(one.newest->header, *staying)
                                              : result<void>{one.why};
                if (!sound)
                    return sound.error().with_database(staying->id).with_file(file_kind::database);
            }
            if (!one.newest) continue;
            auto const& header = one.newest->header;
            if (header.instance != live_.newest.instance ||
                header.timeline != live_.newest.timeline)
                continue;
            BOOST_OUTCOME_TRY(check_end(
                live_.end,
                live_.newest.segment_bytes,
                {.max_required = header.max_required_lsn,
                 .stamped_end = header.stamped_end(header.timeline)}
            ));
        }
        return ok();
    }

    // What the log says of a file that is attached and not brought back; null of any other.
    [[nodiscard]] logged_database const* logged_if_it_stays(file_name const& name) const noexcept {
        for (auto const& wanted : wanted_)
            if (wanted == name) return nullptr;
        for (auto const& logged : live_.attached)
            if (logged.name == name) return &logged;
        return nullptr;
    }
    [[nodiscard]] result<void> check_staying(
        database_header const& header, logged_database const& logged
    ) const noexcept {
        auto const* const slot = live_.slot ? &*live_.slot : nullptr;
        return check_file_of_log(
            header, logged, live_.newest.instance, live_.newest.timeline, slot
        );
    }

    [[nodiscard]] result<void> find_wanted(directory& where) {
        auto const& only = options_->databases;
        auto known = std::size_t{0};
        wanted_.clear();
        for (auto const& logged : live_.attached) {
            auto const asked = std::count(only.begin(), only.end(), logged.name.view());
            known += static_cast<std::size_t>(asked);
            if (asked == 0 && !only.empty()) continue;
            auto const file = where.open(logged.name, {.mode = open_mode::read_only});
            if (!file && file.error().code != errc::not_found) return file.error();
            if (!file || options_->force) wanted_.push_back(logged.name);
        }
        if (known != only.size() || live_.attached.empty())
            return error{.code = errc::not_found, .file = file_kind::database};
        if (wanted_.empty())
            return error{.code = errc::would_overwrite, .file = file_kind::directory};
        return ok();
    }

    [[nodiscard]] result<void> lay_down(
        exchange& place,
        directory& into,
        std::vector<planned_set> const& sets,
        restore_plan const& plan,
        restore_report& report
    ) {
        auto const& pages = *sets[plan.last_pages()].manifest;
        auto begins = std::vector<awaited_begin>{{pages.begin_lsn, pages.set, true}};
        BOOST_OUTCOME_TRY(
            auto log,
            restored_log<env>::create(
                env_, &into, pages.log_start, lsn_limit, std::move(begins), options_->on_read
            )
        );
        BOOST_OUTCOME_TRY(auto const at, lay_log(log, plan, report));
        trouble_.set.reset();
        BOOST_OUTCOME_TRY(see_live(place.where(), log, at));
        trouble_.set = plan.last_pages();
        BOOST_OUTCOME_TRY(log.finish());
        report.page_sets = plan.pages.size();
        report.last_commit = log.analysis().last_commit();
        report.reached = live_.end;
        report.databases = wanted_.size();
        BOOST_OUTCOME_TRY(auto file, restored_file<Traits>::create(env_, &into, options_->on_read));
        for (auto const& name : wanted_) {
            trouble_.set = plan.last_pages();
            auto const only = std::string{name.view()};
            BOOST_OUTCOME_TRY(
                auto const chosen,
                choose_databases(log.analysis(), log.lives(), sets, plan, {&only, 1})
            );
            BOOST_OUTCOME_TRY(lay_database(file, chosen.front(), pages, report));
        }
        trouble_.set.reset();
        pool_->count_authors(plan, report.sets, report.authenticated);
        BOOST_OUTCOME_TRY(compare_segments(place.where(), into));
        return into.sync(); // all names, before a journal speaks of them
    }

    // What the directory lacks of the log. Returns: where the directory's log goes on.
    [[nodiscard]] result<lsn> lay_log(
        restored_log<env>& log, restore_plan const& plan, restore_report& report
    ) {
        BOOST_OUTCOME_TRY(begin_stage(restore_stage::log, "log"));
        BOOST_OUTCOME_TRY(
            auto walker,
            (log_walker<env, restored_log<env>>::create(Traits::page_size, log, report.read))
        );
        auto at = plan.log.empty() ? live_.from : plan.log.front().from;
        for (auto slice : plan.log) {
            if (slice.from >= live_.from) break;
            slice.to = earlier(slice.to, live_.from);
            trouble_.set = slice.set;
            BOOST_OUTCOME_TRY(
                pool_->walk_log(walker, slice, options_->access, no_lsn, &report.replaced)
            );
            at = slice.to;
        }
        if (at != live_.from || plan.log.empty() || plan.log.front().from >= live_.from) return at;
        // Does the directory's log follow what was laid down?
        auto const& last = log.last_segment();
        if (live_.oldest.previous_generation != last.generation ||
            live_.oldest.previous_nonce != last.nonce)
            return error{
                .code = errc::pool_conflict, .file = file_kind::log_segment, .at = live_.from
            };
        return at;
    }

    // The directory's own part, up to the tail.
    [[nodiscard]] result<void> see_live(directory& where, restored_log<env>& log, lsn from) {
        auto rest = replay<env>::open(
            env_,
            where,
            {.from = first_lsn(
                 generation_of(from, live_.newest.segment_bytes), live_.newest.segment_bytes
             ),
             .page_size = Traits::page_size,
             .instance = live_.newest.instance,
             .segment_bytes = live_.newest.segment_bytes,
             .use_ring = true}
        );
        if (!rest) return rest.error();
        for (auto const& r : rest.assume_value()) {
            if (!r) return r.error();
            BOOST_OUTCOME_TRY(log.see_record(r.assume_value()));
        }
        return ok();
    }

    [[nodiscard]] result<void> lay_database(
        restored_file<Traits>& file,
        restored_database const& database,
        backup_manifest const& pages,
        restore_report& report
    ) {
        auto const how = typename restored_file<Traits>::fork_of_file{
            .line = timeline_ancestry::of_log(
                live_.newest.timeline, {live_.newest.parent_timeline, live_.newest.fork_lsn}
            ),
            .log_start = pages.log_start,
            .forks = false,
        };
        trouble_.set.reset();
        BOOST_OUTCOME_TRY(begin_stage(restore_stage::pages, database.logged.name.view()));
        for (auto const& layer : database.layers) {
            trouble_.set = layer.set;
            auto& one = (*pool_)[layer.set];
            auto const& manifest = one.read->manifest;
            file.begin(
                database, manifest.databases[layer.place].pages, &layer == &database.layers.front()
            );
            BOOST_OUTCOME_TRY(auto const access, pool_->access_of(layer.set, options_->access));
            auto walker = database_walker<
                env,
                Traits::page_size,
                typename Traits::checksum,
                restored_file<Traits>>{
                pool_->copies_of(layer.set, &report.replaced),
                manifest,
                layer.place,
                file,
                report.read,
                access
            };
            BOOST_OUTCOME_TRY(walker.run());
        }
        trouble_.set.reset();
        if (database.layers.empty()) return file.make(database, pages.instance, how);
        return file.adopt(database, how);
    }

    // A segment that lies in the directory as well must be the same. The staged one comes in all the
    // same: it is proved, of the other one nothing but the header was read.
    [[nodiscard]] result<void> compare_segments(directory& where, directory& staged) {
        BOOST_OUTCOME_TRY(auto laid, log_directory<env>::list(env_, staged));
        BOOST_OUTCOME_TRY(auto there, log_directory<env>::list(env_, where));
        BOOST_OUTCOME_TRY(laid.read_from(staged, 0));
        for (auto const& one : laid.segments()) {
            auto* const known = there.find(one.generation);
            if (known == nullptr) continue;
            BOOST_OUTCOME_TRY(there.read(where, *known));
            if (known->is_sound() && known->header != one.header)
                return error{
                    .code = errc::pool_conflict,
                    .file = file_kind::log_segment,
                    .at = one.header.first()
                };
        }
        return ok();
    }

    [[nodiscard]] result<void> recover(path_view target, restore_report& report) {
        auto const sizes = instance_options{
            .create = false,
            .archival_from_files = true,
            .buffer_bytes = options_->buffer_bytes,
            .process_durability = false,
            .restoring = true,
            .forks = false,
            .brief = true,
        };
        BOOST_OUTCOME_TRY(begin_stage(restore_stage::recover));
        auto revived = std::make_unique<instance<Traits>>(env_);
        BOOST_OUTCOME_TRY(revived->open(target, sizes));
        report.recovery = revived->report();
        report.reached = report.recovery.end;
        return revived->close();
    }

    [[nodiscard]] result<void> begin_stage(restore_stage stage, std::string_view file = {}) const {
        return options_->on_stage ? options_->on_stage(stage, file) : result<void>{ok()};
    }

    [[no_unique_address]] env env_;
    set_pool<env>* pool_;
    restore_options const* options_;
    live_log live_{};
    std::vector<file_name> wanted_;
    std::optional<error> first_; // of what was passed over
    restore_trouble trouble_{};
};

} // namespace jetpp::inline v1
