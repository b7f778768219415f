// test/backup/verify_stream.cpp - a stream is proved while it passes, and whatever is not a sound set
// of pages and log is named.
#include <jetpp/backup.hpp>
#include <jetpp/backup/verify_stream.hpp>
#include <jetpp/backup/zstd_codec.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "../fuzz/targets.hpp"
#include "bed.hpp"

namespace jetpp_test::verify_stream_cases {

using namespace jetpp;

using stream_bytes = std::vector<std::byte>;

struct collected {
    stream_bytes all;
    [[nodiscard]] result<void> write(const_bytes content) {
        all.insert(all.end(), content.begin(), content.end());
        return ok();
    }
};

stream_bytes stream_of(bed<>& b, backup_options const& options = {}) {
    auto out = collected{};
    auto sink = stream_sink{out};
    (void)good(run_in_place(b.store(), sink, options));
    return std::move(out.all);
}

verify_report verify(const_bytes content, verify_options const& options = {}) {
    auto from = bytes_input{content, std::size_t{1} << 20};
    return good(verify_stream(from, options));
}

// Where frames begin, and what type each is of.
std::vector<std::size_t> frames_in(const_bytes content, frame_type type) {
    auto found = std::vector<std::size_t>{};
    for (std::size_t at = 0; at < content.size();) {
        auto const head = good(frame_header::decode(content.subspan(at, frame_header_bytes)));
        if (head.type == type) found.push_back(at);
        at += frame_header_bytes + head.stored_bytes;
    }
    return found;
}

TEST_CASE("a sound stream passes, and its proof is called partial", "[backup][verify]") {
    auto b = bed{};
    b.work(1500, 1);
    good(b.db.attach("second"));
    auto read = std::uint64_t{0};
    auto options = verify_options{};
    options.access.codecs = {{&zstd_codec}};
    options.on_read = [&](std::uint64_t bytes) -> result<void> {
        read += bytes;
        return ok();
    };
    for (auto const* codec : {static_cast<codec_kind const*>(nullptr), &zstd_codec}) {
        read = 0;
        auto const content = stream_of(b, {.codec = {codec}});
        auto const report = verify(content, options);
        if (!report.is_good()) FAIL(describe(report.findings[0].why).c_str());
        CHECK(report.partial);
        CHECK(report.parts == 3);
        CHECK(report.bytes == content.size());
        CHECK(report.pages > 20);
        CHECK(report.records > 100);
        CHECK(read < content.size()); // all but the manifest
    }
    auto const packed = stream_of(b, {.codec = {&zstd_codec}});
    CHECK(verify(packed).findings.at(0).why.code == errc::unsupported);
}

TEST_CASE("a stream of a chain of kinds passes, member by member", "[backup][verify]") {
    auto b = bed{};
    b.work(600, 2);
    auto const full = good(run_backup_to(b.db, "/repo"));
    auto sets = good(repository<bed<>::environment_type>::open(b.env, "/repo"));
    auto name = file_name{};
    name.add(full.name);
    auto where = good(sets.open_set(name));
    auto const base = good(manifest_of<bed<>::environment_type>(where));
    for (auto const kind :
         {backup_kind::incremental, backup_kind::differential, backup_kind::pages}) {
        b.work(200, 3);
        auto options = backup_options{.kind = kind};
        options.find_base = [&](uuid const& set, std::uint64_t hash) {
            return sets.find_set(set, hash);
        };
        if (kind == backup_kind::pages) options.base = backup_base{base.manifest, base.hash};
        auto const report = verify(stream_of(b, options));
        if (!report.is_good()) FAIL(describe(report.findings[0].why).c_str());
        CHECK((report.pages > 0) == (kind == backup_kind::pages));
    }
}

TEST_CASE("a byte flipped anywhere in a stream, or its end cut, is named", "[backup][verify]") {
    auto const seed = std::random_device{}();
    CAPTURE(seed);
    auto random = std::mt19937{seed};
    auto b = bed{};
    b.work(300, 4);
    auto const content = stream_of(b);
    for (auto turn = std::uint64_t{0}; turn < rounds(200); ++turn) {
        auto bent = content;
        auto const at = random() % bent.size();
        CAPTURE(at);
        if (turn % 4 == 0)
            bent.resize(at);
        else
            bent[at] ^= static_cast<std::byte>(1U << random() % 8);
        CHECK_FALSE(verify(bent).is_good());
    }
}

TEST_CASE("what every hash covers and is still no page or record is named", "[backup][verify]") {
    auto const seed = std::random_device{}();
    CAPTURE(seed);
    auto random = std::mt19937{seed};
    auto b = bed{};
    b.work(500, 5);
    auto const content = stream_of(b);
    struct bent_place {
        error why;
        std::size_t at; // in what the frame brings
        bool last;
    };
    auto const bend = [&](frame_type type, std::size_t turn) {
        auto const all = frames_in(content, type);
        auto const at = all[turn % all.size()];
        auto bent = content;
        auto const head = good(frame_header::decode(const_bytes{bent}.subspan(at, 160)));
        auto const unit = bytes{bent}.subspan(at + frame_header_bytes, head.stored_bytes);
        auto raw = stream_bytes(head.raw_bytes);
        REQUIRE(decode_raw_unit(unit, raw));
        // Among what is not zero, so that its unit stays as long as it was.
        auto places = std::vector<std::size_t>{};
        for (auto i = std::size_t{0}; i < raw.size(); ++i)
            if (raw[i] > std::byte{1}) places.push_back(i);
        auto const place = places[random() % places.size()];
        raw[place] ^= std::byte{1};
        auto room = stream_bytes(frame_stored_max);
        REQUIRE(encode_raw_unit(raw, room) == unit.size());
        std::copy_n(room.begin(), unit.size(), unit.begin());
        repair_frames(bent);
        auto const report = verify(bent);
        REQUIRE(report.findings.size() == 1);
        return bent_place{report.findings[0].why, place, at == all.back()};
    };
    for (auto turn = std::uint64_t{0}; turn < rounds(20); ++turn) {
        CAPTURE(turn);
        auto const of_pages = bend(frame_type::pages, turn);
        CAPTURE(of_pages.at);
        // In the header area and the trailer it is the copy that is none; a trailer that does not
        // say what it is, is read as any page.
        if (of_pages.last)
            CHECK(
                (of_pages.why.code == errc::incomplete_copy ||
                 of_pages.why.code == errc::page_damaged)
            );
        else if (of_pages.at < database_header_area_bytes)
            CHECK(of_pages.why.code == errc::set_damaged);
        else
            CHECK(of_pages.why.code == errc::page_damaged);
        auto const of_log = bend(frame_type::log, turn).why;
        CHECK(
            (of_log.code == errc::log_damaged || of_log.code == errc::log_gap ||
             of_log.code == errc::set_mixed)
        );
        CHECK(of_log.at);
    }
}

backup_manifest manifest_in(const_bytes content) {
    auto from = bytes_input{content, std::size_t{1} << 20};
    auto into = no_store{};
    return good(jetpp::read_stream(from, into)).manifest.manifest;
}

// The stream with its manifest as `change` leaves it, sealed anew: a hash is no author.
template <class Change>
stream_bytes rewritten(const_bytes content, Change&& change) {
    auto const at = frames_in(content, frame_type::manifest).at(0);
    auto m = manifest_in(content);
    change(m);
    auto const sealed = good(seal_text(m.to_json()));
    auto out = collected{};
    good(out.write(content.first(at)));
    auto unit = stream_bytes(wrapped_head_bytes + sealed.size());
    REQUIRE(encode_wrapped_unit(as_bytes(sealed), unit) == unit.size());
    auto head = good(frame_header::decode(content.subspan(at, frame_header_bytes)));
    head.raw_bytes = static_cast<std::uint32_t>(sealed.size());
    head.stored_bytes = static_cast<std::uint32_t>(unit.size());
    auto raw = stream_bytes(frame_header_bytes);
    head.encode(raw);
    good(out.write(raw));
    good(out.write(unit));
    repair_frames(bytes{out.all}.subspan(at));
    return std::move(out.all);
}

struct lie {
    char const* about;
    std::function<void(backup_manifest&)> tell;
};
std::vector<lie> const& lies() {
    static auto const part = [](auto change) {
        return [change](backup_manifest& m) {
            for (auto& one : m.parts) change(one);
        };
    };
    static auto const of_log = [](auto change) {
        return [change](backup_manifest& m) {
            for (auto& one : m.parts)
                if (one.content == part_content::log) change(one);
        };
    };
    static auto const all = std::vector<lie>{
        {"first",
         part([](auto& p) { p.summary.first += p.summary.first < p.summary.end ? 1U : 0U; })},
        {"end", part([](auto& p) { ++p.summary.end; })},
        {"end of log", of_log([](auto& p) { p.summary.end -= 4096; })},
        {"bytes", part([](auto& p) { ++p.summary.bytes; })},
        {"raw bytes", part([](auto& p) { ++p.summary.raw_bytes; })},
        {"last index", part([](auto& p) { p.summary.last_index += 160; })},
        {"headers", part([](auto& p) { p.summary.headers[7] ^= std::byte{1}; })},
        {"timeline of log", of_log([](auto& p) { ++p.timeline.value; })},
        {"log for pages",
         [](backup_manifest& m) {
             m.parts[0].content = part_content::log;
             m.parts[0].timeline = m.timeline;
         }},
        {"whose pages",
         [](backup_manifest& m) { std::swap(m.parts[0].database, m.parts[1].database); }},
        {"whose database", [](backup_manifest& m) { m.parts[0].database.raw[3] ^= std::byte{1}; }},
        {"order of databases", [](backup_manifest& m) { std::swap(m.databases[0], m.databases[1]); }
        },
        {"more log than there is",
         [](backup_manifest& m) {
             m.log.front().from = lsn{m.log.front().from.value - m.segment_bytes};
         }},
        {"whose log", [](backup_manifest& m) { ++m.log.front().timeline.value; }},
        {"log of two timelines",
         [](backup_manifest& m) {
             auto younger = m.log.front();
             younger.from = m.log.front().to = lsn{younger.from.value + m.segment_bytes};
             ++younger.timeline.value;
             m.log.push_back(younger);
         }},
        {"size of pages", [](backup_manifest& m) { m.page_size *= 2; }},
        {"name twice", [](backup_manifest& m) { m.parts[0].name = m.parts[1].name; }},
        {"name of the manifest",
         [](backup_manifest& m) { m.parts[0].name = manifest_file_name.view(); }},
        {"name of a part that comes in",
         [](backup_manifest& m) { m.parts[0].name = "incoming-0000000000000001"; }},
    };
    return all;
}

TEST_CASE("a manifest that was rewritten and sealed anew is named", "[backup][verify][hostile]") {
    auto b = bed{};
    b.work(500, 7);
    good(b.db.attach("second"));
    auto keys = key_ring{};
    keys.add_key(fuzz_secret());
    auto sealing = backup_options{};
    sealing.encryption = {.cipher = &aes_256_gcm, .keys = &keys};
    for (auto const& how : {backup_options{}, sealing}) {
        auto const encrypted = how.encryption.keys != nullptr;
        CAPTURE(encrypted);
        auto const content = stream_of(b, how);
        CHECK(verify(rewritten(content, [](auto&) {})).is_good());
        for (auto const& one : lies()) {
            CAPTURE(one.about);
            CHECK_FALSE(verify(rewritten(content, one.tell)).is_good());
        }
    }
}

TEST_CASE("an encrypted stream is proved frame by frame", "[backup][verify]") {
    auto b = bed{};
    b.work(300, 6);
    auto keys = key_ring{};
    keys.add_key(fuzz_secret());
    auto options = backup_options{};
    options.encryption = {.cipher = &aes_256_gcm, .keys = &keys};
    auto content = stream_of(b, options);
    auto const report = verify(content);
    CHECK(report.is_good());
    CHECK(report.sealed_sets == 1);
    CHECK(report.partial);
    content[content.size() / 2] ^= std::byte{1};
    CHECK_FALSE(verify(content).is_good());
}

} // namespace jetpp_test::verify_stream_cases
