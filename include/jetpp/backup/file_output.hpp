// jetpp/backup/file_output.hpp - files of a repository: a long one appended to, a small one published.
//
// appended_file collects what it is given into 1 MiB and writes that past the page cache where the
// file system can: a backup is read once, if ever, and must not push out what the engine uses.
// publish_file makes a whole file appear under its name at once, or not at all, and never replaces.
// Threads  one owner.
// Owns     its file and 1 MiB.
#pragma once

#include <jetpp/core/aligned_buffer.hpp>
#include <jetpp/core/result.hpp>
#include <jetpp/env/environment.hpp>
#include <jetpp/env/io.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

namespace jetpp::inline v1 {

template <any_environment Env>
class appended_file {
public:
    // Errors: out_of_memory.
    [[nodiscard]] static result<appended_file> create() noexcept {
        auto made = appended_file{};
        BOOST_OUTCOME_TRY(made.buffer_, aligned_buffer::create(std::size_t{1} << 20));
        return made;
    }

    // A new file. Errors: already_exists and the others of storage.
    [[nodiscard]] result<void> open(
        typename Env::directory& directory, file_name const& name
    ) noexcept {
        BOOST_OUTCOME_TRY(auto file, directory.open(name, {.mode = open_mode::create_new}));
        file_.emplace(std::move(file));
        written_ = 0;
        held_ = 0;
        return ok();
    }
    [[nodiscard]] bool is_open() const noexcept { return file_.has_value(); }

    // Errors: of storage.
    [[nodiscard]] result<void> append(const_bytes content) noexcept {
        while (!content.empty()) {
            auto const n = std::min(content.size(), buffer_.size() - held_);
            std::memcpy(buffer_.data() + held_, content.data(), n);
            held_ += n;
            content = content.subspan(n);
            if (held_ == buffer_.size()) {
                BOOST_OUTCOME_TRY(flush(held_));
            }
        }
        return ok();
    }

    // The file has its size, and is on the device. Its name is after a sync of the directory.
    [[nodiscard]] result<void> close() noexcept {
        auto const size = written_ + held_;
        auto const unit = std::size_t{file_->layout().alignment};
        auto const whole = (held_ + unit - 1) / unit * unit;
        std::memset(buffer_.data() + held_, 0, whole - held_);
        BOOST_OUTCOME_TRY(flush(whole));
        if (written_ != size) {
            BOOST_OUTCOME_TRY(file_->truncate(size));
        }
        BOOST_OUTCOME_TRY(file_->sync(sync_how::full));
        auto done = file_->close();
        file_.reset();
        return done;
    }
    // Gives the file up as it is.
    void drop() noexcept { file_.reset(); }

private:
    appended_file() noexcept = default;

    [[nodiscard]] result<void> flush(std::size_t count) noexcept {
        if (count == 0) return ok();
        BOOST_OUTCOME_TRY(write_full(*file_, buffer_.all().first(count), written_));
        written_ += count;
        held_ = 0;
        return ok();
    }

    aligned_buffer buffer_;
    std::optional<typename Env::file> file_;
    std::uint64_t written_ = 0;
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

// Reads a file from its beginning to its end, for part_reader.
template <any_environment Env>
class file_input {
public:
    // Errors: not_found and the others of storage.
    [[nodiscard]] static result<file_input> open(
        typename Env::directory& directory, file_name const& name
    ) noexcept {
        auto made = file_input{};
        BOOST_OUTCOME_TRY(
            auto file, directory.open(name, {.mode = open_mode::read_only, .io = io_mode::buffered})
        );
        made.file_.emplace(std::move(file));
        return made;
    }

    [[nodiscard]] result<std::size_t> read(bytes into) noexcept {
        BOOST_OUTCOME_TRY(auto const n, file_->read_some(into, at_));
        at_ += n;
        return n;
    }

private:
    file_input() noexcept = default;

    std::optional<typename Env::file> file_;
    std::uint64_t at_ = 0;
};

} // namespace jetpp::inline v1
