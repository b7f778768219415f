// jetpp log: the records of a directory or a backup set, or the changes that were committed there.
#include <jetpp/backup/page_policies.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/backup/set_log.hpp>
#include <jetpp/backup/verify_set.hpp>
#include <jetpp/replay.hpp>

#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>

#include "codecs.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "log_text.hpp"
#include "place.hpp"

namespace jetpp_tool {

namespace {
namespace log_detail {

// Set by SIGINT and SIGTERM: a log that is followed has no other end.
volatile std::sig_atomic_t stop_asked = 0;
void ask_to_stop(int) {
    stop_asked = 1;
}
void stop_on_signals() {
    std::signal(SIGINT, ask_to_stop);
    std::signal(SIGTERM, ask_to_stop);
}

void print_line(nlohmann::ordered_json const& described, bool json) {
    auto line = json ? described.dump() : line_of(described);
    line += '\n';
    if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size())
        fail("standard output", "cannot be written");
}
void flush_out() {
    if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
}
[[nodiscard]] unsigned long long number(jetpp::lsn at) {
    return at.value;
}

[[nodiscard]] bool is_wanted(log_request const& request, jetpp::log_record const& record) {
    return !request.transaction || record.header.transaction == request.transaction;
}

// Every record of a source, one a line.
template <class Source>
void print_records(log_request const& request, place const& where, Source& source) {
    auto last = jetpp::no_lsn;
    for (;;) {
        auto const step = source.next();
        if (!step) {
            flush_out();
            fail(place_of(where, step.error()), step.error());
        }
        switch (step.assume_value()) {
        case jetpp::log_step::record:
            if (source.record().at < request.from) break;
            last = source.record().next();
            if (is_wanted(request, source.record()))
                print_line(describe_record(source.record()), request.json);
            break;
        case jetpp::log_step::waiting:
            flush_out();
            if (stop_asked != 0) return;
            if constexpr (requires { source.pause(); }) source.pause();
            break;
        case jetpp::log_step::gap: {
            auto const gap = source.gap();
            if (!gap.to) {
                flush_out();
                auto const why = jetpp::error{
                    .code = jetpp::errc::log_gap,
                    .file = jetpp::file_kind::log_segment,
                    .at = gap.from
                };
                fail(place_of(where, why), why);
            }
            print_line(
                {{"lsn", std::to_string(gap.from.value)},
                 {"type", "gap"},
                 {"to", std::to_string(gap.to.value)}},
                request.json
            );
            break;
        }
        case jetpp::log_step::end:
        case jetpp::log_step::torn_tail: {
            flush_out();
            auto const torn = step.assume_value() == jetpp::log_step::torn_tail;
            std::fprintf(
                stderr,
                "the log ends %s at LSN %llu\n",
                torn ? "in a torn tail" : "cleanly",
                number(last)
            );
            return;
        }
        }
    }
}

[[nodiscard]] bool is_named(log_request const& request, jetpp::logged_change const& one) {
    if (request.database && *request.database != one.database_name) return false;
    return !request.tree || *request.tree == one.tree_name;
}

// Every transaction of a stream, one a line (of JSON) or a line and one for each change.
template <class Stream>
void print_changes(log_request const& request, place const& where, Stream& changes) {
    for (;;) {
        auto const step = changes.next();
        if (!step) {
            flush_out();
            fail(place_of(where, step.error()), step.error());
        }
        switch (step.assume_value()) {
        case jetpp::change_step::transaction: {
            auto const& done = changes.transaction();
            auto wanted = nlohmann::ordered_json::array();
            for (auto const& one : done.changes)
                if (is_named(request, one)) wanted.push_back(describe_change(one));
            if (wanted.empty()) break;
            auto described = describe_transaction(done, changes.token());
            if (request.json) described["changes"] = std::move(wanted);
            print_line(described, request.json);
            if (request.json) break;
            for (auto const& one : wanted) {
                std::fputs("  ", stdout);
                print_line(one, false);
            }
            break;
        }
        case jetpp::change_step::waiting:
            flush_out();
            if (stop_asked != 0) return;
            if constexpr (requires { changes.source().pause(); }) changes.source().pause();
            break;
        case jetpp::change_step::end:
        case jetpp::change_step::torn_tail: {
            flush_out();
            auto const torn = step.assume_value() == jetpp::change_step::torn_tail;
            std::fprintf(
                stderr, "the changes end %s\n", torn ? "in a torn tail of the log" : "cleanly"
            );
            if (changes.skipped() != 0)
                std::fprintf(
                    stderr,
                    "%llu transactions began before this log and are left out\n",
                    static_cast<unsigned long long>(changes.skipped())
                );
            return;
        }
        }
    }
}

[[nodiscard]] jetpp::change_options options_of(log_request const& request) {
    auto options = jetpp::change_options{};
    options.filter.transaction = request.transaction;
    if (request.after.empty()) return options;
    auto const token = jetpp::change_token::parse(request.after);
    if (!token) wrong_usage("not a token of --committed: " + request.after);
    options.after = token.assume_value();
    return options;
}

// Trees may be older than the log that is read on: their names stand in the catalogues.
template <class Stream>
void name_trees(place& where, jetpp::probed_directory const& facts, Stream& changes) {
    for (auto const& one : facts.databases) {
        if (!one.newest) continue;
        auto const& header = one.newest->header;
        auto opened = where.directory.open(one.name, {.mode = jetpp::open_mode::read_only});
        if (!opened) continue; // its trees go by their numbers
        auto const checksum =
            header.checksum_id == jetpp::crc32c::id ? jetpp::crc32c::name : jetpp::xxh3_64::name;
        (void)jetpp::with_page_policies(
            header.page_size,
            checksum,
            [&]<std::size_t PageSize, class Checksum>() -> jetpp::result<void> {
                return jetpp::read_tree_names<PageSize, Checksum>(
                    opened.assume_value(),
                    header,
                    [&](jetpp::tree_id tree, std::string_view name) {
                        return changes.collector().name_tree(header.id, tree, name);
                    }
                );
            }
        );
    }
}

void print_set(log_request const& request) {
    auto const env = environment{};
    auto where = place{.path = request.path};
    where.directory = value_of(
        env.storage.open_dir(request.path, jetpp::directory_how::must_exist), request.path
    );
    auto const read = value_of(jetpp::manifest_of<environment>(where.directory), request.path);
    if (request.committed) {
        auto changes = value_of(
            jetpp::changes_of_set<environment>(
                where.directory, read.manifest, options_of(request), brought_access()
            ),
            request.path
        );
        print_changes(request, where, changes);
        return;
    }
    auto log = value_of(
        jetpp::set_log<environment>::open(where.directory, read.manifest, brought_access()),
        request.path
    );
    print_records(request, where, log);
}

// Beside an engine that runs, or none: no lock is taken, so that one may be started meanwhile.
void follow(log_request const& request) {
    auto const env = environment{};
    auto where = place{.path = request.path};
    where.directory = value_of(
        env.storage.open_dir(request.path, jetpp::directory_how::must_exist), request.path
    );
    stop_on_signals();
    if (request.committed) {
        auto changes = value_of(
            jetpp::follow_changes(env, where.directory, options_of(request)), request.path
        );
        if (auto const facts = jetpp::probe(env, where.directory))
            name_trees(where, facts.assume_value(), changes);
        print_changes(request, where, changes);
        return;
    }
    auto tail = value_of(
        jetpp::log_follower<environment>::open(env, where.directory, {.from = request.from}),
        request.path
    );
    print_records(request, where, tail);
}

void print_directory(log_request const& request) {
    auto where =
        look_at(request.path, beside_engine::refused, "; log --follow reads beside an engine");
    auto options = jetpp::replay_options{.from = request.from, .use_ring = true};
    if (auto const* const slot = where.facts.newest_slot(); slot != nullptr) {
        options.instance = slot->instance;
        options.segment_bytes = slot->segment_bytes;
        options.proofs = {
            .slot_end = slot->end_lsn,
            .slot_generation = slot->generation,
            .slot_nonce = slot->nonce
        };
    }
    auto const failed = [&](jetpp::error const& why) { fail(place_of(where, why), why); };
    if (request.committed) {
        auto changes =
            jetpp::read_changes(environment{}, where.directory, options_of(request), options);
        if (!changes) failed(changes.error());
        name_trees(where, where.facts, changes.assume_value());
        print_changes(request, where, changes.assume_value());
        return;
    }
    auto log = jetpp::replay_source<environment>::open({}, where.directory, options);
    if (!log) failed(log.error());
    print_records(request, where, log.assume_value());
}

} // namespace log_detail
} // namespace

void print_log(log_request const& request) {
    using namespace log_detail;
    if (!request.committed && !request.after.empty())
        wrong_usage("--after goes on with --committed changes; --from takes an LSN");
    if (request.committed && request.from)
        wrong_usage("--committed goes on --after a token, not --from an LSN");
    if (!request.committed && (request.database || request.tree))
        wrong_usage("--database and --tree choose among --committed changes");
    auto const kind = jetpp::backup_place_at(environment{}, request.path);
    auto const is_set = kind && kind.assume_value() == jetpp::backup_place::set;
    if (kind && kind.assume_value() == jetpp::backup_place::repository)
        fail(request.path, "is a repository: name one of its sets (jetpp list)");
    if (is_set && request.follow) wrong_usage("a set does not grow: --follow is for directories");
    if (is_set) return print_set(request);
    if (request.follow) return follow(request);
    print_directory(request);
}

} // namespace jetpp_tool
