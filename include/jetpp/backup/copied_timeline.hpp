// jetpp/backup/copied_timeline.hpp - what the log of a copy says on the way, and the timeline that a
// restore of it begins behind its end.
//
//     session's log ... | cut at fork_lsn      first segment of the new timeline: attach_list alone
// Whoever rolls back starts a new timeline, so that two histories never mix.
// Threads  one owner.
// Source   backup rules R36, R37, R41.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/log/checkpoint_slot.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/log/log_writer.hpp>
#include <jetpp/log/segment.hpp>
#include <jetpp/recovery/analysis.hpp>
#include <jetpp/recovery/instance_options.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

// A visitor of copied_log.
class copied_history {
public:
    // `begin_lsn`: where the session must have begun; 0: not to be looked for.
    copied_history(lsn log_start, lsn begin_lsn, uuid const& set) noexcept
        : analysis_{log_start}, begin_lsn_{begin_lsn}, set_{set} {}

    // Errors: set_mixed (at: where the begin record ought to be), those of log_analysis.
    [[nodiscard]] result<void> see_record(log_record const& logged) noexcept {
        end_ = logged.at + logged.length;
        if (logged.at == begin_lsn_) {
            auto const* const begun = logged.template as<record::backup_begin>();
            if (begun == nullptr || begun->set != set_) return mixed();
            begun_ = true;
        }
        return analysis_.see(logged);
    }
    void see_segment(segment_header const& header) noexcept {
        last_ = header;
        end_ = later(end_, header.first());
        incarnation_ = std::max(incarnation_, header.incarnation);
    }
    [[nodiscard]] result<void> finish() noexcept {
        if (begin_lsn_ && !begun_) return mixed();
        return analysis_.finish();
    }

    [[nodiscard]] log_analysis const& analysis() const noexcept { return analysis_; }
    [[nodiscard]] segment_header const& last_segment() const noexcept { return last_; }
    // Behind the last record.
    [[nodiscard]] lsn end() const noexcept { return end_; }
    [[nodiscard]] std::uint32_t incarnation() const noexcept { return incarnation_; }

private:
    [[nodiscard]] error mixed() const noexcept {
        return {.code = errc::set_mixed, .file = file_kind::log_segment, .at = begin_lsn_};
    }

    log_analysis analysis_;
    lsn begin_lsn_{};
    uuid set_{};
    bool begun_ = false;
    segment_header last_{};
    lsn end_{};
    std::uint32_t incarnation_ = 0;
};

struct copied_fork {
    timeline_id timeline{};
    std::uint64_t first_generation{};

    // `highest`: no segment that was met reaches beyond it.
    template <class Runtime>
    [[nodiscard]] static copied_fork draw(
        Runtime& random, copied_history const& log, lsn highest
    ) noexcept {
        auto const& last = log.last_segment();
        auto made = copied_fork{};
        do made.timeline = {random.random()};
        while (made.timeline.value == 0 || made.timeline.low() == 0 ||
               made.timeline.low() == last.timeline.low());
        made.first_generation = generation_of(later(highest, log.end()), last.segment_bytes) + 1 +
                                random.random() % 65536;
        return made;
    }
};

// The first segment of the new timeline, and a checkpoint that names it, so that recovery begins its
// own behind it and does not put one in its place: between the two the timeline would be lost.
// Errors: of storage, out_of_memory.
template <class Traits>
[[nodiscard]] result<void> begin_copied_timeline(
    typename Traits::env environment,
    typename Traits::env::directory& into,
    copied_fork const& fork,
    copied_history const& log,
    lsn log_start
) noexcept {
    using env = typename Traits::env;
    auto slot = checkpoint_slot{};
    auto entries = std::array<attach_entry, databases_max>{};
    auto count = std::size_t{0};
    for (auto const& logged : log.analysis().databases()) {
        slot.databases[slot.database_count++] = {.id = logged.id, .database = logged.database};
        entries[count++] = {
            .database = logged.id,
            .flags = logged.flags,
            .id = logged.database,
            .nonce = logged.nonce,
            .attach_lsn = logged.attach_lsn,
            .name = as_bytes(logged.name.view()),
        };
    }
    auto room = std::array<std::byte, attach_entries_size_max>{};
    auto const used = encode_attach_entries({entries.data(), count}, room);
    auto const list = record::attach_list{
        .count = static_cast<std::uint16_t>(count), .entries = const_bytes{room}.first(used)
    };
    auto encoded = std::array<std::byte, record::attach_list::size_max>{};
    encode_header(encoded.data(), {.type = list.type, .flags = record_flags::system});
    list.encode(encoded.data());
    auto const& last = log.last_segment();
    auto options = log_options_of(
        {.brief = true}, Traits::page_size, last.segment_bytes, last.mode == logging_mode::archival
    );
    options.process_level = false;
    BOOST_OUTCOME_TRY(
        auto const writer,
        log_writer<env>::create(
            environment,
            into,
            options,
            {.instance = last.instance,
             .incarnation = log.incarnation() + 1,
             .timeline = fork.timeline,
             .parent_timeline = last.timeline,
             .fork_lsn = log.end(),
             .generation = fork.first_generation,
             .previous_generation = last.generation,
             .previous_nonce = last.nonce,
             .previous_created_at = last.created_at,
             .cut = log.end(),
             .wall_floor = log.analysis().latest_wall(),
             .attach_list = const_bytes{encoded}.first(list.size())}
        )
    );
    BOOST_OUTCOME_TRY(writer->flush_all());
    auto const begun = writer->durable_segment();

    BOOST_OUTCOME_TRY(auto file, checkpoint_file<env>::open_or_create(environment, into));
    slot.instance = last.instance;
    slot.timeline = fork.timeline;
    slot.redo_lsn = log_start; // below it everything in the copies was home
    slot.undo_low_lsn = log_start;
    slot.end_lsn = writer->durable_lsn();
    slot.generation = begun.generation;
    slot.nonce = begun.nonce;
    slot.written_at = environment.runtime.wall();
    slot.incarnation = log.incarnation() + 1;
    slot.segment_bytes = last.segment_bytes;
    slot.page_bytes = static_cast<std::uint32_t>(Traits::page_size);
    return file.write(slot);
}

} // namespace jetpp::inline v1
