// jetpp truncate, unpin, exempt and point: the log as something that is given up, and something with
// names.
#include "truncate.hpp"

#include <cstdio>
#include <string>

#include "commands.hpp"
#include "escape.hpp"
#include "failure.hpp"
#include "place.hpp"
#include "set_paths.hpp"

namespace jetpp_tool {

namespace {
namespace truncate_detail {

// "last backup of main", "redo", "never backed up: late"
[[nodiscard]] std::string text_of(jetpp::log_hold const& hold) {
    auto text = std::string{jetpp::name_of(hold.who)};
    if (!hold.name.empty()) text += ": " + escaped(hold.name.view());
    return text;
}

} // namespace truncate_detail
} // namespace

void print_truncation(jetpp::truncation_report const& report, bool all) {
    using namespace truncate_detail;
    if (report.circular)
        std::printf("circular logging: the log gives itself up\n");
    else
        std::printf(
            "%llu segments of %llu bytes given up; the log begins at LSN %llu, held from LSN %llu "
            "by %s\n",
            number(report.segments),
            number(report.bytes),
            number(report.oldest.value),
            number(report.limit.value),
            text_of(report.holder()).c_str()
        );
    for (auto const& name : report.exempt())
        std::printf("exempt from backups: %s\n", escaped(name.view()).c_str());
    if (!all) return;
    for (auto const& hold : report.all())
        std::printf("  %-20llu %s\n", number(hold.from.value), text_of(hold).c_str());
}

nlohmann::ordered_json json_of(jetpp::truncation_report const& report) {
    auto all = nlohmann::ordered_json::object();
    all["circular"] = report.circular;
    all["segments"] = std::to_string(report.segments);
    all["bytes"] = std::to_string(report.bytes);
    all["oldest_lsn"] = std::to_string(report.oldest.value);
    all["limit"] = std::to_string(report.limit.value);
    all["holders"] = nlohmann::ordered_json::array();
    for (auto const& hold : report.all()) {
        auto one = nlohmann::ordered_json::object();
        one["who"] = jetpp::name_of(hold.who);
        one["name"] = hold.name.view();
        one["from"] = std::to_string(hold.from.value);
        all["holders"].push_back(one);
    }
    all["exempt"] = nlohmann::ordered_json::array();
    for (auto const& name : report.exempt()) all["exempt"].push_back(name.view());
    return all;
}

void truncate_log(truncate_request const& request) {
    auto engine = open_engine(request.directory, nullptr);
    auto const done = engine->truncate_log({.dry_run = request.dry_run, .write_home = true});
    auto const closed = engine->close();
    if (!done) fail(request.directory, done.error());
    if (!closed) fail(request.directory, closed.error());
    auto const& report = done.assume_value();
    if (request.json)
        std::printf("%s\n", json_of(report).dump().c_str());
    else
        print_truncation(report, true);
    if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
}

// Whatever bears the name; the kinds of readers share it seldom enough.
void release_pin(unpin_request const& request) {
    auto engine = open_engine(request.directory, nullptr);
    auto released = 0;
    auto done = jetpp::result<void>{jetpp::ok()};
    auto const pins = engine->named_pins();
    for (auto const& pin : pins.all()) {
        if (pin.id().text().view() != request.owner || !done) continue;
        done = engine->release_pin(pin.id());
        ++released;
    }
    auto const closed = engine->close();
    if (!done) fail(request.directory, done.error());
    if (!closed) fail(request.directory, closed.error());
    if (released == 0) fail(request.directory, "no pin of that owner; jetpp info lists them");
}

void exempt_database(exempt_request const& request) {
    auto engine = open_engine(request.directory, nullptr);
    auto const done = engine->set_backup_exempt(request.database, !request.no_longer);
    auto const closed = engine->close();
    if (!done && done.error().code == jetpp::errc::not_found)
        fail(request.directory, "no database of that name; jetpp info lists them");
    if (!done) fail(request.directory, done.error());
    if (!closed) fail(request.directory, closed.error());
}

void mark_point(point_request const& request) {
    auto engine = open_engine(request.directory, nullptr);
    auto const at = engine->mark_restore_point(request.label);
    auto const closed = engine->close();
    if (!at && at.error().code == jetpp::errc::invalid_argument)
        wrong_usage("a label is 1 to 255 bytes of UTF-8");
    if (!at) fail(request.directory, at.error());
    if (!closed) fail(request.directory, closed.error());
    std::printf("%llu\n", number(at.assume_value().value));
    if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
}

} // namespace jetpp_tool
