#include <jetpp/buffer/double_write.hpp>

#include "bed.hpp"

namespace jetpp_test::double_write_cases {

using traits = memory_traits;
constexpr auto first = memory_bed::first;

struct image_of {
    std::uint32_t page{};
    lsn at{};
    std::uint64_t value{};
};

// One batch written by hand, as write_out does it.
void write_batch_of(memory_bed& bed, std::uint32_t area, std::initializer_list<image_of> images) {
    auto const count = static_cast<std::uint32_t>(images.size());
    auto buffer = aligned_buffer::create(double_write_file<traits>::area_bytes(count)).value();
    auto n = std::uint32_t{0};
    for (auto const& i : images) {
        auto* const page = buffer.data() + double_write_file<traits>::area_bytes(n);
        format_cells(page, i.page);
        store_le<std::uint64_t>(page + 128, i.value);
        set_lsn(page, i.at);
        paged_file<traits>::codec::seal(page, bed.file->nonce());
        double_write_entry{
            .database = {1},
            .page = {i.page},
            .page_lsn = i.at,
            .nonce = bed.file->nonce(),
            .checksum = load_le<std::uint64_t>(page),
        }
            .encode(buffer.data() + double_write_index::entries_at + n * double_write_entry::size);
        ++n;
    }
    must(bed.dw->write(area, buffer.all(), count, no_lsn));
}
void spoil(memory_bed& bed, std::uint32_t page) {
    auto image = page_image{};
    image.fill(std::byte{0x5A});
    must(bed.file->write_pages({page}, image));
}
std::uint64_t value_at(memory_bed& bed, std::uint32_t page) {
    auto image = page_image{};
    must(bed.file->read_pages({page}, image));
    if (paged_file<traits>::codec::verify(image.data(), bed.file->nonce(), {page}) != damage::none)
        return ~std::uint64_t{0};
    return cell_of(image.data(), 0);
}
double_write_repair repair(memory_bed& bed, double_write_range range) {
    paged_file<traits>* const files[] = {bed.file.get()};
    auto done = repair_torn_pages<traits>(*bed.dw, files, range);
    must(done);
    return done.value();
}
constexpr auto bad = ~std::uint64_t{0};

TEST_CASE("an index and its entries read back as written", "[buffer][double_write]") {
    auto block = std::array<std::byte, double_write_index::size>{};
    auto const entry = double_write_entry{
        .database = {3}, .page = {77}, .page_lsn = {0x1122334455}, .nonce = 99, .checksum = 7
    };
    entry.encode(block.data() + double_write_index::entries_at);
    auto const index = double_write_index{
        .instance = make_uuid(1, 2),
        .timeline = {9},
        .sequence = 4,
        .redo_lsn = {5000},
        .page_size = 8192,
        .capacity = 128,
        .count = 1,
        .area = 1
    };
    index.seal(block);
    auto const read = double_write_index::read(block);
    must(read);
    CHECK(read.value() == index);
    CHECK(double_write_entry::decode(block.data() + double_write_index::entries_at) == entry);
    CHECK(as_text(const_bytes{block}.subspan(8, 8)) == "JETPPDWR");
    auto const at = GENERATE(range(0, 88), range(4096, 4128));
    block[static_cast<std::size_t>(at)] ^= std::byte{4};
    CHECK_FALSE(double_write_index::read(block).has_value());
}

TEST_CASE("a torn home is made whole from its image", "[buffer][double_write]") {
    auto bed = memory_bed{8};
    write_batch_of(bed, 0, {{first, {5000}, 1}, {first + 1, {5064}, 2}});
    spoil(bed, first);
    auto const report = repair(bed, {.redo_lsn = {4500}, .end = {6000}});
    CHECK(report.images == 2);
    CHECK(report.repaired == 2); // the second one was all zero
    CHECK(value_at(bed, first) == 1);
    CHECK(value_at(bed, first + 1) == 2);
}

TEST_CASE("a sound home is left alone, whatever the image says", "[buffer][double_write]") {
    auto bed = memory_bed{8};
    must(make_page(*bed.pool, *bed.file, bed.log, first, 42));
    must(bed.pool->flush());
    must(bed.dw->empty());
    write_batch_of(bed, 0, {{first, {5000}, 1}});
    CHECK(repair(bed, {.redo_lsn = {4500}, .end = {6000}}).repaired == 0);
    CHECK(value_at(bed, first) == 42);
}

TEST_CASE("of two images the higher page_lsn goes home", "[buffer][double_write]") {
    auto bed = memory_bed{8};
    auto const newer = GENERATE(0u, 1u);
    write_batch_of(bed, newer, {{first, {5500}, 2}});
    write_batch_of(bed, 1 - newer, {{first, {5000}, 1}});
    spoil(bed, first);
    CHECK(repair(bed, {.redo_lsn = {4500}, .end = {6000}}).repaired == 1);
    CHECK(value_at(bed, first) == 2);
}

TEST_CASE("an image outside the range of redo stays where it is", "[buffer][double_write]") {
    auto bed = memory_bed{8};
    write_batch_of(bed, 0, {{first, {4999}, 1}, {first + 1, {6000}, 2}, {first + 2, {5000}, 3}});
    for (auto p = first; p < first + 3; ++p) spoil(bed, p);
    CHECK(repair(bed, {.redo_lsn = {5000}, .end = {6000}}).repaired == 1);
    CHECK(value_at(bed, first) == bad);
    CHECK(value_at(bed, first + 1) == bad);
    CHECK(value_at(bed, first + 2) == 3);
}

TEST_CASE("images of strangers and torn images do not count", "[buffer][double_write]") {
    auto bed = memory_bed{8};
    write_batch_of(bed, 0, {{first, {5000}, 1}, {first + 1, {5064}, 2}});
    spoil(bed, first);
    spoil(bed, first + 1);
    SECTION("another instance") {
        auto other = bed_owner;
        other.instance = make_uuid(8, 8);
        *bed.dw = double_write_file<traits>::open_or_create(bed.env, *bed.dir, other, 8).value();
        CHECK(repair(bed, {.redo_lsn = {4500}, .end = {6000}}).images == 0);
    }
    SECTION("another timeline") {
        auto other = bed_owner;
        other.timeline = {1};
        *bed.dw = double_write_file<traits>::open_or_create(bed.env, *bed.dir, other, 8).value();
        CHECK(repair(bed, {.redo_lsn = {4500}, .end = {6000}}).images == 0);
    }
    SECTION("half an image") {
        auto raw = bed.dir->open("jet.dw", {}).value();
        auto sector = std::array<std::byte, 512>{};
        sector.fill(std::byte{0x11});
        must(write_full(raw, sector, double_write_index::size + 2048));
        CHECK(repair(bed, {.redo_lsn = {4500}, .end = {6000}}).images == 1);
        CHECK(value_at(bed, first) == bad);
        CHECK(value_at(bed, first + 1) == 2);
    }
    SECTION("an emptied file") {
        must(bed.dw->empty());
        CHECK(repair(bed, {.redo_lsn = {4500}, .end = {6000}}).images == 0);
    }
}

TEST_CASE(
    "an existing file keeps its capacity, even with one index torn", "[buffer][double_write]"
) {
    auto bed = memory_bed{8};
    auto const torn = GENERATE(0u, 1u, 2u);
    write_batch_of(bed, 1 - torn % 2, {{first, {5000}, 1}});
    if (torn < 2) {
        auto raw = bed.dir->open("jet.dw", {}).value();
        auto sector = std::array<std::byte, 512>{};
        must(write_full(raw, sector, torn * double_write_file<traits>::area_bytes(8)));
    }
    auto again = double_write_file<traits>::open_or_create(bed.env, *bed.dir, bed_owner, 64);
    must(again);
    CHECK(again.value().capacity() == 8);
    *bed.dw = std::move(again).value();
    spoil(bed, first);
    CHECK(repair(bed, {.redo_lsn = {4500}, .end = {6000}}).repaired == 1);
}

} // namespace jetpp_test::double_write_cases
