// test/btree/tree_bed.hpp - trees over memory storage, with the real log and the real pool.
#pragma once

#include <jetpp/btree/apply.hpp>
#include <jetpp/btree/btree.hpp>
#include <jetpp/btree/check.hpp>
#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/describe.hpp>
#include <jetpp/env/native_environment.hpp>
#include <jetpp/log/replay.hpp>
#include <jetpp/page/canonical.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test {

using namespace jetpp;

template <class T>
std::string said(result<T> const& r) {
    return r ? std::string{"success"} : std::string{describe(r.error()).view()};
}

inline const_bytes raw(std::string const& text) {
    return as_bytes(std::string_view{text});
}
inline std::string text_of(const_bytes b) {
    return std::string{as_text(b)};
}

// splitmix64: one seed, one run.
class dice {
public:
    explicit dice(std::uint64_t seed) noexcept : state_{seed} {}
    std::uint64_t next() noexcept {
        auto z = (state_ += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    std::uint64_t below(std::uint64_t n) noexcept { return next() % n; }
    std::string bytes_of(std::size_t length) {
        auto text = std::string(length, '\0');
        for (auto& c : text) c = static_cast<char>(next());
        return text;
    }

private:
    std::uint64_t state_;
};

// Of a transaction, or of nobody.
inline record_flags some_flags(dice& d) {
    return d.below(2) == 0 ? record_flags::system : record_flags::first_of_transaction;
}

// One change of one row, of a transaction of its own or of the system.
template <class Decide>
class test_guard {
public:
    test_guard(
        database_id database, tree_id tree, record_flags flags, log_credit& credit, Decide decide
    )
        : database_{database}, tree_{tree}, flags_{flags}, credit_{&credit}, decide_{decide} {}

    result<row_change> decide(leaf_row const& row) noexcept { return decide_(row); }
    record_header header() noexcept {
        return {
            .flags = flags_,
            .database = database_,
            .tree = tree_,
        };
    }
    lsn undo_lsn() noexcept { return has(flags_, record_flags::compensation) ? lsn{8} : no_lsn; }
    void before_reserve(lsn tail) noexcept { tail_ = tail; }
    void logged(lsn at) noexcept { at_ = at; }
    log_credit& credit() noexcept { return *credit_; }

    lsn tail_{};
    lsn at_{};

private:
    database_id database_;
    tree_id tree_;
    record_flags flags_;
    log_credit* credit_;
    Decide decide_;
};

template <std::size_t PageSize>
class tree_bed {
public:
    using env = memory_environment;
    using traits = core_traits<env, PageSize, crc32c>;
    using limits = page_limits<PageSize>;
    using view = page_view<PageSize>;
    using place = tree_place<traits>;
    using regions = space_regions<PageSize>;

    // With a capacity the database lies on a disk of its own, of that size.
    explicit tree_bed(
        std::uint32_t frames,
        std::uint64_t growth_bytes = 64 * PageSize,
        std::uint64_t disk_bytes = std::uint64_t{1} << 40
    )
        : disk_{memory_storage{disk_bytes}}, directory_{open_directory(environment_)},
          disk_directory_{open_directory(disk_)} {
        auto options = log_options{
            .segment_bytes = PageSize <= 8192 ? 1u << 20 : 8u << 20,
            .ring_bytes = PageSize <= 8192 ? 1u << 18 : 1u << 21,
            .record_bytes_max = record_size_max(PageSize),
        };
        auto start = log_start{
            .instance = make_uuid(1, 2), .incarnation = 1, .timeline = {0x1122334455667788}
        };
        auto made_log = log_writer<env>::create(environment_, directory_, options, start);
        INFO(said(made_log));
        REQUIRE(made_log);
        log_ = std::move(made_log).value();
        auto header = database_header{};
        header.page_size = PageSize;
        header.checksum_id = crc32c::id;
        header.state = database_state::dirty;
        header.database = make_uuid(3, 4);
        header.instance = start.instance;
        header.nonce = 77;
        header.id = {1};
        header.timeline = start.timeline;
        auto made_file = paged_file<traits>::create(
            disk_,
            disk_directory_,
            file_name::make("base.jet").value(),
            header,
            limits::new_database_pages
        );
        INFO(said(made_file));
        REQUIRE(made_file);
        file_ = std::move(made_file).value();
        file_->set_growth_bytes_min(growth_bytes);
        auto made_pool = buffer_pool<traits>::create(
            environment_, {.frames = frames}, log_gate{*log_, options.segment_bytes}
        );
        INFO(said(made_pool));
        REQUIRE(made_pool);
        pool_ = std::move(made_pool).value();
        REQUIRE(pool_->attach(*file_));
        tree_ = std::make_unique<btree<traits>>(environment_, *pool_, *log_);
    }
    ~tree_bed() {
        REQUIRE(pool_->flush());
        pool_->detach(*file_);
        REQUIRE(file_->close());
    }

    btree<traits>& tree() { return *tree_; }
    buffer_pool<traits>& pool() { return *pool_; }
    paged_file<traits>& file() { return *file_; }
    log_writer<env>& log() { return *log_; }
    place catalogue() { return {file_.get(), catalogue_tree, limits::catalogue_root}; }

    template <class Decide>
    result<void> change(
        place const& at, std::string const& key, record_flags flags, Decide decide
    ) {
        auto credit = log_credit{};
        auto guard = test_guard<Decide>{file_->id(), at.id, flags, credit, decide};
        auto done = tree_->change(at, raw(key), guard);
        if (done && guard.at_) REQUIRE(guard.tail_ <= guard.at_);
        log_->give_back(credit);
        return done;
    }
    static constexpr auto user = record_flags::first_of_transaction;

    result<void> put(
        place const& at, std::string const& key, std::string const& value, record_flags flags = user
    ) {
        return change(at, key, flags, [&](leaf_row const& row) noexcept -> result<row_change> {
            auto const kind = !row.present ? change_kind::insert
                              : row.ghost  ? change_kind::revive
                                           : change_kind::replace;
            return row_change{.kind = kind, .value = raw(value)};
        });
    }
    // Returns: was there a row?
    result<bool> erase(place const& at, std::string const& key, record_flags flags = user) {
        auto there = false;
        auto const done =
            change(at, key, flags, [&](leaf_row const& row) noexcept -> result<row_change> {
                there = row.present && !row.ghost;
                return row_change{.kind = there ? change_kind::erase : change_kind::none};
            });
        if (!done) return done.error();
        return there;
    }
    result<std::optional<std::string>> get(place const& at, std::string const& key) {
        auto found = std::optional<std::string>{};
        auto const done =
            tree_->read(at, raw(key), [&](view const& leaf, std::uint16_t slot, bool is) noexcept {
                if (is && !leaf.is_ghost(slot)) found = text_of(leaf.value(slot));
            });
        if (!done) return done.error();
        return found;
    }
    result<place> create(tree_id id, std::string const& name) {
        auto credit = log_credit{};
        auto const nothing = [](leaf_row const&) noexcept -> result<row_change> {
            return row_change{};
        };
        auto guard = test_guard<decltype(nothing)>{file_->id(), id, user, credit, nothing};
        auto made = tree_->create_tree(*file_, id, raw(name), guard);
        log_->give_back(credit);
        return made;
    }
    result<ghost_sweep> sweep(place const& at, std::string const& key) {
        auto credit = log_credit{};
        auto const every = [](const_bytes, bool, lsn) noexcept { return true; };
        auto done = tree_->remove_ghosts(at, raw(key), every, credit);
        log_->give_back(credit);
        return done;
    }

    // All rows in order, read forwards leaf by leaf.
    std::map<std::string, std::string> rows(place const& at) {
        auto all = std::map<std::string, std::string>{};
        auto next = std::optional<std::string>{""};
        auto last = std::optional<std::string>{};
        while (next) {
            auto const here = *next;
            auto const done = tree_->read_leaf(
                at,
                leaf_position::covering(raw(here)),
                [&](view const& leaf) noexcept {
                    collect(leaf, all);
                    auto const upper = leaf.upper_fence();
                    next = upper ? std::optional{text_of(*upper)} : std::nullopt;
                }
            );
            INFO(said(done));
            REQUIRE(done);
            if (next) REQUIRE(*next > here);
        }
        return all;
    }
    // The same backwards, by lower fences.
    std::map<std::string, std::string> rows_backwards(place const& at) {
        auto all = std::map<std::string, std::string>{};
        auto before = std::optional<std::string>{};
        for (auto position = leaf_position::last();;) {
            auto const done = tree_->read_leaf(at, position, [&](view const& leaf) noexcept {
                collect(leaf, all);
                auto const lower = leaf.lower_fence();
                before = lower ? std::optional{text_of(*lower)} : std::nullopt;
            });
            INFO(said(done));
            REQUIRE(done);
            if (!before) return all;
            position = leaf_position::before(raw(*before));
        }
    }

    // Checks trees and space; every page must be accounted for.
    std::vector<tree_shape> check(std::vector<place> const& trees) {
        auto shapes = std::vector<tree_shape>{};
        auto reached = page_set{};
        REQUIRE(reached.cover(file_->page_count()));
        auto findings = std::string{};
        auto const report = [&](tree_finding const& one) {
            findings += "page " + std::to_string(one.page.value) + ": " +
                        std::string{name_of(one.reason)} + "\n";
        };
        for (auto const& one : trees) {
            auto const shape = check_tree(*pool_, one, reached, report);
            INFO(said(shape));
            REQUIRE(shape);
            shapes.push_back(shape.value());
        }
        auto const free = check_space(*pool_, *file_, reached, report);
        INFO(said(free));
        REQUIRE(free);
        CHECK(findings == "");
        auto const counted = tree_->space().count_free(*file_);
        REQUIRE(counted);
        CHECK(counted.value() == free.value());
        return shapes;
    }
    std::vector<place> system_trees() {
        return {catalogue(), place{file_.get(), pending_tree, limits::pending_root}};
    }

    // Redoes the whole log on fresh pages and compares every allocated page with the pool's.
    void require_redo_agrees() {
        REQUIRE(log_->flush_all());
        auto pages = std::map<std::uint32_t, aligned_buffer>{};
        auto const page_at = [&](std::uint32_t n) -> std::byte* {
            auto& page = pages[n];
            if (page.size() == 0) page = aligned_buffer::create(PageSize).value();
            return page.data();
        };
        auto map = space_map_editor<PageSize>{page_at(limits::first_page.value)};
        map.format(limits::first_page);
        REQUIRE(map.set(1, 2, true));
        for (auto const& one : system_trees())
            REQUIRE(page_editor<PageSize>{page_at(one.root.value)}.format(
                {.number = one.root, .tree = one.id, .flags = page_flag::root}
            ));
        auto opened = replay<env>::open(environment_, directory_, {.page_size = PageSize});
        INFO(said(opened));
        REQUIRE(opened);
        auto& log = opened.value();
        auto applied = std::uint64_t{0};
        for (result<log_record> const& r : log) {
            INFO(said(r));
            REQUIRE(r);
            auto const& record = r.value();
            auto const walked =
                for_each_page<PageSize>(record, [&](page_part const& part) -> result<void> {
                    auto* page = page_at(part.page.value);
                    if (!has(part.flags, part_flags::format))
                        REQUIRE(part.prev_page_lsn == view{page}.page_lsn());
                    ++applied;
                    return apply<PageSize>(
                        page, part, record, log.current_segment().timeline.low()
                    );
                });
            INFO(name_of(record.header.type) << ": " << said(walked));
            REQUIRE(walked);
        }
        REQUIRE(applied != 0);
        auto compared = std::uint64_t{0};
        auto copy = aligned_buffer::create(PageSize).value();
        for (auto& [n, page] : pages) {
            auto const number = page_number{n};
            auto const bits = space_map_view<PageSize>{page_at(regions::map_page_of(number).value)};
            if (!bits.test(regions::bit_of(number))) continue;
            auto const read = detail::copy_page(*pool_, *file_, number, copy.data());
            INFO("page " << n << ": " << said(read));
            REQUIRE(read);
            REQUIRE(read.value() == damage::none);
            REQUIRE(same_content(view{page.data()}, view{copy.data()}));
            REQUIRE(view{page.data()}.timeline_low() == view{copy.data()}.timeline_low());
            // `versioned` too is what run time set.
            for (auto i = std::uint32_t{0};
                 view{page.data()}.is_leaf() && i < view{page.data()}.row_count();
                 ++i)
                REQUIRE(view{page.data()}.is_versioned(i) == view{copy.data()}.is_versioned(i));
            ++compared;
        }
        REQUIRE(compared > 2);
    }

private:
    static env::directory open_directory(env& environment) {
        auto opened = environment.storage.open_dir("/bed", directory_how::create_if_missing);
        REQUIRE(opened);
        return std::move(opened).value();
    }
    static void collect(view const& leaf, std::map<std::string, std::string>& all) {
        std::byte key[limits::key_bytes_max];
        for (auto i = std::uint32_t{0}; i < leaf.row_count(); ++i)
            if (!leaf.is_ghost(i)) all[text_of(leaf.copy_key(i, key))] = text_of(leaf.value(i));
    }

    env environment_{};
    env disk_;
    env::directory directory_;
    env::directory disk_directory_;
    std::unique_ptr<log_writer<env>> log_;
    std::unique_ptr<paged_file<traits>> file_;
    std::unique_ptr<buffer_pool<traits>> pool_;
    std::unique_ptr<btree<traits>> tree_;
};

} // namespace jetpp_test
