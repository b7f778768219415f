// test/fuzz/libfuzzer/main.cpp - one target of test/fuzz/ under libFuzzer.
//
// Readers of parts live as long as a part and take buffers of a MiB each. A target makes them anew
// for every input: with a fresh mapping each, page faults were all that an hour was spent on (7
// inputs a second). So large buffers are given out again here, poisoned while nobody has them, and
// with poison behind them: AddressSanitizer finds the same in them as before.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "../log_targets.hpp"
#include "../targets.hpp"
#include <sanitizer/allocator_interface.h>
#include <sanitizer/asan_interface.h>

namespace {

constexpr auto large = std::size_t{2} << 20; // as jetpp/env/large_buffer.hpp rounds and aligns
constexpr auto behind = std::size_t{4096};
std::array<void*, 64> kept{}; // of one room each
std::size_t kept_count = 0;

void* take_large() noexcept {
    void* const memory =
        kept_count != 0 ? kept[--kept_count] : std::aligned_alloc(large, 2 * large);
    if (memory == nullptr) return nullptr;
    __asan_unpoison_memory_region(memory, large);
    __asan_poison_memory_region(static_cast<std::byte*>(memory) + large, behind);
    return memory;
}

} // namespace

void* operator new(std::size_t size, std::align_val_t alignment, std::nothrow_t const&) noexcept {
    auto const unit = static_cast<std::size_t>(alignment);
    if (unit == large && size == large) return take_large();
    return std::aligned_alloc(unit, (size + unit - 1) / unit * unit);
}
void operator delete(void* memory, std::align_val_t alignment) noexcept {
    auto const is_large = memory != nullptr && static_cast<std::size_t>(alignment) == large &&
                          kept_count != kept.size() &&
                          __sanitizer_get_allocated_size(memory) == 2 * large;
    if (!is_large) return std::free(memory);
    __asan_poison_memory_region(memory, large);
    kept[kept_count++] = memory;
}

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    jetpp_test::JETPP_FUZZ_TARGET({reinterpret_cast<std::byte const*>(data), size});
    return 0;
}
