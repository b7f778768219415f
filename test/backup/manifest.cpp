// test/backup/manifest.cpp - manifests: written by hand, read as a stranger's.
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/manifest_text.hpp>

#include <string>

#include "../catch.hpp"

namespace jetpp_test::manifest_cases {

using namespace jetpp;

constexpr auto segment = std::uint64_t{1} << 20;

backup_manifest sample() {
    auto m = backup_manifest{};
    m.set = make_uuid(1, 2);
    m.created = {1'740'830'400'000'000'000};
    m.tag = "a \"quoted\" tag\n";
    m.instance = make_uuid(3, 4);
    m.timeline = {0x9b1f00aa37c2d4e1};
    m.ancestry = {{{0x51}, {905'969'664}}};
    m.redo_lsn = {5 * segment + 8192};
    m.undo_low_lsn = {5 * segment + 4096};
    m.log_start = m.undo_low_lsn;
    m.begin_lsn = {6 * segment + 4096};
    m.copy_end_lsn = {6 * segment + 9000};
    m.end_lsn = {7 * segment};
    m.last_commit = {6 * segment + 8000};
    m.last_commit_time = {1'740'830'398'123'456'000};
    m.page_size = 8192;
    m.segment_bytes = segment;
    m.checksum = "crc32c";
    m.archival = true;
    m.databases = {{.name = "app", .id = make_uuid(5, 6), .place = {1}, .pages = 131072}};
    m.log = {{m.timeline, {5 * segment}, {7 * segment}}};
    auto part = manifest_part{.number = 0, .name = "part-0000-app.jbs"};
    part.content = part_content::database;
    part.database = m.databases[0].id;
    part.summary = {.end = 131073, .bytes = 99, .frames = 4, .raw_bytes = 77, .last_index = 5};
    part.summary.headers.fill(std::byte{0xAB});
    m.parts.push_back(part);
    part = {.number = 1, .name = "part-0001-log.jbs"};
    part.content = part_content::log;
    part.timeline = m.timeline;
    part.summary = {.first = 5 * segment, .end = 7 * segment, .bytes = 9, .frames = 4};
    m.parts.push_back(part);
    m.warnings = {{"home_image_bad", "app", 1}};
    return m;
}

std::string sealed(backup_manifest const& m) {
    return seal_text(m.to_json()).value();
}

std::string replaced(std::string text, std::string const& from, std::string const& to) {
    auto const at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
    return text;
}

errc code_of(std::string const& file) {
    auto const read = parse_manifest(file);
    if (read) return errc::none;
    CHECK(read.error().file == file_kind::manifest);
    return read.error().code;
}
// What a manifest becomes whose author wrote something else there.
errc code_with(std::string const& from, std::string const& to) {
    return code_of(seal_text(replaced(sample().to_json(), from, to)).value());
}

TEST_CASE("a manifest is read back as it was written", "[backup][manifest]") {
    auto const read = parse_manifest(sealed(sample()));
    REQUIRE(read);
    CHECK(read.value().manifest == sample());
    auto const hash = sha256::of(as_bytes(sample().to_json()));
    CHECK(read.value().hash == hash.value());
}

TEST_CASE("numbers of 64 bits are decimal strings, ids lowercase hex", "[backup][manifest]") {
    auto const text = sample().to_json();
    CHECK(text.find("\"end_lsn\":\"00000000000007340032\"") != std::string::npos);
    CHECK(text.find("\"timeline\":\"9b1f00aa37c2d4e1\"") != std::string::npos);
    CHECK(text.find("\"created\":\"2025-03-01T12:00:00Z\"") != std::string::npos);
    CHECK(text.find("\"time\":\"2025-03-01T11:59:58.123456Z\"") != std::string::npos);
    CHECK(text.find("\"tag\":\"a \\\"quoted\\\" tag\\u000a\"") != std::string::npos);
}

TEST_CASE("every flipped bit of a sealed manifest is found", "[backup][manifest]") {
    auto file = sealed(sample());
    for (auto& c : file) {
        for (auto bit = 0; bit < 8; ++bit) {
            c = static_cast<char>(c ^ (1 << bit));
            CHECK(code_of(file) == errc::set_damaged);
            c = static_cast<char>(c ^ (1 << bit));
        }
    }
    CHECK(code_of(file) == errc::none);
}

TEST_CASE("a seal in upper case, cut or followed by a byte is damage", "[backup][manifest]") {
    auto const file = sealed(sample());
    for (std::size_t size = 0; size < file.size(); ++size)
        if (code_of(file.substr(0, size)) != errc::set_damaged)
            FAIL("a manifest cut to " << size << " bytes is not damage");
    CHECK(code_of(file + "\n") == errc::set_damaged);
    auto upper = file;
    for (auto i = upper.size() - 65; i < upper.size(); ++i)
        if (upper[i] >= 'a' && upper[i] <= 'f') upper[i] = static_cast<char>(upper[i] - 32);
    REQUIRE(upper != file);
    CHECK(code_of(upper) == errc::set_damaged);
}

TEST_CASE("a sealed text that is no manifest is damage", "[backup][manifest]") {
    for (auto const* text : {"{}", "[]", "null", "{\"format\":\"jbs\"}", "{", "\xff\xfe", ""})
        CHECK(code_of(seal_text(text).value()) == errc::set_damaged);
    CHECK(code_of(seal_text(std::string(100'000, '[')).value()) == errc::set_damaged);
}

// One byte of text is a hundred of a parsed value: who counts bytes only is filled up by 16 MiB.
TEST_CASE(
    "a sealed text of more values than any manifest has is not parsed", "[backup][manifest]"
) {
    auto const fits = [](std::string const& text) {
        return !detail::parse_bounded(text).is_discarded();
    };
    auto const nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    CHECK(fits(nested(detail::json_depth_max)));
    CHECK_FALSE(fits(nested(detail::json_depth_max + 1)));
    auto const list = [](std::size_t values) {
        auto text = std::string{"[0"};
        for (std::size_t i = 1; i < values; ++i) text += ",0";
        return text + "]";
    };
    CHECK(fits(list(detail::json_values_max - 1)));
    CHECK_FALSE(fits(list(detail::json_values_max + 1)));
    // What stands in quotes is no value.
    CHECK(fits("[\"" + std::string(2 * detail::json_values_max, ',') + "\"]"));
    CHECK(fits(R"(["\\", "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["])"));
}

TEST_CASE("a manifest of a later format is unsupported", "[backup][manifest]") {
    CHECK(code_with("\"min_reader\":1", "\"min_reader\":2") == errc::unsupported);
    CHECK(code_with("\"critical\":[]", "\"critical\":[\"tea\"]") == errc::unsupported);
    CHECK(code_with("\"codec\":\"none\"", "\"codec\":\"lzma\"") == errc::unsupported);
    CHECK(code_with("\"cipher\":null", "\"cipher\":\"rot13\"") == errc::unsupported);
    CHECK(code_with("\"app\":{}", "\"app\":{},\"tea\":1") == errc::none);
}

TEST_CASE("fields that cannot be are damage", "[backup][manifest]") {
    using pair = std::pair<char const*, char const*>;
    for (auto const& [from, to] : {
             pair{"\"kind\":\"full\"", "\"kind\":\"fuller\""},
             pair{"\"page_size\":8192", "\"page_size\":8191"},
             pair{"\"page_size\":8192", "\"page_size\":-1"},
             pair{"\"page_size\":8192", "\"page_size\":\"8192\""},
             pair{"\"end_lsn\":\"00000000000007340032\"", "\"end_lsn\":\"7340033\""},
             pair{"\"end_lsn\":\"00000000000007340032\"", "\"end_lsn\":7340032"},
             pair{"\"end_lsn\":\"00000000000007340032\"", "\"end_lsn\":null"},
             pair{"\"redo_lsn\":\"", "\"redo_lsn\":\"9"},
             pair{"\"db_id\":1", "\"db_id\":65536"},
             pair{"\"db_id\":1", "\"db_id\":0"},
             pair{"\"trailer\":true", "\"trailer\":1"},
             pair{"\"trailer\":true", "\"trailer\":true,\"delta\":true"}, // of a full set
             pair{"\"part\":1", "\"part\":7"},
             pair{"\"receipt\":\"durable\"", "\"receipt\":\"sure\""},
             pair{"\"created\":\"2025-03-01T12", "\"created\":\"2025-03-01T99"},
             pair{"\"databases\":[", "\"databases\":[7,"},
         }) {
        CAPTURE(from, to);
        CHECK(code_with(from, to) == errc::set_damaged);
    }
}

TEST_CASE("names that could leave the directory are unsafe", "[backup][manifest]") {
    for (auto const* name :
         {"../app", "/etc/passwd", "", ".", "..", "-rf", "jet.ckp", "a\\\\b", "x.tmp", "\\u0000"}) {
        CAPTURE(name);
        CHECK(
            code_with("\"name\":\"app\"", std::string{"\"name\":\""} + name + "\"") ==
            errc::unsafe_name
        );
    }
    CHECK(
        code_with("\"name\":\"part-0000-app.jbs\"", "\"name\":\"../part.jbs\"") == errc::unsafe_name
    );
}

TEST_CASE("times are written in UTC and read back", "[backup][manifest]") {
    for (auto const ns :
         {std::int64_t{0},
          std::int64_t{1'709'251'199'123'456'000},
          std::int64_t{4'102'444'799'999'999'000}}) {
        auto const text = utc_text::microseconds({ns});
        CHECK(parse_utc(text.view()) == wall_time{ns});
    }
    CHECK_FALSE(parse_utc("2025-03-01 12:00:00Z"));
    CHECK_FALSE(parse_utc("2025-13-01T12:00:00Z"));
    CHECK_FALSE(parse_utc(""));
}

} // namespace jetpp_test::manifest_cases
