// bench/peers_jetpp.cpp - jetpp behind the interface of the comparison.
//
// As it comes: 8 KiB pages, CRC-32C on every page and log record, snapshot isolation with conflict
// detection, background threads. Backups verify every page they read, restores every byte.
#include <jetpp/backup.hpp>
#include <jetpp/core/describe.hpp>
#include <jetpp/engine/engine.hpp>
#include <jetpp/restore.hpp>

#include <utility>

#include "peers.hpp"

namespace peers {

namespace {

struct archival_policies : jetpp::default_policies {
    using logging = jetpp::archival_logging;
};
using default_engine = jetpp::engine<>;
using archival_engine = jetpp::engine<archival_policies>;

[[noreturn]] void refuse(jetpp::error const& why) {
    throw std::runtime_error{std::string{jetpp::describe(why).view()}};
}
void check(jetpp::result<void> const& done) {
    if (!done) refuse(done.error());
}
template <class T>
T sure(jetpp::result<T>&& made) {
    if (!made) refuse(made.error());
    return std::move(made).assume_value();
}

template <class Engine>
class jetpp_session final : public session {
public:
    jetpp_session(Engine& db, jetpp::tree rows, jetpp::durability how)
        : db_{&db}, rows_{rows}, how_{how} {}

    bool get(std::string_view key, std::string& value) override {
        auto const view = sure(db_->read());
        auto const seen = sure(view.get(rows_, key, buffer_));
        if (seen) value.assign(buffer_.text());
        return seen;
    }
    bool get_newest(std::string_view key, std::string& value) override {
        auto const seen = sure(db_->get(rows_, key, buffer_));
        if (seen) value.assign(buffer_.text());
        return seen;
    }
    scan_tally scan(std::string_view from, std::uint64_t rows_max) override {
        auto tally = scan_tally{};
        auto const view = sure(db_->read());
        auto range = jetpp::range{};
        if (!from.empty()) range.from = from;
        auto rows = sure(view.scan(rows_, range));
        while (sure(rows.next())) {
            auto const row = rows.current();
            tally.bytes += sum_of(row.key) + sum_of(row.value);
            if (++tally.rows == rows_max) break;
        }
        return tally;
    }
    void put(row_view const& row) override {
        (void)sure(db_->put(rows_, row.key, row.value, how_));
    }

private:
    Engine* db_;
    jetpp::tree rows_;
    jetpp::durability how_;
    jetpp::value_buffer buffer_{};
};

template <class Engine>
class jetpp_store final : public store {
public:
    explicit jetpp_store(store_options const& options)
        : db_{sure(Engine::open(
              options.directory.native(),
              {.buffer_bytes = options.cache_bytes,
               .checkpoint_depth_bytes = options.redo_bytes_max,
               .checkpoint_every_bytes = options.redo_bytes_max / 8}
          ))} {
        check(db_.attach("main"));
        rows_ = sure(db_.open_tree("main", "rows"));
    }

    void promise(survives what) override {
        how_ =
            what == survives::power_loss ? jetpp::durability::device : jetpp::durability::process;
    }
    void load(std::span<row_view const> rows) override {
        auto tx = sure(db_.begin());
        for (auto const& row : rows) check(tx.put(rows_, row.key, row.value));
        (void)sure(std::move(tx).commit(how_));
    }
    std::unique_ptr<session> connect() override {
        return std::make_unique<jetpp_session<Engine>>(db_, rows_, how_);
    }
    void settle() override { check(db_.checkpoint()); }
    void back_up(std::filesystem::path const& target) override {
        (void)sure(jetpp::run_backup_to(db_, target.native()));
    }
    bool back_up_changes(std::filesystem::path const& target) override {
        (void
        )sure(jetpp::run_backup_to(db_, target.native(), {.kind = jetpp::backup_kind::incremental})
        );
        return true;
    }

private:
    Engine db_;
    jetpp::tree rows_{};
    jetpp::durability how_ = jetpp::durability::device;
};

registration const here{{
    .name = "jetpp",
    .open = [](store_options const& options) -> std::unique_ptr<store> {
        return std::make_unique<jetpp_store<default_engine>>(options);
    },
    .open_incremental = [](store_options const& options) -> std::unique_ptr<store> {
        return std::make_unique<jetpp_store<archival_engine>>(options);
    },
    .restore =
        [](std::filesystem::path const& backup, std::filesystem::path const& target) {
            auto const environment = default_engine::environment_type{};
            (void)sure(jetpp::run_restore<default_engine::traits>(
                environment, backup.native(), target.native()
            ));
        },
    .replays = true,
    .version = [] { return std::string{}; },
}};

} // namespace

} // namespace peers
