// jetpp/btree/space.hpp - where new pages come from: free bits of space maps, and growth.
//
// The space maps are the truth; what is in memory here are hints (which regions had no room when
// last looked at). A page is allocated under the exclusive latch of its map page, in the same
// record that makes it part of a tree, and freed the same way.
//
// Growth:  allocate_pages (real space, synced)  ->  log `extend`, make new maps  ->  use_pages
// Logged first, a crash would leave records of pages that the file cannot hold.
// Invariants
//   * a map page is the last tree page latched
//   * bits at or beyond page_count() are zero and never handed out
// Threads  any. grow() holds a mutex over I/O; nobody who waits for it holds a latch.
// Owns     nothing but hints.
#pragma once

#include <jetpp/btree/detail/apply_parts.hpp>
#include <jetpp/btree/detail/structure_change.hpp>
#include <jetpp/buffer/buffer_pool.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/sync.hpp>
#include <jetpp/log/log_writer.hpp>
#include <jetpp/page/space_map.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>

namespace jetpp::inline v1 {

template <class Traits>
class page_space {
public:
    using env = typename Traits::env;
    static constexpr std::size_t page_size = Traits::page_size;
    using limits = page_limits<page_size>;
    using regions = space_regions<page_size>;
    using exclusive = exclusive_page<Traits>;
    using file_type = paged_file<Traits>;

    page_space(env environment, buffer_pool<Traits>& pool, log_writer<env>& log) noexcept
        : pool_{&pool}, log_{&log}, growing_{environment.runtime} {}
    page_space(page_space const&) = delete;
    page_space& operator=(page_space const&) = delete;

    // The regions to look at, best first: that of `near`, then every other one in order. Regions
    // known to be full are passed over, unless the walk is thorough.
    class walk {
    public:
        walk(page_space& space, file_type const& file) noexcept : space_{&space}, file_{&file} {
            space.adopt(file);
        }

        // Starts once; later calls change nothing.
        void start(page_number near) noexcept {
            if (started_) return;
            started_ = true;
            near_ = regions::region_of(near);
            next_ = 0;
            region_ = near_;
            if (passes_over(near_)) advance();
        }
        void restart() noexcept { started_ = false; }
        // Hints may be stale: before a full disk is reported, every map is looked at.
        [[nodiscard]] bool is_thorough() const noexcept { return thorough_; }
        void restart_thoroughly() noexcept {
            started_ = false;
            thorough_ = true;
        }
        // Requires: started. Empty when all regions were seen: grow().
        [[nodiscard]] std::optional<std::uint32_t> region() const noexcept {
            if (region_ >= regions::region_count(file_->page_count())) return std::nullopt;
            return region_;
        }
        void advance() noexcept {
            auto const count = regions::region_count(file_->page_count());
            do region_ = next_++;
            while (region_ < count && (region_ == near_ || passes_over(region_)));
        }

    private:
        [[nodiscard]] bool passes_over(std::uint32_t region) const noexcept {
            return !thorough_ && space_->is_full(*file_, region);
        }

        page_space const* space_;
        file_type const* file_;
        bool started_ = false;
        bool thorough_ = false;
        std::uint32_t near_ = 0;
        std::uint32_t next_ = 0;
        std::uint32_t region_ = 0;
    };

    // `count` free pages of one region, nearest behind `near` first.
    // Requires: the region's map page is held exclusively.
    // Returns: false if there are not so many; the region is then remembered as full.
    [[nodiscard]] bool find(
        file_type const& file,
        exclusive const& map,
        page_number near,
        std::uint32_t count,
        page_number* out
    ) noexcept {
        auto const bits = space_map_view<page_size>{map.data()};
        auto const end = regions::bits_in_file(map.number(), file.page_count());
        auto const here = regions::map_page_of(near) == map.number();
        auto from = here ? regions::bit_of(near) : 1;
        auto found = std::uint32_t{0};
        for (auto turn = 0; turn < 2 && found < count; ++turn) {
            auto const stop = turn == 0 ? end : std::min(end, from);
            auto next = turn == 0 ? from : 1;
            while (found < count) {
                auto const bit = bits.find_free(next, 1, stop);
                if (!bit) break;
                out[found++] = regions::page_of(map.number(), *bit);
                next = *bit + 1;
            }
        }
        if (found == count) return true;
        remember_full(file, regions::region_of(map.number()), true);
        return false;
    }

    // Called where pages became part of a tree, or free.
    void taken(file_type const& file, std::uint32_t count) noexcept {
        add_free(file, -std::int64_t{count});
    }
    void freed(file_type const& file, page_number page) noexcept {
        remember_full(file, regions::region_of(page), false);
        add_free(file, 1);
    }

    // Ordinary work leaves this many pages, and base_reserve more, to undo and to the drop of
    // trees: rolling back must not fail on a full disk.
    static constexpr std::uint32_t base_reserve = 64;
    void set_reserve(file_type const& file, std::uint32_t pages) noexcept {
        place_of(file).reserve.store(pages, std::memory_order_relaxed);
    }
    // Called before pages are looked for; grows the file while too little would be left.
    // Requires: no latch, no frames held.
    // Errors: disk_full for ordinary work; those of grow().
    [[nodiscard]] result<void> admit(file_type& file, log_credit& credit, credit_use use) noexcept {
        if (use == credit_use::owed) return ok();
        for (;;) {
            BOOST_OUTCOME_TRY(auto const free, known_free(file));
            auto const& here = place_of(file);
            if (free > std::int64_t{base_reserve} + here.reserve.load(std::memory_order_relaxed))
                return ok();
            BOOST_OUTCOME_TRY(grow(file, file.page_count(), credit, use));
        }
    }

    // Makes the file larger than `seen_pages`, unless somebody has.
    // Requires: no latch, no frames held.
    // Errors: disk_full, io, log_failed; those of the pool.
    [[nodiscard]] result<void> grow(
        file_type& file, std::uint32_t seen_pages, log_credit& credit, credit_use use
    ) noexcept {
        auto lock = holding{growing_};
        auto const old_pages = file.page_count();
        if (old_pages > seen_pages) return ok();
        BOOST_OUTCOME_TRY(auto const new_pages, allocate(file, old_pages));
        return use_pages(file, old_pages, new_pages, credit, use);
    }

    // Free pages in the file, by reading every map.
    // Requires: no latch held.
    [[nodiscard]] result<std::uint64_t> count_free(file_type& file) noexcept {
        auto sum = std::uint64_t{0};
        auto const count = regions::region_count(file.page_count());
        for (auto r = std::uint32_t{0}; r < count; ++r) {
            auto const map = regions::map_of_region(r);
            auto page = shared_page<Traits>{};
            while (pool_->try_share(file, map, page) == fix::absent) {
                BOOST_OUTCOME_TRY(pool_->load(file, map));
            }
            sum += space_map_view<page_size>{page.data()}.count_free(
                regions::bits_in_file(map, file.page_count())
            );
        }
        return sum;
    }

private:
    static constexpr std::uint32_t step_min = 16;

    // Real space first. A nearly full disk may still give a smaller step.
    [[nodiscard]] result<std::uint32_t> allocate(
        file_type& file, std::uint32_t old_pages
    ) noexcept {
        auto step = file.grown_page_count() - old_pages;
        for (;; step /= 2) {
            if (step == 0) return error{.code = errc::disk_full, .file = file_kind::database};
            auto const made = file.allocate_pages(old_pages + step);
            if (made.has_value()) return old_pages + step;
            if (made.error().code != errc::disk_full || step <= step_min)
                return made.error().with_database(file.id());
        }
    }

    // One `extend` record for each new map page at most, so that few frames are enough.
    [[nodiscard]] result<void> use_pages(
        file_type& file,
        std::uint32_t old_pages,
        std::uint32_t new_pages,
        log_credit& credit,
        credit_use use
    ) noexcept {
        while (old_pages < new_pages) {
            auto const map = regions::map_of_region(
                regions::region_count(std::max(old_pages, limits::first_page.value))
            );
            auto const to =
                std::min(std::uint64_t{new_pages}, std::uint64_t{map.value} + limits::region_pages);
            auto body = record::extend{old_pages, static_cast<std::uint32_t>(to)};
            BOOST_OUTCOME_TRY(
                detail::require_credit(*log_, credit, static_cast<std::uint32_t>(body.size()), use)
            );
            auto const header = record_header{.flags = record_flags::system, .database = file.id()};
            if (map.value < to) {
                BOOST_OUTCOME_TRY(auto purse, pool_->reserve_frames(1));
                auto page = pool_->create_page(file, map, purse);
                auto const at = detail::append_marked<Traits>(
                    *log_, credit, header, body, {&page}, [](lsn) noexcept {}
                );
                auto const part = page_part{.page = map, .flags = part_flags::format};
                auto const made = detail::part_applier<page_size>{
                    page.data(), part, {at, log_->timeline_low()}
                }.fresh_map();
                ensure(made.has_value(), "a fresh map can be made of any page");
            } else {
                (void)detail::append_marked<Traits>(
                    *log_, credit, header, body, {}, [](lsn) noexcept {}
                );
            }
            file.use_pages(body.new_pages);
            add_free(
                file, std::int64_t{body.new_pages} - body.old_pages - (map.value < to ? 1 : 0)
            );
            remember_full(file, regions::region_of({old_pages}), false);
            old_pages = body.new_pages;
        }
        return ok();
    }

    // What is known of an attached database. A place is shared by databases of equal id modulo 16:
    // who comes anew forgets what was there.
    struct place {
        template <class T>
        using atomic = typename Traits::template atomic<T>;
        atomic<std::uint32_t> owner{0};
        atomic<std::uint32_t> reserve{0};
        atomic<std::uint64_t> full{0}; // the first 64 regions; later ones are always looked at
        atomic<std::int64_t> free{unknown};
    };
    static constexpr std::int64_t unknown = std::int64_t{1} << 62;

    [[nodiscard]] place& place_of(file_type const& file) noexcept {
        return places_[file.id().value % databases_max];
    }
    [[nodiscard]] place const& place_of(file_type const& file) const noexcept {
        return places_[file.id().value % databases_max];
    }
    void adopt(file_type const& file) noexcept {
        auto& here = place_of(file);
        if (here.owner.load(std::memory_order_relaxed) == file.id().value) return;
        here.owner.store(file.id().value, std::memory_order_relaxed);
        here.reserve.store(0, std::memory_order_relaxed);
        here.full.store(0, std::memory_order_relaxed);
        here.free.store(unknown, std::memory_order_relaxed);
    }
    [[nodiscard]] bool is_full(file_type const& file, std::uint32_t region) const noexcept {
        if (region >= 64) return false;
        return (place_of(file).full.load(std::memory_order_relaxed) >> region & 1) != 0;
    }
    void remember_full(file_type const& file, std::uint32_t region, bool full) noexcept {
        if (region >= 64) return;
        auto const bit = std::uint64_t{1} << region;
        if (full)
            place_of(file).full.fetch_or(bit, std::memory_order_relaxed);
        else
            place_of(file).full.fetch_and(~bit, std::memory_order_relaxed);
    }
    // Counted when first asked for, kept from then on. Work that ends while maps are being read may
    // be counted twice or not at all: good enough for a reserve.
    [[nodiscard]] result<std::int64_t> known_free(file_type& file) noexcept {
        adopt(file);
        auto& here = place_of(file);
        if (auto const known = here.free.load(std::memory_order_relaxed); known < unknown / 2)
            return known;
        BOOST_OUTCOME_TRY(auto const counted, count_free(file));
        here.free.store(static_cast<std::int64_t>(counted), std::memory_order_relaxed);
        return static_cast<std::int64_t>(counted);
    }
    void add_free(file_type const& file, std::int64_t count) noexcept {
        place_of(file).free.fetch_add(count, std::memory_order_relaxed);
    }

    buffer_pool<Traits>* pool_;
    log_writer<env>* log_;
    typename Traits::mutex growing_;
    place places_[databases_max]{};
};

} // namespace jetpp::inline v1
