// The core as embedded programs build it: no exceptions, no run-time type information, no thread.
// A program of its own, since no test framework lives without exceptions.
#include <jetpp/env/memory_storage.hpp>
#include <jetpp/jetpp.hpp>

#include <cstdio>
#include <string>

namespace {

struct tiny : jetpp::default_policies {
    static constexpr std::size_t page_size = 4096;
    using threading = jetpp::single_thread;
    using storage = jetpp::memory_storage;
};

auto checks = 0;
auto failures = 0;

void check(bool condition, char const* sentence) {
    ++checks;
    if (condition) return;
    ++failures;
    std::printf("FAILED: %s\n", sentence);
}

jetpp::result<void> work(jetpp::memory_storage const& disk) {
    auto const env = jetpp::environment_of<tiny>{.storage = disk, .runtime = {}};
    auto const options = jetpp::open_options{
        .buffer_bytes = std::size_t{1} << 20, .segment_bytes = std::uint64_t{128} << 10
    };
    BOOST_OUTCOME_TRY(auto db, jetpp::engine<tiny>::open("books", options, env));
    BOOST_OUTCOME_TRY(db.attach("main"));
    BOOST_OUTCOME_TRY(auto const books, db.open_tree("main", "books"));
    for (auto i = 0; i < 2000; ++i) {
        auto const key = "book " + std::to_string(i);
        BOOST_OUTCOME_TRY(
            auto const done, db.put(books, key, "a title", jetpp::durability::memory)
        );
        (void)done;
        if (i % 50 == 0) {
            BOOST_OUTCOME_TRY(db.poll());
        }
    }
    {
        BOOST_OUTCOME_TRY(auto tx, db.begin());
        BOOST_OUTCOME_TRY(tx.put(books, "book 1", "never"));
        auto const again = tx.insert(books, "book 2", "never");
        check(
            !again && again.error().code == jetpp::errc::key_exists, "insert refuses a present key"
        );
        std::move(tx).rollback();
    }
    {
        BOOST_OUTCOME_TRY(auto const view, db.read());
        auto rows = 0;
        BOOST_OUTCOME_TRY(view.for_each(books, {}, [&](jetpp::row const& r) {
            ++rows;
            check(r.value == "a title", "a rolled back value is not seen");
        }));
        check(rows == 2000, "every committed row is seen");
    }
    return std::move(db).close();
}

} // namespace

int main() {
    auto const disk = jetpp::memory_storage{};
    for (auto life = 0; life < 2; ++life) {
        auto const done = work(disk);
        if (!done) std::printf("%s\n", jetpp::describe(done.error()).c_str());
        check(done.has_value(), "a life without exceptions ends well");
    }
    std::printf("%d checks, %d failures\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
