// bench/peers_main.cpp - how does jetpp compare with LMDB, SQLite and RocksDB, doing the same work?
//
//     bench-peers            JETPP_BENCH_ROWS=200000 JETPP_BENCH_CACHE_MIB=256 JETPP_ROUNDS=3
//                            JETPP_BENCH_ONLY=jetpp,lmdb JETPP_BENCH_SKIP=redo,backup (words)
//
// Every workload is run by all engines one after the other, the first to go changing with each
// round, before the next workload begins: whatever else the machine does meets all of them.
// Only ratios inside one run mean anything. Directories lie beside the program and are removed.
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "peers.hpp"
#include "peers_rows.hpp"
#include "peers_table.hpp"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

namespace peers {

namespace {

namespace fs = std::filesystem;
using clock = std::chrono::steady_clock;

constexpr std::size_t rows_per_load = 1000;
constexpr std::size_t rows_per_update = 10;
constexpr std::uint64_t redo_bytes_max = std::uint64_t{64} << 20;
constexpr auto commit_time = std::chrono::milliseconds{700};
constexpr auto scan_time = std::chrono::milliseconds{150};

// Set by SIGINT and SIGTERM: the run ends after the cell at hand, and what it wrote is removed.
std::atomic<bool> stopped = false;
static_assert(std::atomic<bool>::is_always_lock_free);

[[nodiscard]] std::size_t number_from(char const* variable, std::size_t otherwise) {
    auto const* const text = std::getenv(variable);
    return text != nullptr && *text != '\0' ? std::strtoull(text, nullptr, 10) : otherwise;
}
// Whether a comma-separated variable names the word.
[[nodiscard]] bool lists(char const* variable, std::string_view word) {
    auto const* const text = std::getenv(variable);
    auto words = std::istringstream{text != nullptr ? text : ""};
    for (auto one = std::string{}; std::getline(words, one, ',');)
        if (one == word) return true;
    return false;
}
[[nodiscard]] bool is_set(char const* variable) {
    auto const* const text = std::getenv(variable);
    return text != nullptr && *text != '\0';
}

[[nodiscard]] double seconds_since(clock::time_point begin) {
    return std::chrono::duration<double>(clock::now() - begin).count();
}
template <class Work>
[[nodiscard]] double seconds_of(Work&& work) {
    auto const begin = clock::now();
    work();
    return seconds_since(begin);
}

[[nodiscard]] contender const* find_contender(std::string_view name) {
    for (auto const& one : contenders())
        if (one.name == name) return &one;
    return nullptr;
}

class scratch_directory {
public:
    scratch_directory() {
        auto pattern = (fs::read_symlink("/proc/self/exe").parent_path() / "peers-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr)
            throw std::runtime_error{"no scratch directory " + pattern};
        path_ = pattern;
    }
    scratch_directory(scratch_directory const&) = delete;
    scratch_directory& operator=(scratch_directory const&) = delete;
    ~scratch_directory() {
        auto ignored = std::error_code{};
        fs::remove_all(path_, ignored);
    }
    [[nodiscard]] fs::path const& path() const { return path_; }

private:
    fs::path path_{};
};

[[nodiscard]] store_options options_at(
    fs::path const& directory, std::size_t rows, std::uint64_t redo_bytes = redo_bytes_max
) {
    return {
        .directory = directory,
        .cache_bytes = number_from("JETPP_BENCH_CACHE_MIB", 256) << 20,
        .redo_bytes_max = redo_bytes,
        .data_bytes = rows * (key_bytes + value_bytes),
    };
}

// The part of a redo that dies. It reports what it has had acknowledged, and waits for the signal.
constexpr std::uint64_t redo_unbounded = std::uint64_t{2} << 30;

[[nodiscard]] std::size_t redo_updates(std::size_t rows) {
    return rows / 2;
}

[[nodiscard]] int live_until_killed(
    std::string_view name, fs::path const& where, std::size_t count
) {
    auto const* const engine = find_contender(name);
    if (engine == nullptr) return 1;
    auto const rows = test_rows{count};
    auto db = engine->open(options_at(where, count, redo_unbounded));
    db->settle();
    db->promise(survives::process_end);
    auto batch = std::vector<row_view>{};
    auto const updates = redo_updates(count);
    for (std::size_t i = 0; i < updates; i += rows_per_update) {
        batch.clear();
        for (std::size_t n = i; n < std::min(i + rows_per_update, updates); ++n)
            batch.push_back(rows.row(rows.shuffled(n), 2));
        db->load(batch);
    }
    auto const done = char{'.'};
    if (::write(STDOUT_FILENO, &done, 1) != 1) return 1;
    for (;;) ::pause();
}

void update_and_be_killed(std::string_view name, fs::path const& where, std::size_t count) {
    auto ends = std::array<int, 2>{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error{"no pipe"};
    auto const engine = std::string{name};
    auto const rows = std::to_string(count);
    auto const child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDOUT_FILENO);
        ::execl(
            "/proc/self/exe",
            "bench-peers",
            "--until-killed",
            engine.c_str(),
            where.c_str(),
            rows.c_str(),
            static_cast<char*>(nullptr)
        );
        ::_exit(127);
    }
    ::close(ends[1]);
    auto heard = char{};
    auto got = ::ssize_t{};
    do got = ::read(ends[0], &heard, 1);
    while (got < 0 && errno == EINTR);
    ::close(ends[0]);
    if (child < 0) throw std::runtime_error{"no child process"};
    ::kill(child, SIGKILL);
    auto status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (got != 1) throw std::runtime_error{"the child process failed before it was killed"};
}

// A thread that reads and updates rows, half and half, and keeps count.
class operations {
public:
    struct tally {
        double per_second{};
        double slowest{}; // seconds of one operation
    };

    operations(test_rows const& rows, store& db, std::size_t seed)
        : session_{db.connect()}, thread_{[this, &rows, seed] { work(rows, seed); }} {}
    operations(operations const&) = delete;
    operations& operator=(operations const&) = delete;
    ~operations() { end(); }

    // Returns: what was done since the last call, rests left out.
    tally count_from_now() {
        rest();
        auto const got = tally{static_cast<double>(done_) / busy_, slowest_};
        done_ = 0, busy_ = 0, slowest_ = 0;
        go_on();
        return got;
    }
    // Between operations; returns when the thread stands.
    void rest() {
        asked_ = true;
        while (!resting_ && !ended_) std::this_thread::yield();
    }
    void go_on() {
        asked_ = false;
        while (resting_ && !ended_) std::this_thread::yield();
    }
    // Errors: what ended the thread before its time.
    void stop() {
        end();
        if (failure_) std::rethrow_exception(failure_);
    }

private:
    void end() {
        stopping_ = true;
        asked_ = false;
        if (thread_.joinable()) thread_.join();
    }
    void work(test_rows const& rows, std::size_t seed) {
        try {
            auto random = std::mt19937_64{seed};
            auto value = std::string{};
            auto last = clock::now();
            for (auto version = std::uint64_t{1}; !stopping_; ++version) {
                if (asked_) {
                    resting_ = true;
                    while (asked_) std::this_thread::yield();
                    last = clock::now();
                    resting_ = false;
                }
                auto const i = random() % rows.count();
                if (version % 2 == 0)
                    session_->put(rows.row(i, version));
                else if (!session_->get(rows.key(i), value))
                    throw std::runtime_error{"a row is missing"};
                auto const now = clock::now();
                auto const took = std::chrono::duration<double>(now - last).count();
                last = now;
                ++done_, busy_ += took, slowest_ = std::max(slowest_, took);
            }
        } catch (...) {
            failure_ = std::current_exception();
        }
        ended_ = true;
    }

    std::unique_ptr<session> session_;
    std::atomic<bool> asked_ = false;
    std::atomic<bool> resting_ = false;
    std::atomic<bool> stopping_ = false;
    std::atomic<bool> ended_ = false;
    std::uint64_t done_ = 0; // these three: the thread's, or the caller's while it rests
    double busy_ = 0;
    double slowest_ = 0;
    std::exception_ptr failure_{};
    std::jthread thread_; // last: it uses the others
};

class comparison {
public:
    comparison(test_rows const& rows, fs::path const& directory)
        : rows_{&rows}, directory_{directory} {}

    void round(std::size_t number) {
        for (auto const name : engine_names) stores_.erase(name);
        ordered_load(number, "ordered load, rows", survives::process_end);
        ordered_load(number, "ordered load, rows, synced per 1000", survives::power_loss);
        random_insert(number);
        point_reads(number);
        scans(number);
        commits(number, 1, "durable commits, 1 thread");
        commits(number, 8, "durable commits, 8 threads");
        copies(number);
        copies_under_writers(number);
        stores_.clear();
        copies_of_changes(number);
        redo(number);
        for (auto const name : engine_names) fs::remove_all(place_of(name));
    }
    [[nodiscard]] table const& results() const { return results_; }

private:
    [[nodiscard]] fs::path place_of(std::string_view name) const { return directory_ / name; }

    // Runs one workload on every engine, the first to go changing with the round.
    template <class Work>
    void each(std::size_t round, std::string const& workload, Work&& work) {
        for (std::size_t i = 0; i < engine_names.size(); ++i) {
            auto const name = engine_names[(i + round) % engine_names.size()];
            if (stopped) return;
            if (is_set("JETPP_BENCH_ONLY") && !lists("JETPP_BENCH_ONLY", name)) continue;
            auto const* const engine = find_contender(name);
            if (engine == nullptr) {
                results_.remark(workload, name, "absent");
                continue;
            }
            try {
                work(*engine);
            } catch (std::exception const& why) {
                results_.remark(workload, name, "failed");
                std::cerr << name << ", " << workload << ": " << why.what() << '\n';
            }
        }
    }
    [[nodiscard]] store& open_store(contender const& engine) {
        auto const found = stores_.find(engine.name);
        if (found == stores_.end()) throw std::runtime_error{"the store is not open"};
        return *found->second;
    }

    void ordered_load(std::size_t round, std::string const& workload, survives what) {
        if (lists("JETPP_BENCH_SKIP", "load")) return;
        each(round, workload, [&](contender const& engine) {
            auto const place = directory_ / (std::string{engine.name} + "-ordered");
            {
                auto db = engine.open(options_at(place, rows_->count()));
                db->promise(what);
                auto const took =
                    seconds_of([&] { load_all(*db, [](std::size_t i) { return i; }); });
                results_.add(workload, engine.name, static_cast<double>(rows_->count()) / took);
            }
            fs::remove_all(place);
        });
    }
    // Its database is the one of all workloads that follow.
    void random_insert(std::size_t round) {
        auto const workload = std::string{"random insert, rows"};
        each(round, workload, [&](contender const& engine) {
            fs::remove_all(place_of(engine.name));
            auto db = engine.open(options_at(place_of(engine.name), rows_->count()));
            db->promise(survives::process_end);
            auto const took = seconds_of([&] {
                load_all(*db, [&](std::size_t i) { return rows_->shuffled(i); });
            });
            results_.add(workload, engine.name, static_cast<double>(rows_->count()) / took);
            db->settle();
            stores_[engine.name] = std::move(db);
        });
    }
    template <class Nth>
    void load_all(store& db, Nth&& nth) {
        auto batch = std::vector<row_view>{};
        batch.reserve(rows_per_load);
        for (std::size_t i = 0; i < rows_->count(); i += rows_per_load) {
            batch.clear();
            for (auto n = i; n < std::min(i + rows_per_load, rows_->count()); ++n)
                batch.push_back(rows_->row(nth(n)));
            db.load(batch);
        }
    }

    void point_reads(std::size_t round) {
        if (lists("JETPP_BENCH_SKIP", "reads")) return;
        auto const gets = rows_->count();
        using getter = bool (session::*)(std::string_view, std::string&);
        auto const read_some = [&](session& from, getter get, std::size_t salt) {
            auto value = std::string{};
            auto random = std::mt19937_64{salt};
            for (std::size_t i = 0; i < gets; ++i)
                if (!(from.*get)(rows_->key(random() % rows_->count()), value) ||
                    value.size() != value_bytes)
                    throw std::runtime_error{"a row is missing"};
        };
        auto const run = [&](std::string const& workload, getter get, std::size_t threads) {
            each(round, workload, [&](contender const& engine) {
                auto& db = open_store(engine);
                auto const took = in_threads(db, threads, [&](session& from, std::size_t thread) {
                    read_some(from, get, 1000 * round + thread);
                });
                results_.add(workload, engine.name, static_cast<double>(gets * threads) / took);
            });
        };
        run("point reads, snapshot each", &session::get, 1);
        run("point reads, snapshot each, 2 threads", &session::get, 2);
        run("point reads, newest row", &session::get_newest, 1);
    }

    void scans(std::size_t round) {
        if (lists("JETPP_BENCH_SKIP", "scans")) return;
        auto const full = std::string{"full scan, rows"};
        each(round, full, [&](contender const& engine) {
            auto const reader = open_store(engine).connect();
            auto rows = std::uint64_t{0};
            auto const begin = clock::now();
            do {
                auto const tally = reader->scan({}, ~std::uint64_t{0} >> 1);
                if (tally.rows != rows_->count()) throw std::runtime_error{"rows are missing"};
                rows += tally.rows;
            } while (clock::now() - begin < scan_time);
            results_.add(full, engine.name, static_cast<double>(rows) / seconds_since(begin));
        });
        auto const short_ones = std::string{"ranges of 100 rows"};
        each(round, short_ones, [&](contender const& engine) {
            auto const reader = open_store(engine).connect();
            auto random = std::mt19937_64{round};
            auto ranges = std::uint64_t{0};
            auto const begin = clock::now();
            do {
                auto const from =
                    random() % (rows_->count() - std::min<std::size_t>(100, rows_->count() - 1));
                if (reader->scan(rows_->key(from), 100).rows !=
                    std::min<std::size_t>(100, rows_->count() - from))
                    throw std::runtime_error{"rows are missing"};
                ++ranges;
            } while (clock::now() - begin < scan_time);
            results_.add(
                short_ones, engine.name, static_cast<double>(ranges) / seconds_since(begin)
            );
        });
    }

    void commits(std::size_t round, std::size_t threads, std::string const& workload) {
        if (lists("JETPP_BENCH_SKIP", "commits")) return;
        each(round, workload, [&](contender const& engine) {
            auto& db = open_store(engine);
            db.promise(survives::power_loss);
            auto done = std::atomic<std::uint64_t>{0};
            auto const took = in_threads(db, threads, [&](session& into, std::size_t thread) {
                // Each thread has rows of its own: the log is compared, not the conflicts.
                auto const own = rows_->count() / threads;
                auto random = std::mt19937_64{round * 100 + thread};
                auto count = std::uint64_t{0};
                for (auto const end = clock::now() + commit_time; clock::now() < end; ++count)
                    into.put(rows_->row((random() % own) * threads + thread, 1 + count));
                done += count;
            });
            results_.add(workload, engine.name, static_cast<double>(done.load()) / took);
        });
    }

    // Rows of all copies are in MB of rows; the fastest verified copy of jetpp's file, made right
    // behind its own, is what a backup and a restore could be.
    void copies(std::size_t round) {
        if (lists("JETPP_BENCH_SKIP", "backup")) return;
        full_backups(round, "full online backup, MB of rows", false);
        full_backups(round, "  copied from a cold page cache", true);
        restores(round, "restore to first read, MB of rows", false);
        restores(round, "  restored from a cold page cache", true);
        for (auto const& engine : contenders()) fs::remove_all(backup_of(engine));
    }
    [[nodiscard]] fs::path backup_of(contender const& engine) const {
        return directory_ / (std::string{engine.name} + "-backup");
    }
    [[nodiscard]] double megabytes() const {
        return static_cast<double>(rows_->count() * (key_bytes + value_bytes)) / 1e6;
    }
    void full_backups(std::size_t round, std::string const& workload, bool cold) {
        auto const of_ideal =
            std::string{"  of an ideal verified copy, %"} + (cold ? ", cold" : "");
        each(round, workload, [&](contender const& engine) {
            fs::remove_all(backup_of(engine));
            if (cold && !make_cold(engine)) return results_.remark(workload, engine.name, "n/a");
            auto& db = open_store(engine);
            db.settle();
            auto const took = seconds_of([&] { db.back_up(backup_of(engine)); });
            results_.add(workload, engine.name, megabytes() / took);
            if (engine.name != "jetpp") return;
            auto const copy = directory_ / "ideal-copy";
            auto const ideal = seconds_of([&] { copy_ideally(place_of("jetpp") / "main", copy); });
            fs::remove(copy);
            results_.add(of_ideal, engine.name, 100 * ideal / took);
        });
    }
    // What an engine has mapped stays in the page cache: so it is closed meanwhile.
    [[nodiscard]] bool make_cold(contender const& engine) {
        stores_.erase(engine.name);
        auto const done = drop_page_cache();
        stores_[engine.name] = engine.open(options_at(place_of(engine.name), rows_->count()));
        return done;
    }
    void restores(std::size_t round, std::string const& workload, bool cold) {
        each(round, workload, [&](contender const& engine) {
            auto const place = directory_ / (std::string{engine.name} + "-restored");
            if (cold && !drop_page_cache()) return results_.remark(workload, engine.name, "n/a");
            {
                auto db = std::unique_ptr<store>{};
                auto const took = seconds_of([&] {
                    engine.restore(backup_of(engine), place);
                    db = engine.open(options_at(place, rows_->count()));
                    first_read(*db);
                });
                results_.add(workload, engine.name, megabytes() / took);
                auto const tally = db->connect()->scan({}, ~std::uint64_t{0} >> 1);
                if (tally.rows != rows_->count()) throw std::runtime_error{"rows are missing"};
            }
            fs::remove_all(place);
        });
    }

    // One thread reads and updates while backup follows backup: what both are left with.
    void copies_under_writers(std::size_t round) {
        if (lists("JETPP_BENCH_SKIP", "backup")) return;
        auto const target = directory_ / "under-writers";
        auto const rate = std::string{"online backup under writers, MB of rows"};
        auto const kept = std::string{"  operations kept meanwhile, %"};
        auto const slowest = std::string{"  slowest operation meanwhile, 1/s"};
        each(round, rate, [&](contender const& engine) {
            auto& db = open_store(engine);
            db.settle();
            db.promise(survives::process_end);
            (void)db.connect()->scan({}, ~std::uint64_t{0} >> 1); // from a warm cache
            auto foreground = operations{*rows_, db, round};
            foreground.count_from_now();
            std::this_thread::sleep_for(commit_time);
            auto const alone = foreground.count_from_now();
            auto copies = 0;
            auto copying = 0.0;
            while (copying < std::chrono::duration<double>(commit_time).count()) {
                foreground.rest();
                fs::remove_all(target);
                foreground.go_on();
                copying += seconds_of([&] { db.back_up(target); });
                ++copies;
            }
            auto const meanwhile = foreground.count_from_now();
            foreground.stop();
            fs::remove_all(target);
            results_.add(rate, engine.name, megabytes() * copies / copying);
            results_.add(kept, engine.name, 100 * meanwhile.per_second / alone.per_second);
            results_.add(slowest, engine.name, 1 / meanwhile.slowest);
        });
    }

    // A full backup, a fifth of the rows updated, ten in a transaction, then what changed.
    void copies_of_changes(std::size_t round) {
        if (lists("JETPP_BENCH_SKIP", "backup")) return;
        auto const workload = std::string{"backup of the changes of a fifth of the rows, 1/s"};
        each(round, workload, [&](contender const& engine) {
            auto const place = directory_ / (std::string{engine.name} + "-changed");
            auto const open =
                engine.open_incremental != nullptr ? engine.open_incremental : engine.open;
            auto took = 0.0;
            auto is_able = true;
            {
                auto db = open(options_at(place, rows_->count()));
                db->promise(survives::process_end);
                load_all(*db, [&](std::size_t i) { return rows_->shuffled(i); });
                db->settle();
                db->back_up(backup_of(engine));
                auto batch = std::vector<row_view>{};
                for (std::size_t i = 0; i < rows_->count() / 5; i += rows_per_update) {
                    batch.clear();
                    for (auto n = i; n < i + rows_per_update; ++n)
                        batch.push_back(rows_->row(rows_->shuffled(n), 2));
                    db->load(batch);
                }
                took = seconds_of([&] { is_able = db->back_up_changes(backup_of(engine)); });
            }
            fs::remove_all(place);
            fs::remove_all(backup_of(engine));
            if (!is_able) return results_.remark(workload, engine.name, "n/a");
            results_.add(workload, engine.name, 1 / took);
        });
    }

    void redo(std::size_t round) {
        if (lists("JETPP_BENCH_SKIP", "redo")) return;
        auto const workload = std::string{"redo after SIGKILL, rows"};
        each(round, workload, [&](contender const& engine) {
            if (!engine.replays) return results_.remark(workload, engine.name, "n/a");
            update_and_be_killed(engine.name, place_of(engine.name), rows_->count());
            auto db = std::unique_ptr<store>{};
            auto const took = seconds_of([&] {
                db = engine.open(options_at(place_of(engine.name), rows_->count(), redo_unbounded));
                first_read(*db);
            });
            auto const updates = redo_updates(rows_->count());
            auto value = std::string{};
            auto const reader = db->connect();
            for (std::size_t i = 0; i < updates; ++i) {
                auto const expected = rows_->row(rows_->shuffled(i), 2);
                if (!reader->get(expected.key, value) || value != expected.value)
                    throw std::runtime_error{"an acknowledged row is lost"};
            }
            results_.add(workload, engine.name, static_cast<double>(updates) / took);
        });
    }

    void first_read(store& db) {
        auto value = std::string{};
        if (!db.connect()->get(rows_->key(rows_->count() / 2), value))
            throw std::runtime_error{"a row is missing"};
    }
    // Returns the seconds from the first thread's start to the last one's end.
    template <class Work>
    [[nodiscard]] double in_threads(store& db, std::size_t threads, Work&& work) {
        auto sessions = std::vector<std::unique_ptr<session>>{};
        for (std::size_t i = 0; i < threads; ++i) sessions.push_back(db.connect());
        if (threads == 1) return seconds_of([&] { work(*sessions.front(), 0); });
        auto failures = std::vector<std::exception_ptr>(threads);
        auto const took = seconds_of([&] {
            auto all = std::vector<std::jthread>{};
            for (std::size_t i = 0; i < threads; ++i)
                all.emplace_back([&, i] {
                    try {
                        work(*sessions[i], i);
                    } catch (...) {
                        failures[i] = std::current_exception();
                    }
                });
        });
        for (auto const& failure : failures)
            if (failure) std::rethrow_exception(failure);
        return took;
    }

    test_rows const* rows_;
    fs::path directory_;
    std::map<std::string_view, std::unique_ptr<store>> stores_{};
    table results_{};
};

// What the processors did, ours and all: how quiet the machine was.
struct processor_time {
    double busy{}; // seconds, of all processors
    double own{};

    [[nodiscard]] static processor_time now() {
        auto file = std::ifstream{"/proc/stat"};
        auto word = std::string{};
        auto ticks = std::array<double, 8>{}; // user nice system idle iowait irq softirq steal
        file >> word;
        for (auto& each : ticks) file >> each;
        auto busy = 0.0;
        for (auto const i : {0, 1, 2, 5, 6, 7}) busy += ticks[static_cast<std::size_t>(i)];
        auto own = 0.0;
        for (auto const who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
            auto used = ::rusage{};
            ::getrusage(who, &used);
            for (auto const& part : {used.ru_utime, used.ru_stime})
                own += static_cast<double>(part.tv_sec) + static_cast<double>(part.tv_usec) / 1e6;
        }
        return {.busy = busy / static_cast<double>(::sysconf(_SC_CLK_TCK)), .own = own};
    }
};

[[nodiscard]] std::string machine(fs::path const& where) {
    auto text = std::string{"unknown processor"};
    auto file = std::ifstream{"/proc/cpuinfo"};
    for (auto line = std::string{}; std::getline(file, line);)
        if (line.starts_with("model name")) {
            text = line.substr(line.find(':') + 2);
            break;
        }
    auto kernel = ::utsname{};
    ::uname(&kernel);
    struct ::statfs system{};
    ::statfs(where.c_str(), &system);
    auto const type = static_cast<unsigned long>(system.f_type);
    auto const* const name = type == 0xEF53       ? "ext4"
                             : type == 0x58465342 ? "xfs"
                             : type == 0x9123683E ? "btrfs"
                             : type == 0x01021994 ? "tmpfs"
                                                  : "another file system";
    return text + ", " + std::to_string(std::thread::hardware_concurrency()) + " processors, " +
           kernel.sysname + " " + kernel.release + ", " + name;
}

[[nodiscard]] int compare() {
    auto const count = std::max<std::size_t>(number_from("JETPP_BENCH_ROWS", 200'000), 1000);
    auto const rounds = std::max<std::size_t>(number_from("JETPP_ROUNDS", 3), 1);
    for (auto const signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { stopped = true; });

    auto const scratch = scratch_directory{};
    auto const rows = test_rows{count};
    auto measured = comparison{rows, scratch.path()};
    auto const begin = clock::now();
    auto const before = processor_time::now();
    auto finished = std::size_t{0};
    while (finished < rounds && !stopped) {
        std::cerr << "round " << finished + 1 << " of " << rounds << '\n';
        measured.round(finished);
        if (!stopped) ++finished;
    }
    auto const after = processor_time::now();
    auto const took = seconds_since(begin);

    auto versions = std::string{};
    for (auto const name : engine_names)
        if (auto const* const one = find_contender(name))
            versions += (versions.empty() ? "" : ", ") + std::string{name} +
                        (one->version().empty() ? "" : " " + one->version());
    std::printf(
        "%s\n%zu rows of %zu + %zu bytes, cache %zu MiB, %zu rounds in %.0f s "
        "(others took %.1f processors meanwhile)\n%s\n\n",
        machine(scratch.path()).c_str(),
        count,
        key_bytes,
        value_bytes,
        options_at({}, count).cache_bytes >> 20,
        finished,
        took,
        std::max(0.0, (after.busy - before.busy) - (after.own - before.own)) / took,
        versions.c_str()
    );
    measured.results().print();
    return stopped ? 130 : 0;
}

} // namespace

} // namespace peers

int main(int count, char** words) try {
    if (count == 5 && std::string_view{words[1]} == "--until-killed")
        return peers::live_until_killed(words[2], words[3], std::strtoull(words[4], nullptr, 10));
    return peers::compare();
} catch (std::exception const& why) {
    std::cerr << "bench-peers: " << why.what() << '\n';
    return 1;
}
