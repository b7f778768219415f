// tools/progress.hpp - a bar on a terminal: how far, how much, how fast.
//
// Shown only where standard error is a terminal, at most ten times a second, and wiped when the
// work ends, so that what is printed afterwards stands alone.
// Threads  one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include <unistd.h>

namespace jetpp_tool {

[[nodiscard]] inline std::string human_bytes(double bytes) {
    constexpr std::string_view units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    auto unit = std::size_t{0};
    while (bytes >= 1024 && unit + 1 < std::size(units)) {
        bytes /= 1024;
        ++unit;
    }
    char text[32];
    std::snprintf(text, sizeof text, unit == 0 ? "%.0f " : "%.1f ", bytes);
    return text + std::string{units[unit]};
}

// As a user asks for it.
enum class progress_how : std::uint8_t {
    automatic, // a bar, where standard error is a terminal
    bar,
    json, // see progress_report.hpp
    none,
};

class stopwatch {
public:
    [[nodiscard]] double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    }

private:
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

class progress_bar {
public:
    enum class shown : std::uint8_t { on_a_terminal, always };

    explicit progress_bar(std::string_view what, shown when = shown::on_a_terminal)
        : what_{what}, visible_{when == shown::always || ::isatty(STDERR_FILENO) != 0} {}
    progress_bar(progress_bar const&) = delete;
    progress_bar& operator=(progress_bar const&) = delete;
    ~progress_bar() { wipe(); }

    // `total` 0: unknown, a counter is shown instead of a bar.
    void show(std::uint64_t done, std::uint64_t total, std::string_view note = {}) {
        if (!visible_) return;
        auto const now = std::chrono::steady_clock::now();
        if (drawn_ && now - last_ < std::chrono::milliseconds{100} && done != total) return;
        last_ = now;
        drawn_ = true;
        auto line = "\r" + what_ + " ";
        if (total != 0) {
            constexpr auto width = std::uint64_t{30};
            auto const part = done < total ? done : total;
            auto const filled = static_cast<std::size_t>(
                static_cast<double>(part) / static_cast<double>(total) * double{width}
            );
            line += "[" + std::string(filled, '=') + std::string(width - filled, ' ') + "] ";
            char percent[8];
            std::snprintf(
                percent,
                sizeof percent,
                "%3d%% ",
                static_cast<int>(static_cast<double>(part) * 100 / static_cast<double>(total))
            );
            line += percent;
        }
        auto const rate = static_cast<double>(done) / (clock_.seconds() + 1e-9);
        line += human_bytes(static_cast<double>(done)) + ", " + human_bytes(rate) + "/s";
        if (!note.empty()) line += ", " + std::string{note};
        line += "\x1b[K";
        std::fwrite(line.data(), 1, line.size(), stderr);
        std::fflush(stderr);
    }
    void wipe() {
        if (!drawn_) return;
        drawn_ = false;
        std::fputs("\r\x1b[K", stderr);
        std::fflush(stderr);
    }

private:
    std::string what_;
    bool visible_;
    bool drawn_ = false;
    stopwatch clock_;
    std::chrono::steady_clock::time_point last_{};
};

} // namespace jetpp_tool
