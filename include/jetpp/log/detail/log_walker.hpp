// jetpp/log/detail/log_walker.hpp - follows published records, and closes the segments left behind.
//
// Records are published in any order; the walker knows how far they are without a hole. Where the
// tail has left a segment it fills that segment's last record, for it alone has seen all bytes in
// order: segment_end holds their sum.
// Invariants
//   * it goes from length word to length word, and never past the tail: behind it is old memory
//   * from one segment to the next it jumps by position, never by content
//   * bytes are summed before the ring space they stand in is freed
// Threads  any; the lock orders them. published() without it.
// Owns     nothing.
#pragma once

#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/log/detail/log_ring.hpp>
#include <jetpp/log/detail/log_tail.hpp>
#include <jetpp/log/record_crc.hpp>
#include <jetpp/log/records_marks.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1::detail {

template <any_environment Env>
class log_walker {
public:
    log_walker(Env env, log_ring<Env>& ring, log_tail<Env>& tail) noexcept
        : ring_{ring}, tail_{tail}, walking_{env.runtime} {}

    void start(lsn first) noexcept { published_.store(first.value, std::memory_order_release); }

    [[nodiscard]] lsn published() const noexcept {
        return {published_.load(std::memory_order_acquire)};
    }

    struct position {
        std::uint64_t place;       // of the segment published now, in the queue of the tail
        std::uint64_t v_published; // in it
    };
    // Walks, and sums what it found: the caller may then write it and free it.
    [[nodiscard]] position walk(lsn durable_hint) noexcept {
        auto const hold = holding{walking_};
        advance(durable_hint);
        sum_to(v_published_);
        return {walked_, v_published_};
    }
    // Unless somebody walks already.
    void try_walk(lsn durable_hint) noexcept {
        if (!walking_.try_lock()) return;
        advance(durable_hint);
        walking_.unlock();
    }

private:
    void advance(lsn durable_hint) noexcept {
        auto const tail = tail_.look();
        for (;;) {
            auto& s = tail_.at(walked_);
            auto const left = walked_ < tail.begun;
            if (!follow(left ? s.v_end : tail.v_tail) || !left) break;
            fill_segment_end(s, durable_hint);
            v_published_ = tail_.at(++walked_).v_start;
            v_summed_ = v_published_;
            sum_ = {};
        }
        published_.store(tail_.at(walked_).lsn_of(v_published_).value, std::memory_order_release);
    }
    // Returns: whether everything below `limit` is published.
    [[nodiscard]] bool follow(std::uint64_t limit) noexcept {
        while (v_published_ < limit) {
            auto const n = published_length(ring_.at(v_published_));
            if (n == 0) return false;
            ensure(n % 8 == 0 && n <= limit - v_published_, "free ring space is zero");
            v_published_ += n;
        }
        return true;
    }
    void sum_to(std::uint64_t v) noexcept {
        sum_.add({ring_.at(v_summed_), static_cast<std::size_t>(v - v_summed_)});
        v_summed_ = v;
    }
    void fill_segment_end(queued_segment<Env>& s, lsn durable_hint) noexcept {
        sum_to(s.v_end);
        auto* const record = ring_.at(s.v_end);
        auto const body = record::segment_end{
            .next_generation = s.next.generation,
            .next_nonce = s.next.nonce,
            .durable_hint = durable_hint,
            .content_crc = sum_.value()
        };
        encode_header(record, {.type = body.type, .flags = record_flags::system});
        body.encode(record);
        auto const crc = record_crc(s.header.nonce, s.lsn_of(s.v_end), {record, segment_end_size});
        store_le<std::uint32_t>(record + 4, crc);
        publish_length(record, static_cast<std::uint32_t>(segment_end_size));
    }

    log_ring<Env>& ring_;
    log_tail<Env>& tail_;
    basic_mutex<typename Env::runtime_type> walking_;
    std::uint64_t walked_ = 0; // guarded by walking_, as are the next three
    std::uint64_t v_published_ = 0;
    std::uint64_t v_summed_ = 0;
    crc32c_accumulator sum_;
    typename Env::template atomic<std::uint64_t> published_{0};
};

} // namespace jetpp::inline v1::detail
