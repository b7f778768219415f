// The first steps: open a directory, put rows, read them back, close, and find them again.
#include <jetpp/jetpp.hpp>

#include <string>

#include "example.hpp"

// One directory holds everything: log, checkpoint, up to 16 databases. open() creates it.
static jetpp::result<void> fill(std::string const& path) {
    BOOST_OUTCOME_TRY(auto db, jetpp::engine<>::open(path));
    BOOST_OUTCOME_TRY(db.attach("library")); // a database is one file
    BOOST_OUTCOME_TRY(auto const books, db.open_tree("library", "books"));

    // One row alone needs no transaction. When put() returns, the row survives a power failure.
    BOOST_OUTCOME_TRY(db.put(books, "dune", "Frank Herbert, 1965"));
    BOOST_OUTCOME_TRY(db.put(books, "emma", "Jane Austen, 1815"));
    BOOST_OUTCOME_TRY(db.put(books, "ubik", "Philip K. Dick, 1969"));
    BOOST_OUTCOME_TRY(db.put(books, "emma", "Jane Austen, 1816")); // replaces
    BOOST_OUTCOME_TRY(db.erase(books, "ubik"));

    auto value = jetpp::value_buffer{}; // memory that the next get() uses again
    BOOST_OUTCOME_TRY(auto const found, db.get(books, "emma", value));
    claim(found && value.text() == "Jane Austen, 1816", "a key has the value that was put last");
    BOOST_OUTCOME_TRY(auto const gone, db.get(books, "ubik", value));
    claim(!gone, "absence is a value, never an error");

    return std::move(db).close(); // or let it go: the next open() recovers
}

static jetpp::result<void> read_again(std::string const& path) {
    BOOST_OUTCOME_TRY(auto db, jetpp::engine<>::open(path)); // the database is still attached
    BOOST_OUTCOME_TRY(
        auto const books, db.open_tree("library", "books", jetpp::open_how_tree::must_exist)
    );

    // A snapshot sees one moment; rows come in the order of their keys.
    BOOST_OUTCOME_TRY(auto const now, db.read());
    auto titles = std::string{};
    BOOST_OUTCOME_TRY(now.for_each(books, {}, [&](jetpp::row const& book) {
        titles += book.key;
        titles += ' ';
    }));
    claim(titles == "dune emma ", "everything is there after close and open");

    // The same range backwards, with a cursor: from "a" to before "e".
    BOOST_OUTCOME_TRY(auto rows, now.scan(books, {.from = "a", .to = "e", .backward = true}));
    BOOST_OUTCOME_TRY(auto const first, rows.next());
    claim(first && rows.current().key == "dune", "a range has a lower and an upper bound");
    BOOST_OUTCOME_TRY(auto const second, rows.next());
    claim(!second, "the upper bound is not part of it");
    return jetpp::ok();
}

int main() {
    auto const here = scratch_directory{};
    if (auto const done = fill(here / "shop"); !done) return status_of(done);
    return status_of(read_again(here / "shop"));
}
