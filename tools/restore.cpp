// jetpp restore: an instance from sets, or the proof that there would be one.
#include <jetpp/backup/restore_report.hpp>
#include <jetpp/backup/set_pool.hpp>
#include <jetpp/backup/utc_text.hpp>
#include <jetpp/backup/verify_set.hpp>
#include <jetpp/engine/probe.hpp>

#include <charconv>
#include <cstdio>
#include <list>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "codecs.hpp"
#include "commands.hpp"
#include "escape.hpp"
#include "failure.hpp"
#include "log_text.hpp"
#include "place.hpp"
#include "progress_report.hpp"
#include "set_paths.hpp"
#include "streams.hpp"
#include <nlohmann/json.hpp>

namespace jetpp_tool {

namespace {
namespace restore_detail {

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
            said += (said.empty() ? "; --set one of " : ", ") +
                    jetpp::text_of(pool.manifest(i).set) + " (timeline " +
                    jetpp_tool::hex_of(pool.manifest(i).timeline.value) + ")";
    }
    return said;
}

[[nodiscard]] jetpp::timeline_id timeline_of(restore_request const& request) {
    auto timeline = jetpp::timeline_id{};
    auto const& text = request.timeline;
    auto const [end, problem] =
        std::from_chars(text.data(), text.data() + text.size(), timeline.value, 16);
    auto const is_read = problem == std::errc{} && end == text.data() + text.size();
    if (!text.empty() && (!is_read || timeline.value == 0))
        wrong_usage("--timeline is no timeline as info names it: " + text);
    return timeline;
}

// One that says of what page size the instance in the directory is.
[[nodiscard]] jetpp::result<std::size_t> any_set_of(
    std::string const& directory, pool_type const& pool
) {
    auto where = environment{}.storage.open_dir(directory, jetpp::directory_how::must_exist);
    if (!where) return where.error().with_file(jetpp::file_kind::directory);
    auto const facts = jetpp::probe(environment{}, where.assume_value());
    if (!facts) return facts.error().with_file(jetpp::file_kind::directory);
    auto const* const newest = facts.assume_value().newest_segment();
    for (std::size_t i = 0; i < pool.size(); ++i)
        if (pool[i].read && (newest == nullptr || pool.manifest(i).instance == newest->instance))
            return i;
    return jetpp::error{.code = jetpp::errc::not_found, .file = jetpp::file_kind::manifest};
}

// frame 3, or frames 3 to 9
[[nodiscard]] std::string frames_of(jetpp::bad_frames const& bad) {
    if (bad.count == 1) return "frame " + std::to_string(bad.first);
    return "frames " + std::to_string(bad.first) + " to " +
           std::to_string(bad.first + bad.count - 1);
}
void tell_replaced(std::vector<jetpp::bad_frames> const& all) {
    for (auto const& bad : all)
        std::fprintf(
            stderr,
            "%s: %s read elsewhere: %s\n",
            below(bad.where, bad.part).c_str(),
            frames_of(bad).c_str(),
            jetpp_tool::text_of(bad.why).c_str()
        );
}

void print_json(
    jetpp::restore_report const& r, jetpp::backup_manifest const& named, bool published
) {
    auto all = nlohmann::ordered_json::object();
    all["set"] = jetpp::text_of(r.set);
    all["kind"] = jetpp::name_of(named.kind);
    all["published"] = published;
    all["reached_lsn"] = std::to_string(r.reached.value);
    all["timeline"] = jetpp_tool::hex_of(r.timeline.value);
    all["page_sets"] = std::to_string(r.page_sets);
    all["sets"] = std::to_string(r.sets);
    all["authenticated_sets"] = std::to_string(r.authenticated);
    all["authenticity"] = r.sets != 0 && r.authenticated == r.sets ? "hmac" : "none";
    all["databases"] = std::to_string(r.databases);
    all["left_out"] = r.left_out;
    all["pages"] = std::to_string(r.read.pages);
    all["records"] = std::to_string(r.read.records);
    all["bytes"] = std::to_string(r.read.bytes);
    all["written_pages"] = std::to_string(r.written_pages);
    all["equal_pages"] = std::to_string(r.equal_pages);
    all["passed_over"] = nlohmann::ordered_json::array();
    for (auto const& one : r.passed_over) {
        auto said = nlohmann::ordered_json::object();
        said["where"] = one.where;
        said["why"] = jetpp_tool::text_of(one.why);
        all["passed_over"].push_back(std::move(said));
    }
    all["replaced"] = nlohmann::ordered_json::array();
    for (auto const& bad : r.replaced) {
        auto said = nlohmann::ordered_json::object();
        said["where"] = bad.where;
        said["part"] = bad.part;
        said["first_frame"] = std::to_string(bad.first);
        said["frames"] = std::to_string(bad.count);
        said["why"] = jetpp_tool::text_of(bad.why);
        all["replaced"].push_back(std::move(said));
    }
    all["gone_on"] = r.gone_on; // with what an interrupted restore had laid down: nothing was read
    all["moved_aside"] = nullptr;
    if (!r.moved_aside.empty()) all["moved_aside"] = r.moved_aside;
    std::printf("%s\n", all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
}

[[noreturn]] void explain(
    restore_request const& request,
    pool_type const& pool,
    jetpp::error const& why,
    jetpp::restore_trouble const& trouble
) {
    auto said = jetpp_tool::text_of(why);
    if (why.code == jetpp::errc::ambiguous_source) said += lineages_of(pool);
    if (why.code == jetpp::errc::ambiguous_label) {
        if (trouble.labelled.size() == 1)
            said = "ambiguous_label: one restore point bears it, but not all of the log is here, "
                   "and another may bear it as well";
        for (auto const at : trouble.labelled)
            said += (at == trouble.labelled.front() ? "; --to-point " : ", ") + request.to_point +
                    "@" + std::to_string(at.value);
    }
    if (why.code == jetpp::errc::not_found && !request.timeline.empty() &&
        why.file == jetpp::file_kind::manifest)
        said = "no set is of timeline " + request.timeline + "; jetpp info lists them";
    auto const is_sought = !request.to_point.empty() || !request.to_time.empty();
    if (why.code == jetpp::errc::log_gap && is_sought)
        said += "; what is asked for may stand in it";
    if (why.code == jetpp::errc::not_found && !request.to_point.empty() &&
        why.file == jetpp::file_kind::log_segment)
        said = "no restore point bears the label " + request.to_point;
    if (trouble.timeline.value != 0)
        said += "; timeline " + jetpp_tool::hex_of(trouble.timeline.value);
    // What is missing may be in one of those.
    if (why.code == jetpp::errc::log_gap || why.code == jetpp::errc::base_not_here ||
        why.code == jetpp::errc::target_not_reached || why.code == jetpp::errc::not_found)
        for (std::size_t i = 0; i < pool.size(); ++i)
            if (!pool[i].read && pool[i].problem)
                said +=
                    "; " + pool[i].where + " is left out: " + jetpp_tool::text_of(*pool[i].problem);
    auto const of_target =
        why.file == jetpp::file_kind::directory || why.file == jetpp::file_kind::lock;
    if (of_target) fail(request.places.back(), said);
    if (!trouble.set) fail(request.places.front(), said);
    auto const& blamed = pool[*trouble.set];
    auto file = std::string{};
    if (blamed.live && why.at)
        file = jetpp::segment_file_name(
                   jetpp::generation_of(why.at, blamed.live->newest().segment_bytes)
        )
                   .view();
    else if (blamed.read && !blamed.live)
        file = jetpp::detail::file_of(why, blamed.read->manifest);
    for (auto const& bad : trouble.bad)
        if (why.file == jetpp::file_kind::backup_part && bad.part == file &&
            bad.where != blamed.where && bad.first <= why.at.value &&
            why.at.value - bad.first < bad.count)
            said += "; no better in " + bad.where;
    fail(below(blamed.where, file), said);
}

} // namespace restore_detail
} // namespace

void restore(restore_request const& request) {
    using namespace restore_detail;
    for (std::size_t i = 0; request.delta && i + 1 < request.places.size(); ++i)
        if (request.places[i] == stream_word)
            wrong_usage(
                "--delta reads its sources twice: a stream must be kept in a repository first"
            );
    auto pool = pool_type{};
    auto const& directory = request.places.back();
    // What standard input brings lies in its scratch directory as long as this runs.
    auto brought = std::list<set_place>{};
    for (std::size_t i = 0; i + 1 < request.places.size(); ++i) {
        auto const& place = brought.emplace_back(
            request.places[i],
            request.scratch.empty() ? beside(directory) : request.scratch,
            request.progress
        );
        value_of(pool.add_source({}, place.path()), request.places[i]);
    }
    auto options = jetpp::restore_options{};
    options.set = request.set;
    options.timeline = timeline_of(request);
    options.to_point = request.to_point;
    options.databases = request.databases;
    options.access = brought_access();
    options.force = request.force;
    options.delta = request.delta;
    options.live = request.roll_forward == "live";
    auto const says_target = !request.set.empty() || !request.timeline.empty() || request.to_lsn ||
                             !request.to_time.empty() || !request.to_point.empty();
    if (options.live && options.delta)
        wrong_usage("--roll-forward live takes files that are there aside: --delta does not");
    if (options.live && (says_target || request.dry_run))
        wrong_usage("--roll-forward live goes to the last commit, from whatever sets it takes");
    if (request.to_lsn) options.to_lsn = jetpp::lsn{*request.to_lsn};
    if (!request.to_time.empty()) {
        options.to_time = jetpp::parse_utc(request.to_time);
        if (!options.to_time) wrong_usage("--to-time is no time as 2025-03-01T12:00:00Z");
    }
    auto progress = progress_report{request.dry_run ? "verify" : "restore", request.progress};
    auto total = std::uint64_t{0};
    auto read = std::uint64_t{0};
    auto stage = jetpp::restore_stage{};
    auto file = std::string{};
    options.on_read = [&](std::uint64_t bytes) -> jetpp::result<void> {
        read += bytes;
        auto const in_all = stage == jetpp::restore_stage::search ? 0 : total;
        progress.show({jetpp::name_of(stage), file, read, in_all});
        return jetpp::ok();
    };
    options.on_stage = [&](jetpp::restore_stage now, std::string_view of) -> jetpp::result<void> {
        if (std::exchange(stage, now) == jetpp::restore_stage::search) read = 0; // read again
        file = of;
        return options.on_read(0);
    };
    auto trouble = jetpp::restore_trouble{};
    value_of(pool.believe(options.access), directory);
    auto const chosen =
        options.live ? any_set_of(directory, pool) : pool.choose(request.set, options.timeline);
    if (!chosen) explain(request, pool, chosen.error(), trouble);
    auto const& head = pool.manifest(chosen.assume_value());
    for (std::size_t i = 0; i < pool.size(); ++i)
        if (pool[i].read && head.log_start < pool.manifest(i).end_lsn)
            total += bytes_of(pool.manifest(i));
    if (options.delta) total *= 2; // to prove it, then to lay it over
    if (head.page_size == 0)       // the log of an instance, of which no set is here
        explain(
            request,
            pool,
            {.code = jetpp::errc::base_not_here, .file = jetpp::file_kind::manifest},
            trouble
        );
    auto const* const build = find_build(head.page_size, head.checksum);
    if (build == nullptr)
        fail(
            pool[chosen.assume_value()].where,
            "has a page size or checksum that no engine here is built for"
        );
    auto const done =
        build->restore(pool, options, request.dry_run ? std::string{} : directory, trouble);
    progress.end();
    if (!done) explain(request, pool, done.error(), trouble);
    auto const& r = done.assume_value();
    tell_replaced(r.replaced);
    for (auto const& one : r.passed_over)
        std::fprintf(
            stderr, "%s: passed over: %s\n", one.where.c_str(), jetpp_tool::text_of(one.why).c_str()
        );
    if (r.written_pages + r.equal_pages != 0)
        std::fprintf(
            stderr,
            "%llu pages written, %llu were as they should be\n",
            number(r.written_pages),
            number(r.equal_pages)
        );
    for (auto const& name : r.left_out)
        std::fprintf(
            stderr, "%s: left out: it was exempt from backups\n", jetpp_tool::escaped(name).c_str()
        );
    if (!r.moved_aside.empty())
        std::fprintf(
            stderr, "%s: what was there is in it now\n", below(directory, r.moved_aside).c_str()
        );
    if (r.recovery.pins_lost)
        std::fprintf(
            stderr, "%s: the checkpoint file was lost, and named pins with it\n", directory.c_str()
        );
    auto named = chosen.assume_value();
    for (auto i = pool.size(); i-- > 0;)
        if (pool[i].read && pool.manifest(i).set == r.set) named = i;
    if (request.json) return print_json(r, pool.manifest(named), !request.dry_run);
    if (r.gone_on)
        return void(std::printf(
            "%s: restored %llu %s to LSN %llu; an interrupted restore had verified and laid them "
            "down\n",
            pool[named].name.c_str(),
            number(r.databases),
            r.databases == 1 ? "database" : "databases",
            number(r.reached.value)
        ));
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
    print_authenticity(r.authenticated, r.sets);
}

} // namespace jetpp_tool
