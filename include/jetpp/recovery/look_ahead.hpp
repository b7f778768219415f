// jetpp/recovery/look_ahead.hpp - redo knows what it will want: the log says so.
//
//     log   ....[ window: 2 MiB ][ next window ]....
//                ^ redo               ^ read ahead, for its page numbers alone
//
// Before redo enters a window, a second walk over the same log has gone through it, and what it
// names and memory lacks is brought in sorted, neighbours in one read. Without this, redo waits for
// a page at a time in the order of the records, which is the order of nothing on the device.
// A guess and no more: errors of the second walk end it silently, since redo meets them itself.
// Threads  one.
// Owns     the page list; the replay and the pool must outlive it.
#pragma once

#include <jetpp/btree/apply.hpp>
#include <jetpp/buffer/buffer_pool.hpp>
#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/replay.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace jetpp::inline v1 {

template <class Traits>
class look_ahead {
    using log_type = replay<typename Traits::env>;
    using file_type = paged_file<Traits>;
    static constexpr std::size_t page_size = Traits::page_size;

public:
    static constexpr std::uint64_t window_bytes = std::uint64_t{2} << 20;

    // `log` is a replay of its own that nobody else advances.
    look_ahead(buffer_pool<Traits>& pool, log_type& log) noexcept
        : pool_{&pool}, log_{&log}, pages_max_{std::max<std::size_t>(pool.frame_count() / 4, 1)} {}

    // Redo stands at `at`: brings in what the records from here to the end of a window want.
    // file_of(log_record const&) noexcept -> file_type*; null if redo will pass the record over.
    // Errors: out_of_memory, those of buffer_pool::prefetch().
    template <class FileOf>
    [[nodiscard]] result<void> reach(lsn at, FileOf&& file_of) noexcept {
        if (at < reached_ || ended_) return ok();
        if (!walk_) walk_.emplace(log_->begin());
        auto const end = lsn{at.value + window_bytes};
        wanted_.clear();
        for (; !(*walk_ == std::default_sentinel); ++*walk_) {
            auto const& r = **walk_;
            if (!r) break;
            auto const& record = r.assume_value();
            reached_ = record.at;
            if (record.at >= end || wanted_.size() >= pages_max_) return bring_in();
            if (record.at < at) continue;
            if (auto* const file = file_of(record)) {
                BOOST_OUTCOME_TRY(list_pages(*file, record));
            }
        }
        ended_ = true;
        return bring_in();
    }

private:
    struct wanted_page {
        file_type* file{};
        page_number page{no_page};
        friend bool operator==(wanted_page const&, wanted_page const&) noexcept = default;
    };

    [[nodiscard]] result<void> list_pages(file_type& file, log_record const& record) noexcept {
        auto listed = true;
        // A record that does not hold together is redo's to refuse.
        auto const walked =
            for_each_page<page_size>(record, [&](page_part const& part) noexcept -> result<void> {
                auto const known =
                    !wanted_.empty() && wanted_.back() == wanted_page{&file, part.page};
                if (!known && pool_->is_absent(file, part.page))
                    listed = listed && wanted_.push_back({&file, part.page});
                return ok();
            });
        if (!walked) ended_ = true;
        if (!listed) return error{.code = errc::out_of_memory};
        return ok();
    }

    [[nodiscard]] result<void> bring_in() noexcept {
        std::sort(wanted_.begin(), wanted_.end(), [](auto const& a, auto const& b) noexcept {
            auto const x = a.file->id().value;
            auto const y = b.file->id().value;
            return x != y ? x < y : a.page < b.page;
        });
        auto* const unique_end = std::unique(wanted_.begin(), wanted_.end());
        wanted_.truncate(static_cast<std::size_t>(unique_end - wanted_.begin()));
        for (std::size_t first = 0; first < wanted_.size();) {
            auto* const file = wanted_[first].file;
            pages_.clear();
            for (; first < wanted_.size() && wanted_[first].file == file; ++first)
                if (!pages_.push_back(wanted_[first].page))
                    return error{.code = errc::out_of_memory};
            BOOST_OUTCOME_TRY(pool_->prefetch(*file, {pages_.data(), pages_.size()}));
        }
        return ok();
    }

    buffer_pool<Traits>* pool_;
    log_type* log_;
    std::size_t pages_max_; // before removal of doubles: a window never fills the pool
    std::optional<typename log_type::iterator> walk_{};
    lsn reached_{};
    bool ended_ = false;
    array_list<wanted_page> wanted_{};
    array_list<page_number> pages_{};
};

} // namespace jetpp::inline v1
