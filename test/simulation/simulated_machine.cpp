#include <jetpp/simulation/simulated_machine.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "disk.hpp"

namespace jetpp_test::simulated_machine_cases {

struct one_file {
    choice_tape tape;
    simulated_machine machine;
    simulated_directory db;
    simulated_file file;

    explicit one_file(std::uint64_t seed = 1) : tape{seed}, machine{tape} {
        machine.put("db/f", filled(4096, 'o'));
        reopen();
    }
    void reopen() {
        db = open_db(machine);
        file = db.open("f", use_old).value();
    }
    [[nodiscard]] std::string seen() const { return picture(machine.contents("db/f"), 512); }
    [[nodiscard]] std::string durable() const {
        return picture(machine.durable_contents("db/f"), 512);
    }
};

constexpr auto io_error = error{.code = errc::io, .os_errno = 5};

TEST_CASE(
    "a sync keeps what was written before it and a durable write keeps itself alone", "[simulation]"
) {
    auto disk = one_file{};
    write(disk.file, 0, filled(512, 'a'));
    REQUIRE(disk.file.sync(sync_how::data).has_value());
    write(disk.file, 512, filled(512, 'b'));
    write(disk.file, 1024, filled(512, 'c'), write_how::durable);
    CHECK(disk.seen() == "abcooooo");
    CHECK(disk.durable() == "aocooooo");
    disk.machine.thaw(crash_policy::none);
    CHECK(disk.seen() == "aocooooo");
}

TEST_CASE("an older write never comes back over a durable one", "[simulation]") {
    auto tape = choice_tape{2};
    auto found = std::set<std::string>{};
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        auto disk = one_file{seed};
        write(disk.file, 512, filled(1536, 'a'));
        write(disk.file, 1024, filled(512, 'b'), write_how::durable);
        disk.machine.thaw(crash_policy::random);
        found.insert(disk.seen().substr(0, 5));
    }
    CHECK(
        found ==
        std::set<std::string>{
            "oobo"
            "o",
            "oabo"
            "o",
            "ooba"
            "o",
            "oaba"
            "o"
        }
    );
}

TEST_CASE("a durable write that extends the file keeps its size", "[simulation]") {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        auto disk = one_file{seed};
        write(disk.file, 4096, filled(512, 'n'), write_how::durable);
        disk.machine.thaw(draw_crash_policy(disk.tape, torn_sectors::possible));
        CHECK(disk.seen() == "oooooooon");
    }
    // Also when a truncation was still pending.
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        auto disk = one_file{seed};
        REQUIRE(disk.file.truncate(1024).has_value());
        write(disk.file, 1024, filled(1024, 'n'), write_how::durable);
        disk.machine.thaw(draw_crash_policy(disk.tape, torn_sectors::possible));
        CHECK(disk.seen() == "oonn");
    }
}

TEST_CASE("a pending truncation takes effect or does not", "[simulation]") {
    auto found = std::set<std::string>{};
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        auto disk = one_file{seed};
        REQUIRE(disk.file.truncate(1024).has_value());
        write(disk.file, 1024, filled(512, 'n'));
        disk.machine.thaw(crash_policy::random);
        found.insert(disk.seen());
    }
    // Truncated or not, grown again or not, with the new bytes or not.
    CHECK(found == std::set<std::string>{"oooooooo", "oonooooo", "oo", "oon", "oo."});
}

TEST_CASE(
    "a crash in the n-th call leaves the earlier ones and a part of this one", "[simulation]"
) {
    auto found = std::set<std::string>{};
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        auto disk = one_file{seed};
        disk.machine.crash_at(2);
        write(disk.file, 0, filled(512, 'a'), write_how::durable);
        CHECK_FALSE(disk.machine.frozen());
        auto const answer = disk.file.write_some(filled(1024, 'b'), 512, write_how::durable);
        CHECK(answer.error().code == errc::device_gone);
        CHECK(disk.machine.frozen());
        disk.machine.thaw(crash_policy::random);
        found.insert(disk.seen().substr(0, 4));
    }
    CHECK(found == std::set<std::string>{"aooo", "aboo", "aobo", "abbo"});
}

TEST_CASE("a crash at a change does not count calls that change nothing", "[simulation]") {
    auto disk = one_file{};
    disk.machine.crash_at_change(2);
    for (int i = 0; i < 5; ++i) REQUIRE(disk.file.size().has_value());
    write(disk.file, 0, filled(512, 'a'));
    for (int i = 0; i < 5; ++i) REQUIRE(disk.file.size().has_value());
    CHECK(disk.machine.changes() == 1);
    CHECK(disk.file.sync(sync_how::data).error().code == errc::device_gone);
}

TEST_CASE("a sync in flight promises nothing", "[simulation]") {
    auto disk = one_file{};
    write(disk.file, 0, filled(512, 'a'));
    disk.machine.crash_at(1);
    CHECK(disk.file.sync(sync_how::data).has_error());
    disk.machine.thaw(crash_policy::none);
    CHECK(disk.seen() == "oooooooo");
}

TEST_CASE("a kill keeps what was written, and power can still take it", "[simulation]") {
    auto disk = one_file{};
    write(disk.file, 0, filled(512, 'a'));
    REQUIRE(disk.db.open("g", make_new).has_value());
    disk.machine.thaw(crash_policy::kill);
    CHECK(disk.seen() == "aooooooo");
    CHECK(disk.machine.exists("db/g"));

    disk.machine.thaw(crash_policy::kill_then_power);
    CHECK(disk.seen() == "aooooooo");
    // The power is lost at one of the first calls of this life, which may be long.
    disk.reopen();
    while (!disk.machine.frozen()) static_cast<void>(disk.file.size());
    disk.machine.thaw(crash_policy::none);
    CHECK(disk.seen() == "oooooooo");
    CHECK_FALSE(disk.machine.exists("db/g"));
}

TEST_CASE("what survived a kill is kept once recovery syncs it", "[simulation]") {
    auto disk = one_file{};
    write(disk.file, 0, filled(512, 'a'));
    disk.machine.thaw(crash_policy::kill);
    disk.reopen();
    REQUIRE(disk.file.sync(sync_how::data).has_value());
    disk.machine.thaw(crash_policy::none);
    CHECK(disk.seen() == "aooooooo");
}

TEST_CASE("a killed call happened, or did not", "[simulation]") {
    auto found = std::set<std::string>{};
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        auto disk = one_file{seed};
        disk.machine.crash_at(1);
        static_cast<void>(disk.file.write_some(filled(8192, 'k'), 0, write_how::cached));
        disk.machine.thaw(crash_policy::kill);
        found.insert(picture(disk.machine.contents("db/f"), 4096));
    }
    CHECK(found == std::set<std::string>{"o", "k.", "kk", "o."});
}

TEST_CASE("the n-th call fails once, or for ever", "[simulation]") {
    auto disk = one_file{};
    disk.machine.fail_call(2, {.code = errc::disk_full, .os_errno = 28});
    CHECK(disk.file.size().has_value());
    CHECK(disk.file.size().error().os_errno == 28);
    CHECK(disk.file.size().has_value());
    CHECK(disk.machine.faults_injected_count() == 1);

    disk.machine.inject({
        .calls = storage_call::read | storage_call::write,
        .name = "f",
        .times = storage_fault::for_ever,
    });
    auto buffer = filled(10, ' ');
    for (int i = 0; i < 3; ++i) {
        CHECK(disk.file.size().has_value());
        CHECK(disk.file.read_some(buffer, 0).error() == io_error);
    }
    auto other = disk.db.open("g", make_new).value();
    CHECK(other.write_some(buffer, 0, write_how::cached).has_value());
    disk.machine.clear_faults();
    CHECK(disk.file.read_some(buffer, 0).has_value());
}

TEST_CASE("after a failed sync the next one lies", "[simulation]") {
    auto const world =
        GENERATE(sync_failure::revert, sync_failure::keep_clean, sync_failure::keep_until_evict);
    auto disk = one_file{};
    disk.machine.options.after_failed_sync = world;
    write(disk.file, 0, filled(512, 'n'));
    disk.machine.inject({.calls = storage_call::sync});
    CHECK(disk.file.sync(sync_how::data).error() == io_error);
    CHECK(disk.seen() == (world == sync_failure::revert ? "oooooooo" : "nooooooo"));
    CHECK(disk.file.sync(sync_how::data).has_value());
    CHECK(disk.durable() == "oooooooo");
    for (int i = 0; i < 500; ++i) static_cast<void>(disk.file.size());
    CHECK(disk.seen() == (world == sync_failure::keep_clean ? "nooooooo" : "oooooooo"));
    // A new write of the same bytes is written, whatever was lost before.
    write(disk.file, 0, filled(256, 'm'));
    REQUIRE(disk.file.sync(sync_how::data).has_value());
    CHECK(picture(disk.machine.durable_contents("db/f"), 256).substr(0, 3) == "moo");
    disk.machine.thaw(crash_policy::all);
    CHECK(picture(disk.machine.contents("db/f"), 256).substr(0, 3) == "moo");
}

TEST_CASE("a failed write leaves old, new or torn sectors as told", "[simulation]") {
    for (auto const left :
         {write_failure::old_bytes, write_failure::mixed, write_failure::garbage}) {
        auto found = std::set<std::string>{};
        for (std::uint64_t seed = 0; seed < 60; ++seed) {
            auto disk = one_file{seed};
            disk.machine.options.after_failed_write = left;
            disk.machine.inject({.calls = storage_call::write});
            CHECK(disk.file.write_some(filled(1024, 'n'), 0, write_how::cached).has_error());
            found.insert(disk.seen().substr(0, 2));
        }
        if (left == write_failure::old_bytes) CHECK(found == std::set<std::string>{"oo"});
        if (left == write_failure::mixed)
            CHECK(found == std::set<std::string>{"oo", "on", "no", "nn"});
        if (left == write_failure::garbage) CHECK(found.size() == 9);
    }
}

TEST_CASE("a lost write says ok, and a misdirected one lands elsewhere", "[simulation]") {
    auto disk = one_file{};
    using effect = storage_fault::effect_type;
    disk.machine.inject({.calls = storage_call::write, .effect = effect::lose});
    write(disk.file, 0, filled(512, 'l'));
    CHECK(disk.seen() == "oooooooo");
    disk.machine.inject(
        {.calls = storage_call::write, .effect = effect::misdirect, .distance = 1024}
    );
    write(disk.file, 0, filled(512, 'm'));
    CHECK(disk.seen() == "oomooooo");
    disk.machine.inject({.calls = storage_call::sync, .effect = effect::lose});
    REQUIRE(disk.file.sync(sync_how::data).has_value());
    CHECK(disk.durable() == "oooooooo");
    disk.machine.inject({.calls = storage_call::sync, .nth = 2, .effect = effect::crash});
    REQUIRE(disk.file.sync(sync_how::data).has_value());
    CHECK(disk.durable() == "oomooooo");
    CHECK(disk.file.sync(sync_how::data).error().code == errc::device_gone);
}

TEST_CASE("a full disk refuses growth and nothing else", "[simulation]") {
    auto disk = one_file{};
    disk.machine.options.quota_bytes = 6000;
    CHECK(disk.db.space().value().free_bytes == 6000 - 4096);
    auto answer = disk.file.write_some(filled(4096, 'n'), 2048, write_how::cached);
    CHECK(answer.value() == 6000 - 2048); // what fits
    answer = disk.file.write_some(filled(10, 'n'), 6000, write_how::cached);
    CHECK(answer.error().code == errc::disk_full);
    CHECK(disk.file.allocate(0, 6001).error().code == errc::disk_full);
    CHECK(disk.file.allocate(0, 6000).has_value());
    write(disk.file, 0, filled(6000, 'm'));
    auto other = disk.db.open("g", make_new).value();
    CHECK(other.write_some(filled(1, 'n'), 0, write_how::cached).error().code == errc::disk_full);
    REQUIRE(disk.file.truncate(10).has_value());
    CHECK(other.write_some(filled(1, 'n'), 0, write_how::cached).has_value());
}

TEST_CASE("a saved disk can be crashed again and again", "[simulation]") {
    auto disk = one_file{};
    auto ring = disk.db.map_ring("jet.ring", 4096, 4096).value();
    ring.ring()[0] = std::byte{'r'};
    write(disk.file, 0, filled(512, 'n'));
    disk.machine.freeze();
    auto const saved = disk.machine.save();
    for (int i = 0; i < 2; ++i) {
        disk.machine.restore(saved);
        CHECK(disk.machine.frozen());
        disk.machine.thaw(crash_policy::none);
        CHECK(disk.seen() == "oooooooo");
        CHECK_FALSE(disk.machine.exists("db/jet.ring"));
        disk.machine.restore(saved);
        disk.machine.thaw(crash_policy::kill);
        CHECK(disk.seen() == "nooooooo");
        CHECK(disk.machine.contents("db/jet.ring")[4096] == std::byte{'r'});
        disk.machine.restore(saved);
        disk.machine.thaw(crash_policy::all);
        CHECK(disk.seen() == "nooooooo");
        CHECK(disk.machine.contents("db/jet.ring")[4096] == std::byte{0});
    }
}

TEST_CASE("a ring may persist like any unsynced write, if told so", "[simulation]") {
    auto found = std::set<std::string>{};
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        auto disk = one_file{seed};
        disk.machine.options.ring_may_persist = true;
        disk.machine.options.atomic_unit = 4096;
        auto ring = disk.db.map_ring("jet.ring", 4096, 4096).value();
        REQUIRE(disk.db.sync().has_value());
        auto file = disk.db.open("jet.ring", use_old).value();
        REQUIRE(file.sync(sync_how::full).has_value());
        ring.header()[0] = std::byte{'h'};
        ring.ring()[0] = std::byte{'r'};
        disk.machine.thaw(crash_policy::random);
        auto const content = disk.machine.contents("db/jet.ring");
        found.insert(picture({content[0], content[4096]}, 1));
    }
    CHECK(found == std::set<std::string>{"..", "h.", ".r", "hr"});
}

TEST_CASE("bytes can be damaged from outside", "[simulation]") {
    auto disk = one_file{};
    disk.machine.corrupt("db/f", 700, std::byte{4});
    CHECK(disk.seen() == "o?oooooo");
    CHECK(disk.durable() == "o?oooooo");
    disk.machine.make_unreadable("db/f", 0, 512);
    auto buffer = filled(10, ' ');
    CHECK(disk.file.read_some(buffer, 500).error() == io_error);
    CHECK(disk.file.read_some(buffer, 512).has_value());
    write(disk.file, 0, filled(512, 'h'));
    CHECK(disk.file.read_some(buffer, 500).has_value());
    disk.machine.resize("db/f", 512);
    CHECK(disk.file.size().value() == 512);
    disk.machine.remove("db/f");
    CHECK(disk.machine.file_names("db").empty());
}

TEST_CASE("a removed file is forgotten once nothing leads to it", "[simulation]") {
    auto disk = one_file{};
    for (int i = 0; i < 1000; ++i) {
        auto file = disk.db.open("t", make_new).value();
        write(file, 0, filled(10, 't'));
        REQUIRE(file.close().has_value());
        REQUIRE(disk.db.remove("t").has_value());
        REQUIRE(disk.db.sync().has_value());
    }
    CHECK(disk.machine.save().nodes().size() < 100);
}

} // namespace jetpp_test::simulated_machine_cases
