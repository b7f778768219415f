// One suite for every storage: what the engine relies on holds on disk and in memory alike.

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/env/io.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "world.hpp"

namespace jetpp_test::storage_cases {

using namespace jetpp;

constexpr auto block = std::size_t{4096};

template <class World>
struct suite {
    World world;
    typename World::storage_type::directory dir =
        good(world.storage.open_dir(world.root, directory_how::create_if_missing));

    auto file(file_name const& name, open_mode mode, io_mode io = io_mode::direct) {
        return good(dir.open(name, {.mode = mode, .io = io}));
    }
};

aligned_buffer filled(std::size_t size, int salt) {
    auto made = good(aligned_buffer::create(size));
    for (std::size_t i = 0; i < size; ++i)
        made.data()[i] = static_cast<std::byte>((i * 131 + (i >> 8) * 7 + std::size_t(salt)) & 255);
    return made;
}

bool same(const_bytes a, const_bytes b) {
    return std::ranges::equal(a, b);
}

std::map<std::string, entry_kind> listing(auto& dir) {
    auto raw = array_list<directory_entry>{};
    good(dir.list(raw));
    auto found = std::map<std::string, entry_kind>{};
    for (auto const& each : raw) found.emplace(each.name.view(), each.kind);
    CHECK(found.size() == raw.size());
    return found;
}

TEMPLATE_TEST_CASE(
    "what was written is read back, through both I/O modes",
    "[env][storage]",
    posix_world,
    memory_world
) {
    auto s = suite<TestType>{};
    auto const io = GENERATE(io_mode::direct, io_mode::buffered);
    auto const how = GENERATE(write_how::cached, write_how::durable);
    auto f = s.file("data", open_mode::create_new, io);
    CHECK(block % f.layout().alignment == 0);
    CHECK(f.layout().atomic_unit >= 512);

    auto const out = filled(40 * block, 1);
    good(write_full(f, out.all(), 0, how));
    good(write_full(f, out.all().subspan(0, block), 100 * block, how));
    CHECK(good(f.size()) == 101 * block);

    auto in = filled(40 * block, 99);
    good(read_full(f, in.all(), 0));
    CHECK(same(in.all(), out.all()));
    good(read_full(f, in.part(0, block), 100 * block));
    CHECK(same(in.part(0, block), out.all().subspan(0, block)));
    good(read_full(f, in.part(0, 4 * block), 60 * block));
    CHECK(all_zero(in.part(0, 4 * block))); // the gap
    good(f.sync(sync_how::data));
    good(f.sync(sync_how::full));
    good(f.close());

    auto again = s.file("data", open_mode::read_only, io);
    good(read_full(again, in.all(), 0));
    CHECK(same(in.all(), out.all()));
}

TEMPLATE_TEST_CASE(
    "reads are short at the end of the file, empty behind it",
    "[env][storage]",
    posix_world,
    memory_world
) {
    auto s = suite<TestType>{};
    auto const out = filled(block, 3);
    { // an odd size needs a file that asks for no alignment
        auto f = s.file("short", open_mode::create_new, io_mode::buffered);
        good(write_full(f, out.all().subspan(0, 1000), 0));
        good(f.sync());
    }
    auto f = s.file("short", open_mode::read_write, io_mode::direct);
    auto in = filled(2 * block, 5);
    CHECK(good(f.read_some(in.all(), 0)) == 1000);
    CHECK(same(in.part(0, 1000), out.all().subspan(0, 1000)));
    CHECK(good(read_up_to(f, in.all(), 0)) == 1000); // goes on at 1000, unaligned, and ends there
    CHECK(good(f.read_some(in.all(), block)) == 0);
    CHECK(good(f.read_some(in.all(), 1000 * block)) == 0);
    CHECK(good(f.read_some({}, 0)) == 0);
    auto const cut = read_full(f, in.all(), 0);
    REQUIRE(!cut);
    CHECK(cut.error().code == errc::io);
    CHECK(cut.error().reason == damage::short_file);
    CHECK(code_of(f.read_some(in.all(), ~std::uint64_t{0})) != errc::io);
}

TEMPLATE_TEST_CASE(
    "open modes say whether a file must exist, may exist or must not",
    "[env][storage]",
    posix_world,
    memory_world
) {
    auto s = suite<TestType>{};
    auto const open = [&](open_mode mode) {
        return code_of(s.dir.open("f", {.mode = mode, .io = io_mode::buffered}));
    };
    CHECK(open(open_mode::read_only) == errc::not_found);
    CHECK(open(open_mode::read_write) == errc::not_found);
    CHECK(open(open_mode::open_or_create) == errc::none);
    CHECK(open(open_mode::open_or_create) == errc::none);
    CHECK(open(open_mode::read_only) == errc::none);
    CHECK(open(open_mode::read_write) == errc::none);
    CHECK(open(open_mode::create_new) == errc::already_exists);
    good(s.dir.remove("f"));
    CHECK(open(open_mode::create_new) == errc::none);
}

TEMPLATE_TEST_CASE(
    "a file opened for reading cannot be written", "[env][storage]", posix_world, memory_world
) {
    auto s = suite<TestType>{};
    (void)s.file("f", open_mode::create_new);
    auto f = s.file("f", open_mode::read_only);
    auto const out = filled(block, 1);
    CHECK(code_of(f.write_some(out.all(), 0, write_how::cached)) == errc::io);
    CHECK(code_of(f.allocate(0, block)) == errc::io);
    CHECK(good(f.size()) == 0);
}

TEMPLATE_TEST_CASE(
    "rename replaces or refuses to, as it was told", "[env][storage]", posix_world, memory_world
) {
    auto s = suite<TestType>{};
    auto const make = [&](file_name const& name, int salt) {
        auto f = s.file(name, open_mode::open_or_create, io_mode::buffered);
        good(write_full(f, filled(block, salt).all(), 0));
    };
    auto const salt_of = [&](file_name const& name) {
        auto f = s.file(name, open_mode::read_only, io_mode::buffered);
        auto in = filled(block, 0);
        good(read_full(f, in.all(), 0));
        return std::to_integer<int>(in.data()[0]);
    };
    make("a", 1);
    make("b", 2);
    CHECK(code_of(s.dir.rename("nothing", "c", rename_how::replace)) == errc::not_found);
    CHECK(code_of(s.dir.rename("nothing", "c", rename_how::no_replace)) == errc::not_found);
    CHECK(code_of(s.dir.rename("a", "b", rename_how::no_replace)) == errc::already_exists);
    CHECK(salt_of("b") == 2);
    good(s.dir.rename("a", "c", rename_how::no_replace));
    CHECK(salt_of("c") == 1);
    good(s.dir.rename("c", "b", rename_how::replace));
    CHECK(salt_of("b") == 1);
    good(s.dir.rename("b", "b", rename_how::replace));
    CHECK(salt_of("b") == 1);
    (void)good(s.dir.open_dir("sub", directory_how::create_if_missing));
    CHECK(code_of(s.dir.rename("b", "sub", rename_how::replace)) == errc::io); // EISDIR
    good(s.dir.sync());
    CHECK(
        listing(s.dir) ==
        std::map<std::string, entry_kind>{{"b", entry_kind::file}, {"sub", entry_kind::directory}}
    );
}

TEMPLATE_TEST_CASE(
    "a file is linked into another directory, and moves so",
    "[env][storage]",
    posix_world,
    memory_world
) {
    auto s = suite<TestType>{};
    auto sub = good(s.dir.open_dir("sub", directory_how::create_if_missing));
    auto f = s.file("f", open_mode::create_new, io_mode::buffered);
    good(write_full(f, filled(block, 3).all(), 0));
    good(s.dir.link("f", sub, "g"));
    CHECK(code_of(s.dir.link("f", sub, "g")) == errc::already_exists);
    CHECK(code_of(s.dir.link("nothing", sub, "h")) == errc::not_found);
    CHECK(code_of(s.dir.link("sub", sub, "h")) == errc::permission_denied);
    good(write_full(f, filled(block, 4).all(), 0)); // one file of two names
    good(s.dir.remove("f"));
    CHECK(listing(s.dir) == std::map<std::string, entry_kind>{{"sub", entry_kind::directory}});
    auto moved = good(sub.open("g", {.mode = open_mode::read_only, .io = io_mode::buffered}));
    auto in = filled(block, 0);
    good(read_full(moved, in.all(), 0));
    CHECK(std::ranges::equal(in.all(), filled(block, 4).all()));
    good(sub.remove("g"));
}

TEMPLATE_TEST_CASE(
    "a removed or replaced file lives until it is closed",
    "[env][storage]",
    posix_world,
    memory_world
) {
    auto s = suite<TestType>{};
    auto const out = filled(block, 9);
    auto f = s.file("f", open_mode::create_new);
    good(write_full(f, out.all(), 0));
    good(s.dir.remove("f"));
    CHECK(code_of(s.dir.remove("f")) == errc::not_found);
    CHECK(listing(s.dir).empty());
    auto in = filled(block, 0);
    good(read_full(f, in.all(), 0));
    CHECK(same(in.all(), out.all()));
}

TEMPLATE_TEST_CASE(
    "a listing names every entry once, however many", "[env][storage]", posix_world, memory_world
) {
    auto s = suite<TestType>{};
    auto expected = std::map<std::string, entry_kind>{};
    for (std::uint64_t i = 0; i < 300; ++i) {
        auto name = file_name{"jet-"};
        name.add_hex16(i).add(".log");
        (void)s.file(name, open_mode::create_new, io_mode::buffered);
        expected.emplace(name.view(), entry_kind::file);
    }
    CHECK(listing(s.dir) == expected);
    CHECK(listing(s.dir) == expected);
}

TEMPLATE_TEST_CASE(
    "directories nest, and only empty ones are removed", "[env][storage]", posix_world, memory_world
) {
    auto s = suite<TestType>{};
    CHECK(code_of(s.dir.open_dir("sub", directory_how::must_exist)) == errc::not_found);
    auto sub = good(s.dir.open_dir("sub", directory_how::create_if_missing));
    auto deep = good(sub.open_dir("deep", directory_how::create_if_missing));
    auto f = good(deep.open("f", {.mode = open_mode::create_new, .io = io_mode::buffered}));
    good(write_full(f, filled(block, 4).all(), 0));
    good(deep.sync());

    auto same_place =
        good(s.world.storage.open_dir(s.world.root + "/sub/deep", directory_how::must_exist));
    CHECK(listing(same_place) == std::map<std::string, entry_kind>{{"f", entry_kind::file}});
    CHECK(code_of(s.dir.remove("sub")) == errc::io);                                // ENOTEMPTY
    CHECK(code_of(s.dir.open("sub", {.mode = open_mode::read_write})) == errc::io); // EISDIR
    CHECK(code_of(deep.open_dir("f", directory_how::must_exist)) == errc::io);      // ENOTDIR
    good(deep.remove("f"));
    good(sub.remove("deep"));
    good(s.dir.remove("sub"));
    CHECK(listing(s.dir).empty());
    CHECK(
        code_of(s.world.storage.open_dir(s.world.root + "/no", directory_how::must_exist)) ==
        errc::not_found
    );
}

TEMPLATE_TEST_CASE(
    "an allocated range has its size, reads as zero and keeps old bytes",
    "[env][storage]",
    posix_world,
    memory_world
) {
    auto s = suite<TestType>{};
    auto const out = filled(4 * block, 6);
    auto f = s.file("f", open_mode::create_new);
    good(write_full(f, out.all(), 0));
    good(f.allocate(0, 1024 * 1024));
    CHECK(good(f.size()) == 1024 * 1024);
    auto in = filled(1024 * 1024, 7);
    good(read_full(f, in.all(), 0));
    CHECK(same(in.part(0, out.size()), out.all()));
    CHECK(all_zero(in.all().subspan(out.size())));
    good(f.allocate(block, block));
    good(f.allocate(0, 0));
    CHECK(good(f.size()) == 1024 * 1024);
}

TEMPLATE_TEST_CASE(
    "what truncate cuts off is zero when the file grows again",
    "[env][storage]",
    posix_world,
    memory_world
) {
    auto s = suite<TestType>{};
    auto const keep =
        GENERATE(std::size_t{0}, block, 3 * block, 16 * block, 17 * block, 32 * block);
    auto f = s.file("f", open_mode::create_new);
    auto const out = filled(40 * block, 8);
    good(write_full(f, out.all(), 0));
    good(f.truncate(keep));
    CHECK(good(f.size()) == keep);
    good(f.truncate(40 * block));
    auto in = filled(40 * block, 11);
    good(read_full(f, in.all(), 0));
    CHECK(same(in.part(0, keep), out.all().subspan(0, keep)));
    CHECK(all_zero(in.all().subspan(keep)));
}

TEMPLATE_TEST_CASE(
    "a second lock of one name is in_use until the first is gone",
    "[env][storage]",
    posix_world,
    memory_world
) {
    auto s = suite<TestType>{};
    {
        auto held = good(s.dir.acquire_lock("jet.lock"));
        CHECK(code_of(s.dir.acquire_lock("jet.lock")) == errc::in_use);
        auto other = good(s.world.storage.open_dir(s.world.root, directory_how::must_exist));
        CHECK(code_of(other.acquire_lock("jet.lock")) == errc::in_use);
        CHECK(code_of(other.acquire_lock("another.lock")) == errc::none);
        auto moved = std::move(held);
        CHECK(code_of(s.dir.acquire_lock("jet.lock")) == errc::in_use);
    }
    CHECK(code_of(s.dir.acquire_lock("jet.lock")) == errc::none);
    CHECK(code_of(s.dir.acquire_lock("jet.lock")) == errc::none);
    CHECK(listing(s.dir).contains("jet.lock"));
}

TEMPLATE_TEST_CASE(
    "a shared lock keeps exclusive ones away, and no other shared one",
    "[env][storage]",
    posix_world,
    memory_world
) {
    auto s = suite<TestType>{};
    auto const take = [&](lock_how how) { return s.dir.acquire_lock("jet.lock", how); };
    {
        auto one = good(take(lock_how::shared));
        auto two = std::optional{good(take(lock_how::shared))};
        CHECK(code_of(take(lock_how::exclusive)) == errc::in_use);
        two.reset();
        CHECK(code_of(take(lock_how::exclusive)) == errc::in_use);
        auto moved = std::move(one);
        CHECK(code_of(take(lock_how::exclusive)) == errc::in_use);
        moved = good(s.dir.acquire_lock("another.lock")); // and the first is free
    }
    {
        auto held = good(take(lock_how::exclusive));
        CHECK(code_of(take(lock_how::shared)) == errc::in_use);
        auto shared = good(s.dir.acquire_lock("another.lock", lock_how::shared));
        std::swap(held, shared); // each is let go of as it was taken
        {
            auto const gone = std::move(held);
        }
        CHECK(code_of(s.dir.acquire_lock("another.lock")) == errc::none);
        CHECK(code_of(take(lock_how::shared)) == errc::in_use);
    }
    CHECK(code_of(take(lock_how::exclusive)) == errc::none);
}

TEMPLATE_TEST_CASE("free space is at most the total", "[env][storage]", posix_world, memory_world) {
    auto s = suite<TestType>{};
    auto const space = good(s.dir.space());
    CHECK(space.free_bytes > 0);
    CHECK(space.free_bytes <= space.total_bytes);
}

TEMPLATE_TEST_CASE(
    "a ring is mapped twice in a row and kept in its file",
    "[env][storage]",
    posix_world,
    memory_world
) {
    constexpr auto ring_bytes = std::size_t{128 * 1024};
    auto s = suite<TestType>{};
    auto const text = filled(200, 12);
    {
        auto ring = good(s.dir.map_ring("jet.ring", block, ring_bytes));
        REQUIRE(ring.ring_bytes() == ring_bytes);
        CHECK(all_zero({ring.header(), block}));
        CHECK(all_zero({ring.ring(), 2 * ring_bytes}));
        // A record that wraps: 100 bytes at the end of the ring, 100 at its start.
        std::memcpy(ring.ring() + ring_bytes - 100, text.data(), 200);
        CHECK(same({ring.ring(), 100}, text.all().subspan(100)));
        CHECK(same({ring.ring() + ring_bytes, 100}, text.all().subspan(100)));
        CHECK(same({ring.ring() + 2 * ring_bytes - 100, 100}, text.all().subspan(0, 100)));
        std::memcpy(ring.ring() + 500, text.data(), 10);
        CHECK(same({ring.ring() + ring_bytes + 500, 10}, text.all().subspan(0, 10)));
        ring.header()[17] = std::byte{42};

        auto second = good(s.dir.map_ring("jet.ring", block, ring_bytes));
        second.ring()[7000] = std::byte{7};
        CHECK(ring.ring()[7000] == std::byte{7});
    }
    { // in the file
        auto f = s.file("jet.ring", open_mode::read_only, io_mode::buffered);
        CHECK(good(f.size()) == block + ring_bytes);
        auto in = good(aligned_buffer::create(block + ring_bytes));
        good(read_full(f, in.all(), 0));
        CHECK(in.data()[17] == std::byte{42});
        CHECK(in.data()[block + 7000] == std::byte{7});
        CHECK(same(in.part(block, 100), text.all().subspan(100)));
        CHECK(same(in.part(block + ring_bytes - 100, 100), text.all().subspan(0, 100)));
    }
    { // kept for a mapping of the same size
        auto ring = good(s.dir.map_ring("jet.ring", block, ring_bytes));
        CHECK(ring.header()[17] == std::byte{42});
        CHECK(same({ring.ring() + ring_bytes - 100, 200}, text.all()));
    }
    { // zeros for another size
        auto ring = good(s.dir.map_ring("jet.ring", block, 2 * ring_bytes));
        CHECK(all_zero({ring.header(), block}));
        CHECK(all_zero({ring.ring(), 4 * ring_bytes}));
    }
    CHECK(code_of(s.dir.map_ring("jet.ring", 100, ring_bytes)) == errc::invalid_argument);
    CHECK(code_of(s.dir.map_ring("jet.ring", block, ring_bytes + block)) == errc::invalid_argument);
    CHECK(code_of(s.dir.map_ring("jet.ring", block, 0)) == errc::invalid_argument);
}

TEMPLATE_TEST_CASE(
    "a plain file of the ring's size keeps its bytes when it is mapped",
    "[env][storage]",
    posix_world,
    memory_world
) {
    constexpr auto ring_bytes = std::size_t{64 * 1024};
    auto s = suite<TestType>{};
    auto const out = filled(block + ring_bytes, 13);
    {
        auto f = s.file("r", open_mode::create_new, io_mode::buffered);
        good(write_full(f, out.all(), 0));
    }
    auto ring = good(s.dir.map_ring("r", block, ring_bytes));
    CHECK(same({ring.header(), block + ring_bytes}, out.all()));
    CHECK(same({ring.ring() + ring_bytes, ring_bytes}, out.all().subspan(block)));
}

TEMPLATE_TEST_CASE(
    "threads write and read their own blocks of one file",
    "[env][storage]",
    posix_world,
    memory_world
) {
    auto s = suite<TestType>{};
    auto f = s.file("f", open_mode::create_new);
    auto wrong = std::atomic<int>{0};
    auto threads = std::vector<std::thread>{};
    for (auto id = 0; id < 4; ++id)
        threads.emplace_back([&, id] {
            auto mine = filled(block, id);
            auto in = filled(block, 77);
            for (auto turn = 0; turn < 50; ++turn) {
                auto const at = (std::uint64_t(turn) * 4 + std::uint64_t(id)) * block;
                if (!write_full(f, mine.all(), at)) ++wrong;
                if (!read_full(f, in.all(), at)) ++wrong;
                if (!same(in.all(), mine.all())) ++wrong;
            }
        });
    for (auto& each : threads) each.join();
    CHECK(wrong == 0);
    CHECK(good(f.size()) == 200 * block);
}

} // namespace jetpp_test::storage_cases
