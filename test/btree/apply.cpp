#include "tree_bed.hpp"

namespace jetpp_test::apply_cases {

using namespace jetpp;

constexpr auto page_size = std::size_t{4096};
using view = page_view<page_size>;

// A page, and records made for it by hand.
class bench {
public:
    bench() { reset(); }

    void reset() {
        REQUIRE(page_editor<page_size>{page_.data()}.format(
            {.number = {40}, .tree = {16}, .kind = page_kind::leaf}
        ));
    }
    view page() const { return view{page_.data()}; }
    std::byte* data() { return page_.data(); }
    static page_part part(std::uint16_t slot = no_slot) { return {.page = {40}, .slot = slot}; }

    template <class Body>
    result<void> run(Body const& body, record_flags flags = {}, page_number to = {40}) {
        at_ += 64;
        raw_.assign(body.size(), std::byte{0xEE});
        encode_header(
            raw_.data(), {.type = Body::type, .flags = flags, .database = {1}, .tree = {16}}
        );
        body.encode(raw_.data());
        auto const parsed = Body::parse(raw_);
        INFO(said(parsed));
        REQUIRE(parsed);
        record_ = log_record{
            .at = at_,
            .length = static_cast<std::uint32_t>(raw_.size()),
            .header = decode_header(raw_.data()),
            .body = parsed.value(),
            .raw = raw_,
        };
        auto done = result<void>{ok()};
        auto seen = 0;
        auto const walked = for_each_page<page_size>(record_, [&](page_part const& one) {
            if (one.page != to) return;
            ++seen;
            done = apply<page_size>(page_.data(), one, record_, 7);
        });
        REQUIRE(walked);
        REQUIRE(seen == 1);
        if (done) {
            CHECK(page().page_lsn() == at_);
            CHECK(page().timeline_low() == 7);
            CHECK((to != page_number{40} || check_page(page()) == damage::none));
        }
        return done;
    }
    template <class Body>
    void refuses(Body const& body) {
        auto const before = std::vector<std::byte>(page_.data(), page_.data() + page_size);
        auto const done = run(body);
        REQUIRE_FALSE(done);
        CHECK(done.error().code == errc::page_damaged);
        CHECK(done.error().page == page_number{40});
        CHECK(done.error().at == at_);
        std::memcpy(page_.data(), before.data(), page_size);
    }
    std::string rows() const {
        auto text = std::string{};
        std::byte key[448];
        for (auto i = 0u; i < page().row_count(); ++i)
            text += (page().is_ghost(i) ? "(" : "") + text_of(page().copy_key(i, key)) + "=" +
                    text_of(page().value(i)) + (page().is_ghost(i) ? ") " : " ");
        return text;
    }

private:
    aligned_buffer page_ = aligned_buffer::create(page_size).value();
    std::vector<std::byte> raw_;
    log_record record_{};
    lsn at_{4096};
};

record::insert insert(std::uint16_t slot, std::string const& key, std::string const& value) {
    return {bench::part(slot), raw(key), raw(value)};
}

TEST_CASE("row records do to a page what they say", "[btree][apply]") {
    auto b = bench{};
    auto const texts = std::vector<std::string>{"a", "b", "c", "one", "two", "three", "two!!"};
    REQUIRE(b.run(insert(0, texts[1], texts[4])));
    REQUIRE(b.run(insert(0, texts[0], texts[3])));
    REQUIRE(b.run(insert(2, texts[2], texts[5])));
    CHECK(b.rows() == "a=one b=two c=three ");
    auto const whole = changed_range{0, raw(texts[4]), raw(texts[6])};
    auto const draft = record::update_draft{bench::part(1), raw(texts[1]), 3, 5, {&whole, 1}};
    auto encoded = std::vector<std::byte>(draft.size());
    draft.encode(encoded.data());
    REQUIRE(b.run(record::update::parse(encoded).value()));
    CHECK(b.rows() == "a=one b=two!! c=three ");
    REQUIRE(b.run(record::ghost{bench::part(0), raw(texts[0]), raw(texts[3])}));
    CHECK(b.rows() == "(a=one) b=two!! c=three ");
    REQUIRE(b.run(record::revive{bench::part(0), raw(texts[0]), raw(texts[3]), raw(texts[5])}));
    CHECK(b.rows() == "a=three b=two!! c=three ");
    REQUIRE(b.run(record::ghost{bench::part(0), raw(texts[0]), raw(texts[4])}));
    CHECK(b.rows() == "(a=two) b=two!! c=three ");
}

TEST_CASE("a record made for another page is refused as damage", "[btree][apply]") {
    auto b = bench{};
    auto const a = std::string{"a"};
    auto const c = std::string{"c"};
    auto const one = std::string{"one"};
    auto const other = std::string{"other"};
    REQUIRE(b.run(insert(0, a, one)));
    b.refuses(insert(0, a, one)); // the key is there
    b.refuses(insert(0, c, one)); // out of order
    b.refuses(insert(2, c, one)); // behind the end
    b.refuses(record::ghost{bench::part(0), raw(c), raw(one)});
    b.refuses(record::ghost{bench::part(1), raw(a), raw(one)});
    b.refuses(record::revive{bench::part(0), raw(a), raw(one), raw(other)}); // no ghost
    REQUIRE(b.run(record::ghost{bench::part(0), raw(a), raw(one)}));
    b.refuses(record::ghost{bench::part(0), raw(a), raw(one)});
    b.refuses(record::revive{bench::part(0), raw(a), raw(other), raw(one)}); // another old value
    CHECK(b.rows() == "(a=one) ");
}

TEST_CASE("an image makes the page from nothing", "[btree][apply]") {
    auto from = bench{};
    auto const key = std::string{"key"};
    auto const value = std::string(600, 'v');
    REQUIRE(from.run(insert(0, key, value)));
    auto to = bench{};
    std::memset(to.data(), 0xA5, page_size);
    auto const image = record::page_image::of(
        {.page = {40}, .flags = part_flags::format}, from.page().all(), 8, 700
    );
    REQUIRE(to.run(image));
    CHECK(same_content(to.page(), from.page(), false));
    auto wrong = image;
    wrong.part.page = {41};
    CHECK_FALSE(to.run(wrong, {}, {41}));
}

TEST_CASE("an image of what is no page is refused, whatever its record's sum", "[btree][apply]") {
    auto from = bench{};
    REQUIRE(from.run(insert(0, "key", "value")));
    auto const part = page_part{.page = {40}, .flags = part_flags::format};
    // Dead bytes that are not there: the next insert would compact, and write where the slot points.
    auto wild = std::vector<std::byte>(from.data(), from.data() + page_size);
    store_le<std::uint32_t>(wild.data() + page_offset::heap_begin, 200);
    store_le<std::uint16_t>(wild.data() + page_offset::dead_bytes, 2000);
    store_le<std::uint16_t>(wild.data() + page_offset::content, 60'000);
    // A row outside the fences, whose suffix is shorter than a cut will take.
    auto outside = bench{};
    REQUIRE(page_editor<page_size>{outside.data()}.format(
        {.number = {40}, .tree = {16}, .kind = page_kind::leaf, .lower = as_bytes("m")}
    ));
    auto bent = std::vector<std::byte>(outside.data(), outside.data() + page_size);
    auto rows = page_editor<page_size>{bent.data()};
    REQUIRE(rows.insert(0, as_bytes("n"), as_bytes("value")));
    auto const slot = rows.view().slot(0).offset();
    bent[slot + 2] = std::byte{'a'};
    for (auto const* const page : {&wild, &bent}) {
        auto to = bench{};
        CHECK_FALSE(to.run(record::page_image::of(part, *page, 128, page_size - 256)));
    }
}

TEST_CASE("a map refuses to allocate or free a page twice", "[btree][apply]") {
    auto map = bench{};
    REQUIRE(map.run(record::extend{.old_pages = 32, .new_pages = 100}, {}, {32}));
    std::byte buffer[256];
    auto const parts = [&](map_run run) {
        auto build = map_parts_builder{buffer};
        build.add({.page = {32}}, {&run, 1});
        return build.parts();
    };
    REQUIRE(map.run(record::page_alloc{1, parts({5, 3, true})}, {}, {32}));
    CHECK_FALSE(map.run(record::page_alloc{1, parts({7, 1, true})}, {}, {32}));
    REQUIRE(map.run(record::page_free{1, parts({6, 2, false})}, {}, {32}));
    CHECK_FALSE(map.run(record::page_free{1, parts({6, 1, false})}, {}, {32}));
    CHECK_FALSE(map.run(record::page_free{1, parts({0, 1, false})}, {}, {32}));
    CHECK(space_map_view<page_size>{map.data()}.count_free(68) == 66);
}

TEST_CASE("extend names the maps of all regions that begin in it", "[btree][apply]") {
    auto const maps_of = [](std::uint32_t old_pages, std::uint32_t new_pages) {
        auto record = log_record{};
        record.body = record::extend{old_pages, new_pages};
        auto maps = std::vector<std::uint32_t>{};
        REQUIRE(for_each_page<page_size>(record, [&](page_part const& part) {
            CHECK(has(part.flags, part_flags::format));
            maps.push_back(part.page.value);
        }));
        return maps;
    };
    constexpr auto region = page_limits<page_size>::region_pages;
    CHECK(maps_of(0, 32).empty());
    CHECK(maps_of(0, 33) == std::vector<std::uint32_t>{32});
    CHECK(maps_of(33, 32 + region).empty());
    CHECK(maps_of(32 + region, 33 + region) == std::vector<std::uint32_t>{32 + region});
    CHECK(maps_of(35, 33 + 2 * region) == std::vector<std::uint32_t>{32 + region, 32 + 2 * region});
}

TEST_CASE("whatever a part says, a page is changed or refused, never left", "[btree][apply]") {
    auto const seed = GENERATE(take(200, random(0u, 1u << 30)));
    CAPTURE(seed);
    auto d = dice{seed};
    auto b = bench{};
    for (auto i = 0; i < 20; ++i)
        (void)b.run(insert(
            static_cast<std::uint16_t>(i),
            std::string(1, static_cast<char>('a' + i)),
            d.bytes_of(d.below(100))
        ));
    // Random actions over random bytes: parse and apply must only answer.
    auto actions = std::vector<std::byte>{};
    for (auto n = d.below(4) + 1; n-- > 0;) {
        auto const length = d.below(64);
        auto const at = actions.size();
        actions.resize(at + 8 + padded(length));
        for (auto i = at; i < actions.size(); ++i) actions[i] = static_cast<std::byte>(d.next());
        store_le<std::uint16_t>(&actions[at], static_cast<std::uint16_t>(d.below(10)));
        store_le<std::uint16_t>(&actions[at + 2], static_cast<std::uint16_t>(d.below(30)));
        store_le<std::uint32_t>(&actions[at + 4], static_cast<std::uint32_t>(length));
    }
    auto parts = std::vector<std::byte>(32);
    encode_part(parts.data(), bench::part());
    store_le<std::uint32_t>(&parts[28], static_cast<std::uint32_t>(actions.size()));
    parts.insert(parts.end(), actions.begin(), actions.end());
    auto count = std::uint16_t{0};
    for (auto at = std::size_t{0}; at < actions.size();
         at += 8 + padded(load_le<std::uint32_t>(&actions[at + 4])))
        ++count;
    store_le<std::uint16_t>(&parts[24], count);
    auto record = log_record{};
    record.at = {9999};
    record.body = record::structure{structure_op::split, 1, parts};
    auto const done = apply<page_size>(b.data(), bench::part(), record, 1);
    if (!done)
        CHECK((done.error().code == errc::page_damaged || done.error().code == errc::log_corrupt));
}

} // namespace jetpp_test::apply_cases
