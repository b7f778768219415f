// jetpp/btree/change.hpp - the words between a tree and who changes its rows.
//
// A tree knows pages, not transactions. Who writes a row hands btree::change() a guard, which is
// called under the exclusive latch of the leaf:
//
//     decide(row) --> row_change --> before_reserve(tail) --> [log record] --> logged(lsn) --> page
//        ^                |
//        +-- no room: split, without latches, then everything again
//
// decide() sees the row as it stands and says what to do; it may run several times (after every
// re-latch), so what it builds becomes real only in before_reserve() and logged(). Neither may
// allocate, block, or call user code; decide() may not block or do I/O either.
// Threads  a guard belongs to one change at a time.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/log_writer.hpp>
#include <jetpp/log/record.hpp>

#include <concepts>
#include <cstdint>

namespace jetpp::inline v1 {

// What stands under a key, as decide() sees it. `value` is a view into the latched page.
struct leaf_row {
    bool present{}; // a row or a ghost; the rest is meaningful only then
    bool ghost{};
    bool versioned{};
    bool indirect{};
    const_bytes value{};
    lsn page_lsn{}; // of the leaf, before the change
};

enum class change_kind : std::uint8_t {
    none,     // leave the row alone
    insert,   // no row, no ghost: a new row
    replace,  // a row: another value
    erase,    // a row: a ghost, its value stays under it
    erase_to, // a row: a ghost carrying `value` (compensation of a revive)
    revive,   // a ghost: a row with `value`
};

// `value` must stay readable until change() returns, and must not be a view into the page.
struct row_change {
    change_kind kind{change_kind::none};
    bool indirect{}; // `value` refers to a large value stored elsewhere
    const_bytes value{};
};

// header(): database and tree of the change, flags (system, compensation, first_of_transaction) and
// transaction; the type is the tree's business. Rows changed under a header without `system` get
// the `versioned` bit, at run time as in redo.
template <class G>
concept change_guard = requires(G& g, leaf_row const& row, lsn at) {
    { g.decide(row) } noexcept -> std::same_as<result<row_change>>;
    { g.header() } noexcept -> std::same_as<record_header>;
    { g.undo_lsn() } noexcept -> std::same_as<lsn>; // compensation: oldest record undone
    { g.before_reserve(at) } noexcept;              // `at`: a lower bound of the record's LSN
    { g.logged(at) } noexcept;                      // the record's LSN
    { g.credit() } noexcept -> std::same_as<log_credit&>;
};

// A guard may also say which ghosts nobody needs any more; a leaf without room then sheds them
// before it is split.
template <class G>
concept ghost_judge = requires(G& g, const_bytes key, bool versioned, lsn page_lsn) {
    { g.removable(key, versioned, page_lsn) } noexcept -> std::same_as<bool>;
};

// The guard of rows that belong to no transaction: one system record, no versions.
// Decide is a callable result<row_change>(leaf_row const&) noexcept.
template <class Decide>
class system_change {
public:
    system_change(database_id database, tree_id tree, log_credit& credit, Decide& decide) noexcept
        : database_{database}, tree_{tree}, credit_{&credit}, decide_{&decide} {}

    [[nodiscard]] result<row_change> decide(leaf_row const& row) noexcept {
        return (*decide_)(row);
    }
    [[nodiscard]] record_header header() noexcept {
        auto header = record_header{};
        header.flags = record_flags::system;
        header.database = database_;
        header.tree = tree_;
        return header;
    }
    [[nodiscard]] lsn undo_lsn() noexcept { return no_lsn; }
    void before_reserve(lsn) noexcept {}
    void logged(lsn at) noexcept { logged_at_ = at; }
    [[nodiscard]] log_credit& credit() noexcept { return *credit_; }
    [[nodiscard]] lsn logged_at() const noexcept { return logged_at_; }

private:
    database_id database_;
    tree_id tree_;
    log_credit* credit_;
    Decide* decide_;
    lsn logged_at_{};
};

} // namespace jetpp::inline v1
