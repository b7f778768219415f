// jetpp/engine/background.hpp - what an engine does by itself.
//
// Two tasks: the ticker flushes lazy commits, keeps log segments prepared and marks time; the
// cleaner writes pages home, takes checkpoints, lets old segments and versions go, and frees dropped
// trees. With the policy single_thread neither is started and poll() does the same steps.
// A step that fails raises an event; after a fatal error the tasks go idle until close.
// Threads  start and stop: the engine's. Both tasks use only what any thread may use.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/engine/engine_core.hpp>
#include <jetpp/engine/event_watch.hpp>
#include <jetpp/engine/find_tree.hpp>
#include <jetpp/engine/pending_work.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/txn/collector.hpp>

#include <atomic>
#include <chrono>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
class background_tasks {
    using runtime = typename Traits::env::runtime_type;

public:
    explicit background_tasks(engine_core<Traits>& core) noexcept
        : core_{&core}, wake_{core.store.environment().runtime}, watch_{core} {}
    background_tasks(background_tasks const&) = delete;
    background_tasks& operator=(background_tasks const&) = delete;
    ~background_tasks() { stop(); }

    // Errors: resource; nothing runs then.
    [[nodiscard]] result<void> start() noexcept {
        auto& system = core_->store.environment().runtime;
        stopping_.store(false, std::memory_order_release);
        BOOST_OUTCOME_TRY(auto ticker, system.spawn("jetpp-ticker", &run_ticker, this));
        ticker_.emplace(std::move(ticker));
        auto cleaner = system.spawn("jetpp-cleaner", &run_cleaner, this);
        if (!cleaner) {
            auto const why = cleaner.error();
            stop();
            return why;
        }
        cleaner_.emplace(std::move(cleaner).assume_value());
        return ok();
    }
    void stop() noexcept {
        stopping_.store(true, std::memory_order_release);
        wake_.set_all();
        if (ticker_) ticker_->join();
        if (cleaner_) cleaner_->join();
        ticker_.reset();
        cleaner_.reset();
    }

    // One quantum of both tasks. Returns: whether there may be more to do.
    [[nodiscard]] result<bool> step() noexcept {
        if (core_->store.log().failed()) return error{.code = errc::instance_failed};
        if (is_held()) return false;
        BOOST_OUTCOME_TRY(core_->store.log().housekeeping());
        return clean_step();
    }

private:
    static void run_ticker(void* self) noexcept { static_cast<background_tasks*>(self)->tick(); }
    static void run_cleaner(void* self) noexcept { static_cast<background_tasks*>(self)->clean(); }

    [[nodiscard]] mono_time in(mono_time pause) noexcept {
        return core_->store.environment().runtime.now() + pause;
    }
    [[nodiscard]] bool is_stopping() const noexcept {
        return stopping_.load(std::memory_order_acquire);
    }

    // Frozen: nothing to do. Ends a freeze that is over, and says so.
    [[nodiscard]] bool is_held() noexcept {
        auto const frozen = core_->store.is_frozen();
        if (core_->store.take_freeze_expiry())
            core_->options.events({.kind = event_kind::freeze_expired});
        return frozen;
    }

    void tick() noexcept {
        auto const pause = core_->options.lazy_interval / 2 + std::chrono::microseconds{100};
        for (;;) {
            auto const ticket = wake_.ticket();
            if (is_stopping()) return;
            if (!is_held() && !core_->store.log().failed())
                report(core_->store.log().housekeeping());
            if (is_stopping()) return;
            wake_.wait(ticket, in(pause));
        }
    }
    void clean() noexcept {
        for (;;) {
            auto const ticket = wake_.ticket();
            if (is_stopping()) return;
            auto more = false;
            if (!core_->store.is_frozen() && !core_->store.log().failed()) {
                auto const done = clean_step();
                more = done && done.assume_value();
                if (!done) report(done.error());
            }
            if (is_stopping()) return;
            if (!more) wake_.wait(ticket, in(std::chrono::milliseconds{20}));
        }
    }

    [[nodiscard]] result<bool> clean_step() noexcept {
        auto const collected = collect(core_->transactions());
        // A tree that cannot be freed must not keep checkpoints from being taken.
        auto const cleaned = core_->store.clean_step();
        core_->tell_broken_pins();
        auto const freed = free_doomed_step(*core_);
        auto const looked = watch_.look();
        BOOST_OUTCOME_TRY(auto const more, cleaned);
        BOOST_OUTCOME_TRY(auto const again, freed);
        BOOST_OUTCOME_TRY(looked);
        return collected != 0 || more || again;
    }

    void report(error const& why) noexcept {
        core_->options.events({.kind = event_kind::background_failed, .why = why});
    }
    void report(result<void> const& outcome) noexcept {
        if (!outcome) report(outcome.error());
    }

    engine_core<Traits>* core_;
    basic_event<runtime> wake_;
    event_watch<Traits> watch_; // the cleaner's
    std::atomic<bool> stopping_{false};
    std::optional<typename runtime::task> ticker_;
    std::optional<typename runtime::task> cleaner_;
};

} // namespace jetpp::inline v1
