// jetpp restore: an instance from sets, or the proof that there would be one.
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/backup/verify_set.hpp>

#include <cstdio>
#include <string>

#include "codecs.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "log_text.hpp"
#include "place.hpp"
#include "progress.hpp"
#include "set_paths.hpp"
#include "streams.hpp"

namespace jetpp_tool {

namespace {

void restore_nowhere(std::string const& where, jetpp::catalogued_set const& chosen) {
    auto bar = progress_bar{"verify"};
    auto const total = bytes_of(chosen.manifest);
    auto read = std::uint64_t{0};
    auto options = jetpp::verify_options{};
    options.access = brought_access();
    options.on_read = [&](std::uint64_t bytes) -> jetpp::result<void> {
        read += bytes;
        bar.show(read, total);
        return jetpp::ok();
    };
    auto const report = value_of(jetpp::verify_set_at(environment{}, where, options), where);
    bar.wipe();
    if (!report.is_good()) {
        auto const& first = report.findings.front();
        fail(below(where, first.file), first.why);
    }
    std::printf(
        "%s: would restore %zu %s to LSN %llu; %llu pages and %llu log records verified%s\n",
        chosen.name.c_str(),
        chosen.manifest.databases.size(),
        chosen.manifest.databases.size() == 1 ? "database" : "databases",
        number(chosen.manifest.end_lsn.value),
        number(report.pages),
        number(report.records),
        report.partial ? ", not replayed" : ""
    );
}

} // namespace

void restore(restore_request const& asked) {
    auto request = asked;
    auto const place = set_place{
        asked.repository, asked.scratch.empty() ? beside(asked.directory) : asked.scratch
    };
    request.repository = place.path();
    auto sets = value_of(repository::open({}, request.repository), request.repository);
    auto const known = value_of(jetpp::list_sets(sets), request.repository);
    auto const* const chosen =
        value_of(jetpp::choose_set(known, request.set), request.repository);
    auto const name = std::string{chosen->name.view()};
    auto const where = path_of_set(request.repository, name);
    if (request.dry_run) return restore_nowhere(where, *chosen);
    auto set = value_of(sets.open_set(chosen->name), where);
    auto const& manifest = chosen->manifest;
    auto const* const build = find_build(manifest.page_size, manifest.checksum);
    if (build == nullptr)
        fail(where, "has a page size or checksum that no engine here is built for");

    auto bar = progress_bar{"restore"};
    auto const total = bytes_of(manifest);
    auto read = std::uint64_t{0};
    auto const done =
        build->restore(set, {manifest, chosen->hash}, request.directory, [&](std::uint64_t bytes) {
            read += bytes;
            bar.show(read, total);
        });
    bar.wipe();
    if (!done) {
        auto const& why = done.error();
        auto const of_target =
            why.file == jetpp::file_kind::directory || why.file == jetpp::file_kind::lock;
        auto const part = jetpp::detail::file_of(why, manifest);
        fail(of_target ? request.directory : below(where, part), why);
    }
    auto const& r = done.assume_value();
    std::printf(
        "%s: restored to LSN %llu; %llu pages and %llu log records verified\n",
        name.c_str(),
        number(r.reached.value),
        number(r.pages),
        number(r.records)
    );
}

} // namespace jetpp_tool
