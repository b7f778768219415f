// jetpp/page/timeline_ancestry.hpp - the forks that led to a timeline, as far as anybody knows them.
//
//     t1 ------o        t2, left t1 at o: {t1, o}
//     t2        ----o   t3: {t2, o'}, {t1, o}, newest first
//     t3             --->
// Of an instance the log names the newest fork alone; those before it stand in the headers of its
// databases, and in the sets of backups. They need not agree: one may have been made where less was
// known, and a header may name the attach of a file where it should name a fork.
// In a header two lists stand one behind the other: first the forks of the instance, then, from the
// entry that bears the LSN of the attach on, what the file went through in another instance. That is
// no part of this one's history; it tells of pages where they were written.
// Invariants
//   * of two lists that differ the one with the earlier fork is right: every LSN of a timeline, that
//     of an attach too, lies above the fork that it began with
// Threads  values; pure functions.
// Source   backup rules R16, R36.
#pragma once

#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/page/database_header.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

namespace jetpp::inline v1 {

class timeline_ancestry {
public:
    timeline_ancestry() noexcept = default;

    // Of a timeline as its log names it: the newest fork is beyond doubt. `newest.parent` zero: a
    // root, and that is all there is to know.
    [[nodiscard]] static timeline_ancestry of_log(
        timeline_id timeline, timeline_fork const& newest
    ) noexcept {
        auto made = timeline_ancestry{timeline};
        made.is_certain_ = true;
        if (newest.parent.value != 0) made.forks_[made.count_++] = newest;
        return made;
    }
    // As somebody tells it.
    [[nodiscard]] static timeline_ancestry of(
        timeline_id timeline, std::span<timeline_fork const> forks
    ) noexcept {
        auto made = timeline_ancestry{timeline};
        made.append(forks);
        return made;
    }

    [[nodiscard]] timeline_id timeline() const noexcept { return timeline_; }
    // Newest first; at most ancestors_max, the oldest drop out.
    [[nodiscard]] std::span<timeline_fork const> forks() const noexcept {
        return {forks_.data(), count_};
    }

    // Takes what somebody tells of this timeline, or of one that led to it, if that is more, or
    // more likely, than what is known. The first `fixed` forks are beyond doubt. Returns: was it?
    bool learn(
        timeline_id told, std::span<timeline_fork const> forks, std::size_t fixed = 0
    ) noexcept {
        auto const kept = place_of(told);
        if (kept > count_) return false;
        if (told == timeline_ && is_certain_ &&
            (count_ == 0 || forks.empty() || forks[0] != forks_[0]))
            return false;
        auto other = timeline_ancestry{timeline_};
        other.append({forks_.data(), kept});
        other.append(forks);
        if (!other.tells_more_than(*this) || common(other) < fixed) return false;
        forks_ = other.forks_;
        count_ = other.count_;
        return true;
    }
    // How many of the first forks are as that says, and as they were before it begins.
    [[nodiscard]] std::size_t borne_out(timeline_id told, std::span<timeline_fork const> forks)
        const noexcept {
        auto count = place_of(told);
        if (count > count_) return 0;
        for (auto const& one : forks) {
            if (count == count_ || one != forks_[count]) break;
            ++count;
        }
        return count;
    }

private:
    explicit timeline_ancestry(timeline_id timeline) noexcept : timeline_{timeline} {}

    // How many forks lie between that timeline and this one; more than there are: it is none of them.
    [[nodiscard]] std::size_t place_of(timeline_id told) const noexcept {
        if (told == timeline_) return 0;
        auto place = std::size_t{0};
        while (place < count_ && forks_[place].parent != told) ++place;
        return place + 1;
    }
    [[nodiscard]] std::size_t common(timeline_ancestry const& other) const noexcept {
        auto same = std::size_t{0};
        while (same < std::min(count_, other.count_) && forks_[same] == other.forks_[same]) ++same;
        return same;
    }
    void append(std::span<timeline_fork const> forks) noexcept {
        auto const n = std::min(forks.size(), forks_.size() - count_);
        std::copy_n(forks.begin(), n, forks_.begin() + static_cast<std::ptrdiff_t>(count_));
        count_ += n;
    }
    [[nodiscard]] bool tells_more_than(timeline_ancestry const& other) const noexcept {
        for (std::size_t i = 0; i < std::min(count_, other.count_); ++i)
            if (forks_[i] != other.forks_[i]) return forks_[i].fork_lsn < other.forks_[i].fork_lsn;
        return count_ > other.count_;
    }

    timeline_id timeline_{};
    bool is_certain_ = false; // the newest fork, or that there is none
    std::size_t count_ = 0;
    std::array<timeline_fork, ancestors_max> forks_{};
};

// The forks of the header's instance.
[[nodiscard]] inline std::span<timeline_fork const> forks_of_instance(database_header const& h
) noexcept {
    auto const all = h.ancestry();
    auto count = std::size_t{0};
    while (count < all.size() && all[count].fork_lsn != h.attach_lsn) ++count;
    return all.first(count);
}

// The file is attached there now: what it went through elsewhere ends with that.
inline void note_attach(database_header& h, lsn at) noexcept {
    auto const own = forks_of_instance(h).size();
    if (own != h.ancestor_count) h.ancestors[own].fork_lsn = at;
    h.attach_lsn = at;
}

// The header becomes one of that history. What the file went through elsewhere stays, as far as
// there is room, but for what is said of this history's own timelines.
inline void follow(database_header& h, timeline_ancestry const& line) noexcept {
    auto const before = h.ancestors;
    auto const all = std::span{before}.first(h.ancestor_count);
    auto const elsewhere = all.subspan(forks_of_instance(h).size());
    auto const own = line.forks();
    h.timeline = line.timeline();
    h.ancestors = {};
    h.ancestor_count = static_cast<std::uint32_t>(own.size());
    std::copy(own.begin(), own.end(), h.ancestors.begin());
    for (auto const& one : elsewhere) {
        auto const is_own = one.parent == line.timeline() ||
                            std::any_of(own.begin(), own.end(), [&](timeline_fork const& fork) {
                                return fork.parent == one.parent;
                            });
        if (!is_own && h.ancestor_count < ancestors_max) h.ancestors[h.ancestor_count++] = one;
    }
    if (own.size() < h.ancestor_count) h.ancestors[own.size()].fork_lsn = h.attach_lsn;
}

} // namespace jetpp::inline v1
