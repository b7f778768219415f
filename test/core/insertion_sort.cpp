#include <jetpp/core/insertion_sort.hpp>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::insertion_sort_cases {

using namespace jetpp;

TEST_CASE("a short list is sorted, equals keep their order", "[core]") {
    auto const seed = GENERATE(1u, 2u, 3u);
    CAPTURE(seed);
    auto random = std::mt19937{seed};
    for (std::size_t size = 0; size < 40; ++size) {
        auto list = std::vector<std::pair<unsigned, std::size_t>>{};
        for (std::size_t i = 0; i < size; ++i) list.emplace_back(random() % 8, i);
        auto expected = list;
        std::sort(expected.begin(), expected.end()); // the second half tells equals apart
        insertion_sort(std::span{list}, [](auto const& a, auto const& b) {
            return a.first < b.first;
        });
        CHECK(list == expected);
    }
}

} // namespace jetpp_test::insertion_sort_cases
