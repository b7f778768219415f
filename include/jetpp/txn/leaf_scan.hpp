// jetpp/txn/leaf_scan.hpp - a range of rows at one snapshot, a leaf at a time.
//
// Each leaf is copied whole under its latch; rows whose version the reader must not see are
// resolved in the same moment into overrides. Afterwards rows are handed out of the copy: no latch,
// lock or frame is held while the caller works, and nothing he does to the tree disturbs the copy.
// The next leaf is found by the fence of this one: positions are keys, so splits and merges in
// between change nothing.
// Invariants
//   * keys come in strict order, each once
//   * own changes made after the scan began are not seen (no Halloween problem)
// Threads  one at a time. Complexity: one descent a leaf.
// Owns     the copy, the overrides, the key buffer.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/page_view.hpp>
#include <jetpp/txn/transaction_system.hpp>
#include <jetpp/txn/visibility.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
class leaf_scan {
    using view_type = page_view<Traits::page_size>;

public:
    struct bounds {
        const_bytes from{}; // inclusive
        const_bytes to{};   // exclusive
        bool has_from{};
        bool has_to{};
        bool backward{};
    };

    // Copies the bounds. Errors: out_of_memory.
    [[nodiscard]] static result<leaf_scan> create(
        transaction_system<Traits>& system,
        tree_place<Traits> const& place,
        read_view const& view,
        bounds const& range
    ) noexcept {
        auto made = leaf_scan{system, place, view};
        BOOST_OUTCOME_TRY(made.page_, aligned_buffer::create(Traits::page_size));
        made.backward_ = range.backward;
        made.has_from_ = range.has_from;
        made.has_to_ = range.has_to;
        auto const& start = range.backward ? range.to : range.from;
        made.has_position_ = range.backward ? range.has_to : range.has_from;
        if (!made.from_.append(range.from) || !made.to_.append(range.to) ||
            !made.position_.append(start))
            return error{.code = errc::out_of_memory};
        return made;
    }

    // Moves to the next row. Returns: false at the end, for ever after.
    // Errors: those of btree::read_leaf, out_of_memory. Views of the row before die here.
    [[nodiscard]] result<bool> next() noexcept {
        while (!ended_) {
            if (!leaf_open_) {
                BOOST_OUTCOME_TRY(open_leaf());
            }
            if (ended_) break;
            BOOST_OUTCOME_TRY(auto const found, backward_ ? step_back() : step_forward());
            if (found) return true;
            BOOST_OUTCOME_TRY(leave_leaf());
        }
        return false;
    }

    // Requires: next() returned true last.
    [[nodiscard]] const_bytes key() const noexcept { return {key_.data(), key_.size()}; }
    [[nodiscard]] const_bytes value() const noexcept { return value_; }
    [[nodiscard]] bool is_indirect() const noexcept { return indirect_; }

    // The next row will be the first at or above `key` (backward: the last strictly below it),
    // within the bounds: a key outside them stands for the bound.
    [[nodiscard]] result<void> seek(const_bytes key) noexcept {
        if (!backward_ && has_from_ && compare_bytes(key, bytes_of(from_)) < 0)
            key = bytes_of(from_);
        if (backward_ && has_to_ && compare_bytes(bytes_of(to_), key) < 0) key = bytes_of(to_);
        position_.clear();
        if (!position_.append(key)) return error{.code = errc::out_of_memory};
        has_position_ = true;
        leaf_open_ = false;
        ended_ = false;
        return ok();
    }

private:
    struct row_override {
        std::uint32_t offset{};
        std::uint32_t length{};
        std::uint32_t slot{};
        bool none{};
        bool indirect{};
    };

    leaf_scan(
        transaction_system<Traits>& system, tree_place<Traits> const& place, read_view const& view
    ) noexcept
        : system_{&system}, place_{place}, view_{view} {}

    [[nodiscard]] const_bytes bytes_of(array_list<std::byte> const& list) const noexcept {
        return {list.data(), list.size()};
    }

    [[nodiscard]] result<void> open_leaf() noexcept {
        overrides_.clear();
        images_.clear();
        next_override_ = 0;
        auto const wanted = has_position_
                                ? (backward_ ? leaf_position::before(bytes_of(position_))
                                             : leaf_position::covering(bytes_of(position_)))
                                : (backward_ ? leaf_position::last() : leaf_position::first());
        auto resolved = result<void>{ok()};
        BOOST_OUTCOME_TRY(system_->trees()
                              .read_leaf(place_, wanted, [&](view_type const& leaf) noexcept {
                                  std::memcpy(page_.data(), leaf.data(), Traits::page_size);
                                  resolved = resolve_rows();
                              }));
        BOOST_OUTCOME_TRY(std::move(resolved));
        auto const leaf = view_type{page_.data()};
        rows_ = leaf.row_count();
        if (backward_) {
            slot_ = has_position_ ? leaf.search(bytes_of(position_)).slot : rows_;
            next_override_ = overrides_.size();
        } else {
            slot_ = has_position_ ? leaf.search(bytes_of(position_)).slot : std::uint32_t{0};
        }
        leaf_open_ = true;
        return ok();
    }

    // Under the latch of the leaf just copied.
    [[nodiscard]] result<void> resolve_rows() noexcept {
        auto const leaf = view_type{page_.data()};
        if (leaf.page_lsn() < view_.settled) return ok();
        for (std::uint32_t slot = 0; slot < leaf.row_count(); ++slot) {
            if (!has(leaf.row_flags_of(slot), row_flags::versioned)) continue;
            BOOST_OUTCOME_TRY(load_key(leaf, slot));
            auto item = row_override{.slot = slot};
            BOOST_OUTCOME_TRY(
                auto const source,
                resolve_row(
                    system_->versions(),
                    view_,
                    place_.file->id(),
                    place_.id,
                    key(),
                    [&](const_bytes image, bool indirect) noexcept -> result<void> {
                        item.offset = static_cast<std::uint32_t>(images_.size());
                        item.length = static_cast<std::uint32_t>(image.size());
                        item.indirect = indirect;
                        if (!images_.append(image)) return error{.code = errc::out_of_memory};
                        return ok();
                    }
                )
            );
            if (source == row_source::page) continue;
            item.none = source == row_source::none;
            if (!overrides_.push_back(item)) return error{.code = errc::out_of_memory};
        }
        return ok();
    }

    [[nodiscard]] result<void> load_key(view_type const& leaf, std::uint32_t slot) noexcept {
        if (!key_.resize(leaf.key_bytes(slot))) return error{.code = errc::out_of_memory};
        (void)leaf.copy_key(slot, {key_.data(), key_.size()});
        return ok();
    }

    // Loads the row of `slot`, if the reader sees one there.
    [[nodiscard]] result<bool> take(std::uint32_t slot, row_override const* changed) noexcept {
        auto const leaf = view_type{page_.data()};
        auto const flags = leaf.row_flags_of(slot);
        if (changed != nullptr ? changed->none : has(flags, row_flags::ghost)) return false;
        key_.truncate(0);
        BOOST_OUTCOME_TRY(load_key(leaf, slot));
        if (changed != nullptr) {
            value_ = const_bytes{images_.data(), images_.size()}.subspan(
                changed->offset, changed->length
            );
            indirect_ = changed->indirect;
        } else {
            value_ = leaf.value(slot);
            indirect_ = has(flags, row_flags::indirect);
        }
        return true;
    }

    [[nodiscard]] result<bool> step_forward() noexcept {
        while (slot_ < rows_) {
            auto const slot = slot_++;
            while (next_override_ < overrides_.size() && overrides_[next_override_].slot < slot)
                ++next_override_;
            auto const* changed =
                next_override_ < overrides_.size() && overrides_[next_override_].slot == slot
                    ? &overrides_[next_override_]
                    : nullptr;
            BOOST_OUTCOME_TRY(auto const seen, take(slot, changed));
            if (!seen) continue;
            if (has_to_ && compare_bytes(key(), bytes_of(to_)) >= 0) {
                ended_ = true;
                return false;
            }
            return true;
        }
        return false;
    }

    [[nodiscard]] result<bool> step_back() noexcept {
        while (slot_ > 0) {
            auto const slot = --slot_;
            while (next_override_ > 0 && overrides_[next_override_ - 1].slot > slot)
                --next_override_;
            auto const* changed = next_override_ > 0 && overrides_[next_override_ - 1].slot == slot
                                      ? &overrides_[next_override_ - 1]
                                      : nullptr;
            BOOST_OUTCOME_TRY(auto const seen, take(slot, changed));
            if (!seen) continue;
            if (has_from_ && compare_bytes(key(), bytes_of(from_)) < 0) {
                ended_ = true;
                return false;
            }
            return true;
        }
        return false;
    }

    [[nodiscard]] result<void> leave_leaf() noexcept {
        if (ended_) return ok();
        auto const leaf = view_type{page_.data()};
        auto const edge = backward_ ? leaf.lower_fence() : leaf.upper_fence();
        leaf_open_ = false;
        if (!edge) {
            ended_ = true;
            return ok();
        }
        if (backward_ ? has_from_ && compare_bytes(*edge, bytes_of(from_)) <= 0
                      : has_to_ && compare_bytes(*edge, bytes_of(to_)) >= 0) {
            ended_ = true;
            return ok();
        }
        position_.clear();
        if (!position_.append(*edge)) return error{.code = errc::out_of_memory};
        has_position_ = true;
        return ok();
    }

    transaction_system<Traits>* system_;
    tree_place<Traits> place_;
    read_view view_;
    aligned_buffer page_;
    array_list<std::byte> from_;
    array_list<std::byte> to_;
    array_list<std::byte> position_; // where the next leaf is sought
    array_list<std::byte> key_;      // of the current row
    array_list<std::byte> images_;
    array_list<row_override> overrides_; // in slot order
    const_bytes value_{};
    std::size_t next_override_ = 0;
    std::uint32_t slot_ = 0;
    std::uint32_t rows_ = 0;
    bool backward_ = false;
    bool has_from_ = false;
    bool has_to_ = false;
    bool has_position_ = false;
    bool leaf_open_ = false;
    bool ended_ = false;
    bool indirect_ = false;
};

} // namespace jetpp::inline v1
