// test/backup/set_proof.cpp - what later drills found stands beside the sets, and nothing else moves.
#include <jetpp/backup.hpp>
#include <jetpp/backup/drill.hpp>
#include <jetpp/backup/set_proof.hpp>
#include <jetpp/restore.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::set_proof_cases {

using namespace jetpp;

using traits = bed<>::traits;
using env_type = bed<>::environment_type;
using sim_engine = engine<sim_policies>;
using sim_env = sim_engine::environment_type;

std::vector<found_proof> proofs_of(env_type env, path_view path = "/repo") {
    auto sets = good(repository<env_type>::open(env, path));
    return good(list_proofs(sets));
}
result<verify_report> verify(env_type env, bool keeps, path_view path = "/repo") {
    auto options = verify_options{};
    options.keeps_proofs = keeps;
    return verify_repository(
        env, path, options, replay_prover<traits>{env, std::string{"/scratch"}}
    );
}

TEST_CASE("a proof is read as it was written, and every other byte is refused", "[backup][proof]") {
    auto proof = set_proof{};
    proof.set = make_uuid(1, 2);
    proof.manifest_hash.fill(std::byte{0x5A});
    proof.time = {1'740'830'400'000'000'000};
    proof.reached = lsn{std::uint64_t{1} << 40};
    proof.pages = 17;
    proof.trees = 3;
    CHECK(proof_file_name(proof).view().ends_with("-20250301T120000Z.json"));
    auto const sealed = good(seal_text(proof.to_json()));
    CHECK(good(parse_proof(sealed)) == std::optional{proof});
    for (std::size_t i = 0; i < sealed.size(); ++i) {
        auto flipped = sealed;
        flipped[i] = static_cast<char>(flipped[i] ^ 1);
        CHECK(code_of(parse_proof(flipped)) == errc::set_damaged);
    }
    // Of a later version: no proof to this one, and no damage.
    auto json = proof.to_json();
    json.replace(json.find("passed"), 6, "better");
    CHECK_FALSE(good(parse_proof(good(seal_text(json)))));
    CHECK(code_of(parse_proof(good(seal_text("{}")))) == errc::set_damaged);
    CHECK(code_of(parse_proof(good(seal_text("[1]")))) == errc::set_damaged);
}

TEST_CASE(
    "verify keeps a proof of each set that it restored, if it is asked to", "[backup][proof]"
) {
    auto b = bed{};
    b.work(300, 1);
    auto const full = good(run_backup_to(b.db, "/repo"));
    b.work(200, 2);
    auto const log = good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
    CHECK(good(verify(b.env, false)).proofs == 0);
    CHECK(proofs_of(b.env).empty());

    auto const report = good(verify(b.env, true));
    CHECK(report.is_good());
    CHECK(report.proofs == 2);
    auto const kept = proofs_of(b.env);
    REQUIRE(kept.size() == 2);
    for (auto const* const set : {&full, &log}) {
        auto const one = std::find_if(kept.begin(), kept.end(), [&](found_proof const& found) {
            return found.proof && found.proof->set == set->set;
        });
        REQUIRE(one != kept.end());
        CHECK(one->proof->manifest_hash == set->manifest_hash);
        CHECK(one->proof->reached == set->end_lsn);
        CHECK(one->proof->trees != 0);
        CHECK((one->proof->pages != 0) == (set == &full));
        auto manifest = backup_manifest{};
        manifest.set = set->set;
        manifest.end_lsn = set->end_lsn;
        CHECK(proved_at(kept, manifest, set->manifest_hash) == one->proof->time);
        // Another manifest of that name was not proved.
        CHECK_FALSE(proved_at(kept, manifest, sha256_digest{}));
    }
    // Proofs belong there: verify finds nothing wrong, and a second one within a second is the same.
    CHECK(good(verify(b.env, true)).is_good());

    // A damaged set gets none, the others do.
    auto sets = good(repository<env_type>::open(b.env, "/repo"));
    auto where = good(sets.open_set(good(file_name::make(log.name))));
    auto entries = array_list<directory_entry>{};
    good(where.list(entries));
    for (auto const& entry : entries) {
        if (!entry.name.view().ends_with(".jbs")) continue;
        auto file = good(where.open(entry.name, {.mode = open_mode::read_write}));
        auto const noise = std::vector<std::byte>(4096, std::byte{0xA5});
        good(write_full(file, noise, 4096));
    }
    auto const damaged = good(verify(b.env, true));
    CHECK_FALSE(damaged.is_good());
    CHECK(damaged.proofs == 1);
}

TEST_CASE("a set by its path is proved in the repository around it", "[backup][proof]") {
    auto b = bed{};
    b.work(200, 1);
    auto const full = good(run_backup_to(b.db, "/repo"));
    auto prover = replay_prover<traits>{b.env, std::string{"/scratch"}};
    auto options = verify_options{};
    options.keeps_proofs = true;
    auto const path = "/repo/sets/" + full.name;
    CHECK(good(verify_set_at(b.env, path, options, prover)).proofs == 1);
    CHECK(proofs_of(b.env).size() == 1);
    // One that was not restored has no proof.
    CHECK(good(verify_set_at(b.env, path, options)).proofs == 0);
    auto source = good(b.env.storage.open_dir(path, directory_how::must_exist));
    auto target = good(b.env.storage.open_dir("/alone", directory_how::create_if_missing));
    auto entries = array_list<directory_entry>{};
    good(source.list(entries));
    for (auto const& entry : entries) {
        auto const content = good(read_file<env_type>(source, entry.name, std::uint64_t{1} << 30));
        auto file = good(target.open(entry.name, {.mode = open_mode::create_new}));
        good(write_full(file, content.all(), 0));
    }
    CHECK(code_of(verify_set_at(b.env, "/alone", options, prover)) == errc::bad_option);
}

TEST_CASE("a proof that was harmed is found, and proves nothing", "[backup][proof]") {
    auto b = bed{};
    b.work(200, 1);
    (void)good(run_backup_to(b.db, "/repo"));
    (void)good(verify(b.env, true));
    auto sets = good(repository<env_type>::open(b.env, "/repo"));
    auto where = good(sets.open_proofs(directory_how::must_exist));
    auto const name = proofs_of(b.env)[0].name;
    {
        auto file = good(where.open(name, {.mode = open_mode::read_write}));
        auto const one = std::vector<std::byte>(1, std::byte{'x'});
        good(write_full(file, one, 30));
    }
    auto const report = good(verify(b.env, false));
    REQUIRE(report.findings.size() == 1);
    CHECK(report.findings[0].file == "proof/" + std::string{name.view()});
    CHECK(report.findings[0].why.code == errc::set_damaged);
    CHECK(report.replayed == 1);
    auto const found = proofs_of(b.env);
    REQUIRE(found.size() == 1);
    CHECK(found[0].problem);
    CHECK_FALSE(proved_at(found, backup_manifest{}, {}));
}

TEST_CASE(
    "where no proof can be kept or read verify tells of the sets all the same", "[backup][proof]"
) {
    auto b = bed{};
    b.work(200, 1);
    auto const full = good(run_backup_to(b.db, "/repo"));
    auto const log = good(run_backup_to(b.db, "/repo", {.kind = backup_kind::incremental}));
    {
        auto root = good(b.env.storage.open_dir("/repo", directory_how::must_exist));
        (void)good(root.open(proofs_directory_name, {.mode = open_mode::create_new}));
        auto set =
            good(b.env.storage.open_dir("/repo/sets/" + log.name, directory_how::must_exist));
        good(set.remove(manifest_file_name));
        auto file = good(set.open(manifest_file_name, {.mode = open_mode::create_new}));
        good(write_full(file, std::vector<std::byte>(100, std::byte{'x'}), 0));
    }
    for (auto const keeps : {false, true}) {
        CAPTURE(keeps);
        auto const report = good(verify(b.env, keeps));
        CHECK(report.sets == 2);
        CHECK(report.replayed == 1);
        CHECK(report.proofs == 0);
        auto of_proofs = 0;
        auto of_sets = 0;
        for (auto const& one : report.findings) {
            if (one.set == log.name) ++of_sets;
            if (one.set.empty() && one.file.starts_with("proof")) ++of_proofs;
        }
        CHECK(of_sets == 1);
        CHECK(of_proofs == (keeps ? 2 : 1));
    }
    CHECK(full.databases == 1);
}

TEST_CASE("a crash while a proof is kept leaves it whole or not there", "[backup][proof][crash]") {
    auto tape = choice_tape{5};
    auto world = simulated_world{tape};
    auto const env = world.environment();
    auto proof = set_proof{};
    world.run([&] {
        auto db = good(sim_engine::open("/db", small_engine, env));
        good(db.attach("main"));
        (void)good(db.put(good(db.open_tree("main", "rows")), "a", "1"));
        auto const set = good(run_backup_to(db, "/repo"));
        proof = {
            .set = set.set, .manifest_hash = set.manifest_hash, .time = {}, .reached = set.end_lsn
        };
        good(std::move(db).close());
    });
    auto const before = world.machine().save();
    auto const keep = [&] {
        auto sets = good(repository<sim_env>::open(env, "/repo"));
        return add_proof(env, sets, proof);
    };
    auto first = std::uint64_t{0};
    auto last = std::uint64_t{0};
    world.run([&] {
        first = world.machine().calls();
        good(keep());
        last = world.machine().calls();
    });
    auto there = 0;
    auto absent = 0;
    for (auto const how : crash_policies)
        for (auto n = std::uint64_t{1}; n <= last - first; ++n) {
            CAPTURE(n, name_of(how));
            world.machine().restore(before);
            world.machine().crash_at(n);
            auto was_told = false;
            world.run([&] {
                auto sets = repository<sim_env>::open(env, "/repo");
                was_told = sets && add_proof(env, sets.value(), proof);
            });
            world.machine().thaw(how);
            world.run([&] {
                auto sets = good(repository<sim_env>::open(env, "/repo"));
                auto const found = good(list_proofs(sets));
                CHECK(found.size() <= 1);
                for (auto const& one : found) CHECK(one.proof == std::optional{proof});
                if (was_told) CHECK(found.size() == 1);
                found.empty() ? ++absent : ++there;
                good(add_proof(env, sets, proof));
                CHECK(good(list_proofs(sets)).size() == 1);
            });
        }
    CHECK(there > 0);
    CHECK(absent > 0);
}

} // namespace jetpp_test::set_proof_cases
