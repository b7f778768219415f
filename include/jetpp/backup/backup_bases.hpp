// jetpp/backup/backup_bases.hpp - what a backup stands on, and what it may leave out because of it.
//
// Sets of log stand on marks in the headers of the databases: which set was the last of its kind,
// and where its log ended.
//     chain_end   the larger end of the full and the incremental mark: the log below it lies in sets
//     incremental [chain_end, end)     differential [full.end, end)
// Over several databases the smallest end counts: the log is one for all.
// Sets of pages stand on a base's manifest, which says what need not be copied again:
//     page_lsn >= base.redo_lsn, or written on a timeline that the base does not know -> copied
// redo_lsn and no later position: below it everything was home when the base was copied; a page
// changed between it and the base's begin may have gone home after the base had passed.
// Threads  pure functions.
// Source   backup rules R23, R24, part 3.
#pragma once

#include <jetpp/backup/backup_base.hpp>
#include <jetpp/backup/backup_chunk.hpp>
#include <jetpp/backup/backup_kind.hpp>
#include <jetpp/backup/frozen_database.hpp>
#include <jetpp/backup/manifest.hpp>
#include <jetpp/backup/sha256.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/insertion_sort.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/database_header.hpp>
#include <jetpp/page/page_view.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace jetpp::inline v1 {

// The end of the log that lies in sets already. Returns: no_lsn if there was no such backup.
[[nodiscard]] inline lsn chain_end_of(database_header const& h) noexcept {
    return later(h.mark(mark_kind::full).end_lsn, h.mark(mark_kind::incremental).end_lsn);
}
// Databases without a mark do not count.
[[nodiscard]] inline lsn chain_end_of(std::span<frozen_database const> databases) noexcept {
    auto end = no_lsn;
    for (auto const& known : databases)
        if (auto const one = chain_end_of(known.header)) end = end ? earlier(end, one) : one;
    return end;
}

// Where the log of an incremental or differential set begins.
// Errors: full_backup_required (database): it has none on this timeline, or was created since.
[[nodiscard]] inline result<lsn> log_base_end(
    backup_kind kind, timeline_id timeline, std::span<frozen_database const> databases
) noexcept {
    auto start = no_lsn;
    for (auto const& known : databases) {
        auto const& h = known.header;
        auto const& full = h.mark(mark_kind::full);
        if (!full.exists() || full.timeline != timeline)
            return error{
                .code = errc::full_backup_required,
                .database = h.id.value,
                .file = file_kind::database
            };
        auto const end = kind == backup_kind::differential ? full.end_lsn : chain_end_of(h);
        start = start ? earlier(start, end) : end;
    }
    return start;
}

// The sets that an incremental or differential set stands on, each once, the newest first; each
// must be where the new set will be, or a restore from there would meet a hole.
// Errors: base_not_here (database whose mark names it), those of `find`. Throws: std::bad_alloc.
[[nodiscard]] inline result<std::vector<manifest_base>> find_log_bases(
    backup_kind kind, std::span<frozen_database const> databases, base_finder const& find
) {
    struct wanted_base {
        backup_mark mark{};
        backup_kind role{};
        database_id named_by{};
    };
    auto wanted = std::vector<wanted_base>{};
    auto const want = [&](database_header const& h, mark_kind mark, backup_kind role) {
        if (h.mark(mark).exists()) wanted.push_back({h.mark(mark), role, h.id});
    };
    for (auto const& known : databases) {
        auto const& h = known.header;
        if (kind == backup_kind::incremental)
            want(h, mark_kind::incremental, backup_kind::incremental);
        want(h, mark_kind::full, backup_kind::full);
    }
    insertion_sort(std::span{wanted}, [](auto const& a, auto const& b) {
        return a.mark.end_lsn > b.mark.end_lsn;
    });
    auto found = std::vector<manifest_base>{};
    for (auto const& one : wanted) {
        auto seen = false;
        for (auto const& base : found) seen = seen || base.set == one.mark.set;
        if (seen) continue;
        auto const missing = error{
            .code = errc::base_not_here,
            .database = one.named_by.value,
            .file = file_kind::repository,
            .at = one.mark.end_lsn
        };
        if (!find) return missing;
        auto const hash = find(one.mark.set, one.mark.manifest_hash);
        if (!hash) {
            if (hash.error().code != errc::base_not_here) return hash.error();
            return missing;
        }
        if (short_of(hash.assume_value()) != one.mark.manifest_hash) return missing;
        found.push_back({one.mark.set, hash.assume_value(), std::string{name_of(one.role)}});
    }
    return found;
}

// Which pages of a database the base may lack.
class page_selection {
public:
    page_selection() noexcept = default; // all
    explicit page_selection(backup_manifest const& base) noexcept
        : all_{false}, from_{base.redo_lsn} {
        add(base.timeline);
        for (auto const& fork : base.ancestry) add(fork.parent);
    }
    // Of a database that was there when the base was made: what bears the mark of a timeline that it
    // came from has not changed since it came.
    page_selection(backup_manifest const& base, database_header const& h) noexcept
        : page_selection{base} {
        for (auto const& fork : h.ancestry()) add(fork.parent);
    }

    [[nodiscard]] bool takes_all() const noexcept { return all_; }
    [[nodiscard]] bool takes(lsn page_lsn, std::uint32_t timeline_low) const noexcept {
        if (all_ || page_lsn >= from_) return true;
        for (std::size_t i = 0; i < count_; ++i)
            if (known_[i] == timeline_low) return false;
        return true;
    }

private:
    void add(timeline_id timeline) noexcept {
        if (count_ < known_.size()) known_[count_++] = timeline.low();
    }

    bool all_ = true;
    lsn from_{};
    std::array<std::uint32_t, 2 * ancestors_max + 1> known_{};
    std::size_t count_ = 0;
};

// Takes pages from number `first` on that the base has out of a run: absent, and zero.
// Returns: is any left?
template <std::size_t PageSize>
[[nodiscard]] bool leave_out(
    page_selection const& taken, chunk_run& run, bytes image, std::uint64_t first
) noexcept {
    auto left = false;
    for (auto number = first; number < run.end; ++number) {
        auto const i = static_cast<std::size_t>(number - run.first);
        if (!is_present(run.presence, i)) continue;
        auto* const page = image.data() + i * PageSize;
        auto const view = page_view<PageSize>{page};
        if (taken.takes(view.page_lsn(), view.timeline_low())) {
            left = true;
        } else {
            std::memset(page, 0, PageSize);
            set_absent(run.presence, i);
        }
    }
    return left;
}

// Does the history of the database lead through the moment at which the base's pages ended? Its end
// lies behind that in the log, where a restore of the base itself forks: at its last record.
[[nodiscard]] inline bool descends_from(
    database_header const& h, backup_manifest const& base
) noexcept {
    if (h.timeline == base.timeline) return true;
    for (auto const& fork : h.ancestry())
        if (fork.parent == base.timeline) return base.copy_end_lsn <= fork.fork_lsn;
    return false;
}

// What to copy of one database. Everything if the base does not know it, if its history is another
// one, or if it was attached since: an older file may have been put back.
[[nodiscard]] inline page_selection pages_since(
    database_header const& h, backup_manifest const& base
) noexcept {
    auto const known =
        std::any_of(base.databases.begin(), base.databases.end(), [&](auto const& one) {
            return one.id == h.database;
        });
    if (!known || !descends_from(h, base) || h.attach_lsn > base.log_start) return {};
    return page_selection{base, h};
}

// Errors: base_not_here: it is no set with pages of this instance, or lies on a branch that this
// history left before the base ended.
[[nodiscard]] inline result<void> check_page_base(
    backup_manifest const& m,
    uuid const& instance,
    std::size_t page_size,
    std::span<frozen_database const> databases
) noexcept {
    auto const joins = std::any_of(databases.begin(), databases.end(), [&](auto const& known) {
        return descends_from(known.header, m);
    });
    if (!m.has_pages() || m.instance != instance || m.page_size != page_size || !joins)
        return error{.code = errc::base_not_here, .file = file_kind::manifest, .at = m.end_lsn};
    return ok();
}

} // namespace jetpp::inline v1
