// jetpp/env/large_buffer.hpp - a buffer of a MiB or more, which costs one page fault instead of 256.
//
// Asks the system for huge pages before the memory is touched. Inside a virtual machine a fault may
// take 15 us: 4 ms a MiB, for buffers that live as long as one backup.
// A system that has none gives ordinary pages: nothing depends on it.
// Threads  any. Owns: what aligned_buffer owns; the room is rounded up to 2 MiB.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/large_pages.hpp>

#include <cstddef>

namespace jetpp::inline v1 {

// Errors: out_of_memory.
[[nodiscard]] inline result<aligned_buffer> create_large_buffer(std::size_t size) noexcept {
    auto const room = (size + large_page_bytes - 1) / large_page_bytes * large_page_bytes;
    return aligned_buffer::create(size, large_page_bytes, room, [room](void* memory) noexcept {
        prefer_large_pages(memory, room);
    });
}

} // namespace jetpp::inline v1
