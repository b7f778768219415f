// jetpp/backup/files_aside.hpp - files that are in a restore's way go aside, and are never deleted.
//
//     dir/name    ->    dir/jet.abandoned-<timeline>/name
// A file goes by a second name that is durable before the first is removed, so a crash at any moment
// leaves it somewhere, and the call can be repeated.
// Threads  one owner.
// Source   backup rules R35, R43.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/file_name.hpp>
#include <jetpp/env/storage.hpp>

#include <optional>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

inline constexpr std::string_view abandoned_prefix{"jet.abandoned-"};

// `timeline`: of the restore that moves the files: no other one uses the name.
[[nodiscard]] inline file_name abandoned_name(timeline_id timeline) noexcept {
    auto name = file_name{};
    return name.add(abandoned_prefix).add_hex16(timeline.value);
}

// is_in_the_way(directory_entry const&) noexcept -> bool. The directory `aside` is made if a file has
// to go there. A name that is taken in it is this file's, of an earlier try.
// Errors: of storage, out_of_memory.
template <storage_directory Directory, class F>
[[nodiscard]] result<void> move_aside(
    Directory& from, file_name const& aside_name, F&& is_in_the_way
) noexcept {
    auto old = array_list<directory_entry>{};
    BOOST_OUTCOME_TRY(from.list(old));
    auto aside = std::optional<Directory>{};
    for (auto const& one : old) {
        if (!is_in_the_way(one)) continue;
        if (!aside) {
            BOOST_OUTCOME_TRY(
                auto made, from.open_dir(aside_name, directory_how::create_if_missing)
            );
            aside.emplace(std::move(made));
            BOOST_OUTCOME_TRY(from.sync());
        }
        auto const linked = from.link(one.name, *aside, one.name);
        if (!linked && linked.error().code != errc::already_exists) return linked.error();
    }
    if (!aside) return ok();
    BOOST_OUTCOME_TRY(aside->sync());
    for (auto const& one : old) {
        if (!is_in_the_way(one)) continue;
        BOOST_OUTCOME_TRY(from.remove(one.name));
    }
    return from.sync();
}

} // namespace jetpp::inline v1
