// jetpp/buffer/buffer_pool.hpp - pages in memory.
//
//     page table of a file          frame pool
//     word[page] --- frame ------>  [ page | page | page | ... ]   + frame_info each
//
// A page is found by one look: word[page] (page_word.hpp) holds its frame and is its latch. Frames
// are taken by a second-chance clock (frame_supply.hpp); dirty ones leave through write_out, never
// before the log that describes them is durable.
// Invariants
//   * no call waits for I/O, the log or a frame unless its comment says so, and then the caller
//     holds no latch
//   * a page is read into a frame before its word says resident, and verified before that
//   * a frame with an image on its way home is neither evicted nor copied again
//   * one in max(1, frames / 4 - 1) operations at most holds a purse: eight frames are enough for
//     any number of threads that hold at most four latches each
// Threads  any, all calls. create, attach, detach, use_log, use_double_write: one at a time.
// Owns     the frames; not the files, which are detached before they die.
// Source   ARIES (steal, no-force); Leis et al., "Virtual-Memory Assisted Buffer Management"
//          (SIGMOD 2023) for states and versions in one word.
#pragma once

#include <jetpp/buffer/core_traits.hpp>
#include <jetpp/buffer/detail/sticky_failure.hpp>
#include <jetpp/buffer/frame_pool.hpp>
#include <jetpp/buffer/frame_supply.hpp>
#include <jetpp/buffer/log_gate.hpp>
#include <jetpp/buffer/page_guard.hpp>
#include <jetpp/buffer/paged_file.hpp>
#include <jetpp/buffer/write_out.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

namespace jetpp::inline v1 {

struct pool_options {
    std::uint32_t frames = 8192; // at least 8
};

struct pool_statistics {
    std::uint32_t frames{};
    std::uint32_t free{};
    std::uint32_t dirty{};
    std::uint64_t loads{}; // pages read
    std::uint64_t evictions{};
    std::uint64_t home_writes{}; // pages written
};

template <class Traits>
class buffer_pool {
public:
    using env = typename Traits::env;
    using runtime = typename Traits::runtime;
    using file_type = paged_file<Traits>;
    static constexpr std::size_t page_size = Traits::page_size;
    static constexpr std::uint32_t frames_min = 8;
    static constexpr std::size_t prefetch_bytes = std::size_t{256} << 10;

    // Of the double-write file that goes with so many frames, when it is made.
    [[nodiscard]] static constexpr std::uint32_t double_write_capacity(std::uint32_t frames) {
        return std::clamp(
            frames / 16, double_write_index::capacity_min, double_write_index::capacity_max
        );
    }

    // Errors: bad_option, out_of_memory.
    [[nodiscard]] static result<std::unique_ptr<buffer_pool>> create(
        env environment, pool_options options, log_gate log
    ) noexcept;
    buffer_pool(buffer_pool const&) = delete;
    buffer_pool& operator=(buffer_pool const&) = delete;

    // Recovery begins with a sealed_log and hands over to the writer. Requires: nothing runs.
    void use_log(log_gate log) noexcept { log_ = log; }
    // Null: pages go home without a copy. Requires: nothing runs; the file outlives its use.
    void use_double_write(double_write_file<Traits>* file) noexcept { out_.use_double_write(file); }

    // Writes of pages, and of what is attached, pass it from now on. Requires: nothing runs; the
    // gate outlives the pool.
    void obey(typename Traits::gate& writes) noexcept {
        gate_ = &writes;
        out_.obey(&writes);
        for_each_file([&](file_type& file) noexcept { file.obey(&writes); });
    }

    // --- files

    // Pages of a file can be fixed between attach and detach. Errors: too_many_databases.
    [[nodiscard]] result<void> attach(file_type& file) noexcept;
    // Drops the file's pages; dirty ones are lost: flush() first, unless the file is given up.
    // Requires: no latch on its pages, no call about it.
    void detach(file_type& file) noexcept;
    // f(file_type&) noexcept for each attached file; a file cannot be attached or detached inside.
    template <class F>
    void for_each_file(F&& f) noexcept {
        auto const lock = holding{files_lock_};
        for (auto* const file : std::span{files_, file_count_}) f(*file);
    }

    // --- fixing pages

    // Both wait for holders that are in the way, and for nothing else.
    // Requires: `out` is empty.
    [[nodiscard]] fix try_share(
        file_type& file, page_number page, shared_page<Traits>& out
    ) noexcept;
    [[nodiscard]] fix try_exclude(
        file_type& file, page_number page, exclusive_page<Traits>& out
    ) noexcept;

    // Brings an absent page in. After success it is resident, or was for a moment: try again.
    // Requires: no latch held. May evict, write home, wait for the log.
    // Errors: page_damaged (database, page, reason; os_errno if the device refused), out_of_memory,
    //     and from eviction: log_failed, io, disk_full, instance_failed.
    [[nodiscard]] result<void> load(file_type& file, page_number page) noexcept;

    // Brings in what of `pages` is absent, neighbours and near neighbours in one read: for who knows
    // what will be wanted soon (redo, scans). A page that cannot be read or is damaged stays absent;
    // load() says why. Takes free frames only, and leaves some to others; before each read it may
    // evict and write home one batch for them.
    // Requires: no latch held; `pages` ascend. Returns: how many came in.
    // Errors: out_of_memory, and from eviction as load().
    // Complexity: one read for each stretch of prefetch_bytes or less.
    [[nodiscard]] result<std::uint32_t> prefetch(
        file_type& file, std::span<page_number const> pages
    ) noexcept;
    // Is the page absent, at this moment? A hint, for prefetch().
    [[nodiscard]] bool is_absent(file_type& file, page_number page) noexcept {
        auto* const word = file.table().find(page);
        return word == nullptr || word->peek().state() == detail::word_bits::absent;
    }
    [[nodiscard]] std::uint32_t frame_count() const noexcept { return frames_.count(); }

    // n free frames for create_page().
    // Requires: n <= frame_purse::frames_max; no latch held, no other purse in hand; kept for one
    //     operation, not for a transaction.
    // Errors: as eviction in load(); out_of_memory.
    [[nodiscard]] result<frame_purse<Traits>> reserve_frames(std::uint32_t n) noexcept;

    // A zeroed page, held exclusively, for a page number that the space map says free. Waits only
    // if the page is latched (a reader of a stale hint).
    // Requires: purse.left() > 0; page < file.page_count() or covered by allocate_pages().
    [[nodiscard]] exclusive_page<Traits> create_page(
        file_type& file, page_number page, frame_purse<Traits>& purse
    ) noexcept;

    // The record that frees the page is in the log: its content is of no use and never goes home.
    void discard(exclusive_page<Traits>&& page) noexcept;

    // A copy of the page as it is in memory, unsealed; the page stays as cool as it was.
    // Returns: false if it is absent. Waits for an exclusive holder.
    [[nodiscard]] bool copy_resident(file_type& file, page_number page, bytes into) noexcept;

    // --- writing home

    // Writes what is dirty with rec_lsn below `below`, once around, sorted by file and page.
    // Requires: no latch held. Returns: pages written.
    // Errors: log_failed, io, disk_full, out_of_memory, instance_failed.
    [[nodiscard]] result<std::uint64_t> clean(lsn below) noexcept { return pass(below, nullptr); }
    // Until nothing of the file (null: of any) is dirty or on its way. Not synced: sync_writes().
    // Requires: nobody dirties its pages meanwhile, or this may take long. Errors: as clean().
    [[nodiscard]] result<void> flush(file_type* file = nullptr) noexcept;
    // Until every change with a bound below `below` has gone home. What others change meanwhile
    // is left, so this ends however busy they are. Not synced. Errors: as clean().
    [[nodiscard]] result<void> flush_below(lsn below) noexcept;
    // Keeps a fiftieth of the frames free, and writes what is older than `depth` bytes of log.
    // Returns: whether there was something to do. Errors: as clean().
    [[nodiscard]] result<bool> housekeeping(std::uint64_t depth) noexcept;

    // The smallest LSN whose change is not home: over rec_lsn and inflight_rec_lsn of all frames,
    // each read in this order. max if nothing is dirty.
    [[nodiscard]] lsn dirty_low() noexcept;

    // The first error that stopped home writes; nothing leaves memory any more.
    [[nodiscard]] bool failed() const noexcept { return failure_.failed(); }
    [[nodiscard]] error failure() noexcept { return failure_.first(); }
    void fail(error const& why) noexcept { failure_.note(why); }
    [[nodiscard]] result<void> check_failure() noexcept { return failure_.check(); }

    [[nodiscard]] pool_statistics statistics() noexcept;
    [[nodiscard]] log_gate const& log() const noexcept { return log_; }
    void note_redo_lsn(lsn redo) noexcept { out_.note_redo_lsn(redo); }

private:
    friend class exclusive_page<Traits>;
    friend class frame_purse<Traits>;
    using info_type = frame_info<Traits>;
    using codec = typename file_type::codec;
    using chunk = typename page_table<Traits>::chunk;

    buffer_pool(env environment, log_gate log) noexcept
        : runtime_{environment.runtime}, log_{log}, failure_{runtime_}, frames_{runtime_},
          out_{runtime_, frames_, log_, failure_}, supply_{runtime_, frames_, out_, log_, failure_},
          files_lock_{runtime_}, cleaning_{runtime_} {}

    [[nodiscard]] result<std::uint64_t> pass(lsn below, file_type* only) noexcept;
    [[nodiscard]] result<bool> drop_dead(file_type* only) noexcept;
    [[nodiscard]] bool is_at_rest(file_type* only) noexcept;
    [[nodiscard]] damage look_at(file_type& file, page_number page, std::byte* data) noexcept;
    // The end of a load: the verified page in `frame` becomes everybody's.
    void land(
        std::uint32_t frame, file_type& file, page_number page, page_word<Traits>* word
    ) noexcept;
    // One read of prefetch(): pages of one stretch that begins at the first of them.
    [[nodiscard]] result<std::uint32_t> prefetch_stretch(
        file_type& file, std::span<page_number const> pages, aligned_buffer& landing
    ) noexcept;
    void settle(
        info_type& info, file_type& file, page_number page, page_word<Traits>* word
    ) noexcept {
        info.file.store(&file, std::memory_order_relaxed);
        info.place.store(
            std::uint64_t{file.id().value} << 32 | page.value, std::memory_order_relaxed
        );
        info.word.store(word, std::memory_order_release);
    }
    void mark_dirty(exclusive_page<Traits>& page, lsn low) noexcept;
    void release(exclusive_page<Traits>& page) noexcept;
    void give_back(frame_purse<Traits>& purse) noexcept;

    [[no_unique_address]] runtime runtime_;
    log_gate log_;
    detail::sticky_failure<Traits> failure_;
    frame_pool<Traits> frames_;
    write_out<Traits> out_;
    frame_supply<Traits> supply_;
    typename Traits::mutex files_lock_;
    file_type* files_[databases_max]{};
    std::uint32_t file_count_ = 0;
    typename Traits::gate* gate_ = nullptr;
    typename Traits::mutex cleaning_; // of candidates_; held over the I/O of a pass
    array_list<write_candidate> candidates_;
    std::uint32_t purses_max_ = 1;
    typename Traits::template atomic<std::uint32_t> purses_{0};
    typename Traits::template atomic<std::uint64_t> loads_{0};
};

template <class Traits>
bool exclusive_page<Traits>::is_dirty() const noexcept {
    return pool_->frames_.info(frame_).is_dirty();
}
template <class Traits>
void exclusive_page<Traits>::mark_dirty(lsn low) noexcept {
    pool_->mark_dirty(*this, low);
}
template <class Traits>
void exclusive_page<Traits>::release() noexcept {
    if (pool_ != nullptr) pool_->release(*this);
}
template <class Traits>
void frame_purse<Traits>::give_back() noexcept {
    if (pool_ != nullptr) pool_->give_back(*this);
}

} // namespace jetpp::inline v1

#include <jetpp/buffer/detail/buffer_pool_fix.hpp>
#include <jetpp/buffer/detail/buffer_pool_flush.hpp>
#include <jetpp/buffer/detail/buffer_pool_prefetch.hpp>
