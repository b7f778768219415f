// jetpp/log/detail/segment_preparer.hpp - keeps segments ready ahead of the tail, and jumps.
//
// Whoever lacks file space prepares it: housekeeping ahead of need, an acquire in need.
// A jump of generations (a younger log is attached) needs files under other numbers: they are
// prepared beside the queue, exchanged for the prepared ones in one step under the ring lock, and
// the old ones become spares. Outstanding credits stay covered all the time.
// Locks    preparing, held over I/O; above flushing and the ring lock.
// Threads  any.
#pragma once

#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/log/detail/log_flusher.hpp>
#include <jetpp/log/detail/log_tail.hpp>
#include <jetpp/log/detail/segment_store.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace jetpp::inline v1::detail {

// Files and headers beside the queue of the tail.
template <any_environment Env>
class segment_batch {
public:
    using segment = queued_segment<Env>;

    [[nodiscard]] bool allocate() noexcept {
        segments_.reset(new (std::nothrow) segment[log_tail<Env>::slots]);
        return segments_ != nullptr;
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return log_tail<Env>::slots; }
    [[nodiscard]] segment& slot(std::size_t i) noexcept { return segments_[i]; }
    void set_size(std::size_t size) noexcept { size_ = size; }
    void add(segment_header const& header, typename Env::file file) noexcept {
        segments_[size_++] = segment{.header = header, .file = std::move(file)};
    }

private:
    std::unique_ptr<segment[]> segments_;
    std::size_t size_ = 0;
};

template <any_environment Env>
class segment_preparer {
public:
    using runtime = typename Env::runtime_type;

    segment_preparer(
        Env env,
        segment_store<Env>& store,
        log_tail<Env>& tail,
        log_flusher<Env>& flusher,
        log_options const& options
    ) noexcept
        : env_{env}, store_{store}, tail_{tail}, flusher_{flusher},
          prewritten_{options.prewritten_bytes}, preparing_{env.runtime} {}

    [[nodiscard]] std::uint64_t draw_nonce() noexcept {
        for (;;)
            if (auto const nonce = env_.runtime.random(); nonce != 0) return nonce;
    }

    // The first segment of this life, in the place of whatever bears its generation.
    [[nodiscard]] result<void> start(segment_header const& header) noexcept {
        BOOST_OUTCOME_TRY(auto file, store_.prepare(header, rename_how::replace, prewritten_));
        tail_.start(header, std::move(file));
        return ok();
    }

    // One more prepared segment, unless `enough()` says so when it is our turn.
    // Errors: disk_full, out_of_memory, resource: credits shrink, no more; would_block (the queue
    // is full: write first). Others fail the log.
    template <class Enough>
    [[nodiscard]] result<void> prepare_unless(Enough&& enough) noexcept {
        auto const hold = holding{preparing_};
        if (enough()) return ok();
        return prepare_next();
    }

    // Ends the segment that grows and begins `generation`, which lies beyond the prepared ones.
    // Returns: no_ring when credits must come back or rounds be led first.
    [[nodiscard]] result<taken> jump(std::uint64_t generation) noexcept {
        auto const hold = holding{preparing_};
        auto batch = segment_batch<Env>{};
        if (!batch.allocate()) return error{.code = errc::out_of_memory};
        for (;;) {
            auto const growing = tail_.growing();
            if (generation <= growing.generation + 1) return taken::no_files; // overtaken
            // Names of files that stand prepared are taken until they are exchanged.
            auto free = std::max(generation, tail_.newest().generation + 1);
            // The next entry of jet.ring: the others may be needed still (see log_tail).
            free += (growing.generation + 1 - free) % ring_entries;
            if (auto done = extend(batch, growing, free); !done)
                return abandon(batch, done.error());
            auto const jumped = tail_.try_jump(growing.generation, batch);
            if (jumped == taken::no_files && batch.size() + 2 < batch.capacity()) continue;
            // After success these are the segments that were prepared for another future.
            if (auto done = put_back(batch); !done) return done.error();
            if (jumped) return *jumped == taken::yes ? taken::yes : taken::no_ring;
        }
    }

    // Ends the log; see log_tail::end_log.
    segment_id end_log() noexcept {
        auto const hold = holding{preparing_};
        return tail_.end_log(following(tail_.newest(), 0));
    }

    [[nodiscard]] static bool is_fatal_here(error const& e) noexcept {
        return e.code != errc::disk_full && e.code != errc::out_of_memory &&
               e.code != errc::resource && e.code != errc::would_block;
    }

private:
    [[nodiscard]] segment_header following(
        segment_header const& previous, std::uint64_t generation
    ) noexcept {
        auto next = previous;
        next.generation = generation != 0 ? generation : previous.generation + 1;
        next.nonce = draw_nonce();
        next.previous_generation = previous.generation;
        next.previous_nonce = previous.nonce;
        next.previous_created_at = previous.created_at;
        next.cut = no_lsn;
        next.created_at = env_.runtime.wall();
        return next;
    }
    // A write or sync of a log file that failed is final, like any other.
    [[nodiscard]] error judged(error const& e) noexcept {
        if (is_fatal_here(e)) flusher_.fail(e);
        return e;
    }

    [[nodiscard]] result<void> prepare_next() noexcept {
        if (flusher_.failed()) return flusher_.log_failed_at(tail_.tail());
        if (tail_.queue_full()) return error{.code = errc::would_block};
        auto const header = following(tail_.newest(), 0);
        auto file = store_.prepare(header, rename_how::no_replace, prewritten_);
        if (!file) return judged(file.error());
        tail_.add(header, std::move(file).value());
        flusher_.space_came();
        return ok();
    }

    [[nodiscard]] result<void> extend(
        segment_batch<Env>& batch, segment_header const& growing, std::uint64_t generation
    ) noexcept {
        if (flusher_.failed()) return flusher_.log_failed_at(tail_.tail());
        auto const header = batch.size() == 0 ? following(growing, generation)
                                              : following(batch.slot(batch.size() - 1).header, 0);
        auto file = store_.prepare(header, rename_how::no_replace, prewritten_);
        if (!file) return judged(file.error());
        batch.add(header, std::move(file).value());
        return ok();
    }
    [[nodiscard]] result<void> put_back(segment_batch<Env>& batch) noexcept {
        if (batch.size() == 0) return ok();
        for (std::size_t i = 0; i < batch.size(); ++i) {
            batch.slot(i).file.reset();
            auto done = store_.unprepare(batch.slot(i).header.generation);
            if (!done) return judged(done.error());
        }
        batch.set_size(0);
        auto synced = store_.sync_directory(sabotage::recycle_without_dir_sync);
        if (!synced) return judged(synced.error());
        return ok();
    }
    // The reason counts, whatever putting back says.
    [[nodiscard]] error abandon(segment_batch<Env>& batch, error const& why) noexcept {
        if (flusher_.failed()) return why;
        if (auto done = put_back(batch); !done) return done.error();
        return why;
    }

    [[no_unique_address]] Env env_;
    segment_store<Env>& store_;
    log_tail<Env>& tail_;
    log_flusher<Env>& flusher_;
    std::uint64_t const prewritten_;
    basic_mutex<runtime> preparing_;
};

} // namespace jetpp::inline v1::detail
