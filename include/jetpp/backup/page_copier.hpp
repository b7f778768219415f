// jetpp/backup/page_copier.hpp - pages of a live database, each proved before it is copied.
//
// A page is read from its file while others write: it may come torn, or be older than what memory
// holds, or never have been written. What then:
//     sound, and older than the durable log        -> as it is
//     else in memory                               -> memory's copy, once its log is durable
//     else read again; zero and free               -> zero
//     else nobody wrote it meanwhile               -> page_damaged: the backup fails
// Nobody wrote meanwhile: the page was absent from memory before and after the read, under one
// version of its word. No sleeps, no count of tries: each further turn is another's progress.
// Invariants
//   * the durable end of the log is read after the page: a page that claims more is from a future
//     that a crash may erase
//   * no latch is held over I/O or a wait
// Threads  one owner a copier; the source is used by all at once.
// Source   backup rules R5 to R7.
#pragma once

#include <jetpp/backup/frame.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/runtime.hpp>
#include <jetpp/page/page_check.hpp>
#include <jetpp/page/page_codec.hpp>
#include <jetpp/page/page_layout.hpp>
#include <jetpp/page/page_view.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace jetpp::inline v1 {

// Is the page in memory, and which change of its word was the last?
struct page_residence {
    bool absent = true;
    std::uint32_t version{};
    friend bool operator==(page_residence const&, page_residence const&) = default;
};

template <class S>
concept page_source = requires(S& source, page_number page, bytes into, lsn at) {
    { source.read(page, into) } noexcept -> std::same_as<result<void>>; // from the file
    { source.nonce() } noexcept -> std::same_as<std::uint64_t>;
    { source.durable_lsn() } noexcept -> std::same_as<lsn>;
    // Until durable_lsn() > at.
    { source.wait_durable(at) } noexcept -> std::same_as<result<void>>;
    { source.residence(page) } noexcept -> std::same_as<page_residence>;
    // Memory's copy, unsealed. Returns: false if it is absent.
    { source.copy_resident(page, into) } noexcept -> std::same_as<bool>;
    // As the space map in use says.
    { source.is_free(page) } noexcept -> std::same_as<result<bool>>;
};

// What a page of a database may be, by itself and in this moment.
template <std::size_t PageSize, class Checksum>
[[nodiscard]] damage judge_page(
    std::byte const* page, std::uint64_t nonce, page_number number, lsn durable
) noexcept {
    auto const found = page_codec<PageSize, Checksum>::verify(page, nonce, number);
    if (found != damage::none) return found;
    auto const view = page_view<PageSize>{page};
    if (view.kind() == page_kind::copy_trailer) return damage::kind; // never in a live file
    return view.page_lsn() < durable ? damage::none : damage::future;
}

template <std::size_t PageSize, class Checksum, page_source Source, class Runtime>
class page_copier {
    using codec = page_codec<PageSize, Checksum>;

public:
    explicit page_copier(Source& source) noexcept : source_{&source} {}

    // Fills `into` with pages from `first` on, each sound, or zero and free; bit i of `presence`
    // is set for those that are not zero.
    // Requires: into is a multiple of the page size, of at most 128 pages.
    // Errors: page_damaged (page, reason), those of the source.
    [[nodiscard]] result<void> copy(
        page_number first, bytes into, presence_bits& presence, std::size_t presence_from = 0
    ) noexcept {
        BOOST_OUTCOME_TRY(source_->read(first, into));
        return prove(first, into, presence, presence_from);
    }
    // The same of what was read from the file before, by whom and when ever.
    [[nodiscard]] result<void> prove(
        page_number first, bytes into, presence_bits& presence, std::size_t presence_from = 0
    ) noexcept {
        auto const durable = source_->durable_lsn();
        auto const count = static_cast<std::uint32_t>(into.size() / PageSize);
        for (std::uint32_t i = 0; i < count; ++i) {
            auto* const page = into.data() + std::size_t{i} * PageSize;
            auto const number = first + i;
            auto found = look(page, number, durable);
            if (found != damage::none) {
                BOOST_OUTCOME_TRY(found, settle(page, number, found));
            }
            if (found == damage::none) set_present(presence, presence_from + i);
        }
        return ok();
    }

    // Pages whose file copy was rotten while memory's was good.
    [[nodiscard]] std::uint64_t masked() const noexcept { return masked_; }

private:
    [[nodiscard]] damage look(std::byte const* page, page_number number, lsn durable)
        const noexcept {
        // Free stretches are zero, and a growing file has long ones: not worth a checksum.
        if (page[0] == std::byte{0} && std::memcmp(page, page + 1, PageSize - 1) == 0)
            return damage::zero;
        return judge_page<PageSize, Checksum>(page, source_->nonce(), number, durable);
    }

    // A page that did not pass. Returns: none (`page` is good now) or zero (it is legally so).
    [[nodiscard]] result<damage> settle(
        std::byte* page, page_number number, damage found
    ) noexcept {
        for (;;) {
            auto const before = source_->residence(number);
            if (source_->copy_resident(number, {page, PageSize})) {
                BOOST_OUTCOME_TRY(emit_copy(page, number));
                if (found != damage::zero && found != damage::future) ++masked_;
                return damage::none;
            }
            if (found == damage::zero) {
                BOOST_OUTCOME_TRY(auto const free, source_->is_free(number));
                if (free) return found;
            }
            BOOST_OUTCOME_TRY(source_->read(number, {page, PageSize}));
            found = look(page, number, source_->durable_lsn());
            if (found == damage::none) return found;
            if (before.absent && before == source_->residence(number))
                return error{
                    .code = errc::page_damaged,
                    .page = number,
                    .file = file_kind::database,
                    .reason = found
                };
        }
    }

    // Memory's copy may be of a moment that the log has not reached: a set must never hold it
    // before the log does.
    [[nodiscard]] result<void> emit_copy(std::byte* page, page_number number) noexcept {
        auto const view = page_view<PageSize>{page};
        ensure(view.number() == number, "a page in memory has its own number");
        if (auto const wrong = check_layout(view); wrong != damage::none)
            return error{
                .code = errc::page_damaged,
                .page = number,
                .file = file_kind::database,
                .reason = wrong
            };
        if (!Runtime::sabotaged(sabotage::pool_copy_before_durable)) {
            BOOST_OUTCOME_TRY(source_->wait_durable(view.page_lsn()));
        }
        codec::stamp(page, source_->nonce());
        return ok();
    }

    Source* source_;
    std::uint64_t masked_ = 0;
};

} // namespace jetpp::inline v1
