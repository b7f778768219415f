// jetpp/log/checkpoint_slot.hpp - where recovery begins: the two slots of jet.ckp.
//
// Layout: 8192 bytes, slots of 4096 at 0 and 4096, written alternately, each with one durable
// write; the valid slot with the larger sequence wins. A torn write therefore costs one checkpoint,
// never the file.
// Invariants
//   * redo_lsn and undo_low_lsn of the newest *durable* slot are what recycling may trust
//   * a failed slot write is final: both slots in memory stay, later writes are refused
// Threads  encode and decode are pure; checkpoint_file is used by one thread at a time.
// Owns     checkpoint_file owns its open file.
// Source   ESE checkpoint file; ARIES master record.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/log/detail/file_preamble.hpp>
#include <jetpp/log/named_pin.hpp>
#include <jetpp/log/segment.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace jetpp::inline v1 {

inline constexpr file_name checkpoint_file_name{"jet.ckp"};

// What a clean close says about one attached database.
struct checkpoint_database {
    database_id id{};
    std::uint16_t flags{};
    uuid database{};
    lsn consistent_lsn{}; // of the close since which nothing was written to it; 0: something was
    friend bool operator==(checkpoint_database const&, checkpoint_database const&) = default;
};

struct checkpoint_slot {
    static constexpr std::size_t size = 4096;

    std::uint64_t sequence{}; // set by checkpoint_file::write
    uuid instance{};
    timeline_id timeline{};
    lsn redo_lsn{};
    lsn undo_low_lsn{};
    lsn end_lsn{}; // durable LSN when the slot was written
    std::uint64_t generation{};
    std::uint64_t nonce{};
    wall_time written_at{};
    bool clean{};
    std::uint32_t incarnation{}; // +1 at each open, durable before the first log write
    std::uint32_t recoveries{};
    std::uint32_t database_count{};
    std::array<checkpoint_database, databases_max> databases{};
    std::array<named_pin, named_pins_max> pins{};
    std::uint64_t segment_bytes = segment_bytes_default;
    std::uint32_t page_bytes{};
    lsn highest_seen{}; // highest LSN seen in any attached file

    friend bool operator==(checkpoint_slot const&, checkpoint_slot const&) = default;

    [[nodiscard]] std::span<checkpoint_database const> attached() const noexcept {
        return {databases.data(), database_count};
    }
    // nullptr if there is none, broken or not.
    [[nodiscard]] named_pin const* find_pin(pin_id const& wanted) const noexcept {
        for (auto const& one : pins)
            if (one.exists() && one.id() == wanted) return &one;
        return nullptr;
    }
    // The lowest place that a pin holds; `bound` if that is lower.
    [[nodiscard]] lsn pinned_from(lsn bound) const noexcept {
        for (auto const& one : pins)
            if (one.holds()) bound = earlier(bound, one.at);
        return bound;
    }
    [[nodiscard]] bool is_plausible() const noexcept {
        return is_segment_size(segment_bytes) && database_count <= databases_max &&
               redo_lsn <= lsn_limit && undo_low_lsn <= lsn_limit && end_lsn <= lsn_limit;
    }

    // Requires: block.size() == size.
    void encode(bytes block) const noexcept;
    // Requires: block.size() >= size.
    // Errors: bad_magic, bad_kind, unsupported_format, bad_header, unsupported_feature.
    [[nodiscard]] static result<checkpoint_slot> decode(const_bytes block) noexcept;
};

namespace detail {

inline constexpr file_preamble checkpoint_preamble{
    .magic = std::string_view{"JETPPCKP", 8}, .kind = file_kind::checkpoint
};

struct checkpoint_at {
    static constexpr std::size_t sequence = 32, instance = 40, timeline = 56, redo_lsn = 64,
                                 undo_low_lsn = 72, end_lsn = 80, generation = 88, nonce = 96,
                                 written_at = 104, clean = 112, incarnation = 116, recoveries = 120,
                                 database_count = 124, databases = 128, pins = 640,
                                 segment_log2 = 1408, page_bytes = 1412, highest_seen = 1416;
    static constexpr std::size_t database_size = 32, pin_size = 48;
};
static_assert(checkpoint_at::databases + databases_max * checkpoint_at::database_size == 640);
static_assert(checkpoint_at::pins + named_pins_max * checkpoint_at::pin_size == 1408);
static_assert(checkpoint_at::highest_seen + 8 == 1424);

} // namespace detail

inline void checkpoint_slot::encode(bytes block) const noexcept {
    using at = detail::checkpoint_at;
    ensure(block.size() == size, "a checkpoint slot is 4096 bytes");
    ensure(is_plausible(), "a checkpoint slot that is written must be one that is read");
    std::memset(block.data(), 0, block.size());
    auto* p = block.data();
    detail::store_preamble(p, detail::checkpoint_preamble);
    store_le<std::uint64_t>(p + at::sequence, sequence);
    detail::store_uuid(p + at::instance, instance);
    store_le<std::uint64_t>(p + at::timeline, timeline.value);
    store_le<std::uint64_t>(p + at::redo_lsn, redo_lsn.value);
    store_le<std::uint64_t>(p + at::undo_low_lsn, undo_low_lsn.value);
    store_le<std::uint64_t>(p + at::end_lsn, end_lsn.value);
    store_le<std::uint64_t>(p + at::generation, generation);
    store_le<std::uint64_t>(p + at::nonce, nonce);
    detail::store_time(p + at::written_at, written_at);
    store_le<std::uint32_t>(p + at::clean, clean ? 1 : 0);
    store_le<std::uint32_t>(p + at::incarnation, incarnation);
    store_le<std::uint32_t>(p + at::recoveries, recoveries);
    store_le<std::uint32_t>(p + at::database_count, database_count);
    for (std::size_t i = 0; i < database_count; ++i) {
        auto* d = p + at::databases + i * at::database_size;
        store_le<std::uint16_t>(d, databases[i].id.value);
        store_le<std::uint16_t>(d + 2, databases[i].flags);
        detail::store_uuid(d + 8, databases[i].database);
        store_le<std::uint64_t>(d + 24, databases[i].consistent_lsn.value);
    }
    for (std::size_t i = 0; i < named_pins_max; ++i) {
        auto* d = p + at::pins + i * at::pin_size;
        std::memcpy(d, pins[i].owner.data(), pins[i].owner.size());
        store_le<std::uint64_t>(d + 16, pins[i].at.value);
        store_le<std::uint64_t>(d + 24, pins[i].byte_cap);
        detail::store_time(d + 32, pins[i].created_at);
        store_le<std::uint32_t>(d + 40, static_cast<std::uint32_t>(pins[i].kind));
        store_le<std::uint32_t>(d + 44, pins[i].flags);
    }
    store_le<std::uint32_t>(
        p + at::segment_log2, static_cast<std::uint32_t>(std::countr_zero(segment_bytes))
    );
    store_le<std::uint32_t>(p + at::page_bytes, page_bytes);
    store_le<std::uint64_t>(p + at::highest_seen, highest_seen.value);
    detail::seal_block(block);
}

inline result<checkpoint_slot> checkpoint_slot::decode(const_bytes block) noexcept {
    using at = detail::checkpoint_at;
    ensure(block.size() >= size, "a checkpoint slot is 4096 bytes");
    block = block.first(size);
    BOOST_OUTCOME_TRY(detail::check_preamble(block, detail::checkpoint_preamble));
    auto const* p = block.data();
    auto s = checkpoint_slot{};
    s.sequence = load_le<std::uint64_t>(p + at::sequence);
    s.instance = detail::load_uuid(p + at::instance);
    s.timeline = timeline_id{load_le<std::uint64_t>(p + at::timeline)};
    s.redo_lsn = lsn{load_le<std::uint64_t>(p + at::redo_lsn)};
    s.undo_low_lsn = lsn{load_le<std::uint64_t>(p + at::undo_low_lsn)};
    s.end_lsn = lsn{load_le<std::uint64_t>(p + at::end_lsn)};
    s.generation = load_le<std::uint64_t>(p + at::generation);
    s.nonce = load_le<std::uint64_t>(p + at::nonce);
    s.written_at = detail::load_time(p + at::written_at);
    s.clean = load_le<std::uint32_t>(p + at::clean) == 1;
    s.incarnation = load_le<std::uint32_t>(p + at::incarnation);
    s.recoveries = load_le<std::uint32_t>(p + at::recoveries);
    s.database_count = load_le<std::uint32_t>(p + at::database_count);
    auto const log2 = load_le<std::uint32_t>(p + at::segment_log2);
    s.segment_bytes = log2 < 64 ? std::uint64_t{1} << log2 : 0;
    s.page_bytes = load_le<std::uint32_t>(p + at::page_bytes);
    s.highest_seen = lsn{load_le<std::uint64_t>(p + at::highest_seen)};
    if (!s.is_plausible()) return error{.code = errc::bad_header, .file = file_kind::checkpoint};
    for (std::size_t i = 0; i < s.database_count; ++i) {
        auto const* d = p + at::databases + i * at::database_size;
        s.databases[i] = {
            .id = database_id{load_le<std::uint16_t>(d)},
            .flags = load_le<std::uint16_t>(d + 2),
            .database = detail::load_uuid(d + 8),
            .consistent_lsn = lsn{load_le<std::uint64_t>(d + 24)},
        };
    }
    for (std::size_t i = 0; i < named_pins_max; ++i) {
        auto const* d = p + at::pins + i * at::pin_size;
        auto& pin = s.pins[i];
        std::memcpy(pin.owner.data(), d, pin.owner.size());
        pin.at = lsn{load_le<std::uint64_t>(d + 16)};
        pin.byte_cap = load_le<std::uint64_t>(d + 24);
        pin.created_at = detail::load_time(d + 32);
        pin.kind = static_cast<pin_kind>(load_le<std::uint32_t>(d + 40));
        pin.flags = load_le<std::uint32_t>(d + 44);
    }
    return s;
}

template <any_environment Env>
class checkpoint_file {
public:
    // Opens jet.ckp, or makes an empty one (temporary name, sync, rename, directory sync).
    // The directory must outlive the call only.
    // Errors: those of storage; unsupported_format and unsupported_feature of either slot. A slot
    // that is merely torn or damaged is not an error here: the other one counts.
    [[nodiscard]] static result<checkpoint_file> open_or_create(
        Env env, typename Env::directory& directory
    ) noexcept;

    // What newest() would be, for who must not change anything; nothing without a file as well.
    // Errors: as open_or_create().
    [[nodiscard]] static result<std::optional<checkpoint_slot>> look(
        typename Env::directory& directory
    ) noexcept;

    // The valid slot with the larger sequence; nullptr if none is valid.
    [[nodiscard]] checkpoint_slot const* newest() const noexcept {
        return valid_[newest_] ? &slots_[newest_] : nullptr;
    }
    // The other slot, if it is valid too.
    [[nodiscard]] checkpoint_slot const* older() const noexcept {
        return valid_[1 - newest_] ? &slots_[1 - newest_] : nullptr;
    }
    // True if a slot holds bytes that are no slot: a torn write, or rot.
    [[nodiscard]] bool saw_damage() const noexcept { return damaged_; }

    // Writes the slot that is not the newest, durably; sequence is set here. When it returns
    // successfully, newest() is this slot.
    // Errors: io and its kin, then log_failed for ever (a failed write is never retried).
    // Complexity: one durable write of 4096 bytes.
    [[nodiscard]] result<void> write(checkpoint_slot slot) noexcept;

private:
    checkpoint_file(typename Env::file file, aligned_buffer block) noexcept
        : file_{std::move(file)}, block_{std::move(block)} {}

    [[nodiscard]] result<void> read_slots() noexcept;

    typename Env::file file_;
    aligned_buffer block_; // both slots
    std::array<checkpoint_slot, 2> slots_{};
    std::array<bool, 2> valid_{};
    std::size_t newest_ = 0;
    bool damaged_ = false;
    bool failed_ = false;
};

template <any_environment Env>
result<checkpoint_file<Env>> checkpoint_file<Env>::open_or_create(
    Env, typename Env::directory& directory
) noexcept {
    auto const here = [](error const& e) { return e.with_file(file_kind::checkpoint); };
    BOOST_OUTCOME_TRY(auto block, aligned_buffer::create(2 * checkpoint_slot::size));
    auto opened = directory.open(checkpoint_file_name, {.mode = open_mode::read_write});
    if (opened.has_value()) {
        auto made = checkpoint_file{std::move(opened).value(), std::move(block)};
        if (auto read = made.read_slots(); !read) return here(read.error());
        return made;
    }
    if (opened.error().code != errc::not_found) return here(opened.error());

    constexpr auto temporary = file_name{"jet.ckp.tmp"};
    if (auto gone = directory.remove(temporary); !gone && gone.error().code != errc::not_found)
        return here(gone.error());
    auto created = directory.open(temporary, {.mode = open_mode::create_new});
    if (!created) return here(created.error());
    auto file = std::move(created).value();
    if (auto done = write_full(file, block.all(), 0); !done) return here(done.error());
    if (auto done = file.sync(sync_how::full); !done) return here(done.error());
    Env::runtime_type::point(point_id::before_rename);
    if (auto done = directory.rename(temporary, checkpoint_file_name, rename_how::replace); !done)
        return here(done.error());
    Env::runtime_type::point(point_id::after_rename);
    if (!Env::runtime_type::sabotaged(sabotage::skip_dir_sync))
        if (auto done = directory.sync(); !done) return here(done.error());
    return checkpoint_file{std::move(file), std::move(block)};
}

template <any_environment Env>
result<std::optional<checkpoint_slot>> checkpoint_file<Env>::look(typename Env::directory& directory
) noexcept {
    BOOST_OUTCOME_TRY(auto block, aligned_buffer::create(2 * checkpoint_slot::size));
    auto opened = directory.open(checkpoint_file_name, {.mode = open_mode::read_only});
    if (!opened && opened.error().code == errc::not_found) return std::nullopt;
    if (!opened) return opened.error().with_file(file_kind::checkpoint);
    auto made = checkpoint_file{std::move(opened).value(), std::move(block)};
    if (auto read = made.read_slots(); !read) return read.error().with_file(file_kind::checkpoint);
    if (made.newest() == nullptr) return std::nullopt;
    return *made.newest();
}

template <any_environment Env>
result<void> checkpoint_file<Env>::read_slots() noexcept {
    // A file cut short by a crash inside its creation reads as zeros behind its end.
    BOOST_OUTCOME_TRY(read_up_to(file_, block_.all(), 0));
    for (std::size_t i = 0; i < 2; ++i) {
        auto const raw = const_bytes{block_.all()}
                             .subspan(i * checkpoint_slot::size)
                             .first(checkpoint_slot::size);
        if (all_zero(raw)) continue;
        auto decoded = checkpoint_slot::decode(raw);
        if (decoded) {
            slots_[i] = decoded.value();
            valid_[i] = true;
            continue;
        }
        auto const code = decoded.error().code;
        if (code == errc::unsupported_format || code == errc::unsupported_feature)
            return decoded.error();
        damaged_ = true;
    }
    newest_ = valid_[1] && (!valid_[0] || slots_[1].sequence > slots_[0].sequence) ? 1 : 0;
    return ok();
}

template <any_environment Env>
result<void> checkpoint_file<Env>::write(checkpoint_slot slot) noexcept {
    if (failed_) return error{.code = errc::log_failed, .file = file_kind::checkpoint};
    auto const target = valid_[newest_] ? 1 - newest_ : newest_;
    slot.sequence = valid_[newest_] ? slots_[newest_].sequence + 1 : 1;
    auto const at = target * checkpoint_slot::size;
    slot.encode(block_.part(at, checkpoint_slot::size));
    Env::runtime_type::point(point_id::before_checkpoint_slot);
    auto written =
        write_full(file_, block_.part(at, checkpoint_slot::size), at, write_how::durable);
    if (!written) {
        failed_ = true;
        return written.error().with_file(file_kind::checkpoint);
    }
    Env::runtime_type::point(point_id::after_checkpoint_slot);
    slots_[target] = slot;
    valid_[target] = true;
    newest_ = target;
    return ok();
}

} // namespace jetpp::inline v1
