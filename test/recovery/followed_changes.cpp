// Random transactions, crashes and recoveries: a reader of changes sees what was committed.
#include <jetpp/jetpp.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "../catch.hpp"
#include "changes_bed.hpp"

namespace jetpp_test::followed_changes_cases {

struct policies : default_policies {
    static constexpr std::size_t page_size = 4096;
    using logging = archival_logging;
    using storage = simulated_storage;
    using runtime = simulated_runtime;
};
using engine_type = engine<policies>;
using env = simulated_environment;

// Lives of one directory, with a writer that knows what it committed and a reader that follows.
class followed_lives {
public:
    explicit followed_lives(choice_tape& tape) : tape_{&tape}, world_{tape, machine_of(tape)} {}

    // Empty if all is well.
    [[nodiscard]] std::string run(std::uint64_t lives) {
        for (std::uint64_t i = 0; i < lives && problem_.empty(); ++i) {
            world_.machine().crash_at(tape_->chance(1, 4) ? 0 : 1 + tape_->pick(900));
            world_.run([&] { live(); });
            world_.machine().thaw(every_crash_policy[tape_->pick(every_crash_policy.size() - 1)]);
        }
        world_.machine().crash_at(0);
        if (problem_.empty()) world_.run([&] { last_life(); });
        return problem_;
    }
    [[nodiscard]] std::uint64_t commits() const { return history_.size(); }
    [[nodiscard]] std::uint64_t followed() const { return followed_; }

private:
    static world_options machine_of(choice_tape& tape) {
        auto how = world_options{};
        how.machine.atomic_unit = tape.chance(1, 2) ? 512 : 4096;
        how.threads.switch_den = 2 + static_cast<std::uint32_t>(tape.pick(14));
        how.threads.steps_max = 20'000'000;
        return how;
    }
    void report(std::string what) {
        if (problem_.empty()) problem_ = std::move(what);
    }
    bool accept(error const& e, char const* where) {
        if (!world_.machine().frozen() && e.code != errc::device_gone)
            report(std::string{where} + ": " + describe(e).c_str());
        return false;
    }

    [[nodiscard]] std::optional<engine_type> open_engine() {
        auto opened = engine_type::open(
            "db",
            {.buffer_bytes = 256 << 10,
             .segment_bytes = 128 << 10,
             .transaction_bytes = 1 << 20,
             .checkpoint_every_bytes = 32 << 10,
             .process_durability = tape_->chance(1, 2)},
            world_.environment<>()
        );
        if (!opened) return accept(opened.error(), "open"), std::nullopt;
        auto db = std::move(opened).assume_value();
        auto const& found = db.core().store.report();
        // What lies above the end of the log did not survive.
        if (found.recovered) history_.erase(history_.lower_bound(found.end.value), history_.end());
        now_ = history_.empty() ? forest{} : history_.rbegin()->second;
        if (auto done = db.attach("main"); !done)
            return accept(done.error(), "attach"), std::nullopt;
        return db;
    }

    // --- the writer

    struct change_made {
        std::string tree;
        std::string key;
        std::optional<std::string> value; // none: erased
        char kind = 'r';                  // row, create, drop
    };
    struct open_work {
        engine_type::transaction tx;
        std::vector<change_made> steps{};
    };

    void live() {
        auto db = open_engine();
        if (!db) return;
        stop_ = false;
        follow_engine_ = tape_->chance(1, 2) ? &*db : nullptr;
        auto reader = simulated_runtime{}.spawn("reader", &run_reader, this);
        work(*db);
        stop_ = true;
        if (reader) reader.assume_value().join();
        if (tape_->chance(1, 2))
            if (auto done = std::move(*db).close(); !done) accept(done.error(), "close");
    }
    void work(engine_type& db) {
        auto open = std::vector<open_work>{};
        auto const turns = 20 + tape_->pick(100);
        for (std::uint64_t i = 0; i < turns && !world_.machine().frozen(); ++i) {
            if (open.empty() || (open.size() < 3 && tape_->chance(1, 4))) {
                auto begun = db.begin();
                if (!begun) return (void)accept(begun.error(), "begin");
                open.push_back({std::move(begun).assume_value()});
            }
            auto const which = tape_->pick(open.size());
            auto& one = open[which];
            if (tape_->chance(1, 40)) (void)db.checkpoint();
            if (tape_->chance(3, 4)) {
                if (!some_steps(db, one, 0)) return;
                continue;
            }
            auto done = std::move(open[which]);
            open.erase(open.begin() + static_cast<std::ptrdiff_t>(which));
            if (tape_->chance(1, 4)) {
                std::move(done.tx).rollback();
                continue;
            }
            auto const how = tape_->chance(1, 2) ? durability::memory : durability::device;
            auto const ticket = std::move(done.tx).commit(how);
            if (!ticket) {
                if (ticket.error().code == errc::snapshot_too_old) continue;
                if (ticket.error().code == errc::log_failed) // its outcome is unknown
                    unknown_ = true;
                return (void)accept(ticket.error(), "commit");
            }
            if (done.steps.empty()) continue;
            for (auto const& s : done.steps) replay_step(s);
            history_[ticket.assume_value().at.value] = now_;
        }
    }
    void replay_step(change_made const& s) {
        auto const name = "main/" + s.tree;
        if (s.kind == 'c')
            now_[name];
        else if (s.kind == 'd')
            now_.erase(name);
        else if (s.value)
            now_[name][s.key] = *s.value;
        else
            now_[name].erase(s.key);
    }

    // A few changes, perhaps below a savepoint. Returns: whether the writer may go on.
    bool some_steps(engine_type& db, open_work& work, int depth) {
        auto const count = 1 + tape_->pick(4);
        for (std::uint64_t i = 0; i < count; ++i) {
            if (depth < 2 && tape_->chance(1, 6)) {
                auto saved = work.tx.save();
                if (!saved) return is_refusal(saved.error()) || accept(saved.error(), "save");
                auto const before = work.steps.size();
                if (!some_steps(db, work, depth + 1)) return false;
                if (tape_->chance(1, 2)) {
                    std::move(saved.assume_value()).keep();
                    continue;
                }
                auto const undone = std::move(saved.assume_value()).roll_back();
                if (!undone) return accept(undone.error(), "roll back");
                work.steps.resize(before);
                continue;
            }
            auto const done = one_step(db, work);
            if (!done && !is_refusal(done.error())) return accept(done.error(), "change");
        }
        return true;
    }
    [[nodiscard]] static bool is_refusal(error const& e) {
        return e.code == errc::write_conflict || e.code == errc::busy ||
               e.code == errc::tree_dropped || e.code == errc::already_exists ||
               e.code == errc::snapshot_too_old || e.code == errc::not_found;
    }
    result<void> one_step(engine_type& db, open_work& work) {
        auto const name = "t" + std::to_string(tape_->pick(3));
        auto tree_here = find(db, work, name);
        if (!tree_here) {
            BOOST_OUTCOME_TRY(auto const made, work.tx.create_tree("main", name));
            own_[name] = made;
            work.steps.push_back({.tree = name, .key = {}, .value = {}, .kind = 'c'});
            return ok();
        }
        if (tape_->chance(1, 20)) {
            BOOST_OUTCOME_TRY(work.tx.drop_tree(*tree_here));
            work.steps.push_back({.tree = name, .key = {}, .value = {}, .kind = 'd'});
            return ok();
        }
        auto const key = "k" + std::to_string(tape_->pick(30));
        if (tape_->chance(1, 4)) {
            BOOST_OUTCOME_TRY(auto const found, work.tx.erase(*tree_here, key));
            if (found) work.steps.push_back({.tree = name, .key = key, .value = {}});
            return ok();
        }
        auto value = std::to_string(++values_) + ":";
        value.append(tape_->pick(300), static_cast<char>('a' + values_ % 26));
        BOOST_OUTCOME_TRY(work.tx.put(*tree_here, key, value));
        work.steps.push_back({.tree = name, .key = key, .value = value});
        return ok();
    }
    // The tree of that name as the transaction sees it: what it made or dropped itself comes first.
    [[nodiscard]] std::optional<tree> find(
        engine_type& db, open_work& work, std::string const& name
    ) {
        for (auto i = work.steps.size(); i-- > 0;) {
            if (work.steps[i].tree != name || work.steps[i].kind == 'r') continue;
            if (work.steps[i].kind == 'd') return std::nullopt;
            return own_[name];
        }
        if (auto there = db.open_tree("main", name, open_how_tree::must_exist); there)
            return there.assume_value();
        return std::nullopt;
    }

    // --- the reader

    static void run_reader(void* self) { static_cast<followed_lives*>(self)->follow(); }
    [[nodiscard]] static lsn ask_engine(void* whom) noexcept {
        return static_cast<engine_type*>(whom)->core().store.log().durable_lsn();
    }
    void follow() {
        auto dir = world_.environment<>().storage.open_dir("db", directory_how::must_exist);
        if (!dir) return (void)accept(dir.error(), "reader's directory");
        auto how = follow_options{.page_size = 4096};
        if (follow_engine_ != nullptr) how.bound = {.ask = &ask_engine, .whom = follow_engine_};
        auto opened = follow_changes(
            world_.environment<>(), dir.assume_value(), {.after = token_, .filter = {}}, how
        );
        if (!opened) return (void)accept(opened.error(), "reader");
        auto& changes = opened.assume_value();
        auto quiet = 0;
        for (;;) {
            auto const step = changes.next();
            if (!step) return (void)accept(step.error(), "reader's next");
            if (step.assume_value() == change_step::waiting) {
                if (stop_ && (!to_the_end_ || ++quiet > 3)) return;
                changes.source().pause();
                continue;
            }
            quiet = 0;
            if (auto wrong = mine_.apply(changes.transaction()); !wrong.empty())
                return report("reader: " + wrong);
            seen_[changes.transaction().at.value] = mine_.rows();
            // A token survives as text.
            auto const text = changes.token().text();
            auto const kept = change_token::parse({text.data(), text.size()});
            if (!kept || kept.assume_value() != changes.token()) return report("token");
            token_ = kept.assume_value();
            ++followed_;
        }
    }

    // --- the end

    // Recovers, closes, and compares: the reader that followed, one that reads all, and readers
    // from every token.
    void last_life() {
        {
            auto db = open_engine();
            if (!db) return report("the last open failed");
            if (auto done = std::move(*db).close(); !done)
                return (void)accept(done.error(), "close");
        }
        stop_ = to_the_end_ = true;
        follow_engine_ = nullptr;
        follow();
        if (!problem_.empty()) return;
        compare(seen_, "the reader that followed");

        auto dir = world_.environment<>().storage.open_dir("db", directory_how::must_exist);
        if (!dir) return (void)accept(dir.error(), "directory");
        auto opened = read_changes(world_.environment<>(), dir.assume_value());
        if (!opened) return (void)accept(opened.error(), "read");
        auto all = replica{};
        auto found = std::map<std::uint64_t, forest>{};
        auto& changes = opened.assume_value();
        auto texts = std::vector<std::string>{};
        auto tokens = std::vector<change_token>{};
        for (;;) {
            auto const step = changes.next();
            if (!step) return (void)accept(step.error(), "read on");
            if (step.assume_value() != change_step::transaction) {
                if (step.assume_value() != change_step::end) report("a closed log ends clean");
                break;
            }
            if (auto wrong = all.apply(changes.transaction()); !wrong.empty())
                return report("read: " + wrong);
            found[changes.transaction().at.value] = all.rows();
            texts.push_back(text_of(changes.transaction()));
            tokens.push_back(changes.token());
        }
        compare(found, "the reader of all");
        for (std::size_t i = 0; i < tokens.size() && problem_.empty(); ++i) {
            if (tokens.size() > 12 && !tape_->chance(12, static_cast<std::uint32_t>(tokens.size())))
                continue;
            auto again = read_changes(
                world_.environment<>(), dir.assume_value(), {.after = tokens[i], .filter = {}}
            );
            if (!again) return (void)accept(again.error(), "resume");
            auto const rest = drain(again.assume_value());
            if (rest.why.code != errc::none) return (void)accept(rest.why, "resumed");
            // Names of trees older than what is read again are not told: compare without.
            if (rest.texts.size() != texts.size() - i - 1) return report("resumed: another length");
            for (std::size_t j = 0; j < rest.commits.size(); ++j)
                if (rest.tokens[j] != tokens[i + 1 + j]) return report("resumed: another token");
        }
    }
    void compare(std::map<std::uint64_t, forest> const& found, char const* who) {
        if (!problem_.empty()) return;
        for (auto const& [at, rows] : history_) {
            auto const there = found.find(at);
            if (there == found.end())
                return report(std::string{who} + " missed " + std::to_string(at));
            if (there->second != rows)
                return report(std::string{who} + " differs at " + std::to_string(at));
        }
        // A commit whose outcome was unknown to the writer, or its own bookkeeping rows, may be
        // there too: never one that the writer knows to be gone.
        for (auto const& [at, rows] : found)
            if (!history_.contains(at) && !unknown_)
                return report(std::string{who} + " saw what never was: " + std::to_string(at));
    }

    choice_tape* tape_;
    simulated_world world_;
    std::string problem_;

    std::map<std::uint64_t, forest> history_; // the state after each commit that survived
    forest now_;
    std::map<std::string, tree> own_;
    std::uint64_t values_ = 0;
    bool unknown_ = false;

    bool stop_ = false;
    bool to_the_end_ = false;
    engine_type* follow_engine_ = nullptr;
    std::optional<change_token> token_;
    replica mine_;
    std::map<std::uint64_t, forest> seen_;
    std::uint64_t followed_ = 0;
};

[[nodiscard]] std::uint64_t first_seed() {
    auto const* chosen = std::getenv("JETPP_SEED");
    return chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
}

TEST_CASE(
    "a reader of changes sees every commit that survives, whole, in order, once",
    "[recovery][changes]"
) {
    auto const seeds = rounds(300);
    auto commits = std::uint64_t{0};
    auto followed = std::uint64_t{0};
    for (auto seed = first_seed(); seed < first_seed() + seeds; ++seed) {
        auto tape = choice_tape{seed};
        auto lives = followed_lives{tape};
        INFO("JETPP_SEED=" << seed);
        REQUIRE(lives.run(1 + seed % 4) == "");
        commits += lives.commits();
        followed += lives.followed();
    }
    CHECK(commits > seeds * 5);
    CHECK(followed > seeds * 5);
    std::printf(
        "%llu commits, %llu of them followed: the stream was the history\n",
        static_cast<unsigned long long>(commits),
        static_cast<unsigned long long>(followed)
    );
}

} // namespace jetpp_test::followed_changes_cases
