// jetpp/page/detail/database_header_codec.hpp - where each field of a database header lies.
#pragma once

#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/page/page_layout.hpp>

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace jetpp::inline v1 {

namespace detail {

struct database_header_at {
    static constexpr std::size_t checksum = 0, magic = 8, kind = 16, major = 20, minor = 22,
                                 incompatible = 24, read_only = 32, sequence = 40, page_size = 48,
                                 checksum_id = 52, tail_bytes = 54, encryption = 56, key_epoch = 58,
                                 state = 60, database = 64, instance = 80, nonce = 96, id = 104,
                                 reserved_106 = 106, attach_lsn = 112, consistent_lsn = 120,
                                 last_resize_lsn = 128, min_required_lsn = 136,
                                 max_required_lsn = 144, created_at = 152, attached_at = 160,
                                 pages = 168, flags = 172, marks = 176, restored_from = 432,
                                 restore_point = 448, scrubbed_at = 456, scrub_next_page = 464,
                                 counters = 472, flush_map = 504, row_checksum = 512,
                                 presence_map = 528, source_set = 536, timeline = 552,
                                 key_check = 560, writer = 592, max_lsn = 656, ancestor_count = 664,
                                 reserved_668 = 668, ancestors = 672, reserved_1168 = 1168,
                                 end = 4096;
    static constexpr std::size_t mark_size = 64, fork_size = 16, counters_used = 5;
};
static_assert(database_header_at::end == database_header::size);
static_assert(database_header_at::marks + 4 * database_header_at::mark_size == 432);
static_assert(database_header_at::counters + 8 * 4 == database_header_at::flush_map);
static_assert(database_header_at::writer + 64 == database_header_at::max_lsn);
static_assert(
    database_header_at::ancestors + ancestors_max * database_header_at::fork_size ==
    database_header_at::reserved_1168
);

inline constexpr std::string_view database_magic{"JETPPDB\x1A", 8};
inline constexpr std::uint16_t database_format_major = 1;
inline constexpr std::uint16_t database_format_minor = 0;

// One list of fields for both directions: Cursor::operator()(offset, field) reads or writes.
template <class Header, class Cursor>
void visit_database_header(Header& h, Cursor&& at_offset) noexcept {
    using at = database_header_at;
    at_offset(at::incompatible, h.incompatible_bits);
    at_offset(at::read_only, h.read_only_bits);
    at_offset(at::sequence, h.sequence);
    at_offset(at::page_size, h.page_size);
    at_offset(at::checksum_id, h.checksum_id);
    at_offset(at::state, h.state);
    at_offset(at::database, h.database);
    at_offset(at::instance, h.instance);
    at_offset(at::nonce, h.nonce);
    at_offset(at::id, h.id);
    at_offset(at::attach_lsn, h.attach_lsn);
    at_offset(at::consistent_lsn, h.consistent_lsn);
    at_offset(at::last_resize_lsn, h.last_resize_lsn);
    at_offset(at::min_required_lsn, h.min_required_lsn);
    at_offset(at::max_required_lsn, h.max_required_lsn);
    at_offset(at::created_at, h.created_at);
    at_offset(at::attached_at, h.attached_at);
    at_offset(at::pages, h.pages_hint);
    at_offset(at::flags, h.flags);
    for (std::size_t i = 0; i < h.marks.size(); ++i) {
        auto const mark = at::marks + i * at::mark_size;
        at_offset(mark, h.marks[i].set);
        at_offset(mark + 16, h.marks[i].redo_lsn);
        at_offset(mark + 24, h.marks[i].log_start);
        at_offset(mark + 32, h.marks[i].end_lsn);
        at_offset(mark + 40, h.marks[i].time);
        at_offset(mark + 48, h.marks[i].timeline);
        at_offset(mark + 56, h.marks[i].manifest_hash);
    }
    at_offset(at::restored_from, h.restored_from);
    at_offset(at::restore_point, h.restore_point);
    at_offset(at::scrubbed_at, h.scrubbed_at);
    at_offset(at::scrub_next_page, h.scrub_next_page);
    at_offset(at::counters, h.bad_checksums);
    at_offset(at::counters + 4, h.repaired);
    at_offset(at::counters + 8, h.lost_flushes);
    at_offset(at::counters + 12, h.repair_runs);
    at_offset(at::counters + 16, h.masked_damage);
    at_offset(at::source_set, h.source_set);
    at_offset(at::timeline, h.timeline);
    at_offset(at::writer, h.writer);
    at_offset(at::max_lsn, h.max_lsn);
    at_offset(at::ancestor_count, h.ancestor_count);
    auto const forks = std::min<std::size_t>(h.ancestor_count, ancestors_max);
    for (std::size_t i = 0; i < forks; ++i) {
        auto const fork = at::ancestors + i * at::fork_size;
        at_offset(fork, h.ancestors[i].parent);
        at_offset(fork + 8, h.ancestors[i].fork_lsn);
    }
}

struct header_writer {
    std::byte* to;

    template <std::unsigned_integral T>
    void operator()(std::size_t at, T const& v) const noexcept {
        store_le<T>(to + at, v);
    }
    void operator()(std::size_t at, database_state const& v) const noexcept {
        store_le<std::uint32_t>(to + at, static_cast<std::uint32_t>(v));
    }
    void operator()(std::size_t at, database_id const& v) const noexcept {
        store_le<std::uint16_t>(to + at, v.value);
    }
    void operator()(std::size_t at, lsn const& v) const noexcept {
        store_le<std::uint64_t>(to + at, v.value);
    }
    void operator()(std::size_t at, timeline_id const& v) const noexcept {
        store_le<std::uint64_t>(to + at, v.value);
    }
    void operator()(std::size_t at, wall_time const& v) const noexcept {
        store_le<std::uint64_t>(to + at, static_cast<std::uint64_t>(v.ns));
    }
    void operator()(std::size_t at, uuid const& v) const noexcept {
        std::memcpy(to + at, v.raw.data(), v.raw.size());
    }
    void operator()(std::size_t at, std::array<char, 64> const& v) const noexcept {
        std::memcpy(to + at, v.data(), v.size());
    }
};

struct header_reader {
    std::byte const* from;

    template <std::unsigned_integral T>
    void operator()(std::size_t at, T& v) const noexcept {
        v = load_le<T>(from + at);
    }
    void operator()(std::size_t at, database_state& v) const noexcept {
        v = static_cast<database_state>(load_le<std::uint32_t>(from + at));
    }
    void operator()(std::size_t at, database_id& v) const noexcept {
        v.value = load_le<std::uint16_t>(from + at);
    }
    void operator()(std::size_t at, lsn& v) const noexcept {
        v.value = load_le<std::uint64_t>(from + at);
    }
    void operator()(std::size_t at, timeline_id& v) const noexcept {
        v.value = load_le<std::uint64_t>(from + at);
    }
    void operator()(std::size_t at, wall_time& v) const noexcept {
        v.ns = static_cast<std::int64_t>(load_le<std::uint64_t>(from + at));
    }
    void operator()(std::size_t at, uuid& v) const noexcept {
        std::memcpy(v.raw.data(), from + at, v.raw.size());
    }
    void operator()(std::size_t at, std::array<char, 64>& v) const noexcept {
        std::memcpy(v.data(), from + at, v.size());
    }
};

[[nodiscard]] inline bool reserved_is_zero(
    const_bytes block, std::uint32_t ancestor_count, std::uint32_t flags
) noexcept {
    using at = database_header_at;
    auto const zero = [&](std::size_t from, std::size_t to) {
        return all_zero(block.subspan(from, to - from));
    };
    return zero(at::key_epoch, at::state) && zero(at::reserved_106, at::attach_lsn) &&
           zero(at::counters + 4 * at::counters_used, at::source_set) &&
           zero(at::key_check, at::writer) && zero(at::reserved_668, at::ancestors) &&
           zero(at::ancestors + ancestor_count * at::fork_size, at::end) &&
           (flags & ~database_header::exempt_flag) == 0;
}

[[nodiscard]] inline error header_error(errc code) noexcept {
    return {.code = code, .file = file_kind::database};
}

[[nodiscard]] inline bool header_sum_is_right(const_bytes block) noexcept {
    return load_le<std::uint64_t>(block.data()) ==
           structure_sum(block.first(database_header::size).subspan(8));
}

} // namespace detail

inline std::string_view database_header::writer_text() const noexcept {
    auto const end = std::find(writer.begin(), writer.end(), '\0');
    return {writer.data(), static_cast<std::size_t>(end - writer.begin())};
}

inline void database_header::set_writer(std::string_view text) noexcept {
    writer = {};
    std::copy_n(text.begin(), std::min(text.size(), writer.size() - 1), writer.begin());
}

inline bool database_header::stamp(mark_kind kind, backup_mark const& mark) noexcept {
    auto& old = marks[static_cast<std::size_t>(kind)];
    if (old.exists() && mark.end_lsn < old.end_lsn) return false;
    old = mark;
    return true;
}

inline void database_header::fork(timeline_id next, lsn fork_lsn) noexcept {
    auto const kept = std::min<std::size_t>(ancestor_count, ancestors_max - 1);
    for (auto i = kept; i > 0; --i) ancestors[i] = ancestors[i - 1];
    ancestors[0] = {timeline, fork_lsn};
    ancestor_count = static_cast<std::uint32_t>(kept + 1);
    timeline = next;
    clear_marks();
}

inline bool database_header::is_plausible() const noexcept {
    auto const number = static_cast<std::uint32_t>(state);
    auto const lsns_fit = [&] {
        for (auto const one :
             {attach_lsn,
              consistent_lsn,
              last_resize_lsn,
              min_required_lsn,
              max_required_lsn,
              restore_point,
              max_lsn})
            if (one > lsn_limit) return false;
        return true;
    };
    return is_page_size(page_size) && number >= 1 && number <= 9 && nonce != 0 &&
           timeline.value != 0 && !database.is_nil() && ancestor_count <= ancestors_max &&
           lsns_fit();
}

inline result<void> database_header::check_policies(
    std::uint32_t page_size_wanted, std::uint16_t checksum_wanted
) const noexcept {
    if (page_size != page_size_wanted)
        return mismatch(errc::page_size_mismatch, file_kind::database, page_size, page_size_wanted);
    if (checksum_id != checksum_wanted)
        return mismatch(errc::checksum_mismatch, file_kind::database, checksum_id, checksum_wanted);
    return ok();
}

inline void database_header::encode(bytes block) const noexcept {
    using at = detail::database_header_at;
    ensure(block.size() == size, "a database header is 4096 bytes");
    ensure(is_plausible(), "a database header that is written must be one that is read");
    auto* p = block.data();
    std::memset(p, 0, size);
    std::memcpy(p + at::magic, detail::database_magic.data(), detail::database_magic.size());
    store_le<std::uint32_t>(p + at::kind, static_cast<std::uint32_t>(file_kind::database));
    store_le<std::uint16_t>(p + at::major, detail::database_format_major);
    store_le<std::uint16_t>(p + at::minor, detail::database_format_minor);
    detail::visit_database_header(*this, detail::header_writer{p});
    store_le<std::uint64_t>(p, structure_sum(const_bytes{block}.subspan(8)));
}

inline result<database_header> database_header::decode(
    const_bytes block, reserved_bytes reserved
) noexcept {
    using at = detail::database_header_at;
    if (block.size() < size) return detail::header_error(errc::bad_header);
    block = block.first(size);
    auto const* p = block.data();
    if (as_text(block.subspan(at::magic, 8)) != detail::database_magic)
        return detail::header_error(errc::bad_magic);
    if (load_le<std::uint32_t>(p + at::kind) != static_cast<std::uint32_t>(file_kind::database))
        return detail::header_error(errc::bad_kind);
    if (load_le<std::uint16_t>(p + at::major) != detail::database_format_major)
        return detail::header_error(errc::unsupported_format);
    if (!detail::header_sum_is_right(block)) return detail::header_error(errc::bad_header);
    auto h = database_header{};
    detail::visit_database_header(h, detail::header_reader{p});
    if (auto const unknown = h.incompatible_bits & ~known_incompatible_bits; unknown != 0)
        return detail::header_error(errc::unsupported_feature).with_lsn(lsn{unknown});
    // Tail bytes and encryption change the shape of every page, and come with a bit.
    if (load_le<std::uint16_t>(p + at::tail_bytes) != 0 ||
        load_le<std::uint16_t>(p + at::encryption) != 0)
        return detail::header_error(errc::unsupported_feature);
    if (!h.is_plausible()) return detail::header_error(errc::bad_header);
    if (reserved == reserved_bytes::checked &&
        !detail::reserved_is_zero(block, h.ancestor_count, h.flags))
        return detail::header_error(errc::bad_header);
    return h;
}

inline bool needs_both_copies(
    database_header const& before, database_header const& after
) noexcept {
    auto light = after;
    light.sequence = before.sequence;
    light.min_required_lsn = before.min_required_lsn;
    light.pages_hint = before.pages_hint;
    light.scrubbed_at = before.scrubbed_at;
    light.scrub_next_page = before.scrub_next_page;
    light.bad_checksums = before.bad_checksums;
    light.repaired = before.repaired;
    light.lost_flushes = before.lost_flushes;
    light.repair_runs = before.repair_runs;
    light.masked_damage = before.masked_damage;
    return !(light == before);
}

inline result<newest_header> newest_of(
    const_bytes copy_a, const_bytes copy_b, reserved_bytes reserved
) noexcept {
    auto const a = database_header::decode(copy_a, reserved);
    auto const b = database_header::decode(copy_b, reserved);
    // A later version wrote this copy in full: the older one beside it is not ours to take.
    auto const by_later_version = [](result<database_header> const& copy, const_bytes raw) {
        return copy.has_error() &&
               (copy.error().code == errc::unsupported_format ||
                copy.error().code == errc::unsupported_feature) &&
               raw.size() >= database_header::size && detail::header_sum_is_right(raw);
    };
    if (by_later_version(a, copy_a)) return a.error();
    if (by_later_version(b, copy_b)) return b.error();
    if (a.has_error() && b.has_error()) {
        // Not our magic in one copy says less than a broken header in the other.
        auto const vague = a.error().code == errc::bad_magic || a.error().code == errc::bad_kind;
        return vague ? b.error() : a.error();
    }
    if (b.has_error()) return newest_header{a.value(), header_copy::a, true};
    if (a.has_error()) return newest_header{b.value(), header_copy::b, true};
    auto const from = b.value().sequence > a.value().sequence ? header_copy::b : header_copy::a;
    auto const stale = needs_both_copies(a.value(), b.value());
    return newest_header{from == header_copy::a ? a.value() : b.value(), from, stale};
}

} // namespace jetpp::inline v1
