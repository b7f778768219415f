#include "tree_bed.hpp"

namespace jetpp_test::space_cases {

using namespace jetpp;

TEST_CASE("a file that grows past a region gets the map of the next one", "[btree][space]") {
    // One region of 4K pages is 124 MiB.
    auto bed = tree_bed<4096>{16, std::uint64_t{130} << 20};
    auto const tree = bed.create({16}, "one").value();
    using regions = space_regions<4096>;
    REQUIRE(regions::region_count(bed.file().page_count()) == 2);
    REQUIRE(bed.put(tree, "key", "value"));
    auto trees = bed.system_trees();
    trees.push_back(tree);
    bed.check(trees);
    bed.require_redo_agrees();
}

TEST_CASE(
    "pages are taken near the page that was split, and again once they are free", "[btree][space]"
) {
    auto bed = tree_bed<4096>{32};
    auto const first = bed.create({16}, "first").value();
    for (auto n = 0; n < 400; ++n)
        REQUIRE(bed.put(first, "key " + std::to_string(n), std::string(500, 'f')));
    auto const pages = bed.file().page_count();
    auto credit = log_credit{};
    while (!bed.tree().free_tree_step(first, credit).value()) {
    }
    bed.log().give_back(credit);
    auto const second = bed.create({17}, "second").value();
    for (auto n = 0; n < 400; ++n)
        REQUIRE(bed.put(second, "key " + std::to_string(n), std::string(500, 's')));
    CHECK(bed.file().page_count() == pages);
    auto trees = bed.system_trees();
    trees.push_back(second);
    bed.check(trees);
    bed.require_redo_agrees();
}

TEST_CASE("a split of two levels may grow the file into a new region", "[btree][space]") {
    using bed_type = tree_bed<4096>;
    constexpr auto region_pages = std::uint64_t{bed_type::limits::region_pages};
    auto bed = bed_type{8, (region_pages - 16) * 4096};
    auto const tree = bed.create({16}, "one").value();
    bed.file().set_growth_bytes_min(64 * 4096);
    auto& space = bed.tree().space();
    for (auto n = 0; bed_type::regions::region_count(bed.file().page_count()) == 1; ++n) {
        // A put may take one page before the file has to grow. Who takes a second one has split two
        // levels, and the smallest pool has frames for one operation.
        auto const free = space.count_free(bed.file()).value();
        auto const kept = free - page_space<bed_type::traits>::base_reserve - 1;
        space.set_reserve(bed.file(), static_cast<std::uint32_t>(kept));
        auto const key = std::to_string(n * 7919 % 10'007) + std::string(400, 'k');
        REQUIRE(bed.put(tree, key, std::string(700, 'v')));
        REQUIRE(n < 5000);
    }
    auto trees = bed.system_trees();
    trees.push_back(tree);
    bed.check(trees);
}

TEST_CASE("a full disk refuses ordinary work while undo still has pages", "[btree][space]") {
    auto bed = tree_bed<4096>{32, 64 * 4096, std::uint64_t{2} << 20};
    auto const tree = bed.create({16}, "rows").value();
    auto written = 0;
    auto full = std::optional<error>{};
    for (; !full && written < 100000; ++written) {
        auto const done = bed.put(tree, "key " + std::to_string(written), std::string(300, 'x'));
        if (!done) full = done.error();
    }
    REQUIRE(full);
    CHECK(full->code == errc::disk_full);
    auto const free = bed.tree().space().count_free(bed.file()).value();
    CHECK(free >= page_space<tree_bed<4096>::traits>::base_reserve - 2);
    // A row that fits its page needs no disk; a compensation may split.
    REQUIRE(bed.put(tree, "key 0", std::string(300, 'y')));
    for (auto n = 0; n < 40; ++n) {
        auto const done = bed.put(
            tree, "undone " + std::to_string(n), std::string(900, 'u'), record_flags::compensation
        );
        INFO(n << ": " << said(done));
        REQUIRE(done);
    }
    CHECK(bed.tree().space().count_free(bed.file()).value() < free);
    auto trees = bed.system_trees();
    trees.push_back(tree);
    bed.check(trees);
    bed.require_redo_agrees();
}

} // namespace jetpp_test::space_cases
