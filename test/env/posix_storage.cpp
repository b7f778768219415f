// What only a real file system can show: modes, links, limits, other processes, and kernels that
// lack a call (made by a seccomp filter in a forked child).

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/env/native_runtime.hpp>

#include <cstring>
#include <type_traits>

#include "world.hpp"
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace jetpp_test::posix_storage_cases {

using namespace jetpp;

static_assert(std::is_empty_v<posix_storage>);
static_assert(!std::is_copy_constructible_v<posix_file>);
static_assert(!std::is_copy_constructible_v<posix_lock>);
static_assert(detail::errc_of(ENOSPC) == errc::disk_full);
static_assert(detail::errc_of(EDQUOT) == errc::disk_full);
static_assert(detail::errc_of(EROFS) == errc::permission_denied);
static_assert(detail::errc_of(EIO) == errc::io);
static_assert(detail::errc_of(ENOMEM) == errc::out_of_memory);

constexpr auto block = std::size_t{4096};
constexpr auto make_new = open_how{.mode = open_mode::create_new, .io = io_mode::buffered};
constexpr auto direct_new = open_how{.mode = open_mode::create_new, .io = io_mode::direct};

posix_directory root_of(posix_world& world) {
    return good(world.storage.open_dir(world.root, directory_how::must_exist));
}

unsigned mode_of(std::string const& path) {
    struct stat about{};
    REQUIRE(::stat(path.c_str(), &about) == 0);
    return about.st_mode & 07777;
}

// Runs body() in a child that shares nothing with the test's threads or limits. Returns: what
// waitpid says. The body's int is the exit status.
template <class Body>
int in_child(Body&& body) {
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) ::_exit(body());
    auto status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return status;
}
bool ended_well(int status) {
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// From now on the calling process gets `os_errno` for this call; with a mask only if the third
// argument has all its bits.
bool refuse_call(unsigned number, unsigned os_errno, unsigned third_has = 0) {
    auto filter = std::array{
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4),
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args) + 16),
        sock_filter BPF_STMT(BPF_ALU | BPF_AND | BPF_K, third_has),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, third_has, 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (os_errno & SECCOMP_RET_DATA)),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    auto program = sock_fprog{static_cast<unsigned short>(filter.size()), filter.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST_CASE("what is created is ours alone, whatever the umask", "[env][posix]") {
    auto world = posix_world{};
    auto const before = ::umask(GENERATE(mode_t{0}, mode_t{0777}));
    auto made = world.storage.open_dir(world.root + "/new", directory_how::create_if_missing);
    auto dir = good(std::move(made));
    (void)good(dir.open("file", make_new));
    (void)good(dir.open_dir("sub", directory_how::create_if_missing));
    (void)good(dir.acquire_lock("lock"));
    (void)good(dir.map_ring("ring", block, 64 * 1024));
    ::umask(before);
    CHECK(mode_of(world.root + "/new") == 0700);
    CHECK(mode_of(world.root + "/new/sub") == 0700);
    CHECK(mode_of(world.root + "/new/file") == 0600);
    CHECK(mode_of(world.root + "/new/lock") == 0600);
    CHECK(mode_of(world.root + "/new/ring") == 0600);
}

TEST_CASE("the mode of what exists is left alone", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    (void)good(dir.open("file", make_new));
    REQUIRE(::chmod((world.root + "/file").c_str(), 0640) == 0);
    REQUIRE(::chmod(world.root.c_str(), 0750) == 0);
    (void)good(dir.open("file", {.mode = open_mode::open_or_create}));
    (void)good(world.storage.open_dir(world.root, directory_how::create_if_missing));
    CHECK(mode_of(world.root + "/file") == 0640);
    CHECK(mode_of(world.root) == 0750);
}

TEST_CASE("symbolic links are refused, by every way in", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    (void)good(dir.open("victim", make_new));
    (void)good(dir.open_dir("real", directory_how::create_if_missing));
    REQUIRE(::symlink("victim", (world.root + "/link").c_str()) == 0);
    REQUIRE(::symlink("nowhere", (world.root + "/dangling").c_str()) == 0);
    REQUIRE(::symlink("real", (world.root + "/dirlink").c_str()) == 0);

    for (auto const mode :
         {open_mode::read_only, open_mode::read_write, open_mode::open_or_create}) {
        auto const got = dir.open("link", {.mode = mode, .io = io_mode::buffered});
        REQUIRE(!got);
        CHECK(got.error().code == errc::permission_denied);
        CHECK(got.error().os_errno == ELOOP);
    }
    CHECK(
        code_of(dir.open("dangling", {.mode = open_mode::open_or_create})) ==
        errc::permission_denied
    );
    CHECK(code_of(dir.open("dangling", make_new)) == errc::already_exists);
    CHECK(code_of(dir.acquire_lock("link")) == errc::permission_denied);
    CHECK(code_of(dir.map_ring("link", block, 64 * 1024)) == errc::permission_denied);
    CHECK(!dir.open_dir("dirlink", directory_how::must_exist));
    CHECK(!dir.open_dir("dirlink", directory_how::create_if_missing));
    CHECK(::access((world.root + "/nowhere").c_str(), F_OK) != 0);
}

TEST_CASE("a link in the caller's own path is followed", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    auto real = good(dir.open_dir("real", directory_how::create_if_missing));
    (void)good(real.open("file", make_new));
    REQUIRE(::symlink("real", (world.root + "/link").c_str()) == 0);
    for (auto const how : {directory_how::must_exist, directory_how::create_if_missing}) {
        auto through = good(world.storage.open_dir(world.root + "/link", how));
        CHECK(code_of(through.open("file", make_new)) == errc::already_exists);
    }
}

TEST_CASE("a pipe or a directory is not opened as a file, and nobody waits", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    REQUIRE(::mkfifo((world.root + "/pipe").c_str(), 0600) == 0);
    (void)good(dir.open_dir("sub", directory_how::create_if_missing));
    for (auto const mode :
         {open_mode::read_only, open_mode::read_write, open_mode::open_or_create}) {
        CHECK(code_of(dir.open("pipe", {.mode = mode})) == errc::io);
        CHECK(code_of(dir.open("sub", {.mode = mode})) == errc::io);
    }
    auto entries = array_list<directory_entry>{};
    good(dir.list(entries));
    REQUIRE(entries.size() == 2);
    for (auto const& each : entries)
        CHECK(
            each.kind == (each.name.view() == "pipe" ? entry_kind::other : entry_kind::directory)
        );
}

TEST_CASE("names that no file_name can hold are left out of a listing", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    for (auto const* name : {"/-dash", "/back\\slash", "/new\nline", "/fine"})
        REQUIRE(::creat((world.root + name).c_str(), 0600) >= 0);
    REQUIRE(::creat((world.root + "/" + std::string(200, 'x')).c_str(), 0600) >= 0);
    auto entries = array_list<directory_entry>{};
    good(dir.list(entries));
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].name == file_name{"fine"});
}

TEST_CASE("descriptors do not survive an exec and do not stay non-blocking", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    auto const how = GENERATE(make_new, direct_new);
    auto f = good(dir.open("file", how));
    CHECK((::fcntl(f.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
    auto const flags = ::fcntl(f.native_handle(), F_GETFL);
    CHECK((flags & O_NONBLOCK) == 0);
    CHECK(((flags & O_DIRECT) != 0) == f.layout().direct);
}

TEST_CASE("an unaligned request on a direct file is refused, not bent", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    auto f = good(dir.open("file", direct_new));
    auto buffer = good(aligned_buffer::create(4 * block));
    if (!f.layout().direct) return; // this file system has none
    good(write_full(f, buffer.all(), 0));
    auto const how = write_how::cached;
    CHECK(code_of(f.write_some(buffer.part(1, block), 0, how)) == errc::alignment_mismatch);
    CHECK(code_of(f.write_some(buffer.part(0, 100), 0, how)) == errc::alignment_mismatch);
    CHECK(code_of(f.write_some(buffer.part(0, block), 7, how)) == errc::alignment_mismatch);
    CHECK(code_of(f.read_some(buffer.part(1, block), 0)) == errc::alignment_mismatch);
    CHECK(code_of(f.read_some(buffer.part(0, 100), 0)) == errc::alignment_mismatch);
    CHECK(code_of(f.read_some(buffer.part(0, block), 7)) == errc::alignment_mismatch);
    CHECK(good(f.read_some(buffer.part(1, 100), 4 * block)) == 0); // at the end
    CHECK(good(f.size()) == 4 * block);
}

TEST_CASE("the size limit of the process is disk_full, not a signal", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    auto f = good(dir.open("file", direct_new));
    auto buffer = good(aligned_buffer::create(4 * block));
    auto const status = in_child([&] {
        auto const limit = rlimit{2 * block, 2 * block};
        if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
        if (code_of(f.write_some(buffer.all(), 2 * block, write_how::cached)) != errc::disk_full)
            return 2;
        if (code_of(f.allocate(0, 4 * block)) != errc::disk_full) return 3;
        if (code_of(f.truncate(4 * block)) != errc::disk_full) return 4;
        if (code_of(write_full(f, buffer.all(), 0)) != errc::disk_full) return 5;
        if (!write_full(f, buffer.part(0, block), 0, write_how::durable)) return 6;
        return 0;
    });
    CAPTURE(status);
    CHECK(ended_well(status));
    CHECK(good(f.size()) <= 2 * block);
}

TEST_CASE("a process without descriptors gets errc::resource", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    auto const status = in_child([&] {
        auto const limit = rlimit{3, 3};
        if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
        if (code_of(dir.open("file", make_new)) != errc::resource) return 2;
        if (code_of(dir.acquire_lock("lock")) != errc::resource) return 3;
        auto entries = array_list<directory_entry>{};
        if (code_of(dir.list(entries)) != errc::resource) return 4;
        return 0;
    });
    CAPTURE(status);
    CHECK(ended_well(status));
}

TEST_CASE("a lock ends with its process, not with a child that shares it", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    { // a killed holder holds nothing
        auto const status = in_child([&] {
            auto const held = dir.acquire_lock("jet.lock");
            if (!held || dir.acquire_lock("jet.lock")) return 1;
            ::raise(SIGKILL);
            return 2;
        });
        CHECK(WIFSIGNALED(status));
    }
    auto held = good(dir.acquire_lock("jet.lock"));
    auto const status = in_child([&] {
        if (code_of(dir.acquire_lock("jet.lock")) != errc::in_use) return 1;
        held = posix_lock{}; // the child's copy of the handle
        return 0;
    });
    CHECK(ended_well(status));
    CHECK(code_of(dir.acquire_lock("jet.lock")) == errc::in_use);
}

TEST_CASE("the lock file keeps its content", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    auto f = good(dir.open("jet.lock", make_new));
    auto const text = as_bytes("a note of somebody");
    good(write_full(f, text, 0));
    auto const held = good(dir.acquire_lock("jet.lock"));
    CHECK(good(f.size()) == text.size());
}

TEST_CASE("what a killed process stored in the ring is there for the next", "[env][posix]") {
    constexpr auto ring_bytes = std::uint64_t{64 * 1024};
    auto world = posix_world{};
    auto dir = root_of(world);
    auto const status = in_child([&] {
        auto ring = dir.map_ring("jet.ring", block, ring_bytes);
        if (!ring) return 1;
        std::memcpy(ring.value().ring() + ring_bytes - 4, "over the end", 12);
        ::raise(SIGKILL);
        return 2;
    });
    REQUIRE(WIFSIGNALED(status));
    auto ring = good(dir.map_ring("jet.ring", block, ring_bytes));
    CHECK(as_text({ring.ring() + ring_bytes - 4, 12}) == "over the end");
    CHECK(as_text({ring.ring(), 8}) == " the end");
}

TEST_CASE("kernels that lack a call are served by older ones", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    auto out = good(aligned_buffer::create(2 * block));
    std::memset(out.data(), 0x5A, out.size());
    auto in = good(aligned_buffer::create(2 * block));

    SECTION("no pwritev2: write, then fdatasync") {
        auto const os_errno = GENERATE(unsigned{ENOSYS}, unsigned{EOPNOTSUPP});
        auto const status = in_child([&] {
            auto f = dir.open("file", direct_new);
            if (!f || !refuse_call(SYS_pwritev2, os_errno)) return 1;
            if (!write_full(f.value(), out.all(), 0, write_how::durable)) return 2;
            if (!read_full(f.value(), in.all(), 0)) return 3;
            if (compare_bytes(in.all(), out.all()) != 0) return 4;
            // and the sync is really made: without it the write fails
            if (!refuse_call(SYS_fdatasync, EIO)) return 5;
            auto const lost = write_full(f.value(), out.all(), 0, write_how::durable);
            return code_of(lost) == errc::io && lost.error().os_errno == EIO ? 0 : 6;
        });
        CAPTURE(status);
        CHECK(ended_well(status));
    }
    SECTION("no fallocate: zeros are written behind the old end") {
        auto const how = GENERATE(make_new, direct_new);
        auto const status = in_child([&] {
            auto f = dir.open("file", how);
            if (!f || !refuse_call(SYS_fallocate, EOPNOTSUPP)) return 1;
            if (!write_full(f.value(), out.all(), 0)) return 2;
            if (!f.value().allocate(block, 1024 * 1024 + 100)) return 3;
            if (f.value().size().value() != 1024 * 1024 + 100 + block) return 4;
            if (!read_full(f.value(), in.all(), 0)) return 5;
            if (compare_bytes(in.all(), out.all()) != 0) return 6;
            for (auto at = 2 * block; at + 2 * block < 1024 * 1024; at += 2 * block)
                if (!read_full(f.value(), in.all(), at) || !all_zero(in.all())) return 7;
            struct stat about{};
            if (::fstat(f.value().native_handle(), &about) != 0) return 8;
            return about.st_blocks * 512 >= 1024 * 1024 ? 0 : 9; // real blocks, no hole
        });
        CAPTURE(status);
        CHECK(ended_well(status));
    }
    SECTION("no renameat2: looked at first") {
        auto const status = in_child([&] {
            if (!refuse_call(SYS_renameat2, ENOSYS)) return 1;
            if (!dir.open("a", make_new) || !dir.open("b", make_new)) return 2;
            if (code_of(dir.rename("a", "b", rename_how::no_replace)) != errc::already_exists)
                return 3;
            if (!dir.rename("a", "c", rename_how::no_replace)) return 4;
            if (code_of(dir.rename("a", "c", rename_how::no_replace)) == errc::none) return 5;
            return dir.rename("c", "b", rename_how::replace) ? 0 : 6;
        });
        CAPTURE(status);
        CHECK(ended_well(status));
    }
    SECTION("no O_DIRECT at open: buffered") {
        auto const status = in_child([&] {
            if (!refuse_call(SYS_fcntl, EINVAL, O_DIRECT)) return 1;
            auto f = dir.open("file", direct_new);
            if (!f || f.value().layout().direct || f.value().layout().alignment != 1) return 2;
            if (!write_full(f.value(), out.part(1, 77), 3, write_how::durable)) return 3;
            return f.value().size().value() == 80 ? 0 : 4;
        });
        CAPTURE(status);
        CHECK(ended_well(status));
    }
    SECTION("no O_DIRECT at the first transfer: buffered from then on") {
        auto const status = in_child([&] {
            auto f = dir.open("file", direct_new);
            if (!f) return 1;
            if (!f.value().layout().direct) return 0;
            if (!refuse_call(SYS_pwrite64, EINVAL, 2 * block)) return 2; // of just this length
            if (code_of(f.value().write_some(out.all(), 0, write_how::cached)) != errc::io)
                return 3;
            if (f.value().layout().direct) return 4;
            return write_full(f.value(), out.part(1, 33), 5) ? 0 : 5;
        });
        CAPTURE(status);
        CHECK(ended_well(status));
    }
    SECTION("a transfer that worked keeps the mode: a later EINVAL is an error") {
        auto const status = in_child([&] {
            auto f = dir.open("file", direct_new);
            if (!f) return 1;
            if (!f.value().layout().direct) return 0;
            if (!write_full(f.value(), out.part(0, block), 0)) return 2;
            if (!refuse_call(SYS_pwrite64, EINVAL, 2 * block)) return 3;
            auto const got = f.value().write_some(out.all(), 0, write_how::cached);
            if (code_of(got) != errc::io || got.error().os_errno != EINVAL) return 4;
            return f.value().layout().direct ? 0 : 5;
        });
        CAPTURE(status);
        CHECK(ended_well(status));
    }
    SECTION("a failed sync is reported, and not asked again") {
        auto const status = in_child([&] {
            auto f = dir.open("file", direct_new);
            if (!f || !refuse_call(SYS_fdatasync, EINTR)) return 1;
            if (!refuse_call(SYS_fsync, EIO)) return 2;
            auto const data = f.value().sync(sync_how::data);
            if (code_of(data) != errc::io || data.error().os_errno != EINTR) return 3;
            if (code_of(f.value().sync(sync_how::full)) != errc::io) return 4;
            return code_of(dir.sync()) == errc::io ? 0 : 5;
        });
        CAPTURE(status);
        CHECK(ended_well(status));
    }
    SECTION("locks that the file system lacks are an error, not a success") {
        auto const status = in_child([&] {
            if (!refuse_call(SYS_flock, ENOLCK)) return 1;
            auto const got = dir.acquire_lock("jet.lock");
            return code_of(got) == errc::io && got.error().os_errno == ENOLCK ? 0 : 2;
        });
        CAPTURE(status);
        CHECK(ended_well(status));
    }
}

TEST_CASE("a full disk is disk_full wherever it shows", "[env][posix]") {
    auto world = posix_world{};
    auto dir = root_of(world);
    auto out = good(aligned_buffer::create(block));
    auto const os_errno = GENERATE(unsigned{ENOSPC}, unsigned{EDQUOT});
    auto const status = in_child([&] {
        auto f = dir.open("file", direct_new);
        if (!f) return 1;
        for (auto const call : {SYS_fallocate, SYS_pwrite64, SYS_pwritev2})
            if (!refuse_call(static_cast<unsigned>(call), os_errno)) return 2;
        if (code_of(f.value().allocate(0, block)) != errc::disk_full) return 3;
        for (auto const how : {write_how::cached, write_how::durable}) {
            auto const got = f.value().write_some(out.all(), 0, how);
            if (code_of(got) != errc::disk_full || got.error().os_errno != os_errno) return 4;
        }
        if (code_of(dir.map_ring("ring", block, 64 * 1024)) != errc::disk_full) return 5;
        return f.value().size().value() == 0 ? 0 : 6;
    });
    CAPTURE(status);
    CHECK(ended_well(status));
}

TEST_CASE("a path that cannot be opened says why", "[env][posix]") {
    auto world = posix_world{};
    auto const at = [&](std::string const& path, directory_how how) {
        return world.storage.open_dir(path, how);
    };
    auto dir = root_of(world);
    (void)good(dir.open("file", make_new));
    CHECK(code_of(at(world.root + "/file", directory_how::must_exist)) == errc::io);
    CHECK(code_of(at(world.root + "/file", directory_how::create_if_missing)) == errc::io);
    CHECK(code_of(at(world.root + "/no/no", directory_how::create_if_missing)) == errc::not_found);
    CHECK(code_of(at("", directory_how::must_exist)) == errc::not_found);
    CHECK(at(world.root + "/new/", directory_how::create_if_missing));
}

} // namespace jetpp_test::posix_storage_cases
