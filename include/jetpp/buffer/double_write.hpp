// jetpp/buffer/double_write.hpp - jet.dw: every page is written here before it is written home.
//
// A power loss can tear a page in the middle. The whole image of each page on its way home lies
// here, synced, until the home write is synced too; recovery copies it over a torn home.
//
// Layout (little-endian), two areas, area k at k x (8192 + capacity x page_size):
//     0        4096      8192
//     +--------+---------+--------+--------+-- ... --+
//     | header | entries | image  | image  |         |   images in entry order
//     +--------+---------+--------+--------+-- ... --+
// header: 0 checksum of 8..8191, 8 "JETPPDWR", 16 kind 4, 20 major, 22 minor, 24 feature bits,
//     32 instance, 48 timeline, 56 sequence, 64 redo_lsn, 72 page_size, 76 capacity, 80 count,
//     84 area.  entry: 0 db_id u16, 4 page u32, 8 page_lsn, 16 nonce, 24 page checksum field
// Invariants
//   * index and images go out in one write and one sync; only then do home writes begin
//   * an area is written again only after every file of its former batch was synced behind the
//     home writes (write_out.hpp keeps this)
// Threads  one writer an area; the two areas are independent.
// Owns     the open file.
// Source   InnoDB's doublewrite buffer.
#pragma once

#include <jetpp/buffer/core_traits.hpp>
#include <jetpp/checksum/crc32c.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ids.hpp>
#include <jetpp/core/lsn.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/io.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace jetpp::inline v1 {

inline constexpr file_name double_write_file_name{"jet.dw"};

struct double_write_entry {
    static constexpr std::size_t size = 32;

    database_id database{};
    page_number page{};
    lsn page_lsn{};
    std::uint64_t nonce{};    // of the database: seeds the page's checksum
    std::uint64_t checksum{}; // the page's own checksum field
    friend bool operator==(double_write_entry const&, double_write_entry const&) = default;

    void encode(std::byte* p) const noexcept {
        std::memset(p, 0, size);
        store_le<std::uint16_t>(p, database.value);
        store_le<std::uint32_t>(p + 4, page.value);
        store_le<std::uint64_t>(p + 8, page_lsn.value);
        store_le<std::uint64_t>(p + 16, nonce);
        store_le<std::uint64_t>(p + 24, checksum);
    }
    [[nodiscard]] static double_write_entry decode(std::byte const* p) noexcept {
        return {
            .database = {load_le<std::uint16_t>(p)},
            .page = {load_le<std::uint32_t>(p + 4)},
            .page_lsn = {load_le<std::uint64_t>(p + 8)},
            .nonce = load_le<std::uint64_t>(p + 16),
            .checksum = load_le<std::uint64_t>(p + 24),
        };
    }
};

// The first half of an area's index; the entries stand behind it.
struct double_write_index {
    static constexpr std::size_t size = 8192;
    static constexpr std::size_t entries_at = 4096;
    static constexpr std::uint32_t capacity_min = 8;
    static constexpr std::uint32_t capacity_max = 128;
    static_assert(entries_at + capacity_max * double_write_entry::size == size);

    uuid instance{};
    timeline_id timeline{};
    std::uint64_t sequence{};
    lsn redo_lsn{}; // informative
    std::uint32_t page_size{};
    std::uint32_t capacity{};
    std::uint32_t count{};
    std::uint32_t area{};
    friend bool operator==(double_write_index const&, double_write_index const&) = default;

    // The entries are in `block` already. Requires: block.size() == size.
    void seal(bytes block) const noexcept {
        auto* const p = block.data();
        std::memset(p, 0, entries_at);
        std::memcpy(p + 8, "JETPPDWR", 8);
        store_le<std::uint32_t>(p + 16, static_cast<std::uint32_t>(file_kind::double_write));
        store_le<std::uint16_t>(p + 20, 1);
        std::memcpy(p + 32, instance.raw.data(), instance.raw.size());
        store_le<std::uint64_t>(p + 48, timeline.value);
        store_le<std::uint64_t>(p + 56, sequence);
        store_le<std::uint64_t>(p + 64, redo_lsn.value);
        store_le<std::uint32_t>(p + 72, page_size);
        store_le<std::uint32_t>(p + 76, capacity);
        store_le<std::uint32_t>(p + 80, count);
        store_le<std::uint32_t>(p + 84, area);
        store_le<std::uint64_t>(p, structure_sum(block.subspan(8)));
    }

    // Errors: bad_magic, bad_kind, unsupported_format, bad_header, unsupported_feature: all of
    //     them mean "an area without images", except the two unsupported ones.
    [[nodiscard]] static result<double_write_index> read(const_bytes block) noexcept {
        auto const refuse = [](errc code) {
            return error{.code = code, .file = file_kind::double_write};
        };
        auto const* const p = block.data();
        if (as_text(block.subspan(8, 8)) != "JETPPDWR") return refuse(errc::bad_magic);
        if (load_le<std::uint32_t>(p + 16) != static_cast<std::uint32_t>(file_kind::double_write))
            return refuse(errc::bad_kind);
        if (load_le<std::uint16_t>(p + 20) != 1) return refuse(errc::unsupported_format);
        if (load_le<std::uint64_t>(p) != structure_sum(block.first(size).subspan(8)))
            return refuse(errc::bad_header);
        if (load_le<std::uint64_t>(p + 24) != 0) return refuse(errc::unsupported_feature);
        auto index = double_write_index{};
        std::memcpy(index.instance.raw.data(), p + 32, index.instance.raw.size());
        index.timeline = {load_le<std::uint64_t>(p + 48)};
        index.sequence = load_le<std::uint64_t>(p + 56);
        index.redo_lsn = {load_le<std::uint64_t>(p + 64)};
        index.page_size = load_le<std::uint32_t>(p + 72);
        index.capacity = load_le<std::uint32_t>(p + 76);
        index.count = load_le<std::uint32_t>(p + 80);
        index.area = load_le<std::uint32_t>(p + 84);
        if (!is_page_shape(index.page_size) || index.capacity < capacity_min ||
            index.capacity > capacity_max || index.count > index.capacity || index.area > 1)
            return refuse(errc::bad_header);
        return index;
    }

    [[nodiscard]] static constexpr bool is_page_shape(std::uint32_t bytes_) noexcept {
        return bytes_ >= 4096 && bytes_ <= 65536 && (bytes_ & (bytes_ - 1)) == 0;
    }
};

// Whose pages the file holds.
struct double_write_owner {
    uuid instance{};
    timeline_id timeline{};
};

template <class Traits>
class double_write_file {
    using env = typename Traits::env;
    using runtime = typename Traits::runtime;

public:
    static constexpr std::size_t page_size = Traits::page_size;

    [[nodiscard]] static constexpr std::size_t area_bytes(std::uint32_t capacity) noexcept {
        return double_write_index::size + capacity * page_size;
    }

    // Opens jet.dw, or makes one with two empty areas (temporary name, sync, rename, directory
    // sync). The capacity of an existing file stays. Images in it are left alone: recovery first.
    // Errors: those of storage, out_of_memory, unsupported_format, unsupported_feature,
    //     page_size_mismatch.
    [[nodiscard]] static result<double_write_file> open_or_create(
        env, typename env::directory& directory, double_write_owner owner, std::uint32_t capacity
    ) noexcept;

    [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] double_write_owner const& owner() const noexcept { return owner_; }

    // One batch: `area` of 0 and 1; `image` begins with the index space, entries filled, pages
    // behind it. Returns when everything is on the device.
    // Requires: count <= capacity(); image.size() == area_bytes(count).
    [[nodiscard]] result<void> write(
        std::uint32_t area, bytes image, std::uint32_t count, lsn redo_lsn
    ) noexcept {
        ensure(area < 2, "there are two areas");
        ensure(count <= capacity_, "a batch fits its area");
        ensure(image.size() == area_bytes(count), "index and images are written whole");
        BOOST_OUTCOME_TRY(put(area, image, count, redo_lsn));
        return sync();
    }

    // Both areas hold no image, durably: at a clean close and at the end of recovery. Neither has
    // to be before the other.
    [[nodiscard]] result<void> empty() noexcept {
        BOOST_OUTCOME_TRY(put_empty());
        return sync();
    }

    // One area as it lies in the file: index, then images. Short if the file is.
    // Requires: into.size() == area_bytes(capacity()).
    [[nodiscard]] result<std::size_t> read_area(std::uint32_t area, bytes into) noexcept {
        return read_up_to(file_, into, area * area_bytes(capacity_));
    }

private:
    [[nodiscard]] result<void> put(
        std::uint32_t area, bytes image, std::uint32_t count, lsn redo_lsn
    ) noexcept {
        index_of(area, count, redo_lsn).seal(image.first(double_write_index::size));
        if (auto done = write_full(file_, image, area * area_bytes(capacity_)); !done)
            return done.error().with_file(file_kind::double_write);
        return ok();
    }
    [[nodiscard]] result<void> put_empty() noexcept {
        BOOST_OUTCOME_TRY(auto block, aligned_buffer::create(double_write_index::size));
        for (std::uint32_t area = 0; area < 2; ++area) {
            BOOST_OUTCOME_TRY(put(area, block.all(), 0, no_lsn));
        }
        return ok();
    }
    [[nodiscard]] result<void> sync() noexcept {
        if (runtime::sabotaged(sabotage::skip_dw_sync)) return ok();
        if (auto done = file_.sync(sync_how::data); !done)
            return done.error().with_file(file_kind::double_write);
        return ok();
    }

    double_write_file(
        typename env::file file,
        double_write_owner owner,
        std::uint32_t capacity,
        std::uint64_t sequence
    ) noexcept
        : file_{std::move(file)}, owner_{owner}, capacity_{capacity},
          next_sequence_{sequence + 1, sequence + 2} {}

    // Each area counts by itself, odd and even steps: two writers never share a number.
    [[nodiscard]] double_write_index index_of(
        std::uint32_t area, std::uint32_t count, lsn redo_lsn
    ) noexcept {
        auto const sequence = next_sequence_[area];
        next_sequence_[area] += 2;
        return {
            .instance = owner_.instance,
            .timeline = owner_.timeline,
            .sequence = sequence,
            .redo_lsn = redo_lsn,
            .page_size = static_cast<std::uint32_t>(page_size),
            .capacity = capacity_,
            .count = count,
            .area = area,
        };
    }

    typename env::file file_;
    double_write_owner owner_;
    std::uint32_t capacity_;
    std::uint64_t next_sequence_[2];
};

template <class Traits>
result<double_write_file<Traits>> double_write_file<Traits>::open_or_create(
    env, typename env::directory& directory, double_write_owner owner, std::uint32_t capacity
) noexcept {
    ensure(
        capacity >= double_write_index::capacity_min &&
            capacity <= double_write_index::capacity_max,
        "the capacity of a double-write area is 8 to 128 pages"
    );
    auto const here = [](error const& e) { return e.with_file(file_kind::double_write); };
    BOOST_OUTCOME_TRY(auto block, aligned_buffer::create(double_write_index::size));
    auto opened = directory.open(double_write_file_name, {.mode = open_mode::read_write});
    if (opened.has_value()) {
        auto file = std::move(opened).value();
        // Its maker may have been killed between rename and sync; a power loss would take the name.
        if (auto done = directory.sync(); !done) return here(done.error());
        // The first area says where the second one is; without it, every place a capacity allows.
        auto found = std::uint32_t{0};
        auto sequence = std::uint64_t{0};
        auto look = [&](std::uint64_t offset) noexcept -> result<bool> {
            auto got = read_up_to(file, block.all(), offset);
            if (!got) return here(got.error());
            if (got.value() != block.size()) return false;
            auto index = double_write_index::read(block.all());
            if (!index) {
                auto const code = index.error().code;
                if (code == errc::unsupported_format || code == errc::unsupported_feature)
                    return index.error();
                return false;
            }
            if (index.value().page_size != page_size)
                return mismatch(
                    errc::page_size_mismatch,
                    file_kind::double_write,
                    index.value().page_size,
                    static_cast<std::uint32_t>(page_size)
                );
            if (offset != index.value().area * area_bytes(index.value().capacity)) return false;
            found = index.value().capacity;
            if (index.value().sequence > sequence) sequence = index.value().sequence;
            return true;
        };
        BOOST_OUTCOME_TRY(look(0));
        if (found != 0) {
            BOOST_OUTCOME_TRY(look(area_bytes(found)));
        } else {
            for (auto n = double_write_index::capacity_min;
                 n <= double_write_index::capacity_max && found == 0;
                 ++n) {
                BOOST_OUTCOME_TRY(look(area_bytes(n)));
            }
        }
        if (found == 0) found = capacity; // no image in it, so nothing depends on its shape
        return double_write_file{std::move(file), owner, found, sequence};
    }
    if (opened.error().code != errc::not_found) return here(opened.error());

    constexpr auto temporary = file_name{"jet.dw.tmp"};
    if (auto gone = directory.remove(temporary); !gone && gone.error().code != errc::not_found)
        return here(gone.error());
    auto created = directory.open(temporary, {.mode = open_mode::create_new});
    if (!created) return here(created.error());
    auto file = std::move(created).value();
    if (auto done = file.allocate(0, 2 * area_bytes(capacity)); !done) return here(done.error());
    auto made = double_write_file{std::move(file), owner, capacity, 0};
    BOOST_OUTCOME_TRY(made.put_empty());
    if (auto done = made.file_.sync(sync_how::full); !done) return here(done.error());
    runtime::point(point_id::before_rename);
    if (auto done = directory.rename(temporary, double_write_file_name, rename_how::replace); !done)
        return here(done.error());
    runtime::point(point_id::after_rename);
    if (!runtime::sabotaged(sabotage::skip_dir_sync))
        if (auto done = directory.sync(); !done) return here(done.error());
    return made;
}

} // namespace jetpp::inline v1
