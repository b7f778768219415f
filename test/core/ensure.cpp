#include <jetpp/core/ensure.hpp>

#include <csignal>
#include <cstdio>
#include <string>

#include "../catch.hpp"
#include <sys/wait.h>
#include <unistd.h>

namespace jetpp_test::ensure_cases {

using namespace jetpp;

static_assert((ensure(1 + 1 == 2, "arithmetic holds in constant expressions"), true));

TEST_CASE("ensure lets a true statement pass", "[core]") {
    ensure(true, "nothing happens");
}

TEST_CASE("ensure ends the process and says the sentence and the place", "[core]") {
    int channel[2];
    REQUIRE(::pipe(channel) == 0);
    std::fflush(nullptr);
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        std::signal(SIGABRT, SIG_DFL); // the test framework's own handler would report
        ::dup2(channel[1], STDERR_FILENO);
        ensure(false, "this page is sealed");
        ::_exit(0);
    }
    ::close(channel[1]);
    auto said = std::string{};
    char part[256];
    for (;;) {
        auto const count = ::read(channel[0], part, sizeof(part));
        if (count <= 0) break;
        said.append(part, static_cast<std::size_t>(count));
    }
    ::close(channel[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGABRT);
    CHECK(said.find("this page is sealed") != std::string::npos);
    CHECK(said.find("ensure.cpp") != std::string::npos);
}

} // namespace jetpp_test::ensure_cases
