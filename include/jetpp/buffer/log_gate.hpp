// jetpp/buffer/log_gate.hpp - the four things a page pool asks of a log.
//
// A value of three function pointers, not a template parameter: recovery redoes pages under a log
// that has an end and no writer yet (sealed_log), and hands the same pool over to the log writer
// afterwards. Each call stands beside an I/O, so the indirection costs nothing that can be seen.
// Threads   as the log behind it.
// Lifetime  the log outlives the gate.
#pragma once

#include <jetpp/core/ensure.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>

#include <concepts>
#include <cstdint>

namespace jetpp::inline v1 {

// A record at l is durable iff durable_lsn() > l; tail() is where the next record will start, or
// an earlier position.
template <class L>
concept write_ahead_log = requires(L& log, lsn at) {
    { log.durable_lsn() } noexcept -> std::same_as<lsn>;
    { log.tail() } noexcept -> std::same_as<lsn>;
    { log.wait_durable(at) } noexcept -> std::same_as<result<void>>;
};

// The log of a recovery: everything below `end` is durable, nothing will follow.
struct sealed_log {
    lsn end{};

    [[nodiscard]] lsn durable_lsn() const noexcept { return end; }
    [[nodiscard]] lsn tail() const noexcept { return end; }
    [[nodiscard]] result<void> wait_durable(lsn at) const noexcept {
        if (at < end) return ok();
        return error{.code = errc::log_failed, .at = at};
    }
};
static_assert(write_ahead_log<sealed_log>);

class log_gate {
public:
    template <write_ahead_log Log>
    log_gate(Log& log, std::uint64_t segment_bytes) noexcept
        : log_{&log}, segment_bytes_{segment_bytes},
          durable_{[](void* raw) noexcept { return static_cast<Log*>(raw)->durable_lsn(); }},
          tail_{[](void* raw) noexcept { return static_cast<Log*>(raw)->tail(); }},
          wait_{[](void* raw, lsn at) noexcept { return static_cast<Log*>(raw)->wait_durable(at); }
          } {
        ensure(segment_bytes != 0, "a log has segments");
    }

    [[nodiscard]] lsn durable_lsn() const noexcept { return durable_(log_); }
    [[nodiscard]] lsn tail() const noexcept { return tail_(log_); }
    // Never called with a latch held. Errors: log_failed.
    [[nodiscard]] result<void> wait_durable(lsn at) const noexcept { return wait_(log_, at); }
    // The raw end of the segment that holds `at`.
    [[nodiscard]] lsn segment_end(lsn at) const noexcept {
        return {(at.value / segment_bytes_ + 1) * segment_bytes_};
    }

private:
    void* log_;
    std::uint64_t segment_bytes_;
    lsn (*durable_)(void*) noexcept;
    lsn (*tail_)(void*) noexcept;
    result<void> (*wait_)(void*, lsn) noexcept;
};

} // namespace jetpp::inline v1
