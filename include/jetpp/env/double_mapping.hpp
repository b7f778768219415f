// jetpp/env/double_mapping.hpp - one header and a ring that is mapped twice in a row.
//
//     address   0           header             + ring             + 2 x ring
//               +-----------+------------------+------------------+
//               |  header   |       ring       |  the same ring   |
//               +-----------+------------------+------------------+
//     offset    0           header             header (again)
//
// A record that wraps at the end of the ring is contiguous in memory, so that it is built and read
// in place. Both halves are the same pages of the same file (MAP_SHARED): what is stored through
// one is seen through the other at once, and outlives the process if the file does.
// Invariants
//   * header and ring are multiples of the system's page, the ring a power of two
//   * the file behind it has its full size and its blocks: storing never raises SIGBUS
// Threads  as for any memory.
// Owns     double_mapping: the address range (not the descriptor). ring_backing: an anonymous file
//          in memory, for storages that have no files of their own.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/env/detail/posix.hpp>
#include <jetpp/env/storage.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace jetpp::inline v1 {

class double_mapping {
public:
    double_mapping() noexcept = default;
    double_mapping(double_mapping&& other) noexcept
        : first_{std::exchange(other.first_, nullptr)},
          header_bytes_{std::exchange(other.header_bytes_, 0)},
          ring_bytes_{std::exchange(other.ring_bytes_, 0)} {}
    double_mapping& operator=(double_mapping&& other) noexcept {
        std::swap(first_, other.first_);
        std::swap(header_bytes_, other.header_bytes_);
        std::swap(ring_bytes_, other.ring_bytes_);
        return *this;
    }
    ~double_mapping() {
        if (first_ != nullptr) ::munmap(first_, header_bytes_ + 2 * ring_bytes_);
    }

    // Can these sizes be mapped here?
    [[nodiscard]] static bool sizes_fit(
        std::uint64_t header_bytes, std::uint64_t ring_bytes
    ) noexcept {
        constexpr auto limit = std::uint64_t{1} << (sizeof(std::size_t) == 8 ? 40 : 28);
        auto const page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
        if (!std::has_single_bit(ring_bytes) || ring_bytes < page || ring_bytes > limit)
            return false;
        return header_bytes % page == 0 && header_bytes <= limit;
    }

    // Requires: the file is header + ring bytes long. The descriptor may be closed afterwards.
    // All pages are faulted in for writing: the first lap of the ring is as fast as the others.
    // Errors: invalid_argument (sizes), resource (address space or memory), disk_full.
    [[nodiscard]] static result<double_mapping> over(
        int fd, std::uint64_t header_bytes, std::uint64_t ring_bytes
    ) noexcept {
        if (!sizes_fit(header_bytes, ring_bytes)) return error{.code = errc::invalid_argument};
        auto const header = static_cast<std::size_t>(header_bytes);
        auto const ring = static_cast<std::size_t>(ring_bytes);

        // Address space first, as one inaccessible range: the fixed mappings below then replace
        // our own pages only, whatever other threads map meanwhile.
        void* range = ::mmap(
            nullptr,
            header + 2 * ring,
            PROT_NONE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
            -1,
            0
        );
        if (range == MAP_FAILED) return mapping_error(errno);
        auto made = double_mapping{};
        made.first_ = static_cast<std::byte*>(range);
        made.header_bytes_ = header;
        made.ring_bytes_ = ring;

        // The header and the first half are one run of the file; the second half starts over.
        BOOST_OUTCOME_TRY(map_part(made.first_, header + ring, fd, 0));
        BOOST_OUTCOME_TRY(
            map_part(made.first_ + header + ring, ring, fd, static_cast<off_t>(header))
        );
        return made;
    }

    [[nodiscard]] std::byte* header() noexcept { return first_; }
    [[nodiscard]] std::byte* ring() noexcept { return first_ + header_bytes_; }
    [[nodiscard]] std::uint64_t ring_bytes() const noexcept { return ring_bytes_; }
    [[nodiscard]] std::uint64_t header_bytes() const noexcept { return header_bytes_; }
    [[nodiscard]] bool is_mapped() const noexcept { return first_ != nullptr; }

private:
    [[nodiscard]] static error mapping_error(int os_errno) noexcept {
        return {.code = errc::resource, .os_errno = static_cast<std::uint32_t>(os_errno)};
    }
    [[nodiscard]] static result<void> map_part(
        std::byte* at, std::size_t size, int fd, off_t offset
    ) noexcept {
        void* got = ::mmap(
            at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, offset
        );
        if (got == MAP_FAILED) return mapping_error(errno);
        // MAP_POPULATE reads shared pages in but leaves them clean: each first store would still
        // fault. Kernels before 5.14 do not know the advice; there the faults stay.
#if defined(MADV_POPULATE_WRITE)
        constexpr int populate_write = MADV_POPULATE_WRITE;
#else
        constexpr int populate_write = 23;
#endif
        auto const advised =
            detail::uninterrupted([&] { return ::madvise(at, size, populate_write); });
        if (advised != 0 && errno == EFAULT) return detail::os_error(ENOSPC);
        return ok();
    }

    std::byte* first_ = nullptr;
    std::size_t header_bytes_ = 0;
    std::size_t ring_bytes_ = 0;
};
static_assert(ring_mapping<double_mapping>);

// The file behind the ring of a storage that lives in memory. Its bytes live as long as it does;
// mappings may outlive it.
class ring_backing {
public:
    ring_backing() noexcept = default;

    // Zero-filled. Errors: invalid_argument, resource, out_of_memory.
    [[nodiscard]] static result<ring_backing> create(
        std::uint64_t header_bytes, std::uint64_t ring_bytes
    ) noexcept {
        if (!double_mapping::sizes_fit(header_bytes, ring_bytes))
            return error{.code = errc::invalid_argument};
        auto made = ring_backing{};
        made.fd_ = detail::unique_fd{::memfd_create("jetpp-ring", MFD_CLOEXEC)};
        if (!made.fd_.is_open()) return detail::last_os_error();
        auto const size = static_cast<off_t>(header_bytes + ring_bytes);
        if (detail::uninterrupted([&] { return ::ftruncate(made.fd_.get(), size); }) != 0)
            return detail::last_os_error();
        made.header_bytes_ = header_bytes;
        made.ring_bytes_ = ring_bytes;
        return made;
    }

    // Every mapping shows the same bytes.
    [[nodiscard]] result<double_mapping> map() const noexcept {
        return double_mapping::over(fd_.get(), header_bytes_, ring_bytes_);
    }
    [[nodiscard]] std::uint64_t header_bytes() const noexcept { return header_bytes_; }
    [[nodiscard]] std::uint64_t ring_bytes() const noexcept { return ring_bytes_; }

private:
    detail::unique_fd fd_;
    std::uint64_t header_bytes_ = 0;
    std::uint64_t ring_bytes_ = 0;
};

} // namespace jetpp::inline v1
