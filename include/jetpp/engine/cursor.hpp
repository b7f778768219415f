// jetpp/engine/cursor.hpp - rows of a range, one after the other.
//
//     BOOST_OUTCOME_TRY(auto rows, view.scan(books, {.from = "a", .to = "n"}));
//     for (;;) {
//         BOOST_OUTCOME_TRY(bool more, rows.next());
//         if (!more) break;
//         use(rows.current().key);              // a view: it dies at the next next()
//     }
//
// next() carries the error, so that none is overlooked. While the caller works no latch, lock or
// page is held; he may change the tree, erase what he stands on, or use other cursors.
// Threads   one at a time. Lifetime: a cursor whose snapshot or transaction has ended says misuse.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/engine/bytes_view.hpp>
#include <jetpp/engine/engine_core.hpp>
#include <jetpp/txn/leaf_scan.hpp>

#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

// Views into the cursor's private copy.
struct row {
    std::string_view key, value;
};

// Keys from `from` (inclusive) to `to` (exclusive); absent = unbounded.
struct range {
    std::optional<std::string_view> from = {}, to = {};
    bool backward = false;
};

template <class Traits>
class [[nodiscard]] basic_cursor {
public:
    basic_cursor(basic_cursor&& other) noexcept
        : body_{std::exchange(other.body_, nullptr)}, scan_{std::move(other.scan_)} {}
    basic_cursor& operator=(basic_cursor&& other) noexcept {
        std::swap(body_, other.body_);
        std::swap(scan_, other.scan_);
        return *this;
    }
    ~basic_cursor() {
        if (body_ != nullptr) drop_dependent(body_);
    }

    // Moves to the next row of the range. Returns: false at the end.
    // Errors: misuse (moved from), snapshot_too_old, page_damaged, io, out_of_memory, tree_dropped.
    [[nodiscard]] result<bool> next() noexcept {
        if (body_ == nullptr || body_->ended) return error{.code = errc::misuse};
        BOOST_OUTCOME_TRY(auto const more, scan_.next());
        BOOST_OUTCOME_TRY(body_->check_current());
        return more;
    }
    // The next row is the first at or above `key`; backward: the last strictly below it. Never
    // leaves the range: a key outside it stands for its bound.
    [[nodiscard]] result<void> seek(bytes_view key) noexcept {
        if (body_ == nullptr || body_->ended) return error{.code = errc::misuse};
        return scan_.seek(key.raw());
    }
    // Requires: next() returned true last.
    [[nodiscard]] row current() const& noexcept {
        return {.key = as_text(scan_.key()), .value = as_text(scan_.value())};
    }
    row current() const&& = delete;

private:
    template <class>
    friend class basic_reads;
    basic_cursor(snapshot_body<Traits>& body, leaf_scan<Traits>&& scan) noexcept
        : body_{&body}, scan_{std::move(scan)} {
        ++body.dependents;
    }

    snapshot_body<Traits>* body_;
    leaf_scan<Traits> scan_;
};

} // namespace jetpp::inline v1
