#include <jetpp/page/canonical.hpp>
#include <jetpp/page/page_check.hpp>
#include <jetpp/page/page_editor.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "../budget.hpp"
#include "../catch.hpp"
#include "model.hpp"

namespace jetpp_test::page_editor_cases {

using namespace jetpp;
using namespace page_test;

template <std::size_t N>
using size_of_page = std::integral_constant<std::size_t, N>;

std::optional<const_bytes> as_fence(std::optional<std::string> const& f) {
    return f ? fence{as_bytes(*f)} : fence{};
}

template <std::size_t PageSize>
std::uint32_t heap_bytes_of(page_view<PageSize> page) {
    return page.bytes_between(0, page.row_count(), page.lower_fence(), page.upper_fence());
}

// One page under random work, and the map that says what it must hold.
template <std::size_t PageSize>
struct rig {
    using limits = page_limits<PageSize>;
    page_memory_block<PageSize> page;
    model rows;
    key_source source;

    rig(std::uint64_t seed,
        std::string const& prefix,
        std::optional<std::string> const& lower,
        std::optional<std::string> const& upper)
        : source{seed, prefix, limits::key_bytes_max} {
        REQUIRE(page.edit().format(
            {.number = {77},
             .tree = {16},
             .kind = page_kind::leaf,
             .lower = as_fence(lower),
             .upper = as_fence(upper)}
        ));
    }

    // A key of the model, if it has any.
    std::string present() {
        if (rows.empty()) return source.key();
        return std::next(rows.begin(), source.below(static_cast<std::uint32_t>(rows.size())))
            ->first;
    }

    void insert() {
        auto const key = source.key();
        auto const value = source.value(limits::inline_value_bytes_max);
        auto const flags = source.flags();
        auto const at = page.view().search(as_bytes(key));
        REQUIRE(at.found == rows.contains(key));
        auto const room = page.view().fits_row(as_bytes(key), value.size());
        auto const taken = page.edit().insert(at.slot, as_bytes(key), as_bytes(value), flags);
        REQUIRE(taken == (room && !at.found && page.view().covers(as_bytes(key))));
        if (taken) rows[key] = {value, flags};
    }
    void replace() {
        auto const key = present();
        auto const at = page.view().search(as_bytes(key));
        if (!at.found) return;
        auto const value = source.value(limits::inline_value_bytes_max);
        auto const flags = source.flags();
        auto const room = page.view().fits_replace(at.slot, value.size());
        REQUIRE(page.edit().replace_value(at.slot, as_bytes(value), flags) == room);
        if (room) rows[key] = {value, flags};
    }
    void flag() {
        auto const key = present();
        auto const at = page.view().search(as_bytes(key));
        if (!at.found) return;
        auto const on = source.below(2) == 0;
        auto& flags = rows[key].flags;
        if (source.below(2) == 0) {
            REQUIRE(page.edit().set_ghost(at.slot, on));
            flags = on ? flags | row_flags::ghost : without(flags, row_flags::ghost);
        } else {
            REQUIRE(page.edit().set_versioned(at.slot, on));
            flags = on ? flags | row_flags::versioned : without(flags, row_flags::versioned);
        }
    }
    void remove() {
        auto const key = present();
        auto const at = page.view().search(as_bytes(key));
        REQUIRE(at.found == rows.contains(key));
        if (!at.found) return;
        REQUIRE(page.edit().remove(at.slot));
        rows.erase(key);
    }
    void look() {
        auto const key = source.below(2) == 0 ? present() : source.key();
        auto const at = page.view().search(as_bytes(key));
        auto const wanted = rows.lower_bound(key);
        REQUIRE(at.found == rows.contains(key));
        REQUIRE(at.slot == static_cast<std::uint32_t>(std::distance(rows.begin(), wanted)));
    }
    void step() {
        switch (source.below(16)) {
        case 0: page.edit().compact(); break;
        case 1: page.edit().rebuild_hints(); break;
        case 2:
        case 3: remove(); break;
        case 4:
        case 5: flag(); break;
        case 6:
        case 7:
        case 8: replace(); break;
        case 9: look(); break;
        default: insert();
        }
        if (source.below(400) == 0)
            for (auto n = source.below(200); n > 0; --n) remove();
    }
    void compare() const {
        auto const view = page.view();
        REQUIRE(check_page(view) == damage::none);
        REQUIRE(rows_of(view) == rows);
        REQUIRE(view.bytes_used() == heap_bytes_of(view));
    }
};

TEMPLATE_TEST_CASE("a page and a map agree after any sequence of changes", "[page]", size_of_page<4096>, size_of_page<8192>, size_of_page<16384>, size_of_page<32768>, size_of_page<65536>) {
    constexpr auto page_size = std::size_t{TestType::value};
    auto const seed = GENERATE(take(1, random(0u, ~0u)));
    auto const variant = GENERATE(0, 1, 2);
    CAPTURE(seed, variant);
    auto prefix = std::string{};
    auto lower = std::optional<std::string>{};
    auto upper = std::optional<std::string>{};
    if (variant == 1) {
        prefix = "customer/";
        lower = prefix;
        upper = "customer0";
    } else if (variant == 2) {
        prefix = std::string(page_limits<page_size>::key_bytes_max / 2, 'p');
        lower = prefix + std::string(1, '\0');
        upper = prefix + "\xFF\xFF";
    }
    auto work = rig<page_size>{seed, prefix, lower, upper};
    auto const steps = jetpp_test::rounds(100'000 / 3);
    for (auto i = std::uint64_t{0}; i < steps; ++i) {
        work.step();
        if (i % 256 == 0) work.compare();
    }
    work.compare();
}

TEST_CASE("a page holds two rows of the largest size beside two fences of the largest", "[page]") {
    auto const try_it = []<std::size_t PageSize>(size_of_page<PageSize>) {
        using limits = page_limits<PageSize>;
        auto page = page_memory_block<PageSize>{};
        auto const lower = std::string(limits::key_bytes_max, 'a');
        auto const upper = std::string(limits::key_bytes_max, 'd');
        REQUIRE(page.edit().format(
            {.number = {99}, .tree = {16}, .lower = as_bytes(lower), .upper = as_bytes(upper)}
        ));
        auto const value = std::string(limits::inline_value_bytes_max, 'v');
        for (auto const c : {'b', 'c'}) {
            auto const key = std::string(limits::key_bytes_max, c);
            auto const at = page.view().search(as_bytes(key));
            CHECK(page.edit().insert(at.slot, as_bytes(key), as_bytes(value)));
        }
        CHECK(check_page(page.view()) == damage::none);
        CHECK(page.view().value(1).size() == limits::inline_value_bytes_max);
        CHECK(page.view().key_bytes(0) == limits::key_bytes_max);
        auto const long_key = std::string(limits::key_bytes_max + 1, 'b');
        CHECK_FALSE(page.edit().insert(1, as_bytes(long_key), {}));
        auto const long_value = std::string(limits::inline_value_bytes_max + 1, 'v');
        CHECK_FALSE(page.edit().insert(1, as_bytes(std::string{"bc"}), as_bytes(long_value)));
    };
    try_it(size_of_page<4096>{});
    try_it(size_of_page<8192>{});
    try_it(size_of_page<16384>{});
    try_it(size_of_page<32768>{});
    try_it(size_of_page<65536>{});
}

TEST_CASE("a 64K page counts beyond 16 bits where it must", "[page]") {
    auto page = page_memory_block<65536>{};
    REQUIRE(page.edit().format({.number = {9}, .tree = {16}}));
    CHECK(page.view().heap_begin() == 65536);
    CHECK(page.view().total_free() == 65408);
    REQUIRE(page.edit().insert(0, {}, {}));
    CHECK(page.view().slot(0).offset() == 65534);
    REQUIRE(page.edit().remove(0));
    CHECK(page.view().heap_begin() == 65536);
    // As many of the smallest rows as the format allows: the key is the row's number.
    auto rows = std::uint32_t{0};
    for (;; ++rows) {
        std::byte key[2];
        store_be<std::uint16_t>(key, static_cast<std::uint16_t>(rows));
        if (!page.edit().insert(page.view().row_count(), key, {})) break;
    }
    CHECK(rows == 65408 / 12);
    CHECK(check_page(page.view()) == damage::none);
    // Nearly the whole heap dead: only the last cell stays where it is.
    while (page.view().row_count() > 1) REQUIRE(page.edit().remove(0));
    CHECK(page.view().dead_bytes() == (rows - 1) * 4);
    CHECK(check_page(page.view()) == damage::none);
    page.edit().compact();
    CHECK(page.view().dead_bytes() == 0);
    CHECK(page.view().slot(0).offset() == 65532);
    CHECK(page.view().total_free() == 65408 - 12);
    CHECK(check_page(page.view()) == damage::none);
}

TEST_CASE("an empty key, an empty value and keys that differ in length only are rows", "[page]") {
    auto page = page_memory_block<4096>{};
    REQUIRE(page.edit().format({.number = {40}, .tree = {16}}));
    auto const zero = std::string(5, '\0');
    for (std::size_t n = 6; n-- > 0;) {
        auto const key = const_bytes{as_bytes(zero).first(n)};
        auto const at = page.view().search(key);
        CHECK(at.slot == 0);
        CHECK_FALSE(at.found);
        CHECK(page.edit().insert(at.slot, key, {}));
    }
    for (std::size_t n = 0; n < 6; ++n) {
        auto const at = page.view().search(as_bytes(zero).first(n));
        CHECK(at.found);
        CHECK(at.slot == n);
    }
    CHECK(check_page(page.view()) == damage::none);
}

TEST_CASE("a page refuses what redo could only get from damage", "[page]") {
    auto page = page_memory_block<4096>{};
    REQUIRE(page.edit().format(
        {.number = {40},
         .tree = {16},
         .lower = as_bytes(std::string_view{"b"}),
         .upper = as_bytes(std::string_view{"x"})}
    ));
    auto const row = [](std::string_view t) { return as_bytes(t); };
    REQUIRE(page.edit().insert(0, row("c"), row("1")));
    REQUIRE(page.edit().insert(1, row("m"), row("2")));
    auto const before = rows_of(page.view());
    CHECK_FALSE(page.edit().insert(0, row("c"), row("again")));
    CHECK_FALSE(page.edit().insert(0, row("d"), row("out of order")));
    CHECK_FALSE(page.edit().insert(2, row("d"), row("out of order")));
    CHECK_FALSE(page.edit().insert(3, row("n"), row("no such slot")));
    CHECK_FALSE(page.edit().insert(0, row("a"), row("below the lower fence")));
    CHECK_FALSE(page.edit().insert(2, row("x"), row("the upper fence is exclusive")));
    CHECK_FALSE(page.edit().remove(2));
    CHECK_FALSE(page.edit().set_flags(2, row_flags::ghost));
    CHECK_FALSE(page.edit().replace_value(2, row("v"), row_flags::none));
    CHECK_FALSE(page.edit().add_child(0, {50}, row("d")));
    CHECK_FALSE(page.edit().set_child(0, {50}));
    CHECK_FALSE(page.edit().drop_child(0));
    CHECK_FALSE(page.edit().empty_inner());
    CHECK_FALSE(page.edit().cut_right(3, row("t")));
    CHECK_FALSE(page.edit().cut_right(2, row("m")));  // would leave a row at its fence
    CHECK_FALSE(page.edit().cut_right(2, row("xx"))); // fences only move left
    CHECK_FALSE(page.edit().cut_right(0, row("b")));  // nothing could live here
    CHECK_FALSE(page.edit().append(row("w"), {0}, 0, {}));
    CHECK_FALSE(page.edit().append(row("z"), {0}, 1, {})); // one row said, none there
    CHECK_FALSE(page.edit().format({.lower = row("b"), .upper = row("b")}));
    CHECK(rows_of(page.view()) == before);
    CHECK(check_page(page.view()) == damage::none);
}

TEST_CASE("a page whose fences share nothing or everything searches right", "[page]") {
    auto page = page_memory_block<4096>{};
    REQUIRE(page.edit().format(
        {.number = {40},
         .tree = {16},
         .lower = as_bytes(std::string_view{"abc"}),
         .upper = as_bytes(std::string_view{"abcde"})}
    ));
    CHECK(as_text(page.view().prefix()) == "abc");
    REQUIRE(page.edit().insert(0, as_bytes("abc"), as_bytes("at the fence")));
    REQUIRE(page.edit().insert(1, as_bytes("abcd"), as_bytes("inside")));
    CHECK(page.view().search(as_bytes("ab")).slot == 0);
    CHECK(page.view().search(as_bytes("abc")).found);
    CHECK(page.view().search(as_bytes("abcd")).found);
    CHECK(page.view().search(as_bytes("abd")).slot == 2);
    CHECK(page.view().search(as_bytes("")).slot == 0);
    CHECK(page.view().search(as_bytes("b")).slot == 2);
    CHECK(page.view().compare_key(0, as_bytes("ab")) > 0);
    CHECK(page.view().compare_key(0, as_bytes("abc")) == 0);
    CHECK(page.view().compare_key(0, as_bytes("abc\x01")) < 0);
}

TEMPLATE_TEST_CASE("cutting a page and putting the halves together again changes nothing", "[page]", size_of_page<4096>, size_of_page<8192>, size_of_page<65536>) {
    constexpr auto page_size = std::size_t{TestType::value};
    auto const seed = GENERATE(take(40, random(0u, ~0u)));
    CAPTURE(seed);
    auto const framed = seed % 2 == 0;
    auto const prefix = std::string{framed ? "customer/" : ""};
    auto const lower = framed ? std::optional<std::string>{prefix} : std::nullopt;
    auto const upper = framed ? std::optional<std::string>{"customer0"} : std::nullopt;
    auto work = rig<page_size>{seed, prefix, lower, upper};
    for (auto i = 0; i < 300 || work.rows.size() < 3; ++i) work.step();
    work.compare();

    auto const whole = work.page.view();
    auto const count = whole.row_count();
    auto const first = 1 + work.source.below(count - 1);
    auto last_left = key_buffer<page_size>{};
    auto first_right = key_buffer<page_size>{};
    auto const left_key = whole.copy_key(first - 1, last_left.all());
    auto const right_key = whole.copy_key(first, first_right.all());
    auto const separator = text(right_key.first(common_prefix(left_key, right_key) + 1));

    // The right half, built from a row list like that of a structure record.
    auto right = page_memory_block<page_size>{};
    auto const format = page_format{
        .number = {78}, .tree = {16}, .lower = as_bytes(separator), .upper = whole.upper_fence()
    };
    auto const right_prefix = prefix_of(format.lower, format.upper);
    auto rows = std::vector<std::byte>(encoded_rows_bytes(whole, first, count, right_prefix));
    CHECK(encode_rows(whole, first, count, right_prefix, rows) == rows.size());
    REQUIRE(right.edit().format(format, count - first, rows));
    REQUIRE(check_page(right.view()) == damage::none);

    // The left half, cut in place.
    auto left = page_memory_block<page_size>{};
    std::memcpy(left.data(), work.page.data(), page_size);
    REQUIRE(left.view().fits_cut(first, as_bytes(separator)));
    REQUIRE(left.edit().cut_right(first, as_bytes(separator)));
    REQUIRE(check_page(left.view()) == damage::none);
    CHECK(left.view().bytes_used() == heap_bytes_of(left.view()));
    auto both = rows_of(left.view());
    both.merge(rows_of(right.view()));
    CHECK(both == work.rows);

    // Together again: the prefix shrinks to what it was.
    auto const common = prefix_of(whole.lower_fence(), whole.upper_fence());
    auto again =
        std::vector<std::byte>(encoded_rows_bytes(right.view(), 0, right.view().row_count(), common)
        );
    encode_rows(right.view(), 0, right.view().row_count(), common, again);
    CHECK(again == [&] {
        auto direct = std::vector<std::byte>(encoded_rows_bytes(whole, first, count, common));
        encode_rows(whole, first, count, common, direct);
        return direct;
    }());
    auto const merged = merged_bytes(left.view(), right.view());
    REQUIRE(fits_append(left.view(), whole.upper_fence(), count - first, again));
    REQUIRE(left.edit().append(whole.upper_fence(), {0}, count - first, again));
    CHECK(check_page(left.view()) == damage::none);
    CHECK(same_content(left.view(), whole));
    CHECK(left.view().bytes_used() == merged);
    CHECK(left.view().bytes_used() == whole.bytes_used());
}

TEST_CASE("a full page takes a fence only if it fits", "[page]") {
    auto page = page_memory_block<4096>{};
    REQUIRE(page.edit().format({.number = {40}, .tree = {16}}));
    auto next = 0;
    for (;; ++next) {
        auto const key = "key" + std::to_string(100'000 + next);
        if (!page.edit().insert(
                page.view().row_count(), as_bytes(key), as_bytes(std::string(30, 'v'))
            ))
            break;
    }
    auto const count = page.view().row_count();
    auto const long_fence = std::string(440, 'z');
    CHECK_FALSE(page.view().fits_cut(count, as_bytes(long_fence)));
    CHECK_FALSE(page.edit().cut_right(count, as_bytes(long_fence)));
    CHECK(page.view().fits_cut(count - 20, as_bytes(long_fence)));
    auto const short_fence = "key" + std::to_string(100'000 + next);
    if (page.view().fits_cut(count, as_bytes(short_fence)))
        CHECK(page.edit().cut_right(count, as_bytes(short_fence)));
    CHECK(page.edit().cut_right(count - 20, as_bytes("key" + std::to_string(100'000 + next - 20))));
    CHECK(check_page(page.view()) == damage::none);
}

TEST_CASE("an inner page sends every key to the child that covers it", "[page]") {
    auto const seed = GENERATE(take(20, random(0u, ~0u)));
    CAPTURE(seed);
    auto page = page_memory_block<4096>{};
    REQUIRE(page.edit().format(
        {.number = {40},
         .tree = {16},
         .kind = page_kind::inner,
         .level = 1,
         .upper_child = {1000},
         .lower = as_bytes(std::string_view{"k"}),
         .upper = as_bytes(std::string_view{"l"})}
    ));
    auto source = key_source{seed, "k", 60};
    auto children = std::map<std::string, std::uint32_t>{}; // separator -> the child below it
    auto child_of = [&](std::string const& key) {
        auto const above = children.upper_bound(key);
        return above == children.end() ? 1000 : above->second;
    };
    auto number = std::uint32_t{100};
    for (auto i = 0; i < 600; ++i) {
        auto const key = source.key();
        auto const at = page.view().search(as_bytes(key));
        if (source.below(5) == 0 && !children.empty()) {
            auto const victim = std::next(
                children.begin(), source.below(static_cast<std::uint32_t>(children.size()))
            );
            auto const slot = page.view().search(as_bytes(victim->first)).slot;
            CHECK(page.view().index_of_child({victim->second}) == slot);
            CHECK(page.edit().drop_child(slot));
            children.erase(victim);
        } else if (!at.found && page.view().covers(as_bytes(key))) {
            auto const room = page.view().fits_row(as_bytes(key), 0);
            CHECK(
                page.edit().add_child(at.slot, {++number}, as_bytes(key)) == (room && key != "k")
            );
            if (room && key != "k") children[key] = number;
        }
        auto const wanted = source.key();
        CHECK(page.view().child_for(as_bytes(wanted)).value == child_of(wanted));
        if (i % 16 == 0) CHECK(check_page(page.view()) == damage::none);
    }
    for (auto const& [separator, child] : children) {
        auto const slot = page.view().search(as_bytes(separator)).slot;
        CHECK(page.view().child(slot).value == child);
        // A separator itself belongs to the child above it; strictly below it is this one.
        CHECK(page.view().child_index(as_bytes(separator)) == slot + 1);
        CHECK(page.view().child_index_before(as_bytes(separator)) == slot);
    }
    CHECK(page.edit().set_child(0, {2000}));
    CHECK(page.view().child(0).value == 2000);
    CHECK(page.edit().set_child(upper_child_slot, {3000}));
    CHECK(page.view().upper_child().value == 3000);
    CHECK(check_page(page.view()) == damage::none);
}

TEST_CASE(
    "an inner page splits, and its halves merge around the separator between them", "[page]"
) {
    auto const seed = GENERATE(take(20, random(0u, ~0u)));
    CAPTURE(seed);
    auto source = key_source{seed, "", 200};
    auto whole = page_memory_block<4096>{};
    REQUIRE(whole.edit().format(
        {.number = {40}, .tree = {16}, .kind = page_kind::inner, .level = 2, .upper_child = {1000}}
    ));
    for (auto number = std::uint32_t{100}; whole.view().total_free() > 300; ++number) {
        auto const key = source.key();
        auto const at = whole.view().search(as_bytes(key));
        if (!at.found && !key.empty())
            REQUIRE(whole.edit().add_child(at.slot, {number}, as_bytes(key)));
    }
    auto const count = whole.view().row_count();
    auto const middle = 1 + source.below(count - 2);
    auto raised = key_buffer<4096>{};
    auto const separator = text(whole.view().copy_separator(middle, raised.all()));

    auto right = page_memory_block<4096>{};
    auto rows = std::vector<std::byte>(encoded_rows_bytes(whole.view(), middle + 1, count, 0));
    encode_rows(whole.view(), middle + 1, count, 0, rows);
    REQUIRE(right.edit().format(
        {.number = {41},
         .tree = {16},
         .kind = page_kind::inner,
         .level = 2,
         .upper_child = whole.view().upper_child(),
         .lower = as_bytes(separator)},
        count - middle - 1,
        rows
    ));
    auto left = page_memory_block<4096>{};
    std::memcpy(left.data(), whole.data(), 4096);
    REQUIRE(left.edit().cut_right(middle, as_bytes(separator), whole.view().child(middle)));
    CHECK(check_page(left.view()) == damage::none);
    CHECK(check_page(right.view()) == damage::none);
    CHECK(left.view().row_count() + right.view().row_count() == count - 1);

    // Merge: the left page's upper child comes down with the separator, then the right rows.
    auto list = std::vector<std::byte>(
        row_header_bytes + separator.size() + 4 +
        encoded_rows_bytes(right.view(), 0, right.view().row_count(), 0)
    );
    std::byte child[4];
    store_le<std::uint32_t>(child, left.view().upper_child().value);
    auto const used = encode_row(list.data(), row_flags::none, {}, as_bytes(separator), child);
    encode_rows(right.view(), 0, right.view().row_count(), 0, bytes{list}.subspan(used));
    auto const merged = merged_bytes(left.view(), right.view());
    REQUIRE(left.edit().append(
        std::nullopt, right.view().upper_child(), right.view().row_count() + 1, list
    ));
    CHECK(check_page(left.view()) == damage::none);
    CHECK(same_content(left.view(), whole.view()));
    CHECK(left.view().bytes_used() == merged);
}

TEST_CASE("a drop batch takes children from the back until none is left", "[page]") {
    auto page = page_memory_block<4096>{};
    REQUIRE(page.edit().format(
        {.number = {40},
         .tree = {16},
         .kind = page_kind::inner,
         .level = 3,
         .flags = page_flag::root,
         .upper_child = {103}}
    ));
    REQUIRE(page.edit().add_child(0, {101}, as_bytes("g")));
    REQUIRE(page.edit().add_child(1, {102}, as_bytes("p")));
    CHECK(page.edit().drop_child(upper_child_slot));
    CHECK(page.view().upper_child().value == 102);
    CHECK(page.view().row_count() == 1);
    CHECK(page.edit().drop_child(1));
    CHECK(page.view().upper_child().value == 101);
    CHECK(page.view().row_count() == 0);
    CHECK(page.edit().drop_child(0));
    CHECK(page.view().upper_child().value == 0);
    CHECK_FALSE(page.edit().drop_child(0));
    CHECK(check_page(page.view()) == damage::none);
    CHECK(page.edit().empty_inner());
    CHECK(page.view().is_leaf());
    CHECK(page.view().is_root());
    CHECK(page.view().level() == 0);
    CHECK(page.view().total_free() == page_limits<4096>::content_bytes);
    CHECK(check_page(page.view()) == damage::none);
}

TEST_CASE("an inner page between odd fences becomes an empty leaf between the same", "[page]") {
    auto page = page_memory_block<4096>{};
    REQUIRE(page.edit().format(
        {.number = {40},
         .tree = {16},
         .kind = page_kind::inner,
         .level = 1,
         .upper_child = {103},
         .lower = as_bytes(std::string_view{"a"}),
         .upper = as_bytes(std::string_view{"abcde"})}
    ));
    REQUIRE(page.edit().add_child(0, {101}, as_bytes("abc")));
    CHECK(page.edit().empty_inner());
    CHECK(as_text(*page.view().lower_fence()) == "a");
    CHECK(as_text(*page.view().upper_fence()) == "abcde");
    CHECK(page.view().row_count() == 0);
    CHECK(check_page(page.view()) == damage::none);
}

TEST_CASE("format keeps nothing of the former page but its flush counter", "[page]") {
    auto page = page_memory_block<4096>{};
    for (std::size_t i = 0; i < 4096; ++i) page.data()[i] = std::byte{0xFF};
    REQUIRE(page.edit().format({.number = {40}, .tree = {16}, .flags = page_flag::root}));
    CHECK(page.view().flags() == (page_flag::flush_counter | page_flag::root));
    CHECK(page.view().page_lsn() == no_lsn);
    CHECK(all_zero(page.view().all().subspan(page_offset::content)));
    CHECK(check_page(page.view()) == damage::none);
}

} // namespace jetpp_test::page_editor_cases
