// test/property/sweep.hpp - many cases of damage, each survived by the one who counts.
//
// The cases run in a child process, which writes its verdicts into shared memory. A case that kills
// the child, or takes half a minute, is a verdict too, and the next child goes on behind it.
#pragma once

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "../budget.hpp"
#include "../catch.hpp"
#include "aged_instance.hpp"
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace property {

[[nodiscard]] inline std::uint64_t chosen_seed() {
    auto const* text = std::getenv("JETPP_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
}
[[nodiscard]] inline bool budget_at_least(double factor) {
    auto const* text = std::getenv("JETPP_BUDGET");
    return text != nullptr && std::strtod(text, nullptr) >= factor;
}

// All cases, or as many drawn ones as the budget allows.
[[nodiscard]] inline std::vector<disk_change> sample(
    std::vector<disk_change> all, std::uint64_t count, bool take_all
) {
    if (take_all || count >= all.size()) return all;
    auto random = std::mt19937_64{chosen_seed()};
    for (std::size_t i = 0; i < count; ++i)
        std::swap(all[i], all[i + static_cast<std::size_t>(random() % (all.size() - i))]);
    all.resize(static_cast<std::size_t>(count));
    return all;
}

[[nodiscard]] inline std::vector<verdict> sweep(
    aged_instance& subject, std::vector<disk_change> const& cases
) {
    struct board {
        std::size_t done;
        verdict said[1];
    };
    auto const bytes = sizeof(board) + cases.size() * sizeof(verdict);
    auto* const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    auto* const shared = static_cast<board*>(memory);
    while (shared->done < cases.size()) {
        std::fflush(nullptr);
        auto const child = ::fork();
        if (child == 0) {
            for (auto const number : {SIGABRT, SIGSEGV, SIGFPE, SIGILL, SIGBUS, SIGALRM})
                std::signal(number, SIG_DFL);
            for (; shared->done < cases.size(); ++shared->done) {
                ::alarm(30);
                shared->said[shared->done] = subject.open_with(cases[shared->done]);
            }
            ::_exit(0);
        }
        REQUIRE(child > 0);
        auto status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
        auto& said = shared->said[shared->done++];
        said = {};
        auto const number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        said.what = number == SIGALRM ? outcome::hung : outcome::crashed;
        std::snprintf(said.text, sizeof said.text, "signal %d", number);
    }
    auto all = std::vector<verdict>(shared->said, shared->said + cases.size());
    ::munmap(memory, bytes);
    return all;
}

// Prints a line a file, and what must not have been.
inline void tell(
    char const* title,
    aged_instance const& subject,
    std::vector<disk_change> const& cases,
    std::vector<verdict> const& verdicts
) {
    struct line {
        std::array<std::uint64_t, outcome_count> count{};
        std::uint64_t exact_in_use{};
        std::uint32_t lost_max{};
        std::map<std::string, std::uint64_t> codes{};
    };
    auto lines = std::map<std::string, line>{};
    auto bad = std::uint64_t{0};
    for (std::size_t i = 0; i < cases.size(); ++i) {
        auto const& said = verdicts[i];
        auto const& file = subject.files()[cases[i].file].name;
        auto& into = lines[file];
        ++into.count[static_cast<std::size_t>(said.what)];
        if (said.what == outcome::exact && said.page_in_use) ++into.exact_in_use;
        if (said.commits_lost > into.lost_max) into.lost_max = said.commits_lost;
        if (said.what == outcome::refused) ++into.codes[std::string{jetpp::name_of(said.code)}];
        if (said.what < outcome::vague) continue;
        if (++bad <= 20)
            std::printf(
                "  %s: %s kind %d offset %llu mask %02x: %s %s\n",
                title,
                file.c_str(),
                static_cast<int>(cases[i].kind),
                static_cast<unsigned long long>(cases[i].offset),
                static_cast<unsigned>(cases[i].mask),
                std::string{name_of(said.what)}.c_str(),
                said.text
            );
    }
    std::printf(
        "%s: %zu cases; %llu commits, %llu pages\n",
        title,
        cases.size(),
        static_cast<unsigned long long>(subject.commits()),
        static_cast<unsigned long long>(subject.pages())
    );
    for (auto const& [name, one] : lines) {
        std::printf("  %-26s", name.c_str());
        for (std::size_t o = 0; o < outcome_count; ++o)
            if (one.count[o] != 0)
                std::printf(
                    " %s %llu",
                    std::string{name_of(static_cast<outcome>(o))}.c_str(),
                    static_cast<unsigned long long>(one.count[o])
                );
        if (one.exact_in_use != 0)
            std::printf(
                " (exact in pages in use: %llu)", static_cast<unsigned long long>(one.exact_in_use)
            );
        if (one.lost_max != 0) std::printf(" (shorter by %u at most)", one.lost_max);
        for (auto const& [code, count] : one.codes)
            std::printf(" %s:%llu", code.c_str(), static_cast<unsigned long long>(count));
        std::printf("\n");
    }
    std::fflush(stdout);
    INFO(title << ", JETPP_SEED=" << chosen_seed());
    CHECK(bad == 0);
}

} // namespace property
