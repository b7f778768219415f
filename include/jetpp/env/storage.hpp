// jetpp/env/storage.hpp - the seam to files: the concept every device of jetpp models.
//
// Everything durable goes through these calls, so that the whole engine runs unchanged on POSIX
// files, on memory and on the simulated disk that forgets what was not synced. What the engine may
// rely on, and no more: the bytes of a synced file; the entries of a synced directory; a rename in
// one directory is atomic; a sector (geometry::atomic_unit, 512 at least) is written whole or not
// at all. Order between files, appends, sizes: nothing, until synced.
//
// Short counts are legal for read_some and write_some: callers use jetpp/env/io.hpp. Requests are
// multiples of layout().alignment in memory, offset and length, else errc::alignment_mismatch; a
// read at or past the end of the file is 0 bytes all the same.
// Threads  files and directories may be used by many threads at once; closing is the owner's.
// Errors   io, disk_full, permission_denied, not_found, already_exists, in_use, resource,
//          device_gone, alignment_mismatch, invalid_argument; os_errno is kept.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/file_name.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

// A path of the caller's: NUL terminated text that must outlive the call it is passed to.
class path_view {
public:
    constexpr path_view(char const* text) noexcept : text_{text} {}
    path_view(std::string const& text) noexcept : text_{text.c_str()} {}
    template <class Path>
        requires requires(Path const& p) {
            { p.c_str() } -> std::convertible_to<char const*>;
        }
    path_view(Path const& path) noexcept : text_{path.c_str()} {}
    path_view(std::nullptr_t) = delete;

    [[nodiscard]] constexpr char const* c_str() const noexcept { return text_; }
    [[nodiscard]] constexpr std::string_view view() const noexcept { return text_; }

private:
    char const* text_;
};

enum class open_mode : std::uint8_t {
    read_only,  // must exist
    read_write, // must exist
    create_new, // must not exist (O_EXCL)
    open_or_create,
};

enum class io_mode : std::uint8_t {
    direct, // bypasses the page cache where the file system can; falls back by itself
    buffered,
};

struct open_how {
    open_mode mode = open_mode::read_write;
    io_mode io = io_mode::direct;
};

enum class directory_how : std::uint8_t { must_exist, create_if_missing };
enum class rename_how : std::uint8_t { replace, no_replace };
enum class sync_how : std::uint8_t { data, full }; // fdatasync, fsync
enum class lock_how : std::uint8_t {
    exclusive, // nobody else holds it
    shared,    // nobody holds it exclusively
};
enum class write_how : std::uint8_t {
    cached,  // durable after a later sync
    durable, // these bytes are on the device when the call returns (DSYNC)
};

struct geometry {
    std::uint32_t alignment = 1;     // of offsets, lengths and memory
    std::uint32_t atomic_unit = 512; // bytes the device writes whole
    bool direct = false;             // the mode the file really got
};

enum class entry_kind : std::uint8_t { file, directory, other };

// Who holds a lock file, for storages that keep that themselves. Threads: one at a time.
class lock_holders {
public:
    // Returns: false if it is held so that it cannot be taken so.
    [[nodiscard]] constexpr bool take(lock_how how) noexcept {
        if (exclusive_ || (how == lock_how::exclusive && shared_ != 0)) return false;
        exclusive_ = how == lock_how::exclusive;
        shared_ += how == lock_how::shared ? 1U : 0U;
        return true;
    }
    // Requires: it was taken so.
    constexpr void give_back(lock_how how) noexcept {
        if (how == lock_how::exclusive)
            exclusive_ = false;
        else
            --shared_;
    }

private:
    std::uint32_t shared_ = 0;
    bool exclusive_ = false;
};

struct directory_entry {
    file_name name;
    entry_kind kind{};
};

struct space_info {
    std::uint64_t total_bytes{};
    std::uint64_t free_bytes{};
};

// A file mapped as the log ring: `header_bytes` once, then `ring_bytes` mapped twice in a row, so
// that a record which wraps is contiguous. What is stored there survives the end of the process
// and nothing more.
template <class R>
concept ring_mapping = std::movable<R> && requires(R& r) {
    { r.header() } -> std::same_as<std::byte*>;
    { r.ring() } -> std::same_as<std::byte*>; // 2 x ring_bytes readable and writable
    { r.ring_bytes() } -> std::same_as<std::uint64_t>;
};

template <class F>
concept storage_file =
    std::movable<F> && requires(F& f, bytes in, const_bytes out, std::uint64_t n) {
        { f.read_some(in, n) } noexcept -> std::same_as<result<std::size_t>>; // 0 = end of file
        { f.write_some(out, n, write_how{}) } noexcept -> std::same_as<result<std::size_t>>;
        { f.sync(sync_how{}) } noexcept -> std::same_as<result<void>>;
        { f.size() } noexcept -> std::same_as<result<std::uint64_t>>;
        { f.allocate(n, n) } noexcept -> std::same_as<result<void>>; // real size, reads as zero
        { f.truncate(n) } noexcept -> std::same_as<result<void>>;
        { f.close() } noexcept -> std::same_as<result<void>>;
        { f.layout() } noexcept -> std::same_as<geometry>;
    };

template <class D>
concept storage_directory =
    std::movable<D> && requires(D& d, file_name const& n, array_list<directory_entry>& into) {
        typename D::file;
        typename D::lock;
        typename D::ring;
        requires storage_file<typename D::file>;
        requires ring_mapping<typename D::ring>;
        { d.open(n, open_how{}) } noexcept -> std::same_as<result<typename D::file>>;
        { d.rename(n, n, rename_how{}) } noexcept -> std::same_as<result<void>>;
        // A second name of a file, in that directory of the same file system. A file moves so: its
        // new name made durable, then the old one removed; between two directories a rename may
        // be durable in one of them only. Errors: already_exists.
        { d.link(n, d, n) } noexcept -> std::same_as<result<void>>;
        { d.remove(n) } noexcept -> std::same_as<result<void>>; // a file or an empty directory
        // Replaces what is in `into`: without "." and "..", in any order.
        { d.list(into) } noexcept -> std::same_as<result<void>>;
        { d.sync() } noexcept -> std::same_as<result<void>>;
        // Never waits. Without a second argument: exclusive. Errors: in_use.
        { d.acquire_lock(n) } noexcept -> std::same_as<result<typename D::lock>>;
        { d.acquire_lock(n, lock_how{}) } noexcept -> std::same_as<result<typename D::lock>>;
        { d.space() } noexcept -> std::same_as<result<space_info>>;
        { d.open_dir(n, directory_how{}) } noexcept -> std::same_as<result<D>>;
        // Header and ring bytes. Zero-filled if the file is missing or of another size, else as
        // it was left. Both are multiples of the system's page, the ring a power of two.
        {
            d.map_ring(n, std::uint64_t{}, std::uint64_t{})
        } noexcept -> std::same_as<result<typename D::ring>>;
    };

template <class S>
concept storage = std::copyable<S> && requires(S& s, path_view path) {
    typename S::directory;
    requires storage_directory<typename S::directory>;
    { s.open_dir(path, directory_how{}) } noexcept -> std::same_as<result<typename S::directory>>;
};

} // namespace jetpp::inline v1
