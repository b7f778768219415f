// jetpp/backup/esent_port.hpp - what the functions of esent.hpp ask of an engine, whatever its type.
//
// An engine is registered; the functions find it by its number, or, where they take none, as the only
// one there is. The registration holds the one external session that the documented interface knows,
// and its one file handle.
// Threads  registering and its end: the owner, while nobody calls; the rest: any.
// Owns     the session. The engine outlives its registration.
// Source   backup rules R64, R70; ESE's single and multiple instance modes.
#pragma once

#include <jetpp/backup/backup_job.hpp>
#include <jetpp/backup/external_backup.hpp>
#include <jetpp/backup/external_restore.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/retire_sets.hpp>
#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/native_environment.hpp>
#include <jetpp/env/sync.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

class esent_port {
public:
    // Bytes done and in all; an error ends the work.
    using progress = std::function<result<void>(std::uint64_t, std::uint64_t)>;

    esent_port() noexcept = default;
    esent_port(esent_port const&) = delete;
    esent_port& operator=(esent_port const&) = delete;
    virtual ~esent_port() = default;

    virtual result<void> pass_gate(bool begins_backup) noexcept = 0;
    virtual result<void> begin(backup_kind kind) noexcept = 0;
    virtual result<std::vector<external_database>> databases() noexcept = 0;
    virtual result<external_handle> open(std::string_view name) noexcept = 0;
    virtual result<std::size_t> read(external_handle const& from, bytes into) noexcept = 0;
    virtual result<void> close(external_handle const& which) noexcept = 0;
    virtual result<std::vector<external_segment>> logs() noexcept = 0;
    virtual result<std::vector<external_segment>> truncatable() noexcept = 0;
    virtual result<void> truncate() noexcept = 0;
    virtual result<external_report> end(external_end how, bool truncated_elsewhere) noexcept = 0;
    virtual void stop_backup() noexcept = 0;
    virtual void stop_service(bool resume) noexcept = 0;
    virtual result<void> freeze(std::chrono::nanoseconds limit) noexcept = 0;
    virtual result<void> thaw() noexcept = 0;
    // Into the repository at `path`; `keeps`: sets of earlier calls may be there, and go once a
    // full one is published.
    virtual result<void> back_up(
        path_view path, bool incremental, bool keeps, progress const& on_progress
    ) noexcept = 0;
    // From a repository into the directory of the instance, or another one.
    virtual result<void> restore(
        path_view from, std::optional<path_view> to, progress const& on_progress
    ) noexcept = 0;
    // Copies of a session, and its log, where they lie.
    struct external_files {
        std::vector<mapped_database> databases; // empty: all
        std::uint64_t generation_low = 0;       // 0: what is there
        std::uint64_t generation_high = 0;
        std::string log_lies_in{}; // empty: where the rest is
    };
    virtual result<void> restore_external(
        path_view where, external_files const& which, progress const& on_progress
    ) noexcept = 0;
    // Gives up log that recovery and the last backups do not need.
    virtual result<void> truncate_only() noexcept = 0;
    [[nodiscard]] virtual bool has_directory(path_view path) noexcept = 0;
    [[nodiscard]] virtual bool is_initialised() const noexcept = 0;
    [[nodiscard]] virtual std::size_t page_size() const noexcept = 0;

    std::optional<external_handle> handle; // the one that is open
    bool handle_is_fresh = false;          // nothing was read of it
    bool handle_is_log = false;
};

// The engines of this process that esent.hpp may use.
class esent_registry {
public:
    static constexpr std::size_t instances_max = 64;

    [[nodiscard]] static esent_registry& get() noexcept {
        static auto all = esent_registry{};
        return all;
    }
    // Returns: its number, from 1; 0 if there is no room.
    [[nodiscard]] std::uintptr_t add(esent_port& one) noexcept {
        auto const held = holding{lock_};
        for (std::size_t i = 0; i < ports_.size(); ++i) {
            if (ports_[i] != nullptr) continue;
            ports_[i] = &one;
            return i + 1;
        }
        return 0;
    }
    void remove(esent_port const& one) noexcept {
        auto const held = holding{lock_};
        for (auto& known : ports_)
            if (known == &one) known = nullptr;
    }
    // Null: nobody has that number.
    [[nodiscard]] esent_port* find(std::uintptr_t number) noexcept {
        auto const held = holding{lock_};
        return number == 0 || number > ports_.size() ? nullptr : ports_[number - 1];
    }
    // The only one. Null and the count: there are none, or several.
    [[nodiscard]] std::pair<esent_port*, std::size_t> only() noexcept {
        auto const held = holding{lock_};
        auto found = std::pair<esent_port*, std::size_t>{};
        for (auto* const known : ports_) {
            if (known == nullptr) continue;
            found = {found.second == 0 ? known : nullptr, found.second + 1};
        }
        return found;
    }

private:
    esent_registry() noexcept = default;

    basic_mutex<native_runtime> lock_;
    std::array<esent_port*, instances_max> ports_{};
};

// Sets that the functions make carry this tag.
inline constexpr std::string_view esent_tag = "jet";

template <class Engine>
class esent_instance final : public esent_port {
    using traits = typename Engine::traits;
    using env = typename traits::env;

public:
    explicit esent_instance(Engine& db) noexcept
        : db_{&db}, session_{db.core().store}, number_{esent_registry::get().add(*this)} {}
    ~esent_instance() override { esent_registry::get().remove(*this); }

    // As JET_INSTANCE. 0: the process has too many.
    [[nodiscard]] std::uintptr_t number() const noexcept { return number_; }

    result<void> pass_gate(bool begins_backup) noexcept override {
        return db_->core().store.pass_gate(begins_backup);
    }
    result<void> begin(backup_kind kind) noexcept override { return session_.begin(kind); }
    result<std::vector<external_database>> databases() noexcept override {
        return session_.list_databases();
    }
    result<external_handle> open(std::string_view name) noexcept override {
        return session_.open(name);
    }
    result<std::size_t> read(external_handle const& from, bytes into) noexcept override {
        return session_.read(from, into);
    }
    result<void> close(external_handle const& which) noexcept override {
        return session_.close(which);
    }
    result<std::vector<external_segment>> logs() noexcept override { return session_.list_logs(); }
    result<std::vector<external_segment>> truncatable() noexcept override {
        return session_.list_truncatable();
    }
    result<void> truncate() noexcept override { return session_.truncate(); }
    // Whether log was truncated decides what the session was: a full or a copy, an incremental or a
    // differential.
    result<external_report> end(external_end how, bool truncated_elsewhere) noexcept override {
        auto const now = session_.now();
        auto const truncates = now.truncating || truncated_elsewhere;
        auto const kind = now.incremental
                              ? (truncates ? backup_kind::incremental : backup_kind::differential)
                              : (truncates ? backup_kind::full : backup_kind::copy);
        return session_.end(how, kind);
    }
    void stop_backup() noexcept override { session_.stop(); }
    void stop_service(bool resume) noexcept override {
        if (resume)
            db_->resume_service();
        else
            db_->stop_service();
    }
    result<void> freeze(std::chrono::nanoseconds limit) noexcept override {
        return db_->freeze({.limit = limit});
    }
    result<void> thaw() noexcept override { return db_->thaw(); }
    result<void> restore(path_view, std::optional<path_view>, progress const&) noexcept override {
        return error{.code = errc::misuse}; // is_initialised() was asked first
    }
    result<void> restore_external(path_view, external_files const&, progress const&) noexcept
        override {
        return error{.code = errc::misuse};
    }
    result<void> truncate_only() noexcept override {
        BOOST_OUTCOME_TRY(db_->core().store.truncate_log());
        return ok();
    }
    [[nodiscard]] bool has_directory(path_view path) noexcept override {
        auto const& storage = db_->core().store.environment().storage;
        return storage.open_dir(path, directory_how::must_exist).has_value();
    }
    [[nodiscard]] bool is_initialised() const noexcept override { return true; }
    [[nodiscard]] std::size_t page_size() const noexcept override { return traits::page_size; }

    result<void> back_up(
        path_view path, bool incremental, bool keeps, progress const& on_progress
    ) noexcept override {
        return guarded([&]() -> result<void> {
            auto& store = db_->core().store;
            BOOST_OUTCOME_TRY(
                auto sets, repository<env>::open_or_create(store.environment(), path)
            );
            if (!incremental && !keeps) {
                BOOST_OUTCOME_TRY(auto const known, list_sets(sets));
                for (auto const& one : known)
                    if (one.manifest.tag == esent_tag)
                        return error{.code = errc::would_overwrite, .file = file_kind::repository};
            }
            auto options = backup_options{};
            options.kind = incremental ? backup_kind::incremental : backup_kind::full;
            options.tag = esent_tag;
            options.truncate = true; // as documented: log that the set holds may go
            options.on_progress = [&](backup_progress const& now) {
                return on_progress(now.bytes_done, now.bytes_total);
            };
            options.find_base = [&](uuid const& set, std::uint64_t hash) {
                return sets.find_set(set, hash);
            };
            BOOST_OUTCOME_TRY(auto sink, directory_sink<env>::create(store.environment(), sets));
            BOOST_OUTCOME_TRY(auto const report, run_in_place(store, sink, options));
            if (report.stamp_problem) return *report.stamp_problem;
            if (incremental || !keeps) return ok();
            // The set stands, whatever comes of the older ones. Where somebody makes a set, they stay
            // until the next call.
            auto const retired = retire_sets(sets, report.set, esent_tag);
            if (!retired && retired.error().code != errc::in_use) return retired.error();
            return ok();
        });
    }

private:
    Engine* db_;
    external_backup<traits> session_;
    std::uintptr_t number_;
};

} // namespace jetpp::inline v1
