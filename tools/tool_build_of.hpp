// tools/tool_build_of.hpp - the engine of one page size and checksum behind tool_build.hpp.
//
// Included by the build units alone: each instantiates one engine.
#pragma once

#include <jetpp/backup.hpp>
#include <jetpp/backup/drill.hpp>
#include <jetpp/backup/stream_sink.hpp>
#include <jetpp/engine/engine.hpp>
#include <jetpp/env/descriptor.hpp>
#include <jetpp/restore.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "check_database.hpp"
#include "tool_build.hpp"

namespace jetpp_tool {

template <std::size_t PageSize, class Checksum>
struct tool_policies : jetpp::default_policies {
    static constexpr std::size_t page_size = PageSize;
    using checksum = Checksum;
    using logging = jetpp::recorded_logging;
};

template <class Engine>
class tool_engine_of final : public tool_engine {
public:
    explicit tool_engine_of(Engine&& opened) : engine_{std::in_place, std::move(opened)} {}

    jetpp::result<void> use(tree_name const& name, bool create) override {
        BOOST_OUTCOME_TRY(engine_->attach(
            name.database,
            create ? jetpp::attach_how::create_if_missing : jetpp::attach_how::must_exist
        ));
        BOOST_OUTCOME_TRY(
            tree_,
            engine_->open_tree(
                name.database,
                name.tree,
                create ? jetpp::open_how_tree::create_if_missing : jetpp::open_how_tree::must_exist
            )
        );
        return jetpp::ok();
    }

    jetpp::result<void> put(std::string_view key, std::string_view value) override {
        BOOST_OUTCOME_TRY(begin());
        return transaction_->put(tree_, key, value);
    }
    jetpp::result<bool> erase(std::string_view key) override {
        BOOST_OUTCOME_TRY(begin());
        return transaction_->erase(tree_, key);
    }
    jetpp::result<void> commit(jetpp::durability how) override {
        if (!transaction_) return jetpp::ok();
        auto done = std::move(*transaction_).commit(how);
        transaction_.reset();
        if (!done) return done.error();
        return jetpp::ok();
    }
    void roll_back() noexcept override {
        if (transaction_) std::move(*transaction_).rollback();
        transaction_.reset();
    }

    jetpp::result<std::optional<std::string>> get(std::string_view key) override {
        BOOST_OUTCOME_TRY(auto const view, engine_->read());
        return view.get(tree_, key);
    }
    jetpp::result<void> scan(row_range const& wanted, visitor const& visit) override {
        BOOST_OUTCOME_TRY(auto const view, engine_->read());
        auto bounds = jetpp::range{.backward = wanted.backward};
        if (wanted.from) bounds.from = *wanted.from;
        if (wanted.to) bounds.to = *wanted.to;
        BOOST_OUTCOME_TRY(auto rows, view.scan(tree_, bounds));
        for (;;) {
            BOOST_OUTCOME_TRY(auto const more, rows.next());
            if (!more || !visit(rows.current().key, rows.current().value)) return jetpp::ok();
        }
    }
    jetpp::result<jetpp::backup_report> back_up(
        std::string const& repository,
        jetpp::backup_options const& options,
        std::string const& drill_below,
        std::vector<std::string> const& drill_bases
    ) override {
        auto const drill = jetpp::drill_options{.scratch = drill_below, .bases = drill_bases};
        auto& store = engine_->core().store;
        if (repository != "-") {
            if (drill_below.empty()) return jetpp::run_backup_to(*engine_, repository, options);
            return jetpp::run_drilled_backup_to(*engine_, repository, drill, options);
        }
        auto out = jetpp::descriptor::standard_output();
        auto sink = jetpp::stream_sink{out};
        if (drill_below.empty()) return jetpp::run_in_place(store, sink, options);
        auto drilled =
            jetpp::drill_sink<typename Engine::traits, decltype(sink)>{{}, sink, drill, &store};
        return jetpp::run_in_place(store, drilled, options);
    }
    jetpp::result<jetpp::truncation_report> truncate_log(jetpp::truncation_options const& options
    ) override {
        return engine_->truncate_log(options);
    }
    jetpp::result<void> abandon_backup(std::string const& repository, jetpp::uuid const& set)
        override {
        return jetpp::abandon_backup(*engine_, repository, set);
    }
    jetpp::result<void> set_backup_exempt(std::string_view database, bool exempt) override {
        return engine_->set_backup_exempt(database, exempt);
    }
    jetpp::pin_list named_pins() override { return engine_->named_pins(); }
    jetpp::result<void> release_pin(jetpp::pin_id const& id) override {
        return engine_->release_pin(id);
    }
    jetpp::result<jetpp::lsn> mark_restore_point(std::string_view label) override {
        return engine_->mark_restore_point(label);
    }
    jetpp::result<void> close() override {
        roll_back();
        auto done = std::move(*engine_).close();
        engine_.reset();
        return done;
    }

private:
    jetpp::result<void> begin() {
        if (transaction_) return jetpp::ok();
        BOOST_OUTCOME_TRY(auto begun, engine_->begin());
        transaction_.emplace(std::move(begun));
        return jetpp::ok();
    }

    std::optional<Engine> engine_;
    jetpp::tree tree_{};
    std::optional<typename Engine::transaction> transaction_; // ends before its engine
};

template <std::size_t PageSize, class Checksum>
class tool_build_of final : public tool_build {
    using engine = jetpp::engine<tool_policies<PageSize, Checksum>>;

public:
    std::size_t page_size() const noexcept override { return PageSize; }
    std::uint16_t checksum_id() const noexcept override { return Checksum::id; }

    jetpp::result<std::unique_ptr<tool_engine>> open(
        std::string const& directory, jetpp::open_options const& options
    ) const override {
        BOOST_OUTCOME_TRY(auto opened, engine::open(directory, options));
        return std::unique_ptr<tool_engine>{
            std::make_unique<tool_engine_of<engine>>(std::move(opened))
        };
    }
    jetpp::result<database_counts> check_database(
        environment::directory& where,
        database_to_check const& database,
        std::function<void(finding const&)> const& found
    ) const override {
        return database_check<PageSize, Checksum>{where, database, found}.run();
    }
    jetpp::result<jetpp::restore_report> restore(
        jetpp::set_pool<environment>& pool,
        jetpp::restore_options const& options,
        std::string const& target,
        jetpp::restore_trouble& trouble
    ) const override {
        if (options.live) {
            auto forward = jetpp::roll_forward_run<typename engine::traits>{{}, pool, options};
            auto rolled = forward.run(target);
            trouble = forward.trouble();
            return rolled;
        }
        auto run = jetpp::restore_run<typename engine::traits>{{}, pool, options};
        auto done = run.resolve();
        auto report = !done            ? jetpp::result<jetpp::restore_report>{done.error()}
                      : target.empty() ? run.prove()
                                       : jetpp::restore_into({}, run, target, options);
        trouble = run.trouble();
        return report;
    }
    jetpp::result<jetpp::replayed_set> replay(
        jetpp::set_pool<environment>& pool,
        std::size_t set,
        std::string const& scratch,
        jetpp::set_access const& access,
        jetpp::prover_options const& options
    ) const override {
        return jetpp::replay_prover<typename engine::traits>{
            {}, scratch, options
        }(pool, set, access);
    }
    bool is_sound(std::byte const* page, std::uint64_t nonce, jetpp::page_number number)
        const override {
        return jetpp::page_codec<PageSize, Checksum>::verify(page, nonce, number) ==
               jetpp::damage::none;
    }
};

template <std::size_t PageSize, class Checksum>
tool_build const& build_of() {
    static tool_build_of<PageSize, Checksum> const build;
    return build;
}

} // namespace jetpp_tool
