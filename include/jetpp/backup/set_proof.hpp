// jetpp/backup/set_proof.hpp - that a published set was restored once more, kept beside the sets.
//
//     proof/<set>-20250301T120000Z.json     the form of manifests (sealed_text.hpp)
// A manifest may tell of the drill before it was published; nothing published is written again, so
// what later drills find stands in files of its own. A proof names its set by uuid and hash of the
// manifest: one that fits no set that is there proves nothing, and is no damage.
// Threads  one owner. Several processes may add proofs at once.
// Source   backup rules R47, R56, R62.
#pragma once

#include <jetpp/backup/json_text.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/sealed_text.hpp>
#include <jetpp/backup/utc_text.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/core/version.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

inline constexpr std::uint64_t proof_bytes_max = 64 << 10;

struct set_proof {
    uuid set{};
    sha256_digest manifest_hash{};
    wall_time time{};      // of the end of the restore, in seconds
    lsn reached{};         // the end of the set
    std::uint64_t pages{}; // of the set, read and proved
    std::uint64_t trees{}; // walked from end to end, after replay
    std::string engine = std::string{"jetpp "}.append(version_text); // that did it
    friend bool operator==(set_proof const&, set_proof const&) = default;

    // Throws: bad_alloc.
    [[nodiscard]] std::string to_json() const {
        auto json = json_text{};
        auto const hash = hex_of(manifest_hash);
        json.open_object().key("set").text(text_of(set));
        json.key("manifest_sha256").text({hash.data(), hash.size()});
        json.key("time").text(utc_text::seconds(time).view());
        detail::write_lsn(json, "reached_lsn", reached);
        detail::write_number(json, "pages", pages);
        detail::write_number(json, "trees", trees);
        json.key("engine").text(engine).key("result").text("passed").close_object();
        return json.take();
    }
};

// Returns: nothing if it tells of another result, which only a later version would write.
// Errors: set_damaged, limit_exceeded, out_of_memory.
[[nodiscard]] inline result<std::optional<set_proof>> parse_proof(std::string_view sealed
) noexcept {
    return guarded([&]() -> result<std::optional<set_proof>> {
        BOOST_OUTCOME_TRY(auto const text, unseal_text(sealed));
        auto const root = detail::parse_bounded(text);
        auto in = detail::manifest_fields{};
        auto made = set_proof{};
        made.set = in.id(root, "set");
        made.manifest_hash = in.digest(root, "manifest_sha256");
        made.time = in.time(root, "time");
        made.reached = in.position(root, "reached_lsn");
        made.pages = in.number(root, "pages");
        made.trees = in.number(root, "trees");
        made.engine = in.text(root, "engine");
        auto const passed = in.text(root, "result") == "passed";
        if (!in.sound()) return error{.code = errc::set_damaged};
        return passed ? std::optional{std::move(made)} : std::nullopt;
    });
}

[[nodiscard]] inline file_name proof_file_name(set_proof const& proof) noexcept {
    auto const hex = hex_of(proof.set);
    auto made = file_name{};
    made.add({hex.data(), hex.size()}).add("-").add(utc_text::compact(proof.time).view());
    return made.add(".json");
}

// Durable when it returns. One of the same set and second stays as it is: it says the same.
// Errors: those of storage, out_of_memory.
template <any_environment Env>
[[nodiscard]] result<void> add_proof(
    Env env, repository<Env>& to, set_proof const& proof
) noexcept {
    return guarded([&]() -> result<void> {
        BOOST_OUTCOME_TRY(auto where, to.open_proofs(directory_how::create_if_missing));
        BOOST_OUTCOME_TRY(auto const sealed, seal_text(proof.to_json()));
        auto put = publish_file(env, where, proof_file_name(proof), as_bytes(sealed));
        if (!put && put.error().code != errc::already_exists) return put;
        return ok();
    });
}

// A file in proof/: what it proves, or why it proves nothing.
struct found_proof {
    file_name name{};
    std::optional<set_proof> proof;
    std::optional<error> problem;
};

// In the order of their names: of one set the oldest first. Files that a crash left under a temporary
// name are none. Errors: of storage, out_of_memory.
template <any_environment Env>
[[nodiscard]] result<std::vector<found_proof>> list_proofs(repository<Env>& in) noexcept {
    return guarded([&]() -> result<std::vector<found_proof>> {
        auto found = std::vector<found_proof>{};
        auto opened = in.open_proofs(directory_how::must_exist);
        if (!opened && opened.error().code == errc::not_found) return found;
        if (!opened) return opened.error();
        auto& where = opened.assume_value();
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(where.list(entries));
        std::sort(entries.begin(), entries.end(), [](auto const& a, auto const& b) {
            return a.name < b.name;
        });
        for (auto const& entry : entries) {
            if (entry.kind != entry_kind::file ||
                entry.name.view().find(".tmp-") != std::string_view::npos)
                continue;
            auto& one = found.emplace_back(found_proof{entry.name, {}, {}});
            auto const content = read_file<Env>(where, entry.name, proof_bytes_max);
            if (!content) {
                if (content.error().code == errc::out_of_memory) return content.error();
                one.problem = content.error();
                continue;
            }
            auto parsed = parse_proof(as_text(content.assume_value().all()));
            if (parsed)
                one.proof = std::move(parsed).assume_value();
            else
                one.problem = parsed.error();
        }
        return found;
    });
}

// When that set was last restored for a proof: by one of these, or before it was published.
[[nodiscard]] inline std::optional<wall_time> proved_at(
    std::span<found_proof const> proofs, backup_manifest const& manifest, sha256_digest const& hash
) noexcept {
    auto last = std::optional<wall_time>{};
    if (manifest.drill) last = manifest.drill->time;
    for (auto const& one : proofs)
        if (one.proof && one.proof->set == manifest.set && one.proof->manifest_hash == hash &&
            one.proof->reached == manifest.end_lsn && (!last || *last < one.proof->time))
            last = one.proof->time;
    return last;
}

} // namespace jetpp::inline v1
