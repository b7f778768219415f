// jetpp/engine/reads.hpp - what a snapshot and a transaction have in common: looking.
//
// Both see one moment: everything committed at or below at(), and a transaction its own changes.
// Not constructible by users, so that a transaction cannot be sliced into a snapshot.
// Threads   one thread at a time, any thread.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/engine/bytes_view.hpp>
#include <jetpp/engine/cursor.hpp>
#include <jetpp/engine/engine_core.hpp>
#include <jetpp/engine/value_buffer.hpp>
#include <jetpp/txn/row_reader.hpp>

#include <atomic>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

namespace jetpp::inline v1 {

template <class Traits>
class basic_reads {
public:
    // Returns: whether the row exists; its value is then in `into`.
    // Errors: misuse, tree_dropped, snapshot_too_old, page_damaged, io, out_of_memory.
    // Complexity: one descent; no allocation once `into` has grown.
    [[nodiscard]] result<bool> get(tree from, bytes_view key, value_buffer& into) const noexcept {
        auto* const body = looking();
        if (body == nullptr) return error{.code = errc::misuse};
        into.clear();
        BOOST_OUTCOME_TRY(auto const place, body->core->place_of(from, body->view.at));
        BOOST_OUTCOME_TRY(
            auto const seen,
            read_row(
                body->core->transactions(),
                body->view,
                place,
                key.raw(),
                [&](const_bytes value, bool) noexcept { return into.assign(value); }
            )
        );
        BOOST_OUTCOME_TRY(body->check_current());
        return seen;
    }

    // The same with a string of its own: convenient, and an allocation a call.
    [[nodiscard]] result<std::optional<std::string>> get(tree from, bytes_view key) const {
        auto value = value_buffer{};
        BOOST_OUTCOME_TRY(auto const seen, get(from, key, value));
        if (!seen) return std::optional<std::string>{};
        return std::optional<std::string>{std::string{value.text()}};
    }

    // A cursor before the first row of the range. The bounds are copied.
    // Errors: misuse, tree_dropped, out_of_memory.
    [[nodiscard]] result<basic_cursor<Traits>> scan(tree from, range wanted = {}) const& noexcept {
        auto* const body = looking();
        if (body == nullptr) return error{.code = errc::misuse};
        BOOST_OUTCOME_TRY(auto const place, body->core->place_of(from, body->view.at));
        auto view = body->view;
        if (auto* const state = writing_state(); state != nullptr) {
            // Changes the transaction makes from here on are not met by this cursor.
            view.own_end = state->position + 1;
            state->merge_barrier = state->position;
        }
        auto bounds = typename leaf_scan<Traits>::bounds{
            .has_from = wanted.from.has_value(),
            .has_to = wanted.to.has_value(),
            .backward = wanted.backward,
        };
        if (wanted.from) bounds.from = as_bytes(*wanted.from);
        if (wanted.to) bounds.to = as_bytes(*wanted.to);
        BOOST_OUTCOME_TRY(
            auto made, leaf_scan<Traits>::create(body->core->transactions(), place, view, bounds)
        );
        return basic_cursor<Traits>{*body, std::move(made)};
    }
    result<basic_cursor<Traits>> scan(tree, range = {}) const&& = delete;

    // Calls visit(row) for each row of the range; no page or lock is held meanwhile.
    template <std::invocable<row> Visit>
    [[nodiscard]] result<void> for_each(tree from, range wanted, Visit&& visit) const {
        BOOST_OUTCOME_TRY(auto rows, this->scan(from, wanted));
        for (;;) {
            BOOST_OUTCOME_TRY(auto const more, rows.next());
            if (!more) return ok();
            visit(rows.current());
        }
    }

    // The moment this handle sees: the LSN of the newest commit in it.
    [[nodiscard]] lsn at() const noexcept {
        auto* const body = looking();
        return body != nullptr ? body->view.at : no_lsn;
    }

protected:
    basic_reads() noexcept = default;
    explicit basic_reads(snapshot_body<Traits>* body, transaction_state* state = nullptr) noexcept
        : body_{body}, state_{state} {}
    basic_reads(basic_reads&& other) noexcept
        : body_{std::exchange(other.body_, nullptr)}, state_{std::exchange(other.state_, nullptr)} {
    }
    basic_reads& operator=(basic_reads&& other) noexcept {
        std::swap(body_, other.body_);
        std::swap(state_, other.state_);
        return *this;
    }
    ~basic_reads() = default;

    [[nodiscard]] snapshot_body<Traits>* looking() const noexcept { return body_; }
    [[nodiscard]] transaction_state* writing_state() const noexcept { return state_; }
    void let_go() noexcept {
        body_ = nullptr;
        state_ = nullptr;
    }

private:
    snapshot_body<Traits>* body_ = nullptr;
    transaction_state* state_ = nullptr;
};

// A moment, read only. Registered until destroyed: the versions it needs are kept, unless the
// history budget is exceeded; then its next call says snapshot_too_old.
template <class Traits>
class [[nodiscard]] basic_snapshot : public basic_reads<Traits> {
public:
    basic_snapshot(basic_snapshot&&) noexcept = default;
    basic_snapshot& operator=(basic_snapshot&&) noexcept = default;
    ~basic_snapshot() {
        auto* const body = this->looking();
        if (body == nullptr) return;
        body->core->transactions().people().end_snapshot(body->place);
        body->core->open_snapshots.fetch_sub(1, std::memory_order_seq_cst);
        end_body(body);
    }

    // Errors: out_of_memory, instance_failed, busy (a database is being detached).
    [[nodiscard]] static result<basic_snapshot> begin(engine_core<Traits>& core) noexcept {
        BOOST_OUTCOME_TRY(core.check_alive());
        BOOST_OUTCOME_TRY(core.enter(core.open_snapshots));
        auto* const body = new (std::nothrow) snapshot_body<Traits>{};
        if (body == nullptr) {
            core.open_snapshots.fetch_sub(1, std::memory_order_seq_cst);
            return error{.code = errc::out_of_memory};
        }
        body->core = &core;
        core.transactions().people().begin_snapshot(body->place);
        body->view = {.at = body->place.at, .settled = body->place.settled};
        return basic_snapshot{body};
    }

private:
    explicit basic_snapshot(snapshot_body<Traits>* body) noexcept : basic_reads<Traits>{body} {}
};

} // namespace jetpp::inline v1
