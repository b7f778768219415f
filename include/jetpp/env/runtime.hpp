// jetpp/env/runtime.hpp - the seam to threads, parking, clocks and randomness.
//
// No other room names a thread, a mutex of the library, a clock or a source of randomness. In
// production the runtime is an empty type whose calls are a futex and a clock read; in the
// simulator every one of them is a choice of the tape. Locks are built on park/unpark alone
// (jetpp/env/sync.hpp), so they simulate too.
#pragma once

#include <jetpp/core/result.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <string_view>

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
    pin_numbers_read,
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
    delta_from_begin,
    reattached_as_delta,
    full_without_chain,
    base_from_elsewhere,
    truncate_unstamped,
    pin_after_read,
    ring_index_from_lsn,
    credit_too_small,
    credit_without_segment,
    debt_not_counted,
    early_write_no_sync,
    lost_unpark,
    count_, // the number of ids
};

[[nodiscard]] constexpr std::string_view name_of(sabotage id) noexcept {
    switch (id) {
    case sabotage::none: return "none";
    case sabotage::ack_before_sync: return "ack_before_sync";
    case sabotage::durable_off_by_one: return "durable_off_by_one";
    case sabotage::skip_dir_sync: return "skip_dir_sync";
    case sabotage::prepared_without_dir_sync: return "prepared_without_dir_sync";
    case sabotage::recycle_without_dir_sync: return "recycle_without_dir_sync";
    case sabotage::recycle_by_memory_values: return "recycle_by_memory_values";
    case sabotage::next_segment_before_segment_end: return "next_segment_before_segment_end";
    case sabotage::no_bounce_block: return "no_bounce_block";
    case sabotage::free_before_zero: return "free_before_zero";
    case sabotage::old_nonce_accepted: return "old_nonce_accepted";
    case sabotage::no_hint_probe: return "no_hint_probe";
    case sabotage::no_tail_rewrite: return "no_tail_rewrite";
    case sabotage::undo_before_new_segment: return "undo_before_new_segment";
    case sabotage::mark_after_reserve: return "mark_after_reserve";
    case sabotage::leave_before_publish: return "leave_before_publish";
    case sabotage::checkpoint_without_log_flush: return "checkpoint_without_log_flush";
    case sabotage::checkpoint_before_sync: return "checkpoint_before_sync";
    case sabotage::checkpoint_ahead_of_data: return "checkpoint_ahead_of_data";
    case sabotage::clear_before_hand_over: return "clear_before_hand_over";
    case sabotage::evict_without_wal: return "evict_without_wal";
    case sabotage::evict_during_writeback: return "evict_during_writeback";
    case sabotage::skip_dw_sync: return "skip_dw_sync";
    case sabotage::dw_area_reused_early: return "dw_area_reused_early";
    case sabotage::dw_lower_image_first: return "dw_lower_image_first";
    case sabotage::dw_stale_image: return "dw_stale_image";
    case sabotage::retry_fsync: return "retry_fsync";
    case sabotage::failed_writes_clean: return "failed_writes_clean";
    case sabotage::no_prev_check: return "no_prev_check";
    case sabotage::redo_off_by_one: return "redo_off_by_one";
    case sabotage::header_a_always_first: return "header_a_always_first";
    case sabotage::extend_logged_first: return "extend_logged_first";
    case sabotage::undo_removes_one_entry: return "undo_removes_one_entry";
    case sabotage::version_key_without_db: return "version_key_without_db";
    case sabotage::snapshot_off_by_one: return "snapshot_off_by_one";
    case sabotage::version_dropped_early: return "version_dropped_early";
    case sabotage::undo_skips_last: return "undo_skips_last";
    case sabotage::clean_flag_late: return "clean_flag_late";
    case sabotage::attach_younger_log: return "attach_younger_log";
    case sabotage::ticket_without_incarnation: return "ticket_without_incarnation";
    case sabotage::process_skips_hole: return "process_skips_hole";
    case sabotage::page_number_unchecked: return "page_number_unchecked";
    case sabotage::stamp_before_publish: return "stamp_before_publish";
    case sabotage::publish_before_sync: return "publish_before_sync";
    case sabotage::pool_copy_before_durable: return "pool_copy_before_durable";
    case sabotage::restore_without_sync: return "restore_without_sync";
    case sabotage::delta_from_begin: return "delta_from_begin";
    case sabotage::reattached_as_delta: return "reattached_as_delta";
    case sabotage::full_without_chain: return "full_without_chain";
    case sabotage::base_from_elsewhere: return "base_from_elsewhere";
    case sabotage::truncate_unstamped: return "truncate_unstamped";
    case sabotage::pin_after_read: return "pin_after_read";
    case sabotage::ring_index_from_lsn: return "ring_index_from_lsn";
    case sabotage::credit_too_small: return "credit_too_small";
    case sabotage::credit_without_segment: return "credit_without_segment";
    case sabotage::debt_not_counted: return "debt_not_counted";
    case sabotage::early_write_no_sync: return "early_write_no_sync";
    case sabotage::lost_unpark: return "lost_unpark";
    case sabotage::count_: break;
    }
    return "unknown";
}

template <class T>
concept runtime_task = std::movable<T> && requires(T& t) {
    { t.join() } noexcept; // must be called before destruction
};

template <class R>
concept runtime =
    std::copyable<R> &&
    requires(
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
