// jetpp/backup/compare_pages.hpp - does a restored copy say what the running instance says?
//
// Whenever a page of both has the same timeline and page_lsn, the same records made it: then it must
// have the same content, whichever of the two compacted it and when (page/canonical.hpp). Pages that
// writers have changed since, or that the restore rolled back, differ in one of the two and are left
// out; so are pages of the running instance that cannot be read just now: this is about the copy.
// Threads  one owner. Writers of the running instance go on; the log of the copy is pinned, so that no
//          database leaves meanwhile.
// Owns     room for one run of pages.
// Source   backup rule R62.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/live_pages.hpp>
#include <jetpp/btree/check.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/canonical.hpp>
#include <jetpp/page/page_codec.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/recovery/instance.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

// Returns: how many pages were compared. Errors: structure_damaged (database, page, at: the page_lsn
// under which the two differ), those of reading the copy, out_of_memory.
template <class Traits>
[[nodiscard]] result<std::uint64_t> compare_pages(
    instance<Traits>& copy, instance<Traits>& running
) noexcept {
    constexpr auto page_size = Traits::page_size;
    constexpr auto pages_a_run = std::uint32_t{run_bytes / page_size};
    using codec = page_codec<page_size, typename Traits::checksum>;
    BOOST_OUTCOME_TRY(auto theirs, aligned_buffer::create(run_bytes));
    BOOST_OUTCOME_TRY(auto ours, aligned_buffer::create(page_size));
    auto compared = std::uint64_t{0};
    for (auto& known : copy.databases()) {
        if (known.file == nullptr) continue;
        auto* other = static_cast<paged_file<Traits>*>(nullptr);
        running.each_database([&](auto& one) noexcept {
            if (one.id == known.id) other = one.file.get();
        });
        if (other == nullptr) continue; // dropped since
        auto live = live_pages<Traits>{*other, running.pool(), running.log()};
        auto const count = std::min(known.file->page_count(), other->page_count());
        for (auto first = page_limits<page_size>::first_page.value; first < count;) {
            auto const end = std::min(count, (first / pages_a_run + 1) * pages_a_run);
            auto const run = theirs.part(0, std::size_t{end - first} * page_size);
            if (!live.read(page_number{first}, run))
                std::fill(run.begin(), run.end(), std::byte{0});
            for (auto number = first; number < end; ++number) {
                auto const page = page_number{number};
                auto const image = run.subspan(std::size_t{number - first} * page_size, page_size);
                auto const readable =
                    live.copy_resident(page, image) ||
                    codec::verify(image.data(), live.nonce(), page) == damage::none;
                if (!readable) continue;
                BOOST_OUTCOME_TRY(
                    auto const unreadable,
                    detail::copy_page(copy.pool(), *known.file, page, ours.data())
                );
                if (unreadable != damage::none) continue; // free, or the walk of the trees says so
                auto const a = page_view<page_size>{image.data()};
                auto const b = page_view<page_size>{ours.data()};
                if (a.page_lsn() != b.page_lsn() || a.timeline_low() != b.timeline_low()) continue;
                ++compared;
                if (!same_content(a, b))
                    return error{
                        .code = errc::structure_damaged,
                        .database = known.file->id().value,
                        .page = page,
                        .file = file_kind::database,
                        .at = b.page_lsn(),
                    };
            }
            first = end;
        }
    }
    return compared;
}

} // namespace jetpp::inline v1
