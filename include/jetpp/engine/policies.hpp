// jetpp/engine/policies.hpp - what is chosen at compile time, and how.
//
// A program derives one struct from default_policies and overrides what it wants:
//
//     struct mail_policies : jetpp::default_policies {
//         static constexpr std::size_t page_size = 32 * 1024;
//         using logging = jetpp::archival_logging;
//     };
//     using mail_engine = jetpp::engine<mail_policies>;
//
// A policy changes code or layout; what one could try without recompiling is in open_options.
// page_size and checksum are written into the files and must match at open.
#pragma once

#include <jetpp/buffer/core_traits.hpp>
#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/native_environment.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace jetpp::inline v1 {

// Segments below the checkpoint are used again: the log stays small, backups are full ones.
struct circular_logging {
    static constexpr bool from_files = false;
    static constexpr bool archival = false;
};
// Every segment is kept until it is released: incremental backup, any moment restorable.
struct archival_logging {
    static constexpr bool from_files = false;
    static constexpr bool archival = true;
};
// For tools: the mode the files were last written in; open_options::archival for new ones.
struct recorded_logging {
    static constexpr bool from_files = true;
    static constexpr bool archival = false;
};

// Background tasks flush, checkpoint and collect.
struct multi_thread {
    static constexpr bool background = true;
};
// No thread is started: the program calls engine::poll().
struct single_thread {
    static constexpr bool background = false;
};

struct default_policies {
    static constexpr std::size_t page_size = 8 * 1024;
    using checksum = crc32c;
    using logging = circular_logging;
    using threading = multi_thread;
    using storage = posix_storage;
    using runtime = native_runtime;
};

template <class P>
concept engine_policies = requires {
    { P::page_size } -> std::convertible_to<std::size_t>;
    typename P::checksum;
    typename P::logging;
    typename P::threading;
    typename P::storage;
    typename P::runtime;
};

// The first thing engine<P> asks, so that the first diagnostic is a sentence to act upon.
template <class P>
consteval bool validate() {
    static_assert(engine_policies<P>, "jetpp: policies must derive from jetpp::default_policies");
    static_assert(
        P::page_size >= 4096 && P::page_size <= 65536 && (P::page_size & (P::page_size - 1)) == 0,
        "jetpp: page_size of the policies must be a power of two from 4 KiB to 64 KiB"
    );
    static_assert(
        checksum_algorithm<typename P::checksum>,
        "jetpp: checksum of the policies must model checksum_algorithm, such as crc32c"
    );
    static_assert(
        storage<typename P::storage>,
        "jetpp: storage of the policies must model the concept storage, such as posix_storage"
    );
    static_assert(
        runtime<typename P::runtime>,
        "jetpp: runtime of the policies must model the concept runtime, such as native_runtime"
    );
    return true;
}

template <class P>
using environment_of = environment<typename P::storage, typename P::runtime>;
template <class P>
using traits_of = core_traits<environment_of<P>, P::page_size, typename P::checksum>;

} // namespace jetpp::inline v1
