#include <jetpp/core/array_list.hpp>

#include <cstddef>
#include <random>
#include <utility>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::array_list_cases {

using namespace jetpp;

TEST_CASE("an array_list behaves as a vector does", "[core]") {
    auto const seed = GENERATE(1u, 2u, 3u);
    CAPTURE(seed);
    auto random = std::mt19937{seed};
    auto list = array_list<int>{};
    auto model = std::vector<int>{};
    for (int round = 0; round < 5000; ++round) {
        auto const value = static_cast<int>(random() % 1000);
        switch (random() % 8) {
        case 0:
        case 1:
        case 2:
            REQUIRE(list.push_back(value));
            model.push_back(value);
            break;
        case 3: {
            auto const more = std::vector<int>(random() % 20, value);
            REQUIRE(list.append(more));
            model.insert(model.end(), more.begin(), more.end());
            break;
        }
        case 4:
            if (!model.empty()) {
                list.pop_back();
                model.pop_back();
            }
            break;
        case 5:
            if (!model.empty()) {
                auto const at = random() % model.size();
                list.erase_at(at);
                model.erase(model.begin() + static_cast<std::ptrdiff_t>(at));
            }
            break;
        case 6: {
            auto const size = random() % (model.size() + 10);
            REQUIRE(list.resize(size));
            if (size < model.size()) list.truncate(size);
            model.resize(size);
            break;
        }
        case 7:
            if (random() % 50 == 0) {
                list.clear();
                model.clear();
            }
            break;
        }
        REQUIRE(std::vector<int>(list.begin(), list.end()) == model);
        REQUIRE(list.size() == model.size());
        REQUIRE(list.empty() == model.empty());
        REQUIRE(list.capacity() >= list.size());
    }
}

TEST_CASE("an element of the list itself may be pushed while the list grows", "[core]") {
    auto list = array_list<std::size_t>{};
    REQUIRE(list.push_back(42));
    for (int round = 0; round < 100; ++round) REQUIRE(list.push_back(list[0]));
    for (auto const value : list) CHECK(value == 42);
}

TEST_CASE("an array_list that cannot grow says so and stays as it was", "[core]") {
    auto list = array_list<std::size_t>{};
    REQUIRE(list.push_back(7));
    CHECK_FALSE(list.reserve(~std::size_t{0} / 2));
    CHECK_FALSE(list.reserve(std::size_t{1} << 45));
    REQUIRE(list.size() == 1);
    CHECK(list[0] == 7);
}

TEST_CASE("a moved-from array_list is empty", "[core]") {
    auto list = array_list<int>{};
    REQUIRE(list.push_back(1));
    auto const taken = std::move(list);
    CHECK(taken.size() == 1);
    CHECK(list.empty()); // NOLINT: the moved-from state is part of the contract
    CHECK(list.data() == nullptr);
}

} // namespace jetpp_test::array_list_cases
