// test/backup/set_log.cpp - the log of a set, read without restoring anything.
#include <jetpp/backup.hpp>
#include <jetpp/restore.hpp>

#include <array>
#include <string>
#include <vector>

#include "../recovery/changes_bed.hpp"
#include "bed.hpp"

namespace jetpp_test::set_log_cases {

using namespace jetpp;

using env_type = bed<>::environment_type;

struct one_set {
    typename env_type::directory where;
    backup_manifest manifest;
};
one_set set_in(env_type env) {
    auto sets = good(repository<env_type>::open(env, "/repo"));
    auto const known = good(list_sets(sets));
    REQUIRE(known.size() == 1);
    return {good(sets.open_set(known[0].name)), known[0].manifest};
}
file_name log_part_of(backup_manifest const& manifest) {
    for (auto const& part : manifest.parts)
        if (part.content == part_content::log) return good(file_name::make(part.name));
    FAIL("a set has a log part");
    return {};
}

// Transactions over several segments, some of them open while the set is taken.
struct busy_bed : bed<> {
    busy_bed() : bed<>{{}, roomy()} {
        work(3000, 1);
        for (auto i = 0; i < 2; ++i) good(db.checkpoint());
        auto open = good(db.begin());
        good(open.put(rows, "across", "began before the backup"));
        work(60, 2);
        (void)good(run_backup_to(db, "/repo"));
        work(40, 3);
        (void)good(std::move(open).commit(durability::memory));
        work(1500, 4);
        good(std::move(db).close());
    }
    // History enough for a transaction that stays open over hundreds of others.
    static open_options roomy() {
        auto options = small_engine;
        options.version_bytes = 32 << 20;
        return options;
    }
};

TEST_CASE("the changes in the log of a set are those of the live log", "[backup][changes]") {
    auto b = busy_bed{};
    auto live = good(b.env.storage.open_dir("/db", directory_how::must_exist));
    auto changes = good(read_changes(b.env, live));
    auto const all = drain(changes);
    REQUIRE(all.last == change_step::end);

    auto set = set_in(b.env);
    auto records = good(set_log<env_type>::open(set.where, set.manifest));
    REQUIRE(good(records.next()) == log_step::record);
    auto const first = records.record().at;
    CHECK(first <= set.manifest.log_start);

    auto of_set = good(changes_of_set<env_type>(set.where, set.manifest));
    // The tree may be older than the set's log; whoever reads on knows it by then.
    good(of_set.collector().name_tree(database_id{1}, b.rows.id(), "rows"));
    auto const got = drain(of_set);
    REQUIRE(got.last == change_step::end);

    auto expected = std::vector<std::string>{};
    auto whole = true;
    for (std::size_t i = 0; i < all.texts.size(); ++i) {
        if (all.commits[i] >= set.manifest.end_lsn || all.commits[i] < first) continue;
        auto const began = lsn{std::stoull(all.texts[i])};
        if (began < first)
            whole = false;
        else
            expected.push_back(all.texts[i]);
    }
    CHECK(expected.size() > 50);
    CHECK(expected.size() < 1000);
    CHECK(got.texts == expected);
    CHECK((of_set.skipped() == 0) == whole);
    CHECK(got.commits.back() == set.manifest.last_commit);

    // A token of the live log goes on in the set, and one of the set in the live log.
    for (auto const part : {std::size_t{3}, std::size_t{2}}) {
        auto const i = got.tokens.size() / part;
        auto const token = got.tokens[i];
        auto resumed =
            good(changes_of_set<env_type>(set.where, set.manifest, {.after = token, .filter = {}}));
        CHECK(drain(resumed).tokens.size() == got.tokens.size() - i - 1);
        auto on = good(read_changes(b.env, live, {.after = token, .filter = {}}));
        auto const rest = drain(on);
        REQUIRE(rest.last == change_step::end);
        CHECK(rest.tokens.back() == all.tokens.back());
        CHECK(rest.tokens[0] == got.tokens[i + 1]);
    }
    auto too_old = good(changes_of_set<env_type>(
        set.where, set.manifest, {.after = all.tokens.front(), .filter = {}}
    ));
    CHECK(drain(too_old).why.code == errc::log_gap);
}

TEST_CASE("no flipped bit in a set's log is read as another history", "[backup][changes]") {
    auto b = busy_bed{};
    auto set = set_in(b.env);
    auto whole = good(changes_of_set<env_type>(set.where, set.manifest));
    auto const all = drain(whole);
    auto const name = log_part_of(set.manifest);
    auto file = good(set.where.open(name, {.mode = open_mode::read_write}));
    auto const size = good(file.size());
    auto random = std::mt19937{5};
    for (auto i = 0; i < 60; ++i) {
        auto const at = random() % size;
        auto one = std::array<std::byte, 1>{};
        good(read_full(file, one, at));
        auto const mask = std::byte{static_cast<unsigned char>(1U << random() % 8)};
        one[0] ^= mask;
        good(write_full(file, one, at));
        INFO("byte " << at);
        auto opened = changes_of_set<env_type>(set.where, set.manifest);
        REQUIRE(opened);
        auto const got = drain(opened.assume_value());
        CHECK(got.why.code != errc::none);
        auto const n = got.texts.size();
        REQUIRE(n <= all.texts.size());
        CHECK(std::equal(got.texts.begin(), got.texts.end(), all.texts.begin()));
        one[0] ^= mask;
        good(write_full(file, one, at));
    }
    good(file.truncate(size / 2));
    auto cut = good(changes_of_set<env_type>(set.where, set.manifest));
    CHECK(drain(cut).why.code == errc::set_damaged);
}

} // namespace jetpp_test::set_log_cases
