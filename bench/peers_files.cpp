// bench/peers_files.cpp - copies that are as durable as the engines' own.
#include <cerrno>
#include <system_error>

#include "peers.hpp"
#include <fcntl.h>
#include <unistd.h>

namespace peers {

namespace {

void sync_one(std::filesystem::path const& path) {
    auto const file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) throw std::system_error{errno, std::generic_category(), path};
    auto const failed = ::fsync(file) != 0;
    auto const why = errno;
    ::close(file);
    if (failed) throw std::system_error{why, std::generic_category(), path};
}

} // namespace

void sync_all(std::filesystem::path const& directory) {
    for (auto const& entry : std::filesystem::recursive_directory_iterator{directory})
        if (entry.is_regular_file() || entry.is_directory()) sync_one(entry.path());
    sync_one(directory);
}

void copy_durably(std::filesystem::path const& from, std::filesystem::path const& to) {
    std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
    sync_all(to);
}

bool drop_page_cache() {
    ::sync();
    auto const file = ::open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (file < 0) return false;
    auto const done = ::write(file, "1", 1) == 1;
    ::close(file);
    return done;
}

} // namespace peers
