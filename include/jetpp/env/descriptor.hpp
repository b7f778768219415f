// jetpp/env/descriptor.hpp - a descriptor of the program: pipe, socket, terminal or file, in order.
//
// Not a storage_file: it has no offsets, is not synced and is not closed. Writes take all they are
// given, reads give what there is. A descriptor that does not block is waited for.
// Who writes to pipes ignores SIGPIPE: a reader that went away is then errc::io with EPIPE.
// Threads  one reader, one writer.
// Owns     nothing: the descriptor outlives it.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/detail/posix.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include <poll.h>
#include <unistd.h>

namespace jetpp::inline v1 {

class descriptor {
public:
    explicit descriptor(int fd) noexcept : fd_{fd} {}
    [[nodiscard]] static descriptor standard_input() noexcept { return descriptor{STDIN_FILENO}; }
    [[nodiscard]] static descriptor standard_output() noexcept { return descriptor{STDOUT_FILENO}; }

    // Errors: disk_full, permission_denied, io, with os_errno.
    [[nodiscard]] result<void> write(const_bytes content) noexcept {
        while (!content.empty()) {
            auto const n = detail::uninterrupted([&] {
                return ::write(fd_, content.data(), std::min(content.size(), once_max));
            });
            if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
                BOOST_OUTCOME_TRY(wait_for(POLLOUT));
                continue;
            }
            if (n < 0) return detail::last_os_error();
            content = content.subspan(static_cast<std::size_t>(n));
        }
        return ok();
    }

    // Returns: bytes read; 0 only at the end. Errors: as write.
    [[nodiscard]] result<std::size_t> read(bytes into) noexcept {
        for (;;) {
            auto const n = detail::uninterrupted([&] {
                return ::read(fd_, into.data(), std::min(into.size(), once_max));
            });
            if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
                BOOST_OUTCOME_TRY(wait_for(POLLIN));
                continue;
            }
            if (n < 0) return detail::last_os_error();
            return static_cast<std::size_t>(n);
        }
    }

private:
    static constexpr std::size_t once_max = std::size_t{1} << 20;

    [[nodiscard]] result<void> wait_for(short what) noexcept {
        auto asked = pollfd{.fd = fd_, .events = what, .revents = 0};
        if (detail::uninterrupted([&] { return ::poll(&asked, 1, -1); }) < 0)
            return detail::last_os_error();
        return ok();
    }

    int fd_;
};

} // namespace jetpp::inline v1
