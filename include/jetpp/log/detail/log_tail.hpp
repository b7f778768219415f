// jetpp/log/detail/log_tail.hpp - where the log grows: credits, reservations, segment switches.
//
//     freed             written     published        tail                     freed + ring
//       |-- sector kept --|-- to write --|-- being filled --|---- credits ----|
//
// Positions v run through the ring and never jump back; lsn = first LSN + (v - v_start) inside a
// segment. A switch rounds v up to 4096 and takes the next prepared segment's LSNs, so that neither
// a forced switch nor a jump of generations ever lands on bytes that are not yet written.
//
// Accounting. Records of at most m bytes, packed greedily, waste less than m at the end of each
// segment but the last, and a switch costs at most switch_cost ring bytes. While
//     credits + (switches(credits) + 1) x switch_cost <= free ring bytes, and
//     credits <= room(rest of the segment) + room of all prepared but the last + the last
// every reservation finds its place. Both survive a reservation and a switch; a forced switch tests
// them first. The one extra switch is what close needs.
// Threads  everything under the ring lock, which is a leaf; tail() is a lower bound without it.
// Owns     the queue of segments between preparation and retirement.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/log/detail/log_ring.hpp>
#include <jetpp/log/detail/segment_store.hpp>
#include <jetpp/log/log_options.hpp>
#include <jetpp/log/record_crc.hpp>
#include <jetpp/log/ring_file.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace jetpp::inline v1::detail {

template <any_environment Env>
struct queued_segment {
    static constexpr std::uint64_t open_end = ~std::uint64_t{0};

    segment_header header{};
    std::optional<typename Env::file> file{};
    std::uint64_t v_start = 0;      // valid once begun
    std::uint64_t v_end = open_end; // of the last record; segment_end stands there
    segment_id next{};              // valid once ended

    [[nodiscard]] lsn lsn_of(std::uint64_t v) const noexcept {
        return header.first() + (v - v_start);
    }
    [[nodiscard]] std::uint64_t file_offset(std::uint64_t v) const noexcept {
        return segment_header_bytes + (v - v_start);
    }
};

struct reservation {
    lsn at{};
    std::uint64_t v{};
    std::uint64_t nonce{};
};

enum class taken : std::uint8_t { yes, no_ring, no_files };

template <any_environment Env>
class log_tail {
public:
    using segment = queued_segment<Env>;
    using runtime = typename Env::runtime_type;
    static constexpr std::size_t slots = segment_store<Env>::segments_open_max;

    log_tail(Env env, log_ring<Env>& ring, log_options const& options) noexcept
        : lock_{env.runtime}, ring_{ring}, segment_bytes_{options.segment_bytes},
          record_max_{options.record_bytes_max} {
        store_le<std::uint32_t>(attach_list_.data(), 32);
        attach_list_[8] = static_cast<std::byte>(record_type::attach_list);
        attach_list_[9] = static_cast<std::byte>(record_flags::system);
    }

    // ---- credits

    // `wanted`, or no more than `least` when half of the ring is granted.
    [[nodiscard]] taken try_take(
        log_credit& credit, std::uint32_t wanted, std::uint32_t least, std::uint64_t debt
    ) noexcept {
        auto const hold = holding{lock_};
        if (granted_ + wanted > ring_.size() / 2) wanted = least;
        auto const total = granted_ + wanted;
        if (!runtime::sabotaged(sabotage::credit_too_small) && !fits_ring(total, v_tail_, rest()))
            return taken::no_ring;
        if (!runtime::sabotaged(sabotage::credit_without_segment) &&
            total + debt > file_room(rest(), prepared()))
            return taken::no_files;
        granted_ = total;
        credit.left += wanted;
        note_scarcity();
        return taken::yes;
    }
    void give_back(log_credit& credit) noexcept {
        auto const hold = holding{lock_};
        granted_ -= std::exchange(credit.left, 0);
        note_scarcity();
    }
    // Is half of the ring granted? A hint: who holds more than he needs now should give it back.
    [[nodiscard]] bool is_scarce() const noexcept {
        return scarce_.load(std::memory_order_relaxed);
    }
    // More than this can never be granted, even by an empty ring over fresh segments.
    [[nodiscard]] std::uint32_t credit_max() const noexcept {
        auto const ring = ring_.size() - 3 * switch_cost - sector_kept_max;
        auto const half = std::min<std::uint64_t>(ring, segment_bytes_ / 2);
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(half, std::uint64_t{1} << 30));
    }

    // ---- reservations

    template <class Hook>
    [[nodiscard]] reservation reserve(log_credit& credit, std::uint32_t n, Hook&& hook) noexcept {
        ensure(
            n % 8 == 0 && n >= record_header_size && n <= record_max_, "a record has legal size"
        );
        ensure(n <= credit.left, "the credit of the operation covers the record");
        auto const hold = holding{lock_};
        ensure(!ended_, "nothing is appended to a closed log");
        if (rest() < n) begin_next(true);
        auto const r = advance(n);
        granted_ -= n;
        credit.left -= n;
        hook(r.at);
        return r;
    }

    template <class F>
    decltype(auto) under_lock(F&& f) noexcept {
        auto const hold = holding{lock_};
        return std::forward<F>(f)(tail_lsn());
    }
    [[nodiscard]] lsn tail() const noexcept { return {tail_.load(std::memory_order_acquire)}; }

    void set_attach_list(const_bytes record) noexcept {
        auto const hold = holding{lock_};
        set_attach_list_locked(record);
    }
    // From the hook of a reservation: the list changes in the moment of the record that says why.
    void set_attach_list_locked(const_bytes record) noexcept {
        ensure(
            record.size() % 8 == 0 && record.size() >= 32 &&
                record.size() <= attach_list_size_max &&
                record[8] == static_cast<std::byte>(record_type::attach_list),
            "the attach list is one whole record"
        );
        std::memcpy(attach_list_.data(), record.data(), record.size());
        store_le<std::uint32_t>(attach_list_.data(), static_cast<std::uint32_t>(record.size()));
    }

    // ---- segments

    // The segment at a place of the queue. A begun segment's numbers do not change any more; v_end
    // and next are settled once a later segment has begun.
    [[nodiscard]] segment& at(std::uint64_t s) noexcept { return segments_[s % slots]; }

    struct view {
        std::uint64_t begun;    // place of the segment that grows
        std::uint64_t prepared; // one past the last
        std::uint64_t v_tail;
        bool ended;
    };
    [[nodiscard]] view look() noexcept {
        auto const hold = holding{lock_};
        return {begun_, prepared_, v_tail_, ended_};
    }

    // The first segment; called once, before anything else.
    void start(segment_header const& header, typename Env::file file) noexcept {
        auto const hold = holding{lock_};
        segments_[0] = segment{.header = header, .file = std::move(file)};
        prepared_ = 1;
        begin(0, 0, true);
    }
    // What the next file to prepare must follow. Stable under the preparing lock.
    [[nodiscard]] segment_header newest() noexcept {
        auto const hold = holding{lock_};
        return at(prepared_ - 1).header;
    }
    [[nodiscard]] segment_header growing() noexcept {
        auto const hold = holding{lock_};
        return at(begun_).header;
    }
    // The segment that is written now: durable_lsn stands in it, or at its beginning soon.
    [[nodiscard]] segment_header writing() noexcept {
        auto const hold = holding{lock_};
        return at(written_).header;
    }
    [[nodiscard]] bool queue_full() noexcept {
        auto const hold = holding{lock_};
        return prepared_ - written_ >= slots - 1; // one place is kept for the end of the log
    }
    [[nodiscard]] std::uint64_t prepared_count() noexcept {
        auto const hold = holding{lock_};
        return prepared();
    }
    [[nodiscard]] std::uint64_t file_bytes_free() noexcept {
        auto const hold = holding{lock_};
        auto const room = file_room(rest(), prepared());
        return room > granted_ ? room - granted_ : 0;
    }
    [[nodiscard]] std::uint64_t granted() noexcept {
        auto const hold = holding{lock_};
        return granted_;
    }
    void add(segment_header const& header, typename Env::file file) noexcept {
        auto const hold = holding{lock_};
        ensure(prepared_ - written_ < slots, "the queue of segments has a free place");
        at(prepared_) = segment{.header = header, .file = std::move(file)};
        ++prepared_;
    }

    [[nodiscard]] taken try_switch() noexcept {
        auto const hold = holding{lock_};
        if (has_many_unwritten()) return taken::no_ring;
        if (prepared() == 0 || granted_ > file_room(fresh_rest_, prepared() - 1))
            return taken::no_files;
        if (!runtime::sabotaged(sabotage::ring_index_from_lsn) &&
            !fits_ring(granted_, v_tail_ + switch_cost, fresh_rest_))
            return taken::no_ring;
        begin_next(true);
        return taken::yes;
    }
    // As try_switch, but the prepared segments are exchanged for `others` first; those that were
    // prepared are handed back in their place. no_ring also says: segments are to be written first.
    // Returns nothing if another segment grows by now.
    template <class Segments>
    [[nodiscard]] std::optional<taken> try_jump(
        std::uint64_t follows_generation, Segments& others
    ) noexcept {
        auto const hold = holding{lock_};
        if (at(begun_).header.generation != follows_generation) return {};
        if (has_many_unwritten()) return taken::no_ring;
        if (granted_ > file_room(fresh_rest_, others.size() - 1)) return taken::no_files;
        if (!runtime::sabotaged(sabotage::ring_index_from_lsn) &&
            !fits_ring(granted_, v_tail_ + switch_cost, fresh_rest_))
            return taken::no_ring;
        if (begun_ + 1 + others.size() - written_ >= slots) return taken::no_ring;
        auto const before = prepared();
        ensure(before <= others.capacity(), "what is handed back has a place");
        for (std::uint64_t i = 0; i < std::max<std::uint64_t>(before, others.size()); ++i)
            std::swap(at(begun_ + 1 + i), others.slot(static_cast<std::size_t>(i)));
        prepared_ = begun_ + 1 + others.size();
        others.set_size(static_cast<std::size_t>(before));
        begin_next(true);
        return taken::yes;
    }
    // Ends the last segment: its segment_end will name `next`, which gets no record. The space was
    // kept by every grant.
    segment_id end_log(segment_header const& otherwise) noexcept {
        auto const hold = holding{lock_};
        ensure(granted_ == 0, "credits are returned before the log is closed");
        if (prepared() == 0) {
            at(prepared_) = segment{.header = otherwise, .file = {}};
            ++prepared_;
        }
        begin_next(false);
        ended_ = true;
        auto const& next = at(begun_).header;
        return {next.generation, next.nonce};
    }

    // Ring bytes below v are zero again; segments before place `written` are retired.
    void freed_to(std::uint64_t v, std::uint64_t written) noexcept {
        auto const hold = holding{lock_};
        v_freed_ = v;
        written_ = written;
    }

private:
    static constexpr std::uint64_t switch_cost =
        segment_end_size + 4096 + attach_list_size_max; // ring bytes
    static constexpr std::uint64_t sector_kept_max = 4096;

    // jet.ring finds a segment by one of its sixteen entries: a new one must not take the entry of
    // a segment that is not written yet. Generations go on by one modulo sixteen (a jump as well),
    // the ring holds at most eleven segments that filled up, and others are few.
    static constexpr std::uint64_t unwritten_max = 4;
    static_assert(unwritten_max + 1 + 11 <= ring_entries);

    [[nodiscard]] bool has_many_unwritten() const noexcept {
        return begun_ - written_ >= unwritten_max;
    }
    void note_scarcity() noexcept {
        auto const scarce = granted_ > ring_.size() / 2;
        if (scarce != is_scarce()) scarce_.store(scarce, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t prepared() const noexcept { return prepared_ - begun_ - 1; }
    [[nodiscard]] lsn tail_lsn() const noexcept { return tail(); }
    // Bytes for records left in the growing segment.
    [[nodiscard]] std::uint64_t rest() const noexcept {
        return segment_bytes_ - segment_end_size - offset_of(tail_lsn(), segment_bytes_);
    }
    [[nodiscard]] std::uint64_t less_waste(std::uint64_t bytes_left) const noexcept {
        return bytes_left > record_max_ ? bytes_left - record_max_ : 0;
    }
    [[nodiscard]] std::uint64_t file_room(std::uint64_t bytes_left, std::uint64_t prepared_segments)
        const noexcept {
        if (prepared_segments == 0) return bytes_left;
        return less_waste(bytes_left) + (prepared_segments - 1) * less_waste(fresh_rest_) +
               fresh_rest_;
    }
    [[nodiscard]] std::uint64_t switches(std::uint64_t credits, std::uint64_t bytes_left)
        const noexcept {
        auto const here = less_waste(bytes_left);
        return credits <= here ? 0 : 1 + (credits - here) / less_waste(fresh_rest_);
    }
    [[nodiscard]] bool fits_ring(std::uint64_t credits, std::uint64_t v, std::uint64_t bytes_left)
        const noexcept {
        auto const used = v - v_freed_;
        return used + credits + (switches(credits, bytes_left) + 1) * switch_cost <= ring_.size();
    }

    reservation advance(std::uint32_t n) noexcept {
        auto const r = reservation{tail_lsn(), v_tail_, nonce_};
        v_tail_ += n;
        ensure(
            runtime::sabotaged(sabotage::ring_index_from_lsn) ||
                runtime::sabotaged(sabotage::credit_too_small) ||
                v_tail_ - v_freed_ <= ring_.size(),
            "credits keep the tail of the log within free ring space"
        );
        tail_.store(r.at.value + n, std::memory_order_release);
        return r;
    }

    void begin_next(bool with_attach_list) noexcept {
        ensure(prepared() != 0, "a credit is prepared file space");
        auto& ending = at(begun_);
        auto const& next = at(begun_ + 1).header;
        ending.v_end = v_tail_;
        ending.next = {next.generation, next.nonce};
        auto v = round_up(v_tail_ + segment_end_size, std::uint64_t{4096});
        if (runtime::sabotaged(sabotage::ring_index_from_lsn))
            while (((v ^ next.first().value) & (ring_.size() - 1)) != 0) v += 4096;
        begin(begun_ + 1, v, with_attach_list);
        runtime::point(point_id::segment_switched);
    }

    void begin(std::uint64_t place, std::uint64_t v, bool with_attach_list) noexcept {
        auto& s = at(place);
        s.v_start = v;
        s.v_end = segment::open_end;
        begun_ = place;
        v_tail_ = v;
        nonce_ = s.header.nonce;
        tail_.store(s.header.first().value, std::memory_order_release);
        if (!with_attach_list) return;
        ring_.write_entry({s.header.generation, s.header.nonce, v});
        auto const n = load_le<std::uint32_t>(attach_list_.data());
        auto const r = advance(n);
        auto* const record = ring_.at(r.v);
        std::memcpy(record + 8, attach_list_.data() + 8, n - 8);
        store_le<std::uint32_t>(record + 4, record_crc(r.nonce, r.at, {record, n}));
        publish_length(record, n);
    }

    basic_mutex<runtime> lock_;
    log_ring<Env>& ring_;
    std::uint64_t const segment_bytes_;
    std::uint64_t const record_max_;
    // What a segment surely holds when its first record is the longest attach_list.
    std::uint64_t const fresh_rest_ =
        segment_bytes_ - segment_end_size - segment_header_bytes - attach_list_size_max;
    typename Env::template atomic<std::uint64_t> tail_{0};
    typename Env::template atomic<bool> scarce_{false};
    std::uint64_t v_tail_ = 0;
    std::uint64_t v_freed_ = 0;
    std::uint64_t granted_ = 0; // credits not yet reserved
    std::uint64_t nonce_ = 0;
    std::uint64_t written_ = 0; // places: retired before, growing, prepared before
    std::uint64_t begun_ = 0;
    std::uint64_t prepared_ = 0;
    bool ended_ = false;
    std::array<std::byte, attach_list_size_max> attach_list_{}; // length in its length word
    std::array<segment, slots> segments_{};
};

} // namespace jetpp::inline v1::detail
