// tools/check_database.hpp - every page of a database file, and, of a clean one, every tree.
//
// Pages are read from the file in order, by large reads; a page that the space map calls free may
// hold anything. Trees are walked through a small pool over the same file, opened read-only.
// Included by the build units alone.
#pragma once

#include <jetpp/btree/check.hpp>
#include <jetpp/buffer/buffer_pool.hpp>
#include <jetpp/buffer/core_traits.hpp>
#include <jetpp/buffer/paged_file.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/page/page_check.hpp>
#include <jetpp/page/space_map.hpp>
#include <jetpp/recovery/attached_database.hpp>
#include <jetpp/txn/catalogue_rows.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tool_build.hpp"

namespace jetpp_tool {

template <std::size_t PageSize, class Checksum>
class database_check {
    using traits = jetpp::core_traits<environment, PageSize, Checksum>;
    using file_type = jetpp::paged_file<traits>;
    using codec = typename file_type::codec;
    using limits = jetpp::page_limits<PageSize>;
    using regions = jetpp::space_regions<PageSize>;
    using view = jetpp::page_view<PageSize>;
    using place = jetpp::tree_place<traits>;

public:
    database_check(
        environment::directory& where,
        database_to_check const& database,
        std::function<void(finding const&)> const& found
    )
        : where_{where}, database_{database}, found_{found} {}

    jetpp::result<database_counts> run() {
        BOOST_OUTCOME_TRY(
            file_, file_type::open({}, where_, database_.name, jetpp::open_mode::read_only)
        );
        counts_.pages = file_->page_count();
        if (counts_.pages < std::max(database_.pages_logged, limits::new_database_pages))
            find({.page = {file_->page_count()}, .reason = jetpp::damage::short_file});
        BOOST_OUTCOME_TRY(check_header_area());
        for (auto r = std::uint32_t{0}; r < regions::region_count(file_->page_count()); ++r) {
            BOOST_OUTCOME_TRY(check_region(r));
        }
        if (database_.is_clean && counts_.pages >= limits::new_database_pages) {
            BOOST_OUTCOME_TRY(check_trees());
        }
        BOOST_OUTCOME_TRY(file_->close());
        return counts_;
    }

private:
    void find(finding const& one) {
        if (one.page != jetpp::no_page && !damaged_.insert(one.page).second) return;
        is_sound_ = false;
        found_(one);
    }

    // Two copies of 4096 bytes; all else is zero.
    jetpp::result<void> check_header_area() {
        BOOST_OUTCOME_TRY(
            auto area, jetpp::aligned_buffer::create(jetpp::database_header_area_bytes)
        );
        BOOST_OUTCOME_TRY(jetpp::read_up_to(file_->device(), area.all(), 0));
        for (auto const copy : {jetpp::header_copy::a, jetpp::header_copy::b})
            std::memset(area.data() + jetpp::offset_of(copy), 0, jetpp::database_header::size);
        if (!jetpp::all_zero(area.all()))
            find({.text = "bytes beside the header copies are not zero"});
        return jetpp::ok();
    }

    // Pages of one space map, the map first.
    jetpp::result<void> check_region(std::uint32_t region) {
        auto const map = regions::map_of_region(region);
        auto const bits = regions::bits_in_file(map, file_->page_count());
        BOOST_OUTCOME_TRY(auto map_page, jetpp::aligned_buffer::create(PageSize));
        BOOST_OUTCOME_TRY(auto const map_read, read(map, map_page.all()));
        auto map_known = false;
        if (map_read) {
            auto const wrong = check(map_page.data(), map);
            map_known = wrong == jetpp::damage::none &&
                        view{map_page.data()}.kind() == jetpp::page_kind::space_map;
            if (wrong == jetpp::damage::none && !map_known) judge(map, jetpp::damage::kind);
            if (map_known && !jetpp::space_map_view<PageSize>{map_page.data()}.clear_from(bits))
                judge(map, jetpp::damage::space_map);
        }
        constexpr auto step = std::uint32_t{(1u << 20) / PageSize};
        BOOST_OUTCOME_TRY(auto chunk, jetpp::aligned_buffer::create(step * PageSize));
        for (auto bit = std::uint32_t{0}; bit < bits; bit += step) {
            auto const n = std::min(step, bits - bit);
            auto const first = regions::page_of(map, bit);
            auto const whole = chunk.part(0, std::size_t{n} * PageSize);
            auto const all_read = file_->read_pages(first, whole).has_value();
            database_.on_read(whole.size());
            for (auto i = std::uint32_t{0}; i < n; ++i) {
                auto const page = first + i;
                auto const raw = chunk.part(std::size_t{i} * PageSize, PageSize);
                if (map_known && !jetpp::space_map_view<PageSize>{map_page.data()}.test(bit + i)) {
                    ++counts_.pages_free;
                    continue;
                }
                if (!map_known && page != map && jetpp::all_zero(raw)) continue;
                if (!all_read) {
                    BOOST_OUTCOME_TRY(auto const one_read, read(page, raw));
                    if (!one_read) continue;
                }
                judge(page, check(raw.data(), page));
            }
        }
        return jetpp::ok();
    }

    // Returns: false if the device refused, which is damage.
    jetpp::result<bool> read(jetpp::page_number page, jetpp::bytes into) {
        auto done = file_->read_pages(page, into);
        if (done) return true;
        auto const& e = done.error();
        if (e.code != jetpp::errc::io) return e;
        if (made_again(page)) return false;
        find(
            {.page = page,
             .reason = e.reason,
             .text = "cannot be read (errno " + std::to_string(e.os_errno) + ")"}
        );
        return false;
    }

    jetpp::damage check(std::byte const* raw, jetpp::page_number page) const {
        if (auto const d = codec::verify(raw, database_.header.nonce, page);
            d != jetpp::damage::none)
            return d;
        if (auto const d = jetpp::check_page(view{raw}); d != jetpp::damage::none) return d;
        if (!(view{raw}.page_lsn() < database_.log_end)) return jetpp::damage::future;
        return jetpp::damage::none;
    }

    void judge(jetpp::page_number page, jetpp::damage wrong) {
        if (wrong == jetpp::damage::none) {
            ++counts_.pages_sound;
        } else if (!made_again(page)) {
            find({.page = page, .reason = wrong});
        }
    }
    bool made_again(jetpp::page_number page) {
        if (database_.is_clean || !database_.is_made_again(page)) return false;
        counts_.pages_made_again += again_.insert(page).second ? 1u : 0u;
        return true;
    }

    // --- trees of a clean file

    jetpp::result<void> check_trees() {
        auto log = jetpp::sealed_log{.end = database_.log_end};
        BOOST_OUTCOME_TRY(
            auto pool,
            jetpp::buffer_pool<traits>::create(
                {}, {.frames = 256}, jetpp::log_gate{log, database_.segment_bytes}
            )
        );
        BOOST_OUTCOME_TRY(pool->attach(*file_));
        auto done = walk_trees(*pool);
        pool->detach(*file_);
        return done;
    }

    jetpp::result<void> walk_trees(jetpp::buffer_pool<traits>& pool) {
        auto reached = jetpp::page_set{};
        BOOST_OUTCOME_TRY(reached.cover(file_->page_count()));
        auto const report = [&](jetpp::tree_finding const& f) {
            auto one = finding{.page = f.page, .reason = f.reason};
            if (f.tree != jetpp::no_tree) one.text = "in tree " + std::to_string(f.tree.value);
            if (f.other != jetpp::no_page)
                one.text += (one.text.empty() ? "named by page " : ", named by page ") +
                            std::to_string(f.other.value);
            find(one);
        };
        auto const system = {
            place{file_.get(), jetpp::catalogue_tree, limits::catalogue_root},
            place{file_.get(), jetpp::pending_tree, limits::pending_root}
        };
        auto listed = std::vector<place>{};
        for (auto const& tree : system) {
            BOOST_OUTCOME_TRY(jetpp::check_tree(pool, tree, reached, report));
            if (!is_sound_) return jetpp::ok(); // who is listed there, cannot be known
            BOOST_OUTCOME_TRY(list_trees(tree, tree.root, 0, listed));
        }
        for (auto const& tree : listed) {
            BOOST_OUTCOME_TRY(auto const shape, jetpp::check_tree(pool, tree, reached, report));
            ++counts_.trees;
            counts_.rows += shape.rows;
        }
        if (is_sound_) {
            BOOST_OUTCOME_TRY(jetpp::check_space(pool, *file_, reached, report));
        }
        counts_.trees_checked = true;
        return jetpp::ok();
    }

    // The trees that the rows of a system tree name. Requires: the tree was found sound.
    jetpp::result<void> list_trees(
        place const& tree, jetpp::page_number page, int depth, std::vector<place>& into
    ) {
        BOOST_OUTCOME_TRY(auto raw, jetpp::aligned_buffer::create(PageSize));
        BOOST_OUTCOME_TRY(file_->read_pages(page, raw.all()));
        auto const here = view{raw.data()};
        if (here.is_inner()) {
            for (auto i = std::uint32_t{0}; i <= here.row_count() && depth < 16; ++i) {
                BOOST_OUTCOME_TRY(list_trees(tree, here.child(i), depth + 1, into));
            }
            return jetpp::ok();
        }
        for (auto i = std::uint32_t{0}; i < here.row_count(); ++i) {
            if (here.is_ghost(i)) continue;
            std::byte key_memory[limits::key_bytes_max];
            auto const key = here.copy_key(i, jetpp::bytes{key_memory});
            auto const is_tree =
                tree.id == jetpp::catalogue_tree && key.size() == 5 && key[0] == std::byte{1};
            auto const is_dropped =
                tree.id == jetpp::pending_tree && key.size() == 5 && key[0] == std::byte{2};
            if (!is_tree && !is_dropped) continue;
            auto named = place{file_.get(), {jetpp::load_be<std::uint32_t>(key.data() + 1)}, {}};
            if (is_tree) {
                auto const row = jetpp::decode_tree_row(here.value(i));
                if (!row) find({.page = page, .text = "a row of the catalogue cannot be read"});
                if (!row) continue;
                named.root = row.assume_value().root;
            } else {
                auto const row = jetpp::decode_pending_drop(here.value(i));
                if (!row) find({.page = page, .text = "a row of pending work cannot be read"});
                if (!row) continue;
                named.root = row.assume_value().root;
            }
            into.push_back(named);
        }
        return jetpp::ok();
    }

    environment::directory& where_;
    database_to_check const& database_;
    std::function<void(finding const&)> const& found_;
    std::unique_ptr<file_type> file_;
    database_counts counts_{};
    std::set<jetpp::page_number> damaged_;
    std::set<jetpp::page_number> again_;
    bool is_sound_ = true;
};

} // namespace jetpp_tool
