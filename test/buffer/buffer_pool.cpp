#include <jetpp/buffer/buffer_pool.hpp>

#include <random>
#include <thread>

#include "bed.hpp"

namespace jetpp_test::buffer_pool_cases {

using traits = memory_traits;
constexpr auto first = memory_bed::first;

// The page as it lies in the file.
page_image home_of(memory_bed& bed, std::uint32_t page) {
    auto image = page_image{};
    must(bed.file->read_pages({page}, image));
    return image;
}

TEST_CASE("eight frames serve two hundred pages", "[buffer]") {
    auto const seed = GENERATE(1u, 2u, 3u);
    CAPTURE(seed);
    auto random = std::mt19937{seed};
    auto bed = memory_bed{8};
    auto model = std::map<std::uint32_t, std::map<std::uint32_t, std::uint64_t>>{};
    for (std::uint32_t p = first; p < first + 200; ++p) {
        must(make_page(*bed.pool, *bed.file, bed.log, p, p));
        model[p][0] = p;
    }
    for (std::uint64_t n = 1; n <= 5000; ++n) {
        auto const p = first + static_cast<std::uint32_t>(random() % 200);
        auto const c = static_cast<std::uint32_t>(random() % cells_per_page);
        if (random() % 2 == 0) {
            must(set_cell(*bed.pool, *bed.file, bed.log, p, c, n));
            model[p][c] = n;
        } else {
            auto held = take_shared(*bed.pool, *bed.file, p);
            must(held);
            auto const known = model[p].find(c);
            REQUIRE(
                cell_of(held.value().data(), c) == (known == model[p].end() ? 0 : known->second)
            );
        }
    }
    CHECK(bed.pool->statistics().evictions > 1000);
    must(bed.pool->flush());
    for (auto const& [p, cells] : model) {
        auto const image = home_of(bed, p);
        for (auto const& [c, value] : cells) REQUIRE(cell_of(image.data(), c) == value);
        REQUIRE(
            paged_file<traits>::codec::verify(image.data(), bed.file->nonce(), {p}) == damage::none
        );
    }
    CHECK(bed.pool->dirty_low() == lsn{~std::uint64_t{0}});
}

TEST_CASE("a page goes home only after its log is durable", "[buffer]") {
    auto bed = memory_bed{8};
    must(make_page(*bed.pool, *bed.file, bed.log, first, 1));
    must(bed.pool->flush());
    auto const durable = bed.log.durable_lsn();
    must(set_cell(*bed.pool, *bed.file, bed.log, first, 1, 2));
    CHECK(bed.log.durable_lsn() == durable);
    CHECK(bed.pool->dirty_low() >= durable);

    SECTION("a flush waits for the log first") {
        must(bed.pool->flush());
        CHECK(bed.log.durable_lsn() == bed.log.tail());
        CHECK(lsn_of(home_of(bed, first).data()) == durable);
    }
    SECTION("a log that fails keeps the page where it is, for ever") {
        bed.log.stopped = [] { return true; };
        auto const flushed = bed.pool->flush();
        REQUIRE_FALSE(flushed.has_value());
        CHECK(flushed.error().code == errc::log_failed);
        CHECK(lsn_of(home_of(bed, first).data()) < durable);
        CHECK(bed.pool->statistics().dirty == 1);
        bed.log.stopped = nullptr;
        CHECK(bed.pool->flush().error().code == errc::instance_failed);
        CHECK(lsn_of(home_of(bed, first).data()) < durable);
    }
    SECTION("the header says how far the log must reach, before the page is home") {
        must(bed.pool->flush());
        CHECK(bed.file->header().max_required_lsn > durable);
        CHECK(bed.file->header().max_lsn > durable);
    }
}

TEST_CASE("what is not the page that was asked for never becomes resident", "[buffer]") {
    auto bed = memory_bed{8};
    for (auto p = first; p < first + 3; ++p) must(make_page(*bed.pool, *bed.file, bed.log, p, p));
    must(bed.pool->flush());
    bed.pool->detach(*bed.file);
    must(bed.pool->attach(*bed.file));

    auto image = home_of(bed, first);
    auto expected = damage::none;
    auto where = first;
    SECTION("a flipped bit") {
        image[200] ^= std::byte{1};
        expected = damage::checksum;
    }
    SECTION("zeros") {
        image.fill(std::byte{0});
        expected = damage::zero;
    }
    SECTION("a page of the future") {
        set_lsn(image.data(), bed.log.tail() + 8);
        paged_file<traits>::codec::seal(image.data(), bed.file->nonce());
        expected = damage::future;
    }
    SECTION("another page") {
        where = first + 1;
        expected = damage::number;
    }
    SECTION("a page behind the end of the file") {
        where = bed.file->page_count();
        expected = damage::short_file;
    }
    if (expected != damage::short_file) must(bed.file->write_pages({where}, image));

    auto const loaded = bed.pool->load(*bed.file, {where});
    REQUIRE_FALSE(loaded.has_value());
    CHECK(loaded.error().code == errc::page_damaged);
    CHECK(loaded.error().reason == expected);
    CHECK(loaded.error().page == page_number{where});
    CHECK(loaded.error().database == 1);
    auto held = shared_page<traits>{};
    CHECK(bed.pool->try_share(*bed.file, {where}, held) == fix::absent);
    CHECK(bed.pool->statistics().free == 8);
    must(bed.pool->load(*bed.file, {first + 2}));
}

TEST_CASE("prefetch brings in what is sound and absent, and nothing else", "[buffer]") {
    auto bed = memory_bed{64};
    for (auto p = first; p < first + 20; ++p) must(make_page(*bed.pool, *bed.file, bed.log, p, p));
    must(bed.pool->flush());
    bed.pool->detach(*bed.file);
    must(bed.pool->attach(*bed.file));
    auto image = home_of(bed, first + 2);
    image[200] ^= std::byte{1};
    must(bed.file->write_pages({first + 2}, image));
    must(bed.pool->load(*bed.file, {first + 1}));
    auto const before = bed.pool->statistics();

    // Neighbours, one that is there, a damaged one, a gap, another stretch, one behind the end.
    page_number const wanted[] = {
        {first}, {first + 1}, {first + 2}, {first + 3}, {first + 19}, {bed.file->page_count()}
    };
    CHECK(bed.pool->prefetch(*bed.file, wanted).value() == 3);
    auto const after = bed.pool->statistics();
    CHECK(after.loads == before.loads + 3);
    CHECK(after.free == before.free - 3);
    for (auto const p : {first, first + 1, first + 3, first + 19})
        CHECK_FALSE(bed.pool->is_absent(*bed.file, {p}));
    for (auto const p : {first + 2, first + 4, first + 18})
        CHECK(bed.pool->is_absent(*bed.file, {p}));
    CHECK(bed.pool->load(*bed.file, {first + 2}).error().reason == damage::checksum);
}

TEST_CASE("prefetch leaves the last frames to who needs them", "[buffer]") {
    auto bed = memory_bed{10};
    for (auto p = first; p < first + 20; ++p) must(make_page(*bed.pool, *bed.file, bed.log, p, p));
    must(bed.pool->flush());
    bed.pool->detach(*bed.file);
    must(bed.pool->attach(*bed.file));
    page_number const three[] = {{first}, {first + 1}, {first + 2}};
    CHECK(bed.pool->prefetch(*bed.file, three).value() == 0);
    CHECK(bed.pool->prefetch(*bed.file, std::span{three}.first(2)).value() == 2);
    CHECK(bed.pool->statistics().free == 8);
}

TEST_CASE("a re-dirtied page keeps the bound of its newest unwritten change", "[buffer]") {
    auto bed = memory_bed{8};
    must(make_page(*bed.pool, *bed.file, bed.log, first, 1));
    auto const one = bed.pool->dirty_low();
    must(set_cell(*bed.pool, *bed.file, bed.log, first, 1, 2));
    CHECK(bed.pool->dirty_low() == one);
    must(bed.pool->flush());
    CHECK(bed.file->unsynced_low() == one);
    auto const two = bed.log.tail();
    must(set_cell(*bed.pool, *bed.file, bed.log, first, 1, 3));
    CHECK(bed.pool->dirty_low() == two);
}

TEST_CASE("a flush up to a position writes nothing that was changed behind it", "[buffer]") {
    auto bed = memory_bed{8};
    must(make_page(*bed.pool, *bed.file, bed.log, first, 1));
    must(make_page(*bed.pool, *bed.file, bed.log, first + 1, 1));
    must(free_page(*bed.pool, *bed.file, bed.log, first + 1));
    auto const position = bed.log.tail();
    must(make_page(*bed.pool, *bed.file, bed.log, first + 2, 2));
    must(bed.pool->flush_below(position));
    CHECK(bed.pool->dirty_low() == position);
    CHECK(cell_of(home_of(bed, first).data(), 0) == 1);
    CHECK(cell_of(home_of(bed, first + 2).data(), 0) == 0);
    must(bed.pool->flush_below(bed.log.tail()));
    CHECK(cell_of(home_of(bed, first + 2).data(), 0) == 2);
}

TEST_CASE(
    "a freed page never goes home, and holds redo back until its free is durable", "[buffer]"
) {
    auto bed = memory_bed{8};
    must(make_page(*bed.pool, *bed.file, bed.log, first, 1));
    must(bed.pool->flush());
    auto const before = home_of(bed, first);
    auto const low = bed.log.tail();
    must(set_cell(*bed.pool, *bed.file, bed.log, first, 1, 99));
    must(free_page(*bed.pool, *bed.file, bed.log, first));
    CHECK(bed.pool->dirty_low() == low);
    SECTION("a flush drops it") {
        must(bed.pool->flush());
        CHECK(bed.log.durable_lsn() == bed.log.tail());
        CHECK(home_of(bed, first) == before);
        CHECK(bed.pool->statistics().free == 8);
    }
    SECTION("made again, it keeps the older bound and goes home as the new page") {
        must(make_page(*bed.pool, *bed.file, bed.log, first, 5));
        CHECK(bed.pool->dirty_low() == low);
        must(bed.pool->flush());
        auto const image = home_of(bed, first);
        CHECK(cell_of(image.data(), 0) == 5);
        CHECK(cell_of(image.data(), 1) == 0);
    }
    SECTION("eviction waits for the log and writes nothing") {
        for (auto p = first + 1; p < first + 40; ++p)
            must(make_page(*bed.pool, *bed.file, bed.log, p, p));
        CHECK(home_of(bed, first) == before);
    }
}

TEST_CASE("a new page that is not used leaves no trace", "[buffer]") {
    auto bed = memory_bed{8};
    {
        auto purse = bed.pool->reserve_frames(3);
        must(purse);
        CHECK(purse.value().left() == 3);
        CHECK(bed.pool->statistics().free == 5);
        auto page = bed.pool->create_page(*bed.file, {first}, purse.value());
        CHECK(purse.value().left() == 2);
        CHECK(all_zero(const_bytes{page.data(), 4096}));
        page.release();
        auto held = shared_page<traits>{};
        CHECK(bed.pool->try_share(*bed.file, {first}, held) == fix::absent);
    }
    CHECK(bed.pool->statistics().free == 8);
    CHECK(bed.pool->statistics().dirty == 0);
}

TEST_CASE("a failed home write is final, and keeps the page dirty", "[buffer]") {
    auto env = memory_env{.storage = memory_storage{8 * 64 * 1024}};
    auto dir = env.storage.open_dir("db", directory_how::create_if_missing).value();
    auto log = history{};
    auto file = paged_file<traits>::create(env, dir, "data", new_header(), 100).value();
    auto pool =
        buffer_pool<traits>::create(env, {.frames = 8}, log_gate{log, bed_segment_bytes}).value();
    must(pool->attach(*file));
    must(make_page(*pool, *file, log, first, 1));
    must(file->close());
    auto const flushed = pool->flush();
    REQUIRE_FALSE(flushed.has_value());
    CHECK(pool->failed());
    CHECK(pool->statistics().dirty == 1);
    CHECK(pool->flush().error().code == errc::instance_failed);
    CHECK(file->failed());
    pool->detach(*file);
}

TEST_CASE("what memory bent so that nobody could read it again is not sealed", "[buffer]") {
    auto env = memory_env{.storage = memory_storage{8 * 64 * 1024}};
    auto dir = env.storage.open_dir("db", directory_how::create_if_missing).value();
    auto log = history{};
    auto file = paged_file<traits>::create(env, dir, "data", new_header(), 100).value();
    auto pool =
        buffer_pool<traits>::create(env, {.frames = 8}, log_gate{log, bed_segment_bytes}).value();
    must(pool->attach(*file));
    must(make_page(*pool, *file, log, first, 1));
    must(pool->flush());
    must(set_cell(*pool, *file, log, first, 0, 2));
    {
        auto held = take_exclusive(*pool, *file, first).value();
        held.data()[page_offset::kind] = static_cast<std::byte>(page_kind::leaf);
        store_le<std::uint32_t>(held.data() + page_offset::heap_begin, 17);
    }
    auto const flushed = pool->flush();
    REQUIRE_FALSE(flushed.has_value());
    CHECK(flushed.error().code == errc::page_damaged);
    CHECK(flushed.error().page == page_number{first});
    CHECK(flushed.error().reason == damage::layout);
    CHECK(pool->failed());
    // The home is what it was.
    auto at_home = aligned_buffer::create(4096).value();
    must(file->read_pages({first}, at_home.all()));
    CHECK(cell_of(at_home.data(), 0) == 1);
    pool->detach(*file);
    (void)file->close();
}

TEST_CASE("threads share a small pool", "[buffer][threads]") {
    auto bed = memory_bed{8};
    constexpr std::uint32_t pages = 40;
    constexpr std::uint32_t threads = 4;
    constexpr std::uint32_t rounds = 1500;
    for (auto p = first; p < first + pages; ++p)
        must(make_page(*bed.pool, *bed.file, bed.log, p, 0));
    auto failures = std::atomic<int>{0};
    auto added = std::array<std::atomic<std::uint64_t>, pages>{};
    auto work = [&](std::uint32_t seed) {
        auto random = std::mt19937{seed};
        for (std::uint32_t n = 0; n < rounds; ++n) {
            auto const p = static_cast<std::uint32_t>(random() % pages);
            if (random() % 4 != 0) {
                // Two cells that must always agree.
                auto held = take_exclusive(*bed.pool, *bed.file, first + p);
                if (!held) {
                    ++failures;
                    return;
                }
                auto& page = held.value();
                page.mark_dirty(bed.log.tail());
                auto const value = cell_of(page.data(), 1) + 1;
                auto record = history_record{.what = history_record::kind::set};
                record.parts[0] = {.page = first + p, .cell = 1, .value = value};
                record.at = bed.log.append(record);
                apply(page.data(), record, 0);
                store_le<std::uint64_t>(page.data() + 128 + 8 * 300, value);
                ++added[p];
            } else {
                auto held = take_shared(*bed.pool, *bed.file, first + p);
                if (!held || cell_of(held.value().data(), 1) != cell_of(held.value().data(), 300)) {
                    ++failures;
                    return;
                }
            }
        }
    };
    auto done = std::atomic<bool>{false};
    auto keeper = std::thread{[&] {
        while (!done)
            if (!bed.pool->housekeeping(4096)) ++failures;
    }};
    auto all = std::vector<std::thread>{};
    for (std::uint32_t i = 0; i < threads; ++i) all.emplace_back(work, 17 + i);
    for (auto& t : all) t.join();
    done = true;
    keeper.join();
    CHECK(failures == 0);
    must(bed.pool->flush());
    for (std::uint32_t p = 0; p < pages; ++p) {
        auto const image = home_of(bed, first + p);
        CHECK(cell_of(image.data(), 1) == added[p]);
        CHECK(cell_of(image.data(), 300) == added[p]);
    }
}

TEST_CASE("threads that make and free pages never run a small pool dry", "[buffer][threads]") {
    auto bed = memory_bed{8};
    auto failures = std::atomic<int>{0};
    auto work = [&](std::uint32_t mine) {
        for (std::uint32_t n = 0; n < 400; ++n) {
            auto const page = first + mine * 20 + n % 20;
            {
                auto purse = bed.pool->reserve_frames(3);
                if (!purse) {
                    ++failures;
                    return;
                }
                auto held = bed.pool->create_page(*bed.file, {page}, purse.value());
                held.mark_dirty(bed.log.tail());
                auto record = history_record{.what = history_record::kind::format};
                record.parts[0] = {.page = page, .cell = 0, .value = n};
                record.at = bed.log.append(record);
                apply(held.data(), record, 0);
            }
            auto held = take_exclusive(*bed.pool, *bed.file, page);
            if (!held || cell_of(held.value().data(), 0) != n) {
                ++failures;
                return;
            }
            bed.log.append({.what = history_record::kind::free});
            bed.pool->discard(std::move(held).value());
        }
    };
    auto all = std::vector<std::thread>{};
    for (std::uint32_t i = 0; i < 4; ++i) all.emplace_back(work, i);
    for (auto& t : all) t.join();
    CHECK(failures == 0);
    must(bed.pool->flush());
    CHECK(bed.pool->statistics().dirty == 0);
}

} // namespace jetpp_test::buffer_pool_cases
