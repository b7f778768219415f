// test/crash/crash_lab.hpp - an engine on a machine that loses its power, and what must be left.
//
// A lab runs many lives of one directory. In each life writers commit random transactions until
// the machine stops at a drawn moment; the next life recovers (and may be stopped in that as well)
// and is compared with the model:
//   * the state is a prefix of the commit order: each writer's transactions up to some number, and
//     nothing that was acknowledged is above the first thing missing
//   * the prefix holds every commit that was acknowledged at a level the crash had to respect
//   * no transaction is there in part; every tree is sound; both scan directions agree
// Each writer stamps every transaction with its running number in a row of its own, so the oracle
// knows what survived without trusting the engine's own report.
#pragma once

#include <jetpp/btree/check.hpp>
#include <jetpp/jetpp.hpp>
#include <jetpp/simulation/simulated_world.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace crash {

using namespace jetpp;

template <std::size_t PageSize = 4096, class Logging = circular_logging>
struct policies : default_policies {
    static constexpr std::size_t page_size = PageSize;
    using logging = Logging;
    using storage = simulated_storage;
    using runtime = simulated_runtime;
};

using model = std::map<std::string, std::string>;

struct change {
    std::string key;
    std::optional<std::string> value; // none: erased
};

// One transaction that reached commit().
struct attempt {
    std::vector<change> changes;
    lsn snapshot{};
    lsn at{}; // 0: commit did not return success
    durability level{};
    std::uint32_t writer{};
    std::uint64_t number{}; // of the writer, from 1
};

struct lab_options {
    std::uint32_t writers_max = 3;
    std::uint32_t transactions_max = 30;
    std::uint32_t keys = 150;
    std::uint32_t value_max = 700;
    std::uint64_t calls_max = 1500; // the crash comes within so many storage calls
    std::uint32_t crashes_in_recovery_max = 4;
};

template <class Policies>
class lab {
public:
    using engine_type = engine<Policies>;
    using traits = typename engine_type::traits;

    lab(choice_tape& tape, lab_options how)
        : tape_{&tape}, how_{how}, world_{tape, machine_of(tape)} {
        writers_ = 1 + static_cast<std::uint32_t>(tape.pick(how.writers_max));
        two_databases_ = tape.chance(1, 4);
        options_ = open_options{
            .buffer_bytes =
                (tape.chance(1, 2) ? 8 + tape.pick(40) : 64 + tape.pick(192)) * Policies::page_size,
            .segment_bytes = std::max<std::uint64_t>(
                std::uint64_t{128} << 10, std::bit_ceil(4 * record_size_max(Policies::page_size))
            ),
            .transaction_bytes = std::size_t{1} << 20,
            .checkpoint_depth_bytes = std::uint64_t{1} << (12 + tape.pick(9)),
            .checkpoint_every_bytes = std::uint64_t{1} << (12 + tape.pick(6)),
            .checkpoint_every = std::chrono::milliseconds{1 + tape.pick(200)},
            .process_durability = tape.chance(1, 2),
        };
        // Pages that never go home by themselves, while checkpoints come and go.
        if (tape.chance(1, 4)) {
            options_.buffer_bytes = 256 * Policies::page_size;
            options_.checkpoint_depth_bytes = std::uint64_t{1} << 30;
            options_.checkpoint_every_bytes = 4096;
        }
    }

    // One life, its end, and the checks of the next one's beginning. Empty if all is well.
    [[nodiscard]] std::string life() {
        ++lives_;
        if (auto const* calls = std::getenv("JETPP_CALLS"))
            world_.machine().print_calls_to(
                std::strtoull(calls, nullptr, 10) <= lives_ ? stderr : nullptr
            );
        attempts_.clear();
        world_.machine().crash_at(1 + tape_->pick(how_.calls_max));
        world_.run([&] { work(); });
        if (!problem_.empty()) return problem_;
        auto policy = draw_policy();
        trace("life %llu ends: %s", lives_, std::string{name_of(policy)}.c_str());
        world_.machine().thaw(policy);
        killed_only_ = !is_power_loss(policy);
        for (auto n = tape_->pick(how_.crashes_in_recovery_max + 1); n != 0; --n) {
            world_.machine().crash_at(1 + tape_->pick(120));
            world_.run([&] { recover_and_check(false); });
            if (!problem_.empty()) return problem_;
            policy = draw_policy();
            world_.machine().thaw(policy);
            ++crashes_;
            killed_only_ = killed_only_ && !is_power_loss(policy);
        }
        world_.machine().crash_at(0);
        world_.run([&] { recover_and_check(true); });
        ++crashes_;
        return problem_;
    }

    // Scripted: crash at the n-th call of the same workload, always under one policy.
    // Returns: whether the workload was still running then.
    [[nodiscard]] bool life_until(std::uint64_t call, crash_policy policy) {
        attempts_.clear();
        world_.machine().crash_at(call);
        world_.run([&] { work(); });
        auto const reached = world_.machine().frozen();
        if (!problem_.empty()) return reached;
        world_.machine().thaw(policy);
        killed_only_ = !is_power_loss(policy);
        world_.machine().crash_at(0);
        world_.run([&] { recover_and_check(true); });
        ++crashes_;
        return reached;
    }

    [[nodiscard]] std::uint64_t crashes() const noexcept { return crashes_; }
    [[nodiscard]] std::string const& problem() const noexcept { return problem_; }
    [[nodiscard]] simulated_world& world() noexcept { return world_; }

private:
    static world_options machine_of(choice_tape& tape) {
        auto how = world_options{};
        how.machine.atomic_unit = tape.chance(1, 2) ? 512 : 4096;
        how.machine.short_num = tape.chance(1, 4) ? 1 : 0;
        how.threads.switch_den = 2 + static_cast<std::uint32_t>(tape.pick(14));
        how.threads.steps_max = 20'000'000;
        return how;
    }
    // A torn sector is outside the default promise for the log's tail.
    [[nodiscard]] crash_policy draw_policy() {
        return every_crash_policy[tape_->pick(every_crash_policy.size() - 1)];
    }

    template <class... Args>
    static void trace(char const* format, Args... args) {
        static auto const on = std::getenv("JETPP_TRACE") != nullptr;
        if (!on) return;
        std::fprintf(stderr, format, args...);
        std::fputc('\n', stderr);
    }
    // The log as it lies there, for whoever hunts a seed.
    void dump_log() {
        if (std::getenv("JETPP_TRACE") == nullptr) return;
        auto env = world_.template environment<>();
        auto dir = env.storage.open_dir("db", directory_how::must_exist);
        if (!dir) return;
        auto listing = log_directory<simulated_environment>::list(env, dir.assume_value());
        if (listing && listing.assume_value().read_from(dir.assume_value(), 0))
            for (auto const& one : listing.assume_value().segments())
                trace(
                    "segment %llu bytes %llu sound %d nonce %llx previous %llu %llx cut %llu",
                    one.generation,
                    one.file_bytes,
                    one.is_sound(),
                    one.header.nonce,
                    one.header.previous_generation,
                    one.header.previous_nonce,
                    one.header.cut.value
                );
        for (auto const& name : world_.machine().file_names("db")) {
            auto const content = world_.machine().contents("db/" + name);
            auto const at = std::size_t{4096};
            if (content.size() < at + 32) continue;
            trace(
                "%s: %llx %llx %llx",
                name.c_str(),
                load_le<std::uint64_t>(&content[at]),
                load_le<std::uint64_t>(&content[at + 8]),
                load_le<std::uint64_t>(&content[at + 16])
            );
        }
        if (auto slots =
                checkpoint_file<simulated_environment>::open_or_create(env, dir.assume_value()))
            for (auto const* one : {slots.assume_value().newest(), slots.assume_value().older()})
                if (one != nullptr)
                    trace(
                        "slot %llu clean %d redo %llu undo %llu end %llu generation %llu",
                        one->sequence,
                        one->clean,
                        one->redo_lsn.value,
                        one->undo_low_lsn.value,
                        one->end_lsn.value,
                        one->generation
                    );
        auto log = replay<simulated_environment>::open(
            env, dir.assume_value(), {.page_size = Policies::page_size}
        );
        if (!log) return trace("no log: %s", describe(log.error()).c_str());
        for (auto const& r : log.assume_value()) {
            if (!r) return trace("log ends: %s", describe(r.error()).c_str());
            auto const& record = r.assume_value();
            auto key = std::string{};
            auto undo = lsn{};
            record.visit([&]<class Body>(Body const& body) {
                if constexpr (requires {
                                  body.key;
                                  body.part.undo_lsn;
                              }) {
                    key = std::string{as_text(body.key)};
                    undo = body.part.undo_lsn;
                }
            });
            trace(
                "%llu %s tx %llu flags %d db %d tree %u key %s undo %llu",
                record.at.value,
                std::string{name_of(record.header.type)}.c_str(),
                record.header.transaction.value,
                static_cast<int>(record.header.flags),
                record.header.database.value,
                record.header.tree.value,
                key.c_str(),
                undo.value
            );
        }
    }

    void report(std::string what) {
        if (problem_.empty()) problem_ = std::move(what);
    }
    [[nodiscard]] bool is_off() { return world_.machine().frozen(); }
    // What a healthy engine may say to a transaction: it is rolled back, the writer goes on.
    [[nodiscard]] static bool is_refusal(error const& e) {
        return e.code == errc::write_conflict || e.code == errc::snapshot_too_old;
    }
    // Any other error of the engine is legal only when the machine is off.
    bool accept(error const& e, char const* where) {
        if (is_off() || e.code == errc::device_gone) return false;
        report(std::string{where} + ": " + describe(e).c_str());
        return false;
    }

    [[nodiscard]] std::string random_key() { return "k" + std::to_string(tape_->pick(how_.keys)); }
    [[nodiscard]] std::string random_value(std::uint32_t writer, std::uint64_t number) {
        auto value = std::to_string(writer) + ":" + std::to_string(number) + ":" +
                     std::to_string(++values_) + ":";
        value.append(tape_->pick(how_.value_max), static_cast<char>('a' + values_ % 26));
        return value;
    }
    [[nodiscard]] static std::string stamp_key(std::uint32_t writer) {
        return "writer " + std::to_string(writer);
    }

    // --- a life

    struct trees {
        tree first;
        tree second; // in another database, perhaps; mirrors the keys' existence
    };

    [[nodiscard]] std::optional<trees> open_trees(engine_type& db) {
        auto const other = std::string{two_databases_ ? "b" : "a"};
        if (auto done = db.attach("a"); !done)
            return accept(done.error(), "attach a"), std::nullopt;
        if (auto done = db.attach(other); !done)
            return accept(done.error(), "attach b"), std::nullopt;
        auto first = db.open_tree("a", "rows");
        if (!first) return accept(first.error(), "open_tree rows"), std::nullopt;
        auto second = db.open_tree(other, "mirror");
        if (!second) return accept(second.error(), "open_tree mirror"), std::nullopt;
        return trees{first.assume_value(), second.assume_value()};
    }

    struct writer_task {
        lab* owner;
        engine_type* db;
        trees where;
        std::uint32_t id;
    };

    void work() {
        auto opened = engine_type::open("db", options_, world_.template environment<>());
        if (!opened) return (void)accept(opened.error(), "open");
        auto db = std::move(opened).assume_value();
        auto const where = open_trees(db);
        if (where) {
            auto tasks = std::vector<writer_task>{};
            for (std::uint32_t id = 0; id < writers_; ++id)
                tasks.push_back({this, &db, *where, id});
            auto running = std::vector<simulated_runtime::task>{};
            auto runtime = simulated_runtime{};
            for (auto& task : tasks) {
                auto spawned = runtime.spawn("writer", &run_writer, &task);
                if (spawned) running.push_back(std::move(spawned).assume_value());
            }
            for (auto& task : running) task.join();
        }
        if (tape_->chance(1, 3)) {
            auto closed = std::move(db).close();
            if (!closed)
                accept(closed.error(), "close");
            else
                clean_closed_ = true;
        }
    }
    static void run_writer(void* raw) {
        auto& task = *static_cast<writer_task*>(raw);
        task.owner->write(*task.db, task.where, task.id);
    }

    void write(engine_type& db, trees const& where, std::uint32_t id) {
        auto const count = 1 + tape_->pick(how_.transactions_max);
        for (std::uint64_t i = 0; i < count && !is_off(); ++i) {
            if (tape_->chance(1, 20)) {
                if (auto done = db.checkpoint(); !done)
                    return (void)accept(done.error(), "checkpoint");
            }
            // The cleaner's clock hardly moves in so short a life: do its work here, too.
            if (tape_->chance(1, 3)) {
                if (auto done = db.poll(); !done) return (void)accept(done.error(), "poll");
            }
            if (!transaction(db, where, id)) return;
        }
    }

    // Returns: whether the writer may go on.
    bool transaction(engine_type& db, trees const& where, std::uint32_t id) {
        auto begun = db.begin();
        if (!begun) return accept(begun.error(), "begin");
        auto tx = std::move(begun).assume_value();
        auto done = attempt{};
        done.snapshot = tx.at();
        done.writer = id;
        done.number = numbers_[id] + 1;
        auto const keys = 1 + tape_->pick(6);
        for (std::uint64_t i = 0; i < keys; ++i) {
            auto const key = random_key();
            auto changed = result<void>{ok()};
            auto next = change{key, {}};
            if (tape_->chance(1, 3)) {
                // An erase that finds nothing writes nothing: it conflicts with nobody.
                auto erased = erase_both(tx, where, key);
                if (erased && !erased.assume_value()) continue;
                if (!erased) changed = erased.error();
            } else {
                next.value = random_value(id, done.number);
                changed = put_both(tx, where, key, *next.value);
            }
            if (!changed) {
                if (!is_refusal(changed.error())) return accept(changed.error(), "change");
                return true; // dropped: rolls back
            }
            done.changes.push_back(std::move(next));
            if (tape_->chance(1, 8) && !try_savepoint(tx, where, id)) return false;
        }
        if (tape_->chance(1, 10)) {
            std::move(tx).rollback();
            return true;
        }
        auto stamped = tx.put(where.first, stamp_key(id), std::to_string(done.number));
        if (!stamped) {
            if (is_refusal(stamped.error())) return true;
            return accept(stamped.error(), "stamp");
        }
        done.level = static_cast<durability>(tape_->pick(3));
        numbers_[id] = done.number;
        auto committed = std::move(tx).commit(done.level);
        if (!committed && is_refusal(committed.error())) { // rolled back, for sure
            numbers_[id] = done.number - 1;
            return true;
        }
        if (committed) done.at = committed.assume_value().at;
        if (is_off()) done.level = durability::memory; // nobody was left to hear it
        trace(
            "writer %u number %llu at %llu level %d",
            id,
            done.number,
            done.at.value,
            static_cast<int>(done.level)
        );
        attempts_.push_back(std::move(done));
        if (!committed) return accept(committed.error(), "commit");
        return true;
    }
    template <class Transaction>
    [[nodiscard]] static result<void> put_both(
        Transaction& tx, trees const& where, std::string const& key, std::string const& value
    ) {
        BOOST_OUTCOME_TRY(tx.put(where.first, key, value));
        return tx.put(where.second, key, value.substr(0, 20));
    }
    template <class Transaction>
    [[nodiscard]] static result<bool> erase_both(
        Transaction& tx, trees const& where, std::string const& key
    ) {
        BOOST_OUTCOME_TRY(auto const found, tx.erase(where.first, key));
        BOOST_OUTCOME_TRY(tx.erase(where.second, key));
        return found;
    }
    // Changes that are taken back at once.
    template <class Transaction>
    bool try_savepoint(Transaction& tx, trees const& where, std::uint32_t id) {
        auto saved = tx.save();
        if (!saved) return accept(saved.error(), "save");
        for (auto n = 1 + tape_->pick(3); n != 0; --n) {
            auto const key = random_key();
            auto changed = result<void>{ok()};
            if (tape_->chance(1, 2)) {
                changed = put_both(tx, where, key, random_value(id, 999'999));
            } else if (auto erased = erase_both(tx, where, key); !erased) {
                changed = erased.error();
            }
            if (!changed && !is_refusal(changed.error()))
                return accept(changed.error(), "change in savepoint");
        }
        auto undone = std::move(saved).assume_value().roll_back();
        if (!undone) return accept(undone.error(), "savepoint rollback");
        return true;
    }

    // --- after a crash

    void recover_and_check(bool must_succeed) {
        auto opened = engine_type::open("db", options_, world_.template environment<>());
        if (!opened) {
            if (must_succeed || !is_off()) accept(opened.error(), "recovery");
            if (!problem_.empty()) dump_log();
            return;
        }
        auto db = std::move(opened).assume_value();
        auto const where = open_trees(db);
        if (!where) return;
        auto found = read_state(db, *where);
        if (!found) return;
        trace(
            "recovered to %llu, losers %u",
            db.core().store.report().end.value,
            db.core().store.report().losers
        );
        judge(*found);
        if (!problem_.empty()) dump_log();
        if (problem_.empty() && !is_off()) check_structure(db, *where);
        if (is_off()) return; // stopped in the middle: the next one looks again
        // What was recovered is durable from here on.
        base_ = std::move(*found);
        attempts_.clear();
        for (std::uint32_t id = 0; id < writers_; ++id) numbers_[id] = survived(base_, id);
        clean_closed_ = false;
        if (tape_->chance(1, 3)) {
            auto closed = std::move(db).close();
            if (!closed) accept(closed.error(), "close after recovery");
        }
    }

    [[nodiscard]] std::optional<model> read_state(engine_type& db, trees const& where) {
        auto const scan = [&](tree from, bool backward) -> std::optional<model> {
            auto view = db.read();
            if (!view) return accept(view.error(), "read"), std::nullopt;
            auto rows = view.assume_value().scan(from, {.backward = backward});
            if (!rows) return accept(rows.error(), "scan"), std::nullopt;
            auto state = model{};
            auto last = std::optional<std::string>{};
            for (;;) {
                auto more = rows.assume_value().next();
                if (!more) return accept(more.error(), "next"), std::nullopt;
                if (!more.assume_value()) break;
                auto const current = rows.assume_value().current();
                auto key = std::string{current.key};
                if (last && (backward ? !(key < *last) : !(*last < key)))
                    report("scan out of order at " + key);
                last = key;
                state.emplace(std::move(key), std::string{current.value});
            }
            return state;
        };
        auto forward = scan(where.first, false);
        auto backward = scan(where.first, true);
        auto mirror = scan(where.second, false);
        if (!forward || !backward || !mirror) return std::nullopt;
        if (*forward != *backward) report("forward and backward scans differ");
        for (auto const& [key, value] : *forward) {
            if (key.starts_with("writer ")) continue;
            auto const twin = mirror->find(key);
            if (twin == mirror->end() || twin->second != value.substr(0, 20))
                report("half a transaction: " + key + " is not mirrored");
        }
        for (auto const& [key, value] : *mirror)
            if (!forward->contains(key)) report("half a transaction: only the mirror has " + key);
        return forward;
    }

    [[nodiscard]] static std::uint64_t survived(model const& state, std::uint32_t id) {
        auto const row = state.find(stamp_key(id));
        return row == state.end() ? 0 : std::stoull(row->second);
    }

    // Is this state the base plus a prefix of the attempts, with everything in it that must be?
    void judge(model const& found) {
        auto included = std::vector<attempt const*>{};
        auto last_in = lsn{};
        auto first_out = max_lsn;
        for (auto const& one : attempts_) {
            auto const in = one.number <= survived(found, one.writer);
            if (in) included.push_back(&one);
            if (!one.at) continue;
            if (in) {
                last_in = later(last_in, one.at);
                continue;
            }
            first_out = earlier(first_out, one.at);
            auto const owed = one.level == durability::device || clean_closed_ ||
                              (one.level == durability::process && killed_only_);
            if (owed)
                report(
                    "lost: writer " + std::to_string(one.writer) + " number " +
                    std::to_string(one.number) + " at " + std::to_string(one.at.value) + " level " +
                    std::to_string(static_cast<int>(one.level))
                );
        }
        if (last_in > first_out)
            report(
                "not a prefix: " + std::to_string(last_in.value) + " is in, " +
                std::to_string(first_out.value) + " is not"
            );
        // The order of commits; of an unknown outcome only who saw whom is known.
        auto expected = base_;
        auto unknown = std::vector<attempt const*>{};
        std::sort(included.begin(), included.end(), [](auto const* a, auto const* b) {
            return a->at < b->at;
        });
        auto last_writer = std::map<std::string, attempt const*>{};
        for (auto const* one : included) {
            if (!one->at) {
                unknown.push_back(one);
                continue;
            }
            apply(expected, *one);
            for (auto const& c : one->changes) last_writer[c.key] = one;
        }
        auto contested = std::map<std::string, int>{};
        for (auto const* one : unknown) {
            expected[stamp_key(one->writer)] = std::to_string(one->number);
            for (auto const& c : one->changes) {
                auto const known = last_writer.find(c.key);
                if (known != last_writer.end() && known->second->at > one->snapshot) continue;
                if (contested[c.key]++ == 0) {
                }
            }
        }
        for (auto const* one : unknown)
            for (auto const& c : one->changes) {
                auto const known = last_writer.find(c.key);
                if (known != last_writer.end() && known->second->at > one->snapshot) continue;
                if (c.value)
                    expected[c.key] = *c.value;
                else
                    expected.erase(c.key);
            }
        for (auto const& [key, count] : contested) {
            auto writers = 0;
            for (auto const* one : unknown)
                writers +=
                    std::any_of(one->changes.begin(), one->changes.end(), [&](change const& c) {
                        return c.key == key;
                    });
            if (writers > 1) { // either order is right
                auto const row = found.find(key);
                if (row == found.end())
                    expected.erase(key);
                else
                    expected[key] = row->second;
            }
        }
        if (expected == found) return;
        for (auto const& [key, value] : expected) {
            auto const row = found.find(key);
            if (row == found.end())
                return report("missing row " + key + " = " + value.substr(0, 30));
            if (row->second != value)
                return report(
                    "row " + key + " is " + row->second.substr(0, 30) + " instead of " +
                    value.substr(0, 30)
                );
        }
        for (auto const& [key, value] : found)
            if (!expected.contains(key))
                return report("row that should not be: " + key + " = " + value.substr(0, 30));
    }
    static void apply(model& state, attempt const& one) {
        for (auto const& c : one.changes) {
            if (c.value)
                state[c.key] = *c.value;
            else
                state.erase(c.key);
        }
        state[stamp_key(one.writer)] = std::to_string(one.number);
    }

    void check_structure(engine_type& db, trees const& where) {
        auto& store = db.core().store;
        for (auto& one : store.databases()) {
            if (one.file == nullptr) continue;
            auto reached = page_set{};
            if (!reached.cover(one.file->page_count())) return report("no memory");
            auto const complain = [&](tree_finding const& f) noexcept {
                if (!is_off())
                    report(
                        "structure: page " + std::to_string(f.page.value) + " tree " +
                        std::to_string(f.tree.value) + " " + std::string{name_of(f.reason)}
                    );
            };
            auto const check = [&](tree_place<traits> const& place) {
                auto shape = check_tree(store.pool(), place, reached, complain);
                if (!shape) accept(shape.error(), "check_tree");
            };
            check(one.catalogue());
            check(one.pending());
            for (auto const handle : {where.first, where.second}) {
                if (handle.database() != one.file->id()) continue;
                auto place = db.core().place_of(handle, no_lsn);
                if (place) check(place.assume_value());
            }
        }
    }

    choice_tape* tape_;
    lab_options how_;
    simulated_world world_;
    open_options options_{};
    std::uint32_t writers_ = 1;
    bool two_databases_ = false;
    bool killed_only_ = false;
    bool clean_closed_ = false;
    std::uint64_t lives_ = 0;
    std::uint64_t crashes_ = 0;
    std::uint64_t values_ = 0;
    std::map<std::uint32_t, std::uint64_t> numbers_;
    model base_;
    std::vector<attempt> attempts_;
    std::string problem_;
};

} // namespace crash
