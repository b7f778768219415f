// jetpp/log/named_pin.hpp - who keeps the log for himself, beyond the life of a process.
//
// A named pin stands in every slot of the checkpoint file: it holds the log from its place on,
// over close, crash and open, until its owner moves or releases it. An owner that never comes back
// would fill the disk, so each pin has a cap: once the log behind it is longer, the pin is broken.
// It then holds nothing, and keeps its place until its owner has heard of it and releases it.
// Threads  values.
// Source   backup rule R29; PostgreSQL's replication slots and max_slot_wal_keep_size.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/core/utf8.hpp>
#include <jetpp/env/file_name.hpp>
#include <jetpp/env/runtime.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace jetpp::inline v1 {

inline constexpr std::size_t named_pins_max = 16; // of an instance

enum class pin_kind : std::uint32_t {
    free = 0,
    standby = 1,
    change_reader = 2,
    resumable_backup = 3
};

[[nodiscard]] constexpr std::string_view name_of(pin_kind kind) noexcept {
    switch (kind) {
    case pin_kind::free: return "free";
    case pin_kind::standby: return "standby";
    case pin_kind::change_reader: return "change reader";
    case pin_kind::resumable_backup: return "backup";
    }
    return "unknown";
}

// Which pin: owners of two kinds may bear one name.
struct pin_id {
    static constexpr std::size_t name_bytes_max = 16;

    pin_kind kind = pin_kind::free;
    std::array<std::byte, 16> owner{}; // a name, zero padded, or a set uuid

    // Of a reader of changes, or a standby. Errors: invalid_argument: a name is 1 to 16 bytes of
    // UTF-8 without control characters and slashes.
    [[nodiscard]] static result<pin_id> of_reader(
        std::string_view name, pin_kind kind = pin_kind::change_reader
    ) noexcept {
        if (kind != pin_kind::change_reader && kind != pin_kind::standby)
            return error{.code = errc::invalid_argument};
        if (name.size() > name_bytes_max || !file_name::is_safe(name) || !is_utf8(name))
            return error{.code = errc::invalid_argument};
        auto made = pin_id{.kind = kind};
        std::memcpy(made.owner.data(), name.data(), name.size());
        return made;
    }
    [[nodiscard]] static pin_id of_backup(uuid const& set) noexcept {
        auto made = pin_id{.kind = pin_kind::resumable_backup};
        std::memcpy(made.owner.data(), set.raw.data(), made.owner.size());
        return made;
    }

    // As people call it: a name, or the 32 hex digits of a set. What is no name, because somebody
    // else wrote it, comes out in hex digits, too.
    [[nodiscard]] file_name text() const noexcept {
        auto const all = as_text(owner);
        auto const name = all.substr(0, std::min(all.find('\0'), all.size()));
        if (kind != pin_kind::resumable_backup && file_name::is_safe(name) && is_utf8(name))
            return file_name{}.add(name);
        auto raw = uuid{};
        std::memcpy(raw.raw.data(), owner.data(), owner.size());
        auto const hex = hex_of(raw);
        return file_name{}.add({hex.data(), hex.size()});
    }
    friend bool operator==(pin_id const&, pin_id const&) = default;
};

// Keeps the log from `at` on for an owner that outlives the process.
struct named_pin {
    static constexpr std::uint32_t broken = 1;

    std::array<std::byte, 16> owner{}; // a name, zero padded, or a set uuid
    lsn at{};
    std::uint64_t byte_cap{}; // kept log beyond it breaks the pin
    wall_time created_at{};
    pin_kind kind = pin_kind::free;
    std::uint32_t flags{};

    [[nodiscard]] pin_id id() const noexcept { return {.kind = kind, .owner = owner}; }
    [[nodiscard]] bool exists() const noexcept { return kind != pin_kind::free; }
    [[nodiscard]] bool is_broken() const noexcept { return (flags & broken) != 0; }
    // Does it keep log?
    [[nodiscard]] bool holds() const noexcept { return exists() && !is_broken(); }
    // Of a log that ends at `tail`.
    [[nodiscard]] std::uint64_t held_bytes(lsn tail) const noexcept {
        return tail > at ? tail - at : 0;
    }
    friend bool operator==(named_pin const&, named_pin const&) = default;
};

// What is asked of a new one.
struct pin_options {
    lsn from{}; // zero: where a recovery would begin now, so that no unfinished transaction is cut
    // Not zero. Log from the pin's place to the tail; ~0 is a promise to look after it.
    std::uint64_t byte_cap{};
};

// Some of an instance's pins.
struct pin_list {
    std::array<named_pin, named_pins_max> pins{};
    std::size_t count = 0;

    void add(named_pin const& one) noexcept { pins[count++] = one; }
    [[nodiscard]] std::span<named_pin const> all() const& noexcept { return {pins.data(), count}; }
    std::span<named_pin const> all() const&& = delete; // the list would be gone
};

} // namespace jetpp::inline v1
