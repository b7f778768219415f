// jetpp/backup/detail/external_backup_life.hpp - bodies of external_backup: who may enter, what is
// told, and how a session ends without being asked to.
//
// Included by external_backup.hpp.
#pragma once

#include <jetpp/backup/external_backup.hpp>

namespace jetpp::inline v1 {

// ---- entry

// Under lock_.
template <class Traits>
result<void> external_backup<Traits>::enter(locked& held, external_call call) noexcept {
    if (in_ == nullptr) return error{.code = errc::invalid_argument};
    BOOST_OUTCOME_TRY(in_->pass_gate(call == external_call::begin));
    if (ending_ != 0) return error{.code = errc::busy};
    auto const now = in_->environment().runtime.now();
    expire_if_idle(now);
    last_call_ = now;
    if (stop_asked_.load(std::memory_order_acquire)) state_.stop();
    auto const answer = state_.ask(call);
    if (answer.refused == errc::none) return ok();
    auto const why = error{.code = answer.refused};
    if (answer.tears_down) tear_down(held, why);
    return why;
}

template <class Traits>
auto external_backup<Traits>::now() noexcept -> condition {
    auto held = holding{lock_};
    return {
        .phase = state_.phase(),
        .incremental = state_.is_incremental(),
        .rolled = state_.is_rolled(),
        .stopped = state_.is_stopped() || (state_.is_active() && stop_asked_.load()),
        .truncating = state_.is_truncating(),
        .handles = state_.handles(),
    };
}

// Whoever looks at all sessions, or closes them, may hold their lock and want ours: then it gets it.
template <class Traits>
external_backup<Traits>::~external_backup() {
    for (std::uint32_t turn = 0;; ++turn) {
        {
            auto call = visit{*this};
            while (telling_ != 0) {
                auto const ticket = idle_.ticket();
                call.held.unlock();
                idle_.wait(ticket);
                call.held.lock();
            }
            if (in_ != nullptr && state_.is_active())
                tear_down(call.held, {.code = errc::backup_aborted});
            if (in_ == nullptr) return;
            if (in_->sessions().try_leave(*this)) {
                in_ = nullptr;
                return;
            }
        }
        runtime_.relax(turn);
    }
}

// By the engine, whose lock of sessions is held. If it goes, nothing of it is touched afterwards.
template <class Traits>
bool external_backup<Traits>::end_by_instance(bool instance_goes) noexcept {
    auto held = holding{lock_};
    if (state_.is_active()) {
        stop();
        state_.stop();
        tear_down(held, {.code = errc::backup_stopped});
    }
    if (instance_goes) in_ = nullptr;
    return promise_to_tell();
}

// By the engine, whose lock of sessions is held.
template <class Traits>
bool external_backup<Traits>::look(mono_time now) noexcept {
    if (!lock_.try_lock()) return false; // a call is inside
    auto const held = holding{lock_, adopt_held{}};
    if (in_ != nullptr && ending_ == 0) expire_if_idle(now);
    return promise_to_tell();
}

// ---- events

// Under lock_, which is free while the sink runs: it may call the session.
template <class Traits>
void external_backup<Traits>::deliver(locked& held) noexcept {
    if (pending_count_ == 0) return;
    auto const all = pending_;
    auto const count = std::exchange(pending_count_, 0);
    ++telling_;
    held.unlock();
    for (std::size_t i = 0; i < count; ++i) all[i].sink(all[i].what);
    held.lock();
    --telling_;
    idle_.set_all();
}
template <class Traits>
bool external_backup<Traits>::promise_to_tell() noexcept {
    if (pending_count_ == 0) return false;
    ++telling_;
    return true;
}
template <class Traits>
void external_backup<Traits>::tell_late() noexcept {
    auto held = holding{lock_};
    deliver(held);
    --telling_;
    idle_.set_all();
}

// Under lock_. It is stopped, and as nothing of it can be stamped any more, its hold on the log and
// its claim to be the only session end as well: its caller may be dead. A late one still hears why.
template <class Traits>
void external_backup<Traits>::expire_if_idle(mono_time now) noexcept {
    if (!pin_ || !state_.is_active() || readers_ != 0) return;
    if (now - last_call_ <= options_.session_timeout) return;
    stop();
    state_.stop();
    abandon({.code = errc::backup_stopped});
    this->active.store(0, std::memory_order_release);
}
// The abort is logged, and the log may go. Once.
template <class Traits>
void external_backup<Traits>::abandon(error const& why) noexcept {
    if (!pin_) return;
    (void)log_backup_end<Traits>(*in_, set_, kind_, backup_status::aborted, bounds_, 0, {});
    tell(event_kind::backup_failed, why);
    this->release_log(*in_);
}

// Several may wait, and the first that wakes ends it. By the time the others do, it may have begun
// anew, and that session is none of theirs.
template <class Traits>
bool external_backup<Traits>::wait_for_readers(locked& held) noexcept {
    auto const mine = sessions_;
    ++ending_;
    while (readers_ != 0) {
        auto const ticket = idle_.ticket();
        held.unlock();
        idle_.wait(ticket);
        held.lock();
    }
    --ending_;
    return state_.is_active() && sessions_ == mine;
}

// ---- end

template <class Traits>
void external_backup<Traits>::drop_handles() noexcept {
    for (auto i = handles_.begin(); i != handles_.end(); i = handles_.erase(i)) state_.closed();
}

// Under lock_. Nothing is stamped; the log may go.
template <class Traits>
void external_backup<Traits>::tear_down(locked& held, error const& why) noexcept {
    // They use files that the pin keeps attached.
    if (!wait_for_readers(held)) return;
    abandon(why);
    leave();
}

template <class Traits>
void external_backup<Traits>::leave() noexcept {
    this->release_log(*in_);
    handles_.clear();
    state_.ended();
    ++sessions_;
    stop_asked_.store(false, std::memory_order_release);
    bounds_ = {};
    frozen_ = {};
    files_ = {};
    count_ = 0;
    chain_.clear();
    truncatable_.clear();
    this->active.store(0, std::memory_order_release);
}

} // namespace jetpp::inline v1
