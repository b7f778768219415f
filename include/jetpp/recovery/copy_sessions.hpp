// jetpp/recovery/copy_sessions.hpp - the one session that copies an instance call by call.
//
// Its object lives above (backup/external_backup.hpp) and belongs to a program that may forget it.
// The instance knows it by two calls: stop, and close, after which it does not touch the instance.
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
    typename Env::template atomic<std::uint8_t> active{0};
};

template <any_environment Env>
class copy_sessions {
public:
    explicit copy_sessions(Env env) noexcept : lock_{env.runtime} {}

    // Returns: false if another one is active.
    [[nodiscard]] bool claim(copy_session<Env>& mine) noexcept {
        auto const held = holding{lock_};
        if (known_ != nullptr && known_ != &mine && is_active(*known_)) return false;
        known_ = &mine;
        mine.active.store(1, std::memory_order_release);
        return true;
    }
    void forget(copy_session<Env>& mine) noexcept {
        auto const held = holding{lock_};
        if (known_ == &mine) known_ = nullptr;
    }
    void stop() noexcept {
        auto const held = holding{lock_};
        if (known_ != nullptr && is_active(*known_)) known_->on_stop(*known_);
    }
    void close() noexcept {
        auto const held = holding{lock_};
        if (known_ != nullptr) known_->on_close(*known_);
        known_ = nullptr;
    }

private:
    [[nodiscard]] static bool is_active(copy_session<Env> const& one) noexcept {
        return one.active.load(std::memory_order_acquire) != 0;
    }

    basic_mutex<typename Env::runtime_type> lock_;
    copy_session<Env>* known_ = nullptr;
};

} // namespace jetpp::inline v1
