// test/property/model.hpp - an engine beside the std::map it must agree with.
//
// One run draws operations from a seed: writes of every kind, reads, scans and seeks in both
// directions, savepoints, rollbacks, snapshots that are kept and compared much later with a copy of
// the model, steps of the background work, trees that come and go, close and reopen. The pool has 64
// frames, far fewer than the data has pages. At the end every tree and the space map are checked.
// Everything is deterministic but the nonces: no thread runs beside the test.
#pragma once

#include <jetpp/btree/check.hpp>
#include <jetpp/jetpp.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../budget.hpp"
#include "../catch.hpp"

namespace property {

using namespace jetpp;

template <std::size_t PageSize, class Checksum>
struct policies : default_policies {
    static constexpr std::size_t page_size = PageSize;
    using checksum = Checksum;
    using threading = single_thread;
    using storage = memory_storage;
};

using model = std::map<std::string, std::string, std::less<>>;

[[nodiscard]] inline std::uint64_t chosen_seed(std::uint64_t otherwise) {
    auto const* text = std::getenv("JETPP_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

template <std::size_t PageSize, class Checksum>
class model_run {
    using engine_type = engine<policies<PageSize, Checksum>>;
    using traits = typename engine_type::traits;
    using limits = page_limits<PageSize>;
    static constexpr std::size_t tree_count = 2;
    static constexpr std::size_t frames = 64;
    static constexpr std::uint64_t keys = 4000;

public:
    explicit model_run(std::uint64_t seed) : random_{seed} {
        for (std::uint64_t i = 0; i < keys; ++i) names_.push_back(spell_key(i));
    }

    void run(std::uint64_t operations) {
        open();
        while (done_ < operations) {
            switch (pick(16)) {
            case 0: act_alone(); break;
            case 1: read_alone(); break;
            case 2: keep_snapshot(); break;
            case 3: compare_snapshot(); break;
            case 4: come_and_go(); break;
            case 5: {
                auto const stepped = db_->poll();
                INFO("poll");
                check(stepped);
                break;
            }
            case 6:
                if (chance(1, 12)) reopen();
                break;
            default: transaction(); break;
            }
        }
        snapshots_.clear();
        compare_all();
        check_structure();
        reopen();
        compare_all();
        check_structure();
        finish();
    }
    [[nodiscard]] std::uint64_t operations() const noexcept { return done_; }
    [[nodiscard]] std::string figures() const {
        return std::to_string(done_) + " operations, " + std::to_string(scanned_) +
               " rows scanned, " + std::to_string(commits_) + " commits, " +
               std::to_string(reopened_) + " reopens, " + std::to_string(compared_) +
               " snapshots compared, " + std::to_string(given_up_) + " given up, " +
               std::to_string(committed_[0].size() + committed_[1].size()) + " rows in " +
               std::to_string(pages_) + " pages at the end";
    }

private:
    struct kept_snapshot {
        typename engine_type::snapshot view;
        model rows[tree_count];
    };
    struct undo_step {
        std::size_t tree;
        std::string key;
        std::optional<std::string> before;
    };

    // --- chance

    [[nodiscard]] std::uint64_t pick(std::uint64_t n) { return random_() % n; }
    [[nodiscard]] bool chance(std::uint64_t num, std::uint64_t den) { return pick(den) < num; }

    // Short and long, alike and different; one of the greatest length.
    [[nodiscard]] std::string spell_key(std::uint64_t i) {
        auto const number = std::to_string(i);
        switch (i % 8) {
        case 0: return number;
        case 1: return "customer/" + std::string(10 - number.size(), '0') + number;
        case 2: return std::string(pick(limits::key_bytes_max / 4), 'p') + number;
        case 3: {
            auto key = std::string(1 + pick(12), '\0');
            for (auto& c : key) c = static_cast<char>(pick(256));
            return key + number;
        }
        case 4: return i == 4 ? std::string{} : "a" + number;
        case 5:
            return i % 64 == 5 ? std::string(limits::key_bytes_max - number.size(), 'z') + number
                               : "b" + number;
        case 6: return std::string(1 + pick(3), '\xFF') + number;
        default: return "customer/" + number + "/orders/" + number;
        }
    }
    [[nodiscard]] std::string const& any_key() { return names_[pick(names_.size())]; }
    // Now and then neighbours, so that leaves fill up and empty.
    [[nodiscard]] std::string const& next_key() {
        if (chance(1, 4))
            at_ = pick(names_.size());
        else
            at_ = (at_ + 8) % names_.size();
        return chance(1, 2) ? names_[at_] : any_key();
    }
    [[nodiscard]] std::string any_value() {
        auto const most = std::uint64_t{limits::inline_value_bytes_max};
        auto size = std::uint64_t{0};
        switch (pick(32)) {
        case 0: size = most; break;
        case 1: size = pick(most + 1); break;
        case 2: break;
        case 3:
        case 4:
        case 5: size = pick(most / 8); break;
        default: size = pick(100); break;
        }
        auto value = std::string(size, static_cast<char>(pick(256)));
        for (std::size_t i = 0; i < value.size() && i < 12; ++i)
            value[i] = static_cast<char>(pick(256));
        return value;
    }
    // Bounds of a scan: of short ranges mostly.
    struct bounds {
        std::optional<std::string> from, to;
        bool backward{};
        [[nodiscard]] range wanted() const {
            auto r = range{.from = {}, .to = {}, .backward = backward};
            if (from) r.from = *from;
            if (to) r.to = *to;
            return r;
        }
        [[nodiscard]] bool has(std::string_view key) const {
            return (!from || key >= *from) && (!to || key < *to);
        }
    };
    [[nodiscard]] bounds any_bounds(model const& rows) {
        auto b = bounds{.from = {}, .to = {}, .backward = chance(1, 2)};
        if (chance(1, 50)) return b;
        auto low = any_key();
        auto above = rows.lower_bound(low);
        for (auto n = pick(60); n != 0 && above != rows.end(); --n) ++above;
        auto high = above == rows.end() ? low + "x" : above->first;
        if (chance(1, 20)) std::swap(low, high); // an empty range, as a rule
        b.from = std::move(low);
        b.to = std::move(high);
        return b;
    }
    [[nodiscard]] static std::vector<std::pair<std::string, std::string>> rows_of(
        model const& rows, bounds const& b
    ) {
        auto found = std::vector<std::pair<std::string, std::string>>{};
        if (b.from && b.to && *b.to < *b.from) return found;
        auto const first = b.from ? rows.lower_bound(*b.from) : rows.begin();
        auto const last = b.to ? rows.lower_bound(*b.to) : rows.end();
        for (auto at = first; at != last; ++at) found.emplace_back(*at);
        if (b.backward) std::reverse(found.begin(), found.end());
        return found;
    }

    // --- saying what is wrong

    template <class Result>
    static void check(Result const& done) {
        if (!done) FAIL(describe(done.error()).c_str());
    }
    static void same(
        bool is_there, std::string_view value, model const& rows, std::string_view key
    ) {
        auto const expected = rows.find(key);
        if (is_there != (expected != rows.end()) || (is_there && expected->second != value))
            FAIL("a read of a key of " << key.size() << " bytes differs from the model");
    }

    // --- life

    [[nodiscard]] open_options options() const {
        return {
            .buffer_bytes = frames * PageSize,
            .segment_bytes = std::max<std::uint64_t>(
                std::uint64_t{128} << 10, std::bit_ceil(4 * record_size_max(PageSize))
            ),
            .version_bytes = std::size_t{16} << 20,
            .transaction_bytes = std::size_t{8} << 20,
            .checkpoint_depth_bytes = std::uint64_t{1} << 20,
            .checkpoint_every_bytes = std::uint64_t{1} << 18,
            .process_durability = false,
        };
    }
    void open() {
        auto opened = engine_type::open("db", options(), {.storage = disk_, .runtime = {}});
        check(opened);
        db_.emplace(std::move(opened).assume_value());
        check(db_->attach("a"));
        for (std::size_t i = 0; i < tree_count; ++i) {
            auto found = db_->open_tree("a", i == 0 ? "rows" : "more");
            check(found);
            trees_[i] = found.assume_value();
        }
    }
    void finish() {
        auto const closed = std::move(*db_).close();
        INFO("close");
        check(closed);
        db_.reset();
    }
    void reopen() {
        snapshots_.clear();
        finish();
        open();
        ++reopened_;
        if (chance(1, 8)) compare_all();
    }

    // --- operations

    void act_alone() {
        auto const t = pick(tree_count);
        auto const key = next_key();
        ++done_;
        INFO("alone, operation " << done_);
        if (chance(1, 3)) {
            check(db_->erase(trees_[t], key, durability::memory));
            committed_[t].erase(key);
        } else {
            auto const value = any_value();
            check(db_->put(trees_[t], key, value, any_durability()));
            committed_[t][key] = value;
        }
        ++commits_;
    }
    [[nodiscard]] durability any_durability() {
        return chance(1, 4) ? durability::device : durability::memory;
    }
    void read_alone() {
        auto const t = pick(tree_count);
        auto const& key = any_key();
        auto value = value_buffer{};
        ++done_;
        auto const seen = db_->get(trees_[t], key, value);
        INFO("get alone, operation " << done_);
        check(seen);
        same(seen.assume_value(), value.text(), committed_[t], key);
    }

    void keep_snapshot() {
        if (snapshots_.size() >= 3 || !chance(1, 8)) return;
        auto view = db_->read();
        check(view);
        snapshots_.push_back({std::move(view).assume_value(), {committed_[0], committed_[1]}});
    }
    void compare_snapshot() {
        if (snapshots_.empty()) return;
        auto const which = pick(snapshots_.size());
        auto& kept = snapshots_[which];
        ++done_;
        INFO("snapshot, operation " << done_);
        auto good = result<void>{ok()};
        if (chance(1, 6)) { // its last moment
            for (std::size_t t = 0; t < tree_count && good; ++t)
                good = compare_scan(
                    kept.view, t, kept.rows[t], {.from = {}, .to = {}, .backward = chance(1, 2)}
                );
            if (good) ++compared_;
            snapshots_.erase(snapshots_.begin() + static_cast<std::ptrdiff_t>(which));
        } else {
            auto const t = pick(tree_count);
            good = compare_scan(kept.view, t, kept.rows[t], any_bounds(kept.rows[t]));
            auto value = value_buffer{};
            for (auto n = 0; n < 4 && good; ++n) {
                auto const& key = any_key();
                auto const seen = kept.view.get(trees_[t], key, value);
                if (!seen)
                    good = seen.error();
                else
                    same(seen.assume_value(), value.text(), kept.rows[t], key);
            }
            if (!good) snapshots_.erase(snapshots_.begin() + static_cast<std::ptrdiff_t>(which));
        }
        if (good) return;
        if (good.error().code != errc::snapshot_too_old) check(good);
        ++given_up_;
    }

    // A tree of its own is made, filled and dropped: its pages must come back.
    void come_and_go() {
        if (!chance(1, 30)) return;
        INFO("a tree comes and goes, operation " << done_);
        auto const made = db_->open_tree("a", "scratch");
        check(made);
        auto tx = begin();
        for (auto n = pick(200); n != 0; --n, ++done_)
            check(tx.put(made.assume_value(), any_key(), any_value()));
        if (chance(1, 4))
            std::move(tx).rollback();
        else
            check(std::move(tx).commit(durability::memory));
        auto last = begin();
        check(last.drop_tree(made.assume_value()));
        check(std::move(last).commit(durability::memory));
        commits_ += 2;
    }

    [[nodiscard]] typename engine_type::transaction begin() {
        auto begun = db_->begin();
        check(begun);
        return std::move(begun).assume_value();
    }

    void transaction() {
        auto tx = begin();
        undo_.clear();
        auto const mass = chance(1, 12) ? pick(300) : pick(24);
        for (auto n = std::uint64_t{0}; n <= mass; ++n) step(tx, mass > 24);
        INFO("end of a transaction, operation " << done_);
        if (chance(1, 6)) {
            take_back(0);
            if (chance(1, 2)) std::move(tx).rollback();
            return; // or by its destructor
        }
        check(std::move(tx).commit(any_durability()));
        ++commits_;
    }
    template <class Transaction>
    void step(Transaction& tx, bool mass) {
        ++done_;
        auto const t = pick(tree_count);
        INFO("operation " << done_ << " of a transaction");
        switch (mass ? pick(6) : pick(16)) {
        case 0:
        case 1: {
            auto const key = next_key();
            auto const value = any_value();
            check(tx.put(trees_[t], key, value));
            note(t, key, value);
            break;
        }
        case 2: {
            auto const key = next_key();
            auto const value = any_value();
            auto const done = tx.insert(trees_[t], key, value);
            if (committed_[t].contains(key)) {
                if (done || done.error().code != errc::key_exists) FAIL("insert replaced a row");
            } else {
                check(done);
                note(t, key, value);
            }
            break;
        }
        case 3:
        case 4: {
            auto const key = next_key();
            auto const erased = tx.erase(trees_[t], key);
            check(erased);
            if (erased.assume_value() != committed_[t].contains(key)) FAIL("erase answers wrong");
            note(t, key, {});
            break;
        }
        case 5: {
            auto const key = next_key();
            auto const tail = any_value();
            auto const make = [&](std::string_view old) {
                return std::string{old.substr(0, old.size() / 2)} + tail.substr(0, tail.size() / 2);
            };
            auto const known = committed_[t].find(key);
            auto const done = tx.update(trees_[t], key, make);
            check(done);
            if (done.assume_value() != (known != committed_[t].end())) FAIL("update answers wrong");
            if (done.assume_value()) note(t, key, make(known->second));
            break;
        }
        case 6:
        case 7:
        case 8: {
            auto const& key = any_key();
            auto value = value_buffer{};
            auto const seen = tx.get(trees_[t], key, value);
            check(seen);
            same(seen.assume_value(), value.text(), committed_[t], key);
            break;
        }
        case 9:
        case 10: check(compare_scan(tx, t, committed_[t], any_bounds(committed_[t]))); break;
        case 11: change_under_a_cursor(tx, t); break;
        case 12: compare_seeks(tx, t); break;
        case 13: save_and_return(tx); break;
        case 14: refuse_sizes(tx, t); break;
        default: check(tx.lock(trees_[t], any_key())); break;
        }
    }

    // The model's own undo.
    void note(std::size_t t, std::string const& key, std::optional<std::string> now) {
        auto const known = committed_[t].find(key);
        undo_.push_back({t, key, {}});
        if (known != committed_[t].end()) undo_.back().before = std::move(known->second);
        if (now)
            committed_[t][key] = std::move(*now);
        else if (known != committed_[t].end())
            committed_[t].erase(known);
    }
    void take_back(std::size_t to) {
        for (; undo_.size() > to; undo_.pop_back()) {
            auto& one = undo_.back();
            if (one.before)
                committed_[one.tree][one.key] = std::move(*one.before);
            else
                committed_[one.tree].erase(one.key);
        }
    }

    template <class Transaction>
    void save_and_return(Transaction& tx) {
        if (depth_ == 3) return;
        ++depth_;
        auto const mark = undo_.size();
        {
            auto saved = tx.save();
            check(saved);
            for (auto n = pick(chance(1, 8) ? 120 : 8); n != 0; --n) step(tx, false);
            switch (pick(3)) {
            case 0: std::move(saved).assume_value().keep(); break;
            case 1:
                take_back(mark);
                check(std::move(saved).assume_value().roll_back());
                break;
            default: take_back(mark); break; // by its destructor
            }
        }
        --depth_;
    }

    template <class Transaction>
    void refuse_sizes(Transaction& tx, std::size_t t) {
        auto const long_key = std::string(limits::key_bytes_max + 1, 'k');
        auto const a = tx.put(trees_[t], long_key, "v");
        if (a || a.error().code != errc::key_too_large) FAIL("a key is too large");
        auto const long_value = std::string(limits::inline_value_bytes_max + 1, 'v');
        auto const b = tx.put(trees_[t], any_key(), long_value);
        if (b || b.error().code != errc::value_too_large) FAIL("a value is too large");
    }

    template <class Reads>
    [[nodiscard]] result<void> compare_scan(
        Reads& view, std::size_t t, model const& rows, bounds const& b
    ) {
        auto const expected = rows_of(rows, b);
        BOOST_OUTCOME_TRY(auto cursor, view.scan(trees_[t], b.wanted()));
        scanned_ += expected.size();
        for (auto const& [key, value] : expected) {
            BOOST_OUTCOME_TRY(auto const more, cursor.next());
            if (!more) FAIL("a scan ends early");
            if (cursor.current().key != key || cursor.current().value != value)
                FAIL("a scan differs from the model");
        }
        BOOST_OUTCOME_TRY(auto const more, cursor.next());
        if (more) FAIL("a scan has a row more than the model");
        return ok();
    }

    // A cursor shows the moment in which it was made, whatever the transaction does meanwhile.
    template <class Transaction>
    void change_under_a_cursor(Transaction& tx, std::size_t t) {
        auto const b = any_bounds(committed_[t]);
        auto const expected = rows_of(committed_[t], b);
        auto cursor = tx.scan(trees_[t], b.wanted());
        check(cursor);
        for (auto const& [key, value] : expected) {
            auto const more = cursor.assume_value().next();
            check(more);
            auto const current = cursor.assume_value().current();
            if (!more.assume_value() || current.key != key || current.value != value)
                FAIL("a scan under changes differs from the model");
            if (!chance(1, 3)) continue;
            auto const near = chance(1, 2) ? key : any_key();
            if (chance(1, 2)) {
                check(tx.erase(trees_[t], near));
                note(t, near, {});
            } else {
                auto const fresh = any_value();
                check(tx.put(trees_[t], near, fresh));
                note(t, near, fresh);
            }
            ++done_;
        }
        auto const more = cursor.assume_value().next();
        check(more);
        if (more.assume_value()) FAIL("a scan under changes has a row too many");
    }

    // From any place to any other inside the range.
    template <class Reads>
    void compare_seeks(Reads& view, std::size_t t) {
        auto const& rows = committed_[t];
        auto const b = bounds{.from = {}, .to = {}, .backward = chance(1, 2)};
        auto cursor = view.scan(trees_[t], b.wanted());
        check(cursor);
        for (auto n = 1 + pick(4); n != 0; --n) {
            auto const& key = any_key();
            check(cursor.assume_value().seek(key));
            auto at = rows.lower_bound(key);
            for (auto steps = pick(5); steps != 0; --steps) {
                auto const more = cursor.assume_value().next();
                check(more);
                auto const ends = b.backward ? at == rows.begin() : at == rows.end();
                if (more.assume_value() == ends) FAIL("a seek ends at the wrong place");
                if (ends) break;
                if (b.backward) --at;
                auto const current = cursor.assume_value().current();
                if (current.key != at->first || current.value != at->second)
                    FAIL("a seek finds another row than the model");
                if (!b.backward) ++at;
            }
        }
    }

    // --- the whole

    void compare_all() {
        auto view = db_->read();
        check(view);
        for (std::size_t t = 0; t < tree_count; ++t)
            for (auto const backward : {false, true}) {
                INFO("whole tree " << t << " backward " << backward);
                check(compare_scan(
                    view.assume_value(),
                    t,
                    committed_[t],
                    {.from = {}, .to = {}, .backward = backward}
                ));
            }
    }
    void check_structure() {
        for (auto n = 0;; ++n) { // dropped trees and ghosts first
            auto const more = db_->poll();
            check(more);
            if (!more.assume_value()) break;
            if (n == 1'000'000) FAIL("background work has no end");
        }
        auto const complain = [&](tree_finding const& f) noexcept {
            UNSCOPED_INFO(
                "page " << f.page.value << " tree " << f.tree.value << ": " << name_of(f.reason)
            );
            ++findings_;
        };
        for (auto& one : db_->core().store.databases()) {
            if (one.file == nullptr) continue;
            auto& pool = db_->core().store.pool();
            auto reached = page_set{};
            check(reached.cover(one.file->page_count()));
            pages_ = one.file->page_count();
            check(check_tree(pool, one.catalogue(), reached, complain));
            check(check_tree(pool, one.pending(), reached, complain));
            for (std::size_t t = 0; t < tree_count; ++t) {
                auto place = db_->core().place_of(trees_[t], no_lsn);
                check(place);
                auto const shape = check_tree(pool, place.assume_value(), reached, complain);
                check(shape);
                CHECK(shape.assume_value().rows == committed_[t].size());
            }
            check(check_space(pool, *one.file, reached, complain));
        }
        REQUIRE(findings_ == 0);
    }

    std::mt19937_64 random_;
    memory_storage disk_{};
    std::vector<std::string> names_;
    std::size_t at_ = 0;
    model committed_[tree_count]; // within a transaction: as it sees it
    std::vector<undo_step> undo_;
    std::uint32_t depth_ = 0;
    std::optional<engine_type> db_;
    tree trees_[tree_count]{};
    std::vector<kept_snapshot> snapshots_; // destroyed before the engine
    std::uint64_t done_ = 0;
    std::uint64_t scanned_ = 0;
    std::uint64_t commits_ = 0;
    std::uint64_t reopened_ = 0;
    std::uint64_t compared_ = 0;
    std::uint64_t given_up_ = 0;
    std::uint64_t findings_ = 0;
    std::uint64_t pages_ = 0;
};

// JETPP_BUDGET is a factor here as everywhere: 50 is a million operations.
template <std::size_t PageSize, class Checksum>
void agree_with_a_map() {
    auto const wanted = jetpp_test::rounds(20'000);
    auto const seed = chosen_seed(PageSize + Checksum::id);
    std::printf(
        "%zu KiB, %s: JETPP_SEED=%llu ",
        PageSize / 1024,
        std::string{Checksum::name}.c_str(),
        static_cast<unsigned long long>(seed)
    );
    std::fflush(stdout);
    INFO("JETPP_SEED=" << seed);
    auto subject = model_run<PageSize, Checksum>{seed};
    subject.run(wanted);
    std::printf("%s\n", subject.figures().c_str());
    CHECK(subject.operations() >= wanted);
}

} // namespace property
