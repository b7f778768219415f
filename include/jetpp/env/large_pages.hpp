// jetpp/env/large_pages.hpp - memory by the two megabytes, where the system has it.
//
// The frames of a pool and the table of versions are touched all over: with 4 KiB pages each new
// frame costs two page faults, and each visit a miss of the processor's address cache. Advice only:
// who cannot follow it gives small pages. Not for memory that is to stay mostly untouched.
// Threads  any.
#pragma once

#include <cstddef>

#include <sys/mman.h>

namespace jetpp::inline v1 {

inline constexpr std::size_t large_page_bytes = std::size_t{2} << 20;

// What memory of that size should be aligned to; `otherwise` if it is too small to gain.
[[nodiscard]] constexpr std::size_t large_alignment(
    std::size_t size, std::size_t otherwise
) noexcept {
    return size >= large_page_bytes ? large_page_bytes : otherwise;
}

// Before the memory is first touched. Requires: `first` is aligned as large_alignment() says.
inline void prefer_large_pages(void* first, std::size_t size) noexcept {
    auto const whole = size / large_page_bytes * large_page_bytes;
    if (whole != 0) (void)::madvise(first, whole, MADV_HUGEPAGE);
}

} // namespace jetpp::inline v1
