// test/fuzz/log_targets.hpp - any bytes as a log segment, as one of the small files, as a page and
// records for it, and any sets of manifests into the planner; as targets.hpp.
#pragma once

#include <jetpp/backup/lineage.hpp>
#include <jetpp/backup/manifest_text.hpp>
#include <jetpp/backup/restore_journal.hpp>
#include <jetpp/backup/restore_plan.hpp>
#include <jetpp/backup/resume_record.hpp>
#include <jetpp/backup/sealed_text.hpp>
#include <jetpp/backup/segment_checker.hpp>
#include <jetpp/backup/set_proof.hpp>
#include <jetpp/btree/apply.hpp>
#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/log/checkpoint_slot.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/page/copy_trailer.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/page/page_check.hpp>
#include <jetpp/page/page_codec.hpp>
#include <jetpp/page/page_editor.hpp>
#include <jetpp/recovery/analysis.hpp>
#include <jetpp/recovery/database_lives.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace jetpp_test {

using namespace jetpp;

// The sum that headers, slots and journals bear in their first eight bytes.
inline void repair_block(bytes block) {
    if (block.size() < 8) return;
    store_le<std::uint64_t>(
        block.data(), crc32c_accumulator{}.add(const_bytes{block}.subspan(8)).value()
    );
}

// Gives each record its sum, and a length that fits; the last of the content its sum of all.
inline void repair_segment(bytes image) {
    if (image.size() < segment_header_bytes) return;
    repair_block(image.first(segment_header::size));
    auto const header = segment_header::decode(image);
    if (!header) return;
    auto const& h = header.assume_value();
    auto content = crc32c_accumulator{};
    for (auto at = std::size_t{segment_header_bytes}; at + record_header_size <= image.size();) {
        auto* const p = image.data() + at;
        auto const left = image.size() - at;
        auto length = std::size_t{load_le<std::uint32_t>(p)} / 8 * 8;
        if (length == 0) return;
        length = std::clamp(length, std::size_t{record_header_size}, left / 8 * 8);
        store_le<std::uint32_t>(p, static_cast<std::uint32_t>(length));
        auto const place = lsn{h.generation * h.segment_bytes + at};
        auto const is_last = static_cast<record_type>(p[8]) == record_type::segment_end;
        if (is_last && length >= segment_end_size) store_le<std::uint32_t>(p + 48, content.value());
        store_le<std::uint32_t>(p + 4, record_crc(h.nonce, place, {p, length}));
        content.add({p, length});
        at += length;
    }
}

// First byte: bit 0 repaired, bit 1 in pieces. Then the image of a segment, to be proved and seen as
// a restore does.
inline void fuzz_segment(const_bytes input) {
    constexpr auto page_size = std::size_t{4096};
    if (input.empty()) return;
    auto const how = std::to_integer<unsigned>(input.front());
    auto image = std::vector<std::byte>(input.begin() + 1, input.end());
    image.resize(std::max(image.size(), std::size_t{segment_header_bytes}));
    image.resize(image.size() / 512 * 512);
    if ((how & 1) != 0) repair_segment(image);
    auto made = segment_checker::create(page_size);
    ensure(made.has_value(), "a checker is made");
    auto& checker = made.assume_value();
    auto analysis = log_analysis{no_lsn};
    auto lives = database_lives{};
    auto before = no_lsn;
    auto const see = [&](log_record const& record) noexcept -> result<void> {
        ensure(record.at > before, "records ascend");
        before = record.at;
        BOOST_OUTCOME_TRY(lives.see(record));
        return analysis.see(record);
    };
    checker.begin();
    auto const piece = (how & 2) != 0 ? std::size_t{segment_header_bytes} : image.size();
    for (auto at = std::size_t{0}; at < image.size(); at += piece) {
        auto const n = std::min(piece, image.size() - at);
        auto const fed = checker.feed(const_bytes{image}.subspan(at, n), see);
        if (!fed) return;
        ensure(fed.assume_value() <= n, "no more counts than was fed");
    }
    if (!checker.finish()) return;
    (void)analysis.finish();
    ensure(checker.end() >= checker.header().first(), "a segment ends behind its header");
}

// First byte: bit 0 repaired, the others which of the small files it is.
inline void fuzz_small(const_bytes input) {
    if (input.empty()) return;
    auto const how = std::to_integer<unsigned>(input.front());
    auto block = std::vector<std::byte>(input.begin() + 1, input.end());
    auto const sized = [&](std::size_t size) {
        block.resize(size);
        if ((how & 1) != 0) repair_block(block);
        return const_bytes{block};
    };
    switch ((how >> 1) % 6) {
    case 0: {
        auto text = std::string{as_text(block)};
        if ((how & 1) != 0) {
            auto sealed = seal_text(text);
            if (!sealed) return;
            text = std::move(sealed).assume_value();
        }
        auto const got = parse_proof(text);
        if (got && got.assume_value()) (void)proof_file_name(*got.assume_value());
        break;
    }
    case 1: (void)resume_record::decode(sized(resume_record::size)); break;
    case 2: (void)restore_journal::decode(sized(restore_journal::size)); break;
    case 3: {
        auto const got = checkpoint_slot::decode(sized(checkpoint_slot::size));
        if (got) ensure(got.assume_value().attached().size() <= databases_max, "databases are few");
        break;
    }
    case 4: {
        auto const got = database_header::decode(sized(database_header::size));
        if (got) ensure(got.assume_value().ancestry().size() <= ancestors_max, "ancestors are few");
        break;
    }
    default: {
        (void)sized(4096);
        (void)copy_trailer::decode<4096>(block.data());
    }
    }
}

// A page of 4096 bytes, sealed here, then records: what redo does with a page that passes when it is
// read, and with a log whose sums are right. A page that took a record can be read again.
inline void fuzz_redo(const_bytes input) {
    constexpr auto page_size = std::size_t{4096};
    using codec = page_codec<page_size, crc32c>;
    if (input.size() < page_size) return;
    auto page = aligned_buffer::create(page_size);
    if (!page) return;
    auto* const data = page.assume_value().data();
    std::memcpy(data, input.data(), page_size);
    auto const number = page_view<page_size>{data}.number();
    codec::stamp(data, 1);
    if (codec::verify(data, 1, number) != damage::none ||
        check_page(page_view<page_size>{data}) != damage::none)
        return;
    auto at = lsn{4096};
    for (auto rest = input.subspan(page_size); rest.size() >= record_header_size;) {
        auto const wanted = std::size_t{load_le<std::uint32_t>(rest.data())} / 8 * 8;
        auto const length =
            std::clamp(wanted, std::size_t{record_header_size}, rest.size() / 8 * 8);
        auto record_bytes = std::vector<std::byte>(
            rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(length)
        );
        rest = rest.subspan(length);
        store_le<std::uint32_t>(record_bytes.data(), static_cast<std::uint32_t>(length));
        auto const record = parse_record(at, record_bytes);
        at = at + length;
        if (!record) continue;
        auto sound = true;
        auto const walked =
            for_each_page<page_size>(record.assume_value(), [&](page_part const& part) {
                if (!sound || part.page != number) return;
                sound = apply<page_size>(data, part, record.assume_value(), 7).has_value();
            });
        if (!walked || !sound) return; // a page that refused is given up
        codec::seal(data, 1);
        ensure(codec::verify(data, 1, number) == damage::none, "what redo made can be read");
    }
}

// Manifests, one behind the other with a zero byte between: sealed here, and whatever they say of
// each other planned. A plan ends, and names sets that are there.
inline void fuzz_plan(const_bytes input) {
    auto manifests = std::vector<read_manifest>{};
    for (auto rest = as_text(input); !rest.empty() && manifests.size() < 8;) {
        auto const end = std::min(rest.find('\0'), rest.size());
        auto const sealed = seal_text(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (!sealed) continue;
        auto got = parse_manifest(sealed.assume_value());
        if (got) manifests.push_back(std::move(got).assume_value());
    }
    auto sets = std::vector<planned_set>{};
    auto ranges = std::size_t{0};
    for (auto const& one : manifests) {
        sets.push_back({&one.manifest, one.hash});
        ranges += one.manifest.log.size();
    }
    (void)newest_set(sets);
    for (std::size_t head = 0; head < sets.size(); ++head) {
        auto const& m = *sets[head].manifest;
        auto const searched = log_of_lineage(sets, head);
        ensure(searched.has_value(), "what is held can be told");
        ensure(
            searched.assume_value().size() <= ranges * (m.ancestry.size() + 1),
            "no more slices than ranges"
        );
        for (auto const limit : {m.end_lsn, m.begin_lsn + 1, m.copy_end_lsn, lsn{1}}) {
            auto trouble = plan_trouble{};
            auto const plan = plan_restore(sets, head, limit, trouble);
            if (!plan) continue;
            for (auto const set : plan.assume_value().pages)
                ensure(set < sets.size() && sets[set].manifest->has_pages(), "pages are there");
            ensure(!plan.assume_value().log.empty(), "a copy is of no use without its log");
            auto end = no_lsn;
            for (auto const& slice : plan.assume_value().log) {
                ensure(slice.set < sets.size(), "log is there");
                ensure(slice.from >= end && slice.to > slice.from, "slices ascend");
                end = slice.to;
            }
        }
    }
}

} // namespace jetpp_test
