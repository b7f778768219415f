// jetpp/simulation/crash_policy.hpp - what a crash keeps of all that was never synced.
//
// A crash sees a list of units in the order in which they were written: a sector of a write, a
// change of size, an entry of a directory. A policy says which of them the next life finds. What
// was synced is kept by every policy.
#pragma once

#include <jetpp/simulation/choice_tape.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace jetpp::inline v1 {

enum class crash_policy : std::uint8_t {
    none,              // nothing that was not synced
    all,               // everything, the call in flight included
    prefix,            // the first k units
    random,            // each unit with probability 1/2
    all_but_one,       // one unit is lost
    only_one,          // one unit is kept
    newest_first,      // the last k units, and none before them
    per_file_random,   // each file and directory draws none, all, prefix or random
    size_before_data,  // sizes and names, no data: zeros
    data_before_size,  // data and names, no sizes: what lies beyond the old end is gone
    names_first,       // names without sizes and data: an empty file under its final name
    names_last,        // data and sizes without names
    garbage_in_flight, // as random; sectors of a write in flight may read as neither old nor new
    kill,              // the process dies: everything survives, and is still not synced
    kill_then_power,   // as kill, and the next life loses its power at a drawn storage call
};

// Is the machine, not only the process, gone? Then what was not synced can be lost.
[[nodiscard]] constexpr bool is_power_loss(crash_policy policy) noexcept {
    return policy != crash_policy::kill && policy != crash_policy::kill_then_power;
}

[[nodiscard]] constexpr std::string_view name_of(crash_policy policy) noexcept {
    switch (policy) {
    case crash_policy::none: return "none";
    case crash_policy::all: return "all";
    case crash_policy::prefix: return "prefix";
    case crash_policy::random: return "random";
    case crash_policy::all_but_one: return "all_but_one";
    case crash_policy::only_one: return "only_one";
    case crash_policy::newest_first: return "newest_first";
    case crash_policy::per_file_random: return "per_file_random";
    case crash_policy::size_before_data: return "size_before_data";
    case crash_policy::data_before_size: return "data_before_size";
    case crash_policy::names_first: return "names_first";
    case crash_policy::names_last: return "names_last";
    case crash_policy::garbage_in_flight: return "garbage_in_flight";
    case crash_policy::kill: return "kill";
    case crash_policy::kill_then_power: return "kill_then_power";
    }
    return "unknown";
}

// All of them; those that keep sectors whole come first, so that a prefix of the list can be used
// where a torn sector is outside the promise.
inline constexpr std::array every_crash_policy{
    crash_policy::none,
    crash_policy::all,
    crash_policy::prefix,
    crash_policy::random,
    crash_policy::all_but_one,
    crash_policy::only_one,
    crash_policy::newest_first,
    crash_policy::per_file_random,
    crash_policy::size_before_data,
    crash_policy::data_before_size,
    crash_policy::names_first,
    crash_policy::names_last,
    crash_policy::kill,
    crash_policy::kill_then_power,
    crash_policy::garbage_in_flight,
};

enum class torn_sectors : std::uint8_t { excluded, possible };

[[nodiscard]] inline crash_policy draw_crash_policy(
    choice_tape& tape, torn_sectors torn = torn_sectors::excluded
) {
    auto const count = every_crash_policy.size() - (torn == torn_sectors::excluded ? 1 : 0);
    return every_crash_policy[static_cast<std::size_t>(tape.pick(count))];
}

// What a crash decides about, as crash_units() lists it.
struct crash_unit {
    enum class kind_type : std::uint8_t { sector, size, name };
    kind_type kind{};
    bool in_flight{};     // its call had not returned
    std::uint32_t node{}; // the file, or the directory of the entry
    std::uint64_t sequence{};
    std::uint64_t offset{}; // sector: where; size: the size before
    std::uint64_t length{}; // sector: bytes; size: the size after
};

} // namespace jetpp::inline v1
