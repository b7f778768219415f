// test/buffer/bed.hpp - what the tests of the pool share: a log in memory, pages of numbers, and a
// small engine that updates, formats and frees such pages, crashes, and recovers.
#pragma once

#include <jetpp/buffer/checkpointer.hpp>
#include <jetpp/buffer/double_write_recovery.hpp>
#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/describe.hpp>
#include <jetpp/env/memory_storage.hpp>
#include <jetpp/env/native_runtime.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../catch.hpp"

namespace jetpp_test {

using namespace jetpp;

template <class T>
std::string said(result<T> const& r) {
    return r ? std::string{"success"} : std::string{describe(r.error()).view()};
}

// Fails the test case, saying why, unless it succeeded.
template <class T>
void must(result<T> const& r) {
    if (r) return;
    INFO(said(r));
    REQUIRE(r.has_value());
}

template <class Env>
using traits_on = core_traits<Env, 4096, crc32c>;
using memory_env = environment<memory_storage, native_runtime>;
using memory_traits = traits_on<memory_env>;

inline constexpr std::uint64_t bed_segment_bytes = 128 * 1024;
inline constexpr std::uint32_t cells_per_page = (4096 - 128) / 8;

// One change of one or two pages. Value 0 of a format record empties the page.
struct history_record {
    enum class kind : std::uint8_t { set, format, free };
    struct part {
        std::uint32_t page{};
        std::uint32_t cell{};
        std::uint64_t value{};
        lsn prev{};
    };
    kind what{};
    lsn at{};
    part parts[2]{};
    std::uint32_t part_count{1};
};

// A log whose durable end moves only when somebody waits for it, as far as it goes then.
class history {
public:
    static constexpr std::uint64_t record_bytes = 64;

    [[nodiscard]] lsn durable_lsn() const noexcept { return {durable_.load()}; }
    [[nodiscard]] lsn tail() const noexcept { return {tail_.load()}; }
    [[nodiscard]] result<void> wait_durable(lsn at) noexcept {
        if (durable_lsn() > at) return ok();
        if (stopped && stopped()) return error{.code = errc::log_failed};
        ++waits;
        auto const lock = std::lock_guard{mutex_};
        durable_.store(tail_.load());
        ensure(lsn{durable_.load()} > at, "only what was logged is waited for");
        return ok();
    }
    lsn append(history_record record) {
        auto const lock = std::lock_guard{mutex_};
        record.at = {tail_.load()};
        records.push_back(record);
        tail_.store(record.at.value + record_bytes);
        return record.at;
    }
    // The crash: what was not durable is gone, but for `more` records at most; the next life
    // begins in the next segment.
    void cut(std::uint64_t more = 0) {
        auto const kept = std::min(durable_.load() + more * record_bytes, tail_.load());
        while (!records.empty() && records.back().at.value >= kept) records.pop_back();
        auto const next = (kept / bed_segment_bytes + 1) * bed_segment_bytes + 4096;
        end = {kept};
        durable_.store(next);
        tail_.store(next);
    }

    std::vector<history_record> records{};
    lsn end{};
    std::atomic<std::uint64_t> waits{0};
    bool (*stopped)() = nullptr; // the machine is off: nothing becomes durable any more

private:
    std::mutex mutex_{};
    std::atomic<std::uint64_t> durable_{bed_segment_bytes + 4096};
    std::atomic<std::uint64_t> tail_{bed_segment_bytes + 4096};
};
static_assert(write_ahead_log<history>);

// A page of numbers: kind blob, cells from byte 128.
[[nodiscard]] inline std::uint64_t cell_of(std::byte const* page, std::uint32_t cell) {
    return load_le<std::uint64_t>(page + 128 + cell * 8);
}
[[nodiscard]] inline lsn lsn_of(std::byte const* page) {
    return {load_le<std::uint64_t>(page + page_offset::page_lsn)};
}
inline void set_lsn(std::byte* page, lsn at) {
    store_le<std::uint64_t>(page + page_offset::page_lsn, at.value);
}
inline void format_cells(std::byte* page, std::uint32_t number) {
    std::memset(page, 0, 4096);
    store_le<std::uint32_t>(page + page_offset::number, number);
    store_le<std::uint32_t>(page + page_offset::tree, 16);
    page[page_offset::kind] = static_cast<std::byte>(page_kind::blob_data);
}
// What redo and run time do alike.
inline void apply(std::byte* page, history_record const& record, std::uint32_t part) {
    auto const& p = record.parts[part];
    if (record.what == history_record::kind::format) format_cells(page, p.page);
    store_le<std::uint64_t>(page + 128 + p.cell * 8, p.value);
    set_lsn(page, record.at);
}

// The content that the records say, page by page.
using page_image = std::array<std::byte, 4096>;
[[nodiscard]] inline std::map<std::uint32_t, page_image> replayed(history const& log) {
    auto pages = std::map<std::uint32_t, page_image>{};
    for (auto const& record : log.records)
        for (std::uint32_t i = 0; i < record.part_count; ++i) {
            auto const page = record.parts[i].page;
            if (record.what == history_record::kind::free)
                pages.erase(page);
            else
                apply(pages[page].data(), record, i);
        }
    return pages;
}

[[nodiscard]] inline database_header new_header(std::uint16_t id = 1) {
    auto h = database_header{};
    h.page_size = 4096;
    h.checksum_id = crc32c::id;
    h.state = database_state::creating;
    h.database = make_uuid(7, id);
    h.instance = make_uuid(1, 2);
    h.nonce = 0x1234567890ABCDEFu + id;
    h.id = {id};
    h.timeline = {0xABCDEF0123456789u};
    return h;
}
inline constexpr double_write_owner bed_owner{
    .instance = make_uuid(1, 2), .timeline = {0xABCDEF0123456789u}
};

// Latches a page, loading it as often as that takes.
template <class Traits>
[[nodiscard]] result<exclusive_page<Traits>> take_exclusive(
    buffer_pool<Traits>& pool, paged_file<Traits>& file, std::uint32_t page
) {
    auto held = exclusive_page<Traits>{};
    while (pool.try_exclude(file, {page}, held) == fix::absent) {
        BOOST_OUTCOME_TRY(pool.load(file, {page}));
    }
    return held;
}
template <class Traits>
[[nodiscard]] result<shared_page<Traits>> take_shared(
    buffer_pool<Traits>& pool, paged_file<Traits>& file, std::uint32_t page
) {
    auto held = shared_page<Traits>{};
    while (pool.try_share(file, {page}, held) == fix::absent) {
        BOOST_OUTCOME_TRY(pool.load(file, {page}));
    }
    return held;
}

// Changes one cell of a formatted page, as a tree changes a row: mark, reserve, apply.
template <class Traits>
[[nodiscard]] result<void> set_cell(
    buffer_pool<Traits>& pool,
    paged_file<Traits>& file,
    history& log,
    std::uint32_t page,
    std::uint32_t cell,
    std::uint64_t value
) {
    BOOST_OUTCOME_TRY(auto held, take_exclusive(pool, file, page));
    held.mark_dirty(log.tail());
    Traits::runtime::point(point_id::marked_not_reserved);
    auto record = history_record{.what = history_record::kind::set};
    record.parts[0] = {.page = page, .cell = cell, .value = value, .prev = lsn_of(held.data())};
    record.at = log.append(record);
    Traits::runtime::point(point_id::reserved_not_published);
    apply(held.data(), record, 0);
    return ok();
}
template <class Traits>
[[nodiscard]] result<void> make_page(
    buffer_pool<Traits>& pool,
    paged_file<Traits>& file,
    history& log,
    std::uint32_t page,
    std::uint64_t value
) {
    BOOST_OUTCOME_TRY(auto purse, pool.reserve_frames(1));
    auto held = pool.create_page(file, {page}, purse);
    held.mark_dirty(log.tail());
    auto record = history_record{.what = history_record::kind::format};
    record.parts[0] = {.page = page, .cell = 0, .value = value};
    record.at = log.append(record);
    apply(held.data(), record, 0);
    return ok();
}
template <class Traits>
[[nodiscard]] result<void> free_page(
    buffer_pool<Traits>& pool, paged_file<Traits>& file, history& log, std::uint32_t page
) {
    BOOST_OUTCOME_TRY(auto held, take_exclusive(pool, file, page));
    auto record = history_record{.what = history_record::kind::free};
    record.parts[0] = {.page = page};
    log.append(record);
    pool.discard(std::move(held));
    return ok();
}

// A pool over one file in memory.
struct memory_bed {
    explicit memory_bed(std::uint32_t frames, std::uint32_t pages = 300) {
        dir = std::make_unique<memory_env::directory>(
            env.storage.open_dir("db", directory_how::create_if_missing).value()
        );
        file = paged_file<memory_traits>::create(env, *dir, "data", new_header(), pages).value();
        file->set_growth_bytes_min(64 * 1024);
        must(file->change_header([](database_header& h) noexcept {
            h.state = database_state::dirty;
        }));
        pool = buffer_pool<memory_traits>::create(
                   env, {.frames = frames}, log_gate{log, bed_segment_bytes}
        )
                   .value();
        dw = std::make_unique<double_write_file<memory_traits>>(
            double_write_file<memory_traits>::open_or_create(env, *dir, bed_owner, 8).value()
        );
        pool->use_double_write(dw.get());
        must(pool->attach(*file));
    }
    memory_bed(memory_bed const&) = delete;
    ~memory_bed() { pool->detach(*file); }

    static constexpr std::uint32_t first = page_limits<4096>::new_database_pages;

    memory_env env{};
    history log{};
    std::unique_ptr<memory_env::directory> dir{};
    std::unique_ptr<paged_file<memory_traits>> file{};
    std::unique_ptr<double_write_file<memory_traits>> dw{};
    std::unique_ptr<buffer_pool<memory_traits>> pool{};
};

} // namespace jetpp_test
