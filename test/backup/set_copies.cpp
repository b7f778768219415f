// test/backup/set_copies.cpp - the same set in two places, damaged in both: what one lacks the other has.
#include <jetpp/backup.hpp>
#include <jetpp/backup/key_ring.hpp>
#include <jetpp/backup/part_writer.hpp>
#include <jetpp/backup/set_copies.hpp>
#include <jetpp/backup/sodium.hpp>
#include <jetpp/restore.hpp>

#include <algorithm>
#include <initializer_list>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "bed.hpp"
#include "made_set.hpp"

namespace jetpp_test::set_copies_cases {

using namespace jetpp;

using traits = bed<>::traits;
using env_type = bed<>::environment_type;

constexpr auto existing = [] {
    auto options = small_engine;
    options.create = create_how::must_exist;
    return options;
}();

// A file of a set, as it is and as a test makes it.
class set_file {
public:
    set_file(env_type env, std::string const& set, std::string_view name)
        : where_{good(env.storage.open_dir(set, directory_how::must_exist))},
          name_{good(file_name::make(name))}, whole_{read()} {}

    [[nodiscard]] std::vector<buffer> frames() const { return frames_of(whole_); }
    void become(buffer const& content) {
        (void)where_.remove(name_);
        auto file = good(where_.open(name_, {.mode = open_mode::create_new}));
        if (!content.empty()) good(write_full(file, content, 0));
    }
    void vanish() { good(where_.remove(name_)); }
    void mend() { become(whole_); }
    // A byte of that frame's header or unit.
    void spoil(std::initializer_list<std::size_t> wanted, std::size_t offset = 170) {
        auto all = frames();
        for (auto const i : wanted) all[i][std::min(offset, all[i].size() - 1)] ^= std::byte{16};
        become(join(all));
    }

private:
    [[nodiscard]] buffer read() {
        auto const content = good(read_file<env_type>(where_, name_, std::uint64_t{1} << 30));
        return {content.all().begin(), content.all().end()};
    }

    env_type::directory where_;
    file_name name_;
    buffer whole_;
};

void copy_directory(env_type env, std::string const& from, std::string const& to) {
    auto source = good(env.storage.open_dir(from, directory_how::must_exist));
    auto target = good(env.storage.open_dir(to, directory_how::create_if_missing));
    auto entries = array_list<directory_entry>{};
    good(source.list(entries));
    for (auto const& entry : entries) {
        auto const name = std::string{entry.name.view()};
        if (entry.kind == entry_kind::directory) {
            copy_directory(env, from + "/" + name, to + "/" + name);
            continue;
        }
        auto const content = good(read_file<env_type>(source, entry.name, std::uint64_t{1} << 30));
        auto file = good(target.open(entry.name, {.mode = open_mode::create_new}));
        if (content.size() != 0) good(write_full(file, content.all(), 0));
    }
}

// A full of several frames and an incremental, in two repositories.
struct mirrored_bed : bed<> {
    backup_report full{};
    backup_report log{};

    explicit mirrored_bed(backup_options how = {}) {
        for (auto i = 0U; i < 4000; ++i) { // some MiB: frames hold half of one
            auto const key = "large" + std::to_string(i * 7919 % 4000);
            auto const value = std::string(700, static_cast<char>('a' + i % 26));
            (void)good(db.put(rows, key, value, durability::memory));
            expected[key] = value;
            if (i % 64 == 0) (void)good(db.poll());
        }
        full = good(run_backup_to(db, "/a", how));
        work(900, 2);
        how.kind = backup_kind::incremental;
        log = good(run_backup_to(db, "/a", how));
        copy_directory(env, "/a", "/b");
    }
    [[nodiscard]] static std::string path(char which, backup_report const& set) {
        return std::string{"/"} + which + "/sets/" + set.name;
    }
    [[nodiscard]] backup_manifest manifest_of_set(backup_report const& set) {
        auto where = good(env.storage.open_dir(path('a', set), directory_how::must_exist));
        return good(manifest_of<env_type>(where)).manifest;
    }
    [[nodiscard]] set_file part(char which, backup_report const& set, part_content content) {
        auto const manifest = manifest_of_set(set);
        auto name = std::string{};
        for (auto const& one : manifest.parts)
            if (one.content == content && name.empty()) name = one.name;
        return {env, path(which, set), name};
    }
    [[nodiscard]] result<restore_report> restore(
        std::initializer_list<path_view> sources = {"/a", "/b"}, restore_options const& how = {}
    ) {
        return run_restore<traits>(env, sources, "/at", how);
    }
    void expect_all() {
        expect_rows(env, "/at", expected, existing);
        wipe();
    }
    void wipe() {
        auto where = good(env.storage.open_dir("/at", directory_how::must_exist));
        auto entries = array_list<directory_entry>{};
        good(where.list(entries));
        for (auto const& entry : entries) good(where.remove(entry.name));
    }
    void expect_nothing() {
        auto where = good(env.storage.open_dir("/at", directory_how::create_if_missing));
        auto entries = array_list<directory_entry>{};
        good(where.list(entries));
        for (auto const& entry : entries) CHECK(entry.name == lock_file_name);
    }
};

TEST_CASE("each frame comes from the first copy in which it is sound", "[backup][copies]") {
    auto b = mirrored_bed{};
    for (auto const content : {part_content::database, part_content::log}) {
        CAPTURE(static_cast<int>(content));
        auto here = b.part('a', b.full, content);
        auto there = b.part('b', b.full, content);
        auto const count = here.frames().size();
        REQUIRE(count > 6);
        here.spoil({0, 2, 3});                      // the stream header, and two runs
        there.spoil({1, count - 2, count - 1}, 70); // headers: a run, the index, the trailer
        CHECK_FALSE(b.restore({"/a"}));
        b.expect_nothing();
        CHECK_FALSE(b.restore({"/b"}));
        b.expect_nothing();
        auto const done = good(b.restore());
        CHECK(done.passed_over.empty());
        REQUIRE(done.replaced.size() == 2);
        for (auto const& one : done.replaced) {
            CHECK(one.where == b.path('a', b.full));
            CHECK(one.why.code == errc::set_damaged);
        }
        CHECK(done.replaced[0].first == 0);
        CHECK(done.replaced[0].count == 1);
        CHECK(done.replaced[1].first == 2);
        CHECK(done.replaced[1].count == 2);
        b.expect_all();
        // The other way round the others are named.
        auto const turned = good(b.restore({"/b", "/a"}));
        REQUIRE(turned.replaced.size() == 2);
        CHECK(turned.replaced[0].first == 1);
        CHECK(turned.replaced[0].where == b.path('b', b.full));
        CHECK(turned.replaced[1].first == count - 2);
        CHECK(turned.replaced[1].count == 2);
        b.expect_all();
        here.mend();
        there.mend();
    }
    CHECK(good(b.restore()).replaced.empty());
    b.expect_all();
}

TEST_CASE(
    "a part that is missing, cut, or lacks a piece is read where it is whole", "[backup][copies]"
) {
    auto b = mirrored_bed{};
    for (auto const* set : {&b.full, &b.log})
        for (auto const content : {part_content::database, part_content::log}) {
            if (set == &b.log && content == part_content::database) continue;
            CAPTURE(set->name, static_cast<int>(content));
            auto here = b.part('a', *set, content);
            auto there = b.part('b', *set, content);
            auto const frames = here.frames();

            here.vanish();
            there.mend();
            auto done = good(b.restore());
            REQUIRE(done.replaced.size() == 1);
            CHECK(done.replaced[0].why.code == errc::not_found);
            CHECK(done.replaced[0].first == 0);
            CHECK(done.replaced[0].count == frames.size());
            b.expect_all();

            // Here the end is gone, there a frame of the beginning is damaged.
            auto cut = frames;
            cut.resize(frames.size() - 2);
            cut.back().resize(200);
            here.become(join(cut));
            there.spoil({1});
            done = good(b.restore());
            REQUIRE(done.replaced.size() == 1);
            CHECK(done.replaced[0].first == frames.size() - 3);
            CHECK(done.replaced[0].count == 3);
            b.expect_all();

            // Without a frame all behind it is not where it was.
            auto torn = frames;
            torn.erase(torn.begin() + 1);
            here.become(join(torn));
            there.spoil({0});
            done = good(b.restore());
            REQUIRE(done.replaced.size() == 1);
            CHECK(done.replaced[0].first == 1);
            CHECK(done.replaced[0].count == frames.size() - 1);
            b.expect_all();

            // Bytes behind the last frame.
            auto more = frames;
            more.push_back(buffer(10));
            here.become(join(more));
            there.mend();
            done = good(b.restore());
            REQUIRE(done.replaced.size() == 1);
            CHECK(done.replaced[0].first == frames.size() - 1);
            b.expect_all();
            here.mend();
        }
}

TEST_CASE(
    "a frame that is bad in every copy is named, and nothing is published", "[backup][copies]"
) {
    auto b = mirrored_bed{};
    for (auto const content : {part_content::database, part_content::log}) {
        CAPTURE(static_cast<int>(content));
        auto here = b.part('a', b.full, content);
        auto there = b.part('b', b.full, content);
        here.spoil({1, 2});
        there.spoil({2, 3}, 200);
        auto const done = b.restore();
        REQUIRE_FALSE(done);
        CHECK(done.error().code == errc::set_damaged);
        CHECK(done.error().file == file_kind::backup_part);
        auto const manifest = b.manifest_of_set(b.full);
        CHECK(manifest.parts[done.error().page.value].content == content);
        CHECK(done.error().at == lsn{2});
        b.expect_nothing();
        here.mend();
        there.mend();
    }
}

TEST_CASE("the search for a moment and a roll-forward read copies, too", "[backup][copies]") {
    auto b = mirrored_bed{};
    auto here = b.part('a', b.log, part_content::log);
    here.spoil({1});
    auto how = restore_options{};
    how.set = text_of(b.log.set);
    how.to_time = b.manifest_of_set(b.log).last_commit_time;
    CHECK(code_of(b.restore({"/a"}, how)) == errc::set_damaged);
    CHECK(good(b.restore({"/a", "/b"}, how)).replaced.size() == 1);
    b.wipe();

    auto pages = b.part('a', b.full, part_content::database);
    pages.spoil({2});
    good(std::move(b.db).close());
    {
        auto where = good(b.env.storage.open_dir("/db", directory_how::must_exist));
        good(where.remove(file_name{"main"}));
    }
    auto live = restore_options{};
    live.live = true;
    auto const rolled = good(run_restore<traits>(b.env, {"/a", "/b"}, "/db", live));
    CHECK(rolled.passed_over.empty());
    REQUIRE(rolled.replaced.size() >= 1);
    CHECK(std::any_of(rolled.replaced.begin(), rolled.replaced.end(), [](bad_frames const& one) {
        return one.first == 2;
    }));
    expect_rows(b.env, "/db", b.expected, existing);
}

// The salt that the key of a part is derived with stands in a frame that is not sealed.
buffer with_another_salt(buffer const& frame) {
    auto const head = good(frame_header::decode(frame));
    auto about = stream_about{};
    REQUIRE(about.decode(decode_wrapped_unit(const_bytes{frame}.subspan(frame_header_bytes))));
    about.salt[3] ^= std::byte{1};
    auto writer = good(part_writer::create());
    auto out = memory_output{};
    good(writer.begin(out, {head.set, head.part, head.file}, about));
    return {out.content.begin(), out.content.begin() + static_cast<std::ptrdiff_t>(frame.size())};
}

TEST_CASE("a salt forged in one copy makes no other useless", "[backup][copies][encryption]") {
    auto keys = key_ring{sodium_keys};
    good(keys.add_passphrase("for tests", {.memory_bytes = 8192, .passes = 1}));
    keys.know(xchacha20_poly1305);
    auto b = mirrored_bed{{.encryption = {&xchacha20_poly1305, &keys}}};
    auto how = restore_options{};
    how.access.keys = &keys;
    for (auto const which : {'a', 'b'})
        for (auto const content : {part_content::database, part_content::log}) {
            CAPTURE(which);
            auto one = b.part(which, b.full, content);
            auto frames = one.frames();
            frames[0] = with_another_salt(frames[0]);
            one.become(join(frames));
            auto const done = good(b.restore({"/a", "/b"}, how));
            for (auto const& bad : done.replaced)
                CHECK(bad.where.starts_with(std::string{"/"} + which));
            CHECK(done.passed_over.size() == (which == 'a' ? 1 : 0));
            b.expect_all();
            one.mend();
        }
}

TEST_CASE("a damaged set beside the way hides no moment but its own", "[backup][copies][pitr]") {
    auto b = mirrored_bed{};
    b.work(30, 6);
    auto const beside = good(run_backup_to(b.db, "/a", {.kind = backup_kind::differential}));
    good(b.store().checkpoint(checkpoint_how::flush_all)); // the full needs no older log
    (void)good(run_backup_to(b.db, "/a"));
    b.work(300, 7);
    auto const here = good(b.db.mark_restore_point("here"));
    b.work(30, 8);
    (void)good(run_backup_to(b.db, "/a", {.kind = backup_kind::incremental}));

    auto by_time = restore_options{};
    by_time.to_time = b.manifest_of_set(b.log).last_commit_time;
    auto by_label = restore_options{};
    by_label.to_point = "here";
    auto const reached_by = [&](restore_options const& how) {
        auto const done = good(b.restore({"/a"}, how));
        b.wipe();
        return std::pair{done.reached, done.passed_over.size()};
    };
    auto const moment = reached_by(by_time).first;
    CHECK(reached_by(by_label) == std::pair{here + 1, std::size_t{0}});

    // An incremental and the newer full hold the same log.
    b.part('a', beside, part_content::log).spoil({1});
    CHECK(reached_by(by_time) == std::pair{moment, std::size_t{1}});
    CHECK(reached_by(by_label) == std::pair{here + 1, std::size_t{1}});
    // Now nobody holds all of it: the moment is in the hole, and there the label may be as well.
    b.part('a', b.log, part_content::log).spoil({1});
    CHECK(code_of(b.restore({"/a"}, by_time)) == errc::set_damaged);
    CHECK(code_of(b.restore({"/a"}, by_label)) == errc::ambiguous_label);
    by_label.to_point = "never";
    CHECK(code_of(b.restore({"/a"}, by_label)) == errc::set_damaged);
    b.expect_nothing();
    by_label.to_point = "here@" + std::to_string(here.value);
    CHECK(reached_by(by_label) == std::pair{here + 1, std::size_t{2}});
}

TEST_CASE("sets that bear one name and are two are not mixed", "[backup][copies]") {
    auto b = mirrored_bed{};
    auto where = good(b.env.storage.open_dir(b.path('b', b.full), directory_how::must_exist));
    auto other = b.manifest_of_set(b.full);
    other.tag = "another";
    auto const sealed = good(seal_text(other.to_json()));
    auto manifest = set_file{b.env, b.path('b', b.full), manifest_file_name.view()};
    manifest.become({as_bytes(sealed).begin(), as_bytes(sealed).end()});
    auto const done = b.restore();
    REQUIRE_FALSE(done);
    CHECK(done.error().code == errc::pool_conflict);
    CHECK(done.error().file == file_kind::manifest);
    b.expect_nothing();
    // Each alone is a set.
    (void)good(b.restore({"/a"}));
    b.expect_all();
    // A manifest that is damaged says nothing, and the other one counts.
    auto flipped = buffer(as_bytes(sealed).begin(), as_bytes(sealed).end());
    flipped[40] ^= std::byte{1};
    manifest.become(flipped);
    (void)good(b.restore());
    b.expect_all();
}

// Whatever is damaged in either: as long as each frame is sound in one, all comes back; where one is
// sound in neither, nothing does.
TEST_CASE("random damage of two copies restores exactly if it can", "[backup][copies]") {
    auto b = mirrored_bed{};
    auto const lives = rounds(25);
    auto restored = 0U;
    auto refused = 0U;
    for (auto seed = 1U; seed <= lives; ++seed) {
        CAPTURE(seed);
        auto random = std::mt19937{seed};
        auto can = true;
        auto mended = std::vector<set_file>{};
        for (auto const* set : {&b.full, &b.log})
            for (auto const content : {part_content::database, part_content::log}) {
                if (set == &b.log && content == part_content::database) continue;
                auto here = b.part('a', *set, content);
                auto there = b.part('b', *set, content);
                auto left = here.frames();
                auto right = left;
                for (std::size_t i = 0; i < left.size(); ++i) {
                    auto const which = random() % 6;
                    auto const in_both = random() % 200 == 0;
                    if (which == 0 || in_both) left[i][random() % left[i].size()] ^= std::byte{1};
                    if (which == 1 || in_both) right[i][random() % right[i].size()] ^= std::byte{2};
                    can = can && !in_both;
                }
                here.become(join(left));
                there.become(join(right));
                mended.push_back(std::move(here));
                mended.push_back(std::move(there));
            }
        auto const done = b.restore();
        CHECK(done.has_value() == can);
        if (done) {
            ++restored;
            CHECK(done.value().passed_over.empty());
            b.expect_all();
        } else {
            ++refused;
            CHECK(done.error().code == errc::set_damaged);
            b.expect_nothing();
        }
        for (auto& one : mended) one.mend();
    }
    if (lives < 25) return; // too few for both
    CHECK(restored > lives / 4);
    CHECK(refused > 0);
}

} // namespace jetpp_test::set_copies_cases
