// jetpp/backup/receive_set.hpp - a stream becomes a set of a repository.
//
//     jetpp backup DIR - | ssh other jetpp restore - DIR
//
// Frames go to files as they come; the files get their names, and the set its manifest, when the
// whole stream has come and agrees with it. So a stream is restored by what restores every set, and
// nothing of a cut one stays. The set is what its sender made: same bytes, same manifest.
// Threads  one caller; blocks.
// Owns     while it runs: 2 MiB for each part that is open (at most 8).
// Source   backup rules R45, R47, R48.
#pragma once

#include <jetpp/backup/file_output.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/stream_source.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

// A set under construction in a repository. Not finished, it is removed by the destructor.
template <any_environment Env>
class staged_set {
public:
    // Lifetime: the repository outlives it.
    staged_set(Env env, repository<Env>& into) noexcept : env_{env}, into_{&into} {}
    staged_set(staged_set const&) = delete;
    staged_set& operator=(staged_set const&) = delete;
    ~staged_set() { give_up(); }

    [[nodiscard]] result<void> begin(uuid const& set) noexcept {
        // Kind and time of the set are not known yet; names are hints.
        auto const hex = hex_of(set);
        name_ = {};
        name_.add(utc_text::compact(env_.runtime.wall()).view()).add("-received-");
        name_.add({hex.data(), hex.size()});
        BOOST_OUTCOME_TRY(auto held, into_->hold_sets(env_));
        held_.emplace(std::move(held));
        BOOST_OUTCOME_TRY(auto made, into_->make_set(name_));
        auto entries = array_list<directory_entry>{};
        BOOST_OUTCOME_TRY(made.list(entries));
        if (!entries.empty())
            return error{.code = errc::already_exists, .file = file_kind::directory};
        set_.emplace(std::move(made));
        return ok();
    }
    [[nodiscard]] result<void> open_part(std::uint32_t part) noexcept {
        for (auto& one : writers_) {
            if (one.file && one.file->is_open()) continue;
            if (!one.file) {
                BOOST_OUTCOME_TRY(auto file, appended_file<Env>::create(env_));
                one.file.emplace(std::move(file));
            }
            one.part = part;
            auto const name = staged_name(part);
            BOOST_OUTCOME_TRY(one.file->open(*set_, name));
            if (!made_.push_back(name)) return error{.code = errc::out_of_memory};
            return ok();
        }
        return error{.code = errc::limit_exceeded};
    }
    [[nodiscard]] result<void> write(std::uint32_t part, const_bytes frame) noexcept {
        return writer_of(part).append(frame);
    }
    [[nodiscard]] result<void> close_part(std::uint32_t part) noexcept {
        return writer_of(part).close();
    }

    // All parts were closed: they get their names, the set its manifest.
    // Errors: those of storage.
    [[nodiscard]] result<void> publish(received_stream const& got) noexcept {
        for (auto const& part : got.manifest.manifest.parts) {
            BOOST_OUTCOME_TRY(auto const name, file_name::make(part.name));
            BOOST_OUTCOME_TRY(set_->rename(made_[part.number], name, rename_how::no_replace));
            made_[part.number] = name;
        }
        BOOST_OUTCOME_TRY(set_->sync());
        BOOST_OUTCOME_TRY(publish_file(env_, *set_, manifest_file_name, as_bytes(got.sealed)));
        set_.reset();
        held_.reset();
        return ok();
    }
    [[nodiscard]] file_name const& name() const noexcept { return name_; }

private:
    struct writer {
        std::uint32_t part{};
        std::optional<appended_file<Env>> file;
    };

    [[nodiscard]] static file_name staged_name(std::uint32_t part) noexcept {
        auto name = file_name{};
        return name.add(staged_part_prefix).add_hex16(part);
    }
    [[nodiscard]] appended_file<Env>& writer_of(std::uint32_t part) noexcept {
        for (auto& one : writers_)
            if (one.part == part && one.file && one.file->is_open()) return *one.file;
        ensure(false, "a frame goes to a part that is open");
        return *writers_.front().file;
    }
    void give_up() noexcept {
        if (!set_) return;
        for (auto& one : writers_)
            if (one.file) one.file->drop();
        // A manifest never stands without its parts: where it may stand, they do.
        auto const is_none = unpublish_file(*set_, manifest_file_name);
        if (is_none)
            for (auto const& name : made_) (void)set_->remove(name);
        set_.reset();
        if (is_none) into_->remove_set(name_);
    }

    [[no_unique_address]] Env env_;
    repository<Env>* into_;
    file_name name_{};
    std::optional<typename Env::lock> held_; // no set of the repository goes meanwhile
    std::optional<typename Env::directory> set_;
    std::array<writer, stream_parts_open_max> writers_{};
    array_list<file_name> made_;
};

struct received_set {
    file_name name{}; // of its directory, in sets/ of the repository
    read_manifest manifest;
    std::uint64_t frames{};
    std::uint64_t bytes{};
};

// Errors: those of read_stream and of storage; the repository is then as it was.
template <any_environment Env, byte_source Source>
[[nodiscard]] result<received_set> receive_set(
    Env env, Source& from, repository<Env>& into
) noexcept {
    return guarded([&]() -> result<received_set> {
        auto staged = staged_set<Env>{env, into};
        BOOST_OUTCOME_TRY(auto got, read_stream(from, staged));
        BOOST_OUTCOME_TRY(staged.publish(got));
        return received_set{staged.name(), std::move(got.manifest), got.frames, got.bytes};
    });
}

} // namespace jetpp::inline v1
