// jetpp/recovery/entry_gate.hpp - may a call enter an instance at all? Asked first, in one order.
//
//     unknown instance -> service stopped -> instance failed -> life of the instance -> backups
//     invalid_argument    service_stopped    instance_failed    its own code           not yet
// The first that holds is the answer, so that two callers who ask the same thing at the same moment
// hear the same reason. The last one is asked of calls that begin a backup alone.
// Threads  pure functions; instance_service: any.
// Source   backup rules, part 2; the order in which ESE's entry tests are made.
#pragma once

#include <jetpp/core/errc.hpp>

#include <atomic>
#include <cstdint>

namespace jetpp::inline v1 {

enum class instance_phase : std::uint8_t {
    not_initialised,
    recovering, // open() has begun and not yet ended
    running,
    terminating,
    restoring,
};

struct gate_facts {
    bool known = true;
    bool service_stopped = false;
    bool failed = false;
    instance_phase phase = instance_phase::running;
    bool allows_backups = true;
};

[[nodiscard]] constexpr errc refusal_at_gate(gate_facts const& facts, bool begins_backup) noexcept {
    if (!facts.known) return errc::invalid_argument;
    if (facts.service_stopped) return errc::service_stopped;
    if (facts.failed) return errc::instance_failed;
    switch (facts.phase) {
    case instance_phase::running: break;
    case instance_phase::terminating: return errc::terminating;
    case instance_phase::restoring: return errc::restoring;
    case instance_phase::recovering:
    case instance_phase::not_initialised: return errc::not_initialised;
    }
    return begins_backup && !facts.allows_backups ? errc::backup_not_allowed : errc::none;
}

// The part of it that an instance remembers.
class instance_service {
public:
    // Every further call is refused until resume(); what runs goes on.
    void stop() noexcept { stopped_.store(true, std::memory_order_release); }
    void resume() noexcept { stopped_.store(false, std::memory_order_release); }
    [[nodiscard]] bool is_stopped() const noexcept {
        return stopped_.load(std::memory_order_relaxed);
    }
    void enter(instance_phase phase) noexcept { phase_.store(phase, std::memory_order_release); }
    [[nodiscard]] instance_phase phase() const noexcept {
        return phase_.load(std::memory_order_acquire);
    }

private:
    std::atomic<bool> stopped_{false};
    std::atomic<instance_phase> phase_{instance_phase::not_initialised};
};

} // namespace jetpp::inline v1
