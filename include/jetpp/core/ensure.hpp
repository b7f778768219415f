// jetpp/core/ensure.hpp - what must be true or the bytes would go wrong.
//
// ensure() states our own invariants, is always compiled in, and ends the process: going on would
// corrupt data. It is never used on what a disk or a caller said; that is a result.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <source_location>

namespace jetpp::inline v1 {

[[noreturn, gnu::cold, gnu::noinline]] inline void ensure_failed(
    char const* sentence, std::source_location where
) noexcept {
    std::fprintf(
        stderr,
        "jetpp: ensure failed: %s\n  at %s:%u in %s\n",
        sentence,
        where.file_name(),
        static_cast<unsigned>(where.line()),
        where.function_name()
    );
    std::fflush(stderr);
    std::abort();
}

constexpr void ensure(
    bool condition,
    char const* sentence,
    std::source_location where = std::source_location::current()
) noexcept {
    if (!condition) [[unlikely]]
        ensure_failed(sentence, where);
}

} // namespace jetpp::inline v1
