#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/simulation/simulated_storage.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "disk.hpp"

namespace jetpp_test::simulated_storage_cases {

struct fresh {
    choice_tape tape{1};
    simulated_machine machine{tape};
    simulated_directory db = open_db(machine);
};

std::vector<std::string> names_in(simulated_directory& db) {
    auto entries = array_list<directory_entry>{};
    REQUIRE(db.list(entries).has_value());
    auto names = std::vector<std::string>{};
    for (auto const& entry : entries) names.emplace_back(entry.name.view());
    std::sort(names.begin(), names.end());
    return names;
}

TEST_CASE("open modes decide about existence", "[simulation][storage]") {
    auto disk = fresh{};
    auto const open = [&](open_mode mode) { return disk.db.open("f", {.mode = mode}); };
    CHECK(open(open_mode::read_only).error().code == errc::not_found);
    CHECK(open(open_mode::read_write).error().code == errc::not_found);
    CHECK(open(open_mode::create_new).has_value());
    CHECK(open(open_mode::create_new).error().code == errc::already_exists);
    CHECK(open(open_mode::open_or_create).has_value());
    auto read_only = open(open_mode::read_only).value();
    CHECK(
        read_only.write_some(filled(512, 'a'), 0, write_how::cached).error().code ==
        errc::permission_denied
    );
    CHECK(
        simulated_storage{disk.machine}.open_dir("/no", directory_how::must_exist).error().code ==
        errc::not_found
    );
}

TEST_CASE("what is written is read, and holes are zeros", "[simulation][storage]") {
    auto disk = fresh{};
    auto file = disk.db.open("f", make_new).value();
    write(file, 10'000, filled(5000, 'x'));
    CHECK(file.size().value() == 15'000);
    auto read = std::vector<std::byte>(20'000, std::byte{1});
    CHECK(read_up_to(file, read, 0).value() == 15'000);
    CHECK(all_zero(bytes{read}.first(10'000)));
    CHECK(read[10'000] == std::byte{'x'});
    CHECK(read[14'999] == std::byte{'x'});
    CHECK(read[15'000] == std::byte{1});
    CHECK(file.read_some(read, 15'000).value() == 0);

    REQUIRE(file.truncate(12'000).has_value());
    REQUIRE(file.allocate(0, 13'000).has_value());
    CHECK(file.size().value() == 13'000);
    CHECK(read_up_to(file, read, 0).value() == 13'000);
    CHECK(read[11'999] == std::byte{'x'});
    CHECK(all_zero(bytes{read}.subspan(12'000, 1000)));
}

TEST_CASE("a removed or renamed file lives on in its handles", "[simulation][storage]") {
    auto disk = fresh{};
    auto file = disk.db.open("f", make_new).value();
    write(file, 0, filled(10, 'x'));
    REQUIRE(disk.db.rename("f", "g", rename_how::no_replace).has_value());
    CHECK(names_in(disk.db) == std::vector<std::string>{"g"});
    REQUIRE(disk.db.remove("g").has_value());
    REQUIRE(disk.db.sync().has_value());
    CHECK(names_in(disk.db).empty());
    write(file, 10, filled(10, 'y'));
    CHECK(file.size().value() == 20);
    CHECK(disk.db.remove("g").error().code == errc::not_found);
    CHECK(disk.db.rename("g", "f", rename_how::replace).error().code == errc::not_found);
}

TEST_CASE("a rename replaces only if it may", "[simulation][storage]") {
    auto disk = fresh{};
    disk.machine.put("db/a", filled(1, 'a'));
    disk.machine.put("db/b", filled(1, 'b'));
    CHECK(disk.db.rename("a", "b", rename_how::no_replace).error().code == errc::already_exists);
    CHECK(disk.db.rename("a", "b", rename_how::replace).has_value());
    CHECK(picture(disk.machine.contents("db/b"), 1) == "a");
    CHECK(names_in(disk.db) == std::vector<std::string>{"b"});
}

TEST_CASE("directories nest and only empty ones are removed", "[simulation][storage]") {
    auto disk = fresh{};
    CHECK(disk.db.open_dir("sub", directory_how::must_exist).error().code == errc::not_found);
    auto sub = disk.db.open_dir("sub", directory_how::create_if_missing).value();
    auto file = sub.open("f", make_new).value();
    CHECK(disk.db.remove("sub").has_error());
    CHECK(disk.db.open("sub", use_old).has_error());
    CHECK(sub.open_dir("f", directory_how::must_exist).has_error());
    auto storage = simulated_storage{disk.machine};
    CHECK(storage.open_dir("db/sub", directory_how::must_exist).has_value());
    REQUIRE(sub.remove("f").has_value());
    CHECK(disk.db.remove("sub").has_value());
    CHECK_FALSE(disk.machine.exists("db/sub"));
}

TEST_CASE(
    "a directory made in another is lost unless that one is synced", "[simulation][storage]"
) {
    for (auto const synced : {false, true}) {
        auto disk = fresh{};
        auto sub = disk.db.open_dir("sub", directory_how::create_if_missing).value();
        auto file = sub.open("f", make_new).value();
        REQUIRE(sub.sync().has_value());
        if (synced) REQUIRE(disk.db.sync().has_value());
        disk.machine.thaw(crash_policy::none);
        CHECK(disk.machine.exists("db/sub/f") == synced);
    }
}

TEST_CASE(
    "a new link and the removal of the old name are durable each by itself", "[simulation][storage]"
) {
    for (auto const synced : {false, true}) {
        auto disk = fresh{};
        disk.machine.put("db/f", filled(1, 'f'));
        auto sub = disk.db.open_dir("sub", directory_how::create_if_missing).value();
        REQUIRE(disk.db.sync().has_value());
        REQUIRE(disk.db.link("f", sub, "g").has_value());
        CHECK(disk.db.link("f", sub, "g").error().code == errc::already_exists);
        CHECK(disk.db.link("sub", sub, "h").error().code == errc::permission_denied);
        if (synced) REQUIRE(sub.sync().has_value());
        REQUIRE(disk.db.remove("f").has_value());
        REQUIRE(disk.db.sync().has_value());
        disk.machine.thaw(crash_policy::none);
        CHECK_FALSE(disk.machine.exists("db/f"));
        CHECK(disk.machine.exists("db/sub/g") == synced); // without, the file is lost
    }
}

TEST_CASE("a lock is held once, and not over a crash", "[simulation][storage]") {
    auto disk = fresh{};
    {
        auto held = disk.db.acquire_lock("jet.lock");
        REQUIRE(held.has_value());
        CHECK(disk.db.acquire_lock("jet.lock").error().code == errc::in_use);
        auto moved = std::move(held).value();
        CHECK(disk.db.acquire_lock("jet.lock").error().code == errc::in_use);
    }
    auto held = disk.db.acquire_lock("jet.lock");
    REQUIRE(held.has_value());
    disk.machine.thaw(crash_policy::all);
    auto db = open_db(disk.machine);
    auto again = db.acquire_lock("jet.lock");
    CHECK(again.has_value());
    // The lock of the dead process lets go of nothing.
    {
        auto const dead = std::move(held).value();
    }
    CHECK(db.acquire_lock("jet.lock").error().code == errc::in_use);
}

TEST_CASE("a shared lock is held by many, and not over a crash", "[simulation][storage]") {
    auto disk = fresh{};
    auto const take = [&](lock_how how) { return disk.db.acquire_lock("jet.lock", how); };
    auto one = take(lock_how::shared);
    auto two = take(lock_how::shared);
    REQUIRE(one.has_value());
    REQUIRE(two.has_value());
    CHECK(take(lock_how::exclusive).error().code == errc::in_use);
    {
        auto const gone = std::move(two).value();
    }
    CHECK(take(lock_how::exclusive).error().code == errc::in_use);
    disk.machine.thaw(crash_policy::all);
    auto db = open_db(disk.machine);
    auto const alone = db.acquire_lock("jet.lock");
    REQUIRE(alone.has_value());
    // The lock of the dead process lets go of nothing.
    {
        auto const dead = std::move(one).value();
    }
    CHECK(db.acquire_lock("jet.lock", lock_how::shared).error().code == errc::in_use);
}

TEST_CASE("direct calls must be aligned", "[simulation][storage]") {
    auto disk = fresh{};
    auto file = disk.db.open("f", {.mode = open_mode::create_new, .io = io_mode::direct}).value();
    CHECK(file.layout().direct);
    CHECK(file.layout().alignment == 512);
    auto buffer = aligned_buffer::create(4096).value();
    CHECK(file.write_some(buffer.part(0, 1024), 512, write_how::cached).value() == 1024);
    CHECK(file.write_some(buffer.part(0, 1000), 512, write_how::cached).error().os_errno == 22);
    CHECK(file.write_some(buffer.part(0, 1024), 100, write_how::cached).error().os_errno == 22);
    CHECK(file.read_some(buffer.part(8, 512), 0).error().os_errno == 22);
    auto buffered = disk.db.open("f", use_old).value();
    CHECK(buffered.layout().alignment == 1);
    CHECK(buffered.read_some(buffer.part(8, 100), 3).value() == 100);
}

TEST_CASE("short counts end where a caller can go on", "[simulation][storage]") {
    auto disk = fresh{};
    disk.machine.options.short_num = 1;
    disk.machine.options.short_den = 2;
    auto file = disk.db.open("f", {.mode = open_mode::create_new}).value();
    auto buffer = aligned_buffer::create(16384).value();
    std::fill(buffer.all().begin(), buffer.all().end(), std::byte{7});
    for (int i = 0; i < 20; ++i) REQUIRE(write_full(file, buffer.all(), 0).has_value());
    auto back = aligned_buffer::create(16384).value();
    for (int i = 0; i < 20; ++i) REQUIRE(read_full(file, back.all(), 0).has_value());
    CHECK(compare_bytes(buffer.all(), back.all()) == 0);
    CHECK(disk.machine.calls() > 60);
}

TEST_CASE("a crash makes every handle of its life useless", "[simulation][storage]") {
    auto disk = fresh{};
    auto file = disk.db.open("f", make_new).value();
    disk.machine.freeze();
    for (int life = 0; life < 2; ++life) {
        auto buffer = filled(10, 'x');
        CHECK(file.write_some(buffer, 0, write_how::cached).error().code == errc::device_gone);
        CHECK(file.read_some(buffer, 0).error().code == errc::device_gone);
        CHECK(file.sync(sync_how::full).error().code == errc::device_gone);
        CHECK(file.size().error().code == errc::device_gone);
        CHECK(disk.db.open("f", use_old).error().code == errc::device_gone);
        CHECK(disk.db.sync().error().code == errc::device_gone);
        disk.machine.thaw(crash_policy::all);
    }
    CHECK(disk.machine.contents("db/f").empty());
    CHECK(file.close().error().code == errc::device_gone);
    CHECK(file.close().has_value());
}

TEST_CASE("the ring survives a kill and not a power loss", "[simulation][storage]") {
    for (auto const policy : {crash_policy::kill, crash_policy::all, crash_policy::none}) {
        auto disk = fresh{};
        auto ring = disk.db.map_ring("jet.ring", 4096, 8192).value();
        CHECK(ring.ring_bytes() == 8192);
        auto const file_is = [&](char with) {
            auto const content = disk.machine.contents("db/jet.ring");
            return content.size() == 12288 && content[5] == static_cast<std::byte>(with) &&
                   content[4096 + 100] == static_cast<std::byte>(with);
        };
        ring.header()[5] = std::byte{'r'};
        ring.ring()[8192 + 100] = std::byte{'r'}; // the second mapping of the same bytes
        CHECK(ring.ring()[100] == std::byte{'r'});
        REQUIRE(disk.db.sync().has_value());
        disk.machine.freeze();
        ring.header()[5] = std::byte{'l'}; // stored by a program that does not know it is dead
        disk.machine.thaw(policy);
        CHECK(file_is('r') == (policy == crash_policy::kill));
        if (policy == crash_policy::kill) {
            auto db = open_db(disk.machine);
            auto again = db.map_ring("jet.ring", 4096, 8192).value();
            CHECK(again.header()[5] == std::byte{'r'});
            CHECK(again.ring()[100] == std::byte{'r'});
            disk.machine.thaw(crash_policy::none);
            CHECK_FALSE(file_is('r'));
        }
    }
}

TEST_CASE("a ring and reads of its file show the same bytes", "[simulation][storage]") {
    auto disk = fresh{};
    auto file = disk.db.open("jet.ring", make_new).value();
    {
        auto ring = disk.db.map_ring("jet.ring", 4096, 4096).value();
        ring.ring()[7] = std::byte{'a'};
        auto byte = filled(1, ' ');
        REQUIRE(read_full(file, byte, 4096 + 7).has_value());
        CHECK(byte[0] == std::byte{'a'});
        write(file, 4096 + 8, filled(1, 'b'));
        CHECK(ring.ring()[8] == std::byte{'b'});
        CHECK(ring.ring()[4096 + 8] == std::byte{'b'});
    }
    CHECK(disk.machine.contents("db/jet.ring")[4096 + 7] == std::byte{'a'});
    // Another size begins anew.
    auto ring = disk.db.map_ring("jet.ring", 4096, 8192).value();
    CHECK(ring.ring()[7] == std::byte{0});
    CHECK(file.size().value() == 12288);
    disk.machine.options.has_rings = false;
    CHECK(disk.db.map_ring("other", 4096, 4096).error().code == errc::unsupported);
}

} // namespace jetpp_test::simulated_storage_cases
