// jetpp/env/detail/posix.hpp - errno as jetpp's words, and a descriptor with one owner.
//
// Errors  disk_full, permission_denied, not_found, already_exists, resource, out_of_memory; all
//         else is io. errno itself is always kept, so that nothing is lost by the translation.
#pragma once

#include <jetpp/core/result.hpp>

#include <cstdint>
#include <utility>

#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

namespace jetpp::inline v1::detail {

static_assert(sizeof(off_t) == 8, "jetpp: build with 64-bit file offsets");

[[nodiscard]] constexpr errc errc_of(int os_errno) noexcept {
    switch (os_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return errc::disk_full;
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP: return errc::permission_denied; // ELOOP: a symbolic link, never followed
    case ENOENT: return errc::not_found;
    case EEXIST: return errc::already_exists;
    case EMFILE:
    case ENFILE:
    case EAGAIN: return errc::resource;
    case ENOMEM: return errc::out_of_memory;
    default: return errc::io;
    }
}

[[nodiscard]] constexpr error os_error(int os_errno) noexcept {
    return {.code = errc_of(os_errno), .os_errno = static_cast<std::uint32_t>(os_errno)};
}

// Reads errno: to be called before anything else can change it.
[[nodiscard]] inline error last_os_error() noexcept {
    return os_error(errno);
}

// Calls until it is not interrupted. Never used for fsync: an interrupted sync may already have
// taken the write error of the file with it, so that a second call would report a false success.
template <class Call>
[[nodiscard]] auto uninterrupted(Call&& call) noexcept {
    for (;;) {
        auto const got = call();
        if (got >= 0 || errno != EINTR) return got;
    }
}

class unique_fd {
public:
    unique_fd() noexcept = default;
    explicit unique_fd(int fd) noexcept : fd_{fd} {}
    unique_fd(unique_fd&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    // Closes without looking at the outcome: an owner that cares calls close().
    ~unique_fd() {
        if (fd_ >= 0) ::close(fd_);
    }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }

    // The descriptor is gone whatever close says (Linux frees it even on EINTR): never repeated.
    [[nodiscard]] result<void> close() noexcept {
        auto const fd = std::exchange(fd_, -1);
        if (fd >= 0 && ::close(fd) != 0 && errno != EINTR) return last_os_error();
        return ok();
    }

private:
    int fd_ = -1;
};

} // namespace jetpp::inline v1::detail
