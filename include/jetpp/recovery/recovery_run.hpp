// jetpp/recovery/recovery_run.hpp - from whatever a crash left to a consistent instance.
//
//   1 newest slot, scan start          5 torn pages home from jet.dw
//   2 find the end, losers, databases  6 redo
//   3 harden the tail                  7 a new segment, durable
//   4 open the databases               8 undo of the losers, recovery_end
//                                      9 everything home, checkpoint, jet.dw emptied
// Invariants
//   * nothing is shown, written home or undone because of a record that is not durable
//   * redo comes to its end, or says which pages hinder it, before history is changed
//   * undo is logged in a segment of its own, so that a lost tail never lines up with it
//   * a crash before step 7 repeats everything; after it, undo goes on where it was
// A clean start is the same walk with nothing in it: the slot says clean, the log ends where the
// slot says, the headers agree.
// Threads  one.
// Source   ARIES; step 3: ATC 2020 on failed fsyncs.
#pragma once

#include <jetpp/buffer/double_write_recovery.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/replay.hpp>
#include <jetpp/recovery/analysis.hpp>
#include <jetpp/recovery/backup_stamp.hpp>
#include <jetpp/recovery/database_lives.hpp>
#include <jetpp/recovery/exchanged_file.hpp>
#include <jetpp/recovery/harden.hpp>
#include <jetpp/recovery/instance.hpp>
#include <jetpp/recovery/look_ahead.hpp>
#include <jetpp/recovery/losers.hpp>
#include <jetpp/recovery/redo.hpp>
#include <jetpp/recovery/redo_starts.hpp>
#include <jetpp/txn/commit.hpp>
#include <jetpp/txn/row_reader.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
class recovery_run {
    using env = typename Traits::env;
    using runtime = typename env::runtime_type;
    using database = attached_database<Traits>;
    static constexpr std::size_t page_size = Traits::page_size;

public:
    explicit recovery_run(instance<Traits>& in) noexcept : in_{&in}, analysis_{no_lsn} {}

    [[nodiscard]] result<void> run() noexcept {
        BOOST_OUTCOME_TRY(find_start());
        BOOST_OUTCOME_TRY(analyse());
        if (!runtime::sabotaged(sabotage::no_tail_rewrite)) {
            BOOST_OUTCOME_TRY(harden());
        }
        sealed_ = sealed_log{.end = end_.end};
        BOOST_OUTCOME_TRY(in_->start_pool(
            log_gate{sealed_, in_->segment_bytes_}, pool_frames(in_->options_, page_size)
        ));
        BOOST_OUTCOME_TRY(open_databases());
        auto const clean = is_clean();
        if (!clean) {
            redo_from_ = find_redo_starts<Traits>(
                in_->databases_, has_slot_ ? slot_.redo_lsn : no_lsn, in_->options_.restoring
            );
            BOOST_OUTCOME_TRY(repair_torn_pages());
            BOOST_OUTCOME_TRY(redo());
        }
        for (auto& known : in_->databases_)
            if (known.file != nullptr) {
                BOOST_OUTCOME_TRY(in_->forget_unlogged_regions(*known.file));
            }
        BOOST_OUTCOME_TRY(begin_log(clean));
        BOOST_OUTCOME_TRY(in_->start_services());
        for (auto& known : in_->databases_)
            if (known.file != nullptr) in_->transactions_->add_file(*known.file);
        // What losers changed is not settled before it is undone.
        in_->transactions_->people().start(
            later(analysis_.last_commit(), first_of_log()),
            analysis_.losers().empty() ? in_->log_->tail() : analysis_.losers()[0]
        );
        if (clean) return start_clean();
        BOOST_OUTCOME_TRY(undo());
        return finish();
    }

private:
    // --- 1

    [[nodiscard]] result<void> find_start() noexcept {
        auto const* newest = in_->checkpoint_->newest();
        has_slot_ = newest != nullptr;
        if (has_slot_) slot_ = *newest;
        if (has_slot_ && slot_.page_bytes != page_size)
            return mismatch(
                errc::page_size_mismatch,
                file_kind::checkpoint,
                slot_.page_bytes,
                static_cast<std::uint32_t>(page_size)
            );
        in_->segment_bytes_ = has_slot_ ? slot_.segment_bytes : 0;
        start_ = has_slot_ ? earlier(slot_.redo_lsn, slot_.undo_low_lsn) : no_lsn;
        return ok();
    }

    [[nodiscard]] replay_options reading(lsn from) const noexcept {
        auto options = replay_options{};
        options.from = from;
        options.page_size = page_size;
        options.segment_bytes = in_->segment_bytes_;
        if (has_slot_) options.instance = slot_.instance;
        options.buffer_bytes = std::size_t{256} << 10;
        return options;
    }

    // --- 2

    [[nodiscard]] result<void> analyse() noexcept {
        // A clean slot starts behind the last segment; who is attached stands at that one's head.
        auto options = reading(
            has_slot_ ? earlier(start_, first_lsn(slot_.generation, slot_.segment_bytes)) : no_lsn
        );
        options.use_ring = true;
        if (has_slot_)
            options.proofs = {
                .slot_end = slot_.end_lsn,
                .slot_generation = slot_.generation,
                .slot_nonce = slot_.nonce,
                .slot_clean = slot_.clean,
            };
        BOOST_OUTCOME_TRY(auto log, replay<env>::open(in_->env_, *in_->dir_, options));
        in_->segment_bytes_ = log.segment_bytes();
        analysis_ = log_analysis{start_};
        for (auto const& r : log) {
            if (!r) return r.error();
            BOOST_OUTCOME_TRY(analysis_.see(r.assume_value()));
        }
        end_ = log.end_state();
        BOOST_OUTCOME_TRY(analysis_.finish());
        if (!end_.last) return error{.code = errc::log_missing, .file = file_kind::log_segment};
        auto const& last = *end_.last;
        in_->id_ = last.instance;
        in_->ancestry_ =
            timeline_ancestry::of_log(last.timeline, {last.parent_timeline, last.fork_lsn});
        in_->archival_ = in_->options_.archival_from_files ? last.mode == logging_mode::archival
                                                           : in_->options_.archival;
        auto const of_slot = has_slot_ ? slot_.incarnation : std::uint32_t{0};
        in_->incarnation_ = (of_slot > last.incarnation ? of_slot : last.incarnation) + 1;
        BOOST_OUTCOME_TRY(check_options(in_->options_, page_size, in_->segment_bytes_));
        in_->report_ = {
            .scan_start = start_,
            .end = end_.end,
            .last_commit = analysis_.last_commit(),
            .records = analysis_.records(),
            .losers = static_cast<std::uint32_t>(analysis_.losers().size()),
            .former_incarnation = in_->incarnation_ - 1,
            .aborted = analysis_.backups(),
            .pins_lost = !has_slot_ && !(in_->options_.restoring && in_->options_.forks),
        };
        return ok();
    }

    // --- 3

    [[nodiscard]] result<void> harden() noexcept {
        auto proven = later(end_.highest_hint, has_slot_ ? slot_.end_lsn : no_lsn);
        if (end_.ring_from) proven = earlier(proven, end_.ring_from);
        if (!(proven < end_.end)) return in_->dir_->sync();
        auto options = reading(later(proven, first_of_log()));
        options.use_ring = true;
        BOOST_OUTCOME_TRY(auto log, replay<env>::open(in_->env_, *in_->dir_, options));
        auto hardener = tail_hardener<env>{*in_->dir_, in_->segment_bytes_};
        for (auto const& r : log) {
            if (!r) return r.error();
            if (r.assume_value().at < proven) continue;
            BOOST_OUTCOME_TRY(hardener.add(r.assume_value()));
        }
        BOOST_OUTCOME_TRY(hardener.flush());
        return in_->dir_->sync();
    }

    // The first record of the oldest segment that is read.
    [[nodiscard]] lsn first_of_log() const noexcept {
        return start_ ? start_ : first_lsn(1, in_->segment_bytes_);
    }

    // --- 4

    [[nodiscard]] result<void> open_databases() noexcept {
        for (auto const& logged : analysis_.databases()) {
            BOOST_OUTCOME_TRY(auto* const place, in_->free_place());
            if (auto opened = open_database(*place, logged); !opened)
                return opened.error().with_database(logged.id).with_file(file_kind::database);
            if (in_->last_database_id_ < logged.id.value) in_->last_database_id_ = logged.id.value;
        }
        return in_->tell_ancestry();
    }

    [[nodiscard]] result<void> open_database(
        database& place, logged_database const& logged
    ) noexcept {
        auto const temporary = creation_name(logged.name, logged.database);
        auto opened = paged_file<Traits>::open(in_->env_, *in_->dir_, logged.name);
        if (!opened && opened.error().code == errc::not_found && logged.created) {
            // The crash came before the file got its name, or before its name was durable.
            // What lies under the temporary name may be half of an earlier recovery's work.
            auto gone = in_->dir_->remove(temporary);
            if (!gone && gone.error().code != errc::not_found) return gone.error();
            BOOST_OUTCOME_TRY(make_again(logged, temporary));
            BOOST_OUTCOME_TRY(in_->dir_->rename(temporary, logged.name, rename_how::no_replace));
            BOOST_OUTCOME_TRY(in_->dir_->sync());
            opened = paged_file<Traits>::open(in_->env_, *in_->dir_, logged.name);
        }
        if (!opened) {
            auto why = opened.error();
            if (why.code == errc::not_found) why.code = errc::database_missing;
            return why;
        }
        auto file = std::move(opened).assume_value();
        auto const header = file->header();
        // What a restore laid down is older, and comes with the log from there on: a roll-forward has
        // looked at the others.
        if (in_->options_.restoring) {
            if (header.database != logged.database) return error{.code = errc::history_break};
            BOOST_OUTCOME_TRY(check_usable(header.state));
        } else {
            auto const* const slot = has_slot_ ? &slot_ : nullptr;
            BOOST_OUTCOME_TRY(check_file_of_log(header, logged, in_->id_, in_->timeline(), slot));
        }
        if (is_half_attached(header, logged)) {
            BOOST_OUTCOME_TRY(file->repair_header());
            BOOST_OUTCOME_TRY(file->change_header([&](database_header& h) noexcept {
                adopt_header(h, in_->id_, in_->learn_ancestry(h), logged.id, logged.attach_lsn);
            }));
            return take(place, logged, std::move(file));
        }
        if (header.instance != in_->id_) return error{.code = errc::foreign_database};
        if (header.timeline != in_->timeline()) return error{.code = errc::history_break};
        BOOST_OUTCOME_TRY(check_end(
            end_.end,
            in_->segment_bytes_,
            {.max_required = header.max_required_lsn,
             .stamped_end = header.stamped_end(in_->timeline())}
        ));
        BOOST_OUTCOME_TRY(file->repair_header());
        if (header.state == database_state::creating || header.id != logged.id) {
            BOOST_OUTCOME_TRY(file->change_header([&](database_header& h) noexcept {
                if (h.state == database_state::creating) h.min_required_lsn = logged.attach_lsn;
                h.state = database_state::dirty;
                h.id = logged.id;
                note_attach(h, logged.attach_lsn);
            }));
        }
        // New records will lie below what a clean header claims to hold: it must not claim it.
        if (header.state == database_state::clean && header.consistent_lsn > end_.end) {
            BOOST_OUTCOME_TRY(file->change_header([&](database_header& h) noexcept {
                h.state = database_state::dirty;
            }));
        }
        return take(place, logged, std::move(file));
    }

    [[nodiscard]] result<void> take(
        database& place, logged_database const& logged, std::unique_ptr<paged_file<Traits>> file
    ) noexcept {
        place = {
            .name = logged.name,
            .id = logged.database,
            .nonce = logged.nonce,
            .attach_lsn = logged.attach_lsn,
            .flags = logged.flags,
            .file = std::move(file),
        };
        return in_->pool_->attach(*place.file);
    }

    // The log holds the whole life of the database: an empty file and redo make it again.
    [[nodiscard]] result<void> make_again(
        logged_database const& logged, file_name const& temporary
    ) noexcept {
        auto header = database_header{};
        header.page_size = static_cast<std::uint32_t>(page_size);
        header.checksum_id = Traits::checksum::id;
        header.state = database_state::creating;
        header.database = logged.database;
        header.instance = in_->id_;
        header.nonce = logged.nonce;
        header.id = logged.id;
        header.attach_lsn = logged.attach_lsn;
        header.timeline = in_->timeline();
        header.created_at = in_->env_.runtime.wall();
        header.pages_hint = initial_database_pages<Traits>;
        header.set_writer("jetpp 1");
        BOOST_OUTCOME_TRY(
            auto file,
            paged_file<Traits>::
                create(in_->env_, *in_->dir_, temporary, header, initial_database_pages<Traits>)
        );
        return file->close();
    }

    [[nodiscard]] bool is_clean() noexcept {
        if (!has_slot_ || !slot_.clean || end_.end != slot_.end_lsn) return false;
        if (!analysis_.losers().empty()) return false;
        auto matching = std::size_t{0};
        for (auto& known : in_->databases_) {
            if (known.file == nullptr) continue;
            auto const header = known.file->header();
            if (header.state != database_state::clean) return false;
            for (auto const& listed : slot_.attached())
                if (listed.database == known.id && listed.consistent_lsn == header.consistent_lsn)
                    ++matching;
        }
        return matching == analysis_.databases().size() && matching == slot_.database_count;
    }

    // --- 5, 6

    [[nodiscard]] result<void> repair_torn_pages() noexcept {
        auto files = std::array<paged_file<Traits>*, databases_max>{};
        auto count = std::size_t{0};
        for (auto& known : in_->databases_)
            if (known.file != nullptr) files[count++] = known.file.get();
        auto const from = [&](paged_file<Traits>& file) noexcept {
            for (auto& known : in_->databases_)
                if (known.file.get() == &file) return later(redo_from_, known.redo_from);
            return lsn_limit;
        };
        BOOST_OUTCOME_TRY(
            auto const repaired,
            jetpp::repair_torn_pages<Traits>(
                *in_->double_write_, {files.data(), count}, from, end_.end
            )
        );
        in_->report_.pages_repaired = repaired.repaired;
        return ok();
    }

    // The crash may have come between the record and the headers.
    [[nodiscard]] result<void> stamp_again(record::backup_end const& end) noexcept {
        for (auto& known : in_->databases_) {
            if (known.file == nullptr) continue;
            auto header = known.file->header();
            if (!stamp_backup(header, end)) continue;
            BOOST_OUTCOME_TRY(known.file->change_header([&](database_header& h) noexcept {
                (void)stamp_backup(h, end);
            }));
        }
        return ok();
    }

    // The file that the record changed and may lack; null if there is nothing to redo.
    [[nodiscard]] paged_file<Traits>* redone_in(log_record const& record) noexcept {
        auto const id = record.header.database;
        if (id == no_database) return nullptr;
        auto* place = static_cast<database*>(nullptr);
        if (in_->options_.restoring)
            place = lives_.find_in(in_->databases_, id);
        else if (auto known = in_->database_of(id); known) // detached since: its file is complete
            place = known.assume_value();
        return place == nullptr || record.at < place->redo_from ? nullptr : place->file.get();
    }

    [[nodiscard]] result<void> redo() noexcept {
        auto from = redo_from_;
        // Nothing is kept that lies below what the first segment holds; a hole is log_missing.
        if (in_->options_.restoring && from) // with the list that a segment begins with
            from = first_lsn(generation_of(from, in_->segment_bytes_), in_->segment_bytes_);
        auto options = reading(from);
        options.up_to = end_.end;
        BOOST_OUTCOME_TRY(auto log, replay<env>::open(in_->env_, *in_->dir_, options));
        BOOST_OUTCOME_TRY(auto log_ahead, replay<env>::open(in_->env_, *in_->dir_, options));
        auto ahead = look_ahead<Traits>{*in_->pool_, log_ahead};
        auto pages = redoer<Traits>{*in_->pool_};
        auto const file_of = [this](log_record const& record) noexcept {
            return redone_in(record);
        };
        for (auto const& r : log) {
            if (!r) return r.error();
            auto const& record = r.assume_value();
            if (in_->options_.restoring) {
                BOOST_OUTCOME_TRY(lives_.see(record));
            }
            auto const* const end = record.template as<record::backup_end>();
            if (end != nullptr && !(in_->options_.restoring && in_->options_.forks)) {
                BOOST_OUTCOME_TRY(stamp_again(*end));
            }
            auto* const file = redone_in(record);
            if (file == nullptr) continue;
            BOOST_OUTCOME_TRY(ahead.reach(record.at, file_of));
            BOOST_OUTCOME_TRY(pages.redo(*file, record, log.current_segment().timeline.low()));
        }
        for (auto& known : in_->databases_)
            if (known.file != nullptr) {
                BOOST_OUTCOME_TRY(pages.finish(*known.file));
            }
        in_->report_.pages_changed = pages.applied();
        return ok();
    }

    // --- 7

    [[nodiscard]] result<void> begin_log(bool clean) noexcept {
        auto const& last = *end_.last;
        auto start = log_start{};
        start.instance = in_->id_;
        start.incarnation = in_->incarnation_;
        start.timeline = in_->timeline();
        start.parent_timeline = last.parent_timeline;
        start.fork_lsn = last.fork_lsn;
        start.wall_floor = analysis_.latest_wall();
        if (end_.sealed) {
            start.generation = end_.next_generation;
            start.nonce = clean ? end_.next_nonce : 0;
            start.previous_generation = last.generation;
            start.previous_nonce = last.nonce;
            start.previous_created_at = last.created_at;
            start.cut = clean ? no_lsn : end_.raw_end;
            // A segment that its predecessor's segment_end names by nonce cannot get another one:
            // only one that hangs on a cut is replaced.
        } else if (end_.replaceable && last.cut &&
                   !(has_slot_ && slot_.generation == last.generation) &&
                   !is_required(last.generation)) {
            start.generation = last.generation;
            start.previous_generation = last.previous_generation;
            start.previous_nonce = last.previous_nonce;
            start.previous_created_at = last.previous_created_at;
            start.cut = last.cut;
        } else {
            start.generation = end_.next_generation;
            start.previous_generation = last.generation;
            start.previous_nonce = last.nonce;
            start.previous_created_at = last.created_at;
            start.cut = end_.raw_end;
        }
        auto record = std::array<std::byte, record::attach_list::size_max>{};
        auto room = std::array<std::byte, attach_entries_size_max>{};
        auto const list = in_->attached_now(nullptr, nullptr, room);
        encode_header(record.data(), {.type = list.type, .flags = record_flags::system});
        list.encode(record.data());
        start.attach_list = const_bytes{record.data(), list.size()};
        if (clean) {
            // The slot stops saying clean before the first byte of log is written.
            auto opened = slot_;
            opened.clean = false;
            opened.incarnation = in_->incarnation_;
            opened.written_at = in_->env_.runtime.wall();
            if (!runtime::sabotaged(sabotage::clean_flag_late)) {
                BOOST_OUTCOME_TRY(in_->checkpoint_->write(opened));
            }
        }
        BOOST_OUTCOME_TRY(
            in_->log_,
            log_writer<env>::create(
                in_->env_,
                *in_->dir_,
                log_options_of(in_->options_, page_size, in_->segment_bytes_, in_->archival_),
                start
            )
        );
        in_->pool_->use_log(log_gate{*in_->log_, in_->segment_bytes_});
        return ok();
    }

    // Does a header name an LSN inside that generation?
    [[nodiscard]] bool is_required(std::uint64_t generation) noexcept {
        auto const first = lsn{generation * in_->segment_bytes_};
        for (auto& known : in_->databases_) {
            if (known.file == nullptr) continue;
            auto const header = known.file->header();
            // max_required_lsn is the end of a segment: it asks for the one before it.
            if (header.max_required_lsn > first || header.attach_lsn >= first) return true;
        }
        return has_slot_ && slot_.end_lsn > first;
    }

    [[nodiscard]] result<void> start_clean() noexcept {
        in_->pool_->note_redo_lsn(slot_.redo_lsn);
        BOOST_OUTCOME_TRY(in_->log_->flush_all()); // a slot names no segment without a record
        return in_->force_slot();
    }

    // --- 8

    [[nodiscard]] result<void> undo() noexcept {
        in_->report_.recovered = true;
        auto& system = *in_->transactions_;
        auto begin = record::recovery_begin{};
        begin.scan_start = start_;
        begin.end = end_.end;
        begin.losers = in_->report_.losers;
        begin.reason = recovery_reason::crash;
        BOOST_OUTCOME_TRY(in_->log_alone({}, begin));

        if (!analysis_.losers().empty()) {
            auto losers = loser_transactions<Traits>{system};
            BOOST_OUTCOME_TRY(losers.begin(analysis_.losers()));
            auto options = reading(analysis_.losers()[0]);
            options.up_to = end_.end;
            BOOST_OUTCOME_TRY(auto log, replay<env>::open(in_->env_, *in_->dir_, options));
            for (auto const& r : log) {
                if (!r) return r.error();
                auto const& record = r.assume_value();
                // Half of it may be about a database that a restore left out; detach waits for losers.
                auto const about = record.header.database;
                auto const forked = in_->options_.restoring || record.at < end_.last->fork_lsn;
                if (forked && about != no_database && !in_->database_of(about)) continue;
                BOOST_OUTCOME_TRY(losers.see(record));
            }
            runtime::point(point_id::before_undo);
            for (auto* const state : losers.states()) {
                system.people().enter_writer(*state, *in_->log_);
                state->low = state->first_record;
            }
            while (auto* const state = losers.take()) {
                auto credit = log_credit{};
                if (auto found = find_roots(system, *state); !found) {
                    system.keep_stuck(state);
                    return found.error();
                }
                BOOST_OUTCOME_TRY(roll_back(system, state, credit));
            }
            runtime::point(point_id::after_undo);
        }
        auto ended = record::recovery_end{};
        ended.cut = end_.end;
        ended.incarnation = in_->incarnation_;
        ended.losers = in_->report_.losers;
        ended.records_redone = analysis_.records();
        BOOST_OUTCOME_TRY(in_->log_alone({}, ended));
        return ok();
    }

    // Undo entries name trees by id; the catalogue, redone, says where their roots are. A tree whose
    // own creation is among what is undone says so itself.
    [[nodiscard]] result<void> find_roots(
        transaction_system<Traits>& system, transaction_state& state
    ) noexcept {
        for (auto* entry = state.newest; entry != nullptr; entry = entry->older_own) {
            if (entry->unlinked || entry->kind == version_kind::create) continue;
            BOOST_OUTCOME_TRY(entry->root, root_of(system, state, *entry));
        }
        return ok();
    }
    [[nodiscard]] result<page_number> root_of(
        transaction_system<Traits>& system, transaction_state& state, version_entry const& wanted
    ) noexcept {
        using limits = page_limits<page_size>;
        if (wanted.tree == catalogue_tree) return limits::catalogue_root;
        if (wanted.tree == pending_tree) return limits::pending_root;
        for (auto* e = state.newest; e != nullptr; e = e->older_own)
            if (e->kind == version_kind::create && e->tree == wanted.tree &&
                e->database == wanted.database)
                return e->root;
        BOOST_OUTCOME_TRY(auto* const place, in_->database_of(wanted.database));
        auto root = no_page;
        // The page's own row, whoever wrote it: a ghost of an undone drop still names the root.
        BOOST_OUTCOME_TRY(system.trees().read(
            place->catalogue(),
            tree_row_key(wanted.tree).view(),
            [&](page_view<page_size> const& leaf, std::uint32_t slot, bool found) noexcept {
                if (!found) return;
                if (auto const row = decode_tree_row(leaf.value(slot)))
                    root = row.assume_value().root;
            }
        ));
        if (root == no_page)
            return error{.code = errc::structure_damaged, .at = wanted.at}.with_database(
                wanted.database
            );
        return root;
    }

    // --- 9

    [[nodiscard]] result<void> finish() noexcept {
        BOOST_OUTCOME_TRY(in_->log_->flush_all());
        {
            auto const held = holding{in_->databases_lock_};
            BOOST_OUTCOME_TRY(in_->checkpoint_locked(checkpoint_how::flush_all));
        }
        return in_->double_write_->empty();
    }

    instance<Traits>* in_;
    checkpoint_slot slot_{};
    bool has_slot_ = false;
    lsn start_{};
    lsn redo_from_{}; // of all files
    log_analysis analysis_;
    database_lives lives_{};
    log_end end_{};
    sealed_log sealed_{};
};

} // namespace jetpp::inline v1
