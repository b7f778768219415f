// test/log/writer_bed.hpp - what the tests of the log writer share: options of small logs, and a
// reader of raw segment files that knows only the byte tables, not the replay.
#pragma once

#include <jetpp/core/describe.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/log/log_writer.hpp>
#include <jetpp/log/records.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test {

using namespace jetpp;

// The text of an error, so that a failed REQUIRE says it.
template <class T>
std::string said(result<T> const& r) {
    return r ? std::string{"success"} : std::string{describe(r.error()).view()};
}

[[nodiscard]] inline log_options tiny_log() {
    return {
        .segment_bytes = 128 * 1024,
        .ring_bytes = 128 * 1024,
        .record_bytes_max = record_size_max(4096),
    };
}

[[nodiscard]] inline log_start new_log() {
    return {
        .instance = make_uuid(1, 2),
        .incarnation = 1,
        .timeline = timeline_id{0xABCDEF0123456789},
    };
}

struct raw_record {
    record_header header{};
    std::vector<std::byte> all{};
};

struct raw_log {
    std::map<std::uint64_t, raw_record> records{}; // by LSN, attach_list and segment_end included
    std::vector<segment_header> chain{};
    lsn end{};                              // behind the last record, or where the next would stand
    std::optional<segment_id> named_next{}; // by a final segment_end
};

template <class Directory>
[[nodiscard]] std::vector<std::byte> read_all(Directory& where, file_name const& name) {
    auto file = where.open(name, {.mode = open_mode::read_only, .io = io_mode::buffered});
    INFO(said(file));
    REQUIRE(file);
    auto const size = file.value().size();
    REQUIRE(size);
    auto content = std::vector<std::byte>(static_cast<std::size_t>(size.value()));
    REQUIRE(read_full(file.value(), content, 0));
    return content;
}

template <class Directory>
[[nodiscard]] std::vector<std::string> names_in(Directory& where) {
    auto entries = array_list<directory_entry>{};
    REQUIRE(where.list(entries));
    auto names = std::vector<std::string>{};
    for (auto const& e : entries) names.emplace_back(e.name.view());
    std::sort(names.begin(), names.end());
    return names;
}

// Reads from the given generation on, checking every rule of the format on the way.
template <class Directory>
[[nodiscard]] raw_log read_raw(Directory& where, std::uint64_t generation) {
    auto log = raw_log{};
    auto nonce = std::optional<std::uint64_t>{};
    auto previous = std::optional<segment_header>{};
    auto const names = names_in(where);
    for (;;) {
        auto const name = segment_file_name(generation);
        if (std::find(names.begin(), names.end(), name.view()) == names.end()) return log;
        auto const content = read_all(where, name);
        auto const header = segment_header::decode(content);
        INFO("segment " << name.view() << ": " << said(header));
        REQUIRE(header);
        auto const& h = header.value();
        REQUIRE(h.generation == generation);
        if (nonce && h.nonce != *nonce) return log; // an unused file of a former life
        if (previous) {
            REQUIRE(h.previous_generation == previous->generation);
            REQUIRE(h.previous_nonce == previous->nonce);
        }
        auto offset = std::size_t{segment_header_bytes};
        auto ended = false;
        while (!ended && offset + record_header_size <= content.size()) {
            auto const* const p = content.data() + offset;
            auto const at = lsn{generation * h.segment_bytes + offset};
            auto const n = decode_length(p);
            if (n < record_header_size || n % 8 != 0 || n > content.size() - offset) break;
            if (decode_crc(p) != record_crc(h.nonce, at, {p, n})) break;
            auto one = raw_record{.header = decode_header(p), .all = {p, p + n}};
            if (offset == segment_header_bytes)
                REQUIRE(one.header.type == record_type::attach_list);
            if (one.header.type == record_type::segment_end) {
                auto const end = record::segment_end::parse(one.all);
                REQUIRE(end);
                auto const& e = end.value();
                auto const body = const_bytes{content}.subspan(
                    segment_header_bytes, offset - segment_header_bytes
                );
                REQUIRE(e.content_crc == crc32c_of(body));
                REQUIRE(e.durable_hint <= at);
                log.named_next = {e.next_generation, e.next_nonce};
                ended = true;
            } else {
                REQUIRE(offset + n <= h.segment_bytes - segment_end_size);
            }
            log.records.emplace(at.value, std::move(one));
            offset += n;
            log.end = lsn{generation * h.segment_bytes + offset};
        }
        if (offset == segment_header_bytes && previous) return log; // prepared, not begun
        log.chain.push_back(h);
        if (!ended) {
            log.named_next = {};
            return log;
        }
        previous = h;
        nonce = log.named_next->nonce;
        generation = log.named_next->generation;
        log.end = first_lsn(generation, h.segment_bytes);
    }
}

// What a test remembers of a `user` record it wrote.
struct written_record {
    std::uint32_t kind{};
    std::vector<std::byte> payload{};
    friend bool operator==(written_record const&, written_record const&) = default;
};

[[nodiscard]] inline std::vector<std::byte> some_bytes(std::uint64_t seed, std::size_t size) {
    auto payload = std::vector<std::byte>(size);
    for (auto& b : payload) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        b = static_cast<std::byte>(seed >> 56);
    }
    return payload;
}

[[nodiscard]] inline std::uint32_t user_size(std::size_t payload) {
    return static_cast<std::uint32_t>(
        record::user{.kind = 0, .payload = {}}.size() + padded(payload)
    );
}

template <class Writer>
lsn write_user(Writer& log, log_credit& credit, written_record const& what) {
    auto const body = record::user{.kind = what.kind, .payload = what.payload};
    return log.append(credit, {.flags = record_flags::system}, body);
}

// The user records of a raw log, in the shape in which they were remembered.
[[nodiscard]] inline std::map<std::uint64_t, written_record> users_of(raw_log const& log) {
    auto found = std::map<std::uint64_t, written_record>{};
    for (auto const& [at, one] : log.records) {
        if (one.header.type != record_type::user) continue;
        auto const body = record::user::parse(one.all);
        REQUIRE(body);
        auto const& b = body.value();
        found[at] = {b.kind, {b.payload.begin(), b.payload.end()}};
    }
    return found;
}

} // namespace jetpp_test
