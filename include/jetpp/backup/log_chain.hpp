// jetpp/backup/log_chain.hpp - which segments hold a stretch of log, by what their headers say.
//
// Walks backwards from the segment behind the stretch: each header names its predecessor by
// generation and nonce, so there is nothing to guess and generations may jump.
// Threads  one owner.
// Owns     the list.
// Source   backup rules R17, R18.
#pragma once

#include <jetpp/core/array_list.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/log/log_directory.hpp>
#include <jetpp/log/log_options.hpp>
#include <jetpp/log/segment.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace jetpp::inline v1 {

struct chained_segment {
    segment_header header{};
    std::uint64_t file_bytes{};
    lsn cut{};         // where its successor says that it ends; 0: at its segment_end
    segment_id next{}; // the successor, which that segment_end must name

    // Addresses of the first byte of its file, and of its successor's.
    [[nodiscard]] lsn from() const noexcept { return {header.generation * header.segment_bytes}; }
    [[nodiscard]] lsn to() const noexcept { return {next.generation * header.segment_bytes}; }
};

// The segments below `end` down to the one that holds `from`, oldest first.
// Requires: end is the address of a segment's header, and that segment is in the directory.
// Errors: log_gap (at: the first LSN of the generation that is missing, damaged or another's),
// those of storage, out_of_memory.
// Complexity: one read of 4096 bytes a segment.
template <any_environment Env>
[[nodiscard]] result<array_list<chained_segment>> chain_below(
    Env env, typename Env::directory& directory, lsn from, lsn end, std::uint64_t segment_bytes
) noexcept {
    auto const gap = [&](std::uint64_t generation) {
        return error{
            .code = errc::log_gap,
            .file = file_kind::log_segment,
            .at = first_lsn(generation, segment_bytes)
        };
    };
    BOOST_OUTCOME_TRY(auto listing, log_directory<Env>::list(env, directory));
    auto const sound = [&](std::uint64_t generation) noexcept -> result<log_segment const*> {
        auto* const found = listing.find(generation);
        if (found == nullptr) return gap(generation);
        BOOST_OUTCOME_TRY(listing.read(directory, *found));
        if (!found->is_sound() || found->header.segment_bytes != segment_bytes)
            return gap(generation);
        return found;
    };
    auto chain = array_list<chained_segment>{};
    BOOST_OUTCOME_TRY(auto const* later, sound(generation_of(end, segment_bytes)));
    while (later->generation > generation_of(from, segment_bytes)) {
        auto const& after = later->header;
        if (after.previous_generation == 0) break; // the log began there
        BOOST_OUTCOME_TRY(auto const* const one, sound(after.previous_generation));
        if (one->header.nonce != after.previous_nonce || one->header.instance != after.instance)
            return gap(one->generation);
        auto const made = chained_segment{
            .header = one->header,
            .file_bytes = one->file_bytes,
            .cut = after.cut,
            .next = {after.generation, after.nonce},
        };
        if (!chain.push_back(made)) return error{.code = errc::out_of_memory};
        later = one;
    }
    std::reverse(chain.begin(), chain.end());
    if (chain.empty() || chain[0].from() > from) return gap(generation_of(from, segment_bytes));
    return chain;
}

} // namespace jetpp::inline v1
