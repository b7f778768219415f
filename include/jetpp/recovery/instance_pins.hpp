// jetpp/recovery/instance_pins.hpp - who keeps the log: bodies of instance.
//
// Pins of running backups live in memory and die with the process. Named ones (named_pin.hpp) live
// in the slots of the checkpoint file and are changed by writing one: under the lock under which the
// log is recycled, so a segment goes only by a slot that is durable, and no crash finds a pin
// without its log.
// Included by instance.hpp.
#pragma once

#include <jetpp/log/named_pin.hpp>
#include <jetpp/recovery/instance.hpp>

#include <utility>

namespace jetpp::inline v1 {

// ---- of running backups

template <class Traits>
template <class F>
auto instance<Traits>::pin_log(F&& attached) noexcept -> result<log_pin> {
    auto const held = holding{databases_lock_};
    if (closing_) return error{.code = errc::terminating};
    if (writes_.is_closed()) return error{.code = errc::backup_in_progress};
    auto const& slot = *checkpoint_->newest();
    for (std::size_t i = 0; i < pins_.size(); ++i) {
        if (pins_[i]) continue;
        auto const pin = log_pin{
            .place = i,
            .redo_lsn = slot.redo_lsn,
            .undo_low_lsn = slot.undo_low_lsn,
            .log_start = earlier(slot.redo_lsn, slot.undo_low_lsn),
        };
        auto const lets_in = runtime_type::sabotaged(sabotage::pin_after_read);
        if (lets_in) databases_lock_.unlock();
        runtime_type::point(point_id::pin_numbers_read);
        if (lets_in) databases_lock_.lock();
        pins_[i] = pin.log_start;
        for (auto& known : databases_)
            if (known.file != nullptr) attached(known);
        return pin;
    }
    return error{.code = errc::resource};
}

template <class Traits>
void instance<Traits>::keep_log(log_pin const& pin, lsn from) noexcept {
    auto const held = holding{databases_lock_};
    pins_[pin.place] = earlier(pins_[pin.place], from);
}

template <class Traits>
void instance<Traits>::unpin_log(log_pin const& pin) noexcept {
    auto const held = holding{databases_lock_};
    pins_[pin.place] = no_lsn;
}

// ---- named

template <class Traits>
result<named_pin> instance<Traits>::create_pin(
    pin_id const& id, pin_options const& options
) noexcept {
    if (id.kind == pin_kind::free || options.byte_cap == 0)
        return error{.code = errc::invalid_argument};
    auto const held = hold_databases();
    if (log_->failed()) return error{.code = errc::instance_failed};
    auto const& slot = *checkpoint_->newest();
    if (slot.find_pin(id) != nullptr) return error{.code = errc::already_exists};
    auto place = named_pins_max;
    for (auto i = named_pins_max; i-- > 0;)
        if (!slot.pins[i].exists()) place = i;
    if (place == named_pins_max) return error{.code = errc::resource};
    auto const at = options.from ? options.from : earlier(slot.redo_lsn, slot.undo_low_lsn);
    auto const oldest = log_->oldest_kept();
    if (generation_of(at, segment_bytes_) < generation_of(oldest, segment_bytes_))
        return error{.code = errc::log_missing, .file = file_kind::log_segment, .at = oldest};
    if (at > log_->durable_lsn()) return error{.code = errc::invalid_argument, .at = at};
    auto const pin = named_pin{
        .owner = id.owner,
        .at = at,
        .byte_cap = options.byte_cap,
        .created_at = env_.runtime.wall(),
        .kind = id.kind,
    };
    BOOST_OUTCOME_TRY(checkpointer_->write_slot([&](checkpoint_slot& next) noexcept {
        complete_slot(next);
        next.pins[place] = pin;
    }));
    claimed_[place] = false;
    return pin;
}

template <class Traits>
result<named_pin> instance<Traits>::find_pin(pin_id const& id) noexcept {
    auto const held = holding{databases_lock_};
    auto const* const found = checkpoint_->newest()->find_pin(id);
    if (found == nullptr) return error{.code = errc::not_found, .file = file_kind::checkpoint};
    return *found;
}

template <class Traits>
result<void> instance<Traits>::advance_pin(pin_id const& id, lsn to) noexcept {
    auto const held = hold_databases();
    auto const& slot = *checkpoint_->newest();
    auto const* const found = slot.find_pin(id);
    if (found == nullptr) return error{.code = errc::not_found, .file = file_kind::checkpoint};
    if (found->is_broken())
        return error{.code = errc::pin_broken, .file = file_kind::checkpoint, .at = found->at};
    if (to < found->at || to > log_->durable_lsn())
        return error{.code = errc::invalid_argument, .at = to};
    if (to == found->at) return ok();
    auto const place = static_cast<std::size_t>(found - slot.pins.data());
    return checkpointer_->write_slot([&](checkpoint_slot& next) noexcept {
        complete_slot(next);
        next.pins[place].at = to;
    });
}

template <class Traits>
result<void> instance<Traits>::release_pin(pin_id const& id) noexcept {
    auto const held = hold_databases();
    auto const& slot = *checkpoint_->newest();
    auto const* const found = slot.find_pin(id);
    if (found == nullptr) return error{.code = errc::not_found, .file = file_kind::checkpoint};
    auto const place = static_cast<std::size_t>(found - slot.pins.data());
    return checkpointer_->write_slot([&](checkpoint_slot& next) noexcept {
        complete_slot(next);
        next.pins[place] = {};
    });
}

template <class Traits>
result<named_pin> instance<Traits>::claim_pin(pin_id const& id) noexcept {
    auto const held = holding{databases_lock_};
    auto const& slot = *checkpoint_->newest();
    auto const* const found = slot.find_pin(id);
    if (found == nullptr) return error{.code = errc::not_found, .file = file_kind::checkpoint};
    if (found->is_broken())
        return error{.code = errc::pin_broken, .file = file_kind::checkpoint, .at = found->at};
    auto& claimed = claimed_[static_cast<std::size_t>(found - slot.pins.data())];
    if (claimed) return error{.code = errc::backup_in_progress};
    claimed = true;
    return *found;
}

template <class Traits>
void instance<Traits>::unclaim_pin(pin_id const& id) noexcept {
    auto const held = holding{databases_lock_};
    auto const& slot = *checkpoint_->newest();
    if (auto const* const found = slot.find_pin(id))
        claimed_[static_cast<std::size_t>(found - slot.pins.data())] = false;
}

template <class Traits>
pin_list instance<Traits>::named_pins() noexcept {
    auto const held = holding{databases_lock_};
    auto found = pin_list{};
    for (auto const& one : checkpoint_->newest()->pins)
        if (one.exists()) found.add(one);
    return found;
}

template <class Traits>
pin_list instance<Traits>::take_broken_pins() noexcept {
    if (!pins_broke_.exchange(false, std::memory_order_acq_rel)) return {};
    auto const held = holding{databases_lock_};
    return std::exchange(broken_pins_, {});
}

template <class Traits>
bool instance<Traits>::break_pins(checkpoint_slot& slot) noexcept {
    auto const tail = log_->tail();
    auto broke = false;
    for (auto& pin : slot.pins) {
        if (!pin.holds() || pin.held_bytes(tail) <= pin.byte_cap) continue;
        pin.flags |= named_pin::broken;
        broke = true;
        if (broken_pins_.count < named_pins_max) broken_pins_.add(pin);
    }
    if (broke) pins_broke_.store(true, std::memory_order_release);
    return broke;
}

} // namespace jetpp::inline v1
