// test/backup/external_bed.hpp - an external session, driven, and the files that a caller makes of it.
#pragma once

#include <jetpp/backup/external_backup.hpp>

#include <map>
#include <string>
#include <vector>

#include "bed.hpp"

namespace jetpp_test {

using copied_files = std::map<std::string, std::string>;

// Reads a file of the session from one end to the other. `piece`: bytes a call.
template <class Session>
[[nodiscard]] result<std::string> read_whole(
    Session& session, std::string const& name, std::size_t piece = 64 << 10
) {
    BOOST_OUTCOME_TRY(auto const handle, session.open(name));
    auto content = std::string{};
    auto space = std::vector<std::byte>(piece + 1);
    for (;;) {
        // Off by one: memory that a direct file could not read into.
        BOOST_OUTCOME_TRY(auto const n, session.read(handle, {space.data() + 1, piece}));
        if (n == 0) break;
        content.append(reinterpret_cast<char const*>(space.data() + 1), n);
    }
    CHECK(content.size() == handle.bytes);
    BOOST_OUTCOME_TRY(session.close(handle));
    return content;
}

template <class Session>
void copy_databases(Session& session, copied_files& into) {
    for (auto const& one : good(session.list_databases()))
        into[one.name] = good(read_whole(session, one.name));
}
template <class Session>
void copy_logs(Session& session, copied_files& into) {
    for (auto const& one : good(session.list_logs()))
        into[one.name] = good(read_whole(session, one.name));
}

// Puts the files into a directory, as a caller does with plain writes.
template <class Env>
void lay_down(Env env, path_view where, copied_files const& files) {
    auto directory = good(env.storage.open_dir(where, directory_how::create_if_missing));
    for (auto const& [name, content] : files) {
        auto file = good(directory.open(
            good(file_name::make(name)), {.mode = open_mode::create_new, .io = io_mode::buffered}
        ));
        good(write_full(
            file, {reinterpret_cast<std::byte const*>(content.data()), content.size()}, 0
        ));
        good(file.sync(sync_how::full));
        good(file.close());
    }
    good(directory.sync());
}

template <class Env>
[[nodiscard]] std::vector<std::string> segments_in(Env env, path_view where) {
    auto directory = good(env.storage.open_dir(where, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(directory.list(entries));
    auto names = std::vector<std::string>{};
    for (auto const& one : entries)
        if (parse_segment_name(one.name.view())) names.emplace_back(one.name.view());
    std::sort(names.begin(), names.end());
    return names;
}

// Every event of a session, by kind.
struct heard {
    std::vector<event> all;
    [[nodiscard]] event_sink sink() {
        return {
            .on_event = [](void* self, event const& what
                        ) noexcept { static_cast<heard*>(self)->all.push_back(what); },
            .context = this,
        };
    }
    [[nodiscard]] std::size_t count(event_kind kind) const {
        return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](auto const& e) {
            return e.kind == kind;
        }));
    }
};

} // namespace jetpp_test
