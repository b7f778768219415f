// What a program sees of the engine: isolation, trees, databases, tickets, refusals.
#include <jetpp/env/memory_storage.hpp>
#include <jetpp/jetpp.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::engine_cases {

using namespace jetpp;

struct small : default_policies {
    static constexpr std::size_t page_size = 4096;
    using storage = memory_storage;
};
struct other_page : small {
    static constexpr std::size_t page_size = 8192;
};
using db_type = engine<small>;

constexpr auto lazy = durability::memory;

struct bed {
    memory_storage disk{};
    open_options options{
        .buffer_bytes = std::size_t{1} << 20, .segment_bytes = std::uint64_t{128} << 10
    };
    [[nodiscard]] result<db_type> open() { return db_type::open("db", options, {disk, {}}); }
    [[nodiscard]] db_type opened() {
        auto db = open();
        INFO((db ? "" : describe(db.error()).c_str()));
        REQUIRE(db);
        REQUIRE(db.assume_value().attach("main"));
        return std::move(db).assume_value();
    }
};

template <class T>
T need(result<T> r) {
    INFO((r ? "" : describe(r.error()).c_str()));
    REQUIRE(r);
    return std::move(r).assume_value();
}
void need(result<void> const& r) {
    INFO((r ? "" : describe(r.error()).c_str()));
    REQUIRE(r);
}

// Succeeds, and the value does not matter.
template <class T>
void must(result<T> const& r) {
    INFO((r ? "" : describe(r.error()).c_str()));
    REQUIRE(r);
}

template <class Reads>
std::map<std::string, std::string> rows_of(Reads const& view, tree from, range wanted = {}) {
    auto rows = std::map<std::string, std::string>{};
    need(view.for_each(from, wanted, [&](row const& r) {
        rows.emplace(std::string{r.key}, std::string{r.value});
    }));
    return rows;
}

TEST_CASE("a snapshot does not move while others commit", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto const t = need(db.open_tree("main", "t"));
    must(db.put(t, "a", "1", lazy));
    must(db.put(t, "b", "1", lazy));
    auto const before = need(db.read());
    must(db.put(t, "a", "2", lazy));
    must(db.erase(t, "b", lazy));
    must(db.put(t, "c", "2", lazy));
    CHECK(rows_of(before, t) == std::map<std::string, std::string>{{"a", "1"}, {"b", "1"}});
    auto const after = need(db.read());
    CHECK(rows_of(after, t) == std::map<std::string, std::string>{{"a", "2"}, {"c", "2"}});
    CHECK(need(before.get(t, "c")) == std::nullopt);
    CHECK(need(before.get(t, "b")) == "1");
}

TEST_CASE("the first updater wins and the other is told at once", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto const t = need(db.open_tree("main", "t"));
    must(db.put(t, "a", "0", lazy));
    auto one = need(db.begin());
    auto two = need(db.begin());
    need(one.put(t, "a", "1"));
    auto const refused = two.put(t, "a", "2");
    REQUIRE(!refused);
    CHECK(refused.error().code == errc::write_conflict);
    must(std::move(one).commit(lazy));
    auto const late = two.put(t, "a", "2"); // committed since two began
    REQUIRE(!late);
    CHECK(late.error().code == errc::write_conflict);
    need(two.put(t, "b", "2"));
    must(std::move(two).commit(lazy));
    auto const view = need(db.read());
    CHECK(rows_of(view, t) == std::map<std::string, std::string>{{"a", "1"}, {"b", "2"}});
}

TEST_CASE("a locked key conflicts like a written one, with or without a row", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto const t = need(db.open_tree("main", "t"));
    auto one = need(db.begin());
    need(one.lock(t, "missing"));
    auto two = need(db.begin());
    auto const refused = two.put(t, "missing", "2");
    REQUIRE(!refused);
    CHECK(refused.error().code == errc::write_conflict);
    std::move(one).rollback();
    need(two.put(t, "missing", "2"));
    must(std::move(two).commit(lazy));
}

TEST_CASE("a scan that changes what lies ahead never meets its own changes", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto const t = need(db.open_tree("main", "t"));
    for (auto i = 100; i < 200; ++i) must(db.put(t, std::to_string(i), "x", lazy));
    auto tx = need(db.begin());
    auto seen = 0;
    {
        auto rows = need(tx.scan(t));
        while (need(rows.next())) {
            ++seen;
            auto const key = std::string{rows.current().key};
            must(tx.erase(t, key));
            need(tx.put(t, std::to_string(std::stoi(key) + 100), "moved"));
        }
    }
    CHECK(seen == 100);
    must(std::move(tx).commit(lazy));
    auto const view = need(db.read());
    auto const rows = rows_of(view, t);
    CHECK(rows.size() == 100);
    CHECK(rows.begin()->first == "200");
}

TEST_CASE("a savepoint takes back what came after it and nothing else", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto const t = need(db.open_tree("main", "t"));
    must(db.put(t, "old", "0", lazy));
    auto tx = need(db.begin());
    need(tx.put(t, "a", "1"));
    {
        auto saved = need(tx.save());
        need(tx.put(t, "a", "2"));
        need(tx.put(t, "b", "2"));
        must(tx.erase(t, "old"));
    } // destroyed: rolled back
    CHECK(rows_of(tx, t) == std::map<std::string, std::string>{{"a", "1"}, {"old", "0"}});
    {
        auto saved = need(tx.save());
        need(tx.put(t, "a", "3"));
        std::move(saved).keep();
    }
    must(std::move(tx).commit(lazy));
    auto const view = need(db.read());
    CHECK(rows_of(view, t) == std::map<std::string, std::string>{{"a", "3"}, {"old", "0"}});
}

TEST_CASE("a tree that was rolled back or dropped is gone, and its name is free", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    {
        auto tx = need(db.begin());
        auto const t = need(tx.create_tree("main", "t"));
        need(tx.put(t, "a", "1"));
        std::move(tx).rollback();
        auto const refused = db.put(t, "a", "1", lazy);
        REQUIRE(!refused);
        CHECK(refused.error().code == errc::tree_dropped);
    }
    auto const t = need(db.open_tree("main", "t"));
    for (auto i = 0; i < 3000; ++i) must(db.put(t, std::to_string(i), std::string(50, 'x'), lazy));
    {
        auto const older = need(db.read());
        auto tx = need(db.begin());
        auto blocker = need(db.begin());
        need(blocker.put(t, "0", "busy"));
        auto const busy = tx.drop_tree(t);
        REQUIRE(!busy);
        CHECK(busy.error().code == errc::busy);
        std::move(blocker).rollback();
        need(tx.drop_tree(t));
        must(std::move(tx).commit(lazy));
        CHECK(rows_of(older, t).size() == 3000); // an older snapshot reads on
        auto const newer = need(db.read());
        auto const refused = newer.get(t, "1");
        REQUIRE(!refused);
        CHECK(refused.error().code == errc::tree_dropped);
    }
    for (auto i = 0; i < 100 && need(db.poll()); ++i) {
    }
    auto const again = need(db.open_tree("main", "t"));
    auto const view = need(db.read());
    CHECK(rows_of(view, again).empty());
}

TEST_CASE("databases and rows are there again after close, and after an unclean end", "[engine]") {
    auto b = bed{};
    {
        auto db = b.opened();
        need(db.attach("second"));
        auto const t = need(db.open_tree("main", "t"));
        auto const u = need(db.open_tree("second", "t"));
        must(db.put(t, "a", "1"));
        must(db.put(u, "a", "2"));
        need(std::move(db).close());
    }
    for (auto life = 0; life < 3; ++life) {
        auto db = need(b.open());
        CHECK_FALSE(db.core().store.report().recovered);
        auto const t = need(db.open_tree("main", "t", open_how_tree::must_exist));
        auto const u = need(db.open_tree("second", "t", open_how_tree::must_exist));
        auto const view = need(db.read());
        CHECK(need(view.get(t, "a")) == "1");
        CHECK(need(view.get(u, "a")) == "2");
    }
}

TEST_CASE("a detached database can be attached again, by another instance too", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto const t = need(db.open_tree("main", "t"));
    must(db.put(t, "a", "1", lazy));
    need(db.detach("main"));
    auto const refused = db.put(t, "a", "2", lazy);
    REQUIRE(!refused);
    CHECK(refused.error().code == errc::tree_dropped);
    need(db.attach("main", attach_how::must_exist));
    auto const again = need(db.open_tree("main", "t", open_how_tree::must_exist));
    CHECK(need(need(db.read()).get(again, "a")) == "1");
    must(db.put(again, "b", "2", lazy));
    auto const missing = db.attach("nobody", attach_how::must_exist);
    REQUIRE(!missing);
    CHECK(missing.error().code == errc::not_found);
    for (auto const* name : {"jet.ckp", "../x", "", "a/b", ".hidden", "x.tmp"}) {
        auto const unsafe = db.attach(name);
        REQUIRE(!unsafe);
        CHECK(unsafe.error().code == errc::unsafe_name);
    }
}

TEST_CASE("opening with other policies names both values", "[engine]") {
    auto b = bed{};
    {
        auto db = b.opened();
    }
    auto const refused = engine<other_page>::open("db", b.options, {b.disk, {}});
    REQUIRE(!refused);
    CHECK(refused.error().code == errc::page_size_mismatch);
    CHECK(refused.error().found() == 4096);
    CHECK(refused.error().expected() == 8192);
}

TEST_CASE("an instance has one opener, and close names what is still open", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto const second = b.open();
    REQUIRE(!second);
    CHECK(second.error().code == errc::in_use);
    {
        auto const view = need(db.read());
        auto const busy = std::move(db).close();
        REQUIRE(!busy);
        CHECK(busy.error().code == errc::busy);
    }
    need(std::move(db).close());
}

TEST_CASE("a ticket can be waited for, also by a later incarnation", "[engine]") {
    auto b = bed{};
    auto receipt = ticket{};
    {
        auto db = b.opened();
        auto const t = need(db.open_tree("main", "t"));
        receipt = need(db.put(t, "a", "1", lazy));
        need(db.wait(receipt, durability::device));
        need(std::move(db).close());
    }
    auto db = need(b.open());
    CHECK(db.wait(receipt, durability::device));
    auto invented = receipt;
    invented.at = invented.at + 1'000'000;
    CHECK_FALSE(db.wait(invented, durability::device));
}

// A reader has nothing to lose; the log of two lives ago need not show a commit for him.
TEST_CASE("a reader's ticket is good in every later life", "[engine]") {
    auto b = bed{};
    auto receipts = std::vector<ticket>{};
    for (auto life = 0; life < 4; ++life) {
        auto db = b.opened();
        for (auto const& old : receipts) need(db.wait(old, durability::device));
        {
            auto tx = need(db.begin()); // before this life's first commit
            receipts.push_back(need(std::move(tx).commit(lazy)));
        }
        if (life != 0) {
            auto const rows = need(db.open_tree("main", "rows"));
            must(db.put(rows, "k", "v"));
            auto tx = need(db.begin());
            receipts.push_back(need(std::move(tx).commit(lazy)));
        }
        need(std::move(db).close());
    }
}

TEST_CASE("sizes beyond the limits are refused, the transaction goes on", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto const t = need(db.open_tree("main", "t"));
    auto tx = need(db.begin());
    auto const key = tx.put(t, std::string(449, 'k'), "v");
    REQUIRE(!key);
    CHECK(key.error().code == errc::key_too_large);
    auto const value = tx.put(t, "k", std::string(993, 'v'));
    REQUIRE(!value);
    CHECK(value.error().code == errc::value_too_large);
    need(tx.put(t, std::string(448, 'k'), std::string(992, 'v')));
    must(std::move(tx).commit(lazy));
}

TEST_CASE("a cursor that seeks outside its range stays within it", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto const rows = need(db.open_tree("main", "rows"));
    for (std::string const key : {"a", "b", "c", "d", "e"}) must(db.put(rows, key, "1", lazy));
    auto const view = need(db.read());
    auto const first_after_seek = [&](range wanted, char const* to) -> std::string {
        auto cursor = need(view.scan(rows, wanted));
        need(cursor.seek(std::string_view{to}));
        return need(cursor.next()) ? std::string{cursor.current().key} : "end";
    };
    CHECK(first_after_seek({.from = "b", .to = "d"}, "a") == "b");
    CHECK(first_after_seek({.from = "b", .to = "d"}, "c") == "c");
    CHECK(first_after_seek({.from = "b", .to = "d"}, "d") == "end");
    CHECK(first_after_seek({.from = "b", .to = "d", .backward = true}, "e") == "c");
    CHECK(first_after_seek({.from = "b", .to = "d", .backward = true}, "c") == "b");
    CHECK(first_after_seek({.from = "b", .to = "d", .backward = true}, "b") == "end");
}

TEST_CASE("a writer's limit counts its undo images, however small the profile", "[engine]") {
    auto b = bed{};
    b.options.buffer_bytes = 64 * 4096; // 64 KiB of undo a writer
    auto db = b.opened();
    auto const rows = need(db.open_tree("main", "rows"));
    auto const value = std::string(900, 'v');
    auto tx = need(db.begin());
    for (auto i = 0; i < 300; ++i) need(tx.put(rows, "k" + std::to_string(i), value));
    must(std::move(tx).commit(lazy));
    auto again = need(db.begin());
    auto refused = errc::none;
    auto put = 0;
    for (; put < 300 && refused == errc::none; ++put)
        if (auto const done = again.put(rows, "k" + std::to_string(put), "w"); !done)
            refused = done.error().code;
    CHECK(refused == errc::transaction_too_large);
    CHECK(put > 60); // 60 images of 900 bytes fit
    CHECK(put < 72);
    std::move(again).rollback();
    CHECK(need(db.read()).get(rows, "k0").value() == value);
}

TEST_CASE("a writer that keeps too much log hears it, and may still commit", "[engine]") {
    auto b = bed{};
    b.options.transaction_log_bytes = 300 << 10;
    auto db = b.opened();
    auto const rows = need(db.open_tree("main", "rows"));
    auto tx = need(db.begin());
    auto said = error{};
    auto put = std::size_t{0};
    for (; put < 10'000 && said.code == errc::none; ++put) {
        auto const done = tx.put(rows, "k" + std::to_string(put), std::string(500, 'x'));
        if (!done) said = done.error();
    }
    CHECK(said.code == errc::transaction_too_long);
    CHECK(said.at);
    CHECK(db.core().store.log().tail() - said.at > (300 << 10));
    CHECK(db.core().store.log().tail() - said.at < (330 << 10));
    need(tx.lock(rows, "other")); // takes no log
    must(std::move(tx).commit(lazy));
    CHECK(rows_of(need(db.read()), rows).size() == put - 1);
    must(db.put(rows, "k", "v", lazy));
    need(std::move(db).close());
}

TEST_CASE("transact runs again after a conflict", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto const t = need(db.open_tree("main", "t"));
    must(db.put(t, "n", "0", lazy));
    auto runs = 0;
    must(db.transact(
        [&](auto& tx) -> result<void> {
            if (++runs == 1) must(db.put(t, "n", "1", lazy)); // somebody is faster
            BOOST_OUTCOME_TRY(auto const found, tx.update(t, "n", [](std::string_view old) {
                return std::to_string(std::stoi(std::string{old}) + 10);
            }));
            CHECK(found);
            return ok();
        },
        lazy
    ));
    CHECK(runs == 2);
    CHECK(need(need(db.read()).get(t, "n")) == "11");
}

TEST_CASE("a savepoint takes back a drop and a create with the rest", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto const t = need(db.open_tree("main", "t"));
    for (auto i = 0; i < 300; ++i) must(db.put(t, std::to_string(i), std::string(50, 'x'), lazy));
    auto made = tree{};
    {
        auto tx = need(db.begin());
        {
            auto saved = need(tx.save());
            need(tx.drop_tree(t));
            made = need(tx.create_tree("main", "made"));
        }
        need(tx.put(t, "kept", "1"));
        must(std::move(tx).commit(lazy));
    }
    for (auto i = 0; i < 100 && need(db.poll()); ++i) {
    }
    CHECK(rows_of(need(db.read()), t).size() == 301);
    auto const refused = db.put(made, "a", "1", lazy);
    REQUIRE(!refused);
    CHECK(refused.error().code == errc::tree_dropped);
    need(std::move(db).close());
    auto again = need(b.open());
    auto const reopened = need(again.open_tree("main", "t", open_how_tree::must_exist));
    CHECK(rows_of(need(again.read()), reopened).size() == 301);
}

TEST_CASE("a thousand transactions that rest keep nobody from writing", "[engine]") {
    auto b = bed{};
    b.options = {}; // a ring of 4 MiB: each transaction keeps log credit between its operations
    auto db = b.opened();
    auto const t = need(db.open_tree("main", "t"));
    auto resting = std::vector<db_type::transaction>{};
    for (auto n = 0; n < 1000; ++n) {
        resting.push_back(need(db.begin()));
        need(resting.back().put(t, std::to_string(n), "value"));
    }
    must(db.put(t, "another", "value", lazy));
    for (auto& one : resting) must(std::move(one).commit(lazy));
    resting.clear();
    CHECK(rows_of(need(db.read()), t).size() == 1001);
    need(std::move(db).close());
}

TEST_CASE("a new database asks for no log from before its time", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto* const place = need(db.core().store.find_database("main"));
    CHECK(place->file->min_required_floor() == place->attach_lsn);
    CHECK(place->attach_lsn > no_lsn);
}

TEST_CASE("a file that grew into a region which no log knows can grow again", "[engine]") {
    auto b = bed{};
    auto const as_after_a_crash = [&] {
        auto disk = b.disk;
        auto where = need(disk.open_dir("db", directory_how::must_exist));
        auto file =
            need(where.open(need(file_name::make("main")), {.mode = open_mode::read_write}));
        auto const pages =
            page_limits<4096>::first_page.value + page_limits<4096>::region_pages + 9;
        need(file.allocate(0, std::uint64_t{pages} * 4096));
    };
    auto db = std::optional<db_type>{b.opened()};
    must(db->put(need(db->open_tree("main", "t")), "a", "1"));
    SECTION("while the instance was down") {
        need(std::move(*db).close());
        as_after_a_crash();
        db.emplace(b.opened());
    }
    SECTION("while the database was detached") {
        need(db->detach("main"));
        as_after_a_crash();
        need(db->attach("main"));
    }
    auto const t = need(db->open_tree("main", "t"));
    for (auto n = 0; n < 200; ++n) must(db->put(t, std::to_string(n), std::string(900, 'v'), lazy));
    need(std::move(*db).close());
    db.emplace(b.opened());
    auto const again = need(db->open_tree("main", "t"));
    auto const view = need(db->read());
    CHECK(rows_of(view, again).size() == 201);
}

TEST_CASE("cursors and savepoints that outlive their transaction say misuse", "[engine]") {
    auto b = bed{};
    auto db = b.opened();
    auto const t = need(db.open_tree("main", "t"));
    must(db.put(t, "a", "1", lazy));
    auto tx = need(db.begin());
    auto rows = need(tx.scan(t));
    auto saved = need(tx.save());
    need(tx.put(t, "b", "2"));
    must(std::move(tx).commit(lazy));
    auto const more = rows.next();
    REQUIRE(!more);
    CHECK(more.error().code == errc::misuse);
    auto const undone = std::move(saved).roll_back();
    REQUIRE(!undone);
    CHECK(undone.error().code == errc::misuse);
    CHECK(rows_of(need(db.read()), t).size() == 2);
}

} // namespace jetpp_test::engine_cases
