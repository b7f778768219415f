// jetpp backup: one more set in a repository.
#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/backup/set_catalogue.hpp>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "codecs.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "keys.hpp"
#include "log_text.hpp"
#include "place.hpp"
#include "progress_report.hpp"
#include "set_paths.hpp"
#include "streams.hpp"
#include "truncate.hpp"
#include <nlohmann/json.hpp>

namespace jetpp_tool {

namespace {
namespace backup_detail {

[[nodiscard]] std::string_view name_of(jetpp::backup_stage stage) {
    switch (stage) {
    case jetpp::backup_stage::pages: return "pages";
    case jetpp::backup_stage::log: return "log";
    case jetpp::backup_stage::drill: return "drill";
    case jetpp::backup_stage::publish: return "publish";
    default: return "";
    }
}

[[nodiscard]] jetpp::backup_kind kind_of(set_request const& request) {
    if (request.incremental) return jetpp::backup_kind::incremental;
    if (request.differential) return jetpp::backup_kind::differential;
    if (request.copy) return jetpp::backup_kind::copy;
    if (!request.pages_since.empty()) return jetpp::backup_kind::pages;
    return jetpp::backup_kind::full;
}

// A manifest at hand: a file, or that of the set whose directory `path` is.
[[nodiscard]] jetpp::read_manifest manifest_at(std::string const& path) {
    auto where = std::filesystem::path{path};
    if (std::filesystem::is_directory(where)) where /= jetpp::manifest_file_name.view();
    auto const parent = where.has_parent_path() ? where.parent_path().string() : std::string{"."};
    auto directory =
        value_of(environment{}.storage.open_dir(parent, jetpp::directory_how::must_exist), parent);
    auto const name = value_of(jetpp::file_name::make(where.filename().string()), path);
    auto const text =
        value_of(jetpp::read_file<environment>(directory, name, jetpp::manifest_bytes_max), path);
    return value_of(jetpp::parse_manifest(jetpp::as_text(text.all())), path);
}

// Knows the sets of `--base`, besides those of the repository.
[[nodiscard]] jetpp::base_finder finder_of(set_request const& request) {
    auto known = std::vector<std::pair<jetpp::uuid, jetpp::sha256_digest>>{};
    for (auto const& path : request.bases) {
        auto const read = manifest_at(path);
        known.emplace_back(read.manifest.set, read.hash);
    }
    return
        [known](jetpp::uuid const& set, std::uint64_t hash) -> jetpp::result<jetpp::sha256_digest> {
            for (auto const& [id, digest] : known)
                if (id == set && jetpp::short_of(digest) == hash) return digest;
            return jetpp::error{
                .code = jetpp::errc::base_not_here, .file = jetpp::file_kind::repository
            };
        };
}

// The set that `--pages-since` means: of the repository, or one whose manifest lies elsewhere.
[[nodiscard]] jetpp::backup_base base_of(set_request const& request) {
    if (request.pages_since.find('/') != std::string::npos) {
        auto read = manifest_at(request.pages_since);
        return {std::move(read.manifest), read.hash};
    }
    auto sets = value_of(repository::open({}, request.repository), request.repository);
    auto const known = value_of(jetpp::list_sets(sets), request.repository);
    auto const* const chosen =
        value_of(jetpp::choose_set(known, request.pages_since), request.pages_since);
    return {chosen->manifest, chosen->hash};
}

// What to do about a refusal.
[[nodiscard]] std::string_view advice_on(jetpp::errc code) {
    switch (code) {
    case jetpp::errc::circular_logging:
        return "; take a full backup: only a directory made with --logging archival keeps the log";
    case jetpp::errc::full_backup_required:
    case jetpp::errc::log_gap: return "; take a full backup";
    case jetpp::errc::history_break:
        return "; take a full backup: one that begins behind a checkpoint needs no older log";
    case jetpp::errc::base_not_here:
        return "; back up to where the base lies, or name its manifest with --base, or take a full "
               "backup here";
    default: return "";
    }
}

[[noreturn]] void refuse(
    set_request const& request, jetpp::error const& why, std::string const& left_over
) {
    using jetpp::file_kind;
    auto const of_source = why.file == file_kind::database || why.file == file_kind::log_segment ||
                           why.code == jetpp::errc::circular_logging;
    auto const where = of_source ? place_of(look_at(request.directory, beside_engine::allowed), why)
                                 : request.repository;
    fail(where, jetpp_tool::text_of(why) + std::string{advice_on(why.code)} + left_over);
}

// The one interrupted backup whose set's id begins so.
[[nodiscard]] std::optional<jetpp::uuid> interrupted(
    tool_engine& engine, std::string const& beginning
) {
    auto found = std::optional<jetpp::uuid>{};
    auto const pins = engine.named_pins();
    for (auto const& pin : pins.all()) {
        if (pin.kind != jetpp::pin_kind::resumable_backup ||
            !pin.id().text().view().starts_with(beginning))
            continue;
        if (found) return std::nullopt;
        found.emplace();
        std::memcpy(found->raw.data(), pin.owner.data(), pin.owner.size());
    }
    return found;
}
constexpr auto not_interrupted =
    "not the id of one interrupted backup; jetpp info lists their pins";

void give_up(set_request const& request) {
    auto engine = open_engine(request.directory, nullptr);
    auto const set = interrupted(*engine, request.abandon);
    auto const done =
        set ? engine->abandon_backup(request.repository, *set) : jetpp::result<void>{jetpp::ok()};
    auto const closed = engine->close();
    if (!set) fail(request.abandon, not_interrupted);
    if (!done) fail(request.repository, done.error());
    if (!closed) fail(request.directory, closed.error());
}

[[nodiscard]] std::string hex_text(jetpp::sha256_digest const& digest) {
    auto const hex = jetpp::hex_of(digest);
    return {hex.data(), hex.size()};
}

[[nodiscard]] nlohmann::ordered_json drill_json(jetpp::drill_proof const& drill) {
    auto all = nlohmann::ordered_json::object();
    all["reached_lsn"] = std::to_string(drill.reached.value);
    all["pages"] = std::to_string(drill.pages);
    all["records"] = std::to_string(drill.records);
    all["trees"] = std::to_string(drill.trees);
    all["rows"] = std::to_string(drill.rows);
    all["compared"] = std::to_string(drill.compared);
    return all;
}

void print_json(std::FILE* to, jetpp::backup_report const& r) {
    auto const at = [](jetpp::lsn position) -> nlohmann::ordered_json {
        if (!position) return nullptr;
        return std::to_string(position.value);
    };
    auto all = nlohmann::ordered_json::object();
    all["set"] = jetpp::text_of(r.set);
    all["name"] = r.name;
    all["kind"] = jetpp::name_of(r.kind);
    all["receipt"] = jetpp::name_of(r.receipt);
    all["relied_on"] = r.is_relied_on;
    all["manifest_sha256"] = hex_text(r.manifest_hash);
    all["authenticity"] = r.has_author ? "hmac" : "none";
    all["redo_lsn"] = at(r.redo_lsn);
    all["log_start"] = at(r.log_start);
    all["begin_lsn"] = at(r.begin_lsn);
    all["copy_end_lsn"] = at(r.copy_end_lsn);
    all["end_lsn"] = at(r.end_lsn);
    all["last_commit"] = at(r.last_commit);
    all["databases"] = std::to_string(r.databases);
    all["pages"] = std::to_string(r.pages);
    all["records"] = std::to_string(r.records);
    all["bytes"] = std::to_string(r.stored_bytes);
    all["damaged_homes"] = std::to_string(r.masked_pages);
    all["drill"] = nullptr;
    if (r.drill) all["drill"] = drill_json(*r.drill);
    all["stamp_problem"] = nullptr;
    if (r.stamp_problem) all["stamp_problem"] = jetpp_tool::text_of(*r.stamp_problem);
    all["pin_problem"] = nullptr;
    if (r.pin_problem) all["pin_problem"] = jetpp_tool::text_of(*r.pin_problem);
    all["truncated"] = nullptr;
    if (r.truncated) all["truncated"] = json_of(*r.truncated);
    all["truncate_problem"] = nullptr;
    if (r.truncate_problem) all["truncate_problem"] = jetpp_tool::text_of(*r.truncate_problem);
    std::fprintf(to, "%s\n", all.dump().c_str());
}

void print_text(std::FILE* to, jetpp::backup_report const& r) {
    std::fprintf(
        to,
        "%s: %llu pages and %llu log records verified, %llu bytes, up to LSN %llu\n",
        r.name.c_str(),
        number(r.pages),
        number(r.records),
        number(r.stored_bytes),
        number(r.end_lsn.value)
    );
    std::fprintf(to, "authenticity: %s\n", r.has_author ? "hmac" : "none");
    if (r.drill)
        std::fprintf(
            to,
            "drill: restored to LSN %llu, %llu trees with %llu rows\n",
            number(r.drill->reached.value),
            number(r.drill->trees),
            number(r.drill->rows)
        );
    if (r.truncated) print_truncation(*r.truncated, false);
}

} // namespace backup_detail
} // namespace

void back_up(set_request const& request) {
    using namespace backup_detail;
    if (!request.abandon.empty()) return give_up(request);
    auto options = jetpp::backup_options{};
    options.codec = codec_of(request.compress);
    options.encoders = request.jobs != 0 ? request.jobs : std::thread::hardware_concurrency();
    if (request.sha256) options.hash = jetpp::hash_id::sha_256;
    auto const keys = key_ring_of(request.keys, true);
    if (keys != nullptr)
        options.encryption = {.cipher = cipher_of(request.keys), .keys = keys.get()};
    options.kind = kind_of(request);
    options.databases = request.databases;
    options.bytes_per_second = request.bytes_per_second;
    options.truncate = request.truncate;
    options.trust_receiver = request.trust_receiver;
    options.tag = request.tag;
    if (options.tag == "jet") // esent_tag
        wrong_usage("--tag jet is that of sets that JetBackup makes, and replaces");
    if (options.tag.size() > jetpp::backup_options::tag_bytes_max || !jetpp::is_utf8(options.tag))
        wrong_usage("a tag is up to 255 bytes of UTF-8");
    if (options.trust_receiver && request.repository != stream_word)
        wrong_usage("--trust-receiver goes with standard output: a repository keeps what it has");
    options.log_cap_bytes = request.log_cap;
    options.resumable = request.resumable || !request.resume.empty();
    if (options.resumable &&
        (!jetpp::has_pages(options.kind) || request.drill || request.repository == stream_word))
        wrong_usage(
            "--resumable and --resume go with sets with pages, in a repository, and no drill"
        );
    if (options.truncate && !jetpp::permits_truncation(options.kind))
        wrong_usage("--truncate goes with a full or an incremental: nothing relies on other kinds");
    auto const base_is_here = request.pages_since.find('/') == std::string::npos;
    if (request.repository == stream_word && ((options.truncate && !options.trust_receiver) ||
                                              (!request.pages_since.empty() && base_is_here)))
        wrong_usage(
            "--truncate needs a repository or --trust-receiver, and --pages-since a repository, or "
            "the path of a set"
        );
    auto const stands_on_pages = !request.pages_since.empty() && request.drill;
    if (!request.bases.empty() && !request.incremental && !request.differential && !stands_on_pages)
        wrong_usage("--base goes with --incremental, --differential, and drills of --pages-since");
    options.find_base = finder_of(request);
    if (options.kind == jetpp::backup_kind::pages) {
        options.base = base_of(request);
        options.base->lies_elsewhere = !base_is_here;
    }
    auto engine = open_engine(request.directory, nullptr);
    if (!request.resume.empty()) {
        options.resume = interrupted(*engine, request.resume);
        if (!options.resume) {
            (void)engine->close();
            fail(request.resume, not_interrupted);
        }
    }
    // A drill has a bar of its own: it reads anew what was written.
    auto progress = progress_report{"backup", request.progress};
    auto copied = std::uint64_t{0};
    auto drilling = false;
    options.on_progress = [&](jetpp::backup_progress const& p) -> jetpp::result<void> {
        if (p.stage == jetpp::backup_stage::drill && !std::exchange(drilling, true))
            progress.rename("drill", copied);
        if (p.stage == jetpp::backup_stage::pages || p.stage == jetpp::backup_stage::log)
            copied = p.bytes_done;
        progress.show({
            .phase = name_of(p.stage),
            .file = p.file,
            .bytes_done = p.bytes_done,
            .bytes_total = p.bytes_total,
        });
        return jetpp::ok();
    };
    auto const drill_below = request.drill ? scratch_place(request.scratch) : std::string{};
    // A manifest alone has no pages to prove anything over: the drill will say what it lacks.
    auto bases = std::vector<std::string>{};
    for (auto const& path : request.bases)
        if (std::filesystem::is_directory(path)) bases.push_back(path);
    if (!base_is_here && std::filesystem::is_directory(request.pages_since))
        bases.push_back(request.pages_since);
    auto const done = engine->back_up(request.repository, options, drill_below, bases);
    progress.end();
    auto left_over = std::string{};
    if (!done && options.resumable)
        if (auto const set = interrupted(*engine, ""); set)
            left_over = "; go on with --resume " + jetpp::text_of(*set);
    auto const closed = engine->close();
    if (!done) refuse(request, done.error(), left_over);
    if (!closed) fail(request.directory, closed.error());
    auto const& r = done.assume_value();
    auto* const said = request.repository == stream_word ? stderr : stdout; // the set is there
    if (request.json)
        print_json(said, r);
    else
        print_text(said, r);
    if (std::fflush(stdout) != 0) fail("standard output", "cannot be written");
    if (r.masked_pages != 0)
        std::fprintf(
            stderr,
            "%llu pages are damaged in their file, and were copied from memory\n",
            number(r.masked_pages)
        );
    if (r.stamp_problem)
        std::fprintf(
            stderr,
            "the set is whole, but the databases do not name it: %s\n",
            jetpp_tool::text_of(*r.stamp_problem).c_str()
        );
    if (r.pin_problem)
        std::fprintf(
            stderr,
            "the set is whole, but its pin on the log is left: %s\n",
            jetpp_tool::text_of(*r.pin_problem).c_str()
        );
    if (r.truncate_problem)
        std::fprintf(
            stderr,
            "the set is whole, but the log was not truncated: %s\n",
            jetpp_tool::text_of(*r.truncate_problem).c_str()
        );
}

} // namespace jetpp_tool
