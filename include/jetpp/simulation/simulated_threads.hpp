// jetpp/simulation/simulated_threads.hpp - tasks, time and parking, scheduled by the choice tape.
//
// Tasks are fibers on one operating system thread. At every step (a storage call, a named point, a
// park, a turn of a spin loop) the tape decides whether another task goes on, and which. Time is
// simulated: each step takes a little, and when all tasks wait it jumps to the next deadline.
// Invariants
//   * between two steps nothing else runs: what happens there is atomic
//   * a run is a function of its tape: the same tape gives the same steps
//   * no runnable task and no deadline, while a task has not ended, is a deadlock and reported
// Threads  one operating system thread, one run() at a time in a process.
// Owns     the tasks' stacks during run().
// Source   FoundationDB's and TigerBeetle's simulators; Coyote for schedules from choices.
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/env/runtime.hpp>
#include <jetpp/simulation/choice_tape.hpp>
#include <jetpp/simulation/fiber.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

class simulated_threads;

namespace simulation {
// The tasks that simulated_runtime speaks to: its points are static, so a handle would not do.
inline simulated_threads* current_threads = nullptr;
// The bug that simulated_runtime::sabotaged() answers for; a test plants it, and takes it out.
inline sabotage planted = sabotage::none;

// Plants one for a scope.
class [[nodiscard]] planting {
public:
    explicit planting(sabotage bug) noexcept : before_{std::exchange(planted, bug)} {}
    planting(planting const&) = delete;
    planting& operator=(planting const&) = delete;
    ~planting() { planted = before_; }

private:
    sabotage before_;
};
} // namespace simulation

// What run() does when no task can go on, or when steps_max is reached: end the process with a dump
// of all tasks, or return. Returning abandons the tasks where they are: nothing on their stacks is
// destroyed, so use it only for tasks that own nothing.
enum class when_stuck : std::uint8_t { abort, report };

enum class run_outcome : std::uint8_t { finished, deadlock, step_limit };

struct thread_options {
    std::uint32_t switch_num = 1; // chance that a step goes on with a drawn task: num in den
    std::uint32_t switch_den = 4;
    std::uint32_t spurious_num = 1; // chance that park() returns for no reason
    std::uint32_t spurious_den = 32;
    std::uint32_t slow_num = 1; // chance that a storage call takes up to 16 ms
    std::uint32_t slow_den = 64;
    std::uint32_t wall_jump_num = 0; // chance that wall() jumps, back or forward
    std::uint32_t wall_jump_den = 16;
    mono_time step_time{1000};
    std::uint64_t steps_max = 50'000'000; // in one run(); beyond it the tasks do not come to an end
    std::size_t stack_bytes = 256 * 1024;
    when_stuck stuck = when_stuck::abort;
};

class simulated_threads {
public:
    static constexpr std::size_t points_max = 256;

    explicit simulated_threads(choice_tape& tape, thread_options how = {})
        : options{how}, tape_{&tape} {}
    simulated_threads(simulated_threads const&) = delete;
    simulated_threads& operator=(simulated_threads const&) = delete;

    thread_options options; // changes take effect at once

    // Runs body(argument) as the first task, and all tasks that it spawns, until all have ended.
    // What a task throws ends the run: it is thrown again here, and the other tasks are abandoned.
    run_outcome run(void (*body)(void*), void* argument);

    // Outside run() there is nobody to switch to, and a step does nothing.
    void step();
    // A step inside a storage call, which may take long.
    void use_device();
    void park(std::uint32_t const* word, std::uint32_t expected, mono_time deadline);
    void unpark(std::uint32_t const* word, std::uint32_t count);
    void relax();
    // Returns: the number of the task, which join() takes; nothing if fail_spawn() said so.
    [[nodiscard]] std::optional<std::size_t> spawn(
        char const* name, void (*body)(void*), void* argument
    );
    void join(std::size_t task);
    void point(point_id id);
    [[nodiscard]] std::uint64_t entropy() noexcept { return tape_->entropy(); }
    [[nodiscard]] bool draws_spurious_failure() {
        return current_ != nullptr && tape_->chance(1, 16);
    }

    [[nodiscard]] mono_time now() const noexcept { return now_; }
    [[nodiscard]] wall_time wall();
    void jump_wall(std::int64_t ns) noexcept { wall_offset_ += ns; }

    // Calls what(argument) at the n-th hit of the point from now on; 0 takes that back.
    void at_point(point_id id, std::uint64_t n, void (*what)(void*), void* argument) noexcept {
        trap_ = {.id = id, .left = n, .what = what, .argument = argument};
    }
    [[nodiscard]] std::uint64_t hits(point_id id) const noexcept { return hits_[index_of(id)]; }
    // The n-th spawn from now on answers errc::resource.
    void fail_spawn(std::uint64_t n) noexcept { failing_spawn_ = n; }

    [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
    [[nodiscard]] std::uint64_t switches() const noexcept { return switches_; }
    [[nodiscard]] std::uint64_t trace_hash() const noexcept { return trace_; }
    // "-" outside tasks.
    [[nodiscard]] char const* task_name() const noexcept {
        return current_ == nullptr ? "-" : current_->name.c_str();
    }
    void dump(std::FILE* stream) const;

private:
    enum class task_state : std::uint8_t { runnable, parked, ended };
    struct task {
        simulated_threads* threads{};
        std::size_t number{};
        std::string name{};
        void (*body)(void*){};
        void* argument{};
        task_state state = task_state::runnable;
        std::uint32_t const* parked_at{};
        mono_time deadline = never;
        std::uint32_t ended_word{}; // what join() parks on
        std::optional<detail::fiber> fiber{};
    };
    struct point_trap {
        point_id id{};
        std::uint64_t left{};
        void (*what)(void*){};
        void* argument{};
    };

    static std::size_t index_of(point_id id) noexcept {
        return static_cast<std::size_t>(id) % points_max;
    }
    task& add_task(char const* name, void (*body)(void*), void* argument);
    static void task_main(void* raw);
    void advance();
    void wake(task& sleeping);
    void wake_expired();
    void leave_runnable();
    void sleep_until(std::uint32_t const* word, mono_time deadline);
    [[nodiscard]] task& pick_runnable();
    void go_on_with(task& next);
    // From a task that cannot go on: another, or back to run() if the run is stuck.
    void go_on_elsewhere();
    void stop(run_outcome why);
    void free_ended();

    choice_tape* tape_;
    std::vector<std::unique_ptr<task>> tasks_;
    std::vector<task*> runnable_;
    task* current_ = nullptr;
    task* ended_ = nullptr;         // its stack is freed by whoever runs next
    detail::fiber* home_ = nullptr; // run() itself
    mono_time now_{1'000'000'000};
    mono_time next_deadline_ = never;
    std::int64_t wall_offset_ = 1'767'225'600'000'000'000; // 2026-01-01
    point_trap trap_{};
    std::array<std::uint64_t, points_max> hits_{};
    std::uint64_t failing_spawn_ = 0;
    std::uint64_t steps_ = 0;
    std::uint64_t steps_end_ = 0;
    std::uint64_t switches_ = 0;
    std::uint64_t trace_ = 0x13198A2E03707344u;
    std::size_t alive_ = 0;
    run_outcome outcome_ = run_outcome::finished;
    std::exception_ptr thrown_{};
};

} // namespace jetpp::inline v1

#include <jetpp/simulation/detail/threads_bodies.hpp>
