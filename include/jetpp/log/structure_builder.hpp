// jetpp/log/structure_builder.hpp - writes the parts of a structure record into a caller's buffer.
//
//     auto build = structure_builder{buffer};                  // e.g. record_size_max(page) bytes
//     build.begin_part({.page = left, .prev_page_lsn = old}).cut_right(slot, fence, child);
//     build.begin_part({.page = fresh, .flags = part_flags::format}).format(f, n, row_source);
//     log.append(credit, header, build.structure(structure_op::split), hook);
//
// Invariants
//   * one part a page: a second begin_part of a page is our own mistake and ends the process
//   * too small a buffer is remembered, not written past: ask fits() before structure()
// Owns     nothing; the buffer must outlive the record that views it.
// Threads  one owner.
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/log/records_space.hpp>
#include <jetpp/log/structure_parts.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace jetpp::inline v1 {

class structure_builder {
public:
    explicit structure_builder(bytes buffer) noexcept : buffer_{buffer} {}

    structure_builder& begin_part(page_part const& part) noexcept {
        ensure(part_count_ < structure_parts_max, "a structure record has few parts");
        require_new_page(part.page);
        part_at_ = used_;
        ++part_count_;
        auto* at = take(structure_part_size);
        if (at == nullptr) return *this;
        encode_part(at, part);
        std::memset(at + page_part_size, 0, structure_part_size - page_part_size);
        return *this;
    }

    // Makes a page from nothing. row_source(i) returns the moved_row of slot i, i < row_count.
    // `shape.rows` is not looked at.
    template <class RowSource>
    structure_builder& format(
        format_action const& shape, std::uint16_t row_count, RowSource&& row_source
    ) noexcept {
        auto const action = begin_action(action_kind::format, row_count);
        if (auto* at = take(20); at != nullptr) {
            at[0] = static_cast<std::byte>(shape.kind);
            at[1] = static_cast<std::byte>(shape.level);
            store_le<std::uint16_t>(at + 2, shape.page_flags);
            store_le<std::uint32_t>(at + 4, shape.tree.value);
            store_le<std::uint32_t>(at + 8, shape.upper_child.value);
            store_le<std::uint16_t>(at + 12, fence_size(shape.lower_fence));
            store_le<std::uint16_t>(at + 14, fence_size(shape.upper_fence));
            store_le<std::uint32_t>(at + 16, 0);
        }
        if (shape.lower_fence) put(*shape.lower_fence);
        if (shape.upper_fence) put(*shape.upper_fence);
        for (std::uint16_t i = 0; i < row_count; ++i) put_row(row_source(i));
        end_action(action);
        return *this;
    }
    structure_builder& format(format_action const& shape) noexcept {
        return format(shape, 0, [](std::uint16_t) { return moved_row{}; });
    }

    structure_builder& cut_right(
        std::uint16_t first_slot, std::optional<const_bytes> upper_fence, page_number upper_child
    ) noexcept {
        auto const action = begin_action(action_kind::cut_right, first_slot);
        put_upper(upper_fence, upper_child);
        end_action(action);
        return *this;
    }

    structure_builder& add_child(
        std::uint16_t slot, page_number child, const_bytes separator_suffix
    ) noexcept {
        auto const action = begin_action(action_kind::add_child, slot);
        if (auto* at = take(8); at != nullptr) {
            store_le<std::uint32_t>(at, child.value);
            store_le<std::uint32_t>(at + 4, static_cast<std::uint32_t>(separator_suffix.size()));
        }
        put(separator_suffix);
        end_action(action);
        return *this;
    }

    // slot no_slot: the upper child.
    structure_builder& set_child(std::uint16_t slot, page_number child) noexcept {
        auto const action = begin_action(action_kind::set_child, slot);
        if (auto* at = take(8); at != nullptr) {
            store_le<std::uint32_t>(at, child.value);
            store_le<std::uint32_t>(at + 4, 0);
        }
        end_action(action);
        return *this;
    }

    structure_builder& drop_children(std::span<dropped_child const> children) noexcept {
        auto const count = static_cast<std::uint16_t>(children.size());
        auto const action = begin_action(action_kind::drop_children, count);
        for (auto const& one : children) {
            auto* at = take(8);
            if (at == nullptr) break;
            store_le<std::uint16_t>(at, one.slot);
            store_le<std::uint16_t>(at + 2, 0);
            store_le<std::uint32_t>(at + 4, one.child.value);
        }
        end_action(action);
        return *this;
    }

    template <class RowSource>
    structure_builder& append(
        std::optional<const_bytes> upper_fence,
        page_number upper_child,
        std::uint16_t row_count,
        RowSource&& row_source
    ) noexcept {
        auto const action = begin_action(action_kind::append, row_count);
        put_upper(upper_fence, upper_child);
        for (std::uint16_t i = 0; i < row_count; ++i) put_row(row_source(i));
        end_action(action);
        return *this;
    }

    structure_builder& map_bits(std::span<map_run const> runs) noexcept {
        auto const count = static_cast<std::uint16_t>(runs.size());
        auto const action = begin_action(action_kind::map_bits, count);
        put_runs(runs);
        end_action(action);
        return *this;
    }

    structure_builder& empty_inner() noexcept {
        end_action(begin_action(action_kind::empty_inner, 0));
        return *this;
    }

    // Did everything fit the buffer?
    [[nodiscard]] bool fits() const noexcept { return !overflowed_; }
    [[nodiscard]] std::uint16_t part_count() const noexcept { return part_count_; }
    [[nodiscard]] const_bytes parts() const noexcept { return buffer_.first(used_); }

    // Requires: fits(). The record views the buffer.
    [[nodiscard]] record::structure structure(structure_op op) const noexcept {
        ensure(fits(), "a structure record fits its buffer");
        return {.op = op, .part_count = part_count_, .parts = parts()};
    }

private:
    [[nodiscard]] std::byte* take(std::size_t count) noexcept {
        if (overflowed_ || count > buffer_.size() - used_) {
            overflowed_ = true;
            return nullptr;
        }
        auto* at = buffer_.data() + used_;
        used_ += count;
        return at;
    }
    void put(const_bytes raw) noexcept {
        if (raw.empty()) return;
        if (auto* at = take(raw.size()); at != nullptr) std::memcpy(at, raw.data(), raw.size());
    }
    void put_row(moved_row const& row) noexcept {
        auto* at = take(moved_row_size);
        if (at == nullptr) return;
        auto const suffix_size = row.suffix_head.size() + row.suffix.size();
        store_le<std::uint16_t>(at, row.flags);
        store_le<std::uint16_t>(at + 2, static_cast<std::uint16_t>(suffix_size));
        store_le<std::uint16_t>(at + 4, static_cast<std::uint16_t>(row.value.size()));
        store_le<std::uint16_t>(at + 6, 0);
        put(row.suffix_head);
        put(row.suffix);
        put(row.value);
    }
    void put_upper(std::optional<const_bytes> separator_fence, page_number child) noexcept {
        if (auto* at = take(8); at != nullptr) {
            store_le<std::uint16_t>(at, fence_size(separator_fence));
            store_le<std::uint16_t>(at + 2, 0);
            store_le<std::uint32_t>(at + 4, child.value);
        }
        if (separator_fence) put(*separator_fence);
    }
    void put_runs(std::span<map_run const> runs) noexcept {
        for (auto const& run : runs) {
            auto* at = take(8);
            if (at == nullptr) return;
            encode_map_run(at, run);
        }
    }
    [[nodiscard]] static std::uint16_t fence_size(std::optional<const_bytes> key) noexcept {
        return key ? static_cast<std::uint16_t>(key->size()) : infinite_fence;
    }

    // Returns: where the action begins.
    [[nodiscard]] std::size_t begin_action(action_kind kind, std::uint16_t argument) noexcept {
        ensure(part_count_ != 0, "an action belongs to a part");
        auto const begin = used_;
        if (auto* at = take(structure_action_size); at != nullptr) {
            store_le<std::uint16_t>(at, static_cast<std::uint16_t>(kind));
            store_le<std::uint16_t>(at + 2, argument);
            store_le<std::uint32_t>(at + 4, 0);
        }
        return begin;
    }
    // Pads the action and sets its length, and count and length in its part.
    void end_action(std::size_t begin) noexcept {
        auto const content = used_ - begin - structure_action_size;
        auto const padding = padded(content) - content;
        if (auto* at = overflowed_ ? nullptr : take(padding); at != nullptr)
            std::memset(at, 0, padding);
        if (overflowed_) return;
        store_le<std::uint32_t>(buffer_.data() + begin + 4, static_cast<std::uint32_t>(content));
        auto* part = buffer_.data() + part_at_;
        auto const count = load_le<std::uint16_t>(part + 24);
        store_le<std::uint16_t>(part + 24, static_cast<std::uint16_t>(count + 1));
        store_le<std::uint32_t>(
            part + 28, static_cast<std::uint32_t>(used_ - part_at_ - structure_part_size)
        );
    }

    void require_new_page(page_number page) const noexcept {
        if (overflowed_) return;
        auto const walked = for_each_part(
            parts(),
            part_count_,
            [&](page_part const& part, std::uint16_t, const_bytes) {
                ensure(part.page != page, "a structure record has at most one part a page");
            }
        );
        ensure(walked.has_value(), "a structure under construction is well formed");
    }

    bytes buffer_;
    std::size_t used_ = 0;
    std::size_t part_at_ = 0;
    std::uint16_t part_count_ = 0;
    bool overflowed_ = false;
};

// The parts of page_free and page_alloc, in the same way.
class map_parts_builder {
public:
    explicit map_parts_builder(bytes buffer) noexcept : buffer_{buffer} {}

    map_parts_builder& add(page_part const& part, std::span<map_run const> runs) noexcept {
        ensure(part_count_ < structure_parts_max, "a map record has few parts");
        auto const size = structure_part_size + 8 * runs.size();
        if (overflowed_ || size > buffer_.size() - used_) {
            overflowed_ = true;
            return *this;
        }
        auto* at = buffer_.data() + used_;
        encode_part(at, part);
        store_le<std::uint64_t>(at + 24, runs.size()); // n u16, zero 6
        for (std::size_t i = 0; i < runs.size(); ++i) encode_map_run(at + 32 + 8 * i, runs[i]);
        used_ += size;
        ++part_count_;
        ensure(
            detail::check_map_parts(buffer_.first(used_), part_count_).has_value(),
            "a map record has at most one part a page"
        );
        return *this;
    }

    [[nodiscard]] bool fits() const noexcept { return !overflowed_; }
    [[nodiscard]] std::uint16_t part_count() const noexcept { return part_count_; }
    [[nodiscard]] const_bytes parts() const noexcept { return buffer_.first(used_); }

private:
    bytes buffer_;
    std::size_t used_ = 0;
    std::uint16_t part_count_ = 0;
    bool overflowed_ = false;
};

} // namespace jetpp::inline v1
