// The second program of README.md, to the letter (test/structure compares them); behind the first.
// clang-format off
#include <jetpp/backup/drill.hpp>
#include <jetpp/jetpp.hpp>
#include <jetpp/restore.hpp>

#include <iostream>

using engine = jetpp::engine<>;

jetpp::result<void> lose_and_bring_back() {
    BOOST_OUTCOME_TRY(auto db, engine::open("shop"));
    // One more set in a repository, while others write. It counts once it was restored, replayed and
    // compared, in a directory for that; run_backup_to() only copies, and checks every page it copies.
    BOOST_OUTCOME_TRY(jetpp::run_drilled_backup_to(db, "backups", {.scratch = "scratch"}));
    BOOST_OUTCOME_TRY(std::move(db).close());

    // The newest moment that the sets have. What is there goes aside, into jet.abandoned-TIMELINE.
    BOOST_OUTCOME_TRY(auto const report, jetpp::run_restore<engine>({"backups"}, "shop", {.force = true}));
    std::cout << report.databases << " database, as of LSN " << report.reached.value << '\n';
    return jetpp::ok();
}

int main() {
    auto const done = lose_and_bring_back();
    if (!done) std::cerr << jetpp::describe(done.error()).c_str() << '\n';
    return done ? 0 : 1;
}
