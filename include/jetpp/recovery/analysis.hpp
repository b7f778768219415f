// jetpp/recovery/analysis.hpp - what one pass over the log tells before a page is touched.
//
// Which transactions have no end (the losers, whose changes will be undone), which databases were
// attached when the log ended, where the newest commit lies. Memory is bounded by the number of
// transactions open at one time, not by the log.
// Invariants
//   * a transaction id at or above the scan start shows its first record before any other
//   * one below it must show its end: the scan start lies at or below undo_low_lsn
// Threads  one owner.
// Source   ARIES analysis pass.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/file_name.hpp>
#include <jetpp/env/runtime.hpp>
#include <jetpp/log/log_record.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace jetpp::inline v1 {

// A database as the log knows it.
struct logged_database {
    database_id id{};
    std::uint16_t flags{};
    uuid database{};
    std::uint64_t nonce{};
    lsn attach_lsn{};
    bool joined{};        // its attach record is in the range,
    lsn consistent_lsn{}; // and said this of the file
    bool created{};       // its db_create is in the range: the file can be made again from the log
    file_name name{};
};

// A backup that had begun and of which the log does not tell how it ended.
struct unended_backup {
    uuid set{};
    lsn at{}; // its begin record
};

struct unended_backups {
    std::array<unended_backup, 16> all{}; // as many as there are pins; the oldest first
    std::size_t count = 0;
};

class log_analysis {
public:
    // `scan_start`: below it only attach, detach and lists of attached databases count.
    explicit log_analysis(lsn scan_start) noexcept : scan_start_{scan_start} {}

    // Errors: log_corrupt, too_many_databases (log_corrupt), unsafe_name, out_of_memory.
    [[nodiscard]] result<void> see(log_record const& record) noexcept {
        if (auto const* list = record.as<record::attach_list>()) return see_list(record, *list);
        if (auto const* made = record.as<record::db_create>())
            return attach(
                record,
                {.id = record.header.database,
                 .database = made->id,
                 .nonce = made->nonce,
                 .attach_lsn = record.at,
                 .created = true},
                made->name
            );
        if (auto const* joined = record.as<record::attach>())
            return attach(
                record,
                {.id = record.header.database,
                 .flags = joined->flags,
                 .database = joined->id,
                 .nonce = joined->nonce,
                 .attach_lsn = record.at,
                 .joined = true,
                 .consistent_lsn = joined->consistent_lsn},
                joined->name
            );
        if (record.as<record::detach>() != nullptr) {
            forget(record.header.database);
            return ok();
        }
        if (record.at < scan_start_) return ok();
        ++records_;
        if (auto const* mark = record.as<record::time_mark>()) see_wall(mark->wall);
        if (auto const* point = record.as<record::restore_point>()) see_wall(point->wall);
        if (auto const* end_mark = record.as<record::commit>()) see_wall(end_mark->wall);
        if (auto const* begun = record.as<record::backup_begin>()) see_begin(begun->set, record.at);
        if (auto const* ended = record.as<record::backup_end>()) see_end(ended->set);
        auto const transaction = record.header.transaction;
        if (!transaction) return ok();
        if (record.as<record::commit>() != nullptr) {
            last_commit_ = record.at;
            return end(record, transaction);
        }
        if (record.as<record::rollback>() != nullptr) return end(record, transaction);
        if (transaction == record.at) {
            if (!open_.push_back(transaction)) return error{.code = errc::out_of_memory};
            return ok();
        }
        if (transaction < scan_start_ && !is_open(transaction))
            if (!open_.push_back(transaction)) return error{.code = errc::out_of_memory};
        if (!is_open(transaction)) return bad_record().with_lsn(record.at);
        return ok();
    }

    // At the end of the log. Errors: log_corrupt (a transaction from below the scan start is open).
    [[nodiscard]] result<void> finish() noexcept {
        std::sort(open_.begin(), open_.end());
        if (!open_.empty() && open_[0] < scan_start_) return bad_record().with_lsn(open_[0]);
        return ok();
    }

    // Ids of transactions without an end, ascending after finish().
    [[nodiscard]] std::span<lsn const> losers() const noexcept {
        return {open_.data(), open_.size()};
    }
    [[nodiscard]] bool is_loser(lsn transaction) const noexcept {
        return std::binary_search(open_.begin(), open_.end(), transaction);
    }
    [[nodiscard]] lsn last_commit() const noexcept { return last_commit_; }
    // The latest wall time in the log: later records must not show an earlier one.
    [[nodiscard]] wall_time latest_wall() const noexcept { return latest_wall_; }
    [[nodiscard]] std::uint64_t records() const noexcept { return records_; }
    // Only of those that began at or above the scan start.
    [[nodiscard]] unended_backups const& backups() const noexcept { return backups_; }
    [[nodiscard]] std::span<logged_database const> databases() const noexcept {
        return {databases_.data(), database_count_};
    }
    [[nodiscard]] logged_database const* database(database_id id) const noexcept {
        for (auto const& known : databases())
            if (known.id == id) return &known;
        return nullptr;
    }

private:
    void see_begin(uuid const& set, lsn at) noexcept {
        if (backups_.count == backups_.all.size()) drop_backup(0);
        backups_.all[backups_.count++] = {set, at};
    }
    void see_end(uuid const& set) noexcept {
        for (std::size_t i = 0; i < backups_.count; ++i)
            if (backups_.all[i].set == set) return drop_backup(i);
    }
    void drop_backup(std::size_t place) noexcept {
        for (--backups_.count; place < backups_.count; ++place)
            backups_.all[place] = backups_.all[place + 1];
    }
    void see_wall(wall_time wall) noexcept {
        if (latest_wall_ < wall) latest_wall_ = wall;
    }
    [[nodiscard]] bool is_open(lsn transaction) const noexcept {
        // The newest are the likeliest.
        for (auto i = open_.size(); i-- > 0;)
            if (open_[i] == transaction) return true;
        return false;
    }
    [[nodiscard]] result<void> end(log_record const& record, lsn transaction) noexcept {
        for (auto i = open_.size(); i-- > 0;) {
            if (open_[i] != transaction) continue;
            open_.erase_at(i);
            return ok();
        }
        if (transaction >= scan_start_) return bad_record().with_lsn(record.at);
        return ok();
    }

    void forget(database_id id) noexcept {
        for (std::size_t i = 0; i < database_count_; ++i)
            if (databases_[i].id == id) {
                databases_[i] = databases_[--database_count_];
                return;
            }
    }
    [[nodiscard]] result<void> attach(
        log_record const& record, logged_database joined, const_bytes name
    ) noexcept {
        BOOST_OUTCOME_TRY(joined.name, file_name::make(as_text(name)));
        forget(joined.id);
        if (database_count_ == databases_.size() || joined.id == no_database)
            return bad_record().with_lsn(record.at);
        databases_[database_count_++] = joined;
        return ok();
    }
    [[nodiscard]] result<void> see_list(
        log_record const& record, record::attach_list const& list
    ) noexcept {
        auto const before = databases_;
        auto const before_count = database_count_;
        database_count_ = 0;
        auto outcome = result<void>{ok()};
        list.for_each([&](attach_entry const& entry) noexcept {
            auto one = logged_database{
                .id = entry.database,
                .flags = entry.flags,
                .database = entry.id,
                .nonce = entry.nonce,
                .attach_lsn = entry.attach_lsn,
            };
            for (std::size_t i = 0; i < before_count; ++i)
                if (before[i].id == one.id && before[i].database == one.database) {
                    one.created = before[i].created;
                    one.joined = before[i].joined;
                    one.consistent_lsn = before[i].consistent_lsn;
                }
            if (outcome) outcome = attach(record, one, entry.name);
        });
        return outcome;
    }

    lsn scan_start_;
    lsn last_commit_{};
    wall_time latest_wall_{};
    std::uint64_t records_ = 0;
    array_list<lsn> open_;
    unended_backups backups_{};
    std::array<logged_database, databases_max> databases_{};
    std::size_t database_count_ = 0;
};

} // namespace jetpp::inline v1
