// jetpp prune: old sets go, and nothing that what stays needs.
#include <jetpp/backup/prune_sets.hpp>

#include <cstdio>
#include <string>

#include "commands.hpp"
#include "escape.hpp"
#include "failure.hpp"
#include "place.hpp"
#include "set_paths.hpp"
#include <nlohmann/json.hpp>

namespace jetpp_tool {

namespace {
namespace prune_detail {

void print(jetpp::prune_report const& report, bool dry_run) {
    auto const* const verb = dry_run ? "would go" : "went";
    for (auto const& one : report.gone)
        std::printf("%s %s, %llu bytes\n", escaped(one.name).c_str(), verb, number(one.bytes));
    for (auto const& name : report.orphans)
        std::printf("%s %s, it was never finished\n", escaped(name).c_str(), verb);
    for (auto const& name : report.damaged)
        std::printf("%s stays, it is damaged\n", escaped(name).c_str());
    for (auto const& name : report.unplanned)
        std::printf(
            "%s does not restore from what is here: all of its history stays\n",
            escaped(name).c_str()
        );
    std::printf(
        "%zu sets of %llu bytes %s, %zu stay\n",
        report.gone.size(),
        number(report.bytes),
        verb,
        report.kept
    );
}

[[nodiscard]] nlohmann::ordered_json json_of(jetpp::prune_report const& report, bool dry_run) {
    auto all = nlohmann::ordered_json::object();
    all["dry_run"] = dry_run;
    all["gone"] = nlohmann::ordered_json::array();
    for (auto const& one : report.gone) {
        auto set = nlohmann::ordered_json::object();
        set["set"] = jetpp::text_of(one.set);
        set["name"] = escaped(one.name);
        set["kind"] = jetpp::name_of(one.kind);
        set["bytes"] = std::to_string(one.bytes);
        all["gone"].push_back(set);
    }
    all["orphans"] = nlohmann::ordered_json::array();
    for (auto const& name : report.orphans) all["orphans"].push_back(escaped(name));
    all["damaged"] = nlohmann::ordered_json::array();
    for (auto const& name : report.damaged) all["damaged"].push_back(escaped(name));
    all["unplanned"] = nlohmann::ordered_json::array();
    for (auto const& name : report.unplanned) all["unplanned"].push_back(escaped(name));
    all["blocked"] = report.blocked;
    all["bytes"] = std::to_string(report.bytes);
    all["kept"] = report.kept;
    return all;
}

} // namespace prune_detail
} // namespace

void prune(prune_request const& request) {
    using namespace prune_detail;
    auto sets = value_of(repository::open({}, request.repository), request.repository);
    auto const report = value_of(
        jetpp::prune_sets(
            sets,
            {.keep = request.keep,
             .orphans = request.orphans,
             .dry_run = request.dry_run,
             .despite_damage = request.despite_damage}
        ),
        request.repository
    );
    if (request.json)
        std::printf("%s\n", json_of(report, request.dry_run).dump().c_str());
    else
        print(report, request.dry_run);
    if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
    if (report.blocked)
        fail(
            request.repository,
            "a manifest cannot be read, so nothing went; see verify, or say --despite-damage"
        );
}

} // namespace jetpp_tool
