// jetpp/simulation/fault_plan.hpp - which storage call goes wrong, and how.
//
// Faults are counted, not only drawn: "the 7th sync of jet.log fails once" is a fault, so that a
// test can walk n = 1, 2, 3 ... until the workload finishes unharmed. Images stay pristine: a
// fault is a rule over calls, and clear() switches it off.
// Threads  one.
#pragma once

#include <jetpp/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jetpp::inline v1 {

// Every call of the storage seam that the simulator counts. Values are bits: faults take sets.
enum class storage_call : std::uint32_t {
    open_dir = 1 << 0,
    open = 1 << 1,
    list = 1 << 2,
    rename = 1 << 3,
    remove = 1 << 4,
    sync_dir = 1 << 5,
    acquire_lock = 1 << 6,
    space = 1 << 7,
    map_ring = 1 << 8,
    read = 1 << 9,
    write = 1 << 10,
    sync = 1 << 11,
    size = 1 << 12,
    allocate = 1 << 13,
    truncate = 1 << 14,
    close = 1 << 15,
    create = 1 << 16, // an open that may make the file
    link = 1 << 17,
};

class storage_calls {
public:
    constexpr storage_calls(storage_call call) noexcept : bits_{static_cast<std::uint32_t>(call)} {}
    [[nodiscard]] static constexpr storage_calls any() noexcept { return storage_calls{~0u}; }
    // Those that can change what a crash leaves: crash_at_change() counts these.
    [[nodiscard]] static constexpr storage_calls changes() noexcept;
    [[nodiscard]] constexpr bool has(storage_call call) const noexcept {
        return (bits_ & static_cast<std::uint32_t>(call)) != 0;
    }
    friend constexpr storage_calls operator|(storage_calls a, storage_calls b) noexcept {
        return storage_calls{a.bits_ | b.bits_};
    }

private:
    explicit constexpr storage_calls(std::uint32_t bits) noexcept : bits_{bits} {}
    std::uint32_t bits_;
};
[[nodiscard]] constexpr storage_calls operator|(storage_call a, storage_call b) noexcept {
    return storage_calls{a} | storage_calls{b};
}
constexpr storage_calls storage_calls::changes() noexcept {
    using enum storage_call;
    return create | rename | link | remove | sync_dir | map_ring | write | sync | allocate |
           truncate;
}

[[nodiscard]] constexpr std::string_view name_of(storage_call call) noexcept {
    switch (call) {
    case storage_call::open_dir: return "open_dir";
    case storage_call::open: return "open";
    case storage_call::list: return "list";
    case storage_call::rename: return "rename";
    case storage_call::remove: return "remove";
    case storage_call::sync_dir: return "sync_dir";
    case storage_call::acquire_lock: return "acquire_lock";
    case storage_call::space: return "space";
    case storage_call::map_ring: return "map_ring";
    case storage_call::read: return "read";
    case storage_call::write: return "write";
    case storage_call::sync: return "sync";
    case storage_call::size: return "size";
    case storage_call::allocate: return "allocate";
    case storage_call::truncate: return "truncate";
    case storage_call::close: return "close";
    case storage_call::create: return "create";
    case storage_call::link: return "link";
    }
    return "unknown";
}

// What a failed sync of a file leaves behind (Rebello et al., "Can Applications Recover from fsync
// Failures?", ATC 2020). In all three the next sync says ok and the device has the old bytes.
enum class sync_failure : std::uint8_t {
    revert,          // reads see the old bytes at once
    keep_clean,      // reads see the new bytes, for as long as the cache lives
    keep_until_evict // reads see the new bytes until a drawn moment, then the old ones
};

// What a write that failed leaves of its sectors.
enum class write_failure : std::uint8_t { old_bytes, mixed, garbage };

struct storage_fault {
    enum class effect_type : std::uint8_t {
        fail,      // the call answers `answer`
        lose,      // a write or sync says ok and does nothing
        misdirect, // a write lands `distance` bytes further
        crash,     // the machine stops in this call
    };
    static constexpr std::uint64_t for_ever = ~std::uint64_t{0};

    storage_calls calls = storage_calls::any();
    std::string name{};      // only files and directories whose name contains this
    std::uint64_t nth = 1;   // the n-th such call from now on
    std::uint64_t times = 1; // and how many after it
    effect_type effect = effect_type::fail;
    error answer{.code = errc::io, .os_errno = 5};
    std::uint64_t distance = 4096;
};

class fault_plan {
public:
    void add(storage_fault fault) { rules_.push_back(std::move(fault)); }
    void clear() noexcept { rules_.clear(); }
    [[nodiscard]] bool empty() const noexcept { return rules_.empty(); }
    [[nodiscard]] std::uint64_t injected_count() const noexcept { return injected_; }

    // Counts the call in every rule it matches; the first rule that is due decides.
    [[nodiscard]] std::optional<storage_fault> next(storage_call call, std::string_view name) {
        auto due = std::optional<storage_fault>{};
        for (auto& rule : rules_) {
            if (!rule.calls.has(call)) continue;
            if (!rule.name.empty() && name.find(rule.name) == name.npos) continue;
            if (rule.nth > 1) {
                --rule.nth;
            } else if (rule.times != 0) {
                if (rule.times != storage_fault::for_ever) --rule.times;
                if (!due) due = rule;
            }
        }
        if (due) ++injected_;
        return due;
    }

private:
    std::vector<storage_fault> rules_;
    std::uint64_t injected_ = 0;
};

} // namespace jetpp::inline v1
