// test/backup/external_table.cpp - the state machine of external sessions, pair by pair.
#include "external_table.hpp"

#include <jetpp/backup/page_ranges.hpp>
#include <jetpp/recovery/entry_gate.hpp>

#include <bitset>
#include <random>

#include "../budget.hpp"
#include "../catch.hpp"

namespace jetpp_test::external_table_cases {

using namespace jetpp;

constexpr auto copied_to = lsn{1000};

// A machine in the state named, with one database of 20 pages and two segments.
external_state machine_in(std::string_view state) {
    auto s = external_state{};
    if (state == "none") return s;
    s.begun(state == "inc", 1);
    if (state == "inc") return s;
    auto const rolled = !state.starts_with("db");
    if (rolled) {
        s.frozen(0, 20);
        auto all = page_ranges{};
        REQUIRE(all.add(0, 20));
        REQUIRE(s.delivered(0, all));
        s.trailer_delivered(0, copied_to);
        REQUIRE(s.rolled(2));
    }
    if (state == "read" || state == "log+R+T") {
        s.segment_read(1);
        s.segment_read(0);
    }
    if (state == "log+R+T") s.truncation_asked();
    if (state.find("+H") != state.npos) s.opened();
    if (state.find("+S") != state.npos) s.stop();
    return s;
}

external_call call_named(std::string_view name, bool has_handle) {
    using enum external_call;
    if (name == "begin") return begin;
    if (name == "list databases") return list_databases;
    if (name == "open database") return open_database;
    if (name == "open log") return open_log;
    if (name == "open unknown") return open_other;
    if (name == "read") return has_handle ? read : read_wrongly;
    if (name == "read an odd size") return read_wrongly;
    if (name == "close") return has_handle ? close : close_unknown;
    if (name == "close unknown") return close_unknown;
    if (name == "list logs") return list_logs;
    if (name == "list truncatable") return list_truncatable;
    if (name == "truncate") return truncate;
    if (name == "end normal") return end_normal;
    if (name == "end abort") return end_abort;
    if (name == "end both" || name == "end neither") return end_wrongly;
    REQUIRE(name == "stop");
    return stop;
}

// Does what the machine allows, as the session over an instance does.
errc carry_out(external_state& s, external_call call) {
    using enum external_call;
    auto const answer = s.ask(call);
    if (answer.tears_down) s.ended();
    if (answer.refused != errc::none) return answer.refused;
    auto code = errc::none;
    switch (call) {
    case begin: s.begun(false, 1); break;
    case open_database:
    case open_log: s.opened(); break;
    case close: s.closed(); break;
    case list_logs:
    case list_truncatable:
        if (!s.is_rolled()) REQUIRE(s.rolled(2));
        break;
    case truncate: s.truncation_asked(); break;
    case stop: s.stop(); break;
    case end_normal: code = s.ending().why; [[fallthrough]];
    case end_abort: s.ended(); break;
    default: break;
    }
    return code;
}

std::string text_of(external_state const& s) {
    return state_text(s.phase(), s.handles(), s.is_rolled(), s.is_stopped(), s.is_truncating());
}

TEST_CASE(
    "every call of an external session in every state answers as the table", "[backup][external]"
) {
    auto pairs = 0;
    for (auto const& row : external_rows) {
        for (std::size_t i = 0; i < state_count; ++i) {
            auto const state = external_states[i];
            CAPTURE(row.call, state);
            auto s = machine_in(state);
            auto const expected = parse_cell(row.cells[i], state);
            auto const code = carry_out(s, call_named(row.call, s.handles() != 0));
            CHECK(name_of(code) == expected.code);
            CHECK(text_of(s) == expected.state);
            ++pairs;
        }
    }
    CHECK(pairs == 17 * 11);
}

TEST_CASE(
    "a database is copied when the set of its ranges is whole, not their sum", "[backup][external]"
) {
    auto s = machine_in("db");
    s.frozen(0, 20);
    auto const deliver = [&](std::uint64_t first, std::uint64_t end) {
        auto some = page_ranges{};
        REQUIRE(some.add(first, end));
        REQUIRE(s.delivered(0, some));
    };
    CHECK_FALSE(s.is_partial(1));
    deliver(10, 20);
    deliver(10, 20); // twenty pages by now
    s.page_seen(0, lsn{500});
    s.trailer_delivered(0, copied_to);
    CHECK_FALSE(s.is_complete(0));
    CHECK(s.is_partial(0));
    deliver(0, 9);
    CHECK_FALSE(s.is_complete(0));
    deliver(5, 10);
    CHECK(s.is_complete(0));
    // A page read again that is younger than the trailer: the trailer is too old.
    s.page_seen(0, copied_to);
    CHECK_FALSE(s.is_complete(0));
    s.trailer_delivered(0, copied_to + 8);
    CHECK(s.is_complete(0));
}

TEST_CASE("the end of a session is what was read of it", "[backup][external]") {
    auto const with = [](auto&& change) {
        auto s = external_state{};
        s.begun(false, 3);
        auto all = page_ranges{};
        REQUIRE(all.add(0, 20));
        for (std::size_t i = 0; i < 2; ++i) {
            s.frozen(i, 20);
            REQUIRE(s.delivered(i, all));
            s.trailer_delivered(i, copied_to);
        }
        REQUIRE(s.rolled(3));
        for (std::size_t i = 0; i < 3; ++i) s.segment_read(i);
        change(s);
        return s.ending();
    };
    CHECK(with([](auto&) {}).why == errc::none); // the third was never opened: it is not copied
    CHECK(with([](auto& s) { s.failed(0); }).why == errc::none);
    auto const partial = with([](auto& s) { s.frozen(2, 10); });
    CHECK(partial.why == errc::database_incomplete);
    CHECK(partial.database == 2);
    auto const no_one = with([](auto& s) {
        s.failed(0);
        s.failed(1);
    });
    CHECK(no_one.why == errc::database_incomplete);
    CHECK(no_one.database == 3);
    CHECK(with([](auto& s) { s.stop(); }).why == errc::backup_stopped);

    // One segment twice and one never: a sum would not see it.
    auto s = external_state{};
    s.begun(true, 1);
    REQUIRE(s.rolled(3));
    s.segment_read(0);
    s.segment_read(0);
    s.segment_read(2);
    CHECK(s.ending().why == errc::logs_unread);
    CHECK(s.ending().segment == 1);
    CHECK(s.ask(external_call::truncate).refused == errc::logs_unread);
    s.segment_read(1);
    CHECK(s.ending().why == errc::none); // of an incremental one: there is nothing else to read
}

TEST_CASE("random sequences of calls never stamp but from a whole session", "[backup][external]") {
    auto good = 0;
    for (auto seed = 1U; seed <= rounds(3000); ++seed) {
        auto random = std::mt19937{seed};
        auto s = external_state{};
        auto read = std::bitset<2>{};
        auto whole = false;
        for (auto step = 0; step < 60; ++step) {
            auto const call = static_cast<external_call>(random() % 16);
            auto const before = s.is_active();
            if (call == external_call::close && s.handles() == 0) continue;
            auto const code = carry_out(s, call);
            CAPTURE(seed, step);
            if (call == external_call::begin && code == errc::none) {
                read.reset();
                whole = false;
            }
            if (call == external_call::end_normal && code == errc::none) {
                REQUIRE(before);
                REQUIRE(whole);
                REQUIRE(read.all());
                ++good;
            }
            // What a caller would read between two calls.
            if (s.phase() == external_phase::databases && s.handles() == 0 && random() % 2 == 0) {
                s.frozen(0, 20);
                auto all = page_ranges{};
                REQUIRE(all.add(0, 20));
                REQUIRE(s.delivered(0, all));
                s.trailer_delivered(0, copied_to);
                whole = true;
            }
            if (s.is_rolled()) {
                auto const i = random() % 4;
                if (i < 2) {
                    s.segment_read(i);
                    read.set(i);
                }
            }
        }
    }
    CHECK(good > 20);
}

TEST_CASE("ranges of pages keep a set", "[backup][external]") {
    for (auto seed = 1U; seed <= rounds(200); ++seed) {
        auto random = std::mt19937{seed};
        auto ranges = page_ranges{};
        auto model = std::bitset<80>{};
        for (auto i = 0; i < 12; ++i) {
            auto const first = random() % 60;
            auto const end = first + random() % 8;
            REQUIRE(ranges.add(first, end));
            for (auto n = first; n < end; ++n) model.set(n);
        }
        REQUIRE(ranges.count() == model.count());
        for (auto first = 0U; first < 64; ++first) {
            auto whole = true;
            for (auto end = first + 1; end <= 64; ++end) {
                whole = whole && model.test(end - 1);
                REQUIRE(ranges.covers(first, end) == whole);
            }
        }
        auto last = std::uint64_t{0};
        for (auto const& one : ranges.all()) {
            REQUIRE(one.first < one.end);
            REQUIRE((last == 0 || one.first > last));
            last = one.end;
        }
    }
}

TEST_CASE("the gate refuses in one order", "[recovery][external]") {
    using enum instance_phase;
    static_assert(refusal_at_gate({}, true) == errc::none);
    // Everything is wrong: each repair brings the next reason to light.
    auto facts = gate_facts{
        .known = false,
        .service_stopped = true,
        .failed = true,
        .phase = terminating,
        .allows_backups = false
    };
    CHECK(refusal_at_gate(facts, true) == errc::invalid_argument);
    facts.known = true;
    CHECK(refusal_at_gate(facts, true) == errc::service_stopped);
    facts.service_stopped = false;
    CHECK(refusal_at_gate(facts, true) == errc::instance_failed);
    facts.failed = false;
    CHECK(refusal_at_gate(facts, true) == errc::terminating);
    facts.phase = restoring;
    CHECK(refusal_at_gate(facts, true) == errc::restoring);
    facts.phase = recovering;
    CHECK(refusal_at_gate(facts, true) == errc::not_initialised);
    facts.phase = not_initialised;
    CHECK(refusal_at_gate(facts, true) == errc::not_initialised);
    facts.phase = running;
    CHECK(refusal_at_gate(facts, true) == errc::backup_not_allowed);
    CHECK(refusal_at_gate(facts, false) == errc::none);
}

} // namespace jetpp_test::external_table_cases
