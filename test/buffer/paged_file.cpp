#include <jetpp/buffer/paged_file.hpp>

#include <optional>

#include "../budget.hpp"
#include "crash_bed.hpp"

namespace jetpp_test::paged_file_cases {

using traits = memory_traits;
using sim = simulated_environment;
using sim_file = paged_file<traits_on<sim>>;

struct place {
    memory_env env{};
    memory_env::directory dir =
        env.storage.open_dir("db", directory_how::create_if_missing).value();
};

// Lives that do nothing but change the header of one database. attach_lsn counts the changes.
class header_bed {
public:
    explicit header_bed(std::uint64_t seed) : tape{seed}, world{tape} {
        world.run([&] {
            auto env = world.environment();
            auto dir = env.storage.open_dir("db", directory_how::create_if_missing).value();
            must(sim_file::create(env, dir, "data", new_header(), 64));
            must(dir.sync());
        });
    }
    // Returns: false if a change that was acknowledged is gone, or the file cannot be opened.
    bool live() {
        world.machine().crash_at(1 + tape.pick(24));
        world.run([&] { (void)life(); });
        world.machine().thaw(draw_crash_policy(tape, torn_sectors::possible));
        return problem.empty();
    }
    std::string problem{};

private:
    [[nodiscard]] result<void> life() {
        auto env = world.environment();
        BOOST_OUTCOME_TRY(auto dir, env.storage.open_dir("db", directory_how::must_exist));
        auto opened = sim_file::open(env, dir, "data");
        if (!opened) {
            if (!world.machine().frozen()) problem = said(opened);
            return opened.error();
        }
        auto file = std::move(opened).value();
        auto const seen = file->header().attach_lsn.value;
        if (seen < acknowledged || seen > attempted) problem = "the header fell back";
        BOOST_OUTCOME_TRY(file->repair_header());
        acknowledged = seen;
        for (;;) {
            attempted = acknowledged + 1;
            BOOST_OUTCOME_TRY(file->change_header([&](database_header& h) noexcept {
                h.attach_lsn = {attempted};
                h.max_lsn = {attempted}; // in another sector: the copy can be torn
                h.state = attempted % 2 == 0 ? database_state::clean : database_state::dirty;
            }));
            acknowledged = attempted;
            if (tape.chance(1, 2)) {
                min_required += 8;
                BOOST_OUTCOME_TRY(file->note_min_required({min_required}));
            }
        }
    }

    choice_tape tape;
    simulated_world world;
    std::uint64_t acknowledged = 0;
    std::uint64_t attempted = 0;
    std::uint64_t min_required = 0;
};

std::optional<std::string> header_lives(std::uint64_t seed) {
    auto bed = header_bed{seed};
    for (int life = 0; life < 6; ++life)
        if (!bed.live()) return bed.problem;
    return std::nullopt;
}

TEST_CASE("a new database has a map and two empty roots, and opens again", "[buffer][file]") {
    auto at = place{};
    using limits = page_limits<4096>;
    {
        auto made = paged_file<traits>::create(at.env, at.dir, "a.new-1", new_header(), 100);
        must(made);
        CHECK(made.value()->page_count() == 100);
        must(at.dir.rename("a.new-1", "a", rename_how::no_replace));
    }
    auto opened = paged_file<traits>::open(at.env, at.dir, "a");
    must(opened);
    auto& file = *opened.value();
    CHECK(file.page_count() == 100);
    CHECK(file.id() == database_id{1});
    CHECK(file.nonce() == new_header().nonce);
    CHECK(file.header().state == database_state::creating);
    auto page = page_image{};
    for (std::uint32_t i = 0; i < 3; ++i) {
        auto const number = limits::first_page + i;
        must(file.read_pages(number, page));
        CHECK(paged_file<traits>::codec::verify(page.data(), file.nonce(), number) == damage::none);
    }
    must(file.read_pages(limits::first_page, page));
    auto const map = space_map_view<4096>{page.data()};
    CHECK(map.all_are(0, 3, true));
    CHECK(map.clear_from(3));
}

TEST_CASE("a database of another page size or checksum is named as such", "[buffer][file]") {
    auto at = place{};
    must(paged_file<traits>::create(at.env, at.dir, "a", new_header(), 64));
    using larger = core_traits<memory_env, 8192, crc32c>;
    auto const wrong_size = paged_file<larger>::open(at.env, at.dir, "a");
    REQUIRE_FALSE(wrong_size.has_value());
    CHECK(wrong_size.error().code == errc::page_size_mismatch);
    CHECK(wrong_size.error().found() == 4096);
    using unsummed = core_traits<memory_env, 4096, no_checksum>;
    auto const wrong_sum = paged_file<unsummed>::open(at.env, at.dir, "a");
    REQUIRE_FALSE(wrong_sum.has_value());
    CHECK(wrong_sum.error().code == errc::checksum_mismatch);
    CHECK(paged_file<traits>::open(at.env, at.dir, "b").error().code == errc::not_found);
}

TEST_CASE("growth takes space first and counts it afterwards", "[buffer][file]") {
    auto at = place{};
    auto made = paged_file<traits>::create(at.env, at.dir, "a", new_header(), 64);
    must(made);
    auto& file = *made.value();
    file.set_growth_bytes_min(40 * 4096);
    auto const next = file.grown_page_count();
    CHECK(next == 104);
    must(file.allocate_pages(next));
    CHECK(file.page_count() == 64);
    CHECK(file.device().size().value() == 104 * 4096);
    file.use_pages(next);
    CHECK(file.page_count() == 104);
}

TEST_CASE("the floor of the log is the smaller of both copies on the device", "[buffer][file]") {
    auto at = place{};
    auto made = paged_file<traits>::create(at.env, at.dir, "a", new_header(), 64);
    must(made);
    auto& file = *made.value();
    must(file.change_header([](database_header& h) noexcept { h.min_required_lsn = {100}; }));
    CHECK(file.min_required_floor() == lsn{100});
    must(file.note_min_required({200}));
    CHECK(file.min_required_floor() == lsn{100});
    must(file.sync_writes());
    CHECK(file.min_required_floor() == lsn{100});
    must(file.note_min_required({300}));
    must(file.sync_writes());
    CHECK(file.min_required_floor() == lsn{200});
    auto again = paged_file<traits>::open(at.env, at.dir, "a");
    must(again);
    CHECK(again.value()->header().min_required_lsn == lsn{300});
    CHECK(again.value()->min_required_floor() == lsn{200});
}

TEST_CASE("the first home write makes a clean database dirty", "[buffer][file]") {
    auto bed = memory_bed{8};
    must(make_page(*bed.pool, *bed.file, bed.log, memory_bed::first, 1));
    must(bed.pool->flush());
    must(bed.file->sync_writes());
    auto const tail = bed.log.tail();
    must(bed.file->mark_clean(tail));
    CHECK(bed.file->header().state == database_state::clean);
    CHECK(bed.file->header().consistent_lsn == tail);
    must(set_cell(*bed.pool, *bed.file, bed.log, memory_bed::first, 1, 2));
    CHECK(bed.file->header().state == database_state::clean);
    must(bed.pool->flush());
    CHECK(bed.file->header().state == database_state::dirty);
    CHECK(bed.file->header().max_required_lsn > tail);
}

TEST_CASE("no crash takes a header back behind what was acknowledged", "[buffer][file][crash]") {
    for (std::uint64_t seed = 1; seed <= rounds(500); ++seed) {
        CAPTURE(seed);
        REQUIRE(header_lives(seed).value_or("") == "");
    }
}

TEST_CASE("a header whose copy A is always written first is found out", "[buffer][sabotage]") {
    simulation::planted = sabotage::header_a_always_first;
    auto found = std::optional<std::string>{};
    for (std::uint64_t seed = 1; !found && seed <= 4000; ++seed) found = header_lives(seed);
    simulation::planted = sabotage::none;
    CHECK(found.has_value());
}

} // namespace jetpp_test::paged_file_cases
