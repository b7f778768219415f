// One life, stopped at every storage call it makes, under the crash policies.
//
// The script is always the same: a new instance, transactions that split pages and fill segments,
// checkpoints, a clean close in the middle, close. What is acknowledged at a level the crash had to
// respect must be there afterwards; what is there is the state after some commit.
#include <jetpp/btree/check.hpp>
#include <jetpp/jetpp.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "../catch.hpp"

namespace jetpp_test::every_call_cases {

using namespace jetpp;

struct policies : default_policies {
    static constexpr std::size_t page_size = 4096;
    using threading = single_thread;
    using storage = simulated_storage;
    using runtime = simulated_runtime;
};
using engine_type = engine<policies>;
using model = std::map<std::string, std::string>;

constexpr auto policies_tried = [] {
    auto list = std::array<crash_policy, 8>{};
    std::copy_n(every_crash_policy.begin(), 6, list.begin());
    list[6] = crash_policy::kill;
    list[7] = crash_policy::kill_then_power;
    return list;
}();

class scripted_life {
public:
    scripted_life(std::uint64_t seed, std::uint64_t call) : tape_{seed}, world_{tape_, quiet()} {
        states_.push_back({});
        world_.machine().crash_at(call);
        world_.run([&] { live(); });
    }
    [[nodiscard]] bool was_stopped() { return world_.machine().frozen(); }
    [[nodiscard]] std::uint64_t calls() { return world_.machine().calls(); }

    // Returns: what is wrong with the next life; empty if nothing is.
    [[nodiscard]] std::string recover(crash_policy policy) {
        if (!problem_.empty()) return problem_;
        // What this crash must leave: a kill respects more than a power loss.
        auto power_went = is_power_loss(policy);
        world_.machine().thaw(policy);
        if (policy == crash_policy::kill_then_power) {
            world_.run([&] { judge(on_process_); });
            if (!problem_.empty()) return problem_;
            power_went = world_.machine().frozen();
            if (power_went) world_.machine().thaw(crash_policy::random);
            // Recovery made durable whatever it showed.
            on_device_ = std::max(on_device_, shown_);
        }
        world_.machine().crash_at(0);
        world_.run([&] { judge(power_went ? on_device_ : on_process_); });
        return problem_;
    }

private:
    [[nodiscard]] static world_options quiet() {
        auto how = world_options{};
        how.threads.spurious_num = 0;
        how.threads.slow_num = 0;
        how.threads.steps_max = 5'000'000;
        return how;
    }
    [[nodiscard]] static open_options options() {
        return {
            .buffer_bytes = 16 * policies::page_size,
            .segment_bytes = std::uint64_t{128} << 10,
            .version_bytes = std::size_t{1} << 20,
            .transaction_bytes = std::size_t{1} << 20,
            .checkpoint_depth_bytes = std::uint64_t{1} << 16,
            .checkpoint_every_bytes = std::uint64_t{1} << 16,
        };
    }
    void report(std::string what) {
        if (problem_.empty()) problem_ = std::move(what);
    }
    // Any error is legal once the machine is off, and none before.
    void accept(error const& e, char const* where) {
        if (!world_.machine().frozen()) report(std::string{where} + ": " + describe(e).c_str());
    }

    // --- the life

    [[nodiscard]] result<void> transaction(engine_type& db, tree rows, int number) {
        auto state = states_.back();
        BOOST_OUTCOME_TRY(auto tx, db.begin());
        for (auto i = 0; i < 6; ++i) {
            auto const key = std::to_string((number * 6 + i) * 37 % 151);
            if ((number + i) % 5 == 0) {
                BOOST_OUTCOME_TRY(tx.erase(rows, key));
                state.erase(key);
            } else {
                auto value = std::to_string(number) +
                             std::string(static_cast<std::size_t>(500 + 13 * i), 'v');
                BOOST_OUTCOME_TRY(tx.put(rows, key, value));
                state[key] = std::move(value);
            }
        }
        state["last"] = std::to_string(number);
        BOOST_OUTCOME_TRY(tx.put(rows, "last", std::to_string(number)));
        auto const how = static_cast<durability>(number % 3);
        states_.push_back(std::move(state)); // it may survive, whatever commit says
        BOOST_OUTCOME_TRY(std::move(tx).commit(how));
        if (world_.machine().frozen()) return ok(); // nobody was left to hear it
        auto const acknowledged = states_.size() - 1;
        if (how == durability::device) on_device_ = acknowledged;
        if (how != durability::memory) on_process_ = acknowledged;
        return ok();
    }
    [[nodiscard]] result<void> part_of_life(int first, int last) {
        BOOST_OUTCOME_TRY(auto db, engine_type::open("db", options(), world_.environment<>()));
        BOOST_OUTCOME_TRY(db.attach("a"));
        BOOST_OUTCOME_TRY(auto const rows, db.open_tree("a", "rows"));
        for (auto number = first; number < last; ++number) {
            BOOST_OUTCOME_TRY(transaction(db, rows, number));
            if (number % 4 == 3) {
                BOOST_OUTCOME_TRY(db.poll());
            }
            if (number % 16 == 9) {
                BOOST_OUTCOME_TRY(db.checkpoint());
            }
        }
        BOOST_OUTCOME_TRY(std::move(db).close());
        if (!world_.machine().frozen()) on_device_ = on_process_ = states_.size() - 1;
        return ok();
    }
    void live() {
        if (auto done = part_of_life(0, 30); !done) return accept(done.error(), "first part");
        if (auto done = part_of_life(30, 40); !done) return accept(done.error(), "second part");
    }

    // --- afterwards

    [[nodiscard]] result<model> read(engine_type& db, bool backward) {
        auto found = model{};
        auto const rows = db.open_tree("a", "rows", open_how_tree::must_exist);
        if (!rows && rows.error().code == errc::not_found) return found;
        BOOST_OUTCOME_TRY(rows);
        BOOST_OUTCOME_TRY(auto view, db.read());
        BOOST_OUTCOME_TRY(view.for_each(
            rows.assume_value(),
            {.from = {}, .to = {}, .backward = backward},
            [&](row const& one) { found.emplace(one.key, one.value); }
        ));
        return found;
    }
    void judge(std::size_t least) {
        auto opened = engine_type::open("db", options(), world_.environment<>());
        if (!opened) return accept(opened.error(), "recovery");
        auto db = std::move(opened).assume_value();
        if (auto done = db.attach("a"); !done) return accept(done.error(), "attach");
        auto const forward = read(db, false);
        if (!forward) return accept(forward.error(), "read");
        auto const backward = read(db, true);
        if (!backward) return accept(backward.error(), "read backward");
        if (forward.assume_value() != backward.assume_value()) return report("scans differ");
        auto const last = std::find(states_.rbegin(), states_.rend(), forward.assume_value());
        if (last == states_.rend()) return report("the rows are of no commit");
        auto const at = static_cast<std::size_t>(states_.rend() - last) - 1;
        if (at < least)
            return report(
                "commit " + std::to_string(least) + " was acknowledged, only " +
                std::to_string(at) + " is there"
            );
        shown_ = at;
        // A tree whose making was undone gives its pages back in the background.
        for (auto more = true; more;) {
            auto const stepped = db.poll();
            if (!stepped) return accept(stepped.error(), "poll");
            more = stepped.assume_value();
        }
        check_structure(db);
        if (auto const closed = std::move(db).close(); !closed) accept(closed.error(), "close");
    }
    void check_structure(engine_type& db) {
        auto const complain = [&](tree_finding const& f) noexcept {
            if (!world_.machine().frozen())
                report(
                    "page " + std::to_string(f.page.value) + ": " + std::string{name_of(f.reason)}
                );
        };
        auto& store = db.core().store;
        for (auto& one : store.databases()) {
            if (one.file == nullptr) continue;
            auto reached = page_set{};
            if (!reached.cover(one.file->page_count())) return report("no memory");
            auto const check = [&](auto const& place) {
                auto const shape = check_tree(store.pool(), place, reached, complain);
                if (!shape) accept(shape.error(), "check_tree");
            };
            check(one.catalogue());
            check(one.pending());
            auto const rows = db.open_tree("a", "rows", open_how_tree::must_exist);
            if (rows) {
                auto const place = db.core().place_of(rows.assume_value(), no_lsn);
                if (place) check(place.assume_value());
            }
            auto const space = check_space(store.pool(), *one.file, reached, complain);
            if (!space) accept(space.error(), "check_space");
        }
    }

    choice_tape tape_;
    simulated_world world_;
    std::vector<model> states_; // after each commit; the first is empty
    std::size_t on_device_ = 0; // the newest state acknowledged at that level
    std::size_t on_process_ = 0;
    std::size_t shown_ = 0;
    std::string problem_;
};

TEST_CASE("a life stopped at any storage call recovers to a prefix with every ack", "[crash]") {
    auto const* text = std::getenv("JETPP_SEED");
    auto const seed = text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
    auto const total = [&] {
        auto whole = scripted_life{seed, 0};
        REQUIRE_FALSE(whole.was_stopped());
        return whole.calls();
    }();
    auto const* budget = std::getenv("JETPP_BUDGET");
    auto const all = budget != nullptr && std::strtod(budget, nullptr) >= 10;
    auto const wanted = std::max<std::uint64_t>(jetpp_test::rounds(80), 1);
    auto const stride = all ? 1 : std::max<std::uint64_t>(total / wanted, 1);
    auto points = std::uint64_t{0};
    auto bad = std::uint64_t{0};
    for (std::size_t p = 0; p < policies_tried.size(); ++p)
        for (auto call = 1 + p % stride; call <= total; call += stride) {
            auto life = scripted_life{seed, call};
            auto const problem = life.recover(policies_tried[p]);
            ++points;
            if (problem.empty()) continue;
            if (++bad <= 20)
                std::printf(
                    "JETPP_SEED=%llu call %llu, %s: %s\n",
                    static_cast<unsigned long long>(seed),
                    static_cast<unsigned long long>(call),
                    std::string{name_of(policies_tried[p])}.c_str(),
                    problem.c_str()
                );
        }
    std::printf(
        "%llu of %llu points (%llu storage calls, %zu policies), seed %llu: %llu wrong\n",
        static_cast<unsigned long long>(points),
        static_cast<unsigned long long>(total * policies_tried.size()),
        static_cast<unsigned long long>(total),
        policies_tried.size(),
        static_cast<unsigned long long>(seed),
        static_cast<unsigned long long>(bad)
    );
    CHECK(bad == 0);
}

} // namespace jetpp_test::every_call_cases
