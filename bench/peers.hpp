// bench/peers.hpp - what the comparison asks of a storage engine, jetpp or another.
//
// One store, one directory, one ordered table of byte rows. Threads reach it through sessions, one
// each. Failures are exceptions: a benchmark has nothing better to do than to end its row.
// Every adapter is a translation unit of its own, which adds itself to contenders(); one that was
// not built is simply not there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace peers {

struct row_view {
    std::string_view key, value;
};

// What a row that has been acknowledged survives.
enum class survives { process_end, power_loss };

struct store_options {
    std::filesystem::path directory{};
    std::size_t cache_bytes{};
    std::uint64_t redo_bytes_max{}; // of log between checkpoints
    std::uint64_t data_bytes{};     // an upper bound, for who must reserve address space
};

struct scan_tally {
    std::uint64_t rows{};
    std::uint64_t bytes{};
};

class session {
public:
    session() = default;
    session(session const&) = delete;
    session& operator=(session const&) = delete;
    virtual ~session() = default;

    // At a snapshot of its own; the value is copied out.
    virtual bool get(std::string_view key, std::string& value) = 0;
    // The cheapest read of one row that sees only what has been committed.
    virtual bool get_newest(std::string_view key, std::string& value) { return get(key, value); }
    // At most `rows_max` rows from `from` on, at one snapshot; every byte is looked at.
    virtual scan_tally scan(std::string_view from, std::uint64_t rows_max) = 0;
    // One row, one transaction.
    virtual void put(row_view const& row) = 0;
};

class store {
public:
    store() = default;
    store(store const&) = delete;
    store& operator=(store const&) = delete;
    virtual ~store() = default; // closes

    // For everything that is written from now on. Requires: no session lives.
    virtual void promise(survives what) = 0;
    // All rows in one transaction. Requires: no session lives.
    virtual void load(std::span<row_view const> rows) = 0;
    [[nodiscard]] virtual std::unique_ptr<session> connect() = 0;
    // Everything home: a start without debts for what is measured next.
    virtual void settle() = 0;
    // A full backup of the open store into `target`, durable when it returns.
    virtual void back_up(std::filesystem::path const& target) = 0;
    // What changed since the last backup into `target`, durable when it returns.
    // Returns: false if the engine has no such thing.
    [[nodiscard]] virtual bool back_up_changes(std::filesystem::path const&) { return false; }
};

struct contender {
    std::string_view name;
    std::unique_ptr<store> (*open)(store_options const&);
    // In the mode that backups of changes ask for; null: none, or the same.
    std::unique_ptr<store> (*open_incremental)(store_options const&);
    // Makes the backup a store that open() takes, durable when it returns.
    void (*restore)(std::filesystem::path const& backup, std::filesystem::path const& target);
    bool replays; // has a log to redo after its process was killed
    std::string (*version)();
};

inline std::vector<contender>& contenders() {
    static auto all = std::vector<contender>{};
    return all;
}

struct registration {
    explicit registration(contender const& one) { contenders().push_back(one); }
};

// So that a scan has read what it was given, at a cost that does not hide its own.
[[nodiscard]] inline std::uint64_t sum_of(std::string_view bytes) noexcept {
    auto sum = std::uint64_t{0};
    for (; bytes.size() >= sizeof sum; bytes.remove_prefix(sizeof sum)) {
        auto word = std::uint64_t{};
        std::memcpy(&word, bytes.data(), sizeof word);
        sum += word;
    }
    for (auto const c : bytes) sum += static_cast<unsigned char>(c);
    return sum;
}

// Copies what lies in `from`, each file and directory synced.
void copy_durably(std::filesystem::path const& from, std::filesystem::path const& to);
// One file of pages, checked as it is copied, as fast as this machine can; durable.
void copy_ideally(std::filesystem::path const& from, std::filesystem::path const& to);
// Returns: false if this process may not do that.
[[nodiscard]] bool drop_page_cache();
// Syncs every file and directory below.
void sync_all(std::filesystem::path const& directory);

} // namespace peers
