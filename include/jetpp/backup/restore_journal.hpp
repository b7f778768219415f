// jetpp/backup/restore_journal.hpp - jet.restore: while it exists, nothing but restore opens the
// directory.
//
// Layout: two slots of 4096 bytes, written alternately, each synced; the valid one with the larger
// sequence counts. A slot:
//     0 checksum u64   8 "JETPPRST"   16 kind u32 (5)   20 major u16   22 minor u16   24 bits u64
//    32 sequence u64  40 instance uuid   56 timeline u64 (the new one)   64 parent timeline u64
//    72 fork_lsn u64  80 first generation of the fork u64   88 phase u32   92 flags u32
//    96 staging uuid 112 SHA-256 of the plan   144 zero
// Its presence keeps engines out. The content tells people, and a restart, what was going on.
// Threads  one owner.
// Source   backup rules R15, R43.
#pragma once

#include <jetpp/backup/file_output.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
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
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

namespace jetpp::inline v1 {

inline constexpr file_name restore_journal_name{"jet.restore"};

// The name under which a journal was being made when a crash came: it never counted.
[[nodiscard]] constexpr bool is_unborn_journal(file_name const& name) noexcept {
    return name.view().starts_with("jet.restore.tmp-");
}
// Of storage, out_of_memory.
template <storage_directory Directory>
[[nodiscard]] result<void> remove_unborn_journals(Directory& where) noexcept {
    auto entries = array_list<directory_entry>{};
    BOOST_OUTCOME_TRY(where.list(entries));
    for (auto const& one : entries)
        if (is_unborn_journal(one.name)) {
            BOOST_OUTCOME_TRY(where.remove(one.name));
        }
    return ok();
}

enum class restore_phase : std::uint32_t {
    stage = 1, // databases and log are being laid down
    redo = 2,
    undo = 3,
    clean = 4,
    publish = 5, // everything stands and is synced; the journal goes next
    done = 6,
};

struct restore_journal {
    static constexpr std::size_t size = 4096;
    // flags
    static constexpr std::uint32_t external = 1; // the files are restored where they lie
    static constexpr std::uint32_t exchange = 2; // staged files take the place of others
    static constexpr std::uint32_t live = 4;     // of some others: the instance goes on in its log
    static constexpr std::uint32_t delta = 8;    // databases are being laid over

    std::uint64_t sequence{};
    uuid instance{};
    timeline_id timeline{};
    timeline_id parent{};
    lsn fork_lsn{};
    std::uint64_t first_generation{};
    restore_phase phase = restore_phase::stage;
    std::uint32_t flags{};
    uuid staging{}; // the set; of an exchange, the try
    sha256_digest plan{};

    friend bool operator==(restore_journal const&, restore_journal const&) noexcept = default;

    // Requires: block.size() == size.
    void encode(bytes block) const noexcept;
    // Requires: block.size() >= size. Errors: bad_magic, bad_kind, unsupported_format, bad_header.
    [[nodiscard]] static result<restore_journal> decode(const_bytes block) noexcept;
};

namespace detail {

struct journal_at {
    static constexpr std::size_t magic = 8, kind = 16, major = 20, minor = 22, bits = 24,
                                 sequence = 32, instance = 40, timeline = 56, parent = 64,
                                 fork_lsn = 72, first_generation = 80, phase = 88, flags = 92,
                                 staging = 96, plan = 112, zero = 144;
};
inline constexpr std::string_view journal_magic{"JETPPRST", 8};

} // namespace detail

inline void restore_journal::encode(bytes block) const noexcept {
    using at = detail::journal_at;
    ensure(block.size() == size, "a journal slot is 4096 bytes");
    auto* p = block.data();
    std::memset(p, 0, size);
    std::memcpy(p + at::magic, detail::journal_magic.data(), detail::journal_magic.size());
    store_le<std::uint32_t>(p + at::kind, static_cast<std::uint32_t>(file_kind::restore_journal));
    store_le<std::uint16_t>(p + at::major, 1);
    store_le<std::uint64_t>(p + at::sequence, sequence);
    std::memcpy(p + at::instance, instance.raw.data(), instance.raw.size());
    store_le<std::uint64_t>(p + at::timeline, timeline.value);
    store_le<std::uint64_t>(p + at::parent, parent.value);
    store_le<std::uint64_t>(p + at::fork_lsn, fork_lsn.value);
    store_le<std::uint64_t>(p + at::first_generation, first_generation);
    store_le<std::uint32_t>(p + at::phase, static_cast<std::uint32_t>(phase));
    store_le<std::uint32_t>(p + at::flags, flags);
    std::memcpy(p + at::staging, staging.raw.data(), staging.raw.size());
    std::memcpy(p + at::plan, plan.data(), plan.size());
    store_le<std::uint64_t>(p, structure_sum(const_bytes{block}.subspan(8)));
}

inline result<restore_journal> restore_journal::decode(const_bytes block) noexcept {
    using at = detail::journal_at;
    ensure(block.size() >= size, "a journal slot is 4096 bytes");
    block = block.first(size);
    auto const* p = block.data();
    auto const refuse = [](errc code) {
        return error{.code = code, .file = file_kind::restore_journal};
    };
    if (as_text(block.subspan(at::magic, 8)) != detail::journal_magic)
        return refuse(errc::bad_magic);
    if (load_le<std::uint32_t>(p + at::kind) !=
        static_cast<std::uint32_t>(file_kind::restore_journal))
        return refuse(errc::bad_kind);
    if (load_le<std::uint16_t>(p + at::major) != 1) return refuse(errc::unsupported_format);
    if (load_le<std::uint64_t>(p) != structure_sum(block.subspan(8)))
        return refuse(errc::bad_header);
    if (load_le<std::uint64_t>(p + at::bits) != 0) return refuse(errc::unsupported_feature);
    auto j = restore_journal{};
    j.sequence = load_le<std::uint64_t>(p + at::sequence);
    std::memcpy(j.instance.raw.data(), p + at::instance, j.instance.raw.size());
    j.timeline = {load_le<std::uint64_t>(p + at::timeline)};
    j.parent = {load_le<std::uint64_t>(p + at::parent)};
    j.fork_lsn = lsn{load_le<std::uint64_t>(p + at::fork_lsn)};
    j.first_generation = load_le<std::uint64_t>(p + at::first_generation);
    j.phase = static_cast<restore_phase>(load_le<std::uint32_t>(p + at::phase));
    j.flags = load_le<std::uint32_t>(p + at::flags);
    std::memcpy(j.staging.raw.data(), p + at::staging, j.staging.raw.size());
    std::memcpy(j.plan.data(), p + at::plan, j.plan.size());
    if (j.phase < restore_phase::stage || j.phase > restore_phase::done ||
        !all_zero(block.subspan(at::zero)))
        return refuse(errc::bad_header);
    return j;
}

// The newer slot. Nothing: there is no journal. Errors: bad_header (neither slot can be believed),
// those of storage, out_of_memory.
template <any_environment Env>
[[nodiscard]] result<std::optional<restore_journal>> read_restore_journal(
    typename Env::directory& directory
) noexcept {
    auto const here = [](error const& e) { return e.with_file(file_kind::restore_journal); };
    BOOST_OUTCOME_TRY(auto room, aligned_buffer::create(2 * restore_journal::size));
    auto newest = std::optional<restore_journal>{};
    auto file = directory.open(restore_journal_name, {.mode = open_mode::read_only});
    if (!file && file.error().code == errc::not_found) return newest;
    if (!file) return here(file.error());
    auto const got = read_up_to(file.assume_value(), room.all(), 0);
    if (!got) return here(got.error());
    std::memset(room.data() + got.assume_value(), 0, room.size() - got.assume_value());
    for (std::size_t i = 0; i < 2; ++i) {
        auto const one =
            restore_journal::decode(room.part(i * restore_journal::size, restore_journal::size));
        if (one && (!newest || newest->sequence < one.assume_value().sequence))
            newest = one.assume_value();
    }
    if (!newest) return here(error{.code = errc::bad_header});
    return newest;
}

template <any_environment Env>
class restore_journal_file {
public:
    // Makes the file, or takes over the one that an interrupted restore left.
    // Errors: of storage, out_of_memory.
    [[nodiscard]] static result<std::unique_ptr<restore_journal_file>> create(
        typename Env::directory& directory
    ) noexcept {
        auto made = std::unique_ptr<restore_journal_file>{new (std::nothrow) restore_journal_file};
        if (made == nullptr) return error{.code = errc::out_of_memory};
        BOOST_OUTCOME_TRY(made->block_, aligned_buffer::create(restore_journal::size));
        auto opened = directory.open(restore_journal_name, {.mode = open_mode::open_or_create});
        if (!opened) return here(opened.error());
        made->file_.emplace(std::move(opened).assume_value());
        // What is written next must be newer than what is there; of one that cannot be believed
        // neither slot counts.
        auto const old = read_restore_journal<Env>(directory);
        if (!old && old.error().code != errc::bad_header) return old.error();
        if (!old || !old.assume_value()) return made;
        made->sequence_ = old.assume_value()->sequence;
        // A process that was killed may have written and not synced what is relied on from here on.
        if (auto done = made->file_->sync(sync_how::full); !done) return here(done.error());
        return made;
    }
    // The same where a journal that cannot be read would hide what is in the directory: it is there
    // with its content, or it is not. Durable on return, its name too.
    // Errors: already_exists, of storage, out_of_memory.
    [[nodiscard]] static result<std::unique_ptr<restore_journal_file>> begin(
        Env env, typename Env::directory& directory, restore_journal first
    ) noexcept {
        BOOST_OUTCOME_TRY(auto content, aligned_buffer::create(2 * restore_journal::size));
        std::memset(content.data(), 0, content.size());
        first.sequence = 1;
        first.encode(content.part(restore_journal::size, restore_journal::size));
        auto done = publish_file(env, directory, restore_journal_name, content.all());
        if (!done) return here(done.error());
        return create(directory);
    }
    // Of what was written last, or is there.
    [[nodiscard]] std::uint64_t sequence() const noexcept { return sequence_; }
    // Durable on return, but for the name of a new file. Errors: of storage.
    [[nodiscard]] result<void> write(restore_journal journal) noexcept {
        journal.sequence = ++sequence_;
        journal.encode(block_.all());
        auto const at = sequence_ % 2 * restore_journal::size;
        if (auto done = write_full(*file_, block_.all(), at); !done) return here(done.error());
        if (auto done = file_->sync(sync_how::full); !done) return here(done.error());
        return ok();
    }

private:
    restore_journal_file() noexcept = default;
    [[nodiscard]] static error here(error const& e) noexcept {
        return e.with_file(file_kind::restore_journal);
    }

    std::optional<typename Env::file> file_;
    aligned_buffer block_;
    std::uint64_t sequence_ = 0;
};

} // namespace jetpp::inline v1
