// jetpp/backup/verify_set.hpp - is every byte of a set, or of all sets of a repository, what it was,
// and would it restore?
//
// First all of the set is read: frames, hashes, pages, trailers, log records, the chain of segments,
// manifest; and nothing else may lie in its directory. Then a prover (verify_replay.hpp) restores it
// into a place that is thrown away. Without a prover, and for a set whose base is not at hand, the
// report says `partial`.
// Threads  one owner.
// Source   backup rule R61.
#pragma once

#include <jetpp/backup/frame_check.hpp>
#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/backup/page_policies.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/backup/set_pool.hpp>
#include <jetpp/backup/set_proof.hpp>
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
    std::uint64_t sets{};          // verified, good or bad
    std::uint64_t sealed_sets{};   // of them: encrypted, and no key was brought: frames only
    std::uint64_t authenticated{}; // of them: an HMAC says who wrote them; of others nothing does
    std::uint64_t parts{};
    std::uint64_t frames{};
    std::uint64_t pages{};
    std::uint64_t records{};
    std::uint64_t bytes{};
    std::uint64_t trees{}; // of restored databases
    std::uint64_t rows{};
    std::uint64_t replayed{}; // sets that were restored
    std::uint64_t proofs{};   // that were kept of it
    std::vector<verify_finding> findings{};
    bool partial = false; // some sound set was not replayed

    [[nodiscard]] bool is_good() const noexcept { return findings.empty(); }
};

struct verify_options {
    set_access access{}; // codecs and keys the sets may want, the prover's too
    // Bytes of sets that were read since the last call. An error ends the work with that error.
    std::function<result<void>(std::uint64_t)> on_read{};
    // The set that is read from now on, by its name. An error ends the work with that error.
    std::function<result<void>(std::string_view)> on_set{};
    // Each set that restores gets a proof in the repository in which it lies (set_proof.hpp).
    bool keeps_proofs = false;
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

// Errors that are of the place and the moment, not of the set.
[[nodiscard]] constexpr bool says_nothing_of_sets(errc code) noexcept {
    switch (code) {
    case errc::cancelled:
    case errc::out_of_memory:
    case errc::disk_full:
    case errc::permission_denied:
    case errc::in_use:
    case errc::would_overwrite:
    case errc::resource: return true;
    default: return false;
    }
}

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
            manifest.hash,
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

// What a prover tells of a set that it restored. A prover is called with pool, member and access.
struct replayed_set {
    lsn reached{};
    std::uint64_t trees{};
    std::uint64_t rows{};
};
// Restores nothing: reports are partial.
struct no_prover {
    template <class Pool>
    [[nodiscard]] result<replayed_set> operator()(Pool&, std::size_t, set_access const&)
        const noexcept {
        return error{.code = errc::unsupported};
    }
};

// Adds to the report what is found in the files of one set, whose manifest is known, and need not
// lie in its directory yet. `name`: as the report shall call it.
// Returns: are they sound, and readable? Errors: of reading the directory, out_of_memory, what on_read returned.
template <any_environment Env>
[[nodiscard]] result<bool> verify_files_of(
    typename Env::directory& set,
    std::string_view name,
    backup_manifest const& manifest,
    verify_report& report,
    verify_options const& options
) noexcept {
    return guarded([&]() -> result<bool> {
        auto const findings = report.findings.size();
        auto const found = [&](std::string file, error const& why) {
            report.findings.push_back({std::string{name}, std::move(file), why});
        };
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
        auto const& key = options.access.key;
        auto const has_key =
            options.access.keys != nullptr || (key != nullptr && key->set() == manifest.set);
        if (manifest.is_encrypted() && !has_key) {
            report.partial = true;
            auto checked = detail::check_sealed_parts<Env>(set, manifest, report, options);
            if (!checked) {
                auto const& why = checked.error();
                if (why.code == errc::cancelled || why.code == errc::out_of_memory) return why;
                found(detail::file_of(why, manifest), why);
            }
            return false;
        }
        auto const access = options.access.for_set(manifest);
        if (!access) {
            found(std::string{manifest_file_name.view()}, access.error());
            return false;
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
            return false;
        }
        auto const& tally = walked.assume_value();
        report.parts += tally.parts;
        report.frames += tally.frames;
        report.pages += tally.pages;
        report.records += tally.records;
        report.bytes += tally.bytes;
        return report.findings.size() == findings;
    });
}

// The same of a set with its manifest.
template <any_environment Env>
[[nodiscard]] result<bool> verify_files(
    typename Env::directory& set,
    std::string_view name,
    verify_report& report,
    verify_options const& options = {}
) noexcept {
    return guarded([&]() -> result<bool> {
        ++report.sets;
        auto const read = manifest_of<Env>(set);
        if (!read) {
            report.findings.push_back(
                {std::string{name}, std::string{manifest_file_name.view()}, read.error()}
            );
            return false;
        }
        return verify_files_of<Env>(set, name, read.assume_value().manifest, report, options);
    });
}

// One member of a pool, in the light of the others: files, then the proof.
// `proved`: is called with what the set was proved to be, once it was restored.
// Errors: as verify_files; of the place where the prover restores; what `proved` returned.
template <any_environment Env, class Prover, class Proved>
[[nodiscard]] result<void> verify_member(
    set_pool<Env>& pool,
    std::size_t i,
    Prover& prover,
    verify_report& report,
    verify_options const& options,
    Proved&& proved
) noexcept {
    return guarded([&]() -> result<void> {
        auto& one = pool[i];
        if (options.on_set) {
            BOOST_OUTCOME_TRY(options.on_set(one.name));
        }
        auto const before = report.findings.size();
        auto const pages_before = report.pages;
        BOOST_OUTCOME_TRY(
            auto const sound, verify_files<Env>(one.directory, one.name, report, options)
        );
        if (!sound) {
            if (!one.problem && report.findings.size() > before)
                one.problem = report.findings.back().why;
            return ok();
        }
        auto const replayed = result<replayed_set>{prover(pool, i, options.access)};
        if (replayed) {
            auto const& all = replayed.assume_value();
            ++report.replayed;
            report.trees += all.trees;
            report.rows += all.rows;
            return proved(set_proof{
                .set = one.read->manifest.set,
                .manifest_hash = one.read->hash,
                .time = {},
                .reached = all.reached,
                .pages = report.pages - pages_before,
                .trees = all.trees,
            });
        }
        auto const& why = replayed.error();
        if (detail::says_nothing_of_sets(why.code)) return why;
        if (why.code == errc::unsupported || why.code == errc::base_not_here)
            report.partial = true;
        else
            report.findings.push_back({one.name, detail::file_of(why, one.read->manifest), why});
        return ok();
    });
}

namespace detail {

// Called for each set that restored.
template <any_environment Env>
struct proof_keeper {
    [[no_unique_address]] Env env;
    repository<Env>* in;
    verify_options const& options;
    verify_report& report;

    [[nodiscard]] result<void> operator()(set_proof proof) const {
        if (!options.keeps_proofs) return ok();
        proof.time = {env_wall().ns / 1'000'000'000 * 1'000'000'000};
        // What was found of the sets is worth more than that it can be kept.
        if (auto added = add_proof(env, *in, proof); added)
            ++report.proofs;
        else if (added.error().code == errc::out_of_memory)
            return added;
        else
            report.findings.push_back({"", proof_path(proof), added.error()});
        return ok();
    }
    [[nodiscard]] static std::string proof_path(set_proof const& proof) {
        return std::string{proofs_directory_name.view()} + "/" +
               std::string{proof_file_name(proof).view()};
    }
    [[nodiscard]] wall_time env_wall() const {
        auto clock = env;
        return clock.runtime.wall();
    }
};

} // namespace detail

// Every set of the repository. Errors: those of opening it, and of verify_member.
template <any_environment Env, class Prover = no_prover>
[[nodiscard]] result<verify_report> verify_repository(
    Env env, path_view path, verify_options const& options = {}, Prover prover = {}
) noexcept {
    return guarded([&]() -> result<verify_report> {
        auto report = verify_report{};
        auto pool = set_pool<Env>{};
        if (auto opened = pool.add(env, path); !opened) {
            if (opened.error().code != errc::set_damaged) return opened.error();
            report.findings.push_back({"", std::string{repository_file_name.view()}, opened.error()}
            );
            return report;
        }
        auto opened_again = repository<Env>::open(env, path);
        if (!opened_again) return opened_again.error();
        auto& sets = opened_again.assume_value();
        auto const proofs = std::string{proofs_directory_name.view()};
        auto const known = list_proofs(sets);
        if (known) {
            for (auto const& one : known.assume_value())
                if (one.problem)
                    report.findings.push_back(
                        {"", proofs + "/" + std::string{one.name.view()}, *one.problem}
                    );
        } else if (known.error().code == errc::out_of_memory) {
            return known.error();
        } else { // whoever put a file in its place hides no damage of sets
            report.findings.push_back({"", proofs, known.error()});
        }
        auto const keep = detail::proof_keeper<Env>{env, &sets, options, report};
        for (std::size_t i = 0; i < pool.size(); ++i) {
            BOOST_OUTCOME_TRY(verify_member(pool, i, prover, report, options, keep));
        }
        return report;
    });
}

// One set, by the path of its directory. If that is in a repository, its base is looked for there.
// Errors: bad_option (a proof is to be kept of a set that lies in no repository), as verify_repository.
template <any_environment Env, class Prover = no_prover>
[[nodiscard]] result<verify_report> verify_set_at(
    Env env, path_view path, verify_options const& options = {}, Prover prover = {}
) noexcept {
    return guarded([&]() -> result<verify_report> {
        BOOST_OUTCOME_TRY(auto set, env.storage.open_dir(path, directory_how::must_exist));
        auto report = verify_report{};
        auto pool = set_pool<Env>{};
        auto const name = std::string{path.view()};
        BOOST_OUTCOME_TRY(pool.add_set(name, name, std::move(set)));
        // Its base may lie beside it; what cannot be read there is nothing this is about.
        auto const inside = std::string{"/"}.append(sets_directory_name.view()).append("/");
        auto const at = name.rfind(inside);
        auto const there = at == std::string::npos ? std::string{} : name.substr(0, at);
        if (!there.empty()) (void)pool.add(env, there);
        auto around = there.empty() ? result<repository<Env>>{error{.code = errc::not_found}}
                                    : repository<Env>::open(env, there);
        if (options.keeps_proofs && !around)
            return error{.code = errc::bad_option, .file = file_kind::repository};
        auto const keep = detail::proof_keeper<Env>{
            env, around ? &around.assume_value() : nullptr, options, report
        };
        BOOST_OUTCOME_TRY(verify_member(pool, 0, prover, report, options, keep));
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
