#include "../budget.hpp"
#include "tree_bed.hpp"

namespace jetpp_test::btree_cases {

using namespace jetpp;

std::string number_key(std::uint64_t n) {
    auto key = std::string(8, '\0');
    store_be<std::uint64_t>(reinterpret_cast<std::byte*>(key.data()), n);
    return key;
}

// What random keys look like: shared prefixes, empty ones, ones of the largest size.
template <std::size_t PageSize>
std::string random_key(dice& d) {
    auto const max = page_limits<PageSize>::key_bytes_max;
    switch (d.below(10)) {
    case 0: return d.bytes_of(d.below(3));
    case 1: {
        auto key = std::string(d.below(max - 4), static_cast<char>('a' + d.below(3)));
        return key + std::to_string(d.below(1000)).substr(0, 3);
    }
    case 2: return std::string(max, static_cast<char>(d.below(256)));
    default: return "row/" + std::to_string(d.below(1500));
    }
}

template <std::size_t PageSize>
std::string random_value(dice& d) {
    auto const max = page_limits<PageSize>::inline_value_bytes_max;
    switch (d.below(12)) {
    case 0: return {};
    case 1: return std::string(d.below(max + 1), static_cast<char>(d.next()));
    case 2: return std::string(max, static_cast<char>(d.next()));
    default: return d.bytes_of(d.below(160));
    }
}

template <std::size_t PageSize>
void run_random(std::uint64_t seed, std::uint32_t frames, int steps) {
    INFO("seed " << seed << ", page size " << PageSize << ", frames " << frames);
    auto d = dice{seed};
    auto bed = tree_bed<PageSize>{frames};
    auto const made = bed.create({16}, "rows");
    INFO(said(made));
    REQUIRE(made);
    auto const tree = made.value();
    auto model = std::map<std::string, std::string>{};
    auto keys = std::vector<std::string>{};
    auto const known = [&]() -> std::string {
        return keys.empty() || d.below(4) == 0 ? random_key<PageSize>(d)
                                               : keys[d.below(keys.size())];
    };
    auto const shrinking_from = steps * 2 / 3;
    for (auto step = 0; step < steps; ++step) {
        auto const erasing = step > shrinking_from ? 60u : 15u;
        auto const roll = d.below(100);
        if (roll < erasing) {
            auto const key = known();
            auto const done = bed.erase(tree, key, some_flags(d));
            INFO("erase, step " << step << ": " << said(done));
            REQUIRE(done);
            REQUIRE(done.value() == (model.erase(key) != 0));
        } else if (roll < erasing + 6) {
            auto const done = bed.sweep(tree, known());
            INFO("sweep, step " << step << ": " << said(done));
            REQUIRE(done);
        } else if (roll < erasing + 12) {
            auto const key = known();
            auto const got = bed.get(tree, key);
            INFO("get, step " << step << ": " << said(got));
            REQUIRE(got);
            auto const wanted = model.find(key);
            REQUIRE(got.value().has_value() == (wanted != model.end()));
            if (got.value()) REQUIRE(*got.value() == wanted->second);
        } else {
            auto const key = d.below(3) == 0 ? known() : random_key<PageSize>(d);
            auto value = random_value<PageSize>(d);
            if (auto const old = model.find(key); old != model.end() && d.below(2) == 0) {
                value = old->second; // same size, some bytes other
                for (auto n = d.below(4); n-- > 0 && !value.empty();)
                    value[d.below(value.size())] = static_cast<char>(d.next());
            }
            auto const done = bed.put(tree, key, value, some_flags(d));
            INFO("put, step " << step << ": " << said(done));
            REQUIRE(done);
            model[key] = value;
            keys.push_back(key);
        }
    }
    REQUIRE(bed.rows(tree) == model);
    REQUIRE(bed.rows_backwards(tree) == model);
    auto trees = bed.system_trees();
    trees.push_back(tree);
    auto const shapes = bed.check(trees);
    CHECK(shapes[2].rows == model.size());
    bed.require_redo_agrees();
}

TEMPLATE_TEST_CASE_SIG(
    "random changes leave the rows a map would hold, and redo makes the same pages",
    "[btree]",
    ((std::size_t PageSize), PageSize),
    4096,
    8192,
    65536
) {
    for (auto seed = std::uint64_t{1}; seed <= rounds(3); ++seed)
        run_random<PageSize>(seed, 64, 3000);
}

TEST_CASE("eight frames are enough for every operation", "[btree]") {
    for (auto seed = std::uint64_t{1}; seed <= rounds(2); ++seed) {
        run_random<4096>(seed, 8, 3000);
        run_random<8192>(seed, 12, 2000);
    }
}

TEST_CASE("ascending keys fill the pages they leave behind", "[btree][split]") {
    auto bed = tree_bed<4096>{64};
    auto const tree = bed.create({16}, "ascending").value();
    auto model = std::map<std::string, std::string>{};
    for (auto n = std::uint64_t{0}; n < 5000; ++n) {
        auto const value = "value " + std::to_string(n);
        REQUIRE(bed.put(tree, number_key(n), value));
        model[number_key(n)] = value;
    }
    REQUIRE(bed.rows(tree) == model);
    auto trees = bed.system_trees();
    trees.push_back(tree);
    auto const shape = bed.check(trees)[2];
    CHECK(shape.levels >= 2);
    // The last page has no upper fence, hence no prefix: what it saves when it gets one is the only
    // room left behind.
    CHECK(shape.bytes_used > (shape.leaf_pages - 1) * 3968 * 3 / 4);
    bed.require_redo_agrees();
}

TEST_CASE("a tree whose rows are all swept shrinks to one page", "[btree][merge]") {
    auto bed = tree_bed<4096>{64};
    auto const tree = bed.create({16}, "shrinking").value();
    auto const count = std::uint64_t{8000};
    for (auto n = std::uint64_t{0}; n < count; ++n)
        REQUIRE(bed.put(tree, number_key(n * 2654435761u % 100000007u), std::string(150, 'x')));
    auto trees = bed.system_trees();
    trees.push_back(tree);
    CHECK(bed.check(trees)[2].levels >= 3);
    for (auto n = std::uint64_t{0}; n < count; ++n) {
        auto const key = number_key(n * 2654435761u % 100000007u);
        REQUIRE(bed.erase(tree, key).value());
        if (n % 3 == 0) REQUIRE(bed.sweep(tree, key));
    }
    auto left = true;
    while (left) {
        left = false;
        auto ghosts = std::vector<std::string>{};
        REQUIRE(bed.tree().read_leaf(tree, leaf_position::first(), [&](auto const& leaf) noexcept {
            std::byte key[448];
            if (leaf.row_count() != 0) ghosts.push_back(text_of(leaf.copy_key(0, key)));
        }));
        for (auto const& key : ghosts) {
            left = bed.sweep(tree, key).value().removed != 0;
            REQUIRE(left);
        }
    }
    auto const shape = bed.check(trees)[2];
    CHECK(shape.levels == 1);
    CHECK(shape.ghosts == 0);
    CHECK(shape.leaf_pages == 1);
    bed.require_redo_agrees();
}

TEST_CASE("a dropped tree gives all its pages back, batch by batch", "[btree][drop]") {
    auto bed = tree_bed<4096>{32};
    auto const keeps = bed.create({16}, "keeps").value();
    auto const free_before = bed.tree().space().count_free(bed.file()).value();
    auto const pages_before = bed.file().page_count();
    auto const goes = bed.create({17}, "goes").value();
    for (auto n = std::uint64_t{0}; n < 6000; ++n) {
        REQUIRE(bed.put(goes, number_key(n * 7919 % 100003), std::string(200, 'y')));
        if (n % 100 == 0) REQUIRE(bed.put(keeps, number_key(n), "kept"));
    }
    auto trees = bed.system_trees();
    trees.push_back(keeps);
    trees.push_back(goes);
    auto const shape = bed.check(trees)[3];
    CHECK(shape.levels >= 3);
    auto credit = log_credit{};
    auto leaves = std::uint64_t{0};
    auto steps = std::uint64_t{0};
    for (auto done = false; !done; ++steps) {
        auto const step = bed.tree().free_tree_step(
            goes,
            credit,
            [&](page_view<4096> const&) noexcept -> result<void> {
                ++leaves;
                return ok();
            }
        );
        INFO(said(step));
        REQUIRE(step);
        done = step.value();
    }
    CHECK(leaves >= shape.leaf_pages);
    CHECK(steps < leaves); // a batch frees many
    CHECK(bed.tree().free_tree_step(goes, credit).value());
    bed.log().give_back(credit);
    trees.pop_back();
    auto const kept = bed.check(trees)[2];
    auto const grown = bed.file().page_count() - pages_before;
    CHECK(
        bed.tree().space().count_free(bed.file()).value() ==
        free_before + grown + 1 - kept.leaf_pages - kept.inner_pages
    );
    CHECK(bed.rows(keeps).size() == 60);
    bed.require_redo_agrees();
}

TEST_CASE("a wrong tree id is answered with tree_dropped", "[btree]") {
    auto bed = tree_bed<4096>{16};
    auto tree = bed.create({16}, "one").value();
    tree.id = {99};
    auto const got = bed.get(tree, "x");
    REQUIRE_FALSE(got);
    CHECK(got.error().code == errc::tree_dropped);
}

TEST_CASE("keys and values beyond the limits are refused before anything is logged", "[btree]") {
    auto bed = tree_bed<4096>{16};
    auto const tree = bed.create({16}, "one").value();
    auto const before = bed.log().tail();
    auto const long_key = bed.put(tree, std::string(449, 'k'), "v");
    REQUIRE_FALSE(long_key);
    CHECK(long_key.error().code == errc::key_too_large);
    auto const long_value = bed.put(tree, "k", std::string(993, 'v'));
    REQUIRE_FALSE(long_value);
    CHECK(long_value.error().code == errc::value_too_large);
    CHECK(bed.log().tail() == before);
}

TEST_CASE("an error of decide() changes nothing", "[btree]") {
    auto bed = tree_bed<4096>{16};
    auto const tree = bed.create({16}, "one").value();
    REQUIRE(bed.put(tree, "k", "v"));
    auto const before = bed.log().tail();
    auto const done =
        bed.change(tree, "k", bed.user, [](leaf_row const& row) noexcept -> result<row_change> {
            if (row.present) return error{.code = errc::write_conflict};
            return row_change{};
        });
    REQUIRE_FALSE(done);
    CHECK(done.error().code == errc::write_conflict);
    CHECK(bed.log().tail() == before);
    CHECK(bed.get(tree, "k").value() == std::optional<std::string>{"v"});
}

TEST_CASE("only rows of transactions get the versioned bit", "[btree]") {
    auto bed = tree_bed<4096>{16};
    auto const tree = bed.create({16}, "one").value();
    REQUIRE(bed.put(tree, "system", "v", record_flags::system));
    REQUIRE(bed.put(tree, "user", "v"));
    REQUIRE(bed.tree().read_leaf(tree, leaf_position::first(), [](auto const& leaf) noexcept {
        CHECK_FALSE(leaf.is_versioned(0));
        CHECK(leaf.is_versioned(1));
    }));
}

} // namespace jetpp_test::btree_cases
