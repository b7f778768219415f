#include <atomic>
#include <thread>

#include "../budget.hpp"
#include "tree_bed.hpp"

namespace jetpp_test::concurrency_cases {

using namespace jetpp;

// What one thread did, compared by the main thread: the assertions of Catch are not for threads.
struct thread_outcome {
    std::string failed{};
    std::map<std::string, std::string> model{};
};

// Each thread owns the keys that end in its number, so that each knows what its rows must be, and
// all of them share leaves, parents and maps.
template <std::size_t PageSize>
void mixed_work(
    tree_bed<PageSize>& bed,
    tree_place<typename tree_bed<PageSize>::traits> const& tree,
    std::uint64_t seed,
    unsigned me,
    int steps,
    thread_outcome& out
) {
    auto d = dice{seed * 1000 + me};
    auto const key_of = [&](std::uint64_t n) {
        return "key " + std::to_string(n * 7919 % 1000) + std::string(n % 40, '.') + "/" +
               std::to_string(me);
    };
    auto const wrong = [&](int step, std::string const& what) {
        out.failed = "step " + std::to_string(step) + ": " + what;
    };
    for (auto step = 0; step < steps && out.failed.empty(); ++step) {
        auto const key = key_of(d.below(700));
        auto const roll = d.below(100);
        if (roll < 45) {
            auto const value = d.bytes_of(d.below(300));
            auto const done = bed.put(tree, key, value, some_flags(d));
            if (!done) wrong(step, said(done));
            out.model[key] = value;
        } else if (roll < 65) {
            auto const done = bed.erase(tree, key);
            if (!done)
                wrong(step, said(done));
            else if (done.value() != (out.model.erase(key) != 0))
                wrong(step, "erase met another row than ours");
        } else if (roll < 75) {
            auto const done = bed.sweep(tree, key);
            if (!done) wrong(step, said(done));
        } else if (roll < 95) {
            auto const got = bed.get(tree, key);
            auto const wanted = out.model.find(key);
            if (!got)
                wrong(step, said(got));
            else if (got.value().has_value() != (wanted != out.model.end()) ||
                     (got.value() && *got.value() != wanted->second))
                wrong(step, "get met another row than ours");
        } else {
            auto next = std::optional<std::string>{""};
            while (next && out.failed.empty()) {
                auto const here = *next;
                auto const done = bed.tree().read_leaf(
                    tree,
                    leaf_position::covering(raw(here)),
                    [&](auto const& leaf) noexcept {
                        auto const upper = leaf.upper_fence();
                        next = upper ? std::optional{text_of(*upper)} : std::nullopt;
                    }
                );
                if (!done) wrong(step, said(done));
                if (next && *next <= here) wrong(step, "a scan went back");
            }
        }
    }
}

template <std::size_t PageSize>
void run_threads(std::uint64_t seed, std::uint32_t frames, unsigned threads, int steps) {
    INFO("seed " << seed << ", page size " << PageSize << ", frames " << frames);
    auto bed = tree_bed<PageSize>{frames};
    auto const tree = bed.create({16}, "rows").value();
    auto outcomes = std::vector<thread_outcome>(threads);
    {
        auto running = std::vector<std::thread>{};
        for (auto me = 0u; me < threads; ++me)
            running.emplace_back([&, me] {
                mixed_work<PageSize>(bed, tree, seed, me, steps, outcomes[me]);
            });
        for (auto& one : running) one.join();
    }
    auto model = std::map<std::string, std::string>{};
    for (auto const& one : outcomes) {
        REQUIRE(one.failed == "");
        model.insert(one.model.begin(), one.model.end());
    }
    REQUIRE(bed.rows(tree) == model);
    auto trees = bed.system_trees();
    trees.push_back(tree);
    bed.check(trees);
    bed.require_redo_agrees();
}

TEST_CASE("four threads on one tree leave what each of them wrote", "[btree][threads]") {
    for (auto seed = std::uint64_t{1}; seed <= rounds(2); ++seed) {
        run_threads<4096>(seed, 64, 4, 1500);
        run_threads<8192>(seed, 64, 4, 1000);
    }
}

TEST_CASE("four threads get along with eight frames", "[btree][threads]") {
    for (auto seed = std::uint64_t{1}; seed <= rounds(1); ++seed) {
        run_threads<4096>(seed, 8, 4, 600);
        run_threads<4096>(seed, 16, 4, 1000);
    }
}

} // namespace jetpp_test::concurrency_cases
