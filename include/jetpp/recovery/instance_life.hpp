// jetpp/recovery/instance_life.hpp - how an instance begins, checkpoints and ends.
//
// A directory without a log and without a checkpoint is a new instance: its first segment is made
// durable, then its first slot. Everything else is recovered (recovery_run.hpp).
// Close: pages home and synced; headers clean; the log sealed with the name of its next segment;
// jet.dw emptied; the slot marked clean, last. Whatever is missing of these steps at the next open
// makes that open a recovery.
// Included by instance.hpp.
#pragma once

#include <jetpp/recovery/instance.hpp>
#include <jetpp/recovery/recovery_run.hpp>

namespace jetpp::inline v1 {

inline constexpr file_name lock_file_name{"jet.lock"};
inline constexpr file_name restore_file_name{"jet.restore"};

template <class Traits>
result<void> instance<Traits>::open_directory(path_view path) noexcept {
    auto opened = env_.storage.open_dir(
        path, options_.create ? directory_how::create_if_missing : directory_how::must_exist
    );
    if (!opened) return opened.error().with_file(file_kind::directory);
    dir_.emplace(std::move(opened).assume_value());
    auto locked = dir_->acquire_lock(lock_file_name);
    if (!locked) return locked.error().with_file(file_kind::lock);
    lock_.emplace(std::move(locked).assume_value());
    return ok();
}

template <class Traits>
result<void> instance<Traits>::open(path_view path, instance_options const& options) noexcept {
    options_ = options;
    service_.enter(instance_phase::recovering);
    auto done = open_files(path);
    service_.enter(done ? instance_phase::running : instance_phase::not_initialised);
    return done;
}

template <class Traits>
result<void> instance<Traits>::open_files(path_view path) noexcept {
    if (pool_frames(options_, page_size) < pool_frames_min) return error{.code = errc::bad_option};
    BOOST_OUTCOME_TRY(open_directory(path));
    auto entries = array_list<directory_entry>{};
    BOOST_OUTCOME_TRY(dir_->list(entries));
    auto has_log = false;
    auto has_slots = false;
    auto has_others = false;
    auto is_restored = false;
    for (auto const& entry : entries) {
        auto const name = entry.name.view();
        if (entry.name == restore_file_name) is_restored = true;
        if (is_restored && !options_.restoring)
            return error{.code = errc::needs_restore, .file = file_kind::restore_journal};
        // What a crash left under the name that a file is made under.
        auto const unborn = name.ends_with(".tmp") || name.find(".tmp-") != name.npos;
        if (name.starts_with("jet.") && unborn && entry.kind == entry_kind::file) {
            if (auto gone = dir_->remove(entry.name); !gone) return gone.error();
        }
        if (parse_segment_name(name)) has_log = true;
        if (entry.name == checkpoint_file_name) has_slots = true;
        if (!name.starts_with("jet.")) has_others = true;
    }
    // Somebody else restored here and published before this restore got the lock.
    if (options_.restoring && !is_restored)
        return error{.code = errc::in_use, .file = file_kind::restore_journal};
    // Whoever only looks leaves nothing behind: a restore wants an empty directory.
    if (!options_.create && !has_log && !has_slots && !has_others)
        return error{.code = errc::not_found, .file = file_kind::log_segment};
    BOOST_OUTCOME_TRY(auto slots, checkpoint_file<env>::open_or_create(env_, *dir_));
    checkpoint_.emplace(std::move(slots));
    if (checkpoint_->newest() == nullptr && !checkpoint_->saw_damage() && !has_others) {
        auto unborn = result<bool>{!has_log};
        if (has_log) unborn = is_unborn();
        BOOST_OUTCOME_TRY(auto const begins, unborn);
        if (begins && !options_.create)
            return error{.code = errc::not_found, .file = file_kind::log_segment};
        if (begins) return create_new();
    }
    return recovery_run<Traits>{*this}.run();
}

// A crash may cut the making of an instance: segments without a record and no slot, then, and no
// database. Nobody was ever told of it.
template <class Traits>
result<bool> instance<Traits>::is_unborn() noexcept {
    auto log = replay<env>::open(env_, *dir_, {.page_size = page_size});
    if (!log) {
        if (log.error().code == errc::log_missing || log.error().code == errc::log_corrupt)
            return true;
        return log.error();
    }
    for (auto const& r : log.assume_value()) {
        if (r) return false;
        if (r.error().code != errc::log_missing && r.error().code != errc::log_corrupt)
            return r.error();
    }
    return true;
}

template <class Traits>
result<void> instance<Traits>::create_new() noexcept {
    BOOST_OUTCOME_TRY(check_options(options_, page_size, options_.segment_bytes));
    auto& random = env_.runtime;
    id_ = make_uuid(random.random(), random.random());
    auto root = timeline_id{};
    do root = {random.random()};
    while (root.value == 0 || root.low() == 0);
    ancestry_ = timeline_ancestry::of_log(root, {});
    incarnation_ = 1;
    segment_bytes_ = options_.segment_bytes;
    archival_ = options_.archival;
    BOOST_OUTCOME_TRY(
        log_,
        log_writer<env>::create(
            env_,
            *dir_,
            log_options_of(options_, page_size, segment_bytes_, archival_),
            {.instance = id_, .incarnation = incarnation_, .timeline = root}
        )
    );
    BOOST_OUTCOME_TRY(start_pool(log_gate{*log_, segment_bytes_}, pool_frames(options_, page_size))
    );
    BOOST_OUTCOME_TRY(start_services());
    auto const first = first_lsn(1, segment_bytes_);
    transactions_->people().start(first, log_->tail());
    // A slot never names a segment whose first record is not durable.
    BOOST_OUTCOME_TRY(log_->flush_all());
    BOOST_OUTCOME_TRY(checkpointer_->write_slot([&](checkpoint_slot& slot) noexcept {
        slot.redo_lsn = first;
        slot.undo_low_lsn = first;
        complete_slot(slot);
    }));
    pool_->note_redo_lsn(first);
    return ok();
}

// Before redo: frames and jet.dw.
template <class Traits>
result<void> instance<Traits>::start_pool(log_gate gate, std::uint32_t frames) noexcept {
    BOOST_OUTCOME_TRY(
        auto made,
        double_write_file<Traits>::open_or_create(
            env_, *dir_, {.instance = id_, .timeline = timeline()}, double_write_pages(frames)
        )
    );
    double_write_.reset(new (std::nothrow) double_write_file<Traits>{std::move(made)});
    if (double_write_ == nullptr) return error{.code = errc::out_of_memory};
    BOOST_OUTCOME_TRY(pool_, buffer_pool<Traits>::create(env_, {.frames = frames}, gate));
    pool_->use_double_write(double_write_.get());
    return ok();
}

// Requires: the log writer.
template <class Traits>
result<void> instance<Traits>::start_services() noexcept {
    trees_.emplace(env_, *pool_, *log_);
    transactions_.emplace(env_, *trees_, *log_, limits_of(options_));
    BOOST_OUTCOME_TRY(transactions_->create());
    checkpointer_.emplace(env_, *pool_, *checkpoint_);
    log_->obey(writes_);
    pool_->obey(writes_);
    note_checkpoint();
    return ok();
}

template <class Traits>
void instance<Traits>::complete_slot(checkpoint_slot& slot) noexcept {
    auto const writing = log_->durable_segment();
    slot.instance = id_;
    slot.timeline = timeline();
    slot.generation = writing.generation;
    slot.nonce = writing.nonce;
    slot.written_at = env_.runtime.wall();
    slot.incarnation = incarnation_;
    slot.segment_bytes = segment_bytes_;
    slot.page_bytes = static_cast<std::uint32_t>(page_size);
    slot.database_count = 0;
    slot.databases = {};
    for (auto const& known : databases_)
        if (known.file != nullptr)
            slot.databases[slot.database_count++] = {
                .id = known.file->id(),
                .flags = known.flags,
                .database = known.id,
                // Called behind the sync: a file that is clean still has nothing newer in it.
                .consistent_lsn = clean_since(known.file->header()),
            };
}

template <class Traits>
result<void> instance<Traits>::force_slot() noexcept {
    return checkpointer_->write_slot([&](checkpoint_slot& slot) noexcept { complete_slot(slot); });
}

template <class Traits>
result<void> instance<Traits>::checkpoint_locked(checkpoint_how how) noexcept {
    if (how == checkpoint_how::flush_all) {
        BOOST_OUTCOME_TRY(pool_->flush_below(log_->tail()));
    }
    BOOST_OUTCOME_TRY(
        auto const taken,
        checkpointer_->run(
            [&]() noexcept {
                // The writers first, the tail after them: whoever has left before this look has
                // his end record below T0, which is made durable; whoever enters later has a low
                // at or above `bound`. The other way round both could be missed.
                auto const bound = log_->tail();
                auto const low = transactions_->people().lowest_writer(bound);
                auto const t0 = log_->under_tail_lock([](lsn tail) noexcept { return tail; });
                return checkpoint_lows{.t0 = t0, .undo_low = low};
            },
            [&](checkpoint_slot& slot) noexcept {
                complete_slot(slot);
                break_pins(slot);
            }
        )
    );
    note_checkpoint();
    checkpoints_.fetch_add(1, std::memory_order_relaxed);
    auto floor = checkpoint_->newest()->pinned_from(taken.floor);
    for (auto const pin : pins_)
        if (pin) floor = earlier(floor, pin);
    if (runtime_type::sabotaged(sabotage::recycle_by_memory_values)) floor = log_->tail();
    BOOST_OUTCOME_TRY(log_->recycle_below(floor));
    return ok();
}

template <class Traits>
result<void> instance<Traits>::checkpoint(checkpoint_how how) noexcept {
    look_at_sessions();
    auto const held = hold_databases();
    return checkpoint_locked(how);
}

template <class Traits>
result<bool> instance<Traits>::clean_step() noexcept {
    look_at_sessions();
    BOOST_OUTCOME_TRY(auto const cleaned, pool_->housekeeping(options_.checkpoint_depth_bytes));
    // Read before the tail, which never falls: the difference is no less than nothing.
    auto const noted = lsn{last_checkpoint_tail_.load(std::memory_order_acquire)};
    auto const grown = log_->tail() - noted;
    auto const since = mono_time{last_checkpoint_time_.load(std::memory_order_acquire)};
    auto const waited = env_.runtime.now() - since;
    if (grown >= options_.checkpoint_every_bytes ||
        (grown != 0 && waited >= options_.checkpoint_every)) {
        BOOST_OUTCOME_TRY(checkpoint(checkpoint_how::ordinary));
        return true;
    }
    return cleaned;
}

template <class Traits>
result<void> instance<Traits>::begin_close() noexcept {
    auto const held = holding{databases_lock_};
    if (is_pinned_locked()) return error{.code = errc::backup_in_progress};
    if (writes_.is_closed()) return error{.code = errc::freeze_sequence};
    if (!backups_.close()) return error{.code = errc::backup_in_progress}; // it begins, or ends
    closing_ = true;
    return ok();
}

template <class Traits>
result<void> instance<Traits>::close() noexcept {
    service_.enter(instance_phase::terminating);
    auto done = close_files();
    auto const stays = !done && (done.error().code == errc::backup_in_progress ||
                                 done.error().code == errc::freeze_sequence);
    service_.enter(stays ? instance_phase::running : instance_phase::not_initialised);
    return done;
}

template <class Traits>
result<void> instance<Traits>::close_files() noexcept {
    auto const held = holding{databases_lock_};
    if (is_pinned_locked()) return error{.code = errc::backup_in_progress};
    if (writes_.is_closed()) return error{.code = errc::freeze_sequence};
    if (log_->failed() && !runtime_type::sabotaged(sabotage::failed_writes_clean))
        return error{.code = errc::instance_failed};
    BOOST_OUTCOME_TRY(log_->flush_all());
    // A rollback that got stuck is finished by recovery: these files are not clean.
    if (transactions_->people().writers() != 0) return error{.code = errc::busy};
    BOOST_OUTCOME_TRY(pool_->flush());
    auto const tail = log_->tail();
    for (auto& known : databases_) {
        if (known.file == nullptr) continue;
        BOOST_OUTCOME_TRY(known.file->sync_writes());
        BOOST_OUTCOME_TRY(known.file->mark_clean(tail));
    }
    auto const last = log_->durable_segment();
    BOOST_OUTCOME_TRY(auto const sealed, log_->close_clean());
    BOOST_OUTCOME_TRY(double_write_->empty());
    BOOST_OUTCOME_TRY(checkpointer_->write_slot([&](checkpoint_slot& slot) noexcept {
        complete_slot(slot);
        slot.generation = last.generation;
        slot.nonce = last.nonce;
        slot.end_lsn = sealed.end;
        slot.redo_lsn = sealed.end;
        slot.undo_low_lsn = sealed.end;
        slot.clean = true;
        for (auto& one : slot.databases)
            if (one.id != no_database) one.consistent_lsn = tail;
    }));
    auto closed = result<void>{ok()};
    for (auto& known : databases_) {
        if (known.file == nullptr) continue;
        pool_->detach(*known.file);
        if (auto done = known.file->close(); !done && closed) closed = done;
    }
    return closed;
}

} // namespace jetpp::inline v1
