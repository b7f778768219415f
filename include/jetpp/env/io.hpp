// jetpp/env/io.hpp - whole reads and writes over the storage seam.
//
// The one place that knows about short counts. A device that makes no progress three times in a
// row is an I/O error, not a loop.
#pragma once

#include <jetpp/env/storage.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

// A direct file takes aligned requests only, and may end inside a unit (a file that was cut does):
// whether more follows is then asked from the beginning of that unit.
// Returns: bytes read; fewer than asked for only at the end of the file.
template <storage_file File>
[[nodiscard]] result<std::size_t> read_up_to(
    File& file, bytes into, std::uint64_t offset
) noexcept {
    auto const unit = std::size_t{file.layout().alignment};
    auto done = std::size_t{0};
    while (done < into.size()) {
        auto const from = done - done % unit;
        BOOST_OUTCOME_TRY(auto const n, file.read_some(into.subspan(from), offset + from));
        if (from + n <= done) break;
        done = from + n;
    }
    return done;
}

// Errors: io with damage::short_file if the file ends inside the range.
template <storage_file File>
[[nodiscard]] result<void> read_full(File& file, bytes into, std::uint64_t offset) noexcept {
    BOOST_OUTCOME_TRY(auto const n, read_up_to(file, into, offset));
    if (n != into.size()) return error{.code = errc::io, .reason = damage::short_file};
    return ok();
}

template <storage_file File>
[[nodiscard]] result<void> write_full(
    File& file, const_bytes from, std::uint64_t offset, write_how how = write_how::cached
) noexcept {
    auto done = std::size_t{0};
    auto stalls = 0;
    while (done < from.size()) {
        BOOST_OUTCOME_TRY(auto const n, file.write_some(from.subspan(done), offset + done, how));
        if (n == 0 && ++stalls == 3) return error{.code = errc::io};
        if (n != 0) stalls = 0;
        done += n;
    }
    return ok();
}

} // namespace jetpp::inline v1
