// tools/streams.hpp - sets that come through standard input.
#pragma once

#include <jetpp/backup/receive_set.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/core/bytes.hpp>
#include <jetpp/env/descriptor.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "failure.hpp"
#include "progress_report.hpp"
#include "tool_build.hpp"

namespace jetpp_tool {

inline constexpr std::string_view stream_word = "-";

// Where a command that says REPO finds its sets: there, or, for "-", in a repository of one set
// that standard input was received into. It lies in a directory of its own below `scratch`, and is
// gone when the command ends.
class set_place {
public:
    set_place(std::string path, std::string const& scratch, progress_how progress)
        : path_{std::move(path)} {
        if (path_ != stream_word) return;
        auto const random = environment{}.runtime.random();
        auto name = jetpp::file_name{"jetpp-stream-"};
        name.add_hex16(random);
        path_ = scratch + "/" + std::string{name.view()};
        std::error_code problem;
        if (!std::filesystem::create_directory(path_, problem))
            fail(path_, problem ? problem.message() : "exists already");
        ours_ = true;
        try {
            receive(progress);
        } catch (...) {
            remove();
            throw;
        }
    }
    set_place(set_place const&) = delete;
    set_place& operator=(set_place const&) = delete;
    ~set_place() { remove(); }

    [[nodiscard]] std::string const& path() const noexcept { return path_; }

private:
    void receive(progress_how how) {
        auto const env = environment{};
        auto progress = progress_report{"receive", how};
        auto from = counted_input{jetpp::descriptor::standard_input(), &progress};
        auto sets = value_of(jetpp::repository<environment>::open_or_create(env, path_), path_);
        auto got = jetpp::receive_set(env, from, sets);
        progress.end();
        value_of(std::move(got), "standard input");
    }
    void remove() noexcept {
        if (!ours_) return;
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    struct counted_input {
        jetpp::descriptor from;
        progress_report* progress;
        std::uint64_t count = 0;
        [[nodiscard]] jetpp::result<std::size_t> read(jetpp::bytes into) noexcept {
            BOOST_OUTCOME_TRY(auto const n, from.read(into));
            count += n;
            progress->show({.phase = "receive", .bytes_done = count});
            return n;
        }
    };

    std::string path_;
    bool ours_ = false;
};

// The directory that holds `path`, for what shall be renamed into its neighbourhood or is as large.
[[nodiscard]] inline std::string beside(std::string const& path) {
    auto whole = std::filesystem::absolute(path).lexically_normal();
    if (!whole.has_filename()) whole = whole.parent_path(); // "dir/" is dir
    auto const parent = whole.parent_path();
    return parent.empty() ? std::string{"."} : parent.string();
}

} // namespace jetpp_tool
