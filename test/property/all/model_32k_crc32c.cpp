#include <jetpp/checksum/crc32c.hpp>

#include "../model.hpp"

TEST_CASE("an engine with pages of 32 KiB and crc32c does what a map does", "[property]") {
    property::agree_with_a_map<32 * 1024, jetpp::crc32c>();
}
