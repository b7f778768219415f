// jetpp/backup/restore_layout.hpp - lays a set down as the files of an instance that crashed.
//
// A visitor of set_walker: databases with state `restoring`, log segments in full size. When the
// walk is over, fork() makes of it what recovery takes up: the first segment of the new timeline,
// which cuts the set's log at its end, a checkpoint, and headers that belong to the new timeline.
// Threads  one owner.
// Owns     the file that is being written.
// Source   backup rules R37, R38, R43, R68.
#pragma once

#include <jetpp/backup/file_output.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/restore_journal.hpp>
#include <jetpp/backup/set_walker.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/checkpoint_slot.hpp>
#include <jetpp/log/log_writer.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/recovery/analysis.hpp>
#include <jetpp/recovery/attached_database.hpp>
#include <jetpp/recovery/instance_options.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
class restore_layout {
    using env = typename Traits::env;
    using directory = typename env::directory;
    static constexpr std::size_t page_size = Traits::page_size;

public:
    using progress = std::function<result<void>(std::uint64_t)>;

    // Lifetime: target and manifest outlive it. Errors: out_of_memory.
    [[nodiscard]] static result<restore_layout> create(
        env environment, directory& target, backup_manifest const& manifest, progress on_read
    ) {
        auto made = restore_layout{environment, target, manifest, std::move(on_read)};
        BOOST_OUTCOME_TRY(made.out_, appended_file<env>::create(environment));
        BOOST_OUTCOME_TRY(made.area_, aligned_buffer::create(database_header_area_bytes));
        return made;
    }

    // ---- as visitor

    [[nodiscard]] result<void> begin_database(std::size_t i, database_header const& frozen) {
        database_ = i;
        BOOST_OUTCOME_TRY(auto const name, name_of(i));
        BOOST_OUTCOME_TRY(
            out_->open(*target_, name, std::uint64_t{manifest_->databases[i].pages} * page_size)
        );
        headers_[i] = frozen;
        headers_[i].state = database_state::restoring;
        encode_area(headers_[i]);
        return out_->append(area_.all());
    }
    [[nodiscard]] result<void> database_bytes(std::uint64_t, const_bytes image) {
        return out_->append(image);
    }
    [[nodiscard]] result<void> end_database(copy_trailer const& trailer) {
        copy_ends_[database_] = trailer.copy_end_lsn;
        return out_->close();
    }
    [[nodiscard]] result<void> begin_segment(segment_header const& segment) {
        // Log from before the copy serves other plans: recovery has no use for it.
        skipping_ =
            segment_limit(segment.generation, segment.segment_bytes) <= manifest_->log_start;
        if (skipping_) return ok();
        return out_->open(
            *target_, segment_file_name(segment.generation), segment.segment_bytes
        );
    }
    [[nodiscard]] result<void> see_record(log_record const& logged) {
        auto const size = manifest_->segment_bytes;
        if (segment_limit(generation_of(logged.at, size), size) <= manifest_->log_start)
            return ok();
        return analysis_.see(logged);
    }
    [[nodiscard]] result<void> segment_bytes(std::uint64_t, const_bytes image) {
        return skipping_ ? result<void>{ok()} : out_->append(image);
    }
    [[nodiscard]] result<void> end_segment(segment_header const& segment, lsn end) {
        last_ = segment;
        log_end_ = end;
        return skipping_ ? result<void>{ok()} : out_->close();
    }
    [[nodiscard]] result<void> read(std::uint64_t count) {
        return on_read_ ? on_read_(count) : result<void>{ok()};
    }

    // ---- after the walk

    // Draws the new timeline and where it begins.
    void draw_fork(std::uint32_t incarnation) noexcept {
        auto& random = env_.runtime;
        do timeline_ = {random.random()};
        while (timeline_.value == 0 || timeline_.low() == 0 ||
               timeline_.low() == manifest_->timeline.low());
        incarnation_ = incarnation + 1;
        first_generation_ = generation_of(manifest_->end_lsn, manifest_->segment_bytes) + 1 +
                            random.random() % 65536;
    }
    [[nodiscard]] timeline_id timeline() const noexcept { return timeline_; }
    [[nodiscard]] lsn fork_lsn() const noexcept { return log_end_; }
    [[nodiscard]] std::uint64_t first_generation() const noexcept { return first_generation_; }

    // Errors: database_not_in_sets (uuid unknown; at = where it was attached), history_break, those
    // of replay and of storage.
    [[nodiscard]] result<void> fork() noexcept {
        BOOST_OUTCOME_TRY(analysis_.finish());
        BOOST_OUTCOME_TRY(check_databases(analysis_));
        BOOST_OUTCOME_TRY(begin_timeline(analysis_));
        BOOST_OUTCOME_TRY(write_checkpoint());
        for (std::size_t i = 0; i < manifest_->databases.size(); ++i) {
            BOOST_OUTCOME_TRY(adopt(i));
        }
        return ok();
    }

private:
    restore_layout(
        env environment, directory& target, backup_manifest const& manifest, progress on_read
    )
        : env_{environment}, target_{&target}, manifest_{&manifest}, on_read_{std::move(on_read)},
          analysis_{manifest.log_start} {}

    [[nodiscard]] result<file_name> name_of(std::size_t i) const noexcept {
        return database_file_name(manifest_->databases[i].name);
    }

    // Both copies, of rising sequence.
    void encode_area(database_header& header) noexcept {
        std::memset(area_.data(), 0, area_.size());
        for (auto const copy : {header_copy::a, header_copy::b}) {
            ++header.sequence;
            header.encode(
                area_.part(static_cast<std::size_t>(offset_of(copy)), database_header::size)
            );
        }
    }

    // Every database that is attached at the end is in the set under its name, or is made by the
    // log; every one in the set is attached.
    [[nodiscard]] result<void> check_databases(log_analysis const& analysis) const noexcept {
        for (auto const& logged : analysis.databases()) {
            auto known = logged.created;
            for (auto const& one : manifest_->databases)
                known = known || (one.id == logged.database && one.name == logged.name.view());
            if (!known)
                return error{
                    .code = errc::database_not_in_sets,
                    .database = logged.id.value,
                    .file = file_kind::database,
                    .at = logged.attach_lsn
                };
        }
        for (auto const& one : manifest_->databases) {
            auto const* const logged = analysis.database(one.place);
            if (logged == nullptr || logged->database != one.id)
                return error{
                    .code = errc::history_break,
                    .database = one.place.value,
                    .file = file_kind::database,
                    .at = manifest_->end_lsn
                };
        }
        return ok();
    }

    // A segment behind the set's log, on a timeline of its own, with the list of databases and no
    // other record. The checkpoint names it, so that recovery begins its own behind it and does not
    // put one in its place: between the two the timeline would be lost.
    [[nodiscard]] result<void> begin_timeline(log_analysis const& analysis) noexcept {
        auto entries = std::array<attach_entry, databases_max>{};
        auto count = std::size_t{0};
        for (auto const& logged : analysis.databases())
            entries[count++] = {
                .database = logged.id,
                .flags = logged.flags,
                .id = logged.database,
                .nonce = logged.nonce,
                .attach_lsn = logged.attach_lsn,
                .name = as_bytes(logged.name.view()),
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
        auto options = log_options_of(
            {.brief = true}, page_size, manifest_->segment_bytes, manifest_->archival
        );
        options.process_level = false;
        BOOST_OUTCOME_TRY(
            auto const writer,
            log_writer<env>::create(
                env_,
                *target_,
                options,
                {.instance = manifest_->instance,
                 .incarnation = incarnation_,
                 .timeline = timeline_,
                 .parent_timeline = manifest_->timeline,
                 .fork_lsn = log_end_,
                 .generation = first_generation_,
                 .previous_generation = last_.generation,
                 .previous_nonce = last_.nonce,
                 .previous_created_at = last_.created_at,
                 .cut = log_end_,
                 .wall_floor = manifest_->last_commit_time,
                 .attach_list = const_bytes{encoded}.first(list.size())}
            )
        );
        BOOST_OUTCOME_TRY(writer->flush_all());
        begun_ = writer->durable_segment();
        begun_end_ = writer->durable_lsn();
        return ok();
    }

    [[nodiscard]] result<void> write_checkpoint() noexcept {
        BOOST_OUTCOME_TRY(auto file, checkpoint_file<env>::open_or_create(env_, *target_));
        auto slot = checkpoint_slot{};
        slot.instance = manifest_->instance;
        slot.timeline = timeline_;
        slot.redo_lsn = manifest_->redo_lsn;
        slot.undo_low_lsn = manifest_->undo_low_lsn;
        slot.end_lsn = begun_end_;
        slot.generation = begun_.generation;
        slot.nonce = begun_.nonce;
        slot.written_at = env_.runtime.wall();
        slot.incarnation = incarnation_;
        slot.segment_bytes = manifest_->segment_bytes;
        slot.page_bytes = static_cast<std::uint32_t>(page_size);
        for (auto const& one : manifest_->databases)
            slot.databases[slot.database_count++] = {.id = one.place, .database = one.id};
        return file.write(slot);
    }

    // The database leaves the copy's state: it is one that crashed at the end of the set. The
    // journal stands for both copies: while it is there no crash leaves anything that is read.
    [[nodiscard]] result<void> adopt(std::size_t i) noexcept {
        auto const here = [](error const& e) { return e.with_file(file_kind::database); };
        auto& h = headers_[i];
        h.fork(timeline_, log_end_);
        h.clear_marks();
        h.state = database_state::dirty;
        h.source_set = {};
        h.restored_from = manifest_->set;
        h.restore_point = manifest_->end_lsn;
        h.min_required_lsn = manifest_->log_start;
        h.max_required_lsn = copy_ends_[i];
        h.max_lsn = later(h.max_lsn, copy_ends_[i]);
        encode_area(h);
        BOOST_OUTCOME_TRY(auto const name, name_of(i));
        auto file = target_->open(name, {.mode = open_mode::read_write});
        if (!file) return here(file.error());
        if (auto done = write_full(file.assume_value(), area_.all(), 0); !done)
            return here(done.error());
        if (auto done = file.assume_value().sync(sync_how::data); !done) return here(done.error());
        return file.assume_value().close();
    }

    [[no_unique_address]] env env_;
    directory* target_;
    backup_manifest const* manifest_;
    progress on_read_;
    log_analysis analysis_; // of the set's log, from the segment of log_start on
    std::optional<appended_file<env>> out_;
    aligned_buffer area_;
    std::array<database_header, databases_max> headers_{}; // as they are laid down
    std::size_t database_ = 0;
    std::array<lsn, databases_max> copy_ends_{};
    bool skipping_ = false;
    segment_header last_{};
    lsn log_end_{};
    timeline_id timeline_{};
    std::uint32_t incarnation_ = 0;
    std::uint64_t first_generation_ = 0;
    segment_id begun_{};
    lsn begun_end_{};
};

} // namespace jetpp::inline v1
