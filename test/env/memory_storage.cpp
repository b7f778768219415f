#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/env/io.hpp>

#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

#include "world.hpp"

namespace jetpp_test::memory_storage_cases {

using namespace jetpp;

static_assert(!std::is_copy_constructible_v<memory_storage::directory>);
static_assert(!std::is_copy_constructible_v<memory_storage::directory::file>);
static_assert(!std::is_copy_constructible_v<memory_storage::directory::lock>);

constexpr auto chunk = std::size_t{64 * 1024};
constexpr auto make_new = open_how{.mode = open_mode::create_new};

TEST_CASE("copies of a memory storage share their files, others do not", "[env][memory]") {
    auto one = memory_storage{};
    auto copy = one;
    auto other = memory_storage{};
    auto dir = good(one.open_dir("a/b", directory_how::create_if_missing));
    (void)good(dir.open("f", make_new));
    auto seen = good(copy.open_dir("/a//./b/", directory_how::must_exist));
    CHECK(code_of(seen.open("f", make_new)) == errc::already_exists);
    CHECK(code_of(other.open_dir("a/b", directory_how::must_exist)) == errc::not_found);
    CHECK(code_of(one.open_dir("a/../b", directory_how::must_exist)) == errc::unsafe_name);
}

TEST_CASE("a handle keeps the files alive when the storage is gone", "[env][memory]") {
    auto storage = std::optional<memory_storage>{std::in_place};
    auto dir = good(storage->open_dir("d", directory_how::create_if_missing));
    auto f = good(dir.open("f", make_new));
    auto lock = good(dir.acquire_lock("l"));
    auto ring = good(dir.map_ring("r", 4096, 4096));
    storage.reset();
    good(write_full(f, as_bytes("still here"), 0));
    dir = {};
    CHECK(good(f.size()) == 10);
    auto other = memory_storage{};
    auto elsewhere = good(other.open_dir("d", directory_how::create_if_missing));
    f = good(elsewhere.open("g", make_new)); // the last handle of the first world goes
    lock = {};
    ring.ring()[0] = std::byte{1};
    CHECK(ring.ring()[4096] == std::byte{1});
    CHECK(good(f.size()) == 0);
}

TEST_CASE("a full memory storage says disk_full, and has room again later", "[env][memory]") {
    auto storage = memory_storage{4 * chunk};
    auto dir = good(storage.open_dir("d", directory_how::create_if_missing));
    auto buffer = good(aligned_buffer::create(6 * chunk));
    auto f = good(dir.open("f", make_new));
    auto g = good(dir.open("g", make_new));
    good(write_full(g, buffer.part(0, 10), 0));
    CHECK(good(dir.space()).free_bytes == 3 * chunk);
    CHECK(good(f.write_some(buffer.all(), 0, write_how::cached)) == 3 * chunk); // short, then:
    CHECK(code_of(f.write_some(buffer.all(), 3 * chunk, write_how::cached)) == errc::disk_full);
    CHECK(code_of(g.allocate(0, 2 * chunk)) == errc::disk_full);
    good(write_full(f, buffer.all().subspan(0, 3 * chunk), 0)); // what is there can be rewritten
    good(f.truncate(chunk));
    CHECK(good(dir.space()).free_bytes == 2 * chunk);
    good(g.allocate(0, 2 * chunk));
    good(dir.remove("g"));
    good(g.close());
    CHECK(good(dir.space()).free_bytes == 3 * chunk);
    CHECK(code_of(g.size()) == errc::io);
    CHECK(code_of(f.truncate(~std::uint64_t{0})) == errc::disk_full);
    CHECK(
        code_of(f.write_some(buffer.all(), ~std::uint64_t{0}, write_how::cached)) == errc::disk_full
    );
}

TEST_CASE("threads create, rename, list and remove in one directory", "[env][memory]") {
    auto storage = memory_storage{};
    auto dir = good(storage.open_dir("d", directory_how::create_if_missing));
    auto failed = std::vector<int>(4);
    auto threads = std::vector<std::thread>{};
    for (std::size_t id = 0; id < 4; ++id)
        threads.emplace_back([&, id] {
            auto entries = array_list<directory_entry>{};
            for (std::uint64_t turn = 0; turn < 200; ++turn) {
                auto first = file_name{"f"};
                first.add_hex16(id).add_hex16(turn);
                auto second = first;
                second.add("-renamed");
                auto f = dir.open(first, make_new);
                failed[id] += !f || !write_full(f.value(), as_bytes("x"), 0);
                failed[id] += !dir.rename(first, second, rename_how::no_replace);
                failed[id] += !dir.list(entries);
                failed[id] += turn % 2 == 0 && !dir.remove(second);
            }
        });
    for (auto& each : threads) each.join();
    CHECK(failed == std::vector<int>(4));
    auto entries = array_list<directory_entry>{};
    good(dir.list(entries));
    CHECK(entries.size() == 400);
}

} // namespace jetpp_test::memory_storage_cases
