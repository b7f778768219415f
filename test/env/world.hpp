// test/env/world.hpp - one fresh directory on each storage that the conformance suite runs over.
#pragma once

#include <jetpp/env/memory_storage.hpp>
#include <jetpp/env/posix_storage.hpp>

#include <filesystem>
#include <string>
#include <system_error>

#include "../catch.hpp"
#include <stdlib.h>

namespace jetpp_test {

// A directory that is removed with everything in it.
class scratch_directory {
public:
    scratch_directory() {
        auto text = (std::filesystem::temp_directory_path() / "jetpp-env-XXXXXX").string();
        REQUIRE(::mkdtemp(text.data()) != nullptr);
        path_ = text;
    }
    scratch_directory(scratch_directory const&) = delete;
    scratch_directory& operator=(scratch_directory const&) = delete;
    ~scratch_directory() {
        auto ignored = std::error_code{};
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::string const& path() const { return path_; }

private:
    std::string path_;
};

struct posix_world {
    using storage_type = jetpp::posix_storage;
    scratch_directory scratch;
    storage_type storage;
    std::string root = scratch.path();
};

struct memory_world {
    using storage_type = jetpp::memory_storage;
    storage_type storage;
    std::string root = "/scratch";
};

// The value of a result, or a failed test that says what the error was.
template <class T>
[[nodiscard]] T good(jetpp::result<T>&& got) {
    if (!got) FAIL(jetpp::name_of(got.error().code) << ", errno " << got.error().os_errno);
    return std::move(got).value();
}
inline void good(jetpp::result<void>&& got) {
    if (!got) FAIL(jetpp::name_of(got.error().code) << ", errno " << got.error().os_errno);
}

template <class T>
[[nodiscard]] jetpp::errc code_of(jetpp::result<T> const& got) {
    return got ? jetpp::errc::none : got.error().code;
}

} // namespace jetpp_test
