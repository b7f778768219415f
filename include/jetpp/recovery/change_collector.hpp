// jetpp/recovery/change_collector.hpp - from records to committed transactions, in commit order.
//
// Fed with every record of a log, in order. The changes of a transaction are kept until it ends:
// handed out at its commit, dropped at its rollback. A compensation (of a rollback to a savepoint,
// or of a recovery) takes out the changes of its key at and above undo_lsn, as recovery does.
// Trees come and go by their rows in the catalogue, not by the marks beside them: rows are undone
// by compensations like others.
// Invariants
//   * what is handed out is whole: a transaction of which the beginning was not seen is not
//   * after the token of a transaction the stream goes on with the next one
// Memory   is bounded by buffered_bytes_max, over all transactions open at one time. There is no
//          spill file: past the bound it is limit_exceeded with the transaction's LSN, and the same
//          token with a larger bound goes on from there.
// Threads  one owner.
// Source   ARIES compensation records; logical decoding of PostgreSQL for the order of commits.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/log_record.hpp>
#include <jetpp/log/segment.hpp>
#include <jetpp/recovery/change_token.hpp>
#include <jetpp/recovery/detail/change_names.hpp>
#include <jetpp/recovery/detail/open_changes.hpp>
#include <jetpp/recovery/logged_change.hpp>
#include <jetpp/txn/catalogue_rows.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

// Which changes; empty members want all. Names are the reader's to compare: changes carry them.
struct change_filter {
    database_id database{};
    tree_id tree{};
    lsn transaction{}; // by the LSN of its first record

    [[nodiscard]] constexpr bool wants(database_id in, tree_id of, lsn by) const noexcept {
        return (database == no_database || database == in) && (tree == no_tree || tree == of) &&
               (!transaction || transaction == by);
    }
};

struct change_options {
    std::optional<change_token> after{}; // go on behind it; none: from the oldest record on
    // Transactions of which it leaves nothing are passed over, unless `empty` wants them too.
    change_filter filter{};
    bool empty = false;
    std::size_t buffered_bytes_max = std::size_t{64} << 20;
};

class change_collector {
public:
    explicit change_collector(change_options const& options) noexcept : options_{options} {
        if (options.after) token_ = *options.after;
    }
    change_collector(change_collector&&) noexcept = default;
    change_collector& operator=(change_collector&&) noexcept = default;

    // The next record of the log, and the segment it stands in.
    // Returns: whether transaction() is a new one to deal with.
    // Errors: limit_exceeded (buffered_bytes_max; at: the transaction), out_of_memory, log_foreign
    // (the token is of another instance), history_break (the token's commit is not in this log),
    // log_gap (a transaction committed whose beginning is not in this log; at: where it began),
    // log_corrupt, unsupported_record (values of a later version).
    [[nodiscard]] result<bool> see(
        segment_header const& segment, log_record const& record
    ) noexcept;

    [[nodiscard]] committed_transaction const& transaction() const noexcept { return current_; }
    // Of the last transaction handed out or passed over.
    [[nodiscard]] change_token const& token() const noexcept { return token_; }
    // Transactions whose commits lie in this log and whose beginnings do not, so that they were not
    // handed out. Only without a token: with one it is log_gap.
    [[nodiscard]] std::uint64_t skipped() const noexcept { return skipped_; }
    [[nodiscard]] std::size_t open_count() const noexcept { return open_.size(); }
    [[nodiscard]] std::size_t buffered_bytes() const noexcept { return open_.bytes(); }

    // For trees older than the log that is read. Errors: out_of_memory.
    [[nodiscard]] result<void> name_tree(
        database_id database, tree_id tree, std::string_view name
    ) noexcept {
        return names_.name_tree(database, tree, name);
    }

private:
    using open_transaction = detail::open_transaction;

    [[nodiscard]] static error problem(errc code, lsn at) noexcept {
        return {.code = code, .file = file_kind::log_segment, .at = at};
    }
    void let_go() noexcept;
    [[nodiscard]] result<void> check_history(
        segment_header const& segment, log_record const& record
    ) noexcept;
    [[nodiscard]] bool is_wanted(record_header const& header, const_bytes key) const noexcept;
    [[nodiscard]] result<void> keep(
        open_transaction& open, log_record const& record, logged_change const& change
    ) noexcept;
    [[nodiscard]] result<void> keep_row(open_transaction& open, log_record const& record) noexcept;
    [[nodiscard]] result<void> compensate(
        open_transaction& open, log_record const& record
    ) noexcept;
    [[nodiscard]] result<bool> commit(
        segment_header const& segment, log_record const& record, record::commit const& body
    ) noexcept;
    [[nodiscard]] result<void> finish(open_transaction const& done) noexcept;

    change_options options_;
    change_token token_{};
    bool started_ = false; // the start of the stream was passed
    bool joined_ = false;  // the token's commit was seen
    lsn start_{};
    std::uint64_t skipped_ = 0;

    detail::change_names names_;
    detail::open_changes open_;
    std::unique_ptr<open_transaction> given_; // owns what current_ views
    array_list<logged_change> changes_;
    committed_transaction current_{};
};

} // namespace jetpp::inline v1

#include <jetpp/recovery/detail/change_collector_bodies.hpp>
