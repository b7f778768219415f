// jetpp/buffer/buffer_pool.hpp - pages in memory.
//
//     page table of a file          frame pool
//     word[page] --- frame ------>  [ page | page | page | ... ]   + frame_info each
//
// A page is found by one load: word[page] (page_word.hpp) holds its frame and is its latch. Frames
// are taken by a second-chance clock; dirty ones leave through write_out, never before the log
// that describes them is durable.
// Invariants
//   * no call waits for I/O, the log or a frame unless its comment says so, and then the caller
//     holds no latch
//   * a page is read into a frame before its word says resident, and verified before that
//   * a frame with an image on its way home is neither evicted nor copied again
// Threads  any, all calls. create, attach, detach, use_log: one at a time.
// Owns     the frames; not the files.
// Source   ARIES (steal, no-force); Leis et al., "Virtual-Memory Assisted Buffer Management"
//          (SIGMOD 2023) for states and versions in one word.
#pragma once

#include <cstdint>
#include <memory>

#include <jetpp/buffer/core_traits.hpp>
#include <jetpp/buffer/log_gate.hpp>
#include <jetpp/buffer/page_guard.hpp>
#include <jetpp/buffer/paged_file.hpp>
#include <jetpp/core/result.hpp>

namespace jetpp::inline v1 {

struct pool_options {
    std::uint32_t frames = 8192;  // at least 8
};

template <class Traits>
class buffer_pool {
public:
    using env = typename Traits::env;
    static constexpr std::uint32_t frames_min = 8;

    // Errors: bad_option, out_of_memory.
    [[nodiscard]] static result<std::unique_ptr<buffer_pool>> create(
        env environment, pool_options options, log_gate log
    ) noexcept;

    // Both wait for holders that are in the way, and for nothing else.
    // Requires: `out` is empty; page < file.page_count().
    [[nodiscard]] fix try_share(
        paged_file<Traits>& file, page_number page, shared_page<Traits>& out
    ) noexcept;
    [[nodiscard]] fix try_exclude(
        paged_file<Traits>& file, page_number page, exclusive_page<Traits>& out
    ) noexcept;

    // Brings an absent page in. After success it is resident, or was for a moment: try again.
    // Requires: no latch held. May evict, write home, wait for the log.
    // Errors: page_damaged (database, page, reason), io, out_of_memory, log_failed,
    //         instance_failed.
    [[nodiscard]] result<void> load(paged_file<Traits>& file, page_number page) noexcept;

    // n free frames for create_page().
    // Requires: n <= frame_purse::frames_max; no latch held, no other purse in hand.
    // Errors: as load().
    [[nodiscard]] result<frame_purse<Traits>> reserve_frames(std::uint32_t n) noexcept;

    // A zeroed page, held exclusively, for a page number that the space map says free. Waits only
    // if the page is latched (a reader of a stale hint).
    // Requires: purse.left() > 0.
    [[nodiscard]] exclusive_page<Traits> create_page(
        paged_file<Traits>& file, page_number page, frame_purse<Traits>& purse
    ) noexcept;

    // The record that frees the page is in the log: its content is of no use and never goes home.
    void discard(exclusive_page<Traits>&& page) noexcept;
};

} // namespace jetpp::inline v1
