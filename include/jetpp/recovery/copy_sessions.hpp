// jetpp/recovery/copy_sessions.hpp - the one session that copies an instance call by call.
//
// Its object lives above (backup/external_backup.hpp) and belongs to a program that may forget it.
// From its making to its end, or that of the instance, it is a member here, and the instance knows it
// by a few calls: stop; end, after which, if the instance goes, it does not touch it any more; and
// look, at which a session that nobody has called for too long gives up its hold on the log.
// Locks    the lock here, then the session's own; the other way round it is only tried. So a session
//          that holds its own lock and still has its instance cannot lose it: whoever closes the
//          instance waits for that lock first.
// Threads  any. What a session has to tell of it is told when both locks are free.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>

#include <atomic>
#include <cstdint>

namespace jetpp::inline v1 {

template <any_environment Env>
struct copy_session {
    void (*on_stop)(copy_session&) noexcept = nullptr;
    // Those two return whether there is something to tell: then on_tell is called, once, when no lock
    // is held, and until then the session does not end.
    bool (*on_end)(copy_session&, bool instance_goes) noexcept = nullptr;
    bool (*on_look)(copy_session&, mono_time now) noexcept = nullptr; // must not wait for a lock
    void (*on_tell)(copy_session&) noexcept = nullptr;
    typename Env::template atomic<std::uint8_t> active{0};
    copy_session* next = nullptr; // of the list that copy_sessions keeps
};

enum class claim_answer : std::uint8_t {
    claimed,
    refused, // another one is active
    busy,    // the lock is taken: let go of your own, and ask again
};

template <any_environment Env>
class copy_sessions {
    using session = copy_session<Env>;

public:
    explicit copy_sessions(Env env) noexcept : lock_{env.runtime} {}
    copy_sessions(copy_sessions const&) = delete;
    copy_sessions& operator=(copy_sessions const&) = delete;
    ~copy_sessions() { close(); }

    // Returns: false if the instance is closed. Requires: the session's own lock is free.
    [[nodiscard]] bool join(session& mine) noexcept {
        auto const held = holding{lock_};
        if (closed_) return false;
        mine.next = first_;
        first_ = &mine;
        return true;
    }
    // Of a member that holds its own lock. A dead caller's session is in nobody's way: if one ends by
    // this, `telling` is it, and the caller has its on_tell called when he holds no lock.
    [[nodiscard]] claim_answer try_claim(session& mine, mono_time now, session*& telling) noexcept {
        if (!lock_.try_lock()) return claim_answer::busy;
        auto const held = holding{lock_, adopt_held{}};
        telling = look_locked(now);
        for (auto* one = first_; one != nullptr; one = one->next)
            if (one != &mine && is_active(*one)) return claim_answer::refused;
        mine.active.store(1, std::memory_order_release);
        return claim_answer::claimed;
    }
    // Of a member that holds its own lock, and ends. Returns: false if the lock is taken: as busy.
    [[nodiscard]] bool try_leave(session& mine) noexcept {
        if (!lock_.try_lock()) return false;
        auto const held = holding{lock_, adopt_held{}};
        auto** at = &first_;
        while (*at != &mine) at = &(*at)->next;
        *at = mine.next;
        return true;
    }
    void stop() noexcept {
        auto const held = holding{lock_};
        for (auto* one = first_; one != nullptr; one = one->next)
            if (is_active(*one)) one->on_stop(*one);
    }
    // Part of the engine's own duties, and of whoever wants log or a session for himself. Skipped
    // where a lock is held: somebody is inside then. Requires: no lock of the instance is held.
    void look(mono_time now) noexcept {
        auto* telling = static_cast<session*>(nullptr);
        {
            if (!lock_.try_lock()) return;
            auto const held = holding{lock_, adopt_held{}};
            telling = look_locked(now);
        }
        if (telling != nullptr) telling->on_tell(*telling);
    }
    // The instance goes, if may() lets it, which is asked while no session can begin: every member
    // hears of it, and does not touch it any more; none joins. An active one is torn down, or, with
    // `only_if_idle`, keeps the instance. may() noexcept -> result<void>; it may take the locks of
    // the instance. Errors: backup_in_progress; those of may(): nobody lost the instance.
    template <class May>
    [[nodiscard]] result<void> close(bool only_if_idle, May&& may) noexcept {
        auto* telling = static_cast<session*>(nullptr); // those that have left the list
        auto* ended = static_cast<session*>(nullptr);
        auto allowed = result<void>{ok()};
        {
            auto const held = holding{lock_};
            auto* const active = find_active();
            if (active != nullptr && only_if_idle) return error{.code = errc::backup_in_progress};
            if (active != nullptr && active->on_end(*active, false)) ended = active;
            allowed = may();
            if (allowed) {
                closed_ = true;
                while (first_ != nullptr) {
                    auto* const one = first_;
                    first_ = one->next;
                    if (!one->on_end(*one, true)) continue; // it may be gone already
                    one->next = telling;
                    telling = one;
                }
            }
        }
        if (ended != nullptr) ended->on_tell(*ended);
        while (telling != nullptr) {
            auto* const one = telling;
            telling = one->next;
            one->on_tell(*one);
        }
        return allowed;
    }
    void close() noexcept {
        (void)close(false, []() noexcept -> result<void> { return ok(); });
    }

private:
    [[nodiscard]] static bool is_active(session const& one) noexcept {
        return one.active.load(std::memory_order_acquire) != 0;
    }
    // There is one at most.
    [[nodiscard]] session* find_active() noexcept {
        auto* one = first_;
        while (one != nullptr && !is_active(*one)) one = one->next;
        return one;
    }
    // Returns: the one that has something to tell.
    [[nodiscard]] session* look_locked(mono_time now) noexcept {
        auto* const one = find_active();
        return one != nullptr && one->on_look(*one, now) ? one : nullptr;
    }
    basic_mutex<typename Env::runtime_type> lock_;
    session* first_ = nullptr;
    bool closed_ = false;
};

} // namespace jetpp::inline v1
