// test/fuzz/libfuzzer/main.cpp - one target of test/fuzz/targets.hpp under libFuzzer.
#include <cstddef>
#include <cstdint>

#include "../targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    jetpp_test::JETPP_FUZZ_TARGET({reinterpret_cast<std::byte const*>(data), size});
    return 0;
}
