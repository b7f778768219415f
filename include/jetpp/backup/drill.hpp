// jetpp/backup/drill.hpp - a set is restored before it is published.
//
//     pipeline --> drill_sink --> the sink           all parts are closed:
//                      |                                read back, every byte proved
//                      +--> shadow, if the sink         restored, redo and undo, trees walked,
//                           cannot be read              compared with the running instance page by
//                                                       page (compare_pages.hpp), thrown away
//                                                    only then: manifest, with the proof in it
//
// The code is that of verify, which is that of restore. What a repository holds is read back from
// there, so that the proof is of the very bytes that restore will read; of a sink that cannot be
// read (a stream, a tee, memory), a shadow is kept meanwhile, and what happens behind the drill is
// for the reader at the other end to find, by hashes. A byte that changed on its way, a page that
// no record fits, a tree that does not hold: the backup fails, and there is no set.
// An incremental, differential or delta needs its base: of the sink's own repository, or from where
// drill_options says.
// Invariants
//   * nothing of a drill stays, whatever its end; a crash may leave `jetpp-drill-*` and
//     `jetpp-verify-*` below the scratch directory, which are nothing's property
// Cost     the set is read once and written once more, below scratch; the log is held meanwhile.
// Threads  those of the sink.
// Owns     the shadow. The sink outlives it.
// Source   backup rules R61, R62.
#pragma once

#include <jetpp/backup/compare_pages.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/run_backup.hpp>
#include <jetpp/backup/set_pool.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/backup/verify_replay.hpp>
#include <jetpp/backup/verify_set.hpp>
#include <jetpp/core/result.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

struct drill_options {
    std::string scratch{}; // a directory that exists, or can be created; as large as the databases
    std::size_t buffer_bytes = std::size_t{64} << 20; // of the recovery
    // Repositories and sets, to be found there as a restore would find them: what the set stands on.
    std::vector<std::string> bases{};
};

// A sink whose set can be read before it is published.
template <class S, class Env>
concept readable_sink = backup_sink<S> && requires(S& sink) {
    { sink.reopen() } -> std::same_as<result<typename Env::directory>>;
    { sink.into() } -> std::same_as<repository<Env>&>;
};

// What a drill of the pool's member `set` reads: all of the set, and then what its restore takes.
// Throws: std::bad_alloc.
template <any_environment Env>
[[nodiscard]] std::uint64_t bytes_to_prove(set_pool<Env> const& pool, std::size_t set) {
    auto const bytes_of = [&](std::size_t i, auto&& counts) {
        auto sum = std::uint64_t{0};
        for (auto const& part : pool.manifest(i).parts)
            if (counts(part)) sum += part.summary.bytes;
        return sum;
    };
    auto sum = bytes_of(set, [](auto const&) { return true; });
    auto trouble = plan_trouble{};
    auto const plan = plan_restore(pool.planned(), set, pool.manifest(set).end_lsn, trouble);
    if (!plan) return sum; // the restore will say so
    for (auto const i : plan.assume_value().pages)
        sum += bytes_of(i, [](auto const& part) { return part.content != part_content::log; });
    for (auto const& slice : plan.assume_value().log)
        sum += bytes_of(slice.set, [&](auto const& part) {
            return part.content == part_content::log && part.summary.first < slice.to.value &&
                   slice.from.value < part.summary.end;
        });
    return sum;
}

// The set under `sink`, with the published ones of its repository, as verify would take it.
// Errors: set_damaged, set_mixed (part, frame), page_damaged, log_damaged, log_gap, those of
// recovery: it does not restore; structure_damaged (page, LSN): what it restores is not what the
// running instance says at the same LSN; base_not_here; unsupported (Traits are not those of the set);
// of the scratch directory; what on_read returned.
template <class Traits, readable_sink<typename Traits::env> Sink>
[[nodiscard]] result<drill_proof> prove_unpublished(
    typename Traits::env env,
    Sink& sink,
    backup_manifest const& manifest,
    set_access const& access,
    drill_watch const& on_read,
    drill_options const& options,
    instance<Traits>* running = nullptr
) noexcept {
    using env_type = typename Traits::env;
    return guarded([&]() -> result<drill_proof> {
        auto read = read_manifest{manifest, {}};
        BOOST_OUTCOME_TRY(read.hash, sha256::of(as_bytes(manifest.to_json())));
        auto pool = set_pool<env_type>{};
        BOOST_OUTCOME_TRY(auto directory, sink.reopen());
        pool.add_unpublished(text_of(manifest.set), std::move(directory), std::move(read));
        if (!manifest.bases.empty()) {
            BOOST_OUTCOME_TRY(pool.add_all(sink.into(), ""));
            for (auto const& path : options.bases) {
                BOOST_OUTCOME_TRY(pool.add_source(env, path));
            }
        }
        auto report = verify_report{};
        auto& one = pool[0];
        auto const in_all = bytes_to_prove(pool, 0);
        auto const watch = [&](std::uint64_t n) -> result<void> {
            return on_read ? on_read(n, in_all) : result<void>{ok()};
        };
        BOOST_OUTCOME_TRY(
            auto const sound,
            verify_files_of<env_type>(
                one.directory, one.name, manifest, report, {.access = access, .on_read = watch}
            )
        );
        if (!report.findings.empty()) return report.findings.front().why;
        if (!sound) return error{.code = errc::unsupported, .file = file_kind::manifest};
        auto compared = std::uint64_t{0};
        auto const examine = [&](instance<Traits>& copy) -> result<void> {
            if (running == nullptr) return ok();
            BOOST_OUTCOME_TRY(compared, compare_pages(copy, *running));
            return ok();
        };
        auto prover = replay_prover<Traits>{
            env, options.scratch, {.buffer_bytes = options.buffer_bytes, .on_read = watch}, examine
        };
        BOOST_OUTCOME_TRY(auto const replayed, prover(pool, 0, access));
        if (replayed.reached != manifest.end_lsn)
            return error{
                .code = errc::log_gap, .file = file_kind::log_segment, .at = replayed.reached
            };
        return drill_proof{
            .time = {env.runtime.wall().ns / 1'000'000'000 * 1'000'000'000},
            .reached = replayed.reached,
            .pages = report.pages,
            .records = report.records,
            .trees = replayed.trees,
            .rows = replayed.rows,
            .compared = compared,
        };
    });
}

template <class Traits, backup_sink Sink>
class drill_sink {
    using env = typename Traits::env;
    static constexpr bool reads_back = readable_sink<Sink, env>;

public:
    // `running`: the instance that is backed up, for comparison; it outlives the sink.
    drill_sink(
        env environment, Sink& to, drill_options options, instance<Traits>* running = nullptr
    )
        : env_{environment}, to_{&to}, options_{std::move(options)}, running_{running} {}
    drill_sink(drill_sink const&) = delete;
    drill_sink& operator=(drill_sink const&) = delete;
    ~drill_sink() { drop_shadow(); }

    [[nodiscard]] backup_receipt receipt() { return to_->receipt(); }
    [[nodiscard]] result<void> begin(set_name const& name) {
        if constexpr (!reads_back) {
            auto const has_base = !has_pages(name.kind) || name.kind == backup_kind::pages;
            if (has_base && options_.bases.empty()) // it would prove nothing
                return error{.code = errc::unsupported};
            BOOST_OUTCOME_TRY(make_shadow());
            BOOST_OUTCOME_TRY(shadow_->sink.begin(name));
        }
        return to_->begin(name);
    }
    [[nodiscard]] result<void> open_part(std::string_view name) {
        if (shadow_ != nullptr) {
            BOOST_OUTCOME_TRY(shadow_->sink.open_part(name));
        }
        return to_->open_part(name);
    }
    [[nodiscard]] result<void> write(const_bytes content) {
        if (shadow_ != nullptr) {
            BOOST_OUTCOME_TRY(shadow_->sink.write(content));
        }
        return to_->write(content);
    }
    [[nodiscard]] result<void> close_part() {
        if (shadow_ != nullptr) {
            BOOST_OUTCOME_TRY(shadow_->sink.close_part());
        }
        return to_->close_part();
    }
    // Errors: see prove_unpublished.
    [[nodiscard]] result<drill_proof> prove(
        backup_manifest const& manifest, set_access const& access, drill_watch const& on_read
    ) {
        if constexpr (reads_back) {
            return prove_unpublished<Traits>(
                env_, *to_, manifest, access, on_read, options_, running_
            );
        } else {
            return prove_unpublished<Traits>(
                env_, shadow_->sink, manifest, access, on_read, options_, running_
            );
        }
    }
    [[nodiscard]] result<backup_receipt> finish(const_bytes manifest) {
        drop_shadow();
        return to_->finish(manifest);
    }
    void abandon() {
        drop_shadow();
        to_->abandon();
    }

private:
    struct shadow {
        std::unique_ptr<repository<env>> sets;
        directory_sink<env> sink;
    };

    [[nodiscard]] result<void> make_shadow() {
        BOOST_OUTCOME_TRY(
            parent_, env_.storage.open_dir(options_.scratch, directory_how::create_if_missing)
        );
        name_ = file_name{"jetpp-drill-"};
        name_.add_hex16(env_.runtime.random());
        auto path = options_.scratch;
        path.append("/").append(name_.view());
        BOOST_OUTCOME_TRY(auto sets, repository<env>::open_or_create(env_, path));
        auto kept = std::make_unique<repository<env>>(std::move(sets));
        BOOST_OUTCOME_TRY(auto sink, directory_sink<env>::create(env_, *kept));
        shadow_ = std::make_unique<shadow>(shadow{std::move(kept), std::move(sink)});
        return ok();
    }
    // Best effort.
    void drop_shadow() noexcept {
        if (shadow_ != nullptr) shadow_->sink.abandon();
        shadow_.reset();
        if (!parent_) return;
        if (auto made = parent_->open_dir(name_, directory_how::must_exist); made) {
            (void)made.assume_value().remove(sets_directory_name);
            (void)made.assume_value().remove(repository_file_name);
            (void)parent_->remove(name_);
        }
        parent_.reset();
    }

    [[no_unique_address]] env env_;
    Sink* to_;
    drill_options options_;
    instance<Traits>* running_;
    std::optional<typename env::directory> parent_; // of the shadow
    file_name name_{};
    std::unique_ptr<shadow> shadow_;
};

// run_backup_to, with a drill: a set that would not restore is none.
// Errors: those of run_backup_to and of prove_unpublished.
template <class Engine>
    requires requires(Engine& db) { db.core().store; }
[[nodiscard]] result<backup_report> run_drilled_backup_to(
    Engine& db,
    path_view repository_path,
    drill_options const& drill,
    backup_options const& options = {}
) noexcept {
    auto& store = db.core().store;
    using env = typename std::remove_reference_t<decltype(store)>::env;
    return guarded([&] {
        return detail::back_up_to(
            store,
            repository_path,
            with_events_of(db, options),
            [&](directory_sink<env>& sink, backup_options const& all) {
                auto drilled = drill_sink<typename Engine::traits, directory_sink<env>>{
                    store.environment(), sink, drill, &store
                };
                return run_in_place(store, drilled, all);
            }
        );
    });
}

} // namespace jetpp::inline v1
