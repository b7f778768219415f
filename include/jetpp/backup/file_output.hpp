// jetpp/backup/file_output.hpp - files of a repository: a long one appended to, a small one published.
//
// appended_file collects what it is given into 1 MiB and writes that past the page cache where the
// file system can: a backup is read once, if ever, and must not push out what the engine uses. A
// file whose size is known is allocated whole; then a MiB of zeros need not be written.
// file_input reads a MiB at a time, the same way, and what follows before it is asked for.
// publish_file makes a whole file appear under its name at once, or not at all, and never replaces.
// Threads  one owner; an open appended_file has a task of its own that writes, a file_input of a long
//          file a few that read.
// Owns     its file, and 2 MiB (appended_file) or 1 MiB (file_input; if the file is longer, 4 MiB).
#pragma once

#include <jetpp/backup/blocks_ahead.hpp>
#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>
#include <jetpp/env/large_buffer.hpp>
#include <jetpp/env/sync.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

// Said of what is written: who walks a set and passes errors on must not take it for the set's.
[[nodiscard]] inline result<void> of_target(result<void> done) noexcept {
    return done ? done : done.error().with_file(file_kind::directory);
}

namespace detail {

// A file behind its writer: one block is filled while the other goes to the disk, in a task of its
// own. Every few MiB are synced there as well, so that the last sync, which somebody waits for,
// finds little to do. Where no task can be had, the caller does it all.
template <any_environment Env>
class behind_writer {
    using runtime = typename Env::runtime_type;
    static constexpr std::size_t blocks = 2;
    static constexpr std::size_t block_bytes = std::size_t{1} << 20;
    static constexpr std::uint64_t sync_every_bytes = std::uint64_t{16} << 20;

public:
    explicit behind_writer(Env env) noexcept
        : runtime_{env.runtime}, lock_{env.runtime}, came_{env.runtime}, went_{env.runtime} {}
    behind_writer(behind_writer const&) = delete;
    behind_writer& operator=(behind_writer const&) = delete;
    ~behind_writer() { end(); }

    // Once. Errors: out_of_memory.
    [[nodiscard]] result<void> create() noexcept {
        BOOST_OUTCOME_TRY(memory_, create_large_buffer(blocks * block_bytes));
        return ok();
    }

    // Takes the file over; `allocated`: so much of it exists and is zero; `from`: where the first
    // block goes.
    void begin(typename Env::file file, std::uint64_t allocated, std::uint64_t from = 0) noexcept {
        file_.emplace(std::move(file));
        allocated_ = allocated;
        at_ = from;
        unsynced_ = 0;
        filled_ = taken_ = 0;
        problem_.reset();
        ending_.store(false, std::memory_order_relaxed);
        auto started = runtime_.spawn("jetpp-write", &work, this);
        threaded_ = started.has_value();
        if (threaded_) task_ = std::move(started).assume_value();
    }
    [[nodiscard]] bool is_open() const noexcept { return file_.has_value(); }
    [[nodiscard]] typename Env::file& file() noexcept { return *file_; }
    [[nodiscard]] std::uint64_t allocated() const noexcept { return allocated_; }

    // The block to fill.
    [[nodiscard]] bytes block() noexcept { return block(filled_); }

    // `count` bytes of it are to be written behind all before; block() is another one then.
    // Errors: of this or an earlier write.
    [[nodiscard]] result<void> give(std::size_t count) noexcept {
        {
            auto const held = holding{lock_};
            if (problem_) return *problem_;
            counts_[filled_ % blocks] = count;
            ++filled_;
        }
        if (!threaded_) {
            (void)write_one();
        } else {
            came_.set_all();
        }
        return wait_for(blocks - 1);
    }
    // Everything given is written, and the task has ended. Errors: of any write.
    [[nodiscard]] result<void> finish() noexcept {
        auto done = wait_for(0);
        end();
        return done;
    }
    // Leaves what is not yet written.
    void drop() noexcept {
        end();
        file_.reset();
    }
    [[nodiscard]] result<void> close() noexcept {
        auto done = file_->close();
        file_.reset();
        return done;
    }

private:
    [[nodiscard]] bytes block(std::size_t turn) noexcept {
        return memory_.part(turn % blocks * block_bytes, block_bytes);
    }
    // Until at most `left` blocks are on their way.
    [[nodiscard]] result<void> wait_for(std::size_t left) noexcept {
        for (;;) {
            auto const ticket = went_.ticket();
            {
                auto const held = holding{lock_};
                if (problem_) return *problem_;
                if (filled_ - taken_ <= left) return ok();
            }
            went_.wait(ticket);
        }
    }
    void end() noexcept {
        if (!std::exchange(threaded_, false)) return;
        ending_.store(true, std::memory_order_release);
        came_.set_all();
        task_.join();
    }

    static void work(void* self) noexcept {
        auto& me = *static_cast<behind_writer*>(self);
        for (;;) {
            auto const ticket = me.came_.ticket();
            if (me.ending_.load(std::memory_order_acquire)) return;
            if (!me.write_one()) me.came_.wait(ticket);
        }
    }
    // Returns: whether there was one.
    bool write_one() noexcept {
        auto count = std::size_t{0};
        auto turn = std::size_t{0};
        {
            auto const held = holding{lock_};
            if (problem_ || filled_ == taken_) return false;
            turn = taken_;
            count = counts_[turn % blocks];
        }
        auto const done = put(block(turn).first(count));
        {
            auto const held = holding{lock_};
            if (!done) problem_ = done.error();
            ++taken_;
        }
        went_.set_all();
        return true;
    }
    [[nodiscard]] result<void> put(const_bytes block) noexcept {
        auto const is_there = at_ + block.size() <= allocated_ && all_zero(block);
        auto const at = std::exchange(at_, at_ + block.size());
        if (is_there) return ok();
        BOOST_OUTCOME_TRY(write_full(*file_, block, at));
        unsynced_ += block.size();
        if (unsynced_ < sync_every_bytes) return ok();
        unsynced_ = 0;
        return file_->sync(sync_how::data);
    }

    [[no_unique_address]] runtime runtime_;
    aligned_buffer memory_;
    std::array<std::size_t, blocks> counts_{};
    std::optional<typename Env::file> file_;
    std::uint64_t allocated_ = 0;
    std::uint64_t at_ = 0;
    std::uint64_t unsynced_ = 0;

    basic_mutex<runtime> lock_; // of the next three, and the counts
    std::size_t filled_ = 0;
    std::size_t taken_ = 0;
    std::optional<error> problem_;
    basic_event<runtime> came_;
    basic_event<runtime> went_;
    typename Env::template atomic<bool> ending_{false};
    bool threaded_ = false;
    typename runtime::task task_{};
};

} // namespace detail

template <any_environment Env>
class appended_file {
public:
    // Errors: out_of_memory.
    [[nodiscard]] static result<appended_file> create(Env env) noexcept {
        auto made = appended_file{};
        made.out_.reset(new (std::nothrow) detail::behind_writer<Env>{env});
        if (made.out_ == nullptr) return error{.code = errc::out_of_memory};
        BOOST_OUTCOME_TRY(made.out_->create());
        return made;
    }

    // A new file; `size`: what it will have, if that is known.
    // Errors: already_exists and the others of storage.
    [[nodiscard]] result<void> open(
        typename Env::directory& directory, file_name const& name, std::uint64_t size = 0
    ) noexcept {
        BOOST_OUTCOME_TRY(auto file, directory.open(name, {.mode = open_mode::create_new}));
        BOOST_OUTCOME_TRY(file.allocate(0, size));
        given_ = 0;
        held_ = 0;
        out_->begin(std::move(file), size);
        return ok();
    }
    // One that is there, of which only the first `size` bytes shall stay.
    // Errors: not_found and the others of storage.
    [[nodiscard]] result<void> reopen(
        typename Env::directory& directory, file_name const& name, std::uint64_t size
    ) noexcept {
        BOOST_OUTCOME_TRY(auto file, directory.open(name, {.mode = open_mode::read_write}));
        BOOST_OUTCOME_TRY(file.truncate(size));
        // What lies in the block that is to be filled up is written once more.
        auto const unit = std::uint64_t{file.layout().alignment};
        given_ = size / unit * unit;
        held_ = static_cast<std::size_t>(size - given_);
        out_->begin(std::move(file), 0, given_);
        auto const read = read_up_to(out_->file(), out_->block(), given_);
        if (read && read.assume_value() >= held_) return ok();
        drop();
        return read ? error{.code = errc::io, .file = file_kind::backup_part} : read.error();
    }
    [[nodiscard]] bool is_open() const noexcept { return out_->is_open(); }

    // Errors: of storage; also those of earlier calls, whose bytes are written meanwhile.
    [[nodiscard]] result<void> append(const_bytes content) noexcept {
        while (!content.empty()) {
            auto const block = out_->block();
            auto const n = std::min(content.size(), block.size() - held_);
            std::memcpy(block.data() + held_, content.data(), n);
            held_ += n;
            content = content.subspan(n);
            if (held_ == block.size()) {
                BOOST_OUTCOME_TRY(give(held_));
            }
        }
        return ok();
    }

    // The file has its size, and is on the device. Its name is after a sync of the directory.
    [[nodiscard]] result<void> close() noexcept {
        auto& file = out_->file();
        auto const size = given_ + held_;
        auto const unit = std::size_t{file.layout().alignment};
        auto const whole = (held_ + unit - 1) / unit * unit;
        std::memset(out_->block().data() + held_, 0, whole - held_);
        BOOST_OUTCOME_TRY(give(whole));
        BOOST_OUTCOME_TRY(out_->finish());
        if (std::max(given_, out_->allocated()) != size) {
            BOOST_OUTCOME_TRY(file.truncate(size));
        }
        BOOST_OUTCOME_TRY(file.sync(sync_how::full));
        return out_->close();
    }
    // Gives the file up as it is.
    void drop() noexcept { out_->drop(); }

private:
    appended_file() noexcept = default;

    [[nodiscard]] result<void> give(std::size_t count) noexcept {
        if (count == 0) return ok();
        given_ += count;
        held_ = 0;
        return out_->give(count);
    }

    std::unique_ptr<detail::behind_writer<Env>> out_;
    std::uint64_t given_ = 0;
    std::size_t held_ = 0;
};

// Order: temporary name in the same directory, content, sync, rename that replaces nothing,
// directory sync. What a crash leaves under the temporary name is no file of the repository.
// Errors: already_exists (the name is taken), those of storage, out_of_memory.
template <any_environment Env>
[[nodiscard]] result<void> publish_file(
    Env env, typename Env::directory& directory, file_name const& name, const_bytes content
) noexcept {
    using runtime = typename Env::runtime_type;
    auto temporary = name;
    temporary.add(".tmp-").add_hex16(env.runtime.random());
    auto const put = [&]() noexcept -> result<void> {
        BOOST_OUTCOME_TRY(
            auto file,
            directory.open(temporary, {.mode = open_mode::create_new, .io = io_mode::buffered})
        );
        BOOST_OUTCOME_TRY(write_full(file, content, 0));
        if (!runtime::sabotaged(sabotage::publish_before_sync)) {
            BOOST_OUTCOME_TRY(file.sync(sync_how::full));
        }
        BOOST_OUTCOME_TRY(file.close());
        runtime::point(point_id::before_publish);
        return directory.rename(temporary, name, rename_how::no_replace);
    }();
    if (!put) {
        (void)directory.remove(temporary);
        return put.error();
    }
    runtime::point(point_id::after_publish);
    if (runtime::sabotaged(sabotage::skip_dir_sync)) return ok();
    return directory.sync();
}

// A whole small file. Errors: not_found and the others of storage, limit_exceeded, out_of_memory.
template <any_environment Env>
[[nodiscard]] result<aligned_buffer> read_file(
    typename Env::directory& directory, file_name const& name, std::uint64_t limit
) noexcept {
    BOOST_OUTCOME_TRY(
        auto file, directory.open(name, {.mode = open_mode::read_only, .io = io_mode::buffered})
    );
    BOOST_OUTCOME_TRY(auto const size, file.size());
    if (size > limit) return error{.code = errc::limit_exceeded};
    BOOST_OUTCOME_TRY(auto content, aligned_buffer::create(static_cast<std::size_t>(size)));
    BOOST_OUTCOME_TRY(read_full(file, content.all(), 0));
    return content;
}

// Reads a file from its beginning to its end, for part_reader; a longer one is read ahead.
template <any_environment Env>
class file_input {
    static constexpr std::size_t block_bytes = std::size_t{1} << 20;
    static constexpr std::size_t blocks_ahead_max = 3;

public:
    file_input(file_input&&) noexcept = default; // no assignment: the old file has readers

    // Errors: not_found and the others of storage, out_of_memory.
    [[nodiscard]] static result<file_input> open(
        typename Env::directory& directory, file_name const& name
    ) noexcept {
        auto made = file_input{};
        BOOST_OUTCOME_TRY(auto file, directory.open(name, {.mode = open_mode::read_only}));
        made.file_.reset(new (std::nothrow) typename Env::file{std::move(file)});
        if (made.file_ == nullptr) return error{.code = errc::out_of_memory};
        made.ahead_.reset(new (std::nothrow) ahead_type{fetch{made.file_.get()}});
        if (made.ahead_ == nullptr) return error{.code = errc::out_of_memory};
        BOOST_OUTCOME_TRY(made.buffer_, create_large_buffer(block_bytes));
        return made;
    }

    [[nodiscard]] result<std::size_t> read(bytes into) noexcept {
        if (from_ >= held_ && !at_end_) {
            auto const skipped = from_ - held_; // after go_to()
            BOOST_OUTCOME_TRY(held_, next_block());
            at_ += held_;
            from_ = std::min(skipped, held_);
            at_end_ = held_ < buffer_.size();
            if (!at_end_) read_ahead();
        }
        auto const n = std::min(into.size(), held_ - from_);
        if (n != 0) std::memcpy(into.data(), buffer_.data() + from_, n);
        from_ += n;
        return n;
    }
    // What is read next begins at that byte.
    void go_to(std::uint64_t at) noexcept {
        auto const begin = at_ - held_;
        if (begin <= at && at < at_) {
            from_ = static_cast<std::size_t>(at - begin);
            return;
        }
        from_ = static_cast<std::size_t>(at % buffer_.size());
        at_ = at - from_;
        held_ = 0;
        at_end_ = false;
    }

private:
    struct fetch {
        typename Env::file* file;
        [[nodiscard]] result<std::size_t> operator()(std::uint64_t at, bytes into) const noexcept {
            return read_up_to(*file, into, at);
        }
    };
    using ahead_type = blocks_ahead<Env, std::uint64_t, fetch>;

    file_input() noexcept = default;

    [[nodiscard]] result<std::size_t> next_block() noexcept {
        in_sequence_ = at_ == last_end_;
        last_end_ = at_ + block_bytes;
        while (!ahead_->is_empty() && ahead_->next() < at_ && at_ < ordered_)
            (void)ahead_->take(buffer_); // left out by a go_to()
        if (!ahead_->is_empty() && ahead_->next() == at_) return ahead_->take(buffer_);
        ahead_->forget();
        return read_up_to(*file_, buffer_.all(), at_);
    }
    // A whole block was read, so there may be more behind it; but who reads here and there wants none
    // of that. Without memory for it nothing is read ahead.
    void read_ahead() noexcept {
        if (!in_sequence_) return;
        if (!has_blocks_) has_blocks_ = ahead_->create(blocks_ahead_max, block_bytes).has_value();
        if (!has_blocks_) return;
        if (ahead_->is_empty()) ordered_ = at_;
        for (; ahead_->has_room(); ordered_ += block_bytes) ahead_->order(ordered_);
    }

    std::unique_ptr<typename Env::file> file_;
    std::unique_ptr<ahead_type> ahead_; // goes before the file
    bool has_blocks_ = false;
    bool in_sequence_ = true;
    std::uint64_t last_end_ = 0; // of the block that was read last
    std::uint64_t ordered_ = 0;  // where the next block begins that is to be ordered
    aligned_buffer buffer_;
    std::uint64_t at_ = 0; // of what is read next, in the file
    std::size_t from_ = 0; // of what is given out next, in the buffer
    std::size_t held_ = 0;
    bool at_end_ = false;
};

// Of a publish_file() that failed: its file may stand there all the same, if the last sync did not
// tell. Afterwards none of that name does, nor after a crash. Errors: of storage: it is in doubt.
template <class Directory>
[[nodiscard]] result<void> unpublish_file(Directory& directory, file_name const& name) noexcept {
    auto const gone = directory.remove(name);
    if (!gone) return gone.error().code == errc::not_found ? result<void>{ok()} : gone.error();
    return directory.sync();
}

} // namespace jetpp::inline v1
