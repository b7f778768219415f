// jetpp/backup/verify_stream.hpp - a set that comes as a stream, proved while it passes; none is kept.
//
//     jetpp backup DIR - | tee >(jetpp verify -) | ssh other ...
//
// Proved: every frame and hash, all of the stream against the manifest at its end (stream_source);
// the header area, each page by checksum, number and kind, the trailer of each database; every
// record of every segment, that each follows the one before, the set's own begin record and its
// last commit; that the ranges of log are those of the manifest, and that a plan can be made of a
// set that stands alone. What cannot be known without room for it is whether the set restores: the
// report says `partial`. Of an encrypted stream, whose keys come last, what is in its frames is not
// proved.
// Memory is a few MiB, whatever the size of the set.
// Errors   those of read_stream; page_damaged, incomplete_copy (database, page); log_damaged, log_gap,
//          set_mixed (LSN); unsupported (a codec that was not brought); of on_read.
// Threads  one owner.
// Owns     two buffers of 1 MiB, and room for the longest record.
// Source   backup rules R19, R22, R45, R57, R58, R61.
#pragma once

#include <jetpp/backup/detail/passing_database.hpp>
#include <jetpp/backup/detail/passing_log.hpp>
#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/part.hpp>
#include <jetpp/backup/restore_plan.hpp>
#include <jetpp/backup/stream_source.hpp>
#include <jetpp/backup/unit_decoder.hpp>
#include <jetpp/backup/verify_set.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace jetpp::inline v1 {

// A store for read_stream that looks at what passes.
class passing_set {
public:
    explicit passing_set(verify_options const& options) noexcept : options_{&options} {}

    [[nodiscard]] result<void> begin(uuid const& set) noexcept {
        log_.begin(set);
        BOOST_OUTCOME_TRY(raw_, create_large_buffer(frame_raw_max));
        return ok();
    }
    [[nodiscard]] result<void> open_part(std::uint32_t part) {
        open_.push_back({.number = part});
        return ok();
    }
    [[nodiscard]] result<void> write(std::uint32_t number, const_bytes frame) {
        auto const part = find(number);
        BOOST_OUTCOME_TRY(auto const head, frame_header::decode(frame.first(frame_header_bytes)));
        auto const unit = frame.subspan(frame_header_bytes);
        if (options_->on_read) {
            BOOST_OUTCOME_TRY(options_->on_read(frame.size()));
        }
        if (head.type == frame_type::stream_header) {
            auto const content = decode_wrapped_unit(unit);
            if (head.raw_bytes != content.size() || !part->about.decode(content))
                return frame_error(errc::set_damaged, number, head.sequence);
            return ok();
        }
        if ((head.flags & frame_flag::encrypted) != 0) {
            is_sealed_ = true;
            return ok();
        }
        if (head.type != frame_type::pages && head.type != frame_type::log) return ok();
        auto const& about = part->about;
        if (head.type != data_type_of(about.content) || head.raw_bytes > frame_raw_max ||
            head.end <= head.first ||
            head.raw_bytes != (head.end - head.first) * about.unit_bytes())
            return frame_error(errc::set_damaged, number, head.sequence);
        auto const raw = raw_.all().first(head.raw_bytes);
        auto const good = decoder_.decode(head.codec, unit, raw, options_->access.codecs);
        if (!good) return frame_error(good.error().code, number, head.sequence);
        if (!good.assume_value()) return frame_error(errc::set_damaged, number, head.sequence);
        auto const run = part_run{head.first, head.end, head.presence, raw};
        if (about.content == part_content::log) return log_.take(about, run);
        return database_of(about).take(run);
    }
    [[nodiscard]] result<void> close_part(std::uint32_t number) {
        open_.erase(find(number));
        return ok();
    }

    // All of it has passed, and this is its manifest.
    [[nodiscard]] result<void> finish(backup_manifest const& m, verify_report& report) const {
        report.parts += m.parts.size();
        if (m.has_pages() && m.kind != backup_kind::pages) { // it stands alone
            auto const alone = planned_set{&m, {}};
            auto trouble = plan_trouble{};
            auto const plan = plan_restore({&alone, 1}, 0, m.end_lsn, trouble);
            if (!plan) return plan.error();
        }
        if (is_sealed_) {
            ++report.sealed_sets;
            return ok();
        }
        auto expected = std::size_t{0};
        for (auto const& known : m.databases) {
            if (!m.has_pages()) break;
            auto const one =
                std::find_if(databases_.begin(), databases_.end(), [&](auto const& passed) {
                    return passed.id() == known.id;
                });
            if (one == databases_.end())
                return error{
                    .code = errc::incomplete_copy,
                    .database = known.place.value,
                    .file = file_kind::database
                };
            BOOST_OUTCOME_TRY(one->finish(m, known));
            report.pages += one->verified();
            ++expected;
        }
        if (expected != databases_.size())
            return error{.code = errc::set_mixed, .file = file_kind::manifest};
        report.records += log_.records();
        return log_.finish(m);
    }

private:
    struct open_part_state {
        std::uint32_t number{};
        stream_about about{};
    };

    [[nodiscard]] std::vector<open_part_state>::iterator find(std::uint32_t number) noexcept {
        return std::find_if(open_.begin(), open_.end(), [&](auto const& one) {
            return one.number == number;
        });
    }
    [[nodiscard]] detail::passing_database& database_of(stream_about const& about) {
        for (auto& one : databases_)
            if (one.id() == about.database) return one;
        return databases_.emplace_back(about);
    }

    verify_options const* options_;
    aligned_buffer raw_;
    unit_decoder decoder_;
    std::vector<open_part_state> open_;
    std::vector<detail::passing_database> databases_;
    detail::passing_log log_;
    bool is_sealed_ = false;
};
static_assert(part_store<passing_set>);

// To the end of the source. A report with a finding: what the stream holds is no sound set.
template <byte_source Source>
[[nodiscard]] result<verify_report> verify_stream(
    Source& from, verify_options const& options = {}
) noexcept {
    return guarded([&]() -> result<verify_report> {
        auto report = verify_report{.sets = 1, .partial = true};
        auto passing = passing_set{options};
        auto got = read_stream(from, passing);
        auto done = result<void>{ok()};
        auto file = std::string{};
        if (!got) {
            done = got.error();
        } else {
            auto const& all = got.assume_value();
            report.frames = all.frames;
            report.bytes = all.bytes;
            done = passing.finish(all.manifest.manifest, report);
            if (!done) file = detail::file_of(done.error(), all.manifest.manifest);
        }
        if (done) return report;
        auto const& why = done.error();
        if (detail::says_nothing_of_sets(why.code) || why.code == errc::io) return why;
        report.findings.push_back({"", file, why});
        return report;
    });
}

} // namespace jetpp::inline v1
