// jetpp/buffer/header_copies.hpp - the two copies of a database header, and who may be written when.
//
// Layout: copy A at byte 0, copy B at byte 65536 of the file, 4096 bytes each. A reader takes the
// valid copy with the larger sequence.
// Invariants
//   * a torn write never costs both copies, nor the newest: a change of both begins with the copy
//     that is not the newest valid one, and the second is written after a sync of the first. (A
//     always first would, one crash later, fall back to an older state: "clean" after "dirty".)
//   * a change of one copy, the older, is for values whose former value is as safe; the caller's
//     next sync of the file covers it
//   * no copy is written while the other one is not known to be on the device
// Threads  one caller at a time (paged_file serialises).
// Owns     its buffer; not the file.
#pragma once

#include <jetpp/buffer/core_traits.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/page/database_header.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
class header_copies {
    using file_type = typename Traits::env::file;
    using runtime = typename Traits::runtime;

public:
    static constexpr std::size_t size = database_header::size;

    // Once, before anything else. Errors: out_of_memory.
    [[nodiscard]] result<void> create() noexcept {
        BOOST_OUTCOME_TRY(block_, aligned_buffer::create(2 * size));
        return ok();
    }

    // Errors: of storage; those of newest_of(), when neither copy can be used or one of them is of
    //     a later format.
    [[nodiscard]] result<void> read(file_type& file) noexcept {
        bool readable[2]{};
        auto first_error = error{};
        for (std::size_t i = 0; i < 2; ++i) {
            auto got = read_full(file, half(i), offset(i));
            readable[i] = got.has_value();
            if (got) continue;
            // An unreadable copy is a bad one: the other may do.
            std::memset(half(i).data(), 0, size);
            if (i == 0) first_error = got.error().with_file(file_kind::database);
        }
        auto best = newest_of(half(0), half(1));
        if (!best) return readable[0] ? best.error() : first_error;
        newest_ = best.value().from == header_copy::a ? 0 : 1;
        copies_[newest_] = best.value().header;
        valid_[newest_] = true;
        auto second = database_header::decode(half(1 - newest_));
        valid_[1 - newest_] = second.has_value();
        if (second) copies_[1 - newest_] = second.value();
        unsynced_ = none;
        former_life_ = true;
        return ok();
    }

    [[nodiscard]] database_header const& newest() const noexcept { return copies_[newest_]; }
    // One copy is bad, or says less than the other.
    [[nodiscard]] bool is_uneven() const noexcept {
        if (!valid_[0] || !valid_[1]) return true;
        return needs_both_copies(copies_[0], copies_[1]);
    }

    // A new file: both copies, the caller syncs.
    [[nodiscard]] result<void> write_first(file_type& file, database_header header) noexcept {
        for (std::size_t i = 0; i < 2; ++i) {
            header.sequence = i + 1;
            BOOST_OUTCOME_TRY(put(file, i, header));
        }
        return ok();
    }

    // change(database_header&) noexcept, then both copies, synced one after the other.
    // Returns after the second sync. Errors: of the file; the change is in doubt then.
    // Complexity: two writes of 4096 bytes, two syncs.
    template <class Change>
    [[nodiscard]] result<void> write_both(file_type& file, Change&& change) noexcept {
        BOOST_OUTCOME_TRY(settle(file));
        auto next = copies_[newest_];
        change(next);
        auto const first =
            runtime::sabotaged(sabotage::header_a_always_first) ? std::size_t{0} : 1 - newest_;
        auto const sequence = copies_[newest_].sequence;
        for (std::size_t step = 0; step < 2; ++step) {
            next.sequence = sequence + 1 + step;
            BOOST_OUTCOME_TRY(put(file, step == 0 ? first : 1 - first, next));
            if (auto done = file.sync(sync_how::data); !done)
                return done.error().with_file(file_kind::database);
        }
        return ok();
    }

    // The same for values that may fall back: the older copy, not synced.
    template <class Change>
    [[nodiscard]] result<void> write_older(file_type& file, Change&& change) noexcept {
        BOOST_OUTCOME_TRY(settle(file));
        auto const older = 1 - newest_;
        auto const before = valid_[older] ? copies_[older].min_required_lsn : no_lsn;
        auto next = copies_[newest_];
        change(next);
        ++next.sequence;
        BOOST_OUTCOME_TRY(put(file, older, next));
        unsynced_ = older;
        unsynced_floor_ = before;
        return ok();
    }
    // A sync that was called after write_older() returned has succeeded.
    void synced() noexcept { unsynced_ = none; }
    [[nodiscard]] bool has_unsynced() const noexcept { return unsynced_ != none; }

    // The smaller min_required_lsn of the copies as a reader may find them on the device.
    [[nodiscard]] lsn min_required_floor() const noexcept {
        auto floor = lsn{~std::uint64_t{0}};
        for (std::size_t i = 0; i < 2; ++i) {
            if (!valid_[i]) continue;
            floor = earlier(floor, copies_[i].min_required_lsn);
            if (i == unsynced_) floor = earlier(floor, unsynced_floor_);
        }
        return floor;
    }

private:
    static constexpr std::size_t none = 2;

    [[nodiscard]] static constexpr std::uint64_t offset(std::size_t which) noexcept {
        return which == 0 ? database_header::copy_a_offset : database_header::copy_b_offset;
    }
    [[nodiscard]] bytes half(std::size_t which) noexcept { return block_.part(which * size, size); }

    // While the newest copy may sit in a cache only (written and not synced, by us or by a process
    // that was killed), the other one is all there is: it is not touched before a sync.
    [[nodiscard]] result<void> settle(file_type& file) noexcept {
        if (unsynced_ == none && !former_life_) return ok();
        if (auto done = file.sync(sync_how::data); !done)
            return done.error().with_file(file_kind::database);
        former_life_ = false;
        synced();
        return ok();
    }
    [[nodiscard]] result<void> put(
        file_type& file, std::size_t which, database_header const& header
    ) noexcept {
        header.encode(half(which));
        if (auto done = write_full(file, half(which), offset(which)); !done)
            return done.error().with_file(file_kind::database);
        copies_[which] = header;
        valid_[which] = true;
        newest_ = which;
        return ok();
    }

    aligned_buffer block_; // of both copies
    database_header copies_[2]{};
    bool valid_[2]{};
    std::size_t newest_ = 0;
    std::size_t unsynced_ = none; // the copy that no sync has covered yet
    lsn unsynced_floor_{};        // what stood there before
    bool former_life_ = false;    // as read: nobody knows whether it was synced
};

} // namespace jetpp::inline v1
