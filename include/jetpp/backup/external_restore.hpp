// jetpp/backup/external_restore.hpp - brings back to life what a caller of external sessions kept.
//
// The caller has put the files back: databases, and every segment of the session, and of later ones,
// into one directory, with nothing else, under the names that the session listed. With a map, those
// databases alone that it names, under the names that it gives them; others are left as they lie, and
// the new timeline does not know them. What lies in other directories is copied in first, and stays
// there as it is.
//
//     look, prove everything -> journal -> headers accepted, trailers cut -> new timeline
//       -> journal removed -> recovery (redo, undo) -> settled, clean
//
// Nothing in the directory changes before all of it was proved. What stands there when the journal
// goes is the picture of an instance that crashed when the session ended. After a crash the same call
// goes on; once the journal is gone any engine's recovery does.
// The result is the instance as it stood when the last session given ended, or at a target: every
// transaction whose commit lies below that, none else, on a timeline of its own. Segments behind the
// target go aside, into jet.abandoned-<timeline>/, for no recovery may take them for what follows.
// Threads  one owner; blocks.
// Source   backup rules R31, R35, R37, R41, R43, R68; ESE's JetExternalRestore.
#pragma once

#include <jetpp/backup/bring_in.hpp>
#include <jetpp/backup/copied_database.hpp>
#include <jetpp/backup/copied_history.hpp>
#include <jetpp/backup/copied_log.hpp>
#include <jetpp/backup/files_aside.hpp>
#include <jetpp/backup/restore_fork.hpp>
#include <jetpp/backup/restore_journal.hpp>
#include <jetpp/backup/restore_settle.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/backup/target_search.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/recovery/instance.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// A database that shall be brought back.
struct mapped_database {
    uuid id{};             // nil: by its name
    std::string from{};    // as the log calls it at its end; empty: by its id
    std::string to{};      // as its file is called here, and the database from now on
    std::string lies_in{}; // the directory where that file is; empty: here
};

struct external_restore_options {
    std::vector<mapped_database> databases{}; // empty: all, under their names
    // The directory where the segments are; empty: here. Databases without a map are here.
    std::string log_lies_in{};
    // Which segments are meant to be there, the first and the last; 0: as many as are found. Log behind
    // the last does not count.
    std::uint64_t generation_low = 0;
    std::uint64_t generation_high = 0;
    // At most one of the three. Without any: the end of the log. A restore that goes on after a crash
    // goes on to the target it had.
    std::optional<lsn> to_lsn{};        // all records that begin at or below it
    std::optional<wall_time> to_time{}; // up to just before the first commit that is later
    std::string to_point{};             // through the record of that label: L, or L@LSN
    std::size_t buffer_bytes = std::size_t{64} << 20; // of the recovery
    // Bytes that were read and proved since the last call. An error ends the restore with it.
    std::function<result<void>(std::uint64_t)> on_read{};
};

struct external_restore_report {
    uuid set{};    // the session of the databases
    lsn reached{}; // every commit below it is there
    lsn last_commit{};
    timeline_id timeline{}; // the new one
    lsn fork_lsn{};
    std::uint64_t databases{};
    std::uint64_t pages{};     // proved
    std::string moved_aside{}; // where segments behind the target are now; empty: there were none
    recovery_report recovery{};
    std::chrono::nanoseconds laying{}; // until recovery began
    std::chrono::nanoseconds took{};
};

namespace detail {

template <class Traits>
class external_restore_run {
    using env = typename Traits::env;
    using directory = typename env::directory;
    using file_type = copied_database_file<env, Traits::page_size, typename Traits::checksum>;

public:
    external_restore_run(
        env environment, path_view where, external_restore_options const& options
    ) noexcept
        : env_{environment}, path_{where}, options_{&options} {}

    [[nodiscard]] result<external_restore_report> run() {
        auto const began = env_.runtime.now();
        BOOST_OUTCOME_TRY(check_map());
        BOOST_OUTCOME_TRY(check_target());
        BOOST_OUTCOME_TRY(enter());
        auto const proved = guarded([&]() -> result<void> {
            BOOST_OUTCOME_TRY(bring_all());
            BOOST_OUTCOME_TRY(name_copies());
            return look();
        });
        if (!proved) {
            brought_->send_back();
            return proved.error();
        }
        BOOST_OUTCOME_TRY(lay());
        env::runtime_type::point(point_id::before_publish);
        BOOST_OUTCOME_TRY(directory_->remove(restore_journal_name));
        env::runtime_type::point(point_id::after_publish);
        BOOST_OUTCOME_TRY(directory_->sync());
        lock_.reset(); // recovery takes it
        report_.laying = env_.runtime.now() - began;
        BOOST_OUTCOME_TRY(recover());
        report_.took = env_.runtime.now() - began;
        return report_;
    }

private:
    [[nodiscard]] result<void> lock() noexcept {
        auto locked = directory_->acquire_lock(lock_file_name);
        if (!locked) return locked.error().with_file(file_kind::lock);
        lock_.emplace(std::move(locked).assume_value());
        return ok();
    }

    // Whose directory is it? Errors: would_overwrite, in_use.
    [[nodiscard]] result<void> enter() {
        auto const brings = !options_->log_lies_in.empty();
        auto opened = env_.storage.open_dir(
            path_, brings ? directory_how::create_if_missing : directory_how::must_exist
        );
        if (!opened) return opened.error().with_file(file_kind::directory);
        directory_.emplace(std::move(opened).assume_value());
        brought_.emplace(env_, *directory_);
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(directory_->list(entries));
        auto at_home = false;
        auto has_journal = false;
        for (auto const& one : entries) {
            at_home = at_home || one.name == checkpoint_file_name;
            has_journal = has_journal || one.name == restore_journal_name;
        }
        auto const refused = error{.code = errc::would_overwrite, .file = file_kind::directory};
        // An engine that was opened here and refused the copies leaves one without a slot.
        if (at_home) {
            BOOST_OUTCOME_TRY(auto slots, checkpoint_file<env>::open_or_create(env_, *directory_));
            at_home = slots.newest() != nullptr || slots.saw_damage();
        }
        if (at_home && !has_journal) return refused;
        BOOST_OUTCOME_TRY(lock());
        if (has_journal) {
            BOOST_OUTCOME_TRY(journal_, read_journal());
        }
        for (auto const& one : entries)
            if (one.kind != entry_kind::file && !one.name.view().starts_with("jet."))
                return refused;
        return ok();
    }
    [[nodiscard]] result<void> name_copies() {
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(directory_->list(entries));
        for (auto const& one : entries)
            if (!one.name.view().starts_with("jet.") && is_wanted(one.name.view()))
                names_.push_back(one.name);
        return ok();
    }

    // What lies elsewhere. Errors: would_overwrite (another file has the name here), not_found, of
    // storage.
    [[nodiscard]] result<void> bring_all() {
        // All was here before the journal was written, and is not as it was delivered any more.
        if (journal_ && journal_->timeline.value != 0) return ok();
        for (auto const& one : options_->databases) {
            if (one.lies_in.empty()) continue;
            BOOST_OUTCOME_TRY(auto const name, database_file_name(one.to));
            BOOST_OUTCOME_TRY(brought_->bring(one.lies_in, name, file_kind::database));
        }
        if (options_->log_lies_in.empty()) return ok();
        return brought_->bring_log(options_->log_lies_in, options_->generation_high);
    }

    [[nodiscard]] bool is_wanted(std::string_view file) const noexcept {
        if (options_->databases.empty()) return true;
        for (auto const& one : options_->databases)
            if (one.to == file) return true;
        return false;
    }
    // Errors: invalid_argument (nothing says which database, or two are one), unsafe_name.
    [[nodiscard]] result<void> check_map() const noexcept {
        auto const& all = options_->databases;
        for (auto const& one : all) {
            BOOST_OUTCOME_TRY(database_file_name(one.to));
            if (one.id.is_nil() && one.from.empty()) return error{.code = errc::invalid_argument};
            for (auto const& other : all)
                if (&other != &one &&
                    (other.to == one.to || (!one.id.is_nil() && other.id == one.id) ||
                     (!one.from.empty() && other.from == one.from)))
                    return error{.code = errc::invalid_argument};
        }
        return ok();
    }
    // Errors: invalid_argument (more than one).
    [[nodiscard]] result<void> check_target() const noexcept {
        auto const given = (options_->to_lsn ? 1 : 0) + (options_->to_time ? 1 : 0) +
                           (options_->to_point.empty() ? 0 : 1);
        if (given > 1) return error{.code = errc::invalid_argument};
        return ok();
    }
    // The newer slot. Errors: would_overwrite (of another restore), bad_header.
    [[nodiscard]] result<restore_journal> read_journal() noexcept {
        auto const read = read_restore_journal<env>(*directory_);
        if (!read && read.error().code != errc::bad_header) return read.error();
        // A crash came while the first one was written: nothing was changed yet.
        auto const newest = read && read.assume_value()
                                ? *read.assume_value()
                                : restore_journal{.flags = restore_journal::external};
        if ((newest.flags & restore_journal::external) == 0)
            return error{.code = errc::would_overwrite, .file = file_kind::restore_journal};
        return newest;
    }

    // ---- everything is proved, nothing is written

    [[nodiscard]] result<void> look() {
        auto const interrupted = journal_ ? journal_->staging : uuid{};
        for (auto const& name : names_) {
            BOOST_OUTCOME_TRY(auto const one, file_type::look(*directory_, name, interrupted));
            copies_.push_back(one);
        }
        if (copies_.empty()) return error{.code = errc::not_found, .file = file_kind::database};
        BOOST_OUTCOME_TRY(agree());
        auto const& first = copies_.front();
        auto const progress = [&](std::uint64_t n) -> result<void> {
            return options_->on_read ? options_->on_read(n) : result<void>{ok()};
        };
        BOOST_OUTCOME_TRY(look_at_log(progress));
        BOOST_OUTCOME_TRY(log_->finish());
        report_.set = first.set;
        report_.last_commit = log_->analysis().last_commit();
        BOOST_OUTCOME_TRY(check_attached());
        for (auto const& one : copies_) {
            BOOST_OUTCOME_TRY(auto const pages, file_type::prove(*directory_, one, progress));
            report_.pages += pages;
        }
        return ok();
    }

    // Which log counts, proved.
    template <class Progress>
    [[nodiscard]] result<void> look_at_log(Progress const& progress) {
        auto const& first = copies_.front();
        auto const drawn = journal_ && journal_->timeline.value != 0;
        // The segments are not yet known, but each is as long as the first.
        auto const through = drawn ? no_lsn : options_->to_lsn.value_or(no_lsn);
        BOOST_OUTCOME_TRY(auto found, find_log(through));
        auto limit = no_lsn;
        if (drawn) {
            // Headers may name the new timeline already, and what stood behind may be aside.
            limit = journal_->fork_lsn;
            found.keep_below(limit);
            found.cut_last(limit);
        } else {
            BOOST_OUTCOME_TRY(check_generations(found.segments()));
            BOOST_OUTCOME_TRY(limit, find_limit(found, progress));
            if (limit) found.keep_below(limit);
        }
        auto earliest = lsn{};
        for (auto const& one : copies_) earliest = later(earliest, one.copy_end);
        auto const about = [](errc code, lsn at) {
            return error{.code = code, .file = file_kind::log_segment, .at = at};
        };
        auto const high = options_->generation_high;
        auto const too_early =
            limit ? limit < earliest
                  : high != 0 && high < generation_of({earliest.value - 1}, found.segment_bytes());
        if (too_early) return about(errc::target_before_set_end, {earliest.value - 1});
        auto const begin_lsn = first.trailer ? first.trailer->begin_lsn : no_lsn;
        log_.emplace(first.log_start, begin_lsn, first.set, limit);
        BOOST_OUTCOME_TRY(
            auto const there, found.walk(*directory_, Traits::page_size, *log_, progress)
        );
        if (limit > there.next) return about(errc::target_not_reached, there.next);
        report_.reached = log_->end() == there.end ? there.next : log_->end();
        if (report_.reached < earliest) return about(errc::log_gap, report_.reached);
        highest_ = {found.highest_generation() * found.segment_bytes()};
        return ok();
    }
    [[nodiscard]] result<copied_log<env>> find_log(lsn through) {
        auto const& first = copies_.front();
        auto const find = [&](std::uint64_t last) {
            return copied_log<env>::find(
                env_, *directory_, first.header.instance, parent(), first.log_start, last
            );
        };
        auto last = options_->generation_high;
        if (journal_ && journal_->fork_lsn) through = {journal_->fork_lsn.value - 1};
        if (through) {
            BOOST_OUTCOME_TRY(auto const start, find(1)); // the segment of log_start alone
            auto const wanted = generation_of(through, start.segment_bytes());
            last = last == 0 ? wanted : std::min(last, wanted);
        }
        return find(last);
    }
    // Returns: the LSN that nothing restored may reach; 0: all counts that is there.
    // Errors: target_not_reached, not_found, ambiguous_label, those of the walk.
    template <class Progress>
    [[nodiscard]] result<lsn> find_limit(copied_log<env> const& found, Progress const& progress) {
        if (options_->to_lsn) return *options_->to_lsn + 1;
        if (options_->to_time) {
            auto search = time_search{*options_->to_time};
            BOOST_OUTCOME_TRY(auto const end, search_log(found, progress, [&](log_record const& r) {
                                  return search.is_later(r);
                              }));
            if (!end) return search.limit;
            return error{
                .code = errc::target_not_reached, .file = file_kind::log_segment, .at = *end
            };
        }
        if (options_->to_point.empty()) return no_lsn;
        auto search = label_search{restore_label::parse(options_->to_point)};
        BOOST_OUTCOME_TRY(search_log(found, progress, [&](log_record const& r) {
            search.see(r);
            return false;
        }));
        return search.limit();
    }
    // Returns: nothing if f said yes to a record; else where the log ends.
    template <class Progress, class F>
    [[nodiscard]] result<std::optional<lsn>> search_log(
        copied_log<env> const& found, Progress const& progress, F&& f
    ) {
        struct visitor {
            F* says_yes;
            bool is_found = false;
            [[nodiscard]] result<void> see_record(log_record const& record) {
                if (!(*says_yes)(record)) return ok();
                is_found = true;
                return error{.code = errc::cancelled};
            }
            void see_segment(segment_header const&) noexcept {}
        };
        auto visits = visitor{&f};
        auto const done = found.walk(*directory_, Traits::page_size, visits, progress);
        if (visits.is_found) return std::optional<lsn>{};
        if (!done) return done.error();
        return std::optional{done.assume_value().next};
    }

    // Of the timeline that was copied: an adopted header names the next one already.
    [[nodiscard]] timeline_id parent() const noexcept {
        auto const& h = copies_.front().header;
        return copies_.front().is_adopted() && h.ancestor_count != 0 ? h.ancestry()[0].parent
                                                                     : h.timeline;
    }

    // All are of one session. Errors: set_mixed.
    [[nodiscard]] result<void> agree() const noexcept {
        auto const& first = copies_.front();
        for (auto const& one : copies_)
            if (one.set != first.set || one.header.instance != first.header.instance ||
                one.log_start != first.log_start)
                return error{.code = errc::set_mixed, .file = file_kind::database}.with_database(
                    one.header.id
                );
        return ok();
    }

    [[nodiscard]] copied_database* copy_of(uuid const& id) noexcept {
        for (auto& one : copies_)
            if (one.header.database == id) return &one;
        return nullptr;
    }
    // Errors: log_gap (one is missing).
    [[nodiscard]] result<void> check_generations(std::span<segment_header const> chain
    ) const noexcept {
        auto const low = options_->generation_low;
        auto const high = options_->generation_high;
        auto const first = [&](std::uint64_t generation) {
            return first_lsn(generation, chain.front().segment_bytes);
        };
        auto const about = [](errc code, lsn at) {
            return error{.code = code, .file = file_kind::log_segment, .at = at};
        };
        if (low > chain.front().generation)
            return about(errc::log_gap, first(chain.front().generation));
        if (high == 0) return ok();
        if (high > chain.back().generation && !options_->to_lsn)
            return about(errc::log_gap, first(high));
        return ok();
    }

    // Which entry of the map means it. Null: none.
    [[nodiscard]] mapped_database const* entry_of(logged_database const& logged) const noexcept {
        for (auto const& one : options_->databases)
            if (one.id.is_nil() ? one.from == logged.name.view() : one.id == logged.database)
                return &one;
        return nullptr;
    }
    // Every database that is attached at the end and wanted has its copy, under the name it shall
    // have, or is made by the log; every copy is attached, every entry of the map means one.
    // Errors: database_not_in_sets, database_missing, history_break, not_found.
    [[nodiscard]] result<void> check_attached() {
        auto const about = [](errc code, database_id id, lsn at) {
            return error{.code = code, .database = id.value, .file = file_kind::database, .at = at};
        };
        for (auto const& known : log_->analysis().databases()) {
            auto logged = known;
            if (!options_->databases.empty()) {
                auto const* const entry = entry_of(known);
                if (entry == nullptr) continue;
                BOOST_OUTCOME_TRY(logged.name, database_file_name(entry->to));
            }
            auto const* const copy = copy_of(logged.database);
            if (copy == nullptr && !logged.created)
                return about(errc::database_not_in_sets, logged.id, logged.attach_lsn);
            if (copy != nullptr && copy->name != logged.name)
                return about(errc::database_missing, logged.id, logged.attach_lsn);
            chosen_.push_back(logged);
        }
        report_.databases = chosen_.size();
        if (!options_->databases.empty() && chosen_.size() != options_->databases.size())
            return error{.code = errc::not_found, .file = file_kind::database};
        for (auto const& copy : copies_) {
            auto const* const logged = log_->analysis().database(copy.header.id);
            if (logged == nullptr || logged->database != copy.header.database)
                return about(errc::history_break, copy.header.id, report_.reached);
            auto const is_chosen =
                std::any_of(chosen_.begin(), chosen_.end(), [&](auto const& one) {
                    return one.database == copy.header.database;
                });
            // The file that the map calls so is another one's.
            if (!is_chosen) return about(errc::database_missing, copy.header.id, report_.reached);
        }
        return ok();
    }

    // ---- what was proved becomes an instance that crashed

    [[nodiscard]] result<void> lay() {
        BOOST_OUTCOME_TRY(auto file, restore_journal_file<env>::create(*directory_));
        auto fork = restore_fork::draw(env_, *log_, later(report_.reached, highest_));
        if (journal_ && journal_->timeline.value != 0) { // drawn before, and headers may name it
            fork.timeline = journal_->timeline;
            fork.first_generation = journal_->first_generation;
        }
        first_generation_ = fork.first_generation;
        auto note = restore_journal{
            .instance = copies_.front().header.instance,
            .timeline = fork.timeline,
            .parent = fork.parent,
            .fork_lsn = fork.fork_lsn,
            .first_generation = fork.first_generation,
            .flags = restore_journal::external,
            .staging = report_.set,
        };
        BOOST_OUTCOME_TRY(file->write(note));
        BOOST_OUTCOME_TRY(directory_->sync());
        BOOST_OUTCOME_TRY(remove_leftovers(fork));
        BOOST_OUTCOME_TRY(set_aside(fork));
        for (auto& one : copies_) {
            if (one.is_adopted()) continue;
            BOOST_OUTCOME_TRY(file_type::accept(*directory_, one));
        }
        auto const start = copies_.front().log_start; // below it everything in them was home
        BOOST_OUTCOME_TRY(
            begin_timeline<Traits>(env_, *directory_, fork, *log_, {start, start}, chosen_)
        );
        BOOST_OUTCOME_TRY(adopt(fork));
        BOOST_OUTCOME_TRY(directory_->sync());
        report_.timeline = fork.timeline;
        report_.fork_lsn = log_->end();
        note.phase = restore_phase::publish;
        return file->write(note);
    }

    // Of an attempt that was interrupted, or of an engine that was here before.
    [[nodiscard]] result<void> remove_leftovers(restore_fork const& fork) {
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(directory_->list(entries));
        for (auto const& one : entries) {
            auto const generation = parse_segment_name(one.name.view());
            auto const gone = generation ? *generation >= fork.first_generation
                                         : one.name.view().starts_with("jet.") &&
                                               one.name != restore_journal_name &&
                                               one.name != lock_file_name;
            if (!gone || one.kind != entry_kind::file) continue;
            BOOST_OUTCOME_TRY(directory_->remove(one.name));
        }
        return ok();
    }
    // Segments of the history that was left, behind the one in which it was left.
    [[nodiscard]] result<void> set_aside(restore_fork const& fork) {
        BOOST_OUTCOME_TRY(auto listing, log_directory<env>::list(env_, *directory_));
        BOOST_OUTCOME_TRY(listing.read_from(*directory_, 0));
        auto const& last = log_->last_segment();
        auto const is_behind = [&](log_segment const& one) noexcept {
            if (one.generation <= last.generation) return false;
            return !one.is_sound() ||
                   (one.header.instance == last.instance && one.header.timeline == last.timeline);
        };
        auto const aside = abandoned_name(fork.timeline);
        BOOST_OUTCOME_TRY(move_aside(*directory_, aside, [&](directory_entry const& one) noexcept {
            auto const generation = parse_segment_name(one.name.view());
            auto const* const found = generation ? listing.find(*generation) : nullptr;
            return found != nullptr && is_behind(*found);
        }));
        // Of this call, or of the one it goes on with.
        if (directory_->open_dir(aside, directory_how::must_exist))
            report_.moved_aside = std::string{aside.view()};
        return ok();
    }

    [[nodiscard]] result<void> adopt(restore_fork const& fork) noexcept {
        for (auto& copy : copies_) {
            if (copy.is_adopted()) continue;
            auto& h = copy.header;
            h.fork(fork.timeline, log_->end());
            h.clear_marks();
            h.state = database_state::dirty;
            h.source_set = {};
            h.restored_from = report_.set;
            h.restore_point = report_.reached;
            BOOST_OUTCOME_TRY(file_type::write(*directory_, copy, false));
        }
        return ok();
    }

    [[nodiscard]] result<void> recover() {
        auto const sizes = instance_options{
            .create = false,
            .archival_from_files = true,
            .buffer_bytes = options_->buffer_bytes,
            .process_durability = false,
            .brief = true,
        };
        auto revived = std::make_unique<instance<Traits>>(env_);
        BOOST_OUTCOME_TRY(revived->open(path_, sizes));
        report_.recovery = revived->report();
        return settle_and_close(*revived, first_generation_);
    }

    [[no_unique_address]] env env_;
    path_view path_;
    external_restore_options const* options_;
    external_restore_report report_{};
    std::optional<directory> directory_;
    std::optional<typename env::lock> lock_;
    std::optional<restore_journal> journal_; // of a restore that was interrupted
    std::vector<file_name> names_;
    std::optional<incoming_files<env>> brought_;
    std::vector<copied_database> copies_;
    std::vector<logged_database> chosen_; // what comes back, under the names it shall have
    std::optional<copied_history> log_;
    lsn highest_{};
    std::uint64_t first_generation_ = 0; // of the new timeline
};

} // namespace detail

// Requires: Traits has the page size and the checksum of the copies.
// Errors: invalid_argument, unsafe_name (the map); not_found (no copy is there, or an entry of the map
// means no database; nothing bears the label), would_overwrite (an instance, or something else, is),
// in_use; target_before_set_end (at: the earliest LSN that can be had), target_not_reached (at: where
// the log ends), ambiguous_label; page_size_mismatch, checksum_mismatch; set_mixed (header and trailer, databases, or copies and log
// are of different sessions), incomplete_copy (no trailer, or a bad one), set_damaged (header),
// page_damaged, log_gap, log_damaged; database_not_in_sets, database_missing (another name),
// history_break: nothing was changed. Those of recovery: put the files back and call again.
template <class Traits>
[[nodiscard]] result<external_restore_report> external_restore(
    typename Traits::env environment, path_view where, external_restore_options const& options = {}
) noexcept {
    return guarded([&] {
        return detail::external_restore_run<Traits>{environment, where, options}.run();
    });
}

} // namespace jetpp::inline v1
