// jetpp/txn/credit.hpp - how a transaction keeps log credit in hand.
//
// A credit is log space taken before the first latch. A transaction tops its own up before each
// operation and keeps the rest: with a roomy ring in steps, so that most operations ask nobody. Once
// half of the ring is held so, everybody takes what he needs and keeps nothing: transactions that
// rest between two operations, however many, do not keep others from writing.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/log/log_writer.hpp>

#include <cstdint>

namespace jetpp::inline v1 {

// Afterwards the credit holds at least `needed` bytes. Requires: no latch held.
// Errors: disk_full, log_failed, busy.
template <any_environment Env>
[[nodiscard]] result<void> hold_credit(
    log_writer<Env>& log,
    log_credit& credit,
    std::uint32_t needed,
    credit_use use = credit_use::ordinary
) noexcept {
    if (credit.left >= needed) return ok();
    constexpr auto step = std::uint32_t{16} << 10;
    auto wanted = needed - credit.left;
    if (wanted < step && log.credit_bytes_max() >= 64 * step) wanted = step;
    // Nobody waits while he holds what others wait for.
    if (credit.left != 0) {
        wanted += credit.left;
        log.give_back(credit);
    }
    for (;;) {
        auto got = log.acquire(credit, wanted, use, needed);
        // Who must end a transaction waits until the others have given way.
        if (got || use == credit_use::ordinary || got.error().code != errc::busy) return got;
    }
}

// At the end of an operation: what others may need goes back. Of a roomy ring a step may be kept.
template <any_environment Env>
void trim_credit(log_writer<Env>& log, log_credit& credit) noexcept {
    constexpr auto step = std::uint32_t{16} << 10;
    if (log.credit_bytes_max() < 64 * step || credit.left > step || log.is_credit_scarce())
        log.give_back(credit);
}

} // namespace jetpp::inline v1
