// jetpp/buffer/detail/sticky_failure.hpp - the first error that puts durability in doubt, kept.
#pragma once

#include <jetpp/core/result.hpp>
#include <jetpp/env/sync.hpp>

#include <atomic>
#include <cstdint>

namespace jetpp::inline v1::detail {

template <class Traits>
class sticky_failure {
public:
    explicit sticky_failure(typename Traits::runtime runtime = {}) noexcept : lock_{runtime} {}

    void note(error const& why) noexcept {
        auto const lock = holding{lock_};
        if (failed_.load(std::memory_order_relaxed) != 0) return;
        first_ = why;
        failed_.store(1, std::memory_order_seq_cst);
    }
    [[nodiscard]] bool failed() const noexcept {
        return failed_.load(std::memory_order_seq_cst) != 0;
    }
    [[nodiscard]] error first() noexcept {
        auto const lock = holding{lock_};
        return first_;
    }
    // Errors: instance_failed, with where it began.
    [[nodiscard]] result<void> check() noexcept {
        if (!failed()) [[likely]]
            return ok();
        auto e = first();
        e.code = errc::instance_failed;
        return e;
    }

private:
    typename Traits::mutex lock_;
    error first_{};
    typename Traits::template atomic<std::uint32_t> failed_{0};
};

} // namespace jetpp::inline v1::detail
