#include <jetpp/log/changed_ranges.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/log/record_crc.hpp>
#include <jetpp/log/records.hpp>
#include <jetpp/log/structure_builder.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "../budget.hpp"
#include "../catch.hpp"

namespace jetpp_test::records_cases {

using namespace jetpp;

using raw = std::vector<std::byte>;

constexpr auto here = lsn{0x5000};

// A whole record as a writer makes it; memory is dirty before, so that missing zeroes show.
template <class Body>
raw record_of(Body const& body, record_header header = {}) {
    auto made = raw(body.size(), std::byte{0xEE});
    header.type = Body::type;
    encode_header(made.data(), header);
    body.encode(made.data());
    store_le<std::uint32_t>(made.data(), static_cast<std::uint32_t>(made.size()));
    store_le<std::uint32_t>(made.data() + 4, record_crc(77, here, made));
    return made;
}

// The bytes of a payload, spelled: numbers with their width, texts, zeroes.
struct spelled {
    raw all{};
    spelled& u8(std::uint8_t n) { return number(n, 1); }
    spelled& u16(std::uint16_t n) { return number(n, 2); }
    spelled& u32(std::uint32_t n) { return number(n, 4); }
    spelled& u64(std::uint64_t n) { return number(n, 8); }
    spelled& text(std::string_view t) {
        for (auto const c : t) all.push_back(static_cast<std::byte>(c));
        return *this;
    }
    spelled& zero(std::size_t n) {
        all.resize(all.size() + n);
        return *this;
    }
    spelled& id(uuid const& one) {
        all.insert(all.end(), one.raw.begin(), one.raw.end());
        return *this;
    }
    spelled& part() { return u32(0x11223344).u16(7).u16(2).u64(0x4000).u64(0x3000); }

private:
    spelled& number(std::uint64_t n, std::size_t width) {
        for (std::size_t i = 0; i < width; ++i, n >>= 8)
            all.push_back(static_cast<std::byte>(n & 0xFF));
        return *this;
    }
};

constexpr auto a_part = page_part{
    .page = {0x11223344},
    .slot = 7,
    .flags = part_flags::new_indirect,
    .prev_page_lsn = {0x4000},
    .undo_lsn = {0x3000}
};
constexpr auto an_id = make_uuid(0x0102030405060708, 0x1112131415161718);

// The payload stands at offset 24 exactly as spelled, and parsing gives back the same bytes.
template <class Body>
void check_golden(Body const& body, spelled const& payload) {
    auto const made = record_of(body);
    CHECK(made.size() % 8 == 0);
    CHECK(raw(made.begin() + 24, made.end()) == payload.all);
    auto const parsed = parse_record(here, made);
    REQUIRE(parsed);
    CHECK(parsed.value().header.type == Body::type);
    CHECK(parsed.value().raw.size() == made.size());
    auto again = raw{};
    parsed.value().visit([&](auto const& view) {
        again.assign(view.size(), std::byte{0xDD});
        view.encode(again.data());
    });
    CHECK(raw(again.begin() + 24, again.end()) == payload.all);
}

TEST_CASE("a record header stands at its offsets", "[log]") {
    auto block = raw(24);
    encode_header(
        block.data(),
        {
            .type = record_type::checkpoint_mark,
            .flags = record_flags::system | record_flags::compensation,
            .database = {0x0201},
            .tree = {0x06050403},
            .transaction = {0x0E0D0C0B0A090807},
        }
    );
    CHECK(
        block ==
        spelled{}.zero(8).u8(0xA8).u8(3).u16(0x0201).u32(0x06050403).u64(0x0E0D0C0B0A090807).all
    );
    CHECK(decode_header(block.data()).transaction == lsn{0x0E0D0C0B0A090807});
    CHECK(decode_header(block.data()).tree == tree_id{0x06050403});
}

TEST_CASE("the record CRC covers nonce, LSN, length and all bytes from 8 on", "[log]") {
    auto const made = record_of(record::rollback{.wall = {5}});
    auto plain = spelled{}.u64(77).u64(here.value).u32(32).u32(0).all;
    plain.insert(plain.end(), made.begin() + 8, made.end());
    CHECK(decode_crc(made.data()) == crc32c_of(plain));
    CHECK(decode_length(made.data()) == 32);
    CHECK(record_crc(77, here, made) == decode_crc(made.data()));
    CHECK(record_crc(78, here, made) != decode_crc(made.data()));
    CHECK(record_crc(77, here + 8, made) != decode_crc(made.data()));
}

TEST_CASE("marks and ends stand on disk byte by byte", "[log]") {
    check_golden(
        record::commit{.wall = {-2}, .durable_hint = {9}, .tag = as_bytes("tag")},
        spelled{}.u64(~std::uint64_t{1}).u64(9).u16(3).zero(6).text("tag").zero(5)
    );
    check_golden(
        record::commit{.wall = {1}, .durable_hint = {2}}, spelled{}.u64(1).u64(2).u16(0).zero(6)
    );
    CHECK(record::commit{}.size() == 48);
    CHECK(record::commit{.tag = const_bytes{raw(256)}}.size() == 304);
    check_golden(record::rollback{.wall = {3}}, spelled{}.u64(3));
    check_golden(
        record::time_mark{.wall = {3}, .durable_hint = {4}, .flags = 1},
        spelled{}.u64(3).u64(4).u32(1).zero(4)
    );
    check_golden(
        record::verify{.page = {6}, .page_lsn = {7}, .hash = an_id.raw},
        spelled{}.u32(6).zero(4).u64(7).id(an_id)
    );
    check_golden(
        record::restore_point{.wall = {8}, .label = as_bytes("before")},
        spelled{}.u64(8).u16(6).zero(6).text("before").zero(2)
    );
    check_golden(
        record::user{.kind = 12, .payload = as_bytes("abc")},
        spelled{}.u32(12).u32(3).text("abc").zero(5)
    );
    check_golden(record::pad{.length = 40}, spelled{}.zero(16));
    check_golden(
        record::segment_end{
            .next_generation = 5, .next_nonce = 6, .durable_hint = {7}, .content_crc = 8
        },
        spelled{}.u64(5).u64(6).u64(7).u32(8).zero(4)
    );
    CHECK(record::segment_end{}.size() == segment_end_size);
}

TEST_CASE("records of rows stand on disk byte by byte", "[log]") {
    check_golden(
        record::insert{.part = a_part, .key = as_bytes("key"), .value = as_bytes("value")},
        spelled{}.part().u16(3).u16(5).text("keyvalue").zero(4)
    );
    CHECK(record::insert::size_for(16, 100) == 168);
    check_golden(
        record::ghost{.part = a_part, .key = as_bytes("k"), .value = as_bytes("v")},
        spelled{}.part().u16(1).u16(1).text("kv").zero(2)
    );
    check_golden(
        record::revive{
            .part = a_part,
            .key = as_bytes("k"),
            .old_value = as_bytes("old"),
            .new_value = as_bytes("newer")
        },
        spelled{}.part().u16(1).u16(3).u16(5).zero(2).text("koldnewer").zero(7)
    );
    auto const ranges = std::vector<changed_range>{
        {1, as_bytes("a"), as_bytes("bc")}, {5, as_bytes("de"), as_bytes("f")}
    };
    check_golden(
        record::update_draft{
            .part = a_part, .key = as_bytes("key"), .old_size = 9, .new_size = 9, .ranges = ranges
        },
        spelled{}
            .part()
            .u16(3)
            .u16(2)
            .u32(9)
            .u32(9)
            .zero(4)
            .u32(1)
            .u32(1)
            .u32(2)
            .u32(5)
            .u32(2)
            .u32(1)
            .text("keyabcdef")
            .zero(7)
    );
    auto const ghosts = std::vector<removed_ghost>{{2, as_bytes("aa")}, {9, as_bytes("b")}};
    check_golden(
        record::ghost_remove_draft{.part = a_part, .ghosts = ghosts},
        spelled{}.part().u16(2).zero(2).u16(2).u16(2).u16(9).u16(1).text("aab").zero(1)
    );
    auto const rows =
        std::vector<key_value>{{as_bytes("k1"), as_bytes("v")}, {as_bytes("k2"), as_bytes("")}};
    check_golden(
        record::insert_run_draft{.part = a_part, .rows = rows},
        spelled{}
            .part()
            .u16(2)
            .zero(2)
            .u32(13)
            .u16(2)
            .u16(1)
            .text("k1v")
            .u16(2)
            .u16(0)
            .text("k2")
            .zero(3)
    );
}

TEST_CASE("records of pages and trees stand on disk byte by byte", "[log]") {
    auto buffer = raw(4096, std::byte{0xCC});
    auto build = structure_builder{buffer};
    build.begin_part(a_part).set_child(no_slot, {9}).empty_inner();
    check_golden(
        build.structure(structure_op::root_shrink),
        spelled{}
            .u16(4)
            .u16(1)
            .zero(4)
            .part()
            .u16(2)
            .zero(2)
            .u32(24)
            .u16(4)
            .u16(0xFFFF)
            .u32(8)
            .u32(9)
            .zero(4)
            .u16(8)
            .u16(0)
            .u32(0)
    );
    check_golden(
        record::tree_create{
            .part_count = build.part_count(),
            .root = {77},
            .parts = build.parts(),
            .name = as_bytes("tree")
        },
        spelled{}
            .u16(1)
            .u16(4)
            .u32(77)
            .part()
            .u16(2)
            .zero(2)
            .u32(24)
            .u16(4)
            .u16(0xFFFF)
            .u32(8)
            .u32(9)
            .zero(4)
            .u16(8)
            .u16(0)
            .u32(0)
            .text("tree")
            .zero(4)
    );
    auto maps = map_parts_builder{buffer};
    auto const runs = std::vector<map_run>{{5, 3, true}, {100, 1, false}};
    maps.add(a_part, runs);
    auto const spelled_maps =
        spelled{}.u16(1).zero(6).part().u16(2).zero(6).u32(5).u16(3).u16(1).u32(100).u16(1).u16(0);
    check_golden(record::page_free{maps.part_count(), maps.parts()}, spelled_maps);
    check_golden(record::page_alloc{maps.part_count(), maps.parts()}, spelled_maps);
    check_golden(record::extend{.old_pages = 4, .new_pages = 9}, spelled{}.u32(4).u32(9));
    check_golden(
        record::tree_drop{.root = {3}, .name = as_bytes("x")},
        spelled{}.u32(3).u16(1).u16(0).text("x").zero(7)
    );
    check_golden(
        record::tree_rename{.root = {3}, .name = as_bytes("x"), .new_name = as_bytes("yz")},
        spelled{}.u32(3).u16(1).u16(2).text("xyz").zero(5)
    );

    auto page = raw(4096);
    for (std::size_t i = 0; i < page.size(); ++i) page[i] = static_cast<std::byte>(i % 251);
    auto expected = spelled{}.part().u8(24).u8(25).zero(2).u32(10).u32(3).zero(4);
    expected.all.insert(expected.all.end(), page.begin() + 16, page.begin() + 138);
    expected.all.insert(expected.all.end(), page.end() - 3, page.end());
    check_golden(record::page_image::of(a_part, page, 10, 3), expected.zero(3));
}

TEST_CASE("records of the instance stand on disk byte by byte", "[log]") {
    check_golden(
        record::db_create{
            .id = an_id, .nonce = 5, .page_size = 8192, .checksum_id = 1, .name = as_bytes("books")
        },
        spelled{}.id(an_id).u64(5).u32(8192).u16(1).u16(5).text("books").zero(3)
    );
    check_golden(
        record::attach{
            .id = an_id,
            .nonce = 5,
            .consistent_lsn = {6},
            .highest_lsn = {7},
            .timeline = {8},
            .flags = 1,
            .name = as_bytes("books")
        },
        spelled{}.id(an_id).u64(5).u64(6).u64(7).u64(8).u16(1).u16(5).zero(4).text("books").zero(3)
    );
    check_golden(
        record::detach{
            .id = an_id,
            .consistent_lsn = {6},
            .highest_lsn = {7},
            .reason = detach_reason::abandoned
        },
        spelled{}.id(an_id).u64(6).u64(7).u32(2).zero(4)
    );
    auto entries = raw(attach_entries_size_max, std::byte{0xCC});
    auto const attached = std::vector<attach_entry>{
        {{1}, 0, an_id, 5, {6}, as_bytes("books")}, {{2}, 1, an_id, 7, {8}, as_bytes("12345678")}
    };
    auto const used = encode_attach_entries(attached, entries);
    check_golden(
        record::attach_list{2, const_bytes{entries}.first(used)},
        spelled{}
            .u16(2)
            .zero(6)
            .u16(1)
            .u16(0)
            .u16(5)
            .zero(2)
            .id(an_id)
            .u64(5)
            .u64(6)
            .text("books")
            .zero(3)
            .u16(2)
            .u16(1)
            .u16(8)
            .zero(2)
            .id(an_id)
            .u64(7)
            .u64(8)
            .text("12345678")
    );
    check_golden(record::checkpoint_mark{{1}, {2}, {3}}, spelled{}.u64(1).u64(2).u64(3));
    auto members = raw(2 * record::backup_begin::member_size);
    record::backup_begin::encode_member(members.data(), {{3}, an_id});
    record::backup_begin::encode_member(members.data() + 24, {{4}, an_id});
    check_golden(
        record::backup_begin{
            .set = an_id,
            .kind = 2,
            .count = 2,
            .redo_lsn = {5},
            .undo_low_lsn = {6},
            .log_start = {7},
            .members = members
        },
        spelled{}
            .id(an_id)
            .u32(2)
            .u32(2)
            .u64(5)
            .u64(6)
            .u64(7)
            .u16(3)
            .zero(6)
            .id(an_id)
            .u16(4)
            .zero(6)
            .id(an_id)
    );
    check_golden(
        record::backup_end{
            .set = an_id,
            .status = backup_status::aborted,
            .kind = 2,
            .redo_lsn = {3},
            .log_start = {4},
            .end_lsn = {5},
            .time = {6},
            .timeline = {7},
            .manifest_hash = 8,
            .count = 1,
            .members = an_id.raw
        },
        spelled{}
            .id(an_id)
            .u32(1)
            .u32(2)
            .u64(3)
            .u64(4)
            .u64(5)
            .u64(6)
            .u64(7)
            .u64(8)
            .u32(1)
            .zero(4)
            .id(an_id)
    );
    check_golden(
        record::recovery_begin{{1}, {2}, 3, recovery_reason::forced},
        spelled{}.u64(1).u64(2).u32(3).u32(3)
    );
    check_golden(
        record::recovery_end{{1}, 2, 3, 4, {5}}, spelled{}.u64(1).u32(2).u32(3).u64(4).u64(5)
    );
}

// One random body of every type, each written as a record.
class random_records {
public:
    explicit random_records(std::uint64_t seed) : random_{seed} {}

    std::vector<raw> all() {
        buffer_.assign(65536, std::byte{0xCC});
        auto out = std::vector<raw>{};
        auto const add = [&](auto const& body) { out.push_back(record_of(body)); };
        add(record::commit{wall(), at(), blob(256)});
        add(record::rollback{wall()});
        add(record::insert{part(), blob(960), blob(3000)});
        add_update(out);
        add(record::ghost{part(), blob(960), blob(3000)});
        add(record::revive{part(), blob(960), blob(2000), blob(2000)});
        add_ghost_remove(out);
        add_insert_run(out);
        add_structure(out);
        auto const page = blob_of(8192);
        auto const head = below(4000);
        add(record::page_image::of(part(), page, head, below(4000)));
        auto maps = map_parts_builder{buffer_};
        auto runs = std::vector<map_run>(below(5));
        for (auto& run : runs) run = {number<std::uint32_t>(), number<std::uint16_t>(), true};
        for (auto n = below(4); n-- > 0;) {
            auto p = part();
            p.page.value = static_cast<std::uint32_t>(n);
            maps.add(p, runs);
        }
        add(record::page_free{maps.part_count(), maps.parts()});
        add(record::page_alloc{maps.part_count(), maps.parts()});
        auto const pages = number<std::uint32_t>() / 2;
        add(record::extend{pages, pages + static_cast<std::uint32_t>(below(1000))});
        add(record::tree_drop{{number<std::uint32_t>()}, blob(64), {}});
        add(record::tree_rename{{number<std::uint32_t>()}, blob(64), blob(64)});
        add(record::db_create{id(), number<std::uint64_t>(), 8192, 1, blob(64)});
        add(record::attach{id(), number<std::uint64_t>(), at(), at(), {3}, 1, blob(64)});
        add(record::detach{id(), at(), at(), detach_reason::asked});
        add_attach_list(out);
        add(record::checkpoint_mark{at(), at(), at()});
        auto const n = static_cast<std::uint32_t>(below(17));
        add(record::backup_begin{id(), 1, n, at(), at(), at(), blob_of(24 * n)});
        add(record::backup_end{
            id(), backup_status::published, 1, at(), at(), at(), wall(), {9}, 5, n, blob_of(16 * n)
        });
        add(record::recovery_begin{at(), at(), 3, recovery_reason::crash});
        add(record::recovery_end{at(), 1, 2, 3, wall()});
        add(record::time_mark{wall(), at(), 0});
        add(record::verify{{number<std::uint32_t>()}, at(), id().raw});
        add(record::restore_point{wall(), blob_of(1 + below(255))});
        add(record::user{number<std::uint32_t>(), blob(5000)});
        add(record::pad{static_cast<std::uint32_t>(24 + 8 * below(1000))});
        add(record::segment_end{5, 6, at(), 7});
        return out;
    }

    std::size_t below(std::size_t end) { return static_cast<std::size_t>(random_() % end); }
    template <class T>
    T number() {
        return static_cast<T>(random_());
    }

private:
    const_bytes blob_of(std::size_t size) {
        kept_.push_back(raw(size));
        for (auto& b : kept_.back()) b = number<std::byte>();
        return kept_.back();
    }
    const_bytes blob(std::size_t size_max) { return blob_of(below(size_max + 1)); }
    lsn at() { return {random_()}; }
    wall_time wall() { return {number<std::int64_t>()}; }
    uuid id() { return make_uuid(random_(), random_()); }
    page_part part() {
        return {
            {number<std::uint32_t>()},
            number<std::uint16_t>(),
            static_cast<part_flags>(below(8)),
            at(),
            at()
        };
    }

    void add_update(std::vector<raw>& out) {
        auto const old_value = blob(500);
        auto new_value = raw(old_value.begin(), old_value.end());
        for (auto n = below(20); n-- > 0 && !new_value.empty();)
            new_value[below(new_value.size())] = number<std::byte>();
        if (below(2) == 0) new_value.resize(below(600));
        auto space = std::vector<changed_range>(1 + below(5));
        auto const ranges = find_changed_ranges(old_value, new_value, space);
        out.push_back(record_of(record::update_draft{
            part(),
            blob(960),
            static_cast<std::uint32_t>(old_value.size()),
            static_cast<std::uint32_t>(new_value.size()),
            ranges
        }));
    }
    void add_ghost_remove(std::vector<raw>& out) {
        auto ghosts = std::vector<removed_ghost>(below(20));
        for (std::size_t i = 0; i < ghosts.size(); ++i)
            ghosts[i] = {static_cast<std::uint16_t>(3 * i), blob(100)};
        out.push_back(record_of(record::ghost_remove_draft{part(), ghosts}));
    }
    void add_insert_run(std::vector<raw>& out) {
        auto rows = std::vector<key_value>(below(20));
        for (auto& row : rows) row = {blob(100), blob(100)};
        out.push_back(record_of(record::insert_run_draft{part(), rows}));
    }
    void add_structure(std::vector<raw>& out) {
        auto const row = [&](std::uint16_t) { return moved_row{1, blob(9), blob(40), blob(90)}; };
        auto build = structure_builder{buffer_};
        auto p = part();
        p.page = {1};
        build.begin_part(p).cut_right(5, blob(60), {number<std::uint32_t>()});
        p.page = {2};
        auto shape = format_action{.kind = 1, .level = 0, .tree = {17}};
        shape.lower_fence = blob(60);
        build.begin_part(p).format(shape, static_cast<std::uint16_t>(below(20)), row);
        p.page = {3};
        build.begin_part(p).add_child(3, {4}, blob(60)).append(blob(60), {5}, 2, row).empty_inner();
        p.page = {4};
        build.begin_part(p)
            .set_child(7, {8})
            .drop_children(std::vector<dropped_child>{{1, {2}}, {no_slot, {3}}})
            .map_bits(std::vector<map_run>{{1, 2, true}});
        REQUIRE(build.fits());
        out.push_back(record_of(build.structure(structure_op::split)));
        out.push_back(
            record_of(record::tree_create{build.part_count(), {7}, build.parts(), blob(64)})
        );
    }
    void add_attach_list(std::vector<raw>& out) {
        auto entries = std::vector<attach_entry>(below(17));
        for (auto& one : entries) one = {{1}, 0, id(), 5, at(), blob(64)};
        auto space = raw(attach_entries_size_max);
        auto const used = encode_attach_entries(entries, space);
        out.push_back(record_of(record::attach_list{
            static_cast<std::uint16_t>(entries.size()), const_bytes{space}.first(used)
        }));
    }

    std::mt19937_64 random_;
    std::vector<raw> kept_;
    raw buffer_;
};

// Touches every byte that a parsed record lets a consumer see.
struct toucher {
    std::uint64_t sum = 0;
    void bytes_of(const_bytes view) {
        for (auto const b : view) sum += std::to_integer<unsigned>(b);
    }
    void rows(moved_rows const& all) {
        all.for_each([&](moved_row const& row) {
            bytes_of(row.suffix);
            bytes_of(row.value);
        });
    }
    void action(action_kind kind, std::uint16_t argument, const_bytes content) {
        switch (kind) {
        case action_kind::format:
            if (auto const a = format_action::parse(argument, content); a) {
                if (a.value().lower_fence) bytes_of(*a.value().lower_fence);
                if (a.value().upper_fence) bytes_of(*a.value().upper_fence);
                rows(a.value().rows);
            }
            break;
        case action_kind::cut_right:
            if (auto const a = cut_right_action::parse(argument, content); a)
                if (a.value().upper_fence) bytes_of(*a.value().upper_fence);
            break;
        case action_kind::add_child:
            if (auto const a = add_child_action::parse(argument, content); a)
                bytes_of(a.value().separator_suffix);
            break;
        case action_kind::set_child:
            sum += set_child_action::parse(argument, content).has_value();
            break;
        case action_kind::drop_children:
            if (auto const a = drop_children_action::parse(argument, content); a)
                for (std::size_t i = 0; i < a.value().count; ++i) sum += a.value()[i].slot;
            break;
        case action_kind::append:
            if (auto const a = append_action::parse(argument, content); a) {
                if (a.value().upper_fence) bytes_of(*a.value().upper_fence);
                rows(a.value().rows);
            }
            break;
        case action_kind::map_bits:
            if (auto const a = map_runs::parse(argument, content); a)
                for (std::size_t i = 0; i < a.value().count; ++i) sum += a.value()[i].first;
            break;
        case action_kind::empty_inner: break;
        }
    }
    void parts(const_bytes all, std::size_t n) {
        CHECK(for_each_part(
            all,
            n,
            [&](page_part const&, std::uint16_t count, const_bytes actions) {
                return for_each_action(
                    actions,
                    count,
                    [&](action_kind kind, std::uint16_t argument, const_bytes content) {
                        action(kind, argument, content);
                    }
                );
            }
        ));
    }
    void map_parts(const_bytes all, std::size_t n) {
        CHECK(for_each_map_part(all, n, [&](page_part const&, map_runs const& runs) {
            for (std::size_t i = 0; i < runs.count; ++i) sum += runs[i].first;
        }));
    }
    void operator()(log_record const& r) {
        r.visit(overload{
            [&](record::commit const& b) { bytes_of(b.tag); },
            [&](record::insert const& b) { bytes_of(b.key), bytes_of(b.value); },
            [&](record::ghost const& b) { bytes_of(b.key), bytes_of(b.value); },
            [&](record::revive const& b) { bytes_of(b.old_value), bytes_of(b.new_value); },
            [&](record::update const& b) {
                bytes_of(b.key);
                b.for_each_range([&](changed_range const& range) {
                    bytes_of(range.old_bytes);
                    bytes_of(range.new_bytes);
                });
                if (b.old_size > 65536 || b.new_size > 65536) return;
                auto const old_value = raw(b.old_size);
                auto new_value = raw(b.new_size);
                sum += b.apply(old_value, new_value);
                auto back = raw(b.old_size);
                sum += b.revert(new_value, back);
            },
            [&](record::ghost_remove const& b) {
                b.for_each([&](removed_ghost const& one) { bytes_of(one.key); });
            },
            [&](record::insert_run const& b) {
                b.for_each([&](key_value const& row) { bytes_of(row.key), bytes_of(row.value); });
            },
            [&](record::structure const& b) { parts(b.parts, b.part_count); },
            [&](record::tree_create const& b) { bytes_of(b.name), parts(b.parts, b.part_count); },
            [&](record::page_image const& b) {
                bytes_of(b.page_header), bytes_of(b.head), bytes_of(b.tail);
            },
            [&](record::page_free const& b) { map_parts(b.parts, b.part_count); },
            [&](record::page_alloc const& b) { map_parts(b.parts, b.part_count); },
            [&](record::tree_drop const& b) { bytes_of(b.name), bytes_of(b.new_name); },
            [&](record::tree_rename const& b) { bytes_of(b.name), bytes_of(b.new_name); },
            [&](record::db_create const& b) { bytes_of(b.name); },
            [&](record::attach const& b) { bytes_of(b.name); },
            [&](record::attach_list const& b) {
                b.for_each([&](attach_entry const& one) { bytes_of(one.name); });
            },
            [&](record::backup_begin const& b) {
                for (std::size_t i = 0; i < b.count; ++i) sum += b.member(i).database.value;
            },
            [&](record::backup_end const& b) {
                for (std::size_t i = 0; i < b.count; ++i) sum += b.member(i).is_nil();
            },
            [&](record::restore_point const& b) { bytes_of(b.label); },
            [&](record::user const& b) { bytes_of(b.payload); },
            [&](record::unknown const& b) { bytes_of(b.payload); },
            [&](record::rollback const&) {},
            [&](record::extend const&) {},
            [&](record::detach const&) {},
            [&](record::checkpoint_mark const&) {},
            [&](record::recovery_begin const&) {},
            [&](record::recovery_end const&) {},
            [&](record::time_mark const&) {},
            [&](record::verify const&) {},
            [&](record::pad const&) {},
            [&](record::segment_end const&) {},
        });
    }
};

TEST_CASE("every record type survives a round trip with any content", "[log]") {
    for (std::uint64_t seed = 0; seed < jetpp_test::rounds(200); ++seed) {
        CAPTURE(seed);
        auto seen = std::map<std::uint8_t, int>{};
        for (auto const& made : random_records{seed}.all()) {
            auto const parsed = parse_record(here, made);
            REQUIRE(parsed);
            ++seen[static_cast<std::uint8_t>(parsed.value().header.type)];
            auto again = raw(made.size(), std::byte{0xDD});
            parsed.value().visit([&](auto const& view) {
                REQUIRE(view.size() == made.size());
                view.encode(again.data());
            });
            REQUIRE(std::equal(made.begin() + 24, made.end(), again.begin() + 24, again.end()));
        }
        REQUIRE(seen.size() == record_bodies::size - 1); // all but unknown
    }
}

TEST_CASE("random bytes and damaged records never lead a parser astray", "[log]") {
    auto const rounds = jetpp_test::rounds(100'000);
    auto seed = std::uint64_t{1};
    auto rng = random_records{seed};
    auto pool = rng.all();
    auto accepted = std::uint64_t{0};
    for (std::uint64_t round = 0; round < rounds; ++round) {
        if (round % 5000 == 0) {
            rng = random_records{++seed};
            pool = rng.all();
        }
        CAPTURE(seed, round);
        // An exact allocation each time, so that a sanitizer sees a step beyond it.
        auto bytes_now = raw{};
        if (rng.below(3) == 0) {
            bytes_now.resize(24 + 8 * rng.below(64));
            for (auto& b : bytes_now) b = rng.number<std::byte>();
            bytes_now[8] = pool[rng.below(pool.size())][8]; // a known type gets further
            bytes_now[9] = std::byte{0};
            store_le<std::uint64_t>(bytes_now.data() + 16, 0);
        } else {
            bytes_now = pool[rng.below(pool.size())];
            for (auto n = 1 + rng.below(4); n-- > 0;) {
                auto const size = bytes_now.size() - 24;
                auto const at = 24 + rng.below(std::min<std::size_t>(size, 96) + 1);
                if (at < bytes_now.size()) bytes_now[at] = rng.number<std::byte>();
            }
            if (rng.below(4) == 0) bytes_now.resize(24 + 8 * rng.below(bytes_now.size() / 8 - 2));
            bytes_now.shrink_to_fit();
        }
        store_le<std::uint32_t>(bytes_now.data(), static_cast<std::uint32_t>(bytes_now.size()));
        auto const parsed = parse_record(here, bytes_now);
        if (!parsed) {
            REQUIRE(parsed.error().at == here);
            continue;
        }
        ++accepted;
        auto touch = toucher{};
        touch(parsed.value());
    }
    CHECK(accepted > rounds / 100);
}

TEST_CASE("a header that cannot be is refused by name", "[log]") {
    auto const with = [](record_header header) { return check_header(here, header); };
    auto const row = [&](record_flags flags, lsn transaction) {
        return with({.type = record_type::insert, .flags = flags, .transaction = transaction});
    };
    auto const of_type = [&](unsigned type) {
        return with({.type = static_cast<record_type>(type)});
    };
    CHECK(row(record_flags::first_of_transaction, here));
    CHECK(row(record_flags::none, here - 8));
    CHECK(row(record_flags::none, here).error().code == errc::log_corrupt);
    CHECK(row(record_flags::none, here + 8).error().code == errc::log_corrupt);
    CHECK(row(record_flags::first_of_transaction, no_lsn).error().code == errc::log_corrupt);
    CHECK(row(record_flags::encrypted, no_lsn).error().code == errc::unsupported_record);
    CHECK(row(static_cast<record_flags>(4), no_lsn).error().code == errc::unsupported_record);
    CHECK(of_type(0x88).error().code == errc::log_corrupt); // an insert that claims to be ignorable
    CHECK(of_type(0x77).error().code == errc::unsupported_record);
    CHECK(of_type(0xF7));
    CHECK(of_type(0x34).error().code == errc::unlogged_changes);
}

TEST_CASE("an unknown ignorable record is handed out as unknown", "[log]") {
    auto made = record_of(record::user{.kind = 1, .payload = as_bytes("12345678")});
    made[8] = std::byte{0xF0};
    auto const parsed = parse_record(here, made);
    REQUIRE(parsed);
    auto const* const body = parsed.value().as<record::unknown>();
    REQUIRE(body != nullptr);
    CHECK(static_cast<unsigned>(body->actual) == 0xF0);
    CHECK(body->payload.size() == made.size() - 24);
}

TEST_CASE("a filter wants what all of its members want", "[log]") {
    auto const row = record_header{
        .type = record_type::insert, .database = {1}, .tree = {16}, .transaction = {9}
    };
    CHECK(record_filter{}.wants(row));
    auto const all = record_filter{}.database({1}).tree({16}).transaction({9});
    CHECK(all.types<record::insert>().wants(row));
    CHECK_FALSE(record_filter{}.database({2}).wants(row));
    CHECK_FALSE(record_filter{}.tree({17}).wants(row));
    CHECK_FALSE(record_filter{}.transaction({8}).wants(row));
    CHECK_FALSE(record_filter{}.types<record::update, record::commit>().wants(row));
    CHECK(record_filter{}.types<record::unknown>().wants({.type = static_cast<record_type>(0xF0)}));
}

TEST_CASE("changed ranges rebuild the new value and undo it", "[log]") {
    auto random = std::mt19937_64{7};
    auto const below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    for (int round = 0; round < 5000; ++round) {
        CAPTURE(round);
        auto old_value = raw(below(80));
        for (auto& b : old_value) b = static_cast<std::byte>(below(3));
        auto new_value = old_value;
        for (auto n = below(6); n-- > 0 && !new_value.empty();)
            new_value[below(new_value.size())] = static_cast<std::byte>(below(3));
        if (below(3) == 0) new_value.resize(below(80));
        auto space = std::vector<changed_range>(1 + below(4));
        auto const ranges = find_changed_ranges(old_value, new_value, space);
        CHECK(ranges.empty() == (old_value == new_value));
        auto const made = record_of(record::update_draft{
            {},
            {},
            static_cast<std::uint32_t>(old_value.size()),
            static_cast<std::uint32_t>(new_value.size()),
            ranges
        });
        auto const parsed = record::update::parse(made);
        REQUIRE(parsed);
        auto forth = raw(new_value.size());
        REQUIRE(parsed.value().apply(old_value, forth));
        REQUIRE(forth == new_value);
        auto back = raw(old_value.size());
        REQUIRE(parsed.value().revert(new_value, back));
        REQUIRE(back == old_value);
        if (!ranges.empty() && !ranges[0].old_bytes.empty()) {
            auto other = old_value;
            other[ranges[0].offset] ^= std::byte{0x80};
            CHECK_FALSE(parsed.value().apply(other, forth));
        }
    }
}

} // namespace jetpp_test::records_cases
