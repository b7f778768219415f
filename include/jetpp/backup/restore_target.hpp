// jetpp/backup/restore_target.hpp - the directory that a restore fills, and how it stays safe.
//
//     jet.restore durable -> log, databases, checkpoint laid down and synced -> recovery, clean close
//     -> jet.restore removed
//
// What is laid down is the picture of an instance that crashed at the target: its databases dirty,
// its log complete, and behind it the first segment of a new timeline. So the recovery of the
// engine does redo and undo. A crash of the restore leaves the journal. The next restore of the same
// plan repeats the phase that was begun: laying down, or recovery, which may be repeated as often as
// it is interrupted; of any other plan it begins anew.
// The files are laid under their final names: the storage seam renames within a directory only,
// and the target held nothing before, so that there is nothing to keep apart from. Until the
// journal is gone no engine opens the directory (needs_restore).
// Invariants
//   * a directory that holds anything but a lock file, or what a restore left that was interrupted,
//     is refused and untouched
//   * while anything is removed the journal says `stage`: what is left is nothing to go on with
// Threads  one owner.
// Owns     the directory, its lock, the journal.
// Source   backup rules R35, R37, R43.
#pragma once

#include <jetpp/backup/file_output.hpp>
#include <jetpp/backup/restore_journal.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/recovery/instance_life.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

template <any_environment Env>
class restore_target {
public:
    using directory = typename Env::directory;

    // `goes_on`: where the same plan was interrupted behind its laying down, that is gone on with.
    // Errors: would_overwrite (the directory holds files), in_use, those of storage.
    [[nodiscard]] static result<restore_target> open(
        Env env, path_view path, restore_journal const& plan, bool goes_on
    ) noexcept {
        auto made = restore_target{};
        auto opened = env.storage.open_dir(path, directory_how::create_if_missing);
        if (!opened) return opened.error().with_file(file_kind::directory);
        made.directory_.emplace(std::move(opened).assume_value());
        auto& where = *made.directory_;
        // Looked at before the lock is taken: a directory of somebody else gets no lock file. And
        // with it again: somebody may have made an instance here meanwhile.
        BOOST_OUTCOME_TRY(is_interrupted(where));
        auto locked = where.acquire_lock(lock_file_name);
        if (!locked) return locked.error().with_file(file_kind::lock);
        made.lock_.emplace(std::move(locked).assume_value());
        BOOST_OUTCOME_TRY(auto const interrupted, is_interrupted(where));
        auto const was = interrupted ? read_restore_journal<Env>(where)
                                     : result<std::optional<restore_journal>>{std::nullopt};
        // Hours of work are not thrown away for a read that failed.
        if (!was && was.error().code != errc::bad_header) return was.error();
        made.goes_on_ =
            goes_on && was && was.assume_value() && is_laid_down(*was.assume_value(), plan);
        if (interrupted && !made.goes_on_) {
            BOOST_OUTCOME_TRY(made.check_ours());
        }
        BOOST_OUTCOME_TRY(remove_unborn_journals(where));
        auto journal = restore_journal_file<Env>::create(where);
        if (!journal) return journal.error();
        made.journal_ = std::move(journal).assume_value();
        made.plan_ = made.goes_on_ ? *was.assume_value() : plan;
        if (made.goes_on_) return made;
        BOOST_OUTCOME_TRY(made.journal_->write(plan));
        BOOST_OUTCOME_TRY(where.sync());
        if (interrupted) {
            BOOST_OUTCOME_TRY(made.remove_files());
        }
        return made;
    }
    // Everything is laid down already: recovery comes next, of that fork.
    [[nodiscard]] bool goes_on() const noexcept { return goes_on_; }
    [[nodiscard]] restore_journal const& plan() const noexcept { return plan_; }
    // Instead of begin_recovery(): the journal is this try's from here on. Errors: of storage.
    [[nodiscard]] result<void> repeat_recovery() noexcept {
        BOOST_OUTCOME_TRY(journal_->write(plan_));
        lock_.reset();
        return ok();
    }

    [[nodiscard]] directory& where() noexcept { return *directory_; }

    // Everything is laid down: makes it durable for the recovery that comes, which takes the lock.
    // Errors: of storage.
    [[nodiscard]] result<void> begin_recovery(restore_journal const& fork) noexcept {
        plan_ = fork;
        plan_.phase = restore_phase::redo;
        BOOST_OUTCOME_TRY(directory_->sync());
        BOOST_OUTCOME_TRY(journal_->write(plan_));
        lock_.reset();
        return ok();
    }

    // Recovery left clean files: lets the engine at them. Gives up the lock.
    // Errors: in_use (somebody came between), of storage.
    [[nodiscard]] result<void> publish() noexcept {
        BOOST_OUTCOME_TRY(lock_again());
        plan_.phase = restore_phase::publish;
        // The names, before the journal that hides them. Recovery has synced each that it made, and
        // with it ours: this does not count on it.
        BOOST_OUTCOME_TRY(directory_->sync());
        BOOST_OUTCOME_TRY(journal_->write(plan_));
        journal_.reset();
        Env::runtime_type::point(point_id::before_publish);
        BOOST_OUTCOME_TRY(directory_->remove(restore_journal_name));
        Env::runtime_type::point(point_id::after_publish);
        BOOST_OUTCOME_TRY(directory_->sync());
        lock_.reset();
        return ok();
    }

    // A restore that failed: the directory is as empty as it was. Best effort.
    void give_up() noexcept {
        if (!lock_again()) return; // of somebody else by now
        if (journal_ == nullptr) { // publish() gave it up
            auto journal = restore_journal_file<Env>::create(*directory_);
            if (!journal) return;
            journal_ = std::move(journal).assume_value();
        }
        plan_.phase = restore_phase::stage;
        if (!journal_->write(plan_) || !directory_->sync()) return;
        journal_.reset();
        if (remove_files()) {
            (void)directory_->remove(restore_journal_name);
            (void)directory_->sync();
        }
        lock_.reset();
    }

private:
    restore_target() noexcept = default;

    // Recovery had the lock, and nobody has it for a moment before and after: what lies here is this
    // restore's as long as the journal is. Errors: in_use, of storage.
    [[nodiscard]] result<void> lock_again() noexcept {
        if (lock_) return ok();
        auto locked = directory_->acquire_lock(lock_file_name);
        if (!locked) return locked.error().with_file(file_kind::lock);
        auto const journal = read_restore_journal<Env>(*directory_);
        if (!journal) return journal.error();
        auto const& there = journal.assume_value();
        // Somebody else may go on with the same plan, on the same timeline.
        auto const is_mine = there && there->timeline == plan_.timeline &&
                             (journal_ == nullptr || there->sequence == journal_->sequence());
        if (!is_mine) return error{.code = errc::in_use, .file = file_kind::restore_journal};
        lock_.emplace(std::move(locked).assume_value());
        return ok();
    }

    // Errors: would_overwrite (also: another kind of restore was interrupted here).
    [[nodiscard]] static result<bool> is_interrupted(directory& where) noexcept {
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(where.list(entries));
        auto others = false;
        auto has_journal = false;
        for (auto const& entry : entries) {
            if (entry.name == restore_journal_name)
                has_journal = true;
            else if (entry.name != lock_file_name && !is_unborn_journal(entry.name))
                others = true;
        }
        if (has_journal) {
            // One that cannot be read was being written before anything else was.
            auto const journal = read_restore_journal<Env>(where);
            auto const of_others =
                journal ? journal.assume_value() && journal.assume_value()->flags != 0 : others;
            if (of_others)
                return error{.code = errc::would_overwrite, .file = file_kind::restore_journal};
            return true;
        }
        if (others) return error{.code = errc::would_overwrite, .file = file_kind::directory};
        return false;
    }

    [[nodiscard]] static bool is_laid_down(
        restore_journal const& was, restore_journal const& plan
    ) noexcept {
        return was.phase >= restore_phase::redo && was.instance == plan.instance &&
               was.staging == plan.staging && was.plan == plan.plan;
    }

    [[nodiscard]] static bool stays(directory_entry const& entry) noexcept {
        return entry.name == restore_journal_name || entry.name == lock_file_name;
    }
    // Does all of it come from a restore? Errors: would_overwrite, those of storage.
    [[nodiscard]] result<void> check_ours() noexcept {
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(directory_->list(entries));
        for (auto const& entry : entries)
            if (!stays(entry) && (entry.kind != entry_kind::file || !is_ours(entry.name)))
                return error{.code = errc::would_overwrite, .file = file_kind::directory};
        return ok();
    }
    // Removes what a restore lays down, and nothing else. Errors: those of storage.
    [[nodiscard]] result<void> remove_files() noexcept {
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(directory_->list(entries));
        for (auto const& entry : entries) {
            if (stays(entry) || entry.kind != entry_kind::file || !is_ours(entry.name)) continue;
            BOOST_OUTCOME_TRY(directory_->remove(entry.name));
        }
        return directory_->sync();
    }
    // Of the engine by its name, or a database that a restore was laying down.
    [[nodiscard]] bool is_ours(file_name const& name) noexcept {
        if (name.view().starts_with("jet.")) return true;
        auto block = aligned_buffer::create(database_header::size);
        if (!block) return false;
        auto file = directory_->open(name, {.mode = open_mode::read_only});
        if (!file) return false;
        auto const got = read_up_to(file.assume_value(), block.assume_value().all(), 0);
        if (!got) return false;
        // Not yet begun, or cut by a crash while it began: no more than a part of its header.
        if (all_zero(block.assume_value().all().first(512))) return true;
        auto const header = database_header::decode(block.assume_value().all());
        if (!header) return header.error().code != errc::bad_magic;
        return header.assume_value().state == database_state::restoring ||
               header.assume_value().state == database_state::backup_copy ||
               !header.assume_value().restored_from.is_nil();
    }

    std::optional<directory> directory_;
    std::optional<typename Env::lock> lock_;
    std::unique_ptr<restore_journal_file<Env>> journal_;
    restore_journal plan_{};
    bool goes_on_ = false;
};

} // namespace jetpp::inline v1
