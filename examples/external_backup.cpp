// A backup program of your own: it copies a live database with plain file writes.
//
// The engine hands out bytes that it has proved, and holds the log that goes with them; where they
// are kept, and how, is up to you: files here, a tape or a cloud elsewhere. When everything was
// read, the session ends well and the database remembers it. The copy is brought back by putting
// the files into a directory and calling external_restore.
#include <jetpp/backup/external_phases.hpp>
#include <jetpp/backup/external_restore.hpp>
#include <jetpp/jetpp.hpp>

#include <fstream>
#include <string>
#include <vector>

#include "example.hpp"

struct shop_policies : jetpp::default_policies {
    using logging = jetpp::archival_logging;
};
using engine = jetpp::engine<shop_policies>;

// One file of the session, from one end to the other.
template <class Phase>
static jetpp::result<void> copy_file(
    Phase& phase, std::string const& name, std::filesystem::path const& where
) {
    BOOST_OUTCOME_TRY(auto const handle, phase.open(name));
    auto out = std::ofstream{where / name, std::ios::binary};
    auto buffer = std::vector<std::byte>(1 << 20);
    for (;;) {
        BOOST_OUTCOME_TRY(auto const n, phase.read(handle, buffer));
        if (n == 0) break;
        out.write(reinterpret_cast<char const*>(buffer.data()), static_cast<std::streamsize>(n));
    }
    // A program that means it syncs the file and its directory before it ends the session.
    claim(out.flush().good(), "the copy is written");
    return phase.close(handle);
}

static jetpp::result<void> back_up(engine& db, jetpp::tree stock, std::filesystem::path const& to) {
    BOOST_OUTCOME_TRY(auto databases, jetpp::begin_external(db));
    BOOST_OUTCOME_TRY(auto const listed, databases.list());
    for (auto const& one : listed) {
        BOOST_OUTCOME_TRY(copy_file(databases, one.name, to));
        // Nobody was stopped: what is sold meanwhile is in the log.
        BOOST_OUTCOME_TRY(db.put(stock, "sold while copying", "yes"));
    }
    BOOST_OUTCOME_TRY(auto logs, std::move(databases).to_logs());
    BOOST_OUTCOME_TRY(auto const segments, logs.list());
    for (auto const& one : segments) {
        BOOST_OUTCOME_TRY(copy_file(logs, one.name, to));
    }
    BOOST_OUTCOME_TRY(db.put(stock, "sold afterwards", "yes"));
    BOOST_OUTCOME_TRY(auto const report, std::move(logs).finish());
    claim(report.stamped && report.copied.size() == 1, "the database remembers its backup");
    return jetpp::ok();
}

static jetpp::result<void> live(scratch_directory const& scratch) {
    auto const copy = std::filesystem::path{scratch / "copy"};
    std::filesystem::create_directory(copy);
    auto const directory = scratch / "shop";
    BOOST_OUTCOME_TRY(auto db, engine::open(directory));
    BOOST_OUTCOME_TRY(db.attach("main"));
    BOOST_OUTCOME_TRY(auto const stock, db.open_tree("main", "stock"));
    for (auto i = 0; i < 1000; ++i) {
        BOOST_OUTCOME_TRY(
            db.put(stock, "article " + std::to_string(i), "in stock", jetpp::durability::memory)
        );
    }
    BOOST_OUTCOME_TRY(back_up(db, stock, copy));
    BOOST_OUTCOME_TRY(std::move(db).close());

    // The shop burns down. What is left are the files.
    std::filesystem::remove_all(directory);
    auto const place = copy.string();
    claim(
        !engine::open(place).has_value(), "no engine mistakes the copy for a database that crashed"
    );
    BOOST_OUTCOME_TRY(auto const report, jetpp::external_restore<engine::traits>({}, place));
    std::printf("%llu pages proved\n", static_cast<unsigned long long>(report.pages));
    BOOST_OUTCOME_TRY(auto again, engine::open(place));
    BOOST_OUTCOME_TRY(
        auto const found, again.open_tree("main", "stock", jetpp::open_how_tree::must_exist)
    );
    BOOST_OUTCOME_TRY(auto const now, again.read());
    BOOST_OUTCOME_TRY(auto const first, now.get(found, "article 0"));
    BOOST_OUTCOME_TRY(auto const during, now.get(found, "sold while copying"));
    BOOST_OUTCOME_TRY(auto const after, now.get(found, "sold afterwards"));
    claim(first.has_value() && during.has_value(), "everything up to the end of the log is there");
    claim(!after.has_value(), "nothing after it is");
    return jetpp::ok();
}

int main() {
    auto const scratch = scratch_directory{};
    return status_of(live(scratch));
}
