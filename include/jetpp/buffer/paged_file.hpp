// jetpp/buffer/paged_file.hpp - one attached database file: header copies, page table, size, syncs.
//
//     0        64 KiB   128 KiB = page H
//     +----+---+----+---+-----+---------+---------+-- ... --+
//     | A  |   | B  |   | map | catalog | pending | pages   |
//     +----+---+----+---+-----+---------+---------+-- ... --+
//
// Life: create() or open() -> change_header() as the engine's steps ask -> buffer_pool::attach ->
// work -> buffer_pool::flush, detach -> mark_clean() -> close().
// Invariants
//   * max_required_lsn covers a page before its first home write, in both copies, synced
//   * the count of pages only grows after the space is allocated and synced
//   * a failed sync or header write is final
// Threads  any; create, open and close: the owner.
// Owns     the open file and the words of its pages.
// Source   ESE database header and its shadow; PostgreSQL pg_control for the two-copies rule.
#pragma once

#include <jetpp/buffer/core_traits.hpp>
#include <jetpp/buffer/detail/sticky_failure.hpp>
#include <jetpp/buffer/header_copies.hpp>
#include <jetpp/buffer/log_gate.hpp>
#include <jetpp/buffer/page_table.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/page/page_codec.hpp>
#include <jetpp/page/page_editor.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/space_map.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
class paged_file {
    using env = typename Traits::env;
    using runtime = typename Traits::runtime;
    template <class T>
    using atomic = typename Traits::template atomic<T>;

public:
    static constexpr std::size_t page_size = Traits::page_size;
    using limits = page_limits<page_size>;
    using codec = page_codec<page_size, typename Traits::checksum>;
    using table_type = page_table<Traits>;

    paged_file(env environment, file_name const& name) noexcept
        : name_{name}, table_{environment.runtime}, heading_{environment.runtime},
          syncing_{environment.runtime}, failure_{environment.runtime} {}
    paged_file(paged_file const&) = delete;
    paged_file& operator=(paged_file const&) = delete;

    // A new file under `name` (temporary, say): `header` in both copies, the first space map, the
    // two empty system roots, all synced. Renaming it and syncing the directory is the caller's.
    // Requires: header names page_size, the checksum and a nonce; pages >= limits::new_database_pages.
    // Errors: already_exists and the others of storage, out_of_memory.
    [[nodiscard]] static result<std::unique_ptr<paged_file>> create(
        env environment,
        typename env::directory& directory,
        file_name const& name,
        database_header const& header,
        std::uint32_t pages
    ) noexcept;

    // Reads the header copies and the size; writes nothing.
    // Errors: not_found and the others of storage; bad_magic, bad_kind, unsupported_format,
    //     unsupported_feature, bad_header; page_size_mismatch, checksum_mismatch.
    [[nodiscard]] static result<std::unique_ptr<paged_file>> open(
        env environment,
        typename env::directory& directory,
        file_name const& name,
        open_mode mode = open_mode::read_write
    ) noexcept;

    // Requires: detached. Errors: of storage.
    [[nodiscard]] result<void> close() noexcept { return file_.close(); }
    // From now on writes pass it; null: none. Requires: nothing runs on the file.
    void obey(typename Traits::gate* writes) noexcept { gate_ = writes; }

    [[nodiscard]] file_name const& name() const noexcept { return name_; }
    // After a rename of the file on disk.
    void rename(file_name const& name) noexcept { name_ = name; }
    [[nodiscard]] database_id id() const noexcept { return {id_.load(std::memory_order_relaxed)}; }
    [[nodiscard]] std::uint64_t nonce() const noexcept { return nonce_; }
    [[nodiscard]] typename env::file& device() noexcept { return file_; }

    // --- header

    [[nodiscard]] database_header header() noexcept {
        auto const lock = holding{heading_};
        return copies_.newest();
    }
    // Makes the copies agree after a crash or a rotten sector, before anything else is written.
    [[nodiscard]] result<void> repair_header() noexcept {
        {
            auto const lock = holding{heading_};
            if (!copies_.is_uneven()) return ok();
        }
        return change_header([](database_header&) noexcept {});
    }
    // change(database_header&) noexcept; then both copies, the one that is not the newest first,
    // each synced: for state, ids, marks, timeline, LSNs that must not fall back.
    // Errors: of storage, final for this file; instance_failed.
    template <class Change>
    [[nodiscard]] result<void> change_header(Change&& change) noexcept {
        auto const inside = passage{gate_, passage_kind::nested};
        auto const lock = holding{heading_};
        return change_locked(change);
    }
    // The checkpoint's, before its T0: a growth that is counted here will be durable when the next
    // header is written.
    void count_pages() noexcept { counted_pages_ = page_count(); }
    // The checkpoint's: one copy, covered by its sync of the data. Errors: as above.
    [[nodiscard]] result<void> note_min_required(lsn at) noexcept {
        auto const lock = holding{heading_};
        BOOST_OUTCOME_TRY(failure_.check());
        if (copies_.newest().min_required_lsn >= at) return ok();
        auto done = copies_.write_older(file_, [&](database_header& h) noexcept {
            h.min_required_lsn = at;
            if (h.pages_hint < counted_pages_) h.pages_hint = counted_pages_;
        });
        header_write_ = completed_.fetch_add(1u, std::memory_order_acq_rel) + 1;
        return kept(done);
    }
    // What both copies, as they lie on the device, ask of the log.
    [[nodiscard]] lsn min_required_floor() noexcept {
        auto const lock = holding{heading_};
        return copies_.min_required_floor();
    }
    // Requires: flushed and synced, nothing dirty; `tail` is the end of the log.
    [[nodiscard]] result<void> mark_clean(lsn tail) noexcept {
        auto const pages = page_count();
        auto const highest = lsn{highest_lsn_.load(std::memory_order_acquire)};
        return change_header([&](database_header& h) noexcept {
            h.state = database_state::clean;
            h.consistent_lsn = tail;
            h.max_lsn = highest_is_exact_ ? highest : tail;
            h.pages_hint = pages;
        });
    }

    // --- size

    // Pages in the file, header area included; the last page is that minus 1.
    [[nodiscard]] std::uint32_t page_count() const noexcept {
        return page_count_.load(std::memory_order_acquire);
    }
    // Growth in three steps: allocate_pages (real space, synced), the caller logs `extend`, then
    // use_pages publishes the count. One grower at a time.
    [[nodiscard]] std::uint32_t grown_page_count() const noexcept {
        auto const now = std::uint64_t{page_count()} * page_size;
        auto step = now / 64;
        if (step < growth_bytes_min_) step = growth_bytes_min_;
        if (step > growth_bytes_max) step = growth_bytes_max;
        auto const grown = (now + step) / page_size;
        return grown < no_page.value ? static_cast<std::uint32_t>(grown) : no_page.value;
    }
    // A small profile grows in smaller steps. Requires: at least one page.
    void set_growth_bytes_min(std::uint64_t step) noexcept {
        growth_bytes_min_ = step < page_size ? page_size : step;
    }
    // Errors: disk_full, io, out_of_memory; nothing has changed then.
    [[nodiscard]] result<void> allocate_pages(std::uint32_t new_count) noexcept {
        auto const old = page_count();
        if (new_count <= old) return ok();
        BOOST_OUTCOME_TRY(failure_.check());
        BOOST_OUTCOME_TRY(table_.reserve(new_count));
        auto const inside = passage{gate_, passage_kind::nested};
        auto const from = std::uint64_t{old} * page_size;
        auto const length = std::uint64_t{new_count - old} * page_size;
        if (auto done = file_.allocate(from, length); !done) return here(done.error());
        auto done = file_.sync(sync_how::full);
        if (!done) return here(done.error());
        return ok();
    }
    // Requires: allocate_pages(new_count) succeeded.
    void use_pages(std::uint32_t new_count) noexcept {
        ensure(new_count >= page_count(), "a file in use does not shrink");
        page_count_.store(new_count, std::memory_order_release);
    }
    // What lies behind is as if it had never been allocated. Requires: nobody has used it.
    void forget_pages(std::uint32_t new_count) noexcept {
        page_count_.store(new_count, std::memory_order_release);
    }

    // --- pages on disk: buffer_pool and write_out

    [[nodiscard]] table_type& table() noexcept { return table_; }
    [[nodiscard]] table_type const& table() const noexcept { return table_; }

    // Requires: into.size() is a multiple of page_size. Errors: io (short_file at the end).
    [[nodiscard]] result<void> read_pages(page_number first, bytes into) noexcept {
        auto done = read_full(file_, into, offset_of_page(first));
        if (!done) return here(done.error()).with_page(first);
        return ok();
    }
    // Called by write_out alone, once everything that must be durable before is.
    [[nodiscard]] result<void> write_pages(page_number first, const_bytes from) noexcept {
        BOOST_OUTCOME_TRY(failure_.check());
        auto done = write_full(file_, from, offset_of_page(first));
        // Counted before its rec_lsn can be seen in unsynced_low: a sync that would cover the
        // latter must not be skipped.
        completed_.fetch_add(1u, std::memory_order_acq_rel);
        if (!done) failure_.note(here(done.error()).with_page(first));
        return kept(done);
    }
    // Before home writes of pages up to `highest`: the header says dirty, and that the log must
    // reach at least the segment of the durable end.
    // Errors: of storage, final; instance_failed.
    [[nodiscard]] result<void> prepare_home_writes(lsn highest, log_gate const& log) noexcept {
        raise(highest_lsn_, highest.value);
        if (highest.value < covered_.load(std::memory_order_acquire)) return ok();
        auto const lock = holding{heading_};
        if (highest.value < covered_.load(std::memory_order_acquire)) return ok();
        auto const required = log.segment_end(log.durable_lsn());
        ensure(highest < required, "a page that goes home is older than the durable end");
        BOOST_OUTCOME_TRY(change_locked([&](database_header& h) noexcept {
            if (h.state == database_state::clean) h.state = database_state::dirty;
            h.max_required_lsn = later(h.max_required_lsn, required);
            h.max_lsn = later(h.max_lsn, required);
        }));
        return ok();
    }

    // --- syncs

    // Home writes that have returned; what a sync called afterwards covers.
    [[nodiscard]] std::uint64_t completed_writes() const noexcept {
        return completed_.load(std::memory_order_acquire);
    }
    [[nodiscard]] std::uint64_t synced_writes() const noexcept {
        return synced_.load(std::memory_order_acquire);
    }
    // Everything that had been written when this was called is on the device.
    // Errors: of storage, final; instance_failed.
    [[nodiscard]] result<void> sync_writes() noexcept {
        auto const wanted = completed_writes();
        if (synced_writes() >= wanted) return failure_.check();
        auto const lock = holding{syncing_};
        BOOST_OUTCOME_TRY(failure_.check());
        if (synced_writes() >= wanted) return ok();
        auto const seen = completed_writes();
        runtime::point(point_id::before_data_sync);
        auto done = file_.sync(sync_how::data);
        BOOST_OUTCOME_TRY(kept(done));
        runtime::point(point_id::after_data_sync);
        synced_.store(seen, std::memory_order_release);
        auto const heading = holding{heading_};
        if (header_write_ <= seen) copies_.synced();
        return ok();
    }
    // The smallest rec_lsn of home writes since the last call of begin_epoch().
    void note_unsynced(lsn low) noexcept {
        auto now = unsynced_low_.load(std::memory_order_relaxed);
        while (low.value < now &&
               !unsynced_low_.compare_exchange_weak(
                   now, low.value, std::memory_order_acq_rel, std::memory_order_relaxed
               )) {
        }
    }
    [[nodiscard]] lsn unsynced_low() const noexcept {
        return {unsynced_low_.load(std::memory_order_acquire)};
    }
    // What was noted so far is the next sync's to cover; a new epoch begins.
    void begin_epoch() noexcept {
        (void)unsynced_low_.exchange(~std::uint64_t{0}, std::memory_order_acq_rel);
    }

    [[nodiscard]] bool failed() const noexcept { return failure_.failed(); }

private:
    using passage = typename Traits::gate::passage;
    using passage_kind = typename Traits::gate::passage_kind;
    static constexpr std::uint64_t growth_bytes_max = std::uint64_t{256} << 20;

    [[nodiscard]] static constexpr std::uint64_t offset_of_page(page_number page) noexcept {
        return std::uint64_t{page.value} * page_size;
    }
    [[nodiscard]] error here(error const& e) const noexcept {
        return e.with_file(file_kind::database).with_database(id());
    }
    // A failed write or sync is the last one.
    [[nodiscard]] result<void> kept(result<void> const& done) noexcept {
        if (done) return ok();
        auto const e = here(done.error());
        failure_.note(e);
        return e;
    }
    static void raise(atomic<std::uint64_t>& mark, std::uint64_t value) noexcept {
        auto now = mark.load(std::memory_order_relaxed);
        while (now < value && !mark.compare_exchange_weak(
                                  now, value, std::memory_order_acq_rel, std::memory_order_relaxed
                              )) {
        }
    }

    // Under heading_.
    template <class Change>
    [[nodiscard]] result<void> change_locked(Change&& change) noexcept {
        BOOST_OUTCOME_TRY(failure_.check());
        auto done = copies_.write_both(file_, change);
        take_over();
        return kept(done);
    }
    void take_over() noexcept {
        auto const& h = copies_.newest();
        id_.store(h.id.value, std::memory_order_relaxed);
        // A clean file is covered by nothing: its first home write makes it dirty.
        covered_.store(
            h.state == database_state::clean ? 0 : h.max_required_lsn.value,
            std::memory_order_release
        );
    }
    [[nodiscard]] result<void> adopt() noexcept;

    file_name name_;
    typename env::file file_{};
    table_type table_;
    header_copies<Traits> copies_;
    typename Traits::mutex heading_; // held over writes and syncs of the header
    typename Traits::mutex syncing_; // held over a sync of the data; taken before heading_
    detail::sticky_failure<Traits> failure_;
    typename Traits::gate* gate_ = nullptr;
    std::uint64_t nonce_ = 0;
    std::uint64_t growth_bytes_min_ = std::uint64_t{16} << 20;
    bool highest_is_exact_ = false;
    std::uint32_t counted_pages_ = 0; // by the running checkpoint
    std::uint64_t header_write_ = 0;  // completed_ after the last write of one header copy
    atomic<std::uint16_t> id_{0};
    atomic<std::uint32_t> page_count_{0};
    atomic<std::uint64_t> covered_{0};     // max_required_lsn as both copies have it; 0: clean
    atomic<std::uint64_t> highest_lsn_{0}; // of pages that went home
    atomic<std::uint64_t> completed_{0};
    atomic<std::uint64_t> synced_{0};
    atomic<std::uint64_t> unsynced_low_{~std::uint64_t{0}};
};

} // namespace jetpp::inline v1

#include <jetpp/buffer/detail/paged_file_life.hpp>
