// test/fuzz/log.cpp - the fuzz targets of logs, small files and plans, fed with mutations of sound inputs.
#include <string>
#include <vector>

#include "../backup/made_set.hpp"
#include "../budget.hpp"
#include "../log/log_by_hand.hpp"
#include "log_targets.hpp"
#include "mutations.hpp"

namespace jetpp_test::log_cases {

TEST_CASE("any bytes as a segment end in records or an error", "[fuzz]") {
    auto log = hand_log{};
    auto& file = log.begin(3, 101);
    auto const first = file.insert("a", "alpha");
    file.commit(first, first);
    file.append(
        record::attach{.id = make_uuid(5, 6), .nonce = 7, .name = as_bytes("main")},
        {.flags = record_flags::system, .database = {1}}
    );
    file.append(
        record::detach{.id = make_uuid(5, 6)}, {.flags = record_flags::system, .database = {1}}
    );
    file.append(record::restore_point{.label = as_bytes("here")});
    file.append(record::time_mark{.durable_hint = file.tail()});
    log.seal(4, 102);
    auto const& content = log.files[0].content;
    // What stands behind the last record is of no interest.
    auto corpus = std::vector<buffer>{};
    for (auto const how : {0, 1, 2, 3})
        corpus.push_back(with_first(
            static_cast<unsigned char>(how), const_bytes{content}.first(log.files[0].used + 512)
        ));
    run("segment", &fuzz_segment, corpus, rounds(3000), false);
}

TEST_CASE("any bytes as a small file end in a value or an error", "[fuzz]") {
    auto corpus = std::vector<buffer>{};
    auto const add = [&](unsigned kind, const_bytes content) {
        for (auto const repaired : {0U, 1U})
            corpus.push_back(with_first(static_cast<unsigned char>(kind * 2 + repaired), content));
    };
    auto const proof = set_proof{.set = make_uuid(1, 2), .reached = {8192}};
    add(0, as_bytes(proof.to_json()));
    auto block = buffer(4096);
    auto plan = restore_journal{.instance = make_uuid(1, 2), .staging = make_uuid(3, 4)};
    plan.sequence = 1;
    plan.encode(block);
    add(2, block);
    auto slot = checkpoint_slot{};
    slot.instance = make_uuid(1, 2);
    slot.segment_bytes = hand_segment;
    slot.page_bytes = 4096;
    slot.generation = 1;
    slot.nonce = 1;
    slot.sequence = 1;
    slot.encode(block);
    add(3, block);
    auto header = database_header{};
    header.page_size = 4096;
    header.checksum_id = 1;
    header.state = database_state::dirty;
    header.database = make_uuid(1, 2);
    header.instance = make_uuid(3, 4);
    header.id = {1};
    header.nonce = 7;
    header.timeline = {5};
    header.fork({6}, {4096});
    header.sequence = 1;
    header.encode(block);
    add(4, block);
    add(1, block); // a stranger's, with its sum repaired
    add(5, block);
    run("small", &fuzz_small, corpus, rounds(3000), false);
}

// A page, then the records: of it, and of the page image that makes it anew.
template <class... Bodies>
buffer page_and_records(std::byte const* page, Bodies const&... bodies) {
    auto made = buffer(page, page + 4096);
    auto const add = [&]<class Body>(Body const& body) {
        auto raw = buffer(body.size());
        encode_header(raw.data(), {.type = Body::type, .database = {1}, .tree = {16}});
        body.encode(raw.data());
        store_le<std::uint32_t>(raw.data(), static_cast<std::uint32_t>(raw.size()));
        made.insert(made.end(), raw.begin(), raw.end());
    };
    (add(bodies), ...);
    return made;
}

TEST_CASE("any page and records end in a page that can be read, or in an error", "[fuzz]") {
    alignas(8) std::byte page[4096]{};
    auto editor = page_editor<4096>{page};
    auto const part = page_part{.page = {40}};
    REQUIRE(editor.format(
        {.number = {40}, .tree = {16}, .lower = as_bytes("aa"), .upper = as_bytes("ab")}
    ));
    for (auto i = 0; i < 20; ++i) {
        auto const key = "aa" + std::to_string(10 + i);
        REQUIRE(editor.insert(editor.view().row_count(), as_bytes(key), as_bytes("value")));
    }
    REQUIRE(editor.remove(3));
    auto at = part;
    at.slot = 2;
    auto const inserted =
        record::insert{.part = at, .key = as_bytes("aa115"), .value = as_bytes("new")};
    auto const taken =
        record::ghost{.part = at, .key = as_bytes("aa115"), .value = as_bytes("new")};
    auto const image =
        record::page_image::of(part, page, std::size_t{19} * 8, 4096 - editor.view().heap_begin());
    auto corpus = std::vector<buffer>{
        page_and_records(page, inserted, taken),
        page_and_records(page, image, inserted),
        page_and_records(page, image, image),
    };
    run("redo", &fuzz_redo, corpus, rounds(5000), false);
}

TEST_CASE("any manifests are planned with, or not", "[fuzz]") {
    auto const full = make_set(0).manifest;
    auto text = std::string{};
    auto const add = [&](backup_manifest const& m) {
        text += m.to_json();
        text += '\0';
    };
    add(full);
    auto later_one = full;
    later_one.set = make_uuid(9, 9);
    for (auto& range : later_one.log) range.to = range.to + full.segment_bytes;
    later_one.end_lsn = later_one.end_lsn + full.segment_bytes;
    add(later_one);
    auto forked = later_one;
    forked.set = make_uuid(9, 10);
    forked.ancestry = {{full.timeline, full.end_lsn}};
    forked.timeline = {full.timeline.value + 1};
    add(forked);
    run("plan",
        &fuzz_plan,
        {buffer(as_bytes(text).begin(), as_bytes(text).end())},
        rounds(2000),
        false);
}

} // namespace jetpp_test::log_cases
