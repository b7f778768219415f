// jetpp/backup/encode_window.hpp - chunks between reader and writer, while tasks compress them.
//
//     push(chunk)   its memory is exchanged, so that the caller may fill it again
//     oldest()      with unit(): the stored form of its runs, one after the other; then pop()
//
// Compression takes ten times as long as everything else that a backup computes, and one run knows
// nothing of the next: so they are compressed side by side, and written in their order.
// Invariants
//   * what is written is byte for byte what one worker would write
// Threads  one owner. Owns: the chunks, the encoded units, the tasks and a codec for each of them.
#pragma once

#include <jetpp/backup/backup_chunk.hpp>
#include <jetpp/backup/blocks_ahead.hpp>
#include <jetpp/backup/frame.hpp>
#include <jetpp/backup/unit_codec.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/large_buffer.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <tuple>
#include <utility>

namespace jetpp::inline v1 {

template <any_environment Env>
class encode_window {
    static constexpr std::size_t runs_a_chunk = std::tuple_size_v<decltype(backup_chunk::runs)>;

public:
    static constexpr std::size_t encoders_max = 16;

    // Requires: codec.kind is not null; at least one encoder; more than encoders_max count as that.
    // Errors: out_of_memory, unsupported (the level).
    [[nodiscard]] static result<std::unique_ptr<encode_window>> create(
        Env env, codec_choice const& codec, std::size_t encoders
    ) noexcept {
        auto made = std::unique_ptr<encode_window>{new (std::nothrow) encode_window{env}};
        if (made == nullptr) return error{.code = errc::out_of_memory};
        encoders = std::min(encoders, encoders_max);
        // While one chunk is written, the others keep every task busy.
        made->chunk_count_ = (encoders + runs_a_chunk - 1) / runs_a_chunk + 1;
        for (std::size_t i = 0; i < made->chunk_count_; ++i) {
            BOOST_OUTCOME_TRY(made->chunks_[i], backup_chunk::create());
        }
        // One more: the owner encodes too, what nobody has begun.
        for (std::size_t i = 0; i <= encoders; ++i) {
            BOOST_OUTCOME_TRY(made->codecs_[i].worker, codec.create());
        }
        made->codec_count_ = encoders + 1;
        BOOST_OUTCOME_TRY(made->unit_, create_large_buffer(frame_stored_max));
        BOOST_OUTCOME_TRY(
            made->units_.create(made->chunk_count_ * runs_a_chunk, frame_stored_max, encoders)
        );
        return made;
    }
    encode_window(encode_window const&) = delete;
    encode_window& operator=(encode_window const&) = delete;

    [[nodiscard]] bool is_full() const noexcept { return pushed_ - popped_ == chunk_count_; }
    [[nodiscard]] bool is_empty() const noexcept { return pushed_ == popped_; }

    // Requires: not is_full(). Of the chunk all but its memory stays as it is.
    void push(backup_chunk& chunk) noexcept {
        ensure(!is_full(), "the window has room");
        auto& mine = chunks_[pushed_++ % chunk_count_];
        mine.step = chunk.step;
        mine.about = chunk.about;
        mine.runs = chunk.runs;
        mine.run_count = chunk.run_count;
        std::swap(mine.memory, chunk.memory);
        for (auto const& run : mine.all()) units_.order(mine.raw(run));
    }
    // Requires: not is_empty().
    [[nodiscard]] backup_chunk const& oldest() const noexcept {
        ensure(!is_empty(), "there is a chunk");
        return chunks_[popped_ % chunk_count_];
    }
    // Of the oldest chunk, the next run; a view until the next call. Errors: those of the codec.
    [[nodiscard]] result<const_bytes> unit() noexcept {
        BOOST_OUTCOME_TRY(auto const size, units_.take(unit_));
        return const_bytes{unit_.all().first(size)};
    }
    // Requires: every run of the oldest was taken.
    void pop() noexcept { ++popped_; }

private:
    struct codec {
        std::unique_ptr<unit_codec> worker;
        typename Env::template atomic<bool> is_busy{false};
    };
    // As many codecs as callers: one is free.
    struct encode {
        encode_window* of;
        [[nodiscard]] result<std::size_t> operator()(const_bytes const& raw, bytes into)
            const noexcept {
            auto i = std::size_t{0};
            while (of->codecs_[i].is_busy.exchange(true, std::memory_order_acquire))
                i = (i + 1) % of->codec_count_;
            auto done = of->codecs_[i].worker->encode(raw, into);
            of->codecs_[i].is_busy.store(false, std::memory_order_release);
            return done;
        }
    };

    explicit encode_window(Env env) noexcept : units_{encode{this}, env.runtime} {}

    std::array<backup_chunk, encoders_max / runs_a_chunk + 2> chunks_{};
    std::size_t chunk_count_ = 0;
    std::uint64_t pushed_ = 0;
    std::uint64_t popped_ = 0;
    std::array<codec, encoders_max + 1> codecs_{};
    std::size_t codec_count_ = 0;
    aligned_buffer unit_;
    blocks_ahead<Env, const_bytes, encode> units_; // last: its tasks use the others
};

} // namespace jetpp::inline v1
