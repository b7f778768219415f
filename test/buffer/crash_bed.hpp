// test/buffer/crash_bed.hpp - a small engine over the pool that lives, crashes and recovers, many
// times, in the simulator.
//
// The log is the test's own and perfect: what is under test is everything that moves pages between
// memory and disk. Recovery takes the slot's redo_lsn at its word, repairs torn pages, and redoes
// strictly: a page that is neither before nor behind a record has lost a write.
#pragma once

#include <jetpp/simulation/simulated_world.hpp>

#include <set>

#include "bed.hpp"

namespace jetpp_test {

template <class Env>
class crash_bed {
    using traits = traits_on<Env>;
    using pool_type = buffer_pool<traits>;
    using file_type = paged_file<traits>;
    static constexpr std::uint32_t first = page_limits<4096>::new_database_pages;
    static constexpr std::uint32_t pages = 24;

public:
    explicit crash_bed(std::uint64_t seed, std::uint32_t rounds_of_a_writer = 60)
        : tape{seed}, world{tape}, rounds{rounds_of_a_writer} {
        log.stopped = [] {
            simulated_runtime::point(point_id::before_log_write);
            return simulation::current_machine->frozen();
        };
    }

    // Lives until the drawn crash, or until its work is done; then the disk forgets.
    // Returns: false if something was wrong; problem says what.
    bool live() {
        if (tape.chance(3, 4)) world.machine().crash_at(1 + tape.pick(400));
        world.run([&] {
            auto done = life();
            if (!done && !world.machine().frozen()) wrong(said(done));
        });
        world.machine().thaw(draw_crash_policy(tape, torn_sectors::possible));
        log.cut(tape.chance(1, 2) ? tape.pick(8) : 0);
        return problem.empty();
    }

    choice_tape tape;
    simulated_world world;
    std::string problem{};
    std::uint64_t repaired = 0;
    std::uint64_t checkpoints = 0;
    std::uint64_t recoveries = 0;

private:
    void wrong(std::string what) {
        if (problem.empty()) problem = std::move(what);
    }

    [[nodiscard]] result<void> life() {
        auto env = world.environment<Env>();
        BOOST_OUTCOME_TRY(auto dir, env.storage.open_dir("db", directory_how::create_if_missing));
        // Names that a killed process left may be in a cache only.
        BOOST_OUTCOME_TRY(dir.sync());
        BOOST_OUTCOME_TRY(auto slots, checkpoint_file<Env>::open_or_create(env, dir));
        BOOST_OUTCOME_TRY(auto file, open_database(env, dir));
        BOOST_OUTCOME_TRY(
            auto dw, double_write_file<traits>::open_or_create(env, dir, bed_owner, 8)
        );
        auto const* const slot = slots.newest();
        auto const redo = slot == nullptr ? no_lsn : slot->redo_lsn;
        auto const end = log.end;
        if (redo > end && end) wrong("the checkpoint is ahead of the log");
        file_type* const files[] = {file.get()};
        BOOST_OUTCOME_TRY(
            auto const torn, repair_torn_pages<traits>(dw, files, {.redo_lsn = redo, .end = end})
        );
        repaired += torn.repaired;

        auto sealed = sealed_log{end ? end : log.durable_lsn()};
        auto const frames = 8 + static_cast<std::uint32_t>(tape.pick(3)) * 4;
        BOOST_OUTCOME_TRY(
            auto pool,
            pool_type::create(env, {.frames = frames}, log_gate{sealed, bed_segment_bytes})
        );
        pool->use_double_write(&dw);
        BOOST_OUTCOME_TRY(pool->attach(*file));
        auto done = recover_and_work(env, *pool, *file, slots, dw, redo);
        pool->detach(*file);
        return done;
    }

    [[nodiscard]] result<std::unique_ptr<file_type>> open_database(
        Env env, typename Env::directory& dir
    ) {
        auto opened = file_type::open(env, dir, "data");
        if (!opened && opened.error().code == errc::not_found) {
            if (!log.records.empty()) wrong("the database is gone");
            if (auto gone = dir.remove("data.new"); !gone && gone.error().code != errc::not_found)
                return gone.error();
            BOOST_OUTCOME_TRY(
                auto made, file_type::create(env, dir, "data.new", new_header(), first + pages)
            );
            BOOST_OUTCOME_TRY(dir.rename("data.new", "data", rename_how::no_replace));
            BOOST_OUTCOME_TRY(dir.sync());
            opened = std::move(made);
        }
        if (!opened) return opened.error();
        auto file = std::move(opened).value();
        BOOST_OUTCOME_TRY(file->repair_header());
        auto const header = file->header();
        if (log.end && header.max_required_lsn &&
            log.end.value <=
                (header.max_required_lsn.value - 1) / bed_segment_bytes * bed_segment_bytes)
            wrong("the header asks for log that never was durable");
        if (header.state != database_state::dirty) {
            BOOST_OUTCOME_TRY(file->change_header([](database_header& h) noexcept {
                h.state = database_state::dirty;
            }));
        }
        return file;
    }

    [[nodiscard]] result<void> recover_and_work(
        Env env,
        pool_type& pool,
        file_type& file,
        checkpoint_file<Env>& slots,
        double_write_file<traits>& dw,
        lsn redo
    ) {
        BOOST_OUTCOME_TRY(redo_from(pool, file, redo));
        BOOST_OUTCOME_TRY(verify(pool, file));
        pool.use_log(log_gate{log, bed_segment_bytes});
        auto keeper = checkpointer<traits>{env, pool, slots};
        BOOST_OUTCOME_TRY(pool.flush());
        BOOST_OUTCOME_TRY(checkpoint(keeper));
        BOOST_OUTCOME_TRY(dw.empty());
        ++recoveries;

        live_pages.clear();
        for (auto const& [page, image] : replayed(log)) live_pages.insert(page);
        busy.clear();
        auto jobs = std::array<job, 4>{};
        typename Env::runtime_type::task tasks[4];
        finished = 0;
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            jobs[i] = {this, &pool, &file, &keeper, i == 0};
            BOOST_OUTCOME_TRY(
                tasks[i],
                env.runtime.spawn(
                    i == 0 ? "keeper" : "writer",
                    [](void* raw) {
                        auto& j = *static_cast<job*>(raw);
                        auto done = j.keeps ? j.bed->keep(j) : j.bed->write(j);
                        if (!j.keeps) ++j.bed->finished;
                        if (!done && !j.bed->world.machine().frozen()) j.bed->wrong(said(done));
                    },
                    &jobs[i]
                )
            );
        }
        for (auto& t : tasks) t.join();
        if (world.machine().frozen()) return error{.code = errc::device_gone};
        return ok();
    }

    struct job {
        crash_bed* bed{};
        pool_type* pool{};
        file_type* file{};
        checkpointer<traits>* keeper{};
        bool keeps{};
    };

    [[nodiscard]] result<void> checkpoint(checkpointer<traits>& keeper) {
        BOOST_OUTCOME_TRY(
            auto const report,
            keeper.run(
                [&]() noexcept { return checkpoint_lows{log.tail(), log.tail()}; },
                [](checkpoint_slot&) noexcept {}
            )
        );
        ++checkpoints;
        if (report.redo_lsn > log.tail()) wrong("redo_lsn is ahead of the log");
        return ok();
    }
    [[nodiscard]] result<void> keep(job& j) {
        while (finished != 3) {
            auto const depth = std::uint64_t{64} * tape.pick(40);
            BOOST_OUTCOME_TRY(auto const did, j.pool->housekeeping(depth));
            if (tape.chance(1, 3)) {
                BOOST_OUTCOME_TRY(checkpoint(*j.keeper));
            }
            if (!did) typename Env::runtime_type{}.relax(0);
        }
        return ok();
    }
    [[nodiscard]] result<void> write(job& j) {
        for (std::uint32_t n = 0; n < rounds; ++n) {
            auto const page = first + static_cast<std::uint32_t>(tape.pick(pages));
            if (!busy.insert(page).second) continue; // somebody else's row
            auto done = change(j, page, n);
            busy.erase(page);
            if (!done) return done;
        }
        return ok();
    }
    [[nodiscard]] result<void> change(job& j, std::uint32_t page, std::uint64_t value) {
        if (!live_pages.contains(page)) {
            BOOST_OUTCOME_TRY(make_page(*j.pool, *j.file, log, page, value));
            live_pages.insert(page);
            return ok();
        }
        if (tape.chance(1, 10)) {
            BOOST_OUTCOME_TRY(free_page(*j.pool, *j.file, log, page));
            live_pages.erase(page);
            return ok();
        }
        auto const cell = static_cast<std::uint32_t>(tape.pick(cells_per_page));
        return set_cell(*j.pool, *j.file, log, page, cell, value + 1);
    }

    // --- recovery

    [[nodiscard]] result<void> redo_from(pool_type& pool, file_type& file, lsn redo) {
        auto bad = std::map<std::uint32_t, std::string>{};
        for (auto const& record : log.records) {
            if (record.at < redo) continue;
            for (std::uint32_t i = 0; i < record.part_count; ++i) {
                auto const page = record.parts[i].page;
                switch (record.what) {
                case history_record::kind::free: bad.erase(page); break;
                case history_record::kind::format: {
                    bad.erase(page);
                    BOOST_OUTCOME_TRY(redo_format(pool, file, record, i));
                    break;
                }
                case history_record::kind::set: {
                    BOOST_OUTCOME_TRY(redo_set(pool, file, record, i, bad));
                    break;
                }
                }
            }
        }
        for (auto const& [page, why] : bad) wrong("page " + std::to_string(page) + ": " + why);
        return ok();
    }
    [[nodiscard]] result<void> redo_format(
        pool_type& pool, file_type& file, history_record const& record, std::uint32_t part
    ) {
        auto const page = record.parts[part].page;
        auto held = take_exclusive(pool, file, page);
        if (held && lsn_of(held.value().data()) >= record.at) return ok();
        if (held) {
            held.value().mark_dirty(record.at);
            apply(held.value().data(), record, part);
            return ok();
        }
        if (held.error().code != errc::page_damaged) return held.error();
        BOOST_OUTCOME_TRY(auto purse, pool.reserve_frames(1));
        auto made = pool.create_page(file, {page}, purse);
        made.mark_dirty(record.at);
        apply(made.data(), record, part);
        return ok();
    }
    [[nodiscard]] result<void> redo_set(
        pool_type& pool,
        file_type& file,
        history_record const& record,
        std::uint32_t part,
        std::map<std::uint32_t, std::string>& bad
    ) {
        auto const page = record.parts[part].page;
        if (bad.contains(page)) return ok();
        auto held = take_exclusive(pool, file, page);
        if (!held) {
            if (held.error().code != errc::page_damaged) return held.error();
            if (!world.machine().frozen()) bad[page] = said(held);
            return world.machine().frozen() ? result<void>{error{.code = errc::device_gone}}
                                            : result<void>{ok()};
        }
        auto& p = held.value();
        auto const at = lsn_of(p.data());
        if (at >= record.at) return ok();
        if (at != record.parts[part].prev) {
            bad[page] = "a write is lost: page at " + std::to_string(at.value) + ", record at " +
                        std::to_string(record.at.value) + " expects " +
                        std::to_string(record.parts[part].prev.value);
            return ok();
        }
        p.mark_dirty(record.at);
        apply(p.data(), record, part);
        return ok();
    }
    [[nodiscard]] result<void> verify(pool_type& pool, file_type& file) {
        for (auto const& [page, image] : replayed(log)) {
            auto held = take_shared(pool, file, page);
            if (!held) {
                if (held.error().code == errc::page_damaged && !world.machine().frozen())
                    wrong(said(held));
                return held.error();
            }
            auto const* const data = held.value().data();
            if (lsn_of(data) != lsn_of(image.data()) ||
                std::memcmp(data + 128, image.data() + 128, 4096 - 128) != 0)
                wrong("page " + std::to_string(page) + " is not what the log says");
        }
        return ok();
    }

    history log{};
    std::uint32_t rounds;
    std::set<std::uint32_t> live_pages{};
    std::set<std::uint32_t> busy{};
    std::uint32_t finished = 0;
};

} // namespace jetpp_test
