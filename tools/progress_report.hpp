// tools/progress_report.hpp - how far a backup, restore or verification is: a bar, or lines of JSON.
//
// --progress json writes one object a line to standard error, beside whatever else is said there:
//     {"type":"progress","phase":"pages","file":"main","bytes_done":"8192","bytes_total":"81920",
//      "bytes_per_second":65536,"seconds_left":1.1}
// What is not known is null. Each phase begins and ends with a line, and between them there are at
// most ten a second, so that a reader may print each. Sizes are decimal strings, as in all reports.
// Threads  one at a time.
#pragma once

#include <jetpp/env/runtime.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "escape.hpp"
#include "progress.hpp"
#include "tool_build.hpp"
#include <nlohmann/json.hpp>

namespace jetpp_tool {

struct progress_state {
    std::string_view phase{};
    std::string_view file{};
    std::uint64_t bytes_done{};
    std::uint64_t bytes_total{}; // 0: unknown
};

class progress_report {
public:
    // `what`: of the bar.
    progress_report(std::string_view what, progress_how how) : how_{how} { rename(what, 0); }
    progress_report(progress_report const&) = delete;
    progress_report& operator=(progress_report const&) = delete;
    ~progress_report() { end(); }

    void show(progress_state const& now) {
        if (how_ == progress_how::json) return tell(now);
        if (bar_)
            bar_->show(
                now.bytes_done - before_,
                now.bytes_total == 0 ? 0 : now.bytes_total - before_,
                note_of(now)
            );
    }
    // A bar of its own for what comes, which counts from there on.
    void rename(std::string_view what, std::uint64_t done_before) {
        before_ = done_before;
        bar_.reset();
        if (how_ == progress_how::automatic || how_ == progress_how::bar)
            bar_.emplace(
                what,
                how_ == progress_how::bar ? progress_bar::shown::always
                                          : progress_bar::shown::on_a_terminal
            );
    }
    // Before anything else is printed.
    void end() {
        if (bar_) bar_->wipe();
        end_phase();
    }

private:
    static constexpr auto between_lines = std::chrono::milliseconds{100};

    [[nodiscard]] static std::string note_of(progress_state const& now) {
        auto note = std::string{now.phase};
        if (!now.file.empty() && now.file != now.phase)
            note.append(" of ").append(escaped(now.file));
        return note;
    }

    void tell(progress_state const& now) {
        auto const at = environment{}.runtime.now();
        if (!begun_ || phase_ != now.phase) {
            end_phase();
            begun_ = true;
            phase_ = now.phase;
            phase_began_ = at;
            phase_first_ = now.bytes_done;
            due_ = at; // the first of a phase
        }
        file_ = now.file;
        done_ = now.bytes_done;
        total_ = now.bytes_total;
        is_told_ = false;
        if (due_ <= at) print(at);
    }
    void end_phase() {
        if (begun_ && !is_told_) print(environment{}.runtime.now());
        begun_ = false;
    }
    void print(jetpp::mono_time at) {
        is_told_ = true;
        due_ = at + between_lines;
        auto line = nlohmann::ordered_json::object();
        line["type"] = "progress";
        line["phase"] = phase_;
        line["file"] = nullptr;
        if (!file_.empty()) line["file"] = file_;
        line["bytes_done"] = std::to_string(done_);
        line["bytes_total"] = nullptr;
        if (total_ != 0) line["bytes_total"] = std::to_string(total_);
        line["bytes_per_second"] = nullptr;
        line["seconds_left"] = nullptr;
        auto const took = std::chrono::duration<double>(at - phase_began_).count();
        if (took > 0 && done_ > phase_first_) {
            auto const rate = static_cast<double>(done_ - phase_first_) / took;
            line["bytes_per_second"] = std::llround(rate);
            if (total_ >= done_ && total_ != 0)
                line["seconds_left"] =
                    std::round(static_cast<double>(total_ - done_) / rate * 10) / 10;
        }
        // Names of files are bytes, and JSON is UTF-8.
        auto const text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
        std::fprintf(stderr, "%s\n", text.c_str());
        std::fflush(stderr);
    }

    progress_how how_;
    std::optional<progress_bar> bar_;
    std::uint64_t before_ = 0; // of what the bar does not count

    bool begun_ = false; // a phase
    bool is_told_ = false;
    std::string phase_;
    std::string file_;
    std::uint64_t done_ = 0;
    std::uint64_t total_ = 0;
    std::uint64_t phase_first_ = 0;
    jetpp::mono_time phase_began_{};
    jetpp::mono_time due_{};
};

} // namespace jetpp_tool
