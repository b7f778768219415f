// jetpp/backup/copy_front.hpp - how every copy of a running instance begins: what a backup and an
// external session share.
//
//     refused while frozen -> checkpoint -> pin, and the databases under it -> where the log begins
//
// A base of both, for its members are what they go on with.
// Threads  one owner.
// Owns     the pin, until release_log().
// Source   backup rules R2, R11, R23, R63.
#pragma once

#include <jetpp/backup/backup_kind.hpp>
#include <jetpp/backup/frozen_database.hpp>
#include <jetpp/backup/log_range.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/recovery/instance.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
class copy_front {
    using runtime = typename Traits::env::runtime_type;

protected:
    copy_front() noexcept = default;
    ~copy_front() = default;

    // wants(std::string_view name, bool is_exempt) noexcept -> bool: is that database to be copied?
    // Errors: circular_logging, backup_in_progress (frozen), not_found (none that is wanted is
    // attached), resource (too many pins), disk_full (of the log), those of a checkpoint.
    template <class Wants>
    [[nodiscard]] result<void> pin_databases(
        instance<Traits>& in, backup_kind kind, bool checkpoint_first, Wants&& wants
    ) noexcept {
        if (!has_pages(kind) && !in.is_archival()) return error{.code = errc::circular_logging};
        // Refused at once; the checkpoint would wait for the thaw.
        if (in.is_frozen()) return error{.code = errc::backup_in_progress};
        BOOST_OUTCOME_TRY(check_room(in));
        if (checkpoint_first && has_pages(kind)) {
            BOOST_OUTCOME_TRY(in.checkpoint(checkpoint_how::ordinary));
        }
        auto const pin = in.pin_log([&](auto& known) noexcept {
            auto const header = known.file->header();
            if (!wants(known.name.view(), header.is_backup_exempt())) return;
            files_[count_] = known.file.get();
            frozen_[count_].header = header;
            frozen_[count_++].name = known.name;
        });
        if (!pin) return pin.error();
        pin_ = pin.assume_value();
        if (count_ == 0) return error{.code = errc::not_found, .file = file_kind::database};
        if (has_pages(kind)) {
            bounds_.redo_lsn = pin_->redo_lsn;
            bounds_.undo_low_lsn = pin_->undo_low_lsn;
            bounds_.log_start = pin_->log_start;
        }
        return ok();
    }
    // Nothing of the log is used again until the backup has ended, and it seals a segment: whoever
    // begins with no room for that would fill the log's disk, and writers would fail.
    // Errors: disk_full, of storage.
    [[nodiscard]] static result<void> check_room(instance<Traits>& in) noexcept {
        BOOST_OUTCOME_TRY(auto const space, in.where().space());
        if (space.free_bytes >= in.segment_bytes()) return ok();
        return error{.code = errc::disk_full, .file = file_kind::log_segment};
    }
    // Of log sets it is the end of what they stand on, which bounds_.log_start says already; a copy or
    // pages set needs its own log alone; a full goes back to the chain's end.
    // Errors: log_gap, of storage, out_of_memory.
    [[nodiscard]] result<void> keep_wanted_log(instance<Traits>& in, backup_kind kind) noexcept {
        wanted_start_ = bounds_.log_start;
        if (kind == backup_kind::full && !runtime::sabotaged(sabotage::full_without_chain))
            wanted_start_ = wanted_log_start(in, bounds_.log_start, {frozen_.data(), count_});
        if (!has_pages(kind)) return keep_log_from(in, *pin_, wanted_start_);
        // Where log from before the copy is gone, the manifest will say so.
        in.keep_log(*pin_, wanted_start_);
        return ok();
    }
    void release_log(instance<Traits>& in) noexcept {
        if (pin_) in.unpin_log(*std::exchange(pin_, std::nullopt));
    }

    std::optional<typename instance<Traits>::log_pin> pin_;
    backup_bounds bounds_{};
    std::array<frozen_database, databases_max> frozen_{};
    std::array<paged_file<Traits>*, databases_max> files_{};
    std::size_t count_ = 0;
    lsn wanted_start_{}; // where the log of the copy shall begin
};

} // namespace jetpp::inline v1
