// jetpp/recovery/copy_sessions.hpp - the one session that copies an instance call by call.
//
// Its object lives above (backup/external_backup.hpp) and belongs to a program that may forget it.
// The instance knows it by three calls: stop; close, after which it does not touch the instance; and
// look, at which a session that nobody has called for too long gives up its hold on the log.
// Locks    the lock here, then the session's own; never the other way round.
// Threads  any.
#pragma once

#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>

#include <atomic>
#include <cstdint>

namespace jetpp::inline v1 {

template <any_environment Env>
struct copy_session {
    void (*on_stop)(copy_session&) noexcept = nullptr;
    void (*on_close)(copy_session&) noexcept = nullptr;
    void (*on_look)(copy_session&, mono_time now) noexcept = nullptr; // must not wait for a lock
    typename Env::template atomic<std::uint8_t> active{0};
    copy_session* next = nullptr; // of the list that copy_sessions keeps
};

template <any_environment Env>
class copy_sessions {
public:
    explicit copy_sessions(Env env) noexcept : lock_{env.runtime} {}

    // Returns: false if another one is active.
    [[nodiscard]] bool claim(copy_session<Env>& mine) noexcept {
        auto const held = holding{lock_};
        auto known = false;
        for (auto* one = first_; one != nullptr; one = one->next) {
            if (one != &mine && is_active(*one)) return false;
            known = known || one == &mine;
        }
        if (!known) {
            mine.next = first_;
            first_ = &mine;
        }
        mine.active.store(1, std::memory_order_release);
        return true;
    }
    // Of one that claimed. It ends.
    void forget(copy_session<Env>& mine) noexcept {
        auto const held = holding{lock_};
        for (auto** at = &first_; *at != nullptr; at = &(*at)->next) {
            if (*at != &mine) continue;
            *at = mine.next;
            return;
        }
    }
    void stop() noexcept {
        auto const held = holding{lock_};
        for (auto* one = first_; one != nullptr; one = one->next)
            if (is_active(*one)) one->on_stop(*one);
    }
    // Part of the engine's own duties, and of whoever wants log or a session for himself. Skipped
    // where a lock is held: somebody is inside then. Requires: no lock of the instance is held.
    void look(mono_time now) noexcept {
        if (!lock_.try_lock()) return;
        auto const held = holding{lock_, adopt_held{}};
        for (auto* one = first_; one != nullptr; one = one->next)
            if (is_active(*one)) one->on_look(*one, now);
    }
    // The instance goes: all that ever claimed hear of it, and do not touch it any more.
    void close() noexcept {
        auto const held = holding{lock_};
        while (first_ != nullptr) {
            auto* const one = first_;
            first_ = one->next;
            one->on_close(*one);
        }
    }

private:
    [[nodiscard]] static bool is_active(copy_session<Env> const& one) noexcept {
        return one.active.load(std::memory_order_acquire) != 0;
    }

    basic_mutex<typename Env::runtime_type> lock_;
    copy_session<Env>* first_ = nullptr;
};

} // namespace jetpp::inline v1
