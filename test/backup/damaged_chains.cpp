// test/backup/damaged_chains.cpp - sets that are not what they were: named before anything is
// published, passed over where there is another way, and verify and restore agree.
#include <jetpp/backup.hpp>
#include <jetpp/restore.hpp>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"

namespace jetpp_test::damaged_chains_cases {

using namespace jetpp;

using traits = bed<>::traits;
using env_type = bed<>::environment_type;

file_name name_of_text(std::string const& text) {
    auto made = file_name{};
    made.add(text);
    return made;
}

// Full, incremental, pages over the full, incremental: a chain that needs all kinds of reading.
struct chained_bed : bed<> {
    std::vector<backup_report> sets{};
    std::vector<model> states{};

    chained_bed() : bed<>{} {
        work(700, 1);
        take({.kind = backup_kind::full});
        work(150, 2);
        take({.kind = backup_kind::incremental});
        work(150, 3);
        auto where = set_directory(0);
        auto const base = good(manifest_of<env_type>(where));
        take({.kind = backup_kind::pages, .base = backup_base{base.manifest, base.hash}});
        work(150, 4);
        take({.kind = backup_kind::incremental});
    }
    void take(backup_options const& options) {
        sets.push_back(good(run_backup_to(db, "/repo", options)));
        states.push_back(expected);
    }
    [[nodiscard]] env_type::directory set_directory(std::size_t i) {
        auto repo = good(repository<env_type>::open(env, "/repo"));
        return good(repo.open_set(name_of_text(sets[i].name)));
    }
    [[nodiscard]] std::string set_path(std::size_t i) const { return "/repo/sets/" + sets[i].name; }
    // Back to the end of that set.
    [[nodiscard]] result<restore_report> restore(
        std::size_t i, std::initializer_list<path_view> sources = {"/repo"}
    ) {
        auto how = restore_options{};
        how.set = text_of(sets[i].set);
        return run_restore<traits>(env, sources, "/at", how);
    }
    void expect_state(std::size_t i) {
        auto options = small_engine;
        options.create = create_how::must_exist;
        expect_rows(env, "/at", states[i], options);
        wipe("/at");
    }
    void wipe(path_view path) {
        auto where = good(env.storage.open_dir(path, directory_how::must_exist));
        auto entries = array_list<directory_entry>{};
        good(where.list(entries));
        for (auto const& entry : entries)
            if (entry.kind == entry_kind::file) good(where.remove(entry.name));
    }
    [[nodiscard]] verify_report verify(path_view repo = "/repo") {
        return good(
            verify_repository(env, repo, {}, replay_prover<traits>{env, std::string{"/scratch"}})
        );
    }
};

std::vector<file_name> files_of(env_type::directory& where) {
    auto entries = array_list<directory_entry>{};
    good(where.list(entries));
    auto names = std::vector<file_name>{};
    for (auto const& entry : entries)
        if (entry.kind == entry_kind::file) names.push_back(entry.name);
    std::sort(names.begin(), names.end());
    return names;
}
std::vector<std::byte> content_of(env_type::directory& where, file_name const& name) {
    auto const content = good(read_file<env_type>(where, name, std::uint64_t{1} << 30));
    return {content.all().begin(), content.all().end()};
}
void replace(
    env_type::directory& where, file_name const& name, std::vector<std::byte> const& content
) {
    good(where.remove(name));
    auto file = good(where.open(name, {.mode = open_mode::create_new}));
    if (!content.empty()) good(write_full(file, content, 0));
}
void copy_directory(env_type env, std::string const& from, std::string const& to) {
    auto source = good(env.storage.open_dir(from, directory_how::must_exist));
    auto target = good(env.storage.open_dir(to, directory_how::create_if_missing));
    auto entries = array_list<directory_entry>{};
    good(source.list(entries));
    for (auto const& entry : entries) {
        if (entry.kind == entry_kind::directory) {
            auto const name = std::string{entry.name.view()};
            copy_directory(env, from + "/" + name, to + "/" + name);
            continue;
        }
        auto const content = content_of(source, entry.name);
        auto file = good(target.open(entry.name, {.mode = open_mode::create_new}));
        if (!content.empty()) good(write_full(file, content, 0));
    }
}

TEST_CASE("verify restores every set of a repository and walks its trees", "[backup][verify]") {
    auto b = chained_bed{};
    auto const report = b.verify();
    CHECK(report.is_good());
    CHECK_FALSE(report.partial);
    CHECK(report.sets == 4);
    CHECK(report.replayed == 4);
    CHECK(
        report.rows ==
        b.states[0].size() + b.states[1].size() + b.states[2].size() + b.states[3].size()
    );
    // Nothing of it stays.
    auto scratch = good(b.env.storage.open_dir("/scratch", directory_how::must_exist));
    auto entries = array_list<directory_entry>{};
    good(scratch.list(entries));
    CHECK(entries.empty());
    // A set alone finds its base in the repository around it; a copy of it elsewhere does not.
    auto prover = replay_prover<traits>{b.env, std::string{"/scratch"}};
    auto alone = good(verify_set_at(b.env, b.set_path(3), {}, prover));
    CHECK(alone.is_good());
    CHECK(alone.replayed == 1);
    copy_directory(b.env, b.set_path(3), "/alone");
    alone = good(verify_set_at(b.env, "/alone", {}, prover));
    CHECK(alone.is_good());
    CHECK(alone.partial);
}

TEST_CASE("every set of the chain restores, from one source or several", "[backup][chains]") {
    auto b = chained_bed{};
    for (std::size_t i = 0; i < b.sets.size(); ++i) {
        CAPTURE(i);
        (void)good(b.restore(i));
        b.expect_state(i);
    }
    // Sets lying about in directories of their own.
    auto const done = good(b.restore(3, {b.set_path(0), b.set_path(3), b.set_path(2)}));
    CHECK(done.page_sets == 2);
    b.expect_state(3);
    CHECK(code_of(b.restore(3, {b.set_path(3), b.set_path(2)})) == errc::base_not_here);
    CHECK(code_of(b.restore(3, {b.set_path(3), b.set_path(1)})) == errc::base_not_here);
    CHECK(code_of(b.restore(3, {b.set_path(0), b.set_path(3)})) == errc::log_gap);
}

TEST_CASE("verify and restore agree about every damage", "[backup][verify]") {
    auto b = chained_bed{};
    good(std::move(b.db).close());
    auto random = std::mt19937{11};
    auto refused = 0;
    auto right = 0;
    auto const mutations = rounds(60);
    for (std::uint64_t round = 0; round < mutations; ++round) {
        auto const victim = random() % b.sets.size();
        auto where = b.set_directory(victim);
        auto const names = files_of(where);
        auto const& name = names[random() % names.size()];
        auto const before = content_of(where, name);
        auto after = before;
        auto const kind = random() % 4;
        if (kind == 0) { // a flip
            after[random() % after.size()] ^= std::byte{1} << (random() % 8);
        } else if (kind == 1) { // cut short
            after.resize(random() % after.size());
        } else if (kind == 2) { // a frame, or something like it, is gone
            auto const at = random() % after.size();
            auto const count = std::min<std::size_t>(after.size() - at, 160 + random() % 5000);
            after.erase(
                after.begin() + static_cast<std::ptrdiff_t>(at),
                after.begin() + static_cast<std::ptrdiff_t>(at + count)
            );
        } else { // of another set
            auto other = b.set_directory((victim + 1 + random() % 3) % b.sets.size());
            auto const theirs = files_of(other);
            after = content_of(other, theirs[random() % theirs.size()]);
        }
        if (after == before) continue;
        CAPTURE(round, victim, kind, name.view());
        replace(where, name, after);
        auto const report = b.verify();
        CHECK_FALSE(report.is_good());
        for (std::size_t i = 0; i < b.sets.size(); ++i) {
            auto const done = b.restore(i);
            if (done) {
                b.expect_state(i);
                ++right;
                continue;
            }
            ++refused;
            // Nothing was published.
            auto target = good(b.env.storage.open_dir("/at", directory_how::create_if_missing));
            auto const left = files_of(target);
            CHECK(std::all_of(left.begin(), left.end(), [](file_name const& one) {
                return one == lock_file_name;
            }));
        }
        replace(where, name, before);
    }
    CHECK(refused > 20);
    CHECK(right > 20);
    CHECK(b.verify().is_good());
}

TEST_CASE("what of a set is damaged is read where another copy of it lies", "[backup][chains]") {
    auto b = chained_bed{};
    copy_directory(b.env, "/repo", "/mirror");
    for (auto const victim : {std::size_t{0}, std::size_t{2}, std::size_t{3}}) {
        CAPTURE(victim);
        auto where = b.set_directory(victim);
        auto const names = files_of(where);
        auto const part = names[1];
        auto const before = content_of(where, part);
        auto after = before;
        after[after.size() / 2] ^= std::byte{4};
        replace(where, part, after);
        // Without the mirror there is no way, but round the delta.
        auto const alone = b.restore(3);
        CHECK(alone.has_value() == (victim == 2));
        b.wipe("/at");
        auto const done = good(b.restore(3, {"/repo", "/mirror"}));
        CHECK(done.passed_over.empty());
        REQUIRE(done.replaced.size() == 1);
        CHECK(done.replaced[0].where == b.set_path(victim));
        CHECK(done.replaced[0].part == part.view());
        b.expect_state(3);
        replace(where, part, before);
    }
}

TEST_CASE("two copies of one instance that both went on are told apart", "[backup][chains]") {
    auto b = bed{};
    b.work(300, 5);
    auto const base = "/repo/sets/" + good(run_backup_to(b.db, "/repo")).name;
    good(std::move(b.db).close());
    copy_directory(b.env, "/db", "/clone");
    auto sets = std::vector<backup_report>{};
    auto ends = std::vector<model>{};
    auto seed = 10U;
    for (auto const* path : {"/db", "/clone"}) {
        auto db = good(engine<bed_policies>::open(path, small_engine, b.env));
        auto const rows = good(db.open_tree("main", "rows"));
        for (auto i = 0U; i < 100; ++i)
            (void)good(db.put(rows, "of" + std::to_string(seed + i), "x", durability::memory));
        seed += 50;
        ends.push_back(rows_of(db, "main", "rows"));
        sets.push_back(good(run_backup_to(db, "/repo", {.kind = backup_kind::incremental})));
        good(std::move(db).close());
    }
    // The pool holds one segment twice, with unequal bytes: between histories nothing is chosen,
    // whichever set is named (R30). Whoever gives the sets of one alone has no conflict.
    CHECK(code_of(run_restore<traits>(b.env, {"/repo"}, "/at")) == errc::pool_conflict);
    auto how = restore_options{};
    for (auto const& set : sets) {
        how.set = text_of(set.set);
        auto const done = run_restore<traits>(b.env, {"/repo"}, "/at", how);
        REQUIRE_FALSE(done);
        auto const code = done.error().code;
        CHECK((code == errc::pool_conflict || code == errc::log_gap || code == errc::set_mixed));
    }
    for (std::size_t i = 0; i < sets.size(); ++i) {
        auto const where = "/at" + std::to_string(i);
        auto const alone = "/repo/sets/" + sets[i].name;
        (void)good(run_restore<traits>(b.env, {base, alone}, where));
        expect_rows(b.env, where, ends[i]);
    }
}

} // namespace jetpp_test::damaged_chains_cases
