// bench/peers_rocksdb.cpp - RocksDB behind the interface of the comparison.
//
// Plain DB with WriteBatch: atomic and durable, but without conflict detection. No compression,
// filters of 10 bits a key, two write buffers of an eighth of the cache each and the rest for
// blocks; checksums as they are by default.
#include <algorithm>
#include <utility>

#include "peers.hpp"
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/backup_engine.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>

namespace peers {

namespace {

void check(rocksdb::Status const& status) {
    if (!status.ok()) throw std::runtime_error{status.ToString()};
}
rocksdb::Slice of(std::string_view bytes) {
    return {bytes.data(), bytes.size()};
}
std::string_view as_text(rocksdb::Slice const& bytes) {
    return {bytes.data(), bytes.size()};
}

class rocksdb_session final : public session {
public:
    rocksdb_session(rocksdb::DB& db, rocksdb::WriteOptions const& writing)
        : db_{&db}, writing_{writing} {}

    bool get(std::string_view key, std::string& value) override {
        auto const status = db_->Get(reading_, of(key), &value);
        if (status.IsNotFound()) return false;
        check(status);
        return true;
    }
    scan_tally scan(std::string_view from, std::uint64_t rows_max) override {
        auto tally = scan_tally{};
        auto const rows = std::unique_ptr<rocksdb::Iterator>{db_->NewIterator(reading_)};
        if (from.empty())
            rows->SeekToFirst();
        else
            rows->Seek(of(from));
        while (rows->Valid()) {
            tally.bytes += sum_of(as_text(rows->key())) + sum_of(as_text(rows->value()));
            if (++tally.rows == rows_max) break;
            rows->Next();
        }
        check(rows->status());
        return tally;
    }
    void put(row_view const& row) override {
        check(db_->Put(writing_, of(row.key), of(row.value)));
    }

private:
    rocksdb::DB* db_;
    rocksdb::ReadOptions reading_{};
    rocksdb::WriteOptions writing_;
};

class rocksdb_store final : public store {
public:
    explicit rocksdb_store(store_options const& options) {
        std::filesystem::create_directories(options.directory);
        auto const buffer = options.cache_bytes / 8;
        auto table = rocksdb::BlockBasedTableOptions{};
        table.block_cache = rocksdb::NewLRUCache(options.cache_bytes - 2 * buffer);
        table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
        auto settings = rocksdb::Options{};
        settings.create_if_missing = true;
        settings.compression = rocksdb::kNoCompression;
        settings.write_buffer_size = buffer;
        settings.max_write_buffer_number = 2;
        settings.max_total_wal_size = options.redo_bytes_max;
        settings.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
        auto* opened = static_cast<rocksdb::DB*>(nullptr);
        check(rocksdb::DB::Open(settings, options.directory.string(), &opened));
        db_.reset(opened);
        writing_.sync = true;
    }

    void promise(survives what) override { writing_.sync = what == survives::power_loss; }
    void load(std::span<row_view const> rows) override {
        auto batch = rocksdb::WriteBatch{};
        for (auto const& row : rows) check(batch.Put(of(row.key), of(row.value)));
        check(db_->Write(writing_, &batch));
    }
    std::unique_ptr<session> connect() override {
        return std::make_unique<rocksdb_session>(*db_, writing_);
    }
    void settle() override { check(db_->Flush({})); }
    void back_up(std::filesystem::path const& target) override {
        auto options = rocksdb::BackupEngineOptions{target.string()};
        auto* opened = static_cast<rocksdb::BackupEngine*>(nullptr);
        check(rocksdb::BackupEngine::Open(options, rocksdb::Env::Default(), &opened));
        auto const engine = std::unique_ptr<rocksdb::BackupEngine>{opened};
        check(engine->CreateNewBackup(db_.get()));
    }
    // Files that are there already are not copied again.
    bool back_up_changes(std::filesystem::path const& target) override {
        back_up(target);
        return true;
    }

private:
    std::unique_ptr<rocksdb::DB> db_{};
    rocksdb::WriteOptions writing_{};
};

void restore(std::filesystem::path const& backup, std::filesystem::path const& target) {
    auto const options = rocksdb::BackupEngineOptions{backup.string()};
    auto* opened = static_cast<rocksdb::BackupEngineReadOnly*>(nullptr);
    check(rocksdb::BackupEngineReadOnly::Open(options, rocksdb::Env::Default(), &opened));
    auto const engine = std::unique_ptr<rocksdb::BackupEngineReadOnly>{opened};
    check(engine->RestoreDBFromLatestBackup(target.string(), target.string()));
    sync_all(target);
}

registration const here{{
    .name = "rocksdb",
    .open = [](store_options const& options) -> std::unique_ptr<store> {
        return std::make_unique<rocksdb_store>(options);
    },
    .open_incremental = nullptr,
    .restore = restore,
    .replays = true,
    .version = [] { return rocksdb::GetRocksVersionAsString(); },
}};

} // namespace

} // namespace peers
