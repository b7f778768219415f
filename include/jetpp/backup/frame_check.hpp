// jetpp/backup/frame_check.hpp - the frames of a part, without reading what is in them.
//
// For who has no key: headers, order, hashes of what is stored, and the digest that the manifest
// gives of the part. It finds every accident; that somebody changed frame and manifest together only
// a key can tell.
// Errors   set_damaged, set_mixed (with part and frame), unsupported, limit_exceeded, the source's.
// Threads  one owner.
// Source   backup rule R61.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/part.hpp>
#include <jetpp/backup/part_reader.hpp>
#include <jetpp/backup/part_writer.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/backup/stored_unit.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/large_buffer.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

// on_read(bytes) -> result<void> after each frame. `file` of the place is not compared: the first
// frame says which it is. `hash`: of the set, as its manifest says.
template <byte_source Source, class OnRead>
[[nodiscard]] result<void> check_frames(
    Source& from,
    part_place const& place,
    hash_id hash,
    part_summary const& expected,
    OnRead&& on_read
) noexcept {
    BOOST_OUTCOME_TRY(
        auto memory, create_large_buffer(frame_header_bytes + std::size_t{frame_stored_max})
    );
    BOOST_OUTCOME_TRY(auto headers, sha256::create());
    auto sequence = std::uint64_t{0};
    auto read_bytes = std::uint64_t{0};
    auto const refuse = [&](errc code) { return frame_error(code, place.part, sequence); };
    auto const fill = [&](bytes into) -> result<void> {
        while (!into.empty()) {
            BOOST_OUTCOME_TRY(auto const n, from.read(into));
            if (n == 0) return refuse(errc::set_damaged);
            into = into.subspan(n);
        }
        return ok();
    };
    for (auto last = false; !last; ++sequence) {
        auto const head_bytes = memory.part(0, frame_header_bytes);
        BOOST_OUTCOME_TRY(fill(head_bytes));
        auto const head = frame_header::decode(head_bytes);
        if (!head) return refuse(head.error().code);
        auto const& h = head.assume_value();
        if (h.set != place.set || h.part != place.part || h.sequence != sequence)
            return refuse(errc::set_mixed);
        if (h.type == frame_type::manifest) return refuse(errc::set_damaged);
        auto const unit = memory.part(frame_header_bytes, h.stored_bytes);
        BOOST_OUTCOME_TRY(fill(unit));
        BOOST_OUTCOME_TRY(check_unit_hash(h, hash, unit));
        BOOST_OUTCOME_TRY(headers.add(head_bytes));
        read_bytes += frame_header_bytes + h.stored_bytes;
        BOOST_OUTCOME_TRY(on_read(std::uint64_t{frame_header_bytes} + h.stored_bytes));
        last = h.is_last();
    }
    auto behind = std::array<std::byte, 1>{};
    BOOST_OUTCOME_TRY(auto const more, from.read(behind));
    BOOST_OUTCOME_TRY(auto const digest, headers.finish());
    if (more != 0 || sequence != expected.frames || read_bytes != expected.bytes ||
        digest != expected.headers)
        return refuse(errc::set_damaged);
    return ok();
}

} // namespace jetpp::inline v1
