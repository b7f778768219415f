// The first program of README.md, to the letter (test/structure compares them).
// clang-format off
#include <jetpp/jetpp.hpp>

#include <iostream>

jetpp::result<void> fill(std::string const& path) {
    BOOST_OUTCOME_TRY(auto db, jetpp::engine<>::open(path));       // creates, or recovers
    BOOST_OUTCOME_TRY(db.attach("library"));                       // a database is one file
    BOOST_OUTCOME_TRY(auto const books, db.open_tree("library", "books"));

    BOOST_OUTCOME_TRY(db.put(books, "dune", "Frank Herbert, 1965")); // survives a power failure
    BOOST_OUTCOME_TRY(db.transact([&](auto& tx) { return tx.put(books, "emma", "Jane Austen, 1815"); }));
    {
        BOOST_OUTCOME_TRY(auto const now, db.read());              // a snapshot: one moment; it ends before close()
        BOOST_OUTCOME_TRY(now.for_each(books, {}, [](jetpp::row const& r) { std::cout << r.key << '\n'; }));
    }
    return std::move(db).close();
}

int main() {
    auto const done = fill("shop");
    if (!done) std::cerr << jetpp::describe(done.error()).c_str() << '\n';
    return done ? 0 : 1;
}
