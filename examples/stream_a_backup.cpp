// An online backup in a program that has an event loop: Asio runs it, writers go on meanwhile.
//
// async_backup() is an asynchronous operation like any of Asio's: it takes an executor, and any
// completion token (here a future). Whatever blocks runs in a pool of its own. The set is proved
// page by page while it is copied, and exists when its manifest does.
#include <jetpp/backup.hpp>
#include <jetpp/jetpp.hpp>
#include <jetpp/restore.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <utility>

#include "example.hpp"

namespace asio = boost::asio;
using engine = jetpp::engine<>;

static jetpp::result<void> run() {
    auto const place = scratch_directory{};
    auto const environment = engine::environment_type{};
    BOOST_OUTCOME_TRY(auto db, engine::open(place / "db"));
    BOOST_OUTCOME_TRY(db.attach("library"));
    BOOST_OUTCOME_TRY(auto const books, db.open_tree("library", "books"));
    for (auto n = 0; n < 1000; ++n) {
        BOOST_OUTCOME_TRY(db.put(books, "before" + std::to_string(n), std::string(200, 'x')));
    }

    // Somebody writes all the time.
    auto done = std::atomic{false};
    auto written = 0;
    auto writer = std::thread{[&] {
        while (!done.load() && db.put(books, "during" + std::to_string(written), "y")) ++written;
    }};

    auto progress = std::uint64_t{0};
    auto options = jetpp::backup_options{};
    options.on_progress = [&](jetpp::backup_progress const& p) -> jetpp::result<void> {
        progress = p.bytes_done; // an error returned here would end the backup
        return jetpp::ok();
    };
    auto loop = asio::io_context{};
    auto blocking = asio::thread_pool{2};
    BOOST_OUTCOME_TRY(
        auto repository,
        jetpp::repository<engine::environment_type>::open_or_create(environment, place / "sets")
    );
    BOOST_OUTCOME_TRY(
        auto sink, jetpp::directory_sink<engine::environment_type>::create(environment, repository)
    );
    auto outcome = jetpp::async_backup(
        loop.get_executor(), blocking.get_executor(), db, sink, options, asio::use_future
    );
    loop.run();
    auto const report = outcome.get();
    done.store(true);
    writer.join();
    if (!report) return report.error();
    claim(report.assume_value().receipt == jetpp::backup_receipt::durable, "the set is durable");
    claim(progress == report.assume_value().image_bytes, "progress went to the end");
    BOOST_OUTCOME_TRY(std::move(db).close());

    // Every set is one moment: all that was committed below its end, and nothing else.
    BOOST_OUTCOME_TRY(
        jetpp::run_restore<engine::traits>(environment, place / "sets", place / "again")
    );
    BOOST_OUTCOME_TRY(auto again, engine::open(place / "again"));
    BOOST_OUTCOME_TRY(auto const restored, again.open_tree("library", "books"));
    auto before = 0;
    auto during = 0;
    {
        BOOST_OUTCOME_TRY(auto const now, again.read());
        BOOST_OUTCOME_TRY(now.for_each(restored, {}, [&](jetpp::row const& r) {
            ++(r.key.starts_with("before") ? before : during);
        }));
        auto without_a_gap = true;
        for (auto n = 0; n < during; ++n) {
            BOOST_OUTCOME_TRY(auto const row, now.get(restored, "during" + std::to_string(n)));
            without_a_gap = without_a_gap && row.has_value();
        }
        claim(without_a_gap, "of what was written meanwhile a prefix is there");
    }
    claim(before == 1000 && during <= written, "no row is lost, and none is invented");
    return std::move(again).close();
}

int main() {
    return status_of(run());
}
