// jetpp/backup/backup_planner.hpp - what a backup does next, decided without doing anything.
//
//     begin -> pages ... -> switch_log -> log ... -> publish -> stamp -> release -> finished
//       \________\____________\____________\___________/
//                     failed, cancelled:  abandon -> release -> finished
//
// Whoever carries the plan out asks step(), does it, and says done(), failed() or cancel(). So every
// order of events, errors and cancellations included, is a test of a few lines.
// Invariants
//   * publish comes after every page and every segment; once it is asked for, nothing cancels
//   * whatever happened, the last step before finished is release
//   * a failure after publish does not undo the set
// Threads  one caller at a time.
// Owns     the list of files.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace jetpp::inline v1 {

enum class backup_stage : std::uint8_t {
    begin,      // pin the log, log the begin, freeze headers and sizes: then add_database()
    pages,      // read [first, end) of a database's image
    switch_log, // seal the log of the copy: then add_segment()
    log,        // read [first, end) of a segment's image
    drill,      // the set is restored for proof: a part of publish, which progress tells of
    publish,    // the set becomes one
    stamp,      // log the end, stamp the headers
    abandon,    // instead of publish: nothing stays
    release,    // let the log go
    finished,
};

struct backup_step {
    backup_stage stage{};
    std::uint16_t file{};  // ordinal in the manifest: databases, then the log
    std::size_t segment{}; // log: which one, as they were added
    std::uint64_t first{}; // pages: page number; log: offset in the segment
    std::uint64_t end{};
    bool opens_part = false;
    bool closes_part = false;
    friend bool operator==(backup_step const&, backup_step const&) = default;
};

// One step reads so much at most: two runs.
inline constexpr std::uint64_t chunk_bytes_max = 2 * std::uint64_t{run_bytes};
inline constexpr std::uint64_t log_part_bytes_max = std::uint64_t{1} << 30;

class backup_planner {
public:
    backup_planner(std::uint32_t page_size, std::uint64_t segment_bytes) noexcept
        : page_size_{page_size}, segment_bytes_{segment_bytes} {}

    // In answer to begin. `pages` is N: the image has N + 1, its trailer being the last.
    void add_database(std::uint32_t pages) noexcept {
        ensure(database_count_ < databases_max, "an instance has at most 16 databases");
        pages_[database_count_++] = std::uint64_t{pages} + 1;
        total_ += (std::uint64_t{pages} + 1) * page_size_;
    }
    // A database that the set speaks of and carries no page of.
    void add_database_without_pages() noexcept {
        ensure(database_count_ < databases_max, "an instance has at most 16 databases");
        pages_[database_count_++] = 0;
    }
    // In answer to switch_log, in the order of the log.
    void add_segments(std::size_t count) noexcept {
        segment_count_ += count;
        total_ += count * segment_bytes_;
    }

    [[nodiscard]] backup_step step() const noexcept {
        auto next = backup_step{.stage = stage_};
        if (stage_ == backup_stage::pages) {
            next.file = static_cast<std::uint16_t>(file_);
            next.first = at_;
            next.end = std::min(at_ + chunk_bytes_max / page_size_, pages_[file_]);
            next.opens_part = at_ == 0;
            next.closes_part = next.end == pages_[file_];
        } else if (stage_ == backup_stage::log) {
            next.file = static_cast<std::uint16_t>(database_count_);
            next.segment = segment_;
            next.first = at_;
            next.end = std::min(at_ + chunk_bytes_max, segment_bytes_);
            next.opens_part = at_ == 0 && segment_ % segments_a_part() == 0;
            next.closes_part =
                next.end == segment_bytes_ &&
                (segment_ + 1 == segment_count_ || (segment_ + 1) % segments_a_part() == 0);
        }
        return next;
    }

    // The step was carried out.
    void done() noexcept {
        auto const now = step();
        switch (stage_) {
        case backup_stage::begin:
            ensure(database_count_ != 0, "a backup is of some database");
            find_pages();
            break;
        case backup_stage::pages:
            at_ = now.end;
            if (!now.closes_part) break;
            at_ = 0;
            ++file_;
            find_pages();
            break;
        case backup_stage::switch_log:
            ensure(segment_count_ != 0, "a set has the log of its copy");
            stage_ = backup_stage::log;
            break;
        case backup_stage::log:
            at_ = now.end;
            if (at_ != segment_bytes_) break;
            at_ = 0;
            if (++segment_ == segment_count_) stage_ = backup_stage::publish;
            break;
        case backup_stage::drill:
        case backup_stage::publish: stage_ = backup_stage::stamp; break;
        case backup_stage::stamp:
        case backup_stage::abandon: stage_ = backup_stage::release; break;
        case backup_stage::release: stage_ = backup_stage::finished; break;
        case backup_stage::finished: break;
        }
    }
    // An earlier run got so far: to page `page` of database `file`; behind the last database it is
    // the log's turn. Requires: begin was carried out, nothing since; the page is none of a
    // database's ends.
    void resume_at(std::size_t file, std::uint64_t page) noexcept {
        ensure(stage_ == backup_stage::pages && at_ == 0, "nothing was read yet");
        ensure(file == database_count_ || page < pages_[file], "there is something left to read");
        file_ = file;
        find_pages();
        at_ = page;
    }
    // It was not. The first reason is kept.
    void failed(error const& why) noexcept {
        if (!problem_) problem_ = why;
        switch (stage_) {
        case backup_stage::begin:
        case backup_stage::pages:
        case backup_stage::switch_log:
        case backup_stage::log:
        case backup_stage::drill:
        case backup_stage::publish: stage_ = backup_stage::abandon; break;
        case backup_stage::stamp: // the set stands; that no header names it is harmless
        case backup_stage::abandon: stage_ = backup_stage::release; break;
        case backup_stage::release: stage_ = backup_stage::finished; break;
        case backup_stage::finished: break;
        }
    }
    // Returns: false if it is too late: the backup goes on to its end.
    bool cancel() noexcept {
        if (!is_before_publish()) return false;
        failed({.code = errc::cancelled});
        return true;
    }

    [[nodiscard]] bool is_before_publish() const noexcept { return stage_ < backup_stage::publish; }
    // Is there anything left to read?
    [[nodiscard]] bool is_reading() const noexcept {
        return stage_ == backup_stage::pages || stage_ == backup_stage::switch_log ||
               stage_ == backup_stage::log;
    }
    // Why it failed; nothing if it did not.
    [[nodiscard]] std::optional<error> const& problem() const noexcept { return problem_; }
    // Of all images known by now; grows at switch_log.
    [[nodiscard]] std::uint64_t total_bytes() const noexcept { return total_; }

private:
    // The next database that has pages to read; if there is none, the log.
    void find_pages() noexcept {
        while (file_ < database_count_ && pages_[file_] == 0) ++file_;
        stage_ = file_ < database_count_ ? backup_stage::pages : backup_stage::switch_log;
    }
    [[nodiscard]] std::size_t segments_a_part() const noexcept {
        return static_cast<std::size_t>(log_part_bytes_max / segment_bytes_);
    }

    std::uint32_t page_size_;
    std::uint64_t segment_bytes_;
    backup_stage stage_ = backup_stage::begin;
    std::array<std::uint64_t, databases_max> pages_{}; // trailer included; 0: none are read
    std::size_t database_count_ = 0;
    std::size_t segment_count_ = 0;
    std::size_t file_ = 0;
    std::size_t segment_ = 0;
    std::uint64_t at_ = 0;
    std::uint64_t total_ = 0;
    std::optional<error> problem_;
};

} // namespace jetpp::inline v1
