// jetpp/backup/log_walker.hpp - reads the log that a plan names out of the sets that hold it.
//
// Proved: each part that holds some of it, as a whole; every record of every segment; that each
// segment follows the one before, whichever set it comes from: its header names the predecessor by
// generation and nonce, and that one's segment_end names it, or it cuts it. Generations may jump.
// Where the plan goes over to a younger timeline, the older one counts up to the fork only.
// Errors   log_damaged, log_gap and set_mixed with LSN; set_damaged, set_mixed, unsupported with part
//          and frame; not_found; those of storage and of the visitor.
// Threads  one owner.
// Source   backup rules R17 to R19, R22, R37.
#pragma once

#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/restore_plan.hpp>
#include <jetpp/backup/segment_checker.hpp>
#include <jetpp/backup/set_copies.hpp>
#include <jetpp/backup/set_part.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/segment.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace jetpp::inline v1 {

template <class V>
concept log_visitor = requires(
    V& visitor,
    segment_header const& segment,
    log_record const& logged,
    std::uint64_t at,
    const_bytes image
) {
    { visitor.begin_segment(segment) } -> std::same_as<result<void>>;
    // Each record, before the bytes that hold it; those of a segment's first bytes before it begins.
    { visitor.see_record(logged) } -> std::same_as<result<void>>;
    { visitor.segment_bytes(at, image) } -> std::same_as<result<void>>;
    // `end`: behind the last record of the segment that counts.
    { visitor.end_segment(segment, lsn{}) } -> std::same_as<result<void>>;
    { visitor.read(at) } -> std::same_as<result<void>>; // progress: bytes of sets
};

template <any_environment Env, log_visitor Visitor>
class log_walker {
public:
    // Lifetime: visitor and tally outlive it. Errors: out_of_memory.
    [[nodiscard]] static result<log_walker> create(
        std::size_t page_size, Visitor& visitor, set_tally& tally
    ) noexcept {
        BOOST_OUTCOME_TRY(auto checker, segment_checker::create(page_size));
        return log_walker{std::move(checker), visitor, tally};
    }

    // One slice behind the other; `set` and `manifest` are those it names, `access` is the set's.
    // `cut`: where the timeline is left, if that is inside the slice's last segment; 0: nowhere.
    // Returns with a problem of the set it names, the visitor's, or none.
    [[nodiscard]] result<void> take(
        set_copies<Env> const& set,
        backup_manifest const& manifest,
        planned_log const& slice,
        set_access const& access,
        lsn cut = no_lsn
    ) noexcept {
        return guarded([&]() -> result<void> {
            access_ = access;
            set_ = &set;
            begin_slice(manifest, slice, cut);
            for (auto const& part : manifest.parts) {
                auto const wanted =
                    part.content == part_content::log && part.timeline == slice.timeline &&
                    part.summary.end > slice.from.value && part.summary.first < slice.to.value;
                if (!wanted) continue;
                BOOST_OUTCOME_TRY(walk_part(part));
            }
            return end_slice();
        });
    }

    // The same for who reads the segments himself: their images in order, piece by piece.
    void begin_slice(backup_manifest const& manifest, planned_log const& slice, lsn cut) noexcept {
        manifest_ = &manifest;
        slice_ = slice;
        cut_ = cut;
        wanted_ = slice.from;
    }
    [[nodiscard]] result<void> take_image(part_run const& run) {
        BOOST_OUTCOME_TRY(visitor_->read(0)); // of no set; but it may be told to stop
        return take_run(run);
    }
    [[nodiscard]] result<void> end_slice() const noexcept {
        if (in_segment_ || wanted_ < slice_.to) return damaged(wanted_, errc::log_gap);
        return ok();
    }

    // Address of the segment that must follow, as the last one says; 0: nothing was read, or the
    // last one is not closed.
    [[nodiscard]] lsn next_segment() const noexcept {
        if (!closing_ || !previous_) return no_lsn;
        return {closing_->next_generation * previous_->segment_bytes};
    }
    [[nodiscard]] lsn last_commit() const noexcept { return last_commit_; }

private:
    log_walker(segment_checker checker, Visitor& visitor, set_tally& tally) noexcept
        : checker_{std::move(checker)}, visitor_{&visitor}, tally_{&tally} {}

    [[nodiscard]] static error damaged(lsn at, errc code = errc::log_damaged) noexcept {
        return {.code = code, .file = file_kind::log_segment, .at = at};
    }

    [[nodiscard]] result<void> walk_part(manifest_part const& part) {
        BOOST_OUTCOME_TRY(
            auto opened,
            set_part<Env>::open(*set_, *manifest_, part, manifest_->databases.size(), access_)
        );
        auto const& about = opened.reader().about();
        if (about.segment_bytes != manifest_->segment_bytes || about.timeline != part.timeline)
            return frame_error(errc::set_mixed, part.number, 0);
        for (;;) {
            BOOST_OUTCOME_TRY(auto const run, opened.next(*visitor_, *tally_));
            if (!run) break;
            // The rest of the part is read as well: only then it is the part of the manifest.
            if (run->end <= slice_.from.value || run->first >= slice_.to.value) continue;
            BOOST_OUTCOME_TRY(take_run(*run));
        }
        return ok();
    }

    [[nodiscard]] result<void> take_run(part_run const& run) {
        auto const segment_bytes = manifest_->segment_bytes;
        auto const at = lsn{run.first};
        auto const offset = offset_of(at, segment_bytes);
        if (in_segment_ ? run.first != next_run_ : offset != 0) return damaged(at);
        if (offset + run.raw.size() > segment_bytes || run.raw.size() < segment_header_bytes)
            return damaged(at);
        if (offset == 0) {
            cuts_here_ = cut_ && at < cut_ && cut_ <= at + segment_bytes;
            checker_.begin(cuts_here_ ? cut_ : no_lsn);
            in_segment_ = true;
        }
        auto const fed =
            checker_.feed(run.raw, [&](log_record const& record) noexcept { return see(record); });
        if (!fed) return fed.error().with_lsn(at);
        if (offset == 0) {
            BOOST_OUTCOME_TRY(join(at));
            BOOST_OUTCOME_TRY(visitor_->begin_segment(checker_.header()));
        }
        auto counted = run.raw;
        if (cuts_here_)
            counted = counted.first(fed.assume_value());
        else if (!all_zero(run.raw.subspan(fed.assume_value())))
            return damaged(checker_.end());
        BOOST_OUTCOME_TRY(visitor_->segment_bytes(offset, counted));
        next_run_ = run.end;
        if (offset + run.raw.size() < segment_bytes) return ok();
        in_segment_ = false;
        BOOST_OUTCOME_TRY(checker_.finish());
        tally_->records += checker_.records();
        previous_ = checker_.header();
        previous_end_ = checker_.end();
        closing_ = checker_.closing();
        // Of generations that were jumped over, nobody may miss any.
        wanted_ = cuts_here_ || !closing_ ? at + segment_bytes : next_segment();
        return visitor_->end_segment(*previous_, checker_.end());
    }

    [[nodiscard]] result<void> see(log_record const& record) noexcept {
        if (record.template as<record::commit>() != nullptr) last_commit_ = record.at;
        return guarded([&] { return visitor_->see_record(record); });
    }

    // The header of the segment at `at`: does it follow the one before?
    [[nodiscard]] result<void> join(lsn at) {
        auto const& h = checker_.header();
        auto const of_set =
            h.instance == manifest_->instance && h.segment_bytes == manifest_->segment_bytes &&
            h.timeline == slice_.timeline && lsn{h.generation * h.segment_bytes} == at;
        if (!of_set) return damaged(at, errc::set_mixed);
        if (!previous_) return at == slice_.from ? result<void>{ok()} : damaged(at, errc::log_gap);
        auto const& p = *previous_;
        auto const bound = h.previous_generation == p.generation && h.previous_nonce == p.nonce;
        auto const closed = closing_ && closing_->next_generation == h.generation &&
                            closing_->next_nonce == h.nonce && h.timeline == p.timeline;
        auto const of_family = h.timeline == p.timeline || h.parent_timeline == p.timeline;
        if (!bound || !of_family || (h.cut ? h.cut != previous_end_ : !closed))
            return damaged(at, errc::log_gap);
        return ok();
    }

    segment_checker checker_;
    Visitor* visitor_;
    set_tally* tally_;
    set_access access_{};
    set_copies<Env> const* set_ = nullptr;
    backup_manifest const* manifest_ = nullptr;
    planned_log slice_{};
    lsn cut_{};
    bool cuts_here_ = false;
    bool in_segment_ = false;
    std::uint64_t next_run_ = 0;
    lsn wanted_{}; // of the slice, where the next segment must lie
    std::optional<segment_header> previous_;
    lsn previous_end_{};
    std::optional<record::segment_end> closing_;
    lsn last_commit_{};
};

} // namespace jetpp::inline v1
