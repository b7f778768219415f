// All or nothing, at one moment, and what to do when two want the same row.
#include <jetpp/jetpp.hpp>

#include <charconv>
#include <string>
#include <string_view>

#include "example.hpp"

using bank = jetpp::engine<>;

static int number(std::string_view text) {
    auto value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

// Moves money, or does nothing and says why.
static jetpp::result<void> transfer(
    bank::transaction& tx, jetpp::tree accounts, std::string_view from, std::string_view to, int sum
) {
    auto const change = [&](std::string_view account, int by) {
        return tx.update(accounts, account, [&](std::string_view old) {
            return std::to_string(number(old) + by);
        });
    };
    BOOST_OUTCOME_TRY(auto const paid, change(from, -sum));
    BOOST_OUTCOME_TRY(auto const received, change(to, sum));
    if (!paid || !received) return jetpp::error{.code = jetpp::errc::not_found};
    return jetpp::ok();
}

static jetpp::result<void> run(std::string const& path) {
    BOOST_OUTCOME_TRY(auto db, bank::open(path));
    BOOST_OUTCOME_TRY(db.attach("bank"));
    BOOST_OUTCOME_TRY(auto const accounts, db.open_tree("bank", "accounts"));
    BOOST_OUTCOME_TRY(db.put(accounts, "anna", "100"));
    BOOST_OUTCOME_TRY(db.put(accounts, "bert", "100"));

    // transact() begins, runs the function, commits; after a conflict it runs it again.
    BOOST_OUTCOME_TRY(db.transact([&](bank::transaction& tx) {
        return transfer(tx, accounts, "anna", "bert", 30);
    }));
    // An error rolls everything back, the half that was done included.
    auto const refused = db.transact([&](bank::transaction& tx) {
        return transfer(tx, accounts, "anna", "nobody", 30);
    });
    claim(refused.error().code == jetpp::errc::not_found, "the error comes out of transact()");
    auto value = jetpp::value_buffer{};
    BOOST_OUTCOME_TRY(db.get(accounts, "anna", value));
    claim(value.text() == "70", "one transfer happened, the other left no trace");

    {
        // By hand. Two transactions that began at the same moment and change the same row:
        BOOST_OUTCOME_TRY(auto first, db.begin());
        BOOST_OUTCOME_TRY(auto second, db.begin());
        BOOST_OUTCOME_TRY(first.put(accounts, "anna", "0"));
        auto const conflict = second.put(accounts, "anna", "1000");
        claim(
            conflict.error().code == jetpp::errc::write_conflict,
            "the first to write wins, the other hears of it at once: nobody waits"
        );
        BOOST_OUTCOME_TRY(auto const seen, second.get(accounts, "anna"));
        claim(seen == "70", "nobody sees what is not committed");
        BOOST_OUTCOME_TRY(std::move(first).commit());
        BOOST_OUTCOME_TRY(auto const still, second.get(accounts, "anna"));
        claim(still == "70", "a transaction sees the moment of its beginning to its end");
    } // `second` was not committed: it is rolled back

    {
        // A savepoint is a place to return to.
        BOOST_OUTCOME_TRY(auto tx, db.begin());
        BOOST_OUTCOME_TRY(tx.put(accounts, "carl", "5"));
        BOOST_OUTCOME_TRY(auto before, tx.save());
        BOOST_OUTCOME_TRY(tx.erase(accounts, "bert"));
        BOOST_OUTCOME_TRY(std::move(before).roll_back());
        // A lazy commit returns at once; its ticket can be waited for.
        BOOST_OUTCOME_TRY(auto const receipt, std::move(tx).commit(jetpp::durability::memory));
        BOOST_OUTCOME_TRY(db.wait(receipt, jetpp::durability::device));
    }
    BOOST_OUTCOME_TRY(auto const bert, db.get(accounts, "bert", value));
    claim(bert && value.text() == "130", "what came after the savepoint was taken back");
    BOOST_OUTCOME_TRY(auto const carl, db.get(accounts, "carl", value));
    claim(carl, "and what came before it was committed");
    return std::move(db).close();
}

int main() {
    auto const here = scratch_directory{};
    return status_of(run(here / "bank"));
}
