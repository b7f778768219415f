// bench/peers_lmdb.cpp - LMDB behind the interface of the comparison.
//
// process_end is MDB_NOSYNC. Reads renew one transaction per session, as its authors advise. LMDB
// has neither log nor checksums; its cache is the page cache, without a bound.
#include "peers.hpp"
#include <lmdb.h>

namespace peers {

namespace {

void check(int code) {
    if (code != MDB_SUCCESS) throw std::runtime_error{mdb_strerror(code)};
}
MDB_val of(std::string_view bytes) {
    return {bytes.size(), const_cast<char*>(bytes.data())};
}
std::string_view as_text(MDB_val const& bytes) {
    return {static_cast<char const*>(bytes.mv_data), bytes.mv_size};
}

class lmdb_session final : public session {
public:
    lmdb_session(MDB_env* env, MDB_dbi table) : env_{env}, table_{table} {
        check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &reader_));
        check(mdb_cursor_open(reader_, table_, &cursor_));
        mdb_txn_reset(reader_);
    }
    ~lmdb_session() override {
        mdb_cursor_close(cursor_);
        mdb_txn_abort(reader_);
    }

    bool get(std::string_view key, std::string& value) override {
        auto k = of(key);
        auto v = MDB_val{};
        check(mdb_txn_renew(reader_));
        auto const code = mdb_get(reader_, table_, &k, &v);
        if (code == MDB_SUCCESS) value.assign(as_text(v));
        mdb_txn_reset(reader_);
        if (code != MDB_NOTFOUND) check(code);
        return code == MDB_SUCCESS;
    }
    scan_tally scan(std::string_view from, std::uint64_t rows_max) override {
        auto tally = scan_tally{};
        auto k = of(from);
        auto v = MDB_val{};
        check(mdb_txn_renew(reader_));
        check(mdb_cursor_renew(reader_, cursor_));
        auto code = mdb_cursor_get(cursor_, &k, &v, from.empty() ? MDB_FIRST : MDB_SET_RANGE);
        while (code == MDB_SUCCESS) {
            tally.bytes += sum_of(as_text(k)) + sum_of(as_text(v));
            if (++tally.rows == rows_max) break;
            code = mdb_cursor_get(cursor_, &k, &v, MDB_NEXT);
        }
        mdb_txn_reset(reader_);
        if (code != MDB_NOTFOUND) check(code);
        return tally;
    }
    void put(row_view const& row) override {
        auto* writer = static_cast<MDB_txn*>(nullptr);
        check(mdb_txn_begin(env_, nullptr, 0, &writer));
        auto k = of(row.key);
        auto v = of(row.value);
        if (auto const code = mdb_put(writer, table_, &k, &v, 0); code != MDB_SUCCESS) {
            mdb_txn_abort(writer);
            check(code);
        }
        check(mdb_txn_commit(writer));
    }

private:
    MDB_env* env_;
    MDB_dbi table_;
    MDB_txn* reader_ = nullptr;
    MDB_cursor* cursor_ = nullptr;
};

class lmdb_store final : public store {
public:
    explicit lmdb_store(store_options const& options) {
        std::filesystem::create_directories(options.directory);
        check(mdb_env_create(&env_));
        check(mdb_env_set_mapsize(env_, (std::size_t{1} << 30) + 6 * options.data_bytes));
        check(mdb_env_open(env_, options.directory.c_str(), MDB_NOTLS, 0644));
        auto* opening = static_cast<MDB_txn*>(nullptr);
        check(mdb_txn_begin(env_, nullptr, 0, &opening));
        check(mdb_dbi_open(opening, nullptr, 0, &table_));
        check(mdb_txn_commit(opening));
    }
    ~lmdb_store() override { mdb_env_close(env_); }

    void promise(survives what) override {
        check(mdb_env_set_flags(env_, MDB_NOSYNC, what == survives::process_end ? 1 : 0));
    }
    void load(std::span<row_view const> rows) override {
        auto* writer = static_cast<MDB_txn*>(nullptr);
        check(mdb_txn_begin(env_, nullptr, 0, &writer));
        for (auto const& row : rows) {
            auto k = of(row.key);
            auto v = of(row.value);
            if (auto const code = mdb_put(writer, table_, &k, &v, 0); code != MDB_SUCCESS) {
                mdb_txn_abort(writer);
                check(code);
            }
        }
        check(mdb_txn_commit(writer));
    }
    std::unique_ptr<session> connect() override {
        return std::make_unique<lmdb_session>(env_, table_);
    }
    void settle() override { check(mdb_env_sync(env_, 1)); }
    void back_up(std::filesystem::path const& target) override {
        std::filesystem::create_directories(target);
        check(mdb_env_copy(env_, target.c_str()));
        sync_all(target);
    }

private:
    MDB_env* env_ = nullptr;
    MDB_dbi table_{};
};

registration const here{{
    .name = "lmdb",
    .open = [](store_options const& options) -> std::unique_ptr<store> {
        return std::make_unique<lmdb_store>(options);
    },
    .open_incremental = nullptr,
    .restore = copy_durably,
    .replays = false,
    .version =
        [] {
            auto major = 0, minor = 0, patch = 0;
            (void)mdb_version(&major, &minor, &patch);
            return std::to_string(major) + '.' + std::to_string(minor) + '.' +
                   std::to_string(patch);
        },
}};

} // namespace

} // namespace peers
