// The log is a range of typed records: recovery reads it, backup reads it, and so can you.
#include <jetpp/jetpp.hpp>
#include <jetpp/log/replay.hpp>

#include <map>
#include <string>

#include "example.hpp"

static jetpp::result<void> write_some(std::string const& path) {
    BOOST_OUTCOME_TRY(auto db, jetpp::engine<>::open(path));
    BOOST_OUTCOME_TRY(db.attach("main"));
    BOOST_OUTCOME_TRY(auto const fruit, db.open_tree("main", "fruit"));
    BOOST_OUTCOME_TRY(db.put(fruit, "apple", "red"));
    BOOST_OUTCOME_TRY(db.put(fruit, "plum", "blue"));
    BOOST_OUTCOME_TRY(db.put(fruit, "apple", "green"));
    {
        BOOST_OUTCOME_TRY(auto tx, db.begin());
        BOOST_OUTCOME_TRY(tx.put(fruit, "tomato", "red"));
        std::move(tx).rollback(); // not a fruit after all
    }
    return std::move(db).close();
}

static jetpp::result<void> read_log(std::string const& path) {
    auto env = jetpp::native_environment{};
    BOOST_OUTCOME_TRY(auto directory, env.storage.open_dir(path, jetpp::directory_how::must_exist));
    // A filter skips parsing, never checking: every record proves itself by its checksum.
    auto const wanted = jetpp::record_filter{}
                            .types<
                                jetpp::record::insert,
                                jetpp::record::update,
                                jetpp::record::commit,
                                jetpp::record::rollback>();
    BOOST_OUTCOME_TRY(
        auto log, jetpp::replay<jetpp::native_environment>::open(env, directory, {.filter = wanted})
    );

    auto inserted = std::map<std::string, int>{}; // of user trees, by key
    auto updates = 0;
    auto commits = 0;
    auto rollbacks = 0;
    for (jetpp::result<jetpp::log_record> const& r : log) { // ++ may do I/O, * never does
        if (!r) return r.error();                           // a failure is the last element
        auto const& record = r.assume_value();
        auto const is_user = !(record.header.tree < jetpp::first_user_tree);
        // A consumer that must know every type visits with one function a type and no catch-all:
        // record.visit(jetpp::overload{...}). This one asks for four.
        if (auto const* row = record.as<jetpp::record::insert>(); row != nullptr && is_user)
            ++inserted[std::string{jetpp::as_text(row->key)}];
        if (auto const* row = record.as<jetpp::record::update>(); row != nullptr && is_user) {
            ++updates;
            std::printf(
                "LSN %llu changes %.*s on page %u\n",
                static_cast<unsigned long long>(record.at.value),
                static_cast<int>(row->key.size()),
                jetpp::as_text(row->key).data(),
                row->part.page.value
            );
        }
        commits += record.as<jetpp::record::commit>() != nullptr ? 1 : 0;
        rollbacks += record.as<jetpp::record::rollback>() != nullptr ? 1 : 0;
    }
    claim(
        inserted.size() == 3 && inserted["tomato"] == 1,
        "the log tells of everything, also of what was taken back"
    );
    claim(updates == 1, "a second put of a key is an update");
    claim(commits >= 3 && rollbacks == 1, "every transaction has its end");
    claim(log.end_state().kind == jetpp::end_kind::clean, "and the log of a closed engine too");
    return jetpp::ok();
}

int main() {
    auto const here = scratch_directory{};
    if (auto const done = write_some(here / "shop"); !done) return status_of(done);
    return status_of(read_log(here / "shop"));
}
