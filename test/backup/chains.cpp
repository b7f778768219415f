// test/backup/chains.cpp - random chains of sets, under writers, restore what the model says; and
// again when the old ones were pruned.
//
// All on the simulated machine: between two sets the instance may lose its power, and with it
// whatever nobody synced. Or it is brought back to the end of a set, or to any moment before it, and
// goes on from there: then it has a new timeline, and its sets lie among those of what was given up.
#include <jetpp/backup.hpp>
#include <jetpp/backup/prune_sets.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::chains_cases {

using namespace jetpp;

using chain_engine = engine<recorded_sim_policies>;
using env_type = chain_engine::environment_type;
using traits = chain_engine::traits;

// Rows of all trees of all databases: "database/tree/key".
using world_model = std::map<std::string, std::string>;

void wipe(env_type env, path_view path) {
    auto where = good(env.storage.open_dir(path, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(where.list(entries));
    for (auto const& entry : entries)
        if (entry.kind == entry_kind::file) good(where.remove(entry.name));
    good(where.sync()); // or the next loss of power brings them back
}

// One life of an instance under random work, with backups taken in between and in its midst.
class chain {
public:
    chain(unsigned seed, bool archival)
        : random_{seed}, archival_{archival}, tape_{seed}, world_{tape_},
          env_{world_.environment()} {}

    void run(int steps) {
        world_.run([&] {
            open("/db");
            if (databases_.empty()) attach("main");
        });
        for (auto i = 0; i < steps; ++i) {
            if (random_() % 8 == 0) lose_power();
            world_.run([&] { step(); });
        }
        world_.run([&] {
            good(std::move(*db_).close());
            db_.reset();
        });
    }
    [[nodiscard]] int crashes() const { return crashes_; }
    [[nodiscard]] int forks() const { return forks_; }

    // What there was at a commit.
    struct moment {
        std::size_t before{}; // the moment from which it was reached
        lsn at{};
        timeline_id timeline{};
        world_model rows{};
        std::vector<std::string> databases{};
    };
    // Of every set taken, in its own repository or another, the rows at its end.
    struct taken_set {
        backup_report report{};
        world_model rows{};
        std::vector<std::string> databases{};
        std::vector<std::string> carried{}; // some of them may have been left out
        std::size_t last_moment{};
        timeline_id timeline{};
    };
    [[nodiscard]] std::vector<taken_set> const& sets() const { return sets_; }
    template <class Work>
    void in_world(Work&& work) {
        world_.run(work);
    }

    // Sets go; each moment that the oldest pages kept reach can be had as before.
    // Returns: how many went.
    std::size_t prune(std::size_t keep) {
        auto sets = good(repository<env_type>::open(env_, "/repo"));
        auto const before = good(list_sets(sets));
        auto const report = good(prune_sets(sets, {.keep = keep}));
        auto const after = good(list_sets(sets));
        CHECK(after.size() == report.kept);
        CHECK(after.size() + report.gone.size() == before.size());
        auto bases = std::vector<backup_manifest const*>{};
        for (auto const& one : before)
            if (one.manifest.kind == backup_kind::full || one.manifest.kind == backup_kind::copy)
                bases.push_back(&one.manifest);
        std::sort(bases.begin(), bases.end(), [](auto const* a, auto const* b) {
            return b->end_lsn < a->end_lsn;
        });
        if (!bases.empty()) {
            auto const first = bases[std::min(keep, bases.size()) - 1]->copy_end_lsn;
            auto end = first;
            for (auto const& one : before) end = later(end, one.manifest.end_lsn);
            for (auto i = 0; i < 50; ++i) {
                auto const limit = lsn{first.value + random_() % (end.value + 1 - first.value)};
                if (limit < first || !can_be_had(before, limit)) continue;
                CAPTURE(limit.value);
                CHECK(can_be_had(after, limit));
            }
        }
        std::erase_if(sets_, [&](taken_set const& set) {
            return std::any_of(report.gone.begin(), report.gone.end(), [&](pruned_set const& one) {
                return one.set == set.report.set;
            });
        });
        return report.gone.size();
    }

    void check(taken_set const& set) const {
        auto const id = text_of(set.report.set);
        CAPTURE(id, name_of(set.report.kind));
        auto how = restore_options{};
        how.set = id;
        auto const done = run_restore<traits>(env_, {"/repo"}, "/at", how);
        // Older pages have the others, perhaps, and no log leads from there.
        if (!done && some_were_left_out_ && may_be_out_of_reach(done.error().code)) {
            for (auto const& name : set.carried) check_one(set, name);
            return;
        }
        if (!done)
            FAIL(name_of(set.report.kind) << " " << id << ": " << describe(done.error()).c_str());
        compare_there(set.rows, set.databases);
    }
    // Some moment of the history of that set. Returns: can it be had?
    template <class Random>
    [[nodiscard]] bool check_moment(taken_set const& set, Random& random) const {
        auto const* const wanted = some_moment(set, random);
        if (wanted == nullptr) return false;
        CAPTURE(text_of(set.report.set), wanted->at.value);
        auto how = restore_options{};
        how.set = text_of(set.report.set);
        how.to_lsn = wanted->at;
        auto const done = run_restore<traits>(env_, {"/repo"}, "/at", how);
        if (!done) {
            if (!may_be_out_of_reach(done.error().code)) FAIL(describe(done.error()).c_str());
            return false;
        }
        compare_there(wanted->rows, wanted->databases);
        return true;
    }
    // One database of several.
    void check_one(taken_set const& set, std::string const& name) const {
        auto how = restore_options{};
        how.set = text_of(set.report.set);
        how.databases = {name};
        CAPTURE(how.set, name, name_of(set.report.kind));
        (void)good(run_restore<traits>(env_, {"/repo"}, "/at", how));
        compare_there(rows_in(set.rows, {name}), {name});
    }

private:
    [[nodiscard]] static world_model rows_in(
        world_model const& all, std::vector<std::string> const& databases
    ) {
        auto rows = all;
        std::erase_if(rows, [&](auto const& row) {
            return std::find(
                       databases.begin(), databases.end(), row.first.substr(0, row.first.find('/'))
                   ) == databases.end();
        });
        return rows;
    }
    void compare_there(world_model const& rows, std::vector<std::string> const& databases) const {
        auto options = small_engine;
        options.create = create_how::must_exist;
        {
            auto db = good(chain_engine::open("/at", options, env_));
            compare(db, rows, databases);
            good(std::move(db).close());
        }
        wipe(env_, "/at");
    }
    // Null: there is none.
    template <class Random>
    [[nodiscard]] moment const* some_moment(taken_set const& set, Random& random) const {
        auto place = set.last_moment;
        for (auto steps = random() % 16; steps > 0 && moments_[place].before != 0; --steps)
            place = moments_[place].before;
        return place == 0 ? nullptr : &moments_[place];
    }
    // Pages from before it may never have been copied, or its log not have been kept.
    [[nodiscard]] bool may_be_out_of_reach(errc code) const {
        return code == errc::target_before_set_end || code == errc::log_gap ||
               code == errc::base_not_here ||
               (code == errc::database_not_in_sets && some_were_left_out_);
    }
    [[nodiscard]] static bool can_be_had(std::vector<catalogued_set> const& sets, lsn limit) {
        auto all = std::vector<planned_set>{};
        for (auto const& one : sets) all.push_back({&one.manifest, one.hash});
        auto trouble = plan_trouble{};
        for (std::size_t head = 0; head < all.size(); ++head)
            if (plan_restore(all, head, limit, trouble)) return true;
        return false;
    }

    void step() {
        work(20 + static_cast<unsigned>(random_() % 200));
        switch (random_() % 12) {
        case 0:
            if (databases_.size() < 4) attach("db" + std::to_string(next_database_++));
            break;
        case 1: come_back(); break;
        case 2: drop(); break;
        case 3: good(db_->checkpoint()); break;
        case 4:
            good(std::move(*db_).close());
            db_.reset();
            open("/db");
            break;
        case 5:
        case 6: go_back(); break;
        default: break;
        }
        back_up();
    }

    // One durable commit makes all before it durable; what comes after it here is not committed.
    void lose_power() {
        world_.run([&] {
            auto const handle = good(db_->open_tree("main", "a"));
            (void)good(db_->put(handle, "durable", std::to_string(crashes_)));
            rows_["main/a/durable"] = std::to_string(crashes_);
            auto open = good(db_->begin());
            for (auto i = 0; i < 30; ++i)
                good(open.put(handle, "lost" + std::to_string(i), std::string(200, 'l')));
            if (random_() % 2 == 0) good(db_->checkpoint()); // home, and to be undone
            world_.machine().freeze();
            std::move(open).rollback();
            db_.reset();
        });
        world_.machine().thaw(crash_policies[random_() % crash_policies.size()]);
        ++crashes_;
        world_.run([&] { open("/db"); });
    }

    static void compare(
        chain_engine& db, world_model const& rows, std::vector<std::string> const& databases
    ) {
        auto found = world_model{};
        auto attached = std::vector<std::string>{};
        for (auto& known : db.core().store.databases())
            if (known.file != nullptr) attached.emplace_back(known.name.view());
        std::sort(attached.begin(), attached.end());
        auto expected = databases;
        std::sort(expected.begin(), expected.end());
        CHECK(attached == expected);
        auto const checked = good(check_trees(db.core().store));
        CHECK(checked.is_good());
        for (auto const& name : attached)
            for (auto const* const tree : {"a", "b"}) {
                if (!db.open_tree(name, tree, open_how_tree::must_exist)) continue;
                for (auto& [key, value] : rows_of(db, name, tree))
                    found.emplace(name + "/" + tree + "/" + key, value);
            }
        CHECK(found.size() == rows.size());
        if (found != rows) FAIL("the rows are not those of the set's end");
    }

    void open(path_view path) {
        auto options = small_engine;
        options.archival = archival_;
        db_.emplace(good(chain_engine::open(path, options, env_)));
    }
    void attach(std::string const& name) {
        good(db_->attach(name));
        databases_.push_back(name);
        for (auto& known : db_->core().store.databases())
            if (known.file != nullptr && known.name.view() == name)
                known.file->set_growth_bytes_min(64 << 10);
    }
    // To the end of a set, or to a moment before it, of this history or of one that was given up.
    void go_back() {
        if (sets_.empty()) return;
        auto const& set = sets_[random_() % sets_.size()];
        auto how = restore_options{};
        how.force = true;
        how.set = text_of(set.report.set);
        auto place = set.last_moment;
        auto rows = set.rows;
        auto databases = set.databases;
        auto const* const wanted = random_() % 2 == 0 ? some_moment(set, random_) : nullptr;
        if (wanted != nullptr) {
            how.to_lsn = wanted->at;
            place = static_cast<std::size_t>(wanted - moments_.data());
            rows = wanted->rows;
            databases = wanted->databases;
        }
        if (std::find(databases.begin(), databases.end(), "main") == databases.end()) return;
        if (random_() % 4 == 0) {
            how.databases = databases = {"main"};
            rows = rows_in(rows, databases);
        }
        auto const to = how.to_lsn ? how.to_lsn->value : 0;
        CAPTURE(how.set, to, name_of(set.report.kind), databases.size());
        good(std::move(*db_).close());
        db_.reset();
        auto const done = run_restore<traits>(env_, {"/repo"}, "/db", how);
        if (done) {
            // The history that is left ends with the set, or with the commit of that moment.
            auto const parent = wanted != nullptr ? wanted->timeline : set.timeline;
            auto forks = ancestries_[parent.value];
            forks.insert(forks.begin(), {parent, done.value().fork_lsn});
            ancestries_[done.value().timeline.value] = std::move(forks);
            rows_ = std::move(rows);
            databases_ = std::move(databases);
            last_moment_ = place;
            ++forks_;
        } else if (!may_be_out_of_reach(done.error().code) ||
                   (!how.to_lsn && !some_were_left_out_)) {
            FAIL(describe(done.error()).c_str());
        }
        open("/db");
        compare(*db_, rows_, databases_);
    }
    // Leaves and joins again, with a new id; another one may take its place.
    void come_back() {
        auto const name = databases_[random_() % databases_.size()];
        good(db_->detach(name));
        if (random_() % 2 == 0) work(10);
        if (random_() % 3 == 0 && databases_.size() < 4)
            attach("db" + std::to_string(next_database_++));
        good(db_->attach(name));
        for (auto& known : db_->core().store.databases())
            if (known.file != nullptr && known.name.view() == name)
                known.file->set_growth_bytes_min(64 << 10);
    }
    void drop() {
        if (databases_.size() < 2) return;
        auto const at = 1 + random_() % (databases_.size() - 1);
        auto const name = databases_[at];
        good(db_->detach(name));
        auto where = good(env_.storage.open_dir("/db", directory_how::must_exist));
        auto file = file_name{};
        file.add(name);
        good(where.remove(file));
        databases_.erase(databases_.begin() + static_cast<std::ptrdiff_t>(at));
        std::erase_if(rows_, [&](auto const& row) { return row.first.starts_with(name + "/"); });
    }

    void work(unsigned operations) {
        for (auto i = 0U; i < operations; ++i) {
            auto const& name = databases_[random_() % databases_.size()];
            if (!is_attached(name)) continue;
            auto const tree = std::string{random_() % 3 == 0 ? "b" : "a"};
            auto const handle = good(db_->open_tree(name, tree));
            auto const key = "key" + std::to_string(random_() % 400);
            auto const path = name + "/" + tree + "/" + key;
            if (random_() % 4 == 0) {
                (void)good(db_->erase(handle, key, durability::memory));
                rows_.erase(path);
            } else {
                auto const value =
                    std::string(random_() % 300, static_cast<char>('a' + random_() % 26));
                auto const told = good(db_->put(handle, key, value, durability::memory));
                rows_[path] = value;
                if (random_() % 32 == 0) remember(told.at);
            }
            if (i % 64 == 0) (void)good(db_->poll());
        }
    }
    void remember(lsn at) {
        auto attached = databases_;
        std::erase_if(attached, [&](auto const& name) { return !is_attached(name); });
        auto rows = rows_in(rows_, attached);
        moments_.push_back(
            {last_moment_, at, db_->core().store.timeline(), std::move(rows), std::move(attached)}
        );
        last_moment_ = moments_.size() - 1;
    }
    [[nodiscard]] bool is_attached(std::string const& name) {
        return db_->core().store.find_database(name).has_value();
    }

    void back_up() {
        auto options = backup_options{};
        options.kind = std::array{
            backup_kind::full,
            backup_kind::copy,
            backup_kind::incremental,
            backup_kind::incremental,
            backup_kind::differential,
            backup_kind::pages,
            backup_kind::pages
        }[random_() % 7];
        if (options.kind == backup_kind::pages) {
            auto bases = std::vector<std::string>{};
            for (auto const& one : sets_)
                if (has_pages(one.report.kind)) bases.push_back(one.report.name);
            if (bases.empty())
                options.kind = backup_kind::full;
            else
                options.base = base_of(bases[random_() % bases.size()]);
        }
        if (random_() % 4 == 0) {
            for (auto const& name : databases_)
                if (random_() % 2 == 0) options.databases.push_back(name);
            if (options.databases.empty()) options.databases = {databases_.back()};
            some_were_left_out_ = true;
        }
        // Writers go on while pages and log are read; an unfinished one at the end is rolled back.
        auto busy = random_() % 3 != 0;
        options.on_progress = [&](backup_progress const& now) -> result<void> {
            if (busy && now.stage == backup_stage::pages) work(8);
            return ok();
        };
        auto open = std::optional<typename chain_engine::transaction>{};
        if (random_() % 2 == 0) {
            open.emplace(good(db_->begin()));
            auto const handle = good(db_->open_tree("main", "a"));
            for (auto i = 0; i < 20; ++i)
                good(open->put(handle, "open" + std::to_string(i), std::string(50, 'o')));
        }
        auto sets = good(repository<env_type>::open_or_create(env_, "/repo"));
        auto sink = good(directory_sink<env_type>::create(env_, sets));
        options.find_base = [&](uuid const& set, std::uint64_t hash) {
            return sets.find_set(set, hash);
        };
        auto const done = run_in_place(db_->core().store, sink, options);
        if (open) std::move(*open).rollback();
        if (!done) {
            auto const code = done.error().code;
            auto const legal = code == errc::full_backup_required || code == errc::log_gap ||
                               code == errc::circular_logging || code == errc::base_not_here;
            if (!legal) FAIL(describe(done.error()).c_str());
            // All that the marks of the databases name lies in the one repository.
            if (code == errc::base_not_here) CHECK(options.kind == backup_kind::pages);
            return;
        }
        auto made = taken_set{
            .report = done.value(),
            .rows = rows_,
            .carried = options.databases,
            .last_moment = last_moment_,
            .timeline = db_->core().store.timeline(),
        };
        made.report.name = std::string{sink.name().view()};
        CHECK(base_of(made.report.name).manifest.ancestry == ancestries_[made.timeline.value]);
        for (auto const& name : databases_)
            if (is_attached(name)) made.databases.push_back(name);
        if (made.carried.empty()) made.carried = made.databases;
        sets_.push_back(std::move(made));
    }
    [[nodiscard]] backup_base base_of(std::string const& name) {
        auto sets = good(repository<env_type>::open(env_, "/repo"));
        auto made = file_name{};
        made.add(name);
        auto set = good(sets.open_set(made));
        auto const read = good(manifest_of<env_type>(set));
        return {read.manifest, read.hash};
    }

    std::mt19937 random_;
    bool archival_;
    int crashes_ = 0;
    int forks_ = 0;
    bool some_were_left_out_ = false; // of a set
    choice_tape tape_;
    simulated_world world_;
    env_type env_;
    std::optional<chain_engine> db_;
    std::vector<std::string> databases_;
    int next_database_ = 1;
    world_model rows_;
    std::vector<moment> moments_ = std::vector<moment>(1); // the first is none
    std::size_t last_moment_ = 0;
    std::map<std::uint64_t, std::vector<timeline_fork>> ancestries_; // by timeline
    std::vector<taken_set> sets_;
};

TEST_CASE("every set of a random chain restores to the rows of its end", "[backup][chains]") {
    auto const chains = rounds(12);
    auto restored = 0;
    auto moments = 0;
    auto crashes = 0;
    auto forks = 0;
    auto pruned = std::size_t{0};
    for (auto seed = 1U; seed <= chains; ++seed) {
        auto life = chain{seed, seed % 4 != 0};
        CAPTURE(seed);
        life.run(10);
        auto random = std::mt19937{seed};
        for (auto const& set : life.sets()) {
            life.in_world([&] {
                life.check(set);
                if (random() % 3 == 0)
                    life.check_one(set, set.carried[random() % set.carried.size()]);
                if (life.check_moment(set, random)) ++moments;
            });
            ++restored;
        }
        // The old ones go, the others stand, and the next ones find what they stand on.
        life.in_world([&] { pruned += life.prune(1 + random() % 3); });
        life.run(3);
        for (auto const& set : life.sets()) life.in_world([&] { life.check(set); });
        crashes += life.crashes();
        forks += life.forks();
    }
    CHECK(forks > static_cast<int>(chains) / 2);
    CHECK(moments > static_cast<int>(chains));
    CHECK(pruned > chains / 2);
    CHECK(crashes > static_cast<int>(chains) / 2);
    CHECK(restored > static_cast<int>(chains) * 3);
}

} // namespace jetpp_test::chains_cases
