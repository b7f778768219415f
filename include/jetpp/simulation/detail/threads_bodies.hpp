// jetpp/simulation/detail/threads_bodies.hpp - the scheduler of simulated tasks.
//
// Included by simulated_threads.hpp only. Choices are made in few places: step(), pick_runnable(),
// park() (no reason at all) and unpark() (whom).
// Threads  one.
#pragma once

#include <jetpp/simulation/simulated_threads.hpp>

#include <algorithm>

namespace jetpp::inline v1 {

inline run_outcome simulated_threads::run(void (*body)(void*), void* argument) {
    ensure(current_ == nullptr, "run() is not called by a task");
    auto home = detail::fiber{};
    home_ = &home;
    outcome_ = run_outcome::finished;
    steps_end_ = steps_ + options.steps_max;
    current_ = &add_task("main", body, argument);
    home.switch_to(*current_->fiber);
    current_ = nullptr;
    home_ = nullptr;
    ended_ = nullptr;
    runnable_.clear();
    tasks_.clear();
    alive_ = 0;
    next_deadline_ = never;
#if defined(__cpp_exceptions)
    if (auto const thrown = std::exchange(thrown_, nullptr)) std::rethrow_exception(thrown);
#endif
    return outcome_;
}

inline std::optional<std::size_t> simulated_threads::spawn(
    char const* name, void (*body)(void*), void* argument
) {
    ensure(home_ != nullptr, "tasks are spawned inside run()");
    if (failing_spawn_ != 0 && --failing_spawn_ == 0) return std::nullopt;
    auto const number = add_task(name, body, argument).number;
    step();
    return number;
}

inline simulated_threads::task& simulated_threads::add_task(
    char const* name, void (*body)(void*), void* argument
) {
    auto& made = *tasks_.emplace_back(std::make_unique<task>());
    made.threads = this;
    made.number = tasks_.size() - 1;
    made.name = name;
    made.body = body;
    made.argument = argument;
    made.fiber.emplace(options.stack_bytes, &simulated_threads::task_main, &made);
    runnable_.push_back(&made);
    ++alive_;
    return made;
}

inline void simulated_threads::task_main(void* raw) {
    auto& self = *static_cast<task*>(raw);
    auto& threads = *self.threads;
    threads.free_ended();
#if defined(__cpp_exceptions)
    try {
        self.body(self.argument);
    } catch (...) {
        // Most likely a failed check of a test framework.
        threads.thrown_ = std::current_exception();
    }
#else
    self.body(self.argument);
#endif
    self.state = task_state::ended;
    self.ended_word = 1;
    --threads.alive_;
    threads.unpark(&self.ended_word, ~std::uint32_t{0});
    threads.leave_runnable();
    threads.ended_ = &self;
    auto* next = static_cast<detail::fiber*>(nullptr);
    if (threads.alive_ == 0 || threads.thrown_) {
        next = threads.home_;
    } else {
        if (threads.runnable_.empty()) threads.wake_expired();
        if (threads.runnable_.empty()) {
            threads.outcome_ = run_outcome::deadlock;
            if (threads.options.stuck == when_stuck::abort) threads.stop(run_outcome::deadlock);
            next = threads.home_;
        } else {
            threads.current_ = &threads.pick_runnable();
            next = &*threads.current_->fiber;
        }
    }
    self.fiber->leave_for_ever(*next);
}

inline void simulated_threads::free_ended() {
    if (ended_ != nullptr) std::exchange(ended_, nullptr)->fiber.reset();
}

inline void simulated_threads::advance() {
    now_ += options.step_time;
    if (now_ >= next_deadline_) wake_expired();
    if (++steps_ >= steps_end_) stop(run_outcome::step_limit);
}

inline void simulated_threads::step() {
    if (current_ == nullptr) return;
    advance();
    if (runnable_.size() < 2) return;
    if (!tape_->chance(options.switch_num, options.switch_den)) return;
    auto& next = pick_runnable();
    if (&next != current_) go_on_with(next);
}

inline void simulated_threads::park(
    std::uint32_t const* word, std::uint32_t expected, mono_time deadline
) {
    ensure(current_ != nullptr, "only tasks of a simulated world can wait");
    step();
    if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != expected) return;
    if (deadline <= now_) return;
    if (tape_->chance(options.spurious_num, options.spurious_den)) return;
    sleep_until(word, deadline);
}

inline void simulated_threads::use_device() {
    if (current_ == nullptr) return;
    if (!tape_->chance(options.slow_num, options.slow_den)) return step();
    advance();
    auto const magnitude = tape_->pick(25); // up to 16 ms, short waits as likely as long ones
    auto const ns = static_cast<std::int64_t>(tape_->pick(std::uint64_t{1} << magnitude));
    sleep_until(nullptr, now_ + mono_time{ns});
}

inline void simulated_threads::sleep_until(std::uint32_t const* word, mono_time deadline) {
    current_->state = task_state::parked;
    current_->parked_at = word;
    current_->deadline = deadline;
    next_deadline_ = std::min(next_deadline_, deadline);
    leave_runnable();
    go_on_elsewhere();
}

inline void simulated_threads::unpark(std::uint32_t const* word, std::uint32_t count) {
    if (current_ == nullptr) return;
    auto sleeping = std::vector<task*>{};
    for (auto const& each : tasks_)
        if (each->state == task_state::parked && each->parked_at == word)
            sleeping.push_back(each.get());
    for (; count != 0 && !sleeping.empty(); --count) {
        auto const chosen =
            static_cast<std::size_t>(count >= sleeping.size() ? 0 : tape_->pick(sleeping.size()));
        wake(*sleeping[chosen]);
        sleeping.erase(sleeping.begin() + static_cast<std::ptrdiff_t>(chosen));
    }
    if (current_->state == task_state::runnable) step();
}

inline void simulated_threads::relax() {
    if (current_ == nullptr) return;
    advance();
    // Whoever the spinner waits for is another task, or one that sleeps until a deadline.
    if (runnable_.size() < 2 && next_deadline_ != never) {
        now_ = std::max(now_, next_deadline_);
        wake_expired();
    }
    if (runnable_.size() < 2) return;
    // Counted from the spinner: a tape of zeros then takes turns, and starves nobody.
    auto const count = runnable_.size();
    auto const self = static_cast<std::size_t>(
        std::find(runnable_.begin(), runnable_.end(), current_) - runnable_.begin()
    );
    auto const ahead = 1 + static_cast<std::size_t>(tape_->pick(count - 1));
    go_on_with(*runnable_[(self + ahead) % count]);
}

inline void simulated_threads::join(std::size_t number) {
    auto& awaited = *tasks_[number];
    while (awaited.state != task_state::ended) park(&awaited.ended_word, 0, never);
}

inline void simulated_threads::point(point_id id) {
    ++hits_[index_of(id)];
    trace_ = (trace_ ^ (static_cast<std::uint64_t>(id) + 0x100)) * 0x9E3779B97F4A7C15u;
    trace_ ^= trace_ >> 31;
    if (trap_.left != 0 && trap_.id == id && --trap_.left == 0) trap_.what(trap_.argument);
    step();
}

inline wall_time simulated_threads::wall() {
    if (tape_->chance(options.wall_jump_num, options.wall_jump_den)) {
        auto const hours = static_cast<std::int64_t>(tape_->pick(49)) - 24;
        wall_offset_ += hours * 3'600'000'000'000;
    }
    return {wall_offset_ + now_.count()};
}

inline void simulated_threads::wake(task& sleeping) {
    sleeping.state = task_state::runnable;
    sleeping.parked_at = nullptr;
    sleeping.deadline = never;
    runnable_.push_back(&sleeping);
}

// Wakes whose deadline has come; if no task can run, time jumps to the next deadline.
inline void simulated_threads::wake_expired() {
    if (runnable_.empty() && next_deadline_ != never) now_ = std::max(now_, next_deadline_);
    auto next = never;
    for (auto const& each : tasks_) {
        if (each->state != task_state::parked || each->deadline == never) continue;
        if (each->deadline <= now_)
            wake(*each);
        else
            next = std::min(next, each->deadline);
    }
    next_deadline_ = next;
    // A deadline of a task that was woken otherwise may have been the next one.
    if (runnable_.empty() && next != never) wake_expired();
}

inline void simulated_threads::leave_runnable() {
    runnable_.erase(std::find(runnable_.begin(), runnable_.end(), current_));
}

inline simulated_threads::task& simulated_threads::pick_runnable() {
    return *runnable_[static_cast<std::size_t>(tape_->pick(runnable_.size()))];
}

inline void simulated_threads::go_on_with(task& next) {
    ++switches_;
    trace_ = (trace_ ^ next.number) * 0x9E3779B97F4A7C15u;
    auto& left = *current_;
    current_ = &next;
    left.fiber->switch_to(*next.fiber);
    free_ended();
}

inline void simulated_threads::go_on_elsewhere() {
    if (runnable_.empty()) wake_expired();
    if (runnable_.empty()) return stop(run_outcome::deadlock);
    auto& next = pick_runnable();
    if (&next != current_) go_on_with(next);
}

inline void simulated_threads::stop(run_outcome why) {
    if (options.stuck == when_stuck::abort) {
        dump(stderr);
        ensure(why != run_outcome::deadlock, "some task of the simulated world can go on");
        ensure(why != run_outcome::step_limit, "the simulated tasks come to an end");
    }
    outcome_ = why;
    auto& left = *current_;
    left.fiber->switch_to(*home_); // for ever: run() abandons all tasks
}

inline void simulated_threads::dump(std::FILE* stream) const {
    std::fprintf(
        stream,
        "jetpp: simulated tasks after %llu steps, at %lld ns\n",
        static_cast<unsigned long long>(steps_),
        static_cast<long long>(now_.count())
    );
    for (auto const& each : tasks_) {
        auto const* const state = each->state == task_state::ended      ? "ended"
                                  : each->state == task_state::runnable ? "runnable"
                                                                        : "parked";
        std::fprintf(stream, "  %3zu %-24s %s", each->number, each->name.c_str(), state);
        if (each->state == task_state::parked) {
            std::fprintf(stream, " at %p", static_cast<void const*>(each->parked_at));
            if (each->deadline != never)
                std::fprintf(stream, " until %lld", static_cast<long long>(each->deadline.count()));
        }
        std::fprintf(stream, "%s\n", each.get() == current_ ? "  <- running" : "");
    }
    std::fprintf(stream, "  tape %s\n", tape_->hex().c_str());
    std::fflush(stream);
}

} // namespace jetpp::inline v1
