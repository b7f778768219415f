// jetpp/backup/live_pages.hpp - an attached database as a source of pages.
//
// Reads through the engine's own open file, in the mode in which the engine writes: a second mode
// could return an old image that looks valid.
// Threads  any. Lifetime: the database stays attached.
#pragma once

#include <jetpp/backup/page_copier.hpp>
#include <jetpp/buffer/buffer_pool.hpp>
#include <jetpp/buffer/paged_file.hpp>
#include <jetpp/log/log_writer.hpp>
#include <jetpp/page/space_map.hpp>

#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

template <class Traits>
class live_pages {
public:
    static constexpr std::size_t page_size = Traits::page_size;

    live_pages(
        paged_file<Traits>& file, buffer_pool<Traits>& pool, log_writer<typename Traits::env>& log
    ) noexcept
        : file_{&file}, pool_{&pool}, log_{&log} {}

    [[nodiscard]] result<void> read(page_number first, bytes into) noexcept {
        return file_->read_pages(first, into);
    }
    [[nodiscard]] std::uint64_t nonce() const noexcept { return file_->nonce(); }
    [[nodiscard]] lsn durable_lsn() const noexcept { return log_->durable_lsn(); }
    [[nodiscard]] result<void> wait_durable(lsn at) noexcept { return log_->wait_durable(at); }

    [[nodiscard]] page_residence residence(page_number page) const noexcept {
        auto const* const word = file_->table().find(page);
        if (word == nullptr) return {};
        auto const now = word->peek();
        return {.absent = now.state() == detail::word_bits::absent, .version = now.version()};
    }
    [[nodiscard]] bool copy_resident(page_number page, bytes into) noexcept {
        return pool_->copy_resident(*file_, page, into);
    }

    // Pages that a growth has allocated but not yet given out are free, whatever a map says.
    // Errors: those of loading the map page.
    [[nodiscard]] result<bool> is_free(page_number page) noexcept {
        using regions = space_regions<page_size>;
        if (page.value >= file_->page_count()) return true;
        auto const map = regions::map_page_of(page);
        if (map == page) return false;
        for (;;) {
            auto held = shared_page<Traits>{};
            if (pool_->try_share(*file_, map, held) == fix::ok)
                return !space_map_view<page_size>{held.data()}.test(regions::bit_of(page));
            BOOST_OUTCOME_TRY(pool_->load(*file_, map));
        }
    }

private:
    paged_file<Traits>* file_;
    buffer_pool<Traits>* pool_;
    log_writer<typename Traits::env>* log_;
};

} // namespace jetpp::inline v1
