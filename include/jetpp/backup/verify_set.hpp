// jetpp/backup/verify_set.hpp - is every byte of a set, or of all sets of a repository, what it was?
//
// Reads all of it: frames, hashes, pages, trailers, log records, the chain of segments, manifest;
// and sees that nothing else lies in the directory. Nothing is written, no instance is needed.
// It does not replay: a report of this version says `partial`. Restore, which does, is the proof.
// Threads  one owner.
// Source   backup rule R61.
#pragma once

#include <jetpp/backup/frame_check.hpp>
#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/backup/page_policies.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/backup/set_walker.hpp>
#include <jetpp/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// Something wrong, and in which file of which set. Empty names: of the repository itself.
struct verify_finding {
    std::string set;
    std::string file;
    error why{};
};

struct verify_report {
    std::uint64_t sets{}; // verified, good or bad
    std::uint64_t sealed_sets{}; // of them: encrypted, and no key was brought: frames only
    std::uint64_t authenticated{}; // of them: an HMAC says who wrote them; of others nothing does
    std::uint64_t parts{};
    std::uint64_t frames{};
    std::uint64_t pages{};
    std::uint64_t records{};
    std::uint64_t bytes{};
    std::vector<verify_finding> findings{};
    bool partial = false; // not replayed

    [[nodiscard]] bool is_good() const noexcept { return findings.empty(); }
};

struct verify_options {
    set_access access{}; // codecs and keys the sets may want
    // Bytes of sets that were read since the last call. An error ends the work with that error.
    std::function<result<void>(std::uint64_t)> on_read{};
};

namespace detail {

// Takes everything and keeps nothing.
struct verify_visitor {
    verify_options const* options;
    [[nodiscard]] result<void> begin_database(std::size_t, database_header const&) noexcept {
        return ok();
    }
    [[nodiscard]] result<void> database_bytes(std::uint64_t, const_bytes) noexcept { return ok(); }
    [[nodiscard]] result<void> end_database(copy_trailer const&) noexcept { return ok(); }
    [[nodiscard]] result<void> begin_segment(segment_header const&) noexcept { return ok(); }
    [[nodiscard]] result<void> see_record(log_record const&) noexcept { return ok(); }
    [[nodiscard]] result<void> segment_bytes(std::uint64_t, const_bytes) noexcept { return ok(); }
    [[nodiscard]] result<void> end_segment(segment_header const&, lsn) noexcept { return ok(); }
    [[nodiscard]] result<void> read(std::uint64_t count) {
        return options->on_read ? options->on_read(count) : result<void>{ok()};
    }
};

// In which file of the set an error lies.
[[nodiscard]] inline std::string file_of(error const& why, backup_manifest const& manifest) {
    if (why.file == file_kind::backup_part && why.page.value < manifest.parts.size())
        return manifest.parts[why.page.value].name;
    if (why.file == file_kind::database)
        for (auto const& database : manifest.databases)
            if (database.place.value == why.database)
                for (auto const& part : manifest.parts)
                    if (part.database == database.id) return part.name;
    if (why.file == file_kind::log_segment)
        for (auto const& part : manifest.parts)
            if (part.content == part_content::log && why.at.value >= part.summary.first &&
                why.at.value < part.summary.end)
                return part.name;
    return std::string{manifest_file_name.view()};
}

} // namespace detail

namespace detail {

// What can be said of an encrypted set without its key.
template <any_environment Env>
[[nodiscard]] result<void> check_sealed_parts(
    typename Env::directory& set,
    backup_manifest const& manifest,
    verify_report& report,
    verify_options const& options
) {
    ++report.sealed_sets;
    for (auto const& part : manifest.parts) {
        BOOST_OUTCOME_TRY(auto const name, file_name::make(part.name));
        auto opened = file_input<Env>::open(set, name);
        if (!opened)
            return error{
                .code = opened.error().code,
                .os_errno = opened.error().os_errno,
                .page = page_number{part.number},
                .file = file_kind::backup_part
            };
        BOOST_OUTCOME_TRY(check_frames(
            opened.assume_value(),
            {.set = manifest.set, .part = part.number},
            part.summary,
            [&](std::uint64_t count) -> result<void> {
                return options.on_read ? options.on_read(count) : result<void>{ok()};
            }
        ));
        ++report.parts;
        report.frames += part.summary.frames;
        report.bytes += part.summary.bytes;
    }
    return ok();
}

} // namespace detail

// Adds to the report what is found in one set. `name`: as the report shall call it.
// Errors: of reading the directory, out_of_memory, what on_read returned. Damage is a finding.
template <any_environment Env>
[[nodiscard]] result<void> verify_set(
    typename Env::directory& set,
    std::string_view name,
    verify_report& report,
    verify_options const& options = {}
) noexcept {
    return guarded([&]() -> result<void> {
        report.partial = true;
        ++report.sets;
        auto const found = [&](std::string file, error const& why) {
            report.findings.push_back({std::string{name}, std::move(file), why});
        };
        auto const read = manifest_of<Env>(set);
        if (!read) {
            found(std::string{manifest_file_name.view()}, read.error());
            return ok();
        }
        auto const& manifest = read.assume_value().manifest;
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(set.list(entries));
        for (auto const& entry : entries) {
            auto known = entry.name == manifest_file_name;
            for (auto const& part : manifest.parts) known = known || part.name == entry.name.view();
            if (!known)
                found(
                    std::string{entry.name.view()},
                    {.code = errc::set_mixed, .file = file_kind::directory}
                );
        }
        if (manifest.is_encrypted() && options.access.keys == nullptr) {
            auto checked = detail::check_sealed_parts<Env>(set, manifest, report, options);
            if (!checked) {
                auto const& why = checked.error();
                if (why.code == errc::cancelled || why.code == errc::out_of_memory) return why;
                found(detail::file_of(why, manifest), why);
            }
            return ok();
        }
        auto const access = options.access.for_set(manifest);
        if (!access) {
            found(std::string{manifest_file_name.view()}, access.error());
            return ok();
        }
        if (access.assume_value().key != nullptr && access.assume_value().key->proves_author())
            ++report.authenticated;
        auto visitor = detail::verify_visitor{&options};
        auto const walked = with_page_policies(
            manifest.page_size,
            manifest.checksum,
            [&]<std::size_t PageSize, class Checksum>() -> result<set_tally> {
                return set_walker<Env, PageSize, Checksum, detail::verify_visitor>{
                    set, manifest, visitor, access.assume_value()
                }
                    .run();
            }
        );
        if (!walked) {
            auto const& why = walked.error();
            if (why.code == errc::cancelled || why.code == errc::out_of_memory) return why;
            found(detail::file_of(why, manifest), why);
            return ok();
        }
        auto const& tally = walked.assume_value();
        report.parts += tally.parts;
        report.frames += tally.frames;
        report.pages += tally.pages;
        report.records += tally.records;
        report.bytes += tally.bytes;
        return ok();
    });
}

// Every set of the repository. Errors: those of opening it, and of verify_set.
template <any_environment Env>
[[nodiscard]] result<verify_report> verify_repository(
    Env env, path_view path, verify_options const& options = {}
) noexcept {
    return guarded([&]() -> result<verify_report> {
        auto report = verify_report{};
        auto opened = repository<Env>::open(env, path);
        if (!opened) {
            if (opened.error().code != errc::set_damaged) return opened.error();
            report.findings.push_back({"", std::string{repository_file_name.view()}, opened.error()}
            );
            return report;
        }
        auto& sets = opened.assume_value();
        BOOST_OUTCOME_TRY(auto const entries, sets.list());
        for (auto const& entry : entries) {
            if (!entry.has_manifest) continue; // a backup that runs, or did not come to its end
            BOOST_OUTCOME_TRY(auto directory, sets.open_set(entry.name));
            BOOST_OUTCOME_TRY(verify_set<Env>(directory, entry.name.view(), report, options));
        }
        return report;
    });
}

// A set alone, by the path of its directory.
template <any_environment Env>
[[nodiscard]] result<verify_report> verify_set_at(
    Env env, path_view path, verify_options const& options = {}
) noexcept {
    return guarded([&]() -> result<verify_report> {
        BOOST_OUTCOME_TRY(auto set, env.storage.open_dir(path, directory_how::must_exist));
        auto report = verify_report{};
        BOOST_OUTCOME_TRY(verify_set<Env>(set, path.view(), report, options));
        return report;
    });
}

// What a directory is, by the files in it.
enum class backup_place : std::uint8_t { neither, repository, set };
template <any_environment Env>
[[nodiscard]] result<backup_place> backup_place_at(Env env, path_view path) noexcept {
    BOOST_OUTCOME_TRY(auto directory, env.storage.open_dir(path, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    BOOST_OUTCOME_TRY(directory.list(entries));
    for (auto const& entry : entries) {
        if (entry.name == repository_file_name) return backup_place::repository;
        if (entry.name == manifest_file_name) return backup_place::set;
    }
    return backup_place::neither;
}

} // namespace jetpp::inline v1
