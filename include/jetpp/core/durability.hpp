// jetpp/core/durability.hpp - how much a commit promises when it returns, and the receipt it gives.
#pragma once

#include <jetpp/core/lsn.hpp>

#include <cstdint>

namespace jetpp::inline v1 {

enum class durability : std::uint8_t {
    device,  // survives power loss
    process, // survives the end of the process (SIGKILL), not of the machine
    memory,  // survives nothing until flushed: lazy_interval, or the next device commit
};

// What commit returns. A ticket can be waited for later, even by another incarnation of the
// engine, which answers from the end of the log it recovered.
struct [[nodiscard]] ticket {
    lsn at{};                    // of the commit record; of the snapshot if nothing was written
    std::uint32_t incarnation{}; // open counter of the instance that gave it
    durability reached = durability::memory;
};

} // namespace jetpp::inline v1
