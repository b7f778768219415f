// jetpp/buffer/detail/buffer_pool_fix.hpp - bodies of buffer_pool: fixing, loading, making pages.
#pragma once

#include <jetpp/buffer/buffer_pool.hpp>

namespace jetpp::inline v1 {

template <class Traits>
result<std::unique_ptr<buffer_pool<Traits>>> buffer_pool<Traits>::create(
    env environment, pool_options options, log_gate log
) noexcept {
    if (options.frames < frames_min || options.frames >= detail::word_bits::frames_max)
        return error{.code = errc::bad_option};
    auto made = std::unique_ptr<buffer_pool>{new (std::nothrow) buffer_pool{environment, log}};
    if (made == nullptr) return error{.code = errc::out_of_memory};
    BOOST_OUTCOME_TRY(made->frames_.create(options.frames));
    BOOST_OUTCOME_TRY(
        made->out_.create(std::clamp(options.frames / 16, 4u, write_batch<Traits>::pages_max))
    );
    if (!made->candidates_.reserve(options.frames)) return error{.code = errc::out_of_memory};
    made->purses_max_ = std::max(1u, options.frames / 4 - 1);
    return made;
}

template <class Traits>
fix buffer_pool<Traits>::try_share(
    file_type& file, page_number page, shared_page<Traits>& out
) noexcept {
    ensure(!out, "a guard is empty before it takes a page");
    auto* const word = file.table().find(page);
    if (word == nullptr) return fix::absent;
    auto frame = std::uint32_t{};
    if (word->share(runtime_, frame) == fix::absent) return fix::absent;
    out.word_ = word;
    out.data_ = frames_.data(frame);
    out.number_ = page;
    return fix::ok;
}

template <class Traits>
fix buffer_pool<Traits>::try_exclude(
    file_type& file, page_number page, exclusive_page<Traits>& out
) noexcept {
    ensure(!out, "a guard is empty before it takes a page");
    auto* const word = file.table().find(page);
    if (word == nullptr) return fix::absent;
    auto frame = std::uint32_t{};
    if (word->exclude(runtime_, frame) == fix::absent) return fix::absent;
    out.pool_ = this;
    out.word_ = word;
    out.data_ = frames_.data(frame);
    out.number_ = page;
    out.frame_ = frame;
    out.changed_ = false;
    out.fresh_ = false;
    return fix::ok;
}

// What a page that has just been read is: verified, sound by itself, of the past. Whoever can compute
// a checksum can also make rows that leave their fences, and redo would work on them.
template <class Traits>
damage buffer_pool<Traits>::look_at(file_type& file, page_number page, std::byte* data) noexcept {
    auto found = codec::verify_sum(data, file.nonce(), page);
    if (found == damage::none) found = check_page(page_view<page_size>{data});
    if (found != damage::none) return found;
    auto const page_lsn = lsn{load_le<std::uint64_t>(data + page_offset::page_lsn)};
    return page_lsn < log_.durable_lsn() ? damage::none : damage::future;
}

template <class Traits>
result<void> buffer_pool<Traits>::load(file_type& file, page_number page) noexcept {
    auto const damaged = error{
        .code = errc::page_damaged,
        .database = file.id().value,
        .page = page,
        .file = file_kind::database
    };
    if (page < file_type::limits::first_page || page.value >= file.page_count()) {
        auto e = damaged;
        e.reason = damage::short_file;
        return e;
    }
    auto* no_spare = static_cast<chunk*>(nullptr);
    auto* const word = file.table().touch(page, no_spare);
    if (word == nullptr) return error{.code = errc::out_of_memory};
    if (word->peek().state() != detail::word_bits::absent) return ok();

    // The frame first: whoever claimed the page without one would make all others wait for it.
    BOOST_OUTCOME_TRY(auto const frame, supply_.take());
    if (!word->claim_absent(frame)) {
        supply_.give(frame);
        return ok();
    }
    detail::fence_release();
    auto* const data = frames_.data(frame);
    auto why = damaged;
    auto got = file.read_pages(page, bytes{data, page_size});
    if (got) {
        why.reason = look_at(file, page, data);
    } else {
        why.reason = got.error().reason;
        why.os_errno = got.error().os_errno;
    }
    if (!got || why.reason != damage::none) {
        if (why.reason == damage::future)
            why.at = {load_le<std::uint64_t>(data + page_offset::page_lsn)};
        word->release_absent(runtime_);
        supply_.give(frame);
        return why;
    }
    land(frame, file, page, word);
    return ok();
}

template <class Traits>
void buffer_pool<Traits>::land(
    std::uint32_t frame, file_type& file, page_number page, page_word<Traits>* word
) noexcept {
    auto& info = frames_.info(frame);
    info.flush_counter =
        load_le<std::uint16_t>(frames_.data(frame) + page_offset::flags) & page_flag::flush_counter;
    settle(info, file, page, word);
    loads_.fetch_add(1u, std::memory_order_relaxed);
    word->release(runtime_, true);
}

template <class Traits>
result<frame_purse<Traits>> buffer_pool<Traits>::reserve_frames(std::uint32_t n) noexcept {
    ensure(n <= frame_purse<Traits>::frames_max, "a purse holds four frames at most");
    for (;;) {
        auto const seen = out_.landed().ticket();
        auto held = purses_.load(std::memory_order_relaxed);
        if (held < purses_max_) {
            if (purses_.compare_exchange_strong(
                    held, held + 1, std::memory_order_acq_rel, std::memory_order_relaxed
                ))
                break;
            continue;
        }
        supply_.wait(seen);
    }
    auto purse = frame_purse<Traits>{};
    purse.pool_ = this;
    while (purse.count_ < n) {
        auto* const spare = new (std::nothrow) chunk;
        if (spare == nullptr) return error{.code = errc::out_of_memory};
        auto frame = supply_.take();
        if (!frame) {
            delete spare;
            return frame.error();
        }
        purse.chunks_[purse.count_] = spare;
        purse.frames_[purse.count_++] = frame.value();
    }
    return purse;
}

template <class Traits>
void buffer_pool<Traits>::give_back(frame_purse<Traits>& purse) noexcept {
    for (; purse.count_ != 0; --purse.count_) {
        delete static_cast<chunk*>(purse.chunks_[purse.count_ - 1]);
        purse.chunks_[purse.count_ - 1] = nullptr;
        supply_.give(purse.frames_[purse.count_ - 1]);
    }
    purse.pool_ = nullptr;
    purses_.fetch_sub(1u, std::memory_order_acq_rel);
    supply_.wake();
}

template <class Traits>
exclusive_page<Traits> buffer_pool<Traits>::create_page(
    file_type& file, page_number page, frame_purse<Traits>& purse
) noexcept {
    ensure(purse.count_ > 0, "frames for new pages are reserved before the first latch");
    auto const top = purse.count_ - 1;
    auto* spare = static_cast<chunk*>(purse.chunks_[top]);
    auto* const word = file.table().touch(page, spare);
    auto const spare_used = spare == nullptr;
    auto out = exclusive_page<Traits>{};
    for (;;) {
        // Of its former life, or brought in by someone who looked at free pages.
        if (word->exclude(runtime_, out.frame_) == fix::ok) break;
        if (!word->claim_absent(purse.frames_[top])) continue;
        out.frame_ = purse.frames_[top];
        auto& info = frames_.info(out.frame_);
        info.flush_counter = 0;
        settle(info, file, page, word);
        if (!spare_used) delete spare;
        purse.chunks_[top] = nullptr;
        --purse.count_;
        break;
    }
    // A used chunk without a used frame: the page was found at the second look, which only a
    // loader of a free page can bring about. The purse goes on without a spare.
    if (spare_used && purse.count_ == top + 1) purse.chunks_[top] = nullptr;
    out.pool_ = this;
    out.word_ = word;
    out.data_ = frames_.data(out.frame_);
    out.number_ = page;
    out.changed_ = true;
    out.fresh_ = true;
    page_memory::fill_zero(out.data_, page_size);
    return out;
}

template <class Traits>
void buffer_pool<Traits>::mark_dirty(exclusive_page<Traits>& page, lsn low) noexcept {
    ensure(low != no_lsn, "a dirty page has a lower bound of its change");
    auto& info = frames_.info(page.frame_);
    page.changed_ = true;
    page.fresh_ = false;
    info.dead_lsn.store(0, std::memory_order_release);
    if (!info.is_dirty()) info.rec_lsn.store(low.value, std::memory_order_release);
}

template <class Traits>
void buffer_pool<Traits>::release(exclusive_page<Traits>& page) noexcept {
    page.pool_ = nullptr;
    if (!page.fresh_) return page.word_->release(runtime_, page.changed_);
    // Made, and then not used: its zeros are nothing that anybody may find.
    auto& info = frames_.info(page.frame_);
    if (!info.is_dirty() && !info.is_in_flight()) {
        supply_.drop(page.frame_);
        supply_.give(page.frame_);
        return;
    }
    if (!info.is_dead()) info.dead_lsn.store(1, std::memory_order_release);
    page.word_->release(runtime_, true, true);
}

template <class Traits>
void buffer_pool<Traits>::discard(exclusive_page<Traits>&& page) noexcept {
    auto freed = std::move(page);
    ensure(static_cast<bool>(freed), "a page that is discarded is held");
    // Whoever comes by a stale hint sees a freed page.
    page_memory::store<std::uint8_t>(
        freed.data() + page_offset::kind, static_cast<std::uint8_t>(page_kind::freed)
    );
    auto& info = frames_.info(freed.frame_);
    info.dead_lsn.store(log_.tail().value, std::memory_order_release);
    freed.pool_ = nullptr;
    freed.word_->release(runtime_, true, true);
}

template <class Traits>
bool buffer_pool<Traits>::copy_resident(file_type& file, page_number page, bytes into) noexcept {
    ensure(into.size() == page_size, "a copy has the size of a page");
    auto* const word = file.table().find(page);
    if (word == nullptr) return false;
    auto const was_cool = word->peek().state() == detail::word_bits::cool;
    auto frame = std::uint32_t{};
    if (word->share(runtime_, frame) == fix::absent) return false;
    page_memory::load_bytes(into.data(), frames_.data(frame), page_size);
    if (was_cool)
        word->unshare_as_cool();
    else
        word->unshare();
    return true;
}

} // namespace jetpp::inline v1
