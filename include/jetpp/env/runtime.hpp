// jetpp/env/runtime.hpp - the seam to threads, parking, clocks and randomness.
//
// No other room names a thread, a mutex of the library, a clock or a source of randomness. In
// production the runtime is an empty type whose calls are a futex and a clock read; in the
// simulator every one of them is a choice of the tape. Locks are built on park/unpark alone
// (jetpp/env/sync.hpp), so they simulate too.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>

#include <jetpp/core/result.hpp>

namespace jetpp::inline v1 {

// Monotonic, since an arbitrary start: the only clock that decides anything.
using mono_time = std::chrono::nanoseconds;
// Nanoseconds since 1970-01-01 UTC: labels only.
struct wall_time {
    std::int64_t ns{};
    friend constexpr auto operator<=>(wall_time, wall_time) noexcept = default;
};
inline constexpr mono_time never = mono_time::max();

// Named places where the order of steps matters: kill points, scheduling points, coverage marks.
enum class point_id : std::uint16_t {
    latch_acquired,
    latch_released,
    reserved_not_marked,
    marked_not_reserved,
    reserved_not_published,
    published,
    commit_reserved,
    left_active_list,
    before_log_write,
    after_log_write,
    acknowledged,
    before_rename,
    after_rename,
    before_dir_sync,
    after_dir_sync,
    copied_for_home,
    before_home_write,
    after_home_write,
    before_data_sync,
    after_data_sync,
    checkpoint_t0,
    before_checkpoint_slot,
    after_checkpoint_slot,
    segment_switched,
    segment_recycled,
    evicted,
    redo_record,
    before_undo,
    after_undo,
    backup_page_copied,
    before_publish,
    after_publish,
};

// Bugs the test build can plant, each of which a suite must find. In production `sabotaged` is
// constexpr false and the planted code does not exist.
enum class sabotage : std::uint16_t {
    none,
    ack_before_sync,
    durable_off_by_one,
    skip_dir_sync,
    prepared_without_dir_sync,
    recycle_without_dir_sync,
    recycle_by_memory_values,
    next_segment_before_segment_end,
    no_bounce_block,
    free_before_zero,
    old_nonce_accepted,
    no_hint_probe,
    no_tail_rewrite,
    undo_before_new_segment,
    mark_after_reserve,
    leave_before_publish,
    checkpoint_without_log_flush,
    checkpoint_before_sync,
    checkpoint_ahead_of_data,
    clear_before_hand_over,
    evict_without_wal,
    evict_during_writeback,
    skip_dw_sync,
    dw_area_reused_early,
    dw_lower_image_first,
    dw_stale_image,
    retry_fsync,
    failed_writes_clean,
    no_prev_check,
    redo_off_by_one,
    header_a_always_first,
    extend_logged_first,
    undo_removes_one_entry,
    version_key_without_db,
    snapshot_off_by_one,
    version_dropped_early,
    undo_skips_last,
    clean_flag_late,
    attach_younger_log,
    ticket_without_incarnation,
    process_skips_hole,
    page_number_unchecked,
    stamp_before_publish,
    publish_before_sync,
    pool_copy_before_durable,
    restore_without_sync,
    ring_index_from_lsn,
    credit_too_small,
    credit_without_segment,
    debt_not_counted,
    early_write_no_sync,
    lost_unpark,
    count_, // the number of ids
};

template <class T>
concept runtime_task = std::movable<T> && requires(T& t) {
    { t.join() } noexcept; // must be called before destruction
};

template <class R>
concept runtime = std::copyable<R> && requires(
    R& r, std::uint32_t const* word, mono_time deadline, void (*body)(void*), void* argument
) {
    typename R::task;
    typename R::template atomic<std::uint64_t>;
    requires runtime_task<typename R::task>;
    { r.now() } noexcept -> std::same_as<mono_time>;
    { r.wall() } noexcept -> std::same_as<wall_time>;
    { r.random() } noexcept -> std::same_as<std::uint64_t>; // ids and nonces: unpredictable
    // body must not throw. Errors: resource.
    { r.spawn("name", body, argument) } noexcept -> std::same_as<result<typename R::task>>;
    // Sleeps while *word == expected, until unpark, the deadline, or for no reason at all.
    { r.park(word, std::uint32_t{}, deadline) } noexcept;
    { r.unpark(word, std::uint32_t{}) } noexcept; // wakes at most that many
    { r.relax(std::uint32_t{}) } noexcept;        // the body of every spin loop; the n-th turn
    { R::point(point_id{}) } noexcept;
    { R::sabotaged(sabotage{}) } noexcept -> std::same_as<bool>;
};

} // namespace jetpp::inline v1
