#include <functional>

#include "tree_bed.hpp"

namespace jetpp_test::check_cases {

using namespace jetpp;

using bed_type = tree_bed<4096>;
using traits = bed_type::traits;
using view = page_view<4096>;

struct planted {
    bed_type bed{32};
    tree_place<traits> tree = bed.create({16}, "rows").value();

    planted() {
        for (auto n = 0; n < 600; ++n)
            REQUIRE(bed.put(tree, "key " + std::to_string(n), std::string(100, 'x')));
    }
    page_number leaf(std::string const& key) {
        auto number = no_page;
        REQUIRE(bed.tree().read_leaf(
            tree,
            leaf_position::covering(raw(key)),
            [&](view const& page) noexcept { number = page.number(); }
        ));
        return number;
    }
    // Changes a page behind everybody's back.
    void damage_page(page_number number, std::function<void(std::byte*)> const& how) {
        auto page = exclusive_page<traits>{};
        while (bed.pool().try_exclude(bed.file(), number, page) == fix::absent)
            REQUIRE(bed.pool().load(bed.file(), number));
        page.mark_dirty(bed.log().tail());
        how(page.data());
    }
    std::vector<tree_finding> findings() {
        auto found = std::vector<tree_finding>{};
        auto reached = page_set{};
        REQUIRE(reached.cover(bed.file().page_count()));
        auto const report = [&](tree_finding const& one) { found.push_back(one); };
        for (auto const& one : bed.system_trees())
            REQUIRE(check_tree(bed.pool(), one, reached, report));
        REQUIRE(check_tree(bed.pool(), tree, reached, report));
        REQUIRE(check_space(bed.pool(), bed.file(), reached, report));
        return found;
    }
};

bool names(std::vector<tree_finding> const& found, page_number page, damage reason) {
    for (auto const& one : found)
        if (one.page == page && one.reason == reason) return true;
    return false;
}

TEST_CASE("a sound tree has no findings", "[btree][check]") {
    auto p = planted{};
    CHECK(p.findings().empty());
}

TEST_CASE("check names the page whose fences leave its parent's bounds", "[btree][check]") {
    auto p = planted{};
    auto const leaf = p.leaf("key 3");
    p.damage_page(leaf, [](std::byte* page) {
        auto const last = view{page}.row_count() - 1;
        std::byte key[448];
        auto const cut = text_of(view{page}.copy_key(last, key));
        REQUIRE(page_editor<4096>{page}.cut_right(last, raw(cut)));
    });
    CHECK(names(p.findings(), leaf, damage::fences));
}

TEST_CASE("check names rows out of order, foreign pages and pages met twice", "[btree][check]") {
    auto p = planted{};
    auto const leaf = p.leaf("key 3");
    SECTION("order") {
        p.damage_page(leaf, [](std::byte* page) {
            auto* const slots = page + page_offset::content;
            std::byte first[8];
            std::memcpy(first, slots, 8);
            std::memmove(slots, slots + 8, 8);
            std::memcpy(slots + 8, first, 8);
        });
        CHECK(names(p.findings(), leaf, damage::order));
    }
    SECTION("tree") {
        p.damage_page(leaf, [](std::byte* page) {
            store_le<std::uint32_t>(page + page_offset::tree, 17);
        });
        CHECK(names(p.findings(), leaf, damage::tree));
    }
    SECTION("twice") {
        auto other = no_page;
        p.damage_page(p.tree.root, [&](std::byte* page) {
            auto const at = view{page}.index_of_child(leaf);
            auto const beside = at == 0 ? 1 : at - 1;
            other = view{page}.child(beside);
            REQUIRE(page_editor<4096>{page}.set_child(beside, leaf));
        });
        auto const found = p.findings();
        CHECK(names(found, other, damage::space_map)); // allocated, but nothing leads there
        CHECK(found.size() >= 2);
    }
}

TEST_CASE("check names pages that the map forgets or holds in vain", "[btree][check]") {
    auto p = planted{};
    auto const leaf = p.leaf("key 3");
    using regions = space_regions<4096>;
    auto const map = regions::map_page_of(leaf);
    auto const last = page_number{p.bed.file().page_count() - 1};
    p.damage_page(map, [&](std::byte* page) {
        auto editor = space_map_editor<4096>{page};
        REQUIRE(editor.set(regions::bit_of(leaf), 1, false));
        REQUIRE(editor.set(regions::bit_of(last), 1, true));
        REQUIRE(editor.set(regions::bit_of(last) + 5, 1, true)); // beyond the file
    });
    auto const found = p.findings();
    CHECK(names(found, leaf, damage::space_map));
    CHECK(names(found, last, damage::space_map));
    CHECK(names(found, map, damage::space_map));
    CHECK(found.size() == 3);
}

} // namespace jetpp_test::check_cases
