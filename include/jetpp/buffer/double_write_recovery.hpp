// jetpp/buffer/double_write_recovery.hpp - torn pages made whole before redo reads them.
//
// Both areas are looked through; of each page the image with the highest page_lsn counts; it goes
// home only where the home is bad and the image is of the range that redo will repeat for that file.
// Older images are of no use: their home writes were synced before the checkpoint passed them, and
// what came after them is not repeated.
// Threads  one, before anything else touches the files.
// Owns     its two buffers, for the call.
#pragma once

#include <jetpp/buffer/double_write.hpp>
#include <jetpp/buffer/paged_file.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/page/page_codec.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace jetpp::inline v1 {

// Images that count: redo_lsn <= page_lsn < end. `end` is where recovery found the log to end.
struct double_write_range {
    lsn redo_lsn{};
    lsn end{};
};

struct double_write_repair {
    std::uint32_t images{};   // sound ones found for the files given
    std::uint32_t repaired{}; // pages copied home
};

namespace detail {

template <class Traits>
class double_write_reader {
    using codec = page_codec<Traits::page_size, typename Traits::checksum>;
    using runtime = typename Traits::runtime;

public:
    static constexpr std::size_t page_size = Traits::page_size;

    struct image {
        paged_file<Traits>* file{};
        page_number page{};
        lsn page_lsn{};
        std::byte* data{};
    };

    explicit double_write_reader(std::span<paged_file<Traits>* const> files) noexcept
        : files_{files} {}

    // The images of one area that belong to our files, each page once, the newest.
    [[nodiscard]] result<void> collect(
        double_write_file<Traits>& from, std::uint32_t area
    ) noexcept {
        BOOST_OUTCOME_TRY(areas_[area], aligned_buffer::create(from.area_bytes(from.capacity())));
        auto const all = areas_[area].all();
        BOOST_OUTCOME_TRY(auto const got, from.read_area(area, all));
        if (got < double_write_index::size) return ok();
        auto const index = double_write_index::read(all.first(double_write_index::size));
        if (!index) return ok(); // torn: its home writes have not begun
        auto const& i = index.value();
        if (i.instance != from.owner().instance || i.timeline != from.owner().timeline ||
            i.capacity != from.capacity() || i.page_size != page_size || i.area != area)
            return ok();
        for (std::uint32_t n = 0; n < i.count; ++n) {
            if (got < from.area_bytes(n + 1)) break;
            auto const entry = double_write_entry::decode(
                all.data() + double_write_index::entries_at + n * double_write_entry::size
            );
            auto* const data = all.data() + from.area_bytes(n);
            if (auto* const file = owner_of(entry); file != nullptr && is_sound(entry, data)) {
                BOOST_OUTCOME_TRY(keep(
                    {.file = file, .page = entry.page, .page_lsn = entry.page_lsn, .data = data}
                ));
            }
        }
        return ok();
    }
    [[nodiscard]] std::span<image const> images() const noexcept {
        return {images_.data(), images_.size()};
    }

private:
    [[nodiscard]] paged_file<Traits>* owner_of(double_write_entry const& entry) const noexcept {
        for (auto* const file : files_)
            if (file->nonce() == entry.nonce) return file;
        return nullptr;
    }
    [[nodiscard]] static bool is_sound(
        double_write_entry const& entry, std::byte const* data
    ) noexcept {
        return load_le<std::uint64_t>(data + page_offset::checksum) == entry.checksum &&
               load_le<std::uint64_t>(data + page_offset::page_lsn) == entry.page_lsn.value &&
               codec::verify(data, entry.nonce, entry.page) == damage::none;
    }
    [[nodiscard]] result<void> keep(image const& found) noexcept {
        for (auto& known : images_) {
            if (known.file != found.file || known.page != found.page) continue;
            if (runtime::sabotaged(sabotage::dw_lower_image_first)
                    ? found.page_lsn < known.page_lsn
                    : found.page_lsn > known.page_lsn)
                known = found;
            return ok();
        }
        if (!images_.push_back(found)) return error{.code = errc::out_of_memory};
        return ok();
    }

    std::span<paged_file<Traits>* const> files_;
    aligned_buffer areas_[2];
    array_list<image> images_;
};

// Bad: unreadable, short, zero, or not the page it should be.
template <class Traits>
[[nodiscard]] result<bool> home_is_bad(
    paged_file<Traits>& file, page_number page, bytes scratch
) noexcept {
    auto got = file.read_pages(page, scratch);
    if (!got) {
        auto const& e = got.error();
        if (e.code == errc::io) return true;
        return e;
    }
    return paged_file<Traits>::codec::verify(scratch.data(), file.nonce(), page) != damage::none;
}

} // namespace detail

// Copies images home where the home is torn, and syncs all files, repaired or not: a home that looks
// sound may lie in a cache only, and the areas are overwritten soon. The double-write file itself
// is left as it is: a crash in the middle begins again.
// `redo_from(file)`: redo of a file may begin below the others', if it was restored or put back.
// Errors: of storage (final), out_of_memory, device_gone.
template <class Traits, class RedoFrom>
[[nodiscard]] result<double_write_repair> repair_torn_pages(
    double_write_file<Traits>& from,
    std::span<paged_file<Traits>* const> files,
    RedoFrom&& redo_from,
    lsn end
) noexcept {
    auto reader = detail::double_write_reader<Traits>{files};
    for (std::uint32_t area = 0; area < 2; ++area) {
        BOOST_OUTCOME_TRY(reader.collect(from, area));
    }
    BOOST_OUTCOME_TRY(auto scratch, aligned_buffer::create(Traits::page_size));
    auto report = double_write_repair{};
    for (auto const& i : reader.images()) {
        ++report.images;
        auto const wanted = redo_from(*i.file) <= i.page_lsn && i.page_lsn < end;
        if (!wanted && !Traits::runtime::sabotaged(sabotage::dw_stale_image)) continue;
        BOOST_OUTCOME_TRY(
            auto const bad, detail::home_is_bad<Traits>(*i.file, i.page, scratch.all())
        );
        if (!bad && !Traits::runtime::sabotaged(sabotage::dw_stale_image)) continue;
        BOOST_OUTCOME_TRY(i.file->write_pages(i.page, const_bytes{i.data, Traits::page_size}));
        ++report.repaired;
    }
    for (auto* const file : files) {
        BOOST_OUTCOME_TRY(file->sync_writes());
    }
    return report;
}

// The same for files that are all redone from one position.
template <class Traits>
[[nodiscard]] result<double_write_repair> repair_torn_pages(
    double_write_file<Traits>& from,
    std::span<paged_file<Traits>* const> files,
    double_write_range range
) noexcept {
    return repair_torn_pages(
        from, files, [&](paged_file<Traits>&) noexcept { return range.redo_lsn; }, range.end
    );
}

} // namespace jetpp::inline v1
