// jetpp/backup/backup_options.hpp - what a caller asks of a backup, hears of it, and gets from it.
#pragma once

#include <jetpp/backup/backup_base.hpp>
#include <jetpp/backup/backup_kind.hpp>
#include <jetpp/backup/backup_planner.hpp>
#include <jetpp/backup/key_ring.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/backup/unit_codec.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/engine/options.hpp>
#include <jetpp/recovery/truncation.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace jetpp::inline v1 {

// Of pages and log as they are copied; then, with a drill, of what it reads, which counts on from
// there; then once, as the set is about to be published.
struct backup_progress {
    backup_stage stage{};        // pages, log, drill or publish
    std::uint64_t bytes_done{};  // never goes back
    std::uint64_t bytes_total{}; // may grow: by the log that is written meanwhile, and by the drill
    std::string_view file{};     // lives as long as the call; empty: of a drill
    double bytes_per_second{};   // since copying, or the drill, began
    std::chrono::nanoseconds left{}; // an estimate
};

// What a resumable backup may keep of the log if nobody said: it outlives the process.
inline constexpr std::uint64_t resumable_log_cap = std::uint64_t{64} << 30;

struct backup_options {
    // What the set carries. A full is taken down as a copy where the sink is not durable.
    backup_kind kind = backup_kind::full;
    // By name; none: all that are attached and not exempt (engine::set_backup_exempt). The log of the
    // set is whole either way, only the marks of these are stamped, and a restore of the set has to
    // be asked for one of them.
    std::vector<std::string> databases{};
    // For kind `pages`: the full, copy or pages set that it adds to.
    std::optional<backup_base> base{};
    // For incremental and differential: tells which sets lie where the new one will. run_backup_to
    // looks into its repository, and asks this about those it does not find there.
    base_finder find_base{};
    // For people and programs: the manifest carries it. UTF-8; invalid_argument otherwise.
    static constexpr std::size_t tag_bytes_max = 255;
    std::string tag{};
    codec_choice codec{}; // of a header included for it: {&zstd_codec}; raw blocks if none
    // Of what the parts hold. sha_256 costs a pass over it, and lets who keeps the manifest's hash
    // elsewhere prove the whole set by it.
    hash_id hash = hash_id::xxh3_128;
    encryption_choice encryption{}; // {&aes_256_gcm, &keys}; plain if none
    // Called between chunks, and as a drill reads, outside every lock. An error ends the backup with
    // that error, and there is no set.
    std::function<result<void>(backup_progress const&)> on_progress{};
    // Tasks that compress, where a codec is named, each with a codec and up to 4 MiB besides; at most
    // 16. 0, or without memory for them: who writes compresses as well.
    std::uint32_t encoders = 2;
    // Tasks that read pages ahead of who looks at them, into the buffers below. One keeps a disk busy;
    // more are faster where the device likes that, and what others read meanwhile waits longer. 0, and
    // at a rate: none.
    std::uint32_t readers = 1;
    // Of 1 MiB; all the memory a backup takes, but for encoders and fixed state.
    std::uint32_t queue_buffers = 4;
    std::uint64_t bytes_per_second = 0; // of pages and log read; 0: as fast as it goes
    bool checkpoint_first = true;       // a shorter log in the set, for the price of one sync
    bool trust_receiver = false;        // take `handed_over` for `durable`
    // Log from log_start on that the backup may keep from being given up: past it it fails with
    // pin_broken, and events tell before. 0: no cap.
    std::uint64_t log_cap_bytes = 0;
    // An interruption (a crash, an error of the sink or of storage; not a cancellation) leaves what
    // was written and a named pin on the log, for `resume` or abandon_backup(). Of sets with pages,
    // into a repository; the pin's cap is log_cap_bytes, or resumable_log_cap. named_pins() of the
    // engine lists what was left.
    bool resumable = false;
    // Goes on with that set. The options that shape it must be those it was begun with; the engine
    // may have been opened anew. What was copied is read once, to see how far it came; so is the log
    // since then.
    std::optional<uuid> resume{};
    // backup_finished, backup_failed, backup_log_held, pin_broken. None: those of the engine.
    event_sink events{};
    // Once the set stands and is stamped, give up the log that nothing needs any more. Of kinds
    // that permit it (full, incremental) into a durable sink; invalid_argument otherwise.
    bool truncate = false;
};

// Of the options that shape a set: they must be the same when it is gone on with.
// Errors: unsupported (the hash). Throws: std::bad_alloc.
[[nodiscard]] inline result<sha256_digest> digest_of_shape(backup_options const& options) {
    auto text = std::string{name_of(options.kind)} + '\n' + options.codec.text();
    if (options.hash != hash_id::xxh3_128) text += ' ' + std::string{name_of(options.hash)};
    text += '\n';
    if (options.encryption.cipher != nullptr) text += options.encryption.cipher->name;
    text += '\n';
    if (options.base) {
        auto const hash = hex_of(options.base->hash);
        text += text_of(options.base->manifest.set) + ' ' + std::string{hash.data(), hash.size()};
    }
    text += '\n' + std::to_string(options.tag.size()) + ' ' + options.tag;
    for (auto const& name : options.databases) text += '\n' + name;
    return sha256::of(as_bytes(text));
}

// What an engine adds to what it was asked for: its events, unless there are others.
template <class Engine>
[[nodiscard]] backup_options with_events_of(Engine& db, backup_options options) {
    if (options.events.on_event == nullptr) options.events = db.core().options.events;
    return options;
}

struct backup_report {
    uuid set{};
    backup_kind kind{};
    backup_receipt receipt{};
    bool is_relied_on{}; // durable, or trusted to be: headers may name it, and log go for it
    lsn redo_lsn{};      // of sets with pages, as copy_end_lsn
    lsn log_start{};
    lsn begin_lsn{};
    lsn copy_end_lsn{};
    lsn end_lsn{};
    lsn last_commit{}; // the newest commit that a restore of the set brings back
    std::uint64_t databases{};
    std::uint64_t pages{};        // verified, whether the set holds them or its base does
    std::uint64_t records{};      // verified
    std::uint64_t image_bytes{};  // of pages and log
    std::uint64_t stored_bytes{}; // in the set
    std::uint64_t masked_pages{}; // rotten in the file, good in memory: see the manifest
    sha256_digest manifest_hash{};
    bool has_author{}; // an HMAC says who wrote the set; else nothing but hashes do
    std::optional<drill_proof> drill{};   // the set was restored before it was published
    std::string name{};                   // of the set, as a repository calls it
    std::optional<error> stamp_problem{}; // the set stands, but no header names it
    std::optional<error> pin_problem{}; // it stands, but what it was to be resumed by is left over
    std::optional<truncation_report> truncated{};
    std::optional<error> truncate_problem{}; // the set stands and is stamped
    std::chrono::nanoseconds took{};
};

} // namespace jetpp::inline v1
