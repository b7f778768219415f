// test/backup/bed.hpp - an engine with rows, a model of them, and sets taken of it.
#pragma once

#include <jetpp/backup/backup_job.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/restore_set.hpp>
#include <jetpp/backup/verify_set.hpp>
#include <jetpp/core/describe.hpp>
#include <jetpp/engine/engine.hpp>
#include <jetpp/env/native_environment.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <array>
#include <cstddef>
#include <map>
#include <random>
#include <string>
#include <utility>

#include "../catch.hpp"

namespace jetpp_test {

using namespace jetpp;

struct bed_policies : default_policies {
    static constexpr std::size_t page_size = 4096;
    using logging = archival_logging;
    using threading = single_thread;
    using storage = memory_storage;
};
// The others. Tests share them, so that an engine is compiled once for all of them.
struct recorded_policies : bed_policies {
    using logging = recorded_logging;
};
struct thread_policies : bed_policies {
    using threading = multi_thread;
};
struct sim_policies : bed_policies {
    using storage = simulated_storage;
    using runtime = simulated_runtime;
};
struct recorded_sim_policies : sim_policies {
    using logging = recorded_logging;
};
struct task_policies : sim_policies {
    using threading = multi_thread;
};

// What a crash may leave of what was not synced, as tests of exchanges between directories try it.
inline constexpr std::array crash_policies{
    crash_policy::none,
    crash_policy::all,
    crash_policy::random,
    crash_policy::names_first,
    crash_policy::names_last,
    crash_policy::newest_first,
    crash_policy::kill,
};

template <class T>
[[nodiscard]] T good(result<T>&& got) {
    if (!got) FAIL(describe(got.error()).c_str());
    return std::move(got).value();
}
inline void good(result<void>&& got) {
    if (!got) FAIL(describe(got.error()).c_str());
}
template <class T>
[[nodiscard]] errc code_of(result<T> const& got) {
    return got ? errc::none : got.error().code;
}

inline constexpr open_options small_engine{
    .buffer_bytes = 1 << 20,
    .segment_bytes = 128 << 10,
    .log_ring_bytes = 128 << 10,
    .process_durability = false,
};

using model = std::map<std::string, std::string>;

// All rows of a tree.
template <class Engine>
[[nodiscard]] model rows_of(Engine& db, std::string_view database, std::string_view tree_name) {
    auto const from = good(db.open_tree(database, tree_name, open_how_tree::must_exist));
    auto view = good(db.read());
    auto rows = good(view.scan(from));
    auto found = model{};
    while (good(rows.next()))
        found.emplace(std::string{rows.current().key}, std::string{rows.current().value});
    return found;
}

// An engine on storage of its own, with one database of random rows.
template <class Policies = bed_policies>
class bed {
public:
    using engine_type = engine<Policies>;
    using traits = typename engine_type::traits;
    using environment_type = typename engine_type::environment_type;

    explicit bed(environment_type environment = {}, open_options options = small_engine)
        : env{environment}, db{good(engine_type::open("/db", options, environment))} {
        good(db.attach("main"));
        store().databases()[0].file->set_growth_bytes_min(64 << 10); // small files, many growths
        rows = good(db.open_tree("main", "rows"));
    }

    // Random inserts, updates and erases, some in transactions that roll back.
    void work(unsigned operations, unsigned seed) {
        auto random = std::mt19937{seed};
        for (auto i = 0U; i < operations; ++i) {
            auto const key = "key" + std::to_string(random() % 2000);
            if (random() % 4 == 0) {
                (void)good(db.erase(rows, key, durability::memory));
                expected.erase(key);
            } else {
                auto const value =
                    std::string(random() % 300, static_cast<char>('a' + random() % 26));
                (void)good(db.put(rows, key, value, durability::memory));
                expected[key] = value;
            }
            if (i % 64 == 0) (void)good(db.poll());
        }
    }
    [[nodiscard]] instance<traits>& store() { return db.core().store; }

    environment_type env;
    engine_type db;
    tree rows{};
    model expected;
};

// Opens what a restore left and compares.
template <class Policies = bed_policies>
void expect_rows(
    typename engine<Policies>::environment_type env,
    path_view where,
    model const& expected,
    open_options options = small_engine
) {
    auto db = good(engine<Policies>::open(where, options, env));
    auto const found = rows_of(db, "main", "rows");
    CHECK(found.size() == expected.size());
    if (found != expected) FAIL("the rows are not those of the moment");
    good(std::move(db).close());
}

} // namespace jetpp_test
