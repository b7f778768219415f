// jetpp/backup/manifest_text.hpp - reads a manifest, as input of a stranger.
//
// The seal is checked before the text is parsed, every field against its kind and range, every
// name against what a file may be called. Keys this version does not know are passed over, unless
// the manifest calls them critical.
// Include this header only where sets are read: it is what needs nlohmann-json.
// Threads  pure functions.
// Errors   set_damaged (seal, syntax, a field), unsupported (a later format, a critical key, a
//          codec or cipher this version has no name for), unsafe_name, limit_exceeded, out_of_memory.
#pragma once

#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/sealed_text.hpp>
#include <jetpp/backup/unit_codec.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/file_name.hpp>
#include <jetpp/log/segment.hpp>
#include <jetpp/recovery/attached_database.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

namespace jetpp::inline v1 {

namespace detail {

// A value that is parsed takes a hundred bytes and more, where its text may be one byte: as many as a
// sealed text of the largest manifest has, and not deeper. More is not read.
inline constexpr std::size_t json_values_max = 1'000'000;
inline constexpr std::size_t json_depth_max = 32;

// Returns: discarded() if it is no such text.
[[nodiscard]] inline nlohmann::json parse_bounded(std::string_view text) {
    auto values = std::size_t{0};
    auto depth = std::size_t{0};
    auto quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        auto const c = text[i];
        if (quoted) {
            if (c == '\\') ++i;
            quoted = c != '"';
            continue;
        }
        quoted = c == '"';
        if (c == ',' || c == '[' || c == '{') ++values;
        if (c == '[' || c == '{') ++depth;
        if ((c == ']' || c == '}') && depth != 0) --depth;
        if (values > json_values_max || depth > json_depth_max)
            return nlohmann::json(nlohmann::json::value_t::discarded);
    }
    return nlohmann::json::parse(text, nullptr, false);
}

[[nodiscard]] inline std::optional<std::uint64_t> parse_decimal(std::string_view text) noexcept {
    if (text.empty() || text.size() > 20) return std::nullopt;
    auto value = std::uint64_t{0};
    for (auto const c : text) {
        if (c < '0' || c > '9') return std::nullopt;
        auto const digit = static_cast<std::uint64_t>(c - '0');
        if (value > (std::numeric_limits<std::uint64_t>::max() - digit) / 10) return std::nullopt;
        value = value * 10 + digit;
    }
    return value;
}

[[nodiscard]] constexpr int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}
[[nodiscard]] constexpr bool parse_hex(std::string_view text, bytes into) noexcept {
    if (text.size() != 2 * into.size()) return false;
    for (std::size_t i = 0; i < into.size(); ++i) {
        auto const high = hex_digit(text[2 * i]);
        auto const low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        into[i] = static_cast<std::byte>(high << 4 | low);
    }
    return true;
}

// Reads fields and remembers whether any was not what it must be.
class manifest_fields {
public:
    using json = nlohmann::json;

    [[nodiscard]] bool sound() const noexcept { return sound_; }
    void refuse_unless(bool condition) noexcept { sound_ = sound_ && condition; }

    // The field, or null if it is missing (which is refused unless it is optional).
    [[nodiscard]] json const& at(json const& object, char const* key, bool optional = false) {
        static json const nothing;
        if (object.is_object())
            if (auto const found = object.find(key); found != object.end()) return *found;
        refuse_unless(optional);
        return nothing;
    }
    [[nodiscard]] std::string text(json const& object, char const* key, std::size_t limit = 255) {
        auto const& field = at(object, key);
        if (auto const* value = field.template get_ptr<std::string const*>();
            value != nullptr && value->size() <= limit)
            return *value;
        sound_ = false;
        return {};
    }
    [[nodiscard]] std::uint64_t number(json const& object, char const* key) {
        auto const parsed = parse_decimal(text(object, key));
        refuse_unless(parsed.has_value());
        return parsed.value_or(0);
    }
    [[nodiscard]] std::uint32_t small(json const& object, char const* key) {
        auto const& field = at(object, key);
        auto const* value = field.template get_ptr<json::number_unsigned_t const*>();
        if (value != nullptr && *value <= ~std::uint32_t{0})
            return static_cast<std::uint32_t>(*value);
        sound_ = false;
        return 0;
    }
    [[nodiscard]] bool truth(json const& object, char const* key) {
        auto const& field = at(object, key);
        if (auto const* value = field.template get_ptr<bool const*>()) return *value;
        sound_ = false;
        return false;
    }
    // Zero if the field is null.
    [[nodiscard]] lsn position(json const& object, char const* key) {
        if (at(object, key).is_null()) return no_lsn;
        auto const value = lsn{number(object, key)};
        refuse_unless(value && value <= lsn_limit);
        return value;
    }
    [[nodiscard]] uuid id(json const& object, char const* key) {
        auto made = uuid{};
        refuse_unless(parse_hex(text(object, key), made.raw) && !made.is_nil());
        return made;
    }
    [[nodiscard]] timeline_id timeline(json const& object, char const* key) {
        auto raw = std::array<std::byte, 8>{};
        refuse_unless(parse_hex(text(object, key), raw));
        auto const made = timeline_id{load_be<std::uint64_t>(raw.data())};
        refuse_unless(made.value != 0);
        return made;
    }
    [[nodiscard]] sha256_digest digest(json const& object, char const* key) {
        auto made = sha256_digest{};
        refuse_unless(parse_hex(text(object, key), made));
        return made;
    }
    [[nodiscard]] wall_time time(json const& object, char const* key) {
        auto const parsed = parse_utc(text(object, key));
        refuse_unless(parsed.has_value());
        return parsed.value_or(wall_time{});
    }
    // f(json const&) for each element. At most `limit` of them.
    template <class F>
    void each(json const& object, char const* key, std::size_t limit, F&& f) {
        auto const& field = at(object, key);
        if (!field.is_array() || field.size() > limit) {
            sound_ = false;
            return;
        }
        for (auto const& element : field) f(element);
    }

private:
    bool sound_ = true;
};

[[nodiscard]] inline manifest_part read_part(
    manifest_fields& in, nlohmann::json const& object, bool& unsafe
) {
    auto part = manifest_part{};
    part.number = in.small(object, "part");
    part.name = in.text(object, "name");
    unsafe = unsafe || !file_name::make(part.name);
    auto const& file = in.at(object, "file");
    auto const is_database = file.is_object() && file.contains("database");
    part.content = is_database ? part_content::database : part_content::log;
    if (is_database)
        part.database = in.id(file, "database");
    else
        part.timeline = in.timeline(file, "log");
    auto& s = part.summary;
    s.first = in.number(object, "first");
    s.end = in.number(object, "end");
    s.bytes = in.number(object, "bytes");
    s.frames = in.number(object, "frames");
    s.raw_bytes = in.number(object, "raw_bytes");
    s.headers = in.digest(object, "headers_sha256");
    in.refuse_unless(s.first <= s.end && s.frames >= 2);
    return part;
}

inline void read_index(
    manifest_fields& in, nlohmann::json const& index, char const* key, backup_manifest& m
) {
    in.each(index, key, m.parts.size(), [&](nlohmann::json const& one) {
        auto const number = in.small(one, "part");
        auto const offset = in.number(one, "last_index_offset");
        in.refuse_unless(number < m.parts.size());
        if (number < m.parts.size()) m.parts[number].summary.last_index = offset;
    });
}

[[nodiscard]] inline manifest_key_slot read_key_slot(
    manifest_fields& in, nlohmann::json const& object, bool& foreign
) {
    auto slot = manifest_key_slot{};
    auto const kind = in.text(object, "kind");
    auto known = false;
    for (auto const one : {key_slot_kind::key, key_slot_kind::passphrase, key_slot_kind::x25519}) {
        if (kind != name_of(one)) continue;
        slot.kind = one;
        known = true;
    }
    foreign = !known; // of a later version: other slots may do
    if (foreign) return slot;
    auto const wrapped = in.text(object, "wrapped");
    slot.wrapped.resize(slot.kind == key_slot_kind::x25519 ? sealed_box_bytes : wrapped_key_bytes);
    in.refuse_unless(parse_hex(wrapped, slot.wrapped));
    if (slot.kind == key_slot_kind::x25519) {
        in.refuse_unless(parse_hex(in.text(object, "recipient"), slot.recipient));
        return slot;
    }
    in.refuse_unless(parse_hex(in.text(object, "salt"), slot.salt));
    in.refuse_unless(parse_hex(in.text(object, "check"), slot.check));
    if (slot.kind == key_slot_kind::passphrase) {
        foreign = in.text(object, "kdf") != "argon2id";
        slot.kdf_memory = in.number(object, "memory");
        slot.kdf_passes = in.small(object, "passes");
    }
    return slot;
}

// Returns: false if the cipher is one of a later version.
[[nodiscard]] inline bool read_encryption(
    manifest_fields& in, nlohmann::json const& root, backup_manifest& m
) {
    if (in.at(root, "cipher", true).is_null()) {
        in.refuse_unless(in.at(root, "hmac", true).is_null());
        return true;
    }
    m.cipher = in.text(root, "cipher");
    if (m.cipher != "aes-256-gcm" && m.cipher != "xchacha20-poly1305") return false;
    in.each(root, "key_slots", 16, [&](nlohmann::json const& one) {
        auto foreign = false;
        auto slot = read_key_slot(in, one, foreign);
        if (!foreign) m.key_slots.push_back(std::move(slot));
    });
    m.hmac.emplace();
    in.refuse_unless(parse_hex(in.text(root, "hmac"), *m.hmac));
    return true;
}

// The digest of the text with the value of its field `hmac` as null, which is what the HMAC is
// over. Inside a string the quotes would be escaped: what looks like the field is the field.
[[nodiscard]] inline result<sha256_digest> digest_for_mac(std::string_view json) {
    constexpr auto field = std::string_view{"\"hmac\":\""};
    auto const at = json.find(field);
    if (at == json.npos || json.find(field, at + 1) != json.npos)
        return error{.code = errc::set_damaged};
    auto const value = at + field.size() - 1; // from its quote on
    auto const behind = json.find('"', value + 1);
    if (behind == json.npos) return error{.code = errc::set_damaged};
    BOOST_OUTCOME_TRY(auto hasher, sha256::create());
    BOOST_OUTCOME_TRY(hasher.add(as_bytes(json.substr(0, value))));
    BOOST_OUTCOME_TRY(hasher.add(as_bytes("null")));
    BOOST_OUTCOME_TRY(hasher.add(as_bytes(json.substr(behind + 1))));
    return hasher.finish();
}

// A state of a later version proves nothing to this one.
[[nodiscard]] inline std::optional<drill_proof> read_drill(
    manifest_fields& in, nlohmann::json const& root
) {
    auto const& drill = in.at(root, "drill");
    if (in.text(drill, "state") != "passed") return std::nullopt;
    auto made = drill_proof{};
    made.time = in.time(drill, "time");
    made.reached = in.position(drill, "reached_lsn");
    made.pages = in.number(drill, "pages");
    made.records = in.number(drill, "records");
    made.trees = in.number(drill, "trees");
    made.rows = in.number(drill, "rows");
    made.compared = in.number(drill, "compared");
    return made;
}

// Are the fields together what one set can be?
[[nodiscard]] inline bool is_coherent(backup_manifest const& m) {
    auto const pages_fit =
        m.page_size >= 4096 && m.page_size <= 65536 && (m.page_size & (m.page_size - 1)) == 0;
    if (!pages_fit || !is_segment_size(m.segment_bytes) || m.set.is_nil()) return false;
    if (!m.log_start || !m.begin_lsn || !m.end_lsn || m.begin_lsn >= m.end_lsn ||
        m.end_lsn.value % m.segment_bytes != 0)
        return false;
    if (m.has_pages() &&
        (!m.redo_lsn || !m.undo_low_lsn || !m.copy_end_lsn ||
         m.log_start != earlier(m.redo_lsn, m.undo_low_lsn) || m.copy_end_lsn > m.end_lsn ||
         m.copy_end_lsn <= m.begin_lsn || m.log_start > m.begin_lsn || m.databases.empty()))
        return false;
    if (!m.has_pages() && (m.redo_lsn || m.undo_low_lsn || m.copy_end_lsn || m.bases.empty()))
        return false;
    if (m.kind == backup_kind::pages && m.bases.size() != 1) return false;
    for (auto const& one : m.databases)
        if (one.trailer != m.has_pages() || (one.delta && m.kind != backup_kind::pages))
            return false;
    auto covered = no_lsn;
    for (auto const& range : m.log) {
        if (range.from >= range.to || range.from.value % m.segment_bytes != 0 ||
            range.to.value % m.segment_bytes != 0 || (covered && range.from != covered))
            return false;
        covered = range.to;
    }
    if (m.log.empty() || m.log.front().from > m.log_start || covered != m.end_lsn) return false;
    if (m.drill && m.drill->reached != m.end_lsn) return false;
    for (std::size_t i = 0; i < m.parts.size(); ++i)
        if (m.parts[i].number != i) return false;
    for (auto const& one : m.exempt)
        if (m.has_database(one.id)) return false;
    for (std::size_t i = 0; i < m.databases.size(); ++i)
        for (std::size_t k = 0; k < i; ++k)
            if (m.databases[i].id == m.databases[k].id ||
                m.databases[i].name == m.databases[k].name)
                return false;
    return true;
}

[[nodiscard]] inline result<backup_manifest> read_manifest_fields(nlohmann::json const& root) {
    auto in = manifest_fields{};
    auto m = backup_manifest{};
    auto unsafe = false;
    if (in.text(root, "format") != "jbs") return error{.code = errc::set_damaged};
    if (in.small(root, "min_reader") > 1) return error{.code = errc::unsupported};
    auto critical = false;
    in.each(root, "critical", 64, [&](nlohmann::json const&) { critical = true; });
    if (critical) return error{.code = errc::unsupported}; // this version knows no critical key
    m.set = in.id(root, "set");
    auto const kind = parse_backup_kind(in.text(root, "kind"));
    in.refuse_unless(kind.has_value());
    m.kind = kind.value_or(backup_kind::full);
    m.created = in.time(root, "created");
    m.tag = in.text(root, "tag");
    m.instance = in.id(root, "instance");
    m.timeline = in.timeline(root, "timeline");
    in.each(root, "ancestry", ancestors_max, [&](nlohmann::json const& one) {
        m.ancestry.push_back({in.timeline(one, "timeline"), in.position(one, "fork_lsn")});
    });
    m.redo_lsn = in.position(root, "redo_lsn");
    m.undo_low_lsn = in.position(root, "undo_low_lsn");
    m.log_start = in.position(root, "log_start");
    m.begin_lsn = in.position(root, "begin_lsn");
    m.copy_end_lsn = in.position(root, "copy_end_lsn");
    m.end_lsn = in.position(root, "end_lsn");
    if (auto const& last = in.at(root, "last_commit"); !last.is_null()) {
        m.last_commit = in.position(last, "lsn");
        m.last_commit_time = in.time(last, "time");
    }
    in.each(root, "base", 64, [&](nlohmann::json const& one) {
        m.bases.push_back(
            {in.id(one, "set"), in.digest(one, "manifest_sha256"), in.text(one, "role")}
        );
    });
    m.page_size = in.small(root, "page_size");
    m.segment_bytes = in.number(root, "segment_size");
    auto const& policies = in.at(root, "policies");
    m.checksum = in.text(policies, "page_checksum");
    m.torn_write = in.text(policies, "torn_write");
    auto const logging = in.text(policies, "logging");
    in.refuse_unless(logging == "archival" || logging == "circular");
    m.archival = logging == "archival";
    in.each(root, "databases", databases_max, [&](nlohmann::json const& one) {
        auto d = manifest_database{};
        d.name = in.text(one, "name");
        unsafe = unsafe || !database_file_name(d.name);
        d.id = in.id(one, "uuid");
        auto const place = in.small(one, "db_id");
        in.refuse_unless(place >= 1 && place <= 65535);
        d.place = {static_cast<std::uint16_t>(place)};
        d.pages = in.number(one, "pages");
        d.trailer = in.truth(one, "trailer");
        if (one.contains("delta")) d.delta = in.truth(one, "delta");
        in.refuse_unless(d.pages < no_page.value);
        m.databases.push_back(std::move(d));
    });
    if (root.contains("exempt"))
        in.each(root, "exempt", databases_max, [&](nlohmann::json const& one) {
            m.exempt.push_back({in.text(one, "name"), in.id(one, "uuid")});
            unsafe = unsafe || !database_file_name(m.exempt.back().name);
        });
    in.each(root, "log", 1024, [&](nlohmann::json const& one) {
        m.log.push_back(
            {in.timeline(one, "timeline"), in.position(one, "from"), in.position(one, "to")}
        );
    });
    m.codec = in.text(root, "codec");
    auto const codec = codec_name(m.codec);
    auto const known = codec == "none" || codec == "zstd" || codec == "lz4";
    auto const readable = read_encryption(in, root, m) && known;
    auto const hash = in.text(root, "hash");
    m.hash = hash == name_of(hash_id::sha_256) ? hash_id::sha_256 : hash_id::xxh3_128;
    if (in.sound() && (!readable || hash != name_of(m.hash)))
        return error{.code = errc::unsupported};
    in.each(root, "parts", 65536, [&](nlohmann::json const& one) {
        m.parts.push_back(read_part(in, one, unsafe));
    });
    auto const& index = in.at(root, "index");
    read_index(in, index, "page", m);
    read_index(in, index, "log", m);
    auto const receipt = in.text(root, "receipt");
    for (auto const one :
         {backup_receipt::durable, backup_receipt::handed_over, backup_receipt::discarded})
        if (receipt == name_of(one)) m.receipt = one;
    in.refuse_unless(receipt == name_of(m.receipt));
    m.drill = read_drill(in, root);
    in.each(root, "warnings", 1024, [&](nlohmann::json const& one) {
        m.warnings.push_back({in.text(one, "what"), in.text(one, "file"), in.number(one, "count")});
    });
    if (!in.sound()) return error{.code = errc::set_damaged};
    if (unsafe) return error{.code = errc::unsafe_name};
    if (!is_coherent(m)) return error{.code = errc::set_damaged};
    return m;
}

} // namespace detail

// What is between the brackets of the file, and the hash that names it from elsewhere.
struct read_manifest {
    backup_manifest manifest;
    sha256_digest hash{};
};

[[nodiscard]] inline result<read_manifest> parse_manifest(std::string_view sealed) noexcept {
    auto const here = [](error const& e) { return e.with_file(file_kind::manifest); };
    try {
        auto const text = unseal_text(sealed);
        if (!text) return here(text.error());
        auto const root = detail::parse_bounded(text.value());
        if (!root.is_object()) return here({.code = errc::set_damaged});
        auto fields = detail::read_manifest_fields(root);
        if (!fields) return here(fields.error());
        if (fields.assume_value().is_encrypted()) {
            auto const digest = detail::digest_for_mac(text.value());
            if (!digest) return here(digest.error());
            fields.assume_value().mac_input.value = digest.value();
        }
        auto const hash = sha256::of(as_bytes(text.value()));
        if (!hash) return here(hash.error());
        return read_manifest{std::move(fields).value(), hash.value()};
    } catch (std::bad_alloc const&) {
        return here({.code = errc::out_of_memory});
    } catch (std::exception const&) {
        return here({.code = errc::set_damaged});
    }
}

} // namespace jetpp::inline v1
