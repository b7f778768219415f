// test/fuzz/sets.cpp - the fuzz targets of backup sets, fed with mutations of sound inputs.
//
// What libFuzzer does for hours (see test/meson.build), a plain run does for seconds: flips, wild
// numbers, pieces cut, doubled and exchanged, lengths that lie.
#include <string>
#include <vector>

#include "../backup/made_set.hpp"
#include "../budget.hpp"
#include "../catch.hpp"
#include "mutations.hpp"
#include "targets.hpp"

namespace jetpp_test::sets_cases {

// An encrypted and a compressed part of the set the targets know.
std::vector<buffer> parts() {
    auto made = std::vector<buffer>{};
    auto const place = part_place{.set = fuzz_set};
    for (auto const* kind : {static_cast<codec_kind const*>(nullptr), &zstd_codec, &lz4_codec})
        for (auto const encrypted : {false, true}) {
            auto writer = part_writer::create();
            REQUIRE(writer);
            auto worker = codec_choice{kind}.create();
            REQUIRE(worker);
            if (kind != nullptr) writer.value().use(kind->id, worker.value().get());
            auto about = some_database;
            auto cipher = std::unique_ptr<part_cipher>{};
            if (encrypted) {
                about.salt[0] = std::byte{1};
                auto key = fuzz_access(true).key->part(0, about.salt);
                REQUIRE(key);
                cipher = std::move(key).value();
            }
            auto out = memory_output{};
            REQUIRE(writer.value().begin(out, place, about, cipher.get()));
            for (auto page = 0U; page < 3; ++page)
                REQUIRE(writer.value().add(out, page, page + 1, {}, noise(4096, page)));
            REQUIRE(writer.value().finish(out));
            for (auto const how : {0U, 1U, 5U})
                made.push_back(
                    with_first(static_cast<unsigned char>(how | (encrypted ? 2U : 0U)), out.content)
                );
        }
    return made;
}

TEST_CASE("any bytes as a part end in a value or an error", "[fuzz]") {
    run("part", &fuzz_part, parts(), rounds(500), true);
}

TEST_CASE("any bytes as a stream end in a set or in nothing", "[fuzz]") {
    auto corpus = std::vector<buffer>{};
    for (auto const seed : {0U, 1U})
        for (auto const repaired : {0, 1})
            corpus.push_back(
                with_first(static_cast<unsigned char>(repaired), stream_of(make_set(seed, 1)))
            );
    run("stream", &fuzz_stream, corpus, rounds(300), true);
}

TEST_CASE("any bytes as a manifest end in a manifest or an error", "[fuzz]") {
    auto const set = make_set(0);
    auto const json = set.manifest.to_json();
    run("manifest",
        &fuzz_manifest,
        {with_first(1, as_bytes(json)), with_first(0, as_bytes(set.sealed))},
        rounds(3000),
        false);
}

TEST_CASE("any bytes as a stored unit stay within what was claimed", "[fuzz]") {
    auto corpus = std::vector<buffer>{};
    for (auto const size : {std::size_t{1}, std::size_t{300'000}}) {
        auto const raw = noise(size, 1);
        auto room = buffer(frame_stored_max);
        auto const add = [&](unsigned codec, std::size_t used) {
            auto word = buffer(4);
            store_le<std::uint32_t>(word.data(), static_cast<std::uint32_t>(size - 1) << 2 | codec);
            word.insert(word.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(used));
            corpus.push_back(std::move(word));
        };
        add(0, encode_raw_unit(raw, room));
        add(1, zstd_codec.create(3).value()->encode(raw, room).value());
        add(2, lz4_codec.create(0).value()->encode(raw, room).value());
    }
    run("unit", &fuzz_unit, corpus, rounds(1000), false);
}

TEST_CASE("any key slots open or are refused, at a bounded cost", "[fuzz]") {
    auto set = make_set(0);
    auto ring = key_ring{key_library{.argon2id = &jetpp_test::detail::fuzz_stretch}};
    ring.add_key(fuzz_secret());
    REQUIRE(ring.add_passphrase("fuzz"));
    auto made = ring.make(set.manifest.set, aes_256_gcm);
    REQUIRE(made);
    auto& m = set.manifest;
    m.cipher = "aes-256-gcm";
    m.key_slots = made.value().slots;
    auto const text = sha256::of(as_bytes(m.to_json()));
    REQUIRE(text);
    m.hmac = made.value().key->manifest_mac(text.value()).value();
    auto const json = m.to_json();
    REQUIRE(ring.unlock(parse_manifest(seal_text(json).value()).value().manifest));
    // Only the slots: the rest of the manifest has a test of its own.
    auto corpus = std::vector<buffer>{with_first(1, as_bytes(json))};
    auto swapped = m;
    std::swap(swapped.key_slots[0], swapped.key_slots[1]);
    corpus.push_back(with_first(1, as_bytes(swapped.to_json())));
    swapped.key_slots[0].kdf_memory = ~std::uint64_t{0};
    swapped.key_slots[0].kdf_passes = ~std::uint32_t{0};
    corpus.push_back(with_first(1, as_bytes(swapped.to_json())));
    run("keys", &fuzz_keys, corpus, rounds(3000), false);
}

} // namespace jetpp_test::sets_cases
