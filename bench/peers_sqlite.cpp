// bench/peers_sqlite.cpp - SQLite behind the interface of the comparison.
//
// One WITHOUT ROWID table of blobs, prepared statements, a connection a session. WAL with
// synchronous=FULL for power_loss and NORMAL for process_end. Writers queue on a mutex here: its
// own way, a busy handler that polls, would be slower. The cache is per connection.
#include <mutex>
#include <utility>

#include "peers.hpp"
#include <sqlite3.h>

namespace peers {

namespace {

class statement {
public:
    statement(sqlite3* db, char const* text) {
        if (sqlite3_prepare_v2(db, text, -1, &made_, nullptr) != SQLITE_OK)
            throw std::runtime_error{sqlite3_errmsg(db)};
    }
    statement(statement const&) = delete;
    statement& operator=(statement const&) = delete;
    ~statement() { sqlite3_finalize(made_); }

    void bind(int where, std::string_view bytes) {
        sqlite3_bind_blob(
            made_, where, bytes.data(), static_cast<int>(bytes.size()), SQLITE_STATIC
        );
    }
    void bind(int where, std::uint64_t number) {
        sqlite3_bind_int64(made_, where, static_cast<sqlite3_int64>(number));
    }
    bool step() {
        auto const code = sqlite3_step(made_);
        if (code == SQLITE_ROW) return true;
        sqlite3_reset(made_);
        if (code != SQLITE_DONE) throw std::runtime_error{sqlite3_errmsg(sqlite3_db_handle(made_))};
        return false;
    }
    void reset() { sqlite3_reset(made_); }
    [[nodiscard]] std::string_view column(int which) {
        auto const* const bytes = sqlite3_column_blob(made_, which);
        return {
            static_cast<char const*>(bytes),
            static_cast<std::size_t>(sqlite3_column_bytes(made_, which))
        };
    }

private:
    sqlite3_stmt* made_ = nullptr;
};

class connection {
public:
    explicit connection(std::filesystem::path const& file) {
        auto const flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
        if (sqlite3_open_v2(file.c_str(), &db_, flags, nullptr) != SQLITE_OK) {
            auto const why = std::string{sqlite3_errmsg(db_)};
            sqlite3_close(db_);
            throw std::runtime_error{why};
        }
    }
    connection(connection const&) = delete;
    connection& operator=(connection const&) = delete;
    ~connection() { sqlite3_close(db_); }

    void run(std::string const& text) {
        if (sqlite3_exec(db_, text.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
            throw std::runtime_error{sqlite3_errmsg(db_)};
    }
    [[nodiscard]] sqlite3* get() const { return db_; }

private:
    sqlite3* db_ = nullptr;
};

struct sqlite_place {
    std::filesystem::path file{};
    std::string settings{};
    survives promised = survives::power_loss;
    std::mutex writing{};
};

class sqlite_session final : public session {
public:
    explicit sqlite_session(sqlite_place& place) : place_{&place}, db_{place.file} {
        db_.run(place.settings);
        promise(place.promised);
        get_.emplace("SELECT v FROM rows WHERE k = ?");
        scan_.emplace("SELECT k, v FROM rows WHERE k >= ? ORDER BY k LIMIT ?");
        put_.emplace("REPLACE INTO rows VALUES (?, ?)");
    }

    void promise(survives what) {
        db_.run(
            what == survives::power_loss ? "PRAGMA synchronous = FULL"
                                         : "PRAGMA synchronous = NORMAL"
        );
    }
    bool get(std::string_view key, std::string& value) override {
        auto& query = get_.in(db_);
        query.bind(1, key);
        if (!query.step()) return false;
        value.assign(query.column(0));
        query.reset();
        return true;
    }
    scan_tally scan(std::string_view from, std::uint64_t rows_max) override {
        auto tally = scan_tally{};
        auto& query = scan_.in(db_);
        query.bind(1, from.empty() ? std::string_view{"", 0} : from);
        query.bind(2, rows_max);
        while (query.step()) {
            tally.bytes += sum_of(query.column(0)) + sum_of(query.column(1));
            ++tally.rows;
        }
        return tally;
    }
    void put(row_view const& row) override {
        auto const held = std::lock_guard{place_->writing};
        put_alone(row);
    }
    void put_alone(row_view const& row) {
        auto& change = put_.in(db_);
        change.bind(1, row.key);
        change.bind(2, row.value);
        (void)change.step();
    }
    [[nodiscard]] connection& db() { return db_; }

private:
    // Prepared at its first use: the table may not be there when the session is made.
    class prepared {
    public:
        void emplace(char const* text) { text_ = text; }
        [[nodiscard]] statement& in(connection& db) {
            if (made_ == nullptr) made_ = std::make_unique<statement>(db.get(), text_);
            return *made_;
        }

    private:
        char const* text_ = nullptr;
        std::unique_ptr<statement> made_{};
    };

    sqlite_place* place_;
    connection db_;
    prepared get_, scan_, put_;
};

class sqlite_store final : public store {
public:
    explicit sqlite_store(store_options const& options) {
        std::filesystem::create_directories(options.directory);
        place_.file = options.directory / "rows.db";
        place_.settings = "PRAGMA journal_mode = WAL;"
                          "PRAGMA cache_size = -" +
                          std::to_string(options.cache_bytes / 1024) +
                          ";"
                          "PRAGMA wal_autocheckpoint = " +
                          std::to_string(options.redo_bytes_max / 4096);
        main_ = std::make_unique<sqlite_session>(place_);
        main_->db().run(
            "CREATE TABLE IF NOT EXISTS rows (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID"
        );
    }

    void promise(survives what) override {
        place_.promised = what;
        main_->promise(what);
    }
    void load(std::span<row_view const> rows) override {
        main_->db().run("BEGIN IMMEDIATE");
        for (auto const& row : rows) main_->put_alone(row);
        main_->db().run("COMMIT");
    }
    std::unique_ptr<session> connect() override { return std::make_unique<sqlite_session>(place_); }
    void settle() override { main_->db().run("PRAGMA wal_checkpoint(TRUNCATE)"); }
    void back_up(std::filesystem::path const& target) override {
        std::filesystem::create_directories(target);
        {
            auto into = connection{target / "rows.db"};
            auto* const copy = sqlite3_backup_init(into.get(), "main", main_->db().get(), "main");
            if (copy == nullptr) throw std::runtime_error{sqlite3_errmsg(into.get())};
            (void)sqlite3_backup_step(copy, -1);
            if (sqlite3_backup_finish(copy) != SQLITE_OK)
                throw std::runtime_error{sqlite3_errmsg(into.get())};
        }
        sync_all(target);
    }

private:
    sqlite_place place_{};
    std::unique_ptr<sqlite_session> main_{};
};

registration const here{{
    .name = "sqlite",
    .open = [](store_options const& options) -> std::unique_ptr<store> {
        return std::make_unique<sqlite_store>(options);
    },
    .open_incremental = nullptr,
    .restore = copy_durably,
    .replays = true,
    .version = [] { return std::string{sqlite3_libversion()}; },
}};

} // namespace

} // namespace peers
