// jetpp/backup/live_backup.hpp - the source side of an online backup: a running instance.
//
//     begin()       the log is pinned, then the begin record durable, then headers and sizes frozen
//     read(chunk)   the next stretch of page images, the sealed log behind them
//     complete()    the end record durable, then the headers stamped
//     abandon()     the abort is logged; release() in any case: the log may go
// Writers are never stopped and no snapshot is held: the pages are of different moments, and the
// log makes one of them.
// Invariants
//   * the pin is set in the critical section in which its positions are read
//   * a page is emitted only if the durable log covers it; the log of the set covers all of them
//   * no latch and no lock of the engine is held when a call returns
// Threads  one caller at a time; every call may block. The instance outlives this.
// Owns     the pin, from begin() to release(); what reads ahead.
// Source   backup rules R2, R3, R8, R11, R13, R20, R21, R23, R24, R25.
#pragma once

#include <jetpp/backup/backup_bases.hpp>
#include <jetpp/backup/backup_chunk.hpp>
#include <jetpp/backup/backup_kind.hpp>
#include <jetpp/backup/backup_marks.hpp>
#include <jetpp/backup/backup_planner.hpp>
#include <jetpp/backup/blocks_ahead.hpp>
#include <jetpp/backup/copy_front.hpp>
#include <jetpp/backup/frozen_database.hpp>
#include <jetpp/backup/live_pages.hpp>
#include <jetpp/backup/log_chain.hpp>
#include <jetpp/backup/log_range.hpp>
#include <jetpp/backup/page_copier.hpp>
#include <jetpp/backup/resume_record.hpp>
#include <jetpp/backup/segment_source.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/recovery/database_lives.hpp>
#include <jetpp/recovery/instance.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// What is to be made.
struct backup_order {
    uuid set{};
    backup_kind kind = backup_kind::full;
    bool checkpoint_first = true;
    base_finder const* find_base = nullptr; // incremental, differential
    backup_base const* base = nullptr;      // pages
    std::span<std::string const> only{};    // databases by name; empty: all that are not exempt
    std::uint64_t named_pin_cap = 0;        // keeps its log by a named pin, too; 0: by none

    [[nodiscard]] bool wants(std::string_view name, bool is_exempt) const noexcept {
        if (only.empty()) return !is_exempt;
        return std::find(only.begin(), only.end(), name) != only.end();
    }
};

template <class Traits>
class live_backup : private copy_front<Traits> {
    using front = copy_front<Traits>;
    using front::bounds_;
    using front::count_;
    using front::files_;
    using front::frozen_;
    using front::pin_;
    using front::wanted_start_;
    using env = typename Traits::env;
    using runtime = typename env::runtime_type;
    using checksum = typename Traits::checksum;
    static constexpr std::size_t page_size = Traits::page_size;
    using limits = page_limits<page_size>;
    using source_type = live_pages<Traits>;
    using copier_type = page_copier<page_size, checksum, source_type, runtime>;

public:
    explicit live_backup(instance<Traits>& of) noexcept : in_{&of} {}
    live_backup(live_backup const&) = delete;
    live_backup& operator=(live_backup const&) = delete;
    ~live_backup() { release(); }

    // Errors: not_found (no database is attached that is not exempt, or one that is wanted is not),
    // resource (too many pins), those of a checkpoint and of the log. Of kinds that stand on others,
    // before anything is logged: circular_logging, full_backup_required (database), base_not_here,
    // log_gap (the first LSN that is missing).
    [[nodiscard]] result<void> begin(backup_order const& order, backup_planner& plan) noexcept;

    // Instead of begin(), first step: the pin and the positions of a run that was interrupted.
    // Errors: cannot_resume (another timeline; a database is gone, or one joined or left since, so
    // that the log would not explain the files), pin_broken, backup_in_progress (somebody else goes
    // on with it), as begin().
    [[nodiscard]] result<void> resume(backup_order const& order, resume_record const& was) noexcept;
    // Second step, the parts being known: `whole` databases, and one, if `is_begun`, are copied as
    // they were frozen then; what comes behind them is frozen now. Errors: cannot_resume, as begin().
    [[nodiscard]] result<void> freeze_rest(
        resume_record const& was, std::size_t whole, bool is_begun, backup_planner& plan
    ) noexcept;
    // What a later run has to know. Requires: begin(), with a named pin.
    [[nodiscard]] resume_record record_of_begin() const;
    // The end of an interrupted run: the named pin stays.
    void interrupt() noexcept {
        if (bounds_.begin_lsn)
            (void)log_backup_end(*in_, set_, kind_, backup_status::aborted, bounds_, 0, files());
        unclaim();
    }
    // Nobody will go on with the set. Errors: of the instance.
    [[nodiscard]] result<void> release_named_pin() noexcept {
        unclaim();
        auto const gone = in_->release_pin(pin_id::of_backup(set_));
        return gone || gone.error().code == errc::not_found ? result<void>{ok()} : gone;
    }

    // From now on up to `blocks` of the pages steps to come, of `plan` as it stands, are read before
    // they are asked for; all of them then have to be asked for, in turn. 0: none, and without memory
    // for it as well. Once, behind begin() or freeze_rest().
    // `readers`: so many at once.
    void read_ahead(backup_planner const& plan, std::size_t blocks, std::size_t readers) noexcept;

    // Carries out one pages or log step. Errors: page_damaged (database, page, reason), log_damaged
    // (LSN), log_gap, history_break (database, LSN: the attach of another copy of it), those of
    // storage and of the log.
    [[nodiscard]] result<void> read(backup_step const& step, backup_chunk& into) noexcept;

    // Seals the log of the copy. Errors: log_gap, those of storage and of the log.
    [[nodiscard]] result<void> switch_log(backup_planner& plan) noexcept;

    // After the set was published: stamps what it covers. Errors: of the log and the headers.
    [[nodiscard]] result<void> complete(std::uint64_t manifest_hash) noexcept;
    // Best effort. Nothing is stamped.
    void abandon() noexcept {
        if (!bounds_.begin_lsn) return;
        (void)log_backup_end(*in_, set_, kind_, backup_status::aborted, bounds_, 0, files());
    }
    void release() noexcept {
        ahead_.reset(); // before the log goes, and with it what keeps the files as they are
        unclaim();
        this->release_log(*in_);
    }

    [[nodiscard]] backup_bounds const& bounds() const noexcept { return bounds_; }
    [[nodiscard]] std::span<frozen_database const> databases() const noexcept {
        return {frozen_.data(), count_};
    }
    [[nodiscard]] std::span<chained_segment const> segments() const noexcept {
        return {chain_.data(), chain_.size()};
    }
    // The sets it stands on, the newest first.
    [[nodiscard]] std::vector<manifest_base> const& bases() const noexcept { return bases_; }
    // Where another copy of a database was put back, in log that the set's own pages do not need: no
    // older base can be rolled forward over it.
    [[nodiscard]] std::optional<error> const& broken_below() const noexcept {
        return broken_below_;
    }
    // Does the set lack pages of the i-th database that its base has?
    [[nodiscard]] bool is_delta(std::size_t i) const noexcept { return !taken_[i].takes_all(); }

private:
    void unclaim() noexcept {
        if (std::exchange(claimed_, false)) in_->unclaim_pin(pin_id::of_backup(set_));
    }
    [[nodiscard]] result<void> pin_by_name(std::uint64_t cap) noexcept;
    [[nodiscard]] result<void> put_in_order(resume_record const& was) noexcept;
    [[nodiscard]] result<void> check_log_since(lsn begin) noexcept;
    [[nodiscard]] result<void> check_order(backup_order const& order);
    [[nodiscard]] result<void> freeze() noexcept;
    [[nodiscard]] source_files<Traits> files() const noexcept { return {files_.data(), count_}; }

    // Of a step, what stands in the file.
    struct page_span {
        std::uint64_t first{};
        std::uint64_t end{};
    };
    [[nodiscard]] page_span pages_of(backup_step const& step) const noexcept {
        return {
            std::max<std::uint64_t>(step.first, limits::first_page.value),
            std::min<std::uint64_t>(step.end, frozen_[step.file].pages)
        };
    }
    // The tasks that read ahead know of nothing else: what they read was frozen before. Short reads are
    // no slower for a device, and who waits for one page of his own waits behind one of them.
    struct fetch_pages {
        static constexpr std::size_t read_bytes = std::size_t{256} << 10;
        static constexpr std::uint64_t pages_a_read = read_bytes / page_size;
        live_backup const* of;
        [[nodiscard]] result<std::size_t> operator()(backup_step const& step, bytes into)
            const noexcept {
            auto const [first, end] = of->pages_of(step);
            if (first >= end) return std::size_t{0};
            auto const size = static_cast<std::size_t>((end - first) * page_size);
            auto left =
                into.subspan(static_cast<std::size_t>((first - step.first) * page_size), size);
            for (auto page = first; page < end; page += pages_a_read) {
                auto const piece = left.first(std::min(left.size(), read_bytes));
                left = left.subspan(piece.size());
                BOOST_OUTCOME_TRY(of->files_[step.file]->read_pages(
                    page_number{static_cast<std::uint32_t>(page)}, piece
                ));
            }
            return size;
        }
    };
    using ahead_type = blocks_ahead<env, backup_step, fetch_pages>;

    [[nodiscard]] result<void> read_pages(backup_step const& step, backup_chunk& into) noexcept;
    [[nodiscard]] result<bool> read_run(
        std::size_t file, chunk_run& run, bytes image, bool is_read
    ) noexcept;
    [[nodiscard]] result<void> take_ahead(backup_step const& step, backup_chunk& into) noexcept;
    [[nodiscard]] result<void> read_log(backup_step const& step, backup_chunk& into) noexcept;
    [[nodiscard]] result<void> see(log_record const& record) noexcept;

    instance<Traits>* in_;
    uuid set_{};
    bool claimed_ = false; // the named pin, by this
    backup_kind kind_{};
    std::vector<manifest_base> bases_;
    std::array<page_selection, databases_max> taken_{}; // of each database
    array_list<chained_segment> chain_;
    std::optional<segment_source<env>> segment_;
    database_lives lives_;       // in the log that a restore of this set replays
    database_lives older_lives_; // in all of the set's log
    std::optional<error> broken_below_;
    std::unique_ptr<ahead_type> ahead_;
    backup_planner ahead_plan_{1, 1}; // stands at the next step to be read ahead
};

} // namespace jetpp::inline v1

#include <jetpp/backup/detail/live_backup_bodies.hpp>
#include <jetpp/backup/detail/live_resume_bodies.hpp>
