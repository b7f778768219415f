// jetpp/simulation/ring_memory.hpp - the memory behind simulated rings, used again and again.
//
// Mapping memory twice in a row takes several system calls; thousands of simulated crashes a second
// would pay for little else. So mappings go back to a pool and come out of it zeroed.
// Threads  one. Owns the mappings until the end of the process.
#pragma once

#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/double_mapping.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace jetpp::inline v1::detail {

class ring_pool {
public:
    // Errors: those of ring_backing.
    [[nodiscard]] static result<double_mapping> take(
        std::uint64_t header_bytes, std::uint64_t ring_bytes
    ) {
        auto& kept = pool();
        for (auto& each : kept) {
            if (each.header_bytes() != header_bytes || each.ring_bytes() != ring_bytes) continue;
            auto found = std::move(each);
            each = std::move(kept.back());
            kept.pop_back();
            auto const size = static_cast<std::size_t>(header_bytes + ring_bytes);
            std::memset(found.header(), 0, size);
            return found;
        }
        // The mapping keeps the anonymous file alive.
        BOOST_OUTCOME_TRY(auto backing, ring_backing::create(header_bytes, ring_bytes));
        return backing.map();
    }
    static void give_back(double_mapping memory) { pool().push_back(std::move(memory)); }

private:
    static std::vector<double_mapping>& pool() {
        static auto kept = std::vector<double_mapping>{};
        return kept;
    }
};

} // namespace jetpp::inline v1::detail
