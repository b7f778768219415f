// jetpp/backup/restore_fork.hpp - the new timeline of a restored instance: its first segment, and
// the checkpoint from which recovery takes everything up.
//
//     set's log ... | cut at fork_lsn      first segment of the new timeline: attach_list alone
// Whoever rolls back starts a new timeline, so that two histories never mix. Its generation lies
// above every one that a set of the lineage or the target has seen, by a random distance.
// Threads  pure functions but for the files they write.
// Source   backup rules R36, R37, R41.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/log/checkpoint_slot.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/log/log_writer.hpp>
#include <jetpp/recovery/analysis.hpp>
#include <jetpp/recovery/instance_options.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace jetpp::inline v1 {

struct restore_fork {
    timeline_id timeline{};
    timeline_id parent{};
    lsn fork_lsn{};
    std::uint64_t first_generation{};
    std::uint32_t incarnation{};

    // `log`: what is replayed, seen to its end. `highest`: nothing of the lineage that was met
    // reaches beyond it.
    template <any_environment Env, class Log>
    [[nodiscard]] static restore_fork draw(Env env, Log const& log, lsn highest) noexcept {
        auto& random = env.runtime;
        auto const& last = log.last_segment();
        auto made = restore_fork{
            .parent = last.timeline,
            .fork_lsn = log.end(),
            .incarnation = log.incarnation() + 1,
        };
        do made.timeline = {random.random()};
        while (made.timeline.value == 0 || made.timeline.low() == 0 ||
               made.timeline.low() == last.timeline.low());
        made.first_generation = generation_of(later(highest, log.end()), last.segment_bytes) + 1 +
                                random.random() % 65536;
        return made;
    }
};

// Below them everything in the pages was home.
struct restore_lows {
    lsn redo_lsn{};
    lsn undo_low_lsn{};
};

// A segment behind the log laid down, with the list of databases and no other record. The
// checkpoint names it, so that recovery begins its own behind it and does not put one in its place:
// between the two the timeline would be lost.
// `databases`: those that are brought back, under the names that they shall have.
// Errors: of storage, out_of_memory.
template <class Traits, class Log>
[[nodiscard]] result<void> begin_timeline(
    typename Traits::env environment,
    typename Traits::env::directory& into,
    restore_fork const& fork,
    Log const& log,
    restore_lows const& lows,
    std::span<logged_database const> databases
) noexcept {
    using env = typename Traits::env;
    auto entries = std::array<attach_entry, databases_max>{};
    auto count = std::size_t{0};
    for (auto const& one : databases)
        entries[count++] = {
            .database = one.id,
            .flags = one.flags,
            .id = one.database,
            .nonce = one.nonce,
            .attach_lsn = one.attach_lsn,
            .name = as_bytes(one.name.view()),
        };
    auto room = std::array<std::byte, attach_entries_size_max>{};
    auto const used = encode_attach_entries({entries.data(), count}, room);
    auto const list = record::attach_list{
        .count = static_cast<std::uint16_t>(count),
        .entries = const_bytes{room}.first(used),
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
             .incarnation = fork.incarnation,
             .timeline = fork.timeline,
             .parent_timeline = fork.parent,
             .fork_lsn = fork.fork_lsn,
             .generation = fork.first_generation,
             .previous_generation = last.generation,
             .previous_nonce = last.nonce,
             .previous_created_at = last.created_at,
             .cut = fork.fork_lsn,
             .wall_floor = log.analysis().latest_wall(),
             .attach_list = const_bytes{encoded}.first(list.size())}
        )
    );
    BOOST_OUTCOME_TRY(writer->flush_all());
    auto const begun = writer->durable_segment();

    BOOST_OUTCOME_TRY(auto file, checkpoint_file<env>::open_or_create(environment, into));
    auto slot = checkpoint_slot{};
    slot.instance = last.instance;
    slot.timeline = fork.timeline;
    slot.redo_lsn = lows.redo_lsn;
    slot.undo_low_lsn = lows.undo_low_lsn;
    slot.end_lsn = writer->durable_lsn();
    slot.generation = begun.generation;
    slot.nonce = begun.nonce;
    slot.written_at = environment.runtime.wall();
    slot.incarnation = fork.incarnation;
    slot.segment_bytes = last.segment_bytes;
    slot.page_bytes = static_cast<std::uint32_t>(Traits::page_size);
    for (auto const& one : databases)
        slot.databases[slot.database_count++] = {.id = one.id, .database = one.database};
    return file.write(slot);
}

} // namespace jetpp::inline v1
