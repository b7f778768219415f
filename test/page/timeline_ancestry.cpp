// test/page/timeline_ancestry.cpp - what is believed of the forks that led to a timeline.
#include <jetpp/page/timeline_ancestry.hpp>

#include <algorithm>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::timeline_ancestry_cases {

using namespace jetpp;

using fork_list = std::vector<timeline_fork>;

constexpr auto t1 = timeline_id{1};
constexpr auto t2 = timeline_id{2};
constexpr auto t3 = timeline_id{3};
constexpr auto guest = timeline_id{99};

fork_list forks_of(timeline_ancestry const& line) {
    return {line.forks().begin(), line.forks().end()};
}
fork_list forks_of(database_header const& h) {
    return {h.ancestry().begin(), h.ancestry().end()};
}

database_header header_of(timeline_id timeline, fork_list const& forks, lsn attach_lsn) {
    auto h = database_header{};
    h.timeline = timeline;
    h.attach_lsn = attach_lsn;
    std::copy(forks.begin(), forks.end(), h.ancestors.begin());
    h.ancestor_count = static_cast<std::uint32_t>(forks.size());
    return h;
}
// Lists in braces are nothing for a macro.
bool is(fork_list const& found, fork_list const& expected) {
    return found == expected;
}
bool learns(timeline_ancestry& line, timeline_id told, fork_list const& forks) {
    return line.learn(told, forks);
}

TEST_CASE("what the log says of the newest fork is beyond doubt", "[page]") {
    auto line = timeline_ancestry::of_log(t3, {t2, {200}});
    CHECK(is(forks_of(line), {{t2, {200}}}));
    CHECK_FALSE(learns(line, t3, {}));
    CHECK_FALSE(learns(line, t3, {{t1, {100}}}));
    CHECK_FALSE(learns(line, t3, {{t2, {190}}, {t1, {100}}}));
    CHECK(learns(line, t3, {{t2, {200}}, {t1, {100}}}));
    CHECK(is(forks_of(line), {{t2, {200}}, {t1, {100}}}));
    CHECK_FALSE(learns(line, t3, {{t2, {200}}}));

    auto root = timeline_ancestry::of_log(t1, {});
    CHECK_FALSE(learns(root, t1, {{guest, {50}}}));
    CHECK(root.forks().empty());
}

TEST_CASE("a timeline that led here tells of those before it", "[page]") {
    auto line = timeline_ancestry::of_log(t3, {t2, {200}});
    CHECK_FALSE(learns(line, t1, {{guest, {50}}})); // nobody said that it led here
    CHECK(learns(line, t2, {{t1, {100}}}));
    CHECK(is(forks_of(line), {{t2, {200}}, {t1, {100}}}));
}

TEST_CASE("of two lists the one with the earlier fork is right", "[page]") {
    auto line = timeline_ancestry::of(t3, fork_list{{t2, {290}}, {guest, {250}}, {t1, {90}}});
    CHECK_FALSE(learns(line, t3, {{t2, {290}}, {t1, {260}}}));
    CHECK(learns(line, t3, {{t2, {200}}}));
    CHECK(is(forks_of(line), {{t2, {200}}}));
    auto nothing = timeline_ancestry::of(t3, {});
    CHECK(nothing.learn(t3, line.forks()));
}

TEST_CASE("forks that somebody answers for are added to, and not changed", "[page]") {
    auto line = timeline_ancestry::of(t3, fork_list{{t2, {290}}});
    auto const earlier = fork_list{{t2, {200}}, {t1, {90}}};
    auto const longer = fork_list{{t2, {290}}, {t1, {90}}};
    CHECK(line.borne_out(t3, earlier) == 0);
    CHECK(line.borne_out(t3, longer) == 1);
    CHECK(line.borne_out(t2, std::span{earlier}.subspan(1)) == 1);
    CHECK(line.borne_out(guest, longer) == 0);
    CHECK_FALSE(line.learn(t3, earlier, 1));
    CHECK(line.learn(t3, longer, 1));
    CHECK(is(forks_of(line), longer));
    CHECK(line.learn(t3, earlier));
    CHECK(is(forks_of(line), earlier));
}

TEST_CASE("no more forks are known than a header has room for", "[page]") {
    auto many = fork_list{};
    for (auto i = std::uint64_t{40}; i > 0; --i) many.push_back({{i}, {i}});
    auto line = timeline_ancestry::of({41}, many);
    CHECK(line.forks().size() == ancestors_max);
    CHECK(line.forks().back() == timeline_fork{{10}, {10}});
    CHECK_FALSE(line.learn({40}, std::span{many}.subspan(1)));
    auto h = header_of(guest, {{t1, {500}}}, {500});
    follow(h, line);
    CHECK(h.ancestor_count == ancestors_max);
    CHECK(forks_of(h) == forks_of(line));
}

TEST_CASE("where a file was before its attach is no history of its instance", "[page]") {
    auto const line = timeline_ancestry::of(t3, fork_list{{t2, {200}}, {t1, {100}}});
    auto h = header_of(t3, {{guest, {300}}, {{98}, {7}}}, {300});
    CHECK(forks_of_instance(h).empty());
    follow(h, line);
    CHECK(h.timeline == t3);
    auto const known = fork_list{{t2, {200}}, {t1, {100}}, {guest, {300}}, {{98}, {7}}};
    CHECK(forks_of(h) == known);
    CHECK(forks_of_instance(h).size() == 2);
    follow(h, line);
    CHECK(forks_of(h) == known);
    // Attached again, it is so still.
    note_attach(h, {400});
    CHECK(h.attach_lsn == lsn{400});
    CHECK(forks_of_instance(h).size() == 2);
    CHECK(h.ancestry()[2] == timeline_fork{guest, {400}});
}

TEST_CASE("what an attach said of the own timelines is forgotten", "[page]") {
    auto const line = timeline_ancestry::of(t3, fork_list{{t2, {200}}, {t1, {100}}});
    auto h = header_of(t3, {{t1, {300}}, {guest, {50}}}, {300});
    follow(h, line);
    CHECK(is(forks_of(h), {{t2, {200}}, {t1, {100}}, {guest, {300}}}));
    CHECK(forks_of_instance(h).size() == 2);
}

} // namespace jetpp_test::timeline_ancestry_cases
