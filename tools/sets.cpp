// What sets are: list, and info and verify where sets lie.
#include "sets.hpp"

#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/restore_report.hpp>
#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/backup/set_proof.hpp>
#include <jetpp/backup/verify_set.hpp>
#include <jetpp/backup/verify_stream.hpp>
#include <jetpp/env/descriptor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
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
namespace sets_detail {

[[nodiscard]] jetpp::backup_place kind_of(std::string const& path) {
    return value_of(jetpp::backup_place_at(environment{}, path), path);
}

void say(std::string_view name, std::string const& value) {
    std::printf("  %-18s %s\n", std::string{name}.c_str(), value.c_str());
}
void say(std::string_view name, jetpp::lsn at) {
    say(name, std::to_string(at.value));
}

void print_set(std::string_view name, jetpp::backup_manifest const& m) {
    std::printf("%s\n", std::string{name}.c_str());
    say("set", jetpp_tool::text_of(m.set));
    say("kind", std::string{jetpp::name_of(m.kind)});
    say("created", jetpp_tool::text_of(m.created));
    if (!m.tag.empty()) say("tag", escaped(m.tag));
    say("instance", jetpp_tool::text_of(m.instance));
    say("timeline", jetpp_tool::hex_of(m.timeline.value));
    say("log start", m.log_start);
    say("pages end", m.copy_end_lsn);
    say("end LSN", m.end_lsn);
    if (m.last_commit)
        say("last commit",
            std::to_string(m.last_commit.value) + ", " + jetpp_tool::text_of(m.last_commit_time));
    say("page bytes", std::to_string(m.page_size));
    say("checksum", m.checksum);
    say("segment bytes", std::to_string(m.segment_bytes));
    say("logging", m.archival ? "archival" : "circular");
    say("codec", m.codec);
    say("hash", std::string{jetpp::name_of(m.hash)});
    say("cipher", m.is_encrypted() ? m.cipher : "none");
    for (auto const& slot : m.key_slots) say("key slot", std::string{jetpp::name_of(slot.kind)});
    if (m.drill)
        say("drill",
            "restored at " + jetpp_tool::text_of(m.drill->time) + ", " +
                std::to_string(m.drill->rows) + " rows");
    say("authenticity", m.has_author() ? "hmac" : "none");
    for (auto const& one : m.databases)
        say("database",
            escaped(one.name) + ", " + std::to_string(one.pages) + " pages, " +
                jetpp_tool::text_of(one.id));
    for (auto const& one : m.exempt)
        say("exempt", escaped(one.name) + ", " + jetpp_tool::text_of(one.id));
    for (auto const& one : m.parts)
        say("part",
            one.name + ", " + std::to_string(one.summary.bytes) + " bytes, " +
                std::to_string(one.summary.frames) + " frames");
    for (auto const& one : m.warnings)
        say("warning", one.what + ": " + one.file + ", " + std::to_string(one.count));
}

// Of all sets that verify will read.
[[nodiscard]] std::uint64_t bytes_to_verify(std::string const& path, jetpp::backup_place kind) {
    auto sum = std::uint64_t{0};
    if (kind == jetpp::backup_place::repository) {
        auto sets = repository::open({}, path);
        if (!sets) return 0;
        auto const known = jetpp::list_sets(sets.assume_value());
        if (!known) return 0;
        for (auto const& one : known.assume_value()) sum += bytes_of(one.manifest);
    } else {
        auto set = environment{}.storage.open_dir(path, jetpp::directory_how::must_exist);
        if (!set) return 0;
        auto const manifest = jetpp::manifest_of<environment>(set.assume_value());
        if (manifest) sum = bytes_of(manifest.assume_value().manifest);
    }
    return sum;
}

} // namespace sets_detail
} // namespace

// Oldest first; damaged sets, of which only the name is known, before all.
void list_repository(list_request const& request) {
    auto sets = value_of(repository::open({}, request.repository), request.repository);
    auto known = value_of(jetpp::list_sets(sets), request.repository);
    auto const proofs = value_of(jetpp::list_proofs(sets), request.repository);
    // Names and times tell seconds only.
    std::sort(known.begin(), known.end(), [](auto const& a, auto const& b) {
        auto const key = [](auto const& one) {
            return std::tuple{one.manifest.created.ns, one.manifest.end_lsn.value, one.name.view()};
        };
        return key(a) < key(b);
    });
    auto const* damaged = static_cast<jetpp::catalogued_set const*>(nullptr);
    for (auto const& one : known) {
        auto const& m = one.manifest;
        auto const proved = jetpp::proved_at(proofs, m, one.hash);
        auto described = nlohmann::ordered_json::object();
        if (one.problem) {
            if (damaged == nullptr) damaged = &one;
            described["name"] = one.name.view();
            described["kind"] = "damaged";
            described["why"] = jetpp_tool::text_of(*one.problem);
        } else {
            described["id"] = jetpp::text_of(m.set);
            described["name"] = one.name.view();
            described["kind"] = jetpp::name_of(m.kind);
            described["tag"] = m.tag;
            described["base"] = nullptr;
            if (!m.bases.empty()) described["base"] = jetpp::text_of(m.bases.front().set);
            described["begin_lsn"] = std::to_string(m.log_start.value);
            described["end_lsn"] = std::to_string(m.end_lsn.value);
            described["timeline"] = jetpp_tool::hex_of(m.timeline.value);
            described["time"] = jetpp_tool::text_of(m.created);
            described["bytes"] = std::to_string(bytes_of(m));
            described["codec"] = m.codec;
            described["hash"] = jetpp::name_of(m.hash);
            described["cipher"] = nullptr;
            if (m.is_encrypted()) described["cipher"] = m.cipher;
            described["proved"] = nullptr;
            if (proved) described["proved"] = jetpp_tool::text_of(*proved);
        }
        auto line = std::string{};
        if (request.json)
            line = described.dump();
        else if (one.problem)
            line = std::string{one.name.view()} + " damaged - - - - -";
        else
            line = jetpp::text_of(m.set) + ' ' + std::string{jetpp::name_of(m.kind)} + ' ' +
                   (m.bases.empty() ? std::string{"-"} : jetpp::text_of(m.bases.front().set)) +
                   ' ' + std::to_string(m.log_start.value) + ' ' + std::to_string(m.end_lsn.value) +
                   ' ' + jetpp_tool::text_of(m.created) + ' ' + std::to_string(bytes_of(m));
        std::printf("%s\n", line.c_str());
    }
    if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
    if (damaged != nullptr)
        fail(path_of_set(request.repository, damaged->name.view()), *damaged->problem);
}

// Manifests, as the sets hold them.
namespace {
namespace sets_detail {

[[nodiscard]] nlohmann::ordered_json json_of(jetpp::backup_manifest const& manifest) {
    return nlohmann::ordered_json::parse(manifest.to_json());
}
void print_sets_json(std::string const& path, jetpp::backup_place kind) {
    auto all = nlohmann::ordered_json{};
    if (kind == jetpp::backup_place::set) {
        auto set =
            value_of(environment{}.storage.open_dir(path, jetpp::directory_how::must_exist), path);
        all = json_of(value_of(jetpp::manifest_of<environment>(set), path).manifest);
    } else {
        auto sets = value_of(repository::open({}, path), path);
        auto const known = value_of(jetpp::list_sets(sets), path);
        all["sets"] = nlohmann::ordered_json::array();
        for (auto const& one : known) {
            auto said = nlohmann::ordered_json::object();
            said["name"] = one.name.view();
            said["damaged"] = nullptr;
            said["manifest"] = nullptr;
            if (one.problem)
                said["damaged"] = jetpp_tool::text_of(*one.problem);
            else
                said["manifest"] = json_of(one.manifest);
            all["sets"].push_back(std::move(said));
        }
    }
    std::printf("%s\n", all.dump().c_str());
}

} // namespace sets_detail
} // namespace

bool print_sets(info_request const& request) {
    using namespace sets_detail;
    auto const& path = request.path;
    auto const kind = kind_of(path);
    if (kind == jetpp::backup_place::neither) return false;
    if (request.json) {
        print_sets_json(path, kind);
    } else if (kind == jetpp::backup_place::set) {
        auto set =
            value_of(environment{}.storage.open_dir(path, jetpp::directory_how::must_exist), path);
        print_set(path, value_of(jetpp::manifest_of<environment>(set), path).manifest);
    } else {
        auto sets = value_of(repository::open({}, path), path);
        auto const known = value_of(jetpp::list_sets(sets), path);
        std::printf("%s: a repository of %zu sets\n", path.c_str(), known.size());
        for (auto const& one : known) {
            if (one.problem)
                std::printf(
                    "%s\n  %-18s %s\n",
                    one.name.c_str(),
                    "damaged",
                    jetpp_tool::text_of(*one.problem).c_str()
                );
            else
                print_set(one.name.view(), one.manifest);
        }
    }
    if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
    return true;
}

namespace {
namespace sets_detail {

// Has the engine that fits a set restore it.
struct set_prover {
    std::string scratch;
    jetpp::prover_options options{};

    [[nodiscard]] jetpp::result<jetpp::replayed_set> operator()(
        jetpp::set_pool<environment>& pool, std::size_t set, jetpp::set_access const& access
    ) {
        auto const& manifest = pool.manifest(set);
        auto const* const build = find_build(manifest.page_size, manifest.checksum);
        if (build == nullptr) return jetpp::error{.code = jetpp::errc::unsupported};
        return build->replay(pool, set, scratch, access, options);
    }
};

constexpr auto standard_input = "standard input";

[[nodiscard]] std::string partial_text(
    std::string const& path, jetpp::verify_report const& report
) {
    if (!report.partial) return "";
    if (path == standard_input) return "; partial: not restored, which needs --scratch DIR";
    return report.sealed_sets != 0 ? "; partial: some sets were not opened"
                                   : "; partial: the base of some set is not here";
}

void print_json(std::string const& path, jetpp::verify_report const& report) {
    auto all = nlohmann::ordered_json::object();
    all["good"] = report.is_good();
    all["findings"] = nlohmann::ordered_json::array();
    for (auto const& one : report.findings)
        all["findings"].push_back(
            {{"where", path_of_set(path, one.set)},
             {"file", one.file},
             {"why", jetpp_tool::text_of(one.why)}}
        );
    all["sets"] = std::to_string(report.sets);
    all["sealed_sets"] = std::to_string(report.sealed_sets);
    all["authenticated_sets"] = std::to_string(report.authenticated);
    all["parts"] = std::to_string(report.parts);
    all["frames"] = std::to_string(report.frames);
    all["pages"] = std::to_string(report.pages);
    all["records"] = std::to_string(report.records);
    all["bytes"] = std::to_string(report.bytes);
    all["replayed"] = std::to_string(report.replayed);
    all["trees"] = std::to_string(report.trees);
    all["rows"] = std::to_string(report.rows);
    all["proofs"] = std::to_string(report.proofs);
    all["partial"] = report.partial;
    std::printf("%s\n", all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

void print_text(
    std::string const& path,
    std::vector<std::string> const& lines,
    jetpp::verify_report const& report
) {
    for (auto const& line : lines) std::printf("%s\n", line.c_str());
    std::printf(
        "%llu %s: %llu parts, %llu frames, %llu pages and %llu log records, %llu bytes; "
        "%llu replayed, %llu trees with %llu rows%s\n",
        number(report.sets),
        report.sets == 1 ? "set" : "sets",
        number(report.parts),
        number(report.frames),
        number(report.pages),
        number(report.records),
        number(report.bytes),
        number(report.replayed),
        number(report.trees),
        number(report.rows),
        partial_text(path, report).c_str()
    );
    if (report.proofs != 0)
        std::printf(
            "%llu %s kept\n", number(report.proofs), report.proofs == 1 ? "proof" : "proofs"
        );
    print_authenticity(report.authenticated, report.sets);
    if (report.sealed_sets != 0)
        std::printf(
            "%llu of them encrypted, frames only: more takes a key, and of a stream --scratch "
            "DIR\n",
            number(report.sealed_sets)
        );
}

// Prints what was found, and throws it if it was anything.
void tell(std::string const& path, jetpp::verify_report const& report, bool json) {
    auto lines = std::vector<std::string>{};
    for (auto const& one : report.findings)
        lines.push_back(
            below(path_of_set(path, one.set), one.file) + ": " + jetpp_tool::text_of(one.why)
        );
    if (json)
        print_json(path, report);
    else
        print_text(path, lines, report);
    if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
    if (lines.empty()) return;
    auto first = lines.front();
    if (lines.size() > 1) first += " (and " + std::to_string(lines.size() - 1) + " more)";
    throw failure{first};
}

// What passes through standard input, without room for it: not restored.
void verify_passing(verify_request const& request) {
    auto progress = progress_report{"verify", request.progress};
    auto read = std::uint64_t{0};
    auto options = jetpp::verify_options{};
    options.access = brought_access();
    options.on_read = [&](std::uint64_t bytes) -> jetpp::result<void> {
        read += bytes;
        progress.show({.phase = "read", .bytes_done = read});
        return jetpp::ok();
    };
    auto from = jetpp::descriptor::standard_input();
    auto const report = value_of(jetpp::verify_stream(from, options), standard_input);
    progress.end();
    tell(standard_input, report, request.json);
}

} // namespace sets_detail
} // namespace

bool verify_sets(verify_request const& request) {
    using namespace sets_detail;
    auto const& path = request.path;
    auto const& scratch = request.scratch;
    if (path == stream_word) {
        if (request.proof) wrong_usage("--proof needs a repository to keep it in");
        if (scratch.empty()) {
            verify_passing(request);
        } else {
            auto const received = set_place{path, scratch, request.progress};
            auto there = request;
            there.path = received.path();
            (void)verify_sets(there);
        }
        return true;
    }
    auto const kind = kind_of(path);
    if (kind == jetpp::backup_place::neither) return false;
    auto progress = progress_report{"verify", request.progress};
    auto const total = bytes_to_verify(path, kind);
    auto read = std::uint64_t{0};
    auto set = std::string{};
    auto options = jetpp::verify_options{};
    options.access = brought_access();
    options.keeps_proofs = request.proof;
    options.on_read = [&](std::uint64_t bytes) -> jetpp::result<void> {
        read += bytes;
        progress.show({"read", set, read, total});
        return jetpp::ok();
    };
    options.on_set = [&](std::string_view name) -> jetpp::result<void> {
        set = name;
        return options.on_read(0);
    };
    // How much of which sets it will read, nobody knows yet.
    auto replayed = std::uint64_t{0};
    auto prover = set_prover{scratch_place(scratch)};
    prover.options.on_read = [&](std::uint64_t bytes) -> jetpp::result<void> {
        replayed += bytes;
        progress.show({"replay", set, replayed, 0});
        return jetpp::ok();
    };
    prover.options.on_stage = [&](jetpp::restore_stage, std::string_view) -> jetpp::result<void> {
        progress.show({"replay", set, replayed, 0});
        return jetpp::ok();
    };
    auto const report = value_of(
        kind == jetpp::backup_place::repository
            ? jetpp::verify_repository(environment{}, path, options, std::move(prover))
            : jetpp::verify_set_at(environment{}, path, options, std::move(prover)),
        path
    );
    progress.end();
    tell(path, report, request.json);
    return true;
}

} // namespace jetpp_tool
