// test/log/log_by_hand.hpp - logs made byte by byte, without the writer: it is tested elsewhere.
//
// A hand_log is a list of files. append() spells a record and remembers it in the history, which is
// what replay must hand out; put() writes all files into a directory of memory.
#pragma once

#include <jetpp/env/io.hpp>
#include <jetpp/env/native_environment.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/log/record_crc.hpp>
#include <jetpp/log/replay.hpp>
#include <jetpp/log/ring_file.hpp>
#include <jetpp/log/segment.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test {

using namespace jetpp;
using raw = std::vector<std::byte>;

inline constexpr auto hand_segment = segment_bytes_min;
inline constexpr auto hand_instance = make_uuid(1, 2);

struct hand_record {
    lsn at{};
    raw content;
    lsn hint{};
    friend bool operator==(hand_record const& a, hand_record const& b) {
        return a.at == b.at && a.content == b.content;
    }
};

// Spells a record as it stands at `at` of a segment with this nonce.
template <class Body>
raw spell(Body const& body, std::uint64_t nonce, lsn at, record_header header = {}) {
    auto made = raw(body.size());
    header.type = Body::type;
    if (has(header.flags, record_flags::first_of_transaction)) header.transaction = at;
    encode_header(made.data(), header);
    body.encode(made.data());
    store_le<std::uint32_t>(made.data(), static_cast<std::uint32_t>(made.size()));
    store_le<std::uint32_t>(made.data() + 4, record_crc(nonce, at, made));
    return made;
}

struct hand_file {
    segment_header header;
    raw content = raw(hand_segment);
    std::size_t used = segment_header_bytes;
    std::vector<hand_record> records;

    [[nodiscard]] lsn tail() const { return {header.generation * hand_segment + used}; }

    template <class Body>
    lsn append(Body const& body, record_header const& h = {}) {
        auto const at = tail();
        auto made = spell(body, header.nonce, at, h);
        REQUIRE(used + made.size() <= content.size());
        std::copy(made.begin(), made.end(), content.begin() + static_cast<std::ptrdiff_t>(used));
        used += made.size();
        records.push_back({at, std::move(made), {}});
        if (records.back().content.size() >= detail::hint_head_size)
            records.back().hint = detail::hint_of(records.back().content.data());
        return at;
    }
    lsn insert(std::string const& key, std::string const& value) {
        return append(
            record::insert{.key = as_bytes(key), .value = as_bytes(value)},
            {.flags = record_flags::first_of_transaction, .database = {1}, .tree = {16}}
        );
    }
    lsn commit(lsn transaction, lsn hint) {
        return append(
            record::commit{.wall = {1}, .durable_hint = hint}, {.transaction = transaction}
        );
    }
    void write_header() { header.encode(bytes{content}.first(segment_header_bytes)); }
};

class hand_log {
public:
    // A segment ready for records, without any. Its chain fields are the caller's to change.
    hand_file& prepare(std::uint64_t generation, std::uint64_t nonce) {
        auto made = hand_file{};
        made.header.generation = generation;
        made.header.segment_bytes = hand_segment;
        made.header.instance = hand_instance;
        made.header.nonce = nonce;
        made.header.timeline = {5};
        if (!files.empty()) {
            made.header.previous_generation = files.back().header.generation;
            made.header.previous_nonce = files.back().header.nonce;
        }
        made.write_header();
        files.push_back(std::move(made));
        return files.back();
    }
    hand_file& begin(std::uint64_t generation, std::uint64_t nonce) {
        auto& made = prepare(generation, nonce);
        made.append(record::attach_list{});
        return made;
    }
    // Begins with a cut of the last segment.
    hand_file& begin_cut(std::uint64_t generation, std::uint64_t nonce, lsn cut) {
        auto& made = prepare(generation, nonce);
        made.header.cut = cut;
        made.write_header();
        made.append(record::attach_list{});
        return made;
    }
    // Closes the last segment, naming the next.
    void seal(std::uint64_t next_generation, std::uint64_t next_nonce, lsn hint = {}) {
        files.back().append(record::segment_end{next_generation, next_nonce, hint, 0});
    }

    [[nodiscard]] std::vector<hand_record> history() const {
        auto all = std::vector<hand_record>{};
        for (auto const& file : files)
            all.insert(all.end(), file.records.begin(), file.records.end());
        return all;
    }
    void put(memory_environment::directory& into) const {
        for (auto const& file : files)
            put_file(into, segment_file_name(file.header.generation), file.content);
    }
    static void put_file(
        memory_environment::directory& into, file_name const& name, const_bytes content
    ) {
        auto made = into.open(name, {.mode = open_mode::open_or_create});
        REQUIRE(made);
        REQUIRE(made.value().truncate(0));
        REQUIRE(write_full(made.value(), content, 0));
    }

    std::vector<hand_file> files;
};

// What a replay handed out and how it ended.
struct told {
    std::vector<hand_record> records;
    error failure{}; // code none if there was no failure
    log_end end;
};

inline told tell(
    memory_environment const& env, memory_environment::directory& directory, replay_options options
) {
    auto out = told{};
    options.page_size = 4096;
    options.buffer_bytes = 1; // the smallest window: many small logs are read
    auto log = replay<memory_environment>::open(env, directory, options);
    if (!log) {
        out.failure = log.error();
        out.end.kind = end_kind::damage;
        return out;
    }
    for (auto const& r : log.value()) {
        REQUIRE(out.failure.code == errc::none); // a failure is the last element
        if (!r) {
            out.failure = r.error();
            continue;
        }
        out.records.push_back({r.value().at, raw(r.value().raw.begin(), r.value().raw.end()), {}});
    }
    out.end = log.value().end_state();
    REQUIRE(out.end.kind != end_kind::unfinished);
    REQUIRE((out.failure.code == errc::none) == (out.end.kind != end_kind::damage));
    return out;
}

struct memory_log {
    memory_environment env;
    memory_environment::directory directory =
        env.storage.open_dir("log", directory_how::create_if_missing).value();

    explicit memory_log(hand_log const& log) { log.put(directory); }
    told replayed(replay_options const& options = {}) { return tell(env, directory, options); }
};

} // namespace jetpp_test
