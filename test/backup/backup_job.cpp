// test/backup/backup_job.cpp - a full backup of an engine that works, and what comes back of it.
#include <string>
#include <vector>

#include "bed.hpp"

namespace jetpp_test::backup_job_cases {

using namespace jetpp;

// A repository at /repo on the bed's storage.
template <class Bed>
backup_report back_up(Bed& b, backup_options const& options = {}) {
    auto sets = good(repository<typename Bed::environment_type>::open_or_create(b.env, "/repo"));
    auto sink = good(directory_sink<typename Bed::environment_type>::create(b.env, sets));
    return good(run_in_place(b.store(), sink, options));
}

TEST_CASE("a restored set holds exactly the rows of its end", "[backup]") {
    auto b = bed{};
    b.work(3000, 1);
    auto const report = back_up(b);
    auto const expected = b.expected;
    CHECK(report.kind == backup_kind::full);
    CHECK(report.receipt == backup_receipt::durable);
    CHECK(report.pages > 10);
    CHECK(report.records > 1000);
    CHECK(report.log_start <= report.begin_lsn);
    CHECK(report.begin_lsn < report.copy_end_lsn);
    CHECK(report.copy_end_lsn <= report.end_lsn);
    CHECK_FALSE(report.stamp_problem);
    b.work(500, 2); // not in the set
    good(std::move(b.db).close());

    auto const verified = good(verify_repository(b.env, "/repo"));
    for (auto const& found : verified.findings)
        FAIL(found.set << "/" << found.file << ": " << describe(found.why).c_str());
    CHECK(verified.sets == 1);
    CHECK(verified.records == report.records);

    auto const restored = good(run_restore<bed<>::traits>(b.env, "/repo", "/restored"));
    CHECK(restored.reached == report.end_lsn);
    CHECK(restored.set == report.set);
    expect_rows(b.env, "/restored", expected);
}

} // namespace jetpp_test::backup_job_cases
