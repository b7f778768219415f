#include "aged_instance.hpp"

#include <jetpp/btree/check.hpp>
#include <jetpp/jetpp.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <utility>

namespace property {

using namespace jetpp;

struct aged_instance::body {
    struct policies : default_policies {
        static constexpr std::size_t page_size = 4096;
        using threading = single_thread;
        using storage = simulated_storage;
        using runtime = simulated_runtime;
    };
    using engine_type = engine<policies>;
    using traits = engine_type::traits;

    // The tree is the first character of the key.
    using model = std::map<std::string, std::string>;
    static constexpr std::string_view tree_names[] = {"rows", "more"};

    struct state {
        model rows;
        lsn at{};
        bool on_device{};
    };

    [[nodiscard]] static world_options quiet_world() {
        auto how = world_options{};
        how.threads.spurious_num = 0;
        how.threads.slow_num = 0;
        how.threads.steps_max = 5'000'000;
        return how;
    }

    body(past kind, std::uint64_t seed) : kind_{kind}, tape_{seed}, world_{tape_, quiet_world()} {
        world_.run([&] { live(); });
        require(live_error_ == "", live_error_);
        if (kind != past::closed)
            world_.machine().thaw(kind == past::killed ? crash_policy::kill : crash_policy::none);
        disk_ = world_.machine().save();
        for (auto& name : world_.machine().file_names("db")) {
            auto const content = world_.machine().contents("db/" + name);
            auto used = content.size();
            while (used != 0 && content[used - 1] == std::byte{0}) --used;
            files_.push_back({std::move(name), content.size(), used});
        }
        std::sort(files_.begin(), files_.end(), [](auto const& a, auto const& b) {
            return a.name < b.name;
        });
        // What an undamaged disk recovers to is the measure, if it holds what was promised.
        expected_ = states_.size() - 1;
        auto undamaged = verdict{};
        for (;; --expected_) {
            undamaged = judge({});
            if (undamaged.what == outcome::exact || undamaged.what == outcome::repaired) break;
            require(expected_ != 0, std::string{"undamaged: "} + undamaged.text);
        }
        for (auto i = expected_ + 1; i < states_.size(); ++i)
            require(!states_[i].on_device, "a durable commit was lost without any damage");
    }

    static void require(bool holds, std::string_view what) {
        if (holds) return;
        std::fprintf(stderr, "%.*s\n", static_cast<int>(what.size()), what.data());
        std::abort();
    }

    [[nodiscard]] open_options options() const {
        return {
            .buffer_bytes = 20 * policies::page_size,
            .segment_bytes = segment_bytes,
            .version_bytes = std::size_t{1} << 20,
            .transaction_bytes = std::size_t{1} << 20,
            .checkpoint_depth_bytes = std::uint64_t{1} << 20,
            .checkpoint_every_bytes = std::uint64_t{1} << 20,
            .process_durability = kind_ == past::killed,
        };
    }

    // --- the past

    [[nodiscard]] result<void> change_rows(engine_type::transaction& tx, model& rows) {
        for (auto n = 1 + tape_.pick(5); n != 0; --n) {
            auto const t = tape_.pick(2);
            auto const name = "key " + std::to_string(tape_.pick(160));
            auto const key = std::to_string(t) + name;
            if (tape_.chance(1, 5)) {
                BOOST_OUTCOME_TRY(tx.erase(trees_[t], name));
                rows.erase(key);
            } else {
                auto value = std::to_string(++values_) + ":";
                value.append(tape_.pick(500), static_cast<char>('a' + values_ % 26));
                BOOST_OUTCOME_TRY(tx.put(trees_[t], name, value));
                rows[key] = value;
            }
        }
        return ok();
    }
    [[nodiscard]] result<void> commit_one(engine_type& db, durability how) {
        BOOST_OUTCOME_TRY(auto tx, db.begin());
        auto rows = states_.back().rows;
        BOOST_OUTCOME_TRY(change_rows(tx, rows));
        BOOST_OUTCOME_TRY(auto const done, std::move(tx).commit(how));
        states_.push_back({std::move(rows), done.at, how == durability::device});
        return ok();
    }
    [[nodiscard]] result<void> live_on(engine_type& db) {
        BOOST_OUTCOME_TRY(db.attach("a"));
        for (auto t = 0; t < 2; ++t) {
            BOOST_OUTCOME_TRY(trees_[t], db.open_tree("a", tree_names[t]));
        }
        states_.push_back({{}, db.core().store.log().durable_lsn(), true});
        for (auto i = 0; i < 60; ++i) {
            BOOST_OUTCOME_TRY(commit_one(db, i % 4 == 0 ? durability::device : durability::memory));
            BOOST_OUTCOME_TRY(db.poll());
        }
        BOOST_OUTCOME_TRY(db.checkpoint());
        for (auto i = 0; i < 120; ++i) {
            BOOST_OUTCOME_TRY(commit_one(db, i % 3 == 0 ? durability::device : durability::memory));
        }
        if (kind_ == past::closed) return ok();
        // Somebody's changes are in the log, and he will never commit.
        BOOST_OUTCOME_TRY(auto loser, db.begin());
        for (auto i = 0; i < 6; ++i) {
            BOOST_OUTCOME_TRY(loser.put(trees_[i % 2], "loser " + std::to_string(i), "lost"));
        }
        BOOST_OUTCOME_TRY(commit_one(db, durability::device));
        BOOST_OUTCOME_TRY(commit_one(db, durability::device));
        if (kind_ == past::killed)
            for (auto i = 0; i < 8; ++i) {
                BOOST_OUTCOME_TRY(commit_one(db, durability::process));
            }
        world_.machine().freeze();
        return ok();
    }
    void live() {
        auto opened = engine_type::open("db", options(), world_.environment<>());
        if (!opened) {
            live_error_ = describe(opened.error()).c_str();
            return;
        }
        auto db = std::move(opened).assume_value();
        auto lived = live_on(db);
        if (lived && kind_ == past::closed) lived = std::move(db).close();
        if (!lived) live_error_ = describe(lived.error()).c_str();
    }

    // --- a case

    void apply(disk_change const& change) {
        if (change.kind == disk_change::kind_type::none) return;
        auto& machine = world_.machine();
        auto const path = "db/" + files_[change.file].name;
        switch (change.kind) {
        case disk_change::kind_type::flip: machine.corrupt(path, change.offset, change.mask); break;
        case disk_change::kind_type::cut: machine.resize(path, change.offset); break;
        case disk_change::kind_type::zero_from: {
            auto const size = files_[change.file].size;
            machine.resize(path, change.offset);
            machine.resize(path, size);
            break;
        }
        case disk_change::kind_type::none: break;
        }
    }

    // The first state that the change leaves no excuse to lose.
    [[nodiscard]] std::size_t least(disk_change const& change) const {
        if (change.kind == disk_change::kind_type::none || kind_ == past::closed) return expected_;
        auto const& file = files_[change.file];
        auto const last_on_device = [&](std::size_t below) {
            while (below != 0 && !states_[below].on_device) --below;
            return below;
        };
        if (file.name == "jet.ring") return last_on_device(expected_);
        auto const generation = parse_segment_name(file.name);
        if (!generation) return expected_;
        auto const damaged = lsn{*generation * segment_bytes + change.offset};
        // A commit record is whole below the damage if another commit stands below it, too.
        auto whole = std::size_t{0};
        for (std::size_t i = 1; i <= expected_; ++i)
            if (states_[i].at < damaged) whole = i - 1;
        if (change.kind != disk_change::kind_type::flip) return whole;
        // Of a single byte the records behind it tell: only the last durable group has no witness.
        auto const last = last_on_device(expected_);
        auto const before = last == 0 ? 0 : last_on_device(last - 1);
        return std::max(whole, before);
    }

    struct reading {
        std::vector<std::pair<std::string, std::string>> rows; // of both trees, in order
        std::optional<error> failed;
        std::string wrong;
    };
    void read_tree(engine_type& db, std::size_t t, bool backward, reading& into) {
        auto const found = db.open_tree("a", tree_names[t], open_how_tree::must_exist);
        if (!found) return (void)(into.failed = found.error());
        auto view = db.read();
        if (!view) return (void)(into.failed = view.error());
        auto rows = view.assume_value().scan(
            found.assume_value(), {.from = {}, .to = {}, .backward = backward}
        );
        if (!rows) return (void)(into.failed = rows.error());
        for (;;) {
            auto const more = rows.assume_value().next();
            if (!more) return (void)(into.failed = more.error());
            if (!more.assume_value()) return;
            auto const current = rows.assume_value().current();
            into.rows.emplace_back(std::to_string(t) + std::string{current.key}, current.value);
        }
    }
    // Are these rows what a read of some state gives, as far as it came?
    [[nodiscard]] static bool fits(
        reading const& seen, model const& rows, std::size_t t, bool backward
    ) {
        auto expected = std::vector<std::pair<std::string, std::string>>{};
        for (auto const& one : rows)
            if (one.first[0] == static_cast<char>('0' + t)) expected.emplace_back(one);
        if (backward) std::reverse(expected.begin(), expected.end());
        if (seen.rows.size() > expected.size()) return false;
        if (!seen.failed && seen.rows.size() != expected.size()) return false;
        return std::equal(seen.rows.begin(), seen.rows.end(), expected.begin());
    }

    [[nodiscard]] verdict judge(disk_change const& change) {
        tape_ = choice_tape{1};
        world_.machine().restore(disk_);
        apply(change);
        auto said = verdict{};
        world_.run([&] {
            said = judge_here(change);
            world_.machine().freeze(); // nobody needs to close
        });
        return said;
    }
    static void say(verdict& said, std::string_view what) {
        said.text[what.copy(said.text, sizeof said.text - 1)] = '\0';
    }
    [[nodiscard]] static verdict refusal(error const& e) {
        auto said = verdict{};
        auto const is_damage =
            (static_cast<int>(e.code) >= 300 && static_cast<int>(e.code) < 500) ||
            e.code == errc::needs_recovery;
        auto const has_place =
            e.page != no_page || e.at || e.file != file_kind::none || e.database != 0;
        said.what = is_damage && has_place ? outcome::refused : outcome::vague;
        said.code = e.code;
        say(said, describe(e).c_str());
        return said;
    }
    [[nodiscard]] verdict judge_here(disk_change const& change) {
        auto opened = engine_type::open("db", options(), world_.environment<>());
        if (!opened) return refusal(opened.error());
        auto db = std::move(opened).assume_value();
        auto said = verdict{};
        said.page_in_use = false;
        auto failed = std::optional<error>{};
        auto const lowest = least(change);
        auto candidates = std::vector<std::size_t>{};
        for (auto i = lowest; i <= expected_; ++i) candidates.push_back(i);
        for (std::size_t t = 0; t < 2; ++t)
            for (auto const backward : {false, true}) {
                auto seen = reading{};
                read_tree(db, t, backward, seen);
                std::erase_if(candidates, [&](std::size_t i) {
                    return !fits(seen, states_[i].rows, t, backward);
                });
                if (candidates.empty()) {
                    said.what = outcome::wrong;
                    say(said,
                        std::to_string(seen.rows.size()) + " rows of " +
                            std::string{tree_names[t]} + (backward ? ", backward" : ", forward") +
                            ", are of no state from " + std::to_string(lowest) + " to " +
                            std::to_string(expected_) +
                            (seen.failed ? std::string{"; then "} + describe(*seen.failed).c_str()
                                         : ""));
                    return said;
                }
                if (seen.failed && !failed) failed = seen.failed;
            }
        if (failed) return refusal(*failed);
        if (auto const problem = check_structure(db, change, said)) return refusal(*problem);
        // States may be equal: the newest one counts.
        said.commits_lost = static_cast<std::uint32_t>(expected_ - candidates.back());
        said.what = said.commits_lost != 0                         ? outcome::shorter
                    : db.core().store.report().pages_repaired != 0 ? outcome::repaired
                                                                   : outcome::exact;
        return said;
    }

    [[nodiscard]] std::optional<error> check_structure(
        engine_type& db, disk_change const& change, verdict& said
    ) {
        auto found = std::optional<error>{};
        auto const complain = [&](tree_finding const& f) noexcept {
            if (!found)
                found = error{.code = errc::page_damaged, .page = f.page, .reason = f.reason};
        };
        for (auto& one : db.core().store.databases()) {
            if (one.file == nullptr) continue;
            auto& pool = db.core().store.pool();
            auto reached = page_set{};
            if (auto done = reached.cover(one.file->page_count()); !done) return done.error();
            auto const check = [&](tree_place<traits> const& place) {
                auto const shape = check_tree(pool, place, reached, complain);
                if (!shape && !found) found = shape.error();
            };
            check(one.catalogue());
            check(one.pending());
            for (auto const name : tree_names) {
                auto const handle = db.open_tree("a", name, open_how_tree::must_exist);
                if (!handle) return handle.error();
                auto const place = db.core().place_of(handle.assume_value(), no_lsn);
                if (!place) return place.error();
                check(place.assume_value());
            }
            auto const space = check_space(pool, *one.file, reached, complain);
            if (!space && !found) found = space.error();
            pages_ = one.file->page_count();
            if (change.kind == disk_change::kind_type::flip && files_[change.file].name == "a")
                said.page_in_use = reached.has(
                    page_number{static_cast<std::uint32_t>(change.offset / policies::page_size)}
                );
        }
        return found;
    }

    static constexpr std::uint64_t segment_bytes = std::uint64_t{128} << 10;

    past kind_;
    choice_tape tape_;
    simulated_world world_;
    disk_state disk_;
    std::vector<aged_file> files_;
    std::vector<state> states_;
    std::size_t expected_ = 0; // the state that an undamaged disk holds
    tree trees_[2]{};
    std::uint64_t values_ = 0;
    std::uint64_t pages_ = 0;
    std::string live_error_;
};

aged_instance::aged_instance(past kind, std::uint64_t seed)
    : body_{std::make_unique<body>(kind, seed)} {}
aged_instance::~aged_instance() = default;

std::vector<aged_file> const& aged_instance::files() const noexcept {
    return body_->files_;
}
bool aged_instance::is_log(aged_file const& file) noexcept {
    return jetpp::parse_segment_name(file.name).has_value();
}
std::uint64_t aged_instance::commits() const noexcept {
    return body_->expected_;
}
std::uint64_t aged_instance::pages() const noexcept {
    return body_->pages_;
}
verdict aged_instance::open_with(disk_change const& change) {
    return body_->judge(change);
}

} // namespace property
