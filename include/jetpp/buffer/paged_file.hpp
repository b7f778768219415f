// jetpp/buffer/paged_file.hpp - one attached database file: header copies, page table, size.
#pragma once

#include <cstdint>

#include <jetpp/buffer/core_traits.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>

namespace jetpp::inline v1 {

template <class Traits>
class paged_file {
public:
    [[nodiscard]] database_id id() const noexcept;
    [[nodiscard]] std::uint64_t nonce() const noexcept;
    // Pages in the file, header area included; the last page is that minus 1.
    [[nodiscard]] std::uint32_t page_count() const noexcept;

    // Growth, in three steps: allocate_pages (real space, synced), the caller logs `extend`, then
    // use_pages publishes the new count.
    [[nodiscard]] std::uint32_t grown_page_count() const noexcept;
    [[nodiscard]] result<void> allocate_pages(std::uint32_t new_count) noexcept;
    void use_pages(std::uint32_t new_count) noexcept;
};

} // namespace jetpp::inline v1
