// jetpp/backup/repository.hpp - a directory that holds backup sets.
//
//     jetpp.repo
//     sets/20250301T120000Z-full-7f.../part-0000-main.jbs
//                                      part-0001-log.jbs
//                                      manifest.json          the set exists since this does
//     proof/7f...-20250401T030000Z.json                         it was restored since
// Names are hints, the headers inside rule. Nothing that was published is ever written again.
// Locks    on jetpp.repo: whoever makes a set holds it shared, from before he looks for what the set
//          stands on until it is published; whoever removes sets holds it alone. So a base cannot go
//          while a set over it is made, and a set under construction is nobody's to remove.
// Threads  one owner. Several processes may add sets at once: names are unique.
// Owns     the open directories.
// Source   backup rules R47 to R50.
#pragma once

#include <jetpp/backup/file_output.hpp>
#include <jetpp/backup/json_text.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/sealed_text.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/backup/utc_text.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

inline constexpr file_name repository_file_name{"jetpp.repo"};
inline constexpr file_name sets_directory_name{"sets"};
inline constexpr file_name proofs_directory_name{"proof"};
inline constexpr file_name manifest_file_name{"manifest.json"};

// 20250301T120000Z-full-<uuid>
[[nodiscard]] inline file_name set_directory_name(set_name const& name) noexcept {
    auto made = file_name{};
    auto const time = utc_text::compact(name.created);
    auto const hex = hex_of(name.set);
    made.add(time.view()).add("-").add(name_of(name.kind)).add("-").add({hex.data(), hex.size()});
    return made;
}

template <any_environment Env>
class repository {
public:
    using directory = typename Env::directory;
    using lock = typename Env::lock;

    // Errors: not_found (no directory, or no repository), set_damaged (jetpp.repo), those of
    // storage, out_of_memory.
    [[nodiscard]] static result<repository> open(Env env, path_view path) noexcept {
        return open(env, path, directory_how::must_exist);
    }
    // Makes directory and repository where they are missing.
    // Errors: as open; invalid_argument (the directory holds an instance).
    [[nodiscard]] static result<repository> open_or_create(Env env, path_view path) noexcept {
        return open(env, path, directory_how::create_if_missing);
    }

    // While it is held, no set goes. Waits for who removes sets, which takes moments.
    // Errors: in_use (he did not end within `patience`), of storage.
    static constexpr mono_time patience = std::chrono::seconds{10};
    [[nodiscard]] result<lock> hold_sets(Env env) noexcept {
        auto const still = std::uint32_t{0};
        for (auto const until = env.runtime.now() + patience;;) {
            auto held = root_->acquire_lock(repository_file_name, lock_how::shared);
            auto const now = env.runtime.now();
            if (held || held.error().code != errc::in_use || now >= until)
                return about(std::move(held));
            env.runtime.park(&still, 0, now + std::chrono::milliseconds{10});
        }
    }
    // Nobody makes a set while it is held. Never waits. Errors: in_use, of storage.
    [[nodiscard]] result<lock> hold_alone() noexcept {
        return about(root_->acquire_lock(repository_file_name, lock_how::exclusive));
    }

    struct entry {
        file_name name{};
        bool has_manifest{};
    };
    // What stands in sets/, oldest name first. Errors: of storage, out_of_memory.
    [[nodiscard]] result<array_list<entry>> list() noexcept {
        auto found = array_list<entry>{};
        auto names = array_list<directory_entry>{};
        auto files = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(sets_->list(names));
        for (auto const& one : names) {
            if (one.kind != entry_kind::directory) continue;
            BOOST_OUTCOME_TRY(auto set, sets_->open_dir(one.name, directory_how::must_exist));
            BOOST_OUTCOME_TRY(set.list(files));
            auto made = entry{.name = one.name};
            for (auto const& file : files)
                if (file.name == manifest_file_name) made.has_manifest = true;
            if (!found.push_back(made)) return error{.code = errc::out_of_memory};
        }
        std::sort(found.begin(), found.end(), [](entry const& a, entry const& b) {
            return a.name < b.name;
        });
        return found;
    }
    [[nodiscard]] result<directory> open_set(file_name const& name) noexcept {
        return sets_->open_dir(name, directory_how::must_exist);
    }
    // Of what lies in it: set_proof.hpp. Errors: not_found, of storage.
    [[nodiscard]] result<directory> open_proofs(directory_how how) noexcept {
        BOOST_OUTCOME_TRY(auto made, root_->open_dir(proofs_directory_name, how));
        if (how == directory_how::create_if_missing) {
            BOOST_OUTCOME_TRY(root_->sync());
        }
        return made;
    }
    // The hash of the manifest of a set that lies here, whatever its directory is called: no other
    // manifest has that hash, so none is parsed. Manifests that cannot be read are passed over.
    // Errors: base_not_here; of storage, out_of_memory.
    [[nodiscard]] result<sha256_digest> find_set(uuid const& set, std::uint64_t hash) noexcept {
        BOOST_OUTCOME_TRY(auto const entries, list());
        auto const hex = hex_of(set);
        for (auto const by_name : {true, false}) { // names are hints
            for (auto const& one : entries) {
                auto const called = one.name.view().ends_with({hex.data(), hex.size()});
                if (!one.has_manifest || called != by_name) continue;
                BOOST_OUTCOME_TRY(auto where, open_set(one.name));
                auto const content = read_file<Env>(where, manifest_file_name, manifest_bytes_max);
                if (!content) continue;
                auto const json = unseal_text(as_text(content.assume_value().all()));
                if (!json) continue;
                BOOST_OUTCOME_TRY(auto const found, sha256::of(as_bytes(json.assume_value())));
                if (short_of(found) == hash) return found;
            }
        }
        return error{.code = errc::base_not_here, .file = file_kind::repository};
    }
    // A directory for a new set, its entry durable.
    [[nodiscard]] result<directory> make_set(file_name const& name) noexcept {
        BOOST_OUTCOME_TRY(auto made, sets_->open_dir(name, directory_how::create_if_missing));
        BOOST_OUTCOME_TRY(sets_->sync());
        return made;
    }
    // Best effort: what stays is a directory without a manifest, which is no set.
    void remove_set(file_name const& name) noexcept {
        if (sets_->remove(name)) (void)sets_->sync();
    }
    // One that was never published. Errors: already_exists (it was); of storage. That there is none
    // is no error.
    [[nodiscard]] result<void> remove_unpublished(file_name const& name) noexcept {
        auto opened = open_set(name);
        if (!opened && opened.error().code == errc::not_found) return ok();
        BOOST_OUTCOME_TRY(auto set, std::move(opened));
        auto files = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(set.list(files));
        for (auto const& one : files)
            if (one.name == manifest_file_name) return error{.code = errc::already_exists};
        for (auto const& one : files) {
            if (one.kind != entry_kind::file) continue;
            BOOST_OUTCOME_TRY(set.remove(one.name));
        }
        BOOST_OUTCOME_TRY(sets_->remove(name));
        return sets_->sync();
    }
    // A published set ceases to be one: its manifest goes first, durably, then what it named. What
    // a crash leaves of it is no set. Errors: of storage.
    [[nodiscard]] result<void> withdraw_set(file_name const& name) noexcept {
        BOOST_OUTCOME_TRY(auto set, open_set(name));
        auto const gone = set.remove(manifest_file_name);
        if (!gone && gone.error().code != errc::not_found) return gone.error();
        BOOST_OUTCOME_TRY(set.sync());
        auto files = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(set.list(files));
        for (auto const& one : files) {
            if (one.kind != entry_kind::file) continue;
            BOOST_OUTCOME_TRY(set.remove(one.name));
        }
        BOOST_OUTCOME_TRY(sets_->remove(name));
        return sets_->sync();
    }

private:
    repository() noexcept = default;

    [[nodiscard]] static result<lock> about(result<lock>&& taken) noexcept {
        if (!taken) return taken.error().with_file(file_kind::repository);
        return std::move(taken);
    }

    [[nodiscard]] static result<repository> open(
        Env env, path_view path, directory_how how
    ) noexcept {
        auto const here = [](error const& e) { return e.with_file(file_kind::repository); };
        auto made = repository{};
        auto opened = env.storage.open_dir(path, how);
        if (!opened) return opened.error().with_file(file_kind::directory);
        made.root_.emplace(std::move(opened).assume_value());
        auto known = made.check_file();
        if (!known && known.error().code == errc::not_found &&
            how == directory_how::create_if_missing)
            known = made.create_file(env);
        if (!known) return here(known.error());
        auto sets = made.root_->open_dir(sets_directory_name, how);
        if (!sets) return here(sets.error());
        made.sets_.emplace(std::move(sets).assume_value());
        if (how == directory_how::create_if_missing) {
            if (auto done = made.root_->sync(); !done) return here(done.error());
        }
        return made;
    }

    [[nodiscard]] result<void> check_file() noexcept {
        BOOST_OUTCOME_TRY(
            auto const content, read_file<Env>(*root_, repository_file_name, manifest_bytes_max)
        );
        BOOST_OUTCOME_TRY(auto const json, unseal_text(as_text(content.all())));
        if (!json.starts_with(R"({"format":"jetpp-repo",)"))
            return error{.code = errc::set_damaged};
        return ok();
    }
    [[nodiscard]] result<void> create_file(Env env) noexcept {
        auto names = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(root_->list(names));
        for (auto const& one : names)
            if (one.name.view() == "jet.lock" || one.name.view() == "jet.ckp")
                return error{.code = errc::invalid_argument};
        auto const sealed = guarded([&]() -> result<std::string> {
            auto json = json_text{};
            auto const id = make_uuid(env.runtime.random(), env.runtime.random());
            json.open_object().key("format").text("jetpp-repo").key("version").small(1);
            json.key("repository").text(text_of(id));
            json.key("created").text(utc_text::seconds(env.runtime.wall()).view());
            json.close_object();
            return seal_text(json.take());
        });
        if (!sealed) return sealed.error();
        auto put = publish_file(env, *root_, repository_file_name, as_bytes(sealed.assume_value()));
        if (!put && put.error().code != errc::already_exists) return put;
        return check_file(); // somebody else may have been faster
    }

    std::optional<directory> root_;
    std::optional<directory> sets_;
};

// Adds one set to a repository. Holds its sets from create() until the set is published or given up.
template <any_environment Env>
class directory_sink {
public:
    // Lifetime: the repository outlives the sink.
    // Errors: out_of_memory; in_use (see hold_sets), of storage.
    [[nodiscard]] static result<directory_sink> create(Env env, repository<Env>& into) noexcept {
        BOOST_OUTCOME_TRY(auto part, appended_file<Env>::create(env));
        auto made = directory_sink{env, into, std::move(part)};
        BOOST_OUTCOME_TRY(made.hold());
        return made;
    }

    [[nodiscard]] backup_receipt receipt() const noexcept { return backup_receipt::durable; }
    [[nodiscard]] result<void> begin(set_name const& name) noexcept {
        name_ = set_directory_name(name);
        BOOST_OUTCOME_TRY(hold());
        BOOST_OUTCOME_TRY(auto set, into_->make_set(name_));
        set_.emplace(std::move(set));
        return ok();
    }
    [[nodiscard]] result<void> open_part(std::string_view name) noexcept {
        BOOST_OUTCOME_TRY(auto const file, file_name::make(name));
        BOOST_OUTCOME_TRY(part_.open(*set_, file));
        if (!made_.push_back(file)) return error{.code = errc::out_of_memory};
        return ok();
    }
    [[nodiscard]] result<void> write(const_bytes content) noexcept { return part_.append(content); }
    [[nodiscard]] result<void> close_part() noexcept { return part_.close(); }
    [[nodiscard]] result<backup_receipt> finish(const_bytes manifest) noexcept {
        BOOST_OUTCOME_TRY(set_->sync()); // the names of the parts
        BOOST_OUTCOME_TRY(publish_file(env_, *set_, manifest_file_name, manifest));
        set_.reset(); // it is published: nothing that comes to an end here takes it away
        made_.clear();
        held_.reset();
        return receipt();
    }
    void abandon() noexcept {
        part_.drop();
        // A manifest never stands without its parts: where it may stand, they do.
        if (set_ && unpublish_file(*set_, manifest_file_name)) {
            for (auto const& name : made_) (void)set_->remove(name);
            set_.reset();
            into_->remove_set(name_);
        }
        made_.clear();
        set_.reset();
        held_.reset();
    }

    // Files stay, with all that was given to them, as far as storage lets it.
    void interrupt() noexcept {
        if (part_.is_open() && !part_.close()) part_.drop();
        made_.clear();
        set_.reset();
        held_.reset();
    }
    // Errors: cannot_resume, already_exists; in_use, of storage, out_of_memory.
    [[nodiscard]] result<void> resume(set_name const& name) noexcept {
        name_ = set_directory_name(name);
        BOOST_OUTCOME_TRY(hold());
        auto opened = into_->open_set(name_);
        if (!opened && opened.error().code == errc::not_found)
            return error{.code = errc::cannot_resume, .file = file_kind::repository};
        BOOST_OUTCOME_TRY(auto set, std::move(opened));
        auto files = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(set.list(files));
        for (auto const& one : files)
            if (one.name == manifest_file_name)
                return error{.code = errc::already_exists, .file = file_kind::manifest};
        set_.emplace(std::move(set));
        return ok();
    }
    [[nodiscard]] result<file_input<Env>> read_part(std::string_view name) noexcept {
        BOOST_OUTCOME_TRY(auto const file, file_name::make(name));
        return file_input<Env>::open(*set_, file);
    }
    // A process that was killed may have written the part and no more: what its last block was
    // filled up with is still there, and nothing is synced.
    [[nodiscard]] result<void> keep_part(std::string_view name, std::uint64_t size) noexcept {
        BOOST_OUTCOME_TRY(auto const file, file_name::make(name));
        BOOST_OUTCOME_TRY(auto part, set_->open(file, {.mode = open_mode::read_write}));
        BOOST_OUTCOME_TRY(part.truncate(size));
        BOOST_OUTCOME_TRY(part.sync(sync_how::full));
        if (!made_.push_back(file)) return error{.code = errc::out_of_memory};
        return part.close();
    }
    [[nodiscard]] result<void> reopen_part(std::string_view name, std::uint64_t size) noexcept {
        BOOST_OUTCOME_TRY(auto const file, file_name::make(name));
        if (!made_.push_back(file)) return error{.code = errc::out_of_memory};
        return part_.reopen(*set_, file, size);
    }
    [[nodiscard]] result<void> remove_others() noexcept {
        auto files = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(set_->list(files));
        for (auto const& one : files) {
            auto const kept = std::find(made_.begin(), made_.end(), one.name) != made_.end();
            if (kept || one.kind != entry_kind::file) continue;
            BOOST_OUTCOME_TRY(set_->remove(one.name));
        }
        return set_->sync();
    }

    // The set as it lies there, to be read back before finish(). Requires: begin(), no open part.
    [[nodiscard]] result<typename Env::directory> reopen() noexcept {
        return into_->open_set(name_);
    }
    [[nodiscard]] repository<Env>& into() noexcept { return *into_; }
    // Of the set, in sets/ of the repository.
    [[nodiscard]] file_name const& name() const noexcept { return name_; }

private:
    directory_sink(Env env, repository<Env>& into, appended_file<Env> part) noexcept
        : env_{env}, into_{&into}, part_{std::move(part)} {}

    [[nodiscard]] result<void> hold() noexcept {
        if (held_) return ok();
        BOOST_OUTCOME_TRY(auto held, into_->hold_sets(env_));
        held_.emplace(std::move(held));
        return ok();
    }

    [[no_unique_address]] Env env_;
    repository<Env>* into_;
    file_name name_{};
    std::optional<typename Env::lock> held_;
    std::optional<typename Env::directory> set_;
    appended_file<Env> part_;
    array_list<file_name> made_;
};

} // namespace jetpp::inline v1
