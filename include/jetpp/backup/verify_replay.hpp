// jetpp/backup/verify_replay.hpp - the proof that a set restores: restore it, and throw it away.
//
// The very code of restore, up to the last step: plan, walk, redo, undo; then every tree is walked
// and the files are removed. The files lie in a directory of their own below `scratch`, which needs
// room for them; memory is that of a restore, whatever the size.
// Threads  one owner.
// Source   backup rule R61.
#pragma once

#include <jetpp/backup/restore_run.hpp>
#include <jetpp/backup/set_pool.hpp>
#include <jetpp/backup/verify_set.hpp>
#include <jetpp/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

// What else than a verification says (verify_options) its replay may be told.
struct prover_options {
    std::size_t buffer_bytes = std::size_t{64} << 20; // of the recovery
    // Both as in restore_options.
    std::function<result<void>(std::uint64_t)> on_read{};
    std::function<result<void>(restore_stage, std::string_view)> on_stage{};
};

// A prover for verify_repository and verify_set_at. Sets of other page sizes or checksums than
// Traits are `unsupported`: their part of the report is partial.
template <class Traits>
class replay_prover {
    using env = typename Traits::env;

public:
    // `scratch`: a directory that exists, or can be created.
    // `examine`: see restore_run::examine_with.
    replay_prover(
        env environment,
        std::string scratch,
        prover_options options = {},
        std::function<result<void>(instance<Traits>&)> examine = {}
    )
        : env_{environment}, scratch_{std::move(scratch)}, options_{std::move(options)},
          examine_{std::move(examine)} {}

    // Errors: those of restore_run, and of the scratch directory.
    [[nodiscard]] result<replayed_set> operator()(
        set_pool<env>& pool, std::size_t i, set_access const& access
    ) noexcept {
        return guarded([&]() -> result<replayed_set> {
            auto options = restore_options{};
            options.set = text_of(pool.manifest(i).set);
            options.buffer_bytes = options_.buffer_bytes;
            options.access = access;
            options.on_read = options_.on_read;
            options.on_stage = options_.on_stage;
            BOOST_OUTCOME_TRY(
                auto parent, env_.storage.open_dir(scratch_, directory_how::create_if_missing)
            );
            auto name = file_name{"jetpp-verify-"};
            name.add_hex16(env_.runtime.random());
            auto path = scratch_;
            path.append("/").append(name.view());
            auto run = restore_run<Traits>{env_, pool, options};
            run.examine_with(examine_);
            auto done = run.resolve(i);
            auto report = done ? run.restore(path, restore_ending::discard)
                               : result<restore_report>{done.error()};
            remove(parent, name);
            if (!report) return report.error();
            auto const& all = report.assume_value();
            return replayed_set{.reached = all.reached, .trees = all.trees, .rows = all.rows};
        });
    }

private:
    // Best effort: restore has removed its files, the lock is left.
    static void remove(typename env::directory& parent, file_name const& name) noexcept {
        if (auto made = parent.open_dir(name, directory_how::must_exist); made) {
            (void)made.assume_value().remove(lock_file_name);
            (void)parent.remove(name);
        }
    }

    [[no_unique_address]] env env_;
    std::string scratch_;
    prover_options options_;
    std::function<result<void>(instance<Traits>&)> examine_;
};

} // namespace jetpp::inline v1
