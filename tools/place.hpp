// tools/place.hpp - a directory as a command finds it, and the engine that fits it.
#pragma once

#include <jetpp/engine/probe.hpp>

#include <memory>
#include <optional>
#include <string>

#include "commands.hpp"
#include "failure.hpp"
#include "tool_build.hpp"

namespace jetpp_tool {

// A directory of files to look at, without changing one.
struct place {
    std::string path{};
    environment::directory directory{};
    std::optional<environment::lock> lock{};
    jetpp::probed_directory facts{};

    [[nodiscard]] std::string file(std::string_view name) const {
        auto all = path;
        if (all.empty() || all.back() != '/') all += '/';
        return all + std::string{name};
    }
};

// What a look does about an engine that runs there.
enum class beside_engine : std::uint8_t { refused, allowed };

// Opens, locks (unless no engine ever ran there: then nothing is created) and probes a directory.
[[nodiscard]] inline place look_at(
    std::string const& path, beside_engine running, std::string_view instead = {}
) {
    auto const env = environment{};
    auto found = place{.path = path};
    found.directory = value_of(env.storage.open_dir(path, jetpp::directory_how::must_exist), path);
    found.facts = value_of(jetpp::probe(env, found.directory), path);
    if (!found.facts.has_lock_file) return found;
    auto locked = found.directory.acquire_lock(jetpp::file_name{"jet.lock"});
    if (locked) {
        found.lock.emplace(std::move(locked).assume_value());
        found.facts = value_of(jetpp::probe(env, found.directory), path);
    } else if (running == beside_engine::refused) {
        fail(path, text_of(locked.error().with_file(jetpp::file_kind::lock)).append(instead));
    }
    return found;
}

// The file an error is about, as far as it can be told.
[[nodiscard]] inline std::string place_of(place const& where, jetpp::error const& e) {
    using jetpp::file_kind;
    switch (e.file) {
    case file_kind::database:
        if (auto const* known = where.facts.find(jetpp::database_id{e.database}); known != nullptr)
            return where.file(known->name.view());
        return where.path;
    case file_kind::log_segment:
        if (auto const size = where.facts.segment_bytes(); size != 0 && e.at)
            return where.file(jetpp::segment_file_name(jetpp::generation_of(e.at, size)).view());
        return where.path;
    case file_kind::checkpoint:
    case file_kind::double_write:
    case file_kind::ring:
    case file_kind::lock: return where.file(jetpp::name_of(e.file));
    default: return where.path;
    }
}

// The engine that fits a directory. `when_new`: what to create where nothing is; null: refuse.
[[nodiscard]] inline std::unique_ptr<tool_engine> open_engine(
    std::string const& path, creation const* when_new
) {
    auto const env = environment{};
    auto opened = env.storage.open_dir(path, jetpp::directory_how::must_exist);
    auto where = place{.path = path};
    if (opened) {
        where.directory = std::move(opened).assume_value();
        where.facts = value_of(jetpp::probe(env, where.directory), path);
    } else if (when_new == nullptr || opened.error().code != jetpp::errc::not_found) {
        fail(path, opened.error().with_file(jetpp::file_kind::directory));
    }
    if (where.facts.is_new() && when_new == nullptr) fail(path, "no jetpp files are here");
    auto const asked = when_new != nullptr ? *when_new : creation{};
    auto page_size = where.facts.page_size();
    if (page_size == 0) page_size = asked.page_size;
    auto const checksum = where.facts.checksum_id().value_or(asked.checksum_id);
    auto const* const build = find_build(page_size, checksum);
    if (build == nullptr)
        fail(
            path,
            "no engine here is built for pages of " + std::to_string(page_size) +
                " bytes with checksum " + std::to_string(checksum)
        );
    auto engine = build->open(
        path,
        {.create =
             when_new != nullptr ? jetpp::create_how::if_missing : jetpp::create_how::must_exist,
         .archival = asked.archival}
    );
    if (!engine) fail(place_of(where, engine.error()), engine.error());
    return std::move(engine).assume_value();
}

} // namespace jetpp_tool
