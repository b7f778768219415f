// bench/peers_ideal.cpp - the fastest copy that looks at what it copies: the limit for a backup.
//
// Reads of 1 MiB past the page cache, eight at once, the checksum of every 8 KiB, writes into a file
// that has its size already, one sync. No format, no log, nobody to wait for.
#include <jetpp/checksum/crc32c.hpp>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <thread>

#include "peers.hpp"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace peers {

namespace {

constexpr std::size_t block_bytes = std::size_t{1} << 20;
constexpr std::size_t page_bytes = 8192;
constexpr auto reads_at_once = 8;

class opened_file {
public:
    opened_file(std::filesystem::path const& path, int flags)
        : number_{::open(path.c_str(), flags | O_DIRECT | O_CLOEXEC, 0600)} {
        if (number_ < 0) fail();
    }
    opened_file(opened_file const&) = delete;
    opened_file& operator=(opened_file const&) = delete;
    ~opened_file() { ::close(number_); }
    [[nodiscard]] int number() const noexcept { return number_; }
    [[noreturn]] static void fail() {
        throw std::system_error{errno, std::generic_category(), "ideal copy"};
    }

private:
    int number_;
};

} // namespace

void copy_ideally(std::filesystem::path const& from, std::filesystem::path const& to) {
    auto const in = opened_file{from, O_RDONLY};
    auto const out = opened_file{to, O_WRONLY | O_CREAT | O_TRUNC};
    struct ::stat about{};
    if (::fstat(in.number(), &about) != 0) opened_file::fail();
    auto const size = static_cast<std::size_t>(about.st_size);
    if (size % page_bytes != 0) throw std::runtime_error{"not a file of pages"};
    if (::posix_fallocate(out.number(), 0, about.st_size) != 0) opened_file::fail();
    auto next = std::atomic<std::size_t>{0};
    auto sum = std::atomic<std::uint64_t>{0};
    auto failed = std::atomic<bool>{false};
    {
        auto threads = std::vector<std::jthread>{};
        for (auto i = 0; i < reads_at_once; ++i)
            threads.emplace_back([&] {
                auto const free_it = [](void* memory) { std::free(memory); };
                auto const block = std::unique_ptr<void, decltype(free_it)>{
                    std::aligned_alloc(4096, block_bytes), free_it
                };
                auto const* const bytes = static_cast<std::byte const*>(block.get());
                for (;;) {
                    auto const at = next.fetch_add(block_bytes);
                    if (at >= size || failed) return;
                    auto const count = std::min(block_bytes, size - at);
                    auto const place = static_cast<::off_t>(at);
                    if (::pread(in.number(), block.get(), count, place) !=
                        static_cast<::ssize_t>(count))
                        failed = true;
                    for (std::size_t p = 0; p < count; p += page_bytes)
                        sum += jetpp::crc32c_of({bytes + p, page_bytes});
                    if (::pwrite(out.number(), block.get(), count, place) !=
                        static_cast<::ssize_t>(count))
                        failed = true;
                }
            });
    }
    if (failed || ::fsync(out.number()) != 0) opened_file::fail();
    if (sum == 0 && size != 0) throw std::runtime_error{"no page of it says anything"};
}

} // namespace peers
