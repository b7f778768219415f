// jetpp/log/ring_file.hpp - jet.ring, which carries log bytes over the end of a process.
//
// Layout: header of 4096 bytes, then the ring. Byte with ring position v lies at
// 4096 + (v mod ring_bytes); position and LSN agree mod 4096.
//     0 preamble, 32 instance, 48 timeline, 56 ring bytes, 64 incarnation, 72 reserved (to 128)
//     128 16 x 40 entries, by generation mod 16: where a segment's first LSN stands in the ring
// Invariants
//   * never synced: after a power loss it means nothing, and every record proves itself by its CRC
//   * an entry torn by the kill fails its own CRC and is no entry
// Threads  pure functions.
#pragma once

#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/file_name.hpp>
#include <jetpp/log/detail/file_preamble.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace jetpp::inline v1 {

inline constexpr file_name ring_file_name{"jet.ring"};
inline constexpr std::uint64_t ring_header_bytes = 4096;
inline constexpr std::size_t ring_entries = 16;

namespace detail {

inline constexpr file_preamble ring_preamble{
    .magic = std::string_view{"JETPPRNG", 8}, .kind = file_kind::ring
};
inline constexpr std::size_t ring_fixed_bytes = 128; // the header proper, which the checksum covers
inline constexpr std::size_t ring_entry_bytes = 40;
static_assert(ring_fixed_bytes + ring_entries * ring_entry_bytes == 768);

} // namespace detail

struct ring_file_header {
    uuid instance{};
    timeline_id timeline{};
    std::uint64_t ring_bytes{};
    std::uint32_t incarnation{};
    friend bool operator==(ring_file_header const&, ring_file_header const&) noexcept = default;

    // Writes the fixed part and empties all entries. Requires: ring_header_bytes at `header`.
    void encode(std::byte* header) const noexcept {
        std::memset(header, 0, ring_header_bytes);
        detail::store_preamble(header, detail::ring_preamble);
        detail::store_uuid(header + 32, instance);
        store_le<std::uint64_t>(header + 48, timeline.value);
        store_le<std::uint64_t>(header + 56, ring_bytes);
        store_le<std::uint32_t>(header + 64, incarnation);
        detail::seal_block({header, detail::ring_fixed_bytes});
    }
    // Requires: ring_header_bytes at `header`.
    // Errors: bad_magic, bad_kind, unsupported_format, bad_header, unsupported_feature.
    [[nodiscard]] static result<ring_file_header> decode(std::byte const* header) noexcept {
        BOOST_OUTCOME_TRY(
            detail::check_preamble({header, detail::ring_fixed_bytes}, detail::ring_preamble)
        );
        auto h = ring_file_header{
            .instance = detail::load_uuid(header + 32),
            .timeline = timeline_id{load_le<std::uint64_t>(header + 48)},
            .ring_bytes = load_le<std::uint64_t>(header + 56),
            .incarnation = load_le<std::uint32_t>(header + 64),
        };
        if (!std::has_single_bit(h.ring_bytes) || h.ring_bytes < 4096)
            return error{.code = errc::bad_header, .file = file_kind::ring};
        return h;
    }
};

//  0 generation u64, 8 nonce u64, 16 position u64, 24 reserved u64, 32 CRC-32C of those u32, zero 4
struct ring_entry {
    std::uint64_t generation{};
    std::uint64_t nonce{};
    std::uint64_t position{}; // of the segment's first LSN; a multiple of 4096
    friend bool operator==(ring_entry const&, ring_entry const&) noexcept = default;

    void encode(std::byte* header) const noexcept {
        ensure(position % 4096 == 0, "a segment begins at a multiple of 4096 in the ring");
        auto* const p = place(header, generation);
        // The sum goes first and comes last: a kill in between leaves no valid entry.
        store_le<std::uint64_t>(p + 32, 0);
        store_le<std::uint64_t>(p, generation);
        store_le<std::uint64_t>(p + 8, nonce);
        store_le<std::uint64_t>(p + 16, position);
        store_le<std::uint64_t>(p + 24, 0);
        store_le<std::uint32_t>(p + 32, crc32c_of({p, 32}));
    }
    // Returns: the entry of that generation, or nothing.
    [[nodiscard]] static std::optional<ring_entry> find(
        std::byte const* header, std::uint64_t generation
    ) noexcept {
        auto const* const p = place(header, generation);
        if (load_le<std::uint32_t>(p + 32) != crc32c_of({p, 32})) return {};
        auto const e = ring_entry{
            .generation = load_le<std::uint64_t>(p),
            .nonce = load_le<std::uint64_t>(p + 8),
            .position = load_le<std::uint64_t>(p + 16),
        };
        if (e.generation != generation || e.nonce == 0 || e.position % 4096 != 0) return {};
        return e;
    }

private:
    template <class Byte>
    [[nodiscard]] static Byte* place(Byte* header, std::uint64_t generation) noexcept {
        return header + detail::ring_fixed_bytes +
               (generation % ring_entries) * detail::ring_entry_bytes;
    }
};

} // namespace jetpp::inline v1
