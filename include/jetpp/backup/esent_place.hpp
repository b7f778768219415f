// jetpp/backup/esent_place.hpp - an instance that is not initialised: what JetRestore restores to.
//
// Every other call finds it not initialised. While a restore runs it is restoring, and the engine
// that the program opens there afterwards is registered as any other (esent_port.hpp).
// Threads  as esent_port.
// Source   backup rules R68, R70; ESE's JetRestore and JetExternalRestore.
#pragma once

#include <jetpp/backup/esent_port.hpp>
#include <jetpp/backup/restore_set.hpp>
#include <jetpp/recovery/entry_gate.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

template <class Engine>
class esent_place final : public esent_port {
    using traits = typename Engine::traits;
    using env = typename traits::env;

public:
    explicit esent_place(std::string directory, env environment = {})
        : env_{environment}, directory_{std::move(directory)},
          number_{esent_registry::get().add(*this)} {}
    ~esent_place() override { esent_registry::get().remove(*this); }

    [[nodiscard]] std::uintptr_t number() const noexcept { return number_; }

    result<void> pass_gate(bool begins_backup) noexcept override {
        auto const why = refusal_at_gate(
            {.service_stopped = service_.is_stopped(), .phase = service_.phase()}, begins_backup
        );
        if (why != errc::none) return error{.code = why};
        return ok();
    }
    result<void> begin(backup_kind) noexcept override { return refused(); }
    result<std::vector<external_database>> databases() noexcept override { return refused(); }
    result<external_handle> open(std::string_view) noexcept override { return refused(); }
    result<std::size_t> read(external_handle const&, bytes) noexcept override { return refused(); }
    result<void> close(external_handle const&) noexcept override { return refused(); }
    result<std::vector<external_segment>> logs() noexcept override { return refused(); }
    result<std::vector<external_segment>> truncatable() noexcept override { return refused(); }
    result<void> truncate() noexcept override { return refused(); }
    result<external_report> end(external_end, bool) noexcept override { return refused(); }
    void stop_backup() noexcept override {}
    void stop_service(bool resume) noexcept override {
        if (resume)
            service_.resume();
        else
            service_.stop();
    }
    result<void> freeze(std::chrono::nanoseconds) noexcept override { return refused(); }
    result<void> thaw() noexcept override { return refused(); }
    result<void> back_up(path_view, bool, bool, progress const&) noexcept override {
        return refused();
    }
    result<void> restore(
        path_view from, std::optional<path_view> to, progress const& on_progress
    ) noexcept override {
        return while_restoring([&]() -> result<void> {
            auto sum = std::uint64_t{0};
            auto options = restore_options{};
            options.buffer_bytes = std::size_t{16} << 20;
            options.on_read = [&](std::uint64_t n) { return on_progress(sum += n, 0); };
            BOOST_OUTCOME_TRY(
                run_restore<traits>(env_, from, to.value_or(path_view{directory_}), {}, options)
            );
            return ok();
        });
    }
    result<void> restore_external(
        path_view where, external_files const& which, progress const& on_progress
    ) noexcept override {
        return while_restoring([&]() -> result<void> {
            auto sum = std::uint64_t{0};
            auto options = external_restore_options{
                .databases = which.databases,
                .log_lies_in = which.log_lies_in,
                .generation_low = which.generation_low,
                .generation_high = which.generation_high,
            };
            options.on_read = [&](std::uint64_t n) { return on_progress(sum += n, 0); };
            BOOST_OUTCOME_TRY(external_restore<traits>(env_, where, options));
            return ok();
        });
    }
    result<void> truncate_only() noexcept override { return refused(); }
    [[nodiscard]] bool has_directory(path_view path) noexcept override {
        return env_.storage.open_dir(path, directory_how::must_exist).has_value();
    }
    [[nodiscard]] bool is_initialised() const noexcept override { return false; }
    [[nodiscard]] std::size_t page_size() const noexcept override { return traits::page_size; }

private:
    [[nodiscard]] error refused() noexcept {
        auto const gate = pass_gate(false);
        return gate ? error{.code = errc::not_initialised} : gate.error();
    }
    template <class Work>
    [[nodiscard]] result<void> while_restoring(Work&& work) noexcept {
        if (service_.phase() == instance_phase::restoring) return error{.code = errc::restoring};
        service_.enter(instance_phase::restoring);
        auto done = guarded([&] { return work(); });
        service_.enter(instance_phase::not_initialised);
        return done;
    }

    [[no_unique_address]] env env_;
    std::string directory_;
    std::uintptr_t number_;
    instance_service service_;
};

} // namespace jetpp::inline v1
