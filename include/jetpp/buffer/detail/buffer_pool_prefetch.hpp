// jetpp/buffer/detail/buffer_pool_prefetch.hpp - bodies of buffer_pool: many pages in few reads.
//
//     pages wanted    7 8 . 10 . . . . . . 17 18          one read spans gaps of few pages:
//     reads          [7 ..... 10]         [17 18]         that is cheaper than another one
//
// A stretch is read into memory of its own and copied, page by page, into frames that were claimed
// before the read; each page is then verified as load() does. Reading first and claiming afterwards
// would bring in what the page was before somebody else loaded, changed and wrote it.
#pragma once

#include <jetpp/buffer/buffer_pool.hpp>

namespace jetpp::inline v1 {

template <class Traits>
result<std::uint32_t> buffer_pool<Traits>::prefetch(
    file_type& file, std::span<page_number const> pages
) noexcept {
    constexpr auto stretch = static_cast<std::uint32_t>(prefetch_bytes / page_size);
    constexpr auto gap = stretch / 8;
    if (pages.empty()) return std::uint32_t{0};
    BOOST_OUTCOME_TRY(auto landing, aligned_buffer::create(prefetch_bytes));
    auto count = std::uint32_t{0};
    for (std::size_t first = 0; first < pages.size();) {
        auto last = first;
        while (last + 1 < pages.size() && pages[last + 1].value - pages[last].value <= gap + 1 &&
               pages[last + 1].value - pages[first].value < stretch)
            ++last;
        BOOST_OUTCOME_TRY(
            auto const some, prefetch_stretch(file, pages.subspan(first, last - first + 1), landing)
        );
        count += some;
        first = last + 1;
    }
    return count;
}

template <class Traits>
result<std::uint32_t> buffer_pool<Traits>::prefetch_stretch(
    file_type& file, std::span<page_number const> pages, aligned_buffer& landing
) noexcept {
    struct claim {
        page_number page{no_page};
        page_word<Traits>* word{};
        std::uint32_t frame{};
    };
    // What others need to go on is theirs: nobody waits because of a guess.
    auto const spared = frames_min + frames_.count() / 50;
    auto const wanted = spared + static_cast<std::uint32_t>(pages.size());
    if (wanted > frames_.count()) return std::uint32_t{0};
    BOOST_OUTCOME_TRY(supply_.refill(wanted));

    claim claims[prefetch_bytes / page_size];
    auto count = std::uint32_t{0};
    for (auto const page : pages) {
        if (page < file_type::limits::first_page || page.value >= file.page_count()) continue;
        if (frames_.free_count() <= spared) break;
        auto* no_spare = static_cast<chunk*>(nullptr);
        auto* const word = file.table().touch(page, no_spare);
        if (word == nullptr) break;
        if (word->peek().state() != detail::word_bits::absent) continue;
        auto const frame = frames_.take();
        if (frame == frame_pool<Traits>::none) break;
        if (!word->claim_absent(frame)) {
            supply_.give(frame);
            continue;
        }
        claims[count++] = {.page = page, .word = word, .frame = frame};
    }
    if (count == 0) return std::uint32_t{0};
    detail::fence_release();
    auto const first = claims[0].page;
    auto const length = std::size_t{claims[count - 1].page.value - first.value + 1} * page_size;
    auto const got = file.read_pages(first, landing.part(0, length));
    auto loaded = std::uint32_t{0};
    for (auto const& one : std::span{claims, count}) {
        auto const at = std::size_t{one.page.value - first.value} * page_size;
        if (got) {
            auto* const data = frames_.data(one.frame);
            page_memory::store_bytes(data, landing.data() + at, page_size);
            if (look_at(file, one.page, data) == damage::none) {
                land(one.frame, file, one.page, one.word);
                ++loaded;
                continue;
            }
        }
        one.word->release_absent(runtime_);
        supply_.give(one.frame);
    }
    return loaded;
}

} // namespace jetpp::inline v1
