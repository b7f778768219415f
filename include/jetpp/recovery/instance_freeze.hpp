// jetpp/recovery/instance_freeze.hpp - freeze and thaw: bodies of instance.
//
//   flush log -> end the segment -> close the gate (batches under way end) -> sync the databases
//
// What the storage holds then is what a power loss could have left, at a good moment: ordinary
// recovery opens it, and every commit acknowledged before is in it. jet.ring alone is memory that
// the system may write back whenever it likes; recovery takes of it only whole records that follow
// the log, so a copy of it may be in the snapshot and may be missing.
// Included by instance.hpp.
#pragma once

#include <jetpp/recovery/instance.hpp>

namespace jetpp::inline v1 {

template <class Traits>
result<void> instance<Traits>::freeze(mono_time limit) noexcept {
    look_at_sessions();
    // Whoever changes databases, header marks or the checkpoint holds this: they are between two
    // such steps, not inside of one.
    auto const held = holding{databases_lock_};
    if (closing_) return error{.code = errc::terminating};
    if (awaits_thaw_) return error{.code = errc::freeze_sequence};
    if (is_pinned_locked()) return error{.code = errc::freeze_refused};
    BOOST_OUTCOME_TRY(log_->flush_all());
    if (archival_) {
        BOOST_OUTCOME_TRY(log_->force_switch());
        BOOST_OUTCOME_TRY(log_->flush_all());
    }
    writes_.close(limit);
    auto synced = result<void>{ok()};
    pool_->for_each_file([&](paged_file<Traits>& file) noexcept {
        if (synced) synced = file.sync_writes();
    });
    if (!synced) {
        (void)writes_.open();
        return synced;
    }
    awaits_thaw_ = true;
    return ok();
}

template <class Traits>
result<void> instance<Traits>::thaw() noexcept {
    auto const held = holding{databases_lock_};
    if (!awaits_thaw_) return error{.code = errc::freeze_sequence};
    awaits_thaw_ = false;
    if (!writes_.open()) return error{.code = errc::freeze_timeout};
    return ok();
}

} // namespace jetpp::inline v1
