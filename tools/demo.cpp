// The demo: load real data, back it up while it changes, die, recover, lose everything, restore,
// and prove each time, row by row, that what is there is exactly a prefix of what was committed.
//
//     demo [--dir DIR] [--keep] [--seconds N]
//
// The engine's part runs in a child that ends by SIGKILL with all writers at work. The parent knows
// what to expect from the catalogue and from the writers' own ledger (demo_ledger.hpp), never from
// the engine.
#include <jetpp/backup.hpp>
#include <jetpp/jetpp.hpp>
#include <jetpp/restore.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "demo_catalogue.hpp"
#include "demo_ledger.hpp"
#include "progress.hpp"
#include <CLI/CLI.hpp>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace jetpp_tool;

struct demo_policies : jetpp::default_policies {
    using logging = jetpp::archival_logging;
};
using demo_engine = jetpp::engine<demo_policies>;

constexpr auto writer_count = 4u;
constexpr auto buffer_bytes = std::size_t{32} << 20; // less than the data

struct demo_paths {
    std::filesystem::path root{};
    [[nodiscard]] std::string engine() const { return root / "db"; }
    [[nodiscard]] std::string ledger() const { return root / "ledger-"; }
    [[nodiscard]] std::string repository() const { return root / "repository"; }
};

template <class T>
T sure(jetpp::result<T>&& outcome, char const* what) {
    if (!outcome)
        throw std::runtime_error{
            std::string{what} + ": " + std::string{jetpp::describe(outcome.error()).view()}
        };
    if constexpr (!std::is_void_v<T>) return std::move(outcome).assume_value();
}

// One line a step: what happened, and how long it took.
void tell(std::string_view step, std::string const& what, double seconds) {
    std::printf("%-10s %-86s %6.1f s\n", std::string{step}.c_str(), what.c_str(), seconds);
    std::fflush(stdout);
}
[[nodiscard]] std::string number(std::uint64_t n) {
    auto text = std::to_string(n);
    for (auto i = static_cast<std::ptrdiff_t>(text.size()) - 3; i > 0; i -= 3)
        text.insert(static_cast<std::size_t>(i), 1, ' ');
    return text;
}

struct demo_trees {
    jetpp::tree packages{};
    jetpp::tree history{};
};
[[nodiscard]] demo_trees open_trees(demo_engine& db) {
    sure(db.attach("catalogue"), "attach");
    return {
        .packages = sure(db.open_tree("catalogue", "packages"), "open the tree packages"),
        .history = sure(db.open_tree("catalogue", "history"), "open the tree history"),
    };
}

// --- the child

void load(demo_engine& db, demo_trees trees, catalogue const& base) {
    auto bar = progress_bar{"load"};
    auto done = std::uint64_t{0};
    constexpr auto batch = std::size_t{1000};
    for (std::size_t first = 0; first < base.rows.size(); first += batch) {
        auto tx = sure(db.begin(), "begin");
        auto const end = std::min(first + batch, base.rows.size());
        for (auto i = first; i < end; ++i) {
            sure(tx.put(trees.packages, base.rows[i].key, base.rows[i].text), "put");
            done += base.rows[i].key.size() + base.rows[i].text.size();
        }
        (void)sure(std::move(tx).commit(jetpp::durability::process), "commit");
        bar.show(done, base.bytes);
    }
    sure(db.checkpoint(), "checkpoint");
}

// Updates random rows, some at once, each with a version of its own, until stopped.
class writer {
public:
    writer(
        demo_engine& db,
        demo_trees trees,
        catalogue const& base,
        demo_paths const& paths,
        unsigned which
    )
        : db_{db}, trees_{trees}, base_{base}, which_{which},
          ledger_{paths.ledger() + std::to_string(which)} {}

    void run() {
        while (!stopped_.load(std::memory_order_relaxed)) step();
    }
    void stop() { stopped_.store(true, std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t commits() const { return commits_.load(); }
    [[nodiscard]] std::uint64_t conflicts() const { return conflicts_.load(); }
    [[nodiscard]] jetpp::lsn last_commit() const { return {last_commit_.load()}; }

private:
    void step() {
        auto tx = sure(db_.begin(), "begin");
        auto const number = commits_.load(std::memory_order_relaxed) + 1;
        writes_.clear();
        if (!change(tx, number)) {
            std::move(tx).rollback();
            conflicts_.fetch_add(1);
            return;
        }
        ledger_.intend(number, writes_);
        // Both levels survive the end of the process; the last writer proves the weaker one.
        auto const how =
            which_ + 1 == writer_count ? jetpp::durability::process : jetpp::durability::device;
        auto const receipt = sure(std::move(tx).commit(how), "commit");
        ledger_.acknowledge(number, receipt.at);
        last_commit_.store(receipt.at.value);
        commits_.store(number);
    }
    // Returns: false if it is to be repeated.
    bool change(demo_engine::transaction& tx, std::uint64_t number) {
        for (auto left = 1 + random_() % 6; left != 0; --left) {
            // Half of all updates meet in a hundredth of the rows.
            auto const hot = std::max<std::size_t>(base_.rows.size() / 100, 1);
            auto const row = static_cast<std::uint32_t>(
                random_() % (random_() % 2 == 0 ? hot : base_.rows.size())
            );
            if (std::any_of(writes_.begin(), writes_.end(), [&](row_version const& one) {
                    return one.row == row;
                }))
                continue;
            auto const seen = tx.get(trees_.packages, base_.rows[row].key, old_);
            if (is_to_repeat(seen)) return false;
            if (!sure(jetpp::result<bool>{seen}, "get"))
                throw std::runtime_error{"a row of the catalogue was not there"};
            auto const version = version_of_value(old_.text()) + 1;
            auto const value = value_of_version(base_.rows[row].text, version, which_, number);
            auto const put = tx.put(trees_.packages, base_.rows[row].key, value);
            if (is_to_repeat(put)) return false;
            sure(jetpp::result<void>{put}, "put");
            writes_.push_back({row, version});
        }
        auto const added =
            tx.insert(trees_.history, history_key(which_, number), history_value(writes_));
        if (is_to_repeat(added)) return false;
        sure(jetpp::result<void>{added}, "insert");
        if (number > history_length) {
            auto const gone =
                tx.erase(trees_.history, history_key(which_, number - history_length));
            if (is_to_repeat(gone)) return false;
            if (!sure(jetpp::result<bool>{gone}, "erase"))
                throw std::runtime_error{"a row of the history was not there"};
        }
        return true;
    }
    // Somebody was faster, or this transaction too slow: a new one may do.
    template <class T>
    [[nodiscard]] static bool is_to_repeat(jetpp::result<T> const& outcome) {
        return outcome.has_error() && (outcome.error().code == jetpp::errc::write_conflict ||
                                       outcome.error().code == jetpp::errc::snapshot_too_old);
    }

    demo_engine& db_;
    demo_trees trees_;
    catalogue const& base_;
    unsigned which_;
    ledger_file ledger_;
    std::mt19937 random_{which_ + 1};
    jetpp::value_buffer old_;
    std::vector<row_version> writes_;
    std::atomic<bool> stopped_{false};
    std::atomic<std::uint64_t> commits_{0};
    std::atomic<std::uint64_t> conflicts_{0};
    std::atomic<std::uint64_t> last_commit_{0};
};

class writer_team {
public:
    writer_team(demo_engine& db, demo_trees trees, catalogue const& base, demo_paths const& paths) {
        for (auto w = 0u; w < writer_count; ++w)
            writers_.push_back(std::make_unique<writer>(db, trees, base, paths, w));
        for (auto& one : writers_)
            threads_.emplace_back([&one] {
                try {
                    one->run();
                } catch (std::exception const& e) {
                    std::fprintf(stderr, "demo: a writer failed: %s\n", e.what());
                    ::_exit(1);
                }
            });
    }
    ~writer_team() {
        for (auto& one : writers_) one->stop();
        for (auto& one : threads_) one.join();
    }

    [[nodiscard]] std::uint64_t commits() const {
        auto sum = std::uint64_t{0};
        for (auto const& one : writers_) sum += one->commits();
        return sum;
    }
    [[nodiscard]] std::uint64_t conflicts() const {
        auto sum = std::uint64_t{0};
        for (auto const& one : writers_) sum += one->conflicts();
        return sum;
    }
    [[nodiscard]] bool all_beyond(jetpp::lsn end) const {
        for (auto const& one : writers_)
            if (one->last_commit() < end) return false;
        return true;
    }

private:
    std::vector<std::unique_ptr<writer>> writers_;
    std::vector<std::thread> threads_;
};

void sleep(double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>{seconds});
}

// Returns: the end of the set in the log.
[[nodiscard]] jetpp::lsn back_up(
    demo_engine& db, writer_team const& team, demo_paths const& paths
) {
    auto const clock = stopwatch{};
    auto const commits_before = team.commits();
    auto bar = progress_bar{"backup"};
    // Not as fast as it goes: the point is what the writers do to the pages meanwhile.
    auto options = jetpp::backup_options{.tag = "demo", .bytes_per_second = 32 << 20};
    options.on_progress = [&](jetpp::backup_progress const& p) -> jetpp::result<void> {
        bar.show(p.bytes_done, p.bytes_total, number(team.commits()) + " commits");
        return jetpp::ok();
    };
    auto const report = sure(jetpp::run_backup_to(db, paths.repository(), options), "back up");
    bar.wipe();
    if (report.stamp_problem) throw std::runtime_error{"the headers could not be stamped"};
    tell(
        "backup",
        human_bytes(static_cast<double>(report.stored_bytes)) + " in a full set, " +
            number(report.pages) + " pages and " + number(report.records) + " log records verified",
        clock.seconds()
    );
    std::printf(
        "           %s transactions were committed meanwhile; the set ends at LSN %s\n",
        number(team.commits() - commits_before).c_str(),
        number(report.end_lsn.value).c_str()
    );
    std::fflush(stdout);
    return report.end_lsn;
}

// Ends by SIGKILL.
[[noreturn]] void live_and_die(catalogue const& base, demo_paths const& paths, double seconds) {
    auto clock = stopwatch{};
    auto db = sure(demo_engine::open(paths.engine(), {.buffer_bytes = buffer_bytes}), "open");
    auto const trees = open_trees(db);
    load(db, trees, base);
    tell(
        "load",
        number(base.rows.size()) + " rows, " + human_bytes(static_cast<double>(base.bytes)) +
            ", through a pool of " + human_bytes(double{buffer_bytes}),
        clock.seconds()
    );

    auto const updating = stopwatch{};
    auto team = writer_team{db, trees, base, paths};
    sleep(seconds / 2);
    auto const end = back_up(db, team, paths);
    // Go on until no commit of unknown outcome can lie below the end of the set.
    clock = stopwatch{};
    while (!team.all_beyond(end)) sleep(0.01);
    sleep(seconds / 2);
    tell(
        "update",
        number(team.commits()) + " transactions by " + std::to_string(writer_count) + " threads, " +
            number(team.conflicts()) + " repeated after conflicts",
        updating.seconds()
    );
    std::printf("kill       SIGKILL to the process, all threads at work\n");
    std::fflush(stdout);
    ::kill(::getpid(), SIGKILL);
    for (;;) ::pause();
}

// --- the parent

// Every row of the tree, and none else, is what the ledger says.
[[nodiscard]] std::uint64_t prove_rows(
    demo_engine& db, jetpp::tree which, ledger::expected_rows const& expected
) {
    auto const view = sure(db.read(), "read");
    auto next = expected.begin();
    auto const wrong = [](std::string_view key, char const* what) {
        throw std::runtime_error{"NOT PROVED: row \"" + std::string{key} + "\" " + what};
    };
    sure(
        view.for_each(
            which,
            {},
            [&](jetpp::row const& r) {
                if (next == expected.end() || r.key < next->first)
                    wrong(r.key, "should not be there");
                if (r.key != next->first) wrong(next->first, "is missing");
                if (r.value != next->second) wrong(r.key, "has the value of another moment");
                ++next;
            }
        ),
        "scan"
    );
    if (next != expected.end()) wrong(next->first, "is missing");
    return expected.size();
}

[[nodiscard]] std::uint64_t prove_state(
    demo_engine& db,
    catalogue const& base,
    ledger const& known,
    std::vector<std::uint64_t> const& counts
) {
    auto const trees = open_trees(db);
    return prove_rows(db, trees.packages, known.packages(base, counts)) +
           prove_rows(db, trees.history, known.history(counts));
}

// How many transactions of each writer the recovered engine says it has, by its newest history row.
[[nodiscard]] std::vector<std::uint64_t> recovered_counts(demo_engine& db, ledger const& known) {
    auto const trees = open_trees(db);
    auto const view = sure(db.read(), "read");
    auto counts = std::vector<std::uint64_t>{};
    for (auto w = 0u; w < known.writer_count(); ++w) {
        auto const from = history_key(w, 0);
        auto const to = history_key(w + 1, 0);
        auto rows =
            sure(view.scan(trees.history, {.from = from, .to = to, .backward = true}), "scan");
        auto newest = std::uint64_t{0};
        if (sure(rows.next(), "scan"))
            newest = std::stoull(std::string{rows.current().key.substr(4)});
        if (newest < known.acknowledged(w))
            throw std::runtime_error{
                "NOT PROVED: writer " + std::to_string(w) + " had " +
                std::to_string(known.acknowledged(w)) + " commits acknowledged and only " +
                std::to_string(newest) + " are there"
            };
        if (newest > known.begun(w))
            throw std::runtime_error{"NOT PROVED: a commit is there that nobody made"};
        counts.push_back(newest);
    }
    return counts;
}

void recover_and_prove(catalogue const& base, demo_paths const& paths, ledger const& known) {
    auto clock = stopwatch{};
    auto db = sure(demo_engine::open(paths.engine(), {.buffer_bytes = buffer_bytes}), "recover");
    auto const& report = db.core().store.report();
    if (!report.recovered) throw std::runtime_error{"NOT PROVED: nothing was recovered"};
    tell(
        "recover",
        number(report.records) + " log records, " + number(report.pages_changed) +
            " page changes redone, " + std::to_string(report.losers) +
            " unfinished transactions undone",
        clock.seconds()
    );
    clock = stopwatch{};
    auto const updates = known.check_order();
    auto const counts = recovered_counts(db, known);
    auto const rows = prove_state(db, base, known, counts);
    auto recovered = std::uint64_t{0};
    for (auto const n : counts) recovered += n;
    tell(
        "PROVED",
        "all " + number(known.all_acknowledged()) + " acknowledged commits are there (" +
            std::to_string(recovered - known.all_acknowledged()) +
            " more had not been), nothing else",
        clock.seconds()
    );
    std::printf(
        "           %s rows compared; %s updates were made in the order of their commits\n",
        number(rows).c_str(),
        number(updates).c_str()
    );
    sure(std::move(db).close(), "close");
}

void restore_and_prove(catalogue const& base, demo_paths const& paths, ledger const& known) {
    auto clock = stopwatch{};
    std::filesystem::remove_all(paths.engine());
    tell("lose", "the whole directory of the engine is removed", clock.seconds());

    clock = stopwatch{};
    auto const verified =
        sure(jetpp::verify_repository(jetpp::native_environment{}, paths.repository()), "verify");
    if (!verified.is_good()) throw std::runtime_error{"NOT PROVED: the repository is damaged"};
    tell(
        "verify",
        number(verified.frames) + " frames, " + number(verified.pages) + " pages, " +
            number(verified.records) + " log records of the set",
        clock.seconds()
    );

    clock = stopwatch{};
    auto bar = progress_bar{"restore"};
    auto options = jetpp::restore_options{.buffer_bytes = buffer_bytes};
    auto read = std::uint64_t{0};
    options.on_read = [&](std::uint64_t bytes) -> jetpp::result<void> {
        bar.show(read += bytes, verified.bytes);
        return jetpp::ok();
    };
    auto const restored = sure(
        jetpp::run_restore<demo_engine::traits>(
            {}, paths.repository(), paths.engine(), {}, options
        ),
        "restore"
    );
    bar.wipe();
    tell(
        "restore",
        human_bytes(static_cast<double>(restored.read.bytes)) + ", " +
            number(restored.recovery.records) + " log records redone, " +
            std::to_string(restored.recovery.losers) + " unfinished transactions undone",
        clock.seconds()
    );

    clock = stopwatch{};
    if (!known.knows_all_below(restored.reached))
        throw std::runtime_error{"NOT PROVED: a commit of unknown outcome lies below the set's end"
        };
    auto counts = std::vector<std::uint64_t>{};
    auto sum = std::uint64_t{0};
    for (auto w = 0u; w < known.writer_count(); ++w) {
        counts.push_back(known.committed_below(w, restored.reached));
        sum += counts.back();
    }
    auto db = sure(demo_engine::open(paths.engine(), {.buffer_bytes = buffer_bytes}), "open");
    auto const rows = prove_state(db, base, known, counts);
    sure(std::move(db).close(), "close");
    tell(
        "PROVED",
        "the restored rows are those of the " + number(sum) + " commits below LSN " +
            number(restored.reached.value) + ", exactly",
        clock.seconds()
    );
    std::printf(
        "           %s rows compared; %s commits beyond it are not there\n",
        number(rows).c_str(),
        number(known.all_acknowledged() - sum).c_str()
    );
}

void run_demo(demo_paths const& paths, double seconds) {
    auto const whole = stopwatch{};
    auto clock = stopwatch{};
    auto const base = catalogue_reader::read();
    tell(
        "read",
        number(base.packages) + " packages as " + number(base.rows.size()) + " rows from " +
            base.source,
        clock.seconds()
    );

    auto const child = ::fork();
    if (child < 0) throw std::runtime_error{"fork failed"};
    if (child == 0) {
        try {
            live_and_die(base, paths, seconds);
        } catch (std::exception const& e) {
            std::fprintf(stderr, "demo: %s\n", e.what());
        }
        ::_exit(1);
    }
    auto status = 0;
    if (::waitpid(child, &status, 0) != child) throw std::runtime_error{"waitpid failed"};
    if (WIFEXITED(status)) throw std::runtime_error{"the engine's process failed, see above"};
    if (WTERMSIG(status) != SIGKILL) throw std::runtime_error{"the engine's process crashed"};

    auto const known = ledger{paths.ledger(), writer_count};
    recover_and_prove(base, paths, known);
    restore_and_prove(base, paths, known);
    tell("all", "", whole.seconds());
}

} // namespace

int main(int argc, char** argv) {
    auto app = CLI::App{"loads, updates, backs up, kills, recovers, restores, and proves it"};
    auto parent = std::filesystem::temp_directory_path().string();
    auto keep = false;
    auto seconds = 5.0;
    app.add_option("--dir", parent, "where to make the demo's directory")->capture_default_str();
    app.add_flag("--keep", keep, "do not remove it at the end");
    app.add_option("--seconds", seconds, "of updates")->capture_default_str();
    CLI11_PARSE(app, argc, argv);

    auto root = parent + "/jetpp-demo-XXXXXX";
    if (::mkdtemp(root.data()) == nullptr) {
        std::fprintf(stderr, "demo: %s: cannot be created\n", root.c_str());
        return 1;
    }
    auto const paths = demo_paths{.root = root};
    auto status = 0;
    try {
        run_demo(paths, seconds);
    } catch (std::exception const& e) {
        std::fprintf(stderr, "demo: %s\n", e.what());
        status = 1;
        keep = true;
    }
    if (keep)
        std::printf("kept in %s\n", root.c_str());
    else
        std::filesystem::remove_all(paths.root);
    return status;
}
