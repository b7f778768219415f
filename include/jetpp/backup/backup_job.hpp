// jetpp/backup/backup_job.hpp - one backup from its first step to its last, without any scheduling.
//
// The plan says what comes next, live_backup reads it, set_writer writes it. Reading and writing
// are separate calls with chunks between them, so that somebody (async_backup.hpp) may do both at
// once; run_in_place() does them in turn.
// Invariants
//   * however a job ends, the log is released, and an unpublished set leaves nothing behind:
//     the destructor sees to it; only one that is resumable and was interrupted keeps both
// Threads  open, finish, abandon: one caller. read() and write() may run at the same time, each in
//          one thread, on different chunks.
// Owns     the pin and the unpublished set. Instance and sink outlive it.
#pragma once

#include <jetpp/backup/backup_chunk.hpp>
#include <jetpp/backup/backup_options.hpp>
#include <jetpp/backup/backup_planner.hpp>
#include <jetpp/backup/encode_window.hpp>
#include <jetpp/backup/live_backup.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/resume_record.hpp>
#include <jetpp/backup/set_writer.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/backup/token_bucket.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/core/utf8.hpp>
#include <jetpp/engine/options.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/recovery/instance.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits, backup_sink Sink>
class backup_job {
    using env = typename Traits::env;
    using runtime = typename env::runtime_type;

public:
    // `ahead`: chunks that may be read before read() asks for them, each a buffer more.
    backup_job(
        instance<Traits>& source, Sink& sink, backup_options const& options, std::size_t ahead = 0
    )
        : running_{source.backups(), *this}, in_{&source}, sink_{&sink}, options_{options},
          source_{source},
          plan_{static_cast<std::uint32_t>(Traits::page_size), source.segment_bytes()},
          began_{clock().now()}, stage_began_{began_}, bucket_{options.bytes_per_second},
          wake_{source.environment().runtime}, ahead_{ahead} {}
    backup_job(backup_job const&) = delete;
    backup_job& operator=(backup_job const&) = delete;
    ~backup_job() {
        if (plan_.is_before_publish()) cancel();
        end_badly();
    }

    // Errors: see live_backup::begin, and the sink's.
    // To go on with a set: cannot_resume (there is nothing of it, its options were others, or what
    // happened since makes its pages worthless), pin_broken, already_exists (it was published),
    // backup_in_progress, wrong_key. It stays as it is then.
    [[nodiscard]] result<void> open() noexcept {
        BOOST_OUTCOME_TRY(running_.join());
        BOOST_OUTCOME_TRY(kept([&]() -> result<void> {
            BOOST_OUTCOME_TRY(
                auto writer,
                set_writer<Sink>::create(*sink_, options_.codec, options_.encryption, options_.hash)
            );
            writer_.emplace(std::move(writer));
            if (options_.codec.kind != nullptr && options_.encoders != 0) {
                auto made = encode_window<env>::create(
                    in_->environment(), options_.codec, options_.encoders
                );
                if (made) window_ = std::move(made).assume_value();
            }
            auto& random = clock();
            auto const promised = writer_->promised();
            auto const durable = is_relied_on(promised);
            auto const full = options_.kind == backup_kind::full;
            if (options_.truncate && (!durable || !permits_truncation(options_.kind)))
                return error{.code = errc::invalid_argument};
            // A reader would refuse the manifest.
            if (options_.tag.size() > backup_options::tag_bytes_max || !is_utf8(options_.tag))
                return error{.code = errc::invalid_argument};
            if (is_resumable()) {
                BOOST_OUTCOME_TRY(check_resumable());
            }
            if (options_.resume) return reopen();
            name_ = {
                .set = make_uuid(random.random(), random.random()),
                .kind = full && !durable ? backup_kind::copy : options_.kind,
                .created = random.wall(),
            };
            BOOST_OUTCOME_TRY(source_.begin(order(), plan_));
            total_.store(plan_.total_bytes(), std::memory_order_relaxed);
            BOOST_OUTCOME_TRY(writer_->begin(name_));
            return is_resumable() ? leave_record() : result<void>{ok()};
        }));
        if (options_.resume) plan_.resume_at(resumed_file_, resumed_page_);
        // At a rate, each read waits for its turn.
        if (options_.bytes_per_second == 0) source_.read_ahead(plan_, ahead_, options_.readers);
        return ok();
    }

    // Reads what comes next. Returns: false if nothing is left to read.
    [[nodiscard]] result<bool> read(backup_chunk& into) noexcept {
        if (plan_.step().stage == backup_stage::switch_log) {
            BOOST_OUTCOME_TRY(source_.switch_log(plan_));
            plan_.done();
            total_.store(plan_.total_bytes(), std::memory_order_relaxed);
        }
        if (!plan_.is_reading()) return false;
        BOOST_OUTCOME_TRY(watch_log());
        auto const step = plan_.step();
        BOOST_OUTCOME_TRY(wait_for_tokens(bytes_of(step)));
        BOOST_OUTCOME_TRY(source_.read(step, into));
        plan_.done();
        return true;
    }

    // Writes what read() filled, in its order, or keeps its memory while it is compressed.
    [[nodiscard]] result<void> write(backup_chunk& chunk) noexcept {
        if (window_ == nullptr) return writer_->write(chunk, file_name_of(chunk.step));
        if (window_->is_full()) {
            written_ = window_->oldest().step;
            BOOST_OUTCOME_TRY(write_oldest());
        }
        window_->push(chunk);
        return ok();
    }

    // Requires: nobody reads or writes. Everything was written: the set becomes one, headers are
    // stamped, the log is released.
    [[nodiscard]] result<backup_report> finish() noexcept {
        auto report = backup_report{};
        if (runtime::sabotaged(sabotage::stamp_before_publish)) (void)source_.complete(0);
        auto published = kept([&]() -> result<void> {
            while (window_ != nullptr && !window_->is_empty()) {
                BOOST_OUTCOME_TRY(check_interrupted());
                auto const step = window_->oldest().step;
                BOOST_OUTCOME_TRY(write_oldest());
                BOOST_OUTCOME_TRY(report_written(step));
            }
            window_.reset();
            return publish(report);
        });
        if (!published) return published.error();
        auto const relied_on = is_relied_on(report.receipt);
        report.is_relied_on = relied_on;
        if (relied_on) {
            if (auto stamped = source_.complete(short_of(report.manifest_hash)); !stamped)
                report.stamp_problem = stamped.error();
        }
        plan_.done();
        if (is_resumable())
            if (auto done = forget_record(); !done) report.pin_problem = done.error();
        source_.release();
        plan_.done();
        // Behind the stamp, which is what allows it, and the pin, which would hold it.
        if (options_.truncate && relied_on && !report.stamp_problem) {
            if (auto done = in_->truncate_log(); done)
                report.truncated = done.assume_value();
            else
                report.truncate_problem = done.error();
        }
        report.took = clock().now() - began_;
        running_.leave();
        tell({
            .kind = event_kind::backup_finished,
            .from = report.log_start,
            .to = report.end_lsn,
            .count = report.image_bytes,
        });
        return report;
    }

    // Requires: nobody reads or writes. Returns: the reason that is to be reported.
    error fail(error const& why) noexcept {
        plan_.failed(why);
        end_badly();
        return *plan_.problem();
    }
    void cancel() noexcept {
        if (plan_.cancel()) end_badly();
    }

    // From any thread, at any time: reads end with errc::cancelled, also one that waits for its rate.
    // Whoever drives the job still has to cancel() it.
    void interrupt() noexcept {
        interrupted_.store(1, std::memory_order_release);
        wake_.set_all();
    }

    // Behind write(): how far did what it wrote bring it, this chunk or an older one?
    // Errors: what the callback returned; what it throws: io, or out_of_memory.
    [[nodiscard]] result<void> report_progress(backup_chunk const& chunk) noexcept {
        if (window_ == nullptr) return report_written(chunk.step);
        auto const step = std::exchange(written_, std::nullopt);
        return step ? report_written(*step) : result<void>{ok()};
    }

private:
    [[nodiscard]] runtime& clock() noexcept { return in_->environment().runtime; }

    [[nodiscard]] bool is_resumable() const noexcept {
        return options_.resumable || options_.resume.has_value();
    }
    // Errors: unsupported (the sink keeps nothing of an unpublished set), invalid_argument (a set
    // without pages: there is nothing to win).
    [[nodiscard]] result<void> check_resumable() const noexcept {
        if constexpr (!resumable_sink<Sink>) return error{.code = errc::unsupported};
        if (!has_pages(options_.kind)) return error{.code = errc::invalid_argument};
        return ok();
    }
    // Has the backup been interrupted, or ended? A wish ends it, and so does a log that became too
    // long; an attempt to go on with a set that fails leaves it as it was.
    [[nodiscard]] bool stays() const noexcept {
        auto const why = plan_.problem()->code;
        return reopening_ ||
               (keeps_ && !wished_ && why != errc::cancelled && why != errc::pin_broken);
    }
    [[nodiscard]] backup_order order() const noexcept {
        auto const cap = options_.log_cap_bytes != 0 ? options_.log_cap_bytes : resumable_log_cap;
        return {
            .set = name_.set,
            .kind = name_.kind,
            .checkpoint_first = options_.checkpoint_first,
            .find_base = &options_.find_base,
            .base = options_.base ? &*options_.base : nullptr,
            .only = options_.databases,
            .named_pin_cap = is_resumable() ? cap : 0,
        };
    }
    // From here on an interruption leaves something to go on with.
    [[nodiscard]] result<void> leave_record() {
        auto record = source_.record_of_begin();
        record.name = name_;
        record.key_slots = writer_->key_slots();
        BOOST_OUTCOME_TRY(record.options, digest_of_shape(options_));
        BOOST_OUTCOME_TRY(write_resume_record<env>(in_->where(), record));
        keeps_ = true;
        return ok();
    }
    // The record first: a pin without one is still listed, and can be abandoned.
    [[nodiscard]] result<void> forget_record() noexcept {
        keeps_ = false;
        auto const removed = remove_resume_record<env>(in_->where(), name_.set);
        auto const released = source_.release_named_pin();
        return removed ? released : removed;
    }
    // Instead of beginning a set.
    [[nodiscard]] result<void> reopen() {
        if constexpr (resumable_sink<Sink>) {
            reopening_ = true;
            auto const set = *options_.resume;
            BOOST_OUTCOME_TRY(auto record, read_resume_record<env>(in_->where(), set));
            BOOST_OUTCOME_TRY(auto const shape, digest_of_shape(options_));
            if (shape != record.options)
                return error{.code = errc::cannot_resume, .file = file_kind::backup_resume};
            name_ = record.name;
            BOOST_OUTCOME_TRY(source_.resume(order(), record));
            using writer_type = set_writer<Sink>;
            auto const part_of = [&](std::size_t i) {
                auto const& known = source_.databases()[i];
                return typename writer_type::resumed_part{
                    .name = known.name.view(),
                    .about =
                        {.content = part_content::database,
                         .page_size = static_cast<std::uint32_t>(Traits::page_size),
                         .database = known.header.database,
                         .timeline = in_->timeline()},
                    .image_end = std::uint64_t{record.databases[i].pages} + 1,
                };
            };
            BOOST_OUTCOME_TRY(
                auto const at,
                writer_->resume(name_, record.key_slots, record.database_count, part_of)
            );
            BOOST_OUTCOME_TRY(source_.freeze_rest(record, at.file, at.page != 0, plan_));
            total_.store(plan_.total_bytes(), std::memory_order_relaxed);
            BOOST_OUTCOME_TRY(leave_record()); // with the sizes of what was frozen now
            resumed_file_ = at.file;
            resumed_page_ = at.page;
            done_bytes_ = at.bytes;
            begin_rate();
            reopening_ = false;
        }
        return ok();
    }

    [[nodiscard]] result<void> report_written(backup_step const& step) noexcept {
        done_bytes_ += bytes_of(step);
        auto all = plan_total();
        if (step.stage == backup_stage::pages) // and the log that is written meanwhile
            all += in_->log().tail() - source_.bounds().log_start;
        return tell_progress({.stage = step.stage, .bytes_total = all, .file = file_name_of(step)});
    }
    // Fills in how far it came and how fast. Errors: as report_progress().
    [[nodiscard]] result<void> tell_progress(backup_progress progress) noexcept {
        if (!options_.on_progress) return ok();
        progress.bytes_done = done_bytes_;
        auto const took = std::chrono::duration<double>(clock().now() - stage_began_).count();
        auto const did = static_cast<double>(done_bytes_ - stage_first_);
        if (took > 0 && did > 0) {
            progress.bytes_per_second = did / took;
            auto const left = static_cast<double>(progress.bytes_total - progress.bytes_done) /
                              progress.bytes_per_second;
            progress.left = std::chrono::duration_cast<std::chrono::nanoseconds>(
                std::chrono::duration<double>(left)
            );
        }
        auto said = guarded([&]() -> result<void> { return options_.on_progress(progress); });
        if (!said) wished_ = true;
        return said;
    }
    // From here on the rate is that of what comes.
    void begin_rate() noexcept {
        stage_began_ = clock().now();
        stage_first_ = done_bytes_;
    }

    // What a step reads.
    [[nodiscard]] static std::uint64_t bytes_of(backup_step const& step) noexcept {
        auto const unit = step.stage == backup_stage::pages ? Traits::page_size : 1;
        return unit * (step.end - step.first);
    }

    [[nodiscard]] bool is_relied_on(backup_receipt receipt) const noexcept {
        return receipt == backup_receipt::durable ||
               (receipt == backup_receipt::handed_over && options_.trust_receiver);
    }

    [[nodiscard]] result<void> write_oldest() noexcept {
        auto const& oldest = window_->oldest();
        BOOST_OUTCOME_TRY(writer_->write_encoded(
            oldest, file_name_of(oldest.step), [this]() noexcept { return window_->unit(); }
        ));
        window_->pop();
        return ok();
    }

    // A call whose failure ends the job.
    template <class Call>
    [[nodiscard]] result<void> kept(Call&& call) noexcept {
        auto done = guarded(std::forward<Call>(call));
        if (!done) return fail(done.error());
        plan_.done();
        return ok();
    }
    void end_badly() noexcept {
        if (plan_.step().stage == backup_stage::abandon) {
            if (stays()) {
                if (writer_) writer_->interrupt();
                source_.interrupt();
            } else {
                if (writer_) writer_->abandon();
                source_.abandon();
                if (is_resumable()) (void)forget_record();
            }
            plan_.done();
            abandoned_ = true;
        }
        if (plan_.step().stage == backup_stage::release) {
            source_.release();
            plan_.done();
        }
        running_.leave();
        if (std::exchange(abandoned_, false))
            tell({.kind = event_kind::backup_failed, .why = *plan_.problem()});
    }

    [[nodiscard]] std::string_view file_name_of(backup_step const& step) const noexcept {
        if (step.file == source_.databases().size()) return "log";
        return source_.databases()[step.file].name.view();
    }

    [[nodiscard]] result<void> publish(backup_report& report) {
        auto const& b = source_.bounds();
        auto manifest = describe_set();
        begin_rate();
        auto const watch = [this](std::uint64_t read, std::uint64_t in_all) -> result<void> {
            BOOST_OUTCOME_TRY(go_on());
            done_bytes_ += read;
            auto const total = std::max(done_bytes_, stage_first_ + in_all);
            return tell_progress({.stage = backup_stage::drill, .bytes_total = total});
        };
        BOOST_OUTCOME_TRY(writer_->prove(manifest, watch));
        BOOST_OUTCOME_TRY(go_on());
        BOOST_OUTCOME_TRY(tell_progress(
            {.stage = backup_stage::publish,
             .bytes_total = done_bytes_,
             .file = manifest_file_name.view()}
        ));
        BOOST_OUTCOME_TRY(auto const done, writer_->publish(manifest));
        report = {
            .set = name_.set,
            .kind = name_.kind,
            .receipt = done.receipt,
            .redo_lsn = b.redo_lsn,
            .log_start = b.log_start,
            .begin_lsn = b.begin_lsn,
            .copy_end_lsn = b.copy_end_lsn,
            .end_lsn = b.end_lsn,
            .last_commit = b.last_commit,
            .databases = manifest.databases.size(),
            .records = b.records,
            .image_bytes = writer_->image_bytes(),
            .stored_bytes = writer_->stored_bytes(),
            .manifest_hash = done.hash,
            .has_author = manifest.has_author(),
            .drill = manifest.drill,
            .name = std::string{set_directory_name(name_).view()},
        };
        if (!has_pages(name_.kind)) return ok();
        for (auto const& one : source_.databases()) {
            report.pages += one.pages - page_limits<Traits::page_size>::first_page.value;
            report.masked_pages += one.masked;
        }
        return ok();
    }

    [[nodiscard]] backup_manifest describe_set() {
        auto const& b = source_.bounds();
        auto m = backup_manifest{};
        m.set = name_.set;
        m.kind = name_.kind;
        m.created = name_.created;
        m.tag = options_.tag;
        m.instance = in_->id();
        m.timeline = in_->timeline();
        auto const line = in_->ancestry();
        m.ancestry.assign(line.forks().begin(), line.forks().end());
        m.redo_lsn = b.redo_lsn;
        m.undo_low_lsn = b.undo_low_lsn;
        m.log_start = b.log_start;
        m.begin_lsn = b.begin_lsn;
        m.copy_end_lsn = b.copy_end_lsn;
        m.end_lsn = b.end_lsn;
        m.last_commit = b.last_commit;
        m.last_commit_time = b.last_commit_time;
        m.bases = source_.bases();
        m.page_size = static_cast<std::uint32_t>(Traits::page_size);
        m.segment_bytes = in_->segment_bytes();
        m.checksum = Traits::checksum::name;
        m.archival = in_->is_archival();
        m.receipt = writer_->promised();
        for (auto const& one : source_.databases()) {
            m.databases.push_back(
                {.name = std::string{one.name.view()},
                 .id = one.header.database,
                 .place = one.header.id,
                 .pages = one.pages,
                 .trailer = has_pages(name_.kind),
                 .delta = source_.is_delta(m.databases.size())}
            );
            if (one.masked != 0)
                m.warnings.push_back({"home_image_bad", m.databases.back().name, one.masked});
        }
        // Under the pin they are those that were when the databases were chosen.
        auto exempt = std::array<std::pair<file_name, uuid>, databases_max>{};
        auto exempt_count = std::size_t{0};
        in_->each_database([&](auto const& known) noexcept {
            if (known.file->header().is_backup_exempt())
                exempt[exempt_count++] = {known.name, known.id};
        });
        for (auto const& [name, id] : std::span{exempt}.first(exempt_count))
            if (!m.has_database(id)) m.exempt.push_back({std::string{name.view()}, id});
        for (auto const& segment : source_.segments()) {
            auto const same = !m.log.empty() && m.log.back().timeline == segment.header.timeline;
            if (!same) m.log.push_back({segment.header.timeline, segment.from(), segment.to()});
            m.log.back().to = segment.to();
        }
        if (b.lost_log_to)
            m.warnings.push_back(
                {"pitr_gap",
                 std::to_string(b.lost_log_from.value) + "-" + std::to_string(b.lost_log_to.value),
                 b.lost_log_to - b.lost_log_from}
            );
        if (auto const& broken = source_.broken_below()) {
            auto file = std::string{};
            for (auto const& one : source_.databases())
                if (one.header.id.value == broken->database) file = one.name.view();
            m.warnings.push_back({"history_break", file, broken->at.value});
        }
        return m;
    }

    void tell(event const& what) const noexcept { options_.events(what); }

    // How much of its cap does the log take that the backup keeps? Errors: pin_broken.
    [[nodiscard]] result<void> watch_log() noexcept {
        constexpr auto levels = std::array<std::uint64_t, 3>{50, 75, 90};
        auto const cap = options_.log_cap_bytes;
        if (cap == 0) return ok();
        auto const from = source_.bounds().log_start;
        auto const to = in_->log().tail();
        auto const held = to - from;
        auto const percent = static_cast<double>(held) / static_cast<double>(cap) * 100;
        for (; told_ < levels.size() && percent >= static_cast<double>(levels[told_]); ++told_)
            tell(
                {.kind = event_kind::backup_log_held, .from = from, .to = to, .count = levels[told_]
                }
            );
        if (held <= cap) return ok();
        auto const broken =
            error{.code = errc::pin_broken, .file = file_kind::log_segment, .at = from};
        tell({.kind = event_kind::pin_broken, .why = broken, .from = from, .to = to, .count = held}
        );
        return broken;
    }
    // During a proof. Errors: cancelled, once somebody has interrupted the job; of watch_log().
    [[nodiscard]] result<void> go_on() noexcept {
        BOOST_OUTCOME_TRY(check_interrupted());
        return watch_log();
    }
    [[nodiscard]] result<void> check_interrupted() const noexcept {
        if (interrupted_.load(std::memory_order_acquire) != 0)
            return error{.code = errc::cancelled};
        return ok();
    }

    [[nodiscard]] std::uint64_t plan_total() const noexcept {
        return total_.load(std::memory_order_relaxed);
    }

    // Sleeps until the bytes are due. The clock is the environment's. Errors: cancelled.
    [[nodiscard]] result<void> wait_for_tokens(std::uint64_t bytes_wanted) noexcept {
        auto const due = bucket_.take(bytes_wanted, clock().now());
        for (;;) {
            auto const ticket = wake_.ticket();
            BOOST_OUTCOME_TRY(check_interrupted());
            if (clock().now() >= due) return ok();
            wake_.wait(ticket, due);
        }
    }

    running_backup<env> running_; // from open() on, until the log is released
    instance<Traits>* in_;
    Sink* sink_;
    backup_options options_;
    live_backup<Traits> source_;
    backup_planner plan_;
    std::optional<set_writer<Sink>> writer_;
    std::optional<backup_step> written_;         // by write(), and not yet told
    std::unique_ptr<encode_window<env>> window_; // null: nothing is compressed, or by the writer
    set_name name_{};
    mono_time began_{};
    mono_time stage_began_{};       // of what the rate is measured since,
    std::uint64_t stage_first_ = 0; // and what was done by then
    token_bucket bucket_;
    basic_event<runtime> wake_;
    typename Traits::template atomic<std::uint32_t> interrupted_{0};
    std::size_t ahead_;
    bool abandoned_ = false; // and nobody was told yet
    bool keeps_ = false;     // an interruption leaves set, record and named pin
    bool reopening_ = false; // a set that was interrupted, and is not yet gone on with
    bool wished_ = false;    // the caller ended it
    std::size_t resumed_file_ = 0;
    std::uint64_t resumed_page_ = 0;
    std::size_t told_ = 0;         // of the levels of the cap
    std::uint64_t done_bytes_ = 0; // read and written; what a delta left out counts
    typename Traits::template atomic<std::uint64_t> total_{0}; // by now known
};

// The whole backup in the calling thread: looking at chunks and writing them in turn, while the next
// are read. async_backup looks and writes at once.
// Errors: see async_backup.
template <class Traits, backup_sink Sink>
[[nodiscard]] result<backup_report> run_in_place(
    instance<Traits>& source, Sink& sink, backup_options const& options = {}
) noexcept {
    return guarded([&]() -> result<backup_report> {
        auto const ahead = options.queue_buffers > 1 ? options.queue_buffers - 1 : 0;
        auto job = backup_job<Traits, Sink>{source, sink, options, ahead};
        BOOST_OUTCOME_TRY(auto chunk, backup_chunk::create());
        BOOST_OUTCOME_TRY(job.open());
        for (;;) {
            auto const more = job.read(chunk);
            if (!more) return job.fail(more.error());
            if (!more.assume_value()) return job.finish();
            if (auto done = job.write(chunk); !done) return job.fail(done.error());
            if (auto done = job.report_progress(chunk); !done) return job.fail(done.error());
        }
    });
}

} // namespace jetpp::inline v1
