// refused: jetpp: array_list grows by memcpy
#include <jetpp/core/array_list.hpp>

#include <string>

#if defined(REFUSED)
using element = std::string;
#else
using element = int;
#endif

bool grow(jetpp::array_list<element>& list) {
    return list.push_back(element{});
}
