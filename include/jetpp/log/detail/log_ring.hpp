// jetpp/log/detail/log_ring.hpp - the memory that records are built in, mapped twice in a row.
//
// A position v counts every byte that ever went through the ring; it names the byte v mod size.
// Invariants
//   * [v, v + size) is contiguous at at(v)
//   * bytes that are not reserved are zero
// Threads  positions are handed out and taken back by others; the bytes follow them.
// Owns     the mapping: of jet.ring at process level, of anonymous memory otherwise.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/double_mapping.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/log/ring_file.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

namespace jetpp::inline v1::detail {

// The length word of a record in the ring: its last store publishes the record.
inline void publish_length(std::byte* record, std::uint32_t length) noexcept {
    if constexpr (std::endian::native == std::endian::big) length = swap_bytes(length);
    std::atomic_ref<std::uint32_t>{*reinterpret_cast<std::uint32_t*>(record)}.store(
        length, std::memory_order_release
    );
}
[[nodiscard]] inline std::uint32_t published_length(std::byte* record) noexcept {
    auto length = std::atomic_ref<std::uint32_t>{*reinterpret_cast<std::uint32_t*>(record)}.load(
        std::memory_order_acquire
    );
    if constexpr (std::endian::native == std::endian::big) length = swap_bytes(length);
    return length;
}

template <any_environment Env>
class log_ring {
public:
    log_ring() noexcept = default;

    // Maps and zeroes. Errors: resource, out_of_memory, and those of map_ring.
    [[nodiscard]] result<void> open(
        typename Env::directory& directory, bool in_file, std::uint64_t ring_bytes
    ) noexcept {
        if (in_file) {
            auto mapped = directory.map_ring(ring_file_name, ring_header_bytes, ring_bytes);
            if (!mapped) return mapped.error().with_file(file_kind::ring);
            file_.emplace(std::move(mapped).value());
            header_ = file_->header();
            base_ = file_->ring();
        } else {
            BOOST_OUTCOME_TRY(auto backing, ring_backing::create(ring_header_bytes, ring_bytes));
            BOOST_OUTCOME_TRY(auto mapped, backing.map());
            memory_.emplace(std::move(mapped));
            base_ = memory_->ring();
        }
        mask_ = ring_bytes - 1;
        std::memset(base_, 0, static_cast<std::size_t>(ring_bytes));
        return ok();
    }

    [[nodiscard]] std::byte* at(std::uint64_t v) const noexcept {
        return base_ + static_cast<std::size_t>(v & mask_);
    }
    [[nodiscard]] std::uint64_t size() const noexcept { return mask_ + 1; }
    [[nodiscard]] bool outlives_process() const noexcept { return header_ != nullptr; }

    void zero(std::uint64_t from, std::uint64_t to) noexcept {
        ensure(from <= to && to - from <= size(), "no more than one lap of the ring is freed");
        std::memset(at(from), 0, static_cast<std::size_t>(to - from));
    }
    void write_header(ring_file_header const& header) noexcept {
        if (header_ != nullptr) header.encode(header_);
    }
    void write_entry(ring_entry const& entry) noexcept {
        if (header_ != nullptr) entry.encode(header_);
    }

private:
    std::optional<typename Env::ring> file_;
    std::optional<double_mapping> memory_;
    std::byte* header_ = nullptr; // nullptr: memory only
    std::byte* base_ = nullptr;
    std::uint64_t mask_ = 0;
};

} // namespace jetpp::inline v1::detail
