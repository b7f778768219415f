// jetpp/backup/resume_record.hpp - jet.resume-<set>: what an interrupted backup leaves to go on with.
//
// Layout, 4096 bytes, written whole, before the first part and each time the set is gone on with:
//     0 checksum u64   8 "JETPPRSM"   16 kind u32 (6)   20 major u16   22 minor u16   24 bits u64
//    32 sequence u64 (1)   40 instance uuid   56 timeline u64   64 set uuid   80 redo_lsn u64
//    88 log_start u64   96 begin_lsn u64   104 zero 8   112 SHA-256 of the options
//   144 undo_low_lsn u64   152 where its log shall begin u64   160 created i64   168 kind of set u32
//   172 databases u32   176 key slots u32   180 zero 4
//   184 16 x 32 {uuid 16, attach_lsn u64, pages u32, zero 4}
//   696 16 x 168 {kind u32, kdf passes u32, kdf memory u64, salt 16, check 16, recipient 32,
//       wrapped bytes u32, zero 4, wrapped 80}
//  3384 zero
// It lies with the instance, not with the set: who can write to the repository alone cannot make a
// manifest say what was not so. How far the parts have come stands in them.
// Threads  values; the functions: one at a time for a set.
// Source   backup rules R29, R52.
#pragma once

#include <jetpp/backup/backup_kind.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace jetpp::inline v1 {

struct resumed_database {
    uuid id{};
    lsn attach_lsn{};      // another one: it left and came back meanwhile
    std::uint32_t pages{}; // as its part was begun with, or the last run would have
};

struct resume_record {
    static constexpr std::size_t size = 4096;
    static constexpr std::size_t key_slots_max = 16;

    uuid instance{};
    timeline_id timeline{};
    set_name name{};
    lsn redo_lsn{};
    lsn undo_low_lsn{};
    lsn log_start{};
    lsn begin_lsn{};
    lsn wanted_start{};      // of the log of the set
    sha256_digest options{}; // that shape the set
    std::uint32_t database_count{};
    std::array<resumed_database, databases_max> databases{};
    std::vector<manifest_key_slot> key_slots{};

    // Requires: block.size() == size.
    void encode(bytes block) const noexcept;
    // Requires: block.size() >= size.
    // Errors: bad_magic, bad_kind, unsupported_format, unsupported_feature, bad_header. Throws:
    // std::bad_alloc.
    [[nodiscard]] static result<resume_record> decode(const_bytes block);
};

namespace detail {

struct resume_at {
    static constexpr std::size_t magic = 8, kind = 16, major = 20, bits = 24, sequence = 32,
                                 instance = 40, timeline = 56, set = 64, redo_lsn = 80,
                                 log_start = 88, begin_lsn = 96, options = 112, undo_low = 144,
                                 wanted = 152, created = 160, set_kind = 168, databases = 172,
                                 key_slots = 176, first_database = 184, first_slot = 696;
    static constexpr std::size_t database_size = 32, slot_size = 168;
};
static_assert(resume_at::first_database + 16 * resume_at::database_size == resume_at::first_slot);
static_assert(resume_at::first_slot + 16 * resume_at::slot_size <= resume_record::size);
static_assert(sealed_box_bytes <= 80 && wrapped_key_bytes <= 80);
inline constexpr std::string_view resume_magic{"JETPPRSM", 8};

} // namespace detail

inline void resume_record::encode(bytes block) const noexcept {
    using at = detail::resume_at;
    ensure(block.size() == size, "a resume record is 4096 bytes");
    ensure(key_slots.size() <= key_slots_max, "a set has at most 16 key slots");
    auto* p = block.data();
    std::memset(p, 0, size);
    std::memcpy(p + at::magic, detail::resume_magic.data(), detail::resume_magic.size());
    store_le<std::uint32_t>(p + at::kind, static_cast<std::uint32_t>(file_kind::backup_resume));
    store_le<std::uint16_t>(p + at::major, 1);
    store_le<std::uint64_t>(p + at::sequence, 1);
    std::memcpy(p + at::instance, instance.raw.data(), instance.raw.size());
    store_le<std::uint64_t>(p + at::timeline, timeline.value);
    std::memcpy(p + at::set, name.set.raw.data(), name.set.raw.size());
    store_le<std::uint64_t>(p + at::redo_lsn, redo_lsn.value);
    store_le<std::uint64_t>(p + at::log_start, log_start.value);
    store_le<std::uint64_t>(p + at::begin_lsn, begin_lsn.value);
    std::memcpy(p + at::options, options.data(), options.size());
    store_le<std::uint64_t>(p + at::undo_low, undo_low_lsn.value);
    store_le<std::uint64_t>(p + at::wanted, wanted_start.value);
    store_le<std::uint64_t>(p + at::created, static_cast<std::uint64_t>(name.created.ns));
    store_le<std::uint32_t>(p + at::set_kind, static_cast<std::uint32_t>(name.kind));
    store_le<std::uint32_t>(p + at::databases, database_count);
    store_le<std::uint32_t>(p + at::key_slots, static_cast<std::uint32_t>(key_slots.size()));
    for (std::size_t i = 0; i < database_count; ++i) {
        auto* d = p + at::first_database + i * at::database_size;
        std::memcpy(d, databases[i].id.raw.data(), databases[i].id.raw.size());
        store_le<std::uint64_t>(d + 16, databases[i].attach_lsn.value);
        store_le<std::uint32_t>(d + 24, databases[i].pages);
    }
    for (std::size_t i = 0; i < key_slots.size(); ++i) {
        auto const& one = key_slots[i];
        auto* d = p + at::first_slot + i * at::slot_size;
        store_le<std::uint32_t>(d, static_cast<std::uint32_t>(one.kind));
        store_le<std::uint32_t>(d + 4, one.kdf_passes);
        store_le<std::uint64_t>(d + 8, one.kdf_memory);
        std::memcpy(d + 16, one.salt.data(), one.salt.size());
        std::memcpy(d + 32, one.check.data(), one.check.size());
        std::memcpy(d + 48, one.recipient.data(), one.recipient.size());
        store_le<std::uint32_t>(d + 80, static_cast<std::uint32_t>(one.wrapped.size()));
        std::memcpy(d + 88, one.wrapped.data(), one.wrapped.size());
    }
    store_le<std::uint64_t>(p, structure_sum(const_bytes{block}.subspan(8)));
}

inline result<resume_record> resume_record::decode(const_bytes block) {
    using at = detail::resume_at;
    ensure(block.size() >= size, "a resume record is 4096 bytes");
    block = block.first(size);
    auto const* p = block.data();
    auto const refuse = [](errc code) {
        return error{.code = code, .file = file_kind::backup_resume};
    };
    if (as_text(block.subspan(at::magic, 8)) != detail::resume_magic)
        return refuse(errc::bad_magic);
    if (load_le<std::uint32_t>(p + at::kind) !=
        static_cast<std::uint32_t>(file_kind::backup_resume))
        return refuse(errc::bad_kind);
    if (load_le<std::uint16_t>(p + at::major) != 1) return refuse(errc::unsupported_format);
    if (load_le<std::uint64_t>(p) != structure_sum(block.subspan(8)))
        return refuse(errc::bad_header);
    if (load_le<std::uint64_t>(p + at::bits) != 0) return refuse(errc::unsupported_feature);
    auto r = resume_record{};
    std::memcpy(r.instance.raw.data(), p + at::instance, r.instance.raw.size());
    r.timeline = {load_le<std::uint64_t>(p + at::timeline)};
    std::memcpy(r.name.set.raw.data(), p + at::set, r.name.set.raw.size());
    r.redo_lsn = lsn{load_le<std::uint64_t>(p + at::redo_lsn)};
    r.log_start = lsn{load_le<std::uint64_t>(p + at::log_start)};
    r.begin_lsn = lsn{load_le<std::uint64_t>(p + at::begin_lsn)};
    std::memcpy(r.options.data(), p + at::options, r.options.size());
    r.undo_low_lsn = lsn{load_le<std::uint64_t>(p + at::undo_low)};
    r.wanted_start = lsn{load_le<std::uint64_t>(p + at::wanted)};
    r.name.created.ns = static_cast<std::int64_t>(load_le<std::uint64_t>(p + at::created));
    auto const kind = load_le<std::uint32_t>(p + at::set_kind);
    r.name.kind = static_cast<backup_kind>(kind);
    r.database_count = load_le<std::uint32_t>(p + at::databases);
    auto const slots = load_le<std::uint32_t>(p + at::key_slots);
    if (r.database_count == 0 || r.database_count > databases_max || slots > key_slots_max ||
        kind > 0xFF || !has_pages(r.name.kind))
        return refuse(errc::bad_header);
    for (std::size_t i = 0; i < r.database_count; ++i) {
        auto const* d = p + at::first_database + i * at::database_size;
        std::memcpy(r.databases[i].id.raw.data(), d, r.databases[i].id.raw.size());
        r.databases[i].attach_lsn = lsn{load_le<std::uint64_t>(d + 16)};
        r.databases[i].pages = load_le<std::uint32_t>(d + 24);
    }
    for (std::size_t i = 0; i < slots; ++i) {
        auto const* d = p + at::first_slot + i * at::slot_size;
        auto& one = r.key_slots.emplace_back();
        one.kind = static_cast<key_slot_kind>(load_le<std::uint32_t>(d));
        one.kdf_passes = load_le<std::uint32_t>(d + 4);
        one.kdf_memory = load_le<std::uint64_t>(d + 8);
        std::memcpy(one.salt.data(), d + 16, one.salt.size());
        std::memcpy(one.check.data(), d + 32, one.check.size());
        std::memcpy(one.recipient.data(), d + 48, one.recipient.size());
        auto const wrapped = load_le<std::uint32_t>(d + 80);
        if (one.kind > key_slot_kind::x25519 || wrapped > 80) return refuse(errc::bad_header);
        one.wrapped.assign(d + 88, d + 88 + wrapped);
    }
    return r;
}

// jet.resume-<32 hex digits>
[[nodiscard]] inline file_name resume_file_name(uuid const& set) noexcept {
    auto const hex = hex_of(set);
    return file_name{"jet.resume-"}.add({hex.data(), hex.size()});
}

// Durable when it returns; takes the place of an older one. What a crash leaves under the temporary
// name the next open removes. Errors: of storage, out_of_memory.
template <any_environment Env>
[[nodiscard]] result<void> write_resume_record(
    typename Env::directory& where, resume_record const& record
) noexcept {
    auto const name = resume_file_name(record.name.set);
    auto temporary = name;
    temporary.add(".tmp");
    BOOST_OUTCOME_TRY(auto block, aligned_buffer::create(resume_record::size));
    record.encode(block.all());
    auto const put = [&]() noexcept -> result<void> {
        BOOST_OUTCOME_TRY(auto file, where.open(temporary, {.mode = open_mode::create_new}));
        BOOST_OUTCOME_TRY(write_full(file, block.all(), 0));
        BOOST_OUTCOME_TRY(file.sync(sync_how::full));
        BOOST_OUTCOME_TRY(file.close());
        BOOST_OUTCOME_TRY(where.rename(temporary, name, rename_how::replace));
        return where.sync();
    }();
    if (!put) (void)where.remove(temporary);
    return put ? put : put.error().with_file(file_kind::backup_resume);
}

// Errors: cannot_resume (there is none, or it is no record), those of storage, out_of_memory.
template <any_environment Env>
[[nodiscard]] result<resume_record> read_resume_record(
    typename Env::directory& where, uuid const& set
) {
    auto const lost = error{.code = errc::cannot_resume, .file = file_kind::backup_resume};
    auto opened = where.open(resume_file_name(set), {.mode = open_mode::read_only});
    if (!opened && opened.error().code == errc::not_found) return lost;
    if (!opened) return opened.error().with_file(file_kind::backup_resume);
    BOOST_OUTCOME_TRY(auto block, aligned_buffer::create(resume_record::size));
    BOOST_OUTCOME_TRY(auto const read, read_up_to(opened.assume_value(), block.all(), 0));
    if (read != resume_record::size) return lost;
    auto record = resume_record::decode(block.all());
    if (!record || record.assume_value().name.set != set) return lost;
    return record;
}

// Errors: of storage; that there is none is no error.
template <any_environment Env>
[[nodiscard]] result<void> remove_resume_record(
    typename Env::directory& where, uuid const& set
) noexcept {
    auto const gone = where.remove(resume_file_name(set));
    if (!gone && gone.error().code == errc::not_found) return ok();
    if (!gone) return gone.error().with_file(file_kind::backup_resume);
    return where.sync();
}

} // namespace jetpp::inline v1
