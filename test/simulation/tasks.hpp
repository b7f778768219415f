// test/simulation/tasks.hpp - spawning a few tasks and waiting for them.
#pragma once

#include <jetpp/simulation/simulated_world.hpp>

#include <type_traits>
#include <utility>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test {

using namespace jetpp;

// Runs body(0) ... body(count - 1), each in a task of its own, until all ended. Body must not throw.
template <class Body>
void run_together(int count, Body&& body) {
    struct start {
        std::remove_reference_t<Body>* body;
        int number;
    };
    auto runtime = simulated_runtime{};
    auto starts = std::vector<start>{};
    for (int i = 0; i < count; ++i) starts.push_back({&body, i});
    auto tasks = std::vector<simulated_task>{};
    for (auto& each : starts) {
        auto const call = [](void* raw) {
            auto const& mine = *static_cast<start*>(raw);
            (*mine.body)(mine.number);
        };
        auto spawned = runtime.spawn("task", call, &each);
        if (spawned.has_value()) tasks.push_back(std::move(spawned).value());
    }
    for (auto& task : tasks) task.join();
}

} // namespace jetpp_test
