// jetpp/core/insertion_sort.hpp - sorts a short list, keeps the order of equals, allocates nothing.
//
// std::stable_sort asks for a temporary buffer through a function that C++17 deprecated, and clang
// says so where it is instantiated with this standard library.
// Complexity  quadratic in the length; linear if all is in order: for tens of elements.
// Threads     a pure function of its range.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

namespace jetpp::inline v1 {

// `less(a, b)`: a comes before b. Elements must be movable without error.
template <class T, class Less>
constexpr void insertion_sort(std::span<T> list, Less&& less) noexcept {
    for (std::size_t i = 1; i < list.size(); ++i) {
        if (!less(list[i], list[i - 1])) continue;
        auto held = std::move(list[i]);
        auto at = i;
        do {
            list[at] = std::move(list[at - 1]);
            --at;
        } while (at > 0 && less(held, list[at - 1]));
        list[at] = std::move(held);
    }
}

} // namespace jetpp::inline v1
