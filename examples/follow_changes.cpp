// Change data capture: a copy of the rows is kept up to date from the log, transaction by
// transaction, over a restart of both sides.
#include <jetpp/jetpp.hpp>
#include <jetpp/replay.hpp>

#include <map>
#include <span>
#include <string>

#include "example.hpp"

// The other side: a search index, a cache, another database. It keeps its rows and its token
// together, so that it always knows what it has.
struct copy_of_rows {
    std::map<std::string, std::string> rows;
    std::string token; // of the last transaction that is in `rows`; empty: begin at the beginning

    void take(jetpp::committed_transaction const& done) {
        for (jetpp::logged_change const& one : done.changes) {
            if (!one.is_row()) continue; // a tree that was made or dropped
            auto const key = std::string{jetpp::as_text(one.key)};
            // An update tells what differs: it is applied to the value that is here.
            auto value = std::string(one.new_size(), '\0');
            auto const fits = one.apply(
                jetpp::as_bytes(rows[key]),
                std::as_writable_bytes(std::span{value.data(), value.size()})
            );
            if (!fits) claim(false, "a change begins where the copy is");
            if (one.type == jetpp::change_type::erase)
                rows.erase(key);
            else
                rows[key] = value;
        }
    }
};

// Takes what was committed since. Beside a running engine, this process's or another's.
static jetpp::result<void> catch_up(std::string const& path, copy_of_rows& copy) {
    auto env = jetpp::native_environment{};
    BOOST_OUTCOME_TRY(auto directory, env.storage.open_dir(path, jetpp::directory_how::must_exist));
    auto options = jetpp::change_options{};
    if (!copy.token.empty()) {
        BOOST_OUTCOME_TRY(options.after, jetpp::change_token::parse(copy.token));
    }
    BOOST_OUTCOME_TRY(auto changes, jetpp::follow_changes(env, directory, options));
    for (;;) {
        BOOST_OUTCOME_TRY(auto const step, changes.next());
        // Nothing more yet. A program that goes on following would changes.source().pause() here.
        if (step != jetpp::change_step::transaction) return jetpp::ok();
        copy.take(changes.transaction());
        auto const token = changes.token().text();
        copy.token.assign(token.data(), token.size());
    }
}

static jetpp::result<void> run(std::string const& path) {
    auto copy = copy_of_rows{};
    {
        BOOST_OUTCOME_TRY(auto db, jetpp::engine<>::open(path));
        BOOST_OUTCOME_TRY(db.attach("main"));
        BOOST_OUTCOME_TRY(auto const fruit, db.open_tree("main", "fruit"));
        BOOST_OUTCOME_TRY(db.put(fruit, "apple", "red"));
        BOOST_OUTCOME_TRY(db.put(fruit, "plum", "blue"));
        BOOST_OUTCOME_TRY(db.put(fruit, "plum", "purple"));
        BOOST_OUTCOME_TRY(catch_up(path, copy)); // while the engine runs
        claim(copy.rows.contains("apple"), "what the log proves durable is there at once");
        BOOST_OUTCOME_TRY(std::move(db).close());
    }
    BOOST_OUTCOME_TRY(catch_up(path, copy));
    claim(
        copy.rows == std::map<std::string, std::string>{{"apple", "red"}, {"plum", "purple"}},
        "and all of it when the engine was closed"
    );
    {
        BOOST_OUTCOME_TRY(auto db, jetpp::engine<>::open(path));
        BOOST_OUTCOME_TRY(auto const fruit, db.open_tree("main", "fruit"));
        BOOST_OUTCOME_TRY(auto tx, db.begin());
        BOOST_OUTCOME_TRY(tx.put(fruit, "tomato", "red"));
        std::move(tx).rollback(); // not a fruit after all: the copy never hears of it
        BOOST_OUTCOME_TRY(db.erase(fruit, "plum"));
        BOOST_OUTCOME_TRY(std::move(db).close());
    }
    BOOST_OUTCOME_TRY(catch_up(path, copy));
    claim(
        copy.rows == std::map<std::string, std::string>{{"apple", "red"}},
        "the token went on where the copy was: nothing missed, nothing twice"
    );
    return jetpp::ok();
}

int main() {
    auto const here = scratch_directory{};
    return status_of(run(here / "shop"));
}
