#include <jetpp/log/end_of_log.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "../catch.hpp"
#include "log_by_hand.hpp"

namespace jetpp_test::end_of_log_cases {

using namespace jetpp;

// Two sealed segments and a last one with hints, a commit built while the one before was durable.
hand_log small_log() {
    auto log = hand_log{};
    log.begin(1, 101);
    log.files[0].commit(log.files[0].insert("a", "alpha"), {});
    log.seal(2, 102, log.files[0].tail());
    log.begin(2, 102);
    log.files[1].commit(log.files[1].insert("b", "beta"), log.files[1].records[0].at);
    log.seal(3, 103, log.files[1].tail());
    log.begin(3, 103);
    auto& last = log.files[2];
    last.commit(last.insert("c", "gamma"), last.tail());
    auto const proven = last.tail();
    last.insert("d", "delta");
    last.append(record::time_mark{.durable_hint = proven});
    last.insert("e", "epsilon");
    last.insert("f", "phi");
    return log;
}

// Does a whole record behind `lost_end` prove that the one at index `broken` had been durable?
bool is_proven_damage(hand_file const& last, std::size_t broken, std::size_t lost_end = 0) {
    auto const end = last.records[broken].at;
    return std::any_of(
        last.records.begin() + static_cast<std::ptrdiff_t>(broken) + 1,
        last.records.end(),
        [&](hand_record const& later) {
            return later.at.value % hand_segment >= lost_end && later.hint > end;
        }
    );
}

bool is_prefix(std::vector<hand_record> const& part, std::vector<hand_record> const& whole) {
    return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

std::size_t index_at(hand_file const& file, std::size_t offset) {
    for (std::size_t i = 0; i < file.records.size(); ++i) {
        auto const begin = file.records[i].at.value % hand_segment;
        if (offset >= begin && offset < begin + file.records[i].content.size()) return i;
    }
    return file.records.size();
}

TEST_CASE("a flipped bit ends replay before it, as damage if anything proves it", "[log][end]") {
    auto const log = small_log();
    auto const history = log.history();
    auto const seed = std::uint64_t{11};
    auto random = std::mt19937_64{seed};
    auto disk = memory_log{log};
    for (std::size_t f = 0; f < log.files.size(); ++f) {
        auto const& file = log.files[f];
        auto const name = segment_file_name(file.header.generation);
        auto const is_last = f + 1 == log.files.size();
        auto handle = disk.directory.open(name, {}).value();
        for (std::size_t at = 0; at < file.used + 64; ++at) {
            auto const bit = std::byte{1} << (random() % 8);
            CAPTURE(f, at, std::to_integer<int>(bit));
            auto flipped = file.content[at] ^ bit;
            REQUIRE(write_full(handle, {&flipped, 1}, at));
            auto const got = disk.replayed();
            REQUIRE(is_prefix(got.records, history));
            if (at < segment_header_bytes) {
                auto const of_the_major_version = at == 20 || at == 21;
                auto const expected =
                    of_the_major_version ? errc::unsupported_format : errc::log_corrupt;
                REQUIRE(got.failure.code == expected);
                REQUIRE(got.records.size() <= history.size() - file.records.size());
            } else if (at < file.used) {
                auto const broken = index_at(file, at);
                REQUIRE(got.end.end == file.records[broken].at);
                auto before = std::size_t{broken};
                for (std::size_t i = 0; i < f; ++i) before += log.files[i].records.size();
                REQUIRE(got.records.size() == before);
                auto const damaged = !is_last || is_proven_damage(file, broken);
                REQUIRE(got.failure.code == (damaged ? errc::log_corrupt : errc::none));
                if (!damaged && is_last) REQUIRE(got.end.kind == end_kind::torn_tail);
            } else {
                REQUIRE(got.failure.code == errc::none);
                REQUIRE(got.records == history);
                REQUIRE((got.end.kind == end_kind::torn_tail) == (is_last && at < file.used + 24));
            }
            REQUIRE(write_full(handle, {&file.content[at], 1}, at));
        }
    }
}

TEST_CASE("a segment cut short anywhere is damage unless it is sealed before", "[log][end]") {
    auto const log = small_log();
    auto const history = log.history();
    for (std::size_t f = 0; f < log.files.size(); ++f) {
        auto disk = memory_log{log};
        auto const& file = log.files[f];
        auto handle = disk.directory.open(segment_file_name(file.header.generation), {}).value();
        auto const is_last = f + 1 == log.files.size();
        for (auto size = file.used + 200; size-- > 0;) {
            CAPTURE(f, size);
            REQUIRE(handle.truncate(size));
            auto const got = disk.replayed();
            REQUIRE(is_prefix(got.records, history));
            if (!is_last && size >= file.used) {
                REQUIRE(got.failure.code == errc::none);
                REQUIRE(got.records == history);
                continue;
            }
            if (is_last && size < segment_header_bytes + 32) {
                // Without its first record it is no part of the log: only other files prove it.
                REQUIRE((got.failure.code == errc::log_corrupt || got.end.sealed));
                continue;
            }
            // Not even the header is left: a hole in the chain.
            auto const hole = f != 0 && size < segment_header_bytes;
            REQUIRE(got.failure.code == (hole ? errc::log_missing : errc::log_corrupt));
        }
    }
}

TEST_CASE("a tail lost from any position on is torn, unless a hint survived", "[log][end]") {
    auto const log = small_log();
    auto const history = log.history();
    auto const& last = log.files[2];
    auto const earlier = history.size() - last.records.size();
    auto disk = memory_log{log};
    auto handle = disk.directory.open(segment_file_name(3), {}).value();
    auto const zeroes = raw(hand_segment);
    for (auto from = last.used; from-- > segment_header_bytes;) {
        CAPTURE(from);
        REQUIRE(write_full(handle, const_bytes{zeroes}.first(last.used - from), from));
        auto const got = disk.replayed();
        REQUIRE(got.failure.code == errc::none);
        // Padding is zero already: what counts is the first byte that really changed.
        auto first_lost = from;
        while (last.content[first_lost] == std::byte{0}) ++first_lost;
        auto const whole = index_at(last, first_lost);
        REQUIRE(got.records.size() == earlier + whole);
        REQUIRE(is_prefix(got.records, history));
        REQUIRE(got.end.end == last.records[whole].at);
        auto const begin = last.records[whole].at.value % hand_segment;
        REQUIRE((got.end.kind == end_kind::clean) == (from <= begin));
    }
    // The segment is empty now.
    auto const empty = disk.replayed();
    CHECK(empty.end.unused->generation == 3);
    CHECK(empty.end.last->generation == 2);
    CHECK(empty.end.raw_end == log.files[1].tail());
    CHECK(empty.end.next_generation == 3);
    CHECK(empty.end.next_nonce == 103);
}

// A second close after a restore prepared a recycled segment, and `verify` called the whole log torn.
TEST_CASE(
    "a recycled segment behind the end that the slot names holds no torn tail", "[log][end]"
) {
    auto const log = small_log();
    auto disk = memory_log{log};
    auto handle = disk.directory.open(segment_file_name(3), {}).value();
    auto former_life = raw(hand_segment - segment_header_bytes);
    for (auto& one : former_life) one = std::byte{0xa5};
    REQUIRE(write_full(handle, const_bytes{former_life}, segment_header_bytes));
    auto const unknown = disk.replayed();
    CHECK(unknown.failure.code == errc::none);
    CHECK(unknown.end.kind == end_kind::torn_tail);
    auto const named = disk.replayed({.proofs = {.slot_end = {3 * hand_segment + 4096}}});
    CHECK(named.failure.code == errc::none);
    CHECK(named.end.kind == end_kind::clean);
    CHECK(named.end.end == unknown.end.end);
}

TEST_CASE("sectors lost out of order are damage only where a hint proves it", "[log][end]") {
    auto log = hand_log{};
    auto& file = log.begin(1, 101);
    for (int i = 0; i < 60; ++i) {
        auto const t = file.insert("key", std::string(100, static_cast<char>('a' + i % 26)));
        // Durable up to a group of ten ago.
        auto const group = file.records.size() / 20 * 20;
        file.commit(t, group == 0 ? no_lsn : file.records[group - 1].at);
    }
    auto const history = log.history();
    auto disk = memory_log{log};
    auto handle = disk.directory.open(segment_file_name(1), {}).value();
    auto const zeroes = raw(512);
    for (std::size_t sector = segment_header_bytes; sector < file.used; sector += 512) {
        CAPTURE(sector);
        REQUIRE(write_full(handle, zeroes, sector));
        auto const got = disk.replayed();
        auto const broken = index_at(file, sector);
        REQUIRE(got.records.size() == broken);
        REQUIRE(is_prefix(got.records, history));
        auto const damaged = is_proven_damage(file, broken, sector + 512);
        REQUIRE(got.failure.code == (damaged ? errc::log_corrupt : errc::none));
        REQUIRE(write_full(handle, const_bytes{file.content}.subspan(sector, 512), sector));
    }
}

TEST_CASE("a mark of an idle log proves all that stands before it", "[log][end]") {
    auto log = hand_log{};
    auto& file = log.begin(1, 101);
    auto const row = file.insert("a", "alpha");
    file.append(record::time_mark{.durable_hint = file.tail()});
    REQUIRE(file.records.back().hint == file.records.back().at);
    auto torn = log;
    torn.files[0].content[row.value % hand_segment + 40] ^= std::byte{1};
    auto const got = memory_log{torn}.replayed();
    CHECK(got.failure.code == errc::log_corrupt);
    CHECK(got.failure.at == row);
}

TEST_CASE("slot, databases and stamps prove a lost tail", "[log][end]") {
    auto const log = small_log();
    auto const end = log.files[2].tail();
    auto disk = memory_log{log};
    auto const with = [&](log_proofs proofs, bool accept = false) {
        return disk.replayed({.accept_lost_tail = accept, .proofs = proofs});
    };
    CHECK(with({.slot_end = end}).failure.code == errc::none);
    CHECK(with({.slot_end = end + 8}).failure.code == errc::log_corrupt);
    CHECK(with({.stamped_end = end}).failure.code == errc::none);
    CHECK(with({.stamped_end = end + 8}).failure.code == errc::log_tail_lost);
    // The stamp of a set that ends where this segment begins would be in it.
    CHECK(with({.stamped_end = {3 * hand_segment}}).failure.code == errc::none);
    CHECK(with({.stamped_end = {4 * hand_segment}}).failure.code == errc::log_tail_lost);
    auto const limit = segment_limit(3, hand_segment);
    CHECK(with({.max_required = limit}).failure.code == errc::none);
    CHECK(with({.max_required = limit + 1}).failure.code == errc::log_tail_lost);
    auto const accepted = with({.slot_end = end + 8}, true);
    CHECK(accepted.failure.code == errc::none);
    CHECK(accepted.end.overruled);
    CHECK(accepted.end.kind == end_kind::torn_tail);
    CHECK(accepted.end.problem.code == errc::log_corrupt);
    CHECK(accepted.end.end == end);

    CHECK(check_end(end, hand_segment, {}));
    CHECK(check_end(end, hand_segment, {.max_required = limit}));
    CHECK_FALSE(check_end(end, hand_segment, {.max_required = limit + 1}));
}

TEST_CASE("a record in a later segment proves that this one was complete", "[log][end]") {
    auto log = small_log();
    // The segment_end of the second segment is lost, the third has records.
    auto& middle = log.files[1];
    auto const end = middle.records.back().at;
    std::fill(
        middle.content.begin() + static_cast<std::ptrdiff_t>(end.value % hand_segment),
        middle.content.end(),
        std::byte{0}
    );
    auto const got = memory_log{log}.replayed();
    CHECK(got.failure.code == errc::log_corrupt);
    CHECK(got.failure.at == end);
    auto const accepted = memory_log{log}.replayed({.accept_lost_tail = true});
    CHECK(accepted.end.end == end);
    CHECK(accepted.end.next_generation == 3);

    // A header alone proves nothing: it is prepared early.
    log.files[2].content = raw(hand_segment);
    log.files[2].write_header();
    auto const torn = memory_log{log}.replayed();
    CHECK(torn.failure.code == errc::none);
    CHECK(torn.end.end == end);
}

TEST_CASE("a damaged header over live records is corruption, not an absent segment", "[log][end]") {
    auto log = small_log();
    log.files[2].content[300] ^= std::byte{1};
    auto const got = memory_log{log}.replayed();
    CHECK(got.failure.code == errc::log_corrupt);
    CHECK(got.failure.at == first_lsn(3, hand_segment));
}

// jet.ring as a process leaves it behind when it is killed: the log from ring position 0 on.
class hand_ring {
public:
    explicit hand_ring(std::uint64_t ring_bytes) : content(ring_header_bytes + ring_bytes) {
        ring_file_header{.instance = hand_instance, .timeline = {5}, .ring_bytes = ring_bytes}
            .encode(content.data());
    }
    // Lays the records of a segment down from `position` on.
    void lay(hand_file const& file, std::uint64_t position, std::size_t first_record = 0) {
        ring_entry{file.header.generation, file.header.nonce, position}.encode(content.data());
        auto const ring_bytes = content.size() - ring_header_bytes;
        for (auto i = first_record; i < file.records.size(); ++i) {
            auto const v = position + (file.records[i].at - file.header.first());
            for (std::size_t k = 0; k < file.records[i].content.size(); ++k)
                content[ring_header_bytes + (v + k) % ring_bytes] = file.records[i].content[k];
        }
    }
    raw content;
};

// The file loses its records from the given one on.
void forget(hand_file& file, std::size_t first_record) {
    auto const from = file.records[first_record].at.value % hand_segment;
    std::fill(
        file.content.begin() + static_cast<std::ptrdiff_t>(from), file.content.end(), std::byte{0}
    );
}

TEST_CASE("the ring carries the tail over the end of a process", "[log][end][ring]") {
    auto log = small_log();
    auto const history = log.history();
    auto const ring_bytes = std::uint64_t{8192};
    auto const kept = static_cast<std::size_t>(GENERATE(range(0, 8)));
    CAPTURE(kept);
    auto ring = hand_ring{ring_bytes};
    ring.lay(log.files[2], 3 * 4096, kept); // wraps
    if (kept < 7) forget(log.files[2], kept);
    auto disk = memory_log{log};
    hand_log::put_file(disk.directory, ring_file_name, ring.content);

    auto const got = disk.replayed({.use_ring = true});
    CHECK(got.failure.code == errc::none);
    CHECK(got.records == history);
    CHECK(got.end.end == log.files[2].tail());
    if (kept < 7)
        CHECK(got.end.ring_from == log.files[2].records[kept].at);
    else
        CHECK_FALSE(got.end.ring_from);
    auto const without_ring = disk.replayed();
    CHECK(without_ring.records.size() == history.size() - log.files[2].records.size() + kept);
}

TEST_CASE("the ring leads through a segment_end into the next segment", "[log][end][ring]") {
    auto log = small_log();
    auto const history = log.history();
    auto ring = hand_ring{16384};
    ring.lay(log.files[1], 4096, 2);
    ring.lay(log.files[2], 8192);
    forget(log.files[1], 2);
    log.files[2].content = raw(hand_segment);
    log.files[2].write_header();
    auto const put_and_tell = [&] {
        auto disk = memory_log{log};
        hand_log::put_file(disk.directory, ring_file_name, ring.content);
        return disk.replayed({.use_ring = true});
    };
    auto const got = put_and_tell();
    CHECK(got.records == history);
    CHECK(got.end.last->generation == 3);
    CHECK(got.end.end == log.files[2].tail());
    CHECK(got.end.ring_from == log.files[1].records[2].at);

    SECTION("a torn ring ends like a torn file") {
        auto const third = log.files[2].records[2].at - log.files[2].header.first();
        ring.content[ring_header_bytes + 8192 + third + 30] ^= std::byte{1};
        auto const torn = put_and_tell();
        CHECK(torn.failure.code == errc::none);
        CHECK(torn.records.size() == history.size() - log.files[2].records.size() + 2);
    }
    SECTION("an entry torn by the kill is no entry") {
        ring.content[128 + 40 * 3] ^= std::byte{1};
        auto const torn = put_and_tell();
        CHECK(torn.failure.code == errc::none);
        CHECK(torn.end.end == first_lsn(3, hand_segment));
    }
    SECTION("a ring of another instance is no ring") {
        auto const other = ring_file_header{.instance = make_uuid(8, 9), .ring_bytes = 16384};
        other.encode(ring.content.data());
        auto const torn = put_and_tell();
        CHECK(torn.end.end == log.files[1].records[2].at);
    }
    SECTION("records in the file of the next segment say that the ring's were durable") {
        auto const whole = small_log();
        log.files[2].content = whole.files[2].content;
        CHECK(put_and_tell().failure.code == errc::log_corrupt);
    }
}

TEST_CASE("any bytes in jet.ring yield records of the log or none", "[log][end][ring]") {
    auto const log = small_log();
    auto const history = log.history();
    auto cut = log;
    forget(cut.files[2], 3);
    auto ring = hand_ring{8192};
    ring.lay(log.files[2], 4096);
    auto random = std::mt19937_64{5};
    auto disk = memory_log{cut};
    for (std::uint64_t round = 0; round < rounds(300); ++round) {
        CAPTURE(round);
        auto damaged = ring.content;
        for (auto n = random() % 20; n-- > 0;) {
            auto const where = random() % 2 == 0 ? random() % 800 : random() % damaged.size();
            damaged[where] ^= static_cast<std::byte>(1u << (random() % 8));
        }
        if (random() % 4 == 0) damaged.resize(random() % damaged.size());
        hand_log::put_file(disk.directory, ring_file_name, damaged);
        auto const got = disk.replayed({.use_ring = true});
        REQUIRE(is_prefix(got.records, history));
        REQUIRE(got.records.size() >= history.size() - 4);
    }
}

} // namespace jetpp_test::end_of_log_cases
