// jetpp/backup/copied_log.hpp - the segments that a caller of external sessions wrote, as they lie
// in a directory: which of them follow a copy, and are they sound?
//
// Walks forwards from the segment that holds log_start: each next one names its predecessor by
// generation and nonce, and that one's segment_end names it, or it cuts it. Generations may jump.
// Segments of other timelines are none of ours; older ones serve other plans, and so do those behind
// the last that is wanted. Another one of ours that the walk does not reach means that one in between
// is missing.
// Threads  one owner.
// Owns     the list.
// Source   backup rules R17 to R19, R22, R68.
#pragma once

#include <jetpp/backup/segment_checker.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/log/log_directory.hpp>
#include <jetpp/log/segment.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

namespace jetpp::inline v1 {

template <any_environment Env>
class copied_log {
    static constexpr std::size_t piece_bytes = std::size_t{512} << 10;

public:
    // `through`: the last generation that is wanted; 0: all that are there.
    // Errors: log_gap (at: the first LSN that is missing), of storage, out_of_memory.
    [[nodiscard]] static result<copied_log> find(
        Env env,
        typename Env::directory& where,
        uuid const& instance,
        timeline_id timeline,
        lsn log_start,
        std::uint64_t through = 0
    ) noexcept {
        auto made = copied_log{};
        BOOST_OUTCOME_TRY(auto listing, log_directory<Env>::list(env, where));
        BOOST_OUTCOME_TRY(listing.read_from(where, 0));
        auto const ours = [&](log_segment const& one) {
            return one.is_sound() && one.header.instance == instance &&
                   one.header.timeline == timeline;
        };
        auto highest = std::uint64_t{0};
        for (auto const& one : listing.segments()) {
            made.highest_ = std::max(made.highest_, one.generation);
            if (!ours(one)) continue;
            auto const size = one.header.segment_bytes;
            auto const holds_start = one.generation == generation_of(log_start, size);
            auto const follows = !made.chain_.empty() &&
                                 one.header.previous_generation == made.chain_.back().generation &&
                                 one.header.previous_nonce == made.chain_.back().nonce;
            if (through != 0 && one.generation > through && !holds_start) {
                if (follows) made.last_cut_ = one.header.cut;
                continue;
            }
            highest = one.generation;
            if (!holds_start && !follows) continue;
            if (!made.chain_.push_back(one.header)) return error{.code = errc::out_of_memory};
        }
        if (made.chain_.empty()) return gap(log_start);
        if (made.chain_.back().generation != highest)
            return gap(segment_limit(made.chain_.back().generation, made.segment_bytes()));
        return made;
    }

    [[nodiscard]] std::uint64_t segment_bytes() const noexcept { return chain_[0].segment_bytes; }
    [[nodiscard]] std::span<segment_header const> segments() const noexcept {
        return {chain_.data(), chain_.size()};
    }
    // Of any timeline.
    [[nodiscard]] std::uint64_t highest_generation() const noexcept { return highest_; }

    // Segments that begin at the limit or behind it are not wanted.
    void keep_below(lsn limit) noexcept {
        while (chain_.size() > 1 && chain_.back().first() >= limit) {
            last_cut_ = chain_.back().cut;
            chain_.pop_back();
        }
    }
    // The last segment ends there, whatever stands behind: its successor said so, and may be gone.
    void cut_last(lsn at) noexcept { last_cut_ = at; }

    struct reach {
        lsn end{};  // behind the last record
        lsn next{}; // the first address behind the last segment, if that is whole; else `end`
    };
    // Reads and proves all of it. The visitor sees each record, and each segment behind its first
    // bytes; progress(bytes) -> result<void>.
    // Errors: log_damaged, log_gap, of storage, of visitor and progress.
    template <class Visitor, class Progress>
    [[nodiscard]] result<reach> walk(
        typename Env::directory& where, std::size_t page_size, Visitor& visitor, Progress&& progress
    ) const noexcept {
        BOOST_OUTCOME_TRY(auto checker, segment_checker::create(page_size));
        BOOST_OUTCOME_TRY(auto room, aligned_buffer::create(piece_bytes));
        auto reached = reach{};
        for (std::size_t i = 0; i < chain_.size(); ++i) {
            auto const last = i + 1 == chain_.size();
            auto const cut = last ? last_cut_ : chain_[i + 1].cut;
            BOOST_OUTCOME_TRY(
                walk_one(where, chain_[i], cut, checker, room.all(), visitor, progress)
            );
            auto const& closing = checker.closing();
            // Sessions seal the log: one that is not closed was not delivered so.
            if (!cut && !closing) return gap(checker.end());
            if (!last && !cut &&
                (closing->next_generation != chain_[i + 1].generation ||
                 closing->next_nonce != chain_[i + 1].nonce))
                return gap({closing->next_generation * segment_bytes()});
            reached.end = checker.end();
            reached.next =
                closing ? lsn{closing->next_generation * segment_bytes()} : checker.end();
        }
        return reached;
    }

private:
    copied_log() noexcept = default;

    [[nodiscard]] static error gap(lsn at) noexcept {
        return {.code = errc::log_gap, .file = file_kind::log_segment, .at = at};
    }

    template <class Visitor, class Progress>
    [[nodiscard]] static result<void> walk_one(
        typename Env::directory& where,
        segment_header const& header,
        lsn cut,
        segment_checker& checker,
        bytes room,
        Visitor& visitor,
        Progress& progress
    ) noexcept {
        auto const damaged =
            error{.code = errc::log_damaged, .file = file_kind::log_segment, .at = header.first()};
        auto opened =
            where.open(segment_file_name(header.generation), {.mode = open_mode::read_only});
        if (!opened) return opened.error().with_file(file_kind::log_segment);
        auto file = std::move(opened).assume_value();
        checker.begin(cut);
        for (auto at = std::uint64_t{0};
             at < header.segment_bytes && !(at && checker.has_ended());) {
            auto const left = header.segment_bytes - at;
            auto const image =
                room.first(static_cast<std::size_t>(std::min<std::uint64_t>(left, room.size())));
            auto const got = read_up_to(file, image, at);
            if (!got) return got.error().with_file(file_kind::log_segment);
            if (at == 0 && got.assume_value() < segment_header_bytes) return damaged;
            std::memset(image.data() + got.assume_value(), 0, image.size() - got.assume_value());
            BOOST_OUTCOME_TRY(checker.feed(
                image,
                [&](log_record const& record) noexcept -> result<void> {
                    return visitor.see_record(record);
                }
            ));
            if (at == 0) {
                if (checker.header() != header) return damaged;
                visitor.see_segment(header);
            }
            at += image.size();
            BOOST_OUTCOME_TRY(progress(image.size()));
        }
        return checker.finish();
    }

    array_list<segment_header> chain_;
    std::uint64_t highest_ = 0;
    lsn last_cut_{}; // where the last one ends by what its successor says; 0: it must be closed
};

} // namespace jetpp::inline v1
