#include <jetpp/log/log_record.hpp>
#include <jetpp/log/structure_builder.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::structure_builder_cases {

using namespace jetpp;

using raw = std::vector<std::byte>;

raw bytes_of(record::structure const& body) {
    auto made = raw(body.size());
    encode_header(made.data(), {.type = record_type::structure, .flags = record_flags::system});
    body.encode(made.data());
    store_le<std::uint32_t>(made.data(), static_cast<std::uint32_t>(made.size()));
    return made;
}

TEST_CASE("a split written by the builder reads back as it was meant", "[log]") {
    auto buffer = raw(4096);
    auto build = structure_builder{buffer};
    auto shape = format_action{
        .kind = 1,
        .level = 0,
        .page_flags = 4,
        .tree = {16},
        .upper_child = {0},
        .lower_fence = as_bytes("key-m"),
        .upper_fence = {}
    };
    build.begin_part({.page = {40}, .prev_page_lsn = {0x5000}})
        .cut_right(3, as_bytes("key-m"), {0});
    build.begin_part({.page = {41}, .flags = part_flags::format})
        .format(shape, 2, [](std::uint16_t i) {
            return moved_row{
                .flags = i,
                .suffix_head = as_bytes(i == 0 ? "" : "pre"),
                .suffix = as_bytes("suffix"),
                .value = as_bytes("value")
            };
        });
    build.begin_part({.page = {30}}).add_child(5, {40}, as_bytes("m"));
    build.begin_part({.page = {32}}).map_bits(std::vector<map_run>{{9, 1, true}});
    REQUIRE(build.fits());
    auto const made = bytes_of(build.structure(structure_op::split));
    auto const parsed = parse_record({0x6000}, made);
    REQUIRE(parsed);
    auto const* const body = parsed.value().as<record::structure>();
    REQUIRE(body != nullptr);
    CHECK(body->op == structure_op::split);
    CHECK(body->part_count == 4);

    auto pages = std::vector<std::uint32_t>{};
    auto rows = std::vector<std::string>{};
    auto const walked = for_each_part(
        body->parts,
        body->part_count,
        [&](page_part const& part, std::uint16_t n, const_bytes actions) {
            CHECK(n == 1);
            pages.push_back(part.page.value);
            return for_each_action(
                actions,
                n,
                [&](action_kind kind, std::uint16_t argument, const_bytes content) -> result<void> {
                    if (kind == action_kind::cut_right) {
                        BOOST_OUTCOME_TRY(auto const a, cut_right_action::parse(argument, content));
                        CHECK(a.first_slot == 3);
                        CHECK(as_text(a.upper_fence.value()) == "key-m");
                    } else if (kind == action_kind::format) {
                        BOOST_OUTCOME_TRY(auto const a, format_action::parse(argument, content));
                        CHECK(a.tree == tree_id{16});
                        CHECK(a.page_flags == 4);
                        CHECK(as_text(a.lower_fence.value()) == "key-m");
                        CHECK_FALSE(a.upper_fence);
                        a.rows.for_each([&](moved_row const& row) {
                            rows.push_back(std::to_string(row.flags));
                            rows.back() += as_text(row.suffix);
                            rows.back() += as_text(row.value);
                        });
                    } else if (kind == action_kind::add_child) {
                        BOOST_OUTCOME_TRY(auto const a, add_child_action::parse(argument, content));
                        CHECK(a.slot == 5);
                        CHECK(a.child == page_number{40});
                        CHECK(as_text(a.separator_suffix) == "m");
                    } else if (kind == action_kind::map_bits) {
                        BOOST_OUTCOME_TRY(auto const runs, map_runs::parse(argument, content));
                        CHECK(runs[0] == map_run{9, 1, true});
                    }
                    return ok();
                }
            );
        }
    );
    CHECK(walked);
    CHECK(pages == std::vector<std::uint32_t>{40, 41, 30, 32});
    CHECK(rows == std::vector<std::string>{"0suffixvalue", "1presuffixvalue"});
}

TEST_CASE("a page twice in one structure record is refused by the parser", "[log]") {
    auto buffer = raw(4096);
    auto build = structure_builder{buffer};
    build.begin_part({.page = {40}}).empty_inner();
    build.begin_part({.page = {41}}).empty_inner();
    auto made = bytes_of(build.structure(structure_op::merge));
    REQUIRE(parse_record({0x6000}, made));
    store_le<std::uint32_t>(made.data() + 32, 41);
    auto const parsed = parse_record({0x6000}, made);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == errc::log_corrupt);
    CHECK(parsed.error().at == lsn{0x6000});
}

TEST_CASE("a structure record that does not fit its buffer is seen before it is used", "[log]") {
    for (std::size_t size = 0; size < 200; ++size) {
        CAPTURE(size);
        auto buffer = raw(size);
        auto build = structure_builder{buffer};
        build.begin_part({.page = {1}}).cut_right(1, as_bytes("fence"), {2}).set_child(1, {2});
        build.begin_part({.page = {2}}).append({}, {3}, 1, [](std::uint16_t) {
            return moved_row{.suffix = as_bytes("suffix"), .value = as_bytes("value")};
        });
        // 32 + (8 + 16) + (8 + 8), 32 + (8 + 8 + 8 + 11 + 5)
        CHECK(build.fits() == (size >= 72 + 72));
    }
}

TEST_CASE("a callback's error ends a walk over parts", "[log]") {
    auto buffer = raw(4096);
    auto build = structure_builder{buffer};
    build.begin_part({.page = {1}}).empty_inner();
    build.begin_part({.page = {2}}).empty_inner();
    auto seen = 0;
    auto const walked = for_each_part(
        build.parts(),
        build.part_count(),
        [&](page_part const&, std::uint16_t, const_bytes) -> result<void> {
            ++seen;
            return error{.code = errc::page_damaged};
        }
    );
    CHECK(seen == 1);
    CHECK(walked.error().code == errc::page_damaged);
}

} // namespace jetpp_test::structure_builder_cases
