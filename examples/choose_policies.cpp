// What is chosen at compile time: page size, checksum, logging, threads, and the machine itself.
//
// A program derives its policies from the defaults and gives the engine a name. What is written
// into files must fit what they were made with; what does not fit is refused by name.
#include <jetpp/jetpp.hpp>

#include <string>

#include "example.hpp"

// Large pages for large values; every log segment is kept, so that any moment can be restored.
struct mail_policies : jetpp::default_policies {
    static constexpr std::size_t page_size = 16 * 1024;
    using logging = jetpp::archival_logging;
};
using mail_engine = jetpp::engine<mail_policies>;

// No files and no threads: a store that lives and ends with the process, driven by its owner.
struct cache_policies : jetpp::default_policies {
    using storage = jetpp::memory_storage;
    using threading = jetpp::single_thread;
};
using cache_engine = jetpp::engine<cache_policies>;

static jetpp::result<void> keep_mail(std::string const& path) {
    // What can be tried without compiling again is an option.
    BOOST_OUTCOME_TRY(
        auto db, mail_engine::open(path, {.buffer_bytes = 8 << 20, .segment_bytes = 1 << 20})
    );
    BOOST_OUTCOME_TRY(db.attach("mail"));
    BOOST_OUTCOME_TRY(auto const inbox, db.open_tree("mail", "inbox"));
    BOOST_OUTCOME_TRY(db.put(inbox, "2026-11-21 #1", std::string(4000, 'm')));
    auto const too_long = db.put(inbox, "2026-11-21 #2", std::string(5000, 'm'));
    claim(
        too_long.error().code == jetpp::errc::value_too_large,
        "a value takes a quarter of a page at most"
    );
    BOOST_OUTCOME_TRY(std::move(db).close());

    // The files have 16 KiB pages: an engine for 8 KiB pages must not touch them.
    auto const refused = jetpp::engine<>::open(path);
    claim(
        refused.has_error() && refused.error().code == jetpp::errc::page_size_mismatch &&
            refused.error().found() == 16384 && refused.error().expected() == 8192,
        "opening with other policies is refused by an error that names both"
    );
    std::printf("  %s\n", jetpp::describe(refused.error()).c_str());
    return jetpp::ok();
}

static jetpp::result<void> keep_cache() {
    BOOST_OUTCOME_TRY(auto db, cache_engine::open("cache", {.buffer_bytes = 4 << 20}));
    BOOST_OUTCOME_TRY(db.attach("cache"));
    BOOST_OUTCOME_TRY(auto const pages, db.open_tree("cache", "pages"));
    for (auto i = 0; i < 1000; ++i) {
        BOOST_OUTCOME_TRY(db.put(pages, std::to_string(i), "content", jetpp::durability::memory));
        // Nobody else does the housekeeping: one quantum now and then.
        if (i % 64 == 0) {
            BOOST_OUTCOME_TRY(db.poll());
        }
    }
    auto value = jetpp::value_buffer{};
    BOOST_OUTCOME_TRY(auto const found, db.get(pages, "999", value));
    claim(found, "the same engine runs in memory, without a thread of its own");
    return std::move(db).close();
}

int main() {
    auto const here = scratch_directory{};
    if (auto const done = keep_mail(here / "mail"); !done) return status_of(done);
    return status_of(keep_cache());
}
