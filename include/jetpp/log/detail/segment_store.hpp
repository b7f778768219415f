// jetpp/log/detail/segment_store.hpp - the files of the log: prepared, kept, recycled.
//
//     (new) --zeroes--> spare-n --header, sync, rename, dir sync--> jet.<gen>.log --full--> kept
//                         ^                                                                  |
//                         +--------------- rename, dir sync (recycle) ----------------------+
// Invariants
//   * a file takes its final name only whole: full size, header synced; the directory is synced
//     before anybody counts on it
//   * every block of it is its own by then, written or allocated: no later write lacks space
//   * a kept file's bytes are not touched before its rename to a spare is durable
// Threads  prepare: one at a time (the writer's preparing lock). All else: any, under lock_.
// Owns     nothing open; prepared files are handed out.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/env/large_buffer.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/env/write_gate.hpp>
#include <jetpp/log/log_options.hpp>
#include <jetpp/log/segment.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace jetpp::inline v1::detail {

template <any_environment Env>
class segment_store {
public:
    using file = typename Env::file;
    using runtime = typename Env::runtime_type;

    segment_store(Env env, typename Env::directory& directory, log_options const& options) noexcept
        : directory_{directory}, options_{options}, lock_{env.runtime} {}

    // Writes pass it from now on. Requires: nobody else is here yet; it outlives the store.
    void obey(write_gate<runtime>& writes) noexcept { gate_ = &writes; }
    [[nodiscard]] write_gate<runtime>* gate() noexcept { return gate_; }
    [[nodiscard]] bool is_held() noexcept { return gate_ != nullptr && gate_->is_closed(); }

    // Takes stock of the directory for a log that will begin with `first`: older generations are
    // kept, later ones (prepared in a former life) become spares.
    [[nodiscard]] result<void> open(std::uint64_t first) noexcept {
        BOOST_OUTCOME_TRY(header_, aligned_buffer::create(segment_header::size));
        auto entries = array_list<directory_entry>{};
        if (auto listed = directory_.list(entries); !listed) return in_directory(listed.error());
        for (auto const& e : entries) {
            if (auto const number = parse_spare_name(e.name.view())) {
                next_spare_ = std::max(next_spare_, *number + 1);
                if (!spares_.push_back(*number)) return error{.code = errc::out_of_memory};
            }
        }
        auto renamed = false;
        for (auto const& e : entries) {
            auto const generation = parse_segment_name(e.name.view());
            if (!generation || *generation == first) continue;
            if (*generation < first) {
                if (!kept_.push_back(*generation)) return error{.code = errc::out_of_memory};
                continue;
            }
            BOOST_OUTCOME_TRY(make_spare(*generation));
            renamed = true;
        }
        std::sort(kept_.begin(), kept_.end());
        return renamed ? sync_directory(sabotage::recycle_without_dir_sync) : result<void>{ok()};
    }

    // Makes the file of a header: of full size, the first `prewritten` bytes of a new one written,
    // header synced, under its final name in a synced directory. `replace` puts it in the place of
    // a file of that generation.
    // Errors: disk_full (nothing is left behind), io and its kin, out_of_memory.
    [[nodiscard]] result<file> prepare(
        segment_header const& header, rename_how how, std::uint64_t prewritten
    ) noexcept {
        {
            auto const hold = holding{lock_};
            // retire() must not fail: room for every file that may be open at once.
            if (!kept_.reserve(kept_.size() + segments_open_max + 1))
                return error{.code = errc::out_of_memory};
            auto const files = kept_.size() + spares_.size() + open_;
            if (options_.log_bytes_limit != 0 && spares_.empty() &&
                (files + 1) * options_.segment_bytes > options_.log_bytes_limit)
                return error{.code = errc::disk_full, .file = file_kind::log_segment};
        }
        auto const inside = passage{gate_, passage_kind::nested};
        auto const [number, fresh] = take_spare();
        auto const name = spare_file_name(number);
        auto made = write_spare(name, fresh, header, prewritten);
        if (!made) {
            // A file half written is worth nothing, and its space may be what is lacking.
            auto const removed = directory_.remove(name);
            auto e = made.error().with_file(file_kind::log_segment);
            if (!removed && e.code == errc::disk_full) e.os_errno = removed.error().os_errno;
            return e;
        }
        runtime::point(point_id::before_rename);
        auto moved = directory_.rename(name, segment_file_name(header.generation), how);
        if (!moved) return moved.error().with_file(file_kind::log_segment);
        runtime::point(point_id::after_rename);
        BOOST_OUTCOME_TRY(sync_directory(sabotage::prepared_without_dir_sync));
        auto const hold = holding{lock_};
        ++open_;
        return made;
    }

    // A segment that is sealed and wholly written.
    void retire(std::uint64_t generation) noexcept {
        auto const hold = holding{lock_};
        --open_;
        ensure(kept_.push_back(generation), "room for kept segments was reserved at preparation");
    }

    // A prepared segment that was never begun goes back; the caller syncs the directory once.
    [[nodiscard]] result<void> unprepare(std::uint64_t generation) noexcept {
        auto const hold = holding{lock_};
        --open_;
        return make_spare(generation);
    }

    // Frees kept segments that end at or below floor, oldest first, but for the newest if that
    // is to stay. One that somebody took away is passed over, and counted: what it held is gone
    // already, and nobody needs it. Returns: how many were freed.
    // Complexity: a rename and a directory sync each, so that what a crash leaves has no hole.
    [[nodiscard]] result<std::uint32_t> release_below(lsn floor, bool keep_newest) noexcept {
        auto freed = std::uint32_t{0};
        auto const missing_before = missing_;
        for (;; ++freed) {
            BOOST_OUTCOME_TRY(auto const one, release_oldest(floor, keep_newest));
            if (!one) return freed - (missing_ - missing_before);
        }
    }
    // Segments that release_below() found missing since the last call. Requires: as it, one caller.
    [[nodiscard]] std::uint32_t take_missing() noexcept { return std::exchange(missing_, 0U); }

    [[nodiscard]] result<void> sync_directory(sabotage planted) noexcept {
        if (runtime::sabotaged(planted) || runtime::sabotaged(sabotage::skip_dir_sync)) return ok();
        runtime::point(point_id::before_dir_sync);
        if (auto done = directory_.sync(); !done) return in_directory(done.error());
        runtime::point(point_id::after_dir_sync);
        return ok();
    }

    // Cuts a sealed short segment to what it holds.
    [[nodiscard]] result<void> cut_to(std::uint64_t generation, std::uint64_t size) noexcept {
        BOOST_OUTCOME_TRY(auto opened, directory_.open(segment_file_name(generation), open_how{}));
        BOOST_OUTCOME_TRY(opened.truncate(size));
        return opened.sync(sync_how::full);
    }

    [[nodiscard]] std::optional<std::uint64_t> oldest_kept() noexcept {
        auto const hold = holding{lock_};
        if (kept_.empty()) return {};
        return kept_[0];
    }
    // How many release_below() would free, and the oldest that would stay.
    struct below_floor {
        std::uint32_t segments{};
        std::optional<std::uint64_t> next{};
    };
    [[nodiscard]] below_floor kept_below(lsn floor, bool keep_newest) noexcept {
        auto const hold = holding{lock_};
        auto found = below_floor{};
        auto const at_most = kept_.size() - (keep_newest && !kept_.empty() ? 1 : 0);
        while (found.segments < at_most &&
               segment_limit(kept_[found.segments], options_.segment_bytes) <= floor)
            ++found.segments;
        if (found.segments < kept_.size()) found.next = kept_[found.segments];
        return found;
    }
    [[nodiscard]] std::uint64_t file_count() noexcept {
        auto const hold = holding{lock_};
        return kept_.size() + spares_.size() + open_;
    }

    // Files between preparation and retirement.
    static constexpr std::size_t segments_open_max = 64;

private:
    using passage = typename write_gate<runtime>::passage;
    using passage_kind = typename write_gate<runtime>::passage_kind;
    static constexpr std::size_t zero_bytes = 1024 * 1024;

    [[nodiscard]] static error in_directory(error const& e) noexcept {
        return e.with_file(file_kind::directory);
    }

    struct spare {
        std::uint32_t number;
        bool fresh;
    };
    [[nodiscard]] spare take_spare() noexcept {
        auto const hold = holding{lock_};
        if (spares_.empty()) return {next_spare_++, true};
        auto const number = spares_.back();
        spares_.pop_back();
        return {number, false};
    }

    [[nodiscard]] result<bool> release_oldest(lsn floor, bool keep_newest) noexcept {
        auto const inside = passage{gate_, passage_kind::nested};
        auto const hold = holding{lock_};
        if (kept_.size() < (keep_newest ? 2 : 1)) return false;
        if (segment_limit(kept_[0], options_.segment_bytes) > floor) return false;
        auto gone = result<void>{ok()};
        if (spares_.size() < options_.spare_segments_max) {
            gone = make_spare(kept_[0]);
        } else {
            gone = directory_.remove(segment_file_name(kept_[0]));
        }
        if (!gone && gone.error().code != errc::not_found) return in_directory(gone.error());
        if (!gone) ++missing_;
        kept_.erase_at(0);
        // lock_ is held over this sync: nobody may take the new spare before it.
        BOOST_OUTCOME_TRY(sync_directory(sabotage::recycle_without_dir_sync));
        runtime::point(point_id::segment_recycled);
        return true;
    }

    // Renames only. Requires: lock_ is held (or nobody else is here yet).
    [[nodiscard]] result<void> make_spare(std::uint64_t generation) noexcept {
        if (!spares_.reserve(spares_.size() + 1)) return error{.code = errc::out_of_memory};
        auto const number = next_spare_++;
        auto moved = directory_.rename(
            segment_file_name(generation), spare_file_name(number), rename_how::no_replace
        );
        if (!moved) return in_directory(moved.error());
        return spares_.push_back(number) ? result<void>{ok()} : error{.code = errc::out_of_memory};
    }

    [[nodiscard]] result<file> write_spare(
        file_name const& name, bool fresh, segment_header const& header, std::uint64_t prewritten
    ) noexcept {
        auto const mode = fresh ? open_mode::create_new : open_mode::read_write;
        BOOST_OUTCOME_TRY(auto made, directory_.open(name, {.mode = mode}));
        auto const unit = made.layout().alignment;
        if (unit == 0 || segment_header_bytes % unit != 0)
            return error{.code = errc::alignment_mismatch};
        // A recycled file keeps its bytes: the new nonce makes nonsense of them. What it lacks in
        // size (a sealed segment may have been cut) is written, so that no later write allocates.
        BOOST_OUTCOME_TRY(auto const size, made.size());
        auto const written =
            fresh ? std::min(prewritten, header.segment_bytes) : header.segment_bytes;
        for (auto at = round_down(std::min(size, header.segment_bytes), std::uint64_t{4096});
             at < written;) {
            if (zeroes_.size() == 0) {
                BOOST_OUTCOME_TRY(zeroes_, create_large_buffer(zero_bytes));
            }
            auto const n = std::min<std::uint64_t>(zeroes_.size(), written - at);
            BOOST_OUTCOME_TRY(write_full(made, zeroes_.part(0, static_cast<std::size_t>(n)), at));
            at += n;
        }
        if (written < header.segment_bytes) {
            BOOST_OUTCOME_TRY(made.allocate(written, header.segment_bytes - written));
        }
        if (size > header.segment_bytes) {
            BOOST_OUTCOME_TRY(made.truncate(header.segment_bytes));
        }
        header.encode(header_.all());
        BOOST_OUTCOME_TRY(write_full(made, header_.all(), 0));
        BOOST_OUTCOME_TRY(made.sync(sync_how::full));
        return made;
    }

    typename Env::directory& directory_;
    log_options const options_;
    write_gate<runtime>* gate_ = nullptr;
    aligned_buffer zeroes_;            // made when first needed, never written
    aligned_buffer header_;            // of the file under preparation
    basic_mutex<runtime> lock_;        // held over a release: its rename and directory sync
    array_list<std::uint64_t> kept_;   // generations, ascending
    array_list<std::uint32_t> spares_; // numbers
    std::uint32_t next_spare_ = 0;
    std::uint32_t missing_ = 0;
    std::size_t open_ = 0; // prepared and not yet retired
};

} // namespace jetpp::inline v1::detail
