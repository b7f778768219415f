// jetpp/backup/set_log.hpp - the log of a backup set, record by record: a log_source.
//
//     BOOST_OUTCOME_TRY(auto const read, manifest_of<Env>(set));
//     BOOST_OUTCOME_TRY(auto changes, changes_of_set<Env>(set, read.manifest));
//
// Reads the log parts of a set and nothing else of it: no page, no restore. Every byte that is
// handed out was proved on the way (frames, hashes, records, the chain of segments); at the end the
// parts are what the manifest says, and the log ends where the set ends. A set holds sealed segments
// only, so there is no torn tail: whatever is wrong is an error, and the last step.
// Threads  one owner.
// Owns     its buffers and the open part; the directory outlives it.
// Source   backup rules R17 to R19, R22.
#pragma once

#include <jetpp/backup/file_output.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/part_reader.hpp>
#include <jetpp/backup/segment_checker.hpp>
#include <jetpp/backup/set_access.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/log/log_source.hpp>
#include <jetpp/recovery/change_stream.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

template <any_environment Env>
class set_log {
    using reader_type = part_reader<file_input<Env>>;

public:
    // Errors: out_of_memory; those of set_access::for_set.
    [[nodiscard]] static result<set_log> open(
        typename Env::directory& set, backup_manifest const& manifest, set_access const& access = {}
    ) noexcept {
        return guarded([&]() -> result<set_log> {
            auto made = set_log{};
            BOOST_OUTCOME_TRY(auto checker, segment_checker::create(manifest.page_size));
            made.body_ = std::make_unique<body>(set, manifest, std::move(checker));
            BOOST_OUTCOME_TRY(made.body_->access, access.for_set(manifest));
            return made;
        });
    }

    // Errors: set_damaged, set_mixed, unsupported, limit_exceeded with part and frame; log_damaged,
    // log_gap, unsupported_record, unlogged_changes with LSN; not_found (a part is missing); those
    // of storage; out_of_memory.
    [[nodiscard]] result<log_step> next() noexcept {
        return guarded([&] { return body_->next(); });
    }
    [[nodiscard]] log_record const& record() noexcept { return body_->current; }
    [[nodiscard]] segment_header const& segment() noexcept { return body_->checker.header(); }
    // A set without all its log is damaged, not a set with a gap.
    [[nodiscard]] log_gap_range gap() noexcept { return {}; }

private:
    struct found_record {
        lsn at{};
        std::byte const* raw{};
        std::size_t size{};
    };
    struct body {
        body(typename Env::directory& where, backup_manifest const& of, segment_checker made)
            : set{&where}, manifest{of}, checker{std::move(made)} {}

        [[nodiscard]] result<log_step> next();
        [[nodiscard]] result<bool> next_run();
        [[nodiscard]] result<void> open_part(manifest_part const& part);
        [[nodiscard]] result<void> take(part_run const& run);
        [[nodiscard]] result<void> keep(const_bytes run, log_record const& record) noexcept;
        [[nodiscard]] result<void> join(lsn at) const;
        [[nodiscard]] result<void> finish() const;
        [[nodiscard]] static error damaged(lsn at, errc code = errc::log_damaged) noexcept {
            return {.code = code, .file = file_kind::log_segment, .at = at};
        }

        typename Env::directory* set;
        backup_manifest const manifest;
        set_access access{};
        segment_checker checker;
        std::size_t part = 0; // the next one to open
        manifest_part const* reading = nullptr;
        std::optional<file_input<Env>> file;
        std::optional<reader_type> reader;

        array_list<found_record> found{}; // in the run that was read last
        std::size_t given = 0;
        array_list<std::byte> carried{}; // the record that began in the run before
        log_record current{};

        bool in_segment = false;
        std::uint64_t next_first = 0; // of the run that must come next
        lsn last_end{};
        std::optional<segment_header> previous;
        std::optional<record::segment_end> closing;
    };

    set_log() noexcept = default;

    std::unique_ptr<body> body_;
};

template <any_environment Env>
result<log_step> set_log<Env>::body::next() {
    while (given == found.size()) {
        found.clear();
        given = 0;
        BOOST_OUTCOME_TRY(auto const more, next_run());
        if (!more) return log_step::end;
    }
    auto const& one = found[given++];
    BOOST_OUTCOME_TRY(parse_record(one.at, {one.raw, one.size}, current));
    return log_step::record;
}

// Returns: false at the end of the set's log, which has then proved whole.
template <any_environment Env>
result<bool> set_log<Env>::body::next_run() {
    for (;;) {
        if (reader) {
            BOOST_OUTCOME_TRY(auto const run, reader->next());
            if (run) {
                BOOST_OUTCOME_TRY(take(*run));
                return true;
            }
            if (reader->summary() != reading->summary)
                return frame_error(errc::set_damaged, reading->number, reader->sequence());
            reader.reset();
        }
        while (part < manifest.parts.size() && manifest.parts[part].content != part_content::log)
            ++part;
        if (part == manifest.parts.size()) {
            BOOST_OUTCOME_TRY(finish());
            return false;
        }
        BOOST_OUTCOME_TRY(open_part(manifest.parts[part++]));
    }
}

template <any_environment Env>
result<void> set_log<Env>::body::open_part(manifest_part const& next_part) {
    reading = &next_part;
    BOOST_OUTCOME_TRY(auto const name, file_name::make(next_part.name));
    auto opened = file_input<Env>::open(*set, name);
    if (!opened)
        return error{
            .code = opened.error().code,
            .os_errno = opened.error().os_errno,
            .page = page_number{next_part.number},
            .file = file_kind::backup_part
        };
    file.emplace(std::move(opened).assume_value());
    BOOST_OUTCOME_TRY(
        auto made,
        reader_type::open(
            *file,
            {.set = manifest.set,
             .part = next_part.number,
             .file = static_cast<std::uint16_t>(manifest.databases.size())},
            access
        )
    );
    auto const& about = made.about();
    if (about.content != part_content::log || about.segment_bytes != manifest.segment_bytes ||
        about.page_size != manifest.page_size || about.timeline != next_part.timeline)
        return frame_error(errc::set_mixed, next_part.number, 0);
    reader.emplace(std::move(made));
    return ok();
}

template <any_environment Env>
result<void> set_log<Env>::body::take(part_run const& run) {
    auto const segment_bytes = manifest.segment_bytes;
    auto const at = lsn{run.first};
    auto const offset = offset_of(at, segment_bytes);
    auto const in_order = in_segment ? run.first == next_first : offset == 0;
    if (!in_order || offset + run.raw.size() > segment_bytes) return damaged(at);
    if (offset == 0) {
        checker.begin();
        in_segment = true;
    }
    auto const fed = checker.feed(run.raw, [&](log_record const& record) noexcept {
        return keep(run.raw, record);
    });
    if (!fed) return fed.error().at ? fed.error() : fed.error().with_lsn(at);
    if (offset == 0) {
        BOOST_OUTCOME_TRY(join(at));
    }
    if (!all_zero(run.raw.subspan(fed.assume_value()))) return damaged(checker.end());
    next_first = run.end;
    if (offset + run.raw.size() < segment_bytes) return ok();
    in_segment = false;
    BOOST_OUTCOME_TRY(checker.finish());
    last_end = checker.end();
    previous = checker.header();
    closing = checker.closing();
    return ok();
}

// Records lie in the run, but for the one that began in the run before: its place is used again.
template <any_environment Env>
result<void> set_log<Env>::body::keep(const_bytes run, log_record const& record) noexcept {
    auto one = found_record{record.at, record.raw.data(), record.raw.size()};
    auto const before = std::less<std::byte const*>{};
    if (before(one.raw, run.data()) || !before(one.raw, run.data() + run.size())) {
        carried.clear();
        if (!carried.append(record.raw)) return error{.code = errc::out_of_memory};
        one.raw = carried.data();
    }
    if (!found.push_back(one)) return error{.code = errc::out_of_memory};
    return ok();
}

// Does the segment at `at` follow the one before?
template <any_environment Env>
result<void> set_log<Env>::body::join(lsn at) const {
    auto const& h = checker.header();
    if (h.instance != manifest.instance || h.segment_bytes != manifest.segment_bytes ||
        lsn{h.generation * h.segment_bytes} != at)
        return damaged(at, errc::set_mixed);
    if (!previous) return ok();
    auto const bound =
        h.previous_generation == previous->generation && h.previous_nonce == previous->nonce;
    auto const closed =
        closing && closing->next_generation == h.generation && closing->next_nonce == h.nonce;
    if (!bound || (h.cut ? h.cut != last_end : !closed)) return damaged(at, errc::log_gap);
    return ok();
}

template <any_environment Env>
result<void> set_log<Env>::body::finish() const {
    auto const end = manifest.end_lsn;
    if (in_segment || !closing || lsn{closing->next_generation * manifest.segment_bytes} != end)
        return damaged(end, errc::log_gap);
    return ok();
}

// The committed changes that the log of a set tells. With a token of the live log, or of an earlier
// set, it goes on from there if the set reaches so far back (else log_gap).
// Errors: those of set_log::open.
template <any_environment Env>
[[nodiscard]] result<change_stream<set_log<Env>>> changes_of_set(
    typename Env::directory& set,
    backup_manifest const& manifest,
    change_options const& options = {},
    set_access const& access = {}
) noexcept {
    static_assert(log_source<set_log<Env>>);
    BOOST_OUTCOME_TRY(auto log, set_log<Env>::open(set, manifest, access));
    return change_stream<set_log<Env>>{std::move(log), options};
}

} // namespace jetpp::inline v1
