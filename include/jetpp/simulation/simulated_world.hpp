// jetpp/simulation/simulated_world.hpp - a machine and its tasks, all of one tape.
//
//     auto tape = choice_tape{seed};
//     auto world = simulated_world{tape};
//     world.machine().crash_at(1 + tape.pick(200));
//     world.run([&] { ... open on world.environment(), work until device_gone, close ... });
//     world.machine().thaw(draw_crash_policy(tape));
//     world.run([&] { ... open again, compare with what was acknowledged ... });
//
// A crash is no exception and no abandoned stack: the disk stops, every later call answers
// device_gone, and the program ends by its own error path. So a world runs many lives.
// Threads  one operating system thread; the newest living world of a process is the current one.
// Owns     machine and tasks; refers to the tape.
#pragma once

#include <jetpp/env/environment.hpp>
#include <jetpp/simulation/choice_tape.hpp>
#include <jetpp/simulation/simulated_machine.hpp>
#include <jetpp/simulation/simulated_runtime.hpp>
#include <jetpp/simulation/simulated_storage.hpp>
#include <jetpp/simulation/simulated_threads.hpp>

#include <cstdint>
#include <type_traits>
#include <utility>

namespace jetpp::inline v1 {

using simulated_environment = environment<simulated_storage, simulated_runtime>;
using interleaved_environment = environment<simulated_storage, interleaved_runtime>;
static_assert(any_environment<simulated_environment>);

struct world_options {
    machine_options machine{};
    thread_options threads{};
};

class simulated_world {
public:
    explicit simulated_world(choice_tape& tape, world_options how = {})
        : tape_{&tape}, machine_{tape, how.machine}, threads_{tape, how.threads},
          machine_before_{std::exchange(simulation::current_machine, &machine_)},
          threads_before_{std::exchange(simulation::current_threads, &threads_)} {
        machine_.set_hook({
            .step = [](void* raw) { static_cast<simulated_threads*>(raw)->step(); },
            .use_device = [](void* raw) { static_cast<simulated_threads*>(raw)->use_device(); },
            .task = [](void const* raw
                    ) { return static_cast<simulated_threads const*>(raw)->task_name(); },
            .argument = &threads_,
        });
    }
    simulated_world(simulated_world const&) = delete;
    simulated_world& operator=(simulated_world const&) = delete;
    ~simulated_world() {
        simulation::current_machine = machine_before_;
        simulation::current_threads = threads_before_;
    }

    [[nodiscard]] choice_tape& tape() noexcept { return *tape_; }
    [[nodiscard]] simulated_machine& machine() noexcept { return machine_; }
    [[nodiscard]] simulated_threads& threads() noexcept { return threads_; }
    [[nodiscard]] simulated_storage storage() noexcept { return simulated_storage{machine_}; }
    // What layers of jetpp take; interleaved_environment with yielding atomics.
    template <class Environment = simulated_environment>
    [[nodiscard]] Environment environment() noexcept {
        return {.storage = storage(), .runtime = {}};
    }

    // Runs body() as the first task, and what it spawns, until all tasks ended.
    // Returns: finished, always, unless thread_options::stuck says report.
    template <class Body>
    run_outcome run(Body&& body) {
        using callable = std::remove_reference_t<Body>;
        return threads_.run(
            [](void* raw) { (*static_cast<callable*>(raw))(); },
            const_cast<void*>(static_cast<void const*>(&body))
        );
    }
    // The machine stops at the n-th hit of that point from now on.
    void crash_at_point(point_id id, std::uint64_t n = 1) noexcept {
        auto const stop = [](void* raw) { static_cast<simulated_machine*>(raw)->freeze(); };
        threads_.at_point(id, n, stop, &machine_);
    }
    // Equal for equal runs, over storage calls, points and task switches.
    [[nodiscard]] std::uint64_t trace_hash() const noexcept {
        return machine_.trace_hash() * 31 + threads_.trace_hash();
    }

private:
    choice_tape* tape_;
    simulated_machine machine_;
    simulated_threads threads_;
    simulated_machine* machine_before_;
    simulated_threads* threads_before_;
};

} // namespace jetpp::inline v1
