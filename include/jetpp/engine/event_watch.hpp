// jetpp/engine/event_watch.hpp - turns what changed in an instance since the last look into events.
//
// The layers below know nothing of events: they count, and whoever does the background steps looks
// between them. So a sink runs outside all their locks, and a step costs two loads.
// Threads  one at a time: the cleaner, or whoever polls.
// Source   backup rules R28, R29.
#pragma once

#include <jetpp/core/errc.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/engine/engine_core.hpp>
#include <jetpp/engine/options.hpp>
#include <jetpp/recovery/truncation.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

template <class Traits>
class event_watch {
public:
    explicit event_watch(engine_core<Traits>& core) noexcept : core_{&core} {}

    // Of an open that went well.
    void tell_recovery() const noexcept {
        auto const& found = core_->store.report();
        if (found.pins_lost) tell({.kind = event_kind::pins_lost});
        if (!found.recovered) return;
        tell({
            .kind = event_kind::recovered,
            .from = found.scan_start,
            .to = found.end,
            .count = found.records,
        });
        if (found.pages_repaired != 0)
            tell({.kind = event_kind::page_repaired, .count = found.pages_repaired});
        for (std::size_t i = 0; i < found.aborted.count; ++i)
            tell({.kind = event_kind::backup_aborted_by_crash, .from = found.aborted.all[i].at});
    }

    // Errors: those of storage, which tells how much room is left.
    [[nodiscard]] result<void> look() noexcept {
        auto const given_up = core_->transactions().people().cancelled();
        if (given_up != given_up_) {
            tell({.kind = event_kind::snapshots_given_up, .count = given_up - given_up_});
            given_up_ = given_up;
        }
        auto const checkpoints = core_->store.checkpoints();
        if (checkpoints == checkpoints_ || core_->options.events.on_event == nullptr) return ok();
        checkpoints_ = checkpoints;
        auto const slot = core_->store.durable_slot();
        tell({.kind = event_kind::checkpoint, .from = slot.redo_lsn, .to = slot.end_lsn});
        return look_at_log();
    }

private:
    static constexpr auto levels = std::array<std::uint64_t, 3>{50, 75, 90};

    void tell(event const& what) const noexcept { core_->options.events(what); }

    // Each level once, until the log has fallen below it again.
    [[nodiscard]] result<void> look_at_log() noexcept {
        BOOST_OUTCOME_TRY(auto const room, core_->store.room_for_log());
        auto reached = std::size_t{0};
        while (reached < levels.size() && room.percent() >= levels[reached]) ++reached;
        auto const before = levels_told_;
        levels_told_ = reached;
        if (reached <= before) return ok();
        auto const& who = room.holder;
        tell({
            .kind = event_kind::log_held,
            .why = who.who == log_holder::no_backup
                       ? error{.code = errc::full_backup_required, .database = who.database.value}
                       : error{},
            .from = room.oldest,
            .to = room.tail,
            .count = levels[reached - 1],
        });
        return ok();
    }

    engine_core<Traits>* core_;
    std::uint64_t given_up_ = 0;
    std::uint64_t checkpoints_ = 0;
    std::size_t levels_told_ = 0;
};

} // namespace jetpp::inline v1
