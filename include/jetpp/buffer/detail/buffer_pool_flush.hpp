// jetpp/buffer/detail/buffer_pool_flush.hpp - bodies of buffer_pool: files, cleaning, flushing.
#pragma once

#include <jetpp/buffer/buffer_pool.hpp>

namespace jetpp::inline v1 {

template <class Traits>
result<void> buffer_pool<Traits>::attach(file_type& file) noexcept {
    auto const lock = holding{files_lock_};
    if (file_count_ == databases_max) return error{.code = errc::too_many_databases};
    file.obey(gate_);
    files_[file_count_++] = &file;
    return ok();
}

template <class Traits>
void buffer_pool<Traits>::detach(file_type& file) noexcept {
    // No batch and no sweep: nobody else looks at words through frames.
    out_.stop();
    supply_.sweeping().lock();
    for (std::uint32_t i = 0; i < frames_.count(); ++i) {
        auto& info = frames_.info(i);
        auto* const word = info.word.load(std::memory_order_acquire);
        if (word == nullptr || info.file.load(std::memory_order_relaxed) != &file) continue;
        auto frame = std::uint32_t{};
        if (word->exclude(runtime_, frame) == fix::absent) continue;
        ensure(frame == i, "a page stays in its frame while nobody evicts");
        supply_.drop(i);
        frames_.give(i);
    }
    supply_.sweeping().unlock();
    out_.forget(file);
    out_.resume();
    supply_.wake();
    auto const lock = holding{files_lock_};
    for (std::uint32_t i = 0; i < file_count_; ++i)
        if (files_[i] == &file) {
            files_[i] = files_[--file_count_];
            return;
        }
}

template <class Traits>
result<std::uint64_t> buffer_pool<Traits>::pass(lsn below, file_type* only) noexcept {
    auto const lock = holding{cleaning_};
    candidates_.clear();
    for (std::uint32_t i = 0; i < frames_.count(); ++i) {
        auto& info = frames_.info(i);
        auto const rec = info.rec_lsn.load(std::memory_order_acquire);
        if (rec == 0 || rec >= below.value || info.is_dead()) continue;
        if (only != nullptr && info.file.load(std::memory_order_relaxed) != only) continue;
        auto const added =
            candidates_.push_back({.place = info.place.load(std::memory_order_relaxed), .frame = i}
            );
        ensure(added, "there is room for every frame");
    }
    std::sort(candidates_.begin(), candidates_.end(), [](auto const& a, auto const& b) {
        return a.place < b.place;
    });
    auto written = std::uint64_t{0};
    auto const all = std::span<write_candidate const>{candidates_.data(), candidates_.size()};
    for (std::size_t first = 0; first < all.size(); first += out_.pages_max()) {
        auto const n = std::min<std::size_t>(out_.pages_max(), all.size() - first);
        auto* const batch = out_.open(true);
        auto done = out_.run(*batch, all.subspan(first, n));
        written += batch->count;
        out_.close(*batch);
        if (!done) return done.error();
    }
    return written;
}

// Freed pages leave once the records that free them are durable.
template <class Traits>
result<bool> buffer_pool<Traits>::drop_dead(file_type* only) noexcept {
    auto dropped = false;
    for (std::uint32_t i = 0; i < frames_.count(); ++i) {
        auto& info = frames_.info(i);
        auto const dead = lsn{info.dead_lsn.load(std::memory_order_acquire)};
        if (!dead || info.is_in_flight()) continue;
        if (only != nullptr && info.file.load(std::memory_order_relaxed) != only) continue;
        BOOST_OUTCOME_TRY(log_.wait_durable(dead - 1));
        auto const lock = holding{supply_.sweeping()};
        auto* const word = info.word.load(std::memory_order_acquire);
        if (word == nullptr || !word->exclude_if_idle(i, true)) continue;
        // It may have been made again meanwhile.
        auto const still = lsn{info.dead_lsn.load(std::memory_order_acquire)};
        if (!still || still > dead || info.is_in_flight()) {
            word->release(runtime_, false);
            continue;
        }
        supply_.drop(i);
        supply_.give(i);
        dropped = true;
    }
    return dropped;
}

template <class Traits>
bool buffer_pool<Traits>::is_at_rest(file_type* only) noexcept {
    for (std::uint32_t i = 0; i < frames_.count(); ++i) {
        auto& info = frames_.info(i);
        if (only != nullptr && info.file.load(std::memory_order_relaxed) != only) continue;
        if (info.is_dirty() || info.is_in_flight()) return false;
    }
    return true;
}

template <class Traits>
result<void> buffer_pool<Traits>::flush(file_type* file) noexcept {
    for (;;) {
        BOOST_OUTCOME_TRY(failure_.check());
        auto const seen = out_.landed().ticket();
        BOOST_OUTCOME_TRY(auto const written, pass({~std::uint64_t{0}}, file));
        BOOST_OUTCOME_TRY(auto const dropped, drop_dead(file));
        if (is_at_rest(file)) return ok();
        if (written == 0 && !dropped) supply_.wait(seen);
    }
}

template <class Traits>
result<void> buffer_pool<Traits>::flush_below(lsn below) noexcept {
    for (;;) {
        BOOST_OUTCOME_TRY(failure_.check());
        auto const seen = out_.landed().ticket();
        BOOST_OUTCOME_TRY(auto const written, pass(below, nullptr));
        BOOST_OUTCOME_TRY(auto const dropped, drop_dead(nullptr));
        if (!(dirty_low() < below)) return ok();
        if (written == 0 && !dropped) supply_.wait(seen);
    }
}

template <class Traits>
result<bool> buffer_pool<Traits>::housekeeping(std::uint64_t depth) noexcept {
    BOOST_OUTCOME_TRY(failure_.check());
    BOOST_OUTCOME_TRY(auto did, supply_.refill(frames_.count() / 50));
    auto const tail = log_.tail();
    if (tail.value > depth) {
        auto const below = tail - depth;
        if (dirty_low() < below) {
            BOOST_OUTCOME_TRY(auto const written, clean(below));
            did = did || written != 0;
        }
    }
    return did;
}

template <class Traits>
lsn buffer_pool<Traits>::dirty_low() noexcept {
    auto low = ~std::uint64_t{0};
    for (std::uint32_t i = 0; i < frames_.count(); ++i) {
        auto& info = frames_.info(i);
        // In the direction in which a change travels.
        auto const rec = info.rec_lsn.load(std::memory_order_acquire);
        auto const inflight = info.inflight_rec_lsn.load(std::memory_order_acquire);
        if (rec != 0) low = std::min(low, rec);
        if (inflight != 0) low = std::min(low, inflight);
    }
    return {low};
}

template <class Traits>
pool_statistics buffer_pool<Traits>::statistics() noexcept {
    auto all = pool_statistics{
        .frames = frames_.count(),
        .free = frames_.free_count(),
        .loads = loads_.load(std::memory_order_relaxed),
        .evictions = supply_.evictions(),
        .home_writes = out_.pages_written(),
    };
    for (std::uint32_t i = 0; i < frames_.count(); ++i)
        if (frames_.info(i).is_dirty()) ++all.dirty;
    return all;
}

} // namespace jetpp::inline v1
