// jetpp/env/posix_file.hpp - one regular file, read and written around the page cache.
//
// A direct file asks for aligned requests (layout().alignment: memory, offset and length); one that
// is not aligned is errc::alignment_mismatch, never a silent detour through another mode: mixing
// the modes on one file can show old bytes. Reading at or past the end of the file is 0 bytes
// whatever the alignment, so that a short read at the end can be continued.
// Some file systems take O_DIRECT and refuse the first transfer (EINVAL): then, and only before
// any transfer has succeeded, the file turns to buffered.
// Invariants
//   * a sync that failed is reported and never repeated: the kernel has dropped the bytes
//   * nothing raises SIGXFSZ: the process's size limit is asked first (errc::disk_full, EFBIG)
// Threads  reads, writes and syncs from any thread; moving and closing are the owner's.
// Owns     the descriptor.
// Source   Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/detail/posix.hpp>
#include <jetpp/env/storage.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace jetpp::inline v1 {

namespace detail {

// Of memory, offsets and lengths of direct transfers; 0 if the file system says it has none.
// A template, since only newer kernel headers have the fields.
template <class Statx = struct statx>
[[nodiscard]] std::uint32_t direct_alignment(int fd) noexcept {
    constexpr auto usual = std::uint32_t{4096};
    if constexpr (requires(Statx s) { s.stx_dio_offset_align; }) {
        constexpr auto dioalign = 0x2000U; // STATX_DIOALIGN
        auto about = Statx{};
        if (::statx(fd, "", AT_EMPTY_PATH, dioalign, &about) != 0) return usual;
        if ((about.stx_mask & dioalign) == 0) return usual;
        if (about.stx_dio_offset_align == 0) return 0;
        return std::max({about.stx_dio_offset_align, about.stx_dio_mem_align, 512U});
    } else {
        return usual;
    }
}

// Growing or writing past RLIMIT_FSIZE would end the process by a signal.
[[nodiscard]] inline bool passes_size_limit(std::uint64_t end) noexcept {
    auto limit = rlimit{};
    if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return false;
    return end > limit.rlim_cur;
}

} // namespace detail

class posix_file {
public:
    posix_file() noexcept = default;
    posix_file(posix_file&& other) noexcept
        : fd_{std::move(other.fd_)}, alignment_{other.alignment_},
          mode_{other.mode_.load(std::memory_order_relaxed)} {}
    posix_file& operator=(posix_file&& other) noexcept {
        std::swap(fd_, other.fd_);
        std::swap(alignment_, other.alignment_);
        auto const mine = mode_.load(std::memory_order_relaxed);
        mode_.store(other.mode_.load(std::memory_order_relaxed), std::memory_order_relaxed);
        other.mode_.store(mine, std::memory_order_relaxed);
        return *this;
    }
    ~posix_file() = default;

    // Takes over a descriptor of a regular file that was opened without O_DIRECT. The flag is set
    // here, not at open: an open that creates and then refuses O_DIRECT leaves the file behind.
    [[nodiscard]] static posix_file adopt(detail::unique_fd fd, io_mode io) noexcept {
        auto made = posix_file{};
        made.fd_ = std::move(fd);
        if (io == io_mode::direct) {
            auto const alignment = detail::direct_alignment(made.fd_.get());
            if (alignment != 0 && ::fcntl(made.fd_.get(), F_SETFL, O_DIRECT) == 0) {
                made.alignment_ = alignment;
                made.mode_.store(mode::direct_untried, std::memory_order_relaxed);
                return made;
            }
        }
        // Also clears the O_NONBLOCK of the open; a failure leaves a flag without effect on files.
        (void)::fcntl(made.fd_.get(), F_SETFL, 0);
        return made;
    }

    // Returns: bytes read, possibly fewer than asked for; 0 only at the end of the file.
    // Errors: io, alignment_mismatch, invalid_argument (offset beyond 2^63).
    [[nodiscard]] result<std::size_t> read_some(bytes into, std::uint64_t offset) noexcept {
        if (offset > offset_max) return error{.code = errc::invalid_argument};
        if (into.empty()) return std::size_t{0};
        if (!aligned(into, offset)) {
            BOOST_OUTCOME_TRY(auto const end, size());
            if (offset >= end) return std::size_t{0};
            return error{.code = errc::alignment_mismatch};
        }
        return transfer([&] {
            return ::pread(fd_.get(), into.data(), into.size(), static_cast<off_t>(offset));
        });
    }

    // Returns: bytes written, possibly fewer than asked for. With write_how::durable these bytes,
    // and the size that reaches them, are on the device.
    // Errors: io, disk_full, alignment_mismatch, invalid_argument.
    [[nodiscard]] result<std::size_t> write_some(
        const_bytes from, std::uint64_t offset, write_how how = write_how::cached
    ) noexcept {
        if (offset > offset_max) return error{.code = errc::invalid_argument};
        if (from.empty()) return std::size_t{0};
        if (!aligned(from, offset)) return error{.code = errc::alignment_mismatch};
        // At the limit itself: a write that begins below it is shortened, not signalled.
        if (detail::passes_size_limit(offset + 1)) return detail::os_error(EFBIG);
        if (how == write_how::durable) return write_durable(from, offset);
        return transfer([&] {
            return ::pwrite(fd_.get(), from.data(), from.size(), static_cast<off_t>(offset));
        });
    }

    // Errors: io, disk_full. Not to be repeated: the bytes that failed may be gone from the cache.
    [[nodiscard]] result<void> sync(sync_how how = sync_how::data) noexcept {
        auto const failed = how == sync_how::data ? ::fdatasync(fd_.get()) : ::fsync(fd_.get());
        if (failed != 0) return detail::last_os_error();
        return ok();
    }

    [[nodiscard]] result<std::uint64_t> size() noexcept {
        struct stat about{};
        if (::fstat(fd_.get(), &about) != 0) return detail::last_os_error();
        return static_cast<std::uint64_t>(about.st_size);
    }

    // The range has blocks of its own afterwards; what was beyond the old end reads as zero.
    // Errors: disk_full, io, invalid_argument.
    [[nodiscard]] result<void> allocate(std::uint64_t offset, std::uint64_t length) noexcept {
        if (length == 0) return ok();
        if (offset > offset_max || length > offset_max - offset)
            return error{.code = errc::invalid_argument};
        if (detail::passes_size_limit(offset + length)) return detail::os_error(EFBIG);
        auto const done = detail::uninterrupted([&] {
            return ::fallocate(
                fd_.get(), 0, static_cast<off_t>(offset), static_cast<off_t>(length)
            );
        });
        if (done == 0) return ok();
        if (errno != EOPNOTSUPP && errno != ENOSYS) return detail::last_os_error();
        return grow_by_zeros(offset, offset + length);
    }

    [[nodiscard]] result<void> truncate(std::uint64_t size) noexcept {
        if (size > offset_max) return error{.code = errc::invalid_argument};
        if (detail::passes_size_limit(size)) return detail::os_error(EFBIG);
        auto const done =
            detail::uninterrupted([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(size)); });
        if (done != 0) return detail::last_os_error();
        return ok();
    }

    // Reports what the destructor cannot. The file is closed in either case.
    [[nodiscard]] result<void> close() noexcept { return fd_.close(); }

    [[nodiscard]] geometry layout() const noexcept {
        auto const direct = is_direct();
        return {.alignment = direct ? alignment_ : 1, .atomic_unit = 512, .direct = direct};
    }

    // For mappings and tests. The file keeps it.
    [[nodiscard]] int native_handle() const noexcept { return fd_.get(); }

private:
    enum class mode : std::uint8_t { buffered, direct_untried, direct_proven };

    static constexpr std::uint64_t offset_max = std::numeric_limits<off_t>::max();

    [[nodiscard]] bool is_direct() const noexcept {
        return mode_.load(std::memory_order_relaxed) != mode::buffered;
    }
    template <class Span>
    [[nodiscard]] bool aligned(Span span, std::uint64_t offset) const noexcept {
        if (!is_direct()) return true;
        auto const address = reinterpret_cast<std::uintptr_t>(span.data());
        return ((address | offset | span.size()) & (alignment_ - 1)) == 0;
    }

    // One read or write, again in buffered mode if this file turns out not to do direct ones.
    template <class Call>
    [[nodiscard]] result<std::size_t> transfer(Call&& call) noexcept {
        for (;;) {
            auto const got = detail::uninterrupted(call);
            if (got >= 0) {
                auto untried = mode::direct_untried;
                if (mode_.load(std::memory_order_relaxed) == untried)
                    mode_.compare_exchange_strong(
                        untried, mode::direct_proven, std::memory_order_relaxed
                    );
                return static_cast<std::size_t>(got);
            }
            auto const failed = detail::last_os_error();
            if (failed.os_errno != EINVAL || !turn_buffered()) return failed;
        }
    }
    // Returns: false iff the mode stays, so that the call need not be made again.
    [[nodiscard]] bool turn_buffered() noexcept {
        if (mode_.load(std::memory_order_relaxed) != mode::direct_untried) return false;
        if (::fcntl(fd_.get(), F_SETFL, 0) != 0) return false;
        mode_.store(mode::buffered, std::memory_order_relaxed);
        return true;
    }

    [[nodiscard]] result<std::size_t> write_durable(
        const_bytes from, std::uint64_t offset
    ) noexcept {
        auto const at = static_cast<off_t>(offset);
        auto const part = iovec{const_cast<std::byte*>(from.data()), from.size()};
        auto written = transfer([&] { return ::pwritev2(fd_.get(), &part, 1, at, RWF_DSYNC); });
        if (written) return written;
        if (written.error().os_errno != EOPNOTSUPP && written.error().os_errno != ENOSYS)
            return written;
        written = transfer([&] { return ::pwrite(fd_.get(), from.data(), from.size(), at); });
        if (!written) return written;
        BOOST_OUTCOME_TRY(sync(sync_how::data));
        return written;
    }

    // For file systems without fallocate. Bytes below the old end keep what they hold; edges that
    // are no whole unit of a direct file are made by the size alone.
    [[nodiscard]] result<void> grow_by_zeros(std::uint64_t from, std::uint64_t end) noexcept {
        constexpr auto step = std::uint64_t{256} * 1024;
        BOOST_OUTCOME_TRY(auto const old_size, size());
        if (old_size >= end) return ok();
        BOOST_OUTCOME_TRY(auto zeros, aligned_buffer::create(step));
        auto const unit = std::uint64_t{is_direct() ? alignment_ : 1};
        auto at = round_up(std::max(from, old_size), unit);
        auto const stop = round_down(end, unit);
        while (at < stop) {
            auto const length = static_cast<std::size_t>(std::min(step, stop - at));
            BOOST_OUTCOME_TRY(auto const n, write_some(zeros.part(0, length), at));
            if (n == 0) return error{.code = errc::io};
            at += n;
        }
        BOOST_OUTCOME_TRY(auto const grown, size());
        return grown < end ? truncate(end) : ok();
    }

    detail::unique_fd fd_;
    std::uint32_t alignment_ = 1;
    std::atomic<mode> mode_{mode::buffered};
};
static_assert(storage_file<posix_file>);

} // namespace jetpp::inline v1
