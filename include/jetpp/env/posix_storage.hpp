// jetpp/env/posix_storage.hpp - directories, locks and the ring on a POSIX file system (Linux).
//
// Every name is one component, opened relative to a directory that is open already and never
// through a symbolic link (openat, O_NOFOLLOW): nobody who can write elsewhere can lead us out of
// the directory. Only regular files are opened. What is created gets 0600 (directories 0700)
// whatever the umask; the modes of what exists already are left alone.
// Threads  a directory may be used from any thread; moving it is the owner's.
// Owns     directories and locks own their descriptors. All are closed by an exec.
// Errors   as storage.hpp lists them. A symbolic link is permission_denied with ELOOP; something
//          else than a regular file is io with EINVAL or EISDIR.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/detail/posix.hpp>
#include <jetpp/env/double_mapping.hpp>
#include <jetpp/env/file_name.hpp>
#include <jetpp/env/posix_file.hpp>
#include <jetpp/env/storage.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace jetpp::inline v1 {

// Held until destroyed, or until the process ends in whatever way. A forked child that closes its
// copy does not release the parent's: there is no explicit unlock.
class posix_lock {
public:
    posix_lock() noexcept = default;
    explicit posix_lock(detail::unique_fd fd) noexcept : fd_{std::move(fd)} {}

private:
    detail::unique_fd fd_;
};

class posix_directory {
public:
    using file = posix_file;
    using lock = posix_lock;
    using ring = double_mapping;

    posix_directory() noexcept = default;
    explicit posix_directory(detail::unique_fd fd) noexcept : fd_{std::move(fd)} {}

    // The entry of a new file is durable after sync().
    [[nodiscard]] result<file> open(file_name const& name, open_how how) noexcept {
        BOOST_OUTCOME_TRY(auto fd, open_regular(name, how.mode));
        return file::adopt(std::move(fd), how.io);
    }

    [[nodiscard]] result<void> rename(
        file_name const& from, file_name const& to, rename_how how
    ) noexcept {
        auto const dir = fd_.get();
        if (how == rename_how::no_replace) {
            constexpr auto no_replace = 1U; // RENAME_NOREPLACE
            auto const done =
                ::syscall(SYS_renameat2, dir, from.c_str(), dir, to.c_str(), no_replace);
            if (done == 0) return ok();
            if (errno != ENOSYS && errno != EINVAL) return detail::last_os_error();
            // Looking first leaves a window to others, but the directory is ours alone. link and
            // unlink would leave two names of one file if the machine stopped between them.
            struct stat about{};
            if (::fstatat(dir, to.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0)
                return detail::os_error(EEXIST);
        }
        if (::renameat(dir, from.c_str(), dir, to.c_str()) != 0) return detail::last_os_error();
        return ok();
    }

    [[nodiscard]] result<void> link(
        file_name const& from, posix_directory& into, file_name const& to
    ) noexcept {
        if (::linkat(fd_.get(), from.c_str(), into.fd_.get(), to.c_str(), 0) == 0) return ok();
        return detail::last_os_error();
    }

    // A file, a link itself, or an empty directory.
    [[nodiscard]] result<void> remove(file_name const& name) noexcept {
        if (::unlinkat(fd_.get(), name.c_str(), 0) == 0) return ok();
        if (errno != EISDIR && errno != EPERM) return detail::last_os_error();
        auto const refused = detail::last_os_error();
        if (::unlinkat(fd_.get(), name.c_str(), AT_REMOVEDIR) == 0) return ok();
        return errno == ENOTDIR ? refused : detail::last_os_error();
    }

    // Names that no file_name can hold are left out: jetpp made none of them.
    [[nodiscard]] result<void> list(array_list<directory_entry>& into) noexcept {
        into.clear();
        // A descriptor of its own: the position of a listing is part of the open directory.
        auto const opened = detail::unique_fd{detail::uninterrupted([&] {
            return ::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        })};
        if (!opened.is_open()) return detail::last_os_error();
        alignas(dirent64) std::array<char, 8192> raw;
        for (;;) {
            auto const got = ::getdents64(opened.get(), raw.data(), raw.size());
            if (got < 0) return detail::last_os_error();
            if (got == 0) return ok();
            for (ssize_t at = 0; at < got;) {
                auto const* entry = reinterpret_cast<dirent64 const*>(raw.data() + at);
                at += entry->d_reclen;
                auto const name = file_name::make(entry->d_name);
                if (!name) continue;
                auto const found = directory_entry{name.value(), kind_of(*entry)};
                if (!into.push_back(found)) return error{.code = errc::out_of_memory};
            }
        }
    }

    // Makes all creations, renames and removals up to now durable.
    [[nodiscard]] result<void> sync() noexcept {
        if (::fsync(fd_.get()) != 0) return detail::last_os_error();
        return ok();
    }

    // Never waits. Errors: in_use.
    [[nodiscard]] result<lock> acquire_lock(
        file_name const& name, lock_how how = lock_how::exclusive
    ) noexcept {
        auto const operation = (how == lock_how::shared ? LOCK_SH : LOCK_EX) | LOCK_NB;
        for (auto turn = 0; turn < tries_max; ++turn) {
            BOOST_OUTCOME_TRY(auto fd, open_regular(name, open_mode::open_or_create));
            auto const locked = detail::uninterrupted([&] { return ::flock(fd.get(), operation); });
            if (locked != 0) {
                auto failed = detail::last_os_error();
                if (failed.os_errno == EWOULDBLOCK) failed.code = errc::in_use;
                return failed;
            }
            // A lock on a file that lost its name meanwhile would exclude nobody.
            struct stat held{};
            struct stat named{};
            if (::fstat(fd.get(), &held) != 0) return detail::last_os_error();
            if (::fstatat(fd_.get(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                held.st_dev == named.st_dev && held.st_ino == named.st_ino)
                return lock{std::move(fd)};
        }
        return error{.code = errc::in_use};
    }

    // For this process: blocks reserved for the superuser do not count as free.
    [[nodiscard]] result<space_info> space() noexcept {
        struct statvfs about{};
        if (detail::uninterrupted([&] { return ::fstatvfs(fd_.get(), &about); }) != 0)
            return detail::last_os_error();
        auto const unit = std::uint64_t{about.f_frsize};
        return space_info{
            .total_bytes = unit * about.f_blocks, .free_bytes = unit * about.f_bavail
        };
    }

    // The entry of a new directory is durable after sync() of this one.
    [[nodiscard]] result<posix_directory> open_dir(
        file_name const& name, directory_how how
    ) noexcept {
        return open_at(fd_.get(), name.c_str(), O_NOFOLLOW, how);
    }

    // A file of another size is replaced by zeros, one of the same size keeps its bytes. Blocks
    // are reserved first: a store into a hole of a full disk would be a SIGBUS.
    // Errors: invalid_argument (sizes that cannot be mapped), disk_full, resource.
    [[nodiscard]] result<ring> map_ring(
        file_name const& name, std::uint64_t header_bytes, std::uint64_t ring_bytes
    ) noexcept {
        if (!ring::sizes_fit(header_bytes, ring_bytes))
            return error{.code = errc::invalid_argument};
        auto const wanted = header_bytes + ring_bytes;
        auto const how = open_how{.mode = open_mode::open_or_create, .io = io_mode::buffered};
        BOOST_OUTCOME_TRY(auto backing, open(name, how));
        BOOST_OUTCOME_TRY(auto const size, backing.size());
        if (size != wanted) {
            BOOST_OUTCOME_TRY(backing.truncate(0));
        }
        BOOST_OUTCOME_TRY(backing.allocate(0, wanted));
        return ring::over(backing.native_handle(), header_bytes, ring_bytes);
    }

private:
    friend struct posix_storage;

    static constexpr int tries_max = 8;

    [[nodiscard]] entry_kind kind_of(dirent64 const& entry) const noexcept {
        if (entry.d_type == DT_REG) return entry_kind::file;
        if (entry.d_type == DT_DIR) return entry_kind::directory;
        if (entry.d_type != DT_UNKNOWN) return entry_kind::other;
        struct stat about{};
        if (::fstatat(fd_.get(), entry.d_name, &about, AT_SYMLINK_NOFOLLOW) != 0)
            return entry_kind::other;
        if (S_ISREG(about.st_mode)) return entry_kind::file;
        return S_ISDIR(about.st_mode) ? entry_kind::directory : entry_kind::other;
    }

    // O_NONBLOCK: a pipe somebody put there must not hold us up before it is refused; adopt()
    // clears it. A file that is busy (a lease, a backup agent) is asked again, for 0.25 s in all.
    [[nodiscard]] result<detail::unique_fd> open_once(file_name const& name, int flags)
        const noexcept {
        constexpr int always = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
        for (auto turn = 0;; ++turn) {
            auto const fd = detail::uninterrupted([&] {
                return ::openat(fd_.get(), name.c_str(), flags | always, 0600);
            });
            if (fd >= 0) return detail::unique_fd{fd};
            auto const failed = detail::last_os_error();
            auto const busy = failed.os_errno == EWOULDBLOCK || failed.os_errno == EBUSY;
            if (!busy || turn == tries_max) return failed;
            auto const nap = timespec{.tv_sec = 0, .tv_nsec = 1'000'000L << turn};
            ::nanosleep(&nap, nullptr);
        }
    }

    [[nodiscard]] result<detail::unique_fd> open_regular(file_name const& name, open_mode mode)
        const noexcept {
        constexpr int create = O_RDWR | O_CREAT | O_EXCL;
        if (mode == open_mode::create_new) {
            BOOST_OUTCOME_TRY(auto fd, open_once(name, create));
            return only_ours(std::move(fd));
        }
        // Creation is always exclusive, so that we know whose mode it is to set.
        for (auto turn = 0; turn < tries_max; ++turn) {
            auto found = open_once(name, mode == open_mode::read_only ? O_RDONLY : O_RDWR);
            if (found) return only_regular(std::move(found).value());
            if (mode != open_mode::open_or_create || found.error().code != errc::not_found)
                return found;
            auto made = open_once(name, create);
            if (made) return only_ours(std::move(made).value());
            if (made.error().code != errc::already_exists) return made;
        }
        return error{.code = errc::resource}; // somebody creates and removes it all the time
    }
    [[nodiscard]] static result<detail::unique_fd> only_ours(detail::unique_fd fd) noexcept {
        if (::fchmod(fd.get(), 0600) != 0) return detail::last_os_error();
        return fd;
    }
    [[nodiscard]] static result<detail::unique_fd> only_regular(detail::unique_fd fd) noexcept {
        struct stat about{};
        if (::fstat(fd.get(), &about) != 0) return detail::last_os_error();
        if (!S_ISREG(about.st_mode)) return detail::os_error(EINVAL);
        return fd;
    }

    [[nodiscard]] static result<posix_directory> open_at(
        int parent, char const* path, int extra_flags, directory_how how, bool* created = nullptr
    ) noexcept {
        auto is_new = false;
        if (how == directory_how::create_if_missing) {
            is_new = ::mkdirat(parent, path, 0700) == 0;
            if (!is_new && errno != EEXIST) {
                auto const failed = detail::last_os_error();
                struct stat about{};
                // A read-only file system refuses before it looks whether the name exists.
                if (::fstatat(parent, path, &about, 0) != 0) return failed;
            }
        }
        auto fd = detail::unique_fd{detail::uninterrupted([&] {
            return ::openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | extra_flags);
        })};
        if (!fd.is_open()) return detail::last_os_error();
        if (is_new && ::fchmod(fd.get(), 0700) != 0) return detail::last_os_error();
        if (created != nullptr) *created = is_new;
        return posix_directory{std::move(fd)};
    }

    detail::unique_fd fd_;
};
static_assert(storage_directory<posix_directory>);

struct posix_storage {
    using directory = posix_directory;

    // The path is the caller's own word: symbolic links in it are followed. A directory that is
    // created here is durable on return; its parent must exist. So is one that is still empty: whoever
    // made it may have been killed before he could see to that.
    [[nodiscard]] result<directory> open_dir(path_view path, directory_how how) const noexcept {
        auto created = false;
        BOOST_OUTCOME_TRY(
            auto opened, directory::open_at(AT_FDCWD, path.c_str(), 0, how, &created)
        );
        if (created) {
            BOOST_OUTCOME_TRY(sync_parent(path));
        } else if (how == directory_how::create_if_missing) {
            auto entries = array_list<directory_entry>{};
            BOOST_OUTCOME_TRY(opened.list(entries));
            if (entries.empty()) (void)sync_parent(path); // it may be somebody else's to read
        }
        return opened;
    }

private:
    [[nodiscard]] static result<void> sync_parent(path_view path) noexcept {
        auto parent = std::array<char, PATH_MAX>{};
        auto text = path.view();
        if (text.size() >= parent.size()) return detail::os_error(ENAMETOOLONG);
        while (!text.empty() && text.back() == '/') text.remove_suffix(1);
        while (!text.empty() && text.back() != '/') text.remove_suffix(1);
        if (text.empty()) text = ".";
        std::memcpy(parent.data(), text.data(), text.size());
        BOOST_OUTCOME_TRY(
            auto above, directory::open_at(AT_FDCWD, parent.data(), 0, directory_how::must_exist)
        );
        return above.sync();
    }
};
static_assert(std::is_empty_v<posix_storage>);
static_assert(storage<posix_storage>);

} // namespace jetpp::inline v1
