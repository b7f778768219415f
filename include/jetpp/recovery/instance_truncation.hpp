// jetpp/recovery/instance_truncation.hpp - truncation, the room for log, restore points: bodies of
// instance.
//
// Included by instance.hpp.
#pragma once

#include <jetpp/core/insertion_sort.hpp>
#include <jetpp/core/utf8.hpp>
#include <jetpp/recovery/instance.hpp>

#include <algorithm>

namespace jetpp::inline v1 {

// The lowest hold first; among equals the database without any backup, whom only a backup moves.
template <class Traits>
void instance<Traits>::find_holds(truncation_report& report) noexcept {
    report.hold_count = 0;
    report.exempt_count = 0;
    auto const add = [&](log_hold const& one) { report.holds[report.hold_count++] = one; };
    auto const slot = *checkpoint_->newest();
    add({.who = log_holder::redo, .from = slot.redo_lsn});
    add({.who = log_holder::undo, .from = slot.undo_low_lsn});
    for (auto const pin : pins_)
        if (pin) add({.who = log_holder::running, .from = pin});
    for (auto const& pin : slot.pins) {
        if (!pin.holds()) continue;
        auto owner = file_name{};
        if (pin.kind == pin_kind::resumable_backup) owner.add("backup ");
        owner.add(pin.id().text().view());
        add({.who = log_holder::pin, .from = pin.at, .name = owner});
    }
    for (auto& known : databases_) {
        if (known.file == nullptr) continue;
        auto const header = known.file->header();
        auto one = log_hold{
            .who = log_holder::header,
            .from = known.file->min_required_floor(),
            .database = known.file->id(),
            .name = known.name,
        };
        add(one);
        if (header.is_backup_exempt()) report.exempts[report.exempt_count++] = known.name;
        if (!archival_ || header.is_backup_exempt()) continue;
        one.from = later(
            header.mark(mark_kind::full).end_lsn, header.mark(mark_kind::incremental).end_lsn
        );
        one.who = one.from ? log_holder::backup : log_holder::no_backup;
        if (one.who == log_holder::no_backup &&
            runtime_type::sabotaged(sabotage::truncate_unstamped))
            continue;
        add(one);
    }
    insertion_sort(
        std::span{report.holds}.first(report.hold_count),
        [](log_hold const& a, log_hold const& b) { return a.from < b.from; }
    );
    report.limit = report.holds[0].from;
}

template <class Traits>
auto instance<Traits>::truncate_log(truncation_options const& options) noexcept
    -> result<truncation_report> {
    look_at_sessions();
    auto const held = hold_databases();
    auto report = truncation_report{};
    report.oldest_before = log_->oldest_kept();
    report.oldest = report.oldest_before;
    if (log_->failed()) return error{.code = errc::instance_failed};
    auto slot = *checkpoint_->newest();
    if (break_pins(slot)) {
        BOOST_OUTCOME_TRY(checkpointer_->write_slot([&](checkpoint_slot& next) noexcept {
            complete_slot(next);
            next.pins = slot.pins;
        }));
    }
    if (!archival_) {
        find_holds(report);
        report.circular = true;
        return report;
    }
    // A header copy follows the checkpoint by one, and one copy at a time.
    for (auto turns = 0; turns < 3; ++turns) {
        find_holds(report);
        auto const who = report.holder().who;
        if (who != log_holder::redo && who != log_holder::undo && who != log_holder::header) break;
        auto const before = report.limit;
        BOOST_OUTCOME_TRY(checkpoint_locked(
            options.write_home && turns == 0 ? checkpoint_how::flush_all : checkpoint_how::ordinary
        ));
        find_holds(report);
        if (turns > 0 && report.limit == before) break;
    }
    auto const limit = earlier(report.limit, options.below);
    auto const below = log_->kept_below(limit);
    report.segments = below.segments;
    report.oldest = below.oldest_left;
    if (!options.dry_run && below.segments != 0) {
        BOOST_OUTCOME_TRY(report.segments, log_->release_below(limit));
        report.missing = log_->take_missing();
        report.oldest = log_->oldest_kept();
    }
    report.bytes = report.segments * segment_bytes_;
    return report;
}

template <class Traits>
result<log_room> instance<Traits>::room_for_log() noexcept {
    auto found = log_room{.oldest = log_->oldest_kept(), .tail = log_->tail()};
    if (!archival_) return found;
    found.kept = found.tail - found.oldest;
    BOOST_OUTCOME_TRY(auto const space, dir_->space());
    found.free = space.free_bytes;
    auto report = truncation_report{};
    auto const held = holding{databases_lock_};
    find_holds(report);
    found.holder = report.holder();
    return found;
}

template <class Traits>
result<lsn> instance<Traits>::log_restore_point(std::string_view label) noexcept {
    if (label.empty() || label.size() > record::restore_point::label_size_max || !is_utf8(label))
        return error{.code = errc::invalid_argument};
    auto body = record::restore_point{.label = as_bytes(label)};
    return log_alone({}, body);
}

} // namespace jetpp::inline v1
