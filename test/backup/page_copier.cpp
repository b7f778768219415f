// test/backup/page_copier.cpp - what is copied when a page is not what its file says.
#include <jetpp/backup/page_copier.hpp>
#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/env/native_runtime.hpp>
#include <jetpp/page/page_editor.hpp>

#include <cstddef>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test::page_copier_cases {

using namespace jetpp;

constexpr std::size_t page_size = 4096;
constexpr std::uint64_t nonce = 77;
using image = std::vector<std::byte>;
using codec = page_codec<page_size, crc32c>;

image sound_page(std::uint32_t number, std::uint64_t page_lsn) {
    auto page = image(page_size);
    auto editor = page_editor<page_size>{page.data()};
    REQUIRE(editor.format({.number = page_number{number}, .tree = {16}, .kind = page_kind::leaf}));
    editor.set_page_lsn(lsn{page_lsn}, 1);
    codec::seal(page.data(), nonce);
    return page;
}

// A file of three pages from 40 on, a memory, and a script of what happens between the calls.
struct scripted_source {
    std::map<std::uint32_t, image> file;
    std::map<std::uint32_t, image> memory;
    std::map<std::uint32_t, std::uint32_t> versions;
    std::set<std::uint32_t> free_pages;
    lsn durable{1000};
    std::deque<std::function<void()>> before_read; // one a read, the first included
    std::vector<lsn> waited;
    int reads = 0;

    scripted_source() {
        for (auto i = 40U; i < 43; ++i) file[i] = sound_page(i, 100 + i);
    }
    [[nodiscard]] result<void> read(page_number first, bytes into) noexcept {
        ++reads;
        if (!before_read.empty()) {
            before_read.front()();
            before_read.pop_front();
        }
        for (std::size_t i = 0; i * page_size < into.size(); ++i)
            std::memcpy(
                into.data() + i * page_size,
                file[first.value + static_cast<std::uint32_t>(i)].data(),
                page_size
            );
        return ok();
    }
    [[nodiscard]] std::uint64_t nonce() const noexcept { return page_copier_cases::nonce; }
    [[nodiscard]] lsn durable_lsn() const noexcept { return durable; }
    [[nodiscard]] result<void> wait_durable(lsn at) noexcept {
        waited.push_back(at);
        durable = later(durable, at + 1);
        return ok();
    }
    [[nodiscard]] page_residence residence(page_number page) noexcept {
        return {.absent = !memory.contains(page.value), .version = versions[page.value]};
    }
    [[nodiscard]] bool copy_resident(page_number page, bytes into) noexcept {
        auto const found = memory.find(page.value);
        if (found == memory.end()) return false;
        std::memcpy(into.data(), found->second.data(), page_size);
        return true;
    }
    [[nodiscard]] result<bool> is_free(page_number page) noexcept {
        return free_pages.contains(page.value);
    }
};
static_assert(page_source<scripted_source>);

struct copied {
    errc code = errc::none;
    error why{};
    image pages = image(3 * page_size);
    presence_bits presence{};
    std::uint64_t masked = 0;

    [[nodiscard]] image page(std::size_t i) const {
        auto const at = pages.begin() + static_cast<std::ptrdiff_t>(i * page_size);
        return {at, at + page_size};
    }
};

copied copy(scripted_source& source) {
    auto out = copied{};
    auto copier = page_copier<page_size, crc32c, scripted_source, native_runtime>{source};
    auto const done = copier.copy(page_number{40}, out.pages, out.presence);
    if (!done) {
        out.code = done.error().code;
        out.why = done.error();
    }
    out.masked = copier.masked();
    return out;
}

TEST_CASE("sound pages are copied as they are, in one read", "[backup][copier]") {
    auto source = scripted_source{};
    auto const got = copy(source);
    CHECK(got.code == errc::none);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(got.page(i) == source.file[40 + static_cast<std::uint32_t>(i)]);
        CHECK(is_present(got.presence, i));
    }
    CHECK(source.reads == 1);
    CHECK(source.waited.empty());
}

TEST_CASE("a torn page that is in memory comes from there, sealed anew", "[backup][copier]") {
    auto source = scripted_source{};
    source.file[41][2000] ^= std::byte{1};
    source.memory[41] = sound_page(41, 500);
    source.memory[41][0] ^= std::byte{0xFF}; // in memory the checksum is stale
    auto const got = copy(source);
    CHECK(got.code == errc::none);
    CHECK(codec::verify(got.page(1).data(), nonce, page_number{41}) == damage::none);
    CHECK(page_view<page_size>{got.page(1).data()}.page_lsn() == lsn{500});
    CHECK(source.waited == std::vector{lsn{500}});
    CHECK(got.masked == 1);
}

TEST_CASE("memory's copy waits until the log covers it", "[backup][copier]") {
    auto source = scripted_source{};
    source.file[42] = image(page_size); // never written
    source.memory[42] = sound_page(42, 5000);
    auto const got = copy(source);
    CHECK(got.code == errc::none);
    CHECK(source.waited == std::vector{lsn{5000}});
    CHECK(source.durable == lsn{5001});
    CHECK(got.masked == 0); // a page that was never written is no damage
}

TEST_CASE("a page torn by a write in flight is read again", "[backup][copier]") {
    auto source = scripted_source{};
    auto const whole = source.file[40];
    source.before_read = {
        [&] { source.file[40][100] ^= std::byte{1}; },
        [&] { source.file[40] = whole; },
    };
    auto const got = copy(source);
    CHECK(got.code == errc::none);
    CHECK(got.page(0) == whole);
    CHECK(source.reads == 2);
}

TEST_CASE("a bad page that nobody wrote meanwhile is damage, with its number", "[backup][copier]") {
    auto source = scripted_source{};
    source.file[41][2000] ^= std::byte{1};
    auto const got = copy(source);
    CHECK(got.code == errc::page_damaged);
    CHECK(got.why.page == page_number{41});
    CHECK(got.why.reason == damage::checksum);
    CHECK(source.reads == 2);
}

TEST_CASE("as long as somebody writes the page, it is read again", "[backup][copier]") {
    auto source = scripted_source{};
    source.file[41][2000] ^= std::byte{1};
    source.before_read.push_back([] {});
    for (auto turn = 0; turn < 5; ++turn)
        source.before_read.push_back([&] { ++source.versions[41]; }); // in, changed and out again
    auto const got = copy(source);
    CHECK(got.code == errc::page_damaged); // in the end it was nobody
    CHECK(source.reads == 7);
}

TEST_CASE("a zero page is legal if it is free, damage if not", "[backup][copier]") {
    auto source = scripted_source{};
    source.file[41] = image(page_size);
    CHECK(copy(source).code == errc::page_damaged);
    CHECK(copy(source).why.reason == damage::zero);
    source.free_pages.insert(41);
    auto const got = copy(source);
    CHECK(got.code == errc::none);
    CHECK_FALSE(is_present(got.presence, 1));
    CHECK(is_present(got.presence, 2));
    CHECK(got.page(1) == image(page_size));
}

TEST_CASE("a page from beyond the durable log is not believed", "[backup][copier]") {
    auto source = scripted_source{};
    source.file[40] = sound_page(40, 1000);
    auto const got = copy(source);
    CHECK(got.code == errc::page_damaged);
    CHECK(got.why.reason == damage::future);
    source.durable = lsn{1001};
    CHECK(copy(source).code == errc::none);
}

TEST_CASE("how far the log is durable is asked after the page was read", "[backup][copier]") {
    auto source = scripted_source{};
    // Written home while the file is read: its log was durable by then, and not a moment before.
    source.before_read.push_back([&] {
        source.file[40] = sound_page(40, 1000);
        source.durable = lsn{1001};
    });
    CHECK(copy(source).code == errc::none);
    CHECK(source.reads == 1); // no false alarm to be looked into
    // The same of the page that is read again.
    source.reads = 0;
    source.durable = lsn{1000};
    source.before_read = {
        [] {},
        [&] { source.durable = lsn{1001}; },
    };
    CHECK(copy(source).code == errc::none);
    CHECK(source.reads == 2);
}

TEST_CASE("a sound page in the wrong place is damage", "[backup][copier]") {
    auto source = scripted_source{};
    source.file[40] = source.file[41];
    CHECK(copy(source).why.reason == damage::number);
}

TEST_CASE("a copy's trailer never stands in a live file", "[backup][copier]") {
    auto source = scripted_source{};
    auto page = image(page_size);
    REQUIRE(page_editor<page_size>{page.data()}.format(
        {.number = page_number{40}, .tree = no_tree, .kind = page_kind::copy_trailer}
    ));
    codec::seal(page.data(), nonce);
    source.file[40] = page;
    CHECK(copy(source).why.reason == damage::kind);
}

} // namespace jetpp_test::page_copier_cases
