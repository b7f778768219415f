// test/backup/restore_plan.cpp - plans over manifests written by hand: no byte of a set is read.
#include <jetpp/backup/restore_plan.hpp>

#include <algorithm>
#include <random>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::restore_plan_cases {

using namespace jetpp;

constexpr auto segment = std::uint64_t{1} << 20;
constexpr auto t1 = timeline_id{0x11};
constexpr auto t2 = timeline_id{0x22};

constexpr lsn seg(std::uint64_t generation, std::uint64_t offset = 0) {
    return {generation * segment + offset};
}

// A small world of sets: their manifests, and what a planner sees of them.
struct sets_by_hand {
    std::vector<backup_manifest> manifests = std::vector<backup_manifest>();
    std::vector<bool> usable{};

    sets_by_hand() { manifests.reserve(64); }

    // Log [from, end) in whole segments. Returns its place.
    std::size_t add(backup_kind kind, std::uint64_t from, std::uint64_t end) {
        auto const number = manifests.size() + 1;
        auto& m = manifests.emplace_back();
        m.set = make_uuid(number, number);
        m.kind = kind;
        m.instance = make_uuid(7, 7);
        m.timeline = t1;
        m.page_size = 8192;
        m.segment_bytes = segment;
        m.checksum = "crc32c";
        m.begin_lsn = seg(end - 1, 8192);
        m.last_commit = seg(end - 1, 16384);
        m.end_lsn = seg(end);
        m.log_start = seg(from);
        m.log = {{t1, seg(from), seg(end)}};
        if (m.has_pages()) {
            m.redo_lsn = m.undo_low_lsn = m.log_start = seg(from, 5000);
            m.copy_end_lsn = seg(end - 1, 12288);
        }
        usable.push_back(true);
        return manifests.size() - 1;
    }
    std::size_t add_pages(std::size_t base, std::uint64_t from, std::uint64_t end) {
        auto const made = add(backup_kind::pages, from, end);
        manifests[made].bases = {{manifests[base].set, hash_of(base), "base"}};
        return made;
    }
    [[nodiscard]] static sha256_digest hash_of(std::size_t i) {
        auto hash = sha256_digest{};
        hash.fill(static_cast<std::byte>(i + 1));
        return hash;
    }
    [[nodiscard]] std::vector<planned_set> all() const {
        auto made = std::vector<planned_set>{};
        for (std::size_t i = 0; i < manifests.size(); ++i)
            made.push_back({&manifests[i], hash_of(i), usable[i]});
        return made;
    }
    [[nodiscard]] result<restore_plan> plan(std::size_t head, lsn limit) {
        trouble = {};
        return plan_restore(all(), head, limit, trouble);
    }
    // To the end of a set.
    [[nodiscard]] result<restore_plan> plan(std::size_t head) {
        return plan(head, manifests[head].end_lsn);
    }
    plan_trouble trouble{};
};

using places = std::vector<std::size_t>;
using slices = std::vector<planned_log>;

TEST_CASE("a full set alone is a plan for every moment from its copy's end", "[backup][plan]") {
    auto sets = sets_by_hand{};
    auto const full = sets.add(backup_kind::full, 3, 8);
    auto const at_end = sets.plan(full);
    REQUIRE(at_end);
    CHECK(at_end.value().pages == places{full});
    CHECK(at_end.value().log == slices{{full, t1, seg(3), seg(8)}});
    auto const copy_end = sets.manifests[full].copy_end_lsn;
    CHECK(sets.plan(full, copy_end));
    auto const before = sets.plan(full, copy_end - 1);
    REQUIRE_FALSE(before);
    CHECK(before.error().code == errc::target_before_set_end);
    CHECK(before.error().at == copy_end - 1); // as --to-lsn takes it
    auto const behind = sets.plan(full, seg(8, 5000));
    REQUIRE_FALSE(behind);
    CHECK(behind.error().code == errc::target_not_reached);
    CHECK(behind.error().at == seg(8));
}

TEST_CASE("incrementals are log in the pool, whatever they are called", "[backup][plan]") {
    auto sets = sets_by_hand{};
    auto const full = sets.add(backup_kind::full, 3, 8);
    auto const first = sets.add(backup_kind::incremental, 8, 10);
    auto const second = sets.add(backup_kind::incremental, 10, 15);
    auto const differential = sets.add(backup_kind::differential, 8, 15);
    auto made = sets.plan(second);
    REQUIRE(made);
    CHECK(made.value().pages == places{full});
    // The differential reaches further at once.
    CHECK(
        made.value().log == slices{{full, t1, seg(3), seg(8)}, {differential, t1, seg(8), seg(15)}}
    );
    // A moment in the middle needs no more than the segments up to it.
    made = sets.plan(second, seg(9, 6000));
    REQUIRE(made);
    CHECK(made.value().log == slices{{full, t1, seg(3), seg(8)}, {first, t1, seg(8), seg(10)}});
    // No record begins in a segment's header.
    made = sets.plan(second, seg(9, 4096));
    REQUIRE(made);
    CHECK(made.value().log.back().to == seg(9));

    // Without the differential the two follow each other; without the first there is a hole.
    sets.usable[differential] = false;
    made = sets.plan(second);
    REQUIRE(made);
    CHECK(made.value().log.size() == 3);
    sets.usable[first] = false;
    made = sets.plan(second);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == errc::log_gap);
    CHECK(made.error().at == first_lsn(8, segment));
    CHECK(sets.trouble.timeline == t1);
    sets.usable[full] = false;
    made = sets.plan(second);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == errc::base_not_here);
}

TEST_CASE("page deltas lie over their base, named by uuid and hash", "[backup][plan]") {
    auto sets = sets_by_hand{};
    auto const full = sets.add(backup_kind::full, 3, 8);
    auto const one = sets.add_pages(full, 9, 12);
    auto const two = sets.add_pages(one, 13, 16);
    auto made = sets.plan(two);
    REQUIRE(made);
    CHECK(made.value().pages == places{full, one, two});
    // The log of the base is not needed.
    CHECK(made.value().log == slices{{two, t1, seg(13), seg(16)}});
    // A moment before the delta's own end is planned from the set before it.
    made = sets.plan(two, sets.manifests[one].copy_end_lsn + 4096);
    REQUIRE(made);
    CHECK(made.value().pages == places{full, one});

    sets.manifests[two].bases[0].hash[0] ^= std::byte{1};
    made = sets.plan(two);
    REQUIRE_FALSE(made); // the older pages have no log to the end
    CHECK(made.error().code == errc::base_not_here);
    CHECK(sets.trouble.sets == places{two});
    // But if log leads there, the older pages do.
    (void)sets.add(backup_kind::incremental, 8, 16);
    made = sets.plan(two);
    REQUIRE(made);
    CHECK(made.value().pages == places{full, one});
}

TEST_CASE("a delta never rests on a set that ends with it or behind it", "[backup][plan]") {
    auto sets = sets_by_hand{};
    auto const one = sets.add(backup_kind::pages, 3, 8);
    auto const two = sets.add(backup_kind::pages, 3, 8);
    sets.manifests[one].bases = {{sets.manifests[two].set, sets_by_hand::hash_of(two), "base"}};
    sets.manifests[two].bases = {{sets.manifests[one].set, sets_by_hand::hash_of(one), "base"}};
    auto const made = sets.plan(two);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == errc::base_not_here);
}

TEST_CASE("sets outside the plan may be damaged", "[backup][plan]") {
    auto sets = sets_by_hand{};
    auto const old = sets.add(backup_kind::full, 1, 3);
    auto const full = sets.add(backup_kind::full, 3, 8);
    sets.usable[old] = false;
    CHECK(sets.plan(full));
    auto const head = newest_set(sets.all());
    REQUIRE(head);
    CHECK(head.value() == full);
}

TEST_CASE("a fork counts its parent's log only up to where it left", "[backup][plan]") {
    auto sets = sets_by_hand{};
    auto const full = sets.add(backup_kind::full, 3, 8);
    auto const more = sets.add(backup_kind::incremental, 8, 12);
    // Restored to the middle of the incremental: what lies behind is another history.
    auto const fork = seg(10, 9000);
    auto const other = sets.add(backup_kind::incremental, 40, 44);
    auto& m = sets.manifests[other];
    m.timeline = t2;
    m.ancestry = {{t1, fork}};
    m.log = {{t2, seg(40), seg(44)}};
    auto const made = sets.plan(other);
    REQUIRE(made);
    CHECK(
        made.value().log ==
        slices{
            {full, t1, seg(3), seg(8)}, {more, t1, seg(8), seg(11)}, {other, t2, seg(40), seg(44)}
        }
    );
    // The incremental has commits that the fork does not know: two histories.
    auto head = newest_set(sets.all());
    REQUIRE_FALSE(head);
    CHECK(head.error().code == errc::ambiguous_source);
    sets.manifests[more].last_commit = seg(10, 8000);
    head = newest_set(sets.all());
    REQUIRE(head);
    CHECK(head.value() == other);
    // Pages copied beyond the fork are no base of it.
    sets.usable[full] = false;
    auto const late = sets.add(backup_kind::full, 9, 12);
    CHECK(sets.plan(other).error().code == errc::base_not_here);
    sets.manifests[late].copy_end_lsn = fork;
    CHECK(sets.plan(other));
}

TEST_CASE("of two restores that both went on the caller must choose", "[backup][plan]") {
    auto sets = sets_by_hand{};
    (void)sets.add(backup_kind::full, 3, 8);
    for (auto const timeline : {timeline_id{0x33}, timeline_id{0x44}}) {
        auto const made = sets.add(backup_kind::full, 50, 52);
        auto& m = sets.manifests[made];
        m.timeline = timeline;
        m.ancestry = {{t1, seg(8)}};
        m.log = {{timeline, seg(50), seg(52)}};
    }
    CHECK(newest_set(sets.all()).error().code == errc::ambiguous_source);
    CHECK(sets.plan(1));
    CHECK(sets.plan(2));
    CHECK(newest_set({}).error().code == errc::not_found);
    // Another instance is another history, too.
    auto strangers = sets_by_hand{};
    (void)strangers.add(backup_kind::full, 3, 8);
    (void)strangers.add(backup_kind::full, 3, 8);
    strangers.manifests[1].instance = make_uuid(8, 8);
    CHECK(newest_set(strangers.all()).error().code == errc::ambiguous_source);
}

TEST_CASE(
    "the log that is searched is all that leads to the end, on both sides of a hole",
    "[backup][plan]"
) {
    auto sets = sets_by_hand{};
    auto const full = sets.add(backup_kind::full, 3, 8);
    auto const gone = sets.add(backup_kind::incremental, 8, 10);
    auto const rest = sets.add(backup_kind::incremental, 10, 15);
    auto log = log_of_lineage(sets.all(), rest);
    REQUIRE(log);
    CHECK(log.value().size() == 3);
    CHECK(log.value().front() == planned_log{full, t1, seg(3), seg(8)});
    sets.usable[gone] = false;
    log = log_of_lineage(sets.all(), rest);
    REQUIRE(log);
    CHECK(log.value() == slices{{full, t1, seg(3), seg(8)}, {rest, t1, seg(10), seg(15)}});
}

// Whatever is planned is contiguous, within the sets named, and below what was asked for.
TEST_CASE("every plan over random sets covers its log without a hole", "[backup][plan]") {
    auto const seed = GENERATE(1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U);
    CAPTURE(seed);
    auto random = std::mt19937{seed};
    auto planned = 0;
    for (auto round = 0; round < 200; ++round) {
        auto sets = sets_by_hand{};
        (void)sets.add(backup_kind::full, 1, 2 + random() % 4);
        for (auto i = 0; i < 10; ++i) {
            auto const from = 1 + random() % 20;
            auto const end = from + 1 + random() % 6;
            auto const base = random() % sets.manifests.size();
            if (random() % 3 == 0 && sets.manifests[base].has_pages())
                (void)sets.add_pages(base, from, end);
            else
                (void)sets.add(
                    random() % 4 == 0 ? backup_kind::full : backup_kind::incremental, from, end
                );
            sets.usable.back() = random() % 8 != 0;
        }
        auto const head = newest_set(sets.all());
        REQUIRE(head);
        auto const limit = seg(1 + random() % 26, random() % segment);
        auto const made = sets.plan(head.value(), limit);
        if (!made) continue;
        ++planned;
        auto const& plan = made.value();
        auto const& last = sets.manifests[plan.last_pages()];
        CHECK(last.copy_end_lsn <= limit);
        CHECK(sets.manifests[plan.pages.front()].kind == backup_kind::full);
        auto at = seg(last.log_start.value / segment);
        for (auto const& slice : plan.log) {
            CHECK(slice.from == at);
            CHECK(slice.from < slice.to);
            CHECK(sets.usable[slice.set]);
            CHECK(sets.manifests[slice.set].log[0].from <= slice.from);
            CHECK(slice.to <= sets.manifests[slice.set].log[0].to);
            at = slice.to;
        }
        CHECK(at == detail::segments_end(limit, segment));
        // No usable set with whole pages ends its copy nearer to the target and has the log.
        for (std::size_t i = 0; i < sets.manifests.size(); ++i) {
            auto const& m = sets.manifests[i];
            if (!sets.usable[i] || m.kind != backup_kind::full || m.copy_end_lsn > limit) continue;
            if (m.copy_end_lsn <= last.copy_end_lsn) continue;
            auto only = sets;
            for (std::size_t k = 0; k < only.manifests.size(); ++k)
                if (k != i && only.manifests[k].has_pages()) {
                    only.manifests[k].kind = backup_kind::incremental; // its log stays
                }
            CHECK_FALSE(only.plan(head.value(), limit));
        }
    }
    CHECK(planned > 20);
}

} // namespace jetpp_test::restore_plan_cases
