// test/backup/coded_sets.cpp - sets compressed, encrypted, streamed: written by an engine, verified,
// restored.
#include <jetpp/backup/lz4_codec.hpp>
#include <jetpp/backup/receive_set.hpp>
#include <jetpp/backup/run_backup.hpp>
#include <jetpp/backup/sodium.hpp>
#include <jetpp/backup/stream_sink.hpp>
#include <jetpp/backup/tee_sink.hpp>
#include <jetpp/backup/zstd_codec.hpp>

#include <string>

#include "bed.hpp"
#include "memory_part.hpp"

namespace jetpp_test::coded_sets_cases {

using namespace jetpp;

constexpr auto both = codec_list{{&zstd_codec, &lz4_codec}};

TEST_CASE("a set of either codec restores, and is smaller", "[backup][codec]") {
    auto b = bed{};
    b.work(3000, 11);
    auto const plain = good(run_backup_to(b.db, "/plain"));
    for (auto const* kind : {&zstd_codec, &lz4_codec}) {
        CAPTURE(kind->name);
        auto const where = "/" + std::string{kind->name};
        auto const done = good(run_backup_to(b.db, where, {.codec = {kind}}));
        CHECK(done.stored_bytes < plain.stored_bytes / 2);
        auto sets = good(repository<bed<>::environment_type>::open(b.env, where));
        auto const known = good(list_sets(sets));
        REQUIRE(known.size() == 1);
        CHECK(known[0].manifest.codec == codec_choice{kind}.text());

        auto report = good(verify_repository(b.env, where, {.access = {both}}));
        CHECK(report.is_good());
        CHECK(report.pages > 0);
        // A program without the codec says so, and writes nothing.
        report = good(verify_repository(b.env, where));
        REQUIRE(report.findings.size() == 1);
        CHECK(report.findings[0].why.code == errc::unsupported);
        auto const target = where + "-restored";
        CHECK(code_of(run_restore<bed<>::traits>(b.env, where, target)) == errc::unsupported);
        (void)good(run_restore<bed<>::traits>(b.env, where, target, {}, {.access = {both}}));
        expect_rows(b.env, target, b.expected);
    }
}

TEST_CASE(
    "a level that the codec does not know ends a backup before it begins", "[backup][codec]"
) {
    auto b = bed{};
    auto sink = memory_sink{};
    CHECK(
        code_of(run_in_place(b.store(), sink, {.codec = {&zstd_codec, 99}})) == errc::unsupported
    );
    CHECK(sink.files().empty());
}

TEST_CASE("a tag that no reader would take ends a backup before it begins", "[backup]") {
    auto b = bed{};
    auto const text = std::string(backup_options::tag_bytes_max, 't');
    CHECK(code_of(run_backup_to(b.db, "/repo", {.tag = text + "t"})) == errc::invalid_argument);
    CHECK(code_of(run_backup_to(b.db, "/repo", {.tag = "\xff"})) == errc::invalid_argument);
    (void)good(run_backup_to(b.db, "/repo", {.tag = text}));
    auto sets = good(repository<bed<>::environment_type>::open(b.env, "/repo"));
    auto const known = good(list_sets(sets));
    REQUIRE(known.size() == 1);
    CHECK_FALSE(known[0].problem);
    CHECK(known[0].manifest.tag == text);
}

TEST_CASE(
    "an encrypted set restores with its key, and is refused without", "[backup][encryption]"
) {
    auto b = bed{};
    b.work(3000, 12);
    auto keys = key_ring{sodium_keys};
    good(keys.add_passphrase("for tests", {.memory_bytes = 8192, .passes = 1}));
    keys.know(xchacha20_poly1305);
    auto stranger = key_ring{sodium_keys};
    stranger.know(xchacha20_poly1305);
    good(stranger.add_passphrase("another"));
    for (auto const* cipher : {&aes_256_gcm, &xchacha20_poly1305}) {
        auto const where = "/" + std::string{cipher->name};
        auto const options = backup_options{.codec = {&zstd_codec}, .encryption = {cipher, &keys}};
        auto const done = good(run_backup_to(b.db, where, options));
        CHECK(done.kind == backup_kind::full);
        CHECK(done.has_author);
        auto const with = [&](key_ring const* ring) {
            return set_access{.codecs = both, .keys = ring};
        };
        auto report = good(verify_repository(b.env, where, {.access = with(&keys)}));
        CHECK(report.is_good());
        CHECK(report.pages > 0);
        CHECK(report.sealed_sets == 0);
        CHECK(report.authenticated == 1);
        // Frames can be checked without a key, and the report says that it was no more than that.
        report = good(verify_repository(b.env, where));
        CHECK(report.is_good());
        CHECK(report.partial);
        CHECK(report.sealed_sets == 1);
        CHECK(report.authenticated == 0);
        CHECK(report.pages == 0);
        report = good(verify_repository(b.env, where, {.access = with(&stranger)}));
        REQUIRE(report.findings.size() == 1);
        CHECK(report.findings[0].why.code == errc::wrong_key);

        auto const target = where + "-restored";
        CHECK(code_of(run_restore<bed<>::traits>(b.env, where, target)) != errc::none);
        CHECK(
            code_of(
                run_restore<bed<>::traits>(b.env, where, target, {}, {.access = with(&stranger)})
            ) == errc::wrong_key
        );
        auto const back =
            good(run_restore<bed<>::traits>(b.env, where, target, {}, {.access = with(&keys)}));
        CHECK(back.sets == 1);
        CHECK(back.authenticated == 1);
        expect_rows(b.env, target, b.expected);
    }
}

TEST_CASE(
    "a restore says of how many of its sets a key says who wrote them", "[backup][encryption]"
) {
    auto b = bed{};
    b.work(1000, 15);
    auto keys = key_ring{};
    auto key = secret_key{};
    key.all()[0] = std::byte{1};
    keys.add_key(key);
    auto const plain = good(run_backup_to(b.db, "/repo"));
    CHECK_FALSE(plain.has_author);
    b.work(500, 16);
    auto const options =
        backup_options{.kind = backup_kind::incremental, .encryption = {&aes_256_gcm, &keys}};
    CHECK(good(run_backup_to(b.db, "/repo", options)).has_author);
    auto how = restore_options{.access = {.keys = &keys}};
    auto const both_sets = good(run_restore<bed<>::traits>(b.env, {"/repo"}, "/both", how));
    CHECK(both_sets.sets == 2);
    CHECK(both_sets.authenticated == 1);
    how.set = text_of(plain.set);
    auto const first = good(run_restore<bed<>::traits>(b.env, {"/repo"}, "/first", how));
    CHECK(first.sets == 1);
    CHECK(first.authenticated == 0);
}

TEST_CASE(
    "a set that went through a stream restores; a tee keeps it in two places", "[backup][stream]"
) {
    auto b = bed{};
    b.work(3000, 13);
    auto const env = b.env;
    auto out = memory_output{};
    auto sent = stream_sink{out};
    auto here = good(repository<bed<>::environment_type>::open_or_create(env, "/here"));
    auto kept = good(directory_sink<bed<>::environment_type>::create(env, here));
    auto tee = tee_sink{kept, sent};
    auto const done = good(run_in_place(b.store(), tee, {.codec = {&lz4_codec}}));
    // As durable as its weakest branch: nothing relies on the set.
    CHECK(done.receipt == backup_receipt::handed_over);
    CHECK(done.kind == backup_kind::copy);
    CHECK(b.store().databases()[0].file->header().mark(mark_kind::full).set.is_nil());

    auto there = good(repository<bed<>::environment_type>::open_or_create(env, "/there"));
    auto in = memory_input{out.content};
    auto const got = good(receive_set(env, in, there));
    CHECK(got.bytes == out.content.size());
    CHECK(got.manifest.hash == done.manifest_hash);
    for (auto const* repo : {"/here", "/there"}) {
        CHECK(good(verify_repository(env, repo, {.access = {both}})).is_good());
        auto const target = std::string{repo} + "-restored";
        (void)good(run_restore<bed<>::traits>(env, repo, target, {}, {.access = {both}}));
        expect_rows(env, target, b.expected);
    }
}

// Takes so many bytes, then fails.
struct short_output {
    std::size_t left;
    [[nodiscard]] result<void> write(const_bytes content) {
        if (content.size() > left) return error{.code = errc::io};
        left -= content.size();
        return ok();
    }
};

TEST_CASE("a branch that fails ends a tee, and nothing stays in the others", "[backup][stream]") {
    auto b = bed{};
    b.work(1000, 14);
    for (auto const room : {std::size_t{0}, std::size_t{50'000}, std::size_t{400'000}}) {
        auto out = short_output{room};
        auto sent = stream_sink{out};
        auto here = good(repository<bed<>::environment_type>::open_or_create(b.env, "/here"));
        auto kept = good(directory_sink<bed<>::environment_type>::create(b.env, here));
        auto tee = tee_sink{kept, sent};
        CHECK(code_of(run_in_place(b.store(), tee, {})) == errc::io);
        CHECK(good(here.list()).empty());
    }
}

} // namespace jetpp_test::coded_sets_cases
