// test/recovery/change_stream.cpp - the changes of a log that is not followed by luck: gaps, bounds,
// tokens.
#include <jetpp/env/memory_storage.hpp>
#include <jetpp/jetpp.hpp>

#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "changes_bed.hpp"

namespace jetpp_test::change_stream_cases {

template <class Logging>
struct policies : default_policies {
    static constexpr std::size_t page_size = 4096;
    using logging = Logging;
    using threading = single_thread;
    using storage = memory_storage;
};
using archival = policies<archival_logging>;
using env_type = environment_of<archival>;

template <class T>
[[nodiscard]] T good(result<T>&& got) {
    if (!got) FAIL(describe(got.error()).c_str());
    return std::move(got).value();
}
inline void good(result<void>&& got) {
    if (!got) FAIL(describe(got.error()).c_str());
}

template <class Policies>
struct shop {
    using engine_type = engine<Policies>;

    shop() {
        good(db.attach("main"));
        rows = good(db.open_tree("main", "rows"));
    }
    // Commits so many transactions, of so many bytes each.
    void work(int count, std::size_t bytes) {
        for (auto i = 0; i < count; ++i) {
            auto const key = "k" + std::to_string(i % 50);
            (void)good(db.put(rows, key, std::string(bytes, 'a' + char(i % 26)), durability::memory)
            );
            if (i % 16 == 0) (void)good(db.poll());
        }
    }
    // All log but that which recovery needs is used again.
    void release_log() {
        for (auto i = 0; i < 3; ++i) good(db.checkpoint());
        auto& store = db.core().store;
        (void)good(store.log().release_below(store.durable_slot().redo_lsn));
    }
    [[nodiscard]] typename env_type::directory directory() {
        return good(env.storage.open_dir("/db", directory_how::must_exist));
    }
    [[nodiscard]] durable_bound bound() {
        return {
            .ask =
                [](void* whom) noexcept {
                    return static_cast<engine_type*>(whom)->core().store.log().durable_lsn();
                },
            .whom = &db
        };
    }

    env_type env{};
    engine_type db = good(engine_type::open(
        "/db",
        {.buffer_bytes = 1 << 20,
         .segment_bytes = 128 << 10,
         .log_ring_bytes = 128 << 10,
         .version_bytes = 32 << 20,
         .process_durability = false},
        env
    ));
    tree rows{};
};

TEST_CASE(
    "a commit shows what it did, under its names, and nothing that was undone",
    "[recovery][changes]"
) {
    auto s = shop<archival>{};
    {
        auto tx = good(s.db.begin());
        good(tx.put(s.rows, "a", "one"));
        {
            auto saved = good(tx.save());
            good(tx.put(s.rows, "a", "another one"));
            good(tx.put(s.rows, "b", "never"));
            (void)good(tx.create_tree("main", "never"));
            good(std::move(saved).roll_back());
        }
        auto const made = good(tx.create_tree("main", "more"));
        good(tx.put(made, "x", "y"));
        (void)good(std::move(tx).commit());
    }
    {
        auto tx = good(s.db.begin());
        good(tx.put(s.rows, "c", "rolled back"));
        std::move(tx).rollback();
    }
    {
        auto tx = good(s.db.begin());
        good(tx.put(s.rows, "a", "ONe"));
        CHECK(good(tx.erase(s.rows, "a")));
        good(tx.put(s.rows, "a", "again"));
        (void)good(std::move(tx).commit());
    }
    good(std::move(s.db).close());
    auto dir = s.directory();
    auto changes = good(read_changes(s.env, dir));
    auto seen = std::vector<std::string>{};
    for (;;) {
        auto const step = good(changes.next());
        if (step != change_step::transaction) {
            CHECK(step == change_step::end);
            break;
        }
        auto text = text_of(changes.transaction());
        seen.push_back(text.substr(text.find(':')));
    }
    CHECK(
        seen ==
        std::vector<std::string>{
            ": tree_create main/rows/=<",
            ": insert main/rows/a=one< tree_create main/more/=< insert main/more/x=y<",
            ": update main/rows/a=<[0on>ON] erase main/rows/a=<ONe "
            "insert main/rows/a=again<",
        }
    );
}

TEST_CASE("a filter wants a tree, and empty transactions only if asked", "[recovery][changes]") {
    auto s = shop<archival>{};
    auto const other = good(s.db.open_tree("main", "other"));
    s.work(20, 10);
    (void)good(s.db.put(other, "k", "v"));
    good(std::move(s.db).close());
    auto dir = s.directory();
    auto count = [&](change_options const& options) {
        auto changes = good(read_changes(s.env, dir, options));
        return drain(changes).texts.size();
    };
    CHECK(count({}) == 23);
    CHECK(count({.after = {}, .filter = {.tree = other.id()}}) == 2);
    CHECK(count({.after = {}, .filter = {.tree = other.id()}, .empty = true}) == 23);
    CHECK(count({.after = {}, .filter = {.database = database_id{7}}}) == 0);
}

TEST_CASE("a filter wants one transaction, and all of it", "[recovery][changes]") {
    auto s = shop<archival>{};
    auto tx = good(s.db.begin());
    good(tx.put(s.rows, "before", "it"));
    s.work(20, 10); // inside of it, as the log goes
    good(tx.put(s.rows, "and", "after"));
    (void)good(std::move(tx).commit());
    s.work(20, 10);
    good(std::move(s.db).close());
    auto dir = s.directory();
    auto first = no_lsn;
    auto all = good(read_changes(s.env, dir));
    while (good(all.next()) == change_step::transaction)
        if (text_of(all.transaction()).find("before") != std::string::npos)
            first = all.transaction().first;
    REQUIRE(first != no_lsn);

    auto only = good(read_changes(s.env, dir, {.after = {}, .filter = {.transaction = first}}));
    REQUIRE(good(only.next()) == change_step::transaction);
    CHECK(only.transaction().first == first);
    CHECK(text_of(only.transaction())
              .ends_with(": insert main/rows/before=it< insert main/rows/and=after<"));
    CHECK(good(only.next()) == change_step::end);
    auto const none = change_options{.after = {}, .filter = {.transaction = first + 1}};
    auto nothing = good(read_changes(s.env, dir, none));
    CHECK(good(nothing.next()) == change_step::end);
}

TEST_CASE(
    "what the log proves durable is shown, and with the engine's word all of it",
    "[recovery][follow]"
) {
    auto s = shop<archival>{};
    auto dir = s.directory();
    auto by_proof = good(follow_changes(s.env, dir));
    auto by_word = good(follow_changes(s.env, dir, {}, {.bound = s.bound()}));
    CHECK(drain(by_word).texts.size() == 1); // the tree
    for (auto i = std::size_t{0}; i < 40; ++i) {
        (void)good(s.db.put(s.rows, "k", "v" + std::to_string(i)));
        auto const told = drain(by_word);
        CHECK(told.texts.size() == 1);
        CHECK(told.last == change_step::waiting);
        // One commit carries the proof of the one before it.
        CHECK(drain(by_proof).texts.size() == 1);
    }
    (void)good(s.db.put(s.rows, "lazy", "v", durability::memory));
    CHECK(drain(by_word).texts.empty());
    good(std::move(s.db).close());
    CHECK(drain(by_proof).texts.size() == 2);
}

TEST_CASE(
    "a log that was recycled under its reader is a gap, and the reader goes on behind it",
    "[recovery][follow]"
) {
    auto s = shop<policies<circular_logging>>{};
    auto dir = s.directory();
    auto how = follow_options{.bound = s.bound()};
    auto records = good(log_follower<env_type>::open(s.env, dir, how));
    auto changes = good(follow_changes(s.env, dir, {}, how));
    auto idle = good(follow_changes(s.env, dir, {}, how));
    REQUIRE(drain(idle).texts.size() == 1);
    auto const token = idle.token();
    REQUIRE(good(records.next()) == log_step::record);
    auto const position = records.position();
    REQUIRE(good(changes.next()) == change_step::transaction);
    s.work(3000, 500); // a dozen segments
    s.release_log();
    REQUIRE(s.db.core().store.log().oldest_kept().value > position.value);

    auto gaps = 0;
    auto last = position;
    for (;;) {
        auto const step = good(records.next());
        if (step == log_step::waiting) break;
        if (step == log_step::gap) {
            ++gaps;
            CHECK(records.gap().from >= last);
            CHECK(records.gap().to > records.gap().from);
            continue;
        }
        CHECK(records.record().at >= last);
        last = records.record().next();
    }
    CHECK(gaps == 1);
    CHECK(last == s.db.core().store.log().durable_lsn());

    auto const ended = drain(changes);
    CHECK(ended.why.code == errc::log_gap);
    CHECK(ended.why.at);
    CHECK(drain(changes).why.code == errc::log_gap); // and stays so
    CHECK(drain(idle).why.code == errc::log_gap);
    auto const again = follow_changes(s.env, dir, {.after = token, .filter = {}}, how);
    REQUIRE(!again);
    CHECK(again.error().code == errc::log_gap);
    CHECK(again.error().at == token.scan);
}

TEST_CASE(
    "a transaction larger than the bound is an error, and a larger bound goes on",
    "[recovery][changes]"
) {
    auto s = shop<archival>{};
    s.work(10, 100);
    auto first = no_lsn;
    {
        auto tx = good(s.db.begin());
        first = s.db.core().store.log().tail();
        for (auto i = 0; i < 200; ++i)
            good(tx.put(s.rows, "big" + std::to_string(i), std::string(500, 'x')));
        (void)good(std::move(tx).commit());
    }
    good(std::move(s.db).close());
    auto dir = s.directory();
    auto options = change_options{.after = {}, .filter = {}, .buffered_bytes_max = 64 << 10};
    auto small = good(read_changes(s.env, dir, options));
    auto const got = drain(small);
    CHECK(got.texts.size() == 11);
    CHECK(got.why.code == errc::limit_exceeded);
    CHECK(got.why.at == first);
    options = {.after = small.token(), .filter = {}, .buffered_bytes_max = 1 << 20};
    auto large = good(read_changes(s.env, dir, options));
    CHECK(drain(large).texts.size() == 1);
}

TEST_CASE(
    "a transaction that began before the log that is left is left out, or a gap to a token",
    "[recovery][changes]"
) {
    auto s = shop<archival>{};
    auto tx = good(s.db.begin());
    good(tx.put(s.rows, "early", "bird"));
    auto dir = s.directory();
    auto early = good(follow_changes(s.env, dir, {}, {.bound = s.bound()}));
    (void)good(s.db.put(s.rows, "k", "v"));
    auto const token = drain(early).tokens.back();
    CHECK(token.scan < token.last); // the open one began before
    s.work(200, 900);
    (void)good(std::move(tx).commit());
    s.work(10, 10);
    s.release_log();
    auto const oldest = s.db.core().store.log().oldest_kept();
    REQUIRE(oldest.value > token.scan.value);
    good(std::move(s.db).close());
    auto late = good(read_changes(s.env, dir));
    auto const got = drain(late);
    CHECK(got.last == change_step::end);
    auto const resumed = read_changes(s.env, dir, {.after = token, .filter = {}});
    REQUIRE(!resumed);
    CHECK(resumed.error().code == errc::log_gap);
}

TEST_CASE("a token is of one instance and one history", "[recovery][changes]") {
    auto s = shop<archival>{};
    s.work(20, 50);
    good(std::move(s.db).close());
    auto dir = s.directory();
    auto changes = good(read_changes(s.env, dir));
    auto const token = drain(changes).tokens[10];
    auto const outcome = [&](change_token const& after) {
        auto again = read_changes(s.env, dir, {.after = after, .filter = {}});
        if (!again) return again.error().code;
        return drain(again.assume_value()).why.code;
    };
    CHECK(outcome(token) == errc::none);
    auto other = token;
    other.instance = make_uuid(1, 2);
    CHECK(outcome(other) == errc::log_foreign);
    other = token;
    other.timeline = {~token.timeline.value};
    CHECK(outcome(other) == errc::history_break);
    other = token;
    other.last = token.last + 8; // no commit stands there
    CHECK(outcome(other) == errc::history_break);

    auto const text = token.text();
    for (std::size_t i = 0; i < text.size(); ++i) {
        auto wrong = std::string{text.data(), text.size()};
        wrong[i] = wrong[i] == '0' ? '1' : '0';
        CHECK(!change_token::parse(wrong));
    }
    CHECK(!change_token::parse(std::string_view{text.data(), text.size() - 1}));
    CHECK(!change_token::parse(""));
    CHECK(good(change_token::parse({text.data(), text.size()})) == token);
}

} // namespace jetpp_test::change_stream_cases
