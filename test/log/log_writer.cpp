#include <jetpp/env/native_environment.hpp>

#include <array>
#include <random>

#include "writer_bed.hpp"

namespace jetpp_test::log_writer_cases {

using namespace jetpp;

using env_type = memory_environment;
using writer = log_writer<env_type>;

struct bed {
    explicit bed(std::uint64_t capacity = memory_storage::no_limit)
        : env{.storage = memory_storage{capacity}},
          where{env.storage.open_dir("log", directory_how::create_if_missing).value()} {}

    std::unique_ptr<writer> open(
        log_options const& o = tiny_log(), log_start const& s = new_log()
    ) {
        auto made = writer::create(env, where, o, s);
        INFO(said(made));
        REQUIRE(made);
        return std::move(made).value();
    }

    env_type env;
    env_type::directory where;
};

// Appends user records of random sizes until `bytes_total` were appended, in credits of 16 KiB.
std::map<std::uint64_t, written_record> write_some(
    writer& log, std::mt19937_64& random, std::size_t bytes_total, std::size_t payload_max = 20'000
) {
    auto model = std::map<std::uint64_t, written_record>{};
    auto credit = log_credit{};
    for (std::size_t done = 0; done < bytes_total;) {
        auto const size = random() % 4 == 0 ? random() % (payload_max + 1) : random() % 300;
        auto const what = written_record{static_cast<std::uint32_t>(done), some_bytes(done, size)};
        auto const n = user_size(size);
        if (credit.left < n) REQUIRE(log.acquire(credit, std::max(n, 16'384u)));
        auto const at = write_user(log, credit, what);
        model[at.value] = what;
        done += n;
    }
    log.give_back(credit);
    return model;
}

TEST_CASE(
    "a new log is one segment with an attach list, and one prepared behind it", "[log][writer]"
) {
    auto b = bed{};
    auto log = b.open();
    CHECK(
        names_in(b.where) ==
        std::vector<std::string>{"jet.0000000000000001.log", "jet.0000000000000002.log"}
    );
    CHECK(log->durable_lsn() == first_lsn(1, 128 * 1024));
    CHECK(log->tail() == first_lsn(1, 128 * 1024) + 32);
    REQUIRE(log->flush_all());
    auto const raw = read_raw(b.where, 1);
    REQUIRE(raw.records.size() == 1);
    CHECK(raw.chain[0].incarnation == 1);
    CHECK(raw.chain[0].timeline == new_log().timeline);
    CHECK(log->timeline_low() == 0x23456789);
    CHECK(raw.end == log->durable_lsn());
    CHECK(log->durable_segment() == segment_id{1, raw.chain[0].nonce});
}

TEST_CASE("options that break a rule of sizes are refused", "[log][writer]") {
    auto b = bed{};
    auto const refused = [&](auto&& spoil) {
        auto o = tiny_log();
        spoil(o);
        auto made = writer::create(b.env, b.where, o, new_log());
        return !made && made.error().code == errc::bad_option;
    };
    CHECK(refused([](log_options& o) { o.segment_bytes = 100'000; }));
    CHECK(refused([](log_options& o) { o.ring_bytes = 64 * 1024; }));
    CHECK(refused([](log_options& o) { o.ring_bytes = 96 * 1024; }));
    CHECK(refused([](log_options& o) { o.ring_bytes = 2 * 1024 * 1024; }));
    CHECK(refused([](log_options& o) { o.record_bytes_max = record_size_max(65536); }));
    auto start = new_log();
    start.generation = 0;
    CHECK(writer::create(b.env, b.where, tiny_log(), start).error().code == errc::invalid_argument);
}

TEST_CASE("records of all sizes are read back byte for byte across segments", "[log][writer]") {
    auto const seed = GENERATE(range(1u, 9u));
    CAPTURE(seed);
    auto random = std::mt19937_64{seed};
    auto b = bed{};
    auto log = b.open();
    auto const model = write_some(*log, random, 2'000'000);
    REQUIRE(log->flush_all());
    CHECK(log->durable_lsn() == log->tail());
    auto const raw = read_raw(b.where, 1);
    CHECK(users_of(raw) == model);
    CHECK(raw.end == log->tail());
    CHECK(raw.chain.size() > 10);
}

TEST_CASE("a durable wait returns when the record stands in its file", "[log][writer]") {
    auto b = bed{};
    auto log = b.open();
    auto credit = log_credit{};
    REQUIRE(log->acquire(credit, 16'384));
    for (std::uint32_t i = 0; i < 40; ++i) {
        auto const what = written_record{i, some_bytes(i, 100 + i)};
        auto const at = write_user(*log, credit, what);
        CHECK(log->durable_lsn() <= at);
        REQUIRE(log->wait_durable(at));
        CHECK(log->durable_lsn() > at);
        CHECK(users_of(read_raw(b.where, 1)).at(at.value) == what);
    }
    log->give_back(credit);
}

TEST_CASE("a commit gets its own time, the durable hint and its own LSN", "[log][writer]") {
    auto b = bed{};
    auto log = b.open();
    auto credit = log_credit{};
    REQUIRE(log->acquire(credit, 4096));
    auto last = wall_time{};
    auto hooked = no_lsn;
    for (int i = 0; i < 10; ++i) {
        auto body = record::commit{};
        auto const hint = log->durable_lsn();
        auto const at = log->append(
            credit,
            {.flags = record_flags::first_of_transaction},
            body,
            [&](lsn own) noexcept { hooked = own; }
        );
        CHECK(hooked == at);
        CHECK(body.durable_hint == hint);
        CHECK(body.wall >= last);
        last = body.wall;
        REQUIRE(log->wait_durable(at));
        auto const raw = read_raw(b.where, 1).records.at(at.value);
        CHECK(raw.header.type == record_type::commit);
        CHECK(raw.header.transaction == at);
        CHECK(record::commit::parse(raw.all).value().wall == body.wall);
    }
    log->give_back(credit);
}

TEST_CASE("times in the log do not go back below what recovery saw", "[log][writer]") {
    auto b = bed{};
    auto start = new_log();
    start.wall_floor = {std::int64_t{1} << 62}; // the clock of the former life ran ahead
    auto log = b.open(tiny_log(), start);
    auto credit = log_credit{};
    REQUIRE(log->acquire(credit, 64));
    auto body = record::commit{};
    log->append(credit, {}, body);
    CHECK(body.wall == start.wall_floor);
    log->give_back(credit);
}

TEST_CASE("a forced switch ends the segment where it stands", "[log][writer]") {
    auto const seed = GENERATE(range(1u, 5u));
    CAPTURE(seed);
    auto random = std::mt19937_64{seed};
    auto b = bed{};
    auto log = b.open();
    auto model = std::map<std::uint64_t, written_record>{};
    for (int i = 0; i < 150; ++i) {
        // Often nothing is flushed between two switches: the ring fills with ends of segments.
        auto const now = write_some(*log, random, 1 + random() % 30'000, 3000);
        model.insert(now.begin(), now.end());
        auto const before = log->tail();
        auto const began = log->force_switch();
        REQUIRE(began);
        CHECK(began.value() > before);
        CHECK(began.value() == first_lsn(generation_of(log->tail(), 128 * 1024), 128 * 1024));
        if (random() % 8 == 0) REQUIRE(log->flush_all());
    }
    REQUIRE(log->flush_all());
    auto const raw = read_raw(b.where, 1);
    CHECK(users_of(raw) == model);
    CHECK(raw.end == log->tail());
    CHECK(raw.chain.size() > 150);
}

TEST_CASE("the log jumps to a later generation with a full ring", "[log][writer]") {
    auto const seed = GENERATE(range(1u, 5u));
    CAPTURE(seed);
    auto random = std::mt19937_64{seed};
    auto b = bed{};
    auto log = b.open();
    auto model = std::map<std::uint64_t, written_record>{};
    auto held = log_credit{}; // outstanding over the jump: it must stay good
    auto generation = std::uint64_t{1};
    for (int i = 0; i < 25; ++i) {
        auto const now = write_some(*log, random, random() % 100'000, 20'000);
        model.insert(now.begin(), now.end());
        REQUIRE(log->acquire(held, 30'000));
        generation = generation_of(log->tail(), 128 * 1024) + 1 + random() % 4 * (random() % 1000);
        auto const began = log->force_switch(generation);
        INFO(said(began));
        REQUIRE(began);
        CHECK(generation_of(began.value(), 128 * 1024) >= generation);
        for (std::uint32_t k = 0; held.left >= 10'024; ++k) {
            auto const what = written_record{k, some_bytes(k, 9'000)};
            model[write_user(*log, held, what).value] = what;
        }
        log->give_back(held);
    }
    REQUIRE(log->flush_all());
    auto const raw = read_raw(b.where, 1);
    CHECK(users_of(raw) == model);
    CHECK(raw.end == log->tail());
    // Files that were prepared for a future that never came serve again.
    for (auto const& name : names_in(b.where))
        if (auto const g = parse_segment_name(name); g && *g < generation)
            CHECK(std::any_of(raw.chain.begin(), raw.chain.end(), [&](segment_header const& h) {
                return h.generation == *g;
            }));
}

TEST_CASE("every segment begins with the attach list of its time", "[log][writer]") {
    auto b = bed{};
    auto log = b.open();
    auto list = record::attach_list{.count = 0, .entries = {}};
    auto entries = std::array<std::byte, 48>{};
    store_le<std::uint16_t>(entries.data(), 7);
    store_le<std::uint16_t>(entries.data() + 4, 1);
    store_le<std::uint64_t>(entries.data() + 24, 0x55); // nonce
    entries[40] = std::byte{'a'};
    list.count = 1;
    list.entries = entries;
    log->set_attach_list(list);
    REQUIRE(log->force_switch());
    REQUIRE(log->flush_all());
    auto const raw = read_raw(b.where, 1);
    auto const& second = raw.records.at(first_lsn(2, 128 * 1024).value);
    auto const parsed = record::attach_list::parse(second.all);
    REQUIRE(parsed);
    CHECK(parsed.value().count == 1);
    CHECK(second.header.flags == record_flags::system);
    CHECK(load_le<std::uint16_t>(raw.records.begin()->second.all.data() + 24) == 0);
}

TEST_CASE("a credit larger than any ring is refused at once", "[log][writer][credit]") {
    auto b = bed{};
    auto log = b.open();
    auto credit = log_credit{};
    CHECK(log->acquire(credit, log->credit_bytes_max() + 8).error().code == errc::invalid_argument);
    CHECK(credit.left == 0);
    REQUIRE(log->acquire(credit, log->credit_bytes_max()));
    CHECK(credit.left == log->credit_bytes_max());
    log->give_back(credit);
}

TEST_CASE("credits held by others make an acquire busy, and come back", "[log][writer][credit]") {
    auto b = bed{};
    auto o = tiny_log();
    o.credit_wait_max = std::chrono::milliseconds{1};
    auto log = b.open(o);
    auto held = std::vector<log_credit>{};
    auto refused = result<void>{ok()};
    for (auto one = log_credit{}; (refused = log->acquire(one, 16'384)); one = {})
        held.push_back(one);
    CHECK(refused.error().code == errc::busy);
    CHECK(held.size() >= 6);
    CHECK(held.size() <= 8);
    log->give_back(held.back());
    auto one = log_credit{};
    REQUIRE(log->acquire(one, 16'384));
    log->give_back(one);
    for (auto& c : held) log->give_back(c);
}

TEST_CASE("who takes ahead of need leaves half of the ring to who needs", "[log][writer][credit]") {
    auto b = bed{};
    auto o = tiny_log();
    o.credit_wait_max = std::chrono::milliseconds{1};
    auto log = b.open(o);
    auto held = std::vector<log_credit>(4);
    for (auto& one : held) {
        CHECK_FALSE(log->is_credit_scarce());
        REQUIRE(log->acquire(one, 16'384, credit_use::ordinary, 64));
        CHECK(one.left == 16'384);
    }
    auto more = log_credit{};
    REQUIRE(log->acquire(more, 16'384, credit_use::ordinary, 64));
    CHECK(more.left == 64);
    CHECK(log->is_credit_scarce());
    log->give_back(more);
    log->give_back(held[0]);
    CHECK_FALSE(log->is_credit_scarce());
    REQUIRE(log->acquire(more, 16'384, credit_use::ordinary, 64));
    CHECK(more.left == 16'384);
    log->give_back(more);
    for (auto& one : held) log->give_back(one);
}

TEST_CASE(
    "whatever the mix of credits, records and switches, nothing overruns", "[log][writer][credit]"
) {
    auto const seed = GENERATE(range(1u, 21u));
    CAPTURE(seed);
    auto random = std::mt19937_64{seed};
    auto b = bed{};
    auto o = tiny_log();
    o.credit_wait_max = std::chrono::milliseconds{0};
    if (seed % 2 == 0) o.ring_bytes = 512 * 1024; // larger than a segment
    auto log = b.open(o);
    auto credits = std::array<log_credit, 6>{};
    auto model = std::map<std::uint64_t, written_record>{};
    for (std::uint32_t i = 0; i < 3000; ++i) {
        auto& credit = credits[random() % credits.size()];
        switch (random() % 8) {
        case 0:
        case 1:
        case 2: {
            auto const wanted = 24 + 8 * static_cast<std::uint32_t>(random() % 4000);
            auto const got = log->acquire(credit, wanted);
            if (!got) CHECK(got.error().code == errc::busy);
            break;
        }
        case 3: log->give_back(credit); break;
        case 4:
            if (random() % 8 == 0) {
                auto const done = log->force_switch(random() % 4 == 0 ? i : 0);
                if (!done) CHECK(done.error().code == errc::busy);
            }
            break;
        case 5:
            if (random() % 8 == 0) REQUIRE(log->try_flush());
            break;
        default: // spend all of it, in records as large as may be or small ones
            while (credit.left >= 32) {
                auto const most = std::min<std::uint32_t>(credit.left, 20'480) - 32;
                auto const size = random() % 2 == 0 ? most : random() % (most + 1);
                auto const what = written_record{i, some_bytes(i, size)};
                model[write_user(*log, credit, what).value] = what;
                if (random() % 16 == 0) break;
            }
        }
    }
    for (auto& c : credits) log->give_back(c);
    REQUIRE(log->flush_all());
    CHECK(users_of(read_raw(b.where, 1)) == model);
}

TEST_CASE("a full disk refuses credits and leaves what is owed payable", "[log][writer][credit]") {
    auto b = bed{3 * 128 * 1024 + 64 * 1024};
    auto o = tiny_log();
    o.credit_wait_max = std::chrono::milliseconds{1};
    auto log = b.open(o);
    auto const owed = std::uint64_t{40'000};
    log->owe(owed);
    auto credit = log_credit{};
    auto written = std::size_t{0};
    auto refused = result<void>{ok()};
    while ((refused = log->acquire(credit, 8192))) {
        write_user(*log, credit, {1, some_bytes(1, 8192 - 32)});
        written += 8192;
    }
    CHECK(refused.error().code == errc::disk_full);
    CHECK_FALSE(log->failed());
    CHECK(written > 2 * 128 * 1024 - owed);
    // Rollback may use what ordinary work must leave.
    for (auto left = owed; left >= 8192; left -= 8192) {
        REQUIRE(log->acquire(credit, 8192, credit_use::owed));
        write_user(*log, credit, {1, some_bytes(1, 8192 - 32)});
        log->settle(8192);
    }
    REQUIRE(log->flush_all());
    // Space comes back when segments are recycled.
    REQUIRE(log->recycle_below(log->durable_lsn()).value() >= 1);
    log->settle(owed % 8192);
    REQUIRE(log->acquire(credit, 8192));
    log->give_back(credit);
}

TEST_CASE("a limit on the log's volume is a full disk", "[log][writer][credit]") {
    auto b = bed{};
    auto o = tiny_log();
    o.credit_wait_max = std::chrono::milliseconds{1};
    o.log_bytes_limit = 3 * 128 * 1024;
    auto log = b.open(o);
    auto credit = log_credit{};
    auto refused = result<void>{ok()};
    while ((refused = log->acquire(credit, 8192)))
        write_user(*log, credit, {1, some_bytes(1, 8192 - 32)});
    CHECK(refused.error().code == errc::disk_full);
    CHECK(log->kept_bytes() == 3 * 128 * 1024);
    REQUIRE(log->flush_all());
    REQUIRE(log->recycle_below(log->durable_lsn()));
    REQUIRE(log->acquire(credit, 8192));
    log->give_back(credit);
    CHECK(log->kept_bytes() == 3 * 128 * 1024);
}

TEST_CASE("circular logging recycles what lies wholly below the floor", "[log][writer][recycle]") {
    auto random = std::mt19937_64{1};
    auto b = bed{};
    auto log = b.open();
    (void)write_some(*log, random, 600'000);
    REQUIRE(log->flush_all());
    auto const before = names_in(b.where).size();
    auto const floor = first_lsn(3, 128 * 1024);
    CHECK(log->recycle_below(floor).value() == 2);
    CHECK(log->oldest_kept() == floor);
    CHECK(log->recycle_below(floor).value() == 0);
    CHECK(log->recycle_below(segment_limit(3, 128 * 1024) - 1).value() == 0);
    CHECK(names_in(b.where).size() == before); // renamed to spares, none lost
    // The spares come back with new headers, and their old records do not read as new ones.
    auto const model = write_some(*log, random, 400'000);
    REQUIRE(log->flush_all());
    auto const raw = read_raw(b.where, 3);
    auto const found = users_of(raw);
    for (auto const& [at, what] : model) CHECK(found.at(at) == what);
    CHECK(raw.end == log->tail());
}

TEST_CASE(
    "archival logging keeps every segment until it is released by name", "[log][writer][recycle]"
) {
    auto random = std::mt19937_64{1};
    auto b = bed{};
    auto o = tiny_log();
    o.archival = true;
    o.spare_segments_max = 1;
    auto log = b.open(o);
    (void)write_some(*log, random, 600'000);
    REQUIRE(log->flush_all());
    CHECK(log->recycle_below(log->durable_lsn()).value() == 0);
    CHECK(log->oldest_kept() == first_lsn(1, 128 * 1024));
    auto const before = names_in(b.where).size();
    CHECK(log->release_below(first_lsn(4, 128 * 1024)).value() == 3);
    CHECK(names_in(b.where).size() == before - 2); // one spare is enough
    CHECK(log->oldest_kept() == first_lsn(4, 128 * 1024));
}

TEST_CASE("a waiter is completed once its record is durable", "[log][writer]") {
    struct counted : lsn_waiter {
        int calls = 0;
        error last{};
    };
    auto const count = [](lsn_waiter* w, error e) noexcept {
        auto* const c = static_cast<counted*>(w);
        ++c->calls;
        c->last = e;
    };
    auto b = bed{};
    auto o = tiny_log();
    o.lazy_interval = std::chrono::hours{1}; // a waiter makes housekeeping flush at once
    auto log = b.open(o);
    auto credit = log_credit{};
    REQUIRE(log->acquire(credit, 4096));
    auto one = counted{};
    one.at = write_user(*log, credit, {1, {}});
    one.done = count;
    auto two = counted{};
    two.at = write_user(*log, credit, {2, {}});
    two.done = count;
    log->watch(one);
    log->watch(two);
    CHECK(one.calls + two.calls == 0);
    REQUIRE(log->housekeeping());
    CHECK(one.calls == 1);
    CHECK(two.calls == 1);
    CHECK(two.last.code == errc::none);
    auto late = counted{};
    late.at = one.at;
    late.done = count;
    log->watch(late);
    CHECK(late.calls == 1);
    log->give_back(credit);
}

TEST_CASE(
    "housekeeping writes lazy records, prepares segments, and marks an idle log", "[log][writer]"
) {
    auto b = bed{};
    auto o = tiny_log();
    o.lazy_interval = mono_time{0};
    o.time_mark_interval = mono_time{0};
    o.prepared_segments = 3;
    auto log = b.open(o);
    auto credit = log_credit{};
    REQUIRE(log->acquire(credit, 4096));
    auto const at = write_user(*log, credit, {1, {}});
    log->give_back(credit);
    REQUIRE(log->housekeeping());
    CHECK(log->durable_lsn() > at);
    CHECK(names_in(b.where).size() == 4);
    auto const written = log->durable_lsn();
    REQUIRE(log->housekeeping());
    auto const raw = read_raw(b.where, 1);
    REQUIRE(raw.records.rbegin()->second.header.type == record_type::time_mark);
    auto const mark = record::time_mark::parse(raw.records.rbegin()->second.all).value();
    CHECK(mark.durable_hint == written);
    auto const idle = log->tail();
    REQUIRE(log->housekeeping());
    REQUIRE(log->housekeeping());
    CHECK(log->tail() == idle); // one mark, not one a tick
}

TEST_CASE("at process level a published record can be found in the ring file", "[log][writer]") {
    auto b = bed{};
    auto o = tiny_log();
    o.process_level = true;
    auto log = b.open(o);
    auto credit = log_credit{};
    REQUIRE(log->acquire(credit, 4096));
    REQUIRE(log->flush_all());
    auto const what = written_record{5, some_bytes(5, 700)};
    auto const at = write_user(*log, credit, what);
    REQUIRE(log->wait_published(at));
    CHECK(log->published() > at);
    CHECK(log->durable_lsn() <= at);
    log->give_back(credit);

    auto const file = read_all(b.where, ring_file_name);
    auto const header = ring_file_header::decode(file.data());
    REQUIRE(header);
    CHECK(header.value().instance == new_log().instance);
    CHECK(header.value().ring_bytes == o.ring_bytes);
    CHECK(header.value().incarnation == 1);
    auto const entry = ring_entry::find(file.data(), 1);
    REQUIRE(entry);
    CHECK_FALSE(ring_entry::find(file.data(), 2));
    auto const v = entry->position + (at - first_lsn(1, o.segment_bytes));
    auto const* const p = file.data() + 4096 + v % o.ring_bytes;
    auto const n = decode_length(p);
    REQUIRE(n == user_size(700));
    CHECK(decode_crc(p) == record_crc(entry->nonce, at, {p, n}));
    // Behind it the ring is zero.
    CHECK(decode_length(p + n) == 0);
}

TEST_CASE("the ring file names every segment that is not written yet", "[log][writer]") {
    auto b = bed{};
    auto o = tiny_log();
    o.process_level = true;
    auto log = b.open(o);
    auto random = std::mt19937_64{7};
    auto begun = std::vector<std::uint64_t>{1};
    for (int i = 0; i < 60; ++i) {
        auto credit = log_credit{};
        REQUIRE(log->acquire(credit, 4096));
        REQUIRE(log->wait_published(write_user(*log, credit, {1, some_bytes(5, 700)})));
        log->give_back(credit);
        // A jump to the same place modulo the count of entries, another one, or none.
        auto const next = begun.back() + (i % 3 == 0 ? ring_entries : random() % 40);
        auto const began = log->force_switch(i % 3 == 2 ? 0 : next);
        REQUIRE(began);
        begun.push_back(generation_of(began.value(), o.segment_bytes));
        auto const file = read_all(b.where, ring_file_name);
        for (auto const one : begun)
            if (one >= generation_of(log->durable_lsn(), o.segment_bytes))
                REQUIRE(ring_entry::find(file.data(), one));
    }
}

TEST_CASE("without a ring file a process-level wait is a durable one", "[log][writer]") {
    auto b = bed{};
    auto log = b.open();
    auto credit = log_credit{};
    REQUIRE(log->acquire(credit, 4096));
    auto const at = write_user(*log, credit, {1, {}});
    REQUIRE(log->wait_published(at));
    CHECK(log->durable_lsn() > at);
    log->give_back(credit);
}

TEST_CASE("a clean close names the segment in which the next life begins", "[log][writer]") {
    auto const archival = GENERATE(false, true);
    auto random = std::mt19937_64{7};
    auto b = bed{};
    auto o = tiny_log();
    o.archival = archival;
    auto model = std::map<std::uint64_t, written_record>{};
    auto last = closed_log{};
    for (std::uint32_t life = 1; life <= 4; ++life) {
        auto start = new_log();
        start.incarnation = life;
        if (life > 1) {
            start.generation = last.next.generation;
            start.nonce = last.next.nonce;
            auto const before = read_raw(b.where, 1).chain.back();
            start.previous_generation = before.generation;
            start.previous_nonce = before.nonce;
            start.previous_created_at = before.created_at;
        }
        auto log = b.open(o, start);
        auto const now = write_some(*log, random, 1 + random() % 300'000);
        model.insert(now.begin(), now.end());
        auto const closed = log->close_clean();
        REQUIRE(closed);
        last = closed.value();
        CHECK(log->durable_lsn() == last.end);
        CHECK(last.end == first_lsn(last.next.generation, o.segment_bytes));
        auto const raw = read_raw(b.where, 1);
        CHECK(users_of(raw) == model);
        CHECK(raw.named_next == last.next);
        CHECK(raw.end == last.end);
        auto const size = read_all(b.where, segment_file_name(raw.chain.back().generation)).size();
        auto const used = offset_of(lsn{raw.records.rbegin()->first}, o.segment_bytes) + 56;
        CHECK(size == (archival ? round_up(used, std::uint64_t{4096}) : o.segment_bytes));
        CHECK(size % 4096 == 0);
    }
}

TEST_CASE("a log closes cleanly with no segment prepared", "[log][writer]") {
    auto b = bed{128 * 1024};
    auto log = b.open();
    CHECK(names_in(b.where).size() == 1);
    auto credit = log_credit{};
    REQUIRE(log->acquire(credit, 64));
    (void)write_user(*log, credit, {1, {}});
    log->give_back(credit);
    auto const closed = log->close_clean();
    REQUIRE(closed);
    auto const raw = read_raw(b.where, 1);
    CHECK(raw.named_next == closed.value().next);
    CHECK(closed.value().next.generation == 2);
}

TEST_CASE("a log that follows a torn one begins behind the cut", "[log][writer]") {
    auto random = std::mt19937_64{3};
    auto b = bed{};
    auto cut = no_lsn;
    auto old = segment_header{};
    {
        auto log = b.open();
        (void)write_some(*log, random, 300'000);
        REQUIRE(log->flush_all());
        auto const raw = read_raw(b.where, 1);
        cut = raw.end;
        old = raw.chain.back();
    }
    auto start = new_log();
    start.incarnation = 2;
    start.generation = old.generation + 1; // a prepared file of that name stands there
    start.previous_generation = old.generation;
    start.previous_nonce = old.nonce;
    start.cut = cut;
    auto log = b.open(tiny_log(), start);
    CHECK(log->oldest_kept() == first_lsn(1, 128 * 1024));
    auto const model = write_some(*log, random, 300'000);
    REQUIRE(log->flush_all());
    auto const raw = read_raw(b.where, start.generation);
    CHECK(users_of(raw) == model);
    CHECK(raw.chain.front().cut == cut);
    CHECK(raw.chain.front().nonce != old.nonce);
    CHECK(raw.chain.size() > 2);
}

} // namespace jetpp_test::log_writer_cases
