#include <jetpp/checksum/xxh3.hpp>

#include "../model.hpp"

TEST_CASE("an engine with pages of 4 KiB and xxh3 does what a map does", "[property]") {
    property::agree_with_a_map<4 * 1024, jetpp::xxh3_64>();
}
