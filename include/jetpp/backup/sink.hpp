// jetpp/backup/sink.hpp - where a backup goes: the concept, and the two smallest that model it.
//
//     begin -> (open_part, write ..., close_part) ... -> finish
//
// A sink gets finished frames, part after part, and the sealed manifest last. Whatever it does with
// them, it says truthfully what it did: only `durable` lets the source rely on the set. All calls
// come from one thread at a time, outside every lock of the engine, and may block.
// A sink may throw: that is caught where it is called and becomes an error of the backup.
// How to write one: docs/writing-a-sink.md.
#pragma once

#include <jetpp/backup/backup_kind.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/runtime.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

struct backup_manifest;
struct drill_proof;
struct set_access;

struct set_name {
    uuid set{};
    backup_kind kind = backup_kind::full;
    wall_time created{};
};

template <class S>
concept backup_sink =
    requires(S& sink, set_name const& name, std::string_view part, const_bytes content) {
        // What finish() will answer if nothing goes wrong. The manifest says so too.
        { sink.receipt() } -> std::same_as<backup_receipt>;
        // Makes room for a set that nobody can see yet.
        { sink.begin(name) } -> std::same_as<result<void>>;
        // The name is one path component: part-0000-main.jbs.
        { sink.open_part(part) } -> std::same_as<result<void>>;
        { sink.write(content) } -> std::same_as<result<void>>; // appends to the open part
        // All of the part is where it shall be; for `durable`: synced.
        { sink.close_part() } -> std::same_as<result<void>>;
        // Makes the set exist, all at once: it is complete, and its manifest says what it is.
        { sink.finish(content) } -> std::same_as<result<backup_receipt>>;
        // Instead of finish, at any time after begin: nothing of the set stays.
        { sink.abandon() } -> std::same_as<void>;
    };

// A sink that tries a set before it lets it exist (drill.hpp). Asked once, before finish(), when all
// parts are closed. `manifest`: of the set, as it will be but for its proof; `access`: what reads
// the parts; `on_read`: bytes read since the last call, and how many it will be in all, as far as
// that is known; an error ends the proof with it.
using drill_watch = std::function<result<void>(std::uint64_t read, std::uint64_t in_all)>;
template <class S>
concept proving_sink = backup_sink<S> && requires(
                                             S& sink,
                                             backup_manifest const& manifest,
                                             set_access const& access,
                                             drill_watch const& on_read
                                         ) {
    { sink.prove(manifest, access, on_read) } -> std::same_as<result<drill_proof>>;
};

// A sink whose unpublished set outlives an interruption.
template <class S>
concept resumable_sink =
    backup_sink<S> &&
    requires(S& sink, set_name const& name, std::string_view part, std::uint64_t size) {
        // Instead of abandon(): what was written stays, unpublished.
        { sink.interrupt() } -> std::same_as<void>;
        // Instead of begin(): the set that an interrupt(), or a crash, has left.
        // Errors: cannot_resume (it is gone), already_exists (it was published).
        { sink.resume(name) } -> std::same_as<result<void>>;
        // The bytes of one of its parts. Errors: not_found.
        { sink.read_part(part) };
        // The first `size` bytes of a part: it is whole with them, and durable when this returns;
        // or it is not, and open then.
        { sink.keep_part(part, size) } -> std::same_as<result<void>>;
        { sink.reopen_part(part, size) } -> std::same_as<result<void>>;
        // All but those goes.
        { sink.remove_others() } -> std::same_as<result<void>>;
    };

// Calls into a sink that throws end here.
template <class Call>
[[nodiscard]] auto guarded(Call&& call) noexcept -> decltype(call()) {
    try {
        return call();
    } catch (std::bad_alloc const&) {
        return error{.code = errc::out_of_memory, .file = file_kind::backup_part};
    } catch (...) {
        return error{.code = errc::io, .file = file_kind::backup_part};
    }
}

// Counts and forgets: how fast could a backup be, is every page sound?
class null_sink {
public:
    [[nodiscard]] backup_receipt receipt() const noexcept { return backup_receipt::discarded; }
    [[nodiscard]] result<void> begin(set_name const&) noexcept { return ok(); }
    [[nodiscard]] result<void> open_part(std::string_view) noexcept { return ok(); }
    [[nodiscard]] result<void> write(const_bytes content) noexcept {
        bytes_ += content.size();
        return ok();
    }
    [[nodiscard]] result<void> close_part() noexcept { return ok(); }
    [[nodiscard]] result<backup_receipt> finish(const_bytes) noexcept { return receipt(); }
    void abandon() noexcept {}

    [[nodiscard]] std::uint64_t bytes_seen() const noexcept { return bytes_; }

private:
    std::uint64_t bytes_ = 0;
};
static_assert(backup_sink<null_sink>);

// Keeps the set in memory, as files: for tests, and for sets that are sent on as a whole.
class memory_sink {
public:
    struct file {
        std::string name;
        std::vector<std::byte> content;
    };

    [[nodiscard]] backup_receipt receipt() const noexcept { return backup_receipt::discarded; }
    [[nodiscard]] result<void> begin(set_name const& name) {
        name_ = name;
        files_.clear();
        return ok();
    }
    [[nodiscard]] result<void> open_part(std::string_view name) {
        files_.push_back({std::string{name}, {}});
        return ok();
    }
    [[nodiscard]] result<void> write(const_bytes content) {
        auto& to = files_.back().content;
        to.insert(to.end(), content.begin(), content.end());
        return ok();
    }
    [[nodiscard]] result<void> close_part() noexcept { return ok(); }
    [[nodiscard]] result<backup_receipt> finish(const_bytes manifest) {
        files_.push_back({"manifest.json", {manifest.begin(), manifest.end()}});
        return receipt();
    }
    void abandon() noexcept { files_.clear(); }

    [[nodiscard]] set_name const& name() const noexcept { return name_; }
    // Parts in order; the manifest is the last one, once the set is whole.
    [[nodiscard]] std::vector<file> const& files() const noexcept { return files_; }

private:
    set_name name_{};
    std::vector<file> files_;
};
static_assert(backup_sink<memory_sink>);

} // namespace jetpp::inline v1
