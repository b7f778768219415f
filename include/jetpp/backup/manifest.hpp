// jetpp/backup/manifest.hpp - what a set is: its place in the log, its databases, its parts.
//
// A set exists when its manifest exists. The manifest names everything else in the set with hashes
// of it, so that whoever trusts the manifest's own hash can check the rest.
//
//   log:  ----|=======|==========================|=========|----
//          log_start  begin_lsn         copy_end_lsn     end_lsn       all ranges are half open
//
//   redo_lsn       below it everything was home and synced when the copy began
//   undo_low_lsn   no transaction unfinished then began below it
//   log_start      the smaller of the two: replay begins here
//   copy_end_lsn   above every page_lsn copied: the earliest moment the pages can reach
//   end_lsn        the moment a restore reaches: first address of the segment after the switch
// This header only writes manifests (manifest_text.hpp reads them). Databases are ordinals
// 0 .. n-1 of parts, the log is ordinal n.
// Threads  a value.
#pragma once

#include <jetpp/backup/backup_kind.hpp>
#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/json_text.hpp>
#include <jetpp/backup/part.hpp>
#include <jetpp/backup/part_writer.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/backup/utc_text.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/env/runtime.hpp>
#include <jetpp/page/database_header.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace jetpp::inline v1 {

struct manifest_database {
    std::string name;
    uuid id{};
    database_id place{};   // in the instance's log
    std::uint64_t pages{}; // of the file
    bool trailer = true;   // false: the set has no pages of it
    bool delta = false;    // pages that the set lacks are as in its base; else they are zero
    friend bool operator==(manifest_database const&, manifest_database const&) = default;
};

// One that was attached, and left out because it is exempt from backups: that a restore of the set
// has nothing of it is what was asked for.
struct manifest_exempt {
    std::string name;
    uuid id{};
    friend bool operator==(manifest_exempt const&, manifest_exempt const&) = default;
};

struct manifest_log {
    timeline_id timeline{};
    lsn from{};
    lsn to{};
    friend bool operator==(manifest_log const&, manifest_log const&) = default;
};

struct manifest_part {
    std::uint32_t number{};
    std::string name;
    part_content content{};
    uuid database{};        // of a log part: nil
    timeline_id timeline{}; // of a database part: zero
    part_summary summary{};
    friend bool operator==(manifest_part const&, manifest_part const&) = default;
};

struct manifest_warning {
    std::string what;
    std::string file;
    std::uint64_t count{};
    friend bool operator==(manifest_warning const&, manifest_warning const&) = default;
};

// That the set was restored before it was published, and what was there then (drill.hpp).
struct drill_proof {
    wall_time time{};        // of the end of the restore, in seconds
    lsn reached{};           // the end of the set
    std::uint64_t pages{};   // read and proved
    std::uint64_t records{}; // of the log, likewise
    std::uint64_t trees{};   // walked from end to end, after replay
    std::uint64_t rows{};
    std::uint64_t compared{}; // pages, with the running instance: equal
    friend bool operator==(drill_proof const&, drill_proof const&) = default;
};

struct manifest_base {
    uuid set{};
    sha256_digest hash{};
    std::string role;
    friend bool operator==(manifest_base const&, manifest_base const&) = default;
};

// How a reader comes to the data key of an encrypted set (key_ring.hpp).
enum class key_slot_kind : std::uint8_t { key, passphrase, x25519 };
[[nodiscard]] constexpr std::string_view name_of(key_slot_kind kind) noexcept {
    switch (kind) {
    case key_slot_kind::key: return "key";
    case key_slot_kind::passphrase: return "passphrase";
    case key_slot_kind::x25519: return "x25519";
    }
    return "unknown";
}
inline constexpr std::size_t wrapped_key_bytes = 48; // by AES-256-GCM
inline constexpr std::size_t sealed_box_bytes = 80;

struct manifest_key_slot {
    key_slot_kind kind{};
    std::array<std::byte, 16> salt{};      // of key and passphrase
    std::array<std::byte, 16> check{};     // of key and passphrase: is it the right one?
    std::array<std::byte, 32> recipient{}; // of x25519: the public key
    std::uint64_t kdf_memory{};            // of passphrase: Argon2id, in bytes
    std::uint32_t kdf_passes{};
    std::vector<std::byte> wrapped{}; // the data key
    friend bool operator==(manifest_key_slot const&, manifest_key_slot const&) = default;
};

// What the manifest's HMAC is over. Belongs to the text that was read, not to what it says.
struct manifest_mac_input {
    sha256_digest value{};
    friend bool operator==(manifest_mac_input const&, manifest_mac_input const&) noexcept {
        return true;
    }
};

struct backup_manifest {
    uuid set{};
    backup_kind kind = backup_kind::full;
    wall_time created{};
    std::string tag;
    uuid instance{};
    timeline_id timeline{};
    std::vector<timeline_fork> ancestry; // newest first
    lsn redo_lsn{};
    lsn undo_low_lsn{};
    lsn log_start{};
    lsn begin_lsn{};
    lsn copy_end_lsn{};
    lsn end_lsn{};
    lsn last_commit{};
    wall_time last_commit_time{};
    std::vector<manifest_base> bases; // the one it continues or needs pages of first
    std::uint32_t page_size{};
    std::uint64_t segment_bytes{};
    std::string checksum; // name of the page checksum
    std::string torn_write = "double_write";
    bool archival = false;
    std::vector<manifest_database> databases;
    std::vector<manifest_exempt> exempt; // none of `databases`
    std::vector<manifest_log> log;
    std::string codec = "none";
    hash_id hash = hash_id::xxh3_128;         // of the frames of all parts
    std::string cipher;                       // empty: not encrypted
    std::vector<manifest_key_slot> key_slots; // of an encrypted set
    std::optional<sha256_digest> hmac;        // of an encrypted set
    manifest_mac_input mac_input{};           // of one that was read
    std::vector<manifest_part> parts;
    backup_receipt receipt = backup_receipt::durable;
    std::optional<drill_proof> drill; // none: nobody has tried
    std::vector<manifest_warning> warnings;

    friend bool operator==(backup_manifest const&, backup_manifest const&) = default;

    [[nodiscard]] bool has_pages() const noexcept { return jetpp::has_pages(kind); }
    [[nodiscard]] bool has_database(uuid const& id) const noexcept {
        for (auto const& one : databases)
            if (one.id == id) return true;
        return false;
    }
    [[nodiscard]] bool has_exempt(uuid const& id) const noexcept {
        for (auto const& one : exempt)
            if (one.id == id) return true;
        return false;
    }
    [[nodiscard]] bool is_encrypted() const noexcept { return !cipher.empty(); }
    // Does the HMAC say who wrote the set? Who writes for a public key has no secret to prove by.
    [[nodiscard]] bool has_author() const noexcept {
        for (auto const& slot : key_slots)
            if (slot.kind == key_slot_kind::x25519) return false;
        return is_encrypted();
    }
    // Throws: std::bad_alloc.
    [[nodiscard]] std::string to_json() const;
};

// Forks and timelines as 16 hex digits.
[[nodiscard]] inline std::string hex_of(timeline_id timeline) {
    constexpr char digits[] = "0123456789abcdef";
    auto text = std::string(16, '0');
    for (std::size_t i = 0; i < 16; ++i) text[i] = digits[timeline.value >> (60 - 4 * i) & 15];
    return text;
}
[[nodiscard]] inline std::string text_of(uuid const& id) {
    auto const hex = hex_of(id);
    return {hex.data(), hex.size()};
}

namespace detail {

inline constexpr std::size_t manifest_digits = 20; // of positions and sizes

inline void write_lsn(json_text& json, std::string_view key, lsn at) {
    json.key(key);
    if (at)
        json.number(at.value, manifest_digits);
    else
        json.null();
}
inline void write_number(json_text& json, std::string_view key, std::uint64_t value) {
    json.key(key).number(value, manifest_digits);
}

inline void write_part(json_text& json, manifest_part const& part) {
    auto const hash = hex_of(part.summary.headers);
    json.open_object().key("part").small(part.number).key("name").text(part.name);
    json.key("file").open_object();
    if (part.content == part_content::database)
        json.key("database").text(text_of(part.database));
    else
        json.key("log").text(hex_of(part.timeline));
    json.close_object();
    write_number(json, "first", part.summary.first);
    write_number(json, "end", part.summary.end);
    write_number(json, "bytes", part.summary.bytes);
    write_number(json, "frames", part.summary.frames);
    write_number(json, "raw_bytes", part.summary.raw_bytes);
    json.key("headers_sha256").text({hash.data(), hash.size()}).close_object();
}

inline void write_drill(json_text& json, std::optional<drill_proof> const& drill) {
    json.key("drill").open_object().key("state").text(drill ? "passed" : "none");
    if (drill) {
        json.key("time").text(utc_text::seconds(drill->time).view());
        write_lsn(json, "reached_lsn", drill->reached);
        write_number(json, "pages", drill->pages);
        write_number(json, "records", drill->records);
        write_number(json, "trees", drill->trees);
        write_number(json, "rows", drill->rows);
        write_number(json, "compared", drill->compared);
    }
    json.close_object();
}

[[nodiscard]] inline std::string hex_text(const_bytes raw) {
    constexpr char digits[] = "0123456789abcdef";
    auto text = std::string{};
    text.reserve(2 * raw.size());
    for (auto const b : raw) {
        text += digits[std::to_integer<unsigned>(b >> 4)];
        text += digits[std::to_integer<unsigned>(b & std::byte{15})];
    }
    return text;
}

inline void write_key_slot(json_text& json, manifest_key_slot const& slot) {
    json.open_object().key("kind").text(name_of(slot.kind));
    if (slot.kind == key_slot_kind::passphrase) {
        json.key("kdf").text("argon2id");
        write_number(json, "memory", slot.kdf_memory);
        json.key("passes").small(slot.kdf_passes);
    }
    if (slot.kind == key_slot_kind::x25519)
        json.key("recipient").text(hex_text(slot.recipient));
    else
        json.key("salt").text(hex_text(slot.salt)).key("check").text(hex_text(slot.check));
    json.key("wrapped").text(hex_text(slot.wrapped)).close_object();
}

inline void write_index(json_text& json, backup_manifest const& m, part_content content) {
    json.open_array();
    for (auto const& part : m.parts) {
        if (part.content != content) continue;
        json.open_object().key("part").small(part.number);
        write_number(json, "last_index_offset", part.summary.last_index);
        json.close_object();
    }
    json.close_array();
}

} // namespace detail

inline std::string backup_manifest::to_json() const {
    using namespace detail;
    auto json = json_text{};
    json.open_object();
    json.key("format").text("jbs").key("min_reader").small(1);
    json.key("critical").open_array().close_array();
    json.key("set").text(text_of(set)).key("kind").text(name_of(kind));
    json.key("created").text(utc_text::seconds(created).view()).key("tag").text(tag);
    json.key("instance").text(text_of(instance)).key("timeline").text(hex_of(timeline));
    json.key("ancestry").open_array();
    for (auto const& fork : ancestry) {
        json.open_object().key("timeline").text(hex_of(fork.parent));
        write_lsn(json, "fork_lsn", fork.fork_lsn);
        json.close_object();
    }
    json.close_array();
    write_lsn(json, "redo_lsn", redo_lsn);
    write_lsn(json, "undo_low_lsn", undo_low_lsn);
    write_lsn(json, "log_start", log_start);
    write_lsn(json, "begin_lsn", begin_lsn);
    write_lsn(json, "copy_end_lsn", copy_end_lsn);
    write_lsn(json, "end_lsn", end_lsn);
    json.key("last_commit");
    if (last_commit) {
        json.open_object();
        write_lsn(json, "lsn", last_commit);
        json.key("time").text(utc_text::microseconds(last_commit_time).view()).close_object();
    } else {
        json.null();
    }
    json.key("base").open_array();
    for (auto const& base : bases) {
        auto const hex = hex_of(base.hash);
        json.open_object().key("set").text(text_of(base.set));
        json.key("manifest_sha256").text({hex.data(), hex.size()}).key("role").text(base.role);
        json.close_object();
    }
    json.close_array();
    json.key("page_size").small(page_size);
    write_number(json, "segment_size", segment_bytes);
    json.key("policies").open_object().key("page_checksum").text(checksum);
    json.key("torn_write").text(torn_write);
    json.key("logging").text(archival ? "archival" : "circular").close_object();
    json.key("databases").open_array();
    for (auto const& one : databases) {
        json.open_object().key("name").text(one.name).key("uuid").text(text_of(one.id));
        json.key("db_id").small(one.place.value);
        write_number(json, "pages", one.pages);
        json.key("trailer").truth(one.trailer);
        if (one.delta) json.key("delta").truth(true);
        json.close_object();
    }
    json.close_array();
    if (!exempt.empty()) { // a reader that does not know it misses those databases
        json.key("exempt").open_array();
        for (auto const& one : exempt)
            json.open_object()
                .key("name")
                .text(one.name)
                .key("uuid")
                .text(text_of(one.id))
                .close_object();
        json.close_array();
    }
    json.key("log").open_array();
    for (auto const& range : log) {
        json.open_object().key("timeline").text(hex_of(range.timeline));
        write_lsn(json, "from", range.from);
        write_lsn(json, "to", range.to);
        json.close_object();
    }
    json.close_array();
    json.key("codec").text(codec).key("cipher");
    if (is_encrypted())
        json.text(cipher);
    else
        json.null();
    json.key("key_slots").open_array();
    for (auto const& slot : key_slots) write_key_slot(json, slot);
    json.close_array();
    json.key("hash").text(name_of(hash));
    json.key("parts").open_array();
    for (auto const& part : parts) write_part(json, part);
    json.close_array();
    json.key("index").open_object().key("page");
    write_index(json, *this, part_content::database);
    json.key("log");
    write_index(json, *this, part_content::log);
    json.close_object();
    json.key("receipt").text(name_of(receipt));
    write_drill(json, drill);
    json.key("authenticity").text(has_author() ? "hmac" : "none").key("hmac");
    if (hmac)
        json.text(hex_text(*hmac));
    else
        json.null();
    json.key("sig").null();
    json.key("epoch").null();
    json.key("warnings").open_array();
    for (auto const& warning : warnings) {
        json.open_object().key("what").text(warning.what).key("file").text(warning.file);
        json.key("count").number(warning.count).close_object();
    }
    json.close_array();
    json.key("app").open_object().close_object();
    json.close_object();
    return json.take();
}

} // namespace jetpp::inline v1
