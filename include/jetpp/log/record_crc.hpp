// jetpp/log/record_crc.hpp - the sum that proves a record is whole, here, and of this life.
//
// CRC-32C over the segment's nonce (8), the record's LSN (8), then all bytes of the record with the
// length at its final value and the CRC field as zero. Nonce and LSN are in the sum, so that no
// record of a former life of the file, or of another place, ever reads as one of this log.
// Threads  pure functions.
// Source   the salted checksums of SQLite's write-ahead log.
#pragma once

#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/lsn.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

// The length field is taken as record.size() and the CRC field as zero, whatever stands there: a
// writer sums before it publishes the length.
// Requires: record.size() >= 8.
[[nodiscard]] inline std::uint32_t record_crc(
    std::uint64_t nonce, lsn at, const_bytes record
) noexcept {
    return crc32c_accumulator{}
        .add_u64(nonce)
        .add_u64(at.value)
        .add_u64(record.size()) // length u32, crc u32 = 0
        .add(record.subspan(8))
        .value();
}

} // namespace jetpp::inline v1
