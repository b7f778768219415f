// jetpp/backup/bring_in.hpp - a file of one directory comes into another, whole or not at all.
//
//     from/name  ->  to/jet.incoming-<as>, synced  ->  to/as
// The original is read only. A crash leaves the copy under its temporary name, which the next try
// begins anew, or under its own: then it is compared, and taken for what it is.
// Threads  one owner; blocks.
// Owns     a few MiB while it copies.
#pragma once

#include <jetpp/backup/file_output.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/log/log_directory.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace jetpp::inline v1 {

inline constexpr std::string_view incoming_prefix{"jet.incoming-"};

namespace detail {

// Are they equal? Errors: of storage, out_of_memory.
template <any_environment Env>
[[nodiscard]] result<bool> same_content(
    typename Env::directory& from,
    file_name const& name,
    typename Env::directory& to,
    file_name const& as
) noexcept {
    BOOST_OUTCOME_TRY(auto one, file_input<Env>::open(from, name));
    BOOST_OUTCOME_TRY(auto other, file_input<Env>::open(to, as));
    BOOST_OUTCOME_TRY(auto room, aligned_buffer::create(std::size_t{128} << 10));
    auto const half = room.size() / 2;
    for (;;) {
        auto const a = room.part(0, half);
        auto const b = room.part(half, half);
        BOOST_OUTCOME_TRY(auto const got, one.read(a));
        BOOST_OUTCOME_TRY(auto const met, other.read(b));
        if (got != met || !std::ranges::equal(a.first(got), b.first(met))) return false;
        if (got == 0) return true;
    }
}

} // namespace detail

// The name is durable after a sync of `to`. Returns: was it made? Else it was there already, byte by
// byte. Errors: would_overwrite (another file has the name), not_found, unsafe_name (too long), those
// of storage, out_of_memory.
template <any_environment Env>
[[nodiscard]] result<bool> bring_in(
    Env env,
    typename Env::directory& from,
    file_name const& name,
    typename Env::directory& to,
    file_name const& as
) noexcept {
    auto there = to.open(as, {.mode = open_mode::read_only});
    if (there) {
        BOOST_OUTCOME_TRY(auto const same, detail::same_content<Env>(from, name, to, as));
        if (same) return false;
        return error{.code = errc::would_overwrite, .file = file_kind::directory};
    }
    if (there.error().code != errc::not_found) return there.error();
    if (incoming_prefix.size() + as.view().size() > file_name::size_max)
        return error{.code = errc::unsafe_name};
    auto temporary = file_name{};
    temporary.add(incoming_prefix).add(as.view());
    auto const gone = to.remove(temporary);
    if (!gone && gone.error().code != errc::not_found) return gone.error();

    BOOST_OUTCOME_TRY(auto source, from.open(name, {.mode = open_mode::read_only}));
    BOOST_OUTCOME_TRY(auto const size, source.size());
    BOOST_OUTCOME_TRY(source.close());
    BOOST_OUTCOME_TRY(auto in, file_input<Env>::open(from, name));
    BOOST_OUTCOME_TRY(auto out, appended_file<Env>::create(env));
    BOOST_OUTCOME_TRY(auto room, aligned_buffer::create(std::size_t{256} << 10));
    BOOST_OUTCOME_TRY(out.open(to, temporary, size));
    for (;;) {
        BOOST_OUTCOME_TRY(auto const got, in.read(room.all()));
        if (got == 0) break;
        BOOST_OUTCOME_TRY(out.append(room.part(0, got)));
    }
    BOOST_OUTCOME_TRY(out.close());
    BOOST_OUTCOME_TRY(to.rename(temporary, as, rename_how::no_replace));
    return true;
}

// What one restore brings into its directory, and takes away again if nothing comes of it.
template <any_environment Env>
class incoming_files {
    using directory = typename Env::directory;

public:
    // Lifetime: the directory outlives it.
    incoming_files(Env env, directory& to) noexcept : env_{env}, to_{&to} {}

    // Errors: see bring_in; not_found (the directory).
    [[nodiscard]] result<void> bring(path_view where, file_name const& name, file_kind kind) {
        BOOST_OUTCOME_TRY(auto from, open(where));
        BOOST_OUTCOME_TRY(bring(from, name, kind));
        return to_->sync();
    }
    // All segments up to that generation; 0: all.
    [[nodiscard]] result<void> bring_log(path_view where, std::uint64_t generation_high) {
        BOOST_OUTCOME_TRY(auto from, open(where));
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(from.list(entries));
        for (auto const& one : entries) {
            auto const generation = parse_segment_name(one.name.view());
            if (!generation || one.kind != entry_kind::file) continue;
            if (generation_high != 0 && *generation > generation_high) continue;
            BOOST_OUTCOME_TRY(bring(from, one.name, file_kind::log_segment));
        }
        return to_->sync();
    }
    // Best effort.
    void send_back() noexcept {
        auto entries = array_list<directory_entry>{};
        if (!to_->list(entries)) return;
        for (auto const& one : entries) {
            auto const made = std::find(made_.begin(), made_.end(), one.name) != made_.end();
            if (made || one.name.view().starts_with(incoming_prefix)) (void)to_->remove(one.name);
        }
        if (!made_.empty()) (void)to_->sync();
    }

private:
    [[nodiscard]] result<directory> open(path_view where) {
        auto opened = env_.storage.open_dir(where, directory_how::must_exist);
        if (!opened) return opened.error().with_file(file_kind::directory);
        return opened;
    }
    [[nodiscard]] result<void> bring(directory& from, file_name const& name, file_kind kind) {
        auto const made = bring_in(env_, from, name, *to_, name);
        if (!made) return made.error().with_file(kind);
        if (made.assume_value()) made_.push_back(name);
        return ok();
    }

    [[no_unique_address]] Env env_;
    directory* to_;
    std::vector<file_name> made_; // by this object, whole
};

} // namespace jetpp::inline v1
