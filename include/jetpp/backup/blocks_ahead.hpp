// jetpp/backup/blocks_ahead.hpp - blocks that are made before they are asked for: read, or encoded.
//
//     order(request) ...   up to `blocks` of them: tasks of their own make several at once
//     take(memory)         the oldest, once it is made; the caller's memory takes its place
//
// A device answers several reads sooner than one after the other, and while it works the owner
// looks at what came before. Where no task can be had, take() makes the block: so nothing but speed
// depends on them.
// Threads  one owner; the tasks, and the owner, call fetch at the same time, on different blocks.
// Owns     the blocks and the tasks. What fetch reads from must outlive it, or end() comes first.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/ensure.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/large_buffer.hpp>
#include <jetpp/env/sync.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace jetpp::inline v1 {

// Makes what a request names. Returns: how many bytes it takes. From any thread.
template <class F, class Request>
concept block_fetch = requires(F& fetch, Request const& what, bytes into) {
    { fetch(what, into) } noexcept -> std::same_as<result<std::size_t>>;
};

template <any_environment Env, class Request, block_fetch<Request> Fetch>
class blocks_ahead {
    using runtime = typename Env::runtime_type;

public:
    static constexpr std::size_t blocks_max = 40;
    static constexpr std::size_t tasks_max = 16;
    static constexpr std::size_t readers = 3; // more do not make a device faster

    explicit blocks_ahead(Fetch fetch, runtime by = {}) noexcept
        : runtime_{by}, fetch_{std::move(fetch)}, lock_{by}, came_{by}, went_{by} {}
    blocks_ahead(blocks_ahead const&) = delete;
    blocks_ahead& operator=(blocks_ahead const&) = delete;
    ~blocks_ahead() { end(); }

    // Once. Errors: out_of_memory.
    [[nodiscard]] result<void> create(
        std::size_t blocks, std::size_t block_bytes, std::size_t tasks = readers
    ) noexcept {
        ensure(blocks != 0 && blocks <= blocks_max, "there are some blocks, and not too many");
        tasks_wanted_ = std::min(tasks, tasks_max);
        for (std::size_t i = 0; i < blocks; ++i) {
            BOOST_OUTCOME_TRY(slots_[i].memory, create_large_buffer(block_bytes));
        }
        count_ = blocks;
        return ok();
    }

    [[nodiscard]] bool has_room() const noexcept { return ordered_ - taken_ < count_; }
    [[nodiscard]] bool is_empty() const noexcept { return ordered_ == taken_; }
    // Requires: not is_empty(). What take() hands out next.
    [[nodiscard]] Request const& next() const noexcept { return slots_[taken_ % count_].what; }

    // Requires: has_room().
    void order(Request const& what) noexcept {
        ensure(has_room(), "a block is free");
        start();
        {
            auto const held = holding{lock_};
            auto& slot = slots_[ordered_ % count_];
            slot.what = what;
            slot.is_made = false;
            ++ordered_;
        }
        came_.set_all();
    }

    // Requires: not is_empty(); memory of a block's size.
    // Returns: how many bytes of it were made. Errors: those of fetch.
    [[nodiscard]] result<std::size_t> take(aligned_buffer& memory) noexcept {
        auto& slot = slots_[taken_ % count_];
        ensure(
            !is_empty() && memory.size() == slot.memory.size(), "one block is given for another"
        );
        for (;;) {
            auto const ticket = went_.ticket();
            auto is_begun = true;
            {
                auto const held = holding{lock_};
                if (slot.is_made) break;
                is_begun = begun_ != taken_;
            }
            // Waiting for a task that has not even begun would take longer.
            if (is_begun)
                went_.wait(ticket);
            else
                (void)make_one();
        }
        std::swap(memory, slot.memory);
        ++taken_;
        return slot.got;
    }
    // Nothing of what was ordered is wanted any more.
    void forget() noexcept {
        {
            auto const held = holding{lock_};
            ordered_ = begun_;
        }
        while (!is_empty()) {
            auto& slot = slots_[taken_ % count_];
            auto const ticket = went_.ticket();
            auto is_made = false;
            {
                auto const held = holding{lock_};
                is_made = slot.is_made;
            }
            if (is_made)
                ++taken_;
            else
                went_.wait(ticket);
        }
    }
    // fetch is not called again; what it is at comes to its end. Then order() is forbidden.
    void end() noexcept {
        forget();
        ending_.store(true, std::memory_order_release);
        came_.set_all();
        while (task_count_ != 0) tasks_[--task_count_].join();
    }

private:
    struct block {
        Request what{};
        aligned_buffer memory;
        result<std::size_t> got{std::size_t{0}};
        bool is_made = false;
    };

    void start() noexcept {
        if (std::exchange(started_, true)) return;
        while (task_count_ < count_ && task_count_ < tasks_wanted_) {
            auto made = runtime_.spawn("jetpp-ahead", &work, this);
            if (!made) return;
            tasks_[task_count_++] = std::move(made).assume_value();
        }
    }
    static void work(void* self) noexcept {
        auto& me = *static_cast<blocks_ahead*>(self);
        for (;;) {
            auto const ticket = me.came_.ticket();
            if (me.ending_.load(std::memory_order_acquire)) return;
            if (!me.make_one()) me.came_.wait(ticket);
        }
    }
    // Returns: whether there was one.
    bool make_one() noexcept {
        auto turn = std::uint64_t{0};
        {
            auto const held = holding{lock_};
            if (begun_ == ordered_) return false;
            turn = begun_++;
        }
        auto& slot = slots_[turn % count_];
        slot.got = fetch_(slot.what, slot.memory.all());
        {
            auto const held = holding{lock_};
            slot.is_made = true;
        }
        went_.set_all();
        return true;
    }

    [[no_unique_address]] runtime runtime_;
    Fetch fetch_;
    std::array<block, blocks_max> slots_{};
    std::size_t count_ = 0;
    std::uint64_t taken_ = 0; // the owner's, as the writes of ordered_

    basic_mutex<runtime> lock_; // of the next two, and is_made
    std::uint64_t ordered_ = 0;
    std::uint64_t begun_ = 0;
    basic_event<runtime> came_;
    basic_event<runtime> went_;
    typename Env::template atomic<bool> ending_{false};
    bool started_ = false;
    std::array<typename runtime::task, tasks_max> tasks_{};
    std::size_t tasks_wanted_ = 0;
    std::size_t task_count_ = 0;
};

} // namespace jetpp::inline v1
