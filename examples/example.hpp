// examples/example.hpp - what the examples share: a directory of their own, and checked claims.
#pragma once

#include <jetpp/core/describe.hpp>
#include <jetpp/core/result.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

// A new directory, removed with all that is in it.
class scratch_directory {
public:
    scratch_directory() {
        auto name = (std::filesystem::temp_directory_path() / "jetpp-example-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) std::abort();
        path_ = name;
    }
    scratch_directory(scratch_directory const&) = delete;
    scratch_directory& operator=(scratch_directory const&) = delete;
    ~scratch_directory() { std::filesystem::remove_all(path_); }

    [[nodiscard]] std::string operator/(char const* name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

// What the example says, and whether it is so.
inline void claim(bool holds, char const* sentence) {
    std::printf("%s: %s\n", holds ? "so it is" : "NOT SO", sentence);
    if (!holds) std::exit(1);
}

// The exit status of main: errors are told, not thrown.
inline int status_of(jetpp::result<void> const& outcome) {
    if (outcome) return 0;
    std::printf("failed: %s\n", jetpp::describe(outcome.error()).c_str());
    return 1;
}
