// jetpp restore: an instance from sets, or the proof that there would be one.
#include <jetpp/backup/restore_report.hpp>
#include <jetpp/backup/set_pool.hpp>
#include <jetpp/backup/utc_text.hpp>
#include <jetpp/backup/verify_set.hpp>

#include <cstdio>
#include <list>
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

using pool_type = jetpp::set_pool<environment>;

// The end of every history among the sets: what the caller may choose from.
[[nodiscard]] std::string lineages_of(pool_type const& pool) {
    auto said = std::string{};
    for (std::size_t i = 0; i < pool.size(); ++i) {
        if (!pool[i].read) continue;
        auto ends = true;
        for (std::size_t k = 0; k < pool.size(); ++k) {
            if (k == i || !pool[k].read) continue;
            auto const& a = pool.manifest(i);
            auto const& b = pool.manifest(k);
            auto const passed =
                a.timeline == b.timeline ? a.end_lsn < b.end_lsn : jetpp::leads_to(a, b);
            ends = ends && !passed;
        }
        if (ends)
            said +=
                (said.empty() ? "; --set one of " : ", ") + jetpp::text_of(pool.manifest(i).set);
    }
    return said;
}

// One that says of what page size its instance is.
[[nodiscard]] jetpp::result<std::size_t> any_set(pool_type const& pool) {
    for (std::size_t i = 0; i < pool.size(); ++i)
        if (pool[i].read) return i;
    return jetpp::error{.code = jetpp::errc::not_found, .file = jetpp::file_kind::manifest};
}

[[noreturn]] void explain(
    restore_request const& request,
    pool_type const& pool,
    jetpp::error const& why,
    jetpp::restore_trouble const& trouble
) {
    auto said = jetpp_tool::text_of(why);
    if (why.code == jetpp::errc::ambiguous_source) said += lineages_of(pool);
    if (why.code == jetpp::errc::ambiguous_label)
        for (auto const at : trouble.labelled)
            said += (at == trouble.labelled.front() ? "; --to-point " : ", ") + request.to_point +
                    "@" + std::to_string(at.value);
    if (trouble.timeline.value != 0)
        said += "; timeline " + jetpp_tool::hex_of(trouble.timeline.value);
    auto const of_target =
        why.file == jetpp::file_kind::directory || why.file == jetpp::file_kind::lock;
    if (of_target) fail(request.places.back(), said);
    if (!trouble.set) fail(request.places.front(), said);
    auto const& blamed = pool[*trouble.set];
    fail(
        below(blamed.where, blamed.read ? jetpp::detail::file_of(why, blamed.read->manifest) : ""),
        said
    );
}

} // namespace

void restore(restore_request const& request) {
    auto pool = pool_type{};
    auto const& directory = request.places.back();
    // What standard input brings lies in its scratch directory as long as this runs.
    auto brought = std::list<set_place>{};
    for (std::size_t i = 0; i + 1 < request.places.size(); ++i) {
        auto const& place = brought.emplace_back(
            request.places[i], request.scratch.empty() ? beside(directory) : request.scratch
        );
        value_of(pool.add({}, place.path()), request.places[i]);
    }
    auto options = jetpp::restore_options{};
    options.set = request.set;
    options.to_point = request.to_point;
    options.database = request.database;
    options.access = brought_access();
    options.force = request.force;
    options.live = request.roll_forward == "live";
    auto const says_target = !request.set.empty() || request.to_lsn || !request.to_time.empty() ||
                             !request.to_point.empty();
    if (options.live && (says_target || request.dry_run))
        wrong_usage("--roll-forward live goes to the last commit, from whatever sets it takes");
    if (request.to_lsn) options.to_lsn = jetpp::lsn{*request.to_lsn};
    if (!request.to_time.empty()) {
        options.to_time = jetpp::parse_utc(request.to_time);
        if (!options.to_time) wrong_usage("--to-time is no time as 2025-03-01T12:00:00Z");
    }
    auto bar = progress_bar{request.dry_run ? "verify" : "restore"};
    auto read = std::uint64_t{0};
    auto total = std::uint64_t{0};
    options.on_read = [&](std::uint64_t bytes) -> jetpp::result<void> {
        read += bytes;
        bar.show(read, total);
        return jetpp::ok();
    };
    auto trouble = jetpp::restore_trouble{};
    auto const chosen = options.live ? any_set(pool) : pool.choose(request.set);
    if (!chosen) explain(request, pool, chosen.error(), trouble);
    auto const& head = pool.manifest(chosen.assume_value());
    for (std::size_t i = 0; i < pool.size(); ++i)
        if (pool[i].read && head.log_start < pool.manifest(i).end_lsn)
            total += bytes_of(pool.manifest(i));
    auto const* const build = find_build(head.page_size, head.checksum);
    if (build == nullptr)
        fail(
            pool[chosen.assume_value()].where,
            "has a page size or checksum that no engine here is built for"
        );
    auto const done =
        build->restore(pool, options, request.dry_run ? std::string{} : directory, trouble);
    bar.wipe();
    if (!done) explain(request, pool, done.error(), trouble);
    auto const& r = done.assume_value();
    for (auto const& one : r.passed_over)
        std::fprintf(
            stderr, "%s: passed over: %s\n", one.where.c_str(), jetpp_tool::text_of(one.why).c_str()
        );
    if (!r.moved_aside.empty())
        std::fprintf(
            stderr, "%s: what was there is in it now\n", below(directory, r.moved_aside).c_str()
        );
    auto named = chosen.assume_value();
    for (std::size_t i = 0; i < pool.size() && options.live; ++i)
        if (pool[i].read && pool.manifest(i).set == r.set) named = i;
    std::printf(
        "%s: %s %llu %s to LSN %llu; %llu pages and %llu log records verified%s\n",
        pool[named].name.c_str(),
        request.dry_run ? "would restore" : "restored",
        number(r.databases),
        r.databases == 1 ? "database" : "databases",
        number(r.reached.value),
        number(r.read.pages),
        number(r.read.records),
        request.dry_run ? ", not replayed" : ""
    );
}

} // namespace jetpp_tool
