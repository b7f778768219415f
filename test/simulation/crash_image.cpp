#include <jetpp/simulation/crash_image.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "disk.hpp"

namespace jetpp_test::crash_image_cases {

// A file of four durable sectors "aaaa" and, not synced, in this order: sector 1 becomes b, the
// file grows to six sectors, which become c; sector 1 becomes d.
struct small_disk {
    choice_tape tape{1};
    simulated_machine machine{tape};

    small_disk() {
        machine.put("db/f", filled(4 * 512, 'a'));
        auto db = open_db(machine);
        auto file = db.open("f", use_old).value();
        write(file, 512, filled(512, 'b'));
        write(file, 4 * 512, filled(2 * 512, 'c'));
        write(file, 512, filled(512, 'd'));
    }
    [[nodiscard]] std::string seen() const { return picture(machine.contents("db/f"), 512); }
};

// What a policy can leave of the small disk, over many draws.
std::set<std::string> outcomes(crash_policy policy, int draws = 400) {
    auto disk = small_disk{};
    auto const saved = disk.machine.save();
    auto found = std::set<std::string>{};
    for (int i = 0; i < draws; ++i) {
        disk.machine.restore(saved);
        disk.machine.thaw(policy);
        found.insert(disk.seen());
    }
    return found;
}

using pictures = std::set<std::string>;

TEST_CASE(
    "the units of a crash are sectors, sizes and names in the order of their calls", "[simulation]"
) {
    auto disk = small_disk{};
    CHECK(disk.seen() == "adaacc");
    auto const units = disk.machine.crash_units();
    REQUIRE(units.size() == 5);
    using kind = crash_unit::kind_type;
    CHECK((units[0].kind == kind::sector && units[0].offset == 512 && units[0].length == 512));
    CHECK((units[1].kind == kind::size && units[1].offset == 2048 && units[1].length == 3072));
    CHECK((units[2].kind == kind::sector && units[2].offset == 2048));
    CHECK((units[3].kind == kind::sector && units[3].offset == 2560));
    CHECK((units[4].kind == kind::sector && units[4].offset == 512));
    for (auto const& unit : units) CHECK_FALSE(unit.in_flight);
}

TEST_CASE("every subset of unsynced units can be what a crash leaves", "[simulation]") {
    auto disk = small_disk{};
    auto const saved = disk.machine.save();
    auto found = pictures{};
    for (unsigned subset = 0; subset < 32; ++subset) {
        disk.machine.restore(saved);
        auto index = 0u;
        disk.machine.thaw_keeping([&](crash_unit const&) { return (subset >> index++ & 1u) != 0; });
        auto const size = disk.machine.contents("db/f").size();
        CHECK(size == ((subset & 2u) != 0 ? 3072u : 2048u));
        found.insert(disk.seen());
    }
    // 3 faces of sector 1, times (short file, or 4 ways of the new sectors).
    CHECK(found.size() == 15);
    CHECK(found.contains("aaaa"));
    CHECK(found.contains("adaacc"));
    CHECK(found.contains("abaa.c"));
}

TEST_CASE("policy none keeps nothing and policy all keeps everything", "[simulation]") {
    CHECK(outcomes(crash_policy::none, 5) == pictures{"aaaa"});
    CHECK(outcomes(crash_policy::all, 5) == pictures{"adaacc"});
}

TEST_CASE("policy prefix keeps the first calls only", "[simulation]") {
    CHECK(
        outcomes(crash_policy::prefix) ==
        pictures{"aaaa", "abaa", "abaa..", "abaac.", "abaacc", "adaacc"}
    );
}

TEST_CASE("policy newest_first loses the oldest calls", "[simulation]") {
    CHECK(outcomes(crash_policy::newest_first) == pictures{"aaaa", "adaa", "adaacc"});
}

TEST_CASE("policy all_but_one loses one unit", "[simulation]") {
    CHECK(
        outcomes(crash_policy::all_but_one) ==
        pictures{"adaacc", "adaa", "adaa.c", "adaac.", "abaacc"}
    );
}

TEST_CASE("policy only_one keeps one unit", "[simulation]") {
    CHECK(outcomes(crash_policy::only_one) == pictures{"abaa", "aaaa..", "aaaa", "adaa"});
}

TEST_CASE("policy random reaches every subset", "[simulation]") {
    CHECK(outcomes(crash_policy::random, 1000).size() == 15);
}

TEST_CASE("policies tell sizes from data", "[simulation]") {
    CHECK(outcomes(crash_policy::size_before_data, 5) == pictures{"aaaa.."});
    CHECK(outcomes(crash_policy::data_before_size, 5) == pictures{"adaa"});
}

TEST_CASE("policy per_file_random loses whole files and keeps others", "[simulation]") {
    auto tape = choice_tape{3};
    auto found = std::set<std::string>{};
    for (int i = 0; i < 300; ++i) {
        auto machine = simulated_machine{tape};
        machine.put("db/f", filled(1024, 'a'));
        machine.put("db/g", filled(1024, 'a'));
        auto db = open_db(machine);
        auto f = db.open("f", use_old).value();
        auto g = db.open("g", use_old).value();
        write(f, 0, filled(1024, 'b'));
        write(g, 0, filled(1024, 'b'));
        machine.thaw(crash_policy::per_file_random);
        found.insert(
            picture(machine.contents("db/f"), 512) + picture(machine.contents("db/g"), 512)
        );
    }
    CHECK(found.contains("aabb"));
    CHECK(found.contains("bbaa"));
    CHECK(found.contains("bbbb"));
    CHECK(found.contains("aaaa"));
    CHECK(found.contains("babb"));
    CHECK(found.size() == 16);
}

TEST_CASE("names and what they name are lost apart", "[simulation]") {
    auto tape = choice_tape{4};
    for (auto const policy : {crash_policy::names_first, crash_policy::names_last}) {
        auto machine = simulated_machine{tape};
        machine.put("db/other", filled(1, 'o'));
        auto db = open_db(machine);
        auto file = db.open("new.tmp", make_new).value();
        write(file, 0, filled(512, 'x'));
        REQUIRE(db.rename("new.tmp", "new", rename_how::replace).has_value());
        machine.thaw(policy);
        if (policy == crash_policy::names_first) {
            CHECK(machine.file_names("db") == std::vector<std::string>{"new", "other"});
            CHECK(machine.contents("db/new").empty());
        } else {
            CHECK(machine.file_names("db") == std::vector<std::string>{"other"});
        }
    }
}

TEST_CASE("a synced file without a synced name is gone", "[simulation]") {
    auto tape = choice_tape{4};
    auto machine = simulated_machine{tape};
    {
        auto db = open_db(machine);
        auto file = db.open("f", make_new).value();
        write(file, 0, filled(512, 'x'));
        REQUIRE(file.sync(sync_how::full).has_value());
    }
    machine.thaw(crash_policy::none);
    CHECK_FALSE(machine.exists("db/f"));
    CHECK(machine.exists("db"));
}

TEST_CASE("a synced rename of an unsynced file is an empty file", "[simulation]") {
    auto tape = choice_tape{4};
    auto machine = simulated_machine{tape};
    machine.put("db/f", filled(512, 'o'));
    auto db = open_db(machine);
    auto file = db.open("f.tmp", make_new).value();
    write(file, 0, filled(512, 'n'));
    REQUIRE(db.rename("f.tmp", "f", rename_how::replace).has_value());
    REQUIRE(db.sync().has_value());
    machine.thaw(crash_policy::none);
    CHECK(machine.file_names("db") == std::vector<std::string>{"f"});
    CHECK(machine.contents("db/f").empty());
}

TEST_CASE("an unsynced rename leaves the old file or the new one, never none", "[simulation]") {
    auto tape = choice_tape{5};
    auto found = std::set<std::string>{};
    for (int i = 0; i < 200; ++i) {
        auto machine = simulated_machine{tape};
        machine.put("db/f", filled(1, 'o'));
        auto db = open_db(machine);
        auto file = db.open("f.tmp", make_new).value();
        write(file, 0, filled(1, 'n'));
        REQUIRE(file.sync(sync_how::data).has_value());
        REQUIRE(db.rename("f.tmp", "f", rename_how::replace).has_value());
        machine.thaw(crash_policy::random);
        auto shown = picture(machine.contents("db/f"), 1);
        if (machine.exists("db/f.tmp")) shown += picture(machine.contents("db/f.tmp"), 1);
        found.insert(shown);
    }
    // Old; old beside the temporary name; new.
    CHECK(found == pictures{"o", "on", "n"});
}

TEST_CASE("a rename or creation in flight happened or did not", "[simulation]") {
    for (auto const policy : {crash_policy::random, crash_policy::kill}) {
        auto found = std::set<std::string>{};
        for (std::uint64_t seed = 0; seed < 100; ++seed) {
            auto tape = choice_tape{seed};
            auto machine = simulated_machine{tape};
            machine.put("db/f", filled(1, 'o'));
            machine.put("db/n", filled(1, 'n'));
            auto db = open_db(machine);
            machine.crash_at(1);
            auto const creates = seed % 2 == 0;
            if (creates)
                CHECK(db.open("new", make_new).error().code == errc::device_gone);
            else
                CHECK(db.rename("n", "f", rename_how::replace).error().code == errc::device_gone);
            machine.thaw(policy);
            auto names = std::string{};
            for (auto const& name : machine.file_names("db")) names += name + ' ';
            found.insert(names + picture(machine.contents("db/f"), 1));
        }
        CHECK(found == pictures{"f n o", "f n new o", "f n"});
    }
}

TEST_CASE("an unsynced removal can be undone by a crash", "[simulation]") {
    auto tape = choice_tape{5};
    auto machine = simulated_machine{tape};
    machine.put("db/f", filled(3, 'o'));
    auto db = open_db(machine);
    REQUIRE(db.remove("f").has_value());
    CHECK_FALSE(machine.exists("db/f"));
    auto const saved = machine.save();
    machine.thaw(crash_policy::none);
    CHECK(picture(machine.contents("db/f"), 3) == "o");
    machine.restore(saved);
    machine.thaw(crash_policy::all);
    CHECK_FALSE(machine.exists("db/f"));
}

TEST_CASE("sectors of 4096 bytes are kept or lost as a whole", "[simulation]") {
    auto tape = choice_tape{6};
    auto found = std::set<std::string>{};
    for (int i = 0; i < 100; ++i) {
        auto machine = simulated_machine{tape, {.atomic_unit = 4096}};
        machine.put("db/f", filled(8192, 'a'));
        auto db = open_db(machine);
        auto file = db.open("f", use_old).value();
        write(file, 2048, filled(4096, 'b'));
        machine.thaw(crash_policy::random);
        found.insert(picture(machine.contents("db/f"), 2048));
    }
    CHECK(found == pictures{"aaaa", "abaa", "aaba", "abba"});
}

TEST_CASE("a torn sector of a write in flight is neither old nor new", "[simulation]") {
    auto tape = choice_tape{6};
    auto torn = 0;
    for (int i = 0; i < 50; ++i) {
        auto machine = simulated_machine{tape};
        machine.put("db/f", filled(2048, 'a'));
        auto db = open_db(machine);
        auto file = db.open("f", use_old).value();
        write(file, 0, filled(512, 'b'));
        machine.crash_at(1);
        auto const answer = file.write_some(filled(1024, 'c'), 1024, write_how::durable);
        REQUIRE(answer.has_error());
        CHECK(answer.error().code == errc::device_gone);
        machine.thaw(crash_policy::garbage_in_flight);
        auto const shown = picture(machine.contents("db/f"), 512);
        // The call that had returned keeps whole sectors.
        CHECK((shown.starts_with("aa") || shown.starts_with("ba")));
        torn += shown.find('?', 2) != shown.npos ? 1 : 0;
    }
    CHECK(torn == 50);
}

} // namespace jetpp_test::crash_image_cases
