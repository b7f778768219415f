// test/backup/encryption.cpp - keys, slots, sealed frames: what opens them, and what is told apart.
#include <jetpp/backup/frame_check.hpp>
#include <jetpp/backup/key_ring.hpp>
#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/sodium.hpp>

#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "made_set.hpp"

namespace jetpp_test::encryption_cases {

using namespace jetpp;

template <class T>
[[nodiscard]] T good(result<T>&& got) {
    REQUIRE(got.has_value());
    return std::move(got).value();
}
void good(result<void>&& got) {
    REQUIRE(got.has_value());
}
template <class T>
[[nodiscard]] errc code_of(result<T> const& got) {
    return got ? errc::none : got.error().code;
}

buffer from_hex(std::string_view text) {
    auto made = buffer(text.size() / 2);
    REQUIRE(detail::parse_hex(text, made));
    return made;
}
secret_key key_number(unsigned n) {
    auto key = secret_key{};
    auto const raw = noise(32, n);
    std::copy(raw.begin(), raw.end(), key.all().begin());
    return key;
}
constexpr auto cheap = kdf_cost{.memory_bytes = 8192, .passes = 1};

// The manifest of an encrypted set, as its writer seals it and a reader parses it.
backup_manifest sealed_manifest(made_set_key const& key, backup_manifest m) {
    m.cipher = key.key->kind().name;
    m.key_slots = key.slots;
    m.hmac = good(key.key->manifest_mac(good(sha256::of(as_bytes(m.to_json())))));
    return good(parse_manifest(good(seal_text(m.to_json())))).manifest;
}

made_part encrypted_part(set_key const& key, part_salt const& salt, unsigned pages = 9) {
    auto writer = good(part_writer::create());
    auto about = some_database;
    about.salt = salt;
    auto const cipher = good(key.part(some_place.part, salt));
    auto out = memory_output{};
    good(writer.begin(out, some_place, about, cipher.get()));
    for (auto page = 0U; page < pages; page += 3)
        good(writer.add(out, page, page + 3, {}, noise(3 * 4096, page)));
    auto const summary = good(writer.finish(out));
    return {std::move(out.content), summary};
}
errc read_code(const_bytes content, set_access const& access, buffer* image = nullptr) {
    auto in = memory_input{content};
    auto reader = part_reader<memory_input>::open(in, some_place, access);
    if (!reader) return reader.error().code;
    for (;;) {
        auto const run = reader.value().next();
        if (!run) return run.error().code;
        if (!run.value()) return errc::none;
        if (image != nullptr)
            image->insert(image->end(), run.value()->raw.begin(), run.value()->raw.end());
    }
}
constexpr auto some_salt = part_salt{std::byte{1}, std::byte{2}};

set_access access_by(made_set_key const& key) {
    auto access = set_access{};
    access.key = key.key;
    return access;
}

// A frame header again, its crc right: what an adversary can do without the key.
void forge(buffer& frame, void (*change)(frame_header&)) {
    auto head = good(frame_header::decode(frame));
    change(head);
    head.hash = unit_hash(const_bytes{frame}.subspan(frame_header_bytes, head.stored_bytes));
    head.encode(bytes{frame}.first(frame_header_bytes));
}

TEST_CASE("keys are derived as RFC 5869 does", "[backup][encryption]") {
    auto const secret = buffer(22, std::byte{0x0b});
    auto const salt = from_hex("000102030405060708090a0b0c");
    auto const info = from_hex("f0f1f2f3f4f5f6f7f8f9");
    auto made = buffer(42);
    good(hkdf_sha256(secret, salt, info, made));
    CHECK(
        made == from_hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
                         "34007208d5b887185865")
    );
}

TEST_CASE("both ciphers open what they sealed, and nothing else", "[backup][encryption]") {
    for (auto const* kind : {&aes_256_gcm, &xchacha20_poly1305}) {
        CAPTURE(kind->name);
        auto const worker = good(kind->create(key_number(1)));
        auto const nonce = buffer(kind->nonce_bytes, std::byte{3});
        auto const bound = noise(160, 4);
        for (auto const size : {std::size_t{0}, std::size_t{1}, std::size_t{100'000}}) {
            auto const plain = noise(size, 5);
            auto sealed = buffer(size + aead_tag_bytes);
            good(worker->seal(nonce, bound, plain, sealed));
            auto back = buffer(size);
            CHECK(worker->open(nonce, bound, sealed, back));
            CHECK(back == plain);
            auto const closed = [&](const_bytes n, const_bytes b, const_bytes s) {
                auto out = buffer(size, std::byte{0xEE});
                return !worker->open(n, b, s, out) && all_zero(out);
            };
            auto other = nonce;
            other[8] ^= std::byte{1};
            CHECK(closed(other, bound, sealed));
            other = bound;
            other[0] ^= std::byte{1};
            CHECK(closed(nonce, other, sealed));
            for (auto const at : {std::size_t{0}, size / 2, size, size + 15}) {
                auto changed = sealed;
                changed[at] ^= std::byte{0x80};
                CHECK(closed(nonce, bound, changed));
            }
            auto const stranger = good(kind->create(key_number(2)));
            CHECK_FALSE(stranger->open(nonce, bound, sealed, back));
        }
    }
    // The test case 16 of the GCM specification, shortened to its tag by no text.
    auto key = secret_key{};
    auto const worker = good(aes_256_gcm.create(key));
    auto tag = buffer(16);
    good(worker->seal(buffer(12), {}, {}, tag));
    CHECK(tag == from_hex("530f8afbc74536b9a963b4f1c4cb738b"));
}

TEST_CASE("any key that a set was written for opens it; no other does", "[backup][encryption]") {
    auto const set = make_set(1);
    auto const secret = key_number(7);
    auto own = public_key{};
    good(sodium_keys.public_of(secret, own));
    auto writing = key_ring{sodium_keys};
    writing.add_key(key_number(1));
    good(writing.add_passphrase("correct horse", cheap));
    writing.add_recipient(own);
    for (auto const* cipher : {&aes_256_gcm, &xchacha20_poly1305}) {
        CAPTURE(cipher->name);
        auto const made = good(writing.make(set.manifest.set, *cipher));
        auto const manifest = sealed_manifest(made, set.manifest);
        CHECK(manifest.key_slots == made.slots);
        CHECK_FALSE(manifest.has_author()); // written for a public key, too

        auto by_key = key_ring{};
        by_key.add_key(key_number(9)); // a wrong one before does no harm
        by_key.add_key(key_number(1));
        by_key.know(xchacha20_poly1305);
        CHECK(good(by_key.unlock(manifest))->proves_author());
        auto by_word = key_ring{sodium_keys};
        by_word.know(xchacha20_poly1305);
        good(by_word.add_passphrase("correct horse"));
        CHECK(good(by_word.unlock(manifest))->proves_author());
        auto by_secret = key_ring{sodium_keys};
        by_secret.know(xchacha20_poly1305);
        by_secret.add_secret_key(secret);
        CHECK_FALSE(good(by_secret.unlock(manifest))->proves_author());

        // All come to the same key.
        auto const part = encrypted_part(*made.key, some_salt);
        for (auto const* ring : {&by_key, &by_word, &by_secret}) {
            auto access = set_access{};
            access.keys = ring;
            CHECK(read_code(part.content, good(access.for_set(manifest))) == errc::none);
        }

        auto stranger = key_ring{sodium_keys};
        stranger.know(xchacha20_poly1305);
        CHECK(code_of(stranger.unlock(manifest)) == errc::wrong_key);
        stranger.add_key(key_number(2));
        good(stranger.add_passphrase("correct horsf"));
        stranger.add_secret_key(key_number(8));
        CHECK(code_of(stranger.unlock(manifest)) == errc::wrong_key);
        CHECK(code_of(set_access{}.for_set(manifest)) == errc::wrong_key);
    }
    auto const made = good(writing.make(set.manifest.set, xchacha20_poly1305));
    auto plain_ring = key_ring{};
    plain_ring.add_key(key_number(1));
    CHECK(code_of(plain_ring.unlock(sealed_manifest(made, set.manifest))) == errc::unsupported);
    // A program without libsodium says so, and does not say that the key is wrong.
    CHECK(code_of(key_ring{}.make(set.manifest.set, aes_256_gcm)) == errc::invalid_argument);
    auto lacking = key_ring{};
    good(lacking.add_passphrase("correct horse", cheap));
    CHECK(code_of(lacking.make(set.manifest.set, aes_256_gcm)) == errc::unsupported);
    auto const aes = good(writing.make(set.manifest.set, aes_256_gcm));
    CHECK(code_of(lacking.unlock(sealed_manifest(aes, set.manifest))) == errc::unsupported);
}

TEST_CASE(
    "a manifest that was changed does not authenticate, whatever changed", "[backup][encryption]"
) {
    auto const set = make_set(2);
    auto ring = key_ring{};
    ring.add_key(key_number(1));
    auto const made = good(ring.make(set.manifest.set, aes_256_gcm));
    auto const manifest = sealed_manifest(made, set.manifest);
    CHECK(manifest.has_author());
    CHECK(good(ring.unlock(manifest)) != nullptr);
    // Sealed anew by who has no key: SHA-256 is right, the HMAC is not.
    auto const forged = [&](auto&& change) {
        auto m = manifest;
        change(m);
        return code_of(ring.unlock(good(parse_manifest(good(seal_text(m.to_json())))).manifest));
    };
    CHECK(forged([](auto&) {}) == errc::none);
    CHECK(forged([](auto& m) { m.tag = "changed"; }) == errc::authentication_failed);
    CHECK(forged([](auto& m) {
              m.parts[0].summary.headers[5] ^= std::byte{1};
          }) == errc::authentication_failed);
    CHECK(forged([](auto& m) { (*m.hmac)[0] ^= std::byte{1}; }) == errc::authentication_failed);
    CHECK(forged([](auto& m) {
              m.key_slots[0].wrapped[3] ^= std::byte{1};
          }) == errc::authentication_failed);
    CHECK(forged([](auto& m) { m.key_slots[0].check[3] ^= std::byte{1}; }) == errc::wrong_key);
    CHECK(forged([](auto& m) { m.key_slots[0].salt[3] ^= std::byte{1}; }) == errc::wrong_key);
    CHECK(forged([](auto& m) { m.key_slots.clear(); }) == errc::wrong_key);
    // A field that only looks like the HMAC does not take its place.
    CHECK(forged([](auto& m) { m.tag = R"("hmac":"00)"; }) == errc::authentication_failed);
}

TEST_CASE("a key derivation is refused before it costs more than the cap", "[backup][encryption]") {
    auto const set = make_set(3);
    auto ring = key_ring{sodium_keys};
    good(ring.add_passphrase("open sesame", cheap));
    auto const made = good(ring.make(set.manifest.set, aes_256_gcm));
    auto const manifest = sealed_manifest(made, set.manifest);
    CHECK(good(ring.unlock(manifest)) != nullptr);
    auto dear = manifest;
    dear.key_slots[0].kdf_memory = kdf_memory_max + 1;
    CHECK(code_of(ring.unlock(dear)) == errc::limit_exceeded);
    dear = manifest;
    dear.key_slots[0].kdf_passes = kdf_passes_max + 1;
    CHECK(code_of(ring.unlock(dear)) == errc::limit_exceeded);
    auto too_dear = key_ring{sodium_keys};
    good(too_dear.add_passphrase("open sesame", {.memory_bytes = 2 * kdf_memory_max}));
    CHECK(code_of(too_dear.make(set.manifest.set, aes_256_gcm)) == errc::limit_exceeded);
    CHECK(code_of(too_dear.add_passphrase("")) == errc::invalid_argument);
}

TEST_CASE(
    "an encrypted part reads back with its key, and says what is wrong without",
    "[backup][encryption]"
) {
    auto ring = key_ring{};
    ring.add_key(key_number(1));
    for (auto const* cipher : {&aes_256_gcm, &xchacha20_poly1305}) {
        auto const made = good(ring.make(some_set, *cipher));
        auto const part = encrypted_part(*made.key, some_salt);
        auto image = buffer{};
        CHECK(read_code(part.content, access_by(made), &image) == errc::none);
        CHECK(image.size() == 9 * 4096);
        CHECK(std::equal(image.begin(), image.begin() + 3 * 4096, noise(3 * 4096, 0).begin()));
        // Nothing of the content is to be seen.
        auto const page = noise(3 * 4096, 3);
        CHECK(
            std::search(
                part.content.begin(), part.content.end(), page.begin(), page.begin() + 64
            ) == part.content.end()
        );
        CHECK(read_code(part.content, {}) == errc::wrong_key);
        auto const other = good(ring.make(some_set, *cipher));
        CHECK(read_code(part.content, access_by(other)) == errc::authentication_failed);
        // A plain part is not taken for an encrypted one.
        CHECK(read_code(make_part(3).content, access_by(made)) == errc::authentication_failed);
    }
}

TEST_CASE(
    "flipped bytes of an encrypted part are found, with the key and without", "[backup][encryption]"
) {
    auto ring = key_ring{};
    ring.add_key(key_number(1));
    auto const made = good(ring.make(some_set, aes_256_gcm));
    auto part = encrypted_part(*made.key, some_salt);
    auto const frames_only = [&] {
        auto in = memory_input{part.content};
        return code_of(check_frames(
            in,
            some_place,
            hash_id::xxh3_128,
            part.summary,
            [](std::uint64_t) -> result<void> { return ok(); }
        ));
    };
    CHECK(frames_only() == errc::none);
    for (std::size_t i = 0; i < part.content.size(); i += i % 4096 < 200 ? 3 : 307) {
        part.content[i] ^= std::byte{0x04};
        if (read_code(part.content, access_by(made)) == errc::none || frames_only() == errc::none)
            FAIL("a flip of byte " << i << " is not seen");
        part.content[i] ^= std::byte{0x04};
    }
    auto longer = part.content;
    longer.push_back(std::byte{0});
    auto in = memory_input{longer};
    CHECK(
        code_of(check_frames(
            in,
            some_place,
            hash_id::xxh3_128,
            part.summary,
            [](std::uint64_t) -> result<void> { return ok(); }
        )) == errc::set_damaged
    );
}

TEST_CASE("who has no key cannot change, move, drop or add a frame", "[backup][encryption]") {
    auto ring = key_ring{};
    ring.add_key(key_number(1));
    auto const made = good(ring.make(some_set, aes_256_gcm));
    auto const frames = frames_of(encrypted_part(*made.key, some_salt).content);
    auto const read = [&](std::vector<buffer> const& all) {
        return read_code(join(all), access_by(made));
    };
    REQUIRE(read(frames) == errc::none);
    // Headers forged with a right crc and hash: each field is bound.
    for (auto* const change : std::initializer_list<void (*)(frame_header&)>{
             [](frame_header& h) {
                 ++h.first;
                 ++h.end;
             },
             [](frame_header& h) { h.presence[0] ^= std::byte{1}; },
             [](frame_header& h) { h.codec = frame_codec::zstd; },
             [](frame_header& h) { h.type = frame_type::page_index; },
         }) {
        auto changed = frames;
        forge(changed[2], change);
        CHECK(read(changed) == errc::authentication_failed);
    }
    // Two frames exchanged, numbered as the place wants.
    auto changed = frames;
    std::swap(changed[1], changed[2]);
    forge(changed[1], [](frame_header& h) { h.sequence = 1; });
    forge(changed[2], [](frame_header& h) { h.sequence = 2; });
    CHECK(read(changed) == errc::authentication_failed);
    // The part ended early: the last flag set where it was not.
    changed = frames;
    changed.resize(3);
    forge(changed[2], [](frame_header& h) { h.flags |= frame_flag::last_of_part; });
    CHECK(read(changed) == errc::authentication_failed);
    // Encryption taken off.
    changed = frames;
    forge(changed[1], [](frame_header& h) {
        h.flags = static_cast<std::uint8_t>(h.flags & ~frame_flag::encrypted);
        h.key_slot = 0;
    });
    CHECK(read(changed) == errc::authentication_failed);
    // Frames of the same place in another attempt at the part: its salt is another.
    auto other_salt = some_salt;
    other_salt[0] = std::byte{9};
    auto const again = frames_of(encrypted_part(*made.key, other_salt).content);
    changed = frames;
    changed[2] = again[2];
    CHECK(read(changed) == errc::authentication_failed);
    // And the header with its salt exchanged.
    changed = frames;
    changed[0] = again[0];
    CHECK(read(changed) == errc::authentication_failed);
}

TEST_CASE("no secret is in a manifest", "[backup][encryption]") {
    auto ring = key_ring{sodium_keys};
    ring.add_key(key_number(1));
    good(ring.add_passphrase("a word nobody may see", cheap));
    auto const set = make_set(4);
    auto const text =
        sealed_manifest(good(ring.make(set.manifest.set, aes_256_gcm)), set.manifest).to_json();
    CHECK(text.find("a word nobody") == text.npos);
    CHECK(text.find(detail::hex_text(key_number(1).all())) == text.npos);
}

} // namespace jetpp_test::encryption_cases
