// test/simulation/tasks.hpp - spawning a few tasks and waiting for them.
#pragma once

#include <jetpp/simulation/simulated_world.hpp>

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "../catch.hpp"

namespace jetpp_test {

using namespace jetpp;

// Runs body(0) ... body(count - 1), each in a task of its own, until all ended.
// Owns no memory, so that a deadlock test can abandon it. Requires: count <= 8.
template <class Body>
void run_together(int count, Body&& body) {
    using start = std::pair<std::remove_reference_t<Body>*, int>;
    auto runtime = simulated_runtime{};
    auto starts = std::array<start, 8>{};
    std::array<simulated_task, 8> tasks; // with {} g++ 12 stops on an internal error
    auto const call = [](void* given) {
        auto const& [told, number] = *static_cast<start*>(given);
        (*told)(number);
    };
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        starts[i] = start{&body, static_cast<int>(i)};
        auto spawned = runtime.spawn("task", call, &starts[i]);
        if (spawned.has_value()) tasks[i] = std::move(spawned).value();
    }
    for (auto& task : tasks) task.join();
}

} // namespace jetpp_test
