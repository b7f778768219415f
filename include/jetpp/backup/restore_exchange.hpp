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
// Databases that are laid over (restore by delta) have a second name in staging while they change:
// where they lie they say `restoring`, and before they say anything else a journal says `delta`.
// Invariants
//   * nothing is deleted, but staging; nothing is replaced, but what is laid over
//   * from the first file moved to the last no engine opens the directory (jet.restore)
//   * phase `publish`: files of the directory are old ones; phase `done`: they are new ones
// Threads  one owner.
// Owns     the directory and its lock.
// Source   backup rules R35, R43.
#pragma once

#include <jetpp/backup/files_aside.hpp>
#include <jetpp/backup/restore_journal.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/recovery/analysis.hpp>
#include <jetpp/recovery/instance_life.hpp>

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

inline constexpr std::string_view restore_staging_prefix{".restore-"};

// What a roll-forward of a live instance notes of itself.
struct live_plan {
    uuid instance{};
    timeline_id timeline{};
    uuid set{}; // whose pages are taken
};

template <any_environment Env>
class restore_exchange {
public:
    using directory = typename Env::directory;

    // Takes the lock. An exchange that was interrupted is finished; what else a restore left staged
    // is removed.
    // Returns: nothing, if there is no directory, or if it holds nothing that had to go aside.
    // Errors: in_use, would_overwrite (another kind of restore was interrupted here), bad_header
    // (jet.restore), those of storage: also of one that cannot link files.
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
        BOOST_OUTCOME_TRY(made.lock());
        // What is seen must be so after the next crash, too: a killed process may have removed its
        // journal, and that is not durable yet.
        BOOST_OUTCOME_TRY(made.directory_->sync());
        BOOST_OUTCOME_TRY(auto const journal, read_restore_journal<Env>(*made.directory_));
        if (journal && journal->flags == 0)
            return nothing; // an ordinary one, of an empty directory
        if (journal && journal->flags == restore_journal::delta) {
            // The journal stays until the next one stands: no engine may take what was laid over.
            BOOST_OUTCOME_TRY(made.open_journal());
            BOOST_OUTCOME_TRY(made.bring_back());
            BOOST_OUTCOME_TRY(made.clear_staging());
            return std::optional<restore_exchange>{std::move(made)};
        }
        if (journal && journal->flags != restore_journal::exchange)
            return error{.code = errc::would_overwrite, .file = file_kind::restore_journal};
        if (journal) {
            made.plan_ = *journal;
            BOOST_OUTCOME_TRY(made.finish());
            made.finished_ = *journal;
        } else {
            BOOST_OUTCOME_TRY(made.clear_staging());
            BOOST_OUTCOME_TRY(made.check_links());
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
        return jetpp::abandoned_name(timeline);
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
        // What was laid over goes by its name in staging from now on, and is none of the old files.
        for (auto const& name : laid_over_) {
            BOOST_OUTCOME_TRY(directory_->remove(name));
        }
        if (journal_ != nullptr) {
            BOOST_OUTCOME_TRY(directory_->sync());
            BOOST_OUTCOME_TRY(journal_->write(plan_));
            return finish();
        }
        BOOST_OUTCOME_TRY(auto file, restore_journal_file<Env>::begin(env_, *directory_, plan_));
        journal_ = std::move(file);
        return finish();
    }

    // ---- databases that are laid over

    // Is a file of that name there, and is it this database? Then it gets the same name in `staged`.
    // Errors: of storage, out_of_memory.
    [[nodiscard]] result<bool> lay_over(
        logged_database const& wanted, std::uint32_t page_size, directory& staged
    ) noexcept {
        auto file = directory_->open(wanted.name, {.mode = open_mode::read_only});
        if (!file && file.error().code == errc::not_found) return false;
        if (!file) return file.error();
        BOOST_OUTCOME_TRY(auto area, aligned_buffer::create(database_header_area_bytes));
        BOOST_OUTCOME_TRY(auto const got, read_up_to(file.assume_value(), area.all(), 0));
        std::memset(area.data() + got, 0, area.size() - got);
        auto const copy_at = [&](header_copy copy) {
            return const_bytes{area.all()}.subspan(
                static_cast<std::size_t>(offset_of(copy)), database_header::size
            );
        };
        auto const newest = newest_of(copy_at(header_copy::a), copy_at(header_copy::b));
        if (!newest) return false; // it goes aside, as anything else
        auto const& h = newest.assume_value().header;
        if (h.database != wanted.database || h.nonce != wanted.nonce || h.page_size != page_size)
            return false;
        BOOST_OUTCOME_TRY(directory_->link(wanted.name, staged, wanted.name));
        for (auto const& known : laid_over_)
            if (known == wanted.name) return true; // by an earlier try
        if (!laid_over_.push_back(wanted.name)) return error{.code = errc::out_of_memory};
        return true;
    }
    // Before a header of them says anything but `restoring`. Errors: of storage.
    [[nodiscard]] result<void> begin_delta(uuid const& instance, uuid const& set) noexcept {
        if (journal_ != nullptr) return ok();
        auto plan = restore_journal{.instance = instance, .staging = set};
        plan.flags = restore_journal::delta;
        BOOST_OUTCOME_TRY(auto file, restore_journal_file<Env>::begin(env_, *directory_, plan));
        journal_ = std::move(file);
        return ok();
    }

    // ---- files of a live instance: only those that are staged take the place of others

    // As open(), of a directory that holds an instance and goes on to hold it. One that was
    // interrupted is gone on with by finish_live().
    // Errors: not_found, in_use, would_overwrite, bad_header, those of storage.
    [[nodiscard]] static result<restore_exchange> open_live(Env env, path_view path) noexcept {
        auto made = restore_exchange{env};
        auto opened = env.storage.open_dir(path, directory_how::must_exist);
        if (!opened) return opened.error().with_file(file_kind::directory);
        made.directory_.emplace(std::move(opened).assume_value());
        BOOST_OUTCOME_TRY(made.lock());
        BOOST_OUTCOME_TRY(made.directory_->sync());
        BOOST_OUTCOME_TRY(auto const journal, read_restore_journal<Env>(*made.directory_));
        if (journal && journal->flags != restore_journal::live)
            return error{.code = errc::would_overwrite, .file = file_kind::restore_journal};
        if (journal) {
            made.plan_ = *journal;
            made.interrupted_ = true;
        } else {
            BOOST_OUTCOME_TRY(made.clear_staging());
            BOOST_OUTCOME_TRY(made.check_links());
        }
        return made;
    }
    [[nodiscard]] bool interrupted() const noexcept { return interrupted_; }
    [[nodiscard]] directory& where() noexcept { return *directory_; }
    [[nodiscard]] live_plan plan() const noexcept {
        return {plan_.instance, plan_.timeline, noted_set()};
    }

    // An empty one, of this try.
    [[nodiscard]] result<directory> make_staging() noexcept {
        plan_.staging = make_uuid(env_.runtime.random(), env_.runtime.random());
        return directory_->open_dir(staging_name(plan_.staging), directory_how::create_if_missing);
    }
    // What is staged is whole and synced. Errors: would_overwrite, as publish(); of storage.
    [[nodiscard]] result<void> begin_live(live_plan const& of) noexcept {
        BOOST_OUTCOME_TRY(auto const collides, collides_with(staging_name(plan_.staging)));
        if (collides) {
            give_up();
            return error{.code = errc::would_overwrite, .file = file_kind::directory};
        }
        plan_.instance = of.instance;
        plan_.timeline = of.timeline;
        plan_.flags = restore_journal::live;
        plan_.phase = restore_phase::publish;
        std::memcpy(plan_.plan.data(), of.set.raw.data(), of.set.raw.size());
        BOOST_OUTCOME_TRY(directory_->sync());
        if (journal_ != nullptr) return journal_->write(plan_);
        BOOST_OUTCOME_TRY(auto file, restore_journal_file<Env>::begin(env_, *directory_, plan_));
        journal_ = std::move(file);
        return ok();
    }
    // Moves; then recovery may come, which takes the lock. Returns: where old files went, or empty.
    // Errors: of storage.
    [[nodiscard]] result<std::string> finish_live() noexcept {
        return guarded([&]() -> result<std::string> {
            BOOST_OUTCOME_TRY(open_journal());
            auto const name = staging_name(plan_.staging);
            auto const aside_name =
                abandoned_name({load_le<std::uint64_t>(plan_.staging.raw.data())});
            auto staged = directory_->open_dir(name, directory_how::must_exist);
            // While it is published it must be there; later it may be gone, all of it moved.
            auto const may_be_gone = plan_.phase != restore_phase::publish;
            if (!staged && !(may_be_gone && staged.error().code == errc::not_found))
                return staged.error();
            if (plan_.phase == restore_phase::publish) {
                BOOST_OUTCOME_TRY(move_what_is_in_the_way(staged.assume_value(), aside_name));
                plan_.phase = restore_phase::redo;
                BOOST_OUTCOME_TRY(journal_->write(plan_));
            }
            if (staged) {
                BOOST_OUTCOME_TRY(move_all(staged.assume_value(), *directory_));
                BOOST_OUTCOME_TRY(remove_directory(name));
            }
            auto const aside = directory_->open_dir(aside_name, directory_how::must_exist);
            lock_.reset();
            return aside ? std::string{aside_name.view()} : std::string{};
        });
    }
    // Recovery left an instance that is closed: lets engines at it.
    [[nodiscard]] result<void> end_live() noexcept {
        BOOST_OUTCOME_TRY(lock());
        return remove_journal();
    }
    // An interrupted one shall not be gone on with: what it brought in is as any other file. Its
    // journal stays until begin_live() writes over it: no engine may open what was not redone.
    // Errors: of storage.
    [[nodiscard]] result<void> start_over() noexcept {
        BOOST_OUTCOME_TRY(auto const aside, finish_live());
        (void)aside;
        BOOST_OUTCOME_TRY(lock());
        interrupted_ = false;
        return ok();
    }

    // Of the segments that lie here, by their names; 0: none does. Names that no log can have reached
    // (an LSN is below 2^62) are not theirs. Errors: of storage, out_of_memory.
    [[nodiscard]] result<std::uint64_t> highest_generation() noexcept {
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(directory_->list(entries));
        auto highest = std::uint64_t{0};
        for (auto const& one : entries)
            if (auto const found = parse_segment_name(one.name.view()))
                if (*found < lsn_limit.value / segment_bytes_default && *found > highest)
                    highest = *found;
        return highest;
    }

    // Nothing is to come: what was staged is removed. Best effort.
    void give_up() noexcept {
        (void)clear_staging();
        laid_over_.clear();
    }

private:
    explicit restore_exchange(Env env) noexcept : env_{env} {}

    [[nodiscard]] result<void> lock() noexcept {
        auto locked = directory_->acquire_lock(lock_file_name);
        if (!locked) return locked.error().with_file(file_kind::lock);
        lock_.emplace(std::move(locked).assume_value());
        return ok();
    }
    // A file system may know no second names; that must be found out before a journal counts on
    // them. Errors: of storage.
    [[nodiscard]] result<void> check_links() noexcept {
        constexpr auto probe = file_name{"jet.link.tmp"};
        if (auto gone = directory_->remove(probe); !gone && gone.error().code != errc::not_found)
            return gone;
        auto linked = directory_->link(lock_file_name, *directory_, probe);
        if (!linked) return linked.error().with_file(file_kind::directory);
        return directory_->remove(probe);
    }
    [[nodiscard]] result<void> open_journal() noexcept {
        if (journal_) return ok();
        BOOST_OUTCOME_TRY(auto file, restore_journal_file<Env>::create(*directory_));
        journal_ = std::move(file);
        return ok();
    }
    [[nodiscard]] result<void> remove_journal() noexcept {
        journal_.reset();
        Env::runtime_type::point(point_id::before_publish);
        BOOST_OUTCOME_TRY(directory_->remove(restore_journal_name));
        Env::runtime_type::point(point_id::after_publish);
        return directory_->sync();
    }
    [[nodiscard]] uuid noted_set() const noexcept {
        auto set = uuid{};
        std::memcpy(set.raw.data(), plan_.plan.data(), set.raw.size());
        return set;
    }
    // Files of the directory under names that are staged. Staging is whole meanwhile.
    [[nodiscard]] result<void> move_what_is_in_the_way(
        directory& staged, file_name const& aside_name
    ) noexcept {
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(staged.list(entries));
        return move_aside(*directory_, aside_name, [&](directory_entry const& one) noexcept {
            for (auto const& entry : entries)
                if (!stays(one) && entry.name == one.name) return true;
            return false;
        });
    }

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
        BOOST_OUTCOME_TRY(open_journal());
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
        return remove_journal();
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

    // What was laid over and has its name in staging only gets it here as well.
    [[nodiscard]] result<void> bring_back() noexcept {
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(directory_->list(entries));
        for (auto const& entry : entries) {
            if (entry.kind != entry_kind::directory ||
                !entry.name.view().starts_with(restore_staging_prefix))
                continue;
            BOOST_OUTCOME_TRY(
                auto staged, directory_->open_dir(entry.name, directory_how::must_exist)
            );
            auto files = array_list<directory_entry>{};
            BOOST_OUTCOME_TRY(staged.list(files));
            for (auto const& one : files) {
                if (stays(one) || one.name.view().starts_with("jet.")) continue;
                auto const linked = staged.link(one.name, *directory_, one.name);
                if (!linked && linked.error().code != errc::already_exists) return linked.error();
            }
        }
        return directory_->sync();
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
        return remove_unborn_journals(*directory_);
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
    std::unique_ptr<restore_journal_file<Env>> journal_;
    restore_journal plan_{};
    std::optional<restore_journal> finished_;
    array_list<file_name> laid_over_;
    bool interrupted_ = false;
};

} // namespace jetpp::inline v1
