// jetpp/backup/tee_sink.hpp - one backup into several sinks at once: read once, kept twice.
//
//     auto both = tee_sink{repository_here, stream_elsewhere};
//
// Stands behind compression and encryption: every branch gets the same bytes.
// Invariants
//   * the receipt is that of the weakest branch: durable only if every branch is
//   * a branch that fails ends the backup; a set that another branch has published already stays,
//     and no header names it
// Threads  one caller at a time; branches are called one after the other.
// Owns     nothing; the branches outlive it.
// Source   backup rule R26.
#pragma once

#include <jetpp/backup/sink.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <utility>

namespace jetpp::inline v1 {

template <backup_sink... Sinks>
    requires(sizeof...(Sinks) >= 1)
class tee_sink {
    static_assert(
        (!proving_sink<Sinks> && ...),
        "jetpp: a drill stands before the tee, not in a branch of it: drill_sink{tee_sink{...}}"
    );

public:
    explicit tee_sink(Sinks&... branches) noexcept : branches_{&branches...} {}

    [[nodiscard]] backup_receipt receipt() {
        auto weakest = backup_receipt::durable;
        std::apply(
            [&](auto*... one) { ((weakest = std::max(weakest, one->receipt())), ...); }, branches_
        );
        return weakest;
    }
    [[nodiscard]] result<void> begin(set_name const& name) {
        states_.fill(state::untouched);
        return each([&](auto& one, state& now) -> result<void> {
            now = state::begun; // also if it fails half way: abandon() is then its business
            return one.begin(name);
        });
    }
    [[nodiscard]] result<void> open_part(std::string_view name) {
        return each([&](auto& one, state&) { return one.open_part(name); });
    }
    [[nodiscard]] result<void> write(const_bytes content) {
        return each([&](auto& one, state&) { return one.write(content); });
    }
    [[nodiscard]] result<void> close_part() {
        return each([](auto& one, state&) { return one.close_part(); });
    }
    [[nodiscard]] result<backup_receipt> finish(const_bytes manifest) {
        auto weakest = backup_receipt::durable;
        BOOST_OUTCOME_TRY(each([&](auto& one, state& now) -> result<void> {
            BOOST_OUTCOME_TRY(auto const got, one.finish(manifest));
            now = state::published;
            weakest = std::max(weakest, got);
            return ok();
        }));
        return weakest;
    }
    void abandon() {
        (void)each([](auto& one, state& now) -> result<void> {
            if (now != state::begun) return ok();
            now = state::untouched;
            // One that throws does not keep the others from cleaning up.
            (void)guarded([&]() -> result<void> {
                one.abandon();
                return ok();
            });
            return ok();
        });
    }

private:
    enum class state : unsigned char { untouched, begun, published };

    // Until one fails.
    template <class Call>
    [[nodiscard]] result<void> each(Call&& call) {
        return each(call, std::index_sequence_for<Sinks...>{});
    }
    template <class Call, std::size_t... I>
    [[nodiscard]] result<void> each(Call& call, std::index_sequence<I...>) {
        auto outcome = result<void>{ok()};
        (void)(... && (outcome = call(*std::get<I>(branches_), states_[I]), outcome.has_value()));
        return outcome;
    }

    std::tuple<Sinks*...> branches_;
    std::array<state, sizeof...(Sinks)> states_{};
};
static_assert(backup_sink<tee_sink<null_sink, memory_sink>>);
static_assert(
    backup_receipt::durable < backup_receipt::handed_over &&
    backup_receipt::handed_over < backup_receipt::discarded
);

} // namespace jetpp::inline v1
