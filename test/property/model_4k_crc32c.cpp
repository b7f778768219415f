#include <jetpp/checksum/crc32c.hpp>

#include "model.hpp"

TEST_CASE("an engine with pages of 4 KiB and crc32c does what a map does", "[property]") {
    property::agree_with_a_map<4 * 1024, jetpp::crc32c>();
}
