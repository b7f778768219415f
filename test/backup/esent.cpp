// test/backup/esent.cpp - the documented names over a registered engine: flags, sizes, numbers.
#include <jetpp/esent.hpp>
#include <jetpp/esent_snapshot.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include "external_bed.hpp"

namespace jetpp_test::esent_cases {

using namespace jetpp;
using namespace jetpp::esent;

using engine_type = engine<bed_policies>;
using known_engine = esent_instance<engine_type>;

std::vector<std::string> names_in(std::vector<char> const& text) {
    auto names = std::vector<std::string>{};
    for (auto const* at = text.data(); *at != '\0'; at += names.back().size() + 1)
        names.emplace_back(at);
    return names;
}
template <class Call>
std::vector<std::string> listed(Call&& call) {
    auto needed = std::uint32_t{0};
    REQUIRE(call(nullptr, 0, &needed) == JET_errSuccess);
    auto text = std::vector<char>(needed);
    auto actual = std::uint32_t{0};
    REQUIRE(call(text.data(), needed, &actual) == JET_errSuccess);
    CHECK(actual == needed);
    // A buffer that is too short is filled, and that is told.
    auto few = std::vector<char>(3);
    CHECK(call(few.data(), 3, &actual) == JET_wrnBufferTruncated);
    CHECK(actual == 3);
    return names_in(text);
}
JET_ERR read_all(std::string const& name, std::string& content) {
    auto file = JET_HANDLE{};
    auto low = std::uint32_t{0};
    auto high = std::uint32_t{0};
    if (auto const e = JetOpenFile(name.c_str(), &file, &low, &high); e != JET_errSuccess) return e;
    auto second = JET_HANDLE{};
    CHECK(JetOpenFile(name.c_str(), &second, &low, &high) == JET_errOutOfMemory);
    auto buffer = good(aligned_buffer::create(256 << 10));
    auto actual = std::uint32_t{0};
    CHECK(JetReadFile(file, buffer.data() + 8, 64 << 10, &actual) == JET_errInvalidParameter);
    CHECK(JetReadFile(file, buffer.data(), 4096, &actual) == JET_errInvalidParameter);
    CHECK(JetReadFile(file, buffer.data(), 20000, &actual) == JET_errInvalidParameter);
    for (;;) {
        auto const e = JetReadFile(file, buffer.data(), 256 << 10, &actual);
        if (e != JET_errSuccess) return e;
        if (actual == 0) break;
        content.append(reinterpret_cast<char const*>(buffer.data()), actual);
    }
    CHECK(content.size() == (std::uint64_t{high} << 32 | low));
    CHECK(JetCloseFile(file + 1) == JET_errInvalidParameter);
    return JetCloseFile(file);
}
copied_files take_full(JET_GRBIT ending, bool truncates = false) {
    auto files = copied_files{};
    REQUIRE(JetBeginExternalBackup(0) == JET_errSuccess);
    for (auto const& name : listed(JetGetAttachInfo))
        REQUIRE(read_all(name, files[name]) == JET_errSuccess);
    for (auto const& name : listed(JetGetLogInfo))
        REQUIRE(read_all(name, files[name]) == JET_errSuccess);
    if (truncates) REQUIRE(JetTruncateLog() == JET_errSuccess);
    auto const only = esent_registry::get().only().first;
    for (std::uintptr_t i = 1; i < 4; ++i)
        if (esent_registry::get().find(i) == only)
            REQUIRE(JetEndExternalBackupInstance2(i, ending) == JET_errSuccess);
    return files;
}

// What a status function heard.
struct status_log {
    std::vector<std::pair<JET_SNT, std::uint32_t>> heard;
    JET_ERR answer = JET_errSuccess; // to the third call and later ones
    bool throws = false;
};
status_log* current = nullptr;
JET_ERR on_status(JET_SESID, JET_SNP, JET_SNT what, void* data) {
    auto const& now = *static_cast<JET_SNPROG*>(data);
    current->heard.emplace_back(what, now.cunitDone);
    CHECK(now.cunitTotal == 100);
    CHECK(now.cbStruct == sizeof(JET_SNPROG));
    if (current->heard.size() < 3) return JET_errSuccess;
    if (current->throws) throw std::runtime_error{"of the caller"};
    return current->answer;
}

backup_mark mark_of(bed<>& b, mark_kind kind) {
    return b.store().databases()[0].file->header().mark(kind);
}

TEST_CASE("the documented sequence copies, and the end decides what it was", "[backup][esent]") {
    auto b = bed{};
    b.work(300, 1);
    CHECK(JetEndExternalBackup() == JET_errNotInitialized); // nobody is registered
    auto const known = known_engine{b.db};
    CHECK(known.number() == 1);
    CHECK(JetEndExternalBackup() == -520);
    auto const files = take_full(JET_bitBackupEndNormal);
    CHECK(mark_of(b, mark_kind::copy).exists()); // not truncated: a copy
    CHECK_FALSE(mark_of(b, mark_kind::full).exists());
    CHECK(JetBeginExternalBackup(JET_bitBackupIncremental) == -560);
    (void)take_full(JET_bitBackupEndNormal | JET_bitBackupTruncateDone);
    CHECK(mark_of(b, mark_kind::full).exists());
    CHECK(JetBeginExternalBackup(JET_bitBackupIncremental) == JET_errSuccess);
    auto needed = std::uint32_t{0};
    CHECK(JetGetAttachInfo(nullptr, 0, &needed) == -521);
    auto content = std::string{};
    for (auto const& name : listed(JetGetLogInfo)) CHECK(read_all(name, content) == JET_errSuccess);
    CHECK(JetEndExternalBackup() == JET_errSuccess);
    CHECK(mark_of(b, mark_kind::differential).exists());

    lay_down(b.env, "/new", files);
    {
        auto place = esent_place<engine_type>{"/new", b.env};
        auto log = status_log{};
        current = &log;
        CHECK(
            JetExternalRestore("/new", "/new", nullptr, 0, "/new", 0, 0, on_status) ==
            JET_errRunningInMultiInstanceMode
        );
    }
}

TEST_CASE("an external restore tells how far it is, and leaves an instance", "[backup][esent]") {
    auto b = bed{};
    b.work(300, 2);
    auto files = copied_files{};
    {
        auto const known = known_engine{b.db};
        files = take_full(JET_bitBackupEndNormal);
        CHECK(JetRestore("/nowhere", nullptr) == JET_errAlreadyInitialized);
    }
    lay_down(b.env, "/new", files);
    auto const place = esent_place<engine_type>{"/new", b.env};
    auto log = status_log{};
    current = &log;
    CHECK(JetBeginExternalBackup(0) == JET_errNotInitialized);
    CHECK(JetExternalRestore("/new", "/other", nullptr, 0, "/new", 0, 0, nullptr) == -1003);
    CHECK(JetExternalRestore("/new", "/new", nullptr, 0, "/other", 0, 0, nullptr) == -1811);
    auto const mapped = [](char const* from, char const* to) {
        auto const map = JET_RSTMAP{from, to};
        return JetExternalRestore("/new", "/new", &map, 1, "/new", 0, 0, nullptr);
    };
    CHECK(mapped("main", nullptr) == JET_errDatabaseInvalidName);
    CHECK(mapped("", "main") == JET_errInvalidParameter);
    CHECK(mapped("main", "/other/main") == -1811); // no such directory
    CHECK(mapped("main", "elsewhere") == -1811);   // no such file was put back
    CHECK(mapped("other", "main") == -1811);       // the log knows no such database
    CHECK(JetExternalRestore("/new", "/new", nullptr, 1, "/new", 0, 0, nullptr) == -1003);
    CHECK(JetExternalRestore("/new", "/new", nullptr, 0, "/new", 1, 4711, nullptr) == -611);
    CHECK(JetExternalRestore("/new", "/new", nullptr, 0, "/new", 0, 0, on_status) == 0);
    REQUIRE(log.heard.size() > 3);
    CHECK(log.heard.front() == std::pair{JET_sntBegin, std::uint32_t{0}});
    CHECK(log.heard.back() == std::pair{JET_sntComplete, std::uint32_t{100}});
    for (std::size_t i = 1; i < log.heard.size(); ++i)
        CHECK(log.heard[i - 1].second <= log.heard[i].second);
    expect_rows(b.env, "/new", b.expected);
    CHECK(JetExternalRestore("/new", "/new", nullptr, 0, "/new", 0, 0, nullptr) == -504);
}

TEST_CASE("an external restore takes files from where its paths say", "[backup][esent]") {
    auto b = bed{};
    b.work(300, 5);
    auto files = copied_files{};
    {
        auto const known = known_engine{b.db};
        files = take_full(JET_bitBackupEndNormal);
    }
    auto log = files;
    auto pages = copied_files{};
    auto moved = log.extract("main");
    moved.key() = "books";
    pages.insert(std::move(moved));
    lay_down(b.env, "/pages", pages);
    lay_down(b.env, "/log", log);
    auto const place = esent_place<engine_type>{"/home", b.env};
    auto const map = JET_RSTMAP{"/was/there/main", "/pages/books"};
    CHECK(JetExternalRestore("/home", "/home", &map, 1, "/log", 0, 0, nullptr) == JET_errSuccess);
    auto db = good(engine_type::open("/home", small_engine, b.env));
    CHECK(rows_of(db, "books", "rows") == b.expected);
}

TEST_CASE("JetBackup makes sets, and JetRestore brings the newest back", "[backup][esent]") {
    auto b = bed{};
    b.work(1500, 3);
    (void)good(b.env.storage.open_dir("/sets", directory_how::create_if_missing));
    {
        auto const known = known_engine{b.db};
        CHECK(JetBackup("/nowhere", 0, nullptr) == JET_errInvalidPath);
        CHECK(JetBackup("/sets", 2, nullptr) == JET_errInvalidGrbit);
        CHECK(JetBackup("/sets", JET_bitBackupIncremental, nullptr) == -560);
        auto log = status_log{};
        current = &log;
        // What the function returns ends the work with it; what it throws is told as such.
        log.answer = -4711;
        CHECK(JetBackup("/sets", 0, on_status) == -4711);
        CHECK(log.heard.back().first == JET_sntFail);
        log = {.heard = {}, .throws = true};
        CHECK(JetBackup("/sets", 0, on_status) == JET_errCallbackFailed);
        CHECK_FALSE(mark_of(b, mark_kind::full).exists());
        log = {};
        CHECK(JetBackup("/sets", 0, on_status) == JET_errSuccess);
        REQUIRE(log.heard.size() >= 3);
        CHECK(log.heard.front().first == JET_sntBegin);
        CHECK(log.heard.back() == std::pair{JET_sntComplete, std::uint32_t{100}});
        CHECK(mark_of(b, mark_kind::full).exists());
        CHECK(JetBackup("/sets", 0, nullptr) == -504); // one is there
        auto sets = good(repository<engine_type::traits::env>::open(b.env, "/sets"));
        auto const first = good(list_sets(sets));
        REQUIRE(first.size() == 1);
        CHECK(JetBackup("/sets", JET_bitBackupAtomic, nullptr) == JET_errSuccess);
        auto const second = good(list_sets(sets)); // the new one alone
        REQUIRE(second.size() == 1);
        CHECK(second[0].manifest.set != first[0].manifest.set);
        b.work(100, 4);
        CHECK(JetBackup("/sets", JET_bitBackupIncremental, nullptr) == JET_errSuccess);
        CHECK(mark_of(b, mark_kind::incremental).exists());
        CHECK(JetBackup(nullptr, 0, nullptr) == JET_errSuccess); // truncates only
        CHECK(JetBeginExternalBackup(0) == JET_errSuccess);
        CHECK(JetBeginExternalBackup(0) == -505);
        CHECK(JetEndExternalBackupInstance2(known.number(), JET_bitBackupEndAbort) == 0);
    }
    auto const place = esent_place<engine_type>{"/restored", b.env};
    CHECK(JetRestore("/nowhere", nullptr) == JET_errInvalidPath);
    auto log = status_log{};
    current = &log;
    CHECK(JetRestore("/sets", on_status) == JET_errSuccess);
    CHECK(log.heard.back() == std::pair{JET_sntComplete, std::uint32_t{100}});
    CHECK(JetRestore("/sets", nullptr) == -504); // something lives there now
    auto db = good(engine_type::open("/restored", small_engine, b.env));
    CHECK(rows_of(db, "main", "rows").size() > 100);
}

TEST_CASE("stop, service and several instances answer with their numbers", "[backup][esent]") {
    auto b = bed{};
    auto const known = known_engine{b.db};
    CHECK(JetBeginExternalBackupInstance(99, 0) == JET_errInvalidParameter);
    for (auto const grbit : {2U, 4U, 8U, 0x10U, 0x20U, 0x40U, 0x80000000U})
        CHECK(JetBeginExternalBackup(grbit) == JET_errInvalidGrbit);
    CHECK(JetStopBackup() == JET_errSuccess); // without a session: no lasting effect
    CHECK(JetBeginExternalBackup(0) == JET_errSuccess);
    auto needed = std::uint32_t{0};
    CHECK(JetGetAttachInfo(nullptr, 0, &needed) == JET_errSuccess);
    CHECK(JetStopBackup() == JET_errSuccess);
    CHECK(JetGetAttachInfo(nullptr, 0, &needed) == -801);
    CHECK(JetEndExternalBackup() == -801);
    CHECK(JetEndExternalBackup() == -520);
    for (auto const grbit : {0U, 3U, 4U, 0x203U}) {
        CHECK(JetBeginExternalBackup(0) == JET_errSuccess);
        CHECK(JetEndExternalBackupInstance2(known.number(), grbit) == JET_errInvalidParameter);
        CHECK(JetEndExternalBackupInstance2(known.number(), JET_bitBackupEndAbort) == 0);
    }
    CHECK(JetStopServiceInstance2(known.number(), 2) == JET_errInvalidGrbit);
    CHECK(JetStopService() == JET_errSuccess);
    CHECK(JetBeginExternalBackup(0) == -1329);
    CHECK(JetBackup("/x", 0, nullptr) == -1329);
    CHECK(JetStopServiceInstance2(known.number(), JET_bitStopServiceResume) == JET_errSuccess);
    CHECK(JetBeginExternalBackup(0) == JET_errSuccess);
    CHECK(JetEndExternalBackup() == -800); // no logs were asked for

    auto second = good(engine_type::open("/second", small_engine, b.env));
    good(second.attach("main"));
    auto const too = known_engine{second};
    CHECK(JetBeginExternalBackup(0) == JET_errRunningInMultiInstanceMode);
    CHECK(JetBeginExternalBackupInstance(too.number(), 0) == JET_errSuccess);
    CHECK(JetBeginExternalBackupInstance(known.number(), 0) == JET_errSuccess);
    CHECK(JetEndExternalBackupInstance2(too.number(), JET_bitBackupEndAbort) == 0);
    CHECK(JetEndExternalBackupInstance2(known.number(), JET_bitBackupEndAbort) == 0);
}

TEST_CASE("a snapshot is prepared, frozen, thawed and ended, in that order", "[backup][esent]") {
    auto b = bed{};
    b.work(200, 5);
    auto const known = known_engine{b.db};
    auto id = JET_OSSNAPID{0};
    CHECK(JetOSSnapshotPrepare(nullptr, 0) == JET_errInvalidParameter);
    CHECK(JetOSSnapshotPrepare(&id, 0x10) == JET_errInvalidGrbit);
    CHECK(JetOSSnapshotFreeze(id, nullptr, nullptr, 0) == JET_errOSSnapshotInvalidSnapId);
    REQUIRE(JetOSSnapshotPrepare(&id, 0) == JET_errSuccess);
    auto other = id;
    CHECK(JetOSSnapshotPrepare(&other, 0) == JET_errOSSnapshotInvalidSequence);
    CHECK(JetOSSnapshotThaw(id, 0) == JET_errOSSnapshotInvalidSequence);
    CHECK(JetOSSnapshotThaw(id + 1, 0) == JET_errOSSnapshotInvalidSnapId);
    CHECK(JetOSSnapshotPrepareInstance(id, 1, 0) == JET_errOSSnapshotInvalidSequence);

    CHECK(JetBeginExternalBackup(0) == JET_errSuccess);
    CHECK(JetOSSnapshotFreeze(id, nullptr, nullptr, 0) == JET_errOSSnapshotNotAllowed);
    CHECK(JetEndExternalBackupInstance2(known.number(), JET_bitBackupEndAbort) == 0);
    CHECK(JetOSSnapshotFreeze(id, nullptr, nullptr, 0) == JET_errSuccess);
    CHECK(b.store().is_frozen());
    CHECK(JetBeginExternalBackup(0) == -505);
    CHECK(JetOSSnapshotFreeze(id, nullptr, nullptr, 0) == JET_errOSSnapshotInvalidSequence);
    CHECK(JetOSSnapshotThaw(id, 0) == JET_errSuccess);
    CHECK_FALSE(b.store().is_frozen());
    CHECK(JetOSSnapshotEnd(id, 0) == JET_errOSSnapshotInvalidSnapId); // it ended with the thaw

    // Instances by name; a session that goes on behind the thaw.
    constexpr auto both = JET_bitContinueAfterThaw | JET_bitExplicitPrepare | JET_bitCopySnapshot;
    auto second = good(engine_type::open("/second", small_engine, b.env));
    good(second.attach("main"));
    auto const too = known_engine{second};
    REQUIRE(JetOSSnapshotPrepare(&id, both) == JET_errSuccess);
    CHECK(JetOSSnapshotPrepareInstance(id, 99, 0) == JET_errInvalidParameter);
    CHECK(JetOSSnapshotPrepareInstance(id, too.number(), 0) == JET_errSuccess);
    CHECK(JetOSSnapshotFreeze(id, nullptr, nullptr, 0) == JET_errSuccess);
    CHECK(second.core().store.is_frozen());
    CHECK_FALSE(b.store().is_frozen());
    CHECK(JetOSSnapshotEnd(id, 0) == JET_errOSSnapshotInvalidSequence);
    CHECK(JetOSSnapshotThaw(id, 0) == JET_errSuccess);
    CHECK(JetOSSnapshotTruncateLog(id, 0) == JET_errFeatureNotAvailable);
    CHECK(JetOSSnapshotEnd(id, 0) == JET_errSuccess);

    // Abort thaws.
    REQUIRE(JetOSSnapshotPrepare(&id, 0) == JET_errSuccess);
    CHECK(JetOSSnapshotFreeze(id, nullptr, nullptr, 0) == JET_errSuccess);
    CHECK(b.store().is_frozen());
    CHECK(second.core().store.is_frozen());
    CHECK(JetOSSnapshotAbort(id, 0) == JET_errSuccess);
    CHECK_FALSE(b.store().is_frozen());
    (void)good(b.db.put(b.rows, "later", "row", durability::device));
}

} // namespace jetpp_test::esent_cases
