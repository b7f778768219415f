// test/fuzz/targets.hpp - any bytes into every parser of backup sets; no test framework.
//
// A target returns, whatever it is given; what must not be, it ends with ensure(). Checksums keep
// random bytes from ever reaching what lies behind them: so the first byte of an input chooses
// whether they are repaired first, as an adversary would.
#pragma once

#include <jetpp/backup/frame_check.hpp>
#include <jetpp/backup/key_ring.hpp>
#include <jetpp/backup/lz4_codec.hpp>
#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/backup/part_reader.hpp>
#include <jetpp/backup/receive_set.hpp>
#include <jetpp/backup/sealed_text.hpp>
#include <jetpp/backup/stream_source.hpp>
#include <jetpp/backup/zstd_codec.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/env/memory_storage.hpp>
#include <jetpp/env/native_runtime.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace jetpp_test {

using namespace jetpp;

struct bytes_input {
    const_bytes left;
    std::size_t at_most = 4096;
    [[nodiscard]] result<std::size_t> read(bytes into) noexcept {
        auto const n = std::min({into.size(), left.size(), at_most});
        if (n != 0) std::memcpy(into.data(), left.data(), n);
        left = left.subspan(n);
        return n;
    }
};

// The set and the key that the corpora are made with.
inline uuid const fuzz_set = make_uuid(77, 1);
[[nodiscard]] inline secret_key fuzz_secret() {
    auto key = secret_key{};
    std::fill(key.all().begin(), key.all().end(), std::byte{0x5A});
    return key;
}
[[nodiscard]] inline set_access fuzz_access(bool encrypted) {
    auto access = set_access{.codecs = {{&zstd_codec, &lz4_codec}}};
    if (encrypted)
        access.key = std::make_shared<set_key const>(fuzz_set, aes_256_gcm, fuzz_secret(), true);
    return access;
}

// Gives each frame in the bytes its magic, crc and hash, and cuts lengths to what is there.
inline void repair_frames(bytes all) {
    while (all.size() >= frame_header_bytes) {
        auto* const p = all.data();
        using at = detail::frame_at;
        store_le<std::uint32_t>(p, detail::skippable_magic);
        store_le<std::uint32_t>(p + at::size, frame_header_bytes - 8);
        std::memcpy(p + at::magic, detail::frame_magic.data(), detail::frame_magic.size());
        auto const rest = all.size() - frame_header_bytes;
        auto stored = load_le<std::uint32_t>(p + at::stored_bytes);
        if (stored > rest) stored = static_cast<std::uint32_t>(rest);
        store_le<std::uint32_t>(p + at::stored_bytes, stored);
        auto const by_sha = load_le<std::uint16_t>(p + at::hash_id) == 2;
        auto const unit = all.subspan(frame_header_bytes, stored);
        auto const hash =
            jetpp::unit_hash(by_sha ? hash_id::sha_256 : hash_id::xxh3_128, unit).value();
        std::memcpy(p + at::hash, hash.data(), hash.size());
        std::memset(p + at::zero, 0, 28);
        store_le<std::uint32_t>(p + at::crc, detail::frame_crc(p));
        all = all.subspan(frame_header_bytes + stored);
    }
}

// First byte: bit 0 repaired, bit 1 encrypted set, bit 2 single bytes at a time, bit 3 hashed by
// SHA-256. Then a part.
inline void fuzz_part(const_bytes input) {
    if (input.empty()) return;
    auto const how = std::to_integer<unsigned>(input.front());
    auto content = std::vector<std::byte>(input.begin() + 1, input.end());
    if ((how & 1) != 0) repair_frames(content);
    auto const at_most = (how & 4) != 0 ? std::size_t{1} : std::size_t{1} << 20;
    auto const place = part_place{.set = fuzz_set, .part = 0, .file = 0};
    auto in = bytes_input{content, at_most};
    auto access = fuzz_access((how & 2) != 0);
    access.hash = (how & 8) != 0 ? hash_id::sha_256 : hash_id::xxh3_128;
    auto reader = part_reader<bytes_input>::open(in, place, access);
    if (reader) {
        auto last = std::uint64_t{0};
        for (;;) {
            auto const run = reader.value().next();
            if (!run || !run.value()) break;
            auto const& r = *run.value();
            ensure(r.first >= last && r.end > r.first, "runs ascend");
            ensure(r.raw.size() <= frame_raw_max, "a run keeps its cap");
            last = r.end;
        }
        ensure(reader.value().read_bytes() <= content.size(), "no byte is read twice");
    }
    auto again = bytes_input{content, at_most};
    (void)check_frames(again, place, access.hash, {}, [](std::uint64_t) -> result<void> {
        return ok();
    });
}

// What a manifest that was believed has promised.
inline void check_believed(backup_manifest const& m) {
    for (std::size_t i = 0; i < m.parts.size(); ++i) {
        ensure(m.parts[i].number == i, "parts are numbered");
        ensure(file_name::make(m.parts[i].name).has_value(), "no part lies outside its set");
    }
    for (auto const& one : m.databases)
        ensure(database_file_name(one.name).has_value(), "no database lies outside its directory");
    ensure(m.begin_lsn < m.end_lsn, "a set begins before it ends");
    ensure(m.key_slots.size() <= key_slots_max, "key slots are few");
}

// First byte: bit 0 the rest is JSON and is sealed here.
inline void fuzz_manifest(const_bytes input) {
    if (input.empty()) return;
    auto text = std::string{as_text(input.subspan(1))};
    if ((std::to_integer<unsigned>(input.front()) & 1) != 0) {
        auto sealed = seal_text(text);
        if (!sealed) return;
        text = std::move(sealed).value();
    }
    auto const got = parse_manifest(text);
    if (!got) return;
    check_believed(got.value().manifest);
    // What it says can be said again.
    auto const again = seal_text(got.value().manifest.to_json());
    ensure(again.has_value(), "a manifest that was read can be written");
    auto const back = parse_manifest(again.value());
    ensure(
        back.has_value() && back.value().manifest == got.value().manifest,
        "and is the same when it is read again"
    );
}

// First byte: bit 0 repaired. Then a stream, which is received into a repository in memory.
inline void fuzz_stream(const_bytes input) {
    if (input.empty()) return;
    using env_type = environment<memory_storage, native_runtime>;
    auto content = std::vector<std::byte>(input.begin() + 1, input.end());
    if ((std::to_integer<unsigned>(input.front()) & 1) != 0) repair_frames(content);
    auto const env = env_type{};
    auto storage = env.storage;
    auto repo = repository<env_type>::open_or_create(env, "/place/repo");
    ensure(repo.has_value(), "a repository in memory is made");
    auto in = bytes_input{content, std::size_t{1} << 20};
    auto const got = receive_set(env, in, repo.value());
    auto const sets = repo.value().list();
    ensure(sets.has_value(), "a repository in memory is listed");
    ensure(sets.value().size() == (got ? 1U : 0U), "a refused stream leaves nothing");
    if (got) check_believed(got.value().manifest.manifest);
    // Nothing stands outside of the set.
    auto outside = storage.open_dir("/place", directory_how::must_exist);
    auto entries = array_list<directory_entry>{};
    ensure(outside && outside.value().list(entries) && entries.size() == 1, "only the repository");
}

inline constexpr std::size_t fuzz_guard_bytes = 4096;

// First four bytes: codec and the size that is claimed. Then a stored unit.
inline void fuzz_unit(const_bytes input) {
    if (input.size() < 4) return;
    auto const word = load_le<std::uint32_t>(input.data());
    auto const unit =
        input.subspan(4).first(std::min(input.size() - 4, std::size_t{frame_stored_max}));
    auto const size = std::size_t{(word >> 2) % frame_raw_max + 1};
    // Made once: a MiB for every input would be all that the hours are spent on.
    static auto const zstd = zstd_codec.create(3).value();
    static auto const lz4 = lz4_codec.create(0).value();
    static auto memory = std::vector<std::byte>(std::size_t{frame_raw_max} + fuzz_guard_bytes);
    auto const content = bytes{memory}.first(size);
    auto const guard = bytes{memory}.subspan(size, fuzz_guard_bytes);
    std::fill(guard.begin(), guard.end(), std::byte{0xAB});
    switch (word & 3) {
    case 0: (void)decode_raw_unit(unit, content); break;
    case 1: (void)zstd->decode(unit, content); break;
    case 2: (void)lz4->decode(unit, content); break;
    default: (void)decode_wrapped_unit(unit); break;
    }
    for (auto const one : guard)
        ensure(one == std::byte{0xAB}, "a decoder stays within what was claimed");
}

namespace detail {

// Instead of Argon2: what it costs is not the question here, but that it is never asked too much.
[[nodiscard]] inline result<void> fuzz_stretch(
    const_bytes passphrase, const_bytes salt, kdf_cost cost, bytes out
) noexcept {
    ensure(cost.memory_bytes <= kdf_memory_max, "the memory of a key derivation is capped");
    ensure(cost.passes <= kdf_passes_max, "the passes of a key derivation are capped");
    return hkdf_sha256(passphrase, salt, {}, out);
}

} // namespace detail

// First byte: bit 0 sealed here. The rest: the manifest of an encrypted set, to be unlocked.
inline void fuzz_keys(const_bytes input) {
    if (input.empty()) return;
    auto text = std::string{as_text(input.subspan(1))};
    if ((std::to_integer<unsigned>(input.front()) & 1) != 0) {
        auto sealed = seal_text(text);
        if (!sealed) return;
        text = std::move(sealed).value();
    }
    auto const got = parse_manifest(text);
    if (!got || !got.value().manifest.is_encrypted()) return;
    auto ring = key_ring{key_library{.argon2id = &detail::fuzz_stretch}};
    ring.add_key(fuzz_secret());
    ensure(ring.add_passphrase("fuzz").has_value(), "a passphrase is taken");
    auto const key = ring.unlock(got.value().manifest);
    if (key) ensure(key.value()->set() == got.value().manifest.set, "a key is of its set");
}

} // namespace jetpp_test
