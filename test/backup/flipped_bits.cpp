// test/backup/flipped_bits.cpp - one bit of one file of a repository is wrong: it is found and named,
// and what is restored is right, or nothing is.
#include <jetpp/backup.hpp>
#include <jetpp/backup/aead.hpp>
#include <jetpp/backup/drill.hpp>
#include <jetpp/backup/zstd_codec.hpp>
#include <jetpp/restore.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::flipped_bits_cases {

using namespace jetpp;

using traits = bed<>::traits;
using env_type = bed<>::environment_type;

// Every file below a directory, by directory and name.
struct place {
    std::string directory;
    file_name name;
    std::uint64_t bytes{};
    [[nodiscard]] std::string path() const { return directory + "/" + std::string{name.view()}; }
};
void collect(env_type env, std::string const& path, std::vector<place>& into) {
    auto where = good(env.storage.open_dir(path, directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(where.list(entries));
    for (auto const& entry : entries) {
        if (entry.kind == entry_kind::directory) {
            collect(env, path + "/" + std::string{entry.name.view()}, into);
            continue;
        }
        auto file =
            good(where.open(entry.name, {.mode = open_mode::read_only, .io = io_mode::buffered}));
        into.push_back({path, entry.name, good(file.size())});
    }
}
void flip(env_type env, place const& at, std::uint64_t bit) {
    auto where = good(env.storage.open_dir(at.directory, directory_how::must_exist));
    auto file = good(where.open(at.name, {.mode = open_mode::read_write, .io = io_mode::buffered}));
    auto one = std::array<std::byte, 1>{};
    good(read_full(file, one, bit / 8));
    one[0] ^= std::byte{1} << (bit % 8);
    good(write_full(file, one, bit / 8));
}
// Bits of [0, bits), spread evenly: as many as the budget allows, or all.
std::vector<std::uint64_t> some_of(
    std::uint64_t from, std::uint64_t to, std::uint64_t tries, std::mt19937_64& random
) {
    auto chosen = std::vector<std::uint64_t>{};
    auto const step = std::max<std::uint64_t>(1, (to - from) / tries);
    for (auto at = from; at < to; at += step)
        chosen.push_back(std::min(to - 1, at + random() % step));
    return chosen;
}

TEST_CASE("a bit that is wrong in any file of a repository is found and named", "[backup][flip]") {
    auto keys = key_ring{};
    auto key = secret_key{};
    std::fill(key.all().begin(), key.all().end(), std::byte{7});
    keys.add_key(key);
    auto const access = set_access{.codecs = {{&zstd_codec}}, .keys = &keys};
    auto b = bed{};
    auto const env = b.env;
    b.work(120, 1);
    auto moments = std::map<std::string, model>{}; // what each set ends with
    auto const full = good(run_backup_to(b.db, "/repo"));
    moments[text_of(full.set)] = b.expected;
    b.work(60, 2);
    auto sealed = backup_options{.kind = backup_kind::pages, .codec = {&zstd_codec}};
    sealed.encryption = {.cipher = &aes_256_gcm, .keys = &keys};
    {
        auto sets = good(repository<env_type>::open(env, "/repo"));
        auto called = file_name{};
        auto set = good(sets.open_set(called.add(full.name)));
        auto const base = good(manifest_of<env_type>(set));
        sealed.base = backup_base{base.manifest, base.hash};
    }
    moments[text_of(good(run_backup_to(b.db, "/repo", sealed)).set)] = b.expected;
    b.work(60, 3);
    auto const newest = good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental})).set;
    moments[text_of(newest)] = b.expected;
    good(std::move(b.db).close());
    auto const verify = [&](bool keeps = false) {
        auto options = verify_options{.access = access};
        options.keeps_proofs = keeps;
        if (!keeps) return verify_repository(env, "/repo", options);
        return verify_repository(
            env, "/repo", options, replay_prover<traits>{env, std::string{"/scratch"}}
        );
    };
    REQUIRE(good(verify(true)).proofs == 3);
    REQUIRE(good(verify()).is_good());
    auto files = std::vector<place>{};
    collect(env, "/repo", files);
    REQUIRE(files.size() == 12); // manifests, five parts, proofs, jetpp.repo

    auto random = std::mt19937_64{9};
    auto flips = 0;
    auto refused = 0;
    auto right = 0;
    auto older = 0;
    for (auto const& file : files) {
        if (file.bytes == 0) continue; // of locks
        auto const of_set = file.directory.starts_with("/repo/sets/");
        auto const set = of_set ? file.directory.substr(11) : std::string{};
        auto const bits = file.bytes * 8;
        // Heads and tails of a file are denser in meaning than what is between.
        auto chosen = some_of(0, bits, rounds(6), random);
        auto const edge = std::min<std::uint64_t>(bits, 128 * 8);
        for (auto const& [from, to] :
             {std::pair{std::uint64_t{0}, edge}, std::pair{bits - edge, bits}})
            for (auto const bit : some_of(from, to, rounds(2), random)) chosen.push_back(bit);
        // Sealed texts end with a hash in lowercase: capitals are no hash.
        if (file.bytes > 65 && file.name.view().ends_with(".json"))
            for (auto const byte : some_of(file.bytes - 65, file.bytes - 1, rounds(4), random))
                chosen.push_back(byte * 8 + 5);
        for (auto const bit : chosen) {
            auto const at = file.path();
            CAPTURE(at, bit, file.bytes);
            flip(env, file, bit);
            ++flips;
            auto const report = verify();
            // Without a repository there is nothing to report of: the error says so.
            auto named = false;
            auto said = std::string{};
            if (report) {
                for (auto const& one : report.value().findings) {
                    said += one.set + "/" + one.file + ": " + describe(one.why).c_str() + "; ";
                    named = named || (of_set ? one.set == set : at.ends_with(one.file));
                }
            } else {
                said = describe(report.error()).c_str();
                named = !of_set;
            }
            if (!named) FAIL("not found or not named: " + said);
            auto const target = "/restored-" + std::to_string(flips);
            auto const done = run_restore<traits>(env, {"/repo"}, target, {.access = access});
            if (done) {
                ++right;
                auto how = small_engine;
                how.create = create_how::must_exist;
                auto db = engine<bed_policies>::open(target, how, env);
                if (!db) FAIL(describe(db.error()).c_str());
                if (rows_of(db.value(), "main", "rows") != moments[text_of(done.value().set)])
                    FAIL("other rows than those of the set it tells");
                // Not the newest, where that one has no manifest any more: and that is said.
                if (done.value().set != newest) {
                    ++older;
                    CHECK_FALSE(done.value().passed_over.empty());
                }
                good(std::move(db).value().close());
            } else {
                ++refused;
            }
            flip(env, file, bit);
        }
    }
    CHECK(good(verify()).is_good());
    CHECK(refused > 0);
    CHECK(right > older);
}

} // namespace jetpp_test::flipped_bits_cases
