// test/backup/hashes.cpp - frames hashed by SHA-256, and never by two hashes in one set.
#include <jetpp/backup.hpp>
#include <jetpp/backup/drill.hpp>
#include <jetpp/backup/frame_check.hpp>
#include <jetpp/backup/part_scan.hpp>
#include <jetpp/backup/stream_source.hpp>
#include <jetpp/backup/zstd_codec.hpp>
#include <jetpp/restore.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bed.hpp"
#include "memory_part.hpp"

namespace jetpp_test::hashes_cases {

using namespace jetpp;

using traits = bed<>::traits;
using env_type = bed<>::environment_type;

constexpr auto both = std::array{hash_id::xxh3_128, hash_id::sha_256};

made_part part_by(hash_id hash, std::uint64_t pages = 20) {
    auto writer = good(part_writer::create());
    writer.use(hash);
    auto out = memory_output{};
    good(writer.begin(out, some_place, some_database));
    for (auto first = std::uint64_t{0}; first < pages; first += 4)
        good(writer.add(out, first, first + 4, {}, noise(4 * 4096, static_cast<unsigned>(first))));
    auto const summary = good(writer.finish(out));
    return {std::move(out.content), summary};
}
errc read_by(hash_id hash, const_bytes content) {
    auto in = memory_input{content};
    auto access = set_access{};
    access.hash = hash;
    auto reader = part_reader<memory_input>::open(in, some_place, access);
    if (!reader) return reader.error().code;
    for (;;) {
        auto const run = reader.value().next();
        if (!run) return run.error().code;
        if (!run.value()) return errc::none;
    }
}
errc check_by(hash_id hash, made_part const& part) {
    auto in = memory_input{part.content};
    auto const on_read = [](std::uint64_t) -> result<void> { return ok(); };
    return code_of(check_frames(in, some_place, hash, part.summary, on_read));
}
// Offsets of the frames.
std::vector<std::size_t> frames_of(const_bytes content) {
    auto all = std::vector<std::size_t>{};
    for (auto at = std::size_t{0}; at < content.size();) {
        all.push_back(at);
        auto const head = good(frame_header::decode(content.subspan(at)));
        at += frame_header_bytes + head.stored_bytes;
    }
    return all;
}
// One frame as a writer of the other hash would have made it.
void rehash(buffer& content, std::size_t at, hash_id hash) {
    auto head = good(frame_header::decode(const_bytes{content}.subspan(at)));
    auto const unit = const_bytes{content}.subspan(at + frame_header_bytes, head.stored_bytes);
    head.hash_id = hash;
    head.hash = good(unit_hash(hash, unit));
    head.encode(bytes{content}.subspan(at, frame_header_bytes));
}
// The digest that a manifest would give, of frames as they are.
void sum_up(made_part& part) {
    auto headers = good(sha256::create());
    for (auto const at : frames_of(part.content))
        good(headers.add(const_bytes{part.content}.subspan(at, frame_header_bytes)));
    part.summary.headers = good(headers.finish());
}

TEST_CASE("a part is read by the hash of its set alone", "[backup][hash]") {
    for (auto const hash : both) {
        auto const other = hash == hash_id::sha_256 ? hash_id::xxh3_128 : hash_id::sha_256;
        auto part = part_by(hash);
        for (auto const at : frames_of(part.content))
            CHECK(
                good(frame_header::decode(const_bytes{part.content}.subspan(at))).hash_id == hash
            );
        CHECK(read_by(hash, part.content) == errc::none);
        CHECK(check_by(hash, part) == errc::none);
        CHECK(read_by(other, part.content) == errc::set_damaged);
        CHECK(check_by(other, part) == errc::set_damaged);
        // Any byte; of hash, hash id and what pads them all.
        for (auto const frame : frames_of(part.content)) {
            auto const end = std::min(part.content.size(), frame + 400);
            for (auto at = frame; at < end; at += at - frame < 90 || at - frame > 140 ? 7 : 1) {
                part.content[at] ^= std::byte{0x20};
                if (read_by(hash, part.content) == errc::none || check_by(hash, part) == errc::none)
                    FAIL("a flip of byte " << at << " is not seen");
                part.content[at] ^= std::byte{0x20};
            }
        }
    }
}

TEST_CASE("one frame under another hash damages its part", "[backup][hash]") {
    for (auto const hash : both) {
        auto const other = hash == hash_id::sha_256 ? hash_id::xxh3_128 : hash_id::sha_256;
        auto const whole = part_by(hash);
        for (auto const at : frames_of(whole.content)) {
            auto mixed = whole;
            rehash(mixed.content, at, other);
            sum_up(mixed);
            CHECK(read_by(hash, mixed.content) == errc::set_damaged);
            CHECK(read_by(other, mixed.content) == errc::set_damaged);
            CHECK(check_by(hash, mixed) == errc::set_damaged);
            // Who goes on with it takes it to be torn there.
            auto again = good(part_writer::create());
            again.use(hash);
            auto const open = [&]() -> result<memory_input> { return memory_input{mixed.content}; };
            auto const found =
                good(recall_part(open, some_place, some_database, false, ~std::uint64_t{0}, again));
            CHECK(found.bytes <= at);
        }
    }
}

TEST_CASE("a stream is of one hash, and its manifest says of which", "[backup][hash]") {
    auto b = bed{};
    b.work(600, 1);
    for (auto const hash : both) {
        auto out = memory_output{};
        auto sink = stream_sink{out};
        (void)good(run_in_place(b.store(), sink, {.hash = hash}));
        auto const received = [](const_bytes content) {
            auto in = memory_input{content};
            auto nowhere = no_store{};
            return read_stream(in, nowhere);
        };
        auto const whole = good(received(out.content));
        CHECK(whole.manifest.manifest.hash == hash);
        auto const frames = frames_of(out.content);
        auto const other = hash == hash_id::sha_256 ? hash_id::xxh3_128 : hash_id::sha_256;
        for (auto const at : frames) {
            auto mixed = out.content;
            auto const is_manifest = at == frames.back();
            rehash(mixed, at, is_manifest ? hash_id::sha_256 : other);
            CHECK(code_of(received(mixed)) == errc::set_damaged);
        }
        auto all = out.content; // but the manifest speaks of other headers
        for (auto const at : frames)
            if (at != frames.back()) rehash(all, at, other);
        CHECK(code_of(received(all)) == errc::set_mixed);
    }
}

TEST_CASE("sets of either hash stand on each other", "[backup][hash]") {
    auto b = bed{};
    b.work(1500, 2);
    auto const manifest_of = [&](backup_report const& report) {
        auto sets = good(repository<env_type>::open(b.env, "/repo"));
        auto all = good(list_sets(sets));
        auto const at = std::find_if(all.begin(), all.end(), [&](auto const& one) {
            return one.manifest.set == report.set;
        });
        REQUIRE(at != all.end());
        return at->manifest;
    };
    auto keys = key_ring{};
    auto key = secret_key{};
    key.all()[0] = std::byte{1};
    keys.add_key(key);
    auto const by_sha = hash_id::sha_256;
    auto const first = good(run_backup_to(b.db, "/repo", {.hash = by_sha}));
    CHECK(manifest_of(first).hash == by_sha);
    b.work(200, 3);
    auto const second = good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
    CHECK(manifest_of(second).hash == hash_id::xxh3_128);
    b.work(200, 4);
    auto const drill = drill_options{.scratch = "/drill", .buffer_bytes = 1 << 20};
    auto const sealed = backup_options{
        .kind = backup_kind::incremental,
        .codec = {&zstd_codec},
        .hash = by_sha,
        .encryption = {&aes_256_gcm, &keys},
    };
    auto const third = good(run_drilled_backup_to(b.db, "/repo", drill, sealed));
    CHECK(manifest_of(third).hash == by_sha);
    CHECK(third.drill);
    auto const expected = b.expected;
    good(std::move(b.db).close());

    auto const access = set_access{.codecs = {{&zstd_codec}}, .keys = &keys};
    auto const report = good(verify_repository(
        b.env, "/repo", {.access = access}, replay_prover<traits>{b.env, std::string{"/scratch"}}
    ));
    if (!report.is_good()) FAIL(describe(report.findings[0].why).c_str());
    CHECK(report.replayed == 3);
    CHECK(good(verify_repository(b.env, "/repo")).sealed_sets == 1);
    (void)good(run_restore<traits>(b.env, {"/repo"}, "/new", {.access = access}));
    expect_rows(b.env, "/new", expected);
}

} // namespace jetpp_test::hashes_cases
