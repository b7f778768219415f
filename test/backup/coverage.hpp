// test/backup/coverage.hpp - are sets whole, and is every moment since each copy still to be had?
#pragma once

#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/backup/set_walker.hpp>
#include <jetpp/core/describe.hpp>
#include <jetpp/log/log_directory.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test {

// Log from each set with pages on, up to the newest segment of the instance, must lie in some set
// or in the directory. Generations must not jump. Returns: what is missing, or nothing.
template <class Env>
[[nodiscard]] std::string hole_behind_sets(
    Env env, jetpp::path_view instance, jetpp::path_view repo, std::uint64_t segment_bytes
) {
    using namespace jetpp;
    using range = std::pair<std::uint64_t, std::uint64_t>;
    auto covered = std::vector<range>{};
    auto live = env.storage.open_dir(instance, directory_how::must_exist);
    if (!live) return describe(live.error()).c_str();
    auto entries = array_list<directory_entry>{};
    if (auto listed = live.value().list(entries); !listed) return "the instance cannot be listed";
    auto end = std::uint64_t{0};
    for (auto const& one : entries)
        if (auto const generation = parse_segment_name(one.name.view())) {
            covered.emplace_back(*generation * segment_bytes, (*generation + 1) * segment_bytes);
            end = std::max(end, covered.back().second);
        }
    auto sets = repository<Env>::open(env, repo);
    if (!sets) return sets.error().code == errc::not_found ? "" : describe(sets.error()).c_str();
    auto known = list_sets(sets.value());
    if (!known) return describe(known.error()).c_str();
    for (auto const& one : known.value()) {
        if (one.problem) return describe(*one.problem).c_str();
        for (auto const& log : one.manifest.log) covered.emplace_back(log.from.value, log.to.value);
    }
    std::sort(covered.begin(), covered.end());
    for (auto const& one : known.value()) {
        if (!one.manifest.has_pages()) continue;
        auto at = one.manifest.log_start.value;
        for (auto const& [from, to] : covered)
            if (from <= at) at = std::max(at, to);
        if (at < end)
            return std::string{one.name.view()} + ": no log from " + std::to_string(at) + " to " +
                   std::to_string(end);
    }
    return "";
}

// Takes everything and keeps nothing.
struct no_visitor {
    jetpp::result<void> begin_database(std::size_t, jetpp::database_header const&) {
        return jetpp::ok();
    }
    jetpp::result<void> database_bytes(std::uint64_t, jetpp::const_bytes) { return jetpp::ok(); }
    jetpp::result<void> end_database(jetpp::copy_trailer const&) { return jetpp::ok(); }
    jetpp::result<void> begin_segment(jetpp::segment_header const&) { return jetpp::ok(); }
    jetpp::result<void> see_record(jetpp::log_record const&) { return jetpp::ok(); }
    jetpp::result<void> segment_bytes(std::uint64_t, jetpp::const_bytes) { return jetpp::ok(); }
    jetpp::result<void> end_segment(jetpp::segment_header const&, jetpp::lsn) {
        return jetpp::ok();
    }
    jetpp::result<void> read(std::uint64_t) { return jetpp::ok(); }
};

// As verify_repository, for the one page size and checksum of these tests: it compiles faster.
// Returns: what is wrong with any set that has a manifest, or nothing.
template <class Env>
[[nodiscard]] std::string damage_in_sets(Env env, jetpp::path_view repo, std::size_t& count) {
    using namespace jetpp;
    count = 0;
    auto sets = repository<Env>::open(env, repo);
    if (!sets) return sets.error().code == errc::not_found ? "" : describe(sets.error()).c_str();
    auto known = list_sets(sets.value());
    if (!known) return describe(known.error()).c_str();
    for (auto const& one : known.value()) {
        auto const name = std::string{one.name.view()} + ": ";
        if (one.problem) return name + describe(*one.problem).c_str();
        auto set = sets.value().open_set(one.name);
        if (!set) return name + describe(set.error()).c_str();
        auto visitor = no_visitor{};
        auto walked =
            set_walker<Env, 4096, crc32c, no_visitor>{set.value(), one.manifest, visitor}.run();
        if (!walked) return name + describe(walked.error()).c_str();
        ++count;
    }
    return "";
}

} // namespace jetpp_test
