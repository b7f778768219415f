#include <jetpp/log/replay.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <ranges>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "../catch.hpp"
#include "log_by_hand.hpp"

namespace jetpp_test::replay_cases {

using namespace jetpp;

static_assert(std::ranges::input_range<replay<memory_environment>>);
static_assert(!std::ranges::forward_range<replay<memory_environment>>);
static_assert(!std::copyable<replay<memory_environment>>);
static_assert(std::movable<replay<memory_environment>>);

// Three segments; hints tell that each commit was durable when the next was built.
hand_log three_segments() {
    auto log = hand_log{};
    log.begin(1, 101);
    log.files[0].commit(log.files[0].insert("a", "alpha"), {});
    log.files[0].append(record::time_mark{.wall = {7}, .durable_hint = log.files[0].tail()});
    log.seal(2, 102, log.files[0].tail());
    log.begin(2, 102);
    auto const t = log.files[1].insert("b", std::string(300, 'b'));
    log.files[1].append(record::pad{.length = 64});
    log.files[1].commit(t, log.files[1].tail());
    log.seal(5, 105, log.files[1].tail()); // a jump, as an attach makes it
    log.begin(5, 105);
    log.files[2].commit(log.files[2].insert("c", "gamma"), log.files[2].tail());
    auto const proven = log.files[2].tail();
    log.files[2].commit(log.files[2].insert("d", "delta"), proven);
    log.files[2].insert("e", "epsilon");
    return log;
}

TEST_CASE("replay follows the chain over a jump of generations", "[log][replay]") {
    auto const log = three_segments();
    auto const got = memory_log{log}.replayed();
    CHECK(got.failure.code == errc::none);
    CHECK(got.records == log.history());
    CHECK(got.end.kind == end_kind::clean);
    CHECK(got.end.end == log.files[2].tail());
    CHECK(got.end.raw_end == log.files[2].tail());
    CHECK(got.end.last->generation == 5);
    CHECK(got.end.next_generation == 6);
    CHECK_FALSE(got.end.sealed);
    CHECK_FALSE(got.end.replaceable);
    CHECK(got.end.highest_hint == log.files[2].records[4].hint);
}

TEST_CASE("replay begins at any record and ends before any other", "[log][replay]") {
    auto const log = three_segments();
    auto disk = memory_log{log};
    auto const all = log.history();
    for (std::size_t from = 0; from < all.size(); ++from)
        for (std::size_t to = from + 1; to < all.size(); ++to) {
            CAPTURE(from, to);
            auto const got = disk.replayed({.from = all[from].at, .up_to = all[to].at});
            CHECK(got.failure.code == errc::none);
            CHECK(got.end.kind == end_kind::clean);
            CHECK(got.end.end == all[to].at);
            CHECK(
                got.records == std::vector(
                                   all.begin() + static_cast<std::ptrdiff_t>(from),
                                   all.begin() + static_cast<std::ptrdiff_t>(to)
                               )
            );
        }
}

TEST_CASE("a window smaller than the segment slides over its records", "[log][replay]") {
    auto log = hand_log{};
    log.begin(1, 101);
    auto random = std::mt19937_64{3};
    while (log.files[0].used < hand_segment - 20000)
        log.files[0].insert("key", std::string(random() % 9000, 'x'));
    auto const got = memory_log{log}.replayed();
    CHECK(got.records == log.history());
    CHECK(got.end.kind == end_kind::clean);
}

TEST_CASE("a filter leaves out records but not their checks", "[log][replay]") {
    auto log = three_segments();
    auto disk = memory_log{log};
    auto const rows = disk.replayed({.filter = record_filter{}.types<record::insert>()});
    CHECK(rows.records.size() == 5);
    CHECK(rows.end.end == log.files[2].tail());
    log.files[1].content[log.files[1].records[2].at.value % hand_segment + 30] ^= std::byte{1};
    auto const refused =
        memory_log{log}.replayed({.filter = record_filter{}.types<record::insert>()});
    CHECK(refused.failure.code == errc::log_corrupt);
    CHECK(refused.records.size() == 2);
}

TEST_CASE("a position that was promised and cannot be reached is damage", "[log][replay]") {
    auto const log = three_segments();
    auto const got = memory_log{log}.replayed({.up_to = log.files[2].tail() + 8});
    CHECK(got.failure.code == errc::log_corrupt);
    CHECK(got.records == log.history());

    auto sealed = log;
    sealed.seal(6, 106);
    auto const next = first_lsn(6, hand_segment);
    CHECK(memory_log{sealed}.replayed({.up_to = next}).end.kind == end_kind::clean);
    auto const beyond = memory_log{sealed}.replayed({.up_to = next + 8});
    CHECK(beyond.failure.code == errc::log_missing);
}

TEST_CASE("a log closed by segment_end ends at the LSN it names", "[log][replay]") {
    auto log = three_segments();
    log.seal(6, 106);
    auto const check = [&](told const& got) {
        CHECK(got.failure.code == errc::none);
        CHECK(got.end.kind == end_kind::clean);
        CHECK(got.end.end == first_lsn(6, hand_segment));
        CHECK(got.end.raw_end == log.files[2].tail());
        CHECK(got.end.last->generation == 5);
        CHECK(got.end.sealed);
        CHECK(got.end.next_generation == 6);
        CHECK(got.end.next_nonce == 106);
    };
    SECTION("the named file is absent") {
        auto disk = memory_log{log};
        check(disk.replayed());
        check(disk.replayed({.from = first_lsn(6, hand_segment)}));
        CHECK(disk.replayed({.from = first_lsn(6, hand_segment)}).records.empty());
    }
    SECTION("the named file is prepared") {
        auto prepared = log;
        prepared.prepare(6, 106);
        auto disk = memory_log{prepared};
        auto const got = disk.replayed();
        check(got);
        CHECK(got.end.unused->generation == 6);
        check(disk.replayed({.from = first_lsn(6, hand_segment)}));
    }
    SECTION("the named file is an older preparation, or no segment at all") {
        auto other = log;
        other.prepare(6, 999);
        check(memory_log{other}.replayed());
        other.files.back().content[100] ^= std::byte{1};
        check(memory_log{other}.replayed());
        other.files.back().content.resize(100);
        check(memory_log{other}.replayed());
        other.files.back().content = log.files[1].content; // named before its header was written
        check(memory_log{other}.replayed());
    }
    SECTION("a sealed segment may be cut behind its end") {
        auto shorter = log;
        shorter.files[2].content.resize(round_up(shorter.files[2].used, 4096));
        check(memory_log{shorter}.replayed());
    }
}

TEST_CASE("a cut overrules whatever stands behind it", "[log][replay]") {
    auto log = three_segments();
    auto const cut = log.files[2].records[3].at; // before "d"
    auto expected = log;
    expected.files[2].records.resize(3);
    SECTION("behind a torn tail") {}
    SECTION("behind a segment_end") {
        log.seal(6, 106);
    }
    log.begin_cut(6, 206, cut).insert("f", "phi");
    auto const& tail = log.files[3];
    auto all = expected.history();
    all.insert(all.end(), tail.records.begin(), tail.records.end());
    auto const got = memory_log{log}.replayed();
    CHECK(got.failure.code == errc::none);
    CHECK(got.records == all);
    CHECK(got.end.end == tail.tail());
    CHECK(got.end.last->cut == cut);

    SECTION("even while the cutting segment is empty") {
        log.files[3].content = raw(hand_segment);
        log.files[3].write_header();
        auto const empty = memory_log{log}.replayed();
        CHECK(empty.failure.code == errc::none);
        CHECK(empty.records == expected.history());
        CHECK(empty.end.end == first_lsn(6, hand_segment));
        CHECK(empty.end.raw_end == cut);
        CHECK(empty.end.last->generation == 5);
        CHECK(empty.end.unused->nonce == 206);
        CHECK(empty.end.next_generation == 6);
        CHECK(empty.end.next_nonce == 0);
    }
    SECTION("but all before it must be there") {
        log.files[2].content[log.files[2].records[1].at.value % hand_segment + 26] ^= std::byte{4};
        auto const damaged = memory_log{log}.replayed();
        CHECK(damaged.failure.code == errc::log_corrupt);
        CHECK(damaged.failure.at == log.files[2].records[1].at);
    }
    SECTION("a cut inside a record is damage") {
        log.files[3].header.cut = cut + 8;
        log.files[3].write_header();
        CHECK(memory_log{log}.replayed().failure.code == errc::log_corrupt);
    }
    SECTION("a cut behind the segment_end follows it") {
        auto closed = three_segments();
        closed.seal(6, 106);
        auto const end = closed.files[2].tail();
        closed.begin_cut(6, 206, end);
        CHECK(memory_log{closed}.replayed().records == closed.history());
        closed.files[3].header.cut = segment_limit(5, hand_segment);
        closed.files[3].write_header();
        CHECK(memory_log{closed}.replayed().records == closed.history());
    }
}

TEST_CASE("a segment of nothing but recovery's first records is replaceable", "[log][replay]") {
    auto log = three_segments();
    log.begin_cut(6, 206, log.files[2].tail());
    CHECK(memory_log{log}.replayed().end.replaceable);
    log.files[3].append(record::recovery_begin{});
    CHECK(memory_log{log}.replayed().end.replaceable);
    log.files[3].append(record::recovery_end{});
    CHECK_FALSE(memory_log{log}.replayed().end.replaceable);
}

TEST_CASE("prepared segments and files ahead of their header are not the log", "[log][replay]") {
    auto log = three_segments();
    auto const history = log.history();
    auto const end = log.files[2].tail();
    log.prepare(6, 106);
    log.prepare(7, 107);
    log.prepare(8, 108);
    log.files[5].content = log.files[0].content; // a spare under its last name
    auto disk = memory_log{log};
    hand_log::put_file(disk.directory, spare_file_name(3), log.files[1].content);
    auto const got = disk.replayed();
    CHECK(got.failure.code == errc::none);
    CHECK(got.records == history);
    CHECK(got.end.end == end);
    CHECK(got.end.next_generation == 6);
}

TEST_CASE("bytes of a former life of the file never read as records", "[log][replay]") {
    auto log = hand_log{};
    log.begin(3, 103);
    auto old_life = log.files[0];
    for (int i = 0; i < 20; ++i) old_life.insert("old", "value");
    old_life.header.nonce = 999;
    auto again = hand_file{};
    again.header = old_life.header;
    again.append(record::attach_list{});
    for (int i = 0; i < 20; ++i) again.commit(again.insert("old", "value"), again.tail());
    // Same sizes, same LSNs: only the nonce tells them apart.
    log.files[0].insert("new", "value");
    auto const used = log.files[0].used;
    std::copy(
        again.content.begin() + static_cast<std::ptrdiff_t>(used),
        again.content.end(),
        log.files[0].content.begin() + static_cast<std::ptrdiff_t>(used)
    );
    auto const got = memory_log{log}.replayed();
    CHECK(got.failure.code == errc::none);
    CHECK(got.records == log.history());
    CHECK(got.end.kind == end_kind::torn_tail);
}

TEST_CASE("what is missing from the chain is named", "[log][replay]") {
    auto const log = three_segments();
    SECTION("the directory is empty") {
        CHECK(memory_log{hand_log{}}.replayed().failure.code == errc::log_missing);
    }
    SECTION("the segment that holds the start") {
        auto short_log = log;
        short_log.files.erase(short_log.files.begin());
        auto const got = memory_log{short_log}.replayed({.from = log.files[0].records[1].at});
        CHECK(got.failure.code == errc::log_missing);
    }
    SECTION("a hole in the middle") {
        auto short_log = log;
        short_log.files.erase(short_log.files.begin() + 1);
        auto const got = memory_log{short_log}.replayed();
        CHECK(got.records == log.files[0].records);
        CHECK(got.failure.code == errc::log_missing);
        CHECK(got.failure.at == first_lsn(2, hand_segment));
        auto const accepted = memory_log{short_log}.replayed({.accept_lost_tail = true});
        CHECK(accepted.failure.code == errc::none);
        CHECK(accepted.end.overruled);
        CHECK(accepted.end.problem.code == errc::log_missing);
        CHECK(accepted.end.end == first_lsn(2, hand_segment));
    }
    SECTION("the last segment, which the checkpoint names") {
        auto short_log = log;
        short_log.files.pop_back();
        CHECK(memory_log{short_log}.replayed().failure.code == errc::none);
        auto const proofs = log_proofs{
            .slot_end = log.files[2].records[1].at, .slot_generation = 5, .slot_nonce = 105
        };
        CHECK(memory_log{short_log}.replayed({.proofs = proofs}).failure.code == errc::log_missing);
        CHECK(memory_log{log}.replayed({.proofs = proofs}).failure.code == errc::none);
    }
}

TEST_CASE("segments of another instance or size stop the replay", "[log][replay]") {
    auto log = three_segments();
    SECTION("another instance") {
        log.files[1].header.instance = make_uuid(8, 9);
        log.files[1].write_header();
        CHECK(memory_log{log}.replayed().failure.code == errc::log_foreign);
    }
    SECTION("all of another instance than was asked for") {
        auto const got = memory_log{log}.replayed({.instance = make_uuid(8, 9)});
        CHECK(got.failure.code == errc::log_foreign);
    }
    SECTION("another segment size than was asked for") {
        auto const got = memory_log{log}.replayed({.segment_bytes = 2 * hand_segment});
        CHECK(got.failure.code == errc::segment_size_mismatch);
    }
    SECTION("a format of the future") {
        store_le<std::uint16_t>(log.files[0].content.data() + 20, 2);
        CHECK(memory_log{log}.replayed().failure.code == errc::unsupported_format);
    }
    SECTION("a timeline that no cut explains") {
        log.files[1].header.timeline = {6};
        log.files[1].write_header();
        CHECK(memory_log{log}.replayed().failure.code == errc::log_corrupt);
    }
}

TEST_CASE("an unknown critical record stops replay, an ignorable one does not", "[log][replay]") {
    auto log = hand_log{};
    auto& file = log.begin(1, 101);
    auto const add_strange = [&](std::uint8_t type) {
        auto const at = file.tail();
        auto made = spell(record::rollback{}, 101, at);
        made[8] = static_cast<std::byte>(type);
        store_le<std::uint32_t>(made.data() + 4, record_crc(101, at, made));
        std::copy(
            made.begin(), made.end(), file.content.begin() + static_cast<std::ptrdiff_t>(file.used)
        );
        file.used += made.size();
        file.records.push_back({at, made, {}});
    };
    add_strange(0xF0);
    file.insert("a", "b");
    CHECK(memory_log{log}.replayed().records == log.history());
    add_strange(0x70);
    auto const got = memory_log{log}.replayed();
    CHECK(got.failure.code == errc::unsupported_record);
    CHECK(got.failure.at == file.records.back().at);
    CHECK(got.records.size() == 3);
}

} // namespace jetpp_test::replay_cases
