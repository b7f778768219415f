// test/backup/restore_crash.cpp - machines that stop inside the restore of a chain, or while a stream
// is received: never is a half of anything taken for the whole, and the next try finishes it.
#include <jetpp/backup.hpp>
#include <jetpp/backup/receive_set.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"
#include "made_set.hpp"

namespace jetpp_test::restore_crash_cases {

using namespace jetpp;

using sim_engine = engine<sim_policies>;
using sim_env = sim_engine::environment_type;
using traits = sim_engine::traits;

open_options existing() {
    auto options = small_engine;
    options.create = create_how::must_exist;
    return options;
}
std::string text_of_error(error const& why) {
    return describe(why).c_str();
}

// Every call numbered 1 to `calls`, as densely as `tries` allow; each with the next policy.
template <class F>
void at_calls(std::uint64_t calls, std::uint64_t tries, F&& f) {
    auto const step = std::max<std::uint64_t>(1, calls * crash_policies.size() / tries);
    for (std::size_t p = 0; p < crash_policies.size(); ++p)
        for (auto n = 1 + p * step / crash_policies.size(); n <= calls; n += step)
            f(n, crash_policies[p]);
}

// A chain that needs every kind of set, two databases of which the log makes one, and a moment
// inside its last set: with somebody unfinished at it, so that the restore rolls back and forks.
struct chained_world {
    lsn to{};
    model main{};
    model young{};

    explicit chained_world(sim_env env) {
        auto db = good(sim_engine::open("/db", small_engine, env));
        good(db.attach("main"));
        db.core().store.databases()[0].file->set_growth_bytes_min(64 << 10);
        auto const rows = good(db.open_tree("main", "rows"));
        put(db, rows, main, 0, 60);
        auto const full = good(run_backup_to(db, "/repo"));
        put(db, rows, main, 30, 90);
        (void)good(run_backup_to(db, "/repo", {.kind = backup_kind::incremental}));
        put(db, rows, main, 80, 120);
        auto base = manifest_named(env, full.name);
        (void)good(run_backup_to(
            db, "/repo", {.kind = backup_kind::pages, .base = backup_base{base.manifest, base.hash}}
        ));
        put(db, rows, main, 10, 40);
        good(db.attach("young"));
        auto const others = good(db.open_tree("young", "rows"));
        put(db, others, young, 0, 20);
        auto open = good(db.begin());
        for (auto i = 0; i < 20; ++i)
            good(open.put(rows, "open" + std::to_string(i), std::string(90, 'o')));
        to = good(db.put(rows, "last", "moment", durability::memory)).at;
        main["last"] = "moment";
        (void)good(std::move(open).commit());
        auto behind = model{};
        put(db, rows, behind, 0, 20);
        base = manifest_named(env, full.name);
        // `young` was created since the full: an incremental is not to be had, pages are.
        (void)good(run_backup_to(
            db, "/repo", {.kind = backup_kind::pages, .base = backup_base{base.manifest, base.hash}}
        ));
        good(std::move(db).close());
    }

    static void put(sim_engine& db, tree const& rows, model& into, int from, int to) {
        for (auto i = from; i < to; ++i) {
            auto const key = "key" + std::to_string(i);
            auto const value = std::string(
                static_cast<std::size_t>(i * 5), static_cast<char>('a' + (i + from) % 26)
            );
            (void)good(db.put(rows, key, value, durability::memory));
            into[key] = value;
        }
    }
    static read_manifest manifest_named(sim_env env, std::string const& name) {
        auto sets = good(repository<sim_env>::open(env, "/repo"));
        auto called = file_name{};
        called.add(name);
        auto set = good(sets.open_set(called));
        return good(manifest_of<sim_env>(set));
    }

    [[nodiscard]] result<restore_report> restore(sim_env env) const {
        auto how = restore_options{};
        how.to_lsn = to;
        return run_restore<traits>(env, {"/repo"}, "/new", how);
    }
    // Returns: what is wrong with the rows of /new, "closed" if no engine opens it.
    [[nodiscard]] std::string look(sim_env env, errc* refused = nullptr) const {
        auto db = sim_engine::open("/new", existing(), env);
        if (!db) {
            if (refused != nullptr) *refused = db.error().code;
            return "closed: " + text_of_error(db.error());
        }
        auto said = std::string{};
        auto const names = std::initializer_list<std::pair<char const*, model const*>>{
            {"main", &main}, {"young", &young}
        };
        for (auto const& [name, expected] : names) {
            if (!db.value().open_tree(name, "rows", open_how_tree::must_exist))
                said += std::string{name} + " is not there; ";
            else if (rows_of(db.value(), name, "rows") != *expected)
                said += std::string{name} + " has other rows; ";
        }
        auto const checked = check_trees(db.value().core().store);
        if (!checked || !checked.value().is_good()) said += "a tree is damaged; ";
        if (auto closed = std::move(db).value().close(); !closed) said += "cannot be closed; ";
        return said;
    }
};

TEST_CASE(
    "a crash at any call of a chain's restore leaves the whole of it, or what no engine opens",
    "[backup][restore][crash]"
) {
    auto tape = choice_tape{21};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto chain = std::optional<chained_world>{};
    world.run([&] { chain.emplace(env); });
    auto const before = world.machine().save();
    auto report = restore_report{};
    auto first = std::uint64_t{0};
    auto last = std::uint64_t{0};
    world.run([&] {
        first = world.machine().calls();
        report = good(chain->restore(env));
        last = world.machine().calls();
        auto const problem = chain->look(env);
        if (!problem.empty()) FAIL(problem);
    });
    // All that was to be there, is.
    REQUIRE(report.page_sets == 2);
    REQUIRE(report.databases == 2);
    REQUIRE(report.recovery.losers == 1);
    auto const calls = last - first;
    REQUIRE(calls > 100);

    auto tried = 0;
    auto closed = 0;
    auto published = 0;
    auto again_cut = 0;
    auto gone_on = 0;
    at_calls(calls, rounds(240), [&](std::uint64_t n, crash_policy policy) {
        world.machine().restore(before);
        world.machine().crash_at(n);
        auto was_told = false;
        world.run([&] { was_told = chain->restore(env).has_value(); });
        world.machine().thaw(policy);
        CAPTURE(n, name_of(policy), was_told);
        // Some are cut twice: the second time inside the restore that begins anew, or goes on.
        if (tried % 3 == 0 && !was_told) {
            world.machine().crash_at(1 + (n * 7919) % calls);
            world.run([&] { was_told = chain->restore(env).has_value(); });
            world.machine().thaw(
                crash_policies[static_cast<std::size_t>(tried / 3) % crash_policies.size()]
            );
            ++again_cut;
        }
        auto problem = std::string{};
        world.run([&] {
            auto refused = errc::none;
            problem = chain->look(env, &refused);
            auto const is_closed = refused != errc::none;
            closed += is_closed ? 1 : 0;
            if (is_closed) {
                if (was_told)
                    problem = "what was told is not there: " + problem;
                else if (refused == errc::needs_restore || refused == errc::not_found)
                    problem = {};
            }
            if (!problem.empty()) return;
            auto const again = chain->restore(env);
            if (again && is_closed) {
                problem = chain->look(env);
                auto const& done = again.value();
                gone_on += done.gone_on ? 1 : 0;
                if (done.gone_on != (done.read.bytes == 0)) problem += "read what lies there";
                if (done.databases != report.databases) problem += "other databases are told";
            } else if (!is_closed && code_of(again) == errc::would_overwrite) {
                ++published;
            } else {
                problem = again ? "restored over" : text_of_error(again.error());
            }
        });
        if (!problem.empty()) FAIL(problem);
        ++tried;
    });
    // There are no more points than these, whatever the budget.
    auto const points = static_cast<int>(calls * crash_policies.size());
    CHECK(tried > std::min(100 * static_cast<int>(rounds(10)) / 10, points - 1));
    CHECK(closed > tried / 2);
    CHECK(published + closed == tried);
    CHECK(again_cut > tried / 4);
    CHECK(gone_on > tried / 8);
}

TEST_CASE(
    "a restore that was interrupted goes on only as what it was", "[backup][restore][crash]"
) {
    auto tape = choice_tape{23};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto chain = std::optional<chained_world>{};
    world.run([&] { chain.emplace(env); });
    auto const before = world.machine().save();
    auto calls = std::uint64_t{0};
    world.run([&] {
        auto const first = world.machine().calls();
        (void)good(chain->restore(env));
        calls = world.machine().calls() - first;
    });
    auto anew = 0;
    for (auto n = calls / 2; n < calls; n += 3) {
        world.machine().restore(before);
        world.machine().crash_at(n);
        world.run([&] { (void)chain->restore(env); });
        world.machine().thaw(crash_policies[n % crash_policies.size()]);
        auto problem = std::string{};
        world.run([&] {
            auto refused = errc::none;
            (void)chain->look(env, &refused);
            if (refused != errc::needs_restore) return;
            // To the end of the chain, which nobody had begun.
            auto other = run_restore<traits>(env, "/repo", "/new");
            if (!other || other.value().gone_on || other.value().read.bytes == 0)
                problem = other ? "went on with another plan" : text_of_error(other.error());
            else if (other.value().reached == chain->to + 1)
                problem = "did not go further";
            ++anew;
        });
        INFO("call " << n);
        if (!problem.empty()) FAIL(problem);
    }
    // What was laid down was harmed meanwhile: it is laid down anew, and no set is blamed.
    for (auto const* harmed : {"main", "young", "jet.ckp"}) {
        world.machine().restore(before);
        world.machine().crash_at(calls - 20);
        world.run([&] { (void)chain->restore(env); });
        world.machine().thaw(crash_policies[0]);
        auto problem = std::string{};
        world.run([&] {
            auto storage = env.storage;
            auto where = good(storage.open_dir("/new", directory_how::must_exist));
            auto name = file_name{};
            name.add(harmed);
            if (std::string_view{harmed} == "jet.ckp") {
                good(where.remove(name));
            } else {
                auto file = good(where.open(name, {.mode = open_mode::read_write}));
                good(file.truncate(file.layout().alignment));
            }
            auto const again = chain->restore(env);
            problem = again ? chain->look(env) : text_of_error(again.error());
            if (again && !again.value().passed_over.empty()) problem = "a good set is blamed";
            if (again && again.value().read.bytes == 0) problem += "nothing was laid down";
        });
        CAPTURE(harmed);
        if (!problem.empty()) FAIL(problem);
    }
    // The same, cut while it takes away what was there; then the first plan again.
    auto emptied = 0;
    for (auto m = std::uint64_t{1}; m < 90; ++m) {
        auto const n = calls - 1 - m % 40;
        world.machine().restore(before);
        world.machine().crash_at(n);
        world.run([&] { (void)chain->restore(env); });
        world.machine().thaw(crash_policies[m % crash_policies.size()]);
        world.machine().crash_at(m);
        world.run([&] { (void)run_restore<traits>(env, "/repo", "/new"); });
        world.machine().thaw(crash_policies[m / 3 % crash_policies.size()]);
        auto problem = std::string{};
        world.run([&] {
            auto refused = errc::none;
            (void)chain->look(env, &refused);
            if (refused != errc::needs_restore) return;
            auto const again = chain->restore(env);
            problem = again ? chain->look(env) : text_of_error(again.error());
            if (again && !again.value().passed_over.empty()) problem = "a good set is blamed";
            ++emptied;
        });
        CAPTURE(n, m);
        if (!problem.empty()) FAIL(problem);
    }
    CHECK(anew > 10);
    CHECK(emptied > 10);
}

TEST_CASE(
    "a crash while a stream is received leaves the whole set or none", "[backup][stream][crash]"
) {
    auto const set = make_set(5);
    auto const stream = stream_of(set);
    auto tape = choice_tape{22};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto const receive = [&]() -> result<received_set> {
        BOOST_OUTCOME_TRY(auto repo, repository<sim_env>::open_or_create(env, "/repo"));
        auto in = memory_input{stream};
        return receive_set(env, in, repo);
    };
    auto const before = world.machine().save();
    world.run([&] { (void)good(receive()); });
    auto const calls = world.machine().calls();
    REQUIRE(calls > 30);

    auto whole = 0;
    auto none = 0;
    auto untold = 0;
    at_calls(calls, rounds(1000), [&](std::uint64_t n, crash_policy policy) {
        world.machine().restore(before);
        world.machine().crash_at(n);
        auto was_told = false;
        world.run([&] { was_told = receive().has_value(); });
        world.machine().thaw(policy);
        CAPTURE(n, name_of(policy), was_told);
        auto problem = std::string{};
        // Whole: every file is there, byte for byte, and there is no other.
        auto const sets = [&]() -> int {
            auto repo = repository<sim_env>::open(env, "/repo");
            if (!repo) {
                if (repo.error().code != errc::not_found) problem = text_of_error(repo.error());
                return 0;
            }
            auto found = 0;
            for (auto const& one : good(repo.value().list())) {
                if (!one.has_manifest) continue;
                auto where = good(repo.value().open_set(one.name));
                auto files = array_list<directory_entry>{};
                good(where.list(files));
                if (files.size() != set.parts.size() + 1) problem = "not the files of a set";
                for (std::size_t i = 0; i < set.parts.size() && problem.empty(); ++i) {
                    auto name = file_name{};
                    name.add(set.manifest.parts[i].name);
                    auto const part = read_file<sim_env>(where, name, 1 << 24);
                    if (!part || !std::ranges::equal(part.value().all(), set.parts[i]))
                        problem = "a part is not what was sent";
                }
                auto const sealed = read_file<sim_env>(where, manifest_file_name, 1 << 24);
                if (!sealed || as_text(sealed.value().all()) != set.sealed)
                    problem = "the manifest is not what was sent";
                ++found;
            }
            return found;
        };
        world.run([&] {
            auto const found = sets();
            if (found > 0)
                ++whole;
            else
                ++none;
            if (found > 0 && !was_told) ++untold;
            if (was_told && found == 0) problem = "a set that was told is gone";
            if (!problem.empty()) return;
            world.threads().jump_wall(1'000'000'000);
            auto const again = receive();
            if (!again)
                problem = text_of_error(again.error());
            else if (sets() != found + 1)
                problem = "what came again is not there";
        });
        if (!problem.empty()) FAIL(problem);
    });
    CHECK(whole > 0);
    CHECK(none > whole);
    CHECK(untold > 0);
}

} // namespace jetpp_test::restore_crash_cases
