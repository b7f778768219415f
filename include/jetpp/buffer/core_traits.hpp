// jetpp/buffer/core_traits.hpp - what pages, trees and transactions know of the policies.
//
// The projection of a policy bundle that the storage core is compiled for. Engines that differ in
// anything else (logging mode, threading) share the code of these layers.
#pragma once

#include <jetpp/checksum/concepts.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/env/write_gate.hpp>

#include <cstddef>

namespace jetpp::inline v1 {

template <any_environment Env, std::size_t PageSize, checksum_algorithm Checksum>
struct core_traits {
    static_assert(
        PageSize >= 4096 && PageSize <= 65536 && (PageSize & (PageSize - 1)) == 0,
        "jetpp: page_size must be a power of two from 4 KiB to 64 KiB"
    );
    using env = Env;
    using runtime = typename Env::runtime_type;
    using checksum = Checksum;
    using mutex = basic_mutex<runtime>;
    using event = basic_event<runtime>;
    using gate = write_gate<runtime>;
    template <class T>
    using atomic = typename Env::template atomic<T>;
    static constexpr std::size_t page_size = PageSize;
};

} // namespace jetpp::inline v1
