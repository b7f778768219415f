// jetpp/buffer/write_out.hpp - the one way of a dirty page to its home.
//
//   frame --S latch, copy--> batch --log durable--> sealed --> jet.dw, synced --> home
//   rec_lsn  ->  inflight_rec_lsn  ----------------------------------------->  unsynced low of file
//
// A batch is a run of pages in file order, at most an area of jet.dw; two batches may be on their
// way at once. Copies stand side by side in the batch, so neighbours go home in one write.
// Invariants
//   * no page goes home unless page_lsn < durable_lsn: asserted here, and nowhere else is written
//   * two home writes of one page are never in flight: who moves inflight_rec_lsn from zero owns
//     the write
//   * no latch is held over I/O or while waiting for the log
//   * an area of jet.dw is written again only when every file of its former batch was synced
//     behind the home writes
//   * the first error is final: the pages stay dirty, and nothing is written any more
// Threads  any; a batch is locked over its I/O by whoever fills it.
// Owns     the batch buffers.
// Source   ARIES write-ahead rule; InnoDB's doublewrite buffer.
#pragma once

#include <jetpp/buffer/detail/sticky_failure.hpp>
#include <jetpp/buffer/double_write.hpp>
#include <jetpp/buffer/frame_pool.hpp>
#include <jetpp/buffer/log_gate.hpp>
#include <jetpp/buffer/paged_file.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/page/page_check.hpp>
#include <jetpp/page/page_codec.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_view.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

namespace jetpp::inline v1 {

// A frame that may be worth writing, with the place it is sorted by: database, then page.
struct write_candidate {
    std::uint64_t place{};
    std::uint32_t frame{};
};

template <class Traits>
class write_batch {
    using runtime = typename Traits::runtime;

public:
    static constexpr std::size_t page_size = Traits::page_size;
    static constexpr std::uint32_t pages_max = 120;

    struct item {
        frame_info<Traits>* info{};
        paged_file<Traits>* file{};
        page_number page{};
        lsn low{}; // rec_lsn of the copy
        lsn page_lsn{};
        std::uint32_t frame{};
    };
    // A file that must be synced beyond `writes` before this batch's area may be used again.
    struct debt {
        paged_file<Traits>* file{};
        std::uint64_t writes{};
    };

    explicit write_batch(runtime rt) noexcept : lock{rt} {}

    [[nodiscard]] std::byte* image(std::uint32_t i) noexcept {
        return buffer.data() + double_write_index::size + i * page_size;
    }
    [[nodiscard]] std::span<item const> staged() const noexcept { return {items, count}; }

    typename Traits::mutex lock; // held over the I/O of the batch
    aligned_buffer buffer;       // index space, then images
    item items[pages_max]{};
    std::uint32_t count = 0;
    std::uint32_t area = 0;
    debt debts[databases_max]{};
    std::uint32_t debt_count = 0;
};

template <class Traits>
class write_out {
    using runtime = typename Traits::runtime;
    using codec = page_codec<Traits::page_size, typename Traits::checksum>;
    using batch = write_batch<Traits>;
    using item = typename batch::item;

public:
    static constexpr std::size_t page_size = Traits::page_size;
    static constexpr std::size_t run_bytes_max = 1024 * 1024;

    write_out(
        runtime rt,
        frame_pool<Traits>& frames,
        log_gate const& log,
        detail::sticky_failure<Traits>& failure
    ) noexcept
        : frames_{&frames}, log_{&log}, failure_{&failure}, batches_{batch{rt}, batch{rt}},
          landed_{rt} {}

    // Once. Errors: out_of_memory.
    [[nodiscard]] result<void> create(std::uint32_t pages) noexcept {
        ensure(pages >= 1 && pages <= batch::pages_max, "a batch holds 1 to 120 pages");
        pages_ = pages;
        for (std::uint32_t i = 0; i < 2; ++i) {
            BOOST_OUTCOME_TRY(
                batches_[i].buffer,
                aligned_buffer::create(double_write_file<Traits>::area_bytes(pages))
            );
            batches_[i].area = i;
        }
        return ok();
    }
    // Null: pages go home without a copy (atomic_device, detect_only). No write may be running.
    void use_double_write(double_write_file<Traits>* file) noexcept { double_write_ = file; }
    // Batches pass it from now on; null: none. No write may be running.
    void obey(typename Traits::gate* writes) noexcept { gate_ = writes; }
    // What the durable checkpoint says; informative, written into the index.
    void note_redo_lsn(lsn redo) noexcept { redo_.store(redo.value, std::memory_order_relaxed); }

    [[nodiscard]] std::uint32_t pages_max() const noexcept {
        auto const capacity = double_write_ == nullptr ? pages_ : double_write_->capacity();
        return pages_ < capacity ? pages_ : capacity;
    }
    // Set whenever a batch has landed, or failed.
    [[nodiscard]] typename Traits::event& landed() noexcept { return landed_; }

    [[nodiscard]] std::uint64_t pages_written() const noexcept {
        return pages_written_.load(std::memory_order_relaxed);
    }

    // A batch nobody uses, locked; null if both are busy. `patient`: waits for one.
    [[nodiscard]] batch* open(bool patient) noexcept {
        for (auto& b : batches_)
            if (b.lock.try_lock()) return &b;
        if (!patient) return nullptr;
        auto const turn = turn_.fetch_add(1u, std::memory_order_relaxed) % 2;
        batches_[turn].lock.lock();
        return &batches_[turn];
    }
    void close(batch& b) noexcept { b.lock.unlock(); }

    // Writes those of the candidates that are dirty, not dead, not on their way, and not latched
    // exclusively. Afterwards b.staged() says which went, until the batch is closed.
    // Requires: b is open, sorted candidates, at most pages_max(); no latch held.
    // Errors: log_failed, io, disk_full, instance_failed, page_damaged (an image that memory bent): final
    // for the pool.
    [[nodiscard]] result<void> run(batch& b, std::span<write_candidate const> candidates) noexcept {
        b.count = 0;
        BOOST_OUTCOME_TRY(failure_->check());
        if (auto reusable = pay_debts_inside(b); !reusable) return failed(b, reusable.error());
        for (auto const& c : candidates) stage(b, c.frame);
        if (b.count == 0) return ok();
        runtime::point(point_id::copied_for_home);
        if (auto done = write(b); !done) return failed(b, done.error());
        for (auto const& i : b.staged()) hand_over(i);
        pages_written_.fetch_add(b.count, std::memory_order_relaxed);
        landed_.set_all();
        return ok();
    }

    // Both batches at rest, and kept so: for detach.
    void stop() noexcept {
        for (auto& b : batches_) b.lock.lock();
    }
    void resume() noexcept {
        for (auto& b : batches_) b.lock.unlock();
    }
    // Requires: stopped. The file is about to go; it was synced, or nothing of it counts any more.
    void forget(paged_file<Traits> const& file) noexcept {
        for (auto& b : batches_)
            for (std::uint32_t i = 0; i < b.debt_count;)
                if (b.debts[i].file == &file)
                    b.debts[i] = b.debts[--b.debt_count];
                else
                    ++i;
    }

private:
    using passage = typename Traits::gate::passage;
    using passage_kind = typename Traits::gate::passage_kind;

    [[nodiscard]] result<void> pay_debts_inside(batch& b) noexcept {
        auto const inside = passage{gate_, passage_kind::first};
        return pay_debts(b);
    }
    // The area of the batch may be overwritten once its images are of no use.
    [[nodiscard]] result<void> pay_debts(batch& b) noexcept {
        for (; b.debt_count != 0; --b.debt_count) {
            auto const& d = b.debts[b.debt_count - 1];
            if (double_write_ == nullptr || runtime::sabotaged(sabotage::dw_area_reused_early))
                continue;
            if (d.file->synced_writes() >= d.writes) continue;
            BOOST_OUTCOME_TRY(d.file->sync_writes());
        }
        return ok();
    }

    void stage(batch& b, std::uint32_t frame) noexcept {
        auto& info = frames_->info(frame);
        auto* const word = info.word.load(std::memory_order_acquire);
        if (word == nullptr || !info.is_dirty()) return;
        auto const was_cool = word->peek().state() == detail::word_bits::cool;
        if (!word->share_if_free(frame)) return;
        if (claim(info)) copy(b, frame, info);
        if (was_cool)
            word->unshare_as_cool();
        else
            word->unshare();
    }
    // Under a shared latch: rec_lsn becomes inflight_rec_lsn, the frame is clean. The new place is
    // set before the old one is cleared, or a checkpoint that looks in between misses the change.
    [[nodiscard]] bool claim(frame_info<Traits>& info) noexcept {
        if (info.is_dead()) return false;
        auto rec = info.rec_lsn.load(std::memory_order_acquire);
        if (rec == 0) return false;
        if (runtime::sabotaged(sabotage::clear_before_hand_over)) {
            if (info.is_in_flight()) return false;
            info.rec_lsn.store(0, std::memory_order_release);
            runtime::point(point_id::copied_for_home);
            info.inflight_rec_lsn.store(rec, std::memory_order_release);
            return true;
        }
        auto nothing = std::uint64_t{0};
        if (!info.inflight_rec_lsn.compare_exchange_strong(
                nothing, rec, std::memory_order_acq_rel, std::memory_order_acquire
            )) {
            if (!runtime::sabotaged(sabotage::evict_during_writeback)) return false;
        }
        // Another batch may have taken and landed it between the two looks.
        rec = info.rec_lsn.load(std::memory_order_acquire);
        if (rec == 0) {
            info.inflight_rec_lsn.store(0, std::memory_order_release);
            return false;
        }
        info.inflight_rec_lsn.store(rec, std::memory_order_release);
        info.rec_lsn.store(0, std::memory_order_release);
        return true;
    }
    void copy(batch& b, std::uint32_t frame, frame_info<Traits>& info) noexcept {
        auto* const to = b.image(b.count);
        page_memory::load_bytes(to, frames_->data(frame), page_size);
        stamp(to, info);
        b.items[b.count++] = {
            .info = &info,
            .file = info.file.load(std::memory_order_relaxed),
            .page = info.page(),
            .low = {info.inflight_rec_lsn.load(std::memory_order_relaxed)},
            .page_lsn = {load_le<std::uint64_t>(to + page_offset::page_lsn)},
            .frame = frame,
        };
    }
    // The frame's bytes keep the stamp they came with; what was written since is known here.
    // seal() moves the copy on to the next one.
    static void stamp(std::byte* image, frame_info<Traits>& info) noexcept {
        auto const flags = load_le<std::uint16_t>(image + page_offset::flags);
        store_le<std::uint16_t>(
            image + page_offset::flags,
            static_cast<std::uint16_t>(
                (flags & ~unsigned{page_flag::flush_counter}) | info.flush_counter
            )
        );
        info.flush_counter = info.flush_counter % 3 + 1;
    }

    [[nodiscard]] result<void> write(batch& b) noexcept {
        auto highest = no_lsn;
        for (auto const& i : b.staged()) highest = later(highest, i.page_lsn);
        if (!runtime::sabotaged(sabotage::evict_without_wal)) {
            BOOST_OUTCOME_TRY(log_->wait_durable(highest));
        }
        // Copy and home write are one passage: a freeze finds no batch halfway.
        auto const inside = passage{gate_, passage_kind::first};
        BOOST_OUTCOME_TRY(prepare_files(b));
        BOOST_OUTCOME_TRY(prove_images(b));
        for (std::uint32_t n = 0; n < b.count; ++n)
            codec::seal(b.image(n), b.items[n].file->nonce());
        if (double_write_ != nullptr) {
            BOOST_OUTCOME_TRY(write_copies(b));
        }
        return write_homes(b);
    }
    // What could not be read again is not sealed: the home is better, and the log behind it. A frame
    // comes to that by memory that forgets, or by a fault of ours.
    [[nodiscard]] static result<void> prove_images(batch& b) noexcept {
        for (std::uint32_t n = 0; n < b.count; ++n) {
            auto const wrong = check_layout(page_view<page_size>{b.image(n)});
            if (wrong == damage::none) continue;
            return error{
                .code = errc::page_damaged,
                .database = b.items[n].file->id().value,
                .page = b.items[n].page,
                .file = file_kind::database,
                .reason = wrong
            };
        }
        return ok();
    }
    // max_required_lsn of each file covers its pages before the first of them goes home.
    [[nodiscard]] result<void> prepare_files(batch& b) noexcept {
        b.debt_count = 0;
        for (auto const& i : b.staged()) {
            auto known = false;
            for (std::uint32_t n = 0; n < b.debt_count && !known; ++n)
                known = b.debts[n].file == i.file;
            if (known) continue;
            auto highest = no_lsn;
            for (auto const& other : b.staged())
                if (other.file == i.file) highest = later(highest, other.page_lsn);
            BOOST_OUTCOME_TRY(i.file->prepare_home_writes(highest, *log_));
            b.debts[b.debt_count++] = {.file = i.file};
        }
        return ok();
    }
    [[nodiscard]] result<void> write_copies(batch& b) noexcept {
        std::memset(b.buffer.data(), 0, double_write_index::size);
        for (std::uint32_t n = 0; n < b.count; ++n) {
            auto const& i = b.items[n];
            double_write_entry{
                .database = i.file->id(),
                .page = i.page,
                .page_lsn = i.page_lsn,
                .nonce = i.file->nonce(),
                .checksum = load_le<std::uint64_t>(b.image(n) + page_offset::checksum),
            }
                .encode(
                    b.buffer.data() + double_write_index::entries_at + n * double_write_entry::size
                );
        }
        return double_write_->write(
            b.area,
            b.buffer.part(0, double_write_file<Traits>::area_bytes(b.count)),
            b.count,
            {redo_.load(std::memory_order_relaxed)}
        );
    }
    // The one function that writes pages where they live.
    [[nodiscard]] result<void> write_homes(batch& b) noexcept {
        auto const durable = log_->durable_lsn();
        runtime::point(point_id::before_home_write);
        for (std::uint32_t first = 0; first < b.count;) {
            auto end = first + 1;
            while (end < b.count && b.items[end].file == b.items[first].file &&
                   b.items[end].page == b.items[end - 1].page + 1 &&
                   (end - first + 1) * page_size <= run_bytes_max)
                ++end;
            for (auto n = first; n < end; ++n)
                ensure(
                    b.items[n].page_lsn < durable ||
                        runtime::sabotaged(sabotage::evict_without_wal),
                    "no page goes home before the log that describes it is durable"
                );
            BOOST_OUTCOME_TRY(b.items[first].file->write_pages(
                b.items[first].page, const_bytes{b.image(first), (end - first) * page_size}
            ));
            first = end;
        }
        runtime::point(point_id::after_home_write);
        for (std::uint32_t n = 0; n < b.debt_count; ++n)
            b.debts[n].writes = b.debts[n].file->completed_writes();
        return ok();
    }

    // The write has returned: a sync called from now on covers it.
    static void hand_over(item const& i) noexcept {
        if (runtime::sabotaged(sabotage::clear_before_hand_over)) {
            i.info->inflight_rec_lsn.store(0, std::memory_order_release);
            runtime::point(point_id::after_home_write);
            i.file->note_unsynced(i.low);
            return;
        }
        i.file->note_unsynced(i.low);
        i.info->inflight_rec_lsn.store(0, std::memory_order_release);
    }
    // The pages are dirty again. The failure is noted before rec_lsn moves backwards, against the
    // direction in which a checkpoint looks: it asks for failures after it has looked.
    [[nodiscard]] error failed(batch& b, error const& why) noexcept {
        failure_->note(why);
        for (auto const& i : b.staged()) {
            i.info->rec_lsn.store(i.low.value, std::memory_order_release);
            i.info->inflight_rec_lsn.store(0, std::memory_order_release);
        }
        b.count = 0;
        landed_.set_all();
        return why;
    }

    frame_pool<Traits>* frames_;
    log_gate const* log_;
    detail::sticky_failure<Traits>* failure_;
    double_write_file<Traits>* double_write_ = nullptr;
    typename Traits::gate* gate_ = nullptr;
    batch batches_[2];
    std::uint32_t pages_ = 0;
    typename Traits::template atomic<std::uint64_t> redo_{0};
    typename Traits::template atomic<std::uint32_t> turn_{0};
    typename Traits::template atomic<std::uint64_t> pages_written_{0};
    typename Traits::event landed_;
};

} // namespace jetpp::inline v1
