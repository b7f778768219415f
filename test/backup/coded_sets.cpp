// test/backup/coded_sets.cpp - sets that are compressed: written by an engine, verified, restored.
#include <jetpp/backup/lz4_codec.hpp>
#include <jetpp/backup/run_backup.hpp>
#include <jetpp/backup/zstd_codec.hpp>

#include <string>

#include "bed.hpp"

using namespace jetpp_test;

namespace {

constexpr auto both = codec_list{{&zstd_codec, &lz4_codec}};

} // namespace

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
        CHECK(
            code_of(run_restore<bed<>::traits>(b.env, where, target)) == errc::unsupported
        );
        (void)good(run_restore<bed<>::traits>(b.env, where, target, {}, {.access = {both}}));
        expect_rows(b.env, target, b.expected);
    }
}

TEST_CASE("a level that the codec does not know ends a backup before it begins", "[backup][codec]") {
    auto b = bed{};
    auto sink = memory_sink{};
    CHECK(
        code_of(run_in_place(b.store(), sink, {.codec = {&zstd_codec, 99}})) == errc::unsupported
    );
    CHECK(sink.files().empty());
}
