// jetpp/recovery/running_backups.hpp - the backups that an instance feeds, so that it can end them.
//
// Their objects live above (backup/backup_job.hpp), and each is moved on by threads that the instance
// does not know. From join() to its end a backup is a member here. Whoever closes the instance tells
// all of them to end, and waits until each has let go: none touches the instance afterwards.
// Locks    the lock here is a leaf; the calls into backups are made under it, and only set a flag.
// Threads  any.
// Source   backup rule R10.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>

namespace jetpp::inline v1 {

template <any_environment Env>
class running_backup;

template <any_environment Env>
class running_backups {
    using member = running_backup<Env>;

public:
    explicit running_backups(Env env) noexcept
        : env_{env}, lock_{env.runtime}, left_{env.runtime} {}
    running_backups(running_backups const&) = delete;
    running_backups& operator=(running_backups const&) = delete;

    // Until allow() none begins; those that run are told to end. Returns: have all of them ended by
    // `deadline`? What moves them on must run meanwhile; with a deadline that is over nobody waits.
    [[nodiscard]] bool stop(mono_time deadline) noexcept {
        {
            auto const held = holding{lock_};
            stopping_ = true;
            for (auto* one = first_; one != nullptr; one = one->next_)
                one->interrupt_(one->backup_);
        }
        for (;;) {
            auto const ticket = left_.ticket();
            {
                auto const held = holding{lock_};
                if (first_ == nullptr) return true;
            }
            if (env_.runtime.now() >= deadline) return false;
            left_.wait(ticket, deadline);
        }
    }
    // Until allow() none begins, if none runs. Returns: does none?
    [[nodiscard]] bool close() noexcept {
        auto const held = holding{lock_};
        stopping_ = stopping_ || first_ == nullptr;
        return first_ == nullptr;
    }
    void allow() noexcept {
        auto const held = holding{lock_};
        stopping_ = false;
    }

private:
    friend member;

    [[no_unique_address]] Env env_;
    basic_mutex<typename Env::runtime_type> lock_;
    basic_event<typename Env::runtime_type> left_;
    member* first_ = nullptr;
    bool stopping_ = false;
};

template <any_environment Env>
class running_backup {
    using list = running_backups<Env>;

public:
    // backup.interrupt() is called from any thread, from join() to leave().
    template <class Backup>
    running_backup(list& in, Backup& backup) noexcept
        : in_{&in}, backup_{&backup},
          interrupt_{[](void* it) noexcept { static_cast<Backup*>(it)->interrupt(); }} {}
    running_backup(running_backup const&) = delete;
    running_backup& operator=(running_backup const&) = delete;
    ~running_backup() { leave(); }

    // Errors: terminating (the instance ends its backups, or closes).
    [[nodiscard]] result<void> join() noexcept {
        auto const held = holding{in_->lock_};
        if (in_->stopping_) return error{.code = errc::terminating};
        next_ = in_->first_;
        in_->first_ = this;
        joined_ = true;
        return ok();
    }
    // From here on the backup does not touch the instance.
    void leave() noexcept {
        if (!joined_) return;
        joined_ = false;
        auto const held = holding{in_->lock_};
        auto** at = &in_->first_;
        while (*at != this) at = &(*at)->next_;
        *at = next_;
        in_->left_.set_all(); // under the lock: afterwards the instance may go
    }

private:
    friend list;

    list* in_;
    running_backup* next_ = nullptr;
    void* backup_;
    void (*interrupt_)(void*) noexcept;
    bool joined_ = false;
};

} // namespace jetpp::inline v1
