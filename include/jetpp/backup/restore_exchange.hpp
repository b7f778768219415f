// jetpp/backup/restore_exchange.hpp - puts a restored instance in the place of what a directory holds.
//
//     dir/jet.*, main ...             jet.abandoned-<timeline>/jet.*, main ...
//     dir/.restore-<id>/jet.*, main   dir/jet.*, main ...
//
// What is to come is restored, closed and synced below the directory first; until then nothing of
// the old is touched. Then a journal says `publish`, the old files go aside, all of them: what lies
// there afterwards is the old instance, whole. The journal says `done`, and the new files come in.
// A file goes by a second name that is durable before the first is removed, so a crash at any moment
// leaves it somewhere, and each step can be repeated.
// Invariants
//   * nothing is deleted, but staging; nothing is replaced
//   * from the first file moved to the last no engine opens the directory (jet.restore)
//   * phase `publish`: files of the directory are old ones; phase `done`: they are new ones
// Threads  one owner.
// Owns     the directory and its lock.
// Source   backup rules R35, R43.
#pragma once

#include <jetpp/backup/restore_journal.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/recovery/instance_life.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

inline constexpr std::string_view restore_staging_prefix{".restore-"};
inline constexpr std::string_view abandoned_prefix{"jet.abandoned-"};

template <any_environment Env>
class restore_exchange {
public:
    using directory = typename Env::directory;

    // Takes the lock. An exchange that was interrupted is finished; what else a restore left staged
    // is removed.
    // Returns: nothing, if there is no directory, or if it holds nothing that had to go aside.
    // Errors: in_use, would_overwrite (another kind of restore was interrupted here), bad_header
    // (jet.restore), those of storage.
    [[nodiscard]] static result<std::optional<restore_exchange>> open(
        Env env, path_view path
    ) noexcept {
        auto nothing = std::optional<restore_exchange>{};
        auto made = restore_exchange{env};
        auto opened = env.storage.open_dir(path, directory_how::must_exist);
        if (!opened && opened.error().code == errc::not_found) return nothing;
        if (!opened) return opened.error().with_file(file_kind::directory);
        made.directory_.emplace(std::move(opened).assume_value());
        BOOST_OUTCOME_TRY(auto const is_empty, made.is_empty());
        if (is_empty) return nothing;
        auto locked = made.directory_->acquire_lock(lock_file_name);
        if (!locked) return locked.error().with_file(file_kind::lock);
        made.lock_.emplace(std::move(locked).assume_value());
        // What is seen must be so after the next crash, too: a killed process may have removed its
        // journal, and that is not durable yet.
        BOOST_OUTCOME_TRY(made.directory_->sync());
        BOOST_OUTCOME_TRY(auto const journal, read_restore_journal<Env>(*made.directory_));
        if (journal && journal->flags == 0) return nothing; // an ordinary one, of an empty directory
        if (journal && journal->flags != restore_journal::exchange)
            return error{.code = errc::would_overwrite, .file = file_kind::restore_journal};
        if (journal) {
            made.plan_ = *journal;
            BOOST_OUTCOME_TRY(made.finish());
            made.finished_ = *journal;
        } else {
            BOOST_OUTCOME_TRY(made.clear_staging());
        }
        return std::optional<restore_exchange>{std::move(made)};
    }

    // Of the exchange that open() finished.
    [[nodiscard]] std::optional<restore_journal> const& finished() const noexcept {
        return finished_;
    }
    // Below the directory. `id`: of one try, never to be used again: a journal that comes back by a
    // crash must not find other files under the name.
    [[nodiscard]] static file_name staging_name(uuid const& id) noexcept {
        auto const hex = hex_of(id);
        auto name = file_name{};
        return name.add(restore_staging_prefix).add({hex.data(), hex.size()});
    }
    [[nodiscard]] static file_name abandoned_name(timeline_id timeline) noexcept {
        auto name = file_name{};
        return name.add(abandoned_prefix).add_hex16(timeline.value);
    }

    // What was restored into staging_name(plan.staging) is whole and synced.
    // Errors: would_overwrite (a directory bears the name of a restored file: nothing was moved),
    // those of storage: whoever comes next finishes it.
    [[nodiscard]] result<void> publish(restore_journal plan) noexcept {
        BOOST_OUTCOME_TRY(auto const collides, collides_with(staging_name(plan.staging)));
        if (collides) {
            give_up();
            return error{.code = errc::would_overwrite, .file = file_kind::directory};
        }
        plan_ = plan;
        plan_.flags = restore_journal::exchange;
        plan_.phase = restore_phase::publish;
        // The name of staging, before the journal that counts on it.
        BOOST_OUTCOME_TRY(directory_->sync());
        BOOST_OUTCOME_TRY(
            auto file, restore_journal_file<Env>::begin(env_, *directory_, plan_)
        );
        journal_.emplace(std::move(file));
        return finish();
    }

    // Nothing is to come: what was staged is removed. Best effort.
    void give_up() noexcept { (void)clear_staging(); }

private:
    explicit restore_exchange(Env env) noexcept : env_{env} {}

    [[nodiscard]] result<bool> is_empty() noexcept {
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(directory_->list(entries));
        for (auto const& entry : entries)
            if (entry.name != lock_file_name) return false;
        return true;
    }
    [[nodiscard]] static bool stays(directory_entry const& entry) noexcept {
        // Its names while it is written, too.
        return entry.kind == entry_kind::directory || entry.name == lock_file_name ||
               entry.name.view().starts_with(restore_journal_name.view());
    }

    [[nodiscard]] result<void> finish() noexcept {
        if (!journal_) {
            BOOST_OUTCOME_TRY(auto file, restore_journal_file<Env>::create(*directory_));
            journal_.emplace(std::move(file));
        }
        if (plan_.phase == restore_phase::publish) {
            BOOST_OUTCOME_TRY(
                auto aside,
                directory_->open_dir(
                    abandoned_name(plan_.timeline), directory_how::create_if_missing
                )
            );
            BOOST_OUTCOME_TRY(directory_->sync());
            BOOST_OUTCOME_TRY(move_all(*directory_, aside));
            plan_.phase = restore_phase::done;
            BOOST_OUTCOME_TRY(journal_->write(plan_));
        }
        auto const name = staging_name(plan_.staging);
        auto staged = directory_->open_dir(name, directory_how::must_exist);
        if (staged) {
            BOOST_OUTCOME_TRY(move_all(staged.assume_value(), *directory_));
            BOOST_OUTCOME_TRY(remove_directory(name));
        } else if (staged.error().code != errc::not_found) {
            return staged.error(); // else it was removed, and all had been moved
        }
        journal_.reset();
        Env::runtime_type::point(point_id::before_publish);
        BOOST_OUTCOME_TRY(directory_->remove(restore_journal_name));
        Env::runtime_type::point(point_id::after_publish);
        return directory_->sync();
    }

    // All files but locks and journals. A name that is taken is this file's, of an earlier try.
    [[nodiscard]] static result<void> move_all(directory& from, directory& to) noexcept {
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(from.list(entries));
        for (auto const& entry : entries) {
            if (stays(entry)) continue;
            auto const linked = from.link(entry.name, to, entry.name);
            if (!linked && linked.error().code != errc::already_exists) return linked.error();
        }
        if (!Env::runtime_type::sabotaged(sabotage::restore_without_sync)) {
            BOOST_OUTCOME_TRY(to.sync());
        }
        for (auto const& entry : entries) {
            if (stays(entry)) continue;
            BOOST_OUTCOME_TRY(from.remove(entry.name));
        }
        return from.sync();
    }

    [[nodiscard]] result<bool> collides_with(file_name const& staging) noexcept {
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(directory_->list(entries));
        BOOST_OUTCOME_TRY(auto staged, directory_->open_dir(staging, directory_how::must_exist));
        auto names = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(staged.list(names));
        for (auto const& one : names)
            for (auto const& entry : entries)
                if (entry.kind == entry_kind::directory && entry.name == one.name) return true;
        return false;
    }

    [[nodiscard]] result<void> clear_staging() noexcept {
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(directory_->list(entries));
        for (auto const& entry : entries) {
            auto const staged = entry.kind == entry_kind::directory &&
                                entry.name.view().starts_with(restore_staging_prefix);
            if (!staged) continue;
            BOOST_OUTCOME_TRY(remove_directory(entry.name));
        }
        return ok();
    }
    [[nodiscard]] result<void> remove_directory(file_name const& name) noexcept {
        BOOST_OUTCOME_TRY(auto staged, directory_->open_dir(name, directory_how::must_exist));
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(staged.list(entries));
        for (auto const& entry : entries) {
            BOOST_OUTCOME_TRY(staged.remove(entry.name));
        }
        BOOST_OUTCOME_TRY(directory_->remove(name));
        return directory_->sync();
    }

    [[no_unique_address]] Env env_;
    std::optional<directory> directory_;
    std::optional<typename Env::lock> lock_;
    std::optional<restore_journal_file<Env>> journal_;
    restore_journal plan_{};
    std::optional<restore_journal> finished_;
};

} // namespace jetpp::inline v1
